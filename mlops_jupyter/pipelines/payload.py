"""How a value becomes bytes and comes back: one format for each kind, and proof that it came back equal.

=======  ==========================  =============================================
kind     what                        bytes
=======  ==========================  =============================================
json     JSON values                 JSON, exactly the same types
frame    pandas frames               Parquet where that keeps every type, else pickle
array    numpy arrays                ``.npy``
file     a path                      the file's content
model    something with ``predict``  cloudpickle
object   anything else               cloudpickle
=======  ==========================  =============================================
"""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.pipelines.parameters import lossy


@dataclass(frozen=True)
class Payload:
    """A value as bytes.

    Args:
        kind: What it is.
        format: How the bytes are to be read.
        data: The bytes.
        digest: The digest of its content, not of its bytes.
    """

    kind: str
    format: str
    data: bytes
    digest: str


def is_model(value: Any) -> bool:
    """Tell whether a value predicts."""
    return not isinstance(value, type) and callable(getattr(value, "predict", None))


def json_text(value: Any) -> str | None:
    """Give the canonical JSON of a value that JSON keeps exactly, or None."""
    if lossy(value):
        return None
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None


def plain(value: Any) -> Any:
    """Give numpy's scalars as Python's own, which equal them; everything else as it is.

    A metric comes out of most libraries as ``numpy.float64``; it is meant as a number.
    """
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if type(value).__module__ != "numpy":
        return value
    import numpy as np

    scalar = isinstance(value, np.bool_ | np.integer | np.floating | np.str_)
    return value.item() if scalar else value


def dump(value: Any, name: str) -> Payload:
    """Turn a value into bytes.

    Args:
        value: Any value.
        name: The output's name, for messages.

    Returns:
        The bytes and how to read them.

    Raises:
        ValueRefused: It can't be kept.
        OSError: It is a path that can't be read.
    """
    text = json_text(value)
    if text is not None:
        return Payload("json", "json", text.encode("utf-8", "surrogatepass"), digest_of(value))
    if isinstance(value, Path):
        return _file(value, name)
    library = type(value).__module__.partition(".")[0]
    if library == "pandas" and type(value).__name__ == "DataFrame":
        return _frame(value, name)
    if library == "numpy" and type(value).__name__ == "ndarray" and not value.dtype.hasobject:
        return Payload("array", "npy", _npy(value), digest_of(value))
    return Payload("model" if is_model(value) else "object", "pickle", _pickle(value, name), _digest(value))


def load(format: str, data: bytes) -> Any:
    """Turn bytes back into a value.

    Args:
        format: As :func:`dump` gave it; files are not read back, but laid out by the caller.
        data: The bytes.

    Returns:
        The value.
    """
    if format == "json":
        return json.loads(data)
    if format == "parquet":
        return _read_parquet(data)
    if format == "npy":
        import numpy as np

        return np.load(io.BytesIO(data), allow_pickle=False)
    return pickle.loads(data)


def _file(path: Path, name: str) -> Payload:
    if path.is_dir():
        raise ValueRefused(
            f"output {name!r}: {path.name} is a folder",
            "pack it into one file, or publish its files",
        )
    data = path.read_bytes()
    return Payload("file", "bytes", data, digest_of([path.name, data]))


def _frame(frame: Any, name: str) -> Payload:
    digest = _digest(frame)
    data = _parquet(frame)
    # Parquet has no notion of some of pandas' types; what would come back different is pickled.
    if data is not None and _comes_back(data, digest):
        return Payload("frame", "parquet", data, digest)
    return Payload("frame", "pickle", _pickle(frame, name), digest)


def _parquet(frame: Any) -> bytes | None:
    buffer = io.BytesIO()
    try:
        frame.to_parquet(buffer, engine="pyarrow")
    except Exception:  # a type that Arrow does not know, or no pyarrow: pickle takes it
        return None
    return buffer.getvalue()


def _read_parquet(data: bytes) -> Any:
    import pandas as pd

    return pd.read_parquet(io.BytesIO(data), engine="pyarrow")


def _comes_back(data: bytes, digest: str) -> bool:
    try:
        return digest_of(_read_parquet(data)) == digest
    except Exception:
        return False


def _npy(array: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _pickle(value: Any, name: str) -> bytes:
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(value, protocol=5)
    except Exception as error:
        raise ValueRefused(
            f"output {name!r} can't be kept: a {type(value).__name__} can't be pickled ({error})",
            "publish a plain value, a frame, an array, a fitted model or a file",
        ) from error
    return data


def _digest(value: Any) -> str:
    try:
        return digest_of(value)
    except ValueRefused:
        # Without a content to compare, every value counts as new: reuse is lost, correctness is not.
        import uuid

        return uuid.uuid4().hex
