"""What the tests of whole doors and stores share: the drivers of tests/surfaces, and a real MLflow server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Notebook
from stores import Opening

from mlops_jupyter import Workspace


@pytest.fixture
def opening(store_uri: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opening:
    """Give what opens the test's workspace: on the embedded store, on an MLflow server, and on PostgreSQL.

    Settings are added to mlops.toml; the servers are shared, so each test has an experiment of its own.
    """
    monkeypatch.chdir(tmp_path)
    lines = [f'[tracking]\nexperiment = "{tmp_path.name}-{os.getpid()}"']
    if store_uri is not None:
        lines.append(f'uri = "{store_uri}"')

    def open_with(settings: str = "", **options: object) -> Workspace:
        (tmp_path / "mlops.toml").write_text("\n".join(lines) + "\n" + settings)
        return Workspace.open(tmp_path, **options)  # type: ignore[arg-type]

    return open_with


@pytest.fixture
def workspace(opening: Opening) -> Workspace:
    """Give the test's workspace, on each kind of store."""
    return opening()


@pytest.fixture
def notebook(kernel: Notebook) -> Iterator[Notebook]:
    """Give the module's kernel; whatever run a test has left open is ended, so that the next one begins clean."""
    yield kernel
    kernel.run("import mlflow\nwhile mlflow.active_run(): get_ipython().run_line_magic('mlops', 'end')")
