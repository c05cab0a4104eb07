"""Net savings against gates that block at random."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders_shadows import DAY, MONDAY, shadow
from petrosa_cio.apps.auditor.chance import against_chance
from petrosa_cio.apps.auditor.outcomes import Outcome, Shadow, Tracked

D = Decimal
BLOCKED, PROMOTED = Tracked.BLOCKED, Tracked.PROMOTED


def twenty(blocked: set[int], at: int = MONDAY) -> list[Shadow]:
    """Runs of one stratum that would have lost 1 to 20, each with a fee of 0.5; those of ``blocked`` were blocked."""
    return [
        shadow(f"{at}-{loss}", str(-loss), "0.5", tracked=BLOCKED if loss in blocked else PROMOTED, at=at + loss)
        for loss in range(1, 21)
    ]


def test_the_best_of_twenty_is_hit_by_one_random_gate_in_twenty() -> None:
    """One of twenty was blocked, the worst loss: p is 1/20, and the average of random gates is the average loss."""
    found = against_chance(twenty({20}))
    assert found is not None
    assert (found.runs, found.blocked, found.shuffled) == (20, 1, 20)
    assert found.net.real == D("20.5")
    assert found.net.expected == 11
    assert float(found.net.p_skill) == pytest.approx(0.05, abs=0.01)
    assert found.net.p_harm == 1
    assert (found.net.low, found.net.high) == (D("1.5"), D("20.5"))
    assert found.net.median in {D("10.5"), D(11), D("11.5")}


def test_the_worst_choice_is_harm() -> None:
    """The smallest loss was blocked: every random gate saves as much or more, one in twenty as little."""
    found = against_chance(twenty({1}))
    assert found is not None
    assert found.net.p_skill == 1
    assert float(found.net.p_harm) == pytest.approx(0.05, abs=0.01)


def test_costs_are_placed_apart_from_the_move() -> None:
    """All fees are equal, so every gate saves the same fees: no skill in that, however good the moves are chosen."""
    found = against_chance(twenty({19, 20}))
    assert found is not None
    assert (found.costs.real, found.costs.expected, found.costs.low, found.costs.high) == (1, 1, 1, 1)
    assert (found.costs.p_skill, found.costs.p_harm) == (1, 1)
    assert (found.move.real, found.move.expected) == (39, 21)
    assert float(found.move.p_skill) == pytest.approx(1 / 190, abs=0.003)


def test_verdicts_stay_within_their_week() -> None:
    """Sunday and Monday are of two weeks: where a week has one verdict only, there is nothing to shuffle."""
    sunday, monday = twenty(set(range(1, 21)), MONDAY - DAY), twenty(set(), MONDAY)
    assert against_chance([*sunday, *monday]) is None
    found = against_chance([*twenty(set(range(1, 11)), MONDAY + 5 * DAY), *twenty({1}, MONDAY + 6 * DAY)])
    assert found is not None
    assert found.shuffled == 40


@pytest.mark.parametrize("change", [{"strategy_id": "other"}, {"symbol": "ETHUSDT"}], ids=str)
def test_verdicts_stay_within_strategy_and_symbol(change: dict[str, str]) -> None:
    """What another strategy did, or the same on another symbol, is no alternative."""
    elsewhere = [replace(one, decision_id=f"x{one.decision_id}", episode=f"x{one.episode}") for one in twenty(set())]
    elsewhere = [replace(one, **change) for one in elsewhere]  # type: ignore[arg-type]
    assert against_chance([*twenty(set(range(1, 21))), *elsewhere]) is None


def test_what_no_shuffle_changes_counts_in_full() -> None:
    """A stratum that was blocked whole adds its savings to the real figure and to every random gate's."""
    alone, joined = (
        against_chance([*twenty({20}), *more])
        for more in ([], [shadow("w", "-100", strategy_id="other"), shadow("g", "30", strategy_id="other")])
    )
    assert alone is not None
    assert joined is not None
    assert (joined.net.real, joined.net.expected) == (alone.net.real + 70, alone.net.expected + 70)
    assert joined.net.high == alone.net.high + 70
    assert joined.shuffled == 20


def test_an_episode_is_shuffled_as_a_whole() -> None:
    """Re-fires of an episode, all blocked, are one run: they go together."""
    whole = twenty({20})
    halves = [replace(one, decision_id=f"{one.decision_id}.{n}") for one in whole for n in range(2)]
    found = against_chance(halves)
    assert found is not None
    assert (found.runs, found.net.real, found.net.expected) == (20, 41, 22)


def test_a_promoted_position_counts_as_it_would_if_blocked() -> None:
    """Where a bar is ambiguous, a promoted result is the low bound; a gate that blocks it misses the high one."""
    unclear = shadow("u", "-7", tracked=PROMOTED, outcome=Outcome.AMBIGUOUS, low="-7", high="13")
    found = against_chance([*twenty({1}), unclear])
    assert found is not None
    assert found.move.expected == D(210 - 13) / 21


def test_of_few_runs_nothing_is_said() -> None:
    """Nineteen runs that could have gone either way are too few; open ones do not help."""
    few = twenty({20})[1:]
    assert against_chance(few) is None
    assert against_chance([*few, shadow("o", "1", tracked=PROMOTED, outcome=Outcome.OPEN)]) is None
    assert against_chance([]) is None
