"""The engine's configuration manager, attached to the configuration that governs: for the engine's own process."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.bootstrap.configuring import production_place, put_up
from petrosa_cio.bootstrap.stores import open_config_store
from petrosa_cio.core import clock, logs
from petrosa_cio.core.config_governed import GovernedConfigs
from petrosa_cio.core.config_manager import TradingConfigManager
from petrosa_cio.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from petrosa_cio.apps.strategist.ports import Version
    from petrosa_cio.bootstrap.configuring import ConfigPlace


@contextlib.asynccontextmanager
async def trading_config_manager(
    place: ConfigPlace | None = None, *, writable: bool = True, cache_ttl_seconds: int = 60
) -> AsyncIterator[TradingConfigManager]:
    """A started `TradingConfigManager` over the governance core; without ``place`` by the production settings.

    What it sets is a version with the origin ``legacy``, and is put up for the gates before the call returns.
    """
    if place is None:
        settings = read_settings()
        place, writable = production_place(settings), writable and settings.legacy_config
    told = place
    log = logs.events("legacy")

    async def announce(version: Version) -> None:
        log("configuration changed", {"version": version.number, "boards": await put_up(told, version)})

    store = await open_config_store(place.store)
    client = GovernedConfigs(Governor(store, place.book), clock.now_ns, announce, writable=writable)
    manager = TradingConfigManager(mongodb_client=client, cache_ttl_seconds=cache_ttl_seconds)
    try:
        await manager.start()
        yield manager
    finally:
        await manager.stop()
        await store.close()
