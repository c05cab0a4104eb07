"""The thresholds by which bars are read, as numbers: what the ``regime_*`` and ``correlation_*`` parameters come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.defaults import default_values
from petrosa_cio.apps.nurse.policy import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


class Band(NamedTuple):
    """Two thresholds of one measure: a label is entered at the one and kept down to the other (hysteresis)."""

    enter: float
    exit: float

    def at(self, held: bool) -> float:
        """The threshold that counts for a label that is held already, or is not."""
        return self.exit if held else self.enter


class Thresholds(NamedTuple):
    """Every threshold for one symbol. Durations in ms; the parameters say what each number means."""

    decay: float
    decay_step: int
    sample: int
    """Length of the steps at which closes, ranges and volatilities are kept, ms."""
    window: int
    """Length of the window of volatilities, in samples."""
    range_window: int
    """Length of the window of highs and lows, in samples."""
    trend_window: int
    """Moves in the efficiency ratio, in samples."""
    atr: int
    """Length of the average true range, ms."""
    warm_up: int
    settle: int
    frozen: int
    dwell: int
    leader_age: int
    leaders: tuple[str, ...]
    volatility: Band
    """Least volatility of a stress, fraction per day."""
    percentile: Band
    drawdown: Band
    """Of a stress, in usual daily volatilities."""
    drawdown_floor: float
    drawdown_percentile: float
    abnormal_bar: float
    spread: Band
    capitulation_drawdown: Band
    capitulation_floor: float
    capitulation_percentile: Band
    recovery: float
    trend: Band
    breakout: float
    choppy_volatility: Band
    choppy_efficiency: Band
    correlation_window: int
    """Not the guard's: how far back it is looked which symbols move together, ms."""
    correlation: Decimal
    """Not the guard's: above it two symbols move together."""


def thresholds_of(limits: Limits) -> Thresholds:
    """The thresholds that the limits of one symbol set (a strategy's own do not reach the guard: it sees bars only)."""

    def number(name: str) -> float:
        return float(limits.required_number(f"regime_{name}"))

    sample = round(number("sample_minutes") * _MINUTE_MS)
    return Thresholds(
        decay=number("volatility_decay"),
        decay_step=round(number("volatility_step_minutes") * _MINUTE_MS),
        sample=sample,
        window=_samples(number("window_hours"), sample),
        range_window=_samples(number("range_hours"), sample),
        trend_window=_samples(number("trend_hours"), sample),
        atr=round(number("atr_minutes") * _MINUTE_MS),
        warm_up=round(number("warm_up_hours") * _HOUR_MS),
        settle=round(number("settle_minutes") * _MINUTE_MS),
        frozen=round(number("frozen_minutes") * _MINUTE_MS),
        dwell=round(number("dwell_minutes") * _MINUTE_MS),
        leader_age=round(number("leader_age_minutes") * _MINUTE_MS),
        leaders=limits.words("regime_leaders"),
        volatility=_band(number, "volatility"),
        percentile=_band(number, "percentile"),
        drawdown=_band(number, "drawdown"),
        drawdown_floor=number("drawdown_floor"),
        drawdown_percentile=number("drawdown_percentile"),
        abnormal_bar=number("abnormal_bar"),
        spread=_band(number, "spread"),
        capitulation_drawdown=_band(number, "capitulation_drawdown"),
        capitulation_floor=number("capitulation_floor"),
        capitulation_percentile=_band(number, "capitulation_percentile"),
        recovery=number("recovery_retrace"),
        trend=_band(number, "trend"),
        breakout=number("breakout_volatility"),
        choppy_volatility=_band(number, "choppy_volatility"),
        choppy_efficiency=_band(number, "choppy_efficiency"),
        correlation_window=round(limits.required_number("correlation_hours") * _HOUR_MS),
        correlation=limits.required_number("correlation_threshold"),
    )


def coarser(thresholds: Thresholds, interval: int) -> Thresholds:
    """Return the thresholds for bars of ``interval`` ms, longer than a sample: each is one; windows last as long."""

    def count(samples: int) -> int:
        return max(1, samples * thresholds.sample // interval)

    return thresholds._replace(
        sample=interval,
        window=count(thresholds.window),
        range_window=count(thresholds.range_window),
        trend_window=count(thresholds.trend_window),
    )


def _samples(hours: float, sample: int) -> int:
    return max(1, round(hours * _HOUR_MS / sample))


def _band(number: Callable[[str], float], name: str) -> Band:
    return Band(number(f"{name}_enter"), number(f"{name}_exit"))


DEFAULT: Thresholds = thresholds_of(Limits(default_values(), {}, {}))
"""What holds where a policy sets nothing."""
