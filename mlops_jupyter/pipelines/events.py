"""The event log of a pipeline run: append-only, on disk before anything depends on it, and the truth about the run.

A run has a folder with ``meta.json`` (what was asked for), ``events.jsonl`` (what happened, one JSON object a line) and
the folders of its steps. The state of a run is read off its events; a last line that was cut short by a crash counts as
not written.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import StoreError
from mlops_jupyter.files import write_whole
from mlops_jupyter.locks import Lock

_EVENTS = "events.jsonl"
_META = "meta.json"
_ALIVE = "alive.lock"
_PATIENCE = 5.0


def now() -> str:
    """Give the present time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_run_id() -> str:
    """Make the id of a run: it sorts by time, and no two are equal."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return f"{stamp[:-3]}-{secrets.token_hex(3)}"


class EventLog:
    """One run's folder, while this process writes it.

    Args:
        folder: The folder of the run; its name is the run's id.
        meta: What was asked for: JSON values.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self.run = folder.name
        folder.mkdir(parents=True)
        self._lock = threading.Lock()
        # Held for as long as the process lives: how others tell a run that is going on from one that died.
        self._alive = Lock(folder / _ALIVE)
        # Others hold it for a moment, when they look whether this run is alive.
        give_up = time.monotonic() + _PATIENCE
        while not self._alive.acquire():
            if time.monotonic() > give_up:
                raise StoreError(f"{folder / _ALIVE} is locked by another process", "try again in a moment")
            time.sleep(0.01)
        try:
            write_whole(folder / _META, json.dumps(meta, indent=1).encode())
            self._file = (folder / _EVENTS).open("a", encoding="utf-8")
        except BaseException:
            self._alive.release()
            raise

    def append(self, event: Mapping[str, Any]) -> None:
        """Write an event; it is on disk when this returns.

        Args:
            event: JSON values.
        """
        line = json.dumps({"time": now(), **event}, allow_nan=False)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self, *, whole: bool = True) -> None:
        """Close the log; the run counts as no longer alive.

        Args:
            whole: Whether everything is written down and closed; what is not is left to :func:`close_abandoned`.
        """
        try:
            self._file.close()
        finally:
            self._alive.release(keep=not whole)


@dataclass
class RunState:
    """What the events of a run say.

    Args:
        run: The run's id.
        meta: What was asked for.
        state: ``running``, ``succeeded``, ``failed`` or ``cancelled``.
        started: When it began.
        seconds: How long it took; None while it goes on.
        steps: Instance → the last event about it.
        runs: MLflow runs that were begun and not finished, the run's own among them.
    """

    run: str
    meta: Mapping[str, Any]
    state: str = "running"
    started: str | None = None
    seconds: float | None = None
    steps: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def count(self, *states: str) -> int:
        """Count the steps that are in one of the states."""
        return sum(step["state"] in states for step in self.steps.values())


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Read the events of a run.

    Args:
        folder: The run's folder.

    Returns:
        All whole events in order.
    """
    try:
        text = (folder / _EVENTS).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    events = []
    for line in text.split("\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def state_of(folder: Path) -> RunState | None:
    """Derive the state of a run from its events.

    Args:
        folder: The run's folder.

    Returns:
        The state, or None where the folder is of no run. A run that wrote no end and whose process is gone is
        ``cancelled``.
    """
    # Asked first: a run that ends while its events are read has written its end before it lets go.
    alive = Lock(folder / _ALIVE).is_held()
    found = _told(folder)
    if found is not None and found.state == "running" and not alive:
        found.state = "cancelled"
    return found


def _told(folder: Path) -> RunState | None:
    try:
        meta = json.loads((folder / _META).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    found = RunState(folder.name, meta)
    for event in read_events(folder):
        _apply(found, event)
    return found


def _apply(found: RunState, event: Mapping[str, Any]) -> None:
    match event.get("event"):
        case "run":
            found.state = event["state"]
            found.started = found.started or event["time"]
            found.seconds = event.get("seconds")
        case "step":
            found.steps[event["name"]] = event
        case "begun":
            found.runs.append(event["run_id"])
        case "finished" if event["run_id"] in found.runs:
            found.runs.remove(event["run_id"])


def close_abandoned(folder: Path, finish: Callable[[str], None]) -> bool:
    """Write the end of a run whose process is gone; do nothing about any other.

    Args:
        folder: The run's folder.
        finish: Ends an MLflow run that was left open.

    Returns:
        Whether the run was one of those.
    """
    # A run that came to its end has removed the file; one that goes on holds it.
    lock = Lock(folder / _ALIVE)
    if not lock.path.exists() or not lock.acquire():
        return False
    done = False
    try:
        found = _told(folder)
        if found is not None and (found.state == "running" or found.runs):
            for run_id in found.runs:
                finish(run_id)
            _append_end(folder, found)
        done = True
        return True
    finally:
        # What could not be closed now is closed the next time.
        lock.release(keep=not done)


def _append_end(folder: Path, found: RunState) -> None:
    why = "the process was killed"
    lines: list[dict[str, Any]] = [
        {**step, "state": "cancelled", "reason": why} for step in found.steps.values() if step["state"] == "running"
    ]
    lines += [{"event": "finished", "run_id": run_id} for run_id in found.runs]
    if found.state == "running":
        lines.append({"event": "run", "state": "cancelled", "reason": why})
    with (folder / _EVENTS).open("a", encoding="utf-8") as file:
        # A torn last line must not swallow the first of ours.
        file.write("\n" + "".join(json.dumps({**line, "time": now()}) + "\n" for line in lines))
