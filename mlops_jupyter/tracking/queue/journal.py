"""The files of a journal: appended to by the process that it belongs to, delivered from by whoever holds its lock."""

from __future__ import annotations

import json
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlops_jupyter.locks import Lock
from mlops_jupyter.tracking.queue.appending import append_line

#: A segment that has grown past this is not appended to any more.
SEGMENT_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_SEGMENT = re.compile(r"(?P<name>[0-9]+-[0-9a-f]{8})\.(?P<number>[0-9]{6})\.jsonl")


class Journal:
    """The journal that this process appends to.

    Args:
        folder: ``.mlops/queue``, which exists.
        header: The first line of each segment.
        carried: Gives the entries that a new segment repeats, so that the old ones can go.
    """

    def __init__(self, folder: Path, header: bytes, carried: Callable[[], Iterable[bytes]]) -> None:
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._header = header
        self._carried = carried
        self._life = Lock(folder / f"{self.name}.lock")
        # Held before there is anything to deliver: a journal without it is a dead process's.
        self._life.acquire()
        # A signal's handler may log, too, and finds its own thread in here.
        self._turn = threading.RLock()
        self._number = 0
        self._handle = -1
        self._size = 0
        #: How many bytes were appended in all.
        self.written = 0
        try:
            self._next_segment()
        except BaseException:
            self._life.release()
            raise

    def append(self, line: bytes) -> None:
        """Append one entry; it is safe from any signal when this returns.

        Args:
            line: The entry, which ends with a newline and holds no other.

        Raises:
            OSError: The disk is full, or the file can't be written; nothing of the entry is kept.
        """
        with self._turn:
            self._put(line)
            if self._size > SEGMENT_BYTES:
                with suppress(OSError):  # the entry itself is safe; the next one tries again
                    self._next_segment()

    def _put(self, line: bytes) -> None:
        append_line(self._handle, line, self._path)
        self._size += len(line)
        self.written += len(line)

    @property
    def _path(self) -> Path:
        return self._folder / f"{self.name}.{self._number:06d}.jsonl"

    def _next_segment(self) -> None:
        before, self._number = (self._handle, self._size, self._number), self._number + 1
        try:
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._size = 0
            self._put(b"".join([self._header, *self._carried()]))
        except OSError:
            if self._handle not in (before[0], -1):
                os.close(self._handle)
                self._path.unlink(missing_ok=True)
            self._handle, self._size, self._number = before
            raise
        if before[0] != -1:
            os.close(before[0])

    def is_there(self) -> bool:
        """Tell whether the file still has its name; what goes to one that was deleted or moved away is lost."""
        try:
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go of the journal; what was not delivered is left as a dead process leaves it."""
        with self._turn:
            self.abandon()

    def abandon(self) -> None:
        """Let go of it at once: in a process that was forked off, whoever appends just now is not there."""
        handle, self._handle = self._handle, -1
        if handle != -1:
            os.close(handle)
        self._life.release(keep=True)


@dataclass(frozen=True)
class Chunk:
    """Lines that were read, where they begin, and where the next do."""

    lines: tuple[bytes, ...]
    segment: int
    start: int
    end: int


class Delivered:
    """A journal as the one sees it who delivers from it: this process's own, another's, or a dead one's.

    Args:
        folder: ``.mlops/queue``.
        name: The journal's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        self._life = Lock(folder / f"{name}.lock")
        #: Whoever holds it delivers.
        self.lock = Lock(folder / f"{name}.delivering")

    def is_dead(self) -> bool:
        """Tell whether the process that it belongs to is gone."""
        return not self._life.is_held()

    def header(self) -> bytes:
        """Give the first line; empty where it was never written."""
        for number in self.segments():
            with self._path(number).open("rb") as file:
                return file.readline()
        return b""

    def segments(self) -> list[int]:
        """Give the numbers of its segments, the oldest first."""
        found = (_SEGMENT.fullmatch(path.name) for path in self._folder.glob(f"{self.name}.*.jsonl"))
        return sorted(int(match["number"]) for match in found if match)

    def position(self) -> tuple[int, int]:
        """Give the segment and the offset in it up to which everything is delivered."""
        try:
            segment, offset = json.loads((self._folder / f"{self.name}.offset").read_bytes())
            return int(segment), int(offset)
        except (FileNotFoundError, ValueError):
            # Not there yet, or lost with the machine's power: from the beginning, which doubles nothing.
            return 0, 0

    def is_there(self) -> bool:
        """Tell whether it still has any file; one that is delivered and whose process is gone is taken away."""
        return bool(self.segments())

    def end(self) -> tuple[int, int]:
        """Give the segment and the offset in it up to which there is anything."""
        last = max(self.segments(), default=0)
        return last, self._size(last)

    def pending(self) -> int:
        """Give the bytes that are not delivered."""
        at, offset = self.position()
        sizes = {number: self._size(number) for number in self.segments() if number >= at}
        return sum(sizes.values()) - (min(offset, sizes[at]) if at in sizes else 0)

    def _size(self, number: int) -> int:
        try:
            return self._path(number).stat().st_size
        except FileNotFoundError:
            return 0

    def count(self, besides: Sequence[bytes]) -> int:
        """Count the lines that are not delivered, without those that begin like one of these."""
        at, offset = self.position()
        count = 0
        for number in self.segments():
            if number >= at:
                # Read in large pieces: each small one waits for a loop that logs at the same time.
                with self._path(number).open("rb", buffering=_CHUNK_BYTES) as file:
                    file.seek(offset if number == at else 0)
                    count += sum(1 for line in file if not line.startswith(tuple(besides)) and line.endswith(b"\n"))
        return count

    def read(self) -> Chunk | None:
        """Give the next lines that are not delivered, whole ones only, or None when there are none."""
        at, offset = self.position()
        for number in self.segments():
            if number < at:
                continue
            chunk = self._read(number, offset if number == at else 0)
            if chunk is not None:
                return chunk
        return None

    def _read(self, number: int, start: int) -> Chunk | None:
        try:
            file = self._path(number).open("rb")
        except FileNotFoundError:
            return None
        with file:
            file.seek(start)
            data = file.read(_CHUNK_BYTES)
            if data and b"\n" not in data:  # one entry that is larger than a chunk: a cell's source, say
                data += file.readline()
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            return None
        return Chunk(tuple(whole.splitlines(keepends=True)), number, start, start + len(whole))

    def note(self, segment: int, offset: int) -> None:
        """Note that everything up to here is delivered, and take away the segments before.

        Raises:
            OSError: It can't be written; what was delivered will be delivered again.
        """
        path = self._folder / f"{self.name}.offset"
        aside = path.with_name(f".{path.name}.part")
        aside.write_text(json.dumps([segment, offset]))
        os.replace(aside, path)
        for number in self.segments():
            if number < segment:
                self._path(number).unlink(missing_ok=True)

    def lines(self, kinds: Sequence[bytes]) -> Iterator[bytes]:
        """Give all lines that are there and begin like one of these, the delivered ones included."""
        for number in self.segments():
            with self._path(number).open("rb") as file:
                yield from (line for line in file if line.startswith(tuple(kinds)) and line.endswith(b"\n"))

    def last_written(self) -> float:
        """Give the time of the last entry, in seconds since 1970."""
        return max((self._path(number).stat().st_mtime for number in self.segments()), default=0.0)

    def remove(self) -> None:
        """Take all of its files away, the lock last: up to there it can be found."""
        for number in self.segments():
            self._path(number).unlink(missing_ok=True)
        (self._folder / f"{self.name}.offset").unlink(missing_ok=True)
        (self._folder / f"{self.name}.lock").unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{self.name}.{number:06d}.jsonl"


def names(folder: Path) -> list[str]:
    """Give the names of the journals in a folder, the oldest first as far as names tell.

    Args:
        folder: ``.mlops/queue``, which need not exist.
    """
    try:
        found = [_SEGMENT.fullmatch(entry.name) for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    return sorted({match["name"] for match in found if match})
