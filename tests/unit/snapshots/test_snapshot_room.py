"""Taking, listing, finding and loading snapshots, and what happens when something is wrong."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mlops_jupyter.errors import (
    AmbiguousError,
    DeniedError,
    IntegrityError,
    NotFoundError,
    StoreError,
    UsageError,
)
from mlops_jupyter.snapshots import Manifest, Snapshots, trust
from mlops_jupyter.store import MemoryFolder, ObjectStore

CHECKOUT = Path(__file__).parents[3]


def record_of(folder: MemoryFolder, snapshot: str) -> tuple[str, dict]:
    """Give the name and the document of a snapshot's record."""
    name = f"records/snapshots/{snapshot}.json"
    return name, json.loads(folder.read(name))


def write_record(folder: MemoryFolder, name: str, document: dict) -> None:
    """Put a document in place of a record."""
    folder.write(name, json.dumps(document).encode())


def test_manifest_holds_what_was_said_of_the_snapshot(room, take, tmp_path: Path):
    """Name, message, cells, document, environment, git, run and actor are in the manifest."""
    notebook = tmp_path / "work" / "a.ipynb"
    notebook.parent.mkdir()
    notebook.write_bytes(b'{"cells": []}')
    cell = {
        "id": "c1", "order": 1, "source": "x = 1", "outcome": "ok", "seconds": 0.5,
        "started": "2026-01-01T00:00:00+00:00", "extra": "not kept",
    }  # fmt: skip
    taken = room.take(
        {"x": 1},
        name="before",
        message="two\nlines",
        cells=[cell],
        notebook=notebook,
        environment={"python": "3.11.0", "packages": {"numpy": "2"}},
        git={"commit": "abc", "dirty": True},
        run_id="r1",
        actor="ann",
    )
    found = room.resolve(taken.snapshot)
    assert found == taken.manifest
    assert (found.name, found.message, found.notebook) == ("before", "two\nlines", "work/a.ipynb")
    assert room._store.get(found.document) == b'{"cells": []}'
    assert found.cells[0] == {key: value for key, value in cell.items() if key != "extra"}
    assert (found.git["commit"], found.run_id, found.actor) == ("abc", "r1", "ann")
    document = found.to_json()
    assert (document["format"], document["version"]) == ("mlops-snapshot", 1)


def test_notebook_that_was_never_saved_is_no_error(room, tmp_path: Path):
    """A notebook without a file is named, and has no document."""
    said = {"environment": {}, "git": {}}
    manifest = room.take({}, notebook=tmp_path / "Untitled.ipynb", **said).manifest
    assert (manifest.notebook, manifest.document) == ("Untitled.ipynb", None)
    outside = room.take({}, notebook=tmp_path.parent / "elsewhere.ipynb", **said).manifest
    assert outside.notebook == "elsewhere.ipynb"


def test_answers_have_the_agreed_documents(room, take):
    """The JSON of take, list and show has the keys that other rooms rely on."""
    taken = take({"x": 1, "lock": threading.Lock()}, name="n", message="m", run_id="r")
    assert taken.to_json().keys() == {
        "snapshot", "name", "variables", "missing", "bytes", "created", "run_id",
    }  # fmt: skip
    assert taken.to_json()["variables"] == 1
    (row,) = room.list().rows
    assert row == {
        "snapshot": taken.snapshot, "name": "n", "message": "m", "run_id": "r", "notebook": None,
        "created": taken.manifest.created, "variables": 1, "missing": 1,
        "bytes": taken.manifest.bytes,
    }  # fmt: skip
    shown = room.show("n").to_json()
    assert shown["variables"][0] == {
        "name": "x", "type": "int", "summary": "int 1", "component": 0,
        "bytes": shown["variables"][0]["bytes"],
    }  # fmt: skip
    assert shown["missing"][0].keys() == {"name", "type", "reason"}
    json.dumps(shown)


def test_results_can_be_shown_and_are_escaped(room, take):
    """Text and HTML name the variables, and markup in names stays text."""
    taken = take({"x": 1, "lock": threading.Lock()}, name="<script>alert(1)</script>")
    for result in (taken, room.show(taken.snapshot), room.list()):
        assert "<script>" not in result._repr_html_()
        assert "<script>" in str(result)
    assert "lock" in str(taken)


def test_namespace_without_variables_is_a_snapshot(room, take):
    """An empty namespace can be taken and loaded."""
    taken = take({})
    loaded = room.load(taken.snapshot, namespace={})
    assert (loaded.values, loaded.missing, taken.manifest.variables) == ({}, (), ())


def test_references_find_snapshots(room, take):
    """Ids, prefixes, names, @last and places back from now."""
    first, second, third = (take({"n": n}, name=f"take {n}") for n in range(3))
    for ref in (first.snapshot, first.snapshot[:6], "take 0", "-3"):
        assert room.resolve(ref).id == first.snapshot
    assert room.resolve("@last").id == room.resolve("-1").id == third.snapshot
    assert room.resolve("-2").id == second.snapshot
    assert room.latest().id == third.snapshot
    assert [row["name"] for row in room.list(limit=2).rows] == ["take 2", "take 1"]


@pytest.mark.parametrize("ref", ["nothing", "abc", "", "-4", "-0", "--1", "@first", "../../etc/passwd", "a\x00b", "%"])
def test_unknown_reference_is_not_found(room, take, ref):
    """What names nothing is told with a hint, and never becomes a path."""
    for n in range(3):
        take({"n": n})
    with pytest.raises(NotFoundError) as caught:
        room.resolve(ref)
    assert caught.value.hint
    assert not isinstance(caught.value, AmbiguousError)


def test_close_name_is_suggested(room, take):
    """A typing mistake is met with the name that was meant."""
    take({}, name="baseline")
    with pytest.raises(NotFoundError, match="baseline"):
        room.resolve("baselin")


def test_name_of_two_snapshots_lists_both(room, take):
    """An ambiguous name gives its candidates by id."""
    ids = {take({}, name="same").snapshot for _ in range(2)}
    with pytest.raises(AmbiguousError) as caught:
        room.resolve("same")
    assert {candidate.split()[0] for candidate in caught.value.candidates} == ids
    assert all("(same, 20" in candidate for candidate in caught.value.candidates)


def test_prefix_shorter_than_six_names_nothing(room, take):
    """Five characters of an id are not enough."""
    taken = take({})
    with pytest.raises(NotFoundError):
        room.resolve(taken.snapshot[:5])


def test_no_snapshots_at_all(room):
    """A new workspace has none, and says how to take one."""
    assert room.latest() is None
    assert room.list().rows == []
    assert "%mlops snapshot" in str(room.list())
    with pytest.raises(NotFoundError, match="snapshot"):
        room.resolve("@last")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1bb", "x" * 201, "@last", "-1", "left\u202eright", "\ud800"])
def test_name_that_would_mislead_is_refused(room, take, name):
    """Names with control characters, too long or like references are refused before anything."""
    with pytest.raises(UsageError):
        take({"x": 1}, name=name)
    assert room.list().rows == []


def test_text_that_is_no_unicode_is_kept_readable(room, take):
    """Half a surrogate pair in a cell, and a NaN, do not cost the snapshot."""
    cell = {"id": "c", "order": 1, "source": "'\ud800'", "outcome": "ok", "seconds": float("nan")}
    taken = take({}, cells=[cell], message="\udc80")
    found = room.show(taken.snapshot).to_json()
    assert found["cells"][0]["source"] == "'?'"
    assert found["message"] == "?"


def test_only_brings_the_named_variables(room, take):
    """Names that were not asked for stay away, those that are not there are refused."""
    shared = [1]
    lock = threading.Lock()
    taken = take({"a": shared, "b": [shared], "c": 3, "lock": lock, "other": lock})
    loaded = room.load(taken.snapshot, only=["b", "lock"], namespace={})
    assert loaded.values == {"b": [[1]]}
    assert [lack.name for lack in loaded.missing] == ["lock"]
    with pytest.raises(NotFoundError, match="a, b, c"):
        room.load(taken.snapshot, only=["nope"], namespace={})


def test_load_leaves_the_namespace_alone(room, take, run):
    """Loading writes nothing into the live namespace, not even what Python adds to globals."""
    taken = take(run("def f(): return 1\nx = 2"))
    home: dict[str, object] = {}
    loaded = room.load(taken.snapshot, namespace=home)
    assert home == {}
    assert loaded.values["f"].__globals__ is home


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["variables"].clear(),
        lambda document: document.update(message="edited"),
        lambda document: document["components"][0].update(stream="0" * 64),
        lambda document: document.update(hmac=""),
        lambda document: document.update(hmac="é"),
        lambda document: document["environment"].update(python="2"),
    ],
)
def test_edited_manifest_is_not_unpickled(room, take, folder, change):
    """Any change of the document is refused for loading, and can still be listed and shown."""
    taken = take({"x": 1, "y": [2]})
    name, document = record_of(folder, taken.snapshot)
    change(document)
    write_record(folder, name, document)
    with pytest.raises(DeniedError) as caught:
        room.load(taken.snapshot, namespace={})
    assert "MLOPS_TRUST_KEY" in caught.value.hint
    assert room.list().rows[0]["snapshot"] == taken.snapshot
    assert room.show(taken.snapshot).to_json()["snapshot"] == taken.snapshot


def test_snapshot_of_another_user_is_not_unpickled(room, take, monkeypatch, tmp_path: Path):
    """A manifest under another secret is refused, and accepted where a key is shared."""
    monkeypatch.setenv("MLOPS_TRUST_KEY", "the team's")
    shared = take({"x": 1})
    monkeypatch.delenv("MLOPS_TRUST_KEY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    with pytest.raises(DeniedError):
        room.load(shared.snapshot, namespace={})
    monkeypatch.setenv("MLOPS_TRUST_KEY", "the team's")
    assert room.load(shared.snapshot, namespace={}).values == {"x": 1}


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_listing_showing_and_refusing_do_not_unpickle(room, take, folder, tmp_path: Path):
    """A hostile stream runs nothing, whichever verb meets it."""
    trap = tmp_path / "trap"
    taken = take({"x": 1})
    hostile = ObjectStore(folder).put(pickle.dumps({"x": Bomb(trap)}))
    name, document = record_of(folder, taken.snapshot)
    document["components"][0]["stream"] = hostile
    write_record(folder, name, document)
    room.list(), room.show("@last"), str(room.show("@last")), room.latest()
    with pytest.raises(DeniedError):
        room.load("@last", namespace={})
    assert not trap.exists()


def test_objects_are_checked_before_they_are_read(room, take, folder, tmp_path: Path):
    """A stream that was exchanged under its key is named, and not unpickled."""
    trap = tmp_path / "trap"
    taken = take({"x": 1, "y": 2})
    key = taken.manifest.components[0].stream
    folder.write(f"{key[:2]}/{key[2:]}", pickle.dumps({"x": Bomb(trap)}))
    loaded = room.load(taken.snapshot, namespace={})
    assert loaded.values == {"y": 2}
    assert [lack.name for lack in loaded.missing] == ["x"]
    assert "damaged" in loaded.missing[0].reason
    assert not trap.exists()


def test_missing_buffer_is_named(room, take, folder):
    """An object that is gone names the variables that it held, and only those."""
    taken = take({"array": np.random.default_rng(0).random(50_000), "n": 1})
    (component,) = [one for one in taken.manifest.components if one.buffers]
    key = component.buffers[0].key
    folder.remove(f"{key[:2]}/{key[2:]}")
    loaded = room.load(taken.snapshot, namespace={})
    assert loaded.values == {"n": 1}
    assert (loaded.missing[0].name, loaded.missing[0].type) == ("array", "numpy.ndarray")


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(format="else"),
        lambda document: document.update(version=99),
        lambda document: document.update(id="../../x"),
        lambda document: document.update(variables=[{"nope": 1}]),
        lambda document: document.update(variables=[1]),
        lambda document: document.update(components=None),
        lambda document: document.update(created="yesterday"),
        lambda document: document.update(environment=[]),
        lambda document: document.pop("bytes"),
        lambda document: document["components"][0].update(buffers=[{"key": 1}]),
    ],
)
def test_damaged_manifest_does_not_hide_the_others(room, take, folder, change):
    """One broken record is told in its row; the other snapshots are listed and found."""
    broken, whole = take({"x": 1}), take({"x": 2})
    name, document = record_of(folder, broken.snapshot)
    change(document)
    write_record(folder, name, document)
    rows = room.list().rows
    assert [row["snapshot"] for row in rows] == [whole.snapshot, broken.snapshot]
    assert rows[1]["message"]
    assert room.latest().id == whole.snapshot
    for ref in (broken.snapshot, broken.snapshot[:8]):
        with pytest.raises(IntegrityError):
            room.resolve(ref)


def test_record_that_holds_another_snapshot_is_damaged(room, take, folder):
    """A manifest that was copied over another's record is not taken for it."""
    one, other = take({"x": 1}), take({"x": 2})
    _, document = record_of(folder, one.snapshot)
    write_record(folder, record_of(folder, other.snapshot)[0], document)
    with pytest.raises(IntegrityError):
        room.load(other.snapshot, namespace={})


@pytest.mark.parametrize("known_as", ["../../x", "", "ABCDEFABCDEF", "abc", 12])
def test_manifest_with_an_id_that_is_none_is_refused(take, known_as):
    """An id is hexadecimal digits and nothing else."""
    document = take({}).manifest.to_json() | {"id": known_as}
    with pytest.raises(IntegrityError):
        Manifest.from_json(document)


def test_manifest_survives_json(take):
    """from_json(to_json(manifest)) is the manifest."""
    manifest = take({"m": json, "a": np.zeros(20_000), "lock": threading.Lock()}).manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


class FullFolder(MemoryFolder):
    """A disk that is full from some write on."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(self, name: str, data: bytes | memoryview) -> None:
        if self.left == 0:
            raise OSError(28, "No space left on device")
        self.left -= 1
        super().write(name, data)


def test_death_between_objects_and_record_leaves_no_snapshot(tmp_path: Path):
    """Wherever writing stops, the earlier snapshot is whole and no half one is listed."""
    namespace = {"a": np.arange(50_000), "b": [1], "c": "text"}
    for writes in range(2, 6):
        folder = FullFolder(-1)
        room = Snapshots(ObjectStore(folder), lambda: None, tmp_path)
        first = room.take({"a": 1}, environment={}, git={})
        folder.left = writes - 2
        with pytest.raises(OSError, match="No space"):
            room.take(namespace, environment={}, git={})
        assert [row["snapshot"] for row in room.list().rows] == [first.snapshot]
        folder.left = -1
        again = room.take(namespace, environment={}, git={})
        assert room.load(again.snapshot, namespace={}).values["b"] == [1]


def test_store_that_does_not_answer_is_told_and_not_named_missing(room, take, folder, monkeypatch):
    """An unreachable store is an error of the whole load, not of each variable."""
    taken = take({"x": 1})
    read = folder.read

    def unreachable(name: str) -> bytes:
        if name.startswith("records"):
            return read(name)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder, "read", unreachable)
    with pytest.raises(PermissionError):
        room.load(taken.snapshot, namespace={})


def test_many_take_snapshots_at_once(tmp_path: Path):
    """Two rooms on one folder, many threads: every snapshot is whole and has its own id."""
    rooms = [Snapshots(ObjectStore.open(tmp_path / "objects"), lambda: None, tmp_path) for _ in range(2)]

    def take_one(number: int) -> str:
        namespace = {"n": number, "shared": np.arange(20_000)}
        return rooms[number % 2].take(namespace, environment={}, git={}).snapshot

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(take_one, range(24)))
    assert len(set(ids)) == 24
    for number, snapshot in enumerate(ids):
        assert rooms[0].load(snapshot, namespace={}).values["n"] == number


def test_secret_is_the_users_alone_and_made_once(own_secret: Path):
    """The secret is readable by its owner only, and threads that race for it get the same one."""
    with ThreadPoolExecutor(16) as pool:
        signatures = set(pool.map(lambda _: trust.sign({"a": 1}), range(64)))
    assert len(signatures) == 1
    file = trust.secret_file()
    assert file.is_relative_to(own_secret)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["secret"]


def test_secret_that_cannot_be_made_is_told(monkeypatch, tmp_path: Path):
    """A home that can't be written gives a hint, and a snapshot is not left unsigned."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="MLOPS_TRUST_KEY"):
        trust.sign({})


def test_damaged_secret_is_told(own_secret: Path):
    """A secret that was cut is not used."""
    file = trust.secret_file()
    file.parent.mkdir(parents=True)
    file.write_text("short")
    with pytest.raises(StoreError, match="damaged"):
        trust.sign({})


def test_parent_is_the_snapshot_before(room, take):
    """Each snapshot knows the one that was taken or restored before it."""
    first, second = take({"x": 1}), take({"x": 2})
    assert (first.manifest.parent, second.manifest.parent) == (None, first.snapshot)
    room.load(first.snapshot, namespace={})
    assert take({"x": 3}).manifest.parent == first.snapshot


def test_other_versions_are_told(room, take):
    """Differing Python, numpy and pandas are named; equal ones are not."""
    import platform

    present = {"python": platform.python_version(), "packages": {"numpy": np.__version__}}
    take({"x": 1}, environment=present)
    assert room.load("@last", namespace={}).warnings == ()
    take({"x": 1}, environment={"python": "3.9.1", "packages": {"numpy": "1.2", "pandas": "0.1"}})
    warnings = room.load("@last", namespace={}).warnings
    assert [word in warning for word, warning in zip(("3.9.1", "1.2", "0.1"), warnings, strict=True)]


def test_prepare_is_called_before_anything_is_written(folder, tmp_path: Path):
    """The workspace's folder is there before its first object."""
    seen = []
    room = Snapshots(ObjectStore(folder), lambda: seen.append(len(folder._files)), tmp_path)
    room.take({"x": 1}, environment={}, git={})
    assert seen == [0]


def test_summaries_show_sizes_and_no_secrets(take):
    """A summary names type and size; the text of a string is nowhere in the manifest."""
    pandas = pytest.importorskip("pandas")
    namespace = {
        "password": "hunter2-hunter2",
        "frame": pandas.DataFrame({"a": [1, 2, 3], "b": 4}),
        "array": np.zeros((2, 3)),
        "n": 3,
        "big": 10**100,
        "f": len,
    }
    manifest = take(namespace).manifest
    summaries = {one.name: one.summary for one in manifest.variables}
    assert summaries == {
        "password": "str of 15", "frame": "DataFrame 3×2", "array": "ndarray float64 (2, 3)",
        "n": "int 3", "big": "int of 333 bits", "f": "function",
    }  # fmt: skip
    assert "hunter2" not in json.dumps(manifest.to_json())


def test_importing_the_room_imports_nothing_heavy():
    """`%load_ext` and `mlops --help` may touch this room."""
    code = (
        "import sys, mlops_jupyter.snapshots.capture, mlops_jupyter.snapshots.room\n"
        "heavy = ('numpy', 'pandas', 'cloudpickle', 'mlflow', 'blake3')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert _python(code, {}) == "[]"


SESSION = """
import pathlib, sys
import numpy as np, pandas as pd
from mlops_jupyter.snapshots import Snapshots
from mlops_jupyter.store import ObjectStore
root = pathlib.Path(sys.argv[1])
_room = Snapshots(ObjectStore.open(root / "objects"), lambda: None, root)
"""


def _python(code: str, environment: dict[str, str], *arguments: str) -> str:
    variables = os.environ | {"PYTHONPATH": str(CHECKOUT)} | environment
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=variables,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_fresh_process_restores_a_notebook(tmp_path: Path):
    """Arrays, frames, functions and classes of ``__main__`` live on in a new ``__main__``."""
    take = SESSION + textwrap.dedent(
        """
        base = np.arange(100_000.)
        view = base[10:20]
        frame = pd.DataFrame({"a": [1, 2]})
        k = 3
        def scale(x): return helper(x) * k
        def helper(x): return x + 1
        class Model:
            def __init__(self, w): self.w = w
            def predict(self, x): return scale(x) + self.w
        model = Model(10)
        lazy = (i for i in base)
        import email.mime.audio
        from dataclasses import dataclass
        @dataclass
        class Row:
            a: int = 1
        rows = [Row(), Row(2)]
        _room.take(globals(), environment={}, git={})
        """
    )
    restore = SESSION + textwrap.dedent(
        """
        _loaded = _room.load("@last", namespace=globals())
        globals().update(_loaded.values)
        base[10] = -1
        k = 100
        assert email.mime.audio.MIMEAudio
        print(view[0], model.predict(1), type(model) is Model, rows == [Row(), Row(2)],
              frame["a"].tolist(), [(lack.name, lack.type) for lack in _loaded.missing])
        """
    )
    _python(take, {}, str(tmp_path))
    printed = _python(restore, {}, str(tmp_path))
    assert printed == "-1.0 210 True True [1, 2] [('lazy', 'generator')]"


def test_code_of_another_python_is_refused_by_name(room, take, run, monkeypatch):
    """Bytecode of another version is never run; what holds none still comes back."""
    import importlib.util

    taken = take(run("def f(): return 1\nx = [2]"))
    monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", b"else")
    loaded = room.load(taken.snapshot, namespace={})
    assert loaded.values == {"x": [2]}
    assert "another version of Python" in loaded.missing[0].reason
