"""Which implementations the suites of ports run on. A new one joins its port's table and passes the same tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petrosa_cio.core.db.configs_inmemory import InMemoryConfigs
from petrosa_cio.core.db.configs_sqlite import SqliteConfigs
from petrosa_cio.core.db.mongo.configs import MongoConfigs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from mongo_server import MongoServer
    from petrosa_cio.apps.strategist.ports import ConfigStore

    OpenConfigs = Callable[[], Awaitable[ConfigStore]]
    """Opens the one configuration store of a test; called again, opens the same store once more."""


def in_memory(request: pytest.FixtureRequest) -> OpenConfigs:
    store = InMemoryConfigs()

    async def opened() -> ConfigStore:
        return store

    return opened


def in_sqlite(request: pytest.FixtureRequest) -> OpenConfigs:
    directory: Path = request.getfixturevalue("tmp_path")

    async def opened() -> ConfigStore:
        return SqliteConfigs(directory / "configs.db")

    return opened


def in_mongodb(request: pytest.FixtureRequest) -> OpenConfigs:
    server: MongoServer = request.getfixturevalue("mongo")
    address = server.fresh()

    async def opened() -> ConfigStore:
        return await MongoConfigs.open(address)

    return opened


CONFIG_STORES: dict[str, Callable[[pytest.FixtureRequest], OpenConfigs]] = {
    "memory": in_memory,
    "sqlite": in_sqlite,
    "mongodb": in_mongodb,
}
"""A server behind a store is a fixture of its own, asked for with ``request.getfixturevalue``."""


@pytest.fixture(params=CONFIG_STORES)
def config_backend(request: pytest.FixtureRequest) -> OpenConfigs:
    return CONFIG_STORES[request.param](request)


@pytest.fixture
async def open_configs(config_backend: OpenConfigs) -> AsyncIterator[OpenConfigs]:
    """Opens the test's store, as often as a test likes, and closes what it opened."""
    opened: list[ConfigStore] = []

    async def remember() -> ConfigStore:
        opened.append(await config_backend())
        return opened[-1]

    yield remember
    for store in opened:
        await store.close()


@pytest.fixture
async def configs(open_configs: OpenConfigs) -> ConfigStore:
    return await open_configs()
