"""What every `Market` promises: a recording, the book of a feed, and what a gate hears of it over a real server.

All are given the same bars. The recording has all of them from the beginning and must not look ahead; the book is told
each one as it closes. What is expected is worked out of the bars by the guard, or by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import pytest

from builders import policy_of
from builders_bars import MINUTE, T0, OneBar, bar, renamed, series, slide, walk
from builders_market import candle
from builders_recordings import table_of
from integration.harness import NatsServer, eventually, until
from petrosa_cio.apps.nurse.facts import Fact, MarketState
from petrosa_cio.apps.nurse.guard import Guard
from petrosa_cio.apps.nurse.market_book import MarketBook
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.thresholds import Thresholds, thresholds_of
from petrosa_cio.core.exchange.recorded_market import RecordedMarket
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.nats.market_facts import HeardMarket, MarketTeller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import Market

MS = 1_000_000
HOUR = 12
"""Bars of five minutes in an hour."""
POLICY = policy_of({"regime_warm_up_hours": 2.0, "correlation_hours": 6.0, "regime_leaders": []})
LED = policy_of({"regime_warm_up_hours": 2.0, "correlation_hours": 6.0})
"""The same with BTCUSDT for a leader."""


def at(minutes: float) -> Instant:
    """So many minutes after T0."""
    return (T0 + round(minutes * MINUTE)) * MS


class Place(Protocol):
    """A market, and the world that it is of."""

    market: Market

    async def reach(self, now: Instant) -> None:
        """Let time go on to ``now``: the market knows then what had happened by then."""

    async def lose(self) -> None:
        """Take away whatever the market learns from."""

    async def close(self) -> None: ...


class Recorded:
    """A recording of all the bars."""

    def __init__(self, folder: Path, bars: Sequence[OneBar], policy: Policy) -> None:
        self._path = folder / "bars.parquet"
        self.market: Market = RecordedMarket(table_of(folder, bars), policy)

    async def reach(self, now: Instant) -> None:
        """It knew all along."""

    async def lose(self) -> None:
        self._path.unlink()

    async def close(self) -> None:
        """Nothing is open."""


class Kept:
    """A feed's book."""

    def __init__(self, bars: Sequence[OneBar], policy: Policy) -> None:
        self._told = sorted(bars, key=lambda one: one.close_time_ms)
        self.market: Market
        self.market = self._book = MarketBook()
        self._book.follow(lambda symbol: limits_of(policy, symbol))

    async def reach(self, now: Instant) -> None:
        while self._told and (self._told[0].close_time_ms + 1) * MS <= now:
            one = self._told.pop(0)
            self._book.take(candle(one, symbol=one.symbol))

    async def lose(self) -> None:
        self._told.clear()

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Live:
    """A feed's book, its teller, the bus, and a gate that hears."""

    server: NatsServer
    told: list[OneBar]
    book: MarketBook
    now: Instant = 0
    links: list[Link] = field(default_factory=list)

    @classmethod
    async def start(cls, folder: Path, bars: Sequence[OneBar], policy: Policy) -> Live:
        place = cls(NatsServer.start(folder), sorted(bars, key=lambda one: one.close_time_ms), MarketBook())
        place.book.follow(lambda symbol: limits_of(policy, symbol))
        feed, gate = [await Link.open(place.server.url, name) for name in ("feed", "gate")]
        place.links = [feed, gate]
        place.teller = MarketTeller(feed, lambda: place.book.symbols, place.book.state, lambda: place.now)
        place.market = place.heard = HeardMarket(lambda: place.now)
        await gate.listen(subjects.MARKET_SUBJECTS, place.heard.hear)
        await eventually(place._hears, "the gate hears the feed")
        return place

    teller: MarketTeller = field(init=False)
    heard: HeardMarket = field(init=False)
    market: Market = field(init=False)

    async def _hears(self) -> bool:
        """A server that has just started loses a message now and then, though it has confirmed the subscription."""
        await self.links[0].publish(subjects.market_subject("NOTHING"), b"")
        return self.heard.counts["no market"] > 0

    async def reach(self, now: Instant) -> None:
        self.now = max(self.now, now)
        while self.told and (self.told[0].close_time_ms + 1) * MS <= self.now:
            one = self.told.pop(0)
            self.book.take(candle(one, symbol=one.symbol))
        await self.teller.tell()
        await until(self._arrived, "the gate has heard all that the feed knows")

    def _arrived(self) -> bool:
        known = {name: self.book.state(name, self.now) for name in self.book.symbols}
        return known == {name: self.heard.state(name, self.now) for name in known}

    async def lose(self) -> None:
        self.server.kill()

    async def close(self) -> None:
        for link in self.links:
            await link.close()
        self.server.process.end()


async def recorded(folder: Path, bars: Sequence[OneBar], policy: Policy) -> Place:
    return Recorded(folder, bars, policy)


async def kept(folder: Path, bars: Sequence[OneBar], policy: Policy) -> Place:
    return Kept(bars, policy)


MARKETS: dict[str, Callable[[Path, Sequence[OneBar], Policy], Awaitable[Place]]] = {
    "recorded": recorded,
    "kept": kept,
    "live": Live.start,
}


class Opener(Protocol):
    async def __call__(self, bars: Sequence[OneBar], policy: Policy = POLICY) -> Place: ...


@pytest.fixture(params=MARKETS)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the one place of a test, and closes it."""
    places: list[Place] = []

    async def start(bars: Sequence[OneBar], policy: Policy = POLICY) -> Place:
        places.append(await MARKETS[request.param](tmp_path, bars, policy))
        return places[-1]

    yield start
    for place in places:
        await place.close()


def limits_of(policy: Policy, symbol: str) -> Thresholds:
    return thresholds_of(policy.limits(symbol, "", None))


def known(state: MarketState | None) -> MarketState:
    assert state is not None
    return state


Labels = tuple[object, ...]


def labels(state: MarketState | None) -> Labels:
    """What bars are read to mean: label, confidence and volatility."""
    found = known(state)
    return found.regime, found.regime_confidence, found.volatility


def guarded(bars: Sequence[OneBar], symbol: str, policy: Policy, now: Instant) -> Labels:
    """The same, of a guard that was fed at once all bars that had closed by ``now``, one symbol after the other."""
    guard = Guard(lambda name: limits_of(policy, name))
    for one in bars:
        if (one.close_time_ms + 1) * MS <= now:
            guard.fold(one)
    regime = guard.regime(symbol)
    return regime.label.value, regime.confidence, regime.volatility


CALM = walk(7, 4 * HOUR, daily=0.02)
CRASH = slide(walk(7, 12 * HOUR, daily=0.02), 8, 2 * HOUR, fall=0.15, minutes=5)
HOLED = [*CRASH[: 6 * HOUR], *CRASH[6 * HOUR + 3 :]]
"""Calm, a hole of a quarter of an hour, calm, and a fall by 15 %."""


async def test_nothing_is_known_of_what_was_never_seen(opened: Opener) -> None:
    """None for every symbol until its first bar has closed, and ever for one of which there is none."""
    place = await opened([*CALM, *renamed(CALM[1:], "BTCUSDT")])
    await place.reach(at(4.99))
    assert [place.market.state(name, at(4.99)) for name in ("ETHUSDT", "BTCUSDT", "XRPUSDT")] == [None] * 3
    await place.reach(at(5))
    assert known(place.market.state("ETHUSDT", at(5))).symbol == "ETHUSDT"
    assert [place.market.state(name, at(5)) for name in ("BTCUSDT", "XRPUSDT")] == [None] * 2


async def test_a_bar_is_known_from_its_close_on(opened: Opener) -> None:
    """In the millisecond before the last one of a bar nothing of it is known; when it is over, all of it is."""
    place = await opened(CALM)
    closes = at(3 * 60)
    await place.reach(closes - 2 * MS)
    before = labels(place.market.state("ETHUSDT", closes - 2 * MS))
    assert before == guarded(CALM, "ETHUSDT", POLICY, closes - 2 * MS)
    await place.reach(closes)
    after = labels(place.market.state("ETHUSDT", closes))
    assert after == guarded(CALM, "ETHUSDT", POLICY, closes) != before


async def test_nothing_is_told_of_after_the_moment_that_is_asked_about(opened: Opener) -> None:
    """Asked of the past, no fact is of later, and bars that are timed are read as they were read then."""
    place = await opened(CRASH)
    end = at(5 * len(CRASH))
    await place.reach(end)
    place.market.state("ETHUSDT", end)
    for minutes in (0, 3, 5, 60, 11 * 60 + 1, 5 * len(CRASH) - 5):
        now = at(minutes)
        state = place.market.state("ETHUSDT", now)
        timed = dict(state.as_of) if state else {}
        assert all(of <= now for of in timed.values())
        if Fact.BARS in timed:
            assert labels(state) == guarded(CRASH, "ETHUSDT", POLICY, now)
    assert Fact.BARS in dict(known(place.market.state("ETHUSDT", end)).as_of)


@pytest.mark.parametrize("symbol", ["", "btcusdt", "ETHUSDT\n", "\x00", "\ud800", "E" * 100_000], ids=ascii)
async def test_a_symbol_that_is_none_is_not_known(opened: Opener, symbol: str) -> None:
    """Whatever is asked about, the answer is that nothing is known, and no error."""
    place = await opened(CALM[:HOUR])
    await place.reach(at(60))
    assert place.market.state(symbol, at(60)) is None


async def test_no_moment_is_an_error(opened: Opener) -> None:
    """Before 1970, at its beginning and in thousands of years: an answer, of which nothing is of after that moment."""
    place = await opened(CALM[:HOUR])
    await place.reach(at(60))
    for now in (-1, 0, 2**63, 2**80, at(60)):
        state = place.market.state("ETHUSDT", now)
        assert all(of <= now for _, of in state.as_of) if state else now <= 0
    assert known(place.market.state("ETHUSDT", at(60))).as_of


async def test_a_bar_is_as_good_as_new_until_its_successor_is_due_and_ages_from_then(opened: Opener) -> None:
    """Of five minutes, the last at three hours: fresh until 3:05, and of 3:05 from then on, to the millisecond."""
    place = await opened(CALM[: 3 * HOUR])
    for minutes in (180, 182, 184.9):
        await place.reach(at(minutes))
        assert bars_as_of(place, at(minutes)) == at(minutes)
    for minutes in (185.1, 186, 240, 10_000):
        await place.reach(at(minutes))
        assert at(185) - MS <= bars_as_of(place, at(minutes)) <= at(185)


def bars_as_of(place: Place, now: Instant) -> Instant:
    return dict(known(place.market.state("ETHUSDT", now)).as_of)[Fact.BARS]


async def test_asking_changes_nothing(opened: Opener) -> None:
    """The same question has the same answer, whatever was asked in between."""
    place = await opened([*CALM, *renamed(CALM, "BTCUSDT")])
    await place.reach(at(190))
    first = known(place.market.state("ETHUSDT", at(190)))
    for symbol, minutes in (("BTCUSDT", 190), ("ETHUSDT", 9000), ("ETHUSDT", 100), ("XRPUSDT", 190)):
        place.market.state(symbol, at(minutes))
    assert place.market.state("ETHUSDT", at(190)) == first


async def test_it_answers_from_memory(opened: Opener) -> None:
    """With what it learns from gone, it says what it knew."""
    place = await opened(CALM)
    await place.reach(at(190))
    before = known(place.market.state("ETHUSDT", at(190)))
    await place.lose()
    assert place.market.state("ETHUSDT", at(190)) == before


async def test_labels_are_those_of_a_guard_on_the_same_bars(opened: Opener) -> None:
    """Every quarter of an hour, through a hole and a fall: told one by one or read at once, it is the same label."""
    place = await opened(HOLED)
    seen = set()
    for minutes in range(15, 5 * len(CRASH) + 1, 15):
        await place.reach(at(minutes))
        found = labels(place.market.state("ETHUSDT", at(minutes)))
        assert found == guarded(HOLED, "ETHUSDT", POLICY, at(minutes)), minutes
        seen.add((minutes > 6 * 60, found[0]))
    assert {(False, "unknown"), (False, "ranging"), (True, "unknown"), (True, "capitulation")} <= seen


async def test_labels_are_those_of_a_guard_under_the_same_leader(opened: Opener) -> None:
    """A calm follower of a leader that falls: each hour, label for label, and in stress at the end."""
    calm = walk(9, len(CRASH), daily=0.02)
    bars = [*renamed(CRASH, "BTCUSDT"), *calm]
    place = await opened(bars, LED)
    for minutes in range(60, 5 * len(CRASH) + 1, 60):
        await place.reach(at(minutes))
        found = labels(place.market.state("ETHUSDT", at(minutes)))
        assert found == guarded(bars, "ETHUSDT", LED, at(minutes)), minutes
    assert found[0] == "capitulation"


def moved(symbol: str, returns: Sequence[float], minutes: int) -> list[OneBar]:
    """Bars whose closes make these log returns; the first closes at 100."""
    closes = [100.0]
    for one in returns:
        closes.append(closes[-1] * math.exp(one))
    return renamed(series(closes, minutes=minutes), symbol)


async def test_what_moves_together_is_told_alike(opened: Opener) -> None:
    """By hand: six hours of which two symbols share the moves and a third, of other moves, has correlation 0 with them.

    With 20 returns they are told apart, with 19 all three count as one; after a day without bars they do so again. One
    symbol has bars of five minutes.
    """
    up_down, pairs = [0.01, -0.01] * 12, [0.01, 0.01, -0.01, -0.01] * 6
    fine = [part for move in up_down for part in (0.0, 0.003, move - 0.003)]
    bars = [
        *moved("AUSDT", up_down, 15),
        *moved("BUSDT", [0.0, 0.0, *fine], 5),
        *moved("CUSDT", pairs, 15),
    ]
    place = await opened(bars)
    everyone = {"AUSDT": ("BUSDT", "CUSDT"), "BUSDT": ("AUSDT", "CUSDT"), "CUSDT": ("AUSDT", "BUSDT")}
    apart: dict[str, tuple[str, ...]] = {"AUSDT": ("BUSDT",), "BUSDT": ("AUSDT",), "CUSDT": ()}
    # The first bar's close is the beginning of the first return.
    for returns, expected in ((19, everyone), (20, apart), (24, apart), (24 + 96, everyone)):
        now = at(15 * (returns + 1))
        await place.reach(now)
        assert {name: known(place.market.state(name, now)).correlated for name in everyone} == expected, returns


async def test_a_hole_makes_bars_old_and_then_the_regime_unknown(opened: Opener) -> None:
    """After a hole of hours the fact has the age of the newest bar, and the label says that something is missing."""
    bars = [*CALM[: 3 * HOUR], *(bar(place, 100.0) for place in range(4 * HOUR, 4 * HOUR + 2))]
    assert [b.open_time_ms - a.close_time_ms for a, b in pairwise(bars)].count(1) == len(bars) - 2
    place = await opened(bars)
    await place.reach(at(230))
    assert at(230) - bars_as_of(place, at(230)) >= 45 * 60 * SECOND
    await place.reach(at(250))
    assert bars_as_of(place, at(250)) == at(250)
    assert known(place.market.state("ETHUSDT", at(250))).regime == "unknown"
