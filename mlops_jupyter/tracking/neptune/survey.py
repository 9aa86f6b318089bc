"""The first pass over a run: what is in it. Nothing is written before all of it could be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mlops_jupyter.tracking.neptune.layout import ExportedRun, Refused
from mlops_jupyter.tracking.neptune.rows import MICRO, Rows, owner, read

#: Type of an attribute with one value → the column that has it.
PARAMS = {
    "float": "float_value",
    "int": "int_value",
    "string": "string_value",
    "bool": "bool_value",
    "datetime": "datetime_value",
}
STRING_SET, FLOAT_SERIES, STRING_SERIES, HISTOGRAMS = "string_set", "float_series", "string_series", "histogram_series"
FILES = ("file", "artifact", "file_set", "file_series")
_KNOWN = {*PARAMS, STRING_SET, FLOAT_SERIES, STRING_SERIES, HISTOGRAMS, *FILES}
# What Neptune itself says of a run.
_FACTS = {
    "sys/name",
    "sys/custom_run_id",
    "sys/owner",
    "sys/description",
    "sys/failed",
    "sys/creation_time",
    "sys/ping_time",
    "sys/modification_time",
    "sys/running_time",
    "sys/running_time_seconds",
    "sys/forking/parent",
}
# What Neptune 2 calls a run that nobody has named.
_UNNAMED = "Untitled"
_YEAR_10000 = 253_402_300_800_000


@dataclass
class Survey:
    """What is in a run.

    Args:
        project: Its project in Neptune.
        run: Its id there.
        facts: What Neptune itself says of it, by attribute.
        params: The attributes that become params.
        metrics: Those that become metrics.
        tags: Those that become tags.
        decimals: The metrics that have steps which are no whole numbers.
        left_out: Type → number of attributes that are of no known type.
        first: The earliest time of a point, milliseconds since 1970.
        last: The latest.
    """

    project: str
    run: str
    facts: dict[str, Any] = field(default_factory=dict)
    params: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    decimals: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None

    @property
    def id(self) -> str:
        """What the run is called across projects."""
        return f"{self.project}/{self.run}"

    @property
    def name(self) -> str:
        """The name that people gave it, else its id."""
        given = str(self.facts.get("sys/name") or "").strip()
        known = "" if given == _UNNAMED else given
        name = known or str(self.facts.get("sys/custom_run_id") or "").strip() or self.run
        return name[:250].replace("\x00", "\ufffd")

    @property
    def parent(self) -> str | None:
        """The id of the run that it was forked from."""
        return self.facts.get("sys/forking/parent") or None

    @property
    def status(self) -> str:
        """How it ended, in MLflow's word; none of Neptune's runs goes on."""
        return "FAILED" if self.facts.get("sys/failed") else "FINISHED"

    @property
    def started(self) -> int | None:
        """When it began, if that is known, in milliseconds since 1970."""
        return _moment(self.facts.get("sys/creation_time")) or _moment(self.first)

    @property
    def ended(self) -> int | None:
        """When it ended, as far as is known: when Neptune last heard of its process."""
        facts, began = self.facts, _moment(self.facts.get("sys/creation_time"))
        took = facts.get("sys/running_time") or facts.get("sys/running_time_seconds")
        by_duration = None
        if began and isinstance(took, int | float) and 0 <= took < _YEAR_10000:
            by_duration = _moment(began + round(took * 1000))
        found = _moment(facts.get("sys/ping_time")) or by_duration
        found = found or _moment(facts.get("sys/modification_time")) or _moment(self.last) or self.started
        return max(found, self.started or found) if found else None


def _moment(milliseconds: Any) -> int | None:
    """Give a time, unless it is none that people and MLflow could read."""
    return milliseconds if isinstance(milliseconds, int) and 0 < milliseconds < _YEAR_10000 else None


def survey(run: ExportedRun, multiplier: int | None) -> Survey:
    """Read all of a run.

    Args:
        run: Which.
        multiplier: What all steps are multiplied with; None to leave it to the series.

    Returns:
        What is in it.

    Raises:
        Refused: It is damaged, names files outside of the export, or has steps that the multiplier leaves broken.
    """
    found: Survey | None = None
    for rows in read(run):
        if not len(rows):
            continue
        project, name = owner(run, rows)
        found = found or Survey(project, name)
        if (found.project, found.run) != (project, name):
            raise Refused(f"{run.label} has rows of more than one run in it", "export it again")
        if rows.has_gaps:
            raise Refused(f"{run.label} has rows without a path or a type", "export it again")
        _values(found, rows)
        _points(found, rows, multiplier or 1)
        _files(run, rows)
        _times(found, rows)
    if found is None:
        raise Refused(f"{run.label} has no rows", "export it again")
    if multiplier and found.decimals:
        raise Refused(
            f"{found.id}: --step-multiplier {multiplier} leaves steps of {min(found.decimals)!r} broken",
            f"steps have up to six decimals: --step-multiplier {MICRO} makes each whole",
        )
    return found


def _values(found: Survey, rows: Rows) -> None:
    for kind, column in PARAMS.items():
        given = rows.is_given(column)
        for row in rows.of_type(kind):
            # The exporter writes a row for each attribute of the runs fetched together, empty where it is another's.
            if given[row]:
                path = rows.path(row)
                found.params.add(path)
                if path in _FACTS:
                    found.facts.setdefault(path, rows.value(column, row))
    given = rows.is_given("string_set_value")
    found.tags.update(rows.path(row) for row in rows.of_type(STRING_SET) if given[row])
    for kind in rows.types:
        if kind not in _KNOWN:
            found.left_out[kind] += len({rows.path(row) for row in rows.of_type(kind)})


def points_of(rows: Rows) -> Any:
    """Give the numbers of the rows that are points of a series of numbers; one without value and time is none."""
    of_series = rows.of_type(FLOAT_SERIES)
    return of_series[(rows.is_given("float_value") | rows.is_given("timestamp"))[of_series]]


def _points(found: Survey, rows: Rows, multiplier: int) -> None:
    import numpy as np

    points = points_of(rows)
    codes = rows.codes(points)
    found.metrics.update(rows.paths[code] for code in np.unique(codes))
    # Only what is left of a step is multiplied: the whole of it might have no room.
    broken = (rows.steps[points] % MICRO) * multiplier % MICRO != 0
    found.decimals.update(rows.paths[code] for code in np.unique(codes[broken]))


def _times(found: Survey, rows: Rows) -> None:
    times = rows.times[rows.is_given("timestamp")]
    if len(times):
        first, last = int(times.min()), int(times.max())
        found.first = first if found.first is None else min(first, found.first)
        found.last = last if found.last is None else max(last, found.last)


def _files(run: ExportedRun, rows: Rows) -> None:
    given = rows.is_given("file_value")
    for row in rows.of_type(*FILES):
        if given[row]:
            path_of_file(run, rows.value("file_value", row)["path"])


def path_of_file(run: ExportedRun, path: str | None) -> Path | None:
    """Give the file that a row names, there or not; None where the row names none, or the export has no files at all.

    Raises:
        Refused: It lies outside of the run's export.
    """
    if path is None:
        return None
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute() or "\x00" in path or Path(path).is_absolute():
        raise _outside(run, path)
    if run.files is None:
        return None
    file = run.files.joinpath(*parts)
    try:
        inside = file.resolve().is_relative_to(run.files)
    except (OSError, RuntimeError):  # links that go round in a circle, names that are too long
        return file
    if not inside:
        raise _outside(run, path)
    return file


def _outside(run: ExportedRun, path: str) -> Refused:
    return Refused(
        f"{run.label} names a file outside of the export: {path[:200]!r}",
        "no export of neptune-exporter does: get it anew from whoever made it",
    )
