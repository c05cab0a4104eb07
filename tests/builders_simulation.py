"""Prices and orders for tests of the simulated engine."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from builders_bars import MINUTE, T0, OneBar
from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, PromotedOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from petrosa_cio.apps.nurse.happenings import Happening
    from petrosa_cio.apps.nurse.models import Side

MS = 1_000_000
Candle = tuple[float, float, float, float]
"""Open, high, low, close."""


class Told:
    """Bars that were told, of any symbols; more can be told later."""

    def __init__(self, *bars: OneBar) -> None:
        self.bars = list(bars)

    def closed(self, symbol: str, after_ms: int, upto_ms: int) -> Iterator[OneBar]:
        return (one for one in self.bars if one.symbol == symbol and after_ms < one.close_time_ms <= upto_ms)

    def last_closed(self, symbol: str, at_ms: int) -> OneBar | None:
        found = [one for one in self.bars if one.symbol == symbol and one.close_time_ms <= at_ms]
        return found[-1] if found else None


def candles(*prices: Candle, symbol: str = "ETHUSDT", minutes: int = 15) -> list[OneBar]:
    """Bars with these prices, one after another from T0 on, and one before it, still at the first open."""
    length, first = minutes * MINUTE, prices[0][0]
    return [
        OneBar(symbol, T0 + n * length, T0 + (n + 1) * length - 1, *price, 10.0)
        for n, price in enumerate([(first, first, first, first), *prices], start=-1)
    ]


def instant(minutes: float) -> int:
    """So many minutes after T0."""
    return (T0 + round(minutes * MINUTE)) * MS


def order(
    minutes: float,
    side: Side | None,
    quantity: str | None = "2",
    *,
    strategy: str = "a",
    symbol: str = "ETHUSDT",
    stop: str | None = None,
    target: str | None = None,
    price: str = "100",
    notional: str | None = None,
) -> PromotedOrder:
    """An order decided so many minutes after T0; its decision is named after strategy and time."""
    return PromotedOrder(
        decision_id=f"{strategy}{minutes:g}",
        strategy_id=strategy,
        symbol=symbol,
        side=side,
        at=instant(minutes),
        price=Decimal(price),
        leverage=Decimal(3),
        quantity=None if quantity is None else Decimal(quantity),
        notional=None if notional is None else Decimal(notional),
        stop=None if stop is None else Decimal(stop),
        target=None if target is None else Decimal(target),
    )


def executions(told: Iterable[Happening]) -> list[Execution]:
    return [one for one in told if isinstance(one, Execution)]


def reports(told: Iterable[Happening]) -> list[AccountReport]:
    return [one for one in told if isinstance(one, AccountReport)]


def at_of(one: Happening) -> int:
    """When it happened, or of when it is."""
    return one.at if isinstance(one, Execution) else one.as_of


def minute_of(one: Happening) -> float:
    """The same, in minutes after T0; what is known at a bar's close counts as of the minute that begins then."""
    return (at_of(one) // MS + 1 - T0) / MINUTE


def last(told: Sequence[Happening]) -> AccountReport:
    """The last report."""
    return reports(told)[-1]
