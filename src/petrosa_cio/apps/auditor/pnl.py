"""Profit of one trade on a USD-M future, from its fills and the settlements of funding: gross, fees, funding.

Prices and money are in quote asset, quantities in base asset, rates are fractions, instants as in `facts`. The rules:

* Gross is what the exits brought less what the entries cost; for a short the other way round.
* A fee belongs to its fill, as it was told or at a rate of the fill's notional. A rebate is a negative fee.
* Funding is paid at each settlement on what is open then, at the mark price: longs pay rate times notional to shorts,
  where the rate is negative shorts pay longs. **Both ends count**: what was entered at the very instant of a settlement
  pays, and what left at that instant still pays. Binance charges whoever holds a position at the funding time, says
  that its charge may come up to 15 seconds off ("Introduction to Binance Futures Funding Rates"), and so leaves the
  instant itself open. The trades of freqtrade that we are held against do not: with both ends all 991 whose funding is
  recorded come out to 5e-9 USDT; without the first end 15 of them miss, without the last 32.
* The exchange stamps a settlement some milliseconds late (up to 29 ms in 2023); the whole minute before it is meant.
* Leverage changes no profit: it says how much margin stood behind it, and where the position would be liquidated.
* The relative result is that of freqtrade (``profit_ratio``): result times leverage, by what the entries cost with
  their fees: added for a long, taken off for a short.

Results are exact: they are worked out to 100 digits, which no sum of products of the figures of an exchange fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.valuation import fee, funding_due, gain, liquidation_price

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.simulation import FundingTime

MINUTE_MS = 60_000
FUNDING_EVERY_MS = 8 * 60 * MINUTE_MS
"""Every symbol settles at 00:00, 08:00 and 16:00 UTC; some settle in between as well (`GET /fapi/v1/fundingInfo`)."""

_MS = 1_000_000
_ZERO, _ONE = Decimal(0), Decimal(1)
_EXACT = Context(prec=100)


@dataclass(frozen=True, slots=True)
class Leg:
    """One fill of a trade. ``fee`` is money: paid, or where negative received. Raises ValueError for what is none."""

    at: Instant
    quantity: Decimal
    price: Decimal
    fee: Decimal

    def __post_init__(self) -> None:
        """Refuse what cannot have been filled."""
        figures = (self.quantity, self.price, self.fee)
        if not all(figure.is_finite() for figure in figures) or self.quantity <= _ZERO or self.price <= _ZERO:
            msg = f"a fill needs quantity and price above 0, and a fee: got {self.quantity}, {self.price}, {self.fee}"
            raise ValueError(msg)


def leg(at: Instant, quantity: Decimal, price: Decimal, fee_rate: Decimal) -> Leg:
    """A fill that pays ``fee_rate`` of its notional. Raises ValueError as `Leg` does."""
    with localcontext(_EXACT):
        return Leg(at, quantity, price, fee(quantity, price, fee_rate))


@dataclass(frozen=True, slots=True)
class Trade:
    """A position from its first fill until nothing was left of it. Entries and exits are in any order.

    Raises ValueError where it does not end flat, or was closed beyond what was open at some instant.
    """

    symbol: str
    side: Side
    entries: tuple[Leg, ...]
    exits: tuple[Leg, ...]
    leverage: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        """Refuse what is no closed trade."""
        if not self.entries or not self.exits:
            msg = "a closed trade needs an entry and an exit"
            raise ValueError(msg)
        if not self.leverage.is_finite() or self.leverage <= _ZERO:
            msg = f"leverage must be above 0, got {self.leverage}"
            raise ValueError(msg)
        with localcontext(_EXACT):
            entered, left = (sum((one.quantity for one in legs), _ZERO) for legs in (self.entries, self.exits))
            if entered != left:
                msg = f"a closed trade must end flat: {entered} came in and {left} went out"
                raise ValueError(msg)
            if any(self._entered(one.at) < self._left(one.at) for one in self.exits):
                msg = "an exit takes off more than was open at its time"
                raise ValueError(msg)

    @property
    def sign(self) -> int:
        """1 for a long, -1 for a short."""
        return 1 if self.side is Side.LONG else -1

    @property
    def opened_at(self) -> Instant:
        """When the first entry was filled."""
        return min(one.at for one in self.entries)

    @property
    def closed_at(self) -> Instant:
        """When the last exit was filled."""
        return max(one.at for one in self.exits)

    def held(self, at: Instant) -> Decimal:
        """Quantity that a settlement at ``at`` finds open: with what came in at that instant, and what left at it."""
        with localcontext(_EXACT):
            return self._entered(at) - self._left(at - 1)

    def _entered(self, at: Instant) -> Decimal:
        return sum((one.quantity for one in self.entries if one.at <= at), _ZERO)

    def _left(self, at: Instant) -> Decimal:
        return sum((one.quantity for one in self.exits if one.at <= at), _ZERO)


@dataclass(frozen=True, slots=True)
class Profit:
    """What a trade earned, and of what that is made."""

    gross: Decimal
    """What the market's move made of it."""
    fees: Decimal
    """Of all fills; positive: paid."""
    funding: Decimal
    """Received, or where negative paid."""
    result: Decimal
    """``gross - fees + funding``."""
    margin: Decimal
    """What the entries cost, by leverage."""
    relative: Decimal
    """Fraction of the margin that was earned, entry fees counted into what the entries cost; to 28 digits."""
    settlements: int
    """How many settlements found it open."""


def settled_ms(one: FundingTime) -> int:
    """The minute for which a settlement was due, ms: what it bears is when the exchange got round to it."""
    return one.at_ms - one.at_ms % MINUTE_MS


def profit(trade: Trade, settlements: Iterable[FundingTime]) -> Profit:
    """What ``trade`` earned, given the settlements of its symbol while it was open; others may be among them.

    Of two settlements of one minute the first counts. Raises ValueError where one that found it open has no mark price.
    """
    with localcontext(_EXACT):
        cost, brought = _value(trade.entries), _value(trade.exits)
        gross = gain(trade.sign, cost, brought, _ONE)
        entry_fees = sum((one.fee for one in trade.entries), _ZERO)
        fees = entry_fees + sum((one.fee for one in trade.exits), _ZERO)
        paid = [_paid(trade, one) for one in met(trade, settlements)]
        funding = -sum(paid, _ZERO)
        result = gross - fees + funding
        margin = cost / trade.leverage
        ventured = cost + trade.sign * entry_fees
        relative = result * trade.leverage / ventured if ventured else _ZERO
    return Profit(gross, fees, funding, result, +margin, +relative, len(paid))


def met(trade: Trade, settlements: Iterable[FundingTime]) -> list[FundingTime]:
    """The settlements that found ``trade`` open, in order of time, each minute once."""
    found: dict[int, FundingTime] = {}
    for one in settlements:
        if one.symbol == trade.symbol and trade.held(settled_ms(one) * _MS) > _ZERO:
            found.setdefault(settled_ms(one), one)
    return [found[at_ms] for at_ms in sorted(found)]


def unrecorded(trade: Trade, settlements: Iterable[FundingTime]) -> tuple[int, ...]:
    """The instants, in ms, at which ``trade`` must have met a settlement that is not among ``settlements``, or that has
    no mark price.

    Only what every symbol settles (`FUNDING_EVERY_MS`) can be missed: whether a symbol settled in between as well, a
    recording that lacks it does not tell.
    """
    there = {settled_ms(one): one for one in met(trade, settlements)}
    first = -(-trade.opened_at // (FUNDING_EVERY_MS * _MS)) * FUNDING_EVERY_MS
    due = {at_ms for at_ms in range(first, trade.closed_at // _MS + 1, FUNDING_EVERY_MS) if trade.held(at_ms * _MS)}
    unmarked = {at_ms for at_ms, one in there.items() if one.mark is None}
    return tuple(sorted((due - there.keys()) | unmarked))


def liquidates_at(trade: Trade, rate: Decimal, deduction: Decimal = _ZERO) -> Decimal | None:
    """Price at which the exchange would have closed ``trade`` with all of its entries in and nothing out, on isolated
    margin; None where no price does. ``rate`` and ``deduction`` are of the bracket of its notional."""
    cost = _value(trade.entries)
    quantity = sum((one.quantity for one in trade.entries), _ZERO)
    price = liquidation_price(trade.sign, cost, quantity, cost / trade.leverage, rate, deduction)
    return price if price > _ZERO else None


def _value(legs: tuple[Leg, ...]) -> Decimal:
    return sum((one.quantity * one.price for one in legs), _ZERO)


def _paid(trade: Trade, one: FundingTime) -> Decimal:
    if one.mark is None:
        msg = f"the settlement of {one.symbol} at {one.at_ms} ms has no mark price"
        raise ValueError(msg)
    return funding_due(trade.sign, trade.held(settled_ms(one) * _MS), one.mark, one.rate)
