"""Which variables share mutable memory, and so have to be written and brought back together.

All variables are walked once by the pickler itself, which writes nothing: so the walk sees exactly
the objects that a stream would hold. An object that two variables reach joins them, unless nobody
could tell whether it is one or two: numbers and strings, tuples of such, dtypes, and all that is
written by its name (modules, installed classes and functions). Arrays join by the memory that they
look into (:mod:`.arrays`). A notebook function's globals are not
followed: they are the namespace itself.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import pickle
import re
import types
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from mlops_jupyter.snapshots import rebuild
from mlops_jupyter.snapshots.arrays import Memory
from mlops_jupyter.snapshots.codecs import Encoder
from mlops_jupyter.snapshots.describe import module_loaded


class Components:
    """The components of a namespace.

    Args:
        variables: Name → value.
        homes: Ids of the dicts that are globals of the notebook's functions.

    Attributes:
        groups: The names of each component, in the namespace's order.
        memory: The memory that their arrays look into; good for as long as this object is kept.
    """

    def __init__(self, variables: Mapping[str, Any], homes: frozenset[int] = frozenset()) -> None:
        names = list(variables)
        self._parents = list(range(len(names)))
        self.memory = Memory()
        self._scan = _Scan(self, homes)
        for number, value in enumerate(variables.values()):
            self._scan.walk(number, value)
        self.memory.settle(self.join)
        groups: dict[int, list[str]] = {}
        for number, name in enumerate(names):
            groups.setdefault(self._leader(number), []).append(name)
        self.groups = list(groups.values())

    def join(self, one: int, other: int) -> None:
        """Put two variables, by their numbers, into one component."""
        one, other = self._leader(one), self._leader(other)
        # The lower number leads, so that components stand in the namespace's order.
        self._parents[max(one, other)] = min(one, other)

    def _leader(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number


class _Nowhere:
    """Takes a stream and keeps nothing of it."""

    def write(self, data: bytes) -> int:
        return len(data)


class _Scan(Encoder):
    """The pickler that only looks.

    One pickler walks all variables with one memo: what an earlier variable has reached is not
    walked again, and every object met is kept alive, so that no id comes to mean another object.
    """

    def __init__(self, components: Components, homes: frozenset[int]) -> None:
        super().__init__(components.memory, homes, sink=_Nowhere())
        self._standalone = True  # no digests of classes here
        self._components = components
        self._variable = 0
        self._owners: dict[int, tuple[int, Any]] = {}
        self._installed: dict[int, Any] = {}

    def walk(self, variable: int, value: Any) -> None:
        self._variable = variable
        self._variables = frozenset({id(value)})
        try:
            self.dump(value)
        except Exception:
            # What raises here raises again when it is written, and is told there.
            return

    def persistent_id(self, value: Any) -> str | None:
        kind = type(value)
        if kind in _ATOMS:
            return None
        key = id(value)
        name = self._names.get(key)
        if name is not None:
            return name
        owner = self._owners.get(key)
        if owner is None:
            self._owners[key] = (self._variable, value)
            if kind is bytearray and module_loaded("numpy"):
                self._memory.see_buffer(value, self._variable)
        elif owner[0] != self._variable and not (key in self._installed or self._frozen(value, kind)):
            self._components.join(owner[0], self._variable)
        return None

    def _handler_of(self, kind: type) -> Callable[[Any], Any] | None:
        # A list that an installed class keeps for all its instances is no sharing of the user's.
        for parent in kind.__mro__:
            if self._frozen(parent, type(parent)):
                held = [value for value in vars(parent).values() if type(value) in _CONTAINERS]
                self._installed.update((id(value), value) for value in held)
        return super()._handler_of(kind)

    def _aside(self, _buffer: pickle.PickleBuffer) -> bool:
        return False

    def _memory_of(self, value: Any) -> Any:
        self._memory.see(value, self._variable)
        return rebuild.array, ()

    def _frozen(self, value: Any, kind: type) -> bool:
        """Tell whether one object and two equal ones are the same to everybody."""
        if kind in _ATOMS or kind in _FROZEN:
            return True
        if kind in (tuple, frozenset):
            return self._all_frozen(value)
        if issubclass(kind, type) or kind is types.FunctionType:
            return self._cloud.reducer_override(value) is NotImplemented
        if kind is types.BuiltinFunctionType:
            return value.__self__ is None or type(value.__self__) is types.ModuleType
        if kind.__module__.startswith("pyarrow."):
            return True
        names = {f"{parent.__module__}.{parent.__qualname__}" for parent in kind.__mro__}
        if names & _INDEX_NAMES:
            return _without_memory(value)
        return bool(names & _FROZEN_NAMES)

    def _index(self, value: Any) -> Any:
        # The array of strings below is passed on from index to index, and nobody can write to it.
        return (rebuild.refs, ()) if _without_memory(value) else super()._index(value)

    def _all_frozen(self, values: Any) -> bool:
        try:
            return all(self._frozen(value, type(value)) for value in values)
        except RecursionError:
            return False


def _without_memory(index: Any) -> bool:
    """Tell whether a pandas index has nothing to write to: a range, or Arrow's strings."""
    return type(index).__name__ == "RangeIndex" or hasattr(getattr(index, "_data", None), "_pa_array")


_ATOMS = frozenset({
    type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes,
    pickle.PickleBuffer,
})  # fmt: skip

_CONTAINERS = frozenset({list, dict, set})

_FROZEN = frozenset({
    range, slice, types.CodeType, types.ModuleType, types.GetSetDescriptorType,
    types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType,
    datetime.date, datetime.time, datetime.datetime, datetime.timedelta, datetime.timezone,
    decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern,
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath,
})  # fmt: skip

# With their subclasses.
_FROZEN_NAMES = frozenset({
    "logging.Logger", "zoneinfo.ZoneInfo",
    "numpy.dtype", "numpy.generic", "numpy.ufunc",
    "pandas._libs.tslibs.timestamps._Timestamp", "pandas._libs.tslibs.timedeltas._Timedelta",
    "pandas._libs.tslibs.nattype._NaT", "pandas._libs.tslibs.offsets.BaseOffset",
    "pandas._libs.tslibs.period._Period", "pandas._libs.missing.NAType",
    "pandas.core.dtypes.base.ExtensionDtype", "pandas.api.extensions.ExtensionDtype",
    # Between frames alone, sharing under copy on write can't be told from having copies.
    "pandas._libs.internals.BlockValuesRefs",
})  # fmt: skip

_INDEX_NAMES = frozenset({"pandas.Index", "pandas.core.indexes.base.Index"})
