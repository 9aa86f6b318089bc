"""Tracking servers that are away, hang or fail: nothing lost, nothing doubled, and no cell held up."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import Notebook, mlops, until
from programs import opened
from stores import FailingProxy, MlflowServer, PostgreSQL
from writers import expected, points

import mlops_jupyter
from mlops_jupyter import Workspace
from mlops_jupyter.errors import ConflictError, ValueRefused
from mlops_jupyter.tracking import active, log

#: What a cell may take whatever the server does, in seconds.
SOON = 6.0


def timed(call: Callable[[], object]) -> float:
    """Give the seconds that a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def settled(workspace: Workspace) -> None:
    """Wait until the backlog is gone."""

    def is_gone() -> bool:
        return workspace.tracking.queue.settle(insist=True) and workspace.tracking.queue.backlog().entries == 0

    until(is_gone, "the backlog is gone", 120)


def _while_it_is_away(tmp_path: Path, server: MlflowServer, seconds: float) -> None:
    """Log before, while and after a server is stopped, from a notebook whose cells must not notice."""
    workspace = opened(tmp_path, server.uri)
    notebook = Notebook(tmp_path)
    took: list[float] = []

    def cell(code: str) -> str:
        began = time.monotonic()
        shown = notebook.good(code).text
        took.append(time.monotonic() - began)
        return shown

    try:
        notebook.good("from mlops_jupyter import log_metric, log_param\n%mlops start --name through")
        cell("for i in range(0, 300): log_metric('n', float(i // 3), i // 3)")
        server.kill()
        away = time.monotonic()
        cell("for i in range(300, 600): log_metric('n', float(i // 3), i // 3)")
        cell("log_param('depth', 3)\nlog_param('depth', 3)\n%mlops log tag when='while it was away'")
        cell("%mlops log text note.txt=\"'kept'\"")
        cell("%mlops end")
        said = cell("%%mlops run --name 'a cell alone'\nlog_metric('m', 2.0)")
        assert "FINISHED" in said
        assert "entries wait for it, and are safe" in said
        cell("%mlops start --name 'begun alone'")
        cell("for i in range(0, 30): log_metric('n', float(i // 3), i // 3)")
        alone = notebook.value("get_ipython().run_line_magic('mlops', 'status').to_json()['active_run']['run_id']")
        assert notebook.value("get_ipython().run_line_magic('mlops', 'status').to_json()['backlog']") > 300
        time.sleep(max(0.0, seconds - (time.monotonic() - away)))
        server.start()
        cell("for i in range(30, 60): log_metric('n', float(i // 3), i // 3)\nimport mlflow")
        settled(workspace)
        notebook.good("mlflow.log_metric('direct', 1)")
        notebook.good("%mlops end")
    finally:
        notebook.close()
    assert max(took) < SOON, took
    settled(workspace)
    through, begun = workspace.runs.resolve("through"), workspace.runs.resolve("begun alone")
    client = workspace.tracking.client
    assert points(client, through.run_id) == expected(600)
    assert (through.status, through.params["depth"]) == ("FINISHED", "3")
    assert through.tags["when"] == "while it was away"
    assert workspace.runs.text(through, "note.txt") == "kept"
    assert points(client, begun.run_id) == expected(60)
    assert begun.metrics["direct"] == 1.0
    assert begun.tags["mlops.local_id"] == alone
    assert begun.run_id != alone
    assert len(workspace.runs.find()) == 3
    of_a_cell = workspace.runs.resolve("a cell alone")
    assert (of_a_cell.status, of_a_cell.metrics["m"]) == ("FINISHED", 2.0)
    (record,) = json.loads(workspace.runs.text(of_a_cell, "mlops/cells.json") or "")
    assert (record["outcome"], record["read"]) == ("ok", ["log_metric"])
    started = client.get_run(begun.run_id).info.start_time / 1000
    # It was created when the server was back, and began before.
    assert time.time() - started > seconds
    for ref in (alone, alone[:8], "begun alone"):
        assert mlops("compare", ref, "--json", cwd=tmp_path).json["runs"][0]["run_id"] == begun.run_id


def test_a_server_that_is_stopped_during_a_run_loses_nothing(tmp_path: Path, server: MlflowServer) -> None:
    """Ten seconds away: points, params, tags and texts arrive, a run begun meanwhile has its true start."""
    _while_it_is_away(tmp_path, server, 10)


@pytest.mark.long
def test_a_server_that_is_stopped_for_a_minute_loses_nothing(tmp_path: Path, server: MlflowServer) -> None:
    """The same for a minute."""
    _while_it_is_away(tmp_path, server, 60)


def test_a_server_that_hangs_holds_no_call_up(
    tmp_path: Path, server: MlflowServer, caplog: pytest.LogCaptureFixture
) -> None:
    """One that takes connections and never answers is worse than one that is gone; it is waited for a moment."""
    workspace = opened(tmp_path, server.uri)
    first = active.begin(workspace.tracking, "first")
    log.log_metric("n", 0.0, 0)
    workspace.tracking.queue.settle()
    process = server.process_group
    os.killpg(process, signal.SIGSTOP)
    try:
        assert timed(lambda: log.log_param("p", 1)) < SOON
        assert timed(lambda: [log.log_metric("n", float(i // 3), i // 3) for i in range(1, 50)]) < SOON
        assert timed(lambda: active.end()) < 2 * SOON
        assert timed(lambda: active.begin(workspace.tracking, "second")) < SOON
        second = active.require_run()
        assert timed(lambda: log.log_metric("n", 0.0, 0)) < SOON
    finally:
        os.killpg(process, signal.SIGCONT)
    active.end()
    settled(workspace)
    assert "does not answer" in caplog.text
    assert points(workspace.tracking.client, first.run_id) == expected(50)
    assert workspace.runs.get(first.run_id).params == {"p": "1"}
    assert points(workspace.tracking.client, workspace.runs.get(second.run_id).run_id) == [(0, 0.0)]
    assert [run.name for run in workspace.runs.find()] == ["second", "first"]


def test_a_server_that_fails_every_third_call_doubles_nothing(tmp_path: Path, server: MlflowServer) -> None:
    """Half of the failures come after the call was carried out; each run, point and tag is there once all the same."""
    with FailingProxy(server.uri) as proxy:
        workspace = opened(tmp_path, proxy.uri)
        ids = []
        for number in range(8):
            with workspace.run(f"run-{number}", params={"number": number}) as run:
                for i in range(2500):
                    mlops_jupyter.log_metric("n", float(i // 3), i // 3)
                log.log_tag("done", number)
                ids.append(run.run_id)
        settled(workspace)
        assert proxy.failures > 10
        found = [workspace.runs.get(run_id) for run_id in ids]
    direct = opened(tmp_path, server.uri)
    assert sorted(run.name for run in direct.runs.find()) == [f"run-{number}" for number in range(8)]
    for number, run in enumerate(found):
        assert points(direct.tracking.client, run.run_id) == expected(2500)
        assert (run.status, run.params["number"], run.tags["done"]) == ("FINISHED", str(number), str(number))
    assert direct.status().to_json()["rejected"] is None


def test_a_database_server_that_goes_away_loses_nothing(tmp_path: Path) -> None:
    """PostgreSQL's connections break without a word; what was logged meanwhile arrives over new ones."""
    database = PostgreSQL()
    try:
        workspace = opened(tmp_path, database.start())
        with workspace.run("through") as run:
            for i in range(300):
                mlops_jupyter.log_metric("n", float(i // 3), i // 3)
            workspace.tracking.queue.settle()
            database.kill()
            assert timed(lambda: log.log_param("p", 1)) < SOON
            for i in range(300, 600):
                mlops_jupyter.log_metric("n", float(i // 3), i // 3)
            time.sleep(3)
            database.start()
        settled(workspace)
        known = workspace.runs.get(run.run_id)
        assert (known.status, known.params) == ("FINISHED", {"p": "1"})
        assert points(workspace.tracking.client, run.run_id) == expected(600)
        assert workspace.status().to_json()["rejected"] is None
    finally:
        database.stop()


def test_what_is_refused_for_good_is_put_aside(tmp_path: Path, store_uri: str | None) -> None:
    """A run that somebody deletes takes nothing more; that is told, and the next run is not held up."""
    (tmp_path / "mlops.toml").write_text(
        f'[tracking]\nexperiment = "{tmp_path.name}-{os.getpid()}"\n' + (f'uri = "{store_uri}"\n' if store_uri else "")
    )
    workspace = Workspace.open(tmp_path)
    with workspace.run("deleted") as gone:
        workspace.tracking.connect().delete_run(gone.run_id)
        for i in range(30):
            mlops_jupyter.log_metric("n", float(i), i)
    with workspace.run("after") as run:
        mlops_jupyter.log_metric("n", 1)
    settled(workspace)
    assert workspace.runs.get(run.run_id).metrics == {"n": 1.0}
    status = workspace.status()
    rejected = status.to_json()["rejected"]
    # Its thirty points, and its end.
    assert rejected["entries"] == 31
    assert "refused" in str(status)


def test_one_bad_entry_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is refused is parted until the entry at fault is alone: the other 999 arrive."""
    workspace = Workspace.open(tmp_path)
    with workspace.run("mixed") as run:
        for i in range(999):
            mlops_jupyter.log_metric("n", float(i), i)
        # Past our checks, as when the server is stricter than the client that we ask.
        run.tracking.queue.metric(run.run_id, "no;name", 1.0, 0)
        run.tracking.queue.param(run.run_id, "p", "1")
    assert len(workspace.tracking.client.get_metric_history(run.run_id, "n")) == 999
    assert workspace.runs.get(run.run_id).params == {"p": "1"}
    assert workspace.status().to_json()["rejected"]["entries"] == 1


def test_an_entry_that_the_store_fails_on_each_time_blocks_nothing(tmp_path: Path, postgresql: str) -> None:
    """PostgreSQL takes no text with a NUL, and MLflow calls that its own failure: put aside after a few tries."""
    workspace = opened(tmp_path, postgresql)
    with workspace.run("nul") as run:
        mlops_jupyter.log_metric("n", 1.0)
        log.log_tag("bad", "a\x00b")
        log.log_tag("good", "ab")
    settled(workspace)
    known = workspace.runs.get(run.run_id)
    assert (known.status, known.tags.get("good"), known.metrics) == ("FINISHED", "ab", {"n": 1.0})
    assert workspace.status().to_json()["rejected"]["entries"] == 1


def test_what_mlflow_refuses_is_refused_at_the_call(tmp_path: Path, store_uri: str | None) -> None:
    """Names, lengths, and the second value of a param; the same value again is no error."""
    (tmp_path / "mlops.toml").write_text(f'[tracking]\nuri = "{store_uri}"\n' if store_uri else "")
    with Workspace.open(tmp_path).run("strict") as run:
        for bad in ("a;b", "x" * 251, "../up", ""):
            with pytest.raises(ValueRefused):
                log.log_metric(bad, 1)
            with pytest.raises(ValueRefused):
                log.log_param(bad, 1)
            with pytest.raises(ValueRefused):
                log.log_tag(bad, 1)
        with pytest.raises(ValueRefused):
            log.log_metric("n", 1, step=2**63)
        log.log_param("depth", 3)
        log.log_param("depth", 3)
        with pytest.raises(ConflictError, match="is '3' in this run already"):
            log.log_param("depth", 4)
        run.tracking.connect().log_param(run.run_id, "direct", "1")
        log.log_param("direct", 1)
        with pytest.raises(ConflictError, match="is '1' in this run already"):
            log.log_param("direct", 2)
    assert Workspace.open(tmp_path).status().to_json()["rejected"] is None


def test_threads_share_the_queue(tmp_path: Path, store_uri: str | None) -> None:
    """Eight threads write into the one run of the process at once; every point is there once."""
    (tmp_path / "mlops.toml").write_text(f'[tracking]\nuri = "{store_uri}"\n' if store_uri else "")
    workspace = Workspace.open(tmp_path)

    def write(thread: int) -> None:
        for i in range(600):
            log.log_metric("n" if thread % 2 else f"m{thread}", float(i), i)

    with workspace.run("threads") as run:
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    client = workspace.tracking.client
    # Four threads write the same values at the same steps.
    assert points(client, run.run_id) == sorted((i, float(i)) for i in range(600) for _ in range(4))
    assert all(len(client.get_metric_history(run.run_id, f"m{thread}")) == 600 for thread in (0, 2, 4, 6))
