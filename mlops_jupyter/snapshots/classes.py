"""Which classes of a notebook are which, in this process.

Every class that a snapshot holds by value has an identity, so that its instances in several
components get one class after a restore. In the kernel that took the snapshot the live class is
used again where nothing about it has changed.
"""

from __future__ import annotations

import threading
import types
import uuid
import weakref
from typing import Any

_LOCK = threading.Lock()
_IDENTITY: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_LIVE: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()

# Made by Python or by dataclasses from the rest of the class.
_MADE_BY_PYTHON = ("__", "_abc_", "_member_", "_value2member_map_", "_unhashable_values_")
_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, type(...),
    types.MemberDescriptorType, types.GetSetDescriptorType,
)  # fmt: skip


def identity(kind: type) -> str:
    """Give the identity of a class, the same for as long as it lives.

    Args:
        kind: A class that a notebook defined.

    Returns:
        32 hexadecimal digits.
    """
    with _LOCK:
        known_as = _IDENTITY.get(kind)
        if known_as is None:
            known_as = uuid.uuid4().hex
            _IDENTITY[kind], _LIVE[known_as] = known_as, kind
    return known_as


def know(known_as: str, kind: type) -> None:
    """Take a restored class for the one that a snapshot names.

    Args:
        known_as: Its identity in the snapshot.
        kind: The class.
    """
    with _LOCK:
        _IDENTITY[kind], _LIVE[known_as] = known_as, kind


def unchanged(known_as: str, state: str) -> type | None:
    """Give the live class of an identity, if it still is as it was.

    Args:
        known_as: The identity.
        state: What :func:`state_of` gave at capture; empty where the class may not be used again.

    Returns:
        The class, or None.
    """
    kind = _LIVE.get(known_as)
    if kind is None or not state or state_of(kind) != state:
        return None
    return kind


def state_of(kind: type) -> str:
    """Give a digest of a class whose state is its code alone.

    Args:
        kind: The class.

    Returns:
        A digest, or nothing for a class that holds mutable objects: those may be shared with
        variables, and then the class has to come back with them.
    """
    if not _inert_class(kind, set()):
        return ""
    from mlops_jupyter.snapshots.codecs import Encoder
    from mlops_jupyter.store import key_of

    try:
        return key_of(Encoder(standalone=True).encode(kind).stream)[:32]
    except Exception:  # a metaclass or a member may raise anything; then the class is simply made anew
        return ""


def _inert_class(kind: type, seen: set[type]) -> bool:
    if kind.__module__ != "__main__" or kind in seen:
        return True
    seen.add(kind)
    # A class is used again only with the classes that it is made of.
    made_of = [*kind.__mro__[1:], type(kind)]
    return all(_inert_class(other, seen) for other in made_of) and all(
        _inert(name, member, kind, seen) for name, member in vars(kind).items()
    )


def _inert(name: str, member: Any, kind: type, seen: set[type]) -> bool:
    if isinstance(member, types.FunctionType):
        return _inert_function(member, seen)
    if name.startswith(_MADE_BY_PYTHON):
        return True
    if isinstance(member, staticmethod | classmethod):
        return _inert(name, member.__func__, kind, seen)
    if isinstance(member, property):
        parts = (member.fget, member.fset, member.fdel)
        return all(_inert(name, part, kind, seen) for part in parts)
    if type(member) is kind:  # a member of an enum
        return type(getattr(member, "_value_", [])) in _PLAIN
    return type(member) in _PLAIN or (isinstance(member, type) and _inert_class(member, seen))


def _inert_function(function: types.FunctionType, seen: set[type]) -> bool:
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not bound yet
            continue
    return not function.__dict__ and all(_inert_value(value, seen) for value in held)


def _inert_value(value: Any, seen: set[type]) -> bool:
    if isinstance(value, type):
        return _inert_class(value, seen)
    return (
        type(value) in _PLAIN
        or isinstance(value, types.ModuleType | types.BuiltinFunctionType)
        or type(value).__module__ == "dataclasses"  # the sentinels that a generated __init__ holds
    )
