"""Whatever comes in: exactly one ledger record each, and a gate that lives on. The gate is a real process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import string
import zipfile
from typing import TYPE_CHECKING

import pytest
from harness import (
    SHARED,
    TRACEPARENT,
    NatsServer,
    Process,
    codes,
    eventually,
    gate_process,
    intent,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    policy,
    publish,
    running_gate,
    stream_messages,
    until,
)

from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core.nats import subjects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.link import Link

BAD = SHARED / "data" / "bad_inputs"
needs_shared = pytest.mark.skipif(not BAD.exists(), reason=f"{BAD} is not on this machine")

TEXT_FIELDS = (
    "strategy_id",
    "symbol",
    "action",
    "timestamp",
    "intent_id",
    "id",
    "signal_id",
    "strategy",
    "source",
    "strategy_mode",
    "strength",
    "timeframe",
    "order_type",
    "time_in_force",
    "conditional_direction",
    "client_order_id",
    "llm_reasoning",
    "rationale",
)
LIMITS_ALL_SET: dict[str, Json] = {
    "sl_distance_min_pct": 0.1,
    "sl_distance_max_pct": 50.0,
    "tp_distance_min_pct": 0.1,
    "tp_distance_max_pct": 500.0,
    "min_reward_to_risk": 0.5,
    "price_min_absolute": 0.001,
    "price_max_absolute": 1_000_000.0,
    "price_min_relative_pct": -50.0,
    "price_max_relative_pct": 50.0,
    "quantity_min": 0.001,
    "quantity_max": 1000.0,
    "override_min_notional": 5.0,
    "override_min_qty": 0.001,
    "override_step_size": 0.001,
    "accumulation_cooldown_seconds": 1,
    "max_accumulations": 10,
}
"""Every limit that a policy may leave open, set: each of their controls looks at every number."""


@pytest.fixture
def gate(nats_server: NatsServer, tmp_path: Path) -> Iterator[Process]:
    """A gate process."""
    process = gate_process(nats_server.url, tmp_path)
    yield process
    process.end()


async def survives(client: Client, link: Link, gate: Process, payloads: list[bytes]) -> list[dict[str, Json]]:
    """Send ``payloads`` and one sound intent; the decisions on the former, after all that must hold was checked."""
    heard = await listen(client)
    await publish(client, [*payloads, intent_bytes()])

    async def recorded() -> bool:
        last = await link.last(subjects.ledger_stream("main"), subjects.ledger_subject("main"))
        return last is not None and json.loads(last.data)["cursor"] == len(payloads) + 1

    with contextlib.suppress(AssertionError):  # what is wrong shows better below
        await eventually(recorded, "everything is recorded")
    log = gate.text()
    assert "Traceback" not in log, log[-3000:]
    assert gate.alive
    records = await ledger(link)
    decisions = of_kind(records, "decision")
    assert [decision["sequence"] for decision in decisions] == list(range(1, len(payloads) + 2))
    assert len(records) == len(decisions) + 1  # and the policy; nothing expired
    assert decisions[-1]["verdict"] == "approved", decisions[-1]["reasons"]
    promised = [found["sequence"] for found in decisions if found["verdict"] in ("approved", "reduced")]
    await until(lambda: len(heard.messages) >= len(promised), "every promised signal is heard")
    await heard.all()
    assert heard.sequences == promised
    return decisions[:-1]


@needs_shared
async def test_the_json_parsing_suite(client: Client, link: Link, gate: Process) -> None:
    """Each file of the suite is one record; what is no JSON is quarantined, what is JSON is judged malformed."""
    with zipfile.ZipFile(BAD / "json_parsing_suite.zip") as archive:
        files = [name for name in archive.namelist() if name.endswith(".json")]
        payloads = [archive.read(name) for name in files]
    assert len(files) > 200

    decisions = await survives(client, link, gate, payloads)

    verdicts = {name.rsplit("/", 1)[1]: decision["verdict"] for name, decision in zip(files, decisions, strict=True)}
    assert {name for name, verdict in verdicts.items() if name.startswith("y_") and verdict != "blocked"} == set()
    assert {name for name, verdict in verdicts.items() if name.startswith("n_") and verdict != "quarantined"} == set()
    assert {verdict for name, verdict in verdicts.items() if not name.startswith(("y_", "n_"))} <= {
        "blocked",
        "quarantined",
    }


def naughty() -> list[str]:
    strings: list[str] = json.loads((BAD / "naughty_strings.json").read_text(encoding="utf-8"))
    return strings


@needs_shared
async def test_naughty_strings_as_payloads(client: Client, link: Link, gate: Process) -> None:
    """Each naughty string, bare and as a JSON string, is one record, and none is approved."""
    bare = [text.encode("utf-8", "surrogatepass") for text in naughty()]
    quoted = [json.dumps(text).encode() for text in naughty()]

    decisions = await survives(client, link, gate, bare + quoted)

    assert {decision["verdict"] for decision in decisions[: len(bare)]} <= {"blocked", "quarantined"}
    assert {decision["verdict"] for decision in decisions[len(bare) :]} == {"blocked"}


@needs_shared
async def test_naughty_strings_in_every_text_field(client: Client, link: Link, gate: Process) -> None:
    """Each naughty string in each text field of an otherwise sound intent is judged: never quarantined, never fatal."""
    payloads = [intent_bytes(**{name: text}) for name in TEXT_FIELDS for text in naughty()]

    decisions = await survives(client, link, gate, payloads)

    assert {decision["verdict"] for decision in decisions} == {"approved", "blocked", "absorbed"} - (
        set() if any('"hold"' in text for text in naughty()) else {"absorbed"}
    )


@needs_shared
async def test_naughty_strings_as_names_and_metadata(client: Client, link: Link, gate: Process) -> None:
    """Each naughty string as a field's name and inside metadata travels through to the signal unchanged."""
    texts = naughty()
    heard = await listen(client)
    payloads = [intent_bytes(metadata={text: text}, **{f"x {text}": text}) for text in texts]

    decisions = await survives(client, link, gate, payloads)

    assert {decision["verdict"] for decision in decisions} == {"approved"}
    await heard.all()
    for text, signal in zip(texts, heard.bodies, strict=False):
        assert signal["metadata"][text] == text
        assert signal[f"x {text}"] == text


async def test_large_garbage_and_nothing_at_all(client: Client, link: Link, gate: Process) -> None:
    """900 kB of garbage, an empty payload and 900 kB of sound JSON are quarantined whole."""
    huge = intent_bytes(rationale="x" * 900_000)
    payloads = [b"\xff" * 900_000, b"", huge]

    decisions = await survives(client, link, gate, payloads)

    assert [decision["verdict"] for decision in decisions] == ["quarantined"] * 3
    kept = await stream_messages(link, subjects.QUARANTINE_STREAM)
    assert [message.data for message in kept] == payloads


def repeated_names() -> bytes:
    """A payload inside the size limit in which 16 000 fields are named twice: each is a fault of its own."""
    letters = itertools.product(string.ascii_letters, repeat=3)
    names = ["".join(name) for name in itertools.islice(letters, 16_000)]
    return ("{" + ",".join(f'"{name}":0,"{name}":0' for name in names) + "}").encode()


BULKY = {
    "many faults": repeated_names,
    "quotes": lambda: intent_bytes(rationale='"' * 120_000),
    "two-byte letters": lambda: json.dumps(intent(rationale="é" * 130_000), ensure_ascii=False).encode(),
    "numbers that grow": lambda: intent_bytes().replace(b"}", b',"x":[' + b",".join([b"1e15"] * 52_000) + b"]}"),
    "deep": lambda: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "deep arrays": lambda: b"[" * 200_000,
    "long number": lambda: intent_bytes().replace(b"100.0", b"1" * 5_000),
}


@pytest.mark.parametrize("made", BULKY.values(), ids=BULKY.keys())
async def test_what_grows_on_the_way_still_gets_its_record(
    client: Client, link: Link, gate: Process, made: object
) -> None:
    """A payload inside the size limit gets one record and delays nobody, however much larger it is once written out."""
    payload = made()
    assert len(payload) <= 256 * 1024

    (decision,) = await survives(client, link, gate, [payload])

    assert decision["verdict"] in ("approved", "blocked", "quarantined")


EXTREMES = (5e-324, 1e-300, 1e-40, 1e-10, 1e10, 1e23, 1e40, 1e100, 1.7e308, 10**20, 123456789.123456789)
NUMBERS = (
    "price",
    "current_price",
    "stop_loss",
    "take_profit",
    "quantity",
    "quote_quantity",
    "stop_loss_pct",
    "take_profit_pct",
    "position_size_pct",
    "confidence",
)


def extreme_intents() -> list[bytes]:
    """Each number of an intent at each extreme, alone and against the opposite extreme of another."""
    alone = [{name: value} for name in NUMBERS for value in EXTREMES]
    against = [
        {one: low, other: high}
        for one, other in itertools.permutations(("price", "current_price", "stop_loss", "take_profit", "quantity"), 2)
        for low, high in ((5e-324, 1.7e308), (1e-40, 1e40), (1e-10, 1e23))
    ]
    return [
        intent_bytes(action=action, **{"stop_loss": 90.0, **numbers})
        for numbers in (*alone, *against)
        for action in ("buy", "sell")
    ]


@pytest.mark.parametrize("limits", [{}, LIMITS_ALL_SET], ids=["default limits", "every limit set"])
async def test_extreme_numbers(
    nats_server: NatsServer, client: Client, link: Link, tmp_path: Path, limits: dict[str, Json]
) -> None:
    """Every finite number that JSON can write, in every numeric field, is judged, and its record can be read again."""
    rules = tmp_path / "limits.json"
    rules.write_text(json.dumps(policy(**limits).content), encoding="utf-8")
    assert read_policy(json.loads(rules.read_text())).revision
    gate = gate_process(nats_server.url, tmp_path, policy=str(rules))
    try:
        payloads = extreme_intents()
        heard = await listen(client)
        await publish(client, payloads)

        async def recorded() -> bool:
            last = await link.last(subjects.ledger_stream("main"), subjects.ledger_subject("main"))
            return not gate.alive or (last is not None and f'"cursor":{len(payloads)},'.encode() in last.data)

        await eventually(recorded, "everything is recorded")
        assert "Traceback" not in gate.text(), gate.text()[-3000:]
        assert gate.alive
    finally:
        gate.end()
    decisions = of_kind(await ledger(link), "decision")
    assert [decision["sequence"] for decision in decisions] == list(range(1, len(payloads) + 1))
    await heard.all()
    assert all(signal["quantity"] >= 0 for signal in heard.bodies)
    async with running_gate(nats_server.url, read_policy(json.loads(rules.read_text()))) as second:
        assert second.gate.position.cursor == len(payloads)


async def test_wild_subjects_and_headers(client: Client, link: Link, gate: Process) -> None:
    """Deep and odd subjects and broken trace headers neither stop the gate nor change what is judged."""
    await eventually(lambda: leads(client), "the gate leads")
    odd = ["intent.a", "intent.trading.$SYS", "cio.intent.x.y.z.1.2.3", "intent.ünïcode", "intent." + "a" * 900]
    for subject in odd:
        await client.publish(subject, intent_bytes(), headers={"traceparent": "broken", "Traceparent": TRACEPARENT})
    await client.flush()

    async def recorded() -> bool:
        return len(of_kind(await ledger(link), "decision")) == len(odd)

    await eventually(recorded, "everything is recorded")
    decisions = of_kind(await ledger(link), "decision")
    assert [decision["subject"] for decision in decisions] == odd
    assert [codes(decision) for decision in decisions] == [[]] * len(odd)
    assert gate.alive
    assert "Traceback" not in gate.text()


async def leads(client: Client) -> bool:
    with contextlib.suppress(Exception):
        return json.loads((await client.request("cio.status.main", timeout=1)).data)["state"] == "leading"
    return False


@pytest.mark.parametrize("status", ["100", "503", ""])
async def test_a_producers_status_header_makes_no_control_message(
    client: Client, link: Link, gate: Process, status: str
) -> None:
    """An intent that carries the header of the server's own control messages is judged, and so is what follows it."""
    await client.publish("intent.trading.btc", intent_bytes(), headers={"Status": status})
    await client.publish("intent.trading.btc", intent_bytes())
    await client.flush()

    async def both_recorded() -> bool:
        return len(of_kind(await ledger(link), "decision")) == 2

    await eventually(both_recorded, "both are recorded")
    assert [found["sequence"] for found in of_kind(await ledger(link), "decision")] == [1, 2]
    assert gate.alive


SUBJECTS = (
    b"intent.\xff\xfe",
    b"cio.intent.\xe2\x82",
    b"intent.\x00\x01",
    b"intent.*.x",
    b"intent.>",
    b"intent.'quoted'\"",
    b"intent.\xc3\xbcml\xc3\xa4ut",
)
HEADERS = (
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\n\xff\xfe: x\r\n\r\n",
    b"NATS/1.0\r\nx: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\n: \r\n:::\r\nno colon\r\n\r\n",
    b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    b"NATS/1.0 404 \xff\xfe\r\na: b\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: intent.trading.echo\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"XXXX",
    b"\r\n",
    b"NATS/9.9\r\ntraceparent: 1\r\n\r\n",
)


async def test_what_no_client_library_would_send(
    nats_server: NatsServer, client: Client, link: Link, gate: Process
) -> None:
    """Subjects and headers that are no text, written straight to the socket: a decision each, and the gate lives on."""
    await eventually(lambda: leads(client), "the gate leads")
    reader, writer = await asyncio.open_connection("127.0.0.1", nats_server.port)
    writer.write(b'CONNECT {"verbose":false,"headers":true,"lang":"c","version":"1"}\r\n')
    for subject in SUBJECTS:
        payload = intent_bytes()
        writer.write(b"PUB %s %d\r\n%s\r\n" % (subject, len(payload), payload))
    for headers in HEADERS:
        payload = headers + intent_bytes()
        writer.write(b"HPUB intent.raw %d %d\r\n%s\r\n" % (len(headers), len(payload), payload))
    writer.write(b"PING\r\n")
    await writer.drain()
    async with asyncio.timeout(10):
        answer = b""
        while b"PONG" not in answer:
            answer += await reader.read(4096)
    writer.close()
    await publish(client, [intent_bytes(intent_id="afterwards")])
    stored = len(SUBJECTS) + len(HEADERS) + 1

    async def all_stored() -> bool:
        return (await link.state(subjects.INTENTS_STREAM)).last == stored

    await eventually(all_stored, "the server takes them all")

    async def recorded() -> bool:
        return len(of_kind(await ledger(link), "decision")) == stored

    await eventually(recorded, "everything is recorded")
    decisions = of_kind(await ledger(link), "decision")
    assert [decision["sequence"] for decision in decisions] == list(range(1, stored + 1))
    assert {decision["verdict"] for decision in decisions} == {"approved"}
    assert decisions[-1]["intent_id"] == "afterwards"
    assert gate.alive
    assert "Traceback" not in gate.text()
    assert '"interrupted"' not in gate.text()
