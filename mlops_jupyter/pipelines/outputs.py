"""What a step publishes, and how the next one opens it.

``output(name, value)`` keeps a value and returns what the next step's parameter will be: small JSON values themselves,
anything else a reference ``mlops://…``. The reference is the key of a *descriptor*, a small JSON object that says where
the bytes lie and how they are read. Beside it stands the digest of the content: two trainings that end in the same
state have the same digest, whatever MLflow calls their models, and so the steps below are not run again.

A kernel that runs a step is told where to put things by its environment; anywhere else the values go into the
workspace's store, so that a notebook runs by hand as it does in a pipeline.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import NotFoundError, StoreError, UsageError, ValueRefused
from mlops_jupyter.files import write_whole
from mlops_jupyter.pipelines import payload
from mlops_jupyter.pipelines.masking import Mask
from mlops_jupyter.pipelines.parameters import nearest
from mlops_jupyter.store import ObjectStore, make_state

#: The folder of this attempt, where ``outputs.json`` is written.
STEP_DIR = "MLOPS_STEP_DIR"
#: The names that the step declares, as a JSON list; absent where it declares none.
STEP_OUTPUTS = "MLOPS_STEP_OUTPUTS"
#: The names of its secrets, as a JSON list.
STEP_SECRETS = "MLOPS_STEP_SECRETS"
#: The object store: a path or an fsspec URL.
STORE = "MLOPS_STORE"
#: The folder in which files that were published are laid out.
FILES = "MLOPS_FILES"

SMALL = 64 * 1024
REFERENCE = re.compile(r"mlops://([0-9a-f]{64})")
_LOCK = threading.Lock()


def output(name: str, value: Any) -> Any:
    """Publish a value from a pipeline step.

    Args:
        name: The output's name, one that the step declares where it declares any.
        value: JSON values, a frame, an array, a fitted model, a ``Path`` (the file's content), or anything that
            pickles.

    Returns:
        What the next step's parameter will be: the value itself, or a reference ``mlops://…``.

    Raises:
        ValueRefused: The name is not declared, or the value can't be kept, or holds a secret.
        StoreError: The store can't be written.
    """
    _check_name(name)
    entry = publish(name, value)
    folder = os.environ.get(STEP_DIR)
    if folder:
        with _LOCK:
            _record(Path(folder) / "outputs.json", name, entry)
    return entry["value"] if "value" in entry else entry["ref"]


def load(ref: Any) -> Any:
    """Open what a step published.

    Args:
        ref: A reference ``mlops://…``, a list of them, or a value that travelled as itself.

    Returns:
        The frame, array, model or object; for a file the path of a read-only local copy; a value as it is.

    Raises:
        UsageError: A text looks like a reference and is none.
        NotFoundError: The store has no such object.
        IntegrityError: The object is damaged.
    """
    if isinstance(ref, list):
        return [load(item) for item in ref]
    if not isinstance(ref, str) or not ref.startswith("mlops://"):
        return ref
    descriptor = describe(ref)
    data = _store().get(descriptor["object"])
    if descriptor["kind"] == "file":
        return _laid_out(descriptor, data)
    return payload.load(descriptor["format"], data)


def describe(ref: str) -> dict[str, Any]:
    """Give the descriptor that a reference leads to.

    Args:
        ref: ``mlops://`` and 64 hexadecimal digits.

    Returns:
        ``kind``, ``format``, ``object``, ``digest``, ``type``, ``name``, ``size``, and ``model`` for a model.

    Raises:
        UsageError: It is no reference.
        NotFoundError: The store has no such object.
    """
    match = REFERENCE.fullmatch(ref)
    if match is None:
        raise UsageError(f"{ref[:100]!r} is no reference", "pass on what output() returned")
    descriptor: dict[str, Any] = json.loads(_store().get(match[1]))
    return descriptor


def publish(name: str, value: Any) -> dict[str, Any]:
    """Keep a value, and describe it for the record of its step.

    Args:
        name: The output's name.
        value: Anything that can be kept.

    Returns:
        ``{"value": …}`` for a small JSON value, else ``ref``, ``object``, ``kind``, ``digest``, and ``model``.

    Raises:
        ValueRefused: It can't be kept, or holds a secret.
    """
    value = payload.plain(value)
    if isinstance(value, str) and REFERENCE.fullmatch(value):
        return _entry(value, describe(value))
    text = payload.json_text(value)
    if text is not None and len(text.encode("utf-8", "surrogatepass")) <= SMALL:
        _refuse_secrets(name, text.encode("utf-8", "surrogatepass"))
        return _small(value)
    packed = payload.dump(value, name)
    _refuse_secrets(name, packed.data if packed.format != "parquet" else _uncompressed(value))
    return _keep(name, value, packed)


def _uncompressed(frame: Any) -> bytes:
    # Parquet's compression would hide a secret from the search.
    import pickle

    return pickle.dumps(frame, protocol=5) if _mask() else b""


def _small(value: Any) -> dict[str, Any]:
    seen: list[str] = []
    digested = _by_content(value, seen)
    # References inside are compared by what they lead to, so that an equal model in a list is an equal list.
    return {"value": value, "digest": digest_of(digested)} if seen else {"value": value}


def _by_content(value: Any, seen: list[str]) -> Any:
    if isinstance(value, str) and REFERENCE.fullmatch(value):
        seen.append(value)
        return ["output", describe(value)["digest"]]
    if isinstance(value, list):
        return [_by_content(item, seen) for item in value]
    if isinstance(value, dict):
        return {key: _by_content(item, seen) for key, item in value.items()}
    return value


def _keep(name: str, value: Any, packed: payload.Payload) -> dict[str, Any]:
    store = _store()
    try:
        key = store.put(packed.data)
        descriptor = {
            "kind": packed.kind,
            "format": packed.format,
            "object": key,
            "digest": packed.digest,
            "type": f"{type(value).__module__}.{type(value).__qualname__}",
            "name": value.name if packed.kind == "file" else name,
            "size": len(packed.data),
        }
        if packed.kind == "model":
            descriptor["model"] = _logged(name, value)
        document = json.dumps(descriptor, sort_keys=True, ensure_ascii=False)
        return _entry("mlops://" + store.put(document.encode()), descriptor)
    except OSError as error:
        raise StoreError(
            f"output {name!r} could not be kept: {error.strerror or error}",
            "check the disk's space",
        ) from error


def _entry(ref: str, descriptor: Mapping[str, Any]) -> dict[str, Any]:
    entry = {"ref": ref, **{key: descriptor[key] for key in ("object", "kind", "digest")}}
    if descriptor.get("model"):
        entry["model"] = descriptor["model"]
    return entry


def _logged(name: str, value: Any) -> dict[str, Any] | None:
    """Give MLflow's name for a model, logging it to the step's run where it was not yet."""
    from mlops_jupyter.tracking.client import RUN_VARIABLE

    # A run that was begun in the notebook takes MLflow's variable away; ours stays.
    if not os.environ.get(STEP_DIR) or not (os.environ.get("MLFLOW_RUN_ID") or os.environ.get(RUN_VARIABLE)):
        return None
    try:
        from mlops_jupyter.tracking import log

        logged = log.find_logged(value) or log.log_model(value, name=name)
        if not logged.model_id:
            return {"id": None, "error": "the tracking store is away; the model goes there when it answers"}
        return {"id": logged.model_id, "uri": logged.uri, "name": logged.name}
    except Exception as error:
        # The value is kept all the same; only registering it will need MLflow's model, and will say why not.
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"output {name!r} was not logged to MLflow: {said}", file=sys.stderr)
        return {"id": None, "error": said}


def _check_name(name: str) -> None:
    declared = os.environ.get(STEP_OUTPUTS)
    if declared is not None and name not in json.loads(declared):
        names = json.loads(declared)
        raise ValueRefused(
            f"this step declares no output {name!r}",
            nearest(name, names, f"add {name!r} to outputs: of the step in pipeline.yaml"),
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", name):
        raise ValueRefused(f"{name!r} is no name for an output", "use letters, digits, - and _")


def _record(file: Path, name: str, entry: Mapping[str, Any]) -> None:
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    known[name] = entry
    write_whole(file, json.dumps(known, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _refuse_secrets(name: str, data: bytes) -> None:
    if _mask().found_in(data):
        raise ValueRefused(f"output {name!r} holds a secret of this step", "publish what was made with it instead")


def _mask() -> Mask:
    names = json.loads(os.environ.get(STEP_SECRETS, "[]"))
    return Mask(os.environ.get(each, "") for each in names)


def _laid_out(descriptor: Mapping[str, Any], data: bytes) -> Path:
    # The name comes from a document; only its last part may become a path.
    name = Path(str(descriptor["name"])).name
    name = "file" if name in ("", "..") else name
    file: Path = _files() / descriptor["object"] / name
    if not file.exists():
        write_whole(file, data)
        file.chmod(0o444)
    return file


def _store() -> ObjectStore:
    place = os.environ.get(STORE)
    return _opened(place) if place else _of_workspace(Path.cwd(), os.environ.get("MLOPS_WORKSPACE"))


@functools.lru_cache(maxsize=8)
def _opened(place: str) -> ObjectStore:
    return ObjectStore.open(place)


@functools.lru_cache(maxsize=8)
def _of_workspace(folder: Path, named: str | None) -> ObjectStore:
    from mlops_jupyter import config

    found = config.load(named, start=folder)
    make_state(found.state)
    return ObjectStore.open(found.store_url or found.state / "objects")


def _files() -> Path:
    place = os.environ.get(FILES)
    if place:
        return Path(place)
    from mlops_jupyter import config

    return config.find_workspace()[0] / config.STATE / "files"


def missing(published: Mapping[str, Any], required: tuple[str, ...]) -> NotFoundError | None:
    """Give the error for an output that a step should have published and did not, or None."""
    for name in required:
        if name not in published:
            return NotFoundError(f"output {name!r} was never published", f"call output({name!r}, …) in the notebook")
    return None
