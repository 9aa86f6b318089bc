"""Runs that have ended, compared with the notebook as it changes: by the file, and by what the editor sends."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from driving import Notebook, until, write_notebook
from stores import Opening

from mlops_jupyter import Workspace
from mlops_jupyter.journal import CellRecord, Journal
from mlops_jupyter.session import Session
from mlops_jupyter.tracking import context, lineage
from mlops_jupyter.tracking.lineage import Document, DocumentCell
from mlops_jupyter.tracking.marks import Marker
from mlops_jupyter.tracking.records import Run

LOAD, RUN = "%load_ext mlops_jupyter", "%%mlops run --name {}\n%mlops log metric z=z"
STALE = "[{}] used k from [{}], whose cell was edited after it ran"


def reasons(workspace: Workspace, run: Run | str) -> list[str]:
    """Give why a run will not reproduce; its tag must say the same."""
    run = workspace.runs.resolve(run) if isinstance(run, str) else workspace.runs.get(run.run_id)
    marks = json.loads(workspace.runs.text(run, lineage.LINEAGE) or "{}")["marks"]
    assert run.tags.get("mlops.marks", "") == ", ".join(dict.fromkeys(mark["kind"] for mark in marks))
    return [mark["reason"] for mark in marks]


# ---------------------------------------------------------------------------------------------------------------------
# In a kernel


class Editor:
    """What an editor does to a notebook: it has cells, executes them, saves them, and tells the kernel of them."""

    def __init__(self, kernel: Notebook, *sources: str) -> None:
        self.kernel = kernel
        self.cells = {f"cell-{n}": source for n, source in enumerate(sources)}

    def save(self) -> None:
        """Write the file, later than what was executed."""
        time.sleep(0.02)  # longer than the clock of the file system and that of the journal take for a tick
        write_notebook(self.kernel.folder / "work.ipynb", *self.cells.values())

    def execute(self, at: int) -> None:
        """Execute a cell."""
        cell = f"cell-{at}"
        self.kernel.good(self.cells[cell], cell)

    def tell(self) -> None:
        """Send the cells over the comm that the kernel has opened, and wait until they have arrived."""
        client = self.kernel._client
        asked = client.comm_info("mlops.document")
        comms: Any = None
        while comms is None:
            reply = client.get_shell_msg(timeout=60)
            comms = reply["content"]["comms"] if reply["parent_header"].get("msg_id") == asked else None
        told = [{"id": id, "source": source} for id, source in self.cells.items()]
        content = {"comm_id": next(iter(comms)), "data": {"cells": told}}
        client.shell_channel.send(client.session.msg("comm_msg", content))
        assert self.kernel.value("1") == 1


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Notebook]:
    (tmp_path / "mlops.toml").touch()
    notebook = Notebook(tmp_path, load=False, MLOPS_WORKSPACE=str(tmp_path), MLFLOW_TRACKING_URI="")
    yield notebook
    notebook.close()


@pytest.mark.parametrize("is_live", [False, True], ids=["saved", "live"])
def test_a_run_that_logs_what_is_stale_is_marked(kernel: Notebook, is_live: bool) -> None:
    """Six where top to bottom gives twenty: marked by the saved notebook, and by the editor; then it is run again."""
    editor = Editor(kernel, LOAD, "k = 3", "z = k * 2", RUN.format("stale"), RUN.format("fresh"))
    editor.save()
    workspace = Workspace.open(kernel.folder)
    for at in (0, 1, 2):
        editor.execute(at)
    editor.cells["cell-1"] = "k = 10"
    if is_live:
        editor.tell()
    for at in (1, 3):
        editor.execute(at)
    assert reasons(workspace, "stale") == [STALE.format(3, 2)]
    assert workspace.runs.resolve("stale").metrics == {"z": 6.0}
    for at in (2, 4):
        editor.execute(at)
    assert reasons(workspace, "fresh") == []
    assert workspace.runs.resolve("fresh").metrics == {"z": 20.0}


def test_a_cell_edited_after_its_run_has_ended_is_noticed_in_the_file(kernel: Notebook) -> None:
    """When the next cell begins the run is marked, and with the one after the edit was undone it is not any more."""
    told = "__import__('mlops_jupyter.kernel').kernel.load(get_ipython()).session.marked_runs._runs[0].kinds"
    editor = Editor(kernel, LOAD, "z = 3", RUN.format("once"), f"seen = {told}")
    workspace = Workspace.open(kernel.folder)
    for at in (0, 1, 2):
        editor.execute(at)
    assert reasons(workspace, "once") == []
    source = editor.cells["cell-2"]
    for now, expected in ((source + "\n# more", ["the cell executed as [3] was edited after it ran"]), (source, [])):
        editor.cells["cell-2"] = now
        editor.save()
        editor.execute(3)
        assert kernel.value("seen") == ("edited" if expected else "")
        assert reasons(workspace, "once") == expected


def test_a_cell_edited_after_its_run_has_ended_is_noticed_when_the_editor_tells(kernel: Notebook) -> None:
    """No further cell need be executed; a cell that is executed again as it was is not edited."""
    editor = Editor(kernel, LOAD, "z = 3", RUN.format("told"))
    workspace = Workspace.open(kernel.folder)
    editor.execute(0)
    editor.tell()
    for at in (1, 2):
        editor.execute(at)
    first = workspace.runs.resolve("told")
    editor.execute(2)
    assert reasons(workspace, first) == []
    source = editor.cells.pop("cell-2")
    editor.tell()
    assert reasons(workspace, first) == ["the cell executed as [3] is no longer in the notebook"]
    editor.cells["cell-2"] = source
    editor.tell()
    assert reasons(workspace, first) == []


def test_a_message_that_makes_no_sense_disturbs_nothing(kernel: Notebook) -> None:
    """Cells without sources are left out, and runs are compared with the others."""
    editor = Editor(kernel, LOAD, "z = 3", RUN.format("odd"))
    for at in (0, 1, 2):
        editor.execute(at)
    editor.cells["cell-1"] = 3  # type: ignore[assignment]
    editor.tell()
    workspace = Workspace.open(kernel.folder)
    assert reasons(workspace, "odd") == ["[3] used z from [2], whose cell is no longer in the notebook"]


# ---------------------------------------------------------------------------------------------------------------------
# In a session


class Working:
    """A session without a kernel: cells are noted as executed, and runs begun and ended, as a door would."""

    def __init__(self, workspace: Workspace, notebook: Path) -> None:
        self.file = notebook
        self.journal = Journal()
        self.session = Session(workspace, {}, self.journal, lambda: notebook)

    def execute(self, cell: str, source: str) -> None:
        """Note a cell, and what a door does when it has ended."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.journal.add(CellRecord(cell, len(self.journal) + 1, source, "ok", at, 0.0))
        self.session.cell_ended()

    def run(self, name: str, cell: str, source: str) -> str:
        """Make a run of one cell."""
        run = self.session.begin(name)
        self.session.close(run)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.journal.add(CellRecord(cell, len(self.journal) + 1, source, "ok", at, 0.0))
        self.session.keep_cell(run)
        self.session.cell_ended()
        return run.run_id

    def save(self, *sources: str) -> None:
        """Write the notebook, later than what was executed."""
        write_notebook(self.file, *sources)
        later = time.time() + 1 + len(self.journal)
        os.utime(self.file, (later, later))


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    """Give a workspace with the embedded store: what is marked does not depend on it."""
    return Workspace.open(folder)


@pytest.fixture
def working(workspace: Workspace, tmp_path: Path) -> Iterator[Working]:
    yield Working(workspace, tmp_path / "n.ipynb")
    context.current.document = None


def test_a_mark_comes_and_goes_in_every_store(opening: Opening, tmp_path: Path) -> None:
    """Also a span is compared again; a tag that is empty is no mark in a list of runs."""
    workspace = opening()
    work = Working(workspace, tmp_path / "n.ipynb")
    work.save("%mlops start", "k = 1", "%mlops end")
    name = f"span-{uuid.uuid4().hex[:8]}"
    run_id = work.session.start(name=name).data["run_id"]
    for cell, source in (("cell-0", "%mlops start"), ("cell-1", "k = 1")):
        work.execute(cell, source)
    work.session.end()
    work.execute("cell-2", "%mlops end")
    run = workspace.runs.get(run_id)
    assert reasons(workspace, run) == []
    for second, expected in (("k = 2", ["the cell executed as [2] was edited after it ran"]), ("k = 1", [])):
        work.save("%mlops start", second, "%mlops end")
        work.session.marked_runs.look_again()
        assert reasons(workspace, run) == expected
    shown = workspace.runs.search()
    assert not shown.rows[0]["marked"]
    assert "differ from the notebook" not in str(shown)


def test_the_runs_before_are_compared_with_what_the_next_one_finds(workspace: Workspace, working: Working) -> None:
    """Each of two runs of an edited cell is told of by itself: the first is edited, the second stands."""
    working.save("z = 1")
    first = working.run("first", "cell-0", "z = 1")
    working.save("z = 2")
    second = working.run("second", "cell-0", "z = 2")
    found = [reasons(workspace, workspace.runs.get(run)) for run in (first, second)]
    assert found == [["the cell executed as [1] was edited after it ran"], []]


def test_an_edit_that_was_executed_and_not_saved_is_known(workspace: Workspace, working: Working) -> None:
    """The journal knows how the cell stands, better than the file."""
    working.save("k = 3", "z = k * 2", "run")
    os.utime(working.file, (1e9, 1e9))
    working.execute("cell-0", "k = 3")
    working.execute("cell-1", "z = k * 2")
    run = workspace.runs.get(working.run("r", "cell-2", "run(z)"))
    assert reasons(workspace, run) == []
    working.execute("cell-0", "k = 10")
    assert reasons(workspace, run) == [STALE.format(2, 1)]


def test_a_restored_variable_is_of_no_cell(workspace: Workspace, working: Working) -> None:
    """The cell that had made what was overwritten by the snapshot may be edited."""
    session = working.session
    session.namespace["z"] = 1
    working.execute("cell-0", "z = 1")
    session.snapshot("kept")
    session.restore("kept", only=["z"])
    run = workspace.runs.get(working.run("r", "cell-1", "run(z)"))
    working.save("z = 2", "run(z)")
    session.marked_runs.look_again()
    assert reasons(workspace, run) == []


def test_the_last_runs_are_remembered(workspace: Workspace, working: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many, and no more: what is kept does not grow with the session."""
    monkeypatch.setattr("mlops_jupyter.marked_runs._MOST_RUNS", 2)
    working.session = Session(workspace, {}, working.journal, lambda: working.file)
    working.save("a", "b", "c")
    runs = [working.run(name, f"cell-{at}", name) for at, name in enumerate("abc")]
    working.save("x", "y", "z")
    working.session.marked_runs.look_again()
    found = [len(reasons(workspace, workspace.runs.get(run))) for run in runs]
    assert found == [0, 1, 1]


def test_nothing_is_written_where_nothing_changes(
    workspace: Workspace, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other cells that are edited cost no entry, a notebook as it was costs nothing; a tag that holds stays."""
    working.save("z = 1", "run(z)")
    working.execute("cell-0", "z = 1")
    working.run("r", "cell-1", "run(z)")
    written: list[str] = []
    queue = type(workspace.tracking.queue)
    monkeypatch.setattr(queue, "text", lambda self, run, artifact, text: written.append("text"))
    monkeypatch.setattr(queue, "tag", lambda self, run, name, text: written.append(text))
    compared: list[int] = []
    marks = Marker.marks
    monkeypatch.setattr(Marker, "marks", lambda self, basis: compared.append(1) or marks(self, basis))
    for sources, expected in (
        (("z = 1", "run(z)", "more"), []),
        (("z = 2", "run(z)", "more"), ["text", "edited"]),
        (("z = 1", "run(z, 2)", "more"), ["text"]),
    ):
        written.clear()
        compared.clear()
        working.save(*sources)
        for _ in range(2):
            working.session.marked_runs.look_again()
        assert (written, compared) == (expected, [1]), sources


def test_a_notebook_that_takes_long_to_read_is_not_read_all_the_time(
    workspace: Workspace, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells that follow one another quickly do not each wait for it; the next run does."""
    monkeypatch.setattr("mlops_jupyter.marked_runs._LONG", -1.0)
    monkeypatch.setattr("mlops_jupyter.marked_runs._PART_OF_TIME", 1e9)
    working.save("z")
    run = workspace.runs.get(working.run("r", "cell-0", "z"))
    working.save("y", "x")
    working.execute("cell-1", "x")
    assert reasons(workspace, run) == []
    working.run("s", "cell-1", "x")
    assert reasons(workspace, run) == ["the cell executed as [1] was edited after it ran"]


def test_what_goes_wrong_is_logged_once_and_tried_again(
    workspace: Workspace, working: Working, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The cell hears nothing of it, the run is kept unmarked, and compared as soon as that goes well."""
    caplog.set_level(logging.WARNING, "mlops_jupyter")
    working.save("other")
    with monkeypatch.context() as patch:
        patch.setattr("mlops_jupyter.tracking.marks.Marker.marks", lambda *_: 1 / 0)
        run = workspace.runs.get(working.run("r", "cell-0", "z"))
        working.execute("cell-1", "y")
        assert reasons(workspace, run) == []
    assert [record.levelname for record in caplog.records if "could not be compared" in record.message] == ["WARNING"]
    working.execute("cell-1", "y")
    assert reasons(workspace, run) == ["the cell executed as [1] was edited after it ran"]


def test_a_server_that_is_away_holds_nothing_up(
    working: Working, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks wait in the queue like everything else, and arrive when it answers."""
    run = workspace.runs.get(working.run("r", "cell-0", "z"))
    working.save("y")

    def away(*_: Any) -> None:
        raise ConnectionError("refused")

    with monkeypatch.context() as patch:
        patch.setattr("mlops_jupyter.tracking.connection.Connection.check_reachable", away)
        began = time.monotonic()
        working.session.marked_runs.look_again()
        assert time.monotonic() - began < 0.5
    until(lambda: reasons(workspace, run), "the mark is there")


def test_a_cell_without_runs_costs_no_look_at_the_file(working: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there is no run to mark the notebook is not read, and no cell's names are asked for."""

    def fail(*_: Any) -> None:
        raise AssertionError("looked at")

    monkeypatch.setattr("mlops_jupyter.tracking.lineage.saved_document", fail)
    monkeypatch.setattr("mlops_jupyter.journal.names_of", fail)
    working.save("z")
    working.execute("cell-0", "z")
    context.current.document = Document("live", (DocumentCell("cell-0", "z"),))
    working.session.marked_runs.look_again()
    assert working.session.marked_runs._document is None


def test_where_no_editor_is_no_comm_is_opened(tmp_path: Path) -> None:
    """A program that executes a notebook would warn of a comm that it does not know."""
    code = "__import__('comm').get_comm_manager().comms"
    for name, opened in (("work.ipynb", 1), (None, 0)):
        notebook = Notebook(tmp_path, name=name)
        try:
            assert notebook.value(f"len({code})") == opened
        finally:
            notebook.close()
