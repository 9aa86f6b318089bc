"""What the tests of the doors share: each folder's own warnings are errors, and one prepared workspace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from driving import Server
from prepared import Prepared, prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Give a workspace with runs, models, requests, a snapshot, a policy and a pipeline."""
    return prepare(tmp_path_factory.mktemp("prepared") / "work")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a Jupyter server over an empty root."""
    root = tmp_path_factory.mktemp("root")
    (root / "mlops.toml").touch()  # so that nothing above the folder of the tests is taken for the workspace
    running = Server(root, tmp_path_factory.mktemp("server"))
    yield running
    running.close()
