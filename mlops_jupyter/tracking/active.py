"""What writes to this process's active run: a cell's, a pipeline step's, or one opened with ``mlops_jupyter.run``.

The active run is MLflow's own, so that ``mlflow.log_*`` and these functions land in the same one. A thread that opens a
run has its own; a thread that opened none writes to the run of the process.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_jupyter import config
from mlops_jupyter.errors import ConflictError, UsageError, ValueRefused, translate
from mlops_jupyter.tracking import data as data_log
from mlops_jupyter.tracking import mlflow_module
from mlops_jupyter.tracking import models as model_log
from mlops_jupyter.tracking.client import RUN_VARIABLE, Status, Tracking, answers
from mlops_jupyter.tracking.models import LoggedModel, find_logged
from mlops_jupyter.tracking.values import as_metric, as_scalar

TRACEBACK = "mlops/traceback.txt"


@dataclass(frozen=True)
class ActiveRun:
    """A run that is open in this process.

    Args:
        run_id: MLflow's id.
        name: Its name.
        tracking: The store that it is in.
    """

    run_id: str
    name: str
    tracking: Tracking = field(repr=False)


class _Open:
    """The runs that are open: a stack a thread, as MLflow has it, and the process's own."""

    def __init__(self) -> None:
        self._local = threading.local()
        self.process: list[ActiveRun] = []

    @property
    def here(self) -> list[ActiveRun]:
        if threading.current_thread() is threading.main_thread():
            return self.process
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[ActiveRun] = self._local.stack
        return stack


_open = _Open()
# The step's run, once it has been asked for.
_steps: dict[str, ActiveRun] = {}


def open_runs() -> Sequence[ActiveRun]:
    """Give the runs of ours that are open in this thread, the outermost first."""
    return tuple(_open.here)


def active_run() -> ActiveRun | None:
    """Give the run that a call from here would write to, or None; asking changes nothing.

    Returns:
        The innermost run that is open in this thread, whoever opened it; else the process's; else the run that the
        orchestrator of a pipeline began for this process.
    """
    # While another thread is still importing MLflow, the module is there and its functions are not.
    ask = getattr(sys.modules.get("mlflow"), "active_run", None)
    fluent = ask() if ask is not None else None
    if fluent is not None:
        known = [run for run in _open.here if run.run_id == fluent.info.run_id]
        return known[-1] if known else ActiveRun(fluent.info.run_id, fluent.info.run_name, _tracking_of_process())
    if _open.process and threading.current_thread() is not threading.main_thread():
        return _open.process[-1]
    return _step_run()


def _tracking_of_process() -> Tracking:
    uri = mlflow_module().get_tracking_uri()
    return Tracking(config.load(tracking_uri=uri), prepare=lambda: None)


def _step_run() -> ActiveRun | None:
    run_id = os.environ.get(RUN_VARIABLE)
    if not run_id:
        return None
    if run_id not in _steps:
        tracking = Tracking(config.load(), prepare=lambda: None)
        _steps[run_id] = ActiveRun(run_id, tracking.client.get_run(run_id).info.run_name, tracking)
    return _steps[run_id]


def require_run() -> ActiveRun:
    """Give the active run.

    Raises:
        ConflictError: There is none.
    """
    run = active_run()
    if run is None:
        raise ConflictError(
            "no run is active",
            "put %%mlops run on top of the cell, type %mlops start, or use `with mlops_jupyter.run():`",
        )
    return run


@answers
def begin(
    tracking: Tracking,
    name: str | None = None,
    *,
    experiment: str | None = None,
    nested: bool = False,
    tags: Mapping[str, str] | None = None,
) -> ActiveRun:
    """Open a run in this thread.

    Args:
        tracking: The store.
        name: The run's name; MLflow makes one up when None.
        experiment: Where it goes; the workspace's own when None.
        nested: Whether it may begin inside another, as its child.
        tags: Tags to begin with.

    Returns:
        The run.

    Raises:
        ConflictError: A run is open here already, and ``nested`` was not said.
    """
    mlflow = mlflow_module()
    tracking.use_here()
    present = mlflow.active_run()
    around = ActiveRun(present.info.run_id, present.info.run_name, tracking) if present else _step_run()
    if around is not None and not nested:
        raise ConflictError(
            f"run {around.name!r} is active already",
            "add --nested (nested=True in Python) to make a child of it, or end it with %mlops end",
        )
    with _without_a_run_to_resume():
        run = mlflow.start_run(
            experiment_id=tracking.experiment_id(experiment),
            run_name=name,
            nested=nested,
            parent_run_id=around.run_id if around is not None else None,
            tags=dict(tags or {}),
        )
    opened = ActiveRun(run.info.run_id, run.info.run_name, tracking)
    _open.here.append(opened)
    return opened


@contextmanager
def _without_a_run_to_resume() -> Iterator[None]:
    # Where this is set MLflow resumes that run, whatever it was asked to start.
    resume = os.environ.pop("MLFLOW_RUN_ID", None)
    try:
        yield
    finally:
        if resume is not None:
            os.environ["MLFLOW_RUN_ID"] = resume


@answers
def end(status: Status = "FINISHED") -> ActiveRun:
    """Close the run that was opened last in this thread.

    Args:
        status: How it ended.

    Returns:
        The run.

    Raises:
        ConflictError: None is open.
    """
    if not _open.here:
        raise ConflictError("no run is active", "%mlops start opens one")
    closed = _open.here.pop()
    mlflow = mlflow_module()
    present = mlflow.active_run()
    if present is not None and present.info.run_id == closed.run_id:
        mlflow.end_run(status)
    else:  # the user's own code has ended it, or opened another: leave MLflow's stack as it is
        closed.tracking.finish(closed.run_id, status)
    return closed


def fail(error: BaseException) -> ActiveRun:
    """Close the run that was opened last in this thread as FAILED, and keep the traceback with it.

    Args:
        error: What ended it.

    Returns:
        The run.

    Raises:
        ConflictError: None is open.
        StoreError: The store does not answer; the run is closed in this process all the same.
    """
    text = "".join(traceback.format_exception(error))
    try:
        if _open.here:
            _open.here[-1].tracking.put_text(_open.here[-1].run_id, text, TRACEBACK)
    finally:
        closed = end("FAILED")
    return closed


@contextmanager
def opened(
    tracking: Tracking,
    name: str | None = None,
    *,
    experiment: str | None = None,
    nested: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Iterator[ActiveRun]:
    """Run a block inside a run: FINISHED when it ends, FAILED with the traceback when it raises.

    Args:
        tracking: The store.
        name: The run's name.
        experiment: Where it goes.
        nested: Whether it may begin inside another.
        tags: Tags to begin with.

    Yields:
        The run.
    """
    run = begin(tracking, name, experiment=experiment, nested=nested, tags=tags)
    try:
        yield run
    except BaseException as error:
        try:
            fail(error)
        except Exception as second:
            # What the user's code raised is what must be seen; that the store is away as well is a remark.
            error.add_note(f"mlops: the run could not be marked as FAILED: {translate(second).message}")
        raise
    end()


@answers
def log_metric(name: str, value: object, step: int | None = None) -> None:
    """Write one number of a metric to the active run.

    Args:
        name: The metric.
        value: A number; numpy's and torch's scalars too.
        step: The step that it belongs to; 0 when None.

    Raises:
        ConflictError: No run is active.
        ValueRefused: The value is no number, or MLflow refuses the name.
    """
    number = as_metric(name, value)
    if step is not None and (isinstance(step, bool) or not hasattr(step, "__index__")):
        raise ValueRefused(f"step {step!r} of metric {name!r} is no whole number", "give 0, 1, 2, …")
    run = require_run()
    run.tracking.client.log_metric(run.run_id, name, number, step=int(step or 0))


@answers
def log_param(name: str, value: object) -> None:
    """Write a parameter to the active run; it stays what it is.

    Args:
        name: The parameter.
        value: A str, a number, a bool or None; numpy's scalars too.

    Raises:
        ConflictError: No run is active, or the parameter has another value already.
        ValueRefused: The value is none of these.
    """
    plain = as_scalar("param", name, value)
    run = require_run()
    try:
        run.tracking.client.log_param(run.run_id, name, plain)
    except Exception as error:
        present = run.tracking.client.get_run(run.run_id).data.params
        if name in present and present[name] != str(plain):
            raise ConflictError(
                f"param {name!r} is {present[name]!r} in this run already, and can't become {str(plain)!r}",
                "a param is written once: open a new run, or log a metric or tag",
            ) from error
        raise


@answers
def log_tag(name: str, value: object) -> None:
    """Write a tag to the active run, in the place of the one of that name.

    Args:
        name: The tag.
        value: Its value; kept as text.

    Raises:
        ConflictError: No run is active.
    """
    run = require_run()
    run.tracking.set_tags(run.run_id, {name: str(value)})


@contextmanager
def _in_this_thread() -> Iterator[ActiveRun]:
    """Make MLflow's fluent calls of this thread land in the active run."""
    run = require_run()
    mlflow = mlflow_module()
    present = mlflow.active_run()
    if present is not None and present.info.run_id == run.run_id:
        yield run
        return
    with mlflow.start_run(run_id=run.run_id, nested=present is not None):
        yield run
    # Leaving the block has marked the run as ended, which is up to the thread that opened it.
    run.tracking.client.update_run(run.run_id, status="RUNNING")


@answers
def log_model(model: Any, name: str = "model", *, input_example: Any = None) -> LoggedModel:
    """Keep a model with the active run: signature, input example and pinned requirements included.

    Args:
        model: A fitted estimator, a PyTorch module, an MLflow ``PythonModel``, or any object with ``predict``.
        name: Its name in the run.
        input_example: A few rows of its input; by default looked for among the variables of ``__main__``.

    Returns:
        What was logged: ``name``, ``model_id``, ``uri`` and ``format``.

    Raises:
        ConflictError: No run is active.
        ValueRefused: The object is no model, or MLflow refuses the name.
    """
    model_log.check_name(name)
    with _in_this_thread() as run:
        namespace = dict(vars(sys.modules["__main__"]))
        logged = model_log.write_model(model, name, input_example=input_example, namespace=namespace)
        run.tracking.set_tags(run.run_id, {f"mlops.model.{name}.format": logged.format})
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
    """
    with _in_this_thread():
        return data_log.write_data(data, name, role)


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
    run.tracking.put_artifact(run.run_id, path)


__all__ = [
    "ActiveRun",
    "LoggedModel",
    "active_run",
    "begin",
    "end",
    "fail",
    "find_logged",
    "log_artifact",
    "log_data",
    "log_metric",
    "log_model",
    "log_param",
    "log_tag",
    "opened",
    "require_run",
]
