"""Net savings against chance: what would a gate without skill have saved, that blocks as much of the same?

Verdicts are shuffled within strategy, symbol and ISO week, so that each shuffled gate blocks as many as the real one
did, of the same strategies on the same symbols in the same weeks (a permutation test: Fisher, The Design of
Experiments, 1935; stratified: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005). Skill is above
the random gate, not above zero: a random gate saves the costs of what it blocks, and all of the market's move if
strategies lose. So the figure is placed three times: whole, the market's move alone, and costs alone.

What is shuffled are runs: the blocked positions of one episode together, and its promoted positions together, since
re-fires share a path. A promoted position counts with what it would have been as a blocked one: where one bar touched
two barriers, the result that is less favourable to governance.

**Limit.** A gate that blocks whole days at random, across strategies, is luckier and unluckier than one that draws a
run at a time, and so is found significant too often. Measured by ``.venv/bin/python bench/coverage.py``, 250 histories
of twelve weeks each, p < 0.05: a gate that blocks days at random has skill in 8.4 % and does harm in 7.2 %, one that
blocks episodes at random 3.2 % and 4.4 %; one that blocks losers 30 % more often and gainers 30 % less, 48 % and none.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import groupby
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.figures import EXACT, is_blocked, is_closed, parts, total
from petrosa_cio.apps.auditor.intervals import DAY, LEAST_EPISODES
from petrosa_cio.apps.auditor.outcomes import Outcome
from petrosa_cio.apps.auditor.resampling import RandomGates, Stratum, money, quanta, seed_of
from petrosa_cio.apps.nurse.models import decimal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from petrosa_cio.apps.auditor.outcomes import Shadow

_SHARES = (0.025, 0.5, 0.975)
_MEAN = Context(prec=28)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a real figure falls among those of random gates. In quote currency; estimates to 12 digits."""

    real: Decimal
    """Exact."""
    expected: Decimal
    """What random gates save on average; worked out, not drawn."""
    low: Decimal
    """2.5 % of random gates save less."""
    median: Decimal
    high: Decimal
    """2.5 % of random gates save more."""
    p_skill: Decimal
    """Probability that a random gate saves as much or more: small where the gate is better than chance."""
    p_harm: Decimal
    """Probability that a random gate saves as little or less: small where the gate is worse than chance."""


@dataclass(frozen=True, slots=True)
class Chance:
    """The gate against random ones."""

    runs: int
    """Blocked and promoted ones."""
    blocked: int
    shuffled: int
    """Runs in strata that have both verdicts; of the others a shuffle changes nothing."""
    net: Placement
    move: Placement
    """The market's move avoided: skill shows here."""
    costs: Placement
    """Fees and funding avoided: what any gate saves."""


@dataclass(frozen=True, slots=True)
class _Run:
    """``saves``: what blocking it saves, whole, of the market's move, of costs."""

    stratum: tuple[str, str, int]
    blocked: bool
    episode: str
    saves: tuple[Decimal, Decimal, Decimal]


def against_chance(shadows: Iterable[Shadow]) -> Chance | None:
    """Place net savings of closed positions among those of random gates.

    None where fewer than `intervals.LEAST_EPISODES` runs could have had the other verdict: too few to tell.

    :raises LedgerError: as `figures.statement`.
    """
    closed = [shadow for shadow in shadows if is_closed(shadow)]
    runs = _runs(closed)
    blocked = [run for run in runs if run.blocked]
    mixed = {run.stratum for run in blocked} & {run.stratum for run in runs if not run.blocked}
    shuffled = [run for run in runs if run.stratum in mixed]
    if len(shuffled) < LEAST_EPISODES:
        return None
    strata = _strata(shuffled)
    columns = [[run.saves[place] for run in shuffled] for place in range(3)]
    scaled = [quanta(column) for column in columns]
    rows = list(zip(*(numbers for numbers, _ in scaled), strict=True))
    gates = RandomGates(rows, strata, seed_of(f"{one.decision_id} {one.tracked}" for one in closed))
    net, move, costs = (
        _placed(total(run.saves[place] for run in blocked), shuffled, place, strata, gates) for place in range(3)
    )
    return Chance(runs=len(runs), blocked=len(blocked), shuffled=len(shuffled), net=net, move=move, costs=costs)


def _runs(closed: Iterable[Shadow]) -> list[_Run]:
    """Runs by stratum, in an order that does not depend on that of the positions."""
    grouped: dict[tuple[str, str, str, bool], list[Shadow]] = {}
    for shadow in closed:
        key = (shadow.strategy_id, shadow.symbol, shadow.episode, is_blocked(shadow))
        grouped.setdefault(key, []).append(shadow)
    runs = []
    for (strategy_id, symbol, episode, blocked), run in grouped.items():
        week = (min(one.decided_at for one in run) // DAY + 3) // 7  # ISO weeks begin on Monday, 1970 on a Thursday
        whole, move, costs = (total(amounts) for amounts in zip(*map(_saved_if_blocked, run), strict=True))
        runs.append(_Run((strategy_id, symbol, week), blocked, episode, (whole, move, costs)))
    return sorted(runs, key=lambda run: (run.stratum, run.episode, run.blocked))


def _saved_if_blocked(shadow: Shadow) -> tuple[Decimal, Decimal, Decimal]:
    found = parts(shadow)
    costs = EXACT.subtract(found.fees, found.funding)
    result = found.result
    if shadow.outcome is Outcome.AMBIGUOUS and shadow.low is not None and shadow.high is not None:
        result = max(shadow.low, shadow.high)
    return result.copy_negate(), EXACT.add(result, costs).copy_negate(), costs


def _strata(runs: Sequence[_Run]) -> list[Stratum]:
    strata, start = [], 0
    for _, members in groupby(runs, key=lambda run: run.stratum):
        verdicts = [run.blocked for run in members]
        strata.append(Stratum(start, start + len(verdicts), sum(verdicts)))
        start += len(verdicts)
    return strata


def _placed(
    real: Decimal, runs: Sequence[_Run], place: int, strata: Sequence[Stratum], gates: RandomGates
) -> Placement:
    """Place ``real``. What a shuffle does not change, ``fixed``, is added to what it draws."""
    amounts = [run.saves[place] for run in runs]
    numbers, unit = quanta(amounts)
    here = sum(number for number, run in zip(numbers, runs, strict=True) if run.blocked)
    fixed = EXACT.subtract(real, total(amount for amount, run in zip(amounts, runs, strict=True) if run.blocked))
    averages = (
        _MEAN.divide(_MEAN.multiply(total(amounts[one.start : one.stop]), one.blocked), one.stop - one.start)
        for one in strata
    )
    low, median, high = (EXACT.add(fixed, money(found, unit)) for found in gates.quantiles(place, _SHARES))
    return Placement(
        real=real,
        expected=EXACT.add(fixed, total(averages)),
        low=low,
        median=median,
        high=high,
        p_skill=decimal_of(round(gates.share_at_least(place, here), 6)),
        p_harm=decimal_of(round(gates.share_at_most(place, here), 6)),
    )
