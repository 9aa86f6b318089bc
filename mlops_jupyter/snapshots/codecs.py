"""How objects are written: a pickler that keeps what plain pickling loses.

:class:`Encoder` is the C pickler with protocol 5 and the reducers below in front of cloudpickle's,
asked for one object at a time (cloudpickle's own pickler would have to be imported to be
subclassed). Beyond cloudpickle it keeps

* arrays as views of the memory that they share (:mod:`.arrays`), with strides, order and read-only
  flag; large memory stands out of the stream, in buffers;
* frames over that memory, and pandas' record of who looks at it, on which copy on write rests;
* functions of the notebook without their globals: they are bound to the live namespace when they
  come back;
* classes of the notebook by identity (:mod:`.classes`), one for all components of a restore;
* open files by path, mode and position; caches, weak references, sentinels, standard streams.

An object whose reduction raises (a generator, a lock, a socket) does not take what is around it
along: a :class:`.Placeholder` is written in its place and noted in ``lost``. Only where it is a
    variable itself does the error
come through; so do a chain too deep for the stack and an object that can't be found by its name.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.snapshots import classes, rebuild
from mlops_jupyter.snapshots.arrays import Memory, Piece, address, object_owner
from mlops_jupyter.snapshots.describe import type_name, why
from mlops_jupyter.snapshots.placeholder import Placeholder

#: Memory shorter than this stays in the stream: an object of the store for each would cost more.
BUFFER_BYTES = 1 << 16

_PROTOCOL = 5


class _Mark:
    """An object that is not written: its name is, and means what the restore has under it."""


HOME, LOADING = _Mark(), _Mark()


@dataclass(frozen=True)
class Encoded:
    """An object as a stream and buffers.

    Args:
        stream: The pickle.
        buffers: The memory that stands beside it, in the stream's order.
        lost: Type and reason of every object inside that became a placeholder.
    """

    stream: bytes
    buffers: tuple[memoryview, ...]
    lost: tuple[tuple[str, str], ...]


class Encoder(pickle.Pickler):
    """Writes one object.

    Args:
        memory: The regions of the namespace that the object is of.
        homes: Ids of the dicts that are globals of the notebook's functions.
        sink: Where the stream goes; by default into what :meth:`encode` gives.
        standalone: All memory stays in the stream, and classes get no digest of their state.
    """

    def __init__(
        self,
        memory: Memory | None = None,
        homes: frozenset[int] = frozenset(),
        *,
        sink: Any = None,
        standalone: bool = False,
    ) -> None:
        import cloudpickle

        self._out = sink or io.BytesIO()
        super().__init__(self._out, _PROTOCOL, buffer_callback=None if standalone else self._aside)
        self._cloud = cloudpickle.Pickler(io.BytesIO(), _PROTOCOL)
        self._memory = memory or Memory()
        self._homes = homes | {id(sys.modules["__main__"].__dict__)}
        self._names = _marked() | dict.fromkeys(self._homes, "home")
        self._standalone = standalone
        self._buffers: list[memoryview] = []
        self._variables: frozenset[int] = frozenset()
        self._handlers: dict[type, Callable[[Any], Any] | None] = {}
        self._lost: list[tuple[str, str]] = []

    def encode(self, value: Any, variables: frozenset[int] = frozenset()) -> Encoded:
        """Write an object.

        Args:
            value: The object.
            variables: Ids of the objects inside that are variables: an error of theirs comes
                through.

        Returns:
            What was written.

        Raises:
            Exception: Anything that the code of an object raises.
        """
        self._variables = variables | {id(value)}
        self.dump(value)
        return Encoded(self._out.getvalue(), tuple(self._buffers), tuple(self._lost))

    def persistent_id(self, value: Any) -> str | None:
        """Name what is not written (pickle's own interface)."""
        return self._names.get(id(value))

    def reducer_override(self, value: Any) -> Any:
        """Reduce one object (pickle's own interface)."""
        kind = type(value)
        try:
            handler = self._handlers[kind]
        except KeyError:
            handler = self._handlers[kind] = self._handler_of(kind)
        try:
            reduced = handler(value) if handler else NotImplemented
            return self._native(value, kind) if reduced is NotImplemented else reduced
        except (RecursionError, MemoryError):
            raise
        except Exception as error:  # the object's own code has run
            if id(value) in self._variables:
                raise
            return self._give_up(kind, why(kind, error))

    def _give_up(self, kind: type, reason: str) -> tuple[Any, ...]:
        self._lost.append((type_name(kind), reason))
        return Placeholder, (type_name(kind), reason)

    def _aside(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BUFFER_BYTES:
            return True
        self._buffers.append(raw)
        return False

    def _native(self, value: Any, kind: type) -> Any:
        if issubclass(kind, type) or kind is types.FunctionType:
            return NotImplemented  # by its name
        reducer = self._cloud.dispatch_table.get(kind)
        reduced = reducer(value) if reducer else value.__reduce_ex__(_PROTOCOL)
        if isinstance(reduced, str) and getattr(value, "__module__", "") == "__main__":
            raise pickle.PicklingError(f"{reduced} goes by a name of this kernel only")
        return reduced

    def _handler_of(self, kind: type) -> Callable[[Any], Any] | None:
        if issubclass(kind, type):
            return self._class
        for parent in kind.__mro__:
            name = f"{parent.__module__}.{parent.__qualname__}"
            if name in _EXACT and parent is kind:
                return functools.partial(getattr(type(self), _EXACT[name]), self)
            if name in _AND_SUBCLASSES:
                return functools.partial(getattr(type(self), _AND_SUBCLASSES[name]), self)
        return None

    # --- classes and functions of the notebook

    def _class(self, value: type) -> Any:
        reduced = self._cloud.reducer_override(value)
        if reduced is NotImplemented or not reduced[0].__name__.startswith("_make_skeleton"):
            return reduced
        maker, arguments, state, _, _, setter = reduced
        known_as = classes.identity(value)
        digest = "" if self._standalone else classes.state_of(value)
        # The last two are cloudpickle's own registry, which would hand out a live class, changed or
        # not.
        made_of = (*arguments[:-2], None, None)
        return (
            rebuild.notebook_class,
            (LOADING, known_as, digest, maker, made_of),
            (LOADING, known_as, setter, state),
            None,
            None,
            rebuild.set_class,
        )

    def _function(self, value: types.FunctionType) -> Any:
        if id(value.__globals__) not in self._homes:
            return self._cloud.reducer_override(value)
        state = {name: getattr(value, name) for name in _OF_FUNCTIONS if hasattr(value, name)}
        made_of = (value.__code__, HOME, value.__closure__)
        return rebuild.function, made_of, (state, vars(value)), None, None, rebuild.set_function

    def _cell(self, value: types.CellType) -> Any:
        try:
            held = (value.cell_contents,)
        except ValueError:  # the name is not bound yet
            return rebuild.cell, ()
        return rebuild.cell, (), held, None, None, rebuild.set_cell

    def _code(self, value: types.CodeType) -> Any:
        _, arguments = self._cloud.dispatch_table[types.CodeType](value)
        return rebuild.code, (importlib.util.MAGIC_NUMBER, arguments)

    def _bound(self, value: Any) -> Any:
        holder = value.__self__
        if holder is None or type(holder) is types.ModuleType:
            return NotImplemented  # by its name
        return rebuild.bound, (holder, value.__name__)

    def _cached(self, value: Any) -> Any:
        if getattr(value, "__module__", "") != "__main__":
            return NotImplemented
        options = value.cache_parameters()
        return rebuild.cached, (value.__wrapped__, options["maxsize"], options["typed"])

    def _cached_property(self, value: Any) -> Any:
        return rebuild.cached_property, (value.func, value.attrname)

    def _reference(self, value: weakref.ref[Any]) -> Any:
        return rebuild.reference, (value(), value.__callback__)

    def _sentinel(self, value: Any) -> Any:
        for name in ("MISSING", "KW_ONLY", "_HAS_DEFAULT_FACTORY"):
            if value is getattr(dataclasses, name, None):
                return getattr, (dataclasses, name)
        return NotImplemented

    def _placeholder(self, value: Placeholder) -> Any:
        self._lost.append((value.kind, value.reason))
        return NotImplemented

    # --- files

    def _file(self, value: Any) -> Any:
        path, mode = getattr(value, "name", None), getattr(value, "mode", None)
        if not isinstance(path, str) or not isinstance(mode, str):
            raise pickle.PicklingError("the handle names no file that could be opened again")
        options: dict[str, Any] = {}
        if isinstance(value, io.TextIOWrapper):
            options = {"encoding": value.encoding, "errors": value.errors}
        elif isinstance(value, io.FileIO):
            options = {"buffering": 0}
        if value.closed:
            return rebuild.closed_file, (path, mode, options)
        if value.writable():
            value.flush()
        return rebuild.open_file, (str(Path(path).absolute()), mode, value.tell(), options)

    # --- arrays

    def _array(self, value: Any) -> Any:
        import numpy as np

        kind = type(value)
        if value.dtype == object and kind is np.ndarray:
            return self._objects(value)
        if value.dtype.hasobject or value.dtype.kind not in "biufcSUVmM":
            return NotImplemented
        return self._memory_of(value) if kind is np.ndarray else self._subclass(value)

    def _memory_of(self, value: Any) -> Any:
        look = self._memory.root_of(value)
        if look is None:
            return self._by_value(value)
        root, offset = look
        placed = (value.dtype, value.shape, value.strides, offset, value.flags.writeable)
        return rebuild.view, (LOADING, root, *placed)

    def _by_value(self, value: Any) -> Any:
        writeable = value.flags.writeable
        if not (value.flags.c_contiguous or value.flags.f_contiguous):
            value = value.copy()
        order = "C" if value.flags.c_contiguous else "F"
        memory = _memory(rebuild.flat_bytes(value)) if value.nbytes else b""
        return rebuild.array, (LOADING, memory, value.dtype, value.shape, order, writeable)

    def _piece(self, value: Piece) -> Any:
        import numpy as np

        flat = value.bytes()
        return rebuild.array, (LOADING, _memory(flat), np.dtype("u1"), flat.shape, "C", True)

    def _objects(self, value: Any) -> Any:
        owner = object_owner(value)
        if owner is None or not value.size:
            return NotImplemented
        offset = address(value) - address(owner)
        placed = (value.shape, value.strides, offset, value.flags.writeable)
        return rebuild.object_view, (LOADING, owner, *placed)

    def _subclass(self, value: Any) -> Any:
        import numpy as np

        kind = type(value)
        plain = np.ndarray.view(value, np.ndarray)
        if kind is np.ma.MaskedArray:
            state = {key: item for key, item in vars(value).items() if key != "_mask"}
            mask = None if value._mask is np.ma.nomask else value._mask
            return rebuild.masked, (plain, kind, mask, state)
        if kind is np.memmap:
            return rebuild.cast, (plain, kind)
        if any(getattr(kind, name) is not getattr(np.ndarray, name) for name in _OWN_REDUCTION):
            return NotImplemented
        state = dict(getattr(value, "__dict__", {}))
        return rebuild.cast, (plain, kind), state, None, None, rebuild.set_attributes

    # --- pandas

    def _refs(self, _value: Any) -> Any:
        return rebuild.refs, ()

    def _block(self, value: Any) -> Any:
        placed = (value.mgr_locs.indexer, value.ndim, value.refs)
        return rebuild.block, (type(value), value.values, *placed)

    def _single(self, value: Any) -> Any:
        # A series writes its block's values alone, without the record of who looks at them.
        return rebuild.single, (type(value), value.blocks[0], value.axes[0])

    def _index(self, value: Any) -> Any:
        shared = getattr(value, "_references", None)
        # A RangeIndex has no memory, and makes its record itself when it needs one.
        if shared is None or type(value).__name__ == "RangeIndex":
            return NotImplemented
        maker, arguments, *rest = value.__reduce__()
        return rebuild.index, (maker, arguments, shared), *rest


def _marked() -> dict[int, str]:
    names = ("__stdin__", "__stdout__", "__stderr__", "stdin", "stdout", "stderr")
    streams = {id(getattr(sys, name)): f"sys.{name}" for name in names if getattr(sys, name)}
    return streams | {id(HOME): "home", id(LOADING): "loading"}


def _memory(flat: Any) -> pickle.PickleBuffer:
    # Read-only, so that what comes back may be bytes: the array that is rebuilt copies them into
    # memory of its own.
    flat.flags.writeable = False
    return pickle.PickleBuffer(flat)


_OWN_REDUCTION = ("__reduce__", "__reduce_ex__", "__setstate__", "__getstate__")

_OF_FUNCTIONS = (
    "__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__",
    "__annotations__", "__type_params__",
)  # fmt: skip

# Qualified name of a type → the method that reduces it. By name, so that no library is imported to
# ask.
_EXACT = {
    "builtins.function": "_function",
    "builtins.builtin_function_or_method": "_bound",
    "builtins.cell": "_cell",
    "builtins.code": "_code",
    "functools._lru_cache_wrapper": "_cached",
    "functools.cached_property": "_cached_property",
    "weakref.ReferenceType": "_reference",
    "dataclasses._MISSING_TYPE": "_sentinel",
    "dataclasses._KW_ONLY_TYPE": "_sentinel",
    "dataclasses._HAS_DEFAULT_FACTORY_CLASS": "_sentinel",
    "_io.TextIOWrapper": "_file",
    "_io.BufferedReader": "_file",
    "_io.BufferedWriter": "_file",
    "_io.BufferedRandom": "_file",
    "_io.FileIO": "_file",
    "pandas._libs.internals.BlockValuesRefs": "_refs",
    "pandas.core.internals.managers.SingleBlockManager": "_single",
    f"{Placeholder.__module__}.Placeholder": "_placeholder",
    f"{Piece.__module__}.Piece": "_piece",
}
_AND_SUBCLASSES = {
    "numpy.ndarray": "_array",
    "pandas._libs.internals.Block": "_block",
    "pandas.core.indexes.base.Index": "_index",
    "pandas.Index": "_index",
}
