"""What goes wrong around the queue: stores that take nothing, others at the same work, half-written cells, forks."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from programs import DIED, program, settings

import mlops_jupyter
from mlops_jupyter import Workspace
from mlops_jupyter.errors import StoreError
from mlops_jupyter.locks import Lock
from mlops_jupyter.tracking import log
from mlops_jupyter.tracking.client import EMBEDDED
from mlops_jupyter.tracking.queue import courier
from mlops_jupyter.tracking.queue.entries import STORE, encode
from mlops_jupyter.tracking.queue.journal import Journal


def test_a_run_stays_as_it_ended_when_its_process_exits(tmp_path: Path, store_uri: str | None) -> None:
    """The end of a process ends what is open, and nothing that has ended: neither its status nor its time."""
    workspace = settings(tmp_path, store_uri)
    said = program(
        tmp_path,
        "import time, mlops_jupyter\n"
        "try:\n    with mlops_jupyter.run('failed'):\n        1 / 0\nexcept ZeroDivisionError:\n    pass\n"
        "with mlops_jupyter.run('finished'):\n    pass\ntime.sleep(2)",
    )
    assert "Error" not in said
    ended = {run.name: (run.status, run.seconds) for run in workspace.runs.find()}
    assert {name: status for name, (status, _) in ended.items()} == {"failed": "FAILED", "finished": "FINISHED"}
    assert ended["finished"][1] < 1.5
    assert not list((tmp_path / ".mlops" / "queue").glob("*.jsonl"))


def test_a_store_that_takes_nothing_for_a_while_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that can be read and not written, full or locked say, is waited for however long it takes."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

    monkeypatch.setattr(courier, "_LONGEST_PAUSE", 0.01)
    workspace = Workspace.open(tmp_path)
    with workspace.run("waits") as run:
        failures: list[str] = []
        with monkeypatch.context() as patch:
            for name in ("log_batch", "set_tag"):

                def refuse(*_: Any, name: str = name, **__: Any) -> None:
                    failures.append(name)
                    raise MlflowException("read only just now", TEMPORARILY_UNAVAILABLE)

                patch.setattr(MlflowClient, name, refuse)
            for step in range(5):
                log.log_metric("n", float(step), step)
            until = time.monotonic() + 30
            while failures.count("log_batch") < 25 and time.monotonic() < until:
                time.sleep(0.02)
            assert failures.count("log_batch") >= 25
            assert workspace.status().to_json()["rejected"] is None
    assert len(workspace.tracking.client.get_metric_history(run.run_id, "n")) == 5


def test_one_who_delivers_long_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run begins and ends while another process is at its own journal; what needs all numbers says that some miss."""
    from mlops_jupyter.tracking.queue import round as rounds

    monkeypatch.setattr(rounds, "_OTHERS_WAIT", 0.5)
    workspace = Workspace.open(tmp_path)
    with workspace.run("theirs") as theirs:
        pass
    folder = tmp_path / ".mlops" / "queue"
    other = Journal(folder, encode(STORE, EMBEDDED), list)
    lock = Lock(folder / f"{other.name}.delivering")
    assert lock.acquire()
    try:
        other.append(encode("tag", theirs.run_id, "late", "1"))
        began = time.monotonic()
        for number in range(3):
            with workspace.run(f"mine-{number}"):
                log.log_metric("n", 1.0)
        assert time.monotonic() - began < 3
        assert len(workspace.runs.find()) == 4
        with pytest.raises(StoreError, match="not in the store yet"):
            workspace.tracking.queue.require_settled()
        began = time.monotonic()
        workspace.runs.compare([theirs.run_id, "mine-1", "mine-2"])
        workspace.tracking.set_tags(theirs.run_id, {"mine": "1"})
        assert time.monotonic() - began < 3  # one reads many things, and waits once
    finally:
        lock.release()
    workspace.tracking.queue.require_settled()
    assert workspace.runs.get(theirs.run_id).tags["late"] == "1"
    other.close()


def test_half_a_cell_is_told_and_stands_in_nobodys_way(tmp_path: Path) -> None:
    """A disk that is full in the middle of a cell is an error at the call; after it the workspace is as any other."""
    workspace = settings(tmp_path, None)
    said = program(
        tmp_path,
        """
import os, resource, signal, mlops_jupyter
from mlops_jupyter.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with mlops_jupyter.run("cells") as run:
    queue = run.tracking.queue
    cell = {"id": "a", "order": 1, "source": "x" * 3000, "outcome": "ok", "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1}
    queue.cell(run.run_id, cell, last=False)
    queue.settle()
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    try:
        queue.cell(run.run_id, cell, last=False)
    except StoreError:
        print("told")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    queue.cell(run.run_id, cell | {"order": 3}, last=False)
    os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    assert said.split() == ["told"]
    (run,) = workspace.runs.find()
    assert run.status == "KILLED"
    cells = json.loads(workspace.runs.text(run, "mlops/cells.json") or "")
    assert [cell["order"] for cell in cells] == [1, 3]
    assert not list((tmp_path / ".mlops" / "queue").glob("*.jsonl"))


def test_a_line_of_cells_that_is_none_takes_no_other_with_it(tmp_path: Path) -> None:
    """After a loss of power a file may hold anything; the run of the dead process ends all the same."""
    workspace = settings(tmp_path, None)
    program(tmp_path, DIED)
    (journal,) = (tmp_path / ".mlops" / "queue").glob("*.jsonl")
    run_id = next(json.loads(line)[1] for line in journal.read_text().splitlines() if line.startswith('["open"'))
    folder = tmp_path / ".mlops" / "queue" / "cells"
    folder.mkdir(exist_ok=True)
    (folder / f"{run_id}.jsonl").write_bytes(b'{"source": "half\n\x00\x00\n[1]\n{"source": "whole"}\n')
    (run,) = workspace.runs.find()
    assert run.status == "KILLED"
    assert json.loads(workspace.runs.text(run, "mlops/cells.json") or "") == [{"source": "whole"}]


def test_a_dead_process_that_cannot_be_buried_is_no_reader_s_burden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its run's end is tried once in a while, told once, and holds up no reader between."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    workspace = settings(tmp_path, None)
    program(tmp_path, DIED)
    tried: list[float] = []

    def refuse(*_: object, **__: object) -> None:
        tried.append(time.monotonic())
        raise MlflowException("busy")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", refuse)
        for _ in range(5):
            assert [run.status for run in workspace.runs.find()] == ["RUNNING"]
    assert len(tried) == 1
    assert len([record for record in caplog.records if "can't be ended yet" in record.message]) == 1
    (name,) = workspace.tracking.queue._round._unburied
    workspace.tracking.queue._round._unburied[name] = 0.0
    assert [run.status for run in workspace.runs.find()] == ["KILLED"]


def test_nothing_is_left_of_a_process_that_ended_well(tmp_path: Path) -> None:
    """Neither a journal nor a local id that nobody was told, however many runs it made."""
    said = program(tmp_path, "import mlops_jupyter\nfor n in range(3):\n    with mlops_jupyter.run(str(n)): pass")
    assert said == ""
    left = [path for path in (tmp_path / ".mlops" / "queue").rglob("*") if path.is_file()]
    assert [path.name for path in left if path.name != "turn.lock"] == []


def test_a_run_goes_to_the_experiment_of_its_workspace_as_it_is_now(tmp_path: Path, mlflow_server: str) -> None:
    """Whoever delivers, and whatever mlops.toml says by then: a run belongs where it was begun."""
    settings(tmp_path, mlflow_server, "first").tracking.create_run("one", experiment=None, parent=None, tags={})
    later = settings(tmp_path, mlflow_server, "second")
    with later.run("two") as run:
        pass
    assert later.runs.get(run.run_id).experiment.startswith("second")


def test_a_fork_in_the_middle_of_a_connection_reads_and_logs(tmp_path: Path) -> None:
    """A child shares no connection with its parent, and waits for no lock that nobody will let go of."""
    settings(tmp_path, None)
    said = program(
        tmp_path,
        """
import os, signal, mlops_jupyter
from mlops_jupyter import Workspace, log_metric
workspace = Workspace.open()
with workspace.run("parent"):
    connections = workspace.tracking.client._tracking_client.store.engine.pool
    workspace.tracking._lock.acquire()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        assert [run.name for run in workspace.runs.find()] == ["parent"]
        assert workspace.tracking.client._tracking_client.store.engine.pool is not connections
        log_metric("n", 2.0)
        workspace.tracking.queue.require_settled()
        print("child", flush=True)
        os._exit(0)
    print("ended", os.waitpid(child, 0)[1])
    workspace.tracking._lock.release()
print(workspace.runs.find()[0].metrics)
""",
    )
    assert said.split("\n")[:3] == ["child", "ended 0", "{'n': 2.0}"], said


def test_cells_that_could_not_be_kept_are_kept_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full after one cell loses no later one, and takes no cell of another run."""
    from mlops_jupyter.journal import CellRecord
    from mlops_jupyter.journal import Journal as CellJournal
    from mlops_jupyter.session import Session

    journal = CellJournal()
    session = Session(Workspace.open(tmp_path), {}, journal, lambda: None)

    def execute(source: str) -> None:
        journal.add(CellRecord(None, len(journal) + 1, source, "ok", "2026-01-01T00:00:00+00:00", 0.1))
        session.cell_ended()

    session.start(name="spans")
    queue = session.workspace.tracking.queue
    execute("a = 1")
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise StoreError("the disk is full", "make room")

        patch.setattr(queue, "cell", full)
        with pytest.raises(StoreError):
            execute("b = 2")
        session.end()
        with pytest.raises(StoreError):
            execute("%mlops end")
    execute("after = 1")
    run = session.workspace.runs.resolve("spans")
    cells = json.loads(session.workspace.runs.text(run, "mlops/cells.json") or "")
    assert [cell["source"] for cell in cells] == ["a = 1", "b = 2", "%mlops end"]
    assert mlops_jupyter.tracking.active.open_runs() == ()


def test_what_is_logged_meanwhile_is_waited_for_by_nobody(tmp_path: Path) -> None:
    """A run that ends, and a reader, wait for what was accepted up to then, however busily another thread logs on."""
    workspace = Workspace.open(tmp_path)
    over = threading.Event()
    with workspace.run("busy") as busy:
        queue = workspace.tracking.queue

        def logs() -> None:
            while not over.is_set():
                queue.metric(busy.run_id, "n", 1.0, 0)
                time.sleep(0.0005)

        thread = threading.Thread(target=logs)
        thread.start()
        try:
            for everything in (False, True):
                began = time.monotonic()
                assert queue.settle(everything=everything)
                assert time.monotonic() - began < 4
        finally:
            over.set()
            thread.join()


def test_a_store_that_is_away_for_days_is_tried_again() -> None:
    """However often it failed, the thread that delivers lives, and does when it can."""
    tried: list[float] = []

    def deliver(everything: bool, hurry: object) -> StoreError | None:
        tried.append(time.monotonic())
        return StoreError("away", "wait") if len(tried) < 3 else None

    made = courier.Courier(deliver, lambda: 0, 1.0)
    made._failures = 5000
    assert not made.settle()
    assert made.settle(insist=True) or made.settle(insist=True)
    assert made.problem is None


def test_a_failure_that_began_before_is_not_the_answer() -> None:
    """Who asks while a round is failing is answered by the next one, which begins at once."""
    fails, tried = threading.Event(), []

    def deliver(everything: bool, hurry: object) -> StoreError | None:
        tried.append(time.monotonic())
        return StoreError("away", "wait") if len(tried) == 1 and fails.wait(10) else None

    made = courier.Courier(deliver, lambda: 0, 20.0)
    made._failures = 5000  # so that a pause after one more would be the longest
    made.wake(0)
    while not tried:
        time.sleep(0.001)
    threading.Timer(0.2, fails.set).start()
    assert made.settle()
    assert len(tried) == 2
    assert tried[1] - tried[0] < 5
    assert made.problem is None


def test_a_fork_keeps_no_lock_of_its_parent(tmp_path: Path) -> None:
    """A worker that outlives its parent holds nothing that others wait for."""
    said = program(
        tmp_path,
        """
import os, signal, time
from pathlib import Path
from mlops_jupyter.locks import Lock
parent = os.fork()
if parent == 0:
    lock = Lock(Path("held"))
    assert lock.acquire()
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(parent, 0)
print("free", Lock(Path("held")).acquire())
""",
    )
    assert said.split() == ["free", "True"]


def test_no_gate_is_asked_while_numbers_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promotion is not decided on what another process has logged and not delivered."""
    from sklearn.dummy import DummyClassifier

    from mlops_jupyter.tracking.queue import round as rounds

    monkeypatch.setattr(rounds, "_OTHERS_WAIT", 0.2)
    (tmp_path / "mlops.toml").write_text(
        '[[promotion]]\nmodels = "*"\nalias = "champion"\ngates = [{metric = "auc", min = 0.5}]\n'
    )
    workspace = Workspace.open(tmp_path)
    with workspace.run("gated") as run:
        log.log_metric("auc", 0.9)
        mlops_jupyter.log_model(DummyClassifier().fit([[0], [1]], [0, 1]), register="gated")
    other = Journal(tmp_path / ".mlops" / "queue", encode(STORE, EMBEDDED), list)
    lock = Lock(tmp_path / ".mlops" / "queue" / f"{other.name}.delivering")
    assert lock.acquire()
    other.append(encode("metric", run.run_id, "auc", 0.1, 1, 4_000_000_000_000))
    with pytest.raises(StoreError, match="not in the store yet"):
        workspace.registry.promote("gated", to="champion")
    lock.release()
    assert workspace.registry.promote("gated", to="champion").to_json()["status"] == "refused"
    other.close()
