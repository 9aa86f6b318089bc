"""What a stream calls to make its objects anew.

The names and arguments of these functions are part of the format: a snapshot of last year calls
them. They may be added to; a changed meaning needs a new name.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_jupyter.snapshots import classes
from mlops_jupyter.snapshots.placeholder import Placeholder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class Loading:
    """What the components of one restore have in common while they are loaded.

    Args:
        home: The live dict that restored functions take as their globals.
    """

    def __init__(self, home: dict[str, Any]) -> None:
        self.home = home
        self.classes: dict[str, type] = {}
        self.unset: set[str] = set()
        self._frozen: list[Array] = []

    def freeze_later(self, array: Array) -> None:
        """Make an array read-only when all is loaded: a writable view of it may be to come."""
        self._frozen.append(array)

    def finish(self) -> None:
        """Do what had to wait until all components were there."""
        for array in self._frozen:
            array.flags.writeable = False
        self._frozen.clear()


def array(
    loading: Loading,
    buffer: Any,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    order: str,
    writeable: bool,
) -> Array:
    """Make an array that owns its memory."""
    import numpy as np

    made: Array = np.empty(shape, dtype, order="F" if order == "F" else "C")
    if made.nbytes:
        flat_bytes(made)[:] = np.frombuffer(buffer, np.uint8)
    if not writeable:
        loading.freeze_later(made)
    return made


def flat_bytes(root: Array) -> Array:
    """Give the memory of a contiguous array, as bytes in the order of memory; nothing is copied."""
    import numpy as np

    return root.reshape(-1, order="A").view(np.uint8)


def view(
    loading: Loading,
    root: Any,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    writeable: bool,
) -> Array:
    """Make an array that looks into the memory of another array, or of a bytearray."""
    import numpy as np

    memory = flat_bytes(root) if isinstance(root, np.ndarray) else root
    made: Array = np.ndarray(shape, dtype, buffer=memory, offset=offset, strides=strides)
    if not writeable:
        loading.freeze_later(made)
    return made


def object_view(
    loading: Loading,
    root: Array,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    writeable: bool,
) -> Array:
    """Make an array of objects that looks into another."""
    from numpy.lib.stride_tricks import as_strided

    # numpy makes no array of objects over a buffer, so the view is taken from the elements.
    elements = root.reshape(-1, order="A")[offset // root.itemsize :]
    made: Array = as_strided(elements, shape, strides)
    if not writeable:
        loading.freeze_later(made)
    return made


def cast(plain: Array, kind: type[Any]) -> Array:
    """Give an array the subclass that it had."""
    made: Array = plain.view(kind)
    return made


def set_attributes(made: Any, state: dict[str, Any]) -> None:
    """Give an object the attributes of its ``__dict__``."""
    made.__dict__.update(state)


def masked(plain: Array, kind: type[Any], mask: Any, state: dict[str, Any]) -> Any:
    """Make a masked array over the memory of its data and its mask (None where it has none)."""
    import numpy as np

    made: Any = plain.view(kind)
    made._mask = np.ma.nomask if mask is None else mask
    made.__dict__.update(state)
    return made


def refs() -> Any:
    """Make pandas' record of who looks at one piece of memory (copy on write)."""
    from pandas._libs.internals import BlockValuesRefs

    return BlockValuesRefs()


def block(kind: type[Any], values: Any, placement: Any, ndim: int, shared: Any) -> Any:
    """Make a block of a frame, known to the record of who looks at its memory."""
    from pandas._libs.internals import BlockPlacement

    return kind(values, BlockPlacement(placement), ndim, shared)


def single(kind: type[Any], held: Any, axis: Any) -> Any:
    """Make what holds the one block of a series."""
    return kind(held, axis)


def index(maker: Callable[..., Any], arguments: tuple[Any, ...], shared: Any) -> Any:
    """Make an index, known to the record of who looks at its memory."""
    made = maker(*arguments)
    made._references = shared
    shared.add_index_reference(made)
    return made


def code(magic: bytes, arguments: tuple[Any, ...]) -> types.CodeType:
    """Make a code object, on the Python that compiled it.

    Raises:
        ImportError: Another Python compiled it; running its bytecode could crash the process.
    """
    if magic != importlib.util.MAGIC_NUMBER:
        raise ImportError("it holds code that was compiled by another version of Python")
    return types.CodeType(*arguments)


def function(
    made_of: types.CodeType, home: dict[str, Any], closure: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    """Make a notebook's function, bound to the live namespace."""
    return types.FunctionType(made_of, home, None, None, closure)


def set_function(made: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a function its name, defaults, annotations and attributes."""
    own, attributes = state
    for name, value in own.items():
        setattr(made, name, value)
    made.__dict__.update(attributes)


def cell() -> types.CellType:
    """Make an empty cell of a closure; functions that shared a variable share it again."""
    return types.CellType()


def set_cell(made: types.CellType, held: tuple[Any]) -> None:
    """Fill a cell of a closure."""
    (made.cell_contents,) = held


def notebook_class(
    loading: Loading,
    known_as: str,
    state: str,
    maker: Callable[..., type],
    arguments: tuple[Any, ...],
) -> type:
    """Make a class that a notebook defined, once for all components of a restore.

    The live class is taken where it is still the one captured, unchanged: objects made since then
    stay its instances.
    """
    if known_as in loading.classes:
        return loading.classes[known_as]
    kept = classes.unchanged(known_as, state)
    made = kept if kept is not None else maker(*arguments)
    loading.classes[known_as] = made
    if kept is None:
        loading.unset.add(known_as)
    return made


def set_class(made: type, state: tuple[Loading, str, Callable[[type, Any], Any], Any]) -> None:
    """Give a class that was made anew its attributes, once."""
    loading, known_as, setter, attributes = state
    if known_as in loading.unset:
        loading.unset.discard(known_as)
        setter(made, attributes)
        classes.know(known_as, made)


def bound(holder: Any, name: str) -> Any:
    """Take a method from its object; from a placeholder, one that is as loud when it is touched."""
    if type(holder) is Placeholder:
        return Placeholder(f"{holder.kind}.{name}", holder.reason)
    return getattr(holder, name)


def cached(wrapped: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Make a ``functools.lru_cache`` around a function; what it had cached is not kept."""
    return functools.lru_cache(maxsize, typed)(wrapped)


def cached_property(wrapped: Callable[..., Any], name: str | None) -> Any:
    """Make a ``functools.cached_property``."""
    made = functools.cached_property(wrapped)
    made.attrname = name
    return made


def reference(target: Any, callback: Callable[[Any], Any] | None) -> Any:
    """Make a weak reference; ``target`` is None where the original's had died."""
    if target is None:
        target = set()  # dies with this call, so the reference is dead too
    return weakref.ref(target, callback) if callback else weakref.ref(target)


def open_file(path: str, mode: str, position: int, options: dict[str, Any]) -> Any:
    """Open a file again where it stood. It is neither created nor cut: what is in it stays.

    Raises:
        OSError: The file is no longer there, or not allowed.
    """
    # "w" and "x" say how the handle was made; making it again must not empty the file.
    keeping = ~(os.O_TRUNC | os.O_CREAT | os.O_EXCL)
    made = open(  # noqa: SIM115 - the user's handle, which outlives this call
        path, mode, opener=lambda name, flags: os.open(name, flags & keeping), **options
    )
    writes = "r" not in mode
    # Past the end of a file that has shrunk, writing would leave a hole.
    made.seek(min(position, Path(path).stat().st_size) if writes else position)
    return made


def closed_file(path: str, mode: str, options: dict[str, Any]) -> Any:
    """Make a handle that is closed already and names its file; the file is not touched."""
    made = open(os.devnull, mode.replace("x", "w"), **options)  # noqa: SIM115, PTH123 - closed below
    raw: Any = made
    while not isinstance(raw, io.FileIO):
        raw = raw.buffer if isinstance(raw, io.TextIOWrapper) else raw.raw
    raw.name = path
    made.close()
    return made
