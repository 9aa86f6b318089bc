"""Which values may be a parameter, and whether a value fits where it is given.

Parameters are written into notebooks as source and into records as JSON. Only what comes out of both as it went in is
taken: text, numbers, true and false, null, and lists and mappings of these. Nothing is converted silently.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mlops_jupyter.errors import UsageError
from mlops_jupyter.pipelines.notebooks import Parameter

_HALF = re.compile("[\ud800-\udfff]")
_ANNOTATED = re.compile(r"(int|float|str|bool|list|dict|List|Dict)(\[.*\])?(\s*\|\s*None)?")
_OPTIONAL = re.compile(r"(?:typing\.)?Optional\[(.*)\]")


def lossy(value: Any) -> str:
    """Tell what would become of a value that can't travel as it is.

    Args:
        value: Anything.

    Returns:
        Why it is refused, in words; empty when it travels well.
    """
    kind = type(value)
    if value is None or kind in (bool, int):
        return ""
    if kind is str:
        return "half of a surrogate pair is no text" if _HALF.search(value) else ""
    if kind is float:
        return "" if math.isfinite(value) else f"{value} is no finite number"
    if kind is list:
        return next(filter(None, map(lossy, value)), "")
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return f"key {key!r} would become text"
        return next(filter(None, map(lossy, value.values())), "")
    return f"a {kind.__name__} would become {_BECOMES.get(kind.__name__, 'text')}"


_BECOMES = {"tuple": "a list", "set": "a list", "ndarray": "text", "float64": "text"}


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Give a hint for a name that is unknown: the nearest one, or all that there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return otherwise or (f"known are: {', '.join(names)}" if names else "there are none")


def same_type(value: Any, default: Any) -> bool:
    """Tell whether a value may stand where a default stood: the same type, or an int for a float."""
    if default is None or type(value) is type(default):
        return True
    return type(default) is float and type(value) is int


def fits(value: Any, parameter: Parameter) -> bool:
    """Tell whether a value fits a parameter of a notebook.

    Args:
        value: A JSON value.
        parameter: As its cell has it.

    Returns:
        False only when the cell names a type, by annotation or default, and the value is of another.
    """
    text = parameter.type
    optional = _OPTIONAL.fullmatch(text)
    match = _ANNOTATED.fullmatch(optional[1] if optional else text)
    if match is None:
        return True
    if value is None:
        # `x: int = None` is how many people write "optional".
        return bool(optional or match[3] or parameter.default is None)
    wanted = match[1].lower()
    return type(value).__name__ == wanted or (wanted == "float" and type(value) is int)


def given(defaults: Mapping[str, Any], values: Mapping[str, Any], pipeline: str) -> dict[str, Any]:
    """Put what a caller gave over a pipeline's own parameters.

    Args:
        defaults: The pipeline's ``params``.
        values: What ``-p`` gave.
        pipeline: The pipeline's name, for messages.

    Returns:
        All parameters; an int given for a float is one.

    Raises:
        UsageError: A name is unknown, or a value is of another type than its default.
    """
    merged = dict(defaults)
    for name, value in values.items():
        if name not in defaults:
            raise UsageError(f"pipeline {pipeline!r} has no parameter {name!r}", nearest(name, defaults))
        why = lossy(value)
        if why:
            raise UsageError(f"parameter {name!r} can't travel: {why}", "give plain JSON values")
        default = defaults[name]
        if not same_type(value, default):
            raise UsageError(
                f"parameter {name!r} is {_called(default)}, and {value!r} is {_called(value)}",
                f"give {_called(default)}, as {json.dumps(default)[:60]} is",
            )
        merged[name] = float(value) if type(default) is float else value
    return merged


def _called(value: Any) -> str:
    return _CALLED.get(type(value), type(value).__name__)


_CALLED: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}
