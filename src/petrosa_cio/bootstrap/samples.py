"""The market and sample strategies of `up`, in a process of their own: their failure never touches the gate."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from petrosa_cio.bootstrap.gate import open_link
from petrosa_cio.core import clock, logs
from petrosa_cio.core.exchange.klines import LiveKlines, SyntheticKlines
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.core.sample_market import SUBJECT, events
from petrosa_cio.core.samples import run_samples

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from petrosa_cio.core.exchange.klines import Bar, Klines
    from petrosa_cio.core.nats.link import Link

LIVE = "live"
SEED = 7
"""Seed of the synthetic market: the same prices at every start."""


async def run_market(nats_url: str, market: str) -> None:
    """Feed sample strategies from ``market`` (``live`` or ``synthetic``) until SIGTERM or SIGINT."""
    log = logs.events("samples")
    link = await open_link(nats_url, "petrosa-cio samples", None, "samples")
    klines = _klines(market)
    log("market", {"label": klines.label})
    publish = _publisher(link)
    running = asyncio.create_task(run_samples(_Told(klines, publish), publish, _now))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await asyncio.gather(running, return_exceptions=False)
    except asyncio.CancelledError:
        log("stopped", {})
    finally:
        await link.close()


def _now() -> datetime:
    return datetime.fromtimestamp(clock.now_ns() / 1e9, tz=UTC)


@dataclass(frozen=True, slots=True)
class Market:
    """A market by its name (``live`` or ``synthetic``) and the label that is shown to a person."""

    name: str
    label: str

    @property
    def live(self) -> bool:
        """Whether it is the real one."""
        return self.name == LIVE


async def choose_market(wanted: str) -> Market:
    """The market for ``wanted``: as named, or for ``auto`` the live one if it can be reached now."""
    if wanted == "auto":
        wanted = LIVE if await LiveKlines().reachable() else "synthetic"
    return Market(wanted, _klines(wanted).label)


def _klines(market: str) -> Klines:
    if market == LIVE:
        return LiveKlines()
    return SyntheticKlines(seed=SEED, now_ms=lambda: clock.now_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class _Told:
    """A market of which all that happens from now on is told on the bus, before the strategies see it."""

    klines: Klines
    publish: Callable[[str, bytes], Awaitable[None]]

    async def bars(self) -> AsyncGenerator[Bar, None]:
        """The bars, without end."""
        began_ms = clock.now_ns() // 1_000_000
        async with aclosing(self.klines.bars()) as bars:
            async for bar in bars:
                now_ms = clock.now_ns() // 1_000_000
                if bar.close_time_ms >= began_ms:
                    for event in events(bar, now_ms):
                        await self.publish(SUBJECT, event)
                yield bar


def _publisher(link: Link) -> Callable[[str, bytes], Awaitable[None]]:
    async def publish(subject: str, payload: bytes) -> None:
        try:
            await link.publish(subject, payload)
        except Interrupted:
            await link.restored()

    return publish
