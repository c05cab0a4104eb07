"""Positions of a shadow ledger for tests of the figures that are made of them."""

from __future__ import annotations

from decimal import Decimal

from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Shadow, Tracked
from petrosa_cio.apps.nurse.facts import Instant, Side

DAY = 86_400 * 1_000_000_000
MONDAY = 20_003 * DAY
"""2024-10-07: 2,857 weeks after Monday, 1970-01-05, which was day 4."""


def shadow(
    name: str,
    gross: str | Decimal = "0",
    fees: str | Decimal = "0",
    funding: str | Decimal = "0",
    *,
    tracked: Tracked = Tracked.BLOCKED,
    at: Instant = MONDAY,
    outcome: Outcome | None = None,
    episode: str | None = None,
    strategy_id: str = "momo",
    symbol: str = "BTCUSDT",
    reasons: tuple[str, ...] = ("REGIME",),
    regime: str | None = "normal",
    price_source: PriceSource = PriceSource.BOOK,
    repeats: int = 0,
    quantity: str = "1",
    entry: str | None = "100",
    low: str | None = None,
    high: str | None = None,
    data_gap: bool = False,
) -> Shadow:
    """A position with its parts; the result is what they come to."""
    move, cost, paid = Decimal(gross), Decimal(fees), Decimal(funding)
    return Shadow(
        decision_id=name,
        tracked=tracked,
        strategy_id=strategy_id,
        symbol=symbol,
        side=Side.LONG,
        reasons=() if tracked is Tracked.PROMOTED else reasons,
        regime=regime,
        episode=episode or name,
        repeats=repeats,
        decided_at=at,
        outcome=outcome or (Outcome.TARGET if move > 0 else Outcome.STOP),
        price_source=price_source,
        quantity=Decimal(quantity),
        entry=None if entry is None else Decimal(entry),
        gross=move,
        fees=cost,
        funding=paid,
        result=move - cost + paid,
        low=None if low is None else Decimal(low),
        high=None if high is None else Decimal(high),
        data_gap=data_gap,
    )
