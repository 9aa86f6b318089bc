"""``%%mlops run``: a cell that is executed inside an MLflow run.

The magic's line is rewritten to a call that opens the run, and the cell goes on as the cell that it is: line numbers,
top-level ``await``, the value of the last line and the traceback of an exception are IPython's own. The run is closed
when IPython says that the cell has ended, and how. One that takes more than a moment is shown while it goes on.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from mlops_jupyter import expressions
from mlops_jupyter.commands import Command, Option, collect, command
from mlops_jupyter.display import Block, Fold, Grid, Message, Note, Pairs, Shown, seconds_text, short_text
from mlops_jupyter.errors import MlopsError, StoreError, UsageError, translate
from mlops_jupyter.kernel.live_picture import CHART
from mlops_jupyter.kernel.live_run import LiveRun, watch
from mlops_jupyter.kernel.recorder import Recorder
from mlops_jupyter.session import Session
from mlops_jupyter.snapshots.manifest import usable_name
from mlops_jupyter.tracking import curves, log, views
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.queue.local_ids import Waiting
from mlops_jupyter.tracking.records import Run
from mlops_jupyter.tracking.runs import CELL_SOURCE
from mlops_jupyter.tracking.values import as_scalar

# A run may have hundreds of metrics, and each one's curve is read by itself.
_MOST_READ = 24
# So many metrics are shown beside one another; more are below one another.
_MOST_COLUMNS = 8


def split_words(line: str) -> list[str]:
    """Split a magic's line as a shell does; where it holds Python, brackets and the quotes in them keep it whole.

    Raises:
        UsageError: A quote is not closed.
    """
    verb = line.split(maxsplit=1)[:1]
    if verb in (["log"], ["run"]):
        return expressions.split_line(line)
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the line can't be split: {error}", "close the quote, or escape it") from None


@dataclass(frozen=True, repr=False)
class CellRun(Shown):
    """What a run of a cell, or of some cells, came to."""

    run: ActiveRun
    status: str
    seconds: float
    params: dict[str, str]
    metrics: dict[str, float]
    waiting: int = 0
    cells: int = 1
    curves: Sequence[Block] = ()

    def to_json(self) -> Any:
        """Give the run's facts."""
        return {
            "run_id": self.run.run_id,
            "name": self.run.name,
            "status": self.status,
            "seconds": self.seconds,
            "params": self.params,
            "metrics": self.metrics,
            "waiting": self.waiting,
        }

    def blocks(self) -> Sequence[Block]:
        """Give the verdict, then what was logged."""
        text = f"run {self.run.name} ({self.run.run_id[:8]}) {self.status} in {seconds_text(self.seconds)}"
        text += f", {self.cells} cells" if self.cells > 1 else ""
        blocks: list[Block] = [Note(text, "good" if self.status == "FINISHED" else "bad")]
        measured = {name: value for name, value in self.metrics.items() if name.startswith("system/")}
        logged = {name: value for name, value in self.metrics.items() if name not in measured}
        if len(logged) > _MOST_COLUMNS:
            blocks.append(Pairs(logged))
        elif logged:
            blocks.append(Grid({name: name for name in logged}, [logged]))
        if self.params:
            blocks.append(Pairs({name: short_text(value) for name, value in self.params.items()}))
        if self.waiting:
            blocks.append(Note(f"the tracking store is away; {self.waiting} logged entries wait for it, and are safe"))
        machine = [Fold(f"{len(measured)} system metrics", [Pairs(measured)])] if measured else []
        return [*blocks, *self.curves, *machine]


def summary(
    session: Session, run: ActiveRun, seconds: float, status: str, live: LiveRun | None, cells: int = 1
) -> CellRun:
    """Tell what a run came to, as the store has it; with its curves, if it was looked at while it went on.

    Args:
        session: The session.
        run: The run, which has ended.
        seconds: How long it took.
        status: How it ended, for a store that can't be asked.
        live: What has shown it.
        cells: How many cells it had.
    """
    is_seen = live is not None and live.is_live
    try:
        known = session.workspace.runs.get(run.run_id)
        drawn = _curves(run, known, live.liveliest()) if live is not None and is_seen else []
        return CellRun(run, known.status, seconds, dict(known.params), dict(known.metrics), 0, cells, drawn)
    except (StoreError, Waiting):
        waiting = run.tracking.queue.backlog().entries
        drawn = list(live.pictures()) if live is not None and is_seen else []
        return CellRun(run, status, seconds, {}, {}, waiting, cells, drawn)


def _curves(run: ActiveRun, known: Run, liveliest: Sequence[str]) -> list[Block]:
    seen = {name: at for at, name in enumerate(liveliest)}
    ranked = sorted(known.metrics, key=lambda name: (seen.get(name, len(seen)), name.startswith("system/"), name))
    some = replace(known, metrics={name: known.metrics[name] for name in ranked[:_MOST_READ]})
    blocks = views.charts([run.name], curves.read(run.tracking, [some]), **CHART)
    more = len(ranked) - _MOST_READ
    return [*blocks, Note(f"the curves of {more} more metrics are not drawn here")] if more > 0 else blocks


@dataclass
class _Opened:
    run: ActiveRun
    began: float
    snapshot: bool
    depth: int
    live: LiveRun | None


class CellRuns:
    """Opens runs for cells and closes them when the cells end.

    Args:
        session: The session.
        recorder: Knows the cell that runs now.
        shell: IPython's shell.
    """

    def __init__(self, session: Session, recorder: Recorder, shell: Any) -> None:
        self._session = session
        self._recorder = recorder
        self._shell = shell
        self._opened: list[_Opened] = []

    @command("run", needs="session")
    def run(
        self,
        *,
        name: Annotated[str | None, Option(metavar="N")] = None,
        experiment: Annotated[str | None, Option(metavar="E")] = None,
        param: Annotated[list[str], Option("-p", metavar="K=V")] = [],  # noqa: B006 - read as a declaration
        tag: Annotated[dict[str, str], Option("-t", metavar="K=V")] = {},  # noqa: B006
        autolog: bool = False,
        system_metrics: bool = False,
        snapshot: bool = False,
        nested: bool = False,
    ) -> None:
        """Run the cell inside an MLflow run: FINISHED, or FAILED with the traceback kept.

        The cell's source, the notebook, git commit and environment are recorded.

        Args:
            name: The run's name.
            experiment: The experiment that it goes to.
            param: A parameter; the value is Python evaluated in the notebook, a bare word is text.
            tag: A tag, to the letter.
            autolog: Let MLflow log what the cell trains, and what the threads train that it starts, until it has ended.
            system_metrics: Measure processor, memory, disk, network and GPU while it runs.
            snapshot: Take a snapshot when the cell has ended, and attach it.
            nested: Make it a child of the run that is active.

        Returns:
            Nothing; the run is shown when the cell ends.

        Raises:
            ConflictError: A run is active already.

        Example:
            %%mlops run --name baseline --param depth=3
            model.fit(X, y)
        """
        session = self._session
        pairs = [expressions.split(pair) for pair in param]
        twice = next((key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n])), None)
        if twice is not None:
            raise UsageError(f"param {twice!r} is given twice", "say each name once")
        values = {
            key: as_scalar("param", key, expressions.evaluate(key, text, session.namespace, words=True))
            for key, text in pairs
        }
        more: dict[str, Any] = {"autolog": autolog, "system_metrics": system_metrics}
        opened = session.begin(name, experiment=experiment, nested=nested, tags=tag, **more)
        try:
            opened.tracking.put_text(opened.run_id, self._recorder.source, CELL_SOURCE)
            for key, value in values.items():
                log.log_param(key, value)
        except BaseException as error:
            try:
                session.close(opened, error)
            except MlopsError as second:
                error.add_note(f"mlops: the run could not be marked as FAILED: {second.message}")
            raise
        live = watch(opened, self._shell)
        self._opened.append(_Opened(opened, time.perf_counter(), snapshot, self._recorder.depth, live))

    def hand_down(self) -> None:
        """Let the run opened last end with the cell that is about to be executed inside this one."""
        if self._opened:
            self._opened[-1].depth += 1

    def close(self, error: BaseException | None, depth: int) -> list[Shown]:
        """Close the runs that a cell opened.

        Args:
            error: What the cell raised.
            depth: How deep the cell was; the runs of the cells around it go on.

        Returns:
            What to show; what went wrong with one run is told in the place of it, and the others are closed.
        """
        shown: list[Shown] = []
        while self._opened and depth and self._opened[-1].depth >= depth:
            shown += self._close(self._opened.pop(), error)
        return shown

    def _close(self, opened: _Opened, error: BaseException | None) -> list[Shown]:
        shown: list[Shown] = []
        run, live = opened.run, opened.live
        if live is not None:
            live.stop()
        try:
            # Ended first: a snapshot that fails must not leave the run open.
            was_open = self._session.close(run, error)
            self._session.keep_cell(run)
            if not was_open and (live is None or not live.is_live):
                return []  # the cell has ended its run itself
            status = "FINISHED" if error is None else "FAILED"
            came_to = summary(self._session, run, time.perf_counter() - opened.began, status, live)
            if not (live is not None and live.end(came_to)) and was_open:
                shown.append(came_to)
            if opened.snapshot and was_open:
                shown.append(self._session.take_snapshot(usable_name(run.name, run.run_id[:6]), "", run))
        except Exception as problem:
            ours = translate(problem)
            text = f"run {run.name} ({run.run_id[:8]}): {ours.message}; {ours.hint}"
            message = Message(text, ours.to_json(), "bad")
            if not (live is not None and live.end(message)):
                shown.append(message)
        finally:
            if live is not None:
                live.end()
        return shown


#: ``run`` has a shape of its own, a cell, and so is the magic's alone.
CELL_COMMANDS: dict[str, Command] = collect({"": CellRuns})
