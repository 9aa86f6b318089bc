"""One round of delivery: this process's journal, or all of them, the dead ones' included."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import StoreError, translate
from mlops_jupyter.locks import Lock
from mlops_jupyter.tracking.queue.batches import Batch, batches
from mlops_jupyter.tracking.queue.cells import Cells
from mlops_jupyter.tracking.queue.delivery import Delivery
from mlops_jupyter.tracking.queue.entries import decode, last_creation, open_runs
from mlops_jupyter.tracking.queue.journal import Chunk, Delivered, names

_logger = logging.getLogger("mlops_jupyter")
_OPENING = (b'["open"', b'["begin"', b'["end"', b'["closed"')
_CREATING = (b'["creating"', b'["open"')
_SILENT = (b'["store"', b'["open"', b'["closed"', b'["creating"')
# Between two batches the thread sleeps three times as long as the first took, but no longer than this: a loop that logs
# shares the interpreter with it. Whoever waits for the delivery ends that.
_GENTLE, _LONGEST_REST = 3.0, 0.5
_LOCK_WAIT = 20.0
# After so many seconds whoever waits goes before the rest of what was put aside.
_LATE_PATIENCE = 1.0
# How long others are waited for who are delivering what is theirs, in seconds.
_OTHERS_WAIT = 5.0
# When a dead process's runs could not be ended, it is tried again after so many seconds, and not by each reader.
_REST = 60.0


@dataclass(frozen=True)
class Backlog:
    """What MLflow does not have yet.

    Args:
        entries: How many entries wait, of all processes.
        rejected: What was refused for good: how many, the last reason, and the folder; None where nothing was.
        problem: Why nothing goes through at present; empty where it does.
    """

    entries: int
    rejected: Mapping[str, Any] | None
    problem: str


@dataclass
class _Part:
    """A chunk, and what of it is still to be sent."""

    chunk: Chunk
    left: list[Batch]


class Round:
    """Delivers journals, one batch after the other, and remembers how far it came in the one that was broken off.

    Args:
        folder: ``.mlops/queue``.
        header: The first line of the journals that go to this store.
        delivery: Makes what sends.
        cells: The cells of runs.
        alone: Whether the store is a file that takes one writer at a time.
    """

    def __init__(
        self, folder: Path, header: bytes, delivery: Callable[[], Delivery], cells: Cells, alone: bool
    ) -> None:
        self._folder = folder
        self._header = header
        self._make = delivery
        self._cells = cells
        self._alone = alone
        self.forked()

    def forked(self) -> None:
        """Forget what belongs to the process that this one was forked off."""
        self._delivery = self._make()
        self._broken_off: dict[str, _Part] = {}
        self._ours: dict[str, bool] = {}
        # The journals of dead processes whose runs could not be ended: when to try again.
        self._unburied: dict[str, float] = {}
        # When others were last waited for in vain.
        self._in_vain = -math.inf
        #: Grows with each batch that was delivered.
        self.moved = 0

    def carry_out(self, own: str | None, *, everything: bool, hurry: Callable[[], bool]) -> None:
        """Deliver what waits, but for what another process is just delivering.

        Args:
            own: The name of this process's journal, if it has one.
            everything: Other processes' journals, too.
            hurry: Whether somebody waits.

        Raises:
            MlopsError: The store is away.
            OSError: The queue's own files can't be written.
        """
        others = [name for name in names(self._folder) if name != own] if everything else []
        # This process's last: the others' are older, and a run that they began may be one that it writes to.
        journals = [Delivered(self._folder, name) for name in [*others, *([own] if own else [])]]
        problem: Exception | None = None
        for journal in journals:
            try:
                if self._is_ours(journal):
                    self._journal(journal, journal.name == own, hurry)
            except (FileNotFoundError, PermissionError) as error:
                if journal.name == own:  # else taken away while we look, or another account's
                    problem = problem or error
            except Exception as error:
                problem = problem or error  # one that can't get on must not hold back the others
        if problem is not None:
            raise problem
        self._try_late(hurry)

    def _try_late(self, hurry: Callable[[], bool]) -> None:
        """Try what was put aside, one after the other; who waits for something else does not wait for all of it."""
        due, began = self._delivery.late.due(), time.monotonic()
        lock = Lock(self._folder / "late.lock")
        if not due or not lock.acquire():
            return
        try:
            for path in due:
                with self.turn():
                    self._delivery.retry_late(path)
                self.moved += 1
                if hurry() and time.monotonic() - began > _LATE_PATIENCE:
                    break
        finally:
            lock.release()

    def others_are_through(self, own: str | None) -> bool:
        """Wait a few seconds for other processes that are delivering what they had accepted up to now.

        Not again soon after that was in vain: a command that reads many things would wait for each of them.

        Args:
            own: The name of this process's journal, if it has one.

        Returns:
            Whether they have.
        """
        left = []
        for name in names(self._folder):
            journal = Delivered(self._folder, name)
            with suppress(FileNotFoundError, PermissionError):  # taken away while we look, or another account's
                if name != own and self._is_ours(journal) and journal.pending():
                    left.append((journal, journal.end()))
        began = time.monotonic()
        until = began if began - self._in_vain < _OTHERS_WAIT else began + _OTHERS_WAIT
        while left and time.monotonic() < until:
            left = [(journal, end) for journal, end in left if journal.position() < end and journal.is_there()]
            time.sleep(0.02 if left else 0)
        if left and until > began:
            self._in_vain = time.monotonic()
        return not left

    def wait_anew(self) -> None:
        """Forget that others were waited for in vain a moment ago."""
        self._in_vain = -math.inf

    def _is_ours(self, journal: Delivered) -> bool:
        """Tell whether a journal's entries go to this store."""
        known = self._ours.get(journal.name)
        if known is None:
            header = journal.header()
            # One that can't be read belongs to nobody else; one that is just being made has none yet.
            known = header == self._header or (decode(header) is None and (bool(header) or journal.is_dead()))
            if header:
                self._ours[journal.name] = known
        return known

    def is_work(self, own: str | None, *, everything: bool) -> bool:
        """Tell whether there is anything to do, in any journal or in this process's."""
        for name in names(self._folder) if everything else filter(None, [own]):
            journal = Delivered(self._folder, name)
            with suppress(FileNotFoundError, PermissionError):  # taken away while we look, or another account's
                if self._is_ours(journal) and (journal.pending() or (name != own and self._is_to_bury(journal))):
                    return True
        return bool(self._delivery.late.due())

    def left_by_the_dead(self, own: str | None) -> set[str]:
        """Give the stores that journals of dead processes go to."""
        found = set()
        for name in names(self._folder):
            journal = Delivered(self._folder, name)
            with suppress(FileNotFoundError, PermissionError):  # taken away while we look, or another account's
                if name != own and journal.is_dead():
                    entry = decode(journal.header() or self._header)
                    found.add(entry.run if entry is not None else "")
        return (found | self._delivery.late.stores()) - {""}

    def _journal(self, journal: Delivered, is_own: bool, hurry: Callable[[], bool]) -> None:
        """Deliver one journal, or leave it to whoever is at it."""
        dead = not is_own and self._is_to_bury(journal)
        if not dead and not journal.pending():
            return
        if is_own:
            self._take(journal.lock, journal.position)
        elif not journal.lock.acquire():
            return
        try:
            end = journal.end()  # as it is now: whoever goes on logging would keep this from ever being over
            while journal.position() < end and (chunk := journal.read()) is not None:
                self._chunk(journal, chunk, hurry)
            if dead:
                self._bury(journal)
        finally:
            journal.lock.release()

    def _is_to_bury(self, journal: Delivered) -> bool:
        return self._unburied.get(journal.name, 0.0) < time.monotonic() and journal.is_dead()

    def _bury(self, journal: Delivered) -> None:
        """End the runs of a dead process; what keeps that from being done is nobody else's concern, and told once."""
        try:
            for run in open_runs(journal.lines(_OPENING), self._cells.runs()):
                self._delivery.kill(run, journal.last_written())
            if (creation := last_creation(journal.lines(_CREATING))) is not None:
                self._delivery.kill_created(creation, journal.last_written())
        except Exception as error:
            if journal.name not in self._unburied:
                said = translate(error)
                _logger.warning("a dead process's runs can't be ended yet: %s; %s", said.message, said.hint)
            self._unburied[journal.name] = time.monotonic() + _REST
            return
        journal.remove()

    def _chunk(self, journal: Delivered, chunk: Chunk, hurry: Callable[[], bool]) -> None:
        # A server that fails every third call would otherwise fail the same batch of a chunk for ever.
        part = self._broken_off.get(journal.name)
        if part is None or (part.chunk.segment, part.chunk.start) != (chunk.segment, chunk.start):
            read = [(line, decode(line)) for line in chunk.lines]
            self._delivery.keep_strange([line for line, entry in read if entry is None])
            entries = [entry for _, entry in read if entry is not None]
            part = self._broken_off[journal.name] = _Part(chunk, batches(entries))
        while part.left:
            began = time.monotonic()
            self._send(part.left[0])
            del part.left[0]
            self.moved += 1
            rest = min((time.monotonic() - began) * _GENTLE, _LONGEST_REST)
            while rest > 0 and not hurry():
                time.sleep(min(rest, 0.05))
                rest -= 0.05
        journal.note(part.chunk.segment, part.chunk.end)
        del self._broken_off[journal.name]

    def _send(self, batch: Batch) -> None:
        with self.turn():
            self._delivery.send(batch)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep other processes from writing meanwhile, where the store takes one writer at a time.

        SQLite lets those who wait try again now and then, and the unlucky ones try for long.
        """
        if not self._alone or not self._folder.is_dir():
            yield
            return
        lock = Lock(self._folder / "turn.lock")
        self._take(lock, lambda: None)
        try:
            yield
        finally:
            lock.release()

    def created(self, run: str) -> Any:
        """Give MLflow's entity of a run that was created here under a local id, once; None where it was not."""
        return self._delivery.created.pop(run, None)

    def model_id(self, run: str, spooled: str) -> str:
        """Give the store's id of a model that was accepted here, once; empty where it has not all of it yet."""
        return self._delivery.model_id(run, spooled)

    def progress(self) -> object:
        """Give something that changes with all that gets to the store, pieces of a large model's file included."""
        return self.moved, self._delivery.models.progress()

    @staticmethod
    def _take(lock: Lock, position: Callable[[], object]) -> None:
        """Take a lock, as long as whoever holds it gets on."""
        known, until = position(), time.monotonic() + _LOCK_WAIT
        while not lock.acquire():
            if (present := position()) != known:
                known, until = present, time.monotonic() + _LOCK_WAIT
            if time.monotonic() > until:
                raise StoreError("another process is delivering, and does not get on", "see `mlops status`")
            time.sleep(0.005)

    def waiting(self) -> int:
        """Count the entries that are not delivered, of all journals."""
        count = 0
        for name in names(self._folder):
            with suppress(FileNotFoundError):  # delivered, and taken away, while we look
                count += Delivered(self._folder, name).count(_SILENT)
        return count + self._delivery.late.count()
