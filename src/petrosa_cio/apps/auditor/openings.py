"""Which shadow positions a decision opens, from its record alone: at what price, of what size, on which terms.

The entry is taken from the executable side of the book that the decision was judged on, else from its mark and half the
last spread that was known (none, where none ever was), else from the open of the next bar, and where that bar is
missing from the intent's own price. Facts that were stale or unsound at the decision are none.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from pydantic import ValidationError

from petrosa_cio.apps.auditor.barriers import enter, unfilled
from petrosa_cio.apps.auditor.outcomes import PriceSource, Tracked
from petrosa_cio.apps.auditor.positions import ZERO, Position
from petrosa_cio.apps.nurse.case import FINEST_STEP
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.facts_record import market_of
from petrosa_cio.apps.nurse.models import Intent, decimal_of, parse_instant
from petrosa_cio.apps.nurse.record import decode
from petrosa_cio.apps.nurse.simulation import EXCHANGE_MINIMUM
from petrosa_cio.apps.nurse.soundness import sound_market

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.facts import MarketState
    from petrosa_cio.apps.nurse.policy import Limits

BASIS_POINTS = Decimal(10_000)
_ONE = Decimal(1)
_HOUR_MS = 3_600_000
_AT_ONCE = ("IOC", "FOK")


class Quote(NamedTuple):
    """A price that an order could have had at the decision."""

    source: PriceSource
    price: Decimal


def intent_of(content: Mapping[str, object]) -> Intent | None:
    """The intent in a decision's record; None for what was none."""
    payload = content.get("payload")
    if not isinstance(payload, str):
        return None
    try:
        return Intent.model_validate(decode(payload.encode()))
    except (ValidationError, ValueError):
        return None


def sound_facts(content: Mapping[str, object], intent: Intent, limits: Limits) -> MarketState | None:
    """What the decision knew of its market and could rely on."""
    told = market_of(content.get("market"))  # type: ignore[arg-type]  # what a record holds is JSON
    return sound_market(told, intent.symbol, limits, parse_instant(str(content.get("at"))))


def spread_of(market: MarketState | None) -> Decimal | None:
    """Ask less bid, where the book is known."""
    if market is None or market.bid is None or market.ask is None:
        return None
    return market.ask - market.bid


def openings(
    content: Mapping[str, object], intent: Intent, limits: Limits, market: MarketState | None, spread: Decimal | None
) -> tuple[Position, ...]:
    """The positions that an entry opens: one, or of a reduced one two. None for what opens nothing: no entry, one
    without a price, or one that only takes off. ``spread`` is the last one that was known of its symbol."""
    side, price = intent.side, intent.price if intent.price is not None else intent.current_price
    if side is None or price is None or content.get("reduces") is not None:
        return ()
    reference = decimal_of(price)
    shares = _shares(content, reference)
    return tuple(
        _placed(_position(content, intent, limits, market, tracked, quantity, side, reference), intent, market, spread)
        for tracked, quantity in shares
        if quantity > ZERO
    )


def _shares(content: Mapping[str, object], price: Decimal) -> tuple[tuple[Tracked, Decimal], ...]:
    """What of the order was promoted, and what was not."""
    order, promoted = content.get("order"), content.get("promoted")
    whole = _figure(order, "quantity")
    if whole is None:
        whole = (EXCHANGE_MINIMUM / price).quantize(FINEST_STEP, ROUND_UP)
    match content.get("verdict"):
        case "blocked":
            return ((Tracked.BLOCKED, whole),)
        case "approved" | "reduced":
            sent = _figure(promoted, "quantity")
            sent = whole if sent is None else sent
            return (Tracked.PROMOTED, sent), (Tracked.REDUCED, whole - sent)
        case _:
            return ()


def _figure(told: object, name: str) -> Decimal | None:
    """A quantity to the exchange's finest step: a record that was read back has it as a float."""
    value = told.get(name) if isinstance(told, dict) else None
    if value is None:
        return None
    exact = decimal_of(float(str(value)))
    return exact.quantize(FINEST_STEP, ROUND_DOWN) if exact >= FINEST_STEP else exact


def _position(
    content: Mapping[str, object],
    intent: Intent,
    limits: Limits,
    market: MarketState | None,
    tracked: Tracked,
    quantity: Decimal,
    side: Side,
    price: Decimal,
) -> Position:
    sign = 1 if side is Side.LONG else -1
    brackets = market.brackets if market is not None else None
    cost = quantity * price
    bracket = next((one for one in brackets if cost <= one.cap), brackets[-1]) if brackets else None
    reasons = content.get("reasons")
    return Position(
        decision_id=str(content.get("decision_id")),
        tracked=tracked,
        strategy_id=intent.strategy_id,
        symbol=intent.symbol,
        side=side,
        reasons=tuple(str(one["code"]) for one in reasons) if isinstance(reasons, list) else (),
        regime=market.regime if market is not None else None,
        decided_at=parse_instant(str(content.get("at"))),
        quantity=quantity,
        price_source=PriceSource.BAR,
        price=price,
        cost_rate=(limits.required_number("taker_fee_bps") + limits.required_number("slippage_bps")) / BASIS_POINTS,
        holding_ms=round(limits.required_number("shadow_max_holding_hours") * _HOUR_MS),
        leverage=limits.required_number("leverage") if limits.word("margin_type") == "isolated" else None,
        maintenance=bracket.rate if bracket else ZERO,
        deduction=bracket.deduction if bracket else ZERO,
        stop=_level(intent.stop_loss, intent.stop_loss_pct, price, -sign),
        target=_level(intent.take_profit, intent.take_profit_pct, price, sign),
    )


def _level(given: float | None, fraction: float | None, price: Decimal, sign: int) -> Decimal | None:
    if given is not None:
        return decimal_of(given)
    return None if fraction is None else price * (_ONE + sign * decimal_of(fraction))


def quote(side: Side, market: MarketState | None, spread: Decimal | None) -> Quote | None:
    """What an order that opens ``side`` could have had; None where neither book nor mark was known."""
    if market is None:
        return None
    book = market.ask if side is Side.LONG else market.bid
    if book is not None:
        return Quote(PriceSource.BOOK, book)
    if market.mark is None:
        return None
    half = (spread or ZERO) / 2
    return Quote(PriceSource.MARK, market.mark + (half if side is Side.LONG else -half))


def _placed(position: Position, intent: Intent, market: MarketState | None, spread: Decimal | None) -> Position:
    """The position as the order leaves it: entered, waiting for the next bar, or resting at its limit."""
    found = quote(position.side, market, spread)
    if found is not None:
        position = msgspec.structs.replace(position, price_source=found.source)
    match intent.order_type:
        case "market":
            return position if found is None else enter(position, found.price, position.decided_ms)
        case "limit":
            if found is not None and position.sign * (position.price - found.price) >= ZERO:
                return enter(position, found.price, position.decided_ms)
            if intent.time_in_force in _AT_ONCE:
                return unfilled(position)
            source = PriceSource.INTENT if found is None else found.source
            return msgspec.structs.replace(position, limit=position.price, price_source=source)
        case _:
            # What waits for a trigger of its own is not modelled, and not guessed.
            return msgspec.structs.replace(position, unavailable=True, over=True)
