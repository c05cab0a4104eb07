"""An exchange to probe: a real HTTP server with sound answers, which checks signatures and can be told to misbehave."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from builders_exchange import ANSWERS
from petrosa_cio.core.exchange.endpoints import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, SECRET = "the-key-of-the-fund-8e6d", "the-secret-of-the-fund-51fa"
SIGNED = {endpoint.path for endpoint in ENDPOINTS if endpoint.signed}

Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    path: str
    query: dict[str, str]
    key: str | None


@dataclass
class Exchange:
    """What it answers, and what it was asked. ``clock_ms`` is by how much its clock is ahead of ours."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    """Answers in place of the sound ones, by path."""
    clock_ms: int = 0
    weight: int = 7
    requests: list[Request] = field(default_factory=list)

    def say(self, path: str, body: object, status: int = 200, **headers: str) -> None:
        """Answer ``body`` (bytes as they are, else as JSON) for ``path`` from now on."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)

    @property
    def asked(self) -> list[str]:
        return [request.path for request in self.requests]

    def answer(self, request: Request, raw_query: str) -> Answer:
        refused = self._refused(request, raw_query) if request.path in SIGNED else None
        if refused is not None:
            return 400, {}, json.dumps(refused).encode()
        if request.path in self.answers:
            return self.answers[request.path]
        if request.path == "/fapi/v1/time":
            return 200, {}, json.dumps({"serverTime": self._now_ms()}).encode()
        return 200, {}, json.dumps(ANSWERS[request.path]).encode()

    def _now_ms(self) -> int:
        return int(time.time() * 1000) + self.clock_ms

    def _refused(self, request: Request, raw_query: str) -> dict[str, object] | None:
        signed, _, signature = raw_query.rpartition("&signature=")
        if request.key != KEY:
            return {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
        if hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest() != signature:
            return {"code": -1022, "msg": "Signature for this request is not valid."}
        behind = self._now_ms() - int(request.query["timestamp"])
        if not -1000 <= behind <= int(request.query["recvWindow"]):
            return {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        return None


@contextmanager
def exchange() -> Iterator[Exchange]:
    """An exchange on a port of its own."""

    class Desk(BaseHTTPRequestHandler):
        def serve_any(self) -> None:
            url = urlsplit(self.path)
            request = Request(self.command, url.path, dict(parse_qsl(url.query)), self.headers.get("X-MBX-APIKEY"))
            played.requests.append(request)
            status, headers, body = played.answer(request, url.query)
            self.send_response(status)
            told = {"Content-Length": str(len(body)), "X-MBX-USED-WEIGHT-1M": str(played.weight), **headers}
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = serve_any  # noqa: N815  the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    played = Exchange(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield played
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
