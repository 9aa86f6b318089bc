"""Runs side by side, and what differs between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.display import Block, Code, Grid, Heading, Note, Shown, seconds_text, time_text
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.records import (
    CELL,
    ENVIRONMENT,
    GIT_COMMIT,
    GIT_DIRTY,
    SNAPSHOT,
    Run,
    short_references,
)


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Runs side by side."""

    runs: tuple[Mapping[str, Any], ...]
    differences: Mapping[str, Any]
    curves: Mapping[str, Sequence[Sequence[tuple[int, float]]]]

    def to_json(self) -> Any:
        """Give runs, what differs, and the metrics' series."""
        return {
            "runs": [dict(run) for run in self.runs],
            "differences": dict(self.differences),
            "curves": dict(self.curves),
        }

    def blocks(self) -> Sequence[Block]:
        """Give the facts, the differences first."""
        labels = [str(run["name"]) for run in self.runs]
        blocks: list[Block] = [Heading(" and ".join(labels) if len(labels) > 1 else labels[0])]
        for kind in ("metrics", "params"):
            names = sorted({name for run in self.runs for name in run[kind]})
            differing = set(self.differences[kind])
            names.sort(key=lambda name, differing=differing: (name not in differing, name))  # type: ignore[misc]
            shown = [short_references(run[kind]) if kind == "params" else run[kind] for run in self.runs]
            facts = [(name, [values.get(name) for values in shown]) for name in names]
            if facts:
                blocks.append(self._grid(kind, facts, differing))
        facts = self._facts()
        differing = {name for name, values in facts if len(self.runs) > 1 and len(set(values)) > 1}
        facts.sort(key=lambda fact: fact[0] not in differing)
        blocks.append(self._grid("run", facts, differing))
        blocks += self._code()
        if len(self.runs) > 1 and not any(self.differences.values()):
            blocks.append(Note("no differences"))
        return blocks

    def _facts(self) -> list[tuple[str, list[Any]]]:
        short = {"environment": 12, "git_commit": 10, "run_id": 12}
        keys = ("run_id", "status", "started", "notebook", "git_commit", "environment", "snapshot")
        rows = [(key, [_cut(run[key], short.get(key)) or "–" for run in self.runs]) for key in keys]
        rows[2] = ("started", [time_text(run["started"]) for run in self.runs])
        rows.insert(3, ("took", [seconds_text(run["seconds"]) for run in self.runs]))
        rows.append(("data", [", ".join(str(d["name"]) for d in run["data"]) for run in self.runs]))
        rows.append(("models", [", ".join(str(m["name"]) for m in run["models"]) for run in self.runs]))
        return [(key, values) for key, values in rows if any(value not in ("", "–") for value in values)]

    def _grid(self, title: str, facts: Sequence[tuple[str, list[Any]]], differing: set[str]) -> Grid:
        columns = {"": title} | {str(i): _label(run) for i, run in enumerate(self.runs)}
        rows = [{"": name} | {str(i): value for i, value in enumerate(values)} for name, values in facts]
        marked = frozenset(i for i, (name, _) in enumerate(facts) if name in differing)
        return Grid(columns, rows, marked=marked)

    def _code(self) -> list[Block]:
        sources = [run["source"] for run in self.runs]
        if len(self.runs) > 1 and not self.differences["source"]:
            return []
        return [
            Code(source, f"cell of {run['name']}") for source, run in zip(sources, self.runs, strict=True) if source
        ]


def _cut(value: Any, length: int | None) -> Any:
    return value[:length] if length and isinstance(value, str) else value


def _label(run: Mapping[str, Any]) -> str:
    return str(run["name"])


def compared(tracking: Tracking, runs: Sequence[Run], source_of: Callable[[Run], str | None]) -> Comparison:
    """Lay runs side by side.

    Args:
        tracking: The workspace's store.
        runs: The runs, in the order in which they are shown.
        source_of: Gives the source of a run's cell, or None where none was kept.

    Returns:
        The comparison; of a single run, its details.
    """
    details = tuple(_details(tracking, run, source_of) for run in runs)
    return Comparison(details, _differences(details), _curves(tracking, runs))


@answers
def _details(tracking: Tracking, run: Run, source_of: Callable[[Run], str | None]) -> dict[str, Any]:
    tags = run.tags
    return run.row() | {
        "tags": {key: value for key, value in tags.items() if not key.startswith("mlflow.")},
        "cell": tags.get(CELL),
        "source": source_of(run),
        "git_commit": tags.get(GIT_COMMIT),
        "git_dirty": tags[GIT_DIRTY] == "true" if GIT_DIRTY in tags else None,
        "environment": tags.get(ENVIRONMENT),
        "snapshot": tags.get(SNAPSHOT),
        "data": [dict(item) for item in run.data],
        "models": [
            {"name": model.name, "model_id": model.model_id}
            for model in map(tracking.client.get_logged_model, run.model_ids)
        ],
    }


@answers
def _curves(tracking: Tracking, runs: Sequence[Run]) -> dict[str, list[list[tuple[int, float]]]]:
    curves = {}
    for name in sorted({name for run in runs for name in run.metrics}):
        series = [_series(tracking, run, name) for run in runs]
        if any(len(points) > 1 for points in series):
            curves[name] = series
    return curves


def _series(tracking: Tracking, run: Run, metric: str) -> list[tuple[int, float]]:
    if metric not in run.metrics:
        return []
    points = tracking.client.get_metric_history(run.run_id, metric)
    return sorted((point.step, point.value) for point in points if point.value == point.value)


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
