"""Content-addressed objects and named records, in a local folder or under any fsspec URL.

An *object* is bytes that go by the digest of their content (``blake3`` in hex); it is written once and never changed.
A *record* is a small JSON document with a kind and a name (a snapshot's manifest, a cache entry). Everything is written
aside, synced and renamed, so that what can be read is whole.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from mlops_jupyter.errors import IntegrityError, NotFoundError, translate
from mlops_jupyter.files import write_whole
from mlops_jupyter.store_remote import RemoteFolder

_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@=-]{0,200}")
_COMPARED = 1 << 20


class Folder(Protocol):
    """Where bytes lie: the few operations that a store needs of a file system."""

    def read(self, name: str) -> bytes:
        """Give the bytes of ``name``, or raise FileNotFoundError."""

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Make ``name`` hold ``data``: all of it, or as before."""

    def exists(self, name: str) -> bool:
        """Tell whether ``name`` is there."""

    def names(self, prefix: str) -> Iterator[str]:
        """Give the names of the files directly below the folder ``prefix``."""

    def size(self, name: str) -> int:
        """Give the size of ``name`` in bytes, or raise FileNotFoundError."""

    def holds(self, name: str, data: bytes | memoryview) -> bool:
        """Tell whether ``name`` holds ``data``, as far as can be told without reading it over a network."""

    def remove(self, name: str) -> None:
        """Take ``name`` away; no error when it is not there."""


def make_state(folder: Path) -> None:
    """Make the folder of a workspace's state, which git leaves alone; nothing where it is there.

    Args:
        folder: ``.mlops`` of the workspace.

    Raises:
        StoreError: It can't be written.
    """
    ignore = folder / ".gitignore"
    if ignore.exists():
        return
    try:
        write_whole(ignore, b"*\n")
    except OSError as error:
        raise translate(error) from error


class LocalFolder:
    """A folder of this machine's file system.

    Args:
        root: Made at the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> bytes:
        """Give the bytes of ``name``, or raise FileNotFoundError."""
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Make ``name`` hold ``data``: all of it, or as before."""
        write_whole(self.root / name, data)

    def exists(self, name: str) -> bool:
        """Tell whether ``name`` is there."""
        return (self.root / name).is_file()

    def names(self, prefix: str) -> Iterator[str]:
        """Give the names of the files directly below the folder ``prefix``."""
        folder = self.root / prefix
        if not folder.is_dir():
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file():
                    yield entry.name

    def size(self, name: str) -> int:
        """Give the size of ``name`` in bytes, or raise FileNotFoundError."""
        return (self.root / name).stat().st_size

    def holds(self, name: str, data: bytes | memoryview) -> bool:
        """Tell whether ``name`` holds exactly ``data``."""
        try:
            with (self.root / name).open("rb") as file:
                if os.fstat(file.fileno()).st_size != len(data):
                    return False
                position = 0
                while part := file.read(_COMPARED):
                    if part != data[position : position + len(part)]:
                        return False
                    position += len(part)
                return position == len(data)
        except FileNotFoundError:
            return False

    def remove(self, name: str) -> None:
        """Take ``name`` away; no error when it is not there."""
        (self.root / name).unlink(missing_ok=True)


class MemoryFolder:
    """A folder that lives and dies with this object; for tests, ours and yours."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        """Give the bytes of ``name``, or raise FileNotFoundError."""
        if name not in self._files:
            raise FileNotFoundError(name)
        return self._files[name]

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Make ``name`` hold ``data``: all of it, or as before."""
        self._files[name] = bytes(data)

    def exists(self, name: str) -> bool:
        """Tell whether ``name`` is there."""
        return name in self._files

    def names(self, prefix: str) -> Iterator[str]:
        """Give the names of the files directly below the folder ``prefix``."""
        for name in list(self._files):
            folder, _, base = name.rpartition("/")
            if folder == prefix:
                yield base

    def size(self, name: str) -> int:
        """Give the size of ``name`` in bytes, or raise FileNotFoundError."""
        return len(self.read(name))

    def holds(self, name: str, data: bytes | memoryview) -> bool:
        """Tell whether ``name`` holds exactly ``data``."""
        return self._files.get(name) == data

    def remove(self, name: str) -> None:
        """Take ``name`` away; no error when it is not there."""
        self._files.pop(name, None)


class ObjectStore:
    """Objects by content and records by name, in one folder.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @classmethod
    def open(cls, place: Path | str) -> ObjectStore:
        """Open the store at a local path or an fsspec URL.

        Args:
            place: A path, or a URL with a protocol in front.

        Returns:
            The store; nothing is written before the first ``put``.
        """
        if isinstance(place, str) and "://" in place:
            return cls(RemoteFolder(place))
        return cls(LocalFolder(Path(place)))

    def put(self, data: bytes | bytearray | memoryview) -> str:
        """Keep bytes.

        Args:
            data: Any contiguous buffer.

        Returns:
            The key: 64 hexadecimal digits, the blake3 digest of the bytes.
        """
        view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        key = key_of(view)
        name = _object_name(key)
        # What a bad copy or a bad disk left of it is written again: to keep a value must not lead to a damaged one.
        if not self._folder.holds(name, view):
            self._folder.write(name, view)
        return key

    def get(self, key: str) -> bytes:
        """Give the bytes of a key, verified.

        Args:
            key: What :meth:`put` returned.

        Returns:
            The bytes, whose digest is the key.

        Raises:
            NotFoundError: Nothing is kept under the key.
            IntegrityError: What is kept is not what was put there.
        """
        try:
            data = self._folder.read(_object_name(key))
        except FileNotFoundError:
            raise NotFoundError(
                f"object {key[:12]} is missing from the store",
                "it was deleted, or belongs to another workspace",
            ) from None
        if key_of(data) != key:
            raise IntegrityError(f"object {key[:12]} is damaged", "bring it back from a copy of the store")
        return data

    def __contains__(self, key: object) -> bool:
        """Tell whether an object is kept under ``key``."""
        return isinstance(key, str) and self._folder.exists(_object_name(key))

    def size(self, key: str) -> int:
        """Give the size of an object in bytes; 0 when it is missing."""
        try:
            return self._folder.size(_object_name(key))
        except FileNotFoundError:
            return 0

    def put_record(self, kind: str, name: str, document: dict[str, Any]) -> None:
        """Keep a JSON document under a kind and a name, in place of what was there.

        Args:
            kind: The sort of record; a folder's name.
            name: Its name within the kind: letters, digits and ``_ . @ = -``.
            document: JSON values only.

        Raises:
            ValueError: The document holds something that is no JSON (NaN included), or the name is none.
        """
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True)
        self._folder.write(_record_name(kind, name), text.encode())

    def get_record(self, kind: str, name: str) -> dict[str, Any] | None:
        """Give the document under a kind and a name, or None.

        Raises:
            IntegrityError: What is there is no JSON object.
        """
        if not _NAME.fullmatch(name):
            return None
        try:
            text = self._folder.read(_record_name(kind, name))
        except FileNotFoundError:
            return None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise IntegrityError(f"record {kind}/{name} is damaged", "bring it back from a copy of the store")
        return document

    def record_names(self, kind: str) -> list[str]:
        """Give the names of all records of a kind, sorted."""
        found = self._folder.names(f"records/{kind}")
        return sorted(name.removesuffix(".json") for name in found if name.endswith(".json"))

    def remove_record(self, kind: str, name: str) -> None:
        """Take a record away; no error when it is not there."""
        self._folder.remove(_record_name(kind, name))


def key_of(data: bytes | memoryview) -> str:
    """Give the key that bytes go by: their blake3 digest in hex."""
    from blake3 import blake3

    digest: str = blake3(data).hexdigest()
    return digest


def _object_name(key: str) -> str:
    if not _KEY.fullmatch(key):
        # A key from a document that somebody else wrote must never become a path.
        raise IntegrityError(f"{key[:80]!r} is no object key", "the document naming it is damaged")
    return f"{key[:2]}/{key[2:]}"


def _record_name(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(kind):
        raise ValueError(f"{kind}/{name} is no name for a record")
    return f"records/{kind}/{name}.json"
