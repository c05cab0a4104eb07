"""What gates hear of markets: the newest of each fact, of sound clocks, and garbage counted."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from builders_market import SYMBOL, at, marked, quoted, ruled
from petrosa_cio.apps.nurse.facts import Bracket, Fact, MarketState
from petrosa_cio.apps.nurse.market_book import MarketBook
from petrosa_cio.core.nats.market_facts import LARGEST, MOST_SYMBOLS, HeardMarket, decode, encode

FULL = MarketState(
    SYMBOL,
    tuple((fact, at(1)) for fact in Fact if fact is not Fact.ACCOUNT),
    mark=Decimal("100.10"),
    last=Decimal("100.2"),
    bid=Decimal("100.0"),
    bid_quantity=Decimal("0"),
    ask=Decimal("100.3"),
    ask_quantity=Decimal("1E-8"),
    funding_rate=Decimal("-0.00010000"),
    next_funding_at=at(28_800),
    status="TRADING",
    contract_type="PERPETUAL",
    step_size=Decimal("0.001"),
    tick_size=Decimal("0.10"),
    min_notional=Decimal(50),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(120),
    brackets=(Bracket(Decimal("1e12"), Decimal("0.025"), Decimal(0)),),
    regime="ranging",
    regime_confidence=Decimal("0.61"),
    volatility=Decimal("0.02"),
    correlated=("ETHUSDT",),
)


def listening(seconds: float = 10) -> HeardMarket:
    return HeardMarket(lambda: at(seconds))


def hear(market: HeardMarket, *states: MarketState) -> MarketState:
    for state in states:
        market.hear("cio.market.X", {}, encode(state))
    known = market.state(SYMBOL, at(100))
    assert known is not None
    return known


def told(seconds: float, **figures: Decimal) -> MarketState:
    """A book of that moment."""
    return replace(MarketState(SYMBOL, ((Fact.BOOK, at(seconds)),), bid=Decimal(99), ask=Decimal(101)), **figures)


def test_every_figure_crosses_the_bus_to_the_digit() -> None:
    """What a feed knows is what a gate knows: every field, with its scale."""
    known = hear(listening(), FULL)
    assert known == FULL
    assert [str(figure) for figure in (known.mark, known.funding_rate, known.ask_quantity)] == [
        "100.10", "-0.00010000", "1E-8",
    ]  # fmt: skip


def test_of_two_feeds_the_newest_of_each_fact_counts() -> None:
    """One feed's newer mark and the other's newer book stand beside each other, whichever came first."""
    one, other = MarketBook(), MarketBook()
    for seen in (marked(5, "105"), quoted(2, bid="92"), ruled(0, due=3600)):
        one.take(seen)
    for seen in (marked(3, "103"), quoted(4, bid="94")):
        other.take(seen)
    states = [book.state(SYMBOL, at(6)) for book in (one, other)]
    assert None not in states
    for order in (states, states[::-1]):
        known = hear(listening(), *(state for state in order if state is not None))
        assert (known.mark, known.bid, known.status) == (105, 94, "TRADING")
        assert dict(known.as_of)[Fact.MARK] == at(5)
        assert dict(known.as_of)[Fact.BOOK] == at(4)


def test_an_older_telling_changes_nothing() -> None:
    """What arrives late, or again, does not make a fact older."""
    assert hear(listening(), told(5), told(4, bid=Decimal(1))).bid == 99


def test_a_feed_whose_clock_is_a_little_ahead_is_believed_as_of_now() -> None:
    """Up to five seconds ahead a fact is taken for one of the moment it was heard."""
    assert dict(hear(listening(10), told(15)).as_of) == {Fact.BOOK: at(10)}


def test_a_fact_of_a_wrong_clock_is_not_taken() -> None:
    """More than five seconds ahead is a wrong clock: the fact is left out, its fellows are not, and it is counted."""
    market = listening(10)
    state = replace(told(15.001), mark=Decimal(100), as_of=((Fact.MARK, at(9)), (Fact.BOOK, at(15.001))))
    known = hear(market, state)
    assert dict(known.as_of) == {Fact.MARK: at(9)}
    assert (known.mark, known.bid) == (100, None)
    assert market.counts == {"facts ahead of our clock": 1}


def test_a_clock_that_was_set_back_is_followed() -> None:
    """What is known of an hour ahead, since our clock was wrong, gives way to what comes now."""
    clock = [at(3600)]
    market = HeardMarket(lambda: clock[0])
    hear(market, told(3600))
    clock[0] = at(10)
    assert dict(hear(market, told(9, bid=Decimal(98))).as_of) == {Fact.BOOK: at(9)}


GARBAGE = [
    b"",
    b"\xff",
    b"[]",
    b"null",
    b"{}",
    b'{"symbol":7}',
    b'{"symbol":"btc"}',
    b'{"symbol":"BTCUSDT","as_of":{"tides":"2023-11-15T00:00:00Z"}}',
    b'{"symbol":"BTCUSDT","as_of":{"book":"yesterday"}}',
    b'{"symbol":"BTCUSDT","as_of":{"book":1700006400}}',
    b'{"symbol":"BTCUSDT","bid":"ninety"}',
    b'{"symbol":"BTCUSDT","next_funding_at":"0000-00-00T00:00:00Z"}',
    b'{"symbol":"BTCUSDT","brackets":[{"cap":"much"}]}',
    b"[" * 50_000,
    b'{"symbol":"BTCUSDT"}' + b" " * LARGEST,
]


@pytest.mark.parametrize("raw", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_counted_and_changes_nothing(raw: bytes) -> None:
    """Whatever a subject carries, nothing is raised, what is known stays, and it is counted."""
    market = listening()
    before = hear(market, FULL)
    market.hear("cio.market.X", {}, raw)
    assert market.state(SYMBOL, at(100)) == before
    assert market.counts == {"no market": 1}
    with pytest.raises((ValueError, RecursionError)):
        decode(raw)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"markets":7}', b"[" * 50_000], ids=range(5))
def test_a_snapshot_that_is_none_is_counted(raw: bytes) -> None:
    """An answer without markets teaches nothing."""
    market = listening()
    market.learn(raw)
    assert market.counts == {"no snapshot": 1}


def test_of_a_snapshot_every_market_that_is_one_is_learnt() -> None:
    """One market that cannot be read does not keep the others away."""
    market = listening()
    market.learn(json.dumps({"markets": [7, {"symbol": "x"}, json.loads(encode(FULL))]}).encode())
    assert market.state(SYMBOL, at(100)) == FULL
    assert market.counts == {"no market": 2}


def test_no_flood_of_symbols_fills_the_memory() -> None:
    """Beyond the most symbols a new one is counted and not kept; those that are known go on."""
    market = listening()
    for number in range(MOST_SYMBOLS):
        market.hear("", {}, encode(replace(FULL, symbol=f"COIN{number}USDT")))
    market.hear("", {}, encode(FULL))
    assert market.state(SYMBOL, at(100)) is None
    assert market.counts == {"more symbols than are kept": 1}


@pytest.mark.parametrize(
    ("name", "word"),
    [("status", "\ud800"), ("contract_type", "A" * 65), ("regime", "a\nb"), ("correlated", ["\udfff"])],
)
def test_words_that_no_record_could_hold_are_no_market(name: str, word: object) -> None:
    """Half a character, a line break, a word that is a text: what is not told in words is not kept."""
    market = listening()
    content = json.loads(encode(FULL))
    market.hear("cio.market.X", {}, json.dumps({**content, name: word}).encode())
    assert market.state(SYMBOL, at(100)) is None
    assert market.counts == {"no market": 1}
