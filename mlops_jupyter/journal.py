"""The journal: which cells were executed in this session, in what order, and how it went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from mlops_jupyter.cell_names import Names, names_of

Outcome = Literal["ok", "error", "interrupted", "unknown"]


@dataclass(frozen=True)
class CellRecord:
    """One execution of one cell.

    Args:
        id: The cell's id in its notebook; None where the front end gives none.
        order: The how many-th execution of this session it was, from 1.
        source: What was executed.
        outcome: ``ok``, ``error``, ``interrupted``, or ``unknown`` where it ended before anybody listened.
        started: When, ISO 8601 in UTC; where that is unknown, when it was noted.
        seconds: How long it took; 0 where that is unknown.
        error: The exception's class and message, where there was one.
    """

    id: str | None
    order: int
    source: str
    outcome: Outcome
    started: str
    seconds: float
    error: str | None = None

    @cached_property
    def names(self) -> Names:
        """The variables of the notebook that it reads and writes, told from its source."""
        return names_of(self.source)

    def to_json(self) -> dict[str, Any]:
        """Give all fields, and the names that it reads and writes, None where they can't be told."""
        names = self.names
        known = {"read": list(names.read), "written": list(names.written)}
        return asdict(self) | (known if names.is_known else dict.fromkeys(known))


class Journal:
    """The executions of a session, in order."""

    def __init__(self) -> None:
        self._cells: list[CellRecord] = []

    def add(self, cell: CellRecord) -> None:
        """Add one execution at the end."""
        self._cells.append(cell)

    def __iter__(self) -> Iterator[CellRecord]:
        """Go through the executions in order."""
        return iter(tuple(self._cells))

    def __len__(self) -> int:
        """Give the number of executions."""
        return len(self._cells)

    def since(self, position: int) -> list[CellRecord]:
        """Give the executions after the first ``position`` ones."""
        return self._cells[position:]

    def to_json(self) -> list[dict[str, Any]]:
        """Give all executions as JSON."""
        return [cell.to_json() for cell in self._cells]
