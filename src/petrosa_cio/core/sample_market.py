"""The market of `up` told as the fleet's socket client tells it, so that what is known of it comes by the real way.

Each bar that the sample strategies see is told as the events that an exchange would have sent (fleet facts §8): last
price with the best bid and ask, mark price with funding, and where bars are of a whole number of minutes, the bar.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from petrosa_cio.core.samples import Candle

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBJECT = "binance.futures.websocket.data"

_HALF_SPREAD = 0.00005
"""An invented book: half a basis point on either side of the last price; BTCUSDT usually shows less."""
_DEPTH = "25"
_FUNDING_RATE = "0.00010000"
"""Binance's interest component, the rate of a calm market."""
_FUNDING_MS = 8 * 3_600_000
_MINUTE_MS = 60_000


class Bar(Candle, Protocol):
    """A bar with all that the exchange tells of it."""

    @property
    def open(self) -> float:
        """First price."""

    @property
    def volume(self) -> float:
        """What was traded, base asset."""


def events(bar: Bar, now_ms: int) -> Iterator[bytes]:
    """Envelopes that tell of ``bar`` as it stands at ``now_ms``."""
    symbol, close = bar.symbol, bar.close
    yield _envelope(
        f"{symbol.lower()}@ticker",
        {
            "e": "24hrTicker",
            "E": now_ms,
            "s": symbol,
            "c": _text(close),
            "b": _text(close * (1 - _HALF_SPREAD)),
            "B": _DEPTH,
            "a": _text(close * (1 + _HALF_SPREAD)),
            "A": _DEPTH,
        },
    )
    yield _envelope(
        f"{symbol.lower()}@markPrice@1s",
        {
            "e": "markPriceUpdate",
            "E": now_ms,
            "s": symbol,
            "p": _text(close),
            "i": _text(close),
            "P": _text(close),
            "r": _FUNDING_RATE,
            "T": (now_ms // _FUNDING_MS + 1) * _FUNDING_MS,
        },
    )
    if (bar.close_time_ms + 1 - bar.open_time_ms) == _MINUTE_MS and bar.open_time_ms % _MINUTE_MS == 0:
        yield _envelope(f"{symbol.lower()}@kline", _kline(bar, now_ms))


def _kline(bar: Bar, now_ms: int) -> dict[str, object]:
    return {
        "e": "kline",
        "E": max(now_ms, bar.open_time_ms),
        "s": bar.symbol,
        "k": {
            "t": bar.open_time_ms,
            "T": bar.close_time_ms,
            "s": bar.symbol,
            "i": "1m",
            "o": _text(bar.open),
            "h": _text(bar.high),
            "l": _text(bar.low),
            "c": _text(bar.close),
            "v": _text(bar.volume),
            "x": bar.close_time_ms < now_ms,
        },
    }


def _envelope(stream: str, event: dict[str, object]) -> bytes:
    body = {"stream": stream, "data": event, "source": "petrosa-cio-sample", "version": "1.0"}
    return json.dumps(body, separators=(",", ":")).encode()


def _text(number: float) -> str:
    """As the exchange writes figures: decimal text without an exponent, eight digits after the point at most."""
    return f"{number:.8f}".rstrip("0").rstrip(".")
