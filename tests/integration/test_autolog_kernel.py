"""Autologging of cells, in a real kernel: what a cell and its threads train, and what the next cell has of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Notebook

from mlops_jupyter import Workspace
from mlops_jupyter.tracking.records import Run

SETUP = """
import logging, threading, warnings
import mlflow, mlops_jupyter
import sklearn.model_selection
from sklearn.linear_model import LogisticRegression, Ridge
X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
# What a model imports, MLflow finds out in a process of its own, which takes seconds.
import mlflow.models
mlflow.models.infer_pip_requirements = lambda *_, **__: ["scikit-learn"]
said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("mlops_jupyter").addHandler(Keep())
class Late:
    def __init__(self, model):
        self.go = threading.Event()
        self.thread = threading.Thread(target=self.train, args=(model,))
        self.thread.start()
    def train(self, model):
        self.go.wait(60)
        model.fit(X, y)
    def finish(self):
        self.go.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a workspace's folder."""
    root = tmp_path_factory.mktemp("autolog")
    (root / "mlops.toml").write_text('[tracking]\nexperiment = "cells"\n')
    return root


@pytest.fixture(scope="module")
def kernel(root: Path) -> Iterator[Notebook]:
    """Give a kernel that has loaded the extension."""
    notebook = Notebook(root)
    notebook.good(SETUP)
    yield notebook
    notebook.close()


@pytest.fixture
def workspace(root: Path) -> Workspace:
    """Give the kernel's workspace, as another process sees it."""
    return Workspace.open(root)


@pytest.fixture(autouse=True)
def begins_clean(notebook: Notebook) -> Iterator[None]:
    """Forget what was said; leave the kernel's autologging as MLflow has it at first."""
    notebook.good("said.clear()")
    yield
    notebook.good(
        "mlflow.autolog(disable=True, silent=True)\nmlflow.sklearn.autolog(disable=True)\n"
        "from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS as configs\n"
        "for name in list(configs): configs[name] = {}"
    )


def the(workspace: Workspace, name: str) -> Run:
    rows = [row for row in workspace.runs.search(limit=200).rows if row["name"] == name]
    assert len(rows) == 1, rows
    return workspace.runs.get(rows[0]["run_id"])


def made(workspace: Workspace) -> int:
    return len(workspace.runs.search(limit=200).rows)


def late_threads(notebook: Notebook, first: str, second: str) -> None:
    """Start a thread in one cell; let it train in the middle of the next one, which trains as well."""
    notebook.good(f"{first}\nlate = Late(LogisticRegression(C=7))")
    notebook.good(f"{second}\nLogisticRegression(C=2).fit(X, y)\nlate.finish()")


def test_control_mlflow_logs_a_cells_thread_after_the_cell(notebook, workspace):
    """CONTROL, MLflow alone: what a cell's thread trains later makes a run that nobody asked for."""
    notebook.good("mlflow.autolog(silent=True)")
    before = made(workspace)
    late_threads(notebook, "%%mlops run --name control-1", "%%mlops run --name control-2")
    assert made(workspace) == before + 3


def test_a_cells_thread_is_not_logged_in_the_next_cell(notebook, workspace):
    """A thread that outlives its cell trains for nobody, which is told once; the next cell's run has its own."""
    before = made(workspace)
    late_threads(notebook, "%%mlops run --name first --autolog", "%%mlops run --name second --autolog")
    assert dict(the(workspace, "first").params) == {}
    assert the(workspace, "second").params["C"] == "2"
    assert made(workspace) == before + 2
    said = notebook.value("said")
    assert len(said) == 1
    assert "run first" in said[0]
    assert "has ended" in said[0]


def test_a_cells_thread_is_logged_while_the_cell_runs(notebook, workspace):
    """Threads that a cell starts, and the tasks that it gives to a pool of an earlier cell, are the cell's."""
    notebook.good(
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\npool.submit(len, X).result()"
    )
    notebook.good("%%mlops run --name in-thread --autolog\nLate(LogisticRegression(C=3)).finish()")
    notebook.good("%%mlops run --name in-pool --autolog\npool.submit(LogisticRegression(C=4).fit, X, y).result()")
    notebook.good(
        "%%mlops run --name awaited --autolog\nimport asyncio\n"
        "await asyncio.to_thread(LogisticRegression(C=5).fit, X, y)"
    )
    notebook.good("%%mlops run --name in-plain\npool.submit(LogisticRegression(C=6).fit, X, y).result()")
    assert [the(workspace, name).params.get("C") for name in ("in-thread", "in-pool", "awaited", "in-plain")] == [
        "3",
        "4",
        "5",
        None,
    ]
    assert notebook.value("said") == []


def test_threads_with_runs_of_their_own_in_one_cell(notebook, workspace):
    """Threads of a cell that open runs which autolog have each their own, and the cell that did not ask has nothing."""
    notebook.good(
        """%%mlops run --name around
from mlops_jupyter import Workspace
barrier = threading.Barrier(2)
def train(c):
    with Workspace.open().run(f"thread {c}", autolog=True):
        barrier.wait(60)
        LogisticRegression(C=c).fit(X, y).score(X, y)
threads = [threading.Thread(target=train, args=(c,)) for c in (1, 2)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
"""
    )
    for c in ("1", "2"):
        found = the(workspace, f"thread {c}")
        assert found.params["C"] == c
        assert [name for name in found.metrics if not name.startswith("training_")]
    assert (dict(the(workspace, "around").params), dict(the(workspace, "around").metrics)) == ({}, {})


def test_a_cell_after_it_is_not_autologged(notebook, workspace):
    """Neither a cell with a run that does not ask, nor one without a run, logs anything or makes a run."""
    notebook.good("%%mlops run --name asked --autolog\nmodel = LogisticRegression(C=2).fit(X, y)")
    before = made(workspace)
    notebook.good("LogisticRegression(C=3).fit(X, y)\nmodel.score(X, y)")
    notebook.good("%%mlops run --name unasked\nLogisticRegression(C=4).fit(X, y)\nmodel.score(X, y)")
    assert made(workspace) == before + 1
    assert dict(the(workspace, "unasked").params) == {}
    assert not [name for name in the(workspace, "asked").metrics if not name.startswith("training_")]


def test_a_cell_that_fails_is_autologged_up_to_there(notebook, workspace):
    """An exception ends the cell's autologging with its run."""
    done = notebook.run("%%mlops run --name failing --autolog\nLogisticRegression(C=2).fit(X, y)\n1 / 0")
    assert done.ename == "ZeroDivisionError"
    before = made(workspace)
    notebook.good("Ridge().fit(X, y)")
    assert made(workspace) == before
    found = the(workspace, "failing")
    assert (found.status, found.params["C"]) == ("FAILED", "2")


def test_a_nested_cell_ends_its_own(notebook, workspace):
    """A child run in a cell inside a run that spans cells is autologged, and the one around it is not."""
    notebook.good("%mlops start --name spanning")
    notebook.good("%%mlops run --name child --nested --autolog\nLogisticRegression(C=2).fit(X, y)")
    notebook.good("Ridge().fit(X, y)\n%mlops end")
    assert the(workspace, "child").params["C"] == "2"
    assert dict(the(workspace, "spanning").params) == {}


def test_a_run_that_the_cell_ends_itself_takes_nothing_more(notebook, workspace):
    """After `%mlops end` in the middle of a cell, neither the cell nor its threads write to the run."""
    before = made(workspace)
    notebook.good(
        "%%mlops run --name ended --autolog\nlate = Late(LogisticRegression(C=7))\nLogisticRegression(C=2).fit(X, y)\n"
        "%mlops end\nlate.finish()\nRidge().fit(X, y)"
    )
    assert made(workspace) == before + 1
    found = the(workspace, "ended")
    assert found.params["C"] == "2"
    assert "alpha" not in found.params


def test_the_users_own_autologging_goes_on_after_the_cell(notebook, workspace):
    """Who has called ``mlflow.sklearn.autolog(log_models=False)`` has it in the cell, and after it."""
    notebook.good("mlflow.sklearn.autolog(log_models=False)")
    notebook.good("%%mlops run --name mine --autolog\nLogisticRegression(C=2).fit(X, y)")
    notebook.good("with mlflow.start_run(run_name='theirs'):\n    LogisticRegression(C=3).fit(X, y)")
    for name, c in (("mine", "2"), ("theirs", "3")):
        found = workspace.tracking.client.get_run(the(workspace, name).run_id)
        assert (found.data.params["C"], found.outputs.model_outputs) == (c, [])


def test_a_cells_system_metrics_end_with_it(notebook, workspace):
    """`--system-metrics` measures processor and memory of the cell, and leaves no thread behind."""
    notebook.good("%%mlops run --name measured --system-metrics\nnames = [t.name for t in threading.enumerate()]")
    assert "mlops-system-metrics" in notebook.value("names")
    assert "mlops-system-metrics" not in notebook.value("[t.name for t in threading.enumerate()]")
    found = the(workspace, "measured").metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(found)


def test_a_run_that_spans_cells_is_autologged(notebook, workspace):
    """`%mlops start --autolog` logs what every cell until `end` trains, and nothing after it."""
    notebook.good("%mlops start --name 'from start to end' --autolog --system-metrics")
    notebook.good("LogisticRegression(C=5).fit(X, y)")
    notebook.good("%mlops end")
    notebook.good("Ridge(alpha=9).fit(X, [0.0, 1.0, 2.0, 3.0])")
    found = the(workspace, "from start to end")
    assert (found.params["C"], "alpha" in found.params) == ("5", False)
    assert "system/cpu_utilization_percentage" in found.metrics


def test_nothing_is_left_in_place(notebook, workspace):
    """After the cells that autolog, Python's and MLflow's own are where they were."""
    notebook.good("%%mlops run --name last --autolog\nLogisticRegression().fit(X, y)")
    assert notebook.value("threading.Thread.start.__module__") == "threading"
    assert notebook.value("mlflow.utils.autologging_utils.safety._AutologgingSessionManager.__module__").startswith(
        "mlflow."
    )
    assert notebook.value("LogisticRegression.fit.__globals__['__name__']").startswith("sklearn.")
