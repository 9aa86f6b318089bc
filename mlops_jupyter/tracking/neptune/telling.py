"""Progress of an import, for those who wait for more than a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from mlops_jupyter.working import advance

Notify = Callable[[Mapping[str, Any]], None]
_OFTEN = 1.0


class Telling:
    """Tells which run is being imported, once a second at the most.

    Args:
        notify: Takes progress events; a run is told of as a step of a pipeline is, which all doors can show.
        total: How many runs there are.
    """

    def __init__(self, notify: Notify, total: int) -> None:
        self._notify = notify
        self._total = total
        self._done = 0
        self._run = ""
        self._began = self._told = time.monotonic()
        self._is_told = False

    def begin(self, run: str) -> None:
        """A run's turn has come."""
        self._run, self._began, self._is_told = run, time.monotonic(), False

    def rename(self, run: str) -> None:
        """What the run is called has been found out."""
        self._run = run

    def moment(self) -> None:
        """The run is still going on."""
        if not self._is_told and time.monotonic() - self._told >= _OFTEN:
            self._is_told = True
            self._tell("running", None)

    def end(self, state: str) -> None:
        """The run is done; the state is a step's. One that failed at once is told by the answer alone."""
        self._done += 1
        advance(1, "runs")
        now = time.monotonic()
        if self._is_told or (state != "failed" and now - self._told >= _OFTEN):
            self._tell(state, now - self._began)

    def _tell(self, state: str, seconds: float | None) -> None:
        self._told = time.monotonic()
        event = {"topic": "pipelines", "step": self._run, "state": state, "seconds": seconds}
        self._notify(event | {"done": self._done, "total": self._total})
