"""Which names of a namespace are the user's."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

_OF_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython"})


def user_variables(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Give the variables that a user made.

    Args:
        namespace: All that a kernel's namespace holds.

    Returns:
        The same without names that begin with an underscore, without IPython's own (``In``,
        ``Out``, ``exit``, ``quit``, ``get_ipython``, its ``open``), and without names that no cell
        could say.
    """
    return {
        name: value
        for name, value in list(namespace.items())
        if isinstance(name, str)
        and name.isidentifier()
        and not name.startswith("_")
        and name not in _OF_IPYTHON
        and not (name == "open" and _of_ipython(value))
    }


def _of_ipython(value: Any) -> bool:
    # Only a function is asked where it is from, and by what it sees: its module says "io", whose
    # function it wraps. Another object could run code of its own.
    if type(value) is not types.FunctionType:
        return False
    return str(value.__globals__.get("__name__")).partition(".")[0] == "IPython"
