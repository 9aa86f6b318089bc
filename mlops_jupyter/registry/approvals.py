"""How a promotion goes: gates, then approvals, then the decision, then MLflow's alias.

All of it happens while the ledger is held. What can fail without anything being decided comes first: the gates are
asked before an approval is written, so that a store that is away leaves a request as it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mlops_jupyter.actor import Actor
from mlops_jupyter.config import Approvals, Config, Policy
from mlops_jupyter.errors import ConflictError, DeniedError, MlopsError, NotFoundError, ValueRefused
from mlops_jupyter.registry.gates import Outcome, evaluate
from mlops_jupyter.registry.ledger import Event, Writing
from mlops_jupyter.registry.requests import Request, requests_in
from mlops_jupyter.registry.results import PromotionResult
from mlops_jupyter.tracking.records import Run, Version
from mlops_jupyter.tracking.runs import Runs
from mlops_jupyter.tracking.versions import Versions


class Promotions:
    """Decides promotions and carries them out.

    Args:
        config: The settings, with the policies.
        versions: MLflow's registry.
        runs: The room of runs.
        actor: Who asks or approves.
    """

    def __init__(self, config: Config, versions: Versions, runs: Runs, actor: Actor) -> None:
        self._config = config
        self._versions = versions
        self._runs = runs
        self._actor = actor

    def run_of(self, version: Version) -> Run | None:
        """Find the run that a version was made from.

        Args:
            version: The version.

        Returns:
            The run; None where it has none, or one that is deleted.
        """
        if version.run_id is None:
            return None
        try:
            return self._runs.get(version.run_id)
        except NotFoundError:
            return None

    def _metrics(self, version: Version) -> Mapping[str, float]:
        run = self.run_of(version)
        return run.metrics if run else {}

    def gates(self, policy: Policy, version: Version) -> tuple[Outcome, ...]:
        """Ask a policy's gates.

        Args:
            policy: The policy.
            version: The candidate.

        Returns:
            What each gate says now, in the policy's order.

        Raises:
            StoreError: MLflow does not answer.
        """
        if policy.gates:
            self._runs.require_all()
        metrics = self._metrics(version)
        aliases = self._versions.aliases(version.model)
        outcomes = []
        for gate in policy.gates:
            number = aliases.get(gate.beats) if gate.beats is not None else None
            other = number is not None and number != version.version
            holder = self._metrics(self._versions.get(version.model, number)) if other and number else None
            outcomes.append(evaluate(gate, metrics, holder))
        return tuple(outcomes)

    def _policy(self, model: str, alias: str) -> Policy:
        return self._config.policy_for(model, alias) or Policy()

    def ask_for(self, ledger: Writing, version: Version, alias: str, message: str) -> PromotionResult:
        """Promote a version, or note a request where the policy asks for approvals.

        Args:
            ledger: The ledger, held.
            version: The candidate.
            alias: Where it is to go.
            message: Why.

        Returns:
            Promoted, pending or refused, with what each gate said.

        Raises:
            IntegrityError: The ledger was tampered with.
            StoreError: MLflow does not answer.
        """
        policy = self._policy(version.model, alias)
        gates = self.gates(policy, version)
        previous = self._versions.aliases(version.model).get(alias)
        data = decision(version, alias, previous, gates, message)
        result = (version.model, version.version, alias, previous, gates)
        reasons = refusals(gates)
        if reasons:
            ledger.append("promotion.refused", version.model, data | {"reasons": list(reasons)})
            return PromotionResult("refused", *result, reasons)
        if policy.approvals.count and previous == version.version:
            return PromotionResult("promoted", *result)  # it is where it is to go: nobody need approve that
        if policy.approvals.count < 1:
            self.move(ledger, version, data)
            return PromotionResult("promoted", *result)
        request = self._waiting(ledger, version, alias)
        if request is None:
            request_id = uuid.uuid4().hex[:10]
            asked = ledger.append("promotion.requested", version.model, data | {"request": request_id})
            request = requests_in([asked])[0]
        missing = policy.approvals.count - len(set(request.approvals))
        if missing < 1:  # the last approval was written, and what was to follow it was not
            self.move(ledger, version, data | {"message": request.message, "request": request.id})
            return PromotionResult("promoted", *result, (), request.id)
        return PromotionResult("pending", *result, self._needed(policy.approvals, request, missing), request.id)

    def _needed(self, approvals: Approvals, request: Request, missing: int) -> tuple[str, ...]:
        who = f" by {' or '.join(approvals.roles)}" if approvals.roles else ""
        people = {name for role in approvals.roles for name in self._config.roles.get(role, ())}
        people -= {*request.approvals, *([request.actor] if approvals.not_author else [])}
        others = f"somebody other than {request.actor}" if approvals.not_author else "anybody"
        from_whom = (", ".join(sorted(people)) or "nobody") if approvals.roles else others
        count = f"{missing} approval{'s' if missing != 1 else ''}{who}"
        needed = f"{count} needed, from {from_whom}: mlops approve {request.id}"
        if approvals.roles and len(people) < missing:
            have = f"only {', '.join(sorted(people))}" if people else "nobody"
            return needed, f"{have} can give {'it' if missing == 1 else 'them'}: [roles] in mlops.toml lists who may"
        return (needed,)

    def known(self, ledger: Writing, version: Version, alias: str, message: str) -> PromotionResult | None:
        """Tell what became of a promotion that was asked for before with the same message; None where none was.

        One that a gate refused is asked for again: the policy may have changed.

        Args:
            ledger: The ledger, held.
            version: The candidate.
            alias: Where it is to go.
            message: Why.

        Returns:
            The answer that was given then, without its gates.
        """
        status: dict[str, Literal["promoted", "pending"]] = {
            "promotion.decided": "promoted",
            "promotion.requested": "pending",
        }
        for event in ledger.events(version.model):
            data = event.data
            same = (data.get("version"), data.get("alias"), data.get("message")) == (version.version, alias, message)
            if same and event.kind in status:
                answer = (version.model, version.version, alias, data.get("previous"))
                return PromotionResult(status[event.kind], *answer, request=data.get("request"))
        return None

    def _waiting(self, ledger: Writing, version: Version, alias: str) -> Request | None:
        for known in requests_in(ledger.events(version.model)):
            if known.state == "pending" and known.version == version.version and known.alias == alias:
                return known
        return None

    def approve(self, ledger: Writing, request_id: str, message: str) -> PromotionResult:
        """Say yes to a request; the last yes that it needs carries it out.

        Whoever approved already may say so again where nothing is missing: then a crash, or a store that was away,
        came between their approval and what was to follow.

        Args:
            ledger: The ledger, held.
            request_id: The request.
            message: Why.

        Returns:
            Promoted, still pending, or refused where a gate no longer holds.

        Raises:
            NotFoundError: There is no such request, or its version is deleted.
            DeniedError: The policy does not let this person approve.
            ConflictError: The request waits no longer, or this person has approved it and others must.
            StoreError: MLflow does not answer; nothing was written then.
        """
        request = pending(ledger, request_id)
        policy = self._policy(request.model, request.alias)
        self._may_approve(request, policy.approvals)
        given = {*request.approvals, self._actor.name}
        missing = policy.approvals.count - len(given)
        if self._actor.name in request.approvals and missing > 0:
            raise ConflictError(f"{self._actor.name} has approved it already", "it waits for somebody else")
        version = self._versions.get(request.model, request.version)
        gates = self.gates(policy, version)
        previous = self._versions.aliases(version.model).get(request.alias)
        if self._actor.name not in request.approvals:
            ledger.append("promotion.approved", request.model, request.facts() | {"message": message})
        result = (version.model, version.version, request.alias, previous, gates)
        if missing > 0:
            return PromotionResult("pending", *result, (f"{missing} more needed",), request.id)
        data = decision(version, request.alias, previous, gates, request.message) | {"request": request.id}
        reasons = refusals(gates)
        if reasons:
            ledger.append("promotion.refused", version.model, data | {"reasons": list(reasons)})
            return PromotionResult("refused", *result, reasons, request.id)
        self.move(ledger, version, data)
        return PromotionResult("promoted", *result, (), request.id)

    def _may_approve(self, request: Request, approvals: Approvals) -> None:
        me = self._actor.name
        if approvals.not_author and me == request.actor:
            raise DeniedError(
                f"{me} has asked for this promotion",
                "somebody else must approve it, unless its policy in mlops.toml says not_author = false",
            )
        roles = self._config.roles
        if approvals.roles and not any(me in roles.get(role, ()) for role in approvals.roles):
            raise DeniedError(
                f"{me} has none of the roles {', '.join(approvals.roles)}", "[roles] in mlops.toml lists who has"
            )

    def reject(self, ledger: Writing, request_id: str, message: str) -> Request:
        """Say no to a request.

        Args:
            ledger: The ledger, held.
            request_id: The request.
            message: Why.

        Returns:
            The request as it was.

        Raises:
            NotFoundError: There is no such request.
            ConflictError: The request waits no longer.
        """
        request = pending(ledger, request_id)
        ledger.append("promotion.rejected", request.model, request.facts() | {"message": message})
        return request

    def move(self, ledger: Writing, version: Version, data: Mapping[str, Any]) -> None:
        """Write a decision down, then carry it out.

        Args:
            ledger: The ledger, held.
            version: The version that gets the alias.
            data: The decision.

        Raises:
            MlopsError: MLflow did not set the alias; the decision is abandoned then, and its request waits again.
        """
        decided = ledger.append("promotion.decided", version.model, data)
        try:
            self._carry_out(ledger, decided)
        except MlopsError as error:
            _abandon(ledger, decided, error)
            raise

    def settle(self, ledger: Writing) -> None:
        """Carry out what was decided when a crash came before MLflow's alias was set.

        What can't be carried out any more, because the version is gone, is abandoned: nothing else waits for it.

        Args:
            ledger: The ledger, held.

        Raises:
            IntegrityError: The ledger was tampered with.
            StoreError: MLflow does not answer.
        """
        ledger.check()
        events = ledger.events()
        done = {event.data["of"] for event in events if event.kind in ("promotion.applied", "promotion.abandoned")}
        for event in events:
            if event.kind == "promotion.decided" and event.seq not in done:
                try:
                    self._carry_out(ledger, event)
                except (NotFoundError, ValueRefused) as error:
                    _abandon(ledger, event, error)

    def _carry_out(self, ledger: Writing, decided: Event) -> None:
        moved = {"version": decided.data["version"], "alias": decided.data["alias"]}
        self._versions.set_alias(decided.model, moved["alias"], moved["version"])
        ledger.append("promotion.applied", decided.model, {"of": decided.seq, **moved})


def _abandon(ledger: Writing, decided: Event, error: MlopsError) -> None:
    data = {key: decided.data[key] for key in ("version", "alias", "request") if key in decided.data}
    ledger.append("promotion.abandoned", decided.model, {"of": decided.seq, "why": error.message, **data})


def refusals(gates: Sequence[Outcome]) -> tuple[str, ...]:
    """Tell which gates refuse.

    Args:
        gates: What the gates said.

    Returns:
        A line a gate that refuses.
    """
    return tuple(f"{gate.gate}: {gate.reason}" for gate in gates if not gate.passed)


def decision(
    version: Version, alias: str, previous: int | None, gates: Sequence[Outcome], message: str
) -> dict[str, Any]:
    """Give what the ledger keeps of a decision.

    Args:
        version: The candidate.
        alias: Where it goes.
        previous: The version that holds the alias.
        gates: What the gates said.
        message: Why.

    Returns:
        The event's data.
    """
    return {
        "version": version.version,
        "alias": alias,
        "previous": previous,
        "run_id": version.run_id,
        "message": message,
        "gates": [gate.to_json() for gate in gates],
    }


def pending(ledger: Writing, request_id: str) -> Request:
    """Find a request that waits.

    Args:
        ledger: The ledger, held.
        request_id: The request.

    Returns:
        The request.

    Raises:
        NotFoundError: There is no such request.
        ConflictError: It waits no longer.
    """
    found = [request for request in requests_in(ledger.events()) if request.id == request_id]
    if not found:
        raise NotFoundError(f"there is no request {request_id!r}", "`requests` lists them")
    if found[0].state != "pending":
        raise ConflictError(f"request {request_id} is {found[0].state}", "`requests` lists those that wait")
    return found[0]


def holder_before(events: Sequence[Event], alias: str, present: int) -> int | None:
    """Tell which version held an alias before its present holder.

    Args:
        events: The ledger's, of one model.
        alias: The alias.
        present: The version that holds it, as MLflow has it: somebody may have moved it behind the ledger's back.

    Returns:
        The version; None where there was none.
    """
    held = _holders(events, alias)
    if present not in held:
        return held[-1] if held else None
    last = len(held) - 1 - held[::-1].index(present)
    return held[last - 1] if last else None


def _holders(events: Sequence[Event], alias: str) -> list[int]:
    """Give the versions that held an alias in turn; a rollback takes away those after the one that it goes back to."""
    rollbacks = {event.seq for event in events if event.kind == "promotion.decided" and event.data.get("rollback")}
    held: list[int] = []
    for event in events:
        if event.kind != "promotion.applied" or event.data["alias"] != alias:
            continue
        version = event.data["version"]
        if event.data["of"] in rollbacks:
            while held and held[-1] != version:
                held.pop()
        if not held or held[-1] != version:
            held.append(version)
    return held
