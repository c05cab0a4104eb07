"""The engine's client interface over the governance core: what its manager sets is a version like any other.

The engine knows its own parameters only. A record shows those of them that a scope sets, and replacing a record
replaces those; what the scope sets besides, limits of ours and modes of controls, stays. Calls carry no thought trace,
so they are recorded with the origin ``legacy`` and wait for nobody; a deployment that wants none of that switches them
off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.contracts import TradingConfig
from petrosa_cio.apps.nurse.defaults import PARAMETER_SCHEMA
from petrosa_cio.apps.nurse.models import iso, moment_of
from petrosa_cio.apps.nurse.policy import GLOBAL, strategy_scope, symbol_scope
from petrosa_cio.apps.strategist.cause import LEGACY
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.apps.strategist.ports import WHOLE, Proposal
from petrosa_cio.apps.strategist.versions import expected_of
from petrosa_cio.core.config_client import WRITE_CAUSE
from petrosa_cio.core.config_history import UNDO_MARK, ConfigScope
from petrosa_cio.errors import PatchRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from petrosa_cio.apps.nurse.contracts import PositionSide, TradingConfigAudit
    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.strategist.governance import Governor
    from petrosa_cio.apps.strategist.ports import Version
    from petrosa_cio.core.config_history import AuditRow

UNDO_TRACE = "Takes back the last change of the scope (engine's interface)."
"""Stands as the thought trace of a rollback to what came before: the one thing that its history must know."""

_DEEP = 1_000
"""Versions that are looked through for one of a scope."""


class GovernedConfigs:
    """`ConfigClient` on a Governor. ``put_up`` is told of each version, to put it up for gates; it must not raise."""

    connected = True

    def __init__(
        self,
        governor: Governor,
        now: Callable[[], Instant],
        put_up: Callable[[Version], Awaitable[None]],
        *,
        writable: bool = True,
    ) -> None:
        self._governor = governor
        self._now = now
        self._put_up = put_up
        self._writable = writable

    async def connect(self) -> None:
        """Nothing to open: the store is open as long as its owner keeps it so."""

    async def disconnect(self) -> None:
        """Nothing to close."""

    async def get_global_config(self) -> TradingConfig | None:
        """What holds everywhere, of the engine's parameters."""
        return await self._read(ConfigScope("global"))

    async def get_symbol_config(self, symbol: str, /) -> TradingConfig | None:
        """What holds for a symbol."""
        return await self._read(ConfigScope("symbol", symbol))

    async def get_strategy_config(self, strategy_id: str, /) -> TradingConfig | None:
        """What holds for a strategy."""
        return await self._read(ConfigScope("strategy", strategy_id=strategy_id))

    async def get_symbol_side_config(self, symbol: str, side: PositionSide, /) -> TradingConfig | None:
        """What holds for one side of a symbol."""
        return await self._read(ConfigScope("symbol_side", symbol, side))

    async def set_global_config(self, config: TradingConfig, /) -> bool:
        """Replace what holds everywhere. Raises PatchRefused naming every fault."""
        return await self._replace(ConfigScope("global"), config)

    async def set_symbol_config(self, config: TradingConfig, /) -> bool:
        """Replace what holds for the record's symbol."""
        return await self._replace(ConfigScope("symbol", config.symbol), config)

    async def set_symbol_side_config(self, config: TradingConfig, /) -> bool:
        """Replace what holds for the record's symbol and side."""
        return await self._replace(ConfigScope("symbol_side", config.symbol, config.side), config)

    async def upsert_strategy_config(self, config: TradingConfig, /) -> bool:
        """Replace what holds for the record's strategy."""
        return await self._replace(ConfigScope("strategy", strategy_id=config.strategy_id), config)

    async def delete_global_config(self) -> bool:
        """Forget what holds everywhere; False where nothing does."""
        return await self._delete(ConfigScope("global"))

    async def delete_symbol_config(self, symbol: str, /) -> bool:
        """Forget what holds for a symbol."""
        return await self._delete(ConfigScope("symbol", symbol))

    async def delete_symbol_side_config(self, symbol: str, side: PositionSide, /) -> bool:
        """Forget what holds for one side of a symbol."""
        return await self._delete(ConfigScope("symbol_side", symbol, side))

    async def delete_strategy_config(self, strategy_id: str, /) -> bool:
        """Forget what holds for a strategy."""
        return await self._delete(ConfigScope("strategy", strategy_id=strategy_id))

    async def add_audit_record(self, audit: TradingConfigAudit, /) -> bool:
        """The version that was kept is its own audit record: nothing is left to do."""
        del audit
        return True

    async def get_config_history(
        self, *, symbol: str | None, side: PositionSide | None, limit: int, strategy_id: str | None = None
    ) -> Sequence[AuditRow]:
        """The last ``limit`` changes of a scope that touched the engine's parameters, newest first."""
        return (await self._rows(ConfigScope.of(symbol, side, strategy_id)))[:limit]

    async def get_audit_record_by_version(
        self,
        *,
        version: int,
        config_type: str,
        symbol: str | None,
        side: PositionSide | None,
        strategy_id: str | None = None,
    ) -> AuditRow | None:
        """The change that made this version of a scope."""
        del config_type  # it says again what the others say
        rows = await self._rows(ConfigScope.of(symbol, side, strategy_id))
        return next((row for row in rows if row["version_after"] == version), None)

    async def get_audit_record_by_id(self, audit_id: str, /) -> AuditRow | None:
        """The change with this id, as the rows of the history carry it."""
        number, _, name = audit_id.partition("@")
        scope = _scope_named(name)
        if not number.isdigit() or scope is None:
            return None
        return next((row for row in await self._rows(scope) if row["id"] == audit_id), None)

    async def _read(self, scope: ConfigScope) -> TradingConfig | None:
        version = await self._governor.configuration()
        values = _engines(version.scopes.get(_name(scope)))
        if not values:
            return None
        changed = await self._governor.history(_name(scope), 1)
        at = moment_of(changed[0].at if changed else version.at)
        return TradingConfig(
            strategy_id=scope.strategy_id,
            symbol=scope.symbol,
            side=scope.side,
            parameters=values,
            version=version.scope_versions.get(_name(scope), 0),
            created_at=at,
            updated_at=at,
            created_by=changed[0].author if changed else version.author,
        )

    async def _replace(self, scope: ConfigScope, config: TradingConfig) -> bool:
        head = await self._governor.configuration()
        current = _engines(head.scopes.get(_name(scope)))
        # A record that is not there is created as version 1, whatever the scope has been through.
        expected = config.version - 1 if current else expected_of(head, _name(scope))
        if current == config.parameters:
            config.version = expected_of(head, _name(scope))
            return True
        gone = tuple(name for name in current if name not in config.parameters)
        config.version = await self._patch(scope, config.parameters, gone, expected, config.created_by)
        return True

    async def _delete(self, scope: ConfigScope) -> bool:
        head = await self._governor.configuration()
        current = _engines(head.scopes.get(_name(scope)))
        if not current:
            return False
        await self._patch(scope, {}, tuple(current), expected_of(head, _name(scope)), WRITE_CAUSE.get().changed_by)
        return True

    async def _patch(
        self, scope: ConfigScope, changes: Mapping[str, Json], remove: tuple[str, ...], expected: int, author: str
    ) -> int:
        if not self._writable:
            raise PatchRefused(("changes through the engine's interface are switched off (CIO_LEGACY_CONFIG)",))
        cause = WRITE_CAUSE.get()
        trace = UNDO_TRACE if cause.undo else ""
        patch = Patch(_name(scope), changes, remove, author, trace, cause.reason or "", expected, LEGACY)
        made = await self._governor.propose(patch, self._now())
        if isinstance(made, Proposal):  # the core lets this origin wait for nobody
            raise PatchRefused((f"waits for a second person as proposal {made.id}",))
        await self._put_up(made)
        return made.scope_versions[_name(scope)]

    async def _rows(self, scope: ConfigScope) -> list[AuditRow]:
        rows: list[AuditRow] = []
        for version in await self._governor.history(_name(scope), _DEEP):
            before = _engines(_part(version.before, version.scope, _name(scope)))
            after = _engines(_part(version.after, version.scope, _name(scope)))
            if before != after:
                rows.append(_row(scope, version, before, after))
        return rows


def _name(scope: ConfigScope) -> str:
    if scope.strategy_id is not None:
        return strategy_scope(scope.strategy_id)
    if scope.symbol is None:
        return GLOBAL
    base = symbol_scope(scope.symbol)
    return base if scope.side is None else f"{base}:{scope.side}"


def _scope_named(name: str) -> ConfigScope | None:
    kind, _, rest = name.partition(":")
    match kind:
        case "global":
            return ConfigScope("global")
        case "strategy":
            return ConfigScope("strategy", strategy_id=rest)
        case "symbol":
            symbol, _, side = rest.partition(":")
            match side:
                case "LONG" | "SHORT":
                    return ConfigScope("symbol_side", symbol, side)
                case _:
                    return ConfigScope("symbol", symbol)
        case _:
            return None


def _engines(values: Mapping[str, Json] | None) -> dict[str, Json]:
    """Those of ``values`` that the engine knows."""
    return {name: value for name, value in (values or {}).items() if name in PARAMETER_SCHEMA}


def _part(side: Mapping[str, Json] | None, changed: str, name: str) -> Mapping[str, Json] | None:
    """What a side of a version says of the scope ``name``."""
    if side is None or changed != WHOLE:
        return side
    values = side.get(name)
    return values if isinstance(values, dict) else None


def _row(scope: ConfigScope, version: Version, before: dict[str, Json], after: dict[str, Json]) -> AuditRow:
    number = version.scope_versions.get(_name(scope), 0)
    undo = version.origin == LEGACY and version.thought_trace == UNDO_TRACE
    return {
        "id": f"{version.number}@{_name(scope)}",
        "config_type": scope.kind,
        "symbol": scope.symbol,
        "side": scope.side,
        "strategy_id": scope.strategy_id,
        "action": "delete" if not after else "update" if before else "create",
        "parameters_before": before or None,
        "parameters_after": after or None,
        "version_before": number - 1 or None,
        "version_after": number,
        "changed_by": version.author,
        "reason": version.reason or None,
        "timestamp": iso(version.at),
        "metadata": {UNDO_MARK: "previous"} if undo else {},
    }
