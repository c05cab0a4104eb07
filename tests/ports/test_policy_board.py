"""What every `PolicyBoard` promises, whatever it is built on. A new board joins by one more entry of ``PLACES``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import nats
import pytest

from integration.harness import NatsServer, eventually, until
from petrosa_cio.apps.nurse.ports import PolicyBoard, PublishedPolicy
from petrosa_cio.core.db.redis import RedisBoard, RedisServer
from petrosa_cio.core.nats.board import NatsBoard
from petrosa_cio.core.nats.link import Link
from petrosa_cio.errors import BusError, CioError, StoreError
from redis_server import RedisOfOurs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.harness import Process
    from petrosa_cio.apps.nurse.models import Json

AT = 1_795_512_600_000_000_000
"""2026-11-24T09:30:00Z."""
BOUND = 12.0
"""Seconds in which a server that is down or does not answer must have been given up, on a busy machine."""


def policy(version: int, book: str = "main", **values: Json) -> PublishedPolicy:
    """A version whose every value is its own number, so that a mixture of two would show."""
    scopes: Json = {
        "global": {"max_daily_trades": version, **values},
        "symbol:BTCUSDT": {"max_daily_trades": version},
    }
    return PublishedPolicy(book, version, f"{version:064x}", {"scopes": scopes}, AT + version * 1_000_000)


EVERY_TYPE: dict[str, Json] = {
    "scopes": {
        "global": {
            "nothing": None,
            "yes": True,
            "no": False,
            "whole": -(2**53),
            "beyond 64 bits": 2**70 + 1,
            "fraction": 0.1,
            "tiny": 5e-324,
            "large": 1.7976931348623157e308,
            "text": 'quotes " and \\ and \u0000 and \u2028 and \U0001f7e2',
            "empty text": "",
            "list": ["a", 1, None, [True, {"deep": []}]],
            "map": {"b": 0.5, "a": {"": {}}},
        },
        "strategy:Spread Liquidity Monitor": {"enabled": False},
        "symbol:BTCUSDT:SHORT": {},
    },
    "modes": {"SIGNAL_CONFLICT": "observe"},
    "required_facts": [],
}


class Place(Protocol):
    """A server with boards on it."""

    trouble: type[CioError]
    log: list[tuple[str, dict[str, object]]]

    @property
    def process(self) -> Process: ...

    async def board(self) -> PolicyBoard:
        """A board with a connection of its own."""

    async def answers(self) -> None:
        """Wait until the server takes questions."""

    async def damage(self, text: bytes) -> None:
        """Put ``text`` where the policy of the main book stands, as an operator with a tool might."""

    def unreadable(self, board: PolicyBoard) -> int: ...

    async def close(self) -> None: ...


@dataclass
class NatsPlace:
    server: NatsServer
    trouble: type[CioError] = BusError
    log: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    opened: list[Link] = field(default_factory=list)

    @classmethod
    def start(cls, directory: Path) -> NatsPlace:
        return cls(NatsServer.start(directory))

    @property
    def process(self) -> Process:
        return self.server.process

    async def board(self) -> NatsBoard:
        self.opened.append(await Link.open(self.server.url, "test"))
        return NatsBoard(self.opened[-1], log=lambda event, facts: self.log.append((event, facts)))

    async def answers(self) -> None:
        client = await nats.connect(self.server.url, reconnect_time_wait=0.05, error_cb=_ignore)
        await client.close()

    async def damage(self, text: bytes) -> None:
        client = await nats.connect(self.server.url)
        await client.jetstream().publish("$KV.cio-policy.main", text)
        await client.close()

    def unreadable(self, board: PolicyBoard) -> int:
        assert isinstance(board, NatsBoard)
        return board.unreadable

    async def close(self) -> None:
        for link in self.opened:
            await link.close()
        self.process.end()


async def _ignore(_: Exception) -> None:
    """The server is on its way."""


@dataclass
class RedisPlace:
    server: RedisOfOurs
    trouble: type[CioError] = StoreError
    log: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    opened: list[RedisServer] = field(default_factory=list)

    @classmethod
    def start(cls, directory: Path) -> RedisPlace:
        return cls(RedisOfOurs.start(directory))

    @property
    def process(self) -> Process:
        return self.server.process

    async def board(self) -> RedisBoard:
        self.opened.append(RedisServer(self.server.url))
        return RedisBoard(self.opened[-1], log=lambda event, facts: self.log.append((event, facts)))

    async def answers(self) -> None:
        await self.server.answers()

    async def damage(self, text: bytes) -> None:
        async with self.server.client() as client:
            await client.set("policy:current", text)
            await client.publish("policy:changes", "look")

    def unreadable(self, board: PolicyBoard) -> int:
        assert isinstance(board, RedisBoard)
        return board.unreadable

    async def close(self) -> None:
        for server in self.opened:
            await server.close()
        self.process.end()


PLACES = {"nats": NatsPlace, "redis": RedisPlace}


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    started = PLACES[request.param].start(tmp_path)
    try:
        await started.answers()
        yield started
    finally:
        await started.close()


@pytest.fixture
async def board(place: Place) -> PolicyBoard:
    return await place.board()


@contextlib.asynccontextmanager
async def watching(board: PolicyBoard, book: str = "main") -> AsyncIterator[list[PublishedPolicy]]:
    """What a watch tells while the context lasts. A watch that ends by itself fails the test."""
    told: list[PublishedPolicy] = []
    task = asyncio.create_task(board.watch(book, told.append))
    try:
        yield told
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def versions(told: list[PublishedPolicy]) -> list[int]:
    return [one.version for one in told]


# -- publish and current -----------------------------------------------------------------------------------------------


async def test_nothing_stands_where_nothing_was_published(board: PolicyBoard) -> None:
    """`current` of a book that nothing was ever published for is None."""
    assert await board.current("main") is None


async def test_what_is_put_up_comes_back_as_it_was(place: Place, board: PolicyBoard) -> None:
    """Every JSON type survives, on the writer's connection and on another, equal in type as well as in value."""
    published = PublishedPolicy("main", 2**53 - 1, "f" * 64, EVERY_TYPE, AT + 123_000)
    assert await board.publish(published)
    for reader in (board, await place.board()):
        found = await reader.current("main")
        assert found == published
        assert found is not None
        assert repr(sorted_json(found.content)) == repr(sorted_json(EVERY_TYPE))


def sorted_json(value: object) -> object:
    """The value with keys in order, so that `repr` tells True from 1 and 1 from 1.0."""
    match value:
        case dict():
            return {key: sorted_json(value[key]) for key in sorted(value)}
        case list():
            return [sorted_json(item) for item in value]
        case _:
            return value


@pytest.mark.parametrize("version", [1, 6, 7])
async def test_an_older_version_or_the_same_changes_nothing(board: PolicyBoard, version: int) -> None:
    """What is not newer is ignored, whole, and False says so."""
    assert await board.publish(policy(7))
    assert not await board.publish(replace(policy(version, quantity_min=1.0), revision="0" * 64))
    assert await board.current("main") == policy(7)


async def test_a_newer_version_replaces_what_stands(board: PolicyBoard) -> None:
    """Versions need not follow one another without gap."""
    for version in (1, 2, 40):
        assert await board.publish(policy(version))
        assert await board.current("main") == policy(version)


async def test_books_do_not_see_one_another(board: PolicyBoard) -> None:
    """Each book has a version of its own; a newer one elsewhere bars nothing."""
    async with watching(board, "second") as told:
        assert await board.publish(policy(9))
        assert await board.publish(policy(3, book="second"))
        await until(lambda: bool(told), "the second book is told")
        assert await board.current("main") == policy(9)
        assert await board.current("second") == policy(3, book="second")
        assert await board.current("third") is None
        assert told == [policy(3, book="second")]


UNWRITABLE: dict[str, PublishedPolicy] = {
    "not a number": policy(5, quantity_min=float("nan")),
    "infinite": policy(5, quantity_min=float("inf")),
    "half a character": policy(5, note="\ud800"),
    "no version": replace(policy(5), version=0),
    "a version that floats cannot tell apart": replace(policy(5), version=2**53),
    "scopes that are no object": replace(policy(5), content={"scopes": ["global"]}),
    "a scope that is no object": replace(policy(5), content={"scopes": {"global": 1}}),
    "a scope of a name that the cache keeps for itself": replace(policy(5), content={"scopes": {"regime": {}}}),
}


@pytest.mark.parametrize("published", UNWRITABLE.values(), ids=UNWRITABLE)
async def test_what_cannot_be_written_down_is_refused(
    place: Place, board: PolicyBoard, published: PublishedPolicy
) -> None:
    """A policy that would not come back as it is, is refused by name, and what stood stands."""
    await board.publish(policy(4))
    with pytest.raises(place.trouble, match=f"policy version {published.version} of book main cannot be put up"):
        await board.publish(published)
    assert await board.current("main") == policy(4)


@pytest.mark.parametrize(
    "text",
    [b"", b"not JSON", b"[]", b"\xff\xfe", b'{"v":2}', b'{"v":1,"book":"other","version":1}', b'{"v":1,"book":"main"}'],
    ids=repr,
)
async def test_what_is_no_policy_is_named_and_replaced(place: Place, board: PolicyBoard, text: bytes) -> None:
    """A damaged entry is an error to a reader, nothing to a watcher, counted, and no bar to the next publication."""
    await board.publish(policy(3))
    async with watching(board) as told:
        await until(lambda: bool(told), "told of what stands")
        await place.damage(text)
        await until(lambda: place.unreadable(board) > 0, "the watch finds it")
        with pytest.raises(place.trouble, match="no policy"):
            await board.current("main")
        assert await board.publish(policy(4))
        await until(lambda: versions(told) == [3, 4], f"told {versions(told)}")
    assert await board.current("main") == policy(4)


# -- racing ------------------------------------------------------------------------------------------------------------


async def test_of_racing_writers_the_highest_version_stands(place: Place) -> None:
    """100 writers at once: the highest version stands at the end, and every watcher saw versions rise, up to it."""
    boards = [await place.board() for _ in range(5)]
    numbers = random.Random(3).sample(range(1, 1_000), 100)
    async with contextlib.AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(watching(one)) for one in boards[:3]]
        put_up = await asyncio.gather(*(boards[n % 5].publish(policy(v)) for n, v in enumerate(numbers)))
        highest = max(numbers)
        await until(
            lambda: all(told and told[-1].version == highest for told in heard), "all watchers told of the last"
        )
    taken = {version for version, done in zip(numbers, put_up, strict=True) if done}
    assert highest in taken
    for told in heard:
        assert versions(told) == sorted(set(versions(told)))
        assert set(versions(told)) <= taken
        assert all(one == policy(one.version) for one in told)
    for one in boards:
        assert await one.current("main") == policy(highest)


# -- watch -------------------------------------------------------------------------------------------------------------


async def test_a_watch_tells_at_once_of_what_stands(board: PolicyBoard) -> None:
    """A watch that begins late is told without waiting for a change."""
    await board.publish(policy(2))
    async with watching(board) as told:
        await until(lambda: told == [policy(2)], "told of what stands")


async def test_a_watch_tells_of_every_change(place: Place, board: PolicyBoard) -> None:
    """Begun before anything stands, it tells of each version as it is put up by somebody else, once."""
    writer = await place.board()
    async with watching(board) as told:
        for version in range(1, 6):
            await writer.publish(policy(version))
            await until(lambda last=version: bool(told) and told[-1] == policy(last), f"told of version {version}")
        await writer.publish(policy(2))
        await writer.publish(policy(6))
        await until(lambda: told[-1].version == 6, "told of version 6")
    assert told == [policy(version) for version in range(1, 7)]


async def test_a_push_that_was_lost_is_found_by_asking(place: Place, board: PolicyBoard) -> None:
    """Whoever missed a change, for whatever reason, finds it by `current`, and a new watch tells of it at once."""
    writer = await place.board()
    async with watching(board) as before:
        await writer.publish(policy(1))
        await until(lambda: bool(before), "told of version 1")
    await writer.publish(policy(2))
    assert before == [policy(1)]
    assert await board.current("main") == policy(2)
    async with watching(board) as after:
        await until(lambda: after == [policy(2)], "told of version 2")


async def test_what_a_watcher_raises_is_not_swallowed(board: PolicyBoard) -> None:
    """A watch ends with the exception of whom it tells: it is no trouble of the server."""

    def refuse(published: PublishedPolicy) -> None:
        raise LookupError(published.version)

    await board.publish(policy(8))
    with pytest.raises(LookupError, match="8"):
        await asyncio.wait_for(board.watch("main", refuse), BOUND)


# -- trouble -----------------------------------------------------------------------------------------------------------


async def test_a_killed_server_comes_back_with_what_stood(place: Place, board: PolicyBoard) -> None:
    """After kill -9 and a restart on the same store, twice: what stood stands, and the watch catches up within 2 s."""
    await board.publish(policy(1))
    async with watching(board) as told:
        await until(lambda: versions(told) == [1], "told of version 1")
        for version in (2, 3):
            place.process.kill()
            place.process.start()
            await place.answers()
            writer = await place.board()
            assert await writer.current("main") == policy(version - 1)
            assert await writer.publish(policy(version))
            await until(lambda last=version: told[-1].version == last, f"told of version {version}", deadline=2.0)
            await eventually(lambda last=version: stands(board, last), f"version {version} on the old connection")
    assert told == [policy(1), policy(2), policy(3)]


async def stands(board: PolicyBoard, version: int) -> bool:
    try:
        return await board.current("main") == policy(version)
    except CioError:
        return False


async def test_a_watch_may_begin_while_the_server_is_down(place: Place, board: PolicyBoard) -> None:
    """It waits, for as long as it takes, and tells when the server is there."""
    await board.publish(policy(1))
    place.process.kill()
    async with watching(board) as told:
        for question in (board.current("main"), board.current("main")):
            with pytest.raises(place.trouble):
                await question
        assert told == []
        place.process.start()
        await until(lambda: told == [policy(1)], "told of version 1")


def stop(process: Process, number: signal.Signals) -> None:
    """Send the signal, and wait until it has taken: until then the server still answers."""
    process.send(number)
    if number is signal.SIGSTOP:
        os.waitpid(process.pid, os.WUNTRACED)
    else:
        process.wait()


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
async def test_without_a_server_every_question_ends_in_a_named_error(
    place: Place, board: PolicyBoard, how: str
) -> None:
    """Dead or hanging: `current` and `publish` raise our error in bounded time, and nothing else."""
    await board.publish(policy(1))
    stop(place.process, signal.Signals[how])
    async with asyncio.timeout(BOUND):
        found = await asyncio.gather(
            board.current("main"), board.publish(policy(2)), board.current("other"), return_exceptions=True
        )
    assert all(isinstance(one, place.trouble) for one in found), found
    assert all(str(one) for one in found)


async def test_a_server_killed_in_the_middle_leaves_a_version_whole(place: Place, board: PolicyBoard) -> None:
    """kill -9 while versions are put up: what stands afterwards is the last one acknowledged, or the next, whole."""
    acknowledged = 0

    async def write() -> None:
        nonlocal acknowledged
        for version in range(1, 100_000):
            await board.publish(policy(version))
            acknowledged = version

    writing = asyncio.create_task(write())
    await until(lambda: acknowledged >= 50, "50 versions")
    place.process.kill()
    with pytest.raises(place.trouble):
        await asyncio.wait_for(writing, BOUND)
    place.process.start()
    await place.answers()
    found = await (await place.board()).current("main")
    assert found is not None
    assert found == policy(found.version)
    assert found.version in (acknowledged, acknowledged + 1)
