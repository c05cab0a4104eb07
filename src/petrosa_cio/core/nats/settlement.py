"""Settlement: a promise is kept by a signal or ended by an expiry, never both, whoever is paused or doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.core.nats import subjects, wire
from petrosa_cio.core.nats.fold import Promise

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.decision import Decision
    from petrosa_cio.core.nats.terms import GateTerms

EXPIRED = ".expired"
"""End of the subject of an expiry."""


def promise_made(decision: Decision) -> Promise | None:
    """What ``decision`` promises, if it does; its record is not written yet."""
    intent = decision.intent
    if intent is None or not decision.verdict.kind.promotes:
        return None
    quantity = None if decision.verdict.quantity is None else float(decision.verdict.quantity)
    reduces = decision.verdict.reduces is not None
    return Promise(0, decision.receipt, intent, decision.decision_id, decision.signal_id, quantity, reduces=reduces)


def signal_message(terms: GateTerms, promise: Promise) -> tuple[str, bytes, dict[str, str]]:
    """Subject, body and headers of the outbox message that keeps ``promise``."""
    body = wire.signal_body(promise.receipt, promise.intent, promise.decision_id, promise.signal_id, promise.quantity)
    headers = wire.trace_headers(promise.receipt.trace)
    headers.update(settlement(terms.book, promise.sequence))
    token = wire.subject_token(promise.intent.strategy_id)
    return subjects.outbox_signal(terms.book, promise.sequence, token), body, headers


def expiry_message(terms: GateTerms, promise: Promise) -> tuple[str, bytes, dict[str, str]]:
    """Subject, body and headers of the outbox message that bars the signal of ``promise`` for good."""
    return subjects.outbox_expired(terms.book, promise.sequence), b"", settlement(terms.book, promise.sequence)


def settlement(book: str, sequence: int) -> dict[str, str]:
    """Expectation under which an intent is settled at most once, by a signal or by an expiry."""
    return {
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Nats-Expected-Last-Subject-Sequence-Subject": subjects.outbox_settlement(book, sequence),
    }


def too_late(terms: GateTerms, promise: Promise) -> bool:
    """Whether promotion may no longer begin. What reduces risk is never too late."""
    if terms.event_clock or promise.reduces or not promise.intent.adds_risk:
        return False
    intent = promise.intent
    limits = terms.policy.limits(intent.symbol, intent.strategy_id, intent.side)
    allowed = int(limits.required_number("governance_timeout_ms")) * 1_000_000
    return terms.now() - promise.receipt.arrived_at > allowed
