"""What a digest takes of values that libraries define: numpy, pandas, Arrow, scipy, torch; none is imported to ask.

Each function is given the walk of :mod:`mlops_jupyter.digest`, a value, and how deep it lies.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from mlops_jupyter.working import pieces

#: Leaves of this many bytes and more go in by their xxh3_128: blake3 is several times slower than memory.
LARGE = 1 << 16
# What is taken of a strided array at a time: it fits into a core's cache.
_PIECE = 1 << 20


class Bulk:
    """The bytes of one leaf while they come in: themselves as long as they are few, then their xxh3_128."""

    def __init__(self) -> None:
        self.size = 0
        self._few = bytearray()
        self._hash: Any = None

    def add(self, piece: bytes | memoryview) -> None:
        """Take in more of the leaf."""
        self.size += memoryview(piece).nbytes
        if self._hash is None and self.size < LARGE:
            self._few += piece
            return
        if self._hash is None:
            import xxhash

            self._hash = xxhash.xxh3_128(bytes(self._few))
        for part in pieces(piece):
            self._hash.update(part)

    def content(self) -> bytes:
        """Give what stands for the leaf; its size tells which of the two it is."""
        return bytes(self._few) if self._hash is None else self._hash.digest()


class Walk(Protocol):
    """One pass over a value, as the functions here see it."""

    def leaf(self, tag: str, data: bytes | memoryview = b"") -> None:
        """Add a leaf: its kind, and its bytes."""

    def stream(self, tag: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Add a leaf whose bytes come in pieces; how they are cut plays no part."""

    def bulk(self, tag: str, bulk: Bulk) -> None:
        """Add a leaf whose bytes were taken in elsewhere."""

    def feed(self, value: Any, depth: int) -> None:
        """Add any value."""

    def many(self, tag: str, values: Iterable[Any], depth: int) -> None:
        """Add values in order, between an opening and a closing leaf."""


def _array(walk: Walk, array: Any, depth: int) -> None:
    import numpy as np

    texts = array.dtype.kind == "T"  # which numpy keeps elsewhere, in no byte order
    walk.leaf("dtype", str(array.dtype if texts else array.dtype.newbyteorder("=")).encode())
    walk.leaf("shape", str(array.shape).encode())
    if texts or array.dtype.hasobject:
        walk.many("elements", array.ravel().tolist(), depth)
    elif array.dtype.names:
        # Field by field: the padding between fields is whatever memory held before.
        for name in array.dtype.names:
            walk.leaf("field", name.encode())
            _array(walk, np.asarray(array[name]), depth)
    else:
        walk.stream("data", _pieces(array))


def _pieces(array: Any) -> Iterator[memoryview]:
    """Give an array's bytes in C order and native byte order, without copying more than a piece at a time."""
    import numpy as np

    if array.ndim == 0 or not array.nbytes:
        array = array.reshape(-1)
    if array.flags.c_contiguous and array.dtype.isnative:
        yield array.reshape(-1).view(np.uint8).data
        return
    native = array.dtype.newbyteorder("=")
    rows = max(1, _PIECE * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), rows):
        piece = np.ascontiguousarray(array[start : start + rows], dtype=native)
        yield piece.reshape(-1).view(np.uint8).data


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
    columns = [frame.iloc[:, position].array for position in range(frame.shape[1])]
    bulks = _together(columns)
    for position, values in enumerate(columns):
        if position in bulks:
            walk.leaf("column", str(values.dtype).encode())
            walk.bulk("data", bulks[position])
        else:
            _column(walk, values, depth)


def _together(columns: list[Any]) -> dict[int, Bulk]:
    """Read columns that lie side by side in memory in one pass, row by row, rather than in one pass each.

    Args:
        columns: Arrays of pandas.

    Returns:
        Position → content, of the columns of numbers that are not contiguous.
    """
    import numpy as np

    apart = {position: _plain_numbers(values) for position, values in enumerate(columns)}
    strided = {position: array for position, array in apart.items() if array is not None and not array.flags.contiguous}
    if len(strided) < 2:
        return {}
    bulks = {position: Bulk() for position in strided}
    first = next(iter(strided.values()))
    rows = max(1, _PIECE // abs(first.strides[0]))
    for start in range(0, len(first), rows):
        for position, array in strided.items():
            bulks[position].add(np.ascontiguousarray(array[start : start + rows]).view(np.uint8).data)
    return bulks


def _plain_numbers(values: Any) -> Any:
    """Give the numpy array that a column of numbers is; None for any other column."""
    if type(values).__name__ not in ("NumpyExtensionArray", "PandasArray"):
        return None
    array = values.to_numpy()
    return array if array.dtype.kind in "iufcb" and array.dtype.isnative else None


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
    numbers = _plain_numbers(values)
    if numbers is not None:
        walk.stream("data", _pieces(numbers))
    elif str(values.dtype) == "category":
        _index(walk, values.categories, depth)
        walk.leaf("ordered", b"1" if values.ordered else b"0")
        _array(walk, np.asarray(values.codes), depth)
    elif hasattr(values.dtype, "numpy_dtype") and values.dtype.numpy_dtype.kind in "iufb":
        # A masked array: what lies behind a gap is whatever memory held before.
        _array(walk, values.to_numpy(dtype=values.dtype.numpy_dtype, na_value=0), depth)
        _array(walk, np.asarray(values.isna()), depth)
    elif type(values).__name__.startswith("Arrow") or str(values.dtype).startswith(("str", "string")):
        _arrow_column(walk, values, depth)
    elif type(values).__name__ == "IntervalArray":
        for ends in (values.left, values.right):
            _column(walk, ends.array, depth)
    else:
        _other_column(walk, values, depth)


def _arrow_column(walk: Walk, values: Any, depth: int) -> None:
    try:
        column = _as_arrow(values)
    except UnicodeEncodeError:  # half a character, which Python's strings may hold and Arrow's can't
        _objects(walk, values.to_numpy().tolist(), depth)
        return
    _arrow_values(walk, column, depth)


def _other_column(walk: Walk, values: Any, depth: int) -> None:
    import numpy as np

    if type(values).__name__ in ("DatetimeArray", "PeriodArray"):
        # As numbers, which its type gives a meaning: of time zones and periods numpy has objects only.
        plain = values.asi8
    else:
        plain = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if plain.dtype != object:
        _array(walk, np.asarray(plain), depth)
        if hasattr(values, "isna"):
            _array(walk, np.asarray(values.isna()), depth)
        return
    _objects(walk, plain.tolist(), depth)


def _as_arrow(values: Any) -> Any:
    import pyarrow as pa

    found = pa.array(values, from_pandas=True)
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


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
    # Not what others have noted there: which version wrote it, say.
    schema = table.schema.to_string(show_field_metadata=False, show_schema_metadata=False)
    walk.leaf("schema", schema.encode())
    walk.leaf("rows", str(table.num_rows).encode())
    for column in table.columns:
        _arrow_values(walk, column, depth)


def _arrow_values(walk: Walk, column: Any, depth: int) -> None:
    """Add a column of Arrow; how it is cut into chunks, and what lies behind its gaps, play no part."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.unify_dictionaries()
        dictionary = column.chunk(0).dictionary if column.num_chunks else pa.array([], kind.value_type)
        _arrow_values(walk, pa.chunked_array([dictionary]), depth)
        column = pa.chunked_array([chunk.indices for chunk in column.chunks], kind.index_type)
        kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if text or binary:
        walk.stream("lengths", (_lengths(chunk) for chunk in column.chunks))
        walk.stream("text", (_text(chunk) for chunk in column.chunks))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        walk.stream("valid", (_numbers(chunk.is_valid()) for chunk in column.chunks))
        walk.stream("data", (_numbers(_filled(chunk, 0)) for chunk in column.chunks))
    elif pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        plain = pa.int32() if kind.bit_width == 32 else pa.int64()
        _arrow_values(walk, pa.chunked_array([chunk.view(plain) for chunk in column.chunks], plain), depth)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        walk.stream("lengths", (_lengths(chunk, "list_value_length") for chunk in column.chunks))
        inside = pa.chunked_array([chunk.flatten() for chunk in column.chunks], kind.value_type)
        _arrow_values(walk, inside, depth)
    elif pa.types.is_struct(kind):
        walk.stream("valid", (_numbers(chunk.is_valid()) for chunk in column.chunks))
        for number, field in enumerate(kind):
            parts = [chunk.flatten()[number] for chunk in column.chunks]
            _arrow_values(walk, pa.chunked_array(parts, field.type), depth)
    else:
        _objects(walk, column.to_pylist(), depth)


def _filled(chunk: Any, value: Any) -> Any:
    import pyarrow.compute as pc

    return pc.fill_null(chunk, pc.cast(value, chunk.type)) if chunk.null_count else chunk


def _numbers(chunk: Any) -> memoryview:
    import numpy as np

    return np.ascontiguousarray(chunk.to_numpy(zero_copy_only=False)).view(np.uint8).data


def _lengths(chunk: Any, measure: str = "binary_length") -> memoryview:
    """Give the length of each text in bytes, or of each list, -1 for a gap."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return _numbers(pc.fill_null(pc.cast(getattr(pc, measure)(chunk), pa.int64()), -1))


def _text(chunk: Any) -> memoryview:
    """Give the bytes of all texts, one behind the other: a window of the buffer where nothing lies behind gaps."""
    import numpy as np
    import pyarrow as pa

    if chunk.null_count:
        chunk = _filled(chunk, b"" if "binary" in str(chunk.type) else "")
    wide = pa.types.is_large_string(chunk.type) or pa.types.is_large_binary(chunk.type)
    _, offsets, data = chunk.buffers()
    if data is None or not len(chunk):
        return memoryview(b"")
    edges = np.frombuffer(offsets, dtype=np.int64 if wide else np.int32)
    return memoryview(data)[int(edges[chunk.offset]) : int(edges[chunk.offset + len(chunk)])]


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


def size_of(value: Any) -> int:
    """Tell how many bytes a frame, an array or a table has in memory, about; 0 for anything else."""
    library, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if (library, kind) in (("numpy", "ndarray"), ("pyarrow", "Table"), ("torch", "Tensor")):
        return int(value.nbytes)
    if (library, kind) == ("pandas", "DataFrame"):
        return int(value.memory_usage(deep=False).sum())
    return int(value.memory_usage(deep=False)) if (library, kind) == ("pandas", "Series") else 0


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
