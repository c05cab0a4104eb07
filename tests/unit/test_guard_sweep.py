"""The sweep of the guard: every threshold that it enforces decides what it says, on a market made for it.

A row is a market, two values of the parameter that tell what is said of it apart, and what the specification
(docs/regime.md) has said with each. A parameter that the guard enforces and that has no row fails.

A market is told in legs of bars of 15 minutes, so that each bar is a sample: in a leg the price goes straight, and
zigzags around its line with the daily volatility that is given. So volatility is the leg's own after a few hours, and
without a move the efficiency ratio is nearly 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import pytest

from builders import is_tighter, policy_of
from builders_bars import OneBar, bar, renamed, series
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.guard import Guard
from petrosa_cio.apps.nurse.parameters.parameter import Loosening
from petrosa_cio.apps.nurse.regime import Cause, Label
from petrosa_cio.apps.nurse.thresholds import thresholds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.regime import Regime

Said = Label | Cause | Decimal
"""What is expected of a regime: its label or its cause, or its volatility."""


class Leg(NamedTuple):
    """So many hours of a market: its daily volatility, and by what fraction the price moves from end to end."""

    hours: float
    daily: float
    move: float = 0.0


def market(*legs: Leg) -> list[OneBar]:
    """Bars of 15 minutes that go from 100 through ``legs``."""
    price = 100.0
    closes: list[float] = []
    for leg in legs:
        count = round(leg.hours * 4)
        for n in range(1, count + 1):
            zigzag = leg.daily / math.sqrt(96) if n % 2 else 0.0
            closes.append(price * math.exp(math.log1p(leg.move) * n / count + zigzag))
        price *= 1.0 + leg.move
    return series(closes, minutes=15)


def still_after(bars: Sequence[OneBar]) -> OneBar:
    """The next bar, of a feed that keeps sending the last price and no trade."""
    return replace(bar(len(bars), bars[-1].close, minutes=15), volume=0.0)


@dataclass(frozen=True)
class Row:
    """A market, two values, and what is said of it with each; ``policy`` sets other parameters."""

    bars: Sequence[OneBar]
    values: tuple[Json, Json]
    says: tuple[Said, Said]
    policy: Mapping[str, Json] = field(default_factory=dict)
    spreads: tuple[float, ...] = ()
    """Of the last bars; it was 1.0 on every bar before them."""
    leader: Sequence[OneBar] = ()


# A day each, in which every bar is as violent as the one before.
STILL, QUIET, BUSY = Leg(24, 0.005), Leg(24, 0.02), Leg(24, 0.025)
WILD = Leg(6, 0.06)
"""A quarter of a day that makes what comes later common."""
JUMP = Leg(0.25, 0.0, 0.012)
"""One bar of 1.2 %: 23 times the usual one of `STILL`, whose bars are of 0.05 %."""
# In eight hours, which is 4.5, 6 and 7 usual days of a quiet market.
FALL_9, FALL_12, FALL_14 = Leg(8, 0.02, -0.09), Leg(8, 0.02, -0.12), Leg(8, 0.02, -0.14)
BUMP = (Leg(6, 0.005, 0.01), Leg(6, 0.005, -0.01), Leg(14, 0.005))
"""Up by 1 % and back; the top is 14 to 20 hours ago."""

STEADY = market(QUIET, Leg(1, 0.02))
TWO_BARS = (bar(0, 100.0), bar(1, 101.0, 100.0), bar(2, 101.0))
"""Of five minutes: ln 1.01 and then nothing, which is a volatility of sqrt(288) ln 1.01 = 0.168863, decayed once."""

BY_FALL_ONLY: dict[str, Json] = {"regime_volatility_enter": 9.0, "regime_volatility_exit": 9.0}
"""No volatility is a stress by itself."""

ROWS: dict[str, Row] = {
    # 0.168863 times the root of the decay: 0.9, and 0.8.
    "volatility_decay": Row(TWO_BARS, (0.81, 0.64), (Decimal("0.151976"), Decimal("0.135090"))),
    # Decayed once by 0.6561, and half: roots of 0.6561 and of 0.81.
    "volatility_step_minutes": Row(
        TWO_BARS, (5.0, 10.0), (Decimal("0.136779"), Decimal("0.151976")), {"regime_volatility_decay": 0.6561}
    ),
    # A zigzag of 1 % of drift: on closes of each hour, which is a number of whole zigzags, it is a straight line.
    "sample_minutes": Row(market(QUIET, Leg(8, 0.02, 0.01)), (15.0, 60.0), (Label.RANGING, Label.TRENDING_BULL)),
    "window_hours": Row(
        market(WILD, Leg(28, 0.02), Leg(2, 0.04)), (168.0, 24.0), (Label.RANGING, Label.HIGH_VOLATILITY)
    ),
    "range_hours": Row(
        market(*BUMP, Leg(0.25, 0.0, 0.004)), (24.0, 6.0), (Label.RANGING, Label.BREAKOUT_PHASE)
    ),
    "trend_hours": Row(
        market(QUIET, Leg(2, 0.005, 0.01)), (8.0, 2.0), (Label.RANGING, Label.TRENDING_BULL)
    ),
    # An hour of larger bars before the jump: of five bars they are two thirds, of twenty less than a quarter.
    "atr_minutes": Row(
        market(Leg(4, 0.08), STILL, Leg(1, 0.02), JUMP), (70.0, 300.0), (Cause.BREAKOUT, Cause.ABNORMAL_BAR)
    ),
    "volatility_enter": Row(
        market(QUIET, Leg(2, 0.04)), (0.036, 0.037), (Label.HIGH_VOLATILITY, Label.RANGING)
    ),
    "volatility_exit": Row(
        market(QUIET, Leg(1, 0.06), Leg(4, 0.027)), (0.025, 0.03), (Label.HIGH_VOLATILITY, Label.RANGING),
        {"regime_percentile_exit": 0.5},
    ),
    "percentile_enter": Row(
        market(WILD, QUIET, Leg(2, 0.04)), (0.6, 0.98), (Label.HIGH_VOLATILITY, Label.RANGING),
        {"regime_percentile_exit": 0.5},
    ),
    "percentile_exit": Row(
        market(BUSY, Leg(1, 0.06), Leg(2, 0.035)), (0.8, 0.95), (Label.HIGH_VOLATILITY, Label.RANGING)
    ),
    "drawdown_enter": Row(market(QUIET, FALL_9), (4.0, 5.0), (Cause.DRAWDOWN, Cause.BREAKOUT), BY_FALL_ONLY),
    "drawdown_exit": Row(
        market(QUIET, FALL_9, Leg(2, 0.02, 0.05)), (1.25, 3.0), (Label.HIGH_VOLATILITY, Label.RANGING),
        {**BY_FALL_ONLY, "regime_drawdown_enter": 4.0, "regime_drawdown_floor": 0.01},
    ),
    "drawdown_floor": Row(market(QUIET, FALL_9), (0.08, 0.1), (Cause.DRAWDOWN, Cause.BREAKOUT), BY_FALL_ONLY),
    "drawdown_percentile": Row(market(WILD, QUIET, FALL_9), (0.5, 0.9), (Cause.DRAWDOWN, Cause.BREAKOUT)),
    "abnormal_bar": Row(market(Leg(4, 0.08), STILL, JUMP), (20.0, 26.0), (Cause.ABNORMAL_BAR, Cause.BREAKOUT)),
    "spread_enter": Row(STEADY, (5.0, 5.1), (Cause.SPREAD, Cause.NOTHING), spreads=(5.0,)),
    # The average is then 1.09 and 1.12, so that 4 is 3.7 and 3.6 times it.
    "spread_exit": Row(STEADY, (3.0, 4.0), (Label.HIGH_VOLATILITY, Label.RANGING), spreads=(10.0, 4.0, 4.0)),
    "capitulation_drawdown_enter": Row(
        market(QUIET, FALL_12), (5.0, 7.0), (Label.CAPITULATION, Label.HIGH_VOLATILITY)
    ),
    "capitulation_drawdown_exit": Row(
        market(QUIET, FALL_14, Leg(1, 0.02, 0.03)), (2.0, 6.0), (Label.CAPITULATION, Label.HIGH_VOLATILITY),
        {"regime_capitulation_drawdown_enter": 6.0},
    ),
    "capitulation_floor": Row(market(QUIET, FALL_12), (0.11, 0.13), (Label.CAPITULATION, Label.HIGH_VOLATILITY)),
    "capitulation_percentile_enter": Row(
        market(WILD, QUIET, FALL_12), (0.6, 0.99), (Label.CAPITULATION, Label.HIGH_VOLATILITY),
        {"regime_capitulation_percentile_exit": 0.5, "regime_drawdown_percentile": 0.5},
    ),
    "capitulation_percentile_exit": Row(
        market(QUIET, Leg(2, 0.02, -0.14), Leg(2, 0.02)), (0.5, 0.95), (Label.CAPITULATION, Label.HIGH_VOLATILITY)
    ),
    # From 86 back to 91.16 within an hour is 0.369 of the way; then the stress goes to rest.
    "recovery_retrace": Row(
        market(QUIET, FALL_14, Leg(1, 0.02, 0.06), Leg(8, 0.01)), (0.36, 0.38), (Label.RECOVERY, Label.RANGING)
    ),
    "trend_enter": Row(market(QUIET, Leg(8, 0.02, 0.025)), (0.4, 0.3), (Label.RANGING, Label.TRENDING_BULL)),
    "trend_exit": Row(
        market(QUIET, Leg(8, 0.005, 0.03), Leg(4, 0.02)), (0.25, 0.35), (Label.TRENDING_BULL, Label.RANGING)
    ),
    "breakout_volatility": Row(
        market(STILL, Leg(0.25, 0.0, 0.004)), (3.0, 4.0), (Label.BREAKOUT_PHASE, Label.RANGING)
    ),
    "choppy_volatility_enter": Row(
        market(Leg(24, 0.01), Leg(2, 0.02)), (1.6, 2.0), (Label.CHOPPY, Label.RANGING)
    ),
    "choppy_volatility_exit": Row(
        market(Leg(24, 0.01), Leg(2, 0.028), Leg(3, 0.016)), (1.5, 1.9), (Label.CHOPPY, Label.RANGING)
    ),
    "choppy_efficiency_enter": Row(
        market(Leg(24, 0.01), Leg(2, 0.01, 0.0067), Leg(2, 0.025)), (0.17, 0.1), (Label.CHOPPY, Label.RANGING)
    ),
    "choppy_efficiency_exit": Row(
        market(Leg(24, 0.01), Leg(2, 0.025), Leg(1, 0.025, 0.008)), (0.18, 0.12), (Label.CHOPPY, Label.RANGING),
        {"regime_breakout_volatility": 9.0},
    ),
    # A stress of one bar, and half an hour after it.
    "dwell_minutes": Row(STEADY, (30.0, 31.0), (Label.RANGING, Label.HIGH_VOLATILITY), spreads=(10.0, 1.0, 1.0)),
    "warm_up_hours": Row(market(QUIET), (24.0, 24.25), (Label.RANGING, Cause.WARMING_UP)),
    # One bar is missing, and two came after it.
    "settle_minutes": Row([*STEADY[:-3], *STEADY[-2:]], (15.0, 16.0), (Label.RANGING, Cause.GAP)),
    "frozen_minutes": Row([*STEADY, still_after(STEADY)], (16.0, 15.0), (Label.RANGING, Cause.FROZEN)),
    "leader_age_minutes": Row(
        STEADY, (15.0, 14.0), (Label.RANGING, Cause.LEADER_LATE),
        {"regime_leaders": ["BTCUSDT"]}, leader=STEADY[:-1],
    ),
    "leaders": Row(
        market(QUIET, Leg(8, 0.02)), ([], ["BTCUSDT"]), (Label.RANGING, Label.CAPITULATION),
        leader=market(QUIET, FALL_12),
    ),
}  # fmt: skip

ENFORCED = {
    name: one
    for name, one in PARAMETERS.items()
    if one.enforced_by == "guard" and not name.startswith("correlation_")  # those are swept in test_correlation.py
}
DIRECTED = [name for name, one in ENFORCED.items() if one.loosening is not Loosening.NEITHER]


def told(name: str) -> tuple[Regime, Regime]:
    """What the guard says of the market of parameter ``name``, with each of the two values."""
    row = row_of(name)
    return said(row, {name: row.values[0]}), said(row, {name: row.values[1]})


def row_of(name: str) -> Row:
    return ROWS[name.removeprefix("regime_")]


def said(row: Row, values: Mapping[str, Json]) -> Regime:
    """What the guard says of the row's market after its last bar."""
    limits = policy_of({"regime_leaders": [], **row.policy, **values}).limits("ETHUSDT", "any", None)
    thresholds = thresholds_of(limits)
    guard = Guard(lambda _: thresholds)
    for one in renamed(row.leader, "BTCUSDT"):
        guard.fold(one)
    spreads = (*[1.0] * (len(row.bars) - len(row.spreads)), *row.spreads) if row.spreads else [None] * len(row.bars)
    for one, spread in zip(row.bars, spreads, strict=True):
        guard.fold(one, spread)
    return guard.regime("ETHUSDT")


def test_every_parameter_that_the_guard_enforces_is_swept() -> None:
    """None is decoration: whoever adds one says here on which market it decides."""
    assert {f"regime_{name}" for name in ROWS} == ENFORCED.keys()


@pytest.mark.parametrize("name", ENFORCED)
def test_it_decides(name: str) -> None:
    """With each of the two values the guard says of the market what the specification asks for."""
    for regime, expected in zip(told(name), row_of(name).says, strict=True):
        assert expected in (regime.label, regime.cause, regime.volatility)


@pytest.mark.parametrize("name", ENFORCED)
def test_the_two_values_are_told_apart(name: str) -> None:
    """Label, cause or volatility differ between the two values."""
    one, other = told(name)
    assert (one.label, one.cause, one.volatility) != (other.label, other.cause, other.volatility)


@pytest.mark.parametrize("name", DIRECTED)
def test_the_looser_value_says_what_is_milder(name: str) -> None:
    """The direction that a parameter states, by which governance tells a loosening, is the one in which it works."""
    one, other = row_of(name).values
    found = told(name)
    loose, tight = found if is_tighter(ENFORCED[name], other, one) else reversed(found)
    assert loose.label.severity < tight.label.severity
