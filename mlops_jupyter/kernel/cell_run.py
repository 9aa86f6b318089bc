"""``%%mlops run``: a cell that is executed inside an MLflow run.

The magic's line is rewritten to a call that opens the run, and the cell goes on as the cell that it is: line numbers,
top-level ``await``, the value of the last line and the traceback of an exception are IPython's own. The run is closed
when IPython says that the cell has ended, and how.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from mlops_jupyter import expressions
from mlops_jupyter.commands import Command, Option, collect, command
from mlops_jupyter.display import Block, Grid, Note, Pairs, Shown, seconds_text
from mlops_jupyter.errors import UsageError
from mlops_jupyter.session import Session
from mlops_jupyter.tracking import active
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.runs import CELL_SOURCE

_MAGIC = "%%mlops"


def split_words(line: str) -> list[str]:
    """Split a magic's line as a shell does.

    Raises:
        UsageError: A quote is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the line can't be split: {error}", "close the quote, or escape it") from None


def rewrite(lines: list[str]) -> list[str]:
    """Turn a first line ``%%mlops run …`` into the call that opens the run (an IPython input transformer)."""
    if not lines or not lines[0].startswith(_MAGIC):
        return lines
    first = lines[0].rstrip("\n")
    words = first[len(_MAGIC) :].split(maxsplit=1)
    if not words or words[0] != "run":
        return lines
    rest = words[1] if len(words) > 1 else ""
    call = f"get_ipython().run_line_magic('mlops', {'run ' + rest!r})\n"
    return [call, *lines[1:]]


@dataclass(frozen=True, repr=False)
class CellRun(Shown):
    """What a cell's run came to."""

    run: ActiveRun
    status: str
    seconds: float
    params: dict[str, str]
    metrics: dict[str, float]

    def to_json(self) -> Any:
        """Give the run's facts."""
        return {
            "run_id": self.run.run_id,
            "name": self.run.name,
            "status": self.status,
            "seconds": self.seconds,
            "params": self.params,
            "metrics": self.metrics,
        }

    def blocks(self) -> Sequence[Block]:
        """Give the verdict, then what was logged."""
        text = f"run {self.run.name} ({self.run.run_id[:8]}) {self.status} in {seconds_text(self.seconds)}"
        blocks: list[Block] = [Note(text, "good" if self.status == "FINISHED" else "bad")]
        if self.metrics:
            blocks.append(Grid({name: name for name in self.metrics}, [self.metrics]))
        if self.params:
            blocks.append(Pairs(self.params))
        return blocks


@dataclass
class _Opened:
    run: ActiveRun
    began: float
    autolog: bool
    snapshot: bool


class CellRuns:
    """Opens runs for cells and closes them when the cells end.

    Args:
        session: The session.
        source: Tells the source of the cell that runs now.
    """

    def __init__(self, session: Session, source: Callable[[], str]) -> None:
        self._session = session
        self._source = source
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
            autolog: Let MLflow log what the cell trains.
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
        values = {key: expressions.evaluate(key, text, session.namespace, words=True) for key, text in pairs}
        opened = session.begin(name, experiment=experiment, nested=nested, tags=tag)
        try:
            opened.tracking.put_text(opened.run_id, self._source(), CELL_SOURCE)
            for key, value in values.items():
                active.log_param(key, value)
            if autolog:
                _autolog(on=True)
        except BaseException as error:
            active.fail(error)
            raise
        self._opened.append(_Opened(opened, time.perf_counter(), autolog, snapshot))

    def close(self, error: BaseException | None) -> list[Shown]:
        """Close the runs that the cell opened.

        Args:
            error: What the cell raised.

        Returns:
            What to show.
        """
        shown: list[Shown] = []
        while self._opened:
            opened = self._opened.pop()
            if opened.autolog:
                _autolog(on=False)
            current = active.active_run()
            if current is None or current.run_id != opened.run.run_id:
                continue  # the cell has ended its run itself
            if opened.snapshot:
                shown.append(self._session.snapshot(f"{opened.run.name}-{opened.run.run_id[:6]}"))
            if error is None:
                active.end()
            else:
                active.fail(error)
            run = self._session.workspace.runs.get(opened.run.run_id)
            seconds = time.perf_counter() - opened.began
            shown.append(CellRun(opened.run, run.status, seconds, dict(run.params), dict(run.metrics)))
        return shown[::-1]


def _autolog(*, on: bool) -> None:
    from mlops_jupyter.tracking.autolog import switch

    switch(on)


#: ``run`` has a shape of its own, a cell, and so is the magic's alone.
CELL_COMMANDS: dict[str, Command] = collect({"": CellRuns})
