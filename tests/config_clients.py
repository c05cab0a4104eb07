"""Clients of the configuration manager for tests: one keeps things in memory, one has only what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, MagicMock

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json, TradingConfig, TradingConfigAudit

CONNECTION = {"connect", "disconnect"}


def offering(*, connected: bool = True, **answers: object) -> MagicMock:
    """A client that is connected, answers these methods, and has no other: asking for one raises AttributeError.

    An answer that is an exception is raised; a list is given one element for each call.
    """
    client = MagicMock(spec_set=["connected", *CONNECTION, *answers])
    client.connected = connected
    for name, answer in answers.items():
        raised = isinstance(answer, Exception)
        setattr(client, name, AsyncMock(side_effect=answer) if raised else AsyncMock(return_value=answer))
    for name in CONNECTION:
        setattr(client, name, AsyncMock(return_value=None))
    return client


class MemoryClient:
    """Keeps configurations and their history as the engine's store does, its answers for no filter included.

    ``engine_history``: without symbol and side the history is that of every scope, mixed; else that of the scope alone.
    """

    def __init__(self, *, engine_history: bool = True) -> None:
        self.connected = True
        self.engine_history = engine_history
        self.kept: dict[tuple[str | None, str | None, str | None], TradingConfig] = {}
        self.rows: list[dict[str, Json]] = []
        self.asked: list[int] = []
        """How many rows of history were asked for, each time."""

    async def connect(self) -> None:
        self.connected = True

    async def disconnect(self) -> None:
        self.connected = False

    async def get_global_config(self) -> TradingConfig | None:
        return self._copy((None, None, None))

    async def get_symbol_config(self, symbol: str) -> TradingConfig | None:
        return self._copy((symbol, None, None))

    async def get_strategy_config(self, strategy_id: str) -> TradingConfig | None:
        return self._copy((None, None, strategy_id))

    async def get_symbol_side_config(self, symbol: str, side: str) -> TradingConfig | None:
        return self._copy((symbol, side, None))

    async def set_global_config(self, config: TradingConfig) -> bool:
        return self._keep((None, None, None), config)

    async def set_symbol_config(self, config: TradingConfig) -> bool:
        return self._keep((config.symbol, None, None), config)

    async def set_symbol_side_config(self, config: TradingConfig) -> bool:
        return self._keep((config.symbol, config.side, None), config)

    async def upsert_strategy_config(self, config: TradingConfig) -> bool:
        return self._keep((None, None, config.strategy_id), config)

    async def delete_global_config(self) -> bool:
        return self.kept.pop((None, None, None), None) is not None

    async def delete_symbol_config(self, symbol: str) -> bool:
        return self.kept.pop((symbol, None, None), None) is not None

    async def delete_symbol_side_config(self, symbol: str, side: str) -> bool:
        return self.kept.pop((symbol, side, None), None) is not None

    async def delete_strategy_config(self, strategy_id: str) -> bool:
        return self.kept.pop((None, None, strategy_id), None) is not None

    async def add_audit_record(self, audit: TradingConfigAudit) -> bool:
        self.rows.insert(0, audit.model_dump(mode="json") | {"id": f"audit-{len(self.rows) + 1}"})
        return True

    async def get_config_history(
        self, *, symbol: str | None, side: str | None, limit: int, strategy_id: str | None = None
    ) -> list[dict[str, Json]]:
        self.asked.append(limit)
        everything = self.engine_history and (symbol, side, strategy_id) == (None, None, None)
        rows = self.rows if everything else self._of(symbol, side, strategy_id)
        return rows[:limit]

    async def get_audit_record_by_version(
        self, *, version: int, config_type: str, symbol: str | None, side: str | None, strategy_id: str | None = None
    ) -> dict[str, Json] | None:
        rows = self._of(symbol, side, strategy_id)
        return next((row for row in rows if (row["config_type"], row["version_after"]) == (config_type, version)), None)

    async def get_audit_record_by_id(self, audit_id: str) -> dict[str, Json] | None:
        return next((row for row in self.rows if row["id"] == audit_id), None)

    def _of(self, symbol: str | None, side: str | None, strategy_id: str | None) -> list[dict[str, Json]]:
        return [r for r in self.rows if (r["symbol"], r["side"], r["strategy_id"]) == (symbol, side, strategy_id)]

    def _copy(self, key: tuple[str | None, str | None, str | None]) -> TradingConfig | None:
        found = self.kept.get(key)
        return None if found is None else found.model_copy(deep=True)

    def _keep(self, key: tuple[str | None, str | None, str | None], config: TradingConfig) -> bool:
        self.kept[key] = config.model_copy(deep=True)
        return True
