"""What is written to the active run: metrics, params, tags, models, data, artifacts.

Metrics, params and tags go to the write-ahead queue and are accepted when the call returns. What MLflow would refuse is
refused here: nobody could be told later.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mlops_jupyter.errors import ConflictError, UsageError, ValueRefused
from mlops_jupyter.tracking import data as data_log
from mlops_jupyter.tracking import models as model_log
from mlops_jupyter.tracking import names
from mlops_jupyter.tracking.active import in_mlflow, require_run
from mlops_jupyter.tracking.models import LoggedModel, find_logged
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.values import as_metric, as_scalar, as_step
from mlops_jupyter.working import working


def log_metric(name: str, value: object, step: int | None = None) -> None:
    """Write one number of a metric to the active run; safe from a killed process when it returns.

    Args:
        name: The metric.
        value: A number; numpy's and torch's scalars too.
        step: The step that it belongs to; 0 when None.

    Raises:
        ConflictError: No run is active.
        ValueRefused: The value is no number, or MLflow refuses the name.
        StoreError: The disk is full, or the workspace can't be written.
    """
    number = value if type(value) is float else as_metric(name, value)
    place = 0 if step is None else as_step(name, step)
    run = require_run()
    names.check_metric(name)
    run.tracking.queue.metric(run.run_id, name, number, place)


def log_param(name: str, value: object) -> None:
    """Write a parameter to the active run; it stays what it is, and the same value again is no error.

    Args:
        name: The parameter.
        value: A str, a number, a bool or None; numpy's scalars too.

    Raises:
        ConflictError: No run is active, or the parameter has another value already.
        ValueRefused: The value is none of these, or MLflow refuses the name.
        StoreError: The disk is full, or the workspace can't be written.
    """
    plain = as_scalar("param", name, value)
    run = require_run()
    text = names.checked_param(name, str(plain))
    queue = run.tracking.queue
    present = queue.param_of(run.run_id, name)
    if present is None:
        present = run.tracking.param_of(run.run_id, name)
    if present is None:
        queue.param(run.run_id, name, text)
    elif present != text:
        raise ConflictError(
            f"param {name!r} is {present!r} in this run already, and can't become {text!r}",
            "a param is written once: open a new run, or log a metric or tag",
        )


def log_tag(name: str, value: object) -> None:
    """Write a tag to the active run, in the place of the one of that name.

    Args:
        name: The tag.
        value: Its value; kept as text.

    Raises:
        ConflictError: No run is active.
        ValueRefused: MLflow refuses the name.
        StoreError: The disk is full, or the workspace can't be written.
    """
    run = require_run()
    run.tracking.queue.tag(run.run_id, name, names.checked_tag(name, str(value)))


@answers
def log_model(model: Any, name: str = "model", *, input_example: Any = None) -> LoggedModel:
    """Keep a model with the active run: signature, input example and pinned requirements included.

    Args:
        model: A fitted estimator, a PyTorch module, an MLflow ``PythonModel``, or any object with ``predict``.
        name: Its name in the run.
        input_example: A few rows of its input; by default looked for among the variables of ``__main__``.

    Returns:
        What was logged: ``name``, ``model_id``, ``uri``, ``format``, and ``reason`` where that is no safer one. While a
        server is away the model is kept in ``.mlops/`` until it answers; id and URI are empty.

    Raises:
        ConflictError: No run is active, or the store will never take the model.
        StoreError: The disk is full, or the workspace can't be written.
        ValueRefused: The object is no model or does not take the input example, or MLflow refuses the name.
    """
    model_log.check_name(name)
    run = require_run()
    namespace = dict(vars(sys.modules["__main__"]))
    if run.tracking.is_remote:
        with working(f"log model {name}"):
            described = model_log.describe(model, input_example=input_example, namespace=namespace)
            logged = described.queue(run.tracking, run.run_id, name)
    else:
        with in_mlflow(run), working(f"log model {name}"):
            logged = model_log.write_model(model, name, input_example=input_example, namespace=namespace)
        run.tracking.set_tags(run.run_id, logged.run_tags)
    if logged.model_id:  # else there is nothing yet that could be referred to
        model_log.remember(model, logged)
    return logged


@answers
def log_data(data: Any, name: str, role: str | None = None) -> str:
    """Note which data the active run reads, with a digest over all of its content.

    Args:
        data: A pandas frame or series, a numpy array, an Arrow table, or a path.
        name: Its name.
        role: ``train``, ``test`` or ``holdout``.

    Returns:
        The digest, 32 hexadecimal digits.

    Raises:
        ConflictError: No run is active.
        ValueRefused: It is no data, or the role is none.
        StoreError: The disk is full, or the workspace can't be written.
    """
    run = require_run()
    with working(f"log data {name}"):
        described = data_log.describe(data, name, role)
        run.tracking.add_dataset(run.run_id, described)
    return str(described["dataset"]["digest"])


@answers
def log_artifact(path: Path) -> None:
    """Keep a file or a folder with the active run.

    Args:
        path: The file or folder.

    Raises:
        ConflictError: No run is active.
        UsageError: There is no such file.
    """
    run = require_run()
    if not path.exists():
        raise UsageError(f"there is no file {str(path)!r}", "check the path")
    with working(f"log artifact {path.name}"):
        run.tracking.put_artifact(run.run_id, path)


@answers
def log_figure(figure: Any, artifact: str) -> None:
    """Keep a matplotlib or plotly figure with the active run.

    Args:
        figure: The figure.
        artifact: The name that it gets; its ending says which format.

    Raises:
        ConflictError: No run is active.
        ValueRefused: It is no figure.
    """
    import tempfile

    run = require_run()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / artifact
        if hasattr(figure, "savefig"):
            figure.savefig(path)
        elif hasattr(figure, "write_html"):
            figure.write_html(path, include_plotlyjs="cdn", auto_open=False)
        else:
            raise ValueRefused(f"a {type(figure).__name__} is no figure", "give a matplotlib or plotly figure")
        run.tracking.put_artifact(run.run_id, path)


__all__ = [
    "LoggedModel",
    "find_logged",
    "log_artifact",
    "log_data",
    "log_figure",
    "log_metric",
    "log_model",
    "log_param",
    "log_tag",
]
