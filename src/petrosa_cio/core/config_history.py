"""What the engine's audit rows say: which scope they are of, and which parameters came before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petrosa_cio.apps.nurse.contracts import PositionSide
    from petrosa_cio.apps.nurse.models import Json

    AuditRow: TypeAlias = Mapping[str, Json]
    """A `TradingConfigAudit` as it was stored, by field name."""

UNDO_REASON = "Rollback to previous"
"""Reason of a rollback to what came before, where its author gives none."""

UNDO_MARK = "rollback"
"""Key in an audit record's metadata that marks such a rollback, whatever its reason says."""


@dataclass(frozen=True, slots=True)
class ConfigScope:
    """Where a configuration holds. A strategy has neither symbol nor side; a side without a symbol means nothing."""

    kind: Literal["global", "symbol", "symbol_side", "strategy"]
    symbol: str | None = None
    side: PositionSide | None = None
    strategy_id: str | None = None

    @classmethod
    def of(cls, symbol: str | None, side: PositionSide | None, strategy_id: str | None) -> ConfigScope:
        """The scope that a caller means by these three."""
        if strategy_id:
            return cls("strategy", strategy_id=strategy_id)
        if symbol:
            return cls("symbol_side" if side else "symbol", symbol, side or None)
        return cls("global", side=side or None)

    def __str__(self) -> str:
        """``global``, ``SYMBOL``, ``SYMBOL:SIDE`` or ``strategy ID``."""
        if self.strategy_id:
            return f"strategy {self.strategy_id}"
        if self.symbol and self.side:
            return f"{self.symbol}:{self.side}"
        return self.symbol or "global"

    def holds(self, row: AuditRow) -> bool:
        """Whether ``row`` is a change of exactly this scope. What a row does not say counts as agreeing."""
        of_strategy = self.kind == "strategy"
        if (row.get("config_type", self.kind) == "strategy") != of_strategy:
            return False
        if row.get("strategy_id", self.strategy_id) != self.strategy_id:
            return False
        if of_strategy:
            return True
        if row.get("symbol", self.symbol) != self.symbol:
            return False
        return self.kind == "global" or row.get("side", self.side) == self.side


def parameters_after(row: AuditRow) -> dict[str, Json] | None:
    """The parameters that a change left behind; None where it was a deletion."""
    return _map(row.get("parameters_after"))


def parameters_before_the_last_change(rows: Sequence[AuditRow]) -> tuple[dict[str, Json] | None, bool]:
    """What to return to from the newest of ``rows`` (one scope, newest first), and whether older rows cannot differ.

    A rollback to what came before has undone one change: both are passed over, so that rolling back again goes further
    back. (The engine takes the rollback itself for the last change, and so toggles between two states.) Where the rows
    do not reach back far enough to tell what was undone, its answer is all there is.
    """
    undone = 0
    for position, row in enumerate(rows):
        if _is_undo(row):
            undone += 1
        elif undone:
            undone -= 1
        else:
            return _before(row, rows[position + 1 : position + 2])
    return _before(rows[0], rows[1:2])[0] if rows else None, False


def _before(row: AuditRow, older: Sequence[AuditRow]) -> tuple[dict[str, Json] | None, bool]:
    before = _map(row.get("parameters_before"))
    if row.get("action") == "update" and before is not None:
        return before, True
    return (parameters_after(older[0]), True) if older else (None, False)


def _is_undo(row: AuditRow) -> bool:
    return row.get("reason") == UNDO_REASON or UNDO_MARK in (_map(row.get("metadata")) or {})


def _map(value: Json) -> dict[str, Json] | None:
    return value if isinstance(value, dict) else None
