"""An operator's commands: in force between two intents, recorded, answered by the gate that leads, and by no other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import getpass
import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from harness import (
    BOOK,
    DEADLINE,
    codes,
    eventually,
    gate_process,
    intent_bytes,
    ledger,
    of_kind,
    policy,
    publish,
    run_cli,
    running_gate,
    until,
)

from builders import account_state
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.bootstrap.watching import Watch, watch
from petrosa_cio.core import clock
from petrosa_cio.core.nats import judging, subjects
from petrosa_cio.core.nats.together import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harness import InProcess, NatsServer
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.core.nats.link import Link

WHY = "exchange maintenance"
ANA: dict[str, Json] = {"who": "ana", "why": WHY}
SUBJECT = subjects.command_subject(BOOK)


@contextlib.asynccontextmanager
async def heeding_gate(url: str, rules: Policy | None = None) -> AsyncIterator[InProcess]:
    """A gate in this process that heeds commands, as a gate process does."""
    async with running_gate(url, rules) as running:
        await running.link.heed(SUBJECT, running.gate.command)

        async def heeds() -> bool:
            return await running.link.request(SUBJECT, 1.0, b'{"command":"show"}') is not None

        await eventually(heeds, "a gate heeds commands")
        yield running


async def asked(client: Client, command: str, **fields: Json) -> dict[str, Json]:
    """The answer to a command."""
    answer = await client.request(SUBJECT, json.dumps({"command": command, **fields}).encode(), timeout=DEADLINE)
    found: dict[str, Json] = json.loads(answer.data)
    return found


async def judged(client: Client, running: InProcess, *actions: str) -> None:
    """Publish intents and wait until they are judged."""
    sequence = running.gate.position.cursor + len(actions)
    await publish(client, [intent_bytes(action=action) for action in actions])
    await running.judged(sequence)


async def decisions(link: Link) -> list[dict[str, Json]]:
    return of_kind(await ledger(link), "decision")


async def test_a_halt_holds_between_two_intents_and_closes_pass(nats_server: NatsServer, client: Client) -> None:
    """What was judged before it passed; after it entries are blocked with who and why, until somebody resumes."""
    async with heeding_gate(nats_server.url) as running:
        await judged(client, running, "buy")
        answer = await asked(client, "halt", **ANA)
        assert (answer["ok"], answer["state"], answer["by"], answer["who"], answer["why"]) == (
            *(True, "HALTED", "operator"),
            *("ana", WHY),
        )
        await judged(client, running, "buy", "sell", "close")
        assert (await asked(client, "resume", **ANA))["state"] == "ACTIVE"
        await judged(client, running, "buy")
        found = await decisions(running.link)
        states = of_kind(await ledger(running.link), "state")
    assert [codes(content) for content in found] == [[], ["TRADING_HALTED"], ["TRADING_HALTED"], [], []]
    assert found[1]["reasons"][0]["why"] == WHY
    assert [(one["state"], one["who"], one["why"]) for one in states] == [
        ("HALTED", "ana", WHY),
        ("ACTIVE", "ana", WHY),
    ]


async def test_what_is_answered_is_recorded(nats_server: NatsServer, client: Client) -> None:
    """The record stands in the ledger when the answer comes."""
    async with heeding_gate(nats_server.url) as running:
        await asked(client, "reduce", **ANA)
        assert [one["state"] for one in of_kind(await ledger(running.link), "state")] == ["REDUCING"]


async def test_a_state_survives_a_gate_that_is_killed(nats_server: NatsServer, client: Client) -> None:
    """The next one knows it from the ledger, and says since when."""
    async with heeding_gate(nats_server.url) as running:
        told = await asked(client, "halt", **ANA)
        await running.die()
    async with heeding_gate(nats_server.url) as running:
        again = await asked(client, "show")
        assert again == told
        await judged(client, running, "buy", "close")
        assert [codes(content) for content in await decisions(running.link)] == [["TRADING_HALTED"], []]


async def test_a_gate_that_stands_by_does_not_answer_but_knows(nats_server: NatsServer, client: Client) -> None:
    """Of two gates one answers each command; when it dies the other takes over in the state that was commanded."""
    async with heeding_gate(nats_server.url) as first, heeding_gate(nats_server.url) as second:
        await publish(client, [intent_bytes()])
        await until(lambda: "standing by" in (first.gate.state, second.gate.state), "one of them is fenced")
        leader, other = (first, second) if first.gate.state == "leading" else (second, first)
        inbox = client.new_inbox()
        answers: list[bytes] = []

        async def hear(message: Msg) -> None:
            answers.append(message.data)

        await client.subscribe(inbox, cb=hear)
        await client.publish(SUBJECT, json.dumps({"command": "halt", **ANA}).encode(), reply=inbox)
        await until(lambda: bool(answers), "the leader answers")
        assert await other.gate.command(b'{"command":"show"}') is None
        await leader.die()
        await publish(client, [intent_bytes()])
        await until(lambda: other.gate.state == "leading", "the other leads")
        await other.judged(2)
        assert codes((await decisions(other.link))[-1]) == ["TRADING_HALTED"]
        assert len(answers) == 1


async def test_commands_among_intents_are_in_the_order_of_the_ledger(nats_server: NatsServer, client: Client) -> None:
    """Each decision was judged in the state that the records before it say."""
    async with heeding_gate(nats_server.url) as running:
        for number in range(4):
            await publish(client, [intent_bytes() for _ in range(25)])
            await asked(client, ("halt", "resume")[number % 2], **ANA)
        await running.judged(100)
        records = await ledger(running.link)
    state = "ACTIVE"
    for content in records:
        if content["kind"] == "state":
            state = str(content["state"])
        elif content["kind"] == "decision":
            assert content["facts"]["trading_state"] == state
    assert len(of_kind(records, "state")) == 4


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\xff", ["no command"]),
        (b"[]", ["no command: not a JSON object"]),
        (b"{}", ["command: must be one of show, halt, reduce, resume, lift"]),
        (b'{"command":"halt"}', ["who:", "why:"]),
        (b'{"command":"halt","who":"ana","why":"too short"}', ["why: must have 10 to 500 characters"]),
        (b'{"command":"halt","who":" ana","why":"exchange maintenance","code":"X"}', ["who:", "code: only to lift"]),
        (b'{"command":"lift","who":"ana","why":"exchange maintenance"}', ["code:"]),
        (b'{"command":"show","nonsense":1}', ["unknown key 'nonsense'"]),
        (
            b'{"command":"lift","code":"DRAWDOWN","who":"ana","why":"exchange maintenance"}',
            ["no latch DRAWDOWN on the book"],
        ),
    ],
    ids=lambda value: value.decode(errors="replace") if isinstance(value, bytes) else None,
)
async def test_what_cannot_be_carried_out_is_answered_with_every_fault(
    nats_server: NatsServer, client: Client, data: bytes, named: list[str]
) -> None:
    """And nothing is recorded."""
    async with heeding_gate(nats_server.url) as running:
        answer = json.loads((await client.request(SUBJECT, data, timeout=DEADLINE)).data)
        assert answer["ok"] is False
        assert len(answer["faults"]) == len(named)
        for fault, expected in zip(answer["faults"], named, strict=True):
            assert fault.startswith(expected)
        assert {content["kind"] for content in await ledger(running.link)} == {"policy"}


LOST = functools.partial(account_state, realised_today=Decimal(-5000))


@pytest.fixture
def day_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that has lost a day's limit, known to every gate of this process."""
    decide = judging.decide

    def knowing(*arguments: object) -> object:
        *others, _ = arguments
        return decide(*others, LOST(clock.now_ns()))  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "decide", knowing)


@dataclass
class Told:
    """A watch of the book, and what it tells people."""

    client: Client
    alerts: list[tuple[str, dict[str, Json]]] = field(default_factory=list)

    def subjects(self) -> list[str]:
        """Of what was told beside the operator's words, in order."""
        return [subject for subject, _ in self.alerts if subject != "alerts.cio.state"]

    async def hear(self, message: Msg) -> None:
        self.alerts.append((message.subject, json.loads(message.data)))


@contextlib.asynccontextmanager
async def watched(running: InProcess, client: Client, rules: Policy) -> AsyncIterator[Told]:
    """A watch that follows: it has told of an operator's word that was given after it began."""
    told = Told(client)
    await client.subscribe("alerts.cio.>", cb=told.hear)
    await client.flush()
    watching = asyncio.create_task(watch(running.link, Watch(BOOK, rules), lambda *_: None))

    async def follows() -> bool:
        await asked(client, "resume", **ANA)
        return bool(told.alerts)

    try:
        await eventually(follows, "the watch follows")
        yield told
    finally:
        await end(watching)


@pytest.mark.usefixtures("day_lost")
async def test_a_red_line_latches_is_told_and_is_lifted_by_name(nats_server: NatsServer, client: Client) -> None:
    """A latch record follows the decision; resume leaves it; lift takes it; people hear of each."""
    async with heeding_gate(nats_server.url) as running, watched(running, client, policy()) as told:
        await judged(client, running, "buy", "buy", "close")
        assert (await asked(client, "resume", **ANA))["state"] == "REDUCING"
        lifted = await asked(client, "lift", code="DAILY_LOSS", **ANA)
        assert (lifted["state"], lifted["latches"]) == ("ACTIVE", [])
        await judged(client, running, "buy")
        expected = ["alerts.cio.limit.DAILY_LOSS", *["alerts.cio.latch.DAILY_LOSS"] * 3]
        await until(lambda: len(told.subjects()) >= len(expected), "people are told")
        assert told.subjects() == expected
        records = await ledger(running.link)
    kinds = [content["kind"] for content in records if content["kind"] not in ("policy", "state")]
    assert kinds == ["decision", "latch", "decision", "decision", "latch", "decision", "latch"]
    latches = of_kind(records, "latch")
    assert [(one["code"], one["change"]) for one in latches] == [
        ("DAILY_LOSS", "set"),
        ("DAILY_LOSS", "lifted"),
        ("DAILY_LOSS", "set"),
    ]
    found = of_kind(records, "decision")
    assert latches[0]["decision_id"] == found[0]["decision_id"]
    assert [codes(content) for content in found] == [
        ["DAILY_LOSS"],
        ["REDUCING_ONLY", "DAILY_LOSS"],
        [],
        ["DAILY_LOSS"],
    ]
    assert found[1]["reasons"][0]["by"] == "DAILY_LOSS"


@pytest.mark.usefixtures("day_lost")
async def test_a_latch_whose_record_was_never_written_survives(
    nats_server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that is killed between the two records: the next one knows the latch from the decision."""
    async with heeding_gate(nats_server.url) as running:
        monkeypatch.setattr(judging, "set_content", _killed)
        await publish(client, [intent_bytes()])
        with pytest.raises(Killed):
            await asyncio.wait_for(running.task, DEADLINE)

        async def decided() -> bool:
            return bool(await decisions(running.link))

        await eventually(decided, "the decision is stored")
        assert of_kind(await ledger(running.link), "latch") == []
    monkeypatch.undo()
    async with heeding_gate(nats_server.url) as running:
        answer = await asked(client, "show")
        assert (answer["state"], answer["by"]) == ("REDUCING", "DAILY_LOSS")


class Killed(Exception):
    """The process ends here."""


def _killed(_: object) -> dict[str, object]:
    raise Killed


async def test_limits_that_run_out_are_told_while_a_gate_judges(nats_server: NatsServer, client: Client) -> None:
    """Of five trades a day the fourth uses 80 %: whoever asks for the fifth makes it known, once."""
    rules = read_policy(
        {
            "scopes": {"global": {"governance_timeout_ms": 60_000, "max_daily_trades": 5}},
            "modes": {"SIGNAL_CONFLICT": "off", "ORDER_RATE": "off"},
            "required_facts": [],
        }
    )
    async with heeding_gate(nats_server.url, rules) as running, watched(running, client, rules) as told:
        await judged(client, running, *["buy"] * 6)
        await until(lambda: bool(told.subjects()), "somebody is told")
        await asked(client, "halt", **ANA)
        await until(lambda: told.alerts[-1][1].get("state") == "HALTED", "all before it is told")
        found = await decisions(running.link)
    assert [one["verdict"] for one in found] == [*["approved"] * 5, "blocked"]
    limits = [body for subject, body in told.alerts if subject == "alerts.cio.limit.DAILY_TRADES"]
    assert [(one["usage"], one["decision_id"]) for one in limits] == [(0.8, found[4]["decision_id"])]


# The command line


def test_the_command_line_halts_shows_and_resumes(nats_server: NatsServer, tmp_path: Path) -> None:
    """With the name of this machine's user; as JSON too; a latch that is not there is exit 4."""
    gate = gate_process(nats_server.url, tmp_path / "gate")
    where = ("--nats-url", nats_server.url)
    try:
        end_at = time.monotonic() + DEADLINE
        while (shown := run_cli("state", *where, "--json")).code != 0:
            assert time.monotonic() < end_at, shown.err
        assert json.loads(shown.out)["state"] == "ACTIVE"
        halted = run_cli("state", "halt", *where, "--reason", WHY)
        assert halted.code == 0
        assert "HALTED" in halted.out
        assert f"{getpass.getuser()}: {WHY}" in halted.out
        told = json.loads(run_cli("state", *where, "--json").out)
        assert (told["state"], told["by"], told["why"]) == ("HALTED", "operator", WHY)
        lifted = run_cli("latch", "lift", "STRATEGY_DRAWDOWN", "--strategy", "momo", *where, "--reason", WHY)
        assert (lifted.code, "no latch STRATEGY_DRAWDOWN on strategy momo" in lifted.err) == (4, True)
        assert "ACTIVE" in run_cli("state", "resume", *where, "--reason", WHY, "--who", "ana").out
    finally:
        gate.end()


def test_a_command_needs_a_reason_and_somebody_who_leads(nats_server: NatsServer) -> None:
    """A short reason is exit 2 and names the option; where no gate leads it is exit 4: unknown what happened."""
    where = ("--nats-url", nats_server.url)
    short = run_cli("state", "halt", *where, "--reason", "because")
    assert (short.code, "--reason: must have 10 to 500 characters" in short.err) == (2, True)
    silent = run_cli("state", "halt", *where, "--reason", WHY)
    assert (silent.code, "no gate that leads book main answered within 2 s" in silent.err) == (4, True)
