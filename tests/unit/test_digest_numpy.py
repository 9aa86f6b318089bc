"""Digests of numpy's and PyTorch's less common arrays, of pandas' indexes, and of what classes of one's own add."""

from __future__ import annotations

import copy
import functools
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.tracking.data import look_at

RECORD = np.dtype([("a", "i4"), ("b", [("x", "f8"), ("y", "S3", (2,))])])


def records(*masked: int) -> Any:
    """Give records of which one inner field is masked in some rows."""
    mask = np.zeros(3, np.ma.make_mask_descr(RECORD))
    mask["b"]["x"][list(masked)] = True
    return np.ma.array(np.zeros(3, RECORD), mask=mask)


MASKED: dict[str, tuple[Any, Any, Any]] = {
    # The array, the same with something else under its mask, and the same with another mask.
    "numbers": tuple(np.ma.array([1, other, 3], mask=mask) for other, mask in ((2, [0, 1, 0]), (9, [0, 1, 0]), (2, 0))),
    "strided": tuple(
        np.ma.array([1.0, 0, other, 0, 3, 0], mask=mask)[::2]
        for other, mask in ((2, [0, 0, 1, 0, 0, 0]), (9, [0, 0, 1, 1, 0, 0]), (2, [0] * 6))
    ),
    "objects": tuple(
        np.ma.array(["a", other], mask=mask, dtype=object) for other, mask in (("b", [0, 1]), ("c", [0, 1]), ("b", 0))
    ),
    "zero-dimensional": tuple(
        np.ma.array(value, mask=mask) for value, mask in ((1.0, True), (2.0, True), (0.0, False))
    ),
    "many": tuple(
        np.ma.array(np.where(np.arange(300_000) == 250_000, other, 0), mask=np.arange(300_000) == at)
        for other, at in ((1, 250_000), (2, 250_000), (1, -1))
    ),
    "records": (records(1), records(1), records(2)),
}


@pytest.mark.parametrize("dtype", ["u1", "i1", "?", "f2", "c8", "U2", "S1", "V4", "M8[D]", "m8[s]", "O", "i2,f4", "T"])
def test_masked_arrays_of_any_type_have_a_digest(dtype: str) -> None:
    """What numpy would fill a gap with is counted as well where it does not fit the type."""
    kind = np.dtypes.StringDType() if dtype == "T" else np.dtype(dtype)
    array, other = (np.ma.array(np.zeros(2, kind), mask=np.zeros(2, np.ma.make_mask_descr(kind))) for _ in range(2))
    other.mask = True
    before = digest_of(array)
    assert array.fill_value is not None
    assert digest_of(array) == digest_of(array.copy()) == before != digest_of(other)


@pytest.mark.parametrize("kind", MASKED)
def test_a_mask_counts_and_what_is_under_it_does_not(kind: str) -> None:
    """The values that can be seen, and where none can, are the content of a masked array."""
    array, same, other = MASKED[kind]
    assert digest_of(same) == digest_of(array)
    assert digest_of(other) != digest_of(array)
    assert digest_of(array.copy()) == digest_of(copy.deepcopy(array)) == digest_of(array)
    assert digest_of(np.asarray(array)) != digest_of(array)


def test_of_a_masked_array_values_fill_and_dtype_count() -> None:
    """Another value, dtype or fill value is another array; one that was asked for its fill value is not."""
    array = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    kept = pickle.dumps(array)
    others = [
        np.ma.array([1, 2, 4], mask=[0, 1, 0]),
        np.ma.array([1, 2, 3], mask=[0, 1, 0], dtype="int32"),
        np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=7),
        np.ma.array([[1, 2, 3]], mask=[[0, 1, 0]]),
    ]
    assert len({digest_of(each) for each in (array, *others)}) == 5
    digest = digest_of(array)
    assert pickle.dumps(array) == kept
    assert array.fill_value == 999_999
    assert digest_of(array) == digest
    assert digest_of(np.ma.array([1, 2])) == digest_of(np.ma.array([1, 2], mask=[False, False]))


def test_the_profile_of_a_masked_array_does_not_look_under_the_mask() -> None:
    """What is masked is missing, and of no influence on the least and the greatest."""
    (column,) = look_at(np.ma.array([1.0, 1e300, 3.0], mask=[0, 1, 0])).profile["columns"]
    assert (column["missing"], column["min"], column["max"]) == (1, 1.0, 3.0)
    first, second = look_at(np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 1]])).profile["columns"]
    assert (first["missing"], second["missing"], second["distinct"]) == (0, 2, 0)
    (field, *_) = look_at(np.ma.array([(1,), (2,)], mask=[(1,), (0,)], dtype=[("a", "u1")])).profile["columns"]
    assert (field["missing"], field["min"]) == (1, 2)


def test_a_record_is_told_by_what_it_holds() -> None:
    """The bytes of a record with objects are addresses, which are not what it holds."""
    one, same, other = (np.array([([number], 1)], dtype=[("x", object), ("y", "i1")])[0] for number in (1, 1, 2))
    assert digest_of(one) == digest_of(same) != digest_of(other)


class Measured(np.ndarray):
    """An array with a unit."""


def measured(unit: Any) -> Any:
    """Give one."""
    array = np.arange(3.0).view(Measured)
    array.unit = unit  # type: ignore[attr-defined]
    return array


def test_what_a_class_of_arrays_adds_counts(tmp_path: Any) -> None:
    """An attribute that can be kept is content; one that can't, and what numpy notes for itself, is not."""
    assert digest_of(measured("m")) == digest_of(measured("m")) != digest_of(measured("s"))
    assert digest_of(measured(threading.Lock())) == digest_of(measured(threading.Lock()))
    itself = measured(None)
    itself.unit = itself
    assert digest_of(itself) != digest_of(measured(None))
    maps = [np.memmap(tmp_path / f"{at}", dtype="f8", mode="w+", shape=(4,), offset=at) for at in (0, 8)]
    assert digest_of(maps[0]) == digest_of(maps[1])


class Located(pd.DataFrame):  # type: ignore[misc]
    """A frame that says in which system its places are."""

    _metadata = ["crs"]  # noqa: RUF012

    @property
    def _constructor(self) -> Callable[..., Any]:
        return Located


class LocatedColumn(pd.Series):  # type: ignore[misc]
    """A column that says the same."""

    _metadata = ["_name", "crs"]  # noqa: RUF012


def test_what_a_class_of_frames_adds_counts() -> None:
    """What pandas hands on along with the data is part of it; attrs, which it hands on to anything, are not."""
    frames = [Located({"a": [1]}) for _ in range(3)]
    for frame, crs in zip(frames, ("here", "here", "there"), strict=True):
        frame.crs = crs
    assert digest_of(frames[0]) == digest_of(frames[1]) == digest_of(frames[0].copy()) != digest_of(frames[2])
    columns = [LocatedColumn([1]) for _ in range(3)]
    for column, crs in zip(columns, ("here", "here", "there"), strict=True):
        column.crs = crs
    assert digest_of(columns[0]) == digest_of(columns[1]) != digest_of(columns[2])
    noted = pd.DataFrame({"a": [1]})
    noted.attrs["unit"] = "m"
    assert digest_of(noted) == digest_of(pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ((0, 5, 2), (0, 6, 2), True),
        ((3, 0, -1), (3, 0, -1), True),
        ((0, 1, 1), (0, 2, 2), True),
        ((5, 5, 1), (0, 0, 1), True),
        ((0, 5, 2), (0, 7, 2), False),
        ((0, 5, 2), (1, 6, 2), False),
        ((0, 3, 1), (0, 9, 3), False),
    ],
)
def test_ranges_are_told_by_what_they_hold(one: Any, other: Any, is_same: bool) -> None:
    """Where the step beyond the last would lead is no content of an index."""
    ours, theirs = pd.RangeIndex(*one), pd.RangeIndex(*other)
    assert ours.equals(theirs) == is_same
    assert (digest_of(ours) == digest_of(theirs)) == is_same


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (1000, 2)])
def test_a_frame_over_repeated_values_is_told_as_its_copy(shape: tuple[int, int]) -> None:
    """Rows or columns that lie in one place in memory are as many as they seem."""
    for values in (np.float64(1), np.arange(float(shape[1])), np.arange(float(shape[0])).reshape(-1, 1)):
        spread = np.broadcast_to(values, shape)
        frame = pd.DataFrame(spread, copy=False)
        assert digest_of(frame) == digest_of(pd.DataFrame(spread.copy()))
        assert digest_of(frame) != digest_of(frame + 1)


# ---------------------------------------------------------------------------------------------------------------------
# PyTorch


SPARSE = {
    "coo": lambda dense: dense.to_sparse(),
    "csr": lambda dense: dense.to_sparse_csr(),
    "csc": lambda dense: dense.to_sparse_csc(),
    "bsr": lambda dense: dense.to_sparse_bsr((1, 1)),
    "bsc": lambda dense: dense.to_sparse_bsc((1, 1)),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", SPARSE)
def test_sparse_tensors_are_told_by_what_they_hold(layout: str) -> None:
    """Values, places, shape and layout count."""
    make = SPARSE[layout]
    others = [torch.eye(3), torch.eye(3) * 2, torch.eye(3).flip(0), torch.eye(4), torch.eye(3).double()]
    assert digest_of(make(torch.eye(3))) == digest_of(make(torch.eye(3)))
    assert len({digest_of(torch.eye(3)), *(digest_of(make(each)) for each in others)}) == 6
    assert len({digest_of(other(torch.eye(3))) for other in SPARSE.values()}) == len(SPARSE)
    wider = torch.cat([torch.eye(3), torch.zeros(3, 1)], 1)
    assert digest_of(make(wider)) != digest_of(make(torch.eye(3)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_types_that_numpy_has_not_are_told_by_their_bytes(dtype: torch.dtype) -> None:
    """Values, type and shape count, and strides do not."""
    plain = torch.arange(12).reshape(3, 4).to(dtype)
    assert digest_of(plain) == digest_of(plain.t().contiguous().t())
    others = [plain.reshape(4, 3), plain.view(torch.uint8), plain.flip(0), plain.float(), plain.to(torch.half)]
    assert len({digest_of(each) for each in (plain, *others)}) == 6
    if dtype == torch.float8_e4m3fn:
        assert digest_of(plain.view(torch.float8_e5m2)) != digest_of(plain)
    assert digest_of(torch.tensor(1.0, dtype=dtype)) != digest_of(torch.tensor([1.0], dtype=dtype))


def test_what_is_only_noted_of_a_tensor_is_carried_out() -> None:
    """A conjugate or negative that is put off holds what it will be."""
    plain = torch.tensor([1 + 2j])
    assert digest_of(plain.conj()) == digest_of(torch.tensor([1 - 2j])) != digest_of(plain)
    assert digest_of(plain.conj().imag) == digest_of(torch.tensor([-2.0]))


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_a_place_that_a_sparse_tensor_has_twice_holds_the_sum() -> None:
    """How often something was added up plays no part."""
    repeated = torch.sparse_coo_tensor(torch.tensor([[0, 0]]), torch.tensor([1.0, 2.0]), (2,))
    assert digest_of(repeated) == digest_of(torch.tensor([3.0, 0.0]).to_sparse())


def test_a_tensor_without_content_is_refused() -> None:
    """One that has a shape and no values says so in two lines."""
    with pytest.raises(ValueRefused, match="meta") as refused:
        digest_of(torch.zeros(2, device="meta"))
    assert refused.value.hint


# ---------------------------------------------------------------------------------------------------------------------
# Objects and code


class Made:
    """An object that says itself how it is made."""

    def __init__(self, how: Any) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return self.how(self)


class Counted(dict[str, int]):
    """An object with a method."""

    def give(self) -> int:
        """Give how much there is."""
        return len(self)


def test_a_maker_that_holds_something_counts_with_it() -> None:
    """Pickle takes anything that can be called; what a partial or a method holds is content."""
    for make in (lambda held: functools.partial(dict, held), lambda held: held.copy, lambda held: Counted(held).give):
        one, same, other = (Made(lambda _, make=make, n=n: (make({"a": n}), ())) for n in (1, 1, 2))
        assert digest_of(one) == digest_of(same) != digest_of(other)
    for wrong in (5, (), (dict,), ("dict", ()), (dict, (), None, None, None, None, None)):
        with pytest.raises(ValueRefused, match="__reduce__"):
            digest_of(Made(lambda _, wrong=wrong: wrong))


SIGNATURES = ["a, b", "a, *, b", "a, /, b", "a, b, /", "a, *b", "a, **b", "*a, b", "b, a", "a, b=1", "a, *, b=1"]


def function(source: str, name: str = "f") -> Any:
    """Define a function from source."""
    names: dict[str, Any] = {"__name__": "anywhere"}
    exec(compile(source, "cell", "exec", dont_inherit=True), names)
    return names[name]


def test_how_a_function_takes_its_arguments_counts() -> None:
    """Functions of one body and other signatures are other functions."""
    found = {digest_of(function(f"def f({each}): return a")) for each in SIGNATURES}
    assert len(found) == len(SIGNATURES)
    code = function("def f(a, *, b): return a").__code__
    assert digest_of(code) != digest_of(code.replace(co_kwonlyargcount=0))
    kinds = {digest_of(function(f"{each}def f(a, b): return a")) for each in ("", "async ")}
    assert len(kinds) == 2


def test_how_a_function_was_compiled_does_not_count() -> None:
    """The same source is the same function, with future imports, inside another function, and elsewhere."""
    source = "def f(a, *b): return a"
    future = "from __future__ import annotations, generator_stop\n" + source
    assert digest_of(function(source)) == digest_of(function(future))
    codes = [function(source).__code__, function(future).__code__]
    assert codes[0].co_flags != codes[1].co_flags


def test_where_names_of_code_end_counts() -> None:
    """A name that is an attribute is told from one that is a variable."""
    one = function("def f(a): return a.b").__code__
    other = one.replace(co_names=(), co_varnames=("b", "a"), co_argcount=1, co_nlocals=2)
    assert digest_of(one) != digest_of(other)


def test_what_a_function_catches_counts() -> None:
    """Where exceptions are handled is written down beside the instructions."""
    code = function("def f(a):\n try: return a.b\n except KeyError: return 0").__code__
    assert digest_of(code) != digest_of(code.replace(co_exceptiontable=b""))


def test_a_class_in_a_class_is_told_from_one_in_a_module() -> None:
    """Where the name of the module ends counts."""
    made = [
        type("C", (), {"__module__": module, "__qualname__": name}) for module, name in (("a.b", "C"), ("a", "b.C"))
    ]
    assert digest_of(made[0]) != digest_of(made[1])
