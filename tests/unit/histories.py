"""Histories of notebooks for tests: executions as the journal has them, and the document as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_jupyter.journal import CellRecord, Journal, Outcome
from mlops_jupyter.tracking.lineage import Document, DocumentCell, Mark
from mlops_jupyter.tracking.marks import Marker
from mlops_jupyter.tracking.uses import Writers

AT = "2026-01-01T00:00:00.000+00:00"


def executed(*cells: tuple[str | None, str], outcome: Outcome = "ok") -> list[CellRecord]:
    """Give the records of executions in order."""
    return [CellRecord(id, order, source, outcome, AT, 0.0) for order, (id, source) in enumerate(cells, 1)]


def document(*cells: tuple[str | None, str]) -> Document:
    """Give a notebook as it stands in the editor."""
    return Document("live", tuple(DocumentCell(*cell) for cell in cells))


def marks(history: Sequence[CellRecord], stands: Document, own: int | None = None) -> list[Mark]:
    """Give the marks of a run whose own cells are the last ones of a history, or all of them."""
    journal = Journal()
    for cell in history:
        journal.add(cell)
    begun = 0 if own is None else len(history) - own
    return Marker(stands).marks(Writers(journal.since).basis(begun, len(history)))
