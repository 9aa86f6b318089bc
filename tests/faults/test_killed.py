"""Processes that are killed while they log: what they were told is kept is kept, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from driving import environment, mlops
from writers import Writers, expected, points, said_in

from mlops_jupyter import Workspace
from mlops_jupyter.config import load


def _settings(place: Path, uri: str | None) -> None:
    line = f'uri = "{uri}"\n' if uri else ""
    (place / "mlops.toml").write_text(f'[tracking]\nexperiment = "{place.name}-{os.getpid()}"\n{line}')


def _killed_rounds(place: Path, uri: str | None, rounds: int, seed: int) -> None:
    """Kill a writer so many times at random moments, open the workspace after each, and compare at the end."""
    chance = random.Random(seed)
    _settings(place, uri)
    Workspace.open(place).tracking.create()
    writers = Writers(place)
    try:
        for number in range(rounds):
            writers.round(number, chance.uniform(0.0, 0.6), begun=chance.random() < 0.9)
            if chance.random() < 0.5:
                Workspace.open(place)
    finally:
        writers.close()
    workspace = Workspace.open(place)
    assert workspace.status().to_json()["backlog"] == 0
    said = {run: known for number in range(rounds) for run, known in writers.said(number).items()}
    assert said, "nothing was logged at all"
    for run_id, known in said.items():
        _compare(workspace, run_id, known)
    assert len(workspace.runs.find(limit=10_000)) >= len(said)
    assert not list((place / ".mlops" / "queue").glob("*.jsonl"))


def _compare(workspace: Workspace, run_id: str, known: dict[str, int]) -> None:
    run = workspace.runs.get(run_id)
    found = points(workspace.tracking.client, run.run_id)
    # One call more may have been accepted than the writer had time to say.
    assert found in (expected(known["points"]), expected(known["points"] + 1)), (run_id, len(found), known)
    assert run.status == ("FINISHED" if known["ended"] else run.status)
    assert run.status in ("FINISHED", "KILLED")
    assert ("number" in run.params) or not known["param"]
    assert ("done" in run.tags) or not known["tag"]


def test_what_a_killed_process_has_logged_is_there_once(tmp_path: Path, store_uri: str | None) -> None:
    """After SIGKILL at any moment every acknowledged point is in MLflow once, and the open run is KILLED."""
    _killed_rounds(tmp_path, store_uri, rounds=6, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_two_hundred_kills_lose_and_double_nothing(tmp_path: Path, store_uri: str | None) -> None:
    """The same, two hundred times."""
    _killed_rounds(tmp_path, store_uri, rounds=200, seed=2)


_PROGRAM = """
import os, signal, sys, time
import mlops_jupyter
from mlops_jupyter.tracking import log
from mlops_jupyter.tracking.queue.journal import Delivered

def arm():
    Delivered.note = lambda *position: os.kill(os.getpid(), signal.SIGKILL)

def write():
    said = os.open("said-0", os.O_WRONLY | os.O_CREAT)
    with mlops_jupyter.run("killed") as run:
        os.write(said, f"run {run.run_id}\\n".encode())
        for step in range(200):
            if step == 100:
                arm()
            log.log_metric("n", float(step // 3), step // 3)
            os.write(said, f"point {run.run_id} {step}\\n".encode())
        time.sleep(60)
"""


def _killed(place: Path, last: str) -> None:
    """Run the program with a last line that is the death of it."""
    program = [sys.executable, "-c", f"{_PROGRAM}\n{last}"]
    done = subprocess.run(program, cwd=place, env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL


def test_whoever_delivers_may_be_killed_as_well(tmp_path: Path) -> None:
    """One that is killed between MLflow's answer and its own note leaves a batch that is sent again, never doubled."""
    _settings(tmp_path, None)
    Workspace.open(tmp_path).tracking.create()
    for last in ("write()", "arm(); mlops_jupyter.Workspace.open()", "arm(); mlops_jupyter.Workspace.open()"):
        _killed(tmp_path, last)
    workspace = Workspace.open(tmp_path)
    ((run_id, known),) = said_in(tmp_path / "said-0").items()
    assert known["points"] >= 100
    _compare(workspace, run_id, known)


def test_any_verb_of_the_shell_brings_the_rest_to_mlflow(tmp_path: Path) -> None:
    """The next process that opens the workspace is, most of the time, somebody who looks what happened."""
    _settings(tmp_path, None)
    _killed(tmp_path, "arm = lambda: os.kill(os.getpid(), signal.SIGKILL); write()")
    ((run_id, known),) = said_in(tmp_path / "said-0").items()
    assert known["points"] == 100
    (row,) = json.loads(mlops("runs", "--json", cwd=tmp_path).out)["rows"]
    assert (row["run_id"], row["status"]) == (run_id, "KILLED")
    _compare(Workspace(load(tmp_path)), run_id, known)
