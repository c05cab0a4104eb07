"""The words: what goes in, what is judged, what comes out.

Wire contracts (`Intent`, `PromotedSignal`) are Pydantic models, strict: nothing is coerced, NaN and infinity are
refused. Everything past the wire is a frozen dataclass. The engine's own, lenient contracts (`contracts`) can be had
from here too, under its names, and so can the facts of market and account (`facts`).

Units, everywhere in the inside: prices and notionals in quote currency (USDT), quantities in base asset, confidence
and ``*_pct`` of an *intent* as fractions 0..1, instants as integer nanoseconds since the Unix epoch, UTC. Figures
that are compared with limits are `decimal.Decimal`, taken from the shortest text of the number that was sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from petrosa_cio.apps.nurse.contracts import LeverageStatus as LeverageStatus
from petrosa_cio.apps.nurse.contracts import OrderType as OrderType
from petrosa_cio.apps.nurse.contracts import Signal as Signal
from petrosa_cio.apps.nurse.contracts import SignalStrength as SignalStrength
from petrosa_cio.apps.nurse.contracts import SignalType as SignalType
from petrosa_cio.apps.nurse.contracts import StrategyMode as StrategyMode
from petrosa_cio.apps.nurse.contracts import TimeInForce as TimeInForce
from petrosa_cio.apps.nurse.contracts import TradingConfig as TradingConfig
from petrosa_cio.apps.nurse.contracts import TradingConfigAudit as TradingConfigAudit
from petrosa_cio.apps.nurse.facts import ACCOUNT_FACTS as ACCOUNT_FACTS
from petrosa_cio.apps.nurse.facts import MARKET_FACTS as MARKET_FACTS
from petrosa_cio.apps.nurse.facts import Bracket as Bracket
from petrosa_cio.apps.nurse.facts import Fact as Fact
from petrosa_cio.apps.nurse.facts import Instant as Instant
from petrosa_cio.apps.nurse.facts import MarketState as MarketState
from petrosa_cio.apps.nurse.facts import OpenOrder as OpenOrder
from petrosa_cio.apps.nurse.facts import Portfolio as Portfolio
from petrosa_cio.apps.nurse.facts import Position as Position
from petrosa_cio.apps.nurse.facts import Side as Side
from petrosa_cio.apps.nurse.facts import StrategyResult as StrategyResult
from petrosa_cio.apps.nurse.facts import Streak as Streak

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.reasons import Reason

Json: TypeAlias = JsonValue
"""What a JSON text decodes to."""

Scalar: TypeAlias = str | int | bool | Decimal | tuple[str, ...] | None
"""A number or word that a check reports."""

SECOND: int = 1_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?\Z", re.ASCII)


def parse_instant(text: str) -> Instant:
    """Return the instant that an ISO-8601 date and time names; without an offset it is taken as UTC.

    Raises ValueError for anything else: epoch numbers, dates alone, or both an offset and a ``Z``.
    """
    if not _ISO.match(text):
        msg = "must be an ISO-8601 date and time such as 2026-11-24T09:30:00+00:00"
        raise ValueError(msg)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def moment_of(instant: Instant) -> datetime:
    """Return ``instant`` as an aware datetime in UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=instant // 1000)


def iso(instant: Instant) -> str:
    """Return ``instant`` as ISO-8601 text in UTC, to the microsecond, with offset ``+00:00``."""
    return moment_of(instant).isoformat(timespec="microseconds")


def decimal_of(number: float) -> Decimal:
    """Return the decimal that ``number`` was written as: the shortest text that reads back to the same float."""
    return Decimal(repr(number))


def _timestamp(value: object) -> object:
    if not isinstance(value, str):
        msg = "must be an ISO-8601 string, not a number" if isinstance(value, int | float) else "must be a string"
        raise ValueError(msg)  # noqa: TRY004  pydantic turns ValueError, and only that, into a named fault
    return parse_instant(value)


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        msg = "must be printable text without surrounding space"
        raise ValueError(msg)
    return value


def is_symbol(text: str) -> bool:
    """Whether ``text`` can be an exchange symbol: 3 to 64 printable characters, upper case, no space or colon."""
    return 3 <= len(text) <= 64 and text.isprintable() and not {" ", ":"} & set(text) and text == text.upper()


def _symbol(value: str) -> str:
    if not is_symbol(value):
        msg = "must be an exchange symbol in upper case, such as BTCUSDT"
        raise ValueError(msg)
    return value


Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
Symbol = Annotated[str, Field(min_length=3, max_length=64), AfterValidator(_symbol)]
Price = Annotated[float, Field(gt=0, ge=1e-12, le=1e12)]
"""Quote currency. The bounds are far outside every market; they keep every figure derived from it exact."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Quantity = Annotated[float, Field(ge=0, le=1e15)]
"""Base asset (or quote currency for ``quote_quantity``); bounded like prices."""
Timestamp = Annotated[Instant, BeforeValidator(_timestamp)]
Action = Literal["buy", "sell", "hold", "close"]


class Intent(BaseModel):
    """What a strategy wants. Accepts what both producers of the fleet send, and the minimal form.

    Only ``strategy_id``, ``symbol`` and ``action`` are always required; a buy or sell also needs ``confidence`` and
    one of ``price`` and ``current_price``. Unknown fields are not looked at here; they travel through untouched.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    strategy_id: Name
    symbol: Symbol
    action: Action
    confidence: Fraction | None = None
    price: Price | None = None
    current_price: Price | None = None
    target_price: Price | None = None
    quantity: Quantity | None = None
    quote_quantity: Quantity | None = None
    position_size_pct: Fraction | None = None
    stop_loss: Price | None = None
    take_profit: Price | None = None
    stop_loss_pct: Fraction | None = None
    take_profit_pct: Fraction | None = None
    timestamp: Timestamp | None = None
    intent_id: Name | None = None
    id: Name | None = None
    signal_id: Name | None = None
    strategy: str | None = None
    source: str | None = None
    strategy_mode: Literal["deterministic", "ml_light", "llm_reasoning"] = "deterministic"
    strength: Literal["weak", "medium", "strong", "extreme"] = "medium"
    timeframe: Name = "1h"
    order_type: Literal[
        "market",
        "limit",
        "stop",
        "stop_limit",
        "take_profit",
        "take_profit_limit",
        "conditional_limit",
        "conditional_stop",
    ] = "market"
    time_in_force: Literal["GTC", "IOC", "FOK", "GTX"] = "GTC"
    conditional_price: Price | None = None
    conditional_direction: Literal["above", "below"] | None = None
    conditional_timeout: Annotated[int, Field(ge=0)] | None = None
    iceberg_quantity: Quantity | None = None
    client_order_id: str | None = None
    recommended_leverage: Annotated[int, Field(ge=1)] | None = None
    model_confidence: Fraction | None = None
    model_features: dict[str, Json] | None = None
    llm_reasoning: str | None = None
    llm_alternatives: list[Json] | None = None
    indicators: dict[str, Json] | None = None
    rationale: str | None = None
    metadata: dict[str, Json] = Field(default_factory=dict)
    meta: dict[str, Json] = Field(default_factory=dict)

    @property
    def side(self) -> Side | None:
        """Position side an entry opens; None for ``close`` and ``hold``."""
        match self.action:
            case "buy":
                return Side.LONG
            case "sell":
                return Side.SHORT
            case "close" | "hold":
                return None

    @property
    def adds_risk(self) -> bool:
        """True for a buy or a sell. A ``close`` reduces risk; a ``hold`` is not an order."""
        return self.action in ("buy", "sell")


class PromotedSignal(BaseModel):
    """What leaves for the engine: the fields it requires, of the types it requires; others travel with it.

    Stricter than what the engine itself would read (`Signal`); tests hold every outgoing body to it.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)

    strategy_id: str
    strategy: str
    symbol: str
    action: Literal["buy", "sell", "close"]
    confidence: Fraction | None
    price: Price | None
    current_price: Price | None
    quantity: Quantity
    source: Literal["petrosa-cio"]
    decision_id: str
    signal_id: str
    timestamp: str
    metadata: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Fault:
    """One faulty field of a message: where, and what was wrong."""

    field: str
    problem: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that is JSON but not an intent, with every fault, and what could be read of it for the record."""

    faults: tuple[Fault, ...]
    strategy_id: str | None = None
    symbol: str | None = None
    action: str | None = None
    intent_id: str | None = None


class TradingState(StrEnum):
    """State of a book. In ``REDUCING`` and ``HALTED`` only risk-reducing intents pass; an operator lifts a halt."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True)
class Hold:
    """What holds entries back: a latch, by its code, or the word of an operator (`OPERATOR`)."""

    code: str
    since: Instant
    until: Instant | None = None
    """When it ends by itself; None: a person must lift it."""
    who: str = ""
    why: str = ""


OPERATOR = "operator"
"""Code of a hold that a person set."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A recent promotion on the same symbol that an intent may conflict with."""

    decision_id: str
    strategy_id: str
    side: Side
    confidence: Decimal
    timeframe: str
    at: Instant


@dataclass(frozen=True, slots=True)
class BookFacts:
    """What the book's own recent decisions say about one intent. Recorded with the decision, so it can be re-judged.

    Counts are of promotions (approved or reduced), in the scope that set the limit they are compared with.
    """

    trading_state: TradingState = TradingState.ACTIVE
    duplicate_of: str | None = None
    """Decision id of the earlier receipt of the same intent within the window."""
    promoted_today: int = 0
    """Promotions since 00:00 UTC of the judging day."""
    promoted_last_minute: int = 0
    last_entry_at: Instant | None = None
    """Last promotion of the same strategy, symbol and side."""
    entries_today: int = 0
    """Promotions of the same strategy, symbol and side since 00:00 UTC or its last close or opposite entry."""
    rivals: tuple[Rival, ...] = ()
    """Promotions on the symbol within the conflict window, oldest first."""
    held_by: Hold | None = None
    """What put the book in its state; None where it is ACTIVE, or nobody said."""
    latched: tuple[Hold, ...] = ()
    """The latches on the intent's strategy, oldest first."""
    unfilled: int = 0
    """Promotions of the strategy in a row of which no fill was heard; where `max_unfilled_promotions` counts them."""
    lost: int = 0
    """Trades of the strategy in a row that closed at a loss, likewise."""


class Mode(StrEnum):
    """What a control does when it fires: apply, record what it would have done, or nothing."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


class Outcome(StrEnum):
    """What a check came to."""

    PASS = "pass"  # noqa: S105  not a password
    BLOCK = "block"
    REDUCE = "reduce"
    WOULD_BLOCK = "would_block"
    WOULD_REDUCE = "would_reduce"
    UNEVALUATED = "unevaluated"


class Observation(NamedTuple):
    """One check: what came of it and every value it looked at. ``numbers`` is in a fixed order."""

    code: Reason
    outcome: Outcome
    numbers: tuple[tuple[str, Scalar], ...] = ()


class Terms(NamedTuple):
    """What an order is placed on besides its size: the reference price, its protective levels, and the policy's own."""

    price: Decimal
    leverage: Decimal
    multiplier: Decimal
    """Factor that the engine applies to the quantity on a signal (``quantity_multiplier``)."""
    stop: Decimal | None = None
    target: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The effective order: what the engine would really send for an intent (controls §2, fleet facts §2.5)."""

    quantity: Decimal | None
    """Base asset; None where a fact it depends on is missing."""
    notional: Decimal | None
    """Quote currency; None where a fact it depends on is missing."""
    basis: str
    """``quantity``, ``quote_quantity``, ``position_size_pct`` or ``exchange_minimum``: what the size was taken from."""
    terms: Terms | None = None


class VerdictKind(StrEnum):
    """What becomes of an intent. ``quarantined`` is for what could not be decoded and so was never judged."""

    APPROVED = "approved"
    REDUCED = "reduced"
    BLOCKED = "blocked"
    ABSORBED = "absorbed"
    QUARANTINED = "quarantined"

    @property
    def promotes(self) -> bool:
        """True where a signal leaves for the engine."""
        return self in (VerdictKind.APPROVED, VerdictKind.REDUCED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one case: every reason that fired, in table order, and what every check observed."""

    kind: VerdictKind
    reasons: tuple[Observation, ...] = ()
    observed: tuple[Observation, ...] = ()
    order: Order | None = None
    quantity: Decimal | None = None
    """For a reduction: the quantity that remains, in base asset."""
    reduces: Decimal | None = None
    """For a buy or sell that passed because it only reduces: what is open on the other side, in base asset."""

    @property
    def ordered(self) -> Decimal | None:
        """Quantity that the engine will order on this verdict, in base asset: what is on the signal, multiplied."""
        if self.order is None:
            return None
        if self.quantity is None or self.order.terms is None:
            return self.order.quantity
        return self.quantity * self.order.terms.multiplier


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C trace context of an intent, valid or absent. ``dropped`` counts invalid carriers that were ignored."""

    traceparent: str | None = None
    tracestate: str | None = None
    dropped: int = 0

    @property
    def trace_id(self) -> str | None:
        """The 32 hexadecimal digits that name the trace."""
        return self.traceparent[3:35] if self.traceparent else None


@dataclass(frozen=True, slots=True)
class Receipt:
    """One message of the intent stream, decoded: an intent, a malformed one, or neither (`undecodable`)."""

    sequence: int
    subject: str
    payload: bytes
    arrived_at: Instant
    body: Intent | Malformed | None
    fields: dict[str, Json] = field(default_factory=dict)
    """The decoded object, whole; empty where the message is not a JSON object."""
    undecodable: str | None = None
    """Why the payload is no JSON text; None where it is."""
    trace: Trace = field(default_factory=Trace)
