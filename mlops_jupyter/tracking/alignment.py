"""Cells of two runs side by side: which belong together, and what changed in them.

A cell belongs to the one of the same id; of those that are left, to one of the same source, and of those, to the one
that is most like it. A run's cells are executions: a cell that ran twice is there twice.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["equal", "changed", "added", "removed"]

# Less alike than this, and two cells are two.
_ALIKE = 0.5
# About how many pairs of cells are held against each other, by how many words; what is far apart is left out first.
_MOST_PAIRS = 600
_MOST_WORDS = 200
_MOST_MEASURED = 200
# Longer texts are compared by their ends only: line by line would take minutes.
_MOST_LINES = 3000


@dataclass(frozen=True)
class Cell:
    """One execution of a cell, as a run keeps it.

    Args:
        id: The cell's id in its notebook, where it has one.
        order: The how many-th execution of its session it was.
        source: What was executed.
        outcome: How it ended.
        seconds: How long it took.
        read: The names that it reads; None where nobody looked.
        written: The names that it writes; None where nobody looked.
    """

    id: str | None
    order: int | None
    source: str
    outcome: str | None = None
    seconds: float | None = None
    read: tuple[str, ...] | None = None
    written: tuple[str, ...] | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Cell:
        """Read a record of ``mlops/cells.json``.

        Raises:
            KeyError: It has no source.
            TypeError: Something in it is of another type than it should be.
        """
        if not isinstance(record["source"], str):
            raise TypeError("a cell's source is no text")
        known: dict[str, Any] = {key: record.get(key) for key in ("id", "order", "outcome", "seconds")}
        for key in ("read", "written"):
            known[key] = None if record.get(key) is None else tuple(map(str, record[key]))
        return cls(source=record["source"], **known)

    def to_json(self) -> dict[str, Any]:
        """Give what there is to know but the source."""
        names = {"read": self.read, "written": self.written}
        lists = {key: None if value is None else list(value) for key, value in names.items()}
        return {"id": self.id, "order": self.order, "outcome": self.outcome, "seconds": self.seconds} | lists

    @property
    def text(self) -> str:
        """The source without the blank space at its end, which editors add and take away."""
        return self.source.rstrip()


@dataclass(frozen=True)
class Change:
    """What became of a cell.

    Args:
        status: ``equal``, ``changed``, ``added`` or ``removed``.
        before: The cell of the first run; None where it was added.
        after: The cell of the other run; None where it was removed.
        diff: The lines of a unified diff without its head; none for equal ones.
    """

    status: Status
    before: Cell | None
    after: Cell | None
    diff: tuple[str, ...] = ()

    @property
    def id(self) -> str | None:
        """The cell's id: the other run's, else the first one's."""
        ids = [cell.id for cell in (self.after, self.before) if cell is not None]
        return next(filter(None, ids), None)

    def to_json(self) -> dict[str, Any]:
        """Give the change with both sources."""
        before, after = (None if cell is None else cell.source for cell in (self.before, self.after))
        return {"status": self.status, "id": self.id, "before": before, "after": after, "diff": list(self.diff)}


def changes(before: Sequence[Cell], after: Sequence[Cell]) -> list[Change]:
    """Compare the cells of two runs.

    Args:
        before: The first run's, in the order in which they ran.
        after: The other run's.

    Returns:
        A change a cell, in the order of the other run; what was removed stands where it was.
    """
    partner = _partners(before, after)
    kept = set(partner.values())
    upto, ahead = [], len(before)
    for at in reversed(range(len(after))):
        ahead = partner.get(at, ahead)
        upto.append(ahead)
    found: list[Change] = []
    told = 0
    for at, (cell, place) in enumerate(zip(after, reversed(upto), strict=True)):
        found += [_removed(before[gone]) for gone in range(told, place) if gone not in kept]
        told = max(told, place)
        found.append(_pair(before[partner[at]], cell) if at in partner else _added(cell))
    return found + [_removed(before[gone]) for gone in range(told, len(before)) if gone not in kept]


def is_reordered(found: Sequence[Change]) -> bool:
    """Tell whether the cells that both runs have were executed in another order."""
    orders = [change.before.order or 0 for change in found if change.before is not None and change.after is not None]
    return orders != sorted(orders)


def _partners(before: Sequence[Cell], after: Sequence[Cell]) -> dict[int, int]:
    """Give the places of cells of the other run → of their partners in the first one."""
    partner: dict[int, int] = {}
    taken: set[int] = set()
    # A cell that ran twice first finds the execution that was the same.
    for key in (_id_and_text, _id, _text):
        waiting: dict[Hashable, deque[int]] = defaultdict(deque)
        for at, cell in enumerate(before):
            if at not in taken and (name := key(cell)) is not None:
                waiting[name].append(at)
        for at, cell in enumerate(after):
            if at not in partner and waiting.get(key(cell)):
                partner[at] = waiting[key(cell)].popleft()
                taken.add(partner[at])
    for _, at, mate in _alike(before, after, partner):
        if at not in partner and mate not in taken:
            partner[at] = mate
            taken.add(mate)
    return partner


def _id_and_text(cell: Cell) -> Hashable:
    return None if cell.id is None else (cell.id, cell.text)


def _id(cell: Cell) -> Hashable:
    return cell.id


def _text(cell: Cell) -> Hashable:
    return cell.text


def _alike(before: Sequence[Cell], after: Sequence[Cell], partner: Mapping[int, int]) -> list[tuple[float, int, int]]:
    """Give the pairs of cells without partners that are alike, the most alike first."""
    taken = set(partner.values())
    left = [at for at in range(len(before)) if at not in taken]
    right = [at for at in range(len(after)) if at not in partner]
    far = _MOST_PAIRS // (2 * len(left) or 1)
    most = max(_MOST_MEASURED, 2 * len(left))
    words = _words_of()
    found = []
    for place, mate in enumerate(left):
        for at in right[max(place - far, 0) : place + far + 1]:
            matcher = difflib.SequenceMatcher(None, words(before[mate].source), words(after[at].source), autojunk=False)
            if matcher.real_quick_ratio() >= _ALIKE and (likely := matcher.quick_ratio()) >= _ALIKE:
                found.append((likely, at, mate))
    # To measure likeness takes long; those of which the same words stand in both are likeliest.
    found.sort(key=lambda pair: -pair[0])
    found = [(_likeness(words(before[mate].source), words(after[at].source)), at, mate) for _, at, mate in found[:most]]
    return sorted((pair for pair in found if pair[0] >= _ALIKE), key=lambda pair: (-pair[0], abs(pair[1] - pair[2])))


def _likeness(before: Sequence[str], after: Sequence[str]) -> float:
    return difflib.SequenceMatcher(None, before, after, autojunk=False).ratio()


def _words_of() -> Callable[[str], list[str]]:
    known: dict[str, list[str]] = {}

    def words(source: str) -> list[str]:
        if source not in known:
            known[source] = re.findall(r"\w+|[^\w\s]", source)[:_MOST_WORDS]
        return known[source]

    return words


def _added(cell: Cell) -> Change:
    return Change("added", None, cell, tuple(f"+{line}" for line in cell.text.split("\n")))


def _removed(cell: Cell) -> Change:
    return Change("removed", cell, None, tuple(f"-{line}" for line in cell.text.split("\n")))


def _pair(before: Cell, after: Cell) -> Change:
    if before.text == after.text:
        return Change("equal", before, after)
    return Change("changed", before, after, tuple(_diff(before.text.split("\n"), after.text.split("\n"))))


def _diff(before: Sequence[str], after: Sequence[str]) -> list[str]:
    if max(len(before), len(after)) <= _MOST_LINES:
        return list(difflib.unified_diff(before, after, lineterm=""))[2:]
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    foot = next((at for at in range(shorter - head) if before[-1 - at] != after[-1 - at]), shorter - head)
    removed = [f"-{line}" for line in before[head : len(before) - foot]]
    return [f"@@ from line {head + 1} @@", *removed, *(f"+{line}" for line in after[head : len(after) - foot])]
