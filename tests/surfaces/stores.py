"""Stores for tests: databases that need no migration, a real MLflow server, and what opens a workspace on either."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from driving import environment, free_port, until

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


class MlflowServer:
    """A real `mlflow server` on the loopback, with a SQLite of its own; it may be stopped and started again."""

    def __init__(self, place: Path) -> None:
        self._place = place
        (place / "seed").mkdir()
        copied_database(place / "seed", place / "server.db")
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it, wait until it answers, and give its address."""
        place = self._place
        words = ["server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{place / 'server.db'}"]
        words += ["--artifacts-destination", str(place / "kept")]
        with (place / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                cwd=place,
                env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, "the MLflow server answers", 120)
        return self.uri

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._place / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # Its workers are children of their own; all of them are in the session that was made for it.
        os.killpg(self._process.pid, number)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
