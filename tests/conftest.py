"""What all tests share: an environment that knows nothing of the person who runs them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "surfaces"))

from stores import MlflowServer, PostgreSQL

from mlops_jupyter import Workspace


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point every cache, setting and data folder at a temporary one, for this process and its children."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "_MLFLOW_", "MLOPS_", "JUPYTER_", "JPY_", "PAPERMILL_")):
            patch.delenv(name)
    folders = {
        "HOME": "",
        "XDG_CACHE_HOME": "cache",
        "XDG_DATA_HOME": "data",
        "XDG_CONFIG_HOME": "config",
        "JUPYTER_CONFIG_DIR": "jupyter-config",
        "JUPYTER_DATA_DIR": "jupyter-data",
        "JUPYTER_RUNTIME_DIR": "jupyter-runtime",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
    }
    for name, folder in folders.items():
        (home / folder).mkdir(exist_ok=True)
        patch.setenv(name, str(home / folder))
    # Kernels and servers are children; what they warn about is theirs.
    patch.delenv("PYTHONWARNINGS", raising=False)
    patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    patch.setenv("GIT_AUTHOR_NAME", "ann")
    patch.setenv("GIT_AUTHOR_EMAIL", "ann@example.org")
    patch.setenv("GIT_COMMITTER_NAME", "ann")
    patch.setenv("GIT_COMMITTER_EMAIL", "ann@example.org")
    yield
    patch.undo()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real `mlflow server` on the loopback, with a SQLite of its own."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-server"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Give the address of a real PostgreSQL on the loopback, with MLflow's tables in it."""
    server = PostgreSQL()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(params=["embedded", "server", "postgresql"])
def store_uri(request: pytest.FixtureRequest) -> str | None:
    """Give the address of a tracking store, of each kind in turn; None for the workspace's own."""
    if request.param == "embedded":
        return None
    uri: str = request.getfixturevalue("mlflow_server" if request.param == "server" else "postgresql")
    return uri


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_environment() -> Iterator[None]:
    """Take away what a test, or a library that it called, has put into the environment for kernels and children."""
    before = {name: value for name, value in os.environ.items() if name.startswith(("MLFLOW_", "MLOPS_"))}
    yield
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "MLOPS_"))]:
        if name not in before:
            del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    """Give a workspace in an empty folder, with the embedded store."""
    return Workspace.open(folder)
