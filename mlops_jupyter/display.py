"""How results look: a few blocks, written as plain text and as escaped HTML. No domain type is known here.

A result extends :class:`Shown` and says what it consists of (:meth:`Shown.blocks`) and what its JSON is; every door
takes the form that it needs. The HTML carries its own small style on JupyterLab's theme variables, with fallbacks, so
that it looks right in either theme, in classic pages, and as a file.
"""

from __future__ import annotations

import html
import json
import math
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlops_jupyter.wording import bytes_text as bytes_text
from mlops_jupyter.wording import safe_text as safe_text
from mlops_jupyter.wording import seconds_text as seconds_text
from mlops_jupyter.wording import short_text as short_text
from mlops_jupyter.wording import show_value as show_value
from mlops_jupyter.wording import time_text as time_text

if TYPE_CHECKING:
    import pandas as pd

Tone = Literal["info", "good", "bad"]


@dataclass(frozen=True)
class Heading:
    """A line that names what follows."""

    text: str


@dataclass(frozen=True)
class Note:
    """A sentence, with a tone: ``info``, ``good`` or ``bad``."""

    text: str
    tone: Tone = "info"


@dataclass(frozen=True)
class Pairs:
    """Names and values, one a line."""

    values: Mapping[str, Any]
    title: str = ""


@dataclass(frozen=True)
class Grid:
    """A table.

    Args:
        columns: Key in the rows → the column's label.
        rows: One mapping a row; a missing key is an empty cell.
        title: What stands above.
        empty: What is said when there are no rows.
        marked: Indexes of rows that are set off (differences, say).
    """

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    title: str = ""
    empty: str = "nothing here"
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Code:
    """Source or output, in a fixed-width font."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Diff:
    """What changed in a text: lines that begin with ``+`` where added, ``-`` where removed, a space where kept."""

    lines: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """An SVG made by this package, and what it shows in words."""

    svg: str
    alt: str


@dataclass(frozen=True)
class Fold:
    """Blocks that are unfolded by a click where that can be, and stand there where it can't, as in plain text."""

    summary: str
    blocks: Sequence[Block]


Block = Heading | Note | Pairs | Grid | Code | Diff | Picture | Fold


class Shown(ABC):
    """A result that every door can show."""

    #: False when the request was carried out and the answer is no.
    ok: bool = True

    @abstractmethod
    def to_json(self) -> Any:
        """Give the document of ``--json`` and of REST."""

    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """Give what the result consists of, in order."""

    def __str__(self) -> str:
        """Give the plain text form."""
        return "\n".join(_text(block) for block in self.blocks())

    def __repr__(self) -> str:
        """Give the plain text form."""
        return str(self)

    def _repr_html_(self) -> str:
        inner = "".join(_html(block) for block in self.blocks())
        return f'{_STYLE}<div class="mlops-result">{inner}</div>'


class Table(Shown):
    """Rows, as a result.

    Args:
        rows: One mapping a row, JSON values.
        columns: Key → label of the columns to show; by default all keys of the first row.
        title: What stands above.
        empty: What to type when there are none.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Mapping[str, str] | None = None,
        title: str = "",
        empty: str = "nothing here",
    ) -> None:
        self.rows = [dict(row) for row in rows]
        self.columns = dict(columns) if columns else {key: key for row in self.rows[:1] for key in row}
        self.title = title
        self.empty = empty

    @property
    def df(self) -> pd.DataFrame:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=None if self.rows else list(self.columns))

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Go through the rows."""
        return iter(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Give one row."""
        return self.rows[index]

    def to_json(self) -> dict[str, Any]:
        """Give ``{"rows": […]}``."""
        return {"rows": self.rows}

    def blocks(self) -> Sequence[Block]:
        """Give the one grid."""
        return [Grid(self.columns, self.rows, self.title, self.empty)]


@dataclass(frozen=True, repr=False)
class Message(Shown):
    """A short answer in words.

    Args:
        text: What to say.
        data: The JSON document.
        tone: How it is meant.
    """

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    tone: Tone = "good"

    def to_json(self) -> Any:
        """Give the data."""
        return dict(self.data)

    def blocks(self) -> Sequence[Block]:
        """Give the one note."""
        return [Note(self.text, self.tone)]


def document_of(result: Shown) -> Any:
    """Give a result's JSON document, with what JSON does not have made text: NaN, infinities, paths, times."""
    return _jsonable(result.to_json())


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def dump(document: Any) -> str:
    """Write a JSON document as text, for people and programs."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


_TIMES = {"time", "started", "created"}


def _cell(key: str, value: Any) -> str:
    """Give the text of a value under its name."""
    return time_text(value) if key in _TIMES and isinstance(value, str) else show_value(value)


# ---------------------------------------------------------------------------------------------------------------------
# Plain text


def _text(block: Block) -> str:
    match block:
        case Heading(text):
            return f"\n{safe_text(text)}"
        case Note(text, tone):
            sign = {"info": "", "good": "✓ ", "bad": "✗ "}[tone]
            return sign + safe_text(text)
        case Pairs():
            return _pairs_text(block)
        case Grid():
            return _grid_text(block)
        case Code(text, title):
            head = f"{safe_text(title)}\n" if title else ""
            return head + textwrap.indent(safe_text(text), "  ")
        case Diff(lines, title):
            return _text(Code("\n".join(lines), title))
        case Picture(_, alt):
            return safe_text(alt)
        case Fold(summary, blocks):
            return "\n".join([safe_text(summary), *map(_text, blocks)])


def _pairs_text(block: Pairs) -> str:
    lines = [safe_text(block.title)] if block.title else []
    width = max((len(str(key)) for key in block.values), default=0)
    for key, value in block.values.items():
        lines.append(f"{safe_text(str(key)):<{width}}  {safe_text(_cell(str(key), value))}".rstrip())
    return "\n".join(lines)


def _grid_text(block: Grid) -> str:
    lines = [safe_text(block.title)] if block.title else []
    if not block.rows:
        return "\n".join([*lines, safe_text(block.empty)])
    # Nothing stands to the right of the last column, so a sentence there may be longer.
    room = dict.fromkeys(block.columns, 60) | dict.fromkeys(list(block.columns)[-1:], 120)
    cells = [
        [_clip(safe_text(_cell(key, row.get(key)).replace("\n", " ")), room[key]) for key in block.columns]
        for row in block.rows
    ]
    labels = [safe_text(label) for label in block.columns.values()]
    widths = [max(map(len, column)) for column in zip(labels, *cells, strict=True)]
    right = [all(_is_numeric(row.get(key)) for row in block.rows) for key in block.columns]
    for row in [labels, *cells]:
        padded = (
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    rule = "  ".join("─" * width for width in widths)
    lines.insert(1 + bool(block.title), rule)
    return "\n".join(lines)


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


# ---------------------------------------------------------------------------------------------------------------------
# HTML

# The class is doubled to outweigh what JupyterLab says of every table in an output.
_STYLE = """<style>
.mlops-result{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5;
color:var(--jp-content-font-color1,inherit);max-width:100%;overflow-x:auto}
.mlops-result h4{margin:10px 0 4px;font-size:13px;font-weight:600}
.mlops-result.mlops-result table{border-collapse:collapse;margin:2px 0 8px;font-size:12px;
font-variant-numeric:tabular-nums}
.mlops-result.mlops-result th,.mlops-result.mlops-result td{text-align:left;padding:3px 12px 3px 6px;border:0;
border-bottom:1px solid var(--jp-border-color2,#d0d0d0);vertical-align:top;max-width:44ch;overflow-wrap:break-word}
.mlops-result.mlops-result th{font-weight:600;white-space:nowrap}
.mlops-result.mlops-result td.n,.mlops-result.mlops-result th.n{text-align:right;white-space:nowrap}
.mlops-result.mlops-result td.t{white-space:nowrap}
.mlops-result.mlops-result tr.m td{background:color-mix(in srgb,var(--jp-warn-color1,#f0a000) 14%,transparent)}
.mlops-result.mlops-result p{margin:2px 0 6px;padding-left:8px;border-left:3px solid var(--jp-border-color1,#bdbdbd)}
.mlops-result.mlops-result p.good{border-color:var(--jp-success-color1,#388e3c)}
.mlops-result.mlops-result p.bad{border-color:var(--jp-error-color1,#d32f2f)}
.mlops-result.mlops-result pre{margin:2px 0 8px;padding:6px 8px;font-size:12px;overflow-x:auto;
background:var(--jp-layout-color2,#f5f5f5);color:inherit;font-family:var(--jp-code-font-family,monospace)}
.mlops-result.mlops-result pre.d>*{display:block;min-height:1.5em;color:inherit;text-decoration:none;padding:0 4px}
.mlops-result pre.d>ins{background:color-mix(in srgb,var(--jp-success-color1,#388e3c) 18%,transparent)}
.mlops-result pre.d>del{background:color-mix(in srgb,var(--jp-error-color1,#d32f2f) 16%,transparent)}
.mlops-result pre.d>i{opacity:.75}
.mlops-result .pic{display:inline-block;max-width:100%;margin:4px 16px 8px 0;vertical-align:top}
.mlops-result summary{cursor:pointer;margin:4px 0}
[data-jp-theme-light=false] .mlops-result,.vscode-dark .mlops-result{--mlops-c0:#77bbff;--mlops-c1:#dd9911;
--mlops-c2:#dd4466;--mlops-c3:#ccee99;--mlops-c4:#4477ee;--mlops-c5:#00e5c8;--mlops-c6:#cc55aa;--mlops-c7:#ee7755;
--mlops-low:#66aaff;--mlops-high:#ff9944}
</style>"""


def escape(value: Any) -> str:
    """Give a value's text with everything that HTML would read taken out of play."""
    return html.escape(safe_text(show_value(value)), quote=True)


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h4>{escape(text)}</h4>"
        case Note(text, tone):
            return f'<p class="{tone}">{escape(text)}</p>'
        case Pairs(values, title):
            rows = "".join(
                f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(_cell(str(k), v))}</td></tr>'
                for k, v in values.items()
            )
            return _title(title) + f"<table><tbody>{rows}</tbody></table>"
        case Grid():
            return _grid_html(block)
        case Code(text, title):
            return _title(title) + f"<pre>{html.escape(safe_text(text))}</pre>"
        case Diff(lines, title):
            return _title(title) + f'<pre class="d">{"".join(map(_line_html, lines))}</pre>'
        case Picture(svg, alt):
            return f'<div class="pic" role="img" aria-label="{escape(alt)}">{svg}</div>'
        case Fold(summary, blocks):
            inner = "".join(map(_html, blocks))
            return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def _line_html(line: str) -> str:
    # The sign stays in the text: colour alone tells nothing to who can't see it, or copies it.
    kind = {"+": "ins", "-": "del", "@": "i"}.get(line[:1], "span")
    return f"<{kind}>{html.escape(safe_text(line))}</{kind}>"


def _title(title: str) -> str:
    return f"<h4>{escape(title)}</h4>" if title else ""


def _grid_html(block: Grid) -> str:
    if not block.rows:
        return _title(block.title) + f'<p class="info">{escape(block.empty)}</p>'
    numeric = {key: all(_is_numeric(row.get(key)) for row in block.rows) for key in block.columns}
    kind = {key: ' class="n"' if numeric[key] else ' class="t"' if key in _TIMES else "" for key in block.columns}
    # A header cell without a word in it is read out as one; the corner of a comparison is none.
    head = "".join(
        f'<th scope="col"{kind[key]}>{escape(label)}</th>' if label else "<td></td>"
        for key, label in block.columns.items()
    )
    body = _rows_html(block, kind)
    return _title(block.title) + f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _is_numeric(value: Any) -> bool:
    """Tell whether a cell belongs to a column of numbers; as JSON has them, those that are not finite are texts."""
    return (isinstance(value, int | float | None) and not isinstance(value, bool)) or value in ("nan", "inf", "-inf")


def _rows_html(block: Grid, kind: Mapping[str, str]) -> str:
    lines = []
    for index, row in enumerate(block.rows):
        mark = ' class="m"' if index in block.marked else ""
        cells = "".join(f"<td{kind[key]}>{escape(_cell(key, row.get(key)))}</td>" for key in block.columns)
        lines.append(f"<tr{mark}>{cells}</tr>")
    return "".join(lines)


def sparkline(values: Sequence[float], *, width: int = 120, height: int = 24) -> str:
    """Draw a small line of numbers as SVG.

    Args:
        values: The numbers in order; those that are not finite leave a gap.
        width: Pixels.
        height: Pixels.

    Returns:
        An ``<svg>`` element; an empty one where there is nothing to draw.
    """
    finite = [v for v in values if math.isfinite(v)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
    if len(finite) < 2:
        return head + "</svg>"
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    step = (width - 4) / (len(values) - 1)
    points = " ".join(
        f"{2 + i * step:.1f},{height - 2 - (v - low) / span * (height - 4):.1f}"
        for i, v in enumerate(values)
        if math.isfinite(v)
    )
    line = f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    return f"{head}{line}</svg>"
