"""Whether a gate may say that governance lives, from what it observes of itself. Pure; `core/nats/vitals` observes.

The engine takes any beat for life, and its ``status`` for nothing (fleet facts §6.1). So where intents are not being
judged the answer is silence; where they are, with something missing, it is DEGRADED with what that is.

Spans are whole nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.case import Case
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.models import BookFacts, Intent, VerdictKind
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Instant, MarketState, Portfolio, Verdict
    from petrosa_cio.apps.nurse.policy import Policy

Span: TypeAlias = int

MILLISECOND: Span = 1_000_000

STUCK: Span = 500 * MILLISECOND
"""What is under way without any progress this long is stuck: half of the second within which a beat must stop. The gate
itself waits for two before it calls it an outage."""

SKEWED: Span = 50 * MILLISECOND
"""A quarter of the default ``governance_timeout_ms``, which is the difference of the two clocks: beyond it, what is
judged as in time or too late is no longer what was in time or too late."""

LEADING = "leading"
STANDING_BY = "standing by"

CANARY_SYMBOL = "BTCUSDT"


class Status(StrEnum):
    """What is said, or that nothing is said."""

    ACTIVE = "GOVERNANCE_ACTIVE"
    DEGRADED = "DEGRADED"
    SILENT = "SILENT"


class Part(StrEnum):
    """What governance depends on."""

    INTENTS = "intents"
    LEDGER = "ledger"
    POLICY = "policy"
    FACTS = "facts"
    CLOCK = "clock"
    LEADER = "leader"


_BLIND = {Reason.POLICY_UNAVAILABLE: Part.POLICY, Reason.MARKET_STALE: Part.FACTS, Reason.ACCOUNT_UNKNOWN: Part.FACTS}
"""Reasons of the canary that say what governance lacks, and not what it thinks of the canary."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a gate sees of itself at one moment. None: not known yet."""

    state: str
    """Of the gate: ``leading``, ``standing by``, or any other."""
    connected: bool = True
    lag: Span = 0
    """Longest that the event loop lately kept waiting what was due, whatever is overdue now included."""
    unanswered: Span = 0
    """How long the streams have owed an answer to what the gate asked them; 0 where they owe none."""
    known: bool = True
    """Whether the streams have answered at all."""
    full: bool = False
    """Whether the ledger stream takes no more, by its own limits."""
    overtaken: bool = False
    """Whether the ledger holds records that this gate, which leads, did not write."""
    pending: int = 0
    """Intents that are stored and not judged."""
    oldest: Span = 0
    """How long the oldest of them has been stored; 0 where none is pending."""
    standstill: Span = 0
    """How long nothing was judged, acknowledged or settled although something waits for it; 0 where nothing waits."""
    since_progress: Span | None = None
    """How long ago anything last was, since this gate leads or stands by."""
    leader_heard: bool = False
    """Whether another gate that leads was heard lately."""
    canary: Verdict | None = None
    """On `canary`, judged just now under the policy in force."""
    canary_fault: str = ""
    """What judging it raised."""
    skew: Span = 0
    """How far the gate's clock is from the server's at least, on either side."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """What may be said: ``degraded`` is what is missing, ``silent`` why nothing is said. Each names all there is."""

    status: Status
    degraded: tuple[tuple[Part, str], ...] = ()
    silent: tuple[str, ...] = ()


def answer_within(policy: Policy) -> Span:
    """``heartbeat_timeout_ms`` of the whole book: an answer belongs to no symbol and no strategy."""
    return int(policy.limits("", "", None).required_number("heartbeat_timeout_ms")) * MILLISECOND


def assess(observed: Observed, within: Span) -> Liveness:
    """What a gate that observes this may say, where an answer may take ``within``; at that limit itself it may."""
    silent = (*_not_answering(observed, within), *_not_judging(observed))
    degraded = tuple(_lacking(observed, within))
    if silent:
        return Liveness(Status.SILENT, degraded, silent)
    return Liveness(Status.DEGRADED if degraded else Status.ACTIVE, degraded)


def _not_answering(observed: Observed, within: Span) -> list[str]:
    """Why whoever asks is not answered in time, or with nothing that is still true."""
    why: list[str] = []
    if not observed.connected:
        why.append("no connection to NATS")
    if observed.lag > within:
        why.append(f"the event loop was blocked for {_ms(observed.lag)}")
    if not observed.known:
        why.append("the streams have not been heard of yet")
    # An answer that is late while records are acknowledged is the question's fault, not the ledger's.
    if observed.unanswered > within and not _progresses(observed, within):
        why.append(f"the streams have not answered for {_ms(observed.unanswered)}")
    return why


def _not_judging(observed: Observed) -> list[str]:
    """Why intents are not being judged, recorded and settled by this gate."""
    why: list[str] = []
    if observed.state == STANDING_BY:
        if observed.leader_heard:
            why.append("another gate leads")
    elif observed.state != LEADING:
        why.append(f"the gate is {observed.state}")
    elif observed.overtaken:
        why.append("another gate writes the ledger")
    if observed.full:
        why.append("the ledger stream is full")
    if observed.standstill > STUCK:
        why.append(f"nothing moves for {_ms(observed.standstill)} with {observed.pending} intents waiting")
    if observed.canary_fault:
        why.append(f"an intent cannot be judged: {observed.canary_fault}")
    return why


def _lacking(observed: Observed, within: Span) -> list[tuple[Part, str]]:
    lacks: list[tuple[Part, str]] = []
    if observed.oldest > within:
        lacks.append((Part.INTENTS, f"{observed.pending} wait, the oldest for {_ms(observed.oldest)}"))
    if observed.unanswered > within:
        lacks.append((Part.LEDGER, f"the streams owe an answer for {_ms(observed.unanswered)}"))
    if observed.canary is not None:
        lacks += [(_BLIND[one.code], one.code.value) for one in observed.canary.reasons if one.code in _BLIND]
    if observed.skew > SKEWED:
        lacks.append((Part.CLOCK, f"{_ms(observed.skew)} from the server's"))
    if observed.state == STANDING_BY and not observed.leader_heard:
        lacks.append((Part.LEADER, "none is heard; this gate stands by and leads as soon as an intent waits"))
    return lacks


def _progresses(observed: Observed, within: Span) -> bool:
    """Whether the streams take what they are given, whatever they answer."""
    return observed.since_progress is not None and observed.since_progress <= within


def _ms(span: Span) -> str:
    return f"{span // MILLISECOND} ms"


_ENTRY = Intent(
    strategy_id="petrosa-cio-canary", symbol=CANARY_SYMBOL, action="buy", confidence=0.8, price=100.0, quantity=1.0
)
_CLOSE = Intent(strategy_id="petrosa-cio-canary", symbol=CANARY_SYMBOL, action="close")


def canary(
    policy: Policy,
    now: Instant,
    policy_as_of: Instant | None = None,
    market: MarketState | None = None,
    portfolio: Portfolio | None = None,
) -> Verdict:
    """The verdict on a fixed entry that walks the whole table. Nothing records it, counts it or acts on it.

    Raises AssertionError where a ``close`` would not pass: that holds in every state, or the judgement is broken.
    """
    closing = judge(Case(_CLOSE, policy, BookFacts(), now, now, policy_as_of, market, portfolio))
    if closing.kind is not VerdictKind.APPROVED:
        msg = f"a close is {closing.kind.value}"
        raise AssertionError(msg)
    return judge(Case(_ENTRY, policy, BookFacts(), now, now, policy_as_of, market, portfolio))
