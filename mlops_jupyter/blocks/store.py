"""The store: memories, objects and records of one workspace, in blocks, packs and a catalogue."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops_jupyter.blocks.batch import Batch
from mlops_jupyter.blocks.catalogue import Catalogue, Place
from mlops_jupyter.blocks.memories import Kept, block_sizes, memory_key, name_of, unpacked
from mlops_jupyter.blocks.packs import PackWriter
from mlops_jupyter.blocks.reading import Opened, PackReader
from mlops_jupyter.errors import IntegrityError, NotFoundError, translate
from mlops_jupyter.locks import SharedLock

_KEY = re.compile(r"[0-9a-f]{64}")


class BlockStore:
    """Memories, objects and records, in a local folder.

    Args:
        folder: Where they lie; made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._turn = threading.RLock()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._owner = os.getpid()
        self._writer = PackWriter(self.folder / "packs")
        self._reader = PackReader(self.folder / "packs")
        self._open: Catalogue | None = None
        self._batch: Batch | None = None

    # Writing

    @contextmanager
    def writing(self) -> Iterator[Batch]:
        """Keep all that is put inside, or nothing; nobody takes anything away meanwhile.

        Yields:
            What takes memories and objects.

        Raises:
            StoreError: The disk is full, or the store can't be written.
        """
        with self._turn:
            if self._batch is not None:
                yield self._batch
                return
            try:
                with SharedLock(self.folder / "store.lock").shared():
                    self._batch = Batch(self._catalogue(), self._writer)
                    try:
                        yield self._batch
                        self._batch.commit()
                    finally:
                        self._batch = None
            except Exception as error:
                raise translate(error) from error

    def keep(self, view: memoryview, before: Kept | None = None) -> Kept:
        """Keep a memory.

        Args:
            view: The memory, as bytes. Another thread may write to it meanwhile; what is kept is whole blocks that
                were there at some moment.
            before: What it was when it was last kept: what has not changed since is not looked up.

        Returns:
            How it is kept.
        """
        with self.writing() as batch:
            return batch.keep(view, before)

    def put(self, data: bytes) -> str:
        """Keep an object.

        Returns:
            The key: 64 hexadecimal digits, the blake3 digest of the bytes.
        """
        with self.writing() as batch:
            return batch.put(data)

    def put_record(self, kind: str, name: str, document: Mapping[str, Any]) -> None:
        """Keep a JSON document under a kind and a name, in place of what was there.

        Raises:
            ValueError: The document holds something that is no JSON, NaN included.
        """
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
        with self.writing() as batch:
            batch.put_record(kind, name, text.encode())

    def remove_record(self, kind: str, name: str) -> None:
        """Take a record away; no error when it is not there."""
        with self.writing() as batch:
            batch.put_record(kind, name, None)

    def sync(self) -> None:
        """Wait until all that was kept would outlast a loss of power.

        Raises:
            StoreError: The disk fails.
        """
        with self._turn:
            try:
                self._writer.sync()
                self._catalogue().sync()
            except Exception as error:
                raise translate(error) from error

    # Reading

    def open_memory(self, key: str) -> Opened:
        """Bring a memory back, as far as it can be mapped without being read.

        Args:
            key: What :meth:`keep` has given.

        Returns:
            The memory, private to this process and writable.

        Raises:
            NotFoundError: There is none of that key.
            IntegrityError: The catalogue, or a block that was read, is damaged.
        """
        with self._reading():
            return self._reader.opened(*self._places(key))

    def damaged(self, unread: Mapping[int, Place]) -> list[int]:
        """Tell which blocks are not what they were.

        Args:
            unread: Where they lie, by number.

        Returns:
            The numbers of the damaged ones.
        """
        found = []
        for number, place in unread.items():
            try:
                self._reader.read(place)
            except IntegrityError:
                found.append(number)
        return found

    def read_memory(self, key: str) -> bytes:
        """Read a memory, all of it, checked.

        Raises:
            NotFoundError: There is none of that key.
            IntegrityError: It is damaged.
        """
        with self._reading():
            return b"".join(map(self._reader.read, self._places(key)[1]))

    def get(self, key: str) -> bytes:
        """Give the bytes of an object, checked.

        Raises:
            NotFoundError: There is none of that key.
            IntegrityError: It is damaged.
        """
        with self._reading():
            found = self._catalogue().object(_name(key))
            if found is None:
                raise NotFoundError(f"object {key[:12]} is missing from the store", _MISSING)
            data, memory = found
            if data is None:
                data = self.read_memory(memory.hex() if memory is not None else "")
        if name_of(data) != _name(key):
            raise IntegrityError(f"object {key[:12]} is damaged", _DAMAGED)
        return bytes(data)

    def get_record(self, kind: str, name: str) -> dict[str, Any] | None:
        """Give the document under a kind and a name, or None.

        Raises:
            IntegrityError: What is there is no JSON object.
        """
        with self._reading():
            text = self._catalogue().record(kind, name)
        if text is None:
            return None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise IntegrityError(f"record {kind}/{name} is damaged", _DAMAGED)
        return document

    def record_names(self, kind: str) -> list[str]:
        """Give the names of all records of a kind, sorted."""
        with self._reading():
            return self._catalogue().record_names(kind)

    def size(self, key: str) -> int:
        """Give the size of an object in bytes; 0 when it is missing."""
        with self._reading():
            return self._catalogue().size_of_object(_name(key)) or 0

    def sweeps(self) -> int:
        """Count how often something was taken away; what was kept before the last time may be gone."""
        with self._reading():
            return self._catalogue().sweeps()

    def close(self) -> None:
        """Let go of what is open."""
        with self._turn:
            self._writer.close()
            if self._open is not None:
                self._open.close()
                self._open = None

    def _places(self, key: str) -> tuple[Kept, list[Place]]:
        """Find the blocks of a memory, and check that they are those that its key names."""
        found = self._catalogue().memory(_name(key))
        if found is None:
            raise NotFoundError(f"memory {key[:12]} is missing from the store", _MISSING)
        size, ids = found[0], unpacked(found[1])
        known = self._catalogue().places(list(dict.fromkeys(ids)))
        places = [known[number] for number in ids if number in known]
        names = b"".join(place.name for place in places)
        kept = Kept(key, size, names, b"".join(place.quick for place in places))
        if memory_key(size, names) != _name(key) or [place.size for place in places] != list(block_sizes(size)):
            raise IntegrityError(f"what is noted of memory {key[:12]} is damaged", _DAMAGED)
        return kept, places

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._turn:
            try:
                yield
            except Exception as error:
                raise translate(error) from error

    def _catalogue(self) -> Catalogue:
        if self._owner != os.getpid():
            # Forked off: neither database nor packs are this process's, and to close them is not its business either.
            _inherited.append(self._open)
            self._begin_anew()
        if self._open is None:
            self._open = Catalogue(self.folder / "catalogue.db")
        return self._open


_inherited: list[object] = []
_MISSING = "it was pruned, or belongs to another workspace"
_DAMAGED = "bring it back from a copy of the store"


def _name(key: str) -> bytes:
    if not _KEY.fullmatch(key):
        # A key from a document that somebody else wrote is looked up by nothing else than its digits.
        raise IntegrityError(f"{key[:80]!r} is no key", "the document naming it is damaged")
    return bytes.fromhex(key)
