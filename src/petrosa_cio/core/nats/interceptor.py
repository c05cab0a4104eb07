"""The interceptor: intents in, decisions recorded, signals out. One loop per book, a fold over the intent stream.

recover → stand by (only after another gate fenced us) → lead, until fenced or interrupted, then again from recover.
The ledger is the cursor: what is recorded is acted on and never judged anew; what is not recorded never happened. Where
the streams do not work or the ledger is unsound, closes go straight (`outage`) until they do.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.commands import Commands, Verb, change_of, done, refused, shown
from petrosa_cio.core.nats.counters import GateCounters
from petrosa_cio.core.nats.fold import Folded, spilled_key
from petrosa_cio.core.nats.judging import Judging
from petrosa_cio.core.nats.outage import PROBE_SECONDS, Outage
from petrosa_cio.core.nats.promotion import Promotion
from petrosa_cio.core.nats.recovery import recover
from petrosa_cio.core.nats.straight import Straight, written_down
from petrosa_cio.core.nats.together import end, first_failure
from petrosa_cio.core.nats.trouble import Contended, Interrupted, Refused
from petrosa_cio.core.nats.witness import Witness
from petrosa_cio.core.nats.writer import LedgerWriter
from petrosa_cio.errors import Fenced, LedgerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import Spill
    from petrosa_cio.core.nats.fold import Promise
    from petrosa_cio.core.nats.ledger import Position
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.terms import GateTerms
    from petrosa_cio.core.nats.witness import Heard
    from petrosa_cio.core.nats.writer import UnderWay

STALL_SECONDS = 2.0
"""An acknowledgement that takes longer while we look for it is a refusal."""

UNABLE_SECONDS = 2.5
"""A gate that is connected and could not begin to lead for this long takes the streams for unavailable."""

TAKE_OVER_SECONDS = 0.05
"""A standing-by gate that sees an intent wait this long, and the ledger not move, leads: well inside 200 ms."""

UNSETTLED_SECONDS = 0.2
"""A standing-by gate that sees a promise unsettled this long, and the ledger not move, leads."""

OVERDUE_SECONDS = 0.5
"""An intent that was heard this long ago, and is not in a stream that has been read to its end, was not captured."""

ACCOUNT_SECONDS = 0.1
"""How often it is looked whether something has happened to the account, while no intent comes."""

CATCH_UP_SECONDS = 0.2
"""How long a gate that begins to lead waits at most for what happened to the account before."""

UNREADABLE_LOOKS = 4
"""How often nothing may have come that the stream counts, a quarter of a second apart, before it is read anew."""

_POLL_SECONDS = 0.01


@dataclass(slots=True)
class Gate:
    """One gate of one book. Several may run: the ledger lets only one advance at a time."""

    link: Link
    terms: GateTerms
    log: Callable[[str, dict[str, object]], None]
    spill: Spill | None = None
    """Where closes are kept that pass while nothing can be recorded; without one, they wait like the rest."""
    counters: GateCounters = field(default_factory=GateCounters)
    state: str = "starting"
    folded: Folded = field(init=False)
    witness: Witness = field(default_factory=Witness)
    books_known: bool = False
    """Whether `position` is what the ledger says, and not what was hoped for before an outage."""
    _straight: Straight | None = field(init=False)
    _writer: LedgerWriter = field(init=False)
    _promotion: Promotion = field(init=False)
    _judgement: Judging = field(init=False)
    _outage: Outage | None = None
    _unable_since: float | None = None
    """Since when this gate, though connected, has not begun to lead; None once it has."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _offered: tuple[Policy, int] | None = None
    _policy_offered: asyncio.Event = field(default_factory=asyncio.Event)
    _commands: Commands = field(default_factory=Commands)
    _judging: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from before a verdict until its record is sent: the policy changes only between two intents."""

    def __post_init__(self) -> None:
        self._straight = None if self.spill is None else Straight(self.link, self.terms, self.spill, self.log)
        self._go_on_from(Folded(self.terms.book, self.terms.policy))

    def _go_on_from(self, folded: Folded) -> None:
        self.folded = folded
        self._writer = LedgerWriter(self.link, self.terms, folded)
        self._promotion = Promotion(self._writer, self.counters)
        self._judgement = Judging(self._writer, self.counters, self.log)

    @property
    def passed_unrecorded(self) -> int:
        """Closes that went straight to the engine since this process started."""
        return 0 if self._straight is None else self._straight.passed

    @property
    def trouble(self) -> str:
        """Why nothing can be recorded now; empty where all is well."""
        return "" if self._outage is None else self._outage.why

    @property
    def position(self) -> Position:
        """Where this gate believes the ledger stands."""
        return self.folded.position

    @property
    def idle(self) -> bool:
        """Whether everything that was sent is acknowledged and settled."""
        return self._promotion.idle

    def stop(self) -> None:
        """Ask the gate to finish what it has recorded and return from `run`."""
        self._stop.set()

    def offer(self, policy: Policy, version: int) -> None:
        """Put ``policy`` in force, between two intents; an older version than the one in force or offered is ignored.

        The record that says so is written by the gate that leads, before the first verdict under it.
        """
        known = self.terms.policy_version if self._offered is None else self._offered[1]
        if known is not None and version <= known:
            return
        self._offered = (policy, version)
        if self.state == "leading":
            self._policy_offered.set()
        else:
            self._put_in_force()

    def confirm_policy(self, version: int) -> None:
        """The board says now that ``version`` stands: the policy in force, if it is that, is as of now."""
        if version == self.terms.policy_version:
            self.terms.policy_as_of = self.terms.now() // 1000 * 1000

    def _put_in_force(self) -> None:
        if self._offered is None:
            return
        self.terms.policy, self.terms.policy_version = self._offered
        self.terms.policy_as_of = self.terms.now() // 1000 * 1000
        self._offered = None
        self.folded.keep_for(self.terms.policy)

    async def run(self) -> None:
        """Judge until `stop`. Raises LedgerError where the ledger is unsound and there is no spill for closes."""
        fenced = False
        async with self._hearing():
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
                    fenced = self._fenced_off(error)
                except LedgerError as error:
                    if self._straight is None or self.terms.event_clock:
                        raise
                    fenced = await self._outlast(error)
                except Interrupted as error:
                    fenced = await self._broken_off(error)
                except Exception as error:
                    if self._straight is None or self.terms.event_clock:
                        raise
                    fenced = await self._at_fault(error)
        self.state = "stopped"

    def _fenced_off(self, error: Fenced) -> bool:
        """Another gate leads: what was heard until now is that one's to read. Always True."""
        self.counters.fenced += 1
        self.log("fenced", {"why": str(error)})
        self.witness = Witness(self.witness.given_up, self.witness.deduplicated)
        return True

    async def _broken_off(self, error: Interrupted) -> bool:
        """Decide between trying again at once and an outage. True where another gate turns out to lead."""
        self.counters.interrupted += 1
        if self.link.lost.is_set() or not self.link.connected:
            self._unable_since = None  # whatever failed, failed for want of a connection
        refused = isinstance(error, Refused) and not isinstance(error, Contended)
        if refused or self._unable():
            return await self._outlast(error)
        self.log("interrupted", {"why": str(error)})
        self._promotion.abandon()
        await asyncio.sleep(0.05)  # not a tight loop against a server that is restarting
        return False

    async def _at_fault(self, error: Exception) -> bool:
        """Something of ours failed that nothing foresaw: what it is, it is no reason to hold a close back.

        A process that dies of it and starts again would meet it again. True where another gate turns out to lead.
        """
        self.log("ALARM: a fault of our own; entries are blocked, closes live", {"error": repr(error)})
        fenced = await self._outlast(error)
        await asyncio.sleep(PROBE_SECONDS)  # nothing that could be seen to work again: not a tight loop
        return fenced

    def _unable(self) -> bool:
        since = self._unable_since
        return self.link.connected and since is not None and asyncio.get_running_loop().time() - since > UNABLE_SECONDS

    # -- recover -----------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Rebuild position, memory and open promises from the ledger."""
        self.state = "recovering"
        if self._unable_since is None:
            self._unable_since = asyncio.get_running_loop().time()
        self.counters.recoveries += 1
        self.books_known = False
        self._put_in_force()
        self._promotion.abandon()
        self._go_on_from(await self._while_connected(recover(self.link, self.terms)))
        self.books_known = True
        self.log("recovered", {"index": self.position.index, "cursor": self.position.cursor})

    async def _while_connected(self, recovery: Coroutine[None, None, Folded]) -> Folded:
        """What ``recovery`` gives, broken off at once when the connection is lost: it would wait out its time."""
        task = asyncio.create_task(recovery)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_POLL_SECONDS)
                if self.link.lost.is_set() and not task.done():
                    msg = "connection lost"
                    raise Interrupted(msg)
            return task.result()
        finally:
            await end(task)

    # -- outage ------------------------------------------------------------------------------------------------------

    async def _outlast(self, error: Exception) -> bool:
        """Let closes through, kept on disk, until records are taken again. True where another gate takes them."""
        self.state = "ledger unavailable"
        self.counters.outages += 1
        self.log("ALARM: nothing can be recorded; entries are blocked, closes live", {"why": str(error)})
        under_way: list[Promise] = [*self._promotion.promises(), *self.folded.open.values()]
        self._promotion.abandon()
        if self._straight is None or self.terms.event_clock:
            await asyncio.sleep(PROBE_SECONDS)
            return False
        self.books_known = False
        self._outage = Outage(self.link, self.terms, self._straight, self._recovered_in_outage, str(error))
        try:
            for heard in self.witness.unread():
                if await self._consider(heard.subject, heard.headers, heard.data):
                    self.witness.read(heard.subject, heard.data, asyncio.get_running_loop().time())
            await self._outage.last(under_way, self._stop)
        except Fenced as fenced:
            return self._fenced_off(fenced)
        finally:
            self._outage = None
            self._unable_since = None
        return False

    async def _recovered_in_outage(self) -> Folded:
        await self.link.restored()
        self._go_on_from(await self._while_connected(recover(self.link, self.terms)))
        self.books_known = True
        return self.folded

    async def _consider(self, subject: str, headers: Mapping[str, str], data: bytes) -> bool:
        if self._straight is None:
            return False
        receipt = wire.receive(0, subject, data, headers, self.terms.now())
        return await self._straight.consider(receipt, self.folded.memory)

    # -- stand by ----------------------------------------------------------------------------------------------------

    async def _stand_by(self) -> None:
        """Follow the ledger while another gate leads; return when something waits and the ledger does not move."""
        self.state = "standing by"
        async with self.link.read(subjects.ledger_stream(self.terms.book), self.position.index + 1) as reader:
            self._unable_since = None

            async def follow() -> None:
                async for batch in reader.batches():
                    for message in batch:
                        self.folded.take(message)
                    self.folded.forget_settled()

            await first_failure(follow(), self._until_leader_is_silent(), self._watch())

    async def _until_leader_is_silent(self) -> None:
        """Return when an intent waits, or a promise that nobody settles, and the ledger has not moved for a while."""
        loop = asyncio.get_running_loop()
        seen, since = self.position.index, loop.time()
        while not self._stop.is_set():
            if self.position.index != seen:
                seen, since = self.position.index, loop.time()
            still = loop.time() - since
            if await self._intent_waits():
                if still > TAKE_OVER_SECONDS:
                    return
            elif not self.folded.open:
                since = loop.time()
            elif still > UNSETTLED_SECONDS:
                if await self._promise_waits():
                    return
                if self.position.index == seen:
                    self.folded.open.clear()
            await asyncio.sleep(_POLL_SECONDS)

    async def _intent_waits(self) -> bool:
        return (await self.link.state(subjects.INTENTS_STREAM)).last > self.position.cursor

    async def _promise_waits(self) -> bool:
        """Whether the outbox holds fewer settlements than the ledger promises: the gate that recorded one has died."""
        outbox = await self.link.state(subjects.outbox_stream(self.terms.book))
        return outbox.last < self.position.totals.promising

    # -- lead --------------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        """Judge what comes, until stopped, fenced or interrupted."""
        self.state = "leading"
        self._put_in_force()
        if self.position.policy_revision != self.terms.policy.revision:
            await self._writer.record(self._policy_record())
        await self._write_down_spilled()
        if self.terms.accounts is not None and not self.terms.event_clock:
            self.terms.accounts.begin(self.folded.holdings.cursor)
        self.log("leading", {"index": self.position.index, "cursor": self.position.cursor})
        promotion = self._promotion
        together = [self._judge(), promotion.promote(), promotion.confirm(), self._watch()]
        if not self.terms.event_clock:
            together += [self._compare(), self._change_policy(), self._obey()]
            if self.terms.accounts is not None:
                together.append(self._keep_account())
        await first_failure(*together)

    async def _catch_up(self) -> None:
        """Write down what happened to the account while nobody led, before an intent is judged.

        Not for long: closes wait meanwhile. Until it is done, the account is unknown to whoever asks.
        """
        accounts, loop = self.terms.accounts, asyncio.get_running_loop()
        latest = loop.time() + CATCH_UP_SECONDS
        while accounts is not None and accounts.behind and loop.time() < latest:
            async with self._judging:
                await self._judgement.keep_up(self.terms.now())
            await asyncio.sleep(_POLL_SECONDS)

    def _policy_record(self) -> Content:
        policy, version = self.terms.policy, self.terms.policy_version
        content: Content = {"kind": "policy", "policy_revision": policy.revision, "policy": policy.content}
        if version is not None:
            content["policy_version"] = version
        return content

    async def _change_policy(self) -> None:
        """Put each policy that is offered in force, and record it, before the next intent is judged."""
        while True:
            await self._policy_offered.wait()
            self._policy_offered.clear()
            await self._writer.room.acquire()
            async with self._judging:
                self._put_in_force()
                if self.position.policy_revision != self.terms.policy.revision:
                    await self._writer.append(self._policy_record(), lambda totals: totals)
                else:
                    self._writer.room.release()
            self.log("policy", {"revision": self.terms.policy.revision, "version": self.terms.policy_version})

    async def _keep_account(self) -> None:
        """Write down what happens to the account though no intent comes."""
        while True:
            async with self._judging:
                await self._judgement.keep_up(self.terms.now())
            await asyncio.sleep(ACCOUNT_SECONDS)

    async def command(self, data: bytes) -> bytes | None:
        """Answer an operator, once what is asked for is recorded; None where another gate leads, or it was not."""
        return await self._commands.ask(data) if self.state in ("leading", "recovering") else None

    async def _obey(self) -> None:
        """Carry out what operators ask, each between two intents, and answer once its record is stored."""
        while True:
            asked = await self._commands.next()
            await self._writer.room.acquire()
            async with self._judging:
                if asked.given_up:
                    self._writer.room.release()
                    continue
                now, memory = self.terms.now(), self.folded.memory
                content = None if asked.command.verb is Verb.SHOW else change_of(asked.command, memory.standing, now)
                if content is None or isinstance(content, str):
                    self._writer.room.release()
                    answer = done(shown(self.terms.book, memory.standing, now)) if content is None else refused(content)
                    asked.reply(answer)
                    continue
                under_way = await self._writer.append(content, lambda totals: totals)
                memory.take_standing(record.decode(record.encode(content)))
                standing = shown(self.terms.book, memory.standing, now)
            await asyncio.wait({under_way.future})
            under_way.future.result()
            self.log("command", {"command": asked.command.verb.value, "who": asked.command.who})
            asked.reply(done(standing))

    async def _write_down_spilled(self) -> None:
        """What passed unrecorded during an outage goes into the ledger before anything else is judged."""
        pending = [] if self._straight is None else await self._straight.pending()
        for kept in pending:
            content = written_down(kept)
            if spilled_key(content) not in self.folded.spilled:
                await self._writer.record(dict(content))
                self.folded.take_spilled(content)
        if self._straight is not None and pending:
            self._straight.clear()
            self.log("spilled closes are written down", {"closes": len(pending)})

    # -- witness -----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _hearing(self) -> AsyncIterator[None]:
        """Hear intents as they are published, beside the stream. A recording is not heard: it has no present."""
        if self.terms.event_clock:
            yield
            return
        await self.link.restored()
        async with self.link.listening(subjects.INTENT_SUBJECTS, self._hear):
            yield

    async def _hear(self, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        # What does not pass in an outage is still looked for in the stream afterwards: it may not have been stored.
        if self._outage is not None and await self._consider(subject, headers, data):
            return
        if self.state != "standing by":
            self.witness.hear(subject, headers, data, asyncio.get_running_loop().time())

    async def _compare(self) -> None:
        """Look for intents that were published and never stored; let the closes among them through."""
        loop = asyncio.get_running_loop()
        looks, cursor = 0, self.position.cursor
        while True:
            await asyncio.sleep(OVERDUE_SECONDS / 2)
            before = loop.time() - OVERDUE_SECONDS
            if not self.witness.overdue(before):
                continue
            if (await self.link.state(subjects.INTENTS_STREAM)).last > self.position.cursor:
                # There is more to read yet, and it may be among it; unless what the stream counts is gone from it.
                looks = looks + 1 if self.position.cursor == cursor else 0
                cursor = self.position.cursor
                if looks >= UNREADABLE_LOOKS:
                    msg = "intents that the stream counts do not come"
                    raise Interrupted(msg)  # reading anew tells whether they are there; if not, they are a gap
                continue
            missing = self.witness.uncaptured(before)
            if missing:
                await self._uncaptured(missing)

    async def _uncaptured(self, missing: list[Heard]) -> None:
        self.counters.uncaptured += len(missing)
        self.log("ALARM: the intent stream did not store what was published", {"intents": len(missing)})
        passed = 0
        for heard in missing:
            passed += await self._consider(heard.subject, heard.headers, heard.data)
        if passed:
            msg = f"{passed} closes passed unrecorded: they must be written down"
            raise Interrupted(msg)

    # -- judge -------------------------------------------------------------------------------------------------------

    async def _judge(self) -> None:
        """Keep or expire the promises found open, then read intents from the cursor on and append a record for each."""
        writer = self._writer
        if not self.terms.event_clock:
            async with self._judging:  # here, and not before: its parts need places, which `promote` gives back
                await self._judgement.begin()
        for promise in list(self.folded.open.values()):
            await writer.room.acquire()
            await self._promotion.send(promise)
        if not self.terms.event_clock:
            await self._catch_up()
        last = (await self.link.state(subjects.INTENTS_STREAM)).last
        async with self.link.read(subjects.INTENTS_STREAM, self.position.cursor + 1) as reader:
            self._unable_since = None
            if not reader.stood and last > self.position.cursor:
                await self._judgement.gap(last + 1)  # there is nothing left whose arrival would tell of it
            async for batch in reader.batches():
                for message in batch:
                    if self._stop.is_set():
                        await asyncio.Future()  # nothing new; `_watch` ends us once what is under way is settled
                    if message.sequence > self.position.cursor + 1:
                        await self._judgement.gap(message.sequence)
                    await writer.room.acquire()
                    if not self.terms.event_clock:
                        self.witness.read(message.subject, message.data, asyncio.get_running_loop().time())
                    async with self._judging:
                        await self._judgement.take(message)

    # -- watch -------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Break off when the connection is lost or an acknowledgement stalls; return once stopped and settled."""
        waited: dict[UnderWay, int] = {}
        while not (self._stop.is_set() and self.idle):
            # Looks are counted, not time: a process that was paused has not waited for anything.
            waited = {oldest: waited.get(oldest, 0) + 1 for oldest in self._promotion.oldest()}
            if any(looks * _POLL_SECONDS > STALL_SECONDS for looks in waited.values()):
                msg = f"no acknowledgement for {STALL_SECONDS:g} s"
                raise Refused(msg)
            if self.link.lost.is_set():
                msg = "connection lost"
                raise Interrupted(msg)
            await asyncio.sleep(_POLL_SECONDS)
