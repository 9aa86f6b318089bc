"""Puts our state in the place of MLflow's while runs autolog, switches its autologging on, and takes all of it away."""

from __future__ import annotations

import concurrent.futures.thread
import functools
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from mlops_jupyter.tracking import mlflow_module
from mlops_jupyter.tracking.autolog import lanes, state
from mlops_jupyter.tracking.autolog.imports import Finding
from mlops_jupyter.tracking.autolog.shape import misfit, misses, misses_of_sklearn

_logger = logging.getLogger("mlops_jupyter")
_UTILS = "mlflow.utils.autologging_utils"
_HOOKS = "mlflow.utils.import_hooks"
_FLUENT = "mlflow.tracking.fluent"
_DRAWS = "_log_specialized_estimator_content"
# MLflow hooks these into the whole process by their own means: there is no telling which thread they serve.
_NOT_BY_THREAD = ["ag2", "haystack", "litellm", "llama_index", "spark", "strands"]


class Switch:
    """What is in place, in this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._placed: _Placed | None = None
        self._plain = False
        self._is_told = False

    def on(self) -> None:
        """Let MLflow autolog for the runs that are open and want it."""
        with self._lock, _interrupted_later():
            if self._plain:
                return
            problem = misses()
            if not problem:
                self._placed = self._placed or _Placed(lambda: self.off(wait=False))
                self._placed.switch_on()
                problem = misfit()
            if problem:
                self._fall_back(problem)

    def off(self, *, wait: bool = True) -> None:
        """Take everything away, unless a run autologs or something goes on that one has started.

        Args:
            wait: Whether to wait for another thread that is just switching. From within MLflow's patches that could
                be one that waits for this.
        """
        if lanes.is_any_open() or not self._lock.acquire(blocking=wait):
            return
        try:
            if self._plain and not lanes.is_any_open():
                self._plain = False
                mlflow_module().autolog(disable=True, silent=True)
            if self._placed is not None and not lanes.is_any_open() and not lanes.is_anything_left():
                self._placed.take_away()
                self._placed = None
        finally:
            self._lock.release()

    def _fall_back(self, problem: str) -> None:
        """Switch autologging on as MLflow does it: for the whole process."""
        if self._placed is not None:
            self._placed.take_away()
            self._placed = None
        if not self._is_told:
            self._is_told = True
            _logger.warning(
                "%s: autologging is on for all threads of this process while a run autologs, and can write what one "
                "thread trains into the run of another",
                problem,
            )
        configs = getattr(sys.modules.get(_UTILS), "AUTOLOGGING_INTEGRATIONS", {})
        if not _is_on(configs, "mlflow"):
            self._plain = True
            with _all_or_nothing():
                mlflow_module().autolog(silent=True)


switch = Switch()


class _Placed:
    """What was put in place, and how it is taken away.

    Args:
        idle: Called by MLflow's patches when no run autologs any more.
    """

    def __init__(self, idle: Callable[[], None]) -> None:
        mlflow_module()
        self._idle = idle
        self._utils = importlib.import_module(_UTILS)
        self._safety = importlib.import_module(f"{_UTILS}.safety")
        self._hooks = importlib.import_module(_HOOKS)
        self._finding = Finding(self._hooks)
        self._undo = ExitStack()
        self._switched: dict[str, tuple[state.LaneConfig, Any]] = {}
        self._hooked: dict[str, tuple[list[Any], list[Any] | None]] = {}
        self._rebound: list[tuple[str, Any, Any]] = []
        self._is_placed = False

    def _put_in_place(self) -> None:
        if self._is_placed:
            return
        try:
            self._put()
        except BaseException:
            self._undo.close()
            raise
        self._is_placed = True

    def _put(self) -> None:
        utils, safety = self._utils, self._safety
        sessions = state.Sessions(safety._AutologgingSessionManager, safety.AutologgingSession)
        self._set(safety, "_AutologgingSessionManager", sessions)
        finder = self._hooks.ImportHookFinder
        self._set(finder, "find_spec", self._finding.find_spec(finder.find_spec))
        self._set(threading.Thread, "start", lanes.started_by(threading.Thread.start))
        pool = concurrent.futures.thread.ThreadPoolExecutor
        self._set(pool, "submit", lanes.submitted_by(pool.submit))
        some = state.disabling_some(utils.disable_discrete_autologging, utils.AUTOLOGGING_INTEGRATIONS)
        self._rebound = [
            ("disable_autologging", utils.disable_autologging, state.disable_autologging),
            ("disable_discrete_autologging", utils.disable_discrete_autologging, some),
        ]
        client, metrics = utils.MlflowAutologgingQueueingClient, utils.BatchMetricsLogger
        flush = state.writing_while_open(client._flush_pending_operations, lambda _, given: given[0].run_id)
        self._set(client, "_flush_pending_operations", flush)
        log_batch = state.writing_while_open(metrics._timed_log_batch, lambda logger, _: logger.run_id)
        self._set(metrics, "_timed_log_batch", log_batch)
        known = mlflow_module().MlflowClient
        self._set(known, "log_inputs", state.noting_again(known.log_inputs))
        quiet = state.Quiet()
        for name in ("mlflow.sklearn", _UTILS):
            self._filter(name, quiet)
        self._filter(_FLUENT, _failing)

    def _filter(self, name: str, by: logging.Filter) -> None:
        self._undo.callback(logging.getLogger(name).removeFilter, by)
        logging.getLogger(name).addFilter(by)

    def _set(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute, and have what was there set again when we go, unless others have set it since."""
        before = vars(owner)[name]
        self._undo.callback(lambda: setattr(owner, name, before) if vars(owner).get(name) is value else None)
        setattr(owner, name, value)

    def _follow_imports(self) -> None:
        """Do the same in those modules of MLflow that have been imported since."""
        for owner in self._utils._training_sessions:
            if not isinstance(owner._session_stack, state.SessionStack):
                self._set(owner, "_session_stack", state.SessionStack(owner, owner._session_stack))
        # While another thread is importing it, it is there and not whole; that import is followed as well.
        metrics = getattr(sys.modules.get("mlflow.sklearn"), "_AUTOLOGGING_METRICS_MANAGER", None)
        if metrics is not None and type(metrics).__module__ == "mlflow.sklearn" and not misses_of_sklearn():
            known = type(metrics)
            self._undo.callback(setattr, metrics, "__class__", known)
            metrics.__class__ = state.metrics_class(known, self._utils.AUTOLOGGING_INTEGRATIONS)
        drawing = sys.modules.get("mlflow.sklearn.utils")
        draw = getattr(drawing, _DRAWS, None)
        if draw is not None and not hasattr(draw, "__wrapped__"):
            self._set(drawing, _DRAWS, state.one_at_a_time(draw))
        self._rebind()

    def _rebind(self, *, back: bool = False) -> None:
        modules = [module for name, module in list(sys.modules.items()) if name.startswith("mlflow.") and module]
        for name, theirs, ours in self._rebound:
            old, new = (ours, theirs) if back else (theirs, ours)
            for module in modules:
                if vars(module).get(name) is old:
                    setattr(module, name, new)

    # Switching on

    def switch_on(self) -> None:
        """Have MLflow patch what is imported, and what will be; a user's own settings stay as they are."""
        configs = self._utils.AUTOLOGGING_INTEGRATIONS
        self._put_in_place()
        self._follow_imports()
        ours = [name for name, (config, _) in self._switched.items() if configs.get(name) is config]
        # Who has switched everything on themselves has it as they want it.
        if _is_on(configs, "mlflow") or (self._switched and len(ours) == len(self._switched)):
            return
        with _all_or_nothing():
            self._switch_on_all_but(ours)
        self._finding.catch_up()

    def _switch_on_all_but(self, ours: list[str]) -> None:
        configs, hooks = self._utils.AUTOLOGGING_INTEGRATIONS, self._hooks._post_import_hooks
        before = {library: list(held) for library, held in hooks.items()}

        def call() -> None:
            stored = configs.get("mlflow")
            mlflow_module().autolog(silent=True, exclude_flavors=[*_NOT_BY_THREAD, *ours])
            configs["mlflow"] = stored

        self._adopting(call)
        for library, present in list(hooks.items()):
            new = [hook for hook in present if hook not in before.get(library, [])]
            if new:
                kept = [hook for hook in present if hook not in new]
                held = [*kept, *(self._adopting_hook(library, hook) for hook in new)]
                earlier = self._hooked.get(library)
                self._hooked[library] = (held, earlier[1] if earlier else before.get(library))
                hooks[library] = held

    def _adopting_hook(self, library: str, hook: Callable[[Any], None]) -> Callable[[Any], None]:
        # MLflow knows its hooks by their names, and must find this one when a user has it set others.
        @functools.wraps(hook)
        def imported(module: Any) -> None:
            try:
                with _all_or_nothing():
                    self._adopting(lambda: hook(module))
            except BaseException:
                # MLflow has taken the hook away, and Python does the same with the module.
                self._hooks._post_import_hooks[library] = self._hooked[library][0]
                raise

        return imported

    def _adopting(self, call: Callable[[], None]) -> None:
        """Make the configurations that a call of MLflow's stores those of our runs, and of nobody else."""
        configs = self._utils.AUTOLOGGING_INTEGRATIONS
        with self._utils._autolog_conf_global_lock:
            before = dict(configs)
            call()
            for name, config in list(configs.items()):
                if name != "mlflow" and config and config is not before.get(name):
                    configs[name] = state.LaneConfig(name, config, self._idle)
                    earlier = self._switched.get(name)
                    self._switched[name] = (configs[name], earlier[1] if earlier else before.get(name))
                    if not config.get(self._utils.AUTOLOGGING_CONF_KEY_IS_GLOBALLY_CONFIGURED):
                        _failing.say(name)  # MLflow notes this last
            self._follow_imports()

    # Switching off

    def take_away(self) -> None:
        """Leave MLflow as it was found, but for what a user has switched on or off meanwhile."""
        configs = self._utils.AUTOLOGGING_INTEGRATIONS
        with self._utils._autolog_conf_global_lock:
            for name, (config, before) in self._switched.items():
                if configs.get(name) is config:
                    self._safety.revert_patches(name)
                    configs[name] = before if before is not None else {}
            hooks = self._hooks._post_import_hooks
            for library, (held, before) in self._hooked.items():
                if hooks.get(library) is held:
                    if before is None:
                        del hooks[library]
                    else:
                        hooks[library] = before
            self._undo.close()
            self._rebind(back=True)


class _Failing(logging.Filter):
    """Says what MLflow keeps to itself while it switches on silently: that a library could not be."""

    _FAILED = "Exception raised while enabling autologging for "

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at a record, and let it pass."""
        text = record.getMessage()
        if text.startswith(self._FAILED):
            self.say(text.removeprefix(self._FAILED))
        return True

    def say(self, what: str) -> None:
        """Warn, once of each library.

        Args:
            what: The library, and why it could not be switched on where that is known.
        """
        if what not in self._told:
            self._told.add(what)
            _logger.warning(
                "autologging could not be switched on for %s: if an import was interrupted, restart the process", what
            )


_failing = _Failing()


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Keep the first Ctrl-C until this is done: what an interrupt leaves half imported can often not be imported again.

    The second one goes through.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    kept: list[tuple[int, FrameType | None]] = []

    def keep(number: int, frame: FrameType | None) -> None:
        kept.append((number, frame))
        if len(kept) > 1:
            before(number, frame)

    signal.signal(signal.SIGINT, keep)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is keep:
            signal.signal(signal.SIGINT, before)
        if len(kept) == 1:
            before(*kept[0])


@contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Let MLflow switch libraries on; where that is interrupted, leave all of them as they were.

    MLflow stores a library's configuration first. One that is left behind it takes for a user's own, and would never
    switch that library on again.
    """
    configs = getattr(sys.modules.get(_UTILS), "AUTOLOGGING_INTEGRATIONS", {})
    hooks = getattr(sys.modules.get(_HOOKS), "_post_import_hooks", {})
    before, waiting = dict(configs), {library: (held, list(held)) for library, held in hooks.items()}
    try:
        yield
    except BaseException:
        revert = getattr(sys.modules.get(f"{_UTILS}.safety"), "revert_patches", None)
        for name in [name for name, config in list(configs.items()) if config is not before.get(name)]:
            if revert is not None:
                revert(name)
            configs[name] = before.get(name, {})
        for library, present in list(hooks.items()):
            if library not in waiting:
                del hooks[library]
            elif present or library not in sys.modules:  # else it was imported meanwhile, and is as good as new
                held, content = waiting[library]
                held[:], hooks[library] = content, held
        raise


def _is_on(configs: dict[str, Any], name: str) -> bool:
    return not (configs.get(name) or {}).get("disable", True)
