"""One ledger, several gates: only one advances, and a stale one can neither decide nor signal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from typing import TYPE_CHECKING

import pytest
from harness import (
    BOOK,
    DEADLINE,
    LEDGER,
    LEDGER_STREAM,
    OUTBOX_STREAM,
    NatsServer,
    Process,
    eventually,
    gate_process,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    publish,
    running_gate,
    stream_messages,
    until,
)

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.decision import Totals
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.bootstrap.gate import status_answer
from petrosa_cio.bootstrap.tailing import verify_stream
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.ledger import Entry, Position, entry
from petrosa_cio.core.nats.settlement import settlement
from petrosa_cio.errors import Fenced

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Heard
    from nats.aio.client import Client

    from petrosa_cio.core.nats.interceptor import Gate
    from petrosa_cio.core.nats.link import Link

TAKE_OVER_SECONDS = 2.0


async def nothing_twice(link: Link, heard: Heard, intents: int) -> None:
    """Each intent is decided once, each promise signalled once, and the chain verifies."""
    records = await ledger(link)
    decided = [content["sequence"] for content in of_kind(records, "decision")]
    assert decided == list(range(1, intents + 1))
    promised = [content["sequence"] for content in of_kind(records, "decision") if content["verdict"] == "approved"]
    await until(lambda: len(heard.messages) >= len(promised), "every promise is signalled")
    await heard.all()
    assert sorted(heard.sequences) == promised
    report = await verify_stream(link, BOOK)
    assert report.breaks == ()
    assert report.records == len(records)


async def test_two_gates_under_load_decide_each_intent_once(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """Two gates on one book under load: no intent is decided twice, no signal leaves twice, the chain verifies."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as one, running_gate(nats_server.url) as other:
        for _ in range(40):
            await publish(client, [intent_bytes() for _ in range(50)])

        async def decided() -> bool:
            return max(one.gate.position.cursor, other.gate.position.cursor) >= 2000 and await recorded(link, 2000)

        await eventually(decided, "all decided")
        await until(lambda: len(heard.messages) >= 2000, "all signalled")
        assert one.gate.counters.fenced + other.gate.counters.fenced > 0

    await nothing_twice(link, heard, 2000)


async def recorded(link: Link, cursor: int) -> bool:
    last = await link.last(LEDGER_STREAM, LEDGER)
    return last is not None and record.decode(last.data)["cursor"] >= cursor


async def states(client: Client) -> dict[int, str]:
    """State of every gate that answers, by process id."""
    found: dict[int, str] = {}
    inbox = client.new_inbox()

    async def take(message: object) -> None:
        answer = json.loads(message.data)
        found[answer["pid"]] = answer["state"]

    subscription = await client.subscribe(inbox, cb=take)
    await client.publish(subjects.status_subject(BOOK), reply=inbox)
    with contextlib.suppress(AssertionError):
        await until(lambda: len(found) == 2, "both answer", 1)
    await subscription.unsubscribe()
    return found


async def leader_of(client: Client, gates: list[Process]) -> Process:
    """The one gate that leads while the other stands by; there must be such a moment under load."""
    found: dict[int, str] = {}

    async def clear() -> bool:
        found.update(await states(client))
        return sorted(found.values()) == ["leading", "standing by"]

    await eventually(clear, f"one leads, one stands by; got {found}")
    return next(gate for gate in gates if found[gate.pid] == "leading")


class Load:
    """Intents published steadily until `stop`."""

    def __init__(self, client: Client) -> None:
        self.published = 0
        self._client = client
        self._stopping = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stopping:
            await publish(self._client, [intent_bytes() for _ in range(4)])
            self.published += 4
            await asyncio.sleep(0.015)  # about 250 a second: what two gates keep up with on a busy machine

    async def stop(self) -> int:
        """End, and say how many were published."""
        self._stopping = True
        await self._task
        return self.published


async def test_a_gate_that_was_paused_does_no_harm_when_it_wakes(
    nats_server: NatsServer, client: Client, link: Link, tmp_path: Path
) -> None:
    """The leading gate is stopped under load, another takes over within 2 s, and the first wakes: nothing is twice."""
    heard = await listen(client)
    gates = [gate_process(nats_server.url, tmp_path / name, name) for name in ("one", "other")]
    loop = asyncio.get_running_loop()
    try:
        load = Load(client)
        for _ in range(2):
            leader = await leader_of(client, gates)
            leader.send(signal.SIGSTOP)
            target, since = load.published + 20, loop.time()
            await eventually(lambda goal=target: recorded(link, goal), "the other takes over")
            assert loop.time() - since < TAKE_OVER_SECONDS
            leader.send(signal.SIGCONT)
        published = await load.stop()
        await eventually(lambda: recorded(link, published), "all decided")
        await eventually(lambda: both_answer(client), "both gates are well")
    finally:
        for gate in gates:
            gate.end()

    await nothing_twice(link, heard, published)
    assert all("Traceback" not in gate.text() for gate in gates)


async def both_answer(client: Client) -> bool:
    return len(await states(client)) == 2


async def test_a_gate_that_was_killed_is_succeeded(
    nats_server: NatsServer, client: Client, link: Link, tmp_path: Path
) -> None:
    """The leading gate is killed under load and the one standing by decides on, within 2 s."""
    heard = await listen(client)
    gates = [gate_process(nats_server.url, tmp_path / name, name) for name in ("one", "other")]
    loop = asyncio.get_running_loop()
    try:
        load = Load(client)
        leader = await leader_of(client, gates)
        leader.kill()
        target, since = load.published + 20, loop.time()
        await eventually(lambda: recorded(link, target), "the other takes over")
        assert loop.time() - since < TAKE_OVER_SECONDS
        published = await load.stop()
        await eventually(lambda: recorded(link, published), "all decided")
    finally:
        for gate in gates:
            gate.end()

    await nothing_twice(link, heard, published)


# -- the trap ----------------------------------------------------------------------------------------------------------


def written(position: Position, author: str) -> Entry:
    """A record that continues ``position``."""
    return entry(position, {"kind": "policy", "policy_revision": author, "policy": {}}, 0, Totals(), author)


async def sent(link: Link, made: Entry, *, by_sequence_alone: bool) -> asyncio.Future[int]:
    """Send a record without waiting; the future brings whether the server took it."""
    headers = dict(made.headers)
    if by_sequence_alone:
        headers.pop("Nats-Expected-Last-Msg-Id", None)
    return await link.append(LEDGER, made.body, headers)


async def taken(future: asyncio.Future[int]) -> bool:
    try:
        await asyncio.wait_for(future, DEADLINE)
    except Fenced:
        return False
    return True


@pytest.mark.parametrize("by_sequence_alone", [True, False], ids=["sequence alone", "sequence and message id"])
async def test_a_sequence_alone_does_not_fence_a_pipeline(link: Link, by_sequence_alone: bool) -> None:
    """Of a stale pipeline of three the server takes two if only the sequence fences it, and none if the id does too.

    The first is refused because another gate wrote that sequence; that other record makes the expectation of the
    second come true. The id of the record before, which is its hash, never comes true (docs/decisions/0002).
    """
    common = written(Position(BOOK), "common")
    assert await taken(await sent(link, common, by_sequence_alone=by_sequence_alone))
    other = written(common.position, "other")
    assert await taken(await sent(link, other, by_sequence_alone=by_sequence_alone))

    first = written(common.position, "stale")
    second = written(first.position, "stale")
    third = written(second.position, "stale")
    pipeline = [await sent(link, made, by_sequence_alone=by_sequence_alone) for made in (first, second, third)]

    through = [await taken(future) for future in pipeline]
    assert through == ([False, True, True] if by_sequence_alone else [False, False, False])
    report = await verify_stream(link, BOOK)
    assert bool(report.breaks) == by_sequence_alone


# -- signal or expiry, never both --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["signal", "expired"])
async def test_an_intent_is_settled_once(link: Link, first: str) -> None:
    """After the mark of expiry is stored the signal of the same intent is refused, and the other way round."""
    ways = {
        "signal": subjects.outbox_signal(BOOK, 7, "momentum_pulse"),
        "expired": subjects.outbox_expired(BOOK, 7),
    }
    second = next(way for way in ways if way != first)
    await link.stored(ways[first], b"{}", settlement(BOOK, 7))

    for way in (second, first):
        with pytest.raises(Fenced):
            await link.stored(ways[way], b"{}", settlement(BOOK, 7))
    await link.stored(subjects.outbox_signal(BOOK, 71, "momentum_pulse"), b"{}", settlement(BOOK, 71))

    kept = [message.subject for message in await stream_messages(link, OUTBOX_STREAM)]
    assert kept == [ways[first], subjects.outbox_signal(BOOK, 71, "momentum_pulse")]


class JumpingClock:
    """The real clock until ``gate`` has judged something; then an hour ahead."""

    def __init__(self) -> None:
        self.gate: Gate | None = None

    def __call__(self) -> int:
        jumped = self.gate is not None and self.gate.counters.judged > 0
        return clock.now_ns() + (3_600_000_000_000 if jumped else 0)


async def test_what_comes_too_late_to_promotion_expires(nats_server: NatsServer, client: Client, link: Link) -> None:
    """A buy judged in time whose hard timeout passes before promotion is recorded as expired, and no signal leaves."""
    heard = await listen(client)
    now = JumpingClock()
    rules = read_policy({"required_facts": []})
    async with running_gate(nats_server.url, rules, now=now) as gate:
        now.gate = gate.gate
        await publish(client, [intent_bytes()])
        await until(lambda: gate.gate.counters.expired == 1, "it expires")
        await gate.judged(1)
        account = json.loads(await status_answer(gate.link, gate.gate))["account"]
        await heard.all()

    records = await ledger(link)
    (decision,), (expired,) = of_kind(records, "decision"), of_kind(records, "expired")
    assert decision["verdict"] == "approved"
    assert (expired["sequence"], expired["decision_id"]) == (1, decision["decision_id"])
    assert heard.messages == []
    assert [message.subject for message in await stream_messages(link, OUTBOX_STREAM)] == [
        subjects.outbox_expired(BOOK, 1)
    ]
    assert {name: account[name] for name in ("approved", "promoted", "expired", "awaiting_promotion", "balanced")} == {
        "approved": 1,
        "promoted": 0,
        "expired": 1,
        "awaiting_promotion": 0,
        "balanced": True,
    }


async def test_a_close_never_comes_too_late(nats_server: NatsServer, client: Client, link: Link) -> None:
    """A close whose promotion begins an hour after it arrived is still promoted."""
    heard = await listen(client)
    now = JumpingClock()
    async with running_gate(nats_server.url, read_policy({"required_facts": []}), now=now) as gate:
        now.gate = gate.gate
        await publish(client, [intent_bytes(action="close")])
        await gate.judged(1)
        await heard.all()

    assert heard.sequences == [1]
    assert of_kind(await ledger(link), "expired") == []
