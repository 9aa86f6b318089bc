"""MLflow's stack of active runs: what ``mlflow.log_*`` of a thread writes to.

``mlflow.start_run`` and ``mlflow.end_run`` ask the store while they change the stack, which blocks a cell when it is
away. Here the stack alone is changed; the store is told through the queue. Where MLflow's private names are not what
they were, its public functions are used, and they ask.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlops_jupyter.tracking import mlflow_module

_RESUME = "MLFLOW_RUN_ID"


def top() -> Any:
    """Give MLflow's active run of this thread, or None; MLflow is not imported for it."""
    # While another thread is still importing MLflow, the module is there and its functions are not.
    ask = getattr(sys.modules.get("mlflow"), "active_run", None)
    return ask() if ask is not None else None


def push(run: Any) -> None:
    """Make a run MLflow's active one in this thread.

    Args:
        run: MLflow's entity of it.
    """
    known = stack()
    if known is not None:
        known.append(mlflow_module().ActiveRun(run))
        return
    with without_a_run_to_resume():
        mlflow_module().start_run(run_id=run.info.run_id, nested=True)


def pop(run_id: str) -> None:
    """Take a run off this thread's stack, wherever it lies; the store is not told.

    Args:
        run_id: The store's id of it.
    """
    known = stack()
    if known is None:
        if (here := top()) is not None and here.info.run_id == run_id:
            mlflow_module().end_run()
        return
    from mlflow.tracking import fluent

    known[:] = [run for run in known if run.info.run_id != run_id]
    # As MLflow does when it ends a run itself.
    os.environ.pop(_RESUME, None)
    fluent._last_active_run_id.set(run_id)
    monitor = fluent.run_id_to_system_metrics_monitor.pop(run_id, None)
    if monitor is not None:
        monitor.finish()


def stack() -> list[Any] | None:
    """Give MLflow's own list of this thread; None where MLflow keeps it otherwise."""
    mlflow_module()
    from mlflow.tracking import fluent

    found = getattr(getattr(fluent, "_active_run_stack", None), "get", lambda: None)()
    is_known = hasattr(fluent, "_last_active_run_id") and hasattr(fluent, "run_id_to_system_metrics_monitor")
    return found if isinstance(found, list) and is_known else None


@contextmanager
def without_a_run_to_resume() -> Iterator[None]:
    """Keep MLflow from resuming the run that its variable names, whatever it was asked to start."""
    resume = os.environ.pop(_RESUME, None)
    try:
        yield
    finally:
        if resume is not None:
            os.environ[_RESUME] = resume


def context_tags(tags: dict[str, str]) -> dict[str, str]:
    """Give a run's tags with those that MLflow adds when a run is started: who, where, which commit.

    Args:
        tags: What was said; it goes first.
    """
    mlflow_module()
    from mlflow.tracking.context.registry import resolve_tags

    found: dict[str, str] = resolve_tags(tags)
    return found


def made_up_name() -> str:
    """Give a name for a run that was given none, as MLflow's store would."""
    mlflow_module()
    try:
        from mlflow.utils.name_utils import _generate_random_name
    except ImportError:
        import uuid

        return f"run-{uuid.uuid4().hex[:8]}"
    return str(_generate_random_name())
