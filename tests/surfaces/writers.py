"""A process that logs numbered metrics and says so, to be killed at any moment; and what MLflow must know afterwards.

Run as a program it imports MLflow once and forks a writer whenever it is told to, which spares each of hundreds of
rounds the seconds of the import.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from driving import environment, until

PROGRAM = """
import os, signal, sys
import mlflow, mlops_jupyter
from mlops_jupyter.tracking import log

def write(number):
    said = os.open(f"said-{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    tell = lambda *words: os.write(said, (" ".join(map(str, words)) + "\\n").encode())
    for round in range(1_000_000):
        run = mlops_jupyter.run(f"run-{number}-{round}")
        with run as opened:
            tell("run", opened.run_id)
            log.log_param("number", number)
            tell("param", opened.run_id)
            for step in range(round * 40 + 60):
                # Every third point is like the one before it in step and value.
                log.log_metric("n", float(step // 3), step // 3)
                tell("point", opened.run_id, step)
            log.log_tag("done", round)
            tell("tag", opened.run_id)
        tell("ended", opened.run_id)

for line in sys.stdin:
    number = int(line)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        try:
            write(number)
        finally:
            os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


class Writers:
    """Starts writers in a folder, kills them, and knows what they have said.

    Args:
        place: The workspace.
        variables: Of the environment.
    """

    def __init__(self, place: Path, **variables: str) -> None:
        self._place = place
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=place,
            env=environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self, number: int, seconds: float, *, begun: bool = True) -> None:
        """Let a writer write for some seconds, and kill it.

        Args:
            number: Which writer.
            seconds: How long.
            begun: Counted from its first run; else from its start, most of which opens the store.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if begun:
            until(lambda: self.said(number), "the writer has begun")
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        ended = self._process.stdout.readline()
        assert ended == "gone\n", ended

    def said(self, number: int) -> dict[str, dict[str, int]]:
        """Give, by run, how many points were acknowledged, and whether param, tag and end were."""
        return said_in(self._place / f"said-{number}")

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def said_in(path: Path) -> dict[str, dict[str, int]]:
    """Give, by run, how many points were acknowledged, and whether param, tag and end were, by a writer's file."""
    found: dict[str, dict[str, int]] = {}
    lines = path.read_text().splitlines() if path.exists() else []
    for kind, run, *rest in map(str.split, lines):
        known = found.setdefault(run, {"points": 0, "param": 0, "tag": 0, "ended": 0})
        if kind == "point":
            known["points"] = int(rest[0]) + 1
        elif kind != "run":
            known[kind] = 1
    return found


def points(client: object, run_id: str) -> list[tuple[int, float]]:
    """Give all points of the numbered metric, as MLflow's client has them."""
    history = client.get_metric_history(run_id, "n")  # type: ignore[attr-defined]
    return sorted((point.step, point.value) for point in history)


def expected(count: int) -> list[tuple[int, float]]:
    """Give the points that so many calls have made."""
    return [(step // 3, float(step // 3)) for step in range(count)]


__all__ = ["Writers", "expected", "points", "said_in"]
