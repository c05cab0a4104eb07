"""Headroom: what share of a limit is used, when somebody is told of it, and when again."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import account_state, case_of, market_state, order_of, policy_of, position_of
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.headroom import (
    LEVERAGE,
    MEASURES,
    MOST,
    Asked,
    Breaches,
    Headroom,
    usages_of,
    warnings_of,
)
from petrosa_cio.apps.nurse.models import BookFacts, Observation, Outcome, StrategyResult, Streak
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Json

D = Decimal
R = Reason
ASKED = Asked("momo", "BTCUSDT")
THOUSAND: dict[str, object] = {"equity": D(1000), "peak_equity": D(1000), "day_start_equity": D(1000)}


def share_of(
    code: Reason, of: str, policy: Mapping[str, Json], book: BookFacts | None = None, **account: object
) -> Decimal:
    """The usage of one limit that follows from judging the default intent."""
    verdict = judge(
        case_of({}, policy_of(policy), book=book, market=market_state(), portfolio=account_state(**account))
    )
    found = {(one.code, one.of): one.share for one in usages_of(verdict.observed, ASKED)}
    return found[code, of]


@pytest.mark.parametrize(
    ("code", "of", "policy", "account", "share"),
    [
        (R.DAILY_LOSS, "", {"max_daily_loss_pct": 0.05}, {"realised_today": D(-4000)}, "0.8"),
        (R.DAILY_LOSS, "", {"max_daily_loss_pct": 0.05}, {"realised_today": D(4000)}, "0"),
        (R.DRAWDOWN, "", {"max_drawdown_pct": 0.2}, {"equity": D(90_000)}, "0.5"),
        (R.DRAWDOWN, "", {"max_drawdown_pct": 0.0}, {}, "1"),
        (
            R.STRATEGY_DRAWDOWN, "momo", {"max_strategy_drawdown_pct": 0.1},
            {"strategies": (StrategyResult("momo", D(-9000), D(0)),)}, "0.9",
        ),
        (
            R.PORTFOLIO_EXPOSURE, "", {"max_portfolio_exposure_pct": 0.8},
            {"positions": (position_of(notional=D(400)),), "orders": (order_of(notional=D(200)),), **THOUSAND}, "0.75",
        ),
        (
            R.SYMBOL_CONCENTRATION, "BTCUSDT", {"max_symbol_exposure_pct": 0.25},
            {"positions": (position_of("BTCUSDT", notional=D(200)),), **THOUSAND}, "0.8",
        ),
        (
            R.CORRELATED_EXPOSURE, "BTCUSDT", {"max_correlated_exposure_pct": 0.5},
            {"positions": (position_of(notional=D(100)),), **THOUSAND}, "0.2",
        ),
        (R.MAX_CONCURRENT_POSITIONS, "", {"max_concurrent_positions": 4}, {"positions": (position_of(),)}, "0.25"),
        (R.MAX_ORDERS, "", {"max_orders_global": 4}, {"orders": (order_of(),)}, "0.25"),
        (R.MAX_ORDERS, "BTCUSDT", {"max_orders_per_symbol": 2}, {"orders": (order_of("BTCUSDT"),)}, "0.5"),
        (R.PORTFOLIO_LEVERAGE, "", {"portfolio_leverage_cap": 40}, {"positions": (position_of(),)}, "0.5"),
        (R.LOSS_STREAK, "global", {"max_consecutive_losses": 4}, {"streaks": (Streak("global", 3),)}, "0.75"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_usage_is_what_is_taken_of_the_limit(
    code: Reason, of: str, policy: Mapping[str, Json], account: Mapping[str, object], share: str
) -> None:
    """From the numbers of the control's own observation, worked out by hand."""
    assert share_of(code, of, policy, **account) == D(share)


def test_usage_of_counts_is_of_the_scope_that_set_the_limit() -> None:
    """80 of 100 a day by default; 3 of 6 a minute in a scope that says so."""
    facts = BookFacts(promoted_today=80, promoted_last_minute=3)
    assert share_of(R.DAILY_TRADES, "defaults", {}, facts) == D("0.8")
    assert share_of(R.ORDER_RATE, "global", {"max_orders_per_minute": 6}, facts) == D("0.5")


def test_every_measure_is_in_the_table_of_usages() -> None:
    """Each limit that the design names is measured, MAX_ORDERS for the account and for the symbol."""
    assert sorted(one.code for one in MEASURES) == sorted(
        [
            *(R.DAILY_LOSS, R.DRAWDOWN, R.STRATEGY_DRAWDOWN, R.LOSS_STREAK, R.DAILY_TRADES, R.ORDER_RATE),
            *(R.PORTFOLIO_EXPOSURE, R.SYMBOL_CONCENTRATION, R.CORRELATED_EXPOSURE, R.PORTFOLIO_LEVERAGE),
            *(R.MAX_CONCURRENT_POSITIONS, R.MAX_ORDERS, R.MAX_ORDERS),
        ]
    )


def test_what_had_nothing_to_look_for_says_nothing() -> None:
    """A control without a limit, and one without its facts, are no usage of 0."""
    verdict = judge(case_of())
    assert {one.code for one in usages_of(verdict.observed, ASKED)} == {R.DAILY_TRADES, R.ORDER_RATE}


def loss(share: Decimal) -> tuple[Observation, ...]:
    """A day's loss that takes ``share`` of its limit of 5 %."""
    numbers = (("loss", share * 5000), ("day_start_equity", D(100_000)), ("limit", D("0.05")))
    return (Observation(R.DAILY_LOSS, Outcome.BLOCK if share >= 1 else Outcome.PASS, numbers),)


def test_it_warns_at_the_threshold_itself() -> None:
    """At 80 % of a limit, not just below."""
    assert warnings_of(loss(D("0.7999")), ASKED, D("0.8")) == ()
    (warning,) = warnings_of(loss(D("0.8")), ASKED, D("0.8"))
    assert warning == (R.DAILY_LOSS, "", D("0.8"), D("0.8"))


def told(shares: list[str], threshold: str = "0.8") -> list[int]:
    """At which places of a run of usages somebody is told."""
    headroom = Headroom()
    return [at for at, share in enumerate(shares) if headroom.look(loss(D(share)), ASKED, D(threshold))]


@pytest.mark.parametrize(
    ("shares", "at"),
    [
        (["0.1", "0.8", "0.9", "1.2"], [1]),
        (["0.8", "0.79", "0.8"], [0]),
        (["0.8", "0.72", "0.8"], [0]),
        (["0.8", "0.7199", "0.8"], [0, 2]),
        (["0.8", "0", "0.79", "0.81"], [0, 3]),
    ],
    ids=["rising", "on the edge", "at nine tenths of it", "under nine tenths of it", "twice"],
)
def test_it_warns_once_a_crossing(shares: list[str], at: list[int]) -> None:
    """Again only after usage has fallen under nine tenths of the threshold: 0.72 of the limit."""
    assert told(shares) == at


@given(st.lists(st.integers(72, 130), max_size=50))
def test_a_figure_that_stays_near_warns_at_most_once(percents: list[int]) -> None:
    """Whatever it does between nine tenths of the threshold and beyond the limit."""
    assert len(told([str(D(percent) / 100) for percent in percents])) <= 1


@given(st.lists(st.integers(0, 130), max_size=50))
def test_who_is_over_the_threshold_was_warned_of(percents: list[int]) -> None:
    """No usage at or over the threshold that nobody was told of since it was last under."""
    places = told([str(D(percent) / 100) for percent in percents])
    for at, percent in enumerate(percents):
        if percent >= 80:
            since = max((place for place in range(at) if percents[place] < 72), default=-1)
            assert any(since < place <= at for place in places)


def test_memory_is_bounded() -> None:
    """Of more limits than it can hold it forgets the oldest, which are then told again, never the other way."""
    headroom = Headroom()
    numbers = (("fall", D(90)), ("equity", D(1000)), ("limit", D("0.1")))
    observed = (Observation(R.STRATEGY_DRAWDOWN, Outcome.PASS, numbers),)
    for number in range(MOST + 1):
        assert headroom.look(observed, Asked(f"s{number}", "BTCUSDT"), D("0.8"))
    assert not headroom.look(observed, Asked(f"s{MOST}", "BTCUSDT"), D("0.8"))
    assert headroom.look(observed, Asked("s0", "BTCUSDT"), D("0.8"))


@pytest.mark.parametrize("code", sorted(LEVERAGE))
def test_so_many_breaches_of_leverage_are_told_once(code: Reason) -> None:
    """At the third of three, and again at the sixth."""
    breaches = Breaches()
    breach = [Observation(R.DAILY_TRADES, Outcome.BLOCK), Observation(code, Outcome.BLOCK)]
    assert [breaches.look(breach, 3) for _ in range(6)] == [0, 0, 3, 0, 0, 3]


@pytest.mark.parametrize(
    "observed",
    [Observation(R.LEVERAGE_BOUND, Outcome.WOULD_BLOCK), Observation(R.DAILY_LOSS, Outcome.BLOCK)],
    ids=["observed only", "another block"],
)
def test_what_leverage_did_not_block_is_no_breach(observed: Observation) -> None:
    """Neither what is only observed nor another control's block."""
    assert Breaches().look([observed], 1) == 0
