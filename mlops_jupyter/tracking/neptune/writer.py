"""The second pass over a run: what is in it is written to MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.tracking.neptune.batches import Batches
from mlops_jupyter.tracking.neptune.files import Files
from mlops_jupyter.tracking.neptune.layout import ExportedRun
from mlops_jupyter.tracking.neptune.names import mapped
from mlops_jupyter.tracking.neptune.rows import MICRO, Rows, read
from mlops_jupyter.tracking.neptune.survey import (
    HISTOGRAMS,
    PARAMS,
    STRING_SERIES,
    STRING_SET,
    Survey,
    points_of,
)
from mlops_jupyter.tracking.neptune.target import Target
from mlops_jupyter.tracking.neptune.texts import Texts, time_text

_LONGEST_PARAM, _LONGEST_TAG = 6000, 5000


@dataclass(frozen=True)
class Plan:
    """How a run is written.

    Args:
        run: The run in the export.
        survey: What is in it.
        run_id: MLflow's run.
        folder: An empty folder for what is needed meanwhile.
        multiplier: What all steps are multiplied with; None to leave it to the series.
        there: How many points MLflow has already.
        moment: Called now and then.
    """

    run: ExportedRun
    survey: Survey
    run_id: str
    folder: Path
    multiplier: int | None
    there: int
    moment: Callable[[], None]


class Writer:
    """Writes one run.

    Args:
        target: Where to.
        plan: What, and how.
    """

    def __init__(self, target: Target, plan: Plan) -> None:
        self._target = target
        self._plan = plan
        found = plan.survey
        self._params, self._metrics = mapped(found.params), mapped(found.metrics)
        self._tags = mapped(found.tags, tags=True)
        self._factors = {path: plan.multiplier or (MICRO if path in found.decimals else 1) for path in found.metrics}
        self._said: set[str] = set()
        self._moved: dict[str, str] = {}
        self._batches = Batches(target, plan.run_id, plan.there)
        self._texts = Texts(plan.folder)
        self.files = Files(target, plan.run_id, plan.run, plan.folder)
        self.counts = {"points": 0, "params": 0, "tags": 0, "texts": 0}

    def write(self) -> None:
        """Write all that is in the run, but for its end.

        Raises:
            Refused: The export was damaged since it was surveyed.
            StoreError: MLflow is away.
        """
        for rows in read(self._plan.run):
            self._values(rows)
            self._string_sets(rows)
            self._points(rows)
            self._series(rows)
            self.files.take(rows)
            self._texts.flush()
            self._plan.moment()
        self._batches.send()
        self._keep_texts()
        self.files.finish()
        self._keep_record()
        self.counts |= {"points": self._batches.points, "params": self._batches.params}

    def _values(self, rows: Rows) -> None:
        for kind, column in PARAMS.items():
            given = rows.is_given(column)
            for row in rows.of_type(kind):
                path = rows.path(row)
                if given[row] and path not in self._said:
                    self._said.add(path)
                    self._param(path, _text(kind, rows.value(column, row)))

    def _param(self, path: str, text: str) -> None:
        name = self._params[path]
        kept = text[:_LONGEST_PARAM].replace("\x00", "\ufffd")
        self._batches.param(name, kept)
        if kept != text:
            self._keep_text(text, f"params/{name}.txt")

    def _string_sets(self, rows: Rows) -> None:
        given = rows.is_given("string_set_value")
        for row in rows.of_type(STRING_SET):
            if not given[row]:
                continue
            path = rows.path(row)
            words = sorted(word for word in rows.value("string_set_value", row) if word is not None)
            text = json.dumps(words, ensure_ascii=False)
            self._target.log(self._plan.run_id, [], [], {self._tags[path]: text[:_LONGEST_TAG]})
            self.counts["tags"] += 1
            if len(text) > _LONGEST_TAG:
                self._keep_text(text, f"tags/{self._tags[path]}.json")

    def _keep_text(self, text: str, wanted: str) -> None:
        aside = self._plan.folder / "long.text"
        aside.write_text(text, "utf-8", newline="")
        self.files.keep(aside, self.files.place(wanted, own=True))

    def _points(self, rows: Rows) -> None:
        points = points_of(rows)
        names = [self._metrics.get(path, "") for path in rows.paths]
        factors = [self._factors.get(path, 1) for path in rows.paths]
        unknown = self._plan.survey.started or 0
        columns = (rows.codes(points), rows.numbers[points], rows.times[points], rows.steps[points])
        timed = rows.is_given("timestamp")[points].tolist()
        for code, value, time, step, has_time in zip(*(column.tolist() for column in columns), timed, strict=True):
            at = step // MICRO * factors[code] + step % MICRO * factors[code] // MICRO
            self._batches.point(names[code], value, time if has_time else unknown, at)

    def _series(self, rows: Rows) -> None:
        given = rows.is_given("string_value")
        for row in rows.of_type(STRING_SERIES):
            if given[row]:
                where = rows.path(row), rows.step(row), rows.value("timestamp", row)
                self._texts.text(*where, rows.value("string_value", row))
        given = rows.is_given("histogram_value")
        for row in rows.of_type(HISTOGRAMS):
            if given[row]:
                where = rows.path(row), rows.step(row), rows.value("timestamp", row)
                self._texts.histogram(*where, rows.value("histogram_value", row))

    def _keep_texts(self) -> None:
        for path, wanted, file in self._texts.files():
            place = self.files.place(wanted)
            self.files.keep(file, place)
            self.counts["texts"] += 1
            if place != wanted:
                self._moved[place] = path

    def _keep_record(self) -> None:
        """Keep how the run was imported: what is called otherwise than in Neptune, and what was left out."""
        found = self._plan.survey
        renamed = {
            kind: {name: path for path, name in sorted(names.items()) if name != path}
            for kind, names in (("params", self._params), ("metrics", self._metrics), ("tags", self._tags))
        }
        record: Mapping[str, Any] = {
            "project": found.project,
            "run": found.run,
            "renamed": renamed | {"texts": self._moved},
            "step_multipliers": {self._metrics[p]: factor for p, factor in sorted(self._factors.items()) if factor > 1},
            "left_out": dict(found.left_out),
        }
        self._keep_text(json.dumps(record, indent=2, ensure_ascii=False), "import.json")


def _text(kind: str, value: Any) -> str:
    return time_text(value) if kind == "datetime" else str(value)
