"""Versions of data, and how they are named: what runs have logged, and files on the disk."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops_jupyter.digest import digest_of
from mlops_jupyter.display import time_text
from mlops_jupyter.errors import AmbiguousError, DeniedError, NotFoundError, UsageError
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.data import (
    PARQUET,
    LoggedData,
    Looked,
    data_of,
    is_table,
    look_at,
    read_table,
    schema_columns,
    unreadable,
)
from mlops_jupyter.tracking.measures import Entry
from mlops_jupyter.tracking.profile import of_table
from mlops_jupyter.tracking.records import Run
from mlops_jupyter.tracking.runs import Runs
from mlops_jupyter.tracking.schema import schema_text

_FACTS = ("name", "run_id", "run", "logged", "role", "digest")
# Of how many runs, the newest first, it is asked when they logged data of a name.
_NEWEST = 10
# What can't be written in a text of MLflow's filter.
_NOT_IN_FILTERS = frozenset("'\"\\\n\r")
# Of how many it is asked which data they have at all.
_MOST = 1000


@dataclass(frozen=True)
class Version:
    """Data at one moment.

    Args:
        label: What it is called where it is compared.
        digest: Over all of its content, where it is ours.
        facts: What else is known of it, JSON values: ``name run_id run logged role digest file``.
        ours: Whether the digest is ours.
        profile: Its profile; empty where there is none.
        types: Name and type of each column by MLflow's schema; none where there is none.
    """

    label: str
    digest: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = True
    profile: Mapping[str, Any] = field(default_factory=dict)
    types: Sequence[tuple[str, str]] = ()

    @property
    def rows(self) -> int | None:
        """How many rows there are, if anybody said so."""
        rows = self.profile.get("num_rows")
        return rows if isinstance(rows, int) else None

    @property
    def data(self) -> str:
        """What was profiled: ``frame table array file folder``, or nothing."""
        return str(self.profile.get("data", ""))

    @property
    def columns(self) -> list[Entry]:
        """The profile's entries of the columns, and those of the index by names of their own."""
        index = self._entries("index")
        named = [entry | {"name": f"index {entry['name']}".strip()} for entry in index]
        return named + self._entries("columns")

    def _entries(self, key: str) -> list[Entry]:
        found = self.profile.get(key)
        entries = found if isinstance(found, list) else []
        return [dict(entry) for entry in entries if isinstance(entry, Mapping) and "name" in entry]

    @property
    def is_whole(self) -> bool:
        """Whether the profile has all columns."""
        return isinstance(self.profile.get("columns"), list) and "columns_left_out" not in self.profile


class Versions:
    """Finds versions of data.

    Args:
        tracking: The workspace's store.
        runs: The room of runs.
        root: The workspace's folder.
        inside: Whether only files below that folder may be read, as when somebody asks over the network.
    """

    def __init__(self, tracking: Tracking, runs: Runs, root: Path, inside: bool) -> None:
        self._tracking = tracking
        self._runs = runs
        self._root = root
        self._inside = inside

    def pair(self, a: str, b: str) -> tuple[Version, Version]:
        """Find two versions that are to be compared: a file is then read as the other one was.

        Args:
            a: ``NAME``, ``RUN:NAME``, a digest or a prefix of it, or a path.
            b: The other.

        Returns:
            Both.

        Raises:
            NotFoundError: There is no such data.
            AmbiguousError: A name means more than one.
            UsageError: A file is no table.
            DeniedError: A file may not be read from here.
        """
        found = [self._resolve(ref) for ref in (a, b)]
        first, second = found
        beside = [_in_pandas(other) for other in (second, first)]
        one, two = (
            _version(each) if isinstance(each, LoggedData) else _of_file(each, ref, pandas)
            for each, ref, pandas in zip(found, (a, b), beside, strict=True)
        )
        return one, two

    def _resolve(self, ref: str) -> LoggedData | Path:
        if not re.match(r"[./~]", ref):
            for find in (self._by_name, self._by_digest, self._by_run):
                found = find(ref)
                if found is not None:
                    return found
        return self._file(ref)

    def _find(self, filter_string: str, limit: int) -> list[Run]:
        # A store that was never written to is not made, and MLflow not imported, to find nothing in it.
        return self._runs.find(filter_string, limit=limit) if self._tracking.exists() else []

    def _by_name(self, name: str) -> LoggedData | None:
        """Give the data of a name that was logged last."""
        if not set(name) & _NOT_IN_FILTERS:
            runs = self._find(f"dataset.name = '{name}'", _NEWEST)
        else:
            runs = [run for run in self._find("", _MOST) if any(item["name"] == name for item in run.data)]
        found = [item for run in runs[:_NEWEST] for item in data_of(self._tracking, run) if item.name == name]
        if not found:
            return None
        last = max(item.logged for item in found)
        return _only(name, [item for item in found if item.logged == last])

    def _by_digest(self, ref: str) -> LoggedData | None:
        if not re.fullmatch(r"[0-9a-f]{6,36}", ref):
            return None
        runs = self._find(f"dataset.digest LIKE '{ref}%'", _MOST)
        newest: dict[str, Run] = {}
        for run in runs:
            for item in run.data:
                if str(item["digest"]).startswith(ref):
                    newest.setdefault(str(item["digest"]), run)
        found = [
            item
            for run in {run.run_id: run for run in newest.values()}.values()
            for item in data_of(self._tracking, run)
            if newest.get(item.digest) is run
        ]
        # The same content by two names is the same data.
        return _only(ref, list({item.digest: item for item in found}.values())) if found else None

    def _by_run(self, ref: str) -> LoggedData | None:
        missing = None
        for colon in (match.start() for match in re.finditer(":", ref)):
            try:
                run = self._runs.resolve(ref[:colon])
            except NotFoundError as error:
                if isinstance(error, AmbiguousError):
                    raise
                missing = error
                continue
            items = data_of(self._tracking, run)
            part = ref[colon + 1 :]
            found = [item for item in items if item.name == part] or [item for item in items if item.role == part]
            if found:
                return _only(ref, found)
            names = ", ".join(sorted({item.name for item in items})[:8])
            missing = NotFoundError(
                f"run {run.name!r} has no data named {part!r}",
                f"it has: {names}" if names else "it has none: `log data VAR` notes what a run reads",
            )
        if missing is not None and not is_table(Path(ref)):
            raise missing
        return None

    def _file(self, ref: str) -> Path:
        try:
            path = (self._root if self._inside else Path.cwd()) / Path(ref).expanduser()
        except RuntimeError:
            raise UsageError(f"there is no home for {ref[:60]!r}", "write the whole path") from None
        if self._inside and not path.resolve().is_relative_to(self._root.resolve()):
            raise DeniedError(f"{ref[:200]!r} is not under the workspace's folder", "name a file in the workspace")
        if path.is_file() and is_table(path):
            return path
        if path.is_file() or path.is_dir():
            raise UsageError(f"{ref[:200]!r} is no CSV or Parquet file", "log it as data, and name it by that")
        raise NotFoundError(f"there is no data {ref[:200]!r}, and no such file", self._known())

    def _known(self) -> str:
        names = dict.fromkeys(str(item["name"]) for run in self._find("", 50) for item in run.data)
        listed = ", ".join(list(names)[:8])
        return f"logged lately: {listed}" if listed else "`log data VAR` notes what a run reads; a path names a file"


def _only(ref: str, found: Sequence[LoggedData]) -> LoggedData:
    """Give what a name means, where all that it could mean has one digest."""
    if len({item.digest for item in found}) > 1:
        said = [f"{item.digest[:12]} ({item.name} of run {item.run}, {time_text(item.logged)})" for item in found]
        raise AmbiguousError(f"{ref!r} could be {len(said)} versions of data", said)
    return found[0]


def _version(item: LoggedData) -> Version:
    facts = dict(zip(_FACTS, (getattr(item, key) for key in _FACTS), strict=True)) | {"file": item.source.get("uri")}
    label = f"{item.name} of {item.run}"
    return Version(label, item.digest, facts, item.ours, item.profile, schema_columns(item.schema))


def _in_pandas(other: LoggedData | Path) -> bool | None:
    """Tell how a file is to be read beside another version: by pandas, by Arrow, or (None) as a file."""
    if isinstance(other, Path):
        return None
    return {"file": None, "folder": None, "table": False}.get(str(other.profile.get("data")), True)


def _of_file(path: Path, ref: str, pandas: bool | None) -> Version:
    """Look at a file as what it is compared with was looked at, so that digests and types can be compared."""
    if pandas is None:
        table = read_table(path)
        found = Looked(digest_of(path), of_table(table) | {"data": "file"}, None)
        found = replace(found, schema=schema_text(table, found.profile | {"data": "table"}))
    else:
        found = look_at(_frame(path) if pandas else read_table(path))
    facts = dict.fromkeys(_FACTS) | {"digest": found.digest, "file": str(path)}
    types = schema_columns(json.loads(found.schema or "{}"))
    return Version(ref, found.digest, facts, profile=found.profile, types=types)


def _frame(path: Path) -> Any:
    import pandas as pd
    import pyarrow as pa

    try:
        with warnings.catch_warnings():
            # It warns of columns of several types, which the profile tells.
            warnings.simplefilter("ignore")
            return pd.read_parquet(path) if path.name.lower().endswith(PARQUET) else pd.read_csv(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
