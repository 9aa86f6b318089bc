"""The ledger: an append-only chain of events in ``.mlops/ledger.db``.

Each event's hash covers its content and the hash before it, so that a change, a removal or an insertion in the middle
breaks every hash after it. What a chain alone can't show is that its end was cut off, or that all of it was written
anew: for that, keep the head (:meth:`Ledger.head`) somewhere else and give it to :meth:`Ledger.verify`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_jupyter.actor import Actor
from mlops_jupyter.errors import translate

FILE = "ledger.db"
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


@dataclass(frozen=True)
class Event:
    """One entry of the ledger."""

    seq: int
    time: str
    kind: str
    actor: str
    via: str
    model: str
    data: Mapping[str, Any]
    previous: str
    hash: str

    def row(self) -> dict[str, Any]:
        """Give what ``audit`` shows."""
        return {
            "seq": self.seq,
            "time": self.time,
            "kind": self.kind,
            "actor": self.actor,
            "via": self.via,
            "model": self.model,
            **{key: self.data.get(key) for key in ("version", "alias", "message", "request")},
            "reasons": self.data.get("reasons", []),
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
    """The right to append, held by one process at a time."""

    def __init__(self, connection: sqlite3.Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor

    def append(self, kind: str, model: str, data: Mapping[str, Any]) -> Event:
        """Add one event, durable when this returns.

        Args:
            kind: What happened.
            model: The registered model that it concerns.
            data: JSON values.

        Returns:
            The event.
        """
        last = self._connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps(data, sort_keys=True, ensure_ascii=False)
        values = (seq, time, kind, self._actor.name, self._actor.via, model, text, previous)
        row = (*values, _hash(values))
        self._connection.execute(f"INSERT INTO events ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", row)
        # Each event is committed on its own: what was decided must outlive a crash before it is carried out.
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")
        return _event(row)

    def events(self, model: str | None = None) -> list[Event]:
        """Give the events so far, in order."""
        return _read(self._connection, model)


class Ledger:
    """The ledger of one workspace.

    Args:
        state: The workspace's ``.mlops``.
        prepare: Makes that folder before the first write.
        actor: Who appends.
    """

    def __init__(self, state: Path, prepare: Callable[[], None], actor: Actor) -> None:
        self._path = state / FILE
        self._prepare = prepare
        self._actor = actor

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Hold the ledger: nobody else appends, so nobody else promotes, until the block ends.

        Yields:
            What appends.

        Raises:
            StoreError: The ledger is locked for too long, read-only or on a full disk.
        """
        try:
            self._prepare()
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise translate(error) from error
        try:
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(_SCHEMA)
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise translate(error) from error
            yield Writing(connection, self._actor)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def events(self, model: str | None = None) -> list[Event]:
        """Give all events in order, or those of one model."""
        if not self._path.exists():
            return []
        try:
            connection = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=30)
            try:
                return _read(connection, model)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise translate(error) from error

    def head(self) -> str:
        """Give the last hash, to be kept elsewhere."""
        events = self.events()
        return events[-1].hash if events else GENESIS

    def verify(self, head: str | None = None) -> Verdict:
        """Recompute the whole chain.

        Args:
            head: A head that was kept elsewhere; it must be in the chain.

        Returns:
            Whether all holds; if not, where it breaks.
        """
        events = self.events()
        previous = GENESIS
        for number, event in enumerate(events, 1):
            wrong = _wrong(event, number, previous)
            if wrong:
                return Verdict(False, len(events), events[-1].hash, event.seq, wrong)
            previous = event.hash
        if head is not None and head not in {GENESIS, *(event.hash for event in events)}:
            return Verdict(False, len(events), previous, None, "the head that was kept elsewhere is not in the chain")
        return Verdict(True, len(events), previous)


def _wrong(event: Event, number: int, previous: str) -> str:
    if event.seq != number:
        return f"event {number} is missing"
    if event.previous != previous:
        return f"event {number} does not follow the one before it"
    text = json.dumps(event.data, sort_keys=True, ensure_ascii=False)
    values = (event.seq, event.time, event.kind, event.actor, event.via, event.model, text, previous)
    return "" if _hash(values) == event.hash else f"event {number} was changed after it was written"


def _hash(values: tuple[Any, ...]) -> str:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read(connection: sqlite3.Connection, model: str | None) -> list[Event]:
    where, values = ("WHERE model = ?", (model,)) if model is not None else ("", ())
    rows = connection.execute(f"SELECT {_COLUMNS} FROM events {where} ORDER BY seq", values)
    return [_event(row) for row in rows]


def _event(row: tuple[Any, ...]) -> Event:
    seq, time, kind, actor, via, model, data, previous, digest = row
    return Event(seq, time, kind, actor, via, model, json.loads(data), previous, digest)
