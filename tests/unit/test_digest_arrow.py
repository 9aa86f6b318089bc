"""Digests of Arrow's columns of any type: what they hold counts, and how it lies in memory does not."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_jupyter.digest import digest_of

DAY = dt.date(2020, 2, 29)
COLUMNS: dict[str, tuple[list[Any], pa.DataType]] = {
    "list": ([[1, 2], [3], None, []], pa.list_(pa.int64())),
    "large list": ([[1.5], [None, 2.0], None], pa.large_list(pa.float64())),
    "vectors": ([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
    "lists of lists": ([[["a"], None], [[]], None], pa.list_(pa.list_(pa.string()))),
    "struct": ([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}], pa.struct({"a": pa.int64(), "b": pa.string()})),
    "timestamp": ([dt.datetime(2020, 1, 1), None], pa.timestamp("us", "Europe/Paris")),
    "date32": ([DAY, None], pa.date32()),
    "date64": ([DAY, None], pa.date64()),
    "time32": ([dt.time(1), None], pa.time32("s")),
    "time64": ([dt.time(1), None], pa.time64("us")),
    "duration": ([dt.timedelta(1), None], pa.duration("ms")),
    "decimal": ([Decimal("1.00"), None], pa.decimal128(10, 2)),
    "half": ([np.float16(1.5), None], pa.float16()),
    "map": ([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "dictionary": (["a", "b", None], pa.dictionary(pa.int8(), pa.string())),
    "binary": ([b"ab", None], pa.binary(2)),
    "interval": ([(1, 2, 3), None], pa.month_day_nano_interval()),
    "bool": ([True, None, False], pa.bool_()),
}


def digest(column: Any) -> str:
    return digest_of(pa.table({"x": column}))


@pytest.mark.parametrize("kind", COLUMNS)
def test_how_a_column_is_cut_plays_no_part(kind: str) -> None:
    """Chunks, and windows into longer columns, hold what the column holds."""
    values, of = COLUMNS[kind]
    column = pa.array(values, of)
    assert digest(pa.chunked_array([column[:1], column[1:]])) == digest(column)
    assert digest(pa.concat_arrays([column, column])[len(column) :]) == digest(column)


@pytest.mark.parametrize("kind", COLUMNS)
def test_values_and_their_order_count(kind: str) -> None:
    """Another order, one row less, or a gap elsewhere is other data."""
    values, of = COLUMNS[kind]
    found = [digest(pa.array(some, of)) for some in (values, values[::-1], values[:1], [None] * len(values))]
    assert len(set(found)) == len(found)


def test_where_a_list_ends_counts() -> None:
    """The same numbers in lists of other lengths, and an empty list for a missing one, are other data."""
    of = pa.list_(pa.int64())
    rows = ([[1], [2, 3]], [[1, 2], [3]], [None, []], [[], None])
    assert len({digest(pa.array(values, of)) for values in rows}) == 4


def test_what_was_noted_beside_a_table_plays_no_part() -> None:
    """Metadata says who wrote a table, and with which version."""
    plain = pa.table({"x": [1, 2]})
    noted = plain.replace_schema_metadata({"pandas": '{"creator": {"version": "1"}}'})
    assert digest_of(noted) == digest_of(plain)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.date_range("2020", periods=3, tz="UTC"), pd.date_range("2020", periods=3, tz="Europe/Paris")),
        (pd.period_range("2020", periods=3, freq="D"), pd.period_range("2020", periods=3, freq="h")),
        (pd.interval_range(0, 3), pd.interval_range(0, 3, closed="left")),
        (pd.interval_range(0, 3), pd.interval_range(0, 4)[1:]),
        (pd.Series([10**5000]), pd.Series([10**5000 + 1])),
        (pd.Series([10**5000]), pd.Series([-(10**5000)])),
        (pd.Series(["\ud800"], dtype="string[python]"), pd.Series(["\ud801"], dtype="string[python]")),
        (pd.Series(pd.to_datetime(["2020", None])), pd.Series(pd.to_datetime([None, "2020"]))),
    ],
    ids=["zone", "frequency", "closed", "ends", "long number", "its sign", "half a character", "gap"],
)
def test_columns_of_pandas_that_numpy_has_no_type_for(one: Any, other: Any) -> None:
    """Zones, periods, intervals, very long numbers and texts that UTF-8 can't hold are told apart, and from nothing."""
    ours, theirs = (pd.Series(values).reset_index(drop=True) for values in (one, other))
    assert digest_of(ours) != digest_of(theirs)
    assert digest_of(ours) == digest_of(ours.copy(deep=True))


ENCODED: dict[str, tuple[list[Any], pa.DataType]] = {
    "text": (["a", "b"], pa.string()),
    "large text": (["a", "b"], pa.large_string()),
    "numbers": ([1, 2], pa.int64()),
    "floats": ([0.0, -0.0], pa.float64()),
    "halves": ([np.float16(1), np.float16(2)], pa.float16()),
    "times": ([dt.datetime(2020, 1, 1), dt.datetime(2021, 1, 1)], pa.timestamp("us")),
    "lists": ([[1], [2]], pa.list_(pa.int64())),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_a_dictionary_column_is_told_by_its_values(kind: str) -> None:
    """Which values the dictionary holds besides, in which order, how often, and in which chunk, plays no part."""
    (first, second), of = ENCODED[kind]

    def column(indices: list[int | None], values: list[Any], index: Any = None) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(indices, index or pa.int8()), pa.array(values, of))

    plain = column([0, 1, None, 0], [first, second])
    same = [
        column([1, 0, None, 1], [second, first], pa.int64()),
        column([1, 0, 2, 1], [second, first, None], pa.uint16()),
        column([2, 1, None, 0], [first, second, first]),
        column([0, 0, 1, None, 0], [first, second])[1:],
        pa.chunked_array([plain[:2], plain[2:]]),
        pa.chunked_array([column([0], [first]), column([0, 2, 1], [second, first, None])[:0], plain[1:]]),
        pa.chunked_array([column([0], [first]), column([0, 2, 1], [second, first, None])]),
    ]
    assert {digest(each) for each in same} == {digest(plain)}
    others = [[0, 1, None, 1], [1, 0, None, 1], [0, 1, 0, None], [0, 1, None], [None, None, None, None]]
    found = [digest(column(each, [first, second])) for each in others]
    assert len({digest(plain), digest(pa.array([first, second, None, first], of)), *found}) == 7
    assert digest(column([], [])) == digest(pa.chunked_array([], plain.type)) == digest(plain[:0])


def test_the_type_of_the_values_and_their_order_count() -> None:
    """A dictionary of larger texts, or one whose order means something, is another; its order counts with it."""
    plain, indices = pa.array(["a", "b"]), pa.array([0, 1], pa.int8())
    made = [
        pa.DictionaryArray.from_arrays(indices, plain),
        pa.DictionaryArray.from_arrays(indices, plain.cast(pa.large_string())),
        pa.DictionaryArray.from_arrays(indices, plain, ordered=True),
        pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), plain[::-1], ordered=True),
        pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b", "c"]), ordered=True),
    ]
    assert len({digest(each) for each in made}) == 5
    assert digest(pa.chunked_array([made[2][:1], made[2][1:]])) == digest(made[2])


def test_dictionaries_inside_of_lists_are_told_alike() -> None:
    """Wherever a dictionary lies, the type of its indices plays no part."""
    kinds = [pa.list_(pa.dictionary(index, pa.string())) for index in (pa.int8(), pa.int32())]
    one, same = (pa.array([["a", "b"], None, ["a"]], kind) for kind in kinds)
    assert digest(one) == digest(same) != digest(pa.array([["a", "b"], None, ["b"]], kinds[0]))


def named(*fields: tuple[str, pa.DataType]) -> str:
    """Give the digest of a table without rows."""
    return digest_of(pa.schema(list(fields)).empty_table())


def test_names_may_hold_anything() -> None:
    """What reads like another column, and what is longer than Arrow shows, is a name all the same."""
    whole = pa.int64()
    assert named(("a: int64\nb", whole), ("c", whole)) != named(("a", whole), ("b: int64\nc", whole))
    assert named(("x" * 200 + "a" + "x" * 200, whole)) != named(("x" * 200 + "b" + "x" * 200, whole))
    inside = [pa.struct([("a: int64, b", whole)]), pa.struct([("a", whole), ("b", whole)])]
    assert named(("s", inside[0])) != named(("s", inside[1]))
    long = [pa.struct([("x" * 200 + end + "x" * 200, whole)]) for end in "ab"]
    assert named(("s", long[0])) != named(("s", long[1]))
    shifted = [pa.struct([("a: int64, b", whole), ("c", whole)]), pa.struct([("a", whole), ("b: int64, c", whole)])]
    frames = [pd.DataFrame({"x": pd.array([None], dtype=pd.ArrowDtype(kind))}) for kind in shifted]
    assert digest_of(frames[0]) != digest_of(frames[1])
    assert named(("a", whole)) != digest_of(pa.schema([pa.field("a", whole, nullable=False)]).empty_table())
