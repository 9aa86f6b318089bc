"""What goes to MLflow in one call: as many points and params as it takes at once, and no more."""

from __future__ import annotations

from typing import Any

from mlops_jupyter.tracking.neptune.target import POINTS, Target

# MLflow takes a thousand things in a call; one is the tag that says how many points are there.
_MOST_POINTS, _MOST_PARAMS = 999, 100
# A server takes a million bytes of JSON, in which a character may need six.
_MOST_BYTES = 700_000
_LATEST = 253_402_300_799_999


def _weight(text: str) -> int:
    return len(text) if text.isascii() else 6 * len(text)


class Batches:
    """Gathers points and params of one run, and sends them.

    Args:
        target: Where to.
        run_id: The run.
        there: How many of the first points MLflow has already.
    """

    def __init__(self, target: Target, run_id: str, there: int) -> None:
        self._target = target
        self._run_id = run_id
        self._there = there
        self._metrics: list[Any] = []
        self._params: list[Any] = []
        self._bytes = 0
        #: How many points and params were given.
        self.points = 0
        self.params = 0

    def point(self, name: str, value: float, time: int, step: int) -> None:
        """Take a point.

        Args:
            name: The metric.
            value: The number.
            time: Milliseconds since 1970; MLflow takes none before.
            step: The step.
        """
        from mlflow.entities import Metric

        if self.points >= self._there:
            self._make_room(_weight(name) + 100)
            self._metrics.append(Metric(name, value, min(max(time, 0), _LATEST), step))
        self.points += 1
        if len(self._metrics) >= _MOST_POINTS:
            self.send()

    def param(self, name: str, text: str) -> None:
        """Take a param; there is one of each name."""
        from mlflow.entities import Param

        self.params += 1
        self._make_room(_weight(name) + 6 * len(text) + 50)
        self._params.append(Param(name, text))
        if len(self._params) >= _MOST_PARAMS:
            self.send()

    def _make_room(self, size: int) -> None:
        if self._bytes + size > _MOST_BYTES or len(self._metrics) + len(self._params) >= _MOST_POINTS:
            self.send()
        self._bytes += size

    def send(self) -> None:
        """Send what was gathered."""
        metrics, params = self._metrics, self._params
        if metrics or params:
            # MLflow writes tags last, so that no crash can leave a number that is too high.
            tags = {POINTS: str(self.points)} if metrics else {}
            self._target.log(self._run_id, metrics, params, tags)
        self._metrics, self._params, self._bytes = [], [], 0
