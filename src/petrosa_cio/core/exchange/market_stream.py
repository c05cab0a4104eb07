"""The market as Binance USD-M tells anyone: its public streams, and over REST what they do not tell. Read-only.

Since April 2026 the exchange has its streams under two roads: books under ``/public``, all else under ``/market``. Each
is a connection of its own that is made again whenever it breaks, is silent, or is ended by the exchange (once a day).

Bars must not have holes. So each time the road of bars is opened, the minutes since the last known bar are asked for
over REST, before and after: what closes in between is then in one or the other, and to the guard a repeat is no news.
Where a bar is overdue though the connection stands, it is asked for as well.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from petrosa_cio.core.exchange.klines import MINUTE_MS
from petrosa_cio.core.exchange.market_rest import NoAnswer
from petrosa_cio.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from websockets.asyncio.client import ClientConnection

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.observations import Observation
    from petrosa_cio.core.exchange.market_rest import MarketRest

BINANCE_STREAMS = "wss://fstream.binance.com"
"""Base URL of the public streams of Binance USD-M futures; needs no key."""
BOOKS, REST = ("bookTicker",), ("kline_1m", "markPrice@1s")
MOST_SYMBOLS = 64
"""Symbols of one connection: the exchange takes at most 200 streams on it."""
SILENCE_SECONDS = 30.0
"""Mark prices come every second and books many times: a connection that is silent for this long is dead."""
OVERDUE_SECONDS = 5.0
"""The exchange tells a bar within a second of its close."""

_LONGEST_PAUSE_SECONDS = 30.0
_LOOK_SECONDS = 15.0
_MS = 1_000_000
_URL = re.compile(r"wss?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?\Z", re.ASCII)


class MarketStream:
    """Frames to ``frame`` as they come, with when; bars of the past to ``observe``.

    ``last_close_ms`` tells up to when the bars of a symbol are known. ``failures`` counts what broke and was begun
    again; each is logged.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        rest: MarketRest,
        *,
        frame: Callable[[bytes, Instant], None],
        observe: Callable[[Observation], None],
        last_close_ms: Callable[[str], int | None],
        history_ms: Callable[[str], int],
        now_ns: Callable[[], Instant],
        log: Callable[[str, dict[str, object]], None],
        base_url: str = BINANCE_STREAMS,
        silence_seconds: float = SILENCE_SECONDS,
        first_pause_seconds: float = 0.5,
    ) -> None:
        """Raises SettingsError for an address that is none, and for no symbol or more than `MOST_SYMBOLS`."""
        if not 0 < len(symbols) <= MOST_SYMBOLS:
            msg = f"market source binance: needs 1 to {MOST_SYMBOLS} symbols, got {len(symbols)}"
            raise SettingsError(msg)
        self._base_url = checked_stream_url(base_url)
        self._symbols = tuple(symbols)
        self._rest = rest
        self._frame = frame
        self._observe = observe
        self._last_close_ms = last_close_ms
        self._history_ms = history_ms
        self._now_ns = now_ns
        self._log = log
        self._silence = silence_seconds
        self._first_pause = first_pause_seconds
        self._filled: dict[str, int] = {}
        self._look_at = 0
        self._frames: Counter[str] = Counter()
        self.failures = 0

    async def books(self) -> None:
        """Keep the road of books open, for ever."""
        await self._kept_up("books", lambda: self._road("books", "public", BOOKS))

    async def bars(self) -> None:
        """Keep bars whole and marks coming, for ever."""

        async def session() -> None:
            await self._fill()
            await self._road("bars", "market", REST, self._fill, self._fill_overdue)

        await self._kept_up("bars", session)

    async def _kept_up(self, what: str, session: Callable[[], Awaitable[None]]) -> None:
        pause = self._first_pause
        while True:
            heard, wait = self._frames[what], 0.0
            try:
                await session()
            except NoAnswer as error:
                why, wait = str(error), error.wait_seconds
            except (OSError, TimeoutError, WebSocketException) as error:
                why = f"{type(error).__name__} {error}".rstrip()
            else:
                why = "the exchange ended it"
            self.failures += 1
            self._log("a part of the market stream broke off; it begins again", {"part": what, "why": why})
            if self._frames[what] > heard:
                pause = self._first_pause
            await asyncio.sleep(max(wait, pause))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _road(
        self,
        what: str,
        road: str,
        kinds: Sequence[str],
        opened: Callable[[], Awaitable[None]] | None = None,
        beside: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        streams = "/".join(f"{symbol.lower()}@{kind}" for symbol in self._symbols for kind in kinds)
        async with connect(f"{self._base_url}/{road}/stream?streams={streams}", close_timeout=1) as connection:
            if opened is not None:
                await opened()
            await self._pump(what, connection, beside)

    async def _pump(
        self, what: str, connection: ClientConnection, beside: Callable[[], Awaitable[None]] | None
    ) -> None:
        while True:
            async with asyncio.timeout(self._silence):
                frame = await connection.recv(decode=False)
            self._frames[what] += 1
            self._frame(frame, self._now_ns())
            if beside is not None:
                await beside()

    async def _fill(self) -> None:
        """Ask for the bars of every symbol that are not known yet, as far back as the guard looks."""
        for symbol in self._symbols:
            await self._fill_one(symbol)

    async def _fill_one(self, symbol: str) -> None:
        oldest = (self._now_ns() // _MS - self._history_ms(symbol)) // MINUTE_MS * MINUTE_MS
        known = max(self._last_close_ms(symbol) or 0, self._filled.get(symbol, 0))
        async for bar in self._rest.bars(symbol, max(oldest, known + 1)):
            self._filled[symbol] = bar.close_time_ms
            self._observe(bar)

    async def _fill_overdue(self) -> None:
        now = self._now_ns() // _MS
        if now < self._look_at:
            return
        self._look_at = now + round(_LOOK_SECONDS * 1000)
        for symbol in self._symbols:
            known = max(self._last_close_ms(symbol) or 0, self._filled.get(symbol, 0))
            if now > known + MINUTE_MS + round(OVERDUE_SECONDS * 1000):
                await self._fill_one(symbol)


def checked_stream_url(url: str) -> str:
    """``url`` if streams can be there. Raises SettingsError without repeating it: it may hold a password."""
    if not _URL.match(url):
        msg = f"address of the streams: must be like {BINANCE_STREAMS}"
        raise SettingsError(msg)
    return url
