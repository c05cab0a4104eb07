"""Which symbols move together: the correlation of their closes over the last day, pair by pair.

Closes are compared at every quarter of an hour: often enough for a hundred of them a day, seldom enough that trades
which are not quite simultaneous do not hide what moves together. A pair of which too little is known counts as moving
together, as unrelated coins of one exchange usually do; so an exposure is rather taken for larger than it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.bars import interval_of

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.bars import Bar

STEP_MS = 15 * 60_000
STEPS = 96
"""Moves that are compared, at most: a day of them."""
LEAST_STEPS = 32
"""Moves in common without which nothing is said of a pair: the standard error of a correlation of 0 is then 0.18."""
TOGETHER = 0.7
"""Correlation from which two symbols count as one risk: half of the variance of the one is then that of the other."""


class Comovement:
    """Closes of the last day of each symbol, and the groups that come of them. Bounded for each symbol."""

    def __init__(self) -> None:
        self._closes: dict[str, dict[int, float]] = {}
        self._groups: dict[str, tuple[str, ...]] = {}

    def take(self, bar: Bar) -> None:
        """Take a closed, sound bar; of the bars of one step the last counts. A longer bar is a step of its own."""
        closes = self._closes.setdefault(bar.symbol, {})
        step = bar.close_time_ms // max(STEP_MS, interval_of(bar))
        if not closes or step > next(reversed(closes)):
            self._groups.clear()  # the step before is complete now
        elif step not in closes:
            return
        closes[step] = bar.close
        while len(closes) > STEPS + 2:
            del closes[next(iter(closes))]

    def forget(self, symbol: str) -> None:
        """Forget the closes of ``symbol``."""
        self._closes.pop(symbol, None)
        self._groups.clear()

    def group(self, symbol: str) -> tuple[str, ...]:
        """The other symbols that move together with ``symbol``, by name."""
        if symbol not in self._groups:
            own = moves(self._closes.get(symbol, {}))
            others = sorted(self._closes.keys() - {symbol})
            self._groups[symbol] = tuple(name for name in others if _together(own, moves(self._closes[name])))
        return self._groups[symbol]


def moves(closes: dict[int, float]) -> dict[int, float]:
    """Logarithmic move of each step whose predecessor is known; the newest step is not over yet and left out."""
    steps = list(closes)[:-1]
    return {step: math.log(closes[step] / closes[step - 1]) for step in steps if step - 1 in closes}


def correlation(left: dict[int, float], right: dict[int, float]) -> float | None:
    """Pearson's correlation of the moves in common, the latest `STEPS` of them; None where they say nothing."""
    common = sorted(left.keys() & right.keys())[-STEPS:]
    if len(common) < LEAST_STEPS:
        return None
    ours, theirs = [left[step] for step in common], [right[step] for step in common]
    mean, other_mean = sum(ours) / len(ours), sum(theirs) / len(theirs)
    spread = sum((move - mean) ** 2 for move in ours) * sum((move - other_mean) ** 2 for move in theirs)
    if not spread > 0.0:
        return None  # one of the two did not move at all
    together = sum((a - mean) * (b - other_mean) for a, b in zip(ours, theirs, strict=True))
    return together / math.sqrt(spread)


def _together(left: dict[int, float], right: dict[int, float]) -> bool:
    found = correlation(left, right)
    return found is None or found >= TOGETHER
