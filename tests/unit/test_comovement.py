"""Which symbols move together."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from builders_bars import OneBar, renamed, series, walk
from petrosa_cio.apps.nurse.comovement import LEAST_STEPS, STEPS, Comovement, correlation, moves


def fed(*lines: list[OneBar]) -> Comovement:
    together = Comovement()
    for line in lines:
        for bar in line:
            together.take(bar)
    return together


def blended(seed: int, other: list[OneBar], weight: float) -> list[float]:
    """Closes whose moves are ``weight`` times those of ``other``, the rest noise of the same size."""
    chance, price, closes = random.Random(seed), 50.0, []
    for before, bar in pairwise(other):
        move = math.log(bar.close / before.close)
        noise = chance.gauss(0.0, 0.02 * math.sqrt(15 / 1440))
        price *= math.exp(weight * move + math.sqrt(1 - weight * weight) * noise)
        closes.append(price)
    return closes


def test_the_correlation_of_a_line_with_itself_and_its_mirror() -> None:
    """Equal moves have a correlation of 1, opposite ones of -1."""
    line = {step: float(step % 5) for step in range(40)}
    assert correlation(line, line) == pytest.approx(1.0)
    assert correlation(line, {step: -move for step, move in line.items()}) == pytest.approx(-1.0)


def test_a_correlation_by_hand() -> None:
    """Moves (1,2,3,4) and (2,1,4,3), told eight times: sums of squares 5 and 5, of products 3, so 0.6."""
    left = {step: (1.0, 2.0, 3.0, 4.0)[step % 4] for step in range(32)}
    right = {step: (2.0, 1.0, 4.0, 3.0)[step % 4] for step in range(32)}
    assert correlation(left, right) == pytest.approx(0.6)


def test_too_few_moves_say_nothing() -> None:
    """One move in common less than the least, and nothing is known; at the least, something is."""
    line = {step: float(step % 5) for step in range(LEAST_STEPS)}
    assert correlation(line, line) == pytest.approx(1.0)
    assert correlation(line, dict(list(line.items())[1:])) is None


def test_what_does_not_move_is_not_compared() -> None:
    """A line that stands still has no correlation with anything."""
    line = {step: float(step % 5) for step in range(40)}
    assert correlation(line, dict.fromkeys(line, 0.0)) is None


def test_moves_are_of_steps_whose_predecessor_is_known() -> None:
    """A step after a hole has no move; the newest step is not over and has none yet."""
    assert moves({1: 1.0, 2: math.e, 4: 5.0, 5: 5.0, 6: 9.0}) == {2: 1.0, 5: 0.0}


def test_symbols_that_move_alike_are_a_group_and_others_are_not() -> None:
    """A symbol whose moves are nine tenths those of another is with it; one that goes its own way is not."""
    first = walk(1, 120, daily=0.02, minutes=15)
    near = renamed(series(blended(2, first, 0.95), minutes=15, start=1), "NEARUSDT")
    own = renamed(walk(3, 120, daily=0.02, minutes=15), "OWNUSDT")
    together = fed(first, near, own)
    assert together.group("ETHUSDT") == ("NEARUSDT",)
    assert together.group("NEARUSDT") == ("ETHUSDT",)
    assert together.group("OWNUSDT") == ()


def test_what_is_not_known_moves_together() -> None:
    """A symbol of which too little is known counts as one risk with every other."""
    together = fed(walk(1, 120, daily=0.02, minutes=15), renamed(walk(2, 5, daily=0.02, minutes=15), "NEWUSDT"))
    assert together.group("ETHUSDT") == ("NEWUSDT",)
    assert together.group("NEWUSDT") == ("ETHUSDT",)


def test_only_the_last_day_counts() -> None:
    """Symbols that went together until a day ago, and not since, are apart again; the memory is that of a day."""
    first = walk(1, 300, daily=0.02, minutes=15)
    second = renamed([*first[:190], *walk(2, 110, daily=0.02, minutes=15, start=190)], "OTHERUSDT")
    assert fed(first[:190], second[:190]).group("ETHUSDT") == ("OTHERUSDT",)
    together = fed(first, second)
    assert together.group("ETHUSDT") == ()
    assert len(together._closes["ETHUSDT"]) == STEPS + 2


def test_hourly_bars_are_compared_by_the_hour() -> None:
    """Bars longer than a step are a step of their own."""
    first = walk(1, 60, daily=0.02, minutes=60)
    together = fed(first, renamed(walk(2, 60, daily=0.02, minutes=60), "OTHERUSDT"), renamed(first, "SAMEUSDT"))
    assert together.group("ETHUSDT") == ("SAMEUSDT",)
