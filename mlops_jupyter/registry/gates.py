"""Gates: does a version's run hold what the policy asks for?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mlops_jupyter.config import Gate


@dataclass(frozen=True)
class Outcome:
    """What one gate said.

    Args:
        gate: The gate, as people say it.
        passed: Whether it holds.
        reason: Why, with the numbers.
    """

    gate: str
    passed: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Give the three fields."""
        return {"gate": self.gate, "passed": self.passed, "reason": self.reason}


def evaluate(gate: Gate, metrics: Mapping[str, float], holder: Mapping[str, float] | None) -> Outcome:
    """Ask one gate.

    Args:
        gate: The condition.
        metrics: The metrics of the candidate's run.
        holder: The metrics of the run of the alias' present holder; None when nothing holds it, or the candidate does.

    Returns:
        Whether it passes, and why. A metric that is missing or NaN, on either side, does not.
    """
    value = metrics.get(gate.metric)
    problem = _problem(gate.metric, metrics, "the candidate")
    if problem or value is None:
        return Outcome(str(gate), False, problem)
    parts: list[tuple[bool, str]] = []
    if gate.minimum is not None:
        enough = value >= gate.minimum
        parts.append((enough, f"{gate.metric} {value:g} {'≥' if enough else '<'} min {gate.minimum:g}"))
    if gate.maximum is not None:
        enough = value <= gate.maximum
        parts.append((enough, f"{gate.metric} {value:g} {'≤' if enough else '>'} max {gate.maximum:g}"))
    if gate.beats is not None:
        parts.append(_beats(gate, value, holder))
    passed = all(held for held, _ in parts)
    # A refusal is told by what refuses: a bound that holds is no reason for it.
    return Outcome(str(gate), passed, "; ".join(why for held, why in parts if held is passed))


def _problem(metric: str, metrics: Mapping[str, float], whose: str) -> str:
    value = metrics.get(metric)
    if value is None:
        has = ", ".join(sorted(metrics)[:8]) or "none"
        return f"{whose}'s run has no metric {metric!r}; it has: {has}"
    return f"{metric!r} of {whose} is NaN" if math.isnan(value) else ""


def _beats(gate: Gate, value: float, holder: Mapping[str, float] | None) -> tuple[bool, str]:
    if holder is None:
        return True, f"no other version holds {gate.beats}"
    other = holder.get(gate.metric)
    problem = _problem(gate.metric, holder, f"the present {gate.beats}")
    if problem or other is None:
        return False, problem
    better, worse = (value, other) if gate.higher_is_better else (other, value)
    enough = _ahead(better, worse, gate.margin)
    asked = f", {gate.margin:g} ahead of it was asked" if gate.margin else ""
    words = "at least as good as" if enough else "not as good as"
    if gate.margin:
        words = "far enough ahead of" if enough else "not far enough ahead of"
    return enough, f"{gate.metric} {value:g} is {words} {other:g} of the present {gate.beats}{asked}"


def _ahead(better: float, worse: float, margin: float) -> bool:
    if math.isinf(better) or math.isinf(worse):
        return better >= worse
    # As people read the numbers: in binary, 0.94 is not 0.01 ahead of 0.93.
    return Decimal(repr(better)) - Decimal(repr(worse)) >= Decimal(repr(margin))
