# ruff: noqa: F811, F401 - a fixture is imported, and then named as a parameter
"""Caching with real kernels: what is run again, and what is not."""

from __future__ import annotations

import pytest
from test_pipeline_support import HEAD, project, say, states, step

from mlops_jupyter import environment

PIPELINE = """
name: tiny
params: {start: 2}
steps:
  ingest:
    notebook: ingest.ipynb
    params: {start: "${params.start}"}
    outputs: [base]
  train:
    notebook: train.ipynb
    params: {base: "${steps.ingest.outputs.base}", depth: "${matrix.depth}"}
    matrix: {depth: [3, 5]}
  best:
    notebook: best.ipynb
    params: {scores: "${steps.train.outputs.score}"}
    outputs: [top]
"""


@pytest.fixture
def tiny(project):
    """Three steps, one of them a matrix of two."""
    project.write(PIPELINE)
    project.notebook("ingest.ipynb", HEAD, "output('base', start % 10)", say("ingest"), parameters="start = 1")
    project.notebook(
        "train.ipynb", HEAD, "output('score', base * depth)", say("train"), parameters="base = 0\ndepth = 1"
    )
    project.notebook("best.ipynb", HEAD, "output('top', max(scores))", say("best"), parameters="scores = []")
    return project


def test_a_matrix_hands_over_a_list_and_a_second_run_is_all_cached(tiny):
    """The values flow through the graph, and nothing is run a second time."""
    first = tiny.run()
    assert first.state == "succeeded", str(first)
    assert list(states(first)) == ["ingest", "train[depth=3]", "train[depth=5]", "best"]
    assert step(first, "best").outputs == {"top": 10}
    second = tiny.run()
    assert set(states(second).values()) == {"cached"}
    assert step(second, "best").outputs == {"top": 10}
    assert step(second, "best").run_id == step(first, "best").run_id
    assert (tiny.count("ingest"), tiny.count("train"), tiny.count("best")) == (1, 2, 1)
    assert "all 4 steps cached" in str(second)
    runs = tiny.tracker.runs
    (source,) = {run["tags"].get("mlops.cache.source") for run in tiny.tracker.named("best")} - {None}
    assert source == step(first, "best").run_id
    assert {run["status"] for run in runs.values()} == {"FINISHED"}


def test_an_equal_result_stops_what_follows(tiny):
    """Early cut-off: a step that ran again with an equal output does not make those below it run."""
    tiny.run()
    result = tiny.run(params={"start": 12})
    assert states(result) == {
        "ingest": "succeeded",
        "train[depth=3]": "cached",
        "train[depth=5]": "cached",
        "best": "cached",
    }
    assert step(result, "ingest").reason == "parameter start changed from 2 to 12"
    changed = tiny.run(params={"start": 3})
    assert set(states(changed).values()) == {"succeeded"}
    assert step(changed, "best").outputs == {"top": 15}


def test_code_counts_and_markdown_does_not(tiny):
    """Markdown, comments and cell ids change nothing; one code cell changes its step and what is below it."""
    tiny.run()
    tiny.notebook(
        "ingest.ipynb",
        "#md # Title",
        HEAD,
        "output('base', start % 10)  # a remark",
        say("ingest"),
        parameters="start = 1",
    )
    assert {action for action, _ in tiny.plan().values()} == {"cached"}
    tiny.notebook("train.ipynb", HEAD, "output('score', base + depth)", say("train"), parameters="base = 0\ndepth = 1")
    plan = tiny.plan()
    assert plan["ingest"][0] == "cached"
    assert plan["train[depth=3]"] == ("run", "code cell 3 changed")
    assert plan["best"] == ("run", "depends on train[depth=3] and 1 more, which will run")
    result = tiny.run()
    assert states(result)["ingest"] == "cached"
    assert step(result, "best").outputs == {"top": 7}


def test_a_changed_local_module_runs_its_step_again(project):
    """What a step really imported is part of its key, and going back to the old text is a hit again."""
    project.write("steps:\n  one: {notebook: one.ipynb, outputs: [x]}\n")
    project.notebook("one.ipynb", HEAD, "import features\noutput('x', features.value)", say("one"))
    module = project.folder / "features.py"
    module.write_text("import deeper\nvalue = deeper.value\n")
    (project.folder / "deeper.py").write_text("value = 1\n")
    assert step(project.run(), "one").outputs == {"x": 1}
    assert project.plan()["one"][0] == "cached"
    (project.folder / "deeper.py").write_text("value = 22\n")
    assert project.plan()["one"] == ("run", "local module deeper.py changed")
    assert step(project.run(), "one").outputs == {"x": 22}
    (project.folder / "deeper.py").write_text("value = 1\n")
    assert step(project.run(), "one").outputs == {"x": 1}
    assert project.count("one") == 2


def test_input_files_environment_variables_and_force(project, monkeypatch):
    """Declared files count by content, declared variables by value; `cache: false` and --force always run."""
    project.write(
        "params: {mode: a}\nsteps:\n"
        "  one: {notebook: one.ipynb, inputs: ['*.csv'], env: {MODE: '${params.mode}'}, outputs: [x]}\n"
        "  two: {notebook: two.ipynb, cache: false}\n"
    )
    project.notebook("one.ipynb", HEAD, "import os\noutput('x', open('d.csv').read() + os.environ['MODE'])")
    project.notebook("two.ipynb", "1")
    data = project.folder / "d.csv"
    data.write_text("1")
    assert step(project.run(), "one").outputs == {"x": "1a"}
    data.touch()
    assert project.plan()["one"][0] == "cached"
    assert project.plan()["two"] == ("run", "cache: false")
    assert project.plan(force=True)["one"] == ("run", "--force")
    assert project.plan(params={"mode": "b"})["one"] == ("run", "environment variable MODE changed")
    data.write_text("2")
    assert project.plan()["one"] == ("run", "input file d.csv changed")
    assert step(project.run(), "one").outputs == {"x": "2a"}


def test_an_object_of_a_class_that_was_edited_is_another_object(project):
    """What a published object's class calls is part of its content: no stale hit below."""
    project.write(
        "steps:\n  train: {notebook: train.ipynb, outputs: [model]}\n"
        "  use: {notebook: use.ipynb, params: {model: '${steps.train.outputs.model}'}, outputs: [y]}\n"
    )
    project.notebook("use.ipynb", HEAD, "output('y', load(model).predict(1))", parameters="model = None")

    def train(factor):
        code = f"def helper(x): return x * {factor}\nclass M:\n    def predict(self, x): return helper(x)"
        project.notebook("train.ipynb", HEAD, code, "output('model', M())")
        return project.run()

    assert step(train(2), "use").outputs == {"y": 2}
    again = train(3)
    assert states(again) == {"train": "succeeded", "use": "succeeded"}
    assert step(again, "use").outputs == {"y": 3}
    (run,) = (r for r in project.tracker.named("use") if r["tags"]["mlops.pipeline_run"] == again.run)
    assert run["tags"]["mlops.notebook"] == "use.ipynb"
    assert run["tags"]["mlops.env"] == environment.digest(environment.capture())
