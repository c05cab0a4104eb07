"""A futures exchange for market feeds: bars and rules over HTTP, streams over WebSockets, on ports of their own.

Both are real servers; its clock is set by the test, and bars are there once they have closed by it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import serve

from builders_bars import MINUTE, T0
from builders_market import MS, SYMBOL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection

Answer = tuple[int, dict[str, str], bytes]


def contract(symbol: str = SYMBOL, **changed: object) -> dict[str, object]:
    """A symbol of exchangeInfo, as of July 2026, as far as filters go."""
    return {
        "symbol": symbol,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "filters": [
            {"filterType": "PRICE_FILTER", "maxPrice": "4529764", "minPrice": "556.80", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "maxQty": "1000", "minQty": "0.001", "stepSize": "0.001"},
            {"filterType": "MARKET_LOT_SIZE", "maxQty": "120", "minQty": "0.001", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "50"},
        ],
        **changed,
    }


@dataclass
class MarketExchange:
    """What it serves and what it was asked. Price of minute n is 100 + n / 10, for every symbol."""

    rest_url: str = ""
    stream_url: str = ""
    now_ms: int = T0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and query of every request."""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    """Answers that are given once each, in turn, in place of the sound ones."""
    contracts: list[dict[str, object]] = field(default_factory=lambda: [contract()])
    opened: list[str] = field(default_factory=list)
    """Path and query of every connection that was opened."""
    roads: dict[str, ServerConnection] = field(default_factory=dict)
    """The connection that stands on each road."""

    def now_ns(self) -> int:
        return self.now_ms * MS

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        given = self.answers.get(path)
        if given:
            return given.pop(0)
        if path == "/fapi/v1/exchangeInfo":
            return 200, {}, json.dumps({"symbols": self.contracts}).encode()
        start, limit = int(query["startTime"]), int(query["limit"])
        first = -(-(start - T0) // MINUTE)
        last = (self.now_ms - T0) // MINUTE
        return 200, {}, json.dumps([row(minute) for minute in range(first, last + 1)][:limit]).encode()

    async def say(self, road: str, *events: dict[str, object] | bytes) -> None:
        """Send events to whoever stands on ``road``, in the exchange's wrapper; bytes as they are."""
        for event in events:
            raw = event if isinstance(event, bytes) else json.dumps({"stream": "s", "data": event}).encode()
            await self.roads[road].send(raw.decode())

    async def cut(self, road: str) -> None:
        """End the connection on ``road``."""
        await self.roads.pop(road).close()


def row(minute: int) -> list[object]:
    """The bar of that minute after T0 as REST tells it."""
    opened, price = T0 + minute * MINUTE, f"{100 + minute / 10:.1f}"
    return [opened, price, price, price, price, "5.0", opened + MINUTE - 1, "500.0", 7, "2.5", "250.0", "0"]


@asynccontextmanager
async def market_exchange() -> AsyncIterator[MarketExchange]:
    """An exchange that listens while the context lasts."""
    played = MarketExchange()

    class Desk(BaseHTTPRequestHandler):
        def serve_any(self) -> None:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            played.asked.append((self.command, url.path, query))
            status, headers, body = played.answer(url.path, query)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = serve_any  # noqa: N815  the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    async def stand(connection: ServerConnection) -> None:
        assert connection.request is not None
        played.opened.append(connection.request.path)
        played.roads[connection.request.path.split("/")[1]] = connection
        await connection.wait_closed()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        async with serve(stand, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            played.rest_url = f"http://127.0.0.1:{http.server_address[1]}"
            played.stream_url = f"ws://127.0.0.1:{port}"
            yield played
    finally:
        await asyncio.to_thread(http.shutdown)
        http.server_close()
        thread.join()
