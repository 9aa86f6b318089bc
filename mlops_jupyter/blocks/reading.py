"""Reading packs: memories brought back, blocks checked."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlops_jupyter.blocks.catalogue import Place
from mlops_jupyter.blocks.mapping import Extent, Mapped, read_into
from mlops_jupyter.blocks.memories import BLOCK, Kept, name_of
from mlops_jupyter.blocks.packs import PAGE
from mlops_jupyter.errors import IntegrityError

#: A memory shorter than this is read and checked at once: to map it would take as long.
MAPPED = 1 << 20
_HINT = "bring it back from a copy of the store"


@dataclass(frozen=True)
class Opened:
    """A memory that was brought back.

    Args:
        memory: The memory itself, private to this process and writable.
        kept: What it is in the store.
        unread: Where the blocks lie that are mapped and were not read yet, by number: nobody has looked whether they
            are what they were.
    """

    memory: Mapped
    kept: Kept
    unread: Mapping[int, Place]


class PackReader:
    """Reads blocks.

    Args:
        folder: Where packs lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def opened(self, kept: Kept, places: Sequence[Place]) -> Opened:
        """Bring a memory back, as far as it can be mapped without being read.

        Args:
            kept: What it is.
            places: Where its blocks lie, in order.

        Raises:
            IntegrityError: A pack is missing or cut off, or a block that was read is damaged.
            OSError: The disk fails.
        """
        memory = Mapped(kept.size)
        unread: dict[int, Place] = {}
        for number, place in enumerate(places):
            if kept.size >= MAPPED and place.stored == place.size and place.place % PAGE == 0:
                unread[number] = place
            else:
                with memory.view() as view:
                    view[number * BLOCK : number * BLOCK + place.size] = self.read(place)
        try:
            for start, extents in self._stretches(unread):
                memory.place(start, extents)
        except FileNotFoundError as error:
            raise IntegrityError(f"the pack {Path(error.filename).name} is missing", _HINT) from None
        return Opened(memory, kept, unread)

    def _stretches(self, blocks: Mapping[int, Place]) -> Iterator[tuple[int, list[Extent]]]:
        """Give where in a memory blocks follow one another, and what of packs they are, joined where they do there."""
        begin, after, extents = 0, -1, list[Extent]()
        for number, place in blocks.items():
            if number != after and extents:
                yield begin * BLOCK, extents
                extents = []
            if not extents:
                begin = number
            path = self._folder / place.pack
            last = extents[-1] if extents else None
            if last is not None and (last.pack, last.place + last.size) == (path, place.place):
                extents[-1] = replace(last, size=last.size + place.size)
            else:
                extents.append(Extent(path, place.place, place.size))
            after = number + 1
        if extents:
            yield begin * BLOCK, extents

    def read(self, place: Place) -> bytes:
        """Read a block.

        Args:
            place: Where it lies.

        Returns:
            Its bytes, which are what they were.

        Raises:
            IntegrityError: They are not, or its pack is missing or cut off.
            OSError: The disk fails.
        """
        data = bytearray(place.stored)
        try:
            handle = os.open(self._folder / place.pack, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise IntegrityError(f"the pack {place.pack} is missing", _HINT) from None
        try:
            read_into(handle, place.place, memoryview(data))
        finally:
            os.close(handle)
        found = bytes(data) if place.stored == place.size else _expanded(bytes(data), place.size)
        if len(found) != place.size or name_of(found) != place.name:
            raise IntegrityError(f"a block of the pack {place.pack} is damaged", _HINT)
        return found


def _expanded(data: bytes, size: int) -> bytes:
    """Expand a block; nothing where it is none, or would become longer than it was."""
    import zstandard

    if size > BLOCK:
        return b""
    try:
        # The frame says itself how long it becomes; one that lies is stopped at what a block may have.
        if zstandard.frame_content_size(data) != size:
            return b""
        found: bytes = _expander().decompress(data, max_output_size=size)
    except zstandard.ZstdError:
        return b""
    return found


@functools.cache
def _expander() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor()
