"""Promotions: gates, approvals, rollback and the ledger, on the embedded store and on a real MLflow server."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from driving import environment, until
from stores import Opening

from mlops_jupyter import Workspace, log_metric
from mlops_jupyter.actor import Actor
from mlops_jupyter.errors import (
    AmbiguousError,
    ConflictError,
    DeniedError,
    NotFoundError,
    StoreError,
    UsageError,
    ValueRefused,
)
from mlops_jupyter.tracking.versions import Versions

NAN = float("nan")


def add(workspace: Workspace, name: str, **metrics: float) -> int:
    """Make a version of a model from a run with these metrics, and give its number."""
    with workspace.run("trained") as run:
        for key, value in metrics.items():
            log_metric(key, value)
    return workspace.registry.register_model(name, model_id=logged(workspace, run.run_id), run_id=run.run_id)


def logged(workspace: Workspace, run_id: str, name: str = "model") -> str:
    """Keep a model with a run, as MLflow's own client does; promotions never look inside."""
    from mlflow.entities import LoggedModelOutput

    client = workspace.tracking.client
    made = client.create_logged_model(client.get_run(run_id).info.experiment_id, name, run_id)
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 0)])
    return str(made.model_id)


def kinds(workspace: Workspace, name: str | None = None) -> list[str]:
    return [row["kind"] for row in workspace.registry.audit(name).rows]


def holder(workspace: Workspace, name: str, alias: str = "champion") -> int | None:
    """Ask MLflow itself which version an alias names."""
    found = workspace.tracking.client.get_registered_model(name).aliases.get(alias)
    return None if found is None else int(found)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Give a model's name that no other test has: the MLflow server is shared."""
    return f"churn-{tmp_path.name}"


def policy(alias: str = "champion", gates: str = "", approvals: str = "", models: str = "*") -> str:
    lines = ["[[promotion]]", f'models = "{models}"', f'alias = "{alias}"']
    lines += [f"gates = [{gates}]"] if gates else []
    lines += [f"approvals = {approvals}"] if approvals else []
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# Versions


def test_a_version_is_made_of_the_last_run_s_only_model(workspace, model):
    """`register NAME` takes the last run's model; the version knows its run, and MLflow's client finds it."""
    with workspace.run("trained") as run:
        pass
    made = logged(workspace, run.run_id)
    answer = workspace.registry.register(model).to_json()
    assert answer == {"model": model, "version": 1, "run_id": run.run_id, "model_id": made}
    version = workspace.tracking.client.get_model_version(model, "1")
    assert version.run_id == run.run_id
    assert kinds(workspace, model) == ["model.registered"]


def test_registering_the_same_model_again_makes_no_second_version(workspace, model):
    """The same model of the same run, registered again, is the version that is there already."""
    with workspace.run("trained") as run:
        pass
    logged(workspace, run.run_id)
    versions = [workspace.registry.register(model).to_json()["version"] for _ in range(2)]
    assert versions == [1, 1]
    assert kinds(workspace, model) == ["model.registered"]


def test_a_run_with_several_models_needs_one_named(workspace, model):
    """With two models in the run, which one must be said; the hint names both."""
    with workspace.run("trained") as run:
        pass
    first, second = logged(workspace, run.run_id, "first"), logged(workspace, run.run_id, "second")
    with pytest.raises(AmbiguousError) as refused:
        workspace.registry.register(model)
    assert first in refused.value.hint
    assert "second" in refused.value.hint
    assert workspace.registry.register(model, model="second").to_json()["model_id"] == second
    assert workspace.registry.register(model, model=first).to_json()["version"] == 2
    with pytest.raises(NotFoundError):
        workspace.registry.register(model, model="third")


def test_a_run_without_a_model_cannot_be_registered(workspace, model):
    """Without a model there is no version, and the hint says how to keep one."""
    with workspace.run("empty"):
        pass
    with pytest.raises(NotFoundError) as refused:
        workspace.registry.register(model)
    assert "log model" in refused.value.hint


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@b", "a\nb", "a\x00b"])
def test_a_name_that_could_not_be_asked_for_is_refused(opening: Opening, name):
    """A model can't have a name that NAME/VERSION or NAME@ALIAS could not spell."""
    workspace = opening()
    with workspace.run("trained") as run:
        pass
    logged(workspace, run.run_id)
    with pytest.raises(ValueRefused):
        workspace.registry.register(name)


def test_a_model_goes_by_name_version_and_alias(workspace, model):
    """NAME is the newest version, NAME/VERSION that one, NAME@ALIAS the one that the alias names."""
    for auc in (0.7, 0.8, 0.9):
        add(workspace, model, auc=auc)
    workspace.registry.promote(f"{model}/2", to="challenger")
    for ref, version in ((model, 3), (f"{model}/1", 1), (f"{model}@challenger", 2), (f"models:/{model}/2", 2)):
        assert workspace.registry.show(ref).facts["version"] == version, ref
    for ref in (f"{model}/4", f"{model}@champion", "nobody", f"{model}/one"):
        with pytest.raises(NotFoundError) as refused:
            workspace.registry.show(ref)
        assert refused.value.hint
    for ref in ("", "a/b/c", f"{model}@", "@champion"):
        with pytest.raises(UsageError):
            workspace.registry.show(ref)


def test_a_promotion_without_a_policy_just_works_and_is_in_the_ledger(workspace, model):
    """With no policy the alias moves at once: MLflow has it, and the ledger says who, what and why."""
    add(workspace, model)
    answer = workspace.registry.promote(model, to="champion", message="first one")
    assert (answer.ok, answer.status, answer.previous) == (True, "promoted", None)
    assert holder(workspace, model) == 1
    rows = workspace.registry.audit(model).rows
    assert [row["kind"] for row in rows] == ["model.registered", "promotion.decided", "promotion.applied"]
    decided = rows[1]
    assert (decided["actor"], decided["version"], decided["alias"]) == (workspace.actor.name, 1, "champion")
    assert decided["message"] == "first one"


def test_one_alias_s_holder_is_promoted_to_another(workspace, model):
    """`promote NAME@challenger --to champion` promotes what the challenger is."""
    add(workspace, model)
    add(workspace, model)
    workspace.registry.promote(f"{model}/1", to="challenger")
    answer = workspace.registry.promote(f"{model}@challenger", to="champion")
    assert (answer.version, holder(workspace, model)) == (1, 1)


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V22", "", "a b", "a/b", "a@b", "☃", "a" * 256])
def test_an_alias_that_mlflow_reserves_is_refused(opening: Opening, model, alias):
    """What MLflow would not take as an alias is refused before anything is written."""
    workspace = opening()
    add(workspace, model)
    with pytest.raises(ValueRefused):
        workspace.registry.promote(model, to=alias)
    assert kinds(workspace, model) == ["model.registered"]


# ---------------------------------------------------------------------------------------------------------------------
# Gates

BEATS = '{beats = "champion", metric = "m"}'
BEATS_BY = '{beats = "champion", metric = "m", margin = 0.01}'
LOWER = '{beats = "champion", metric = "m", higher_is_better = false}'
LOWER_BY = '{beats = "champion", metric = "m", higher_is_better = false, margin = 0.01}'


@pytest.mark.parametrize(
    ("gate", "candidate", "present", "passes"),
    [
        ('{metric = "m", min = 0.75}', 0.75, None, True),
        ('{metric = "m", min = 0.75}', 0.7499, None, False),
        ('{metric = "m", min = 0.75}', NAN, None, False),
        ('{metric = "m", min = 0.75}', None, None, False),
        ('{metric = "m", min = 0}', 0, None, True),
        ('{metric = "m", max = 0.2}', 0.2, None, True),
        ('{metric = "m", max = 0.2}', 0.21, None, False),
        ('{metric = "m", max = 0.2}', NAN, None, False),
        ('{metric = "m", min = 1, max = 2}', 1.5, None, True),
        ('{metric = "m", min = 1, max = 2}', 2.5, None, False),
        ('{metric = "m", min = 1, max = 2}', 0.5, None, False),
        (BEATS, 0.5, None, True),
        (BEATS, 0.8, 0.8, True),
        (BEATS, 0.81, 0.8, True),
        (BEATS, 0.79, 0.8, False),
        (BEATS, NAN, 0.8, False),
        (BEATS, None, 0.8, False),
        (BEATS, 0.8, NAN, False),
        (BEATS, 0.8, "none", False),
        (BEATS, NAN, None, False),
        (BEATS_BY, 0.94, 0.93, True),
        (BEATS_BY, 0.939, 0.93, False),
        (BEATS_BY, 0.93, 0.93, False),
        (LOWER, 0.2, 0.2, True),
        (LOWER, 0.19, 0.2, True),
        (LOWER, 0.21, 0.2, False),
        (LOWER, 0.2, NAN, False),
        (LOWER_BY, 0.19, 0.2, True),
        (LOWER_BY, 0.195, 0.2, False),
        ('{beats = "champion", metric = "m", min = 0.9}', 0.85, 0.8, False),
    ],
)
def test_a_gate_passes_or_refuses(tmp_path, gate, candidate, present, passes):
    """Thresholds include their bound; `beats` is at least as good, or ahead by the margin; missing or NaN refuses."""
    workspace = Workspace.open(tmp_path)
    if present is not None:
        add(workspace, "churn", **({} if present == "none" else {"m": present}))
        workspace.registry.promote("churn", to="champion")
    add(workspace, "churn", **({} if candidate is None else {"m": candidate}))
    (tmp_path / "mlops.toml").write_text(policy(gates=gate))
    answer = Workspace.open(tmp_path).registry.promote("churn", to="champion")
    assert answer.status == ("promoted" if passes else "refused"), answer.reasons
    assert answer.ok is passes
    expected = 2 if present is not None else 1
    before = 1 if present is not None else None
    assert holder(workspace, "churn") == (expected if passes else before)


def test_the_holder_itself_passes_beats(opening: Opening, model):
    """Promoting the present holder again asks it to beat nobody."""
    workspace = opening(policy(gates=BEATS_BY))
    add(workspace, model, m=0.8)
    assert workspace.registry.promote(model, to="champion").ok
    assert workspace.registry.promote(model, to="champion").ok


def test_a_refusal_names_each_gate_that_refuses(opening: Opening, model):
    """Each gate that refuses is a reason with its numbers; those that pass are told too; the ledger has it all."""
    gates = '{metric = "auc", min = 0.75}, {metric = "loss", max = 0.1}, {metric = "f1", min = 0.1}'
    workspace = opening(policy(gates=gates))
    add(workspace, model, auc=0.5, loss=0.3, f1=0.9)
    answer = workspace.registry.promote(model, to="champion", message="please").to_json()
    assert (answer["status"], [gate["passed"] for gate in answer["gates"]]) == ("refused", [False, False, True])
    assert len(answer["reasons"]) == 2
    assert "0.5" in answer["reasons"][0]
    assert "0.75" in answer["reasons"][0]
    assert "0.3" in answer["reasons"][1]
    last = workspace.registry.audit(model).rows[-1]
    assert (last["kind"], last["reasons"], last["message"]) == ("promotion.refused", answer["reasons"], "please")
    assert holder(workspace, model) is None


def test_the_first_policy_that_matches_holds(opening: Opening, model):
    """Of several tables the first whose patterns match model and alias is the one; others are not asked."""
    strict = policy(gates='{metric = "m", min = 1}', models=model)
    workspace = opening(
        policy(gates='{metric = "m", min = 9}', models="other-*") + strict + policy(gates='{metric = "m", min = 5}')
    )
    add(workspace, model, m=2)
    assert workspace.registry.promote(model, to="champion").ok
    assert workspace.registry.promote(model, to="unguarded").ok
    assert [gate["gate"] for gate in workspace.registry.show(model).to_json()["gates"]] == ["m ≥ 1"]


# ---------------------------------------------------------------------------------------------------------------------
# Approvals

TWO = '{count = 2, roles = ["lead", "risk"]}'
ROLES = '[roles]\nlead = ["ann", "bob"]\nrisk = ["cid"]\n'


class People:
    """One workspace as several people open it."""

    def __init__(self, opening: Opening, settings: str) -> None:
        self._opening, self._settings = opening, settings

    def __getitem__(self, name: str) -> Workspace:
        return self._opening(self._settings, actor=Actor(name, "identity"))


def test_a_promotion_waits_for_its_approvals(opening: Opening, model):
    """It waits until enough different people of the roles, the author not among them, have approved."""
    people = People(opening, policy(approvals=TWO) + ROLES)
    add(people["ann"], model)
    asked = people["ann"].registry.promote(model, to="champion", message="better")
    assert (asked.status, asked.ok, holder(people["ann"], model)) == ("pending", True, None)
    assert people["ann"].status().to_json()["open_requests"] == 1
    assert asked.request is not None
    with pytest.raises(DeniedError):
        people["ann"].registry.approve(asked.request)
    with pytest.raises(DeniedError):
        people["dan"].registry.approve(asked.request)
    assert people["bob"].registry.approve(asked.request, message="fine").status == "pending"
    with pytest.raises(ConflictError):
        people["bob"].registry.approve(asked.request)
    assert holder(people["ann"], model) is None
    assert people["cid"].registry.approve(asked.request).status == "promoted"
    assert holder(people["ann"], model) == 1
    with pytest.raises(ConflictError):
        people["bob"].registry.approve(asked.request)
    row = people["ann"].registry.requests().rows[0]
    assert (row["state"], row["actor"], row["approvals"]) == ("promoted", "ann", ["bob", "cid"])
    assert people["ann"].status().to_json()["open_requests"] == 0
    told = people["ann"].registry.audit(model).rows[2]
    assert (told["version"], told["alias"], told["request"]) == (1, "champion", asked.request)
    who = [(row["kind"], row["actor"]) for row in people["ann"].registry.audit(model).rows]
    assert who[1:] == [
        ("promotion.requested", "ann"),
        ("promotion.approved", "bob"),
        ("promotion.approved", "cid"),
        ("promotion.decided", "cid"),
        ("promotion.applied", "cid"),
    ]


def test_asking_twice_is_one_request(opening: Opening, model):
    """The same promotion asked for again waits as the same request, with the approvals that it has."""
    people = People(opening, policy(approvals="{count = 1}"))
    add(people["ann"], model)
    asked = [people["ann"].registry.promote(model, to="champion").request for _ in range(2)]
    assert asked[0] == asked[1]
    assert len(people["ann"].registry.requests().rows) == 1


def test_a_request_that_too_few_can_approve_says_so(opening: Opening, model):
    """Who has asked and who has approved count no more; the others are named, whoever asks again."""
    people = People(opening, policy(approvals='{count = 2, roles = ["lead"]}') + '[roles]\nlead = ["ann", "bob"]\n')
    add(people["ann"], model)
    asked = people["ann"].registry.promote(model, to="champion")
    assert "only bob can give them" in " ".join(asked.reasons)
    assert "only bob can give them" in " ".join(people["bob"].registry.promote(model, to="champion").reasons)
    assert asked.request is not None
    people["bob"].registry.approve(asked.request)
    assert "nobody can give it" in " ".join(people["bob"].registry.promote(model, to="champion").reasons)


def test_the_author_may_approve_where_the_policy_lets_them(opening: Opening, model):
    """With `not_author = false` whoever asked may be the one who approves."""
    people = People(opening, policy(approvals="{count = 1, not_author = false}"))
    add(people["ann"], model)
    asked = people["ann"].registry.promote(model, to="champion")
    assert people["ann"].registry.approve(asked.request).status == "promoted"


def test_a_rejected_request_is_over(opening: Opening, model):
    """A rejection ends the request, is in the ledger with its reason, and moves nothing."""
    people = People(opening, policy(approvals="{count = 1}"))
    add(people["ann"], model)
    asked = people["ann"].registry.promote(model, to="champion")
    people["bob"].registry.reject(asked.request, message="leaks the target")
    for decide in (people["cid"].registry.approve, people["cid"].registry.reject):
        with pytest.raises(ConflictError):
            decide(asked.request, message="late")
    last = people["ann"].registry.audit(model).rows[-1]
    assert (last["kind"], last["actor"], last["message"]) == ("promotion.rejected", "bob", "leaks the target")
    assert holder(people["ann"], model) is None
    again = people["ann"].registry.promote(model, to="champion")
    assert (again.status, again.request != asked.request) == ("pending", True)


def test_gates_are_asked_again_at_the_last_approval(opening: Opening, model):
    """What was good enough when it was asked for may not be when it is approved: then it is refused."""
    guarded = policy(gates=BEATS, approvals="{count = 1}")
    people = People(opening, guarded)
    add(people["ann"], model, m=0.5)
    add(people["ann"], model, m=0.9)
    weak = people["ann"].registry.promote(f"{model}/1", to="champion")
    strong = people["ann"].registry.promote(f"{model}/2", to="champion")
    assert people["bob"].registry.approve(strong.request).status == "promoted"
    refused = people["bob"].registry.approve(weak.request)
    assert (refused.status, refused.ok) == ("refused", False)
    assert "0.9" in refused.reasons[0]
    assert holder(people["ann"], model) == 2
    assert kinds(people["ann"], model)[-1] == "promotion.refused"


def test_gates_refuse_before_anybody_is_asked_to_approve(opening: Opening, model):
    """A candidate that fails a gate opens no request."""
    people = People(opening, policy(gates='{metric = "m", min = 1}', approvals="{count = 1}"))
    add(people["ann"], model, m=0.5)
    assert people["ann"].registry.promote(model, to="champion").status == "refused"
    assert people["ann"].registry.requests().rows == []


def test_an_unknown_request_is_not_found(workspace):
    """A request that nobody made can be neither approved nor rejected."""
    for decide in (workspace.registry.approve, workspace.registry.reject):
        with pytest.raises(NotFoundError):
            decide("0123456789", message="x")


# ---------------------------------------------------------------------------------------------------------------------
# Rollback


def test_rollback_goes_back_one_holder_at_a_time(workspace, model):
    """Each rollback gives the alias to the version before; before the first there is none, and that is said."""
    for _ in range(3):
        add(workspace, model)
    for version in (1, 2, 3):
        workspace.registry.promote(f"{model}/{version}", to="champion")
    assert (workspace.registry.rollback(model, alias="champion").version, holder(workspace, model)) == (2, 2)
    assert (workspace.registry.rollback(model, alias="champion").version, holder(workspace, model)) == (1, 1)
    with pytest.raises(ConflictError):
        workspace.registry.rollback(model, alias="champion")
    assert holder(workspace, model) == 1
    workspace.registry.promote(f"{model}/3", to="champion")
    assert workspace.registry.rollback(model, alias="champion").version == 1
    assert workspace.registry.audit_verify().ok


def test_rollback_of_what_was_never_promoted_is_refused(workspace, model):
    """An alias without a history, and a model that nobody knows, are refused."""
    add(workspace, model)
    with pytest.raises(ConflictError):
        workspace.registry.rollback(model, alias="champion")
    with pytest.raises(NotFoundError):
        workspace.registry.rollback(f"{model}-unknown", alias="champion")


# ---------------------------------------------------------------------------------------------------------------------
# Crashes and races


class Crash(BaseException):
    """The end of the process, as nothing catches it."""


def test_a_crash_between_decision_and_alias_is_made_good(opening: Opening, model, monkeypatch):
    """What the ledger says was decided is carried out by the next writer, once."""
    workspace = opening()
    add(workspace, model)
    add(workspace, model)
    workspace.registry.promote(f"{model}/1", to="champion")

    def crash(self: Versions, name: str, alias: str, version: int) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Versions, "set_alias", crash)
        with pytest.raises(Crash):
            workspace.registry.promote(f"{model}/2", to="champion")
    assert holder(workspace, model) == 1
    assert kinds(workspace, model)[-1] == "promotion.decided"
    after = opening()
    after.registry.promote(f"{model}/1", to="other")
    assert holder(after, model) == 2
    assert after.registry.audit_verify().ok
    assert kinds(after, model)[-4:] == [
        "promotion.decided", "promotion.applied", "promotion.decided", "promotion.applied",
    ]  # fmt: skip
    assert after.registry.rollback(model, alias="champion").version == 1


def test_a_killed_process_leaves_a_ledger_that_holds(tmp_path):
    """A process that ends with nothing cleaned up, between decision and alias, loses nothing and blocks nobody."""
    workspace = Workspace.open(tmp_path)
    add(workspace, "churn")
    code = (
        "import os\nfrom mlops_jupyter import Workspace\nfrom mlops_jupyter.tracking.versions import Versions\n"
        "Versions.set_alias = lambda *_: os._exit(9)\n"
        "Workspace.open().registry.promote('churn', to='champion')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True)
    assert done.returncode == 9, done.stderr
    assert workspace.registry.audit_verify().ok
    assert kinds(workspace)[-1] == "promotion.decided"
    workspace.registry.promote("churn", to="other")
    assert holder(workspace, "churn") == 1


def test_a_store_that_refuses_the_alias_abandons_the_decision(opening: Opening, model, monkeypatch):
    """When MLflow can't set the alias the promotion fails, the ledger says so, and nobody carries it out later."""
    workspace = opening()
    add(workspace, model)

    def refuse(self: Versions, name: str, alias: str, version: int) -> None:
        raise StoreError("the store is away", "try again")

    with monkeypatch.context() as patch:
        patch.setattr(Versions, "set_alias", refuse)
        with pytest.raises(StoreError):
            workspace.registry.promote(model, to="champion")
    assert kinds(workspace, model)[-1] == "promotion.abandoned"
    workspace.registry.promote(model, to="other")
    assert (holder(workspace, model), holder(workspace, model, "other")) == (None, 1)


def test_processes_that_promote_at_once_do_not_pass_each_other(tmp_path):
    """Several processes promote at the same moment: each decision is applied, the chain holds, the best one stays."""
    workspace = Workspace.open(tmp_path)
    best = 4
    for version in range(1, best + 1):
        add(workspace, "churn", m=version / 10)
    (tmp_path / "mlops.toml").write_text(policy(gates=BEATS))
    code = (
        "import pathlib, sys, time\nfrom mlops_jupyter import Workspace\n"
        "workspace = Workspace.open(); workspace.registry.versions()\n"
        "pathlib.Path(f'ready-{sys.argv[1]}').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.001)\n"
        "for _ in range(3): workspace.registry.promote(f'churn/{sys.argv[1]}', to='champion')"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
        for n in range(1, best + 1)
    ]
    try:
        until(lambda: len(list(tmp_path.glob("ready-*"))) == best, "all processes are ready")
        (tmp_path / "go").touch()
        told = [process.communicate(timeout=60)[1].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * best, told
    assert holder(workspace, "churn") == best
    assert workspace.registry.audit_verify().ok
    events = workspace.ledger.events("churn")
    decided = [event for event in events if event.kind == "promotion.decided"]
    applied = {event.data["of"] for event in events if event.kind == "promotion.applied"}
    assert {event.seq for event in decided} == applied
    # Each decision was made in the sight of the one before it: its previous holder is the version decided last.
    held = None
    for event in decided:
        assert event.data["previous"] == held
        assert held is None or event.data["version"] >= held
        held = event.data["version"]
    asked = [event for event in events if event.kind in ("promotion.decided", "promotion.refused")]
    assert len(asked) == 3 * best


# ---------------------------------------------------------------------------------------------------------------------
# The ledger


@pytest.fixture
def ledgered(tmp_path: Path) -> Workspace:
    """Give a workspace with a ledger of several events."""
    workspace = Workspace.open(tmp_path)
    for name in ("a", "b"):
        add(workspace, name)
        workspace.registry.promote(name, to="champion", message="because")
    return workspace


def sql(workspace: Workspace, *statements: str, unguarded: bool = True) -> None:
    """Change the ledger behind our back."""
    connection = sqlite3.connect(workspace.root / ".mlops" / "ledger.db")
    try:
        if unguarded:
            connection.execute("DROP TRIGGER events_no_update")
            connection.execute("DROP TRIGGER events_no_delete")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


@pytest.mark.parametrize("statement", ["UPDATE events SET actor = 'x'", "DELETE FROM events WHERE seq = 6"])
def test_the_ledger_takes_no_change(ledgered, statement):
    """The database itself refuses to change or remove an event."""
    before = ledgered.ledger.head()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sql(ledgered, statement, unguarded=False)
    assert ledgered.ledger.head() == before
    assert ledgered.registry.audit_verify().ok


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE events SET actor = 'mallory' WHERE seq = 3", 3),
        ("UPDATE events SET time = '2020-01-01' WHERE seq = 3", 3),
        ("UPDATE events SET kind = 'promotion.refused' WHERE seq = 2", 2),
        ("UPDATE events SET via = 'identity' WHERE seq = 1", 1),
        ("UPDATE events SET model = 'c' WHERE seq = 6", 6),
        ("UPDATE events SET data = replace(data, 'because', 'whyever') WHERE seq = 2", 2),
        ("UPDATE events SET data = '{\"version\": 9, ' || substr(data, 2) WHERE seq = 2", 2),
        ("UPDATE events SET data = '[]' WHERE seq = 2", 2),
        ("UPDATE events SET model = x'ff00' WHERE seq = 2", 2),
        ("UPDATE events SET time = 5 WHERE seq = 2", 2),
        ("UPDATE events SET hash = '0000' WHERE seq = 2", 2),
        ("UPDATE events SET previous = '0000' WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 1", 2),
        ("DELETE FROM events WHERE seq = 3", 4),
        ("UPDATE events SET seq = 100 WHERE seq = 6", 100),
        (
            "INSERT INTO events SELECT 7, time, kind, 'mallory', via, model, data, hash, 'z' || substr(hash, 2)"
            " FROM events WHERE seq = 6",
            7,
        ),
    ],
)
def test_tampering_is_seen_where_it_happened(ledgered, statement, broken_at):
    """Any event that was changed, removed or added by other means breaks the chain at that place."""
    assert ledgered.registry.audit_verify().ok
    sql(ledgered, statement)
    verdict = ledgered.registry.audit_verify()
    assert (verdict.ok, verdict.to_json()["broken_at"]) == (False, broken_at)
    assert verdict.to_json()["reason"]


def test_data_that_is_no_json_any_more_is_seen_too(ledgered):
    """An event whose data was overwritten with something unreadable is a broken chain, not an error."""
    sql(ledgered, "UPDATE events SET data = '{broken' WHERE seq = 3")
    verdict = ledgered.registry.audit_verify()
    assert (verdict.ok, verdict.to_json()["broken_at"]) == (False, 3)


def test_an_end_that_was_cut_off_is_seen_by_the_head(ledgered):
    """A chain whose last events are gone holds in itself; only a head that was kept elsewhere shows it."""
    head = ledgered.registry.audit_verify().to_json()["head"]
    assert ledgered.registry.audit_verify(head=head).ok
    ledgered.registry.promote("a", to="other")
    assert ledgered.registry.audit_verify(head=head).ok
    sql(ledgered, "DELETE FROM events WHERE seq > 4")
    assert ledgered.registry.audit_verify().ok
    verdict = ledgered.registry.audit_verify(head=head)
    assert (verdict.ok, bool(verdict.to_json()["reason"])) == (False, True)


def test_a_ledger_that_is_gone_is_seen_by_the_head(ledgered):
    """Removing the whole file is the longest cut."""
    head = ledgered.ledger.head()
    for file in (ledgered.root / ".mlops").glob("ledger.db*"):
        file.unlink()
    assert ledgered.registry.audit_verify().ok
    assert not ledgered.registry.audit_verify(head=head).ok


@pytest.mark.parametrize("head", ["", "123", "g" * 64, "0" * 63, "A" * 64])
def test_a_head_that_is_none_is_a_usage_error(ledgered, head):
    """A head is 64 hexadecimal digits."""
    with pytest.raises(UsageError):
        ledgered.registry.audit_verify(head=head)


def test_triggers_come_back_with_the_next_write(ledgered):
    """Whoever dropped the guards finds them again after the next event."""
    sql(ledgered)
    ledgered.registry.promote("a", to="other")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sql(ledgered, "DELETE FROM events", unguarded=False)


def test_messages_of_any_text_are_kept_and_hashed(ledgered):
    """What people write as a reason is in the ledger to the letter, and the chain holds with it."""
    messages = ["naïve ☃ 𝒳", "quotes ' \" \\", "line\nbreak", "'; DROP TABLE events; --", "<script>"]
    for message in messages:
        ledgered.registry.promote("a", to="champion", message=message)
    found = [row["message"] for row in ledgered.registry.audit("a").rows if row["kind"] == "promotion.decided"]
    assert found == ["because", *messages]
    assert ledgered.registry.audit_verify().ok
    assert "<script>" not in ledgered.registry.audit("a")._repr_html_()


def test_audit_of_one_model_tells_of_it_alone(ledgered):
    """`audit NAME` has that model's events in order; without a name all are there."""
    assert {row["model"] for row in ledgered.registry.audit("a").rows} == {"a"}
    rows = ledgered.registry.audit().rows
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert json.loads(json.dumps(rows)) == rows


def test_a_model_s_page_has_gates_aliases_and_history(opening: Opening, model):
    """`model NAME` tells run, metrics, aliases, what the gates say of it now, and its events."""
    workspace = opening(policy(gates='{metric = "m", min = 1}'))
    add(workspace, model, m=2)
    workspace.registry.promote(model, to="champion")
    told: dict[str, Any] = workspace.registry.show(model).to_json()
    assert (told["model"], told["version"], told["aliases"], told["metrics"]) == (model, 1, ["champion"], {"m": 2.0})
    assert [(gate["alias"], gate["passed"]) for gate in told["gates"]] == [("champion", True)]
    assert [row["kind"] for row in told["history"]][-1] == "promotion.applied"
    row = next(row for row in workspace.registry.versions().rows if row["model"] == model)
    assert (row["version"], row["aliases"]) == (1, ["champion"])
