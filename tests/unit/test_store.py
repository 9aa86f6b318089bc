"""Objects and records: whole or not at all, and never what they are not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_jupyter.errors import IntegrityError, NotFoundError, StoreError
from mlops_jupyter.store import LocalFolder, MemoryFolder, ObjectStore, key_of, write_whole

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


@given(st.binary(max_size=2000))
def test_equal_bytes_have_one_key(data: bytes) -> None:
    """Content addressing: the key is a function of the bytes."""
    store = ObjectStore(MemoryFolder())
    assert store.put(data) == store.put(bytearray(data)) == store.put(memoryview(data))
