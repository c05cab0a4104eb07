"""The embedded run: one command starts everything, and whatever ends it leaves nothing lost and nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest
from harness import (
    BOOK,
    DEADLINE,
    PATIENT,
    Outcome,
    Process,
    core_client,
    eventually,
    intent_bytes,
    ledger,
    listen,
    of_kind,
    ours,
    prepared_link,
    publish,
    run_cli,
    until,
    wait_until,
)

from petrosa_cio.apps.nurse import record
from petrosa_cio.bootstrap.stores import StorePlace, open_store
from petrosa_cio.bootstrap.tailing import verify_store, verify_stream
from petrosa_cio.core.nats import server
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json

ACCEPTED_MS = 50.0


class Up:
    """One `petrosa-cio up` on a data directory of its own."""

    def __init__(self, directory: Path, *, market: str = "none", policy: dict[str, Json] | None = None) -> None:
        self.data = directory / "data"
        self.ready_file = directory / "ready.json"
        arguments = ["--market", market, "--data-dir", str(self.data), "--ready-file", str(self.ready_file)]
        if policy is not None:
            rules = directory / "policy.json"
            rules.write_text(json.dumps(policy), encoding="utf-8")
            arguments += ["--policy", str(rules)]
        self.process = Process(ours("up", *arguments), directory / "up.log")

    def start(self) -> Up:
        self.process.start()
        wait_until(lambda: self.ready_file.exists() or not self.process.alive, "it is ready", 30)
        assert self.process.alive, self.process.text()
        return self

    @property
    def ready(self) -> dict[str, Json]:
        return json.loads(self.ready_file.read_text(encoding="utf-8"))

    @property
    def url(self) -> str:
        return str(self.ready["nats_url"])

    def children(self) -> dict[str, int]:
        return {path.stem: int(path.read_text()) for path in (self.data / "run").glob("*.pid")}

    def interrupt(self) -> int:
        self.process.send(signal.SIGINT)
        return self.process.wait(30)


def runs(pid: int) -> bool:
    """Whether a process is alive: one that waits to be reaped is not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """An `up` without a market, under a policy that approves however slow the machine is."""
    running = Up(tmp_path, policy=PATIENT)
    yield running
    running.process.end()


@pytest.fixture
async def stored_ledger(up: Up) -> object:
    """Reads the ledger that an ended `up` left on disk, through a nats-server on its store."""

    async def read() -> list[dict[str, Json]]:
        plan = server.plan(up.data / "nats")
        process = Process(plan.command, up.data / "again.log").start()
        try:
            async with core_client(plan.url), prepared_link(plan.url) as link:
                assert (await verify_stream(link, BOOK)).breaks == ()
                return await ledger(link)
        finally:
            process.end()

    return read


def test_ready_means_judging(up: Up) -> None:
    """Once the ready file is there it names server and process, and status says that the gate leads."""
    up.start()
    ready = up.ready
    assert set(ready) == {"nats_url", "web_url", "mcp_url", "pid"}
    assert ready["pid"] == up.process.pid
    assert ready["nats_url"].startswith("nats://127.0.0.1:")
    status = run_cli("status", "--data-dir", str(up.data), "--json")
    assert status.code == 0
    assert json.loads(status.out)["state"] == "leading"
    assert set(up.children()) >= {"nats-server", "gate", "projector", "steward"}


async def test_a_signal_leaves_within_50_ms(tmp_path: Path) -> None:
    """Under the command's own policy an intent is a signal in less than 50 ms: the median of 20, in the best round."""
    up = Up(tmp_path).start()
    try:
        async with core_client(up.url) as client:
            await round_trips(client, 20)
            rounds = [median(await round_trips(client, 20)) for _ in range(5)]
    finally:
        up.process.end()
    assert min(rounds) < ACCEPTED_MS, rounds


async def round_trips(client: Client, count: int) -> list[float]:
    """Milliseconds from publishing an intent to receiving its signal, one after another."""
    arrived = asyncio.Event()

    async def hear(_: object) -> None:
        arrived.set()

    subscription = await client.subscribe("signals.trading", cb=hear)
    taken = []
    for _ in range(count):
        arrived.clear()
        since = time.perf_counter()
        await client.publish("intent.trading.btc", intent_bytes(action="close"))
        await asyncio.wait_for(arrived.wait(), DEADLINE)
        taken.append((time.perf_counter() - since) * 1000)
    await subscription.unsubscribe()
    return taken


async def test_ctrl_c_finishes_what_is_recorded(up: Up, stored_ledger: object) -> None:
    """SIGINT in the middle of a load ends it with 0; what the ledger holds is in the query store, promises with it."""
    up.start()
    async with core_client(up.url) as client:
        heard = await listen(client)
        await publish(client, [intent_bytes() for _ in range(1500)])
        await until(lambda: len(heard.messages) > 100, "under way")
        code = await asyncio.to_thread(up.interrupt)
    assert code == 0
    assert not up.ready_file.exists()
    assert "Traceback" not in up.process.text()

    records = await stored_ledger()
    store = await open_store(StorePlace(up.data))
    try:
        kept = [record.decode(found.body) async for found in store.records(BOOK)]
        promised = [content["sequence"] for content in of_kind(kept, "decision") if content["verdict"] == "approved"]
        signals = [sequence for sequence in promised if await store.signal(BOOK, sequence) is not None]
        (report,) = await verify_store(store)
    finally:
        await store.close()
    assert len(records) > 100
    assert kept == records
    assert signals == promised
    assert report.breaks == ()


def test_two_on_one_directory(up: Up) -> None:
    """A second `up` on the same data directory is refused with exit code 2 and one line; the first goes on."""
    up.start()
    second = run_cli("up", "--market", "none", "--data-dir", str(up.data), timeout=20)
    assert second.code == 2
    (line,) = second.err.splitlines()
    assert str(up.data) in line
    assert run_cli("status", "--data-dir", str(up.data)).code == 0


async def test_a_restart_continues_the_chain(up: Up) -> None:
    """Stopped and started again on its data directory it goes on with the next record, and old repeats are known."""
    payload = intent_bytes()
    for _ in range(2):
        up.start()
        async with core_client(up.url) as client, prepared_link(up.url) as link:
            decided = len(of_kind(await ledger(link), "decision"))
            await publish(client, [payload, intent_bytes()])
            await eventually(lambda link=link, n=decided + 2: decisions(link, n), "both are decided")
            records = await ledger(link)
        assert await asyncio.to_thread(up.interrupt) == 0

    verdicts = [content["verdict"] for content in of_kind(records, "decision")]
    assert verdicts == ["approved", "approved", "blocked", "approved"]
    assert [content["index"] for content in records] == list(range(1, len(records) + 1))
    verified = run_cli("verify-ledger", "--data-dir", str(up.data))
    assert verified.code == 0
    assert f"{len(records)} records" in verified.out


async def decisions(link: object, count: int) -> bool:
    return len(of_kind(await ledger(link), "decision")) >= count


async def test_kill_leaves_nobody_behind(up: Up) -> None:
    """SIGKILL of the command ends all its children within seconds; started again at once it goes on without a loss."""
    up.start()
    total = 0
    for _ in range(2):
        children = up.children()
        assert len(children) == 4
        assert all(runs(pid) for pid in children.values())
        async with core_client(up.url) as client:
            js = client.jetstream()
            for _ in range(50):  # acknowledged by the intent stream: from here on nothing may be lost
                await js.publish("intent.trading.btc", intent_bytes())
            total += 50
            up.process.kill()
        up.ready_file.unlink()
        up.start()
        await asyncio.to_thread(
            wait_until, lambda pids=children: not any(runs(pid) for pid in pids.values()), "children ended", 8
        )
        async with prepared_link(up.url) as link:
            await eventually(lambda link=link, n=total: decisions(link, n), "everything is decided")
            assert (await verify_stream(link, BOOK)).breaks == ()
            decided = [content["sequence"] for content in of_kind(await ledger(link), "decision")]
            assert decided == list(range(1, total + 1))
    assert await asyncio.to_thread(up.interrupt) == 0
    assert run_cli("verify-ledger", "--data-dir", str(up.data)).code == 0
    logs = {path.name: path.read_text() for path in (up.data / "logs").iterdir()}
    assert [name for name, text in logs.items() if "Traceback" in text] == []


@pytest.mark.parametrize("name", ["gate", "projector", "nats-server", "steward"])
async def test_a_child_that_dies_is_started_again(up: Up, name: str) -> None:
    """A killed gate, projector, steward or server comes back by itself, and intents are decided again."""
    up.start()
    before = up.children()[name]
    Process(("kill", "-9", str(before)), up.data / "kill.log").start().wait()
    await until(lambda: up.children().get(name, before) != before, "it is started again")
    async with prepared_link(up.url) as link, core_client(up.url) as client:
        await client.jetstream().publish("intent.trading.btc", intent_bytes())
        await eventually(lambda: decisions(link, 1), "decided")
    await eventually(lambda: projected(up, 1), "and in the query store")
    assert await asyncio.to_thread(up.interrupt) == 0


async def projected(up: Up, count: int) -> bool:
    """Whether there are ``count`` decisions in the query store, which a projector that has just begun makes first."""
    try:
        store = await open_store(StorePlace(up.data))
    except StoreError:
        return False
    try:
        return len([found async for found in store.records(BOOK) if b'"kind":"decision"' in found.body]) == count
    finally:
        await store.close()


def test_a_synthetic_market_shows_decisions(tmp_path: Path) -> None:
    """With the synthetic market decisions of the sample strategies appear on the terminal: approved and blocked."""
    up = Up(tmp_path, market="synthetic").start()
    try:
        wait_until(lambda: all(word in up.process.text() for word in ("approved", "blocked")), "both are shown", 40)
        assert up.interrupt() == 0
    finally:
        up.process.end()
    assert "synthetic" in up.process.text()
    assert "Traceback" not in up.process.text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--market", "moon"), "moon"), (("--policy", "/no/such/file.json"), "/no/such/file.json")],
)
def test_wrong_arguments_start_nothing(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """A market that does not exist and a policy that cannot be read are exit code 2 before anything is started."""
    done: Outcome = run_cli("up", *arguments, "--data-dir", str(tmp_path / "data"), timeout=20)
    assert done.code == 2
    assert told in done.err
    assert not (tmp_path / "data" / "run").exists()


def test_a_projector_that_is_asked_to_end_ends_though_there_is_no_server(tmp_path: Path) -> None:
    """Asked while it still looks for its server, or before it can hear at all, it ends within seconds and with 0."""
    projector = Process(
        ours("projector", "--nats-url", "nats://127.0.0.1:1", "--data-dir", str(tmp_path)), tmp_path / "projector.log"
    ).start()
    wait_until(lambda: b"projector" in Path(f"/proc/{projector.pid}/cmdline").read_bytes(), "it has begun")
    blocked = re.compile(r"^SigBlk:\s*([0-9a-f]+)$", re.MULTILINE)
    asked = 1 << (signal.SIGTERM - 1)

    def deaf() -> bool:
        found = blocked.search(Path(f"/proc/{projector.pid}/status").read_text())
        return found is not None and bool(int(found[1], 16) & asked)

    wait_until(deaf, "it lets the end wait")
    projector.send(signal.SIGTERM)
    try:
        assert projector.wait(8) == 0
    finally:
        projector.end()
