"""The endpoints that our models stand for, and what an answer of each looks like.

``marks`` are the fields that tell an answer from every other; all but ``may_lack`` of them must be there. ``foreign``
are fields of the same endpoint of other markets (spot, coin-margined): an answer that has all of one group is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any  # Any: what a model is, as a type form

from pydantic import TypeAdapter

from petrosa_cio.core.exchange import account_contracts as account
from petrosa_cio.core.exchange import contracts as market

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.core.exchange.shapes import Shape


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """A read-only endpoint. ``many``: its answer may be a list of what ``model`` describes."""

    path: str
    model: type[Shape] | None
    """None for bars, which have no field names."""
    marks: frozenset[str]
    may_lack: int = 1
    any_of: frozenset[str] = frozenset()
    """At least one of these must be there too."""
    foreign: tuple[frozenset[str], ...] = ()
    many: bool = True
    signed: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    """What a live probe asks; ``{symbol}`` stands for the symbol it looks at."""
    required: frozenset[str] = field(init=False)
    optional: frozenset[str] = field(init=False)
    one: TypeAdapter[object] = field(init=False, repr=False)
    several: TypeAdapter[object] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fields = self.model.model_fields if self.model is not None else {}
        names = {info.alias or name: info.is_required() for name, info in fields.items()}
        shape: Any = market.Kline if self.model is None else self.model
        object.__setattr__(self, "required", frozenset(name for name, needed in names.items() if needed))
        object.__setattr__(self, "optional", frozenset(name for name, needed in names.items() if not needed))
        object.__setattr__(self, "one", TypeAdapter(shape))
        object.__setattr__(self, "several", TypeAdapter(list[shape]))


def _fields(names: str) -> frozenset[str]:
    return frozenset(names.split())


TIME = Endpoint("/fapi/v1/time", market.ServerTime, _fields("serverTime"), may_lack=0, many=False)
EXCHANGE_INFO = Endpoint(
    "/fapi/v1/exchangeInfo",
    market.ExchangeInfo,
    _fields("symbols rateLimits exchangeFilters"),
    any_of=_fields("futuresType assets"),
    many=False,
)
PREMIUM_INDEX = Endpoint(
    "/fapi/v1/premiumIndex",
    market.PremiumIndex,
    _fields("markPrice indexPrice lastFundingRate nextFundingTime"),
    foreign=(_fields("pair"),),
)
BOOK_TICKER = Endpoint(
    "/fapi/v1/ticker/bookTicker",
    market.BookTicker,
    _fields("bidPrice bidQty askPrice askQty"),
    any_of=_fields("time lastUpdateId"),
    foreign=(_fields("pair"),),
)
KLINES = Endpoint("/fapi/v1/klines", None, frozenset(), query={"symbol": "{symbol}", "interval": "1m", "limit": "5"})
FUNDING_RATE = Endpoint(
    "/fapi/v1/fundingRate",
    market.FundingRate,
    _fields("fundingRate fundingTime"),
    query={"symbol": "{symbol}", "limit": "5"},
)
DAY_TICKER = Endpoint(
    "/fapi/v1/ticker/24hr",
    market.DayTicker,
    _fields("priceChange priceChangePercent weightedAvgPrice lastQty"),
    foreign=(_fields("prevClosePrice bidPrice"), _fields("pair baseVolume")),
    query={"symbol": "{symbol}"},
)
PRICE_TICKER = Endpoint(
    "/fapi/v1/ticker/price",
    market.PriceTicker,
    _fields("price time"),
    may_lack=0,
    foreign=(_fields("ps"),),
    query={"symbol": "{symbol}"},
)
ACCOUNT_V2 = Endpoint(
    "/fapi/v2/account",
    account.AccountV2,
    _fields("canTrade totalWalletBalance assets positions"),
    any_of=_fields("feeTier canDeposit canWithdraw"),
    many=False,
    signed=True,
)
ACCOUNT_V3 = Endpoint(
    "/fapi/v3/account",
    account.AccountV3,
    _fields("totalWalletBalance totalMarginBalance assets positions"),
    many=False,
    signed=True,
)
POSITION_RISK_V2 = Endpoint(
    "/fapi/v2/positionRisk",
    account.PositionRiskV2,
    _fields("positionAmt liquidationPrice leverage marginType"),
    foreign=(_fields("maxQty"),),
    signed=True,
)
POSITION_RISK_V3 = Endpoint(
    "/fapi/v3/positionRisk",
    account.PositionRiskV3,
    _fields("positionAmt liquidationPrice positionInitialMargin marginAsset"),
    signed=True,
)
OPEN_ORDERS = Endpoint(
    "/fapi/v1/openOrders",
    account.OpenOrder,
    _fields("clientOrderId origQty cumQuote positionSide workingType"),
    foreign=(_fields("cummulativeQuoteQty"), _fields("cumQty"), _fields("cumBase")),
    signed=True,
)
INCOME = Endpoint(
    "/fapi/v1/income", account.Income, _fields("incomeType income tranId"), signed=True, query={"limit": "100"}
)

ENDPOINTS: tuple[Endpoint, ...] = (
    TIME,
    EXCHANGE_INFO,
    PREMIUM_INDEX,
    BOOK_TICKER,
    KLINES,
    FUNDING_RATE,
    DAY_TICKER,
    PRICE_TICKER,
    ACCOUNT_V2,
    ACCOUNT_V3,
    POSITION_RISK_V2,
    POSITION_RISK_V3,
    OPEN_ORDERS,
    INCOME,
)
"""In the order in which a live probe asks: the clock first, what needs keys last."""
