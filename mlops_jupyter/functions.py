"""What plain Python, a script and a pipeline's step call: functions that find their workspace themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlops_jupyter.tracking import active, log
from mlops_jupyter.tracking.models import LoggedModel
from mlops_jupyter.workspace import Workspace


def run(
    name: str | None = None,
    *,
    experiment: str | None = None,
    nested: bool = False,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    autolog: bool = False,
    system_metrics: bool = False,
) -> Any:
    """Open a run in the workspace of the working directory; see :meth:`Workspace.run`.

    Args:
        name: The run's name.
        experiment: Where it goes.
        nested: Whether it may begin inside another.
        params: Parameters to begin with.
        tags: Tags to begin with.
        autolog: Whether MLflow logs what is trained.
        system_metrics: Whether the machine is measured.

    Returns:
        A context manager that gives the run.
    """
    more: dict[str, Any] = {"autolog": autolog, "system_metrics": system_metrics}
    return Workspace.open().run(name, experiment=experiment, nested=nested, params=params, tags=tags, **more)


def log_model(
    model: Any, name: str = "model", register: str | None = None, *, input_example: Any = None
) -> LoggedModel:
    """Keep a model with the active run: signature, input example and pinned requirements included.

    Args:
        model: A fitted estimator, a PyTorch module, an MLflow ``PythonModel``, or any object with ``predict``.
        name: Its name in the run.
        register: Also make a version of this registered model; it is in the ledger.
        input_example: A few rows of its input; by default looked for among the variables of ``__main__``.

    Returns:
        What was logged: ``name``, ``model_id``, ``uri``, ``format``, ``reason`` where that is no safer one, and
        ``version`` when registered.

    Raises:
        ConflictError: No run is active.
        StoreError: The tracking server is away: the model is kept, and can be registered when it is back.
        ValueRefused: The object is no model or does not take the input example, or MLflow refuses the name.
    """
    logged = log.log_model(model, name, input_example=input_example)
    if register is None:
        return logged
    run = active.require_run()
    logged.require_stored(register, run.run_id)
    registry = Workspace(run.tracking.config).registry
    version = registry.register_model(register, model_id=logged.model_id, run_id=run.run_id)
    return replace(logged, version=version)
