"""The times of a metric's points: of one step's, MLflow takes the latest in time for the last, and then the largest."""

from __future__ import annotations

import time

# More than fall into a millisecond: past this, what the clock has gone past is looked for one by one.
_MOST = 4096


class Times:
    """Gives each point of one step, of one metric in one run, a later time than the one before it.

    A loop logs dozens within a millisecond. Of these, MLflow would keep one of two that are equal, and show the largest
    as the metric's value, whichever was logged last. Points of different steps are told apart by these.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        # No point of a step that is not in there is as late as this.
        self._floor = 0
        self._latest = 0
        self._most = _MOST

    def time_of(self, step: int) -> int:
        """Give the time of a point that is logged now, in milliseconds since 1970.

        Args:
            step: The point's step.
        """
        now = time.time_ns() // 1_000_000
        if now > self._latest:
            # Whatever was given away lies in the past: a loop that runs for days must not fill the memory.
            self._next.clear()
            self._floor = now
        given = max(now, self._next.get(step, self._floor))
        self._next[step] = given + 1
        self._latest = max(self._latest, given)
        if len(self._next) > self._most:
            self._next = {step: free for step, free in self._next.items() if free > now}
            self._floor = max(self._floor, now)
            self._most = max(_MOST, 2 * len(self._next))
        return given

    @property
    def is_ahead(self) -> bool:
        """Whether it has given times that are still to come: a point that is logged later must not be before them."""
        return self._latest >= time.time_ns() // 1_000_000
