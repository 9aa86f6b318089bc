"""Many processes at one workspace, processes that are forked, and disks that are full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from driving import environment, python
from writers import expected, points

from mlops_jupyter import Workspace

WRITER = """
import sys, mlops_jupyter
from mlops_jupyter.tracking import log
number = int(sys.argv[1])
with mlops_jupyter.run(f"w{number}", params={"number": number}) as run:
    for i in range(400):
        log.log_metric("n", float(i // 3), i // 3)
        if i % 100 == 0:
            log.log_tag(f"t{i}", number)
    with mlops_jupyter.run("child", nested=True):
        log.log_metric("m", number)
"""


def test_sixteen_processes_log_at_once(tmp_path: Path) -> None:
    """Everything of everybody is there once, and nobody is told that a database is locked."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(number)],
            cwd=tmp_path,
            env=environment(MLOPS_WORKSPACE=str(tmp_path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(16)
    ]
    for process in processes:
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, said
        assert "locked" not in said
    workspace = Workspace.open(tmp_path)
    runs = {run.name: run for run in workspace.runs.find(limit=100) if run.name != "child"}
    children = [run for run in workspace.runs.find(limit=100) if run.name == "child"]
    assert sorted(runs) == sorted(f"w{number}" for number in range(16))
    assert sorted(run.metrics["m"] for run in children) == [float(number) for number in range(16)]
    for number in range(16):
        run = runs[f"w{number}"]
        assert (run.status, run.params["number"]) == ("FINISHED", str(number))
        assert {run.tags[f"t{i}"] for i in (0, 100, 200, 300)} == {str(number)}
        assert points(workspace.tracking.client, run.run_id) == expected(400)
    assert not list((tmp_path / ".mlops" / "queue").glob("*.jsonl"))


def test_a_process_that_is_forked_off_logs_to_the_run(tmp_path: Path) -> None:
    """Workers of a pool write to the run of whoever forked them, and leave its journal alone."""
    code = """
import multiprocessing, mlops_jupyter
from mlops_jupyter.tracking import log
def work(number):
    for i in range(50):
        log.log_metric(f"m{number}", float(i), i)
with mlops_jupyter.run("forking") as run:
    log.log_metric("n", 0.0, 0)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.map(work, range(6))
    log.log_metric("n", 0.0, 0)
print(run.run_id)
"""
    run_id = python(code, tmp_path, MLOPS_WORKSPACE=str(tmp_path)).strip()
    workspace = Workspace.open(tmp_path)
    client = workspace.tracking.client
    assert workspace.runs.get(run_id).status == "FINISHED"
    assert points(client, run_id) == [(0, 0.0), (0, 0.0)]
    for number in range(6):
        history = client.get_metric_history(run_id, f"m{number}")
        assert sorted(point.step for point in history) == list(range(50))


FULL = """
import resource, signal, mlops_jupyter
from mlops_jupyter.errors import StoreError
from mlops_jupyter.tracking import log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with mlops_jupyter.run("full") as run:
    workspace_queue = run.tracking.queue
    log.log_metric("n", 0.0, 0)
    workspace_queue.settle()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    kept = 1
    try:
        for i in range(1, 100_000):
            log.log_metric("n", float(i // 3), i // 3)
            kept += 1
    except StoreError as error:
        print(error.message)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.log_metric("after", 1)
print(run.run_id, kept)
"""


def test_a_full_disk_is_an_error_at_the_call(tmp_path: Path) -> None:
    """What could not be kept is told when it is logged; what was kept before is all there, and so is what follows."""
    told, last = python(FULL, tmp_path, MLOPS_WORKSPACE=str(tmp_path)).strip().splitlines()
    run_id, kept = last.split()
    assert "No space left" in told or "too large" in told
    workspace = Workspace.open(tmp_path)
    assert 10 < int(kept) < 100_000
    assert points(workspace.tracking.client, run_id) == expected(int(kept))
    assert workspace.runs.get(run_id).metrics["after"] == 1.0


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql+psycopg2://ann:hunter2@127.0.0.1:9/x"])
def test_a_backlog_goes_where_it_was_meant_to_go(tmp_path: Path, uri: str) -> None:
    """What was logged for one store is not given to another that the workspace has since."""
    (tmp_path / "mlops.toml").write_text(f'[tracking]\nuri = "{uri}"\n')
    code = "import mlops_jupyter\nwith mlops_jupyter.run('elsewhere'): mlops_jupyter.log_metric('n', 1)"
    python(code, tmp_path)
    (tmp_path / "mlops.toml").write_text("[tracking]\n")
    workspace = Workspace.open(tmp_path)
    status = workspace.status().to_json()
    assert status["backlog"] > 0
    assert workspace.runs.find() == []
    assert "hunter2" not in "".join(path.read_text() for path in (tmp_path / ".mlops" / "queue").glob("*.*"))
