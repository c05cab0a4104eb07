"""What an account holds and has lost, worked out by hand from what happened to it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders import policy_of
from builders_account import MORNING, at, entry, exit_of, later, promoted_order, report
from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side, StrategyResult, Streak
from petrosa_cio.apps.nurse.happenings import ExecutionKind
from petrosa_cio.apps.nurse.holdings import Holdings
from petrosa_cio.apps.nurse.soundness import sound_account

D = Decimal
NOON = at("12:00")
BTC_LONG = Position("BTCUSDT", Side.LONG, D(2), D(100), D(200), D(5))
ETH = {"strategy_id": "fade", "symbol": "ETHUSDT", "side": Side.SHORT}


def seen(holdings: Holdings, now=NOON, symbol="BTCUSDT", strategy="momo", side=Side.LONG):
    found = holdings.portfolio(symbol, strategy, side, now)
    assert found is not None
    return found


def money(holdings: Holdings, now) -> tuple:
    found = seen(holdings, now)
    return (found.equity, found.day_start_equity, found.peak_equity, found.realised_today, found.open_today)


def figures(*texts: str) -> tuple[Decimal, ...]:
    return tuple(map(D, texts))


def test_a_day_of_two_strategies_comes_to_what_is_worked_out_by_hand() -> None:
    """Fees, a profit, a stop-out and a midnight, step by step: equity, day's start, peak, realised, open."""
    holdings = Holdings()
    holdings.reported(report(at("08:00"), "10000", "0", positions=(), orders=()))
    holdings.promoted(promoted_order("d1", at("09:00")))
    assert seen(holdings, at("09:00")).orders == (OpenOrder("BTCUSDT", Side.LONG, D(2), D(200), D(5)),)
    assert holdings.executed(entry("d1", at("09:00:01"), "2", "100", "0.08"))
    assert seen(holdings, at("09:00:01")).orders == ()
    assert seen(holdings, at("09:00:01")).positions == (
        Position("BTCUSDT", Side.LONG, D(2), D(100), D(200), D(5), strategy_id="momo"),
    )
    holdings.reported(report(at("09:00:10"), "9999.92", "0", positions=(BTC_LONG,), orders=()))
    assert seen(holdings, at("09:00:10")).positions == (BTC_LONG,)

    # Two strategies: BTC marked at 102 (+4), 10 ETH sold at 50 marked at 50.5 (-5).
    holdings.promoted(promoted_order("d2", at("10:00"), quantity=D(10), notional=D(500), price=D(50), **ETH))
    holdings.executed(entry("d2", at("10:00:01"), "10", "50", "0.2", **ETH))
    both = (
        Position("BTCUSDT", Side.LONG, D(2), D(100), D(204), D(5)),
        Position("ETHUSDT", Side.SHORT, D(10), D(50), D(505), D(5)),
    )
    holdings.reported(report(at("10:00:10"), "9999.72", "-1", positions=both, orders=()))
    assert money(holdings, at("10:00:10")) == figures("9998.72", "10000", "10000", "-0.28", "-1")
    assert seen(holdings).strategies == (StrategyResult("momo", D("3.92"), D("3.92")),)
    assert seen(holdings, strategy="fade").strategies == (StrategyResult("fade", D("-5.2"), D(0)),)

    holdings.executed(exit_of("d1", at("11:00"), "10", "2", "105", "0.084"))
    assert [one.symbol for one in seen(holdings).positions or ()] == ["ETHUSDT"]
    holdings.reported(report(at("11:00:05"), "10009.636", "-5", positions=both[1:], orders=()))
    assert money(holdings, at("11:00:05")) == figures("10004.636", "10000", "10004.636", "9.636", "-5")
    assert holdings.peak_at == at("11:00:05")

    holdings.executed(exit_of("d2", at("12:00"), "-20", "10", "52", "0.208", stopped=True, **ETH))
    holdings.reported(report(at("12:00:05"), "9989.428", "0", positions=(), orders=()))
    assert money(holdings, at("12:00:05")) == figures("9989.428", "10000", "10004.636", "-10.572", "0")
    assert seen(holdings).strategies == (StrategyResult("momo", D("9.836"), D("9.836")),)
    assert seen(holdings, strategy="fade").strategies == (StrategyResult("fade", D("-20.408"), D(0)),)
    assert seen(holdings).streaks == (
        Streak("global", 1, at("12:00")),
        Streak("symbol:BTCUSDT", 0),
        Streak("strategy:momo", 0),
        Streak("symbol:BTCUSDT:LONG", 0),
    )
    assert [(one.scope, one.losses) for one in seen(holdings, NOON, "ETHUSDT", "fade", Side.SHORT).streaks or ()] == [
        ("global", 1),
        ("symbol:ETHUSDT", 1),
        ("strategy:fade", 1),
        ("symbol:ETHUSDT:SHORT", 1),
    ]

    # Over midnight with one BTC open: marked at 103 before, 102 at the first report of the day, 99 an hour later.
    holdings.promoted(promoted_order("d3", at("23:50"), quantity=D(1), notional=D(100)))
    holdings.executed(entry("d3", at("23:50:01"), "1", "100", "0.04"))
    holdings.reported(report(at("23:59:55"), "9989.388", "3"))
    assert money(holdings, at("23:59:59")) == figures("9992.388", "10000", "10004.636", "-10.612", "3")
    tomorrow = "2026-11-25"
    assert money(holdings, at("00:00:02", tomorrow)) == figures("9992.388", "9992.388", "10004.636", "0", "0")
    holdings.reported(report(at("00:00:05", tomorrow), "9989.388", "2"))
    assert money(holdings, at("00:00:05", tomorrow)) == figures("9991.388", "9991.388", "10004.636", "0", "0")
    holdings.reported(report(at("01:00", tomorrow), "9989.388", "-1"))
    assert money(holdings, at("01:00", tomorrow)) == figures("9988.388", "9991.388", "10004.636", "0", "-3")
    holdings.executed(exit_of("d3", at("02:00", tomorrow), "-2", "1", "98", "0.04"))
    # 1 of the 2.04 was unrealised in the report; the rest is missing in it, and counts at once.
    assert money(holdings, at("02:00", tomorrow)) == figures("9987.348", "9991.388", "10004.636", "-2.04", "-2")
    holdings.reported(report(at("02:00:05", tomorrow), "9987.348", "0"))
    assert money(holdings, at("02:00:05", tomorrow)) == figures("9987.348", "9991.388", "10004.636", "-2.04", "-2")


def test_nothing_is_known_before_the_first_report() -> None:
    """Fills alone tell of no equity, so they make no portfolio."""
    holdings = Holdings()
    assert holdings.executed(entry())
    assert holdings.portfolio("BTCUSDT", "momo", Side.LONG, NOON) is None
    assert holdings.reported(report())
    assert seen(holdings).as_of == at("09:00")


@pytest.mark.parametrize(
    ("origin", "first", "second", "taken"),
    [
        ("", report(origin="binance"), report(at("09:01")), (True, False)),
        ("engine", report(origin="binance"), report(at("09:01")), (False, True)),
        ("", report(), report(), (True, False)),
        ("", report(), report(at("08:59")), (True, False)),
        ("", report(wallet="NaN"), report(), (False, True)),
    ],
    ids=["keeps to the first origin", "only its own origin", "the same moment", "older", "no number"],
)
def test_figures_of_different_origin_or_age_are_never_put_together(origin, first, second, taken) -> None:
    """Reports of one origin, each newer than the last, with a wallet that is a number."""
    holdings = Holdings(origin)
    assert (holdings.reported(first), holdings.reported(second)) == taken


def test_an_account_first_heard_at_midday_began_the_day_with_what_it_had_before_its_fills() -> None:
    """Equity less what was realised since 00:00; yesterday's fill is no part of it, one of today told late is."""
    holdings = Holdings()
    holdings.executed(exit_of("d0", at("23:00", "2026-11-23"), "500"))
    holdings.executed(exit_of("d1", at("07:00"), "-30"))
    holdings.reported(report(at("08:00"), "970", "5"))
    assert money(holdings, at("08:00")) == figures("975", "1005", "975", "-30", "0")
    holdings.executed(exit_of("d2", at("07:30"), "-4"))
    assert money(holdings, at("08:00")) == figures("975", "1009", "975", "-34", "0")
    holdings.reported(report(at("08:00:05"), "970", "5"))
    holdings.reported(report(at("08:02"), "970", "5"))
    assert money(holdings, at("08:02")) == figures("975", "1009", "975", "-34", "0")


def test_equity_is_unknown_where_the_unrealised_profit_is() -> None:
    """A wallet alone is no equity; what fills realised is known all the same."""
    holdings = Holdings()
    holdings.reported(report(unrealised=None))
    holdings.executed(exit_of("d1", at("09:01"), "-7", fee="1"))
    assert money(holdings, NOON) == (None, None, None, D(-8), None)


@pytest.mark.parametrize("delay", ["09:00:09", "09:00:10", "09:00:11"])
@pytest.mark.parametrize("pnl", ["-50", "50"])
def test_a_close_counts_once_whether_its_word_or_its_report_comes_first(delay, pnl) -> None:
    """The day's loss is the fall of equity at every moment, though wallet, word and clocks race; no peak is made."""
    for word_first in (True, False):
        holdings = Holdings()
        holdings.reported(report(at("09:00"), "1000", pnl))
        close = exit_of("d1", at(delay), pnl)
        closed = report(at("09:00:10"), str(1000 + int(pnl)), "0")
        for word in (True, False) if word_first else (False, True):
            assert holdings.executed(close) if word else holdings.reported(closed)
            equity, start, peak, realised, opened = money(holdings, at("09:00:12"))
            assert equity == start == peak == 1000 + int(pnl)
            assert realised + opened == 0
        holdings.reported(report(at("09:00:15"), str(1000 + int(pnl)), "0"))
        assert money(holdings, at("09:00:15"))[3:] == (D(pnl), -D(pnl))
        holdings.reported(report(at("09:05"), str(1000 + int(pnl)), "0"))
        assert money(holdings, at("09:05")) == (equity, equity, equity, D(pnl), -D(pnl))


@pytest.mark.parametrize(
    ("unrealised", "positions", "pnl", "equity"),
    [
        ("0", (), "-30", "970"),
        ("0", (replace(BTC_LONG, notional=D(170)),), "-30", "1000"),
        ("0", (replace(BTC_LONG, notional=D(180)),), "-30", "990"),
        ("0", (replace(BTC_LONG, notional=D(210)),), "-30", "960"),
        ("0", (), "30", "1000"),
        ("-30", None, "-30", "970"),
        ("-12", None, "-30", "970"),
        ("-40", None, "-30", "960"),
    ],
    ids=[
        "nothing was known of it",
        "all of it was unrealised",
        "a part was unrealised",
        "what was up is gone too",
        "a gain",
        "all, where no position is told",
        "a part, where none is told",
        "more, where none is told",
    ],
)
def test_a_loss_counts_before_a_report_holds_it(unrealised, positions, pnl, equity) -> None:
    """As far as the report did not show it as unrealised on what was closed; a gain waits for the next report."""
    holdings = Holdings()
    holdings.reported(report(at("09:00"), "1000", unrealised, positions=positions, orders=()))
    holdings.executed(exit_of("d1", at("09:00:01"), pnl, "2"))
    found = seen(holdings, at("09:00:02"))
    assert (found.equity, found.realised_today) == (D(equity), D(pnl))
    assert found.realised_today + found.open_today == found.equity - found.day_start_equity


def test_a_loss_that_the_wallet_shows_already_is_not_counted_twice() -> None:
    """The report is dated before the fill that it holds: what the wallet lost unexplained is that fill."""
    holdings = Holdings()
    holdings.reported(report(at("09:00"), "1000", "0", positions=(), orders=()))
    holdings.executed(exit_of("d1", at("09:01"), "-30", "2"))
    assert money(holdings, at("09:01")) == figures("970", "1000", "1000", "-30", "0")
    holdings.reported(report(at("09:00:59"), "970", "0", positions=(), orders=()))
    assert money(holdings, at("09:01")) == figures("970", "1000", "1000", "-30", "0")
    holdings.executed(exit_of("d2", at("09:01:01"), "-5", "2"))
    assert money(holdings, at("09:01:01")) == figures("965", "1000", "1000", "-35", "0")


def test_a_loss_before_midnight_that_no_report_held_is_none_of_the_new_day() -> None:
    """It lowers what the day begins with; one of the new day is a loss of it."""
    tomorrow, holdings = "2026-11-25", Holdings()
    holdings.reported(report(at("23:59:50"), "1000", "0", positions=(), orders=()))
    holdings.executed(exit_of("d1", at("23:59:55"), "-30", "2"))
    assert money(holdings, at("00:00:01", tomorrow)) == figures("970", "970", "1000", "0", "0")
    holdings.executed(exit_of("d2", at("00:00:01", tomorrow), "-5", "2"))
    assert money(holdings, at("00:00:02", tomorrow)) == figures("965", "970", "1000", "-5", "0")


def test_another_origin_begins_with_no_balance_and_the_same_fills() -> None:
    """Nothing is known until it reports; what fills realised today stays, and the day began with the rest."""
    holdings = Holdings("engine")
    holdings.reported(report(at("09:00"), "1000", "0"))
    holdings.executed(exit_of("d1", at("09:30"), "-30", sequence=4))
    holdings.under("binance")
    assert holdings.portfolio("BTCUSDT", "momo", Side.LONG, NOON) is None
    assert holdings.cursor == 4
    assert not holdings.reported(report(at("10:00"), "1000", "0"))
    assert holdings.reported(report(at("10:00"), "4970", "0", origin="binance"))
    assert money(holdings, NOON) == figures("4970", "5000", "4970", "-30", "0")


@pytest.mark.parametrize("settled", [False, True], ids=["at once", "once it has stood"])
def test_a_deposit_is_no_profit(settled) -> None:
    """It raises the day's start and the peak with it: the loss of the day and the drawdown stay what they were."""
    holdings = Holdings()
    holdings.reported(report(at("09:00"), "1000"))
    holdings.executed(exit_of("d1", at("09:30"), "-40"))
    holdings.reported(report(at("09:31"), "960"))
    holdings.reported(report(at("09:32"), "1460"))
    if settled:
        holdings.reported(report(at("09:33"), "1460"))
        holdings.reported(report(at("09:40"), "1460"))
    assert money(holdings, NOON) == figures("1460", "1500", "1500", "-40", "0")


def test_a_deposit_is_told_from_a_profit_whose_word_is_late() -> None:
    """Only what stood for the whole minute is settled: the profit that came at its end is none of it."""
    holdings = Holdings()
    holdings.reported(report(at("09:00"), "1000", "50"))
    holdings.reported(report(at("09:01"), "1500", "50"))
    holdings.reported(report(at("09:02"), "1550", "0"))
    holdings.executed(exit_of("d1", at("09:01:59"), "50"))
    for clock in ("09:02:05", "09:05", "09:10"):
        holdings.reported(report(at(clock), "1550", "0"))
        assert money(holdings, at(clock)) == figures("1550", "1550", "1550", "50", "-50")


def test_a_fill_told_before_the_first_report_that_lacks_it_is_not_in_the_day_s_start() -> None:
    """The report's equity is of before the fill, and so is the day's start that comes of it."""
    holdings = Holdings()
    holdings.executed(exit_of("d1", at("09:02"), "-30"))
    holdings.reported(report(at("09:01"), "1000", "-30"))
    assert money(holdings, at("09:02")) == figures("970", "970", "970", "-30", "30")
    holdings.reported(report(at("09:03"), "970", "0"))
    assert money(holdings, at("09:03")) == figures("970", "970", "970", "-30", "30")


def test_what_leaves_the_wallet_unexplained_is_a_loss_of_its_day() -> None:
    """Funding or a withdrawal, nobody can say: part of the open result at once, realised once it has stood a minute."""
    holdings = Holdings()
    holdings.reported(report(at("09:00"), "1000"))
    holdings.reported(report(at("09:10"), "990"))
    assert money(holdings, NOON) == figures("990", "1000", "1000", "0", "-10")
    holdings.reported(report(at("09:10:59"), "990"))
    assert money(holdings, NOON) == figures("990", "1000", "1000", "0", "-10")
    holdings.reported(report(at("09:11"), "990"))
    assert money(holdings, NOON) == figures("990", "1000", "1000", "-10", "0")
    holdings.reported(report(at("09:12"), "1090"))
    holdings.reported(report(at("09:14"), "1090"))
    assert money(holdings, NOON) == figures("1090", "1100", "1100", "-10", "0")
    tomorrow = "2026-11-25"
    holdings.reported(report(at("00:00", tomorrow), "1090"))
    assert money(holdings, at("00:00", tomorrow)) == figures("1090", "1090", "1100", "0", "0")


def test_a_deposit_before_midnight_is_not_counted_again_after_it() -> None:
    """Unsettled when the day begins, it is in the day's start already."""
    holdings = Holdings()
    holdings.reported(report(at("23:00"), "1000"))
    holdings.reported(report(at("23:59:50"), "1500"))
    tomorrow = "2026-11-25"
    for clock in ("00:00:10", "00:00:40", "00:02"):
        holdings.reported(report(at(clock, tomorrow), "1500"))
        assert money(holdings, at(clock, tomorrow)) == figures("1500", "1500", "1500", "0", "0")


@pytest.mark.parametrize(("asset", "realised", "unpriced"), [("USDC", "-3", 0), ("BNB", "0", 1), (None, "0", 1)])
def test_a_fee_counts_in_the_quote_asset_alone(asset, realised, unpriced) -> None:
    """One in another asset cannot be priced, and is counted."""
    holdings = Holdings()
    holdings.reported(report())
    holdings.executed(entry("d1", at("09:01"), fee="3", fee_asset=asset))
    assert seen(holdings).realised_today == D(realised)
    assert holdings.unpriced_fees == unpriced


def test_a_close_takes_off_the_position_of_its_own_strategy() -> None:
    """Two strategies hold the same symbol and side; the other's part stays whole. What fills told has its owner."""
    holdings = Holdings()
    holdings.reported(report())
    holdings.executed(entry("d1", at("09:01"), "2", "100"))
    holdings.executed(entry("d2", at("09:02"), "3", "110", strategy_id="fade"))
    holdings.executed(exit_of("d1", at("09:03"), "10", "2", "105"))
    held = Position("BTCUSDT", Side.LONG, D(3), D(110), D(315), D(1), strategy_id="fade")
    assert seen(holdings).positions == (held,)
    holdings.reported(report(at("09:01:30"), positions=(BTC_LONG,)))
    assert seen(holdings).positions == (Position("BTCUSDT", Side.LONG, D(3), D(110), D(330), D(1), None, "fade"),)


def test_a_close_since_the_report_takes_off_its_own_part_and_then_what_nobody_is_known_to_own() -> None:
    """What a report tells has no owner; another strategy's part comes last."""
    holdings = Holdings()
    holdings.reported(report(positions=(BTC_LONG,)))
    holdings.executed(entry("d1", at("09:01"), "3", strategy_id="fade"))
    holdings.executed(entry("d2", at("09:02"), "1"))
    holdings.executed(exit_of("d2", at("09:03"), "5", "1"))
    fade = Position("BTCUSDT", Side.LONG, D(3), D(100), D(300), D(1), strategy_id="fade")
    assert seen(holdings).positions == (BTC_LONG, fade)
    holdings.executed(exit_of("d0", at("09:04"), "5", "0.5"))
    assert seen(holdings).positions == (Position("BTCUSDT", Side.LONG, D("1.5"), D(100), D(150), D(5)), fade)


def test_a_close_told_before_the_entry_of_its_moment_still_finds_it() -> None:
    """Where a report tells the positions, what is filled at one moment opens before it closes."""
    holdings = Holdings()
    holdings.reported(report(positions=()))
    holdings.executed(exit_of("d1", at("09:01"), "5", "2"))
    holdings.executed(entry("d1", at("09:01"), "2"))
    assert seen(holdings).positions == ()


def test_positions_are_worked_out_from_fills_where_no_report_tells_them() -> None:
    """Average entry, the last price told, the leverage of the promoted order; a closed one is gone."""
    holdings = Holdings()
    holdings.reported(report())
    for decision_id, price in (("d1", "100"), ("d2", "110")):
        holdings.promoted(promoted_order(decision_id))
        holdings.executed(entry(decision_id, at("09:01" if decision_id == "d1" else "09:02"), "2", price))
    assert seen(holdings).positions == (Position("BTCUSDT", Side.LONG, D(4), D(105), D(440), D(5), None, "momo"),)
    holdings.executed(exit_of("d1", at("09:03"), None, "1", "120"))
    assert seen(holdings).positions == (Position("BTCUSDT", Side.LONG, D(3), D(105), D(360), D(5), None, "momo"),)
    assert seen(holdings).realised_today == D(15)
    holdings.executed(exit_of("d2", at("09:04"), None, None, "90", kind=ExecutionKind.FORCE_CLOSED, order_id="f"))
    assert seen(holdings).positions == ()
    assert seen(holdings).realised_today == D(-30)


def test_a_close_without_a_word_ends_the_open_part_of_its_strategy() -> None:
    """A manual close or a liquidation, told by the report's positions alone: at the last price, once it is no race."""
    holdings = Holdings()
    holdings.executed(entry("d1", at("09:00")))
    marked = Position("BTCUSDT", Side.LONG, D(2), D(100), D(180), D(5))
    holdings.reported(report(at("09:00:59"), positions=()))
    assert seen(holdings).strategies == (StrategyResult("momo", D(0), D(0)),)
    holdings.reported(report(at("09:01"), "10000", "-20", positions=(marked,)))
    assert seen(holdings).strategies == (StrategyResult("momo", D(-20), D(0)),)
    holdings.reported(report(at("09:02"), "9980", positions=()))
    holdings.reported(report(at("09:03"), "9980"))
    assert seen(holdings).positions == ()
    assert seen(holdings).strategies == (StrategyResult("momo", D(-20), D(0)),)


def test_a_close_of_unknown_profit_is_counted() -> None:
    """Without an entry there is nothing to work it out from; a stop-out then counts as a loss in a row."""
    holdings = Holdings()
    holdings.reported(report())
    holdings.executed(exit_of("d1", at("09:01"), None, stopped=True))
    assert holdings.unpriced_closes == 1
    assert [one.losses for one in seen(holdings).streaks or ()] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("results", "losses"),
    [("--", 2), ("-+", 0), ("-0-", 2), ("+-", 1), ("0", 0)],
)
def test_a_streak_counts_losses_in_a_row(results, losses) -> None:
    """A profit ends it and nothing gained leaves it; its own fee makes a small profit a loss."""
    holdings = Holdings()
    holdings.reported(report())
    for number, result in enumerate(results):
        pnl = {"-": "1", "+": "3", "0": "2"}[result]
        holdings.executed(exit_of(f"d{number}", at(f"09:0{number}"), pnl, fee="2"))
    assert seen(holdings).streaks == tuple(
        Streak(scope, losses) for scope in ("global", "symbol:BTCUSDT", "strategy:momo", "symbol:BTCUSDT:LONG")
    )


def test_parts_of_one_trade_are_one_loss() -> None:
    """A stop filled in three parts is one losing trade, judged by all of them."""
    holdings = Holdings()
    holdings.reported(report())
    part = ExecutionKind.PARTIAL_FILL
    holdings.executed(exit_of("d1", at("09:01"), "-5", "1", kind=part))
    holdings.executed(exit_of("d1", at("09:02"), "-5", "1", kind=part))
    assert [one.losses for one in seen(holdings).streaks or ()] == []
    holdings.executed(exit_of("d1", at("09:03"), "4", "1"))
    assert [one.losses for one in seen(holdings).streaks or ()] == [1, 1, 1, 1]
    assert seen(holdings).realised_today == D(-6)


def test_a_stop_out_later_than_the_report_leaves_the_streaks_sound() -> None:
    """A stop-out that the report is too old for reads as of the report, so that the pause after it holds at once."""
    holdings = Holdings()
    holdings.reported(report(at("12:00"), positions=(), orders=()))
    holdings.executed(exit_of("d1", at("12:00:01"), "-5", stopped=True))
    account = seen(holdings, at("12:00:02"))
    assert sound_account(account, policy_of().limits("BTCUSDT", "momo", Side.LONG), at("12:00:02")) == account
    assert account.streaks[0] == Streak("global", 1, at("12:00"))
    holdings.reported(report(at("12:00:05"), positions=(), orders=()))
    assert seen(holdings).streaks[0] == Streak("global", 1, at("12:00:01"))


@pytest.mark.parametrize("name", ["quantity", "price", "fee", "pnl"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "sNaN"])
def test_a_figure_that_is_no_number_is_taken_as_not_told_and_counted(name, value) -> None:
    """Whatever the engine writes, nothing is raised and what is shown can be reckoned with."""
    holdings = Holdings()
    holdings.reported(report())
    assert holdings.executed(exit_of("d1", at("09:01"), fee_asset="USDT", **{name: D(value)}))
    assert holdings.unsound == 1
    assert seen(holdings).realised_today.is_finite()


def test_an_unsound_position_of_a_report_is_shown_as_it_was_told() -> None:
    """Who judges strikes it out; here it must not be hidden, nor harm anything."""
    holdings = Holdings()
    holdings.executed(entry("d1", at("08:00")))
    broken = Position("BTCUSDT", Side.LONG, D("NaN"), D(100), D(200), D(5))
    assert holdings.reported(report(at("09:00"), positions=(broken,)))
    holdings.executed(exit_of("d1", at("09:01"), "-5"))
    assert seen(holdings).positions == (broken,)


def test_a_clock_days_ahead_does_not_move_the_day() -> None:
    """Its word counts as of the last time that is known, and is counted as unsound."""
    holdings = Holdings()
    holdings.reported(report(at("09:00"), "1000"))
    holdings.executed(exit_of("d1", at("09:00", "2036-01-01"), "-5"))
    assert holdings.unsound == 1
    assert seen(holdings).realised_today == D(-5)


def test_a_stream_that_was_made_anew_counts_from_one_again_and_its_fills_count() -> None:
    """The engine's stream was deleted and made again: its first fills have numbers that were read before."""
    holdings = Holdings("engine")
    holdings.reported(report(positions=()))
    assert holdings.executed(entry("d1", later(1), sequence=1000))
    assert holdings.executed(entry("d2", later(2), sequence=1))
    assert holdings.executed(entry("d3", later(3), sequence=2))
    assert holdings.cursor == 2
    known = holdings.portfolio("BTCUSDT", "momo", Side.LONG, later(4))
    assert known is not None
    assert known.positions is not None
    assert [one.quantity for one in known.positions] == [D(2)] * 3


def test_what_was_read_before_and_is_too_old_to_be_recognised_is_a_repeat() -> None:
    """A stream that is read from its beginning again tells of days that words are no longer remembered of."""
    holdings = Holdings("engine")
    assert holdings.executed(entry("d1", MORNING, sequence=1))
    assert holdings.executed(entry("d2", MORNING, sequence=1000))
    holdings.reported(report(later(2 * 86_400 + 1)))
    assert not holdings.executed(entry("d1", MORNING, sequence=1))
    assert holdings.cursor == 1000
