"""Points of metrics, beside MLflow's: how long a call takes, and how long until MLflow has what was logged."""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from measure import Found, Round, in_child, memory, most_memory

#: At least so many calls of ours, and for at least so long, of both.
CALLS, LONG = 20_000, 3.0
POINTS, FEW, PEERS_POINTS = 100_000, 10_000, 2_000
# What a loop does besides: a step of training, say, which lets other threads run.
_STEP = 5e-5


def calls(folder: Path) -> Round:
    """One call in a loop that logs, while what was logged is delivered."""

    def carry_out() -> Sequence[Found]:
        ours = in_child(_our_calls, tempfile.mkdtemp(dir=folder))
        peer = in_child(_peers_calls, tempfile.mkdtemp(dir=folder))
        return [Found(mine, theirs) for mine, theirs in zip(ours, peer, strict=True)]

    return carry_out


def _our_calls(folder: str) -> tuple[float, float]:
    from mlops_jupyter import Workspace, log_metric

    database = Path(folder) / ".mlops" / "mlflow.db"
    with Workspace.open(Path(folder)).run("ours"):
        taken = _loop(log_metric, CALLS)
        meanwhile = _count(database)
    assert meanwhile > 0, "nothing was delivered while the loop ran: what was measured is not what is said"
    assert _count(database) == len(taken)
    return statistics.median(taken), statistics.mean(taken)


def _peers_calls(folder: str) -> tuple[float, float]:
    os.chdir(folder)
    import mlflow

    with mlflow.start_run():
        taken = _loop(mlflow.log_metric, 1)
    assert _count(Path("mlflow.db")) == len(taken)
    return statistics.median(taken), statistics.mean(taken)


def _loop(log: Callable[..., Any], least: int) -> list[float]:
    """Call again and again, and give the seconds of each call."""
    taken: list[float] = []
    until = time.perf_counter() + LONG
    while len(taken) < least or time.perf_counter() < until:
        step = len(taken)
        loss = 1 / (step + 1)
        began = time.perf_counter()
        log("loss", loss, step=step)
        taken.append(time.perf_counter() - began)
        time.sleep(_STEP)
    return taken


def _count(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        found: tuple[int] = connection.execute("SELECT count(*) FROM metrics WHERE key = 'loss'").fetchone()
    return found[0]


def delivered(folder: Path) -> Round:
    """Points of one run until MLflow's client can read them, and the memory that they take meanwhile."""

    def carry_out() -> Sequence[Found]:
        ours, most = in_child(_our_points, tempfile.mkdtemp(dir=folder), POINTS)
        _, most_of_few = in_child(_our_points, tempfile.mkdtemp(dir=folder), FEW)
        peer = in_child(_peers_points, tempfile.mkdtemp(dir=folder), PEERS_POINTS)
        return [Found(ours, peer), Found(most, most_of_few)]

    return carry_out


def _our_points(folder: str, count: int) -> tuple[float, float]:
    """Give the seconds a point, and the megabytes by which the process has grown at the most."""
    from mlflow import MlflowClient

    from mlops_jupyter import Workspace, log_metric

    with Workspace.open(Path(folder)).run("ours") as run:
        before = memory()
        began = time.perf_counter()
        for step in range(count):
            log_metric("loss", 1 / (step + 1), step)
    took = time.perf_counter() - began
    grown = most_memory() - before
    assert len(MlflowClient().get_metric_history(run.run_id, "loss")) == count
    return took / count, grown


def _peers_points(folder: str, count: int) -> float:
    os.chdir(folder)
    import mlflow

    with mlflow.start_run() as run:
        began = time.perf_counter()
        for step in range(count):
            mlflow.log_metric("loss", 1 / (step + 1), step=step, synchronous=False)
        mlflow.flush_async_logging()
        took = time.perf_counter() - began
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")) == count
    return took / count
