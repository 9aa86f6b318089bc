"""Packs: files that one process appends blocks to, and every process reads."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

#: What does not shrink begins at a multiple of this in its pack, so that it can be mapped.
PAGE = 4096
#: A pack that has grown past this is closed, and another begun: what is deleted is given back pack by pack.
FULL = 512 << 20
# The operating system takes no more pieces than this in one call.
_PIECES = 512


class PackWriter:
    """Appends to packs of this process's own.

    Args:
        folder: Where packs lie; made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: int | None = None
        self._owner = 0
        self._end = 0
        self._unsynced: list[int] = []
        #: The name of the pack that is written; empty before the first append.
        self.name = ""

    def append(self, pieces: Sequence[bytes | memoryview], *, aligned: bool) -> list[int]:
        """Write pieces one behind the other.

        Args:
            pieces: What to write.
            aligned: Whether each of them is to begin at a page.

        Returns:
            Where each begins. They are in the file :attr:`name` when this returns, if the machine keeps its power;
            see :meth:`sync`.

        Raises:
            OSError: They can't be written; nothing that was appended before is touched.
        """
        handle = self._opened()
        places, end = [], self._end
        parts: list[bytes | memoryview] = []
        for piece in pieces:
            if aligned and end % PAGE:
                gap = PAGE - end % PAGE
                parts.append(bytes(gap))
                end += gap
            places.append(end)
            parts.append(piece)
            end += len(piece)
        self._write(handle, parts)
        self._end = end
        return places

    def _write(self, handle: int, parts: Sequence[bytes | memoryview]) -> None:
        place = self._end
        views = [memoryview(part) for part in parts if len(part)]
        while views:
            written = os.pwritev(handle, views[:_PIECES], place)
            place += written
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if written:
                views[0] = views[0][written:]

    def sync(self) -> None:
        """Wait until what was appended would outlast a loss of power.

        Raises:
            OSError: The disk fails.
        """
        for handle in self._unsynced:
            os.fsync(handle)
        closed = [handle for handle in self._unsynced if handle != self._handle]
        for handle in closed:
            os.close(handle)
        self._unsynced = [handle for handle in self._unsynced if handle == self._handle]

    def close(self) -> None:
        """Let go of the pack: it is not appended to any more."""
        for handle in self._unsynced:
            os.close(handle)
        self._unsynced, self._handle, self.name = [], None, ""

    def _opened(self) -> int:
        if self._owner != os.getpid():
            # Forked off: the parent goes on with its own pack, whose lock this process has inherited.
            self._unsynced, self._handle = [], None
        if self._handle is None or self._end >= FULL:
            self._handle, self._owner, self._end = self._begin(), os.getpid(), 0
            self._unsynced.append(self._handle)
        return self._handle

    def _begin(self) -> int:
        import fcntl

        self._folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{uuid.uuid4().hex}.pack"
        handle = os.open(self._folder / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        # Held for as long as it may be appended to, so that nobody takes a pack away whose places nobody knows yet.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
