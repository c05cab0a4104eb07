"""The pieces in one process: decode, judge, encode. Times in microseconds, median and 99th percentile."""

from __future__ import annotations

import gc
import math
import random
import time
from typing import TYPE_CHECKING

from load import intent

from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.case import Case
from petrosa_cio.apps.nurse.decision import content_of, decide, remember
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.guard import State, fold
from petrosa_cio.apps.nurse.models import SECOND, Intent
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core import clock
from petrosa_cio.core.exchange.klines import Bar
from petrosa_cio.core.nats import wire
from petrosa_cio.core.nats.ledger import Position, entry

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 5000
GUARD_BARS = 30_000
POLICY = {"required_facts": [], "modes": {"DAILY_TRADES": "off", "ORDER_RATE": "off"}}


def pieces() -> dict[str, tuple[float, float]]:
    """Time each piece over fresh intents: name -> (median, p99) in microseconds."""
    policy = read_policy(POLICY)
    memory, position = Book(300 * SECOND), Position("bench")
    times: dict[str, list[int]] = {"decode": [], "judge": [], "decode + judge + encode": [], "record": []}
    payloads = [intent(number, "micro") for number in range(COUNT)]
    gc.collect()
    gc.freeze()
    for number, payload in enumerate(payloads):
        now = clock.now_ns()
        began = time.perf_counter_ns()
        receipt = wire.receive(number, "cio.intent.trading.bench", payload, None, now)
        decoded = time.perf_counter_ns()
        decision = decide("bench", receipt, memory, policy, now)
        remembered = remember(decision)
        assert isinstance(receipt.body, Intent)
        assert remembered is not None
        memory.fold(remembered)
        wire.signal_body(receipt, receipt.body, decision.decision_id, decision.signal_id, None)
        encoded = time.perf_counter_ns()
        position = entry(position, content_of(decision), number, position.totals, policy.revision).position
        recorded = time.perf_counter_ns()
        case = Case(receipt.body, policy, decision.facts, now, now)
        before = time.perf_counter_ns()
        judge(case)
        times["judge"].append(time.perf_counter_ns() - before)
        times["decode"].append(decoded - began)
        times["decode + judge + encode"].append(encoded - began)
        times["record"].append(recorded - encoded)
    return dict(_quantiles(times))


def guard_fold() -> tuple[float, float]:
    """The regime guard, one bar: (median, p99) in microseconds over three weeks of invented minutes."""
    chance = random.Random(1)
    state, price, times = State(), 100.0, []
    for number in range(GUARD_BARS):
        opened, price = price, price * math.exp(chance.gauss(0.0, 0.0006))
        high, low = max(opened, price), min(opened, price)
        start = number * 60_000
        bar = Bar("BTCUSDT", start, start + 59_999, opened, high, low, price, 1.0)
        before = time.perf_counter_ns()
        state = fold(state, bar)
        times.append(time.perf_counter_ns() - before)
    ((_, found),) = _quantiles({"fold": times})
    return found


def _quantiles(times: dict[str, list[int]]) -> Iterator[tuple[str, tuple[float, float]]]:
    for name, values in times.items():
        ordered = sorted(values)
        yield name, (ordered[len(ordered) // 2] / 1000, ordered[int(len(ordered) * 0.99)] / 1000)
