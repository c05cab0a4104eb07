"""Figures of the shadow ledger: saved, missed, apart, and conserved."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders_shadows import shadow
from petrosa_cio.apps.auditor.figures import NO_REASON, SHARED, Breakdown, figures, statement
from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Tracked
from petrosa_cio.errors import LedgerError

D = Decimal
LEDGER = (
    shadow("a", "-10", "1", "0.5", reasons=("REGIME",), repeats=3),
    shadow("b", "30", "1", "-0.25", reasons=("REGIME", "DAILY_LOSS"), regime=None, price_source=PriceSource.MARK),
    shadow("c", "-4", "0.5", tracked=Tracked.REDUCED, reasons=("EXPOSURE",), symbol="ETHUSDT", strategy_id="fade"),
    shadow("d", "7", "0.5", tracked=Tracked.PROMOTED),
    shadow("e", "-2", "0.5", tracked=Tracked.PROMOTED),
    shadow("f", "-5", "0.5", outcome=Outcome.OPEN),
    replace(shadow("g", outcome=Outcome.OPEN), result=None),
    replace(shadow("h", outcome=Outcome.UNAVAILABLE, data_gap=True), result=None, gross=None),
    shadow("i", "3", tracked=Tracked.PROMOTED, outcome=Outcome.OPEN),
    replace(shadow("j", outcome=Outcome.NOT_FILLED, reasons=()), result=None, gross=None, fees=None, funding=None),
)


def test_net_savings_are_avoided_loss_less_missed_gain() -> None:
    """Results of -10.5, 28.75 and -4.5 after costs: 15 avoided, 28.75 missed, -13.75 net."""
    total = statement(LEDGER).total
    assert (total.avoided_loss, total.missed_gain, total.net_savings) == (D("15.0"), D("28.75"), D("-13.75"))
    assert (total.positions, total.losses, total.gains, total.repeats) == (4, 2, 1, 3)


def test_fees_and_funding_are_apart_from_the_move() -> None:
    """Fees of 2.5 and funding of 0.5 received and 0.25 paid, against a move of -10 + 30 - 4 that was missed."""
    total = statement(LEDGER).total
    assert (total.fees_avoided, total.funding_avoided, total.move_avoided) == (D("2.5"), D("-0.25"), D(-16))
    assert total.costs_avoided + total.move_avoided == total.net_savings


def test_what_is_not_over_is_apart() -> None:
    """An open position is marked apart, one without a price and one without a market are counted, and no more."""
    found = statement(LEDGER)
    assert (found.open.positions, found.open.net_savings) == (1, D("5.5"))
    assert (found.unmarked, found.unavailable, found.gaps) == (1, 1, 1)


def test_the_paper_portfolio_is_promoted_and_blocked() -> None:
    """Promoted 6.5 - 2.5 and blocked 13.75 make 17.75; open ones are in none of them."""
    found = statement(LEDGER)
    assert (found.paper.promoted, found.paper.blocked, found.paper.everything) == (D(4), D("13.75"), D("17.75"))
    assert found.paper.holds
    assert (found.promoted, found.promoted_apart) == (2, 1)
    assert found.paper.blocked == -found.total.net_savings


def test_an_identity_that_does_not_hold_is_said() -> None:
    """A difference in the twenty-ninth digit counts."""
    paper = statement(LEDGER).paper
    assert not replace(paper, everything=paper.everything + D("1E-26")).holds


@pytest.mark.parametrize(
    ("breakdown", "expected"),
    [
        (Breakdown.REASON, {"EXPOSURE": D("4.5"), "REGIME": D("-18.25"), NO_REASON: D(0)}),
        (Breakdown.SOLE_CAUSE, {"EXPOSURE": D("4.5"), "REGIME": D("10.5"), SHARED: D("-28.75"), NO_REASON: D(0)}),
        (Breakdown.STRATEGY, {"fade": D("4.5"), "momo": D("-18.25")}),
        (Breakdown.SYMBOL, {"BTCUSDT": D("-18.25"), "ETHUSDT": D("4.5")}),
        (Breakdown.REGIME, {"normal": D(15), "unknown": D("-28.75")}),
        (Breakdown.OUTCOME, {"not_filled": D(0), "stop": D(15), "target": D("-28.75")}),
        (Breakdown.PRICE_SOURCE, {"book": D(15), "mark": D("-28.75")}),
        (Breakdown.TRACKED, {"blocked": D("-18.25"), "reduced": D("4.5")}),
    ],
)
def test_every_breakdown_divides_net_savings(breakdown: Breakdown, expected: dict[str, Decimal]) -> None:
    """Each position falls under one key: with several reasons under the gravest, and under no sole cause."""
    found = statement(LEDGER).by[breakdown]
    assert {key: one.net_savings for key, one in found.items()} == expected
    assert list(found) == sorted(found)


def test_a_reason_is_also_shown_with_all_that_name_it() -> None:
    """A position with two reasons is under both: these figures overlap."""
    found = statement(LEDGER).named
    assert {reason: one.positions for reason, one in found.items()} == {"DAILY_LOSS": 1, "EXPOSURE": 1, "REGIME": 2}


def test_ambiguity_is_bounded_on_the_side_of_governance() -> None:
    """The headline takes what is worse for governance; the other way is what a kinder order of barriers would say."""
    found = figures([shadow("a", "8", "1", outcome=Outcome.AMBIGUOUS, low="-5", high="7")])
    assert (found.net_savings, found.other_way, found.ambiguous) == (D(-7), D(5), 1)


def test_sums_lose_no_digit() -> None:
    """Amounts forty digits apart are added without rounding."""
    found = figures([shadow("a", "-1E+20"), shadow("b", "-1E-20"), shadow("c", "1E+20")])
    assert found.net_savings == D("1E-20")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(shadow("w"), result=None),
        replace(shadow("w"), fees=None),
        replace(shadow("w"), result=D("0.01")),
        replace(shadow("w"), result=D("NaN")),
    ],
    ids=["no result", "no fees", "not its parts", "no number"],
)
def test_a_position_that_contradicts_itself_is_refused(wrong: object) -> None:
    """A closed position must have a result that is what its parts come to; the error names the decision."""
    with pytest.raises(LedgerError, match="decision w"):
        statement([*LEDGER, wrong])  # type: ignore[list-item]


def test_an_empty_ledger_comes_to_nothing() -> None:
    """Nothing tracked: zeros, and an identity that holds."""
    found = statement([])
    assert (found.total.net_savings, found.total.positions, found.paper.holds) == (0, 0, True)
