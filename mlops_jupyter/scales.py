"""From numbers to places on an axis: ranges, round ticks, and long series made short without losing their spikes."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Scale:
    """An axis of numbers.

    Args:
        low: The smallest of them.
        high: The largest, which is larger.
        is_log: Whether equal distances are equal ratios; both ends are positive then.
        is_whole: Whether there is nothing between whole numbers.
    """

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    @classmethod
    def of(cls, values: Iterable[float], *, decades: float = math.inf) -> Scale:
        """Make the scale on which all of these numbers lie.

        Args:
            values: The numbers; those that are not finite are left out.
            decades: Take logarithms where all are positive and span more decades than this.
        """
        finite = [value for value in values if math.isfinite(value)]
        low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
        is_whole = all(value == int(value) for value in finite)
        if low > 0 and math.log10(high) - math.log10(low) > decades:
            return cls(low, high, is_log=True)
        if low == high:
            around = max(0.5 if is_whole and abs(low) < 1e6 else abs(low) / 10, math.ulp(low))
            low, high = max(low - around, -_LARGEST), min(high + around, _LARGEST)
        return cls(low, high, is_whole=is_whole)

    def at(self, value: float) -> float:
        """Give the place of a number of the range: 0 at the low end, 1 at the high one."""
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        # Of the largest numbers the difference is none any more, nor of the smallest.
        unit = max(abs(low), abs(high))
        low, high, value = low / unit, high / unit, value / unit
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Give a few round numbers of the range, with what to write beside them."""
        if self.is_log:
            return self._decades(most)
        step = _round_step(self.high / most - self.low / most)
        if self.is_whole:
            step = max(step, 1.0)
        if not 0 < step < math.inf:
            return [(self.low, f"{self.low:.2g}"), (self.high, f"{self.high:.2g}")]
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        values = sorted({number * step for number in numbers if self.low <= number * step <= self.high})
        return [(value, _label(value, step, max(map(abs, values)))) for value in values]

    def _decades(self, most: int) -> list[tuple[float, str]]:
        powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
        kept = powers[:: math.ceil(len(powers) / most)]
        values = [value for value in (10.0**power for power in kept) if self.low <= value <= self.high]
        return [(value, f"{value:g}" if 1e-3 <= value < 1e4 else f"1e{math.log10(value):.0f}") for value in values]


def _round_step(least: float) -> float:
    """Give the smallest of 1, 2, 5, 10, 20 … that is not well below; 0 or infinite where there is none."""
    if not 0 < least < math.inf:
        return 0.0
    power = 10.0 ** math.floor(math.log10(least))
    return next((times * power for times in (1, 2, 5, 10) if times * power >= least * 0.8), 0.0)


def _label(value: float, step: float, largest: float) -> str:
    """Write a tick so that it differs from its neighbours, and is as short as that allows."""
    if 1e4 <= largest < 1e13 and step >= 1:
        unit, sign = next(((u, s) for u, s in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if largest >= u), (1.0, ""))
        places = max(0, -math.floor(math.log10(step / unit) + 1e-9))
        return f"{value / unit:.{places}f}{sign}" if value else "0"
    if 1e-3 <= largest < 1e4 and step >= 9e-8:
        return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    places = min(max(0, math.floor(math.log10(largest or step)) - math.floor(math.log10(step) + 1e-9)), 16)
    mantissa, _, power = f"{value:.{places}e}".partition("e")
    return f"{mantissa}e{int(power)}" if value else "0"


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Make a series short: of each stretch its lowest and its highest point stay, and of gaps one that says so.

    Args:
        points: In order of the first number; a second one that is not finite is a gap.
        most: How many points to keep at the most; 5 or more.

    Returns:
        The points that stay, both ends and both extremes among them; all, where there are no more than that.
    """
    if len(points) <= most:
        return list(points)
    has_gaps = any(not math.isfinite(point[1]) for point in points)
    stretches = (most - 2) // (3 if has_gaps else 2)
    kept = {0, len(points) - 1}
    for number in range(stretches):
        stretch = range(number * len(points) // stretches, (number + 1) * len(points) // stretches)
        finite = [at for at in stretch if math.isfinite(points[at][1])]
        if finite:
            kept |= {min(finite, key=lambda at: points[at][1]), max(finite, key=lambda at: points[at][1])}
        kept.update([at for at in stretch if not math.isfinite(points[at][1])][:1] if has_gaps else ())
    return [points[at] for at in sorted(kept)]
