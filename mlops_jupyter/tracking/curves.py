"""The series of metrics, as much of them as can be seen: long ones come short, with their ends and extremes.

MLflow's own way to a long history takes seconds for a hundred thousand points, and three times that from a server.
The embedded store is read directly, and whole. Elsewhere the store is asked for an even sample, which may leave out a
spike; a curve says so.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.scales import thinned
from mlops_jupyter.tracking import embedded, fast_search
from mlops_jupyter.tracking.client import Tracking
from mlops_jupyter.tracking.patience import answers
from mlops_jupyter.tracking.records import Run

Point = tuple[int, float]

#: How many points of a curve are kept at the most.
MOST_POINTS = 2000
# MLflow's server takes so many runs in one request.
_MOST_RUNS = 100
_SQL = "SELECT step, CASE WHEN is_nan THEN NULL ELSE value END FROM metrics WHERE run_uuid = ? AND key = ?"
_SQL += " ORDER BY step, timestamp"


@dataclass(frozen=True)
class Curve:
    """A run's series of a metric, by steps.

    Args:
        points: Step and value; NaN and infinities are among the values.
        is_thinned: Whether the run has more points than these.
        is_sampled: Whether the store left points out, so that extremes may be missing.
    """

    points: tuple[Point, ...] = ()
    is_thinned: bool = False
    is_sampled: bool = False

    @property
    def numbers(self) -> list[Point]:
        """The points whose values are numbers, infinities among them."""
        return [point for point in self.points if not math.isnan(point[1])]


@answers
def read(tracking: Tracking, runs: Sequence[Run]) -> dict[str, list[Curve]]:
    """Read the series of all metrics of some runs.

    Args:
        tracking: The workspace's store.
        runs: The runs.

    Returns:
        Metric → a curve a run, an empty one where a run has no such metric; without those metrics that are a single
        number in every run.
    """
    client = tracking.client  # what was logged up to now is delivered before anything is read
    curves = {}
    for metric in sorted({name for run in runs for name in run.metrics}):
        having = list(dict.fromkeys(run.run_id for run in runs if metric in run.metrics))
        known = _curves(tracking, client, having, metric)
        series = [known.get(run.run_id, Curve()) for run in runs]
        if any(len(curve.numbers) > 1 for curve in series):
            curves[metric] = series
    return curves


def _curves(tracking: Tracking, client: Any, run_ids: Sequence[str], metric: str) -> dict[str, Curve]:
    if tracking.is_embedded:
        database = tracking.config.state / embedded.DATABASE
        known = {run_id: fast_search.rows(database, _SQL, [run_id, metric]) for run_id in run_ids}
        if all(found is not None for found in known.values()):
            return {run_id: _curve(found or []) for run_id, found in known.items()}
    curves: dict[str, Curve] = {}
    for start in range(0, len(run_ids), _MOST_RUNS):
        some = run_ids[start : start + _MOST_RUNS]
        sampled = _sampled(client, some, metric)
        if sampled is None:
            curves |= {run_id: _curve(_whole(client, run_id, metric)) for run_id in some}
        else:
            curves |= {run_id: _curve(sampled[run_id], sampled=True) for run_id in some}
    return curves


def _curve(rows: Sequence[tuple[Any, Any]], *, sampled: bool = False) -> Curve:
    points = [(int(step), math.nan if value is None else _value(value)) for step, value in rows]
    more = len(points) > MOST_POINTS
    kept = thinned(points, MOST_POINTS)
    return Curve(tuple((int(step), value) for step, value in kept), more, sampled and more)


def _value(value: float) -> float:
    # Databases have no infinity: MLflow writes the largest number instead.
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else float(value)


def _whole(client: Any, run_id: str, metric: str) -> list[tuple[int, float]]:
    points = client.get_metric_history(run_id, metric)
    return [(point.step, point.value) for point in sorted(points, key=lambda point: (point.step, point.timestamp))]


def _sampled(client: Any, run_ids: Sequence[str], metric: str) -> dict[str, list[tuple[int, float]]] | None:
    """Ask for one point more than is kept, at the most, of each run; None of a store that does not sample by itself."""
    from mlflow.store.tracking.abstract_store import AbstractStore
    from mlflow.store.tracking.rest_store import RestStore

    store = client._tracking_client.store
    most = MOST_POINTS + 1
    if isinstance(store, RestStore):
        points = _asked(store, run_ids, metric, most)
    elif type(store).get_metric_history_bulk_interval is not AbstractStore.get_metric_history_bulk_interval:
        points = store.get_metric_history_bulk_interval(list(run_ids), metric, most, None, None)
    else:
        points = None
    if points is None:
        return None
    found: dict[str, list[tuple[int, float]]] = {run_id: [] for run_id in run_ids}
    for point in points:
        found[point.run_id].append((point.step, point.value))
    return found


def _asked(store: Any, run_ids: Sequence[str], metric: str, most: int) -> Sequence[Any] | None:
    """Ask a server; MLflow's client has the whole history sent, three times, to take a sample of it itself."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.service_pb2 import GetMetricHistoryBulkInterval
    from mlflow.utils.proto_json_utils import message_to_json

    request = GetMetricHistoryBulkInterval(run_ids=list(run_ids), metric_key=metric, max_results=most)
    try:
        answer = store._call_endpoint(GetMetricHistoryBulkInterval, message_to_json(request))
    except MlflowException as error:
        if error.get_http_status_code() == 404:  # a server that knows no samples
            return None
        raise
    points: Sequence[Any] = answer.metrics
    return points
