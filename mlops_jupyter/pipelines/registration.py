"""Registering and promoting what a step's ``register:`` asks for: once, also when a crash comes in between.

The step's record is written first, marked as not yet registered; then the version is made and promoted, and the mark is
taken off. Whoever finds the mark goes on from there without running the notebook again: the same logged model that is
registered twice is one version, and a promotion that the ledger knows already is not asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mlops_jupyter.errors import MlopsError, translate
from mlops_jupyter.pipelines.definition import Registration


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

    def promote_once(self, model: str, *, to: str, message: str) -> Promotion:
        """Apply the policy and move the alias, unless the same was asked before with the same message."""


@dataclass(frozen=True)
class Registered:
    """What became of a registration.

    Args:
        state: ``done``; ``refused``, when the same model may be asked for again; ``unfit``, when only another may.
        said: It in words.
    """

    state: Literal["done", "refused", "unfit"]
    said: str


def register(
    registry: Registry | None,
    registration: Registration,
    outputs: Mapping[str, Mapping[str, Any]],
    run_id: str | None,
    message: str,
) -> Registered:
    """Make a version of a step's output, and promote it where that is asked for.

    Args:
        registry: The registry; None where models can't be registered.
        registration: What is asked for.
        outputs: Name → entry of what the step published.
        run_id: The step's run, which is the version's.
        message: Why, for the ledger; the same each time that this execution of the step is registered.

    Returns:
        What became of it.
    """
    model = outputs[registration.output].get("model") or {}
    if registry is None or run_id is None or not model.get("id"):
        why = model.get("error") or "it is no model that MLflow knows"
        return Registered("unfit", f"output {registration.output!r} can't be registered: {why}")
    try:
        version = registry.register_model(registration.name, model_id=model["id"], run_id=run_id)
        name = f"{registration.name}/{version}"
        if registration.promote is None:
            return Registered("done", f"registered {name}")
        promotion = registry.promote_once(name, to=registration.promote, message=message)
    except Exception as error:
        told = error if isinstance(error, MlopsError) else translate(error)
        return Registered("refused", f"not registered: {told.message}")
    if promotion.status == "refused":
        reasons = "; ".join(map(str, promotion.reasons))
        return Registered("refused", f"promotion of {name} to {registration.promote} refused: {reasons}")
    verb = {"pending": "waits for approval to become"}.get(promotion.status, "promoted to")
    return Registered("done", f"{name} {verb} {registration.promote}")
