"""How sure we are of net savings: a 95 % interval by resampling days.

What is resampled are days, because what happens on one day hangs together: re-fires of one episode share a path, and
strategies share the market. An episode (strategy, symbol and side until flat) counts once, on the UTC day of its first
intent; days on which nothing was blocked count too. Two standard errors of the total are taken and the wider one is
used: days drawn one by one (a cluster bootstrap), and blocks of days (the stationary bootstrap of Politis and Romano,
Journal of the American Statistical Association 89, 1994), because shocks can last. Blocks are ``1.5 n^(1/3)`` days long
on average; what a block bootstrap of a short series loses by measuring from its own mean is given back. The interval is
Student's, with one degree of freedom less than there are days with results: it is wider where days are few (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, ch. 12).

Measured by ``.venv/bin/python bench/coverage.py``, 1,000 histories of known answer each (`bench/histories.py`):

=============================================== =======
History                                         Covered
=============================================== =======
12 weeks of 1.5 episodes a day                   94.9 %
... whose results are stops and targets          96.2 %
... with volatility in bursts                    96.8 %
... with shocks that last (autocorrelation 0.3)  94.7 %
... (0.5)                                        94.1 %
... (0.7)                                        91.9 %
12 weeks of 0.4 episodes a day                   96.5 %
12 weeks of 6 episodes a day                     95.6 %
4 weeks of 1.5 episodes a day                    96.1 %
2 weeks of 3 episodes a day                      95.7 %
1 week of 5 episodes a day                       95.4 %
=============================================== =======

Where strategies herd more than in these histories, shocks that last are seen less well: in a sketch (600 histories of
day sums) coverage was 92 % at 0.5 and 88 % at 0.7. Percentiles of the resamples, in place of Student's interval,
covered 91 to 94 % of twelve independent weeks and 84 % of one week (sketch, 400 histories).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.figures import is_blocked, is_closed, parts, total
from petrosa_cio.apps.auditor.outcomes import Outcome
from petrosa_cio.apps.auditor.resampling import money, quanta, resampled, seed_of
from petrosa_cio.apps.nurse.models import decimal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.nurse.facts import Instant

WEEKS = 12
"""Length of the window that an estimate looks back on."""
LEAST_EPISODES = 20
"""Episodes without which there is no interval, only counts and a range."""
LEAST_DAYS = 5
"""Days with results without which there is none either: days are what is resampled."""
DAY = 86_400 * 1_000_000_000

_NORMAL = 1.959963984540054
"""Quantile of the normal distribution at 0.975."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval of net savings, in quote currency, to 12 digits."""

    low: Decimal
    high: Decimal
    below_zero: Decimal
    """Share of the resamples in which governance cost more than it saved, 0..1."""
    block_days: Decimal
    """Average length of the blocks behind it, in days; 1: days were drawn one by one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Net savings of a window, and how sure they are."""

    net_savings: Decimal
    """Exact."""
    episodes: int
    """Of positions that were filled."""
    days: int
    """From the first day to the last, those without a result included."""
    active_days: int
    """Days with a result."""
    worst: Decimal | None
    """Net savings of the episode in which blocking cost most; None without episodes."""
    best: Decimal | None
    """Net savings of the episode in which blocking saved most."""
    interval: Interval | None
    """None where there are fewer than `LEAST_EPISODES` episodes or `LEAST_DAYS` active days."""


@dataclass(slots=True)
class _Episode:
    day: int
    saved: Decimal


def estimate(
    shadows: Iterable[Shadow], until: Instant, *, weeks: int = WEEKS, since: Instant | None = None
) -> Estimate:
    """Estimate the net savings of what was decided in the ``weeks`` before ``until``.

    ``since`` is when decisions began to be tracked, where that is later than the window's beginning; without it, the
    first decision in ``shadows``, promoted ones included. Give it for a part of a ledger (one strategy's), so that
    days on which that part had nothing count.

    :raises LedgerError: as `figures.statement`.
    """
    begin = until - weeks * 7 * DAY
    within = [shadow for shadow in shadows if begin <= shadow.decided_at < until]
    closed = [shadow for shadow in within if is_blocked(shadow) and is_closed(shadow)]
    first = max(begin, since) if since is not None else min((one.decided_at for one in within), default=until)
    episodes = _episodes(closed)
    saved = [one.saved for one in episodes.values()]
    first_day = min((first // DAY, *(one.day for one in episodes.values())))
    by_day: list[list[Decimal]] = [[] for _ in range((until - 1) // DAY - first_day + 1)]
    for one in episodes.values():
        by_day[one.day - first_day].append(one.saved)
    active = sum(bool(amounts) for amounts in by_day)
    enough = len(episodes) >= LEAST_EPISODES and active >= LEAST_DAYS
    return Estimate(
        net_savings=total(saved),
        episodes=len(episodes),
        days=len(by_day),
        active_days=active,
        worst=min(saved, default=None),
        best=max(saved, default=None),
        interval=_interval([total(amounts) for amounts in by_day], active, seed_of(episodes)) if enough else None,
    )


def _episodes(shadows: Iterable[Shadow]) -> dict[str, _Episode]:
    """Net savings of each episode, and the day on which it began. What was never filled says nothing."""
    found: dict[str, _Episode] = {}
    amounts: dict[str, list[Decimal]] = {}
    for shadow in shadows:
        if shadow.outcome is not Outcome.NOT_FILLED:
            day = shadow.decided_at // DAY
            one = found.setdefault(shadow.episode, _Episode(day, Decimal(0)))
            one.day = min(one.day, day)
            amounts.setdefault(shadow.episode, []).append(parts(shadow).result.copy_negate())
    for name, one in found.items():
        one.saved = total(amounts[name])
    return found


def _interval(amounts: Sequence[Decimal], active: int, seed: int) -> Interval:
    days, unit = quanta(amounts)
    count = len(days)
    block = max(1.0, min(1.5 * count ** (1 / 3), count / 4))
    singly = resampled(days, 1.0, seed)
    blocks = resampled(days, block, seed)
    widened = blocks.deviation * _restored(block, count)
    block, spread, deviation = max(
        ((1.0, singly, singly.deviation * _restored(1.0, count)), (block, blocks, widened)), key=lambda one: one[2]
    )
    # Days without a result vary the total, but they are no evidence of how far a result can go.
    half = student(active - 1) * deviation * math.sqrt((count - 1) / count * active / (active - 1))
    centre = sum(days)
    return Interval(
        low=money(centre - half, unit),
        high=money(centre + half, unit),
        below_zero=decimal_of(round(spread.below_zero, 6)),
        block_days=decimal_of(round(block, 1)),
    )


def _restored(block: float, count: int) -> float:
    """By how much a standard error of blocks falls short where days are independent: they vary about their own mean.

    The expected variance is ``1 - (1 + 2 Σ (1 - k/n) (1 - 1/b)^k) / n`` of the true one, k = 1..n-1.
    """
    weights = sum((1 - lag / count) * (1 - 1 / block) ** lag for lag in range(1, count))
    return 1.0 / math.sqrt(1 - (1 + 2 * weights) / count)


def student(degrees: int) -> float:
    """Quantile of Student's t at 0.975, for 4 or more degrees of freedom, to 0.3 %.

    Cornish and Fisher's expansion (Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.7.5).
    """
    z = _NORMAL
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )
