"""How what happens to an account is written in a record or a snapshot, and read back to the digit.

Figures are decimal text and instants ISO-8601 to the microsecond, as in `facts_record`; what is not known is left out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.facts_record import open_order_content, open_order_of, position_content, position_of
from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, ExecutionKind, PromotedOrder
from petrosa_cio.apps.nurse.models import iso, parse_instant

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.models import Json

Content: TypeAlias = "dict[str, Json]"


def execution_content(told: Execution) -> Content:
    """One execution, as it is recorded."""
    return present(
        {
            "kind": told.kind.value,
            "at": iso(told.at),
            "strategy_id": told.strategy_id,
            "order_id": told.order_id,
            "decision_id": told.decision_id,
            "symbol": told.symbol,
            "side": None if told.side is None else told.side.value,
            "quantity": text(told.quantity),
            "price": text(told.price),
            "fee": text(told.fee),
            "fee_asset": told.fee_asset,
            "pnl": text(told.pnl),
            "closes": told.closes,
            "stopped": told.stopped,
            "reason": told.reason,
            "sequence": told.sequence,
        }
    )


def execution_of(content: Content) -> Execution:
    """The execution that `execution_content` wrote. Raises ValueError or ArithmeticError where it is none."""
    return Execution(
        kind=ExecutionKind(str(content.get("kind"))),
        at=instant(content, "at"),
        strategy_id=word(content, "strategy_id") or "",
        order_id=word(content, "order_id") or "",
        decision_id=word(content, "decision_id") or "",
        symbol=word(content, "symbol"),
        side=side_of(content),
        quantity=figure(content, "quantity"),
        price=figure(content, "price"),
        fee=figure(content, "fee"),
        fee_asset=word(content, "fee_asset"),
        pnl=figure(content, "pnl"),
        closes=content.get("closes") is True,
        stopped=content.get("stopped") is True,
        reason=word(content, "reason") or "",
        sequence=whole(content, "sequence"),
    )


def report_content(report: AccountReport) -> Content:
    """One report of an account, as it is recorded."""
    positions, orders = report.positions, report.orders
    return present(
        {
            "origin": report.origin,
            "as_of": iso(report.as_of),
            "wallet": str(report.wallet),
            "unrealised": text(report.unrealised),
            "positions": None if positions is None else [position_content(one) for one in positions],
            "orders": None if orders is None else [open_order_content(one) for one in orders],
        }
    )


def report_of(content: Content) -> AccountReport:
    """The report that `report_content` wrote. Raises ValueError or ArithmeticError where it is none."""
    positions, orders = content.get("positions"), content.get("orders")
    return AccountReport(
        origin=word(content, "origin") or "",
        as_of=instant(content, "as_of"),
        wallet=known(content, "wallet"),
        unrealised=figure(content, "unrealised"),
        positions=None if positions is None else tuple(position_of(one) for one in objects(content, "positions")),
        orders=None if orders is None else tuple(open_order_of(one) for one in objects(content, "orders")),
    )


def promoted_content(order: PromotedOrder) -> Content:
    """One promoted order, as a snapshot keeps it. A ledger keeps it in the record of its decision (`orders`)."""
    return present(
        {
            "decision_id": order.decision_id,
            "strategy_id": order.strategy_id,
            "symbol": order.symbol,
            "side": None if order.side is None else order.side.value,
            "at": iso(order.at),
            "price": str(order.price),
            "leverage": str(order.leverage),
            "quantity": text(order.quantity),
            "notional": text(order.notional),
            "stop": text(order.stop),
            "target": text(order.target),
        }
    )


def promoted_of(content: Content) -> PromotedOrder:
    """The order that `promoted_content` wrote. Raises ValueError or ArithmeticError where it is none."""
    return PromotedOrder(
        decision_id=word(content, "decision_id") or "",
        strategy_id=word(content, "strategy_id") or "",
        symbol=word(content, "symbol") or "",
        side=side_of(content),
        at=instant(content, "at"),
        price=known(content, "price"),
        leverage=known(content, "leverage"),
        quantity=figure(content, "quantity"),
        notional=figure(content, "notional"),
        stop=figure(content, "stop"),
        target=figure(content, "target"),
    )


def present(content: Content) -> Content:
    """``content`` without what is not known."""
    return {name: value for name, value in content.items() if value is not None}


def text(value: Decimal | None) -> str | None:
    """A figure as it is written."""
    return None if value is None else str(value)


def figure(content: Content, name: str) -> Decimal | None:
    """The figure ``name``; None where it is not told."""
    value = content.get(name)
    return None if value is None else Decimal(str(value))


def known(content: Content, name: str) -> Decimal:
    """The figure ``name``. Raises ArithmeticError where it is none."""
    return Decimal(str(content.get(name)))


def word(content: Content, name: str) -> str | None:
    """The text ``name``; None where it is not told."""
    value = content.get(name)
    return None if value is None else str(value)


def whole(content: Content, name: str) -> int:
    """The whole number ``name``; 0 where it is none."""
    value = content.get(name)
    return value if isinstance(value, int) else 0


def instant(content: Content, name: str) -> Instant:
    """The instant ``name``. Raises ValueError where it is none."""
    return parse_instant(str(content.get(name)))


def moment(content: Content, name: str) -> Instant | None:
    """The instant ``name``; None where it is not told."""
    return None if content.get(name) is None else instant(content, name)


def written(at: Instant | None) -> str | None:
    """An instant as it is written."""
    return None if at is None else iso(at)


def side_of(content: Content) -> Side | None:
    """The side; None where it is not told."""
    value = content.get("side")
    return None if value is None else Side(str(value))


def objects(content: Content, name: str) -> list[Content]:
    """The objects of the list ``name``; none where there is no list."""
    value = content.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def part(content: Content, name: str) -> Content:
    """The object ``name``; an empty one where there is none."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}
