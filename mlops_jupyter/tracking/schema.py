"""The schema of data as MLflow has it: the type of each column, and whether each row has a value there.

Types are those that MLflow infers of frames. It gives up on a table that has one column of a type it has none for;
here only that column is of ``any`` type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

from mlops_jupyter.tracking import mlflow_module

#: The longest schema that MLflow takes, in characters.
LONGEST = 1_048_575
# Of how many values of a column of Python objects the type is told.
_LOOKED_AT = 1000


def schema_text(data: Any, profile: Mapping[str, Any]) -> str | None:
    """Write the schema of data.

    Args:
        data: A pandas frame, an Arrow table or a numpy array.
        profile: Its profile, with all columns in it.

    Returns:
        JSON, or None where MLflow has no schema for it, or takes none of that length.
    """
    mlflow_module()
    if profile["data"] == "array":
        text = _tensor(data)
    elif not profile["columns"]:
        return None
    else:
        text = _columns(data, profile)
    return text if len(text) <= LONGEST else None


def _tensor(array: Any) -> str:
    import numpy as np
    from mlflow.data.schema import TensorDatasetSchema
    from mlflow.types.schema import Schema, TensorSpec

    # MLflow tells texts of any length by one type.
    dtype = np.dtype({"U": "str", "S": "bytes"}.get(array.dtype.kind, array.dtype))
    shape = (-1, *array.shape[1:]) if array.ndim else ()
    return json.dumps(TensorDatasetSchema(Schema([TensorSpec(dtype, shape)])).to_dict())


def _columns(data: Any, profile: Mapping[str, Any]) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.types.schema import AnyType, ColSpec, Schema

    types = data.schema.types if profile["data"] == "table" else list(data.dtypes)
    specs = []
    for position, (dtype, entry) in enumerate(zip(types, profile["columns"], strict=True)):
        try:
            kind = _of_arrow(dtype) if profile["data"] == "table" else _of_pandas(dtype, data, position, entry)
        except MlflowException:  # two fields of one name, say
            kind = AnyType()
        specs.append(ColSpec(kind, entry["name"], required=entry["missing"] == 0))
    return json.dumps({"mlflow_colspec": Schema(specs).to_dict()})


def _of_pandas(dtype: Any, frame: Any, position: int, entry: Mapping[str, Any]) -> Any:
    import numpy as np
    import pandas as pd
    from mlflow.types.schema import AnyType, DataType

    if isinstance(dtype, pd.ArrowDtype):
        return _of_arrow(dtype.pyarrow_dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    elif isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if isinstance(dtype, pd.StringDtype):
        return DataType.string
    if isinstance(dtype, pd.DatetimeTZDtype):
        return DataType.datetime
    plain = getattr(dtype, "numpy_dtype", dtype)
    if not isinstance(plain, np.dtype):
        return AnyType()
    return _of_objects(frame.iloc[:, position], entry) if plain.kind == "O" else _of_numpy(plain)


def _of_numpy(dtype: Any) -> Any:
    from mlflow.types.schema import AnyType, DataType

    signed, size = dtype.kind == "i", dtype.itemsize
    if dtype.kind in "iu":
        small = size < 4 or (signed and size == 4)
        return DataType.integer if small else DataType.long if signed or size < 8 else AnyType()
    if dtype.kind == "f" and size <= 8:
        return DataType.float if size <= 4 else DataType.double
    return {"b": DataType.boolean, "M": DataType.datetime, "U": DataType.string, "S": DataType.binary}.get(
        dtype.kind, AnyType()
    )


def _of_objects(column: Any, entry: Mapping[str, Any]) -> Any:
    """Tell the type of Python objects: by what all of them were found to be, else by the first of them."""
    import pandas as pd
    from mlflow.data import from_pandas
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.types.schema import AnyType, DataType

    known = {"boolean": DataType.boolean, "text": DataType.string, "time": DataType.datetime}
    if entry["kind"] in known:
        return known[entry["kind"]]
    if entry["kind"] == "number":
        return DataType.long if isinstance(entry.get("min"), int) else DataType.double
    types = entry.get("types", {}).keys()
    if types == {"bytes"}:
        return DataType.binary
    if not types or types - {"list", "dict"}:
        return AnyType()
    values = list(islice((value for value in column.array if isinstance(value, list | dict)), _LOOKED_AT))
    schema = from_pandas(pd.DataFrame({"x": values}), CodeDatasetSource({}), digest="-").schema
    return AnyType() if schema is None else schema.inputs[0].type


def _of_arrow(kind: Any) -> Any:
    import pyarrow as pa
    from mlflow.types.schema import AnyType, Array, DataType, Map, Object, Property

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _of_arrow(kind.storage_type)
    if types.is_dictionary(kind):
        return _of_arrow(kind.value_type)
    if types.is_boolean(kind):
        return DataType.boolean
    if types.is_integer(kind) or types.is_floating(kind):
        return _of_numpy(kind.to_pandas_dtype()().dtype)
    if types.is_decimal(kind):
        return DataType.double
    if types.is_timestamp(kind) or types.is_date(kind):
        return DataType.datetime
    if str(kind) in ("string", "large_string", "string_view"):
        return DataType.string
    if "binary" in str(kind).partition("<")[0]:
        return DataType.binary
    if types.is_map(kind):
        return Map(_of_arrow(kind.item_type)) if _of_arrow(kind.key_type) == DataType.string else AnyType()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return Array(_of_arrow(kind.value_type))
    if types.is_struct(kind) and kind.num_fields:
        return Object([Property(field.name, _of_arrow(field.type), not field.nullable) for field in kind])
    return AnyType()
