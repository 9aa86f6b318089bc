"""Processor, memory, disk, network and GPU of a run: measured by MLflow's own monitors, written through our queue."""

from __future__ import annotations

import logging
import threading
from typing import Any

from mlops_jupyter.errors import translate
from mlops_jupyter.tracking import mlflow_module
from mlops_jupyter.tracking.active import ActiveRun

_logger = logging.getLogger("mlops_jupyter")
_PREFIX = "system/"
# How long the end of a run waits for the last measurement, in seconds.
_LAST = 5.0
_watches: dict[str, _Watch] = {}


def watch(run: ActiveRun) -> None:
    """Begin to measure the machine for a run; MLflow's variables say how often (every 10 seconds by default).

    Args:
        run: The run; its metrics are called ``system/…``, as MLflow calls them.
    """
    if run.run_id not in _watches:
        _watches[run.run_id] = _Watch(run)


def unwatch(run_id: str) -> None:
    """Measure a last time, and stop; nothing when the run is not watched.

    Args:
        run_id: The run.
    """
    found = _watches.get(run_id)
    if found is not None:
        found.finish()


class _Watch:
    """One run's measuring. MLflow's loop would ask the store before each number, and lose those of a short run."""

    def __init__(self, run: ActiveRun) -> None:
        self._run = run
        self._monitor: Any = _monitor(run)
        self._step = 0
        self._ended = threading.Event()
        self._enrolled = ""
        self._enroll()
        self._thread = threading.Thread(target=self._measure, name="mlops-system-metrics", daemon=True)
        self._thread.start()

    def _enroll(self) -> None:
        """Have MLflow end it with the run, as it ends its own: by the store's id, which may come later."""
        known = self._run.store_id or self._run.run_id
        monitors = _monitors_of_mlflow()
        if known != self._enrolled and not self._ended.is_set():
            monitors.pop(self._enrolled, None)
            monitors[known] = self
            self._enrolled = known

    def finish(self) -> None:
        """Write what was measured since the last time, and stop; MLflow calls it as well."""
        _watches.pop(self._run.run_id, None)
        self._ended.set()
        self._thread.join(_LAST)
        if _monitors_of_mlflow().get(self._enrolled) is self:
            del _monitors_of_mlflow()[self._enrolled]

    def _measure(self) -> None:
        try:
            # The processor's use is that since it was last asked for: what went before the run is thrown away.
            self._monitor.collect_metrics()
            self._clear()
            has_ended = False
            while not has_ended:
                for _ in range(self._monitor.samples_before_logging):
                    has_ended = self._ended.wait(self._monitor.sampling_interval)
                    self._monitor.collect_metrics()
                    if has_ended:
                        break
                self._write()
                self._enroll()
        except Exception as error:
            text = "the system metrics of run %s (%s) are not kept any more: %s"
            _logger.warning(text, self._run.name, self._run.run_id[:8], translate(error).message)

    def _write(self) -> None:
        node = f"{self._monitor.node_id}/" if self._monitor.node_id else ""
        for name, value in self._monitor.aggregate_metrics().items():
            self._run.tracking.queue.metric(self._run.run_id, f"{_PREFIX}{node}{name}", float(value), self._step)
        self._step += 1
        self._clear()

    def _clear(self) -> None:
        for one in self._monitor.monitors:
            one.clear_metrics()


def _monitor(run: ActiveRun) -> Any:
    mlflow_module()
    from mlflow.system_metrics import system_metrics_monitor as known

    # That there is no GPU is no news.
    before = known._logger.level
    known._logger.setLevel(logging.WARNING)
    try:
        return known.SystemMetricsMonitor(run.run_id, tracking_uri=run.tracking.uri)
    finally:
        known._logger.setLevel(before)


def _monitors_of_mlflow() -> dict[str, Any]:
    from mlflow.tracking import fluent

    return getattr(fluent, "run_id_to_system_metrics_monitor", {})
