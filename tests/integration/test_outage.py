"""An outage of the ledger: the store is full, NATS still delivers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats
import pytest
from nats.js.api import StreamConfig

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core import clock
from petrosa_cio.core.nats import server, subjects
from petrosa_cio.core.nats.interceptor import Gate
from petrosa_cio.core.nats.link import Link, Retention
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.spill import SpillFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

DEADLINE = 20.0


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[str]:
    """A nats-server whose JetStream store holds half a megabyte."""
    port = server.free_port()
    configuration = tmp_path / "nats.conf"
    configuration.write_text(
        f'host: "127.0.0.1"\nport: {port}\njetstream {{ store_dir: "{tmp_path / "js"}", max_file: 512KB }}\n'
    )
    with (tmp_path / "nats.log").open("wb") as output:
        process = subprocess.Popen([server.executable(), "-c", str(configuration)], stdout=output, stderr=output)
    yield f"nats://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.01)


def intent(action: str, number: int) -> bytes:
    body = {
        "strategy_id": "momo",
        "symbol": "BTCUSDT",
        "action": action,
        "confidence": 0.8,
        "price": 100.0,
        "quantity": 1.0,
        "intent_id": f"i{number}",
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return json.dumps(body).encode()


@contextlib.asynccontextmanager
async def running_gate(url: str, spill: SpillFile) -> AsyncIterator[Gate]:
    link = await Link.open(url, "gate")
    await link.ensure_streams("main", "signals.trading", Retention())
    policy = read_policy({"required_facts": [], "modes": {"DAILY_TRADES": "off", "ORDER_RATE": "off"}})
    gate = Gate(link, GateTerms("main", policy, clock.now_ns), lambda *_: None, spill)
    task = asyncio.create_task(gate.run())
    await until(lambda: gate.state == "leading" or task.done())
    yield gate
    gate.stop()
    await asyncio.wait_for(task, DEADLINE)
    await link.close()


async def test_a_close_passes_and_nothing_else_while_the_ledger_takes_no_records(
    small_server: str, tmp_path: Path
) -> None:
    """With a full store a close still reaches the engine, is kept on disk, and is written down once there is room."""
    spill = SpillFile(tmp_path / "spill.jsonl")
    signals: list[dict[str, object]] = []

    async def heard(message: nats.aio.msg.Msg) -> None:
        signals.append(json.loads(message.data))

    async with running_gate(small_server, spill) as gate:
        client = await nats.connect(small_server)
        js = client.jetstream()
        await client.subscribe("signals.trading", cb=heard)
        await js.add_stream(StreamConfig(name="BALLAST", subjects=["ballast"]))
        with contextlib.suppress(nats.js.errors.APIError):
            while True:
                await js.publish("ballast", b"x" * 4096)

        index = gate.position.index

        def closes() -> list[object]:
            return [signal["intent_id"] for signal in signals if signal["action"] == "close"]

        number = 1000
        async with asyncio.timeout(DEADLINE):
            while gate.state != "ledger unavailable" or len(closes()) < 3:
                number += 1
                await client.publish("intent.trading.btc", intent("close", number))
                await client.flush()
                await asyncio.sleep(0.02)
        await client.publish("intent.trading.btc", intent("buy", 5000))
        await client.flush()
        passed = set(closes())
        assert "i5000" not in {signal["intent_id"] for signal in signals}
        assert {json.loads(json.loads(kept)["payload"])["intent_id"] for kept in spill.pending()} >= passed

        await js.delete_stream("BALLAST")
        await until(lambda: gate.state == "leading")
        await until(lambda: not spill.pending())
        found = [
            record.decode((await gate.link.at(subjects.ledger_stream("main"), at)).data)
            for at in range(index + 1, gate.position.index + 1)
        ]
        kinds = [content["kind"] for content in found]
        assert "outage" in kinds
        assert {content["intent_id"] for content in found if content["kind"] == "spilled"} >= passed
        assert "i5000" not in {signal["intent_id"] for signal in signals}
        await client.close()
