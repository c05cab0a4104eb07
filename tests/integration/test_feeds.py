"""The feeds process: the fleet's market, or the exchange's own, in; what gates know of it, out."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from harness import BOOK, DEADLINE, Process, eventually, ours, run_cli, until
from nats.errors import NoRespondersError

from builders_bars import MINUTE, T0
from builders_market import MS, SYMBOL, envelope, kline_event, mark_event, quote_event, trade_event
from market_server import contract, market_exchange
from petrosa_cio.apps.nurse.facts import Fact, MarketState
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.ports import PublishedPolicy
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.board import NatsBoard
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.nats.market_facts import HeardMarket, MarketTeller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from harness import NatsServer
    from nats.aio.client import Client

FLEET, FUTURES = "binance.websocket.data", "binance.futures.websocket.data"
NOWHERE = "http://127.0.0.1:9"
"""Nobody answers there: rules are not to be had."""


def feeds_process(server: NatsServer, directory: Path, **options: str) -> Process:
    chosen = {"nats-url": server.url, "book": BOOK, "binance-url": NOWHERE, **options}
    arguments = [part for name, value in chosen.items() for part in (f"--{name}", value)]
    governed = ("--governed",) if "source" in options else ()
    return Process(ours("feeds", *arguments, *governed), directory / "feeds.log").start()


@pytest.fixture
async def heard(nats_server: NatsServer) -> AsyncIterator[HeardMarket]:
    """What a gate hears, from before any feed is there."""
    link = await Link.open(nats_server.url, "gate of a test")
    market = HeardMarket(clock.now_ns)
    await market.listen(link)
    yield market
    await link.close()


def now_ms() -> int:
    return clock.now_ns() // MS


def known(market: HeardMarket, symbol: str = SYMBOL) -> MarketState:
    return market.state(symbol, clock.now_ns()) or MarketState(symbol)


async def fed(client: Client, frames: Callable[[], list[bytes]], holds: Callable[[], bool], what: str) -> None:
    """Publish ``frames`` as the fleet does, again and again with the time of now, until ``holds``."""

    async def look() -> bool:
        for frame in frames():
            await client.publish(FLEET, frame)
        return holds()

    await eventually(look, what)


async def test_what_the_fleet_tells_is_what_a_gate_knows(
    nats_server: NatsServer, client: Client, heard: HeardMarket, tmp_path: Path
) -> None:
    """Envelopes on either subject, garbage between them: mark, book, last price and funding arrive to the digit."""
    feeds = feeds_process(nats_server, tmp_path)
    try:
        await fed(
            client, lambda: [envelope(mark_event(now_ms(), "67411.9"))], lambda: bool(known(heard).mark), "a mark"
        )
        for garbage in (b"", b"{", b'{"data":{}}', envelope(quote_event(now_ms(), bid="NaN")), b"\xff" * 1000):
            await client.publish(FLEET, garbage)
        moment = now_ms()
        await client.publish(FUTURES, envelope(trade_event(moment, "67412.5")))
        await client.publish(FUTURES, envelope(mark_event(moment, "67411.8", r="0.00012500")))
        await client.publish(FUTURES, envelope(quote_event(moment, "67412.4", "67412.6")))
        await until(lambda: known(heard).ask is not None, "the book arrives")
        state = known(heard)
        assert (state.mark, state.last) == (Decimal("67411.8"), Decimal("67412.5"))
        assert (state.bid, state.bid_quantity) == (Decimal("67412.4"), Decimal("2.5"))
        assert (state.ask, state.ask_quantity) == (Decimal("67412.6"), Decimal("3.5"))
        assert state.funding_rate == Decimal("0.000125")
        assert state.next_funding_at == (moment // 28_800_000 + 1) * 28_800_000 * MS
        told = dict(state.as_of)
        assert told[Fact.BOOK] == told[Fact.MARK] == told[Fact.FUNDING] == moment * MS

        async def counted() -> bool:
            answer = await client.request(subjects.MARKET_SNAPSHOT, b"", timeout=DEADLINE)
            counts = json.loads(answer.data)["counts"]
            return bool(counts == {"not JSON": 3, "no event": 1, "a figure that cannot be": 1})

        await eventually(counted, "the garbage is counted, each by its kind")
    finally:
        feeds.end()


async def test_a_gate_that_starts_knows_at_once(
    nats_server: NatsServer, client: Client, heard: HeardMarket, tmp_path: Path
) -> None:
    """A gate that begins after the last change asks, and has all of it before it hears anything."""
    feeds = feeds_process(nats_server, tmp_path)
    try:
        await fed(client, lambda: [envelope(mark_event(now_ms()))], lambda: bool(known(heard).mark), "the feed works")
        link = await Link.open(nats_server.url, "late gate")
        late = HeardMarket(clock.now_ns)
        answer = await link.request(subjects.MARKET_SNAPSHOT, DEADLINE)
        assert answer is not None
        late.learn(answer)
        assert known(late).mark == Decimal("100.2")
        await link.close()
    finally:
        feeds.end()


async def test_a_feed_that_is_killed_leaves_facts_that_age_and_the_next_one_goes_on(
    nats_server: NatsServer, client: Client, heard: HeardMarket, tmp_path: Path
) -> None:
    """While no feed is there nothing becomes newer; after the next start the gate hears what is new."""
    feeds = feeds_process(nats_server, tmp_path)
    try:
        await fed(client, lambda: [envelope(mark_event(now_ms()))], lambda: bool(known(heard).mark), "the feed works")
        feeds.kill()
        before = known(heard)
        await client.publish(FLEET, envelope(mark_event(now_ms(), "99")))
        await client.flush()
        await eventually(lambda: nobody_answers(client), "the feed is gone")
        assert known(heard) == before
        feeds.start()
        await fed(
            client,
            lambda: [envelope(mark_event(now_ms(), "98"))],
            lambda: known(heard).mark == 98,
            "the next feed is heard",
        )
        assert dict(known(heard).as_of)[Fact.MARK] > dict(before.as_of)[Fact.MARK]
    finally:
        feeds.end()


async def nobody_answers(client: Client) -> bool:
    """The server knows nobody who would answer for the markets."""
    with contextlib.suppress(NoRespondersError):
        await client.request(subjects.MARKET_SNAPSHOT, b"", timeout=DEADLINE)
        return False
    return True


async def test_a_feed_outlives_its_server(
    nats_server: NatsServer, client: Client, heard: HeardMarket, tmp_path: Path
) -> None:
    """After the server was killed and came back, feed and gate go on by themselves."""
    feeds = feeds_process(nats_server, tmp_path)
    try:
        await fed(client, lambda: [envelope(mark_event(now_ms()))], lambda: bool(known(heard).mark), "the feed works")
        nats_server.kill()
        await until(lambda: not client.is_connected, "the client notices")
        nats_server.restart()
        await until(lambda: client.is_connected, "the client is back")
        await fed(
            client,
            lambda: [envelope(mark_event(now_ms(), "97"))],
            lambda: known(heard).mark == 97,
            "the feed is heard again",
        )
        assert feeds.alive
    finally:
        feeds.end()


async def test_the_policys_thresholds_are_followed(
    nats_server: NatsServer, client: Client, heard: HeardMarket, link: Link, tmp_path: Path
) -> None:
    """A frozen threshold that is put up while the feed runs holds: a mark that stands still is no longer renewed."""
    feeds = feeds_process(nats_server, tmp_path, source="fleet")
    try:
        began = now_ms() - 120_000
        await fed(client, lambda: [envelope(mark_event(began))], lambda: bool(known(heard).mark), "the feed works")
        policy = read_policy({"scopes": {"global": {"regime_frozen_minutes": 1.0}}})
        board = NatsBoard(link)
        await board.publish(PublishedPolicy(BOOK, 1, policy.revision, policy.content, clock.now_ns()))
        await fed(
            client,
            lambda: [envelope(mark_event(now_ms()))],
            lambda: dict(known(heard).as_of)[Fact.MARK] == (began + 60_000) * MS,
            "the mark is as of a minute after it moved",
        )
    finally:
        feeds.end()


async def test_the_exchange_itself_is_a_source(nats_server: NatsServer, heard: HeardMarket, tmp_path: Path) -> None:
    """Source binance: rules and a day of bars from REST, marks and books from the streams; every fact is told."""
    async with market_exchange() as exchange:
        exchange.now_ms = now_ms()
        exchange.contracts = [contract(), contract("ETHUSDT")]
        feeds = feeds_process(
            nats_server, tmp_path, source="binance", symbols=f"{SYMBOL},ETHUSDT",
            **{"binance-url": exchange.rest_url, "stream-url": exchange.stream_url},
        )  # fmt: skip
        try:
            await until(lambda: len(exchange.roads) == 2, "both roads stand", deadline=60)
            moment = now_ms()
            await exchange.say("market", mark_event(moment), b"garbage")
            await exchange.say("public", quote_event(moment))
            wanted = {Fact.BARS, Fact.MARK, Fact.BOOK, Fact.FUNDING, Fact.FILTERS}
            await until(lambda: set(dict(known(heard).as_of)) == wanted, "every fact is told")
            state = known(heard)
            assert (state.mark, state.bid, state.status) == (Decimal("100.2"), Decimal("100.1"), "TRADING")
            assert (state.step_size, state.max_quantity) == (Decimal("0.001"), 120)
            assert state.regime not in (None, "unknown")
            assert state.correlated == ("ETHUSDT",)
            age = clock.now_ns() - dict(state.as_of)[Fact.BARS]
            assert age < 2 * MINUTE * MS
        finally:
            feeds.end()


async def test_the_past_of_the_fleets_bars_is_learnt_from_the_exchange(
    nats_server: NatsServer, client: Client, heard: HeardMarket, tmp_path: Path
) -> None:
    """One minute bar that the exchange tells in the same figures, and the regime is known without a day of waiting."""
    async with market_exchange() as exchange:
        exchange.now_ms = now_ms()
        minute = (exchange.now_ms - T0) // MINUTE - 1
        price = f"{100 + minute / 10:.1f}"
        bar = kline_event(minute, price, o=price, h=price, l=price, v="5.0")
        feeds = feeds_process(nats_server, tmp_path, **{"binance-url": exchange.rest_url})
        try:
            await fed(
                client,
                lambda: [envelope(bar)],
                lambda: known(heard).regime not in (None, "unknown"),
                "the regime is known",
            )
            assert known(heard).status == "TRADING"
        finally:
            feeds.end()


async def test_nothing_is_fed_where_nothing_is_wanted(nats_server: NatsServer, client: Client, tmp_path: Path) -> None:
    """Source none: the process runs, answers nobody, and ends when it is told to."""
    feeds = feeds_process(nats_server, tmp_path, source="none")
    try:
        await until(lambda: '"feeding"' in feeds.text(), "the process is there")
        assert await nobody_answers(client)
    finally:
        feeds.end()
    assert feeds.running is not None
    assert feeds.running.returncode == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"CIO_MARKET_SOURCE": "binance"}, "CIO_SYMBOLS"),
        ({"CIO_MARKET_SOURCE": "kraken"}, "CIO_MARKET_SOURCE"),
        ({"CIO_SYMBOLS": "btcusdt"}, "CIO_SYMBOLS"),
        ({"CIO_MARKET_SUBJECTS": "a b"}, "CIO_MARKET_SUBJECTS"),
        ({"CIO_MARKET_SOURCE": "binance", "CIO_SYMBOLS": SYMBOL, "CIO_BINANCE_STREAM_URL": "http://x"}, "the streams"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_settings_that_cannot_be_used_are_told(nats_server: NatsServer, settings: dict[str, str], named: str) -> None:
    """A source without symbols, a word that is none, an address that is none: exit 2, naming it."""
    outcome = run_cli("feeds", "--from-settings", CIO_NATS_URL=nats_server.url, **settings)
    assert outcome.code == 2
    assert named in outcome.err


async def test_a_symbol_is_told_when_it_changed_and_once_a_second(nats_server: NatsServer, client: Client) -> None:
    """Looked at again, what did not change is told only after a second, and what did at once."""
    states = [MarketState(SYMBOL, ((Fact.MARK, 1),), mark=Decimal(mark)) for mark in (1, 2)]
    moment, current = [10_000_000_000], [states[0]]
    messages: list[str] = []

    async def hear(message: object) -> None:
        messages.append(json.loads(message.data)["mark"])  # type: ignore[attr-defined]

    await client.subscribe("cio.market.>", cb=hear)
    await client.flush()
    link = await Link.open(nats_server.url, "teller of a test")
    teller = MarketTeller(link, lambda: (SYMBOL,), lambda _, __: current[0], lambda: moment[0])
    await teller.tell()
    moment[0] += 999_999_999
    await teller.tell()
    current[0] = states[1]
    await teller.tell()
    moment[0] += 1_000_000_000
    await teller.tell()
    await until(lambda: len(messages) == 3, "three tellings")
    await link.flush()
    await client.flush()
    assert messages == ["1", "2", "2"]
    await link.close()
