"""Progress as text: of a pipeline, a line a step; of any work that takes longer than a second, a bar in a terminal."""

from __future__ import annotations

import os
import shutil
import threading
import time
import unicodedata
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TextIO

from mlops_jupyter.display import bytes_text, safe_text, seconds_text
from mlops_jupyter.working import Watcher, Work, watched_by

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


def how_far(work: Work, seconds: float) -> str:
    """Say how far work has come: ``43 %, 1.2 GB of 2.8 GB, 12 s``, or what of it is known."""
    said = []
    if work.fraction is not None and work.total is not None:
        said = [f"{int(work.fraction * 100)} %", f"{_amount(work, work.done)} of {_amount(work, work.total)}"]
    elif work.done:
        said = [_amount(work, work.done)]
    if work.unit != "bytes" and said:
        said[-1] += f" {work.unit}"
    # A tenth of a second is no news to somebody who waits.
    return ", ".join([*said, seconds_text(max(10, int(seconds))) if seconds >= 10 else f"{int(seconds)} s"])


def name_of(work: Work) -> str:
    """Give the name of work as one line that neither moves a cursor nor turns the reading direction."""
    return safe_text(" ".join(work.what.split()))


def _amount(work: Work, amount: float) -> str:
    return bytes_text(amount) if work.unit == "bytes" else f"{amount:.0f}"


def bar_line(work: Work, seconds: float, columns: int) -> str:
    """Give the line of a terminal that shows work: name, bar, how far; as much of it as there is room for.

    Args:
        work: The work.
        seconds: How long it has been going on.
        columns: How wide the terminal is.

    Returns:
        One line without control characters that does not reach the last column.
    """
    room = columns - 1
    name, far = name_of(work), how_far(work, seconds)
    if work.fraction is None:
        return _cut(f"{name}  {far}", room)
    free = room - len(far) - 6
    if free < 24:  # the numbers say more than pieces of a name and of a bar
        return _cut(far, room)
    name = _cut(name, max(12, free - 30))
    width = min(30, free - _columns_of(name))
    filled = int(work.fraction * width)
    return f"{name}  [{'#' * filled}{'-' * (width - filled)}]  {far}"


def _columns_of(text: str) -> int:
    """Tell how many columns of a terminal a text takes: none for a mark on the letter before, two for a wide letter."""
    return sum(
        0 if unicodedata.category(letter) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def _cut(text: str, room: int) -> str:
    if _columns_of(text) <= room:
        return text
    kept = text[: max(0, room)]
    while kept and _columns_of(kept) > room - 3:
        kept = kept[:-1]
    return kept + "."[: room > 0] * min(3, room)


class Progress:
    """Tells progress on a terminal: a line a step of a pipeline, and what goes on now on the last line.

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
        self._is_drawn = False
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

    def watching(self) -> AbstractContextManager[None]:
        """Show what takes longer than a second in a block, where there is a terminal to show it on."""
        return watched_by(Watcher(self, 0.1)) if self._live else nullcontext()

    def prepare(self) -> None:
        """Get ready to show work: nothing to do."""

    def draw(self, work: Work, seconds: float) -> None:
        """Show work on the last line, unless steps of a pipeline are shown there."""
        with self._lock:
            if not self._running:
                self._is_drawn = True
                line = bar_line(work, seconds, self._columns())
                encoding = self._stream.encoding or "utf-8"
                self._say("\r\x1b[K" + line.encode(encoding, "replace").decode(encoding))

    def wipe(self) -> None:
        """Leave a clean line."""
        with self._lock:
            if self._is_drawn:
                self._say("\r\x1b[K")
            self._is_drawn = False

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns

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
