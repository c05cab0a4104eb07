"""The board on NATS beside other users of its bucket and of its link."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from harness import stream_messages, until

from petrosa_cio.apps.nurse.ports import PublishedPolicy
from petrosa_cio.core.nats.board import NatsBoard
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.nats.trouble import Contended, Refused, refusal
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from harness import NatsServer
    from nats.aio.client import Client

AT = 1_795_512_600_000_000_000
"""2026-11-24T09:30:00Z."""


def policy(version: int) -> PublishedPolicy:
    return PublishedPolicy("main", version, f"{version:064x}", {"scopes": {"global": {"a": version}}}, AT)


async def test_what_stands_is_a_key_of_a_bucket(link: Link, client: Client) -> None:
    """Any key-value client finds the policy whole under the name of its book, and the versions before it."""
    board = NatsBoard(link)
    for version in range(1, 71):
        await board.publish(policy(version))
    bucket = await client.jetstream().key_value("cio-policy")
    value = (await bucket.get("main")).value
    assert value is not None
    assert json.loads(value) == {
        "v": 1,
        "book": "main",
        "version": 70,
        "revision": f"{70:064x}",
        "at": "2026-11-24T09:30:00.000000+00:00",
        "content": {"scopes": {"global": {"a": 70}}},
    }
    kept = [json.loads(message.data)["version"] for message in await stream_messages(link, "KV_cio-policy")]
    assert kept == list(range(7, 71))


async def test_the_bucket_is_made_once(link: Link, client: Client) -> None:
    """Further boards and publications leave the bucket as it was made, on disk and with our number of versions."""
    await NatsBoard(link).publish(policy(1))
    made = await client.jetstream().stream_info("KV_cio-policy")
    advisories: list[bytes] = []

    async def hear(message: object) -> None:
        advisories.append(bytes(message.data))  # type: ignore[attr-defined]

    await client.subscribe("$JS.EVENT.ADVISORY.STREAM.UPDATED.KV_cio-policy", cb=hear)
    await client.flush()
    await NatsBoard(link).publish(policy(2))
    await client.flush()
    assert advisories == []
    now = await client.jetstream().stream_info("KV_cio-policy")
    assert now.config == made.config
    await client.jetstream().update_stream(replace(now.config, description="an update would have been heard"))
    await until(lambda: len(advisories) == 1, "the update that this test makes is heard")
    assert (now.config.storage, now.config.max_msgs_per_subject, now.config.max_age) == ("file", 64, 0)


async def test_a_key_that_an_operator_deleted_is_none(link: Link, client: Client) -> None:
    """After a deletion nothing stands; a watch is not told, and any version may be put up."""
    board = NatsBoard(link)
    await board.publish(policy(5))
    told: list[PublishedPolicy] = []
    watch = asyncio.create_task(board.watch("main", told.append))
    await until(lambda: told == [policy(5)], "told of version 5")
    await (await client.jetstream().key_value("cio-policy")).delete("main")
    assert await board.current("main") is None
    assert await board.publish(policy(4))
    assert await board.current("main") == policy(4)
    assert await board.publish(policy(6))
    await until(lambda: told == [policy(5), policy(6)], "told of version 6 and not of an older one")
    assert board.unreadable == 0
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


async def test_a_watch_leaves_the_loss_of_the_link_to_others(nats_server: NatsServer) -> None:
    """A gate on the same link still sees that it was lost, after the watch has caught up."""
    link = await Link.open(nats_server.url, "shared")
    board = NatsBoard(link)
    await board.publish(policy(1))
    told: list[PublishedPolicy] = []
    watch = asyncio.create_task(board.watch("main", told.append))
    await until(lambda: bool(told), "told of version 1")
    nats_server.kill()
    nats_server.restart()
    other = await Link.open(nats_server.url, "writer")
    await NatsBoard(other).publish(policy(2))
    await until(lambda: told == [policy(1), policy(2)], "told of version 2")
    assert link.lost.is_set()
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    await other.close()
    await link.close()


async def test_a_watch_ends_with_its_link(nats_server: NatsServer) -> None:
    """A link that was closed does not come back: the watch says so instead of waiting for ever."""
    link = await Link.open(nats_server.url, "closing")
    watch = asyncio.create_task(NatsBoard(link).watch("main", lambda _: None))
    await link.close()
    with pytest.raises(BusError, match="closed"):
        await asyncio.wait_for(watch, 10)


def test_a_rival_under_way_is_no_outage() -> None:
    """Code 10164, of replicated streams only, says that another message is under way: worth asking again at once."""
    found = refusal(10164, "wrong last sequence")
    assert type(found) is Contended
    assert isinstance(found, Refused)
    assert type(refusal(10077, "maximum bytes exceeded")) is Refused
