"""MLflow's own autologging, switched on for a cell and off after it."""

from __future__ import annotations

import logging

from mlops_jupyter.tracking import mlflow_module


def switch(on: bool) -> None:
    """Switch autologging for every library that is imported, or will be.

    Args:
        on: Whether models that are trained log themselves.
    """
    mlflow = mlflow_module()
    # MLflow reports every patched library at INFO; its warnings still come through.
    logging.getLogger("mlflow.tracking.fluent").setLevel(logging.WARNING)
    mlflow.autolog(disable=not on, silent=True)
