"""The market of a recording does not depend on when it was asked before: streaming equals batch."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import policy_of
from builders_bars import MINUTE, OneBar, renamed, walk
from builders_market import candle
from builders_recordings import table_of
from petrosa_cio.apps.nurse.market_book import MarketBook
from petrosa_cio.apps.nurse.simulation import FundingTime
from petrosa_cio.apps.nurse.thresholds import thresholds_of
from petrosa_cio.core.exchange.funding import FundingTable
from petrosa_cio.core.exchange.recorded_market import RecordedMarket

if TYPE_CHECKING:
    from petrosa_cio.core.exchange.recording import KlineTable

MS = 1_000_000
POLICY = policy_of({"regime_warm_up_hours": 2.0, "correlation_hours": 6.0})
SYMBOLS = {"BTCUSDT": 5, "ETHUSDT": 5, "SOLUSDT": 15}
HOURS = 30


@st.composite
def recordings(draw: st.DrawFn) -> KlineTable:
    """A day and a quarter of three symbols, some bars flat and without volume, some missing, also for hours."""
    bars: list[OneBar] = []
    for symbol, minutes in SYMBOLS.items():
        seed = draw(st.integers(0, 2**32))
        chance = random.Random(seed)
        count = HOURS * 60 // minutes
        found = renamed(walk(seed, count, daily=draw(st.sampled_from([0.01, 0.05, 0.2])), minutes=minutes), symbol)
        hole, length = draw(st.integers(0, count)), draw(st.integers(0, count // 3))
        kept = [*found[:hole], *found[hole + length :]]
        still = draw(st.integers(0, count))
        bars += [
            replace(one, high=one.open, low=one.open, close=one.open, volume=0.0) if still <= place < still + 4 else one
            for place, one in enumerate(kept)
            if chance.random() > 0.01
        ]
    with TemporaryDirectory() as folder:
        return table_of(Path(folder), bars)


questions = st.lists(
    st.tuples(st.sampled_from([*SYMBOLS, "XRPUSDT"]), st.integers(0, (HOURS + 4) * 60 * 6)), min_size=1, max_size=12
)
"""Symbol, and when: in steps of ten seconds."""


@settings(max_examples=25, deadline=None)
@given(table=recordings(), asked=questions, ordered=st.booleans())
def test_many_questions_are_answered_as_one(table: KlineTable, asked: list[tuple[str, int]], ordered: bool) -> None:
    """Whatever was asked before, in order of time or not, the answer is that of a market asked for the first time."""
    start = min(table.span(symbol)[0] for symbol in table.symbols)
    funding = FundingTable([FundingTime("ETHUSDT", start + n * 8 * 60 * MINUTE, Decimal(n) / 10_000) for n in range(4)])
    market = RecordedMarket(table, POLICY, funding)
    for symbol, tens in sorted(asked, key=lambda one: one[1]) if ordered else asked:
        now = (start + tens * 10_000) * MS
        assert market.state(symbol, now) == RecordedMarket(table, POLICY, funding).state(symbol, now)


@settings(max_examples=25, deadline=None)
@given(table=recordings(), asked=questions)
def test_nothing_of_later_is_known(table: KlineTable, asked: list[tuple[str, int]]) -> None:
    """No fact is of after the moment of asking, and the last price is one that had been traded by then."""
    start = min(table.span(symbol)[0] for symbol in table.symbols)
    market = RecordedMarket(table, POLICY)
    for symbol, tens in asked:
        now = (start + tens * 10_000) * MS
        state = market.state(symbol, now)
        bar = table.last_closed(symbol, now // MS)
        assert (state is None) == (bar is None)
        if state is not None and bar is not None:
            assert all(as_of <= now for _, as_of in state.as_of)
            assert float(str(state.mark)) == bar.close


@settings(max_examples=10, deadline=None)
@given(table=recordings())
def test_asked_all_the_time_or_once_a_bar_the_labels_are_the_same(table: KlineTable) -> None:
    """Asked each minute for a few hours, between two closes the label is that of the close before."""
    often, seldom = RecordedMarket(table, POLICY), RecordedMarket(table, POLICY)
    start = table.span("ETHUSDT")[0] + 20 * 60 * MINUTE
    for minute in range(180):
        now_ms = start + minute * MINUTE
        state, bar = often.state("ETHUSDT", now_ms * MS), table.last_closed("ETHUSDT", now_ms)
        if state is not None and bar is not None and now_ms - bar.close_time_ms < 5 * MINUTE:
            at_close = seldom.state("ETHUSDT", bar.close_time_ms * MS)
            assert at_close is not None
            assert (state.regime, state.volatility) == (at_close.regime, at_close.volatility)


@settings(max_examples=15, deadline=None)
@given(table=recordings(), asked=questions)
def test_a_feed_that_is_told_bar_by_bar_says_the_same(table: KlineTable, asked: list[tuple[str, int]]) -> None:
    """Streaming and batch: label, confidence, volatility and group of a feed's book are those of the recording."""
    start = min(table.span(symbol)[0] for symbol in table.symbols)
    bars = [one for symbol in table.symbols for one in table.closed(symbol, 0, 2**63)]
    bars.sort(key=lambda one: one.close_time_ms)
    market, book = RecordedMarket(table, POLICY), MarketBook()
    book.follow(lambda symbol: thresholds_of(POLICY.limits(symbol, "", None)))
    for symbol, tens in sorted(asked, key=lambda one: one[1]):
        # A live bar is told a millisecond after the last one of its own, from which on a recorded one is seen.
        now = (start + tens * 10_000 + 1) * MS
        while bars and (bars[0].close_time_ms + 1) * MS <= now:
            book.take(candle(bars[0], symbol=bars.pop(0).symbol))
        live, recorded = book.state(symbol, now), market.state(symbol, now)
        assert (live is None) == (recorded is None)
        if live is not None and recorded is not None:
            for name in ("regime", "regime_confidence", "volatility", "correlated"):
                assert getattr(live, name) == getattr(recorded, name), name
