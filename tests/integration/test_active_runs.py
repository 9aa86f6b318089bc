"""Which run a call writes to: a cell's, a step's, one of MLflow's own, and none by mistake."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

import mlops_jupyter
from mlops_jupyter import Workspace
from mlops_jupyter.errors import ConflictError, StoreError
from mlops_jupyter.tracking import active
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
        logged = mlops_jupyter.log_model(DummyClassifier().fit([[0], [1]], [0, 1]), register="churn")
    assert logged.version == 1
    assert [row["kind"] for row in workspace.registry.audit("churn").rows] == ["model.registered"]


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
