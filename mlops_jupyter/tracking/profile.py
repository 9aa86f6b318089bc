"""A profile: what a person compares of data, as one JSON document beside its digest.

It has ``num_rows``, ``num_elements`` and ``num_columns``, what was profiled (``data``: ``frame table array file``),
and ``columns``, one entry each, of ``name``, ``dtype``, ``kind``, ``missing`` (null, NaN or masked) and, by its kind:

number, duration    ``distinct min max mean std``, durations in seconds; ``infinite`` where some are, which count in
                    ``distinct`` only; of whole numbers with few values also ``frequent``
time                ``distinct min max``, in UTC with a ``Z`` where the column knows its time zone
boolean             ``distinct true``
text                ``distinct`` and ``frequent``, the most frequent values with their counts; categories too
other               ``types`` of Python objects, and ``distinct`` and ``frequent`` where values are plain

An entry with ``sample`` took ``distinct``, ``frequent`` and ``types`` from that many rows, drawn at random but always
the same: its ``distinct`` is an estimate. One with ``unread`` could not be read, and why. ``index`` has what a frame's
index says, if that is more than the rows' numbers. A profile that would be too long has shorter entries, and then
fewer, and says how many columns are missing in ``columns_left_out``. Memory layout and chunks play no part, nor does
row order where no sample was taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from mlops_jupyter.tracking.measures import (
    Entry,
    Sample,
    booleans,
    categories,
    counted_other,
    cut,
    looked_at,
    moments,
    more_missing,
    numbers,
    texts,
)

#: The longest profile, in characters. MLflow takes 16 MB, but reads it along with every list of runs.
LONGEST = 250_000
_NAME = 200
# What a shortened entry keeps: all that is short.
_ESSENTIAL = frozenset(
    [
        *("name", "dtype", "kind", "missing", "sample", "unread"),
        *("distinct", "min", "max", "mean", "std", "infinite", "true"),
    ]
)


def profile_text(document: dict[str, Any], longest: int = LONGEST) -> str:
    """Write a profile as JSON of bounded length: with shorter entries, then with fewer, where it would be longer.

    Args:
        document: The profile.
        longest: Characters.

    Returns:
        The text, in ASCII.
    """
    text = _json(document)
    if len(text) <= longest or "columns" not in document:
        return text
    short = [{key: value for key, value in entry.items() if key in _ESSENTIAL} for entry in document["columns"]]
    room = longest - len(_json(document | {"columns": [], "columns_left_out": len(short)}))
    kept = 0
    for entry in short:
        room -= len(_json(entry)) + 1
        if room < 0:
            break
        kept += 1
    left = {"columns_left_out": len(short) - kept} if kept < len(short) else {}
    return _json(document | left | {"columns": short[:kept]})


def _json(document: Any) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def of_frame(frame: Any) -> dict[str, Any]:
    """Profile a pandas frame.

    Args:
        frame: The frame; nothing in it is changed.

    Returns:
        The profile.
    """
    sample = Sample()
    columns = (frame.iloc[:, position] for position in range(frame.shape[1]))
    entries = [_entry(each.name, each.dtype, partial(_pandas, each, sample)) for each in columns]
    index = [
        _entry("" if level.name is None else level.name, level.dtype, partial(_pandas, level, sample))
        for level in map(frame.index.get_level_values, range(frame.index.nlevels))
        # The numbers that rows have from being picked out of another frame say nothing.
        if level.name is not None or level.dtype.kind not in "iu"
    ]
    return _document("frame", len(frame), entries) | ({"index": index} if index else {})


def of_table(table: Any) -> dict[str, Any]:
    """Profile an Arrow table, without making another of it.

    Args:
        table: The table.

    Returns:
        The profile.
    """
    sample = Sample()
    fields = zip(table.schema, table.columns, strict=True)
    entries = [_entry(field.name, field.type, partial(_arrow, each, sample)) for field, each in fields]
    return _document("table", table.num_rows, entries)


def of_array(array: Any) -> dict[str, Any]:
    """Profile a numpy array: by column up to a thousand of them, by field where it has fields, else as a whole.

    Args:
        array: The array.

    Returns:
        The profile, with ``shape`` and ``dtype``.
    """
    sample = Sample()
    if array.dtype.names:
        parts = {name: array[name].reshape(-1) for name in array.dtype.names}
    elif array.ndim == 2 and array.shape[1] <= 1000:
        parts = {str(position): array[:, position] for position in range(array.shape[1])}
    else:
        parts = {"values": array.reshape(-1)}
    entries = [_entry(name, each.dtype, partial(_numpy, each, sample)) for name, each in parts.items()]
    document = _document("array", array.shape[0] if array.ndim else 1, entries)
    about = {"num_elements": int(array.size), "shape": list(array.shape), "dtype": cut(str(array.dtype), _NAME)}
    return document | about


def _document(data: str, rows: int, entries: list[Entry]) -> dict[str, Any]:
    counts = {"num_rows": rows, "num_elements": rows * len(entries), "num_columns": len(entries)}
    return {"version": 1, "data": data, **counts, "columns": entries}


def _name(name: Any) -> str:
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _entry(name: Any, dtype: Any, measure: Callable[[], Entry]) -> Entry:
    import numpy as np

    try:
        entry = {"name": cut(_name(name), _NAME), "dtype": cut(str(dtype), _NAME)}
    except Exception as error:  # the name is an object of somebody's
        entry = {"name": f"a {type(name).__name__}", "dtype": "", "unread": type(error).__name__}
    try:
        with np.errstate(all="ignore"):
            return entry | measure()
    except Exception as error:
        # A column may hold anything at all; one that can't be profiled keeps no data from being logged.
        return entry | {"kind": "other", "missing": None, "unread": type(error).__name__}


# ---------------------------------------------------------------------------------------------------------------------
# Where values lie


def _pandas(values: Any, sample: Sample) -> Entry:
    """Measure a series or an index, by its type."""
    import numpy as np
    import pandas as pd

    array, dtype = values.array, values.dtype
    if isinstance(dtype, np.dtype):
        return _numpy(values.to_numpy(), sample)
    if isinstance(dtype, pd.CategoricalDtype):
        return categories(array)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _numpy(np.asarray(array, dtype=f"M8[{dtype.unit}]"), sample, aware=True)
    if isinstance(dtype, pd.ArrowDtype | pd.StringDtype):
        return _strings_or_arrow(array, sample)
    if isinstance(dtype, pd.SparseDtype):
        return _numpy(np.asarray(array), sample)
    if isinstance(getattr(dtype, "numpy_dtype", None), np.dtype):
        missing = np.asarray(array.isna())
        plain = array.to_numpy(dtype=dtype.numpy_dtype, na_value=0)[~missing]
        return more_missing(_numpy(plain, sample), int(missing.sum()))
    return _objects(array, sample)


def _strings_or_arrow(array: Any, sample: Sample) -> Entry:
    import pyarrow as pa

    try:
        return _arrow(pa.array(array, from_pandas=True), sample)
    except UnicodeEncodeError:  # half a character, which Arrow does not take
        return _objects(array, sample)


def _numpy(array: Any, sample: Sample, *, aware: bool = False) -> Entry:
    """Measure an array of one dimension."""
    import numpy as np

    if isinstance(array, np.ma.MaskedArray) and not array.dtype.names:
        present = array.compressed()
        return more_missing(_numpy(present, sample, aware=aware), array.size - present.size)
    kind = array.dtype.kind
    if kind == "b":
        return booleans(len(array), int(np.count_nonzero(array)))
    if kind in "iuf":
        return numbers(array, sample)
    if kind in "Mm":
        return moments(array, sample, aware)
    if kind in "SU":
        return _objects(array.astype(object), sample)
    if kind == "O":
        return _objects(array, sample)
    if kind == "c":
        missing = np.isnan(array)
        return counted_other(array[~missing], int(missing.sum()), sample)
    return {"kind": "other", "missing": 0}


def _arrow(column: Any, sample: Sample) -> Entry:
    """Measure an array or a chunked array of Arrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, missing, types = column.type, column.null_count, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _arrow(column.cast(kind.storage_type), sample)
    if types.is_dictionary(kind):
        return _arrow(column.cast(kind.value_type), sample)
    if str(kind) == "string_view":  # for which Arrow has few functions
        return _arrow(column.cast(pa.large_string()), sample)
    if types.is_decimal(kind):
        return _arrow(column.cast(pa.float64()), sample)
    is_text, is_number = types.is_string(kind) or types.is_large_string(kind), types.is_primitive(kind)
    if types.is_time(kind) or types.is_interval(kind) or not (is_text or is_number):
        return {"kind": "other", "missing": missing}
    if missing:
        column = column.drop_null()
    if is_text:
        return texts(column, missing, sample)
    if types.is_boolean(kind):
        return more_missing(booleans(len(column), pc.sum(column).as_py() or 0), missing)
    plain = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    if types.is_temporal(kind):
        aware = types.is_timestamp(kind) and kind.tz is not None
        return more_missing(moments(plain, sample, aware), missing)
    return more_missing(numbers(plain, sample), missing)


def _objects(array: Any, sample: Sample) -> Entry:
    """Measure Python objects: as what they all are, else by looking at each."""
    import numpy as np
    import pandas as pd

    gaps = np.asarray(pd.isna(array))
    missing, present = int(gaps.sum()), array[~gaps]
    if not isinstance(present, np.ndarray):  # a type of pandas' or of somebody's, with no buffer that is known here
        return looked_at(present, missing, sample)
    kind = pd.api.types.infer_dtype(present, skipna=False)
    try:
        found = _alike(present, kind, sample)
    except (ValueError, TypeError, OverflowError):  # half a character, a number that no type holds, mixed time zones
        found = None
    return looked_at(present, missing, sample) if found is None else more_missing(found, missing)


def _alike(present: Any, kind: str, sample: Sample) -> Entry | None:
    """Measure objects that are all of one kind, by what holds many of that kind; None for any other."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if kind == "string":
        return texts(pa.array(present, pa.large_string()), 0, sample)
    if kind == "boolean":
        return booleans(len(present), int(np.count_nonzero(present)))
    if kind == "integer":
        return numbers(present.astype("int64"), sample)
    if kind in ("floating", "mixed-integer-float", "decimal"):
        return numbers(present.astype("float64"), sample)
    if kind in ("date", "timedelta", "timedelta64"):
        return moments(present.astype("M8[D]" if kind == "date" else "m8[us]"), sample, False)
    if kind in ("datetime", "datetime64"):
        times = pd.to_datetime(present)
        aware = times.tz is not None
        return moments((times.tz_convert(None) if aware else times).to_numpy(), sample, aware)
    return None
