"""Which run a call writes to: a cell's, a step's, one of MLflow's own, and none by mistake."""

from __future__ import annotations

import asyncio
import multiprocessing.pool
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest

import mlops_jupyter
from mlops_jupyter import Workspace
from mlops_jupyter.errors import ConflictError, StoreError
from mlops_jupyter.tracking import active, client
from mlops_jupyter.tracking.queue.queue import Queue


@pytest.fixture
def step(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make this process look like a pipeline's step, whose run somebody else has begun."""
    run_id = workspace.tracking.begin("step")
    for name, value in workspace.tracking.child_environment(run_id).items():
        monkeypatch.setenv(name, value)
    return run_id


def test_asking_changes_nothing(workspace: Workspace, step: str) -> None:
    """``mlops status`` in a step names the step's run and leaves it RUNNING."""
    done = subprocess.run(
        [sys.executable, "-m", "mlops_jupyter.cli", "status"], capture_output=True, text=True, timeout=120
    )
    assert step[:8] in done.stdout
    assert workspace.tracking.client.get_run(step).info.status == "RUNNING"


def test_a_step_writes_to_its_run(workspace: Workspace, step: str) -> None:
    """What a step logs, through us or through MLflow, is in the run that was begun for it."""
    code = (
        "import mlflow, mlops_jupyter\n"
        "mlops_jupyter.log_metric('ours', 1)\n"
        "mlflow.log_metric('theirs', 2)\n"
        "mlops_jupyter.log_param('after', 3)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=dict(os.environ))
    run = workspace.runs.get(step)
    assert (dict(run.metrics), dict(run.params)) == ({"ours": 1.0, "theirs": 2.0}, {"after": "3"})


def test_a_run_in_a_step_is_its_child(workspace: Workspace, step: str) -> None:
    """A run opened in a step is another run: refused without ``nested``, a child with it, and the step's stays open."""
    with pytest.raises(ConflictError, match="active already"), workspace.run("child"):
        pytest.fail("the block must not be entered")
    with workspace.run("child", nested=True) as child:
        mlops_jupyter.log_metric("inner", 1)
    mlops_jupyter.log_metric("outer", 2)
    assert child.run_id != step
    assert workspace.runs.get(child.run_id).tags["mlflow.parentRunId"] == step
    assert dict(workspace.runs.get(step).metrics) == {"outer": 2.0}
    assert workspace.runs.get(step).status == "RUNNING"


def test_mlflows_own_run_is_written_to(workspace: Workspace) -> None:
    """Inside ``mlflow.start_run``, alone or within ours, our functions write where MLflow's do."""
    workspace.tracking.use_here()
    with mlflow.start_run(experiment_id=workspace.tracking.experiment_id()) as alone:
        mlops_jupyter.log_metric("n", 1)
    with workspace.run("outer") as outer:
        with mlflow.start_run(nested=True) as inner:
            mlops_jupyter.log_metric("n", 2)
        mlops_jupyter.log_metric("n", 3)
    found = {
        name: workspace.runs.get(i).metrics["n"]
        for name, i in (("alone", alone.info.run_id), ("inner", inner.info.run_id), ("outer", outer.run_id))
    }
    assert found == {"alone": 1.0, "inner": 2.0, "outer": 3.0}


def test_a_store_that_goes_away_leaves_no_run_active(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the traceback can't be kept, the user's error is what is seen, and the next run can begin."""

    def away(*_: object) -> None:
        raise StoreError("away", "come back later")

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "text", away)
        with pytest.raises(ZeroDivisionError) as caught, workspace.run("first"):
            _ = 1 / 0
    assert any("away" in note for note in caught.value.__notes__)
    assert active.active_run() is None
    with workspace.run("second"):
        pass


def test_registering_from_python_is_in_the_ledger(workspace: Workspace) -> None:
    """``log_model(register=…)`` makes its version through the registry, as the magic does."""
    from sklearn.dummy import DummyClassifier

    with workspace.run("model"):
        logged = mlops_jupyter.log_model(DummyClassifier().fit([[0], [1]], [0, 1]), register="from-python")
    assert logged.version == 1
    assert [row["kind"] for row in workspace.registry.audit("from-python").rows] == ["model.registered"]


def test_init_twice_with_a_relative_database_changes_nothing(folder: Path) -> None:
    """What mlops.toml says is compared to the letter with what is asked."""
    for made in (True, False):
        answer = Workspace.open(folder).init(experiment="e", tracking_uri="sqlite:///my.db").to_json()
        assert answer["created"] is made


def test_a_password_is_never_shown(folder: Path) -> None:
    """A store's URL is told without its password, in the status and in errors."""
    (folder / "mlops.toml").write_text('[tracking]\nuri = "postgresql://ann:hunter2@localhost:9/db"\n')
    shown = str(Workspace.open(folder).status()) + str(Workspace.open(folder).status().to_json())
    with pytest.raises(StoreError) as caught:
        Workspace.open(folder).runs.search()
    assert "hunter2" not in shown + str(caught.value)
    assert "ann:***@" in shown


def test_a_store_that_is_down_is_told_soon(folder: Path) -> None:
    """MLflow would try for four minutes; the first question gives up within half of one."""
    (folder / "mlops.toml").write_text('[tracking]\nuri = "http://127.0.0.1:9"\n')
    began = time.monotonic()
    with pytest.raises(StoreError, match="does not answer"):
        Workspace.open(folder).runs.search()
    assert time.monotonic() - began < 60


def test_a_missing_file_system_does_not_hide_the_status(folder: Path) -> None:
    """An object store that nothing serves is one of the status' problems, not its end."""
    (folder / "mlops.toml").write_text('[store]\nurl = "nosuchprotocol://bucket"\n')
    status = Workspace.open(folder).status().to_json()
    assert any("nosuchprotocol" in problem for problem in status["problems"])


def test_a_relative_store_lies_in_the_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where objects lie does not depend on the working directory."""
    (folder / "mlops.toml").write_text('[store]\nurl = "shared"\n')
    (folder / "sub").mkdir()
    key = Workspace.open(folder).store.put(b"x")
    monkeypatch.chdir(folder / "sub")
    assert Workspace.open(folder).store.get(key) == b"x"
    assert (folder / "shared").is_dir()


def test_a_home_that_cannot_be_written_costs_seconds_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cache folder the database is made in the workspace itself."""
    blocked = folder / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked / "cache"))
    project = folder / "project"
    project.mkdir()
    with Workspace.open(project).run("first") as run:
        pass
    assert Workspace.open(project).runs.get(run.run_id).status == "FINISHED"


@pytest.mark.parametrize("name", ["2024-13-01T00:00:00Z", "2024-01-01T00:00:00Z", "<script>", "'\"", "a\tb", "🦆"])
def test_any_name_of_a_run_can_be_listed_and_found(workspace: Workspace, name: str) -> None:
    """A name is text: it is shown as it is, and finds its run."""
    with workspace.run(name):
        pass
    table = workspace.runs.search()
    assert name.replace("\t", "\\x09") in str(table) or name in str(table)
    assert "<script" not in table._repr_html_()
    assert workspace.runs.resolve(name).name == name


def test_a_killed_run_takes_its_children_along(workspace: Workspace) -> None:
    """What a killed orchestrator had begun and not noted down does not stay RUNNING for ever."""
    parent = workspace.tracking.begin("parent")
    running, ended = (workspace.tracking.begin(name, parent=parent) for name in ("running", "ended"))
    workspace.tracking.finish(ended, "FINISHED")
    other = workspace.tracking.begin("other")
    workspace.tracking.finish(parent, "KILLED")
    found = [workspace.runs.get(run_id).status for run_id in (parent, running, ended, other)]
    assert found == ["KILLED", "KILLED", "FINISHED", "RUNNING"]


def test_a_thread_s_nested_run_is_the_process_s_child(workspace: Workspace) -> None:
    """A pool's worker that asks for a child gets one of the run that its process has open; else a run of its own."""

    def work(nested: bool) -> str:
        with workspace.run("work", nested=nested) as run:
            return run.run_id

    with workspace.run("parent") as parent, ThreadPoolExecutor(2) as pool:
        child, own = pool.map(work, (True, False))
    assert workspace.runs.get(child).tags["mlflow.parentRunId"] == parent.run_id
    assert "mlflow.parentRunId" not in workspace.runs.get(own).tags


def test_tasks_that_share_a_thread_share_no_run(workspace: Workspace) -> None:
    """Each asynchronous task writes to the run that it opened, also from threads that it starts, and ends that one."""

    async def task(name: str, pause: float) -> None:
        with workspace.run(name, nested=True):
            for step in range(4):
                mlops_jupyter.log_metric(name, step, step)
                await asyncio.sleep(pause)
                await asyncio.to_thread(mlops_jupyter.log_metric, f"{name}-thread", step, step)

    async def tasks() -> None:
        with workspace.run("outer"):
            await asyncio.gather(task("a", 0.01), task("b", 0.02))
            mlops_jupyter.log_metric("outer", 1)

    asyncio.run(tasks())
    found = {run.name: run for run in workspace.runs.find()}
    assert {name: set(run.metrics) for name, run in found.items()} == {
        "a": {"a", "a-thread"},
        "b": {"b", "b-thread"},
        "outer": {"outer"},
    }
    assert {run.status for run in found.values()} == {"FINISHED"}
    assert found["a"].tags["mlflow.parentRunId"] == found["b"].tags["mlflow.parentRunId"] == found["outer"].run_id


def test_a_run_that_is_left_open_inside_ends_no_other(workspace: Workspace) -> None:
    """A block ends the run that it opened, whatever was opened in it and forgotten."""
    with workspace.run("outer") as outer:
        forgotten = active.begin(workspace.tracking, "forgotten", nested=True)
    assert workspace.runs.get(outer.run_id).status == "FINISHED"
    assert workspace.runs.get(forgotten.run_id).status == "RUNNING"
    active.end()
    assert workspace.runs.get(forgotten.run_id).status == "FINISHED"


def test_a_run_of_mlflow_s_own_stays_in_the_workspace_when_the_folder_changes(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged to a plain child of our run is journaled where the run is, wherever the process stands by then."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with workspace.run("outer"):
        monkeypatch.chdir(elsewhere)
        with mlflow.start_run(nested=True) as inner:
            mlops_jupyter.log_metric("n", 1.0)
    assert workspace.runs.get(inner.info.run_id).metrics["n"] == 1.0
    assert not list(elsewhere.iterdir())


def test_a_run_of_mlflow_s_own_that_is_in_the_way_is_told_how_to_end(workspace: Workspace) -> None:
    """What `%mlops end` can't end is not offered to it."""
    with workspace.run("ours"):
        mlflow.start_run(nested=True)
    try:
        with pytest.raises(ConflictError) as refused, workspace.run("next"):
            pytest.fail("the block must not be entered")
        assert "mlflow.end_run()" in (refused.value.hint or "")
    finally:
        mlflow.end_run()


def test_a_version_knows_its_run_by_the_store_s_id(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was begun under a local id is named by the store's where somebody else looks it up."""
    from sklearn.dummy import DummyClassifier

    monkeypatch.setattr(client, "_MOMENT", 0.0)
    with workspace.run("late") as run:
        monkeypatch.setattr(client, "_MOMENT", 2.0)
        workspace.tracking.queue.require_settled()
        mlops_jupyter.log_model(DummyClassifier().fit([[0], [1]], [0, 1]), register="late")
    version = workspace.registry.show("late/1").to_json()
    assert version["run_id"] == run.store_id
    assert (run.store_id == run.run_id) is not workspace.tracking.is_remote


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, multiprocessing.pool.ThreadPool])
def test_a_pool_serves_the_run_that_is_open(workspace: Workspace, pool: Any) -> None:
    """A pool's threads do one run's work after the other's, and write to the one that is open."""
    with pool(1) as threads:
        for number in range(3):
            with workspace.run(f"r{number}") as run:
                list(threads.map(lambda value: mlops_jupyter.log_metric("n", value), [float(number)]))
            assert workspace.runs.get(run.run_id).metrics == {"n": float(number)}
