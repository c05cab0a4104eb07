"""The boards of a deployment, as one: NATS always, Redis where it is configured."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.ports import PublishedPolicy
from petrosa_cio.core.db.redis import RedisBoard, RedisServer
from petrosa_cio.core.nats.board import NatsBoard
from petrosa_cio.errors import BusError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.ports import PolicyBoard
    from petrosa_cio.apps.strategist.ports import Version
    from petrosa_cio.core.nats.link import Link


@dataclass(slots=True)
class Boards:
    """Every board by name. Each is brought up to date by itself: one that is away holds back no other."""

    by_name: dict[str, PolicyBoard]
    _redis: RedisServer | None = None

    async def bring_up_to(self, policy: PublishedPolicy) -> str:
        """Put up ``policy`` wherever an older one stands. Returns what is wrong, in one line; empty where nothing is.

        Each board is asked what stands, so one that was emptied is filled again.
        """
        wrong = [f"{name}: {trouble}" for name in self.by_name if (trouble := await self._bring_up(name, policy))]
        return "; ".join(wrong)

    async def _bring_up(self, name: str, policy: PublishedPolicy) -> str:
        board = self.by_name[name]
        try:
            standing = None
            with contextlib.suppress(BusError, StoreError):  # unreadable or not made yet: publishing settles it
                standing = await board.current(policy.book)
            if standing is None or standing.version < policy.version:
                await board.publish(policy)
                standing = await board.current(policy.book)
        except (BusError, StoreError) as error:
            return str(error)
        if standing is None or standing.version < policy.version:
            return f"version {policy.version} could not be put up"
        if standing.version > policy.version or standing.revision != policy.revision:
            return (
                f"version {standing.version} ({standing.revision[:12]}) stands, which this store does not have as its "
                f"latest (version {policy.version}, {policy.revision[:12]}): another store feeds this book"
            )
        return ""

    async def close(self) -> None:
        """Let go of what is not shared."""
        if self._redis is not None:
            await self._redis.close()


def open_boards(
    link: Link, redis_url: str | None, replicas: int, log: Callable[[str, dict[str, object]], None]
) -> Boards:
    """NATS, and Redis where ``redis_url`` names one."""
    by_name: dict[str, PolicyBoard] = {"NATS": NatsBoard(link, replicas=replicas, log=log)}
    if redis_url is None:
        return Boards(by_name)
    server = RedisServer(redis_url, "petrosa-cio")
    by_name["Redis"] = RedisBoard(server, log=log)
    return Boards(by_name, server)


def publication_of(version: Version) -> PublishedPolicy:
    """A configuration version as it is put up for gates."""
    scopes: dict[str, Json] = {scope: dict(values) for scope, values in version.scopes.items()}
    return PublishedPolicy(version.book, version.number, version.revision, {"scopes": scopes}, version.at)
