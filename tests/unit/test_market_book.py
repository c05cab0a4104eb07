"""What is known of a market, out of what is seen of it: ages, frozen feeds, bars and the regime that they make."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders_bars import MINUTE, T0, OneBar, walk
from builders_market import MS, START, SYMBOL, at, candle, marked, quoted, ruled, traded
from petrosa_cio.apps.nurse.facts import Fact, MarketState
from petrosa_cio.apps.nurse.guard import Guard
from petrosa_cio.apps.nurse.market_book import MOST_SYMBOLS, MarketBook, history_ms
from petrosa_cio.apps.nurse.thresholds import DEFAULT

FROZEN = 15 * 60
"""Default of `regime_frozen_minutes`, in seconds."""


def known(book: MarketBook, seconds: float, symbol: str = SYMBOL) -> MarketState:
    state = book.state(symbol, at(seconds))
    assert state is not None
    return state


def as_of(book: MarketBook, seconds: float) -> dict[Fact, int]:
    return dict(known(book, seconds).as_of)


def flat(minute: int, *, price: float = 100.0, volume: float = 5.0) -> OneBar:
    opened = T0 + minute * MINUTE
    return OneBar(SYMBOL, opened, opened + MINUTE - 1, price, price, price, price, volume)


def test_nothing_seen_is_nothing_known() -> None:
    """Of a symbol of which nothing was seen, nothing is known."""
    assert MarketBook().state(SYMBOL, START) is None


def test_each_fact_is_as_old_as_what_told_it() -> None:
    """Mark and funding, book, and rules each have the exchange's time of the observation that told them."""
    book = MarketBook()
    for seen in (marked(1), quoted(2, late=0.5), traded(1.5, "100.7")):
        book.take(seen)
    state = known(book, 3)
    assert dict(state.as_of) == {Fact.MARK: at(1), Fact.FUNDING: at(1), Fact.BOOK: at(2)}
    assert (state.mark, state.last, state.bid, state.bid_quantity) == (100, Decimal("100.7"), 99, 2)
    assert (state.ask, state.ask_quantity, state.funding_rate) == (101, 3, Decimal("0.0001"))
    assert state.next_funding_at == at(8 * 3600)


def test_a_contract_without_funding_has_no_funding_fact() -> None:
    """A mark that tells no funding rate makes the mark known, and nothing of funding."""
    book = MarketBook()
    book.take(marked(1, rate=None))
    assert as_of(book, 2) == {Fact.MARK: at(1)}


def test_a_fact_is_never_of_later_than_our_clock_had_when_it_came() -> None:
    """An exchange whose clock is up to five seconds ahead is believed, as of when it was heard."""
    book = MarketBook()
    book.take(quoted(5, late=-5))
    assert as_of(book, 1) == {Fact.BOOK: at(0)}


def test_an_observation_further_ahead_than_five_seconds_is_refused() -> None:
    """A clock that is wrong by more makes nothing known; it is counted."""
    book = MarketBook()
    book.take(quoted(5.001, late=-5.001))
    assert book.state(SYMBOL, at(10)) is None
    assert book.counts == {"ahead of our clock": 1}


def test_the_later_of_two_observations_counts_whichever_came_first() -> None:
    """An older book that arrives late does not replace a newer one."""
    book = MarketBook()
    book.take(quoted(2, bid="98"))
    book.take(quoted(1, bid="97", late=2))
    assert known(book, 4).bid == 98
    assert as_of(book, 4) == {Fact.BOOK: at(2)}


def test_a_clock_that_was_set_back_is_followed() -> None:
    """After our clock went back an hour, what comes now counts, though what is known is of later."""
    book = MarketBook()
    book.take(quoted(3600, bid="98"))
    book.take(quoted(1, bid="97"))
    assert known(book, 2).bid == 97
    assert as_of(book, 2) == {Fact.BOOK: at(1)}


@pytest.mark.parametrize(("fact", "seen"), [(Fact.MARK, marked), (Fact.FUNDING, marked), (Fact.BOOK, quoted)])
def test_what_is_told_again_without_moving_stays_young_for_the_frozen_time_only(fact: Fact, seen: object) -> None:
    """A mark, or a book, that keeps coming unmoved is as new as it is told up to 15 minutes, and not newer after."""
    book = MarketBook()
    for second in (0, FROZEN, FROZEN + 1, FROZEN + 40):
        book.take(seen(second))  # type: ignore[operator]
        assert as_of(book, second)[fact] == at(min(second, FROZEN))


def test_what_moves_again_is_new_again() -> None:
    """The first observation that differs ends a freeze."""
    book = MarketBook()
    for second in (0, FROZEN + 40):
        book.take(marked(second))
    book.take(marked(FROZEN + 41, "100.1"))
    assert as_of(book, FROZEN + 41)[Fact.MARK] == at(FROZEN + 41)


def test_the_last_price_is_told_beside_a_mark_of_its_time_only() -> None:
    """A last price more than a minute older than the mark is not told along with it."""
    book = MarketBook()
    book.take(traded(0, "100.7"))
    book.take(marked(60))
    assert known(book, 60).last == Decimal("100.7")
    book.take(marked(60.001, "101"))
    assert known(book, 61).last is None


def test_rules_age_from_when_they_were_due_to_be_read_again() -> None:
    """Until the next reading is due the rules are of now; after it they are of when it was due."""
    book = MarketBook()
    book.take(ruled(0, due=3600))
    assert as_of(book, 1800) == {Fact.FILTERS: at(1800)}
    assert as_of(book, 3700) == {Fact.FILTERS: at(3600)}
    state = known(book, 1)
    assert (state.status, state.contract_type, state.step_size) == ("TRADING", "PERPETUAL", Decimal("0.001"))
    assert (state.min_notional, state.max_quantity, state.brackets) == (50, 120, None)


def test_a_bar_ages_from_when_its_successor_was_due() -> None:
    """Once the guard has its history, a minute's bar is as of now until the next one has had its minute."""
    book = MarketBook()
    for bar in walk(1, 1445, daily=0.02, minutes=1):
        book.take(candle(bar))
    closed = 1445 * 60
    assert known(book, closed).regime not in (None, "unknown")
    assert as_of(book, closed + 59)[Fact.BARS] == at(closed + 59)
    assert as_of(book, closed + 60)[Fact.BARS] == at(closed + 60)
    assert as_of(book, closed + 75)[Fact.BARS] == at(closed + 60)


def test_while_the_guard_warms_up_a_bar_is_of_its_own_close() -> None:
    """A feed that has just begun says so by the age of its bars, so that one with history is believed before it."""
    book = MarketBook()
    book.take(candle(flat(0)))
    assert as_of(book, 75)[Fact.BARS] == at(60)
    assert known(book, 75).regime == "unknown"


def test_the_regime_is_that_of_the_guard_on_the_same_bars() -> None:
    """Label, confidence and volatility are what a guard says that was fed the bars alone."""
    book, guard = MarketBook(), Guard()
    bars = walk(7, 2000, daily=0.05, minutes=1)
    for bar in bars:
        book.take(candle(bar))
        told = guard.fold(replace(bar, symbol=SYMBOL))
    state = known(book, 2000 * 60)
    assert (state.regime, state.regime_confidence, state.volatility) == (
        told.label.value, told.confidence, told.volatility,
    )  # fmt: skip


def test_a_missing_bar_makes_the_regime_unknown() -> None:
    """A gap is a fact: the regime is not told until the feed has settled."""
    book = MarketBook()
    bars = walk(1, 1500, daily=0.02, minutes=1)
    for bar in (*bars[:1480], bars[1481]):
        book.take(candle(bar))
    assert known(book, 1482 * 60).regime == "unknown"


def test_flat_bars_without_volume_make_the_regime_unknown_though_they_keep_coming() -> None:
    """A feed that repeats its last price without a trade for 15 minutes is frozen; the bars' own age hides it."""
    book = MarketBook()
    bars = walk(1, 1450, daily=0.02, minutes=1)
    for bar in bars:
        book.take(candle(bar))
    price = bars[-1].close
    for minute in range(1450, 1464):
        book.take(candle(flat(minute, price=price, volume=0.0)))
    assert known(book, 1464 * 60).regime != "unknown"
    book.take(candle(flat(1464, price=price, volume=0.0)))
    assert known(book, 1465 * 60).regime == "unknown"
    assert as_of(book, 1465 * 60)[Fact.BARS] == at(1465 * 60)


def test_a_bar_that_is_still_formed_is_not_judged() -> None:
    """Only closed bars reach the guard: a forming one makes no bar known."""
    book = MarketBook()
    book.take(candle(flat(0), closed=False))
    assert known(book, 60).regime is None
    assert book.last_close_ms(SYMBOL) is None


def test_a_bar_that_calls_itself_closed_before_its_time_is_refused() -> None:
    """A bar whose close lies more than five seconds ahead of our clock is counted and not judged."""
    book = MarketBook()
    book.take(replace(candle(flat(0)), at=at(54), received=at(54)))
    assert book.last_close_ms(SYMBOL) is None
    assert book.counts == {"a bar that closes in the future": 1}


def test_an_unsound_bar_makes_the_regime_unknown() -> None:
    """A closed bar that cannot be is a symptom of its feed: counted, and the regime is not told."""
    book = MarketBook()
    bars = walk(1, 1450, daily=0.02, minutes=1)
    for bar in bars:
        book.take(candle(bar))
    book.take(candle(replace(flat(1450), close=float("nan"))))
    assert known(book, 1451 * 60).regime == "unknown"
    assert book.counts == {"a bar that cannot be": 1}


def test_the_shortest_bars_of_a_symbol_are_judged() -> None:
    """Hourly bars are left for minute bars once these come, and are counted and not mixed with them."""
    hour = OneBar(SYMBOL, T0, T0 + 60 * MINUTE - 1, 100.0, 101.0, 99.0, 100.0, 10.0)
    later = OneBar(SYMBOL, T0 + 60 * MINUTE, T0 + 120 * MINUTE - 1, 100.0, 101.0, 99.0, 100.0, 10.0)
    book = MarketBook()
    book.take(candle(hour))
    book.take(candle(flat(60)))
    book.take(candle(later))
    assert book.last_close_ms(SYMBOL) == T0 + 61 * MINUTE - 1
    assert book.counts == {"a longer bar than another": 1}


def test_bars_are_built_of_trades_where_none_come() -> None:
    """Minute bars of trades reach the guard: the first whole minute is known once the next has begun."""
    book = MarketBook()
    for second, price in ((30, "99"), (61, "100"), (90, "102"), (119, "101"), (121, "101.5")):
        book.take(traded(second, price))
    assert book.last_close_ms(SYMBOL) == T0 + 2 * MINUTE - 1


def test_built_bars_give_way_to_the_exchanges_own() -> None:
    """With the first bar of the exchange what was built is forgotten, and trades build nothing any more."""
    book = MarketBook()
    for second in (0, 61, 121, 181):
        book.take(traded(second, "100"))
    assert book.last_close_ms(SYMBOL) == T0 + 3 * MINUTE - 1
    book.take(candle(flat(3), closed=False))
    assert book.last_close_ms(SYMBOL) is None
    for second in (241, 301):
        book.take(traded(second, "100"))
    assert book.last_close_ms(SYMBOL) is None


def test_other_lengths_are_judged_on_the_kept_bars() -> None:
    """After the policy changed the guard's lengths it says what a guard says that knew them from the beginning."""
    other = DEFAULT._replace(sample=30 * MINUTE, window=48, range_window=12, trend_window=8)
    book, fresh = MarketBook(), MarketBook()
    fresh.follow(lambda _: other)
    bars = walk(3, 2000, daily=0.03, minutes=1)
    for bar in bars:
        book.take(candle(bar))
        fresh.take(candle(bar))
    assert known(book, 120_000).regime_confidence != known(fresh, 120_000).regime_confidence
    book.follow(lambda _: other)
    assert known(book, 120_000).regime == "unknown"
    assert not book.catch_up()
    assert known(book, 120_000) == known(fresh, 120_000)


def test_symbols_catch_up_one_after_another() -> None:
    """After lengths changed each call reads one symbol anew, and says whether another waits."""
    book = MarketBook()
    for symbol in ("ETHUSDT", SYMBOL):
        book.take(candle(replace(flat(0), symbol=symbol), symbol=symbol))
    book.follow(lambda _: DEFAULT._replace(window=48))
    assert [book.catch_up(), book.catch_up(), book.catch_up()] == [True, False, False]


def test_a_past_that_tells_the_same_bar_is_learnt() -> None:
    """A symbol that began to be seen late has the regime it would have if all had been seen."""
    bars = [candle(bar) for bar in walk(1, 1500, daily=0.02, minutes=1)]
    late, whole = MarketBook(), MarketBook()
    for bar in bars[1490:]:
        late.take(bar)
    for bar in bars:
        whole.take(bar)
    assert late.young() == (SYMBOL,)
    assert known(late, 1500 * 60).regime == "unknown"
    assert late.learn(SYMBOL, bars[:1495])
    assert late.young() == ()
    assert known(late, 1500 * 60) == known(whole, 1500 * 60)


def test_a_past_of_another_market_is_not_learnt() -> None:
    """Where the past tells the first bar in other figures it is of another market: counted, and not asked for again."""
    bars = [candle(bar) for bar in walk(1, 1500, daily=0.02, minutes=1)]
    book = MarketBook()
    book.take(bars[-1])
    assert book.learn(SYMBOL, [*bars[:-1], replace(bars[-1], volume=11.0)])
    assert book.young() == ()
    assert known(book, 1500 * 60).regime == "unknown"
    assert book.counts == {"a past of another market": 1}


def test_a_past_that_does_not_reach_the_first_bar_is_asked_for_again() -> None:
    """The exchange may tell a bar on its stream a moment before it does when asked."""
    bars = [candle(bar) for bar in walk(1, 1500, daily=0.02, minutes=1)]
    book = MarketBook()
    book.take(bars[-1])
    assert not book.learn(SYMBOL, bars[:-1])
    assert book.young() == (SYMBOL,)


@pytest.mark.parametrize("minutes", [5, 60])
def test_only_minute_bars_have_a_past_to_be_learnt(minutes: int) -> None:
    """Of longer bars, and of those built of trades, no past is asked for."""
    book = MarketBook()
    book.take(candle(walk(1, 1, daily=0.02, minutes=minutes)[0]))
    for second in (0, 61, 121):
        book.take(traded(second, "100", symbol="ETHUSDT"))
    assert book.last_close_ms("ETHUSDT") is not None
    assert book.young() == ()


def test_thresholds_of_the_same_lengths_hold_at_once() -> None:
    """A threshold that is no length is judged by from the next bar on, without a history read anew."""
    book = MarketBook()
    bars = walk(1, 1450, daily=0.02, minutes=1)
    for bar in bars[:-1]:
        book.take(candle(bar))
    assert known(book, 1449 * 60).regime != "unknown"
    book.follow(lambda _: DEFAULT._replace(warm_up=72 * 60 * MINUTE))
    book.take(candle(bars[-1]))
    assert known(book, 1450 * 60).regime == "unknown"


def test_a_frozen_threshold_of_the_policy_holds() -> None:
    """`regime_frozen_minutes` is also how long a mark may stand still."""
    book = MarketBook()
    book.follow(lambda _: DEFAULT._replace(frozen=60_000))
    for second in (0, 100):
        book.take(marked(second))
    assert as_of(book, 100)[Fact.MARK] == at(60)


def test_other_symbols_than_those_followed_are_counted() -> None:
    """Where symbols are named, what comes of others makes nothing known."""
    book = MarketBook(frozenset({"ETHUSDT"}))
    book.take(quoted(1))
    assert book.symbols == ()
    assert book.counts == {"another symbol": 1}


def test_no_flood_of_symbols_fills_the_memory() -> None:
    """Beyond the most symbols a new one is counted and not kept; those that are known go on."""
    book = MarketBook()
    for number in range(MOST_SYMBOLS + 3):
        book.take(traded(1, "1", symbol=f"COIN{number}USDT"))
    assert len(book.symbols) == MOST_SYMBOLS
    assert book.counts == {"more symbols than are followed": 3}


def test_no_length_of_history_fills_the_memory() -> None:
    """Of the bars of a symbol those are kept that the guard looks back on, and no more."""
    short = DEFAULT._replace(window=96, range_window=12, trend_window=8, warm_up=60 * MINUTE)
    book = MarketBook()
    book.follow(lambda _: short)
    for bar in walk(1, 3000, daily=0.02, minutes=1):
        book.take(candle(bar))
    assert len(book._symbols[SYMBOL].bars) == history_ms(short) // MINUTE + 2 == 97 * 15 + 2


def test_a_spread_is_the_guards_only_while_the_book_is_of_the_bar() -> None:
    """The book's spread goes to the guard with a bar that it was seen in; an older book says nothing of it."""
    book = MarketBook()
    book.take(quoted(30, "99", "101"))
    book.take(candle(flat(0)))
    book.take(candle(flat(1)))
    assert [spread for _, spread in book._symbols[SYMBOL].bars] == [pytest.approx(200.0), None]


def test_symbols_that_move_together_are_told_with_the_bars() -> None:
    """Two symbols with the same bars are one risk: each names the other."""
    book = MarketBook()
    for bar in walk(1, 1445, daily=0.02, minutes=1):
        for symbol in (SYMBOL, "ETHUSDT"):
            book.take(candle(bar, symbol=symbol))
    assert known(book, 1445 * 60).correlated == ("ETHUSDT",)
    assert known(book, 1445 * 60, "ETHUSDT").correlated == (SYMBOL,)


def test_a_group_is_of_the_bars_that_were_seen_by_now() -> None:
    """Asked again after a new symbol's first bar came, and after the end of a step, the group is another."""
    book = MarketBook()
    first, second = walk(1, 30, daily=0.02, minutes=15), walk(2, 30, daily=0.02, minutes=15)
    for bar in first:
        book.take(candle(bar))
    assert known(book, 30 * 900).correlated == ()
    for place, bar in enumerate(second):
        book.take(candle(bar, symbol="ETHUSDT"))
        # Closes at both ends of 20 returns tell the two apart; with fewer they count as one.
        assert known(book, 30 * 900).correlated == (("ETHUSDT",) if place < 20 else ())
    assert known(book, 30 * 900 + 86_400).correlated == ("ETHUSDT",), "a day later nothing is in the window"


def test_a_bar_is_no_fact_of_before_it_closed() -> None:
    """Asked about a moment before the last bar closed, nothing is timed that came of it; rules read later likewise."""
    book = MarketBook()
    book.take(quoted(50))
    book.take(candle(flat(0)))
    book.take(ruled(70, due=3600))
    assert as_of(book, 59.999) == {Fact.BOOK: at(50)}
    assert as_of(book, 60) == {Fact.BOOK: at(50), Fact.BARS: at(60)}
    assert as_of(book, 69.999).keys() == {Fact.BOOK, Fact.BARS}
    assert as_of(book, 70)[Fact.FILTERS] == at(70)


def test_a_bar_of_an_exchange_whose_clock_is_ahead_counts_when_it_comes() -> None:
    """Closed by their clock and told three seconds before that by ours, it is as of when it was asked for."""
    book = MarketBook()
    book.take(candle(flat(0), received=at(57)))
    assert as_of(book, 57) == {Fact.BARS: at(57)}


def test_instants_are_whole_and_bars_in_milliseconds() -> None:
    """The units of the two clocks are what they say: a bar's close of 00:00:59.999 is 60 seconds less one ms."""
    assert (candle(flat(0)).close_time_ms + 1) * MS == at(60)
