"""Which word of the engine counts: fills told twice, parts, exits, fees; and which promoted orders may still fill."""

from __future__ import annotations

from decimal import Decimal

import pytest

from builders_account import MORNING, at, entry, exit_of, later, promoted_order, report
from petrosa_cio.apps.nurse.facts import OpenOrder, Side
from petrosa_cio.apps.nurse.fills import PENDING_SECONDS, RETENTION
from petrosa_cio.apps.nurse.happenings import ExecutionKind
from petrosa_cio.apps.nurse.holdings import Holdings
from petrosa_cio.apps.nurse.models import SECOND

D = Decimal
PART, PLACED, REJECTED = ExecutionKind.PARTIAL_FILL, ExecutionKind.PLACED, ExecutionKind.REJECTED
MICROSECOND = 1000


def holdings_with(order=None) -> Holdings:
    holdings = Holdings()
    holdings.reported(report(later(-60)))
    if order is not None:
        holdings.promoted(order)
    return holdings


def orders(holdings: Holdings, now: int) -> tuple[OpenOrder, ...]:
    found = holdings.portfolio("BTCUSDT", "momo", Side.LONG, now)
    assert found is not None
    assert found.orders is not None
    return found.orders


def held(holdings: Holdings) -> Decimal:
    found = holdings.portfolio("BTCUSDT", "momo", Side.LONG, later(60))
    assert found is not None
    return sum((one.quantity for one in found.positions or ()), D(0))


def realised(holdings: Holdings) -> Decimal | None:
    found = holdings.portfolio("BTCUSDT", "momo", Side.LONG, later(60))
    return None if found is None else found.realised_today


@pytest.mark.parametrize(
    ("promoted", "words", "news", "filled"),
    [
        ("2", [("a", "2"), ("a", "2")], [True, False], "2"),
        ("2", [("a", "2"), ("b", "2")], [True, False], "2"),
        (None, [("a", "2"), ("b", "2")], [True, False], "2"),
        ("1", [("a", "2"), ("b", "2")], [True, False], "2"),
        ("3", [("a", "2"), ("b", "2")], [True, False], "2"),
        ("2", [("part", "0.5"), ("a", "2")], [True, True], "2"),
        ("2", [("part", "0.5"), ("a", "1.5")], [True, True], "2"),
        ("2", [("part", "0.5"), ("part", "0.7"), ("a", "0.8")], [True, True, True], "2"),
        (None, [("part", "0.5"), ("a", "1.5")], [True, True], "2"),
        (None, [("part", "0.5"), ("a", "2")], [True, True], "2.5"),
        ("2", [("a", "1.2"), ("b", "0.8"), ("c", "0.3")], [True, True, False], "2"),
        ("2", [("a", None), ("b", "2")], [True, False], "2"),
    ],
    ids=[
        "the same order id",
        "another order id",
        "what was promoted is not known",
        "raised to the exchange's minimum",
        "rounded down by the engine",
        "a part, then the whole",
        "a part, then the rest",
        "two parts of one order, then the rest",
        "a part and the rest of an unknown size",
        "a part and the whole of an unknown size: too much is the safe mistake",
        "two orders, and more than was promoted",
        "the first telling says no quantity",
    ],
)
def test_what_is_told_of_an_entry_adds_up_to_what_was_filled(promoted, words, news, filled) -> None:
    """The same fill told twice counts once, whatever order ids it is told under."""
    known = None if promoted is None else promoted_order(quantity=D(promoted), notional=D(promoted) * 100)
    holdings = holdings_with(known)
    heard = []
    for number, (order_id, quantity) in enumerate(words):
        kind = PART if order_id == "part" else ExecutionKind.FILLED
        heard.append(holdings.executed(entry("d1", later(number), quantity, order_id=order_id, kind=kind)))
    assert heard == news
    assert held(holdings) == D(filled)


@pytest.mark.parametrize(
    ("words", "news", "pnl"),
    [
        ([("x", "2", "-10"), ("x", "2", "-10")], [True, False], "-10"),
        ([("x", "2", "-10"), ("y", "2", "-10")], [True, False], "-10"),
        ([("x", "1", "-5"), ("y", "1", "-5")], [True, True], "-10"),
        ([("x", "1", "-5"), ("y", "1", "-5"), ("z", "1", "-5")], [True, True, False], "-10"),
        ([("x", "2", "-10"), ("y", "2", "-11")], [True, True], "-21"),
    ],
    ids=["the same order id", "another order id", "two halves", "two halves and a repeat", "not the same trade"],
)
def test_an_exit_told_twice_counts_once(words, news, pnl) -> None:
    """The same quantity, price and profit again, beyond what the decision filled, is the same exit."""
    holdings = holdings_with(promoted_order())
    holdings.executed(entry("d1", later(1)))
    told = [
        exit_of("d1", later(10 + number), profit, quantity, "95", order_id=order_id)
        for number, (order_id, quantity, profit) in enumerate(words)
    ]
    assert [holdings.executed(one) for one in told] == news
    assert realised(holdings) == D(pnl)


@pytest.mark.parametrize("order_id", ["o-d1", "another"])
def test_a_fee_that_only_the_second_telling_has_is_counted_once(order_id) -> None:
    """The exchange's answer has none, the user-data stream has it; a third telling adds nothing."""
    holdings = holdings_with(promoted_order())
    assert holdings.executed(entry("d1", later(1), fee="0"))
    assert holdings.executed(entry("d1", later(2), fee="0.2", order_id=order_id))
    assert not holdings.executed(entry("d1", later(3), fee="0.2", order_id=order_id))
    assert not holdings.executed(entry("d1", later(4), fee="0.2"))
    assert realised(holdings) == D("-0.2")
    assert held(holdings) == 2


def test_a_stream_that_was_made_anew_tells_news_under_old_numbers() -> None:
    """A repeat is known by what it says, under whatever number; the cursor is the number that was folded last."""
    holdings = holdings_with()
    assert holdings.cursor == 0
    assert holdings.executed(entry("d1", later(1), sequence=7))
    assert not holdings.executed(entry("d1", later(1), sequence=8))
    assert holdings.cursor == 7
    assert holdings.executed(entry("d2", later(2), sequence=1))
    assert holdings.cursor == 1


def test_an_old_number_with_a_word_too_old_to_be_recognised_is_a_repeat() -> None:
    """Words are remembered for two days; what is read anew of before is not counted a second time."""
    holdings = holdings_with()
    assert holdings.executed(entry("d1", later(1), sequence=7))
    holdings.reported(report(later(1) + RETENTION + SECOND))
    assert not holdings.executed(entry("d1", later(1), sequence=7))
    assert holdings.executed(entry("d1", later(1), sequence=8))  # a late word, never read before


def test_a_word_without_order_and_decision_is_known_by_all_it_says() -> None:
    """The same word again is a repeat; one that differs in anything is not."""
    holdings = holdings_with()
    bare = entry("", later(1))
    assert holdings.executed(bare)
    assert not holdings.executed(bare)
    assert holdings.executed(entry("", later(2)))
    assert held(holdings) == 4


@pytest.mark.parametrize(
    ("now", "open_"),
    [(PENDING_SECONDS * SECOND, True), (PENDING_SECONDS * SECOND + MICROSECOND, False)],
    ids=["at the limit", "beyond it"],
)
def test_an_order_of_which_nothing_is_heard_may_fill_for_300_seconds(now, open_) -> None:
    """The engine refuses older signals; asking changes nothing, and a fill heard later counts all the same."""
    holdings = holdings_with(promoted_order())
    for _ in range(2):
        assert bool(orders(holdings, MORNING + now)) is open_
        assert len(orders(holdings, MORNING + 1)) == 1
    holdings.executed(entry("d1", later(400), None))
    assert held(holdings) == 2


@pytest.mark.parametrize(
    ("happens", "left"),
    [
        (lambda h: h.executed(entry("d1", later(1))), None),
        (lambda h: h.executed(entry("d1", later(1), kind=REJECTED)), None),
        (lambda h: h.expired("d1"), None),
        (lambda h: h.executed(entry("d1", later(1), "0.5", kind=PART)), "1.5"),
        (lambda h: h.executed(entry("d1", later(1), "2", kind=PART)), None),
        (lambda h: h.executed(entry("d1", later(1), kind=PLACED)), "2"),
        (lambda h: h.executed(exit_of("d1", later(1), kind=REJECTED)), "2"),
        (lambda h: h.executed(entry("other", later(1))), "2"),
    ],
    ids=["filled", "refused", "expired", "a part", "all in parts", "placed", "its stop is refused", "another decision"],
)
def test_a_promoted_order_is_open_until_it_is_told_what_became_of_it(happens, left) -> None:
    """What is not filled of it counts, at its price and leverage."""
    holdings = holdings_with(promoted_order())
    happens(holdings)
    expected = () if left is None else (OpenOrder("BTCUSDT", Side.LONG, D(left), D(left) * 100, D(5)),)
    assert orders(holdings, later(2)) == expected


@pytest.mark.parametrize("word", [entry("d1", later(10), kind=PLACED), entry("d1", later(10), "0.5", kind=PART)])
def test_an_order_at_the_exchange_is_open_until_a_report_of_orders_is_later(word) -> None:
    """A report that does not tell orders says nothing of it; one that does has it, or it is gone."""
    holdings = holdings_with(promoted_order())
    holdings.executed(word)
    holdings.reported(report(later(2000)))
    assert len(orders(holdings, later(2000))) == 1
    other = OpenOrder("ETHUSDT", Side.SHORT, D(1), D(50), D(2))
    holdings.reported(report(later(2001), orders=(other,)))
    assert orders(holdings, later(2001)) == (other,)


def test_a_report_of_orders_before_an_order_was_placed_leaves_it_open() -> None:
    """What the report cannot hold yet counts besides."""
    holdings = holdings_with(promoted_order())
    holdings.executed(entry("d1", later(10), kind=PLACED))
    holdings.reported(report(later(9), orders=()))
    assert len(orders(holdings, later(11))) == 1


def test_a_close_adds_no_order() -> None:
    """It opens nothing."""
    assert orders(holdings_with(promoted_order(side=None)), MORNING) == ()


@pytest.mark.parametrize(("notional", "shown"), [(None, 0), (D(50), 50)])
def test_an_order_of_unknown_size_still_counts_as_one(notional, shown) -> None:
    """With no quantity, and the notional that is known."""
    found = orders(holdings_with(promoted_order(quantity=None, notional=notional)), MORNING)
    assert found == (OpenOrder("BTCUSDT", Side.LONG, D(0), D(shown), D(5)),)


def test_an_order_promoted_twice_or_after_its_end_is_not_open_again() -> None:
    """A decision has one order."""
    holdings = holdings_with(promoted_order())
    holdings.promoted(promoted_order())
    assert len(orders(holdings, MORNING)) == 1
    holdings.executed(entry("d1", later(1), kind=REJECTED))
    holdings.promoted(promoted_order())
    assert orders(holdings, later(1)) == ()


def test_what_was_told_is_forgotten_two_days_later() -> None:
    """Words, decisions and orders without a word do not pile up; results and strategies stay."""
    holdings = holdings_with()
    for number in range(50):
        holdings.promoted(promoted_order(f"d{number}", later(number)))
        holdings.promoted(promoted_order(f"silent{number}", later(number)))
        holdings.executed(entry(f"d{number}", later(number), fee="1"))
        holdings.executed(exit_of(f"d{number}", later(number), "3"))
        holdings.executed(entry(f"placed{number}", later(number), kind=PLACED))
    before = holdings.content()["fills"]
    assert [len(before[name]) for name in ("words", "told", "waiting", "placed")] == [150, 100, 50, 0]
    holdings.reported(report(later(50) + RETENTION + SECOND, positions=(), orders=()))
    after = holdings.content()
    assert [len(after["fills"][name]) for name in ("words", "told", "waiting", "placed")] == [0, 0, 0, 0]
    assert after["ahead"] == []
    found = holdings.portfolio("BTCUSDT", "momo", Side.LONG, later(60) + RETENTION)
    assert found is not None
    assert [(one.result, one.peak) for one in found.strategies or ()] == [(D(100), D(100))]


def test_orders_that_were_placed_and_never_heard_of_again_are_forgotten_too() -> None:
    """Where no report tells orders, after two days."""
    holdings = holdings_with(promoted_order())
    holdings.executed(entry("d1", later(1), kind=PLACED))
    holdings.reported(report(later(1) + RETENTION))
    assert len(orders(holdings, later(1) + RETENTION)) == 1
    holdings.reported(report(later(2) + RETENTION))
    assert orders(holdings, later(2) + RETENTION) == ()


def test_a_day_begins_at_midnight_for_words_too() -> None:
    """A fill of yesterday told today is no result of today."""
    holdings = Holdings()
    holdings.reported(report(at("00:00:01")))
    holdings.executed(exit_of("d1", at("23:59:59", "2026-11-23"), "-5"))
    holdings.executed(exit_of("d2", at("00:00"), "-7"))
    assert realised(holdings) == D(-7)
