"""What one closed bar does to a shadow position: where it enters, what it touches, where it ends.

* A bar that opens after a decision is wholly the position's. One that opened before it is so only in part, and what it
  touched may have been touched before: that end is possible, and so is going on.
* A price that opens beyond a barrier fills there, not at the barrier. An isolated margin is never worth less than 0.
* Where one bar touches two barriers both ends are possible, and the position is over.
* A ``close``, an opposite intent and the end of the holding time fill at the next open.
* A limit order is filled where a bar trades through its price, not where it touches it; from the bar after it on. What
  lies on the losing side of the fill comes after it, what lies on the other side may have come before.
* Funding belongs to whoever held the position when it was settled. Where that time is inside the bar in which the
  position may have ended, both with it and without it are possible.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource
from petrosa_cio.apps.auditor.positions import ZERO, Exit, Position, with_ends
from petrosa_cio.apps.nurse.models import decimal_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.nurse.bars import Bar

AT_THE_OPEN_MS = 1000
"""What happens in the first second of a bar (of one below a minute: in its first sixtieth) counts as of its open:
strategies fire when the bar before has closed."""
LONGEST_HOLE_MS = 86_400_000
"""Without a bar for longer, what became of a position is not known."""


class Candle(msgspec.Struct, frozen=True):
    """A closed bar with its prices as decimals."""

    symbol: str
    open_ms: int
    close_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def follows(self, at_ms: int) -> bool:
        """Whether all of it came after ``at_ms``."""
        return self.open_ms + min(AT_THE_OPEN_MS, (self.close_ms - self.open_ms + 1) // 60) >= at_ms


class Settlement(msgspec.Struct, frozen=True):
    """One settlement of funding: longs pay ``rate`` times notional to shorts."""

    at_ms: int
    rate: Decimal
    mark: Decimal | None = None
    """Price of the notional; None: the open of the bar that it falls into."""


def candle_of(bar: Bar) -> Candle:
    """The decimals that a bar's prices were written as."""
    prices = (decimal_of(bar.open), decimal_of(bar.high), decimal_of(bar.low), decimal_of(bar.close))
    return Candle(bar.symbol, bar.open_time_ms, bar.close_time_ms, *prices)


def passed(position: Position, candle: Candle, settled: Sequence[Settlement] = ()) -> Position:
    """``position``, which is not over, after one more bar, with the settlements since the bar before."""
    if position.entry is None:
        entered = _entered(position, candle)
        return entered if entered.entry is None or entered.over else _within(entered, candle, settled)
    return _within(position, candle, settled)


def enter(position: Position, price: Decimal, at_ms: int) -> Position:
    """``position`` filled at ``price``. Where that is beyond its own stop or target it ends at once: the exchange
    refuses such an order, and the engine closes a position that it cannot protect."""
    entered = msgspec.structs.replace(position, entry=price, opened_ms=at_ms)
    outcome = _beyond(entered, price)
    if outcome is None:
        return entered
    return with_ends(entered, (entered.exit(outcome, price, at_ms),), over=True)


def unfilled(position: Position) -> Position:
    """``position`` whose order was given up."""
    return msgspec.structs.replace(position, unfilled=True, over=True)


def _entered(position: Position, candle: Candle) -> Position:
    if not candle.follows(position.decided_ms):
        return position
    left = position.leaving_ms is not None and candle.follows(position.leaving_ms)
    if left or (position.limit is not None and candle.follows(position.deadline_ms)):
        return unfilled(position)
    if position.limit is not None:
        best = candle.low if position.sign > 0 else candle.high
        through = position.sign * (position.limit - best) > ZERO
        return enter(position, position.limit, candle.close_ms) if through else position
    if candle.open_ms - position.decided_ms > candle.close_ms - candle.open_ms:
        # The bar after the decision is missing: its open is not known, and a later one is another market.
        told = msgspec.structs.replace(position, price_source=PriceSource.INTENT, data_gap=True)
        return enter(told, position.price, position.decided_ms)
    return enter(position, candle.open, max(candle.open_ms, position.decided_ms))


def _within(position: Position, candle: Candle, settled: Sequence[Settlement]) -> Position:
    """A bar of a position that has entered, perhaps in this very bar."""
    whole = candle.follows(position.opened_ms)
    position, inside = _funded(position, candle, settled)
    at_open = _at_open(position, candle) if whole else None
    if at_open is not None:
        return with_ends(position, (at_open,), over=True)
    ends, certain = _touched(position, candle, whole=whole)
    more = sum((_amount(position, one, candle) for one in inside), ZERO)
    if more:
        ends += tuple(position.exit(one.outcome, one.price, one.at_ms, more) for one in ends)
    after = msgspec.structs.replace(position, funding=position.funding + more)
    return with_ends(after, ends, over=certain) if ends else after


def _funded(
    position: Position, candle: Candle, settled: Sequence[Settlement]
) -> tuple[Position, tuple[Settlement, ...]]:
    """What was settled up to the open, received; and the settlements inside the bar."""
    due = [one for one in settled if one.at_ms > position.opened_ms]
    first = sum((_amount(position, one, candle) for one in due if candle.follows(one.at_ms)), ZERO)
    inside = tuple(one for one in due if not candle.follows(one.at_ms))
    return (msgspec.structs.replace(position, funding=position.funding + first) if first else position), inside


def _amount(position: Position, one: Settlement, candle: Candle) -> Decimal:
    return position.paid_at(candle.open if one.mark is None else one.mark, one.rate)


def _at_open(position: Position, candle: Candle) -> Exit | None:
    """The end at the open: asked for before, beyond a barrier, or by time."""
    price = candle.open
    if position.leaving_ms is not None and candle.follows(position.leaving_ms):
        return position.exit(Outcome.CLOSED_BY_STRATEGY, price, max(candle.open_ms, position.leaving_ms))
    outcome = _beyond(position, price)
    if outcome is not None:
        gone = position.bankruptcy
        if outcome is Outcome.LIQUIDATED and gone is not None:
            price = max(price, gone) if position.sign > 0 else min(price, gone)
        return position.exit(outcome, price, candle.open_ms)
    if candle.follows(position.deadline_ms):
        return position.exit(Outcome.TIMEOUT, price, max(candle.open_ms, position.deadline_ms))
    return None


def _beyond(position: Position, price: Decimal) -> Outcome | None:
    """Which barrier lies at or behind ``price``; of several the gravest."""
    sign = position.sign
    liquidation = position.liquidation
    if liquidation is not None and sign * (price - liquidation) <= ZERO:
        return Outcome.LIQUIDATED
    if position.stop is not None and sign * (price - position.stop) <= ZERO:
        return Outcome.STOP
    if position.target is not None and sign * (price - position.target) >= ZERO:
        return Outcome.TARGET
    return None


def _touched(position: Position, candle: Candle, *, whole: bool) -> tuple[tuple[Exit, ...], bool]:
    """The ends that are possible within the bar, and whether one of them must have come."""
    sign = position.sign
    worst, best = (candle.low, candle.high) if sign > 0 else (candle.high, candle.low)
    ends: list[Exit] = []
    filled = position.limit is not None and candle.close_ms == position.opened_ms
    lost = _losing(position)
    losing = lost is not None and sign * (worst - lost[0]) <= ZERO
    if lost is not None and losing:
        beyond = filled and sign * (candle.open - lost[0]) < ZERO
        ends.append(position.exit(lost[1], candle.open if beyond else lost[0], candle.close_ms))
    if position.target is not None and sign * (best - position.target) >= ZERO:
        ends.append(position.exit(Outcome.TARGET, position.target, candle.close_ms))
    return tuple(ends), bool(ends) and (whole or (losing and filled))


def _losing(position: Position) -> tuple[Decimal, Outcome] | None:
    """The barrier that a loss meets first: the stop, or liquidation where that is nearer."""
    stop, liquidation = position.stop, position.liquidation
    if liquidation is None:
        return None if stop is None else (stop, Outcome.STOP)
    if stop is None or position.sign * (liquidation - stop) > ZERO:
        return liquidation, Outcome.LIQUIDATED
    return stop, Outcome.STOP
