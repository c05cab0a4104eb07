"""What the exchange answers to anyone: its clock, its rules, its prices. One model an endpoint, as of July 2026.

The models follow answers recorded in July 2026, and where none was recorded the documentation of that time. A field
with a default is one that the exchange leaves out at times.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from petrosa_cio.core.exchange.shapes import Count, DecimalText, Moment, OrderType, Shape, TimeInForce


class ServerTime(Shape):
    """``time``: the exchange's clock."""

    server_time: Moment


class RateLimit(Shape):
    """How much may be asked or ordered in an interval."""

    rate_limit_type: Literal["REQUEST_WEIGHT", "ORDERS", "RAW_REQUESTS"]
    interval: Literal["SECOND", "MINUTE", "HOUR", "DAY"]
    interval_num: Count
    limit: Count


class MarginAsset(Shape):
    """An asset that margin can be given in."""

    asset: str
    margin_available: bool
    auto_asset_exchange: DecimalText


class PriceFilter(Shape):
    """Bounds and tick of a price, in quote asset."""

    filter_type: Literal["PRICE_FILTER"]
    min_price: DecimalText
    max_price: DecimalText
    tick_size: DecimalText


class LotSize(Shape):
    """Bounds and step of a quantity, in base asset; of market orders under its second name."""

    filter_type: Literal["LOT_SIZE", "MARKET_LOT_SIZE"]
    min_qty: DecimalText
    max_qty: DecimalText
    step_size: DecimalText


class MaxNumOrders(Shape):
    """How many orders may be open on a symbol."""

    filter_type: Literal["MAX_NUM_ORDERS"]
    limit: Count


class MinNotional(Shape):
    """The least an order may be worth, in quote asset."""

    filter_type: Literal["MIN_NOTIONAL"]
    notional: DecimalText


class PercentPrice(Shape):
    """How far a price may lie from the mark price, as factors."""

    filter_type: Literal["PERCENT_PRICE"]
    multiplier_up: DecimalText
    multiplier_down: DecimalText
    multiplier_decimal: DecimalText


class PositionRiskControl(Shape):
    """Which side of a position the exchange holds back."""

    filter_type: Literal["POSITION_RISK_CONTROL"]
    position_control_side: Literal["NONE", "LONG", "SHORT", "BOTH"]


Filter = Annotated[
    PriceFilter | LotSize | MaxNumOrders | MinNotional | PercentPrice | PositionRiskControl,
    Field(discriminator="filter_type"),
]


class Contract(Shape):
    """A symbol and its rules."""

    symbol: str
    pair: str
    contract_type: Literal[
        "PERPETUAL",
        "TRADIFI_PERPETUAL",
        "CURRENT_MONTH",
        "NEXT_MONTH",
        "CURRENT_QUARTER",
        "NEXT_QUARTER",
        "PERPETUAL_DELIVERING",
    ]
    delivery_date: Moment
    onboard_date: Moment
    status: Literal[
        "PENDING_TRADING",
        "TRADING",
        "PRE_DELIVERING",
        "DELIVERING",
        "DELIVERED",
        "PRE_SETTLE",
        "SETTLING",
        "CLOSE",
    ]
    maint_margin_percent: DecimalText
    required_margin_percent: DecimalText
    base_asset: str
    quote_asset: str
    margin_asset: str
    price_precision: Count
    quantity_precision: Count
    base_asset_precision: Count
    quote_precision: Count
    underlying_type: Literal["COIN", "INDEX", "PREMARKET", "COMMODITY", "EQUITY", "KR_EQUITY"]
    underlying_sub_type: list[str]
    trigger_protect: DecimalText
    liquidation_fee: DecimalText
    market_take_bound: DecimalText
    max_move_order_limit: Count
    filters: list[Filter]
    order_types: list[OrderType]
    time_in_force: list[TimeInForce]
    permission_sets: list[Literal["GRID", "DCA", "COPY", "PSB", "RPI"]]


class ExchangeInfo(Shape):
    """``exchangeInfo``: every symbol and every limit."""

    timezone: Literal["UTC"]
    server_time: Moment
    futures_type: Literal["U_MARGINED"]
    rate_limits: list[RateLimit]
    exchange_filters: list[str]
    assets: list[MarginAsset]
    symbols: list[Contract]


class PremiumIndex(Shape):
    """``premiumIndex``: mark price, index price and funding of a symbol."""

    symbol: str
    mark_price: DecimalText
    index_price: DecimalText
    estimated_settle_price: DecimalText
    last_funding_rate: DecimalText
    interest_rate: DecimalText
    next_funding_time: Moment
    time: Moment


class BookTicker(Shape):
    """``ticker/bookTicker``: best bid and ask of a symbol."""

    symbol: str
    bid_price: DecimalText
    bid_qty: DecimalText
    ask_price: DecimalText
    ask_qty: DecimalText
    time: Moment
    last_update_id: Count


KLINE_COLUMNS = (
    "openTime",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "closeTime",
    "quoteVolume",
    "count",
    "takerBuyVolume",
    "takerBuyQuoteVolume",
    "unused",
)
"""What stands where in a row of ``klines``; our names, the wire has none."""

# Strict tuples refuse the lists that JSON has; the fields stay strict.
Kline = Annotated[
    tuple[
        Annotated[Moment, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[Moment, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[Count, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[DecimalText, Field(strict=True)],
        Annotated[str, Field(strict=True)],
    ],
    Field(strict=False),
]
"""A row of ``klines``: one bar."""


class FundingRate(Shape):
    """``fundingRate``: what was paid at one funding time."""

    symbol: str
    funding_rate: DecimalText
    funding_time: Moment
    mark_price: DecimalText
    rate_type: str = ""


class DayTicker(Shape):
    """``ticker/24hr``: what a symbol did in the last 24 hours."""

    symbol: str
    price_change: DecimalText
    price_change_percent: DecimalText
    weighted_avg_price: DecimalText
    last_price: DecimalText
    last_qty: DecimalText
    open_price: DecimalText
    high_price: DecimalText
    low_price: DecimalText
    volume: DecimalText
    quote_volume: DecimalText
    open_time: Moment
    close_time: Moment
    first_id: Count
    last_id: Count
    count: Count


class PriceTicker(Shape):
    """``ticker/price``: the last price of a symbol."""

    symbol: str
    price: DecimalText
    time: Moment
