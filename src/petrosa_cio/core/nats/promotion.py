"""Promotion: as records are acknowledged their signals leave, or expire; each promise is settled exactly once."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.settlement import EXPIRED, expiry_message, signal_message, too_late
from petrosa_cio.core.nats.trouble import give_up
from petrosa_cio.core.nats.writer import UnderWay
from petrosa_cio.errors import Fenced

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.core.nats.counters import GateCounters
    from petrosa_cio.core.nats.fold import Promise
    from petrosa_cio.core.nats.writer import LedgerWriter


@dataclass(slots=True)
class Promotion:
    """Settles promises while one gate leads. Made anew each time, like the writer whose records it follows."""

    writer: LedgerWriter
    counters: GateCounters
    signals: deque[UnderWay] = field(default_factory=deque)
    _promised: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def idle(self) -> bool:
        """Whether everything that was sent is acknowledged and settled."""
        return not self.writer.records and not self.signals

    def oldest(self) -> list[UnderWay]:
        """The record and the signal whose acknowledgement is waited for."""
        return [*list(self.writer.records)[:1], *list(self.signals)[:1]]

    def promises(self) -> list[Promise]:
        """What is under way and promises a signal."""
        return [found.promise for found in (*self.signals, *self.writer.records) if found.promise is not None]

    async def promote(self) -> None:
        """As each record is acknowledged, in order, send its signal."""
        writer = self.writer
        while True:
            if not writer.records:
                writer.sent.clear()
                await writer.sent.wait()
            under_way = writer.records[0]
            await under_way.future
            if under_way.promise is not None:
                await self.send(under_way.promise)
            else:
                self._settle_to(under_way.index)
                writer.room.release()
            writer.records.popleft()

    async def send(self, promise: Promise) -> None:
        """Send the signal of a recorded promise, or let it expire. It holds a place of the writer's room."""
        terms, link = self.writer.terms, self.writer.link
        if too_late(terms, promise):
            if not await self._expire(promise):
                self.writer.room.release()
            return
        future = await link.append(*signal_message(terms, promise))
        self.signals.append(UnderWay(future, promise.index, promise))
        self._promised.set()

    async def confirm(self) -> None:
        """As each signal is acknowledged, in order, count its promise as kept."""
        while True:
            if not self.signals:
                self._promised.clear()
                await self._promised.wait()
            under_way = self.signals[0]
            expired = False
            try:
                await under_way.future
                self.counters.promoted += 1
            except Fenced:
                expired = under_way.promise is not None and await self._settled_before(under_way.promise)
            if under_way.promise is not None:
                self.writer.folded.open.pop(under_way.promise.sequence, None)
            self._settle_to(under_way.index)
            self.signals.popleft()
            if not expired:  # the record of an expiry holds the place until it is acknowledged
                self.writer.room.release()

    def abandon(self) -> None:
        """Let go of what is in flight: the ledger and the outbox know what became of it."""
        self.writer.abandon()
        for under_way in self.signals:
            give_up(under_way.future)
        self.signals.clear()

    def _settle_to(self, index: int) -> None:
        """Move the mark below which every promise is settled: up to before the oldest open one."""
        folded = self.writer.folded
        oldest = next(iter(folded.open.values()), None)
        mark = index if oldest is None else oldest.index - 1
        folded.settled = max(folded.settled, mark)

    async def _expire(self, promise: Promise) -> bool:
        """Bar the signal for good, then record that it expired. False where its signal was sent before: that stands."""
        try:
            await self.writer.link.stored(*expiry_message(self.writer.terms, promise))
        except Fenced:
            return await self._settled_before(promise)
        await self._record_expiry(promise)
        return True

    async def _settled_before(self, promise: Promise) -> bool:
        """What settled ``promise`` before us stands; an expiry is recorded if it is not yet (then True)."""
        self.counters.already_settled += 1
        book = self.writer.terms.book
        stands = await self.writer.link.last(
            subjects.outbox_stream(book), subjects.outbox_settlement(book, promise.sequence)
        )
        if stands is None or not stands.subject.endswith(EXPIRED):
            self.writer.folded.open.pop(promise.sequence, None)
            return False
        await self._record_expiry(promise)
        return True

    async def _record_expiry(self, promise: Promise) -> None:
        self.counters.expired += 1
        self.writer.folded.open.pop(promise.sequence, None)
        self.writer.folded.holdings.expired(promise.decision_id)
        content: Content = {
            "kind": "expired",
            "sequence": promise.sequence,
            "decision_id": promise.decision_id,
            "at": iso(self.writer.terms.now()),
        }
        await self.writer.append(content, lambda totals: totals._replace(expired=totals.expired + 1))
