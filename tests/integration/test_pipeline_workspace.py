# ruff: noqa: F811, F401 - a fixture is imported, and then named as a parameter
"""A pipeline on the real thing: MLflow on SQLite, a model that is trained, registered and promoted through a gate."""

from __future__ import annotations

import subprocess
import sys

import pytest
from test_pipeline_support import project, states, step

from mlops_jupyter.errors import DefinitionError

HEAD = "from mlops_jupyter import load, log_metric, log_model, output"
TRAIN = """
import numpy as np
from sklearn.linear_model import LogisticRegression
rows = np.random.default_rng(0).normal(size=(60, 2))
labels = (rows[:, 0] > 0).astype(int)
model = LogisticRegression(C=float(strength)).fit(rows, labels)
log_metric('accuracy', model.score(rows, labels))
"""


@pytest.fixture
def workspace(project):
    """A workspace with a gate, and a pipeline that trains, chooses, registers and promotes."""
    from mlops_jupyter import Workspace

    (project.folder / "mlops.toml").write_text(
        '[[promotion]]\nmodels = "*"\nalias = "champion"\ngates = [{metric = "accuracy", min = 0.5}]\n'
    )
    project.write(
        "name: real\nsteps:\n"
        "  train:\n    notebook: train.ipynb\n    params: {strength: '${matrix.strength}'}\n"
        "    matrix: {strength: [1, 2]}\n"
        "  choose:\n    notebook: choose.ipynb\n    params: {models: '${steps.train.outputs.model}'}\n"
        "    register: {name: churn, output: best, promote: champion}\n"
    )
    project.notebook("train.ipynb", HEAD, TRAIN, "output('model', model)", parameters="strength = 1")
    project.notebook(
        "choose.ipynb",
        HEAD,
        "best = load(models)[0]\nlog_metric('accuracy', 0.9)\noutput('best', best)",
        parameters="models = []",
    )
    return Workspace.open(project.folder)


def test_runs_versions_and_aliases_are_ordinary_mlflow(project, workspace):
    """MlflowClient alone finds parent and children, metrics, the executed notebook, the version and its alias."""
    result = workspace.pipelines.run(project.file)
    assert result.ok, str(result)
    from mlflow import MlflowClient

    client = MlflowClient(workspace.tracking.uri)
    version = client.get_model_version_by_alias("churn", "champion")
    choose = client.get_run(step(result, "choose").run_id)
    assert version.run_id == choose.info.run_id
    assert choose.data.metrics == {"accuracy": 0.9}
    assert choose.data.tags["mlflow.parentRunId"] == result.run_id
    assert choose.data.tags["mlops.step"] == "choose"
    assert choose.info.status == "FINISHED"
    assert [f.path for f in client.list_artifacts(choose.info.run_id, "notebook")] == ["notebook/choose.ipynb"]
    train = client.get_run(step(result, "train[strength=1]").run_id)
    assert train.data.params["strength"] == "1"
    assert set(states(workspace.pipelines.run(project.file)).values()) == {"cached"}
    assert len(client.search_model_versions("name='churn'")) == 1


def test_an_equal_model_stops_what_follows(project, workspace):
    """A training that ran again and came out equal does not make the step below run: MLflow's ids don't count."""
    workspace.pipelines.run(project.file)
    project.notebook("train.ipynb", HEAD, TRAIN, "print('new'); output('model', model)", parameters="strength = 1")
    again = workspace.pipelines.run(project.file)
    assert states(again) == {
        "train[strength=1]": "succeeded",
        "train[strength=2]": "succeeded",
        "choose": "cached",
    }


CRASH = """
import os, sys
from mlops_jupyter import Workspace
from mlops_jupyter.pipelines import attempt
real = attempt.register
def register(*args):
    {before}
    real(*args)
    os._exit(9)
attempt.register = register
Workspace.open(sys.argv[1]).pipelines.run(sys.argv[2])
"""


@pytest.mark.parametrize("before", ["pass", "os._exit(9)"], ids=["after registering", "before registering"])
def test_a_crash_around_registering_makes_one_version(project, workspace, before):
    """The step is not run again, and its model is registered and promoted once, wherever the crash came."""
    code = CRASH.format(before=before)
    died = subprocess.run([sys.executable, "-c", code, str(project.folder), str(project.file)], check=False)
    assert died.returncode == 9
    again = workspace.pipelines.run(project.file)
    assert set(states(again).values()) == {"cached"}
    assert "churn/1 promoted to champion" in step(again, "choose").reason
    from mlflow import MlflowClient

    client = MlflowClient(workspace.tracking.uri)
    (version,) = client.search_model_versions("name='churn'")
    assert client.get_model_version_by_alias("churn", "champion").version == version.version
    assert client.get_run(version.run_id).info.status == "FINISHED"
    kinds = [row["kind"] for row in workspace.registry.audit("churn").rows]
    assert kinds == ["model.registered", "promotion.decided", "promotion.applied"]
    assert client.get_run(version.run_id).data.tags["mlops.cache.key"]
    third = step(workspace.pipelines.run(project.file), "choose")
    assert "churn" not in third.reason


def test_a_refused_model_is_asked_for_again_without_running_its_step(project, workspace):
    """The gate refuses, the step fails; once the policy allows it, the same version is promoted and nothing runs."""
    policy = project.folder / "mlops.toml"
    policy.write_text(policy.read_text().replace("min = 0.5", "min = 0.95"))
    from mlops_jupyter import Workspace

    for _ in range(2):
        refused = step(Workspace.open(project.folder).pipelines.run(project.file), "choose")
        assert refused.state == "failed"
        assert "0.95" in refused.reason
        assert refused.run_id
    plan = {s.name: s.reason for s in Workspace.open(project.folder).pipelines.plan(project.file).steps}
    assert "still to be registered" in plan["choose"]
    policy.write_text(policy.read_text().replace("min = 0.95", "min = 0.5"))
    kinder = Workspace.open(project.folder)
    assert "churn/1 promoted to champion" in step(kinder.pipelines.run(project.file), "choose").reason
    kinds = [row["kind"] for row in kinder.registry.audit("churn").rows]
    refusals = ["promotion.refused"] * 2
    assert kinds == ["model.registered", *refusals, "promotion.decided", "promotion.applied"]
    assert kinder.runs.get(refused.run_id).status == "FINISHED"


def test_a_crash_after_the_promotion_does_not_ask_for_it_again(project, workspace):
    """What people did meanwhile stands: the version that was rolled back is not promoted a second time."""
    code = CRASH.format(before="pass")
    assert workspace.pipelines.run(project.file).ok
    project.notebook(
        "choose.ipynb",
        HEAD,
        "best = load(models)[1]\nlog_metric('accuracy', 0.91)\noutput('best', best)",
        parameters="models = []",
    )
    subprocess.run([sys.executable, "-c", code, str(project.folder), str(project.file)], check=False)
    assert workspace.registry.show("churn@champion").facts["version"] == 2
    workspace.registry.rollback("churn", alias="champion")
    assert workspace.pipelines.run(project.file).ok
    assert workspace.registry.show("churn@champion").facts["version"] == 1


def test_a_pipeline_of_another_project_is_run_there_or_by_name(project, workspace, tmp_path_factory, monkeypatch):
    """Found from elsewhere, a pipeline would miss its own cache and its own gates: which workspace must be said."""
    from mlops_jupyter import Workspace
    from mlops_jupyter.errors import UsageError

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "mlops.toml").write_text("")
    monkeypatch.chdir(elsewhere)
    found = Workspace.open()
    for verb in (found.pipelines.plan, found.pipelines.run):
        with pytest.raises(UsageError, match="lies in the workspace"):
            verb(project.file)
    assert len(Workspace.open(elsewhere).pipelines.plan(project.file).steps) == 3


def test_a_matrix_promotes_only_where_the_order_does_not_matter(project, workspace):
    """Without a gate that lets the best win, the last setting to end would be champion: refused beforehand."""
    project.write(
        "name: real\nsteps:\n"
        "  train:\n    notebook: train.ipynb\n    params: {strength: '${matrix.strength}'}\n"
        "    matrix: {strength: [1, 2]}\n    register: {name: churn, output: model, promote: champion}\n"
    )
    with pytest.raises(DefinitionError, match="train"):
        workspace.pipelines.plan(project.file)
    policy = project.folder / "mlops.toml"
    policy.write_text(policy.read_text().replace("}]", '}, {beats = "champion", metric = "accuracy"}]'))
    from mlops_jupyter import Workspace

    assert len(Workspace.open(project.folder).pipelines.plan(project.file).steps) == 2
