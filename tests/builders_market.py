"""Observations and events of a market for tests: of 2023-11-15T00:00:00Z and after, seen at once unless said."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from builders_bars import MINUTE, T0, OneBar
from petrosa_cio.apps.nurse.observations import Candle, Marked, Quoted, Ruled, Traded

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import Instant

SYMBOL = "BTCUSDT"
MS = 1_000_000
SECOND = 1000 * MS
START: Instant = T0 * MS


def at(seconds: float) -> Instant:
    """So many seconds after `START`."""
    return START + round(seconds * SECOND)


def traded(seconds: float, price: str, quantity: str | None = "1", *, symbol: str = SYMBOL, late: float = 0) -> Traded:
    amount = None if quantity is None else Decimal(quantity)
    return Traded(symbol, at(seconds), at(seconds + late), Decimal(price), amount)


def quoted(seconds: float, bid: str = "99", ask: str = "101", *, late: float = 0) -> Quoted:
    return Quoted(SYMBOL, at(seconds), at(seconds + late), Decimal(bid), Decimal(2), Decimal(ask), Decimal(3))


def marked(seconds: float, mark: str = "100", *, late: float = 0, rate: str | None = "0.0001") -> Marked:
    return Marked(
        SYMBOL, at(seconds), at(seconds + late), Decimal(mark), Decimal("99.9"),
        None if rate is None else Decimal(rate), None if rate is None else at(8 * 3600),
    )  # fmt: skip


def candle(bar: OneBar, *, symbol: str = SYMBOL, closed: bool = True, received: Instant | None = None) -> Candle:
    """A bar that was told the moment it closed."""
    told = (bar.close_time_ms + 1) * MS
    return Candle(
        symbol, told, told if received is None else received, bar.open_time_ms, bar.close_time_ms,
        bar.open, bar.high, bar.low, bar.close, bar.volume, closed,
    )  # fmt: skip


def ruled(seconds: float, due: float) -> Ruled:
    return Ruled(
        SYMBOL, at(seconds), at(seconds), at(due), "TRADING", "PERPETUAL",
        Decimal("0.001"), Decimal("0.1"), Decimal(50), Decimal("0.001"), Decimal(120),
    )  # fmt: skip


# -- events, as the exchange writes them -------------------------------------------------------------------------------


def envelope(event: dict[str, object], stream: str = "") -> bytes:
    """As the fleet's socket client publishes an event."""
    return json.dumps(
        {
            "stream": stream or f"{str(event.get('s', '')).lower()}@{event.get('e')}",
            "data": event,
            "timestamp": "2023-11-15T00:00:00.103629Z",
            "message_id": "7d3d6f0a-7a59-4d52-a7c3-2f2f1e3a8f11",
            "source": "binance-websocket",
            "version": "1.0",
            "_otel_trace_context": {},
        }
    ).encode()


def kline_event(
    minute: int, close: str = "100.5", *, now_ms: int | None = None, **changed: object
) -> dict[str, object]:
    """The closed bar of that minute after T0, told a moment after its close; ``changed`` are fields of the bar."""
    opened = T0 + minute * MINUTE
    bar: dict[str, object] = {
        "t": opened, "T": opened + MINUTE - 1, "s": SYMBOL, "i": "1m", "f": 1, "L": 99, "o": "100.0", "c": close,
        "h": "101.0", "l": "99.5", "v": "12.5", "n": 99, "x": True, "q": "1250.0", "V": "6", "Q": "600",
    }  # fmt: skip
    told = opened + MINUTE + 20 if now_ms is None else now_ms
    return {"e": "kline", "E": told, "s": SYMBOL, "k": bar | changed}


def mark_event(time_ms: int, mark: str = "100.2", **changed: object) -> dict[str, object]:
    return {
        "e": "markPriceUpdate", "E": time_ms, "s": SYMBOL, "p": mark, "i": "100.1", "P": "100.15", "r": "0.00010000",
        "T": time_ms // 28_800_000 * 28_800_000 + 28_800_000, **changed,
    }  # fmt: skip


def quote_event(time_ms: int, bid: str = "100.1", ask: str = "100.3", **changed: object) -> dict[str, object]:
    return {
        "e": "bookTicker", "u": 1, "s": SYMBOL, "b": bid, "B": "2.5", "a": ask, "A": "3.5", "T": time_ms,
        "E": time_ms, **changed,
    }  # fmt: skip


def trade_event(time_ms: int, price: str = "100.25", **changed: object) -> dict[str, object]:
    return {
        "e": "trade", "E": time_ms, "s": SYMBOL, "t": 12345, "p": price, "q": "0.010", "b": 88, "a": 50, "T": time_ms,
        "m": True, "M": True, **changed,
    }  # fmt: skip
