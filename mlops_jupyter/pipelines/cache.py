"""Records of steps that were run, found by everything that their result depends on.

A record is found in two moves, since what a step imports is known only after it has run. The *base key* is the digest
of what is known before: code, parameters, inputs, environment, kernel. Under it lies which local modules runs with that
base have imported; the *key* is the digest of the base key and of those modules' present content. A record is written
whole, after its notebook has succeeded, so that a record that can be read is of one that did; where its model is still
to be registered, it says so (:data:`REGISTERED`).
"""

from __future__ import annotations

import functools
import json
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.digest import digest_file
from mlops_jupyter.errors import IntegrityError
from mlops_jupyter.store import ObjectStore, key_of

SCHEMA = 2
#: The mark in a step's record: False until its model is registered and promoted; not there where nothing is to be.
REGISTERED = "registered"
_MODULES = "pipeline-modules"
_RECORDS = "pipeline-cache"
_NEWEST = "pipeline-newest"
_MOST_SETS = 16
# Two edits within the clock's grain leave the same time stamp; a file this fresh is read every time.
_RACY = 2_000_000_000


@dataclass(frozen=True)
class Found:
    """What the cache says of a step.

    Args:
        base: The base key.
        record: The record that can be reused, or None.
        newest: The last record of that step in that pipeline, whatever its key; to tell what has changed.
    """

    base: str
    record: Mapping[str, Any] | None
    newest: Mapping[str, Any] | None

    @property
    def unregistered(self) -> bool:
        """Whether its model is still to be registered: a crash came in between, or a gate refused it."""
        return self.record is not None and self.record.get(REGISTERED) is False


def canonical_key(document: Any) -> str:
    """Give the key of a document: blake3 over its canonical JSON.

    Args:
        document: JSON values; the order of keys plays no part, the types of values do.

    Returns:
        64 hexadecimal digits.
    """
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return key_of(text.encode())


def _key(base: str, modules: Mapping[str, str]) -> str:
    return canonical_key([base, modules])


def digest_path(path: Path) -> str:
    """Give the digest of a file's content, read again only when the file has changed; else ``missing``."""
    try:
        state = path.stat()
    except OSError:
        return "missing"
    fresh = time.time_ns() - state.st_mtime_ns < _RACY
    if fresh or stat.S_ISDIR(state.st_mode):
        return digest_file(path)
    return _digest_once(str(path), state.st_size, state.st_mtime_ns, state.st_ino)


@functools.lru_cache(maxsize=4096)
def _digest_once(path: str, size: int, modified: int, inode: int) -> str:
    return digest_file(Path(path))


class Cache:
    """The records of one store, for pipelines in one folder.

    Args:
        store: Where the records lie.
        folder: The pipeline's folder, which the names of modules are relative to.
    """

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def look_up(self, parts: Mapping[str, Any], required: Iterable[str], label: str) -> Found:
        """Find the record of a step with exactly these parts.

        Args:
            parts: What the step's result depends on.
            required: Outputs that the record must have.
            label: Pipeline and instance, for what was recorded last.

        Returns:
            The base key, and the record when one can be reused; else what was recorded last.
        """
        base = canonical_key(parts)
        for names in self._module_sets(base):
            record = self._get(_RECORDS, _key(base, self.modules(names)))
            if record and self._whole(record, required):
                return Found(base, record, record)
        return Found(base, None, self._get(_NEWEST, canonical_key(label)))

    def _get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Give a record; one that is damaged is as good as none, since the step can be run again."""
        try:
            return self._store.get_record(kind, name)
        except IntegrityError:
            return None

    def modules(self, names: Iterable[str]) -> dict[str, str]:
        """Give name → digest of local modules as they are now."""
        return {name: digest_path(self._folder / name) for name in sorted(names)}

    def publish(self, base: str, label: str, record: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
        """Write a step's record.

        Args:
            base: The base key.
            label: Pipeline and instance.
            record: ``parts``, ``modules``, ``outputs`` and whatever else is to be known of the run.

        Returns:
            The key, and what lay under it before.
        """
        key = _key(base, record["modules"])
        before = self._get(_RECORDS, key)
        document = {**record, "schema": SCHEMA, "key": key}
        self._store.put_record(_RECORDS, key, document)
        # The record first: a set of modules that leads nowhere is harmless, a record that nothing leads to is lost.
        names = sorted(record["modules"])
        others = [known for known in self._module_sets(base) if known != names]
        self._store.put_record(_MODULES, base, {"sets": [names, *others][:_MOST_SETS]})
        if record.get(REGISTERED) is not False:  # it may still be taken back
            newest = {name: document[name] for name in ("key", "parts", "modules", "pipeline_run")}
            self._store.put_record(_NEWEST, canonical_key(label), newest)
        return key, before

    def withdraw(self, key: str, before: Mapping[str, Any] | None) -> None:
        """Take a record back, for one that was there before it if there was.

        Args:
            key: What :meth:`publish` gave.
            before: What it gave besides.
        """
        if before is None:
            self._store.remove_record(_RECORDS, key)
        else:
            self._store.put_record(_RECORDS, key, dict(before))

    def _module_sets(self, base: str) -> list[list[str]]:
        known = self._get(_MODULES, base)
        return known["sets"] if known else []

    def _whole(self, record: Mapping[str, Any], required: Iterable[str]) -> bool:
        entries = record["outputs"]
        if any(name not in entries for name in required):
            return False
        # Objects may have been pruned since; a record without them is of no use.
        return all(
            entry["ref"].removeprefix("mlops://") in self._store and entry["object"] in self._store
            for entry in entries.values()
            if "ref" in entry
        )


def what_changed(parts: Mapping[str, Any], modules: Mapping[str, str], newest: Mapping[str, Any]) -> str:
    """Say in a few words why a step's key is not that of its last record.

    Args:
        parts: The parts now.
        modules: Digests now of the modules that the last run imported.
        newest: The last record: ``parts`` and ``modules``.

    Returns:
        The first difference, in the order in which people look for one.
    """
    old = newest["parts"]
    for explain in (_cells, _params, _inputs, _env):
        said = explain(old, parts)
        if said:
            return said
    for name, digest in newest["modules"].items():
        if modules.get(name) != digest:
            return f"local module {name} changed"
    for key, label in _REST.items():
        if old.get(key) != parts.get(key):
            return label
    return "its outputs are not in the store"


_REST = {
    "schema": "mlops-jupyter reads its cache differently now",
    "kernel": "the kernel changed",
    "environment": "the environment changed (packages or Python)",
    "secrets": "the list of secrets changed",
    "register": "what it registers changed",
}


def _cells(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = old["cells"], new["cells"]
    if before == after:
        return ""
    if len(after) > len(before):
        position = next((n for n, c in enumerate(after) if n >= len(before) or c != before[n]), 0)
        return f"code cell {position + 1} is new"
    if len(after) < len(before):
        position = next((n for n, c in enumerate(before) if n >= len(after) or c != after[n]), 0)
        return f"code cell {position + 1} was removed"
    changed = [str(n + 1) for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    return f"code cell {changed[0]} changed" if len(changed) == 1 else f"code cells {_and(changed)} changed"


def _params(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = old["params"], new["params"]
    for name in after:
        # Equal in Python is not enough: 1, 1.0 and true are different parameters.
        if name in before and json.dumps(before[name]) != json.dumps(after[name]):
            if _is_output(before[name]) or _is_output(after[name]):
                return f"input {name} changed"
            return f"parameter {name} changed from {_short(before[name])} to {_short(after[name])}"
    for name in after:
        if name not in before:
            return f"parameter {name} is new"
    gone = [name for name in before if name not in after]
    return f"parameter {gone[0]} is no longer given" if gone else ""


def _inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return _differing(old["inputs"], new["inputs"], "input file")


def _env(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return _differing(old["env"], new["env"], "environment variable")


def _differing(before: Mapping[str, Any], after: Mapping[str, Any], what: str) -> str:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            verb = "is new" if name not in before else "is gone" if name not in after else "changed"
            return f"{what} {name} {verb}"
    return ""


def _is_output(value: Any) -> bool:
    return "output:" in json.dumps(value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:39] + "…"


def _and(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1]
