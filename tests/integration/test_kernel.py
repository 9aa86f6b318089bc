"""The notebook's door, in a real kernel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Executed, Notebook, python, until

from mlops_jupyter import Workspace
from mlops_jupyter.tracking.records import Run


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a workspace in a git repository, with a notebook's folder in it."""
    root = tmp_path_factory.mktemp("repo")
    git(root, "init", "-q")
    (root / "mlops.toml").write_text('[tracking]\nexperiment = "churn"\n')
    (root / "notebooks").mkdir()
    (root / "notebooks" / "work.ipynb").write_text("{}")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


@pytest.fixture(scope="module")
def kernel(root: Path) -> Iterator[Notebook]:
    """Give a kernel that has loaded the extension, as JupyterLab starts it for notebooks/work.ipynb."""
    notebook = Notebook(root / "notebooks")
    yield notebook
    notebook.close()


@pytest.fixture
def workspace(root: Path) -> Workspace:
    """Give the kernel's workspace, as another process sees it."""
    return Workspace.open(root)


def last(workspace: Workspace) -> Run:
    return workspace.runs.resolve("@last")


def artifact(workspace: Workspace, run: Run, name: str) -> str:
    text = workspace.runs.text(run, name)
    assert text is not None, f"run {run.name} has no {name}"
    return text


def is_told(done: Executed, *words: str) -> bool:
    """Tell whether a cell failed with two lines: what is wrong, what to do."""
    told = " ".join(done.told)
    return done.status == "error" and len(done.told) == 2 and all(word in told for word in words)


# ---------------------------------------------------------------------------------------------------------------------
# Loading, help and completion


def test_loading_imports_nothing_heavy(tmp_path):
    """`%load_ext mlops_jupyter` leaves MLflow, pandas and numpy unloaded, and `%mlops` and help do too."""
    notebook = Notebook(tmp_path)
    try:
        notebook.good("%mlops help")
        heavy = "[m for m in ('mlflow', 'pandas', 'numpy', 'papermill', 'sklearn') if m in __import__('sys').modules]"
        assert notebook.value(heavy) == []
        assert notebook.good("%mlops").text.count("workspace") == 1
        assert notebook.good("%reload_ext mlops_jupyter").text == ""
        assert notebook.good("%unload_ext mlops_jupyter").text == ""
        assert "not found" in notebook.run("%mlops status").text
    finally:
        notebook.close()


def test_help_is_there_in_every_form(notebook):
    """`%mlops help`, `%mlops help promote` and `%mlops?` tell what there is and how to use it."""
    assert "promote" in notebook.good("%mlops help").text
    one = notebook.good("%mlops help promote").text
    assert "%mlops promote MODEL --to ALIAS" in one
    assert "Example:" in one
    found = notebook.paged("%mlops?")
    for verb in ("promote", "snapshot", "pipeline run"):
        assert verb in found


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("%mlops pro", ["promote"]),
        ("%mlops log ", ["artifact", "data", "figure", "metric", "model", "param", "tag", "text"]),
        ("%mlops pipeline r", ["run"]),
        ("%mlops runs --or", ["--order-by"]),
        ("%mlops promote completed --t", ["--to"]),
        ("%mlops promote completed --to cha", ["champion", "challenger"]),
        ("%mlops help prom", ["promote"]),
        ("%%mlops run --na", ["--name"]),
        ("%mlops log model some_var", ["some_variable"]),
        ("%mlops end --status ", ["FAILED", "FINISHED", "KILLED"]),
    ],
)
def test_tab_completes(notebook, typed, expected):
    """Tab knows verbs, their second words, flags, choices and variables."""
    notebook.good("some_variable = 1")
    shown = notebook.complete(typed)
    assert set(expected) <= set(shown)
    assert "some_variable" not in shown or "some_variable" in expected
    assert "print" not in shown, "Python's own names would bury ours"


def test_tab_leaves_python_to_ipython(notebook):
    """On other lines, and in the expression behind NAME=, Tab is IPython's; an assigned magic is still ours."""
    notebook.good("some_variable = 1")
    assert "some_variable" in " ".join(notebook.complete("%mlops log metric loss=some_var"))
    assert "some_variable" in notebook.complete("some_var")
    assert "promote" in notebook.complete("x = 1\nr = %mlops pro")


def test_tab_knows_what_the_workspace_holds(notebook):
    """Tab offers runs, snapshots and models by name, where they are asked for."""
    notebook.good("%%mlops run --name completed-run\nclass M:\n    def predict(self, rows): return rows")
    notebook.good("%mlops snapshot completed-snapshot")
    assert {"completed-snapshot", "@last"} <= set(notebook.complete("%mlops restore "))
    assert {"completed-run", "@last"} <= set(notebook.complete("%mlops compare "))
    notebook.good(
        "%%mlops run\nfrom sklearn.linear_model import LinearRegression\n"
        "model = LinearRegression().fit([[1.], [2.]], [1., 2.])\n%mlops log model model --register completed"
    )
    assert {"completed", "completed/1"} <= set(notebook.complete("%mlops promote "))
    assert notebook.complete("%mlops promote comp")


# ---------------------------------------------------------------------------------------------------------------------
# Results


def test_a_line_magic_returns_its_result(notebook):
    """`r = %mlops runs` shows nothing and gives a table with rows and a frame."""
    notebook.good("%%mlops run --name tabled --param depth=3\n%mlops log metric acc=0.5")
    assert notebook.good("r = %mlops runs --filter \"attributes.run_name = 'tabled'\"").text == ""
    assert notebook.value("r.rows[0]['metrics']") == {"acc": 0.5}
    assert notebook.value("r.df['metrics.acc'].tolist()") == [0.5]
    assert notebook.value("r.df['params.depth'].tolist()") == ["3"]


def test_a_result_has_text_and_html(notebook):
    """A result is shown as HTML where that can be, and as text where it can't."""
    done = notebook.good("%mlops runs")
    assert set(done.shown[0]) >= {"text/plain", "text/html"}


def test_a_hostile_name_stays_text(notebook):
    """A run named `<script>` is text in every HTML form: the cell's own, the table's, the comparison's."""
    cell = notebook.good("%%mlops run --name '<script>alert(1)</script>' --param p=\"'<img src=x>'\"\n1")
    shown = [cell.html, notebook.good("%mlops runs").html, notebook.good("%mlops compare @last").html]
    for html in shown:
        assert "&lt;script&gt;" in html
        assert "<script>" not in html
        assert "<img" not in html


def test_python_variables_and_expressions_expand_in_a_magic(notebook):
    """IPython's own `{expr}` and `$name` work in the words of a magic."""
    notebook.good("wanted = 'tabled'; most = 2")
    notebook.good("%%mlops run --name {wanted}-{most + 1}\n1")
    assert notebook.value("get_ipython().run_line_magic('mlops', 'runs --limit 1').rows[0]['name']") == "tabled-3"
    done = notebook.good("found = %mlops runs --limit $most")
    assert (done.text, notebook.value("len(found)")) == ("", 2)


def test_a_mistake_is_two_lines_and_no_traceback(notebook):
    """A mistake in a magic fails the cell with two lines; `--debug` shows where it happened."""
    assert is_told(notebook.run("%mlops promot x"), "promote")
    assert is_told(notebook.run("%mlops show nobody"), "nobody")
    assert is_told(notebook.run("%mlops log metric 'a=1"), "quote")
    assert "Traceback" in "\n".join(notebook.run("%mlops --debug show nobody").told)


# ---------------------------------------------------------------------------------------------------------------------
# %%mlops run


def test_a_cell_becomes_a_finished_run(notebook, workspace):
    """The cell is executed as it is, its value shown, and what it logs is in a run that is FINISHED."""
    done = notebook.good(
        "%%mlops run --name baseline --param depth=1+2 --param opt=adamw --tag who=ann --tag n=1+2\n"
        "total = sum(range(5))\n"
        "%mlops log metric acc=total/20 loss=0.25\n"
        "%mlops log metric curve=1.0 --step 0\n"
        "%mlops log metric curve=0.5 --step 1\n"
        "total"
    )
    assert any(data.get("text/plain") == "10" for data in done.shown)
    run = last(workspace)
    assert (run.name, run.status, run.experiment) == ("baseline", "FINISHED", "churn")
    assert dict(run.params) == {"depth": "3", "opt": "adamw"}
    assert dict(run.metrics) == {"acc": 0.5, "loss": 0.25, "curve": 0.5}
    assert (run.tags["who"], run.tags["n"]) == ("ann", "1+2")
    assert notebook.value("total") == 10


def test_a_run_knows_where_its_code_came_from(notebook, workspace, root):
    """Notebook, cell, commit, dirtiness and environment are tags; the source is kept."""
    done = notebook.good("%%mlops run\norigin = 1", cell="cell-7")
    assert done.status == "ok"
    run = last(workspace)
    assert run.tags["mlops.notebook"] == "notebooks/work.ipynb"
    assert run.tags["mlops.cell"] == "cell-7"
    assert run.tags["mlops.git.commit"] == git(root, "rev-parse", "HEAD")
    assert run.tags["mlops.git.dirty"] == "false"
    assert run.tags["mlops.env"]
    assert "origin = 1" in artifact(workspace, run, "mlops/cell.py")
    (root / "new-file").write_text("")
    try:
        notebook.good("%%mlops run\n1", cell="cell-8")
    finally:
        (root / "new-file").unlink()
    dirty = last(workspace)
    assert (dirty.tags["mlops.git.dirty"], dirty.tags["mlops.cell"]) == ("true", "cell-8")
    assert dirty.tags["mlops.env"] == run.tags["mlops.env"]


def test_a_cell_that_raises_is_a_failed_run(notebook, workspace):
    """The exception is shown as IPython shows it, with the cell's own line; the traceback is kept with the run."""
    done = notebook.run("%%mlops run --name failing\nkept = 1\n%mlops log metric before=1\n1 / 0")
    assert (done.status, done.ename) == ("error", "ZeroDivisionError")
    assert "1 / 0" in "\n".join(done.told)
    run = last(workspace)
    assert (run.name, run.status, dict(run.metrics)) == ("failing", "FAILED", {"before": 1.0})
    kept = artifact(workspace, run, "mlops/traceback.txt")
    assert kept.startswith("Traceback")
    assert "ZeroDivisionError: division by zero" in kept
    assert notebook.value("kept") == 1
    assert notebook.value("get_ipython().run_line_magic('mlops', 'status').to_json()['active_run']") is None


def test_a_cell_that_is_no_python_is_a_syntax_error(notebook, workspace):
    """A syntax error is IPython's own, and no run is left open."""
    done = notebook.run("%%mlops run --name unparsable\nthis is no python")
    assert (done.status, done.ename) == ("error", "SyntaxError")
    assert not [run for run in workspace.runs.find() if run.status == "RUNNING"]


def test_an_interrupted_cell_is_a_failed_run(notebook, workspace, root):
    """Interrupting the kernel ends the run as FAILED, with the traceback kept."""
    code = "import time\nopen('../sleeping', 'w').close()\ntime.sleep(100)"
    sent = notebook.begin(f"%%mlops run --name interrupted\n{code}")
    # The sleep is reached when the cell has said so; an interrupt before that would fall into the magic itself.
    until((root / "sleeping").exists, "the cell sleeps")
    (root / "sleeping").unlink()
    notebook.interrupt()
    done = notebook.finish(sent)
    assert (done.status, done.ename) == ("error", "KeyboardInterrupt")
    run = last(workspace)
    assert (run.name, run.status) == ("interrupted", "FAILED")
    assert "KeyboardInterrupt" in artifact(workspace, run, "mlops/traceback.txt")


def test_a_run_inside_a_run_needs_nested(notebook, workspace):
    """A cell's run inside `start` is refused without --nested, and is its child with it."""
    notebook.good("%mlops start --name parent")
    parent = last(workspace)
    assert is_told(notebook.run("%%mlops run --name child\nnever = 1"), "--nested")
    assert notebook.run("never").ename == "NameError"
    notebook.good("%%mlops run --name child --nested\n%mlops log metric inner=1")
    notebook.good("%mlops log metric outer=1")
    notebook.good("%mlops end")
    child, parent = workspace.runs.resolve("child"), workspace.runs.get(parent.run_id)
    assert child.tags["mlflow.parentRunId"] == parent.run_id
    assert (dict(child.metrics), dict(parent.metrics)) == ({"inner": 1.0}, {"outer": 1.0})
    assert (child.status, parent.status) == ("FINISHED", "FINISHED")


def test_a_wrong_option_runs_nothing(notebook, workspace):
    """With an option that is off, the cell is not executed and no run is made."""
    before = last(workspace).run_id
    assert is_told(notebook.run("%%mlops run --nmae x\nexecuted_anyway = 1"))
    assert is_told(notebook.run("%%mlops run --param depth=1/0\nexecuted_anyway = 1"), "ZeroDivisionError")
    assert is_told(notebook.run("%%mlops run --param depth\nexecuted_anyway = 1"))
    assert notebook.value("'executed_anyway' in globals()") is False
    assert last(workspace).run_id == before


def test_top_level_await_works_in_a_run(notebook, workspace):
    """A cell of a run is a cell: top-level await and line magics work."""
    notebook.good("%%mlops run --name awaiting\nimport asyncio\nawait asyncio.sleep(0)\nawaited = 5")
    assert notebook.value("awaited") == 5
    assert last(workspace).status == "FINISHED"


def test_the_run_of_a_cell_is_shown_with_what_it_logged(notebook):
    """When the cell ends, its run is shown with its status, metrics and params."""
    done = notebook.good("%%mlops run --name shown --param depth=3\n%mlops log metric acc=0.75")
    assert "shown" in done.text
    assert "FINISHED" in done.text
    assert "0.75" in done.text
    assert "depth" in done.html


def test_autolog_logs_what_the_cell_trains_and_stops_after_it(notebook, workspace):
    """With --autolog MLflow logs the training of that cell, and of none after it."""
    fit = "from sklearn.linear_model import LinearRegression\nLinearRegression().fit([[1.], [2.], [3.]], [1., 2., 3.])"
    notebook.good(f"%%mlops run --name autologged --autolog\n{fit}")
    assert last(workspace).params["fit_intercept"] == "True"
    notebook.good(f"%%mlops run --name plain\n{fit}")
    assert dict(last(workspace).params) == {}


# ---------------------------------------------------------------------------------------------------------------------
# Logging


def test_metrics_that_are_no_numbers_are_refused(notebook, workspace):
    """Text, an unknown word and None are no metrics: two lines, and nothing of the line is written."""
    notebook.good("%mlops start --name metrics")
    assert is_told(notebook.run("%mlops log metric good=1 bad='\"text\"'"), "bad", "number")
    assert is_told(notebook.run("%mlops log metric bad=unknown_word"), "unknown_word")
    assert is_told(notebook.run("%mlops log metric bad=None"), "bad")
    assert is_told(notebook.run("%mlops log metric bad=[1,2]"), "bad")
    assert is_told(notebook.run("%mlops log metric bad"), "NAME=EXPR")
    notebook.good("import numpy as np\nscores = np.array([1., 2.])")
    notebook.good('%mlops log metric mean=scores.mean() "spaced=scores[0] + 1" --step 3')
    assert dict(last(workspace).metrics) == {"mean": 1.5, "spaced": 2.0}
    history = workspace.tracking.client.get_metric_history(last(workspace).run_id, "mean")
    assert [(point.step, point.value) for point in history] == [(3, 1.5)]


def test_params_and_tags_take_words_and_plain_values_only(notebook, workspace):
    """A bare unknown word is a string; a value that is no str, number, bool or None is refused with a hint."""
    notebook.good("%mlops start --name params")
    notebook.good("rate = 0.1")
    notebook.good("%mlops log param opt=adamw lr=rate on=True nothing=None net=resnet-50 twice=rate*2")
    notebook.good("%mlops log tag stage=baseline")
    assert is_told(notebook.run("%mlops log param bad=[1,2]"), "list")
    assert is_told(notebook.run("%mlops log tag bad={1:2}"))
    run = last(workspace)
    assert dict(run.params) == {
        "opt": "adamw", "lr": "0.1", "on": "True", "nothing": "None", "net": "resnet-50", "twice": "0.2",
    }  # fmt: skip
    assert run.tags["stage"] == "baseline"


def test_a_param_is_written_once_and_a_refusal_loses_nothing(notebook, workspace):
    """The same value again is fine; another one is refused, the run goes on, and the first value stays."""
    notebook.good("%mlops start --name once")
    notebook.good("%mlops log param depth=3")
    notebook.good("%mlops log param depth=3")
    assert is_told(notebook.run("%mlops log param depth=4"), "depth", "'3'")
    notebook.good("%mlops log metric acc=1")
    notebook.good("%mlops end")
    run = last(workspace)
    assert (run.status, dict(run.params), dict(run.metrics)) == ("FINISHED", {"depth": "3"}, {"acc": 1.0})


def test_logging_without_a_run_is_refused(notebook):
    """Without an active run, logging is refused and says how to open one."""
    for line in ("log metric a=1", "log param a=1", "log tag a=1", "log text a.txt=x", "end"):
        assert is_told(notebook.run(f"%mlops {line}"), "no run is active"), line


def test_a_run_that_spans_cells_keeps_every_cell(notebook, workspace):
    """Between `start` and `end` every executed cell is journaled to the run, failed ones with their error."""
    notebook.good("%mlops start --name spanning")
    notebook.good("first = 1", cell="a")
    assert notebook.run("first / 0", cell="b").ename == "ZeroDivisionError"
    notebook.good("second = 2", cell="c")
    notebook.good("%mlops end")
    run = last(workspace)
    cells = json.loads(artifact(workspace, run, "mlops/cells.json"))
    outcomes = [(cell["id"], cell["source"], cell["outcome"]) for cell in cells]
    assert outcomes[-4:-1] == [("a", "first = 1", "ok"), ("b", "first / 0", "error"), ("c", "second = 2", "ok")]
    assert cells[-1]["source"] == "%mlops end"
    assert "ZeroDivisionError" in next(cell["error"] for cell in cells if cell["id"] == "b")


def test_a_cells_run_keeps_the_cell_and_its_names(notebook, workspace):
    """`%%mlops run` leaves the record of its own cell: source, outcome, and the names read and written."""
    notebook.good("base = 20")
    notebook.good("%%mlops run --name named\nfrom math import sqrt\nresult = sqrt(base)", cell="named-1")
    (cell,) = json.loads(artifact(workspace, last(workspace), "mlops/cells.json"))
    assert (cell["id"], cell["outcome"], cell["read"], cell["written"]) == (
        "named-1",
        "ok",
        ["base"],
        ["result", "sqrt"],
    )
    assert cell["source"].startswith("%%mlops run --name named\n")
    assert notebook.run("%%mlops run --name fails\nbase / 0", cell="fails-1").ename == "ZeroDivisionError"
    (cell,) = json.loads(artifact(workspace, last(workspace), "mlops/cells.json"))
    assert (cell["outcome"], cell["read"]) == ("error", ["base"])
    assert "ZeroDivisionError" in cell["error"]


def test_end_takes_a_status(notebook, workspace):
    """`end --status FAILED` says how it went; an unknown status is refused and the run stays open."""
    notebook.good("%mlops start --name ended")
    assert is_told(notebook.run("%mlops end --status DONE"), "FINISHED")
    notebook.good("%mlops end --status FAILED")
    assert last(workspace).status == "FAILED"


def test_figures_files_texts_and_data_are_kept(notebook, workspace, root):
    """Figures, files, texts and data come with the run; data with a digest over all of its content."""
    (root / "notebooks" / "report.html").write_text("<p>report</p>")
    notebook.good("import numpy as np\nrows = np.arange(30_000.)\nchanged = rows.copy(); changed[-1] = -1")
    notebook.good("from matplotlib.figure import Figure\nfig = Figure(); fig.subplots().plot([1, 2])")
    notebook.good(
        "%%mlops run --name kept\n%mlops log figure fig\n%mlops log figure fig --name epoch-3\n"
        "%mlops log artifact report.html\n"
        "%mlops log text note.txt=\"'a ' + 'note'\"\n%mlops log data rows --role train\n"
        "%mlops log data changed --name other"
    )
    run = last(workspace)
    assert artifact(workspace, run, "report.html") == "<p>report</p>"
    assert artifact(workspace, run, "note.txt") == "a note"
    assert artifact(workspace, run, "fig.png")
    assert artifact(workspace, run, "epoch-3.png")
    data = {item["name"]: item for item in run.data}
    assert data["rows"]["role"] == "train"
    assert data["rows"]["digest"] != data["other"]["digest"]


def test_a_model_is_kept_with_signature_example_and_pinned_requirements(notebook, workspace):
    """`log model` keeps what serving needs, and `register` makes a version of it."""
    notebook.good(
        "%%mlops run --name modelled\nimport pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
        "X = pd.DataFrame({'a': [0., 1., 2., 3.], 'b': [1., 0., 1., 0.]}); y = [0, 0, 1, 1]\n"
        "clf = LogisticRegression().fit(X, y)\n%mlops log model clf"
    )
    model_id = last(workspace).model_ids[0]
    place = Path(workspace.tracking.client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    described = (place / "MLmodel").read_text()
    assert "signature:" in described
    assert "inputs:" in described
    requirements = (place / "requirements.txt").read_text()
    assert "scikit-learn==" in requirements
    assert (place / "input_example.json").is_file() or "saved_input_example_info" in described
    notebook.good("%mlops register modelled")
    notebook.good("%mlops register modelled")
    assert [row["version"] for row in workspace.registry.versions().rows if row["model"] == "modelled"] == [1]
    assert is_told(notebook.run("%mlops start --name x\n%mlops log model clff"), "clf")


# ---------------------------------------------------------------------------------------------------------------------
# MLflow's own words


def test_plain_mlflow_calls_land_in_the_same_run(notebook, workspace):
    """`mlflow.log_*` inside a cell's run writes to that run, and to no other."""
    count = len(workspace.runs.find(limit=1000))
    notebook.good("import mlflow\nimport mlops_jupyter")
    notebook.good(
        "%%mlops run --name mixed\nmlflow.log_metric('theirs', 1)\nmlops_jupyter.log_metric('ours', 2)\n"
        "mlflow.log_param('p', 'x')"
    )
    run = last(workspace)
    assert (run.name, dict(run.metrics), dict(run.params)) == ("mixed", {"theirs": 1.0, "ours": 2.0}, {"p": "x"})
    assert len(workspace.runs.find(limit=1000)) == count + 1


def test_artifacts_stay_under_the_workspace_wherever_the_kernel_is(notebook, workspace, root, tmp_path):
    """Artifacts go below `.mlops/artifacts`, for the user's own experiments and another working directory too."""
    notebook.good("import os, mlflow\nhome = os.getcwd()")
    notebook.good(f"os.chdir({str(tmp_path)!r})")
    try:
        notebook.good(
            "made = mlflow.create_experiment('made-by-hand')\n"
            "with mlflow.start_run(experiment_id=made, run_name='by-hand'): mlflow.log_text('mine', 'mine.txt')"
        )
        notebook.good("%%mlops run --name elsewhere --experiment fresh\nmlflow.log_text('text', 'file.txt')")
    finally:
        notebook.good("os.chdir(home)")
    assert list(tmp_path.iterdir()) == []
    for name, file in (("by-hand", "mine.txt"), ("elsewhere", "file.txt")):
        run = workspace.runs.resolve(name)
        place = Path(run.artifact_uri.removeprefix("file://"))
        assert place.is_relative_to(root / ".mlops" / "artifacts"), run.artifact_uri
        assert (place / file).is_file()


def test_threads_have_their_own_run_or_the_process_s(notebook, workspace):
    """A thread that opens a run writes to it; one that opened none writes to the run of the process."""
    notebook.good(
        "import threading, mlops_jupyter\n"
        "def own(n):\n"
        "    with mlops_jupyter.run(name=f'thread-{n}'):\n"
        "        gate.wait(30)\n"
        "        mlops_jupyter.log_metric('n', n)\n"
        "def borrowed():\n"
        "    gate.wait(30)\n"
        "    mlops_jupyter.log_metric('borrowed', 1)\n"
        "gate = threading.Barrier(3)"
    )
    notebook.good(
        "%%mlops run --name of-the-process\n"
        "threads = [threading.Thread(target=own, args=(n,)) for n in (1, 2)] + [threading.Thread(target=borrowed)]\n"
        "[thread.start() for thread in threads]; [thread.join(60) for thread in threads];"
    )
    found = {run.name: run for run in workspace.runs.find(limit=20)}
    assert [dict(found[f"thread-{n}"].metrics) for n in (1, 2)] == [{"n": 1.0}, {"n": 2.0}]
    assert dict(found["of-the-process"].metrics) == {"borrowed": 1.0}
    assert {found[name].status for name in ("thread-1", "thread-2", "of-the-process")} == {"FINISHED"}


# ---------------------------------------------------------------------------------------------------------------------
# Snapshots


def test_a_snapshot_comes_back_after_a_restart(tmp_path):
    """Variables come back with what they share, what can't is named both times, and the rest is left alone."""
    notebook = Notebook(tmp_path)
    try:
        notebook.good(
            "import numpy as np\nbase = np.arange(10.); view = base[2:5]; pair = [base, base]\n"
            "def double(x): return x * factor\nfactor = 2\nstream = (n for n in range(3))"
        )
        taken = notebook.good("%mlops snapshot before -m 'all of it'")
        assert "stream" in taken.text
        assert "generator" in taken.text
        notebook.restart()
        notebook.good("present = 1")
        done = notebook.good("back = %mlops restore before\nback")
        assert "stream" in done.text
        assert notebook.value("[lack['name'] for lack in back.to_json()['missing']]") == ["stream"]
        assert notebook.value("back.to_json()['kept']") == ["present"]
        assert notebook.value("'stream' in globals()") is False
        notebook.good("view[0] = 77; factor = 3")
        assert notebook.value("[base[2], pair[0] is pair[1], pair[0] is base, double(2), present]") == [
            77.0, True, True, 6, 1,
        ]  # fmt: skip
        only = notebook.good("%mlops restore before --only factor --as old_")
        assert "old_factor" in only.text
        assert notebook.value("[factor, old_factor, 'old_base' in globals()]") == [3, 2, False]
        notebook.good("del factor")
        notebook.good("%mlops restore -1 --only factor")
        assert notebook.value("factor") == 2
        assert is_told(notebook.run("%mlops restore before --only nothing"), "nothing")
        assert is_told(notebook.run("%mlops restore nobody"), "nobody")
        assert "stream" in notebook.good("%mlops restore before --only stream").text
    finally:
        notebook.close()


def test_a_run_and_a_model_bring_their_snapshot_back(notebook, workspace):
    """`--snapshot` attaches a snapshot to the run; the run's name and its model's name bring it back."""
    notebook.good(
        "%%mlops run --name remembered --snapshot\nfrom sklearn.linear_model import LinearRegression\nanswer = 42\n"
        "model = LinearRegression().fit([[1.], [2.]], [1., 2.])\n%mlops log model model --register remembered-model"
    )
    run = last(workspace)
    assert workspace.snapshots.resolve(run.tags["mlops.snapshot"]).id == run.tags["mlops.snapshot"]
    for ref in ("remembered", run.run_id, run.run_id[:8], "remembered-model", "remembered-model/1"):
        notebook.good("answer = 0")
        notebook.good(f"%mlops restore {ref} --only answer")
        assert notebook.value("answer") == 42, ref
    notebook.good("%%mlops run --name forgetful\n1")
    assert is_told(notebook.run("%mlops restore forgetful"), "snapshot")


def test_a_snapshot_inside_a_run_tags_the_run(notebook, workspace):
    """`%mlops snapshot` while a run is active ties the two together."""
    notebook.good("%%mlops run --name tagged\n%mlops snapshot inside")
    assert last(workspace).tags["mlops.snapshot"] == workspace.snapshots.resolve("inside").id


# ---------------------------------------------------------------------------------------------------------------------
# Several processes


def test_two_kernels_write_to_one_workspace_at_once(tmp_path):
    """Two notebooks that begin at the same moment, in a workspace with no store yet, both keep all of their runs."""
    (tmp_path / "mlops.toml").touch()
    notebooks = [Notebook(tmp_path, name=f"{name}.ipynb") for name in ("left", "right")]
    code = (
        "import mlops_jupyter\n"
        "for n in range(4):\n"
        "    with mlops_jupyter.run(name=f'{side}-{n}'):\n"
        "        for step in range(5): mlops_jupyter.log_metric('value', step, step=step)\n"
        "get_ipython().run_line_magic('mlops', f'snapshot {side}');"
    )
    try:
        for notebook, side in zip(notebooks, ("left", "right"), strict=True):
            notebook.good(f"side = {side!r}")
        sent = [notebook.begin(code) for notebook in notebooks]
        for notebook, one in zip(notebooks, sent, strict=True):
            done = notebook.finish(one)
            assert done.status == "ok", done.traceback
    finally:
        for notebook in notebooks:
            notebook.close()
    workspace = Workspace.open(tmp_path)
    runs = workspace.runs.find(limit=50)
    assert sorted(run.name for run in runs) == sorted(f"{side}-{n}" for side in ("left", "right") for n in range(4))
    assert {(run.status, run.metrics["value"]) for run in runs} == {("FINISHED", 4.0)}
    assert {run.tags["mlops.notebook"] for run in runs} == {"left.ipynb", "right.ipynb"}
    assert len(workspace.snapshots.list().rows) == 2


def test_a_client_without_our_package_finds_everything(notebook, workspace, root):
    """A process that knows MLflow alone finds run, metrics, tags, version and alias."""
    notebook.good(
        "%%mlops run --name portable --param depth=3\nfrom sklearn.linear_model import LinearRegression\n"
        "model = LinearRegression().fit([[1.], [2.]], [1., 2.])\n%mlops log metric auc=0.9\n"
        "%mlops log model model --register portable"
    )
    notebook.good("%mlops promote portable --to champion")
    code = (
        "import json, sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'mlops_jupyter': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "import mlflow\n"
        "client = mlflow.MlflowClient('sqlite:///.mlops/mlflow.db', 'sqlite:///.mlops/mlflow.db')\n"
        "version = client.get_model_version_by_alias('portable', 'champion')\n"
        "run = client.get_run(version.run_id)\n"
        "mlflow.set_tracking_uri('sqlite:///.mlops/mlflow.db')\n"
        "loaded = mlflow.pyfunc.load_model('models:/portable@champion')\n"
        "assert 'mlops_jupyter' not in sys.modules\n"
        "print(json.dumps([run.info.run_name, run.info.status, run.data.metrics, run.data.params,"
        " run.data.tags['mlops.notebook'], version.version, [round(float(v)) for v in loaded.predict([[3.]])]]))"
    )
    found = json.loads(python(code, root).splitlines()[-1])
    assert found[:4] == ["portable", "FINISHED", {"auc": 0.9}, {"depth": "3"}]
    assert found[4:] == ["notebooks/work.ipynb", 1, [3]]


# ---------------------------------------------------------------------------------------------------------------------
# Lines in the middle of a cell


def test_a_refusal_in_the_middle_of_a_cell_is_seen(notebook):
    """A line whose value nobody looks at shows its result itself; an assigned one, and the last, once as ever."""
    shown = notebook.good("%mlops runs --limit 1\nx = 1")
    assert shown.text.count("run_id") or "run" in shown.text
    assert notebook.good("r = %mlops runs --limit 1\nx = 1").text == ""
    assert notebook.good("%mlops runs --limit 1;").text == ""
    notebook.good("quiet = %mlops runs --limit 1;")
    assert notebook.value("len(quiet)") == 1
    last = notebook.good("x = 1\n%mlops status").text
    assert last.count("workspace") == 1
    looped = notebook.good("for _ in range(2):\n    %mlops status\n")
    assert looped.text.count("workspace") == 2


def test_logging_in_the_middle_of_a_cell_is_silent(notebook):
    """A loop that logs a thousand numbers does not print a thousand lines."""
    told = notebook.good(
        "%%mlops run --name quiet-loop\nfor i in range(3):\n    %mlops log metric m=i --step {i}\nx = 1"
    )
    assert "m = " not in told.text
    assert "None" not in told.text
    assert "FINISHED" in told.text


def test_help_on_a_group_shows_how_each_is_used(notebook):
    """`%mlops help log` tells the arguments of all that logs."""
    told = notebook.good("%mlops help log").text
    assert "%mlops log metric" in told
    assert "--step N" in told


def test_a_step_may_be_python(notebook):
    """The step is evaluated like the values; what is no whole number is refused in two lines, and writes nothing."""
    notebook.good(
        "%%mlops run --name steps\nfor epoch in range(3):\n    %mlops log metric loss=epoch*0.5 --step epoch+1"
    )
    notebook.good(
        "import mlflow\ntable = %mlops runs\nfound = next(r['run_id'] for r in table.rows if r['name'] == 'steps')\n"
        "history = mlflow.MlflowClient().get_metric_history(found, 'loss')"
    )
    assert notebook.value("sorted((p.step, p.value) for p in history)") == [[1, 0.0], [2, 0.5], [3, 1.0]]
    assert is_told(notebook.run("%%mlops run --name odd\n%mlops log metric loss=1 --step 1.5"), "1.5", "whole number")


def test_data_may_be_named_by_its_path(notebook):
    """What `log artifact` takes is data as well; what is neither variable nor file is told as such."""
    notebook.good("import pathlib\n_ = pathlib.Path('rows.csv').write_text('a,b\\n1,2\\n')")
    assert "rows.csv is" in notebook.good("%%mlops run --name path\n%mlops log data rows.csv --role train").text
    assert is_told(notebook.run("%%mlops run --name no-path\n%mlops log data nothing.csv"), "nothing.csv")


def test_what_is_long_is_told_in_a_line(notebook):
    """Texts and long params are kept whole, and shown short."""
    assert "notes.txt is kept" in notebook.good("%%mlops run --name long\n%mlops log text \"notes.txt='a '*1000\"").text
    shown = notebook.good("%%mlops run --name longer\n%mlops log param \"prompt='word '*300\"").text
    assert "1500 characters" in shown
    assert len(max(shown.splitlines(), key=len)) < 400


def test_help_on_a_cell_magic_does_not_run_the_cell(notebook):
    """`%%mlops run --help` shows the use of run and leaves the cell alone."""
    told = notebook.good("%%mlops run --help\nnever_assigned = 1")
    assert "%mlops run" in told.text
    assert notebook.value("'never_assigned' in globals()") is False
    assert "--to ALIAS" in notebook.good("%mlops promote --help").text
    assert "%%mlops run" in notebook.good("%mlops -h").text


def test_a_param_that_is_refused_opens_no_run(notebook):
    """`--param` is checked before the run begins, so that no FAILED run is left of a typo."""
    before = len(notebook.value("[r['run_id'] for r in get_ipython().run_line_magic('mlops', 'runs')]"))
    assert is_told(notebook.run("%%mlops run --param n=[1,2]\n1"), "param 'n'", "list")
    assert len(notebook.value("[r['run_id'] for r in get_ipython().run_line_magic('mlops', 'runs')]")) == before


def test_an_exception_without_a_text_ends_its_run_as_failed(notebook, workspace):
    """The user's own exception may raise when it is shown; the run must not stay open for that."""
    cell = "class E(Exception):\n    def __str__(self): raise RuntimeError('no text')\nraise E()"
    assert notebook.run(f"%%mlops run --name textless\n{cell}").status == "error"
    # ipykernel fails to show it and tells nobody that the cell has ended: that is found out when the next one begins.
    notebook.good("1")
    assert workspace.runs.resolve("textless").status == "FAILED"
    assert notebook.value("__import__('mlflow').active_run() is None")


def test_a_snapshot_of_a_run_with_an_odd_name_is_taken(notebook, workspace):
    """What can't be a snapshot's name is made one: the snapshot must not be lost for it."""
    notebook.good('%%mlops run --snapshot --name "@odd"\nx = 1')
    assert workspace.runs.resolve("@odd").tags["mlops.snapshot"]
    assert str(workspace.snapshots.latest().name).startswith("odd-")


def test_quotes_around_a_text_make_it_one(notebook, workspace):
    """`opt="adam"` is the text adam, although a variable has that name; an expression in quotes is still evaluated."""
    notebook.good("adam = 5")
    notebook.good('%%mlops run --name quoted --param opt="adam" --param path="/data/x.csv" --param twice="adam * 2"\n1')
    params = workspace.runs.resolve("quoted").params
    assert params == {"opt": "adam", "path": "/data/x.csv", "twice": "10"}


def test_another_cell_magic_below_ours_works(notebook, workspace):
    """`%%mlops run` on top of `%%time` runs the cell once, inside the run."""
    notebook.good("%%mlops run --name timed\n%%time\ncounted = globals().get('counted', 0) + 1")
    assert notebook.value("counted") == 1
    assert workspace.runs.resolve("timed").status == "FINISHED"


def test_a_second_snapshot_of_a_name_says_so(notebook):
    """Run All, a second time, takes a snapshot of the same name: it is told how this one is restored."""
    notebook.good("%mlops snapshot doubled")
    told = notebook.good("%mlops snapshot doubled").text
    assert "another snapshot is called 'doubled'" in told
    assert is_told(notebook.run("%mlops restore doubled"), "2 snapshots")


def test_a_model_without_a_snapshot_names_those_that_have_one(notebook):
    """`restore MODEL` means the newest version; where that has no snapshot, others may."""
    fit = "from sklearn.linear_model import LinearRegression\nlinear = LinearRegression().fit([[1.], [2.]], [1., 2.])\n"
    notebook.good("%%mlops run --snapshot\n" + fit + "%mlops log model linear --register snapped")
    notebook.good("%%mlops run\n" + fit + "%mlops log model linear --register snapped")
    assert is_told(notebook.run("%mlops restore snapped"), "has no snapshot", "snapped/1")


def test_a_workspace_is_named_by_the_environment_in_a_notebook(notebook):
    """The shell's option has another form here, and the refusal says which."""
    assert is_told(notebook.run("%mlops --workspace elsewhere audit"), "MLOPS_WORKSPACE")
