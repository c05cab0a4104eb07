"""`serve` with a market and an account: under the default policy, which requires every fact, what is sound passes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from harness import Process, codes, intent_bytes, ledger, of_kind, ours, prepared_link, until

from builders_market import MS, mark_event, quote_event
from engine_server import EngineServer, account, engine_server
from market_server import MarketExchange, market_exchange
from petrosa_cio.core import clock
from petrosa_cio.core.nats.together import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harness import NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.link import Link

RULES: dict[str, Json] = {
    "max_market_age_seconds": 3,
    "max_account_age_seconds": 3,
    "governance_timeout_ms": 60_000,
    "max_orders_per_symbol": 1000,
    "max_orders_global": 1000,
    "max_daily_trades": 1000,
    "max_orders_per_minute": 1000,
}
"""Facts that age fast, so that nobody has to wait for them to be old; neither a slow machine nor counts are tested."""


@dataclass
class Fund:
    """A fund that runs: exchange and engine are played, everything else is real."""

    exchange: MarketExchange
    engine: EngineServer
    client: Client
    link: Link
    telling: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is set the exchange tells mark and book four times a second."""
    sent: int = 0

    async def tell(self) -> None:
        """The exchange's streams, for ever."""
        while True:
            await self.telling.wait()
            moment = clock.now_ns() // MS
            self.exchange.now_ms = moment
            with contextlib.suppress(KeyError, OSError):
                await self.exchange.say("market", mark_event(moment))
                await self.exchange.say("public", quote_event(moment))
            await asyncio.sleep(0.25)

    async def decided(self, action: str = "buy") -> dict[str, Json]:
        """The decision on a sound intent that is published now."""
        self.sent += 1
        name = f"{action}-{self.sent}"
        body = intent_bytes(action=action, intent_id=name, price=100.2, quantity=1.0, stop_loss=98.0, take_profit=106.0)
        await self.client.jetstream().publish("intent.trading.btc", body)
        found: list[dict[str, Json]] = []

        async def judged() -> bool:
            found[:] = [one for one in of_kind(await ledger(self.link), "decision") if one["intent_id"] == name]
            return bool(found)

        async with asyncio.timeout(20):
            while not await judged():
                await asyncio.sleep(0.02)
        return found[0]

    async def entries_are(self, verdict: str, code: str | None = None) -> dict[str, Json]:
        """Send entries until one is judged so; each is sent once, so none is a repeat."""
        async with asyncio.timeout(40):
            while True:
                decision = await self.decided()
                if decision["verdict"] == verdict and (code is None or code in codes(decision)):
                    return decision
                await asyncio.sleep(0.3)


@pytest.fixture
async def fund(nats_server: NatsServer, client: Client, tmp_path: Path) -> AsyncIterator[Fund]:
    """`serve` on the sources that its settings name, with the policy that production begins with."""
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"scopes": {"global": RULES}}))
    async with market_exchange() as exchange, prepared_link(nats_server.url) as link:
        exchange.now_ms = clock.now_ns() // MS
        with engine_server() as engine:
            engine.positions = []
            engine.account = account(total_balance_usdt=1_000_000.0, balances={})
            settings = {
                "CIO_NATS_URL": nats_server.url,
                "CIO_DATA_DIR": str(tmp_path / "data"),
                "CIO_POLICY_FILE": str(policy),
                "CIO_MARKET_SOURCE": "binance",
                "CIO_SYMBOLS": "BTCUSDT",
                "CIO_BINANCE_URL": exchange.rest_url,
                "CIO_BINANCE_STREAM_URL": exchange.stream_url,
                "CIO_ACCOUNT_SOURCE": "engine",
                "CIO_ENGINE_URL": engine.url,
                "CIO_ACCOUNT_POLL_SECONDS": "1",
            }
            serve = Process(ours("serve"), tmp_path / "serve.log", settings).start()
            fund = Fund(exchange, engine, client, link)
            fund.telling.set()
            telling = asyncio.create_task(fund.tell())
            try:
                await until(lambda: "judging book main" in serve.text(), "serve is judging", 40)
                yield fund
            finally:
                await end(telling)
                serve.end()


async def test_production_passes_what_is_sound_and_refuses_what_nobody_knows(fund: Fund) -> None:
    """With every fact at hand an entry passes, judged by every control; as each is lost entries stop, and come back."""
    passed = await fund.entries_are("approved")
    assert passed["unevaluated"] == []
    assert passed["account"]["equity"] == "1000000.0"
    assert passed["market"]["mark"] == "100.2"

    fund.engine.say("/account", b"no", status=500)
    refused = await fund.entries_are("blocked", "ACCOUNT_UNKNOWN")
    assert "MARKET_STALE" not in codes(refused)
    assert (await fund.decided("close"))["verdict"] == "approved"
    fund.engine.raw.clear()
    await fund.entries_are("approved")

    fund.telling.clear()
    refused = await fund.entries_are("blocked", "MARKET_STALE")
    assert "ACCOUNT_UNKNOWN" not in codes(refused)
    assert (await fund.decided("close"))["verdict"] == "approved"
    fund.telling.set()
    await fund.entries_are("approved")
