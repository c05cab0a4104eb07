"""What happens to an account, for tests: promoted orders, words of the engine, reports, from few words each."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, ExecutionKind, PromotedOrder
from petrosa_cio.apps.nurse.models import SECOND, Side, parse_instant

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Instant

MORNING: Instant = parse_instant("2026-11-24T09:00:00+00:00")


def at(clock: str, day: str = "2026-11-24") -> Instant:
    """The instant of a time of day, given as ``HH:MM`` or ``HH:MM:SS``."""
    return parse_instant(f"{day}T{clock if clock.count(':') == 2 else clock + ':00'}+00:00")


def later(seconds: int) -> Instant:
    """So many seconds after MORNING."""
    return MORNING + seconds * SECOND


def figure(value: str | int | None) -> Decimal | None:
    """A decimal from text."""
    return None if value is None else Decimal(value)


def promoted_order(decision_id: str = "d1", moment: Instant = MORNING, **changes: object) -> PromotedOrder:
    """Strategy ``momo`` buys 2 BTCUSDT at 100, leverage 5."""
    known = PromotedOrder(
        decision_id,
        "momo",
        "BTCUSDT",
        Side.LONG,
        moment,
        price=Decimal(100),
        leverage=Decimal(5),
        quantity=Decimal(2),
        notional=Decimal(200),
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def entry(
    decision_id: str = "d1",
    moment: Instant = MORNING,
    quantity: str | None = "2",
    price: str | None = "100",
    fee: str | None = None,
    **changes: object,
) -> Execution:
    """Strategy ``momo`` bought BTCUSDT; the order id is the decision's, with an ``o``."""
    known = Execution(
        ExecutionKind.FILLED,
        moment,
        "momo",
        order_id=f"o-{decision_id}" if decision_id else "",
        decision_id=decision_id,
        symbol="BTCUSDT",
        side=Side.LONG,
        quantity=figure(quantity),
        price=figure(price),
        fee=figure(fee),
        fee_asset=None if fee is None else "USDT",
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def exit_of(
    decision_id: str = "d1",
    moment: Instant = MORNING,
    pnl: str | None = "10",
    quantity: str | None = "2",
    price: str | None = "105",
    fee: str | None = None,
    **changes: object,
) -> Execution:
    """What ``momo`` holds of BTCUSDT for a decision was sold; the order id is the decision's, with an ``x``."""
    known = entry(decision_id, moment, quantity, price, fee, order_id=f"x-{decision_id}", closes=True, pnl=figure(pnl))
    return replace(known, **changes)  # type: ignore[arg-type]


def report(
    moment: Instant = MORNING, wallet: str = "10000", unrealised: str | None = "0", **changes: object
) -> AccountReport:
    """The engine says what is in the wallet, and nothing of positions or orders."""
    known = AccountReport("engine", moment, Decimal(wallet), figure(unrealised))
    return replace(known, **changes)  # type: ignore[arg-type]
