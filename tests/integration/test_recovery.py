"""Crash and come back: the ledger is the cursor, what it says is kept, and what is unsound is refused by name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors
import pytest
from harness import (
    BOOK,
    LEDGER,
    LEDGER_STREAM,
    OUTBOX_STREAM,
    NatsServer,
    codes,
    core_client,
    eventually,
    gate_process,
    intent,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    policy,
    prepared_link,
    publish,
    running_gate,
    stream_messages,
    until,
)

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import DAY
from petrosa_cio.apps.nurse.decision import content_of, decide
from petrosa_cio.apps.nurse.models import SECOND, iso
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.bootstrap.gate import status_answer
from petrosa_cio.bootstrap.tailing import verify_stream
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.fold import Folded
from petrosa_cio.core.nats.ledger import Entry, entry
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Heard, InProcess
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.core.nats.link import Link

HOUR = 3600 * SECOND
INTENT = "intent.trading.btc"


# -- the ledger is the cursor ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_gate_that_dies_again_and_again_decides_each_intent_once(
    nats_server: NatsServer, client: Client, link: Link, seed: int
) -> None:
    """A gate that dies at random points of a stream of 1200 and is started anew judges nothing twice or never."""
    chance = random.Random(seed)
    heard = await listen(client)
    total = 1200
    publishing = asyncio.create_task(steadily(client, total))
    deaths = 0
    while not await decided(link, total):
        async with running_gate(nats_server.url) as gate:
            goal = gate.gate.counters.judged + chance.randint(1, 200)
            await until(
                lambda g=gate, n=goal: g.gate.counters.judged >= n or g.gate.position.cursor == total, "judging"
            )
            for _ in range(chance.randint(0, 30)):
                await asyncio.sleep(0)
            await gate.die()
            deaths += 1
    await publishing
    async with running_gate(nats_server.url) as gate:
        await gate.judged(total)

    assert deaths > 3
    records = await ledger(link)
    assert [content["sequence"] for content in of_kind(records, "decision")] == list(range(1, total + 1))
    assert len(of_kind(records, "policy")) == 1
    assert of_kind(records, "expired") == []
    await until(lambda: len(heard.messages) >= total, "all signals are heard")
    await heard.all()
    assert sorted(heard.sequences) == list(range(1, total + 1))
    assert (await verify_stream(link, BOOK)).breaks == ()


async def steadily(client: Client, total: int) -> None:
    for _ in range(total // 20):
        await publish(client, [intent_bytes() for _ in range(20)])
        await asyncio.sleep(0.01)


async def decided(link: Link, total: int) -> bool:
    last = await link.last(LEDGER_STREAM, LEDGER)
    return last is not None and record.decode(last.data)["cursor"] == total


async def test_a_gate_that_is_asked_to_stop_settles_what_it_recorded(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """After an orderly stop under load every recorded promise has its signal, and a new gate goes on from there."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        publishing = asyncio.create_task(steadily(client, 600))
        await until(lambda: gate.gate.counters.judged >= 100, "under way")
        await gate.stop()
        assert gate.gate.state == "stopped"
        promised = [content["sequence"] for content in of_kind(await ledger(link), "decision")]
        settled = [subjects.outbox_sequence(kept.subject) for kept in await stream_messages(link, OUTBOX_STREAM)]
        assert settled == promised
    await publishing
    async with running_gate(nats_server.url) as gate:
        await gate.judged(600)
    await until(lambda: len(heard.messages) >= 600, "all signals are heard")
    await heard.all()
    assert heard.sequences == list(range(1, 601))


async def test_a_server_that_was_killed_and_came_back(nats_server: NatsServer, link: Link) -> None:
    """The server is killed and restarted under a running gate: the same gate goes on, and nothing is lost or twice."""
    async with running_gate(nats_server.url) as gate:
        async with core_client(nats_server.url) as client:
            await publish(client, [intent_bytes() for _ in range(200)])
            await gate.judged(200)
        nats_server.kill()
        await until(lambda: gate.gate.counters.interrupted > 0, "the gate notices")
        nats_server.restart()
        async with core_client(nats_server.url) as client:
            await gate.leads()
            await publish(client, [intent_bytes() for _ in range(200)])
            await gate.judged(400)

    records = await ledger(link)
    assert [content["sequence"] for content in of_kind(records, "decision")] == list(range(1, 401))
    kept = [subjects.outbox_sequence(message.subject) for message in await stream_messages(link, OUTBOX_STREAM)]
    assert kept == list(range(1, 401))
    assert (await verify_stream(link, BOOK)).breaks == ()


# -- what a book remembers ---------------------------------------------------------------------------------------------


async def test_nothing_leaves_after_a_reconnection(nats_server: NatsServer, client: Client, link: Link) -> None:
    """What is published as the connection breaks, or while it is broken, is never sent once it is back."""
    heard = await listen(client)
    nats_server.kill()
    refused = 0
    for number in range(200):
        try:
            await link.publish("signals.trading", b"%d" % number)
        except Interrupted:
            refused += 1
        await asyncio.sleep(0)
    assert refused > 0
    nats_server.restart()
    await link.restored()
    await until(lambda: client.is_connected, "the engine is back")
    await client.flush()
    await link.publish("signals.trading", b"afterwards")
    await link.flush()
    await heard.all()
    assert [message.data for message in heard.messages] == [b"afterwards"]


async def test_a_repeat_is_recognised_after_a_restart(nats_server: NatsServer, client: Client, link: Link) -> None:
    """An intent sent again to the gate's successor is blocked as a duplicate of the first decision."""
    payload = intent_bytes()
    for sequence in (1, 2):
        async with running_gate(nats_server.url) as gate:
            await publish(client, [payload])
            await gate.judged(sequence)

    first, second = of_kind(await ledger(link), "decision")
    assert first["verdict"] == "approved"
    assert (second["verdict"], codes(second)) == ("blocked", ["DUPLICATE_INTENT"])
    assert second["reasons"][0]["duplicate_of"] == first["decision_id"]


async def test_a_daily_limit_survives_a_restart(nats_server: NatsServer, client: Client, link: Link) -> None:
    """With three trades a day allowed, the fourth is blocked however often the gate was started in between."""
    noon = clock.now_ns() // DAY * DAY - DAY // 2  # of yesterday: no test run ever crosses its midnight
    rules = read_policy({"scopes": {"global": {"max_daily_trades": 3}}, "required_facts": []})
    for sequence in range(1, 6):
        async with running_gate(nats_server.url, rules, now=lambda: noon) as gate:
            await publish(client, [intent_bytes(timestamp=iso(noon - sequence * SECOND))])
            await gate.judged(sequence)

    decisions = of_kind(await ledger(link), "decision")
    assert [decision["verdict"] for decision in decisions] == ["approved"] * 3 + ["blocked"] * 2
    assert [codes(decision) for decision in decisions[3:]] == [["DAILY_TRADES"]] * 2
    assert decisions[3]["reasons"][0]["count"] == 3


async def test_a_new_policy_is_recorded_before_it_judges(nats_server: NatsServer, client: Client, link: Link) -> None:
    """A gate started with another policy writes it down whole first; the same policy is not written again."""
    strict = policy(min_confidence_threshold=0.9)
    for sequence, rules in enumerate((policy(), policy(), strict), 1):
        async with running_gate(nats_server.url, rules) as gate:
            await publish(client, [intent_bytes(confidence=0.8)])
            await gate.judged(sequence)

    records = await ledger(link)
    assert [content["kind"] for content in records] == ["policy", "decision", "decision", "policy", "decision"]
    assert records[3]["policy"] == strict.content
    assert [content["policy_revision"] for content in records[3:]] == [strict.revision] * 2
    assert codes(records[4]) == ["LOW_CONFIDENCE"]


@pytest.mark.parametrize("days", [0, 2])
async def test_of_a_long_ledger_only_what_still_counts_is_read(
    nats_server: NatsServer, client: Client, link: Link, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Recovery from a ledger too long to fold whole remembers what a limit can still count, and continues the chain."""
    monkeypatch.setattr("petrosa_cio.core.nats.recovery.SHORT_LEDGER", 10)
    payloads = [intent_bytes() for _ in range(60)]
    async with running_gate(nats_server.url) as gate:
        await publish(client, payloads)
        await gate.judged(60)
    async with running_gate(nats_server.url, now=lambda: clock.now_ns() + days * DAY) as gate:
        memory = gate.gate.folded.memory
        await publish(client, [payloads[0], payloads[59], intent_bytes(action="hold")])
        await gate.judged(63)
        assert memory is gate.gate.folded.memory  # it recovered once

    again = of_kind(await ledger(link), "decision")[60:]
    expected = ["DUPLICATE_INTENT"] if days == 0 else ["STALE_INTENT", "GOVERNANCE_TIMEOUT"]
    assert [codes(content) for content in again] == [expected, expected, []]
    assert (await verify_stream(link, BOOK)).breaks == ()


# -- promises found open -----------------------------------------------------------------------------------------------


async def die_after_recording(link: Link, client: Client, rules: Policy, **fields: object) -> dict[str, object]:
    """Leave the server as a gate leaves it that dies between recording an approval and promoting it."""
    await client.jetstream().publish("intent.trading.btc", intent_bytes(**fields))
    (message,) = await stream_messages(link, subjects.INTENTS_STREAM)
    folded = Folded(BOOK, rules)
    receipt = wire.receive(1, message.subject, message.data, message.headers, message.stored_at // 1000 * 1000)
    decision = decide(BOOK, receipt, folded.memory, rules, clock.now_ns())
    assert decision.verdict.kind.promotes
    content = content_of(decision)
    totals = folded.position.totals.judged(decision.verdict.kind)
    made = entry(folded.position, content, 1, totals, rules.revision)
    await link.stored(LEDGER, made.body, made.headers)
    return record.decode(made.body)


async def test_an_open_promise_is_kept_if_it_is_in_time(nats_server: NatsServer, client: Client, link: Link) -> None:
    """An approval whose gate died before promoting it is promoted by the successor, not judged again."""
    heard = await listen(client)
    decision = await die_after_recording(link, client, policy())
    async with running_gate(nats_server.url) as gate:
        await gate.judged(1)
        await until(lambda: len(heard.messages) == 1, "the signal leaves")
        assert gate.gate.counters.judged == 0
        await heard.all()

    (signal,) = heard.bodies
    assert (signal["decision_id"], signal["signal_id"]) == (decision["decision_id"], decision["signal_id"])
    assert len(of_kind(await ledger(link), "decision")) == 1


async def test_an_open_promise_expires_if_it_is_too_late(nats_server: NatsServer, client: Client, link: Link) -> None:
    """An approval found open an hour later expires: recorded, barred in the outbox, and no signal leaves."""
    heard = await listen(client)
    decision = await die_after_recording(link, client, policy())
    async with running_gate(nats_server.url, now=lambda: clock.now_ns() + HOUR) as gate:
        await until(lambda: gate.gate.counters.expired == 1, "it expires")
        await gate.judged(1)
        account = json.loads(await status_answer(gate.link, gate.gate))["account"]
        await heard.all()

    (expired,) = of_kind(await ledger(link), "expired")
    assert (expired["sequence"], expired["decision_id"]) == (1, decision["decision_id"])
    assert heard.messages == []
    assert (account["expired"], account["promoted"], account["balanced"]) == (1, 0, True)


async def test_an_open_close_is_kept_however_late(nats_server: NatsServer, client: Client, link: Link) -> None:
    """A close found open an hour later is promoted."""
    heard = await listen(client)
    await die_after_recording(link, client, policy(), action="close")
    async with running_gate(nats_server.url, now=lambda: clock.now_ns() + HOUR) as gate:
        await gate.judged(1)
        await until(lambda: len(heard.messages) == 1, "the signal leaves")

    assert heard.bodies[0]["action"] == "close"


async def test_a_standing_by_gate_keeps_the_promise_of_one_that_died(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """A gate that stands by keeps the recorded close of a leader that died, though no further intent comes."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        # Another gate is first with the record of the intent that this one is about to judge, and dies.
        rules, position = policy(), gate.gate.position
        receipt = wire.receive(1, INTENT, intent_bytes(action="close"), {}, clock.now_ns() // 1000 * 1000)
        decision = decide(BOOK, receipt, Folded(BOOK, rules).memory, rules, clock.now_ns())
        totals = position.totals.judged(decision.verdict.kind)
        made = entry(position, content_of(decision), 1, totals, rules.revision)
        await link.stored(LEDGER, made.body, made.headers)
        await client.publish(INTENT, receipt.payload)
        await until(lambda: gate.gate.counters.fenced == 1, "it is fenced")
        await until(lambda: len(heard.messages) == 1, "the close leaves")
        await gate.judged(1)

    await heard.all()
    assert [body["decision_id"] for body in heard.bodies] == [decision.decision_id]
    assert [content["decision_id"] for content in of_kind(await ledger(link), "decision")] == [decision.decision_id]


async def test_a_signal_that_left_is_not_sent_again(nats_server: NatsServer, client: Client, link: Link) -> None:
    """A gate that finds a promise whose signal the outbox already holds sends no second one, in time or too late."""
    heard = await listen(client)
    await die_after_recording(link, client, policy())
    for later in (0, 0, HOUR):
        async with running_gate(nats_server.url, now=lambda ns=later: clock.now_ns() + ns) as gate:
            await gate.judged(1)
            await until(lambda g=gate: not g.gate.folded.open, "nothing is open")
    await heard.all()

    assert heard.sequences == [1]
    assert of_kind(await ledger(link), "expired") == []


async def test_a_mark_of_expiry_without_its_record_is_completed(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """A gate that died after barring a signal and before recording it has a successor that records it, once."""
    await die_after_recording(link, client, policy())
    headers = {
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Nats-Expected-Last-Subject-Sequence-Subject": subjects.outbox_settlement(BOOK, 1),
    }
    await link.stored(subjects.outbox_expired(BOOK, 1), b"", headers)
    accounts = []
    for _ in range(2):
        async with running_gate(nats_server.url, now=lambda: clock.now_ns() + HOUR) as gate:
            await gate.judged(1)
            await until(lambda g=gate: not g.gate.folded.open, "nothing is open")
            await gate.judged(1)
            accounts.append(json.loads(await status_answer(gate.link, gate.gate))["account"])

    assert [content["sequence"] for content in of_kind(await ledger(link), "expired")] == [1]
    assert [(account["expired"], account["promoted"], account["balanced"]) for account in accounts] == [
        (1, 0, True)
    ] * 2


async def test_a_mark_of_expiry_stands_though_the_clock_went_back(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """A barred signal whose successor believes to be in time still counts as expired and not as promoted."""
    heard = await listen(client)
    await die_after_recording(link, client, policy())
    headers = {
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Nats-Expected-Last-Subject-Sequence-Subject": subjects.outbox_settlement(BOOK, 1),
    }
    await link.stored(subjects.outbox_expired(BOOK, 1), b"", headers)
    async with running_gate(nats_server.url) as gate:
        await gate.judged(1)
        await until(lambda: not gate.gate.folded.open, "nothing is open")
        await gate.judged(1)
        account = json.loads(await status_answer(gate.link, gate.gate))["account"]
    await heard.all()

    assert heard.messages == []
    assert (account["expired"], account["promoted"], account["balanced"]) == (1, 0, True)


# -- a ledger that is unsound ------------------------------------------------------------------------------------------


async def some_ledger(nats_server: NatsServer, client: Client) -> InProcess:
    """Five decisions after the policy record: six records."""
    async with running_gate(nats_server.url) as gate:
        await publish(client, [intent_bytes() for _ in range(5)])
        await gate.judged(5)
        return gate


async def test_nats_lets_nobody_delete_a_record(nats_server: NatsServer, client: Client, link: Link) -> None:
    """Deleting a ledger record and purging the ledger are refused by the server, and so is taking the refusal back."""
    await some_ledger(nats_server, client)
    js = client.jetstream()
    with pytest.raises(nats.js.errors.APIError, match="delete"):
        await js.delete_msg(LEDGER_STREAM, 3)
    with pytest.raises(nats.js.errors.APIError, match="purge"):
        await js.purge_stream(LEDGER_STREAM)
    config = (await js.stream_info(LEDGER_STREAM)).config
    with pytest.raises(nats.js.errors.APIError, match="deny"):
        await js.update_stream(replace(config, deny_delete=False))

    assert len(await ledger(link)) == 6


def forged(sort: str, after: Entry) -> tuple[bytes, dict[str, str]]:
    """A seventh record that a stranger might put after a sound ledger."""
    body, headers = after.body, {**after.headers}
    match sort:
        case "wrong predecessor":
            headers[subjects.PREV_HEADER] = "ab" * 32
            headers["Nats-Msg-Id"] = record.chain("ab" * 32, body)
        case "altered body":
            body = body.replace(b'"forged"', b'"altered"')
        case "no JSON":
            body = b"\xff not a record"
            headers["Nats-Msg-Id"] = record.chain(headers[subjects.PREV_HEADER], body)
        case "another number":
            body = body.replace(b'"index":7', b'"index":70')
            headers["Nats-Msg-Id"] = record.chain(headers[subjects.PREV_HEADER], body)
        case _:
            headers = {}
    return body, {name: value for name, value in headers.items() if not name.startswith("Nats-Expected")}


FORGERIES = ("wrong predecessor", "altered body", "no JSON", "another number", "no headers")


@pytest.mark.parametrize("sort", FORGERIES)
async def test_a_gate_refuses_a_ledger_that_is_unsound(
    nats_server: NatsServer, client: Client, link: Link, sort: str
) -> None:
    """A starting gate that finds a forged record raises LedgerError naming it, and promotes nothing."""
    gate = await some_ledger(nats_server, client)
    content = {"kind": "policy", "policy_revision": "forged", "policy": {}}
    body, headers = forged(sort, entry(gate.gate.position, content, 5, gate.gate.position.totals, "forged"))
    await client.jetstream().publish(LEDGER, body, headers=headers)
    heard = await listen(client)
    await publish(client, [intent_bytes()])

    async with running_gate(nats_server.url) as starting:
        with pytest.raises(LedgerError, match="record 7"):
            await asyncio.wait_for(starting.task, 10)

    await heard.all()
    assert heard.messages == []
    report = await verify_stream(link, BOOK)
    assert {found.index for found in report.breaks} == {7}


async def test_a_leading_gate_stops_at_a_forged_record(nats_server: NatsServer, client: Client) -> None:
    """A forged record that appears under a leading gate ends it with LedgerError at its next append."""
    async with running_gate(nats_server.url) as gate:
        await publish(client, [intent_bytes()])
        await gate.judged(1)
        await client.jetstream().publish(LEDGER, b"forged")
        await publish(client, [intent_bytes()])
        with pytest.raises(LedgerError, match="record 3"):
            await asyncio.wait_for(gate.task, 10)


async def test_a_gate_process_says_that_the_ledger_is_unsound_and_passes_closes(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    """The process stays, promotes no entry, names the record in its status and its log, and lets closes through."""
    await some_ledger(nats_server, client)
    await client.jetstream().publish(LEDGER, b"forged")
    heard = await listen(client)
    gate = gate_process(nats_server.url, tmp_path)
    try:

        async def says_so() -> bool:
            with contextlib.suppress(nats.errors.Error):
                return "record 7" in json.loads((await client.request("cio.status.main", timeout=1)).data)["trouble"]
            return False

        await eventually(says_so, "its status names the record")
        await publish(client, [intent_bytes(), intent_bytes(action="close", intent_id="exit")])
        await eventually(lambda: arrived(heard, "exit"), "the close passes")
        assert gate.alive
    finally:
        gate.end()

    assert {body["intent_id"] for body in heard.bodies} == {"exit"}
    assert any("ALARM" in line and "record 7" in line for line in gate.text().splitlines())
    assert "Traceback" not in gate.text()


async def arrived(heard: Heard, name: str) -> bool:
    await heard.all()
    return name in {body["intent_id"] for body in heard.bodies}


# -- intents that are gone ---------------------------------------------------------------------------------------------


async def test_intents_purged_before_they_were_judged_are_a_gap(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """Intents that left the stream while no gate ran are recorded as a gap with their numbers; the books balance."""
    await some_ledger(nats_server, client)
    for _ in range(10):
        await client.jetstream().publish("intent.trading.btc", intent_bytes())  # each is stored before it is purged
    await client.jetstream().purge_stream(subjects.INTENTS_STREAM, seq=13)  # keeps 13 and what follows
    async with running_gate(nats_server.url) as gate:
        await gate.judged(15)
        account = json.loads(await status_answer(gate.link, gate.gate))["account"]

    records = await ledger(link)
    (gap,) = of_kind(records, "gap")
    assert (gap["from"], gap["to"], gap["count"]) == (6, 12, 7)
    assert [content["sequence"] for content in of_kind(records, "decision")] == [1, 2, 3, 4, 5, 13, 14, 15]
    names = ("received", "approved", "gap", "awaiting_judgement", "balanced")
    assert {name: account[name] for name in names} == {
        "received": 15,
        "approved": 8,
        "gap": 7,
        "awaiting_judgement": 0,
        "balanced": True,
    }
    assert (await verify_stream(link, BOOK)).breaks == ()


async def test_a_book_begins_where_the_intent_stream_begins(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """A new book over a stream whose first intents are gone counts from what is there: no gap, balanced books."""
    for _ in range(10):
        await client.jetstream().publish("intent.trading.btc", intent_bytes())  # each is stored before it is purged
    await client.jetstream().purge_stream(subjects.INTENTS_STREAM, seq=8)
    async with running_gate(nats_server.url) as gate:
        await gate.judged(10)
        account = json.loads(await status_answer(gate.link, gate.gate))["account"]

    records = await ledger(link)
    assert [content["sequence"] for content in of_kind(records, "decision")] == [8, 9, 10]
    assert of_kind(records, "gap") == []
    assert (account["received"], account["approved"], account["balanced"]) == (3, 3, True)


async def test_streams_are_updated_and_not_made_anew(nats_server: NatsServer, client: Client) -> None:
    """Another signal subject at the next start changes where signals leave and keeps what was recorded."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        await publish(client, [intent_bytes()])
        await gate.judged(1)
    async with running_gate(nats_server.url, signal_subject="signals.trading.{strategy_id}") as gate:
        await publish(client, [intent_bytes()])
        await gate.judged(2)
    await until(lambda: len(heard.messages) == 2, "both signals arrive")

    assert [message.subject for message in heard.messages] == ["signals.trading", "signals.trading.momentum_pulse"]
    async with prepared_link(nats_server.url) as link:
        assert len(of_kind(await ledger(link), "decision")) == 2


async def test_an_intent_that_waited_for_a_gate_too_long_is_blocked(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """A backlog found at start is judged in order: a buy is past the hard timeout, a close passes."""
    rules = read_policy({"required_facts": []})
    await publish(client, [intent_bytes(), json.dumps({**intent(action="close")}).encode()])
    async with running_gate(nats_server.url, rules, now=lambda: clock.now_ns() + 30 * SECOND) as gate:
        await gate.judged(2)

    buy, close = of_kind(await ledger(link), "decision")
    assert (buy["verdict"], codes(buy)) == ("blocked", ["GOVERNANCE_TIMEOUT"])
    assert close["verdict"] == "approved"
    await eventually(lambda: one_signal(link), "the close leaves")


async def one_signal(link: Link) -> bool:
    return (await link.state(OUTBOX_STREAM)).messages == 1


@pytest.mark.parametrize("action", ["buy", "close"])
async def test_a_signal_is_not_sent_again_though_the_outbox_forgot_it(
    nats_server: NatsServer, client: Client, link: Link, action: str
) -> None:
    """After the outbox was emptied, by age or by hand, a gate that starts leads, and sends and expires nothing."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        await publish(client, [intent_bytes(action=action) for _ in range(3)])
        await gate.judged(3)
        await gate.stop()
    await client.jetstream().purge_stream(OUTBOX_STREAM)
    async with running_gate(nats_server.url) as gate:
        await gate.judged(3)
        await publish(client, [intent_bytes(action="hold")])
        await gate.judged(4)
        account = json.loads(await status_answer(gate.link, gate.gate))["account"]
    await heard.all()

    assert heard.sequences == [1, 2, 3]
    assert of_kind(await ledger(link), "expired") == []
    assert (account["promoted"], account["expired"], account["balanced"]) == (3, 0, True)
