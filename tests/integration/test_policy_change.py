"""Policy changes while a gate runs: followed at once, recorded, never mixed, and never trusted for too long."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import pytest
from harness import (
    BOOK,
    DEADLINE,
    NatsServer,
    codes,
    eventually,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    policy,
    prepared_link,
    until,
)

from petrosa_cio.apps.nurse.policy import Policy, read_policy
from petrosa_cio.apps.nurse.ports import PolicyBoard, PublishedPolicy
from petrosa_cio.bootstrap.following import follow_policy
from petrosa_cio.core import clock
from petrosa_cio.core.db.redis import RedisBoard, RedisServer
from petrosa_cio.core.nats.board import NatsBoard
from petrosa_cio.core.nats.interceptor import Gate
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.nats.together import end
from petrosa_cio.core.spill import SpillFile
from redis_server import RedisOfOurs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.link import Link

INTENTS = "intent.trading.btc"


def published(version: int, **parameters: Json) -> PublishedPolicy:
    """A version that approves every sound intent but for what ``parameters`` say."""
    rules = policy(**parameters)
    return PublishedPolicy(BOOK, version, rules.revision, rules.content, clock.now_ns())


class Place(Protocol):
    """Where a board is, and a way to take it down and bring it back."""

    board: PolicyBoard

    def down(self) -> None: ...

    async def up(self) -> None: ...


@dataclass
class OnNats:
    server: NatsServer
    board: PolicyBoard

    def down(self) -> None:
        self.server.kill()

    async def up(self) -> None:
        self.server.restart()


@dataclass
class OnRedis:
    server: RedisOfOurs
    board: PolicyBoard

    def down(self) -> None:
        self.server.process.kill()

    async def up(self) -> None:
        self.server.process.start()
        await self.server.answers()


@pytest.fixture(params=["nats", "redis"])
async def place(request: pytest.FixtureRequest, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "nats":
        async with prepared_link(nats_server.url) as link:
            yield OnNats(nats_server, NatsBoard(link))
        return
    redis = RedisOfOurs.start(tmp_path)
    try:
        await redis.answers()
        server = RedisServer(redis.url)
        yield OnRedis(redis, RedisBoard(server))
        await server.close()
    finally:
        redis.process.end()


@dataclass
class Governed:
    """A gate that follows a board, and a producer that asks it for verdicts."""

    gate: Gate
    link: Link
    client: Client
    events: list[str] = field(default_factory=list)

    async def verdict(self, **fields: Json) -> dict[str, Json]:
        """The record of the next intent."""
        sequence = (await self.link.state("CIO_INTENTS")).last + 1
        await self.client.publish(INTENTS, intent_bytes(**fields))
        await self.client.flush()
        found: list[dict[str, Json]] = []

        async def recorded() -> bool:
            found[:] = [
                content for content in of_kind(await ledger(self.link), "decision") if content["sequence"] == sequence
            ]
            return bool(found)

        await eventually(recorded, f"a verdict on intent {sequence}")
        return found[0]


@contextlib.asynccontextmanager
async def governed_gate(url: str, board: PolicyBoard, client: Client, tmp_path: Path) -> AsyncIterator[Governed]:
    async with prepared_link(url) as link:
        terms = GateTerms(BOOK, read_policy({}), clock.now_ns, policy_version=0, policy_as_of=0)
        gate = Gate(link, terms, lambda *_: None, SpillFile(tmp_path / "spill.jsonl"))
        governed = Governed(gate, link, client)
        tasks = [
            asyncio.create_task(gate.run()),
            asyncio.create_task(follow_policy(board, gate, lambda event, _: governed.events.append(event))),
        ]
        try:
            await until(lambda: gate.state == "leading", "the gate leads")
            yield governed
        finally:
            await end(*tasks)


async def in_force(governed: Governed, version: int, deadline: float = DEADLINE) -> None:
    await until(lambda: governed.gate.terms.policy_version == version, f"version {version} is in force", deadline)


async def test_without_a_policy_only_closes_pass(
    nats_server: NatsServer, client: Client, place: Place, tmp_path: Path
) -> None:
    """Until the board has answered nothing that adds risk passes; a close does; then all is judged by the policy."""
    heard = await listen(client)
    async with governed_gate(nats_server.url, place.board, client, tmp_path) as governed:
        assert codes(await governed.verdict())[0] == "POLICY_UNAVAILABLE"
        assert (await governed.verdict(action="close"))["verdict"] == "approved"
        await place.board.publish(published(1))
        await in_force(governed, 1)
        assert (await governed.verdict())["verdict"] == "approved"
        await until(lambda: len(heard.messages) == 2, "both signals leave")
    assert [body["action"] for body in heard.bodies] == ["close", "buy"]


async def test_a_change_is_in_force_before_the_verdict_that_follows_it(
    nats_server: NatsServer, client: Client, place: Place, tmp_path: Path
) -> None:
    """Each policy is recorded before the first verdict under it, and each verdict is of exactly one revision."""
    async with governed_gate(nats_server.url, place.board, client, tmp_path) as governed:
        await place.board.publish(published(1))
        await in_force(governed, 1)
        sending = asyncio.create_task(steadily(client))
        for version in range(2, 12):
            await place.board.publish(published(version, allowed_symbols=["BTCUSDT"] if version % 2 else ["ETHUSDT"]))
            await in_force(governed, version)
            count = governed.gate.counters.judged
            await until(lambda least=count + 10: governed.gate.counters.judged >= least, "some are judged under it")
        await end(sending)
        await until(lambda: governed.gate.idle, "all is settled")
        records = await ledger(governed.link)

    standing = None
    for content in records:
        if content["kind"] == "policy":
            standing = content
        elif content["kind"] == "decision":
            assert standing is not None
            assert content["policy_revision"] == standing["policy_revision"] == content["policy_in_force"]
            allowed = standing["policy"].get("scopes", {}).get("global", {}).get("allowed_symbols")  # type: ignore[union-attr]
            expected = "blocked" if allowed == ["ETHUSDT"] else "approved"
            assert content["verdict"] == expected
    assert [content.get("policy_version") for content in of_kind(records, "policy")][-10:] == list(range(2, 12))


async def steadily(client: Client) -> None:
    while True:
        await client.publish(INTENTS, intent_bytes())
        await asyncio.sleep(0.002)


class Deaf:
    """A board whose pushes are all lost."""

    def __init__(self, board: PolicyBoard) -> None:
        self._board = board
        self.asked = 0

    async def publish(self, policy: PublishedPolicy) -> bool:
        return await self._board.publish(policy)

    async def current(self, book: str) -> PublishedPolicy | None:
        self.asked += 1
        return await self._board.current(book)

    async def watch(self, book: str, changed: Callable[[PublishedPolicy], None]) -> None:
        await asyncio.Future()


async def test_a_lost_push_is_found_by_asking(
    nats_server: NatsServer, client: Client, place: Place, tmp_path: Path
) -> None:
    """A gate that is never told of a change finds it by the second question it asks after it."""
    board = Deaf(place.board)
    async with governed_gate(nats_server.url, board, client, tmp_path) as governed:
        await board.publish(published(1))
        await in_force(governed, 1)
        await board.publish(published(2))
        asked = board.asked
        await in_force(governed, 2)
        assert board.asked <= asked + 2


async def test_a_change_that_was_made_meanwhile_is_found_when_the_board_is_back(
    nats_server: NatsServer, client: Client, place: Place, tmp_path: Path
) -> None:
    """A gate that was cut off from the board goes on with its policy, and catches up once the board is back."""
    async with governed_gate(nats_server.url, place.board, client, tmp_path) as governed:
        await place.board.publish(published(1))
        await in_force(governed, 1)
        place.down()
        await until(
            lambda: any("cannot be asked" in event or "broke off" in event for event in governed.events), "it notices"
        )
        await place.up()

        async def put_up() -> bool:
            with contextlib.suppress(Exception):
                return await place.board.publish(published(2))
            return False

        await eventually(put_up, "the change is put up")
        await in_force(governed, 2)
        await until(lambda: governed.gate.state == "leading", "it leads")
        assert (await governed.verdict())["policy_revision"] == published(2).revision


@pytest.mark.parametrize("place", ["redis"], indirect=True)  # without NATS no intent arrives either
async def test_a_policy_that_is_not_confirmed_for_too_long_admits_nothing(
    nats_server: NatsServer, client: Client, place: Place, tmp_path: Path
) -> None:
    """With the board gone a policy holds until it is too old; then only closes pass, until the board is back."""
    async with governed_gate(nats_server.url, place.board, client, tmp_path) as governed:
        await place.board.publish(published(1, max_policy_age_seconds=2))
        await in_force(governed, 1)
        assert (await governed.verdict())["verdict"] == "approved"
        place.down()

        async def refused() -> bool:
            return codes(await governed.verdict()) == ["POLICY_UNAVAILABLE"]

        await eventually(refused, "the policy is too old")
        assert (await governed.verdict(action="close"))["verdict"] == "approved"
        await place.up()

        async def approved() -> bool:
            return codes(await governed.verdict()) == []

        await eventually(approved, "the policy is confirmed again")


@pytest.mark.parametrize("fault", ["unknown parameter", "another revision"])
async def test_what_is_no_policy_is_not_followed(
    nats_server: NatsServer, client: Client, place: Place, tmp_path: Path, fault: str
) -> None:
    """A version that cannot be read, or is not what its revision says, is alarmed on; the one before it goes on."""
    async with governed_gate(nats_server.url, place.board, client, tmp_path) as governed:
        await place.board.publish(published(1))
        await in_force(governed, 1)
        bad = published(2)
        bad = replace(bad, content={"scopes": {"global": {"no_such": 1}}} if "unknown" in fault else {})
        await place.board.publish(bad)
        await until(lambda: any(event.startswith("ALARM") for event in governed.events), "it is alarmed on")
        assert (await governed.verdict())["policy_revision"] == published(1).revision
        await place.board.publish(published(3))
        await in_force(governed, 3)


async def test_an_older_policy_is_not_followed(nats_server: NatsServer, client: Client, tmp_path: Path) -> None:
    """An older version offered late changes nothing, and the same version twice writes one record."""
    async with prepared_link(nats_server.url) as link:
        board = NatsBoard(link)
        await board.publish(published(5))
        async with governed_gate(nats_server.url, board, client, tmp_path) as governed:
            await in_force(governed, 5)
            other: Policy = policy(min_confidence_threshold=0.9)
            governed.gate.offer(other, 4)
            governed.gate.offer(other, 5)
            assert (await governed.verdict())["policy_revision"] == published(5).revision
            assert len([c for c in of_kind(await ledger(link), "policy") if c.get("policy_version") == 5]) == 1
