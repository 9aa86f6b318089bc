"""Stores for tests: databases that need no migration, and what opens a workspace on one store or another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from mlops_jupyter import Workspace

Opening = Callable[..., Workspace]


def copied_database(place: Path, target: Path) -> None:
    """Copy a workspace's database, which spares MLflow the seconds of migrating an empty one."""
    source = Workspace.open(place)
    source.tracking.create()
    with sqlite3.connect(place / ".mlops" / "mlflow.db") as ours, sqlite3.connect(target) as copy:
        ours.backup(copy)
    ours.close()
    copy.close()
