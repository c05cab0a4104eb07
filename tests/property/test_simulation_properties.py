"""The simulated engine on any bars and orders: money is accounted for to the last digit, time goes forward, and when it
is asked changes nothing."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from builders_bars import MINUTE, T0, OneBar
from builders_simulation import Told, at_of, candles, executions, instant, last, order, reports
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.happenings import ExecutionKind
from petrosa_cio.apps.nurse.simulation import FundingTime, SimulatedEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.nurse.happenings import Happening, PromotedOrder

HOURS = 8
LENGTHS = {"ETHUSDT": 5, "BTCUSDT": 15}
EQUITY = Decimal(200)
"""Little, so that the largest orders can ruin it."""
CENT = Decimal("0.01")


class Day(NamedTuple):
    """Bars of two symbols, orders in their order, funding, and the minutes at which it is asked."""

    bars: list[OneBar]
    orders: list[PromotedOrder]
    funding: list[FundingTime]
    asked: list[float]
    one_way: bool

    def engine(self) -> SimulatedEngine:
        return SimulatedEngine(EQUITY, Told(*self.bars), one_way=self.one_way, funding=self.funding)


def wild(seed: int, symbol: str) -> list[OneBar]:
    """A market that moves by one percent a bar, with wicks and gaps, and some bars missing."""
    chance = random.Random(seed)
    price, found = 100.0, []
    for _ in range(HOURS * 60 // LENGTHS[symbol]):
        opened = price * math.exp(chance.gauss(0.0, 0.004))
        price = opened * math.exp(chance.gauss(0.0, 0.01))
        wick = abs(chance.gauss(0.0, 0.005))
        found.append((opened, max(opened, price) * (1 + wick), min(opened, price) * (1 - wick), price))
    return [one for one in candles(*found, symbol=symbol, minutes=LENGTHS[symbol]) if chance.random() > 0.1]


minutes = st.integers(0, HOURS * 240).map(lambda quarter: quarter / 4)
distances = st.none() | st.integers(1, 40)


@st.composite
def days(draw: st.DrawFn) -> Day:
    orders: list[PromotedOrder] = []
    for place, at in enumerate(sorted(draw(st.lists(minutes, min_size=3, max_size=12)))):
        side = draw(st.sampled_from([Side.LONG, Side.LONG, Side.SHORT, Side.SHORT, None]))
        sign, near, far = -1 if side is Side.SHORT else 1, draw(distances), draw(distances)
        one = order(
            at,
            side,
            draw(st.none() | st.sampled_from(["0.1", "1", "3.7", "25"])),
            strategy=draw(st.sampled_from("ab")),
            symbol=draw(st.sampled_from([*LENGTHS, *LENGTHS, *LENGTHS, "XRPUSDT"])),
            stop=None if near is None else str(100 - sign * near),
            target=None if far is None else str(100 + sign * far),
        )
        orders.append(replace(one, decision_id=f"d{place}"))
    funding = [
        FundingTime(symbol, T0 + round(at * MINUTE), Decimal(rate) / 1000, Decimal(100))
        for at, symbol, rate in draw(
            st.lists(st.tuples(minutes, st.sampled_from(sorted(LENGTHS)), st.integers(-30, 30)), max_size=3)
        )
    ]
    bars = [one for symbol in LENGTHS for one in wild(draw(st.integers(0, 2**32)), symbol)]
    asked = sorted(draw(st.lists(minutes, max_size=10)))
    return Day(bars, orders, funding, asked, draw(st.booleans()))


def played(day: Day, asked: Sequence[float]) -> list[Happening]:
    """All that is told of the day: each order when it is decided, and a question besides at each of these minutes."""
    engine = day.engine()
    told: list[Happening] = []
    moments = sorted([(one.at, 1, one) for one in day.orders] + [(instant(at), 0, None) for at in asked], key=_when)
    for at, _, one in moments:
        told += engine.due(at)
        if one is not None:
            engine.promoted(one)
    return [*told, *engine.due(instant(HOURS * 60))]


def _when(moment: tuple[int, int, PromotedOrder | None]) -> tuple[int, int]:
    return moment[:2]


def paid(day: Day, told: Sequence[Happening]) -> Decimal:
    """Funding by hand: at each settlement, what the fills before it had left open, at the mark of 100. No bar closes at
    that very time; what funding ruins is liquidated after it."""
    total = Decimal(0)
    for one in day.funding:
        for fill in executions(told):
            if fill.kind is ExecutionKind.FILLED and fill.symbol == one.symbol and fill.at < one.at_ms * 1_000_000:
                assert fill.quantity is not None
                sign = (1 if fill.side is Side.LONG else -1) * (-1 if fill.closes else 1)
                total += sign * fill.quantity * 100 * one.rate
    return total


@settings(max_examples=60, deadline=None)
@given(day=days())
def test_the_wallet_is_profits_less_fees_less_funding(day: Day) -> None:
    """Change of the wallet = sum of profits - sum of fees - funding, to the cent and below."""
    told = played(day, day.asked)
    fills = [one for one in executions(told) if one.kind is ExecutionKind.FILLED]
    profits = sum((one.pnl for one in fills if one.pnl is not None), Decimal(0))
    fees = sum((one.fee for one in fills if one.fee is not None), Decimal(0))
    change = last(told).wallet - EQUITY
    assert abs(change - (profits - fees - paid(day, told))) < CENT / 1_000_000


@settings(max_examples=60, deadline=None)
@given(day=days())
def test_what_is_open_is_what_was_opened_and_not_closed(day: Day) -> None:
    """Positions of the last report are the fills that open less those that close, for each symbol and side; what they
    are worth above their cost is the unrealised profit."""
    told = played(day, day.asked)
    held: dict[tuple[str | None, Side | None], Decimal] = {}
    for one in executions(told):
        if one.kind is ExecutionKind.FILLED and one.quantity is not None:
            place = (one.symbol, one.side)
            held[place] = held.get(place, Decimal(0)) + (-one.quantity if one.closes else one.quantity)
    assert all(quantity >= 0 for quantity in held.values())
    assert {(one.symbol, one.side): one.quantity for one in last(told).positions or ()} == {
        place: quantity for place, quantity in held.items() if quantity
    }
    worth = sum(
        ((one.notional - one.quantity * one.entry) * (1 if one.side is Side.LONG else -1))
        for one in last(told).positions or ()
    )
    assert abs((last(told).unrealised or Decimal(0)) - worth) < CENT / 1_000_000
    if day.one_way:
        symbols = [one.symbol for one in last(told).positions or ()]
        assert len(symbols) == len(set(symbols))


@settings(max_examples=60, deadline=None)
@given(day=days())
def test_time_goes_forward_and_sequences_are_unbroken(day: Day) -> None:
    """Happenings come in order of time, executions are numbered from 1, and each has an order id of its own."""
    told = played(day, day.asked)
    assert [at_of(one) for one in told] == sorted(at_of(one) for one in told)
    assert [one.sequence for one in executions(told)] == list(range(1, len(executions(told)) + 1))
    ids = [(one.order_id, one.kind) for one in executions(told)]
    assert len(ids) == len(set(ids))
    times = [one.as_of for one in reports(told)]
    assert len(times) == len(set(times))


@settings(max_examples=60, deadline=None)
@given(day=days())
def test_no_order_is_filled_by_what_was_before_it(day: Day) -> None:
    """What a decision brings about is known after it, and by a bar that opened at it or later."""
    decided = {one.decision_id: one.at for one in day.orders}
    bars = {(one.symbol, one.close_time_ms): one for one in day.bars}
    for one in executions(played(day, day.asked)):
        assert one.at > decided[one.decision_id]
        if one.kind is ExecutionKind.FILLED and one.reason in ("simulated_filled", "close", "netted"):
            bar = bars[str(one.symbol), one.at // 1_000_000]
            assert bar.open_time_ms * 1_000_000 >= decided[one.decision_id]
            assert one.price == Decimal(repr(bar.open))


@settings(max_examples=60, deadline=None)
@given(day=days())
def test_when_it_is_asked_changes_no_execution(day: Day) -> None:
    """Asked seldom, often, or the same way again: the same executions and the same account; the same way, the same."""
    told = played(day, day.asked)
    assert played(day, day.asked) == told
    for asked in ([], [n / 2 for n in range(HOURS * 120)]):
        other = played(day, asked)
        assert executions(other) == executions(told)
        assert (last(other).wallet, last(other).positions) == (last(told).wallet, last(told).positions)


@settings(max_examples=60, deadline=None)
@given(day=days(), data=st.data())
def test_after_a_restart_it_goes_on_where_it_was(day: Day, data: st.DataObject) -> None:
    """Begun after any execution and told all orders anew, it tells the executions after it, and the same account."""
    told = played(day, day.asked)
    after = data.draw(st.integers(0, len(executions(told))))
    engine = day.engine()
    engine.begin(after)
    for one in day.orders:
        engine.promoted(one)
    again = engine.due(instant(HOURS * 60))
    assert executions(again) == executions(told)[after:]
    assert (last(again).wallet, last(again).positions) == (last(told).wallet, last(told).positions)
