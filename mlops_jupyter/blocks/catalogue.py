"""The catalogue: what lies where, in one SQLite database that every process of the workspace writes to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_jupyter.files import on_network

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pack (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS block (
    id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, quick BLOB NOT NULL, bytes INTEGER NOT NULL,
    pack INTEGER NOT NULL, place INTEGER NOT NULL, stored INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS memory (
    name BLOB PRIMARY KEY, bytes INTEGER NOT NULL, blocks BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (name BLOB PRIMARY KEY, bytes INTEGER NOT NULL, data BLOB, memory BLOB);
CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL, name TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sweep (count INTEGER NOT NULL);
INSERT INTO sweep SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM sweep);
"""
_PATIENCE = 30.0
# SQLite takes no more values than this in one statement, on any machine.
_MOST_VALUES = 500


@dataclass(frozen=True)
class Place:
    """Where a block lies.

    Args:
        name: The blake3 digest of its bytes.
        quick: Their xxh3 digest.
        size: How many there are.
        pack: The name of its pack.
        place: Where it begins there.
        stored: How many bytes it takes there; fewer where it is compressed.
    """

    name: bytes
    quick: bytes
    size: int
    pack: str
    place: int
    stored: int


class Catalogue:
    """The database, as one process uses it.

    Args:
        path: Where it lies; its folder is made with it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Its user holds a lock of its own around each use.
        self._database = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            if not on_network(path.parent):
                self._database.execute("PRAGMA journal_mode=WAL")
            # What a power loss takes away is told when it is missed; see `BlockStore.sync`.
            self._database.execute("PRAGMA synchronous=NORMAL")
            if not self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sweep'").fetchone():
                self._database.executescript(_SCHEMA)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def sync(self) -> None:
        """Wait until what was written would outlast a loss of power."""
        # A checkpoint syncs the log, and then the database.
        self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write everything inside, or nothing."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def sweeps(self) -> int:
        """Count how often something was taken away: what a process knows to be there is true for one count only."""
        return int(self._database.execute("SELECT count FROM sweep").fetchone()[0])

    # Blocks

    def ids(self, names: Sequence[bytes]) -> dict[bytes, int]:
        """Give the ids of the blocks that are there, by name."""
        return dict(self._select("SELECT name, id FROM block WHERE name IN", names))

    def add_blocks(self, places: Iterable[Place]) -> None:
        """Note where blocks lie; of those that are known already, nothing changes."""
        packs: dict[str, int] = {}
        rows = []
        for found in places:
            if found.pack not in packs:
                packs[found.pack] = self._pack(found.pack)
            pack = packs[found.pack]
            rows.append((found.name, found.quick, found.size, pack, found.place, found.stored))
        self._database.executemany(
            "INSERT OR IGNORE INTO block (name, quick, bytes, pack, place, stored) VALUES (?, ?, ?, ?, ?, ?)", rows
        )

    def _pack(self, name: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO pack (name) VALUES (?)", (name,))
        return int(self._database.execute("SELECT id FROM pack WHERE name = ?", (name,)).fetchone()[0])

    def places(self, ids: Sequence[int]) -> dict[int, Place]:
        """Tell where blocks lie, by id; those that are not there are left out."""
        query = (
            "SELECT block.id, block.name, quick, bytes, pack.name, place, stored"
            " FROM block JOIN pack ON pack.id = block.pack WHERE block.id IN"
        )
        return {found[0]: Place(*found[1:]) for found in self._select(query, ids)}

    def _select(self, query: str, values: Sequence[bytes | int]) -> Iterator[Any]:
        for start in range(0, len(values), _MOST_VALUES):
            part = values[start : start + _MOST_VALUES]
            yield from self._database.execute(f"{query} ({', '.join('?' * len(part))})", tuple(part))

    # Memories and objects

    def add_memory(self, name: bytes, size: int, blocks: bytes) -> None:
        """Note which blocks a memory has.

        Args:
            name: The memory's key.
            size: How many bytes it has.
            blocks: The ids of its blocks, packed.
        """
        self._database.execute("INSERT OR IGNORE INTO memory VALUES (?, ?, ?)", (name, size, blocks))

    def memory(self, name: bytes) -> tuple[int, bytes] | None:
        """Give a memory's size and the ids of its blocks, packed; None where there is none of that key."""
        found = self._database.execute("SELECT bytes, blocks FROM memory WHERE name = ?", (name,)).fetchone()
        return (int(found[0]), bytes(found[1])) if found else None

    def add_object(self, name: bytes, size: int, data: bytes | None, memory: bytes | None) -> None:
        """Note an object: its bytes, or the key of the memory that they lie in."""
        self._database.execute("INSERT OR IGNORE INTO object VALUES (?, ?, ?, ?)", (name, size, data, memory))

    def object(self, name: bytes) -> tuple[bytes | None, bytes | None] | None:
        """Give an object's bytes, or the key of their memory; None where there is none of that key."""
        found: tuple[bytes | None, bytes | None] | None = self._database.execute(
            "SELECT data, memory FROM object WHERE name = ?", (name,)
        ).fetchone()
        return found

    def size_of_object(self, name: bytes) -> int | None:
        """Give an object's size; None where there is none of that key."""
        found = self._database.execute("SELECT bytes FROM object WHERE name = ?", (name,)).fetchone()
        return int(found[0]) if found else None

    # Records

    def put_record(self, kind: str, name: str, document: bytes) -> None:
        """Keep a document under a kind and a name, in place of what was there."""
        self._database.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (kind, name, document))

    def record(self, kind: str, name: str) -> bytes | None:
        """Give the document under a kind and a name, or None."""
        query = "SELECT document FROM record WHERE kind = ? AND name = ?"
        found = self._database.execute(query, (kind, name)).fetchone()
        return bytes(found[0]) if found else None

    def record_names(self, kind: str) -> list[str]:
        """Give the names of all records of a kind, sorted."""
        query = "SELECT name FROM record WHERE kind = ? ORDER BY name"
        return [str(name) for (name,) in self._database.execute(query, (kind,))]

    def remove_record(self, kind: str, name: str) -> None:
        """Take a record away; no error when it is not there."""
        self._database.execute("DELETE FROM record WHERE kind = ? AND name = ?", (kind, name))
