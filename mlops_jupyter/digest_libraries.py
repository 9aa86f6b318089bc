"""What a digest takes of values that libraries define: numpy, pandas, Arrow, scipy, torch; none is imported to ask.

Each function is given the walk of :mod:`mlops_jupyter.digest`, a value, and how deep it lies.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Collection, Iterator
from typing import Any

from mlops_jupyter.digest_arrow import add_column, add_objects, add_table, add_type
from mlops_jupyter.digest_walk import Bulk, Walk
from mlops_jupyter.errors import ValueRefused

# What is taken of a strided array at a time: it fits into a core's cache.
_PIECE = 1 << 20

# What numpy's own kinds of array note beside the values: of the file behind a memory map, and of a matrix at work.
_NUMPYS = frozenset({"_mmap", "filename", "offset", "mode", "_getitem"})


def _array(walk: Walk, array: Any, depth: int) -> None:
    import numpy as np

    _plain_array(walk, np.asarray(array), depth)
    if type(array) is not np.ndarray:
        _attributes(walk, array, _NUMPYS, depth)


def _plain_array(walk: Walk, array: Any, depth: int) -> None:
    import numpy as np

    texts = array.dtype.kind == "T"  # which numpy keeps elsewhere, in no byte order
    walk.leaf("dtype", str(array.dtype if texts else array.dtype.newbyteorder("=")).encode())
    walk.leaf("shape", str(array.shape).encode())
    if texts or array.dtype.hasobject:
        walk.many("elements", array.ravel().tolist(), depth)
    elif array.dtype.names:
        # Field by field: the padding between fields is whatever memory held before.
        for name in array.dtype.names:
            walk.leaf("field", name.encode("utf-8", "surrogatepass"))
            _plain_array(walk, np.asarray(array[name]), depth)
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


def _masked(walk: Walk, array: Any, depth: int) -> None:
    """Add a masked array of numpy; what lies under the mask plays no part, nor whether an empty mask is kept."""
    import numpy as np

    mask, data = np.asarray(np.ma.getmaskarray(array)), np.asarray(array)
    if np.ma.getmask(array) is not np.ma.nomask:
        data = data.copy()
        _blank(data, mask)
    _plain_array(walk, data, depth)
    _plain_array(walk, mask, depth)
    # An array that is asked for its fill value notes the answer, and would be pickled otherwise from then on.
    fill = vars(array).get("_fill_value")
    fill = np.ma.default_fill_value(array.dtype) if fill is None else fill
    with np.errstate(over="ignore"):  # numpy's own need not fit the dtype: 999999 of bytes, say
        fill = np.asarray(fill).astype(array.dtype)
    walk.many("fill", (fill,), depth)
    _attributes(walk, array, set(vars(np.ma.MaskedArray(0))), depth)


def _blank(data: Any, mask: Any) -> None:
    """Put a zero wherever the mask says that there is nothing."""
    import numpy as np

    if data.dtype.names:
        for name in data.dtype.names:
            _blank(data[name], mask[name])
    else:
        data[mask] = np.zeros((), dtype=data.dtype)


def _attributes(walk: Walk, value: Any, but: Collection[str], depth: int) -> None:
    """Add what a class of somebody's keeps beside the values, as far as it can be kept at all."""
    names = sorted(set(getattr(value, "__dict__", ())) - set(but))
    kept = {name: vars(value)[name] for name in names if _pickles(vars(value)[name])}
    if kept:
        walk.leaf("attributes")
        walk.feed(kept, depth)


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value, 5, buffer_callback=lambda _: None)
    except Exception:  # a lock, say, or anything that a class raises there
        return False
    return True


def _scalar(walk: Walk, value: Any, depth: int) -> None:
    if value.dtype.names or value.dtype.hasobject:  # whose bytes are padding and addresses, too
        _array(walk, value, depth)
        return
    walk.leaf("dtype", str(value.dtype).encode())
    walk.leaf("data", value.tobytes())


def _series(walk: Walk, series: Any, depth: int) -> None:
    walk.feed(series.name, depth)
    _column(walk, series.array, depth)
    walk.feed(series.index, depth)
    _metadata(walk, series, depth)


def _metadata(walk: Walk, data: Any, depth: int) -> None:
    """Add what a class of somebody's frames or series has named to go along with the data."""
    names = [name for name in data._metadata if name not in ("_name", "name")]
    kept = {name: getattr(data, name, None) for name in names}
    kept = {name: value for name, value in kept.items() if _pickles(value)}
    if kept:
        walk.leaf("metadata")
        walk.feed(kept, depth)


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
    _metadata(walk, frame, depth)


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
    # Of one value that stands for a whole column, the rows are no distance apart.
    rows = max(1, _PIECE // max(abs(first.strides[0]), first.itemsize))
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
        # Ranges that hold the same: where the last would stop is of no account, nor by which step to go nowhere.
        size = len(index)
        start, step = (index.start if size else 0), (index.step if size > 1 else 1)
        walk.leaf("range", f"{start}:{start + step * size}:{step}".encode())
    else:
        _column(walk, index.array, depth)


def _column(walk: Walk, values: Any, depth: int) -> None:
    """Add one column of pandas: its type, then its values from the buffers where there are such."""
    import numpy as np

    walk.leaf("column", str(values.dtype).encode())
    kind = getattr(values.dtype, "pyarrow_dtype", None)
    if kind is not None and kind.num_fields:
        add_type(walk, kind)
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
        add_objects(walk, values.to_numpy().tolist(), depth)
        return
    add_column(walk, column, depth)


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
    add_objects(walk, plain.tolist(), depth)


def _as_arrow(values: Any) -> Any:
    import pyarrow as pa

    found = pa.array(values, from_pandas=True)
    return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])


def _sparse(walk: Walk, matrix: Any, depth: int) -> None:
    rows = matrix.tocoo()
    walk.leaf("format", f"{matrix.format}{matrix.shape}".encode())
    for part in (*rows.coords, rows.data):
        _array(walk, part, depth)


def _tensor(walk: Walk, tensor: Any, depth: int) -> None:
    try:
        plain = tensor.detach().cpu().resolve_conj()
        if str(plain.layout) == "torch.strided":
            _dense(walk, plain.resolve_neg(), depth)
        else:
            _sparse_tensor(walk, plain, depth)
    except (RuntimeError, TypeError) as error:  # one that says shape and type only, say
        raise ValueRefused(
            f"a tensor of {tensor.dtype} on {tensor.device} has no content to compare: {str(error).splitlines()[0]}",
            "publish it as a dense tensor in memory",
        ) from error


def _dense(walk: Walk, tensor: Any, depth: int) -> None:
    import torch

    if tensor.is_quantized:  # whose bytes are not all that its numbers are made of
        raise TypeError("it is quantized")
    try:
        array = tensor.contiguous().numpy()
    except TypeError:  # a type that numpy has not: bfloat16, say
        walk.leaf("dtype", str(tensor.dtype).encode())
        walk.leaf("shape", str(tuple(tensor.shape)).encode())
        array = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    _plain_array(walk, array, depth)


def _sparse_tensor(walk: Walk, tensor: Any, depth: int) -> None:
    """Add a tensor that leaves zeros out: which are there, and what they are."""
    layout = str(tensor.layout)
    walk.leaf("format", f"{layout}{tuple(tensor.shape)}".encode())
    if layout == "torch.sparse_coo":
        tensor = tensor.coalesce()
        places = [tensor.indices()]
    elif layout in ("torch.sparse_csr", "torch.sparse_bsr"):
        places = [tensor.crow_indices(), tensor.col_indices()]
    else:
        places = [tensor.ccol_indices(), tensor.row_indices()]
    for part in (*places, tensor.values()):
        _dense(walk, part, depth)


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
    ("numpy", "MaskedArray"): _masked,
    ("numpy", "generic"): _scalar,
    ("numpy", "RandomState"): _generator,
    ("numpy", "Generator"): lambda walk, value, depth: walk.feed(value.bit_generator.state, depth),
    ("pandas", "DataFrame"): _frame,
    ("pandas", "Series"): _series,
    ("pandas", "Index"): _index,
    ("pandas", "Timestamp"): _timestamp,
    ("pandas", "Timedelta"): _timestamp,
    ("pandas", "ExtensionArray"): _column,
    ("pyarrow", "Table"): add_table,
    ("scipy", "sparray"): _sparse,
    ("scipy", "spmatrix"): _sparse,
    ("torch", "Tensor"): _tensor,
    ("functools", "partial"): _partial,
}
