"""References are filled in with their type kept; conditions are evaluated without being executed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.pipelines.expressions import (
    BadExpression,
    Reference,
    parse_condition,
    parse_reference,
    references,
    resolve,
)

VALUES = {"seed": 7, "name": "x", "many": [1, 2], "on": True, "none": None, "rate": 0.1}


def look_up(reference: Reference):
    """Give what a reference refers to in these tests."""
    return VALUES[reference.name]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${params.seed}", 7),
        ("${ params.many }", [1, 2]),
        ("${params.none}", None),
        ("run-${params.seed}-${params.name}", "run-7-x"),
        ("${params.on}/${params.none}/${params.rate}", "true/null/0.1"),
        ("$${params.seed}", "${params.seed}"),
        ("costs $5", "costs $5"),
        ({"a": ["${params.seed}"]}, {"a": [7]}),
    ],
)
def test_references_are_filled_in(text, value):
    """A whole reference keeps its type; inside text a scalar is written as JSON writes it."""
    found = resolve(text, look_up)
    assert found == value
    assert json.dumps(found) == json.dumps(value)


@pytest.mark.parametrize(
    "text", ["${}", "${a}", "${params}", "${params.}", "${steps.a.b}", "${params.a.b}", "x ${params.a"]
)
def test_what_is_no_reference_is_refused(text):
    """A typo is never left standing as text."""
    with pytest.raises(BadExpression):
        list(references(text))


def test_a_list_inside_text_is_refused():
    """A list has no text form that a notebook could expect."""
    with pytest.raises(BadExpression, match="can't stand inside"):
        resolve("a-${params.many}", look_up)


@given(st.sampled_from(["params", "matrix"]), st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True))
def test_a_reference_reads_what_it_writes(kind, name):
    """Writing a reference and reading it again gives the same one."""
    for reference in (Reference(kind, name), Reference("steps", name, name)):
        assert parse_reference(str(reference)[2:-1]) == reference


@given(st.text(max_size=30))
def test_text_without_references_stays_as_it_is(text):
    """Filling in touches nothing but references."""
    if "${" not in text:
        assert resolve(text, look_up) == text


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("${params.seed} == 7", True),
        ("${params.seed} != 7", False),
        ("1 < ${params.seed} <= 7", True),
        ("${params.name} in ['x', 'y'] and not ${params.on} == false", True),
        ("${params.name} not in ('x',) or ${params.seed} >= 8", False),
        ("${params.none} == null", True),
        ("${params.on}", True),
        ("-1 < ${params.rate}", True),
        ("true", True),
        ("false", False),
    ],
)
def test_conditions(text, truth):
    """Comparisons, and, or, not, in, over literals and references."""
    assert parse_condition(text).holds(look_up) is truth


@pytest.mark.parametrize(
    "text",
    [
        "open('/etc/passwd')",
        "__import__('os')",
        "${params.seed}.__class__",
        "[x for x in (1,)]",
        "lambda: 1",
        "${params.seed} + 1 == 8",
        "seed == 7",
        "f'{1}'",
        "(1",
        "9**9**9 == 1",
        "{'a': 1}",
        "(a := 1)",
        "b'x' == 1",
        "",
    ],
)
def test_a_condition_is_nothing_but_a_comparison(text):
    """Calls, attributes, arithmetic and names are refused when the file is read."""
    with pytest.raises(BadExpression):
        parse_condition(text)


def test_values_that_can_not_be_compared_are_told():
    """Text against a number is a mistake, not false."""
    with pytest.raises(BadExpression, match="can't be evaluated"):
        parse_condition("${params.name} < 3").holds(look_up)
