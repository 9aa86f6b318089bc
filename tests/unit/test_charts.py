"""Charts: valid SVG whatever is drawn, readable by everyone, of bounded size; and the blocks that stand beside them."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_jupyter.charts import lines, lines_in_words, parallel, parallel_in_words
from mlops_jupyter.display import Block, Code, Diff, Fold, Note, Picture, Shown
from mlops_jupyter.scales import Scale, thinned

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\x1b[2J&\"'\ud800\ufffe"
MOST_BYTES = 60_000

any_points = st.lists(st.tuples(st.floats(), st.floats()), max_size=40)
any_series = st.dictionaries(st.text(max_size=12), any_points, max_size=10)
any_value = st.none() | st.floats() | st.text(max_size=8)


def drawn(svg: str) -> ElementTree.Element:
    """Read a chart as XML, and hold what is true of every one: coordinates on the picture, no ids, no scripts."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        assert "id" not in element.attrib
        assert element.tag != f"{SVG}script"
        xs = [element.attrib[name] for name in ("x", "x1", "x2") if name in element.attrib]
        ys = [element.attrib[name] for name in ("y", "y1", "y2") if name in element.attrib]
        pairs = re.findall(r"[ML]([^,]+),([^MLhV]+)", element.attrib.get("d", ""))
        for x in (*xs, *(x for x, _ in pairs)):
            assert 0 <= float(x) <= width, svg
        for y in (*ys, *(y for _, y in pairs)):
            assert 0 <= float(y) <= height, svg
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    assert len(svg.encode()) <= MOST_BYTES
    return root


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in drawn(svg).iter(f"{SVG}text")]


def paths(svg: str) -> list[str]:
    """Give the curves of a chart: the paths in groups, which samples in the legend are not."""
    return [path.attrib["d"] for group in drawn(svg).iter(f"{SVG}g") for path in group.iter(f"{SVG}path")]


# ---------------------------------------------------------------------------------------------------------------------
# Curves


@settings(max_examples=300)
@given(any_series, st.text(max_size=20))
def test_any_numbers_and_names_are_a_valid_picture(series: dict[str, list[tuple[float, float]]], title: str) -> None:
    """NaN, infinities, the largest and smallest numbers, and any text: the SVG is XML, and all of it on the page."""
    drawn(lines(series, title))


def test_what_users_wrote_stays_text() -> None:
    """A hostile name is in the picture as words, and is no markup."""
    svg = lines({HOSTILE: [(0, 1), (1, 2)], "b": [(0, 1)]}, HOSTILE, across=HOSTILE)
    drawn(svg)
    assert "<script" not in svg
    assert "\x1b" not in svg
    assert any("<script>alert(1)</script>" in text for text in texts(svg))


def test_the_worst_picture_is_still_small() -> None:
    """Eight curves of a hundred thousand points between gaps, with names that escape to six times their length."""
    points = [(step, math.nan if step % 2 else math.sin(step)) for step in range(100_000)]
    drawn(lines({f"{at}" + '"' * 500: points for at in range(12)}, '"' * 500))
    values = [(step, math.sin(step * step)) for step in range(100_000)]
    drawn(lines({f"{at}" + '"' * 500: values for at in range(12)}, '"' * 500))
    axes = [f"{axis}" + '"' * 99 for axis in range(30)]
    rows = [dict.fromkeys(axes[:-1], f"{at % 9}" + '"' * 99) | {axes[-1]: at / 7} for at in range(500)]
    drawn(parallel(axes, rows, names=['"' * 99] * 500))


def test_a_spike_among_many_points_stays() -> None:
    """Of a hundred thousand points about four hundred are drawn, and the one that stands out is among them."""
    values = [(step, 0.5 + 0.1 * math.sin(step)) for step in range(100_000)]
    values[77_777] = (77_777, 9.0)
    (path,) = paths(lines({"a": values}, "loss"))
    heights = [float(y) for y in re.findall(r",([\d.]+)", path)]
    assert len(heights) <= 400
    assert heights.count(min(heights)) == 1
    assert sorted(heights)[1] - min(heights) > 90


def test_numbers_that_are_none_leave_gaps() -> None:
    """A curve is interrupted where a value is not finite, and a lonely point between gaps is still seen."""
    nan = math.nan
    steps = list(enumerate([1, 2, nan, 3, 4, math.inf, 5, nan]))
    line, dots = paths(lines({"a": steps}, "loss"))
    assert line.count("M") == 2
    assert line.count("L") == 2
    assert dots.count("h0") == 5
    long = [(step, nan if step == 40 else 1.0) for step in range(80)] + [(80, nan), (81, 2.0), (82, nan)]
    line, dots = paths(lines({"a": long}, "loss"))
    assert line.count("M") == 2
    assert dots.count("h0") == 1


def test_more_than_eight_curves_are_counted() -> None:
    """The first eight are drawn, each in a look of its own; how many are left out is said."""
    svg = lines({f"run {at}": [(0, at), (1, at + 1)] for at in range(11)}, "loss")
    assert "and 3 more, not drawn" in texts(svg)
    assert [f"run {at}" in texts(svg) for at in range(11)] == [True] * 8 + [False] * 3
    looks = {group.attrib["style"] for group in drawn(svg).iter(f"{SVG}g")}
    dashes = {path.attrib.get("stroke-dasharray") for path in drawn(svg).iter(f"{SVG}path")}
    assert len(looks) == 8
    assert len(dashes) == 8


def test_a_name_looks_the_same_in_every_chart() -> None:
    """A run without the metric keeps its colour for itself, so that the others have theirs everywhere."""
    both = lines({"a": [(0, 1), (1, 2)], "b": [(0, 1), (1, 3)]}, "loss")
    one = lines({"a": [], "b": [(0, 1), (1, 3)]}, "accuracy")

    def looks(svg: str) -> dict[str, str]:
        groups = drawn(svg).iter(f"{SVG}g")
        return {str(group.findtext(f"{SVG}title")): group.attrib["style"] for group in groups}

    assert looks(one) == {"b": looks(both)["b"]}
    crowd: dict[str, list[tuple[float, float]]] = {f"empty {at}": [] for at in range(9)}
    crowd |= {f"full {at}": [(0, 1), (1, 2)] for at in range(8)}
    assert len(set(looks(lines(crowd, "loss")).values())) == 8


def test_many_decades_are_shown_by_their_logarithms() -> None:
    """Positive values over more than three decades get a logarithmic axis, which is said; others never do."""
    steep = [(step, 10.0**-step) for step in range(6)]
    assert "loss (log scale)" in texts(lines({"a": steep}, "loss"))
    assert "loss (log scale)" not in texts(lines({"a": [*steep, (6, 0.0)]}, "loss"))
    assert "loss (log scale)" not in texts(lines({"a": steep[:4]}, "loss"))


def test_a_chart_says_in_words_what_it_shows() -> None:
    """Who can't see it hears how each curve begins and ends, and between what it stays."""
    series = {"a": [(0, 0.9), (5, 0.95), (9, 0.1)], "b": [(0, math.nan)], "c": [(3, 1.0)], "d": []}
    words = lines_in_words(series, "loss")
    assert words == (
        "loss by step: a from 0.9 at 0 to 0.1 at 9, between 0.1 and 0.95; b has no number; c is 1 at step 3"
    )
    assert drawn(lines(series, "loss")).attrib["aria-label"] == words


def test_points_are_drawn_in_the_order_of_x() -> None:
    """Steps that were logged out of order make no zigzag."""
    (path, _) = paths(lines({"a": [(2, 1), (0, 3), (1, 2)]}, "loss"))
    xs = [float(x) for x in re.findall(r"([\d.]+),", path)]
    assert xs == sorted(xs)


# ---------------------------------------------------------------------------------------------------------------------
# Parallel axes


@settings(max_examples=200)
@given(
    st.lists(st.text(max_size=6), min_size=1, max_size=14, unique=True),
    st.lists(st.lists(any_value, min_size=14, max_size=14), max_size=12),
)
def test_any_rows_are_a_valid_picture(axes: list[str], values: list[list[float | str | None]]) -> None:
    """Numbers, texts and nothing in any mixture: the SVG is XML, and all of it on the page."""
    rows = [dict(zip(axes, row, strict=False)) for row in values]
    drawn(parallel(axes, rows, names=[str(at) for at in range(len(rows))]))


def test_rows_lie_where_their_values_are() -> None:
    """Numbers are placed by size, names by their order, and what is missing lies below the axis, at `none`."""
    rows = [{"d": 1, "m": "x", "auc": 0.5}, {"d": 3, "m": "y", "auc": 0.9}, {"d": 2, "m": None, "auc": math.nan}]
    svg = parallel(["d", "m", "auc"], rows)
    heights = [[float(y) for y in re.findall(r",([\d.]+)", path)] for path in paths(svg)]
    missing, low, high = heights
    assert [h < one for h, one in zip(high, low, strict=True)] == [True] * 3
    assert high[0] < missing[0] < low[0]
    assert missing[1] == missing[2] > max(low)
    assert texts(svg).count("none") == 2
    assert {"1", "2", "3", "x", "y", "0.5", "0.9"} <= set(texts(svg))


def test_the_last_axis_gives_the_colours() -> None:
    """From the low end to the high one of the metric, and grey where there is none; another axis may be named."""
    rows = [{"d": 2, "auc": 0.5}, {"d": 1, "auc": 0.9}, {"d": 1, "auc": None}]

    def shares(svg: str) -> dict[str, str]:
        styles = {path.findtext(f"{SVG}title"): g.attrib["style"] for g in drawn(svg).iter(f"{SVG}g") for path in g}
        mixed = {name: re.search(r"\) (\d+)%", style) for name, style in styles.items() if name}
        return {name: found[1] if found else "grey" for name, found in mixed.items()}

    assert shares(parallel(["d", "auc"], rows, names="abc")) == {"a": "0", "b": "100", "c": "grey"}
    assert shares(parallel(["d", "auc"], rows, "d", names="abc")) == {"a": "100", "b": "0", "c": "0"}


def test_parallel_axes_say_in_words_what_they_show() -> None:
    """What is on each axis, and which rows are at both ends of the metric."""
    rows = [{"d": 1, "m": "x", "auc": 0.5}, {"d": 3, "m": "y", "auc": 0.9}]
    assert parallel_in_words(["d", "m", "auc"], rows, names=["a", "b"]) == (
        "2 rows across 3 axes: d 1 to 3; m x, y; auc 0.5 to 0.9. "
        "highest auc: b, 0.9 with d 3, m y. lowest auc: a, 0.5 with d 1, m x"
    )


def test_very_many_rows_are_counted() -> None:
    """A hundred are drawn; how many are left out is said."""
    svg = parallel(["d", "auc"], [{"d": at, "auc": at} for at in range(130)])
    assert len(paths(svg)) == 100
    assert "and 30 more, not drawn" in texts(svg)


# ---------------------------------------------------------------------------------------------------------------------
# Scales


@settings(max_examples=400)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.sampled_from([3.0, math.inf]))
def test_ticks_are_few_and_tell_themselves_apart(values: list[float], decades: float) -> None:
    """Whatever the range, ticks lie in it, in order, and no two are written alike."""
    scale = Scale.of(values, decades=decades)
    ticks = scale.ticks()
    assert len(ticks) <= 8
    assert [value for value, _ in ticks] == sorted(value for value, _ in ticks)
    assert all(scale.low <= value <= scale.high and 0 <= scale.at(value) <= 1 for value, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks) or scale.high - scale.low < abs(scale.high) * 1e-12


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 97], ["0", "20", "40", "60", "80"]),
        ([0, 3], ["0", "1", "2", "3"]),
        ([0.05, 1.0], ["0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0, 49_000], ["0", "10k", "20k", "30k", "40k"]),
        ([1e-6, 3e-6], ["1.0e-6", "1.5e-6", "2.0e-6", "2.5e-6", "3.0e-6"]),
        ([7], ["7"]),
    ],
)
def test_ticks_are_round_and_short(values: list[float], labels: list[str]) -> None:
    """Steps are whole, large numbers short, and small ones written with their power."""
    assert [label for _, label in Scale.of(values).ticks()] == labels


@given(
    st.lists(st.floats() | st.integers(-9, 9).map(float), min_size=1, max_size=200),
    st.integers(5, 40),
)
def test_a_thinned_series_keeps_its_ends_and_extremes(values: list[float], most: int) -> None:
    """No more points than asked for, in their order, both ends among them, the lowest and the highest, and a gap."""
    points = list(enumerate(values))
    kept = thinned(points, most)
    assert len(kept) <= most
    assert [step for step, _ in kept] == sorted(step for step, _ in kept)
    assert set(map(repr, kept)) <= set(map(repr, points))
    assert (repr(kept[0]), repr(kept[-1])) == (repr(points[0]), repr(points[-1]))
    finite = [value for value in values if math.isfinite(value)]
    assert {min(finite), max(finite)} <= {value for _, value in kept} if finite else True
    assert any(not math.isfinite(value) for _, value in kept) == (len(finite) < len(values))


def test_the_ends_of_what_numbers_can_be_have_a_scale() -> None:
    """The largest numbers of both signs lie on one axis, as do the smallest."""
    largest = sys.float_info.max
    assert Scale.of([-largest, largest]).at(0.0) == 0.5
    assert Scale.of([0.0, 5e-324]).at(5e-324) == 1.0
    assert Scale.of([largest]).at(largest) <= 1.0


# ---------------------------------------------------------------------------------------------------------------------
# Blocks


class Page(Shown):
    """A result made of these blocks."""

    def __init__(self, *blocks: Block) -> None:
        self._blocks = blocks

    def to_json(self) -> Any:
        return None

    def blocks(self) -> Sequence[Block]:
        return self._blocks


def test_a_diff_has_its_signs_as_text_and_as_marks() -> None:
    """Added and removed lines are marked for the eye, for screen readers and in plain text; nothing becomes markup."""
    page = Page(Diff(["@@ -1 +1 @@", " kept", "-<b>old</b>", "+new"], "cell [1]"))
    assert str(page) == "cell [1]\n  @@ -1 +1 @@\n   kept\n  -<b>old</b>\n  +new"
    html = page._repr_html_()
    assert "<del>-&lt;b&gt;old&lt;/b&gt;</del><ins>+new</ins>" in html
    assert "<b>" not in html


def test_a_fold_hides_nothing_in_plain_text() -> None:
    """What is folded in HTML is all there in text, under its summary."""
    page = Page(Fold("2 <cells>", [Code("x = 1"), Note("more")]))
    assert str(page) == "2 <cells>\n  x = 1\nmore"
    assert "<details><summary>2 &lt;cells&gt;</summary><pre>x = 1</pre>" in page._repr_html_()


def test_a_picture_in_a_page_is_read_out_in_words() -> None:
    """The picture is HTML's own part of a page, and its words are the plain text."""
    page = Page(Picture(lines({"a": [(0, 1), (1, 2)]}, "loss"), lines_in_words({"a": [(0, 1), (1, 2)]}, "loss")))
    assert str(page) == "loss by step: a from 1 at 0 to 2 at 1, between 1 and 2"
    assert 'role="img"' in page._repr_html_()
