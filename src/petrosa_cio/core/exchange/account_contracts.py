"""What the exchange answers to the owner of an account. One model an endpoint, as of July 2026.

No such answer was recorded: the models follow what the official client and another maintained one document. Where the
two disagree about a field, it has a default here: present or not, it is no finding.
"""

from __future__ import annotations

from typing import Literal

from petrosa_cio.core.exchange.shapes import (
    Count,
    DecimalText,
    Moment,
    OrderType,
    PositionSide,
    Shape,
    Side,
    TimeInForce,
)


class _Balance(Shape):
    asset: str
    wallet_balance: DecimalText
    unrealized_profit: DecimalText
    margin_balance: DecimalText
    maint_margin: DecimalText
    initial_margin: DecimalText
    position_initial_margin: DecimalText
    open_order_initial_margin: DecimalText
    cross_wallet_balance: DecimalText
    cross_un_pnl: DecimalText
    available_balance: DecimalText
    max_withdraw_amount: DecimalText
    update_time: Moment


class BalanceV2(_Balance):
    """One asset of an account, as version 2 tells it."""

    margin_available: bool


class BalanceV3(_Balance):
    """One asset of an account, as version 3 tells it."""

    margin_available: bool = True


class HeldV2(Shape):
    """A position inside an account, as version 2 tells it."""

    symbol: str
    initial_margin: DecimalText
    maint_margin: DecimalText
    unrealized_profit: DecimalText
    position_initial_margin: DecimalText
    open_order_initial_margin: DecimalText
    leverage: DecimalText
    isolated: bool
    entry_price: DecimalText
    max_notional: DecimalText
    bid_notional: DecimalText
    ask_notional: DecimalText
    position_side: PositionSide
    position_amt: DecimalText
    update_time: Moment
    break_even_price: DecimalText = ""
    notional: DecimalText = ""
    isolated_wallet: DecimalText = ""


class HeldV3(Shape):
    """A position inside an account, as version 3 tells it."""

    symbol: str
    position_side: PositionSide
    position_amt: DecimalText
    unrealized_profit: DecimalText
    isolated_margin: DecimalText
    notional: DecimalText
    isolated_wallet: DecimalText
    initial_margin: DecimalText
    maint_margin: DecimalText
    update_time: Moment


class _Account(Shape):
    total_initial_margin: DecimalText
    total_maint_margin: DecimalText
    total_wallet_balance: DecimalText
    total_unrealized_profit: DecimalText
    total_margin_balance: DecimalText
    total_position_initial_margin: DecimalText
    total_open_order_initial_margin: DecimalText
    total_cross_wallet_balance: DecimalText
    total_cross_un_pnl: DecimalText
    available_balance: DecimalText
    max_withdraw_amount: DecimalText


class AccountV2(_Account):
    """``account`` version 2: permissions, totals, assets, positions."""

    fee_tier: Count
    fee_burn: bool = False
    can_trade: bool
    can_deposit: bool
    can_withdraw: bool
    update_time: Moment
    multi_assets_margin: bool
    trade_group_id: Count
    assets: list[BalanceV2]
    positions: list[HeldV2]


class AccountV3(_Account):
    """``account`` version 3: totals, assets, and those positions that are open."""

    assets: list[BalanceV3]
    positions: list[HeldV3]


class PositionRiskV2(Shape):
    """``positionRisk`` version 2: one for each symbol and side, open or not."""

    symbol: str
    position_amt: DecimalText
    entry_price: DecimalText
    break_even_price: DecimalText
    mark_price: DecimalText
    un_realized_profit: DecimalText
    liquidation_price: DecimalText
    leverage: DecimalText
    max_notional_value: DecimalText
    margin_type: Literal["isolated", "cross"]
    isolated_margin: DecimalText
    is_auto_add_margin: Literal["true", "false"]
    position_side: PositionSide
    notional: DecimalText
    isolated_wallet: DecimalText
    update_time: Moment


class PositionRiskV3(Shape):
    """``positionRisk`` version 3: only where there is a position or an order. Without leverage and margin type."""

    symbol: str
    position_side: PositionSide
    position_amt: DecimalText
    entry_price: DecimalText
    break_even_price: DecimalText
    mark_price: DecimalText
    un_realized_profit: DecimalText
    liquidation_price: DecimalText
    isolated_margin: DecimalText
    notional: DecimalText
    margin_asset: str
    isolated_wallet: DecimalText
    initial_margin: DecimalText
    maint_margin: DecimalText
    position_initial_margin: DecimalText
    open_order_initial_margin: DecimalText
    adl: Count
    bid_notional: DecimalText
    ask_notional: DecimalText
    update_time: Moment


class OpenOrder(Shape):
    """``openOrders``: an order that waits. The exchange's other lists of orders look the same."""

    symbol: str
    order_id: Count
    client_order_id: str
    status: Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"]
    price: DecimalText
    avg_price: DecimalText
    orig_qty: DecimalText
    executed_qty: DecimalText
    cum_quote: DecimalText
    time_in_force: Literal[TimeInForce, "GTE_GTC"]
    type: Literal[OrderType, "LIQUIDATION"]
    orig_type: Literal[OrderType, "LIQUIDATION"]
    reduce_only: bool
    close_position: bool
    side: Side
    position_side: PositionSide
    stop_price: DecimalText
    working_type: Literal["MARK_PRICE", "CONTRACT_PRICE"]
    price_protect: bool
    price_match: Literal[
        "NONE", "OPPONENT", "OPPONENT_5", "OPPONENT_10", "OPPONENT_20", "QUEUE", "QUEUE_5", "QUEUE_10", "QUEUE_20"
    ]
    self_trade_prevention_mode: Literal["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
    good_till_date: Count
    time: Moment
    update_time: Moment
    activate_price: DecimalText = ""
    price_rate: DecimalText = ""


class Income(Shape):
    """``income``: one movement of money; realised profit, funding, commission, transfer."""

    symbol: str
    income_type: Literal[
        "TRANSFER",
        "WELCOME_BONUS",
        "REALIZED_PNL",
        "FUNDING_FEE",
        "COMMISSION",
        "INSURANCE_CLEAR",
        "REFERRAL_KICKBACK",
        "COMMISSION_REBATE",
        "API_REBATE",
        "CONTEST_REWARD",
        "CROSS_COLLATERAL_TRANSFER",
        "OPTIONS_PREMIUM_FEE",
        "OPTIONS_SETTLE_PROFIT",
        "INTERNAL_TRANSFER",
        "AUTO_EXCHANGE",
        "DELIVERED_SETTELMENT",
        "COIN_SWAP_DEPOSIT",
        "COIN_SWAP_WITHDRAW",
        "POSITION_LIMIT_INCREASE_FEE",
        "STRATEGY_UMFUTURES_TRANSFER",
        "FEE_RETURN",
        "BFUSD_REWARD",
    ]
    income: DecimalText
    asset: str
    info: str
    time: Moment
    tran_id: Count
    trade_id: str
