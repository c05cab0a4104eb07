"""Outages: NATS delivers, but nothing can be recorded. Entries wait, closes pass, nothing is forgotten."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import nats
import pytest
import structlog
from harness import (
    BOOK,
    DEADLINE,
    LEDGER,
    LEDGER_STREAM,
    OUTBOX_STREAM,
    Heard,
    NatsServer,
    core_client,
    eventually,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    policy,
    prepared_link,
    until,
)
from nats.js.api import DiscardPolicy, StreamConfig

from petrosa_cio.bootstrap.tailing import verify_stream
from petrosa_cio.core import clock, logs
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.interceptor import Gate
from petrosa_cio.core.nats.link import Link, Retention
from petrosa_cio.core.nats.recovery import accounted_for
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.spill import SpillFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from nats.aio.client import Client

INTENTS = "intent.trading.btc"


@contextlib.asynccontextmanager
async def spilling_gate(url: str, spill: SpillFile) -> AsyncIterator[Gate]:
    """A gate that can pass closes straight; stopped on the way out."""
    async with prepared_link(url) as link:
        gate = Gate(link, GateTerms(BOOK, policy(), clock.now_ns), lambda *_: None, spill)
        task = asyncio.create_task(gate.run())
        try:
            await until(lambda: gate.state in ("leading", "ledger unavailable") or task.done(), "the gate runs")
            yield gate
        finally:
            gate.stop()
            await asyncio.wait_for(task, DEADLINE)


async def send(client: Client, action: str, name: str) -> None:
    await client.publish(INTENTS, intent_bytes(action=action, intent_id=name))
    await client.flush()


async def store(client: Client, action: str, name: str) -> None:
    """Publish an intent and return once the stream has it: what is done to the stream next finds it there."""
    await client.jetstream().publish(INTENTS, intent_bytes(action=action, intent_id=name))


async def passed(heard: Heard) -> list[str]:
    """Ids of the intents whose signals have arrived by now, each once, in order."""
    await heard.all()
    return list(dict.fromkeys(str(body["intent_id"]) for body in heard.bodies))


async def arrives(heard: Heard, name: str) -> None:
    async def there() -> bool:
        return name in await passed(heard)

    await eventually(there, f"{name} reaches the engine")


async def full(client: Client, stream: str) -> None:
    """Let ``stream`` take no further message."""
    js = client.jetstream()
    info = await js.stream_info(stream)
    room = max(info.state.messages, 1)
    await js.update_stream(replace(info.config, max_msgs=room, discard=DiscardPolicy.NEW))


async def roomy(client: Client, stream: str) -> None:
    """Let ``stream`` take messages again."""
    js = client.jetstream()
    info = await js.stream_info(stream)
    await js.update_stream(replace(info.config, max_msgs=-1, discard=DiscardPolicy.OLD))


@pytest.fixture
def spill(tmp_path: Path) -> SpillFile:
    return SpillFile(tmp_path / "spill" / "main.jsonl")


# -- the store is full -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server whose JetStream store holds half a megabyte."""
    server = NatsServer.start(tmp_path, jetstream="max_file: 512KB")
    yield server
    server.process.end()


async def test_a_close_passes_and_nothing_else_while_the_store_is_full(
    small_server: NatsServer, spill: SpillFile
) -> None:
    """With a full store a close still reaches the engine, is kept on disk, and is written down once there is room."""
    async with (
        core_client(small_server.url) as client,
        spilling_gate(small_server.url, spill) as gate,
    ):
        heard = await listen(client)
        js = client.jetstream()
        await js.add_stream(StreamConfig(name="BALLAST", subjects=["ballast"]))
        with contextlib.suppress(nats.js.errors.APIError):
            while True:
                await js.publish("ballast", b"x" * 4096)
        # The last bytes of the store take a few small records yet.
        number = 0
        while gate.state != "ledger unavailable":
            number += 1
            await send(client, "close", f"early-{number}")
            await asyncio.sleep(0.02)
        await send(client, "close", "late-1")
        await send(client, "buy", "entry")
        await send(client, "close", "late-2")
        await arrives(heard, "late-1")
        await arrives(heard, "late-2")
        assert "entry" not in await passed(heard)
        assert gate.trouble != ""

        await js.delete_stream("BALLAST")
        await until(lambda: gate.state == "leading", "it leads again")
        await until(lambda: gate.idle and not spill.pending(), "the spill is written down")
        records = await ledger(gate.link)
        spilled = {str(content["intent_id"]) for content in of_kind(records, "spilled")}
        assert {"late-1", "late-2"} <= spilled
        assert len(of_kind(records, "outage")) == 1
        assert "entry" not in await passed(heard)
        assert (await verify_stream(gate.link, BOOK)).breaks == ()


async def test_a_full_disk_does_not_hold_back_a_close(nats_server: NatsServer, tmp_path: Path) -> None:
    """Where a close cannot be kept on disk before it passes, it passes, and is written down from memory."""
    (tmp_path / "file").write_text("in the way of the directory")
    spill = SpillFile(tmp_path / "file" / "main.jsonl")
    async with core_client(nats_server.url) as client, spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await full(client, LEDGER_STREAM)
        await send(client, "close", "first")  # finds out
        await arrives(heard, "first")
        await send(client, "close", "second")
        await arrives(heard, "second")

        await roomy(client, LEDGER_STREAM)
        await until(lambda: gate.state == "leading" and gate.idle, "it leads again")
        written = {str(content["intent_id"]) for content in of_kind(await ledger(gate.link), "spilled")}
        assert written == {"first", "second"}


# -- one stream alone --------------------------------------------------------------------------------------------------


async def test_closes_pass_while_the_outbox_takes_nothing(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """With a full outbox closes go straight; one outage is recorded however long it lasts; then all goes on."""
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await send(client, "buy", "before")
        await arrives(heard, "before")
        await full(client, OUTBOX_STREAM)
        await send(client, "close", "recorded")  # its record is stored, its signal refused
        await arrives(heard, "recorded")
        await until(lambda: gate.state == "ledger unavailable", "it notices")
        await send(client, "close", "meanwhile")
        await arrives(heard, "meanwhile")
        await until(lambda: gate._outage is not None and gate._outage.probes >= 3, "it has probed several times")
        assert gate.counters.outages == 1
        assert of_kind(await ledger(gate.link), "outage") == []

        await roomy(client, OUTBOX_STREAM)
        await until(lambda: gate.state == "leading", "it leads again")
        await send(client, "buy", "after")
        await arrives(heard, "after")
        assert len(of_kind(await ledger(gate.link), "outage")) == 1
        assert gate.position.totals.promising == (await gate.link.state(OUTBOX_STREAM)).last


async def test_a_quarantine_that_takes_nothing_does_not_stop_the_book(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """What cannot be put into the quarantine is kept whole in its ledger record, and what follows is judged."""
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await client.publish(INTENTS, b"first")
        await client.flush()
        await until(lambda: gate.position.cursor == 1 and gate.idle, "the first is quarantined")
        await full(client, subjects.QUARANTINE_STREAM)
        rubbish = b"{" + bytes(range(256)) * 100
        await client.publish(INTENTS, rubbish)
        await send(client, "buy", "next")
        await arrives(heard, "next")

        decisions = of_kind(await ledger(gate.link), "decision")
        assert [content["verdict"] for content in decisions] == ["quarantined", "quarantined", "approved"]
        assert "raw_base64" not in decisions[0]
        assert base64.b64decode(str(decisions[1]["raw_base64"])) == rubbish
        assert gate.counters.quarantine_refused == 1
        assert of_kind(await ledger(gate.link), "outage") == []


# -- streams that do not answer ----------------------------------------------------------------------------------------


class DeafServer(NatsServer):
    """A server that can be told to ignore what the gate asks of its streams, while it delivers what is published."""

    def __init__(self, directory: Path) -> None:
        made = NatsServer.start(directory)
        super().__init__(made.directory, made.port, made.process)
        self.kill()
        self.ignore()
        self.restart()

    @property
    def gate_url(self) -> str:
        return self.url.replace("nats://", "nats://gate:gate@")

    @property
    def joe_url(self) -> str:
        return self.url.replace("nats://", "nats://joe:joe@")

    def ignore(self, *subjects_: str) -> None:
        """Ignore what the gate publishes on these subjects, from now on; none: listen again."""
        denied = f", deny: {json.dumps(list(subjects_))}" if subjects_ else ""
        (self.directory / "nats.conf").write_text(
            f'host: "127.0.0.1"\nport: {self.port}\nmax_payload: 1MB\n'
            f'jetstream {{ store_dir: "{self.directory / "jetstream"}" }}\n'
            "authorization { users: [\n"
            f'{{ user: gate, password: gate, permissions: {{ publish: {{ allow: ">"{denied} }}, subscribe: ">" }} }}\n'
            "{ user: joe, password: joe }\n] }\n",
            encoding="utf-8",
        )
        if self.process.alive:
            self.process.send(signal.SIGHUP)


@pytest.fixture
def deaf_server(tmp_path: Path) -> Iterator[DeafServer]:
    server = DeafServer(tmp_path)
    yield server
    server.process.end()


@pytest.mark.parametrize(
    "ignored",
    [("$JS.>", "cio.ledger.>", "cio.outbox.>"), ("cio.ledger.>",), ("cio.outbox.>",)],
    ids=["all of JetStream", "appends to the ledger", "the outbox"],
)
async def test_closes_pass_while_streams_do_not_answer(
    deaf_server: DeafServer, spill: SpillFile, ignored: tuple[str, ...]
) -> None:
    """Where JetStream hangs instead of refusing, closes pass within seconds, those under way included."""
    async with core_client(deaf_server.joe_url) as joe, spilling_gate(deaf_server.gate_url, spill) as gate:
        heard = await listen(joe)
        await send(joe, "buy", "before")
        await arrives(heard, "before")
        deaf_server.ignore(*ignored)
        await until(lambda: "Reloaded server configuration" in deaf_server.process.text(), "the server knows")
        await send(joe, "close", "under way")
        await send(joe, "buy", "entry")
        await arrives(heard, "under way")
        await until(lambda: gate.state == "ledger unavailable", "it notices")
        await send(joe, "close", "later")
        await arrives(heard, "later")

        deaf_server.ignore()
        await until(lambda: gate.state == "leading", "it leads again")
        await send(joe, "buy", "after")
        await arrives(heard, "after")
        records = await ledger(gate.link)
        assert {"under way", "later"} <= {str(content["intent_id"]) for content in of_kind(records, "spilled")}
        assert len(of_kind(records, "outage")) == 1
        assert [content["sequence"] for content in of_kind(records, "decision")] == [1, 2, 3, 4, 5]


# -- crashes in between ------------------------------------------------------------------------------------------------


async def test_a_close_that_was_kept_and_not_sent_is_sent_by_the_next_process(
    nats_server: NatsServer, client: Client, spill: SpillFile, tmp_path: Path
) -> None:
    """A gate killed after it kept a close and before it sent it: the next one sends it and writes it down, once."""
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await full(client, LEDGER_STREAM)
        await send(client, "close", "held")
        await arrives(heard, "held")
        entries = [line for line in (tmp_path / "spill" / "main.jsonl").read_bytes().split(b"\n") if b'"entry"' in line]
        assert len(entries) == 1
        await roomy(client, LEDGER_STREAM)
        await until(lambda: gate.state == "leading" and gate.idle, "it leads again")

    # The disk as a kill between keeping and sending would have left it, on a ledger that knows nothing of it.
    content = json.loads(entries[0].replace(b"held", b"kept"))
    content["key"] = "another"
    content["entry"]["record"]["decision_id"] = "ab" * 16
    (tmp_path / "spill" / "main.jsonl").write_bytes(json.dumps(content).encode() + b"\n")
    heard.messages.clear()
    for _ in range(2):
        async with spilling_gate(nats_server.url, spill):
            await arrives(heard, "kept")
    assert [body["intent_id"] for body in heard.bodies] == ["kept"]
    async with prepared_link(nats_server.url) as link:
        written = [content["intent_id"] for content in of_kind(await ledger(link), "spilled")]
    assert written == ["held", "kept"]


async def test_a_close_that_was_written_down_and_not_cleared_is_written_down_once(
    nats_server: NatsServer, client: Client, spill: SpillFile, tmp_path: Path
) -> None:
    """A gate killed between writing the spill down and clearing it leaves no second record."""
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await full(client, LEDGER_STREAM)
        await send(client, "close", "held")
        await arrives(heard, "held")
        kept = (tmp_path / "spill" / "main.jsonl").read_bytes()
        await roomy(client, LEDGER_STREAM)
        await until(lambda: gate.state == "leading" and gate.idle, "it leads again")
    (tmp_path / "spill" / "main.jsonl").write_bytes(kept)
    async with spilling_gate(nats_server.url, spill):
        pass
    assert spill.pending() == []
    async with prepared_link(nats_server.url) as link:
        assert [content["intent_id"] for content in of_kind(await ledger(link), "spilled")] == ["held"]


# -- an unsound ledger -------------------------------------------------------------------------------------------------


async def test_closes_pass_while_the_ledger_is_unsound(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """A gate that finds a forged record judges nothing, says which record, and lets closes through all the same."""
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await send(client, "buy", "before")
        await arrives(heard, "before")
        await client.jetstream().publish(LEDGER, b"forged")
        await send(client, "buy", "entry")
        await until(lambda: "record 3" in gate.trouble, "it names the record")
        await send(client, "close", "exit")
        await arrives(heard, "exit")
        assert await passed(heard) == ["before", "exit"]


# -- what an acceptance test found -------------------------------------------------------------------------------------


async def test_a_stored_close_goes_straight_once_however_long_the_outage_lasts(
    nats_server: NatsServer, client: Client, spill: SpillFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close without id or time that waits in the stream is not passed again by each probe."""
    monkeypatch.setattr("petrosa_cio.core.nats.straight.SAME_MESSAGE_SECONDS", 0)
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await full(client, LEDGER_STREAM)
        await send(client, "close", "finds out")
        await until(lambda: gate.state == "ledger unavailable", "it notices")
        minimal = json.dumps({"strategy_id": "momo", "symbol": "BTCUSDT", "action": "close"}).encode()
        await client.publish(INTENTS, minimal)
        await client.flush()
        outage = gate._outage
        assert outage is not None
        probes = outage.probes
        await until(lambda: outage.probes >= probes + 4, "it is probed several times")
        await heard.all()
        straight = [body for body in heard.bodies if "intent_id" not in body]
        assert 1 <= len(straight) <= 2  # heard, and read once: without an id these cannot be told to be one
        assert len([body for body in heard.bodies if body.get("intent_id") == "finds out"]) == 1


async def test_an_outage_ends_though_what_waited_was_purged(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """Intents that leave the stream during an outage hold up no probe."""
    async with spilling_gate(nats_server.url, spill) as gate:
        await full(client, LEDGER_STREAM)
        await send(client, "close", "finds out")
        await until(lambda: gate.state == "ledger unavailable", "it notices")
        for number in range(5):
            await store(client, "buy", f"waits-{number}")
        await client.jetstream().purge_stream(subjects.INTENTS_STREAM)
        await roomy(client, LEDGER_STREAM)
        await until(lambda: gate.state == "leading", "it leads again")


async def test_a_server_that_restarts_again_and_again_is_no_outage(nats_server: NatsServer, spill: SpillFile) -> None:
    """A connection that breaks during recovery is waited for: nothing goes straight, nothing is alarmed on."""
    async with spilling_gate(nats_server.url, spill) as gate:
        for pause in (0.02, 0.1, 0.2):
            nats_server.kill()
            nats_server.restart()
            recoveries = gate.counters.recoveries
            with contextlib.suppress(AssertionError):
                await until(lambda least=recoveries: gate.counters.recoveries > least, "it recovers", 5)
            await asyncio.sleep(pause)  # not to wait for something: to hit it at different points of its recovery
            nats_server.kill()
            nats_server.restart()
            await until(lambda: gate.state == "leading" and gate.link.connected, "it leads")
        assert (gate.counters.outages, gate.passed_unrecorded) == (0, 0)


async def test_an_intent_stream_that_was_made_anew_goes_on_after_the_ledger(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """Where the stream was lost, the next one begins after what is accounted for, and nothing in it is skipped."""
    async with spilling_gate(nats_server.url, spill) as gate:
        for number in range(5):
            await send(client, "buy", f"before-{number}")
        await until(lambda: gate.position.cursor == 5 and gate.idle, "five are judged")
    await client.jetstream().delete_stream(subjects.INTENTS_STREAM)
    async with prepared_link(nats_server.url) as link:
        known = await accounted_for(link, BOOK)
    assert known == 5
    await client.jetstream().delete_stream(subjects.INTENTS_STREAM)
    link = await Link.open(nats_server.url, "test")
    try:
        await link.ensure_streams(BOOK, "signals.trading", Retention(), accounted_for=known)
        async with spilling_gate(nats_server.url, spill) as gate:
            for number in range(3):
                await send(client, "buy", f"after-{number}")
            await until(lambda: gate.position.cursor == 8 and gate.idle, "three more are judged")
        ids = [content["intent_id"] for content in of_kind(await ledger(link), "decision")]
    finally:
        await link.close()
    assert ids == [*(f"before-{number}" for number in range(5)), *(f"after-{number}" for number in range(3))]


async def test_an_intent_stream_that_was_cut_off_is_refused(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """A stream that ends before what the ledger knows is not read on: its next intents would be taken for judged."""
    async with spilling_gate(nats_server.url, spill) as gate:
        for number in range(5):
            await send(client, "buy", f"before-{number}")
        await until(lambda: gate.position.cursor == 5 and gate.idle, "five are judged")
    js = client.jetstream()
    config = (await js.stream_info(subjects.INTENTS_STREAM)).config
    await js.delete_stream(subjects.INTENTS_STREAM)
    await js.add_stream(config)
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await until(lambda: "ends at 0" in gate.trouble, "it says so")
        await send(client, "buy", "entry")
        await send(client, "close", "exit")
        await arrives(heard, "exit")
        assert await passed(heard) == ["exit"]


async def test_a_strangers_message_in_the_outbox_stops_nothing(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """What somebody else puts under the outbox's subjects is no settlement; a gate that starts goes on."""
    js = client.jetstream()
    async with spilling_gate(nats_server.url, spill) as gate:
        await send(client, "buy", "before")
        await until(lambda: gate.position.cursor == 1 and gate.idle, "it is judged")
        await js.publish("cio.outbox.main.foo.signal.x", b"{}")
        with pytest.raises(nats.js.errors.NoStreamResponseError):
            await js.publish("cio.outbox.main.77", b"{}")
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await send(client, "buy", "after")
        await arrives(heard, "after")


async def test_a_request_without_a_connection_is_answered_by_nobody(nats_server: NatsServer) -> None:
    """Asking while the server is away gives no answer, and no error that ends the asker."""
    async with prepared_link(nats_server.url) as link:
        nats_server.kill()
        await until(lambda: not link.connected, "the loss is noticed")
        assert await link.request("cio.status.main", timeout=0.2) is None
        nats_server.restart()
        await link.restored()


async def test_intents_that_are_gone_hold_back_no_close(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """A stream that lost all that waited is a gap at once; what it then does not store is noticed, and closes pass."""
    async with spilling_gate(nats_server.url, spill) as gate:
        await send(client, "buy", "before")
        await until(lambda: gate.position.cursor == 1 and gate.idle, "it is judged")
    for number in range(5):
        await store(client, "buy", f"waits-{number}")
    await client.jetstream().purge_stream(subjects.INTENTS_STREAM)
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await until(lambda: gate.position.cursor == 6 and gate.idle, "the gap is recorded")
        assert gate.counters.gaps == 5
        await full(client, subjects.INTENTS_STREAM)
        await send(client, "buy", "stored")
        await send(client, "close", "not stored")
        await arrives(heard, "not stored")
        assert gate.counters.uncaptured == 1


async def test_a_log_that_cannot_be_written_holds_back_no_close(
    nats_server: NatsServer, client: Client, spill: SpillFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a log on a full disk closes pass, and the gate goes on."""

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    log = logs.events("test")
    for level in ("msg", "info"):
        monkeypatch.setattr(f"structlog.PrintLogger.{level}", full_disk)
    with pytest.raises(OSError, match="No space left"):
        structlog.get_logger().info("anything")
    async with prepared_link(nats_server.url) as link:
        gate = Gate(link, GateTerms(BOOK, policy(), clock.now_ns), log, spill)
        task = asyncio.create_task(gate.run())
        await until(lambda: gate.state == "leading" or task.done(), "the gate leads")
        heard = await listen(client)
        await full(client, LEDGER_STREAM)
        for name in ("first", "second", "third"):
            await send(client, "close", name)
            await arrives(heard, name)
        gate.stop()
        await asyncio.wait_for(task, DEADLINE)


async def test_a_hole_at_the_end_of_the_stream_holds_back_no_close(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """Where the last intent that the stream counts is gone, a close that it does not store passes all the same."""
    js = client.jetstream()
    async with spilling_gate(nats_server.url, spill) as gate:
        await send(client, "buy", "before")
        await until(lambda: gate.position.cursor == 1 and gate.idle, "it is judged")
    await store(client, "buy", "gone")
    await js.delete_msg(subjects.INTENTS_STREAM, 2)
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await until(lambda: gate.position.cursor == 2 and gate.idle, "the hole is a gap")
        await full(client, subjects.INTENTS_STREAM)
        await send(client, "close", "not stored")
        await arrives(heard, "not stored")
        assert gate.counters.gaps == 1


async def test_a_policy_that_comes_during_an_outage_is_recorded_before_it_judges(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """The outage's own record names the policy before it; the new one has a record of its own, then it judges."""
    other = policy(min_confidence_threshold=0.1)
    async with spilling_gate(nats_server.url, spill) as gate:
        before = gate.terms.policy.revision
        heard = await listen(client)
        await full(client, LEDGER_STREAM)
        await send(client, "close", "finds out")
        await until(lambda: gate.state == "ledger unavailable", "it notices")
        gate.offer(other, 1)
        await roomy(client, LEDGER_STREAM)
        await until(lambda: gate.state == "leading", "it leads again")
        await send(client, "buy", "after")
        await arrives(heard, "after")
        records = await ledger(gate.link)
    (outage,) = of_kind(records, "outage")
    assert outage["policy_in_force"] == before
    assert [content["policy_revision"] for content in of_kind(records, "policy")] == [before, other.revision]
    assert of_kind(records, "decision")[-1]["policy_revision"] == other.revision


async def test_an_entry_that_was_not_stored_during_an_outage_is_counted(
    nats_server: NatsServer, client: Client, spill: SpillFile
) -> None:
    """What is published while neither stream takes anything is told of: closes as spilled, the rest as uncaptured."""
    async with spilling_gate(nats_server.url, spill) as gate:
        heard = await listen(client)
        await send(client, "buy", "before")
        await arrives(heard, "before")
        await full(client, LEDGER_STREAM)
        await send(client, "close", "finds out")
        await until(lambda: gate.state == "ledger unavailable", "it notices")
        await full(client, subjects.INTENTS_STREAM)
        await send(client, "buy", "never stored")
        await send(client, "close", "passes")
        await arrives(heard, "passes")
        await roomy(client, subjects.INTENTS_STREAM)
        await roomy(client, LEDGER_STREAM)
        await until(lambda: gate.counters.uncaptured == 1, "the entry is missed")
        await until(lambda: gate.state == "leading" and gate.idle, "it leads")
        spilled = [content["intent_id"] for content in of_kind(await ledger(gate.link), "spilled")]
        assert spilled == ["finds out", "passes"]
        assert [body["intent_id"] for body in heard.bodies].count("passes") == 1


async def test_what_stood_is_read_to_its_end_and_no_further(nats_server: NatsServer, client: Client) -> None:
    """A reader of what stands ends, with nothing, with all, and where the last that is counted is gone."""
    js = client.jetstream()
    async with prepared_link(nats_server.url) as link:

        async def sequences(start: int) -> list[int]:
            async with link.read(subjects.INTENTS_STREAM, start) as reader:
                return [message.sequence async for batch in reader.standing() for message in batch]

        assert await sequences(1) == []
        for number in range(5):
            await store(client, "buy", f"{number}")
        assert await sequences(1) == [1, 2, 3, 4, 5]
        await js.delete_msg(subjects.INTENTS_STREAM, 5)
        await js.delete_msg(subjects.INTENTS_STREAM, 2)
        assert await sequences(1) == [1, 3, 4]
        assert await sequences(5) == []
