"""Profit of one trade, by hand: gross, fees, funding at both ends of the hold, margin and where it is liquidated."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders_trades import at, fill, make_trade, settlement
from petrosa_cio.apps.auditor.pnl import FUNDING_EVERY_MS, Leg, liquidates_at, profit, unrecorded
from petrosa_cio.apps.nurse.facts import Side

D = Decimal


def test_a_long_earns_the_rise_less_fees_and_funding() -> None:
    """2 LTC from 100 to 110 at 0.1 % a side, one funding of 0.01 % at 105: 20 - 0.42 - 0.021 = 19.559."""
    trade = make_trade([fill(1, "2", "100", "0.001")], [fill(9.5, "2", "110", "0.001")], leverage="4")
    found = profit(trade, [settlement(8, "0.0001", "105")])
    assert (found.gross, found.fees, found.funding) == (D(20), D("0.42"), D("-0.021"))
    assert found.result == D("19.559")
    assert found.margin == D(50)
    assert found.relative == D("19.559") * 4 / D("200.2")
    assert found.settlements == 1


def test_a_short_earns_the_fall_and_receives_what_longs_pay() -> None:
    """2 LTC from 100 to 110, short: -20 - 0.42 + 0.021 = -20.399, relative to 200 less the entry's fee."""
    trade = make_trade([fill(1, "2", "100", "0.001")], [fill(9.5, "2", "110", "0.001")], Side.SHORT, leverage="4")
    found = profit(trade, [settlement(8, "0.0001", "105")])
    assert (found.gross, found.fees, found.funding) == (D(-20), D("0.42"), D("0.021"))
    assert found.result == D("-20.399")
    assert found.relative == D("-20.399") * 4 / D("199.8")


def test_at_a_negative_rate_shorts_pay() -> None:
    """3 LTC at a mark of 50 and a rate of -0.02 %: 0.03, to the long from the short."""
    trade = make_trade([fill(1, "3", "50")], [fill(9, "3", "50")])
    paid = settlement(8, "-0.0002", "50")
    assert profit(trade, [paid]).result == D("0.03")
    assert profit(replace(trade, side=Side.SHORT), [paid]).result == D("-0.03")


def test_several_fills_pay_their_own_fees_and_funding_on_what_is_open() -> None:
    """1 at 100 and 3 at 104 in, 2 at 110 and 2 at 108 out; held 1, 4 and 2 when funding of 0.1 % at 100 is due.

    In: 412, out: 436, gross 24. Fees as told: 0.5 less a rebate of 0.2. Funding: 0.1 + 0.4 + 0.2.
    """
    entries = [Leg(at(1), D(1), D(100), D("0.5")), Leg(at(9), D(3), D(104), D(0))]
    exits = [Leg(at(17), D(2), D(110), D("-0.2")), Leg(at(25), D(2), D(108), D(0))]
    found = profit(make_trade(entries, exits), [settlement(hours, "0.001", "100") for hours in (0, 8, 16, 24, 32)])
    assert (found.gross, found.fees, found.funding) == (D(24), D("0.3"), D("-0.7"))
    assert found.result == D(23)
    assert (found.margin, found.settlements) == (D(412), 3)


@pytest.mark.parametrize(
    ("opened", "closed", "met"),
    [
        (0, 8, 2),  # both ends
        (0, 0, 1),
        (0.001, 7.999, 0),
        (0.001, 8, 1),
        (0, 7.999, 1),
        (-0.001, 8.001, 2),
        (23, 25, 1),  # over midnight
    ],
)
def test_funding_at_either_end_of_a_hold_is_paid(opened: float, closed: float, met: int) -> None:
    """A settlement at the very instant of entry or of exit finds the position open; one 3.6 s outside does not."""
    trade = make_trade([fill(opened, "1", "100")], [fill(closed, "1", "100")])
    found = profit(trade, [settlement(hours, "0.01") for hours in (-8, 0, 8, 16, 24, 32)])
    assert (found.settlements, found.funding) == (met, D(-met))


def test_what_left_at_a_settlement_pays_it_and_no_later_one() -> None:
    """Of 3, one leaves at 08:00: funding is due on 3 then and on 2 at 16:00, when the rest leaves."""
    trade = make_trade([fill(1, "3", "100")], [fill(8, "1", "100"), fill(16, "2", "100")])
    assert profit(trade, [settlement(8, "0.01"), settlement(16, "0.01")]).funding == D(-5)


def test_a_settlement_is_of_the_minute_before_its_stamp() -> None:
    """Stamped 29 ms late it still meets what closed at the full hour, and what opened 29 ms later not."""
    late = settlement(8, "0.01", late_ms=29)
    assert profit(make_trade([fill(7, "1", "100")], [fill(8, "1", "100")]), [late]).funding == D(-1)
    just_after = 8 + 0.029 / 3600
    assert profit(make_trade([fill(just_after, "1", "100")], [fill(9, "1", "100")]), [late]).funding == 0


def test_of_two_settlements_of_one_minute_the_first_counts() -> None:
    """The same settlement from two sources, one of them with its milliseconds, is paid once."""
    trade = make_trade([fill(7, "1", "100")], [fill(9, "1", "100")])
    assert profit(trade, [settlement(8, "0.01"), settlement(8, "0.05", late_ms=8)]).funding == D(-1)


def test_another_symbol_settles_nothing_here() -> None:
    """Only settlements of the trade's own symbol are paid."""
    trade = make_trade([fill(7, "1", "100")], [fill(9, "1", "100")])
    assert profit(trade, [settlement(8, "0.01")._replace(symbol="SUIUSDT")]).settlements == 0


def test_funding_without_a_mark_price_is_an_error() -> None:
    """It cannot be worked out, and is not taken for none."""
    trade = make_trade([fill(7, "1", "100")], [fill(9, "1", "100")])
    with pytest.raises(ValueError, match="no mark price"):
        profit(trade, [settlement(8, "0.01", None)])


def test_leverage_changes_the_relative_result_only() -> None:
    """Ten times the leverage: the same money, a tenth of the margin, ten times the fraction."""
    one = make_trade([fill(1, "2", "100", "0.001")], [fill(2, "2", "110", "0.001")])
    plain, levered = profit(one, ()), profit(replace(one, leverage=D(10)), ())
    assert levered.result == plain.result == D("19.58")
    assert (plain.margin, levered.margin) == (D(200), D(20))
    assert levered.relative == plain.relative * 10


def test_missing_settlements_are_named() -> None:
    """At 08:00 nothing is recorded, at 16:00 no mark price; 24:00 is there, and 00:00 was before the trade."""
    trade = make_trade([fill(0.5, "1", "100")], [fill(24, "1", "100")])
    there = [settlement(16, "0.01", None), settlement(24, "0.01", late_ms=12)]
    assert unrecorded(trade, there) == tuple(at(hours) // 1_000_000 for hours in (8, 16))
    assert unrecorded(trade, [settlement(hours, "0") for hours in (8, 12, 16, 24)]) == ()


def test_a_settlement_at_either_end_can_be_missing() -> None:
    """From 00:00 to 08:00 two are due; from a second after to a second before, none."""
    every = FUNDING_EVERY_MS / 3_600_000
    assert len(unrecorded(make_trade([fill(0, "1", "9")], [fill(every, "1", "9")]), ())) == 2
    assert unrecorded(make_trade([fill(0.0003, "1", "9")], [fill(every - 0.0003, "1", "9")]), ()) == ()


def test_a_position_that_was_flat_in_between_meets_nothing_then() -> None:
    """Out at 07:00 and in again at 09:00: nothing is due at 08:00, and nothing is missing there."""
    trade = make_trade([fill(1, "1", "9"), fill(9, "1", "9")], [fill(7, "1", "9"), fill(10, "1", "9")])
    assert profit(trade, [settlement(8, "0.01")]).settlements == 0
    assert unrecorded(trade, ()) == ()


@pytest.mark.parametrize(
    ("side", "leverage", "expected"),
    [
        # 1 at 1000, ten times: margin 100, maintenance 1 %. 100 + (p - 1000) = 0.01 p: p = 900 / 0.99.
        (Side.LONG, "10", D(900) / D("0.99")),
        # 100 - (p - 1000) = 0.01 p: p = 1100 / 1.01.
        (Side.SHORT, "10", D(1100) / D("1.01")),
        (Side.LONG, "1", None),
    ],
)
def test_liquidation_is_where_the_margin_is_worn_down_to_its_maintenance(
    side: Side, leverage: str, expected: Decimal | None
) -> None:
    """Isolated margin at one maintenance rate; a long that is paid in full is never liquidated."""
    trade = make_trade([fill(1, "1", "1000")], [fill(2, "1", "1000")], side, leverage)
    assert liquidates_at(trade, D("0.01")) == expected


def test_a_deduction_moves_liquidation_away() -> None:
    """100 + (p - 1000) = 0.01 p - 5: p = 895 / 0.99."""
    trade = make_trade([fill(1, "1", "1000")], [fill(2, "1", "1000")], leverage="10")
    assert liquidates_at(trade, D("0.01"), D(5)) == D(895) / D("0.99")


def test_what_is_no_closed_trade_is_refused() -> None:
    """It ends flat, no exit takes off what is not there yet, and fills have quantity and price."""
    entry, out = fill(1, "2", "100"), fill(2, "2", "100")
    with pytest.raises(ValueError, match="an entry and an exit"):
        make_trade([entry], [])
    with pytest.raises(ValueError, match="end flat: 2 came in and 3 went out"):
        make_trade([entry], [fill(2, "3", "100")])
    with pytest.raises(ValueError, match="more than was open"):
        make_trade([fill(3, "2", "100")], [out])
    with pytest.raises(ValueError, match="leverage"):
        make_trade([entry], [out], leverage="0")
    for quantity, price, fee in (
        ("0", "1", "0"),
        ("-1", "1", "0"),
        ("1", "0", "0"),
        ("1", "NaN", "0"),
        ("1", "1", "NaN"),
    ):
        with pytest.raises(ValueError, match="a fill needs"):
            Leg(0, D(quantity), D(price), D(fee))
