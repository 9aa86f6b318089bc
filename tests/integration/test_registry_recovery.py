"""The registry when something fails half-way: stores that are away, versions that are gone, damaged ledgers."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from mlops_jupyter import Workspace, log_metric
from mlops_jupyter.actor import Actor
from mlops_jupyter.errors import ConflictError, IntegrityError, NotFoundError, StoreError, ValueRefused
from mlops_jupyter.locks import Lock
from mlops_jupyter.registry import ledger as ledger_module
from mlops_jupyter.registry.approvals import Promotions
from mlops_jupyter.registry.ledger import Ledger
from mlops_jupyter.tracking import models
from mlops_jupyter.tracking.versions import Versions

ONE_APPROVAL = '[[promotion]]\nmodels = "*"\nalias = "champion"\napprovals = {count = 1}\n'


class Crash(BaseException):
    """The end of the process, as nothing catches it."""


def add(workspace: Workspace, name: str, **metrics: float) -> int:
    """Make a version of a model, and give its number."""
    from mlflow.entities import LoggedModelOutput

    with workspace.run("trained") as run:
        for key, value in metrics.items():
            log_metric(key, value)
    client = workspace.tracking.client
    made = client.create_logged_model(client.get_run(run.run_id).info.experiment_id, "model", run.run_id)
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(made.model_id, 0)])
    return workspace.registry.register_model(name, model_id=str(made.model_id), run_id=run.run_id)


def as_person(root: Path, name: str) -> Workspace:
    return Workspace.open(root, actor=Actor(name, "os"))


def kinds(workspace: Workspace) -> list[str]:
    return [row["kind"] for row in workspace.registry.audit().rows]


def holder(workspace: Workspace, alias: str = "champion") -> int | None:
    found = workspace.tracking.client.get_registered_model("churn").aliases.get(alias)
    return None if found is None else int(found)


@pytest.fixture
def asked(tmp_path: Path) -> str:
    """Give a request for churn/1 that waits for one approval."""
    (tmp_path / "mlops.toml").write_text(ONE_APPROVAL)
    ann = as_person(tmp_path, "ann")
    add(ann, "churn")
    request = ann.registry.promote("churn", to="champion", message="better").request
    assert request is not None
    return request


def away(*_: object, **__: object) -> None:
    raise StoreError("the store is away", "try again")


def crash(*_: object, **__: object) -> None:
    raise Crash


# ---------------------------------------------------------------------------------------------------------------------
# Approvals


def test_an_approval_while_the_store_is_away_changes_nothing(tmp_path, asked, monkeypatch):
    """When the gates can't be asked the approval is not written, and the same person can approve later."""
    bob = as_person(tmp_path, "bob")
    before = kinds(bob)
    with monkeypatch.context() as patch:
        patch.setattr(Promotions, "gates", away)
        with pytest.raises(StoreError):
            bob.registry.approve(asked)
    assert kinds(bob) == before
    assert bob.registry.approve(asked).status == "promoted"
    assert holder(bob) == 1


@pytest.mark.parametrize("resume", ["approve", "promote"])
def test_a_crash_after_the_last_approval_does_not_stick(tmp_path, asked, monkeypatch, resume):
    """Where the last approval is written and the decision is not, approving or promoting again carries on."""
    bob = as_person(tmp_path, "bob")
    with monkeypatch.context() as patch:
        patch.setattr(Promotions, "move", crash)
        with pytest.raises(Crash):
            bob.registry.approve(asked)
    assert kinds(bob)[-1] == "promotion.approved"
    if resume == "approve":
        answer = bob.registry.approve(asked)
    else:
        answer = as_person(tmp_path, "ann").registry.promote("churn", to="champion")
    assert (answer.status, answer.request, holder(bob)) == ("promoted", asked, 1)
    row = bob.registry.requests().rows[0]
    assert (row["state"], row["approvals"]) == ("promoted", ["bob"])


def test_an_abandoned_promotion_s_request_waits_again(tmp_path, asked, monkeypatch):
    """When MLflow refuses the alias, the request is pending and whoever approved may try again."""
    bob = as_person(tmp_path, "bob")
    with monkeypatch.context() as patch:
        patch.setattr(Versions, "set_alias", away)
        with pytest.raises(StoreError):
            bob.registry.approve(asked)
    assert kinds(bob)[-1] == "promotion.abandoned"
    assert bob.registry.requests().rows[0]["state"] == "pending"
    assert bob.registry.approve(asked).status == "promoted"
    assert bob.registry.requests().rows[0]["state"] == "promoted"


def test_a_decision_that_cannot_be_applied_blocks_nothing(tmp_path, monkeypatch):
    """A decided version that was deleted meanwhile is abandoned, and every other promotion goes on."""
    workspace = Workspace.open(tmp_path)
    add(workspace, "churn")
    add(workspace, "churn")
    with monkeypatch.context() as patch:
        patch.setattr(Versions, "set_alias", crash)
        with pytest.raises(Crash):
            workspace.registry.promote("churn/2", to="champion")
    workspace.tracking.client.delete_model_version("churn", "2")
    assert workspace.registry.promote("churn/1", to="champion").status == "promoted"
    assert holder(workspace) == 1
    assert "promotion.abandoned" in kinds(workspace)
    workspace.registry.promote("churn/1", to="other")
    assert kinds(workspace).count("promotion.abandoned") == 1


# ---------------------------------------------------------------------------------------------------------------------
# Rollback


def test_rollback_goes_before_the_present_holder(tmp_path):
    """An alias that somebody moved outside of the ledger goes back to the version that the ledger had there last."""
    workspace = Workspace.open(tmp_path)
    for _ in range(3):
        add(workspace, "churn")
    for version in (1, 2):
        workspace.registry.promote(f"churn/{version}", to="champion")
    workspace.tracking.client.set_registered_model_alias("churn", "champion", "3")
    assert workspace.registry.rollback("churn", alias="champion").version == 2
    assert workspace.registry.rollback("churn", alias="champion").version == 1
    with pytest.raises(ConflictError):
        workspace.registry.rollback("churn", alias="champion")


# ---------------------------------------------------------------------------------------------------------------------
# The ledger


def test_nobody_gets_in_between_two_events_of_one_writer(tmp_path):
    """From the first event of a block to its last, another writer waits."""
    mine, other = (Ledger(tmp_path, lambda: None, Actor(name, "os")) for name in ("mine", "other"))
    began = threading.Event()

    def write() -> None:
        began.set()
        with other.writing() as writing:
            writing.append("x", "m", {})

    thread = threading.Thread(target=write)
    with mine.writing() as writing:
        writing.append("x", "m", {})
        thread.start()
        assert began.wait(10)
        # The moment in which the database itself is free, as it is after each event.
        writing._connection.execute("COMMIT")
        thread.join(0.5)
        writing._connection.execute("BEGIN IMMEDIATE")
        writing.append("x", "m", {})
    thread.join(20)
    assert [event.actor for event in mine.events()] == ["mine", "mine", "other"]
    assert mine.verify().ok
    assert not (tmp_path / "ledger.lock").exists()


def test_a_ledger_that_stays_locked_is_told(tmp_path, monkeypatch):
    """Whoever waits too long is told that the ledger is locked; afterwards it can be written."""
    monkeypatch.setattr(ledger_module, "_PATIENCE", 0.1)
    ledger = Ledger(tmp_path, lambda: None, Actor("ann", "os"))
    lock = Lock(tmp_path / "ledger.lock")
    assert lock.acquire()
    with pytest.raises(StoreError, match="locked"), ledger.writing():
        pass
    lock.release()
    with ledger.writing() as writing:
        writing.append("x", "m", {})
    assert len(ledger.events()) == 1


def test_a_block_that_raises_lets_go_of_the_ledger(tmp_path):
    """An error inside the block keeps what was appended, and the next writer need not wait."""
    ledger = Ledger(tmp_path, lambda: None, Actor("ann", "os"))

    def raise_inside() -> None:
        with ledger.writing() as writing:
            writing.append("x", "m", {})
            raise Crash

    with pytest.raises(Crash):
        raise_inside()
    with ledger.writing() as writing:
        writing.append("y", "m", {})
    assert [event.kind for event in ledger.events()] == ["x", "y"]


def mode(folder: Path) -> str:
    connection = sqlite3.connect(folder / "ledger.db")
    try:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize(("network", "expected"), [(False, "wal"), (True, "delete")])
def test_the_ledger_is_in_wal_but_on_network_file_systems(tmp_path, monkeypatch, network, expected):
    """Readers go on while somebody writes; where SQLite's shared memory can't be shared, the old mode is kept."""
    monkeypatch.setattr(ledger_module, "on_network", lambda _: network)
    ledger = Ledger(tmp_path, lambda: None, Actor("ann", "os"))
    with ledger.writing() as writing:
        writing.append("x", "m", {})
    assert mode(tmp_path) == expected
    assert len(ledger.events()) == 1


def test_a_ledger_beside_which_nothing_can_be_made_is_read(tmp_path):
    """A reader that can't make the file which WAL needs, as on a read-only disk, reads the database all the same."""
    ledger = Ledger(tmp_path, lambda: None, Actor("ann", "os"))
    with ledger.writing() as writing:
        writing.append("x", "m", {})
    (tmp_path / "ledger.db-shm").mkdir()
    assert [event.kind for event in ledger.events()] == ["x"]


@pytest.mark.parametrize("data", ["{broken", "[]", "5", "{}"])
def test_a_damaged_event_is_told_and_decides_nothing(tmp_path, data):
    """An event whose data is nothing any more: status and promote tell it, audit and models still show the rest."""
    workspace = Workspace.open(tmp_path)
    add(workspace, "churn")
    workspace.registry.promote("churn", to="champion")
    with sqlite3.connect(tmp_path / ".mlops" / "ledger.db") as connection:
        connection.execute("DROP TRIGGER events_no_update")
        connection.execute("UPDATE events SET data = ? WHERE seq = 2", (data,))
    connection.close()
    with pytest.raises(IntegrityError) as told:
        workspace.registry.promote("churn", to="other")
    assert "audit verify" in told.value.hint
    assert any("event 2 of the ledger" in problem for problem in workspace.status().to_json()["problems"])
    assert holder(workspace, "other") is None
    rows = workspace.registry.audit().rows
    assert len(rows) == 3
    assert "can't be read" in rows[1]["reasons"][0]
    assert [row["version"] for row in workspace.registry.versions().rows] == [1]
    assert len(workspace.registry.show("churn").history) == 3
    verdict = workspace.registry.audit_verify().to_json()
    assert (verdict["ok"], verdict["broken_at"]) == (False, 2)


# ---------------------------------------------------------------------------------------------------------------------
# Logged models


class Slope:
    """A model of one number, with a place that can be fitted."""

    n_features_in_ = 1

    def __init__(self) -> None:
        self.slope = 1.0

    def predict(self, rows):
        if rows[0][0] < 0:
            raise ValueError("negative rows are not for this model")
        return rows[:, 0] * self.slope


def test_a_refitted_object_is_another_model():
    """An object that was logged and fitted once more does not count as the model that was logged before."""
    model = Slope()
    logged = models.LoggedModel("model", "m-1", "models:/m-1", "cloudpickle")
    models.remember(model, logged)
    assert models.find_logged(model) is logged
    model.slope = 2.0
    assert models.find_logged(model) is None
    model.slope = 1.0
    assert models.find_logged(model) is logged
    assert models.find_logged(Slope()) is None


def test_guessed_rows_that_the_model_refuses_do_not_keep_it_from_being_logged(tmp_path):
    """The next rows that fit are tried; where none is taken, the model is logged without a signature."""
    import mlflow
    import numpy as np

    refused, taken = np.array([[-1.0]]), np.array([[4.0], [5.0]])
    workspace = Workspace.open(tmp_path)
    found = {}
    with workspace.run("guessed"):
        for name, rows in (("none", {"X": refused}), ("next", {"X": refused, "Y": taken})):
            made = models.write_model(Slope(), name, namespace=rows)
            found[name] = mlflow.models.get_model_info(made.uri).signature
        with pytest.raises(ValueRefused, match="negative rows"):
            models.write_model(Slope(), "asked", input_example=refused, namespace={})
    assert found["none"] is None
    assert found["next"] is not None


def test_a_model_of_no_run_brings_no_snapshot_back(tmp_path):
    """Restoring by a model's name asks no gate, and a version without a run is told as such."""
    from mlops_jupyter.journal import Journal
    from mlops_jupyter.session import Session

    beats = '[[promotion]]\nmodels = "*"\nalias = "champion"\ngates = [{metric = "m", min = 1}]\n'
    (tmp_path / "mlops.toml").write_text(beats)
    workspace = Workspace.open(tmp_path)
    add(workspace, "churn", m=2)
    session = Session(workspace, {}, Journal())
    with pytest.raises(ConflictError, match="has no snapshot"):
        session.restore("churn")
    workspace.tracking.client.create_model_version("churn", str(tmp_path))
    with pytest.raises(NotFoundError):
        session.restore("churn/2")
