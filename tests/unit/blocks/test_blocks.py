"""Memories in blocks: kept once, brought back as they were, and damage told."""

from __future__ import annotations

import errno
import mmap
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_jupyter.blocks import BlockStore, Kept, packs
from mlops_jupyter.blocks.catalogue import Catalogue
from mlops_jupyter.blocks.memories import BLOCK, memory_key, name_of, packed, quick_digests
from mlops_jupyter.errors import IntegrityError, NotFoundError, StoreError

MEGABYTE = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    """Give a store in a folder of the test's own."""
    return BlockStore(tmp_path / "objects")


def kept(store: BlockStore, data: bytes | bytearray, before: Kept | None = None) -> Kept:
    """Keep bytes as a memory."""
    return store.keep(memoryview(data), before)


def brought_back(store: BlockStore, key: str) -> bytes:
    """Bring a memory back, mapped as far as it may be."""
    opened = store.open_memory(key)
    with opened.memory.view() as view:
        return bytes(view)


def stored(store: BlockStore) -> int:
    """Count the bytes in all packs."""
    return sum(path.stat().st_size for path in (store.folder / "packs").glob("*"))


def the_pack(store: BlockStore) -> Path:
    """Give the only pack."""
    (path,) = (store.folder / "packs").glob("*.pack")
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.integers(0, 3) | st.integers(BLOCK - 1, BLOCK + 1) | st.integers(0, 10 * BLOCK),
    seed=st.integers(0, 5),
    changes=st.lists(st.integers(0, 10 * BLOCK), max_size=4),
    more=st.integers(-2 * BLOCK, 2 * BLOCK),
    squeezable=st.booleans(),
)
def test_what_is_kept_comes_back(
    store: BlockStore, size: int, seed: int, changes: list[int], more: int, squeezable: bool
) -> None:
    """A memory of any length, and what it is after bytes of it have changed and it has grown or shrunk."""
    piece = bytes([seed]) * 7 if squeezable else bytes((n * 2654435761 + seed) >> 7 & 255 for n in range(4099))
    first = bytearray((piece * (size // len(piece) + 1))[:size])
    second = first[: size + more] if more < 0 else first + b"\7" * more
    for place in changes:
        if place < len(second):
            second[place] ^= 255
    one = kept(store, first)
    other = kept(store, second, one)
    assert (brought_back(store, one.key), brought_back(store, other.key)) == (first, second)
    assert other == kept(store, second)
    assert (one.key == other.key) == (first == second)
    assert other.quick == quick_digests(memoryview(second))


def test_only_what_has_changed_is_written(store: BlockStore) -> None:
    """One byte in four megabytes costs a block, whether or not it is told what was there before."""
    data = bytearray(os.urandom(4 * MEGABYTE))
    first = kept(store, data)
    before = stored(store)
    data[12345] ^= 1
    kept(store, data, first)
    assert stored(store) - before == BLOCK
    data[MEGABYTE] ^= 1
    kept(store, data)
    assert stored(store) - before == 2 * BLOCK


def test_equal_memories_are_stored_once(store: BlockStore) -> None:
    """A copy costs no block, nor does one that another process has kept."""
    data = os.urandom(MEGABYTE)
    kept(store, data)
    before = stored(store)
    assert BlockStore(store.folder).keep(memoryview(data)) == kept(store, bytes(bytearray(data)))
    assert stored(store) == before


def test_what_shrinks_is_compressed_and_what_does_not_is_mapped(store: BlockStore) -> None:
    """What is mapped is not read before it is touched; what is compressed is read, and checked, at once."""
    numbers = b"".join(number.to_bytes(8, "little") for number in range(MEGABYTE // 4))
    random = os.urandom(2 * MEGABYTE)
    shrunk = kept(store, numbers)
    assert stored(store) < len(numbers) / 3
    assert store.open_memory(shrunk.key).unread == {}
    mapped = store.open_memory(kept(store, random).key)
    assert sorted(mapped.unread) == list(range(8))
    assert all(place.place % mmap.PAGESIZE == 0 for place in mapped.unread.values())
    assert store.damaged(mapped.unread) == []


def test_who_writes_to_a_memory_writes_to_no_pack(store: BlockStore) -> None:
    """What is brought back is private: another that is brought back later is what was kept."""
    data = os.urandom(2 * MEGABYTE)
    key = kept(store, data).key
    with store.open_memory(key).memory.view() as view:
        view[:] = bytes(len(view))
    assert brought_back(store, key) == data


def test_a_memory_of_many_parts_of_many_packs_is_one(store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that lie anywhere, in packs that were begun anew in between, are laid behind one another."""
    monkeypatch.setattr(packs, "FULL", 2 * BLOCK)
    data = bytearray(os.urandom(4 * MEGABYTE + 777))
    known = kept(store, data)
    for place in range(0, len(data), 3 * BLOCK):
        data[place] ^= 1
        known = kept(store, data, known)
    assert len(list((store.folder / "packs").glob("*"))) >= 3
    assert brought_back(store, known.key) == data
    store.sync()


@pytest.mark.parametrize("size", [MEGABYTE // 2, 2 * MEGABYTE], ids=["read", "mapped"])
@pytest.mark.parametrize("how", ["flipped", "cut off", "missing"])
def test_a_damaged_pack_is_told(store: BlockStore, size: int, how: str) -> None:
    """A bit that has changed, an end that is gone, a file that is gone: nobody takes it for what was kept."""
    key = kept(store, os.urandom(size)).key
    pack = the_pack(store)
    if how == "flipped":
        with pack.open("r+b") as file:
            file.seek(BLOCK + 100)
            byte = file.read(1)[0]
            file.seek(BLOCK + 100)
            file.write(bytes([byte ^ 16]))
    elif how == "cut off":
        os.truncate(pack, BLOCK + 100)
    else:
        pack.unlink()
    with pytest.raises(IntegrityError, match=r"damaged|cut off|missing"):
        store.read_memory(key)
    if how == "flipped" and size > MEGABYTE:
        assert store.damaged(store.open_memory(key).unread) == [1]
    else:
        with pytest.raises(IntegrityError, match=r"damaged|cut off|missing"):
            store.open_memory(key)


def test_a_catalogue_that_was_changed_is_told(store: BlockStore) -> None:
    """Other blocks in the place of a memory's own, and a length that is not its own, are not given."""
    one, other = kept(store, os.urandom(MEGABYTE)), kept(store, os.urandom(MEGABYTE))
    store.close()
    database = sqlite3.connect(store.folder / "catalogue.db")
    with database:
        (blocks,) = database.execute("SELECT blocks FROM memory WHERE name = ?", (bytes.fromhex(other.key),)).fetchone()
        database.execute("UPDATE memory SET blocks = ? WHERE name = ?", (blocks, bytes.fromhex(one.key)))
        database.execute("UPDATE memory SET bytes = bytes - 1 WHERE name = ?", (bytes.fromhex(other.key),))
    database.close()
    for known in (one, other):
        with pytest.raises(IntegrityError, match="damaged"):
            store.open_memory(known.key)


def test_a_block_that_says_it_is_large_is_not_expanded(store: BlockStore) -> None:
    """A few bytes that would become a gigabyte of zeros, by their own word or the catalogue's, stay what they are."""
    import zstandard

    size = 1 << 30
    squeezed = zstandard.ZstdCompressor(level=1).compress(bytes(64 * MEGABYTE))
    key = kept(store, bytes(MEGABYTE)).key
    (pack,) = (store.folder / "packs").glob("*.pack")
    pack.write_bytes(squeezed)
    store.close()
    database = sqlite3.connect(store.folder / "catalogue.db")
    with database:
        database.execute("UPDATE block SET place = 0, stored = ?", (len(squeezed),))
    with pytest.raises(IntegrityError, match="damaged"):
        store.read_memory(key)
    with database:
        database.execute("UPDATE block SET bytes = ?", (size,))
        database.execute("UPDATE memory SET bytes = ?", (size,))
    database.close()
    with pytest.raises(IntegrityError, match="damaged"):
        store.read_memory(key)


def test_objects_and_records_come_back(store: BlockStore) -> None:
    """Short and long ones, and a record in the place of another; what is not there is told."""
    for data in (b"", b"short", os.urandom(100_000), bytes(3 * MEGABYTE)):
        key = store.put(data)
        assert (store.get(key), store.size(key), key) == (data, len(data), name_of(data).hex())
    store.put_record("kind", "b", {"x": [1, "é"]})
    store.put_record("kind", "a", {"x": 1})
    store.put_record("kind", "a", {"x": 2})
    again = BlockStore(store.folder)
    assert (again.record_names("kind"), again.get_record("kind", "a")) == (["a", "b"], {"x": 2})
    store.remove_record("kind", "a")
    assert (again.get_record("kind", "a"), again.size("0" * 64)) == (None, 0)
    for asked in (again.get, again.open_memory, again.read_memory):
        with pytest.raises(NotFoundError, match="missing"):
            asked("0" * 64)
        with pytest.raises(IntegrityError, match="no key"):
            asked("../../etc/passwd")


def test_a_batch_is_kept_whole_or_not_at_all(store: BlockStore) -> None:
    """What was put before something failed is not there after it."""

    def write() -> None:
        with store.writing() as batch:
            batch.put(b"before")
            batch.put_record("kind", "name", b"{}")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StoreError, match="No space left"):
        write()
    assert store.record_names("kind") == []
    with pytest.raises(NotFoundError):
        store.get(name_of(b"before").hex())
    assert store.get(store.put(b"before")) == b"before"


def test_a_full_disk_is_told_and_costs_nothing_that_was_kept(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory of which half was written is not there; what follows is not laid behind the half."""
    first = os.urandom(MEGABYTE)
    key = kept(store, first).key
    room = [BLOCK + 1000]
    real = os.pwritev

    def limited(handle: int, parts: list[memoryview], place: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = parts[0][: room[0]]
        room[0] -= len(part)
        return real(handle, [part], place)

    monkeypatch.setattr(os, "pwritev", limited)
    second = os.urandom(MEGABYTE)
    with pytest.raises(StoreError, match="No space left"):
        kept(store, second)
    monkeypatch.undo()
    assert brought_back(store, key) == first
    third = kept(store, second)
    assert brought_back(BlockStore(store.folder), third.key) == second


def test_what_a_thread_writes_meanwhile_is_kept_as_it_was_at_some_moment(store: BlockStore) -> None:
    """A block's name is that of the bytes that are stored, whatever the memory has become since it was hashed."""
    data = bytearray(os.urandom(4 * MEGABYTE))
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            data[(number * 4099) % len(data)] = number & 255

    thread = threading.Thread(target=write)
    thread.start()
    try:
        known: Kept | None = None
        for _ in range(20):
            known = kept(store, data, known)
            store.read_memory(known.key)
            assert known.key == memory_key(known.size, known.names).hex()
    finally:
        over.set()
        thread.join()


def test_a_process_that_was_forked_off_writes_to_a_pack_of_its_own(store: BlockStore) -> None:
    """Parent and child go on with one store, and neither writes over what the other has kept."""
    kept(store, os.urandom(MEGABYTE))
    mine, theirs = os.urandom(MEGABYTE), os.urandom(MEGABYTE)
    child = multiprocessing.get_context("fork").Process(target=lambda: store.put(theirs))
    child.start()
    key = store.put(mine)
    child.join()
    assert (child.exitcode, store.get(key), store.get(name_of(theirs).hex())) == (0, mine, theirs)
    assert len(list((store.folder / "packs").glob("*"))) == 2


_WRITER = """
import os, sys
from pathlib import Path
from mlops_jupyter.blocks import BlockStore
store, number = BlockStore(Path(sys.argv[1])), 0
data, known = bytearray(os.urandom(3 << 20)), None
while True:
    number += 1
    data[number * 70_001 % len(data)] ^= 255
    with store.writing() as batch:
        known = batch.keep(memoryview(data), known)
        batch.put_record("state", f"{os.getpid()}-{number:06d}", f'{{"key": "{known.key}"}}'.encode())
    print(number, flush=True)
"""


def killed_while_writing(folder: Path, rounds: int) -> None:
    """Kill processes that keep memories, two at a time; all that they have said to be kept is there."""
    said = {}
    for turn in range(rounds):
        writers = [
            subprocess.Popen([sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE) for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        time.sleep(0.013 * (turn % 17))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            out, _ = writer.communicate()
            numbers = [int(line) for line in out.decode().splitlines(keepends=True) if line.endswith("\n")]
            said[writer.pid] = max(numbers, default=1)
    store = BlockStore(folder)
    names = store.record_names("state")
    for pid, number in said.items():
        assert f"{pid}-{number:06d}" in names
    for key in {str((store.get_record("state", name) or {})["key"]) for name in names[-200:]}:
        assert len(store.read_memory(key)) == 3 << 20


def test_what_was_kept_outlasts_a_kill(tmp_path: Path) -> None:
    """Processes that are killed while they write leave nothing that can't be read."""
    killed_while_writing(tmp_path / "objects", 4)


@pytest.mark.long
def test_what_was_kept_outlasts_two_hundred_kills(tmp_path: Path) -> None:
    """The same, a hundred times two processes."""
    killed_while_writing(tmp_path / "objects", 100)


def test_numbers_of_blocks_are_written_alike_on_every_machine() -> None:
    """Four bytes each, the lowest first."""
    assert packed([1, 258]) == b"\1\0\0\0\2\1\0\0"


def test_a_catalogue_is_made_once(tmp_path: Path) -> None:
    """Two that are opened at once find one schema."""
    made = [Catalogue(tmp_path / "c.db") for _ in range(2)]
    assert [one.sweeps() for one in made] == [0, 0]
    for one in made:
        one.close()
