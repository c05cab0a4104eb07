"""What a live gate hears of its account: executions from their stream, reports from whoever polls the account.

Hearing goes on in a task of its own (`HeardAccount.run`); the gate takes what is due, from memory, when it likes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.executions import Refusal, decode
from petrosa_cio.core.nats.reports import decode_report
from petrosa_cio.core.nats.together import first_failure
from petrosa_cio.core.nats.trouble import Interrupted, NoSuchStream
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, Happening, PromotedOrder
    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.reader import Delivered

MOST_WAITING = 1000
"""Executions that wait to be taken; at so many reading ends, and begins again once they are taken."""

RETRY_SECONDS = 0.1


@dataclass(slots=True)
class AccountCounters:
    """What was heard of the account since this process started, and every way in which something was not."""

    executions: int = 0
    refused_executions: int = 0
    dated_by_stream: int = 0
    """Executions whose own time was unreadable or ahead of the stream's."""
    missing_executions: int = 0
    """Those that had left the stream before they were read."""
    streams_anew: int = 0
    """How often the stream was found made anew, its numbers begun again."""
    interrupted: int = 0
    reports: int = 0
    refused_reports: int = 0
    foreign_reports: int = 0
    """Reports of another origin than the one that counts here."""
    overtaken_reports: int = 0
    """Reports that a newer one replaced before they were taken, or that were not newer than one taken."""

    def content(self) -> dict[str, int]:
        """As shown by status."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class HeardAccount:
    """`ports.Accounts` of a live gate. ``origin`` is the one whose reports count; those of others are left out.

    ``arrived`` is set when something came that `due` has not given yet. Keep `run` up: it survives the loss of the
    connection and of the server, and raises BusError only where its link was closed.
    """

    link: Link
    book: str
    origin: str
    log: Callable[[str, dict[str, object]], None]
    remake: Callable[[int], Awaitable[None]] | None = None
    """Makes the stream of executions where there is none, to begin after a sequence; None: somebody else does."""
    counters: AccountCounters = field(default_factory=AccountCounters)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: deque[Execution] = field(default_factory=deque)
    _read_to: int = 0
    """The last sequence that was read, passed over, or is not wanted."""
    _read_up: bool = False
    """Whether everything was read that the stream held when reading began."""
    _beginnings: int = 0
    _begun: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _report: AccountReport | None = None
    _given_as_of: Instant | None = None
    _told: set[tuple[str, ...]] = field(default_factory=set)

    def begin(self, after: int) -> None:
        """Give every execution after sequence ``after`` from now on, and the latest report that was heard."""
        self._waiting.clear()
        self._read_to, self._given_as_of, self._read_up = after, None, False
        self._beginnings += 1
        self._begun.set()

    @property
    def behind(self) -> bool:
        """From `begin` until what the stream holds was read and given; again while it cannot be read."""
        return not self._read_up or len(self._waiting) > 0

    def promoted(self, order: PromotedOrder) -> None:
        """A real engine hears of it by its signal."""

    def due(self, now: Instant) -> tuple[Happening, ...]:
        """Executions in the order of their stream, then the newest report that is not of after ``now``."""
        self.arrived.clear()
        self._room.set()
        found: list[Happening] = list(self._waiting)
        self._waiting.clear()
        report = self._report
        if report is not None and report.as_of <= now and self._newer(report):
            self._given_as_of = report.as_of
            found.append(report)
        return tuple(found)

    def _newer(self, report: AccountReport) -> bool:
        return self._given_as_of is None or report.as_of > self._given_as_of

    async def run(self) -> None:
        """Hear of the account for ever. Nothing is read before `begin`."""
        if self._beginnings:
            self._begun.set()  # run again after it broke off: go on where reading ended
        async with self.link.listening([subjects.account_subject(self.book)], self._hear):
            while True:
                await self._begun.wait()
                self._begun.clear()
                await first_failure(self._follow(), self._begun_again())

    async def _begun_again(self) -> None:
        await self._begun.wait()

    # -- reports -------------------------------------------------------------------------------------------------------

    async def _hear(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:  # noqa: ARG002
        report = decode_report(payload)
        if isinstance(report, Refusal):
            self.counters.refused_reports += 1
            self._tell_once("ALARM: a report of the account cannot be read", report)
            return
        if report.origin != self.origin:
            self.counters.foreign_reports += 1
            foreign = Refusal("origin", "is not the one that counts", report.origin)
            self._tell_once("ALARM: the account is reported from another origin", foreign)
            return
        self.counters.reports += 1
        waits = self._report is not None and self._newer(self._report)
        if not self._newer(report):
            self.counters.overtaken_reports += 1
            return
        self.counters.overtaken_reports += waits
        self._report = report
        self.arrived.set()

    # -- executions ----------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Read the stream from where reading ended, again and again."""
        broken = False
        while True:
            try:
                await self.link.stands()
                await self._read()
            except Interrupted as error:
                self.counters.interrupted += 1
                self._read_up = False
                if not broken:
                    self.log("executions cannot be read now; it is tried again", {"why": str(error)})
                broken = True
                await asyncio.sleep(RETRY_SECONDS)
                if isinstance(error, NoSuchStream):
                    await self._made_anew()
            else:
                broken = False
                await self._room.wait()

    async def _made_anew(self) -> None:
        """Have the stream made again, so that it counts on: what was told while there was none is lost."""
        if self.remake is None:
            return
        try:
            await self.remake(self._read_to)
        except BusError as error:
            self.log("the stream of executions cannot be made", {"why": str(error)})
            return
        self.counters.streams_anew += 1
        self.log("ALARM: the stream of executions was lost, and is made anew", {"read_to": self._read_to})

    async def _read(self) -> None:
        """Read until no more may wait. Raises Interrupted."""
        beginning = self._beginnings
        state = await self.link.state(subjects.EXECUTIONS_STREAM)
        if state.last < self._read_to and beginning == self._beginnings:
            # What comes must not wait for numbers that are years away; what is read twice is recognised by its order.
            self.counters.streams_anew += 1
            self.log("ALARM: the stream of executions was made anew", {"read_to": self._read_to, "last": state.last})
            self._read_to = 0
        async with self.link.read(subjects.EXECUTIONS_STREAM, self._read_to + 1) as reader:
            self._is_read_up(beginning, state.last)
            async for batch in reader.batches():
                for message in batch:
                    if beginning != self._beginnings:
                        return  # `begin` was called meanwhile: this is none of what it asked for
                    if len(self._waiting) >= MOST_WAITING:
                        self._room.clear()
                        return
                    self._take(message)
                self._is_read_up(beginning, state.last)

    def _is_read_up(self, beginning: int, last: int) -> None:
        """Note whether everything up to ``last`` is read, which the stream held when this reading began."""
        self._read_up = self._read_up or (beginning == self._beginnings and self._read_to >= last)

    def _take(self, message: Delivered) -> None:
        missing = message.sequence - self._read_to - 1
        if missing > 0 and self._read_to > 0:
            self.counters.missing_executions += missing
            self.log("ALARM: executions left the stream unread", {"count": missing, "before": message.sequence})
        self._read_to = message.sequence
        found = decode(message.data, message.sequence, message.stored_at)
        if isinstance(found, Refusal):
            self.counters.refused_executions += 1
            self._tell_once("ALARM: an execution cannot be read", found, sequence=message.sequence)
            return
        self.counters.executions += 1
        self.counters.dated_by_stream += found.at == message.stored_at // 1000 * 1000
        self._waiting.append(found)
        self.arrived.set()

    def _tell_once(self, event: str, refusal: Refusal, **further: object) -> None:
        """Log a refusal the first time that one of its kind comes; kinds are few, whatever is published."""
        kind = (event, *refusal.kind)
        if kind not in self._told and len(self._told) < MOST_WAITING:
            self._told.add(kind)
            self.log(event, {"why": str(refusal), "further ones": "are counted, not logged", **further})
