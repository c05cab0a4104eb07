"""Facts that are encoded once: the record is to the byte the one that encoding them anew gives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from builders import START, account_state, market_state, markets, open_orders, order_of, position_of, positions
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.facts_record import account_content, market_content
from petrosa_cio.apps.nurse.facts_text import FactsText

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import MarketState, OpenOrder, Position

held = st.none() | st.lists(positions, max_size=3).map(tuple)
ordered = st.none() | st.lists(open_orders, max_size=4).map(tuple)


@given(
    st.lists(markets().filter(lambda market: market is not None), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), max_size=8),
)
def test_a_market_is_written_as_it_is_whichever_were_written_before(known: list[MarketState], turns: list[int]) -> None:
    """Of one symbol and of several, again and changed."""
    texts = FactsText()
    for turn in turns:
        market = known[turn % len(known)]
        assert bytes(texts.market(market)) == record.encode(market_content(market))


@given(
    st.lists(held, min_size=1, max_size=3),
    st.lists(ordered, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=8),
)
def test_an_account_is_written_as_it_is_whichever_was_written_before(
    holdings: list[tuple[Position, ...] | None],
    orders: list[tuple[OpenOrder, ...] | None],
    turns: list[tuple[int, int, bool]],
) -> None:
    """Positions and orders come back, alone and together, the same tuples and equal ones, in accounts made anew."""
    texts = FactsText()
    for p, o, copied in turns:
        those, these = holdings[p % len(holdings)], orders[o % len(orders)]
        account = account_state(positions=those, orders=(*these,) if copied and these else these)
        for _ in range(2):
            assert bytes(texts.account(account)) == record.encode(account_content(account))


def test_an_order_that_is_gone_is_written_no_more() -> None:
    """Of two orders the first is filled, and a third one comes that may lie where the first lay in memory."""
    texts, left = FactsText(), order_of("ETHUSDT")
    for number in range(50):
        account = account_state(START, orders=(order_of(f"S{number}USDT"), left), positions=(position_of(),))
        assert f'"S{number}USDT"'.encode() in bytes(texts.account(account))
        account = replace(account, orders=(left,))
        assert b"S" + str(number).encode() not in bytes(texts.account(account))
    market = market_state()
    assert texts.market(market) is texts.market(market)
