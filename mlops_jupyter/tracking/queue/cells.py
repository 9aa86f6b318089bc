"""The cells of runs that are open: a file a run, appended to as cells end, delivered as artifacts now and then."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_jupyter.tracking.queue.appending import append_line

#: The run's cells as records, and as one source, among its artifacts.
RECORDS, SOURCE = "mlops/cells.json", "mlops/cell.py"


class Cells:
    """Keeps the cells of runs until the store has all of them.

    Rewriting an artifact after each cell would take longer than most cells, and longer with each one.

    Args:
        folder: ``.mlops/queue/cells``; made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Opened once: to open a file lets other threads in, and each of them holds up the cell.
        self._handles: dict[str, int] = {}

    def add(self, run: str, cell: Mapping[str, Any], *, last: bool) -> None:
        """Keep one more cell of a run; safe from any signal when this returns.

        Args:
            run: The run's id.
            cell: The cell's record.
            last: Whether the run has ended with it.

        Raises:
            OSError: It can't be written.
        """
        handle = self._handles.get(run)
        if handle is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path(run), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._handles[run] = handle
        try:
            append_line(handle, json.dumps(cell).encode() + b"\n", self._path(run))
        finally:
            if last:
                os.close(self._handles.pop(run))

    def close(self) -> None:
        """Let go of the files that are open."""
        while self._handles:
            os.close(self._handles.popitem()[1])

    def of(self, run: str) -> list[dict[str, Any]]:
        """Give the cells of a run that are kept here; none where the store has all of them."""
        try:
            lines = self._path(run).read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        # A process that was killed in the middle of a line had not been told that it was kept.
        found = (_read(line) for line in lines if line.endswith(b"\n"))
        return [cell for cell in found if cell is not None]

    def runs(self) -> set[str]:
        """Give the runs that have cells here."""
        return {path.stem for path in self._folder.glob("*.jsonl")}

    def texts(self, run: str) -> dict[str, str]:
        """Give the artifacts that tell a run's cells; none where there is nothing new."""
        cells = self.of(run)
        if not cells:
            return {}
        return {RECORDS: json.dumps(cells, indent=1), SOURCE: "\n\n".join(cell["source"] for cell in cells)}

    def forget(self, run: str) -> None:
        """Take a run's cells away: the store has all of them."""
        self._path(run).unlink(missing_ok=True)

    def _path(self, run: str) -> Path:
        # MLflow's ids have no more than these; one that came from the environment may have anything.
        return self._folder / f"{re.sub(r'[^0-9A-Za-z_-]', '_', run)}.jsonl"


def _read(line: bytes) -> dict[str, Any] | None:
    """Read a cell; None where it is none, as after a machine that lost its power."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and isinstance(said.get("source"), str) else None
