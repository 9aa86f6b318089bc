"""What an import has done, run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlops_jupyter.display import Block, Grid, Heading, Note, Pairs, Shown

State = Literal["imported", "completed", "skipped", "refused"]
_COUNTS = ("points", "params", "tags", "texts", "files", "missing")
_MOST_SHOWN = 20


@dataclass
class RunResult:
    """What became of one run.

    Args:
        run: What it is called in Neptune, or, where that could not be read, in the export.
        state: ``imported``; ``completed`` where an earlier import had been broken off, or files had been missing;
            ``skipped`` where it was there; ``refused``.
        run_id: MLflow's id.
        name: Its name.
        experiment: Where it is.
        counts: How many points, params, tags, texts and files were written, and how many files were missing.
        multiplied: The metrics whose steps count in millionths, because they are no whole numbers.
        left_out: Type → how many attributes are of a type that is not known.
        problems: What was wrong.
        hint: What to do where it was refused.
    """

    run: str
    state: State
    run_id: str | None = None
    name: str | None = None
    experiment: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    multiplied: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hint: str = ""

    def row(self) -> dict[str, Any]:
        """Give it as a row of a table."""
        head = {"run": self.run, "state": self.state, "run_id": self.run_id, "name": self.name}
        counts = {name: self.counts.get(name, 0) for name in _COUNTS}
        rest = {"multiplied": list(self.multiplied[:_MOST_SHOWN]), "problems": list(self.problems)}
        return head | {"experiment": self.experiment} | counts | rest


@dataclass(frozen=True, repr=False)
class ImportResult(Shown):
    """What an import has done.

    Args:
        folder: The export.
        runs: What became of each run.
        notes: What else is worth telling.
    """

    folder: Path
    runs: Sequence[RunResult]
    notes: Sequence[str]

    @property
    def ok(self) -> bool:  # type: ignore[override]
        """Whether no run was refused."""
        return not self.how_many("refused")

    def how_many(self, state: State) -> int:
        """Count the runs of a state."""
        return sum(run.state == state for run in self.runs)

    def total(self, count: str) -> int:
        """Sum up a count over all runs."""
        return sum(run.counts.get(count, 0) for run in self.runs)

    @property
    def problems(self) -> list[str]:
        """What was wrong, each with its run."""
        return [f"{run.run}: {problem}" for run in self.runs for problem in run.problems]

    @property
    def df(self) -> Any:
        """The runs as a pandas frame."""
        import pandas as pd

        return pd.DataFrame([run.row() for run in self.runs])

    def to_json(self) -> Any:
        """Give the counts, a row a run, the problems and the notes."""
        states: tuple[State, ...] = ("imported", "completed", "skipped", "refused")
        return {
            "export": str(self.folder),
            "runs": {state: self.how_many(state) for state in states},
            **{count: self.total(count) for count in _COUNTS},
            "rows": [run.row() for run in self.runs],
            "problems": self.problems,
            "notes": [*self.notes, *self._said()],
        }

    def blocks(self) -> Sequence[Block]:
        """Give the counts, the runs that were written, and what was wrong."""
        facts = {state: self.how_many(state) for state in ("imported", "completed", "skipped", "refused")}
        written = {name: self.total(name) for name in _COUNTS if self.total(name)}
        counts = {f"runs {state}": number for state, number in facts.items() if number} | written
        blocks: list[Block] = [Heading(f"Neptune: {self.folder}"), Pairs(counts)]
        shown = [run.row() for run in self.runs if run.state in ("imported", "completed")]
        if shown:
            columns = {"run": "run in Neptune", "name": "name", "experiment": "experiment", "points": "points"}
            columns |= {"params": "params", "files": "files", "short": "run"}
            rows = [row | {"short": row["run_id"][:8]} for row in shown[:_MOST_SHOWN]]
            blocks.append(Grid(columns, rows))
        blocks += _some([Note(problem, "bad") for problem in self.problems])
        blocks += _some([Note(note) for note in [*self.notes, *self._said()]])
        if self.ok:
            blocks.append(Note(self._verdict(), "good"))
        return blocks

    def _verdict(self) -> str:
        done = self.how_many("imported") + self.how_many("completed")
        if not done:
            return "every run was there already: nothing has changed"
        return f"imported {_counted(done, 'run')}: `mlops runs` lists what there is"

    def _said(self) -> list[str]:
        """Say what was not taken over as it was."""
        said = []
        multiplied = [name for run in self.runs for name in run.multiplied]
        if multiplied:
            many = f"{_counted(len(multiplied), 'metric')}, {multiplied[0]!r} for one,"
            said.append(
                f"the steps of {many} are no whole numbers, and MLflow takes no others: theirs count in millionths"
                " (--step-multiplier N takes one factor for all)"
            )
        left_out: dict[str, int] = {}
        for run in self.runs:
            for kind, number in run.left_out.items():
                left_out[kind] = left_out.get(kind, 0) + number
        return said + [
            f"left out, of a type that is not known here: {_counted(number, 'attribute')} of {kind!r}"
            for kind, number in sorted(left_out.items())
        ]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _some(blocks: list[Note]) -> list[Block]:
    more = len(blocks) - _MOST_SHOWN
    return [*blocks[:_MOST_SHOWN], *([Note(f"and {more} more: --json has all of them")] if more > 0 else [])]
