"""Minute bars out of trades: which minutes are known, and what their bars are."""

from __future__ import annotations

from builders_bars import MINUTE, T0
from builders_market import SYMBOL, at, traded
from petrosa_cio.apps.nurse.minutes import Minutes


def built(*steps: tuple[float, str | None]) -> list[tuple[float, ...]]:
    """Bars that end as steps come: trades of quantity 2 at a price, or (None) another message of the symbol."""
    minutes = Minutes(SYMBOL)
    found = []
    for second, price in steps:
        bar = minutes.seen(at(second), at(second))
        if bar is not None:
            assert bar.close_time_ms == bar.open_time_ms + MINUTE - 1
            minute = (bar.open_time_ms - T0) // MINUTE
            found.append((minute, bar.open, bar.high, bar.low, bar.close, bar.volume))
        if price is not None:
            minutes.traded(traded(second, price, "2"))
    return found


def test_a_minute_is_the_trades_in_it() -> None:
    """Open, high, low and close are those of its trades, and its volume their sum."""
    assert built((10, "9"), (60, "10"), (70, "12"), (80, "8"), (119, "11"), (120, "11")) == [(1, 10, 12, 8, 11, 8)]


def test_the_first_minute_is_left_out() -> None:
    """It began before anybody listened."""
    assert built((10, "9"), (60, "10")) == []


def test_a_minute_with_messages_and_no_trade_is_flat() -> None:
    """It has the last close for every price, and no volume."""
    assert built((10, "9"), (60, None), (120, None)) == [(1, 9, 9, 9, 9, 0)]


def test_a_minute_without_any_message_is_unknown_and_so_is_the_one_after() -> None:
    """Silence is a gap, never a quiet minute: whether there were trades nobody knows."""
    assert built((10, "9"), (60, "10"), (185, "11"), (240, "12"), (300, None)) == [
        (1, 10, 10, 10, 10, 2),
        (4, 12, 12, 12, 12, 2),
    ]


def test_nothing_is_flat_before_a_price_is_known() -> None:
    """Messages without any trade make no bar."""
    assert built((10, None), (60, None), (120, None), (180, "9"), (240, None)) == [(3, 9, 9, 9, 9, 2)]


def test_a_trade_that_comes_late_changes_no_minute() -> None:
    """A trade of a minute that has ended is left out of the one that is being filled."""
    minutes = Minutes(SYMBOL)
    for second, price in ((10, "9"), (60, "10"), (120, "11")):
        minutes.seen(at(second), at(second))
        minutes.traded(traded(second, price))
    minutes.traded(traded(119, "50"))
    bar = minutes.seen(at(180), at(180))
    assert bar is not None
    assert (bar.high, bar.volume) == (11, 1)


def test_a_price_without_a_quantity_is_no_trade() -> None:
    """Word of the last price, as a ticker brings it, builds no bar."""
    minutes = Minutes(SYMBOL)
    for second in (10, 60):
        minutes.seen(at(second), at(second))
        minutes.traded(traded(second, "10", None))
    assert minutes.seen(at(120), at(120)) is None
