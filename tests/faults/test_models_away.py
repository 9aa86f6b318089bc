"""Models logged while the tracking server is away, fails or dies: kept here, and there once when it is back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import Notebook, environment, mlops, until
from programs import opened
from sklearn.linear_model import LogisticRegression
from stores import FailingProxy, MlflowServer

import mlops_jupyter
from mlops_jupyter import Workspace
from mlops_jupyter.errors import ConflictError
from mlops_jupyter.tracking import active, log, mlflow_module
from mlops_jupyter.tracking.models import LoggedModel
from mlops_jupyter.tracking.queue import aside, courier

#: What logging a small model may take whatever the server does, in seconds.
SOON = 8.0
ROWS = np.random.default_rng(0).normal(size=(40, 3))
LABELS = ROWS[:, 0] > 0


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Import once what takes a while, so that no test measures it."""
    import mlflow.sklearn
    import skops.io  # noqa: F401

    assert mlflow.sklearn


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(ROWS, LABELS)


def settled(workspace: Workspace) -> None:
    """Wait until the backlog is gone."""
    queue = workspace.tracking.queue
    until(lambda: queue.settle(insist=True) and not queue.backlog().entries, "the backlog is gone", 120)
    assert workspace.status().to_json()["rejected"] is None


def spool(place: Path) -> list[Path]:
    """Give what waits as files."""
    return list((place / ".mlops" / "queue" / "files").glob("*"))


def models(workspace: Workspace) -> list[Any]:
    """Give all logged models of the workspace's experiment, half ones included."""
    tracking = workspace.tracking
    return list(tracking.client.search_logged_models([tracking.experiment_id()]))


def the_model(workspace: Workspace, run: str, count: int = 1) -> Any:
    """Give the only model of a run, which is whole, signed, linked and predicts; there are so many in all."""
    found = models(workspace)
    assert [str(model.status) for model in found] == ["READY"] * count
    known = workspace.runs.get(run)
    (model,) = [model for model in found if model.source_run_id == known.run_id]
    outputs = workspace.tracking.client.get_run(known.run_id).outputs.model_outputs
    assert [output.model_id for output in outputs] == [model.model_id]
    said = description(workspace, model.model_id)
    assert (said["model_id"], said["model_uuid"], said["run_id"]) == (model.model_id, model.model_id, known.run_id)
    assert known.tags[f"mlops.model.{model.name}.format"] == "skops"
    with workspace.run("asks") as asking, active.in_mlflow(asking):
        predicted = mlflow_module().pyfunc.load_model(f"models:/{model.model_id}").predict(ROWS)
    assert (predicted == fitted().predict(ROWS)).all()
    return model


def description(workspace: Workspace, model_id: str) -> dict[str, Any]:
    """Give what a model's MLmodel says, and the names of the files beside it."""
    with workspace.run("looks") as looking, active.in_mlflow(looking):
        mlflow = mlflow_module()
        said: dict[str, Any] = mlflow.models.Model.load(f"models:/{model_id}").to_dict()
        files = mlflow.artifacts.list_artifacts(f"models:/{model_id}")
    return said | {"files": sorted(file.path for file in files)}


def logged_soon(**options: Any) -> LoggedModel:
    """Log a model, in no more time than a cell may take."""
    began = time.monotonic()
    logged = mlops_jupyter.log_model(fitted(), input_example=ROWS[:2], **options)
    assert time.monotonic() - began < SOON
    return logged


def test_a_model_logged_while_the_server_is_away_arrives_as_mlflow_would_have_logged_it(
    tmp_path: Path, server: MlflowServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Files, description, params, metrics and tags are those of a model that MLflow itself logs into that run."""
    workspace = opened(tmp_path, server.uri)
    model = fitted()
    with workspace.run("through") as run:
        log.log_param("depth", 3)
        for number in range(1001):  # one more than goes at once
            log.log_metric("auc", float(number))
        log.log_metric("later", 0.9, 1)
        workspace.tracking.queue.settle()
        server.kill()
        began = time.monotonic()
        logged = mlops_jupyter.log_model(model, input_example=ROWS[:2])
        assert time.monotonic() - began < SOON
        assert (logged.model_id, logged.uri, logged.format) == ("", "", "skops")
        assert log.find_logged(model) is None
        assert "kept in .mlops/" in caplog.text
        assert len(spool(tmp_path)) == 1
        assert workspace.status().to_json()["backlog"] == 1
        server.start()
        settled(workspace)
    ours = the_model(workspace, run.run_id)
    assert spool(tmp_path) == []
    with workspace.run("direct") as direct, active.in_mlflow(direct):
        log.log_param("depth", 3)
        workspace.tracking.queue.settle()
        options = {"serialization_format": "skops", "pip_requirements": ["mlflow"], "input_example": ROWS[:2]}
        info = mlflow_module().sklearn.log_model(model, name="model", **options)
    theirs = workspace.tracking.client.get_logged_model(info.model_id)
    for name in ("name", "experiment_id", "model_type", "params", "status"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert set(ours.tags) - set(theirs.tags) == {"mlops.format", "mlops.spooled"}
    assert len(ours.metrics) == 1001
    assert {metric.key for metric in ours.metrics} == {"auc"}
    said, expected = description(workspace, ours.model_id), description(workspace, theirs.model_id)
    assert set(said) == set(expected)
    of_its_own = {"artifact_path", "model_id", "model_uuid", "run_id", "utc_time_created"}
    assert [name for name in said if name not in of_its_own and said[name] != expected[name]] == []
    assert said["artifact_path"] == ours.artifact_location


def test_a_model_of_a_run_that_began_alone_names_the_run_that_it_became(tmp_path: Path, server: MlflowServer) -> None:
    """The model is saved when nobody knows the run's id in the store, and bears it all the same."""
    workspace = opened(tmp_path, server.uri)
    server.kill()
    with workspace.run("alone") as run:
        assert logged_soon(name="clf").model_id == ""
    server.start()
    settled(workspace)
    known = workspace.runs.get(run.run_id)
    assert known.run_id != run.run_id
    model = the_model(workspace, run.run_id)
    assert (model.name, model.source_run_id) == ("clf", known.run_id)


@pytest.mark.parametrize("store", ["mlflow_server", "postgresql"])
def test_a_model_that_the_store_takes_at_once_has_its_id_at_once(
    tmp_path: Path, store: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store is well nothing is different: the id, the version, and what publishing refers to."""
    monkeypatch.chdir(tmp_path)  # where MLflow puts artifacts of a database that names no place for them
    workspace = opened(tmp_path, request.getfixturevalue(store))
    model = fitted()
    with workspace.run("well") as run:
        logged = mlops_jupyter.log_model(model, register="at-once", input_example=ROWS[:2])
        assert mlflow_module().last_logged_model().model_id == logged.model_id
    assert (logged.model_id, logged.version) == (the_model(workspace, run.run_id).model_id, 1)
    assert log.find_logged(model).model_id == logged.model_id
    # As when another process has delivered it, which tells nobody.
    spooled = models(workspace)[0].tags["mlops.spooled"]
    assert workspace.tracking.queue._round.model_id(run.run_id, spooled) == logged.model_id
    assert spool(tmp_path) == []


_PROGRAM = """
import os, shutil, signal, sys
import mlflow, mlops_jupyter
from mlflow import MlflowClient
from mlflow.store.tracking.rest_store import RestStore

def dies(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def dies_after(owner, name, number=1):
    call, calls = getattr(owner, name), []
    def last(*arguments, **options):
        answer = call(*arguments, **options)
        calls.append(name)
        if len(calls) == number:
            dies()
        return answer
    setattr(owner, name, last)

def half_removed(place, *arguments, **options):
    (place / "model" / "MLmodel").unlink()
    dies()
"""
_LOGS = """
import numpy
from sklearn.linear_model import LogisticRegression
rows = numpy.array(json.loads(open("rows").read()))
with mlops_jupyter.run("killed"):
    for number in range(101):  # one more than MLflow sends with a model
        mlops_jupyter.log_param(f"p{number}", number)
    mlops_jupyter.log_metric("auc", 0.9)
    mlops_jupyter.log_model(LogisticRegression().fit(rows, rows[:, 0] > 0), input_example=rows[:2])
"""
_OPENS = "mlops_jupyter.Workspace.open(); raise SystemExit('it lives')"


def killed(place: Path, *lines: str) -> None:
    """Run a program that has to end by SIGKILL."""
    code = "\n".join(["import json", _PROGRAM, *lines])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_whoever_delivers_a_model_may_be_killed_between_any_two_calls(tmp_path: Path, server: MlflowServer) -> None:
    """One process after the other goes on with the same model and dies; in the end it is there, whole and once."""
    workspace = opened(tmp_path, server.uri)
    (tmp_path / "rows").write_text(json.dumps(ROWS.tolist()))
    killed(tmp_path, "RestStore.log_logged_model_params = dies", _LOGS)
    assert [str(model.status) for model in _asked(workspace)] == ["PENDING"]
    for last in (
        "dies_after(MlflowClient, 'log_model_params')",
        "dies_after(MlflowClient, 'log_model_artifact', 3)",
        "dies_after(MlflowClient, 'finalize_logged_model')",
        # From here on the model is whole, and nobody may write into it any more.
        "MlflowClient.log_model_artifact = None; dies_after(MlflowClient, 'log_outputs')",
        "MlflowClient.log_model_artifact = None; shutil.rmtree = half_removed",
    ):
        killed(tmp_path, last, _OPENS)
        assert len(spool(tmp_path)) == 1
    settled(workspace)
    run = workspace.runs.resolve("killed")
    assert run.status == "KILLED"
    model = the_model(workspace, run.run_id)
    assert [metric.value for metric in model.metrics] == [0.9]
    assert model.params == {f"p{number}": str(number) for number in range(101)}
    assert spool(tmp_path) == []


def _asked(workspace: Workspace) -> list[Any]:
    """Ask the server alone: opening the workspace would deliver."""
    from mlflow import MlflowClient

    client = MlflowClient(workspace.tracking.uri)
    experiment = client.get_experiment_by_name(workspace.tracking.experiment)
    return list(client.search_logged_models([experiment.experiment_id]))


def patched(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Callable[..., Any]) -> None:
    """Let a call of MLflow's client go through a function that is given it."""
    from mlflow import MlflowClient

    call = getattr(MlflowClient, name)
    monkeypatch.setattr(MlflowClient, name, lambda *arguments: wrap(call, *arguments))


def test_a_server_that_dies_in_the_middle_of_a_model_finishes_the_same_one(
    tmp_path: Path, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had created before it died is taken over, by this process and without a second."""
    workspace = opened(tmp_path, server.uri)
    created = []

    def dies(call: Callable[..., Any], *arguments: Any) -> Any:
        answer = call(*arguments)
        created.append(answer.model_id)
        server.kill()
        return answer

    with workspace.run("breaks off") as run:
        with monkeypatch.context() as patch:
            patched(patch, "create_logged_model", dies)
            assert logged_soon().model_id == ""
        server.start()
        settled(workspace)
    assert [the_model(workspace, run.run_id).model_id] == created


def test_a_model_that_another_has_delivered_and_half_removed_is_linked(
    tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knew it as half a model, and finds its files on the way out, does not wait for them to come back."""
    from mlflow.exceptions import MlflowException

    workspace = opened(tmp_path, mlflow_server)

    def finished_elsewhere(call: Callable[..., Any], *arguments: Any) -> None:
        call(*arguments)
        (place,) = spool(tmp_path)
        (place / "model" / "MLmodel").unlink()
        raise MlflowException("this process was not told")

    with workspace.run("taken over") as run:
        patched(monkeypatch, "finalize_logged_model", finished_elsewhere)
        logged = logged_soon()
        monkeypatch.undo()
    assert logged.model_id == the_model(workspace, run.run_id).model_id
    assert spool(tmp_path) == []


def test_a_server_that_hangs_in_the_middle_of_a_model_is_waited_for_a_moment(
    tmp_path: Path, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the files and never answers: the cell goes on, and so does the delivery when the server does."""
    workspace = opened(tmp_path, server.uri)
    stopped = []

    def hangs(call: Callable[..., Any], *arguments: Any) -> Any:
        if not stopped:
            stopped.append(server.process_group)
            os.killpg(server.process_group, signal.SIGSTOP)
        return call(*arguments)

    patched(monkeypatch, "log_model_artifact", hangs)
    with workspace.run("hangs") as run:
        try:
            assert logged_soon().model_id == ""
        finally:
            os.killpg(stopped[0], signal.SIGCONT)
        settled(workspace)
    the_model(workspace, run.run_id)


def test_a_large_upload_that_gets_on_is_waited_for(
    tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a server may be silent, as long as its file is being read: then it has its id when the call ends."""
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

    workspace = opened(tmp_path, mlflow_server)
    took: list[float] = []
    allowed: set[int] = set()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "300")

    def slowly(call: Callable[..., Any], client: Any, model_id: str, path: str, *folder: Any) -> Any:
        began = time.monotonic()
        with Path(path).open("rb", buffering=0) as file:
            while file.read(max(Path(path).stat().st_size // 10, 1)):
                time.sleep(0.2)
        took.append(time.monotonic() - began)
        allowed.add(MLFLOW_HTTP_REQUEST_TIMEOUT.get())
        return call(client, model_id, path, *folder)

    with workspace.run("large") as run:
        workspace.tracking.queue.settle()
        monkeypatch.setattr(workspace.tracking.queue._courier, "_patience", 1.2)
        patched(monkeypatch, "log_model_artifact", slowly)
        logged = mlops_jupyter.log_model(fitted())
        monkeypatch.undo()
    assert max(took) > 1.5
    assert allowed == {300}
    assert logged.model_id == the_model(workspace, run.run_id).model_id


def test_a_model_that_is_to_be_registered_meanwhile_is_kept_and_registered_later(
    tmp_path: Path, server: MlflowServer
) -> None:
    """The cell fails and says in two lines what will do it; the run goes on, and those words do it."""
    workspace = opened(tmp_path, server.uri)
    (tmp_path / "fit.py").write_text("from sklearn.linear_model import LogisticRegression\nfrom rows import ROWS\n")
    (tmp_path / "rows.py").write_text(f"import numpy\nROWS = numpy.array({ROWS.tolist()})\nLABELS = ROWS[:, 0] > 0\n")
    notebook = Notebook(tmp_path)
    try:
        notebook.good("from fit import *\nfrom rows import LABELS\nclf = LogisticRegression().fit(ROWS, LABELS)")
        server.kill()
        notebook.good("%mlops start --name alone")
        told = notebook.run("%mlops log model clf --register 'the churn'").told
        assert len(told) == 2
        assert "is kept here" in told[0]
        plain = notebook.run("import mlops_jupyter\nmlops_jupyter.log_model(clf, 'plain', register='the churn')")
        assert plain.ename == "StoreError"
        assert "`mlops register 'the churn' --run" in plain.traceback
        assert "kept here; goes to the store when it answers" in notebook.good("%mlops log model clf --name other").text
        notebook.good("%mlops log metric auc=0.9")
        server.start()
        notebook.good("%mlops end")
    finally:
        notebook.close()
    settled(workspace)
    run = workspace.runs.resolve("alone")
    assert (run.status, run.metrics["auc"], len(run.model_ids)) == ("FINISHED", 0.9, 3)
    words = told[1].partition("`mlops register ")[2].partition("`")[0]
    assert words.startswith("'the churn' --run ")
    done = mlops("register", "the churn", "--run", words.split()[-1], "--model", "model", "--json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert (done.json["model"], done.json["version"], done.json["run_id"]) == ("the churn", 1, run.run_id)


def test_a_server_that_fails_every_third_call_gets_each_model_once(tmp_path: Path, mlflow_server: str) -> None:
    """Half of the failures come after the call was carried out: nothing is created, linked or uploaded in vain."""
    ids = []
    with FailingProxy(mlflow_server) as proxy:
        workspace = opened(tmp_path, proxy.uri)
        for number in range(4):
            with workspace.run(f"run-{number}") as run:
                log.log_metric("auc", 0.5 + number / 10)
                log.log_metric("loss", 0.1)
                mlops_jupyter.log_model(fitted(), input_example=ROWS[:2])
                ids.append(run.run_id)
        settled(workspace)
        real = [workspace.runs.get(run_id).run_id for run_id in ids]
        assert proxy.failures > 20
    direct = opened(tmp_path, mlflow_server)
    for number, run_id in enumerate(real):
        model = the_model(direct, run_id, count=4)
        assert {metric.key: metric.value for metric in model.metrics} == {"auc": 0.5 + number / 10, "loss": 0.1}
    assert spool(tmp_path) == []


def test_a_model_whose_files_their_store_does_not_take_waits_and_holds_nothing_up(
    tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Artifacts may lie elsewhere: what follows is delivered, and the model is tried again and not refused."""
    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(aside, "_FIRST", 0.05)
    monkeypatch.setattr(aside, "_LONGEST", 0.1)
    workspace = opened(tmp_path, mlflow_server)
    failures: list[str] = []
    is_there = threading.Event()

    def refuse(call: Callable[..., Any], *arguments: Any) -> Any:
        if not is_there.is_set():
            failures.append(arguments[2])
            raise ConnectionError("the bucket does not answer")
        return call(*arguments)

    patched(monkeypatch, "log_model_artifact", refuse)
    with workspace.run("elsewhere") as run:
        assert logged_soon().model_id == ""
        log.log_metric("n", 1.0)
        until(lambda: len(failures) > 15, "it is tried again", 60)
    assert workspace.runs.get(run.run_id).metrics == {"n": 1.0}
    status = workspace.status().to_json()
    assert (status["backlog"], status["rejected"]) == (1, None)
    is_there.set()
    settled(workspace)
    the_model(workspace, run.run_id)


def test_a_model_that_gets_on_file_by_file_is_not_put_aside(
    tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often its store fails in all, and for however long: what counts is that some of it came through."""
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(aside, "LONG", 0.0)
    workspace = opened(tmp_path, mlflow_server)
    tried: list[str] = []

    def refuse_twice(call: Callable[..., Any], *arguments: Any) -> Any:
        tried.append(arguments[2])
        if tried.count(arguments[2]) < 3:
            raise MlflowException("503 Slow Down")
        return call(*arguments)

    patched(monkeypatch, "log_model_artifact", refuse_twice)
    with workspace.run("bit by bit") as run:
        logged_soon()
    settled(workspace)
    assert len(tried) == 3 * len(set(tried)) > 15
    the_model(workspace, run.run_id)


def test_a_model_that_is_refused_for_good_is_told_and_kept(tmp_path: Path, mlflow_server: str) -> None:
    """A run that somebody has deleted takes no model; that is an error, and the model is still on the disk."""
    workspace = opened(tmp_path, mlflow_server)
    with workspace.run("deleted") as run:
        workspace.tracking.connect().delete_run(run.run_id)
        with pytest.raises(ConflictError, match="refuses the model") as refused:
            mlops_jupyter.log_model(fitted())
    (place,) = spool(tmp_path)
    assert str(place) in refused.value.hint
    assert (place / "model" / "MLmodel").exists()
    assert [str(model.status) for model in models(workspace)] in ([], ["READY"])
