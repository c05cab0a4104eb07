"""How long from the acknowledgement of a change of policy until the gate's first verdict under it.

Run as ``.venv/bin/python bench/policy.py``. A system like that of `up`: nats-server, projector, steward, gate, on this
machine; intents every 2 ms; each change is kept in the configuration store and put up on the board, then it counts as
acknowledged. Negative figures are verdicts under the new policy that came before the author was told; they count as 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nats
import uvloop

from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.bootstrap.boards import open_boards, publication_of
from petrosa_cio.bootstrap.house import Wiring, start_book, until_judging
from petrosa_cio.bootstrap.stores import StorePlace, open_config_store
from petrosa_cio.core import clock
from petrosa_cio.core.nats import server
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.processes import Supervisor

CHANGES = 200
TARGET_MS = 100.0
POLICY = {
    "scopes": {"global": {"max_daily_trades": 10_000, "governance_timeout_ms": 60_000}},
    "modes": {"DAILY_TRADES": "observe", "ORDER_RATE": "off"},
    "required_facts": [],
}


async def measure(directory: Path) -> tuple[list[float], list[float]]:
    """Milliseconds from acknowledgement to verdict, and milliseconds that a change took to be acknowledged."""
    policy = directory / "policy.json"
    policy.write_text(json.dumps(POLICY))
    async with Supervisor(directory, lambda *_: None) as supervisor:
        plan = server.plan(directory / "nats")
        await supervisor.start("nats-server", plan.command)
        link = await Link.open(plan.url, "bench")
        await start_book(supervisor, Wiring(plan.url, "main", directory, policy_file=policy, governed=True))
        await until_judging(link, "main", print)
        store = await open_config_store(StorePlace(directory))
        boards = open_boards(link, None, 1, lambda *_: None)
        try:
            return await _changes(plan.url, Governor(store, "main"), boards)
        finally:
            await store.close()
            await link.close()


async def _changes(url: str, governor: Governor, boards: object) -> tuple[list[float], list[float]]:
    client = await nats.connect(url)
    first: dict[str, float] = {}

    async def hear(message: nats.aio.msg.Msg) -> None:
        content = json.loads(message.data)
        if content["kind"] == "decision":
            first.setdefault(content["policy_revision"], time.perf_counter())

    await client.subscribe("cio.ledger.main", cb=hear)
    sending = asyncio.create_task(_steadily(client))
    waits: list[float] = []
    took: list[float] = []
    try:
        for number in range(CHANGES):
            head = await governor.configuration()
            value = {"max_daily_trades": 5_000 + number}
            began = time.perf_counter()
            patch = Patch("global", value, (), "bench", "", "", head.scope_versions["global"], "legacy")
            version = await governor.propose(patch, clock.now_ns())
            trouble = await boards.bring_up_to(publication_of(version))
            told = time.perf_counter()
            assert not trouble, trouble
            while version.revision not in first:
                await asyncio.sleep(0)
            waits.append(max(first[version.revision] - told, 0) * 1000)
            took.append((told - began) * 1000)
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        await client.close()
    return waits, took


async def _steadily(client: nats.aio.client.Client) -> None:
    number = 0
    while True:
        number += 1
        body = {
            "strategy_id": "bench",
            "symbol": "BTCUSDT",
            "action": "buy",
            "confidence": 0.8,
            "price": 100.0,
            "quantity": 1.0,
            "intent_id": f"b{number}",
        }
        await client.publish("intent.bench", json.dumps(body).encode())
        await asyncio.sleep(0.002)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        waits, took = uvloop.run(measure(Path(directory)))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {CHANGES} changes")
    for name, figures in (("acknowledged -> first verdict under it", waits), ("made -> acknowledged", took)):
        cuts = statistics.quantiles(figures, n=100)
        print(f"{name:42} p50 {statistics.median(figures):7.2f} ms  p99 {cuts[98]:7.2f} ms  max {max(figures):7.2f} ms")
    held = statistics.quantiles(waits, n=100)[98] <= TARGET_MS
    print(f"target: p99 <= {TARGET_MS:g} ms: {'holds' if held else 'MISSED'}")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
