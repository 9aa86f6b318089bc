"""``NAME=EXPR`` as people type it: Python, evaluated among their variables."""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Mapping
from typing import Any

from mlops_jupyter.errors import NotFoundError, UsageError, ValueRefused

# `resnet-50`, `v1.2`, `adamw`; and a few words, whose quotes the splitting of the line has taken off.
_WORD = re.compile(r"[^\W\d][\w./:-]*")
_WORDS = re.compile(r"[^\W\d][\w'’.,:;!?%()/-]*( [\w'’.,:;!?%()/-]+)+")


def split(text: str) -> tuple[str, str]:
    """Split ``NAME=EXPR``.

    Raises:
        UsageError: It is not of that form.
    """
    name, equals, expression = text.partition("=")
    if not equals or not name.strip() or not expression.strip():
        raise UsageError(f"{text!r} is not NAME=EXPR", 'write lr=0.1, or quote it: "acc=score(y, p)"')
    return name.strip(), expression.strip()


def split_line(line: str) -> list[str]:
    """Split a line of ``NAME=EXPR`` and options into words, as a shell does, but for what is Python.

    White space inside brackets does not split, and quotes inside an expression stay: ``acc=score(y, p["x"])`` is one
    word. Quotes around a whole word, or around an expression, are the shell's and are taken off; around what is one
    name, or no Python at all, they are Python's and make it a text.

    Args:
        line: What was typed.

    Returns:
        The words.

    Raises:
        UsageError: A quote or bracket is not closed.
    """
    words: list[str] = []
    verb = line.split()[:2]
    # A metric has no use for text, and a tag of a run is no expression: there, quotes are always the shell's.
    texts = verb[:1] == ["log"] and verb != ["log", "metric"]
    word, depth, quote = "", 0, ""
    for character in line + " ":
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character.isspace() and depth <= 0:
            if word:
                words.append(_unquoted(word, texts or words[-1:] in (["-p"], ["--param"])))
            word = ""
            continue
        word += character
    if quote or depth > 0:
        what = f"the quote {quote}" if quote else "a bracket"
        raise UsageError(f"{what} is not closed in: {line.strip()[:80]}", "close it, or quote the whole pair")
    return words


def _unquoted(word: str, texts: bool) -> str:
    name, equals, value = word.partition("=")
    if equals and name and name[0] not in "\"'" and _is_quoted(value):
        kept = texts and not name.startswith("-") and _is_text_only(value[1:-1])
        return word if kept else f"{name}={value[1:-1]}"
    return word[1:-1] if _is_quoted(word) else word


def _is_text_only(inside: str) -> bool:
    """Tell whether quotes were put around a text, and not around an expression because it has spaces."""
    try:
        tree = ast.parse(inside.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return True
    return isinstance(tree.body, ast.Name)


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] in "\"'" and text.find(text[0], 1) == len(text) - 1


def evaluate(name: str, expression: str, namespace: Mapping[str, Any], *, words: bool) -> Any:
    """Evaluate an expression among variables.

    Args:
        name: What it is for, for the message.
        expression: Python.
        namespace: The variables.
        words: Whether a bare word that names nothing is a string.

    Returns:
        The value.

    Raises:
        UsageError: It is no Python.
        ValueRefused: Evaluating it raises.
    """
    if words and _is_text(expression, namespace):
        return expression
    try:
        code = compile(expression, f"<{name}>", "eval")
    except (SyntaxError, ValueError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        text = "text needs its own quotes" if words else "a metric is a number; log text as a tag or a param"
        raise UsageError(
            f"{name}={expression} is no Python expression: {said}",
            f'quote it when it has spaces: "{name}=a + b"; {text}',
        ) from None
    try:
        return eval(code, dict(namespace))
    except NameError as error:
        raise NotFoundError(f"{name}={expression}: {error}", _near(error.name or "", namespace)) from None
    except Exception as error:
        raise ValueRefused(
            f"{name}={expression} raised {type(error).__name__}: {error}", "evaluate it in a cell to see where"
        ) from error


def _is_text(expression: str, namespace: Mapping[str, Any]) -> bool:
    if _WORDS.fullmatch(expression):
        try:
            compile(expression, "<words>", "eval")
        except SyntaxError:
            return True
        return False
    if not _WORD.fullmatch(expression) or expression in ("True", "False", "None"):
        return False
    first = re.split(r"\W", expression, maxsplit=1)[0]
    return first not in namespace and not hasattr(builtins, first)


def variable(name: str, namespace: Mapping[str, Any]) -> Any:
    """Give a variable by its name.

    Raises:
        NotFoundError: There is none; the hint names the nearest.
    """
    if name not in namespace:
        raise NotFoundError(f"there is no variable {name!r}", _near(name, namespace))
    return namespace[name]


def _near(name: str, namespace: Mapping[str, Any]) -> str:
    known = [known for known in namespace if not known.startswith("_")]
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else "define it first"
