"""What is seen of a market, one observation at a time, before it becomes a fact. Plain values for `market_book`.

Every observation has two times: ``at``, the exchange's, and ``received``, our clock's. Units as in `models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from decimal import Decimal

    from petrosa_cio.apps.nurse.facts import Bracket, Instant


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade, or (``quantity`` None) word of the last price without a trade of its own."""

    symbol: str
    at: Instant
    received: Instant
    price: Decimal
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Quoted:
    """Best bid and ask, with what stands there."""

    symbol: str
    at: Instant
    received: Instant
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal


@dataclass(frozen=True, slots=True)
class Marked:
    """Mark price, and the funding that comes with it where the symbol has any."""

    symbol: str
    at: Instant
    received: Instant
    mark: Decimal
    index: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Candle:
    """A bar as a `bars.Bar` (prices in quote currency, volume in base asset, times in ms, both inclusive).

    ``closed`` says whether the exchange calls it finished; until then it comes again and again.
    """

    symbol: str
    at: Instant
    received: Instant
    open_time_ms: int
    close_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Ruled:
    """What the exchange says of a symbol: whether it trades, and its filters. None: it does not say.

    Rules are read now and then, so they age like bars: from when the next reading was due, ``due``.
    """

    symbol: str
    at: Instant
    received: Instant
    due: Instant
    status: str
    contract_type: str | None = None
    step_size: Decimal | None = None
    tick_size: Decimal | None = None
    min_notional: Decimal | None = None
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    brackets: tuple[Bracket, ...] | None = None


Observation: TypeAlias = "Traded | Quoted | Marked | Candle | Ruled"
