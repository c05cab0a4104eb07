"""Facts that one message cannot hold, or no record: the gate goes on judging, and a restart knows what is known."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import (
    BOOK,
    PATIENT,
    codes,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    policy,
    prepared_link,
    publish,
    stream_messages,
    until,
)

from builders import market_state, position_of
from builders_account import entry, report
from petrosa_cio.apps.nurse.models import SECOND, Side
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.fold import Folded
from petrosa_cio.core.nats.interceptor import Gate
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.nats.together import end
from petrosa_cio.core.spill import SpillFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from harness import NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.happenings import Execution, Happening, PromotedOrder
    from petrosa_cio.apps.nurse.models import Instant, MarketState
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import Market, Spill
    from petrosa_cio.core.nats.link import Link

NEEDS_ACCOUNT = read_policy(
    {**PATIENT, "required_facts": ["account"], "scopes": {"global": {"governance_timeout_ms": 60_000}}}
)


@dataclass
class Teller:
    """`ports.Accounts` that gives what a test told it: a report, and then executions numbered from 1 on."""

    told: list[Happening] = field(default_factory=list)
    given: int = 0
    behind: bool = False

    def begin(self, after: int) -> None:
        self.given = after + 1 if after else 0

    def promoted(self, order: PromotedOrder) -> None:
        pass

    def due(self, now: Instant) -> Sequence[Happening]:
        found = self.told[self.given :]
        self.given = len(self.told)
        return found


@contextlib.asynccontextmanager
async def gate_told(
    url: str,
    account: Teller | None,
    rules: Policy | None = None,
    market: Market | None = None,
    spill: Spill | None = None,
) -> AsyncIterator[tuple[Gate, Link]]:
    async with prepared_link(url) as link:
        terms = GateTerms(BOOK, rules or policy(), clock.now_ns, market=market, accounts=account, origin="engine")
        gate = Gate(link, terms, lambda *_: None, spill)
        task = asyncio.create_task(gate.run())
        try:
            await until(lambda: gate.state == "leading" or task.done(), "the gate leads")
            yield gate, link
        finally:
            await end(task)


def words(count: int) -> list[Execution]:
    """So many entries with ids as long as they may be."""
    now = clock.now_ns()
    return [
        entry(f"{number:0>128}", now, order_id=f"{number:0>128}", sequence=number) for number in range(1, count + 1)
    ]


async def test_a_state_larger_than_a_message_is_written_down_and_read_again(
    nats_server: NatsServer, client: Client
) -> None:
    """It stands in the ledger in parts, and a gate that reads from their first on knows what the one before knew."""
    account = Teller([report(clock.now_ns()), *words(1600)])
    async with gate_told(nats_server.url, account) as (gate, _):
        await until(lambda: gate.folded.holdings.cursor == 1600 and gate.idle, "all is recorded")
    async with gate_told(nats_server.url, account) as (gate, link):
        await publish(client, [intent_bytes(action="close")])
        await until(lambda: gate.position.cursor == 1 and gate.idle, "a close is judged")
        assert len(json.dumps(gate.folded.holdings.content())) > link.max_payload
        found = of_kind(await ledger(link), "snapshot")
        last = found[-1]
        assert last["part"] == last["of"] == len([one for one in found if "part" in one])
        assert gate.position.snapshot == last["first"]
        known = gate.folded.holdings.content()
        again = Folded(BOOK, policy(), "engine")
        for message in (await stream_messages(link, subjects.ledger_stream(BOOK)))[gate.position.snapshot - 1 :]:
            again.take(message, first=message.sequence == gate.position.snapshot)
        assert again.holdings.content() == known


async def test_an_account_that_fills_a_message_is_not_judged_on_and_holds_no_close_back(
    nats_server: NatsServer, client: Client
) -> None:
    """2,000 positions are more than a record may hold: what adds risk is refused for want of them."""
    held = tuple(position_of(f"S{number}USDT", strategy_id="x" * 100) for number in range(2000))
    account = Teller([report(clock.now_ns(), positions=held, orders=())])
    async with gate_told(nats_server.url, account, NEEDS_ACCOUNT) as (
        gate,
        link,
    ):
        await publish(client, [intent_bytes(), intent_bytes(action="close"), intent_bytes()])
        await until(lambda: gate.position.cursor == 3 and gate.idle, "all are judged")
        found = of_kind(await ledger(link), "decision")
        assert [one["verdict"] for one in found] == ["blocked", "approved", "blocked"]
        facts = found[0]["account"]
        assert isinstance(facts, dict)
        assert "equity" in facts
        assert "positions" not in facts
        assert codes(found[0]) == codes(found[2]) == ["ACCOUNT_UNKNOWN"]
        assert gate.counters.accounts_too_large == 2


async def test_a_report_that_no_record_can_hold_is_refused_and_the_gate_goes_on(
    nats_server: NatsServer, client: Client
) -> None:
    """6,000 positions; what is known of the account is what the report before told."""
    held = tuple(position_of(f"S{number}USDT", strategy_id="x" * 100) for number in range(6000))
    now = clock.now_ns()
    account = Teller([report(now - SECOND, "5000", positions=()), report(now, "6000", positions=held)])
    async with gate_told(nats_server.url, account) as (gate, link):
        await publish(client, [intent_bytes(), intent_bytes(action="close")])
        await until(lambda: gate.position.cursor == 2 and gate.idle, "both are judged")
        assert len(of_kind(await ledger(link), "account")) == 1
        facts = of_kind(await ledger(link), "decision")[0]["account"]
        assert isinstance(facts, dict)
        assert facts["equity"] == "5000"
        assert gate.counters.reports_refused == 1


class Garbled:
    """`ports.Market` whose word of the exchange is no text that can be written."""

    def state(self, symbol: str, now: Instant) -> MarketState | None:
        return market_state(now, symbol=symbol, status="\ud800")


async def test_an_entry_whose_facts_cannot_be_written_is_quarantined_and_the_gate_goes_on(
    nats_server: NatsServer, client: Client
) -> None:
    """The fault is ours, and told; the close behind it passes."""
    async with gate_told(nats_server.url, None, market=Garbled()) as (gate, link):
        await publish(client, [intent_bytes(), intent_bytes(action="close")])
        await until(lambda: gate.position.cursor == 2 and gate.idle, "both are judged")
        found = of_kind(await ledger(link), "decision")
        assert [one["verdict"] for one in found] == ["quarantined", "approved"]


@dataclass
class Faulty(Teller):
    """An account in which our own code fails, until it is mended."""

    mended: bool = False

    def due(self, now: Instant) -> Sequence[Happening]:
        if not self.mended:
            msg = "a fault of ours"
            raise ArithmeticError(msg)
        return super().due(now)


async def test_a_fault_of_ours_between_two_intents_lets_closes_through_and_nothing_that_adds_risk(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    """The gate lives: closes go straight to the engine until it is over; then all is judged or written down."""
    heard = await listen(client)
    account = Faulty([])
    async with gate_told(nats_server.url, account, spill=SpillFile(tmp_path / "spill.jsonl")) as (gate, link):
        await publish(client, [intent_bytes(), intent_bytes(action="close")])
        await until(lambda: gate.passed_unrecorded == 1, "the close passes")
        account.mended = True
        await until(lambda: gate.state == "leading" and gate.position.cursor == 2 and gate.idle, "both are judged")
        records = await ledger(link)
        assert [one["action"] for one in of_kind(records, "spilled")] == ["close"]
        assert "a fault of ours" in str(of_kind(records, "outage")[0]["why"])
        await heard.all()
        assert heard.bodies[0]["action"] == "close"


async def test_a_report_that_says_the_same_after_an_execution_is_recorded(nats_server: NatsServer) -> None:
    """It says that the fill is not in what it told before: whoever folds the ledger must know as much as who heard."""
    now = clock.now_ns()
    account = Teller([report(now - 9 * SECOND, positions=()), entry("d1", now - 5 * SECOND, sequence=1)])
    async with gate_told(nats_server.url, account) as (gate, link):
        await until(lambda: gate.folded.holdings.cursor == 1, "the fill is heard")
        account.told.append(report(now, positions=()))
        await until(lambda: account.given == 3 and gate.idle, "the report is heard")
        heard = gate.folded.holdings.portfolio("BTCUSDT", "momo", Side.LONG, now)
        again = Folded(BOOK, policy(), "engine")
        for message in await stream_messages(link, subjects.ledger_stream(BOOK)):
            again.take(message)
        assert again.holdings.portfolio("BTCUSDT", "momo", Side.LONG, now) == heard
        assert heard is not None
        assert heard.positions == ()


async def test_a_gate_that_leads_again_at_once_writes_no_state_down_anew(nats_server: NatsServer) -> None:
    """The first that leads does; the next ones, a thousand records after it, do."""
    account = Teller([report(clock.now_ns(), positions=())])
    for _ in range(3):
        async with gate_told(nats_server.url, account) as (gate, link):
            await until(lambda: gate.position.snapshot > 0 and gate.idle, "the state is written down")
    account.told += words(1000)
    async with gate_told(nats_server.url, account) as (gate, link):
        await until(lambda: gate.folded.holdings.cursor == 1000 and gate.idle, "all is recorded")
        assert len(of_kind(await ledger(link), "snapshot")) == 1
        first = gate.position.snapshot
    async with gate_told(nats_server.url, account) as (gate, link):
        await until(lambda: gate.position.snapshot > first and gate.idle, "the state is written down again")
