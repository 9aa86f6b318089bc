"""A tiny process that ends the kernels of a process that was killed.

A kernel looks every second whether its parent is still there, but not while it computes in C, and what it has started
itself is nobody's business then. So a process that starts kernels starts one of these first and tells it, through a
pipe, which process groups live. When the pipe closes, because its writer ended or was killed, the groups that are left
are killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import TracebackType

_PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Watchdog:
    """Guards process groups for as long as this process lives; a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Watchdog:
        """Start guarding."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop guarding; whatever is left is killed."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def watch(self, group: int) -> None:
        """Guard a process group.

        Args:
            group: Its id.
        """
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Guard a process group no longer.

        Args:
            group: Its id.
        """
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _PROGRAM],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    # A Ctrl-C of the terminal is for us; the watchdog has to outlive it.
                    start_new_session=True,
                )
            pipe = self._process.stdin
            if pipe is None:
                return
            try:
                pipe.write(line)
                pipe.flush()
            except BrokenPipeError:  # somebody ended the watchdog: the run goes on without
                pass


def kill_group(group: int, signum: int = signal.SIGKILL) -> None:
    """Send a signal to a process group; no error when it is gone.

    Args:
        group: Its id.
        signum: The signal.
    """
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        pass
