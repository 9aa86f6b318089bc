"""Marks: what a run rests on, compared with the notebook as it stands.

Two laws. The run's own cells stand in the notebook as they ran, in the order in which they ran. And what they used, and
what had made that, is what running the notebook from top to bottom would give them: of each name that is read, the last
cell above the reader that writes it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from mlops_jupyter.journal import CellRecord
from mlops_jupyter.tracking.cell_parts import made_of_nothing, names_in, words
from mlops_jupyter.tracking.lineage import Document, Kind, Mark
from mlops_jupyter.tracking.uses import Basis, Use, supply

# What a notebook has for ids; some editors tell the kernel others, which nothing in the file has.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST = 40

_State = Literal["stands", "edited", "deleted", "unknown"]


class Marker:
    """Compares runs with one state of the notebook.

    Args:
        document: The notebook.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._cells = document.cells
        self._by_id = {cell.id: place for place, cell in enumerate(self._cells) if cell.id is not None}
        self._by_text: dict[str, list[int]] = {}
        self._by_word: dict[str, list[int]] = {}
        for place, cell in enumerate(self._cells):
            self._by_text.setdefault(cell.source.rstrip(), []).append(place)
            for word in words(cell.source):
                self._by_word.setdefault(word, []).append(place)
        self._writing: dict[str, list[int]] = {}

    def marks(self, basis: Basis) -> list[Mark]:
        """Compare what a run rests on with what stands in the notebook.

        Args:
            basis: What the run rests on.

        Returns:
            A mark for each execution that the notebook does not show as it was, and for each that used what running the
            notebook from top to bottom would not give it; none where that does the same.
        """
        found = [*self._of_own(basis)]
        own = {cell.order for cell in basis.cells}
        reasons: dict[tuple[Kind, str], tuple[Use, CellRecord, list[str]]] = {}
        for use in basis.uses:
            if use.reader.order not in own and self._standing(use.reader, basis)[0] in ("edited", "deleted"):
                continue  # it is marked itself, where somebody used it
            for kind, writer, text in self._of_use(use, basis, own):
                # Of all that used the same the one nearest to the run is told of.
                first, _, names = reasons.setdefault((kind, text), (use, writer, []))
                if first.reader is use.reader and use.name not in names:
                    names.append(use.name)
        for (kind, text), (use, writer, names) in reasons.items():
            cell = use.reader if kind == "out of order" else writer
            reason = f"[{use.reader.order}] used {', '.join(names)} {text}"
            found.append(Mark(cell.id, cell.order, kind, reason))
        return found

    # The run's own cells

    def _of_own(self, basis: Basis) -> Iterator[Mark]:
        last = {cell.id: cell.order for cell in basis.cells}
        furthest, furthest_order = -1, 0
        for cell in basis.cells:
            places = self._places(cell)
            if not places:
                if self._standing(cell, basis)[0] == "deleted":
                    reason = f"the cell executed as [{cell.order}] is no longer in the notebook"
                    yield Mark(cell.id, cell.order, "deleted", reason)
                continue
            # Of cells with one text, and no ids, it is the next.
            place = next((place for place in places if place > furthest), places[0])
            if place <= furthest:
                again = "was executed again" if place == furthest else "stands above it"
                reason = f"[{cell.order}] came after [{furthest_order}], and {again}"
                yield Mark(cell.id, cell.order, "out of order", reason)
            else:
                furthest, furthest_order = place, cell.order
            if last[cell.id] == cell.order and self._is_edited(cell, place):
                reason = f"the cell executed as [{cell.order}] was edited after it ran"
                yield Mark(cell.id, cell.order, "edited", reason)

    # What they used

    def _of_use(self, use: Use, basis: Basis, own: set[int]) -> Iterator[tuple[Kind, CellRecord, str]]:
        """Give what is wrong with a use: the kind, the execution at fault, and what follows the variable's name."""
        _, place = self._standing(use.reader, basis)
        wanted, is_whole = self._supply(use, place) if place is not None else ([], False)
        used: dict[int, CellRecord] = {}
        is_clear = use.is_whole and place is not None
        for writer in use.writers:
            state, at = self._standing(writer, basis)
            if use.is_whole and writer is use.writers[-1] and (state != "stands" or at not in wanted):
                same = self._same_made(writer, use.name, wanted[-1:] if is_whole else [], at, place)
                state, at = ("stands", same) if same is not None else (state, at)
            is_told = writer.order in own and use.reader.order in own
            why = self._why(state, at, place, writer)
            if why is not None and not is_told:
                yield why[0], writer, why[1]
            is_clear = is_clear and why is None and at is not None
            used |= {at: writer} if at is not None else {}
        if is_clear and is_whole and set(used) != set(wanted):
            yield self._other(use, used, wanted)

    def _other(self, use: Use, used: Mapping[int, CellRecord], wanted: Sequence[int]) -> tuple[Kind, CellRecord, str]:
        """Tell which cell would make a variable, or a part of it, that was made without it."""
        missing = next((at for at in wanted if at not in used), wanted[0])
        writer = used[max((at for at in used if at < missing), default=max(used))]
        line = self._line(missing, use.name)
        return "out of order", writer, f"from [{writer.order}], and from top to bottom {line} comes between"

    def _why(self, state: _State, at: int | None, place: int | None, writer: CellRecord) -> tuple[Kind, str] | None:
        if state == "edited":
            return "edited", f"from [{writer.order}], whose cell was edited after it ran"
        if state == "deleted":
            what = "cell" if self._has_id(writer) else "text"
            return "deleted", f"from [{writer.order}], whose {what} is no longer in the notebook"
        if at is None or place is None or at < place:
            return None
        if at == place:
            return "out of order", f"from [{writer.order}], an earlier execution of the same cell"
        return "out of order", f"from [{writer.order}], which stands below it"

    def _supply(self, use: Use, place: int) -> tuple[list[int], bool]:
        """Tell which cells would make a variable for its reader, from top to bottom."""
        writing = self._places_writing(use.name)
        above = (writing[n] for n in range(bisect_left(writing, place) - 1, -1, -1))
        writers = ((at, self._cells[at].source) for at in above)
        return supply(use.reader.source, use.name, writers, lambda at: False)

    def _same_made(
        self, writer: CellRecord, name: str, wanted: Sequence[int], at: int | None, place: int | None
    ) -> int | None:
        """Give the cell that makes a variable as an execution elsewhere has: an import, or a plain value."""
        if place is None:
            wanted = [at] if at is not None else self._places_writing(name)[-1:]
        made = made_of_nothing(writer.source, name) if wanted else ()
        return wanted[0] if made and made == made_of_nothing(self._cells[wanted[0]].source, name) else None

    def _places_writing(self, name: str) -> list[int]:
        known = self._writing.get(name)
        if known is None:
            mentioned = self._by_word.get(name, [])
            known = [at for at in mentioned if name in names_in(self._cells[at].source).written]
            self._writing[name] = known
        return known

    def _line(self, place: int, name: str) -> str:
        """Quote what a cell does to a variable."""
        lines = [line.strip() for line in self._cells[place].source.splitlines()]
        line = next((line for line in lines if re.search(rf"\b{re.escape(name)}\b", line)), "another cell")
        return f"`{line[:_LONGEST]}…`" if len(line) > _LONGEST else f"`{line}`"

    # Where an execution stands

    def _standing(self, cell: CellRecord, basis: Basis) -> tuple[_State, int | None]:
        places = self._places(cell)
        if len(places) > 1:
            return "unknown", None
        if not places:
            # What was executed without an id by a front end that tells them, as by code in a cell, is no cell.
            is_cell = cell.id is not None or not basis.has_ids or cell.outcome == "unknown"
            return "deleted" if is_cell and self._document.knows(cell) else "unknown", None
        return "edited" if self._is_edited(cell, places[0]) else "stands", places[0]

    def _is_edited(self, cell: CellRecord, place: int) -> bool:
        is_same = self._cells[place].source.rstrip() == cell.source.rstrip()
        return not is_same and self._document.knows(cell, place)

    def _has_id(self, cell: CellRecord) -> bool:
        """Tell whether a cell could be found by its id: files of older formats have none."""
        return cell.id is not None and _ID.fullmatch(cell.id) is not None and bool(self._by_id)

    def _places(self, cell: CellRecord) -> list[int]:
        if self._has_id(cell):
            return [self._by_id[cell.id]] if cell.id in self._by_id else []
        # Front ends that give no ids: the text is all there is to go by.
        return self._by_text.get(cell.source.rstrip(), [])
