"""`make bench`: the gate beside a bare forwarder, on one nats-server, in one run, A B A B.

Prints a table and writes bench-results/latest.json: {"machine", "rows": [...]}, a row
being {name, ours, baseline, ratio, target, holds}.
Trust the ratios: both sides share the machine's mood. BENCH_SECONDS (default 20) is the length of the sustained load.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from load import Measured, load
from micro import POLICY, guard_fold, pieces

from petrosa_cio.bootstrap.house import Wiring, start_book, until_judging
from petrosa_cio.core.nats import server
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.processes import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).resolve().parent
RATE = 1000.0
ROUNDS = 2


def row(name: str, ours: float, baseline: float | None, target: str, *, most: float, unit: str) -> dict[str, object]:
    """One line: ``most`` bounds the ratio where there is a baseline, else the figure itself."""
    ratio = None if baseline is None else round(ours / baseline, 2)
    holds = (ratio if ratio is not None else ours) <= most
    shown = None if baseline is None else round(baseline, 3)
    return {
        "name": f"{name} [{unit}]",
        "ours": round(ours, 3),
        "baseline": shown,
        "ratio": ratio,
        "target": target,
        "holds": holds,
    }


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[str]:
    """A nats-server with gate, projector and the bare forwarder on it."""
    policy = directory / "policy.json"
    policy.write_text(json.dumps(POLICY))
    async with Supervisor(directory, lambda *_: None) as supervisor:
        plan = server.plan(directory / "nats")
        await supervisor.start("nats-server", plan.command)
        link = await Link.open(plan.url, "bench")
        await start_book(supervisor, Wiring(plan.url, "main", directory, "signals.trading", policy))
        await supervisor.start("forwarder", (sys.executable, str(HERE / "forwarder.py"), plan.url))
        await until_judging(link, "main", print)
        await link.close()
        yield plan.url


async def paths(url: str) -> list[dict[str, object]]:
    """Latency side by side, then a burst, then a sustained load."""
    await load(url, "intent.bench", "signals.trading", rate=500, seconds=2, run="warm-a")
    await load(url, "bench.in", "bench.out", rate=500, seconds=2, run="warm-b")
    ours: list[Measured] = []
    bare: list[Measured] = []
    for turn in range(ROUNDS):
        bare.append(await load(url, "bench.in", "bench.out", rate=RATE, seconds=6, run=f"b{turn}"))
        ours.append(await load(url, "intent.bench", "signals.trading", rate=RATE, seconds=6, run=f"o{turn}"))
    rows = []
    for label, share, most in (("p50", 0.5, 2.5), ("p99", 0.99, 5.0)):
        mine = statistics.median(run.quantile(share) for run in ours)
        theirs = statistics.median(run.quantile(share) for run in bare)
        rows.append(
            row(f"gate {label} at 1,000/s", mine, theirs, f"<= {most:g} x bare forwarder", most=most, unit="ms")
        )
    lost = sum(run.lost + run.doubled for run in ours)
    rows.append(row("gate at 1,000/s: lost or doubled", lost, None, "0", most=0, unit="intents"))
    bursts = [
        max((await load(url, "intent.bench", "signals.trading", rate=1e6, seconds=5e-4, run=f"u{turn}")).latencies)
        for turn in range(5)
    ]
    rows.append(row("burst of 500: last signal", statistics.median(bursts), None, "<= 60 ms", most=60, unit="ms"))
    seconds = float(os.environ.get("BENCH_SECONDS", "20"))
    long = await load(url, "intent.bench", "signals.trading", rate=3000, seconds=seconds, run="s")
    name = f"3,000/s for {seconds:g} s"
    rows.append(row(f"{name}: lost or doubled", long.lost + long.doubled, None, "0", most=0, unit="intents"))
    rows.append(row(f"{name}: p99", long.quantile(0.99), None, "< 50 ms", most=50, unit="ms"))
    return rows


def in_process() -> list[dict[str, object]]:
    """The pieces, in a process of their own."""
    found = pieces()
    judge, whole, record = found["judge"], found["decode + judge + encode"], found["record"]
    guard = guard_fold()
    return [
        row("judge, whole table, median", judge[0], None, "<= 25 us", most=25, unit="us"),
        row("judge, whole table, p99", judge[1], None, "<= 60 us", most=60, unit="us"),
        row("decode + judge + encode, median", whole[0], None, "<= 60 us", most=60, unit="us"),
        row("record: content, encode, chain, median", record[0], None, "none", most=float("inf"), unit="us"),
        # A year of minutes is 525,600 bars: at 40 us they take 21 s.
        row("regime guard, one bar, median", guard[0], None, "<= 40 us", most=40, unit="us"),
    ]


def main() -> None:
    if "--in-process" in sys.argv:
        print(json.dumps(in_process()))
        return
    command = [sys.executable, __file__, "--in-process"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    async def measure() -> list[dict[str, object]]:
        with tempfile.TemporaryDirectory() as directory:
            async with house(Path(directory)) as url:
                return await paths(url)

    rows += uvloop.run(measure())
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    out = Path("bench-results")
    out.mkdir(exist_ok=True)
    (out / "latest.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    print(machine)
    for item in rows:
        ratio = "" if item["ratio"] is None else f"{item['ratio']:g} x"
        base = "" if item["baseline"] is None else f"{item['baseline']:g}"
        holds = "holds" if item["holds"] else "MISSED"
        print(f"{item['name']:52} {item['ours']:>10g} {base:>8} {ratio:>8}  {item['target']:28} {holds}")


if __name__ == "__main__":
    main()
