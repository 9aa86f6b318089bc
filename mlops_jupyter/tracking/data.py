"""Logging data: which data a run read, with a digest over all of its content.

MLflow's own digest of a frame reads its first 10,000 rows; ours stands beside it, on the dataset input, as the tag
``mlops.digest``.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from mlops_jupyter.digest import digest_of
from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.tracking import mlflow_module

ROLES = ("train", "test", "holdout")


def describe(data: Any, name: str, role: str | None) -> dict[str, Any]:
    """Say what data is, as an MLflow dataset that a run reads.

    Args:
        data: A pandas frame or series, a numpy array, an Arrow table, or the path of a file or folder.
        name: Its name.
        role: ``train``, ``test``, ``holdout`` or None.

    Returns:
        ``dataset``, the fields of MLflow's entity, with our digest, and ``tags`` of the run's input.

    Raises:
        ValueRefused: It is no data.
    """
    if role is not None and role not in ROLES:
        raise ValueRefused(f"{role!r} is no role of data", f"use one of: {', '.join(ROLES)}")
    mlflow = mlflow_module()
    if isinstance(data, str):
        data = Path(data)
    digest = digest_of(data)
    with warnings.catch_warnings():
        # MLflow warns of integer columns without missing values at every schema it infers.
        warnings.simplefilter("ignore")
        dataset = _dataset(mlflow, data, name, digest)
        said = dataset.to_dict()
    fields = {key: said.get(key) for key in ("name", "digest", "source_type", "source", "schema", "profile")}
    return {"dataset": fields, "tags": {"mlops.digest": digest} | ({"mlflow.data.context": role} if role else {})}


def _dataset(mlflow: Any, data: Any, name: str, digest: str) -> Any:
    kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}"
    # MLflow allows 36 characters of digest; ours has 32.
    if kind == "pandas.DataFrame":
        return mlflow.data.from_pandas(data, name=name, digest=digest)
    if kind == "pandas.Series":
        return mlflow.data.from_pandas(data.to_frame(), name=name, digest=digest)
    if kind == "pyarrow.Table":
        return mlflow.data.from_pandas(data.to_pandas(), name=name, digest=digest)
    if kind == "numpy.ndarray":
        return mlflow.data.from_numpy(data, name=name, digest=digest)
    if isinstance(data, os.PathLike):
        return _file(Path(data), name, digest)
    raise ValueRefused(f"a {type(data).__name__} is no data", "give a frame, an array, an Arrow table or a path")


def _file(path: Path, name: str, digest: str) -> Any:
    from mlflow.data.dataset import Dataset
    from mlflow.data.dataset_source_registry import resolve_dataset_source

    class File(Dataset):  # type: ignore[misc]
        """A file or folder, told by its digest."""

        def _compute_digest(self) -> str:
            return digest

        @property
        def profile(self) -> Any:
            return json.dumps({"bytes": _size(path)})

        @property
        def schema(self) -> None:
            return None

        def to_dict(self) -> dict[str, Any]:
            known: dict[str, Any] = super().to_dict()
            return known | {"profile": self.profile, "schema": "{}"}

    return File(source=resolve_dataset_source(str(path.resolve())), name=name, digest=digest)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
