"""Locks between processes that end with their holder, however it ends.

A lock is ``flock`` on a file: the kernel of the operating system lets go of it when the process is gone, SIGKILL
included, so that no lock is ever stale. It holds on this machine, and on those network file systems that carry
``flock`` over. Two holders in one process, threads say, exclude each other as two processes do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[Lock] = set()


def _after_fork() -> None:
    """Let go of what the process holds that this one was forked off: else nobody would, as long as this one lives."""
    for lock in tuple(_held):
        lock.release(keep=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
            current = self._is_current(handle)
        except BlockingIOError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        if not current:
            os.close(handle)
            return self.acquire()
        self._handle = handle
        _held.add(self)
        return True

    def release(self, *, keep: bool = False) -> None:
        """Let go of the lock; no error when it is not held.

        Args:
            keep: Leave the file where it is, as a process that dies does.
        """
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        _held.discard(self)
        try:
            if not keep:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def is_held(self) -> bool:
        """Tell whether somebody holds the lock; nothing is made or removed."""
        import fcntl

        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who ask don't take each other for the holder.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(handle)

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


class SharedLock:
    """A file that many processes can hold together, or one alone; it stays where it is.

    Args:
        path: The file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it together with others; waits for whoever holds it alone."""
        import fcntl

        handle = self._opened()
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold it alone, if nobody holds it.

        Yields:
            Whether nobody does.
        """
        import fcntl

        handle = self._opened()
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def _opened(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
