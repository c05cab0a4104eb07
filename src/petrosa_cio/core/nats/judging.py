"""Judging: one intent after another; what has happened to the account first, then the verdict, then its record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.controls.red_lines import crossed
from petrosa_cio.apps.nurse.decision import content_of, decide, remember
from petrosa_cio.apps.nurse.facts_text import FactsText
from petrosa_cio.apps.nurse.happenings import AccountReport, Execution
from petrosa_cio.apps.nurse.happenings_record import execution_content, report_content
from petrosa_cio.apps.nurse.latches import Standing, set_content
from petrosa_cio.apps.nurse.models import Intent, iso, parse_instant
from petrosa_cio.apps.nurse.orders import order_made
from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.quarantine import quarantine
from petrosa_cio.core.nats.settlement import promise_made
from petrosa_cio.core.nats.snapshots import records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from petrosa_cio.apps.nurse.decision import Content, Decision
    from petrosa_cio.apps.nurse.happenings import Happening
    from petrosa_cio.apps.nurse.latches import Latch
    from petrosa_cio.apps.nurse.models import Instant, Portfolio, Receipt
    from petrosa_cio.core.nats.counters import GateCounters
    from petrosa_cio.core.nats.fold import Folded
    from petrosa_cio.core.nats.reader import Delivered
    from petrosa_cio.core.nats.terms import GateTerms
    from petrosa_cio.core.nats.writer import LedgerWriter, UnderWay

SAME_REPORT_NS = 30_000_000_000
"""A report that tells nothing new but its time is recorded this often at most; it counts as heard all the same.

After an execution the next one is recorded whatever it tells: holdings know by it what is in the balances.
"""

SNAPSHOT_RECORDS = 20_000
"""After this many records the state is written down whole, so that a recovery need not read further back."""

FEW_RECORDS = 1000
"""A gate that begins to lead so soon after a snapshot writes none: it may be large, and the next one come at once."""

REPORT_SHARE = 2
"""A report that would take up more than half of the largest message is not taken: it grows old, and entries refuse."""

ACCOUNT_SHARE = 4
"""The account takes up a quarter of the largest message at most; the intent, its facts and verdict need the rest."""


@dataclass(slots=True)
class Judging:
    """Judges for one gate while it leads. Made anew each time, like the writer that it writes with."""

    writer: LedgerWriter
    counters: GateCounters
    log: Callable[[str, dict[str, object]], None]
    _report: AccountReport | None = None
    """The last report that was recorded; None where something happened since, which the next one tells to be in it."""
    _texts: FactsText = field(default_factory=FactsText)
    _too_large: bool = False
    """Whether it was told that the account is."""

    @property
    def terms(self) -> GateTerms:
        """On which terms the gate works."""
        return self.writer.terms

    @property
    def folded(self) -> Folded:
        """What the ledger says so far."""
        return self.writer.folded

    async def take(self, message: Delivered) -> None:
        """Judge one intent and send its record. It holds a place of the writer's room."""
        receipt = self._receive(message)
        now = receipt.arrived_at if self.terms.event_clock else self.terms.now()
        await self.keep_up(now)
        decision, content = self._decide(receipt, now)
        self.counters.judged += 1
        self.counters.traces_dropped += receipt.trace.dropped
        if decision.receipt.undecodable is not None:
            await quarantine(self.writer.link, self.terms, self.counters, self.log, receipt, content)
        latched = self._remember(decision)
        kind = decision.verdict.kind
        await self.writer.append(
            content,
            lambda totals: totals.judged(kind),
            cursor=receipt.sequence,
            promise=promise_made(decision),
            measured="" if self.terms.event_clock else f'{{"judged_after_us":{(now - receipt.arrived_at) // 1000}}}',
        )
        await self._write_down(latched)

    async def keep_up(self, now: Instant) -> None:
        """Write down what has happened to the account up to ``now``: nothing is judged on what is not recorded."""
        if self.terms.accounts is not None:
            happened = self.terms.accounts.due(now)
            for happening in happened:
                content = self._folded(happening)
                if content is not None:
                    await self._append(content)
                if self.terms.event_clock and isinstance(happening, AccountReport):
                    await self._look_back(happening.as_of)
            if happened:
                await self._write_down(self._crossed(now))
        if not self.terms.event_clock and self.writer.position.since_snapshot >= SNAPSHOT_RECORDS:
            await self.snapshot()

    async def _look_back(self, at: Instant) -> None:
        """Latch what the account had crossed by the report of ``at``: a live gate would have looked then, while between
        two intents of a recording hours go by in which it may have recovered.

        A gate that was killed is told again what its ledger holds. It looks where that ends, as it would have then.
        """
        if self.folded.holdings.settled_at == at:
            await self._write_down(self._crossed(at))

    async def begin(self) -> None:
        """Write the state down as a gate begins to lead, unless one did a moment ago: gates may take turns quickly."""
        position = self.writer.position
        if not position.snapshot or position.since_snapshot >= FEW_RECORDS:
            await self.snapshot()

    async def snapshot(self) -> None:
        """Write the state down whole, where there is one."""
        if self.terms.accounts is None and self.folded.memory.standing == Standing():
            return
        first = 0
        for content in records_of(self.folded.snapshot_content(), self.writer.link.max_payload):
            under_way = await self._append({**content, "first": first} if first else content)
            first = first or under_way.index

    async def gap(self, upto: int) -> None:
        """Intents that left the stream unjudged: recorded and counted, after everything before them is settled."""
        first, last = self.writer.position.cursor + 1, upto - 1
        count = last - first + 1
        self.counters.gaps += count
        self.log("gap", {"from": first, "to": last})
        await self.writer.room.acquire()
        content: Content = {"kind": "gap", "from": first, "to": last, "count": count}
        await self.writer.append(content, lambda totals: totals._replace(gap=totals.gap + count), cursor=last)

    def _folded(self, happening: Happening) -> Content | None:
        """Fold what happened; its record, or None where there is nothing in it that was not known."""
        holdings = self.folded.holdings
        if isinstance(happening, Execution):
            if not holdings.executed(happening):
                self.counters.executions_repeated += 1
                return None
            self.folded.memory.executed(happening)
            self.counters.executions += 1
            self._report = None  # the next one tells whether this is in it, though it says what the last one said
            return {"kind": "execution", "execution": execution_content(happening)}
        content: Content = {"kind": "account", "report": report_content(happening)}
        if len(record.encode(content)) > self.writer.link.max_payload // REPORT_SHARE:
            self.counters.reports_refused += 1
            self.log("ALARM: a report of the account is too large to be recorded", {"as_of": iso(happening.as_of)})
            return None
        if not holdings.reported(happening):
            return None
        known, self._report = self._report, happening
        if known is not None and _same(known, happening) and happening.as_of - known.as_of < SAME_REPORT_NS:
            self._report = known
            return None
        return content

    def _crossed(self, now: Instant) -> tuple[Latch, ...]:
        """The latches that the account sets, now that something has happened to it."""
        portfolio = self.folded.holdings.account(now)
        if portfolio is None:
            return ()
        standing = self.folded.memory.standing
        return tuple(latch for latch in crossed(portfolio, self.terms.policy, now) if standing.latch(latch))

    async def _write_down(self, latched: Iterable[Latch]) -> None:
        for latch in latched:
            self.log("ALARM: a red line latched", {"code": latch.code, "strategy": latch.strategy_id})
            await self._append(set_content(latch))

    async def _append(self, content: Content) -> UnderWay:
        """Send a record that judges nothing."""
        await self.writer.room.acquire()
        return await self.writer.append(content, lambda totals: totals)

    def _remember(self, decision: Decision) -> tuple[Latch, ...]:
        """Fold the decision; the latches that it sets."""
        remembered = remember(decision)
        latched = () if remembered is None else self.folded.memory.fold(remembered)
        order = order_made(decision)
        if order is not None:
            self.folded.holdings.promoted(order)
            if self.terms.accounts is not None:
                self.terms.accounts.promoted(order)
        return latched

    def _decide(self, receipt: Receipt, now: Instant) -> tuple[Decision, Content]:
        """The decision and its record, facts encoded; an intent that our own code cannot judge or write down is
        quarantined, or it would stop the book for ever."""
        try:
            decision = self._judged(receipt, now)
            return decision, content_of(decision, self._texts)
        except Exception as error:  # noqa: BLE001  whatever it is, it is our fault and must not be fatal
            self.log("ALARM: an intent could not be judged", {"sequence": receipt.sequence, "error": repr(error)})
            unjudged = replace(receipt, body=None, undecodable=f"our fault: judging it raised {type(error).__name__}")
            decision = self._judged(unjudged, now)
            return decision, content_of(decision)

    def _judged(self, receipt: Receipt, now: Instant) -> Decision:
        terms, folded, body = self.terms, self.folded, receipt.body
        market = portfolio = None
        if isinstance(body, Intent) and body.side is not None:
            if terms.market is not None:
                market = terms.market.state(body.symbol, now)
            if terms.accounts is not None and not terms.accounts.behind:
                portfolio = self._recordable(folded.holdings.portfolio(body.symbol, body.strategy_id, body.side, now))
        return decide(terms.book, receipt, folded.memory, terms.policy, now, terms.policy_as_of, market, portfolio)

    def _recordable(self, portfolio: Portfolio | None) -> Portfolio | None:
        """``portfolio`` as far as a record can hold it: nothing is judged on what is not recorded.

        Of so many positions and orders that they fill a message, none is known; what needs them refuses then.
        """
        if portfolio is None or len(self._texts.account(portfolio)) <= self.writer.link.max_payload // ACCOUNT_SHARE:
            return portfolio
        self.counters.accounts_too_large += 1
        if not self._too_large:
            self.log("ALARM: the account is too large to be recorded; its positions and orders count as unknown", {})
            self._too_large = True
        return replace(portfolio, positions=None, orders=None)

    def _receive(self, message: Delivered) -> Receipt:
        arrived_at = message.stored_at // 1000 * 1000
        if self.terms.event_clock:
            recorded = message.headers.get(subjects.RECORDED_AT_HEADER)
            arrived_at = parse_instant(recorded) if recorded else arrived_at
        return wire.receive(message.sequence, message.subject, message.data, message.headers, arrived_at)


def _same(known: AccountReport, told: AccountReport) -> bool:
    return replace(told, as_of=known.as_of) == known
