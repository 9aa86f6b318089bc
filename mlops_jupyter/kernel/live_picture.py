"""What is seen of a run that goes on: the points of its metrics, kept short, and the blocks that show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_jupyter.charts import lines, lines_in_words
from mlops_jupyter.display import Block, Grid, Note, Picture, Shown, seconds_text
from mlops_jupyter.scales import Point, thinned

#: How many metrics are drawn, and of how many the last value is shown, while a run goes on.
MOST_CHARTS, MOST_VALUES = 4, 8
#: The size of a curve, live and after: two stand side by side in a notebook.
CHART = {"width": 380, "height": 160}
# Of more metrics than these nothing is kept: the picture of the run's end is made from the store.
_MOST_METRICS = 200
_MOST_POINTS = 1000
_MOST_DRAWN = 200
_LONGEST_NAME = 120


class LiveCurve:
    """The points of one metric so far, short however many there are."""

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self._points: list[Point] = []
        self._step: int | None = None
        self._has_steps = False

    def add(self, step: int, value: float) -> None:
        """Take a point; where all have the same step, what counts is their order."""
        if self._step is None:
            self._step = step
        elif step != self._step and not self._has_steps:
            self._has_steps = True
            self._points = [(self._step, known) for _, known in self._points]
        self._points.append((step if self._has_steps else self.count, value))
        self.count += 1
        self.last = value
        if len(self._points) > 2 * _MOST_POINTS:
            self._points = thinned(self._points, _MOST_POINTS)

    def picture(self, name: str, run: str) -> Picture:
        """Draw it."""
        across = "step" if self._has_steps else "point"
        series = {run: thinned(self._points, _MOST_DRAWN)}
        return Picture(lines(series, name, across=across, **CHART), lines_in_words(series, name, across=across))


class LiveCurves:
    """The metrics of a run that goes on.

    Args:
        run: What the run is called.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._curves: dict[str, LiveCurve] = {}

    def add(self, points: Iterable[tuple[str, int, float]]) -> None:
        """Take points, each a metric, a step and a number."""
        for name, step, value in points:
            curve = self._curves.get(name)
            if curve is None:
                if len(self._curves) >= _MOST_METRICS:
                    continue
                curve = self._curves[name] = LiveCurve()
            curve.add(step, value)

    def liveliest(self) -> list[str]:
        """Give the metrics' names, those with the most points first; what the machine does comes last.

        Metrics that are logged side by side differ by a point now and then, and must not take turns.
        """
        return sorted(
            self._curves, key=lambda name: (name.startswith("system/"), -self._curves[name].count.bit_length())
        )

    def pictures(self) -> list[Block]:
        """Draw the curves of the liveliest metrics."""
        return [self._curves[name].picture(name, self._run) for name in self._drawn()]

    def _drawn(self) -> list[str]:
        return sorted([name for name in self.liveliest() if self._curves[name].count > 1][:MOST_CHARTS])

    def blocks(self) -> list[Block]:
        """Give the last values, and the curves of the liveliest metrics."""
        if not self._curves:
            return []
        valued = set(self.liveliest()[:MOST_VALUES])
        values = {name: curve.last for name, curve in self._curves.items() if name in valued}
        more = len(self._curves) - len({*valued, *self._drawn()})
        blocks: list[Block] = [Grid({name: name for name in values}, [values]), *self.pictures()]
        return [*blocks, Note(f"{more} more metrics are not shown until the run ends")] if more else blocks


@dataclass(frozen=True, repr=False)
class Part(Shown):
    """A few blocks that are shown by themselves."""

    parts: Sequence[Block]

    def to_json(self) -> Any:
        """Give nothing: it is for people only."""
        return {}

    def blocks(self) -> Sequence[Block]:
        """Give the blocks."""
        return self.parts


@dataclass
class LivePicture:
    """A run that goes on, as it is now.

    Args:
        name: The run's name.
        run_id: Its id.
        begun: When it began, as people here read it.
    """

    name: str
    run_id: str
    begun: str
    #: How long it has gone on; None while no cell runs.
    seconds: float | None = None
    cells: int = 1
    #: How many entries the store does not have yet; None where nobody has counted them.
    waiting: int | None = 0
    is_away: bool = False

    def __post_init__(self) -> None:
        """Begin without any point."""
        self.curves = LiveCurves(self.name)

    def head(self) -> list[Block]:
        """Say which run it is, how long it takes, how many cells it has, and what waits for the store."""
        name = self.name if len(self.name) <= _LONGEST_NAME else self.name[: _LONGEST_NAME - 1] + "…"
        goes_on = f"for {_whole(self.seconds)}" if self.seconds is not None else f"since {self.begun}"
        cells = f"{self.cells} cell{'s' if self.cells != 1 else ''}"
        backlog = f", backlog {self.waiting}" if self.waiting is not None else ""
        blocks: list[Block] = [Note(f"run {name} ({self.run_id[:8]}) RUNNING {goes_on}, {cells}{backlog}")]
        if self.is_away:
            count = f"{self.waiting} " if self.waiting is not None else ""
            text = f"the tracking store is away; {count}logged entries wait for it, and are safe"
            blocks.append(Note(text, "bad"))
        return blocks

    def saved(self, at: str) -> Shown:
        """Give what a notebook shows that was saved while the run went on, or whose kernel died.

        Args:
            at: The time, as people here read it.
        """
        return Part([*self.head(), *self.curves.blocks(), Note(f"as of {at}; the run went on after that")])


def _whole(seconds: float) -> str:
    # It changes once a second; tenths would only be noise.
    return f"{seconds:.0f} s" if seconds < 10 else seconds_text(seconds)
