"""The interceptor: intents in, decisions recorded, signals out. One loop per book, a fold over the intent stream.

recover → stand by (only after another gate fenced us) → lead, until fenced or interrupted, then again from recover.
The ledger is the cursor: what is recorded is acted on and never judged anew; what is not recorded never happened.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.decision import content_of, decide, remember, remembered_of
from petrosa_cio.apps.nurse.models import iso, parse_instant
from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.fold import Folded, Promise
from petrosa_cio.core.nats.ledger import entry
from petrosa_cio.core.nats.outage import PROBE_SECONDS, Outage
from petrosa_cio.core.nats.recovery import recover
from petrosa_cio.core.nats.settlement import EXPIRED, promise_made, settlement, signal_message, too_late
from petrosa_cio.core.nats.straight import Straight
from petrosa_cio.core.nats.terms import IN_FLIGHT, GateTerms
from petrosa_cio.core.nats.together import first_failure
from petrosa_cio.core.nats.trouble import Interrupted, Refused, give_up
from petrosa_cio.core.nats.witness import Witness
from petrosa_cio.errors import Fenced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petrosa_cio.apps.nurse.decision import Content, Decision, Totals
    from petrosa_cio.apps.nurse.models import Instant, Receipt
    from petrosa_cio.apps.nurse.ports import Spill
    from petrosa_cio.core.nats.ledger import Position
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.reader import Delivered
    from petrosa_cio.core.nats.witness import Heard

STALL_SECONDS = 5.0
"""An acknowledgement that takes longer is given up for lost: recover rather than wait."""

TAKE_OVER_SECONDS = 0.05
"""A standing-by gate that sees an intent wait this long, and the ledger not move, leads: well inside 200 ms."""

OVERDUE_SECONDS = 0.5
"""An intent that was heard this long ago, and is not in a stream that has been read to its end, was not captured."""

_POLL_SECONDS = 0.01


@dataclass(slots=True)
class GateCounters:
    """What happened in this gate process since it started; every way an intent can turn has a name here."""

    judged: int = 0
    promoted: int = 0
    already_settled: int = 0
    expired: int = 0
    gaps: int = 0
    quarantined: int = 0
    traces_dropped: int = 0
    uncaptured: int = 0
    fenced: int = 0
    interrupted: int = 0
    recoveries: int = 0

    def content(self) -> dict[str, int]:
        """As shown by status."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _UnderWay:
    """A record or a signal that was sent and is not yet acknowledged."""

    future: asyncio.Future[int]
    since: float
    index: int
    promise: Promise | None


@dataclass(slots=True)
class Gate:
    """One gate of one book. Several may run: the ledger lets only one advance at a time."""

    link: Link
    terms: GateTerms
    log: Callable[[str, dict[str, object]], None]
    spill: Spill | None = None
    """Where closes are kept that pass while the ledger takes no records; without one, they wait like the rest."""
    counters: GateCounters = field(default_factory=GateCounters)
    state: str = "starting"
    folded: Folded = field(init=False)
    _straight: Straight | None = field(init=False)
    _witness: Witness = field(default_factory=Witness)
    _records: deque[_UnderWay] = field(default_factory=deque)
    _signals: deque[_UnderWay] = field(default_factory=deque)
    _sent: asyncio.Event = field(default_factory=asyncio.Event)
    _promised: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    _appending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.folded = Folded(self.terms.book, self.terms.policy)
        self._straight = None if self.spill is None else Straight(self.link, self.terms, self.spill, self.log)

    @property
    def passed_unrecorded(self) -> int:
        """Closes that went straight to the engine since this process started."""
        return 0 if self._straight is None else self._straight.passed

    @property
    def position(self) -> Position:
        """Where this gate believes the ledger stands."""
        return self.folded.position

    def stop(self) -> None:
        """Ask the gate to finish what it has recorded and return from `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Judge until `stop`. Raises LedgerError where the ledger is unsound: then nothing may be promoted."""
        fenced = False
        while not self._stop.is_set():
            try:
                await self.link.restored()
                await self._recover()
                if fenced:
                    await self._stand_by()
                fenced = False
                if not self._stop.is_set():
                    await self._lead()
            except Fenced as error:
                fenced = True
                self.counters.fenced += 1
                self.log("fenced", {"why": str(error)})
            except Refused as error:
                self.counters.interrupted += 1
                await self._outlast(error)
            except Interrupted as error:
                self.counters.interrupted += 1
                self.log("interrupted", {"why": str(error)})
                await asyncio.sleep(0.05)  # not a tight loop against a server that is restarting
        self.state = "stopped"

    # -- recover -----------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Rebuild position, memory and open promises from the ledger."""
        self.state = "recovering"
        await self._recover_position()

    async def _recover_position(self) -> None:
        self.counters.recoveries += 1
        self._abandon()
        self.folded = await recover(self.link, self.terms)
        self.log("recovered", {"index": self.position.index, "cursor": self.position.cursor})

    def _abandon(self) -> None:
        """Drop what was in flight: the ledger knows what became of it."""
        for under_way in (*self._records, *self._signals):
            give_up(under_way.future)
        self._records.clear()
        self._signals.clear()
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._appending = asyncio.Lock()

    # -- outage ------------------------------------------------------------------------------------------------------

    async def _outlast(self, refusal: Refused) -> None:
        """The ledger takes no records: let closes through, kept on disk, until it does again."""
        self.state = "ledger unavailable"
        self.log("ALARM: the ledger takes no records; entries are blocked, closes live", {"why": str(refusal)})
        try:
            await self._recover_position()
            if self._straight is None:
                await asyncio.sleep(PROBE_SECONDS)
                return
            outage = Outage(self.link, self.terms, self._straight, self.folded)
            await first_failure(outage.last(self._stop), self._watch())
        except (Interrupted, Fenced) as error:
            self.log("interrupted", {"why": str(error)})
            await asyncio.sleep(0.05)

    # -- stand by ----------------------------------------------------------------------------------------------------

    async def _stand_by(self) -> None:
        """Follow the ledger while another gate leads; return when an intent waits and the ledger does not move."""
        self.state = "standing by"
        async with self.link.read(subjects.ledger_stream(self.terms.book), self.position.index + 1) as reader:

            async def follow() -> None:
                async for batch in reader.batches():
                    for message in batch:
                        self.folded.take(message)
                    self.folded.forget_settled()

            await first_failure(follow(), self._until_leader_is_silent(), self._watch())

    async def _until_leader_is_silent(self) -> None:
        loop = asyncio.get_running_loop()
        seen, since = self.position.cursor, loop.time()
        while not self._stop.is_set():
            last = (await self.link.state(subjects.INTENTS_STREAM)).last
            if last <= self.position.cursor or self.position.cursor != seen:
                seen, since = self.position.cursor, loop.time()
            elif loop.time() - since > TAKE_OVER_SECONDS:
                return
            await asyncio.sleep(_POLL_SECONDS)

    # -- lead --------------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        """Judge what comes, until stopped, fenced or interrupted."""
        self.state = "leading"
        if self.position.policy_revision != self.terms.policy.revision:
            policy = self.terms.policy
            await self._record_now({"kind": "policy", "policy_revision": policy.revision, "policy": policy.content})
        await self._write_down_spilled()
        self.log("leading", {"index": self.position.index, "cursor": self.position.cursor})
        if self.terms.event_clock:
            await first_failure(self._judge(), self._promote(), self._confirm(), self._watch())
            return
        self._witness = Witness()
        async with self.link.listening(subjects.INTENT_SUBJECTS, self._hear):
            await first_failure(self._judge(), self._promote(), self._confirm(), self._watch(), self._compare())

    # -- witness -----------------------------------------------------------------------------------------------------

    async def _hear(self, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        self._witness.hear(subject, headers, data, asyncio.get_running_loop().time())

    async def _compare(self) -> None:
        """Look for intents that were published and never stored; let the closes among them through."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(OVERDUE_SECONDS / 2)
            before = loop.time() - OVERDUE_SECONDS
            if not self._witness.overdue(before):
                continue
            if (await self.link.state(subjects.INTENTS_STREAM)).last > self.position.cursor:
                continue  # there is more to read yet: it may be among it
            missing = self._witness.uncaptured(before)
            if missing:
                await self._uncaptured(missing)

    async def _uncaptured(self, missing: list[Heard]) -> None:
        self.counters.uncaptured += len(missing)
        self.log("ALARM: the intent stream did not store what was published", {"intents": len(missing)})
        if self._straight is None:
            return
        passed = 0
        for heard in missing:
            receipt = wire.receive(0, heard.subject, heard.data, heard.headers, self.terms.now())
            passed += await self._straight.consider(receipt, self.folded)
        if passed:
            msg = f"{passed} closes passed unrecorded: they must be written down"
            raise Interrupted(msg)

    async def _record_now(self, content: Content) -> None:
        """Append one record that judges nothing and wait for it, with nothing else in flight."""
        position = self.position
        made = entry(position, content, position.cursor, position.totals, self.terms.policy.revision)
        await self.link.stored(subjects.ledger_subject(self.terms.book), made.body, made.headers)
        self.folded.position = made.position

    async def _write_down_spilled(self) -> None:
        """What passed unrecorded during an outage goes into the ledger before anything else is judged."""
        pending = self.spill.pending() if self.spill is not None else []
        for kept in pending:
            content = record.decode(kept)
            await self._record_now(dict(content))
            remembered = remembered_of(content)
            if remembered is not None:
                self.folded.memory.fold(remembered)
        if self.spill is not None and pending:
            self.spill.clear()
            self.log("spilled closes are written down", {"closes": len(pending)})

    async def _judge(self) -> None:
        """Keep or expire the promises found open, then read intents from the cursor on and append a record for each."""
        for promise in list(self.folded.open.values()):
            await self._room.acquire()
            await self._send(promise)
        async with self.link.read(subjects.INTENTS_STREAM, self.position.cursor + 1) as reader:
            async for batch in reader.batches():
                for message in batch:
                    if self._stop.is_set():
                        await asyncio.Future()  # nothing new; `_watch` ends us once what is under way is settled
                    if message.sequence > self.position.cursor + 1:
                        await self._gap(message.sequence)
                    await self._room.acquire()
                    await self._take(message)

    async def _gap(self, upto: int) -> None:
        """Intents that left the stream unjudged: recorded and counted, after everything before them is settled."""
        first, last = self.position.cursor + 1, upto - 1
        count = last - first + 1
        self.counters.gaps += count
        self.log("gap", {"from": first, "to": last})
        await self._room.acquire()
        content: Content = {"kind": "gap", "from": first, "to": last, "count": count}
        await self._append(content, lambda totals: totals._replace(gap=totals.gap + count), cursor=last)

    async def _take(self, message: Delivered) -> None:
        if not self.terms.event_clock:
            self._witness.read(message.subject, message.data, asyncio.get_running_loop().time())
        receipt = self._receive(message)
        now = receipt.arrived_at if self.terms.event_clock else self.terms.now()
        decision = self._decide(receipt, now)
        self.counters.judged += 1
        self.counters.traces_dropped += receipt.trace.dropped
        if decision.receipt.undecodable is not None:
            await self._quarantine(receipt)
        remembered = remember(decision)
        if remembered is not None:
            self.folded.memory.fold(remembered)
        kind = decision.verdict.kind
        await self._append(
            content_of(decision),
            lambda totals: totals.judged(kind),
            cursor=receipt.sequence,
            promise=promise_made(decision),
            measured="" if self.terms.event_clock else f'{{"judged_after_us":{(now - receipt.arrived_at) // 1000}}}',
        )

    def _decide(self, receipt: Receipt, now: Instant) -> Decision:
        """The decision; an intent that our own code cannot judge is quarantined, or it would stop the book for ever."""
        try:
            return decide(self.terms.book, receipt, self.folded.memory, self.terms.policy, now)
        except Exception as error:  # noqa: BLE001  whatever it is, it is our fault and must not be fatal
            self.log("ALARM: an intent could not be judged", {"sequence": receipt.sequence, "error": repr(error)})
            unjudged = replace(receipt, body=None, undecodable=f"our fault: judging it raised {type(error).__name__}")
            return decide(self.terms.book, unjudged, self.folded.memory, self.terms.policy, now)

    def _receive(self, message: Delivered) -> Receipt:
        arrived_at = message.stored_at // 1000 * 1000
        if self.terms.event_clock:
            recorded = message.headers.get(subjects.RECORDED_AT_HEADER)
            arrived_at = parse_instant(recorded) if recorded else arrived_at
        return wire.receive(message.sequence, message.subject, message.data, message.headers, arrived_at)

    async def _quarantine(self, receipt: Receipt) -> None:
        """Keep the raw bytes before the decision that refers to them. A second gate finds them already kept."""
        self.counters.quarantined += 1
        room = self.link.max_payload - 1024
        headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Cio-Subject": receipt.subject[:512]}
        if len(receipt.payload) > room:
            headers["Cio-Cut-To"] = str(room)
        subject = subjects.quarantine_subject(self.terms.book, receipt.sequence)
        try:
            await self.link.stored(subject, receipt.payload[:room], headers)
        except Fenced:
            self.counters.already_settled += 1

    async def _append(
        self,
        content: Content,
        count: Callable[[Totals], Totals],
        *,
        cursor: int | None = None,
        promise: Promise | None = None,
        measured: str = "",
    ) -> None:
        """Send one record, fenced, without waiting. It holds one place of `_room` until it is settled.

        One at a time: the position a record continues must be the one that the record sent before it left behind.
        """
        async with self._appending:
            position = self.position
            made = entry(
                position,
                content,
                position.cursor if cursor is None else cursor,
                count(position.totals),
                self.terms.policy.revision,
                measured,
                settled=self.folded.settled,
            )
            self.folded.position = made.position
            if promise is not None:
                promise.index = made.position.index
                self.folded.open[promise.sequence] = promise
            future = await self.link.append(subjects.ledger_subject(self.terms.book), made.body, made.headers)
            now = asyncio.get_running_loop().time()
            self._records.append(_UnderWay(future, now, made.position.index, promise))
            self._sent.set()

    # -- promote -----------------------------------------------------------------------------------------------------

    async def _promote(self) -> None:
        """As each record is acknowledged, in order, send its signal."""
        while True:
            if not self._records:
                self._sent.clear()
                await self._sent.wait()
            under_way = self._records[0]
            await under_way.future
            if under_way.promise is not None:
                await self._send(under_way.promise)
            else:
                self._settle_to(under_way.index)
                self._room.release()
            self._records.popleft()

    async def _send(self, promise: Promise) -> None:
        if too_late(self.terms, promise):
            if not await self._expire(promise):
                self._room.release()
            return
        subject, body, headers = signal_message(self.terms, promise)
        future = await self.link.append(subject, body, headers)
        now = asyncio.get_running_loop().time()
        self._signals.append(_UnderWay(future, now, promise.index, promise))
        self._promised.set()

    async def _confirm(self) -> None:
        """As each signal is acknowledged, in order, count its promise as kept."""
        while True:
            if not self._signals:
                self._promised.clear()
                await self._promised.wait()
            under_way = self._signals[0]
            expired = False
            try:
                await under_way.future
                self.counters.promoted += 1
            except Fenced:
                expired = under_way.promise is not None and await self._settled_before(under_way.promise)
            if under_way.promise is not None:
                self.folded.open.pop(under_way.promise.sequence, None)
            self._settle_to(under_way.index)
            self._signals.popleft()
            if not expired:  # the record of an expiry holds the place until it is acknowledged
                self._room.release()

    def _settle_to(self, index: int) -> None:
        """Move the mark below which every promise is settled: up to before the oldest open one."""
        oldest = next(iter(self.folded.open.values()), None)
        mark = index if oldest is None else oldest.index - 1
        self.folded.settled = max(self.folded.settled, mark)

    async def _expire(self, promise: Promise) -> bool:
        """Bar the signal for good, then record that it expired. False where its signal was sent before: that stands."""
        subject = subjects.outbox_expired(self.terms.book, promise.sequence)
        try:
            await self.link.stored(subject, b"", settlement(self.terms.book, promise.sequence))
        except Fenced:
            return await self._settled_before(promise)
        await self._record_expiry(promise)
        return True

    async def _settled_before(self, promise: Promise) -> bool:
        """What settled ``promise`` before us stands; an expiry is recorded if it is not yet (then True)."""
        self.counters.already_settled += 1
        stands = await self.link.last(
            subjects.outbox_stream(self.terms.book), subjects.outbox_settlement(self.terms.book, promise.sequence)
        )
        if stands is None or not stands.subject.endswith(EXPIRED):
            self.folded.open.pop(promise.sequence, None)
            return False
        await self._record_expiry(promise)
        return True

    async def _record_expiry(self, promise: Promise) -> None:
        self.counters.expired += 1
        self.folded.open.pop(promise.sequence, None)
        content: Content = {
            "kind": "expired",
            "sequence": promise.sequence,
            "decision_id": promise.decision_id,
            "at": iso(self.terms.now()),
        }
        await self._append(content, lambda totals: totals._replace(expired=totals.expired + 1))

    # -- watch -------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Break off when the connection is lost or an acknowledgement stalls; return once stopped and settled."""
        loop = asyncio.get_running_loop()
        while not (self._stop.is_set() and not self._records and not self._signals):
            for under_way in (*list(self._records)[:1], *list(self._signals)[:1]):
                if loop.time() - under_way.since > STALL_SECONDS:
                    msg = f"no acknowledgement for {STALL_SECONDS:g} s"
                    raise Interrupted(msg)
            if self.link.lost.is_set():
                msg = "connection lost"
                raise Interrupted(msg)
            await asyncio.sleep(_POLL_SECONDS)
