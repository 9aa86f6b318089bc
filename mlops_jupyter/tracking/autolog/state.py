"""What stands in the place of MLflow's process-wide state while runs autolog: the same, for each thread its own.

MLflow's patches of other libraries look all of this up whenever they are called. That is where they are told whether
this thread wants to be logged, and where to; the patches themselves are MLflow's.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from mlops_jupyter.tracking import fluent, mlflow_module
from mlops_jupyter.tracking.autolog import lanes
from mlops_jupyter.tracking.autolog.lanes import Flow, Lane

_DISABLE = "disable"
_ENABLED = "_log_post_training_metrics_enabled"


class LaneConfig(dict[str, Any]):
    """A library's autologging configuration that is switched on in the threads of runs that autolog, and off elsewhere.

    Args:
        library: MLflow's name of the integration.
        config: What MLflow has stored.
        idle: Called when no run autologs any more.
    """

    def __init__(self, library: str, config: dict[str, Any], idle: Callable[[], None]) -> None:
        # Switching on was silent. That something could not be logged must be told.
        super().__init__(config, silent=False)
        self._library = library
        self._idle = idle

    def get(self, key: str, default: Any = None) -> Any:
        """Give an option, as MLflow asks for it at each call of a patched function."""
        if key != _DISABLE:
            return super().get(key, default)
        flow = lanes.here()
        is_off = lanes.lane_here() is None or (flow is not None and flow.is_off(self._library))
        if not lanes.is_any_open():
            self._idle()
        return is_off


class Sessions:
    """Stands for MLflow's ``_AutologgingSessionManager``.

    Args:
        mlflows: The one that it stands for, which goes on serving the threads that belong to no run of ours.
        session: MLflow's class of session.
    """

    def __init__(self, mlflows: Any, session: Any) -> None:
        self._mlflows = mlflows
        self._new = session
        # MLflow calls what it has patched without logging anything when it finds that the session has failed.
        self._off = session("mlops", "off")
        self._off.state = "failed"

    def active_session(self) -> Any:
        """Give the session that this thread is in, or None."""
        flow = lanes.here()
        if (flow or lanes.outside).is_off():
            return self._off
        return self._mlflows.active_session() if flow is None else flow.session

    @contextmanager
    def start_session(self, integration: str) -> Iterator[Any]:
        """Begin a session, unless one goes on; in the run that this thread trains for."""
        flow = lanes.here()
        if flow is None:
            with self._mlflows.start_session(integration) as session:
                yield session
        else:
            with self._session_of(flow, integration) as session:
                yield session

    @asynccontextmanager
    async def astart_session(self, integration: str) -> AsyncIterator[Any]:
        """Begin a session around something asynchronous."""
        flow = lanes.here()
        if flow is None:
            async with self._mlflows.astart_session(integration) as session:
                yield session
        else:
            with self._session_of(flow, integration) as session:
                yield session

    @contextmanager
    def _session_of(self, flow: Flow, integration: str) -> Iterator[Any]:
        before = flow.session
        flow.session = before or self._new(integration, f"mlops-{id(flow):x}")
        try:
            with _in_its_run(flow.lane):
                yield flow.session
        finally:
            flow.session = before


@contextmanager
def _in_its_run(lane: Lane | None) -> Iterator[None]:
    """Make a run MLflow's active one in a thread that it has started, while one of MLflow's patches is at work."""
    stack = fluent.stack()
    wanted = lane is not None and lane.is_open and lane.is_of_this_process and stack == []
    entity = lane.entity() if lane is not None and wanted else None
    if lane is None or stack is None or entity is None:
        yield
        return
    lent = _lent_class()(entity)
    lent.lane, lent.lent_to = lane, threading.get_ident()
    stack.append(lent)
    try:
        yield
    finally:
        stack[:] = [run for run in stack if run is not lent]


@functools.cache
def _lent_class() -> Any:
    """Make the class of a run that a thread writes to for as long as it is open, and to no other after it."""
    known = mlflow_module().ActiveRun

    def info(self: Any) -> Any:
        # Whatever MLflow writes after a fit, it asks for the run first.
        if threading.get_ident() == self.lent_to:
            lanes.require_open(self.lane)
        return known.info.fget(self)

    return type("LentRun", (known,), {"info": property(info)})


class SessionStack:
    """Stands for the list in which one of MLflow's classes of training session keeps the fits that are under way.

    Args:
        owner: The class.
        mlflows: Its list, which goes on serving the threads that belong to no run of ours.
    """

    def __init__(self, owner: Any, mlflows: list[Any]) -> None:
        self._owner = owner
        self._mlflows = mlflows

    @property
    def _here(self) -> list[Any]:
        flow = lanes.here()
        return self._mlflows if flow is None else flow.stacks.setdefault(self._owner, [])

    def __len__(self) -> int:
        """Count them."""
        return len(self._here)

    def __iter__(self) -> Iterator[Any]:
        """Give them, the outermost first."""
        return iter(self._here)

    def __getitem__(self, place: int) -> Any:
        """Give one of them."""
        return self._here[place]

    def append(self, session: Any) -> None:
        """Note that a fit begins."""
        self._here.append(session)

    def pop(self) -> Any:
        """Note that a fit has ended."""
        return self._here.pop()


@contextmanager
def disable_autologging() -> Iterator[None]:
    """Stand for MLflow's function of that name: switch off what this thread, and those it starts, would log."""
    disabled = (lanes.here() or lanes.outside).disabled
    disabled.append(None)
    try:
        yield
    finally:
        disabled.remove(None)


def disabling_some(mlflows: Callable[[list[str]], Any], configs: dict[str, Any]) -> Any:
    """Give what stands for ``disable_discrete_autologging``, which leaves those on that other threads use.

    Args:
        mlflows: The one that it stands for; it calls ``autolog`` to switch libraries off, and on again for all.
        configs: MLflow's configurations.
    """

    @contextmanager
    def disable_discrete_autologging(flavors_to_disable: list[str]) -> Iterator[None]:
        ours = frozenset(name for name in flavors_to_disable if isinstance(configs.get(name), LaneConfig))
        disabled = (lanes.here() or lanes.outside).disabled
        disabled.append(ours)
        try:
            with mlflows([name for name in flavors_to_disable if name not in ours]):
                yield
        finally:
            disabled.remove(ours)

    return disable_discrete_autologging


def metrics_class(known: Any, configs: dict[str, Any]) -> Any:
    """Make the class of the object in which MLflow keeps what scores and predictions of models belong to.

    Args:
        known: The class that it has.
        configs: MLflow's configurations.
    """

    def is_enabled(self: Any) -> bool:
        flow = lanes.here()
        return bool(vars(self)[_ENABLED] if flow is None else flow.logs_metrics)

    def enable(self: Any, value: bool) -> None:
        flow = lanes.here()
        if flow is None:
            vars(self)[_ENABLED] = value
        else:
            flow.logs_metrics = value

    def register_model(self: Any, model: Any, run_id: str) -> None:
        flow = lanes.here()
        if flow is not None and flow.lane is not None:
            flow.lane.trained_in.add(run_id)
        known.register_model(self, model, run_id)

    def may_be_written(run_id: str | None) -> bool:
        # Who had switched the library on themselves has MLflow's rule: the model's run, open or not.
        return lanes.is_trained_here(run_id) or not isinstance(configs.get("sklearn"), LaneConfig)

    def get_run_id_for_model(model: Any) -> str | None:
        run_id: str | None = known.get_run_id_for_model(model)
        return run_id if may_be_written(run_id) else None

    def get_info_for_metric_api_call(self: Any, *call: Any) -> Any:
        run_id, *more = known.get_info_for_metric_api_call(self, *call)
        return (run_id, *more) if may_be_written(run_id) else (None, *(None for _ in more))

    return type(
        "MetricsByThread",
        (known,),
        {
            _ENABLED: property(is_enabled, enable),
            "register_model": register_model,
            "get_run_id_for_model": staticmethod(get_run_id_for_model),
            "get_info_for_metric_api_call": get_info_for_metric_api_call,
        },
    )


def writing_while_open(write: Callable[..., Any], run_of: Callable[[Any, tuple[Any, ...]], Any]) -> Callable[..., Any]:
    """Give a writer of MLflow's autologging that keeps what comes after the end of the run from being written.

    Args:
        write: The method that was there.
        run_of: Gives the id of the run that a call would write to, from its object and its arguments.
    """

    @functools.wraps(write)
    def writing(self: Any, *args: Any, **kwargs: Any) -> Any:
        flow = lanes.here()
        lane = flow.lane if flow is not None else None
        if lane is None or run_of(self, (*args, *kwargs.values())) != lane.run.store_id:
            return write(self, *args, **kwargs)
        with lane.writing:
            if lane.is_open:
                return write(self, *args, **kwargs)
        lane.say_once(lane.ended)
        return None

    return writing


def noting_again(log_inputs: Callable[..., Any]) -> Callable[..., Any]:
    """Give an ``MlflowClient.log_inputs`` that gets on with two runs noting the same new dataset at once.

    MLflow looks whether the dataset is there, and then inserts it; the second to insert it fails.

    Args:
        log_inputs: The one that was there.
    """

    @functools.wraps(log_inputs)
    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return log_inputs(self, *args, **kwargs)
        except Exception as error:
            if "IntegrityError" not in str(error):
                raise
        return log_inputs(self, *args, **kwargs)

    return noting


def one_at_a_time(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that only one thread is in: matplotlib's settings are the process's, and MLflow changes them.

    Args:
        draw: The function.
    """
    lock = threading.RLock()

    @functools.wraps(draw)
    def drawing(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return draw(*args, **kwargs)

    return drawing


class Quiet(logging.Filter):
    """Keeps from the threads of runs that autolog what MLflow says at every fit and nobody can do anything about."""

    _CHATTER = (
        "Saving scikit-learn models in the pickle or cloudpickle format",
        "MLflow autologging encountered a warning",
    )

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is shown."""
        flow = lanes.here()
        if flow is None or flow.lane is None:
            return True
        text = record.getMessage()
        # That the run has ended was told by us.
        return not text.startswith(self._CHATTER) and flow.lane.ended not in text
