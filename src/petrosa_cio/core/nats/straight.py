"""Straight to the engine: the one way out for a ``close`` that cannot be recorded first.

What reduces risk is never held back by our own trouble. The close is kept on disk if the disk takes it, published to
the signal subject outside the outbox, marked as sent, and written to the ledger as ``spilled`` as soon as that takes
records; one that is kept and not marked is sent again first. A second gate may pass it as well: closing twice closes
once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import identity_of
from petrosa_cio.apps.nurse.decision import decide, identify
from petrosa_cio.apps.nurse.models import SECOND, Intent, iso
from petrosa_cio.apps.nurse.ports import Kept
from petrosa_cio.core.nats import wire
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petrosa_cio.apps.nurse.book import Book
    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.models import Instant, Json, Receipt
    from petrosa_cio.apps.nurse.ports import Spill
    from petrosa_cio.core.nats.fold import Promise
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.terms import GateTerms

SAME_MESSAGE_SECONDS = 5
"""How long a close without an id or time of its own is taken for one message that was heard and read."""


@dataclass(slots=True)
class Straight:
    """Passes closes straight. ``passed`` counts them."""

    link: Link
    terms: GateTerms
    spill: Spill
    log: Callable[[str, dict[str, object]], None]
    passed: int = 0
    _until: dict[str, Instant] = field(default_factory=dict)
    """Keys of passed closes, and until when a repeat of them is dropped."""
    _unkept: dict[str, Kept] = field(default_factory=dict)
    """Passed closes that the disk did not take: written down from memory, if this process lives to do so."""
    _unsent: dict[str, Kept] = field(default_factory=dict)
    _fulfilled: set[str] = field(default_factory=set)
    """Decisions whose close went straight: it goes once, however often it is found open."""

    async def consider(self, receipt: Receipt, memory: Book) -> bool:
        """Pass ``receipt`` if it is a well-formed close that was not seen before; True where it was passed."""
        intent = receipt.body
        if not isinstance(intent, Intent) or intent.action != "close" or self._seen(receipt, intent):
            return False
        decision = decide(self.terms.book, receipt, memory, self.terms.policy, self.terms.now())
        if not decision.verdict.kind.promotes:
            return False
        return await self._pass(receipt, intent, decision.decision_id, decision.signal_id)

    async def fulfil(self, promise: Promise) -> bool:
        """Pass a close that was approved, and whose signal has not left as far as we know."""
        if promise.intent.action != "close" or promise.decision_id in self._fulfilled:
            return False
        self._fulfilled.add(promise.decision_id)
        if self._seen(promise.receipt, promise.intent):
            return False
        return await self._pass(promise.receipt, promise.intent, promise.decision_id, promise.signal_id)

    async def send_unsent(self) -> None:
        """Send again what could not be sent. Raises Interrupted where it still cannot."""
        for kept in list(self._unsent.values()):
            await self._send(kept)

    async def pending(self) -> list[Kept]:
        """Every close that must be written down, all of them sent. Raises Interrupted where one cannot be."""
        try:
            found = self.spill.pending()
        except StoreError as error:
            self.log("ALARM: the spill cannot be read; what it holds is not written down yet", {"why": str(error)})
            found = []
        for kept in found:
            if not kept.sent and kept.key not in self._unsent:
                self._unsent[kept.key] = kept
        await self.send_unsent()
        return [*found, *self._unkept.values()]

    def clear(self) -> None:
        """Forget what `pending` gave: it is in the ledger now."""
        self._unkept.clear()
        try:
            self.spill.clear()
        except StoreError as error:
            self.log("ALARM: the spill cannot be cleared", {"why": str(error)})

    def _seen(self, receipt: Receipt, intent: Intent) -> bool:
        now = self.terms.now()
        self._until = {key: until for key, until in self._until.items() if until > now}
        return any(key in self._until for key in _keys(receipt, intent))

    async def _pass(self, receipt: Receipt, intent: Intent, decision_id: str, signal_id: str) -> bool:
        now = self.terms.now()
        window = int(self.terms.policy.longest("duplicate_window_seconds")) * SECOND
        for key in identity_of(intent):
            self._until[key] = now + window
        self._until[_payload_key(receipt)] = now + (window if identity_of(intent) else SAME_MESSAGE_SECONDS * SECOND)
        entry = record.encode(
            {
                "record": _spilled(self.terms.book, receipt, intent, decision_id, now),
                "signal": {
                    "subject": self._subject(intent),
                    "body": wire.signal_body(receipt, intent, decision_id, signal_id, None).decode("ascii"),
                    "headers": wire.trace_headers(receipt.trace),
                },
            }
        )
        kept = Kept(f"{decision_id}-{now}", entry, sent=False)
        self._unsent[kept.key] = kept
        try:
            self.spill.keep(kept.key, entry)
        except StoreError as error:
            # A full disk must not hold back a close either.
            self.log("ALARM: a close could not be kept on disk before it passed", {"why": str(error)})
            self._unkept[kept.key] = kept
        self.passed += 1
        try:
            await self._send(kept)
        except Interrupted as error:
            self.log("the close could not be sent yet", {"decision_id": decision_id, "why": str(error)})
        self.log("close passed unrecorded", {"decision_id": decision_id, "strategy_id": intent.strategy_id})
        return True

    def _subject(self, intent: Intent) -> str:
        return self.terms.signal_subject.replace("{strategy_id}", wire.subject_token(intent.strategy_id))

    async def _send(self, kept: Kept) -> None:
        signal = record.decode(kept.entry)["signal"]
        if isinstance(signal, dict):
            await self.link.publish(str(signal["subject"]), str(signal["body"]).encode(), _texts(signal["headers"]))
            await self.link.flush()
        self._unsent.pop(kept.key, None)
        if kept.key not in self._unkept:
            try:
                self.spill.sent(kept.key)
            except StoreError as error:  # then it is sent twice at worst
                self.log("a sent close could not be marked", {"why": str(error)})


def written_down(kept: Kept) -> dict[str, Json]:
    """The ledger record of a close that passed."""
    found = record.decode(kept.entry).get("record")
    return found if isinstance(found, dict) else {}


def _texts(headers: Json) -> dict[str, str]:
    return {name: str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}


def _payload_key(receipt: Receipt) -> str:
    return hashlib.sha256(receipt.payload).hexdigest()


def _keys(receipt: Receipt, intent: Intent) -> Iterator[str]:
    yield from identity_of(intent)
    yield _payload_key(receipt)


def _spilled(book: str, receipt: Receipt, intent: Intent, decision_id: str, at: Instant) -> Content:
    return {
        "kind": "spilled",
        "code": "LEDGER_UNAVAILABLE",
        "decision_id": decision_id,
        "intent_id": intent.intent_id or identify("intent", book, receipt),
        "strategy_id": intent.strategy_id,
        "symbol": intent.symbol,
        "action": intent.action,
        "verdict": "approved",
        "at": iso(at),
        "subject": receipt.subject,
        "payload": receipt.payload.decode("utf-8"),
        "memory": {"identity": identity_of(intent), "confidence": intent.confidence, "timeframe": intent.timeframe},
    }
