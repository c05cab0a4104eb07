"""The feeds process: what is known of markets, told to gates. A gate reads no exchange and no flood of ticks itself.

One process of one book; several may run beside each other, since gates take the newest of each fact. It follows the
book's policy, whose thresholds the regime guard labels markets by. Everything in it begins again when it breaks off;
what stands still while it does is old by its own time, and judged so.
"""

from __future__ import annotations

import asyncio
import functools
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.market_book import MarketBook, history_ms
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.observations import Marked
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.seconds import Seconds
from petrosa_cio.apps.nurse.simulation import SimulatedEngine
from petrosa_cio.apps.nurse.thresholds import thresholds_of
from petrosa_cio.bootstrap.account_feed import account_task
from petrosa_cio.bootstrap.gate import kept_up, open_board, open_link
from petrosa_cio.bootstrap.recorded_facts import BASIS_POINTS
from petrosa_cio.bootstrap.simulated_engine import KeptEquity, simulated_engine
from petrosa_cio.core import clock, logs
from petrosa_cio.core.exchange.binance import Binance
from petrosa_cio.core.exchange.klines import BINANCE_USDM
from petrosa_cio.core.exchange.market_rest import MarketRest, NoAnswer, keep_rules
from petrosa_cio.core.exchange.market_stream import BINANCE_STREAMS, MarketStream
from petrosa_cio.core.market_events import read_event
from petrosa_cio.core.nats.market_facts import MarketTeller
from petrosa_cio.core.nats.together import end, first_failure
from petrosa_cio.errors import BusError, PolicyError, SettingsError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from decimal import Decimal
    from pathlib import Path
    from typing import TypeAlias

    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import PolicyBoard, PublishedPolicy
    from petrosa_cio.apps.nurse.thresholds import Thresholds
    from petrosa_cio.bootstrap.account_feed import AccountOptions
    from petrosa_cio.core.nats.link import Link

    Log: TypeAlias = Callable[[str, dict[str, object]], None]
    Part: TypeAlias = "tuple[str, Callable[[], Awaitable[None]]]"
    """A part of the process: its name in the logs, and work that never ends."""

FLEET_SUBJECTS = ("binance.websocket.data", "binance.futures.websocket.data")
SOURCES = ("fleet", "binance", "none")
ASK_SECONDS = 1.0
"""How often the board is asked what stands: a lost push is found this much later at most."""
LEARN_SECONDS = 1.0
"""How often it is looked whether a symbol came whose past is not known."""
LONGEST_PAUSE_SECONDS = 300.0
CATCH_UP_SECONDS = 0.1
REPORT_AGE = 2 * SECOND
"""A simulated account is reported this often while nothing happens to it."""
COUNTS_SECONDS = 60.0
"""How often it is logged what was not taken, where that changed."""


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """An account that begins with ``equity``, or with what the file ``kept`` says that it came to before."""

    equity: Decimal
    kept: Path


@dataclass(frozen=True, slots=True)
class FeedsOptions:
    """Everything a feeds process needs to know. ``policy`` holds until the board has answered, if one is followed."""

    nats_url: str
    book: str
    policy: Policy
    source: str = "fleet"
    subjects: tuple[str, ...] = FLEET_SUBJECTS
    symbols: tuple[str, ...] = ()
    """Symbols that are followed, besides the leaders of the policy; empty: every one that comes."""
    binance_url: str = BINANCE_USDM
    stream_url: str = BINANCE_STREAMS
    governed: bool = False
    credentials: Path | None = None
    replicas: int = 1
    redis_url: str | None = field(default=None, repr=False)
    asks_exchange: bool = True
    """Whether rules and the past of the fleet's market are asked of the exchange: not where the market is invented."""
    account: AccountOptions | None = None
    """Who is asked what the account holds."""
    simulated: SimulatedAccount | None = None
    """The account that is simulated instead."""

    @property
    def followed(self) -> tuple[str, ...]:
        """Symbols that are followed, the leaders among them; empty: every one that comes."""
        if not self.symbols:
            return ()
        leaders = (leader for symbol in self.symbols for leader in thresholds_by(self.policy)(symbol).leaders)
        return tuple(dict.fromkeys((*self.symbols, *leaders)))


async def run_feeds(options: FeedsOptions) -> None:
    """Run the feeds until SIGTERM or SIGINT. Raises SettingsError, BusError where NATS cannot be reached."""
    if options.source not in SOURCES:
        msg = f"market source: must be one of {', '.join(SOURCES)}, got {options.source}"
        raise SettingsError(msg)
    log = logs.events("feeds")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as held:
        link = await open_link(options.nats_url, "petrosa-cio feeds", options.credentials, "feeds")
        held.push_async_callback(link.close)
        feed = MarketFeed(options)
        parts = await market_parts(options, feed, link, held, log) + account_parts(options, feed, link, log)
        tasks = [asyncio.create_task(kept_up(name, work, log)) for name, work in parts]
        log("feeding", {"source": options.source, "parts": [name for name, _ in parts]})
        try:
            await stop.wait()
        finally:
            await end(*tasks)


def account_parts(options: FeedsOptions, feed: MarketFeed, link: Link, log: Log) -> list[Part]:
    """The parts that tell what the account holds: of a real one, or of one that is simulated on what ``feed`` sees."""
    parts: list[Part] = []
    account, simulated = options.account, options.simulated
    if account is not None and account.source != "none":
        parts.append(("account", lambda: account_task(account, link, log)))
    if simulated is not None:
        feed.seconds = Seconds()
        desk = functools.partial(simulated_desk, simulated, options.policy, feed.seconds, link, options.book, log)
        parts.append(("simulated engine", desk))
    return parts


async def simulated_desk(
    account: SimulatedAccount, policy: Policy, prices: Seconds, link: Link, book: str, log: Log
) -> None:
    """Trade what is promoted on an account that goes on with the equity that it had, for ever."""
    limits = policy.limits("", "", None)
    kept = KeptEquity(account.kept, log)
    engine = SimulatedEngine(
        kept.read() or account.equity,
        prices,
        fee_rate=limits.required_number("taker_fee_bps") / BASIS_POINTS,
        fresh_for=REPORT_AGE,
        one_way=limits.word("position_mode") != "hedge",
    )
    await simulated_engine(link, book, engine, log, reported=kept.keep)


async def market_parts(
    options: FeedsOptions, feed: MarketFeed, link: Link, held: AsyncExitStack, log: Log
) -> list[Part]:
    """The parts that make market facts and tell them; what they hold open is closed with ``held``."""
    if options.source == "none":
        return []
    teller = MarketTeller(link, lambda: feed.book.symbols, feed.book.state, clock.now_ns, feed.counts)
    await teller.answer()
    exchange = await held.enter_async_context(Binance(options.binance_url, now_ns=clock.now_ns))
    rest = MarketRest(exchange, clock.now_ns)
    parts: list[Part] = [
        ("market facts", teller.run),
        ("counts", lambda: feed.tell_counts(log)),
        ("changed lengths", feed.catch_up),
    ]
    if options.asks_exchange:
        parts.append(("rules of the exchange", lambda: keep_rules(rest, lambda: feed.symbols, feed.book.take, log)))
    if options.source == "fleet":
        parts.append(("fleet's market", lambda: feed.hear_fleet(link)))
        if options.asks_exchange:
            parts.append(("history", lambda: feed.learn(rest, log)))
    else:
        stream = MarketStream(
            options.followed,
            rest,
            frame=feed.frame,
            observe=feed.book.take,
            last_close_ms=feed.book.last_close_ms,
            history_ms=lambda symbol: history_ms(feed.thresholds(symbol)),
            now_ns=clock.now_ns,
            log=log,
            base_url=options.stream_url,
        )
        parts += [("books", stream.books), ("bars", stream.bars)]
    if options.governed:
        board = open_board(link, options.redis_url, options.replicas, log)
        parts.append(("policy", lambda: first_failure(_watch(board, feed, log), _ask(board, feed, log))))
    return parts


class MarketFeed:
    """Frames in, facts out: reads what comes and folds it, and counts what was not read."""

    def __init__(self, options: FeedsOptions) -> None:
        self._options = options
        self.book_name = options.book
        self._policy_version: int | None = None
        self._refused = 0
        self.unread: Counter[str] = Counter()
        self.book = MarketBook(frozenset(options.followed))
        self.seconds: Seconds | None = None
        """Bars of what is seen, where an account is simulated on them."""
        self.thresholds = thresholds_by(options.policy)
        self.book.follow(self.thresholds)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols whose rules are wanted: those that are followed, or all that came."""
        return self._options.followed or self.book.symbols

    def frame(self, raw: bytes, received: Instant) -> None:
        """Take in what came from a stream or a subject."""
        read = read_event(raw, received)
        if read.unread is not None:
            self.unread[read.unread.value] += 1
        for seen in read.observations:
            self.book.take(seen)
            if self.seconds is not None and isinstance(seen, Marked):
                self.seconds.seen(seen.symbol, received, float(seen.mark))

    def counts(self) -> Mapping[str, int]:
        """What was not taken, and why."""
        return self.unread + self.book.counts

    async def hear_fleet(self, link: Link) -> None:
        """Hear the fleet's market, for ever."""

        async def heard(_subject: str, _headers: Mapping[str, str], body: bytes) -> None:
            self.frame(body, clock.now_ns())

        async with link.listening(self._options.subjects, heard):
            await asyncio.Event().wait()

    async def learn(self, rest: MarketRest, log: Log) -> None:
        """Ask the exchange for the past of symbols whose bars the fleet tells, for ever."""
        pause = LEARN_SECONDS
        while True:
            missed, wait = False, 0.0
            for symbol in self.book.young():
                start = clock.now_ns() // 1_000_000 - history_ms(self.thresholds(symbol))
                try:
                    missed |= not self.book.learn(symbol, [bar async for bar in rest.bars(symbol, start)])
                except NoAnswer as error:
                    log("the past of a market cannot be had; it is asked for again", {"why": str(error)})
                    missed, wait = True, max(wait, error.wait_seconds)
                if wait:
                    break
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS) if missed else LEARN_SECONDS
            await asyncio.sleep(max(pause, wait))

    async def catch_up(self) -> None:
        """Read kept bars anew where the policy changed the guard's lengths, for ever; others get a turn in between."""
        while True:
            another = self.book.catch_up()
            await asyncio.sleep(0 if another else CATCH_UP_SECONDS)

    async def tell_counts(self, log: Log) -> None:
        """Log what was not taken whenever that changed, for ever."""
        told: Mapping[str, int] = {}
        while True:
            counts = self.counts()
            if counts != told:
                log("not taken from the market's stream", dict(counts))
                told = counts
            await asyncio.sleep(COUNTS_SECONDS)

    def follow(self, published: PublishedPolicy, log: Log) -> None:
        """Judge by what was put up, if it is newer than what holds. What is no policy is told once and not followed."""
        version = published.version
        if version == self._refused or (self._policy_version is not None and version <= self._policy_version):
            return
        try:
            policy = read_policy(dict(published.content), f"version {version}")
        except PolicyError as error:
            self._refused = version
            log("ALARM: the policy that was put up cannot be used", {"why": str(error)})
            return
        self._policy_version = version
        self.thresholds = thresholds_by(policy)
        self.book.follow(self.thresholds)


def thresholds_by(policy: Policy) -> Callable[[str], Thresholds]:
    """The guard's thresholds of each symbol under ``policy``."""

    @functools.lru_cache(maxsize=256)
    def of(symbol: str) -> Thresholds:
        return thresholds_of(policy.limits(symbol, "", None))

    return of


async def _watch(board: PolicyBoard, feed: MarketFeed, log: Log) -> None:
    while True:
        try:
            await board.watch(feed.book_name, lambda published: feed.follow(published, log))
        except (BusError, StoreError) as error:
            log("the policy watch broke off", {"why": str(error)})
            await asyncio.sleep(ASK_SECONDS / 2)


async def _ask(board: PolicyBoard, feed: MarketFeed, log: Log) -> None:
    while True:
        try:
            published = await board.current(feed.book_name)
        except (BusError, StoreError) as error:
            log("the policy in force cannot be asked for; the last known one goes on", {"why": str(error)})
        else:
            if published is not None:
                feed.follow(published, log)
        await asyncio.sleep(ASK_SECONDS)
