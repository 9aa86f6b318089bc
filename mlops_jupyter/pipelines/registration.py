"""Registering and promoting what a step's ``register:`` asks for: once, also when a crash comes in between.

The step's record is written first, marked as not yet registered; then the version is made and promoted, and the mark is
taken off. Whoever finds the mark finishes the work without running the notebook again: registering a logged model twice
gives the same version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mlops_jupyter.errors import MlopsError, translate
from mlops_jupyter.pipelines.definition import Registration

#: The mark in a step's record: False until its model is registered and promoted; not there where nothing is to be.
REGISTERED = "registered"


class Promotion(Protocol):
    """What became of a promotion."""

    @property
    def status(self) -> str:
        """``promoted``, ``pending`` or ``refused``."""

    @property
    def reasons(self) -> Any:
        """Why it was refused, or what it waits for: texts."""


class Registry(Protocol):
    """What a pipeline asks of the registry."""

    def register_model(self, name: str, *, model_id: str, run_id: str) -> int:
        """Make a version from a logged model, once."""

    def promote(self, model: str, *, to: str, message: str = "") -> Promotion:
        """Apply the policy and move the alias."""


def register(
    registry: Registry | None,
    registration: Registration,
    outputs: Mapping[str, Mapping[str, Any]],
    run_id: str | None,
    message: str,
) -> tuple[str, bool]:
    """Make a version of a step's output, and promote it where that is asked for.

    Args:
        registry: The registry; None where models can't be registered.
        registration: What is asked for.
        outputs: Name → entry of what the step published.
        run_id: The step's run, which is the version's.
        message: Why, for the ledger.

    Returns:
        What became of it in words, and whether the step may count as done.
    """
    model = outputs[registration.output].get("model") or {}
    if registry is None or run_id is None or not model.get("id"):
        why = model.get("error") or "it is no model that MLflow knows"
        return f"output {registration.output!r} can't be registered: {why}", False
    try:
        version = registry.register_model(registration.name, model_id=model["id"], run_id=run_id)
        name = f"{registration.name}/{version}"
        if registration.promote is None:
            return f"registered {name}", True
        promotion = registry.promote(name, to=registration.promote, message=message)
    except Exception as error:
        told = error if isinstance(error, MlopsError) else translate(error)
        return f"not registered: {told.message}", False
    if promotion.status == "refused":
        reasons = "; ".join(map(str, promotion.reasons))
        return f"promotion of {name} to {registration.promote} refused: {reasons}", False
    verb = {"pending": "waits for approval to become"}.get(promotion.status, "promoted to")
    return f"{name} {verb} {registration.promote}", True
