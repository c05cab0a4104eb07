"""The simulated engine between signals and what it tells of them, over a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from harness import BOOK, intent, publish, stream_messages, until

from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, ExecutionKind, PromotedOrder
from petrosa_cio.bootstrap.simulated_engine import order_of, simulated_engine
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.account_facts import HeardAccount
from petrosa_cio.core.nats.together import end
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from harness import NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.happenings import Happening
    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.core.nats.link import Link

AT = 1_795_440_000_000_000_000


def signal(decision_id: str = "d-1", **fields: Json) -> bytes:
    """A signal as a gate publishes it."""
    return json.dumps({**intent(), "source": "petrosa-cio", "decision_id": decision_id, **fields}).encode()


@dataclass
class FillsAtOnce:
    """An account on which every order fills whole at its price, and whose wallet counts the fills."""

    orders: list[PromotedOrder] = field(default_factory=list)
    _happened: deque[Happening] = field(default_factory=deque)
    begun: int = 0

    def begin(self, after: int) -> None:
        self.begun += 1

    def promoted(self, order: PromotedOrder) -> None:
        self.orders.append(order)
        fill = Execution(
            ExecutionKind.FILLED,
            order.at,
            order.strategy_id,
            order_id=f"o-{len(self.orders)}",
            decision_id=order.decision_id,
            symbol=order.symbol,
            side=order.side or Side.LONG,
            quantity=order.quantity or Decimal(1),
            price=order.price,
            closes=order.side is None,
            pnl=Decimal(-2) if order.side is None else None,
            reason="oco_exit_stop_loss" if order.side is None else "simulated",
            stopped=order.side is None,
        )
        self._happened.append(fill)

    def due(self, now: Instant) -> Sequence[Happening]:
        if not self._happened:
            return ()
        given = [*self._happened, AccountReport("simulated", now, Decimal(len(self.orders)))]
        self._happened.clear()
        return given


@contextlib.asynccontextmanager
async def trading(link: Link, account: FillsAtOnce) -> AsyncIterator[list[str]]:
    logged: list[str] = []
    task = asyncio.create_task(simulated_engine(link, BOOK, account, lambda event, _: logged.append(event)))
    await until(lambda: account.begun == 1, "the account has begun")
    await link.flush()
    try:
        yield logged
    finally:
        await end(task)


async def test_signals_come_back_as_executions_and_a_report(link: Link, client: Client) -> None:
    """An entry on the bare subject and a close one token below: a gate hears both told as an engine tells them."""
    account, heard = FillsAtOnce(), HeardAccount(link, BOOK, "simulated", lambda *_: None)
    heard.begin(0)
    hearing = asyncio.create_task(heard.run())
    async with trading(link, account) as logged:
        await publish(client, [signal("d-1", strategy_id="Spread Liquidity")], "signals.trading")
        await publish(client, [signal("d-2", action="close", price=99.0)], "signals.trading.momentum_pulse")
        taken: list[Happening] = []

        def told() -> bool:
            taken.extend(heard.due(clock.now_ns()))
            return sum(isinstance(one, Execution) for one in taken) == 2 and isinstance(taken[-1], AccountReport)

        await until(told, "both fills and a report are heard")
    await end(hearing)
    first, second = (one for one in taken if isinstance(one, Execution))
    opened, closed = account.orders
    assert (opened.side, closed.side) == (Side.LONG, None)
    expected = Execution(
        ExecutionKind.FILLED, opened.at, "Spread Liquidity", "o-1", "d-1", "BTCUSDT", Side.LONG, Decimal(1),
        Decimal(100), reason="simulated", sequence=1,
    )  # fmt: skip
    assert first == expected
    assert second == replace(
        expected, at=closed.at, strategy_id="momentum_pulse", order_id="o-2", decision_id="d-2", price=Decimal(99),
        closes=True, stopped=True, pnl=Decimal(-2), reason="oco_exit_stop_loss", sequence=2,
    )  # fmt: skip
    assert taken[-1] == AccountReport("simulated", taken[-1].as_of, Decimal(2))  # type: ignore[union-attr]
    kept = await stream_messages(link, subjects.EXECUTIONS_STREAM)
    assert [one.subject for one in kept] == [
        "execution.events.Spread_Liquidity",
        "execution.events.momentum_pulse",
    ]
    assert logged == []


async def test_what_is_no_signal_is_counted_and_said_once(link: Link, client: Client) -> None:
    """Garbage beside a signal: that one is traded, and one line is written."""
    account = FillsAtOnce()
    async with trading(link, account) as logged:
        garbage = [b"\xff", b"[]", b"[" * 50_000, signal("d", symbol="btc"), signal("d", action="hold")]
        await publish(client, [*garbage, signal("d-9")], "signals.trading.x")
        await until(lambda: len(account.orders) == 1, "the signal is traded")
        assert account.orders[0].decision_id == "d-9"
        assert len(logged) == 1


async def test_what_could_not_be_told_is_told_when_the_bus_is_back(nats_server: NatsServer, link: Link) -> None:
    """A fill whose telling the server's death interrupts is stored after it is back, before what follows."""
    account = FillsAtOnce()
    async with trading(link, account):
        await link.publish("signals.trading", signal("d-1"))
        await link.flush()
        await until(lambda: len(account.orders) == 1, "the first is traded")
        nats_server.kill()
        await until(lambda: not link.connected, "the connection is lost")
        account.promoted(replace(account.orders[0], decision_id="d-2"))
        nats_server.restart()
        await asyncio.wait_for(link.stands(), 20)
        account.promoted(replace(account.orders[0], decision_id="d-3"))

        async def stored() -> list[str]:
            kept = await stream_messages(link, subjects.EXECUTIONS_STREAM)
            return [json.loads(one.data)["decision_id"] for one in kept]

        found: list[str] = []
        async with asyncio.timeout(20):
            while found[-1:] != ["d-3"]:
                with contextlib.suppress(BusError):
                    found = await stored()
                await asyncio.sleep(0.02)
        assert list(dict.fromkeys(found)) == ["d-1", "d-2", "d-3"]


@pytest.mark.parametrize(
    ("fields", "quantity", "notional"),
    [
        ({"quantity": 0.3}, "0.3", "30.0"),
        ({"quantity": 0.0}, None, None),
        ({"quantity": 0.0, "quote_quantity": 50.0}, "0.5", "50.0"),
        ({"quantity": 0.3, "position_size_pct": 0.1}, None, None),
        ({"quantity": 0.3, "position_size_pct": None, "quote_quantity": None}, "0.3", "30.0"),
    ],
)
def test_the_size_of_an_order(fields: dict[str, Json], quantity: str | None, notional: str | None) -> None:
    """A size in percent wins and is the engine's to work out, then the quantity, then quote over price 100."""
    order = order_of(signal(**fields), AT)
    assert order is not None
    assert order.quantity == (None if quantity is None else Decimal(quantity))
    assert order.notional == (None if notional is None else Decimal(notional))


@pytest.mark.parametrize(
    ("fields", "stop", "target"),
    [
        ({}, None, None),
        ({"stop_loss": 95.5, "take_profit": 120.0}, "95.5", "120.0"),
        ({"stop_loss_pct": 0.02, "take_profit_pct": 0.05}, "98", "105"),
        ({"action": "sell", "stop_loss_pct": 0.02, "take_profit_pct": 0.05}, "102", "95"),
        ({"action": "close", "stop_loss_pct": 0.02}, None, None),
    ],
)
def test_the_protection_of_an_order(fields: dict[str, Json], stop: str | None, target: str | None) -> None:
    """Levels as given, or that fraction away from price 100 on the side of loss and of profit."""
    order = order_of(signal(**fields), AT)
    assert order is not None
    assert (order.stop, order.target) == tuple(None if one is None else Decimal(one) for one in (stop, target))


def test_an_order_is_what_the_signal_says() -> None:
    """Ids, symbol, side, price and leverage; a leverage that is not told is 1."""
    order = order_of(signal("d-7", action="sell", recommended_leverage=3, price=None, current_price=50.0), AT)
    assert order == PromotedOrder(
        "d-7", "momentum_pulse", "BTCUSDT", Side.SHORT, AT, Decimal(50), Decimal(3), Decimal(1), Decimal(50)
    )
    plain = order_of(signal(), AT)
    assert plain is not None
    assert plain.leverage == 1


@pytest.mark.parametrize(
    "fields", [{"decision_id": None}, {"decision_id": 3}, {"price": None}, {"action": "up"}, {"symbol": "b"}], ids=str
)
def test_what_is_no_signal_is_no_order(fields: dict[str, Json]) -> None:
    """No decision, an entry without a price, an unknown action, no symbol; and bytes that are no JSON object."""
    assert order_of(json.dumps(json.loads(signal()) | fields).encode(), AT) is None
    assert [order_of(payload, AT) for payload in (b"", b"null", b"\xff")] == [None, None, None]
