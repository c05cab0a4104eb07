"""The table of controls: order is precedence. One row a control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.controls import admission, exposure, losses, market, pace, protection, size
from petrosa_cio.apps.nurse.facts import ACCOUNT_FACTS, MARKET_FACTS, Fact
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.case import Finding, Subject
    from petrosa_cio.apps.nurse.policy import Limits

Check: TypeAlias = "Callable[[Subject], Finding]"


@dataclass(frozen=True, slots=True)
class Control:
    """One row: the code it speaks, what checks it, and the facts without which it is unevaluated.

    Where none of the market, or nothing of the account, is known, a control that ``needs`` it is not even asked.
    ``idle`` tells of limits under which the check cannot fire, whatever the intent: no limit is set, a list is empty.
    A test holds it to the check.
    """

    code: Reason
    check: Check
    needs: tuple[Fact, ...] = ()
    idle: Callable[[Limits], bool] | None = None


def unset(name: str) -> Callable[[Limits], bool]:
    """Idle while number ``name`` is null."""
    return lambda limits: limits.number(name) is None


def empty(name: str) -> Callable[[Limits], bool]:
    """Idle while list ``name`` is empty: it allows all, or blocks none."""
    return lambda limits: not limits.words(name)


def off(name: str) -> Callable[[Limits], bool]:
    """Idle while switch ``name`` is off."""
    return lambda limits: not limits.flag(name)


def on(name: str) -> Callable[[Limits], bool]:
    """Idle while switch ``name`` is on."""
    return lambda limits: limits.flag(name)


def not_required(facts: frozenset[Fact]) -> Callable[[Limits], bool]:
    """Idle while none of ``facts`` is required."""
    return lambda limits: not limits.required & facts


def no_price_bounds(limits: Limits) -> bool:
    """Idle while no bound on the price is set."""
    names = ("price_min_absolute", "price_max_absolute", "price_min_relative_pct", "price_max_relative_pct")
    return all(limits.number(name) is None for name in names)


def nothing_conflicts(limits: Limits) -> bool:
    """Idle while both sides may be held at once and entries on one side add up."""
    hedged = limits.word("position_mode") == "hedge" and limits.flag("position_mode_aware_conflicts")
    return hedged and limits.word("same_direction_conflict_resolution") == "accumulate"


def uncapped(limits: Limits) -> bool:
    """Idle while the sum of leverage has no cap, which is written as 0."""
    return limits.number("portfolio_leverage_cap") == 0


TABLE: tuple[Control, ...] = (
    Control(Reason.STALE_INTENT, admission.stale),
    Control(Reason.FUTURE_INTENT, admission.future),
    Control(Reason.GOVERNANCE_TIMEOUT, admission.governance_timeout),
    Control(Reason.POLICY_UNAVAILABLE, admission.policy_age),
    Control(Reason.MARKET_STALE, admission.market_facts, idle=not_required(MARKET_FACTS)),
    Control(Reason.ACCOUNT_UNKNOWN, admission.account_facts, idle=not_required(ACCOUNT_FACTS)),
    Control(Reason.TRADING_HALTED, admission.halted),
    Control(Reason.REDUCING_ONLY, admission.reducing),
    Control(Reason.STRATEGY_LATCHED, admission.strategy_latched),
    Control(Reason.MANUAL_APPROVAL, admission.manual_approval, idle=off("require_manual_approval")),
    Control(Reason.SCOPE_DISABLED, admission.scope_enabled, idle=on("enabled")),
    Control(Reason.RISK_DISABLED, admission.risk_enabled, idle=on("risk_management_enabled")),
    Control(Reason.SYMBOL_NOT_ALLOWED, admission.symbol_allowed, idle=empty("allowed_symbols")),
    Control(Reason.SIDE_NOT_ALLOWED, admission.side_allowed),
    Control(Reason.MODE_NOT_ALLOWED, admission.mode_allowed),
    Control(Reason.STRATEGY_NOT_ALLOWED, admission.strategy_allowed, idle=empty("allowed_strategies")),
    Control(Reason.SYMBOL_NOT_TRADING, market.symbol_trading, (Fact.FILTERS,)),
    Control(Reason.LOW_CONFIDENCE, protection.confidence),
    Control(Reason.STOP_MISSING, protection.stop_present, idle=off("require_stop_loss")),
    Control(Reason.STOP_WRONG_SIDE, protection.stop_side),
    Control(Reason.TARGET_WRONG_SIDE, protection.target_side),
    Control(Reason.STOP_TOO_NEAR, protection.stop_near, idle=unset("sl_distance_min_pct")),
    Control(Reason.STOP_TOO_FAR, protection.stop_far, idle=unset("sl_distance_max_pct")),
    Control(Reason.TARGET_TOO_NEAR, protection.target_near, idle=unset("tp_distance_min_pct")),
    Control(Reason.TARGET_TOO_FAR, protection.target_far, idle=unset("tp_distance_max_pct")),
    Control(Reason.REWARD_TO_RISK, protection.reward_to_risk, idle=unset("min_reward_to_risk")),
    Control(Reason.PRICE_OUT_OF_RANGE, protection.price_range, idle=no_price_bounds),
    Control(Reason.PRICE_COLLAR, protection.price_collar, (Fact.MARK,)),
    Control(Reason.SPREAD_TOO_WIDE, market.spread, (Fact.BOOK,), unset("max_spread_bps")),
    Control(Reason.THIN_BOOK, market.thin_book, (Fact.BOOK,), unset("max_book_share")),
    Control(Reason.ORDER_TOO_SMALL, size.too_small),
    Control(Reason.ORDER_TOO_LARGE, size.too_large),
    Control(Reason.POSITION_FRACTION, size.position_fraction, (Fact.ACCOUNT,)),
    Control(Reason.EXCHANGE_FILTER, size.exchange_filter, (Fact.FILTERS,)),
    Control(Reason.MAX_CONCURRENT_POSITIONS, exposure.concurrent_positions, (Fact.ACCOUNT,)),
    Control(Reason.MAX_ORDERS, exposure.open_orders, (Fact.ACCOUNT,)),
    Control(Reason.PORTFOLIO_EXPOSURE, exposure.portfolio_exposure, (Fact.ACCOUNT,)),
    Control(Reason.SYMBOL_CONCENTRATION, exposure.symbol_concentration, (Fact.ACCOUNT,)),
    Control(Reason.CORRELATED_EXPOSURE, exposure.correlated_exposure, (Fact.ACCOUNT, Fact.BARS)),
    Control(Reason.LEVERAGE_BOUND, size.leverage_bound),
    Control(Reason.PORTFOLIO_LEVERAGE, exposure.portfolio_leverage, (Fact.ACCOUNT,), uncapped),
    Control(Reason.LIQUIDATION_NEAR, exposure.liquidation, (Fact.ACCOUNT, Fact.FILTERS)),
    Control(Reason.DAILY_LOSS, losses.daily_loss, (Fact.ACCOUNT,)),
    Control(Reason.DRAWDOWN, losses.drawdown, (Fact.ACCOUNT,)),
    Control(Reason.STRATEGY_DRAWDOWN, losses.strategy_drawdown, (Fact.ACCOUNT,)),
    Control(Reason.LOSS_STREAK, losses.loss_streak, (Fact.ACCOUNT,), unset("max_consecutive_losses")),
    Control(Reason.COOLDOWN, losses.cooldown, (Fact.ACCOUNT,), unset("stop_cooldown_seconds")),
    Control(Reason.DAILY_TRADES, pace.daily_trades),
    Control(Reason.ORDER_RATE, pace.order_rate),
    Control(Reason.REPEATED_EXECUTION, pace.repeated_execution, (Fact.ACCOUNT,), unset("max_unfilled_promotions")),
    Control(Reason.ACCUMULATION_COOLDOWN, pace.accumulation_cooldown, idle=unset("accumulation_cooldown_seconds")),
    Control(Reason.MAX_ACCUMULATIONS, pace.max_accumulations, idle=unset("max_accumulations")),
    Control(Reason.SIGNAL_CONFLICT, pace.signal_conflict, idle=nothing_conflicts),
    Control(Reason.VOLATILITY, market.volatility, (Fact.BARS,)),
    Control(Reason.REGIME_BLOCKED, market.regime, (Fact.BARS,), empty("blocked_regimes")),
    Control(Reason.FUNDING_ADVERSE, market.funding, (Fact.FUNDING,), unset("max_adverse_funding_bps")),
)
"""MALFORMED_INTENT and DUPLICATE_INTENT come before the table, since a ``close`` must answer to them too;
BELOW_MINIMUM_AFTER_REDUCTION comes after it; LEDGER_UNAVAILABLE is the gate's, where nothing can be recorded."""
