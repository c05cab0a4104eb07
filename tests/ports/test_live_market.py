"""`ports.Market`, for what knows live markets: the book of a feed, and what a gate heard of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from builders_market import SYMBOL, at, marked, quoted, ruled
from petrosa_cio.apps.nurse.facts import Fact
from petrosa_cio.apps.nurse.market_book import MarketBook
from petrosa_cio.core.nats.market_facts import HeardMarket, encode

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.observations import Observation
    from petrosa_cio.apps.nurse.ports import Market


class Place(Protocol):
    """A market, and a way to let it see something."""

    market: Market

    def see(self, seen: Observation) -> None: ...


class Seen:
    def __init__(self) -> None:
        self.market = self._book = MarketBook()

    def see(self, seen: Observation) -> None:
        self._book.take(seen)


class Heard:
    def __init__(self) -> None:
        self._clock = 0
        self._book = MarketBook()
        self.market = self._heard = HeardMarket(lambda: self._clock)

    def see(self, seen: Observation) -> None:
        self._clock = seen.received
        self._book.take(seen)
        state = self._book.state(seen.symbol, seen.received)
        assert state is not None
        self._heard.hear("cio.market.X", {}, encode(state))


@pytest.fixture(params=[Seen, Heard])
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.param()
    return made


def test_nothing_is_known_of_what_was_never_seen(place: Place) -> None:
    """None for a symbol of which nothing ever was; another symbol's facts are not its own."""
    place.see(quoted(1))
    assert place.market.state("ETHUSDT", at(2)) is None


def test_what_was_seen_is_known_with_its_time(place: Place) -> None:
    """Figures come with when they are of."""
    place.see(marked(1))
    place.see(quoted(2))
    state = place.market.state(SYMBOL, at(3))
    assert state is not None
    assert state.symbol == SYMBOL
    assert dict(state.as_of) == {Fact.MARK: at(1), Fact.BOOK: at(2), Fact.FUNDING: at(1)}
    assert (state.mark, state.bid, state.ask) == (100, 99, 101)


def test_what_is_known_ages_while_nothing_comes(place: Place) -> None:
    """Asked an hour later, it says the same, of the same time."""
    place.see(quoted(1))
    assert place.market.state(SYMBOL, at(3600)) == place.market.state(SYMBOL, at(1))


def test_nothing_is_told_of_after_the_moment_that_is_asked_about(place: Place) -> None:
    """A fact of later than ``now`` has no time at ``now``, so nobody can rely on it."""
    place.see(marked(1))
    place.see(quoted(5))
    state = place.market.state(SYMBOL, at(3))
    assert state is not None
    assert dict(state.as_of) == {Fact.MARK: at(1), Fact.FUNDING: at(1)}


def test_the_newest_of_each_fact_counts(place: Place) -> None:
    """One fact that moves on leaves the others as they are."""
    place.see(marked(1))
    place.see(quoted(2))
    place.see(quoted(4, bid="98"))
    state = place.market.state(SYMBOL, at(5))
    assert state is not None
    assert dict(state.as_of) == {Fact.MARK: at(1), Fact.BOOK: at(4), Fact.FUNDING: at(1)}
    assert (state.mark, state.bid) == (100, 98)


def test_asking_changes_nothing(place: Place) -> None:
    """The same question has the same answer, whatever was asked in between."""
    place.see(ruled(0, due=3600))
    first = place.market.state(SYMBOL, at(0))
    place.market.state(SYMBOL, at(9000))
    place.market.state("ETHUSDT", at(1))
    assert place.market.state(SYMBOL, at(0)) == first
