"""Intervals of net savings: what is resampled, what is not said, and what they are worth."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from builders_shadows import DAY, MONDAY, shadow
from petrosa_cio.apps.auditor.intervals import WEEKS, estimate, student
from petrosa_cio.apps.auditor.outcomes import Outcome, Tracked
from petrosa_cio.apps.auditor.resampling import resampled, seed_of

D = Decimal
HOUR = DAY // 24
END = MONDAY + 7 * DAY
RESULTS = (3, -1, 4, -1, 5, -9, 2, -6, 5, -3, 5, -8, 9, -7, 9, 3, -2, 3, 8, -4, 6)
WEEK = [shadow(f"d{n}", str(move), at=MONDAY + (n % 7) * DAY + n * HOUR // 2) for n, move in enumerate(RESULTS)]


def circular_deviation(days: list[int], block: float) -> float:
    """Standard deviation of a total of the stationary bootstrap with infinitely many resamples.

    Politis and Romano (1994), lemma 1: the circular autocovariances, weighted by (1 - k/n)(1 - 1/block)^k.
    """
    count, mean = len(days), sum(days) / len(days)
    apart = [day - mean for day in days]
    covered = [sum(apart[i] * apart[(i + lag) % count] for i in range(count)) / count for lag in range(count)]
    weights = [(1 - lag / count) * (1 - 1 / block) ** lag for lag in range(count)]
    return math.sqrt(count * (covered[0] + 2 * sum(w * c for w, c in zip(weights[1:], covered[1:], strict=True))))


@pytest.mark.parametrize("block", [1.0, 2.0, 6.5])
def test_resampling_comes_to_what_theory_says(block: float) -> None:
    """The spread of resampled totals is that of the closed formula, within what 2,000 resamples allow."""
    days = [5, 4, 6, -3, -2, -4, 1, 0, 7, 8, 5, -6, -7, -5, 0, 0, 2, 3, 2, -1] * 3
    found = resampled(days, block, seed_of(["a"])).deviation
    assert found == pytest.approx(circular_deviation(days, block), rel=0.06)


def test_an_interval_lies_about_net_savings() -> None:
    """Twenty-one episodes on seven days: the figure exact, an interval about it, and its share below zero."""
    found = estimate(WEEK, END)
    assert found.net_savings == -sum(RESULTS)
    assert (found.episodes, found.days, found.active_days) == (21, 7, 7)
    assert (found.worst, found.best) == (D(-9), D(9))
    assert found.interval is not None
    assert (found.interval.low + found.interval.high) / 2 == pytest.approx(found.net_savings)
    assert D("0.5") < found.interval.below_zero < 1


def test_an_interval_is_as_wide_as_its_days_vary() -> None:
    """Days that come to 10 and -10 in turn, drawn singly: sqrt(20) · 10 of deviation, by t(19) and sqrt(20/19)."""
    turns = [shadow(f"d{n}", "-10" if n % 2 else "10", at=MONDAY + n * DAY) for n in range(20)]
    interval = estimate(turns, MONDAY + 20 * DAY).interval
    assert interval is not None
    assert interval.block_days == 1
    expected = 2.093 * 10 * math.sqrt(20) * math.sqrt(20 / 19)
    assert float(interval.high) == pytest.approx(expected, rel=0.05)
    assert interval.low == -interval.high


def test_days_that_hang_together_widen_it() -> None:
    """The same days, the gains first and the losses after: blocks of days tell that they hang together."""
    turns = [shadow(f"d{n}", "-10" if n % 2 else "10", at=MONDAY + n * DAY) for n in range(40)]
    halves = [shadow(f"d{n}", "-10" if n >= 20 else "10", at=MONDAY + n * DAY) for n in range(40)]
    narrow, wide = (estimate(one, MONDAY + 40 * DAY).interval for one in (turns, halves))
    assert narrow is not None
    assert wide is not None
    assert wide.high > D("1.8") * narrow.high
    assert wide.block_days == D("5.1")  # 1.5 · 40^(1/3)


def test_of_few_episodes_only_count_and_range_are_said() -> None:
    """Nineteen episodes have no interval, twenty have one."""
    few, enough = estimate(WEEK[:19], END), estimate(WEEK[:20], END)
    assert few.interval is None
    assert (few.episodes, few.worst, few.best) == (19, D(-9), D(9))
    assert enough.interval is not None


def test_of_few_days_there_is_no_interval_either() -> None:
    """Episodes by the dozen on four days are four clusters; on five they are enough."""
    four = [shadow(f"d{n}", str(n - 30), at=MONDAY + (n % 4) * DAY) for n in range(60)]
    five = [shadow(f"d{n}", str(n - 30), at=MONDAY + (n % 5) * DAY) for n in range(60)]
    assert estimate(four, END).interval is None
    assert estimate(five, END).interval is not None


def test_an_episode_counts_once_on_the_day_it_began() -> None:
    """A re-fire after midnight belongs to the day of its episode's first intent."""
    late = [
        shadow("a", "3", at=MONDAY + DAY - 1, episode="a"),
        shadow("b", "4", at=MONDAY + DAY, episode="a"),
        shadow("c", "-2", at=MONDAY + 2 * DAY),
    ]
    found = estimate(late, END)
    assert (found.episodes, found.active_days) == (2, 2)
    assert (found.worst, found.best) == (D(-7), D(2))


def test_the_window_is_the_last_twelve_weeks() -> None:
    """What was decided at its beginning is in it; a nanosecond before, or at its end, is not."""
    begin = END - WEEKS * 7 * DAY
    edges = [
        shadow("before", "1", at=begin - 1),
        shadow("first", "10", at=begin),
        shadow("last", "100", at=END - 1),
        shadow("after", "1000", at=END),
    ]
    found = estimate(edges, END)
    assert (found.net_savings, found.days) == (D(-110), 84)


def test_days_count_from_when_decisions_began_to_be_tracked() -> None:
    """Without being told, from the first decision of any kind; told, from then."""
    some = [shadow("p", "1", tracked=Tracked.PROMOTED, at=MONDAY + DAY), shadow("b", "1", at=MONDAY + 4 * DAY)]
    assert estimate(some, END).days == 6
    assert estimate(some, END, since=MONDAY).days == 7
    assert estimate(some[1:], END).days == 3


def test_only_what_was_blocked_filled_and_is_over_counts() -> None:
    """Promoted, open and unavailable positions save nothing; what was never filled is no evidence."""
    others = [
        shadow("p", "50", tracked=Tracked.PROMOTED, at=MONDAY),
        shadow("o", "50", outcome=Outcome.OPEN, at=MONDAY),
        shadow("u", "50", outcome=Outcome.UNAVAILABLE, at=MONDAY),
        shadow("n", "0", outcome=Outcome.NOT_FILLED, at=MONDAY),
    ]
    assert estimate([*WEEK, *others], END) == estimate(WEEK, END)


def test_nothing_tracked_is_no_estimate() -> None:
    """No episodes: no range, no interval."""
    found = estimate([], END)
    assert (found.net_savings, found.episodes, found.worst, found.interval) == (0, 0, None, None)


@pytest.mark.parametrize(("degrees", "expected"), [(4, 2.776), (5, 2.571), (9, 2.262), (20, 2.086), (83, 1.989)])
def test_students_quantile_is_that_of_the_tables(degrees: int, expected: float) -> None:
    """Two-sided 5 %, from a printed table."""
    assert student(degrees) == pytest.approx(expected, rel=0.003)
