"""Size: the effective order against bounds. Too large is reduced, too small is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import UNEVALUATED, Finding, limit, sound
from petrosa_cio.apps.nurse.models import Outcome

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Subject


def too_small(subject: Subject) -> Finding:
    """Notional and quantity against the smallest allowed; unevaluated where the engine's size is unknown."""
    order = subject.order
    if order.quantity is None or order.notional is None:
        return UNEVALUATED
    least, least_quantity = (
        subject.limits.required_number("min_position_size_usd"),
        subject.limits.number("quantity_min"),
    )
    broken = order.notional < least or (least_quantity is not None and order.quantity < least_quantity)
    extra = () if least_quantity is None else (("quantity", order.quantity), ("quantity_min", least_quantity))
    return limit(broken, ("notional", order.notional), ("limit", least), *extra)


def too_large(subject: Subject) -> Finding:
    """Notional and quantity against the largest allowed; above it the order is cut to it."""
    order = subject.order
    if order.quantity is None or order.notional is None:
        return UNEVALUATED
    most, most_quantity = (
        subject.limits.required_number("max_position_size_usd"),
        subject.limits.number("quantity_max"),
    )
    cap = most / subject.price
    if most_quantity is not None:
        cap = min(cap, most_quantity)
    extra = () if most_quantity is None else (("quantity", order.quantity), ("quantity_max", most_quantity))
    return _cut(order.quantity, cap, ("notional", order.notional), ("limit", most), *extra)


def position_fraction(subject: Subject) -> Finding:
    """Notional as a fraction of equity; above the limit the order is cut to it."""
    equity = sound(subject.case.portfolio.equity) if subject.case.portfolio else None
    order = subject.order
    if equity is None or order.quantity is None or order.notional is None:
        return UNEVALUATED
    most = subject.limits.required_number("max_position_size_pct")
    allowed = max(equity, Decimal(0)) * most
    return _cut(
        order.quantity, allowed / subject.price, ("notional", order.notional), ("equity", equity), ("limit", most)
    )


def _cut(quantity: Decimal, cap: Decimal, *numbers: tuple[str, Decimal]) -> Finding:
    return Finding(Outcome.REDUCE, numbers, cap) if quantity > cap else Finding(Outcome.PASS, numbers)


def leverage_bound(subject: Subject) -> Finding:
    """The leverage configured for the scope against its bound (leverage is configuration, never the signal's)."""
    leverage, most = subject.limits.required_number("leverage"), subject.limits.required_number("max_leverage_bound")
    return limit(leverage > most, ("leverage", leverage), ("limit", most))
