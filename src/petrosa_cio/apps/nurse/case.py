"""The case: everything a judgement may look at, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from petrosa_cio.apps.nurse.models import Order, Outcome, Side, Terms, decimal_of
from petrosa_cio.apps.nurse.soundness import sound_account, sound_market

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

_ZERO = Decimal(0)


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
    market: MarketState | None
    """The case's market with all struck out that cannot be relied on: what is not None here is fresh and sound."""
    account: Portfolio | None
    """The case's account, likewise."""
    opposed: Decimal
    """Open quantity on the other side that this order takes off before it opens anything: 0 outside one-way mode, and
    where no position is known."""

    @property
    def sign(self) -> int:
        """+1 for a long, -1 for a short."""
        return 1 if self.side is Side.LONG else -1

    @property
    def reduces(self) -> bool:
        """Whether the whole order only takes off what is open on the other side."""
        return self.order.quantity is not None and _ZERO < self.order.quantity <= self.opposed


def subject_of(case: Case, intent: Intent, limits: Limits, side: Side) -> Subject:
    """Work out prices, protective levels, the facts that can be relied on, and the effective order of an entry."""
    given = intent.price if intent.price is not None else intent.current_price
    now = intent.current_price if intent.current_price is not None else intent.price
    price = decimal_of(given) if given is not None else _ZERO
    current = decimal_of(now) if now is not None else price
    sign = 1 if side is Side.LONG else -1
    market = sound_market(case.market, intent.symbol, limits, case.now)
    account = sound_account(case.portfolio, limits, case.now)
    stop = _level(intent.stop_loss, intent.stop_loss_pct, price, -sign)
    target = _level(intent.take_profit, intent.take_profit_pct, price, sign)
    leverage, multiplier = limits.required_number("leverage"), limits.required_number("quantity_multiplier")
    terms = Terms(price, leverage, multiplier, stop, target)
    return Subject(
        case=case,
        intent=intent,
        limits=limits,
        side=side,
        price=price,
        current=current,
        stop=stop,
        target=target,
        confidence=decimal_of(intent.confidence) if intent.confidence is not None else _ZERO,
        order=effective_order(intent, limits, terms, market, account),
        market=market,
        account=account,
        opposed=_opposed(account, intent.symbol, side, limits),
    )


def _level(given: float | None, fraction: float | None, price: Decimal, sign: int) -> Decimal | None:
    if given is not None:
        return decimal_of(given)
    return None if fraction is None else price * (1 + sign * decimal_of(fraction))


def _opposed(account: Portfolio | None, symbol: str, side: Side, limits: Limits) -> Decimal:
    """What is open on the other side in one-way mode, less what earlier orders on this side will take off of it.

    Where those orders are not known it is the whole: what reduces risk is not held back by a missing fact.
    """
    if account is None or not account.positions or limits.word("position_mode") != "one-way":
        return _ZERO
    held = sum((one.quantity for one in account.positions if one.symbol == symbol and one.side is not side), _ZERO)
    orders = account.orders or ()
    ahead = (one for one in orders if one.symbol == symbol and one.side is side and not one.reduce_only)
    return max(_ZERO, held - sum((one.quantity for one in ahead), _ZERO))


def effective_order(
    intent: Intent, limits: Limits, terms: Terms, market: MarketState | None, account: Portfolio | None
) -> Order:
    """The order that the engine would really send for ``intent`` (source: fleet facts §2.5, checked order of sizing).

    ``position_size_pct`` wins over ``quantity``, ``quantity`` over ``quote_quantity``; the size is multiplied, raised
    to the exchange's minimum and rounded down to its step. Where a fact is missing (equity, the exchange's minimum)
    the size is None.
    """
    price = terms.price
    quantity, basis = _requested(intent, price, account)
    least = minimum_quantity(market, limits, price)
    if basis == "exchange_minimum":
        return _order(least, terms, basis)
    if quantity is None:
        return _order(None, terms, basis)
    quantity *= terms.multiplier
    if limits.flag("use_exchange_minimums") and least is not None:
        quantity = max(quantity, least)
    step = step_of(market, limits)
    return _order(quantity if step is None else _to_step(quantity, step, ROUND_DOWN), terms, basis)


def _order(quantity: Decimal | None, terms: Terms, basis: str) -> Order:
    return Order(quantity, None if quantity is None else quantity * terms.price, basis, terms)


def _requested(intent: Intent, price: Decimal, account: Portfolio | None) -> tuple[Decimal | None, str]:
    if intent.position_size_pct is not None:
        equity = account.equity if account else None
        if equity is None or price <= 0:
            return None, "position_size_pct"
        share = decimal_of(intent.position_size_pct) * _conviction(intent)
        return share * max(equity, _ZERO) / price, "position_size_pct"
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


def least_notional(market: MarketState | None, limits: Limits) -> Decimal | None:
    """Smallest notional of an order: the override, else the exchange's own; None where neither is known."""
    override = limits.number("override_min_notional")
    return override if override is not None or market is None else market.min_notional


def least_quantity(market: MarketState | None, limits: Limits) -> Decimal | None:
    """Smallest quantity of an order: the override, else the exchange's own; None where neither is known."""
    override = limits.number("override_min_qty")
    return override if override is not None or market is None else market.min_quantity


def step_of(market: MarketState | None, limits: Limits) -> Decimal | None:
    """Step of quantities: the override, else the exchange's own; None where neither is known."""
    override = limits.number("override_step_size")
    return override if override is not None or market is None else market.step_size


def minimum_quantity(market: MarketState | None, limits: Limits, price: Decimal) -> Decimal | None:
    """Smallest quantity the engine would send: overrides, else the exchange's filters; None where neither is known.

    It is a whole number of steps, where the step is known: less would be under the minimum once rounded.
    """
    notional = least_notional(market, limits)
    by_notional = None if notional is None or price <= 0 else notional / price
    known = [value for value in (by_notional, least_quantity(market, limits)) if value is not None]
    if not known:
        return None
    step = step_of(market, limits)
    return max(known) if step is None else _to_step(max(known), step, ROUND_UP)


def round_down(quantity: Decimal, market: MarketState | None, limits: Limits) -> Decimal:
    """``quantity`` rounded down to the exchange's step, so that a reduction never ends above its limit."""
    return _to_step(quantity, step_of(market, limits) or FINEST_STEP, ROUND_DOWN)


def _to_step(quantity: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (quantity / step).to_integral_value(rounding) * step
