"""What is shown of a run that goes on: points kept short, few curves, and words that hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.display import Grid, Note, Picture
from mlops_jupyter.kernel.live_picture import MOST_CHARTS, MOST_VALUES, LiveCurves, LivePicture

_points = st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.floats())


def drawn(curves: LiveCurves) -> list[str]:
    return [block.alt for block in curves.blocks() if isinstance(block, Picture)]


def test_a_curve_stays_short_and_keeps_its_extremes():
    """However many points come, few are kept, and the ends and a spike are among them."""
    curves = LiveCurves("run")
    for start in range(0, 100_000, 1000):
        curves.add(("loss", step, 7.5 if step == 31_415 else 1.0) for step in range(start, start + 1000))
    (curve,) = curves._curves.values()
    assert len(curve._points) <= 2000
    assert curve.count == 100_000
    assert drawn(curves) == ["loss by step: run from 1 at 0 to 1 at 99999, between 1 and 7.5"]


def test_points_without_steps_are_drawn_in_their_order():
    """Metrics that are logged without steps are drawn by their number; with the first step they are drawn by steps."""
    curves = LiveCurves("run")
    curves.add([("loss", 0, 3.0), ("loss", 0, 2.0)])
    assert drawn(curves) == ["loss by point: run from 3 at 0 to 2 at 1, between 2 and 3"]
    curves.add([("loss", 5, 1.0)])
    assert drawn(curves) == ["loss by step: run from 3 at 0 to 1 at 5, between 1 and 3"]


def test_the_liveliest_metrics_are_drawn():
    """Of many metrics those with the most points are drawn; what the machine does comes last; the rest is counted."""
    curves = LiveCurves("run")
    curves.add((f"m{n}", step, 0.5) for n in range(20) for step in range(n + 1))
    curves.add(("system/cpu", step, 0.5) for step in range(1000))
    assert len(drawn(curves)) == MOST_CHARTS
    assert curves.liveliest()[-1] == "system/cpu"
    assert all(alt.startswith("m1") for alt in drawn(curves))
    first, last = curves.blocks()[0], curves.blocks()[-1]
    assert isinstance(first, Grid)
    assert isinstance(last, Note)
    assert len(first.columns) == MOST_VALUES
    assert last.text.startswith("13 more metrics")


def test_metrics_that_differ_by_a_point_do_not_take_turns():
    """A look in the middle of a step draws the same metrics as one at its end."""
    curves, seen = LiveCurves("run"), set()
    for step in range(70):
        for n in range(8):
            curves.add([(f"m{n}", step, 0.5)])
            if step > 1:
                seen.add(tuple(alt.partition(" ")[0] for alt in drawn(curves)))
    assert seen == {("m0", "m1", "m2", "m3")}


@given(st.lists(_points, max_size=80))
def test_any_points_can_be_drawn(points):
    """Steps in any order, NaN and infinities make a picture."""
    picture = LivePicture("run", "0" * 32, "now")
    picture.curves.add(points)
    assert picture.saved("now")._repr_html_().count("<svg") == len(drawn(picture.curves))
    assert str(picture.saved("now"))


def test_the_head_says_how_the_run_stands():
    """It has the name, cut short, the id, the time, the cells and the backlog; a store that is away is told."""
    picture = LivePicture("n" * 500, "0123456789", "2026-01-01 00:00:00")
    picture.seconds, picture.cells, picture.waiting = 3725.4, 2, 7
    (note,) = picture.head()
    assert note == Note(f"run {'n' * 119}… (01234567) RUNNING for 1 h 2 min, 2 cells, backlog 7")
    picture.seconds, picture.is_away = None, True
    idle, away = picture.head()
    assert "RUNNING since 2026-01-01 00:00:00" in str(idle)
    assert away == Note("the tracking store is away; 7 logged entries wait for it, and are safe", "bad")
    picture.waiting = None
    assert "wait" not in str(picture.head()[0])
