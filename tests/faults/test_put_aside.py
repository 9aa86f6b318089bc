"""What a store does not take while it takes other things, what is damaged, and a queue that is taken away."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from driving import until
from programs import died_with_ten_points, settings

from mlops_jupyter import Workspace
from mlops_jupyter.errors import StoreError
from mlops_jupyter.tracking import log
from mlops_jupyter.tracking.queue import aside, courier
from mlops_jupyter.tracking.queue import queue as queue_module
from mlops_jupyter.tracking.queue.entries import Entry


def test_files_that_their_store_does_not_take_hold_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts may lie elsewhere than runs: what follows is delivered, they are tried again, and no gate decides."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(aside, "_FIRST", 0.05)
    monkeypatch.setattr(aside, "_LONGEST", 0.1)
    workspace = Workspace.open(tmp_path)
    queue = workspace.tracking.queue
    over, real = threading.Event(), MlflowClient.log_text

    def refuse(client: Any, run: str, text: str, name: str) -> None:
        if not over.is_set():
            raise MlflowException("503 Slow Down")
        real(client, run, text, name)

    monkeypatch.setattr(MlflowClient, "log_text", refuse)
    with workspace.run("texts") as run:
        queue.text(run.run_id, "note.txt", "kept")
        log.log_metric("n", 1.0)
        until(queue._late.count, "it is put aside", 30)
    assert workspace.runs.get(run.run_id).metrics == {"n": 1.0}
    assert workspace.runs.get(run.run_id).status == "FINISHED"
    status = workspace.status().to_json()
    assert (status["backlog"], status["rejected"]) == (1, None)
    assert "503 Slow Down" in str(status["problems"])
    with pytest.raises(StoreError, match="1 logged entries are not in the store yet"):
        queue.require_settled()
    over.set()
    until(lambda: queue.backlog().entries == 0, "it is there", 30)
    assert workspace.runs.text(workspace.runs.get(run.run_id), "note.txt") == "kept"
    queue.require_settled()


def test_an_entry_that_the_store_never_takes_is_put_aside_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that fails on one number, and takes all others for ten minutes, will never take it; that is told."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(aside, "_FIRST", 0.01)
    monkeypatch.setattr(aside, "_LONGEST", 0.05)
    monkeypatch.setattr(queue_module, "_LATE_AGAIN", 0.05)
    workspace = Workspace.open(tmp_path)
    real = MlflowClient.log_batch

    def refuse(client: Any, run: str, metrics: Any = (), *more: Any, **named: Any) -> None:
        if any(metric.value == 13.0 for metric in metrics):
            raise MlflowException("500: it is the thirteenth")
        real(client, run, metrics, *more, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    with workspace.run("numbers") as run:
        for step in range(100):
            log.log_metric("n", float(step), step)
        until(workspace.tracking.queue._late.count, "it is put aside", 30)
    assert len(workspace.tracking.client.get_metric_history(run.run_id, "n")) == 99
    assert workspace.status().to_json()["rejected"] is None
    assert workspace.status().to_json()["backlog"] == 1
    monkeypatch.setattr(aside, "LONG", 0.0)
    until(lambda: workspace.tracking.queue.backlog().entries == 0, "it is given up", 30)
    assert workspace.status().to_json()["rejected"]["entries"] == 1


def test_a_store_that_takes_no_numbers_for_a_while_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the one call that brings numbers fails, and others do not, it is not the numbers that are at fault."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    workspace = Workspace.open(tmp_path)
    failures: list[int] = []
    with workspace.run("waits") as run:
        with monkeypatch.context() as patch:

            def refuse(*_: Any, **__: Any) -> None:
                failures.append(1)
                raise MlflowException("API request to log-batch failed with error code 404 != 200", error_code=3)

            patch.setattr(MlflowClient, "log_batch", refuse)
            for step in range(50):
                log.log_metric("n", float(step), step)
            until(lambda: len(failures) > 30, "it is tried often", 30)
        workspace.tracking.queue.require_settled()
    assert workspace.status().to_json()["rejected"] is None
    assert len(workspace.tracking.client.get_metric_history(run.run_id, "n")) == 50


@pytest.mark.parametrize(
    "damaged",
    [
        b"\0" * 40 + b"\n",
        b'["metric","RUN","n"]\n',
        b'["param","RUN","only a name"]\n',
        b'["cells","RUN"]\n',
        b'["file","RUN","../../up",""]\n',
        b'["text","RUN",["a"],"b"]\n',
        b"[" * 100_000 + b"\n",
        b'["of a later version","RUN"]\n',
    ],
)
def test_a_damaged_line_holds_up_no_other(tmp_path: Path, damaged: bytes) -> None:
    """What a machine leaves that has lost its power is kept aside, and what is whole before and after it arrives."""
    workspace = settings(tmp_path, None)
    journal = died_with_ten_points(tmp_path)
    lines = journal.read_bytes().splitlines(keepends=True)
    run_id = next(json.loads(line)[1] for line in lines if line.startswith(b'["metric"'))
    lines.insert(len(lines) - 5, damaged.replace(b"RUN", run_id.encode()))
    journal.write_bytes(b"".join(lines))
    (run,) = workspace.runs.find()
    assert (run.status, run.metrics["n"]) == ("KILLED", 9.0)
    assert len(workspace.tracking.client.get_metric_history(run.run_id, "n")) == 10
    assert workspace.status().to_json()["rejected"]["entries"] == 1


def test_a_journal_whose_first_line_is_damaged_is_nobody_else_s(tmp_path: Path) -> None:
    """Where it can't be read which store a journal goes to, it is the workspace's own."""
    workspace = settings(tmp_path, None)
    journal = died_with_ten_points(tmp_path)
    journal.write_bytes(b"\0" * 30 + journal.read_bytes())
    (run,) = workspace.runs.find()
    assert (run.status, run.metrics["n"]) == ("KILLED", 9.0)


@pytest.mark.parametrize("how", ["renamed", "replaced"])
def test_a_queue_that_is_taken_away_is_told(tmp_path: Path, how: str) -> None:
    """Numbers that go to a file which nobody will look for are no accepted numbers."""
    workspace = settings(tmp_path, None)
    queue = tmp_path / ".mlops" / "queue"

    def logs() -> None:
        until_told = time.monotonic() + 10
        with workspace.run("gone"):
            queue.rename(tmp_path / "elsewhere")
            if how == "replaced":
                queue.mkdir()
            while time.monotonic() < until_told:
                log.log_metric("n", 1.0)
                time.sleep(0.01)

    with pytest.raises(StoreError, match="deleted or replaced"):
        logs()


def test_a_run_that_can_never_be_created_is_told_and_holds_up_no_other(tmp_path: Path, mlflow_server: str) -> None:
    """A run for an experiment that somebody deletes is refused for good; what comes after it is created."""
    workspace = settings(tmp_path, mlflow_server, "doomed")
    tracking = workspace.tracking
    experiment = tracking.experiment_id()
    queue = tracking.queue
    began = {"experiment": workspace.config.experiment, "name": "never", "parent": None, "tags": {}, "start": 1}
    tracking.connect().delete_experiment(experiment)
    never, _ = queue.begin(began, 0.0)
    queue.metric(never, "n", 1.0, 0)
    with workspace.run("next", experiment=f"{workspace.config.experiment}-other") as run:
        log.log_metric("n", 2.0)
    queue.require_settled()
    assert dict(workspace.runs.get(run.run_id).metrics) == {"n": 2.0}
    assert workspace.status().to_json()["rejected"]["entries"] == 2


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is put aside be tried again soon."""
    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(aside, "_FIRST", 0.05)
    monkeypatch.setattr(aside, "_LONGEST", 0.1)
    monkeypatch.setattr(queue_module, "_LATE_AGAIN", 0.05)


@pytest.mark.usefixtures("quick")
def test_what_was_put_aside_never_replaces_what_came_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of the same name that the store takes, or that is put aside later, is the one that stays."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    workspace = Workspace.open(tmp_path)
    queue = workspace.tracking.queue
    refused, real = {"one"}, MlflowClient.log_text

    def refuse(client: Any, run: str, text: str, name: str) -> None:
        if text in refused:
            raise MlflowException("503 Slow Down")
        real(client, run, text, name)

    monkeypatch.setattr(MlflowClient, "log_text", refuse)
    monkeypatch.setattr(aside, "_FIRST", 1.0)
    with workspace.run("texts") as run:
        queue.text(run.run_id, "note.txt", "one")
        until(queue._late.count, "it is put aside", 30)
        queue.text(run.run_id, "note.txt", "two")
        refused.clear()
    assert queue._late.count() == 0
    time.sleep(1.2)
    queue.require_settled()
    assert workspace.runs.text(workspace.runs.get(run.run_id), "note.txt") == "two"
    refused |= {"three", "four"}
    with workspace.run("both") as run:
        for text in ("three", "four"):
            queue.text(run.run_id, "note.txt", text)
            until(lambda text=text: text in str([put.entry for put in queue._late._all()]), "it is put aside", 30)
        assert queue._late.count() == 1
        refused.clear()
        until(lambda: not queue._late.count(), "it is there", 30)
    assert workspace.runs.text(workspace.runs.get(run.run_id), "note.txt") == "four"


@pytest.mark.usefixtures("quick")
def test_what_there_is_no_hope_for_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that can't be written from here, and a run that was deleted, hold no gate up for ever."""
    from mlflow import MlflowClient

    monkeypatch.setattr(aside, "LONG", 0.0)
    workspace = Workspace.open(tmp_path)
    queue = workspace.tracking.queue

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "/srv/artifacts")

    monkeypatch.setattr(MlflowClient, "log_text", refuse)
    with workspace.run("texts") as run:
        queue.text(run.run_id, "note.txt", "one")
        until(queue._late.count, "it is put aside", 30)
    until(lambda: not queue._late.count(), "it is given up", 30)
    assert workspace.status().to_json()["rejected"]["entries"] == 1
    monkeypatch.setattr(aside, "LONG", 600.0)
    with workspace.run("deleted") as gone:
        queue.text(gone.run_id, "note.txt", "one")
        until(queue._late.count, "it is put aside", 30)
    workspace.tracking.connect().delete_run(gone.run_id)
    until(lambda: not queue._late.count(), "it is given up", 30)
    queue.require_settled()


def test_numbers_do_not_wait_for_what_was_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long something that the store fails on has to wait, numbers go there every half second."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(aside, "_FIRST", 60.0)
    workspace = Workspace.open(tmp_path)
    queue = workspace.tracking.queue

    def refuse(*_: Any, **__: Any) -> None:
        raise MlflowException("503 Slow Down")

    monkeypatch.setattr(MlflowClient, "log_text", refuse)
    with workspace.run("numbers") as run:
        queue.text(run.run_id, "note.txt", "one")
        until(queue._late.count, "it is put aside", 30)
        until(lambda: queue._courier.wanted > time.monotonic() + 30, "it rests", 30)
        log.log_metric("n", 1.0)
        client = workspace.tracking.connect()
        until(lambda: client.get_run(run.run_id).data.metrics, "the number is there", 10)


def test_what_was_put_aside_for_another_store_goes_there(tmp_path: Path, mlflow_server: str) -> None:
    """Where the workspace's store has changed since, whoever opens it brings what is left to the one it was for."""
    workspace = settings(tmp_path, None, "before")
    with workspace.run("left") as run:
        pass
    late = aside.Late(tmp_path / ".mlops" / "queue" / "late", workspace.tracking.queue._header)
    late.put(Entry("metric", run.run_id, ("n", 7.0, 0, 1_700_000_000_000)), "", "it failed")
    assert workspace.status().to_json()["backlog"] == 1
    other = settings(tmp_path, mlflow_server, "after")
    assert other.status().to_json()["backlog"] == 0
    until(late.due, "it is due", 30)
    other.tracking.recover()
    assert late.count() == 0
    assert dict(settings(tmp_path, None, "before").runs.get(run.run_id).metrics) == {"n": 7.0}


def test_what_another_account_put_aside_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this account can't read is no failure of its delivery, round after round, and holds nothing up."""
    workspace = Workspace.open(tmp_path)
    with workspace.run("theirs") as run:
        pass
    late = workspace.tracking.queue._late
    late.put(Entry("tag", run.run_id, ("whose", "theirs")), "whose", "it failed")
    (theirs,) = (tmp_path / ".mlops" / "queue" / "late").glob("*.json")
    until(late.due, "it is due", 30)
    real = os.access
    # The account that runs the tests may read everything.
    monkeypatch.setattr(os, "access", lambda path, *mode: Path(path) != theirs and real(path, *mode))
    workspace.tracking.recover()
    with workspace.run("mine"):
        log.log_metric("n", 1.0)
    assert workspace.status().to_json()["problems"] == []
    assert theirs.exists()
    monkeypatch.undo()
    workspace.tracking.recover()
    assert workspace.runs.get(run.run_id).tags["whose"] == "theirs"
