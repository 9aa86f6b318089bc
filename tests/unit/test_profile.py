"""Profiles and schemas of data: what they tell, of anything at all, and quickly."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import subprocess
import sys
import time
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.tracking import measures
from mlops_jupyter.tracking.data import describe, look_at, schema_columns
from mlops_jupyter.tracking.profile import LONGEST, of_array, of_frame, of_table, profile_text


def only(frame: Any) -> dict[str, Any]:
    """Give the entry of a frame's, an array's or a table's only column."""
    profile = {pd.DataFrame: of_frame, pa.Table: of_table, np.ndarray: of_array}[type(frame)](frame)
    (entry,) = profile["columns"]
    return entry


def column(values: Any) -> dict[str, Any]:
    """Give the entry of one column of a frame."""
    return only(pd.DataFrame({"x": values}))


# ---------------------------------------------------------------------------------------------------------------------
# What is measured


def test_gaps_take_no_place_in_a_sample(monkeypatch):
    """Of a column that is nearly all gaps every value is counted; a sample is of what is there."""
    monkeypatch.setattr(measures, "EXACT", 1000)
    values = np.full(5000, np.nan)
    values[17] = 7.0
    entry = column(values)
    assert (entry["missing"], entry["distinct"], entry["min"]) == (4999, 1, 7.0)
    assert "sample" not in entry
    values[::2] = np.arange(2500)
    entry = column(values)
    assert entry["sample"] == pytest.approx(1000, rel=0.2)
    assert entry["missing"] == 2499


def test_numbers_have_their_ends_mean_and_spread():
    """Of numbers a profile has gaps, distinct values, ends, mean and standard deviation; infinities are apart."""
    assert column([3.0, 1.0, np.nan, 1.0, np.inf]) == {
        "name": "x", "dtype": "float64", "kind": "number", "missing": 1, "distinct": 3,
        "min": 1.0, "max": 3.0, "mean": 1.66666666667, "std": 1.15470053838, "infinite": 1,
    }  # fmt: skip
    values = np.random.default_rng(0).normal(size=1000)
    entry = column(values)
    assert entry["mean"] == pytest.approx(values.mean(), rel=1e-11)
    assert entry["std"] == pytest.approx(values.std(ddof=1), rel=1e-11)
    assert entry["distinct"] == 1000
    assert "std" not in column([1])
    assert "mean" not in column([1e308, 1e308])


def test_whole_numbers_stay_whole_and_labels_are_counted():
    """Integers have exact ends, and where they are few, the most frequent of them are told."""
    big = 2**63 - 1
    entry = column([big, -5, -5])
    assert (entry["min"], entry["max"]) == (-5, big)
    assert column([1, 0, 1, 2])["frequent"] == [[1, 2], [0, 1], [2, 1]]
    assert "frequent" not in column(range(51))
    assert column(pd.array([1, None, 3], dtype="Int64"))["missing"] == 1


def test_texts_have_their_most_frequent_values():
    """Texts and categories have five values and their counts, ties in order; names of rows have none."""
    values = ["b", "a", "b", "a", None, "c", "d", "e", "f"]
    frequent = [["a", 2], ["b", 2], ["c", 1], ["d", 1], ["e", 1]]
    for kind in ("str", "object", "string", "category", pd.ArrowDtype(pa.string())):
        entry = column(pd.Series(values, dtype=kind))
        assert (entry["kind"], entry["missing"], entry["distinct"]) == ("text", 1, 6), kind
        assert entry["frequent"] == frequent, kind
    assert "frequent" not in column([f"row {n}" for n in range(10)])
    assert column(pd.Categorical(["a", "a"], categories=["z", "a"]))["distinct"] == 1
    assert column(["y" * 500] * 2)["frequent"] == [["y" * 99 + "…", 2]]


def test_booleans_and_times():
    """Booleans count what is true; times have their ends, in UTC where they know it; spans are seconds."""
    entry = column([True, False, True])
    assert (entry["kind"], entry["distinct"], entry["true"]) == ("boolean", 2, 2)
    assert column(pd.array([True, None], dtype="boolean"))["missing"] == 1
    times = pd.to_datetime(["2024-03-01 12:00", None, "2024-01-01 06:30:00.5"], format="mixed")
    entry = column(times)
    assert (entry["min"], entry["max"]) == ("2024-01-01T06:30:00.5", "2024-03-01T12:00:00")
    assert (entry["kind"], entry["missing"], entry["distinct"]) == ("time", 1, 2)
    assert column(times.tz_localize("Asia/Kathmandu"))["min"] == "2024-01-01T00:45:00.5Z"
    assert column([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)])["max"] == "9999-12-31"
    assert column(pd.to_timedelta(["1h", "2h"]))["mean"] == 5400.0


def test_a_named_index_is_told_apart_from_columns():
    """An index with a name or with values of its own is in the profile; the numbers of picked rows are not."""
    frame = pd.DataFrame({"x": [1, 2, 3]})
    assert "index" not in of_frame(frame[frame["x"] > 1])
    (level,) = of_frame(frame.set_index(pd.date_range("2024-01-01", periods=3, name="day")))["index"]
    assert (level["name"], level["max"]) == ("day", "2024-01-03T00:00:00")


def test_arrays_are_profiled_by_column_or_as_a_whole():
    """A flat array has one column, a table of numbers as many as it has, and one of more dimensions is one again."""
    profile = of_array(np.arange(6).reshape(3, 2))
    assert [entry["max"] for entry in profile["columns"]] == [4, 5]
    assert (profile["num_rows"], profile["num_elements"], profile["shape"]) == (3, 6, [3, 2])
    assert only(np.zeros((2, 3, 4)))["distinct"] == 1
    fields = of_array(np.zeros(3, dtype=[("a", "f8"), ("b", "S3")]))
    assert [entry["name"] for entry in fields["columns"]] == ["a", "b"]
    assert of_array(np.array(5))["num_rows"] == 1


# ---------------------------------------------------------------------------------------------------------------------
# Anything at all


class Hostile:
    """An object that lets nobody look at it."""

    def _refuse(self, *others: object) -> Any:
        raise RuntimeError("leave me alone")

    __eq__ = __hash__ = __repr__ = __str__ = __len__ = __float__ = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return Hostile, ()


NOON = dt.datetime(2024, 1, 1, 12)
UTC, EAST = dt.UTC, dt.timezone(dt.timedelta(hours=2))
ODD: dict[str, Any] = {
    "mixed": [1, "a", 2.5, None],
    "lists": [[1], [2, 3], None, []],
    "nested": [{"a": [{"b": 1}]}, [[1, "x"]], {}, None],
    "sets": [{1}, (1, [2]), None, frozenset()],
    "arrays": [np.zeros(2), np.zeros((2, 2)), None, np.array([])],
    "hostile": [Hostile(), Hostile(), None, 1],
    "infinite": [np.inf, -np.inf, np.inf, -np.inf],
    "nothing": [None] * 4,
    "nan": [np.nan] * 4,
    "nat": [pd.NaT] * 4,
    "decimals": [decimal.Decimal("1.5"), decimal.Decimal("NaN"), None, decimal.Decimal("1e400")],
    "huge": [2**70, -(2**70), 10**400, 1],
    "too large": [1e308, 1e308, -1e308, 5e-324],
    "zones": pd.Series([NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=EAST), None, None], dtype=object),
    "half aware": pd.Series([NOON.replace(tzinfo=UTC), NOON.replace(year=1), None, None], dtype=object),
    "half a character": pd.Series(["\ud800", "a", "a", None], dtype=object),
    "control": ["\x00", "<script>alert(1)</script>", "\x1b[31m", "x" * 100_000],
    "bytes": [b"a", b"\xff", None, b"a"],
    "masked": pd.array([1.5, None, np.nan, np.inf], dtype="Float64"),
    "unsigned": np.array([2**64 - 1, 0, 1, 2], dtype="u8"),
    "half": np.array([1, 2, np.inf, np.nan], dtype="f2"),
    "long": np.array([1, 2, 3, np.nan], dtype=np.longdouble),
    "complex": [1 + 2j, np.nan, 1 + 2j, 0],
    "period": pd.period_range("2024-01", periods=4, freq="M"),
    "interval": pd.interval_range(0, 4),
    "sparse": pd.arrays.SparseArray([0, 0, 1, 0]),
    "zoned": pd.date_range("2024-01-01", periods=4, tz="Asia/Kathmandu"),
    "arrow lists": pd.Series(pd.array([[1], None, [2], []], dtype=pd.ArrowDtype(pa.list_(pa.int64())))),
    "arrow decimals": pd.Series([decimal.Decimal("1.50")] * 4, dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
    "categories of intervals": pd.Categorical([pd.Interval(0, 1)] * 4),
    "identifiers": [uuid.UUID(int=number) for number in range(4)],
    "times of day": [dt.time(1), None, dt.time(2), dt.time(1)],
    "scalars": pd.Series([np.float32(1), np.int8(2), np.str_("a"), None], dtype=object),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_odd_content_is_logged(kind):
    """Whatever a column holds, data has a digest, a profile that is plain JSON, and a schema that MLflow can read."""
    from mlflow.types import Schema

    said = describe(pd.DataFrame({kind: ODD[kind], "beside": [1, 2, 3, 4]}), "odd", None)["dataset"]
    first, beside = json.loads(said["profile"], parse_constant=pytest.fail)["columns"]
    assert (first["name"], beside["max"]) == (kind, 4)
    assert "unread" not in first
    assert first["missing"] in range(5)
    assert said["profile"].isascii()
    assert len(Schema.from_json(json.dumps(json.loads(said["schema"])["mlflow_colspec"])).inputs) == 2


def test_what_can_not_be_read_is_named_and_keeps_nothing_from_being_logged():
    """A column that can't be measured says so, and the others are there."""
    frame = pd.DataFrame({"signal": [decimal.Decimal("sNaN"), decimal.Decimal(1)], "x": [1, 2]})
    signal, other = of_frame(frame)["columns"]
    assert (signal["unread"], signal["missing"]) == ("InvalidOperation", None)
    assert other["max"] == 2


def test_columns_of_any_name_and_none():
    """Names that are no text, or no name, or twice the same, and frames without rows or columns, are profiled."""
    frame = pd.DataFrame([[1, "a", 2.0, 4]], columns=["x", "x", None, ("deep", 1)])
    assert [entry["name"] for entry in of_frame(frame)["columns"]] == ["x", "x", "None", "deep, 1"]
    hostile = pd.DataFrame([[1, 2, 3]], columns=pd.Index(["\ud800", "n" * 10_000, Hostile], dtype=object))
    assert [len(entry["name"]) for entry in of_frame(hostile)["columns"]] == [1, 200, len(str(Hostile))]
    no_rows = pd.DataFrame({"a": [], "b": pd.Series([], dtype=object), "c": pd.Series([], dtype="str")})
    for empty in (pd.DataFrame(), pd.DataFrame(index=range(3)), no_rows):
        said = describe(empty, "empty", None)["dataset"]
        assert json.loads(said["profile"])["num_rows"] == len(empty)


@pytest.mark.parametrize("name", ["", "x" * 501, "a\x00b", "\ud800", 5])
def test_a_name_that_mlflow_refuses_is_refused_at_once(name):
    """MLflow's refusal would come when nobody is there to be told."""
    with pytest.raises(ValueRefused) as refused:
        describe(pd.DataFrame({"x": [1]}), name, None)
    assert refused.value.hint


# ---------------------------------------------------------------------------------------------------------------------
# Many rows, many columns


def test_a_wide_frame_fits_into_mlflow_and_says_what_is_left_out():
    """A frame of 5,000 columns is logged: within MLflow's limits, and what is not told is counted."""
    from mlflow.entities import Dataset
    from mlflow.utils import validation

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 5000))).rename(columns=str)
    said = describe(frame, "wide", "train")["dataset"]
    validation._validate_dataset(Dataset(**said))
    profile = json.loads(said["profile"])
    assert profile["num_columns"] == 5000
    assert len(profile["columns"]) + profile["columns_left_out"] == 5000
    assert len(profile["columns"]) > 1000
    assert len(said["profile"]) <= LONGEST
    assert len(schema_columns(json.loads(said["schema"]))) == 5000


def test_entries_are_shortened_before_any_is_left_out():
    """A profile that is a little too long loses the most frequent values, and no column."""
    frame = pd.DataFrame({f"c{number}": ["long text " * 9, "b"] for number in range(50)})
    document = of_frame(frame)
    text = profile_text(document, 6000)
    short = json.loads(text)
    assert len(text) <= 6000
    assert len(short["columns"]) == 50
    assert "columns_left_out" not in short
    assert "frequent" not in short["columns"][0]
    assert short["columns"][0]["distinct"] == 2
    assert profile_text(document, 10**6) == profile_text(document)


def test_of_many_rows_distinct_is_an_estimate_and_said_to_be(monkeypatch):
    """Above the limit, values are counted in a sample; what it can't show is estimated, and ends stay exact."""
    rows, limit = 60_000, 10_000
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "key": np.arange(rows), "real": np.arange(rows) * 0.5, "few": rng.integers(0, 3, rows),
        "half": np.repeat(np.arange(rows // 2), 2), "name": [f"n{n}" for n in range(rows)],
        "city": ["a", "b", "b"] * (rows // 3),
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="s"),
    })  # fmt: skip
    exact = {entry["name"]: entry for entry in of_frame(frame)["columns"]}
    monkeypatch.setattr(measures, "EXACT", limit)
    monkeypatch.setattr(measures.Sample.of, "__defaults__", (limit,))
    for entry in of_frame(frame)["columns"]:
        known = exact[entry["name"]]
        assert limit * 0.9 < entry["sample"] < limit * 1.1
        assert entry["distinct"] == pytest.approx(known["distinct"], rel=0.25), entry["name"]
        for measure in ("min", "max", "mean", "std", "missing"):
            assert entry.get(measure) == known.get(measure), (entry["name"], measure)
    assert exact["few"]["distinct"] == 3
    assert "sample" not in exact["key"]


def test_a_million_rows_of_twenty_columns_take_about_a_second():
    """Profiling is quick; what looks at each value in Python would take a minute."""
    rows = 1_000_000
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"real {n}": rng.normal(size=rows) for n in range(14)}
    columns |= {f"whole {n}": rng.integers(0, 10**n, rows) for n in range(1, 4)}
    columns["city"] = pd.Categorical.from_codes(rng.integers(0, 4, rows), ["a", "b", "c", "d"]).astype(str)
    columns["flag"] = columns["real 0"] > 0
    columns["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(columns["whole 3"], unit="s")
    frame = pd.DataFrame(columns)
    began = time.perf_counter()
    of_frame(frame)
    assert time.perf_counter() - began < 8


# ---------------------------------------------------------------------------------------------------------------------
# Arrow, and MLflow's schema


def test_an_arrow_table_has_the_measures_of_the_frame():
    """The same values have the same measures in pandas and in Arrow, however they are cut into chunks."""
    frame = pd.DataFrame({
        "real": [1.5, None, np.inf, 2.0], "whole": [1, 2, 3, 3], "text": ["a", None, "b", "b"],
        "flag": [True, False, True, True],
        "when": pd.to_datetime(["2024-01-01", None, "2024-01-02", "2024-01-02"]).tz_localize("UTC"),
        "kind": pd.Categorical(["x", "y", None, "x"]), "span": pd.to_timedelta([1, 2, None, 3], unit="s"),
    })  # fmt: skip
    table = pa.Table.from_pandas(frame)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    for other in (table, chunked):
        for ours, theirs in zip(of_frame(frame)["columns"], of_table(other)["columns"], strict=True):
            assert ours | {"dtype": ""} == theirs | {"dtype": ""}


def test_an_arrow_table_is_profiled_without_pandas():
    """No frame is made of an Arrow table, nested and dictionary columns included."""
    code = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without())
import pyarrow as pa
from mlops_jupyter.tracking.profile import of_table
table = pa.table({
    "text": pa.array(["a", None, "a"]).dictionary_encode(), "view": pa.array(["a", "b", None], pa.string_view()),
    "whole": pa.array([1, None, 3], pa.int8()), "list": [[1], None, []],
    "map": pa.array([[("a", 1)]] * 3, pa.map_("string", "int8")), "day": pa.array([0, 1, None], pa.date32()),
    "decimal": pa.array(["1.5", None, "2"]).cast(pa.decimal128(5, 2)), "null": pa.nulls(3),
    "flag": [True, None, False], "blob": [b"a", b"b", None], "noon": pa.array([1, 2, None], pa.time64("us")),
    "when": pa.array([1, None, 3], pa.timestamp("ns", "Europe/Rome")),
})
found = of_table(table)
assert not [entry for entry in found["columns"] if "unread" in entry], found
assert [entry["missing"] for entry in found["columns"]] == [1, 1, 1, 1, 0, 1, 1, 3, 1, 1, 1, 1]
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_schema_is_the_one_that_mlflow_infers():
    """Of a frame that MLflow has a schema for, ours is the same; a column that it has no type for spoils no other."""
    import mlflow

    frame = pd.DataFrame({
        "i4": np.arange(3, dtype="i4"), "i8": [1, 2, 3], "f4": np.ones(3, "f4"), "f8": [1.0, np.nan, 2.0],
        "flag": [True, False, True], "text": ["a", None, "b"], "old": pd.Series(["a", "b", "c"], dtype=object),
        "when": pd.date_range("2024", periods=3), "bytes": [b"a", b"b", b"c"], "list": [[1], [2, 3], []],
        "dict": [{"a": 1}, {"a": 2, "b": "x"}, {"a": 3}],
    })  # fmt: skip
    with pytest.warns(UserWarning, match="integer column"):
        theirs = mlflow.data.from_pandas(frame, digest="x").to_dict()["schema"]
    assert json.loads(describe(frame, "x", None)["dataset"]["schema"]) == json.loads(theirs)
    spoiled = json.loads(describe(frame.assign(odd=[1, "a", None]), "x", None)["dataset"]["schema"])
    assert dict(schema_columns(spoiled))["odd"] == "any"
    assert dict(schema_columns(spoiled))["dict"] == "object"
    array = np.zeros((2, 3))
    theirs = mlflow.data.from_numpy(array, digest="x").to_dict()["schema"]
    assert json.loads(describe(array, "x", None)["dataset"]["schema"]) == json.loads(theirs)
    table = json.loads(look_at(pa.Table.from_pandas(frame, preserve_index=False)).schema or "")
    assert schema_columns(table) == schema_columns(json.loads(describe(frame, "x", None)["dataset"]["schema"]))


def test_files_are_profiled_by_their_content(tmp_path):
    """CSV and Parquet files have columns, other files and folders their size; a broken table is only a file."""
    frame = pd.DataFrame({"x": [1, 2, 3], "city": ["a", "b", "b"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "broken.csv").write_text('a,b\n1\n"')
    (tmp_path / "notes.txt").write_text("text")
    for name in ("a.csv", "a.parquet"):
        said = describe(tmp_path / name, "file", None)["dataset"]
        profile = json.loads(said["profile"])
        assert (profile["data"], profile["num_rows"]) == ("file", 3)
        assert profile["bytes"] == (tmp_path / name).stat().st_size
        assert dict(schema_columns(json.loads(said["schema"]))) == {"x": "long", "city": "string"}
    broken = json.loads(describe(tmp_path / "broken.csv", "file", None)["dataset"]["profile"])
    assert "columns" not in broken
    assert "CSV" in broken["unread"]
    assert "columns" not in json.loads(describe(str(tmp_path / "notes.txt"), "file", None)["dataset"]["profile"])
    folder = json.loads(describe(tmp_path, "folder", None)["dataset"]["profile"])
    assert folder["data"] == "folder"


# ---------------------------------------------------------------------------------------------------------------------
# Whatever frames there are

_REAL = st.floats(width=64) | st.just(0.5)
_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2),
    "float64": _REAL,
    "bool": st.booleans(),
    "str": st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
    "category": st.none() | st.sampled_from(["a", "b", "c"]),
    "Int64": st.none() | st.integers(0, 3),
    "Float64": st.none() | st.floats(allow_nan=False),
    "boolean": st.none() | st.booleans(),
    "string": st.none() | st.sampled_from(["", "x", "y"]),
    "datetime64[us]": st.none() | st.datetimes(),
    "datetime64[us, UTC]": st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
    "timedelta64[us]": st.none() | st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Give a frame of a few columns of any type; names are few, so that two frames have some in common."""
    rows = draw(st.integers(0, 6))
    any_name = st.sampled_from("abcde") | st.text(st.characters(codec="utf-8"), max_size=3)
    columns = {}
    for name in draw(st.lists(any_name, unique=True, max_size=4)):
        kind = draw(st.sampled_from(sorted(_KINDS)))
        values = draw(st.lists(_KINDS[kind], min_size=rows, max_size=rows))
        columns[name] = pd.Series(values, dtype=kind.replace(", UTC]", "]"))
        if kind.endswith(", UTC]"):
            columns[name] = columns[name].dt.tz_localize("UTC")
    return pd.DataFrame(columns, index=range(rows))


@given(frames())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_a_profile_is_of_the_values_alone(frame):
    """A copy, rows in chunks of memory elsewhere, and what Parquet gives back have the profile of the original."""
    profile = profile_text(of_frame(frame))
    assert profile_text(of_frame(frame.copy())) == profile
    assert profile_text(of_frame(pd.concat([frame.iloc[:2], frame.iloc[2:]]))) == profile
    file = io.BytesIO()
    frame.to_parquet(file)
    back = pd.read_parquet(file)
    # Of rows without columns Parquet keeps nothing, and of categories that are all missing not their type.
    assume(len(back) == len(frame) and list(back.dtypes.astype(str)) == list(frame.dtypes.astype(str)))
    assert profile_text(of_frame(back)) == profile


def test_a_small_file_that_is_large_when_it_is_read_is_not_read(tmp_path):
    """What repeats takes no room in a file: it is digested as it lies, and not read to be profiled."""
    from pyarrow import parquet

    zeros = tmp_path / "zeros.parquet"
    parquet.write_table(pa.table({"x": np.zeros(20_000_000)}), zeros, compression="zstd")
    assert zeros.stat().st_size < 1_000_000
    assert "columns" not in look_at(zeros).profile
    few = tmp_path / "few.parquet"
    parquet.write_table(pa.table({"x": np.zeros(1000)}), few)
    assert look_at(few).profile["columns"][0]["name"] == "x"


def test_kinds_of_arrays_and_frames_are_data(tmp_path):
    """A memory map is an array, and a frame of a class of one's own is a frame; texts of numpy's own have a digest."""

    class Mine(pd.DataFrame):
        """A frame."""

    mapped = np.memmap(tmp_path / "mapped", dtype="int64", mode="w+", shape=(4,))
    mapped[:] = range(4)
    assert look_at(mapped).profile["num_rows"] == 4
    assert look_at(Mine({"x": [1, 2]})).profile["num_columns"] == 1
    texts = np.array(["a", "b"], dtype=np.dtypes.StringDType())
    assert look_at(texts).digest != look_at(texts[::-1].copy()).digest
