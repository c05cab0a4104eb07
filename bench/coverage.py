"""How often the interval of net savings covers the truth, and how often a gate that blocks at random looks skilled.

Run as ``.venv/bin/python bench/coverage.py``; ``COVERAGE_HISTORIES`` (1000) says how many histories of each kind, gates
have a quarter. They are those of `histories.py`, seeded; ten minutes on two cores that others use too. A random gate
should look skilled (p < 0.05) in 5 % of histories; one with skill, often.
"""

from __future__ import annotations

import os
import statistics
import time

from histories import DAY, World, histories

from petrosa_cio.apps.auditor.chance import against_chance
from petrosa_cio.apps.auditor.intervals import estimate

HISTORIES = int(os.environ.get("COVERAGE_HISTORIES", "1000"))
SEED = 5
INTERVALS = {
    "12 weeks, days independent": World(),
    "12 weeks, stops and targets": World(barriers=True),
    "12 weeks, volatility in bursts": World(bursts=0.9),
    "12 weeks, shocks last (0.3)": World(lasting=0.3),
    "12 weeks, shocks last (0.5)": World(lasting=0.5),
    "12 weeks, shocks last (0.7)": World(lasting=0.7),
    "12 weeks, 0.4 episodes a day": World(rate=0.4),
    "12 weeks, 6 episodes a day": World(rate=6.0),
    "4 weeks": World(days=28),
    "2 weeks, 3 episodes a day": World(days=14, rate=3.0),
    "1 week, 5 episodes a day": World(days=7, rate=5.0),
}
GATES = {
    "random by episode": World(rate=3.0, block=0.4),
    "random by episode, 4 weeks": World(days=28, rate=3.0, block=0.4),
    "random by day": World(rate=3.0, block=0.4, by_day=True),
    "skilled (0.3)": World(rate=3.0, block=0.4, skill=0.3),
    "worse than chance (-0.3)": World(rate=3.0, block=0.4, skill=-0.3),
}


def covered(world: World, count: int, seed: int = SEED) -> tuple[float, int]:
    """Share of histories whose interval covers the truth, and how many have an interval."""
    hits = []
    for ledger in histories(world, count, seed):
        found = estimate(ledger.shadows, ledger.until, weeks=world.days // 7, since=ledger.until - world.days * DAY)
        if found.interval is not None:
            truth = world.expected_savings
            hits.append(float(found.interval.low) <= truth <= float(found.interval.high))
    return statistics.fmean(hits), len(hits)


def significant(world: World, count: int, seed: int = SEED) -> tuple[float, float, float, float]:
    """Shares of histories with p < 0.05 for skill and for harm; average savings of costs, real and expected."""
    found = [chance for one in histories(world, count, seed) if (chance := against_chance(one.shadows)) is not None]
    return (
        statistics.fmean(float(one.move.p_skill) < 0.05 for one in found),
        statistics.fmean(float(one.move.p_harm) < 0.05 for one in found),
        statistics.fmean(float(one.costs.real) for one in found),
        statistics.fmean(float(one.costs.expected) for one in found),
    )


def main() -> None:
    print(f"{HISTORIES} histories each, seed {SEED}")
    for name, world in INTERVALS.items():
        began = time.perf_counter()
        share, count = covered(world, HISTORIES)
        print(f"{name:32} covered {share:6.1%} of {count:4}   {time.perf_counter() - began:5.1f} s", flush=True)
    for name, world in GATES.items():
        began = time.perf_counter()
        skilled, harmful, real, expected = significant(world, HISTORIES // 4)
        print(
            f"{name:32} skilled {skilled:6.1%}, harmful {harmful:6.1%}; "
            f"costs avoided {real:.2f}, by chance {expected:.2f}   {time.perf_counter() - began:5.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
