"""The market and sample strategies of `up`, in a process of their own: their failure never touches the gate."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from petrosa_cio.bootstrap.gate import open_link
from petrosa_cio.core import clock, logs
from petrosa_cio.core.exchange.klines import LiveKlines, SyntheticKlines
from petrosa_cio.core.nats.link import Interrupted
from petrosa_cio.core.samples import run_samples

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from petrosa_cio.core.exchange.klines import Klines
    from petrosa_cio.core.nats.link import Link


async def run_market(nats_url: str, market: str) -> None:
    """Feed sample strategies from ``market`` (``auto``, ``live`` or ``synthetic``) until SIGTERM or SIGINT."""
    log = logs.events("samples")
    link = await open_link(nats_url, "petrosa-cio samples", None, "samples")
    klines = await _choose(market)
    log("market", {"label": klines.label})
    running = asyncio.create_task(run_samples(klines, _publisher(link), _now))
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


async def _choose(market: str) -> Klines:
    live = LiveKlines()
    if market == "live" or (market == "auto" and await live.reachable()):
        return live
    return SyntheticKlines(seed=7, now_ms=lambda: clock.now_ns() // 1_000_000)


def _publisher(link: Link) -> Callable[[str, bytes], Awaitable[None]]:
    async def publish(subject: str, payload: bytes) -> None:
        try:
            await link.publish(subject, payload)
        except Interrupted:
            await link.restored()

    return publish
