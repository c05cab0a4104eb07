"""An outage: NATS delivers, but the streams cannot be read or take nothing, or the ledger is unsound.

Nothing that adds risk passes; a ``close`` does (`straight`), whether the intent stream holds it or not. The outage ends
with the first record that the ledger takes after everything that refused us has been seen to work again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.ledger import entry
from petrosa_cio.core.nats.settlement import expiry_message, signal_message, too_late
from petrosa_cio.core.nats.together import end
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.errors import Fenced, LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.core.nats.fold import Folded, Promise
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.straight import Straight
    from petrosa_cio.core.nats.terms import GateTerms

PROBE_SECONDS = 0.5
"""How often it is tried whether the streams work again."""

PROBE_PATIENCE_SECONDS = 30.0
"""A probe reads the ledger and what waits of the intents; one that takes longer than this is tried anew."""

ALERT_SUBJECT = "alerts.cio.ledger_unavailable"


@dataclass(slots=True)
class Outage:
    """One outage, from the first refusal to the first record that is taken again."""

    link: Link
    terms: GateTerms
    straight: Straight
    recovered: Callable[[], Awaitable[Folded]]
    why: str
    """What is wrong now, in one line; it may change as the outage goes on."""
    probes: int = 0
    """How often it was tried whether the streams work again."""
    read_to: int = 0
    """Intents up to this sequence were considered: one that is stored is considered once, however long this lasts."""

    async def last(self, under_way: Iterable[Promise], stop: asyncio.Event) -> None:
        """Let closes through, those ``under_way`` first, until all works again or ``stop``. Raises Fenced."""
        since = self.terms.now()
        await self._alert("critical", f"nothing can be recorded ({self.why}); entries are blocked, closes live")
        for promise in under_way:
            await self.straight.fulfil(promise)
        while not stop.is_set():
            with contextlib.suppress(Interrupted):
                await self.straight.send_unsent()
            if await self._over_unless(stop, since):
                await self._alert("info", f"records are taken again; {self.straight.passed} closes passed meanwhile")
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PROBE_SECONDS)

    async def _over_unless(self, stop: asyncio.Event, since: int) -> bool:
        """Whether it is over; a probe that takes too long, or is overtaken by ``stop``, has failed."""
        probe = asyncio.create_task(self._over(since))
        told = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({probe, told}, timeout=PROBE_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if probe.done():
                return probe.result()
        finally:
            await end(probe, told)
        if not stop.is_set():
            self.why = f"no answer within {PROBE_PATIENCE_SECONDS:g} s"
        return False

    async def _over(self, since: int) -> bool:
        self.probes += 1
        try:
            folded = await self.recovered()
            for promise in folded.open.values():
                await self.straight.fulfil(promise)
            await self._pass_waiting(folded)
            await self._settle_one(folded)
            await self._record(folded, since)
        except Fenced:
            await self._alert("info", "another gate records again")
            raise
        except (Interrupted, LedgerError) as error:
            self.why = str(error)
            return False
        return True

    async def _pass_waiting(self, folded: Folded) -> None:
        """Closes that are in the intent stream and not in the ledger."""
        start = max(folded.position.cursor, self.read_to) + 1
        async with self.link.read(subjects.INTENTS_STREAM, start) as reader:
            async for batch in reader.standing():
                for message in batch:
                    arrived_at = message.stored_at // 1000 * 1000
                    receipt = wire.receive(message.sequence, message.subject, message.data, message.headers, arrived_at)
                    await self.straight.consider(receipt, folded.memory)
                    self.read_to = message.sequence

    async def _settle_one(self, folded: Folded) -> None:
        """See the outbox work: settle the oldest open promise, as it must be anyway."""
        promise = next(iter(folded.open.values()), None)
        if promise is None:
            return
        message = expiry_message if too_late(self.terms, promise) else signal_message
        with contextlib.suppress(Fenced):  # settled by someone else: all the better
            await self.link.stored(*message(self.terms, promise))

    async def _record(self, folded: Folded, since: int) -> None:
        position = folded.position
        content: Content = {
            "kind": "outage",
            "from": iso(since),
            "to": iso(self.terms.now()),
            "passed": self.straight.passed,
            "why": self.why,
        }
        made = entry(position, content, position.cursor, position.totals, position.policy_revision)
        await self.link.stored(subjects.ledger_subject(self.terms.book), made.body, made.headers)

    async def _alert(self, severity: str, message: str) -> None:
        alert: Content = {
            "category": "ledger",
            "severity": severity,
            "book": self.terms.book,
            "message": message,
            "decision_id": None,
            "dedupe_key": f"cio-ledger-{self.terms.book}",
            "timestamp": iso(self.terms.now()),
        }
        with contextlib.suppress(Interrupted):  # it is in the log as well
            await self.link.publish(ALERT_SUBJECT, record.encode(alert))
