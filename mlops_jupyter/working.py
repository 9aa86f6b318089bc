"""Work that takes its time, told to whoever shows it.

Long work says what it is, of how much, and how far it has come: ``with working("digest of x", total=bytes) as work:``.
A door says that it watches (:func:`watch`), and shows what takes longer than a second; where nobody watches, nothing
happens at all. Who watches is told by the context: other threads' work, the server's say, is nobody's here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

#: Less than this many bytes take no second on any machine, so they are not worth a word.
NOTICEABLE = 1 << 24
_AFTER = 1.0
# As often as hashing or writing in one go is broken off to say how far it has come.
PIECE = 1 << 25


@dataclass(eq=False)
class Work:
    """Something that is going on.

    Args:
        what: What it is, in a few words.
        total: How much there is of it; None where nobody knows.
        unit: What is counted: ``bytes``, or a noun in the plural.
        began: When, in the time of the watcher's clock.
        done: How much of it is done.
    """

    what: str
    total: float | None = None
    unit: str = "bytes"
    began: float = 0.0
    done: float = 0.0

    def advance(self, amount: float = 1) -> None:
        """Note that more of it is done."""
        self.done += amount

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None where that can't be told, or there was more than anybody thought."""
        return self.done / self.total if self.total and self.done <= self.total else None


class Watching(Protocol):
    """Whoever is told of work."""

    def begin(self, work: Work) -> None:
        """Take notice of work that begins."""

    def end(self, work: Work) -> None:
        """Take notice of its end."""


_watching: ContextVar[Watching | None] = ContextVar("mlops_watching", default=None)
_current: ContextVar[Work | None] = ContextVar("mlops_work", default=None)


class _Unwatched(Work):
    """Work that nobody watches; one serves all."""

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *problem: object) -> None:
        pass

    def advance(self, amount: float = 1) -> None:
        """Note nothing."""


_UNWATCHED = _Unwatched("")


class _Watched:
    """The time that work takes."""

    def __init__(self, watching: Watching, work: Work) -> None:
        self._watching = watching
        self._work = work
        self._token: Token[Work | None] | None = None

    def __enter__(self) -> Work:
        try:
            self._token = _current.set(self._work)
            self._watching.begin(self._work)
        except BaseException:  # interrupted: nobody else would end it
            self.__exit__(None, None, None)
            raise
        return self._work

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        self._watching.end(self._work)


def working(what: str, total: float | None = None, unit: str = "bytes") -> _Watched | _Unwatched:
    """Say that work begins that may take more than a second; it ends with the block.

    Args:
        what: What it is, in a few words.
        total: How much there is of it; None where nobody knows.
        unit: What is counted: ``bytes``, or a noun in the plural.

    Returns:
        A context manager that gives the work, to say how far it has come.
    """
    watching = _watching.get()
    if watching is None:
        return _UNWATCHED
    # Of what nobody knows the size, the bytes that happen to be written inside say nothing.
    return _Watched(watching, Work(what, total, unit if total is not None else ""))


def is_watched() -> bool:
    """Tell whether anybody watches: else nothing needs to be measured for them."""
    return _watching.get() is not None


def advance(amount: float, unit: str = "bytes") -> None:
    """Note progress from deep inside, for the innermost work that counts this unit, if it does."""
    work = _current.get()
    if work is not None and work.unit == unit:
        work.advance(amount)


@contextmanager
def counted(amount: float, unit: str = "bytes") -> Iterator[None]:
    """Note so much progress at the end of a block, whatever of it was noted inside: what is there is not written."""
    work = _current.get()
    if work is None or work.unit != unit:
        yield
        return
    done = work.done + amount
    yield
    work.done = done


def pieces(data: bytes | memoryview) -> Iterator[memoryview]:
    """Cut bytes into pieces after each of which somebody may want to know how far it has come.

    Args:
        data: A contiguous buffer.

    Yields:
        All of it, in order; progress is noted after each.
    """
    view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
    for start in range(0, view.nbytes, PIECE):
        piece = view[start : start + PIECE]
        yield piece
        advance(piece.nbytes)


def watch(watching: Watching | None) -> None:
    """Let somebody watch the work of this context from now on; None for nobody."""
    _watching.set(watching)


@contextmanager
def watched_by(watching: Watching | None) -> Iterator[None]:
    """Let somebody watch the work of a block."""
    token = _watching.set(watching)
    try:
        yield
    finally:
        _watching.reset(token)


# ---------------------------------------------------------------------------------------------------------------------
# Watching


class Screen(Protocol):
    """Where work is shown; what it looks like is a door's."""

    def prepare(self) -> None:
        """Get ready, in the thread that works: something begins that may have to be shown."""

    def draw(self, work: Work, seconds: float) -> None:
        """Show work that has been going on for so long, in the place of what was shown before."""

    def wipe(self) -> None:
        """Show nothing any more; called in the thread that worked, whether or not anything was shown."""


class Watcher:
    """Shows what takes longer than a second, as long as it takes.

    Args:
        screen: Where.
        every: How many seconds lie between two looks.
        clock: Gives the time in seconds.
    """

    def __init__(self, screen: Screen, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._works: list[Work] = []
        self._looking: list[tuple[threading.Thread, threading.Event]] = []

    def begin(self, work: Work) -> None:
        """Take notice of work that begins."""
        work.began = self._clock()
        with self._lock:
            self._works.append(work)
            if len(self._works) > 1:
                return
        self._carried_out(self._screen.prepare)
        idle = threading.Event()
        thread = threading.Thread(target=self._look, args=(idle,), name="mlops-working", daemon=True)
        with suppress(RuntimeError):  # as many threads as there may be, or Python is about to end: work unseen
            thread.start()
            with self._lock:
                self._looking.append((thread, idle))

    def end(self, work: Work) -> None:
        """Take notice of its end; what was shown of it is gone when this returns."""
        with self._lock:
            if work in self._works:
                self._works.remove(work)
            if self._works:
                return
            looking, self._looking = self._looking, []
        try:
            for thread, idle in looking:
                idle.set()
                thread.join()
        finally:
            self._carried_out(self._screen.wipe)

    def shown(self) -> Work | None:
        """Give the work that is to be shown now: the outermost that tells how far it is, else the innermost."""
        now = self._clock()
        with self._lock:
            long = [work for work in self._works if now - work.began >= _AFTER]
        return next((work for work in long if work.fraction is not None), long[-1] if long else None)

    def _look(self, idle: threading.Event) -> None:
        wait = _AFTER
        while not idle.wait(wait):
            wait = self._every
            work = self.shown()
            if work is not None and not self._carried_out(self._screen.draw, work, self._clock() - work.began):
                return

    def _carried_out(self, call: Callable[..., None], *arguments: Any) -> bool:
        try:
            call(*arguments)
        except Exception as problem:  # a door that can't show work must not disturb it
            logging.getLogger("mlops_jupyter").debug("progress could not be shown: %s", problem)
            return False
        return True
