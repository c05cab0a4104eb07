"""Every control that has a check: what passes at its limit, what fires just beyond it, and with which numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

import pytest

from builders import (
    CHECKED,
    START,
    account_state,
    case_of,
    intent_fields,
    intent_of,
    market_state,
    policy_of,
    receipt_of,
    rival_of,
    without,
)
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.case import Case
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.decision import decide, remember
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.models import (
    SECOND,
    BookFacts,
    Fact,
    Hold,
    MarketState,
    Observation,
    Outcome,
    Portfolio,
    Side,
    TradingState,
    VerdictKind,
    iso,
)
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.reasons import ALWAYS_ON, Reason
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Instant, Json, Scalar, Verdict
    from petrosa_cio.apps.nurse.policy import Policy

MICROSECOND = 1000
D = Decimal


class Facts(TypedDict, total=False):
    """What a case may have beside its intent and policy."""

    book: BookFacts
    now: Instant
    arrived_at: Instant
    policy_as_of: Instant | None
    market: MarketState | None
    portfolio: Portfolio | None


@dataclass(frozen=True)
class Situation:
    """An intent (the default one, changed), the global policy values and required facts, and the facts of the case."""

    intent: Mapping[str, Json] = field(default_factory=dict)
    policy: Mapping[str, Json] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    facts: Facts = field(default_factory=lambda: Facts())

    def judged(self, modes: Mapping[str, Json] | None = None) -> Verdict:
        """The verdict, with the policy in these ``modes``."""
        policy = policy_of(self.policy, required=self.required, modes=modes)
        return judge(case_of(self.intent, policy, **self.facts))


@dataclass(frozen=True)
class Row:
    """One boundary of one control."""

    name: str
    code: Reason
    passes: Situation
    fires: Situation
    numbers: Mapping[str, Scalar]
    quantity: Decimal | None = None
    """What remains of the order, where the control reduces instead of blocking."""

    @property
    def reduces(self) -> bool:
        return self.quantity is not None


def row(
    code: Reason, name: str, passes: Situation, fires: Situation, quantity: str | None = None, **numbers: Scalar
) -> Row:
    return Row(name, code, passes, fires, numbers, None if quantity is None else D(quantity))


def at(now: Instant, policy: Mapping[str, Json] | None = None, **facts: Instant) -> Situation:
    """The default intent, judged at ``now`` (and arriving then, unless told)."""
    return Situation(policy=policy or {}, facts=Facts(now=now, **facts))


def limits(**policy: Json) -> Situation:
    return Situation(policy=policy)


def intent(changes: Mapping[str, Json], **policy: Json) -> Situation:
    return Situation(intent=changes, policy=policy)


def market(as_of: Instant) -> Situation:
    """A policy that requires the mark, and a mark of ``as_of``."""
    state = MarketState("BTCUSDT", ((Fact.MARK, as_of),), mark=D(100))
    return Situation(required=("mark",), facts=Facts(market=state))


def marked(price: float) -> Situation:
    """An intent at ``price`` where the mark is 100."""
    return Situation({"price": price}, facts=Facts(market=MarketState("BTCUSDT", ((Fact.MARK, START),), mark=D(100))))


def account(as_of: Instant) -> Situation:
    return Situation(required=("account",), facts=Facts(portfolio=account_state(as_of)))


def book(facts: BookFacts, **policy: Json) -> Situation:
    return Situation(policy=policy, facts=Facts(book=facts))


def equity(quantity: float) -> Situation:
    """An order of ``quantity`` at 100 on an account of 1000, of which a tenth may go into one position."""
    return Situation({"quantity": quantity}, facts=Facts(portfolio=Portfolio(START, D(1000))))


ONE_WAY: dict[str, Json] = {"position_mode": "one-way"}
TWO_TO_ONE: dict[str, Json] = {"min_reward_to_risk": 1.5}
LLM: dict[str, Json] = {"strategy_mode": "llm_reasoning"}
LLM_ALLOWED: dict[str, Json] = {"allowed_modes": ["llm_reasoning"]}
SELL: dict[str, Json] = {"action": "sell"}
R = Reason

ROWS: tuple[Row, ...] = (
    row(
        R.STALE_INTENT,
        "300 s old by default",
        at(START + 300 * SECOND),
        at(START + 300 * SECOND + MICROSECOND),
        age_seconds=D("300.000001"),
        limit=D(300),
    ),
    row(
        R.FUTURE_INTENT,
        "5 s ahead by default",
        at(START - 5 * SECOND),
        at(START - 5 * SECOND - MICROSECOND),
        ahead_seconds=D("5.000001"),
        limit=D(5),
    ),
    row(
        R.GOVERNANCE_TIMEOUT,
        "200 ms by default",
        at(START + 200_000_000, arrived_at=START),
        at(START + 200_001_000, arrived_at=START),
        waited_ms=D("200.001"),
        limit=D(200),
    ),
    row(
        R.POLICY_UNAVAILABLE,
        "a day by default",
        at(START, policy_as_of=START - 86_400 * SECOND),
        at(START, policy_as_of=START - 86_400 * SECOND - MICROSECOND),
        age_seconds=D("86400.000001"),
        limit=D(86_400),
    ),
    row(
        R.MARKET_STALE,
        "30 s old by default",
        market(START - 30 * SECOND),
        market(START - 30 * SECOND - MICROSECOND),
        missing=("mark",),
        limit=D(30),
    ),
    row(
        R.MARKET_STALE,
        "ahead by no more than the tolerated skew",
        market(START + 5 * SECOND),
        market(START + 5 * SECOND + MICROSECOND),
        missing=("mark",),
        limit=D(30),
    ),
    row(
        R.ACCOUNT_UNKNOWN,
        "60 s old by default",
        account(START - 60 * SECOND),
        account(START - 60 * SECOND - MICROSECOND),
        missing=("account",),
        limit=D(60),
    ),
    row(
        R.ACCOUNT_UNKNOWN,
        "ahead by no more than the tolerated skew",
        account(START + 5 * SECOND),
        account(START + 5 * SECOND + MICROSECOND),
        missing=("account",),
        limit=D(60),
    ),
    row(
        R.TRADING_HALTED,
        "the book's state",
        book(BookFacts(TradingState.ACTIVE)),
        book(BookFacts(TradingState.HALTED)),
        state="HALTED",
    ),
    row(
        R.REDUCING_ONLY,
        "the book's state",
        book(BookFacts(TradingState.ACTIVE)),
        book(BookFacts(TradingState.REDUCING)),
        state="REDUCING",
    ),
    row(
        R.STRATEGY_LATCHED,
        "a latch on the strategy",
        book(BookFacts()),
        book(BookFacts(latched=(Hold("STRATEGY_DRAWDOWN", START), Hold("REPEATED_EXECUTION", START)))),
        latches=("STRATEGY_DRAWDOWN", "REPEATED_EXECUTION"),
        by="STRATEGY_DRAWDOWN",
        since=iso(START),
        until=None,
    ),
    row(
        R.MANUAL_APPROVAL,
        "a switch",
        limits(require_manual_approval=False),
        limits(require_manual_approval=True),
    ),
    row(R.SCOPE_DISABLED, "a switch", limits(enabled=True), limits(enabled=False), scope="global"),
    row(
        R.RISK_DISABLED,
        "a switch",
        limits(risk_management_enabled=True),
        limits(risk_management_enabled=False),
        scope="global",
    ),
    row(
        R.SYMBOL_NOT_ALLOWED,
        "a list; an empty one allows all",
        limits(allowed_symbols=["ETHUSDT", "BTCUSDT"]),
        limits(allowed_symbols=["ETHUSDT"]),
        value="BTCUSDT",
        scope="global",
    ),
    row(
        R.SIDE_NOT_ALLOWED,
        "a list for a long",
        limits(enabled_sides=["LONG"]),
        limits(enabled_sides=["SHORT"]),
        value="LONG",
    ),
    row(R.SIDE_NOT_ALLOWED, "an empty list allows none", limits(), limits(enabled_sides=[]), value="LONG"),
    row(
        R.SIDE_NOT_ALLOWED, "a switch for a long", limits(enable_shorts=False), limits(enable_longs=False), value="LONG"
    ),
    row(
        R.SIDE_NOT_ALLOWED,
        "a switch for a short",
        intent(SELL, enable_longs=False),
        intent(SELL, enable_shorts=False),
        value="SHORT",
    ),
    row(
        R.MODE_NOT_ALLOWED,
        "a list",
        limits(allowed_modes=["deterministic"]),
        limits(allowed_modes=["ml_light"]),
        value="deterministic",
    ),
    row(R.MODE_NOT_ALLOWED, "an empty list allows none", limits(), limits(allowed_modes=[]), value="deterministic"),
    row(
        R.STRATEGY_NOT_ALLOWED,
        "a list; an empty one allows all",
        limits(allowed_strategies=["momo"]),
        limits(allowed_strategies=["Momo"]),
        value="momo",
        scope="global",
    ),
    row(
        R.LOW_CONFIDENCE,
        "0.5 by default",
        intent({"confidence": 0.5}),
        intent({"confidence": 0.4999999999999999}),
        value=D("0.4999999999999999"),
        limit=D("0.5"),
    ),
    row(
        R.LOW_CONFIDENCE,
        "0.7 for a language model by default",
        intent({**LLM, "confidence": 0.7}, **LLM_ALLOWED),
        intent({**LLM, "confidence": 0.69}, **LLM_ALLOWED),
        value=D("0.69"),
        limit=D("0.7"),
    ),
    row(
        R.STOP_MISSING,
        "where required",
        intent({"stop_loss_pct": 0.01}, require_stop_loss=True),
        limits(require_stop_loss=True),
        required=True,
    ),
    row(
        R.STOP_WRONG_SIDE,
        "a long's stop at its price",
        intent({"stop_loss": 99.99}),
        intent({"stop_loss": 100.0}),
        stop_loss=D(100),
        price=D(100),
        current_price=D(100),
    ),
    row(
        R.STOP_WRONG_SIDE,
        "a long's stop at the current price",
        intent({"current_price": 98.0, "stop_loss": 97.99}),
        intent({"current_price": 98.0, "stop_loss": 98.0}),
        stop_loss=D(98),
        price=D(100),
        current_price=D(98),
    ),
    row(
        R.STOP_WRONG_SIDE,
        "a short's stop at its price",
        intent({**SELL, "stop_loss": 100.01}),
        intent({**SELL, "stop_loss": 100.0}),
        stop_loss=D(100),
        price=D(100),
        current_price=D(100),
    ),
    row(
        R.STOP_WRONG_SIDE,
        "a fraction of zero",
        intent({"stop_loss_pct": 0.0001}),
        intent({"stop_loss_pct": 0}),
        stop_loss=D(100),
        price=D(100),
        current_price=D(100),
    ),
    row(
        R.TARGET_WRONG_SIDE,
        "a long's target at its price",
        intent({"take_profit": 100.01}),
        intent({"take_profit": 100.0}),
        take_profit=D(100),
        price=D(100),
        current_price=D(100),
    ),
    row(
        R.TARGET_WRONG_SIDE,
        "a short's target at the current price",
        intent({**SELL, "current_price": 98.0, "take_profit": 97.99}),
        intent({**SELL, "current_price": 98.0, "take_profit": 98.0}),
        take_profit=D(98),
        price=D(100),
        current_price=D(98),
    ),
    row(
        R.STOP_TOO_NEAR,
        "a long",
        intent({"stop_loss": 99.0}, sl_distance_min_pct=1.0),
        intent({"stop_loss": 99.01}, sl_distance_min_pct=1.0),
        distance_pct=D("0.99"),
        limit=D(1),
    ),
    row(
        R.STOP_TOO_NEAR,
        "a short, by fraction",
        intent({**SELL, "stop_loss_pct": 0.01}, sl_distance_min_pct=1.0),
        intent({**SELL, "stop_loss_pct": 0.0099}, sl_distance_min_pct=1.0),
        distance_pct=D("0.99"),
        limit=D(1),
    ),
    row(
        R.STOP_TOO_FAR,
        "a long",
        intent({"stop_loss": 95.0}, sl_distance_max_pct=5),
        intent({"stop_loss": 94.99}, sl_distance_max_pct=5),
        distance_pct=D("5.01"),
        limit=D(5),
    ),
    row(
        R.TARGET_TOO_NEAR,
        "a long",
        intent({"take_profit": 101.0}, tp_distance_min_pct=1.0),
        intent({"take_profit": 100.99}, tp_distance_min_pct=1.0),
        distance_pct=D("0.99"),
        limit=D(1),
    ),
    row(
        R.TARGET_TOO_FAR,
        "a short",
        intent({**SELL, "take_profit": 80.0}, tp_distance_max_pct=20.0),
        intent({**SELL, "take_profit": 79.99}, tp_distance_max_pct=20.0),
        distance_pct=D("20.01"),
        limit=D(20),
    ),
    # A round trip costs 2 x (5 + 2) basis points of 100 = 0.14: risk 1 + 0.14, reward 1.85 - 0.14 = 1.5 x 1.14.
    row(
        R.REWARD_TO_RISK,
        "a long, after costs",
        intent({"stop_loss": 99.0, "take_profit": 101.85}, **TWO_TO_ONE),
        intent({"stop_loss": 99.0, "take_profit": 101.84}, **TWO_TO_ONE),
        ratio=D("1.491228"),
        limit=D("1.5"),
    ),
    row(
        R.REWARD_TO_RISK,
        "a short without costs",
        intent({**SELL, "stop_loss": 101.0, "take_profit": 98.5}, taker_fee_bps=0, slippage_bps=0, **TWO_TO_ONE),
        intent({**SELL, "stop_loss": 101.0, "take_profit": 98.51}, taker_fee_bps=0, slippage_bps=0, **TWO_TO_ONE),
        ratio=D("1.49"),
        limit=D("1.5"),
    ),
    row(
        R.PRICE_OUT_OF_RANGE,
        "at least",
        limits(price_min_absolute=100.0),
        limits(price_min_absolute=100.01),
        price=D(100),
        relative_pct=D(0),
        min_absolute=D("100.01"),
    ),
    row(
        R.PRICE_OUT_OF_RANGE,
        "at most",
        limits(price_max_absolute=100.0),
        limits(price_max_absolute=99.99),
        price=D(100),
        relative_pct=D(0),
        max_absolute=D("99.99"),
    ),
    row(
        R.PRICE_OUT_OF_RANGE,
        "below the current price by at most",
        intent({"price": 98.0, "current_price": 100.0}, price_min_relative_pct=-2.0),
        intent({"price": 97.99, "current_price": 100.0}, price_min_relative_pct=-2.0),
        price=D("97.99"),
        relative_pct=D("-2.01"),
        min_relative_pct=D(-2),
    ),
    row(
        R.PRICE_OUT_OF_RANGE,
        "above the current price by at most",
        intent({"price": 102.0, "current_price": 100.0}, price_max_relative_pct=2.0),
        intent({"price": 102.01, "current_price": 100.0}, price_max_relative_pct=2.0),
        price=D("102.01"),
        relative_pct=D("2.01"),
        max_relative_pct=D(2),
    ),
    row(
        R.PRICE_COLLAR,
        "0.1 % above the mark by default",
        marked(100.1),
        marked(100.11),
        away_pct=D("0.11"),
        mark=D(100),
        limit=D("0.1"),
    ),
    row(
        R.PRICE_COLLAR,
        "0.1 % below the mark by default",
        marked(99.9),
        marked(99.89),
        away_pct=D("0.11"),
        mark=D(100),
        limit=D("0.1"),
    ),
    row(
        R.ORDER_TOO_SMALL,
        "10 USD by default",
        intent({"quantity": 0.1}),
        intent({"quantity": 0.0999}),
        notional=D("9.99"),
        limit=D(10),
    ),
    Row(
        "a quantity",
        R.ORDER_TOO_SMALL,
        limits(quantity_min=1.0),
        limits(quantity_min=1.01),
        {"notional": D(100), "limit": D(10), "quantity": D(1), "quantity_min": D("1.01")},
    ),
    row(
        R.ORDER_TOO_LARGE,
        "1000 USD by default",
        intent({"quantity": 10.0}),
        intent({"quantity": 10.01}),
        "10",
        notional=D(1001),
        limit=D(1000),
    ),
    Row(
        "a quantity",
        R.ORDER_TOO_LARGE,
        limits(quantity_max=1.0),
        limits(quantity_max=0.99),
        {"notional": D(100), "limit": D(1000), "quantity": D(1), "quantity_max": D("0.99")},
        D("0.99"),
    ),
    row(
        R.POSITION_FRACTION,
        "a tenth of equity by default",
        equity(1.0),
        equity(1.5),
        "1",
        notional=D(150),
        equity=D(1000),
        limit=D("0.1"),
    ),
    row(
        R.LEVERAGE_BOUND,
        "the configured leverage",
        limits(leverage=20, max_leverage_bound=20),
        limits(leverage=21, max_leverage_bound=20),
        leverage=D(21),
        limit=D(20),
    ),
    row(
        R.DAILY_TRADES,
        "the last of the day passes",
        book(BookFacts(promoted_today=2), max_daily_trades=3),
        book(BookFacts(promoted_today=3), max_daily_trades=3),
        count=3,
        limit=D(3),
        scope="global",
    ),
    row(
        R.ORDER_RATE,
        "the last of the minute passes",
        book(BookFacts(promoted_last_minute=119)),
        book(BookFacts(promoted_last_minute=120)),
        count=120,
        limit=D(120),
        scope="defaults",
    ),
    row(
        R.ACCUMULATION_COOLDOWN,
        "at its end it is over",
        book(BookFacts(last_entry_at=START - 60 * SECOND), accumulation_cooldown_seconds=60),
        book(BookFacts(last_entry_at=START - 60 * SECOND + MICROSECOND), accumulation_cooldown_seconds=60),
        since_seconds=D("59.999999"),
        limit=D(60),
    ),
    row(
        R.MAX_ACCUMULATIONS,
        "the last passes",
        book(BookFacts(entries_today=2), max_accumulations=3),
        book(BookFacts(entries_today=3), max_accumulations=3),
        count=3,
        limit=D(3),
    ),
    row(
        R.SIGNAL_CONFLICT,
        "a tie stands",
        book(BookFacts(rivals=(rival_of(confidence=D("0.79")),)), **ONE_WAY),
        book(BookFacts(rivals=(rival_of(),)), **ONE_WAY),
        against="d" * 32,
        against_strategy="other",
        against_side="SHORT",
        strength=D("0.8"),
        against_strength=D("0.8"),
        since_seconds=D(10),
    ),
)

every_row = pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}: {row.name}" for row in ROWS])
optional_rows = [row for row in ROWS if row.code not in ALWAYS_ON]
every_optional_row = pytest.mark.parametrize(
    "row", optional_rows, ids=[f"{row.code}: {row.name}" for row in optional_rows]
)


def observation(verdict: Verdict, code: Reason) -> Observation | None:
    """What the check of ``code`` came to, if it was made."""
    return next((seen for seen in verdict.observed if seen.code is code), None)


def codes(verdict: Verdict) -> list[Reason]:
    """Codes of the reasons that fired, in order."""
    return [reason.code for reason in verdict.reasons]


def test_every_control_has_its_boundary_here_or_beside() -> None:
    """No check is added to the table without saying, here or in test_fact_controls, what passes and what does not."""
    assert {row.code for row in ROWS} >= {control.code for control in TABLE if not control.needs}


@every_row
def test_at_its_limit_it_passes(row: Row) -> None:
    """Boundaries are inclusive: at the limit itself the control is quiet and nothing else objects."""
    verdict = row.passes.judged()
    assert (verdict.kind, verdict.reasons) == (VerdictKind.APPROVED, ())
    seen = observation(verdict, row.code)
    assert seen is not None
    assert seen.outcome is Outcome.PASS


@every_row
def test_just_beyond_its_limit_it_fires_with_its_numbers(row: Row) -> None:
    """It alone fires, says what it compared, and blocks or reduces."""
    verdict = row.fires.judged()
    outcome = Outcome.REDUCE if row.reduces else Outcome.BLOCK
    assert [(seen.code, seen.outcome, dict(seen.numbers)) for seen in verdict.reasons] == [
        (row.code, outcome, dict(row.numbers))
    ]
    assert verdict.kind is (VerdictKind.REDUCED if row.reduces else VerdictKind.BLOCKED)
    assert verdict.quantity == row.quantity
    assert observation(verdict, row.code) == verdict.reasons[0]


@every_optional_row
def test_observed_it_records_what_it_would_have_done(row: Row) -> None:
    """In observe mode the same numbers are recorded and nothing is applied."""
    verdict = row.fires.judged({row.code.value: "observe"})
    assert (verdict.kind, verdict.reasons, verdict.quantity) == (VerdictKind.APPROVED, (), None)
    outcome = Outcome.WOULD_REDUCE if row.reduces else Outcome.WOULD_BLOCK
    assert observation(verdict, row.code) == Observation(row.code, outcome, tuple(row.numbers.items()))


@every_optional_row
def test_off_it_is_not_even_looked_at(row: Row) -> None:
    """In off mode the control is absent from the decision."""
    verdict = row.fires.judged({row.code.value: "off"})
    assert (verdict.kind, verdict.reasons) == (VerdictKind.APPROVED, ())
    assert observation(verdict, row.code) is None


@pytest.mark.parametrize("mode", ["observe", "off"])
@pytest.mark.parametrize("code", sorted(ALWAYS_ON))
@pytest.mark.parametrize("where", ["top", "scope"])
def test_a_safety_control_cannot_be_switched_off(code: Reason, mode: str, where: str) -> None:
    """Not globally and not in a scope; to enforce it is allowed, since it changes nothing."""
    with pytest.raises(PolicyError, match=f"{code} is a safety control and cannot be {mode}"):
        read_policy({"modes": {code: mode}} if where == "top" else {"scopes": {"strategy:s": {f"mode.{code}": mode}}})
    assert read_policy({"modes": {code: "enforce"}}).modes == {"global": {code: "enforce"}}


def test_the_safety_controls_are_those_of_the_design() -> None:
    """The controls marked so in the design are always on, and what follows from a reduction; no others."""
    assert {code.value for code in ALWAYS_ON} == {
        *("MALFORMED_INTENT", "DUPLICATE_INTENT", "STALE_INTENT", "FUTURE_INTENT", "GOVERNANCE_TIMEOUT"),
        *("POLICY_UNAVAILABLE", "MARKET_STALE", "ACCOUNT_UNKNOWN", "TRADING_HALTED", "REDUCING_ONLY"),
        "STRATEGY_LATCHED",
        *("BELOW_MINIMUM_AFTER_REDUCTION", "LEDGER_UNAVAILABLE"),
    }


# The verdict as a whole


def test_every_reason_that_fires_is_listed_in_table_order() -> None:
    """An operator sees all that is wrong at once, the gravest first; reductions stand beside the blocks."""
    state = BookFacts(TradingState.HALTED, promoted_today=100)
    fields: dict[str, Json] = {"confidence": 0.1, "quantity": 50.0, "stop_loss": 101.0}
    verdict = judge(case_of(fields, policy_of({"enabled": False}), book=state, now=START + 301 * SECOND))
    assert codes(verdict) == [
        *(R.STALE_INTENT, R.TRADING_HALTED, R.SCOPE_DISABLED, R.LOW_CONFIDENCE, R.STOP_WRONG_SIDE),
        *(R.ORDER_TOO_LARGE, R.DAILY_TRADES),
    ]
    assert (verdict.kind, verdict.quantity) == (VerdictKind.BLOCKED, None)


def test_every_control_is_seen_in_every_entry() -> None:
    """What lacks its facts is recorded as unevaluated, unless it has no limit to look for: never in silence."""
    verdict = judge(case_of())
    assert {seen.code for seen in verdict.observed} == set(CHECKED)
    waiting = {seen.code for seen in verdict.observed if seen.outcome is Outcome.UNEVALUATED}
    no_limit = {
        *(R.SPREAD_TOO_WIDE, R.THIN_BOOK, R.PORTFOLIO_LEVERAGE, R.LOSS_STREAK, R.COOLDOWN, R.FUNDING_ADVERSE),
        R.REPEATED_EXECUTION,
    }
    assert waiting == {control.code for control in TABLE if control.needs} - no_limit


def test_a_malformed_message_is_blocked_with_all_its_faults() -> None:
    """Whatever the policy, or none: each fault is named in the verdict."""
    body = receipt_of(intent_fields(action="BUY", price=-1)).body
    assert body is not None
    verdict = judge(Case(body, None, BookFacts(), START, START))
    (reason,) = verdict.reasons
    assert (verdict.kind, reason.code, reason.outcome) == (VerdictKind.BLOCKED, R.MALFORMED_INTENT, Outcome.BLOCK)
    (name, faults) = reason.numbers[0]
    assert name == "faults"
    assert isinstance(faults, tuple)
    assert [fault.partition(":")[0] for fault in faults] == ["action", "price"]


REPEAT = Observation(R.DUPLICATE_INTENT, Outcome.BLOCK, (("duplicate_of", "first"),))


@pytest.mark.parametrize("action", ["close", "hold"])
def test_a_repeat_of_what_adds_no_risk_is_blocked_for_that_alone(action: str) -> None:
    """A second receipt is refused, names the first, and nothing else is looked at."""
    verdict = judge(
        case_of({"action": action}, book=BookFacts(duplicate_of="first", trading_state=TradingState.HALTED))
    )
    assert (verdict.kind, verdict.reasons, verdict.observed) == (VerdictKind.BLOCKED, (REPEAT,), (REPEAT,))


@pytest.mark.parametrize("action", ["buy", "sell"])
def test_a_repeat_of_an_entry_is_blocked_for_all_that_fired(action: str) -> None:
    """A second receipt is refused, names the first, and says what else speaks against it."""
    book = BookFacts(duplicate_of="first", trading_state=TradingState.HALTED)
    verdict = judge(case_of({"action": action}, book=book))
    assert verdict.kind is VerdictKind.BLOCKED
    assert verdict.reasons[0] == verdict.observed[0] == REPEAT
    assert [seen.code for seen in verdict.reasons] == [R.DUPLICATE_INTENT, R.TRADING_HALTED]


HOSTILE = policy_of(
    {
        "enabled": False,
        "risk_management_enabled": False,
        "require_manual_approval": True,
        "allowed_symbols": ["ETHUSDT"],
        "enabled_sides": [],
        "allowed_modes": [],
        "max_daily_trades": 1,
    },
    required=tuple(fact.value for fact in Fact),
)


@pytest.mark.parametrize("policy", [None, HOSTILE], ids=["no policy", "a policy that refuses everything"])
@pytest.mark.parametrize("state", TradingState)
def test_a_close_passes_with_everything_missing_and_in_every_state(state: TradingState, policy: Policy | None) -> None:
    """A close reduces risk: no fact, no policy, no state, no age and no limit holds it back."""
    body = receipt_of({"strategy_id": "s", "symbol": "BTCUSDT", "action": "close", "timestamp": "2020-01-01T00:00:00Z"})
    assert body.body is not None
    facts = BookFacts(state, promoted_today=1000, promoted_last_minute=1000)
    verdict = judge(Case(body.body, policy, facts, START + 3600 * SECOND, START))
    assert (verdict.kind, verdict.reasons) == (VerdictKind.APPROVED, ())


@pytest.mark.parametrize("policy", [None, HOSTILE, policy_of()], ids=["no policy", "hostile", "permissive"])
def test_a_hold_is_absorbed(policy: Policy | None) -> None:
    """It is recorded and never becomes an order, whatever the policy."""
    body = receipt_of(intent_fields(action="hold")).body
    assert body is not None
    assert judge(Case(body, policy, BookFacts(), START, START)).kind is VerdictKind.ABSORBED


def test_an_entry_without_a_policy_is_refused() -> None:
    """No policy is no permission."""
    case = case_of()
    verdict = judge(replace(case, policy=None))
    assert (verdict.kind, codes(verdict)) == (VerdictKind.BLOCKED, [R.POLICY_UNAVAILABLE])


# Facts that a policy requires

MARKET = [Fact.BARS, Fact.MARK, Fact.BOOK, Fact.FUNDING, Fact.FILTERS]


def facts_case(fact: Fact, as_of: Instant | None, action: str) -> Case:
    """A case whose policy requires ``fact``, which is of ``as_of`` (None: absent)."""
    known = () if as_of is None else ((fact, as_of),)
    return case_of(
        {"action": action},
        policy_of(required=(fact.value,)),
        market=replace(market_state(), as_of=known),
        portfolio=account_state(as_of) if fact is Fact.ACCOUNT and as_of is not None else None,
    )


@pytest.mark.parametrize("action", ["buy", "sell"])
@pytest.mark.parametrize("fact", Fact)
def test_a_required_fact_that_is_fresh_lets_an_entry_pass(fact: Fact, action: str) -> None:
    """Each fact by itself suffices for a policy that requires it alone."""
    assert judge(facts_case(fact, START, action)).kind is VerdictKind.APPROVED


@pytest.mark.parametrize("as_of", [None, START - 61 * SECOND, START + 6 * SECOND], ids=["absent", "stale", "future"])
@pytest.mark.parametrize("fact", Fact)
def test_a_required_fact_that_is_missing_refuses_entries_and_leaves_a_close_alone(
    fact: Fact, as_of: Instant | None
) -> None:
    """Absent, stale or from the future is the same: what adds risk is refused and names the fact."""
    code = R.MARKET_STALE if fact in MARKET else R.ACCOUNT_UNKNOWN
    for action in ("buy", "sell"):
        verdict = judge(facts_case(fact, as_of, action))
        assert codes(verdict) == [code]
        assert dict(verdict.reasons[0].numbers)["missing"] == (fact.value,)
    assert judge(facts_case(fact, as_of, "close")).kind is VerdictKind.APPROVED


def test_by_default_every_fact_is_required() -> None:
    """A policy that says nothing refuses what it cannot weigh, and names all that is missing, by name."""
    verdict = judge(case_of(policy=read_policy({})))
    assert [dict(reason.numbers)["missing"] for reason in verdict.reasons] == [
        ("bars", "book", "filters", "funding", "mark"),
        ("account",),
    ]


def test_an_account_without_equity_is_no_account() -> None:
    """A fresh answer that says nothing is missing all the same."""
    verdict = judge(case_of(policy=policy_of(required=("account",)), portfolio=account_state(equity=None)))
    assert codes(verdict) == [R.ACCOUNT_UNKNOWN]
    assert dict(verdict.reasons[0].numbers)["unsound"] == ("equity",)


# Sizes and reductions


def test_the_smallest_cap_wins() -> None:
    """Of several reductions the order is cut to the least, and all are listed."""
    policy = policy_of({"max_position_size_usd": 500.0, "quantity_max": 4.0})
    verdict = judge(case_of({"quantity": 20.0}, policy, portfolio=Portfolio(START, D(3000))))
    assert codes(verdict) == [R.ORDER_TOO_LARGE, R.POSITION_FRACTION]
    assert (verdict.kind, verdict.quantity) == (VerdictKind.REDUCED, D(3))


@pytest.mark.parametrize(
    ("step", "market_step", "expected"),
    [(None, None, "3.33333333"), (None, "0.001", "3.333"), (0.5, "0.001", "3.0")],
    ids=["unknown", "the exchange's", "overridden"],
)
def test_a_reduced_quantity_is_rounded_down_to_a_step(
    step: float | None, market_step: str | None, expected: str
) -> None:
    """1000 USD at 300 is 3.33...: the policy's step, else the exchange's, else eight places; never upwards."""
    known = ((Fact.FILTERS, START),)
    state = MarketState("BTCUSDT", known, step_size=None if market_step is None else D(market_step))
    case = case_of({"price": 300.0, "quantity": 5.0}, policy_of({"override_step_size": step}), market=state)
    assert judge(case).quantity == D(expected)


def test_a_reduction_foresees_the_multiplier_of_the_engine() -> None:
    """The engine multiplies what we send: 10 at 100 x 2.5 is 2500, the limit 1000, so 4 is sent."""
    verdict = judge(case_of({"quantity": 10.0}, policy_of({"quantity_multiplier": 2.5})))
    assert (verdict.kind, verdict.quantity) == (VerdictKind.REDUCED, D(4))
    assert verdict.order is not None
    assert verdict.order.notional == D(2500)


@pytest.mark.parametrize(
    ("policy", "minimum"),
    [
        ({"min_position_size_usd": 500.0, "quantity_max": 4.99}, "5"),
        ({"quantity_min": 6.0, "max_position_size_usd": 500.0, "quantity_max": 7.0}, "6"),
        ({"override_min_notional": 600.0, "max_position_size_usd": 500.0}, "6"),
        ({"override_min_qty": 6.0, "max_position_size_usd": 500.0}, "6"),
    ],
)
def test_what_a_reduction_leaves_under_a_minimum_is_blocked(policy: dict[str, Json], minimum: str) -> None:
    """The engine would raise it again, so it is refused, and both the limit and the minimum are named."""
    verdict = judge(case_of({"quantity": 10.0}, policy_of(policy)))
    assert (verdict.kind, verdict.quantity) == (VerdictKind.BLOCKED, None)
    assert codes(verdict) == [R.ORDER_TOO_LARGE, R.BELOW_MINIMUM_AFTER_REDUCTION]
    assert dict(verdict.reasons[-1].numbers)["minimum_quantity"] == D(minimum)


def test_a_reduction_to_the_minimum_itself_stands() -> None:
    """Inclusive here too: 5 is left and 5 is the least."""
    policy = policy_of({"min_position_size_usd": 500.0, "quantity_max": 5.0})
    verdict = judge(case_of({"quantity": 10.0}, policy))
    assert (verdict.kind, verdict.quantity) == (VerdictKind.REDUCED, D(5))


def test_a_reduction_to_nothing_is_a_block() -> None:
    """An account without equity leaves nothing of the order."""
    verdict = judge(case_of(portfolio=Portfolio(START, D(-5))))
    assert codes(verdict) == [R.POSITION_FRACTION, R.BELOW_MINIMUM_AFTER_REDUCTION]


@pytest.mark.parametrize(
    ("fields", "basis", "notional"),
    [
        ({"quantity": 2.0, "quote_quantity": 50.0}, "quantity", "200"),
        ({"quantity": 0.0, "quote_quantity": 50.0}, "quote_quantity", "50"),
        ({"quantity": 2.0, "position_size_pct": 0.05}, "position_size_pct", "40"),
        ({"position_size_pct": 0.05, "strategy_mode": "ml_light"}, "position_size_pct", "50"),
        ({"quantity": 0.0}, "exchange_minimum", "5"),
        ({"quantity": 0.01}, "quantity", "5"),
    ],
)
def test_the_order_is_judged_as_the_engine_would_send_it(fields: dict[str, Json], basis: str, notional: str) -> None:
    """Share of equity (x confidence 0.8 where deterministic), else quantity, else quote amount, else the minimum."""
    state = MarketState("BTCUSDT", ((Fact.FILTERS, START),), min_notional=D(5))
    verdict = judge(case_of(fields, market=state, portfolio=Portfolio(START, D(1000))))
    assert verdict.order is not None
    assert (verdict.order.basis, verdict.order.notional) == (basis, D(notional))


def test_a_size_that_depends_on_a_missing_fact_is_unevaluated() -> None:
    """Without equity a percentage has no size; without filters neither has the exchange's minimum."""
    for fields in ({"position_size_pct": 0.05}, {"quantity": 0.0}):
        verdict = judge(case_of(fields))
        assert verdict.order is not None
        assert (verdict.order.quantity, verdict.order.notional) == (None, None)
        for code in (R.ORDER_TOO_SMALL, R.ORDER_TOO_LARGE, R.POSITION_FRACTION):
            assert observation(verdict, code) == Observation(code, Outcome.UNEVALUATED)


@pytest.mark.parametrize(("price", "stop"), [(1e-12, 1e12), (1e12, 1e-12), (1e-12, 1e-12), (1e12, 1e12)])
def test_numbers_at_the_bounds_of_the_wire_are_judged_like_any_other(price: float, stop: float) -> None:
    """However far a level is: a verdict with a distance, never an exception."""
    policy = policy_of({"sl_distance_max_pct": 5.0, "price_max_relative_pct": 5.0, "min_reward_to_risk": 1.0})
    for action in ("buy", "sell"):
        fields = {"action": action, "price": price, "current_price": 1.0, "stop_loss": stop, "take_profit": 1e12}
        state = MarketState("BTCUSDT", ((Fact.MARK, START),), mark=D(1))
        verdict = judge(case_of(fields, policy, market=state))
        assert (R.STOP_TOO_FAR in codes(verdict)) == (price != stop)
        assert R.PRICE_COLLAR in codes(verdict)


# Conflicts


def conflict(policy: Mapping[str, Json], *rivals: object, **fields: Json) -> str | None:
    """Strategy of the rival that an intent loses to; None where it prevails."""
    facts = BookFacts(rivals=tuple(rivals))  # type: ignore[arg-type]
    verdict = judge(case_of(fields, policy_of({**ONE_WAY, **policy}), book=facts))
    assert set(codes(verdict)) <= {R.SIGNAL_CONFLICT}
    return str(dict(verdict.reasons[0].numbers)["against_strategy"]) if verdict.reasons else None


WEAK, STRONG = rival_of(confidence=D("0.5")), rival_of(strategy_id="strong", confidence=D("0.9"))
SAME = rival_of(Side.LONG, strategy_id="same", confidence=D("0.5"))


@pytest.mark.parametrize(
    ("resolution", "loses_to_weak", "loses_to_strong"),
    [
        ("strongest_wins", None, "strong"),
        ("first_come_first_served", "other", "strong"),
        ("manual_review", "other", "strong"),
        ("weighted_average", None, None),
    ],
)
def test_each_resolution_of_opposite_signals(
    resolution: str, loses_to_weak: str | None, loses_to_strong: str | None
) -> None:
    """The stronger, the earlier, an operator, or nobody here (a weighted average is the engine's to take)."""
    policy: dict[str, Json] = {"signal_conflict_resolution": resolution}
    assert conflict(policy, WEAK) == loses_to_weak
    assert conflict(policy, STRONG) == loses_to_strong


def test_the_strongest_of_several_is_named() -> None:
    """One rival that prevails is enough, and the one that is named is the strongest."""
    assert conflict({}, WEAK, STRONG, rival_of(strategy_id="middle", confidence=D("0.85"))) == "strong"


@pytest.mark.parametrize(
    ("resolution", "against_longer", "against_shorter"),
    [("higher_timeframe_wins", "other", None), ("lower_timeframe_wins", None, "other")],
)
def test_a_timeframe_goes_before_strength(
    resolution: str, against_longer: str | None, against_shorter: str | None
) -> None:
    """Where timeframes differ they decide alone, however weak the rival or strong the intent."""
    policy: dict[str, Json] = {"timeframe_conflict_resolution": resolution}
    assert conflict(policy, rival_of(timeframe="4h", confidence=D("0.1"))) == against_longer
    assert conflict(policy, rival_of(timeframe="15m", confidence=D(1))) == against_shorter


@pytest.mark.parametrize(("weight", "loser"), [(0.79, None), (0.8, "other")])
def test_weighted_timeframes_decide_with_strength(weight: float, loser: str | None) -> None:
    """Confidence 1 x weight against 0.8 x 1: a tie stands with the earlier."""
    policy: dict[str, Json] = {"timeframe_conflict_resolution": "weighted_average", "timeframe_weights": {"4h": weight}}
    assert conflict(policy, rival_of(timeframe="4h", confidence=D(1))) == loser


@pytest.mark.parametrize(
    ("weights", "loser"), [({"momo": 2}, None), ({"default": 2, "momo": 2}, "other"), ({}, "other")]
)
def test_a_strategy_has_its_weight(weights: dict[str, Json], loser: str | None) -> None:
    """0.8 x 2 beats 0.9; without weights, or with the same for both, it does not."""
    assert conflict({"strategy_weights": weights}, rival_of(confidence=D("0.9"))) == loser


@pytest.mark.parametrize(
    ("resolution", "loses_to_weak", "loses_to_equal"),
    [("accumulate", None, None), ("strongest_wins", None, "same"), ("reject_duplicates", "same", "same")],
)
def test_each_resolution_of_signals_in_the_same_direction(
    resolution: str, loses_to_weak: str | None, loses_to_equal: str | None
) -> None:
    """All, only the stronger, or only the first."""
    policy: dict[str, Json] = {"same_direction_conflict_resolution": resolution}
    assert conflict(policy, SAME) == loses_to_weak
    assert conflict(policy, replace(SAME, confidence=D("0.8"))) == loses_to_equal


# Scopes

LAYERS = ("global", "symbol:BTCUSDT", "strategy:momo", "symbol:BTCUSDT:LONG")


@pytest.mark.parametrize("depth", range(len(LAYERS) + 1))
def test_the_narrower_scope_wins(depth: int) -> None:
    """defaults < global < symbol < strategy < symbol and side: the last that says something is what holds."""
    scopes = {scope: {"max_daily_trades": 10 + rank} for rank, scope in enumerate(LAYERS[:depth])}
    limits_here = policy_of(scopes=scopes).limits("BTCUSDT", "momo", Side.LONG)
    expected = (100, "defaults") if depth == 0 else (9 + depth, LAYERS[depth - 1])
    assert (limits_here.number("max_daily_trades"), limits_here.scope("max_daily_trades")) == expected


@pytest.mark.parametrize("depth", range(1, len(LAYERS)))
def test_a_scope_holds_nowhere_else(depth: int) -> None:
    """Another symbol, strategy or side is not touched by what a scope says."""
    policy = policy_of(scopes={LAYERS[depth]: {"max_daily_trades": 7}})
    others = {"symbol": ("ETHUSDT", "momo", Side.LONG), "strategy": ("BTCUSDT", "other", Side.LONG)}
    symbol, strategy, side = others["strategy" if LAYERS[depth].startswith("strategy") else "symbol"]
    assert policy.limits(symbol, strategy, side).number("max_daily_trades") == 100
    if depth == 3:
        assert policy.limits("BTCUSDT", "momo", Side.SHORT).number("max_daily_trades") == 100
        assert policy.limits("BTCUSDT", "momo", None).number("max_daily_trades") == 100
    assert policy.limits("BTCUSDT", "momo", Side.LONG).number("max_daily_trades") == 7


def test_the_order_of_questions_changes_no_answer() -> None:
    """Limits are remembered by scope: asking for others first gives the same."""
    scopes: dict[str, dict[str, Json]] = {"symbol:BTCUSDT:LONG": {"leverage": 3}, "strategy:momo": {"leverage": 4}}
    questions = [(s, i, d) for s in ("BTCUSDT", "ETHUSDT") for i in ("momo", "x") for d in (None, *Side)]
    forwards, backwards = policy_of(scopes=scopes), policy_of(scopes=scopes)
    first = {question: forwards.limits(*question).number("leverage") for question in questions}
    second = {question: backwards.limits(*question).number("leverage") for question in reversed(questions)}
    assert first == second
    assert first["BTCUSDT", "momo", Side.LONG] == 3
    assert first["ETHUSDT", "momo", Side.LONG] == first["BTCUSDT", "momo", Side.SHORT] == 4
    assert first["ETHUSDT", "x", None] == 10


def test_a_mode_is_set_at_any_scope_too() -> None:
    """A control enforced everywhere can be observed for one strategy."""
    policy = policy_of({"enabled": False}, scopes={"strategy:momo": {"mode.SCOPE_DISABLED": "observe"}})
    assert judge(case_of(policy=policy)).kind is VerdictKind.APPROVED
    assert judge(case_of({"strategy_id": "other"}, policy)).kind is VerdictKind.BLOCKED


def test_every_fault_of_a_policy_is_named_at_once() -> None:
    """An operator mends a file in one go."""
    with pytest.raises(PolicyError) as caught:
        read_policy(
            {
                "scope": {},
                "scopes": {
                    "globall": {},
                    "strategy:": {},
                    "symbol:BTCUSDT:UP": {},
                    "global": {"max_daily_trade": 5, "leverage": 126, "enabled": 1, "mode.NO_SUCH": "off"},
                    "symbol:BTCUSDT": [],
                },
                "modes": {"STALE_INTENT": "off", "COOLDOWN": "on"},
                "required_facts": ["moon"],
            },
            "file.json",
        )
    said = (
        *("'scope'", "'globall'", "'strategy:'", "'symbol:BTCUSDT:UP'", "max_daily_trade", "leverage", "enabled"),
        *("NO_SUCH", "symbol:BTCUSDT: must be an object", "STALE_INTENT", "COOLDOWN", "moon"),
    )
    assert [word for word in said if not any(word in fault for fault in caught.value.faults)] == []
    assert len(caught.value.faults) == len(said)
    assert caught.value.source == "file.json"


@pytest.mark.parametrize(
    ("scopes", "scope"),
    [
        ({"global": {"min_position_size_usd": 2000.0}}, "global"),
        ({"global": {"quantity_min": 5}, "symbol:BTCUSDT": {"quantity_max": 4}}, "symbol:BTCUSDT"),
        ({"symbol:BTCUSDT": {"quantity_min": 5}, "symbol:BTCUSDT:LONG": {"quantity_max": 4}}, "symbol:BTCUSDT:LONG"),
        ({"strategy:s": {"sl_distance_min_pct": 5.0, "sl_distance_max_pct": 4.0}}, "strategy:s"),
    ],
)
def test_a_minimum_above_its_maximum_is_refused_where_they_meet(scopes: dict[str, dict[str, Json]], scope: str) -> None:
    """Within a scope, or against what it inherits."""
    with pytest.raises(PolicyError, match=f"{scope}: .* is above"):
        policy_of(scopes=scopes)


def test_equal_minimum_and_maximum_are_a_policy() -> None:
    """A pair may meet; it may not cross."""
    assert policy_of({"quantity_min": 5, "quantity_max": 5}).limits("X", "s", None).number("quantity_min") == 5


def test_equal_policies_have_equal_revisions() -> None:
    """The revision is of the content, not of the order it was written in."""
    one = read_policy({"modes": {"COOLDOWN": "off", "DRAWDOWN": "off"}, "required_facts": []})
    other = read_policy({"required_facts": [], "modes": {"DRAWDOWN": "off", "COOLDOWN": "off"}})
    assert one.revision == other.revision
    assert one.revision != read_policy({"required_facts": []}).revision


# What a book remembers


class Gate:
    """Judges a sequence of intents against one book, as the gate does."""

    def __init__(self, values: Mapping[str, Json] | None = None, **scopes: Mapping[str, Json]) -> None:
        self.policy = policy_of(values, scopes={name.replace("__", ":"): layer for name, layer in scopes.items()})
        self.book = Book(int(self.policy.longest("duplicate_window_seconds")) * SECOND)
        self.sequence = 0

    def judge(self, seconds: float = 0, **fields: Json) -> str:
        """The verdict, or the only reason against, on an intent that arrives so many seconds after START."""
        self.sequence += 1
        now = START + int(seconds * SECOND)
        receipt = receipt_of(intent_fields(**fields), sequence=self.sequence, arrived_at=now)
        decision = decide("main", receipt, self.book, self.policy, now)
        remembered = remember(decision)
        assert remembered is not None
        self.book.fold(remembered)
        reasons = codes(decision.verdict)
        return ",".join(reasons) if reasons else decision.verdict.kind.value

    def fresh(self, seconds: float, **fields: Json) -> str:
        """As `judge`, with an id and timestamp of its own."""
        own = {"intent_id": f"i-{self.sequence}", "timestamp": iso(START + int(seconds * SECOND))}
        return self.judge(seconds, **{**own, **fields})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"intent_id": "a"}, {"intent_id": "a", "timestamp": iso(START + SECOND)}),
        ({"id": "a"}, {"id": "a", "symbol": "ETHUSDT"}),
        ({"intent_id": "a"}, {"intent_id": "b"}),
        ({"timestamp": "2026-11-24T09:30:00Z"}, {"timestamp": "2026-11-24T10:30:00+01:00", "price": 99.0}),
        ({"action": "close"}, {"action": "close"}),
    ],
    ids=["same intent_id", "same id", "same moment", "same moment, written otherwise", "a close"],
)
def test_a_second_receipt_is_a_duplicate(first: dict[str, Json], second: dict[str, Json]) -> None:
    """Same id of the same strategy, or same strategy, symbol, action and moment."""
    gate = Gate()
    assert gate.judge(**first) == "approved"
    assert gate.judge(1, **second) == "DUPLICATE_INTENT"


@pytest.mark.parametrize(
    "second",
    [
        {"strategy_id": "other", "intent_id": "a"},
        {"intent_id": "b", "timestamp": iso(START + MICROSECOND)},
        {"intent_id": "b", "symbol": "ETHUSDT"},
        {"intent_id": "b", "action": "sell"},
    ],
)
def test_what_differs_is_no_duplicate(second: dict[str, Json]) -> None:
    """Another strategy's id, another moment, symbol or action."""
    gate = Gate()
    assert gate.judge(intent_id="a") == "approved"
    assert gate.judge(1, **second) == "approved"


def test_an_intent_without_id_and_timestamp_is_never_a_duplicate() -> None:
    """It cannot be told from a new one."""
    gate = Gate()
    assert [gate.judge(second, timestamp=None) for second in (0, 1, 2)] == ["approved"] * 3


def test_the_duplicate_window_ends_when_it_says() -> None:
    """At the window's end an intent is no repeat any more; a repeat inside does not extend it."""
    gate = Gate({"duplicate_window_seconds": 300, "max_signal_age_seconds": 3600})
    assert gate.judge(0) == "approved"
    assert gate.judge(299.999999) == "DUPLICATE_INTENT"
    assert gate.judge(300) == "approved"
    assert gate.judge(599) == "DUPLICATE_INTENT"


def test_a_blocked_intent_is_remembered_too() -> None:
    """It was judged: sending it again is a repeat, not another try."""
    gate = Gate()
    assert gate.judge(confidence=0.1) == "LOW_CONFIDENCE"
    assert gate.judge(1) == "DUPLICATE_INTENT"


def test_only_promotions_count_against_the_day_and_the_day_ends_at_midnight() -> None:
    """Blocked ones and closes do not count; at 00:00 UTC the count starts anew."""
    gate = Gate({"max_daily_trades": 2})
    midnight = 14.5 * 3600
    assert gate.fresh(0, confidence=0.1) == "LOW_CONFIDENCE"
    assert gate.fresh(1, action="close") == "approved"
    assert [gate.fresh(second) for second in (2, 3, 4)] == ["approved", "approved", "DAILY_TRADES"]
    assert gate.fresh(midnight - 0.000001) == "DAILY_TRADES"
    assert gate.fresh(midnight) == "approved"


def test_a_rate_is_counted_over_sixty_seconds() -> None:
    """A promotion counts for 60 seconds and no longer."""
    gate = Gate({"max_orders_per_minute": 2})
    assert [gate.fresh(second) for second in (0, 30, 59.999999)] == ["approved", "approved", "ORDER_RATE"]
    assert [gate.fresh(second) for second in (60, 89, 90)] == ["approved", "ORDER_RATE", "approved"]


def test_a_limit_counts_what_its_own_scope_covers() -> None:
    """A limit of a strategy counts that strategy's promotions, on whatever symbol; others are not held back by it."""
    gate = Gate(None, strategy__momo={"max_daily_trades": 2})
    assert gate.fresh(0) == gate.fresh(1, symbol="ETHUSDT") == "approved"
    assert gate.fresh(2, symbol="SOLUSDT") == "DAILY_TRADES"
    assert gate.fresh(3, strategy_id="other") == "approved"


def test_accumulation_starts_anew_after_a_close_or_an_opposite_entry() -> None:
    """Entries of one strategy on one symbol and side are counted until it leaves that side."""
    gate = Gate({"max_accumulations": 1})
    assert [gate.fresh(0), gate.fresh(1)] == ["approved", "MAX_ACCUMULATIONS"]
    assert [gate.fresh(2, action="close"), gate.fresh(3), gate.fresh(4)] == [
        "approved",
        "approved",
        "MAX_ACCUMULATIONS",
    ]
    assert [gate.fresh(5, action="sell"), gate.fresh(6)] == ["approved", "approved"]
    assert gate.fresh(7, symbol="ETHUSDT") == "approved"


def test_a_cooldown_outlives_midnight() -> None:
    """The last entry is remembered for as long as the longest cooldown, a day."""
    gate = Gate({"accumulation_cooldown_seconds": 86_400})
    assert gate.fresh(0) == "approved"
    assert gate.fresh(86_399.999999) == "ACCUMULATION_COOLDOWN"
    assert gate.fresh(86_400) == "approved"


def test_a_conflict_is_over_when_its_window_is() -> None:
    """In one-way mode an opposite promotion stands for the window, not at its end; in hedge mode not at all."""
    one_way = Gate({**ONE_WAY, "conflict_window_ms": 1000})
    assert one_way.fresh(0, action="sell") == "approved"
    assert one_way.fresh(0.999999) == "SIGNAL_CONFLICT"
    assert one_way.fresh(1) == "approved"
    hedge = Gate()
    assert hedge.fresh(0, action="sell") == hedge.fresh(0.5) == "approved"


# Defects that were found in the judgement when these tests were written, and mended.


def test_a_short_duplicate_window_opens_again() -> None:
    """With a window of 10 s the intent that passes at 20 s opens a window of its own."""
    gate = Gate({"duplicate_window_seconds": 10})
    assert [gate.judge(second) for second in (0, 5, 20, 21, 22)] == [
        *("approved", "DUPLICATE_INTENT", "approved", "DUPLICATE_INTENT", "DUPLICATE_INTENT"),
    ]


@pytest.mark.parametrize("mark", [None, "NaN", "Infinity", "-1", "0"])
def test_a_required_mark_that_is_no_price_is_missing(mark: str | None) -> None:
    """A fresh answer that is no positive number refuses what adds risk."""
    state = MarketState("BTCUSDT", ((Fact.MARK, START),), mark=None if mark is None else D(mark))
    assert R.MARKET_STALE in codes(judge(case_of(policy=policy_of(required=("mark",)), market=state)))


@pytest.mark.parametrize("equity_text", ["NaN", "sNaN", "Infinity"])
def test_a_required_equity_that_is_no_number_is_missing(equity_text: str) -> None:
    """A fresh answer that is no finite number refuses what adds risk."""
    case = case_of(policy=policy_of(required=("account",)), portfolio=account_state(equity=D(equity_text)))
    assert R.ACCOUNT_UNKNOWN in codes(judge(case))


def test_a_limit_of_a_narrower_scope_replaces_the_wider_one_and_its_count() -> None:
    """Precedence of scopes holds for counts too: BTCUSDT is counted by itself against its own two."""
    gate = Gate({"max_daily_trades": 3}, symbol__BTCUSDT={"max_daily_trades": 2})
    assert [gate.fresh(second, symbol="ETHUSDT") for second in range(3)] == ["approved"] * 3
    assert [gate.fresh(second) for second in (4, 5, 6)] == ["approved", "approved", "DAILY_TRADES"]


def test_no_number_of_weak_rivals_hides_a_strong_one() -> None:
    """The strongest opposite promotion within the window prevails, however many came after it."""
    gate = Gate({**ONE_WAY, "strategy_weights": {}})
    assert gate.fresh(0, action="sell", strategy_id="strong", confidence=0.95) == "approved"
    for number in range(16):
        weak = {"strategy_id": f"weak-{number}", "confidence": 0.5, "timeframe": "1h"}
        assert gate.fresh(1, action="sell", **weak) == "approved"
    assert gate.fresh(2, confidence=0.8) == "SIGNAL_CONFLICT"


def test_one_strategy_cannot_use_up_the_identity_of_another() -> None:
    """`a|b` with id `c` is not `a` with id `b|c`."""
    gate = Gate()
    assert gate.fresh(0, strategy_id="a|b", intent_id="c") == "approved"
    assert gate.fresh(1, strategy_id="a", intent_id="b|c") == "approved"


def test_strategy_names_with_colons_have_nothing_in_common() -> None:
    """`strategy:a` and `strategy:a:b` are two strategies."""
    policy_of(scopes={"strategy:a": {"quantity_min": 9}, "strategy:a:b": {"quantity_max": 8}})


@pytest.mark.parametrize("scope", ["symbol:btcusdt", "symbol::LONG", "symbol:BTC USDT"])
def test_a_scope_that_can_never_match_is_refused(scope: str) -> None:
    """An operator who mistypes a symbol learns it from the file, not from a loss."""
    with pytest.raises(PolicyError, match=r"unknown scope|symbol"):
        policy_of(scopes={scope: {"enabled": False}})


@pytest.mark.parametrize("values", [{"strategy:\ud800": {}}, {"global": {"strategy_weights": {"\ud800": 1}}}])
def test_a_policy_that_cannot_be_recorded_is_refused(values: dict[str, dict[str, Json]]) -> None:
    """Every fault of a policy is a PolicyError."""
    with pytest.raises(PolicyError):
        policy_of(scopes=values)


def test_a_minimum_of_a_symbol_above_the_maximum_of_a_strategy_is_refused() -> None:
    """Both hold for an intent of that strategy on that symbol."""
    with pytest.raises(PolicyError, match="is above"):
        policy_of(scopes={"symbol:BTCUSDT": {"quantity_min": 5}, "strategy:s": {"quantity_max": 4}})


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_mode_that_is_accepted_has_an_effect(mode: str) -> None:
    """Either the control can be observed, or the policy that says so is refused."""
    policy: dict[str, Json] = {"min_position_size_usd": 500.0, "quantity_max": 4.0}
    with pytest.raises(PolicyError):
        policy_of(policy, modes={R.BELOW_MINIMUM_AFTER_REDUCTION.value: mode})


def test_a_repeated_close_is_a_duplicate_without_a_policy_too() -> None:
    """A close is refused as malformed or as a duplicate, whatever else is missing."""
    book_of, fields = Book(300 * SECOND), without(intent_fields(action="close", intent_id="a"), "price")
    kinds = []
    for sequence in (1, 2):
        decision = decide("main", receipt_of(fields, sequence=sequence), book_of, None, START)
        remembered = remember(decision)
        assert remembered is not None
        book_of.fold(remembered)
        kinds.append(decision.verdict.kind.value)
    assert kinds == ["approved", "blocked"]


def test_a_policy_from_the_future_is_refused() -> None:
    """Beyond the tolerated skew a policy's own time is as doubtful as a market fact's."""
    assert codes(judge(case_of(policy_as_of=START + 3600 * SECOND))) == [R.POLICY_UNAVAILABLE]


# Defects found in the mended judgement; each fails until it is mended.


def defect(number: str, what: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, reason=f"{number}: {what}")


def promotion(gate: Gate, second: int, strategy_id: str, **fields: Json) -> None:
    """An opposite entry of ``strategy_id`` that is promoted."""
    assert gate.fresh(second, action="sell", strategy_id=strategy_id, **fields) == "approved"


def test_a_rival_of_a_weighted_timeframe_is_not_hidden_by_one_of_another() -> None:
    """0.6 x 3 prevails over 0.8 x 1.1, whether or not a stronger one of an unweighted timeframe came after it."""
    weights: dict[str, Json] = {"7m": 3, "2h": 1.1}
    weighted: dict[str, Json] = {"timeframe_conflict_resolution": "weighted_average", "timeframe_weights": weights}
    gate = Gate({**ONE_WAY, "strategy_weights": {}, **weighted})
    promotion(gate, 0, "weighted", confidence=0.6, timeframe="7m")
    promotion(gate, 1, "unweighted", confidence=0.7, timeframe="9m")
    assert gate.fresh(2, timeframe="2h") == "SIGNAL_CONFLICT"


def test_first_come_names_the_first() -> None:
    """Where the earlier stands, the intent is told the earliest that it stands against."""
    gate = Gate({**ONE_WAY, "signal_conflict_resolution": "first_come_first_served"})
    promotion(gate, 0, "first", confidence=0.6)
    promotion(gate, 1, "second", confidence=0.9)
    body = intent_of(intent_fields(timestamp=iso(START + 2 * SECOND)))
    facts = gate.book.facts(body, gate.policy.limits("BTCUSDT", "momo", Side.LONG), START + 2 * SECOND)
    (reason,) = judge(case_of(policy=gate.policy, book=facts, now=START + 2 * SECOND)).reasons
    assert dict(reason.numbers)["against_strategy"] == "first"


def test_a_scope_that_ends_in_a_colon_is_refused() -> None:
    """`symbol:BTCUSDT:` is never looked up, so a limit in it would hold nowhere."""
    with pytest.raises(PolicyError, match="unknown scope"):
        policy_of(scopes={"symbol:BTCUSDT:": {"enabled": False}})


@pytest.mark.parametrize("least", [None, "NaN", "Infinity", "-1"])
def test_required_filters_without_a_least_notional_are_missing(least: str | None) -> None:
    """As with mark and equity: a fresh answer that is no sound number refuses what adds risk."""
    state = market_state(min_notional=None if least is None else D(least))
    assert R.MARKET_STALE in codes(judge(case_of(policy=policy_of(required=("filters",)), market=state)))


def test_a_symbol_is_not_taken_for_a_side_of_another() -> None:
    """What is said of BTCUSDT's longs says nothing of a symbol of that name."""
    policy = policy_of(scopes={"symbol:BTCUSDT:LONG": {"enabled": False}})
    body = receipt_of(intent_fields(symbol="BTCUSDT:LONG", action="sell")).body
    assert body is not None
    assert R.SCOPE_DISABLED not in codes(judge(Case(body, policy, BookFacts(), START, START)))
