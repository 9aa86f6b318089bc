"""References ``${…}`` and conditions, without ever evaluating text as Python.

A string that is one reference and nothing else keeps the type of what it refers to; inside other text a scalar is
written out as JSON would write it. ``$${`` stands for the two characters ``${``. A condition is a comparison of
references and literals, with ``and``, ``or``, ``not`` and ``in``: its syntax tree is walked, node by node, and any
other kind of node is refused.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}$]*)\}|\$\{")
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_KINDS = {
    "params": re.compile(rf"params\.({_NAME})"),
    "matrix": re.compile(rf"matrix\.({_NAME})"),
    "steps": re.compile(rf"steps\.({_NAME})\.outputs\.({_NAME})"),
}


class BadExpression(ValueError):
    """A reference or condition that has no meaning.

    Args:
        message: What is wrong.
        hint: What to do.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Reference:
    """What ``${…}`` refers to.

    Args:
        kind: ``params``, ``steps`` or ``matrix``.
        name: The parameter, the output, or the key of the matrix.
        step: The step, for an output.
    """

    kind: Literal["params", "steps", "matrix"]
    name: str
    step: str = ""

    def __str__(self) -> str:
        """Give it as it is written in the file."""
        middle = f"{self.step}.outputs." if self.step else ""
        return f"${{{self.kind}.{middle}{self.name}}}"


Lookup = Callable[[Reference], Any]


def parse_reference(text: str) -> Reference:
    """Read what stands between ``${`` and ``}``.

    Args:
        text: The inside.

    Returns:
        The reference.

    Raises:
        BadExpression: It is none.
    """
    for kind, shape in _KINDS.items():
        match = shape.fullmatch(text.strip())
        if match and kind == "steps":
            return Reference("steps", match[2], match[1])
        if match:
            return Reference(kind, match[1])  # type: ignore[arg-type]
    raise BadExpression(
        f"${{{text}}} is no reference",
        "write ${params.NAME}, ${matrix.NAME} or ${steps.STEP.outputs.NAME}; $${ for the text ${",
    )


def references(value: Any) -> Iterator[Reference]:
    """Give every reference inside a value, in order.

    Args:
        value: JSON values.

    Yields:
        The references of all strings in it.

    Raises:
        BadExpression: A ``${`` begins no reference.
    """
    if isinstance(value, str):
        for match in _TOKEN.finditer(value):
            if match[0] != "$${":
                yield parse_reference(_inside(match, value))
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)


def whole_reference(text: Any) -> Reference | None:
    """Give the reference that a string consists of, or None when it is anything else."""
    match = _TOKEN.fullmatch(text) if isinstance(text, str) else None
    return parse_reference(match[1]) if match and match[1] is not None else None


def resolve(value: Any, look_up: Lookup) -> Any:
    """Fill in the references of a value.

    Args:
        value: JSON values.
        look_up: Gives what a reference refers to.

    Returns:
        The value; a string that is one reference takes the type of what it refers to.

    Raises:
        BadExpression: A list or mapping is referred to from inside other text.
    """
    if isinstance(value, str):
        whole = whole_reference(value)
        return look_up(whole) if whole else _filled(value, look_up)
    if isinstance(value, list):
        return [resolve(item, look_up) for item in value]
    if isinstance(value, Mapping):
        return {key: resolve(item, look_up) for key, item in value.items()}
    return value


def _inside(match: re.Match[str], text: str) -> str:
    if match[1] is None:
        raise BadExpression(
            f"{text!r} has a ${{ that is not closed",
            "close it with }, or write $${ for the text ${",
        )
    return match[1]


def _filled(text: str, look_up: Lookup) -> str:
    def one(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        reference = parse_reference(_inside(match, text))
        value = look_up(reference)
        if isinstance(value, list | dict):
            raise BadExpression(
                f"{reference} is a {type(value).__name__} and can't stand inside other text",
                f'give it alone: "{reference}"',
            )
        return value if isinstance(value, str) else json.dumps(value)

    return _TOKEN.sub(one, text)


@dataclass(frozen=True)
class Condition:
    """A ``when:`` that was read and checked.

    Args:
        text: As it is written.
        tree: Its syntax tree, of nodes that are known to be harmless.
        references: Placeholder → what it stands for.
    """

    text: str
    tree: ast.expr
    references: Mapping[str, Reference]

    def holds(self, look_up: Lookup) -> bool:
        """Tell whether it holds.

        Args:
            look_up: Gives what a reference refers to.

        Returns:
            The truth of it.

        Raises:
            BadExpression: Two values can't be compared.
        """
        try:
            return bool(self._value(self.tree, look_up))
        except TypeError as error:
            raise BadExpression(
                f"condition {self.text!r} can't be evaluated: {error}", "compare values of one type"
            ) from error

    def _value(self, node: ast.expr, look_up: Lookup) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                named = self.references.get(node.id)
                return look_up(named) if named else _WORDS[node.id]
            case ast.List() | ast.Tuple():
                return [self._value(item, look_up) for item in node.elts]
            case ast.UnaryOp(op=ast.Not()):
                return not self._value(node.operand, look_up)
            case ast.UnaryOp():
                return -self._value(node.operand, look_up)
            case ast.BoolOp(op=ast.And()):
                return all(self._value(item, look_up) for item in node.values)
            case ast.BoolOp():
                return any(self._value(item, look_up) for item in node.values)
            case ast.Compare():
                return self._compare(node, look_up)
        raise BadExpression(f"condition {self.text!r} is too clever", _GRAMMAR)

    def _compare(self, node: ast.Compare, look_up: Lookup) -> bool:
        left = self._value(node.left, look_up)
        for sign, operand in zip(node.ops, node.comparators, strict=True):
            right = self._value(operand, look_up)
            if not _COMPARE[type(sign)](left, right):
                return False
            left = right
        return True


_GRAMMAR = "use ==, !=, <, <=, >, >=, in, and, or, not over references, numbers and 'text'"
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Args:
        text: ``${params.mode} == 'full' and ${matrix.depth} > 3``, say.

    Returns:
        The condition, ready to be evaluated.

    Raises:
        BadExpression: It is none, or uses more than comparisons of references and literals.
    """
    found: dict[str, Reference] = {}

    def stand_in(match: re.Match[str]) -> str:
        name = f"_r{len(found)}"
        found[name] = parse_reference(_inside(match, text))
        return f" {name} "

    source = _TOKEN.sub(stand_in, text).strip()
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadExpression(f"condition {text!r} can't be read", _GRAMMAR) from None
    for node in ast.walk(tree):
        _permit(node, found, text)
    return Condition(text, tree, found)


def _permit(node: ast.AST, found: Mapping[str, Reference], text: str) -> None:
    plain = ast.BoolOp | ast.Compare | ast.List | ast.Tuple | ast.boolop | ast.cmpop | ast.expr_context
    good = (
        isinstance(node, plain | ast.Not | ast.USub)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub))
        or (isinstance(node, ast.Name) and (node.id in found or node.id in _WORDS))
        or (isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None))
    )
    if not good:
        what = f" ({node.id!r} is no reference)" if isinstance(node, ast.Name) else ""
        raise BadExpression(f"condition {text!r} is no comparison of values{what}", _GRAMMAR)
