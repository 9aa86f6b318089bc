"""Digests: the same content, and only the same content, has the same digest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.digest import digest_code, digest_file, digest_of
from mlops_jupyter.errors import ValueRefused


def frame() -> pd.DataFrame:
    rows = 20_000
    return pd.DataFrame(
        {
            "whole": np.arange(rows),
            "text": [f"row {i}" for i in range(rows)],
            "kind": pd.Categorical(["a", "b"] * (rows // 2)),
            "time": pd.date_range("2020-01-01", periods=rows, freq="min"),
            "gaps": pd.array([1, None] * (rows // 2), dtype="Int64"),
        }
    )


CHANGES: dict[str, Any] = {
    "a number in row 15,000": lambda t: t.assign(whole=t["whole"].where(t.index != 15_000, -1)),
    "a text in row 15,000": lambda t: t.assign(text=t["text"].where(t.index != 15_000, "x")),
    "a gap that is filled": lambda t: t.assign(gaps=t["gaps"].where(t.index != 15_001, 7)),
    "a dtype": lambda t: t.astype({"whole": "int32"}),
    "a column's name": lambda t: t.rename(columns={"text": "words"}),
    "the columns' order": lambda t: t[list(reversed(t.columns))],
    "the categories' order": lambda t: t.assign(kind=t["kind"].cat.reorder_categories(["b", "a"])),
    "the rows' order": lambda t: t.iloc[::-1],
    "the index": lambda t: t.set_axis(range(1, len(t) + 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_a_frame_changes_its_digest(change: str) -> None:
    """What MLflow's digest of the first 10,000 rows does not see, ours does."""
    table = frame()
    assert digest_of(CHANGES[change](table)) != digest_of(table)


def test_a_copy_in_another_layout_has_the_same_digest() -> None:
    """Identity and memory layout play no part."""
    table = frame()
    wide = pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    assert digest_of(table.copy()) == digest_of(table)
    assert digest_of(pd.DataFrame(np.ascontiguousarray(wide.to_numpy()))) == digest_of(wide)
    assert digest_of(np.arange(20)[::2]) == digest_of(np.arange(0, 20, 2))


def test_a_frame_read_back_from_parquet_has_the_same_digest(tmp_path: Path) -> None:
    """A frame whose dtypes came back equal is the same data."""
    table = frame()
    table.to_parquet(tmp_path / "t.parquet")
    back = pd.read_parquet(tmp_path / "t.parquet")
    assert (back.dtypes == table.dtypes).all()
    assert digest_of(back) == digest_of(table)


def test_another_process_finds_the_same_digest() -> None:
    """Hash randomisation and start order play no part."""
    code = "from mlops_jupyter.digest import digest_of; print(digest_of({'a': [1, 2.5, None], 'b': {'x', 'y', 'z'}}))"
    found = {subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(3)}
    assert found == {digest_of({"a": [1, 2.5, None], "b": {"x", "y", "z"}})}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=20))
def test_equal_values_have_equal_digests(value: Any) -> None:
    """A value and its deep copy have the same digest."""
    import copy

    assert digest_of(value) == digest_of(copy.deepcopy(value))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        (["ab", "c"], ["a", "bc"]),
        ([[1], 2], [1, [2]]),
        ((1,), [1]),
        (0.0, -0.0),
        ("", None),
    ],
)
def test_values_that_only_look_alike_differ(one: Any, other: Any) -> None:
    """Types and boundaries are part of the content."""
    assert digest_of(one) != digest_of(other)


def test_a_cycle_ends() -> None:
    """A list that holds itself has a digest, and a different list another."""
    one: list[Any] = [1]
    one.append(one)
    other: list[Any] = [2]
    other.append(other)
    assert digest_of(one) != digest_of(other)


def test_a_model_trained_twice_alike_has_one_digest() -> None:
    """A model is told by its fitted state, not by when it was made."""
    from sklearn.ensemble import RandomForestClassifier

    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)

    def fit(seed: int) -> str:
        return digest_of(RandomForestClassifier(5, random_state=seed).fit(X, y))

    assert fit(1) == fit(1)
    assert fit(1) != fit(2)


def test_a_lock_has_no_digest() -> None:
    """What has no content to compare is refused, not told by its address."""
    import threading

    with pytest.raises(ValueRefused):
        digest_of({"lock": threading.Lock()})


def test_a_file_is_told_by_its_bytes(tmp_path: Path) -> None:
    """Names and times play no part for a file; names do inside a folder."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("same")
    assert digest_file(tmp_path / "a" / "x") == digest_file(tmp_path / "b" / "x")
    assert digest_file(tmp_path / "a") == digest_file(tmp_path / "b")
    (tmp_path / "b" / "x").rename(tmp_path / "b" / "y")
    assert digest_file(tmp_path / "a") != digest_file(tmp_path / "b")


def test_code_is_told_by_what_it_says() -> None:
    """Comments and layout do not count in Python; in a magic every letter does."""
    assert digest_code("x = 1  # one") == digest_code("x=1")
    assert digest_code("x = 1") != digest_code("x = 2")
    assert digest_code("%matplotlib inline") != digest_code("%matplotlib  inline")


NOTEBOOK = """
import functools
from dataclasses import dataclass, field
from enum import Enum
CONSTANT = 1
def deep(x): return x * 2
def helper(x): return deep(x) + CONSTANT
@functools.cache
def remembered(x): return x - 4
class Kind(Enum):
    one = 11
class Base:
    def shared(self): return 5
@dataclass
class Part(Base):
    n: int = 6
    many: list = field(default_factory=lambda: [12])
class Model(Base):
    sizes = (7, [8])
    __slots__ = ("state",)
    def __init__(self): self.state = Part()
    def predict(self, x): return helper(remembered(x)) + get_ipython + Kind.one.value
    @staticmethod
    def still(x): return x + 9
    @property
    def inner(self): return (lambda: [deep(n) for n in range(10)])()
    def again(self): return Model, helper, self.predict(0)
def get_ipython(): return open
"""
PUBLISH = """
import cloudpickle
from mlops_jupyter.digest import digest_of
model = Model()
print(digest_of(model))
"""


def digest_in_main(source: str, place: Path) -> str:
    """Give what a fresh interpreter, where the classes are those of ``__main__``, finds."""
    file = place / "notebook.py"
    file.write_text(source + PUBLISH)
    return subprocess.check_output([sys.executable, file], text=True).strip()


def test_an_object_of_a_notebook_changes_with_all_code_that_it_can_reach(tmp_path: Path) -> None:
    """Helpers, constants, bases, static methods, properties and class attributes count; comments do not."""
    changes = {
        "x * 2": "x * 3",
        "CONSTANT = 1": "CONSTANT = 0",
        "return x - 4": "return x - 3",
        "return 5": "return 50",
        "n: int = 6": "n: int = 7",
        "(7, [8])": "(7, [80])",
        "x + 9": "x + 90",
        "range(10)": "range(100)",
        "one = 11": "one = 12",
        "[12]": "[120]",
        "class Base:": "class Base(dict):",
    }
    digests = {"": digest_in_main(NOTEBOOK, tmp_path)}
    for old, new in changes.items():
        assert NOTEBOOK.count(old) == 1
        digests[old] = digest_in_main(NOTEBOOK.replace(old, new), tmp_path)
    assert len(set(digests.values())) == len(digests)
    assert digest_in_main("# said otherwise\n" + NOTEBOOK + "def unused(): pass", tmp_path) == digests[""]


def test_helpers_that_many_share_are_walked_once(tmp_path: Path) -> None:
    """Thirty functions, each of which calls the one before twice, take no time."""
    chain = "".join(f"def f{n}(x): return f{n - 1}(x) + (lambda: f{n - 1}(x))()\n" for n in range(1, 31))
    assert digest_in_main(f"def f0(x): return x\n{chain}def Model(): return f30\n", tmp_path)


def test_what_can_not_be_walked_is_refused(tmp_path: Path) -> None:
    """A list nested beyond all measure is an answer that a user can act on, not a RecursionError."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueRefused, match="too deep"):
        digest_of(value)


def test_the_order_of_a_dict_counts() -> None:
    """Code can see the order of a dict's keys, and so it is content."""
    assert digest_of({"a": 1, "b": 2}) != digest_of({"b": 2, "a": 1})


# ---------------------------------------------------------------------------------------------------------------------
# Frames of many kinds


ROWS = 20_000
COLUMNS: dict[str, Any] = {
    "float64": lambda: pd.Series(np.random.default_rng(0).normal(size=ROWS)),
    "float32": lambda: pd.Series(np.random.default_rng(0).normal(size=ROWS).astype("float32")),
    "int64": lambda: pd.Series(np.arange(ROWS)),
    "bool": lambda: pd.Series(np.arange(ROWS) % 2 == 0),
    "complex": lambda: pd.Series(np.arange(ROWS) * 1j),
    "Int64": lambda: pd.array(np.arange(ROWS), dtype="Int64").copy(),
    "boolean": lambda: pd.array(np.arange(ROWS) % 2 == 0, dtype="boolean").copy(),
    "str": lambda: pd.Series([f"text {n}" for n in range(ROWS)], dtype="str"),
    "string": lambda: pd.Series([f"text {n}" for n in range(ROWS)], dtype="string"),
    "object": lambda: pd.Series([f"text {n}" for n in range(ROWS)], dtype="object"),
    "datetime": lambda: pd.Series(pd.date_range("2020-01-01", periods=ROWS, freq="min")),
    "zoned": lambda: pd.Series(pd.date_range("2020-01-01", periods=ROWS, freq="min", tz="Europe/Zurich")),
    "timedelta": lambda: pd.Series(pd.to_timedelta(np.arange(ROWS), unit="s")),
    "category": lambda: pd.Series(pd.Categorical(np.where(np.arange(ROWS) % 3, "a", "b"), categories=["a", "b", "c"])),
    "arrow": lambda: pd.Series(np.arange(ROWS), dtype="int64[pyarrow]"),
}
OTHER: dict[str, Any] = {
    **dict.fromkeys(("float64", "float32", "int64", "Int64", "arrow", "complex"), -1),
    **dict.fromkeys(("str", "string", "object"), "changed"),
    "datetime": pd.Timestamp("1999-01-01"),
    "zoned": pd.Timestamp("1999-01-01", tz="Europe/Zurich"),
    "timedelta": pd.Timedelta("9 days"),
    "category": "c",
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("row", [0, 1, 9_999, 10_000, 15_000, ROWS - 1])
def test_a_change_in_any_row_is_seen_in_any_kind_of_column(kind: str, row: int) -> None:
    """One value of one row, wherever it stands, and whatever it is; and a gap in its place."""
    table = pd.DataFrame({"x": COLUMNS[kind]()})
    changed = table.copy()
    changed.loc[row, "x"] = OTHER.get(kind, not table.loc[row, "x"])
    assert changed["x"].dtype == table["x"].dtype
    assert digest_of(changed) != digest_of(table)
    if kind not in ("int64", "bool"):
        gap = table.copy()
        gap.loc[row, "x"] = None
        assert gap["x"].dtype == table["x"].dtype
        assert len({digest_of(gap), digest_of(table), digest_of(changed)}) == 3


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_copy_and_a_slice_that_is_equal_have_the_same_digest(kind: str) -> None:
    """Buffers that are shared, offset, cut into chunks or laid out otherwise hold the same."""
    table = pd.DataFrame({"x": COLUMNS[kind](), "y": COLUMNS[kind]()})
    assert digest_of(table.copy(deep=True)) == digest_of(table)
    longer = pd.concat([table.iloc[:7], table, table.iloc[:7]], ignore_index=True)
    window = longer.iloc[7 : 7 + ROWS].reset_index(drop=True)
    assert digest_of(window) == digest_of(table)
    joined = pd.concat([table.iloc[:100], table.iloc[100:]], ignore_index=True)
    assert digest_of(joined) == digest_of(table)


def test_columns_that_lie_side_by_side_are_told_as_others_are() -> None:
    """A frame over one array in row order has the digest of the same frame in column order."""
    rows = np.random.default_rng(0).normal(size=(ROWS, 5))
    names = list("abcde")
    apart = pd.DataFrame({name: rows[:, n].copy() for n, name in enumerate(names)})
    assert digest_of(pd.DataFrame(rows, columns=names, copy=False)) == digest_of(apart)
    assert digest_of(pd.DataFrame(rows[::-1], columns=names, copy=False)) != digest_of(apart)


@pytest.mark.parametrize("dtype", [">f8", ">i4", "<f8"])
def test_byte_order_and_strides_play_no_part(dtype: str) -> None:
    """Equal numbers, however they lie in memory, have one digest; another dtype has another."""
    values = np.arange(120_000).reshape(300, 400)
    plain = values.astype(np.dtype(dtype).newbyteorder("="))
    assert digest_of(values.astype(dtype)) == digest_of(plain)
    assert digest_of(np.asfortranarray(plain)) == digest_of(plain)
    assert digest_of(np.repeat(plain, 2, axis=0)[::2]) == digest_of(plain)
    assert digest_of(plain.astype("f4")) != digest_of(plain)


@given(st.lists(st.none() | st.text(max_size=5), max_size=30), st.integers(0, 30))
def test_how_an_arrow_column_is_cut_plays_no_part(values: list[str | None], at: int) -> None:
    """Chunks, offsets and dictionaries are ways to hold a column, and no part of it; every value is."""
    import pyarrow as pa

    whole = pa.table({"x": pa.array(values, pa.string())})
    cut = pa.table({"x": pa.chunked_array([pa.array(values[:at], pa.string()), pa.array(values[at:], pa.string())])})
    shifted = pa.table({"x": pa.array(["x", *values], pa.string())}).slice(1)
    assert digest_of(cut) == digest_of(whole) == digest_of(shifted)
    if values:
        other = [*values[:-1], "changed for sure"]
        assert digest_of(pa.table({"x": pa.array(other, pa.string())})) != digest_of(whole)


def test_what_lies_behind_a_gap_plays_no_part() -> None:
    """A masked array and an Arrow column may hold anything where a value is missing."""
    import pyarrow as pa

    masked = [pd.arrays.IntegerArray(np.array([1, filler, 3]), np.array([False, True, False])) for filler in (0, 99)]
    assert digest_of(pd.Series(masked[0])) == digest_of(pd.Series(masked[1]))
    bits = pa.py_buffer(bytes([0b101]))
    arrows = [
        pa.Array.from_buffers(pa.int64(), 3, [bits, pa.py_buffer(np.array([1, filler, 3]).tobytes())])
        for filler in (0, 99)
    ]
    assert digest_of(pa.table({"x": arrows[0]})) == digest_of(pa.table({"x": arrows[1]}))


def test_a_large_leaf_is_told_by_all_of_its_bytes() -> None:
    """Above the size from which leaves are hashed on their own, each byte counts as well."""
    data = bytearray(200_000)
    seen = {digest_of(bytes(data))}
    for position in (0, 65_535, 65_536, 131_071, 199_999):
        data[position] = 1
        seen.add(digest_of(bytes(data)))
        data[position] = 0
    assert len(seen) == 6
