"""Locks between processes that end with their holder, however it ends.

A lock is ``flock`` on a file: the kernel of the operating system lets go of it when the process is gone, SIGKILL
included, so that no lock is ever stale. It holds on this machine; two machines that do the same step at once do
it twice, which costs time and nothing else, since what they publish goes by its content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Lock:
    """A file that one process at a time can hold.

    Args:
        path: The file; made when missing, removed when let go.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free.

        Returns:
            Whether it is ours now.
        """
        import fcntl

        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever let go before us has removed the file: then what we hold is a name that nobody else sees.
            if not self._is_current(handle):
                os.close(handle)
                return self.acquire()
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Let go of the lock; no error when it is not held."""
        if self._handle is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


@contextmanager
def held(path: Path, wait: Callable[[float], bool]) -> Iterator[bool]:
    """Hold a lock, waiting for it.

    Args:
        path: The lock's file.
        wait: Sleeps for some seconds; returns True to give up.

    Yields:
        Whether somebody else held it before. It is ours meanwhile, unless waiting was given up.
    """
    lock = Lock(path)
    waited = False
    while not lock.acquire():
        waited = True
        if wait(0.1):
            break
    try:
        yield waited
    finally:
        lock.release()
