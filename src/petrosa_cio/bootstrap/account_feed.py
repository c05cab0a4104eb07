"""The account feed: asks one source what the account holds, again and again, and publishes each report for the gates.

Run it beside the other feeds. Gates do not depend on it: where it is away, what they know of the account grows old, and
entries that need it are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.bootstrap.probing import keys_in
from petrosa_cio.core import clock
from petrosa_cio.core.exchange.account import BinanceAccount
from petrosa_cio.core.exchange.binance import Binance
from petrosa_cio.core.exchange.engine import Engine
from petrosa_cio.core.exchange.klines import BINANCE_USDM
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.reports import encode_report
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Literal

    from petrosa_cio.core.exchange.binance import Keys
    from petrosa_cio.core.exchange.polled import AccountSource, Polled
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.settings import Settings

LONGEST_PAUSE_SECONDS = 60.0
"""Pauses double from the usual one while a source fails, up to this; one that it names itself may be longer."""


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """Which account is asked for, and how often. The origin of its reports is the name of the source."""

    book: str
    source: Literal["none", "engine", "binance"] = "none"
    engine_url: str | None = None
    binance_url: str = BINANCE_USDM
    keys: Keys | None = field(default=None, repr=False)
    poll_seconds: float = 5.0
    timeout_seconds: float = 5.0


def account_options(settings: Settings) -> AccountOptions:
    """The options that the environment gives. Raises SettingsError for keys that cannot be sent."""
    keys = keys_in(settings) if settings.account_source == "binance" else None
    return AccountOptions(
        settings.book,
        settings.account_source,
        settings.engine_url,
        settings.binance_url,
        keys,
        settings.account_poll_seconds,
    )


async def account_task(options: AccountOptions, link: Link, log: Callable[[str, dict[str, object]], None]) -> None:
    """Poll and publish until cancelled; with source ``none`` return at once.

    Raises SettingsError for a source that cannot be asked, and BusError once the link was closed.
    """
    if options.source == "none":
        return
    async with _opened(options) as source:
        feed = AccountFeed(source, _publisher(link, options.book), log, options.poll_seconds)
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            pause = await feed.look()


@contextlib.asynccontextmanager
async def _opened(options: AccountOptions) -> AsyncIterator[AccountSource]:
    if options.source == "engine":
        if options.engine_url is None:
            msg = "CIO_ENGINE_URL: the engine is the source of the account, so it is needed"
            raise SettingsError(msg)
        async with Engine(options.engine_url, now_ns=clock.now_ns, timeout_seconds=options.timeout_seconds) as engine:
            yield engine
        return
    if options.keys is None:
        msg = "CIO_BINANCE_API_KEY: Binance is the source of the account, so it is needed"
        raise SettingsError(msg)
    exchange = Binance(options.binance_url, options.keys, now_ns=clock.now_ns, timeout_seconds=options.timeout_seconds)
    async with exchange:
        yield BinanceAccount(exchange)


def _publisher(link: Link, book: str) -> Callable[[bytes], Awaitable[None]]:
    async def publish(report: bytes) -> None:
        try:
            await link.publish(subjects.account_subject(book), report)
        except Interrupted:
            await link.stands()  # and the next look tells what is true by then

    return publish


@dataclass(slots=True)
class AccountFeed:
    """One look after another. What fails is told once, and so is that it works again."""

    source: AccountSource
    publish: Callable[[bytes], Awaitable[None]]
    log: Callable[[str, dict[str, object]], None]
    poll_seconds: float
    looks: int = 0
    failed: int = 0
    """Looks without a report."""
    _failures: int = 0
    _notes: tuple[str, ...] = ()

    async def look(self) -> float:
        """Ask once and publish what is told. Return the seconds until the next look."""
        polled = await self.source.report()
        self.looks += 1
        if polled.report is None:
            self._tell_failure(polled)
        else:
            self._tell_success(polled)
            await self.publish(encode_report(polled.report))
        return max(self._pause(), polled.wait_seconds)

    def _pause(self) -> float:
        longest = max(self.poll_seconds, LONGEST_PAUSE_SECONDS)
        return min(self.poll_seconds * 2.0 ** min(self._failures, 16), longest)

    def _tell_failure(self, polled: Polled) -> None:
        self.failed += 1
        self._failures += 1
        if self._failures == 1:
            self.log("ALARM: the account cannot be read", {"why": polled.trouble, "wait_seconds": polled.wait_seconds})

    def _tell_success(self, polled: Polled) -> None:
        if self._failures:
            self.log("the account can be read again", {"after_failures": self._failures})
        self._failures = 0
        if polled.notes != self._notes:
            self.log("what is told of the account has changed in kind", {"notes": list(polled.notes)})
        self._notes = polled.notes
