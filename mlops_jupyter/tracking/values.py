"""What a metric, a param and a tag may be: checked before anything is written."""

from __future__ import annotations

from mlops_jupyter.errors import ValueRefused


def as_metric(name: str, value: object) -> float:
    """Give a metric's value as a number, or refuse it.

    Raises:
        ValueRefused: It is text, or nothing that has one number in it.
    """
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        kind = type(value).__name__
        raise ValueRefused(
            f"metric {name!r} is a {kind}, not a number", "log text as a tag or a param, or give its number"
        )
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueRefused(
            f"metric {name!r} is a {type(value).__name__}, not one number: {error}",
            "reduce it first, with mean() for instance",
        ) from error


def as_scalar(kind: str, name: str, value: object) -> str | int | float | bool | None:
    """Give the value of a param or a tag as Python has it, or refuse it.

    Args:
        kind: ``param`` or ``tag``, for the message.
        name: Its name, for the message.
        value: The value; numpy's and torch's scalars too.

    Raises:
        ValueRefused: It is no str, number, bool or None.
    """
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if not isinstance(plain, str | int | float | bool | None):
        raise ValueRefused(
            f"{kind} {name!r} is a {type(value).__name__}",
            f"a {kind} is a str, number, bool or None; log other things as data, text or an artifact",
        )
    return plain
