"""Processes that are killed while they log: what they were told is kept is kept, once."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from driving import mlops
from writers import Writers, expected, points

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


def test_whoever_delivers_may_be_killed_as_well(tmp_path: Path) -> None:
    """A replay that is killed between MLflow's answer and its own note is begun again, and doubles nothing."""
    _settings(tmp_path, None)
    Workspace.open(tmp_path).tracking.create()
    writers = Writers(tmp_path)
    try:
        writers.round(0, 0.6)
    finally:
        writers.close()
    killing = "from mlops_jupyter.tracking.queue.journal import Delivered; import os, signal\n"
    killing += "Delivered.note = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
    killing += "import mlops_jupyter; mlops_jupyter.Workspace.open()"
    import subprocess
    import sys

    from driving import environment

    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", killing], cwd=tmp_path, env=environment(), check=False)
        assert done.returncode == -9
    workspace = Workspace.open(tmp_path)
    for run_id, known in writers.said(0).items():
        _compare(workspace, run_id, known)


def test_any_verb_of_the_shell_brings_the_rest_to_mlflow(tmp_path: Path) -> None:
    """The next process that opens the workspace is, most of the time, somebody who looks what happened."""
    _settings(tmp_path, None)
    Workspace.open(tmp_path).tracking.create()
    writers = Writers(tmp_path)
    try:
        writers.round(0, 0.5)
    finally:
        writers.close()
    runs = {row["run_id"]: row["status"] for row in json.loads(mlops("runs", "--json", cwd=tmp_path).out)["rows"]}
    said = writers.said(0)
    assert {runs[run_id] for run_id in said} <= {"FINISHED", "KILLED"}
    assert any(status == "KILLED" for status in runs.values()) or all(known["ended"] for known in said.values())
    for run_id, known in said.items():
        _compare(Workspace(load(tmp_path)), run_id, known)
