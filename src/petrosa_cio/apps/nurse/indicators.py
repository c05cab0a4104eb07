"""Indicators, each a step from what was known to what is known, with the source of its formula.

Floating point: they are estimates. What is compared with a limit is rounded first (`regime`). Nothing here grows with
the number of bars.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY_MS: int = 86_400_000


def variance_step(variance: float | None, log_return: float, elapsed_ms: int, weight: float) -> float:
    """EWMA variance of returns, per day, after one more return over ``elapsed_ms``.

    RiskMetrics Technical Document (J.P. Morgan/Reuters, 4th ed. 1996, §5.2): v' = w v + (1 - w) r², with mean zero.
    ``weight`` is the w of this step; the squared return is scaled to a day (variance grows with time), so that bars of
    any length and gaps between them can be mixed. Without a ``variance`` the first return is its own estimate.
    """
    daily = log_return * log_return * (DAY_MS / elapsed_ms)
    return daily if variance is None else weight * variance + (1.0 - weight) * daily


def weight_of(decay: float, elapsed_ms: int, step_ms: int) -> float:
    """Weight that the past keeps after ``elapsed_ms``, where it keeps ``decay`` after ``step_ms``."""
    return math.pow(decay, elapsed_ms / step_ms)


def true_range(high: float, low: float, previous_close: float) -> float:
    """Wilder's true range: the widest of high - low, |high - previous close|, |low - previous close|.

    J. Welles Wilder, New Concepts in Technical Trading Systems (1978), ch. III. Quote currency.
    """
    return max(high, previous_close) - min(low, previous_close)


def wilder_step(average: float | None, value: float, length: int) -> float:
    """Wilder's running average: ((length - 1) a + x) / length. Same source; starts with the first value."""
    return value if average is None else average + (value - average) / length


def path_of(closes: Sequence[float]) -> float:
    """Sum of the single moves of ``closes``, whatever their direction."""
    return math.fsum(abs(after - before) for before, after in pairwise(closes))


def efficiency_ratio(first: float, last: float, path: float) -> float:
    """Kaufman's efficiency ratio: net move / sum of single moves, 0 (no direction) to 1 (a straight line).

    Perry J. Kaufman, Smarter Trading (1995), the ratio inside his adaptive moving average. 0 where nothing moved. Of a
    random walk of n moves about 1 / sqrt(n) is to be expected.
    """
    # Rounding can leave the net move of a straight line a hair above its path.
    return min(1.0, abs(last - first) / path) if path > 0.0 else 0.0


def drawdown(close: float, high: float) -> float:
    """How far ``close`` lies below ``high``, as a fraction of it; 0 where it does not."""
    return max(0.0, 1.0 - close / high)


class Ranked(NamedTuple):
    """A trailing window of samples, also in order of size. Immutable; adding one gives a new window."""

    recent: tuple[float, ...] = ()
    """In order of time."""
    ranked: tuple[float, ...] = ()
    """The same, in order of size."""

    def add(self, sample: float, length: int) -> Ranked:
        """The window of the last ``length`` samples, ``sample`` the newest."""
        recent = (*self.recent, sample)[-length:]
        ranked = list(self.ranked)
        insort(ranked, sample)
        for gone in self.recent[: len(self.recent) + 1 - len(recent)]:
            del ranked[bisect_left(ranked, gone)]
        return Ranked(recent, tuple(ranked))

    @property
    def median(self) -> float:
        """The middle sample; of an even number the mean of the middle two. The window must not be empty."""
        count = len(self.ranked)
        return (self.ranked[(count - 1) // 2] + self.ranked[count // 2]) / 2.0

    def percentile(self, value: float) -> float:
        """Share of the samples that are not above ``value``, 0..1. The window must not be empty."""
        return bisect_right(self.ranked, value) / len(self.ranked)
