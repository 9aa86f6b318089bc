"""What people see: escaped HTML, plain text without control characters, short numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.display import (
    Block,
    Code,
    Grid,
    Heading,
    Note,
    Pairs,
    Picture,
    Shown,
    Table,
    bytes_text,
    document_of,
    dump,
    seconds_text,
    sparkline,
)

HOSTILE = "<script>alert(1)</script>\x1b[2J&\"'"


class Everything(Shown):
    """A result with one block of each kind, all of it hostile."""

    def to_json(self) -> Any:
        return {"nan": math.nan, "many": (1, 2)}

    def blocks(self) -> Sequence[Block]:
        return [
            Heading(HOSTILE),
            Note(HOSTILE, "bad"),
            Pairs({HOSTILE: HOSTILE}, HOSTILE),
            Grid({"a": HOSTILE}, [{"a": HOSTILE}], HOSTILE, HOSTILE, frozenset([0])),
            Grid({"a": "a"}, [], empty=HOSTILE),
            Code(HOSTILE, HOSTILE),
            Picture("<svg></svg>", HOSTILE),
        ]


def test_nothing_that_users_wrote_becomes_markup() -> None:
    """A run named ``<script>`` stays text, in every block."""
    page = Everything()._repr_html_()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 12


def test_nothing_that_users_wrote_moves_the_cursor() -> None:
    """Escape sequences are made visible in plain text and HTML."""
    assert "\x1b" not in str(Everything())
    assert "\x1b" not in Everything()._repr_html_()


@given(st.text())
def test_any_text_is_shown_without_control_characters(text: str) -> None:
    """Whatever a name holds, what is printed is printable but for line breaks."""
    shown = str(Table([{"name": text}]))
    assert all(character in "\n\t" or ord(character) >= 32 for character in shown)
    assert "\x7f" not in shown


def test_documents_are_json_whatever_is_in_them() -> None:
    """NaN becomes text, tuples become lists, so that ``--json`` can be read by anything."""
    assert document_of(Everything()) == {"nan": "nan", "many": [1, 2]}
    assert dump(document_of(Everything()))


def test_a_table_is_rows_and_a_frame() -> None:
    """``.df`` gives pandas, ``rows`` the plain rows, and an empty table says what to type."""
    table = Table([{"a": 1, "b": "x"}, {"a": 2, "b": None}], empty="type this")
    assert table.df.shape == (2, 2)
    assert table.to_json() == {"rows": [{"a": 1, "b": "x"}, {"a": 2, "b": None}]}
    assert "type this" in str(Table([], empty="type this"))
    assert Table([], {"a": "a"}).df.shape == (0, 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (3.21, "3.2 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7440, "2 h 4 min")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    """No one reads 7440.0 seconds."""
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1_400_000, "1.4 MB"), (2e12, "2.0 TB")])
def test_sizes_read_as_people_say_them(size: float, text: str) -> None:
    """No one reads 1400000 bytes."""
    assert bytes_text(size) == text


def test_a_sparkline_leaves_out_what_is_not_finite() -> None:
    """NaN in a metric's series is a gap, not a broken picture."""
    picture = sparkline([1.0, math.nan, 3.0, math.inf])
    assert picture.count(",") == 2
    assert "nan" not in picture
