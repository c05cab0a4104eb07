"""The heartbeat, with real servers and gates: what is answered, what the engine makes of it, and silence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import nats
import pytest
from harness import (
    BOOK,
    DEADLINE,
    LEDGER_STREAM,
    Heard,
    InProcess,
    NatsServer,
    Process,
    eventually,
    gate_process,
    intent_bytes,
    listen,
    ours,
    policy,
    publish,
    running_gate,
    until,
)
from nats.js.api import DiscardPolicy

from engine_monitor import EngineMonitor, is_beat
from petrosa_cio.apps.nurse.liveness import Status
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core import clock
from petrosa_cio.core.nats import vitals
from petrosa_cio.core.nats.heartbeat import Heartbeat, HeartbeatTerms
from petrosa_cio.core.nats.together import end
from petrosa_cio.core.nats.vitals import LAG_MEMORY, Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.nurse.policy import Policy

SUBJECT = "cio.heartbeat"
PING = "cio.heartbeat.ping"
BEATS_EVERY = 0.1
PATIENT = 5000
"""``heartbeat_timeout_ms`` of tests that are not about lag: the machine is shared."""

_gates = count(1)


@dataclass
class Beating:
    """A gate with its heartbeat, in this process."""

    running: InProcess
    heart: Heartbeat
    name: str
    task: asyncio.Task[None]

    async def speaks(self) -> None:
        await until(lambda: self.heart.liveness().status is not Status.SILENT, "the gate speaks")

    async def falls_silent(self, why: str, deadline: float = DEADLINE) -> None:
        def silent() -> bool:
            live = self.heart.liveness()
            return live.status is Status.SILENT and any(why in one for one in live.silent)

        await until(silent, f"silence, because {why}", deadline)


@contextlib.asynccontextmanager
async def beating_gate(
    url: str, rules: Policy | None = None, now: Callable[[], Instant] = clock.now_ns
) -> AsyncIterator[Beating]:
    """A gate that leads and beats ten times a second."""
    name = f"gate-{next(_gates)}"
    async with running_gate(url, rules or policy(heartbeat_timeout_ms=PATIENT), now=now) as running:
        terms = HeartbeatTerms(SUBJECT, BEATS_EVERY, "test", name)
        heart = Heartbeat(Vitals(running.gate, clock.steady_ns), terms, lambda *_: None)
        await heart.answer()
        task = asyncio.create_task(heart.run())
        try:
            yield Beating(running, heart, name, task)
        finally:
            await end(task)


async def hear_beats(client: Client, subject: str = SUBJECT) -> Heard:
    """What is published on the engine's subject, and the harness's markers; no signal is expected beside them."""
    heard = await listen(client)
    await client.subscribe(subject, cb=heard.hear)
    await client.flush()
    return heard


async def asked(client: Client, subject: str = PING, body: bytes = b"", within: float = 0.5) -> dict[str, Json] | None:
    """The answer to a request; None where nobody answers."""
    try:
        return json.loads((await client.request(subject, body, timeout=within)).data)
    except (nats.errors.NoRespondersError, TimeoutError):
        return None


async def answers(client: Client, status_code: str, deadline: float = DEADLINE) -> dict[str, Json]:
    """Ask until the answer has ``status_code``."""
    found: list[dict[str, Json]] = []

    async def said() -> bool:
        answer = await asked(client)
        found[:] = [] if answer is None else [answer]
        return answer is not None and answer["status_code"] == status_code

    await eventually(said, f"an answer {status_code}", deadline)
    return found[0]


async def beats_from_now(heard: Heard, more: int = 1) -> list[dict[str, Json]]:
    """The next beats."""
    seen = len(heard.messages)
    await until(lambda: len(heard.messages) >= seen + more, f"{more} beats")
    return [json.loads(message.data) for message in heard.messages[seen : seen + more]]


async def silent_for(heard: Heard, seconds: float) -> None:
    """Fail where a beat arrives within ``seconds``."""
    seen = len(await heard.all())
    with contextlib.suppress(AssertionError):
        await until(lambda: len(heard.messages) > seen, "no beat", seconds)
    assert len(heard.messages) == seen


# -- what is said ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [SUBJECT, PING])
async def test_a_request_is_answered(nats_server: NatsServer, client: Client, subject: str) -> None:
    """On both subjects: status, ISO time, version, what it depends on, and how long the answer took."""
    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        answer = await asked(client, subject, b"what is in a request is not looked at")
    assert answer is not None
    took = answer.pop("response_time_ms")
    assert isinstance(took, float)
    assert 0 <= took < 200
    told = answer.pop("timestamp")
    assert isinstance(told, str)
    assert told.endswith("+00:00")
    assert answer == {
        "status": "OK",
        "status_code": "GOVERNANCE_ACTIVE",
        "service": "petrosa-cio",
        "version": "test",
        "degraded": [],
        "dependencies": dict.fromkeys(("intents", "ledger", "policy", "facts", "clock", "leader"), "ok"),
    }


async def test_a_beat_is_what_the_engine_counts(nats_server: NatsServer, client: Client) -> None:
    """A beat has the engine's four fields, with the time as a number of seconds since 1970, and says whose it is."""
    heard = await hear_beats(client)
    async with beating_gate(nats_server.url) as beating:
        before = time.time()
        (beat,) = await beats_from_now(heard)
        assert before - 1 < beat["timestamp"] < time.time() + 1
    assert is_beat(json.dumps(beat).encode())
    assert (beat["service"], beat["status"], beat["version"]) == ("petrosa-cio", "GOVERNANCE_ACTIVE", "test")
    assert (beat["book"], beat["gate"], beat["leading"]) == (BOOK, beating.name, True)


async def test_a_message_without_an_inbox_is_not_answered(nats_server: NatsServer, client: Client) -> None:
    """Our own beats, and whatever else is published without a reply subject, bring forth nothing."""
    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        heard = await hear_beats(client)
        for body in (b"", b"{}", b'{"service": "petrosa-cio"}', b"[" * 100_000):
            await client.publish(SUBJECT, body)
        await until(lambda: len(heard.messages) > 6, "what was published, and beats after it")
        assert await asked(client) is not None
        await heard.all()
    others = [message.data for message in heard.messages if not is_beat(message.data)]
    assert others == [b"", b"{}", b"[" * 100_000]


# -- what the engine makes of it ---------------------------------------------------------------------------------------


async def test_the_engine_stays_normal_restricts_and_recovers(nats_server: NatsServer, client: Client) -> None:
    """Beats keep the engine NORMAL for as long as they come; silence restricts it; three beats later it is NORMAL.

    Pings at the same time, at either of our two ways to ask that the documents name, do not set the recovery back.
    """
    heard = await hear_beats(client)
    engine, taken, now = EngineMonitor(), 0, 0.0

    async def next_beat() -> None:
        """The engine's clock steps ten seconds from beat to beat; what else is heard on its subject comes as well."""
        nonlocal taken, now
        assert await asked(client) is not None
        await until(lambda: len(heard.messages) > taken, "a beat")
        now += 10
        engine.at(now).hear(heard.messages[taken].data)
        taken += 1

    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        for _ in range(12):
            await next_beat()
            assert not engine.restricted
    taken = len(await heard.all())
    now += 65
    assert engine.at(now).restricted
    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        for restricted in (True, True, False):
            await next_beat()
            assert engine.restricted is restricted
    assert all(is_beat(message.data) for message in heard.messages)


# -- DEGRADED ----------------------------------------------------------------------------------------------------------


async def test_a_policy_that_nobody_confirms_degrades(nats_server: NatsServer, client: Client) -> None:
    """A policy older than it may be blocks entries; closes pass, so the gate lives, degraded."""
    async with beating_gate(
        nats_server.url, policy(heartbeat_timeout_ms=PATIENT, max_policy_age_seconds=60)
    ) as beating:
        await beating.speaks()
        terms = beating.running.gate.terms
        terms.policy_version, terms.policy_as_of = 1, clock.now_ns() - 61 * SECOND
        answer = await answers(client, "DEGRADED", 2.0)
        assert answer["degraded"] == ["policy: POLICY_UNAVAILABLE"]
        assert answer["dependencies"]["policy"] == "degraded"
        terms.policy_as_of = clock.now_ns()
        await answers(client, "GOVERNANCE_ACTIVE")


async def test_a_governed_process_without_a_policy_is_degraded(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    """A gate process whose board has nothing says so, and its beats do."""
    heard = await hear_beats(client)
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"scopes": {"global": {"heartbeat_timeout_ms": PATIENT}}, "required_facts": []}))
    where = ("--nats-url", nats_server.url, "--data-dir", str(tmp_path / "gate"))
    gate = Process(ours("gate", *where, "--policy", str(rules), "--governed"), tmp_path / "gate.log").start()
    try:
        answer = await answers(client, "DEGRADED")
        assert answer["degraded"] == ["policy: POLICY_UNAVAILABLE"]
        (beat,) = await beats_from_now(heard)
        assert beat["status"] == "DEGRADED"
    finally:
        gate.end()


async def test_the_settings_name_subject_and_interval(nats_server: NatsServer, client: Client, tmp_path: Path) -> None:
    """A gate of `serve` beats and answers where its settings say, as often as they say, and nowhere else."""
    heard = await hear_beats(client)
    renamed = await hear_beats(client, "fund.heart")
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"scopes": {"global": {"heartbeat_timeout_ms": PATIENT}}}))
    settings = {
        "CIO_NATS_URL": nats_server.url,
        "CIO_POLICY_FILE": str(rules),
        "CIO_DATA_DIR": str(tmp_path / "gate"),
        "CIO_HEARTBEAT_SUBJECT": "fund.heart",
        "CIO_HEARTBEAT_SECONDS": "0.2",
    }
    gate = Process(ours("gate", "--from-settings"), tmp_path / "gate.log", settings).start()
    try:
        beats = await beats_from_now(renamed, 11)
        apart = (beats[-1]["timestamp"] - beats[0]["timestamp"]) / 10
        assert 0.19 < apart < 0.9  # never faster; slower only by what the machine is
        assert await asked(client, "fund.heart.ping", within=DEADLINE) is not None
        assert await asked(client) is None
        assert heard.messages == []
    finally:
        gate.end()


async def test_required_facts_that_nothing_supplies_degrade(nats_server: NatsServer, client: Client) -> None:
    """Where the policy requires facts and the gate knows none, every entry is refused: DEGRADED."""
    scopes: dict[str, Json] = {"global": {"heartbeat_timeout_ms": PATIENT}}
    rules = read_policy({"scopes": scopes, "required_facts": ["mark"]})
    async with beating_gate(nats_server.url, rules):
        answer = await answers(client, "DEGRADED")
    assert answer["degraded"] == ["facts: MARKET_STALE"]


# -- silence -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def raw_connection(server: NatsServer) -> Iterator[socket.socket]:
    """A connection that is written to at once, event loop or not."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
        connection.sendall(b'CONNECT {"verbose": false}\r\nPING\r\n')
        received_until(connection, b"PONG\r\n")
        yield connection


def received_until(connection: socket.socket, end_of_it: bytes) -> bytes:
    found = b""
    while not found.endswith(end_of_it):
        found += connection.recv(4096)
    return found


async def limit(client: Client, room: int, discard: DiscardPolicy) -> None:
    """Let the ledger stream hold ``room`` messages."""
    js = client.jetstream()
    info = await js.stream_info(LEDGER_STREAM)
    await js.update_stream(replace(info.config, max_msgs=room, discard=discard))


async def test_a_full_ledger_silences_an_idle_gate(nats_server: NatsServer, client: Client) -> None:
    """A ledger stream that takes no more is found without any intent; beats go on once there is room."""
    heard = await hear_beats(client)
    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        js = client.jetstream()
        records = (await js.stream_info(LEDGER_STREAM)).state.messages
        await limit(client, records, DiscardPolicy.NEW)
        await beating.falls_silent("full", 1.0)
        await silent_for(heard, 3 * BEATS_EVERY)
        assert await asked(client) is None
        await limit(client, -1, DiscardPolicy.OLD)
        await beats_from_now(heard)


async def test_a_full_ledger_silences_a_gate_that_meets_it(nats_server: NatsServer, client: Client) -> None:
    """With an intent that cannot be recorded there is silence for as long as it lasts."""
    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        js = client.jetstream()
        await limit(client, (await js.stream_info(LEDGER_STREAM)).state.messages, DiscardPolicy.NEW)
        await publish(client, [intent_bytes()])
        await until(lambda: beating.running.gate.state == "ledger unavailable", "the outage")
        assert beating.heart.liveness().status is Status.SILENT
        await limit(client, -1, DiscardPolicy.OLD)
        await answers(client, "GOVERNANCE_ACTIVE")


async def test_intents_that_nobody_judges_silence(nats_server: NatsServer, client: Client) -> None:
    """Intents wait and none is judged, with loop and streams in the best of health: silence within a second."""
    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        async with beating.running.gate._judging:  # as whatever hangs before a verdict would
            await publish(client, [intent_bytes(), intent_bytes()])
            await beating.falls_silent("with 2 intents waiting", 1.5)
        await answers(client, "GOVERNANCE_ACTIVE")


async def test_a_clock_that_is_off_degrades(nats_server: NatsServer, client: Client) -> None:
    """A gate whose clock is a second ahead of the server's says so: its hard timeout is not the true one."""
    rules = policy(heartbeat_timeout_ms=PATIENT)
    async with beating_gate(nats_server.url, rules, now=lambda: clock.now_ns() + SECOND):
        answer = await answers(client, "DEGRADED")
    (what,) = answer["degraded"]
    skew = int(what.removeprefix("clock: ").partition(" ")[0])
    assert 900 <= skew <= 1000  # less only by what the question took


async def test_a_ledger_that_is_gone_silences(nats_server: NatsServer, client: Client) -> None:
    """Where there is no ledger stream any more there is nothing to record in."""
    async with beating_gate(nats_server.url, policy()) as beating:
        await beating.speaks()
        await client.jetstream().delete_stream(LEDGER_STREAM)
        await beating.falls_silent("not answered", 1.5)


async def test_an_intent_that_cannot_be_judged_silences(
    nats_server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where judging raises, whatever it is, every intent would be quarantined: that is no governance."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        with monkeypatch.context() as patch:
            patch.setattr(vitals, "canary", broken)
            await beating.falls_silent("cannot be judged: ZeroDivisionError()", 1.0)
        await answers(client, "GOVERNANCE_ACTIVE")


async def test_streams_that_do_not_answer_silence(nats_server: NatsServer, client: Client) -> None:
    """Streams that owe an answer for longer than an answer may take: silence within a second."""
    async with beating_gate(nats_server.url, policy()) as beating:
        await beating.speaks()
        nats_server.process.send(signal.SIGSTOP)
        try:
            await beating.falls_silent("not answered", 1.0)
        finally:
            nats_server.process.send(signal.SIGCONT)
        await beating.speaks()


async def test_a_server_that_is_gone_silences(nats_server: NatsServer, client: Client) -> None:
    """Without a connection there is nothing to say, and after the server's return all is said again."""
    async with beating_gate(nats_server.url) as beating:
        await beating.speaks()
        nats_server.kill()
        await beating.falls_silent("no connection", 1.0)
        nats_server.restart()
        await answers(client, "GOVERNANCE_ACTIVE")


async def test_a_blocked_loop_is_not_answered_for(nats_server: NatsServer, client: Client) -> None:
    """What was asked while the loop was blocked gets no answer afterwards, and no beat follows for a second."""
    async with beating_gate(nats_server.url, policy()):
        heard = await hear_beats(client)
        await answers(client, "GOVERNANCE_ACTIVE")
        with raw_connection(nats_server) as asking:
            asking.sendall(f"SUB _INBOX.asking 1\r\nPUB {PING} _INBOX.asking 0\r\n\r\n".encode())
            time.sleep(0.5)  # noqa: ASYNC251  this is the block
            unblocked = time.monotonic()
            await heard.all()
            await beats_from_now(heard)
            assert time.monotonic() - unblocked > 0.9 * LAG_MEMORY / SECOND
            asking.sendall(b"PING\r\n")
            assert b"MSG" not in await asyncio.to_thread(received_until, asking, b"PONG\r\n")
        assert await asked(client) is not None


async def test_a_paused_process_does_not_beat_and_does_not_resume_as_if_nothing_had_been(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    """SIGSTOP: no answer, no beat. SIGCONT: none for a second more, as after any block; then again."""
    heard = await hear_beats(client)
    gate = gate_process(nats_server.url, tmp_path / "gate")
    try:
        await answers(client, "GOVERNANCE_ACTIVE")
        await beats_from_now(heard)
        gate.send(signal.SIGSTOP)
        await silent_for(heard, 1.5)
        assert await asked(client, within=0.2) is None
        resumed = time.monotonic()
        gate.send(signal.SIGCONT)
        await beats_from_now(heard)
        assert time.monotonic() - resumed > 0.9 * LAG_MEMORY / SECOND
        await answers(client, "GOVERNANCE_ACTIVE")
    finally:
        gate.end()
    await silent_for(heard, 0.2)


# -- two gates ---------------------------------------------------------------------------------------------------------


async def test_of_two_gates_the_one_that_leads_speaks(nats_server: NatsServer, client: Client) -> None:
    """The one that stands by is silent; when the leader is gone it speaks, degraded, and leads with the next intent."""
    heard = await hear_beats(client)
    async with beating_gate(nats_server.url) as first, beating_gate(nats_server.url) as second:
        gates = {first.name: first, second.name: second}
        await publish(client, [intent_bytes()])
        await until(
            lambda: "standing by" in (first.running.gate.state, second.running.gate.state), "one of them is fenced"
        )
        standby = first if first.running.gate.state == "standing by" else second
        leader = second if standby is first else first
        await standby.falls_silent("another gate leads")
        await heard.all()
        assert {beat["gate"] for beat in await beats_from_now(heard, 5)} == {leader.name}
        assert gates[leader.name].heart.liveness().status is Status.ACTIVE

        await end(leader.task)
        await leader.running.die()
        await leader.running.link.close()
        await standby.speaks()
        answer = await answers(client, "DEGRADED")
        assert answer["dependencies"]["leader"] == "degraded"
        beat = (await beats_from_now(heard, 3))[-1]
        assert (beat["gate"], beat["leading"]) == (standby.name, False)
        await publish(client, [intent_bytes()])
        await answers(client, "GOVERNANCE_ACTIVE")
        assert standby.running.gate.state == "leading"
