"""What the tests of faults share: a server that they may stop, and a folder of their own to stand in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import MlflowServer


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test stand in its folder: MLflow puts artifacts where a database was first opened that names no place."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Give a server of the test's own, which it may stop."""
    made = MlflowServer(tmp_path_factory.mktemp("server"))
    made.start()
    try:
        yield made
    finally:
        made.stop()
