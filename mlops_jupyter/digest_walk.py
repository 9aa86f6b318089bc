"""One pass of a digest over a value, as those see it who know what the values of libraries hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from mlops_jupyter.working import pieces

#: Leaves of this many bytes and more go in by their xxh3_128: blake3 is several times slower than memory.
LARGE = 1 << 16


class Bulk:
    """The bytes of one leaf while they come in: themselves as long as they are few, then their xxh3_128."""

    def __init__(self) -> None:
        self.size = 0
        self._few = bytearray()
        self._hash: Any = None

    def add(self, piece: bytes | memoryview) -> None:
        """Take in more of the leaf."""
        self.size += memoryview(piece).nbytes
        if self._hash is None and self.size < LARGE:
            self._few += piece
            return
        if self._hash is None:
            import xxhash

            self._hash = xxhash.xxh3_128(bytes(self._few))
        for part in pieces(piece):
            self._hash.update(part)

    def content(self) -> bytes:
        """Give what stands for the leaf; its size tells which of the two it is."""
        return bytes(self._few) if self._hash is None else self._hash.digest()


class Walk(Protocol):
    """One pass over a value, as the functions here see it."""

    def leaf(self, tag: str, data: bytes | memoryview = b"") -> None:
        """Add a leaf: its kind, and its bytes."""

    def stream(self, tag: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Add a leaf whose bytes come in pieces; how they are cut plays no part."""

    def bulk(self, tag: str, bulk: Bulk) -> None:
        """Add a leaf whose bytes were taken in elsewhere."""

    def feed(self, value: Any, depth: int) -> None:
        """Add any value."""

    def many(self, tag: str, values: Iterable[Any], depth: int) -> None:
        """Add values in order, between an opening and a closing leaf."""
