"""What the configuration manager asks of whatever keeps configurations: the engine's client interface.

The functions pick the method for a scope; the interface has one for each.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.nurse.contracts import PositionSide, TradingConfig, TradingConfigAudit
    from petrosa_cio.core.config_history import AuditRow, ConfigScope


@dataclass(frozen=True, slots=True)
class WriteCause:
    """Who writes or deletes, and why. The interface has no arguments for it: its audit record comes after the write."""

    changed_by: str = ""
    reason: str | None = None
    undo: bool = False
    """Whether it is a rollback to what came before."""


UNKNOWN_CAUSE = WriteCause()

WRITE_CAUSE: ContextVar[WriteCause] = ContextVar("write_cause", default=UNKNOWN_CAUSE)
"""Set by the manager around each write and deletion, for a client that audits in the same step."""


class ConfigRepository(Protocol):
    """The engine's second store. It is opened and closed with the manager and asked for nothing."""

    async def connect(self) -> None:
        """Open it."""

    async def disconnect(self) -> None:
        """Close it."""


class ConfigClient(Protocol):
    """Keeps one `TradingConfig` for each scope, and an audit record for each change (fleet facts §4.2).

    * A getter gives None where the scope is not set. A writer or a deletion gives True once it is kept.
    * A writer replaces the scope's record. The record's version is the successor of the one the writer saw: a client
      that finds another one kept by now must give False or raise, naming both versions, rather than overwrite it.
    * History comes newest first. With neither symbol nor side the engine's own client gives the rows of every scope;
      the manager passes over those of other scopes.
    * ``strategy_id``, and `delete_strategy_config`, are ours: the engine's client has neither. They are used only
      where a strategy's configuration is deleted or rolled back.
    * Any method may raise whatever it likes.
    """

    @property
    def connected(self) -> bool:
        """Whether it can be asked now."""

    async def connect(self) -> None:
        """Open it."""

    async def disconnect(self) -> None:
        """Close it."""

    async def get_global_config(self) -> TradingConfig | None:
        """What holds everywhere."""

    async def get_symbol_config(self, symbol: str, /) -> TradingConfig | None:
        """What holds for a symbol."""

    async def get_strategy_config(self, strategy_id: str, /) -> TradingConfig | None:
        """What holds for a strategy."""

    async def get_symbol_side_config(self, symbol: str, side: PositionSide, /) -> TradingConfig | None:
        """What holds for one side of a symbol."""

    async def set_global_config(self, config: TradingConfig, /) -> bool:
        """Keep what holds everywhere."""

    async def set_symbol_config(self, config: TradingConfig, /) -> bool:
        """Keep what holds for the record's symbol."""

    async def set_symbol_side_config(self, config: TradingConfig, /) -> bool:
        """Keep what holds for the record's symbol and side."""

    async def upsert_strategy_config(self, config: TradingConfig, /) -> bool:
        """Keep what holds for the record's strategy."""

    async def delete_global_config(self) -> bool:
        """Forget what holds everywhere."""

    async def delete_symbol_config(self, symbol: str, /) -> bool:
        """Forget what holds for a symbol."""

    async def delete_symbol_side_config(self, symbol: str, side: PositionSide, /) -> bool:
        """Forget what holds for one side of a symbol."""

    async def delete_strategy_config(self, strategy_id: str, /) -> bool:
        """Forget what holds for a strategy."""

    async def add_audit_record(self, audit: TradingConfigAudit, /) -> bool:
        """Keep the record of a change."""

    async def get_config_history(
        self, *, symbol: str | None, side: PositionSide | None, limit: int, strategy_id: str = ...
    ) -> Sequence[AuditRow]:
        """The last ``limit`` changes of a scope, newest first."""

    async def get_audit_record_by_version(
        self, *, version: int, config_type: str, symbol: str | None, side: PositionSide | None, strategy_id: str = ...
    ) -> AuditRow | None:
        """The record of the change that made this version of a scope."""

    async def get_audit_record_by_id(self, audit_id: str, /) -> AuditRow | None:
        """The record with this id, of whatever scope."""


async def read(client: ConfigClient, scope: ConfigScope) -> TradingConfig | None:
    """What ``scope`` is set to; None where it is not."""
    if scope.strategy_id is not None:
        return await client.get_strategy_config(scope.strategy_id)
    if scope.symbol is None:
        return await client.get_global_config()
    if scope.side is None:
        return await client.get_symbol_config(scope.symbol)
    return await client.get_symbol_side_config(scope.symbol, scope.side)


async def save(client: ConfigClient, scope: ConfigScope, config: TradingConfig) -> bool:
    """Keep ``config``, which is of ``scope``; whether it was kept."""
    match scope.kind:
        case "strategy":
            return await client.upsert_strategy_config(config)
        case "symbol_side":
            return await client.set_symbol_side_config(config)
        case "symbol":
            return await client.set_symbol_config(config)
        case "global":
            return await client.set_global_config(config)


async def remove(client: ConfigClient, scope: ConfigScope) -> bool:
    """Forget what ``scope`` is set to; whether it was.

    Raises NotImplementedError for a strategy where the client, like the engine's, has no method for it.
    """
    if scope.strategy_id is not None:
        if not hasattr(client, "delete_strategy_config"):
            msg = "the configuration client cannot delete what a strategy is set to"
            raise NotImplementedError(msg)
        return await client.delete_strategy_config(scope.strategy_id)
    if scope.symbol is None:
        return await client.delete_global_config()
    if scope.side is None:
        return await client.delete_symbol_config(scope.symbol)
    return await client.delete_symbol_side_config(scope.symbol, scope.side)
