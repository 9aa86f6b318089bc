"""Marks by what a run used: stale state behind it is found, and nothing else is."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from histories import document, executed, marks
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_jupyter.journal import Journal, Outcome
from mlops_jupyter.tracking.cell_parts import made_of_nothing, parts, read_at_once, read_later
from mlops_jupyter.tracking.lineage import Document, Mark
from mlops_jupyter.tracking.marks import Marker
from mlops_jupyter.tracking.uses import Writers

RUN = "%%mlops run\n%mlops log metric z=z"
K, Z, R = ("k", "k = 3"), ("z", "z = k * 2"), ("r", RUN)
TEN = ("k", "k = 10")


def told(ran: Any, stands: Any, own: int = 1) -> list[tuple[str, str]]:
    """Give kind and reason of each mark of the run made by the last executions."""
    return [(mark.kind, mark.reason) for mark in marks(executed(*ran), document(*stands), own)]


@pytest.mark.parametrize(
    ("ran", "stands", "expected"),
    [
        pytest.param(
            (K, Z, TEN, R),
            (TEN, Z, R),
            ("edited", "[2] used k from [1], whose cell was edited after it ran"),
            id="edited and executed again",
        ),
        pytest.param(
            (K, Z, R),
            (TEN, Z, R),
            ("edited", "[2] used k from [1], whose cell was edited after it ran"),
            id="edited and not executed again",
        ),
        pytest.param(
            (K, Z, ("x", "k = 10"), R),
            (K, ("x", "# more\nk = 10"), Z, R),
            ("out of order", "[2] used k from [1], and from top to bottom `k = 10` comes between"),
            id="another cell between",
        ),
        pytest.param(
            (K, ("x", "k = 10"), Z, R),
            (K, Z, ("x", "k = 10"), R),
            ("out of order", "[3] used k from [2], which stands below it"),
            id="a cell below",
        ),
        pytest.param(
            (K, Z, R),
            (Z, R),
            ("deleted", "[2] used k from [1], whose cell is no longer in the notebook"),
            id="deleted",
        ),
        pytest.param(
            ((None, "k = 3"), (None, "z = k * 2"), (None, RUN)),
            (TEN, Z, R),
            ("deleted", "[2] used k from [1], whose text is no longer in the notebook"),
            id="no ids",
        ),
        pytest.param(
            (("z", "z = 1"), ("n", "z = z + 1"), ("n", "z = z + 1"), R),
            (("z", "z = 1"), ("n", "z = z + 1"), R),
            ("out of order", "[3] used z from [2], an earlier execution of the same cell"),
            id="counted twice",
        ),
        pytest.param(
            (("d", "z = load()"), R),
            (("d", "z = load()"), ("c", "z['more'] = z['x'] * 2"), R),
            ("out of order", "[2] used z from [1], and from top to bottom `z['more'] = z['x'] * 2` comes between"),
            id="a column that was not there",
        ),
        pytest.param(
            (("d", "z = load()"), ("a", "z['a'] = 1"), R),
            (("d", "z = load()"), ("b", "z['b'] = 1"), ("a", "z['a'] = 1"), R),
            ("out of order", "[3] used z from [1], and from top to bottom `z['b'] = 1` comes between"),
            id="a column that was not there, among others",
        ),
        pytest.param(
            (K, ("y", "y = k"), ("z", "z = y"), R),
            (TEN, ("y", "y = k + 1"), ("z", "z = y"), R),
            ("edited", "[3] used y from [2], whose cell was edited after it ran"),
            id="behind one that is edited itself",
        ),
        pytest.param(
            (("d", "z = {}"), ("a", "z['a'] = 1"), ("b", "z['b'] = z['a']"), ("a", "z['a'] = 2"), R),
            (("d", "z = {}"), ("a", "z['a'] = 2"), ("b", "z['b'] = z['a']"), R),
            ("edited", "[3] used z from [2], whose cell was edited after it ran"),
            id="a column made of an older one",
        ),
        pytest.param(
            (("f", "def f():\n    return k"), K, ("z", "z = f()"), TEN, R),
            (("f", "def f():\n    return k"), TEN, ("z", "z = f()"), R),
            ("edited", "[3] used k from [2], whose cell was edited after it ran"),
            id="read by a function",
        ),
        pytest.param(
            (("i", "import numpy as np"), ("z", "z = np.ones(3)"), R),
            (("z", "z = np.ones(3)"), R),
            ("deleted", "[2] used np from [1], whose cell is no longer in the notebook"),
            id="import deleted",
        ),
    ],
)
def test_a_run_that_rests_on_stale_state_is_marked(ran: Any, stands: Any, expected: tuple[str, str]) -> None:
    """The reason names both executions and the variable."""
    assert told(ran, stands) == [expected]


FRAME = ("d", "z = load()"), ("a", "z['a'] = z['x'] * 2\nz"), ("b", "z.loc[z.x > 3, 'b'] = z['x'].mean()\nz.head()")
NP, USES = ("i", "import numpy as np"), ("z", "z = np.ones(3)")
LOOP = ("l", "for step in range(3):\n    z = step\nprint(z)")
CALLED = ("f", "def f(m):\n    return m + k"), K, ("z", "z = f(1)")


@pytest.mark.parametrize(
    ("ran", "stands"),
    [
        pytest.param((K, Z, R), (K, Z, R), id="top to bottom"),
        pytest.param((K, K, Z, Z, R), (K, Z, R), id="twice in place"),
        pytest.param((K, Z, TEN, R), (K, Z, ("below", "k = 10"), TEN, R), id="again where it is not used"),
        pytest.param((K, Z, ("x", "k = 10"), R), (K, Z, ("x", "k = 10"), R), id="another cell below"),
        pytest.param(
            (("h", "a = b"), K, ("g", "b = 1"), Z, R), (("g", "b = 1"), ("h", "a = b"), K, Z, R), id="helpers"
        ),
        pytest.param((NP, USES, ("j", "import numpy as np"), USES, R), (NP, USES, R, ("j", NP[1])), id="import again"),
        pytest.param((NP, USES, R), (("i", "%load_ext x\nimport numpy as np, os"), USES, R), id="one more import"),
        pytest.param((NP, USES, R), (("j", "import numpy as np"), USES, R), id="import moved to a new cell"),
        pytest.param((LOOP, LOOP, R), (LOOP, R), id="a loop's variable"),
        pytest.param((*CALLED, CALLED[0], CALLED[2], R), (*CALLED, R), id="function defined again"),
        pytest.param((*FRAME, *FRAME[1:], FRAME[1], R), (*FRAME, R), id="columns set again"),
        pytest.param(
            (FRAME[0], *[("a", "z['a'] = 1\nn = len(z)")] * 2, R),
            (FRAME[0], ("a", "z['a'] = 1\nn = len(z)"), R),
            id="a column set again, and counted",
        ),
        pytest.param((FRAME[0], FRAME[2], FRAME[1], R), (*FRAME, R), id="columns in another order"),
        pytest.param(
            (FRAME[0], ("a", "z['a'] = 1"), FRAME[1], FRAME[2], R), (*FRAME, R), id="a column edited and set again"
        ),
        pytest.param((K, Z, ("m", "%run other.py"), R), (("z", "z = 0"), ("m", "%run other.py"), R), id="%run"),
        pytest.param(
            (FRAME[0], ("m", "%run other.py"), FRAME[1], R),
            (FRAME[0], ("m", "%run other.py"), FRAME[1], R),
            id="columns set after %run",
        ),
        pytest.param(
            ((None, "z = f()"), (None, "f = g"), (None, "z = f()"), (None, RUN)),
            (("a", "z = f()"), ("b", "f = g"), ("c", "z = f()"), R),
            id="no ids, and one text twice",
        ),
        pytest.param((("z", "z = 1"), (None, "z = 2"), R), (("z", "z = 1"), R), id="code executed by code"),
        pytest.param((("z", "z = " + "-" * 9999 + "1"), R), (R,), id="what can't be looked into"),
        pytest.param((R,), (R,), id="nobody wrote it"),
    ],
)
def test_a_run_that_rests_on_what_stands_there_is_not_marked(ran: Any, stands: Any) -> None:
    """What is executed again to the same effect, or beside the run, is no reason; nor is what nobody knows."""
    assert told(ran, stands) == []


@pytest.mark.parametrize("outcome", ["error", "interrupted"])
def test_a_cell_that_failed_may_have_written_or_not(outcome: Outcome) -> None:
    """What it left is not known, so it is not told of; a later execution is."""
    history = executed(K, TEN, Z, R)
    history[1] = replace(history[1], outcome=outcome)
    assert marks(history, document(Z, R), 1) == []
    history[1] = replace(history[1], outcome="ok")
    assert [mark.kind for mark in marks(history, document(Z, R), 1)] == ["deleted"]


def test_a_restored_variable_comes_from_no_cell() -> None:
    """What a snapshot brought back is not what the cell had made, which may go; what is written after is."""
    for position, expected in ((2, []), (1, ["deleted"])):
        journal = Journal()
        for cell in executed(("a", "y = 0"), ("z", "z = 1"), R):
            journal.add(cell)
        writers = Writers(journal.since)
        writers.bring(["z"], position)
        found = Marker(document(R)).marks(writers.basis(2, 3))
        assert [mark.kind for mark in found] == expected


def test_an_execution_is_told_of_once() -> None:
    """Of many that used the same stale cell the one nearest to the run is named; all that it used is, in one reason."""
    cells = (("p", "a = f(1); b = f(2)"), ("q", "c = d = a"), ("z", "z = b + c + d"), R)
    assert told(cells, (("p", "a = f(1); b = f(3)"), *cells[1:])) == [
        ("edited", "[3] used b from [1], whose cell was edited after it ran")
    ]
    assert told(cells, (cells[0], ("q", "c = d = 0 * a"), *cells[2:])) == [
        ("edited", "[3] used c, d from [2], whose cell was edited after it ran")
    ]


def test_a_run_whose_cell_is_gone_is_marked_for_that() -> None:
    """Where it would stand nobody knows, so the import that it used may stand anywhere, in whatever company."""
    gone = [("deleted", "the cell executed as [2] is no longer in the notebook")]
    for stands in ((("i", "import os, numpy as np"),), (("j", "import numpy as np"),)):
        assert told((NP, USES), stands) == gone


def test_what_the_run_itself_executed_is_told_of_once() -> None:
    """Of a run that spans cells, their order and edits are told as such, and not as what they used of one another."""
    assert [kind for kind, _ in told((K, Z, TEN, R), (TEN, Z, R), 4)] == ["out of order"]
    assert [kind for kind, _ in told((K, Z, R), (TEN, Z, R), 3)] == ["edited"]
    skipped = (K, ("x", "k = 10"), Z, R)
    assert [kind for kind, _ in told((K, Z, R), skipped, 3)] == ["out of order"]


def test_a_notebook_saved_before_a_cell_ran_says_nothing_of_it() -> None:
    """A new cell is not gone, and one that was edited for it not edited, before anybody has saved them."""
    moment = 1767225600.0  # the executions' time
    history = executed(K, ("new", "m = 1"), ("z", "z = k + m"), R)
    for saved_at, expected in ((moment - 1, []), (moment + 1, ["edited", "deleted"])):
        stands = Document("saved", document(TEN, ("z", "z = k + m"), R).cells, saved_at)
        assert sorted(mark.kind for mark in marks(history, stands, 1)) == sorted(expected)


# ---------------------------------------------------------------------------------------------------------------------
# Single statements


def test_what_is_read_at_once_is_told_from_what_is_read_later() -> None:
    """A function's names count when it is called; those read in doubt, after a loop, do not count at all."""
    source = "def f():\n    return k\nclass C:\n    a = m\n    def g(self):\n        return n\nz = x"
    assert (read_at_once(source), read_later(source, "f"), read_later(source, "C")) == ({"m", "x"}, {"k"}, {"n"})
    assert read_at_once("g = lambda: k\nz = f(k)") == {"f", "k"}
    assert read_at_once("for i in xs:\n    y = i\nprint(i, y)") == {"xs"}
    assert read_at_once("y = y + 1") == {"y"}
    assert read_at_once("%%time\ndef f(): return k\nz = 1") == set()


def test_parts_are_what_a_plain_assignment_sets() -> None:
    """A column or an item; not what depends on how it was, and not the whole."""
    found = parts("d['a'] = d['b'] + 1\nd.loc[d.c > 0, 'e'] = 1\nd", "d")
    assert found is not None
    assert (found.written, found.read) == ({"a", "e"}, {"b", "c"})
    assert (whole := parts("d['a'] = 1\nn = len(d)", "d")) is not None
    assert whole.read is None
    for source in (
        "d = 1",
        "d['a'] = d['a'] + 1",
        "d['a'] += 1",
        "d['a'] = f(d)",
        "d['a']['b'] = 1",
        "del d['a']",
        "x",
    ):
        assert parts(source, "d") is None, source


def test_what_is_made_of_nothing_is_the_same_wherever_it_stands() -> None:
    """Imports and plain values; not what other variables go into."""
    assert made_of_nothing("import os, numpy as np\nk = 1", "np") == made_of_nothing("import numpy as np", "np") != ()
    assert made_of_nothing("from a import b", "b") != made_of_nothing("from c import b", "b")
    assert made_of_nothing("k = 1", "k") != made_of_nothing("k = 2", "k")
    assert made_of_nothing("k = x", "k") == made_of_nothing("def f(): return x", "f") == ()


# ---------------------------------------------------------------------------------------------------------------------
# Laws

_NUMBERS = "abc"
_VARIABLES = _NUMBERS + "df"


def _cells(names: str) -> st.SearchStrategy[str]:
    """Give cells that read some of these variables, if any, and write any: numbers, a dictionary, a function."""
    read = st.sampled_from([name for name in names if name in _NUMBERS] or ["1"])
    write = st.sampled_from(_NUMBERS)
    shapes = [
        st.builds("{} = {}".format, write, st.integers(0, 3)),
        st.builds("{} = {} + 1".format, write, read),
        st.builds("f = lambda: {}".format, read),
        st.builds("for {0} in [{1}]:\n    pass\nstr({0})".format, write, read),
        st.just("import os"),
        st.just("d = {}"),
    ]
    if "d" in names:
        shapes.append(st.builds("d[{!r}] = {}".format, write, read))
        shapes.append(st.builds("{} = d.get({!r}, 0)".format, write, write))
        shapes.append(st.builds("{} = len(d)".format, write))
    if "f" in names:
        shapes.append(st.builds("{} = f()".format, write))
    return st.one_of(shapes)


@st.composite
def _notebooks(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Give notebooks that run from top to bottom: what a cell reads, one above it has written."""
    written: set[str] = set()
    found = []
    for place in range(draw(st.integers(1, 7))):
        source = draw(_cells("".join(sorted(written))))
        found.append((f"c{place}", source))
        written |= {name for name in _VARIABLES if source.startswith((f"{name} = ", f"for {name} "))}
    return found


@settings(max_examples=300, deadline=None)
@given(_notebooks(), st.data())
def test_a_notebook_run_from_top_to_bottom_is_never_marked(cells: list[tuple[str, str]], data: st.DataObject) -> None:
    """Whatever was executed before, in whatever order."""
    before = data.draw(st.lists(st.sampled_from(cells), max_size=6))
    own = data.draw(st.integers(1, len(cells)))
    assert marks(executed(*before, *cells), document(*cells), own) == []


_ANY = _cells(_VARIABLES)


@settings(max_examples=600, deadline=None)
@given(st.lists(_ANY, min_size=1, max_size=4), st.data())
def test_what_is_not_marked_reproduces(sources: list[str], data: st.DataObject) -> None:
    """Cells executed in any order, edited, inserted and deleted: an unmarked run reads what top to bottom gives it."""
    stands = [(f"c{place}", source) for place, source in enumerate(sources)]
    live: dict[str, Any] = {}
    history: list[tuple[str, str]] = []
    for step in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(stands) - 1))
        change = data.draw(st.sampled_from(["none", "none", "edit", "insert", "delete"]))
        if change == "edit":
            stands[place] = (stands[place][0], data.draw(_ANY))
        elif change == "insert":
            stands.insert(place, (f"new{step}", data.draw(_ANY)))
        elif change == "delete" and len(stands) > 1:
            del stands[place]
            continue
        if _carried_out(stands[place][1], live):
            history.append(stands[place])
    if "a" not in live:
        return
    stands.append(("r", "seen = a"))
    found: list[Mark] = marks(executed(*history, stands[-1]), document(*stands), 1)
    fresh: dict[str, Any] = {}
    reproduces = [_carried_out(source, fresh) for _, source in stands][-1] and fresh["seen"] == live["a"]
    assert found or reproduces, (history, stands)


def _carried_out(source: str, namespace: dict[str, Any]) -> bool:
    try:
        exec(source, namespace)
    except (NameError, TypeError, AttributeError):
        return False
    return True


def test_thousands_of_cells_are_walked_through_in_no_time() -> None:
    """The way back is linear: four times the cells take about four times as long, and not sixteen times."""

    def seconds(cells: int) -> float:
        history = executed(*((f"c{n}", f"v{n} = v{n - 1} + w\nw = {n}") for n in range(cells)))
        stands = document(*((cell.id, cell.source) for cell in history))
        assert all(cell.names.is_known for cell in history)  # each is asked for its names once in its life
        marks(history, stands, 1)
        began = time.perf_counter()
        assert marks(history, stands, 1) == []
        return time.perf_counter() - began

    few, many = min(seconds(500) for _ in range(3)), min(seconds(2000) for _ in range(3))
    assert many < 10 * few + 0.05
