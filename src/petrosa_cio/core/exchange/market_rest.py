"""Bars of the past and the rules of symbols, from the exchange's public REST interface."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.observations import Candle, Ruled
from petrosa_cio.core.exchange.endpoints import EXCHANGE_INFO, KLINES
from petrosa_cio.core.exchange.klines import MINUTE_MS, KlineError, parse_klines
from petrosa_cio.core.exchange.rules import RULES_SECONDS, rules_in, unlisted
from petrosa_cio.errors import CioError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.core.exchange.binance import Binance, Reply

LOOK_SECONDS = 1.0
"""How often it is looked whether a symbol came whose rules are not known."""

_PAGE = 1500
_MS = 1_000_000
# The exchange allows 2400 a minute to each address; what else runs on this one needs its part.
_MOST_WEIGHT = 1200
_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0


class NoAnswer(CioError):
    """The exchange's, or the network's: no usable answer. Nothing should be asked for ``wait_seconds``."""

    def __init__(self, what: str, wait_seconds: float = 0.0) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(what)


class MarketRest:
    """Reads bars and rules. Read-only: see `Binance`."""

    def __init__(self, exchange: Binance, now_ns: Callable[[], Instant]) -> None:
        self._exchange = exchange
        self._now_ns = now_ns

    async def bars(self, symbol: str, start_ms: int) -> AsyncIterator[Candle]:
        """Closed minute bars of ``symbol`` that open at ``start_ms`` or later, in order.

        Raises NoAnswer where the exchange does not answer with bars.
        """
        while True:
            page = {"startTime": str(start_ms), "limit": str(_PAGE)}
            reply = await self._exchange.ask(KLINES, symbol, page)
            received = self._now_ns()
            try:
                bars = parse_klines(symbol, _body(reply, f"bars of {symbol}"))
            except KlineError as error:
                raise NoAnswer(str(error)) from error
            for bar in bars:
                if bar.open_time_ms < start_ms or bar.close_time_ms >= received // _MS:
                    continue
                yield Candle(
                    symbol, min((bar.close_time_ms + 1) * _MS, received), received, bar.open_time_ms, bar.close_time_ms,
                    bar.open, bar.high, bar.low, bar.close, bar.volume,
                )  # fmt: skip
            if len(bars) < _PAGE:
                return
            start_ms = bars[-1].open_time_ms + MINUTE_MS
            if (reply.weight or 0) > _MOST_WEIGHT:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def rules(self, symbols: Sequence[str]) -> tuple[Ruled, ...]:
        """What the exchange says of each of ``symbols``. Raises NoAnswer where it does not answer with its rules."""
        reply = await self._exchange.ask(EXCHANGE_INFO, "")
        try:
            answer: object = json.loads(_body(reply, "rules"))
        except (ValueError, RecursionError) as error:
            msg = "the rules are not JSON"
            raise NoAnswer(msg) from error
        now = self._now_ns()
        listed = rules_in(answer, now)
        if not listed:
            msg = "the rules list no symbol"
            raise NoAnswer(msg)
        return tuple(listed.get(symbol) or unlisted(symbol, now) for symbol in symbols)


async def keep_rules(
    rest: MarketRest,
    symbols: Callable[[], Sequence[str]],
    observe: Callable[[Ruled], None],
    log: Callable[[str, dict[str, object]], None],
) -> None:
    """Read the rules of ``symbols`` every `RULES_SECONDS`, and when one came that was not read yet; for ever."""
    loop, read, due = asyncio.get_running_loop(), set[str](), 0.0
    pause = LOOK_SECONDS
    while True:
        wanted = symbols()
        if not read.issuperset(wanted) or (wanted and loop.time() >= due):
            try:
                for ruled in await rest.rules(wanted):
                    observe(ruled)
            except NoAnswer as error:
                log("the rules of the exchange cannot be read; they are asked for again", {"why": str(error)})
                await asyncio.sleep(max(error.wait_seconds, pause))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            read, due, pause = set(wanted), loop.time() + RULES_SECONDS, LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)


def _body(reply: Reply, what: str) -> bytes:
    if reply.status == 200 and not reply.large:
        return reply.body
    why = reply.trouble or f"HTTP {reply.status} {reply.body[:200]!r}"
    msg = f"{what}: {why}"
    raise NoAnswer(msg, reply.wait_seconds)
