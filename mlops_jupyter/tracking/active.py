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
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from mlops_jupyter import config
from mlops_jupyter.errors import ConflictError, translate
from mlops_jupyter.store import make_state
from mlops_jupyter.tracking import fluent, mlflow_module
from mlops_jupyter.tracking.client import RUN_VARIABLE, Status, Tracking, used_here
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
        # The runs that are open, of all threads, by their ids: which one the same task had opened before.
        self._outer: dict[str, ActiveRun | None] = {}
        #: Whether they were opened by the process that this one was forked off; MLflow's own stack is empty then.
        self.is_inherited = False

    def forked(self) -> None:
        """Keep the run of the process that this one was forked off: a pool's workers write to it."""
        self.process = list(self.here or self.process)
        self._local = threading.local()
        self.is_inherited = bool(self.process)

    def began(self, run: ActiveRun) -> None:
        """Note a run of this thread, and of this asynchronous task: tasks share a thread, and not their runs."""
        self.here.append(run)
        self._outer[run.run_id] = _task_run.get()
        _task_run.set(run)

    def ended(self, run: ActiveRun) -> None:
        """Note that a run has ended, wherever it stands among those that are open."""
        stack = self.here if run in self.here else self.process
        stack.remove(run)
        outer = self._outer.pop(run.run_id, None)
        if _task_run.get() == run:
            _task_run.set(outer)

    def of_task(self) -> ActiveRun | None:
        """Give the innermost run that this task, or the one that it was begun by, has opened and that is open."""
        run = _task_run.get()
        return run if run is not None and run.run_id in self._outer else None

    def has(self, run: ActiveRun) -> bool:
        """Tell whether a run is open, in this thread or as the process's."""
        return run in self.here or run in self.process

    @property
    def here(self) -> list[ActiveRun]:
        if threading.current_thread() is threading.main_thread():
            return self.process
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[ActiveRun] = self._local.stack
        return stack


_logger = logging.getLogger("mlops_jupyter")
_task_run: ContextVar[ActiveRun | None] = ContextVar("mlops_jupyter_run", default=None)
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
        The innermost run that is open in this task or thread, whoever opened it; else the process's; else the run that
        the orchestrator of a pipeline began for this process.
    """
    here, of_task = _open.here, _open.of_task()
    if here and here[-1].run_id in _unknown_to_mlflow:
        return of_task or here[-1]
    present = fluent.top()
    if present is not None:
        run_id = present.info.run_id
        for run in reversed(here):
            if _is(run, run_id):
                return of_task or run
        return _opened_elsewhere(run_id, present.info.run_name)
    if of_task is not None:
        return of_task
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
        uri = mlflow_module().get_tracking_uri()
        # Not by the working directory, which may have changed: a run inside of ours belongs to the same workspace.
        tracking = used_here(uri)
        if tracking is None:
            settings = config.load(tracking_uri=uri)
            tracking = Tracking(settings, lambda: make_state(settings.state))
        _others[run_id] = ActiveRun(run_id, name, tracking)
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
        nested: Whether it may begin inside another, as its child: this thread's, or the process's where that has none.
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
    around = _around(tracking, nested)
    if around is not None and not nested:
        how = "%mlops end" if _open.has(around) else "mlflow.end_run()"
        raise ConflictError(
            f"run {around.name!r} is active already",
            f"add --nested (nested=True in Python) to make a child of it, or end it with {how}",
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
    _open.began(run)
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
        fail(error, run)
        raise


def _around(tracking: Tracking, nested: bool) -> ActiveRun | None:
    """Give the run that one that begins here would be inside of; another thread's is none, unless it is asked for."""
    here, of_task = _open.here, _open.of_task()
    if of_task is not None and of_task in here:
        return of_task
    if here and here[-1].run_id in _unknown_to_mlflow:
        return here[-1]
    present = fluent.top()
    if present is not None:
        return ActiveRun(present.info.run_id, present.info.run_name, tracking)
    return _open.process[-1] if nested and _open.process else _step_run()


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
def end(status: Status = "FINISHED", run: ActiveRun | None = None) -> ActiveRun:
    """Close a run; waited for where the store is well.

    Args:
        status: How it ended.
        run: Which; the one that was opened last in this thread when None.

    Returns:
        The run.

    Raises:
        ConflictError: None is open.
        StoreError: The disk is full, or the store was deleted; in this process the run is closed all the same.
    """
    closed = _last(run)
    if closed is None:
        raise ConflictError("no run is active", "%mlops start opens one")
    finish = _before_end.pop(closed.run_id, None)
    try:
        if finish is not None:
            finish()
    finally:
        _close(closed, status)
    return closed


def _last(run: ActiveRun | None) -> ActiveRun | None:
    """Give the run that is to be closed: the one that was named, if it is open, or the last one of this thread."""
    if run is not None:
        return run if _open.has(run) else None
    return _open.here[-1] if _open.here else None


def _close(closed: ActiveRun, status: Status) -> None:
    _open.ended(closed)
    _unknown_to_mlflow.discard(closed.run_id)
    fluent.pop(closed.store_id or closed.run_id)
    queue = closed.tracking.queue
    queue.end(closed.run_id, status)
    if not queue.settle(everything=False) and not closed.tracking.is_remote:
        queue.require_well()  # a server may be away for a while; a file that can't be written is told


def fail(error: BaseException, run: ActiveRun | None = None) -> ActiveRun:
    """Close a run as FAILED, and keep the traceback with it.

    Args:
        error: What ended it.
        run: Which; the one that was opened last in this thread when None.

    Returns:
        The run.

    Raises:
        ConflictError: None is open.
        StoreError: The traceback or the end can't be written down; in this process the run is closed all the same.
    """
    text = "".join(traceback.format_exception(error))
    try:
        failed = _last(run)
        if failed is not None:
            failed.tracking.queue.text(failed.run_id, TRACEBACK, text)
    finally:
        closed = end("FAILED", run)
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
            fail(error, run)
        except Exception as second:
            # What the user's code raised is what must be seen; that the store is away as well is a remark.
            error.add_note(f"mlops: the run could not be marked as FAILED: {translate(second).message}")
        raise
    end(run=run)


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
