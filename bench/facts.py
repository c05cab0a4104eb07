"""What facts cost: CPU time of judging and recording one intent, as the gate does it, with and without them.

Run as ``.venv/bin/python bench/facts.py``. In one process, without a server: what is timed ends where the record would
be sent. CPU time and not time by the clock, so that a busy machine changes little. An approved intent's order is filled
at once, so each is judged on holdings that have changed. The smallest of several rounds is told.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from load import intent

from builders import market_state, position_of
from builders_account import report
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core import clock
from petrosa_cio.core.nats.counters import GateCounters
from petrosa_cio.core.nats.fold import Folded
from petrosa_cio.core.nats.judging import Judging
from petrosa_cio.core.nats.reader import Delivered
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.nats.writer import LedgerWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.nurse.happenings import Happening, PromotedOrder
    from petrosa_cio.apps.nurse.models import Instant, MarketState
    from petrosa_cio.core.nats.link import Link

INTENTS = 400
ROUNDS = 5
POLICY = {"required_facts": [], "modes": {"DAILY_TRADES": "off", "ORDER_RATE": "off"}}
HALTED = {"kind": "state", "state": "HALTED", "at": "2026-01-01T00:00:00+00:00", "who": "ana", "why": "bench"}


class Nowhere:
    """Takes what is sent, and sends it nowhere."""

    max_payload = 1024 * 1024

    def __init__(self) -> None:
        self.bytes = 0

    async def append(self, subject: str, data: bytes, headers: dict[str, str]) -> asyncio.Future[int]:
        del subject, headers
        self.bytes += len(data)
        return asyncio.get_running_loop().create_future()


class Told:
    """An account of which everything was told before."""

    def begin(self, after: int) -> None:
        pass

    def promoted(self, order: PromotedOrder) -> None:
        pass

    def due(self, now: Instant) -> Sequence[Happening]:
        del now
        return ()


class OneMarket:
    """The same market for everybody, as between two tellings of a feed."""

    def __init__(self, now: Instant) -> None:
        self._known = replace(
            market_state(now), mark=Decimal(67_000), bid=Decimal(66_999), ask=Decimal(67_001), next_funding_at=now
        )

    def state(self, symbol: str, now: Instant) -> MarketState | None:
        del symbol, now
        return self._known


async def measured(positions: int | None, *, market: bool, trades: bool) -> tuple[float, int]:
    """Microseconds of CPU and bytes of the record, of one intent."""
    now = clock.now_ns()
    terms = GateTerms("bench", read_policy(POLICY), clock.now_ns, market=OneMarket(now) if market else None)
    if positions is not None:
        terms.accounts = Told()
    nowhere = Nowhere()
    folded = Folded("bench", terms.policy)
    writer = LedgerWriter(cast("Link", nowhere), terms, folded)
    judging = Judging(writer, GateCounters(), lambda *_: None)
    if positions is not None:
        held = tuple(
            position_of(f"S{number}USDT", strategy_id="momo", liquidation_price=Decimal("51.25"))
            for number in range(positions)
        )
        folded.holdings.reported(report(now - SECOND, positions=held, orders=()))
    messages = [
        Delivered(number, "cio.intent.trading.bench", {}, intent(number, "facts"), clock.now_ns())
        for number in range(1, INTENTS + 1)
    ]
    if not trades:
        folded.memory.take_standing(dict(HALTED))
    gc.collect()
    began = time.process_time_ns()
    for message in messages:
        await judging.take(message)
        writer.records.clear()
        for promise in folded.open.values():
            folded.holdings.expired(promise.decision_id)
        folded.open.clear()
    spent = time.process_time_ns() - began
    return spent / INTENTS / 1000, nowhere.bytes // INTENTS


async def main() -> None:
    """Print one line for each kind of facts."""
    for trades in (False, True):
        print("each approved" if trades else "each blocked: the book is halted")
        for name, positions, market in (
            ("no facts", None, False),
            ("market", None, True),
            *((f"market, account of {number} positions", number, True) for number in (0, 10, 100)),
        ):
            rounds = [await measured(positions, market=market, trades=trades) for _ in range(ROUNDS)]
            print(f"  {name:36} {min(spent for spent, _ in rounds):8.1f} µs {rounds[0][1]:8,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
