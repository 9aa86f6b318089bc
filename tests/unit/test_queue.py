"""The parts of the write-ahead queue: lines, times, batches, and the files of a journal."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter import Workspace
from mlops_jupyter.errors import ConflictError, DeniedError, NotFoundError, StoreError
from mlops_jupyter.tracking import connection
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.queue import appending, points
from mlops_jupyter.tracking.queue import journal as journal_module
from mlops_jupyter.tracking.queue import queue as queue_module
from mlops_jupyter.tracking.queue.batches import MOST, MOST_PARAMS, batches
from mlops_jupyter.tracking.queue.cells import Cells
from mlops_jupyter.tracking.queue.entries import (
    Entry,
    decode,
    encode,
    metric_line,
    metric_prefix,
    open_runs,
)
from mlops_jupyter.tracking.queue.failures import is_for_good
from mlops_jupyter.tracking.queue.journal import Delivered, Journal, names
from mlops_jupyter.tracking.queue.local_ids import LocalIds, Refused, Waiting
from mlops_jupyter.tracking.queue.points import Times
from mlops_jupyter.uris import hide_secrets, shown_uri

HEADER = encode("store", "embedded")


BEGUN = {"experiment": "e", "name": "b", "parent": None, "tags": {}, "start": 1}


def made(folder: Path, carried: list[bytes] | None = None) -> Journal:
    """Make a journal in a folder."""
    return Journal(folder, HEADER, lambda: carried or [])


# ---------------------------------------------------------------------------------------------------------------------
# Entries


@given(st.text(), st.text(), st.floats(), st.integers(-(2**63), 2**63 - 1))
def test_a_point_is_read_as_it_was_written(run: str, name: str, value: float, step: int) -> None:
    """The quick way of writing a line and the plain one say the same, for any text and number."""
    quick = metric_line(metric_prefix(run, name), value, step, 12)
    assert quick.count(b"\n") == 1
    for line in (quick, encode("metric", run, name, value, step, 12)):
        entry = decode(line)
        assert entry is not None
        found_name, found, found_step, milliseconds = entry.values
        assert (entry.kind, entry.run, found_name, found_step, milliseconds) == ("metric", run, name, step, 12)
        assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize("line", [b"\0\0\0\n", b'["metric","r"', b"{}\n", b"[]\n", b"[1,2]\n", b"null\n", b'"ab"\n'])
def test_a_line_that_is_none_of_ours_is_no_entry(line: bytes) -> None:
    """What a machine that lost its power leaves behind is passed over, not read as something else."""
    assert decode(line) is None


def test_runs_that_were_not_ended_are_open() -> None:
    """A run is open from its beginning, the local one's included, to its end or until the store knows of it."""
    lines = [encode("open", "a"), encode("begin", "b", BEGUN), encode("open", "c"), encode("open", "d")]
    lines += [encode("end", "a", "FINISHED", 1), encode("closed", "c")]
    assert list(open_runs(lines)) == ["b", "d"]


# ---------------------------------------------------------------------------------------------------------------------
# Times


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 3)), max_size=60))
def test_of_one_step_the_last_point_is_the_latest(calls: list[tuple[int, int]]) -> None:
    """Whatever the clock does between calls, points of one step are in time as they were logged."""
    clock = [1_000_000_000_000_000_000]
    times = Times()
    last: dict[int, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points.time, "time_ns", lambda: clock[0])
        for step, passed in calls:
            clock[0] += passed * 400_000
            given = times.time_of(step)
            assert given > last.get(step, 0)
            assert given >= clock[0] // 1_000_000
            last[step] = given


def test_points_of_different_steps_keep_the_clocks_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what MLflow would take for the same point is moved: a fast loop's times stay true."""
    monkeypatch.setattr(points.time, "time_ns", lambda: 5_000_000_000)
    times = Times()
    assert {times.time_of(step) for step in range(20_000)} == {5000}
    assert [times.time_of(20_001) for _ in range(3)] == [5000, 5001, 5002]


def test_times_take_no_memory_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that logs for days leaves nothing behind, one that repeats itself included."""
    clock = [0]
    monkeypatch.setattr(points.time, "time_ns", lambda: clock[0])
    times = Times()
    for i in range(50_000):
        clock[0] += 20_000
        times.time_of(0)
        times.time_of(i)
        assert len(times._next) <= points._MOST + 2


# ---------------------------------------------------------------------------------------------------------------------
# Batches

_kinds = st.sampled_from(["metric", "param", "tag", "text", "end"])
_entries = st.builds(
    lambda kind, run, name: Entry(kind, run, (name, 1, 2, 3)), _kinds, st.sampled_from("ab"), st.sampled_from("xyz")
)


@given(st.lists(_entries, max_size=80))
def test_batches_keep_the_order_of_each_run(entries: list[Entry]) -> None:
    """Nothing is lost or doubled, and of one run nothing overtakes anything."""
    made = batches(entries)
    for run in "ab":
        assert [e for batch in made if batch.run == run for e in batch.entries] == [e for e in entries if e.run == run]
    for batch in made:
        named = [(e.kind, e.values[0]) for e in batch.entries if e.kind in ("param", "tag")]
        assert len(named) == len(set(named))


def test_batches_hold_what_mlflow_takes_at_once() -> None:
    """A thousand entries, a hundred params; two runs that take turns fill a batch each."""
    turns = [Entry("metric", "ab"[i % 2], ("n", 1.0, i, 1)) for i in range(2 * MOST + 2)]
    assert sorted(len(batch.entries) for batch in batches(turns)) == [1, 1, MOST, MOST]
    params = [Entry("param", "a", (f"p{i}", "1")) for i in range(MOST_PARAMS + 1)]
    assert [len(batch.entries) for batch in batches(params)] == [MOST_PARAMS, 1]


class _Said(Exception):
    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text)
        self.error_code = code


@pytest.mark.parametrize(
    ("error", "for_good"),
    [
        (_Said("INVALID_PARAMETER_VALUE"), True),
        (_Said("RESOURCE_DOES_NOT_EXIST"), True),
        (_Said("BAD_REQUEST", "no such thing"), True),
        (_Said("BAD_REQUEST", "(psycopg2.InterfaceError) connection already closed"), False),
        (_Said("TEMPORARILY_UNAVAILABLE"), False),
        (_Said("INTERNAL_ERROR"), False),
        (_Said("UNAUTHENTICATED"), False),
        (ConflictError("deleted"), True),
        (NotFoundError("gone"), True),
        (Waiting("not yet"), False),
        (DeniedError("the token is old"), False),
        (StoreError("away"), False),
        (OSError(28, "full"), False),
    ],
)
def test_only_what_stays_refused_is_put_aside(error: Exception, for_good: bool) -> None:
    """A broken connection, an old token or a full disk passes; a wrong value does not."""
    assert is_for_good(error) is for_good


# ---------------------------------------------------------------------------------------------------------------------
# Journals


def test_a_journal_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    """What was delivered is not given again, what came since is, and a dead one is told from a living one."""
    journal = made(tmp_path)
    journal.append(b'["a","1"]\n')
    there = Delivered(tmp_path, journal.name)
    chunk = there.read()
    assert chunk is not None
    assert chunk.lines == (HEADER, b'["a","1"]\n')
    there.note(chunk.segment, chunk.end)
    assert (there.read(), there.pending()) == (None, 0)
    journal.append(b'["b","1"]\n')
    again = Delivered(tmp_path, journal.name).read()
    assert again is not None
    assert again.lines == (b'["b","1"]\n',)
    assert not there.is_dead()
    journal.close()
    assert there.is_dead()
    assert names(tmp_path) == [journal.name]
    there.remove()
    assert (names(tmp_path), list(tmp_path.iterdir())) == ([], [])


def test_half_a_line_is_no_entry(tmp_path: Path) -> None:
    """A process killed in the middle of a write leaves half a line; nobody was told that it was kept."""
    journal = made(tmp_path)
    journal.append(b'["a","1"]\n')
    journal.close()
    file = next(tmp_path.glob("*.jsonl"))
    file.write_bytes(file.read_bytes() + b'["b",')
    chunk = Delivered(tmp_path, journal.name).read()
    assert chunk is not None
    assert chunk.lines[-1] == b'["a","1"]\n'


def test_a_large_journal_goes_on_in_the_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are delivered are taken away, and what the next one needs to know is repeated in it."""
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 2000)
    monkeypatch.setattr(journal_module, "_CHUNK_BYTES", 300)
    open_run = encode("open", "r")
    journal = made(tmp_path, [open_run])
    lines = [encode("metric", "r", "n", float(i), i, i) for i in range(400)]
    for line in lines:
        journal.append(line)
    there = Delivered(tmp_path, journal.name)
    assert len(there.segments()) > 5
    found = []
    while (chunk := there.read()) is not None:
        found += [line for line in chunk.lines if line.startswith(b'["metric"')]
        there.note(chunk.segment, chunk.end)
    assert found == lines
    assert there.segments() == [max(there.segments())]
    assert list(open_runs(there.lines((b'["open"',)))) == ["r"]
    journal.close()


def test_an_entry_larger_than_a_chunk_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of a megabyte is one entry all the same."""
    monkeypatch.setattr(journal_module, "_CHUNK_BYTES", 100)
    journal = made(tmp_path)
    large = encode("text", "r", "cell.py", "x" * 5000)
    journal.append(large)
    there = Delivered(tmp_path, journal.name)
    found: list[bytes] = []
    while (chunk := there.read()) is not None:
        found += chunk.lines
        there.note(chunk.segment, chunk.end)
    assert found == [HEADER, large]
    journal.close()


def test_an_entry_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an entry on a full disk is cut off again, so that the next one begins a line of its own."""
    journal = made(tmp_path)
    real = appending._write

    def full(handle: int, line: bytes, length: int) -> int:
        return real(handle, line[:5], 5)

    monkeypatch.setattr(appending, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        journal.append(encode("tag", "r", "a", "1"))
    monkeypatch.setattr(appending, "_write", real)
    journal.append(encode("tag", "r", "b", "1"))
    chunk = Delivered(tmp_path, journal.name).read()
    assert chunk is not None
    assert chunk.lines == (HEADER, encode("tag", "r", "b", "1"))
    journal.close()


def test_a_cell_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's cells are whole lines, be the disk full in the middle of one; the run's last one closes the file."""
    cells = Cells(tmp_path / "cells")
    cells.add("r", {"source": "a = 1"}, last=False)
    real = appending._write
    monkeypatch.setattr(appending, "_write", lambda handle, line, length: real(handle, line[:5], 5))
    with pytest.raises(OSError, match="No space left"):
        cells.add("r", {"source": "b = 2"}, last=True)
    monkeypatch.setattr(appending, "_write", real)
    cells.add("r", {"source": "b = 2"}, last=True)
    assert [cell["source"] for cell in cells.of("r")] == ["a = 1", "b = 2"]
    assert not cells._handles


# ---------------------------------------------------------------------------------------------------------------------
# Local ids


def test_a_local_id_leads_to_the_stores(tmp_path: Path) -> None:
    """It is waited for, then known to every process; an id that is no local one is the store's."""
    ids = LocalIds(tmp_path / "ids")
    local = ids.new()
    with pytest.raises(Waiting):
        ids.required(local)
    assert LocalIds(tmp_path / "ids").matching(local[:7]) == [local]
    LocalIds(tmp_path / "ids").settle(local, "f" * 32)
    assert ids.required(local) == "f" * 32
    assert ids.required("e" * 32) == "e" * 32
    refused = ids.new()
    ids.refuse(refused, "the experiment was deleted")
    with pytest.raises(Refused, match="the experiment was deleted"):
        ids.required(refused)


def test_entries_that_were_put_aside_say_why(tmp_path: Path) -> None:
    """The reason and the entry itself are there to be read, and counted."""
    from mlops_jupyter.tracking.queue.aside import Rejected

    rejected = Rejected(tmp_path / "rejected")
    assert rejected.summary() is None
    rejected.keep([Entry("tag", "r", ("a", "1"))], "first")
    rejected.keep([Entry("tag", "r", ("b", "1")), Entry("tag", "r", ("c", "1"))], "second")
    summary: Any = rejected.summary()
    assert (summary["entries"], summary["reason"]) == (3, "second")
    first = next((tmp_path / "rejected").iterdir()).read_text().splitlines()[0]
    assert json.loads(first)["entry"] == ["tag", "r", "a", "1"]


# ---------------------------------------------------------------------------------------------------------------------
# Watching


def test_who_watches_a_run_is_given_its_points(workspace: Workspace) -> None:
    """Points of that run alone, in order, from when it is watched until it ends; all of them reach the store."""
    with workspace.run("watched") as run:
        queue = run.tracking.queue
        queue.metric(run.run_id, "early", 1.0, 0)
        watched = queue.watch(run.run_id)
        assert queue.watch(run.run_id) is watched
        queue.metric(run.run_id, "loss", 0.5, 3)
        queue.metric("another", "loss", 0.25, 4)
        queue.metric(run.run_id, "loss", math.inf, 5)
        assert list(watched) == [("loss", 3, 0.5), ("loss", 5, math.inf)]
    queue.metric(run.run_id, "loss", 0.0, 6)
    assert len(watched) == 2
    assert set(workspace.runs.get(run.run_id).metrics) == {"early", "loss"}


def test_a_run_that_nobody_looks_at_takes_no_memory_that_grows(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many points the last ones are kept."""
    monkeypatch.setattr(queue_module, "_MOST_WATCHED", 10)
    with workspace.run("watched") as run:
        watched = run.tracking.queue.watch(run.run_id)
        for step in range(100):
            run.tracking.queue.metric(run.run_id, "loss", 0.5, step)
        assert [step for _, step, _ in watched] == list(range(90, 100))


# ---------------------------------------------------------------------------------------------------------------------
# What is shown of a store


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:sec/ret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:sec@ret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("http://:secret@h:5000", "http://:***@h:5000"),
        ("mysql://u@h/db?ssl=1&password=secret&x=1", "mysql://u@h/db?ssl=1&password=***&x=1"),
        ("http://h:5000/path", "http://h:5000/path"),
        ("postgresql://u:sec?ret#@h/db", "postgresql://u:***@h/db"),
        ("http://u:sec'r\"et@h:5000", "http://u:***@h:5000"),
        ("http://u@corp.com:secret@h:5000", "http://u@corp.com:***@h:5000"),
        ("http://secret@h:5000", "http://***@h:5000"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://u:sec?ret=1@h/db", "postgresql://u:***@h/db"),
        ("HTTP://secret@h", "http://***@h"),
        ("http://u:99/secret@h:5000", "http://u:***@h:5000"),
        ("postgresql://u:sec ret@h/db", "postgresql://u:***@h/db"),
        ("http://h:5000/?api_key=secret&a=b@c", "http://h:5000/?api_key=***&a=b@c"),
        ("sqlite:////folder/@home/mlflow.db", "sqlite:////folder/@home/mlflow.db"),
    ],
)
def test_no_password_is_shown(uri: str, shown: str) -> None:
    """Whatever characters it has, and wherever in the address it stands."""
    assert shown_uri(uri) == shown


def test_no_password_is_shown_in_what_others_say() -> None:
    """In a text an address may stand anywhere."""
    assert hide_secrets("can't open http://u:secret@h/ of a@b") == "can't open http://u:***@h/ of a@b"
    assert hide_secrets("GET http://token@h/ refused") == "GET http://***@h/ refused"
    assert hide_secrets("GET http://h/?token=secret refused") == "GET http://h/?token=*** refused"


def test_a_server_behind_a_proxy_is_asked_through_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names a proxy, that is who must be there; whom it is told to leave alone is asked."""
    asked: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise OSError("nobody")

    monkeypatch.setattr(connection.socket, "create_connection", connect)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    tracking = Workspace.open(tmp_path).tracking
    away = Tracking(replace(tracking.config, tracking_uri="http://mlflow.example:5000"), lambda: None)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    with pytest.raises(StoreError):
        away.check_reachable()
    monkeypatch.setenv("no_proxy", "mlflow.example")
    with pytest.raises(StoreError):
        away.check_reachable()
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "socks5h://proxy.example:1080")
    away.check_reachable()
    assert asked == [("proxy.example", 3128), ("mlflow.example", 5000)]
