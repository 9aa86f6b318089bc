"""Measuring one way against another: several rounds, interleaved, so that a slow moment of the machine hits both.

A benchmark is a function that prepares and gives two callables, ours and the peer's; what counts is their ratio.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

Work = Callable[[], object]


class Seconds(float):
    """What a callable returns that has measured itself, in another process say."""


@dataclass(frozen=True)
class Pair:
    """Two ways to do the same.

    Args:
        ours: Ours.
        peer: The other.
        units: How many units of work one call of ours does; times are told for one.
        peer_units: The same, for the peer.
    """

    ours: Work
    peer: Work
    units: int = 1
    peer_units: int = 1


@dataclass(frozen=True)
class Outcome:
    """What was measured: median seconds for a unit of work, and their ratio.

    Args:
        name: What was done.
        peer: Against what.
        seconds: Ours.
        peer_seconds: The peer's.
        ratio: How many times less ours takes.
        rounds: How often each was done.
        aim: What is to be reached, in words.
    """

    name: str
    peer: str
    seconds: float
    peer_seconds: float
    ratio: float
    rounds: int
    aim: str


@dataclass(frozen=True)
class Benchmark:
    """One row of the table.

    Args:
        name: What is done.
        peer: Against what.
        aim: What is to be reached, in words.
        prepare: Gives the two ways; it is given an empty folder.
        rounds: How often each is done.
    """

    name: str
    peer: str
    aim: str
    prepare: Callable[[Path], Pair]
    rounds: int = 5

    def run(self, folder: Path) -> Outcome:
        """Measure."""
        pair = self.prepare(folder)
        ours, peer = [], []
        for _ in range(self.rounds):
            ours.append(_timed(pair.ours) / pair.units)
            peer.append(_timed(pair.peer) / pair.peer_units)
        mine, theirs = statistics.median(ours), statistics.median(peer)
        return Outcome(self.name, self.peer, mine, theirs, theirs / mine, self.rounds, self.aim)


def _timed(work: Work) -> float:
    began = time.perf_counter()
    told = work()
    return told if isinstance(told, Seconds) else time.perf_counter() - began


def machine() -> dict[str, str]:
    """Name the machine and the versions that numbers were measured with."""
    packages = ("mlops-jupyter", "mlflow", "pandas", "numpy", "pyarrow", "scikit-learn")
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def as_markdown(outcomes: list[Outcome]) -> str:
    """Write outcomes as the table of the README."""
    lines = ["| what | ours | peer | | times less |", "|---|---|---|---|---|"]
    for found in outcomes:
        times = f"{shown(found.seconds)} | {shown(found.peer_seconds)} | {found.peer} | {found.ratio:.3g}"
        lines.append(f"| {found.name} | {times} |")
    known = ", ".join(f"{name} {value}" for name, value in machine().items())
    return "\n".join([*lines, "", f"Measured with {known}."])


def as_json(outcomes: list[Outcome]) -> str:
    """Write outcomes with machine and versions."""
    return json.dumps({"machine": machine(), "outcomes": [asdict(found) for found in outcomes]}, indent=1)


def shown(seconds: float) -> str:
    """Give a time in the unit that fits it."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError("the last unit takes everything")
