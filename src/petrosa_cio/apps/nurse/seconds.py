"""One-second bars out of prices as they are seen, for an account that is simulated on a live market.

A bar is there once a price of a later second was seen. Seconds without a price have no bar: whoever waits for the next
bar waits for the next price.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.observations import Candle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.nurse.facts import Instant

MOST_BARS = 900
"""Bars kept of each symbol: a quarter of an hour of seconds, far more than anybody looks back."""

_SECOND_MS = 1000
_MS = 1_000_000


class Seconds:
    """The latest bars of each symbol. Bounded; prices of an earlier second than the last come too late."""

    def __init__(self) -> None:
        self._bars: dict[str, deque[Candle]] = {}
        self._open: dict[str, tuple[int, float, float, float, float]] = {}
        """Of each symbol the second that is being filled, and its open, high, low and close."""

    def seen(self, symbol: str, at: Instant, price: float) -> None:
        """A price of ``symbol`` at ``at``."""
        second = at // _MS // _SECOND_MS
        filling = self._open.get(symbol)
        if filling is not None:
            last, opened, high, low, close = filling
            if second < last:
                return
            if second == last:
                self._open[symbol] = (last, opened, max(high, price), min(low, price), price)
                return
            opens = last * _SECOND_MS
            bar = Candle(symbol, at, at, opens, opens + _SECOND_MS - 1, opened, high, low, close, 0.0)
            self._bars.setdefault(symbol, deque(maxlen=MOST_BARS)).append(bar)
        self._open[symbol] = (second, price, price, price, price)

    def closed(self, symbol: str, after_ms: int, upto_ms: int) -> Iterable[Candle]:
        """The bars of ``symbol`` that closed after ``after_ms`` and by ``upto_ms``, in order."""
        return [bar for bar in self._bars.get(symbol, ()) if after_ms < bar.close_time_ms <= upto_ms]

    def last_closed(self, symbol: str, at_ms: int) -> Candle | None:
        """The last bar that had closed at ``at_ms``, or None where none had."""
        bars = self._bars.get(symbol, ())
        place = bisect_right(bars, at_ms, key=lambda bar: bar.close_time_ms)
        return bars[place - 1] if place else None
