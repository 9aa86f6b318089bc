"""The ledger: an append-only chain of events in ``.mlops/ledger.db``.

Each event's hash covers its content and the hash before it, so that a change, a removal or an insertion in the middle
breaks every hash after it. What a chain alone can't show is that its end was cut off, or that all of it was written
anew: for that, keep the head (:meth:`Ledger.head`) somewhere else and give it to :meth:`Ledger.verify`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_jupyter.actor import Actor
from mlops_jupyter.errors import IntegrityError, StoreError, translate
from mlops_jupyter.files import on_network
from mlops_jupyter.locks import Lock

FILE = "ledger.db"
LOCK = "ledger.lock"
GENESIS = "0" * 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL, via TEXT NOT NULL,
    model TEXT NOT NULL, data TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL UNIQUE);
CREATE INDEX IF NOT EXISTS events_model ON events (model, seq);
CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_no_delete BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
_COLUMNS = "seq, time, kind, actor, via, model, data, previous, hash"
_PATIENCE = 30.0
# What the room of models reads out of an event; one that lacks it was written by nobody of ours.
_NEEDED = {
    "promotion.requested": {"request", "version", "alias", "message"},
    "promotion.approved": {"request"},
    "promotion.rejected": {"request"},
    "promotion.decided": {"version", "alias"},
    "promotion.applied": {"of", "version", "alias"},
    "promotion.abandoned": {"of"},
}


@dataclass(frozen=True)
class Event:
    """One entry of the ledger.

    Args:
        seq: Its place in the chain, from 1.
        time: When it was written, ISO 8601 in UTC.
        kind: What happened.
        actor: Who did it.
        via: How we know who that is.
        model: The registered model that it concerns.
        data: What else belongs to it; empty when it can't be read any more.
        previous: The hash of the event before.
        hash: Its own.
        readable: Whether its data is what an event of that kind has.
        stored: The columns as they are in the database, which is what the hash covers.
    """

    seq: int
    time: str
    kind: str
    actor: str
    via: str
    model: str
    data: Mapping[str, Any]
    previous: str
    hash: str
    readable: bool = True
    stored: tuple[Any, ...] = field(default=(), repr=False, compare=False)

    def row(self) -> dict[str, Any]:
        """Give what ``audit`` shows.

        Returns:
            The event's columns, and of its data what people ask for.
        """
        return {
            "seq": self.seq,
            "time": self.time,
            "kind": self.kind,
            "actor": self.actor,
            "via": self.via,
            "model": self.model,
            **{key: self.data.get(key) for key in ("version", "alias", "message", "request")},
            "reasons": self.data.get("reasons", []) if self.readable else ["this event can't be read any more"],
            "hash": self.hash,
        }


@dataclass(frozen=True)
class Verdict:
    """What a check of the chain found.

    Args:
        ok: Whether every hash is what it must be.
        events: How many events there are.
        head: The last hash.
        broken_at: The first event that is not as it was written.
        reason: What is wrong.
    """

    ok: bool
    events: int
    head: str
    broken_at: int | None = None
    reason: str = ""


class Writing:
    """The right to append, held by one process at a time.

    Args:
        connection: The database, in a transaction that may write.
        actor: Who appends.
    """

    def __init__(self, connection: sqlite3.Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor

    def append(self, kind: str, model: str, data: Mapping[str, Any]) -> Event:
        """Add one event, durable when this returns.

        Other processes may read it from then on, and none may write before the block of ``writing()`` has ended.

        Args:
            kind: What happened.
            model: The registered model that it concerns.
            data: JSON values.

        Returns:
            The event.

        Raises:
            StoreError: The disk is full, or the database does not answer.
        """
        try:
            return self._append(kind, model, data)
        except sqlite3.Error as error:
            raise _told(error) from error

    def _append(self, kind: str, model: str, data: Mapping[str, Any]) -> Event:
        last = self._connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps(data, sort_keys=True, ensure_ascii=False)
        values = (seq, moment, kind, self._actor.name, self._actor.via, model, text, previous)
        row = (*values, _hash(values))
        self._connection.execute(f"INSERT INTO events ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", row)
        # Each event is committed on its own: what was decided must outlive a crash before it is carried out.
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")
        return _event(row)

    def events(self, model: str | None = None) -> list[Event]:
        """Give the events so far.

        Args:
            model: Only this model's.

        Returns:
            The events, in order.

        Raises:
            IntegrityError: One of them can't be read any more: nothing is decided by a ledger that was tampered with.
        """
        return _whole(_read(self._connection, model))

    def check(self) -> None:
        """Refuse to go on from a chain that does not hold: whoever can write the file could forge an approval.

        Raises:
            IntegrityError: It does not hold.
        """
        found = _chain(_read(self._connection, None))
        if not found.ok:
            raise IntegrityError(
                f"nothing is decided by a ledger whose chain is broken: {found.reason}",
                f"put .mlops/{FILE} back from a backup; `audit verify` checks the whole chain",
            )


class Ledger:
    """The ledger of one workspace.

    Args:
        state: The workspace's ``.mlops``.
        prepare: Makes that folder before the first write.
        actor: Who appends.
    """

    def __init__(self, state: Path, prepare: Callable[[], None], actor: Actor) -> None:
        self._state = state
        self._path = state / FILE
        self._prepare = prepare
        self._actor = actor

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Hold the ledger: nobody else appends, so nobody else promotes, until the block ends.

        Each event is committed on its own, so a transaction can't hold the ledger from one event to the next: a lock
        beside it does.

        Yields:
            What appends.

        Raises:
            StoreError: The ledger is locked for too long, read-only or on a full disk.
        """
        with self._alone(), closing(self._open()) as connection:
            yield Writing(connection, self._actor)
            connection.execute("COMMIT")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = Lock(self._state / LOCK)
        deadline = time.monotonic() + _PATIENCE
        try:
            self._prepare()
            while not lock.acquire():
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"the ledger is locked: another process has been writing for {_PATIENCE:g} s",
                        "try again in a moment",
                    )
                time.sleep(0.02)
        except OSError as error:
            raise translate(error) from error
        try:
            yield
        finally:
            lock.release()

    def _open(self) -> sqlite3.Connection:
        connection = None
        try:
            connection = _connect(str(self._path))
            if not on_network(self._state):
                _write_ahead(connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise _told(error) from error
        return connection

    def entries(self, model: str | None = None) -> list[Event]:
        """Give the events to show, those that can't be read any more among them.

        Args:
            model: Only this model's.

        Returns:
            The events, in order; see :attr:`Event.readable`.

        Raises:
            StoreError: The database does not answer.
        """
        if not self._path.exists():
            return []
        try:
            try:
                with closing(_connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as connection:
                    return _read(connection, model)
            except sqlite3.OperationalError:
                if Path(f"{self._path}-wal").exists():
                    raise
                # A reader of WAL needs a file beside the database, which a read-only folder does not take.
                with closing(_connect(f"{self._path.as_uri()}?immutable=1", uri=True)) as connection:
                    return _read(connection, model)
        except sqlite3.Error as error:
            raise _told(error) from error

    def events(self, model: str | None = None) -> list[Event]:
        """Give the events to go by.

        Args:
            model: Only this model's.

        Returns:
            The events, in order.

        Raises:
            IntegrityError: One of them can't be read any more.
            StoreError: The database does not answer.
        """
        return _whole(self.entries(model))

    def head(self) -> str:
        """Give the last hash, to be kept elsewhere.

        Returns:
            64 hexadecimal digits; zeros before the first event.
        """
        events = self.entries()
        return events[-1].hash if events else GENESIS

    def verify(self, head: str | None = None) -> Verdict:
        """Recompute the whole chain.

        Args:
            head: A head that was kept elsewhere; it must be in the chain.

        Returns:
            Whether all holds; if not, where it breaks.
        """
        events = self.entries()
        found = _chain(events)
        if found.ok and head is not None and head not in {GENESIS, *(event.hash for event in events)}:
            return replace(found, ok=False, reason="the head that was kept elsewhere is not in the chain")
        return found


def _chain(events: Sequence[Event]) -> Verdict:
    previous = GENESIS
    for number, event in enumerate(events, 1):
        wrong = _wrong(event, number, previous)
        if wrong:
            return Verdict(False, len(events), events[-1].hash, event.seq, wrong)
        previous = event.hash
    return Verdict(True, len(events), previous)


def _wrong(event: Event, number: int, previous: str) -> str:
    if event.seq != number:
        return f"event {number} is missing"
    if event.previous != previous:
        return f"event {number} does not follow the one before it"
    return "" if _hash(event.stored[:-1]) == event.hash else f"event {number} was changed after it was written"


def _hash(values: tuple[Any, ...]) -> str:
    # What somebody else wrote into a column may be no text at all: then it gives some other hash, and no error.
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _connect(place: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=_PATIENCE, isolation_level=None, uri=uri)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def _told(error: sqlite3.Error) -> StoreError:
    """Give the error of a database as the ledger's: which file it is, and what helps where it is damaged."""
    ours = translate(error)
    damaged = "`mlops status`" in ours.hint
    hint = f"put .mlops/{FILE} back from a backup" if damaged else ours.hint
    return StoreError(f"the ledger, {FILE}: {ours.message}", hint)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers go on while somebody writes; the database remembers it."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    # A reader of the old kind of file is in the way just now: the next writer will try again.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")


def _read(connection: sqlite3.Connection, model: str | None) -> list[Event]:
    where, values = ("WHERE model = ?", (model,)) if model is not None else ("", ())
    try:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM events {where} ORDER BY seq", values)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # the first writer is about to make it, or was killed before it had
            return []
        raise
    return [_event(row) for row in rows]


def _whole(events: list[Event]) -> list[Event]:
    for event in events:
        if not event.readable:
            raise IntegrityError(
                f"event {event.seq} of the ledger can't be read any more: it was changed after it was written",
                "`audit verify` checks the whole chain; put .mlops/ledger.db back from a backup",
            )
    return events


def _event(row: tuple[Any, ...]) -> Event:
    seq, *texts = row
    moment, kind, actor, via, model, text, previous, digest = (
        value.encode("utf-8", "replace").decode() if isinstance(value, str) else str(value) for value in texts
    )
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    readable = isinstance(data, dict) and _NEEDED.get(kind, set()) <= data.keys()
    return Event(seq, moment, kind, actor, via, model, data if readable else {}, previous, digest, readable, tuple(row))
