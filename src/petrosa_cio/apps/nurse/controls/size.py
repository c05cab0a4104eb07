"""Size: the effective order against bounds. Too large is reduced, too small is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import (
    UNEVALUATED,
    Finding,
    least_notional,
    least_quantity,
    limit,
    step_of,
)
from petrosa_cio.apps.nurse.models import Outcome

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Subject
    from petrosa_cio.apps.nurse.models import Scalar


def too_small(subject: Subject) -> Finding:
    """Notional and quantity against the smallest allowed; unevaluated where the engine's size is unknown."""
    order = subject.order
    if order.quantity is None or order.notional is None:
        return UNEVALUATED
    least, pieces = (
        subject.limits.required_number("min_position_size_usd"),
        subject.limits.number("quantity_min"),
    )
    broken = order.notional < least or (pieces is not None and order.quantity < pieces)
    extra = () if pieces is None else (("quantity", order.quantity), ("quantity_min", pieces))
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
    return cut(order.quantity, cap, ("notional", order.notional), ("limit", most), *extra)


def position_fraction(subject: Subject) -> Finding:
    """Notional as a fraction of equity, against the smaller of the two shares that one order may take; cut to it."""
    equity = subject.account.equity if subject.account else None
    order = subject.order
    if equity is None or order.quantity is None or order.notional is None:
        return UNEVALUATED
    most = min(
        subject.limits.required_number("position_size_pct"), subject.limits.required_number("max_position_size_pct")
    )
    allowed = max(equity, Decimal(0)) * most
    return cut(
        order.quantity, allowed / subject.price, ("notional", order.notional), ("equity", equity), ("limit", most)
    )


def cut(quantity: Decimal, cap: Decimal, *numbers: tuple[str, Scalar]) -> Finding:
    """A check that leaves at most ``cap`` of ``quantity`` (base asset), with the numbers it compared."""
    return Finding(Outcome.REDUCE, numbers, cap) if quantity > cap else Finding(Outcome.PASS, numbers)


def exchange_filter(subject: Subject) -> Finding:
    """The order against the symbol's filters: under a minimum or off the tick it is refused, above the maximum cut.

    The step needs no check: the engine rounds to it, and so does the effective order. A tick binds orders that carry
    a price of their own.
    """
    market, order = subject.market, subject.order
    if market is None or order.quantity is None or order.notional is None:
        return UNEVALUATED
    notional, quantity = least_notional(market, subject.limits), least_quantity(market, subject.limits)
    tick, most, step = market.tick_size, market.max_quantity, step_of(market, subject.limits)
    if notional is None or quantity is None or tick is None or most is None or step is None:
        return UNEVALUATED
    numbers: list[tuple[str, Scalar]] = [
        ("quantity", order.quantity),
        ("min_quantity", quantity),
        ("max_quantity", most),
        ("notional", order.notional),
        ("min_notional", notional),
    ]
    priced = "limit" in subject.intent.order_type
    if priced:
        numbers += [("price", subject.price), ("tick_size", tick)]
    if order.quantity < quantity or order.notional < notional or (priced and subject.price % tick != 0):
        return limit(True, *numbers)
    return cut(order.quantity, most, *numbers)


def leverage_bound(subject: Subject) -> Finding:
    """The leverage configured for the scope against its bound (leverage is configuration, never the signal's)."""
    leverage, most = subject.limits.required_number("leverage"), subject.limits.required_number("max_leverage_bound")
    return limit(leverage > most, ("leverage", leverage), ("limit", most))
