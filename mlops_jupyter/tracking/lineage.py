"""Why a run's cells, executed from top to bottom, may not do again what they did: the notebook, and what marks say.

A notebook is a document and a history. A run is made by the history; whoever reads the document sees something else
when cells ran in another order, were edited after they ran, or are gone. Such a run is marked, with the reason; which
are, :mod:`.marks` finds out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from mlops_jupyter.journal import CellRecord

#: A run's marks, among its artifacts; of which kinds there are any, says the tag.
LINEAGE = "mlops/lineage.json"

Kind = Literal["out of order", "edited", "deleted"]


@dataclass(frozen=True)
class DocumentCell:
    """A code cell as it stands in the notebook."""

    id: str | None
    source: str
    #: When it is known to have stood so, in seconds since 1970, where that is later than the notebook was saved.
    known_at: float = -math.inf


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

    def knows(self, cell: CellRecord, place: int | None = None) -> bool:
        """Tell whether what the document says of an execution's cell is of a later time than the execution.

        Args:
            cell: The execution.
            place: Where its cell stands; None where it does not.
        """
        later = self.cells[place].known_at if place is not None else -math.inf
        return self.known == "live" or _seconds(cell.started) <= max(self.saved_at, later)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


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
        saved_at = notebook.stat().st_mtime  # before it is read: what is saved meanwhile is later than that
        said = json.loads(notebook.read_bytes())
        cells = [cell for cell in said["cells"] if cell["cell_type"] == "code"]
        found = [DocumentCell(cell.get("id"), _joined(cell["source"])) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not saved yet, or being written by somebody: nothing is known, and that is said
    return Document("saved", tuple(found), saved_at)


def _joined(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)


def executed_since(document: Document, cells: Iterable[CellRecord]) -> Document:
    """Bring a saved notebook up to date with what was executed after it was saved.

    Args:
        document: The notebook.
        cells: Executions, in order.

    Returns:
        The notebook, in which the cells that were executed stand as they were executed last; the same where that is no
        news.
    """
    found = list(document.cells)
    places = {cell.id: place for place, cell in enumerate(found) if cell.id is not None}
    for cell in cells:
        place = places.get(cell.id) if cell.id is not None else None
        if place is None or cell.source == found[place].source:
            continue
        at = _seconds(cell.started)
        if at > max(document.saved_at, found[place].known_at):
            found[place] = DocumentCell(cell.id, cell.source, at)
    return document if found == list(document.cells) else replace(document, cells=tuple(found))


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
