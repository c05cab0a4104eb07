"""The decision: one receipt judged, and how it is written down so that it can be judged again.

Identities derive from book, sequence and content, never from chance: the same stream gives the same ids.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from uuid import UUID

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Remembered, identity_of
from petrosa_cio.apps.nurse.case import Case
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.facts_record import account_content, account_of, market_content, market_of
from petrosa_cio.apps.nurse.latches import latches_of
from petrosa_cio.apps.nurse.models import (
    BookFacts,
    Hold,
    Intent,
    Malformed,
    Observation,
    Outcome,
    Rival,
    Side,
    TradingState,
    Verdict,
    VerdictKind,
    iso,
    parse_instant,
)
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.book import Book
    from petrosa_cio.apps.nurse.facts import MarketState, Portfolio
    from petrosa_cio.apps.nurse.facts_text import FactsText
    from petrosa_cio.apps.nurse.models import Instant, Json, Receipt, Scalar, Terms
    from petrosa_cio.apps.nurse.policy import Policy

Content: TypeAlias = "dict[str, object]"
"""A record body before it is encoded."""

PREVIEW = 4096
"""Bytes of a quarantined payload that the ledger itself holds; the whole is in the quarantine stream."""


class Totals(NamedTuple):
    """Running counts of one book. The accounting identity is between these and the streams (`accounting`)."""

    received: int = 0
    approved: int = 0
    reduced: int = 0
    blocked: int = 0
    absorbed: int = 0
    quarantined: int = 0
    expired: int = 0
    gap: int = 0

    def judged(self, kind: VerdictKind) -> Totals:
        """These totals after one more verdict."""
        received = self.received + 1
        match kind:
            case VerdictKind.APPROVED:
                return self._replace(received=received, approved=self.approved + 1)
            case VerdictKind.REDUCED:
                return self._replace(received=received, reduced=self.reduced + 1)
            case VerdictKind.BLOCKED:
                return self._replace(received=received, blocked=self.blocked + 1)
            case VerdictKind.ABSORBED:
                return self._replace(received=received, absorbed=self.absorbed + 1)
            case VerdictKind.QUARANTINED:
                return self._replace(received=received, quarantined=self.quarantined + 1)

    @property
    def promising(self) -> int:
        """Decisions whose signal must either leave or expire."""
        return self.approved + self.reduced

    def content(self) -> dict[str, int]:
        """As written in a record."""
        return self._asdict()

    @classmethod
    def read(cls, content: dict[str, Json]) -> Totals:
        """From a record body; absent counts are 0."""
        totals = content.get("totals")
        found = totals if isinstance(totals, dict) else {}
        return cls(**{name: value for name in cls._fields if isinstance(value := found.get(name), int)})


@dataclass(frozen=True, slots=True)
class Decision:
    """One receipt and its verdict. ``intent`` is the well-formed intent, where there is one."""

    book: str
    receipt: Receipt
    verdict: Verdict
    facts: BookFacts
    at: Instant
    decision_id: str
    intent_id: str
    policy_revision: str | None
    policy_as_of: Instant | None = None
    market: MarketState | None = None
    portfolio: Portfolio | None = None

    @property
    def intent(self) -> Intent | None:
        """The well-formed intent, if it is one."""
        return self.receipt.body if isinstance(self.receipt.body, Intent) else None

    @property
    def signal_id(self) -> str:
        """Unique id of the promoted signal, as a UUID: the engine's lock is keyed by it (fleet facts §2.5)."""
        return str(UUID(hex=self.decision_id))


def identify(kind: str, book: str, receipt: Receipt) -> str:
    """32 hexadecimal digits that name a ``kind`` of thing about this receipt, the same on every run."""
    head = f"{kind}|{book}|{receipt.sequence}|{receipt.subject}|".encode("utf-8", "backslashreplace")
    return hashlib.sha256(head + receipt.payload).hexdigest()[:32]


def decide(
    book: str,
    receipt: Receipt,
    memory: Book,
    policy: Policy | None,
    now: Instant,
    policy_as_of: Instant | None = None,
    market: MarketState | None = None,
    portfolio: Portfolio | None = None,
) -> Decision:
    """Judge one receipt against the book's memory and what is known of the market of its symbol and of the account.

    Pure but for the memory's own forgetting; total.
    """
    decision_id = identify("decision", book, receipt)
    body = receipt.body
    given = body.intent_id if body is not None else None
    intent_id = given or identify("intent", book, receipt)
    revision = policy.revision if policy else None
    if body is None:
        verdict, facts = Verdict(VerdictKind.QUARANTINED), BookFacts()
    else:
        facts = _facts(body, memory, policy, now)
        verdict = judge(Case(body, policy, facts, now, receipt.arrived_at, policy_as_of, market, portfolio))
    return Decision(
        book, receipt, verdict, facts, now, decision_id, intent_id, revision, policy_as_of, market, portfolio
    )


def _facts(body: Intent | Malformed, memory: Book, policy: Policy | None, now: Instant) -> BookFacts:
    if isinstance(body, Malformed):
        return memory.standing_facts(body.strategy_id, now)
    if policy is None:
        return memory.standing_facts(body.strategy_id, now, memory.repeats(body, now))
    return memory.facts(body, policy.limits(body.symbol, body.strategy_id, body.side), now)


def remember(decision: Decision) -> Remembered | None:
    """What the book keeps of ``decision``; None for what was no well-formed intent."""
    intent = decision.intent
    if intent is None:
        return None
    confidence = None if intent.confidence is None else Decimal(repr(intent.confidence))
    return Remembered(
        decision.decision_id,
        identity_of(intent),
        intent.strategy_id,
        intent.symbol,
        intent.action,
        confidence,
        intent.timeframe,
        decision.at,
        decision.verdict.kind.promotes,
        decision.facts.duplicate_of is not None,
        latches_of(decision.verdict.reasons, intent.strategy_id, decision.decision_id, decision.at),
    )


def content_of(decision: Decision, texts: FactsText | None = None) -> Content:
    """The body of a decision's record, but for what its place in the ledger adds.

    With ``texts`` the facts of market and account are encoded already; the record is the same.
    """
    receipt, verdict = decision.receipt, decision.verdict
    body = receipt.body
    content: Content = {
        "kind": "decision",
        "sequence": receipt.sequence,
        "subject": receipt.subject,
        "decision_id": decision.decision_id,
        "intent_id": decision.intent_id,
        "at": iso(decision.at),
        "arrived_at": iso(receipt.arrived_at),
        "verdict": verdict.kind.value,
        "policy_revision": decision.policy_revision,
        "strategy_id": body.strategy_id if body else None,
        "symbol": body.symbol if body else None,
        "action": body.action if body else None,
        "reasons": [_reason(reason) for reason in verdict.reasons],
        "trace": {
            "traceparent": receipt.trace.traceparent,
            "tracestate": receipt.trace.tracestate,
            "dropped": receipt.trace.dropped,
        },
    }
    if receipt.undecodable is not None:
        content["quarantine"] = _quarantine(receipt)
        return content
    content["payload"] = receipt.payload.decode("utf-8")
    content["observed"] = _observed(verdict)
    content["unevaluated"] = [code._value_ for code, outcome, _ in verdict.observed if outcome is Outcome.UNEVALUATED]
    content["facts"] = _facts_content(decision.facts)
    if decision.policy_as_of is not None:
        content["policy_as_of"] = iso(decision.policy_as_of)
    if isinstance(body, Intent):
        content["memory"] = {"identity": identity_of(body), "confidence": body.confidence, "timeframe": body.timeframe}
    if verdict.order is not None:
        order = verdict.order
        content["order"] = {"quantity": order.quantity, "notional": order.notional, "basis": order.basis}
        if verdict.kind.promotes and order.terms is not None:
            content["promoted"] = _promoted(order.terms, verdict.ordered)
        # Only what has an effective order was judged on facts of market and account.
        if decision.market is not None:
            content["market"] = texts.market(decision.market) if texts else market_content(decision.market)
        if decision.portfolio is not None:
            content["account"] = texts.account(decision.portfolio) if texts else account_content(decision.portfolio)
    if verdict.reduces is not None:
        content["reduces"] = verdict.reduces
    if verdict.quantity is not None:
        content["quantity"] = verdict.quantity
    if verdict.kind.promotes:
        content["signal_id"] = decision.signal_id
    return content


def _promoted(terms: Terms, quantity: Decimal | None) -> dict[str, str]:
    """What the engine is asked for, as decimal text: exposure is counted from it, again after a restart."""
    content = {"price": str(terms.price), "leverage": str(terms.leverage)}
    if quantity is not None:
        content["quantity"] = str(quantity)
    if terms.stop is not None:
        content["stop"] = str(terms.stop)
    if terms.target is not None:
        content["target"] = str(terms.target)
    return content


def _quarantine(receipt: Receipt) -> Content:
    payload = receipt.payload
    return {
        "problem": receipt.undecodable,
        "bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "beginning_base64": base64.b64encode(payload[:PREVIEW]).decode("ascii"),
    }


def _reason(seen: Observation) -> dict[str, Scalar]:
    return {"code": seen.code.value, "outcome": seen.outcome.value, **dict(seen.numbers)}


_QUIET: dict[str, Scalar] = {"outcome": "pass"}


def _observed(verdict: Verdict) -> dict[str, dict[str, Scalar]]:
    found: dict[str, dict[str, Scalar]] = {}
    for code, outcome, numbers in verdict.observed:
        if outcome is Outcome.UNEVALUATED:
            continue
        if numbers or outcome is not Outcome.PASS:
            seen: dict[str, Scalar] = dict(numbers)
            seen["outcome"] = outcome._value_
            found[code._value_] = seen
        else:
            found[code._value_] = _QUIET
    return found


def _facts_content(facts: BookFacts) -> Content:
    content: Content = {
        "trading_state": facts.trading_state.value,
        "duplicate_of": facts.duplicate_of,
        "promoted_today": facts.promoted_today,
        "promoted_last_minute": facts.promoted_last_minute,
        "last_entry_at": None if facts.last_entry_at is None else iso(facts.last_entry_at),
        "entries_today": facts.entries_today,
    }
    if facts.held_by is not None:
        content["held_by"] = _hold_content(facts.held_by)
    if facts.latched:
        content["latched"] = [_hold_content(hold) for hold in facts.latched]
    if facts.unfilled or facts.lost:
        content["unfilled"], content["lost"] = facts.unfilled, facts.lost
    if facts.rivals:
        content["rivals"] = [
            {
                "decision_id": rival.decision_id,
                "strategy_id": rival.strategy_id,
                "side": rival.side.value,
                "confidence": rival.confidence,
                "timeframe": rival.timeframe,
                "at": iso(rival.at),
            }
            for rival in facts.rivals
        ]
    return content


def _hold_content(hold: Hold) -> Content:
    until = None if hold.until is None else iso(hold.until)
    return {"code": hold.code, "since": iso(hold.since), "until": until, "who": hold.who, "why": hold.why}


def remembered_of(content: dict[str, Json]) -> Remembered | None:
    """What the book keeps of a decision, from its record: the same as `remember` gave when it was made."""
    memory = content.get("memory")
    if not isinstance(memory, dict):
        return None
    identity, confidence = memory.get("identity"), memory.get("confidence")
    decision_id, strategy_id, at = str(content["decision_id"]), str(content["strategy_id"]), _at(content)
    return Remembered(
        decision_id,
        tuple(str(key) for key in identity) if isinstance(identity, list) else (),
        strategy_id,
        str(content["symbol"]),
        str(content["action"]),
        None if confidence is None else Decimal(str(confidence)),
        str(memory.get("timeframe")),
        at,
        VerdictKind(str(content["verdict"])).promotes,
        facts_of(content).duplicate_of is not None,
        latches_of(seen_in(content.get("reasons")), strategy_id, decision_id, at),
    )


def _at(content: dict[str, Json]) -> Instant:
    return parse_instant(str(content["at"]))


def seen_in(reasons: Json) -> Iterator[Observation]:
    """The observations in the ``reasons`` of a record; those of codes that this version does not know are left out."""
    for one in reasons if isinstance(reasons, list) else ():
        if isinstance(one, dict) and one.get("code") in Reason.__members__:
            yield observation_of(str(one["code"]), one)


def observation_of(code: str, seen: dict[str, Json]) -> Observation:
    """One observation from a record. Numbers are those that a float keeps."""
    numbers = tuple((name, _scalar(value)) for name, value in seen.items() if name not in ("code", "outcome"))
    return Observation(Reason(code), Outcome(str(seen["outcome"])), numbers)


def _scalar(value: Json) -> Scalar:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return tuple(str(word) for word in value)
    return None if isinstance(value, dict) else value


def facts_of(content: dict[str, Json]) -> BookFacts:
    """The facts a decision was judged on, from its record."""
    facts = content.get("facts")
    if not isinstance(facts, dict):
        return BookFacts()
    last, duplicate, rivals = facts.get("last_entry_at"), facts.get("duplicate_of"), facts.get("rivals")
    held_by, latched = facts.get("held_by"), facts.get("latched")
    return BookFacts(
        trading_state=TradingState(str(facts["trading_state"])),
        duplicate_of=None if duplicate is None else str(duplicate),
        promoted_today=_whole(facts.get("promoted_today")),
        promoted_last_minute=_whole(facts.get("promoted_last_minute")),
        last_entry_at=None if last is None else parse_instant(str(last)),
        entries_today=_whole(facts.get("entries_today")),
        rivals=tuple(_rival(item) for item in rivals if isinstance(item, dict)) if isinstance(rivals, list) else (),
        held_by=_hold(held_by) if isinstance(held_by, dict) else None,
        latched=tuple(_hold(item) for item in latched if isinstance(item, dict)) if isinstance(latched, list) else (),
        unfilled=_whole(facts.get("unfilled")),
        lost=_whole(facts.get("lost")),
    )


def _hold(item: dict[str, Json]) -> Hold:
    until = item.get("until")
    return Hold(
        str(item["code"]),
        parse_instant(str(item["since"])),
        None if until is None else parse_instant(str(until)),
        str(item.get("who", "")),
        str(item.get("why", "")),
    )


def _whole(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _rival(item: dict[str, Json]) -> Rival:
    return Rival(
        str(item["decision_id"]),
        str(item["strategy_id"]),
        Side(str(item["side"])),
        Decimal(str(item["confidence"])),
        str(item["timeframe"]),
        parse_instant(str(item["at"])),
    )


def judge_again(content: dict[str, Json], receipt: Receipt, policy: Policy | None) -> tuple[bool, Verdict]:
    """Judge a recorded decision afresh from its own record; True where the verdict comes out the same to the byte."""
    if receipt.body is None:
        verdict = Verdict(VerdictKind.QUARANTINED)
    else:
        at = parse_instant(str(content["at"]))
        as_of = content.get("policy_as_of")
        known = parse_instant(as_of) if isinstance(as_of, str) else None
        market, account = market_of(content.get("market")), account_of(content.get("account"))
        verdict = judge(Case(receipt.body, policy, facts_of(content), at, receipt.arrived_at, known, market, account))
    now = {
        "verdict": verdict.kind.value,
        "reasons": [_reason(reason) for reason in verdict.reasons],
        "observed": _observed(verdict),
        "quantity": verdict.quantity,
    }
    before = {
        "verdict": content["verdict"],
        "reasons": content["reasons"],
        "observed": content.get("observed", {}),
        "quantity": content.get("quantity"),
    }
    return record.decode(record.encode(now)) == before, verdict
