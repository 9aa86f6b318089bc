"""The room of models: registering, promoting through gates, approving, and the audit of it all.

Promotion state is what the ledger says. Every decision is written there first (``promotion.decided``), then MLflow's
alias is set, then that is written too (``promotion.applied``); a decision that a crash left unapplied is carried out by
the next writer. One writer at a time holds the ledger, so two promotions can't both beat the same champion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mlops_jupyter.actor import Actor
from mlops_jupyter.commands import Completes, Option, command
from mlops_jupyter.config import Config
from mlops_jupyter.display import Message, Table
from mlops_jupyter.errors import AmbiguousError, ConflictError, NotFoundError, UsageError
from mlops_jupyter.registry.approvals import Promotions, decision, holder_before
from mlops_jupyter.registry.ledger import Ledger
from mlops_jupyter.registry.requests import requests_in
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
        self._promotions = Promotions(config, self._versions, runs, actor)

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

        Raises:
            ValueRefused: MLflow allows no such name.
            ConflictError: The store has not created the run yet.
        """
        # A run that began while the store was away goes by another id there.
        run_id = self._tracking.store_id(run_id)
        with self._ledger.writing() as ledger:
            version = self._versions.create(name, model_id=model_id, run_id=run_id)
            noted = {e.data["version"] for e in ledger.events(name) if e.kind == "model.registered"}
            # A crash may have come between MLflow's version and our note of it.
            if version.version not in noted:
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
        states = {r.version_key: r.state for r in requests_in(self._ledger.entries())}
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
        return Table(
            rows, columns | {"run_id": "run"}, empty=f"no models yet in {self._config.root}: `register NAME` makes one"
        )

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
        run = self._promotions.run_of(version)
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
            if policy is self._config.policy_for(version.model, alias):
                gates += [(alias, outcome) for outcome in self._promotions.gates(policy, version)]
        rows = (event.row() for event in self._ledger.entries(version.model))
        history = tuple(row for row in rows if row["version"] in (None, version.version))
        return ModelDetails(facts, tuple(gates), history)

    def promote_once(self, model: str, *, to: str, message: str) -> PromotionResult:
        """Promote a version, unless the same was asked for before with the same message: then say what became of it.

        Args:
            model: NAME/VERSION.
            to: The alias.
            message: Why; it names what asks, so that asking again after a crash is known as such.

        Returns:
            Promoted, pending or refused.

        Raises:
            NotFoundError: The model does not exist.
            ValueRefused: The alias is no alias.
            IntegrityError: The ledger was tampered with.
        """
        check_alias(to)
        with self._ledger.writing() as ledger:
            self._promotions.settle(ledger)
            version = self._versions.resolve(model)
            known = self._promotions.known(ledger, version, to, message)
            return known or self._promotions.ask_for(ledger, version, to, message)

    def made_by(self, name: str, run_ids: Sequence[str]) -> Version | None:
        """Find the newest version of a model that was made from one of some runs.

        Args:
            name: The registered model.
            run_ids: The runs.

        Returns:
            The version; None where none was.
        """
        made = [version for version in self._versions.all(name) if version.run_id in run_ids]
        return made[0] if made else None

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
            IntegrityError: The ledger was tampered with.

        Example:
            mlops promote churn@challenger --to champion -m "better on the holdout"
        """
        check_alias(to)
        self._versions.resolve(model)
        with self._ledger.writing() as ledger:
            self._promotions.settle(ledger)
            version = self._versions.resolve(model)
            return self._promotions.ask_for(ledger, version, to, message)

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
            self._promotions.settle(ledger)
            return self._promotions.approve(ledger, id, message)

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
            self._promotions.settle(ledger)
            request = self._promotions.reject(ledger, id, message)
        data = {"request": id, "state": "rejected", "model": request.model, "version": request.version}
        return Message(f"request {id} for {request.model}/{request.version} is rejected", data)

    @command("rollback")
    def rollback(self, name: str, *, alias: Annotated[str, Completes("alias")], message: Why = "") -> PromotionResult:
        """Give an alias back to the version that held it before, as the ledger has it.

        Args:
            name: The registered model.
            alias: The alias.
            message: Why; kept in the ledger.

        Returns:
            The version that holds it now.

        Raises:
            ConflictError: No version held it before.
            IntegrityError: The ledger was tampered with.

        Example:
            mlops rollback churn --alias champion -m "drifting since Monday"
        """
        with self._ledger.writing() as ledger:
            self._promotions.settle(ledger)
            present = self._versions.aliases(self._versions.resolve(name).model).get(alias)
            before = None if present is None else holder_before(ledger.events(name), alias, present)
            if before is None:
                raise ConflictError(
                    f"no version of {name} held {alias!r} before", "`audit` shows what the ledger knows"
                )
            version = self._versions.get(name, before)
            why = f"rollback from version {present}" + (f": {message}" if message else "")
            data = decision(version, alias, present, (), why)
            self._promotions.move(ledger, version, data | {"rollback": True})
        return PromotionResult("promoted", name, version.version, alias, present)

    @command("audit")
    def audit(self, name: str | None = None) -> Table:
        """Show the ledger: who promoted, was refused or approved what, when, and why.

        Args:
            name: Only this model's events.

        Returns:
            A row an event, in order.

        Raises:
            NotFoundError: Neither the ledger nor the registry knows the model.

        Example:
            mlops audit churn
        """
        rows = [event.row() for event in self._ledger.entries(name)]
        if name is not None and not rows:
            self._versions.resolve(name)
        keys = ("seq", "time", "kind", "actor", "model", "version", "alias", "request", "message", "reasons")
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
        """Count the requests that wait.

        Returns:
            Their number.

        Raises:
            IntegrityError: The ledger was tampered with, so nobody can tell.
        """
        return sum(request.state == "pending" for request in requests_in(self._ledger.events()))
