"""This process's active run: a cell's, a pipeline step's, or one opened with ``mlops_jupyter.run``.

The active run is MLflow's own as well, so that ``mlflow.log_*`` and our functions land in the same one. A thread that
opens a run has its own; a thread that opened none writes to the run of the process.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlops_jupyter import config
from mlops_jupyter.errors import ConflictError, translate
from mlops_jupyter.store import make_state
from mlops_jupyter.tracking import fluent, mlflow_module
from mlops_jupyter.tracking.client import RUN_VARIABLE, Status, Tracking
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.queue.local_ids import Refused

TRACEBACK = "mlops/traceback.txt"


@dataclass(frozen=True)
class ActiveRun:
    """A run that is open in this process.

    Args:
        run_id: The store's id of it, or the local one of a run that was begun while the store was away.
        name: Its name.
        tracking: The store that it is in.
    """

    run_id: str
    name: str
    tracking: Tracking = field(repr=False)

    @property
    def store_id(self) -> str:
        """The store's id of it; empty while the store has given none."""
        return self.tracking.queue.ids.real(self.run_id)


class _Open:
    """The runs that are open: a stack a thread, as MLflow has it, and the process's own."""

    def __init__(self) -> None:
        self._local = threading.local()
        self.process: list[ActiveRun] = []
        #: Whether they were opened by the process that this one was forked off; MLflow's own stack is empty then.
        self.is_inherited = False

    def forked(self) -> None:
        """Keep the run of the process that this one was forked off: a pool's workers write to it."""
        self.process = list(self.here or self.process)
        self._local = threading.local()
        self.is_inherited = bool(self.process)

    @property
    def here(self) -> list[ActiveRun]:
        if threading.current_thread() is threading.main_thread():
            return self.process
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[ActiveRun] = self._local.stack
        return stack


_logger = logging.getLogger("mlops_jupyter")
_open = _Open()
# Runs that were opened elsewhere, by their ids: the step's, and those of plain MLflow.
_others: dict[str, ActiveRun] = {}
# Runs begun while the store was away, which MLflow's own calls can't write to yet.
_unknown_to_mlflow: set[str] = set()
# What goes on with a run, and is ended before it is, by its id.
_before_end: dict[str, Callable[[], None]] = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.forked)


def open_runs() -> Sequence[ActiveRun]:
    """Give the runs of ours that are open in this thread, the outermost first."""
    return tuple(_open.here)


def active_run() -> ActiveRun | None:
    """Give the run that a call from here would write to, or None; asking changes nothing.

    Returns:
        The innermost run that is open in this thread, whoever opened it; else the process's; else the run that the
        orchestrator of a pipeline began for this process.
    """
    here = _open.here
    if here and here[-1].run_id in _unknown_to_mlflow:
        return here[-1]
    present = fluent.top()
    if present is not None:
        run_id = present.info.run_id
        for run in reversed(here):
            if _is(run, run_id):
                return run
        return _opened_elsewhere(run_id, present.info.run_name)
    if _open.process and (here is not _open.process or _open.is_inherited):
        return _open.process[-1]
    return _step_run()


def _is(run: ActiveRun, run_id: str) -> bool:
    try:
        return run_id in (run.run_id, run.store_id)
    except Refused:  # the store has no such run, and never will
        return False


def _opened_elsewhere(run_id: str, name: str) -> ActiveRun:
    if run_id not in _others:
        settings = config.load(tracking_uri=mlflow_module().get_tracking_uri())
        _others[run_id] = ActiveRun(run_id, name, Tracking(settings, lambda: make_state(settings.state)))
    return _others[run_id]


def _step_run() -> ActiveRun | None:
    run_id = os.environ.get(RUN_VARIABLE)
    if not run_id:
        return None
    if run_id not in _others:
        settings = config.load()
        tracking = Tracking(settings, lambda: make_state(settings.state))
        _others[run_id] = ActiveRun(run_id, tracking.client.get_run(run_id).info.run_name, tracking)
    return _others[run_id]


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
    autolog: bool = False,
    system_metrics: bool = False,
) -> ActiveRun:
    """Open a run in this thread.

    A store that does not answer within a moment creates it later, with the time it began; until then it has a local id.

    Args:
        tracking: The store.
        name: The run's name; one is made up when None.
        experiment: Where it goes; the workspace's own when None.
        nested: Whether it may begin inside another, as its child.
        tags: Tags to begin with.
        autolog: Whether MLflow logs what is trained, by this thread and by those that it starts, until the run ends.
        system_metrics: Whether processor, memory, disk, network and GPU are measured until it ends.

    Returns:
        The run.

    Raises:
        ConflictError: A run is open here already, and ``nested`` was not said.
        StoreError: The store can't be opened; a server that is away can, later.
    """
    tracking.use_here()
    around = _around(tracking)
    if around is not None and not nested:
        raise ConflictError(
            f"run {around.name!r} is active already",
            "add --nested (nested=True in Python) to make a child of it, or end it with %mlops end",
        )
    name = name or fluent.made_up_name()
    parent = around.run_id if around is not None else None
    every = fluent.context_tags(dict(tags or {}))
    run_id, created = tracking.create_run(name, experiment=experiment, parent=parent, tags=every)
    run = ActiveRun(run_id, name, tracking)
    if created is not None:
        fluent.push(created)
    else:
        _unknown_to_mlflow.add(run_id)
        _logger.warning(
            "the tracking store %s does not answer: run %s (%s) is kept in .mlops/, and goes there when it does",
            tracking.shown_uri,
            name,
            run_id[:8],
        )
    _open.here.append(run)
    if autolog or system_metrics:
        _record_more(run, autolog, system_metrics)
    return run


def _record_more(run: ActiveRun, autolog: bool, system_metrics: bool) -> None:
    from mlops_jupyter.tracking import autolog as recording

    _before_end[run.run_id] = lambda: recording.end(run.run_id)
    try:
        if system_metrics:
            recording.watch(run)
        if autolog:
            recording.begin(run)
    except BaseException as error:
        fail(error)
        raise


def _around(tracking: Tracking) -> ActiveRun | None:
    """Give the run that one that begins here would be inside of; another thread's is none."""
    here = _open.here
    if here and here[-1].run_id in _unknown_to_mlflow:
        return here[-1]
    present = fluent.top()
    return ActiveRun(present.info.run_id, present.info.run_name, tracking) if present is not None else _step_run()


def tell_mlflow() -> None:
    """Let MLflow's own calls of this thread write to the run that is open, if it began while the store was away."""
    here = _open.here
    if not here or here[-1].run_id not in _unknown_to_mlflow:
        return
    run = here[-1]
    if run.store_id:
        fluent.push(run.tracking.connect().get_run(run.store_id))
        _unknown_to_mlflow.discard(run.run_id)


@answers
def end(status: Status = "FINISHED") -> ActiveRun:
    """Close the run that was opened last in this thread; waited for where the store is well.

    Args:
        status: How it ended.

    Returns:
        The run.

    Raises:
        ConflictError: None is open.
        StoreError: The disk is full, or the store was deleted; in this process the run is closed all the same.
    """
    if not _open.here:
        raise ConflictError("no run is active", "%mlops start opens one")
    finish = _before_end.pop(_open.here[-1].run_id, None)
    try:
        if finish is not None:
            finish()
    finally:
        closed = _close(status)
    return closed


def _close(status: Status) -> ActiveRun:
    closed = _open.here.pop()
    _unknown_to_mlflow.discard(closed.run_id)
    fluent.pop(closed.store_id or closed.run_id)
    queue = closed.tracking.queue
    queue.end(closed.run_id, status)
    if not queue.settle(everything=False) and not closed.tracking.is_remote:
        queue.require_well()  # a server may be away for a while; a file that can't be written is told
    return closed


def fail(error: BaseException) -> ActiveRun:
    """Close the run that was opened last in this thread as FAILED, and keep the traceback with it.

    Args:
        error: What ended it.

    Returns:
        The run.

    Raises:
        ConflictError: None is open.
        StoreError: The traceback or the end can't be written down; in this process the run is closed all the same.
    """
    text = "".join(traceback.format_exception(error))
    try:
        if _open.here:
            _open.here[-1].tracking.queue.text(_open.here[-1].run_id, TRACEBACK, text)
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
    autolog: bool = False,
    system_metrics: bool = False,
) -> Iterator[ActiveRun]:
    """Run a block inside a run: FINISHED when it ends, FAILED with the traceback when it raises.

    Args:
        tracking: The store.
        name: The run's name.
        experiment: Where it goes.
        nested: Whether it may begin inside another.
        tags: Tags to begin with.
        autolog: Whether MLflow logs what is trained.
        system_metrics: Whether the machine is measured.

    Yields:
        The run.
    """
    more: dict[str, Any] = {"autolog": autolog, "system_metrics": system_metrics}
    run = begin(tracking, name, experiment=experiment, nested=nested, tags=tags, **more)
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


@contextmanager
def in_mlflow(run: ActiveRun) -> Iterator[str]:
    """Make MLflow's fluent calls of this thread land in a run that is open.

    Args:
        run: The run.

    Yields:
        The store's id of it.

    Raises:
        Waiting: The store has not created it yet.
    """
    tell_mlflow()
    run_id = run.tracking.store_id(run.run_id)
    present: Any = fluent.top()
    if present is not None and present.info.run_id == run_id:
        yield run_id
        return
    fluent.push(run.tracking.connect().get_run(run_id))
    try:
        yield run_id
    finally:
        fluent.pop(run_id)
