"""Which symbols move together: rolling correlation of their returns. Pure, streaming, of bounded memory.

Closes are kept at the ends of equal steps of time, so bars of any length that divides a step can be mixed. What is said
is a function of the closes in the window alone: streaming and batch cannot differ.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import decimal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from petrosa_cio.apps.nurse.bars import Bar

LEAST_RETURNS = 20
"""Returns without which nothing is said of two symbols: of 20 the standard error of a correlation of 0.7 is 0.11."""


def correlation(ones: Sequence[float], others: Sequence[float]) -> float | None:
    """Pearson's product-moment correlation of two series of equal length, -1..1; None where one does not vary.

    Karl Pearson, Proceedings of the Royal Society 58 (1895): covariance over the product of standard deviations.
    """
    count = len(ones)
    if not count:
        return None
    one_mean, other_mean = math.fsum(ones) / count, math.fsum(others) / count
    one_apart, other_apart = [one - one_mean for one in ones], [other - other_mean for other in others]
    spread = math.sqrt(math.fsum(x * x for x in one_apart)) * math.sqrt(math.fsum(y * y for y in other_apart))
    if spread <= 0.0:
        return None
    covered = math.fsum(x * y for x, y in zip(one_apart, other_apart, strict=True))
    return max(-1.0, min(1.0, covered / spread))  # rounding can leave it a hair outside


class Correlations:
    """The last closes of many symbols, and how the symbols move together by them."""

    def __init__(self, step_ms: int, keep_ms: int) -> None:
        """Keep a close each ``step_ms``, for ``keep_ms``: the longest window that is asked for."""
        self.step_ms = step_ms
        self.steps = keep_ms // step_ms
        """How many steps are kept."""
        self._logs: dict[str, dict[int, float]] = {}
        """Of each symbol the logarithm of its close at the end of each step, by the number of the step."""
        self._found: dict[tuple[str, str, int], tuple[int | None, Decimal | None]] = {}
        """Of two symbols and a window what was found, and up to which step."""
        self._pairs: dict[str, set[tuple[str, str, int]]] = {}
        """Of each symbol what of it stands in ``_found``."""

    def fold(self, bar: Bar) -> bool:
        """Take one closed bar in, if it ends a step; whether it does. Bars of a symbol come in order."""
        step, inside = divmod(bar.close_time_ms + 1, self.step_ms)
        if inside or not 0.0 < bar.close < math.inf:
            return False
        logs = self._logs.setdefault(bar.symbol, {})
        if step <= max(logs, default=-1):
            return False
        logs[step] = math.log(bar.close)
        while next(iter(logs)) < step - self.steps:
            del logs[next(iter(logs))]
        self._found_no_more(bar.symbol)
        return True

    def forget(self, symbol: str) -> None:
        """Know nothing of ``symbol`` any more: its bars are told anew."""
        self._logs.pop(symbol, None)
        self._found_no_more(symbol)

    def _found_no_more(self, symbol: str) -> None:
        """What was found of ``symbol`` was of other closes. Pairs of other symbols stay: at the end of a step the bars
        of all come one after another, and between two of them somebody may ask."""
        for key in self._pairs.pop(symbol, ()):
            self._found.pop(key, None)

    def between(self, one: str, other: str, window_ms: int, at_ms: int) -> Decimal | None:
        """Correlation of the returns that two symbols had in common, six decimals; None where too little is known.

        The window ends at ``at_ms``; closes of later say nothing. Returns go from one step that both have to the next
        such step, so what is missing on one side is left out on both.
        """
        last = (at_ms + 1) // self.step_ms
        first, second = sorted((one, other))
        key = (first, second, window_ms)
        looked, figure = self._found.get(key, (None, None))
        if looked != last:
            figure = self._between(first, second, last - window_ms // self.step_ms, last)
            self._found[key] = last, figure
            self._pairs.setdefault(first, set()).add(key)
            self._pairs.setdefault(second, set()).add(key)
        return figure

    def _between(self, one: str, other: str, since: int, last: int) -> Decimal | None:
        ones, others = self._logs.get(one, {}), self._logs.get(other, {})
        common = [step for step in ones if since <= step <= last and step in others]
        if len(common) <= LEAST_RETURNS:
            return None
        moves = [(ones[after] - ones[before], others[after] - others[before]) for before, after in pairwise(common)]
        found = correlation([move[0] for move in moves], [move[1] for move in moves])
        return None if found is None else decimal_of(round(found, 6))

    def together(
        self, symbol: str, others: Iterable[str], window_ms: int, threshold: Decimal, at_ms: int
    ) -> tuple[str, ...]:
        """Those of ``others`` whose correlation with ``symbol`` is above ``threshold``, or not known; in their order.

        What cannot be told apart counts as one risk: missing facts refuse what adds risk.
        """
        found = ((other, self.between(symbol, other, window_ms, at_ms)) for other in others if other != symbol)
        return tuple(other for other, figure in found if figure is None or figure > threshold)
