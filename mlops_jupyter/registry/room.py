"""The room of models: registering, promoting through gates, approving, and the audit of it all.

Promotion state is what the ledger says. Every decision is written there first (``promotion.decided``), then MLflow's
alias is set, then that is written too (``promotion.applied``); a decision that a crash left unapplied is carried out by
the next writer. One writer at a time holds the ledger, so two promotions can't both beat the same champion.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from mlops_jupyter.actor import Actor
from mlops_jupyter.commands import Completes, Option, command
from mlops_jupyter.config import Approvals, Config, Policy
from mlops_jupyter.display import Message, Table
from mlops_jupyter.errors import (
    AmbiguousError,
    ConflictError,
    DeniedError,
    MlopsError,
    NotFoundError,
    UsageError,
)
from mlops_jupyter.registry.gates import Outcome, evaluate, policy_for
from mlops_jupyter.registry.ledger import Event, Ledger, Writing
from mlops_jupyter.registry.requests import Request, requests_in
from mlops_jupyter.registry.results import ChainVerdict, ModelDetails, PromotionResult
from mlops_jupyter.tracking.active import active_run
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.records import NOTEBOOK, Run, Version, json_numbers
from mlops_jupyter.tracking.runs import Runs
from mlops_jupyter.tracking.versions import Versions, check_alias

Why = Annotated[str, Option("-m", metavar="MSG")]
Model = Annotated[str, Completes("model")]


class Registry:
    """Models of one workspace.

    Args:
        config: The settings, with the policies.
        tracking: The store.
        runs: The room of runs.
        ledger: The ledger.
        actor: Who asks.
    """

    def __init__(self, config: Config, tracking: Tracking, runs: Runs, ledger: Ledger, actor: Actor) -> None:
        self._config = config
        self._tracking = tracking
        self._versions = Versions(tracking)
        self._runs = runs
        self._ledger = ledger
        self._actor = actor

    @command("register")
    def register(
        self,
        name: str,
        *,
        run: Annotated[str | None, Completes("run")] = None,
        model: Annotated[str | None, Option(metavar="LOGGED")] = None,
    ) -> Message:
        """Make a version of a registered model from a run's logged model.

        Args:
            name: The registered model; made when there is none.
            run: The run; by default the active one, else the last.
            model: The logged model, by name or id; needed where the run has several.

        Returns:
            The version.

        Raises:
            NotFoundError: The run, or the model in it, does not exist.
            AmbiguousError: The run has several models.

        Example:
            mlops register churn --run @last
        """
        found = self._run_for(run)
        model_id = self._logged(found, model)
        version = self.register_model(name, model_id=model_id, run_id=found.run_id)
        ref = f"{name}/{version}"
        data = {"model": name, "version": version, "run_id": found.run_id, "model_id": model_id}
        return Message(f"{ref} is the model of run {found.name} ({found.run_id[:8]})", data)

    def register_model(self, name: str, *, model_id: str, run_id: str) -> int:
        """Make a version from a logged model, once.

        Args:
            name: The registered model.
            model_id: The logged model's id.
            run_id: The version's run.

        Returns:
            The version's number.
        """
        with self._ledger.writing() as ledger:
            before = {version.version for version in self._versions.all(name)}
            version = self._versions.create(name, model_id=model_id, run_id=run_id)
            if version.version not in before:
                data = {"version": version.version, "run_id": run_id, "model_id": model_id}
                ledger.append("model.registered", name, data)
        return version.version

    def _run_for(self, ref: str | None) -> Run:
        if ref is not None:
            return self._runs.resolve(ref)
        active = active_run()
        return self._runs.get(active.run_id) if active else self._runs.resolve("@last")

    def _logged(self, run: Run, wanted: str | None) -> str:
        models = {m: self._tracking.client.get_logged_model(m).name for m in run.model_ids}
        if wanted is not None:
            models = {m: name for m, name in models.items() if wanted in (m, name)}
        if not models:
            what = f"no model {wanted!r}" if wanted else "no model"
            raise NotFoundError(f"run {run.name} ({run.run_id[:8]}) has {what}", "keep one with %mlops log model VAR")
        if len(models) > 1:
            raise AmbiguousError(
                f"run {run.name} has {len(models)} models; --model says which",
                [f"{name} ({m})" for m, name in models.items()],
            )
        return next(iter(models))

    @command("models")
    def versions(self) -> Table:
        """List registered models: their versions, newest first, and aliases.

        Returns:
            A row a version.

        Example:
            mlops models
        """
        states = {r.version_key: r.state for r in requests_in(self._ledger.events())}
        rows = [
            {
                "model": version.model,
                "version": version.version,
                "aliases": list(version.aliases),
                "run_id": version.run_id,
                "created": version.created,
                "status": states.get((version.model, version.version), "none"),
            }
            for version in self._versions.all()
        ]
        columns = {"model": "model", "version": "version", "aliases": "aliases", "created": "created"}
        return Table(rows, columns | {"run_id": "run"}, empty="no models yet: `register NAME` makes one")

    @command("model")
    def show(self, model: Model) -> ModelDetails:
        """Show one version: where it comes from, what the gates say of it now, and its history.

        Args:
            model: NAME (newest version), NAME/VERSION or NAME@ALIAS.

        Returns:
            Facts, gates and history.

        Raises:
            NotFoundError: There is none.

        Example:
            mlops model churn@champion
        """
        version = self._versions.resolve(model)
        run = self._run_of(version)
        facts = {
            "model": version.model,
            "version": version.version,
            "aliases": list(version.aliases),
            "run_id": version.run_id,
            "created": version.created,
            "source": version.source,
            "notebook": run.tags.get(NOTEBOOK) if run else None,
            "metrics": json_numbers(run.metrics) if run else {},
            "params": dict(run.params) if run else {},
        }
        gates = []
        for policy in self._config.policies:
            alias = policy.alias
            if policy is policy_for(self._config.policies, version.model, alias):
                gates += [(alias, outcome) for outcome in self._ask(policy, version)]
        history = tuple(event.row() for event in self._ledger.events(version.model))
        return ModelDetails(facts, tuple(gates), history)

    def _run_of(self, version: Version) -> Run | None:
        if version.run_id is None:
            return None
        try:
            return self._runs.get(version.run_id)
        except NotFoundError:
            return None

    def _metrics(self, version: Version) -> Mapping[str, float]:
        run = self._run_of(version)
        return run.metrics if run else {}

    def _ask(self, policy: Policy, version: Version) -> tuple[Outcome, ...]:
        metrics = self._metrics(version)
        aliases = self._versions.aliases(version.model)
        outcomes = []
        for gate in policy.gates:
            number = aliases.get(gate.beats) if gate.beats is not None else None
            other = number is not None and number != version.version
            holder = self._metrics(self._versions.get(version.model, number)) if other and number else None
            outcomes.append(evaluate(gate, metrics, holder))
        return tuple(outcomes)

    @command("promote")
    def promote(
        self, model: Model, *, to: Annotated[str, Option(metavar="ALIAS"), Completes("alias")], message: Why = ""
    ) -> PromotionResult:
        """Let an alias name a version, if the policy's gates allow it.

        Without a policy in mlops.toml it is just done; either way it is in the ledger. Where the policy asks for
        approvals, a request waits for them.

        Args:
            model: NAME (newest version), NAME/VERSION or NAME@ALIAS.
            to: The alias, such as champion.
            message: Why; kept in the ledger.

        Returns:
            Promoted, pending or refused, with what each gate said.

        Raises:
            NotFoundError: The model does not exist.
            ValueRefused: The alias is no alias.

        Example:
            mlops promote churn@challenger --to champion -m "better on the holdout"
        """
        check_alias(to)
        self._versions.resolve(model)
        with self._ledger.writing() as ledger:
            self._settle(ledger)
            version = self._versions.resolve(model)
            policy = policy_for(self._config.policies, version.model, to) or Policy()
            previous = self._versions.aliases(version.model).get(to)
            gates = self._ask(policy, version)
            data = self._decision(version, to, previous, gates, message)
            reasons = tuple(f"{gate.gate}: {gate.reason}" for gate in gates if not gate.passed)
            if reasons:
                ledger.append("promotion.refused", version.model, data | {"reasons": list(reasons)})
                return PromotionResult("refused", version.model, version.version, to, previous, gates, reasons)
            if policy.approvals.count > 0:
                return self._request(ledger, version, policy.approvals, data, gates)
            self._move(ledger, version, to, data)
        return PromotionResult("promoted", version.model, version.version, to, previous, gates)

    def _decision(
        self, version: Version, alias: str, previous: int | None, gates: Sequence[Outcome], message: str
    ) -> dict[str, Any]:
        return {
            "version": version.version,
            "alias": alias,
            "previous": previous,
            "run_id": version.run_id,
            "message": message,
            "gates": [gate.to_json() for gate in gates],
        }

    def _request(
        self,
        ledger: Writing,
        version: Version,
        approvals: Approvals,
        data: Mapping[str, Any],
        gates: tuple[Outcome, ...],
    ) -> PromotionResult:
        alias = data["alias"]
        request = next(
            (
                known
                for known in requests_in(ledger.events(version.model))
                if known.state == "pending" and known.version_key == (version.model, version.version)
                if known.alias == alias
            ),
            None,
        )
        request_id = request.id if request else uuid.uuid4().hex[:10]
        if request is None:
            ledger.append("promotion.requested", version.model, dict(data) | {"request": request_id})
        need = approvals.count - len(request.approvals if request else ())
        who = f" by {' or '.join(approvals.roles)}" if approvals.roles else ""
        reasons = (f"{need} approval{'s' if need != 1 else ''}{who} needed: mlops approve {request_id}",)
        return PromotionResult(
            "pending", version.model, version.version, alias, data["previous"], gates, reasons, request_id
        )

    def _move(self, ledger: Writing, version: Version, alias: str, data: Mapping[str, Any]) -> None:
        decided = ledger.append("promotion.decided", version.model, data)
        try:
            self._versions.set_alias(version.model, alias, version.version)
        except MlopsError as error:
            ledger.append("promotion.abandoned", version.model, {"of": decided.seq, "why": error.message})
            raise
        ledger.append("promotion.applied", version.model, {"of": decided.seq, **_moved(decided)})

    def _settle(self, ledger: Writing) -> None:
        """Carry out what was decided when a crash came before MLflow's alias was set."""
        done: set[int] = set()
        events = ledger.events()
        for event in events:
            if event.kind in ("promotion.applied", "promotion.abandoned"):
                done.add(event.data["of"])
        for event in events:
            if event.kind == "promotion.decided" and event.seq not in done:
                self._versions.set_alias(event.model, event.data["alias"], event.data["version"])
                ledger.append("promotion.applied", event.model, {"of": event.seq, **_moved(event)})

    @command("requests")
    def requests(self) -> Table:
        """List promotion requests, the newest first.

        Returns:
            A row a request: who asked, what for, and who has approved.

        Example:
            mlops requests
        """
        found = [request.row() for request in reversed(requests_in(self._ledger.events()))]
        columns = ("request", "state", "model", "version", "alias", "actor", "approvals", "time")
        return Table(found, {key: key for key in columns}, empty="no requests: none of the promotions waited")

    @command("approve")
    def approve(self, id: str, *, message: Why = "") -> PromotionResult:
        """Say yes to a promotion request; the last yes that it needs carries it out.

        Args:
            id: The request.
            message: Why; kept in the ledger.

        Returns:
            Promoted, still pending, or refused where a gate no longer holds.

        Raises:
            DeniedError: The policy does not let this person approve.
            ConflictError: The request waits no longer, or this person has approved it already.

        Example:
            mlops approve 3f9a12bc04 -m "checked on last week's data"
        """
        with self._ledger.writing() as ledger:
            self._settle(ledger)
            request = self._pending(ledger, id)
            version = self._versions.get(request.model, request.version)
            policy = policy_for(self._config.policies, request.model, request.alias) or Policy()
            self._may_approve(request, policy.approvals)
            ledger.append("promotion.approved", request.model, {"request": request.id, "message": message})
            given = {*request.approvals, self._actor.name}
            gates = self._ask(policy, version)
            previous = self._versions.aliases(version.model).get(request.alias)
            result = (version.model, version.version, request.alias, previous, gates)
            missing = policy.approvals.count - len(given)
            if missing > 0:
                return PromotionResult("pending", *result, (f"{missing} more needed",), request.id)
            data = self._decision(version, request.alias, previous, gates, request.message)
            data["request"] = request.id
            reasons = tuple(f"{gate.gate}: {gate.reason}" for gate in gates if not gate.passed)
            if reasons:
                ledger.append("promotion.refused", version.model, data | {"reasons": list(reasons)})
                return PromotionResult("refused", *result, reasons, request.id)
            self._move(ledger, version, request.alias, data)
        return PromotionResult("promoted", *result, (), request.id)

    def _pending(self, ledger: Writing, request_id: str) -> Request:
        found = [r for r in requests_in(ledger.events()) if r.id == request_id]
        if not found:
            raise NotFoundError(f"there is no request {request_id!r}", "`requests` lists them")
        if found[0].state != "pending":
            raise ConflictError(f"request {request_id} is {found[0].state}", "`requests` lists those that wait")
        return found[0]

    def _may_approve(self, request: Request, approvals: Approvals) -> None:
        me = self._actor.name
        if approvals.not_author and me == request.actor:
            raise DeniedError(f"{me} has asked for this promotion", "somebody else must approve it")
        roles = self._config.roles
        if approvals.roles and not any(me in roles.get(role, ()) for role in approvals.roles):
            raise DeniedError(
                f"{me} has none of the roles {', '.join(approvals.roles)}", "[roles] in mlops.toml lists who has"
            )
        if me in request.approvals:
            raise ConflictError(f"{me} has approved it already", "it waits for somebody else")

    @command("reject")
    def reject(self, id: str, *, message: Why) -> Message:
        """Say no to a promotion request.

        Args:
            id: The request.
            message: Why; kept in the ledger.

        Returns:
            What was rejected.

        Raises:
            ConflictError: The request waits no longer.

        Example:
            mlops reject 3f9a12bc04 -m "leaks the target"
        """
        with self._ledger.writing() as ledger:
            request = self._pending(ledger, id)
            ledger.append("promotion.rejected", request.model, {"request": id, "message": message})
        data = {"request": id, "state": "rejected", "model": request.model, "version": request.version}
        return Message(f"request {id} for {request.model}/{request.version} is rejected", data)

    @command("rollback")
    def rollback(self, name: str, *, alias: Annotated[str, Completes("alias")]) -> PromotionResult:
        """Give an alias back to the version that held it before, as the ledger has it.

        Args:
            name: The registered model.
            alias: The alias.

        Returns:
            The version that holds it now.

        Raises:
            ConflictError: No version held it before.

        Example:
            mlops rollback churn --alias champion
        """
        with self._ledger.writing() as ledger:
            self._settle(ledger)
            present = self._versions.aliases(self._versions.resolve(name).model).get(alias)
            held = _holders(ledger.events(name), alias)
            if present is None or len(held) < 2:
                raise ConflictError(
                    f"no version of {name} held {alias!r} before", "`audit` shows what the ledger knows"
                )
            version = self._versions.get(name, held[-2])
            data = self._decision(version, alias, present, (), f"rollback from version {present}")
            self._move(ledger, version, alias, data | {"rollback": True})
        return PromotionResult("promoted", name, version.version, alias, present)

    @command("audit")
    def audit(self, name: str | None = None) -> Table:
        """Show the ledger: who promoted, was refused or approved what, when, and why.

        Args:
            name: Only this model's events.

        Returns:
            A row an event, in order.

        Example:
            mlops audit churn
        """
        rows = [event.row() for event in self._ledger.events(name)]
        keys = ("seq", "time", "kind", "actor", "model", "version", "alias", "message", "reasons")
        return Table(rows, {key: key for key in keys}, empty="the ledger is empty")

    @command("audit verify")
    def audit_verify(self, *, head: str | None = None) -> ChainVerdict:
        """Recompute the ledger's whole chain of hashes.

        Args:
            head: A head that was kept elsewhere; it shows whether the end was cut off.

        Returns:
            Whether the chain holds, and its head.

        Raises:
            UsageError: The head is no hash.

        Example:
            mlops audit verify
        """
        if head is not None and (len(head) != 64 or not set(head) <= set("0123456789abcdef")):
            raise UsageError(f"{head!r} is no head", "it is the 64 hexadecimal digits that `audit verify` prints")
        return ChainVerdict(self._ledger.verify(head))

    def open_requests(self) -> int:
        """Give the number of requests that wait."""
        return sum(request.state == "pending" for request in requests_in(self._ledger.events()))


def _moved(decided: Event) -> dict[str, Any]:
    return {"version": decided.data["version"], "alias": decided.data["alias"]}


def _holders(events: Sequence[Event], alias: str) -> list[int]:
    """Give the versions that held an alias in turn; a rollback takes the last one away again."""
    decided = {event.seq: event for event in events if event.kind == "promotion.decided"}
    held: list[int] = []
    for event in events:
        if event.kind != "promotion.applied" or event.data["alias"] != alias:
            continue
        if decided[event.data["of"]].data.get("rollback") and len(held) > 1:
            held.pop()
        elif not held or held[-1] != event.data["version"]:
            held.append(event.data["version"])
    return held
