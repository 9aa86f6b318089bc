"""What a comparison of runs looks like, part by part: warnings, a sweep, curves, code and cells, as blocks."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.charts import Value, lines, lines_in_words, parallel, parallel_in_words
from mlops_jupyter.display import Block, Code, Diff, Fold, Grid, Heading, Note, Pairs, Picture, seconds_text
from mlops_jupyter.tracking.alignment import Cell, Change, is_reordered
from mlops_jupyter.tracking.curves import Curve, Point
from mlops_jupyter.tracking.records import short_references

_MOST_CHARTS = 12
_MOST_AXES = 8
_MOST_COLUMNS = 12
_MOST_MARKS = 5
_MOST_UNFOLDED = 5
_MOST_CELLS = 20
_MOST_LINES = 120
_WIDEST = 400

_Runs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class CodeChange:
    """What changed in the cells of a run against another's.

    Args:
        run: The run.
        against: The one that it is held against.
        cells: The changes, in the run's order.
        is_known: Whether any cells were kept of the other one.
        is_kept: Whether any were kept of the run.
    """

    run: str
    against: str
    cells: tuple[Change, ...]
    is_known: bool = True
    is_kept: bool = True

    @property
    def is_change(self) -> bool:
        """Whether there is any change at all."""
        return any(change.status != "equal" for change in self.cells) or is_reordered(self.cells)

    def to_json(self) -> dict[str, Any]:
        """Give the names and the changes."""
        return {"run": self.run, "against": self.against, "cells": [change.to_json() for change in self.cells]}


def warnings(label: str, run: Mapping[str, Any]) -> list[Block]:
    """Say why a run's cells, run from top to bottom, would not do what they did; and what of it can't be read."""
    blocks: list[Block] = []
    marks = run["marks"]
    if marks:
        reasons = [str(mark["reason"]) for mark in marks[:_MOST_MARKS]]
        reasons += [f"and {len(marks) - _MOST_MARKS} more"] if len(marks) > _MOST_MARKS else []
        known = " (by the notebook as last saved)" if run["document"] == "saved" else ""
        blocks.append(Note(f"{label} will not reproduce: {'; '.join(reasons)}{known}", "bad"))
    blocks += [Note(f"{name} of {label} can't be read", "bad") for name in run.get("unreadable", ())]
    return blocks


def data_changes(labels: Sequence[str], runs: _Runs) -> list[Block]:
    """Name data of one name that is not the same in two runs, and what tells the difference."""
    first = {item["name"]: item["digest"] for item in runs[0]["data"]}
    changed: dict[str, tuple[str, str]] = {}
    for label, run in zip(labels, runs, strict=True):
        for item in run["data"]:
            if first.get(item["name"], item["digest"]) != item["digest"]:
                changed.setdefault(str(item["name"]), (label, run["run_id"]))
    notes: list[Block] = []
    for name, (label, run_id) in changed.items():
        asked = f"data diff {runs[0]['run_id'][:8]}:{name} {run_id[:8]}:{name}"
        notes.append(Note(f"{name} is not the same in {labels[0]} and {label}: `{asked}` tells more"))
    return notes


# ---------------------------------------------------------------------------------------------------------------------
# A sweep


def sweep(
    labels: Sequence[str], runs: _Runs, differences: Mapping[str, Any], facts: Mapping[str, Sequence[Any]]
) -> list[Block]:
    """Show many runs: their parameters and a metric on parallel axes, and a row a run of what differs.

    Args:
        labels: What the runs are called.
        runs: Their details.
        differences: What differs between them.
        facts: What else is known of them: name → a value a run.

    Returns:
        The blocks; what is the same in all comes last.
    """
    params = [short_references(run["params"]) for run in runs]
    metric = _liveliest(runs, differences["metrics"])
    chosen = _axes(params, differences["params"])
    blocks: list[Block] = []
    if metric is not None and chosen:
        columns = {name: _column([of.get(name) for of in params]) for name in chosen}
        # The metric is the last axis, also where a parameter has its name.
        axes = [*chosen, metric if metric not in chosen else f"{metric} (metric)"]
        last = [_finite(run["metrics"].get(metric)) for run in runs]
        rows = [{name: columns[name][at] for name in chosen} | {axes[-1]: last[at]} for at in range(len(runs))]
        blocks.append(Picture(parallel(axes, rows, names=labels), parallel_in_words(axes, rows, names=labels)))
    blocks += _table(labels, runs, params, differences, facts)
    same = {name: value for name, value in params[0].items() if name not in differences["params"]}
    same |= {name: values[0] for name, values in facts.items() if len(set(values)) == 1}
    return [*blocks, Pairs(same, "the same in all")] if same else blocks


def _liveliest(runs: _Runs, differing: Sequence[str]) -> str | None:
    """Give the metric that varies most, among those that most runs have; what the machine did comes last."""

    def rank(name: str) -> tuple[bool, int, float]:
        values = [value for run in runs if (value := _finite(run["metrics"].get(name))) is not None]
        largest = max(map(abs, values), default=0.0)
        spread = max(values) / largest - min(values) / largest if largest else 0.0
        return (not name.startswith("system/"), len(values), spread)

    return max((name for name in differing if rank(name)[2] > 0), key=rank, default=None)


def _axes(params: Sequence[Mapping[str, str]], differing: Sequence[str]) -> list[str]:
    """Choose the parameters to draw: those first that say something about more than one run."""

    def rank(name: str) -> bool:
        values = [of.get(name) for of in params]
        return len(set(values)) == len(values) and not any(isinstance(value, float) for value in _column(values))

    return sorted(sorted(differing, key=rank)[:_MOST_AXES])


def _column(values: Sequence[str | None]) -> list[Value]:
    """Give parameters as numbers where all of them are, else as they are."""
    try:
        return [None if value is None else float(value) for value in values]
    except ValueError:
        return list(values)


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _table(
    labels: Sequence[str],
    runs: _Runs,
    params: Sequence[Mapping[str, str]],
    differences: Mapping[str, Any],
    facts: Mapping[str, Sequence[Any]],
) -> list[Block]:
    columns = {"run": "run"}
    rows: list[dict[str, Any]] = [{"run": label} for label in labels]
    for kind, values in (("metrics", [run["metrics"] for run in runs]), ("params", params)):
        for name in differences[kind][:_MOST_COLUMNS]:
            columns[f"{kind}.{name}"] = name
            for row, of in zip(rows, values, strict=True):
                row[f"{kind}.{name}"] = of.get(name)
    # The id tells runs of one name apart, which the labels do already.
    for name in (name for name, values in facts.items() if len(set(values)) > 1 and name != "run_id"):
        columns[name] = name
        for row, value in zip(rows, facts[name], strict=True):
            row[name] = value
    blocks: list[Block] = [Grid(columns, rows)]
    for kind in ("metrics", "params"):
        blocks += _left_out(f"{kind} differ as well", differences[kind][_MOST_COLUMNS:])
    return blocks


def _left_out(what: str, names: Sequence[str]) -> list[Block]:
    if not names:
        return []
    shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    return [Note(f"{len(names)} more {what}: {shown}")]


# ---------------------------------------------------------------------------------------------------------------------
# Curves


def charts(
    labels: Sequence[str], curves: Mapping[str, Sequence[Curve]], *, width: int = 480, height: int = 190
) -> list[Block]:
    """Lay the runs' curves over each other, a chart a metric, those first that differ most.

    Args:
        labels: What the runs are called.
        curves: Metric → a curve a run.
        width: Pixels of a chart.
        height: Pixels of a chart without its legend.

    Returns:
        Pictures, and notes on what is not in them.
    """
    apart = {name: _apart([curve.numbers for curve in series]) for name, series in curves.items()}
    names = sorted(curves, key=lambda name: (name.startswith("system/"), -apart[name], name))
    shown = names[:_MOST_CHARTS]
    blocks: list[Block] = []
    for name in shown:
        series, across = _series(labels, curves[name])
        picture = lines(series, name, across=across, width=width, height=height)
        blocks.append(Picture(picture, lines_in_words(series, name, across=across)))
    sampled = [name for name in shown if any(curve.is_sampled for curve in curves[name])]
    if sampled:
        said = ", ".join(sampled)
        blocks.append(Note(f"the store gave a sample of {said}: what a curve did between two points is not seen"))
    return blocks + _left_out("metrics have curves", names[_MOST_CHARTS:])


def _series(labels: Sequence[str], curves: Sequence[Curve]) -> tuple[dict[str, Sequence[Point]], str]:
    """Give the curves by name; those of metrics that were logged without steps by the order of their points."""
    if all(len({step for step, _ in curve.points}) < 2 for curve in curves):
        counted = [[(at, value) for at, (_, value) in enumerate(curve.points)] for curve in curves]
        return dict(zip(labels, counted, strict=True)), "point"
    return {label: curve.points for label, curve in zip(labels, curves, strict=True)}, "step"


def _apart(series: Sequence[Sequence[Point]]) -> float:
    """Tell how far curves are from each other on the whole, as a part of all that they span."""
    finite = [[point for point in points if math.isfinite(point[1])] for points in series]
    curves = [points for points in finite if points]
    if len(curves) < 2:
        return 0.0
    low, high = (choose(y for points in curves for _, y in points) for choose in (min, max))
    if low == high:
        return 0.0
    first, last = min(points[0][0] for points in curves), max(points[-1][0] for points in curves)
    total = 0.0
    for number in range(33):
        step = first + (last - first) * number / 32
        # What a curve was last at is where it is: between two points nobody knows.
        at = [points[max(bisect_right(points, step, key=lambda point: point[0]) - 1, 0)][1] for points in curves]
        total += (max(at) / 2 - min(at) / 2) / (high / 2 - low / 2)
    return total / 33


# ---------------------------------------------------------------------------------------------------------------------
# Code


def code(pairs: Sequence[CodeChange]) -> list[Block]:
    """Show what changed in the cells of each run against the first: equal ones as a count, of others the lines.

    Args:
        pairs: A change a run but the first.

    Returns:
        The blocks; of more than two runs, folded.
    """
    told = [pair for pair in pairs if pair.is_known or pair.is_kept]
    if not told:
        return []
    if len(pairs) == 1:
        return [Heading("code"), Note(_summary(told[0])), *_changes(told[0])]
    changed = [pair for pair in told if pair.is_change]
    blocks: list[Block] = [Heading(f"code, each against {told[0].against}")]
    blocks += [Fold(_summary(pair), inside) if (inside := _changes(pair)) else Note(_summary(pair)) for pair in changed]
    same = [pair.run for pair in told if not pair.is_change]
    return [*blocks, Note(f"all cells equal: {', '.join(same)}")] if same else blocks


def _summary(pair: CodeChange) -> str:
    if not pair.is_known or not pair.is_kept:
        return f"no cells were kept of {pair.run if pair.is_known else pair.against}"
    counts = Counter(change.status for change in pair.cells)
    said = [f"{counts[status]} {status}" for status in ("changed", "added", "removed", "equal") if counts[status]]
    order = ", in another order" if is_reordered(pair.cells) else ""
    return f"cells of {pair.run} against {pair.against}: {', '.join(said)}{order}"


def _changes(pair: CodeChange) -> list[Block]:
    if not pair.is_known or not pair.is_kept:
        return []
    changed = [change for change in pair.cells if change.status != "equal"]
    blocks: list[Block] = []
    for change in changed[:_MOST_CELLS]:
        # Where a difference begins is worth a line when it is not the cell's beginning.
        lines_of = change.diff[1:] if change.diff[0].startswith("@@ -1,") else change.diff
        shown = [_short(line) for line in lines_of[:_MOST_LINES]]
        more = len(lines_of) - len(shown)
        shown += [f"… {more} more lines"] if more else []
        blocks.append(Diff(shown, f"{_place(change)} {change.status}"))
    more = len(changed) - _MOST_CELLS
    return [*blocks, Note(f"and {more} more cells that differ")] if more > 0 else blocks


def _short(line: str) -> str:
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"


def _place(change: Change) -> str:
    orders = [cell.order for cell in (change.before, change.after) if cell is not None and cell.order is not None]
    return f"cell {' → '.join(f'[{order}]' for order in dict.fromkeys(orders))}" if orders else "cell"


def cells(label: str, kept: Sequence[Cell]) -> list[Block]:
    """Show a run's cells; more than a few are folded.

    Args:
        label: What the run is called.
        kept: The cells, in the order in which they ran.
    """
    blocks = [Code(cell.source, _told(cell, label)) for cell in kept]
    if len(blocks) <= _MOST_UNFOLDED:
        return list(blocks)
    failed = sum(cell.outcome not in ("ok", None) for cell in kept)
    return [Fold(f"{len(kept)} cells{f', {failed} of them not ok' if failed else ''}", blocks)]


def _told(cell: Cell, label: str) -> str:
    if cell.order is None:
        return f"cell of {label}"
    parts = [f"cell [{cell.order}]", *([cell.outcome] if cell.outcome not in ("ok", None) else [])]
    parts += [seconds_text(cell.seconds)] if cell.seconds is not None else []
    parts += [f"reads {', '.join(cell.read)}"] if cell.read else []
    parts += [f"writes {', '.join(cell.written)}"] if cell.written else []
    return ", ".join(map(str, parts))
