"""Input that means harm, or was never foreseen: each is refused, or taken for what it says, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import pytest
from driving import mlops, write_notebook

from mlops_jupyter import Workspace, config, log_metric, log_model, log_param
from mlops_jupyter.errors import ConfigError, DefinitionError, IntegrityError, UsageError, ValueRefused
from mlops_jupyter.tracking import log


def settings(folder: Path, text: str) -> Path:
    (folder / "mlops.toml").write_text(text)
    return folder


# ---------------------------------------------------------------------------------------------------------------------
# Folders


@pytest.mark.parametrize("name", ["what?", "a%20b", "100%", "a#b", "it's", "a b", "ü\N{SNOWMAN}", 'q"uote'])
def test_a_workspace_may_have_any_name(tmp_path, monkeypatch, name):
    """Runs and artifacts lie in the workspace, whatever its name means in a URI, and no stray folder stays behind."""
    root = tmp_path / name
    root.mkdir()
    monkeypatch.chdir(root)
    workspace = Workspace.open(root)
    (root / "kept.txt").write_text("kept")
    with workspace.run("here") as run:
        log_metric("m", 1)
        log.log_artifact(root / "kept.txt")
    assert [row["run_id"] for row in Workspace.open(root).runs.search().rows] == [run.run_id]
    assert (root / ".mlops" / "mlflow.db").stat().st_size
    assert list((root / ".mlops" / "artifacts").rglob("kept.txt"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_workspace_is_no_artifact_of_itself(workspace):
    """A folder that holds the store would be copied into itself without end."""
    with workspace.run("self"), pytest.raises(UsageError, match=r"\.mlops"):
        log.log_artifact(workspace.root)
    with workspace.run("own"), pytest.raises(UsageError, match=r"\.mlops"):
        log.log_artifact(workspace.root / ".mlops" / "artifacts")


def test_a_working_directory_that_is_gone_is_named(tmp_path):
    """Whoever stands in a deleted folder is told so."""
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"rmdir {gone}; {sys.executable} -m mlops_jupyter.cli runs"
    import subprocess

    done = subprocess.run(["bash", "-c", line], cwd=gone, capture_output=True, text=True)
    assert done.returncode == 2
    assert "working directory is gone" in done.stderr


# ---------------------------------------------------------------------------------------------------------------------
# Settings


@pytest.mark.parametrize(
    "uri",
    [
        "x",
        "../x",
        "javascript:alert(1)",
        "\x1b[31m",
        "ftp://x",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "http://[",
    ],
)
def test_a_tracking_uri_that_names_no_store_is_refused_before_it_is_written(tmp_path, uri):
    """`init` writes no settings that every later verb would stumble over."""
    with pytest.raises(UsageError):
        Workspace.open(tmp_path).init(tmp_path, tracking_uri=uri)
    assert not (tmp_path / "mlops.toml").exists()
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        config.load(tmp_path, environ={"MLFLOW_TRACKING_URI": uri})


@pytest.mark.parametrize(
    "uri", ["http://h:5000", "postgresql://u:p@h/db", "postgresql+psycopg2://h/db", "sqlite:///own.db", "databricks"]
)
def test_a_tracking_uri_that_names_a_store_is_taken(tmp_path, uri):
    """Servers, databases with or without a driver, and files."""
    assert config.load(tmp_path, environ={"MLFLOW_TRACKING_URI": uri}).tracking_uri


def test_a_missing_driver_is_told_as_such(tmp_path):
    """A database whose driver is not installed is no defect of the product."""
    done = mlops("runs", cwd=settings(tmp_path, '[tracking]\nuri = "postgresql+pg8000://127.0.0.1:1/x"\n'))
    assert done.code == 3
    assert "defect" not in done.err
    assert "pip install" in done.err


def test_status_says_that_a_server_is_away(tmp_path):
    """The verb that everything else points to knows it first."""
    status = mlops("status", "--json", cwd=settings(tmp_path, '[tracking]\nuri = "http://127.0.0.1:1"\n')).json
    assert "does not answer" in status["problems"][0]


@pytest.mark.parametrize(
    "gate",
    [
        '{metric = "auc", beats = "champion", margin = nan}',
        '{metric = "auc", min = nan}',
        '{metric = "auc", max = -inf}',
        '{metric = "", min = 1}',
        '{metric = "auc", beats = " "}',
    ],
)
def test_a_gate_that_can_mean_nothing_is_refused_with_its_line(tmp_path, gate):
    """NaN would pass or refuse whatever is measured."""
    settings(tmp_path, f'[[promotion]]\nmodels = "*"\nalias = "champion"\ngates = [{gate}]\n')
    with pytest.raises(ConfigError, match=r"mlops\.toml:4"):
        config.load(tmp_path)


def test_settings_that_are_nested_without_end_are_refused(tmp_path):
    """A file that only wants to exhaust the parser is told in two lines."""
    settings(tmp_path, "a = " + "[" * 5000)
    with pytest.raises(ConfigError):
        config.load(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# Values


class Sly:
    """A value whose every question raises."""

    def __float__(self) -> float:
        raise RuntimeError("no number today")

    def __getattr__(self, name: str) -> object:
        raise KeyError(name)


@pytest.mark.parametrize("value", [Sly(), 1j, "0.5", b"1", None, [1.0]], ids=repr)
def test_what_is_no_number_is_refused_as_a_metric(workspace, value):
    """Complex numbers, text and objects that raise whatever they like; the run goes on."""
    with workspace.run("values"):
        with pytest.raises(ValueRefused):
            log_metric("m", value)
        log_metric("m", 2)


def test_a_complex_numpy_scalar_loses_no_part_silently(workspace):
    """float() would drop the imaginary part with a warning."""
    import numpy as np

    with workspace.run("complex"), pytest.raises(ValueRefused, match="complex"):
        log_metric("m", np.complex128(1 + 2j))


@pytest.mark.parametrize(
    "value", [Sly(), 10**5000, "\ud800", [1], {"a": 1}], ids=["sly", "huge", "half", "list", "dict"]
)
def test_what_is_no_scalar_is_refused_as_a_param(workspace, value):
    """Numbers that have no text, text that is none, and what is no scalar."""
    with workspace.run("values"), pytest.raises(ValueRefused):
        log_param("p", value)


@pytest.mark.parametrize("name", ["<b>", "é", "", "a/b", "x" * 300, "../x"])
def test_a_model_that_is_refused_for_its_name_is_not_kept(workspace, name):
    """The name is looked at first: a refused model must not stay behind in the run."""
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    with workspace.run("named") as run, pytest.raises(ValueRefused):
        log_model(fitted, name)
    assert workspace.runs.get(run.run_id).model_ids == ()


def test_a_class_is_no_model(workspace):
    """The class in the place of its instance is a common slip."""
    from sklearn.linear_model import LinearRegression

    with workspace.run("class"), pytest.raises(ValueRefused, match="is a class"):
        log_model(LinearRegression)


# ---------------------------------------------------------------------------------------------------------------------
# The ledger


def test_a_forged_approval_decides_nothing(workspace):
    """Rows that somebody has written past us break the chain, and from a broken chain nothing is decided."""
    from sklearn.linear_model import LinearRegression

    settings(workspace.root, '[[promotion]]\nmodels = "*"\nalias = "champion"\napprovals = {count = 2}\n')
    mine = Workspace.open(workspace.root)
    with mine.run("trained"):
        log_model(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), register="m")
    asked = mine.registry.promote("m", to="champion")
    with sqlite3.connect(workspace.root / ".mlops" / "ledger.db") as ledger:
        for number, name in enumerate(("ann", "bob")):
            ledger.execute(
                "INSERT INTO events SELECT seq + 1, time, 'promotion.approved', ?, via, model, data, 'x', ? "
                "FROM events ORDER BY seq DESC LIMIT 1",
                (name, f"forged{number}"),
            )
    ledger.close()
    for decide in (
        lambda: mine.registry.approve(asked.request),
        lambda: mine.registry.promote("m", to="champion"),
        lambda: mine.registry.reject(asked.request, message="no"),
        lambda: mine.registry.rollback("m", alias="champion"),
    ):
        with pytest.raises(IntegrityError, match="chain is broken"):
            decide()
    assert mine.registry.show("m").facts["aliases"] == []


# ---------------------------------------------------------------------------------------------------------------------
# Pipelines


@pytest.mark.parametrize(
    "step",
    [
        "timeout: 99999999999d",
        'env: {A: "x\\0y"}',
        "inputs: [/dev/zero]",
        "inputs: [pipe]",
        "outputs: [m]\n    register: {name: a/b, output: m}",
        "outputs: [m]\n    register: {name: a, output: m, promote: latest}",
        "params: {x: 0x__}",
        f"params: {{x: {'9' * 5001}}}",
    ],
)
def test_a_step_that_can_never_go_well_is_refused_before_anything_runs(workspace, step):
    """What would fail, hang or mean nothing when the step's turn comes is told by the plan."""
    os.mkfifo(workspace.root / "pipe")
    write_notebook(workspace.root / "a.ipynb", "1", parameters="x = 1")
    file = workspace.root / "pipeline.yaml"
    file.write_text(f"name: p\nsteps:\n  a:\n    notebook: a.ipynb\n    {step}\n")
    with pytest.raises(DefinitionError):
        workspace.pipelines.plan(file)


@pytest.mark.parametrize("name", ['"a\\0.ipynb"', "pipe.ipynb", "deep.ipynb"])
def test_a_notebook_that_is_none_is_refused(workspace, name):
    """A name with a NUL, a pipe, and JSON that is nested without end."""
    os.mkfifo(workspace.root / "pipe.ipynb")
    (workspace.root / "deep.ipynb").write_text("[" * 100_000)
    file = workspace.root / "pipeline.yaml"
    file.write_text(f"name: p\nsteps:\n  a: {{notebook: {name}}}\n")
    with pytest.raises(DefinitionError):
        workspace.pipelines.plan(file)


@pytest.mark.parametrize("cell", ["x = = 1", "x=" + "-" * 5000 + "1"])
def test_a_parameters_cell_that_is_no_python_is_named(workspace, cell):
    """The mistake is the cell's, and not that it lacks a name."""
    write_notebook(workspace.root / "a.ipynb", "1", parameters=cell)
    file = workspace.root / "pipeline.yaml"
    file.write_text("name: p\nsteps:\n  a: {notebook: a.ipynb, params: {x: 2}}\n")
    with pytest.raises(DefinitionError, match=r"parameters' is no Python|can't be read"):
        workspace.pipelines.plan(file)
