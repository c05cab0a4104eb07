"""What the integration tests stand on: a real nats-server, gates in this process or in their own, a core client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import nats

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core import clock
from petrosa_cio.core.nats import server, subjects
from petrosa_cio.core.nats.account_facts import HeardAccount
from petrosa_cio.core.nats.interceptor import Gate
from petrosa_cio.core.nats.link import Link, Retention
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.nats.together import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import Spill
    from petrosa_cio.core.nats.link import Delivered

DEADLINE = 20.0
"""Seconds that anything waited for may take on a busy machine."""

SHARED = Path(__file__).resolve().parents[3] / "shared"
BOOK = "main"
LEDGER = subjects.ledger_subject(BOOK)
LEDGER_STREAM = subjects.ledger_stream(BOOK)
OUTBOX_STREAM = subjects.outbox_stream(BOOK)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

PATIENT: dict[str, Json] = {
    "scopes": {"global": {"governance_timeout_ms": 60_000}},
    "modes": {"DAILY_TRADES": "off", "ORDER_RATE": "off", "SIGNAL_CONFLICT": "off"},
    "required_facts": [],
}
"""Approves every sound intent however slow the machine is: for tests that are not about limits or time."""


def policy(**parameters: Json) -> Policy:
    """`PATIENT`, with ``parameters`` in the global scope."""
    return read_policy({**PATIENT, "scopes": {"global": {"governance_timeout_ms": 60_000, **parameters}}})


# -- waiting -----------------------------------------------------------------------------------------------------------


async def until(holds: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait until ``holds``; fail naming ``what`` after ``deadline`` seconds."""
    try:
        async with asyncio.timeout(deadline):
            while not holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {deadline:g} s: {what}") from None


async def eventually(holds: Callable[[], Awaitable[bool]], what: str, deadline: float = DEADLINE) -> None:
    """`until` for a question that must be awaited."""
    try:
        async with asyncio.timeout(deadline):
            while not await holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {deadline:g} s: {what}") from None


def wait_until(holds: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """`until` where no event loop runs."""
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, f"not within {deadline:g} s: {what}"
        time.sleep(0.02)


# -- intents -----------------------------------------------------------------------------------------------------------

_numbers = count(1)


def moment(seconds_ago: float = 0.0) -> str:
    """Now, or some seconds ago, as producers write it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()


def intent(**fields: Json) -> dict[str, Json]:
    """A sound buy with an id of its own; ``fields`` replace or add."""
    return {
        "strategy_id": "momentum_pulse",
        "symbol": "BTCUSDT",
        "action": "buy",
        "confidence": 0.8,
        "price": 100.0,
        "quantity": 1.0,
        "intent_id": f"intent-{next(_numbers)}",
        "timestamp": moment(),
        **fields,
    }


def intent_bytes(**fields: Json) -> bytes:
    """`intent` as it is published."""
    return json.dumps(intent(**fields)).encode()


# -- processes ---------------------------------------------------------------------------------------------------------


def _hear_ctrl_c() -> None:
    """Undo what a shell does to what it runs in the background, and children inherit: SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Process:
    """A child of ours with its output in a file; never a pipe, which an orphan would hold open."""

    command: tuple[str, ...]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(self.environment),
                preexec_fn=_hear_ctrl_c,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def send(self, number: signal.Signals) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    def wait(self, timeout: float = DEADLINE) -> int:
        assert self.running is not None
        return self.running.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.send(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """End it whatever its state: asked first, killed if it does not listen."""
        if not self.alive:
            return
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass
class NatsServer:
    """A nats-server of our own. `restart` comes back on the same port and store."""

    directory: Path
    port: int
    process: Process

    @classmethod
    def start(cls, directory: Path, jetstream: str = 'sync_interval: "1s"') -> NatsServer:
        port = server.free_port()
        configuration = directory / "nats.conf"
        store = f'jetstream {{ store_dir: "{directory / "jetstream"}", {jetstream} }}\n' if jetstream else ""
        configuration.write_text(f'host: "127.0.0.1"\nport: {port}\nmax_payload: 1MB\n{store}', encoding="utf-8")
        process = Process((server.executable(), "-c", str(configuration)), directory / "nats-server.log")
        process.start()
        return cls(directory, port, process)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()

    def restart(self) -> None:
        self.process.start()


NOWHERE = {"CIO_BINANCE_URL": "http://127.0.0.1:9", "CIO_BINANCE_STREAM_URL": "ws://127.0.0.1:9"}
"""The exchange for whoever names none: a port of this machine where nobody listens. No test asks the real one."""


def _environment(extra: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CIO_")}
    return {**kept, **NOWHERE, **extra}


def ours(*arguments: str) -> tuple[str, ...]:
    """The command line of petrosa-cio."""
    return (sys.executable, "-m", "petrosa_cio", *arguments)


@dataclass(frozen=True)
class Outcome:
    """What a finished command said."""

    code: int
    out: str
    err: str


def run_cli(*arguments: str, given: bytes = b"", timeout: float = 60.0, **environment: str) -> Outcome:
    """Run petrosa-cio to its end."""
    done = subprocess.run(
        ours(*arguments),
        input=given,
        capture_output=True,
        env=_environment({"COLUMNS": "200", **environment}),
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def gate_process(url: str, directory: Path, name: str = "gate", **options: str) -> Process:
    """A gate process of the main book under `PATIENT`, or under ``policy`` (a path) where that is given."""
    directory.mkdir(parents=True, exist_ok=True)
    policy_file = directory / f"{name}-policy.json"
    policy_file.write_text(json.dumps(PATIENT), encoding="utf-8")
    chosen = {"nats-url": url, "data-dir": str(directory), "policy": str(policy_file), **options}
    arguments = [part for option, value in chosen.items() for part in (f"--{option}", value)]
    return Process(ours("gate", *arguments), directory / f"{name}.log").start()


# -- the bus -----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def core_client(url: str) -> AsyncIterator[Client]:
    """A plain nats-py client, as producers and the engine use it."""
    client = await _connect(url)
    try:
        yield client
    finally:
        with contextlib.suppress(nats.errors.Error):
            await client.flush(timeout=1)
        await client.close()


async def _connect(url: str) -> Client:
    async def ignore(_: Exception) -> None:
        """Connection errors while a test kills the server are part of the test."""

    end = time.monotonic() + DEADLINE
    while True:
        try:
            return await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=ignore)
        except (OSError, nats.errors.Error):
            assert time.monotonic() < end, f"no nats-server at {url}"
            await asyncio.sleep(0.02)


@dataclass
class Heard:
    """What a core subscriber received, in order."""

    client: Client
    messages: list[Msg] = field(default_factory=list)
    _markers: int = 0

    async def hear(self, message: Msg) -> None:
        if message.subject == _MARKER:
            self._markers += 1
        else:
            self.messages.append(message)

    async def all(self, deadline: float = DEADLINE) -> list[Msg]:
        """Everything the server has sent by now: what it sent before a marker has arrived before it."""
        seen = self._markers
        await self.client.publish(_MARKER)
        await until(lambda: self._markers > seen, "the marker comes back", deadline)
        return self.messages

    @property
    def bodies(self) -> list[dict[str, Json]]:
        return [json.loads(message.data) for message in self.messages]

    @property
    def sequences(self) -> list[int]:
        """Intent sequences of the signals, from the outbox subject that the server says it republished."""
        return [subjects.outbox_sequence(message.headers["Nats-Subject"]) for message in self.messages]


_MARKER = "signals.marker"


async def listen(client: Client) -> Heard:
    """Subscribe as the engine does; the subscription stands when this returns."""
    heard = Heard(client)
    await client.subscribe("signals.>", cb=heard.hear)
    # A flush proves nothing: the client's PING overtakes the subscription that waits to be written.
    with contextlib.suppress(AssertionError):
        await heard.all(1)
        return heard
    await heard.all()  # a server that has only just begun can lose a first message
    return heard


async def publish(client: Client, payloads: Iterable[bytes], subject: str = "intent.trading.btc") -> None:
    """Publish as producers do: core, no acknowledgement."""
    for payload in payloads:
        await client.publish(subject, payload)
    await client.flush()


@contextlib.asynccontextmanager
async def prepared_link(url: str, signal_subject: str = "signals.trading") -> AsyncIterator[Link]:
    """A link to a server that has our streams."""
    link = await Link.open(url, "test")
    try:
        await link.require_jetstream()
        await link.ensure_streams(BOOK, signal_subject, Retention())
        yield link
    finally:
        await link.close()


async def stream_messages(link: Link, stream: str) -> list[Delivered]:
    """Everything that ``stream`` holds now, in order."""
    state = await link.state(stream)
    found: list[Delivered] = []
    if state.messages:
        async with link.read(stream, 1) as reader:
            async for batch in reader.batches():
                found.extend(batch)
                if batch[-1].sequence >= state.last:
                    break
    return found


async def ledger(link: Link) -> list[dict[str, Json]]:
    """The body of every ledger record, in order."""
    return [record.decode(message.data) for message in await stream_messages(link, LEDGER_STREAM)]


def of_kind(records: Iterable[dict[str, Json]], kind: str) -> list[dict[str, Json]]:
    return [content for content in records if content["kind"] == kind]


def codes(content: dict[str, Json]) -> list[str]:
    """Codes of the reasons of a decision."""
    return [reason["code"] for reason in content["reasons"]]


@dataclass
class InProcess:
    """A gate that runs in the test's own event loop."""

    gate: Gate
    link: Link
    task: asyncio.Task[None]
    events: list[tuple[str, dict[str, object]]]
    account: HeardAccount | None = None
    """What it hears of its account, where it hears of one."""

    async def judged(self, sequence: int) -> None:
        """Wait until everything up to intent ``sequence`` is recorded and settled."""
        gate = self.gate

        def settled() -> bool:
            if self.task.done():
                self.task.result()
            return gate.position.cursor >= sequence and gate.idle

        await until(settled, f"intent {sequence} judged by a gate that is {gate.state} at {gate.position.cursor}")

    async def leads(self) -> None:
        """Wait until it leads and its policy is in the ledger, so that the next record is of what the test does."""

        def holds() -> bool:
            gate = self.gate
            recorded = gate.position.policy_revision == gate.terms.policy.revision
            return self.task.done() or (gate.state == "leading" and recorded)

        await until(holds, "the gate leads")

    async def stop(self) -> None:
        """Ask it to finish, and wait until it has."""
        self.gate.stop()
        await asyncio.wait_for(self.task, DEADLINE)

    async def die(self) -> None:
        """End it between two instructions, as a crash would; what was sent and not acknowledged is on its way."""
        await end(self.task)


@contextlib.asynccontextmanager
async def running_gate(
    url: str,
    rules: Policy | None = None,
    *,
    now: Callable[[], Instant] = clock.now_ns,
    event_clock: bool = False,
    signal_subject: str = "signals.trading",
    origin: str | None = None,
    spill: Spill | None = None,
) -> AsyncIterator[InProcess]:
    """A gate in this process, leading or (beside another) about to be fenced; ended on the way out.

    With ``origin`` it hears of an account whose reports are of that origin.
    """
    events: list[tuple[str, dict[str, object]]] = []

    def log(event: str, facts: dict[str, object]) -> None:
        events.append((event, facts))

    async with prepared_link(url, signal_subject) as link, contextlib.AsyncExitStack() as held:
        terms = GateTerms(BOOK, rules or policy(), now, event_clock, signal_subject)
        account = None
        if origin is not None:
            account = HeardAccount(
                link, BOOK, origin, log, lambda after: link.ensure_executions(Retention(), read_to=after)
            )
            terms.accounts, terms.origin = account, origin
            held.push_async_callback(end, asyncio.create_task(account.run()))
        gate = Gate(link, terms, log, spill)
        running = InProcess(gate, link, asyncio.create_task(gate.run()), events, account)
        try:
            await running.leads()
            yield running
        finally:
            if not running.task.done():
                await running.die()
            elif not running.task.cancelled():
                running.task.exception()  # a test that cares has looked; a failed one need not be drowned out
