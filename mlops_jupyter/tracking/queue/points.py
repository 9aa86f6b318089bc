"""The times of a metric's points: MLflow keeps one of two points that are equal in time, step and value."""

from __future__ import annotations

import time

# More than fall into a millisecond: past this, what the clock has gone past is looked for one by one.
_MOST = 4096


class Times:
    """Gives each point of one metric in one run a time of its own.

    Only points of the same step and value can be taken for one another, so only those are moved, to the next free
    millisecond.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[int, float | None], int] = {}
        self._latest = 0
        self._most = _MOST

    def time_of(self, value: float, step: int) -> int:
        """Give the time of a point that is logged now, in milliseconds since 1970.

        Args:
            value: The point's number.
            step: Its step.
        """
        now = time.time_ns() // 1_000_000
        if now > self._latest:
            # Whatever was given away lies in the past: a loop that runs for days must not fill the memory.
            self._next.clear()
        point = (step, value if value == value else None)
        given = max(now, self._next.get(point, 0))
        self._next[point] = given + 1
        self._latest = max(self._latest, given)
        if len(self._next) > self._most:
            self._next = {point: free for point, free in self._next.items() if free > now}
            self._most = max(_MOST, 2 * len(self._next))
        return given
