"""What is known of the markets, on the bus: a feed tells it, gates hear it.

``cio.market.<symbol>`` carries one `MarketState` as JSON, in the form that decisions record it in. A symbol that
changed is told at most four times a second; one that did not, once a second, so that a gate that starts, or missed a
message, knows soon. A gate that starts asks on ``cio.market-snapshot`` besides. All of it is core NATS: what is lost is
told again, and what is told late is old by its own ``as_of``.

Several feeds may tell of one symbol: of each fact the newest telling counts.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.facts import Fact, MarketState
from petrosa_cio.apps.nurse.facts_record import market_content, market_of
from petrosa_cio.apps.nurse.models import SECOND, is_symbol
from petrosa_cio.apps.nurse.soundness import MARKET_FIGURES
from petrosa_cio.core.nats import subjects
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.core.nats.link import Link

TELL_SECONDS = 0.25
"""Between two tellings of a symbol, at least."""
TELL_AGAIN: Instant = 1 * SECOND
"""After this a symbol is told again though nothing changed."""
AHEAD: Instant = 5 * SECOND
"""How far the clock of a feed may be ahead of ours."""
MOST_SYMBOLS = 256
LARGEST = 64 * 1024
"""Bytes of one market that are read at all; one has about a thousand."""
LONGEST_WORD = 64
"""Characters of a status, a regime or a symbol; the longest one known has 20."""
SNAPSHOT_SECONDS = 0.5

_ALONG = {Fact.MARK: ("last",), Fact.FILTERS: ("contract_type",)}
"""Figures that are told with a fact and that no control compares."""
_FIGURES: Mapping[Fact, tuple[str, ...]] = {
    fact: (*(name for name, _ in figures), *_ALONG.get(fact, ())) for fact, figures in MARKET_FIGURES.items()
}


def encode(market: MarketState) -> bytes:
    """``market`` as it is published."""
    return json.dumps(market_content(market), separators=(",", ":")).encode()


def decode(raw: bytes) -> MarketState:
    """What `encode` wrote. Raises ValueError for anything else."""
    if len(raw) > LARGEST:
        msg = f"longer than {LARGEST} bytes"
        raise ValueError(msg)
    return _market(json.loads(raw))


def _market(content: object) -> MarketState:
    try:
        market = market_of(content) if isinstance(content, dict) else None
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        msg = f"no market: {error}"
        raise ValueError(msg) from error
    if market is None or not is_symbol(market.symbol) or not all(map(_is_word, _words(market))):
        msg = "no market of a symbol"
        raise ValueError(msg)
    return market


def _words(market: MarketState) -> Iterator[str | None]:
    yield from (market.status, market.contract_type, market.regime)
    yield from market.correlated or ()


def _is_word(told: str | None) -> bool:
    """Whether every record can hold it: half a character (a lone surrogate) is none that can be written."""
    return told is None or (len(told) <= LONGEST_WORD and told.isprintable())


class MarketTeller:
    """Tells what a feed knows: ``known`` names its symbols, ``state`` what is known of one. ``failures`` counts what
    could not be sent; it is told again a moment later.
    """

    def __init__(
        self,
        link: Link,
        known: Callable[[], Sequence[str]],
        state: Callable[[str, Instant], MarketState | None],
        now: Callable[[], Instant],
        counts: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """``counts`` is told along with the answer to whoever asks: what the feed did not take, and why."""
        self._link = link
        self._known = known
        self._state = state
        self._now = now
        self._counts = counts
        self._told: dict[str, tuple[Instant, bytes]] = {}
        self.failures = 0

    async def answer(self) -> None:
        """Answer whoever asks for all that is known, from now on; the subscription survives a reconnection."""
        await self._link.answer(subjects.MARKET_SNAPSHOT, self._snapshot)

    async def run(self) -> None:
        """Tell of changes, for ever."""
        while True:
            try:
                await self.tell()
            except BusError:
                self.failures += 1
            await asyncio.sleep(TELL_SECONDS)

    async def tell(self) -> None:
        """Tell what changed since it was told, and what was not told for a second. Raises BusError."""
        now = self._now()
        for symbol in self._known():
            market = self._state(symbol, now)
            if market is None or not market.as_of:
                continue
            at, before = self._told.get(symbol, (0, b""))
            body = encode(market)
            if body != before or not at <= now < at + TELL_AGAIN:
                await self._link.publish(subjects.market_subject(symbol), body)
                self._told[symbol] = now, body

    async def _snapshot(self) -> bytes:
        now = self._now()
        markets = (self._state(symbol, now) for symbol in self._known())
        told = [market_content(market) for market in markets if market is not None and market.as_of]
        return json.dumps({"markets": told, "counts": dict(self._counts())}, separators=(",", ":")).encode()


class HeardMarket:
    """`ports.Market` of a gate: what feeds told, the newest of each fact. Total: garbage is counted, never raised.

    A fact of a little later than our clock is taken for one of now, so that two clocks that differ by milliseconds do
    not hide the newest; one that is further ahead is of a wrong clock, and is not taken. ``counts`` says what was not.
    """

    def __init__(self, now: Callable[[], Instant]) -> None:
        self._now = now
        self._markets: dict[str, MarketState] = {}
        self.counts: Counter[str] = Counter()

    def state(self, symbol: str, now: Instant) -> MarketState | None:
        """What is known of ``symbol`` at ``now``; None where nothing ever was."""
        market = self._markets.get(symbol)
        if market is None or all(at <= now for _, at in market.as_of):
            return market
        return replace(market, as_of=tuple((fact, at) for fact, at in market.as_of if at <= now))

    async def listen(self, link: Link) -> None:
        """Hear feeds from now on, and ask one for what is known already; none need be there. Raises BusError."""
        await link.listen(subjects.MARKET_SUBJECTS, self.hear)
        answer = await link.request(subjects.MARKET_SNAPSHOT, SNAPSHOT_SECONDS)
        if answer is not None:
            self.learn(answer)

    def hear(self, _subject: str, _headers: Mapping[str, str], body: bytes) -> None:
        """Take what a feed published."""
        try:
            market = decode(body)
        except (ValueError, RecursionError):
            self.counts["no market"] += 1
            return
        self._take(market)

    def learn(self, answer: bytes) -> None:
        """Take what a feed answered when it was asked for all that it knows."""
        try:
            content = json.loads(answer)
            markets = content["markets"] if isinstance(content, dict) else None
        except (ValueError, KeyError, RecursionError):
            markets = None
        if not isinstance(markets, list):
            self.counts["no snapshot"] += 1
            return
        for one in markets:
            try:
                self._take(_market(one))
            except ValueError:
                self.counts["no market"] += 1

    def _take(self, told: MarketState) -> None:
        kept = self._markets.get(told.symbol)
        if kept is None and len(self._markets) >= MOST_SYMBOLS:
            self.counts["more symbols than are kept"] += 1
            return
        now = self._now()
        ahead = sum(at > now + AHEAD for _, at in told.as_of)
        if ahead:
            self.counts["facts ahead of our clock"] += ahead
        self._markets[told.symbol] = newest(kept or MarketState(told.symbol), told, now)


def newest(kept: MarketState, told: MarketState, now: Instant) -> MarketState:
    """``kept`` with every fact that ``told`` has newer; none of either that is ahead of ``now`` beyond `AHEAD`."""
    before = {fact: at for fact, at in kept.as_of if at <= now + AHEAD}
    after = {fact: min(at, now) for fact, at in told.as_of if at <= now + AHEAD}
    newer = [fact for fact, at in after.items() if at >= before.get(fact, at)]
    figures = {name: getattr(told, name) for fact in newer for name in _FIGURES[fact]}
    as_of = {**before, **{fact: after[fact] for fact in newer}}
    return replace(kept, as_of=tuple((fact, as_of[fact]) for fact in Fact if fact in as_of), **figures)
