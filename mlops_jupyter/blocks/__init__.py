"""Memory in blocks: what changes in part is stored in part, and comes back without being read.

Words of this room:

memory
    A stretch of bytes that something in a notebook looks into, an array's say. It goes by a key: the digest of its
    length and of the names of its blocks.
block
    256 KiB of a memory; the last of one may be shorter. A block goes by the blake3 digest of its bytes, and is stored
    once, whatever memories it belongs to. Whether one has changed since is told by its quick digest, xxh3, which
    takes as long as reading it.
pack
    A file that blocks are appended to, by the one process that has made it. What is in a pack never changes, and a
    pack never shrinks: processes have it mapped. Blocks that don't shrink under compression begin at a page, so that
    a memory is mapped where it lies.
object
    Bytes without blocks, a pickle say; the small ones lie in the catalogue itself.
catalogue
    A SQLite database: which block lies where, which blocks a memory has, and records by kind and name. Every write
    to a pack precedes that of its place here: what the catalogue names is there.

The room's door is :class:`~mlops_jupyter.blocks.store.BlockStore`.
"""

from __future__ import annotations

from mlops_jupyter.blocks.mapping import Mapped
from mlops_jupyter.blocks.memories import Kept
from mlops_jupyter.blocks.store import BlockStore

__all__ = ["BlockStore", "Kept", "Mapped"]
