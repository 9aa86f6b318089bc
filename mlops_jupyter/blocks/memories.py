"""Memories: what one is called, and how its blocks are named."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: How long a block is.
BLOCK = 256 << 10
#: How long a block's name and its quick digest are.
NAME, QUICK = 32, 16


@dataclass(frozen=True)
class Kept:
    """A memory that is in the store, and how to tell whether another is the same.

    Args:
        key: 64 hexadecimal digits, the digest of its length and of its blocks' names.
        size: How long it is.
        names: The names of its blocks, one behind the other.
        quick: Their quick digests, one behind the other.
    """

    key: str
    size: int
    names: bytes
    quick: bytes


def memory_key(size: int, names: bytes | bytearray) -> bytes:
    """Give the key of a memory.

    Args:
        size: Its length in bytes.
        names: The names of its blocks, one behind the other.
    """
    from blake3 import blake3

    digest: bytes = blake3(b"memory" + size.to_bytes(8, "little") + names).digest()
    return digest


def name_of(data: bytes | memoryview) -> bytes:
    """Give the name of a block, or of an object: the blake3 digest of its bytes."""
    from blake3 import blake3

    digest: bytes = blake3(data).digest()
    return digest


def quick_digests(view: memoryview) -> bytes:
    """Give the quick digests of a memory's blocks, one behind the other; this takes as long as reading it.

    Args:
        view: The memory, as bytes.
    """
    from xxhash import xxh3_128_digest

    return b"".join([xxh3_128_digest(view[start : start + BLOCK]) for start in range(0, len(view), BLOCK)])


def block_sizes(size: int) -> Iterator[int]:
    """Give the lengths of the blocks of a memory, in order."""
    yield from (BLOCK,) * (size // BLOCK)
    if size % BLOCK:
        yield size % BLOCK


def packed(ids: Iterable[int]) -> bytes:
    """Write numbers of blocks down, four bytes each."""
    numbers = array("I", ids)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def unpacked(data: bytes) -> list[int]:
    """Read numbers of blocks."""
    numbers = array("I", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
