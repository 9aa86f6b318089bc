"""Marks: where a notebook's document and its history part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.tracking.lineage import Document, DocumentCell, kinds, marks, saved_document, told


def executed(*cells: tuple[str | None, str]) -> list[dict[str, Any]]:
    """Give the records of executions in order."""
    at = "2026-01-01T00:00:00.000+00:00"
    return [{"id": id, "order": order, "source": source, "started": at} for order, (id, source) in enumerate(cells, 1)]


def document(*cells: tuple[str | None, str]) -> Document:
    """Give a notebook as it stands."""
    return Document("live", tuple(DocumentCell(*cell) for cell in cells))


A, B, C = ("a", "x = 1"), ("b", "y = x"), ("c", "z = y")


@pytest.mark.parametrize(
    ("ran", "stands", "expected"),
    [
        ((A, B, C), (A, B, C), []),
        ((A, C), (A, B, C), []),
        ((), (A,), []),
        ((B, A), (A, B), ["out of order"]),
        ((A, A), (A,), ["out of order"]),
        ((A, B, A, B), (A, B), ["out of order", "out of order"]),
        ((A,), (("a", "x = 2"),), ["edited"]),
        ((A,), (("a", "x = 1\n"),), []),
        ((A,), (B,), ["deleted"]),
        ((("a", "x = 0"), A), (A,), ["out of order"]),
        ((B, ("a", "x = 0")), (A, B), ["out of order", "edited"]),
        (((None, "x = 1"), (None, "y = x")), (A, B), []),
        (((None, "gone"),), (A, B), ["deleted"]),
    ],
)
def test_marks_tell_where_document_and_history_part(ran: Any, stands: Any, expected: list[str]) -> None:
    """Order, edits and deletions are each found, and nothing is where they agree."""
    assert [mark.kind for mark in marks(executed(*ran), document(*stands))] == expected


@given(st.lists(st.text(max_size=3), max_size=8), st.data())
def test_a_document_run_from_top_to_bottom_has_no_marks(sources: list[str], data: st.DataObject) -> None:
    """Cells left out do not matter: what was executed stands there in the order in which it was."""
    cells = [(str(place), source) for place, source in enumerate(sources)]
    ran = [cell for cell in cells if data.draw(st.booleans())]
    assert marks(executed(*ran), document(*cells)) == []


def test_a_notebook_that_was_saved_before_a_cell_ran_says_nothing_of_it() -> None:
    """A new cell that nobody has saved yet is not deleted; what was saved later and lacks it tells that it is."""
    ran = executed(A, ("b", "y = 2"), ("new", "z"))
    moment = 1767225600.0  # the executions' time
    for saved_at, expected in ((moment - 1, []), (moment + 1, ["edited", "deleted"])):
        stands = Document("saved", document(A, B).cells, saved_at)
        assert [mark.kind for mark in marks(ran, stands)] == expected


def test_a_mark_says_why() -> None:
    """The reason names the executions by the numbers that stand beside the cells."""
    found = marks(executed(B, A), document(A, B))
    assert found[0].reason == "[2] came after [1], and stands above it"
    said = json.loads(told(found, document(A, B)))
    assert (said["document"], said["marks"][0]["cell"], kinds(found)) == ("live", "a", "out of order")
    assert json.loads(told([], None)) == {"document": "unknown", "marks": []}


def test_the_saved_document_is_read_as_it_is(tmp_path: Path) -> None:
    """Code cells only, sources joined, older formats without ids too; what is no notebook is not known."""
    file = tmp_path / "n.ipynb"
    cells = [
        {"cell_type": "markdown", "source": "# t"},
        {"cell_type": "code", "id": "a", "source": ["x = 1\n", "y = 2"]},
        {"cell_type": "code", "source": "z"},
    ]
    file.write_text(json.dumps({"cells": cells}))
    found = saved_document(file)
    assert found is not None
    assert found.cells == (DocumentCell("a", "x = 1\ny = 2"), DocumentCell(None, "z"))
    assert (found.known, found.saved_at) == ("saved", file.stat().st_mtime)
    for text in ("{", "[]", '{"cells": [1]}', '{"cells": 3}'):
        file.write_text(text)
        assert saved_document(file) is None
    assert saved_document(tmp_path / "none.ipynb") is None
    assert saved_document(None) is None
