"""The market as bars: one minute of Binance USD-M at a time, or an invented one where there is no network.

Both sources share `Klines`; ``label`` says on every screen which of the two is shown. Prices are in quote currency
(USDT), volumes in base asset, times in milliseconds since the Unix epoch, UTC. A bar's times are inclusive: it ends at
``close_time_ms``, one millisecond before the next opens, and the last one of a live market is still being formed.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import httpx2

from petrosa_cio.errors import CioError, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

BINANCE_USDM: str = "https://fapi.binance.com"
"""Base URL of the public REST interface of Binance USD-M futures; needs no key."""

MINUTE_MS: int = 60_000
SYMBOLS: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT")

_PATH = "/fapi/v1/klines"
_REACHABLE_SECONDS = 2.0
_ANSWER_SECONDS = 8.0
_TIMEOUT = httpx2.Timeout(4.0, connect=2.0)
_LONGEST_BACKOFF_SECONDS = 30.0
# Binance counts requests per minute, so a refusal that names no time is over after one.
_UNNAMED_PAUSE_SECONDS = 60.0
_TOO_MANY = (418, 429)
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)
_FIELDS = ("open", "high", "low", "close", "volume")


class KlineError(CioError):
    """The exchange's: its kline answer is not what it documents, or it refuses us. Names the symbol and the row."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of one symbol: prices in quote currency, volume in base asset, times in ms, both inclusive."""

    symbol: str
    open_time_ms: int
    close_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Klines(Protocol):
    """A market as a stream of bars.

    Per symbol, bars come in order of ``open_time_ms``. History first; after it, a bar may come again while it is being
    formed: the later one replaces the earlier. The stream has no end; close the generator to leave it.
    """

    @property
    def label(self) -> str:
        """What to tell a person about where the prices come from."""

    def bars(self) -> AsyncGenerator[Bar, None]:
        """Bars, history first. Raises KlineError where the source answers with something that is not bars."""


@dataclass(frozen=True, slots=True)
class _Pause:
    """No answer now, but there may be one after ``seconds``."""

    seconds: float
    why: str


class LiveKlines:
    """One-minute bars of Binance USD-M futures, polled from its public REST interface.

    Network failures, 5xx and rate limits are waited out (``Retry-After`` is honoured, otherwise a doubling wait of at
    most 30 s) and counted in ``failures``; ``last_failure`` says what the last one was. Minutes that passed meanwhile
    are fetched afterwards, as far back as ``history`` bars.
    """

    label = "live Binance USD-M 1m klines"

    def __init__(
        self,
        symbols: Sequence[str] = SYMBOLS,
        *,
        base_url: str = BINANCE_USDM,
        history: int = 120,
        poll_seconds: float = 2.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not symbols or not 2 <= history <= 1500 or not poll_seconds > 0:
            msg = "live klines: needs a symbol, a history of 2 to 1500 bars and a positive poll interval"
            raise SettingsError(msg)
        self._symbols = tuple(symbols)
        self._base_url = _checked(base_url)
        self._history = history
        self._poll_seconds = poll_seconds
        self._sleep = sleep
        self.failures = 0
        """Requests that failed and were tried again."""
        self.last_failure: str | None = None

    async def reachable(self) -> bool:
        """True when one request for klines is answered with a valid bar within two seconds; never raises for less."""
        try:
            async with asyncio.timeout(_REACHABLE_SECONDS), self._client() as client:
                answer = await self._ask(client, self._symbols[0], limit=1)
        except (KlineError, TimeoutError, OSError):
            return False
        return isinstance(answer, list) and len(answer) > 0

    async def bars(self) -> AsyncGenerator[Bar, None]:
        """History of each symbol, then after each poll what is new: the bar being formed, and any that ended before it.

        Raises KlineError for an answer that is not valid klines and for a refusal that waiting does not mend.
        """
        seen: dict[str, int] = {}
        async with self._client() as client:
            while True:
                for symbol in self._symbols:
                    for bar in await self._news(client, symbol, seen.get(symbol)):
                        seen[symbol] = bar.open_time_ms
                        yield bar
                await self._sleep(self._poll_seconds)

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self._base_url, timeout=_TIMEOUT, headers={"User-Agent": "petrosa-cio"})

    async def _news(self, client: httpx2.AsyncClient, symbol: str, seen: int | None) -> list[Bar]:
        if seen is None:
            return await self._patiently(client, symbol, self._history)
        # Two bars, so that the final form of the one that just ended is never missed.
        bars = await self._patiently(client, symbol, 2)
        if bars and bars[0].open_time_ms > seen:
            bars = await self._patiently(client, symbol, self._history)
        return [bar for bar in bars if bar.open_time_ms >= seen]

    async def _patiently(self, client: httpx2.AsyncClient, symbol: str, limit: int) -> list[Bar]:
        backoff = 1.0
        while True:
            answer = await self._ask(client, symbol, limit)
            if isinstance(answer, list):
                return answer
            self.failures += 1
            self.last_failure = answer.why
            await self._sleep(max(answer.seconds, backoff))
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def _ask(self, client: httpx2.AsyncClient, symbol: str, limit: int) -> list[Bar] | _Pause:
        try:
            # httpx2 bounds each read, not the whole answer: a server that drips bytes would hold us for ever.
            async with asyncio.timeout(_ANSWER_SECONDS):
                response = await client.get(_PATH, params={"symbol": symbol, "interval": "1m", "limit": limit})
        except (httpx2.HTTPError, TimeoutError) as error:
            return _Pause(0.0, f"{symbol}: {type(error).__name__} {error}".rstrip())
        status = response.status_code
        if status in _TOO_MANY:
            return _Pause(_retry_after(response.headers.get("Retry-After")), f"{symbol}: HTTP {status}")
        if status >= 500:
            return _Pause(0.0, f"{symbol}: HTTP {status}")
        if status != 200:
            msg = f"{symbol}: the exchange refuses klines: HTTP {status} {response.content[:200]!r}"
            raise KlineError(msg)
        return parse_klines(symbol, response.content)


def _checked(base_url: str) -> str:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        msg = f"base URL of the exchange: {base_url!r} is not a URL: {error}"
        raise SettingsError(msg) from error
    # httpx2 escapes what no host name may hold and takes any port: both would fail only at the first poll.
    sound = url.host and "%" not in url.host and (url.port is None or url.port < 65_536)
    if url.scheme not in ("http", "https") or not sound:
        msg = f"base URL of the exchange: {base_url!r} must be like {BINANCE_USDM}"
        raise SettingsError(msg)
    return base_url


def _retry_after(value: str | None) -> float:
    if value is not None and re.fullmatch(r"[0-9]{1,6}", value.strip(), re.ASCII):
        return float(value)
    return _UNNAMED_PAUSE_SECONDS


def parse_klines(symbol: str, body: bytes) -> list[Bar]:
    """Return the bars of an answer of ``/fapi/v1/klines`` for one-minute bars.

    Raises KlineError, naming the symbol and the row (counted from 0), for anything but an array of rows of at least
    seven fields whose times are whole minutes in increasing order and whose prices are positive and consistent.
    """
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError) as error:
        msg = f"{symbol}: the kline answer is not JSON: {error}"
        raise KlineError(msg) from error
    if not isinstance(rows, list):
        msg = f"{symbol}: the kline answer is not an array"
        raise KlineError(msg)
    bars: list[Bar] = []
    for index, row in enumerate(rows):
        bars.append(_row(symbol, index, row))
        if index and bars[index].open_time_ms <= bars[index - 1].open_time_ms:
            raise _bad(symbol, index, f"opens at {bars[index].open_time_ms}, not after the row before")
    return bars


def _bad(symbol: str, index: int, problem: str) -> KlineError:
    return KlineError(f"{symbol}: row {index} of the kline answer {problem}")


def _row(symbol: str, index: int, row: object) -> Bar:
    if not isinstance(row, list) or len(row) < 7:
        raise _bad(symbol, index, "is not an array of at least 7 fields")
    opened, closed = row[0], row[6]
    # bool is an int to isinstance.
    if type(opened) is not int or type(closed) is not int:
        raise _bad(symbol, index, "has a time that is not a whole number")
    if opened <= 0 or opened % MINUTE_MS or closed != opened + MINUTE_MS - 1:
        raise _bad(symbol, index, f"does not span one whole minute ({opened} to {closed})")
    open_, high, low, close, volume = (
        _number(symbol, index, name, value) for name, value in zip(_FIELDS, row[1:6], strict=True)
    )
    if not 0 < low <= min(open_, close) or high < max(open_, close):
        raise _bad(symbol, index, f"has inconsistent prices (open {open_}, high {high}, low {low}, close {close})")
    return Bar(symbol, opened, closed, open_, high, low, close, volume)


def _number(symbol: str, index: int, name: str, value: object) -> float:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise _bad(symbol, index, f"has {name} {str(value)[:40]!r}, which is not a decimal number in a string")
    return float(value)


@dataclass(frozen=True, slots=True)
class _Regime:
    """How an invented price moves within one minute: drift and deviation of its logarithm, and mean stay in bars."""

    drift: float
    deviation: float
    stay: int


_CALM = _Regime(drift=0.0, deviation=0.0005, stay=30)
_TREND = _Regime(drift=0.0005, deviation=0.0009, stay=30)
_VIOLENT = _Regime(drift=0.0, deviation=0.0035, stay=25)
_REGIMES = (_CALM, _TREND, _VIOLENT)

# First price, decimals of the price, mean volume of a bar in base asset.
_INVENTED: dict[str, tuple[float, int, float]] = {
    "BTCUSDT": (100_000.0, 1, 60.0),
    "ETHUSDT": (3_500.0, 2, 900.0),
    "SOLUSDT": (180.0, 2, 12_000.0),
}
_MOVES_PER_BAR = 4
# Draws the price back to its first one, so that days of running do not end in absurd figures: deviation about 7 %.
_TETHER = 0.0004


class _Walk:
    """The invented price of one symbol: a geometric random walk that changes its regime now and then."""

    def __init__(self, symbol: str, seed: int) -> None:
        self._first, self._digits, self._volume = _INVENTED[symbol]
        # A walk of its own for each symbol: adding one leaves the others as they were.
        self._random = random.Random(f"{seed}:{symbol}")  # noqa: S311  invented prices, no secret
        self._price = self._first
        self._regime = _CALM
        self._direction = 1

    def bar(self, symbol: str, open_time_ms: int, close_time_ms: int) -> Bar:
        """The next minute of the market, with the given times."""
        if self._random.random() * self._regime.stay < 1:
            self._regime = self._random.choice(_REGIMES)
            self._direction = self._random.choice((-1, 1))
        path = [self._price, *(self._move() for _ in range(_MOVES_PER_BAR))]
        prices = [self._quoted(price) for price in path]
        change = abs(math.log(path[-1] / path[0]))
        volume = self._volume * self._random.lognormvariate(0.0, 0.4) * (1 + change / _CALM.deviation)
        return Bar(
            symbol, open_time_ms, close_time_ms, prices[0], max(prices), min(prices), prices[-1], round(volume, 3)
        )

    def _move(self) -> float:
        drift = self._direction * self._regime.drift - _TETHER * math.log(self._price / self._first)
        shock = self._random.gauss(0.0, self._regime.deviation)
        self._price *= math.exp(drift / _MOVES_PER_BAR + shock / math.sqrt(_MOVES_PER_BAR))
        return self._price

    def _quoted(self, price: float) -> float:
        return max(round(price, self._digits), 10.0**-self._digits)


class SyntheticKlines:
    """An invented market of three symbols, for where there is no network. The same seed gives the same prices.

    Time is compressed: a bar moves as one minute of market would, but spans ``tick_seconds`` of the clock ``now_ms``,
    so that bars, intents and decisions of a demonstration share one time line. History ends at the first reading of
    the clock; each later bar begins where the last one ended and ends when it is emitted.
    """

    label = "SYNTHETIC market (no network): prices are invented"

    def __init__(
        self,
        seed: int,
        *,
        now_ms: Callable[[], int],
        tick_seconds: float = 0.5,
        history: int = 120,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if history < 0 or not tick_seconds > 0:
            msg = "synthetic klines: needs a positive tick and a history of at least 0 bars"
            raise SettingsError(msg)
        self._seed = seed
        self._now_ms = now_ms
        self._tick_seconds = tick_seconds
        self._history = history
        self._sleep = sleep

    async def bars(self) -> AsyncGenerator[Bar, None]:
        """History at once, then one bar of each symbol every tick, from the beginning of the walk on every call."""
        walks = {symbol: _Walk(symbol, self._seed) for symbol in SYMBOLS}
        span = max(1, round(self._tick_seconds * 1000))
        end = self._now_ms() - self._history * span
        for _ in range(self._history):
            start, end = end + 1, end + span
            for symbol, walk in walks.items():
                yield walk.bar(symbol, start, end)
        while True:
            await self._sleep(self._tick_seconds)
            # A clock that was set back must not make a bar end before it begins.
            start, end = end + 1, max(end + 1, self._now_ms())
            for symbol, walk in walks.items():
                yield walk.bar(symbol, start, end)
