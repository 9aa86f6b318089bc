"""Measuring one way against another: several rounds, interleaved, so that a slow moment of the machine hits both.

A benchmark is a function that prepares and gives what is done in a round: two callables, ours and the peer's, or a
function that has measured both. What counts is their ratio.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psutil

Work = Callable[[], object]
_PACKAGES = ("mlops-jupyter", "mlflow", "pandas", "numpy", "pyarrow", "scikit-learn")
_SETTINGS = ("MLFLOW_", "_MLFLOW_", "MLOPS_", "JPY_", "PAPERMILL_")


class Seconds(float):
    """What a callable returns that has measured itself, in another process say."""


class Found(NamedTuple):
    """What one round has found for one row: ours, and the peer's where there is one, in the row's unit."""

    ours: float
    peer: float | None


#: What is done in a round: gives what was found, a value a row.
Round = Callable[[], Sequence[Found]]


@dataclass(frozen=True)
class Pair:
    """Two ways to do the same, timed in turn: a round of a benchmark with one row.

    Args:
        ours: Ours.
        peer: The other.
    """

    ours: Work
    peer: Work

    def __call__(self) -> Sequence[Found]:
        """Carry out both."""
        return [Found(_timed(self.ours), _timed(self.peer))]


def _timed(work: Work) -> float:
    began = time.perf_counter()
    told = work()
    return told if isinstance(told, Seconds) else time.perf_counter() - began


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        what: What is done.
        against: What the peer is.
        aim: What is to be reached, in words.
        name: What is added to the benchmark's name, where that has several rows.
        unit: What is measured: ``s`` or ``MB``.
        compared: Whether ours is meant to be less than the peer's; else that is there to be looked at.
    """

    what: str
    against: str
    aim: str
    name: str = ""
    unit: str = "s"
    compared: bool = True


@dataclass(frozen=True)
class Outcome:
    """What was measured: the medians of the rounds, and their ratio.

    Args:
        name: Which row it is.
        what: What was done.
        ours: Ours, for one unit of work.
        peer: The peer's; None where there is none.
        against: What the peer is.
        ratio: How many times less ours is; None where the two are not compared.
        aim: What is to be reached, in words.
        unit: Of ours and the peer's: ``s`` or ``MB``.
        rounds: How often each was done.
    """

    name: str
    what: str
    ours: float
    peer: float | None
    against: str
    ratio: float | None
    aim: str
    unit: str
    rounds: int


@dataclass(frozen=True)
class Benchmark:
    """Something that is measured.

    Args:
        prepare: Gives what is done in a round; it is given an empty folder.
        rows: What a round finds, in its order.
        rounds: How many there are.
    """

    prepare: Callable[[Path], Round]
    rows: Sequence[Row]
    rounds: int = 5

    def run(self, name: str, folder: Path) -> list[Outcome]:
        """Measure.

        Args:
            name: The benchmark's.
            folder: An empty one.
        """
        carry_out = self.prepare(folder)
        rounds = [carry_out() for _ in range(self.rounds)]
        return [
            self._outcome(name, row, found) for row, found in zip(self.rows, zip(*rounds, strict=True), strict=True)
        ]

    def _outcome(self, name: str, row: Row, found: Sequence[Found]) -> Outcome:
        mine = statistics.median(one.ours for one in found)
        peers = [one.peer for one in found if one.peer is not None]
        theirs = statistics.median(peers) if peers else None
        ratio = _rounded(theirs / mine) if theirs is not None and row.compared else None
        return Outcome(
            "-".join(filter(None, (name, row.name))),
            row.what,
            _rounded(mine),
            _rounded(theirs) if theirs is not None else None,
            row.against,
            ratio,
            row.aim,
            row.unit,
            self.rounds,
        )


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


def in_child(work: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a new process, that has imported nothing of what it uses.

    Args:
        work: The function; at the top of a module.
        arguments: What it is given.

    Returns:
        What it returned.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        return child.submit(work, *arguments).result()


def memory() -> float:
    """Give the megabytes of memory that this process has now."""
    return psutil.Process().memory_info().rss / 1e6


def most_memory() -> float:
    """Give the megabytes of memory that this process has had at the most."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands the parent's maximum down to a child through getrusage, and a parent that has had a gigabyte
        # would hide all that the child does.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def forget_settings() -> None:
    """Take away what the environment says to MLflow and to us: what is measured is what they are as they come."""
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        del os.environ[name]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"


def machine() -> dict[str, str]:
    """Tell what kind of machine this is, and nothing that tells which."""
    return {
        "cpu": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Give the versions that are measured."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def measured(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Give outcomes as JSON has them, with the day, machine and versions."""
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "rows": [asdict(found) for found in outcomes],
    }


def as_json(found: Mapping[str, Any]) -> str:
    """Write what was measured as a file has it."""
    return json.dumps(found, indent=1, ensure_ascii=False)
