"""The books: whatever flows, every intent is somewhere, and the status answer says where."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from typing import TYPE_CHECKING

from harness import (
    BOOK,
    LEDGER_STREAM,
    OUTBOX_STREAM,
    codes,
    eventually,
    gate_process,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    policy,
    running_gate,
    stream_messages,
    until,
)

from petrosa_cio.bootstrap.gate import status_answer
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.together import end

if TYPE_CHECKING:
    from pathlib import Path

    from harness import NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.link import Link

VERDICTS = ("approved", "reduced", "blocked", "absorbed", "quarantined")


async def ask_status(client: Client) -> dict[str, Json]:
    """What the gate says of itself."""
    return json.loads((await client.request(subjects.status_subject(BOOK), timeout=5)).data)


def mixed_stream(size: int, seed: int) -> list[tuple[str, bytes]]:
    """Payloads, each with the verdict that it must get under the default size limit of 1000."""
    chance = random.Random(seed)
    made: list[tuple[str, bytes]] = []
    sound: list[bytes] = []
    for number in range(size):
        match chance.choice(("sound", "sound", "sound", "large", "close", "hold", "malformed", "garbage", "repeat")):
            case "sound":
                sound.append(intent_bytes(action=chance.choice(("buy", "sell"))))
                made.append(("approved", sound[-1]))
            case "large":
                made.append(("reduced", intent_bytes(quantity=50.0)))
            case "close":
                sound.append(intent_bytes(action="close"))
                made.append(("approved", sound[-1]))
            case "hold":
                made.append(("absorbed", intent_bytes(action="hold")))
            case "malformed":
                faulty = chance.choice(
                    (b"{}", b"[]", b"null", intent_bytes(price="100"), intent_bytes(action="BUY"), b'{"action":"buy"}')
                )
                made.append(("blocked", faulty))
            case "garbage":
                made.append(("quarantined", chance.choice((b"", b"{", b"NaN", b"\xff\xfe\x00", chance.randbytes(99)))))
            case _ if sound:
                made.append(("blocked", chance.choice(sound)))
            case _:
                made.append(("absorbed", intent_bytes(action="hold", intent_id=f"early-{number}")))
    return made


async def test_the_books_balance_at_every_moment(nats_server: NatsServer, client: Client, tmp_path: Path) -> None:
    """While 1500 intents of every kind flow each status answer balances, and after them every total is as expected."""
    stream = mixed_stream(1500, seed=20)
    heard = await listen(client)
    gate = gate_process(nats_server.url, tmp_path)
    try:
        await eventually(lambda: answers(client), "the gate answers")
        answered: list[dict[str, Json]] = []

        async def watch() -> None:
            while True:
                answered.append((await ask_status(client))["account"])

        watching = asyncio.create_task(watch())
        for number, (_, payload) in enumerate(stream):
            await client.publish("intent.trading.btc", payload)
            if number % 25 == 0:
                await client.flush()
        await client.flush()
        await eventually(lambda: accounted(client, len(stream)), "all accounted for")
        await end(watching)
        final = (await ask_status(client))["account"]
    finally:
        gate.end()

    assert len(answered) > 5
    assert [account["imbalances"] for account in answered if not account["balanced"]] == []
    assert all(account["awaiting_judgement"] >= 0 <= account["awaiting_promotion"] for account in answered)
    expected = Counter(verdict for verdict, _ in stream)
    assert {verdict: final[verdict] for verdict in VERDICTS} == {verdict: expected[verdict] for verdict in VERDICTS}
    assert final["received"] == len(stream)
    assert final["promoted"] == expected["approved"] + expected["reduced"]
    assert final["balanced"]
    await heard.all()
    assert len(heard.messages) == final["promoted"]
    assert len(set(heard.sequences)) == len(heard.messages)


async def answers(client: Client) -> bool:
    with contextlib.suppress(Exception):
        return (await ask_status(client))["state"] == "leading"
    return False


async def accounted(client: Client, count: int) -> bool:
    account = (await ask_status(client))["account"]
    return account["received"] == count and account["awaiting_judgement"] == account["awaiting_promotion"] == 0


async def test_each_intent_gets_the_verdict_it_was_made_for(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """In stream order every verdict is the one the payload was made for, and only promoted ones were heard."""
    stream = mixed_stream(400, seed=21)
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        for _, payload in stream:
            await client.publish("intent.trading.btc", payload)
        await gate.judged(len(stream))
        await heard.all()

    decisions = of_kind(await ledger(link), "decision")
    assert [decision["sequence"] for decision in decisions] == list(range(1, len(stream) + 1))
    assert [decision["verdict"] for decision in decisions] == [verdict for verdict, _ in stream]
    promoted = [number for number, (verdict, _) in enumerate(stream, 1) if verdict in ("approved", "reduced")]
    assert heard.sequences == promoted


async def test_the_quarantine_holds_the_bytes_as_they_came(nats_server: NatsServer, client: Client, link: Link) -> None:
    """Every undecodable payload, and no other, is in the quarantine byte for byte, and was not judged malformed."""
    stream = mixed_stream(300, seed=22)
    async with running_gate(nats_server.url) as gate:
        for _, payload in stream:
            await client.publish("intent.trading.btc", payload)
        await gate.judged(len(stream))

    kept = await stream_messages(link, subjects.QUARANTINE_STREAM)
    raw = {int(message.subject.rsplit(".", 1)[1]): message.data for message in kept}
    assert raw == {number: payload for number, (verdict, payload) in enumerate(stream, 1) if verdict == "quarantined"}
    for decision in of_kind(await ledger(link), "decision"):
        quarantined = decision["verdict"] == "quarantined"
        assert ("quarantine" in decision) == quarantined == (decision["sequence"] in raw)
        assert not (quarantined and decision["reasons"])


async def test_a_signal_that_nobody_promised_is_an_imbalance(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """A message put into the outbox by another hand shows in the status answer as one signal too many."""
    async with running_gate(nats_server.url) as gate:
        await client.publish("intent.trading.btc", intent_bytes())
        await gate.judged(1)
        before = json.loads(await status_answer(gate.link, gate.gate))["account"]
        await client.jetstream().publish(f"cio.outbox.{BOOK}.99.signal.forged", b"{}")
        after = json.loads(await status_answer(gate.link, gate.gate))["account"]

    assert (before["balanced"], before["imbalances"]) == (True, [])
    assert (after["balanced"], after["imbalances"]) == (False, ["1 more signals and expiries than promises"])


async def test_a_reduced_order_counts_once(nats_server: NatsServer, client: Client, link: Link) -> None:
    """A reduction counts as reduced and promoted, not as approved, and has one ledger record and one outbox message."""
    async with running_gate(nats_server.url, policy(max_position_size_usd=200.0)) as gate:
        await client.publish("intent.trading.btc", intent_bytes(quantity=5.0))
        await gate.judged(1)
        account = json.loads(await status_answer(gate.link, gate.gate))["account"]

    assert {name: account[name] for name in ("received", "approved", "reduced", "promoted")} == {
        "received": 1,
        "approved": 0,
        "reduced": 1,
        "promoted": 1,
    }
    assert (await link.state(OUTBOX_STREAM)).messages == 1
    assert (await link.state(LEDGER_STREAM)).messages == 2  # the policy that came into force, and the decision


async def test_an_intent_that_the_stream_refused_is_noticed(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """A buy that a producer's own header kept out of the stream leaves no signal, and the gate counts it."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        await client.publish("intent.trading.btc", intent_bytes(), headers={"Nats-Expected-Stream": "ANOTHER"})
        await client.flush()
        await until(lambda: gate.gate.counters.uncaptured == 1, "the witness notices")
        await client.publish("intent.trading.btc", intent_bytes())
        await gate.judged(1)
        await heard.all()

    (decision,) = of_kind(await ledger(link), "decision")
    assert codes(decision) == []
    assert heard.sequences == [1]
