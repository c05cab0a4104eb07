"""An open-loop load: intents at a fixed rate whatever comes back, each timed from when it was sent."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import nats

INTENT: dict[str, object] = {
    "strategy_id": "bench_momentum",
    "symbol": "BTCUSDT",
    "action": "buy",
    "confidence": 0.74,
    "strategy_mode": "deterministic",
    "strength": "medium",
    "quantity": 0.001,
    "source": "ta_bot",
    "strategy": "bench_momentum",
    "metadata": {"macd_hist": 12.5, "macd_signal": 8.1, "rsi": 58.2, "volume": 1234.5, "risk_reward_ratio": 2.5},
    "timeframe": "15m",
    "order_type": "market",
    "time_in_force": "GTC",
    "position_size_pct": None,
    "stop_loss_pct": None,
    "take_profit_pct": None,
    "recommended_leverage": None,
    "signal_id": None,
    "_otel_trace_headers": {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
}
"""About 900 bytes and 30 fields once ids, time and prices are added: what the fleet's bot-ta-analysis sends."""


@dataclass(slots=True)
class Measured:
    """What came of one load. Latencies in ms."""

    sent: int
    latencies: list[float] = field(default_factory=list)
    doubled: int = 0

    @property
    def lost(self) -> int:
        return self.sent - len(self.latencies)

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies) or [float("inf")]
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def intent(number: int, run: str) -> bytes:
    price = 67000 + number % 997 * 0.5
    return json.dumps(
        {
            **INTENT,
            "price": price,
            "current_price": price,
            "stop_loss": price * 0.99,
            "take_profit": price * 1.03,
            "timestamp": datetime.now(UTC).isoformat(),
            "intent_id": f"{run}-{number}",
        }
    ).encode()


async def load(url: str, to: str, back: str, *, rate: float, seconds: float, run: str) -> Measured:
    """Publish on ``to`` at ``rate`` a second, listen on ``back``, wait at most 5 s for what is still on its way."""
    client = await nats.connect(url)
    due: dict[str, float] = {}
    total = int(rate * seconds)
    measured = Measured(total)

    async def heard(message: nats.aio.msg.Msg) -> None:
        now = time.perf_counter()
        data = message.data
        at = data.index(b'"intent_id":') + 12
        name = data[at : data.index(b'"', data.index(b'"', at) + 1)].decode().lstrip(' "')
        since = due.pop(name, None)
        if since is None:
            measured.doubled += 1
        else:
            measured.latencies.append((now - since) * 1000)

    await client.subscribe(back, cb=heard)
    await client.flush()
    start = time.perf_counter() + 0.05
    number = 0
    while number < total:
        while number < total and start + number / rate <= time.perf_counter():
            payload = intent(number, run)
            due[f"{run}-{number}"] = time.perf_counter()
            await client.publish(to, payload)
            number += 1
        # A millisecond, not a spin: the load shares two cores with what it measures.
        await asyncio.sleep(0.001)
    await client.flush()
    deadline = time.perf_counter() + 5
    while due and time.perf_counter() < deadline:
        await asyncio.sleep(0.005)
    await client.close()
    return measured
