"""Gates: what passes, what refuses, and why."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.config import Config, Gate, Policy
from mlops_jupyter.registry.gates import evaluate

NAN = math.nan


@pytest.mark.parametrize(
    ("gate", "metrics", "holder", "passes"),
    [
        (Gate("auc", minimum=0.75), {"auc": 0.75}, None, True),
        (Gate("auc", minimum=0.75), {"auc": 0.7499}, None, False),
        (Gate("loss", maximum=0.1), {"loss": 0.1}, None, True),
        (Gate("loss", maximum=0.1), {"loss": 0.11}, None, False),
        (Gate("auc", minimum=0.5, maximum=0.9), {"auc": 0.95}, None, False),
        (Gate("auc", minimum=0.75), {}, None, False),
        (Gate("auc", minimum=0.75), {"auc": NAN}, None, False),
        (Gate("auc", beats="champion"), {"auc": 0.8}, None, True),
        (Gate("auc", beats="champion"), {}, None, False),
        (Gate("auc", beats="champion"), {"auc": 0.8}, {"auc": 0.8}, True),
        (Gate("auc", beats="champion"), {"auc": 0.79}, {"auc": 0.8}, False),
        (Gate("auc", beats="champion"), {"auc": 0.8}, {}, False),
        (Gate("auc", beats="champion"), {"auc": 0.8}, {"auc": NAN}, False),
        (Gate("auc", beats="champion"), {"auc": NAN}, {"auc": 0.8}, False),
        (Gate("auc", beats="champion", margin=0.01), {"auc": 0.94}, {"auc": 0.93}, True),
        (Gate("auc", beats="champion", margin=0.01), {"auc": 0.939}, {"auc": 0.93}, False),
        (Gate("loss", beats="champion", higher_is_better=False), {"loss": 0.1}, {"loss": 0.2}, True),
        (Gate("loss", beats="champion", higher_is_better=False), {"loss": 0.3}, {"loss": 0.2}, False),
        (Gate("auc", minimum=0.9, beats="champion"), {"auc": 0.8}, {"auc": 0.7}, False),
        (Gate("auc", beats="champion"), {"auc": math.inf}, {"auc": math.inf}, True),
    ],
)
def test_a_gate_passes_as_the_contract_says(
    gate: Gate, metrics: dict[str, float], holder: dict[str, float] | None, passes: bool
) -> None:
    """Thresholds include their bound; ``beats`` is at least as good; missing and NaN refuse on either side."""
    outcome = evaluate(gate, metrics, holder)
    assert outcome.passed is passes
    assert outcome.reason


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, NUMBERS, st.floats(0, 1e6))
def test_beating_by_more_is_never_easier(value: float, other: float, margin: float) -> None:
    """What passes with a margin passes without one."""
    strict = evaluate(Gate("m", beats="c", margin=margin), {"m": value}, {"m": other})
    plain = evaluate(Gate("m", beats="c"), {"m": value}, {"m": other})
    assert plain.passed or not strict.passed


@given(NUMBERS, NUMBERS)
def test_lower_is_better_mirrors_higher_is_better(value: float, other: float) -> None:
    """Turning both signs around turns the sense of the gate around."""
    up = evaluate(Gate("m", beats="c"), {"m": value}, {"m": other})
    down = evaluate(Gate("m", beats="c", higher_is_better=False), {"m": -value}, {"m": -other})
    assert up.passed == down.passed


def test_the_first_policy_that_matches_holds() -> None:
    """Order in the file decides; patterns are of names and aliases."""
    policies = (Policy("churn*", "champion"), Policy("*", "champion"), Policy("*", "*"))
    config = Config(Path(), "", policies=policies)
    assert config.policy_for("churn-eu", "champion") is policies[0]
    assert config.policy_for("fraud", "champion") is policies[1]
    assert config.policy_for("fraud", "challenger") is policies[2]
    assert Config(Path(), "", policies=policies[:2]).policy_for("fraud", "challenger") is None


def test_another_case_is_no_way_around_a_policy() -> None:
    """`Champion` is held to what is asked of `champion`; MLflow tells them apart, people don't."""
    policies = (Policy("*", "champion"),)
    assert Config(Path(), "", policies=policies).policy_for("fraud", "Champion") is policies[0]


@pytest.mark.parametrize(
    ("gate", "metrics", "holder", "told", "untold"),
    [
        (Gate("auc", minimum=0.75, beats="champion"), {"auc": 0.7}, {"auc": 0.6}, ["< min 0.75"], ["at least as good"]),
        (Gate("auc", minimum=0.75, beats="champion"), {"auc": 0.8}, {"auc": 0.9}, ["not as good as 0.9"], ["min 0.75"]),
        (Gate("auc", minimum=0.75, maximum=0.9), {"auc": 0.5}, None, ["< min 0.75"], ["max"]),
        (Gate("auc", minimum=0.75, beats="champion"), {"auc": 0.5}, {"auc": 0.6}, ["< min 0.75", "not as good"], []),
        (Gate("auc", minimum=0.5, beats="champion"), {"auc": 0.7}, {"auc": 0.6}, ["≥ min 0.5", "at least as"], []),
    ],
)
def test_the_reason_is_of_the_parts_that_refuse(
    gate: Gate, metrics: dict[str, float], holder: dict[str, float] | None, told: list[str], untold: list[str]
) -> None:
    """A refusal names every part of the gate that refuses and none that passed; a pass names all."""
    reason = evaluate(gate, metrics, holder).reason
    assert all(words in reason for words in told), reason
    assert not any(words in reason for words in untold), reason
