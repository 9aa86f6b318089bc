"""The queues of this process: closed when it ends, and let go of by a process that is forked off."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from typing import Protocol

_logger = logging.getLogger("mlops_jupyter")


class Closable(Protocol):
    """What is closed when the process ends."""

    def close(self) -> None:
        """Deliver what is left, and let go of the files."""

    def forked(self) -> None:
        """Let go of what belongs to the process that this one was forked off."""


_all: weakref.WeakSet[Closable] = weakref.WeakSet()


def note(queue: Closable) -> None:
    """Note a queue of this process."""
    _all.add(queue)


@atexit.register
def _close_all() -> None:
    for queue in list(_all):
        try:
            queue.close()
        except Exception as error:  # the next one has entries of its own; what is here is kept for the next process
            _logger.debug("a queue could not be closed: %s", error)


def _after_fork() -> None:
    for queue in list(_all):
        queue.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
