"""The report of a ledger that is added up on paper (`builders_report`): each figure as it was worked out there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders_report import (
    FRIDAY,
    HOUR,
    account,
    decision,
    execution,
    hand_ledger,
    hand_report,
    hand_shadows,
    policy,
    read,
)
from builders_shadows import DAY, MONDAY, shadow
from petrosa_cio.apps.auditor.calibration import Pair, Standing
from petrosa_cio.apps.auditor.figures import Breakdown, Paper
from petrosa_cio.apps.auditor.headline import cents, headline
from petrosa_cio.apps.auditor.outcomes import Tracked
from petrosa_cio.apps.auditor.profit import MOST_POINTS, equity_curve, net_profit
from petrosa_cio.apps.auditor.report import report_of
from petrosa_cio.apps.auditor.report_ledger import UNREADABLE
from petrosa_cio.apps.auditor.weeks import week_window
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.errors import LedgerError

D = Decimal


def test_earnings_are_net_profit_and_net_savings() -> None:
    """12 less 1 of fees and 0.25 of funding are 10.75; 14.50 avoided less 11.50 missed are 3.00; together 13.75."""
    report = hand_report()
    assert report.profit is not None
    assert (report.profit.pnl, report.profit.fees, report.profit.funding) == (12, 1, D("-0.25"))
    assert (report.profit.net, report.profit.open) == (D("10.75"), 3)
    total = report.statement.total
    assert (total.avoided_loss, total.missed_gain, report.net_savings) == (D("14.50"), D("11.50"), 3)
    assert (total.costs_avoided, total.move_avoided) == (4, -1)
    assert report.earnings == D("13.75")


def test_the_paper_portfolio_is_what_was_promoted_and_what_was_blocked() -> None:
    """11 promoted and -3 blocked are 8."""
    assert hand_report().statement.paper == Paper(D(8), D(11), D(-3))


def test_figures_are_broken_down() -> None:
    """By reason 10 and -7, by strategy 14.50 and -11.50, alone 14.50 and -7 with -4.50 shared."""
    by = hand_report().statement.by

    def net(breakdown: Breakdown) -> dict[str, Decimal]:
        return {key: one.net_savings for key, one in by[breakdown].items()}

    assert net(Breakdown.REASON) == {"REGIME_BLOCKED": 10, "VOLATILITY": -7}
    assert net(Breakdown.STRATEGY) == {"fade": D("-11.5"), "momo": D("14.5")}
    assert net(Breakdown.SYMBOL) == {"BTCUSDT": D("14.5"), "ETHUSDT": D("-11.5")}
    assert net(Breakdown.REGIME) == {"choppy": D("-11.5"), "normal": D("14.5")}
    assert net(Breakdown.SOLE_CAUSE) == {"REGIME_BLOCKED": D("14.5"), "VOLATILITY": -7, "shared": D("-4.5")}


def test_rules_are_worth_what_they_held_back_alone() -> None:
    """VOLATILITY is named by three decisions and alone in one position that would have gained 7: it costs."""
    regime, volatility = hand_report().rules
    assert (regime.code, regime.decisions, regime.named.net_savings, regime.sole.net_savings) == (
        "REGIME_BLOCKED", 3, 10, D("14.5"),
    )  # fmt: skip
    assert (volatility.decisions, volatility.named.net_savings, volatility.sole.positions) == (3, D("-11.5"), 1)
    assert (regime.costs_more, volatility.costs_more) == (False, True)
    assert volatility.sole.net_savings == -7


def test_few_episodes_have_a_range_and_no_interval() -> None:
    """Four episodes on two days: from -7 to 11 each, and no interval of 95 %."""
    found = hand_report().estimate
    assert (found.interval, found.episodes, found.active_days, found.worst, found.best) == (None, 4, 2, -7, 11)
    assert found.net_savings == 3


def test_the_curve_goes_with_governance_and_without() -> None:
    """What was blocked is added as it closes: 989, 993.5, 1000.5, then with 13.75 more 1014.25, and 1010.75."""
    curve = hand_report().curve
    assert [(one.at - MONDAY) // HOUR for one in curve.points] == [0, 2, 3, 4, 7, 26]
    assert [one.governed for one in curve.points] == [1000, 1000, 1000, 1000, D("1013.75"), D("1013.75")]
    assert [one.ungoverned for one in curve.points] == [1000, 989, D("993.5"), D("1000.5"), D("1014.25"), D("1010.75")]
    assert (curve.basis, curve.governed_fall, curve.ungoverned_fall) == ("account", 0, 11)


def test_policies_are_told_with_what_they_changed_and_came_to() -> None:
    """Under the first -0.5 of four blocks, under the second 3.5 of one; the second says who, why and what."""
    first, second = hand_report().policies
    assert (first.within, first.changed, first.figures.net_savings) == (False, (), D("-0.5"))
    assert dict(first.verdicts) == {"approved": 1, "blocked": 4}
    assert (second.within, second.changed) == (True, ("scopes.global.max_daily_trades: 5 -> 3",))
    assert second.policy is not None
    assert (second.policy.who, second.policy.why, second.policy.at) == (
        "ana", "too many <i>trades</i>", MONDAY + 26 * HOUR,
    )  # fmt: skip
    assert (dict(second.verdicts), second.figures.net_savings) == ({"blocked": 1}, D("3.5"))


def test_a_policy_from_before_the_window_is_in_force_in_it() -> None:
    """On Tuesday both policies are told of, the first without a decision."""
    report = report_of(read(hand_ledger()), hand_shadows(), MONDAY + DAY, FRIDAY)
    assert [(one.within, dict(one.verdicts)) for one in report.policies] == [(False, {}), (True, {"blocked": 1})]


def test_red_lines_and_words_of_operators_are_told() -> None:
    """A latch with the numbers that set it, and an operator with theirs."""
    latch, word = hand_report().turns
    assert (latch.change, latch.code, latch.strategy_id, latch.cause) == (
        "set",
        "DAILY_LOSS",
        None,
        (("loss", "30.5"),),
    )
    assert (word.change, word.code, word.who, word.until) == ("halted", None, "ben", None)


def test_latency_is_of_nearest_rank() -> None:
    """Of 100, 200, 300 and 400 µs the median is 200, and the 99th percentile the longest."""
    found = hand_report().latency
    assert (found.measured, found.p50_us, found.p99_us, found.max_us) == (4, 200, 400, 400)


def test_a_strategy_tires_at_half_of_ten() -> None:
    """Five of ten blocked is tired, four of ten and five of nine are not; a hold does not count."""
    verdicts = {"half": "abababbabab"[:10], "four": "aaaaaabbbb", "nine": "bbbbbaaaa"}
    records = [
        decision(f"{name}{place}", MONDAY + place, name, "blocked" if letter == "b" else "approved", "VOLATILITY")
        for name, letters in verdicts.items()
        for place, letter in enumerate(letters)
    ]
    records.append(decision("hold", MONDAY, "nine", "absorbed"))
    found = {one.strategy_id: one for one in report_of(read(records), [], MONDAY, FRIDAY).strategies}
    assert {name: (one.intents, one.blocked, one.tired) for name, one in found.items()} == {
        "half": (10, 5, True), "four": (10, 4, False), "nine": (9, 5, False),
    }  # fmt: skip
    assert (found["nine"].longest_run, found["half"].longest_run) == (5, 2)
    assert (found["nine"].chief_reason, found["nine"].chief_blocks, found["nine"].share) == (
        "VOLATILITY",
        5,
        D("0.5556"),
    )


def test_assumptions_are_counted_over_all_that_was_blocked() -> None:
    """Five positions, all priced at the book, one of them unavailable."""
    found = hand_report().assumptions
    assert (found.positions, found.price_sources["book"], found.outcomes["unavailable"], found.gaps) == (5, 5, 1, 0)


def test_the_first_line_says_that_calibration_is_unavailable() -> None:
    """Where fills are simulated the model's own error is not known, and the first line says so."""
    assert headline(hand_report()) == (
        "Earnings 13.75: net profit 10.75, governance saved 3.00. "
        "No interval: 4 episodes on 2 days are too few; from -7.00 to 11.00 each. "
        "Calibration unavailable: fills are simulated, so the model's own error is not known."
    )


def test_a_measured_bias_is_said_beside_net_savings() -> None:
    """The model flatters promoted trades by 1 of 100, so net savings of 400 notional are 4 too low, which exceeds 3."""
    records = [one if one["kind"] != "account" else account(MONDAY, "1000", origin="engine") for one in hand_ledger()]
    pairs = [Pair(f"p{place}", "BTCUSDT", D(100), D(1), D(0)) for place in range(20)]
    report = report_of(read(records), hand_shadows(), MONDAY, FRIDAY, pairs)
    assert (report.calibration.standing, report.calibration.bias) == (Standing.MEASURED, -4)
    assert report.net_savings == 3
    assert headline(report).endswith(
        "Calibration measured: 20 pairs, bias of net savings -4.00; net savings are not distinguishable from zero."
    )


def test_without_an_account_net_profit_is_unknown_and_the_curve_is_on_paper() -> None:
    """Nothing is made up: no net profit, no earnings; promoted results stand for equity, from 0."""
    records = [one for one in hand_ledger() if one["kind"] not in ("account", "execution")]
    report = report_of(read(records), hand_shadows(), MONDAY, FRIDAY)
    assert (report.profit, report.earnings, report.net_savings) == (None, None, 3)
    assert (report.curve.basis, report.curve.points[-1].governed, report.curve.points[-1].ungoverned) == (
        "paper",
        11,
        8,
    )
    assert headline(report).startswith("Net profit unknown (no account is reported); governance saved 3.00. ")


def test_an_empty_window_is_a_report_of_nothing() -> None:
    """A window without a decision has no figure but 0, and is no error."""
    report = report_of(read(hand_ledger()), hand_shadows(), MONDAY - 7 * DAY, MONDAY - DAY)
    assert (report.intents, report.net_savings, report.profit, report.curve.points, report.rules) == (
        0,
        0,
        None,
        (),
        (),
    )
    assert headline(report).startswith("Net profit unknown (no account is reported); governance saved 0.00. Nothing")


def test_one_decision_makes_a_report() -> None:
    """One block that would have lost 2 is 2 avoided, of one strategy, under a policy that no record names."""
    records = [decision("d", MONDAY, None, "blocked", "VOLATILITY")]
    report = report_of(read(records), [shadow("d", "-2", reasons=("VOLATILITY",))], MONDAY, MONDAY + 1000)
    assert (report.intents, report.net_savings, report.estimate.episodes) == (1, 2, 1)
    assert [one.strategy_id for one in report.strategies] == [UNREADABLE]
    assert [one.policy for one in report.policies] == [None]


def test_the_end_of_a_window_is_left_out_and_its_beginning_is_not() -> None:
    """From d2 to d4 there are d2 and d3: 11 avoided, 4.50 missed."""
    report = report_of(read(hand_ledger()), hand_shadows(), MONDAY + 2 * HOUR, MONDAY + 4 * HOUR)
    assert (report.intents, report.net_savings) == (2, D("6.5"))


def test_funding_is_what_fills_do_not_explain_of_the_wallet() -> None:
    """From the last report before the window on; fees in another asset are counted and not priced."""
    records = [
        account(MONDAY - DAY, "500", origin="engine"),
        account(MONDAY - HOUR, "900"),
        execution(MONDAY + HOUR, pnl="5", fee="0.001", fee_asset="BNB"),
        account(MONDAY + 2 * HOUR, "907"),
        execution(MONDAY + 3 * HOUR, pnl="4"),
    ]
    reading = read(records)
    found = net_profit(reading.executions, reading.reports, MONDAY, FRIDAY)
    assert found is not None
    assert (found.pnl, found.fees, found.unpriced_fees, found.funding, found.net) == (9, 0, 1, 2, 11)
    assert found.origin == "simulated"


def test_funding_is_unknown_of_one_report() -> None:
    """One report shows no change."""
    reading = read([account(MONDAY, "900"), execution(MONDAY + HOUR, pnl="5")])
    found = net_profit(reading.executions, reading.reports, MONDAY, FRIDAY)
    assert found is not None
    assert (found.funding, found.net) == (None, 5)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    """Of 5,000 points some hundreds remain, the first and the last among them, and a fall is of all of them."""
    reading = read(account(MONDAY + minute * HOUR // 60, str(1000 + minute)) for minute in range(5000))
    deep = read([account(MONDAY + 2500 * HOUR // 60 + 1000, "7")])
    curve = equity_curve([], reading.reports + deep.reports, MONDAY, MONDAY + 30 * DAY)
    assert MOST_POINTS // 2 < len(curve.points) <= MOST_POINTS
    assert (curve.points[0].governed, curve.points[-1].governed, curve.governed_fall) == (1000, 5999, 3493)


def test_losses_of_intents_are_counted() -> None:
    """Expired, spilled and gone ones; a gap before anything else counts as of the first record with a time."""
    records = [
        {"kind": "gap", "from": 1, "to": 3, "count": 3},
        decision("d", MONDAY, "momo", "approved"),
        {"kind": "expired", "decision_id": "d", "at": iso(MONDAY + 1000)},
        {"kind": "spilled", "at": iso(MONDAY + 2000)},
        {"kind": "outage", "from": iso(MONDAY), "to": iso(MONDAY + HOUR), "passed": 2, "why": "disk"},
    ]
    report = report_of(read(records), [], MONDAY, FRIDAY)
    assert dict(report.losses) == {"expired": 1, "gap": 3, "spilled": 1}
    assert [(one.passed, one.why) for one in report.outages] == [(2, "disk")]


def test_only_what_fired_is_a_reason() -> None:
    """A control that only would have blocked names no reason of the block."""
    records = [decision("d", MONDAY, "momo", "blocked", "VOLATILITY", outcome="would_block")]
    assert read(records).judged[0].reasons == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"statement": replace(hand_report().statement, paper=Paper(D("8.01"), D(11), D(-3)))},
        {"statement": replace(hand_report().statement, paper=Paper(D("7.99"), D(11), D("-3.01")))},
        {"statement": replace(hand_report().statement, by={Breakdown.REASON: {}})},
        {"policies": hand_report().policies[1:]},
        {"verdicts": {"blocked": 5}},
        {"curve": replace(hand_report().curve, points=hand_report().curve.points[:-1])},
        {"estimate": replace(hand_report().estimate, net_savings=D("3.00000001"))},
    ],
    ids=["paper", "savings", "breakdown", "policies", "verdicts", "curve", "estimate"],
)
def test_a_report_that_contradicts_itself_cannot_be_made(changed: dict[str, object]) -> None:
    """A cent that is missing anywhere is an error, not a report."""
    with pytest.raises(LedgerError, match="contradicts itself"):
        replace(hand_report(), **changed)  # type: ignore[arg-type]


def test_a_position_without_its_decision_is_an_error() -> None:
    """A shadow ledger that belongs to another ledger is refused, by name."""
    with pytest.raises(LedgerError, match="decision stranger"):
        report_of(read(hand_ledger()), [*hand_shadows(), shadow("stranger")], MONDAY, FRIDAY)


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "decision"},
        {"kind": "execution", "execution": {"kind": "filled", "at": "yesterday"}},
        {"kind": "account", "report": {"as_of": iso(MONDAY), "wallet": "much"}},
        {"kind": "policy"},
    ],
    ids=lambda record: record["kind"],
)
def test_a_record_that_cannot_be_read_is_named(record: dict[str, object]) -> None:
    """The message names the record by its place."""
    with pytest.raises(LedgerError, match="record 2 of book 'main'"):
        read([policy("a", 1), record])  # type: ignore[list-item]


def test_a_policy_that_nothing_follows_has_no_time() -> None:
    """What bears no time, and before nothing that does, is in force from a time that is not known."""
    assert read([policy("a", 1)]).policies[0].at is None
    assert read([]).span is None


def test_promoted_positions_that_are_not_over_are_no_part_of_anything() -> None:
    """Of a blocked and a promoted position, only the blocked one makes savings."""
    records = [decision("d", MONDAY, "momo", "approved"), decision("e", MONDAY, "momo", "blocked", "VOLATILITY")]
    shadows = [shadow("d", "5", tracked=Tracked.PROMOTED), shadow("e", "-2", reasons=("VOLATILITY",))]
    report = report_of(read(records), shadows, MONDAY, FRIDAY)
    assert report.statement.paper == Paper(D(3), D(5), D(-2))


def test_a_week_goes_from_friday_to_friday() -> None:
    """2026-W47 ends on Friday 20 November 2026 at 16:00 UTC, and begins seven days before."""
    since, until = week_window("2026-W47")
    assert (iso(since)[:16], iso(until)[:16]) == ("2026-11-13T16:00", "2026-11-20T16:00")


@pytest.mark.parametrize("name", ["2026-47", "2026-W54", "2025-W53", "2026-W00", "2026-W٤٧", "2026-W47 ", ""])
def test_what_is_no_week_is_refused(name: str) -> None:
    """2025 has 52 weeks, and digits are ASCII."""
    with pytest.raises(ValueError, match=r"week|2025|2026"):
        week_window(name)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("1234567.891", "1,234,567.89"), ("-0.004", "0.00"), ("0.005", "0.00"), ("0.015", "0.02"), ("-7", "-7.00")],
)
def test_cents_are_rounded_half_to_even(amount: str, shown: str) -> None:
    """People see cents; nothing has no sign."""
    assert cents(D(amount)) == shown
