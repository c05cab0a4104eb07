"""From measures to a label: what each label asks for, and when one label may follow another.

Evidence for a label is a score: measure over threshold, so that 1 is the threshold itself. Where a label asks for
several things the weakest counts, where it asks for one of several the strongest. A label that is held is tested
against its exit thresholds, every other against its entry thresholds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.regime import Cause, Label

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.thresholds import Thresholds

_MOST = 1e6
"""Stands for a score without bound."""


class Measures(NamedTuple):
    """What the indicators say of one symbol after one bar."""

    volatility: float
    """EWMA, fraction per day."""
    usual: float
    """Its median over the window."""
    percentile: float
    drawdown: float
    bar: float
    """True range of the last bar over the average true range before it."""
    efficiency: float
    rises: bool
    """Whether the price is higher than at the beginning of the trend's window."""
    retraced: float
    """How far the price is from the window's low (0) to its high (1)."""
    outside: bool
    """Whether the price is outside of the range that the window had before the last bar."""
    spread: float
    """Over its average; 0 where none is given."""


class Reading(NamedTuple):
    """The label that the measures ask for, why, and with how much evidence."""

    label: Label
    cause: Cause
    score: float


class Phase(NamedTuple):
    """A label that holds, from which time on (ms), and why."""

    label: Label
    since: int
    cause: Cause


def read(measures: Measures, thresholds: Thresholds, held: Label) -> Reading:
    """Return the label that ``measures`` ask for while ``held`` is the one that holds."""
    capitulation = _capitulation(measures, thresholds, held is Label.CAPITULATION)
    if capitulation >= 1.0:
        return Reading(Label.CAPITULATION, Cause.DRAWDOWN, capitulation)
    stressed = held in (Label.HIGH_VOLATILITY, Label.CAPITULATION)
    stress, cause = _stress(measures, thresholds, stressed)
    if stress >= 1.0:
        return Reading(Label.HIGH_VOLATILITY, cause, stress)
    if stressed or held is Label.RECOVERY:
        recovery = _recovery(measures, thresholds)
        if recovery >= 1.0:
            return Reading(Label.RECOVERY, Cause.REBOUND, recovery)
    return _quiet(measures, thresholds, held, stress)


def _quiet(measures: Measures, thresholds: Thresholds, held: Label, stress: float) -> Reading:
    ratio = _over(measures.volatility, measures.usual)
    breakout = _over(ratio, thresholds.breakout) if measures.outside else 0.0
    if breakout >= 1.0:
        return Reading(Label.BREAKOUT_PHASE, Cause.BREAKOUT, breakout)
    toward = Label.TRENDING_BULL if measures.rises else Label.TRENDING_BEAR
    trend = _over(measures.efficiency, thresholds.trend.at(held is toward))
    if trend >= 1.0:
        return Reading(toward, Cause.DIRECTION, trend)
    choppy = min(
        _over(ratio, thresholds.choppy_volatility.at(held is Label.CHOPPY)),
        _over(thresholds.choppy_efficiency.at(held is Label.CHOPPY), measures.efficiency),
    )
    if choppy >= 1.0:
        return Reading(Label.CHOPPY, Cause.DIRECTION, choppy)
    return Reading(Label.RANGING, Cause.NOTHING, 2.0 - max(stress, breakout, trend, choppy))


def evidence(label: Label, measures: Measures, thresholds: Thresholds) -> float:
    """Return the score of ``label`` against its *entry* thresholds, whatever holds."""
    stress, _ = _stress(measures, thresholds, held=False)
    match label:
        case Label.CAPITULATION:
            return _capitulation(measures, thresholds, held=False)
        case Label.HIGH_VOLATILITY:
            return stress
        case Label.RECOVERY:
            return _recovery(measures, thresholds)
        case Label.UNKNOWN:
            return 0.0
    ratio = _over(measures.volatility, measures.usual)
    scores = {
        Label.BREAKOUT_PHASE: _over(ratio, thresholds.breakout) if measures.outside else 0.0,
        Label.TRENDING_BULL: _over(measures.efficiency, thresholds.trend.enter) if measures.rises else 0.0,
        Label.TRENDING_BEAR: 0.0 if measures.rises else _over(measures.efficiency, thresholds.trend.enter),
        Label.CHOPPY: min(
            _over(ratio, thresholds.choppy_volatility.enter),
            _over(thresholds.choppy_efficiency.enter, measures.efficiency),
        ),
    }
    return 2.0 - max(stress, *scores.values()) if label is Label.RANGING else scores[label]


def confidence(score: float) -> float:
    """Confidence, 0..1: half of the score against the entry thresholds, so 0.5 at the threshold and 1 at twice it."""
    return min(1.0, max(0.0, score / 2.0))


def succeed(phase: Phase, reading: Reading, now: int, dwell: int) -> Phase:
    """Return the phase after ``reading``: a graver label at once, any other not before ``dwell`` ms of this one."""
    if reading.label is phase.label:
        return phase
    if reading.label.severity < phase.label.severity and now - phase.since < dwell:
        return phase
    return Phase(reading.label, now, reading.cause)


def _capitulation(measures: Measures, thresholds: Thresholds, held: bool) -> float:
    return min(
        _over(measures.drawdown, thresholds.capitulation_drawdown.at(held) * measures.usual),
        _over(measures.drawdown, thresholds.capitulation_floor),
        _rarity(measures.percentile, thresholds.capitulation_percentile.at(held)),
    )


def _stress(measures: Measures, thresholds: Thresholds, held: bool) -> tuple[float, Cause]:
    """The strongest sign of a stress. One abnormal bar begins it, and by itself does not keep it up."""
    violent = _over(measures.volatility, thresholds.volatility.at(held))
    signs = (
        (min(violent, _rarity(measures.percentile, thresholds.percentile.at(held))), Cause.VOLATILITY),
        (_fall(measures, thresholds, held), Cause.DRAWDOWN),
        (min(violent, _over(measures.bar, thresholds.abnormal_bar)), Cause.ABNORMAL_BAR),
        (_over(measures.spread, thresholds.spread.at(held)), Cause.SPREAD),
    )
    return max(signs, key=_score)


def _score(sign: tuple[float, Cause]) -> float:
    return sign[0]


def _fall(measures: Measures, thresholds: Thresholds, held: bool) -> float:
    return min(
        _over(measures.drawdown, thresholds.drawdown.at(held) * measures.usual),
        _over(measures.drawdown, thresholds.drawdown_floor),
        _rarity(measures.percentile, thresholds.drawdown_percentile),
    )


def _recovery(measures: Measures, thresholds: Thresholds) -> float:
    """A rebound of a market that is still as far below its high as keeps a stress by drawdown up."""
    still_low = min(
        _over(measures.drawdown, thresholds.drawdown.exit * measures.usual),
        _over(measures.drawdown, thresholds.drawdown_floor),
    )
    return min(still_low, _over(measures.retraced, thresholds.recovery))


def _over(measure: float, threshold: float) -> float:
    """Return ``measure`` in units of ``threshold``. A threshold of 0 asks for nothing."""
    return min(_MOST, measure / threshold) if threshold > 0.0 else _MOST


def _rarity(percentile: float, threshold: float) -> float:
    """Return a percentile in units of its threshold, by what is left above: 0.975 is twice as rare as 0.95."""
    left = 1.0 - percentile
    return min(_MOST, (1.0 - threshold) / left) if left > 0.0 else _MOST
