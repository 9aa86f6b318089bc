"""Arrays and frames come back sharing the memory that they shared."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import numpy.testing as npt
import pandas as pd
import pandas.testing as pdt
import pytest


def test_view_looks_into_its_base_after_restore(back):
    """A write to a restored array is seen in its restored view."""
    base = np.arange(20.0).reshape(4, 5).copy()
    values = back({"view": base[::2, 1:], "base": base})
    values["base"][0, 1] = 99
    assert values["view"][0, 0] == 99
    assert values["view"].base is values["base"]
    assert values["view"].strides == base[::2, 1:].strides
    assert values["base"].flags.owndata


@pytest.mark.parametrize(
    "look",
    [
        lambda base: base.T,
        lambda base: base[::-1, ::-2],
        lambda base: base.view(np.int32),
        lambda base: base.reshape(-1)[3:11],
        lambda base: np.broadcast_to(base[1], (3, 5)),
        lambda base: base[1, 2, ...],
        lambda base: base[2:2],
    ],
)
def test_any_look_at_an_array_comes_back_equal(back, look):
    """Transposed, reversed, retyped, broadcast and empty views keep values, strides and sharing."""
    base = np.arange(20.0).reshape(4, 5)
    view = look(base)
    values = back({"base": base, "view": view})
    npt.assert_array_equal(values["view"], view)
    assert values["view"].dtype == view.dtype
    assert values["view"].flags.writeable == view.flags.writeable
    if view.size:
        assert values["view"].strides == view.strides
        assert np.shares_memory(values["view"], values["base"])


def test_views_share_when_their_base_has_no_name(back, take):
    """Two views that overlap still do when nothing else is left of their base, nor is it stored."""
    base = np.arange(100_000.0)
    namespace = {"left": base[10:30], "right": base[20:40]}
    del base
    values = back(namespace)
    values["left"][15] = -1
    assert values["right"][5] == -1
    assert take(namespace).manifest.bytes < 10_000


def test_lone_slice_does_not_bring_its_base_along(back, take):
    """Ten numbers of a large array are stored as ten numbers."""
    base = np.arange(1_000_000.0).reshape(1000, 1000)
    namespace = {"column": base[:10, 7]}
    npt.assert_array_equal(back(namespace)["column"], base[:10, 7])
    assert take(namespace).manifest.bytes < 1000


def test_separate_slices_of_one_array_are_separate_components(take):
    """Slices that do not overlap share nothing that anybody could see."""
    base = np.arange(10)
    manifest = take({"left": base[:5], "right": base[5:]}).manifest
    assert [component.variables for component in manifest.components] == [("left",), ("right",)]


def test_broadcast_array_is_not_blown_up(back, take):
    """A billion repetitions of one number are stored as one number."""
    namespace = {"ones": np.broadcast_to(np.float64(1), (1000, 1000, 1000))}
    values = back(namespace)
    assert values["ones"].strides == (0, 0, 0)
    assert not values["ones"].flags.writeable
    assert take(namespace).manifest.bytes < 1000


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.array([(1, 2.5, "x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "U3")]),
        np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"),
        np.array([b"ab", b"c"]),
        np.array(5),
        np.array([], dtype="c16"),
        np.array(["", ""], dtype="S0"),
        np.arange(4, dtype=">i2"),
        np.array([1, "two", None, [3]], dtype=object),
        np.array([(1, [2])], dtype=[("a", "i4"), ("o", "O")]),
        np.array(["a", "much longer text than that"], dtype=np.dtypes.StringDType()),
        np.zeros((3, 0, 2)),
        np.matrix([[1, 2], [3, 4]]) if hasattr(np, "matrix") else np.arange(2),
        np.rec.array([(1, 2.0)], dtype=[("x", "i4"), ("y", "f8")]),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_array_of_any_type_comes_back_equal(back, array):
    """Memory order, structured, text, date, object and empty arrays are equal, type for type."""
    found = back({"array": array})["array"]
    assert type(found) is type(array)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.flags.f_contiguous == array.flags.f_contiguous
    assert found.tolist() == array.tolist()


def test_field_of_a_record_array_is_a_view_of_it(back):
    """A column of a structured array still writes into it."""
    records = np.zeros(3, dtype=[("a", "i1"), ("b", "f8")])
    values = back({"b": records["b"], "records": records})
    values["b"][1] = 7
    assert values["records"][1]["b"] == 7


def test_view_of_an_object_array_shares_its_elements(back):
    """Arrays of objects share memory too, and their elements stay the same objects."""
    inner: list[int] = []
    base = np.array([inner, "x", inner, None], dtype=object)
    values = back({"base": base, "odd": base[::-2], "inner": inner})
    values["odd"][1] = "new"
    assert values["base"][1] == "new"
    assert values["base"][0] is values["inner"] is values["base"][2]


def test_object_array_that_holds_itself_comes_back(back):
    """A cycle through an array is a cycle afterwards."""
    array = np.empty(2, dtype=object)
    array[0] = array
    found = back({"array": array})["array"]
    assert found[0] is found


def test_read_only_array_stays_read_only(back):
    """A frozen array can't be written to, while a view that could be still can."""
    base = np.arange(5)
    view = base[1:]
    base.flags.writeable = False
    values = back({"base": base, "view": view})
    assert not values["base"].flags.writeable
    values["view"][0] = 42
    assert values["base"][1] == 42


def test_array_over_a_bytearray_writes_into_it(back):
    """Memory that belongs to a bytearray is shared with it."""
    raw = bytearray(16)
    values = back({"numbers": np.frombuffer(raw, np.int64), "raw": raw})
    values["numbers"][0] = 1
    assert values["raw"][0] == 1


def test_memmap_is_kept_by_value(back, tmp_path: Path):
    """A mapped file is copied: it can be gone at restore."""
    file = tmp_path / "data.bin"
    mapped = np.memmap(file, dtype="i4", mode="w+", shape=(6,))
    mapped[:] = range(6)
    namespace = {"mapped": mapped, "tail": mapped[3:]}
    file.unlink()
    values = back(namespace)
    assert isinstance(values["mapped"], np.memmap)
    values["mapped"][5] = 50
    assert values["tail"].tolist() == [3, 4, 50]


def test_subclass_keeps_its_attributes(run, back):
    """A notebook's own array class comes back as that class, with its attributes and sharing."""
    namespace = run(
        "import numpy as np\n"
        "class Tagged(np.ndarray):\n"
        "    def __array_finalize__(self, obj):\n"
        "        self.tag = getattr(obj, 'tag', None)\n"
        "base = np.arange(6.)\n"
        "tagged = base.view(Tagged)\n"
        "tagged.tag = 'volts'\n"
    )
    values = back(namespace)
    assert type(values["tagged"]) is values["Tagged"]
    assert values["tagged"].tag == "volts"
    values["base"][0] = 9
    assert values["tagged"][0] == 9


def test_masked_array_shares_data_and_mask(back):
    """A masked array is still laid over the array that it was made from."""
    base = np.arange(4.0)
    masked = np.ma.masked_array(base, mask=[0, 1, 0, 0], fill_value=-1)
    values = back({"base": base, "masked": masked, "plain": np.ma.masked_array([1, 2])})
    values["base"][0] = 5
    assert values["masked"].tolist() == [5, None, 2, 3]
    assert values["masked"].fill_value == -1
    assert values["plain"].mask is np.ma.nomask


def test_frame_over_an_array_shares_with_it(back):
    """A frame made without a copy shows what is written to its array."""
    raw = np.arange(12.0).reshape(4, 3)
    frame = pd.DataFrame(raw, columns=["a", "b", "c"], copy=False)
    assert np.shares_memory(frame["a"].to_numpy(), raw)
    values = back({"frame": frame, "raw": raw})
    pdt.assert_frame_equal(values["frame"], frame)
    values["raw"][2, 1] = 77
    assert values["frame"].loc[2, "b"] == 77


def _work_on(namespace: dict[str, object]) -> list[object]:
    raw, frame = namespace["raw"], namespace["frame"]
    column, index, part = namespace["column"], namespace["index"], namespace["part"]
    raw[1, 1] = -5
    seen = [frame.copy(), column.copy(), part.copy()]
    frame.loc[0, "b"] = 1000
    column.iloc[2] = 2000
    part.loc[1, "c"] = 3000
    return [*seen, raw.copy(), frame, column, part, index, frame.index.copy()]


def test_copy_on_write_holds_between_restored_frames(back):
    """After a restore, the same writes have the same effects as they have without one."""

    def session() -> dict[str, object]:
        raw = np.arange(12.0).reshape(4, 3)
        frame = pd.DataFrame(raw, columns=list("abc"), copy=False)
        column = frame["b"]
        return {
            "raw": raw,
            "frame": frame,
            "column": column,
            "index": pd.Index(column, copy=False),
            "part": frame[["b", "c"]],
        }

    for expected, found in zip(_work_on(session()), _work_on(back(session())), strict=True):
        npt.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_index_made_from_a_series_is_not_written_through(back):
    """A write to a series does not change the index that was made from it."""
    series = pd.Series([1.0, 2.0, 3.0])
    values = back({"series": series, "index": pd.Index(series)})
    values["series"].iloc[0] = 9
    assert values["index"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"i": [1, 2], "s": ["a", None], "d": pd.to_datetime(["2024", "2025"])}),
        pd.DataFrame({"c": pd.Categorical(["x", "y", "x"]), "n": pd.array([1, None, 3])}),
        pd.DataFrame(index=pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["k", "n"])),
        pd.Series([1.5, 2], index=pd.date_range("2024", periods=2, tz="Europe/Berlin"), name="v"),
        pd.Series(pd.period_range("2024", periods=3, freq="M")),
        pd.Series(pd.arrays.SparseArray([0, 0, 1])),
        pd.interval_range(0, 3),
        pd.RangeIndex(5, name="r"),
        pd.DataFrame(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_pandas_value_comes_back_equal(back, value):
    """Extension types, indexes of every kind and empty frames are equal, dtypes included."""
    found = back({"value": value})["value"]
    check = {"DataFrame": pdt.assert_frame_equal, "Series": pdt.assert_series_equal}
    check.get(type(value).__name__, pdt.assert_index_equal)(found, value)


def test_independent_frames_are_separate_components(take):
    """A copy does not travel with what it was copied from, though they share column names."""
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    manifest = take({"frame": frame, "copy": frame.copy(), "total": frame.sum()}).manifest
    assert len(manifest.components) == 3


def test_shared_column_names_do_not_join_frames(take):
    """An index that nobody can write to is no memory that frames share."""
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    other = pd.DataFrame(np.ones((2, 2)), columns=frame.columns, index=frame.index)
    namespace = {"frame": frame, "names": frame.columns, "rows": frame.index, "other": other}
    assert len(take(namespace).manifest.components) == 4


class Tape:
    """Reduces to memory that stands beside the stream, in its own way."""

    def __init__(self, memory: bytearray) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: int) -> tuple[object, ...]:
        return Tape, (pickle.PickleBuffer(self.memory),)


def test_memory_of_other_libraries_stays_writable(back):
    """Buffers that an object's own reduction made come back writable."""
    tape = back({"tape": Tape(bytearray(100_000))})["tape"]
    memoryview(tape.memory)[0] = 7
    assert memoryview(tape.memory)[0] == 7


def test_large_memory_stands_beside_the_stream(take, room, folder):
    """An array's bytes are one object, its stream is small, and unchanged memory is stored once."""
    array = np.random.default_rng(0).random(100_000)
    first = take({"array": array, "other": 1}).manifest
    (component,) = [one for one in first.components if "array" in one.variables]
    assert [buffer.bytes for buffer in component.buffers] == [array.nbytes]
    assert component.bytes < 1000
    before = sum(len(data) for data in folder._files.values())
    second = take({"array": array, "other": 2}).manifest
    assert sum(len(data) for data in folder._files.values()) - before < 10_000
    assert second.bytes >= array.nbytes
    assert first.variables[0].digest == second.variables[0].digest
    assert first.variables[1].digest != second.variables[1].digest


def test_many_small_arrays_do_not_become_many_objects(take, folder):
    """Small memory stays in the stream."""
    take({"arrays": [np.arange(10) + i for i in range(500)]})
    assert len(folder._files) < 10


def test_generator_continues_bit_for_bit(back):
    """Random generators go on where they stood."""
    import random

    namespace = {"new": np.random.default_rng(3), "old": np.random.RandomState(3)}
    namespace["plain"] = random.Random(3)
    namespace["new"].random(7), namespace["old"].rand(7), namespace["plain"].random()
    values = back(namespace)
    npt.assert_array_equal(values["new"].random(5), namespace["new"].random(5))
    npt.assert_array_equal(values["old"].rand(5), namespace["old"].rand(5))
    assert values["plain"].random() == namespace["plain"].random()
