"""What holds of every frame that a stream can carry, and of everything that is folded of them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from builders_bars import MINUTE, T0
from builders_market import MS, SYMBOL, kline_event, mark_event, quote_event, trade_event
from petrosa_cio.apps.nurse.bars import is_sound
from petrosa_cio.apps.nurse.market_book import MarketBook
from petrosa_cio.apps.nurse.observations import Candle, Marked, Quoted, Traded
from petrosa_cio.core.market_events import read_event
from petrosa_cio.core.nats.market_facts import decode, encode

NOW = (T0 + 10 * MINUTE) * MS

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
sound = st.sampled_from([quote_event(T0), mark_event(T0), trade_event(T0), kline_event(0), kline_event(1, x=False)])


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A sound event in which any field may be anything, in a wrapper or not."""
    event = dict(draw(sound))
    for name in draw(st.lists(st.sampled_from(sorted(event)), max_size=3)):
        event[name] = draw(anything)
    bar = event.get("k")
    if isinstance(bar, dict):
        changed = draw(st.dictionaries(st.sampled_from(sorted(bar) or ["t"]), anything, max_size=2))
        event["k"] = bar | changed
    return json.dumps({"stream": draw(anything), "data": event} if draw(st.booleans()) else event).encode()


@given(st.binary(max_size=64) | bent() | anything.map(lambda value: json.dumps(value).encode()))
def test_reading_is_total_and_what_is_read_is_sound(raw: bytes) -> None:
    """No bytes raise; either something is told or why not; every price told is positive and finite, every bar sound."""
    found = read_event(raw, NOW)
    assert bool(found.observations) == (found.unread is None)
    for seen in found.observations:
        match seen:
            case Traded():
                assert seen.price > 0
            case Quoted():
                assert min(seen.bid, seen.ask) > 0
                assert min(seen.bid_quantity, seen.ask_quantity) >= 0
            case Marked():
                assert seen.mark > 0
            case Candle():
                assert is_sound(seen)


@given(
    st.lists(
        st.tuples(bent() | sound.map(lambda event: json.dumps(event).encode()), st.integers(0, 600_000)), max_size=20
    )
)
def test_folding_is_total_and_no_fact_is_of_later_than_now(frames: list[tuple[bytes, int]]) -> None:
    """Whatever comes in whichever order of clocks, a state is made, of no later than now, and can be sent."""
    book = MarketBook()
    for raw, offset in frames:
        for seen in read_event(raw, (T0 + offset) * MS).observations:
            book.take(seen)
    for symbol in book.symbols:
        state = book.state(symbol, NOW)
        assert state is not None
        assert all(at <= NOW for _, at in state.as_of)
        assert decode(encode(state)) == state


@given(
    st.lists(st.sampled_from([quote_event(T0 + second * 1000, bid=str(second + 1)) for second in range(9)]), min_size=1)
)
def test_the_order_of_arrival_does_not_matter(events: list[dict[str, object]]) -> None:
    """Of books that come in any order the one that the exchange wrote last is the one that is known."""
    book = MarketBook()
    for event in events:
        for seen in read_event(json.dumps(event).encode(), NOW).observations:
            book.take(seen)
    state = book.state(SYMBOL, NOW)
    assert state is not None
    newest = max(events, key=lambda event: int(str(event["E"])))
    assert str(state.bid) == newest["b"]
