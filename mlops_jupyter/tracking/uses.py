"""What a run rests on: walking back through the journal, the executions that last wrote each name that is read.

A variable is made by one execution; those after it that only set parts of it, as a frame's columns, belong to it as
well. The journal only grows, so what a run rests on is found once, when it ends; what the notebook says of that is
asked as often as the notebook changes (:mod:`.lineage`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mlops_jupyter.journal import CellRecord
from mlops_jupyter.tracking.cell_parts import parts, read_at_once, read_later

# Who has a longer history of one variable is told of its end.
_MOST_WRITERS = 100
# These may write any name, and the source does not say which.
_WRITES_ANYTHING = re.compile(
    r"^\s*%(?:run|store|pylab|reset|reset_selective|load_ext\s+autoreload)\b|\bimport\s*\*|\b(?:exec|globals|vars)\s*\(",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Use:
    """That an execution used a variable as others had left it.

    Args:
        reader: The execution.
        name: The variable.
        writers: Those that made it what it was, the last one first.
        is_whole: Whether these are all; else what was before them is not known.
    """

    reader: CellRecord
    name: str
    writers: tuple[CellRecord, ...]
    is_whole: bool


@dataclass(frozen=True)
class Basis:
    """What a run rests on.

    Args:
        cells: The run's own executions, in order.
        uses: What these used, and what those used that had made it; nearest to the run first.
        has_ids: Whether the front end tells the cells' ids, so that an execution without one is no cell's.
    """

    cells: tuple[CellRecord, ...]
    uses: tuple[Use, ...] = ()
    has_ids: bool = True


def supply(
    reader: str, name: str, writers: Iterable[tuple[int, str]], is_reader: Callable[[int], bool]
) -> tuple[list[int], bool]:
    """Choose what a variable is made by, for who reads it.

    Args:
        reader: The source of the cell that reads it.
        name: The variable.
        writers: What has written it, the last one first: where, and its source.
        is_reader: Tells whether that is the reading cell itself.

    Returns:
        Where it was written: first what has set parts of it, then what has made it; and whether the latter was found.
    """
    own = parts(reader, name)
    wanted = own.read if own is not None else None
    found: list[int] = []
    for at, source in writers:
        if own is not None and is_reader(at):
            continue  # executed again, it sets the same parts
        done = parts(source, name)
        if done is None:
            return [*found, at], True
        if wanted is None or done.written & wanted:
            found.append(at)
    return found, False


class Writers:
    """Knows which executions of a session have written a name.

    Args:
        journal: Gives the executions from a position on.
    """

    def __init__(self, journal: Callable[[int], Sequence[CellRecord]]) -> None:
        self._journal = journal
        self._cells: list[CellRecord] = []
        self._written: dict[str, list[int]] = {}
        self._walls: list[int] = []
        self._brought: dict[str, list[int]] = {}

    def bring(self, names: Iterable[str], position: int) -> None:
        """Note that names were written by no cell, before the execution at a position was over."""
        for name in names:
            self._brought.setdefault(name, []).append(position)

    def basis(self, begun: int, ended: int) -> Basis:
        """Tell what the executions between two positions rest on."""
        self._read_on()
        todo = [(at, name) for at in range(begun, ended) for name in sorted(read_at_once(self._cells[at].source))]
        known, uses = set(todo), []
        for reader, name in todo:  # grows meanwhile
            writers, is_whole = self._supply(reader, name)
            if not writers:
                continue
            cells = self._cells
            uses.append(Use(cells[reader], name, tuple(cells[at] for at in writers), is_whole))
            more = [(at, each) for at in writers for each in sorted(read_at_once(cells[at].source))]
            # What a function loads it finds when it is called.
            more += [(reader, each) for at in writers for each in sorted(read_later(cells[at].source, name))]
            todo += [each for each in dict.fromkeys(more) if each not in known]
            known.update(more)
        has_ids = any(cell.id is not None for cell in self._cells[:ended])
        return Basis(tuple(self._cells[begun:ended]), tuple(uses), has_ids)

    def _read_on(self) -> None:
        for at, cell in enumerate(self._journal(len(self._cells)), len(self._cells)):
            self._cells.append(cell)
            if not cell.names.is_known or _WRITES_ANYTHING.search(cell.source):
                self._walls.append(at)
            for name in cell.names.written:
                self._written.setdefault(name, []).append(at)

    def _supply(self, reader: int, name: str) -> tuple[list[int], bool]:
        cells = self._cells
        return supply(cells[reader].source, name, self._before(reader, name), lambda at: _is_same(cells, at, reader))

    def _before(self, reader: int, name: str) -> Iterator[tuple[int, str]]:
        """Go back through the executions that wrote a name, as far as it is sure that they did, and nobody else."""
        positions, at = self._written.get(name, []), reader
        seen: set[str] = set()
        for _ in range(_MOST_WRITERS):
            place = bisect_left(positions, at) - 1
            if place < 0 or self._is_doubtful(name, positions[place], at):
                return
            at = positions[place]
            cell = self._cells[at]
            if cell.outcome in ("error", "interrupted"):
                return  # nobody knows how far it came
            key = cell.id or cell.source
            # Of a cell that was executed again and again, what it did last is what is left.
            if key not in seen or parts(cell.source, name) is None:
                seen.add(key)
                yield at, cell.source

    def _is_doubtful(self, name: str, writer: int, reader: int) -> bool:
        if any(writer < position <= reader for position in self._brought.get(name, ())):
            return True
        wall = bisect_left(self._walls, reader) - 1
        return wall >= 0 and self._walls[wall] > writer


def _is_same(cells: Sequence[CellRecord], one: int, other: int) -> bool:
    if cells[one].id is None or cells[other].id is None:
        return cells[one].source == cells[other].source
    return cells[one].id == cells[other].id
