"""The main job, as a newcomer runs it: ``mlops demo``, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

MLOPS = [sys.executable, "-m", "mlops_jupyter.cli"]
STEPS = ["ingest", "validate", "train[depth=2]", "train[depth=4]", "train[depth=8]", "evaluate"]


def mlops(*words: str, cwd: Path, code: int = 0) -> Any:
    """Run ``mlops … --json`` and give its document."""
    done = subprocess.run([*MLOPS, *words, "--json"], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout)


def states(document: Any, key: str = "state") -> dict[str, str]:
    return {step["name"]: step[key] for step in document["steps"]}


def edit(notebook: Path, change: Callable[[Any], None]) -> None:
    nb = nbformat.read(notebook, as_version=4)
    change(nb)
    nbformat.write(nb, notebook)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once, for all tests of this module."""
    base = tmp_path_factory.mktemp("demo")
    document = mlops("demo", "project", cwd=base)
    assert states(document) == dict.fromkeys(STEPS, "succeeded")
    assert document["model"]["aliases"] == ["champion"]
    return base / "project"


def test_mlflow_alone_finds_the_promoted_model(project: Path) -> None:
    """What the demo made are ordinary MLflow objects, found without our package."""
    code = (
        "import sys, mlflow\n"
        f"client = mlflow.MlflowClient('sqlite:///{project / '.mlops' / 'mlflow.db'}')\n"
        "version = client.get_model_version_by_alias('demo', 'champion')\n"
        "run = client.get_run(version.run_id)\n"
        "assert run.data.metrics['auc'] > 0.9 and run.data.tags['mlops.step'] == 'evaluate'\n"
        "assert run.info.status == 'FINISHED'\n"
        "mlflow.set_tracking_uri('sqlite:///' + sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/demo@champion')\n"
        "assert model.metadata.signature is not None\n"
        "assert 'mlops_jupyter.workspace' not in sys.modules\n"
    )
    database = project / ".mlops" / "mlflow.db"
    done = subprocess.run([sys.executable, "-c", code, str(database)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_artifacts_lie_in_the_workspace(project: Path) -> None:
    """Nothing was written beside the project, wherever the command was typed."""
    assert sorted(path.name for path in project.parent.iterdir()) == ["project"]
    assert not (project / "mlruns").exists()


def test_a_second_time_every_step_is_cached(project: Path) -> None:
    """Nothing has changed, so nothing is run, and it says so."""
    assert states(mlops("demo", "project", cwd=project.parent)) == dict.fromkeys(STEPS, "cached")


def test_markdown_and_outputs_change_nothing(project: Path) -> None:
    """Editing text, or running the notebook by hand, costs no step."""

    def change(nb: Any) -> None:
        nb.cells[0].source += "\nA remark."
        nb.cells[2].outputs = [nbformat.v4.new_output("stream", text="x")]
        nb.cells[2].execution_count = 9

    edit(project / "train.ipynb", change)
    plan = mlops("pipeline", "plan", "pipeline.yaml", cwd=project)
    assert states(plan, "action") == dict.fromkeys(STEPS, "cached")


def test_an_edit_that_changes_no_output_stops_there(project: Path) -> None:
    """Only the edited step runs: those below it get equal inputs, and are cached."""

    def change(nb: Any) -> None:
        nb.cells[-1].source = "checked = True\n" + nb.cells[-1].source

    edit(project / "validate.ipynb", change)
    plan = mlops("pipeline", "plan", "project/pipeline.yaml", cwd=project.parent)
    by_name = {step["name"]: step for step in plan["steps"]}
    assert by_name["ingest"]["action"] == "cached"
    assert by_name["validate"]["action"] == "run"
    assert "cell" in by_name["validate"]["reason"]
    result = mlops("pipeline", "run", "pipeline.yaml", cwd=project)
    assert states(result) == dict.fromkeys(STEPS, "cached") | {"validate": "succeeded"}


def test_an_edit_that_changes_outputs_runs_what_is_below(project: Path) -> None:
    """The edited step and those that read what it made run again; those above don't."""

    def change(nb: Any) -> None:
        (cell,) = (cell for cell in nb.cells if "max_iter=100" in cell.source)
        cell.source = cell.source.replace("max_iter=100", "max_iter=20")

    edit(project / "train.ipynb", change)
    plan = {step["name"]: step["action"] for step in mlops("pipeline", "plan", "pipeline.yaml", cwd=project)["steps"]}
    below = ["train[depth=2]", "train[depth=4]", "train[depth=8]", "evaluate"]
    assert plan == dict.fromkeys(STEPS, "cached") | dict.fromkeys(below, "run")
    result = mlops("pipeline", "run", "pipeline.yaml", cwd=project)
    assert states(result) == dict.fromkeys(STEPS, "cached") | dict.fromkeys(below, "succeeded")


def test_a_csv_of_ones_own_ends_with_a_promoted_model(tmp_path: Path) -> None:
    """``-p data=FILE`` takes any table: byte-order mark, identifiers, leaks and texts included."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = 400
    table = pd.DataFrame(
        {
            "UDI": np.arange(rows),
            "Product ID": [f"M{i}" for i in range(rows)],
            "Type": rng.choice(["L", "M", "H"], rows),
            "Torque [Nm]": rng.normal(40, 10, rows),
            "Tool wear [min]": rng.integers(0, 250, rows),
        }
    )
    table["Machine failure"] = (table["Torque [Nm]"] + rng.normal(0, 2, rows) > 45).astype(int)
    for mode in ("TWF", "HDF", "PWF", "OSF", "RNF"):
        table[mode] = table["Machine failure"]
    table.to_csv(tmp_path / "table.csv", index=False, encoding="utf-8-sig")
    document = mlops("demo", "project", "-p", "data=table.csv", cwd=tmp_path)
    assert document["model"]["aliases"] == ["champion"]
    ingest = document["steps"][0]["run_id"]
    (row,) = (r for r in mlops("--workspace", "project", "runs", cwd=tmp_path)["rows"] if r["run_id"] == ingest)
    assert row["params"]["target_column"] == "Machine failure"
    assert row["params"]["dropped"] == "UDI, Product ID, TWF, HDF, PWF, OSF, RNF"


def test_data_that_is_not_there_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """A typo in the path costs nothing."""
    answer = mlops("demo", "project", "-p", "data=nowhere.csv", cwd=tmp_path, code=2)
    assert "nowhere.csv" in answer["error"]["message"]
    assert not (tmp_path / "project").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """The demo never mixes its files with somebody's own."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "thesis.txt").write_text("mine")
    mlops("demo", "project", cwd=tmp_path, code=2)
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["thesis.txt"]


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """After SIGKILL the next run finishes the work and repeats no step that had ended."""
    process = subprocess.Popen(
        [*MLOPS, "demo", "project", "--json"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    state = tmp_path / "project" / ".mlops"
    deadline = time.monotonic() + 120
    done: set[str] = set()
    while "validate" not in done:
        assert time.monotonic() < deadline
        assert process.poll() is None
        for log in state.glob("pipelines/*/events.jsonl"):
            events = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
            done = {event["name"] for event in events if event.get("state") == "succeeded" and "name" in event}
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    document = mlops("demo", "project", cwd=tmp_path)
    after = states(document)
    assert {after[name] for name in done} == {"cached"}
    assert after["evaluate"] == "succeeded"
    assert document["model"]["aliases"] == ["champion"]
    statuses = {row["status"] for row in mlops("--workspace", "project", "runs", cwd=tmp_path)["rows"]}
    assert statuses <= {"FINISHED", "KILLED"}
