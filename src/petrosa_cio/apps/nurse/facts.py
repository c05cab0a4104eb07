"""The facts a judgement may stand on besides the intent: what is known of the market, and of the account.

Plain values, stated by feeds; nothing is worked out here. Every figure is optional: None says that it is not known,
and an empty tuple that there is none. What a figure is worth (fresh, finite, plausible) is judged by `soundness`.

Units as in `models`: prices and notionals in quote currency, quantities in base asset, instants in whole microseconds
given as nanoseconds. Ratios are fractions (0.01 = 1 %) and say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from decimal import Decimal

Instant: TypeAlias = int
"""Nanoseconds since 1970-01-01T00:00:00Z."""


class Side(StrEnum):
    """Position side that an entry opens or enlarges."""

    LONG = "LONG"
    SHORT = "SHORT"


class Fact(StrEnum):
    """Facts that a policy may require (``required_facts``)."""

    BARS = "bars"
    MARK = "mark"
    BOOK = "book"
    FUNDING = "funding"
    ACCOUNT = "account"
    FILTERS = "filters"


MARKET_FACTS: frozenset[Fact] = frozenset({Fact.BARS, Fact.MARK, Fact.BOOK, Fact.FUNDING, Fact.FILTERS})
ACCOUNT_FACTS: frozenset[Fact] = frozenset({Fact.ACCOUNT})

TRADING = "TRADING"
"""Status of a symbol that the exchange trades; every other word means that it does not."""

UNKNOWN = "unknown"
"""Label of a regime that the guard could not tell. It is never taken for a good one."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """One step of a symbol's maintenance margin: what holds up to a notional of ``cap``.

    ``rate`` is a fraction of notional, ``deduction`` the amount that is taken off it (the exchange calls it ``cum``).
    Where the account's own brackets cannot be read, one bracket with the symbol's published maintenance margin is on
    the safe side.
    """

    cap: Decimal
    rate: Decimal
    deduction: Decimal


@dataclass(frozen=True, slots=True)
class MarketState:
    """What is known of one symbol's market. ``as_of`` says of when each known fact is; a missing key is an absence.

    The figures that follow a fact's name in `FIGURES` are of that fact, and as old as it. ``last`` is recorded with
    the mark; no control compares it.
    """

    symbol: str
    as_of: tuple[tuple[Fact, Instant], ...] = ()
    mark: Decimal | None = None
    last: Decimal | None = None
    bid: Decimal | None = None
    bid_quantity: Decimal | None = None
    ask: Decimal | None = None
    ask_quantity: Decimal | None = None
    funding_rate: Decimal | None = None
    """Fraction of notional that longs pay to shorts at ``next_funding_at``; negative where shorts pay."""
    next_funding_at: Instant | None = None
    status: str | None = None
    """The exchange's word: `TRADING`, ``SETTLING``, ...; ``UNKNOWN`` where it does not list the symbol."""
    contract_type: str | None = None
    step_size: Decimal | None = None
    tick_size: Decimal | None = None
    min_notional: Decimal | None = None
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    """Largest quantity of one order; of the two that the exchange has, the one for market orders."""
    brackets: tuple[Bracket, ...] | None = None
    """Maintenance margin, smallest cap first."""
    regime: str | None = None
    """Label of the regime guard, one of those that ``blocked_regimes`` accepts."""
    regime_confidence: Decimal | None = None
    """How sure the guard is, as a fraction."""
    volatility: Decimal | None = None
    """The guard's EWMA realised volatility: standard deviation of returns over one day, as a fraction of price."""
    correlated: tuple[str, ...] | None = None
    """Other symbols that move together with this one, by rolling correlation of their bars."""


@dataclass(frozen=True, slots=True)
class Position:
    """One open position, or one strategy's part of it. Quantity and notional are positive on either side."""

    symbol: str
    side: Side
    quantity: Decimal
    entry: Decimal
    """Average price it was entered at."""
    notional: Decimal
    """At the mark."""
    leverage: Decimal
    liquidation_price: Decimal | None = None
    """As the exchange tells it; None where it tells none."""
    strategy_id: str | None = None
    """Who opened it, where known. No control compares it."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order at the exchange, or a promoted signal that is not known to be filled, refused or expired."""

    symbol: str
    side: Side
    """LONG for a buy, SHORT for a sell."""
    quantity: Decimal
    """What is not filled yet."""
    notional: Decimal
    leverage: Decimal
    """Leverage that is set for its symbol."""
    reduce_only: bool = False
    """True for what can only close: stops, targets, exits."""


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """What one strategy has made since it began, realised and open, and the most it had ever made."""

    strategy_id: str
    result: Decimal
    peak: Decimal
    """At least 0, since every strategy begins there."""


@dataclass(frozen=True, slots=True)
class Streak:
    """What the closed trades of one scope of the policy (``global``, ``symbol:S``, ...) come to."""

    scope: str
    losses: int
    """How many of the latest lost, in a row."""
    stopped_at: Instant | None = None
    """When the last one was stopped out."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What is known of the account that a book trades on. ``as_of`` is of its oldest part; all is of one origin.

    A strategy or scope without an entry in ``strategies`` or ``streaks`` has closed no trade.
    """

    as_of: Instant
    equity: Decimal | None = None
    """Balance and unrealised profit."""
    day_start_equity: Decimal | None = None
    """Equity at 00:00 UTC."""
    peak_equity: Decimal | None = None
    realised_today: Decimal | None = None
    """Profit realised since 00:00 UTC, fees and funding included; negative for a loss."""
    open_today: Decimal | None = None
    """Change of unrealised profit since 00:00 UTC; negative for a loss."""
    positions: tuple[Position, ...] | None = None
    orders: tuple[OpenOrder, ...] | None = None
    strategies: tuple[StrategyResult, ...] | None = None
    streaks: tuple[Streak, ...] | None = None
