"""A Binance account, asked over HTTP: wallet, positions and orders as the exchange tells them, whole or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders_exchange import answer, fields
from exchange_server import KEY, SECRET, SIGNED, Exchange, exchange
from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.core import clock
from petrosa_cio.core.exchange.account import BinanceAccount
from petrosa_cio.core.exchange.binance import Binance, Keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.core.exchange.polled import Polled

ACCOUNT, ACCOUNT_3 = "/fapi/v2/account", "/fapi/v3/account"
RISK, RISK_3, ORDERS, TIME = "/fapi/v2/positionRisk", "/fapi/v3/positionRisk", "/fapi/v1/openOrders", "/fapi/v1/time"
NOT_FOUND = b"<html><title>404 Not Found</title></html>"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def played() -> Iterator[Exchange]:
    """An exchange with no open orders; its clock is right."""
    with exchange() as found:
        found.say(ORDERS, [])
        yield found


def risk(**changed: object) -> dict[str, object]:
    return fields(RISK) | changed


def order(**changed: object) -> dict[str, object]:
    return fields(ORDERS) | {"positionSide": "BOTH", "type": "LIMIT", "price": "60000", "stopPrice": "0"} | changed


async def polled(played: Exchange) -> Polled:
    async with Binance(played.url, Keys(KEY, SECRET), now_ns=clock.now_ns) as opened:
        return await BinanceAccount(opened).report()


async def report(played: Exchange) -> AccountReport:
    found = await polled(played)
    assert found.report is not None, found.trouble
    return found.report


async def test_an_account_with_a_position(played: Exchange) -> None:
    """Wallet and open profit are the totals; a position has its notional at the mark and its liquidation price.

    0.001 x 21,123.05 = 21.12305.
    """
    before = clock.now_ns()
    found = await report(played)
    held = Position(
        "BTCUSDT", Side.LONG, Decimal("0.001"), Decimal("22185.2"), Decimal("21.12305"), Decimal(4), Decimal("19731.4")
    )
    assert found == AccountReport("binance", found.as_of, Decimal("23.7"), Decimal(0), (held,), ())
    assert before <= found.as_of <= clock.now_ns()
    assert played.asked == [TIME, ACCOUNT, RISK, ORDERS]
    assert {request.method for request in played.requests} == {"GET"}
    assert {request.path for request in played.requests if request.key} <= SIGNED


@pytest.mark.parametrize(
    ("amount", "told", "side"),
    [("2", "BOTH", Side.LONG), ("-2", "BOTH", Side.SHORT), ("2", "LONG", Side.LONG), ("-2", "SHORT", Side.SHORT)],
)
async def test_sides_in_one_way_and_hedge_mode(played: Exchange, amount: str, told: str, side: Side) -> None:
    """One-way mode signs the quantity; hedge mode names the side as well. A price of 0 is no liquidation price."""
    played.say(RISK, [risk(positionAmt=amount, positionSide=told, markPrice="10", liquidationPrice="0")])
    (held,) = (await report(played)).positions or ()
    assert (held.side, held.quantity, held.notional, held.liquidation_price) == (side, Decimal(2), Decimal(20), None)


async def test_both_sides_of_one_symbol(played: Exchange) -> None:
    """In hedge mode a symbol has two positions; what is flat is none."""
    flat = risk(symbol="ETHUSDT", positionAmt="0.000", positionSide="BOTH", entryPrice="0.0", liquidationPrice="0")
    played.say(RISK, [risk(), risk(positionAmt="-3", positionSide="SHORT"), flat])
    held = (await report(played)).positions or ()
    assert [(one.side, one.quantity) for one in held] == [(Side.LONG, Decimal("0.001")), (Side.SHORT, Decimal(3))]


@pytest.mark.parametrize(
    ("changed", "side", "quantity", "notional", "reduces"),
    [
        ({"side": "BUY", "origQty": "0.40", "executedQty": "0.15"}, Side.LONG, "0.25", "15000", False),
        ({"side": "SELL", "origQty": "0.4"}, Side.SHORT, "0.4", "24000", False),
        ({"side": "SELL", "origQty": "1", "reduceOnly": True}, Side.SHORT, "1", "60000", True),
        ({"side": "SELL", "origQty": "0", "closePosition": True, "price": "0", "stopPrice": "9300"}, Side.SHORT, "0",
         "0", True),
        ({"side": "BUY", "origQty": "2", "price": "0", "stopPrice": "9300"}, Side.LONG, "2", "18600", False),
        ({"side": "BUY", "origQty": "2", "price": "0"}, Side.LONG, "2", "42246.10", False),
        ({"side": "BUY", "origQty": "1", "positionSide": "LONG"}, Side.LONG, "1", "60000", False),
        ({"side": "BUY", "origQty": "1", "positionSide": "SHORT"}, Side.LONG, "1", "60000", True),
        ({"side": "SELL", "origQty": "1", "positionSide": "LONG"}, Side.SHORT, "1", "60000", True),
    ],
)  # fmt: skip
async def test_an_order_that_waits(
    played: Exchange, changed: dict[str, object], side: Side, quantity: str, notional: str, reduces: bool
) -> None:
    """What is left of it, at its limit, else its trigger, else the mark; what can only close says so."""
    played.say(ORDERS, [order(**changed)])
    expected = OpenOrder("BTCUSDT", side, Decimal(quantity), Decimal(notional), Decimal(4), reduces)
    assert (await report(played)).orders == (expected,)


async def test_version_3_where_version_2_is_withdrawn(played: Exchange) -> None:
    """Leverage is notional over initial margin: 12.3 / 0.6 = 20.5, to a whole number 20."""
    played.say(ACCOUNT, NOT_FOUND, 404)
    played.say(RISK, NOT_FOUND, 404)
    async with Binance(played.url, Keys(KEY, SECRET), now_ns=clock.now_ns) as opened:
        account = BinanceAccount(opened)
        found = (await account.report()).report
        assert found is not None
        (held,) = found.positions or ()
        assert (held.symbol, held.leverage, held.notional) == ("ADAUSDT", Decimal(20), Decimal("12.30"))
        played.requests.clear()
        assert (await account.report()).report is not None
    assert played.asked == [ACCOUNT_3, RISK_3, ORDERS]


async def test_what_is_new_in_an_answer_does_not_blind_us(played: Exchange) -> None:
    """A field or a word that our models do not know is the probe's business."""
    played.say(ACCOUNT, {**fields(ACCOUNT), "brandNew": 1})
    played.say(ORDERS, [order(type="TWAP", origQty="1", side="BUY")])
    assert len((await report(played)).orders or ()) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (ACCOUNT, {name: value for name, value in fields(ACCOUNT).items() if name != "totalWalletBalance"}),
        (ACCOUNT, fields(ACCOUNT) | {"totalWalletBalance": 23.7}),
        (ACCOUNT, fields(ACCOUNT) | {"totalWalletBalance": "NaN"}),
        (RISK, [risk(positionAmt=None)]),
        (RISK, [risk(positionAmt="2", positionSide="SHORT")]),
        (RISK, [risk(entryPrice="0")]),
        (RISK, [risk(markPrice="-1")]),
        (RISK, [risk(symbol="")]),
        (ORDERS, [order(executedQty="9")]),
        (ORDERS, [order(side="BOUGHT")]),
        (ORDERS, [order(positionSide="UP")]),
        (ORDERS, [order(symbol="ETHUSDT", price="0")]),
        (ORDERS, {"code": -1003, "msg": "Too many requests."}),
        (RISK, b"<html>"),
        (RISK, b""),
    ],
    ids=lambda value: str(value)[:10],
)
async def test_an_account_is_read_whole_or_not_at_all(played: Exchange, path: str, body: object) -> None:
    """A field that is gone or another, a contradiction, an error or a page: no report, and why."""
    played.say(path, body)
    found = await polled(played)
    assert found.report is None
    assert found.trouble
    assert KEY not in found.trouble
    assert SECRET not in found.trouble


@pytest.mark.parametrize(("status", "headers", "wait"), [(429, {"Retry_After": "11"}, 11), (418, {}, 60), (503, {}, 0)])
async def test_a_refusal_says_how_long_to_wait(
    played: Exchange, status: int, headers: dict[str, str], wait: float
) -> None:
    """What the exchange names, else a minute; nothing is asked after a refusal."""
    played.say(RISK, b"{}", status, **headers)
    found = await polled(played)
    assert (found.report, found.wait_seconds) == (None, wait)
    assert ORDERS not in played.asked


async def test_the_weight_of_the_minute_is_left_to_the_engine(played: Exchange) -> None:
    """At 80 % of 2,400 the next look comes as usual, above it after a minute; the report is told all the same."""
    played.weight = 1920
    assert (await polled(played)).wait_seconds == 0
    played.weight = 1921
    found = await polled(played)
    assert found.report is not None
    assert found.wait_seconds == 60


async def test_a_clock_that_is_off_is_allowed_for(played: Exchange) -> None:
    """The exchange's clock is measured first, and measured anew when it refuses what we stamp."""
    played.clock_ms = 30_000
    async with Binance(played.url, Keys(KEY, SECRET), now_ns=clock.now_ns) as opened:
        account = BinanceAccount(opened)
        assert (await account.report()).report is not None
        played.clock_ms = -30_000
        assert (await account.report()).report is None
        assert (await account.report()).report is not None


async def test_an_exchange_that_is_away(played: Exchange) -> None:
    """No answer is trouble, never an exception; wrong keys are named as such."""
    async with Binance("http://127.0.0.1:1", Keys(KEY, SECRET), now_ns=clock.now_ns) as opened:
        found = await BinanceAccount(opened).report()
        assert (found.report, found.trouble) == (None, "/fapi/v1/time: ConnectError")
    async with Binance(played.url, Keys(KEY, "wrong"), now_ns=clock.now_ns) as opened:
        assert "signature" in (await BinanceAccount(opened).report()).trouble


def test_the_answers_of_these_tests_are_those_of_the_models() -> None:
    """The built risk and order differ from the modelled answers in values alone."""
    for built, path in ((risk(), RISK), (order(), ORDERS)):
        found = answer(path)
        assert isinstance(found, list)
        assert built.keys() == found[0].keys()
