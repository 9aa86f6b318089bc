"""How two versions of data differ: the same from both sides, nothing between equals, readable by people."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from test_profile import frames

from mlops_jupyter.data.difference import Difference, difference
from mlops_jupyter.data.results import DataDiff
from mlops_jupyter.data.versions import Version
from mlops_jupyter.tracking import measures
from mlops_jupyter.tracking.data import look_at, schema_columns
from mlops_jupyter.tracking.profile import profile_text


def version(frame: pd.DataFrame) -> Version:
    """Give a frame as a version of data."""
    found = look_at(frame)
    profile, types = json.loads(profile_text(found.profile)), schema_columns(json.loads(found.schema or "{}"))
    return Version("data", found.digest, profile=profile, types=types)


def exchanged(found: Difference) -> dict[str, Any]:
    """Give a difference as it is seen from the other side."""

    def swap(change: Any) -> Any:
        other = dict(change) | {"a": change["b"], "b": change["a"]}
        other |= {key: -change[key] for key in ("change", "shift") if key in change}
        if "shares" in change:
            other["shares"] = swap(change["shares"])
        if "gained" in change:
            other |= {"gained": change["lost"], "lost": change["gained"]}
        return other

    schema = dict(found.schema or {})
    schema |= {"added": schema["removed"], "removed": schema["added"]}
    schema["changed"] = {name: swap(types) for name, types in schema["changed"].items()}
    return {
        "digests": found.digests,
        "schema": schema,
        "rows": swap(found.rows),
        "columns": {name: {key: swap(each) for key, each in one.items()} for name, one in found.columns.items()},
        "same": found.same,
        "not_compared": found.not_compared,
    }


@given(frames())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_data_does_not_differ_from_itself(frame):
    """A frame and its copy are equal, and nothing is said to have changed."""
    one, two = version(frame), version(frame.copy())
    found = difference(one, two)
    assert DataDiff(one, two, found).to_json()["equal"]
    assert found.is_nothing
    assert found.same == len(frame.columns)
    # What the profiles tell is equal as well, not the digests alone.
    told = difference(one, Version("other", "0" * 32, profile=two.profile, types=two.types))
    assert (told.digests, told.is_nothing) == (False, True)


@given(frames(), frames())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_a_difference_is_the_same_from_both_sides(one, two):
    """What b has other than a is what a has other than b, the other way round."""
    a, b = version(one), version(two)
    there, back = difference(a, b), difference(b, a)
    assert exchanged(there) == vars(back)
    assert (a.digest == b.digest) == (there.digests is True)
    result = DataDiff(a, b, there)
    assert max(map(len, str(result).splitlines())) <= 100
    json.dumps(result.to_json(), allow_nan=False)


def test_what_has_changed_is_told_by_column():
    """Columns added, removed and of another type, rows, gaps, shifts and values gained and lost are all told."""
    yes, no = True, False
    before = pd.DataFrame({"x": [1.0, 2, 3, 4], "city": list("aabc"), "old": 1, "flag": [yes, no, no, no], "n": 1})
    after = pd.DataFrame({"flag": [yes, yes, no, no], "x": [np.nan, 12, 13, 14], "city": list("aabd")})
    after = after.assign(new=1, n=1.0)
    found = DataDiff(version(before), version(after), difference(version(before), version(after)))
    told = found.to_json()
    assert told["schema"] == {
        "added": ["new"], "removed": ["old"], "changed": {"n": {"a": "int64", "b": "float64"}}, "reordered": True,
    }  # fmt: skip
    assert told["rows"] == {"a": 4, "b": 4, "change": 0}
    assert told["columns"]["x"]["missing"] == {"a": 0, "b": 1, "change": 1, "shares": {"a": 0.0, "b": 0.25}}
    assert told["columns"]["x"]["mean"]["change"] == 10.5
    assert told["columns"]["x"]["mean"]["shift"] == pytest.approx(9, rel=0.05)
    frequent = told["columns"]["city"]["frequent"]
    assert (frequent["gained"], frequent["lost"]) == (["d"], ["c"])
    assert told["columns"]["flag"]["true"]["shares"] == {"a": 0.25, "b": 0.5}
    assert (told["equal"], told["columns_equal"]) == (False, 0)
    for said in ("columns added: new", "columns removed: old", "another order", "+d −c", "1 (25%)", "+9.09 std"):
        assert said in str(found)


def test_what_grows_with_the_rows_alone_has_not_changed():
    """Twice the same rows have the same shares: only the number of rows is told."""
    frame = pd.DataFrame({"flag": [True, False], "city": ["a", "b"], "gap": [None, "x"], "n": [1, 2]})
    found = difference(version(frame), version(pd.concat([frame, frame], ignore_index=True)))
    assert found.rows == {"a": 2, "b": 4, "change": 2}
    assert {name: set(changes) for name, changes in found.columns.items()} == {"n": {"std"}}


def test_columns_of_one_name_are_compared_one_by_one():
    """The second of two columns of a name is compared with the second."""
    one = pd.DataFrame([[1, 2], [1, 2]], columns=["x", "x"])
    two = pd.DataFrame([[1, 5], [1, 5]], columns=["x", "x"])
    found = difference(version(one), version(two))
    assert list(found.columns) == ["x (2)"]
    assert found.columns["x (2)"]["min"] == {"a": 2, "b": 5, "change": 3}
    assert found.same == 1


def test_a_frame_and_a_table_have_types_and_measures_in_common():
    """Types that mean the same are the same; the digests are of different things, and can't be compared."""
    frame = pd.DataFrame({"x": [1.5, 2.5], "n": [1, 2], "city": ["a", "b"], "when": pd.date_range("2024", periods=2)})
    table = look_at(pa.Table.from_pandas(frame))
    other = Version("table", table.digest, profile=table.profile)
    found = DataDiff(version(frame), other, difference(version(frame), other))
    assert found.difference.digests is None
    assert found.difference.is_nothing
    assert not found.equal
    assert "can't be compared" in str(found)


def test_without_profiles_the_schemas_are_compared():
    """Data that MLflow logged by itself, or that is too wide, is compared by MLflow's schema, and this is said."""
    one = Version("one", "1" * 8, ours=False, profile={"num_rows": 2}, types=[("a", "long"), ("b", "string")])
    two = Version("two", "2" * 8, ours=False, profile={"num_rows": 3}, types=[("a", "double"), ("c", "string")])
    found = difference(one, two)
    assert found.schema is not None
    assert (found.schema["added"], found.schema["changed"]) == (["c"], {"a": {"a": "long", "b": "double"}})
    assert (found.rows["change"], found.not_compared, found.digests) == (1, 1, False)
    assert "not compared" in str(DataDiff(one, two, found))
    nothing = Version("file", "3" * 32)
    assert difference(one, nothing).schema is None
    assert "not known" in str(DataDiff(one, nothing, difference(one, nothing)))


def test_a_difference_is_readable_and_escaped():
    """Long and hostile names leave lines of a hundred characters in text, and no element in HTML."""
    name = "<script>alert(1)</script>" + "n" * 300
    one = pd.DataFrame({name: ["<b>" * 40, "x"], "same": [1, 1], **{f"column number {n}": [n, n] for n in range(60)}})
    two = pd.DataFrame({name: ["<i>" * 40, "x"], "same": [1, 1]})
    a, b = version(one), version(two)
    found = DataDiff(a, b, difference(a, b))
    assert max(map(len, str(found).splitlines())) <= 100
    page = found._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "1 column is equal" in str(found)
    assert "more" in str(found)


def test_samples_of_the_same_are_no_difference(monkeypatch):
    """Rows in another order make other samples: what is estimated is not told as changed; what has changed is."""
    monkeypatch.setattr(measures, "EXACT", 2000)
    choose = np.random.default_rng(0)
    frame = pd.DataFrame({"n": choose.integers(0, 10**9, 20_000), "t": choose.choice(["a", "b", "c"], 20_000)})
    found = difference(version(frame), version(frame.sample(frac=1, random_state=1)))
    assert found.digests is False
    assert found.columns == {}
    other = frame.assign(n=frame["n"] % 500, t=frame["t"].where(frame["t"] != "c", "a"))
    assert set(difference(version(frame), version(other)).columns) == {"n", "t"}
