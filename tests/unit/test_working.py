"""Work that tells how far it is, and what is shown of it: to nobody, by a clock that is set by hand, on one line."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_jupyter import working as module
from mlops_jupyter.digest import digest_of
from mlops_jupyter.files import write_whole
from mlops_jupyter.progress import Progress, bar_line, how_far
from mlops_jupyter.snapshots.capture import capture
from mlops_jupyter.store import MemoryFolder, ObjectStore
from mlops_jupyter.tracking.neptune.telling import Telling
from mlops_jupyter.working import NOTICEABLE, PIECE, Watcher, Work, advance, counted, pieces, watched_by, working


class Notes:
    """Whoever watches, and writes down what there was."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.open = 0
        self.ended: list[tuple[str, float]] = []

    def begin(self, work: Work) -> None:
        self.works.append(work)
        self.open += 1

    def end(self, work: Work) -> None:
        self.open -= 1
        self.ended.append((work.what, work.done))


@pytest.fixture
def notes() -> Any:
    """Give whoever watches the test's work."""
    found = Notes()
    with watched_by(found):
        yield found


class Paper:
    """A screen that keeps what was drawn on it."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, float | None]] = []
        self.prepared = self.wiped = 0
        self.seen = threading.Event()

    def prepare(self) -> None:
        self.prepared += 1

    def draw(self, work: Work, seconds: float) -> None:
        self.drawn.append((work.what, work.fraction))
        self.seen.set()

    def wipe(self) -> None:
        self.wiped += 1


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# ---------------------------------------------------------------------------------------------------------------------
# Telling


def test_work_that_nobody_watches_costs_next_to_nothing():
    """Without a watcher, to say that work begins and goes on takes well under a microsecond's order."""

    def once() -> float:
        began = time.perf_counter()
        for _ in range(20_000):
            with working("digest", 100) as work:
                work.advance(1)
        return (time.perf_counter() - began) / 20_000

    assert min(once() for _ in range(5)) < 5e-6  # 0.3 µs where nothing else runs


def test_unwatched_work_keeps_nothing():
    """What nobody watches is one object for all, and never counts."""
    with working("a", 10) as first, working("b", 10) as second:
        first.advance(5)
        assert first is second
        assert first.done == 0


def test_watched_work_begins_counts_and_ends(notes):
    """A watcher is told of the beginning and the end, of an error's too, and of how far it came."""

    def fail() -> None:
        with working("reading", 10, "rows") as work:
            work.advance(4)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert notes.open == 0
    assert notes.ended == [("reading", 4)]


def test_other_threads_work_is_not_watched(notes):
    """Who watches is told by the context: a thread of its own, a server's say, draws nothing into a cell."""
    thread = threading.Thread(target=lambda: working("elsewhere").__enter__())
    thread.start()
    thread.join()
    assert notes.works == []


def test_progress_from_deep_inside_goes_to_the_innermost_work_of_its_unit(notes):
    """Bytes count where bytes are counted, and neither for the work around it, nor for work of another kind."""
    with working("outer", 100), working("inner", 50, "rows") as inner:
        advance(7)
        advance(3, "rows")
        assert inner.done == 3
    with working("outer", 100) as outer:
        with working("of no known size"):
            advance(7)
        advance(5)
        assert outer.done == 5


def test_a_counted_block_counts_once(notes):
    """What was noted inside is not added to what the block counts, and a block that wrote nothing counts as well."""
    with working("putting", 100) as work:
        with counted(40):
            advance(40)
        with counted(40):
            advance(25)
        with counted(10):
            pass
        assert work.done == 90


def test_pieces_are_the_whole(notes):
    """Bytes come out as they went in, a piece at a time, and all are counted."""
    data = np.arange((PIECE + 80) // 8, dtype=np.int64)
    with working("cutting", data.nbytes) as work:
        parts = list(pieces(data.data))
    assert len(parts) == 2
    assert b"".join(parts) == data.tobytes()
    assert work.done == data.nbytes
    assert list(pieces(b"")) == []


# ---------------------------------------------------------------------------------------------------------------------
# Watching, by a clock that is set by hand


def test_nothing_is_shown_before_a_second():
    """Work is shown when it has been going on for a second, not before."""
    clock = Clock()
    watcher = Watcher(Paper(), 0.1, clock)
    with watched_by(watcher), working("digest", 10) as work:
        assert watcher.shown() is None
        clock.now += 0.99
        assert watcher.shown() is None
        clock.now += 0.01
        assert watcher.shown() is work
    assert watcher.shown() is None


def test_the_outermost_that_knows_how_far_it_is_is_shown_else_the_innermost():
    """A bar with an end is worth more than one without; work inside it that is younger than a second does not count."""
    clock = Clock()
    watcher = Watcher(Paper(), 0.1, clock)
    with watched_by(watcher), working("verb") as verb:
        clock.now += 2
        with working("snapshot", 10) as snapshot:
            assert watcher.shown() is verb
            clock.now += 1
            with working("digest", 5):
                clock.now += 1
                assert watcher.shown() is snapshot
                snapshot.advance(11)  # more than anybody thought: no bar can say how far that is
                assert watcher.shown().what == "digest"
        with working("waiting") as waiting:
            clock.now += 1
            assert watcher.shown() is waiting


def test_quick_work_draws_nothing_and_leaves_no_thread():
    """Work that ends at once was prepared for, never drawn, and its thread is gone."""
    paper = Paper()
    with watched_by(Watcher(paper, 0.01)):
        for _ in range(3):
            with working("quick", 3):
                pass
    assert (paper.drawn, paper.prepared, paper.wiped) == ([], 3, 3)
    assert not any(thread.name == "mlops-working" for thread in threading.enumerate())


def test_long_work_is_drawn_and_wiped(monkeypatch):
    """Work of more than the threshold is drawn from another thread, and wiped before the block is left."""
    monkeypatch.setattr(module, "_AFTER", 0.02)
    paper = Paper()
    with watched_by(Watcher(paper, 0.01)):
        with working("long", 4) as work:
            work.advance()
            assert paper.seen.wait(20)
        count = len(paper.drawn)
        assert paper.wiped == 1
    assert paper.drawn[0] == ("long", 0.25)
    time.sleep(0.05)
    assert len(paper.drawn) == count


def test_a_screen_that_fails_does_not_disturb_the_work(monkeypatch):
    """Neither what can't be prepared, nor what can't be drawn or wiped, reaches the work."""

    class Broken(Paper):
        def prepare(self) -> None:
            super().prepare()
            raise OSError("gone")

        def draw(self, work: Work, seconds: float) -> None:
            super().draw(work, seconds)
            raise OSError("gone")

        def wipe(self) -> None:
            super().wipe()
            raise OSError("gone")

    monkeypatch.setattr(module, "_AFTER", 0.02)
    paper = Broken()
    with watched_by(Watcher(paper, 0.01)), working("long"):
        assert paper.seen.wait(20)
        time.sleep(0.05)
    assert (len(paper.drawn), paper.prepared, paper.wiped) == (1, 1, 1)


def test_work_goes_on_where_no_thread_can_be_started(monkeypatch):
    """At Python's end, or at the limit of threads, work is carried out unseen."""
    paper = Paper()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with watched_by(Watcher(paper, 0.1)), working("last", 1) as work:
        work.advance()
    assert work.done == 1


# ---------------------------------------------------------------------------------------------------------------------
# What tells


def test_a_large_frame_s_digest_tells_its_bytes_and_stays_what_it_was(notes):
    """Numbers are counted to the last byte, and to be watched changes no digest; small ones are not worth a word."""
    frame = pd.DataFrame(np.random.default_rng(0).random((PIECE // 16, 4)))
    watched = digest_of(frame)
    with watched_by(None):
        assert digest_of(frame) == watched
    assert [work.what for work in notes.works] == ["digest of a DataFrame"]
    assert notes.works[0].fraction == pytest.approx(1, abs=0.01)
    digest_of(frame.head(10))
    assert len(notes.works) == 1


def test_a_large_file_s_and_a_folder_s_digest_tell_their_bytes(notes, tmp_path):
    """A folder is one piece of work, not one a file."""
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / name).write_bytes(bytes(NOTICEABLE))
    digest_of(tmp_path / "data")
    digest_of(tmp_path / "data" / "a")
    assert notes.ended == [("digest of data", 2 * NOTICEABLE), ("digest of a", NOTICEABLE)]


def test_a_snapshot_tells_the_bytes_of_its_variables(notes, tmp_path):
    """What is written and what is there already count alike."""
    store = ObjectStore.open(tmp_path)
    array = np.random.default_rng(0).random(PIECE // 8 + 1000)
    for _ in range(2):
        capture({"array": array, "word": "x"}, store)
    for work in notes.works:
        assert work.what == "snapshot of the variables"
        assert work.total == array.nbytes
        assert work.done == pytest.approx(array.nbytes, rel=0.01)
    assert len(notes.works) == 2


def test_a_snapshot_without_large_values_has_no_known_size(notes):
    """Where nothing says how much there is, there is no total to be wrong about."""
    capture({"word": "x"}, ObjectStore(MemoryFolder()))
    assert [(work.total, work.done) for work in notes.works] == [(None, 0)]


def test_a_restored_snapshot_has_counted_all_of_it(notes, tmp_path):
    """To read and to rebuild are halves of one piece of work, which ends at its total."""
    from mlops_jupyter import Workspace

    rooms = Workspace.open(tmp_path).snapshots
    rooms.take({"array": np.arange(100_000), "word": "x"}, environment={}, git={})
    rooms.load("@last", namespace={})
    (work,) = [work for work in notes.works if work.what == "restoring the variables"]
    assert work.fraction == 1


def test_a_file_written_in_pieces_is_whole(notes, tmp_path):
    """More than a piece is written as it is, arrays too."""
    data = np.random.default_rng(0).random(PIECE // 8 + 3)
    with working("writing", data.nbytes) as work:
        write_whole(tmp_path / "file", data.data)
    assert Path(tmp_path / "file").read_bytes() == data.tobytes()
    assert work.fraction == 1


def test_an_import_counts_its_runs(notes):
    """A run that is done counts, whatever became of it, and not before."""
    telling = Telling(lambda event: None, 3)
    with working("import from Neptune", 3, "runs") as work:
        for state in ("succeeded", "failed"):
            telling.begin("run")
            telling.moment()
            telling.end(state)
        assert work.done == 2


# ---------------------------------------------------------------------------------------------------------------------
# A terminal's line


@pytest.mark.parametrize("columns", [1, 2, 5, 20, 40, 60, 80, 200])
@pytest.mark.parametrize(
    "what", ["x", "digest of a DataFrame", "\x1b[31mred\r\n" * 9, "数据" * 40, "é" * 300, "\u202eright"]
)
@pytest.mark.parametrize("done", [0, 43, 100, 120])
def test_a_line_fits_its_terminal_and_moves_no_cursor(columns, what, done):
    """However narrow the terminal and hostile the name, the line is shorter than it and has no control characters."""
    line = bar_line(Work(what, 100, "rows", done=done), 12, columns)
    wide = sum("\u4e00" <= letter <= "\u9fff" for letter in line)
    assert len(line) + wide < columns
    assert line.isprintable()


def test_a_line_has_name_bar_and_numbers_where_there_is_room():
    """A wide terminal shows all of it, a narrow one the numbers."""
    work = Work("digest of x", 4_000_000_000, done=1_000_000_000)
    assert bar_line(work, 12, 100) == f"digest of x  [{'#' * 7}{'-' * 23}]  25 %, 1.0 GB of 4.0 GB, 12 s"
    assert bar_line(work, 12, 40) == "25 %, 1.0 GB of 4.0 GB, 12 s"


def test_what_is_known_is_said():
    """With a total how far, without one how much, without either how long."""
    assert how_far(Work("x", 10, "runs", done=3), 75) == "30 %, 3 of 10 runs, 1 min 15 s"
    assert how_far(Work("x", 10, "runs", done=30), 3.7) == "30 runs, 3 s"
    assert how_far(Work("x"), 1.2) == "1 s"


def test_a_pipeline_s_line_is_not_drawn_over():
    """While steps are shown on a terminal's last line, work is not, and nothing is drawn where there is none."""

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(stream)
    progress.draw(Work("digest"), 2)
    assert "digest" in stream.getvalue()
    progress.tell({"topic": "pipelines", "step": "train", "state": "running"})
    before = stream.getvalue()
    progress.draw(Work("digest"), 3)
    assert stream.getvalue() == before
    plain = io.StringIO()
    with Progress(plain).watching():
        assert not module.is_watched()
    with Progress(Terminal(), quiet=True).watching():
        assert not module.is_watched()
