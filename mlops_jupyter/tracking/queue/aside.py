"""What the store does not take: for good, or while it takes other things; it lies aside, and holds nothing up."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_jupyter.files import write_whole
from mlops_jupyter.tracking.queue.entries import Entry, decode

# An entry is tried again after so many seconds, and then after twice as many each time.
_FIRST, _LONGEST = 1.0, 60.0
#: For so many seconds it is tried; a store that takes others all that time will never take it.
LONG = 600.0


class Rejected:
    """What the store will never take, with the reason, in ``queue/rejected/``.

    Args:
        folder: ``.mlops/queue/rejected``; made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, entries: Sequence[Entry | bytes], reason: str) -> None:
        """Put entries, or lines that are none, aside.

        Raises:
            OSError: They can't be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = [json.dumps({"when": when, "reason": reason, "entry": _told(entry)}) for entry in entries]
        # In one call, since other processes append here as well.
        with (self.folder / f"{when[:10]}.jsonl").open("ab", buffering=0) as file:
            file.write(("\n".join(lines) + "\n").encode())
            os.fsync(file.fileno())

    def summary(self) -> dict[str, Any] | None:
        """Give how many there are, the last reason, and where they lie; None where there are none."""
        count, last = 0, ""
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open(encoding="utf-8") as file:
                for line in file:
                    count, last = count + 1, line
        if not count:
            return None
        try:
            reason = str(json.loads(last)["reason"])
        except (ValueError, KeyError):
            reason = "unknown"
        return {"entries": count, "reason": reason, "folder": str(self.folder)}


def _told(entry: Entry | bytes) -> Any:
    return entry.to_json() if isinstance(entry, Entry) else entry.decode("utf-8", "backslashreplace").rstrip("\n")


@dataclass(frozen=True)
class Put:
    """An entry that was put aside.

    Args:
        path: The file that it is in.
        entry: The entry.
        since: When, in seconds since 1970.
        tries: How often it has failed since.
        after: When to try again, in seconds since 1970.
        reason: What the store said.
    """

    path: Path
    entry: Entry
    since: float
    tries: int
    after: float
    reason: str

    @property
    def is_over(self) -> bool:
        """Whether it was tried for long enough."""
        return time.time() - self.since >= LONG


class Late:
    """Keeps entries for one store, a file each, in ``queue/late/``.

    Args:
        folder: The folder; made when it is first needed.
        store: The first line of the journals that go to this store.
    """

    def __init__(self, folder: Path, store: bytes) -> None:
        self._folder = folder
        self._store = store.decode().strip()

    def put(self, entry: Entry, reason: str) -> None:
        """Put an entry aside; it is safe when this returns.

        Raises:
            OSError: It can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
        self._write(Put(self._folder / name, entry, time.time(), 0, time.time() + _FIRST, reason))

    def _write(self, put: Put) -> None:
        said: dict[str, Any] = {"store": self._store, "entry": put.entry.to_json(), "since": put.since}
        said |= {"tries": put.tries, "after": put.after, "reason": put.reason}
        write_whole(put.path, json.dumps(said).encode())

    def waiting(self) -> list[Put]:
        """Give what is there, the oldest first."""
        return list(self._read())

    def is_due(self) -> bool:
        """Tell whether any is to be tried by now."""
        now = time.time()
        return any(put.after <= now for put in self._read())

    def _read(self) -> Iterator[Put]:
        for path in sorted(self._folder.glob("*.json")):
            with suppress(FileNotFoundError, PermissionError, ValueError, KeyError, TypeError):
                said = json.loads(path.read_bytes())
                entry = decode(json.dumps(said["entry"]).encode())
                if said["store"] == self._store and entry is not None:
                    numbers = float(said["since"]), int(said["tries"]), float(said["after"])
                    yield Put(path, entry, *numbers, str(said["reason"]))

    def retry(self, send: Callable[[Put], str | None]) -> None:
        """Try what is due.

        Args:
            send: Sends one, or puts it where it belongs for good; gives why not.

        Raises:
            OSError: The files can't be written.
        """
        for put in self.waiting():
            if put.after > time.time() or not put.path.exists():
                continue
            reason = send(put)
            if reason is None:
                put.path.unlink(missing_ok=True)
            else:
                pause = min(_FIRST * 2 ** min(put.tries + 1, 10), _LONGEST)
                self._write(Put(put.path, put.entry, put.since, put.tries + 1, time.time() + pause, reason))
