"""Bars for tests: single ones, series with prices given, and seeded walks."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MINUTE = 60_000
T0 = 1_700_006_400_000
"""2023-11-15T00:00:00Z, ms: the beginning of a day, and so of a sample of the guard."""


@dataclass(frozen=True, slots=True)
class OneBar:
    """A closed bar, of the same fields as the exchange's."""

    symbol: str
    open_time_ms: int
    close_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def bar(number: int, close: float, opened: float | None = None, *, minutes: int = 5, wick: float = 0.0) -> OneBar:
    """The bar of that number after T0; its range reaches ``wick`` beyond open and close."""
    start = T0 + number * minutes * MINUTE
    first = close if opened is None else opened
    high, low = max(first, close) + wick, min(first, close) - wick
    return OneBar("ETHUSDT", start, start + minutes * MINUTE - 1, first, high, low, close, 10.0)


def series(closes: Sequence[float], *, minutes: int = 5, start: int = 0) -> list[OneBar]:
    """Bars with these closes, each opening at the close before it."""
    opens = [closes[0], *closes]
    return [
        bar(start + place, close, opens[place], minutes=minutes, wick=close * 1e-5)
        for place, close in enumerate(closes)
    ]


def walk(
    seed: int, count: int, *, daily: float, minutes: int = 5, price: float = 100.0, start: int = 0
) -> list[OneBar]:
    """A random walk whose standard deviation over a day is ``daily``, as a fraction."""
    chance = random.Random(seed)
    deviation = daily * math.sqrt(minutes / 1440)
    closes = []
    for _ in range(count):
        price *= math.exp(chance.gauss(0.0, deviation))
        closes.append(price)
    return series(closes, minutes=minutes, start=start)


def slide(bars: Sequence[OneBar], seed: int, count: int, *, fall: float, minutes: int) -> list[OneBar]:
    """``bars`` and then a fall by that fraction in ``count`` bars, with noise around its straight line."""
    chance = random.Random(seed)
    last = bars[-1].close
    step = math.log(1.0 - fall) / count
    closes = [last * math.exp(step * (n + 1) + chance.gauss(0.0, abs(step))) for n in range(count - 1)]
    return [*bars, *series([last, *closes, last * (1.0 - fall)], minutes=minutes, start=len(bars) - 1)[1:]]


def renamed(bars: Iterable[OneBar], symbol: str) -> list[OneBar]:
    """The same bars of another symbol."""
    return [replace(one, symbol=symbol) for one in bars]
