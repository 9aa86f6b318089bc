"""How a namespace becomes objects of the store.

1. *Components.* One walk over all variables finds which of them share mutable memory
   (:mod:`.components`).
2. *Writing.* Each component is encoded as one dict of its variables (:mod:`.codecs`): a stream, and
   buffers for the large pieces of memory beside it, all kept under the digest of their content.
   What did not change since an earlier snapshot is there already. An array that another thread
   changes meanwhile is copied first, so that what is stored is what its key says; only buffers too
   large to copy are taken as they lie.
3. *Failures.* An object inside another that nobody can pickle becomes a placeholder, and its
   variable is listed. Where a component can't be written, each of its variables is tried alone:
   those that fail are listed with the reason, the others are written together, so that they share
   what they shared. Nothing that a variable does costs the snapshot.
4. *Description.* Each variable is also encoded alone, for its own size and digest, as long as that
   costs no more than a small multiple of the component; modules are listed by name, to be imported
   again.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_jupyter.digest_libraries import size_of
from mlops_jupyter.snapshots.codecs import Encoded, Encoder
from mlops_jupyter.snapshots.components import Components
from mlops_jupyter.snapshots.describe import summary, type_name, why
from mlops_jupyter.snapshots.manifest import (
    Buffer,
    Component,
    Missing,
    Variable,
    storable,
)
from mlops_jupyter.store import ObjectStore, key_of
from mlops_jupyter.working import counted, is_watched, working

_COPIED = 256 << 20
_ALONE_FACTOR, _ALONE_BYTES = 4, 1 << 20


@dataclass(frozen=True)
class Captured:
    """What was made of a namespace.

    Args:
        components: How it is stored.
        missing: What could not be kept.
        variables: The names that it holds.
    """

    components: tuple[Component, ...]
    missing: tuple[Missing, ...]
    variables: tuple[Variable, ...]


def capture(
    namespace: Mapping[str, Any],
    store: ObjectStore,
    *,
    skip: Collection[str] = (),
    home: Mapping[str, Any] | None = None,
) -> Captured:
    """Write a namespace's variables into a store.

    Args:
        namespace: Name → value; all of it is captured.
        store: Where the objects go.
        skip: Names that are left out.
        home: The dict that is the globals of the namespace's functions, where ``namespace`` is a
            copy of it.

    Returns:
        What was written, and what could not be.

    Raises:
        StoreError: The store does not take the objects.
    """
    wanted = {name: value for name, value in namespace.items() if name not in skip}
    modules = {name: value for name, value in wanted.items() if _is_imported(value)}
    values = {name: value for name, value in wanted.items() if name not in modules}
    work = _Capture(values, store, _homes(namespace, home, values))
    size = sum(size_of(value) for value in values.values()) if is_watched() else 0
    with working("snapshot of the variables", size or None):
        work.run()
    found = work.variables | {name: _module(name, value) for name, value in modules.items()}
    variables = tuple(found[name] for name in wanted if name in found)
    missing = tuple(Missing(**storable(lack.to_json())) for lack in dict.fromkeys(work.missing))
    return Captured(tuple(work.components), missing, variables)


@dataclass
class _Capture:
    """One capture under way."""

    values: Mapping[str, Any]
    store: ObjectStore
    homes: frozenset[int]
    components: list[Component] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)

    def run(self) -> None:
        found = Components(self.values, self.homes)
        self.memory = found.memory
        for names in found.groups:
            self.component(names)

    def component(self, names: list[str]) -> None:
        """Write one component, or as much of it as can be written."""
        try:
            together = self.encode(names)
        except Exception as error:
            self.rescue(names, error)
            return
        alone = self.alone(names, together)
        self.keep(names, together, alone)

    def rescue(self, names: list[str], error: Exception) -> None:
        """Write those variables of a component that can be written."""
        if len(names) == 1:
            self.missing.append(self.lack(names[0], error))
            return
        alone: dict[str, Encoded] = {}
        for name in names:
            try:
                alone[name] = self.encode([name])
            except Exception as own:
                self.missing.append(self.lack(name, own))
        if not alone:
            return
        try:
            together = self.encode(list(alone))
        except Exception as joint:
            for name, encoded in alone.items():
                self.missing.append(self.lack(name, joint, "what it shares with others is lost: "))
                self.keep([name], encoded, {name: encoded})
            return
        self.keep(list(alone), together, alone)

    def lack(self, name: str, error: Exception, before: str = "") -> Missing:
        kind = type(self.values[name])
        return Missing(name, type_name(kind), before + why(kind, error))

    def encode(self, names: list[str]) -> Encoded:
        values = {name: self.values[name] for name in names}
        encoder = Encoder(self.memory, self.homes)
        return encoder.encode(values, frozenset(id(value) for value in values.values()))

    def alone(self, names: list[str], together: Encoded) -> dict[str, Encoded]:
        """Encode variables alone while that is cheap, or needed to say whose a placeholder is."""
        if len(names) == 1:
            return {names[0]: together}
        found: dict[str, Encoded] = {}
        left = _ALONE_FACTOR * len(together.stream) + _ALONE_BYTES
        for name in names:
            if left < 0 and not together.lost:
                break
            try:
                found[name] = self.encode([name])
            except Exception:  # it went well with the others: something changes it meanwhile
                continue
            left -= len(found[name].stream)
        return found

    def keep(self, names: list[str], together: Encoded, alone: Mapping[str, Encoded]) -> None:
        """Store a component and describe its variables."""
        buffers = tuple(self.put(view) for view in together.buffers)
        stream = self.store.put(together.stream)
        known = {_place(view): kept for view, kept in zip(together.buffers, buffers, strict=True)}
        whole = _Content.of(stream, len(together.stream), buffers)
        for name in names:
            content = whole
            if name in alone and alone[name] is not together:
                content = self.content(alone[name], known)
            value = self.values[name]
            self.variables[name] = Variable(
                name, type_name(type(value)), summary(value), content.bytes,
                len(self.components), content.digest,
            )  # fmt: skip
            for kind, reason in alone.get(name, together).lost:
                inside = f"{reason}; a placeholder stands in its place"
                self.missing.append(Missing(name, kind, inside))
        self.components.append(Component(tuple(names), stream, len(together.stream), buffers))

    def put(self, view: memoryview) -> Buffer:
        # Another thread may write to the memory between its hashing and its writing.
        data = bytes(view) if view.nbytes <= _COPIED else view
        with counted(view.nbytes):
            return Buffer(self.store.put(data), view.nbytes, view.readonly)

    def content(self, encoded: Encoded, known: Mapping[tuple[int, int], Buffer]) -> _Content:
        buffers = [
            known.get(_place(view)) or Buffer(key_of(view), view.nbytes, view.readonly) for view in encoded.buffers
        ]
        return _Content.of(key_of(encoded.stream), len(encoded.stream), buffers)


@dataclass(frozen=True)
class _Content:
    """Size and digest of something encoded."""

    bytes: int
    digest: str

    @classmethod
    def of(cls, stream: str, length: int, buffers: Iterable[Buffer]) -> _Content:
        sizes = {buffer.key: buffer.bytes for buffer in buffers}
        said = "".join([stream, *(buffer.key for buffer in buffers)])
        return cls(length + sum(sizes.values()), key_of(said.encode())[:32])


def _place(view: memoryview) -> tuple[int, int]:
    import numpy as np

    # Only numpy gives the address of memory that may be read-only.
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0]), view.nbytes


def _homes(namespace: Mapping[str, Any], home: Mapping[str, Any] | None, values: Mapping[str, Any]) -> frozenset[int]:
    """Find the dicts that are the globals of the notebook's functions, by id."""
    homes = {id(namespace), id(home)}
    for name, value in values.items():
        # By type() and not isinstance(), which asks the object and so may run its code.
        functions = [value] if type(value) is types.FunctionType else []
        if issubclass(type(value), type):
            members = type.__dict__["__dict__"].__get__(value)
            functions = [item for item in members.values() if type(item) is types.FunctionType]
        for function in functions:
            scope = function.__globals__
            module = sys.modules.get(str(scope.get("__name__")))
            installed = module is not None and vars(module) is scope
            # A filtered copy of a namespace is told by what its functions see under their own
            # names.
            if scope.get(name) is value and not installed:
                homes.add(id(scope))
    return frozenset(homes)


def _is_imported(value: Any) -> bool:
    if type(value) is not types.ModuleType:
        return False
    name = vars(value).get("__name__")
    return isinstance(name, str) and sys.modules.get(name) is value


def _module(name: str, module: types.ModuleType) -> Variable:
    inside = f"{module.__name__}."
    below = tuple(
        sorted(
            loaded
            for loaded, value in list(sys.modules.items())
            if loaded.startswith(inside) and "._" not in loaded and value is not None
        )
    )
    return Variable(name, "module", f"module {module.__name__}"[:120], module=module.__name__, submodules=below)
