"""The simulated engine: what each order becomes on bars, by a table worked out by hand.

Unless a row says otherwise the wallet begins with 1,000, a fill pays 0.001 of its notional, bars are of 15 minutes and
the order is decided three minutes after the first bar opens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders_bars import MINUTE, T0
from builders_simulation import Candle, Told, candles, executions, instant, last, minute_of, order, reports
from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings import ExecutionKind
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.simulation import FundingTime, SimulatedEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.nurse.happenings import Happening, PromotedOrder

D = Decimal
LONG, SHORT = Side.LONG, Side.SHORT
FEE = D("0.001")
STILL: Candle = (100.0, 101.0, 99.0, 100.0)

Fill = tuple[str, Side | None, str, str, str, str | None]
"""Who, which side, how much, at what price, for what fee, with what profit (None: it opens)."""


def engine(
    bars: Told, equity: str = "1000", *, one_way: bool = True, funding: Sequence[FundingTime] = ()
) -> SimulatedEngine:
    return SimulatedEngine(D(equity), bars, fee_rate=FEE, one_way=one_way, funding=funding)


def played(
    bars: Told, orders: Sequence[PromotedOrder], minutes: float, equity: str = "1000", *, one_way: bool = True
) -> list[Happening]:
    """Everything that happens up to that minute, each order told when it is decided."""
    played_on = engine(bars, equity, one_way=one_way)
    told: list[Happening] = []
    for one in orders:
        told += played_on.due(one.at)
        played_on.promoted(one)
    return [*told, *played_on.due(instant(minutes))]


@dataclass(frozen=True)
class Row:
    """Bars after the first, which is `STILL`, the orders, and what is told of them: when, and by which reason."""

    bars: Sequence[Candle]
    orders: Sequence[PromotedOrder]
    fills: Sequence[tuple[float, Fill, str, bool]]
    """Minute, what was filled, reason, whether a stop did it."""
    wallet: str


ENTRY = ("a", LONG, "2", "100.0", "0.2", None)
SOLD = ("a", SHORT, "2", "100.0", "0.2", None)
FILLED, STOPPED, REACHED = ("simulated_filled", False), ("oco_exit_stop_loss", True), ("oco_exit_take_profit", False)
ROWS: dict[str, Row] = {
    "an entry fills at the open of the next bar and is known at its close": Row(
        [(102.0, 103.0, 101.0, 102.5)],
        [order(3, LONG)],
        [(30, ("a", LONG, "2", "102.0", "0.204", None), *FILLED)],
        "999.796",
    ),
    "a bar that opens at the very time of the decision is the next one": Row(
        [(102.0, 103.0, 101.0, 102.5)],
        [order(15, LONG)],
        [(30, ("a", LONG, "2", "102.0", "0.204", None), *FILLED)],
        "999.796",
    ),
    "a bar that opened a moment before the decision is not": Row(
        [STILL, (103.0, 104.0, 102.0, 103.0)],
        [order(15.001, LONG)],
        [(45, ("a", LONG, "2", "103.0", "0.206", None), *FILLED)],
        "999.794",
    ),
    "a stop that is touched fills at the stop": Row(
        [STILL, (99.0, 99.0, 94.0, 96.0)],
        [order(3, LONG, stop="95", target="110")],
        [(30, ENTRY, *FILLED), (45, ("a", LONG, "2", "95", "0.19", "-10"), *STOPPED)],
        "989.61",  # 1000 - 0.2 - 10 - 0.19
    ),
    "a stop just touched is touched": Row(
        [STILL, (99.0, 99.0, 95.0, 96.0)],
        [order(3, LONG, stop="95")],
        [(30, ENTRY, *FILLED), (45, ("a", LONG, "2", "95", "0.19", "-10"), *STOPPED)],
        "989.61",
    ),
    "a stop not quite touched is not": Row(
        [STILL, (99.0, 99.0, 95.01, 96.0)],
        [order(3, LONG, stop="95")],
        [(30, ENTRY, *FILLED)],
        "999.8",
    ),
    "stop and target are watched from the bar after the fill": Row(
        [(100.0, 120.0, 80.0, 100.0), STILL],
        [order(3, LONG, stop="95", target="110")],
        [(30, ENTRY, *FILLED)],
        "999.8",
    ),
    "a target fills at the target, and is no stop-out": Row(
        [STILL, (95.0, 96.0, 89.0, 91.0)],
        [order(3, SHORT, stop="105", target="90")],
        [(30, SOLD, *FILLED), (45, ("a", SHORT, "2", "90", "0.18", "20"), *REACHED)],
        "1019.62",  # 1000 - 0.2 + 20 - 0.18
    ),
    "where one bar touches both, it is the stop": Row(
        [STILL, (100.0, 111.0, 94.0, 110.0)],
        [order(3, LONG, stop="95", target="110")],
        [(30, ENTRY, *FILLED), (45, ("a", LONG, "2", "95", "0.19", "-10"), *STOPPED)],
        "989.61",
    ),
    "of a short, too": Row(
        [STILL, (100.0, 106.0, 89.0, 90.0)],
        [order(3, SHORT, stop="105", target="90")],
        [(30, SOLD, *FILLED), (45, ("a", SHORT, "2", "105", "0.21", "-10"), *STOPPED)],
        "989.59",
    ),
    "a price that opens beyond the stop fills at the open": Row(
        [STILL, (93.0, 96.0, 92.0, 95.0)],
        [order(3, LONG, stop="95", target="110")],
        [
            (30, ENTRY, *FILLED),
            (45, ("a", LONG, "2", "93.0", "0.186", "-14"), *STOPPED),
        ],
        "985.614",
    ),
    "a price that opens beyond the target fills there": Row(
        [STILL, (112.0, 113.0, 90.0, 95.0)],
        [order(3, LONG, stop="95", target="110")],
        [
            (30, ENTRY, *FILLED),
            (45, ("a", LONG, "2", "112.0", "0.224", "24"), *REACHED),
        ],
        "1023.576",
    ),
    "a close takes off at the next open what its strategy holds, and not another's": Row(
        [STILL, (103.0, 104.0, 98.0, 99.0)],
        [order(3, LONG), order(4, LONG, "1", strategy="b"), order(20, None)],
        [
            (30, ENTRY, *FILLED),
            (30, ("b", LONG, "1", "100.0", "0.1", None), *FILLED),
            (45, ("a", LONG, "2", "103.0", "0.206", "6"), "close", False),
        ],
        "1005.494",  # 1000 - 0.2 - 0.1 + 6 - 0.206
    ),
    "a close comes before a stop that the same bar touches later": Row(
        [STILL, (97.0, 98.0, 90.0, 91.0)],
        [order(3, LONG, stop="95"), order(20, None)],
        [(30, ENTRY, *FILLED), (45, ("a", LONG, "2", "97.0", "0.194", "-6"), "close", False)],
        "993.606",
    ),
    "a stop that the bar opens beyond comes before the close": Row(
        [STILL, (94.0, 98.0, 90.0, 91.0)],
        [order(3, LONG, stop="95"), order(20, None)],
        [
            (30, ENTRY, *FILLED),
            (45, ("a", LONG, "2", "94.0", "0.188", "-12"), *STOPPED),
            (45, ("a", None, "2", "", "", None), "nothing_to_close", False),
        ],
        "987.612",
    ),
    "an opposite entry nets the oldest lots first and opens the rest": Row(
        [STILL, (104.0, 105.0, 103.0, 104.0)],
        [order(3, LONG, "2"), order(4, LONG, "1", strategy="b"), order(20, SHORT, "5", strategy="c")],
        [
            (30, ENTRY, *FILLED),
            (30, ("b", LONG, "1", "100.0", "0.1", None), *FILLED),
            (45, ("a", LONG, "2", "104.0", "0.208", "8"), "netted", False),
            (45, ("b", LONG, "1", "104.0", "0.104", "4"), "netted", False),
            (45, ("c", SHORT, "2", "104.0", "0.208", None), *FILLED),
        ],
        "1011.18",  # 1000 - 0.3 + 12 - 0.312 - 0.208
    ),
    "one that is smaller than the position only takes off": Row(
        [STILL, (104.0, 105.0, 103.0, 104.0), (94.0, 94.0, 94.0, 94.0)],
        [order(3, LONG, "2", stop="95"), order(20, SHORT, "0.5", strategy="c")],
        [
            (30, ENTRY, *FILLED),
            (45, ("a", LONG, "0.5", "104.0", "0.052", "2"), "netted", False),
            (60, ("a", LONG, "1.5", "94.0", "0.141", "-9"), *STOPPED),
        ],
        "992.607",  # 1000 - 0.2 + 2 - 0.052 - 9 - 0.141
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_simulated_day(name: str) -> None:
    """Each row of the table: the executions in their order, and the wallet to the last digit."""
    row = ROWS[name]
    told = played(Told(*candles(STILL, *row.bars)), row.orders, 15 * (len(row.bars) + 1))
    found = executions(told)
    assert [(minute_of(one), one.strategy_id, one.side, one.reason, one.stopped) for one in found] == [
        (minute, fill[0], fill[1], reason, stopped) for minute, fill, reason, stopped in row.fills
    ]
    filled = [one for one in found if one.kind is ExecutionKind.FILLED]
    assert [(one.quantity, one.price, one.fee, one.pnl, one.closes) for one in filled] == [
        (D(quantity), D(price), D(fee), None if pnl is None else D(pnl), pnl is not None)
        for _, (_, _, quantity, price, fee, pnl), _, _ in row.fills
        if price
    ]
    assert last(told).wallet == D(row.wallet)


def test_in_hedge_mode_both_sides_are_open() -> None:
    """Without one-way mode a short beside a long takes nothing off: two positions, each with its own profit."""
    bars = Told(*candles(STILL, STILL, (104.0, 105.0, 103.0, 105.0)))
    told = played(bars, [order(3, LONG, "2"), order(20, SHORT, "1")], 45, one_way=False)
    assert [one.closes for one in executions(told)] == [False, False]
    assert last(told).positions == (
        Position("ETHUSDT", LONG, D(2), D(100), D(210), D(3), strategy_id="a"),
        Position("ETHUSDT", SHORT, D(1), D(104), D(105), D(3), strategy_id="a"),
    )
    assert last(told).unrealised == D(9)  # 2 x 5 - 1 x 1


def test_every_execution_has_an_order_of_its_own_and_the_decision_behind_it() -> None:
    """Ids come from decisions: an exit by stop names its entry's, one by another order that order's decision."""
    bars = Told(*candles(STILL, STILL, STILL, (94.0, 95.0, 93.0, 94.0), STILL))
    orders = [order(3, LONG, "2"), order(4, LONG, "1", stop="95", strategy="b"), order(20, SHORT, "0.5", strategy="c")]
    found = executions(played(bars, [*orders, order(50, None)], 75))
    assert [(one.sequence, one.order_id, one.decision_id) for one in found] == [
        (1, "simulated-a3", "a3"),
        (2, "simulated-b4", "b4"),
        (3, "simulated-c20-a3", "c20"),
        (4, "simulated-b4-stop_loss", "b4"),
        (5, "simulated-a50-a3", "a50"),
    ]


def test_without_a_quantity_an_order_is_of_its_notional_or_of_the_least_that_the_exchange_takes() -> None:
    """100 at 3 is 33.33333334, rounded up to eight places; without either it is 50, so 0.5 at 100."""
    bars = Told(*candles(STILL, STILL))
    orders = [order(1, LONG, None, notional="100", price="3"), order(2, LONG, None)]
    assert [one.quantity for one in executions(played(bars, orders, 30))] == [D("33.33333334"), D("0.5")]


def test_an_order_waits_for_a_bar_that_is_not_there_yet() -> None:
    """Until the next bar is told the order is pending, and nothing is open; then it fills, at that bar's open."""
    bars = Told(*candles(STILL))
    waiting = engine(bars)
    waiting.due(instant(14))
    waiting.promoted(order(14, SHORT, "2"))
    told = waiting.due(instant(40))
    assert executions(told) == []
    assert last(told).orders == (OpenOrder("ETHUSDT", SHORT, D(2), D(200), D(3)),)
    assert last(told).positions == ()
    bars.bars += candles(STILL, STILL, STILL, (90.0, 91.0, 89.0, 90.0))[4:]
    told = waiting.due(instant(60))
    assert [one.price for one in executions(told)] == [D("90.0")]
    assert last(told).orders == ()


def test_a_bar_that_is_told_late_counts_when_it_is_told() -> None:
    """A feed may lag: what a bar did that came after its close was asked for happens then, with nothing left out."""
    bars = Told(*candles(STILL, STILL))
    late = engine(bars)
    late.promoted(order(3, LONG, stop="95"))
    assert [one.reason for one in executions(late.due(instant(31)))] == ["simulated_filled"]
    late.due(instant(46))
    bars.bars += candles(STILL, STILL, (99.0, 99.0, 94.0, 96.0))[3:]
    (stopped,) = executions(late.due(instant(47)))
    assert (stopped.reason, stopped.price, stopped.at) == ("oco_exit_stop_loss", D(95), instant(46) + 1_000_000)


def test_nothing_is_known_before_the_bar_has_closed() -> None:
    """A nanosecond before the close of the bar that fills it nothing is told; at the close it is."""
    closes_at = (T0 + 30 * MINUTE - 1) * 1_000_000
    asked = engine(Told(*candles(STILL, STILL)))
    asked.promoted(order(3, LONG))
    assert executions(asked.due(closes_at - 1)) == []
    assert [one.at for one in executions(asked.due(closes_at))] == [closes_at]


def test_an_entry_without_any_price_before_it_is_refused_at_once() -> None:
    """A symbol of which nothing was told has no market: the refusal names the decision and is no fill."""
    told = played(Told(*candles(STILL)), [order(20, LONG, symbol="XRPUSDT")], 21)
    (refused,) = executions(told)
    assert (refused.kind, refused.reason, refused.decision_id) == (ExecutionKind.REJECTED, "no_price", "a20")
    assert last(told).orders == ()


def test_an_entry_is_given_up_after_a_day_and_a_close_is_not() -> None:
    """In a hole of the recording an entry is refused a day after its decision; a close takes off when prices return."""
    days = 48 * 60 * MINUTE
    later = [
        replace(one, open_time_ms=one.open_time_ms + days, close_time_ms=one.close_time_ms + days)
        for one in candles(STILL)
    ]
    orders = [order(3, LONG), order(31, None), order(32, LONG, strategy="b")]
    found = executions(played(Told(*candles(STILL, STILL), *later), orders, 49 * 60))
    assert [(one.strategy_id, one.kind, one.reason) for one in found] == [
        ("a", ExecutionKind.FILLED, "simulated_filled"),
        ("b", ExecutionKind.REJECTED, "no_price"),
        ("a", ExecutionKind.FILLED, "close"),
    ]
    assert found[1].at == instant(32 + 24 * 60)


def test_without_equity_everything_is_closed_and_nothing_enters() -> None:
    """100 less a fee of 1 is lost on ten that fall by eleven: closed at 89 as a stop-out; then entries are refused."""
    bars = Told(*candles(STILL, STILL, (100.0, 100.0, 88.0, 89.0), STILL))
    told = played(bars, [order(3, LONG, "10"), order(44, LONG, "1")], 60, equity="100")
    assert [(one.reason, one.pnl, one.stopped) for one in executions(told)] == [
        ("simulated_filled", None, False),
        ("liquidation", D(-110), True),
        ("no_equity", None, False),
    ]
    assert last(told).wallet == D("-11.89")  # 99 - 110 - 0.89
    assert last(told).positions == ()


def test_an_account_with_a_cent_left_is_not_liquidated() -> None:
    """Equity of 0.01 at the close is above zero; of 0 it is not."""
    for close, reasons in ((90.101, ["simulated_filled"]), (90.1, ["simulated_filled", "liquidation"])):
        bars = Told(*candles(STILL, STILL, (100.0, 100.0, 88.0, close)))
        told = played(bars, [order(3, LONG, "10")], 45, equity="100")
        assert [one.reason for one in executions(told)] == reasons


def test_funding_is_paid_by_longs_and_received_by_shorts() -> None:
    """0.01 of 2 at the last close of 100 is 2, of 1 at a mark of 110 is 1.1; what is not open yet pays nothing."""
    funding = [
        FundingTime("ETHUSDT", T0 + 20 * MINUTE, D("0.5")),
        FundingTime("ETHUSDT", T0 + 30 * MINUTE, D("0.01")),
        FundingTime("BTCUSDT", T0 + 31 * MINUTE, D("0.5")),
        FundingTime("ETHUSDT", T0 + 61 * MINUTE, D("0.01"), D(110)),
    ]
    bars = Told(*candles(STILL, STILL, STILL, STILL, STILL))
    paying = engine(bars, funding=funding)
    paying.promoted(order(3, LONG))
    assert last(paying.due(instant(31))).wallet == D("997.8")
    paying.promoted(order(31, SHORT, "3", strategy="b"))
    told = paying.due(instant(75))
    assert [one.closes for one in executions(told)] == [True, False]
    assert last(told).wallet == D("998.6")  # 997.8 - 0.2 - 0.1 + 1.1


def test_a_report_tells_wallet_open_profit_and_whose_position_it_is() -> None:
    """One position a symbol and side, at the average entry and the last close; two strategies' is nobody's alone."""
    bars = Told(*candles(STILL, STILL, (104.0, 107.0, 103.0, 106.0)))
    told = played(bars, [order(3, LONG, "2"), order(20, LONG, "2", strategy="b")], 45)
    first, second = (one for one in reports(told) if one.positions)
    assert first.positions == (Position("ETHUSDT", LONG, D(2), D(100), D(200), D(3), strategy_id="a"),)
    assert second.positions == (Position("ETHUSDT", LONG, D(4), D(102), D(424), D(3)),)
    assert (second.origin, second.wallet, second.unrealised) == ("simulated", D("999.592"), D(16))


def test_an_account_that_rests_is_reported_when_it_is_asked_after() -> None:
    """At each question the last report is at most 30 s old; asked again within them, nothing is told."""
    asked = engine(Told(*candles(STILL)))
    assert [one.as_of for one in reports(asked.due(instant(1)))] == [instant(1)]
    assert asked.due(instant(1) + 30 * SECOND) == []
    assert [one.as_of for one in reports(asked.due(instant(1) + 31 * SECOND))] == [instant(1) + 31 * SECOND]
    assert [one.as_of for one in reports(asked.due(instant(600)))] == [instant(600)]


def test_an_account_with_something_open_is_reported_each_quarter_of_an_hour() -> None:
    """Between two questions six hours apart every value at a quarter is told, midnight of the next day among them."""
    price = [(100.0 + n, 101.0 + n, 99.0 + n, 100.0 + n) for n in range(100)]
    told = played(Told(*candles(*price)), [order(3, LONG)], 1441)
    values = {one.as_of: one.unrealised for one in reports(told)}
    # The bar before a quarter closed at 100 + n, and the entry was at 101.
    assert all(values[instant(15 * (n + 1))] == 2 * (n - 1) for n in range(2, 96))
    assert values[instant(1440)] == 2 * 94


def test_begun_again_it_tells_what_follows_an_execution() -> None:
    """After `begin` all orders are told again; executions up to the given one are not, and the account is the same."""
    bars = Told(*candles(STILL, STILL, STILL, (94.0, 95.0, 93.0, 94.0), STILL))
    orders = [order(3, LONG, "2", stop="95"), order(20, LONG, "1"), order(50, SHORT, "1", strategy="b")]
    whole = played(bars, orders, 75)
    again = engine(bars)
    again.due(instant(75))
    for after in range(len(executions(whole)) + 1):
        again.begin(after)
        for one in orders:
            again.promoted(one)
        told = again.due(instant(75))
        assert executions(told) == executions(whole)[after:]
        assert last(told) == last(whole)


def test_orders_of_later_are_not_reported_before_their_time() -> None:
    """Told anew after a restart, an order is pending from its decision on, not from the beginning of the day."""
    again = engine(Told(*candles(STILL, STILL, STILL)))
    for one in (order(3, LONG), order(31, LONG)):
        again.promoted(one)
    assert {one.orders for one in reports(again.due(instant(45))) if one.as_of < instant(31)} == {()}


def test_time_that_goes_back_brings_nothing() -> None:
    """Asked for a time that was passed already, nothing is told, and nothing twice afterwards."""
    asked = engine(Told(*candles(STILL, STILL, STILL)))
    asked.promoted(order(3, LONG))
    assert len(executions(asked.due(instant(40)))) == 1
    assert asked.due(instant(20)) == ()
    assert executions(asked.due(instant(41))) == []
