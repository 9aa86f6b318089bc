"""Names and short summaries of values, from their types and sizes alone.

No code of a value is run: a ``__repr__``, ``__len__`` or ``__class__`` of a user's class may be
slow or hostile. The text of strings is not shown either, for a manifest travels and a string may be
a password.
"""

from __future__ import annotations

import pickle
import sys
import types
from typing import Any

from mlops_jupyter.errors import MlopsError

_LONGEST = 120


def type_name(kind: type) -> str:
    """Give the qualified name of a type, whatever its metaclass does.

    Args:
        kind: Any class.

    Returns:
        ``module.Name``, without the module for built-in types; at most 120 characters.
    """
    name = str(type.__dict__["__qualname__"].__get__(kind))
    module = vars(type)["__module__"].__get__(kind)
    prefix = f"{module}." if isinstance(module, str) and module != "builtins" else ""
    return (prefix + name)[:_LONGEST]


def summary(value: Any) -> str:
    """Say in a few words what a value is.

    Args:
        value: Anything.

    Returns:
        For example ``int 3``, ``list of 5``, ``ndarray float64 (100, 3)``, ``DataFrame 569×31``,
        ``Pipeline``.
    """
    try:
        return _summary(value, type(value))
    except Exception:  # a metaclass or a broken frame may raise anything
        return type_name(type(value)).rpartition(".")[2]


def _summary(value: Any, kind: type) -> str:
    if kind in (bool, float, complex, type(None)) or (kind is int and value.bit_length() <= 128):
        return "None" if value is None else f"{kind.__name__} {value!r}"
    if kind is int:
        return f"int of {value.bit_length()} bits"
    if kind in (str, bytes, bytearray, list, tuple, dict, set, frozenset):
        return f"{kind.__name__} of {len(value)}"
    if kind in (types.FunctionType, types.BuiltinFunctionType):
        return "function"
    if issubclass(kind, type):
        return "class"
    return (_of_library(value, kind) or type_name(kind).rpartition(".")[2])[:_LONGEST]


def reason_of(error: BaseException) -> str:
    """Say in one line why something failed.

    Args:
        error: What was raised, by anybody's code.

    Returns:
        The first line of its message, or its type where there is none; at most 200 characters.
    """
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # the message is made by the user's code too
        lines = []
    kind = type_name(type(error)).rpartition(".")[2]
    if not lines:
        return kind
    plain = type(error) in (TypeError, pickle.PicklingError) or isinstance(error, MlopsError)
    return (lines[0] if plain else f"{kind}: {lines[0]}")[:200]


def why(kind: type, error: BaseException) -> str:
    """Say in one line why a value could not be kept.

    Args:
        kind: The value's type.
        error: What was raised when it was to be written.

    Returns:
        A sentence for the types that nobody can keep; else what the error says.
    """
    return _UNKEEPABLE.get(type_name(kind)) or reason_of(error)


def module_loaded(name: str) -> Any:
    """Give a module that is imported already, else None.

    Where numpy or pandas was never imported, no value can be theirs: so nobody pays for importing
    them.
    """
    return sys.modules.get(name)


def _of_library(value: Any, kind: type) -> str:
    numpy, pandas = module_loaded("numpy"), module_loaded("pandas")
    if hasattr(numpy, "ndarray") and numpy.ndarray in kind.__mro__:
        array = numpy.ndarray
        shape, dtype = array.shape.__get__(value), array.dtype.__get__(value)
        return f"{kind.__name__} {dtype} {shape}"
    if hasattr(pandas, "DataFrame") and kind is pandas.DataFrame:
        return f"DataFrame {len(value.index)}×{len(value.columns)}"
    if hasattr(pandas, "Series") and kind is pandas.Series:
        return f"Series {value.dtype} of {len(value)}"
    if hasattr(pandas, "Index") and kind.__module__.startswith("pandas") and (pandas.Index in kind.__mro__):
        return f"{kind.__name__} of {len(value)}"
    return ""


_RUNNING = "it stands in the middle of its code, which can't be written down"
_SYNCHRONISING = "it belongs to the threads of the process that made it"
_CONNECTED = "its connection ends with the process that made it"
_UNKEEPABLE = {
    "generator": _RUNNING,
    "coroutine": _RUNNING,
    "async_generator": _RUNNING,
    "_thread.lock": _SYNCHRONISING,
    "_thread.RLock": _SYNCHRONISING,
    "threading.Thread": _SYNCHRONISING,
    "threading._RLock": _SYNCHRONISING,
    "socket.socket": _CONNECTED,
    "sqlite3.Connection": _CONNECTED,
    "sqlite3.Cursor": _CONNECTED,
}
