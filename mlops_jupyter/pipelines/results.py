"""What the commands of this room answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlops_jupyter.display import Block, Code, Grid, Heading, Note, Pairs, Shown, seconds_text

State = Literal[
    "pending",
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "upstream_failed",
    "cached",
    "skipped",
]
GOOD = ("succeeded", "cached", "skipped")
_SIGN = {
    "succeeded": "✓",
    "cached": "↺",
    "skipped": "–",
    "failed": "✗",
    "timed_out": "✗",
    "upstream_failed": "·",
    "cancelled": "·",
}


@dataclass(frozen=True)
class StepResult:
    """What became of one instance.

    Args:
        name: ``train[depth=3]``.
        step: ``train``.
        matrix: Its setting.
        state: One of the states.
        reason: Why it ran, was reused, or failed, in one line.
        run_id: Its MLflow run; for a cached step the run whose outputs are reused.
        seconds: How long it took.
        outputs: Name → value, or reference.
        notebook: Path of the executed notebook.
        error: Reason and traceback of a failure.
        attempt: Which attempt it was.
    """

    name: str
    step: str
    matrix: Mapping[str, Any]
    state: State = "pending"
    reason: str = ""
    run_id: str | None = None
    seconds: float | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    notebook: str | None = None
    error: str | None = None
    attempt: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give the step's part of the document."""
        return {**vars(self), "matrix": dict(self.matrix), "outputs": dict(self.outputs)}


@dataclass(frozen=True, repr=False)
class PipelineResult(Shown):
    """What became of a pipeline run.

    Args:
        run: The run's id.
        pipeline: The pipeline's name.
        file: The pipeline file.
        state: ``succeeded``, ``failed`` or ``cancelled``.
        steps: What became of each instance, in order.
        seconds: How long all of it took.
        run_id: The MLflow run that is the parent of the steps'.
    """

    run: str
    pipeline: str
    file: str
    state: str
    steps: Sequence[StepResult]
    seconds: float
    run_id: str | None = None

    @property
    def ok(self) -> bool:  # type: ignore[override]
        """Tell whether every step that had to run succeeded."""
        return self.state == "succeeded"

    def to_json(self) -> dict[str, Any]:
        """Give the run's document."""
        return {**vars(self), "steps": [step.to_json() for step in self.steps]}

    def blocks(self) -> Sequence[Block]:
        """Give a line that sums it up, a table of the steps, and the traceback of what failed."""
        rows = [
            {
                "name": f"{_SIGN.get(step.state, ' ')} {step.name}",
                "state": step.state,
                "time": seconds_text(step.seconds) if step.state != "cached" else "",
                "reason": step.reason,
            }
            for step in self.steps
        ]
        columns = {"name": "step", "state": "state", "time": "time", "reason": "why"}
        marked = frozenset(n for n, step in enumerate(self.steps) if step.error)
        shown: list[Block] = [
            Note(self._summary(), "good" if self.ok else "bad"),
            Grid(columns, rows, marked=marked),
        ]
        failed = [step for step in self.steps if step.error]
        return shown + [
            Code(step.error or "", f"{step.name}, executed notebook: {step.notebook or '-'}") for step in failed
        ]

    def _summary(self) -> str:
        counts = {state: sum(step.state == state for step in self.steps) for state in _SIGN}
        told = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in counts.items() if count)
        if counts["cached"] == len(self.steps):
            told = f"all {len(self.steps)} steps cached, nothing to do"
        return f"pipeline {self.pipeline} {self.state} in {seconds_text(self.seconds)}: {told}"


@dataclass(frozen=True)
class PlannedStep:
    """What would become of one instance.

    Args:
        name: ``train[depth=3]``.
        step: ``train``.
        matrix: Its setting.
        action: ``run``, ``cached`` or ``skipped``.
        reason: Why, in a sentence.
        run_id: The MLflow run whose outputs would be reused.
        outputs: Of a cached step.
    """

    name: str
    step: str
    matrix: Mapping[str, Any]
    action: str
    reason: str
    run_id: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the step's part of the document."""
        state = "pending" if self.action == "run" else self.action
        empty = {"seconds": None, "notebook": None, "error": None}
        own = {**vars(self), "matrix": dict(self.matrix), "outputs": dict(self.outputs)}
        return {**own, "state": state, **empty}


@dataclass(frozen=True, repr=False)
class PlanResult(Shown):
    """What a run would do.

    Args:
        pipeline: The pipeline's name.
        file: The pipeline file.
        steps: What would become of each instance, in order.
    """

    pipeline: str
    file: str
    steps: Sequence[PlannedStep]

    def to_json(self) -> dict[str, Any]:
        """Give the plan's document: a run's, with actions."""
        steps = [step.to_json() for step in self.steps]
        return {
            "run": None,
            "state": "pending",
            "pipeline": self.pipeline,
            "file": self.file,
            "steps": steps,
        }

    def blocks(self) -> Sequence[Block]:
        """Give a line that sums it up and a table."""
        running = sum(step.action == "run" for step in self.steps)
        rows = [{"name": s.name, "action": s.action, "reason": s.reason} for s in self.steps]
        marked = frozenset(n for n, step in enumerate(self.steps) if step.action == "run")
        return [
            Note(f"pipeline {self.pipeline}: {running} of {len(self.steps)} steps would run"),
            Grid({"name": "step", "action": "action", "reason": "why"}, rows, marked=marked),
        ]


@dataclass(frozen=True, repr=False)
class GraphResult(Shown):
    """What a pipeline consists of.

    Args:
        name: The pipeline's name.
        file: The pipeline file.
        params: Its parameters and defaults.
        steps: ``name``, ``notebook``, ``needs`` and ``matrix`` of each step.
        edges: Pairs of steps: what comes first, what follows.
    """

    name: str
    file: str
    params: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    edges: Sequence[tuple[str, str]]

    def to_json(self) -> dict[str, Any]:
        """Give the graph's document."""
        return {**vars(self), "edges": [list(edge) for edge in self.edges]}

    def blocks(self) -> Sequence[Block]:
        """Give the parameters and a table of the steps."""
        columns = {"name": "step", "notebook": "notebook", "needs": "after", "matrix": "matrix"}
        shown: list[Block] = [Heading(f"pipeline {self.name}")]
        if self.params:
            shown.append(Pairs(self.params, "parameters"))
        return [*shown, Grid(columns, self.steps)]
