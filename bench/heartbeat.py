"""How long the answer to a heartbeat request takes while a gate judges 2,000 intents a second.

Run as ``.venv/bin/python bench/heartbeat.py``. Gate, projector and a bare nats-py responder stand on one nats-server;
gate and responder are asked in turn, by one process, while another sends the intents. Two cores are little for five
processes: where intents are lost in the second line, the figures are those of an overloaded machine.
"""

from __future__ import annotations

import asyncio
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
from load import load
from micro import POLICY

from petrosa_cio.bootstrap.house import Wiring, start_book, until_judging
from petrosa_cio.core.nats import server
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.processes import Supervisor

RATE = 2000.0
SECONDS = 15.0
WARM_SECONDS = 2.0
EVERY_SECONDS = 0.005
TARGET_P99_MS = 20.0
TARGET_MOST_MS = 200.0
GATE, BARE = "cio.heartbeat.ping", "bench.ping"


async def respond(url: str) -> None:
    """The baseline: it answers, and knows nothing."""
    client = await nats.connect(url)

    async def on(message: nats.aio.msg.Msg) -> None:
        await message.respond(b"{}")

    await client.subscribe(BARE, cb=on)
    await client.flush()
    await asyncio.Event().wait()


async def send(url: str) -> None:
    """The intents; what came of them is the last line of the output."""
    sent = await load(url, "intent.bench", "signals.trading", rate=RATE, seconds=WARM_SECONDS + SECONDS, run="heart")
    print(json.dumps({"sent": sent.sent, "lost": sent.lost, "doubled": sent.doubled, "p99_ms": sent.quantile(0.99)}))


async def ask(client: nats.aio.client.Client, subject: str) -> float | None:
    """Milliseconds to the answer; None for silence within 200 ms."""
    began = time.perf_counter()
    try:
        await client.request(subject, b"", timeout=TARGET_MOST_MS / 1000)
    except (TimeoutError, nats.errors.Error):
        return None
    return (time.perf_counter() - began) * 1000


async def measure(directory: Path) -> tuple[dict[str, list[float | None]], dict[str, object]]:
    policy = directory / "policy.json"
    policy.write_text(json.dumps(POLICY))
    async with Supervisor(directory, lambda *_: None) as supervisor:
        plan = server.plan(directory / "nats")
        await supervisor.start("nats-server", plan.command)
        link = await Link.open(plan.url, "bench")
        await start_book(supervisor, Wiring(plan.url, "main", directory, "signals.trading", policy))
        await supervisor.start("responder", (sys.executable, __file__, "--respond", plan.url))
        await until_judging(link, "main", print)
        await link.close()
        sending = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--send", plan.url, stdout=asyncio.subprocess.PIPE
        )
        client = await nats.connect(plan.url)
        await asyncio.sleep(WARM_SECONDS)
        took: dict[str, list[float | None]] = {GATE: [], BARE: []}
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            for subject, times in took.items():
                times.append(await ask(client, subject))
                await asyncio.sleep(EVERY_SECONDS)
        output, _ = await sending.communicate()
        await client.close()
        return took, json.loads(output)


def quantile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def main() -> None:
    match sys.argv[1:]:
        case ["--respond", url]:
            uvloop.run(respond(url))
            return
        case ["--send", url]:
            uvloop.run(send(url))
            return
    with tempfile.TemporaryDirectory() as directory:
        took, sent = uvloop.run(measure(Path(directory)))
    gate = [time for time in took[GATE] if time is not None]
    bare = [time for time in took[BARE] if time is not None]
    silent = len(took[GATE]) - len(gate)
    p50, p99, most = statistics.median(gate), quantile(gate, 0.99), max(gate)
    rows = [
        ("heartbeat reply at 2,000/s, p50 [ms]", p50, statistics.median(bare), "none", True),
        ("heartbeat reply at 2,000/s, p99 [ms]", p99, quantile(bare, 0.99), "<= 20 ms", p99 <= TARGET_P99_MS),
        ("heartbeat reply at 2,000/s, longest [ms]", most, max(bare), "<= 200 ms", most <= TARGET_MOST_MS),
        ("requests that met silence within 200 ms", silent, len(took[BARE]) - len(bare), "0", silent == 0),
    ]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {len(gate)} answers")
    print(
        f"meanwhile {sent['sent']} intents: {sent['lost']} lost, {sent['doubled']} doubled, p99 {sent['p99_ms']:.1f} ms"
    )
    for name, ours, theirs, target, holds in rows:
        ratio = f"{ours / theirs:.2f} x" if theirs else ""
        print(f"{name:52} {ours:>10.3f} {theirs:>8.3f} {ratio:>8}  {target:12} {'holds' if holds else 'MISSED'}")
    if not all(holds for *_, holds in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
