"""Which run a thread's training belongs to, and what MLflow keeps while it is logged."""

from __future__ import annotations

import functools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_jupyter.errors import ConflictError
from mlops_jupyter.tracking import active, fluent
from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.patience import impatient

_logger = logging.getLogger("mlops_jupyter")
# How long a fit waits for a store to give the run that it is logged in, in seconds.
_MOMENT = 2.0
# How long the end of a run waits for what its threads are just writing, in seconds.
_LAST = 5.0
# The attribute of a thread that says what it belongs to.
_FLOW = "_mlops_jupyter_autolog"
# Threads that serve the whole process, whoever had them started. A pool's belong to whoever gives them something to do.
_SERVANTS = ("mlflow.", "mlops_jupyter.", "concurrent.futures.thread")


class Lane:
    """A run that autologs.

    Args:
        run: The run.
    """

    def __init__(self, run: ActiveRun) -> None:
        self.run = run
        self.flow = Flow(self)
        #: The ids of the runs that models trained here are logged in: this one, and those of plain MLflow inside it.
        self.trained_in: set[str] = set()
        #: Held while something is written that the end of the run has to wait for.
        self.writing = threading.RLock()
        self._process = os.getpid()
        self._said: set[str] = set()
        self._is_closed = False
        present = fluent.top()
        self._entity: Any = present if present is not None and present.info.run_id == run.store_id else None
        # MLflow's list of this thread, which other threads can't ask for. The run is taken off it when it ends, by
        # whomever: `%mlops end` in the middle of the cell, or mlflow.end_run.
        self._stack: Sequence[Any] | None = fluent.stack() if self._entity is not None else None
        self._on_stack = self._entity

    @property
    def is_open(self) -> bool:
        """Whether the run goes on."""
        return not self._is_closed and (self._stack is None or any(run is self._on_stack for run in list(self._stack)))

    def close(self) -> None:
        """Note that the run ends, when what its threads are just writing is written."""
        is_at_rest = self.writing.acquire(timeout=_LAST)
        self._is_closed = True
        if is_at_rest:
            self.writing.release()

    @property
    def is_of_this_process(self) -> bool:
        """Whether this is no fork of the process that opened it: MLflow's connections do not survive one."""
        return self._process == os.getpid()

    @property
    def ended(self) -> str:
        """What to say of training that the run's end has overtaken."""
        return (
            f"run {self.run.name} ({self.run.run_id[:8]}) has ended: what a thread that it started trains from then on "
            "is logged nowhere"
        )

    def say_once(self, text: str) -> None:
        """Warn, unless this was said of this run before.

        Args:
            text: What to say.
        """
        if text not in self._said:
            self._said.add(text)
            _logger.warning("%s", text)

    def entity(self) -> Any:
        """Give MLflow's entity of the run; None while the store has not created it, which is told."""
        if self._entity is None:
            try:
                if store_id := self.run.store_id:
                    with impatient.for_seconds(_MOMENT):
                        self._entity = self.run.tracking.connect().get_run(store_id)
            except Exception as error:
                _logger.debug("run %s can't be read: %s", self.run.run_id, error)
        if self._entity is None:
            self.say_once(
                f"run {self.run.name} ({self.run.run_id[:8]}) is not in the tracking store yet: what is trained before "
                "it is, is not autologged"
            )
        return self._entity


class Flow:
    """What MLflow keeps once for a process while it autologs, kept for one thread.

    Args:
        lane: What the thread trains for; None for the threads that belong to no run of ours.
        starter: The flow of what started the thread, whose state it goes on from: a worker of a fit is inside the fit.
    """

    def __init__(self, lane: Lane | None, starter: Flow | None = None) -> None:
        self.lane = lane
        #: MLflow's ``AutologgingSession``, while one of its patches is at work.
        self.session: Any = starter.session if starter else None
        #: The fits that are under way, by MLflow's class of training session.
        self.stacks: dict[Any, list[Any]] = {k: list(v) for k, v in starter.stacks.items()} if starter else {}
        #: What was switched off around the present call: the names of some libraries, or None for all.
        self.disabled: list[Collection[str] | None] = list(starter.disabled) if starter else []
        self.logs_metrics: bool = starter.logs_metrics if starter else True
        #: Whether this is the work of a fit, and ends with it.
        self.is_worker = self.session is not None
        self.thread: weakref.ref[threading.Thread] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs or is about to; what waits in a pool is alive for as long as anyone holds it."""
        thread = self.thread() if self.thread is not None else None
        return self.thread is None or (thread is not None and (thread.ident is None or thread.is_alive()))

    def is_off(self, library: str | None = None) -> bool:
        """Tell whether autologging was switched off around the present call, of all libraries or of one."""
        return any(names is None or library in names for names in self.disabled)


#: What the threads share that belong to no run of ours.
outside = Flow(None)
_open: dict[str, Lane] = {}
_started: weakref.WeakSet[Flow] = weakref.WeakSet()
_starting = threading.Lock()


def open_lane(run: ActiveRun) -> None:
    """Let what this thread trains while the run is its innermost be the run's."""
    for run_id, lane in list(_open.items()):
        if not lane.is_open:
            _open.pop(run_id, None)
    _open[run.run_id] = Lane(run)


def close_lane(run_id: str) -> bool:
    """End a run's; what its threads train from now on is nobody's.

    Returns:
        Whether it was open.
    """
    lane = _open.pop(run_id, None)
    if lane is not None:
        lane.close()
    return lane is not None


def is_any_open() -> bool:
    """Tell whether any run autologs at present."""
    return any(lane.is_open for lane in list(_open.values()))


def is_anything_left() -> bool:
    """Tell whether anything goes on that a run has started which autologged; the workers of fits don't count."""
    with _starting:
        started = list(_started)
    return any(flow.is_alive and not flow.is_worker for flow in started)


def is_trained_here(run_id: str | None) -> bool:
    """Tell whether a model that MLflow has logged in this run was trained for a run that is open still."""
    return any(lane.is_open and run_id in lane.trained_in for lane in list(_open.values()))


def here() -> Flow | None:
    """Give this thread's flow: that of its innermost run of ours, or where it has none, of what started it.

    Returns:
        The flow; None when that run does not autolog, or no run of ours has to do with this thread.
    """
    runs = active.open_runs()
    if runs:
        lane = _open.get(runs[-1].run_id)
        return lane.flow if lane is not None else None
    return getattr(threading.current_thread(), _FLOW, None)


def lane_here() -> Lane | None:
    """Give what this thread trains for, if it is open and MLflow can write to it; else say why nothing is logged."""
    flow = here()
    lane = flow.lane if flow is not None else None
    if lane is None or not lane.is_of_this_process:
        return None
    if not lane.is_open:
        lane.say_once(lane.ended)
        return None
    return lane if lane.entity() is not None else None


def require_open(lane: Lane) -> None:
    """Stop what goes on in a thread of a run that has ended.

    Raises:
        ConflictError: The run has ended.
    """
    if not lane.is_open:
        lane.say_once(lane.ended)
        raise ConflictError(lane.ended)


# ---------------------------------------------------------------------------------------------------------------------
# Handing it on to threads


def started_by(start: Callable[..., Any]) -> Callable[..., Any]:
    """Give a ``threading.Thread.start`` that notes which run started the thread.

    Args:
        start: The one that was there.
    """

    @functools.wraps(start)
    def noting(thread: threading.Thread) -> Any:
        flow = _descendant()
        work: Any = getattr(thread, "_target", None) or type(thread).run
        if flow is not None and not str(getattr(work, "__module__", "")).startswith(_SERVANTS):
            flow.thread = weakref.ref(thread)
            setattr(thread, _FLOW, flow)
        return start(thread)

    return noting


def submitted_by(submit: Callable[..., Any]) -> Callable[..., Any]:
    """Give a ``ThreadPoolExecutor.submit`` that notes which run gave the task: the pool's threads may be older.

    Args:
        submit: The one that was there.
    """

    @functools.wraps(submit)
    def noting(pool: Any, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, functools.partial(_carry_out, _descendant(), task), *args, **kwargs)

    return noting


def _descendant() -> Flow | None:
    flow = here()
    if flow is None:
        return None
    made = Flow(flow.lane, flow)
    with _starting:
        _started.add(made)
    return made


def _carry_out(flow: Flow | None, task: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with _belonging_to(flow):
        return task(*args, **kwargs)


@contextmanager
def _belonging_to(flow: Flow | None) -> Iterator[None]:
    thread = threading.current_thread()
    before = getattr(thread, _FLOW, None)
    setattr(thread, _FLOW, flow)
    try:
        yield
    finally:
        setattr(thread, _FLOW, before)
