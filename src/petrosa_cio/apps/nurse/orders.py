"""The order that a decision promotes, as `holdings` counts it: from the decision, and the same from its record."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.happenings import PromotedOrder
from petrosa_cio.apps.nurse.models import Side, VerdictKind, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.decision import Decision
    from petrosa_cio.apps.nurse.models import Instant

_SIDES = {"buy": Side.LONG, "sell": Side.SHORT}
_NOTHING = Decimal(0)
_ONE = Decimal(1)


def order_made(decision: Decision) -> PromotedOrder | None:
    """The order that ``decision`` promotes; None where no signal leaves for it.

    A ``close`` names no price of its own: its ``price`` is 0 and its ``leverage`` 1.
    """
    intent, verdict = decision.intent, decision.verdict
    if intent is None or not verdict.kind.promotes:
        return None
    at = decision.at // 1000 * 1000  # as it is recorded
    side = intent.side
    if side is None:
        return _close(decision.decision_id, intent.strategy_id, intent.symbol, at)
    terms = verdict.order.terms if verdict.order else None
    if terms is None:
        return None
    quantity = verdict.ordered
    return PromotedOrder(
        decision.decision_id,
        intent.strategy_id,
        intent.symbol,
        side,
        at,
        terms.price,
        terms.leverage,
        quantity,
        None if quantity is None else quantity * terms.price,
        terms.stop,
        terms.target,
    )


def order_of(content: Mapping[str, object]) -> PromotedOrder | None:
    """The order that the decision with this record promoted: what `order_made` gave when it was made.

    ``content`` is what `content_of` gives, or a record's body read back. None for what promoted nothing, for a record
    that is no decision, and for one older than the key ``promoted``.
    """
    if content.get("kind") != "decision" or not VerdictKind(str(content.get("verdict"))).promotes:
        return None
    decision_id, strategy_id, symbol = (str(content.get(name)) for name in ("decision_id", "strategy_id", "symbol"))
    at = parse_instant(str(content.get("at")))
    side = _SIDES.get(str(content.get("action")))
    if side is None:
        return _close(decision_id, strategy_id, symbol, at)
    told = content.get("promoted")
    if not isinstance(told, dict):
        return None
    figures = {name: Decimal(str(value)) for name, value in told.items()}
    price, quantity = figures["price"], figures.get("quantity")
    return PromotedOrder(
        decision_id,
        strategy_id,
        symbol,
        side,
        at,
        price,
        figures["leverage"],
        quantity,
        None if quantity is None else quantity * price,
        figures.get("stop"),
        figures.get("target"),
    )


def _close(decision_id: str, strategy_id: str, symbol: str, at: Instant) -> PromotedOrder:
    return PromotedOrder(decision_id, strategy_id, symbol, None, at, _NOTHING, _ONE)
