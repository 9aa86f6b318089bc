"""What the registry's operations answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlops_jupyter.display import Block, Grid, Heading, Note, Pairs, Shown
from mlops_jupyter.registry.gates import Outcome
from mlops_jupyter.registry.ledger import Verdict
from mlops_jupyter.tracking.records import short_references

_GATES = {"gate": "gate", "verdict": "", "reason": "because"}


def _gate_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [{"gate": o.gate, "verdict": "passed" if o.passed else "refused", "reason": o.reason} for o in outcomes]


@dataclass(frozen=True, repr=False)
class PromotionResult(Shown):
    """How a promotion went.

    Args:
        status: ``promoted``, ``pending`` (it waits for approvals) or ``refused``.
        model: The registered model.
        version: The candidate.
        alias: Where it was to go.
        previous: The version that held the alias before.
        gates: What each gate said.
        reasons: Why it was refused, or why it waits.
        request: The request that waits.
    """

    status: Literal["promoted", "pending", "refused"]
    model: str
    version: int
    alias: str
    previous: int | None = None
    gates: tuple[Outcome, ...] = ()
    reasons: tuple[str, ...] = ()
    request: str | None = None

    @property
    def ok(self) -> bool:  # type: ignore[override]
        """Whether the answer is not no."""
        return self.status != "refused"

    def to_json(self) -> Any:
        """Give all fields."""
        return {
            "status": self.status,
            "model": self.model,
            "version": self.version,
            "alias": self.alias,
            "previous": self.previous,
            "gates": [gate.to_json() for gate in self.gates],
            "reasons": list(self.reasons),
            "request": self.request,
        }

    def blocks(self) -> Sequence[Block]:
        """Give the verdict, then the gates."""
        name, to = f"{self.model}/{self.version}", f"{self.model}@{self.alias}"
        blocks: list[Block] = []
        if self.status == "promoted":
            before = f", before: version {self.previous}" if self.previous else ""
            moved = f"{name} is now {to}{before}" if self.previous != self.version else f"{name} is {to} already"
            blocks.append(Note(moved, "good"))
        elif self.status == "pending":
            blocks.append(Note(f"{name} waits to become {to}: request {self.request}", "info"))
        else:
            blocks.append(Note(f"{name} does not become {to}", "bad"))
        if self.status != "refused" or not self.gates:  # the table says why it was refused
            blocks += [Note(reason, "info") for reason in self.reasons]
        if self.gates:
            blocks.append(Grid(_GATES, _gate_rows(self.gates)))
        return blocks


@dataclass(frozen=True, repr=False)
class ModelDetails(Shown):
    """One version: where it comes from, what holds it, what the gates say, and its history."""

    facts: Mapping[str, Any]
    gates: tuple[tuple[str, Outcome], ...]
    history: tuple[Mapping[str, Any], ...]

    def to_json(self) -> Any:
        """Give the facts, the gates by alias, and the history."""
        gates = [{"alias": alias, **outcome.to_json()} for alias, outcome in self.gates]
        return {**self.facts, "gates": gates, "history": [dict(row) for row in self.history]}

    def blocks(self) -> Sequence[Block]:
        """Give the facts, the gates and the history."""
        facts = self.facts
        shown = {key: facts[key] for key in ("aliases", "run_id", "created", "source", "notebook")}
        blocks: list[Block] = [Heading(f"{facts['model']}/{facts['version']}")]
        blocks.append(Pairs({key: value for key, value in shown.items() if value}))
        shown = {"metrics": facts["metrics"], "params": short_references(facts["params"])}
        blocks += [Pairs(values, kind) for kind, values in shown.items() if values]
        if self.gates:
            rows = [{"alias": alias, **_gate_rows([outcome])[0]} for alias, outcome in self.gates]
            blocks.append(Grid({"alias": "alias"} | _GATES, rows, "gates, asked now"))
        columns = {"time": "time", "kind": "what", "actor": "who", "alias": "alias", "version": "version"}
        blocks.append(Grid(columns, self.history, "history", "nothing in the ledger yet"))
        return blocks


@dataclass(frozen=True, repr=False)
class ChainVerdict(Shown):
    """What a check of the ledger found."""

    verdict: Verdict

    @property
    def ok(self) -> bool:  # type: ignore[override]
        """Whether the chain holds."""
        return self.verdict.ok

    def to_json(self) -> Any:
        """Give the verdict's fields."""
        found = self.verdict
        return {
            "ok": found.ok,
            "events": found.events,
            "head": found.head,
            "broken_at": found.broken_at,
            "reason": found.reason,
        }

    def blocks(self) -> Sequence[Block]:
        """Give the verdict in words."""
        found = self.verdict
        if found.ok:
            return [
                Note(f"the chain of {found.events} events holds", "good"),
                Note(f"head {found.head}: keep it elsewhere, and give it to --head later"),
            ]
        return [Note(f"the chain is broken: {found.reason}", "bad")]
