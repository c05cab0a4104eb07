"""What holds of the profit of every trade."""

from __future__ import annotations

from dataclasses import replace
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from builders_trades import EIGHT_MS, HOUR_MS, T0_MS
from petrosa_cio.apps.auditor.pnl import Leg, Trade, leg, profit, unrecorded
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.simulation import FundingTime

if TYPE_CHECKING:
    import random

D = Decimal
MS = 1_000_000
EXACT = Context(prec=200)
"""What is added up here may not lose a digit either."""


def figures(least: str, most: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(least), D(most), places=places, allow_nan=False, allow_infinity=False)


RATES = figures("-0.001", "0.002", 6)


@st.composite
def trades(draw: st.DrawFn) -> Trade:
    """Up to three entries, then up to three exits that take everything off; often at the very time of a settlement."""
    hours = sorted(draw(st.lists(st.one_of(st.integers(0, 72), st.sampled_from((0, 8, 16))), min_size=2, max_size=6)))
    split = draw(st.integers(1, min(3, len(hours) - 1)))
    inward, outward = hours[:split], hours[split:][-3:]
    entries = [_fill(draw, at, draw(figures("0.001", "500", 3))) for at in inward]
    left = sum((one.quantity for one in entries), D(0))
    exits: list[Leg] = []
    for at in outward[:-1]:
        part = (left * D("0.4")).quantize(D("1e-6"))
        exits.append(_fill(draw, at, part))
        left -= part
    exits.append(_fill(draw, outward[-1], left))
    side, leverage = draw(st.sampled_from(Side)), draw(figures("1", "125", 1))
    return Trade("LTCUSDT", side, tuple(entries), tuple(exits), leverage)


def _fill(draw: st.DrawFn, hours: int, quantity: Decimal) -> Leg:
    price, rate = draw(figures("0.0001", "90000", 8)), draw(RATES)
    return leg((T0_MS + hours * HOUR_MS) * MS, quantity, price, rate)


SETTLEMENTS = st.lists(
    st.builds(
        lambda place, rate, mark: FundingTime("LTCUSDT", T0_MS + place * EIGHT_MS, rate, mark),
        st.integers(-1, 10),
        figures("-0.03", "0.03", 8),
        figures("0.0001", "90000", 8),
    ),
    max_size=12,
    unique_by=lambda one: one.at_ms,
)


def mirrored(trade: Trade) -> Trade:
    return replace(trade, side=Side.SHORT if trade.side is Side.LONG else Side.LONG)


@given(trades(), SETTLEMENTS)
def test_the_result_is_the_sum_of_its_parts(trade: Trade, settled: list[FundingTime]) -> None:
    """Gross less fees and funding, to the last digit."""
    found = profit(trade, settled)
    with localcontext(EXACT):
        assert found.result == found.gross - found.fees + found.funding


@given(trades(), SETTLEMENTS)
def test_a_short_is_the_mirror_of_a_long(trade: Trade, settled: list[FundingTime]) -> None:
    """What one side gains before fees the other loses, and both pay the same fees: together they lose these twice."""
    one, other = profit(trade, settled), profit(mirrored(trade), settled)
    with localcontext(EXACT):
        assert (one.gross, one.funding, one.fees) == (-other.gross, -other.funding, other.fees)
        assert one.result + other.result == -2 * one.fees


@given(trades(), SETTLEMENTS, st.integers(2, 1000))
def test_a_trade_of_many_times_the_quantity_earns_as_many_times(
    trade: Trade, settled: list[FundingTime], times: int
) -> None:
    """Money scales with quantity; the fraction of the margin does not change."""
    with localcontext(EXACT):
        entries, exits = (
            tuple(replace(one, quantity=one.quantity * times, fee=one.fee * times) for one in legs)
            for legs in (trade.entries, trade.exits)
        )
        small, large = profit(trade, settled), profit(replace(trade, entries=entries, exits=exits), settled)
        expected = (small.gross * times, small.fees * times, small.funding * times, small.result * times)
        assert (large.gross, large.fees, large.funding, large.result) == expected
    assert abs(large.relative - small.relative) <= D("1e-20") * (1 + abs(small.relative))


@given(trades(), SETTLEMENTS, st.data())
def test_a_fill_in_two_parts_is_the_fill(trade: Trade, settled: list[FundingTime], data: st.DataObject) -> None:
    """Splitting any fill at one price and time changes nothing, whatever the parts."""
    rate = data.draw(RATES)
    quantity, price, when = trade.entries[0].quantity, trade.entries[0].price, trade.entries[0].at
    with localcontext(EXACT):
        part = quantity * data.draw(st.sampled_from((D("0.001"), D("0.3"), D("0.999"))))
        halves = (leg(when, part, price, rate), leg(when, quantity - part, price, rate))
    whole = replace(trade, entries=(leg(when, quantity, price, rate), *trade.entries[1:]))
    split = replace(trade, entries=(*halves, *trade.entries[1:]))
    assert profit(split, settled) == profit(whole, settled)


@given(trades(), SETTLEMENTS, st.randoms())
def test_the_order_in_which_fills_and_settlements_are_told_does_not_matter(
    trade: Trade, settled: list[FundingTime], chance: random.Random
) -> None:
    """Their times say when they were."""
    shuffled = list(settled)
    chance.shuffle(shuffled)
    backwards = replace(trade, entries=trade.entries[::-1], exits=trade.exits[::-1])
    assert profit(backwards, shuffled) == profit(trade, settled)


@given(trades(), SETTLEMENTS)
def test_what_is_due_is_recorded_or_named(trade: Trade, settled: list[FundingTime]) -> None:
    """On the grid that every symbol settles on, what a trade met and what it misses are together what it was due."""
    missing = unrecorded(trade, settled)
    assert not {one.at_ms for one in settled} & set(missing)
    full = [*settled, *(FundingTime("LTCUSDT", at_ms, D("0.0001"), D(1)) for at_ms in missing)]
    assert unrecorded(trade, full) == ()
    assert profit(trade, full).settlements == profit(trade, settled).settlements + len(missing)
    held = [at_ms for at_ms in range(T0_MS, T0_MS + 10 * EIGHT_MS, EIGHT_MS) if trade.held(at_ms * MS)]
    assert profit(trade, full).settlements == len(held)
