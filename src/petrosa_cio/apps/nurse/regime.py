"""The regime of a market: its labels, how grave each is, and what is known with one.

Two opinions on one market are joined by `stricter`. It is used for the market leader, and can be for any second
opinion that is brought into this form.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from petrosa_cio.apps.nurse.models import Instant


class Label(StrEnum):
    """What a market is doing, in order of severity: the last is the gravest.

    ``unknown`` comes after everything that is known, because it is never taken for a good regime, whatever a policy
    lists: where one of two opinions is unknown, so is what they say together.
    """

    RANGING = "ranging"
    TRENDING_BULL = "trending_bull"
    TRENDING_BEAR = "trending_bear"
    CHOPPY = "choppy"
    BREAKOUT_PHASE = "breakout_phase"
    RECOVERY = "recovery"
    HIGH_VOLATILITY = "high_volatility"
    CAPITULATION = "capitulation"
    UNKNOWN = "unknown"

    @property
    def severity(self) -> int:
        """Its place in the order, from 0."""
        return _SEVERITY[self]

    @property
    def is_stress(self) -> bool:
        """True for what concerns the whole market when the leader shows it: high volatility, capitulation, unknown."""
        return _SEVERITY[self] >= _SEVERITY[Label.HIGH_VOLATILITY]


_SEVERITY = {label: place for place, label in enumerate(Label)}


class Cause(StrEnum):
    """Why a label is what it is: the measure that decided, or what is wrong with the bars."""

    NO_BARS = "no bars"
    WARMING_UP = "warming up"
    """Not enough history yet to say what is usual."""
    GAP = "gap"
    """Bars are missing, or were a moment ago."""
    FROZEN = "frozen feed"
    """Bars keep coming, but flat and without volume."""
    UNSOUND = "unsound bar"
    """A bar that cannot be: NaN, not positive, inconsistent, of another interval, or told twice in different words."""
    LEADER_LATE = "leader late"
    """The leader's last bar is too old beside the symbol's own."""
    VOLATILITY = "volatility"
    DRAWDOWN = "drawdown"
    ABNORMAL_BAR = "abnormal bar"
    SPREAD = "spread"
    REBOUND = "rebound"
    BREAKOUT = "breakout"
    DIRECTION = "direction"
    """How straight the price goes, or how little."""
    NOTHING = "nothing stands out"


@dataclass(frozen=True, slots=True)
class Regime:
    """What is said of one symbol's market after its last bar. Figures are rounded to six decimals."""

    symbol: str
    label: Label
    confidence: Decimal
    """0..1. At an entry threshold 0.5, at twice the evidence 1; below 0.5 a label is only held by its exit threshold or
    its dwell. 0 for ``unknown``."""
    as_of: Instant | None = None
    """Close of the last sound bar; None where there was none."""
    since: Instant | None = None
    """From which bar's close the label holds."""
    cause: Cause = Cause.NO_BARS
    volatility: Decimal | None = None
    """EWMA realised volatility, as a FRACTION of price scaled to one day: 0.03 means that one standard deviation of a
    day's move is 3 %. None before the second bar."""
    usual_volatility: Decimal | None = None
    """Its median over the trailing window, in the same unit; None before there is one."""
    percentile: Decimal | None = None
    """Share of the window's volatilities that are not above it, 0..1."""
    drawdown: Decimal | None = None
    """Distance of the last close below the window's high, as a fraction of that high, 0..1."""
    atr: Decimal | None = None
    """Wilder's average true range of one bar, as a fraction of the last close."""
    efficiency: Decimal | None = None
    """Kaufman's efficiency ratio, 0..1."""
    leader: str | None = None
    """The leader whose stress this is; None where the symbol's own bars say it."""


def stricter(own: Regime, other: Regime) -> Regime:
    """The graver of two regimes; ``own`` where they are equally grave."""
    return other if other.label.severity > own.label.severity else own
