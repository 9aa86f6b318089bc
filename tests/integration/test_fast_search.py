"""Searching the embedded store directly: what MLflow finds, in its order; and MLflow itself where that is not known."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from mlops_jupyter import Workspace
from mlops_jupyter.errors import UsageError
from mlops_jupyter.tracking import fast_search

COUNT = 120


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A store of runs that differ in every respect that a search may ask for; some were deleted."""
    from mlflow.entities import Metric, Param, RunTag

    workspace = Workspace.open(tmp_path_factory.mktemp("filled"))
    client, choose = workspace.tracking.client, random.Random(3)
    for number in range(COUNT):
        experiment = workspace.tracking.experiment_id(f"e{number % 3}")
        run = client.create_run(experiment, start_time=1000 + number // 4, run_name=f"r{number % 7}")
        metrics = {"auc": choose.choice([0.1, 0.5, 0.5, 0.9, float("nan"), float("inf"), None]), "a b": choose.random()}
        params = {"depth": choose.choice(["3", "10", None]), "opt": choose.choice(["adam", "sgd"])}
        client.log_batch(
            run.info.run_id,
            [Metric(name, value, 5, 0) for name, value in metrics.items() if value is not None],
            [Param(name, value) for name, value in params.items() if value is not None],
            [RunTag("team", choose.choice(["x", "y"]))],
        )
        if number % 5:
            client.set_terminated(run.info.run_id, choose.choice(["FINISHED", "FAILED"]), 2000 + number)
        if number % 11 == 0:
            client.delete_run(run.info.run_id)
    return workspace


FILTERS = [
    "",
    "metrics.auc > 0.4",
    "metrics.auc != 0.5",
    "metrics.auc <= 0.5 and params.opt = 'adam'",
    "metrics.`a b` >= 0.5",
    "params.depth != '3'",
    "tags.`team` = 'x'",
    "attributes.run_name = 'r3'",
    "attributes.start_time > 1010",
    "status = 'FAILED' and metrics.auc = 0.5",
    "attributes.run_name LIKE 'r%'",
    "params.opt LIKE 'a%'",
    "attributes.end_time < 2050",
]
ORDERS = [
    "attributes.start_time DESC",
    "attributes.start_time ASC",
    "metrics.auc DESC",
    "metrics.auc ASC",
    "metrics.`a b` DESC",
    "metrics.nowhere DESC",
    "params.depth ASC",
    "params.depth DESC",
    "tags.`team` ASC",
    "attributes.run_name DESC",
    "attributes.end_time ASC",
    "status",
    "run_id DESC",
    "created DESC",
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("filter_string", FILTERS)
def test_the_same_runs_in_the_same_order_as_mlflow(filled: Workspace, filter_string: str, order: str) -> None:
    """Any filter with any order: ids, order and what is known of each run are MLflow's own."""
    client = filled.tracking.client
    experiments = [e.experiment_id for e in client.search_experiments()]
    expected = client.search_runs(experiments, filter_string, max_results=1000, order_by=[order])
    found = filled.runs.find(filter_string, order_by=order, limit=1000)
    assert [run.run_id for run in found] == [run.info.run_id for run in expected]
    assert [dict(run.params) for run in found] == [run.data.params for run in expected]
    few = filled.runs.find(filter_string, order_by=order, limit=7)
    assert [run.run_id for run in few] == [run.info.run_id for run in expected[:7]]
    later = filled.runs.find(filter_string, order_by=order, limit=7, skip=5)
    assert [run.run_id for run in later] == [run.info.run_id for run in expected[5:12]]
    one = filled.runs.find(filter_string, order_by=order, limit=1000, experiment="e1")
    only = filled.tracking.experiment_id("e1")
    assert [run.run_id for run in one] == [run.info.run_id for run in expected if run.info.experiment_id == only]


def test_what_is_asked_here_is_answered_here(filled: Workspace) -> None:
    """The questions that MLflow is slow at do not reach it."""
    database = filled.root / ".mlops" / "mlflow.db"
    experiments = [e.experiment_id for e in filled.tracking.client.search_experiments()]
    for order in ("metrics.auc DESC", "params.depth ASC", "attributes.start_time DESC"):
        assert fast_search.run_ids(database, experiments, "metrics.auc > 0.4", [order], 5) is not None, order
    assert fast_search.run_ids(database, experiments, "attributes.run_name LIKE 'r%'", [ORDERS[0]], 5) is None


def test_numbers_that_sqlite_can_not_hold_are_left_to_mlflow(filled: Workspace) -> None:
    """A limit, or a time, of thirty digits is no defect."""
    assert len(filled.runs.find(order_by="metrics.auc DESC", limit=10**30)) == len(filled.runs.find(limit=10**3))
    database = filled.root / ".mlops" / "mlflow.db"
    assert fast_search.run_ids(database, ["1"], f"attributes.start_time < {10**30}", [], 5) is None


def test_another_schema_is_left_to_mlflow(filled: Workspace, tmp_path: Path) -> None:
    """A revision that this was not written for is not read by it, and neither is a file that is no database."""
    copy = tmp_path / "copy.db"
    with sqlite3.connect(filled.root / ".mlops" / "mlflow.db") as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE alembic_version SET version_num = 'another'")
    source.close()
    target.close()
    assert fast_search.run_ids(copy, ["1"], "", ["metrics.auc DESC"], 5) is None
    copy.write_text("no database " * 100)
    assert fast_search.run_ids(copy, ["1"], "", ["metrics.auc DESC"], 5) is None


def test_this_mlflow_has_a_schema_that_is_known(filled: Workspace) -> None:
    """A new MLflow makes this fail: look at its migrations, then add the revision."""
    with sqlite3.connect(filled.root / ".mlops" / "mlflow.db") as database:
        (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    database.close()
    assert revision in fast_search.REVISIONS


@pytest.mark.parametrize(("filter_string", "order"), [("metrics.auc >", ""), ("", "foo bar baz"), ("x.y = 1", "")])
def test_a_question_that_can_not_be_read_is_refused_as_before(
    filled: Workspace, filter_string: str, order: str
) -> None:
    """MLflow's parser says what is wrong, whoever answers."""
    with pytest.raises(UsageError):
        filled.runs.find(filter_string, order_by=order)
