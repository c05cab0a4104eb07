"""The way to Binance USD-M futures: signed and unsigned questions, and nothing that could change an account.

Read-only by construction: the client refuses every method but GET before a byte leaves, and follows no redirect, so a
key never goes to another host. Key and secret are kept out of every text that leaves this module.

After a 418 or 429 nothing more is asked in this probe; `Reply.wait_seconds` says for how long nothing should be.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx2

from petrosa_cio.core.exchange.klines import BINANCE_USDM
from petrosa_cio.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from petrosa_cio.core.exchange.endpoints import Endpoint

_LARGEST_BODY = 32 * 1024 * 1024
_RECV_WINDOW_MS = 5000
_TOO_MANY = (418, 429)
# Binance counts requests per minute, so a refusal that names no time is over after one.
_UNNAMED_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3 * 86_400.0
_WEIGHT = re.compile(r"x-mbx-used-weight(-1m)?", re.ASCII)
_BANNED_UNTIL = re.compile(rb"banned until ([0-9]{13})")
_HIDDEN = b"[hidden]"

# It logs each request with its whole query, and ours are signed.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class OtherMethod(RuntimeError):
    """Someone tried to send another method than GET: a fault of the program, stopped before it left."""


async def only_get(request: httpx2.Request) -> None:
    """Let a GET to the exchange pass. Raises OtherMethod for anything else, before a byte leaves."""
    if request.method != "GET":
        msg = f"the probe only reads: {request.method} was not sent"
        raise OtherMethod(msg)


@dataclass(frozen=True, slots=True)
class Keys:
    """An API key and its secret. Neither is in its repr."""

    key: str = field(repr=False)
    secret: str = field(repr=False)

    def signed(self, query: dict[str, str]) -> str:
        """The query as it is sent: with its HMAC-SHA256 as last parameter."""
        text = urlencode(query)
        signature = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return f"{text}&signature={signature}"

    def hidden_in(self, body: bytes) -> bytes:
        """``body`` without key and secret, should whoever answers send them back."""
        for word in (self.key, self.secret):
            if word:
                body = body.replace(word.encode(), _HIDDEN)
        return body


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status and body, or (status None) nothing. Times are our clock's, in nanoseconds."""

    status: int | None
    body: bytes
    asked_ns: int
    answered_ns: int
    trouble: str = ""
    weight: int | None = None
    """Weight used in the running minute, as the exchange counts it."""
    wait_seconds: float = 0.0
    """How long nothing should be asked."""
    large: bool = False
    """The body is longer than any answer and was not read to its end."""


class Binance:
    """A connection to the exchange, for the length of one probe. Use it as an async context manager."""

    def __init__(
        self,
        base_url: str = BINANCE_USDM,
        keys: Keys | None = None,
        *,
        now_ns: Callable[[], int],
        timeout_seconds: float = 10.0,
    ) -> None:
        self._keys = keys
        self._timeout = timeout_seconds
        self._now_ns = now_ns
        self.skew_ms = 0
        """What is added to our clock for the exchange's; set once it is measured."""
        self.client = httpx2.AsyncClient(
            base_url=checked_base_url(base_url),
            timeout=httpx2.Timeout(timeout_seconds),
            headers={"User-Agent": "petrosa-cio"},
            follow_redirects=False,
            # Every way to send leads through it.
            event_hooks={"request": [only_get]},
        )

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.__aexit__(kind, error, trace)

    @property
    def has_keys(self) -> bool:
        """Whether signed endpoints can be asked."""
        return self._keys is not None

    async def ask(self, endpoint: Endpoint, symbol: str, more: Mapping[str, str] | None = None) -> Reply:
        """Ask ``endpoint`` about ``symbol``. No answer is a Reply without status, never an exception.

        ``more`` is added to what the endpoint asks by itself, or stands in its place.
        """
        query = {name: value.replace("{symbol}", symbol) for name, value in endpoint.query.items()}
        query.update(more or {})
        headers: dict[str, str] = {}
        if endpoint.signed and self._keys is not None:
            query["recvWindow"] = str(_RECV_WINDOW_MS)
            query["timestamp"] = str(self._now_ns() // 1_000_000 + self.skew_ms)
            headers["X-MBX-APIKEY"] = self._keys.key
            text = self._keys.signed(query)
        else:
            text = urlencode(query)
        path = f"{endpoint.path}?{text}" if text else endpoint.path
        asked = self._now_ns()
        try:
            # The client bounds each read, not the whole answer: a server that drips bytes would hold us for ever.
            async with asyncio.timeout(self._timeout):
                return await self._read(path, headers, asked)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
            # Its text may hold the signed query, so only its name is told.
            return Reply(None, b"", asked, self._now_ns(), trouble=type(error).__name__)

    async def _read(self, path: str, headers: dict[str, str], asked: int) -> Reply:
        body, large = b"", False
        async with self.client.stream("GET", path, headers=headers) as response:
            answered = self._now_ns()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_BODY:
                    large = True
                    break
        if self._keys is not None:
            body = self._keys.hidden_in(body)
        status = response.status_code
        wait = _pause(response.headers.get("Retry-After"), body, answered) if status in _TOO_MANY else 0.0
        return Reply(status, body, asked, answered, "", _weight(response.headers), wait, large)


def checked_base_url(base_url: str, name: str = "--base-url", like: str = BINANCE_USDM) -> str:
    """``base_url`` if one can ask it. Raises SettingsError without repeating it: it may hold a password."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        msg = f"{name}: is not a URL"
        raise SettingsError(msg) from error
    if url.scheme not in ("http", "https") or not url.host or "%" in url.host or url.userinfo:
        msg = f"{name}: must be like {like}, without user and password"
        raise SettingsError(msg)
    return base_url


def _pause(value: str | None, body: bytes, now_ns: int) -> float:
    """Seconds to wait after a refusal: what the header says, or until a ban ends, which only the body says."""
    named = [_UNNAMED_PAUSE_SECONDS]
    if value is not None and re.fullmatch(r"[0-9]{1,9}", value.strip(), re.ASCII):
        named = [float(value)]
    if until := _BANNED_UNTIL.search(body):
        named.append(int(until[1]) / 1000 - now_ns / 1e9)
    return min(max(named), _LONGEST_PAUSE_SECONDS)


def _weight(headers: httpx2.Headers) -> int | None:
    found = [
        int(value)
        for name, value in headers.items()
        if _WEIGHT.fullmatch(name.lower()) and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII)
    ]
    return max(found, default=None)
