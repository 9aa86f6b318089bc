"""The runs that span cells, as the notebook shows them: where ``%mlops start`` stands, until they have ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.display import display

from mlops_jupyter.display import Message
from mlops_jupyter.kernel.cell_run import summary
from mlops_jupyter.kernel.live_run import LiveRun, log_problem, watch
from mlops_jupyter.tracking import active, context

if TYPE_CHECKING:
    from mlops_jupyter.kernel.extension import Extension
    from mlops_jupyter.session import Session


@dataclass
class _Span:
    """A run that is shown, where in the journal it began, and the thread whose run it is."""

    live: LiveRun
    begun: int
    thread: int = field(default_factory=threading.get_ident)


class Spans:
    """Shows the runs that span cells. Nothing here raises: what can't be shown is logged.

    Args:
        extension: What was registered with the shell.
        session: The session.
    """

    def __init__(self, extension: Extension, session: Session) -> None:
        self._extension = extension
        self._session = session
        self._spans: list[_Span] = []

    def begun(self, result: Any, *, is_seen: bool) -> bool:
        """Show the run that a line has begun, if it has.

        Args:
            result: The line's result.
            is_seen: Whether it is to be shown; else the run is shown when the cell has ended.

        Returns:
            Whether it is shown, in the run's place.
        """
        runs = active.open_runs()
        if not runs or not isinstance(result, Message) or result.data.get("run_id") != runs[-1].run_id:
            return False
        if any(span.live.run.run_id == runs[-1].run_id for span in self._spans):
            return False
        begun = len(self._extension.journal)
        live = watch(runs[-1], self._extension.shell, lambda: self._cells(begun))
        if live is None:
            return False
        span = _Span(live, begun)
        self._spans.append(span)
        return is_seen and self._carried_out(span, partial(live.show_first, result))

    def _cells(self, begun: int) -> int:
        return len(self._extension.journal) - begun + (self._extension.recorder.depth > 0)

    def cell_begins(self) -> None:
        """Note that a cell begins; a run that was ended meanwhile, as by the sidebar, is shown as what it came to."""
        for span in self._going_on():
            parent = self._extension.shell.get_parent()
            self._carried_out(span, partial(span.live.cell_begins, parent, context.current.cell))

    def cell_ended(self, depth: int) -> None:
        """Note that a cell has ended.

        Args:
            depth: How deep it was.
        """
        for span in self._going_on():
            if depth == 1:
                self._carried_out(span, span.live.show_first)
                span.live.cell_ended()

    def close(self) -> None:
        """Show nothing live any more."""
        while self._spans:
            self._spans.pop().live.end()

    def _going_on(self) -> list[_Span]:
        """Show what the runs came to that have ended, and give the others."""
        here = [span for span in self._spans if span.thread == threading.get_ident()]
        is_open = {run.run_id for run in active.open_runs()}
        for span in here:
            if span.live.run.run_id not in is_open:
                self._carried_out(span, partial(self._ended, span))
                if span in self._spans:
                    self._spans.remove(span)
        return [span for span in here if span in self._spans]

    def _ended(self, span: _Span) -> None:
        live = span.live
        live.stop()
        if live.is_live:
            seconds, cells = time.perf_counter() - live.began, self._cells(span.begun)
            came_to = summary(self._session, live.run, seconds, "ENDED", live, cells)
            if not live.end(came_to):
                display(came_to)  # type: ignore[no-untyped-call]
        live.end()

    def _carried_out(self, span: _Span, call: Callable[[], object]) -> bool:
        try:
            call()
        except Exception as problem:
            log_problem(span.live.run, problem)
            span.live.end()
            self._spans.remove(span)
            return False
        return True
