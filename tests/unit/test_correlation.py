"""Which symbols move together: correlations worked out by hand, on returns that are made for it."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest

from builders import is_tighter, policy_of
from builders_bars import MINUTE, T0, OneBar, renamed, series
from builders_market import candle
from builders_recordings import table_of
from petrosa_cio.apps.nurse.correlation import LEAST_RETURNS, Correlations, correlation
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.market_book import MarketBook
from petrosa_cio.apps.nurse.thresholds import thresholds_of
from petrosa_cio.core.exchange.recorded_market import RecordedMarket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from petrosa_cio.apps.nurse.facts import MarketState
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.thresholds import Thresholds

D = Decimal
QUARTER, DAY = 15 * MINUTE, 1440 * MINUTE
A_DAY = 96
"""Quarters of an hour in a day."""

UP_DOWN = [0.01, -0.01] * (A_DAY // 2)
PAIRS = [0.01, 0.01, -0.01, -0.01] * (A_DAY // 4)
"""As wide as `UP_DOWN`, and without any correlation with it."""
MIXED = [0.6 * one + 0.8 * other for one, other in zip(UP_DOWN, PAIRS, strict=True)]
"""Correlation 0.6 with the one and 0.8 with the other, since 0.6 squared and 0.8 squared are one."""


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], 1.0),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -1.0),
        ([1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], 0.0),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], 3.0 / math.sqrt(28.0 / 3.0)),  # covariance 3, variances 2 and 14/3
    ],
)
def test_correlation_is_pearsons(ones: Sequence[float], others: Sequence[float], expected: float) -> None:
    """Covariance over the product of standard deviations, worked out by hand."""
    assert correlation(ones, others) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("ones", "others"), [([], []), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0], [2.0])])
def test_what_does_not_vary_has_no_correlation(ones: Sequence[float], others: Sequence[float]) -> None:
    """Of nothing, of a single return and of a price that stands still, nothing can be said."""
    assert correlation(ones, others) is None


def moved(symbol: str, returns: Sequence[float], *, start: int = 0, minutes: int = 15) -> list[OneBar]:
    """Bars whose closes make these log returns; the first closes at 100."""
    closes = [100.0 * math.exp(level) for level in accumulate(returns, initial=0.0)]
    return renamed(series(closes, minutes=minutes, start=start), symbol)


def folded(*feeds: Sequence[OneBar], keep_ms: int = DAY) -> Correlations:
    found = Correlations(QUARTER, keep_ms)
    for feed in feeds:
        for one in feed:
            found.fold(one)
    return found


def end_of(feed: Sequence[OneBar]) -> int:
    return feed[-1].close_time_ms


def test_a_day_of_returns_is_what_was_put_into_them() -> None:
    """0.6 and 0.8 by construction, and 0 between the two that have nothing to do with each other; in either order."""
    one, other, mixed = moved("ONE", UP_DOWN), moved("OTHER", PAIRS), moved("MIXED", MIXED)
    found, at_ms = folded(one, other, mixed), end_of(one)
    assert found.between("MIXED", "ONE", DAY, at_ms) == found.between("ONE", "MIXED", DAY, at_ms) == D("0.6")
    assert found.between("MIXED", "OTHER", DAY, at_ms) == D("0.8")
    assert found.between("ONE", "OTHER", DAY, at_ms) == D(0)


def test_at_the_threshold_two_symbols_stand_apart() -> None:
    """Above it they move together; the answer is in the order of the question and leaves the symbol itself out."""
    one, other, mixed = moved("ONE", UP_DOWN), moved("OTHER", PAIRS), moved("MIXED", MIXED)
    found, names = folded(one, other, mixed), ["OTHER", "ONE", "MIXED"]
    assert found.together("MIXED", names, DAY, D("0.8"), end_of(one)) == ()
    assert found.together("MIXED", names, DAY, D("0.799999"), end_of(one)) == ("OTHER",)
    assert found.together("MIXED", names, DAY, D("0.5"), end_of(one)) == ("OTHER", "ONE")


def test_only_the_window_counts() -> None:
    """After a day with the one and a day with the other, the last day decides; of both days together it is neither."""
    one, other = moved("ONE", UP_DOWN * 2), moved("OTHER", PAIRS * 2)
    turned = moved("TURNED", [*UP_DOWN, *PAIRS])
    found, at_ms = folded(one, other, turned, keep_ms=2 * DAY), end_of(one)
    assert found.between("TURNED", "OTHER", DAY, at_ms) == D(1)
    assert found.between("TURNED", "ONE", DAY, at_ms) == D(0)
    assert found.between("TURNED", "ONE", 2 * DAY, at_ms) == D("0.5")
    assert found.between("TURNED", "OTHER", 2 * DAY, at_ms) == D("0.5")


def test_what_has_left_the_window_is_forgotten() -> None:
    """Of ten days a day is kept, and asked a day after the last bar there is nothing to tell the two apart by."""
    one, other = moved("ONE", UP_DOWN * 10), moved("OTHER", UP_DOWN * 10)
    found = folded(one, other)
    assert {len(kept) for kept in found._logs.values()} == {A_DAY + 1}
    assert found.between("ONE", "OTHER", DAY, end_of(one)) == D(1)
    assert found.between("ONE", "OTHER", DAY, end_of(one) + DAY) is None
    assert found.together("ONE", ["OTHER"], DAY, D(1), end_of(one) + DAY) == ("OTHER",)


def test_bars_of_other_lengths_tell_the_same() -> None:
    """A close at the end of a quarter of an hour is one, whether its bar lasted five minutes or fifteen."""
    fine = [part for move in MIXED for part in (0.03, -0.03, move)]
    # Two bars first, so that the first quarter ends with the first close of the coarse one.
    finer = moved("MIXED", [0.0, 0.0, *fine], minutes=5)
    one = moved("ONE", UP_DOWN)
    assert end_of(finer) == end_of(one)
    assert folded(one, finer).between("MIXED", "ONE", DAY, end_of(one)) == D("0.6")


def test_a_step_that_one_lacks_is_left_out_of_both() -> None:
    """Returns go over the hole on both sides, so two symbols that move alike still do."""
    one, other = moved("ONE", MIXED), moved("OTHER", MIXED)
    assert folded(one, [*other[:40], *other[43:]]).between("ONE", "OTHER", DAY, end_of(one)) == D(1)


def test_with_too_few_returns_two_symbols_count_as_one_risk() -> None:
    """With 19 returns nothing is said, and the two count as moving together; with 20 they are told apart."""
    for count, figure, group in ((LEAST_RETURNS - 1, None, ("OTHER",)), (LEAST_RETURNS, D(0), ())):
        one, other = moved("ONE", UP_DOWN[:count]), moved("OTHER", PAIRS[:count])
        found = folded(one, other)
        assert found.between("ONE", "OTHER", DAY, end_of(one)) == figure
        assert found.together("ONE", ["OTHER"], DAY, D("0.7"), end_of(one)) == group


def test_a_bar_told_again_or_one_that_cannot_be_changes_nothing() -> None:
    """An older bar, the same again, and a price of NaN or zero are passed over."""
    one, other = moved("ONE", UP_DOWN), moved("OTHER", PAIRS)
    broken = [
        OneBar("OTHER", end_of(one) + 1, end_of(one) + QUARTER, price, price, price, price, 1.0)
        for price in (math.nan, 0.0, math.inf)
    ]
    found = folded(one, other, other[-5:], broken)
    assert found.between("ONE", "OTHER", DAY, end_of(one)) == D(0)


def test_closes_of_after_the_moment_that_is_asked_about_say_nothing() -> None:
    """A day with the one and a day with the other: asked about the end of the first day, only that counts."""
    one, other = moved("ONE", UP_DOWN * 2), moved("OTHER", [*UP_DOWN, *PAIRS])
    found, noon = folded(one, other, keep_ms=2 * DAY), end_of(one) - DAY
    assert found.between("ONE", "OTHER", DAY, end_of(one)) == D(0)
    assert found.between("ONE", "OTHER", DAY, noon) == D(1)
    assert found.between("ONE", "OTHER", DAY, end_of(one)) == D(0)


def test_a_close_that_comes_changes_the_answer_at_once() -> None:
    """Asked before and after the bar of one of the two came, at one and the same time: nothing remembered is stale."""
    one, other = moved("ONE", UP_DOWN[:LEAST_RETURNS]), moved("OTHER", PAIRS[:LEAST_RETURNS])
    found = folded(one, other[:-1])
    assert found.between("ONE", "OTHER", DAY, end_of(one)) is None
    assert found.fold(other[-1])
    assert found.between("OTHER", "ONE", DAY, end_of(one)) == D(0)


def test_of_a_symbol_that_was_forgotten_nothing_is_known_until_it_is_told_anew() -> None:
    """Its closes and all that was found of them are gone; told anew in other figures, those count."""
    one, other = moved("ONE", UP_DOWN), moved("OTHER", PAIRS)
    found = folded(one, other)
    assert found.between("ONE", "OTHER", DAY, end_of(one)) == D(0)
    found.forget("OTHER")
    assert found.between("ONE", "OTHER", DAY, end_of(one)) is None
    for bar in moved("OTHER", UP_DOWN):
        found.fold(bar)
    assert found.between("ONE", "OTHER", DAY, end_of(one)) == D(1)


SWEPT: Mapping[str, tuple[Json, Json]] = {"correlation_hours": (24.0, 48.0), "correlation_threshold": (0.7, 0.4)}
"""Of each parameter two values: with the first ETHUSDT, which moved with BTCUSDT a day ago, stands alone."""


def test_every_parameter_of_correlation_is_swept() -> None:
    """None is decoration: what bars are read for and is no parameter of the guard is one of these."""
    enforced = {name for name, one in PARAMETERS.items() if one.enforced_by == "guard"}
    assert {name for name in enforced if not name.startswith("regime_")} == SWEPT.keys()


LEADER, FOLLOWER = moved("BTCUSDT", UP_DOWN * 2), moved("ETHUSDT", [*UP_DOWN, *MIXED])
"""A day with BTCUSDT and a day half with it: 0.6 in one day, 0.8 in two."""
AT_THE_END = (T0 + 2 * DAY + QUARTER) * 1_000_000


def followed(policy: Policy, book: MarketBook) -> MarketBook:
    """The book under that policy."""

    def thresholds(symbol: str) -> Thresholds:
        return thresholds_of(policy.limits(symbol, "", None))

    book.follow(thresholds)
    return book


def fed(book: MarketBook) -> MarketBook:
    """The book, with what a feed tells of both symbols."""
    for pair in zip(LEADER, FOLLOWER, strict=True):
        for one in pair:
            book.take(candle(one, symbol=one.symbol))
    return book


def group_of(state: MarketState | None) -> tuple[str, ...] | None:
    assert state is not None
    return state.correlated


@pytest.mark.parametrize("name", SWEPT)
def test_it_decides_what_moves_together_in_a_recording(name: str, tmp_path: Path) -> None:
    """With the first value the follower stands alone, with the second it does not."""
    table = table_of(tmp_path, [*LEADER, *FOLLOWER])
    markets = [RecordedMarket(table, policy_of({name: value})) for value in SWEPT[name]]
    assert [group_of(market.state("ETHUSDT", AT_THE_END)) for market in markets] == [(), ("BTCUSDT",)]


@pytest.mark.parametrize("name", SWEPT)
def test_it_decides_what_moves_together_live(name: str) -> None:
    """The same of the book of a feed, whose policy held from the beginning."""
    books = [fed(followed(policy_of({name: value}), MarketBook())) for value in SWEPT[name]]
    assert [group_of(book.state("ETHUSDT", AT_THE_END)) for book in books] == [(), ("BTCUSDT",)]


@pytest.mark.parametrize("name", SWEPT)
def test_a_changed_policy_decides_what_moves_together_at_once(name: str) -> None:
    """Put in force while the book runs, and taken back: it is judged on the bars that were seen before."""
    book, (alone, together) = fed(MarketBook()), SWEPT[name]
    policies = [policy_of({name: value}) for value in (alone, together, alone)]
    groups = [group_of(followed(policy, book).state("ETHUSDT", AT_THE_END)) for policy in policies]
    assert groups == [(), ("BTCUSDT",), ()]


@pytest.mark.parametrize("name", SWEPT)
def test_each_symbol_is_grouped_by_its_own_limits(name: str, tmp_path: Path) -> None:
    """Set for the follower alone, its group grows and the leader's does not, in a recording as in a book."""
    policy = policy_of(scopes={"symbol:ETHUSDT": {name: SWEPT[name][1]}})
    recorded = RecordedMarket(table_of(tmp_path, [*LEADER, *FOLLOWER]), policy)
    for market in (recorded, fed(followed(policy, MarketBook()))):
        groups = [group_of(market.state(symbol, AT_THE_END)) for symbol in ("ETHUSDT", "BTCUSDT")]
        assert groups == [("BTCUSDT",), ()]


def test_the_steps_that_are_compared_are_those_of_the_policy() -> None:
    """Followers at every hour and apart in between: with `regime_sample_minutes` 60 one risk, with 15 two."""
    hourly = [0.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, -0.02] * 12
    apart = [0.05, -0.05, 0.0, 0.0] * 24
    one = moved("BTCUSDT", hourly)
    other = moved("ETHUSDT", [a + b for a, b in zip(hourly, apart, strict=True)])
    book = MarketBook()
    for bar in (*one, *other):
        book.take(candle(bar, symbol=bar.symbol))
    groups = [
        group_of(
            followed(policy_of({"regime_sample_minutes": value}), book).state("ETHUSDT", (end_of(one) + 1) * 1_000_000)
        )
        for value in (15.0, 60.0)
    ]
    assert groups == [(), ("BTCUSDT",)]


def test_a_lower_threshold_is_the_tighter_one() -> None:
    """The direction by which governance tells a loosening is the one in which the group grows."""
    parameter, (alone, together) = PARAMETERS["correlation_threshold"], SWEPT["correlation_threshold"]
    assert is_tighter(parameter, together, alone)
    assert not is_tighter(parameter, alone, together)
