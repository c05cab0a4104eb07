"""What became of an intent that was tracked: the words of the shadow ledger. Plain values, nothing worked out here.

Money and prices are in quote currency, quantities in base asset, all `decimal.Decimal`; instants as in `facts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from petrosa_cio.apps.nurse.facts import Instant, Side


class Tracked(StrEnum):
    """Why a position is tracked."""

    BLOCKED = "blocked"
    REDUCED = "reduced"
    """The part that a reduction took off."""
    PROMOTED = "promoted"
    """What went to the engine: its outcome is known elsewhere, so it measures the machine's own error."""


class PriceSource(StrEnum):
    """Where the entry price was taken from."""

    BOOK = "book"
    """The executable side: ask for a long, bid for a short."""
    MARK = "mark"
    """Mark price, and half the last known spread."""
    BAR = "bar"
    """Open of the first bar after the decision."""
    INTENT = "intent"
    """The intent's own price."""


class Outcome(StrEnum):
    """How it ended."""

    TARGET = "target"
    STOP = "stop"
    TIMEOUT = "timeout"
    LIQUIDATED = "liquidated"
    CLOSED_BY_STRATEGY = "closed_by_strategy"
    NOT_FILLED = "not_filled"
    """Its limit price was never traded through."""
    OPEN = "open"
    """Not over yet; marked to market, and never mixed into what is realised."""
    AMBIGUOUS = "ambiguous"
    """One bar touched two barriers: `Shadow.low` and `Shadow.high` are what either order would have made."""
    UNAVAILABLE = "unavailable"
    """The market is not known for long enough. Counted, never imputed."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """One tracked position, as the shadow ledger has it."""

    decision_id: str
    tracked: Tracked
    strategy_id: str
    symbol: str
    side: Side
    reasons: tuple[str, ...]
    """Codes of the reasons that blocked or reduced it, in order; empty for what was promoted whole."""
    regime: str | None
    """Label at the decision, where it was known."""
    episode: str
    """Decision id of the first intent of its episode: strategy, symbol and side until flat or cooled down."""
    repeats: int
    """Further intents that were blocked while it was open, and count no result of their own."""
    decided_at: Instant
    outcome: Outcome
    price_source: PriceSource
    quantity: Decimal
    opened_at: Instant | None = None
    entry: Decimal | None = None
    closed_at: Instant | None = None
    exit: Decimal | None = None
    gross: Decimal | None = None
    """What the market's move made of it."""
    fees: Decimal | None = None
    """Fees and slippage of entry and exit, positive."""
    funding: Decimal | None = None
    """Received, or negative: paid."""
    result: Decimal | None = None
    """``gross - fees + funding``: the headline. Where ambiguous, the one of `low` and `high` that is less favourable
    to governance: the higher for what was blocked, the lower for what was promoted."""
    low: Decimal | None = None
    high: Decimal | None = None
    data_gap: bool = False
    """A hole in the market froze it for a while."""
