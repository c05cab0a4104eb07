"""What happens to the account that a book trades on: orders promoted, executions told, reports of what it holds.

Plain values, like `facts`; `holdings` folds them. Units as in `models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from decimal import Decimal

    from petrosa_cio.apps.nurse.facts import Instant, OpenOrder, Position, Side


class ExecutionKind(StrEnum):
    """What an execution event of the engine tells (fleet facts §7.1)."""

    PLACED = "placed"
    FILLED = "filled"
    PARTIAL_FILL = "partial_fill"
    REJECTED = "rejected"
    FORCE_CLOSED = "position_force_closed_no_stops"


@dataclass(frozen=True, slots=True)
class Execution:
    """One event about one order, as the engine told it; what it did not tell is None or empty.

    ``side`` is the side of the *position* that it opens, enlarges, or (``closes``) takes off: a buy that opens and the
    sale that closes what it opened are both LONG. ``quantity`` is what this event filled, or for one that fills
    nothing what was ordered.
    """

    kind: ExecutionKind
    at: Instant
    strategy_id: str
    order_id: str = ""
    decision_id: str = ""
    """The decision whose signal led to it."""
    symbol: str | None = None
    side: Side | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    """What it cost, positive, in ``fee_asset``."""
    fee_asset: str | None = None
    pnl: Decimal | None = None
    """Profit that a close realised, fees apart; None for what opens."""
    closes: bool = False
    stopped: bool = False
    """Whether a stop, or a liquidation, closed it."""
    reason: str = ""
    sequence: int = 0
    """Where it stands in the stream of executions; 0 where it came by no stream."""


@dataclass(frozen=True, slots=True)
class AccountReport:
    """What one source says that the account holds, as of one moment. None: the source does not tell."""

    origin: str
    """Which source: ``engine``, ``binance``, ``simulated``. Figures of different origin are never put together."""
    as_of: Instant
    wallet: Decimal
    """Balance without the profit of what is open, quote currency."""
    unrealised: Decimal | None = None
    """Profit of what is open, at the mark."""
    positions: tuple[Position, ...] | None = None
    orders: tuple[OpenOrder, ...] | None = None


@dataclass(frozen=True, slots=True)
class PromotedOrder:
    """The order that a promoted signal asks for. ``side`` is None for a ``close``, which takes off what is open."""

    decision_id: str
    strategy_id: str
    symbol: str
    side: Side | None
    at: Instant
    """When it was decided."""
    price: Decimal
    """Reference price of the judgement."""
    leverage: Decimal
    quantity: Decimal | None = None
    """None where the engine chooses the exchange's minimum and that is not known."""
    notional: Decimal | None = None
    stop: Decimal | None = None
    target: Decimal | None = None


Happening: TypeAlias = "Execution | AccountReport"
"""What comes from outside, and is recorded in the ledger before anything is judged on it."""
