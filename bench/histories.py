"""Histories of a gate with a known answer, as shadow ledgers: what `coverage.py` and the tests measure against.

On each day a market shock with heavy tails (Student's t, 4 degrees) hits all strategies, which are mostly on one side;
episodes begin at random, and each re-fires 1 to 5 times on the path that it shares, also past midnight. Sizes are
log-normal. The expected result of a position is set, so the expected net savings of a history are known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Shadow, Tracked
from petrosa_cio.apps.nurse.facts import Side

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400 * 1_000_000_000
BEGIN = 20_000 * DAY
"""Midnight of Friday, 2024-10-04."""
FEES = Decimal("0.10")
"""Of a position of average size, for entry and exit."""
REFIRES = 5
_WARM = 50


@dataclass(frozen=True)
class World:
    """What a history is made of."""

    days: int = 84
    rate: float = 1.5
    """Episodes a day."""
    lasting: float = 0.0
    """Correlation of a day's shock with that of the day before."""
    bursts: float = 0.0
    """Persistence of the logarithm of volatility from day to day."""
    barriers: bool = False
    """Results are a stop of -1 or a target of 1.5, even chances, instead of free moves with an expectation of -0.2."""
    block: float = 1.0
    """Share of runs that is blocked."""
    by_day: bool = False
    """The gate blocks whole days at random, instead of episodes."""
    skill: float = 0.0
    """By how much more often (as a share) the gate blocks what loses, and less often what gains."""

    @property
    def expected_move(self) -> float:
        """What the market's move makes of a position on average, before fees."""
        return 0.25 if self.barriers else -0.2

    @property
    def expected_savings(self) -> float:
        """Net savings of a history on average, of a gate without skill."""
        positions = self.days * self.rate * (1 + REFIRES) / 2
        return -(self.expected_move - float(FEES)) * positions * self.block


@dataclass
class Ledger:
    """Shadow positions of one history; ``until`` is the instant after it."""

    shadows: list[Shadow]
    until: int


def histories(world: World, count: int, seed: int) -> Iterator[Ledger]:
    """Yield ``count`` independent histories; they follow from ``seed``."""
    chance = np.random.default_rng(seed)
    for _ in range(count):
        yield Ledger(list(_positions(world, chance)), BEGIN + world.days * DAY)


def _shocks(world: World, chance: np.random.Generator) -> np.ndarray:
    length = world.days + _WARM
    own = chance.standard_t(4, length) / np.sqrt(2)
    loud = chance.normal(0.0, 0.4, length)
    shocks = np.zeros(length)
    level = 0.0
    for day in range(1, length):
        level = world.bursts * level + loud[day] * (world.bursts > 0)
        shocks[day] = world.lasting * shocks[day - 1] + own[day] * np.exp(level)
    return shocks[_WARM:]


def _positions(world: World, chance: np.random.Generator) -> Iterator[Shadow]:
    number = 0
    shocks = _shocks(world, chance)
    stopped = chance.random(world.days) < world.block
    for day, episodes in enumerate(chance.poisson(world.rate, world.days)):
        for _ in range(episodes):
            number += 1
            long = chance.random() < 0.8
            push = 0.7 * shocks[day] * (1 if long else -1)
            size = chance.lognormal(-0.245, 0.7)
            if world.barriers:
                path = 1.5 if chance.random() < 1 / (1 + np.exp(-1.4 * push)) else -1.0
            else:
                path = world.expected_move + push + chance.standard_t(3) / np.sqrt(3)
            tilt = world.skill * (1 if path < 0 else -1)
            blocked = bool(stopped[day]) if world.by_day else chance.random() < world.block * (1 + tilt)
            places = (int(chance.integers(3)), int(chance.integers(2)))
            last = day == world.days - 1  # whose episodes end within the history
            at = day * DAY + int(chance.integers(DAY * 4 // 5 if last else DAY))
            fires = int(chance.integers(1, REFIRES + 1))
            for fire in range(fires):
                move = size * (path + (0.0 if world.barriers else 0.1 * chance.normal()))
                yield _shadow(number, fire, places, long, blocked, at + fire * DAY // 48, move, size)


def _shadow(
    number: int, fire: int, places: tuple[int, int], long: bool, blocked: bool, at: int, move: float, size: float
) -> Shadow:
    gross, fees = Decimal(round(move * 1_000_000)).scaleb(-6), Decimal(round(float(FEES) * size * 1_000_000)).scaleb(-6)
    return Shadow(
        decision_id=f"{number}.{fire}",
        tracked=Tracked.BLOCKED if blocked else Tracked.PROMOTED,
        strategy_id=f"strategy-{places[0]}",
        symbol=("BTCUSDT", "ETHUSDT")[places[1]],
        side=Side.LONG if long else Side.SHORT,
        reasons=("REGIME",) if blocked else (),
        regime=None,
        episode=f"{number}.0",
        repeats=0,
        decided_at=BEGIN + at,
        outcome=Outcome.TARGET if move > 0 else Outcome.STOP,
        price_source=PriceSource.BOOK,
        quantity=Decimal(1),
        gross=gross,
        fees=fees,
        funding=Decimal(0),
        result=gross - fees,
    )
