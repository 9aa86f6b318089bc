"""What a metric, a param, a tag and a text may be: checked before anything is written."""

from __future__ import annotations

import sys
from typing import Any

from mlops_jupyter.errors import ValueRefused


def as_metric(name: str, value: object) -> float:
    """Give a metric's value as a number, or refuse it.

    Args:
        name: The metric, for the message.
        value: A number; numpy's and torch's scalars too.

    Returns:
        The number; NaN and infinities are numbers.

    Raises:
        ValueRefused: It is text, complex, or nothing that has one number in it.
    """
    kind = type(value).__name__
    if isinstance(value, str | bytes):
        raise ValueRefused(f"metric {name!r} is a {kind}, not a number", "log text as a tag or a param")
    if isinstance(value, complex) or getattr(_quietly(value, "dtype"), "kind", "") == "c":
        raise ValueRefused(f"metric {name!r} is complex", "log its real part, or abs() of it")
    if not hasattr(type(value), "__float__"):
        raise ValueRefused(f"metric {name!r} is a {kind}, not a number", "give its number, or log it as data or text")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ValueRefused(f"metric {name!r} is too large for a number of 64 bits", "log its logarithm") from error
    except Exception as error:  # the value's own code: torch raises RuntimeError, others whatever they like
        raise ValueRefused(
            f"metric {name!r} is a {kind}, not one number: {error}", "reduce it first, with mean() for instance"
        ) from error


def as_step(name: str, step: object) -> int:
    """Give the step of a metric's point as a whole number, or refuse it.

    Args:
        name: The metric, for the message.
        step: A whole number of 64 bits; numpy's too.

    Raises:
        ValueRefused: It is none.
    """
    if type(step) is int:
        number = step
    elif isinstance(step, bool) or not hasattr(step, "__index__"):
        raise ValueRefused(f"step {step!r} of metric {name!r} is no whole number", "give 0, 1, 2, …")
    else:
        number = step.__index__()
    if not -(2**63) <= number < 2**63:
        raise ValueRefused(f"step {number} of metric {name!r} has more than 64 bits", "give 0, 1, 2, …")
    return number


def as_scalar(kind: str, name: str, value: object) -> str | int | float | bool | None:
    """Give the value of a param or a tag as Python has it, or refuse it.

    Args:
        kind: ``param`` or ``tag``, for the message.
        name: Its name, for the message.
        value: The value; numpy's and torch's scalars too.

    Returns:
        The value, of one of Python's own types.

    Raises:
        ValueRefused: It is no str, number, bool or None.
    """
    plain: Any = value
    if _quietly(value, "ndim") == 0 and callable(item := _quietly(value, "item")):
        plain = item()
    if not isinstance(plain, str | int | float | bool | None):
        raise ValueRefused(
            f"{kind} {name!r} is a {type(value).__name__}",
            f"a {kind} is a str, number, bool or None; log other things as data, text or an artifact",
        )
    if isinstance(plain, int) and abs(plain) >= 10**_DIGITS:
        raise ValueRefused(f"{kind} {name!r} has more than {_DIGITS} digits", "log it as text, or its logarithm")
    return as_text(name, plain) if isinstance(plain, str) else plain


_DIGITS = min(sys.get_int_max_str_digits() or 4000, 4000)


def as_text(name: str, value: str) -> str:
    """Give a text that can be written as UTF-8, or refuse it.

    Args:
        name: What it is for, for the message.
        value: The text.

    Returns:
        The text.

    Raises:
        ValueRefused: It has half of a surrogate pair in it.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueRefused(
            f"{name} has a character that is no text, at position {error.start}",
            'leave it out: text.encode("utf-8", "ignore").decode()',
        ) from None
    return value


def _quietly(value: object, attribute: str) -> Any:
    """Give an attribute, or None; a value whose attributes raise anything else has none either."""
    try:
        return getattr(value, attribute, None)
    except Exception:
        return None
