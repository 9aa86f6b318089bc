"""What is measured of one column's values, once it is known how they lie in memory; see the profile.

Numbers are sorted, which is faster than to hash them, counts them, and lets them be summed in one order, whatever the
order of the rows. Texts are counted by Arrow, Python's objects one by one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

#: Up to this many rows values are counted one by one; of more, in a sample of about as many.
EXACT = 1_000_000
# Python objects are looked at one by one: of so many rows at the most.
_OBJECTS = 100_000
_MOST_FREQUENT = 5
_FEW = 50
_TEXT = 100
# Python's own, whose equality and text can be trusted.
_PLAIN = (str, int, float, bool, bytes, complex, Decimal)
_IN_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

Entry = dict[str, Any]


class Sample:
    """Which rows are looked at where there are too many."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Any] = {}

    def of(self, rows: int, most: int = 0) -> Any:
        """Give the positions of about ``most`` of so many rows, each as likely as any other, in order."""
        import numpy as np

        most = most or EXACT
        if (rows, most) not in self._known:
            chance = most / rows
            steps = np.random.default_rng(0).geometric(chance, int(most * 1.05) + 1000)
            positions = np.cumsum(steps) - 1
            self._known[rows, most] = positions[positions < rows]
        return self._known[rows, most]


def more_missing(entry: Entry, missing: int) -> Entry:
    """Add gaps that are not among the values that were measured."""
    return entry | {"missing": entry["missing"] + missing}


def booleans(count: int, true: int) -> Entry:
    """Tell of so many booleans, of which so many are true."""
    return {"kind": "boolean", "missing": 0, "distinct": (true > 0) + (true < count), "true": true}


def numbers(values: Any, sample: Sample) -> Entry:
    """Measure numbers, of which NaN is a gap. Sorted, they are summed in one order, whatever the rows' order is."""
    import numpy as np

    real = values.dtype.kind == "f"
    if real and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float64)
    missing = int(np.count_nonzero(np.isnan(values))) if real else 0
    if missing:
        values = values[~np.isnan(values)]
    present = len(values)
    exact = present <= EXACT
    looked = np.sort(values if exact else values[sample.of(present)])
    counted = _distinct_sorted(looked, present, exact)
    entry = {"kind": "number", "missing": missing, **counted, **_summary(looked if exact else values, present)}
    if not real and 0 < counted["distinct"] <= _FEW:
        lengths = _lengths(looked)
        starts = np.cumsum(lengths) - lengths
        entry["frequent"] = _first(zip(looked[starts].tolist(), lengths.tolist(), strict=True))
    return entry


def _summary(values: Any, present: int) -> Entry:
    """Give the least, the greatest, mean and standard deviation of finite numbers, and how many are infinite."""
    import numpy as np

    count = 0
    lows, highs, sums = [], [], []
    for piece in _finite_pieces(values):
        count += len(piece)
        lows.append(piece.min())
        highs.append(piece.max())
        sums.append(float(piece.sum(dtype=np.float64)))
    infinite = {"infinite": present - count} if present > count else {}
    if not count:
        return infinite
    # Of the two zeros one is as good as the other.
    number: Callable[[Any], Any] = (lambda value: float(value) + 0.0) if values.dtype.kind == "f" else int
    mean = _sum(sums) / count
    squares = []
    for piece in _finite_pieces(values):
        apart = piece - mean if piece.dtype == np.float64 else piece.astype(np.float64) - mean
        squares.append(float(np.dot(apart, apart)))
    std = math.sqrt(_sum(squares) / (count - 1)) if count > 1 else math.nan
    told = {"mean": _rounded(mean), "std": _rounded(std)}
    ends = {"min": number(min(lows)), "max": number(max(highs))}
    return ends | {key: value for key, value in told.items() if math.isfinite(value)} | infinite


def _finite_pieces(values: Any) -> Iterator[Any]:
    import numpy as np

    for start in range(0, len(values), EXACT):
        piece = np.ascontiguousarray(values[start : start + EXACT])
        if piece.dtype.kind == "f" and not (finite := np.isfinite(piece)).all():
            piece = piece[finite]
        if len(piece):
            yield piece


def _sum(parts: Iterable[float]) -> float:
    try:
        return math.fsum(parts)
    except (OverflowError, ValueError):  # too large, or infinite both ways
        return math.nan


def _rounded(value: float) -> float:
    """Give a number without the digits that depend on how a sum was made."""
    return float(f"{value:.12g}")


def _lengths(looked: Any) -> Any:
    """Give how often each value stands in a sorted array."""
    import numpy as np

    edges = np.flatnonzero(looked[1:] != looked[:-1]) + 1
    return np.diff(edges, prepend=0, append=len(looked)) if len(looked) else edges


def _distinct_sorted(looked: Any, present: int, exact: bool) -> Entry:
    import numpy as np

    if exact:  # which needs no counts
        return {"distinct": int(np.count_nonzero(looked[1:] != looked[:-1])) + (len(looked) > 0)}
    return _distinct(_lengths(looked), present, exact)


def _distinct(counts: Any, present: int, exact: bool) -> Entry:
    """Say how many values there are, from how often each was seen.

    Of a sample it is the estimate Duj1 of Haas and Stokes, "Estimating the number of classes in a finite population"
    (1998): values that were seen once say how many were not seen at all.
    """
    seen, looked = len(counts), int(counts.sum())
    if exact:
        return {"distinct": seen}
    once = int((counts == 1).sum())
    estimate = round(looked * seen / (looked - once + once * looked / present)) if looked else 0
    return {"distinct": min(max(estimate, seen), present), "sample": looked}


def moments(values: Any, sample: Sample, aware: bool) -> Entry:
    """Measure numpy's times, or spans of time."""
    import numpy as np

    gaps = np.isnat(values)
    missing = int(np.count_nonzero(gaps))
    if missing:
        values = values[~gaps]
    if values.dtype.kind == "m":
        return more_missing(numbers(_seconds(values), sample), missing) | {"kind": "duration"}
    exact = len(values) <= EXACT
    looked = np.sort((values if exact else values[sample.of(len(values))]).view("int64"))
    entry = {"kind": "time", "missing": missing, **_distinct_sorted(looked, len(values), exact)}
    if not len(values):
        return entry
    return entry | {"min": _time_text(values.min(), aware), "max": _time_text(values.max(), aware)}


def _seconds(spans: Any) -> Any:
    import numpy as np

    unit, step = np.datetime_data(spans.dtype)
    if unit not in _IN_A_SECOND:
        return spans.astype("m8[s]").astype("float64")
    return spans.astype("int64") * step / _IN_A_SECOND[unit]


def _time_text(moment: Any, aware: bool) -> str:
    import numpy as np

    text = str(np.datetime_as_string(moment))
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text + "Z" * aware


def texts(column: Any, missing: int, sample: Sample) -> Entry:
    """Measure Arrow's texts, of which none is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    exact = len(column) <= EXACT
    looked = column if exact else column.take(pa.array(sample.of(len(column))))
    found = pc.value_counts(looked)
    counts = found.field(1).to_numpy(zero_copy_only=False)
    entry = {"kind": "text", "missing": missing, **_distinct(counts, len(column), exact)}
    if not len(counts) or _all_once(counts):
        return entry
    ranked = pa.table({"value": found.field(0), "count": found.field(1)})
    order = [("count", "descending"), ("value", "ascending")]
    best = ranked.take(pc.select_k_unstable(ranked, _MOST_FREQUENT, order))
    pairs = zip(best["value"].to_pylist(), best["count"].to_pylist(), strict=True)
    return entry | {"frequent": [[cut(value), count] for value, count in pairs]}


def _all_once(counts: Any) -> bool:
    """Tell whether values are names of rows, of which none is more frequent than another."""
    return len(counts) > _MOST_FREQUENT and int(counts.max()) == 1


def categories(array: Any) -> Entry:
    """Measure a categorical of pandas, by its codes; a category that is not used does not count."""
    import numpy as np

    codes = np.asarray(array.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(array.categories))
    used = np.flatnonzero(counts)
    entry = {"kind": "text", "missing": int((codes < 0).sum()), "distinct": len(used)}
    if not len(used) or _all_once(counts[used]):
        return entry
    # No text is made of those that can't be among the first.
    bar = np.sort(counts[used])[-_MOST_FREQUENT:][0]
    named = [(cut(str(array.categories[code])), int(counts[code])) for code in used[counts[used] >= bar][:1000]]
    return entry | {"frequent": _first(named)}


def _first(named: Iterable[tuple[Any, int]]) -> list[list[Any]]:
    return [list(pair) for pair in sorted(named, key=lambda pair: (-pair[1], pair[0]))[:_MOST_FREQUENT]]


def counted_other(values: Any, missing: int, sample: Sample) -> Entry:
    """Measure numpy's values of which no more is compared than how many there are."""
    import numpy as np

    exact = len(values) <= EXACT
    _, counts = np.unique(values if exact else values[sample.of(len(values))], return_counts=True)
    return {"kind": "other", "missing": missing, **_distinct(counts, len(values), exact)}


def looked_at(present: Any, missing: int, sample: Sample) -> Entry:
    """Measure objects of any kind: their types, and where all are plain, their values."""
    import numpy as np

    exact = len(present) <= _OBJECTS
    looked: Sequence[Any] = list(present if exact else present[sample.of(len(present), _OBJECTS)])
    types = Counter(type(value).__name__ for value in looked)
    # Text that Arrow does not take, having half a character in it, is text all the same.
    entry: Entry = {"kind": "text" if set(types) == {"str"} else "other", "missing": missing}
    if types and entry["kind"] == "other":
        entry["types"] = dict(_first((cut(name), count) for name, count in types.items()))
    if all(type(value) in _PLAIN for value in looked):
        # 1, 1.0 and True are equal, and not the same.
        values = Counter((type(value).__name__, value) for value in looked)
        counts = np.fromiter(values.values(), np.int64, len(values))
        entry |= _distinct(counts, len(present), exact)
        if len(counts) and not _all_once(counts):
            bar = sorted(values.values())[-_MOST_FREQUENT:][0]
            entry["frequent"] = _first((cut(str(key[1])), n) for key, n in values.items() if n >= bar)
    return entry | ({} if exact else {"sample": len(looked)})


def cut(text: str, longest: int = _TEXT) -> str:
    """Give a text that is not too long, and that every store can keep."""
    whole = text[: longest + 1].encode("utf-8", "replace").decode()
    return whole if len(whole) <= longest else whole[: longest - 1] + "…"
