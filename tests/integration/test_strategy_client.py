"""The client against a real server and a real gate, and the page that says how to do the same without it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import (
    DEADLINE,
    LEDGER_STREAM,
    Heard,
    NatsServer,
    eventually,
    gate_process,
    ledger,
    of_kind,
    until,
)

from engine_monitor import is_beat
from petrosa_cio.apps.nurse.liveness import Part
from petrosa_cio.apps.nurse.models import Intent
from petrosa_cio.client import ANSWER_SECONDS, Governance
from petrosa_cio.core.nats import server, wire
from petrosa_cio.errors import BusError, MalformedIntent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.link import Link

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
BUY: dict[str, Json] = {
    "strategy_id": "Spread Liquidity.Monitor",
    "symbol": "BTCUSDT",
    "action": "buy",
    "confidence": 0.8,
    "price": 100.0,
    "quantity": 1.0,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def gate(nats_server: NatsServer, tmp_path: Path) -> Iterator[None]:
    """A gate process that approves every sound intent."""
    process = gate_process(nats_server.url, tmp_path / "gate")
    yield
    process.end()


async def is_active(governance: Governance) -> None:
    await eventually(governance.active, "governance is active")


async def test_governance_is_active_while_a_gate_judges(nats_server: NatsServer, tmp_path: Path) -> None:
    """True while a gate judges, False before it is there and after it is paused."""
    async with Governance(nats_server.url) as governance:
        assert not await governance.active()
        process = gate_process(nats_server.url, tmp_path / "gate")
        try:
            await is_active(governance)
            process.send(signal.SIGSTOP)
            began = time.monotonic()
            assert not await governance.active()
            assert time.monotonic() - began + 0.01 >= ANSWER_SECONDS
        finally:
            process.end()


async def test_it_never_waits_longer_than_200_ms(nats_server: NatsServer, client: Client) -> None:
    """Where somebody takes the request and does not answer, False comes after 200 ms, and no second later."""
    heard = Heard(client)
    await client.subscribe("cio.heartbeat.ping", cb=heard.hear)
    await client.flush()
    async with Governance(nats_server.url) as governance:
        began = time.monotonic()
        assert not await governance.active()
        assert 0.19 <= time.monotonic() - began < 1.2  # the machine is shared: half a second is not ours
    assert len(heard.messages) == 1


@pytest.mark.parametrize("body", [b"", b"pong", b"[]", b'{"status": "OK"}', b'{"status_code": "SILENT"}'])
async def test_an_answer_that_says_nothing_is_silence(nats_server: NatsServer, client: Client, body: bytes) -> None:
    """Whatever else answers on the subject, only a gate's own words count."""
    seen = asyncio.Event()

    async def respond(message: object) -> None:
        seen.set()
        await message.respond(body)  # type: ignore[attr-defined]

    await client.subscribe("cio.heartbeat.ping", cb=respond)
    await client.flush()
    async with Governance(client) as governance:
        assert await governance.answer() is None
    assert seen.is_set()
    assert client.is_connected


async def test_an_intent_is_stored_and_judged(nats_server: NatsServer, gate: None, link: Link) -> None:
    """`submit` returns the id of what is in the ledger a moment later, approved, with the trace that was begun."""
    async with Governance(nats_server.url) as governance:
        await is_active(governance)
        intent_id = await governance.submit(BUY)
    await eventually(lambda: decided(link), "a decision")
    (decision,) = of_kind(await ledger(link), "decision")
    assert (decision["intent_id"], decision["verdict"]) == (intent_id, "approved")
    assert decision["subject"] == "cio.intent.trading.Spread_Liquidity_Monitor"
    assert decision["trace"]["dropped"] == 0
    assert wire.parse_traceparent(decision["trace"]["traceparent"])


async def decided(link: Link) -> bool:
    return (await link.state(LEDGER_STREAM)).messages > 1 and bool(of_kind(await ledger(link), "decision"))


async def test_an_intent_that_is_submitted_again_is_a_repeat(nats_server: NatsServer, gate: None, link: Link) -> None:
    """With the same id the second is refused, so that whoever does not know whether it was stored may try again."""
    async with Governance(nats_server.url) as governance:
        await is_active(governance)
        given = {**BUY, "intent_id": "once"}
        assert [await governance.submit(given), await governance.submit(given)] == ["once", "once"]

    async def both() -> bool:
        return len(of_kind(await ledger(link), "decision")) == 2

    await eventually(both, "two decisions")
    first, second = of_kind(await ledger(link), "decision")
    assert (first["verdict"], second["verdict"]) == ("approved", "blocked")
    assert second["reasons"][0]["code"] == "DUPLICATE_INTENT"


async def test_what_is_malformed_is_not_sent(nats_server: NatsServer, link: Link) -> None:
    """A malformed intent is raised with every fault, and the stream has nothing of it."""
    async with Governance(nats_server.url) as governance:
        with pytest.raises(MalformedIntent, match=r"symbol: .*; price: "):
            await governance.submit({**BUY, "symbol": "btc", "price": -1})
    assert (await link.state("CIO_INTENTS")).messages == 0


async def test_where_nothing_stores_intents_submitting_fails(nats_server: NatsServer) -> None:
    """A server without our streams stores nothing, and the strategy hears of it."""
    async with Governance(nats_server.url) as governance:
        with pytest.raises(BusError, match="no gate has been started"):
            await governance.submit(BUY)


async def test_without_a_connection_nothing_is_sent_later(nats_server: NatsServer, link: Link) -> None:
    """While the server is away nothing is active and nothing is kept: what failed then does not leave afterwards."""
    async with Governance(nats_server.url) as governance:
        nats_server.kill()

        async def gone() -> bool:
            try:
                await governance.submit(BUY)
            except BusError as error:
                return "nothing was sent" in str(error)
            return False

        await eventually(gone, "the loss is noticed")
        assert not await governance.active()
        nats_server.restart()
        await link.restored()

        async def stored() -> bool:
            try:
                return bool(await governance.submit({**BUY, "intent_id": "afterwards"}))
            except BusError:
                return False

        await eventually(stored, "it is connected again")
        state = await link.state("CIO_INTENTS")
        last = await link.at("CIO_INTENTS", state.last)
        assert json.loads(last.data)["intent_id"] == "afterwards"
        assert state.messages == 1


async def test_no_server_is_told_at_once() -> None:
    """Where there is no NATS, entering the context fails after five seconds at most."""
    began = time.monotonic()
    with pytest.raises(BusError, match="cannot reach NATS"):
        async with Governance(f"nats://127.0.0.1:{server.free_port()}"):
            pytest.fail("there is no server")
    assert time.monotonic() - began < 10


# -- the page ----------------------------------------------------------------------------------------------------------


async def test_the_pages_python_runs(nats_server: NatsServer, gate: None, client: Client) -> None:
    """The example of the page submits its intent where governance is active."""
    async with Governance(client) as governance:
        await is_active(governance)
    (example,) = blocks("python")
    names: dict[str, object] = {}
    exec(example.replace("nats://127.0.0.1:4222", nats_server.url), names)

    async def submitted() -> bool:
        return bool(re.fullmatch("[0-9a-f]{32}", await names["trade"]()))  # type: ignore[operator]

    await eventually(submitted, "the example submits its intent")


async def test_the_pages_lines_of_plain_nats_are_answered(nats_server: NatsServer, gate: None, client: Client) -> None:
    """Written to a socket as they stand in the page, its lines bring an answer with the keys that the page shows."""
    async with Governance(client) as governance:
        await is_active(governance)
    (lines,) = blocks("text")
    answer = await asyncio.to_thread(ask_by_hand, nats_server.port, lines.replace("\n", "\r\n").encode())
    shown = json.loads(blocks("json")[0])
    assert list(answer) == list(shown)
    assert list(answer["dependencies"]) == list(shown["dependencies"]) == [part.value for part in Part]


def ask_by_hand(port: int, lines: bytes) -> dict[str, Json]:
    """Ask with nothing but a socket, again while there is no answer."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(lines)
            found = b""
            try:
                while b"}\r\n" not in found.partition(b"MSG ")[2]:
                    found += connection.recv(4096)
            except TimeoutError:
                continue
            return json.loads(found.partition(b"MSG ")[2].splitlines()[1])
    raise AssertionError("nobody answers")


async def test_the_pages_beat_is_what_leaves(nats_server: NatsServer, gate: None, client: Client) -> None:
    """The beat of the page has the keys of a real one, and the engine counts both."""
    heard = Heard(client)
    await client.subscribe("cio.heartbeat", cb=heard.hear)
    await client.flush()
    await until(lambda: bool(heard.messages), "a beat")
    shown = blocks("json")[1]
    assert list(heard.bodies[0]) == list(json.loads(shown))
    assert is_beat(shown.encode())
    assert is_beat(heard.messages[0].data)


def test_the_pages_intent_is_well_formed() -> None:
    """The intent of the page is one, and its two trace fields are valid and agree."""
    receipt = wire.receive(1, "cio.intent.trading.momentum_pulse", blocks("json")[2].encode(), None, 0)
    assert isinstance(receipt.body, Intent)
    assert receipt.trace.traceparent == receipt.fields["_otel_trace_context"]["traceparent"]
    assert receipt.fields["_otel_trace_context"] == receipt.fields["_otel_trace_headers"]
