"""Which names and lengths MLflow takes, asked before anything is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlops_jupyter.errors import ValueRefused, translate
from mlops_jupyter.tracking import mlflow_module

# Names of metrics that were found good: a loop asks for the same few a million times.
_good: set[str] = set()
_MOST = 100_000


def check_metric(name: str) -> None:
    """Refuse a metric's name that MLflow refuses.

    Raises:
        ValueRefused: It has characters that MLflow does not take, or too many.
    """
    if type(name) is str and name in _good:
        return
    _ask("metric", name, lambda validation: validation._validate_metric(name, 0.0, 0, 0))
    if len(_good) >= _MOST:
        _good.clear()
    _good.add(name)


def checked_param(name: str, text: str) -> str:
    """Give the value of a param as MLflow keeps it; a long one may be cut, as its settings say.

    Raises:
        ValueRefused: MLflow takes not the name, or not the value.
    """
    return str(_ask("param", name, lambda validation: validation._validate_param(name, text)).value)


def checked_tag(name: str, text: str) -> str:
    """Give the value of a tag as MLflow keeps it; see :func:`checked_param`."""
    return str(_ask("tag", name, lambda validation: validation._validate_tag(name, text)).value)


def _ask(kind: str, name: object, question: Callable[[Any], Any]) -> Any:
    if not isinstance(name, str) or not name:
        raise ValueRefused(f"{name!r} is no name of a {kind}", "give a text such as 'val/loss'")
    mlflow_module()
    from mlflow.exceptions import MlflowException
    from mlflow.utils import validation

    try:
        return question(validation)
    except MlflowException as error:
        raise ValueRefused(
            f"{kind} {name[:80]!r}: {translate(error).message}",
            "names have letters, digits, and _ - . / : and spaces, and at most 250 of them",
        ) from error
