"""What the tests of snapshots have in common: a room on memory, and namespaces made by cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_jupyter.snapshots import Loaded, Snapshots
from mlops_jupyter.store import MemoryFolder, ObjectStore

ENVIRONMENT: dict[str, Any] = {"python": "3.11.0", "packages": {}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make every warning of these tests an error."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("error"))


@pytest.fixture(autouse=True)
def own_secret(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a user's data folder of its own."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.delenv("MLOPS_TRUST_KEY", raising=False)
    return folder


@pytest.fixture
def folder() -> MemoryFolder:
    """Give the files of the store."""
    return MemoryFolder()


@pytest.fixture
def room(folder: MemoryFolder, tmp_path: Path) -> Snapshots:
    """Give a room whose store lies in memory."""
    return Snapshots(ObjectStore(folder), lambda: None, tmp_path)


@pytest.fixture
def run() -> Callable[..., dict[str, Any]]:
    """Run cells as a notebook does, in a namespace that is ``__main__``'s."""

    def run_cells(*cells: str, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
        home = {"__name__": "__main__"} if namespace is None else namespace
        for cell in cells:
            exec(compile(cell, "<cell>", "exec", dont_inherit=True), home)
        return home

    return run_cells


@pytest.fixture
def take(room: Snapshots) -> Callable[..., Any]:
    """Take a snapshot with little said about it."""

    def taking(namespace: dict[str, Any], **said: Any) -> Any:
        said.setdefault("environment", ENVIRONMENT)
        return room.take(namespace, git={}, **said)

    return taking


@pytest.fixture
def again(room: Snapshots, take: Callable[..., Any]) -> Callable[..., Loaded]:
    """Take a snapshot of a namespace and load it into a new one."""

    def round_trip(namespace: dict[str, Any], **options: Any) -> Loaded:
        home: dict[str, Any] = options.pop("into", {"__name__": "__main__"})
        taken = take(namespace)
        loaded = room.load(taken.snapshot, namespace=home, **options)
        home.update(loaded.values)
        return loaded

    return round_trip


@pytest.fixture
def back(again: Callable[..., Loaded]) -> Callable[..., dict[str, Any]]:
    """Give the values of a namespace after a restore from which nothing may be missing."""

    def values(namespace: dict[str, Any]) -> dict[str, Any]:
        loaded = again(namespace)
        assert loaded.missing == ()
        return loaded.values

    return values
