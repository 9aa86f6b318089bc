"""The recorder: notes every executed cell in the journal, and tells tracking which cell runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mlops_jupyter.journal import CellRecord, Journal, Outcome
from mlops_jupyter.tracking import context


@dataclass(frozen=True)
class _Open:
    """A cell that runs: when it began, what it is, and IPython's own note of it, if we were told."""

    began: float
    started: str
    source: str
    id: str | None
    info: Any
    thread: int = field(default_factory=threading.get_ident)

    def is_of(self, info: Any) -> bool:
        """Tell whether IPython speaks of this cell."""
        return info is self.info if self.info is not None else getattr(info, "raw_cell", None) == self.source


class Recorder:
    """Listens to IPython's cell events.

    Args:
        journal: Where executions are noted.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open: list[_Open] = []

    def recall(self, ended: Sequence[str], running: str | None) -> None:
        """Note what was executed before anybody listened.

        Args:
            ended: The sources of the cells that have ended; how they ended nobody knows.
            running: The source of the cell that runs now, if one does.
        """
        now = _now()
        for source in ended:
            self._journal.add(CellRecord(None, len(self._journal) + 1, source, "unknown", now, 0.0, None))
        if running is not None:
            self._open.append(_Open(time.perf_counter(), now, running, None, None))

    def pre_run_cell(self, info: Any) -> None:
        """Note that a cell begins."""
        cell = getattr(info, "cell_id", None)
        self._open.append(_Open(time.perf_counter(), _now(), info.raw_cell or "", cell, info))
        context.current.cell = cell

    def is_stale(self, running: int) -> bool:
        """Tell whether a cell is noted as running that has ended without anybody being told.

        ipykernel tells nobody when it fails to show a cell's exception.

        Args:
            running: How many cells run now in this thread, by the stack.
        """
        here = [cell for cell in self._open if cell.thread == threading.get_ident()]
        return len(here) > running

    def drop(self) -> int:
        """Note that the innermost cell has ended, nobody knows how.

        Returns:
            How deep it was.
        """
        depth, cell = self.depth, self._open.pop()
        took = round(time.perf_counter() - cell.began, 6)
        order = len(self._journal) + 1
        self._journal.add(CellRecord(cell.id, order, cell.source, "unknown", cell.started, took, None))
        return depth

    def post_run_cell(self, result: Any) -> int:
        """Note how a cell ended.

        Args:
            result: IPython's.

        Returns:
            How deep it was: 1 for a cell, more for one that code inside a cell has executed; 0 when it never began,
            as an empty one.
        """
        info = getattr(result, "info", None)
        if not self._open or not self._open[-1].is_of(info):
            return 0
        depth = self.depth
        cell = self._open.pop()
        error = result.error_before_exec or result.error_in_exec
        self._journal.add(
            CellRecord(
                id=cell.id or getattr(info, "cell_id", None),
                order=len(self._journal) + 1,
                source=cell.source,
                outcome=outcome_of(error),
                started=cell.started,
                seconds=round(time.perf_counter() - cell.began, 6),
                error=_said(error)[:500] if error is not None else None,
            )
        )
        context.current.cell = self._open[-1].id if self._open else None
        return depth

    @property
    def depth(self) -> int:
        """How many cells run now, one inside the other."""
        return len(self._open)

    @property
    def source(self) -> str:
        """The source of the cell that runs now."""
        return self._open[-1].source if self._open else ""


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # the user's own exception, whose __str__ raises: the cell must be closed all the same
        return f"{type(error).__name__}: (its text can't be made)"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def outcome_of(error: BaseException | None) -> Outcome:
    """Name how a cell ended."""
    if error is None:
        return "ok"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
