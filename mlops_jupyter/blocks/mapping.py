"""Mapping: memory that lies in packs, as if it had been read.

Pages are read when they are first touched, and written to by nobody but this process: a change makes a page its own.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.blocks.packs import PAGE
from mlops_jupyter.errors import IntegrityError

# The operating system gives a process some tens of thousands of mappings; past this many for one memory, it is read.
_MOST_EXTENTS = 2048
_PROTECTION = mmap.PROT_READ | mmap.PROT_WRITE if hasattr(mmap, "PROT_READ") else 0
# Linux and macOS have given it one number each, and Python no name.
_FIXED = 0x10


@dataclass(frozen=True)
class Extent:
    """A part of a memory that lies in one piece in a pack.

    Args:
        pack: The pack's file.
        place: Where it begins in the pack.
        size: How long it is.
    """

    pack: Path
    place: int
    size: int


class Mapped:
    """Memory of this process, private and writable; whoever looks into it keeps it.

    Args:
        size: How long it is.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory = mmap.mmap(-1, max(size, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def view(self) -> memoryview:
        """Give the memory, to write to."""
        return memoryview(self.memory)[: self.size]

    def place(self, start: int, extents: Sequence[Extent]) -> None:
        """Lay parts of packs into the memory, one behind the other.

        Args:
            start: Where the first begins.
            extents: The parts; each but the last is as long as some pages.

        Raises:
            IntegrityError: A pack is shorter than it was.
            FileNotFoundError: A pack is not there.
            OSError: The operating system does not map, or not read them.
        """
        can_map = len(extents) <= _MOST_EXTENTS and PAGE % mmap.PAGESIZE == 0 and start % PAGE == 0
        for extent in extents:
            handle = os.open(extent.pack, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # A page past the end of a file would end the process when it is touched.
                if os.fstat(handle).st_size < extent.place + extent.size:
                    raise IntegrityError(
                        f"the pack {extent.pack.name} has been cut off", "bring it back from a copy of the store"
                    )
                if can_map and extent.place % PAGE == 0:
                    self._map(start, extent, handle)
                else:
                    read_into(handle, extent.place, self.view()[start : start + extent.size])
            finally:
                os.close(handle)
            start += extent.size

    def _map(self, start: int, extent: Extent, handle: int) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        flags = mmap.MAP_PRIVATE | _FIXED
        got = _mmap()(address + start, extent.size, _PROTECTION, flags, handle, extent.place)
        if got != address + start:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(extent.pack))


def read_into(handle: int, place: int, memory: memoryview) -> None:
    """Read a part of a file.

    Raises:
        IntegrityError: The file ends before.
        OSError: The disk fails.
    """
    done = 0
    while done < len(memory):
        read = os.preadv(handle, [memory[done:]], place + done)
        if not read:
            raise IntegrityError("a pack has been cut off", "bring it back from a copy of the store")
        done += read


@functools.cache
def _mmap() -> Any:
    made = ctypes.CDLL(None, use_errno=True).mmap
    made.restype = ctypes.c_void_p
    made.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
    ]  # fmt: skip
    return made
