"""Runs: making, finding, naming and comparing them, on the embedded store and on a real MLflow server."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from driving import free_port, python
from sklearn.linear_model import LinearRegression
from stores import Opening, copied_database

import mlops_jupyter
from mlops_jupyter import Workspace, log_data, log_metric, log_model, log_param
from mlops_jupyter.display import Grid
from mlops_jupyter.errors import (
    AmbiguousError,
    ConflictError,
    MlopsError,
    NotFoundError,
    StoreError,
    UsageError,
    ValueRefused,
)
from mlops_jupyter.tracking import active, log


def make(workspace: Workspace, name: str, **metrics: float) -> str:
    """Make a run with metrics, and give its id."""
    with workspace.run(name) as run:
        for key, value in metrics.items():
            log_metric(key, value)
    return run.run_id


def names(workspace: Workspace, **search: object) -> list[str]:
    return [row["name"] for row in workspace.runs.search(**search).rows]  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# Finding


def test_runs_are_found_by_filter_order_and_limit(workspace):
    """A search gives the newest first, or the order asked for; a filter leaves out, a limit cuts."""
    for name, auc in (("a", 0.5), ("b", 0.9), ("c", 0.7)):
        make(workspace, name, auc=auc)
    assert names(workspace) == ["c", "b", "a"]
    assert names(workspace, filter="metrics.auc > 0.6") == ["c", "b"]
    assert names(workspace, order_by="metrics.auc DESC") == ["b", "c", "a"]
    assert names(workspace, order_by="metrics.auc DESC", limit=1) == ["b"]
    assert names(workspace, filter="metrics.auc > 0.6 and attributes.run_name = 'b'") == ["b"]
    assert names(workspace, filter="metrics.nothing > 0") == []


@pytest.mark.parametrize("order", ["metrics.auc DESC", "attributes.run_name LIKE"])
def test_runs_come_in_pages(workspace, order):
    """Each page goes on where the one before ended, in the order asked for; the last one says that it is."""
    for number in range(5):
        make(workspace, f"r{number}", auc=number / 10)
    search = {"order_by": order} if "LIKE" not in order else {"filter": f"{order} 'r%'"}
    pages = [workspace.runs.search(limit=2, page=page, **search) for page in (1, 2, 3, 4)]
    assert [[row["name"] for row in page.rows] for page in pages] == [["r4", "r3"], ["r2", "r1"], ["r0"], []]
    assert [page.to_json().get("next_page") for page in pages] == [2, 3, None, None]
    assert "--page 2" in str(pages[0])
    assert "there are fewer runs" in str(pages[3])
    with pytest.raises(UsageError):
        workspace.runs.search(page=0)


def test_runs_that_their_notebook_does_not_tell_are_marked_in_the_list(workspace):
    """The list names what differs from the notebook, and has no such column where nothing does."""
    make(workspace, "plain")
    assert "differ" not in str(workspace.runs.search())
    with workspace.run("marked", tags={"mlops.marks": "edited"}):
        pass
    (row,) = workspace.runs.search(filter="attributes.run_name = 'marked'").rows
    assert row["marked"] == "edited"
    assert "edited" in str(workspace.runs.search())


def test_runs_of_another_experiment_are_found_by_its_name(workspace):
    """`experiment` narrows to one; one that nobody made is not found, and the hint names those that are."""
    other = f"{workspace.config.experiment}-other"
    make(workspace, "here")
    with workspace.run("there", experiment=other):
        pass
    assert names(workspace, experiment=other) == ["there"]
    assert names(workspace, experiment=workspace.config.experiment) == ["here"]
    with pytest.raises(NotFoundError) as refused:
        workspace.runs.search(experiment="nobody's")
    assert refused.value.hint


@pytest.mark.parametrize("wrong", [{"filter": "this is none"}, {"filter": "metrics.a >"}, {"order_by": "what ever"}])
def test_a_filter_that_cannot_be_read_is_a_usage_error(workspace, wrong):
    """A filter or an order that MLflow can't read is the caller's mistake, not a store's."""
    make(workspace, "one")
    with pytest.raises(UsageError) as refused:
        workspace.runs.search(**wrong)
    assert refused.value.hint


def test_a_deleted_run_is_no_longer_listed(workspace):
    """What was deleted in MLflow is gone from searches, and from the names."""
    deleted = make(workspace, "deleted")
    make(workspace, "kept")
    workspace.tracking.client.delete_run(deleted)
    assert names(workspace) == ["kept"]
    with pytest.raises(NotFoundError):
        workspace.runs.resolve("deleted")


def shown_columns(workspace: Workspace, **search: object) -> list[str]:
    (grid,) = (block for block in workspace.runs.search(**search).blocks() if isinstance(block, Grid))  # type: ignore[arg-type]
    return list(grid.columns)


def test_columns_are_what_was_asked_for_and_what_tells_runs_apart(workspace):
    """A metric that the order names, and a param that the filter names, are shown before all that is just there."""
    for number in range(3):
        with workspace.run(f"r{number}"):
            for name in "abcdefgh":
                log_metric(f"{name}_same", 1.0)
                log_param(f"{name}_same", 1)
            log_metric("z_acc", number / 10)
            log_param("z_depth", number)
    plain = shown_columns(workspace)
    assert {"metrics.z_acc", "params.z_depth"} <= set(plain)
    assert len([name for name in plain if name.startswith("params.")]) == 5
    asked = shown_columns(workspace, filter="params.h_same = '1'", order_by="metrics.`g_same` DESC")
    assert asked[asked.index("took") + 1] == "metrics.g_same"
    assert next(name for name in asked if name.startswith("params.")) == "params.h_same"


def test_a_filter_that_matches_nothing_says_so(workspace):
    """That there are no runs at all, none that match, and no further page, are three things to be told."""
    assert "no runs yet" in str(workspace.runs.search())
    make(workspace, "one", auc=0.5)
    assert "no run matches metrics.auc > 1" in str(workspace.runs.search(filter="metrics.auc > 1"))
    assert "none of these runs has metrics.nosuch" in str(workspace.runs.search(order_by="metrics.nosuch DESC"))
    assert "sorted" not in str(workspace.runs.search(order_by="metrics.auc DESC"))


def test_a_list_says_whose_child_a_run_is(workspace):
    """Children name their parent; where there are none, there is no such column."""
    with workspace.run("parent"):
        assert "child of" not in str(workspace.runs.search())
        with workspace.run("inner", nested=True):
            pass
    child, parent = workspace.runs.search().rows
    assert child["parent"] == parent["run_id"]
    assert re.search(r"inner .* parent", str(workspace.runs.search()))


def test_a_mistyped_column_or_name_is_told_with_the_right_one(workspace):
    """A metric without its kind, and a name with a slip, are answered by what was meant."""
    make(workspace, "baseline", loss=0.5)
    with pytest.raises(UsageError) as refused:
        workspace.runs.search(filter="loss < 1")
    assert "metrics.loss" in (refused.value.hint or "")
    with pytest.raises(NotFoundError) as missing:
        workspace.runs.resolve("baselin")
    assert "did you mean 'baseline'?" in (missing.value.hint or "")


# ---------------------------------------------------------------------------------------------------------------------
# The last point


def test_the_last_point_of_a_step_is_the_metric(workspace):
    """However fast points follow one another, the one that was logged last is what runs and gates see."""
    with workspace.run("falling") as run:
        for fold in (0.95, 0.6, 0.41):
            log_metric("auc", fold)
        for number in range(50):
            log_metric("at five", 1 / (number + 1), 5)
        # MLflow keeps the run's metrics with the model as well, a row a metric and time.
        log_model(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]))
    assert dict(workspace.runs.get(run.run_id).metrics) == {"auc": 0.41, "at five": 0.02}
    history = workspace.tracking.client.get_metric_history(run.run_id, "auc")
    assert [point.value for point in sorted(history, key=lambda point: point.timestamp)] == [0.95, 0.6, 0.41]


def test_equal_points_are_kept_over_a_pause(workspace):
    """A run that ends in this process and is written to again loses none of the points that equal earlier ones."""
    with workspace.run("first") as run:
        for _ in range(2000):
            log_metric("n", 1.0)
    with mlflow.start_run(run_id=run.run_id):
        for _ in range(2000):
            log_metric("n", 1.0)
    workspace.tracking.queue.require_settled()
    assert len(workspace.tracking.client.get_metric_history(run.run_id, "n")) == 4000


# ---------------------------------------------------------------------------------------------------------------------
# Naming


def test_a_run_goes_by_id_prefix_name_and_last(workspace):
    """An id, a prefix of six or more characters, a name and @last all mean the run; a shorter prefix means none."""
    first = make(workspace, "first")
    second = make(workspace, "second")
    for ref in (first, first[:6], first[:20], "first"):
        assert workspace.runs.resolve(ref).run_id == first, ref
    assert workspace.runs.resolve("@last").run_id == second
    for ref in (first[:5], first + "0", "firs", "", "0" * 32, "%", "first%"):
        with pytest.raises(NotFoundError):
            workspace.runs.resolve(ref)


@pytest.mark.parametrize(
    "name", ["it's", 'a "quoted" one', """both ' and \"""", "100%", "a_b", "naïve ☃", "abcdef12", "with space", "-1"]
)
def test_any_name_is_a_name(workspace, name):
    """A run goes by its name whatever characters it is made of, and by nothing that merely looks alike."""
    expected = make(workspace, name)
    make(workspace, "aXb")
    make(workspace, "100 per cent")
    assert workspace.runs.resolve(name).run_id == expected


def test_an_ambiguous_name_lists_its_candidates(workspace):
    """Two runs of one name are not told apart by it: the hint has the ids of both."""
    ids = [make(workspace, "twin") for _ in range(2)]
    with pytest.raises(AmbiguousError) as refused:
        workspace.runs.resolve("twin")
    assert all(run_id[:12] in refused.value.hint for run_id in ids)
    assert workspace.runs.resolve(ids[0]).run_id == ids[0]


def test_an_empty_workspace_has_no_last_run(workspace):
    """Where there is no run yet, @last is not found and the hint says how to make one."""
    with pytest.raises(NotFoundError) as refused:
        workspace.runs.resolve("@last")
    assert "run" in refused.value.hint


# ---------------------------------------------------------------------------------------------------------------------
# Comparing


def test_a_comparison_names_what_differs(workspace):
    """Params and metrics that differ, or that only one has, are named; those that are equal are not."""
    with workspace.run("a", params={"depth": 3, "seed": 7, "only": 1}):
        log_metric("auc", 0.5)
        log_metric("same", 1)
    with workspace.run("b", params={"depth": 5, "seed": 7}):
        log_metric("auc", 0.6)
        log_metric("same", 1)
    found = workspace.runs.compare(["a", "b"]).to_json()
    assert found["differences"]["params"] == ["depth", "only"]
    assert found["differences"]["metrics"] == ["auc"]
    assert found["differences"]["environment"] is False
    assert [run["name"] for run in found["runs"]] == ["a", "b"]
    mirrored = workspace.runs.compare(["b", "a"]).to_json()
    assert mirrored["differences"] == found["differences"]


def test_a_comparison_tells_other_data_and_other_code(workspace):
    """Runs on other data or of another cell differ; those on the same don't."""
    rows = np.arange(20_000.0)
    changed = rows.copy()
    changed[-1] = 0
    for name, data, code in (("a", rows, "x = 1"), ("b", rows, "x = 1"), ("c", changed, "x = 2")):
        with workspace.run(name) as run:
            log_data(data, "rows", "train")
            run.tracking.put_text(run.run_id, code, "mlops/cell.py")
    same = workspace.runs.compare(["a", "b"]).to_json()["differences"]
    other = workspace.runs.compare(["a", "c"]).to_json()["differences"]
    assert (same["data"], same["source"]) == (False, False)
    assert (other["data"], other["source"]) == (True, True)


def test_metric_curves_are_laid_over_each_other(workspace):
    """A metric with several steps comes as a series a run, in the order of the steps."""
    for name in ("a", "b"):
        with workspace.run(name):
            for step in (2, 0, 1):
                log_metric("loss", step / 2, step=step)
            log_metric("final", 1)
    curves = workspace.runs.compare(["a", "b"]).to_json()["curves"]
    assert set(curves) == {"loss"}
    assert [[tuple(point) for point in series] for series in curves["loss"]] == [[(0, 0.0), (1, 0.5), (2, 1.0)]] * 2


# ---------------------------------------------------------------------------------------------------------------------
# Making


def test_a_run_is_finished_or_failed(workspace):
    """A block that ends is FINISHED; one that raises, or is interrupted, is FAILED with the traceback kept."""
    with workspace.run("good"):
        pass
    assert workspace.runs.resolve("good").status == "FINISHED"
    for name, error in (("bad", ValueError("no data")), ("stopped", KeyboardInterrupt())):
        with pytest.raises(type(error)), workspace.run(name):
            raise error
        run = workspace.runs.resolve(name)
        assert run.status == "FAILED"
        assert type(error).__name__ in (workspace.runs.text(run, "mlops/traceback.txt") or "")
    assert active.active_run() is None


def test_a_run_inside_a_run_needs_nested(workspace):
    """A second run is refused while one is active; with nested it is its child."""
    with workspace.run("outer") as outer:
        with pytest.raises(ConflictError), workspace.run("refused"):
            pass
        with workspace.run("inner", nested=True) as inner:
            log_metric("m", 1)
        log_metric("m", 2)
    child = workspace.runs.get(inner.run_id)
    assert child.tags["mlflow.parentRunId"] == outer.run_id
    assert (dict(child.metrics), dict(workspace.runs.get(outer.run_id).metrics)) == ({"m": 1.0}, {"m": 2.0})
    assert "refused" not in names(workspace)


def test_threads_write_to_their_own_runs(workspace):
    """Each thread that opens a run writes to it alone."""
    gate = threading.Barrier(4)
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            with workspace.run(f"thread-{n}"):
                gate.wait(30)
                log_metric("n", n)
                log_param("n", n)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    for n in range(4):
        run = workspace.runs.resolve(f"thread-{n}")
        assert (run.status, dict(run.metrics), dict(run.params)) == ("FINISHED", {"n": float(n)}, {"n": str(n)})


def test_logging_without_a_run_is_refused(workspace):
    """What writes to the active run is refused where there is none."""
    for write in (
        lambda: log_metric("a", 1),
        lambda: log_param("a", 1),
        lambda: log_data(np.arange(3), "rows"),
        lambda: log_model(object()),
    ):
        with pytest.raises(ConflictError) as refused:
            write()
        assert refused.value.message == "no run is active"


@pytest.mark.parametrize("value", ["0.5", b"1", None, [1], {"a": 1}, np.arange(2), pd.Series([1, 2]), 1j, object()])
def test_a_metric_that_is_no_number_is_refused(workspace, value):
    """Text and whatever has not one number in it is no metric."""
    with workspace.run("refusing"), pytest.raises(ValueRefused) as refused:
        log_metric("m", value)
    assert "'m'" in refused.value.message
    assert dict(workspace.runs.resolve("@last").metrics) == {}


def test_numbers_of_every_kind_are_metrics(workspace):
    """Scalars of numpy, one-element arrays, NaN and plain numbers all are."""
    numbers = {"i": 1, "f": np.float32(0.5), "n": np.int64(3), "z": np.array(2.0), "nan": np.nan}
    with workspace.run("numbers"):
        for name, value in numbers.items():
            log_metric(name, value)
    metrics = workspace.runs.resolve("@last").metrics
    assert {k: v for k, v in metrics.items() if k != "nan"} == {"i": 1.0, "f": 0.5, "n": 3.0, "z": 2.0}
    assert np.isnan(metrics["nan"])


def test_a_param_is_written_once(workspace):
    """The same value again is fine, another one is refused and the first stays; lists and the like are refused."""
    with workspace.run("params"):
        log_param("depth", 3)
        log_param("depth", np.int64(3))
        with pytest.raises(ConflictError) as refused:
            log_param("depth", 4)
        assert "'3'" in refused.value.message
        for value in ([1], {"a": 1}, np.arange(2), object()):
            with pytest.raises(ValueRefused):
                log_param("other", value)
        log_param("none", None)
    assert dict(workspace.runs.resolve("@last").params) == {"depth": "3", "none": "None"}


def test_a_name_that_mlflow_refuses_is_the_caller_s_mistake(workspace):
    """A metric or param whose name MLflow does not allow is refused as a value, not as a store's failure."""
    with workspace.run("names"):
        for write in (lambda: log_metric("a\x00b", 1), lambda: log_param("a*b", 1), lambda: log_metric("", 1)):
            with pytest.raises(MlopsError) as refused:
                write()
            assert refused.value.exit_code == 2
            assert refused.value.hint


def test_data_has_a_digest_over_all_of_its_content(workspace, tmp_path):
    """Equal content has one digest, a change in the last of many rows another; MLflow's own client finds it."""
    frame = pd.DataFrame({"x": np.arange(20_001), "y": ["text"] * 20_001})
    changed = frame.copy()
    changed.loc[20_000, "x"] = -1
    (tmp_path / "data.csv").write_text("x\n1\n")
    with workspace.run("data") as run:
        digests = [log_data(data, name) for name, data in (("a", frame), ("b", frame.copy()), ("c", changed))]
        log_data(tmp_path / "data.csv", "file", "holdout")
        log_data(np.arange(3), "array", "test")
        log_data(frame["x"], "series")
        with pytest.raises(ValueRefused):
            log_data(object(), "nothing")
        with pytest.raises(ValueRefused):
            log_data(frame, "a", "practice")
    assert digests[0] == digests[1] != digests[2]
    inputs = workspace.tracking.client.get_run(run.run_id).inputs.dataset_inputs
    found = {item.dataset.name: {tag.key: tag.value for tag in item.tags} for item in inputs}
    assert found["a"]["mlops.digest"] == digests[0]
    assert found["c"]["mlops.digest"] == digests[2]
    assert found["file"]["mlflow.data.context"] == "holdout"


def test_a_model_is_kept_and_loaded_with_mlflow_alone(workspace):
    """A model that was logged predicts the same when MLflow loads it by its version."""
    from sklearn.linear_model import LinearRegression

    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    name = f"model of {workspace.config.experiment}"
    with workspace.run("model"):
        logged = log_model(LinearRegression().fit(rows, [2.0, 4.0, 6.0]), register=name, input_example=rows)
        with pytest.raises(ValueRefused):
            log_model({"not": "a model"})
    assert (logged.name, str(logged.version)) == ("model", "1")
    code = (
        "import json, mlflow, pandas\n"
        f"mlflow.set_tracking_uri({workspace.tracking.uri!r})\n"
        f"model = mlflow.pyfunc.load_model('models:/{name}/1')\n"
        "assert model.metadata.signature is not None\n"
        "print(json.dumps([round(float(v), 6) for v in model.predict(pandas.DataFrame({'x': [5.0]}))]))"
    )
    assert json.loads(python(code, workspace.root).splitlines()[-1]) == [10.0]


def test_texts_and_files_come_back(workspace, tmp_path):
    """An artifact is read back as it was written, from a folder beside the database or through the server."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note.txt").write_text("kept ☃")
    with workspace.run("files") as run:
        run.tracking.put_text(run.run_id, "text ☃", "deep/er/text.txt")
        log.log_artifact(tmp_path / "folder")
        with pytest.raises(UsageError):
            log.log_artifact(tmp_path / "nothing")
    found = workspace.runs.resolve("@last")
    assert workspace.runs.text(found, "deep/er/text.txt") == "text ☃"
    assert workspace.runs.text(found, "folder/note.txt") == "kept ☃"
    assert workspace.runs.text(found, "nothing.txt") is None
    assert workspace.runs.text(found, "nothing/at/all.txt") is None


def test_a_deleted_experiment_is_a_conflict(workspace):
    """A run can't begin in an experiment that was deleted: it is said, and MLflow's experiment stays deleted."""
    name = f"{workspace.config.experiment}-deleted"
    workspace.tracking.client.delete_experiment(workspace.tracking.experiment_id(name))
    with pytest.raises(ConflictError) as refused, workspace.run("x", experiment=name):
        pass
    assert name in refused.value.message


# ---------------------------------------------------------------------------------------------------------------------
# Which store


def test_a_server_that_is_away_is_a_store_error_at_once(tmp_path, monkeypatch):
    """An address where nobody listens is told as such, with the address, and without minutes of trying."""
    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    workspace = Workspace.open(tmp_path)
    begun = time.monotonic()
    for call in (workspace.runs.search, workspace.registry.versions, lambda: workspace.runs.resolve("x")):
        with pytest.raises(StoreError) as refused:
            call()
        assert uri in refused.value.message
    assert time.monotonic() - begun < 30
    assert not (tmp_path / ".mlops").exists()


def test_a_database_in_mlops_toml_is_relative_to_the_workspace(tmp_path, monkeypatch):
    """A relative SQLite URI in mlops.toml lies beside it, wherever the process is; the environment overrules it."""
    (tmp_path / "seed").mkdir()
    (tmp_path / "project").mkdir()
    copied_database(tmp_path / "seed", tmp_path / "project" / "mine.db")
    copied_database(tmp_path / "seed", tmp_path / "theirs.db")
    (tmp_path / "project" / "mlops.toml").write_text('[tracking]\nuri = "sqlite:///mine.db"\nexperiment = "e"\n')
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open(tmp_path / "project")
    assert workspace.tracking.uri == f"sqlite:///{tmp_path / 'project' / 'mine.db'}"
    make(workspace, "beside")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'theirs.db'}")
    assert names(Workspace.open(tmp_path / "project")) == []
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert names(Workspace.open(tmp_path / "project")) == ["beside"]


def test_two_workspaces_in_one_process_keep_apart(tmp_path):
    """A process that works in two workspaces writes to each what belongs there."""
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    for _ in range(2):
        for place in places:
            make(Workspace.open(place), f"in {place.name}", m=1)
    for place in places:
        assert names(Workspace.open(place)) == [f"in {place.name}"] * 2
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_store_of_a_workspace_is_made_by_the_first_write(tmp_path):
    """Reading makes nothing; the first run makes `.mlops`, which git leaves alone, with a database in WAL mode."""
    workspace = Workspace.open(tmp_path)
    assert names(workspace) == []
    assert list(tmp_path.iterdir()) == []
    run_id = make(workspace, "first")
    state = tmp_path / ".mlops"
    assert (state / ".gitignore").read_text().strip() == "*"
    assert {"mlflow.db"} <= {file.name for file in state.iterdir()}
    assert Path(workspace.runs.get(run_id).artifact_uri.removeprefix("file://")).is_relative_to(state / "artifacts")
    assert not list(state.glob(".*.part*"))


def test_importing_the_package_imports_nothing_heavy(tmp_path):
    """The Python surface is importable without MLflow, pandas or numpy."""
    code = (
        "import sys\nimport mlops_jupyter\nfor name in mlops_jupyter.__all__: getattr(mlops_jupyter, name)\n"
        "heavy = [m for m in ('mlflow', 'pandas', 'numpy', 'papermill', 'IPython') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    python(code, tmp_path)


def test_run_of_the_package_uses_the_workspace_of_the_working_directory(opening: Opening):
    """`mlops_jupyter.run` opens a run in the workspace that the working directory is in."""
    workspace = opening()
    with mlops_jupyter.run("by the package", params={"p": 1}, tags={"t": 2}) as run:
        mlops_jupyter.log_metric("m", 1, step=3)
    found = workspace.runs.get(run.run_id)
    assert (found.experiment, dict(found.params), found.tags["t"]) == (workspace.config.experiment, {"p": "1"}, "2")
    assert found.tags["mlops.env"]
