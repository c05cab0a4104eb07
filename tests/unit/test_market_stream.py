"""The market from the exchange itself: whole bars through every trouble, marks, books, rules. Real servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders_bars import MINUTE, T0
from builders_market import SYMBOL, kline_event, mark_event, quote_event
from market_server import MarketExchange, contract, market_exchange
from petrosa_cio.apps.nurse.facts import Bracket, MarketState
from petrosa_cio.apps.nurse.market_book import MarketBook
from petrosa_cio.core.exchange.binance import Binance
from petrosa_cio.core.exchange.market_rest import MarketRest, NoAnswer, keep_rules
from petrosa_cio.core.exchange.market_stream import MOST_SYMBOLS, MarketStream
from petrosa_cio.core.market_events import read_event
from petrosa_cio.core.nats.together import end
from petrosa_cio.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DEADLINE = 20.0


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def exchange() -> AsyncIterator[MarketExchange]:
    async with market_exchange() as played:
        yield played


async def until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE:g} s: {what}") from None


class Feed:
    """A stream on ``exchange``, folded into a book."""

    def __init__(self, exchange: MarketExchange, rest: MarketRest, *, silence: float = 10.0, history: int = 5) -> None:
        self.exchange = exchange
        self.book = MarketBook()
        self.unread: list[str] = []
        self.events: list[dict[str, object]] = []
        self.stream = MarketStream(
            (SYMBOL,),
            rest,
            frame=self.frame,
            observe=self.book.take,
            last_close_ms=self.book.last_close_ms,
            history_ms=lambda _: history * MINUTE,
            now_ns=exchange.now_ns,
            log=lambda _, facts: self.events.append(facts),
            base_url=exchange.stream_url,
            silence_seconds=silence,
            first_pause_seconds=0.01,
        )

    def frame(self, raw: bytes, received: int) -> None:
        found = read_event(raw, received)
        if found.unread:
            self.unread.append(found.unread.value)
        for seen in found.observations:
            self.book.take(seen)

    @property
    def minutes(self) -> list[int]:
        """Minutes after T0 of the bars that the guard was fed, in order."""
        known = self.book._symbols.get(SYMBOL)
        return [] if known is None else [(bar.open_time_ms - T0) // MINUTE for bar, _ in known.bars]

    @property
    def state(self) -> MarketState:
        state = self.book.state(SYMBOL, self.exchange.now_ns())
        assert state is not None
        return state

    async def opened(self, times: int = 1) -> None:
        """Both roads stand, and were opened so often."""

        def stand() -> bool:
            opened = self.exchange.opened
            return len(self.exchange.roads) == 2 and all(
                sum(path.startswith(f"/{road}/") for path in opened) >= times for road in ("public", "market")
            )

        await until(stand, "both roads stand")

    async def live(self) -> None:
        """Both roads stand and what is told on that of bars is taken: nothing of the past is asked for any more."""
        await self.opened()
        before = self.stream._frames["bars"]
        await self.exchange.say("market", mark_event(self.exchange.now_ms))
        await until(lambda: self.stream._frames["bars"] > before, "the road of bars is live")


@asynccontextmanager
async def feeding(exchange: MarketExchange, **options: float) -> AsyncIterator[Feed]:
    async with Binance(exchange.rest_url, now_ns=exchange.now_ns, timeout_seconds=5) as binance:
        feed = Feed(exchange, MarketRest(binance, exchange.now_ns), **options)  # type: ignore[arg-type]
        tasks = [asyncio.create_task(feed.stream.books()), asyncio.create_task(feed.stream.bars())]
        try:
            yield feed
        finally:
            await end(*tasks)


async def test_history_then_live(exchange: MarketExchange) -> None:
    """Closed bars as far back as the guard looks come first; then bars, marks and books as the exchange tells them."""
    exchange.now_ms = T0 + 10 * MINUTE + 500
    async with feeding(exchange) as feed:
        await feed.opened()
        await until(lambda: feed.minutes == [5, 6, 7, 8, 9], "the history is there")
        exchange.now_ms += MINUTE
        await exchange.say("market", mark_event(exchange.now_ms), kline_event(10))
        await exchange.say("public", quote_event(exchange.now_ms))
        await until(lambda: feed.minutes[-1:] == [10] and feed.state.bid is not None, "the live bar is there")
        state = feed.state
    assert (state.mark, state.bid, state.ask) == (Decimal("100.2"), Decimal("100.1"), Decimal("100.3"))
    assert state.funding_rate == Decimal("0.0001")
    assert feed.unread == []
    assert sorted(exchange.opened) == [
        "/market/stream?streams=btcusdt@kline_1m/btcusdt@markPrice@1s",
        "/public/stream?streams=btcusdt@bookTicker",
    ]
    assert {method for method, _, _ in exchange.asked} == {"GET"}


async def test_minutes_that_pass_while_the_connection_is_away_are_asked_for(exchange: MarketExchange) -> None:
    """After a disconnection of three minutes no bar is missing, and none is asked for twice."""
    exchange.now_ms = T0 + 10 * MINUTE
    async with feeding(exchange) as feed:
        await feed.live()
        assert feed.minutes[-1:] == [9]
        before = len(exchange.asked)
        exchange.now_ms += 3 * MINUTE
        await exchange.cut("market")
        await until(lambda: feed.minutes[-1:] == [12], "the missed bars are there")
        await feed.live()
        exchange.now_ms += MINUTE
        await exchange.say("market", kline_event(13))
        await until(lambda: feed.minutes[-1:] == [13], "it goes on live")
        assert feed.minutes == list(range(5, 14))
    assert exchange.asked[before][2]["startTime"] == str(T0 + 10 * MINUTE)
    assert feed.events[0]["part"] == "bars"


async def test_a_book_that_broke_off_is_opened_again(exchange: MarketExchange) -> None:
    """The road of books is a connection of its own: made again, and the bars do not notice."""
    exchange.now_ms = T0 + 10 * MINUTE
    async with feeding(exchange) as feed:
        await feed.opened()
        await exchange.cut("public")
        await feed.opened()
        await exchange.say("public", quote_event(exchange.now_ms, bid="95"))
        await until(lambda: feed.state.bid == 95, "the book is there again")
    assert [event["part"] for event in feed.events] == ["books"]
    assert len(exchange.opened) == 3


async def test_a_silent_connection_is_made_again(exchange: MarketExchange) -> None:
    """A connection that stands and says nothing is dead: it is left, and another one is opened."""
    async with feeding(exchange, silence=0.05) as feed:
        await feed.opened(2)
    assert all("TimeoutError" in str(event["why"]) for event in feed.events)
    assert feed.stream.failures == len(feed.events) >= 2


async def test_garbage_is_handed_on_and_ends_nothing(exchange: MarketExchange) -> None:
    """What is no event is counted by whoever reads frames; the connection stays, and what is sound comes through."""
    exchange.now_ms = T0 + 10 * MINUTE
    async with feeding(exchange) as feed:
        await feed.opened()
        await exchange.say("public", b"\x00garbage", b"{}", quote_event(exchange.now_ms, bid="NaN"))
        await exchange.say("public", quote_event(exchange.now_ms))
        await until(lambda: "BTCUSDT" in feed.book.symbols and feed.state.bid is not None, "the sound one is there")
    assert feed.unread == ["not JSON", "no event", "a figure that cannot be"]
    assert feed.events == []


async def test_a_bar_that_is_overdue_is_asked_for(exchange: MarketExchange) -> None:
    """Marks keep coming and a closed bar does not: five seconds after it was due it is asked for."""
    exchange.now_ms = T0 + 10 * MINUTE
    async with feeding(exchange) as feed:
        await feed.live()
        exchange.now_ms += MINUTE + 4_999
        await exchange.say("market", mark_event(exchange.now_ms, "101"))
        await until(lambda: feed.state.mark == 101, "the mark is there")
        assert feed.minutes[-1] == 9
        exchange.now_ms += 15_000
        await exchange.say("market", mark_event(exchange.now_ms))
        await until(lambda: feed.minutes[-1:] == [10], "the overdue bar is there")
    assert feed.events == []


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b""),
        (429, {"Retry-After": "0"}, b'{"code":-1003,"msg":"Too many requests."}'),
        (200, {}, b"<html>"),
        (200, {}, b'[[1,"2"]]'),
        (400, {}, b'{"code":-1121,"msg":"Invalid symbol."}'),
    ],
    ids=lambda answer: f"{answer[0]} {answer[2][:8]!r}",
)
async def test_history_that_is_not_given_is_asked_for_again(
    exchange: MarketExchange, answer: tuple[int, dict[str, str], bytes]
) -> None:
    """Errors, refusals and garbage in place of bars are told, waited out, and harm nothing."""
    exchange.now_ms = T0 + 10 * MINUTE
    exchange.answers["/fapi/v1/klines"] = [answer]
    async with feeding(exchange) as feed:
        await until(lambda: feed.minutes == [5, 6, 7, 8, 9], "the history is there")
    assert [event["part"] for event in feed.events] == ["bars"]


async def test_a_long_history_is_read_in_pages(exchange: MarketExchange) -> None:
    """More bars than one answer holds are asked for one page after another, and none is missing."""
    exchange.now_ms = T0 + 3500 * MINUTE
    async with Binance(exchange.rest_url, now_ns=exchange.now_ns) as binance:
        bars = [bar async for bar in MarketRest(binance, exchange.now_ns).bars(SYMBOL, T0)]
    assert [(bar.open_time_ms - T0) // MINUTE for bar in bars] == list(range(3500))
    assert [query["startTime"] for _, _, query in exchange.asked] == [
        str(T0 + page * MINUTE) for page in (0, 1500, 3000)
    ]


async def test_a_bar_that_has_not_closed_is_left_out(exchange: MarketExchange) -> None:
    """The exchange's last bar is still being formed: it is no bar of the past."""
    exchange.now_ms = T0 + MINUTE - 1
    async with Binance(exchange.rest_url, now_ns=exchange.now_ns) as binance:
        rest = MarketRest(binance, exchange.now_ns)
        assert [bar async for bar in rest.bars(SYMBOL, T0)] == []
        exchange.now_ms += 1
        assert len([bar async for bar in rest.bars(SYMBOL, T0)]) == 1


async def test_the_rules_of_a_symbol(exchange: MarketExchange) -> None:
    """Status, filters and published margin; for a market order the largest quantity is that of its own filter."""
    exchange.contracts = [contract(surprise="new"), contract("ETHUSDT", status="SETTLING", filters=[])]
    async with Binance(exchange.rest_url, now_ns=exchange.now_ns) as binance:
        first, second, third = await MarketRest(binance, exchange.now_ns).rules((SYMBOL, "ETHUSDT", "GONEUSDT"))
    assert (first.status, first.contract_type) == ("TRADING", "PERPETUAL")
    assert (first.step_size, first.tick_size) == (Decimal("0.001"), Decimal("0.10"))
    assert (first.min_notional, first.min_quantity, first.max_quantity) == (50, Decimal("0.001"), 120)
    assert first.brackets == (Bracket(Decimal("1e12"), Decimal("0.025"), Decimal(0)),)
    assert first.due - first.at == 3_600_000_000_000
    assert (second.status, second.step_size) == ("SETTLING", None)
    assert (third.status, third.brackets) == ("UNKNOWN", None)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"symbols":[]}', b'{"symbols":7}'])
async def test_rules_that_are_none_are_no_answer(exchange: MarketExchange, body: bytes) -> None:
    """An answer that lists nothing does not make every symbol unknown."""
    exchange.answers["/fapi/v1/exchangeInfo"] = [(200, {}, body)]
    async with Binance(exchange.rest_url, now_ns=exchange.now_ns) as binance:
        with pytest.raises(NoAnswer):
            await MarketRest(binance, exchange.now_ns).rules((SYMBOL,))


async def test_rules_are_kept_up(exchange: MarketExchange) -> None:
    """They are asked for again after an error, and for a symbol that comes later."""
    exchange.answers["/fapi/v1/exchangeInfo"] = [(503, {}, b"")]
    symbols, book = [SYMBOL], MarketBook()
    told: list[dict[str, object]] = []
    async with Binance(exchange.rest_url, now_ns=exchange.now_ns) as binance:
        rest = MarketRest(binance, exchange.now_ns)
        work = keep_rules(rest, lambda: symbols, book.take, lambda _, facts: told.append(facts))
        task = asyncio.create_task(work)
        try:
            await until(lambda: book.symbols == (SYMBOL,), "the rules are there")
            symbols.append("ETHUSDT")
            await until(lambda: book.symbols == (SYMBOL, "ETHUSDT"), "the rules of the new one are there")
        finally:
            await end(task)
    assert len(exchange.asked) == 3
    assert len(told) == 1


@pytest.mark.parametrize("url", ["", "http://x", "wss://user:word@x", "wss://x/path", "wss://x y"])
def test_an_address_that_is_none_is_told_without_repeating_it(url: str) -> None:
    """A setting may hold a password."""
    with pytest.raises(SettingsError) as refused:
        _stream((SYMBOL,), url)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize("count", [0, MOST_SYMBOLS + 1])
def test_no_symbol_and_too_many_are_refused(count: int) -> None:
    """The exchange takes a bounded number of streams on a connection."""
    with pytest.raises(SettingsError, match="1 to 64"):
        _stream(tuple(f"COIN{number}USDT" for number in range(count)), "wss://x")


def _stream(symbols: tuple[str, ...], url: str) -> MarketStream:
    book = MarketBook()
    return MarketStream(
        symbols,
        MarketRest(Binance(now_ns=lambda: 0), lambda: 0),
        frame=lambda _, __: None,
        observe=book.take,
        last_close_ms=book.last_close_ms,
        history_ms=lambda _: 0,
        now_ns=lambda: 0,
        log=lambda *_: None,
        base_url=url,
    )


def test_the_bars_of_the_server_are_bars() -> None:
    """The server of these tests says what the exchange says: a row has twelve fields and spans a minute."""
    rows = json.loads(MarketExchange(now_ms=T0 + MINUTE).answer("/k", {"startTime": str(T0), "limit": "9"})[2])
    assert [len(one) for one in rows] == [12, 12]
