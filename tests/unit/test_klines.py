"""The market that `petrosa-cio up` shows: Binance over HTTP (a local server plays it), or an invented one."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import aclosing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petrosa_cio.core.exchange.klines import SYMBOLS, Bar, KlineError, LiveKlines, SyntheticKlines, parse_klines
from petrosa_cio.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

MINUTE = 60_000
T0 = 1_764_000_000_000 // MINUTE * MINUTE

Answer = tuple[int, dict[str, str], bytes]
Row = list[object]


def row(minute: int, close: str = "100.50", **changed: object) -> Row:
    """One row as Binance writes it, of the minute that many after T0."""
    opened = T0 + minute * MINUTE
    cells: dict[str, object] = {
        "open_time": opened, "open": "100.00", "high": "101.00", "low": "99.90", "close": close, "volume": "12.345",
        "close_time": opened + MINUTE - 1, "quote": "1239.1", "count": 7, "buy": "6.1", "buy_quote": "612.0", "x": "0",
    }  # fmt: skip
    return list((cells | changed).values())


def ok(*rows: object) -> Answer:
    return 200, {}, json.dumps(rows).encode()


class Exchange:
    """A local HTTP server that gives scripted answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []
        outer = self

        class Desk(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                outer.asked.append({"path": url.path} | {k: v[0] for k, v in parse_qs(url.query).items()})
                status, headers, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def open(self) -> Iterator[Exchange]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class Pauses:
    """A sleep that takes no time and keeps how long was asked for, and how many requests had been made by then."""

    def __init__(self, exchange: Exchange | None = None) -> None:
        self.asked: list[float] = []
        self.requests: list[int] = []
        self._exchange = exchange

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.requests.append(len(self._exchange.asked) if self._exchange else 0)
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def take(bars: AsyncGenerator[Bar, None], count: int) -> list[Bar]:
    async with aclosing(bars):
        return [await anext(bars) for _ in range(count)]


def live(exchange: Exchange, pauses: Pauses | None = None, *symbols: str) -> LiveKlines:
    return LiveKlines(symbols or ("BTCUSDT",), base_url=exchange.url, history=3, sleep=pauses or Pauses())


async def test_history_comes_first_and_then_each_polls_newest_bar() -> None:
    """The history of a symbol is followed by the bar being formed as each poll finds it, and by its final form."""
    script = [
        ok(row(0), row(1), row(2, "100.10")),
        ok(row(1), row(2, "100.20")),
        ok(row(2, "100.30"), row(3, "100.40")),
    ]
    with Exchange(*script).open() as exchange:
        bars = await take(live(exchange).bars(), 6)
    assert [((bar.open_time_ms - T0) // MINUTE, bar.close) for bar in bars] == [
        (0, 100.5), (1, 100.5), (2, 100.1), (2, 100.2), (2, 100.3), (3, 100.4),
    ]  # fmt: skip
    assert bars[0] == Bar("BTCUSDT", T0, T0 + 59_999, 100.0, 101.0, 99.9, 100.5, 12.345)
    assert exchange.asked[0] == {"path": "/fapi/v1/klines", "symbol": "BTCUSDT", "interval": "1m", "limit": "3"}


async def test_minutes_missed_between_two_polls_are_fetched() -> None:
    """Where the poll's bars do not join the last one seen, history is asked for again and no bar is told twice."""
    script = [ok(row(0), row(1)), ok(row(4), row(5)), ok(row(2), row(3), row(4), row(5))]
    with Exchange(*script).open() as exchange:
        bars = await take(live(exchange).bars(), 6)
    assert [(bar.open_time_ms - T0) // MINUTE for bar in bars] == [0, 1, 2, 3, 4, 5]


async def test_every_symbol_is_asked_for() -> None:
    """One request for each symbol in each round."""
    with Exchange(ok(row(0), row(1))).open() as exchange:
        bars = await take(live(exchange, None, "BTCUSDT", "ETHUSDT").bars(), 4)
    assert [bar.symbol for bar in bars] == ["BTCUSDT", "BTCUSDT", "ETHUSDT", "ETHUSDT"]


@pytest.mark.parametrize("status", [418, 429])
@pytest.mark.parametrize(("headers", "least"), [({"Retry-After": "7"}, 7.0), ({}, 60.0), ({"Retry-After": "x"}, 60.0)])
async def test_a_rate_limit_is_obeyed(status: int, headers: dict[str, str], least: float) -> None:
    """After 429 or 418 nothing is asked for as long as Retry-After says, or for a minute where it says nothing."""
    with Exchange((status, headers, b"{}"), ok(row(0))).open() as exchange:
        pauses = Pauses(exchange)
        market = live(exchange, pauses)
        await take(market.bars(), 1)
    assert pauses.asked[0] >= least
    assert pauses.requests == [1]
    assert (market.failures, market.last_failure) == (1, f"BTCUSDT: HTTP {status}")


async def test_failures_of_the_exchange_are_waited_out_ever_longer() -> None:
    """5xx answers are tried again after doubling waits, and each is counted."""
    with Exchange(*[(503, {}, b"")] * 4, ok(row(0))).open() as exchange:
        pauses = Pauses()
        market = live(exchange, pauses)
        await take(market.bars(), 1)
    assert pauses.asked == [1.0, 2.0, 4.0, 8.0]
    assert market.failures == 4


async def test_a_lost_connection_is_waited_out() -> None:
    """An answer cut short is a network failure: it is counted and asked for again."""
    with Exchange((200, {"Content-Length": "500"}, b"[["), ok(row(0))).open() as exchange:
        market = live(exchange)
        bars = await take(market.bars(), 1)
    assert (len(bars), market.failures) == (1, 1)


async def test_a_refusal_that_waiting_does_not_mend_is_raised() -> None:
    """A 4xx answer raises KlineError with the symbol, the status and the exchange's own words."""
    answer: Answer = (400, {}, b'{"code":-1121,"msg":"Invalid symbol."}')
    words = r"BTCUSDT.*HTTP 400.*Invalid symbol"
    with Exchange(answer).open() as exchange, pytest.raises(KlineError, match=words):
        await take(live(exchange).bars(), 1)


async def test_a_bad_row_is_raised_from_the_stream_and_named() -> None:
    """A row that is no kline raises KlineError naming symbol and row; the rows before it are not told either."""
    words = r"BTCUSDT: row 1 .*close 'NaN'"
    with Exchange(ok(row(0), row(1, "NaN"))).open() as exchange, pytest.raises(KlineError, match=words):
        await take(live(exchange).bars(), 1)


BAD_ROWS = {
    "not an array": {"open": "1"},
    "too short": row(1)[:6],
    "price as a number": row(1, open=100.0),
    "price negative": row(1, low="-1.0"),
    "price zero": row(1, low="0.00"),
    "price infinite": row(1, high="Infinity"),
    "price in other digits": row(1, high="١٠١"),
    "price with an underscore": row(1, high="1_01"),
    "volume absent": row(1, volume=None),
    "high under close": row(1, high="100.10"),
    "low above open": row(1, low="100.20"),
    "time as text": row(1, open_time=str(T0)),
    "time as a truth value": row(1, open_time=True),
    "not a whole minute": row(1, open_time=T0 + 1),
    "an hour long": row(1, close_time=T0 + 3_600_000 - 1),
    "before the row before": row(-1),
    "the row before again": row(0),
}


@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_no_malformed_row_is_believed(bad: object) -> None:
    """A row of the wrong shape, type, order or with impossible prices raises KlineError naming it."""
    assert len(parse_klines("ETHUSDT", json.dumps([row(0), row(1)]).encode())) == 2
    with pytest.raises(KlineError, match=r"ETHUSDT: row 1 "):
        parse_klines("ETHUSDT", json.dumps([row(0), bad]).encode())


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff\xfe", b"{}", b"null", b"[" * 100_000], ids=lambda body: repr(body[:8])
)
def test_an_answer_that_is_no_array_is_named(body: bytes) -> None:
    """Whatever is not a JSON array raises KlineError with the symbol."""
    with pytest.raises(KlineError, match=r"SOLUSDT: the kline answer is not"):
        parse_klines("SOLUSDT", body)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(ANY_JSON | st.lists(st.lists(ANY_JSON, min_size=6, max_size=12)))
@settings(max_examples=60)
def test_no_answer_raises_anything_but_our_error(content: object) -> None:
    """For any JSON text, parsing gives bars or KlineError."""
    try:
        bars = parse_klines("BTCUSDT", json.dumps(content).encode())
    except KlineError:
        return
    assert all(isinstance(bar, Bar) for bar in bars)


async def test_a_live_exchange_is_reachable() -> None:
    """One valid answer is enough, and one request is all it takes."""
    with Exchange(ok(row(0))).open() as exchange:
        assert await live(exchange).reachable() is True
        assert len(exchange.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [(429, {"Retry-After": "1"}, b""), (451, {}, b""), (302, {"Location": "/"}, b""), (200, {}, b"<html>"), ok()],
    ids=["rate limited", "forbidden here", "redirected", "a captive portal", "no bars"],
)
async def test_an_exchange_that_gives_no_bars_is_not_reachable(answer: Answer) -> None:
    """Anything but a valid bar counts as unreachable, so that the synthetic market is shown instead."""
    with Exchange(answer).open() as exchange:
        assert await live(exchange).reachable() is False
        assert len(exchange.asked) == 1


async def test_a_refused_connection_is_unreachable_at_once() -> None:
    """With nothing listening, the answer is False and comes well within the two seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = asyncio.get_running_loop().time()
    assert await LiveKlines(base_url=f"http://127.0.0.1:{port}").reachable() is False
    assert asyncio.get_running_loop().time() - started < 1.5


async def test_a_silent_exchange_is_unreachable_within_two_seconds() -> None:
    """A server that accepts and never answers does not hold the start for longer than two seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = asyncio.get_running_loop().time()
        silent = LiveKlines(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert await silent.reachable() is False
        assert asyncio.get_running_loop().time() - started < 2.5


@pytest.mark.parametrize(
    "url",
    ["fapi.binance.com", "ftp://fapi.binance.com", "http://", "http://[", "http://[::1", "http://127.0.0.1:99999", ""],
)
def test_an_unusable_base_url_is_refused_at_once(url: str) -> None:
    """What is not an http or https URL with a host raises SettingsError, not a failure at the first poll."""
    with pytest.raises(SettingsError, match="base URL"):
        LiveKlines(base_url=url)


@pytest.mark.parametrize(
    "build",
    [
        lambda: LiveKlines(()),
        lambda: LiveKlines(history=1),
        lambda: LiveKlines(history=1501),
        lambda: LiveKlines(poll_seconds=0),
        lambda: SyntheticKlines(1, now_ms=lambda: T0, tick_seconds=0),
        lambda: SyntheticKlines(1, now_ms=lambda: T0, history=-1),
    ],
)
def test_unusable_settings_are_refused(build: Callable[[], object]) -> None:
    """No symbols, a history Binance would refuse or a time that does not pass raise SettingsError."""
    with pytest.raises(SettingsError):
        build()


class Clock:
    """A clock that moves only when somebody sleeps; ``slow`` milliseconds late each time."""

    def __init__(self, slow: int = 0) -> None:
        self.now = T0
        self.slept = 0
        self._slow = slow

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.now += round(seconds * 1000) + self._slow
        await asyncio.sleep(0)


def invented(seed: int, count: int, clock: Clock | None = None, history: int = 20, tick: float = 0.5) -> list[Bar]:
    clock = clock or Clock()
    market = SyntheticKlines(seed, now_ms=clock, tick_seconds=tick, history=history, sleep=clock.sleep)
    return asyncio.run(take(market.bars(), count))


def test_each_market_says_what_it_is() -> None:
    """Invented prices can never be taken for real ones: the label says so."""
    assert SyntheticKlines(1, now_ms=Clock()).label == "SYNTHETIC market (no network): prices are invented"
    assert LiveKlines().label == "live Binance USD-M 1m klines"


def test_invented_history_comes_at_once() -> None:
    """History of every symbol is told without waiting and ends at the present; then one bar a tick and symbol."""
    clock = Clock()
    bars = invented(1, 60, clock, history=20)
    assert clock.slept == 0
    assert [bar.symbol for bar in bars[:3]] == list(SYMBOLS)
    assert {bar.close_time_ms for bar in bars[-3:]} == {T0}
    assert bars[0].open_time_ms == T0 - 20 * 500 + 1
    later = invented(1, 66, clock := Clock(), history=20)[60:]
    assert [bar.symbol for bar in later] == [*SYMBOLS, *SYMBOLS]
    assert [bar.close_time_ms for bar in later] == [T0 + 500] * 3 + [T0 + 1000] * 3


@given(st.integers(), st.integers(0, 50), st.integers(-2000, 2000))
@settings(max_examples=40)
def test_invented_bars_are_consistent_whatever_the_clock_does(seed: int, history: int, slow: int) -> None:
    """For every seed: positive prices, low <= open and close <= high, each bar opens as the last one closed."""
    bars = invented(seed, 300, Clock(slow), history)
    for bar in bars:
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.volume >= 0
        assert bar.open_time_ms <= bar.close_time_ms
    for symbol in SYMBOLS:
        for before, after in pairwise(bar for bar in bars if bar.symbol == symbol):
            assert after.open_time_ms == before.close_time_ms + 1
            assert after.open == before.close


@given(st.integers())
@settings(max_examples=20)
def test_the_same_seed_invents_the_same_prices(seed: int) -> None:
    """A market is its seed: equal seeds give equal bars, and the next seed gives others."""
    assert invented(seed, 90) == invented(seed, 90)
    assert invented(seed, 90) != invented(seed + 1, 90)


@pytest.mark.parametrize("seed", range(3))
def test_an_invented_market_has_calm_and_violent_times(seed: int) -> None:
    """Within a day the wildest ten minutes of each symbol move at least three times as much as the calmest."""
    bars = invented(seed, 3 * 1440, history=1440)
    for symbol in SYMBOLS:
        ranges = [(bar.high - bar.low) / bar.close for bar in bars if bar.symbol == symbol]
        blocks = [fmean(ranges[at : at + 10]) for at in range(0, 1440, 10)]
        assert max(blocks) > 3 * min(blocks)


@pytest.mark.parametrize("seed", range(2))
def test_an_invented_price_stays_believable(seed: int) -> None:
    """Over two weeks of its minutes the price stays between 60 and 160 % of the first: it is drawn back, not adrift."""
    bars = invented(seed, 3 * 20_160, history=20_160)
    for symbol, first in zip(SYMBOLS, bars[:3], strict=True):
        closes = [bar.close for bar in bars if bar.symbol == symbol]
        assert first.open * 0.6 < min(closes) <= max(closes) < first.open * 1.6
