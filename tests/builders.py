"""Intents, receipts, policies and cases for tests, from as few words as a test needs; and strategies that vary them."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from petrosa_cio.apps.nurse.case import Case
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.models import (
    SECOND,
    BookFacts,
    Bracket,
    Fact,
    Hold,
    Intent,
    Malformed,
    MarketState,
    OpenOrder,
    Portfolio,
    Position,
    Rival,
    Side,
    StrategyResult,
    Streak,
    TradingState,
    iso,
)
from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening, Parameter
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.reasons import ALWAYS_ON, Reason
from petrosa_cio.core.nats import wire
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Instant, Json, Receipt
    from petrosa_cio.apps.nurse.policy import Policy

START: Instant = 1_795_512_600_000_000_000
"""2026-11-24T09:30:00Z: when the default intent says it was made, arrives and is judged."""

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Data of the development machine; absent on a user's. Tests that read it skip with this reason:"""
NO_SHARED = f"the shared design and data are not on this machine: {SHARED} is absent"

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CHECKED = tuple(control.code for control in TABLE)
"""Codes of the controls of the table."""


def intent_fields(**changes: Json) -> dict[str, Json]:
    """A buy of 1 BTCUSDT at 100 with confidence 0.8, made at START, as a producer's object."""
    return {
        "strategy_id": "momo",
        "symbol": "BTCUSDT",
        "action": "buy",
        "confidence": 0.8,
        "price": 100.0,
        "quantity": 1.0,
        "timestamp": iso(START),
        **changes,
    }


def without(fields: Mapping[str, Json], *names: str) -> dict[str, Json]:
    """``fields`` without those ``names``."""
    return {name: value for name, value in fields.items() if name not in names}


def receipt_of(
    message: bytes | str | Mapping[str, Json],
    *,
    headers: Mapping[str, str] | None = None,
    sequence: int = 1,
    arrived_at: Instant = START,
    subject: str = "cio.intent.trading.momo",
) -> Receipt:
    """The receipt of a message given as bytes, text, or an object to be written as JSON."""
    if isinstance(message, str):
        message = message.encode()
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return wire.receive(sequence, subject, payload, headers, arrived_at)


def intent_of(fields: Mapping[str, Json]) -> Intent:
    """The intent that ``fields`` are; fails the test where they are none."""
    body = receipt_of(fields).body
    assert isinstance(body, Intent), body
    return body


def malformed_of(message: bytes | str | Mapping[str, Json]) -> Malformed:
    """The malformed body of ``message``; fails the test where it is none."""
    body = receipt_of(message).body
    assert isinstance(body, Malformed), body
    return body


def policy_of(
    values: Mapping[str, Json] | None = None,
    *,
    scopes: Mapping[str, Mapping[str, Json]] | None = None,
    modes: Mapping[str, Json] | None = None,
    required: tuple[str, ...] = (),
) -> Policy:
    """A policy with ``values`` in the global scope; it requires no facts unless told."""
    layers: dict[str, Json] = {scope: dict(layer) for scope, layer in (scopes or {}).items()}
    if values:
        layers["global"] = dict(values)
    return read_policy({"scopes": layers, "modes": dict(modes or {}), "required_facts": list(required)})


def case_of(
    fields: Mapping[str, Json] | None = None,
    policy: Policy | None = None,
    *,
    book: BookFacts | None = None,
    now: Instant = START,
    arrived_at: Instant | None = None,
    policy_as_of: Instant | None = None,
    market: MarketState | None = None,
    portfolio: Portfolio | None = None,
) -> Case:
    """The case of an intent (the default one, changed by ``fields``), arriving when it is judged unless told."""
    return Case(
        intent=intent_of(intent_fields(**(fields or {}))),
        policy=policy if policy is not None else policy_of(),
        book=book if book is not None else BookFacts(),
        now=now,
        arrived_at=now if arrived_at is None else arrived_at,
        policy_as_of=policy_as_of,
        market=market,
        portfolio=portfolio,
    )


def market_state(as_of: Instant = START, **changes: object) -> MarketState:
    """All that can be known of BTCUSDT, sound and of ``as_of``: a calm market at 100 that no default limit minds."""
    known = MarketState(
        symbol="BTCUSDT",
        as_of=tuple((fact, as_of) for fact in Fact if fact is not Fact.ACCOUNT),
        mark=Decimal(100),
        last=Decimal(100),
        bid=Decimal("99.99"),
        bid_quantity=Decimal(1000),
        ask=Decimal("100.01"),
        ask_quantity=Decimal(1000),
        funding_rate=Decimal("0.0001"),
        next_funding_at=START + 3600 * SECOND,
        status="TRADING",
        contract_type="PERPETUAL",
        step_size=Decimal("0.001"),
        tick_size=Decimal("0.01"),
        min_notional=Decimal(5),
        min_quantity=Decimal("0.001"),
        max_quantity=Decimal(10_000),
        brackets=(Bracket(Decimal(50_000), Decimal("0.004"), Decimal(0)),),
        regime="ranging",
        regime_confidence=Decimal("0.8"),
        volatility=Decimal("0.01"),
        correlated=("ETHUSDT",),
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def account_state(as_of: Instant = START, **changes: object) -> Portfolio:
    """All that can be known of an account, sound and of ``as_of``: 100,000 in it, nothing open, nothing lost."""
    whole = Decimal(100_000)
    known = Portfolio(
        as_of=as_of,
        equity=whole,
        day_start_equity=whole,
        peak_equity=whole,
        realised_today=Decimal(0),
        open_today=Decimal(0),
        positions=(),
        orders=(),
        strategies=(),
        streaks=(),
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def position_of(symbol: str = "ETHUSDT", side: Side = Side.LONG, **changes: object) -> Position:
    """A position of 1 entered and marked at 100, at leverage 10."""
    known = Position(symbol, side, Decimal(1), Decimal(100), Decimal(100), Decimal(10))
    return replace(known, **changes)  # type: ignore[arg-type]


def order_of(symbol: str = "ETHUSDT", side: Side = Side.LONG, **changes: object) -> OpenOrder:
    """An order of 1 at 100, at leverage 10, that may open a position."""
    return replace(OpenOrder(symbol, side, Decimal(1), Decimal(100), Decimal(10)), **changes)  # type: ignore[arg-type]


def rival_of(side: Side = Side.SHORT, **changes: str | Decimal | Instant) -> Rival:
    """A promotion of strategy ``other``, an hour timeframe, confidence 0.8, ten seconds before START."""
    return replace(Rival("d" * 32, "other", side, Decimal("0.8"), "1h", START - 10 * SECOND), **changes)


# Strategies: texts and JSON

SYMBOLS = ("BTCUSDT", "ETHUSDT", "1000PEPEUSDT")
STRATEGIES = ("momo", "Spread Liquidity Monitor", "llm_strategy")
TIMEFRAMES = ("tick", "1m", "15m", "1h", "4h", "1d", "7m")

json_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(STRATEGIES) | st.text(string.ascii_letters + string.digits + "_-.:é", min_size=1, max_size=20)
prices = st.floats(0.0001, 200_000.0) | st.integers(1, 200_000)
fractions = st.floats(0.0, 1.0)
quantities = st.floats(0.0, 1000.0) | st.integers(0, 1000)


@st.composite
def timestamps(draw: st.DrawFn) -> str:
    """ISO-8601 texts around START: naive, with Z, or with an offset."""
    moment = datetime(2026, 11, 24, 9, 30, tzinfo=UTC) + timedelta(microseconds=draw(st.integers(-(10**9), 10**7)))
    text = moment.replace(tzinfo=None).isoformat()
    return text + draw(st.sampled_from(["", "Z", "+00:00"]))


_OPTIONAL: dict[str, st.SearchStrategy[Json]] = {
    "timestamp": timestamps(),
    "quote_quantity": quantities,
    "position_size_pct": st.none() | fractions,
    "intent_id": names,
    "id": names,
    "signal_id": names,
    "strategy": st.none() | names,
    "source": st.sampled_from(["ta_bot", "realtime_strategies", "petrosa-cio"]),
    "strategy_mode": st.sampled_from(["deterministic", "ml_light", "llm_reasoning"]),
    "strength": st.sampled_from(["weak", "medium", "strong", "extreme"]),
    "timeframe": st.sampled_from(TIMEFRAMES),
    "stop_loss_pct": fractions,
    "take_profit_pct": fractions,
    "metadata": st.dictionaries(st.text(max_size=8), json_scalars, max_size=3),
    "_otel_trace_context": st.just({}) | st.just({"traceparent": TRACEPARENT, "tracestate": "a=1"}),
    "unknown_field": json_values,
}


@st.composite
def intents(draw: st.DrawFn) -> dict[str, Json]:
    """Objects that are valid intents: minimal and full, every action, levels on either side of the price."""
    price = draw(prices)
    action = draw(st.sampled_from(["buy", "sell", "buy", "sell", "close", "hold"]))
    near = st.floats(0.9, 1.1).map(lambda factor: float(price * factor))
    fields: dict[str, Json] = {
        "strategy_id": draw(names),
        "symbol": draw(st.sampled_from(SYMBOLS)),
        "action": action,
        "confidence": draw(fractions),
    }
    shown = draw(st.sampled_from([("price",), ("current_price",), ("price", "current_price")]))
    for name in shown:
        fields[name] = price
    if len(shown) == 2:
        fields["current_price"] = draw(near | st.just(price))
    if action == "close" and draw(st.booleans()):
        fields = without(fields, "confidence", "price", "current_price")
    levels = st.fixed_dictionaries({}, optional={"stop_loss": near, "take_profit": near, "quantity": quantities})
    return {**fields, **draw(levels), **draw(st.fixed_dictionaries({}, optional=_OPTIONAL))}


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Json]:
    """Buys and sells of the default symbol near 100, fresh and sized so that limits are within reach."""
    fields = intent_fields(
        strategy_id=draw(st.sampled_from(STRATEGIES)),
        action=draw(st.sampled_from(["buy", "sell"])),
        confidence=(100 - draw(st.integers(0, 55))) / 100,
        price=draw(st.sampled_from([10000] * 3) | st.integers(9900, 10100)) / 100,
        quantity=draw(st.integers(10, 1000) | st.integers(0, 3000)) / 100,
        timeframe=draw(st.sampled_from(TIMEFRAMES)),
        timestamp=iso(START - draw(st.integers(-2, 60) | st.integers(-8, 320)) * SECOND),
    )
    sign = 1 if fields["action"] == "buy" else -1
    offsets = st.none() | st.integers(10, 800).map(lambda cents: cents / 100)
    for name, direction in (("stop_loss", -sign), ("take_profit", sign)):
        offset = draw(offsets)
        if offset is not None:
            fields[name] = round(100 + direction * offset, 2)
    if draw(st.booleans()):
        fields["current_price"] = 100.0
    return fields


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Json]:
    """Valid intents with one to three fields replaced by anything, or taken away."""
    fields = dict(draw(intents()))
    for name in draw(st.lists(st.sampled_from(sorted({*fields, *_OPTIONAL, *Intent.model_fields})), max_size=3)):
        if draw(st.booleans()):
            fields[name] = draw(json_values)
        else:
            fields.pop(name, None)
    return fields


# Strategies: policies

LIVELY: dict[str, tuple[float, float]] = {
    "max_signal_age_seconds": (1, 500),
    "max_clock_skew_seconds": (0, 12),
    "governance_timeout_ms": (10, 500),
    "price_min_absolute": (95, 105),
    "price_max_absolute": (95, 105),
    "price_min_relative_pct": (-3, 3),
    "price_max_relative_pct": (-3, 3),
    "sl_distance_min_pct": (0, 8),
    "sl_distance_max_pct": (0, 8),
    "tp_distance_min_pct": (0, 8),
    "tp_distance_max_pct": (0, 8),
    "min_reward_to_risk": (0, 4),
    "max_position_size_usd": (10, 3000),
    "min_position_size_usd": (1, 1000),
    "quantity_min": (0, 30),
    "quantity_max": (0, 30),
    "max_daily_trades": (1, 10),
    "max_orders_per_minute": (1, 10),
    "max_accumulations": (1, 10),
    "accumulation_cooldown_seconds": (1, 120),
    "conflict_window_ms": (0, 120_000),
    "duplicate_window_seconds": (1, 400),
    "slippage_tolerance_pct": (0, 5),
    "max_market_age_seconds": (1, 60),
    "max_account_age_seconds": (1, 120),
    "leverage": (1, 125),
    "max_spread_bps": (0, 20),
    "max_book_share": (0, 2),
    "max_adverse_funding_bps": (0, 20),
    "volatility_scale_threshold": (0, 0.06),
    "volatility_block_threshold": (0.03, 0.1),
    "max_concurrent_positions": (1, 6),
    "max_orders_global": (1, 6),
    "max_orders_per_symbol": (1, 6),
    "portfolio_leverage_cap": (0, 60),
    "max_consecutive_losses": (1, 8),
    "max_unfilled_promotions": (1, 12),
    "stop_cooldown_seconds": (1, 1000),
    "min_liquidation_distance_pct": (0, 12),
}
"""Where a parameter's value matters for `entries`; elsewhere it is drawn from its bounds."""


def values_of(parameter: Parameter) -> st.SearchStrategy[Json]:
    """Every value that ``parameter`` may take, within reach of `entries` where it says so."""
    strategy = _plain_values(parameter)
    return st.none() | strategy if parameter.nullable else strategy


def _plain_values(parameter: Parameter) -> st.SearchStrategy[Json]:
    least, most = LIVELY.get(parameter.name, (parameter.minimum or 0, parameter.maximum or 1000))
    match parameter.kind:
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.INTEGER:
            return st.integers(int(least), int(most))
        case Kind.FLOAT:
            return st.floats(least, most)
        case Kind.STRING:
            return st.sampled_from(parameter.allowed)
        case Kind.LIST:
            named = {"allowed_symbols": SYMBOLS, "allowed_strategies": STRATEGIES, "regime_leaders": SYMBOLS}
            words = parameter.allowed or named[parameter.name]
            return st.lists(st.sampled_from(words), unique=True)
        case Kind.DICT:
            keys = {"strategy_weights": (*STRATEGIES, "default"), "timeframe_weights": TIMEFRAMES}[parameter.name]
            return st.dictionaries(st.sampled_from(keys), st.floats(0, 3))


_SCOPES = ("global", "symbol:BTCUSDT", "strategy:momo", "symbol:BTCUSDT:LONG", "symbol:BTCUSDT:SHORT")
_PAIRS = ("price_m", "sl_", "tp_", "quantity_m", "volatility_", "min_position", "max_position_size_usd", "regime_")
_PAIRED = [name for name in PARAMETERS if name.startswith(_PAIRS)]
"""Parameters that a policy compares with another; one of them a policy, or most would be refused for crossing it."""
_FREE = [name for name in PARAMETERS if name not in _PAIRED]
_MODES = st.dictionaries(
    st.sampled_from([code.value for code in Reason if code not in ALWAYS_ON]),
    st.sampled_from(["enforce", "observe", "off"]),
    max_size=4,
)

_REQUIRED: list[list[Json]] = [*([[]] * 5), ["mark"], ["account"], [fact.value for fact in Fact]]


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Json]:
    """Contents of valid policies: any parameters at any scopes, any modes, any required facts."""
    scopes: dict[str, Json] = {}
    for scope in draw(st.lists(st.sampled_from(_SCOPES), unique=True, max_size=2)):
        chosen = draw(st.lists(st.sampled_from(_FREE), unique=True, max_size=4))
        scopes[scope] = {name: draw(values_of(PARAMETERS[name])) for name in chosen}
    paired = draw(st.none() | st.sampled_from(_PAIRED))
    if paired is not None:
        layer: dict[str, Json] = {paired: draw(values_of(PARAMETERS[paired]))}
        scopes.update({"strategy:momo": layer} if is_policy({"scopes": {"strategy:momo": layer}}) else {})
    facts = draw(st.sampled_from(_REQUIRED))
    return {"scopes": scopes, "modes": draw(_MODES), "required_facts": facts}


def is_policy(content: Json) -> bool:
    """Whether ``content`` is a valid policy."""
    try:
        read_policy(content)
    except PolicyError:
        return False
    return True


# What a tightening is, by the parameters' own words

UNLIMITED_WHEN_EMPTY = ("allowed_symbols", "allowed_strategies")
UNLIMITED_WHEN_ZERO = ("portfolio_leverage_cap",)
TIGHTENABLE = [
    parameter
    for parameter in PARAMETERS.values()
    if parameter.enforced_by in (*CHECKED, Reason.DUPLICATE_INTENT) and parameter.loosening is not Loosening.NEITHER
]
"""Every parameter that a check reads and that can be ordered by risk."""


def looseness(parameter: Parameter, value: Json) -> tuple[float, ...] | frozenset[str]:
    """A key that grows as ``value`` admits more; lists compare as sets, so not every pair of them can be ordered."""
    sign = 1 if parameter.loosening is Loosening.UP else -1
    match value:
        case None:
            return (1, 0)
        case 0 if parameter.name in UNLIMITED_WHEN_ZERO:
            return (1, 0)
        case bool():
            return (0, sign * int(value))
        case int() | float():
            return (0, sign * value)
        case str():
            return (0, sign * parameter.allowed.index(value))
        case list():
            return frozenset(str(word) for word in value)
        case _:
            raise TypeError(value)


def is_tighter(parameter: Parameter, tight: Json, loose: Json) -> bool:
    """Whether ``tight`` admits no more than ``loose``."""
    less, more = looseness(parameter, tight), looseness(parameter, loose)
    if isinstance(less, frozenset) and isinstance(more, frozenset):
        if parameter.name in UNLIMITED_WHEN_EMPTY:
            return not more or (bool(less) and less <= more)
        return less <= more if parameter.loosening is Loosening.UP else less >= more
    assert isinstance(less, tuple)
    assert isinstance(more, tuple)
    return less <= more


@st.composite
def tightenings(draw: st.DrawFn, parameter: Parameter) -> tuple[Json, Json]:
    """Pairs (loose, tight) of values of ``parameter``."""
    one, other = draw(values_of(parameter)), draw(values_of(parameter))
    if is_tighter(parameter, other, one):
        return one, other
    if is_tighter(parameter, one, other):
        return other, one
    assert isinstance(one, list)
    assert isinstance(other, list)
    both = [word for word in one if word in other]
    if parameter.loosening is Loosening.UP:
        return (one, both) if both or parameter.name not in UNLIMITED_WHEN_EMPTY else ([], one)
    return both, one


# Strategies: what a book remembers

rivals = st.builds(
    Rival,
    decision_id=st.just("d" * 32),
    strategy_id=st.sampled_from(STRATEGIES),
    side=st.sampled_from(Side),
    confidence=st.integers(0, 100).map(lambda percent: Decimal(percent) / 100),
    timeframe=st.sampled_from(TIMEFRAMES),
    at=st.integers(0, 60).map(lambda ago: START - ago * SECOND),
)
holds = st.builds(
    Hold,
    code=st.sampled_from(["DRAWDOWN", "STRATEGY_DRAWDOWN", "operator"]),
    since=st.integers(0, 60).map(lambda ago: START - ago * SECOND),
    until=st.none() | st.integers(1, 60).map(lambda ahead: START + ahead * SECOND),
    who=st.sampled_from(["", "ana"]),
    why=st.sampled_from(["", "exchange maintenance"]),
)
book_facts = st.builds(
    BookFacts,
    trading_state=st.sampled_from([TradingState.ACTIVE] * 8 + list(TradingState)),
    duplicate_of=st.sampled_from([None] * 7 + ["e" * 32]),
    promoted_today=st.integers(0, 12),
    promoted_last_minute=st.integers(0, 12),
    last_entry_at=st.none() | st.integers(0, 400).map(lambda ago: START - ago * SECOND),
    entries_today=st.integers(0, 12),
    rivals=st.lists(rivals, max_size=3).map(tuple),
    held_by=st.sampled_from([None] * 8) | holds,
    latched=st.one_of([st.just(())] * 8 + [st.lists(holds, max_size=2).map(tuple)]),
    unfilled=st.integers(0, 12),
    lost=st.integers(0, 12),
)


# Strategies: what may be known of market and account, sound and unsound


def figures(least: float, most: float) -> st.SearchStrategy[Decimal | None]:
    """A figure within reach of a limit, now and then none, or one that is no number or far outside."""
    steps = st.integers(0, 40).map(lambda step: Decimal(repr(least)) + step * Decimal(repr(most - least)) / 40)
    return st.one_of([steps] * 12 + [st.none(), st.sampled_from([Decimal("NaN"), Decimal("-1"), Decimal("1e300")])])


_MOMENTS = st.sampled_from([0] * 6 + [-10, -5, 5, 30, 31, 60, 61]).map(lambda ago: START - ago * SECOND)
_SIDES = st.sampled_from(Side)


@st.composite
def markets(draw: st.DrawFn) -> MarketState | None:
    """What may be known of the default symbol's market near 100, or nothing."""
    if draw(st.booleans()):
        return None
    known = draw(st.lists(st.sampled_from([fact for fact in Fact if fact is not Fact.ACCOUNT]), unique=True))
    caps = st.lists(st.sampled_from([100, 1000, 10_000]).map(Decimal), min_size=1, unique=True).map(sorted)
    return MarketState(
        "BTCUSDT",
        tuple((fact, draw(_MOMENTS)) for fact in known),
        mark=draw(figures(99.9, 100.1)),
        last=draw(figures(99.9, 100.1)),
        bid=draw(figures(99.9, 100.0)),
        bid_quantity=draw(figures(0, 20)),
        ask=draw(figures(100.0, 100.1)),
        ask_quantity=draw(figures(0, 20)),
        funding_rate=draw(figures(-0.002, 0.002)),
        next_funding_at=draw(st.none() | st.integers(-60, 3600).map(lambda ahead: START + ahead * SECOND)),
        status=draw(st.sampled_from(["TRADING"] * 8 + ["SETTLING", "UNKNOWN", "", None])),
        contract_type=draw(st.sampled_from(["PERPETUAL", None])),
        step_size=draw(st.none() | st.sampled_from([Decimal("0.001"), Decimal("0.1"), Decimal(1)])),
        tick_size=draw(st.none() | st.sampled_from([Decimal("0.01"), Decimal("0.3"), Decimal(-1)])),
        min_notional=draw(figures(1, 200)),
        min_quantity=draw(figures(0.001, 1)),
        max_quantity=draw(figures(0.5, 20)),
        brackets=draw(
            st.none() | caps.map(lambda caps: tuple(Bracket(cap, Decimal("0.01"), cap / 1000) for cap in caps))
        ),
        regime=draw(st.sampled_from(["ranging", "choppy", "unknown", "no such regime", None])),
        regime_confidence=draw(figures(0, 1)),
        volatility=draw(figures(0, 0.08)),
        correlated=draw(st.none() | st.lists(st.sampled_from(SYMBOLS), unique=True).map(tuple)),
    )


_amounts = st.integers(1, 200).map(lambda tenths: Decimal(tenths) / 10)
_leverages = st.sampled_from([Decimal(1), Decimal(10), Decimal(10), Decimal(20)])
positions = st.builds(
    lambda symbol, side, quantity, leverage, told: Position(
        symbol, side, quantity, Decimal(100), quantity * 100, leverage, told
    ),
    st.sampled_from(SYMBOLS),
    _SIDES,
    _amounts,
    _leverages,
    st.none() | figures(80, 120),
)
open_orders = st.builds(
    lambda symbol, side, quantity, reduce_only: OpenOrder(
        symbol, side, quantity, quantity * 100, Decimal(10), reduce_only
    ),
    st.sampled_from(SYMBOLS),
    _SIDES,
    _amounts,
    st.booleans(),
)
streaks = st.builds(
    Streak,
    scope=st.sampled_from(["global", "symbol:BTCUSDT", "strategy:momo", "symbol:BTCUSDT:LONG"]),
    losses=st.integers(-1, 8),
    stopped_at=st.none() | st.integers(-10, 1000).map(lambda ago: START - ago * SECOND),
)
portfolios = st.none() | st.builds(
    Portfolio,
    as_of=_MOMENTS,
    equity=st.none() | st.integers(-100, 50_000).map(Decimal) | st.just(Decimal("NaN")),
    day_start_equity=figures(500, 50_000),
    peak_equity=figures(500, 50_000),
    realised_today=figures(-2000, 1000),
    open_today=figures(-2000, 1000),
    positions=st.none() | st.lists(positions, max_size=4).map(tuple),
    orders=st.none() | st.lists(open_orders, max_size=4).map(tuple),
    strategies=st.none()
    | st.lists(
        st.builds(
            StrategyResult,
            strategy_id=st.sampled_from(STRATEGIES),
            result=st.integers(-3000, 3000).map(Decimal),
            peak=st.integers(0, 3000).map(Decimal),
        ),
        max_size=3,
    ).map(tuple),
    streaks=st.none() | st.lists(streaks, max_size=3).map(tuple),
)


@st.composite
def cases(draw: st.DrawFn, fields: st.SearchStrategy[dict[str, Json]] | None = None) -> Case:
    """Cases of valid intents under valid policies, with any facts of a book, a market and an account."""
    content = draw(policies().filter(is_policy))
    body = receipt_of(draw(fields if fields is not None else entries() | intents())).body
    assert body is not None
    now = START + draw(st.integers(-300_000, 300_000)) * 1000
    return Case(
        intent=body,
        policy=draw(st.sampled_from([read_policy(content)] * 9 + [None])),
        book=draw(book_facts),
        now=now,
        arrived_at=now - draw(st.integers(0, 210)) * 1_000_000,
        policy_as_of=draw(st.none() | st.just(START - SECOND)),
        market=draw(markets()),
        portfolio=draw(portfolios),
    )


@st.composite
def streams(draw: st.DrawFn, *, most: int = 12) -> list[Receipt]:
    """Receipts as a stream brings them: in order, over some minutes, with repeats and malformed ones among them."""
    made: list[Receipt] = []
    seconds = 0
    drawn: list[dict[str, Json]] = []
    for sequence in range(1, draw(st.integers(1, most)) + 1):
        fields: dict[str, Json] = draw(entries() | st.sampled_from(drawn or [intent_fields()]))
        if draw(st.integers(0, 9)) == 0:
            fields = {**fields, "action": draw(st.sampled_from(["close", "hold", "BUY"]))}
        drawn.append(fields)
        seconds += draw(st.integers(0, 40))
        made.append(receipt_of(fields, sequence=sequence, arrived_at=START + seconds * SECOND))
    return made
