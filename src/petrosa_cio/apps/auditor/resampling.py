"""Chance, seeded: the one door through which NumPy enters. Sums of resampled days, and of gates that block at random.

Amounts come in as whole numbers (`quanta`), whose sums are exact in any order and on any machine. What is drawn follows
from the seed, and from the version of NumPy, which may change its streams (NEP 19); it is pinned by the lock file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

import numpy as np

from petrosa_cio.apps.auditor.figures import total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RESAMPLES = 2_000
"""Of these a standard error comes within about 2 % of that of infinitely many."""
PERMUTATIONS = 10_000
"""At most: a p value of 0.05 is then known to 0.004."""
_DRAWN = 50_000_000
"""Draws that a test against chance may cost, about two seconds; of many positions there are fewer permutations."""
_LEAST_PERMUTATIONS = 1_000

_STEPS = 2**48
"""Into so many quanta the sum of all magnitudes is divided: a sum of 2^14 times as much still fits 64 bits."""
_FINE = Context(prec=50, rounding=ROUND_HALF_EVEN)
_SAID = Context(prec=12, rounding=ROUND_HALF_EVEN)
"""Digits of an estimate: more than it is worth, fewer than machines differ in."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How the total varies from resample to resample."""

    deviation: float
    """Standard deviation of the totals."""
    below_zero: float
    """Share of the totals that are negative, 0..1."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Neighbouring rows, from ``start`` up to ``stop``, of which a random gate blocks ``blocked``."""

    start: int
    stop: int
    blocked: int


def seed_of(names: Iterable[str]) -> int:
    """Return a seed that follows from ``names`` in any order, and that nobody chooses: the start of their SHA-256."""
    digest = hashlib.sha256()
    for name in sorted(names):
        text = name.encode()
        digest.update(len(text).to_bytes(8))
        digest.update(text)
    return int.from_bytes(digest.digest()[:16])


def quanta(amounts: Sequence[Decimal]) -> tuple[list[int], Decimal]:
    """Whole numbers in proportion to ``amounts``, and the amount that 1 of them stands for (0 if all are 0).

    They depend on the proportions alone: money in another unit gives the same numbers.
    """
    magnitude = total(amount.copy_abs() for amount in amounts)
    if not magnitude:
        return [0] * len(amounts), Decimal(0)
    shares = (_FINE.multiply(_FINE.divide(amount, magnitude), Decimal(_STEPS)) for amount in amounts)
    return [int(share.to_integral_value(ROUND_HALF_EVEN)) for share in shares], _FINE.divide(magnitude, Decimal(_STEPS))


def money(count: float, unit: Decimal) -> Decimal:
    """Return what ``count`` quanta are worth, to 12 digits."""
    return _SAID.multiply(Decimal(count), unit)


def resampled(days: Sequence[int], block: float, seed: int) -> Spread:
    """Resample ``days`` in blocks that go on from day to day, and around the end, ``block`` days long on average.

    The stationary bootstrap of Politis and Romano (Journal of the American Statistical Association 89, 1994): at each
    day a new block begins with probability ``1 / block``. With ``block`` 1 days are drawn one by one.
    """
    count = len(days)
    around = np.asarray((*days, *days), dtype=np.int64)  # so that a block can run on past the end
    drawn = np.random.Generator(np.random.PCG64(seed))
    places = drawn.integers(0, count, (RESAMPLES, count), dtype=np.int32)
    if block > 1.0:
        begins = drawn.random((RESAMPLES, count), dtype=np.float32) < 1.0 / block
        begins[:, 0] = True
        ordinals = np.arange(count, dtype=np.int32)
        begun = np.maximum.accumulate(np.where(begins, ordinals, np.int32(0)), axis=1)
        places = np.take_along_axis(places, begun, axis=1) + ordinals - begun
    totals = around[places].sum(axis=1)
    return Spread(float(totals.std()), float((totals < 0).mean()))


class RandomGates:
    """What gates that block at random block: of each column a total for each gate."""

    def __init__(self, rows: Sequence[Sequence[int]], strata: Sequence[Stratum], seed: int) -> None:
        """Draw them: within each stratum every choice of ``blocked`` of its rows is as likely as any other."""
        values = np.asarray(rows, dtype=np.int64)
        gates = max(_LEAST_PERMUTATIONS, min(PERMUTATIONS, _DRAWN // max(len(rows), 1)))
        drawn = np.random.Generator(np.random.PCG64(seed))
        self._totals = np.zeros((values.shape[1], gates), dtype=np.int64)
        for stratum in strata:
            within = values[stratum.start : stratum.stop]
            orders = np.broadcast_to(np.arange(len(within), dtype=np.int32), (gates, len(within)))
            chosen = drawn.permuted(orders, axis=1)[:, : stratum.blocked]
            for column, totals in enumerate(self._totals):
                totals += within[chosen, column].sum(axis=1)

    def quantiles(self, column: int, shares: Sequence[float]) -> list[float]:
        """Return the quantiles of a column's totals at ``shares``, interpolated."""
        return [float(found) for found in np.quantile(self._totals[column], shares)]

    def share_at_least(self, column: int, real: int) -> float:
        """Share of gates that come to ``real`` or more, the real one counted among them: so it is never 0.

        Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010).
        """
        return self._share(int(np.count_nonzero(self._totals[column] >= real)))

    def share_at_most(self, column: int, real: int) -> float:
        """Share of gates that come to ``real`` or less, likewise."""
        return self._share(int(np.count_nonzero(self._totals[column] <= real)))

    def _share(self, count: int) -> float:
        return (count + 1) / (self._totals.shape[1] + 1)
