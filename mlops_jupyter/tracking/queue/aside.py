"""What the store does not take: for good, or while it takes other things; it lies aside, and holds nothing up."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_jupyter.files import write_whole
from mlops_jupyter.tracking.queue.entries import Entry, decode

# An entry is tried again after so many seconds, and then after twice as many each time.
_FIRST, _LONGEST = 1.0, 60.0
#: For so many seconds it is tried; a store that takes others all that time will never take it.
LONG = 600.0
#: And so often at the least.
OFTEN = 8
_NAME = re.compile(r"(?P<due>\d{15})-(?P<store>[0-9a-f]{8})-(?P<age>\d{20})-[0-9a-f]{8}\.json")


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
        target: What it would replace, and what would replace it: an artifact's name, say; empty for what is only added.
        since: When, in seconds since 1970.
        tries: How often it has failed since.
        reason: What the store said.
    """

    path: Path
    entry: Entry
    target: str
    since: float
    tries: int
    reason: str

    @property
    def is_over(self) -> bool:
        """Whether it was tried for long enough, and often: nobody may have been there to try."""
        return time.time() - self.since >= LONG and self.tries >= OFTEN


class Late:
    """Keeps entries, a file each, in ``queue/late/``; a file's name tells when to try it, and for which store.

    Args:
        folder: The folder; made when it is first needed.
        store: The first line of the journals that go to this store.
    """

    def __init__(self, folder: Path, store: bytes) -> None:
        self._folder = folder
        self._store = store.decode().strip()
        self._mark = f"{zlib.crc32(store.strip()):08x}"

    def put(self, entry: Entry, target: str, reason: str) -> list[Entry]:
        """Put an entry aside; it is safe when this returns.

        Args:
            entry: The entry.
            target: What it would replace, and what would replace it.
            reason: What the store said.

        Returns:
            Those that were put aside before, and that it replaces.

        Raises:
            OSError: It can't be written.
        """
        before = [put for put in self._all() if target and _is_same(put, entry, target)]
        self._write(Put(self._folder / f"{time.time_ns():020d}", entry, target, time.time(), 0, reason), _FIRST)
        for put in before:
            put.path.unlink(missing_ok=True)
        return [put.entry for put in before]

    def again(self, put: Put, reason: str) -> None:
        """Note that an entry has failed once more.

        Raises:
            OSError: It can't be written.
        """
        pause = min(_FIRST * 2 ** min(put.tries + 1, 10), _LONGEST)
        self._write(replace(put, tries=put.tries + 1, reason=reason), pause)
        put.path.unlink(missing_ok=True)

    def _write(self, put: Put, pause: float) -> None:
        said: dict[str, Any] = {"store": self._store, "entry": put.entry.to_json(), "target": put.target}
        said |= {"since": put.since, "tries": put.tries, "reason": put.reason}
        age = put.path.name.rpartition("-")[0].rpartition("-")[2] or put.path.name
        name = f"{int((time.time() + pause) * 1000):015d}-{self._mark}-{age}-{uuid.uuid4().hex[:8]}.json"
        write_whole(self._folder / name, json.dumps(said).encode())

    def _named(self) -> list[re.Match[str]]:
        """Give what the names tell, the oldest first; what another account has put here is left to it."""
        try:
            readable = (entry.name for entry in os.scandir(self._folder) if os.access(entry, os.R_OK))
            return sorted(filter(None, map(_NAME.fullmatch, readable)), key=lambda name: name["age"])
        except FileNotFoundError:
            return []

    def _own(self) -> list[re.Match[str]]:
        return [name for name in self._named() if name["store"] == self._mark]

    def count(self) -> int:
        """Give how many there are."""
        return len(self._own())

    def pause(self) -> float | None:
        """Give the seconds until the next one is to be tried; None where there is none."""
        due = min((int(name["due"]) for name in self._own()), default=None)
        return None if due is None else due / 1000 - time.time()

    def due(self) -> list[Path]:
        """Give those that are to be tried by now, the oldest first."""
        now = time.time() * 1000
        return [self._folder / name[0] for name in self._own() if int(name["due"]) <= now]

    def reason(self) -> str:
        """Give why the oldest one is here."""
        return next((put.reason for put in self._all()), "")

    def stores(self) -> set[str]:
        """Give the stores, as they are shown, that any of them goes to."""
        kept = (_said(self._folder / name[0]) for name in self._named())
        read = (decode(f"{said['store']}\n".encode()) for said in kept if said is not None)
        return {entry.run for entry in read if entry is not None}

    def _all(self) -> list[Put]:
        return [put for name in self._own() if (put := self.read(self._folder / name[0])) is not None]

    def read(self, path: Path) -> Put | None:
        """Read one; None where it is gone, or damaged."""
        said = _said(path)
        entry = decode(json.dumps(said["entry"]).encode()) if said is not None else None
        if said is None or entry is None:
            return None
        return Put(path, entry, said["target"], said["since"], said["tries"], said["reason"])

    def sent(self, entry: Entry, target: str) -> list[Entry]:
        """Note that the store has an entry: what was put aside before it, and would replace it now, is not sent.

        Returns:
            What was put aside.
        """
        before = [put for put in self._all() if _is_same(put, entry, target)] if self.count() else []
        for put in before:
            put.path.unlink(missing_ok=True)
        return [put.entry for put in before]


def _is_same(put: Put, entry: Entry, target: str) -> bool:
    return (put.entry.kind, put.entry.run, put.target) == (entry.kind, entry.run, target)


def _said(path: Path) -> dict[str, Any] | None:
    kinds = {"store": str, "entry": list, "target": str, "since": float, "tries": int, "reason": str}
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, PermissionError, ValueError):
        return None
    is_whole = isinstance(said, dict) and all(isinstance(said.get(key), kind) for key, kind in kinds.items())
    return said if is_whole else None
