"""Exposure: how much is open at once, counted with what was promoted and is not filled yet.

Figures are of the whole account, whatever scope sets the limit. In one-way mode an order first takes off what is open
on the other side; only the rest of it adds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.case import UNEVALUATED, Finding, limit
from petrosa_cio.apps.nurse.controls.protection import HUNDRED, PASS, shown
from petrosa_cio.apps.nurse.controls.size import cut
from petrosa_cio.apps.nurse.valuation import liquidation_price

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.case import Subject
    from petrosa_cio.apps.nurse.facts import Bracket, OpenOrder, Portfolio, Position, Side

    Place: TypeAlias = tuple[str, Side]
    """A symbol and side: the exchange holds one position there."""

_ZERO = Decimal(0)


def _open(account: Portfolio | None) -> tuple[Position | OpenOrder, ...] | None:
    """Positions, and the orders that may open or enlarge one; None where either is not known."""
    if account is None or account.positions is None or account.orders is None:
        return None
    return (*account.positions, *(one for one in account.orders if not one.reduce_only))


def concurrent_positions(subject: Subject) -> Finding:
    """Positions that would be open, one for each symbol and side; adding to one that is open opens none."""
    taken = _open(subject.account)
    if taken is None:
        return UNEVALUATED
    places = {(one.symbol, one.side) for one in taken}
    count, most = len(places), subject.limits.required_number("max_concurrent_positions")
    opens = (subject.intent.symbol, subject.side) not in places
    return limit(opens and count + 1 > most, ("open", count), ("opens", opens), ("limit", most))


def open_orders(subject: Subject) -> Finding:
    """Orders that would be open, on the account and on the symbol."""
    orders = subject.account.orders if subject.account else None
    if orders is None:
        return UNEVALUATED
    count, on_symbol = len(orders), sum(one.symbol == subject.intent.symbol for one in orders)
    most = subject.limits.required_number("max_orders_global")
    most_on_symbol = subject.limits.required_number("max_orders_per_symbol")
    return limit(
        count + 1 > most or on_symbol + 1 > most_on_symbol,
        ("open", count),
        ("limit", most),
        ("open_on_symbol", on_symbol),
        ("limit_per_symbol", most_on_symbol),
    )


def portfolio_exposure(subject: Subject) -> Finding:
    """Gross notional of all that is open, with this order, against equity."""
    return _exposure(subject, "max_portfolio_exposure_pct", None)


def symbol_concentration(subject: Subject) -> Finding:
    """Gross notional of what is open on the symbol, with this order, against equity."""
    return _exposure(subject, "max_symbol_exposure_pct", frozenset({subject.intent.symbol}))


def correlated_exposure(subject: Subject) -> Finding:
    """Gross notional of what is open on the symbols that move with this one, itself included, against equity."""
    group = subject.market.correlated if subject.market else None
    if group is None:
        return UNEVALUATED
    return _exposure(subject, "max_correlated_exposure_pct", frozenset({subject.intent.symbol, *group}))


def _exposure(subject: Subject, name: str, symbols: frozenset[str] | None) -> Finding:
    taken, order = _open(subject.account), subject.order
    equity = subject.account.equity if subject.account else None
    if taken is None or equity is None or order.quantity is None:
        return UNEVALUATED
    most = subject.limits.required_number(name)
    gross = sum((one.notional for one in taken if symbols is None or one.symbol in symbols), _ZERO)
    room = most * max(equity, _ZERO) - (gross - _released(subject))
    return cut(
        order.quantity,
        subject.opposed + max(_ZERO, room) / subject.price,
        ("open", gross),
        ("order", order.quantity * subject.price),
        ("equity", equity),
        ("limit", most),
    )


def _released(subject: Subject) -> Decimal:
    """Notional that this order takes off on the other side."""
    if subject.account is None or not subject.account.positions or not subject.opposed:
        return _ZERO
    against = [
        one for one in subject.account.positions if one.symbol == subject.intent.symbol and one.side is not subject.side
    ]
    held = sum((one.quantity for one in against), _ZERO)
    return sum((one.notional for one in against), _ZERO) * subject.opposed / held


def portfolio_leverage(subject: Subject) -> Finding:
    """Sum of the leverage of all positions that would be open, each counted once; a cap of 0 does not look."""
    cap = subject.limits.required_number("portfolio_leverage_cap")
    if cap == 0:
        return PASS
    taken = _open(subject.account)
    if taken is None:
        return UNEVALUATED
    at: dict[Place, Decimal] = {}
    for one in taken:
        at[one.symbol, one.side] = max(one.leverage, at.get((one.symbol, one.side), _ZERO))
    here = (subject.intent.symbol, subject.side)
    at[here] = max(subject.limits.required_number("leverage"), at.get(here, _ZERO))
    total = sum(at.values(), _ZERO)
    return limit(total > cap, ("leverage", total), ("limit", cap))


def liquidation(subject: Subject) -> Finding:
    """Room between the stop and the liquidation price of the position as it would be, in percent of the price.

    Without a stop of its own the intent gets the one that the engine's configuration gives. The estimate is for
    isolated margin (see `_estimate`); where the exchange tells a nearer price for what is open already, that counts.
    """
    account, market, order = subject.account, subject.market, subject.order
    brackets = market.brackets if market else None
    if account is None or account.positions is None or brackets is None or not order.quantity:
        return UNEVALUATED
    same = [one for one in account.positions if one.symbol == subject.intent.symbol and one.side is subject.side]
    opens = order.quantity - subject.opposed
    estimate = max(_prices(subject, opens, same, brackets), key=lambda price: subject.sign * price)
    stop = subject.stop
    if stop is None:
        stop = subject.price * (1 - subject.sign * subject.limits.required_number("stop_loss_pct") / HUNDRED)
    room = subject.sign * (stop - estimate) * HUNDRED / subject.price
    least = subject.limits.required_number("min_liquidation_distance_pct")
    numbers = (("room_pct", shown(room)), ("stop", stop), ("liquidation", shown(estimate)), ("limit", least))
    return limit(room < least, *numbers)


def _prices(
    subject: Subject, quantity: Decimal, same: list[Position], brackets: tuple[Bracket, ...]
) -> Iterator[Decimal]:
    """The estimate for the position as it would be, and what the exchange tells of what is open."""
    cost, size = quantity * subject.price, quantity
    margin = cost / subject.limits.required_number("leverage")
    for one in same:
        cost, size = cost + one.quantity * one.entry, size + one.quantity
        margin += one.quantity * one.entry / one.leverage
        if one.liquidation_price is not None:
            yield one.liquidation_price
    yield _estimate(subject.sign, cost, size, margin, brackets)


def _estimate(sign: int, cost: Decimal, size: Decimal, margin: Decimal, brackets: tuple[Bracket, ...]) -> Decimal:
    """Liquidation price of an isolated position, in the bracket of its notional at entry."""
    step = next((one for one in brackets if cost <= one.cap), brackets[-1])
    return liquidation_price(sign, cost, size, margin, step.rate, step.deduction)
