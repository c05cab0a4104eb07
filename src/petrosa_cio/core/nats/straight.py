"""Straight to the engine: the one way out for a ``close`` that cannot be recorded first.

What reduces risk is never held back by our own trouble. The close is kept on disk, then published to the signal subject
outside the outbox, and written to the ledger as ``spilled`` as soon as that takes records. A second gate may pass it as
well: closing twice closes once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import identity_of
from petrosa_cio.apps.nurse.decision import decide
from petrosa_cio.apps.nurse.models import Intent, iso
from petrosa_cio.core.nats import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.decision import Content, Decision
    from petrosa_cio.apps.nurse.models import Receipt
    from petrosa_cio.apps.nurse.ports import Spill
    from petrosa_cio.core.nats.fold import Folded
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.terms import GateTerms

REMEMBERED = 10_000
"""Keys of passed closes that are kept in mind; what is older is in the ledger's own memory by then."""


@dataclass(slots=True)
class Straight:
    """Passes closes straight. ``passed`` counts them."""

    link: Link
    terms: GateTerms
    spill: Spill
    log: Callable[[str, dict[str, object]], None]
    passed: int = 0
    _seen: dict[str, None] = field(default_factory=dict)

    async def consider(self, receipt: Receipt, folded: Folded) -> bool:
        """Pass ``receipt`` if it is a well-formed close that was not seen before; True where it was passed."""
        intent = receipt.body
        if not isinstance(intent, Intent) or intent.action != "close":
            return False
        keys = (*identity_of(intent), hashlib.sha256(receipt.payload).hexdigest())
        if any(key in self._seen for key in keys):
            return False
        decision = decide(self.terms.book, receipt, folded.memory, self.terms.policy, self.terms.now())
        if not decision.verdict.kind.promotes:
            return False
        self.spill.keep(record.encode(_spilled(decision, intent)))
        self._seen.update(dict.fromkeys(keys))
        for old in list(self._seen)[: max(len(self._seen) - REMEMBERED, 0)]:
            del self._seen[old]
        await self._publish(receipt, intent, decision)
        self.passed += 1
        self.log("close passed unrecorded", {"decision_id": decision.decision_id, "strategy_id": intent.strategy_id})
        return True

    async def _publish(self, receipt: Receipt, intent: Intent, decision: Decision) -> None:
        body = wire.signal_body(receipt, intent, decision.decision_id, decision.signal_id, None)
        token = wire.subject_token(intent.strategy_id)
        subject = self.terms.signal_subject.replace("{strategy_id}", token)
        await self.link.publish(subject, body, wire.trace_headers(receipt.trace))
        await self.link.flush()


def _spilled(decision: Decision, intent: Intent) -> Content:
    return {
        "kind": "spilled",
        "code": "LEDGER_UNAVAILABLE",
        "decision_id": decision.decision_id,
        "intent_id": decision.intent_id,
        "strategy_id": intent.strategy_id,
        "symbol": intent.symbol,
        "action": intent.action,
        "verdict": decision.verdict.kind.value,
        "at": iso(decision.at),
        "subject": decision.receipt.subject,
        "payload": decision.receipt.payload.decode("utf-8"),
        "memory": {"identity": identity_of(intent), "confidence": intent.confidence, "timeframe": intent.timeframe},
    }
