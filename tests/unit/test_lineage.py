"""Marks: where a notebook's document and its history part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from histories import document, executed, marks
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.tracking.lineage import (
    Document,
    DocumentCell,
    executed_since,
    kinds,
    saved_document,
    told,
)

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
        (((None, "n"), (None, "n")), ((None, "n"), (None, "n")), []),
        ((A, B), ((None, "x = 1"), (None, "y = x")), []),
        ((A, B), ((None, "x = 2"), (None, "y = x")), ["deleted"]),
        ((A, (None, "by code in a cell")), (A,), []),
        ((("vscode-notebook-cell:/n.ipynb#W0", "x = 1"),), (A, B), []),
        ((("vscode-notebook-cell:/n.ipynb#W0", "x = 2"),), (A, B), ["deleted"]),
    ],
)
def test_marks_tell_where_document_and_history_part(ran: Any, stands: Any, expected: list[str]) -> None:
    """Order, edits and deletions are each found, and nothing is where they agree."""
    assert [mark.kind for mark in marks(executed(*ran), document(*stands))] == expected


@given(st.lists(st.text("\n %!?#(", max_size=3), max_size=8), st.data())
def test_cells_left_out_do_not_matter(sources: list[str], data: st.DataObject) -> None:
    """As long as they write nothing that is read: what was executed stands there in the order in which it was."""
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


def test_a_saved_notebook_knows_what_was_executed_since() -> None:
    """A cell stands as it was executed last; one that was saved later stands as it was saved."""
    early, late = 1767225600.0 - 1, 1767225600.0 + 1  # around the executions' time
    ran = executed(A, ("a", "x = 2"), ("gone", "y"), (None, "x = 3"))
    stands = executed_since(Document("saved", document(A, B).cells, early), ran)
    assert [cell.source for cell in stands.cells] == ["x = 2", "y = x"]
    assert [mark.kind for mark in marks(ran[:1], stands)] == ["edited"]
    assert marks(ran[1:2], stands) == []
    for saved in (Document("saved", document(A, B).cells, late), stands):
        assert executed_since(saved, ran) is saved


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
