"""An engine to ask: a real HTTP server that answers about account and positions, and can be told to misbehave."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, object]


def position(**fields: object) -> Json:
    """A long of 0.5 BTC at 60,000 that is 250 up: its notional at the mark is 30,250."""
    return {
        "symbol": "BTCUSDT", "side": "LONG", "quantity": 0.5, "avg_price": 60_000.0, "unrealized_pnl": 250.0,
        "realized_pnl": 0.0, "total_value": 30_000.0, "strategy_id": "momentum_pulse", "status": "open", **fields,
    }  # fmt: skip


def account(**fields: object) -> Json:
    """An account whose money is all at the exchange."""
    return {
        "account_type": "combined",
        "balances": {
            "binance": {"USDT": {"asset": "USDT", "free": 4000.0, "locked": 1120.4, "wallet_balance": 5120.4}},
            "simulator": {},
            "combined": {"USDT": 5120.4},
        },
        "total_balance_usdt": 5120.4,
        "positions": {},
        "pnl": {},
        "risk_metrics": {"total_exposure": 0.0, "open_positions": 0, "total_pnl": 0.0},
        **fields,
    }


@dataclass
class EngineServer:
    """What it tells, and what it was asked. ``raw`` replaces answers, by path: status, headers, body."""

    url: str
    account: object = field(default_factory=account)
    positions: list[object] = field(default_factory=lambda: [position()])
    raw: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    """While it is clear, answers wait; it is set from the start."""
    page: int = 500

    def say(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        self.raw[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if path in self.raw:
            return self.raw[path]
        if path == "/account":
            return 200, {}, json.dumps(self.account).encode()
        if path != "/positions":
            return 404, {}, b'{"detail":"Not Found"}'
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 50)), self.page)
        page, total = self.positions[offset : offset + limit], len(self.positions)
        pagination = {"total": total, "limit": limit, "offset": offset, "has_next": offset + limit < total}
        body = {"status": "success", "data": page, "source": "local", "pagination": pagination}
        return 200, {}, json.dumps(body).encode()


@contextmanager
def engine_server() -> Iterator[EngineServer]:
    """An engine on a port of its own."""

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            played.asked.append(self.path)
            played.hold.wait(30)
            status, headers, body = played.answer(url.path, dict(parse_qsl(url.query)))
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                """Whoever asked has gone."""

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    played = EngineServer(f"http://127.0.0.1:{server.server_address[1]}")
    played.hold.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield played
    finally:
        played.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
