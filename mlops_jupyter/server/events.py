"""Events for the sidebar: something has changed, whoever changed it.

Kernels, shells and other servers write to a workspace without telling this one, so the files that they write to are
watched: a handful of ``stat`` calls a second for the workspaces that somebody looks at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SCHEMA_ID = "https://mlops-jupyter.github.io/events/change/v1"
SCHEMA_FILE = Path(__file__).parent / "change.v1.yaml"

# How long a workspace is watched after somebody asked for its status, seconds.
_PATIENCE = 600.0

_FILES = {
    "runs": ("mlflow.db", "mlflow.db-wal"),
    "models": ("ledger.db", "ledger.db-wal", "mlflow.db", "mlflow.db-wal"),
    "snapshots": ("objects/records/snapshots",),
    "pipelines": ("pipelines",),
}


class Watcher:
    """Watches workspaces.

    Args:
        emit: Takes an event.
    """

    def __init__(self, emit: Callable[[Mapping[str, Any]], None]) -> None:
        self._emit = emit
        self._asked: dict[Path, float] = {}
        self._seen: dict[tuple[Path, str], tuple[Any, ...]] = {}

    def watch(self, root: Path) -> None:
        """Watch a workspace for the next minutes."""
        new = root not in self._asked
        self._asked[root] = time.monotonic()
        if new:
            for topic in _FILES:
                self._seen[root, topic] = _stamp(root, topic)

    def look(self) -> None:
        """Emit an event for every topic that has changed since the last look."""
        now = time.monotonic()
        for root in [root for root, asked in self._asked.items() if now - asked > _PATIENCE]:
            del self._asked[root]
        for root in self._asked:
            for topic in _FILES:
                stamp = _stamp(root, topic)
                if stamp != self._seen.get((root, topic)):
                    self._seen[root, topic] = stamp
                    self._emit({"workspace": str(root), "topic": topic})


def _stamp(root: Path, topic: str) -> tuple[Any, ...]:
    paths = [root / ".mlops" / name for name in _FILES[topic]]
    if topic == "pipelines" and paths[0].is_dir():
        # A run appends to its own log, which leaves the folder's time alone; only the newest can be going on.
        paths += sorted(paths[0].glob("*/events.jsonl"))[-2:]
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(found)
