"""What the tests of whole doors and stores share: the drivers of tests/surfaces, and a real MLflow server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "surfaces"))

from driving import environment, free_port, until
from stores import Opening, copied_database

from mlops_jupyter import Workspace


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real `mlflow server` on the loopback, with a SQLite of its own."""
    place = tmp_path_factory.mktemp("mlflow-server")
    (place / "seed").mkdir()
    copied_database(place / "seed", place / "server.db")
    port = free_port()
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{place / 'server.db'}", "--artifacts-destination", str(place / "kept")]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            cwd=place,
            env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    uri = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, (place / "log").read_text()
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        until(answers, "the MLflow server answers", 120)
        yield uri
    finally:
        # Its workers are children of their own; all of them are in the session that was made for it.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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
