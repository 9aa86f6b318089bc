"""What a digest takes of values that libraries define: numpy, pandas, Arrow, scipy, torch; none is imported to ask.

Each function is given the walk of :mod:`mlops_jupyter.digest`, a value, and how deep it lies.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable
from typing import Any, Protocol


class Walk(Protocol):
    """One pass over a value, as the functions here see it."""

    def leaf(self, tag: str, data: bytes | memoryview = b"") -> None:
        """Add a leaf: its kind, and its bytes."""

    def feed(self, value: Any, depth: int) -> None:
        """Add any value."""

    def many(self, tag: str, values: Iterable[Any], depth: int) -> None:
        """Add values in order, between an opening and a closing leaf."""


def _array(walk: Walk, array: Any, depth: int) -> None:
    import numpy as np

    walk.leaf("dtype", str(array.dtype.newbyteorder("=")).encode())
    walk.leaf("shape", str(array.shape).encode())
    if array.dtype.hasobject:
        walk.many("elements", array.ravel().tolist(), depth)
    elif array.dtype.names:
        # Field by field: the padding between fields is whatever memory held before.
        for name in array.dtype.names:
            walk.leaf("field", name.encode())
            _array(walk, np.asarray(array[name]), depth)
    else:
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        flat = np.ascontiguousarray(native)
        walk.leaf("data", flat.reshape(-1).view(np.uint8).data if flat.nbytes else b"")


def _scalar(walk: Walk, value: Any, depth: int) -> None:
    walk.leaf("dtype", str(value.dtype).encode())
    walk.leaf("data", value.tobytes())


def _series(walk: Walk, series: Any, depth: int) -> None:
    walk.feed(series.name, depth)
    _column(walk, series.array, depth)
    walk.feed(series.index, depth)


def _frame(walk: Walk, frame: Any, depth: int) -> None:
    walk.leaf("shape", str(frame.shape).encode())
    walk.feed(frame.columns, depth)
    walk.feed(frame.index, depth)
    for position in range(frame.shape[1]):
        _column(walk, frame.iloc[:, position].array, depth)


def _index(walk: Walk, index: Any, depth: int) -> None:
    walk.many("names", index.names, depth)
    if index.nlevels > 1:
        for level in range(index.nlevels):
            _column(walk, index.get_level_values(level).array, depth)
    elif hasattr(index, "start") and hasattr(index, "step"):
        walk.leaf("range", f"{index.start}:{index.stop}:{index.step}".encode())
    else:
        _column(walk, index.array, depth)


def _column(walk: Walk, values: Any, depth: int) -> None:
    """Add one column of pandas: its type, then its values from the buffers where there are such."""
    import numpy as np

    walk.leaf("column", str(values.dtype).encode())
    if str(values.dtype) == "category":
        _index(walk, values.categories, depth)
        walk.leaf("ordered", b"1" if values.ordered else b"0")
        _array(walk, np.asarray(values.codes), depth)
        return
    plain = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if plain.dtype != object:
        _array(walk, np.asarray(plain), depth)
        if hasattr(values, "isna"):
            _array(walk, np.asarray(values.isna()), depth)
        return
    _objects(walk, plain.tolist(), depth)


def _objects(walk: Walk, items: list[Any], depth: int) -> None:
    if all(type(item) is str for item in items):
        # One update for the whole column: lengths first, so that "ab","c" is not "a","bc".
        encoded = [item.encode("utf-8", "surrogatepass") for item in items]
        walk.leaf("lengths", struct.pack(f"<{len(encoded)}q", *map(len, encoded)))
        walk.leaf("text", b"".join(encoded))
        return
    walk.leaf("count", str(len(items)).encode())
    for item in items:
        if type(item) is str or item is None:
            walk.feed(item, depth)
        elif type(item).__name__ in ("NAType", "NaTType"):
            walk.leaf("missing", type(item).__name__.encode())
        else:
            walk.feed(item, depth)


def _arrow(walk: Walk, table: Any, depth: int) -> None:
    walk.leaf("schema", str(table.schema).encode())
    for column in table.columns:
        _objects(walk, column.to_pylist(), depth)


def _sparse(walk: Walk, matrix: Any, depth: int) -> None:
    rows = matrix.tocoo()
    walk.leaf("format", f"{matrix.format}{matrix.shape}".encode())
    for part in (*rows.coords, rows.data):
        _array(walk, part, depth)


def _tensor(walk: Walk, tensor: Any, depth: int) -> None:
    _array(walk, tensor.detach().cpu().contiguous().numpy(), depth)


def _timestamp(walk: Walk, value: Any, depth: int) -> None:
    walk.leaf("time", str(value.isoformat()).encode())
    walk.leaf("unit", str(getattr(value, "unit", "")).encode())


def _generator(walk: Walk, value: Any, depth: int) -> None:
    walk.feed(value.get_state() if hasattr(value, "get_state") else value.state, depth)


def _partial(walk: Walk, value: functools.partial[Any], depth: int) -> None:
    walk.feed(value.func, depth)
    walk.feed(value.args, depth)
    walk.feed(value.keywords, depth)


#: First part of the module and the class, parents included → what adds a value of it.
LIBRARIES: dict[tuple[str, str], Callable[[Walk, Any, int], None]] = {
    ("numpy", "ndarray"): _array,
    ("numpy", "generic"): _scalar,
    ("numpy", "RandomState"): _generator,
    ("numpy", "Generator"): lambda walk, value, depth: walk.feed(value.bit_generator.state, depth),
    ("pandas", "DataFrame"): _frame,
    ("pandas", "Series"): _series,
    ("pandas", "Index"): _index,
    ("pandas", "Timestamp"): _timestamp,
    ("pandas", "Timedelta"): _timestamp,
    ("pandas", "ExtensionArray"): _column,
    ("pyarrow", "Table"): _arrow,
    ("scipy", "sparray"): _sparse,
    ("scipy", "spmatrix"): _sparse,
    ("torch", "Tensor"): _tensor,
    ("functools", "partial"): _partial,
}
