"""Digests over all content: two values that have the same digest hold the same.

A digest is ``blake3`` over a canonical walk of the value: every leaf is written with its type and length in front, so
that neighbours can't run into each other; of a large leaf goes in its ``xxh3_128``, which keeps up with memory.
Identity, memory layout, process and time play no part. Arrays and frames are read from their buffers; other objects are
walked through what ``pickle`` would keep of them (their reduction), which holds a model's state and not the order in
which its parts were made.

The reverse holds for plain data, with one exception: the order of a dict's keys counts, since code can see it. Of code,
what was defined in a notebook (``__main__``) is walked as well: a function with the globals that it names, a class with
its bases and members; what an installed module defines goes by its name. There, values that would do the same may have
different digests, never the other way round.
"""

from __future__ import annotations

import ast
import copyreg
import dis
import functools
import inspect
import os
import struct
import types
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from mlops_jupyter.digest_libraries import LIBRARIES, size_of
from mlops_jupyter.digest_walk import LARGE, Bulk
from mlops_jupyter.errors import ValueRefused
from mlops_jupyter.files import contents, is_folder
from mlops_jupyter.working import NOTICEABLE, advance, is_watched, working

_DEPTH = 400
# What Python, abc and dataclasses add to a class by themselves, out of what else it holds.
_MACHINE_MADE = frozenset(
    [
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__slotnames__"),
        *("__firstlineno__", "__static_attributes__"),
        *("__annotate__", "__annotate_func__", "__annotations_cache__"),
        *("__abstractmethods__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__"),
    ]
)
# The flags of code that change what it does; others tell of where it was compiled.
_MEANT = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
# What IPython puts beside the names of a notebook: the session, no part of anybody's code.
_OF_THE_SHELL = frozenset({"get_ipython", "In", "Out", "exit", "quit"})


def digest_of(value: Any) -> str:
    """Give the digest of a value over all of its content.

    Args:
        value: JSON values, numpy arrays, pandas frames, series and indexes, Arrow tables, paths (their content), and
            any object that pickle could reduce, models included.

    Returns:
        32 hexadecimal digits.

    Raises:
        ValueRefused: Something inside has no content that could be compared (an open socket, say).
    """
    walk = _Walk()
    try:
        with _told(value):
            walk.feed(value, 0)
    except RecursionError:
        raise _too_deep(value) from None
    return walk.hexdigest()


def _told(value: Any) -> AbstractContextManager[object]:
    size = size_of(value) if is_watched() else 0
    return working(f"digest of a {type(value).__name__}", size) if size >= NOTICEABLE else nullcontext()


def digest_file(path: Path) -> str:
    """Give the digest of a file's bytes, or of a folder's names and bytes.

    Args:
        path: A file or a folder. Links count as what they lead to; one that leads to nothing, or back to a folder that
            it lies in, counts as such.

    Returns:
        32 hexadecimal digits.

    Raises:
        ValueRefused: It is a pipe, a socket or a device, or holds one.
        OSError: The file can't be read.
    """
    walk = _Walk()
    walk.file(path)
    return walk.hexdigest()


def digest_code(source: str) -> str:
    """Give the digest of a cell's code, by what it says and not by how it is laid out.

    Args:
        source: Source of one cell. Comments and white space do not count in plain Python; magics and shell lines count
            to the letter.

    Returns:
        32 hexadecimal digits.
    """
    try:
        text = ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        text = source.strip()
    return digest_of(["code", text])


class _Walk:
    """One pass over a value; the state is the hash and the objects now being visited."""

    def __init__(self) -> None:
        from blake3 import blake3

        self._hash = blake3()
        # Object id → order of first visit, for what lies on the way down: a cycle is told by its depth.
        self._open: dict[int, int] = {}
        # Definitions of a notebook that were walked, kept so that no id is used twice: many name the same helpers.
        self._known: dict[int, tuple[int, Any]] = {}
        self._globals: set[tuple[int, str]] = set()

    def hexdigest(self) -> str:
        digest: str = self._hash.hexdigest(length=16)
        return digest

    def leaf(self, tag: str, data: bytes | memoryview = b"") -> None:
        if memoryview(data).nbytes >= LARGE:
            self.stream(tag, [data])
            return
        self._hash.update(f"{tag}:{memoryview(data).nbytes}:".encode())
        self._hash.update(data)

    def stream(self, tag: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Add a leaf whose bytes come in pieces; how they are cut plays no part."""
        bulk = Bulk()
        for piece in pieces:
            bulk.add(piece)
        self.bulk(tag, bulk)

    def bulk(self, tag: str, bulk: Bulk) -> None:
        """Add a leaf whose bytes were taken in elsewhere."""
        self._hash.update(f"{tag}:{bulk.size}:".encode())
        self._hash.update(bulk.content())

    def feed(self, value: Any, depth: int) -> None:
        """Add one value, whatever it is."""
        if depth > _DEPTH:
            raise _too_deep(value)
        plain = _PLAIN.get(type(value))
        if plain is not None:
            self.leaf(type(value).__name__, plain(value))
            return
        if id(value) in self._open:
            self.leaf("cycle", str(len(self._open) - self._open[id(value)]).encode())
            return
        self._open[id(value)] = len(self._open)
        try:
            self._inside(value, depth + 1)
        finally:
            del self._open[id(value)]

    def many(self, tag: str, values: Iterable[Any], depth: int) -> None:
        self.leaf(f"open {tag}")
        for value in values:
            self.feed(value, depth)
        self.leaf(f"close {tag}")

    def _inside(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind in (list, tuple):
            self.many(kind.__name__, value, depth)
        elif kind is dict:
            self.leaf("open dict")
            for key, item in value.items():
                self.feed(key, depth)
                self.feed(item, depth)
            self.leaf("close dict")
        elif kind in (set, frozenset):
            self.many(kind.__name__, sorted(digest_of(item) for item in value), depth)
        elif isinstance(value, os.PathLike):
            self.file(Path(value))
        elif isinstance(value, types.FunctionType):
            self._function(value, depth)
        elif isinstance(value, type):
            self._class(value, depth)
        elif isinstance(value, types.ModuleType):
            self.leaf("module", value.__name__.encode())
        elif isinstance(value, types.CodeType):
            self._code(value, depth)
        elif isinstance(value, types.CellType):
            self.many("cell", _cell(value), depth)
        elif not self._known_library(value, depth):
            self._reduced(value, depth)

    def file(self, path: Path) -> None:
        """Add a file's bytes, or a folder's relative names and bytes in order."""
        if not is_folder(path):
            with _file_told(path, [path]):
                self._content(path)
            return
        held = [entry for entry in contents(path) if entry.kind != "folder"]
        self.leaf("folder", str(len(held)).encode())
        with _file_told(path, [entry.path for entry in held if entry.kind == "file"]):
            for entry in held:
                self.leaf("name", os.fsencode(entry.name))
                if entry.kind == "file":
                    self._content(entry.path)
                else:
                    self.leaf(entry.kind, os.fsencode(entry.leads))

    def _content(self, file: Path) -> None:
        self.leaf("file", str(file.stat().st_size).encode())
        with file.open("rb") as content:
            while chunk := content.read(1 << 22):
                self._hash.update(chunk)
                advance(len(chunk))

    def _known_library(self, value: Any, depth: int) -> bool:
        library = type(value).__module__.partition(".")[0]
        for parent in type(value).__mro__:
            feeder = LIBRARIES.get((parent.__module__.partition(".")[0], parent.__name__))
            if feeder is not None:
                self.leaf("library", f"{library}.{type(value).__name__}".encode())
                if library == "__main__":
                    self.feed(type(value), depth)
                feeder(self, value, depth)
                return True
        return False

    def _is_known(self, value: Any) -> bool:
        """Tell whether a definition was walked before, and write then which one it was."""
        if id(value) in self._known:
            self.leaf("known", str(self._known[id(value)][0]).encode())
            return True
        self._known[id(value)] = (len(self._known), value)
        return False

    def _function(self, value: types.FunctionType, depth: int) -> None:
        if self._is_known(value):
            return
        self.leaf("function", value.__qualname__.encode())
        self._code(value.__code__, depth)
        self.feed(value.__defaults__, depth)
        self.feed(value.__kwdefaults__, depth)
        self.many("closure", value.__closure__ or (), depth)
        if value.__globals__.get("__name__") == "__main__":
            for name in sorted(_global_names(value.__code__)):
                self._global(value.__globals__, name, depth)

    def _global(self, names: dict[str, Any], name: str, depth: int) -> None:
        if name not in names:  # a builtin, or not defined yet
            return
        self.leaf("global", name.encode())
        if name not in _OF_THE_SHELL and (id(names), name) not in self._globals:
            self._globals.add((id(names), name))
            self.feed(names[name], depth)

    def _code(self, code: types.CodeType, depth: int) -> None:
        self.leaf("code", code.co_code)
        self.leaf("handlers", code.co_exceptiontable)
        # How arguments are taken is in none of the instructions; where one list of names ends, in none of the names.
        taken = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _MEANT)
        self.leaf("signature", str((*taken, len(code.co_names), len(code.co_varnames))).encode())
        self.many("names", (*code.co_names, *code.co_varnames, *code.co_freevars), depth)
        self.many("consts", code.co_consts, depth)

    def _class(self, value: type, depth: int) -> None:
        self.leaf("class", _dotted(value.__module__, value.__qualname__))
        # A class of an installed module is told by its name; one of a notebook changes with its cell.
        if value.__module__ != "__main__" or self._is_known(value):
            return
        self.many("bases", (type(value), *value.__bases__), depth)
        for name, member in sorted(vars(value).items()):
            # Merely to ask a class without annotations for them gives it an empty dict.
            if name not in _MACHINE_MADE and (name, member) != ("__annotations__", {}):
                self.leaf("member", name.encode())
                self._member(member, depth)

    def _member(self, member: Any, depth: int) -> None:
        if isinstance(member, staticmethod | classmethod):
            self.many(type(member).__name__, (member.__func__,), depth)
        elif type(member) is property:
            self.many("property", (member.fget, member.fset, member.fdel), depth)
        elif isinstance(member, functools.cached_property):
            self.many("cached property", (member.func,), depth)
        elif isinstance(member, types.MemberDescriptorType):
            self.leaf("slot")
        else:
            self.feed(member, depth)

    def _reduced(self, value: Any, depth: int) -> None:
        try:
            reducer = copyreg.dispatch_table.get(type(value))
            reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        except Exception as error:
            raise ValueRefused(
                f"a {type(value).__name__} has no content to compare: {error}",
                "publish a plain value, a frame, an array, a fitted model or a file",
            ) from error
        self.leaf("object", _dotted(type(value).__module__, type(value).__qualname__))
        if isinstance(reduced, str):
            self._named(value, reduced, depth)
            return
        if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6 or not callable(reduced[0]):
            raise ValueRefused(
                f"a {type(value).__name__} has no content to compare: its __reduce__ gives nothing that pickle takes",
                "publish a plain value, a frame, an array, a fitted model or a file",
            )
        maker, arguments, *rest = reduced
        self._maker(maker, depth)
        self.feed(arguments, depth)
        state, items, pairs = (*rest, None, None, None)[:3]
        self.feed(state, depth)
        self.many("items", items or (), depth)
        self.many("pairs", pairs or (), depth)

    def _maker(self, maker: Any, depth: int) -> None:
        # What it holds counts: the object of a method, the arguments of functools.partial.
        held = getattr(maker, "__self__", None)
        is_bound = held is not None and not isinstance(held, type | types.ModuleType)
        if is_bound or not hasattr(maker, "__qualname__"):
            self.leaf("maker")
            self.feed(maker, depth)
            return
        self.leaf("maker", _dotted(maker.__module__, maker.__qualname__))
        if maker.__module__ == "__main__":
            self.feed(maker, depth)

    def _named(self, value: Any, name: str, depth: int) -> None:
        """Add what pickle keeps as a name only: for a notebook's own, what stands behind the name."""
        self.leaf("global", _dotted(getattr(value, "__module__", None), name))
        if getattr(value, "__module__", None) != "__main__" or type(value).__module__ == "typing":
            return
        # What functools.cache makes of a function, say.
        behind = getattr(value, "__wrapped__", None)
        if behind is None:
            raise ValueRefused(
                f"{name}, a {type(value).__name__} of this notebook, has no content to compare",
                "publish a plain value, a frame, an array, a fitted model or a file",
            )
        self.feed(behind, depth)


def _dotted(module: str | None, name: str) -> bytes:
    """Join the names of a module and of something in it, so that a class inside a class is told from a module's."""
    return f"{module}{':' if '.' in name else '.'}{name}".encode("utf-8", "surrogatepass")


def _file_told(path: Path, files: Sequence[Path]) -> AbstractContextManager[object]:
    size = sum(file.stat().st_size for file in files) if is_watched() else 0
    return working(f"digest of {path.name}", size) if size >= NOTICEABLE else nullcontext()


def _too_deep(value: Any) -> ValueRefused:
    return ValueRefused(
        f"a {type(value).__name__} is nested too deep to compare",
        "flatten it, or write it to a file and publish that",
    )


def _global_names(code: types.CodeType) -> set[str]:
    """Give the globals that code names, that of functions inside included."""
    found = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inside = (_global_names(each) for each in code.co_consts if isinstance(each, types.CodeType))
    return found.union(*inside)


def _cell(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # an empty cell: the name is not bound yet
        return ()


def _float(value: float) -> bytes:
    return struct.pack("<d", value)


_PLAIN: dict[type, Any] = {
    type(None): lambda value: b"",
    type(...): lambda value: b"",
    bool: lambda value: b"1" if value else b"0",
    # Python refuses to write very long numbers in the decimal system.
    int: lambda value: (str(value) if value.bit_length() < 1000 else hex(value)).encode(),
    float: _float,
    complex: lambda value: _float(value.real) + _float(value.imag),
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: lambda value: value,
    bytearray: lambda value: value,
}
