"""The gate process: receive, decode, judge, record, promote. Nothing else runs in it (hot path §2.1)."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import secrets
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio import __version__
from petrosa_cio.apps.nurse.accounting import Account
from petrosa_cio.apps.nurse.liveness import CANARY_SYMBOL
from petrosa_cio.apps.nurse.models import SECOND, Side, iso
from petrosa_cio.bootstrap.following import follow_policy
from petrosa_cio.core import clock, logs
from petrosa_cio.core.db.redis import RedisBoard, RedisServer
from petrosa_cio.core.nats import heartbeat, subjects
from petrosa_cio.core.nats.account_facts import HeardAccount
from petrosa_cio.core.nats.board import NatsBoard
from petrosa_cio.core.nats.commands import shown
from petrosa_cio.core.nats.interceptor import Gate
from petrosa_cio.core.nats.link import Link, Retention
from petrosa_cio.core.nats.market_facts import HeardMarket
from petrosa_cio.core.nats.recovery import accounted_for
from petrosa_cio.core.nats.terms import GateTerms
from petrosa_cio.core.nats.together import end
from petrosa_cio.core.nats.vitals import Vitals
from petrosa_cio.core.spill import SpillFile
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal

    from petrosa_cio.apps.nurse.models import Instant, MarketState, Portfolio
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import PolicyBoard

    Log: TypeAlias = Callable[[str, dict[str, object]], None]

ACCOUNTING_SECONDS = 1.0
KNOWN_LOOKS = 40
"""How often status looks whether the books are known, 20 ms apart, before it says that they are not."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a replay knows besides the intents: bars, funding, and the equity that a simulated account begins with."""

    klines: tuple[Path, ...] = ()
    funding: tuple[Path, ...] = ()
    equity: Decimal | None = None
    begins: Instant | None = None
    """Time of the first intent: what the market was until then is worked out before it comes."""
    exchange_info: Path | None = None
    """A stored answer of the exchange with the rules of its symbols."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Everything a gate process needs to know."""

    nats_url: str
    book: str
    policy: Policy
    signal_subject: str
    retention: Retention
    credentials: Path | None = None
    event_clock: bool = False
    recording: Recording | None = None
    """Facts of a replay; None where there are none."""
    hears_market: bool = False
    """Whether a feeds process tells of the markets."""
    account: str = "none"
    """Whose reports of the account count; ``none``: nobody's, and nothing is known of it."""
    data_dir: Path | None = None
    """Where the spill file is kept; the current directory where none is given."""
    governed: bool = False
    """Whether the policy in force is the one on the board; ``policy`` then judges nothing that adds risk."""
    redis_url: str | None = field(default=None, repr=False)
    """Redis on which the board is, where it is not on NATS."""
    heartbeat_subject: str = heartbeat.SUBJECT
    heartbeat_seconds: float = 1.0
    """Between beats. A replay has none: nobody's life depends on it."""


async def run_gate(options: GateOptions) -> None:
    """Run a gate until SIGTERM or SIGINT; what it has recorded is settled before it returns."""
    log = logs.events("gate")
    link = await open_link(options.nats_url, "petrosa-cio gate", options.credentials, "gate")
    try:
        await prepare(link, options)
        terms = GateTerms(options.book, options.policy, clock.now_ns, options.event_clock, options.signal_subject)
        beside = _know_the_recording(terms, options) or await _hear_facts(link, terms, options, log)
        if options.governed:
            # Of no version and as old as time: until the board has answered, nothing that adds risk passes.
            terms.policy_version, terms.policy_as_of = 0, 0
        spill = SpillFile((options.data_dir or Path.cwd()) / "spill" / f"{options.book}.jsonl")
        gate = Gate(link, terms, log, spill)
        await link.answer(subjects.status_subject(options.book), lambda: status_answer(link, gate))
        await link.heed(subjects.command_subject(options.book), gate.command)
        heart = make_heartbeat(gate, options)
        if not options.event_clock:
            await heart.answer()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, gate.stop)
        gc.collect()
        gc.freeze()  # what is alive now lives as long as the process; the collector need not walk it
        beside.append(asyncio.create_task(kept_up("accounts", lambda: _keep_accounts(link, gate), log)))
        if not options.event_clock:
            beside.append(asyncio.create_task(kept_up("heartbeat", heart.run, log)))
        if options.governed:
            board = open_board(link, options.redis_url, options.retention.replicas, log)
            beside.append(asyncio.create_task(kept_up("policy", lambda: follow_policy(board, gate, log), log)))
        try:
            await gate.run()
        finally:
            await end(*beside)
    finally:
        await link.close()


def _know_the_recording(terms: GateTerms, options: GateOptions) -> list[asyncio.Task[None]]:
    recording = options.recording
    if recording is not None and recording.klines:
        # Only here: it brings pyarrow and with it NumPy, which a live gate has no use for.
        from petrosa_cio.bootstrap.recorded_facts import open_recorded

        recorded = open_recorded(
            recording.klines,
            recording.funding,
            recording.equity,
            options.policy,
            recording.begins,
            recording.exchange_info,
        )
        terms.market, terms.accounts = recorded.market, recorded.accounts
    return []


async def _hear_facts(link: Link, terms: GateTerms, options: GateOptions, log: Log) -> list[asyncio.Task[None]]:
    """Hear from now on what feeds tell of markets and account; what must be kept up for it."""
    if options.hears_market:
        market = HeardMarket(terms.now)
        await market.listen(link)
        terms.market = market
    if options.account == "none":
        return []

    async def remake(read_to: int) -> None:
        await link.ensure_executions(options.retention, read_to=read_to)

    account = HeardAccount(link, options.book, options.account, log, remake)
    terms.accounts, terms.origin = account, options.account
    return [asyncio.create_task(kept_up("account", account.run, log))]


def make_heartbeat(gate: Gate, options: GateOptions) -> heartbeat.Heartbeat:
    """The voice of this process; no other gate has its name."""
    terms = heartbeat.HeartbeatTerms(
        options.heartbeat_subject, options.heartbeat_seconds, __version__, secrets.token_hex(8)
    )

    def facts(now: Instant) -> tuple[MarketState | None, Portfolio | None]:
        market = gate.terms.market
        holdings = None if gate.terms.accounts is None else gate.folded.holdings
        return (
            None if market is None else market.state(CANARY_SYMBOL, now),
            None if holdings is None else holdings.portfolio(CANARY_SYMBOL, "", Side.LONG, now),
        )

    return heartbeat.Heartbeat(Vitals(gate, clock.steady_ns, facts), terms, logs.events("heartbeat"))


async def kept_up(
    name: str, work: Callable[[], Awaitable[None]], log: Callable[[str, dict[str, object]], None], pause: float = 1.0
) -> None:
    """Do ``work``, which never ends, again whenever it breaks off: all else in the process goes on, and somebody hears.

    ``log`` says of which process it is: gate, feeds or steward.
    """
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  whatever it is, it must neither end the process nor go unheard
            log("ALARM: a part of this process broke off; it begins again", {"part": name, "error": repr(error)})
        await asyncio.sleep(pause)


def open_board(
    link: Link, redis_url: str | None, replicas: int, log: Callable[[str, dict[str, object]], None]
) -> PolicyBoard:
    """The board that gates follow: on Redis where that is configured, else on NATS."""
    if redis_url is None:
        return NatsBoard(link, replicas=replicas, log=log)
    return RedisBoard(RedisServer(redis_url, "petrosa-cio gate"), log=log)


async def open_link(url: str, name: str, credentials: Path | None, component: str) -> Link:
    """A link whose connection events are logged under ``component``."""
    log = logs.events(component)
    return await Link.open(
        url,
        name,
        credentials=None if credentials is None else str(credentials),
        on_event=lambda event: log("nats", {"what": event}),
    )


async def prepare(link: Link, options: GateOptions) -> None:
    """Make sure that JetStream and our streams are there; patient with a server that is still starting."""

    async def step() -> None:
        await link.require_jetstream()
        known = await accounted_for(link, options.book)
        await link.ensure_streams(options.book, options.signal_subject, options.retention, accounted_for=known)

    await _patiently(step, link)


async def prepare_jetstream(link: Link) -> None:
    """Make sure that the server has JetStream; patient with one that is still starting."""
    await _patiently(link.require_jetstream, link)


async def _patiently(step: Callable[[], Awaitable[None]], link: Link) -> None:
    for attempt in range(50):
        try:
            await link.restored()
            await step()
        except BusError as error:
            # Only an unanswered question is worth asking again; a refusal stays one.
            if type(error) is BusError or attempt == 49:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def account_of(link: Link, gate: Gate) -> Account:
    """The books as the streams and the gate's own position see them.

    The outbox is asked first, the position is taken next and the intents are counted last, so that what happens in
    between can only look like something in flight, never like an imbalance.
    """
    outbox = await link.state(subjects.outbox_stream(gate.terms.book))
    position = gate.position
    intents = await link.state(subjects.INTENTS_STREAM)
    return Account(intents.last - position.origin, position.totals, outbox.last)


async def status_answer(link: Link, gate: Gate) -> bytes:
    """What a gate says of itself."""
    for _ in range(KNOWN_LOOKS):  # a recovery takes a moment, and whoever asks can wait for it
        if gate.books_known or gate.trouble:
            break
        await asyncio.sleep(0.02)
    position = gate.position
    try:
        if not gate.books_known:
            account: dict[str, object] = {"error": gate.trouble or f"not known while the gate is {gate.state}"}
        else:
            account = dict((await account_of(link, gate)).content())
    except BusError as error:
        account = {"error": str(error)}
    return json.dumps(
        {
            "service": "petrosa-cio",
            "version": __version__,
            "book": gate.terms.book,
            "state": gate.state,
            "trouble": gate.trouble,
            "pid": os.getpid(),
            "policy_revision": gate.terms.policy.revision,
            "policy": policy_status(gate),
            "ledger": {"index": position.index, "head": position.head, "cursor": position.cursor},
            "account": account,
            "holdings": holdings_status(gate),
            "standing": shown(gate.terms.book, gate.folded.memory.standing, gate.terms.now()),
            "process": {
                **gate.counters.content(),
                "passed_unrecorded": gate.passed_unrecorded,
                "unwitnessed": gate.witness.given_up,
                "deduplicated": gate.witness.deduplicated,
            },
        }
    ).encode()


def policy_status(gate: Gate) -> dict[str, object]:
    """Which configuration version is in force, and how long ago that was confirmed; nulls where it is a file."""
    terms = gate.terms
    as_of = terms.policy_as_of
    return {
        "version": terms.policy_version,
        "revision": terms.policy.revision,
        "age_seconds": None if not as_of else round((terms.now() - as_of) / SECOND, 3),
        "known": terms.policy_version != 0,
    }


def holdings_status(gate: Gate) -> dict[str, object] | None:
    """What is known of the account, figures as decimal text; None where nobody is asked, or nothing is known yet."""
    accounts, now = gate.terms.accounts, gate.terms.now()
    known = None if accounts is None else gate.folded.holdings.portfolio("", "", None, now)
    if accounts is None or known is None:
        return None
    figures = ("equity", "day_start_equity", "peak_equity", "realised_today", "open_today")
    told = {name: getattr(known, name) for name in figures}
    return {
        "origin": gate.terms.origin,
        "as_of": iso(known.as_of),
        "age_seconds": round((now - known.as_of) / SECOND, 3),
        **{name: None if figure is None else format(figure, "f") for name, figure in told.items()},
        "positions": len(known.positions or ()),
        "orders": len(known.orders or ()),
        "behind": accounts.behind,
    }


async def _keep_accounts(link: Link, gate: Gate) -> None:
    """Check the identity every second while leading; alarm on a change for the worse, and say when it heals."""
    log = logs.events("accounting")
    alarmed: tuple[str, ...] = ()
    while True:
        await asyncio.sleep(ACCOUNTING_SECONDS)
        if gate.state != "leading" or not gate.books_known:
            continue
        try:
            imbalances = (await account_of(link, gate)).imbalances()
            ledger = await link.state(subjects.ledger_stream(gate.terms.book))
            if ledger.last > gate.position.index:
                continue  # another gate writes, and this one, paused perhaps, has not noticed yet
            if imbalances != alarmed:
                log("ALARM: the books do not balance" if imbalances else "balanced again", {"what": list(imbalances)})
                await link.publish("alerts.cio.accounting", json.dumps(_alarm(gate, imbalances)).encode())
            alarmed = imbalances
        except BusError as error:
            log("cannot check the books", {"why": str(error)})


def _alarm(gate: Gate, imbalances: tuple[str, ...]) -> dict[str, object]:
    return {
        "category": "accounting",
        "severity": "critical" if imbalances else "info",
        "book": gate.terms.book,
        "message": "; ".join(imbalances) or "the books balance again",
        "decision_id": None,
        "dedupe_key": f"cio-accounting-{gate.terms.book}",
    }
