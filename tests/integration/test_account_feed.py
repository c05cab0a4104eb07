"""The account feed: from engine or Binance, over a real server, to a gate's ear; and what it says of failures."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from harness import BOOK, core_client, until

from engine_server import EngineServer, account, engine_server, position
from exchange_server import KEY, SECRET, exchange
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.bootstrap.account_feed import AccountFeed, AccountOptions, account_options, account_task
from petrosa_cio.core import clock
from petrosa_cio.core.exchange.binance import Keys
from petrosa_cio.core.exchange.engine import Engine
from petrosa_cio.core.nats.account_facts import HeardAccount
from petrosa_cio.core.nats.reports import decode_report
from petrosa_cio.core.nats.together import end
from petrosa_cio.errors import SettingsError
from petrosa_cio.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from harness import NatsServer

    from petrosa_cio.core.nats.link import Link

Logged = list[tuple[str, dict[str, object]]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[EngineServer]:
    with engine_server() as found:
        yield found


@dataclass
class Feed:
    """A feed that looks when a test says so, what it published and what it said."""

    feed: AccountFeed
    published: list[AccountReport] = field(default_factory=list)
    logged: Logged = field(default_factory=list)


@contextlib.asynccontextmanager
async def feeding(server: EngineServer, poll_seconds: float = 5.0) -> AsyncIterator[Feed]:
    published: list[AccountReport] = []
    logged: Logged = []

    async def publish(report: bytes) -> None:
        found = decode_report(report)
        assert isinstance(found, AccountReport)
        published.append(found)

    async with Engine(server.url, now_ns=clock.now_ns) as engine:
        feed = AccountFeed(engine, publish, lambda event, fields: logged.append((event, fields)), poll_seconds)
        yield Feed(feed, published, logged)


@contextlib.asynccontextmanager
async def standing(options: AccountOptions, link: Link) -> AsyncIterator[Logged]:
    """The feed as the process of feeds runs it."""
    logged: Logged = []
    task = asyncio.create_task(account_task(options, link, lambda event, fields: logged.append((event, fields))))
    try:
        yield logged
    finally:
        await end(task)


@contextlib.asynccontextmanager
async def hearing(link: Link, origin: str) -> AsyncIterator[HeardAccount]:
    heard = HeardAccount(link, BOOK, origin, lambda *_: None)
    heard.begin(0)
    task = asyncio.create_task(heard.run())
    try:
        yield heard
    finally:
        await end(task)


# -- pauses and what is said -------------------------------------------------------------------------------------------


async def test_a_failing_engine_is_asked_less_and_less_and_alarmed_on_once(server: EngineServer) -> None:
    """Pauses double from 5 s up to a minute; one alarm, one word of recovery, and then the usual pause."""
    async with feeding(server) as run:
        assert await run.feed.look() == 5
        server.say("/account", b"oops", 500)
        assert [await run.feed.look() for _ in range(6)] == [10, 20, 40, 60, 60, 60]
        server.raw.clear()
        assert await run.feed.look() == 5
    assert [event for event, _ in run.logged if "leverage" not in str(_)] == [
        "ALARM: the account cannot be read",
        "the account can be read again",
    ]
    assert run.logged[1][1]["why"] == "/account: HTTP status 500"
    assert (run.feed.looks, run.feed.failed, len(run.published)) == (8, 6, 2)


async def test_a_pause_that_is_asked_for_is_kept(server: EngineServer) -> None:
    """Where the engine names a longer pause than ours, that one; where a shorter one, ours."""
    async with feeding(server) as run:
        server.say("/account", b"", 503, Retry_After="77")
        assert await run.feed.look() == 77
        server.say("/account", b"", 503, Retry_After="3")
        assert await run.feed.look() == 20


async def test_a_pause_is_never_shorter_than_the_usual_one(server: EngineServer) -> None:
    """A feed that looks every ten minutes does not look more often because it fails."""
    async with feeding(server, 600) as run:
        server.say("/account", b"", 500)
        assert [await run.feed.look() for _ in range(3)] == [600, 600, 600]


async def test_what_a_report_lacks_is_said_when_it_changes(server: EngineServer) -> None:
    """Positions that cannot be read are said once, and again when they can be."""
    server.positions = []
    async with feeding(server) as run:
        await run.feed.look()
        server.positions = [position(side="?")]
        for _ in range(3):
            await run.feed.look()
        server.positions = []
        await run.feed.look()
    assert [fields["notes"] for _, fields in run.logged] == [["no positions: side is none"], []]
    assert [one.positions for one in run.published] == [(), None, None, None, ()]


# -- over the bus ------------------------------------------------------------------------------------------------------


async def test_what_the_engine_tells_reaches_the_gate(server: EngineServer, link: Link) -> None:
    """Each look is a report on the book's subject; the gate hears the newest, and goes on through a failure."""
    options = AccountOptions(BOOK, "engine", server.url, poll_seconds=0.02)
    async with hearing(link, "engine") as heard, standing(options, link) as logged:
        taken: list[AccountReport] = []

        def wallet(amount: str) -> bool:
            taken.extend(one for one in heard.due(clock.now_ns()) if one.origin == "engine")  # type: ignore[union-attr]
            return bool(taken) and taken[-1].wallet == Decimal(amount)

        await until(lambda: wallet("5120.4"), "the first report is heard")
        assert len(taken[-1].positions or ()) == 1
        server.say("/account", b"<html>", 502)
        await until(lambda: any(event.startswith("ALARM") for event, _ in logged), "the failure is said")
        server.account = account(balances={"binance": {"USDT": {}}}, total_balance_usdt=7)
        server.raw.clear()
        await until(lambda: wallet("7"), "what is told afterwards is heard")
        ages = [one.as_of for one in taken]
        assert ages == sorted(set(ages))


async def test_a_feed_outlives_its_server(server: EngineServer, nats_server: NatsServer, link: Link) -> None:
    """With the bus away nothing is published; with it back the next look is heard."""
    options = AccountOptions(BOOK, "engine", server.url, poll_seconds=0.02)
    async with standing(options, link):
        await until(lambda: len(server.asked) > 2, "it looks")
        nats_server.kill()
        await until(lambda: not link.connected, "the connection is lost")
        nats_server.restart()
        async with core_client(nats_server.url) as client:
            subscription = await client.subscribe(f"cio.account.{BOOK}")
            found = decode_report((await subscription.next_msg(timeout=20)).data)
            assert found.origin == "engine"  # type: ignore[union-attr]


async def test_a_binance_account_reaches_the_gate(link: Link) -> None:
    """With a read-only key the exchange is the origin."""
    with exchange() as played:
        options = AccountOptions(BOOK, "binance", None, played.url, Keys(KEY, SECRET), poll_seconds=0.02)
        async with hearing(link, "binance") as heard, standing(options, link):
            taken: list[AccountReport] = []

            def told() -> bool:
                taken.extend(heard.due(clock.now_ns()))  # type: ignore[arg-type]
                return bool(taken)

            await until(told, "a report is heard")
    assert (taken[0].origin, taken[0].wallet, len(taken[0].orders or ())) == ("binance", Decimal("23.7"), 1)


# -- what is configured ------------------------------------------------------------------------------------------------


async def test_no_source_is_no_feed(link: Link) -> None:
    """With source none the task ends at once."""
    await asyncio.wait_for(account_task(AccountOptions(BOOK), link, lambda *_: None), 20)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (AccountOptions(BOOK, "engine"), "CIO_ENGINE_URL"),
        (AccountOptions(BOOK, "engine", "engine:8000"), "CIO_ENGINE_URL"),
        (AccountOptions(BOOK, "binance"), "CIO_BINANCE_API_KEY"),
    ],
    ids=["no address", "no URL", "no key"],
)
async def test_a_source_that_cannot_be_asked_is_refused(options: AccountOptions, named: str, link: Link) -> None:
    """The setting that is missing or wrong is named."""
    with pytest.raises(SettingsError, match=named):
        await account_task(options, link, lambda *_: None)


def test_settings_are_judged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source needs its address or its key; by default there is none."""
    assert account_options(read_settings()) == AccountOptions("main")
    monkeypatch.setenv("CIO_ACCOUNT_SOURCE", "engine")
    with pytest.raises(SettingsError, match="CIO_ENGINE_URL"):
        read_settings()
    monkeypatch.setenv("CIO_ENGINE_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("CIO_ACCOUNT_POLL_SECONDS", "2.5")
    assert account_options(read_settings()) == AccountOptions(
        "main", "engine", "http://127.0.0.1:8000", poll_seconds=2.5
    )
    monkeypatch.setenv("CIO_ACCOUNT_SOURCE", "binance")
    with pytest.raises(SettingsError, match="CIO_BINANCE_API_KEY"):
        read_settings()
    monkeypatch.setenv("CIO_BINANCE_API_KEY", KEY)
    monkeypatch.setenv("CIO_BINANCE_API_SECRET", SECRET)
    found = account_options(read_settings())
    assert (found.source, found.keys) == ("binance", Keys(KEY, SECRET))
    assert SECRET not in repr(found)
