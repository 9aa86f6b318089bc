"""Whether MLflow's autologging is built as ours has to know it: its private names are nobody's promise."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from mlops_jupyter.tracking import fluent, mlflow_module
from mlops_jupyter.tracking.autolog import lanes
from mlops_jupyter.tracking.autolog.state import LaneConfig, SessionStack

_UTILS = "mlflow.utils.autologging_utils"
_HOOKS = "mlflow.utils.import_hooks"
_PROBE = "mlops_jupyter_probe"
#: What must be there: module, path in it, and what it must be.
_NEEDED: tuple[tuple[str, str, Any], ...] = (
    (_UTILS, "AUTOLOGGING_INTEGRATIONS", dict),
    (_UTILS, "AUTOLOGGING_CONF_KEY_IS_GLOBALLY_CONFIGURED", str),
    (_UTILS, "_training_sessions", list),
    (_UTILS, "_autolog_conf_global_lock.acquire", Callable),
    (_UTILS, "_get_new_training_session_class", Callable),
    (_UTILS, "disable_autologging", Callable),
    (_UTILS, "disable_discrete_autologging", Callable),
    (_UTILS, "BatchMetricsLogger._timed_log_batch", Callable),
    (_UTILS, "MlflowAutologgingQueueingClient._flush_pending_operations", Callable),
    (f"{_UTILS}.safety", "safe_patch", Callable),
    (f"{_UTILS}.safety", "revert_patches", Callable),
    (f"{_UTILS}.safety", "AutologgingSession", type),
    (f"{_UTILS}.safety", "_AutologgingSessionManager.active_session", Callable),
    (f"{_UTILS}.safety", "_AutologgingSessionManager.start_session", Callable),
    (f"{_UTILS}.safety", "_AutologgingSessionManager.astart_session", Callable),
    (_HOOKS, "_post_import_hooks", dict),
    (_HOOKS, "_import_error_hooks", dict),
    (_HOOKS, "_post_import_hooks_lock.acquire", Callable),
    (_HOOKS, "ImportHookFinder.find_spec", Callable),
    (_HOOKS, "notify_module_loaded", Callable),
)
_NEEDED_OF_SKLEARN: tuple[tuple[str, str, Any], ...] = (
    ("mlflow.sklearn", "_AUTOLOGGING_METRICS_MANAGER.register_model", Callable),
    ("mlflow.sklearn", "_AUTOLOGGING_METRICS_MANAGER.get_run_id_for_model", Callable),
    ("mlflow.sklearn", "_AUTOLOGGING_METRICS_MANAGER.get_info_for_metric_api_call", Callable),
    ("mlflow.sklearn", "_AUTOLOGGING_METRICS_MANAGER._log_post_training_metrics_enabled", bool),
)


def misses() -> str:
    """Tell what MLflow does not have that it would have to; empty when nothing is amiss. Changes nothing."""
    mlflow_module()
    missing = _missing(_NEEDED)
    if missing or fluent.stack() is not None:
        return missing
    return _told("mlflow.tracking.fluent keeps active runs otherwise")


def misses_of_sklearn() -> str:
    """Tell what ``mlflow.sklearn``, which is imported, does not have that it would have to."""
    return _missing(_NEEDED_OF_SKLEARN)


def _missing(needed: tuple[tuple[str, str, Any], ...]) -> str:
    for module, path, kind in needed:
        found: Any = None
        try:
            found = importlib.import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError):
            return _told(f"{module}.{path} is missing")
        if not isinstance(found, kind):
            return _told(f"{module}.{path} is a {type(found).__name__}")
    return ""


def misfit() -> str:
    """Try on a function of our own whether MLflow's patches ask where we answer; empty when they do.

    Asked when all is in place, and by a thread whose run autologs.
    """
    flow = lanes.here()
    if flow is None:
        return ""
    utils = importlib.import_module(_UTILS)
    safety = importlib.import_module(f"{_UTILS}.safety")
    sessions: list[Any] = []

    class Target:
        def fit(self) -> None:
            """Do nothing: it is patched."""

    def patch(original: Any, self: Any) -> Any:
        sessions.append(flow.session)
        return original(self)

    def times(config: dict[str, Any]) -> int:
        utils.AUTOLOGGING_INTEGRATIONS[_PROBE] = config
        before = len(sessions)
        Target().fit()
        return len(sessions) - before

    safety.safe_patch(_PROBE, Target, "fit", patch)
    try:
        found = [times(LaneConfig(_PROBE, {}, lambda: None)), times({"disable": True})]
        with utils.disable_autologging():
            found.append(times(LaneConfig(_PROBE, {}, lambda: None)))
    finally:
        utils.AUTOLOGGING_INTEGRATIONS.pop(_PROBE, None)
        safety.revert_patches(_PROBE)
    if found != [1, 0, 0] or sessions == [None]:
        return _told("its patches do not ask who calls them")
    return "" if _keeps_fits_apart(utils) else _told("it keeps fits that are under way elsewhere")


def _keeps_fits_apart(utils: Any) -> bool:
    flow = lanes.here()
    owner = utils._get_new_training_session_class()
    utils._training_sessions.remove(owner)
    if flow is None or not isinstance(getattr(owner, "_session_stack", None), list):
        return False
    owner._session_stack = SessionStack(owner, owner._session_stack)
    with owner(object(), True) as session:
        apart = flow.stacks.get(owner) == [session]
    return apart and flow.stacks.pop(owner) == []


def _told(what: str) -> str:
    return f"MLflow {mlflow_module().__version__} is not as we know it ({what})"
