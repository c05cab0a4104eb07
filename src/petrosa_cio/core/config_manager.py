"""The execution engine's configuration manager: its interface to the letter, its known defects mended behind it.

A translation and nothing else: what may be set is judged by `petrosa_cio.apps.nurse.defaults`, what is set is kept by
the client. Unlike the engine's (fleet facts §4), this one does not cache what it could not read whole, does not mix the
histories of scopes, goes further back when it rolls back again, never gives two writes of its own the same version, and
rolls back and deletes strategies where the client can.

The engine's callers expect an answer whatever the client raises. That is why three methods here catch everything.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from typing import TYPE_CHECKING, TypedDict

import structlog

from petrosa_cio.apps.nurse.contracts import TradingConfig, TradingConfigAudit
from petrosa_cio.apps.nurse.defaults import get_default_parameters, validate_parameters
from petrosa_cio.core.config_client import WRITE_CAUSE, WriteCause, read, remove, save
from petrosa_cio.core.config_history import (
    UNDO_MARK,
    UNDO_REASON,
    ConfigScope,
    parameters_after,
    parameters_before_the_last_change,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal

    from petrosa_cio.apps.nurse.contracts import PositionSide
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.config_client import ConfigClient, ConfigRepository

logger = structlog.get_logger(component="config_manager")

_WAIT_AFTER_ERROR_S = 10
_HISTORY_DEPTHS = (2, 50, 1000)
"""How many audit rows are asked for, one after the other, until they tell what came before. Two nearly always do."""

_undoing: ContextVar[bool] = ContextVar("undoing", default=False)
"""Set while a rollback to what came before is written: `set_config` has no argument for it, and its audit record must
say so even where the rollback has a reason of its own."""


class _ForStrategy(TypedDict, total=False):
    strategy_id: str


class TradingConfigManager:
    """Resolves, sets, deletes and rolls back the engine's parameters, by scope.

    Scopes, lowest precedence first: defaults, global, symbol, strategy, symbol and side. A scope's parameters are
    replaced whole when they are set. Resolved configurations are cached for ``cache_ttl_seconds``; other processes see
    a change only when theirs expire. ``mysql_repository`` is opened and closed with the manager and never asked.
    """

    def __init__(
        self,
        mongodb_client: ConfigClient | None = None,
        mysql_repository: ConfigRepository | None = None,
        cache_ttl_seconds: int = 60,
    ) -> None:
        self.mongodb_client = mongodb_client
        self.mysql_repository = mysql_repository
        self.cache_ttl_seconds = cache_ttl_seconds
        self._cache: dict[str, tuple[dict[str, Json], float]] = {}
        self._cache_refresh_task: asyncio.Task[None] | None = None
        self._running = False
        self._invalidations = 0
        self._writing = asyncio.Lock()

    async def start(self) -> None:
        """Open client and repository, as far as given, and begin to drop expired entries. Raises what they raise."""
        if self.mongodb_client is not None:
            await self.mongodb_client.connect()
        if self.mysql_repository is not None:
            await self.mysql_repository.connect()
        self._running = True
        if self._cache_refresh_task is None or self._cache_refresh_task.done():
            self._cache_refresh_task = asyncio.create_task(self._cache_refresh_loop())

    async def stop(self) -> None:
        """End what `start` began and close both stores. Also fine without a start."""
        self._running = False
        if self._cache_refresh_task is not None:
            self._cache_refresh_task.cancel()
            await asyncio.gather(self._cache_refresh_task, return_exceptions=True)
        try:
            if self.mongodb_client is not None:
                await self.mongodb_client.disconnect()
        finally:
            if self.mysql_repository is not None:
                await self.mysql_repository.disconnect()

    async def get_config(
        self, symbol: str | None = None, side: PositionSide | None = None, strategy_id: str | None = None
    ) -> dict[str, Json]:
        """Return the parameters that hold for these, the caller's to change.

        Never raises. Where the client cannot be read, the answer is what was read until then over the defaults; it is
        logged and not cached, so that the next call asks again.
        """
        key = self._get_cache_key(symbol, side, strategy_id)
        cached = self._cache.get(key)
        if cached is not None and time.time() - cached[1] < self.cache_ttl_seconds:
            return deepcopy(cached[0])
        invalidations = self._invalidations
        resolved = get_default_parameters()
        try:
            whole = await self._lay_over(resolved, symbol, side, strategy_id)
        except Exception as error:  # noqa: BLE001  the engine trades on whatever can be resolved
            logger.warning("config_not_read", scope=key, error=str(error))
            whole = False
        # A write that came in between has invalidated what this call was about to cache.
        if whole and invalidations == self._invalidations:
            self._cache[key] = (resolved, time.time())
        return deepcopy(resolved)

    async def set_config(
        self,
        parameters: dict[str, Json],
        changed_by: str,
        symbol: str | None = None,
        side: PositionSide | None = None,
        strategy_id: str | None = None,
        reason: str | None = None,
        validate_only: bool = False,
    ) -> tuple[bool, TradingConfig | None, list[str]]:
        """Replace the parameters of a scope. Return whether it is done, the new record, and what was wrong.

        With ``validate_only`` nothing is written and the record is None. Never raises: what the client raises is told.
        """
        try:
            valid, faults = validate_parameters(parameters)
            if not valid or validate_only:
                return valid, None, faults
            scope = ConfigScope.of(symbol, side, strategy_id)
            async with self._writing:
                return await self._set(scope, parameters, changed_by, reason)
        except Exception as error:  # noqa: BLE001  the engine's callers read the error, they do not catch it
            return False, None, [_told("config_not_set", error)]

    async def rollback_config(
        self,
        changed_by: str,
        symbol: str | None = None,
        side: PositionSide | None = None,
        target_version: int | None = None,
        rollback_id: str | None = None,
        reason: str | None = None,
        strategy_id: str | None = None,
    ) -> tuple[bool, TradingConfig | None, list[str]]:
        """Set a scope to what it was: after the change ``rollback_id``, at ``target_version``, or before the last one.

        The result is a new version with an audit record of its own; otherwise as `set_config`, which judges the old
        parameters by today's bounds.
        """
        if target_version is not None and target_version < 1 and not rollback_id:
            return False, None, ["Invalid version number (must be >= 1)"]
        scope = ConfigScope.of(symbol, side, strategy_id)
        strategy = _for_strategy(strategy_id)
        try:
            if rollback_id:
                found = await self.get_config_by_id(rollback_id, symbol, side, **strategy)
                missing = f"Audit record {rollback_id} not found for scope {scope}"
                purpose = f"Rollback to ID {rollback_id}"
            elif target_version is not None:
                found = await self.get_config_by_version(target_version, symbol, side, **strategy)
                missing = f"Version {target_version} not found for scope {scope}"
                purpose = f"Rollback to version {target_version}"
            else:
                found = await self.get_previous_config(symbol, side, **strategy)
                missing = f"No previous configuration found for {scope}"
                purpose = UNDO_REASON
            if found is None:
                return False, None, [missing]
            with _marked(undo=purpose == UNDO_REASON):
                return await self.set_config(
                    parameters=found,
                    changed_by=changed_by,
                    symbol=symbol,
                    side=side,
                    reason=reason or purpose,
                    **strategy,
                )
        except Exception as error:  # noqa: BLE001  as for `set_config`
            return False, None, [_told("config_not_rolled_back", error)]

    async def delete_config(
        self,
        changed_by: str,
        symbol: str | None = None,
        side: PositionSide | None = None,
        reason: str | None = None,
        strategy_id: str | None = None,
    ) -> tuple[bool, list[str]]:
        """Remove what a scope sets. Return whether it is done, and what was wrong. Never raises."""
        scope = ConfigScope.of(symbol, side, strategy_id)
        try:
            async with self._writing:
                return await self._delete(scope, changed_by, reason)
        except Exception as error:  # noqa: BLE001  as for `set_config`
            return False, [_told("config_not_deleted", error)]

    async def get_previous_config(
        self, symbol: str | None = None, side: PositionSide | None = None, strategy_id: str | None = None
    ) -> dict[str, Json] | None:
        """Return what a scope was set to before its last change, rollbacks not counted; None where unknown.

        Raises what the client raises.
        """
        client = self._connected()
        if client is None:
            return None
        scope = ConfigScope.of(symbol, side, strategy_id)
        found = None
        for depth in _HISTORY_DEPTHS:
            rows = await client.get_config_history(
                symbol=scope.symbol, side=scope.side, limit=depth, **_for_strategy(strategy_id)
            )
            found, certain = parameters_before_the_last_change([row for row in rows or () if scope.holds(row)])
            if certain or not rows or len(rows) < depth:
                break
        return found

    async def get_config_by_version(
        self,
        version: int,
        symbol: str | None = None,
        side: PositionSide | None = None,
        strategy_id: str | None = None,
    ) -> dict[str, Json] | None:
        """Return what a scope was set to at ``version``; None where unknown. Raises what the client raises."""
        client = self._connected()
        if client is None or version < 1:
            return None
        scope = ConfigScope.of(symbol, side, strategy_id)
        row = await client.get_audit_record_by_version(
            version=version, config_type=scope.kind, symbol=scope.symbol, side=scope.side, **_for_strategy(strategy_id)
        )
        return parameters_after(row) if row is not None and scope.holds(row) else None

    async def get_config_by_id(
        self,
        audit_id: str,
        symbol: str | None = None,
        side: PositionSide | None = None,
        strategy_id: str | None = None,
    ) -> dict[str, Json] | None:
        """Return what the change ``audit_id`` set its scope to; None where unknown, or where it is of another scope.

        Raises what the client raises.
        """
        client = self._connected()
        row = None if client is None else await client.get_audit_record_by_id(audit_id)
        if row is None:
            return None
        scope = ConfigScope.of(symbol, side, strategy_id)
        asked = (scope.symbol, scope.side, scope.strategy_id)
        same = (row.get("symbol"), row.get("side"), row.get("strategy_id")) == asked and scope.holds(row)
        return parameters_after(row) if same else None

    def invalidate_cache(
        self, symbol: str | None = None, side: PositionSide | None = None, strategy_id: str | None = None
    ) -> None:
        """Drop the cached configurations that these name; None stands for any."""
        self._invalidations += 1
        wanted = (symbol, side, strategy_id)
        for key in list(self._cache):
            parts = key.split(":", 2)  # a strategy's id may hold colons
            parts += [""] * (3 - len(parts))
            if all(want is None or want == part for want, part in zip(wanted, parts, strict=True)):
                del self._cache[key]

    def _get_cache_key(self, symbol: str | None, side: PositionSide | None, strategy_id: str | None = None) -> str:
        return f"{symbol or 'global'}:{side or 'all'}:{strategy_id or 'all_strategies'}"

    async def _cache_refresh_loop(self) -> None:
        while self._running:
            try:
                await asyncio.sleep(self.cache_ttl_seconds)
                self._drop_expired()
            except asyncio.CancelledError:
                break
            except Exception as error:  # noqa: BLE001  a sweep that fails must not be the last one
                logger.warning("cache_not_swept", error=str(error))
                await asyncio.sleep(_WAIT_AFTER_ERROR_S)

    def _drop_expired(self) -> None:
        now = time.time()
        for key in [key for key, (_, at) in self._cache.items() if now - at >= self.cache_ttl_seconds]:
            del self._cache[key]

    def _connected(self) -> ConfigClient | None:
        client = self.mongodb_client
        return client if client is not None and client.connected else None

    async def _lay_over(
        self, resolved: dict[str, Json], symbol: str | None, side: PositionSide | None, strategy_id: str | None
    ) -> bool:
        """Lay what scopes set over ``resolved``, in place. Return whether all of it could be asked for."""
        client = self._connected()
        if client is None:
            if self.mongodb_client is not None:
                logger.warning("config_client_not_connected")
            return self.mongodb_client is None
        _lay(resolved, await client.get_global_config())
        if symbol:
            _lay(resolved, await client.get_symbol_config(symbol))
        if strategy_id:
            _lay(resolved, await client.get_strategy_config(strategy_id))
        if symbol and side:
            _lay(resolved, await client.get_symbol_side_config(symbol, side))
        return True

    async def _set(
        self, scope: ConfigScope, parameters: dict[str, Json], changed_by: str, reason: str | None
    ) -> tuple[bool, TradingConfig | None, list[str]]:
        config = TradingConfig(
            strategy_id=scope.strategy_id, symbol=scope.symbol, side=scope.side, parameters=parameters,
            created_by=changed_by,
        )  # fmt: skip
        client = self._connected()
        if client is None:
            return False, None, ["Failed to save configuration"]
        existing = await read(client, scope)
        if existing is not None:
            config.version = existing.version + 1
            config.created_at = existing.created_at
        audit = _audit(scope, "create" if existing is None else "update", existing, config, changed_by, reason)
        with _caused(changed_by, reason):
            saved = await save(client, scope, config)
        if not saved:
            return False, None, ["Failed to save configuration"]
        self._forget(scope)
        await self._record(client, audit)
        return True, config, []

    async def _delete(self, scope: ConfigScope, changed_by: str, reason: str | None) -> tuple[bool, list[str]]:
        client = self._connected()
        if client is None:
            return False, ["Failed to delete configuration"]
        existing = await read(client, scope)
        audit = None if existing is None else _audit(scope, "delete", existing, None, changed_by, reason)
        with _caused(changed_by, reason):
            removed = await remove(client, scope)
        if not removed:
            return False, ["Failed to delete configuration"]
        self._forget(scope)
        if audit is not None:
            await self._record(client, audit)
        return True, []

    async def _record(self, client: ConfigClient, audit: TradingConfigAudit) -> None:
        if not await client.add_audit_record(audit):
            logger.warning("audit_record_not_kept", change=audit.get_change_summary())

    def _forget(self, scope: ConfigScope) -> None:
        side = scope.side if scope.symbol else None  # a global record holds everywhere, whatever side it carries
        self.invalidate_cache(scope.symbol, side, scope.strategy_id)


@contextmanager
def _marked(*, undo: bool) -> Iterator[None]:
    token = _undoing.set(undo)
    try:
        yield
    finally:
        _undoing.reset(token)


@contextmanager
def _caused(changed_by: str, reason: str | None) -> Iterator[None]:
    token = WRITE_CAUSE.set(WriteCause(changed_by, reason, _undoing.get()))
    try:
        yield
    finally:
        WRITE_CAUSE.reset(token)


def _told(event: str, error: Exception) -> str:
    text = str(error) or repr(error)
    logger.warning(event, error=text)
    return text


def _for_strategy(strategy_id: str | None) -> _ForStrategy:
    # The engine's clients do not know the argument, so it is left out where it is not needed.
    return {"strategy_id": strategy_id} if strategy_id else {}


def _lay(resolved: dict[str, Json], config: TradingConfig | None) -> None:
    if config is not None:
        resolved.update(deepcopy(config.parameters))


def _audit(
    scope: ConfigScope,
    action: Literal["create", "update", "delete"],
    before: TradingConfig | None,
    after: TradingConfig | None,
    changed_by: str,
    reason: str | None,
) -> TradingConfigAudit:
    metadata: Mapping[str, Json] = {UNDO_MARK: "previous"} if _undoing.get() else {}
    return TradingConfigAudit(
        config_type=scope.kind,
        symbol=scope.symbol,
        side=scope.side,
        strategy_id=scope.strategy_id,
        action=action,
        parameters_before=None if before is None else before.parameters,
        parameters_after=None if after is None else after.parameters,
        version_before=None if before is None else before.version,
        version_after=None if after is None else after.version,
        changed_by=changed_by,
        reason=reason,
        metadata=dict(metadata),
    )
