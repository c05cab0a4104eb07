"""Minute bars out of trades, for a feed that has trades and no bars of its own.

A minute is known when something of its symbol was seen in it, by the exchange's time. One with messages and no trade
is flat and has no volume, as the exchange itself would write it; one without any message is unknown, and left out: a
gap. The first minute, and the first after a gap, began before we listened, so they are left out too. What is lost
within a minute cannot be noticed: prefer the exchange's own bars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.observations import Candle

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.observations import Traded

MINUTE_MS = 60_000
_MS = 1_000_000


class Minutes:
    """The minute of one symbol that is being filled. Memory does not grow."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._minute = -1
        self._whole = False
        """Whether the minute was listened to from its beginning."""
        self._prices: tuple[float, float, float, float] | None = None
        """Open, high, low and close of its trades."""
        self._volume = 0.0
        self._last_close: float | None = None

    def seen(self, at: Instant, received: Instant) -> Candle | None:
        """Something of the symbol happened at ``at``: the minute before, if that ends it and it is known."""
        minute = at // _MS // MINUTE_MS
        if minute <= self._minute:
            return None
        ended = self._bar(at, received) if self._whole else None
        self._last_close = None if self._prices is None and not self._whole else self._close()
        self._whole = self._minute >= 0 and minute == self._minute + 1
        self._minute, self._prices, self._volume = minute, None, 0.0
        return ended

    def traded(self, trade: Traded) -> None:
        """Take a trade of the minute that `seen` was just told of; one of an earlier minute comes too late."""
        if trade.at // _MS // MINUTE_MS != self._minute or trade.quantity is None:
            return
        price = float(trade.price)
        first, high, low, _ = self._prices or (price, price, price, price)
        self._prices = (first, max(high, price), min(low, price), price)
        self._volume += float(trade.quantity)

    def _close(self) -> float | None:
        return self._last_close if self._prices is None else self._prices[3]

    def _bar(self, at: Instant, received: Instant) -> Candle | None:
        prices = self._prices
        if prices is None:
            if self._last_close is None:
                return None
            prices = (self._last_close,) * 4
        opened = self._minute * MINUTE_MS
        return Candle(self._symbol, at, received, opened, opened + MINUTE_MS - 1, *prices, self._volume)
