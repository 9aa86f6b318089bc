"""Tracking: the only room that speaks to MLflow.

run          one execution of code that was recorded, an MLflow run
experiment   a named group of runs
metric       a number of a run, possibly a series over steps
parameter    a setting of a run; written once
logged model a model that MLflow keeps beside its run, not yet registered
version      a registered model's version, in MLflow's registry
alias        a movable name of a version (``champion``), in MLflow's registry
embedded     the store that a workspace has of its own: SQLite in ``.mlops/``

Nothing here imports MLflow before it is used; :func:`mlflow_module` is the one place that does.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any


def quiet_environment() -> None:
    """Switch MLflow's telemetry off, for this process and its children.

    MLflow reads these when it is imported, so this runs when our own package is.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")


def mlflow_module() -> Any:
    """Import MLflow, with its telemetry off and its chatter about the pickle format held back.

    Returns:
        The module.
    """
    quiet_environment()
    late = "mlflow" not in sys.modules
    with warnings.catch_warnings():
        # Third-party deprecations at MLflow's import are nobody's concern here.
        if late:
            warnings.simplefilter("ignore")
        import mlflow
    if late:
        import logging

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        # It logs the traceback of every error of the database, which is raised as well and told by us.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return mlflow
