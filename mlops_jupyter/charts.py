"""Charts as SVG: curves laid over each other, and parallel axes. No library, no script, no domain type.

A chart is readable in light and dark: text and axes have the colour of the text around them, curves have colours that
the style of :mod:`mlops_jupyter.display` changes with the theme. Colours keep apart for people who see fewer of them,
and each curve has a pattern of dashes besides. There are no ids, so any number of charts can stand on one page.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from mlops_jupyter.scales import Point, Scale, thinned
from mlops_jupyter.wording import safe_text, show_value

Series = Mapping[str, Sequence[Point]]
Value = float | str | None

#: How many curves are laid over each other at the most.
MOST_CURVES = 8
#: How many rows are drawn across parallel axes at the most.
MOST_ROWS = 100
_MOST_AXES = 12
_MOST_POINTS = 400
# Over more decades a linear axis shows one end only.
_MOST_DECADES = 3.0
_DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "15 4", "6 2 2 2 2 2", "4 6", "17 3 3 3 3 3")
_LIGHT = ("#1166bb", "#cc7700", "#cc0055", "#bb77aa", "#992200", "#990066", "#ee6655", "#3399dd")
_MUTED = 'fill-opacity=".75"'
# XML has no way to write these; what display makes visible already is not among them.
_NO_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


def _said(name: str, most: int = 80) -> str:
    """Give a name as it may stand in text that is read out: printable, and no longer than that."""
    text = safe_text(" ".join(name.split()))
    text = _NO_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _fit(name: str, room: float, size: float = 11) -> str:
    """Give a name cut to so many pixels; fonts are not known here, so letters are taken to be as wide as most are."""
    text, wide = _said(name), 0.0
    for at, letter in enumerate(text):
        wide += size * (1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.58)
        if wide > room:
            return text[: max(at - 1, 1)] + "…"
    return text


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _svg(width: float, height: float, words: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'role="img" aria-label="{_escape(words)}" font-size="11" fill="currentColor" '
        f'style="max-width:100%;height:auto">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{" " if more else ""}{more}>{_escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, strength: float) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="currentColor" stroke-opacity="{strength}"/>'


# ---------------------------------------------------------------------------------------------------------------------
# Curves


@dataclass(frozen=True)
class _Curve:
    """A curve that is drawn, and the number of its colour and dashes."""

    name: str
    points: Sequence[Point]
    look: int

    @property
    def stroke(self) -> str:
        """The colour, as the theme has it."""
        return f"stroke:var(--mlops-c{self.look},{_LIGHT[self.look]})"


def lines(series: Series, title: str, *, across: str = "step", width: int = 480, height: int = 190) -> str:
    """Lay curves over each other.

    Args:
        series: Name → points (x, y). A y that is not finite is a gap, an empty series leaves out its colour, so that a
            name has the same one in every chart. Of more than eight the first eight are drawn, and a line says so.
        title: What y is.
        across: What x is.
        width: Pixels; it shrinks with the page.
        height: Pixels of the chart without its legend.

    Returns:
        An ``<svg>`` element. y is logarithmic where all of it is positive and spans more than three decades.
    """
    curves = _curves(series)
    words = lines_in_words(series, title, across=across)
    xs, ys = _ranges(curves)
    left = 14 + max((len(label) for _, label in ys.ticks()), default=0) * 6.2
    box = _Box(left, 26, width - 14, height - 34)
    more = sum(map(bool, series.values())) - len(curves)
    legend, foot = _legend(curves, more, width, height) if len(series) > 1 else ([], float(height))
    noted = f"{_fit(title, width - 130, 12)}{' (log scale)' if ys.is_log else ''}"
    parts = [_text(4, 14, noted, 'font-weight="600" font-size="12"'), *_axes(box, xs, ys, across)]
    for curve in curves:
        parts += _curve(curve, box, xs, ys)
    if not any(math.isfinite(y) for curve in curves for _, y in curve.points):
        parts.append(_text((box.left + box.right) / 2, 90, "nothing that could be drawn", 'text-anchor="middle"'))
    return _svg(width, foot, words, [*parts, *legend])


@dataclass(frozen=True)
class _Box:
    """Where in a picture the curves are."""

    left: float
    top: float
    right: float
    bottom: float

    def x(self, part: float) -> float:
        return self.left + part * (self.right - self.left)

    def y(self, part: float) -> float:
        # Some room, or a curve's ends lie on the frame.
        return self.bottom - 5 - part * (self.bottom - self.top - 10)


def _curves(series: Series) -> list[_Curve]:
    """Choose the curves to draw; the first eight names have their own looks, later ones what is free."""
    drawn = [(at, name) for at, name in enumerate(series) if series[name]][:MOST_CURVES]
    free = iter(sorted(set(range(MOST_CURVES)) - {at for at, _ in drawn}))
    looks = {name: at if at < MOST_CURVES else next(free) for at, name in drawn}
    return [_Curve(name, _ordered(series[name]), looks[name]) for _, name in drawn]


def _ordered(points: Sequence[Point]) -> list[Point]:
    placed = [point for point in points if math.isfinite(point[0])]
    return thinned(sorted(placed, key=lambda point: point[0]), _MOST_POINTS)


def _ranges(curves: Sequence[_Curve]) -> tuple[Scale, Scale]:
    points = [point for curve in curves for point in curve.points]
    return Scale.of(x for x, _ in points), Scale.of((y for _, y in points), decades=_MOST_DECADES)


def _axes(box: _Box, xs: Scale, ys: Scale, across: str) -> Iterator[str]:
    for value, label in ys.ticks():
        y = box.y(ys.at(value))
        yield _rule(box.left, y, box.right, y, 0.14)
        yield _text(box.left - 6, y + 4, label, f'text-anchor="end" {_MUTED}')
    yield _rule(box.left, box.bottom, box.right, box.bottom, 0.5)
    for value, label in xs.ticks():
        x = box.x(xs.at(value))
        yield _rule(x, box.bottom, x, box.bottom + 4, 0.5)
        yield _text(x, box.bottom + 16, label, f'text-anchor="middle" {_MUTED}')
    yield _text(box.right, box.bottom + 30, _fit(across, 200), f'text-anchor="end" {_MUTED}')


def _curve(curve: _Curve, box: _Box, xs: Scale, ys: Scale) -> Iterator[str]:
    pieces = list(_pieces(curve.points))
    placed = [[f"{box.x(xs.at(x)):.1f},{box.y(ys.at(y)):.1f}" for x, y in piece] for piece in pieces]
    path = "".join("M" + "L".join(piece) for piece in placed if len(piece) > 1)
    # Few points are seen as such; among many, only those that no line goes through.
    few = sum(map(len, placed)) <= 24
    dots = "".join(f"M{place}h0" for piece in placed if few or len(piece) == 1 for place in piece)
    if not path and not dots:
        return
    dashes = f' stroke-dasharray="{_DASHES[curve.look]}"' if _DASHES[curve.look] else ""
    yield f'<g fill="none" style="{curve.stroke}" stroke-linejoin="round"><title>{_escape(_said(curve.name))}</title>'
    if path:
        yield f'<path stroke-width="1.8"{dashes} d="{path}"/>'
    if dots:
        yield f'<path stroke-width="4.5" stroke-linecap="round" d="{dots}"/>'
    yield "</g>"


def _pieces(points: Iterable[Point]) -> Iterator[list[Point]]:
    piece: list[Point] = []
    for point in points:
        if math.isfinite(point[1]):
            piece.append(point)
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _legend(curves: Sequence[_Curve], more: int, width: float, top: float) -> tuple[list[str], float]:
    """Draw the names under a chart, and tell where they end."""
    columns = 3 if all(len(_said(curve.name)) <= 18 for curve in curves) else 2
    room = (width - 8) / columns
    parts = []
    for at, curve in enumerate(curves):
        x, y = 4 + room * (at % columns), top + 12 + at // columns * 17
        dashes = f' stroke-dasharray="{_DASHES[curve.look]}"' if _DASHES[curve.look] else ""
        parts.append(f'<path d="M{x:.1f},{y - 4:.1f}h34" style="{curve.stroke}" stroke-width="2.2"{dashes}/>')
        parts.append(_text(x + 40, y, _fit(curve.name, room - 48)))
    foot = top + math.ceil(len(curves) / columns) * 17 + 6
    if more > 0:
        parts.append(_text(4, foot + 10, f"and {more} more, not drawn", _MUTED))
        foot += 18
    return parts, foot


def lines_in_words(series: Series, title: str, *, across: str = "step") -> str:
    """Say what :func:`lines` shows: how each curve begins and ends, and between what it stays.

    Args:
        series: Name → points, as there.
        title: What y is.
        across: What x is.

    Returns:
        A few sentences on one line.
    """
    curves = _curves(series)
    more = sum(map(bool, series.values())) - len(curves)
    said = [f"{_said(curve.name)} {_course(curve.points, across)}" for curve in curves]
    said += [f"and {more} more"] if more > 0 else []
    return f"{_said(title)} by {_said(across)}: {'; '.join(said) or 'nothing'}"


def _course(points: Sequence[Point], across: str) -> str:
    finite = [point for point in points if math.isfinite(point[1])]
    if not finite:
        return "has no number"
    (first, begins), (last, ends) = finite[0], finite[-1]
    gaps = ", with gaps" if len(finite) < len(points) else ""
    if len(finite) == 1:
        return f"is {show_value(begins)} at {_said(across)} {show_value(first)}{gaps}"
    low, high = min(y for _, y in finite), max(y for _, y in finite)
    course = f"from {show_value(begins)} at {show_value(first)} to {show_value(ends)} at {show_value(last)}"
    return f"{course}, between {show_value(low)} and {show_value(high)}{gaps}"


# ---------------------------------------------------------------------------------------------------------------------
# Parallel axes


class _Axis:
    """An axis among parallel ones: of numbers, or of names in the order of their appearance.

    Args:
        name: What it shows.
        values: What the rows have there.
    """

    def __init__(self, name: str, values: Sequence[Value]) -> None:
        self.name = name
        known = [value for value in values if value is not None]
        self.numbers = [float(value) for value in known if _is_number(value)]
        self.is_numeric = bool(self.numbers) and all(isinstance(value, int | float) for value in known)
        # What is tried in a sweep mostly grows by factors.
        self.scale = Scale.of(self.numbers, decades=1.9)
        self.names = [] if self.is_numeric else list(dict.fromkeys(str(value) for value in known))

    def part(self, value: Value) -> float | None:
        """Give the place of a value, 0 to 1; None where it has none."""
        if value is None:
            return None
        if not self.is_numeric:
            return (self.names.index(str(value)) + 0.5) / len(self.names)
        return self.scale.at(value) if _is_number(value) else None

    def ticks(self) -> list[tuple[float, str]]:
        """Give places and what to write there; of very many names, some."""
        few = sorted(set(self.numbers))
        if self.is_numeric and len(few) <= 5:
            # What was tried says more than round numbers between; where two are close, one is written.
            at = [(self.scale.at(value), show_value(value)) for value in few]
            return [tick for tick, (last, _) in zip(at, [(-1.0, ""), *at], strict=False) if tick[0] - last > 0.06]
        if self.is_numeric:
            return [(self.scale.at(value), label) for value, label in self.scale.ticks()]
        every = math.ceil(len(self.names) / 8)
        return [((at + 0.5) / len(self.names), name) for at, name in enumerate(self.names) if at % every == 0]

    def in_words(self) -> str:
        """Say what there is on the axis."""
        if not self.is_numeric:
            more = [f"{len(self.names) - 4} more"] if len(self.names) > 4 else []
            said = [_said(name, 16) for name in self.names[:4]] + more
            return f"{_said(self.name, 40)} {', '.join(said) or 'nothing'}"
        low, high = show_value(min(self.numbers)), show_value(max(self.numbers))
        return f"{_said(self.name, 40)} {low if low == high else f'{low} to {high}'}"


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def parallel(
    axes: Sequence[str],
    rows: Sequence[Mapping[str, Value]],
    colour_by: str | None = None,
    *,
    names: Sequence[str] = (),
) -> str:
    """Draw rows as lines across parallel axes, as for a sweep: parameters, and a metric as the last.

    Args:
        axes: The axes from left to right, one or more. One whose values all are numbers is numeric, any other has
            names. Of more than twelve the first eleven and the last are drawn.
        rows: Axis → value. None, or a number that is not finite, lies below the axis, at ``none``. Of very many rows
            the first hundred are drawn, and a line says so.
        colour_by: The axis whose values the colours tell, from blue at its low end to orange at its high one; the last
            when None.
        names: What the rows are called, shown where the pointer rests on a line.

    Returns:
        An ``<svg>`` element.
    """
    axes = _drawn_axes(axes)
    drawn = rows[:MOST_ROWS]
    known = [_Axis(name, [row.get(name) for row in drawn]) for name in axes]
    by = axes.index(colour_by) if colour_by in axes else len(axes) - 1
    width = max(480, min(110 * len(axes) + 90, 960))
    box = _Box(22, 52, width - 78, 250)
    gap = (box.right - box.left) / max(len(axes) - 1, 1)
    places = [box.left + at * gap for at in range(len(axes))]
    parts = [*_across(known, drawn, by, places, box, names)]
    for at, axis in enumerate(known):
        parts += _upright(axis, places[at], box, gap, is_coloured=at == by, is_low=at % 2 == 1)
    partial = [at for at, axis in enumerate(known) if any(axis.part(row.get(axis.name)) is None for row in drawn)]
    parts += [_text(places[at] + 6, box.bottom + 24, "none", _MUTED) for at in partial]
    foot = box.bottom + (34 if partial else 12)
    if len(rows) > len(drawn):
        parts.append(_text(4, foot + 6, f"and {len(rows) - len(drawn)} more, not drawn", _MUTED))
        foot += 14
    return _svg(width, foot, parallel_in_words(axes, rows, colour_by, names=names), parts)


def _drawn_axes(axes: Sequence[str]) -> list[str]:
    return [*axes] if len(axes) <= _MOST_AXES else [*axes[: _MOST_AXES - 1], axes[-1]]


def _mixed(part: float) -> str:
    """Give the colour of a place between low and high, as the theme has them; a tenth is as fine as anyone sees."""
    share = round(part * 10) * 10
    return f"stroke:color-mix(in srgb,var(--mlops-high,#cc5500) {share}%,var(--mlops-low,#1166bb))"


def _across(
    axes: Sequence[_Axis],
    rows: Sequence[Mapping[str, Value]],
    by: int,
    places: Sequence[float],
    box: _Box,
    names: Sequence[str],
) -> Iterator[str]:
    """Draw the rows, those without a colour first, and those at the high end last and so on top."""
    groups: dict[str, list[str]] = {}
    whole = [[axis.part(row.get(axis.name)) for axis in axes] for row in rows]
    for at in sorted(range(len(rows)), key=lambda at: -1.0 if (own := whole[at][by]) is None else own):
        own = whole[at][by]
        ys = [box.bottom + 20 if part is None else box.y(part) for part in whole[at]]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in zip(places, ys, strict=True))
        title = f"<title>{_escape(_said(names[at], 24))}</title>" if at < len(names) else ""
        colour = "stroke-opacity:.4" if own is None else _mixed(own)
        groups.setdefault(colour, []).append(f'<path d="M{path}">{title}</path>')
    for colour, paths in groups.items():
        yield f'<g fill="none" stroke="currentColor" stroke-width="1.6" style="{colour}">{"".join(paths)}</g>'


def _upright(axis: _Axis, x: float, box: _Box, gap: float, *, is_coloured: bool, is_low: bool) -> Iterator[str]:
    """Draw an axis; names stand on two levels, so that long ones have room."""
    is_first = x <= box.left
    anchor = f'font-weight="600" text-anchor="{"start" if is_first else "middle"}"'
    yield _text(4 if is_first else x, 34 if is_low else 16, _fit(axis.name, min(gap * 2, 170) - 14), anchor)
    if is_coloured:
        for tenth in range(10):
            y1, y2 = box.y(tenth / 10), box.y((tenth + 1) / 10)
            yield f'<path d="M{x:.1f},{y1:.1f}V{y2:.1f}" style="{_mixed(tenth / 9)}" stroke-width="5"/>'
    else:
        yield _rule(x, box.top, x, box.bottom, 0.5)
    ground = "var(--jp-layout-color0,var(--vscode-editor-background,Canvas))"
    yield f'<g style="paint-order:stroke;stroke:{ground};stroke-width:3px;stroke-linejoin:round">'
    for part, label in axis.ticks():
        yield _text(x + 6, box.y(part) + 4, _fit(label, min(gap, 90) - 14))
    yield "</g>"


def parallel_in_words(
    axes: Sequence[str],
    rows: Sequence[Mapping[str, Value]],
    colour_by: str | None = None,
    *,
    names: Sequence[str] = (),
) -> str:
    """Say what :func:`parallel` shows: what is on each axis, and which rows are at the ends of the coloured one.

    Args:
        axes: As there.
        rows: As there.
        colour_by: As there.
        names: As there.

    Returns:
        A few sentences on one line.
    """
    axes = _drawn_axes(axes)
    known = [_Axis(name, [row.get(name) for row in rows]) for name in axes]
    by = axes.index(colour_by) if colour_by in axes else len(axes) - 1
    text = f"{len(rows)} rows across {len(axes)} axes: {'; '.join(axis.in_words() for axis in known)}"
    column = [row.get(axes[by]) for row in rows]
    ranked = sorted((value, at) for at, value in enumerate(column) if _is_number(value))
    if len(ranked) > 1 and known[by].is_numeric:
        for end, (value, at) in (("highest", ranked[-1]), ("lowest", ranked[0])):
            name = f"{_said(names[at], 40)}, " if at < len(names) else ""
            others = [axis for place, axis in enumerate(axes) if place != by]
            settings = [
                f"{_said(other, 40)} {_said(show_value(rows[at].get(other)) or 'none', 20)}" for other in others
            ]
            text += f". {end} {_said(axes[by], 40)}: {name}{show_value(value)}"
            text += f" with {', '.join(settings)}" if settings else ""
    return text
