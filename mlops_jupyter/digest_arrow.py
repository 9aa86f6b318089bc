"""What a digest takes of Arrow's tables and columns: what they hold, and not how it lies in memory.

Each function is given the walk of :mod:`mlops_jupyter.digest`, a value, and how deep it lies.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_jupyter.digest_walk import Walk

# What says all of a column in one line: a name that ends where it seems to, and a type without names in it.
_PLAIN_NAME = re.compile(r"[^\n:]{0,90}")
_PLAIN_TYPE = re.compile(r"[\w\[\](), =/+.:-]{1,90}")
_INDICES = re.compile(r"indices=u?int\d+")


def add_objects(walk: Walk, items: list[Any], depth: int) -> None:
    """Add Python objects in order."""
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


def add_table(walk: Walk, table: Any, depth: int) -> None:
    """Add a table: names and types of its columns, and what is in them."""
    if all(_is_told_in_a_line(field) for field in table.schema):
        # Not what others have noted there: which version wrote it, say.
        schema = table.schema.to_string(show_field_metadata=False, show_schema_metadata=False)
        walk.leaf("schema", schema.encode())
    else:
        walk.leaf("fields", str(len(table.schema)).encode())
        for field in table.schema:
            _field(walk, field)
    walk.leaf("rows", str(table.num_rows).encode())
    for column in table.columns:
        add_column(walk, column, depth)


def _is_told_in_a_line(field: Any) -> bool:
    is_flat = not field.type.num_fields and not hasattr(field.type, "storage_type")
    is_plain = _PLAIN_NAME.fullmatch(field.name) and _PLAIN_TYPE.fullmatch(str(field.type))
    return bool(is_flat and is_plain and not str(field.type).startswith("dictionary"))


def _field(walk: Walk, field: Any) -> None:
    walk.leaf("name", field.name.encode())
    walk.leaf("nullable", b"1" if field.nullable else b"0")
    add_type(walk, field.type)


def add_type(walk: Walk, kind: Any) -> None:
    """Add a type with the names in it; of a dictionary's indices, which play no part, not the type."""
    walk.leaf("type", _INDICES.sub("indices", str(kind)).encode())
    if hasattr(kind, "storage_type"):  # an extension of Arrow's types
        add_type(walk, kind.storage_type)
    if hasattr(kind, "index_type"):
        add_type(walk, kind.value_type)
    for number in range(kind.num_fields):
        _field(walk, kind.field(number))


def add_column(walk: Walk, column: Any, depth: int) -> None:
    """Add a column of Arrow; how it is cut into chunks, and what lies behind its gaps, play no part."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        _dictionary(walk, column, depth)
        return
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
        add_column(walk, pa.chunked_array([chunk.view(plain) for chunk in column.chunks], plain), depth)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        walk.stream("lengths", (_lengths(chunk, "list_value_length") for chunk in column.chunks))
        inside = pa.chunked_array([chunk.flatten() for chunk in column.chunks], kind.value_type)
        add_column(walk, inside, depth)
    elif pa.types.is_struct(kind):
        walk.stream("valid", (_numbers(chunk.is_valid()) for chunk in column.chunks))
        for number, field in enumerate(kind):
            parts = [chunk.flatten()[number] for chunk in column.chunks]
            add_column(walk, pa.chunked_array(parts, field.type), depth)
    else:
        add_objects(walk, column.to_pylist(), depth)


def _dictionary(walk: Walk, column: Any, depth: int) -> None:
    """Add a column of Arrow that holds each value once: by the values in the order in which rows first have them.

    Where values are ordered, their order is the dictionary's, and those that no row has count as well.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values, rows = _pooled(column)
    try:
        encoded = values.dictionary_encode()
    except pa.ArrowNotImplementedError:  # lists and the like, which Arrow can't look up
        add_objects(walk, column.to_pylist(), depth)
        return
    # Of each value its place among the different ones, -1 for a gap; at the end, for the rows that have none, too.
    places = np.append(pc.fill_null(encoded.indices, -1).to_numpy(), np.int32(-1))
    found = [places[each] for each in rows]
    order = np.arange(len(encoded.dictionary))
    if not column.type.ordered:
        order = pc.unique(pa.chunked_array([pa.array(each) for each in found], pa.int32())).to_numpy()
        order = order[order >= 0]
    ranks = np.full(len(encoded.dictionary) + 1, -1, dtype=np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    add_column(walk, pa.chunked_array([encoded.dictionary.take(pa.array(order, pa.int64()))]), depth)
    walk.stream("places", (ranks[each].view(np.uint8).data for each in found))


def _pooled(column: Any) -> tuple[Any, list[Any]]:
    """Give the values of the dictionaries of all chunks, and by chunk of each row where its value is, -1 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pool: list[Any] = [pa.array([], column.type.value_type)]
    start, rows = 0, []
    for chunk in column.chunks:
        if len(pool) == 1 or not chunk.dictionary.equals(pool[-1]):
            start += len(pool[-1])
            pool.append(chunk.dictionary)
        places = pc.fill_null(pc.cast(chunk.indices, pa.int64()), -1 - start).to_numpy()
        rows.append(places + start)
    return pa.concat_arrays(pool), rows


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
