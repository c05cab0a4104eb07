"""Protection: conviction, stop-loss, take-profit and price. Distances are percent of the reference price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import UNEVALUATED, Finding, limit
from petrosa_cio.apps.nurse.models import Outcome

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Subject

HUNDRED = Decimal(100)
BASIS_POINTS = Decimal(10_000)
SHOWN = Decimal("0.000001")
"""Derived numbers are recorded to this; comparisons are made on the unrounded values."""

_TOO_LONG = 20
"""Figures with more integer digits than this are recorded unrounded: they have no room for six decimals."""

PASS = Finding(Outcome.PASS)


def shown(figure: Decimal) -> Decimal:
    """``figure`` rounded as it is recorded."""
    return figure.quantize(SHOWN) if figure.adjusted() < _TOO_LONG else figure


def confidence(subject: Subject) -> Finding:
    """Confidence against the floor; ``llm_reasoning`` has a floor of its own (fleet facts §2.5)."""
    floor = subject.limits.required_number("min_confidence_threshold")
    if subject.intent.strategy_mode == "llm_reasoning":
        floor = max(floor, subject.limits.required_number("llm_confidence_floor"))
    return limit(subject.confidence < floor, ("value", subject.confidence), ("limit", floor))


def stop_present(subject: Subject) -> Finding:
    """A stop-loss where the policy requires one."""
    required = subject.limits.flag("require_stop_loss")
    return limit(required and subject.stop is None, ("required", required))


def _wrong_side(subject: Subject, level: Decimal | None, name: str, direction: int) -> Finding:
    """``level`` must lie strictly beyond both prices in ``direction`` (+1 above, -1 below)."""
    if level is None:
        return PASS
    worst = min(direction * (level - subject.price), direction * (level - subject.current))
    numbers = ((name, level), ("price", subject.price), ("current_price", subject.current))
    return limit(worst <= 0, *numbers)


def stop_side(subject: Subject) -> Finding:
    """A long's stop lies below price and current price, a short's above both."""
    return _wrong_side(subject, subject.stop, "stop_loss", -subject.sign)


def target_side(subject: Subject) -> Finding:
    """A long's target lies above price and current price, a short's below both."""
    return _wrong_side(subject, subject.target, "take_profit", subject.sign)


def _distance(subject: Subject, level: Decimal) -> Decimal:
    return abs(level - subject.price) * HUNDRED / subject.price


def _near(subject: Subject, level: Decimal | None, name: str) -> Finding:
    least = subject.limits.number(name)
    if least is None or level is None:
        return PASS
    distance = _distance(subject, level)
    return limit(distance < least, ("distance_pct", shown(distance)), ("limit", least))


def _far(subject: Subject, level: Decimal | None, name: str) -> Finding:
    most = subject.limits.number(name)
    if most is None or level is None:
        return PASS
    distance = _distance(subject, level)
    return limit(distance > most, ("distance_pct", shown(distance)), ("limit", most))


def stop_near(subject: Subject) -> Finding:
    """The stop is at least the least distance away."""
    return _near(subject, subject.stop, "sl_distance_min_pct")


def stop_far(subject: Subject) -> Finding:
    """The stop is at most the greatest distance away."""
    return _far(subject, subject.stop, "sl_distance_max_pct")


def target_near(subject: Subject) -> Finding:
    """The target is at least the least distance away."""
    return _near(subject, subject.target, "tp_distance_min_pct")


def target_far(subject: Subject) -> Finding:
    """The target is at most the greatest distance away."""
    return _far(subject, subject.target, "tp_distance_max_pct")


def reward_to_risk(subject: Subject) -> Finding:
    """Target distance over stop distance, each after a round trip of fee and slippage, against the least allowed."""
    least = subject.limits.number("min_reward_to_risk")
    if least is None:
        return PASS
    if subject.stop is None or subject.target is None:
        return UNEVALUATED
    cost_bps = 2 * (subject.limits.required_number("taker_fee_bps") + subject.limits.required_number("slippage_bps"))
    cost = subject.price * cost_bps / BASIS_POINTS
    reward = subject.sign * (subject.target - subject.price) - cost
    risk = subject.sign * (subject.price - subject.stop) + cost
    if risk <= 0:  # a stop beyond the entry by more than the costs: STOP_WRONG_SIDE says so, no ratio exists
        return UNEVALUATED
    ratio = reward / risk
    return limit(ratio < least, ("ratio", shown(ratio)), ("limit", least))


def price_range(subject: Subject) -> Finding:
    """The price against absolute bounds, and against bounds in percent of the current price."""
    low, high = subject.limits.number("price_min_absolute"), subject.limits.number("price_max_absolute")
    least, most = subject.limits.number("price_min_relative_pct"), subject.limits.number("price_max_relative_pct")
    away = (subject.price - subject.current) * HUNDRED / subject.current
    broken = (
        (low is not None and subject.price < low)
        or (high is not None and subject.price > high)
        or (least is not None and away < least)
        or (most is not None and away > most)
    )
    bounds = (("min_absolute", low), ("max_absolute", high), ("min_relative_pct", least), ("max_relative_pct", most))
    set_bounds = tuple((name, bound) for name, bound in bounds if bound is not None)
    return limit(broken, ("price", subject.price), ("relative_pct", shown(away)), *set_bounds)


def price_collar(subject: Subject) -> Finding:
    """The price against the mark, in percent of the mark; unevaluated where there is no mark."""
    mark = subject.market.mark if subject.market else None
    if mark is None:
        return UNEVALUATED
    most = subject.limits.required_number("slippage_tolerance_pct")
    away = abs(subject.price - mark) * HUNDRED / mark
    return limit(away > most, ("away_pct", shown(away)), ("mark", mark), ("limit", most))
