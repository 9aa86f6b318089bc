"""The recorder: notes every executed cell in the journal, and tells tracking which cell runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from mlops_jupyter.journal import CellRecord, Journal, Outcome
from mlops_jupyter.tracking import context


class Recorder:
    """Listens to IPython's cell events.

    Args:
        journal: Where executions are noted.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open: list[tuple[float, str, Any]] = []
        self._order = len(journal)

    def pre_run_cell(self, info: Any) -> None:
        """Note that a cell begins."""
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._open.append((time.perf_counter(), started, info))
        context.current.cell = getattr(info, "cell_id", None)

    def post_run_cell(self, result: Any) -> None:
        """Note how a cell ended."""
        if not self._open:  # the cell that loaded the extension began before we listened
            return
        began, started, info = self._open.pop()
        error = result.error_before_exec or result.error_in_exec
        self._order += 1
        self._journal.add(
            CellRecord(
                id=getattr(info, "cell_id", None),
                order=self._order,
                source=info.raw_cell or "",
                outcome=outcome_of(error),
                started=started,
                seconds=round(time.perf_counter() - began, 6),
                error=f"{type(error).__name__}: {error}"[:500] if error is not None else None,
            )
        )
        context.current.cell = getattr(self._open[-1][2], "cell_id", None) if self._open else None

    @property
    def source(self) -> str:
        """The source of the cell that runs now."""
        return str(self._open[-1][2].raw_cell) if self._open else ""


def outcome_of(error: BaseException | None) -> Outcome:
    """Name how a cell ended."""
    if error is None:
        return "ok"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
