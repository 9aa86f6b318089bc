"""Progress of a pipeline as lines of text, for terminals and notebooks."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from typing import Any, TextIO

from mlops_jupyter.display import safe_text, seconds_text

_SIGNS = {
    "running": "▸",
    "succeeded": "✓",
    "cached": "↺",
    "failed": "✗",
    "timed_out": "✗",
    "cancelled": "✗",
    "upstream_failed": "·",
    "skipped": "·",
}


def line_for(event: Mapping[str, Any]) -> str | None:
    """Give the line that tells a step's change of state, or None where there is nothing to tell.

    Args:
        event: A progress event of the room of pipelines.

    Returns:
        One line, without control characters.
    """
    state, step = event.get("state"), event.get("step")
    if event.get("topic") != "pipelines" or not step or state not in _SIGNS:
        return None
    done, total = event.get("done"), event.get("total")
    count = f"[{done}/{total}] " if total else ""
    took = f" in {seconds_text(event['seconds'])}" if state != "running" and event.get("seconds") else ""
    words = {"running": "runs", "cached": "is cached", "upstream_failed": "is not run: a step above failed"}
    said = words.get(state, str(state).replace("_", " "))
    return safe_text(f"{count}{_SIGNS[state]} {step} {said}{took}")


class Progress:
    """Tells a pipeline's progress on a terminal: a line a step, and what runs now on the last line.

    Args:
        stream: Where to.
        quiet: Say nothing.
    """

    def __init__(self, stream: TextIO, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._live = not quiet and stream.isatty()
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._count = ""
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        """Begin; on a terminal the last line is kept up to date."""
        if self._live:
            self._thread = threading.Thread(target=self._tick, name="mlops-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        """End, and leave a clean line."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Take an event of the room of pipelines; may be called from any thread."""
        text = line_for(event)
        if self._quiet or text is None:
            return
        with self._lock:
            step = str(event["step"])
            if event["state"] == "running":
                self._running[step] = time.monotonic()
            else:
                self._running.pop(step, None)
            if event.get("total"):
                self._count = f"{event.get('done')}/{event['total']}"
            if event["state"] == "running" and self._live:
                return
            self._say(("\r\x1b[K" if self._live else "") + text + "\n")

    def _tick(self) -> None:
        frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        turn = 0
        while not self._done.wait(0.1):
            turn += 1
            with self._lock:
                if self._running:
                    now = time.monotonic()
                    each = ", ".join(
                        f"{safe_text(step)} {seconds_text(now - began)}" for step, began in self._running.items()
                    )
                    line = f"{frames[turn % len(frames)]} {self._count}  {each}"
                    width = shutil.get_terminal_size().columns - 1
                    self._say("\r\x1b[K" + line[:width])
        with self._lock:
            self._say("\r\x1b[K")

    def _say(self, text: str) -> None:
        # A reader that has gone, or a full disk behind the stream, must not end the work that is told of.
        if not self._quiet:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                self._quiet = True
