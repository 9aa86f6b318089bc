"""What the tests of whole doors and stores share: the drivers of tests/surfaces, and a real MLflow server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "surfaces"))

from stores import MlflowServer, Opening

from mlops_jupyter import Workspace


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real `mlflow server` on the loopback, with a SQLite of its own."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-server"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(params=["embedded", "server"])
def opening(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opening:
    """Give what opens the test's workspace: on the embedded store, and again on an MLflow server.

    Settings are added to mlops.toml; the server is shared, so each test has an experiment of its own.
    """
    monkeypatch.chdir(tmp_path)
    lines = [f'[tracking]\nexperiment = "{tmp_path.name}-{os.getpid()}"']
    if request.param == "server":
        lines.append(f'uri = "{request.getfixturevalue("mlflow_server")}"')

    def open_with(settings: str = "", **options: object) -> Workspace:
        (tmp_path / "mlops.toml").write_text("\n".join(lines) + "\n" + settings)
        return Workspace.open(tmp_path, **options)  # type: ignore[arg-type]

    return open_with


@pytest.fixture
def workspace(opening: Opening) -> Workspace:
    """Give the test's workspace, on the embedded store and on an MLflow server."""
    return opening()
