"""The cells of runs that are open: a file a run, appended to as cells end, delivered as artifacts now and then."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

    def add(self, run: str, cell: Mapping[str, Any]) -> None:
        """Keep one more cell of a run; safe from any signal when this returns.

        Raises:
            OSError: It can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(cell).encode() + b"\n"
        with self._path(run).open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if file.write(line) != len(line):
                file.truncate(size)  # the next one must not go on in the middle of its line
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path(run)))

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
