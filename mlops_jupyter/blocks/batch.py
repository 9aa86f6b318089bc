"""A batch: what is put into a store in one go."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from mlops_jupyter.blocks.catalogue import Catalogue, Place
from mlops_jupyter.blocks.memories import (
    BLOCK,
    NAME,
    QUICK,
    Kept,
    memory_key,
    name_of,
    packed,
    quick_digests,
)
from mlops_jupyter.blocks.packs import PackWriter

# An object longer than this lies in blocks.
_SMALL = 32 << 10
# So many blocks are copied, named and written in one go.
_STAGED = 16
# Of what might be compressed, this much is tried first.
_SAMPLE = 64 << 10
# What shrinks to more than this part of itself is kept as it is, so that it can be mapped.
_WORTH = 0.75


class Batch:
    """Takes memories, objects and records, and writes them down together.

    Args:
        catalogue: Where they are noted.
        writer: Where blocks are appended.
    """

    def __init__(self, catalogue: Catalogue, writer: PackWriter) -> None:
        self._catalogue = catalogue
        self._writer = writer
        self._blocks: dict[bytes, Place] = {}
        self._memories: dict[bytes, tuple[int, bytes]] = {}
        self._objects: dict[bytes, tuple[int, bytes | None, bytes | None]] = {}
        self._records: dict[tuple[str, str], bytes | None] = {}
        self._staging = bytearray()
        #: How often something was taken away from the store.
        self.sweeps = catalogue.sweeps()

    def keep(self, view: memoryview, before: Kept | None = None, quick: bytes | None = None) -> Kept:
        """Keep a memory; see :meth:`BlockStore.keep`.

        Args:
            view: The memory, as bytes.
            before: What it was when it was last kept.
            quick: Its quick digests, where they are known.
        """
        digests = bytearray(quick_digests(view) if quick is None else quick)
        if before is not None and before.size == len(view) and before.quick == digests:
            return before
        names = bytearray(len(digests) // QUICK * NAME)
        changed = self._changed(len(view), digests, names, before)
        squeeze = _shrinks(view) if changed else False
        for start in range(0, len(changed), _STAGED):
            self._stage(view, changed[start : start + _STAGED], digests, names, squeeze)
        key = memory_key(len(view), names)
        self._memories[key] = (len(view), bytes(names))
        return Kept(key.hex(), len(view), bytes(names), bytes(digests))

    def _changed(self, size: int, quick: bytearray, names: bytearray, before: Kept | None) -> Sequence[int]:
        """Fill in the names of the blocks that are as they were; give the numbers of the others."""
        count = len(quick) // QUICK
        if before is None:
            return range(count)
        # The last block of a memory that has grown, or shrunk, is another one.
        same = min(size, before.size) // BLOCK if size != before.size else count
        changed = []
        for number in range(count):
            place = slice(number * QUICK, (number + 1) * QUICK)
            if number < same and quick[place] == before.quick[place]:
                names[number * NAME : (number + 1) * NAME] = before.names[number * NAME : (number + 1) * NAME]
            else:
                changed.append(number)
        return changed

    def _stage(
        self, view: memoryview, numbers: Sequence[int], quick: bytearray, names: bytearray, squeeze: bool
    ) -> None:
        """Name and write some blocks of a memory, from a copy: another thread may write to it."""
        from xxhash import xxh3_128_digest

        if not self._staging:
            self._staging = bytearray(_STAGED * BLOCK)
        staging, found = memoryview(self._staging), {}
        for slot, number in enumerate(numbers):
            data = view[number * BLOCK : (number + 1) * BLOCK]
            copy = staging[slot * BLOCK : slot * BLOCK + len(data)]
            copy[:] = data
            name = name_of(copy)
            names[number * NAME : (number + 1) * NAME] = name
            quick[number * QUICK : (number + 1) * QUICK] = digest = xxh3_128_digest(copy)
            if name not in self._blocks:
                found[name] = (copy, digest)
        for known in self._catalogue.ids(list(found)):
            del found[known]
        self._write(found, squeeze)

    def _write(self, found: dict[bytes, tuple[memoryview, bytes]], squeeze: bool) -> None:
        small: dict[bytes, tuple[memoryview, bytes, bytes]] = {}
        large: dict[bytes, tuple[memoryview, bytes, memoryview]] = {}
        for name, (data, digest) in found.items():
            stored = _squeezed(data) if squeeze else b""
            if stored and len(stored) < _WORTH * len(data):
                small[name] = (data, digest, stored)
            else:
                large[name] = (data, digest, data)
        self._append(large, aligned=True)
        self._append(small, aligned=False)

    def _append(self, found: dict[bytes, tuple[memoryview, bytes, Any]], *, aligned: bool) -> None:
        if not found:
            return
        places = self._writer.append([stored for _, _, stored in found.values()], aligned=aligned)
        for place, (name, (data, digest, stored)) in zip(places, found.items(), strict=True):
            self._blocks[name] = Place(name, digest, len(data), self._writer.name, place, len(stored))

    def put(self, data: bytes | memoryview) -> str:
        """Keep an object; see :meth:`BlockStore.put`."""
        name = name_of(data)
        if name not in self._objects and self._catalogue.size_of_object(name) is None:
            if len(data) <= _SMALL:
                self._objects[name] = (len(data), bytes(data), None)
            else:
                kept = self.keep(memoryview(data).cast("B"))
                self._objects[name] = (len(data), None, bytes.fromhex(kept.key))
        return name.hex()

    def put_record(self, kind: str, name: str, document: bytes | None) -> None:
        """Keep a document under a kind and a name; None takes it away."""
        self._records[kind, name] = document

    def commit(self) -> None:
        """Write all of it down.

        Raises:
            sqlite3.Error: The catalogue can't be written; then nothing was.
        """
        if not (self._memories or self._objects or self._records):
            return
        with self._catalogue.writing():
            self._catalogue.add_blocks(self._blocks.values())
            for key, (size, names) in self._memories.items():
                if self._catalogue.memory(key) is None:
                    self._catalogue.add_memory(key, size, self._ids(names))
            for name, said in self._objects.items():
                self._catalogue.add_object(name, *said)
            for (kind, known_as), document in self._records.items():
                if document is None:
                    self._catalogue.remove_record(kind, known_as)
                else:
                    self._catalogue.put_record(kind, known_as, document)

    def _ids(self, names: bytes) -> bytes:
        each = [names[start : start + NAME] for start in range(0, len(names), NAME)]
        known = self._catalogue.ids(list(dict.fromkeys(each)))
        return packed(known[name] for name in each)


def _shrinks(view: memoryview) -> bool:
    """Tell whether compressing a memory is worth it, by a piece from its middle."""
    start = max(0, len(view) // 2 - _SAMPLE // 2) & ~7
    sample = view[start : start + _SAMPLE]
    return len(_squeezed(sample)) < _WORTH * len(sample)


def _squeezed(data: memoryview) -> bytes:
    made: bytes = _compressor().compress(data)
    return made


@functools.cache
def _compressor() -> Any:
    import zstandard

    return zstandard.ZstdCompressor(level=1)
