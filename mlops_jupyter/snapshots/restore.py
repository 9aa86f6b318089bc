"""How a snapshot becomes values again.

Nothing is unpickled before the manifest's signature was checked, and every object is checked
against its digest before it is read. All that is wanted is loaded first; the caller's namespace is
not touched, so what was there stays whole when something fails. A component that can't be loaded is
named with the reason and costs only itself.
"""

from __future__ import annotations

import importlib
import io
import pickle
import platform
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.errors import IntegrityError, NotFoundError
from mlops_jupyter.snapshots import trust
from mlops_jupyter.snapshots.describe import reason_of
from mlops_jupyter.snapshots.manifest import Buffer, Component, Manifest, Missing, Variable
from mlops_jupyter.snapshots.rebuild import Loading
from mlops_jupyter.store import ObjectStore
from mlops_jupyter.working import counted, working

_COMPARED = ("numpy", "pandas")


@dataclass(frozen=True)
class Loaded:
    """What came back of a snapshot.

    Args:
        values: Name → value, to be put into the namespace.
        missing: What did not come back: what was not captured, and what could not be loaded.
        manifest: The snapshot.
        warnings: What differs between then and now, one sentence each.
    """

    values: dict[str, Any]
    missing: tuple[Missing, ...]
    manifest: Manifest
    warnings: tuple[str, ...] = ()

    def missing_json(self) -> list[dict[str, str]]:
        """Give what did not come back as JSON: ``name``, ``type``, ``reason`` each."""
        return [lack.to_json() for lack in self.missing]


def load(
    manifest: Manifest,
    store: ObjectStore,
    *,
    only: Sequence[str] = (),
    namespace: MutableMapping[str, Any],
) -> Loaded:
    """Load a snapshot's variables.

    Args:
        manifest: The snapshot.
        store: Where its objects are.
        only: The names to load; by default all.
        namespace: The live dict that restored functions take as their globals. It is not written
            to.

    Returns:
        The values, and by name what did not come back.

    Raises:
        DeniedError: The manifest is not signed by this user, or was changed since.
        NotFoundError: A name of ``only`` is not in the snapshot.
        StoreError: The store does not answer.
        TypeError: The namespace is no dict, so it can't be the globals of functions.
    """
    if not isinstance(namespace, dict):
        raise TypeError(f"a {type(namespace).__name__} can't be the globals of functions")
    trust.check(manifest.to_json())
    wanted = _wanted(manifest, only)
    loading = Loading(namespace)
    values: dict[str, Any] = {}
    missing = [lack for lack in manifest.missing if lack.name in wanted]
    warnings = _versions(manifest.environment)
    for variable in manifest.variables:
        if variable.module is not None and variable.name in wanted:
            _import(variable, values, missing, warnings)
    types = {variable.name: variable.type for variable in manifest.variables}
    chosen = [component for component in manifest.components if not wanted.isdisjoint(component.variables)]
    with working("restoring the variables", sum(map(_size, chosen)) or None):
        for component in chosen:
            names = [name for name in component.variables if name in wanted]
            try:
                found = _component(component, store, loading)
                values.update({name: found[name] for name in names})
            except _LoadError as error:
                missing += [Missing(name, types.get(name, ""), error.reason) for name in names]
    loading.finish()
    ordered = {name: values[name] for name in types if name in values}
    return Loaded(ordered, tuple(missing), manifest, tuple(warnings))


class _LoadError(Exception):
    """A component did not come back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Decoder(pickle.Unpickler):
    """Reads a stream; what is only named in it comes from the present process."""

    def __init__(self, stream: bytes, buffers: Sequence[bytes | bytearray], loading: Loading) -> None:
        super().__init__(io.BytesIO(stream), buffers=buffers)
        self._loading = loading

    def persistent_load(self, name: Any) -> Any:
        if name == "home":
            return self._loading.home
        if name == "loading":
            return self._loading
        if isinstance(name, str) and name.startswith("sys."):
            return getattr(sys, name.removeprefix("sys."))
        raise pickle.UnpicklingError("a stream that this version can't read")


def _size(component: Component) -> int:
    return component.bytes + sum(buffer.bytes for buffer in component.buffers)


def _buffer(buffer: Buffer, store: ObjectStore) -> bytes | bytearray:
    with counted(buffer.bytes / 2):
        data = store.get(buffer.key)
        # Memory that was writable has to be again, and what a store gives is not.
        return data if buffer.readonly else bytearray(data)


def _component(component: Component, store: ObjectStore, loading: Loading) -> Mapping[str, Any]:
    # To read it and to make values of it take about as long.
    try:
        with counted(component.bytes / 2):
            stream = store.get(component.stream)
        buffers = [_buffer(buffer, store) for buffer in component.buffers]
    except (NotFoundError, IntegrityError) as error:
        raise _LoadError(error.message) from error
    try:
        with counted(_size(component) / 2):
            found = _Decoder(stream, buffers, loading).load()
    except Exception as error:  # unpickling runs the code of the objects
        raise _LoadError(f"it could not be made again: {reason_of(error)}") from error
    if not isinstance(found, dict) or not found.keys() >= set(component.variables):
        raise _LoadError("its stream does not hold what the manifest says")
    return found


def _import(variable: Variable, values: dict[str, Any], missing: list[Missing], warnings: list[str]) -> None:
    name = str(variable.module)
    try:
        values[variable.name] = importlib.import_module(name)
    except Exception as error:  # a module's own code runs
        missing.append(Missing(variable.name, "module", f"{name} can't be imported: {reason_of(error)}"))
        return
    failed = []
    for below in variable.submodules:
        try:
            if below not in sys.modules:
                importlib.import_module(below)
        except Exception:  # a module's own code runs; told below
            failed.append(below)
    if failed:
        shown = ", ".join(failed[:3]) + (", …" if len(failed) > 3 else "")
        warnings.append(f"{variable.name}: {len(failed)} of its modules can't be imported: {shown}")


def _wanted(manifest: Manifest, only: Sequence[str]) -> set[str]:
    there = [variable.name for variable in manifest.variables]
    known = {*there, *(lack.name for lack in manifest.missing)}
    unknown = [name for name in only if name not in known]
    if unknown:
        shown = ", ".join(sorted(known)[:12]) + (", …" if len(known) > 12 else "")
        raise NotFoundError(
            f"snapshot {manifest.id} has no variable {unknown[0]!r}",
            f"it has {shown}" if known else "it has no variables",
        )
    return set(only) or known


def _versions(environment: Mapping[str, Any]) -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    warnings = []
    then, now = environment.get("python"), platform.python_version()
    if then and then != now:
        warnings.append(f"the snapshot was taken on Python {then}, this is {now}")
    packages = environment.get("packages")
    if not isinstance(packages, Mapping):
        return warnings
    for name in _COMPARED:
        if name not in packages:
            continue
        try:
            present = version(name)
        except PackageNotFoundError:
            warnings.append(f"the snapshot was taken with {name} {packages[name]}, which is not here")
            continue
        if present != packages[name]:
            warnings.append(f"the snapshot was taken with {name} {packages[name]}, this is {present}")
    return warnings
