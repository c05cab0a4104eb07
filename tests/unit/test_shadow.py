"""The shadow machine: what each position comes to, by tables worked out by hand.

Bars are of 15 minutes; an entry is decided when the first one opens, at 100, 2 units, with stop 95 and target 110
(short: 105 and 90); a fill costs 0.001 of its notional, so 0.2 for the entry.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders import START, intent_fields, policy_of, receipt_of
from builders_bars import MINUTE, T0
from builders_shadow import SYMBOL, decision, facts, figures, machine_of, played, policy, shadows
from builders_simulation import MS, Candle, candles, instant
from petrosa_cio.apps.auditor.expectation import Potential, potential_pnl
from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Tracked
from petrosa_cio.apps.auditor.savings import savings_of, shadow_summary, total
from petrosa_cio.apps.auditor.shadow import ShadowMachine
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import content_of, decide
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.simulation import FundingTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builders_shadow import Record
    from petrosa_cio.apps.nurse.models import Json

D = Decimal
STILL: Candle = (100.0, 101.0, 99.0, 100.0)
NO_LEVELS: dict[str, Json] = {"stop_loss": None, "take_profit": None}


@pytest.mark.parametrize(
    ("action", "bars", "limits", "ended"),
    [
        # Gain or loss of 2 units, less 0.001 of entry and exit: 0.2 and 2 x exit x 0.001.
        ("buy", [STILL, (100.0, 111.0, 100.0, 110.0)], {}, ("target", "110", "19.58")),
        ("buy", [STILL, (100.0, 101.0, 94.0, 96.0)], {}, ("stop", "95", "-10.39")),
        ("sell", [STILL, (100.0, 106.0, 99.0, 104.0)], {}, ("stop", "105", "-10.41")),
        ("sell", [STILL, (100.0, 100.0, 89.0, 90.0)], {}, ("target", "90", "19.62")),
        # At the barrier itself it is touched; a tick before it is not.
        ("buy", [(100.0, 110.0, 99.0, 100.0)], {}, ("target", "110", "19.58")),
        ("buy", [(100.0, 101.0, 95.0, 100.0)], {}, ("stop", "95", "-10.39")),
        ("buy", [(100.0, 109.9, 95.1, 100.0)], {}, ("open", None, "-0.4")),
        # A bar that opens beyond a barrier fills at its open.
        ("buy", [STILL, (92.0, 93.0, 91.0, 92.0)], {}, ("stop", "92", "-16.384")),
        ("sell", [STILL, (107.0, 108.0, 106.0, 107.0)], {}, ("stop", "107", "-14.414")),
        ("buy", [STILL, (112.0, 113.0, 111.0, 112.0)], {}, ("target", "112", "23.576")),
        # The holding time ends at the first open that is not before its end.
        ("buy", [STILL, STILL, (101.0, 102.0, 100.0, 101.0)], {"shadow_max_holding_hours": 0.5},
         ("timeout", "101", "1.598")),
        ("buy", [STILL, STILL, (101.0, 102.0, 100.0, 101.0)], {"shadow_max_holding_hours": 0.51},
         ("open", None, "1.598")),
    ],
)  # fmt: skip
def test_exits(
    action: str, bars: Sequence[Candle], limits: dict[str, Json], ended: tuple[str, str | None, str]
) -> None:
    """Stop, target, gap and holding time end a position where the table says, on either side."""
    (found,) = played(candles(*bars), decision(0, action), **limits)
    outcome, price, result = ended
    assert figures(found) == (outcome, None if price is None else D(price), D(result))
    assert (found.low, found.high) == (found.result, found.result)
    assert found.price_source is PriceSource.MARK
    assert (found.tracked, found.reasons, found.data_gap) == (Tracked.BLOCKED, ("DAILY_TRADES",), False)


@pytest.mark.parametrize(
    ("action", "bar", "more", "ended"),
    [
        # Ten times leverage: the margin of 20 is gone at 90, or at 110.
        ("buy", (100.0, 101.0, 89.0, 95.0), {}, ("90", "-20.38")),
        ("sell", (100.0, 111.0, 99.0, 105.0), {}, ("110", "-20.42")),
        # An isolated margin is all that is lost, however far the market opens beyond.
        ("buy", (85.0, 86.0, 84.0, 85.0), {}, ("90", "-20.38")),
        # 200 - 20 = 2 x price x (1 - 0.04): 93.75.
        ("buy", (100.0, 101.0, 93.0, 95.0), {"brackets": [{"cap": "50000", "rate": "0.04", "deduction": "0"}]},
         ("93.75", "-12.8875")),
    ],
)  # fmt: skip
def test_liquidation(action: str, bar: Candle, more: dict[str, Json], ended: tuple[str, str]) -> None:
    """An isolated position without a stop ends when its margin is used up, and never loses more."""
    market = facts(0, mark="100", **more)
    (found,) = played(candles(STILL, bar), decision(0, action, market=market, **NO_LEVELS), leverage=10)
    assert figures(found) == ("liquidated", *map(D, ended))


def test_cross_margin_is_not_liquidated_alone() -> None:
    """A position on cross margin stays open where an isolated one would be gone."""
    bars = candles(STILL, (100.0, 101.0, 80.0, 95.0))
    (found,) = played(bars, decision(0, **NO_LEVELS), margin_type="cross")
    assert found.outcome is Outcome.OPEN


@pytest.mark.parametrize(("verdict", "headline"), [("blocked", "19.58"), ("approved", "-10.39")])
def test_both_barriers_in_one_bar(verdict: str, headline: str) -> None:
    """Both orders are kept; the headline of what was blocked is that it won, of what was promoted that it lost."""
    (found,) = played(candles((100.0, 111.0, 94.0, 100.0)), decision(0, verdict=verdict))
    assert (found.outcome, found.low, found.high) == (Outcome.AMBIGUOUS, D("-10.39"), D("19.58"))
    assert found.result == D(headline)
    assert found.result == found.gross - found.fees + found.funding  # type: ignore[operator]


def test_a_bar_that_opened_before_the_decision() -> None:
    """It may have touched the stop before: that the position ended there is possible, and that it went on."""
    bars = candles((100.0, 101.0, 94.0, 100.0), STILL, (100.0, 111.0, 100.0, 110.0))
    (found,) = played(bars, decision(3))
    assert (found.outcome, found.low, found.high) == (Outcome.AMBIGUOUS, D("-10.39"), D("19.58"))


def test_the_first_second_of_a_bar_is_its_open() -> None:
    """A decision up to a second after the open has the whole bar before it; one later does not."""
    bars = candles((100.0, 101.0, 94.0, 100.0), STILL)
    first, later = played(bars, decision(1 / 60), decision(1.1 / 60, strategy="b"))
    assert figures(first) == ("stop", D(95), D("-10.39"))
    assert later.outcome is Outcome.OPEN


@pytest.mark.parametrize(
    ("asked", "price", "result"),
    [
        (decision(20, "close"), "103", "5.594"),
        (decision(20, "sell"), "103", "5.594"),
        (decision(15, "close"), "100", "-0.4"),
    ],
)
def test_a_strategy_that_closes_or_turns(asked: Record, price: str, result: str) -> None:
    """A close or an opposite intent, blocked or not, ends the strategy's position at the next open."""
    bars = candles(STILL, STILL, (103.0, 104.0, 102.0, 103.0))
    found = played(bars, decision(0), decision(0, strategy="other"), asked)
    assert figures(found[0]) == ("closed_by_strategy", D(price), D(result))
    assert found[1].outcome is Outcome.OPEN


def test_a_barrier_before_the_next_open_comes_first() -> None:
    """A position that is to be closed at the next open can still be stopped before."""
    (found,) = played(candles(STILL, (100.0, 101.0, 94.0, 100.0), STILL), decision(0), decision(20, "close"))
    assert figures(found) == ("stop", D(95), D("-10.39"))


def test_a_blocked_turn_does_not_close_what_was_promoted() -> None:
    """What went to the engine ends by what went to the engine."""
    bars = candles(STILL, STILL, STILL, STILL)
    found = played(bars, decision(0, verdict="approved"), decision(16, "sell"))
    assert [one.outcome for one in found] == [Outcome.OPEN, Outcome.OPEN]
    found = played(bars, decision(0, verdict="approved"), decision(16, "sell", "approved"))
    assert [one.outcome for one in found] == [Outcome.CLOSED_BY_STRATEGY, Outcome.OPEN]


@pytest.mark.parametrize(
    ("action", "settled", "funding"),
    [
        # Longs pay 0.001 of 2 x 100; shorts receive it.
        ("buy", [FundingTime(SYMBOL, T0 + 15 * MINUTE, D("0.001"), D(100))], "-0.2"),
        ("sell", [FundingTime(SYMBOL, T0 + 15 * MINUTE, D("0.001"), D(100))], "0.2"),
        ("sell", [FundingTime(SYMBOL, T0 + 15 * MINUTE, D("-0.001"), D(100))], "-0.2"),
        # Without a mark, at the open of its bar, 102.
        ("buy", [FundingTime(SYMBOL, T0 + 15 * MINUTE + 3, D("0.001"))], "-0.204"),
        ("buy", [FundingTime(SYMBOL, T0 + m * MINUTE, D("0.001"), D(100)) for m in (0, 15, 20, 30)], "-0.6"),
        ("buy", [FundingTime("BTCUSDT", T0 + 15 * MINUTE, D("0.001"), D(100))], "0"),
    ],
)  # fmt: skip
def test_funding(action: str, settled: Sequence[FundingTime], funding: str) -> None:
    """Each settlement that a position spans is paid or received; one at its very beginning is not."""
    bars = candles(STILL, (102.0, 103.0, 99.0, 100.0), STILL)
    (found,) = played(bars, decision(0, action), funding=settled)
    assert found.funding == D(funding)
    assert found.result == D("-0.4") + D(funding)


def test_funding_in_the_bar_of_the_exit() -> None:
    """Where the exit may have been before or after the settlement, both are possible."""
    settled = [FundingTime(SYMBOL, T0 + 20 * MINUTE, D("0.001"), D(100))]
    (found,) = played(candles(STILL, (100.0, 111.0, 100.0, 110.0)), decision(0), funding=settled)
    assert (found.outcome, found.low, found.high) == (Outcome.AMBIGUOUS, D("19.38"), D("19.58"))


def test_repeats_do_not_multiply() -> None:
    """A blocked intent while one of its strategy, symbol and side is open is a repeat; after that it is a new one."""
    stopped: Candle = (100.0, 101.0, 94.0, 100.0)
    found = played(
        candles(STILL, stopped, STILL), decision(0), decision(1), decision(16), decision(16, strategy="b"), decision(31)
    )
    assert [(one.decision_id, one.repeats) for one in found] == [("a0", 2), ("b16", 0), ("a31", 0)]


@pytest.mark.parametrize(
    ("limits", "account", "opened"),
    [
        ({}, {"equity": "100000"}, 1),
        ({"max_accumulations": 3}, {"equity": "100000"}, 3),
        ({"max_accumulations": 3}, {}, 1),
        ({"max_accumulations": 3, "accumulation_cooldown_seconds": 120}, {"equity": "100000"}, 2),
        # Of 1,000 may be open 0.4: two of 200.
        ({"max_accumulations": 3, "max_portfolio_exposure_pct": 0.4, "max_symbol_exposure_pct": 0.4,
          "max_correlated_exposure_pct": 0.4}, {"equity": "1000"}, 2),
    ],
)  # fmt: skip
def test_accumulation(limits: dict[str, Json], account: dict[str, Json], opened: int) -> None:
    """Only a policy that sets a number of steps lets shadow positions pile up, and only within its own limits."""
    more = {"account": account}
    found = played(candles(STILL, STILL), *(decision(minute, more=more) for minute in range(4)), **limits)
    assert len(found) == opened
    assert sum(one.repeats for one in found) == 4 - opened


def test_a_duplicate_is_never_a_position_of_its_own() -> None:
    """A second receipt of a promoted intent repeats it; another intent that was blocked does not."""
    twice = decision(1, reasons=("DUPLICATE_INTENT",))
    promoted, *others = played(candles(STILL), decision(0, verdict="approved"), twice, decision(2))
    assert promoted.repeats == 1
    assert [one.decision_id for one in others] == ["a2"]


def test_the_part_that_was_taken_off() -> None:
    """A reduced intent has two positions: what was promoted, and the rest."""
    bars = candles((100.0, 111.0, 100.0, 110.0))
    promoted, rest = played(bars, decision(0, verdict="reduced", promoted="0.5"))
    assert (promoted.tracked, promoted.quantity, promoted.result) == (Tracked.PROMOTED, D("0.5"), D("4.895"))
    assert (rest.tracked, rest.quantity, rest.result) == (Tracked.REDUCED, D("1.5"), D("14.685"))


def test_what_expired_was_blocked() -> None:
    """An approved intent that expired never went to the engine."""
    expired: Record = {"kind": "expired", "decision_id": "a0", "at": decision(0.1)["at"]}
    (found,) = played(candles(STILL), decision(0, verdict="approved"), expired)
    assert (found.tracked, found.reasons) == (Tracked.BLOCKED, ("GOVERNANCE_TIMEOUT",))


LIMIT: dict[str, Json] = {"order_type": "limit", "price": 98.0}


@pytest.mark.parametrize(
    ("bars", "fields", "ended"),
    [
        # Touched at 98, but not traded through.
        ([(100.0, 101.0, 98.0, 100.0)] * 5, {}, ("not_filled", None, "0")),
        ([(100.0, 101.0, 97.9, 100.0), (100.0, 111.0, 99.0, 110.0)], {}, ("target", "110", "23.584")),
        # On its way down to the stop the bar has filled it before.
        ([(100.0, 101.0, 94.0, 100.0)], {}, ("stop", "95", "-6.386")),
        ([STILL], {"time_in_force": "IOC"}, ("not_filled", None, "0")),
        # At or above the market it takes the market.
        ([STILL, (100.0, 111.0, 99.0, 110.0)], {"price": 100.0}, ("target", "110", "19.58")),
        ([STILL], {"order_type": "stop"}, ("unavailable", None, None)),
    ],
)  # fmt: skip
def test_limit_orders(
    bars: Sequence[Candle], fields: dict[str, Json], ended: tuple[str, str | None, str | None]
) -> None:
    """A limit order is filled at its price where a bar trades through it, or never; other types are not guessed."""
    (found,) = played(candles(*bars), decision(0, **{**LIMIT, **fields}), shadow_max_holding_hours=1)
    outcome, price, result = ended
    assert figures(found) == (outcome, None if price is None else D(price), None if result is None else D(result))


def test_a_target_in_the_bar_of_the_fill() -> None:
    """The bar may have been there before it filled the order: that it ended is possible, and that it went on."""
    bars = candles((100.0, 111.0, 97.9, 100.0), (100.0, 101.0, 94.0, 95.0))
    (found,) = played(bars, decision(0, **LIMIT))
    assert (found.outcome, found.low, found.high) == (Outcome.AMBIGUOUS, D("-6.386"), D("23.584"))


@pytest.mark.parametrize(
    ("action", "market", "source", "entry"),
    [
        ("buy", facts(0, mark="100", bid="99", ask="100.5"), PriceSource.BOOK, "100.5"),
        ("sell", facts(0, mark="100", bid="99", ask="100.5"), PriceSource.BOOK, "99"),
        ("buy", facts(0, mark="100.2"), PriceSource.MARK, "100.2"),
        ("buy", {}, PriceSource.BAR, "101"),
        # Facts that are a minute old are none.
        ("buy", facts(-1, mark="100.2"), PriceSource.BAR, "101"),
    ],
)
def test_price_sources(action: str, market: dict[str, Json], source: PriceSource, entry: str) -> None:
    """The entry is the best that was known: book, mark, the next open."""
    (found,) = played(candles((101.0, 102.0, 100.0, 101.0)), decision(0, action, market=market))
    assert (found.price_source, found.entry) == (source, D(entry))


def test_a_mark_with_the_last_known_spread() -> None:
    """Half the spread that an earlier decision knew of the symbol is added to the mark."""
    book = decision(0, strategy="b", market=facts(0, mark="100", bid="99", ask="100.5"))
    found = played(candles(STILL), book, decision(1), decision(2, "sell", strategy="c"))
    assert [one.entry for one in found] == [D("100.5"), D("100.75"), D("99.25")]


def test_the_intents_own_price_is_the_last_resort() -> None:
    """Where nothing was known and the next bar is missing, the intent's price stands, and the hole is told."""
    bars = candles(STILL, STILL, STILL, STILL)
    (found,) = played([bars[0], *bars[3:]], decision(1, market={}))
    assert (found.price_source, found.entry, found.data_gap) == (PriceSource.INTENT, D(100), True)


def test_what_opens_nothing() -> None:
    """Holds, closes, orders that only take off, malformed intents and those without a price have no shadow."""
    hold = decision(0, "hold", "absorbed")
    malformed = decision(1, more={"payload": "[]"})
    unpriced = decision(2, price=None)
    reducing = decision(3, verdict="approved", more={"reduces": "2"})
    assert played(candles(STILL), hold, malformed, unpriced, reducing, decision(4, "close", "approved")) == []


def test_a_stop_on_the_wrong_side_ends_at_once() -> None:
    """The engine closes what it cannot protect: the costs of both fills are all that is lost."""
    (found,) = played(candles(STILL), decision(0, stop_loss=100.5))
    assert figures(found) == ("stop", D(100), D("-0.4"))


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(1.5, "1.5"), (None, "0.5"), (0.123456789, "0.12345678")],
)
def test_quantity(quantity: float | None, expected: str) -> None:
    """What the engine would have traded, to the finest step; without a size of its own, 50 of quote currency."""
    (found,) = played(candles(STILL), decision(0, quantity=quantity))
    assert found.quantity == D(expected)


def test_a_hole_freezes_a_position_and_late_bars_amend_it() -> None:
    """Bars that are missing are told; when they come, a second entry amends the first, which stays as it was."""
    bars = candles(STILL, (100.0, 101.0, 94.0, 100.0), STILL, (100.0, 111.0, 100.0, 110.0))
    machine = machine_of([*bars[:2], *bars[3:]], [decision(0)])
    (first,) = machine.told()
    assert (first.number, first.amends, first.shadow.data_gap) == (1, None, True)
    assert figures(first.shadow) == ("target", D(110), D("19.58"))
    machine.bar(bars[2])
    machine.advance(0)
    (second,) = machine.told()
    assert (second.number, second.amends) == (2, 1)
    assert figures(second.shadow) == ("stop", D(95), D("-10.39"))
    assert machine.unused == 0


def test_a_late_bar_that_changes_nothing_amends_nothing_else() -> None:
    """A bar told twice, and one of a time that no position missed, leave the ledger alone and are counted."""
    bars = candles(STILL, (100.0, 111.0, 100.0, 110.0), STILL)
    machine = machine_of(bars, [decision(0)])
    assert len(machine.told()) == 1
    machine.bar(bars[1])
    machine.bar(bars[0])
    machine.advance(0)
    assert (machine.told(), machine.unused) == ([], 2)


def test_a_position_that_late_bars_show_to_be_open_goes_on() -> None:
    """One that was unavailable is amended to open once the hole is no longer than a day, and later to how it ended."""
    bars = candles(*[STILL] * 101, (100.0, 111.0, 100.0, 110.0))
    machine = machine_of([*bars[:2], bars[101]], [decision(0)], shadow_max_holding_hours=48)
    for bar in [*bars[2:101], bars[102]]:
        machine.bar(bar)
        machine.advance(bar.close_time_ms * MS)
    told = machine.told()
    assert [(one.number, one.amends) for one in told] == [(1, None), (2, 1), (3, 2)]
    assert [one.shadow.outcome for one in told] == [Outcome.UNAVAILABLE, Outcome.OPEN, Outcome.TARGET]
    assert [one.shadow.data_gap for one in told] == [True, True, False]


def test_without_a_market_nothing_is_guessed() -> None:
    """After a day without bars a position is unavailable, before or after the next bar, and has no figures."""
    bars = candles(*[STILL] * 102)
    (after,) = played([*bars[:2], bars[101]], decision(0))
    machine = machine_of(bars[:2], [decision(0)])
    machine.advance(instant(15 + 24 * 60) - MS)
    (within,) = machine.standing()
    machine.advance(instant(15 + 24 * 60))
    (before,) = machine.standing()
    assert within.outcome is Outcome.OPEN
    for found in (after, before):
        assert figures(found) == ("unavailable", None, None)
        assert (found.low, found.high, found.gross) == (None, None, None)


def test_open_positions_stand_apart() -> None:
    """What is open is marked to the last close, and is no part of the sums of what has ended."""
    found = played(candles((100.0, 105.0, 99.0, 104.0)), decision(0))
    assert figures(found[0]) == ("open", None, D("7.592"))
    summary = shadow_summary(found)
    assert (summary["blocked"], summary["net_savings"], summary["ended"]) == ("0", "0", 0)
    assert summary["open"] == {"blocked": "7.59200000", "promoted": "0"}


def test_figures_of_a_ledger() -> None:
    """Avoided loss less missed gain is net savings; all intents on paper are the promoted and the blocked ones."""
    bars = candles(STILL, (100.0, 111.0, 100.0, 110.0), (96.0, 97.0, 94.0, 95.0))
    blocked_win, blocked_loss = decision(0), decision(16, strategy="b", take_profit=120.0)
    promoted = decision(0, verdict="approved", strategy="c")
    found = played(bars, blocked_win, blocked_loss, promoted)
    savings = savings_of(found)
    assert (savings.missed_gain, savings.avoided_loss, savings.net_savings) == (D("19.58"), D("10.39"), D("-9.19"))
    assert (savings.costs_avoided, savings.move_avoided) == (D("0.81"), D("-10"))
    assert total(found) == D("28.77")  # 19.58 promoted, 9.19 blocked


def test_an_episode_lasts_until_flat_and_cooled_down() -> None:
    """Re-fires belong to the first intent's episode; a close, or an hour of silence when flat, ends it."""
    stopped: Candle = (100.0, 101.0, 94.0, 100.0)
    bars = candles(STILL, stopped, STILL, STILL, STILL, STILL, stopped, *[STILL] * 4)
    again = [decision(31), decision(62, "close"), decision(63), decision(160)]
    found = played(bars, decision(0), *again)
    assert [(one.decision_id, one.episode) for one in found] == [
        ("a0", "a0"), ("a31", "a0"), ("a63", "a63"), ("a160", "a160"),
    ]  # fmt: skip


def test_a_decision_as_the_gate_makes_it() -> None:
    """The record that the gate writes opens what the decision itself says, before and after it was stored."""
    made = decide("main", receipt_of(intent_fields()), Book(300 * SECOND), policy_of({"enabled": False}), START)
    content = content_of(made)
    stored = record.decode(record.encode(content))
    machines = []
    for one in (content, stored):
        machine = ShadowMachine()
        machine.record(policy())
        machine.record({**one, "policy_revision": "p"})
        machine.advance(2**62)
        machines.append(shadows(machine))
    assert machines[0] == machines[1]
    ((found,), _) = machines
    assert (found.quantity, found.side, found.symbol) == (D(1), Side.LONG, "BTCUSDT")


def test_potential() -> None:
    """Confidence times the gain, less the rest times the loss, less costs: 0.6 x 20 - 0.4 x 10 - 0.4."""
    args = (Side.LONG, D(2), D(100), D(95), D(110), D("0.6"), D("0.001"))
    assert potential_pnl(*args) == Potential(D("7.6"), D(20), D(10), D("0.4"))
    short = (Side.SHORT, D(2), D(100), D(105), D(90), D("0.6"), D("0.001"))
    assert potential_pnl(*short) == Potential(D("7.6"), D(20), D(10), D("0.4"))
    assert potential_pnl(Side.LONG, D(2), D(100), None, D(110), D("0.6"), D("0.001")) is None
