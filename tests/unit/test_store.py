"""Objects and records: whole or not at all, and never what they are not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.errors import IntegrityError, NotFoundError, StoreError
from mlops_jupyter.files import write_whole
from mlops_jupyter.store import LocalFolder, MemoryFolder, ObjectStore, key_of

PLACES: dict[str, Callable[[Path], ObjectStore]] = {
    "local": lambda path: ObjectStore.open(path / "objects"),
    "file url": lambda path: ObjectStore.open(f"file://{path}/objects"),
    "memory url": lambda path: ObjectStore.open(f"memory://{path.name}"),
    "memory": lambda path: ObjectStore(MemoryFolder()),
}


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return PLACES[request.param](tmp_path)


@pytest.mark.parametrize("data", [b"", b"x", bytes(300_000)])
def test_what_is_put_comes_back(store: ObjectStore, data: bytes) -> None:
    """Any bytes, the empty ones too, come back under their digest."""
    key = store.put(data)
    assert key == key_of(data)
    assert store.get(key) == data
    assert key in store
    assert store.size(key) == len(data)


def test_a_missing_object_is_named(store: ObjectStore) -> None:
    """What is not there is told, with what it was."""
    with pytest.raises(NotFoundError):
        store.get("0" * 64)
    assert "0" * 64 not in store
    assert store.size("0" * 64) == 0


def test_records_are_kept_listed_and_replaced(store: ObjectStore) -> None:
    """A record is what was written last; kinds are apart."""
    store.put_record("notes", "a", {"n": 1})
    store.put_record("notes", "a", {"n": 2})
    store.put_record("other", "b", {})
    assert store.get_record("notes", "a") == {"n": 2}
    assert store.record_names("notes") == ["a"]
    assert store.record_names("none") == []
    assert store.get_record("notes", "b") is None
    store.remove_record("notes", "a")
    store.remove_record("notes", "a")
    assert store.record_names("notes") == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 300, "a\x00"])
def test_names_never_become_paths(store: ObjectStore, name: str) -> None:
    """A name that somebody else chose can't leave the store's folder."""
    with pytest.raises(ValueError, match="no name"):
        store.put_record("notes", name, {})
    assert store.get_record("notes", name) is None


def test_a_key_from_a_hostile_document_is_refused(store: ObjectStore) -> None:
    """A key that is no digest never reaches the file system."""
    with pytest.raises(IntegrityError):
        store.get("../../etc/passwd")


def test_nan_is_no_json(store: ObjectStore) -> None:
    """A record that other programs could not read is refused when it is written."""
    with pytest.raises(ValueError, match="JSON"):
        store.put_record("notes", "a", {"n": float("nan")})


def test_damage_is_seen(tmp_path: Path) -> None:
    """A flipped bit is an error, not data."""
    store = ObjectStore.open(tmp_path)
    key = store.put(b"hello")
    path = tmp_path / key[:2] / key[2:]
    path.write_bytes(b"jello")
    with pytest.raises(IntegrityError):
        store.get(key)
    store.put_record("notes", "a", {})
    (tmp_path / "records" / "notes" / "a.json").write_text("{")
    with pytest.raises(IntegrityError):
        store.get_record("notes", "a")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle of a write changes nothing and leaves no rubbish."""
    write_whole(tmp_path / "a", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_readers_see_the_old_or_the_new(tmp_path: Path) -> None:
    """While a file is written again and again, whoever reads it reads one whole version."""
    folder = LocalFolder(tmp_path)
    folder.write("x", b"0" * 50_000)
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            folder.write("x", str(turn % 10).encode() * 50_000)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(300):
            data = folder.read("x")
            assert len(data) == 50_000
            assert len(set(data)) == 1
    finally:
        stop.set()
        thread.join()


def test_an_unknown_protocol_is_a_store_error() -> None:
    """A URL that nothing serves is told with what to install."""
    with pytest.raises(StoreError):
        ObjectStore.open("nosuchprotocol://bucket/x")


def test_a_short_object_is_healed(tmp_path: Path) -> None:
    """What a full disk or a broken copy left of an object is written again by the next put of it."""
    store = ObjectStore.open(tmp_path)
    key = store.put(b"hello")
    (tmp_path / key[:2] / key[2:]).write_bytes(b"hel")
    store.put(b"hello")
    assert store.get(key) == b"hello"


class Shelf(MemoryFileSystem):  # type: ignore[misc]
    """A file system without whole uploads: what breaks off leaves half a file, and what fails has its own errors."""

    protocol = "shelf"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    breaks = False

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        super().pipe_file(path, value[: len(value) // 2] if Shelf.breaks else value)
        if Shelf.breaks:
            raise LookupError("the line is dead")

    def rm_file(self, path: str) -> None:
        if Shelf.breaks:
            raise LookupError("the line is dead")
        del Shelf.store[self._strip_protocol(path)]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("shelf://")))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """Give a store on such a file system."""
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    Shelf.store.clear()
    yield ObjectStore.open("shelf://place/objects")
    Shelf.breaks = False


def test_an_upload_that_breaks_off_leaves_what_was_there(shelf: ObjectStore) -> None:
    """Where uploads are not whole by themselves, a record is written aside and moved."""
    shelf.put_record("notes", "a", {"n": 1})
    shelf.put_record("notes", "a", {"n": 2})
    Shelf.breaks = True
    with pytest.raises(StoreError, match="the line is dead"):
        shelf.put_record("notes", "a", {"n": 3})
    assert shelf.get_record("notes", "a") == {"n": 2}
    assert shelf.record_names("notes") == ["a"]


def test_errors_of_a_remote_library_are_store_errors(shelf: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a file system's library raises is told as a store that does not answer, without its password."""

    def refuse(*words: Any, **options: Any) -> None:
        raise LookupError("no credentials")

    for name in ("cat_file", "size", "ls", "exists"):
        monkeypatch.setattr(Shelf, name, refuse)
    for asked in (
        lambda: shelf.get("0" * 64),
        lambda: shelf.size("0" * 64),
        lambda: shelf.record_names("notes"),
        lambda: "0" * 64 in shelf,
        lambda: shelf.remove_record("notes", "a"),
    ):
        with pytest.raises(StoreError, match="no credentials"):
            asked()


@given(st.binary(max_size=2000))
def test_equal_bytes_have_one_key(data: bytes) -> None:
    """Content addressing: the key is a function of the bytes."""
    store = ObjectStore(MemoryFolder())
    assert store.put(data) == store.put(bytearray(data)) == store.put(memoryview(data))
