"""Why a run's cells, executed from top to bottom, may not do again what they did: marks, from cells and document.

A notebook is a document and a history. A run is made by the history; whoever reads the document sees something else
when cells ran in another order, were edited after they ran, or are gone. Such a run is marked, with the reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

#: A run's marks, among its artifacts; of which kinds there are any, says the tag.
LINEAGE = "mlops/lineage.json"

Kind = Literal["out of order", "edited", "deleted"]


@dataclass(frozen=True)
class DocumentCell:
    """A code cell as it stands in the notebook."""

    id: str | None
    source: str


@dataclass(frozen=True)
class Document:
    """The code cells of a notebook in order.

    Args:
        known: ``live`` from the editor, or as last ``saved``.
        cells: The cells.
        saved_at: When it was saved, in seconds since 1970: of what ran after that, it can't say that it was edited or
            is gone.
    """

    known: Literal["live", "saved"]
    cells: tuple[DocumentCell, ...]
    saved_at: float = math.inf

    def knows(self, cell: Mapping[str, Any]) -> bool:
        """Tell whether the document is of a later time than an execution."""
        return self.known == "live" or datetime.fromisoformat(cell["started"]).timestamp() <= self.saved_at


@dataclass(frozen=True)
class Mark:
    """Why a cell's execution does not stand in the document as it happened.

    Args:
        cell: The cell's id, where it has one.
        order: The how many-th execution of the session it was.
        kind: What is wrong.
        reason: In words.
    """

    cell: str | None
    order: int
    kind: Kind
    reason: str


def saved_document(notebook: Path | None) -> Document | None:
    """Read a notebook's code cells from its file.

    Args:
        notebook: The file, if anyone knows it.

    Returns:
        The cells; None where there is no file that can be read as a notebook.
    """
    if notebook is None or notebook.suffix != ".ipynb":
        return None
    try:
        said = json.loads(notebook.read_bytes())
        cells = [cell for cell in said["cells"] if cell["cell_type"] == "code"]
        found = [DocumentCell(cell.get("id"), _joined(cell["source"])) for cell in cells]
        saved_at = notebook.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not saved yet, or being written by somebody: nothing is known, and that is said
    return Document("saved", tuple(found), saved_at)


def _joined(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)


def marks(cells: Sequence[Mapping[str, Any]], document: Document) -> list[Mark]:
    """Compare what was executed with what stands in the notebook.

    Args:
        cells: The executions, in order, with ``id``, ``order``, ``source`` and ``started``.
        document: The notebook.

    Returns:
        A mark for each execution that the document does not show as it was; none where running the document from top to
        bottom does the same.
    """
    places = {cell.id: place for place, cell in enumerate(document.cells) if cell.id is not None}
    last = {cell["id"]: cell["order"] for cell in cells}
    found: list[Mark] = []
    furthest, furthest_order = -1, 0
    for cell in cells:
        place = _place(cell, document, places)
        if place is None:
            if document.knows(cell):
                reason = f"the cell executed as [{cell['order']}] is no longer in the notebook"
                found.append(Mark(cell["id"], cell["order"], "deleted", reason))
            continue
        if place <= furthest:
            again = "was executed again" if place == furthest else "stands above it"
            reason = f"[{cell['order']}] came after [{furthest_order}], and {again}"
            found.append(Mark(cell["id"], cell["order"], "out of order", reason))
        else:
            furthest, furthest_order = place, cell["order"]
        is_last = last[cell["id"]] == cell["order"] and document.knows(cell)
        if is_last and not _same(document.cells[place].source, cell["source"]):
            reason = f"the cell executed as [{cell['order']}] was edited after it ran"
            found.append(Mark(cell["id"], cell["order"], "edited", reason))
    return found


def _place(cell: Mapping[str, Any], document: Document, places: Mapping[str, int]) -> int | None:
    if cell["id"] is not None:
        return places.get(cell["id"])
    # Front ends that give no ids: the text is all there is to go by.
    same = (place for place, known in enumerate(document.cells) if _same(known.source, cell["source"]))
    return next(same, None)


def _same(one: str, other: str) -> bool:
    return one.rstrip() == other.rstrip()


def told(found: Sequence[Mark], document: Document | None) -> str:
    """Give the artifact that tells a run's marks.

    Args:
        found: The marks.
        document: What the cells were compared with; None where the document is not known.
    """
    known = document.known if document is not None else "unknown"
    return json.dumps({"document": known, "marks": [asdict(mark) for mark in found]}, indent=1)


def kinds(found: Sequence[Mark]) -> str:
    """Give the kinds of marks that there are, as the run's tag has them."""
    return ", ".join(dict.fromkeys(mark.kind for mark in found))
