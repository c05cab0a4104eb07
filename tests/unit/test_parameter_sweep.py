"""The sweep: every parameter that a control enforces changes a verdict, and none frees an intent when tightened.

A row is a case on which the parameter decides, with a looser and a tighter value (for a parameter without a direction:
two values). A parameter that a control enforces and that has no row fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cmp_to_key
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from builders import (
    START,
    account_state,
    intent_fields,
    intent_of,
    is_tighter,
    market_state,
    order_of,
    policy_of,
    position_of,
    receipt_of,
    rival_of,
)
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.case import Case
from petrosa_cio.apps.nurse.decision import decide, remember
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.models import SECOND, BookFacts, MarketState, Portfolio, Side, StrategyResult, Streak, iso
from petrosa_cio.apps.nurse.parameters.parameter import Loosening
from petrosa_cio.apps.nurse.reasons import Reason
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Instant, Json, Verdict

D = Decimal


@dataclass(frozen=True)
class Row:
    """The case, and two values that tell apart what becomes of it."""

    loose: Json
    tight: Json
    intent: Mapping[str, Json] = field(default_factory=dict)
    policy: Mapping[str, Json] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    book: BookFacts | None = None
    earlier: tuple[int, Mapping[str, Json]] | None = None
    """An intent that was promoted so many seconds before; then the book says what it makes of it."""
    waited_ms: int = 0
    policy_as_of: Instant | None = None
    market: MarketState | None = None
    account: Portfolio | None = None


LLM: dict[str, Json] = {"strategy_mode": "llm_reasoning", "confidence": 0.75}
ONE_WAY: dict[str, Json] = {"position_mode": "one-way"}
LIMIT_ORDER: dict[str, Json] = {"price": 98.0, "current_price": 100.0}
BELOW: dict[str, Json] = {"stop_loss": 98.0, "take_profit": 103.0}
WHOLE = {"equity": D(1000), "peak_equity": D(1000)}
ALL_IN: dict[str, Json] = {"max_position_size_pct": 1.0, "position_size_pct": 1.0}


def rivals(*found: object) -> BookFacts:
    return BookFacts(rivals=found)  # type: ignore[arg-type]


ROWS: dict[str, Row] = {
    "max_signal_age_seconds": Row(60, 59, {"timestamp": iso(START - 60 * SECOND)}),
    "max_clock_skew_seconds": Row(3, 2, {"timestamp": iso(START + 3 * SECOND)}),
    "duplicate_window_seconds": Row(100, 101, {"intent_id": "a"}, earlier=(100, {"intent_id": "a"})),
    "governance_timeout_ms": Row(300, 299, waited_ms=300),
    "max_policy_age_seconds": Row(600, 599, policy_as_of=START - 600 * SECOND),
    "max_market_age_seconds": Row(20, 19, required=("mark",), market=market_state(START - 20 * SECOND)),
    "max_account_age_seconds": Row(20, 19, required=("account",), account=account_state(START - 20 * SECOND)),
    "required_facts": Row(["mark"], ["mark", "account"], market=market_state()),
    "enabled": Row(True, False),
    "risk_management_enabled": Row(True, False),
    "require_manual_approval": Row(False, True),
    "allowed_symbols": Row(["BTCUSDT", "ETHUSDT"], ["ETHUSDT"]),
    "allowed_strategies": Row(["momo", "other"], ["other"]),
    "allowed_modes": Row(["deterministic", "ml_light"], ["ml_light"]),
    "enabled_sides": Row(["LONG", "SHORT"], ["SHORT"]),
    "enable_longs": Row(True, False),
    "enable_shorts": Row(True, False, {"action": "sell"}),
    "min_confidence_threshold": Row(0.8, 0.81),
    "llm_confidence_floor": Row(0.75, 0.76, LLM, {"allowed_modes": ["llm_reasoning"]}),
    "require_stop_loss": Row(False, True),
    "sl_distance_min_pct": Row(2.0, 2.1, BELOW),
    "sl_distance_max_pct": Row(2.0, 1.9, BELOW),
    "tp_distance_min_pct": Row(3.0, 3.1, BELOW),
    "tp_distance_max_pct": Row(3.0, 2.9, BELOW),
    # (3 - 0.14) / (2 + 0.14) = 1.336; with a fee or a slippage of 10 bps the costs are 0.24 or 0.3.
    "min_reward_to_risk": Row(1.33, 1.34, BELOW),
    "taker_fee_bps": Row(5.0, 10.0, BELOW, {"min_reward_to_risk": 1.33}),
    "slippage_bps": Row(2.0, 10.0, BELOW, {"min_reward_to_risk": 1.33}),
    # Liquidated at 90 / 0.996 = 90.36, the stop at 92: 1.64 % of room.
    "min_liquidation_distance_pct": Row(1.6, 1.7, {"stop_loss": 92.0}, market=market_state(), account=account_state()),
    "price_min_absolute": Row(100.0, 100.5),
    "price_max_absolute": Row(100.0, 99.5),
    "price_min_relative_pct": Row(-2.0, -1.9, LIMIT_ORDER),
    "price_max_relative_pct": Row(-2.0, -2.1, LIMIT_ORDER),
    "slippage_tolerance_pct": Row(0.5, 0.4, {"price": 100.5}, market=market_state()),
    "max_spread_bps": Row(2.0, 1.9, market=market_state()),
    # 100 of 100.01 x 10 is 0.09999 of the level.
    "max_book_share": Row(0.1, 0.09, market=market_state(ask_quantity=D(10))),
    "volatility_scale_threshold": Row(0.041, 0.04, market=market_state(volatility=D("0.04"))),
    "volatility_block_threshold": Row(0.041, 0.04, market=market_state(volatility=D("0.04"))),
    "scale_down_factor": Row(0.6, 0.4, market=market_state(volatility=D("0.04"))),
    "blocked_regimes": Row(["choppy"], ["choppy", "ranging"], market=market_state()),
    "max_adverse_funding_bps": Row(1.0, 0.9, market=market_state()),
    "position_size_pct": Row(0.1, 0.05, account=account_state(**WHOLE)),
    "max_position_size_pct": Row(0.1, 0.05, account=account_state(**WHOLE)),
    "max_position_size_usd": Row(100.0, 50.0),
    "min_position_size_usd": Row(100.0, 101.0),
    "quantity_min": Row(1.0, 1.1),
    "quantity_max": Row(1.0, 0.9),
    # 0.04 at 100 is raised to a notional of 5, or refused at its own 4.
    "use_exchange_minimums": Row(
        True, False, {"quantity": 0.04}, {"min_position_size_usd": 1.0}, market=market_state()
    ),
    # A minimum raises a small order, which then is or is not too large.
    "override_min_notional": Row(20.0, 60.0, {"quantity": 0.1}, {"max_position_size_usd": 50.0}),
    "override_min_qty": Row(0.2, 0.6, {"quantity": 0.1}, {"max_position_size_usd": 50.0}),
    "override_step_size": Row(0.1, 1.0, {"quantity": 1.5}, {"max_position_size_usd": 120.0}),
    "max_concurrent_positions": Row(2, 1, account=account_state(positions=(position_of(),))),
    "max_orders_global": Row(2, 1, account=account_state(orders=(order_of(),))),
    "max_orders_per_symbol": Row(2, 1, account=account_state(orders=(order_of("BTCUSDT"),))),
    "max_portfolio_exposure_pct": Row(
        0.8, 0.75, account=account_state(positions=(position_of(notional=D(700)),), **WHOLE)
    ),
    "max_symbol_exposure_pct": Row(
        0.3, 0.25, account=account_state(positions=(position_of("BTCUSDT", notional=D(200)),), **WHOLE)
    ),
    "max_correlated_exposure_pct": Row(
        0.5,
        0.45,
        market=market_state(),
        account=account_state(positions=(position_of(notional=D(400)),), **WHOLE),
    ),
    "leverage": Row(21, 20, policy={"max_leverage_bound": 20}),
    "max_leverage_bound": Row(10, 9),
    "portfolio_leverage_cap": Row(20, 19, account=account_state(positions=(position_of(),))),
    "max_daily_loss_pct": Row(0.06, 0.05, account=account_state(realised_today=D(-5000))),
    "max_drawdown_pct": Row(0.31, 0.3, account=account_state(equity=D(70_000))),
    "max_strategy_drawdown_pct": Row(
        0.06, 0.05, account=account_state(strategies=(StrategyResult("momo", D(-5000), D(0)),))
    ),
    "max_consecutive_losses": Row(4, 3, account=account_state(streaks=(Streak("global", 3),))),
    "stop_cooldown_seconds": Row(60, 61, account=account_state(streaks=(Streak("global", 1, START - 60 * SECOND),))),
    "max_daily_trades": Row(4, 3, book=BookFacts(promoted_today=3)),
    "max_orders_per_minute": Row(4, 3, book=BookFacts(promoted_last_minute=3)),
    "max_unfilled_promotions": Row(4, 3, book=BookFacts(unfilled=3), account=account_state()),
    "accumulation_cooldown_seconds": Row(60, 61, book=BookFacts(last_entry_at=START - 60 * SECOND)),
    "max_accumulations": Row(4, 3, book=BookFacts(entries_today=3)),
    "conflict_window_ms": Row(30_000, 30_001, policy=ONE_WAY, earlier=(30, {"action": "sell", "strategy_id": "other"})),
    "signal_conflict_resolution": Row(
        "strongest_wins", "first_come_first_served", policy=ONE_WAY, book=rivals(rival_of(confidence=D("0.6")))
    ),
    "timeframe_conflict_resolution": Row(
        "lower_timeframe_wins", "higher_timeframe_wins", policy=ONE_WAY, book=rivals(rival_of(timeframe="4h"))
    ),
    "same_direction_conflict_resolution": Row("accumulate", "reject_duplicates", book=rivals(rival_of(Side.LONG))),
    "position_mode_aware_conflicts": Row(
        True, False, earlier=(30, {"action": "sell", "strategy_id": "other", "confidence": 0.9})
    ),
    "strategy_weights": Row({"momo": 2.0}, {"other": 2.0}, policy=ONE_WAY, book=rivals(rival_of())),
    "timeframe_weights": Row(
        {"1h": 2.0},
        {"4h": 2.0},
        policy={**ONE_WAY, "timeframe_conflict_resolution": "weighted_average"},
        book=rivals(rival_of(timeframe="4h")),
    ),
}

ENFORCED = {name: one for name, one in PARAMETERS.items() if one.enforced_by in Reason.__members__}
DIRECTED = [name for name, one in ENFORCED.items() if one.loosening is not Loosening.NEITHER]
NOT_A_LIMIT = {"leverage"}
"""What governance orders by risk and a control does not bound by itself: too much leverage is what is refused."""


def judged(name: str, value: Json) -> Verdict:
    """The verdict on the row's case where parameter ``name`` has ``value``. Raises PolicyError where it may not."""
    row = ROWS[name]
    values = {"max_signal_age_seconds": 3600, **row.policy, name: value}
    required = row.required
    if name == "required_facts":
        assert isinstance(values[name], list)
        required = tuple(str(word) for word in values.pop(name))
    policy = policy_of(values, required=required)
    body = intent_of(intent_fields(**row.intent))
    facts = row.book or BookFacts()
    if row.earlier is not None:
        ago, fields = row.earlier
        book = Book(int(PARAMETERS["duplicate_window_seconds"].maximum or 0) * SECOND)
        first = {"timestamp": iso(START - ago * SECOND), **fields}
        receipt = receipt_of(intent_fields(**first), arrived_at=START - ago * SECOND)
        remembered = remember(decide("main", receipt, book, policy, START - ago * SECOND))
        assert remembered is not None
        assert remembered.promoted
        book.fold(remembered)
        facts = book.facts(body, policy.limits(body.symbol, body.strategy_id, body.side), START)
    arrived_at = START - row.waited_ms * 1_000_000
    return judge(Case(body, policy, facts, START, arrived_at, row.policy_as_of, row.market, row.account))


def told(verdict: Verdict) -> tuple[object, ...]:
    """What a verdict comes to: its kind, its reasons and the quantity that leaves."""
    return verdict.kind, tuple(reason.code for reason in verdict.reasons), sent(verdict)


def sent(verdict: Verdict) -> Decimal | None:
    if verdict.quantity is not None or verdict.order is None:
        return verdict.quantity
    return verdict.order.quantity


def test_every_parameter_that_a_control_enforces_is_swept() -> None:
    """None is decoration: whoever adds one says here on which case it decides."""
    assert ROWS.keys() == ENFORCED.keys()


@pytest.mark.parametrize("name", ENFORCED)
def test_it_changes_a_verdict(name: str) -> None:
    """Between two values that differ little the verdict differs: in kind, in its reasons, or in quantity."""
    assert told(judged(name, ROWS[name].loose)) != told(judged(name, ROWS[name].tight))


@pytest.mark.parametrize("name", ENFORCED)
def test_it_is_its_own_control_that_decides(name: str) -> None:
    """One of the two verdicts names the control that enforces the parameter, or the size changes by its work."""
    found = {reason.code for value in (ROWS[name].loose, ROWS[name].tight) for reason in judged(name, value).reasons}
    if name == "required_facts":
        assert Reason.ACCOUNT_UNKNOWN in found  # it names market and account facts alike
    elif name.startswith("override_"):
        orders = [judged(name, value).order for value in (ROWS[name].loose, ROWS[name].tight)]
        assert orders[0] != orders[1]
    else:
        assert Reason(ENFORCED[name].enforced_by) in found


def swept(name: str) -> list[Json]:
    """The row's values, the default and the ends of what is allowed, loosest first."""
    parameter, row = ENFORCED[name], ROWS[name]
    ends: list[Json] = [row.loose, row.tight, parameter.default, parameter.minimum, parameter.maximum]
    if not parameter.nullable:
        ends = [value for value in ends if value is not None]
    if parameter.allowed:
        ends += [list(parameter.allowed), []] if isinstance(row.loose, list) else list(parameter.allowed)
    comparable = [
        value for value in ends if is_tighter(parameter, value, row.loose) or is_tighter(parameter, row.loose, value)
    ]
    distinct = [value for place, value in enumerate(comparable) if value not in comparable[:place]]
    return sorted(distinct, key=cmp_to_key(lambda one, other: 1 if is_tighter(parameter, one, other) else -1))


@pytest.mark.parametrize("name", [name for name in DIRECTED if name not in NOT_A_LIMIT])
def test_tightening_it_never_frees_the_case(name: str) -> None:
    """Across its bounds, loosest first: once blocked it stays blocked, and what is left of an order never grows."""
    verdicts: list[Verdict] = []
    for value in swept(name):
        try:
            verdicts.append(judged(name, value))
        except PolicyError:  # a minimum above its maximum
            continue
    assert len(verdicts) >= 2
    for loose, tight in pairwise(verdicts):
        if tight.kind.promotes:
            assert loose.kind.promotes
            less, more = sent(tight), sent(loose)
            assert less is not None
            assert more is not None
            assert less <= more
