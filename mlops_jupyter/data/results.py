"""What the verbs of data answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.data.difference import Difference
from mlops_jupyter.data.versions import Version
from mlops_jupyter.display import Block, Grid, Heading, Note, Shown, show_value, time_text

# Together with what stands between them, these make a line of a hundred characters.
_NAME, _SIDE, _CHANGE = 22, 22, 16
_FACT, _LABEL = 42, 40
# More changes than these are for programs to read.
_MOST_ROWS = 200
_LISTED = 70


@dataclass(frozen=True, repr=False)
class DataDiff(Shown):
    """How two versions of data differ.

    Args:
        a: One.
        b: The other.
        difference: What b has other than a.
    """

    a: Version
    b: Version
    difference: Difference

    @property
    def equal(self) -> bool:
        """Whether both have the same content, by their digests."""
        return self.difference.digests is True

    def to_json(self) -> dict[str, Any]:
        """Give the document of ``--json`` and of REST."""
        found = self.difference
        return {
            "a": _side(self.a),
            "b": _side(self.b),
            "equal": self.equal,
            "digests": {True: "equal", False: "differ", None: "not comparable"}[found.digests],
            "schema": None if found.schema is None else dict(found.schema),
            "rows": dict(found.rows),
            "columns": {name: dict(changes) for name, changes in found.columns.items()},
            "columns_equal": found.same,
            "columns_not_compared": found.not_compared,
        }

    def blocks(self) -> Sequence[Block]:
        """Give the verdict, what is compared, then the differences; what is equal is counted."""
        verdict = self._verdict()
        blocks: list[Block] = [
            Heading(f"{_cut(self.a.label, _LABEL)} and {_cut(self.b.label, _LABEL)}"),
            verdict,
            self._sides(),
        ]
        if self.equal:
            return blocks
        blocks += self._schema()
        blocks += self._columns()
        return blocks

    def _verdict(self) -> Note:
        if self.equal:
            whose = "" if self.a.ours else " by MLflow's digest, which need not have seen all rows"
            return Note(f"equal{whose}", "good")
        told = self.difference.is_nothing
        if self.difference.digests is None:
            why = "the digests are of different things, and can't be compared"
            return Note(f"no difference in what is known of both; {why}" if told else f"they differ; {why}", "info")
        if told:
            return Note("the content differs, in nothing that is told here: single values, or the order of rows", "bad")
        return Note("they differ", "bad")

    def _sides(self) -> Grid:
        rows: list[dict[str, Any]] = []
        marked = set()
        for label, values in _FACTS.items():
            one, two = (_cut(values(version), _FACT) for version in (self.a, self.b))
            if one or two:
                marked |= {len(rows)} if label in ("digest", "rows", "columns") and one != two else set()
                rows.append({"what": label, "a": one or "–", "b": two or "–"})
        return Grid({"what": "data", "a": "a", "b": "b"}, rows, marked=frozenset(marked))

    def _schema(self) -> list[Block]:
        schema = self.difference.schema
        if schema is None:
            return [Note("of one of both the columns are not known")]
        blocks: list[Block] = [
            Note(f"columns {what}: {_names(schema[what])}", "bad") for what in ("added", "removed") if schema[what]
        ]
        if schema["reordered"]:
            blocks.append(Note("the columns stand in another order", "bad"))
        changed = {**schema["changed"], **({"shape": schema["shape"]} if "shape" in schema else {})}
        rows = [{"column": _cut(name, _NAME), **_texts(types)} for name, types in changed.items()]
        if rows:
            blocks.append(_grid({"column": "column", "a": "type in a", "b": "type in b"}, rows, "types"))
        return blocks

    def _columns(self) -> list[Block]:
        found = self.difference
        rows = []
        for name, changes in found.columns.items():
            for measure, change in changes.items():
                about = "~" if change.get("about") else ""
                said = {"column": _cut(name, _NAME), "measure": about + measure, **_texts(change, measure)}
                rows.append(said | {"change": _cut(_moved(measure, change), _CHANGE)})
        blocks: list[Block] = []
        if rows:
            labels = {"column": "column", "measure": "", "a": "a", "b": "b", "change": "change"}
            blocks.append(_grid(labels, rows, "columns that have changed"))
        if found.same:
            blocks.append(Note(f"{_count(found.same)} equal in all that is told of them"))
        if found.not_compared:
            blocks.append(Note(f"{_count(found.not_compared)} not compared: there is no profile of them in both"))
        return blocks


def _side(version: Version) -> dict[str, Any]:
    columns = version.profile.get("num_columns", len(version.types) or None)
    return {"label": version.label, **version.facts, "rows": version.rows, "columns": columns}


_FACTS: Mapping[str, Callable[[Version], Any]] = {
    "name": lambda version: version.facts.get("name"),
    "run": lambda version: _run(version),
    "logged": lambda version: time_text(version.facts.get("logged")),
    "role": lambda version: version.facts.get("role"),
    "file": lambda version: _end(version.facts.get("file"), _FACT),
    "digest": lambda version: version.digest[:12],
    "rows": lambda version: version.rows,
    "columns": lambda version: _side(version)["columns"],
}


def _run(version: Version) -> str | None:
    run_id = version.facts.get("run_id")
    return f"{version.facts.get('run')} ({run_id[:8]})" if run_id else None


def _grid(columns: Mapping[str, str], rows: list[dict[str, Any]], title: str) -> Grid:
    left = len(rows) - _MOST_ROWS
    told = f"{title}, the first {_MOST_ROWS} of {len(rows)} lines; --json has all" if left > 0 else title
    return Grid(columns, rows[:_MOST_ROWS], told)


def _count(number: int) -> str:
    return "1 column is" if number == 1 else f"{number} columns are"


def _names(names: Sequence[str]) -> str:
    """List as many names as there is room for in a line, and at least one."""
    listed = [_cut(name, _NAME) for name in names]
    shown = listed[:1]
    for name in listed[1:]:
        if len(", ".join([*shown, name])) > _LISTED:
            break
        shown.append(name)
    left = len(listed) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _cut(value: Any, length: int) -> str:
    text = show_value(value)
    return text if len(text) <= length else text[: length - 1] + "…"


def _end(path: Any, length: int) -> str | None:
    """Give the end of a path that is too long: there stands what tells it from others."""
    text = str(path)
    return None if path is None else text if len(text) <= length else "…" + text[1 - length :]


def _texts(change: Mapping[str, Any], measure: str = "") -> dict[str, str]:
    texts = {}
    for side in ("a", "b"):
        value = change[side]
        if measure == "frequent":
            counts = change["shares"][side] if "shares" in change else None
            told = [f"{100 * share:.3g}%" for share in counts] if counts else [str(count) for _, count in value]
            value = ", ".join(f"{text} {much}" for (text, _), much in zip(value, told, strict=True))
        elif measure == "types":
            value = ", ".join(f"{name} {count}" for name, count in value.items())
        elif "shares" in change:
            value = f"{value} ({100 * change['shares'][side]:.3g}%)"
        texts[side] = _cut("–" if value is None else value, _SIDE)
    return texts


def _moved(measure: str, change: Mapping[str, Any]) -> str:
    """Say what follows from a change, in a few characters."""
    if measure == "frequent":
        signs = [f"+{value}" for value in change["gained"]] + [f"−{value}" for value in change["lost"]]
        return " ".join(signs)
    if "shift" in change:
        return f"{change['shift']:+.3g} std"
    moved = change.get("change")
    return "" if moved is None else f"{moved:+.6g}"
