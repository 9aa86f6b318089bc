"""The engine ``mlops`` under plain papermill: its verdict stands, the truth is in the metadata."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import pytest
from nbclient.exceptions import DeadKernelError
from test_pipeline_support import REPOSITORY, notebook

from mlops_jupyter.pipelines import engine


@pytest.fixture
def papermill(tmp_path, monkeypatch):
    """Give papermill's own function, in a folder, with the engine registered as its entry point does."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])))
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what papermill warns about is its own
        from papermill import execute_notebook
        from papermill.engines import papermill_engines

    from mlops_jupyter.pipelines.papermill_engine import MlopsEngine

    papermill_engines.register("mlops", MlopsEngine)
    yield lambda **more: execute_notebook("in.ipynb", "out.ipynb", engine_name="mlops", progress_bar=False, **more)
    # Papermill leaves the event loop of this thread open; here that would be a warning.
    from jupyter_core.utils import ensure_event_loop

    ensure_event_loop().close()


def outcome(file="out.ipynb"):
    """Give what the saved notebook says of its execution."""
    return json.loads(Path(file).read_text())["metadata"]["mlops"]["outcome"]


def test_cells_and_notebook_are_named_to_the_kernel(papermill, tmp_path):
    """Each request carries the cell's id; the environment names the source, wherever the kernel runs."""
    (tmp_path / "elsewhere").mkdir()
    code = "import os, json\nask = get_ipython().kernel.get_parent()['metadata']\n"
    notebook(
        tmp_path / "in.ipynb",
        code + "print(ask['cellId'], os.environ['MLOPS_NOTEBOOK'], os.getcwd(), x)",
        parameters="x=1",
    )
    nb = papermill(parameters={"x": 5}, cwd="elsewhere")
    text = nb.cells[-1].outputs[-1].text
    assert text.split() == ["c1", str(tmp_path / "in.ipynb"), str(tmp_path / "elsewhere"), "5"]
    assert outcome() == {"state": "succeeded", "executed": 3}


def test_a_clean_exit_is_success_to_papermill_and_is_told(papermill, tmp_path):
    """`sys.exit(0)` in the middle: papermill returns, the metadata says that the notebook was left."""
    notebook(tmp_path / "in.ipynb", "import sys; sys.exit(0)", "print('never')")
    papermill()
    found = outcome()
    assert (found["state"], found["cell"], found["cell_id"]) == ("exited", 1, "c0")


def test_an_error_is_raised_as_papermill_does_and_saved(papermill, tmp_path):
    """PapermillExecutionError, and the saved notebook has the output up to there."""
    from papermill.exceptions import PapermillExecutionError

    notebook(tmp_path / "in.ipynb", "print('before')", "1/0", "print('never')")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        papermill()
    assert outcome()["error"]["name"] == "ZeroDivisionError"
    assert "before" in Path("out.ipynb").read_text()


def test_a_dead_kernel_raises_and_the_notebook_does_not_claim_success(papermill, tmp_path):
    """Papermill marks all cells completed; the outcome says that the kernel died, and where."""
    notebook(tmp_path / "in.ipynb", "1", "import os; os._exit(1)", "2")
    with pytest.raises(DeadKernelError):
        papermill()
    assert (outcome()["state"], outcome()["cell"]) == ("died", 2)


def test_saving_is_throttled(papermill, tmp_path, monkeypatch):
    """Thirty quick cells are saved a few times, not sixty; the last save is whole."""
    saves = []
    write = engine.write_whole
    monkeypatch.setattr(engine, "write_whole", lambda path, data: saves.append(len(data)) or write(path, data))
    notebook(tmp_path / "in.ipynb", *[f"print({n})" for n in range(30)])
    papermill()
    assert 2 <= len(saves) <= 10
    assert json.loads(Path("out.ipynb").read_text())["cells"][-1]["outputs"][0]["text"] == ["29\n"]
