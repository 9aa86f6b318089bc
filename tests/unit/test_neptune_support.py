"""Writes exports as neptune-exporter does: the same columns and types, names of folders and parts, and files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MOMENT = pa.timestamp("ms", tz="UTC")
NUMBERS = pa.list_(pa.float64())
SCHEMA = pa.schema(
    [
        ("project_id", pa.string()),
        ("run_id", pa.string()),
        ("attribute_path", pa.string()),
        ("attribute_type", pa.string()),
        ("step", pa.decimal128(18, 6)),
        ("timestamp", MOMENT),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("string_value", pa.string()),
        ("bool_value", pa.bool_()),
        ("datetime_value", MOMENT),
        ("string_set_value", pa.list_(pa.string())),
        ("file_value", pa.struct([("path", pa.string())])),
        ("histogram_value", pa.struct([("type", pa.string()), ("edges", NUMBERS), ("values", NUMBERS)])),
    ]
)
PROJECT = "team/churn"
START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
_VALUES = {
    "float_series": "float_value",
    "string_series": "string_value",
    "histogram_series": "histogram_value",
    "artifact": "file_value",
    "file_set": "file_value",
    "file_series": "file_value",
}


def folder_name(name: str) -> str:
    """Give what the exporter calls a project's folder, and the beginning of a run's parts."""
    plain = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)
    return f"{plain}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"


def row(path: str, kind: str, value: Any, step: Any = None, time: int | datetime | None = None) -> dict[str, Any]:
    """Give one row: an attribute with one value, or one point of a series."""
    if kind in ("file", "artifact", "file_set", "file_series") and value is not None:
        value = {"path": value}
    made = {"attribute_path": path, "attribute_type": kind, _VALUES.get(kind, f"{kind}_value"): value}
    if step is not None:
        made["step"] = Decimal(str(step)).quantize(Decimal("1.000000"))
    return made | ({"timestamp": time} if time is not None else {})


def series(path: str, points: Iterable[tuple[Any, float]], kind: str = "float_series") -> list[dict[str, Any]]:
    """Give the rows of a series of steps and values, a second apart."""
    return [row(path, kind, value, step, START_MS + 1000 * n) for n, (step, value) in enumerate(points)]


def system(name: str = "baseline", **more: Any) -> list[dict[str, Any]]:
    """Give what Neptune itself says of a run that took a minute."""
    return [
        row("sys/id", "string", "CH-1"),
        row("sys/name", "string", name),
        row("sys/owner", "string", "ann"),
        row("sys/failed", "bool", more.get("failed", False)),
        row("sys/creation_time", "datetime", START_MS),
        row("sys/ping_time", "datetime", START_MS + 60_000),
        row("sys/modification_time", "datetime", START_MS + 86_400_000),
        row("sys/tags", "string_set", ["v2", "best"]),
    ]


class Exported:
    """An export in a folder.

    Args:
        folder: Gets ``data`` and ``files``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True, exist_ok=True)

    def data(self, project: str = PROJECT) -> Path:
        """Give a project's folder of parts."""
        return self.folder / "data" / folder_name(project)

    def file(self, path: str, content: bytes | str, project: str = PROJECT) -> str:
        """Write a file, and give its path as the rows have it."""
        place = self.folder / "files" / folder_name(project) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def part(self, run: str, number: int = 0, project: str = PROJECT) -> Path:
        """Give where a part is."""
        return self.data(project) / f"{folder_name(run)}_part_{number}.parquet"

    def run(
        self, run: str, *parts: Sequence[Mapping[str, Any]], project: str = PROJECT, batch: int = 5000
    ) -> list[Path]:
        """Write the parts of a run, each batch of rows a row group."""
        written = []
        for number, rows in enumerate(parts):
            head = {"project_id": project, "run_id": run}
            path = self.part(run, number, project)
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(path, SCHEMA, compression="snappy") as writer:
                for start in range(0, max(len(rows), 1), batch):
                    some = [head | dict(made) for made in rows[start : start + batch]]
                    writer.write_batch(pa.RecordBatch.from_pylist(some, schema=SCHEMA))
            written.append(path)
        return written


def points(client: Any, run_id: str, metric: str) -> list[tuple[int, int, float | str]]:
    """Give the points of a metric as MLflow has them: step, time and value; NaN as a text, which equals itself."""
    history = client.get_metric_history(run_id, metric)
    return sorted((m.step, m.timestamp, "nan" if math.isnan(m.value) else m.value) for m in history)
