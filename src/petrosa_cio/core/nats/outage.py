"""An outage of the ledger: NATS delivers, but nothing can be recorded.

Nothing that adds risk passes; a ``close`` does (`straight`), whether the intent stream holds it or not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.ledger import entry
from petrosa_cio.core.nats.trouble import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.core.nats.fold import Folded
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.straight import Straight
    from petrosa_cio.core.nats.terms import GateTerms

PROBE_SECONDS = 0.5
"""How often the ledger is asked whether it takes records again."""

ALERT_SUBJECT = "alerts.cio.ledger_unavailable"


@dataclass(slots=True)
class Outage:
    """One outage, from the refusal to the first record that is taken again."""

    link: Link
    terms: GateTerms
    straight: Straight
    folded: Folded

    async def last(self, stop: asyncio.Event) -> None:
        """Let closes through until the ledger takes records again, or ``stop``. Raises Fenced or Interrupted."""
        since = self.terms.now()
        await self._alert("critical", "the ledger takes no records; entries are blocked, closes live")
        async with self.link.listening(subjects.INTENT_SUBJECTS, self._hear):
            await self._pass_waiting()
            while not stop.is_set():
                if await self._taken_again(since):
                    await self._alert(
                        "info", f"the ledger takes records again; {self.straight.passed} closes passed meanwhile"
                    )
                    return
                await asyncio.sleep(PROBE_SECONDS)

    async def _hear(self, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        receipt = wire.receive(0, subject, data, headers, self.terms.now())
        await self.straight.consider(receipt, self.folded)

    async def _pass_waiting(self) -> None:
        """Closes that are in the intent stream and not in the ledger."""
        cursor = self.folded.position.cursor
        intents = await self.link.state(subjects.INTENTS_STREAM)
        last = intents.last
        if last <= cursor or intents.messages == 0:
            return
        async with self.link.read(subjects.INTENTS_STREAM, cursor + 1) as reader:
            async for batch in reader.batches():
                for message in batch:
                    arrived_at = message.stored_at // 1000 * 1000
                    receipt = wire.receive(message.sequence, message.subject, message.data, message.headers, arrived_at)
                    await self.straight.consider(receipt, self.folded)
                if batch[-1].sequence >= last:
                    return

    async def _taken_again(self, since: int) -> bool:
        position = self.folded.position
        content: Content = {
            "kind": "outage",
            "from": iso(since),
            "to": iso(self.terms.now()),
            "passed": self.straight.passed,
        }
        made = entry(position, content, position.cursor, position.totals, self.terms.policy.revision)
        try:
            await self.link.stored(subjects.ledger_subject(self.terms.book), made.body, made.headers)
        except Refused:
            return False
        return True

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
        await self.link.publish(ALERT_SUBJECT, record.encode(alert))
