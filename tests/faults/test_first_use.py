"""First use of an empty workspace: by many at once, and by one that is killed on the way."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_jupyter import Workspace

LOG = """
import mlops_jupyter
with mlops_jupyter.run("{name}"):
    mlops_jupyter.log_metric("n", {n})
"""


def process(folder: Path, n: int, **environment: str) -> subprocess.Popen[str]:
    """Start a process that logs one run."""
    return subprocess.Popen(
        [sys.executable, "-c", LOG.format(name=f"run-{n}", n=n)],
        cwd=folder,
        env=os.environ | {"MLOPS_WORKSPACE": str(folder)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def metrics(folder: Path) -> dict[str, float]:
    return {row["name"]: row["metrics"]["n"] for row in Workspace.open(folder).runs.search(limit=1000).rows}


def test_many_first_uses_at_once_lose_nothing(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Processes that make the template, the database and the experiment at the same instant all succeed."""
    cache = str(tmp_path_factory.mktemp("cache"))
    started = [process(folder, n, XDG_CACHE_HOME=cache) for n in range(5)]
    for each in started:
        _, said = each.communicate(timeout=180)
        assert each.returncode == 0, said[-2000:]
    assert metrics(folder) == {f"run-{n}": float(n) for n in range(5)}


def kill_rounds(folder: Path, cache: Path, rounds: int) -> None:
    """Kill a first use at a random moment, then see that the next one finds everything whole."""
    choose = random.Random(4)
    for n in range(rounds):
        each = process(folder, n, XDG_CACHE_HOME=str(cache))
        time.sleep(choose.uniform(0.3, 4.0))
        each.send_signal(signal.SIGKILL)
        each.communicate()
        for template in cache.glob("mlops-jupyter/*.db"):
            with sqlite3.connect(template) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert connection.execute("SELECT count(*) FROM experiments").fetchone() == (0,)
            connection.close()
    last = process(folder, 1000, XDG_CACHE_HOME=str(cache))
    _, said = last.communicate(timeout=180)
    assert last.returncode == 0, said[-2000:]
    rows = Workspace.open(folder).runs.search(limit=1000).rows
    assert len({row["run_id"] for row in rows}) == len(rows)
    assert "run-1000" in {row["name"] for row in rows}


def test_a_first_use_that_is_killed_leaves_nothing_half_made(folder: Path, tmp_path: Path) -> None:
    """SIGKILL while the template or the database is made: the next process starts as if nothing had been."""
    kill_rounds(folder, tmp_path / "cache", 4)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_first_uses_that_are_killed_leave_nothing_half_made(folder: Path, tmp_path: Path) -> None:
    """The same, many times."""
    kill_rounds(folder, tmp_path / "cache", 60)
