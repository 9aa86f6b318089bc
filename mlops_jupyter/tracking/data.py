"""Logging data: which data a run read, with a digest over all of its content, a schema and a profile.

MLflow's own digest of a frame reads its first 10,000 rows; ours stands beside it, on the dataset input, as the tag
``mlops.digest``. The schema is MLflow's, so that its pages show it; the profile is of :mod:`.profile`.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import UsageError, ValueRefused
from mlops_jupyter.files import contents
from mlops_jupyter.tracking import mlflow_module
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.profile import of_array, of_frame, of_table, profile_text
from mlops_jupyter.tracking.records import Run
from mlops_jupyter.tracking.schema import schema_text

ROLES = ("train", "test", "holdout")
DIGEST = "mlops.digest"
#: When data was logged, on its dataset input: MLflow knows no more than when the run began.
LOGGED = "mlops.logged"
CSV = (".csv", ".csv.gz")
PARQUET = (".parquet", ".pq")
_LONGEST_NAME = 500
# Files of more bytes than this, as they are when nothing is compressed, are not read a second time to be profiled.
_LARGE_FILE = 100_000_000
# Text shrinks to a tenth or so; what shrinks more than this is no table that a person has made.
_SHRUNK = 20


def describe(data: Any, name: str, role: str | None) -> dict[str, Any]:
    """Say what data is, as an MLflow dataset that a run reads.

    Args:
        data: A pandas frame or series, a numpy array, an Arrow table, or the path of a file or folder.
        name: Its name.
        role: ``train``, ``test``, ``holdout`` or None.

    Returns:
        ``dataset``, the fields of MLflow's entity, with our digest, and ``tags`` of the run's input.

    Raises:
        ValueRefused: It is no data, or has a name that MLflow does not take.
    """
    if role is not None and role not in ROLES:
        raise ValueRefused(f"{role!r} is no role of data", f"use one of: {', '.join(ROLES)}")
    _check_name(name)
    if isinstance(data, str):
        data = Path(data)
    found = look_at(data)
    source = str(Path(data).resolve()) if isinstance(data, os.PathLike) else None
    # MLflow allows 36 characters of digest; ours has 32.
    said = _source(name, found.digest, source) | {"schema": found.schema, "profile": profile_text(found.profile)}
    logged = datetime.now(UTC).isoformat(timespec="milliseconds")
    tags = {DIGEST: found.digest, LOGGED: logged} | ({"mlflow.data.context": role} if role else {})
    return {"dataset": said, "tags": tags}


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueRefused(f"{str(name)[:80]!r} is no name of data", f"give a text of 1 to {_LONGEST_NAME} characters")
    if "\x00" in name or any("\ud800" <= character <= "\udfff" for character in name):
        raise ValueRefused(f"{name[:80]!r} has a character in it that is no text", "use letters and digits")


def _source(name: str, digest: str, source: str | None) -> dict[str, Any]:
    """Give the fields in which MLflow says where data is from: a path, or the code that is running."""
    import numpy as np

    with warnings.catch_warnings():
        # Where two of MLflow's kinds of source fit, it takes one and warns.
        warnings.simplefilter("ignore")
        told = mlflow_module().data.from_numpy(np.zeros(0), source=source, name=name, digest=digest).to_dict()
    return {key: told[key] for key in ("name", "digest", "source_type", "source")}


@dataclass(frozen=True)
class Looked:
    """What looking at data has shown.

    Args:
        digest: The digest over all of its content.
        profile: Its profile.
        schema: Its schema as MLflow writes it, or None where there is none.
    """

    digest: str
    profile: dict[str, Any]
    schema: str | None


def look_at(data: Any) -> Looked:
    """Take digest, profile and schema of data.

    Args:
        data: A pandas frame or series, a numpy array, an Arrow table, or the path of a file or folder.

    Returns:
        What was found.

    Raises:
        ValueRefused: It is no data.
    """
    kind = _kind(data)
    if not isinstance(data, os.PathLike) and kind not in _KINDS:
        raise ValueRefused(f"a {type(data).__name__} is no data", "give a frame, an array, an Arrow table or a path")
    with warnings.catch_warnings():
        # MLflow and pandas warn of what a model, or code of one's own, had better not do: neither is at stake.
        warnings.simplefilter("ignore")
        digest = digest_of(data)
        if isinstance(data, os.PathLike):
            return Looked(digest, *_of_file(Path(data)))
        if kind == "pandas.Series":
            data = data.to_frame()
        profile = _KINDS[kind](data)
        return Looked(digest, profile, schema_text(data, profile))


def _kind(data: object) -> str:
    """Give the library and class of data, or of what it is a kind of: a memory map is an array."""
    names = [f"{each.__module__.partition('.')[0]}.{each.__name__}" for each in type(data).__mro__]
    return next((name for name in names if name in _KINDS), names[0])


_KINDS = {"pandas.DataFrame": of_frame, "pandas.Series": of_frame, "pyarrow.Table": of_table, "numpy.ndarray": of_array}


def _of_file(path: Path) -> tuple[dict[str, Any], str | None]:
    """Profile a file or folder: by size, and a table of moderate size by its content too."""
    size = _size(path)
    about: dict[str, Any] = {"version": 1, "data": "file" if path.is_file() else "folder", "bytes": size}
    if is_table(path) and _expanded(path, size) <= _LARGE_FILE:
        try:
            table = read_table(path)
        except UsageError as error:
            # What goes by the name of a table need not be one; its digest is what counts.
            return about | {"unread": error.message[:500]}, None
        profile = of_table(table)
        return profile | about, schema_text(table, profile)
    return about, None


def _expanded(path: Path, size: int) -> int:
    """Give about how many bytes a table has once it is read."""
    if path.name.lower().endswith(".gz"):
        return size * _SHRUNK
    if not path.name.lower().endswith(PARQUET):
        return size
    import pyarrow as pa
    from pyarrow import parquet

    try:
        described = parquet.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError):
        return size  # it is none, which is told where it is read
    # What repeats takes no room in the file: eight bytes a number at the least.
    written = sum(described.row_group(number).total_byte_size for number in range(described.num_row_groups))
    return int(max(written, 8 * described.num_rows * described.num_columns))


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(held.path.stat().st_size for held in contents(path) if held.kind == "file")


def is_table(path: Path) -> bool:
    """Tell whether a file is CSV or Parquet, by its name."""
    return path.name.lower().endswith(CSV + PARQUET)


def read_table(path: Path) -> Any:
    """Read a CSV or Parquet file into an Arrow table.

    Args:
        path: The file.

    Returns:
        The table.

    Raises:
        UsageError: It is not what its name says.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.name.lower().endswith(PARQUET):
            return parquet.ParquetFile(path).read()
        return csv.read_csv(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> UsageError:
    """Give the error for a file that does not hold the table that its name says."""
    kind = "Parquet" if path.name.lower().endswith(PARQUET) else "CSV"
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UsageError(f"{path} can't be read as {kind}: {said[:200]}", "check the file, or log it as a frame")


# ---------------------------------------------------------------------------------------------------------------------
# Reading back


@dataclass(frozen=True)
class LoggedData:
    """Data as a run has it among its inputs.

    Args:
        name: Its name.
        digest: Ours where there is one, else MLflow's.
        ours: Whether the digest is ours, and so over all of the content.
        role: ``train``, ``test``, ``holdout`` or what else was said; None for nothing.
        run_id: The run.
        run: The run's name.
        logged: When, in UTC; where nobody said, when the run began.
        source: Where it is from, as MLflow writes it.
        profile: Its profile, ours or MLflow's; empty where there is none.
        schema: Its schema as MLflow has it; empty where there is none.
    """

    name: str
    digest: str
    ours: bool
    role: str | None
    run_id: str
    run: str
    logged: str
    source: Mapping[str, Any]
    profile: Mapping[str, Any]
    schema: Mapping[str, Any]


@answers
def data_of(tracking: Tracking, run: Run) -> list[LoggedData]:
    """Give the data that a run has read, with schema and profile.

    Args:
        tracking: The store.
        run: The run.

    Returns:
        One record a dataset input.
    """
    inputs = tracking.client.get_run(tracking.store_id(run.run_id)).inputs
    return [_logged(item, run) for item in (inputs.dataset_inputs if inputs else ())]


def _logged(item: Any, run: Run) -> LoggedData:
    tags = {tag.key: tag.value for tag in item.tags}
    dataset = item.dataset
    return LoggedData(
        name=dataset.name,
        digest=tags.get(DIGEST, dataset.digest),
        ours=DIGEST in tags,
        role=tags.get("mlflow.data.context"),
        run_id=run.run_id,
        run=run.name,
        logged=tags.get(LOGGED) or run.started or "",
        source=_document(dataset.source),
        profile=_document(dataset.profile),
        schema=_document(dataset.schema),
    )


def _document(text: str | None) -> dict[str, Any]:
    """Read JSON that anybody may have written."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def schema_columns(schema: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Give names and types of the columns of a schema as MLflow has it; none where it is of no table."""
    specs = schema.get("mlflow_colspec")
    specs = specs if isinstance(specs, list) else []
    return [(str(spec.get("name", number)), str(spec.get("type"))) for number, spec in enumerate(specs)]
