"""The rows of a run's parts, a batch at a time: what is no export, or damaged, is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from mlops_jupyter.tracking.neptune.layout import ExportedRun, Refused

#: Steps are counted in these in the export: six decimals.
MICRO = 1_000_000
# A batch has as many rows as fill about this much memory.
_BYTES, _MOST_ROWS = 8_000_000, 5_000
# Texts that come again in every row: each is read once.
_CODED = ("project_id", "run_id", "attribute_path", "attribute_type")
_AGAIN = "export the run again, or copy its parts anew"


@cache
def _schema() -> Any:
    import pyarrow as pa

    moment, numbers = pa.timestamp("ms", tz="UTC"), pa.list_(pa.float64())
    return pa.schema(
        [(name, pa.string()) for name in (*_CODED, "string_value")]
        + [
            ("step", pa.decimal128(18, 6)),
            ("timestamp", moment),
            ("int_value", pa.int64()),
            ("float_value", pa.float64()),
            ("bool_value", pa.bool_()),
            ("datetime_value", moment),
            ("string_set_value", pa.list_(pa.string())),
            ("file_value", pa.struct([("path", pa.string())])),
            ("histogram_value", pa.struct([("type", pa.string()), ("edges", numbers), ("values", numbers)])),
        ]
    )


class Rows:
    """A batch of rows.

    Args:
        batch: The record batch, its columns of the types that the exporter gives them.
    """

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self.paths, self._path_of = _coded(batch.column("attribute_path"))
        self._types, self._type_of = _coded(batch.column("attribute_type"))

    def __len__(self) -> int:
        """Give the number of rows."""
        return int(self._batch.num_rows)

    @property
    def has_gaps(self) -> bool:
        """Whether a row has no path, or no type."""
        return bool((self._path_of < 0).any() or (self._type_of < 0).any())

    @property
    def types(self) -> list[str]:
        """The types of the rows."""
        import numpy as np

        return [self._types[code] for code in np.unique(self._type_of)]

    def of_type(self, *types: str) -> Any:
        """Give the numbers of the rows of some types, as an array."""
        import numpy as np

        codes = [code for code, name in enumerate(self._types) if name in types]
        return np.flatnonzero(np.isin(self._type_of, codes))

    def codes(self, rows: Any) -> Any:
        """Give, for some rows, where in :attr:`paths` their paths stand."""
        return self._path_of[rows]

    def path(self, row: int) -> str:
        """Give a row's path."""
        return self.paths[int(self._path_of[row])]

    def kind(self, row: int) -> str:
        """Give a row's type."""
        return self._types[int(self._type_of[row])]

    def is_given(self, column: str) -> Any:
        """Tell of each row whether it has a value in a column, as an array."""
        return self._batch.column(column).is_valid().to_numpy(zero_copy_only=False)

    def value(self, column: str, row: int) -> Any:
        """Give one value as Python has it; times as milliseconds since 1970."""
        if column in ("timestamp", "datetime_value"):
            found = self._whole(column)
            return int(found[row]) if self._batch.column(column)[row].is_valid else None
        return self._batch.column(column)[row].as_py()

    @cached_property
    def steps(self) -> Any:
        """The steps in millionths, as an array; 0 where there is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        factor = pa.scalar(Decimal(MICRO), pa.decimal128(7, 0))
        whole = pc.cast(pc.multiply(self._batch.column("step"), factor), pa.int64())
        return whole.fill_null(0).to_numpy(zero_copy_only=False)

    @cached_property
    def times(self) -> Any:
        """The times in milliseconds since 1970, as an array; 0 where there is none."""
        return self._whole("timestamp")

    @cached_property
    def numbers(self) -> Any:
        """The values of series of numbers, as an array; NaN where there is none."""
        return self._batch.column("float_value").fill_null(float("nan")).to_numpy(zero_copy_only=False)

    def step(self, row: int) -> int | None:
        """Give a row's step in millionths, or None."""
        return int(self.steps[row]) if self._batch.column("step")[row].is_valid else None

    def _whole(self, column: str) -> Any:
        import pyarrow as pa

        return self._batch.column(column).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)

    @property
    def owners(self) -> tuple[list[str | None], list[str | None]]:
        """The projects and the runs that the rows are of."""
        import pyarrow.compute as pc

        projects, runs = (pc.unique(self._batch.column(name)).to_pylist() for name in ("project_id", "run_id"))
        return projects, runs


def _plain(column: Any) -> Any:
    return column.dictionary_decode() if hasattr(column, "dictionary_decode") else column


def _coded(column: Any) -> tuple[list[str], Any]:
    """Give the different values of a column, and for each row which it has; -1 for none."""
    coded = column if hasattr(column, "dictionary") else column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def read(run: ExportedRun) -> Iterator[Rows]:
    """Go through the rows of a run, part after part.

    Raises:
        Refused: A part is damaged, or no part of an export.
    """
    for part in run.parts:
        for batch in _batches(part):
            yield Rows(batch)


def _batches(part: Path) -> Iterator[Any]:
    import pyarrow as pa

    batches: Iterator[Any] | None = None
    while True:
        try:
            # Begun in here, since a damaged footer is noticed by the first call and damaged pages by any later one.
            batches = _opened(part) if batches is None else batches
            batch = next(batches)
            batch.validate(full=True)
        except StopIteration:
            return
        except (pa.ArrowException, OSError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
            if isinstance(error, Refused):
                raise
            said = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise Refused(f"{part.name} is damaged: {said[0][:300]}", _AGAIN) from error
        yield batch


def _opened(part: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(part) as whole:
        metadata, names = whole.metadata, whole.schema_arrow.names
    wanted = _schema()
    missing = [name for name in wanted.names if names.count(name) != 1]
    if missing:
        raise Refused(
            f"{part.name} is no part of an export: it has no column {missing[0]!r}",
            "neptune-exporter's own files have it: name the folder that it wrote to",
        )
    coded = [name for name in _CODED if whole.schema_arrow.field(name).type == wanted.field(name).type]
    # Left to itself pyarrow reads a whole row group ahead, and holds those that it has read until the last one.
    options = {"pre_buffer": False, "buffer_size": 1 << 16}
    with pq.ParquetFile(part, metadata=metadata, read_dictionary=coded, **options) as file:
        for number in range(metadata.num_row_groups):
            size = _rows_at_once(metadata.row_group(number))
            for batch in file.iter_batches(batch_size=size, row_groups=[number], columns=wanted.names):
                yield _cast(batch, wanted)


def _cast(batch: Any, wanted: Any) -> Any:
    """Give a batch its columns in the exporter's types; texts may stay coded."""
    import pyarrow as pa

    columns = []
    for field in wanted:
        column = batch.column(field.name)
        kind = getattr(column.type, "value_type", column.type) if field.name in _CODED else column.type
        columns.append(column if kind == field.type else _plain(column).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, names=wanted.names)


def _rows_at_once(group: Any) -> int:
    # What the footer says of single columns is left unread: pyarrow ends the process where that is damaged.
    weight = group.total_byte_size / max(group.num_rows, 1)
    return max(1, min(_MOST_ROWS, int(_BYTES / max(weight, 1))))


def identity(run: ExportedRun) -> tuple[str, str]:
    """Give the project and the run that the parts are of, as the first rows say.

    Raises:
        Refused: They don't, or the first part is damaged.
    """
    first = next(read(run), None)
    if first is None or not len(first):
        raise Refused(f"{run.parts[0].name} has no rows", _AGAIN)
    return owner(run, first)


def owner(run: ExportedRun, rows: Rows) -> tuple[str, str]:
    """Give the one project and the one run that rows are of.

    Raises:
        Refused: There is not one of each.
    """
    found: Sequence[list[str | None]] = rows.owners
    (project, *others), (name, *more) = found[0] or [None], found[1] or [None]
    if others or more:
        raise Refused(f"{run.label} has rows of more than one run in it", _AGAIN)
    if not project or not name:
        raise Refused(f"{run.label} does not say which project and run it is of", _AGAIN)
    return project, name
