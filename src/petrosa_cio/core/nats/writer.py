"""The writer: sends a book's records to the ledger in order, fenced and pipelined, while one gate leads."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.ledger import entry
from petrosa_cio.core.nats.terms import IN_FLIGHT
from petrosa_cio.core.nats.trouble import give_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.decision import Content, Totals
    from petrosa_cio.core.nats.fold import Folded, Promise
    from petrosa_cio.core.nats.ledger import Position
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.terms import GateTerms


@dataclass(slots=True, eq=False)
class UnderWay:
    """A record or a signal that was sent and is not yet acknowledged."""

    future: asyncio.Future[int]
    index: int
    promise: Promise | None


@dataclass(slots=True)
class LedgerWriter:
    """Sends records. Made anew each time a gate leads: what was in flight before is the ledger's to tell."""

    link: Link
    terms: GateTerms
    folded: Folded
    records: deque[UnderWay] = field(default_factory=deque)
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    """One place for each record or signal under way, held until it is settled."""
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def position(self) -> Position:
        """Where the ledger will stand once everything sent is stored."""
        return self.folded.position

    async def append(
        self,
        content: Content,
        count: Callable[[Totals], Totals],
        *,
        cursor: int | None = None,
        promise: Promise | None = None,
        measured: str = "",
    ) -> UnderWay:
        """Send one record, fenced, without waiting. It holds one place of `room` until it is settled.

        One at a time: the position a record continues must be the one that the record sent before it left behind.
        """
        async with self._sending:
            position = self.position
            made = entry(
                position,
                content,
                position.cursor if cursor is None else cursor,
                count(position.totals),
                _in_force(position, content),
                measured,
                settled=self.folded.settled,
            )
            self.folded.position = made.position
            if promise is not None:
                promise.index = made.position.index
                self.folded.open[promise.sequence] = promise
            future = await self.link.append(subjects.ledger_subject(self.terms.book), made.body, made.headers)
            under_way = UnderWay(future, made.position.index, promise)
            self.records.append(under_way)
            self.sent.set()
        return under_way

    async def record(self, content: Content) -> None:
        """Append one record that judges nothing and wait for it, with nothing else in flight."""
        position = self.position
        made = entry(position, content, position.cursor, position.totals, _in_force(position, content))
        await self.link.stored(subjects.ledger_subject(self.terms.book), made.body, made.headers)
        self.folded.position = made.position

    def abandon(self) -> None:
        """Let go of what is in flight."""
        for under_way in self.records:
            give_up(under_way.future)
        self.records.clear()


def _in_force(position: Position, content: Content) -> str | None:
    """The policy that the ledger says is in force after ``content``: a policy record alone changes it."""
    return str(content["policy_revision"]) if content["kind"] == "policy" else position.policy_revision
