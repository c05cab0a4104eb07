"""Whether a blocked entry would have been added to what its strategy had open already, as the policy itself limits it.

Without a number of steps in the policy (`max_accumulations`) it is a repeat: nobody may earn savings by blocking one
signal a thousand times.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.positions import ZERO
from petrosa_cio.apps.nurse.models import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from petrosa_cio.apps.auditor.positions import Position
    from petrosa_cio.apps.nurse.policy import Limits


def may_accumulate(
    position: Position,
    held: Sequence[Position],
    shadows: Sequence[Position],
    limits: Limits,
    equity: Decimal | None,
) -> bool:
    """Whether the policy lets ``position`` be added to ``held``, what its strategy has open on its side, oldest first,
    among all open ``shadows``. Without an ``equity`` exposure has no measure, and nothing is added."""
    most, pause = limits.number("max_accumulations"), limits.number("accumulation_cooldown_seconds")
    if most is None or len(held) >= most or equity is None:
        return False
    if pause is not None and Decimal(position.decided_at - held[-1].decided_at) < pause * SECOND:
        return False
    if len({(one.symbol, one.side) for one in shadows}) > limits.required_number("max_concurrent_positions"):
        return False
    whole = [*shadows, position]
    here = [one for one in whole if one.symbol == position.symbol]
    return (
        _notional(whole) <= limits.required_number("max_portfolio_exposure_pct") * equity
        and _notional(here) <= limits.required_number("max_symbol_exposure_pct") * equity
    )


def equity_of(content: Mapping[str, object]) -> Decimal | None:
    """The equity that a decision knew of; None where it knew of none, or of one that is not above zero."""
    account = content.get("account")
    told = account.get("equity") if isinstance(account, dict) else None
    equity = None if told is None else Decimal(str(told))
    return equity if equity is not None and equity.is_finite() and equity > ZERO else None


def _notional(positions: Iterable[Position]) -> Decimal:
    return sum((one.quantity * (one.entry or one.price) for one in positions), ZERO)
