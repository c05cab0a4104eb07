"""One shadow position: the terms it was opened on, what it has paid, and the ways in which it may have ended.

A bar does not always tell what came first. So a position keeps the worst and the best of the ends that were possible;
where they differ it is ambiguous. Units as in `outcomes`, but times in ms, as bars have them.

Amounts of money are rounded to 1e-8 of quote currency where they arise. So sums are exact, and come out the same in
whatever order they are taken.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import msgspec

from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Tracked
from petrosa_cio.apps.nurse.facts import Side

Key: TypeAlias = tuple[str, Tracked]
"""A decision that was reduced has two positions: what was promoted, and what was taken off."""

MONEY = Decimal("0.00000001")
ZERO = Decimal(0)
_ONE = Decimal(1)


class Exit(msgspec.Struct, frozen=True):
    """One way in which it may have ended."""

    outcome: Outcome
    price: Decimal
    at_ms: int
    gross: Decimal
    fees: Decimal
    funding: Decimal

    @property
    def result(self) -> Decimal:
        """What was left of it: ``gross - fees + funding``."""
        return self.gross - self.fees + self.funding


class Position(msgspec.Struct, frozen=True):
    """One shadow position. What happens to it makes a new one; see `barriers`."""

    decision_id: str
    tracked: Tracked
    strategy_id: str
    symbol: str
    side: Side
    reasons: tuple[str, ...]
    regime: str | None
    decided_at: int
    """Instant, ns."""
    quantity: Decimal
    price_source: PriceSource
    price: Decimal
    """The intent's own; its entry where nothing better was known."""
    cost_rate: Decimal
    """Taker fee and slippage of each fill, as a fraction of its notional."""
    holding_ms: int
    leverage: Decimal | None
    """None: not liquidated on its own (cross margin)."""
    maintenance: Decimal = ZERO
    """Rate of its bracket, as a fraction of notional; 0 where brackets are not known: it ends when its margin is
    gone."""
    deduction: Decimal = ZERO
    stop: Decimal | None = None
    target: Decimal | None = None
    episode: str = ""
    limit: Decimal | None = None
    """Price at which a limit order rests; None: it takes the market."""
    entry: Decimal | None = None
    opened_ms: int = 0
    leaving_ms: int | None = None
    """When its strategy closed it or turned; it ends at the next open."""
    funding: Decimal = ZERO
    """Received so far."""
    lowest: Exit | None = None
    highest: Exit | None = None
    over: bool = False
    unfilled: bool = False
    unavailable: bool = False
    data_gap: bool = False

    @property
    def key(self) -> Key:
        """What tells it from every other."""
        return self.decision_id, self.tracked

    @property
    def sign(self) -> int:
        """1 where it gains when the price rises, -1 where it loses."""
        return 1 if self.side is Side.LONG else -1

    @property
    def decided_ms(self) -> int:
        """When it was decided on."""
        return self.decided_at // 1_000_000

    @property
    def deadline_ms(self) -> int:
        """When its holding time ends, or while it rests its patience."""
        since = self.decided_ms if self.entry is None else self.opened_ms
        return since + self.holding_ms

    @property
    def bankruptcy(self) -> Decimal | None:
        """Price at which its margin is gone; what is beyond is not its loss."""
        if self.entry is None or self.leverage is None:
            return None
        return (self.entry * (_ONE - self.sign / self.leverage)).quantize(MONEY)

    @property
    def liquidation(self) -> Decimal | None:
        """Price at which what is left of its isolated margin equals the maintenance margin of its bracket.

        ``margin + sign (size x price - cost) = size x price x rate - deduction``, solved for the price, as the control
        LIQUIDATION_NEAR does; never beyond `bankruptcy`.
        """
        gone = self.bankruptcy
        if gone is None or self.entry is None or self.leverage is None:
            return None
        cost = self.quantity * self.entry
        kept = cost - self.sign * (cost / self.leverage + self.deduction)
        price = kept / (self.quantity * (_ONE - self.sign * self.maintenance))
        return (max(price, gone) if self.side is Side.LONG else min(price, gone)).quantize(MONEY)

    def gross_at(self, price: Decimal) -> Decimal:
        """What the market's move makes of it at ``price``; of a position that was entered."""
        entry = ZERO if self.entry is None else self.entry
        return _money(self.sign * (price - entry) * self.quantity)

    def fees_at(self, price: Decimal) -> Decimal:
        """Fees and slippage of entry and exit."""
        entry = ZERO if self.entry is None else self.entry
        return _money(self.quantity * (entry + price) * self.cost_rate)

    def paid_at(self, price: Decimal, rate: Decimal) -> Decimal:
        """What one settlement of funding brings at that price; negative where it is paid."""
        return _money(-self.sign * self.quantity * price * rate)

    def exit(self, outcome: Outcome, price: Decimal, at_ms: int, more: Decimal = ZERO) -> Exit:
        """An end at ``price``; ``more`` is funding that only this end receives."""
        return Exit(outcome, price, at_ms, self.gross_at(price), self.fees_at(price), self.funding + more)


def text_of(figure: Decimal) -> str:
    """A figure as plain digits, never with an exponent; it reads back to the same."""
    return f"{figure:f}"


def _money(amount: Decimal) -> Decimal:
    # Adding zero makes nothing of a negative nothing.
    return amount.quantize(MONEY) + ZERO


def with_ends(position: Position, ends: tuple[Exit, ...], *, over: bool) -> Position:
    """``position`` with further ends that are possible; ``over`` where it cannot have gone on. Of equal ones the first
    that was known stays."""
    low, high = position.lowest, position.highest
    for one in ends:
        low = one if low is None or one.result < low.result else low
        high = one if high is None or one.result > high.result else high
    return msgspec.structs.replace(position, lowest=low, highest=high, over=over)
