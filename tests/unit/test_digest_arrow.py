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
