"""Fixtures of the integration tests: servers that live as long as one test, and a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness import NatsServer, core_client, prepared_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from nats.aio.client import Client

    from petrosa_cio.core.nats.link import Link


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server with JetStream on a port and store of its own."""
    server = NatsServer.start(tmp_path)
    yield server
    server.process.end()


@pytest.fixture
def nats_server_without_jetstream(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server that can record nothing."""
    server = NatsServer.start(tmp_path, jetstream="")
    yield server
    server.process.end()


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A core client of ``nats_server``: producer and engine."""
    async with core_client(nats_server.url) as connected:
        yield connected


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[Link]:
    """A link of ours to ``nats_server``, our streams made."""
    async with prepared_link(nats_server.url) as opened:
        yield opened
