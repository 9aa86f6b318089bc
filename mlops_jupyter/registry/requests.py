"""Promotion requests: built from the ledger's events, kept nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_jupyter.registry.ledger import Event


@dataclass
class Request:
    """A promotion that waits for approvals, or waited.

    Args:
        id: Its name.
        model: The registered model.
        version: The candidate.
        alias: Where it is to go.
        actor: Who asked.
        time: When.
        message: Why.
        state: ``pending``, ``promoted``, ``refused`` or ``rejected``.
        approvals: Who has approved.
    """

    id: str
    model: str
    version: int
    alias: str
    actor: str
    time: str
    message: str
    state: str = "pending"
    approvals: list[str] = field(default_factory=list)

    @property
    def version_key(self) -> tuple[str, int]:
        """The version that it is about."""
        return self.model, self.version

    def facts(self) -> dict[str, Any]:
        """Give what an event about it says of it: which request, for which version and alias."""
        return {"request": self.id, "version": self.version, "alias": self.alias}

    def row(self) -> dict[str, Any]:
        """Give what a list of requests shows.

        Returns:
            All fields.
        """
        return {
            "request": self.id,
            "state": self.state,
            "model": self.model,
            "version": self.version,
            "alias": self.alias,
            "actor": self.actor,
            "time": self.time,
            "message": self.message,
            "approvals": list(self.approvals),
        }


_STATES = {
    "promotion.decided": "promoted",
    "promotion.refused": "refused",
    "promotion.rejected": "rejected",
    # What was decided could not be carried out, so it waits as it did before, with the approvals that it has.
    "promotion.abandoned": "pending",
}


def requests_in(events: Sequence[Event]) -> list[Request]:
    """Build the requests from events, oldest first.

    Args:
        events: The ledger's, in order.

    Returns:
        Every request that was ever made.
    """
    found: dict[str, Request] = {}
    for event in events:
        name = event.data.get("request")
        if name is None:
            continue
        if event.kind == "promotion.requested":
            data = event.data
            found[name] = Request(
                name, event.model, data["version"], data["alias"], event.actor, event.time, data["message"]
            )
        elif name in found and event.kind == "promotion.approved":
            found[name].approvals.append(event.actor)
        elif name in found and event.kind in _STATES:
            found[name].state = _STATES[event.kind]
    return list(found.values())
