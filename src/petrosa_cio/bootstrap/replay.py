"""Replay: recorded intents through a real nats-server and the real interceptor, on the recording's clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.apps.nurse.ports import StoreCursor
from petrosa_cio.bootstrap.gate import Recording
from petrosa_cio.bootstrap.house import Wiring, start_book, until_judging
from petrosa_cio.bootstrap.policies import REPLAY, load
from petrosa_cio.bootstrap.reporting import REPORT_FILES
from petrosa_cio.bootstrap.shadowing import SHADOW_FILE, write_shadows
from petrosa_cio.bootstrap.stores import STORE_FILE
from petrosa_cio.core import logs
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.core.exchange.recording import merge, read_klines
from petrosa_cio.core.exchange.rules import read_rules
from petrosa_cio.core.nats import server, subjects
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.nats.together import first_failure
from petrosa_cio.core.nats.trouble import Interrupted, give_up
from petrosa_cio.core.processes import Supervisor
from petrosa_cio.core.recorded import Recorded, merged, read_intents
from petrosa_cio.errors import BusError, Fenced, RecordingError, SettingsError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path
    from typing import TextIO

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.exchange.recording import KlineTable
    from petrosa_cio.core.nats.reader import Delivered

BOOK = "main"
SIGNALS = "signals.trading"
AT_MOST_IN_FLIGHT = 256
"""Intents published and not yet decided: a steady load, as fast as the path allows, and no unbounded queue."""

PATIENCE_SECONDS = 60.0
"""Without any progress for this long the replay gives up, and says what was still missing."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay, and where results go."""

    intents: tuple[Path, ...]
    klines: tuple[Path, ...]
    out: Path
    policy_file: Path | None = None
    funding: tuple[Path, ...] = ()
    equity: Decimal | None = None
    """What a simulated account begins with, quote currency; None: no account is simulated."""
    exchange_info: Path | None = None
    """A stored answer of the exchange with the rules of its symbols; sizes then are what it would have taken."""


@dataclass(slots=True)
class Tally:
    """What is counted while the ledger is read and signals are heard."""

    published_at: dict[int, float] = field(default_factory=dict)
    heard: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    decided: int = 0
    index: int = 0
    head: str = record.GENESIS
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    strategies: dict[str, Counter[str]] = field(default_factory=dict)
    promised: set[int] = field(default_factory=set)
    expired: set[int] = field(default_factory=set)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, _subject: str, headers: Mapping[str, str], _body: bytes) -> None:
        """Count a signal where it arrives; the server says which outbox message it republished."""
        sequence = subjects.outbox_sequence(headers["Nats-Subject"])
        self.heard[sequence] += 1
        since = self.published_at.get(sequence)
        if since is not None and self.heard[sequence] == 1:
            self.latencies_ms.append((time.perf_counter() - since) * 1000)
        self.moved.set()

    def count(self, content: dict[str, Json]) -> None:
        """Count one ledger record."""
        match content["kind"]:
            case "decision":
                verdict, sequence = str(content["verdict"]), int(str(content["sequence"]))
                self.decided += 1
                self.verdicts[verdict] += 1
                strategy = self.strategies.setdefault(str(content["strategy_id"]), Counter())
                strategy[verdict] += 1
                reasons = content["reasons"]
                for reason in reasons if isinstance(reasons, list) else ():
                    if isinstance(reason, dict):
                        self.reasons[str(reason["code"])] += 1
                if verdict in ("approved", "reduced"):
                    self.promised.add(sequence)
            case "expired":
                self.expired.add(int(str(content["sequence"])))
            case _:
                pass


async def run_replay(options: ReplayOptions, progress: Callable[[int, int], None]) -> dict[str, object]:
    """Replay and return the summary; ``progress`` is told how many of how many intents are decided.

    Raises RecordingError, PolicyError, or BusError where the path stops moving.
    """
    if options.equity is not None and not options.klines:
        msg = "--account: an account is simulated on bars; give --klines"
        raise SettingsError(msg)
    load(options.policy_file, REPLAY)  # judged before anything starts, so a faulty policy is one clear error
    if options.exchange_info is not None:
        read_rules(options.exchange_info)
    tables = [read_klines(path) for path in options.klines]
    klines = merge(tables) if tables else None
    recordings = [read_intents(path, lambda symbol: _interval(klines, symbol)) for path in options.intents]
    intents = merged(recordings)
    if not intents:
        msg = "no intents in " + ", ".join(path.name for path in options.intents)
        raise RecordingError(msg)
    work = options.out / "work"
    _clear(options.out, work)
    started = time.perf_counter()
    async with Supervisor(work, logs.events("replay")) as supervisor:
        plan = server.plan(work / "nats")
        await supervisor.start("nats-server", plan.command)
        recording = Recording(
            tuple(path.resolve() for path in options.klines),
            tuple(path.resolve() for path in options.funding),
            options.equity,
            intents[0].at,
            None if options.exchange_info is None else options.exchange_info.resolve(),
        )
        wiring = Wiring(
            plan.url, BOOK, options.out, SIGNALS, options.policy_file, "replay", event_clock=True, recording=recording
        )
        await start_book(supervisor, wiring)
        replay = _Replay(await Link.open(plan.url, "replay"), await Link.open(plan.url, "replay engine"), intents)
        try:
            await until_judging(replay.link, BOOK, lambda _: None)
            await replay.run(options.out / "decisions.jsonl", progress)
            await _until_projected(options.out / STORE_FILE, replay.tally)
            summary = replay.summary(_revision(options), klines)
        finally:
            await replay.close()
        summary["seconds"] = round(time.perf_counter() - started, 3)
        summary["restarts"] = {child.name: child.restarts for child in supervisor.children}
    shutil.rmtree(work / "nats" / "jetstream", ignore_errors=True)
    if klines is not None:
        summary["shadow"] = await write_shadows(options.out / STORE_FILE, BOOK, klines, options.funding, options.out)
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


async def _until_projected(store: Path, tally: Tally) -> None:
    """Wait until the store holds the chain up to its head. Raises StoreError where it does not get there."""
    loop = asyncio.get_running_loop()
    until, found = loop.time() + PATIENCE_SECONDS, StoreCursor()
    while loop.time() < until:
        with contextlib.suppress(StoreError):  # not made yet, perhaps
            found = await _carried(store)
        if found.ledger_index >= tally.index:
            if found.ledger_head == tally.head:
                return
            break
        await asyncio.sleep(0.1)
    msg = f"{store.name} holds {found.ledger_index} records of {tally.index}, or others: see work/logs/projector.log"
    raise StoreError(msg)


async def _carried(store: Path) -> StoreCursor:
    reading = SqliteStore(store, read_only=True)
    try:
        return await reading.cursor(BOOK)
    finally:
        await reading.close()


def _interval(klines: KlineTable | None, symbol: str) -> int | None:
    return klines.interval_ms(symbol) if klines is not None and symbol in klines.symbols else None


def _revision(options: ReplayOptions) -> str:
    return load(options.policy_file, REPLAY).revision


def _clear(out: Path, work: Path) -> None:
    """Make room for the results; only what an earlier replay wrote is removed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"--out: {out}: {error.strerror}"
        raise SettingsError(msg) from error
    shutil.rmtree(work, ignore_errors=True)
    stored = (STORE_FILE, f"{STORE_FILE}-wal", f"{STORE_FILE}-shm")
    for name in ("summary.json", "decisions.jsonl", SHADOW_FILE, *REPORT_FILES, *stored):
        (out / name).unlink(missing_ok=True)


@dataclass(slots=True)
class _Replay:
    link: Link
    engine: Link
    intents: Sequence[Recorded]
    tally: Tally = field(default_factory=Tally)
    recovered: int = 0

    async def close(self) -> None:
        await self.link.close()
        await self.engine.close()

    async def run(self, decisions: Path, progress: Callable[[int, int], None]) -> None:
        await self.engine.restored()
        await self.engine.listen(SIGNALS, self.tally.hear)
        with contextlib.suppress(Interrupted):  # the subscription is told anew when the connection is back
            await self.engine.flush()
        with decisions.open("w", encoding="utf-8") as lines:
            await first_failure(self._publish(), self._follow(lines, progress), self._until_done())
        while True:
            try:
                await self.link.restored()
                await self._read_missed()
            except Interrupted:
                await asyncio.sleep(0.05)
            else:
                return

    async def _publish(self) -> None:
        """Publish in order, each once: the expected sequence makes a retry after a lost acknowledgement harmless."""
        while True:
            try:
                await self.link.restored()
                done = (await self.link.state(subjects.INTENTS_STREAM)).last
                await self._publish_from(done)
                await asyncio.Future()
            except (Interrupted, Fenced):
                await asyncio.sleep(0.05)

    async def _publish_from(self, done: int) -> None:
        acks: list[asyncio.Future[int]] = []
        for sequence, intent in enumerate(self.intents[done:], start=done + 1):
            while sequence - self.tally.decided > AT_MOST_IN_FLIGHT:
                self.tally.moved.clear()
                if sequence - self.tally.decided <= AT_MOST_IN_FLIGHT:
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.tally.moved.wait(), 1.0)
                if self.link.lost.is_set():
                    msg = "connection lost"
                    raise Interrupted(msg)
            headers = {
                **intent.headers,
                "Nats-Expected-Last-Sequence": str(sequence - 1),
                subjects.RECORDED_AT_HEADER: iso(intent.at),
            }
            self.tally.published_at[sequence] = time.perf_counter()
            ack = await self.link.append(intent.subject, intent.payload, headers)
            acks.append(ack)
            if len(acks) >= AT_MOST_IN_FLIGHT:
                await self._settle(acks)
        await self._settle(acks)

    async def _settle(self, acks: list[asyncio.Future[int]]) -> None:
        try:
            for ack in acks:
                async with asyncio.timeout(5):
                    await ack
        except TimeoutError as error:
            msg = "no acknowledgement of a published intent"
            raise Interrupted(msg) from error
        finally:
            for ack in acks:
                give_up(ack)
            acks.clear()

    async def _follow(self, lines: TextIO, progress: Callable[[int, int], None]) -> None:
        tally = self.tally
        while True:
            try:
                async with self.link.read(subjects.ledger_stream(BOOK), tally.index + 1) as reader:
                    async for batch in reader.batches():
                        for message in batch:
                            self._record(message, lines)
                        tally.moved.set()
                        progress(tally.decided, len(self.intents))
            except Interrupted:
                await self.link.restored()
                await asyncio.sleep(0.05)

    def _record(self, message: Delivered, lines: TextIO) -> None:
        content = record.decode(message.data)
        self.tally.index, self.tally.head = message.sequence, message.headers["Nats-Msg-Id"]
        self.tally.count(content)
        if content["kind"] == "decision":
            lines.write(json.dumps(_line(content)) + "\n")

    async def _until_done(self) -> None:
        """Return when every intent is decided and every promise was heard or expired; raise when nothing moves."""
        tally, loop = self.tally, asyncio.get_running_loop()
        seen, since = (-1, -1, -1), loop.time()
        while True:
            now = (tally.decided, len(tally.heard), len(tally.expired))
            settled_now = tally.promised <= (tally.heard.keys() | tally.expired)
            if tally.decided >= len(self.intents) and settled_now:
                with contextlib.suppress(Interrupted):
                    await self.engine.flush()  # what is already on its way to the engine's connection counts too
                return
            if now != seen:
                seen, since = now, loop.time()
            waited = loop.time() - since
            if tally.decided >= len(self.intents) and waited > 2 and await self._all_in_outbox():
                return
            if waited > PATIENCE_SECONDS:
                msg = f"nothing moved for {PATIENCE_SECONDS:g} s: {tally.decided} of {len(self.intents)} decided"
                raise BusError(msg)
            await asyncio.sleep(0.02)

    async def _all_in_outbox(self) -> bool:
        """Whether the outbox settles every promise, so that what was not heard live will not be heard any more."""
        with contextlib.suppress(Interrupted):
            return (await self.link.state(subjects.outbox_stream(BOOK))).last >= len(self.tally.promised)
        return False

    async def _read_missed(self) -> None:
        """Signals that were stored while the engine was cut off: a core subscriber cannot hear them, a reader can."""
        missing = self.tally.promised - self.tally.expired - self.tally.heard.keys()
        if not missing:
            return
        async with self.link.read(subjects.outbox_stream(BOOK), 1) as reader:
            async for batch in reader.standing():
                for message in batch:
                    sequence = subjects.outbox_sequence(message.subject)
                    if sequence in missing and not message.subject.endswith(".expired"):
                        self.recovered += 1
                        self.tally.heard[sequence] += 1

    def summary(self, revision: str, klines: KlineTable | None) -> dict[str, object]:
        tally = self.tally
        due = tally.promised - tally.expired
        uncovered = sorted(
            {symbol for symbol in _symbols(self.intents) if klines is None or symbol not in klines.symbols}
        )
        return {
            "intents": len(self.intents),
            "decisions": tally.decided,
            **{name: tally.verdicts[name] for name in ("approved", "reduced", "blocked", "absorbed", "quarantined")},
            "promoted": len(due & tally.heard.keys()),
            "expired": len(tally.expired),
            "lost": len(due - tally.heard.keys()),
            "unpromised": len(tally.heard.keys() - due),
            "duplicated": sum(count - 1 for count in tally.heard.values() if count > 1),
            "recovered_from_outbox": self.recovered,
            "by_reason": dict(tally.reasons.most_common()),
            "by_strategy": {name: dict(counts) for name, counts in sorted(tally.strategies.items())},
            "latency_ms": _quantiles(tally.latencies_ms),
            "policy_revision": revision,
            "chain_head": tally.head,
            "records": tally.index,
            "symbols_without_klines": uncovered,
            "kline_notes": list(klines.notes) if klines is not None else [],
        }


def _symbols(intents: Sequence[Recorded]) -> set[str]:
    found: set[str] = set()
    for intent in intents:
        with contextlib.suppress(ValueError):
            body = json.loads(intent.payload)
            if isinstance(body, dict) and isinstance(body.get("symbol"), str):
                found.add(body["symbol"])
    return found


def _quantiles(values: list[float]) -> dict[str, float | None]:
    """Median, 99th percentile (nearest rank) and maximum, in ms; null where nothing was measured."""
    if not values:
        return {"p50": None, "p99": None, "max": None}
    ordered = sorted(values)

    def rank(share: float) -> float:
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)

    return {"p50": rank(0.5), "p99": rank(0.99), "max": round(ordered[-1], 3)}


_LINE = (
    "decision_id",
    "intent_id",
    "strategy_id",
    "symbol",
    "action",
    "verdict",
    "reasons",
    "observed",
    "unevaluated",
    "policy_revision",
    "at",
    "sequence",
    "index",
    "quantity",
    "order",
    "quarantine",
)


def _line(content: dict[str, Json]) -> dict[str, Json]:
    return {name: content.get(name) for name in _LINE if name in content or name in ("observed", "reasons")}
