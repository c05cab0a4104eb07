"""The board on Redis: the policy cache that other services read; its keys are described in docs/redis.md.

A version is written by one script, which the server runs whole or not at all, so that nobody ever sees two versions
mixed. What stands is one text, ``policy:current``; every other key is made from it.

This is the only room that imports ``redis``; its exceptions stop here.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from petrosa_cio.apps.nurse import publication
from petrosa_cio.apps.nurse.publication import Rising
from petrosa_cio.apps.nurse.record import encode
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio.client import PubSub

    from petrosa_cio.apps.nurse.ports import PublishedPolicy

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
"""A question to the server takes no longer, connecting included."""
PING_SECONDS = 1.0
"""A subscription that hears nothing this long asks whether the server is there; after as long again it is cut off."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
"""Between two attempts to subscribe anew: short enough to catch up within 2 s of the server's return."""
CONNECTIONS = 64

_PUBLISH = """
local current, version, revision, scopes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, channel = ARGV[1], ARGV[2]
local gone = {}

-- What stands is believed only where it can be read: a damaged text bars nobody. pcall, for a key of a wrong type.
local standing = redis.pcall('GET', current)
if type(standing) == 'string' then
  local readable, found = pcall(cjson.decode, standing)
  if readable and type(found) == 'table' then
    if type(found.version) == 'number' and found.version >= tonumber(ARGV[3]) then return 0 end
    if type(found.content) == 'table' and type(found.content.scopes) == 'table' then
      for scope in pairs(found.content.scopes) do gone[#gone + 1] = prefix .. scope end
    end
  end
end
for _, scope in ipairs(redis.pcall('SMEMBERS', scopes)) do gone[#gone + 1] = prefix .. scope end

-- From here on nothing can fail: every key is deleted before it is written, so none is of a wrong type.
for _, key in ipairs(gone) do redis.call('DEL', key) end
redis.call('DEL', scopes)
local made = {}
for i = 7, #ARGV, 3 do
  local scope = ARGV[i]
  if not made[scope] then
    redis.call('DEL', prefix .. scope)
    redis.call('SADD', scopes, scope)
    made[scope] = true
  end
  redis.call('HSET', prefix .. scope, ARGV[i + 1], ARGV[i + 2])
end
redis.call('SET', version, ARGV[3])
redis.call('SET', revision, ARGV[4])
redis.call('SET', current, ARGV[5])
redis.call('PUBLISH', channel, ARGV[6])
return 1
"""


def key_prefix(book: str) -> str:
    """Beginning of every key of ``book``; the main book's keys are named as the fleet knows them."""
    return "policy:" if book == "main" else f"book:{book}:policy:"


def changes_channel(book: str) -> str:
    """Channel on which each change of the policy of ``book`` is announced."""
    return f"{key_prefix(book)}changes"


class RedisServer:
    """One Redis by its URL (``redis://``, ``rediss://`` for TLS, ``unix://``), asked over a pool of connections.

    Nothing is sent before something is asked. Raises StoreError where ``url`` cannot be used; what is raised, logged
    or shown names the server without user, password and options.
    """

    def __init__(self, url: str, name: str = "petrosa-cio") -> None:
        self.address = _public(url)
        pool = _pool(url, name)
        if pool is None:
            msg = f"{self.address} is no Redis address; write redis://host:port/0, or rediss:// for TLS"
            raise StoreError(msg)
        self._client = Redis.from_pool(pool)

    def __repr__(self) -> str:
        return f"RedisServer({self.address})"

    async def get(self, key: str) -> bytes | None:
        """The text under ``key``; None where there is none. Raises StoreError, also for a key of another kind."""
        async with self.bounded():
            found = await self._client.get(key)
        return found if found is None or isinstance(found, bytes) else str(found).encode()

    async def put(self, key: str, text: bytes) -> None:
        """Put ``text`` under ``key``. Raises StoreError."""
        async with self.bounded():
            await self._client.set(key, text)

    async def run(self, script: str, keys: list[str], arguments: list[str | bytes | int]) -> int:
        """Run ``script`` whole or not at all, and return the number that it returns. Raises StoreError."""
        async with self.bounded():
            return int(await self._client.eval(script, len(keys), *keys, *arguments))

    @asynccontextmanager
    async def subscribed(self, channel: str) -> AsyncIterator[Subscription]:
        """Hear what is published on ``channel`` from now on. Raises StoreError."""
        pubsub = self._client.pubsub(push_handler_func=_passed_on)
        try:
            async with self.bounded():
                await pubsub.subscribe(channel)
                while await pubsub.get_message(timeout=ANSWER_SECONDS) is None:
                    pass
            yield Subscription(self, pubsub)
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Let go of every connection. Idempotent."""
        await self._client.aclose(close_connection_pool=True)

    @asynccontextmanager
    async def bounded(self, seconds: float = ANSWER_SECONDS) -> AsyncIterator[None]:
        """What happens herein with the server takes at most ``seconds``, and fails with StoreError only."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            msg = f"{self.address}: no answer within {seconds:g} s"
            raise StoreError(msg) from error
        except (RedisError, OSError) as error:
            msg = f"{self.address}: {error}"
            raise StoreError(msg) from error


class Subscription:
    """A channel that is listened to."""

    def __init__(self, server: RedisServer, pubsub: PubSub) -> None:
        self._server = server
        self._pubsub = pubsub

    async def published(self) -> None:
        """Return when something was published. Raises StoreError where the connection is gone or silent."""
        silent = False
        while True:
            async with self._server.bounded(PING_SECONDS + ANSWER_SECONDS):
                message = await self._pubsub.get_message(timeout=PING_SECONDS)
                if message is not None and message["type"] == "message":
                    return
                if message is None and not silent:
                    await self._pubsub.ping()
            if message is None and silent:
                msg = f"{self._server.address}: a subscription is silent"
                raise StoreError(msg)
            silent = message is None


class RedisBoard:
    """`PolicyBoard` on a Redis server. ``unreadable`` counts what was found under the key and was no policy.

    What stands survives a restart of the server only where that writes to disk (``appendonly yes``).
    """

    def __init__(self, server: RedisServer, *, log: Callable[[str, dict[str, object]], None] = lambda *_: None) -> None:
        self._server = server
        self._log = log
        self.unreadable = 0

    async def publish(self, policy: PublishedPolicy) -> bool:
        """Put up ``policy``; False where that version or a newer one stands already.

        After a StoreError it may stand or not: putting it up again settles it. Raises StoreError also for a policy
        that cannot be written down. What stands and is no policy is replaced.
        """
        prefix = key_prefix(policy.book)
        try:
            body = publication.encode(policy)
        except ValueError as error:
            msg = f"policy version {policy.version} of book {policy.book} cannot be put up: {error}"
            raise StoreError(msg) from error
        note = encode({"book": policy.book, "version": policy.version, "revision": policy.revision})
        values: list[str | bytes | int] = []
        for scope, parameters in publication.by_scope(policy.content).items():
            for parameter, value in parameters.items():
                values += (scope, parameter, encode(value))
        keys = [prefix + name for name in ("current", "version", "revision", "scopes")]
        first: list[str | bytes | int] = [
            prefix,
            changes_channel(policy.book),
            policy.version,
            policy.revision,
            body,
            note,
        ]
        return await self._server.run(_PUBLISH, keys, [*first, *values]) == 1

    async def current(self, book: str) -> PublishedPolicy | None:
        """What stands now. Raises StoreError also where that is no policy."""
        body = await self._server.get(f"{key_prefix(book)}current")
        if body is None:
            return None
        try:
            return publication.decode(book, body)
        except ValueError as error:
            self.unreadable += 1
            msg = f"{self._server.address}: {key_prefix(book)}current: no policy: {error}"
            raise StoreError(msg) from error

    async def watch(self, book: str, changed: Callable[[PublishedPolicy], None]) -> None:
        """Tell ``changed`` of what stands and of every change, until cancelled.

        It subscribes first and reads then, so that nothing falls between; after any trouble it begins again, for ever.
        Versions that follow one another faster than they are read are told by the last of them.
        """
        rising = Rising(changed)
        pause, told = FIRST_PAUSE_SECONDS, ""
        while True:
            try:
                async with self._server.subscribed(changes_channel(book)) as changes:
                    while True:
                        rising.tell(await self.current(book))
                        pause = FIRST_PAUSE_SECONDS
                        await changes.published()
            except StoreError as trouble:
                if str(trouble) != told:
                    told = str(trouble)
                    self._log("policy watch interrupted", {"book": book, "why": told})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _passed_on(response: object) -> object:
    """What arrives on a subscription, as it is; without this the client writes each to a log of its own."""
    return response


def _pool(url: str, name: str) -> BlockingConnectionPool | None:
    """A pool for ``url``; None where it cannot be used: the reason may quote the part that holds the password."""
    try:
        _check(url)
        pool = BlockingConnectionPool.from_url(
            url,
            client_name=name,
            protocol=3,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            # Whoever asks decides whether to ask again: a client that tries for itself makes waiting unbounded.
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        pool.connection_class(**pool.connection_kwargs)  # an option that no connection has shows here, not later
    except (RedisError, OSError, ValueError, TypeError):
        return None
    return pool


def _check(url: str) -> None:
    """Raise ValueError for what the client would take for another server or database than was meant."""
    parts = urlsplit(url)
    # A password with / or # in it, not written as %2F or %23, ends the address before the host.
    if "@" in parts.path + parts.query + parts.fragment or not (
        parts.path if parts.scheme == "unix" else parts.hostname
    ):
        raise ValueError
    if parts.scheme != "unix" and parts.path.strip("/"):
        int(parts.path.strip("/"))


def _public(url: str) -> str:
    """``url`` without user, password and options."""
    try:
        _check(url)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "what was given"
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    where = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{where}{'' if port is None else f':{port}'}/{parts.path.strip('/') or 0}"
