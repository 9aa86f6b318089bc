"""Runs side by side, and what differs between them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.display import Block, Grid, Heading, Note, Shown, seconds_text, time_text
from mlops_jupyter.tracking import curves, views
from mlops_jupyter.tracking.alignment import Cell, changes
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.curves import Curve
from mlops_jupyter.tracking.lineage import LINEAGE
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.queue.cells import RECORDS, SOURCE
from mlops_jupyter.tracking.records import (
    CELL,
    ENVIRONMENT,
    GIT_COMMIT,
    GIT_DIRTY,
    SNAPSHOT,
    Run,
    short_references,
)

TextOf = Callable[[Run, str], str | None]

# From so many runs on, a column a run is too many.
_SWEEP = 5


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Runs side by side.

    Args:
        runs: What is known of each, as JSON.
        differences: What differs, by kind.
        curves: Metric → a curve a run.
        cells: The cells of each.
        code: What changed in the cells of each run but the first, against the first.
    """

    runs: tuple[Mapping[str, Any], ...]
    differences: Mapping[str, Any]
    curves: Mapping[str, Sequence[Curve]]
    cells: tuple[Sequence[Cell], ...]
    code: tuple[views.CodeChange, ...]

    def to_json(self) -> Any:
        """Give runs, what differs, the metrics' series, and what changed in the cells."""
        return {
            "runs": [dict(run) for run in self.runs],
            "differences": dict(self.differences),
            "curves": {name: [curve.numbers for curve in series] for name, series in self.curves.items()},
            "thinned": any(curve.is_thinned for series in self.curves.values() for curve in series),
            "code": [change.to_json() for change in self.code],
        }

    def blocks(self) -> Sequence[Block]:
        """Give what will not reproduce, the facts, the differences first, the curves and the code."""
        labels = labels_of(self.runs)
        count = len(self.runs)
        blocks: list[Block] = [Heading(f"{count} runs" if count >= _SWEEP else " and ".join(labels))]
        for label, run in zip(labels, self.runs, strict=True):
            blocks += views.warnings(label, run)
        facts = self._facts()
        if count >= _SWEEP:
            blocks += views.sweep(labels, self.runs, self.differences, facts)
        else:
            blocks += self._grids(labels, facts)
        blocks += views.charts(labels, self.curves)
        blocks += views.data_changes(labels, self.runs)
        blocks += views.cells(labels[0], self.cells[0]) if count == 1 else views.code(self.code)
        is_same = not any(self.differences.values()) and not any(change.is_change for change in self.code)
        return [*blocks, Note("no differences")] if count > 1 and is_same else blocks

    def _grids(self, labels: Sequence[str], facts: Mapping[str, list[Any]]) -> list[Block]:
        blocks = []
        for kind in ("metrics", "params"):
            names = sorted({name for run in self.runs for name in run[kind]})
            shown = [short_references(run[kind]) if kind == "params" else run[kind] for run in self.runs]
            values = {name: [of.get(name) for of in shown] for name in names}
            if values:
                blocks.append(_grid(kind, labels, values, set(self.differences[kind])))
        differing = {name for name, values in facts.items() if len(set(values)) > 1}
        return [*blocks, _grid("run", labels, facts, differing)]

    def _facts(self) -> dict[str, list[Any]]:
        short = {"environment": 12, "git_commit": 10, "run_id": 12}
        keys = ("run_id", "status", "started", "notebook", "git_commit", "environment", "snapshot")
        rows = [(key, [_cut(run[key], short.get(key)) or "–" for run in self.runs]) for key in keys]
        rows[2] = ("started", [time_text(run["started"]) for run in self.runs])
        rows.insert(3, ("took", [seconds_text(run["seconds"]) for run in self.runs]))
        rows.append(("data", [", ".join(map(_data_text, run["data"])) for run in self.runs]))
        rows.append(("models", [", ".join(str(m["name"]) for m in run["models"]) for run in self.runs]))
        return {key: values for key, values in rows if any(value not in ("", "–") for value in values)}


def _data_text(data: Mapping[str, Any]) -> str:
    return f"{data['name']} {str(data['digest'])[:8]}"


def _grid(title: str, labels: Sequence[str], values: Mapping[str, Sequence[Any]], differing: set[str]) -> Grid:
    names = sorted(values, key=lambda name: name not in differing)
    columns = {"": title} | {str(at): label for at, label in enumerate(labels)}
    rows = [{"": name} | {str(at): value for at, value in enumerate(values[name])} for name in names]
    return Grid(columns, rows, marked=frozenset(at for at, name in enumerate(names) if name in differing))


def _cut(value: Any, length: int | None) -> Any:
    return value[:length] if length and isinstance(value, str) else value


def labels_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the runs' names, with a part of the id where two have the same, and a number where they are one run."""
    names = Counter(str(run["name"]) for run in runs)
    labels: list[str] = []
    for run in runs:
        name = str(run["name"])
        label = name if names[name] == 1 else f"{name} ({run['run_id'][:8]})"
        again = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{again + 1}" if again else label)
    return labels


def compared(tracking: Tracking, runs: Sequence[Run], text_of: TextOf) -> Comparison:
    """Lay runs side by side.

    Args:
        tracking: The workspace's store.
        runs: The runs, in the order in which they are shown; the first is what the others' code is held against.
        text_of: Gives a text among a run's artifacts, or None where there is none.

    Returns:
        The comparison; of a single run, its details.
    """
    kept = [_kept(run, text_of) for run in runs]
    details = tuple(_details(tracking, run) | of for run, (_, of) in zip(runs, kept, strict=True))
    cells = tuple(of for of, _ in kept)
    labels = labels_of(details)
    code = tuple(
        views.CodeChange(label, labels[0], tuple(changes(cells[0], of)), bool(cells[0]), bool(of))
        for label, of in zip(labels[1:], cells[1:], strict=True)
    )
    return Comparison(details, _differences(details), curves.read(tracking, runs), cells, code)


@answers
def _details(tracking: Tracking, run: Run) -> dict[str, Any]:
    tags = run.tags
    return run.row() | {
        "tags": {key: value for key, value in tags.items() if not key.startswith("mlflow.")},
        "cell": tags.get(CELL),
        "git_commit": tags.get(GIT_COMMIT),
        "git_dirty": tags[GIT_DIRTY] == "true" if GIT_DIRTY in tags else None,
        "environment": tags.get(ENVIRONMENT),
        "snapshot": tags.get(SNAPSHOT),
        "data": [dict(item) for item in run.data],
        "models": [{"name": _model_name(tracking.client, id), "model_id": id} for id in run.model_ids],
    }


def _model_name(client: Any, model_id: str) -> str:
    try:
        name: str = client.get_logged_model(model_id).name
    except Exception as error:
        if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
            raise
        return "(deleted)"
    return name


@answers
def _kept(run: Run, text_of: TextOf) -> tuple[list[Cell], dict[str, Any]]:
    """Read what a run keeps of its cells: the cells, and what the details say of them."""
    source, unreadable = text_of(run, SOURCE), []
    cells: list[Cell] = []
    lineage: dict[str, Any] = {"document": None, "marks": []}
    try:
        cells = [Cell.of(record) for record in json.loads(text_of(run, RECORDS) or "[]")]
    except (ValueError, TypeError, LookupError, AttributeError):
        unreadable.append(RECORDS)
    try:
        lineage |= _lineage(json.loads(text_of(run, LINEAGE) or "{}"))
    except (ValueError, TypeError, LookupError, AttributeError):
        unreadable.append(LINEAGE)
    known = {"source": source, "cells": [cell.to_json() for cell in cells]} | lineage
    # What another program, or a later version, has written there is told, and is no reason to show nothing.
    known |= {"unreadable": unreadable} if unreadable else {}
    return cells or ([Cell(run.tags.get(CELL), None, source)] if source else []), known


def _lineage(said: Mapping[str, Any]) -> dict[str, Any]:
    marks = [{key: mark[key] for key in ("cell", "order", "kind", "reason")} for mark in said.get("marks", [])]
    return {"document": said.get("document"), "marks": marks}


def _differences(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def differ(values: Sequence[Any]) -> bool:
        return len({json.dumps(value, sort_keys=True, default=str) for value in values}) > 1

    result: dict[str, Any] = {}
    for kind in ("params", "metrics"):
        names = sorted({name for run in runs for name in run[kind]})
        result[kind] = [n for n in names if differ([run[kind].get(n) for run in runs])]
    for key in ("source", "environment", "data"):
        result[key] = differ([run[key] for run in runs])
    result["git"] = differ([[run["git_commit"], run["git_dirty"]] for run in runs])
    return result
