"""The engine's REST interface, asked over HTTP: what is read of its account, and what is not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from engine_server import EngineServer, account, engine_server, position
from petrosa_cio.apps.nurse.facts import Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.core.exchange.binance import OtherMethod
from petrosa_cio.core.exchange.engine import Engine
from petrosa_cio.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.core.exchange.polled import Polled

NOW = 1_795_440_000_000_000_000


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[EngineServer]:
    with engine_server() as found:
        yield found


async def polled(server: EngineServer, seconds: float = 10.0) -> Polled:
    async with Engine(server.url, now_ns=lambda: NOW, timeout_seconds=seconds) as engine:
        return await engine.report()


async def report(server: EngineServer) -> AccountReport:
    found = (await polled(server)).report
    assert found is not None
    return found


async def test_wallet_positions_and_open_profit(server: EngineServer) -> None:
    """Wallet is the total balance, notional is at the mark: 0.5 x 60,000 + 250 for a long, 2 x 3,000 - 100 for a short.

    A leverage that is not told is taken as 1, which the notes say.
    """
    server.positions.append(
        position(
            symbol="ETHUSDT", side="SELL", quantity="2", avg_price="3000", unrealized_pnl="100", leverage=5,
            liquidation_price=3500, strategy_id=None,
        )
    )  # fmt: skip
    found = await polled(server)
    assert found.report == AccountReport(
        origin="engine",
        as_of=NOW,
        wallet=Decimal("5120.4"),
        unrealised=Decimal(350),
        positions=(
            Position("BTCUSDT", Side.LONG, Decimal("0.5"), Decimal(60000), Decimal(30250), Decimal(1),
                     strategy_id="momentum_pulse"),
            Position("ETHUSDT", Side.SHORT, Decimal(2), Decimal(3000), Decimal(5900), Decimal(5), Decimal(3500)),
        ),
    )  # fmt: skip
    assert found.notes == ("leverage is not told, and taken as 1: BTCUSDT",)
    assert server.asked == ["/account", "/positions?limit=500&offset=0"]


@pytest.mark.parametrize(
    ("given", "quantity", "entry", "side"),
    [
        ({"size": 0.25, "entry_price": 100, "side": "BUY"}, "0.25", "100", Side.LONG),
        ({"size": "0.25", "entry_price": "1e2", "side": "short"}, "0.25", "100", Side.SHORT),
        ({"quantity": -0.25, "avg_price": 100.5, "side": "SELL"}, "0.25", "100.5", Side.SHORT),
    ],
)
async def test_the_keys_a_position_may_have(
    server: EngineServer, given: dict[str, object], quantity: str, entry: str, side: Side
) -> None:
    """Either name of quantity and entry, either word of the side, numbers as text or not."""
    server.positions = [{"symbol": "BTCUSDT", **given}]
    (held,) = (await report(server)).positions or ()
    assert (held.quantity, held.entry, held.side) == (Decimal(quantity), Decimal(entry), side)
    assert held.notional == Decimal(quantity) * Decimal(entry)


async def test_open_profit_is_told_only_where_every_position_tells_it(server: EngineServer) -> None:
    """A sum that leaves one out would be no sum."""
    server.positions = [position(), position(symbol="ETHUSDT", unrealized_pnl=None)]
    assert (await report(server)).unrealised is None
    server.positions = []
    found = await report(server)
    assert (found.unrealised, found.positions) == (Decimal(0), ())


async def test_what_is_closed_is_no_position(server: EngineServer) -> None:
    """A told status other than open, and a quantity of 0, are left out, whatever else they hold."""
    server.positions = [
        position(status="closed", side="?"),
        position(quantity=0, avg_price=None),
        position(status="OPEN"),
    ]
    assert len((await report(server)).positions or ()) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"side": "UP"}, {"side": None}, {"symbol": "btc"}, {"symbol": None}, {"quantity": "a lot"}, {"quantity": True},
        {"quantity": -1}, {"quantity": float("nan")}, {"quantity": 10**30}, {"avg_price": 0}, {"avg_price": -5},
        {"avg_price": None}, {"unrealized_pnl": "?"}, {"unrealized_pnl": float("inf")}, {"leverage": 0.5},
        {"leverage": "x"}, {"liquidation_price": []}, {"status": 3},
    ],
    ids=str,
)  # fmt: skip
async def test_one_unreadable_position_makes_all_unknown(server: EngineServer, broken: dict[str, object]) -> None:
    """Never a partial list: positions and their profit are unknown, the reason is told, the wallet stands."""
    server.positions = [position(), position(**broken)]
    found = await polled(server)
    assert found.report is not None
    assert (found.report.positions, found.report.unrealised, found.report.wallet) == (None, None, Decimal("5120.4"))
    assert found.notes[0].startswith("no positions: ")


async def test_pages_are_read_to_the_end(server: EngineServer) -> None:
    """As many pages as there are; the offset is what has been read."""
    server.page, server.positions = 2, [position(symbol=f"C{number}USDT") for number in range(5)]
    found = await report(server)
    assert [held.symbol for held in found.positions or ()] == ["C0USDT", "C1USDT", "C2USDT", "C3USDT", "C4USDT"]
    assert [path.rpartition("=")[2] for path in server.asked[1:]] == ["0", "2", "4"]


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success", "data": [], "pagination": {"has_next": True, "total": 9}},
        {"status": "success", "data": [position()], "pagination": {"has_next": True, "total": 9}},
        {"status": "success", "data": [position()], "pagination": {"has_next": False, "total": 2}},
        {"status": "error", "data": []},
        {"status": "success", "data": {}},
        {"status": "success"},
        {"status": "success", "data": [[]]},
        {"status": "success", "data": [], "pagination": 7},
        [],
    ],
    ids=lambda body: json.dumps(body)[-60:],
)
async def test_a_list_that_is_not_whole_is_none(server: EngineServer, body: object) -> None:
    """Pages without end, a count that does not agree, a failure, another shape: positions are unknown."""
    server.say("/positions", json.dumps(body).encode())
    found = await polled(server)
    assert found.report is not None
    assert found.report.positions is None
    assert found.notes[0].startswith("no positions: ")


async def test_the_simulators_money_is_not_ours(server: EngineServer) -> None:
    """Where both hold something, the wallet is the exchange's own USDT, and the notes say so."""
    balances = {"binance": {"USDT": {"wallet_balance": 120.4}}, "simulator": {"USDT": {"free": "10000"}}}
    server.account = account(balances=balances, total_balance_usdt=10_120.4)
    found = await polled(server)
    assert found.report is not None
    assert found.report.wallet == Decimal("120.4")
    assert "simulator" in found.notes[0]
    balances["simulator"] = {"USDT": {"free": 0, "locked": "0.0", "asset": "USDT"}}
    server.account = account(balances=balances, total_balance_usdt=120.5)
    assert (await report(server)).wallet == Decimal("120.5")


async def test_another_account_than_before_is_no_report(server: EngineServer) -> None:
    """An engine that goes on with its simulator is not followed there, and is heard again when it is back."""
    simulated = account(balances={"binance": {}, "simulator": {"USDT": 10_000}}, total_balance_usdt=10_000)
    async with Engine(server.url, now_ns=lambda: NOW) as engine:
        assert (await engine.report()).report is not None
        server.account = simulated
        found = await engine.report()
        assert found.report is None
        assert "account of" in found.trouble
        server.account = account()
        assert (await engine.report()).report is not None
    assert (await report(server)).wallet == Decimal("5120.4")
    server.account = simulated
    assert (await report(server)).wallet == Decimal(10_000)


@pytest.mark.parametrize(
    "told",
    [
        {"total_balance_usdt": None}, {"total_balance_usdt": "NaN"}, {"total_balance_usdt": float("nan")},
        {"total_balance_usdt": True}, {"total_balance_usdt": 1e16}, {"balances": []}, {"balances": {"binance": 5}},
        {"balances": {"binance": {"error": "timeout"}}},
        {"balances": {"binance": {"USDT": {"wallet_balance": None}}, "simulator": {"USDT": 1}}},
        {"balances": {"binance": {"BNB": {"free": 1}}, "simulator": {"USDT": 1}}},
    ],
    ids=str,
)  # fmt: skip
async def test_without_a_wallet_there_is_no_report(server: EngineServer, told: dict[str, object]) -> None:
    """A balance that is missing or no number is told as trouble, and nothing is asked further."""
    server.account = account(**told)
    found = await polled(server)
    assert found.report is None
    assert found.trouble.startswith("/account: ")
    assert server.asked == ["/account"]


@pytest.mark.parametrize(
    ("body", "status", "headers", "trouble", "wait"),
    [
        (b"oops", 500, {}, "HTTP status 500", 0),
        (b"", 503, {"Retry_After": "17"}, "HTTP status 503", 17),
        (b"", 429, {"Retry_After": "999999"}, "HTTP status 429", 600),
        (b"", 429, {"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "HTTP status 429", 0),
        (b"", 307, {"Location": "http://127.0.0.1:1/"}, "HTTP status 307", 0),
        (b"<html>", 200, {}, "no JSON", 0),
        (b"\xff{}", 200, {}, "no JSON", 0),
        (b"[" * 100_000, 200, {}, "no JSON", 0),
        (b"[" * 900 + b"]" * 900, 200, {}, "the answer is no object", 0),
        (b'{"balances":{"simulator":' + b"[" * 900 + b"]" * 900 + b"}}", 200, {}, "total_balance_usdt is missing", 0),
        (b'"' + b"x" * 5_000_000 + b'"', 200, {}, "more than 4194304 bytes", 0),
        (b"null", 200, {}, "the answer is no object", 0),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_an_engine_that_fails(
    server: EngineServer, body: bytes, status: int, headers: dict[str, str], trouble: str, wait: float
) -> None:
    """Errors, redirects, garbage and floods are trouble that is named, with the pause that it asks for."""
    server.say("/account", body, status, **headers)
    found = await polled(server)
    assert (found.report, found.trouble, found.wait_seconds) == (None, f"/account: {trouble}", wait)


async def test_positions_that_cannot_be_asked_leave_the_wallet(server: EngineServer) -> None:
    """The report tells that they are unknown, and the pause that was asked for is kept."""
    server.say("/positions", b"", 503, Retry_After="9")
    found = await polled(server)
    assert found.report is not None
    assert (found.report.wallet, found.report.positions, found.wait_seconds) == (Decimal("5120.4"), None, 9)


async def test_a_slow_engine_is_given_up(server: EngineServer) -> None:
    """No answer within the time limit, and no engine at all, are trouble."""
    server.hold.clear()
    found = await polled(server, seconds=0.2)
    assert (found.report, found.wait_seconds) == (None, 0)
    assert "Timeout" in found.trouble
    gone = EngineServer("http://127.0.0.1:1")
    assert (await polled(gone)).trouble == "/account: ConnectError"


async def test_nothing_but_get_leaves(server: EngineServer) -> None:
    """Every other method is stopped before a byte leaves."""
    async with Engine(server.url, now_ns=lambda: NOW) as engine:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            with pytest.raises(OtherMethod):
                await engine.client.request(method, "/trade")
    assert server.asked == []


@pytest.mark.parametrize("url", ["engine:8000", "ftp://engine", "http://user:secret@engine:8000", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """The setting is named, and the address is not repeated: it may hold a password."""
    with pytest.raises(SettingsError, match="CIO_ENGINE_URL") as refused:
        Engine(url, now_ns=lambda: NOW)
    assert "secret" not in str(refused.value)
