"""How two versions of data differ, from their digests, schemas and profiles; nothing is read here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.data.versions import Version
from mlops_jupyter.tracking.measures import Entry

#: What is compared of a column, in the order in which it is shown.
MEASURES = ("missing", "distinct", "true", "min", "max", "mean", "std", "infinite", "frequent", "types", "unread")
# Types of Arrow by the names that numpy and pandas have for them.
_ALIKE = {"double": "float64", "float": "float32", "halffloat": "float16", "boolean": "bool"}
# Estimates of a number of values that differ by no more than this part are as good as equal; and shares in a sample,
# by no more than so many standard errors.
_ABOUT, _ERRORS = 0.02, 4.0
_NO_CHANGE: Mapping[str, Any] = {"added": [], "removed": [], "changed": {}, "reordered": False}
_FAMILY = {"frame": "frame", "table": "table", "array": "array", "file": "file", "folder": "file"}


@dataclass(frozen=True)
class Difference:
    """How b differs from a.

    Args:
        digests: Whether the digests are equal; None where they are of different things, such as a file and a frame.
        schema: ``added removed changed reordered``, and ``shape`` of arrays; None where one of both has no schema.
        rows: ``a b change``.
        columns: Name of a column that is in both and has changed → measure → ``a b``, and what follows from them.
        same: How many of the columns in both have not, nor their type.
        not_compared: How many of them one of both says no more of than that it has them.
    """

    digests: bool | None
    schema: Mapping[str, Any] | None
    rows: Mapping[str, Any]
    columns: Mapping[str, Mapping[str, Any]]
    same: int
    not_compared: int

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing in it but the digests."""
        rows = self.rows["a"] != self.rows["b"]
        schema = self.schema is not None and any(self.schema.values())
        return not (rows or schema or self.columns)


def difference(a: Version, b: Version) -> Difference:
    """Compare two versions of data.

    Args:
        a: One.
        b: The other.

    Returns:
        The difference. Of equal digests it is none, whatever the profiles say of what they had to guess.
    """
    digests = _digests(a, b)
    rows = {"a": a.rows, "b": b.rows, "change": _change(a.rows, b.rows)}
    ours, theirs = _keyed(a.columns), _keyed(b.columns)
    both = [name for name in ours if name in theirs]
    if digests:
        return Difference(True, _NO_CHANGE, rows, {}, len(both), 0)
    types = _both_types(a, b)
    schema = _schema(*types) | _shapes(a, b) if types else None
    known = types[0].keys() & types[1].keys() if types else set()
    compared = {name: _column(ours[name], theirs[name], a.rows, b.rows) for name in both}
    changed = {name: changes for name, changes in compared.items() if changes}
    same = set(both) - changed.keys() - (schema["changed"].keys() if schema else set())
    return Difference(digests, schema, rows, changed, len(same), len(known - set(both)))


def _digests(a: Version, b: Version) -> bool | None:
    if a.ours != b.ours:
        return None
    if a.digest == b.digest:
        return True
    apart = a.data and b.data and _FAMILY.get(a.data) != _FAMILY.get(b.data)
    return None if apart else False


def _keyed(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Give entries by name; of several of one name, the second is ``NAME (2)``."""
    found: dict[str, Entry] = {}
    for entry in entries:
        name, number = str(entry["name"]), 1
        while (key := name if number == 1 else f"{name} ({number})") in found:
            number += 1
        found[key] = entry
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Schema


def _types(version: Version, *, by_profile: bool, common: bool) -> dict[str, str]:
    if not by_profile:
        entries: Iterable[Entry] = ({"name": name, "dtype": kind} for name, kind in version.types)
    else:
        entries = version.columns
    return {name: _common(entry) if common else str(entry.get("dtype")) for name, entry in _keyed(entries).items()}


def _both_types(a: Version, b: Version) -> tuple[dict[str, str], dict[str, str]] | None:
    """Give name and type of the columns of both, in words that can be compared; None where one has none."""
    by_profile = a.is_whole and b.is_whole
    if not by_profile and not (a.types and b.types):
        return None
    # Between two frames, types are those of pandas; elsewhere, those that mean the same are the same.
    common = by_profile and not a.data == b.data == "frame"
    one, two = (_types(version, by_profile=by_profile, common=common) for version in (a, b))
    return one, two


def _schema(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, Any]:
    return {
        "added": [name for name in b if name not in a],
        "removed": [name for name in a if name not in b],
        "changed": {name: {"a": a[name], "b": b[name]} for name in a if name in b and a[name] != b[name]},
        "reordered": [name for name in a if name in b] != [name for name in b if name in a],
    }


def _shapes(a: Version, b: Version) -> dict[str, Any]:
    """Give the shapes of two arrays that differ in more than the number of rows."""
    one, two = a.profile.get("shape"), b.profile.get("shape")
    return {"shape": {"a": one, "b": two}} if one and two and one[1:] != two[1:] else {}


def _common(entry: Entry) -> str:
    """Give a column's type in words that pandas, numpy and Arrow have in common."""
    dtype = str(entry.get("dtype"))
    if dtype.startswith(("dictionary<", "category")):
        return "category"
    if entry.get("kind") == "text":
        return "text"
    plain = dtype.removesuffix("[pyarrow]")
    if plain.startswith("timestamp["):
        return plain.replace("timestamp[", "datetime64[").replace(", tz=", ", ")
    if plain.startswith("duration["):
        return plain.replace("duration[", "timedelta64[")
    return _ALIKE.get(plain, plain if plain.startswith(("datetime", "timedelta")) else plain.lower())


# ---------------------------------------------------------------------------------------------------------------------
# Columns


def _column(a: Entry, b: Entry, rows_a: int | None, rows_b: int | None) -> dict[str, Any]:
    """Give what has changed in a column: measure → both values, and what follows from them."""
    # What was measured of numbers is not compared with what was measured of texts.
    measures = MEASURES if a.get("kind") == b.get("kind") else ("missing", "distinct")
    changes: dict[str, Any] = {}
    for measure in measures:
        nothing = 0 if measure == "infinite" else None
        one, two = a.get(measure, nothing), b.get(measure, nothing)
        # A profile that was shortened says nothing of these, and not that there are none.
        if one == two or (measure in ("frequent", "types") and (one is None or two is None)):
            continue
        shares = _shares(measure, one, a, rows_a), _shares(measure, two, b, rows_b)
        # Where there are more rows, there is more of everything.
        if (shares[0] is not None and shares[0] == shares[1]) or _is_chance(measure, (a, b), shares):
            continue
        changes[measure] = {"a": one, "b": two} | _meaning(measure, (a, b), shares)
    return changes


def _shares(measure: str, count: Any, entry: Entry, rows: int | None) -> Any:
    """Give what is counted in rows as shares of them: a number, or one a value; None for what is not."""
    if measure in ("missing", "true") and rows and isinstance(count, int):
        return count / rows
    of = entry.get("sample") or rows
    if measure == "frequent" and of:
        return {json.dumps(value): number / of for value, number in count}
    return None


def _is_chance(measure: str, entries: tuple[Entry, Entry], shares: tuple[Any, Any]) -> bool:
    """Tell whether two samples of the same would differ as much: nothing that is worth telling."""
    sizes = [entry["sample"] for entry in entries if "sample" in entry]
    if not sizes:
        return False
    if measure == "distinct":
        one, two = (entry["distinct"] for entry in entries)
        return bool(abs(one - two) <= _ABOUT * max(one, two))
    if measure != "frequent" or None in shares or shares[0].keys() != shares[1].keys():
        return False
    pairs = [(share, shares[1][value]) for value, share in shares[0].items()]
    return all(abs(one - two) <= _ERRORS * math.sqrt(max(one, two) / min(sizes)) for one, two in pairs)


def _meaning(measure: str, entries: tuple[Entry, Entry], shares: tuple[Any, Any]) -> dict[str, Any]:
    """Say what follows from a change: by how much, in shares, in standard deviations, values gained and lost."""
    one, two = (entry.get(measure) for entry in entries)
    said: dict[str, Any] = {}
    if (moved := _change(one, two)) is not None:
        said["change"] = moved
    if None not in shares:
        said["shares"] = {"a": shares[0], "b": shares[1]}
    if measure == "distinct" and any("sample" in entry for entry in entries):
        said["about"] = True
    elif measure == "mean" and (shift := _shift(*entries)) is not None:
        said["shift"] = shift
    elif measure == "frequent":
        values = [[pair[0] for pair in pairs or ()] for pairs in (one, two)]
        said |= {"gained": _without(values[1], values[0]), "lost": _without(values[0], values[1])}
        if "shares" in said:
            said["shares"] = {side: list(said["shares"][side].values()) for side in ("a", "b")}
    return said


def _without(some: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [value for value in some if value not in others]


def _change(a: Any, b: Any) -> Any:
    """Give by how much a number has grown; None for what is no number."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b)):
        return None
    if isinstance(a, int) and isinstance(b, int):
        return b - a
    moved = float(f"{b - a:.12g}")
    return moved if math.isfinite(moved) else None


def _shift(a: Entry, b: Entry) -> float | None:
    """Give by how many standard deviations a mean has moved (the standardised mean difference)."""
    spreads = [entry.get("std") for entry in (a, b)]
    means = [entry.get("mean") for entry in (a, b)]
    if not all(isinstance(value, int | float) for value in (*spreads, *means)):
        return None
    spread = math.hypot(*spreads) / math.sqrt(2)  # type: ignore[arg-type]
    moved = (means[1] - means[0]) / spread if spread else math.inf  # type: ignore[operator]
    return float(f"{moved:.6g}") if math.isfinite(moved) else None
