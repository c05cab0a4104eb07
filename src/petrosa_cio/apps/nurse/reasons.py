"""The closed vocabulary of "no".

Every refusal, reduction and would-be refusal carries one of these codes, its numbers and the sentence below.
The codes are wire and ledger vocabulary: they are never renamed or reused, only added.

``docs/reasons.md`` is generated from this table and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Code of a refusal. Declaration order is precedence: the order in which a verdict lists its reasons."""

    MALFORMED_INTENT = "MALFORMED_INTENT"
    DUPLICATE_INTENT = "DUPLICATE_INTENT"
    STALE_INTENT = "STALE_INTENT"
    FUTURE_INTENT = "FUTURE_INTENT"
    GOVERNANCE_TIMEOUT = "GOVERNANCE_TIMEOUT"
    POLICY_UNAVAILABLE = "POLICY_UNAVAILABLE"
    MARKET_STALE = "MARKET_STALE"
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    TRADING_HALTED = "TRADING_HALTED"
    REDUCING_ONLY = "REDUCING_ONLY"
    STRATEGY_LATCHED = "STRATEGY_LATCHED"
    MANUAL_APPROVAL = "MANUAL_APPROVAL"
    SCOPE_DISABLED = "SCOPE_DISABLED"
    RISK_DISABLED = "RISK_DISABLED"
    SYMBOL_NOT_ALLOWED = "SYMBOL_NOT_ALLOWED"
    SIDE_NOT_ALLOWED = "SIDE_NOT_ALLOWED"
    MODE_NOT_ALLOWED = "MODE_NOT_ALLOWED"
    STRATEGY_NOT_ALLOWED = "STRATEGY_NOT_ALLOWED"
    SYMBOL_NOT_TRADING = "SYMBOL_NOT_TRADING"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    STOP_MISSING = "STOP_MISSING"
    STOP_WRONG_SIDE = "STOP_WRONG_SIDE"
    TARGET_WRONG_SIDE = "TARGET_WRONG_SIDE"
    STOP_TOO_NEAR = "STOP_TOO_NEAR"
    STOP_TOO_FAR = "STOP_TOO_FAR"
    TARGET_TOO_NEAR = "TARGET_TOO_NEAR"
    TARGET_TOO_FAR = "TARGET_TOO_FAR"
    REWARD_TO_RISK = "REWARD_TO_RISK"
    PRICE_OUT_OF_RANGE = "PRICE_OUT_OF_RANGE"
    PRICE_COLLAR = "PRICE_COLLAR"
    SPREAD_TOO_WIDE = "SPREAD_TOO_WIDE"
    THIN_BOOK = "THIN_BOOK"
    ORDER_TOO_SMALL = "ORDER_TOO_SMALL"
    ORDER_TOO_LARGE = "ORDER_TOO_LARGE"
    POSITION_FRACTION = "POSITION_FRACTION"
    EXCHANGE_FILTER = "EXCHANGE_FILTER"
    MAX_CONCURRENT_POSITIONS = "MAX_CONCURRENT_POSITIONS"
    MAX_ORDERS = "MAX_ORDERS"
    PORTFOLIO_EXPOSURE = "PORTFOLIO_EXPOSURE"
    SYMBOL_CONCENTRATION = "SYMBOL_CONCENTRATION"
    CORRELATED_EXPOSURE = "CORRELATED_EXPOSURE"
    LEVERAGE_BOUND = "LEVERAGE_BOUND"
    PORTFOLIO_LEVERAGE = "PORTFOLIO_LEVERAGE"
    LIQUIDATION_NEAR = "LIQUIDATION_NEAR"
    DAILY_LOSS = "DAILY_LOSS"
    DRAWDOWN = "DRAWDOWN"
    STRATEGY_DRAWDOWN = "STRATEGY_DRAWDOWN"
    LOSS_STREAK = "LOSS_STREAK"
    COOLDOWN = "COOLDOWN"
    DAILY_TRADES = "DAILY_TRADES"
    ORDER_RATE = "ORDER_RATE"
    REPEATED_EXECUTION = "REPEATED_EXECUTION"
    ACCUMULATION_COOLDOWN = "ACCUMULATION_COOLDOWN"
    MAX_ACCUMULATIONS = "MAX_ACCUMULATIONS"
    SIGNAL_CONFLICT = "SIGNAL_CONFLICT"
    VOLATILITY = "VOLATILITY"
    REGIME_BLOCKED = "REGIME_BLOCKED"
    FUNDING_ADVERSE = "FUNDING_ADVERSE"
    BELOW_MINIMUM_AFTER_REDUCTION = "BELOW_MINIMUM_AFTER_REDUCTION"
    LEDGER_UNAVAILABLE = "LEDGER_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What a code means to a person."""

    sentence: str
    """One sentence an operator understands at night."""
    remedy: str
    """What a strategy author or operator can do about it."""
    always_on: bool = False
    """True for a safety control that no policy can switch off or merely observe."""


REASONS: dict[Reason, ReasonText] = {
    Reason.MALFORMED_INTENT: ReasonText(
        "The message is JSON but not a valid intent; every faulty field is named.",
        "Mend the named fields at the producer; nothing was guessed or corrected.",
        always_on=True,
    ),
    Reason.DUPLICATE_INTENT: ReasonText(
        "The same intent (its id, or strategy, symbol, action and timestamp) was already judged within the window.",
        "Send each intent once; give every new intent an id of its own.",
        always_on=True,
    ),
    Reason.STALE_INTENT: ReasonText(
        "The intent's own timestamp is older than the policy allows.",
        "Check the producer's clock and queues; a fresh intent is judged afresh.",
        always_on=True,
    ),
    Reason.FUTURE_INTENT: ReasonText(
        "The intent's own timestamp is ahead of our clock by more than the tolerated skew.",
        "Synchronise the producer's clock.",
        always_on=True,
    ),
    Reason.GOVERNANCE_TIMEOUT: ReasonText(
        "The hard timeout had passed since the intent arrived when it came to be judged.",
        "Look at gate latency and backlog; the strategy may submit a fresh intent.",
        always_on=True,
    ),
    Reason.POLICY_UNAVAILABLE: ReasonText(
        "No policy, or only one that is too old, was at hand.",
        "Restore the policy source; until then only risk-reducing intents pass.",
        always_on=True,
    ),
    Reason.MARKET_STALE: ReasonText(
        "A market fact that this policy requires is absent, stale or not a number.",
        "Restore the market feed, or do not require the fact.",
        always_on=True,
    ),
    Reason.ACCOUNT_UNKNOWN: ReasonText(
        "An account fact that this policy requires is absent, stale or not a number.",
        "Restore the account feed, or do not require the fact.",
        always_on=True,
    ),
    Reason.TRADING_HALTED: ReasonText(
        "Trading of this book is halted, by an operator or a red line: entries are blocked, exits live, until an "
        "operator lifts it.",
        "A named operator resumes the book (`petrosa-cio state resume`), or lifts the latch that is named "
        "(`petrosa-cio latch lift`).",
        always_on=True,
    ),
    Reason.REDUCING_ONLY: ReasonText(
        "This book accepts only intents that reduce risk, by the word of an operator or after a red line.",
        "Wait until the instant that is named, or let an operator resume the book or lift the latch.",
        always_on=True,
    ),
    Reason.STRATEGY_LATCHED: ReasonText(
        "A red line has disabled this strategy: its entries are blocked, its exits live, until an operator lifts it.",
        "Find out what went wrong with the strategy; a named operator lifts it (`petrosa-cio latch lift CODE "
        "--strategy ID`).",
        always_on=True,
    ),
    Reason.MANUAL_APPROVAL: ReasonText(
        "The policy lets nothing enter here without an operator.",
        "An operator submits the intent afresh.",
    ),
    Reason.SCOPE_DISABLED: ReasonText(
        "Trading is switched off in this scope.", "Set `enabled` for the global, symbol, strategy or side scope."
    ),
    Reason.RISK_DISABLED: ReasonText(
        "Risk management is switched off in this scope, so nothing may enter.",
        "Set `risk_management_enabled`; a scope without risk management is a scope without trading.",
    ),
    Reason.SYMBOL_NOT_ALLOWED: ReasonText(
        "The symbol is not on the list of allowed symbols.", "Add it to `allowed_symbols`."
    ),
    Reason.SIDE_NOT_ALLOWED: ReasonText(
        "Longs or shorts are not allowed here.", "See `enabled_sides`, `enable_longs`, `enable_shorts`."
    ),
    Reason.MODE_NOT_ALLOWED: ReasonText(
        "The strategy mode is not on the list of allowed modes.", "Add it to `allowed_modes`."
    ),
    Reason.STRATEGY_NOT_ALLOWED: ReasonText(
        "The strategy is not on the list of allowed strategies.", "Add it to `allowed_strategies`."
    ),
    Reason.SYMBOL_NOT_TRADING: ReasonText(
        "The exchange does not trade this symbol now (settling, delisted or unknown).", "Drop the symbol."
    ),
    Reason.LOW_CONFIDENCE: ReasonText(
        "The intent's confidence is under the floor (the engine itself drops deterministic signals under 0.6).",
        "Raise the strategy's conviction or lower `min_confidence_threshold`.",
    ),
    Reason.STOP_MISSING: ReasonText(
        "The policy requires a stop-loss and the intent has none.", "Send `stop_loss` or `stop_loss_pct`."
    ),
    Reason.STOP_WRONG_SIDE: ReasonText(
        "The stop-loss is on the wrong side of the price: it would close, or lock in, at once.",
        "A buy's stop lies below price and current price, a sell's above both.",
    ),
    Reason.TARGET_WRONG_SIDE: ReasonText(
        "The take-profit is on the wrong side of the price.",
        "A buy's target lies above price and current price, a sell's below both.",
    ),
    Reason.STOP_TOO_NEAR: ReasonText("The stop-loss is nearer than allowed.", "See `sl_distance_min_pct`."),
    Reason.STOP_TOO_FAR: ReasonText("The stop-loss is farther than allowed.", "See `sl_distance_max_pct`."),
    Reason.TARGET_TOO_NEAR: ReasonText("The take-profit is nearer than allowed.", "See `tp_distance_min_pct`."),
    Reason.TARGET_TOO_FAR: ReasonText("The take-profit is farther than allowed.", "See `tp_distance_max_pct`."),
    Reason.REWARD_TO_RISK: ReasonText(
        "Target distance over stop distance, after costs, is too small.", "See `min_reward_to_risk`."
    ),
    Reason.PRICE_OUT_OF_RANGE: ReasonText(
        "The intent's price is outside the absolute or relative bounds.", "See the `price_*` parameters."
    ),
    Reason.PRICE_COLLAR: ReasonText(
        "The intent's price is too far from the mark price.", "See `slippage_tolerance_pct`."
    ),
    Reason.SPREAD_TOO_WIDE: ReasonText("The bid-ask spread is too wide.", "See `max_spread_bps`."),
    Reason.THIN_BOOK: ReasonText(
        "The order is too large a share of the best level of the book.", "See `max_book_share`."
    ),
    Reason.ORDER_TOO_SMALL: ReasonText(
        "The order is below the smallest size allowed.", "See `min_position_size_usd`, `quantity_min`."
    ),
    Reason.ORDER_TOO_LARGE: ReasonText(
        "The order is above the largest size allowed and is reduced to it.",
        "See `max_position_size_usd`, `quantity_max`.",
    ),
    Reason.POSITION_FRACTION: ReasonText(
        "The order is too large a share of equity and is reduced.", "See `max_position_size_pct`."
    ),
    Reason.EXCHANGE_FILTER: ReasonText(
        "The order breaks a filter of the exchange (step, tick, minimum notional).", "See `use_exchange_minimums`."
    ),
    Reason.MAX_CONCURRENT_POSITIONS: ReasonText("Too many positions are open.", "See `max_concurrent_positions`."),
    Reason.MAX_ORDERS: ReasonText(
        "Too many orders are open, in all or on this symbol.", "See `max_orders_global`, `max_orders_per_symbol`."
    ),
    Reason.PORTFOLIO_EXPOSURE: ReasonText(
        "Gross exposure over equity would exceed the limit; the order is reduced.",
        "See `max_portfolio_exposure_pct`.",
    ),
    Reason.SYMBOL_CONCENTRATION: ReasonText(
        "Exposure to one symbol would exceed the limit; the order is reduced.", "See `max_symbol_exposure_pct`."
    ),
    Reason.CORRELATED_EXPOSURE: ReasonText(
        "Exposure to symbols that move together would exceed the limit; the order is reduced.",
        "See `max_correlated_exposure_pct`.",
    ),
    Reason.LEVERAGE_BOUND: ReasonText(
        "The configured leverage exceeds the bound.", "See `leverage`, `max_leverage_bound`."
    ),
    Reason.PORTFOLIO_LEVERAGE: ReasonText(
        "The sum of leverage over open positions would exceed the cap.", "See `portfolio_leverage_cap`."
    ),
    Reason.LIQUIDATION_NEAR: ReasonText(
        "The position would be liquidated before, or too near to, its stop.", "See `min_liquidation_distance_pct`."
    ),
    Reason.DAILY_LOSS: ReasonText(
        "Red line: realised plus open loss since 00:00 UTC has reached the limit.", "See `max_daily_loss_pct`."
    ),
    Reason.DRAWDOWN: ReasonText(
        "Red line: the fall from the equity peak has reached the limit.", "See `max_drawdown_pct`."
    ),
    Reason.STRATEGY_DRAWDOWN: ReasonText(
        "This strategy's fall from its own peak has reached the limit.", "See `max_strategy_drawdown_pct`."
    ),
    Reason.LOSS_STREAK: ReasonText("Too many losses in a row.", "See `max_consecutive_losses`."),
    Reason.COOLDOWN: ReasonText("A stop-out happened too recently.", "See `stop_cooldown_seconds`."),
    Reason.DAILY_TRADES: ReasonText(
        "The number of promotions of this UTC day has reached the limit of the scope that set it.",
        "See `max_daily_trades`.",
    ),
    Reason.ORDER_RATE: ReasonText(
        "The number of promotions in the last minute has reached the limit of the scope that set it.",
        "See `max_orders_per_minute`.",
    ),
    Reason.REPEATED_EXECUTION: ReasonText(
        "Red line: too many promotions of this strategy in a row were not filled, or too many of its trades in a row "
        "lost.",
        "See `max_unfilled_promotions`; it latches the strategy until an operator lifts it.",
    ),
    Reason.ACCUMULATION_COOLDOWN: ReasonText(
        "The same strategy entered this symbol and side too recently.", "See `accumulation_cooldown_seconds`."
    ),
    Reason.MAX_ACCUMULATIONS: ReasonText(
        "The same strategy has already entered this symbol and side as often as allowed.", "See `max_accumulations`."
    ),
    Reason.SIGNAL_CONFLICT: ReasonText(
        "A recent promotion on this symbol conflicts with this intent and prevails.",
        "See `signal_conflict_resolution`, `same_direction_conflict_resolution`, `conflict_window_ms`.",
    ),
    Reason.VOLATILITY: ReasonText(
        "Volatility is above the threshold: the order is reduced, then blocked.",
        "See `volatility_scale_threshold`, `volatility_block_threshold`.",
    ),
    Reason.REGIME_BLOCKED: ReasonText("The market regime is on the scope's list.", "See `blocked_regimes`."),
    Reason.FUNDING_ADVERSE: ReasonText("Funding to be paid is too large.", "See `max_adverse_funding_bps`."),
    Reason.BELOW_MINIMUM_AFTER_REDUCTION: ReasonText(
        "The size left after a reduction is below the minimum; the engine would raise it again.",
        "The reduction stands; the intent is blocked with the limits that cut it.",
        always_on=True,
    ),
    Reason.LEDGER_UNAVAILABLE: ReasonText(
        "The decision cannot be recorded, so nothing that adds risk is promoted.",
        "Restore the ledger; nothing is judged without it.",
        always_on=True,
    ),
}

ALWAYS_ON: frozenset[Reason] = frozenset(code for code, text in REASONS.items() if text.always_on)
"""Safety controls: their mode is always ``enforce``."""
