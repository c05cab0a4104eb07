"""Answers of the exchange as they should be, written by hand from its documentation: one for each endpoint."""

from __future__ import annotations

import copy

T = 1_784_000_000_000
"""An instant of July 2026, in ms."""

Json = dict[str, object]

FILTERS: list[Json] = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "900000", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
    {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    {"filterType": "MIN_NOTIONAL", "notional": "50"},
    {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95", "multiplierDecimal": "4"},
    {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
]

CONTRACT: Json = {
    "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4_133_404_800_000,
    "onboardDate": 1_569_398_400_000, "status": "TRADING", "maintMarginPercent": "2.5", "requiredMarginPercent": "5.0",
    "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
    "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": ["PoW"],
    "triggerProtect": "0.05", "liquidationFee": "0.0125", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10_000,
    "filters": FILTERS,
    "orderTypes": [
        "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
    ],
    "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"], "permissionSets": ["GRID", "COPY"],
}  # fmt: skip

_TOTALS: Json = {
    "totalInitialMargin": "0.0", "totalMaintMargin": "0.0", "totalWalletBalance": "23.7", "totalUnrealizedProfit": "0",
    "totalMarginBalance": "23.7", "totalPositionInitialMargin": "0.0", "totalOpenOrderInitialMargin": "0.0",
    "totalCrossWalletBalance": "23.7", "totalCrossUnPnl": "0.0", "availableBalance": "23.7",
    "maxWithdrawAmount": "23.7",
}  # fmt: skip

_BALANCE: Json = {
    "asset": "USDT", "walletBalance": "23.7", "unrealizedProfit": "0", "marginBalance": "23.7", "maintMargin": "0",
    "initialMargin": "0", "positionInitialMargin": "0", "openOrderInitialMargin": "0", "crossWalletBalance": "23.7",
    "crossUnPnl": "0", "availableBalance": "23.7", "maxWithdrawAmount": "23.7", "updateTime": T,
}  # fmt: skip

ANSWERS: dict[str, object] = {
    "/fapi/v1/time": {"serverTime": T},
    "/fapi/v1/exchangeInfo": {
        "timezone": "UTC", "serverTime": T, "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [CONTRACT],
    },
    "/fapi/v1/premiumIndex": {
        "symbol": "BTCUSDT", "markPrice": "64000.1", "indexPrice": "64010.0", "estimatedSettlePrice": "64005.5",
        "lastFundingRate": "-0.00001", "interestRate": "0.0001", "nextFundingTime": T, "time": T,
    },
    "/fapi/v1/ticker/bookTicker": {
        "symbol": "BTCUSDT", "bidPrice": "64000.0", "bidQty": "1.5", "askPrice": "64000.1", "askQty": "0.2", "time": T,
        "lastUpdateId": 11_051_324_939_848,
    },
    "/fapi/v1/klines": [
        [T, "64000", "64100", "63900", "64050", "12.5", T + 59_999, "800000.5", 7, "6.1", "390000", "0"],
    ],
    "/fapi/v1/fundingRate": [
        {"symbol": "BTCUSDT", "fundingTime": T, "fundingRate": "0.00005", "markPrice": "63546.9"},
    ],
    "/fapi/v1/ticker/24hr": {
        "symbol": "BTCUSDT", "priceChange": "-95.1", "priceChangePercent": "-0.15", "weightedAvgPrice": "64010.2",
        "lastPrice": "64000.1", "lastQty": "0.2", "openPrice": "64095.2", "highPrice": "64500", "lowPrice": "63000",
        "volume": "8913.3", "quoteVolume": "570000000.5", "openTime": T - 86_400_000, "closeTime": T, "firstId": 28_385,
        "lastId": 28_460, "count": 76,
    },
    "/fapi/v1/ticker/price": {"symbol": "BTCUSDT", "price": "64000.1", "time": T},
    "/fapi/v2/account": {
        "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0,
        "multiAssetsMargin": False, "tradeGroupId": -1, **_TOTALS,
        "assets": [{**_BALANCE, "marginAvailable": True}],
        "positions": [
            {
                "symbol": "BTCUSDT", "initialMargin": "0", "maintMargin": "0", "unrealizedProfit": "0",
                "positionInitialMargin": "0", "openOrderInitialMargin": "0", "leverage": "20", "isolated": False,
                "entryPrice": "0.0", "maxNotional": "250000", "bidNotional": "0", "askNotional": "0",
                "positionSide": "BOTH", "positionAmt": "0", "updateTime": 0,
            },
        ],
    },
    "/fapi/v3/account": {
        **_TOTALS,
        "assets": [_BALANCE],
        "positions": [
            {
                "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "1.0", "unrealizedProfit": "0",
                "isolatedMargin": "0", "notional": "0", "isolatedWallet": "0", "initialMargin": "0", "maintMargin": "0",
                "updateTime": 0,
            },
        ],
    },
    "/fapi/v2/positionRisk": [
        {
            "symbol": "BTCUSDT", "positionAmt": "0.001", "entryPrice": "22185.2", "breakEvenPrice": "22190",
            "markPrice": "21123.05", "unRealizedProfit": "-1.06", "liquidationPrice": "19731.4", "leverage": "4",
            "maxNotionalValue": "100000000", "marginType": "cross", "isolatedMargin": "0", "isAutoAddMargin": "false",
            "positionSide": "LONG", "notional": "21.12", "isolatedWallet": "0", "updateTime": T,
        },
    ],
    "/fapi/v3/positionRisk": [
        {
            "symbol": "ADAUSDT", "positionSide": "BOTH", "positionAmt": "30", "entryPrice": "2.8E-4",
            "breakEvenPrice": "0.385077", "markPrice": "0.41", "unRealizedProfit": "0.76", "liquidationPrice": "0",
            "isolatedMargin": "0", "notional": "12.3", "marginAsset": "USDT", "isolatedWallet": "0",
            "initialMargin": "0.6", "maintMargin": "0.08", "positionInitialMargin": "0.6",
            "openOrderInitialMargin": "0", "adl": 2, "bidNotional": "0", "askNotional": "0", "updateTime": T,
        },
    ],
    "/fapi/v1/openOrders": [
        {
            "symbol": "BTCUSDT", "orderId": 1_917_641, "clientOrderId": "abc", "status": "NEW", "price": "0",
            "avgPrice": "0.0", "origQty": "0.40", "executedQty": "0", "cumQuote": "0", "timeInForce": "GTC",
            "type": "TRAILING_STOP_MARKET", "origType": "TRAILING_STOP_MARKET", "reduceOnly": False,
            "closePosition": False, "side": "BUY", "positionSide": "SHORT", "stopPrice": "9300",
            "workingType": "CONTRACT_PRICE", "priceProtect": False, "priceMatch": "NONE",
            "selfTradePreventionMode": "NONE", "goodTillDate": 0, "time": T, "updateTime": T, "activatePrice": "9020",
            "priceRate": "0.3",
        },
    ],
    "/fapi/v1/income": [
        {
            "symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.01", "asset": "USDT", "info": "",
            "time": T, "tranId": 9_689_322_392, "tradeId": "",
        },
    ],
}  # fmt: skip
"""One sound answer for each endpoint, by its path."""


def answer(path: str) -> object:
    """A copy of the sound answer of ``path``, to be changed at will."""
    return copy.deepcopy(ANSWERS[path])


def fields(path: str) -> Json:
    """The object in that answer: itself, or the first of its list."""
    found = answer(path)
    item = found[0] if isinstance(found, list) else found
    assert isinstance(item, dict)
    return item


def exchange_info(**contract: object) -> Json:
    """A sound ``exchangeInfo`` whose one symbol has these fields changed."""
    info = fields("/fapi/v1/exchangeInfo")
    info["symbols"] = [copy.deepcopy(CONTRACT) | contract]
    return info
