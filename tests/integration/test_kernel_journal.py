"""The recorder and the runs of cells, in a real kernel: what is noted, and that nothing is left open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Notebook

from mlops_jupyter import Workspace
from mlops_jupyter.tracking.records import Run

JOURNAL = (
    "[(c.order, c.source, c.outcome) for c in __import__('mlops_jupyter.kernel').kernel.load(get_ipython()).journal]"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal")


@pytest.fixture(scope="module")
def kernel(root: Path) -> Iterator[Notebook]:
    notebook = Notebook(root, MLOPS_WORKSPACE=str(root), MLFLOW_TRACKING_URI="")
    notebook.good("%mlops init")
    yield notebook
    notebook.close()


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace.open(root)


def cells(workspace: Workspace, run: Run) -> list[Any]:
    text = workspace.runs.text(run, "mlops/cells.json")
    return [cell["source"] for cell in json.loads(text)] if text else []


def nothing_is_active(notebook: Notebook) -> bool:
    return bool(notebook.value("__import__('mlflow').active_run() is None"))


# ---------------------------------------------------------------------------------------------------------------------
# The journal


@pytest.mark.parametrize("by", ["cell", "sidebar"])
def test_cells_before_the_extension_are_recalled(tmp_path, by):
    """All of them are there, as `unknown`; the cell that loads the extension is noted when it ends; orders go on."""
    notebook = Notebook(tmp_path, load=False)
    try:
        notebook.good("a = 1")
        notebook.run("1 / 0")
        if by == "cell":
            notebook.good("%load_ext mlops_jupyter")
        else:  # the sidebar evaluates an expression, and executes no cell
            notebook.value("str(__import__('mlops_jupyter.kernel').kernel.load(get_ipython()))")
        notebook.good("b = 2")
        expected = [["a = 1", "unknown"], ["1 / 0", "unknown"]]
        expected += [["%load_ext mlops_jupyter", "ok"]] if by == "cell" else []
        expected += [["b = 2", "ok"]]
        assert notebook.value(JOURNAL) == [[n, *cell] for n, cell in enumerate(expected, 1)]
    finally:
        notebook.close()


def test_an_empty_cell_inside_a_cell_ends_nothing(notebook):
    """IPython tells of the end of an empty cell and not of its beginning: the cell around it goes on."""
    notebook.good("get_ipython().run_cell('')\nget_ipython().run_cell('inner = 1')\nouter = 2")
    last = notebook.value(JOURNAL)[-2:]
    assert [cell[1].splitlines()[0] for cell in last] == ["inner = 1", "get_ipython().run_cell('')"]
    assert last[0][0] + 1 == last[1][0]


# ---------------------------------------------------------------------------------------------------------------------
# Runs that span cells


def test_nested_spans_keep_their_own_cells_and_the_one_that_ends_them(notebook, workspace):
    """A nested start does not lose the outer run's cells; each has the cell with its `%mlops end`."""
    notebook.good("%mlops start --name outer")
    notebook.good("first = 1")
    notebook.good("%mlops start --name inner --nested")
    notebook.good("second = 2")
    notebook.good("%mlops end\nending_inner = 1")
    notebook.good("third = 3")
    notebook.good("%mlops end")
    notebook.good("after = 1")
    inner, outer = workspace.runs.resolve("inner"), workspace.runs.resolve("outer")
    assert cells(workspace, inner) == [
        "%mlops start --name inner --nested", "second = 2", "%mlops end\nending_inner = 1",
    ]  # fmt: skip
    assert cells(workspace, outer) == [
        "%mlops start --name outer", "first = 1", *cells(workspace, inner), "third = 3", "%mlops end",
    ]  # fmt: skip
    assert (inner.status, outer.status) == ("FINISHED", "FINISHED")


def test_cells_are_kept_as_each_ends(notebook, workspace):
    """A kernel that is lost before `end` has lost none of the cells that had ended."""
    notebook.good("%mlops start --name lost")
    notebook.good("kept = 1")
    assert cells(workspace, workspace.runs.resolve("lost")) == ["%mlops start --name lost", "kept = 1"]


def test_one_line_is_written_whole_or_not_at_all(notebook, workspace):
    """What is refused in a line leaves the rest of it unwritten, and a name said twice is refused."""
    notebook.good("%mlops start --name lines")
    notebook.good("%mlops log param taken=1")
    for line in ("param a=1 b=[1]", "param a=1 taken=2", "tag a=1 b=[1]", "text a=word b=1", "metric a=1 a=2"):
        assert notebook.run(f"%mlops log {line}").status == "error", line
    run = workspace.runs.resolve("lines")
    assert (dict(run.params), dict(run.metrics)) == ({"taken": "1"}, {})
    assert "a" not in run.tags
    assert workspace.runs.text(run, "a") is None
    notebook.good("%mlops log param a=1 b=2 taken=1")
    assert dict(workspace.runs.resolve("lines").params) == {"taken": "1", "a": "1", "b": "2"}


# ---------------------------------------------------------------------------------------------------------------------
# %%mlops run


def test_a_run_left_open_inside_the_cell_ends_with_it(notebook, workspace):
    """`%mlops start --nested` inside `%%mlops run`: both end with the cell, as it ended."""
    notebook.good("%%mlops run --name around\n%mlops start --name within --nested")
    assert [workspace.runs.resolve(name).status for name in ("around", "within")] == ["FINISHED", "FINISHED"]
    assert nothing_is_active(notebook)
    notebook.run("%%mlops run --name around2\n%mlops start --name within2 --nested\n1 / 0")
    assert [workspace.runs.resolve(name).status for name in ("around2", "within2")] == ["FAILED", "FAILED"]
    assert nothing_is_active(notebook)


def test_a_cell_executed_inside_the_cell_does_not_end_its_run(notebook, workspace):
    """Code that executes a cell by IPython's own means leaves the run open for the lines after it."""
    notebook.good("%%mlops run --name lasting\nget_ipython().run_cell('x = 1')\n%mlops log metric late=1")
    run = workspace.runs.resolve("lasting")
    assert (run.status, dict(run.metrics)) == ("FINISHED", {"late": 1.0})


def test_a_cell_magic_called_by_code_ends_with_its_cell(notebook, workspace):
    """`run_cell_magic` opens a run for the text that it is given, and ends it there."""
    notebook.good(
        "get_ipython().run_cell_magic('mlops', 'run --name called', '%mlops log metric m=1')\n"
        "import mlflow\nopen_after = mlflow.active_run() is not None"
    )
    assert notebook.value("open_after") is False
    run = workspace.runs.resolve("called")
    assert (run.status, dict(run.metrics)) == ("FINISHED", {"m": 1.0})


def test_a_snapshot_that_fails_leaves_no_run_open(notebook, workspace):
    """With --snapshot the run is ended first; that the snapshot failed is told, and the next run can begin."""
    done = notebook.good(
        "%%mlops run --name unsnapped --snapshot\nfrom mlops_jupyter.snapshots.room import Snapshots\n"
        "take = Snapshots.take\ndef fail(*a, **k): raise OSError(28, 'No space left on device')\nSnapshots.take = fail"
    )
    assert "No space left" in done.text
    notebook.good("Snapshots.take = take")
    assert workspace.runs.resolve("unsnapped").status == "FINISHED"
    assert nothing_is_active(notebook)
    notebook.good("%%mlops run --name snapped --snapshot\n1")
    assert workspace.runs.resolve("snapped").tags["mlops.snapshot"]


def test_a_traceback_that_cannot_be_kept_leaves_no_run_open(notebook, workspace):
    """When the store takes no traceback the run is FAILED all the same, and the cell's own error is what is shown."""
    notebook.good(
        "from mlops_jupyter.tracking.queue.queue import Queue\ntext = Queue.text\n"
        "def fail(self, run_id, name, said):\n"
        "    if 'traceback' in name: raise OSError(28, 'No space left on device')\n"
        "    return text(self, run_id, name, said)\nQueue.text = fail"
    )
    done = notebook.run("%%mlops run --name untraced\n1 / 0")
    notebook.good("Queue.text = text")
    assert done.ename == "ZeroDivisionError"
    assert "No space left" in done.text
    assert workspace.runs.resolve("untraced").status == "FAILED"
    assert nothing_is_active(notebook)


# ---------------------------------------------------------------------------------------------------------------------
# The sidebar's bridge


def test_the_bridge_answers_in_json_whatever_a_result_holds(notebook):
    """Numbers that JSON does not have are text, and what can't be told at all is an error's document."""
    notebook.good("%mlops start --name bridged")
    code = "__import__('mlops_jupyter.kernel.bridge').kernel.bridge.call('log metric', '{\"pairs\": [\"m=1e999\"]}')"
    assert notebook.value(f"{code}.document") == {"ok": True, "result": {"m": "inf"}}
    assert "error" in notebook.value(f"{code.replace('log metric', 'no verb')}.document")
