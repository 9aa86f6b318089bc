"""Autologging that stays in its lane: each leak is shown on MLflow alone first, and then not to be there with ours."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import joblib
import mlflow
import mlflow.sklearn.utils
import pytest
import sklearn.metrics
import sklearn.model_selection
from driving import free_port
from mlflow.tracking import fluent
from mlflow.utils import autologging_utils, import_hooks
from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS, safety
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from mlops_jupyter import Workspace
from mlops_jupyter.tracking import active, autolog
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.autolog import lanes, shape, state
from mlops_jupyter.tracking.autolog.switch import _failing, _Placed, switch
from mlops_jupyter.tracking.records import Run

pytestmark = [
    # MLflow calls scikit-learn's log_loss by an argument's old name.
    pytest.mark.filterwarnings("ignore::FutureWarning:sklearn"),
    # What MLflow says of its own code while it is imported.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]

X, y = make_classification(80, random_state=0)
#: Where threads meet inside a fit or a score, by thread; once each.
MEETINGS: dict[int, threading.Barrier] = {}


def meet(rows: Any) -> Any:
    """Wait, inside whatever scikit-learn is doing, until the other threads are inside as well."""
    barrier = MEETINGS.pop(threading.get_ident(), None)
    if barrier is not None:
        barrier.wait(60)
    return rows


def pipeline(model: Any) -> Pipeline:
    """Give a model whose fit, prediction and score are places to meet in."""
    return Pipeline([("meet", FunctionTransformer(meet)), ("model", model)])


def at_once(*tasks: Callable[[Callable[[], None]], None]) -> None:
    """Carry tasks out in threads; each is given what makes its thread wait for the others in its next fit or score."""
    barrier = threading.Barrier(len(tasks))
    problems: list[BaseException] = []

    def carry_out(task: Callable[[Callable[[], None]], None]) -> None:
        try:
            task(lambda: MEETINGS.__setitem__(threading.get_ident(), barrier))
        except BaseException as error:
            problems.append(error)
            barrier.abort()

    threads = [threading.Thread(target=carry_out, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if problems:
        raise problems[0]


@contextmanager
def autologged(workspace: Workspace, name: str, **more: Any) -> Iterator[ActiveRun]:
    """Open a run that autologs."""
    with workspace.run(name, autolog=True, **more) as run:
        yield run


def the(workspace: Workspace, name: str) -> Run:
    """Give the only run of a name."""
    rows = [row for row in workspace.runs.search(limit=200).rows if row["name"] == name]
    assert len(rows) == 1, rows
    return workspace.runs.get(rows[0]["run_id"])


def names(workspace: Workspace) -> list[str]:
    """Name all runs that there are."""
    return sorted(row["name"] for row in workspace.runs.search(limit=200).rows)


def scores(run: Run) -> list[str]:
    """Name the metrics that MLflow has logged after the fit."""
    return sorted(name for name in run.metrics if not name.startswith("training_"))


@pytest.fixture
def workspace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Give a workspace with the embedded store; autologging has no part in what the others do differently."""
    workspace = Workspace.open(folder)
    workspace.tracking.use_here()
    # What the process has as its experiment is none in the next test's store.
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    mlflow.set_experiment(workspace.tracking.experiment)
    return workspace


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare MLflow's loading each model in a process of its own, to find out what it imports."""
    monkeypatch.setattr(mlflow.models, "infer_pip_requirements", lambda *_, **__: ["scikit-learn"])


def whats_in_place() -> dict[str, Any]:
    """Give everything that is put in MLflow's and Python's place while a run autologs."""
    return {
        "sessions": safety._AutologgingSessionManager,
        "stacks": [type(owner._session_stack) for owner in autologging_utils._training_sessions],
        "disable": (autologging_utils.disable_autologging, mlflow.sklearn.disable_autologging),
        "disable some": autologging_utils.disable_discrete_autologging,
        "scores": type(mlflow.sklearn._AUTOLOGGING_METRICS_MANAGER),
        "flush": autologging_utils.MlflowAutologgingQueueingClient._flush_pending_operations,
        "metrics": autologging_utils.BatchMetricsLogger._timed_log_batch,
        "inputs": mlflow.MlflowClient.log_inputs,
        "drawing": mlflow.sklearn.utils._log_specialized_estimator_content,
        "start": threading.Thread.start,
        "submit": ThreadPoolExecutor.submit,
        "fit": LogisticRegression.__dict__["fit"],
        "metric": sklearn.metrics.accuracy_score,
        "configs": {name: config for name, config in AUTOLOGGING_INTEGRATIONS.items() if config},
        "hooks": {name: list(hooks) for name, hooks in import_hooks._post_import_hooks.items() if hooks},
        "filters": list(logging.getLogger("mlflow.sklearn").filters),
    }


@pytest.fixture(autouse=True)
def clean(quick: None) -> Iterator[None]:
    """Begin with autologging off; see that everything was taken away that we had put in place."""
    before = whats_in_place()
    yield
    MEETINGS.clear()
    switch.off()
    mlflow.autolog(disable=True)
    mlflow.sklearn.autolog(disable=True)
    for config in list(AUTOLOGGING_INTEGRATIONS):
        AUTOLOGGING_INTEGRATIONS[config] = {}
    import_hooks._post_import_hooks.clear()
    assert whats_in_place() == before
    assert not lanes.is_any_open()


# ---------------------------------------------------------------------------------------------------------------------
# Two fits at once


def two_fits(workspace: Workspace, opened: Callable[..., Any]) -> list[Run]:
    def training(c: float) -> Callable[[Callable[[], None]], None]:
        def task(meeting: Callable[[], None]) -> None:
            with opened(workspace, f"c={c:g}"):
                meeting()
                pipeline(LogisticRegression(C=c)).fit(X, y)

        return task

    at_once(training(1), training(2))
    return [the(workspace, "c=1"), the(workspace, "c=2")]


@contextmanager
def in_a_run(workspace: Workspace, name: str) -> Iterator[Any]:
    """Open a run that does not autolog: what is autologged in it is MLflow's own doing."""
    with workspace.run(name) as run:
        yield run


def test_control_mlflow_drops_one_of_two_fits_at_once(workspace: Workspace) -> None:
    """CONTROL, MLflow alone: of two fits that overlap, the parameters of one are logged nowhere."""
    mlflow.autolog(silent=True)
    runs = two_fits(workspace, in_a_run)
    assert sorted("model__C" in run.params for run in runs) == [False, True]


def test_two_fits_at_once_are_both_logged_each_in_its_run(workspace: Workspace) -> None:
    """Parameters, metrics, figures, the dataset and the model of each of two overlapping fits are in its own run."""
    runs = two_fits(workspace, autologged)
    for run, c in zip(runs, ("1", "2"), strict=True):
        assert run.params["model__C"] == c
        assert {"training_accuracy_score", "training_roc_auc", "training_score"} <= set(run.metrics)
        found = workspace.tracking.client.get_run(run.run_id)
        assert len(found.inputs.dataset_inputs) == 1
        assert len(found.outputs.model_outputs) == 1
        drawn = {file.path for file in workspace.tracking.client.list_artifacts(run.run_id)}
        assert {"training_confusion_matrix.png", "training_roc_curve.png", "estimator.html"} <= drawn
    assert names(workspace) == ["c=1", "c=2"]


@pytest.mark.parametrize("count", [6])
def test_many_threads_and_estimators_keep_apart(workspace: Workspace, count: int) -> None:
    """Six threads that fit six estimators at once, each in its run: each run has the one, and nothing of the others."""
    models = [LogisticRegression(), Ridge(), RandomForestClassifier(5), DecisionTreeClassifier(), LinearRegression()]
    models.append(RandomForestClassifier(5, n_jobs=2))

    def training(place: int) -> Callable[[Callable[[], None]], None]:
        def task(meeting: Callable[[], None]) -> None:
            with autologged(workspace, f"m{place}"):
                meeting()
                pipeline(models[place]).fit(X, y)

        return task

    at_once(*(training(place) for place in range(count)))
    for place, model in enumerate(models):
        expected = {name for name in pipeline(model).get_params() if name.startswith("model__")}
        assert {name for name in the(workspace, f"m{place}").params if name.startswith("model__")} == expected
    assert len(names(workspace)) == count


# ---------------------------------------------------------------------------------------------------------------------
# Threads that have no run


def fit_beside(workspace: Workspace, opened: Callable[..., Any]) -> None:
    """Fit in a thread that has nothing to do with any run, while one that has a run fits as well."""

    def without(meeting: Callable[[], None]) -> None:
        meeting()
        pipeline(LogisticRegression(C=9)).fit(X, y)
        LogisticRegression(C=10).fit(X, y)

    def within(meeting: Callable[[], None]) -> None:
        with opened(workspace, "with"):
            meeting()
            pipeline(LogisticRegression(C=1)).fit(X, y)
            done.wait(60)

    done = threading.Event()

    def outsider(meeting: Callable[[], None]) -> None:
        try:
            without(meeting)
        finally:
            done.set()

    at_once(within, outsider)


def test_control_mlflow_makes_up_a_run_for_a_thread_that_has_none(workspace: Workspace) -> None:
    """CONTROL, MLflow alone: a fit in a thread without a run makes a run that nobody asked for."""
    mlflow.autolog(silent=True)
    fit_beside(workspace, in_a_run)
    assert len(names(workspace)) > 1


def test_a_thread_without_a_run_is_not_autologged(workspace: Workspace) -> None:
    """While one thread's run autologs, a fit in a thread that has none makes no run, and is logged in none."""
    fit_beside(workspace, autologged)
    assert names(workspace) == ["with"]
    assert the(workspace, "with").params["model__C"] == "1"


def test_a_thread_whose_run_does_not_autolog_is_not_logged(workspace: Workspace) -> None:
    """Of two threads with runs, only the one that asked for it is autologged."""

    def asked(meeting: Callable[[], None]) -> None:
        with autologged(workspace, "asked"):
            meeting()
            pipeline(LogisticRegression(C=1)).fit(X, y)

    def unasked(meeting: Callable[[], None]) -> None:
        with workspace.run("unasked"):
            meeting()
            pipeline(LogisticRegression(C=2)).fit(X, y)

    at_once(asked, unasked)
    assert the(workspace, "asked").params["model__C"] == "1"
    found = the(workspace, "unasked")
    assert (dict(found.params), dict(found.metrics)) == ({}, {})


# ---------------------------------------------------------------------------------------------------------------------
# Runs inside runs, and one after another


def nest(workspace: Workspace, outer: Callable[..., Any], inner: Callable[..., Any]) -> dict[str, str | None]:
    with outer(workspace, "outer"):
        LogisticRegression(C=1).fit(X, y)
        with inner(workspace, "inner"):
            Ridge(alpha=2).fit(X, y)
    return {run: the(workspace, run).tags.get("estimator_name") for run in ("outer", "inner")}


@contextmanager
def nested(workspace: Workspace, name: str) -> Iterator[Any]:
    """Open a child that does not autolog."""
    with workspace.run(name, nested=True) as run:
        yield run


@contextmanager
def nested_autologged(workspace: Workspace, name: str) -> Iterator[Any]:
    """Open a child that autologs."""
    with autologged(workspace, name, nested=True) as run:
        yield run


def test_control_mlflow_logs_a_child_that_did_not_ask(workspace: Workspace) -> None:
    """CONTROL, MLflow alone: switched on for the outer run, autologging is on in the inner one."""
    mlflow.autolog(silent=True)
    assert nest(workspace, in_a_run, nested) == {"outer": "LogisticRegression", "inner": "Ridge"}


def test_a_child_that_did_not_ask_is_not_autologged(workspace: Workspace) -> None:
    """What a nested run trains that did not ask is logged neither there nor in its parent."""
    assert nest(workspace, autologged, nested) == {"outer": "LogisticRegression", "inner": None}
    assert "alpha" not in the(workspace, "outer").params


def test_a_child_that_asked_is_autologged_alone(workspace: Workspace) -> None:
    """A nested run that asked is autologged, and its parent that did not is not."""
    assert nest(workspace, in_a_run, nested_autologged) == {"outer": None, "inner": "Ridge"}


def test_parent_and_child_that_both_asked_keep_apart(workspace: Workspace) -> None:
    """Each of two runs that asked has what was trained while it was the innermost; the parent goes on after it."""
    with autologged(workspace, "outer"):
        with autologged(workspace, "inner", nested=True):
            Ridge(alpha=2).fit(X, y)
        LogisticRegression(C=1).fit(X, y)
    assert the(workspace, "inner").tags["estimator_name"] == "Ridge"
    assert the(workspace, "outer").tags["estimator_name"] == "LogisticRegression"
    assert "alpha" not in the(workspace, "outer").params


def test_plain_mlflow_runs_inside_are_autologged(workspace: Workspace) -> None:
    """Children that plain MLflow opens in a run that autologs are autologged as MLflow does, in its threads as well."""

    def child(c: float) -> None:
        with mlflow.start_run(run_name=f"child {c:g}", nested=True):
            model = LogisticRegression(C=c).fit(X, y)
        model.score(X, y)

    with autologged(workspace, "sweep"):
        child(1)
        thread = threading.Thread(target=child, args=(2,))
        thread.start()
        thread.join()
    for c in ("1", "2"):
        found = the(workspace, f"child {c}")
        assert found.params["C"] == c
        assert scores(found)
    assert dict(the(workspace, "sweep").params) == {}


def test_the_next_run_has_nothing_of_the_last(workspace: Workspace) -> None:
    """Two runs that autolog, one after another, and one that does not, have each their own."""
    for c in (1, 2):
        with autologged(workspace, f"c={c}"):
            LogisticRegression(C=c).fit(X, y)
    with workspace.run("plain"):
        LogisticRegression(C=3).fit(X, y)
    LogisticRegression(C=4).fit(X, y)
    assert names(workspace) == ["c=1", "c=2", "plain"]
    assert [the(workspace, f"c={c}").params["C"] for c in (1, 2)] == ["1", "2"]
    assert dict(the(workspace, "plain").params) == {}


def test_a_failed_fit_is_raised_and_the_next_is_logged(workspace: Workspace) -> None:
    """The user's error comes through autologging; the run is FAILED, and a run after it is logged whole."""
    with pytest.raises(ValueError, match="inconsistent"), autologged(workspace, "bad"):
        LogisticRegression().fit(X, y[:-1])
    with autologged(workspace, "good"):
        LogisticRegression(C=2).fit(X, y)
    assert the(workspace, "bad").status == "FAILED"
    assert the(workspace, "good").params["C"] == "2"


def test_what_could_not_be_logged_is_told(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Two fits in one run whose parameters contradict: MLflow's warning is seen, and nothing about pickle."""
    with autologged(workspace, "twice"):
        capsys.readouterr()
        LogisticRegression(C=1).fit(X, y)
        assert "WARNING" not in capsys.readouterr().err
        LogisticRegression(C=2).fit(X, y)
    assert "Changing param values is not allowed" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# Threads that a run starts


def test_a_thread_belongs_to_the_run_that_started_it(workspace: Workspace) -> None:
    """A thread, and one that it starts, train for the run that was innermost where they were started."""

    def train(name: str) -> None:
        {"Ridge": Ridge, "LinearRegression": LinearRegression}[name]().fit(X, y)
        if name == "Ridge":
            again = threading.Thread(target=train, args=("LinearRegression",))
            again.start()
            again.join()

    with autologged(workspace, "outer"), autologged(workspace, "inner", nested=True):
        thread = threading.Thread(target=train, args=("Ridge",))
        thread.start()
        thread.join()
    assert names(workspace) == ["inner", "outer"]
    assert {"alpha", "copy_X", "positive"} <= set(the(workspace, "inner").params)
    assert dict(the(workspace, "outer").params) == {}


class Late:
    """A thread that fits when it is told to."""

    def __init__(self, *models: Any) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._fit, args=(models,))
        self.thread.start()

    def _fit(self, models: tuple[Any, ...]) -> None:
        self.entered.set()
        self.go.wait(60)
        for model in models:
            model.fit(X, y)

    def train(self) -> None:
        """Let it go on, and wait for its end."""
        self.go.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


def late_fit(workspace: Workspace, opened: Callable[..., Any]) -> None:
    with opened(workspace, "first"):
        late = Late(LogisticRegression(C=7), Ridge())
    with opened(workspace, "second"):
        LogisticRegression(C=2).fit(X, y)
        late.train()


def test_control_mlflow_logs_a_thread_that_outlives_its_run(workspace: Workspace) -> None:
    """CONTROL, MLflow alone: what a thread trains after its cell has ended makes runs that nobody asked for."""
    mlflow.autolog(silent=True)
    late_fit(workspace, in_a_run)
    assert len(names(workspace)) == 4


@pytest.mark.parametrize("how", ["ours", "mlflow's"])
def test_a_run_that_is_ended_inside_the_block_takes_nothing_more(workspace: Workspace, how: str) -> None:
    """`%mlops end`, or ``mlflow.end_run``, in the middle of the cell: no thread of it writes to the run after that."""
    active.begin(workspace.tracking, "ended", autolog=True)
    late = Late(LogisticRegression(C=7))
    LogisticRegression(C=1).fit(X, y)
    active.end() if how == "ours" else mlflow.end_run()
    before = the(workspace, "ended")
    late.train()
    Ridge().fit(X, y)
    if active.open_runs():
        active.end()
    after = the(workspace, "ended")
    assert (dict(after.params), dict(after.metrics)) == (dict(before.params), dict(before.metrics))
    assert after.params["C"] == "1"
    assert names(workspace) == ["ended"]


def test_a_thread_that_outlives_its_run_is_logged_nowhere(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """A fit after the run's end is in no run, neither its own nor the next one, and a warning says so once."""
    late_fit(workspace, autologged)
    assert names(workspace) == ["first", "second"]
    assert dict(the(workspace, "first").params) == {}
    assert the(workspace, "second").params["C"] == "2"
    assert "alpha" not in the(workspace, "second").params
    said = [record.getMessage() for record in caplog.records if "has ended" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("run first (")
    assert "logged nowhere" in said[0]


def test_a_late_fit_is_told_although_nothing_autologs_any_more(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """After the last run that autologs, what it started is waited for; then everything is taken away."""
    with autologged(workspace, "only"):
        late = Late(LogisticRegression(C=7))
    LogisticRegression(C=8).fit(X, y)
    assert "has ended" not in caplog.text, "this thread trains for nobody"
    late.train()
    assert "has ended" in caplog.text
    assert names(workspace) == ["only"]
    assert switch._placed is not None
    LogisticRegression(C=9).fit(X, y)
    assert switch._placed is None


def overtaken(workspace: Workspace, opened: Callable[..., Any], model: Any, after: Callable[[], None]) -> None:
    """End a run in the middle of a fit of a thread that it has started."""
    barrier = threading.Barrier(2)
    inside, ended = threading.Event(), threading.Event()

    def fit() -> None:
        MEETINGS[threading.get_ident()] = barrier
        model.fit(X, y)

    def between() -> None:
        inside.set()
        ended.wait(60)

    barrier = threading.Barrier(1, action=between)
    with opened(workspace, "overtaken"):
        thread = threading.Thread(target=fit)
        thread.start()
        assert inside.wait(60)
    after()
    ended.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_fit_that_the_runs_end_overtakes_writes_no_more(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """What is there when the run ends stays as it is: no metrics, model or figures follow, and the fit is done."""
    seen: list[Run] = []
    model = pipeline(LogisticRegression(C=5))
    overtaken(workspace, autologged, model, lambda: seen.append(the(workspace, "overtaken")))
    after = the(workspace, "overtaken")
    assert dict(after.params) == dict(seen[0].params)
    assert dict(after.metrics) == {}
    assert workspace.tracking.client.get_run(after.run_id).outputs.model_outputs == []
    assert model.predict(X[:1]).shape == (1,)
    assert names(workspace) == ["overtaken"]
    assert caplog.text.count("has ended") == 1


def test_writers_of_autologging_stop_with_the_run(workspace: Workspace) -> None:
    """What a library's callbacks write by the run's id while they train is written up to its end, and not after it."""
    with autologged(workspace, "boosted") as run:
        step, go = threading.Semaphore(0), threading.Semaphore(0)

        def boost() -> None:
            metrics = autologging_utils.BatchMetricsLogger(run.run_id)
            client = autologging_utils.MlflowAutologgingQueueingClient()
            for number in (0, 1):
                go.acquire()
                metrics.record_metrics({"loss": 1.0 - number}, number)
                metrics.flush()
                client.log_params(run.run_id, {f"param{number}": number})
                client.flush()
                step.release()

        thread = threading.Thread(target=boost)
        thread.start()
        go.release()
        assert step.acquire(timeout=60)
    go.release()
    thread.join(60)
    found = the(workspace, "boosted")
    assert (dict(found.metrics), dict(found.params)) == ({"loss": 1.0}, {"param0": "0"})


def test_a_pools_threads_train_for_whoever_gave_the_task(workspace: Workspace) -> None:
    """A pool that is older than a run, or was filled by another, does not matter: the task's giver is who counts."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(LinearRegression().fit, X, y).result()
        for c in (1, 2):
            with autologged(workspace, f"c={c}"):
                pool.submit(LogisticRegression(C=c).fit, X, y).result()
        with workspace.run("plain"):
            pool.submit(Ridge().fit, X, y).result()
        pool.submit(Ridge().fit, X, y).result()
    assert names(workspace) == ["c=1", "c=2", "plain"]
    assert [the(workspace, f"c={c}").params["C"] for c in (1, 2)] == ["1", "2"]
    assert dict(the(workspace, "plain").params) == {}


def test_a_forked_process_does_not_log(workspace: Workspace) -> None:
    """A process that is forked off in a run makes no run of its own, and leaves its parent's alone."""
    with autologged(workspace, "parent"):
        child = os.fork()
        if child == 0:
            try:
                Ridge().fit(X, y)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        LogisticRegression(C=1).fit(X, y)
    assert names(workspace) == ["parent"]
    assert "alpha" not in the(workspace, "parent").params


# ---------------------------------------------------------------------------------------------------------------------
# Searches, cross-validation, and the workers of a fit


def searching(workspace: Workspace, opened: Callable[..., Any], *values: list[float]) -> None:
    def search(place: int) -> Callable[[Callable[[], None]], None]:
        def task(meeting: Callable[[], None]) -> None:
            grid = {"model__C": values[place]}
            model = pipeline(LogisticRegression())
            with opened(workspace, f"search {place}"), joblib.parallel_backend("threading"):
                meeting()
                GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X, y)

        return task

    at_once(*(search(place) for place in range(len(values))))


def children(workspace: Workspace, parent: Run) -> list[str]:
    """Give C of each of a search's child runs."""
    found = [workspace.runs.get(row["run_id"]) for row in workspace.runs.search(limit=200).rows]
    return sorted(run.params["model__C"] for run in found if run.tags.get("mlflow.parentRunId") == parent.run_id)


def test_control_mlflow_drops_one_of_two_searches_at_once(workspace: Workspace) -> None:
    """CONTROL, MLflow alone: of two searches that overlap, one has no child runs."""
    mlflow.autolog(silent=True)
    searching(workspace, in_a_run, [1.0, 2.0], [3.0, 4.0])
    found = [children(workspace, the(workspace, f"search {place}")) for place in (0, 1)]
    assert [] in found


def test_two_searches_at_once_have_each_their_children(workspace: Workspace) -> None:
    """Two grid searches that overlap, of two worker threads each, have each its child runs, and no others are made."""
    searching(workspace, autologged, [1.0, 2.0], [3.0, 4.0])
    for place, values in enumerate((["1.0", "2.0"], ["3.0", "4.0"])):
        parent = the(workspace, f"search {place}")
        assert children(workspace, parent) == values
        assert parent.params["best_model__C"] in values
        assert "best_cv_score" in parent.metrics
    assert len(names(workspace)) == 6


def test_a_search_in_a_thread_of_a_run_has_its_children_there(workspace: Workspace) -> None:
    """A grid search in a thread that has opened no run makes children of the run that started it, and no others."""

    def search() -> None:
        with joblib.parallel_backend("threading"):
            GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2, n_jobs=2).fit(X, y)

    with autologged(workspace, "parent") as run:
        thread = threading.Thread(target=search)
        thread.start()
        thread.join()
    rows = workspace.runs.search(limit=50).rows
    parents = [workspace.runs.get(row["run_id"]).tags.get("mlflow.parentRunId") for row in rows]
    assert sorted(map(str, parents)) == sorted([run.run_id, run.run_id, "None"])


def validating(workspace: Workspace, opened: Callable[..., Any]) -> Run:
    """Fit in one thread in the middle of another's cross-validation."""
    inside, done = threading.Event(), threading.Event()

    def score(model: Any, rows: Any, labels: Any) -> float:
        inside.set()
        assert done.wait(60)
        return 1.0

    def validates(_: Callable[[], None]) -> None:
        with opened(workspace, "validates"):
            sklearn.model_selection.cross_val_score(LogisticRegression(), X, y, cv=2, scoring=score)

    def fits(_: Callable[[], None]) -> None:
        with opened(workspace, "fits"):
            assert inside.wait(60)
            try:
                LogisticRegression(C=3).fit(X, y)
            finally:
                done.set()

    at_once(validates, fits)
    assert dict(the(workspace, "validates").params) == {}, "cross_val_score is not logged"
    return the(workspace, "fits")


def test_control_mlflow_logs_nothing_beside_a_cross_validation(workspace: Workspace) -> None:
    """CONTROL, MLflow alone: while one thread cross-validates, the fits of all others are logged nowhere."""
    mlflow.autolog(silent=True)
    assert dict(validating(workspace, in_a_run).params) == {}


def test_a_fit_beside_a_cross_validation_is_logged(workspace: Workspace) -> None:
    """What cross-validation keeps from being logged is its own fits, and not those of other threads."""
    assert validating(workspace, autologged).params["C"] == "3"


def test_two_runs_may_note_a_new_dataset_at_once() -> None:
    """Whom another run has overtaken with the same dataset finds it there, and what else goes wrong is raised."""
    answers: list[Exception | str] = [RuntimeError("(sqlite3.IntegrityError) UNIQUE"), "noted", RuntimeError("away")]

    def log_inputs(client: Any, run_id: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert state.noting_again(log_inputs)(None, "run") == "noted"
    with pytest.raises(RuntimeError, match="away"):
        state.noting_again(log_inputs)(None, "run")


def test_cross_validation_in_threads_is_not_logged(workspace: Workspace) -> None:
    """The worker threads of a cross-validation log no more than the cross-validation."""
    with autologged(workspace, "validates"), joblib.parallel_backend("threading"):
        sklearn.model_selection.cross_val_score(LogisticRegression(), X, y, cv=2, n_jobs=2)
    assert dict(the(workspace, "validates").params) == {}
    assert names(workspace) == ["validates"]


def test_a_library_switched_off_around_a_call_is_off_for_its_thread(workspace: Workspace) -> None:
    """What MLflow switches off while one library uses another stays on for other threads, and is ours afterwards."""

    def fits(_: Callable[[], None]) -> None:
        with autologged(workspace, "beside"):
            assert inside.wait(60)
            try:
                LogisticRegression(C=2).fit(X, y)
            finally:
                done.set()

    def switches_off(_: Callable[[], None]) -> None:
        with autologged(workspace, "around"):
            with autologging_utils.disable_discrete_autologging(["sklearn"]):
                Ridge().fit(X, y)
                inside.set()
                assert done.wait(60)
            LogisticRegression(C=1).fit(X, y)

    inside, done = threading.Event(), threading.Event()
    at_once(fits, switches_off)
    assert the(workspace, "beside").params["C"] == "2"
    around = the(workspace, "around").params
    assert around["C"] == "1"
    assert "alpha" not in around


def test_patches_of_coroutines_keep_to_their_run(workspace: Workspace) -> None:
    """A patched coroutine is logged in the run of its thread, and left alone where no run autologs."""

    class Client:
        async def ask(self) -> str:
            return "answer"

    async def patched(original: Callable[..., Any], self: Any) -> Any:
        found = mlflow.active_run()
        seen.append(found.info.run_id if found else None)
        return await original(self)

    def ask() -> None:
        assert asyncio.run(Client().ask()) == "answer"

    seen: list[str | None] = []
    safety.safe_patch("probe", Client, "ask", patched)
    try:
        with autologged(workspace, "asked") as run:
            AUTOLOGGING_INTEGRATIONS["probe"] = state.LaneConfig("probe", {}, lambda: None)
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            ask()
        ask()
    finally:
        AUTOLOGGING_INTEGRATIONS.pop("probe")
        safety.revert_patches("probe")
    assert seen == [run.run_id, run.run_id]


# ---------------------------------------------------------------------------------------------------------------------
# Scores


def scoring(workspace: Workspace, opened: Callable[..., Any]) -> list[Run]:
    """Score in two threads at once, each its model in its run."""

    def task_of(c: float) -> Callable[[Callable[[], None]], None]:
        def task(meeting: Callable[[], None]) -> None:
            with opened(workspace, f"c={c:g}"):
                turn.acquire()
                model = pipeline(LogisticRegression(C=c)).fit(X, y)  # one at a time: the scores alone are at once
                turn.release()
                meeting()
                model.score(X, y)

        return task

    turn = threading.Lock()
    at_once(task_of(1), task_of(2))
    return [the(workspace, "c=1"), the(workspace, "c=2")]


def test_control_mlflow_drops_one_of_two_scores_at_once(workspace: Workspace) -> None:
    """CONTROL, MLflow alone: of two scores that overlap, one is logged nowhere."""
    mlflow.autolog(silent=True)
    assert [] in [scores(run) for run in scoring(workspace, in_a_run)]


def test_two_scores_at_once_are_both_logged(workspace: Workspace) -> None:
    """``model.score`` in two threads at once is logged twice, each in the run of its model."""
    assert [len(scores(run)) for run in scoring(workspace, autologged)] == [1, 1]


def test_metrics_of_predictions_are_in_their_models_run(workspace: Workspace) -> None:
    """``sklearn.metrics`` of predictions, and scores in another thread or a nested run, go to the run of the model."""
    with autologged(workspace, "outer"):
        model = LogisticRegression(C=1).fit(X, y)
        with autologged(workspace, "inner", nested=True):
            sklearn.metrics.accuracy_score(y, model.predict(X))
        thread = threading.Thread(target=model.score, args=(X, y))
        thread.start()
        thread.join()
    assert [name.partition("_score")[0] for name in scores(the(workspace, "outer"))] == [
        "LogisticRegression",
        "accuracy",
    ]
    assert dict(the(workspace, "inner").metrics) == {}


def test_scores_are_not_logged_after_the_run(workspace: Workspace) -> None:
    """A model, or predictions, of a run that has ended write neither to it nor to the next one that autologs."""
    with autologged(workspace, "first"):
        model = LogisticRegression(C=1).fit(X, y)
        predicted = model.predict(X)
    before = the(workspace, "first")
    model.score(X, y)
    with autologged(workspace, "second"):
        model.score(X, y)
        sklearn.metrics.accuracy_score(y, predicted)
        sklearn.metrics.accuracy_score(y, model.predict(X))
    assert dict(the(workspace, "first").metrics) == dict(before.metrics)
    assert dict(the(workspace, "second").metrics) == {}


# ---------------------------------------------------------------------------------------------------------------------
# What a user has switched on themselves


def test_a_users_own_autologging_stays_as_it_was(workspace: Workspace) -> None:
    """Who has switched a library on has it after a run that autologs as before it: same options, same patches."""
    mlflow.sklearn.autolog(log_models=False)
    config, patched = AUTOLOGGING_INTEGRATIONS["sklearn"], LogisticRegression.fit
    with autologged(workspace, "ours"):
        LogisticRegression(C=1).fit(X, y)
        assert LogisticRegression.fit is patched
    assert AUTOLOGGING_INTEGRATIONS["sklearn"] is config
    assert LogisticRegression.fit is patched
    with mlflow.start_run(run_name="theirs"):
        LogisticRegression(C=2).fit(X, y)
    for name, c in (("ours", "1"), ("theirs", "2")):
        found = workspace.tracking.client.get_run(the(workspace, name).run_id)
        assert found.data.params["C"] == c
        assert found.outputs.model_outputs == [], "they want no models"


def test_a_users_autolog_of_everything_stays_as_it_was(workspace: Workspace) -> None:
    """``mlflow.autolog(log_models=False)`` before is there after, for what is imported and for what will be."""
    mlflow.autolog(log_models=False, silent=True)
    configs = dict(AUTOLOGGING_INTEGRATIONS)
    hooks = {name: list(hooks) for name, hooks in import_hooks._post_import_hooks.items()}
    with autologged(workspace, "ours"):
        LogisticRegression(C=1).fit(X, y)
    assert all(AUTOLOGGING_INTEGRATIONS[name] is config for name, config in configs.items())
    assert {name: list(hooks) for name, hooks in import_hooks._post_import_hooks.items()} == hooks
    assert workspace.tracking.client.get_run(the(workspace, "ours").run_id).outputs.model_outputs == []


def test_two_fits_at_once_are_both_logged_for_who_had_it_on(workspace: Workspace) -> None:
    """Runs that autolog keep apart also where the library's patches were the user's."""
    mlflow.sklearn.autolog(log_models=False)
    assert [run.params["model__C"] for run in two_fits(workspace, autologged)] == ["1", "2"]


def test_a_thread_without_a_run_is_logged_as_the_user_has_it(workspace: Workspace) -> None:
    """Where the user's own autologging is on, a thread that has no run of ours gets the run that MLflow makes it."""
    mlflow.sklearn.autolog(log_models=False)
    with autologged(workspace, "ours"):
        barrier = threading.Event()
        LogisticRegression(C=1).fit(X, y)
    thread = threading.Thread(target=LogisticRegression(C=2).fit, args=(X, y))
    thread.start()
    thread.join()
    assert len(names(workspace)) == 2
    assert not barrier.is_set()


def test_what_a_user_switches_meanwhile_is_theirs(workspace: Workspace) -> None:
    """A library switched on inside a run that autologs is on after it, and one switched off is off."""
    with autologged(workspace, "on"):
        mlflow.sklearn.autolog(log_models=False)
        LogisticRegression(C=1).fit(X, y)
    assert not autologging_utils.autologging_is_disabled("sklearn")
    assert AUTOLOGGING_INTEGRATIONS["sklearn"]["log_models"] is False
    mlflow.autolog(disable=True)
    mlflow.sklearn.autolog(disable=True)
    with autologged(workspace, "off"):
        LogisticRegression(C=2).fit(X, y)
    assert dict(the(workspace, "off").params) == {}, "who has switched one library off does not want it"
    assert AUTOLOGGING_INTEGRATIONS["sklearn"]["disable"] is True


def test_autologging_that_was_switched_off_for_all_is_on_for_the_run(workspace: Workspace) -> None:
    """``mlflow.autolog(disable=True)`` does not keep a run from autologging that asks for it, and holds after it."""
    mlflow.autolog(disable=True)
    with autologged(workspace, "ours"):
        LogisticRegression(C=1).fit(X, y)
        mlflow.autolog(disable=True)
        with autologged(workspace, "inner", nested=True):
            Ridge().fit(X, y)
    assert the(workspace, "ours").params["C"] == "1"
    assert "alpha" in the(workspace, "inner").params
    assert autologging_utils.autologging_is_disabled("sklearn")


# ---------------------------------------------------------------------------------------------------------------------
# Putting in place and taking away


def test_nothing_is_in_place_before_and_after(workspace: Workspace) -> None:
    """A run that does not autolog changes nothing; what one changes that does is as it was when it has ended."""
    before = whats_in_place()
    with workspace.run("plain"):
        assert whats_in_place() == before
    with autologged(workspace, "ours"):
        changed = whats_in_place()
        assert [name for name in before if changed[name] == before[name]] == []
    assert whats_in_place() == before


def test_a_library_imported_in_the_run_is_logged_and_one_imported_later_is_not(folder: Path) -> None:
    """Autologging follows an import inside the run, as MLflow's does, and is not switched on by one after it."""
    code = """
import mlflow, sys
from mlops_jupyter import Workspace
workspace = Workspace.open()
X, y = [[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0]
with workspace.run("before", autolog=True) as run:
    assert "sklearn" not in sys.modules
    if %s:
        from sklearn.linear_model import Ridge
        Ridge().fit(X, y)
from sklearn.linear_model import Ridge
assert not hasattr(Ridge.fit, "__wrapped__") or "mlflow" not in Ridge.fit.__globals__["__name__"]
Ridge().fit(X, y)
print("logged", "alpha" in workspace.runs.get(run.run_id).params, len(workspace.runs.search().rows))
"""
    for inside in (True, False):
        done = subprocess.run([sys.executable, "-c", code % inside], cwd=folder, capture_output=True, text=True)
        assert f"logged {inside}" in done.stdout, done.stderr
        assert done.stdout.split()[-1] == ("1" if inside else "2")


def test_this_mlflow_is_as_we_know_it(workspace: Workspace) -> None:
    """The installed MLflow has the private names that this stands on, and its patches ask where we answer."""
    assert shape.misses() == shape.misses_of_sklearn() == ""
    with autologged(workspace, "ours"):
        assert shape.misfit() == ""


def test_an_unknown_mlflow_is_switched_on_and_off(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where MLflow is built otherwise, its plain autologging is on while a run wants it, and a warning says so once."""
    monkeypatch.setattr(switch, "_is_told", False)
    monkeypatch.setattr(shape, "_NEEDED", (*shape._NEEDED, (safety.__name__, "_no_longer_there", object)))
    before = whats_in_place()
    for c in (1, 2):
        with autologged(workspace, f"c={c}"):
            assert threading.Thread.start is before["start"]
            assert safety._AutologgingSessionManager is before["sessions"]
            LogisticRegression(C=c).fit(X, y)
    LogisticRegression(C=3).fit(X, y)
    assert [the(workspace, f"c={c}").params["C"] for c in (1, 2)] == ["1", "2"]
    assert names(workspace) == ["c=1", "c=2"]
    assert caplog.text.count("_no_longer_there is missing") == 1
    assert "all threads" in caplog.text


def test_an_mlflow_whose_patches_do_not_ask_is_switched_on_and_off(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Names that are there and mean something else are found out, and everything is taken away again."""
    monkeypatch.setattr(switch, "_is_told", False)
    monkeypatch.setattr(
        safety, "safe_patch", lambda _, owner, name, patch: setattr(owner, name, lambda self: patch(id, self))
    )
    start = threading.Thread.start
    with autologged(workspace, "ours"):
        assert threading.Thread.start is start
    assert "do not ask who calls them" in caplog.text


def test_a_run_that_no_store_has_yet_is_not_autologged(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the tracking server is away, what is trained is logged nowhere, and that is told once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (folder / "mlops.toml").write_text(f'[tracking]\nuri = "http://127.0.0.1:{free_port()}"\n')
    with autologged(Workspace.open(folder), "away"):
        assert LogisticRegression().fit(X, y).score(X, y) > 0.5
        Ridge().fit(X, y)
    assert caplog.text.count("is not in the tracking store yet") == 1


# ---------------------------------------------------------------------------------------------------------------------
# Ctrl-C while it is switched on


def steps() -> list[tuple[Any, str, str]]:
    """Name the calls that switching autologging on is made of, and whether to interrupt before or after them."""
    placing = ("_put_in_place", "_filter", "_set", "_follow_imports", "_rebind", "_adopting")
    return [
        *((_Placed, name, "before after") for name in placing),
        (mlflow, "autolog", "before after"),
        (import_hooks, "register_generic_import_hook", "before after"),
        (autologging_utils, "revert_patches", "before after"),
        # Between these two MLflow does not know itself what it has patched.
        (safety, "_wrap_patch", "before"),
        (safety, "_store_patch", "after"),
    ]


@contextmanager
def at_step(step: int, happening: Callable[[], None]) -> Iterator[list[int]]:
    """Have something happen at one of the steps; gives, in a list, how many there were."""
    taken = [0]

    def take() -> None:
        taken[0] += 1
        if taken[0] == step:
            happening()

    def stepping(call: Callable[..., Any], when: str) -> Callable[..., Any]:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            if "before" in when:
                take()
            found = call(*args, **kwargs)
            if "after" in when:
                take()
            return found

        return stepped

    with pytest.MonkeyPatch.context() as patch:
        for owner, name, when in steps():
            patch.setattr(owner, name, stepping(getattr(owner, name), when))
        yield taken


def interrupt() -> None:
    """Do what Python does at a Ctrl-C."""
    raise KeyboardInterrupt


def test_a_run_is_logged_after_another_was_interrupted_at_any_step(workspace: Workspace) -> None:
    """Wherever switching on is interrupted, nothing of it stays in place, and the next run has everything."""
    before, step, taken = whats_in_place(), 0, [1]
    while step < taken[0]:
        # Each of the first steps; farther on they are thousands of patches, one like the other.
        step += 1 + (step > 30) * step // 3
        with workspace.run("interrupted") as run:
            with at_step(step, interrupt) as taken, suppress(KeyboardInterrupt):
                autolog.begin(run)
            if step <= taken[0]:
                assert whats_in_place() == before, step
                assert not lanes.is_any_open()
        if step % 10 == 1:
            LogisticRegression().fit(X, y)
            with autologged(workspace, f"after {step}"):
                LogisticRegression(C=step).fit(X, y)
            run = the(workspace, f"after {step}")
            assert (run.params["C"], "training_score" in run.metrics) == (str(step), True)
    assert step > 1000
    # MLflow makes up no run for what is trained outside.
    assert {name.partition(" ")[0] for name in names(workspace)} == {"interrupted", "after"}


def test_the_first_interrupt_waits_until_imports_are_whole(workspace: Workspace) -> None:
    """What is half imported often can't be imported again: Ctrl-C comes when that is done, and a second one at once."""
    handler, taken = signal.getsignal(signal.SIGINT), []

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    for happening in (lambda: signal.raise_signal(signal.SIGINT), twice):
        with workspace.run("interrupted") as run, at_step(20, happening) as count:
            with pytest.raises(KeyboardInterrupt):
                autolog.begin(run)
            taken.append(count[0])
        assert signal.getsignal(signal.SIGINT) is handler
    assert taken[0] > 1000 > taken[1]
    with autologged(workspace, "next"):
        LogisticRegression(C=3).fit(X, y)
    assert the(workspace, "next").params["C"] == "3"


@pytest.mark.parametrize("how", ["half imported", "half patched"])
def test_a_library_that_can_not_be_switched_on_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """MLflow keeps it to itself when nothing of a library can be logged; that is said once."""
    monkeypatch.setattr(_failing, "_told", set())
    with monkeypatch.context() as patch:
        if how == "half imported":
            patch.setitem(sys.modules, "mlflow.sklearn", None)
        else:
            patch.setattr(mlflow.sklearn, "_autolog", lambda *_, **__: 1 / 0)
        for name in ("one", "two"):
            with autologged(workspace, name):
                LogisticRegression().fit(X, y)
    assert caplog.text.count("could not be switched on for sklearn") == 1
    with autologged(workspace, "whole"):
        LogisticRegression(C=3).fit(X, y)
    assert the(workspace, "whole").params["C"] == "3"


# ---------------------------------------------------------------------------------------------------------------------
# The machine


def watchers() -> list[str]:
    """Name the threads that measure the machine."""
    return [thread.name for thread in threading.enumerate() if "system-metrics" in thread.name]


def test_system_metrics_are_measured_and_stopped_with_the_run(workspace: Workspace) -> None:
    """However short the run, it has processor and memory, and nothing measures when it has ended."""
    with workspace.run("short", system_metrics=True):
        assert len(watchers()) == 1
    assert watchers() == []
    found = the(workspace, "short").metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(found)
    assert found["system/system_memory_usage_percentage"] > 0


def test_system_metrics_are_measured_as_often_as_mlflow_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's variables say how often, and what the node is called; each measurement is a step."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_NODE_ID", "node0")
    metric = "system/node0/cpu_utilization_percentage"
    three = threading.Semaphore(0)
    queue = workspace.tracking.queue
    accept = queue.metric

    def counted(run: str, name: str, value: float, step: int) -> None:
        accept(run, name, value, step)
        if name == metric:
            three.release()

    monkeypatch.setattr(queue, "metric", counted)
    with workspace.run("long", system_metrics=True) as run:
        for _ in range(3):
            assert three.acquire(timeout=60)
    history = workspace.tracking.client.get_metric_history(run.run_id, metric)
    assert len(history) >= 3
    assert [point.step for point in history] == list(range(len(history)))


def test_system_metrics_end_with_a_run_that_fails_and_keep_apart_from_autologging(workspace: Workspace) -> None:
    """A run that raises stops measuring as well; with autologging the machine's metrics are there to the end."""

    def fail() -> None:
        with workspace.run("bad", autolog=True, system_metrics=True):
            LogisticRegression(C=1).fit(X, y)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert watchers() == []
    found = the(workspace, "bad")
    assert found.status == "FAILED"
    assert found.params["C"] == "1"
    assert "system/cpu_utilization_percentage" in found.metrics


def test_system_metrics_end_with_mlflows_end_of_the_run(workspace: Workspace) -> None:
    """Whoever ends the run ends its measuring: `%mlops end` and ``mlflow.end_run`` do."""
    for end in (active.end, mlflow.end_run):
        active.begin(workspace.tracking, end.__module__, system_metrics=True)
        assert len(watchers()) == 1
        end()
        assert watchers() == []
        if active.open_runs():
            active.end()
        assert "system/cpu_utilization_percentage" in the(workspace, end.__module__).metrics


def test_only_one_thread_draws_at_a_time(workspace: Workspace) -> None:
    """Figures are drawn one after another, because MLflow changes matplotlib's settings for the process meanwhile."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    order: list[str] = []
    barrier = threading.Barrier(2)

    def draw(name: str) -> Callable[[Callable[[], None]], None]:
        def task(_: Callable[[], None]) -> None:
            with autologged(workspace, name):
                LogisticRegression().fit(X, y)

        return task

    real = sklearn.metrics.ConfusionMatrixDisplay.from_estimator

    def from_estimator(*args: Any, **kwargs: Any) -> Any:
        me = threading.current_thread().name
        order.append(me)
        try:
            barrier.wait(0.5)  # were both let in, they would meet at once
        except threading.BrokenBarrierError:
            barrier.reset()
        drawn = real(*args, **kwargs)
        order.append(me)
        return drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sklearn.metrics.ConfusionMatrixDisplay, "from_estimator", from_estimator)
        at_once(draw("a"), draw("b"))
    assert order[0] == order[1]
    assert order[2] == order[3]
    assert dict(mpl.rcParams) == before


def test_imports_of_other_threads_do_not_wait_for_the_switch(workspace: Workspace, folder: Path) -> None:
    """Another thread imports while autologging is switched on: neither waits for the other for ever."""
    for name in ("nobody_hooks_this", "hooked_by_the_test"):
        (folder / f"{name}.py").write_text("")
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(folder))
    seen: list[Any] = []
    real = mlflow.autolog

    def autolog_while_others_import(**given: Any) -> None:
        import_hooks.register_post_import_hook(seen.append, "hooked_by_the_test")
        with import_hooks._post_import_hooks_lock:
            for name in ("nobody_hooks_this", "hooked_by_the_test"):
                thread = threading.Thread(target=__import__, args=(name,))
                thread.start()
                thread.join(30)
                assert not thread.is_alive(), name
        real(**given)

    patch.setattr(mlflow, "autolog", autolog_while_others_import)
    try:
        with autologged(workspace, "imports"):
            assert [module.__name__ for module in seen] == ["hooked_by_the_test"]
            LogisticRegression(C=4).fit(X, y)
    finally:
        patch.undo()
        import_hooks._post_import_hooks.pop("hooked_by_the_test", None)
    assert the(workspace, "imports").params["C"] == "4"
