"""The case: everything a judgement may look at, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from petrosa_cio.apps.nurse.models import Order, Outcome, Side, decimal_of

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import (
        BookFacts,
        Instant,
        Intent,
        Malformed,
        MarketState,
        Portfolio,
        Scalar,
    )
    from petrosa_cio.apps.nurse.policy import Limits, Policy

Numbers: TypeAlias = "tuple[tuple[str, Scalar], ...]"

FINEST_STEP = Decimal("0.00000001")
"""Step that quantities are rounded down to where the exchange's own step is unknown: Binance's finest."""


@dataclass(frozen=True, slots=True)
class Case:
    """One intent and the facts it is judged on. ``policy``, ``market`` and ``portfolio`` may be absent: a fact too.

    ``now`` and ``arrived_at`` are instants; the judgement reads no clock.
    """

    intent: Intent | Malformed
    policy: Policy | None
    book: BookFacts
    now: Instant
    arrived_at: Instant
    policy_as_of: Instant | None = None
    market: MarketState | None = None
    portfolio: Portfolio | None = None


class Finding(NamedTuple):
    """What one check came to: the outcome, its numbers, and for a cut the largest quantity (base asset) it leaves."""

    outcome: Outcome
    numbers: Numbers = ()
    cap: Decimal | None = None


UNEVALUATED = Finding(Outcome.UNEVALUATED)


def limit(broken: bool, *numbers: tuple[str, Scalar]) -> Finding:
    """A check that blocks where ``broken``, with the numbers it compared."""
    return Finding(Outcome.BLOCK if broken else Outcome.PASS, numbers)


@dataclass(frozen=True, slots=True)
class Subject:
    """A well-formed risk-adding intent with what every check needs worked out once."""

    case: Case
    intent: Intent
    limits: Limits
    side: Side
    price: Decimal
    """Reference price: the intent's ``price``, else its ``current_price``."""
    current: Decimal
    stop: Decimal | None
    target: Decimal | None
    confidence: Decimal
    order: Order

    @property
    def sign(self) -> int:
        """+1 for a long, -1 for a short."""
        return 1 if self.side is Side.LONG else -1


def sound(figure: Decimal | None) -> Decimal | None:
    """``figure`` if it is a finite number; a feed's NaN or infinity is an absence."""
    return figure if figure is not None and figure.is_finite() else None


def subject_of(case: Case, intent: Intent, limits: Limits, side: Side) -> Subject:
    """Work out prices, protective levels and the effective order of an entry."""
    given = intent.price if intent.price is not None else intent.current_price
    now = intent.current_price if intent.current_price is not None else intent.price
    price = decimal_of(given) if given is not None else Decimal(0)
    current = decimal_of(now) if now is not None else price
    sign = 1 if side is Side.LONG else -1
    return Subject(
        case=case,
        intent=intent,
        limits=limits,
        side=side,
        price=price,
        current=current,
        stop=_level(intent.stop_loss, intent.stop_loss_pct, price, -sign),
        target=_level(intent.take_profit, intent.take_profit_pct, price, sign),
        confidence=decimal_of(intent.confidence) if intent.confidence is not None else Decimal(0),
        order=effective_order(case, intent, limits, price),
    )


def _level(given: float | None, fraction: float | None, price: Decimal, sign: int) -> Decimal | None:
    if given is not None:
        return decimal_of(given)
    return None if fraction is None else price * (1 + sign * decimal_of(fraction))


def effective_order(case: Case, intent: Intent, limits: Limits, price: Decimal) -> Order:
    """The order that the engine would really send for ``intent`` (source: fleet facts §2.5, checked order of sizing).

    ``position_size_pct`` wins over ``quantity``, ``quantity`` over ``quote_quantity``; the size is multiplied and then
    raised to the exchange's minimum. Where a fact is missing (equity, the exchange's minimum) the size is None.
    """
    quantity, basis = _requested(case, intent, price)
    least = minimum_quantity(case, limits, price)
    if basis == "exchange_minimum":
        return _order(least, price, basis)
    if quantity is None:
        return Order(None, None, basis)
    quantity *= limits.required_number("quantity_multiplier")
    if limits.flag("use_exchange_minimums") and least is not None:
        quantity = max(quantity, least)
    return _order(quantity, price, basis)


def _order(quantity: Decimal | None, price: Decimal, basis: str) -> Order:
    return Order(quantity, None if quantity is None else quantity * price, basis)


def _requested(case: Case, intent: Intent, price: Decimal) -> tuple[Decimal | None, str]:
    if intent.position_size_pct is not None:
        equity = sound(case.portfolio.equity) if case.portfolio else None
        if equity is None or price <= 0:
            return None, "position_size_pct"
        return decimal_of(intent.position_size_pct) * _conviction(intent) * equity / price, "position_size_pct"
    if intent.quantity:
        return decimal_of(intent.quantity), "quantity"
    if intent.quote_quantity and price > 0:
        return decimal_of(intent.quote_quantity) / price, "quote_quantity"
    return None, "exchange_minimum"


def _conviction(intent: Intent) -> Decimal:
    """Factor the engine applies to a percentage size, by strategy mode (fleet facts §2.5, table of modes)."""
    confidence = decimal_of(intent.confidence) if intent.confidence is not None else Decimal(1)
    match intent.strategy_mode:
        case "deterministic":
            return confidence
        case "llm_reasoning":
            return min(confidence, Decimal("0.8"))
        case "ml_light":
            return Decimal(1)


def minimum_quantity(case: Case, limits: Limits, price: Decimal) -> Decimal | None:
    """Smallest quantity the engine would send: overrides, else the exchange's filters; None where neither is known."""
    least_notional = limits.number("override_min_notional")
    if least_notional is None and case.market is not None:
        least_notional = sound(case.market.min_notional)
    by_notional = None if least_notional is None or price <= 0 else least_notional / price
    by_quantity = limits.number("override_min_qty")
    known = [value for value in (by_notional, by_quantity) if value is not None]
    return max(known, default=None)


def round_down(quantity: Decimal, case: Case, limits: Limits) -> Decimal:
    """``quantity`` rounded down to the exchange's step, so that a reduction never ends above its limit."""
    step = limits.number("override_step_size") or (sound(case.market.step_size) if case.market else None) or FINEST_STEP
    return (quantity / step).to_integral_value(ROUND_DOWN) * step
