"""Facts that are larger than one message may be: the gate goes on judging, and a restart knows all of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import BOOK, intent_bytes, ledger, of_kind, policy, prepared_link, publish, stream_messages, until

from builders_account import entry, report
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.fold import Folded
from petrosa_cio.core.nats.interceptor import Gate
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.nats.together import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from harness import NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.happenings import Execution, Happening, PromotedOrder
    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.core.nats.link import Link


@dataclass
class Teller:
    """`ports.Accounts` that gives what a test told it: a report, and then executions numbered from 1 on."""

    told: list[Happening] = field(default_factory=list)
    given: int = 0

    def begin(self, after: int) -> None:
        self.given = after + 1 if after else 0

    def promoted(self, order: PromotedOrder) -> None:
        pass

    def due(self, now: Instant) -> Sequence[Happening]:
        found = self.told[self.given :]
        self.given = len(self.told)
        return found


@contextlib.asynccontextmanager
async def gate_told(url: str, account: Teller) -> AsyncIterator[tuple[Gate, Link]]:
    async with prepared_link(url) as link:
        terms = GateTerms(BOOK, policy(), clock.now_ns, accounts=account, origin="engine")
        gate = Gate(link, terms, lambda *_: None)
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
