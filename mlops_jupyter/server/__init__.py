"""Door 2, the Jupyter server: REST below ``/mlops/api`` and events for the sidebar."""

from __future__ import annotations

from typing import Any


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Add the routes to a Jupyter server; MLflow is imported at the first request that needs it."""
    from mlops_jupyter.server.app import install

    install(serverapp)
