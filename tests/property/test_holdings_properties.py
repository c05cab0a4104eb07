"""What holds of an account's holdings whatever happens to it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from builders_account import MORNING, entry, exit_of, later, promoted_order, report
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, ExecutionKind, PromotedOrder
from petrosa_cio.apps.nurse.happenings_record import (
    execution_content,
    execution_of,
    promoted_content,
    promoted_of,
    report_content,
    report_of,
)
from petrosa_cio.apps.nurse.holdings import Holdings
from petrosa_cio.apps.nurse.models import SECOND

D = Decimal
DAY = 86_400
STRATEGIES = ("momo", "fade")
SYMBOLS = ("BTCUSDT", "ETHUSDT")

small = st.integers(1, 40).map(lambda number: D(number) / 4)
signed = st.integers(-400, 400).map(lambda number: D(number) / 8)
sides = st.sampled_from(Side)
moments = st.integers(0, 90).map(later) | st.integers(0, DAY * 2).map(later)

positions = st.builds(
    lambda symbol, side, quantity, entry_price: Position(symbol, side, quantity, entry_price, quantity * 101, D(5)),
    st.sampled_from(SYMBOLS),
    sides,
    small,
    small,
)
open_orders = st.builds(
    lambda symbol, side, quantity: OpenOrder(symbol, side, quantity, quantity * 100, D(5)),
    st.sampled_from(SYMBOLS),
    sides,
    small,
)
promotions = st.builds(
    lambda number, moment, strategy, symbol, side, quantity: promoted_order(
        f"d{number}",
        moment,
        strategy_id=strategy,
        symbol=symbol,
        side=side,
        quantity=quantity,
        notional=None if quantity is None else quantity * 100,
    ),
    st.integers(0, 5),
    moments,
    st.sampled_from(STRATEGIES),
    st.sampled_from(SYMBOLS),
    st.none() | sides,
    st.none() | small,
)
words = st.builds(
    lambda kind, moment, number, order, closes, changes: replace(
        entry(f"d{number}" if number else "", moment, order_id=order),
        kind=kind,
        closes=closes,
        **changes,
    ),
    st.sampled_from([ExecutionKind.FILLED] * 3 + list(ExecutionKind)),
    moments,
    st.integers(0, 5),
    st.sampled_from(["", "a", "b", "c", "e"]),
    st.booleans(),
    st.fixed_dictionaries(
        {
            "strategy_id": st.sampled_from(STRATEGIES),
            "symbol": st.none() | st.sampled_from(SYMBOLS),
            "side": st.none() | sides,
            "quantity": st.none() | small | st.sampled_from([D("NaN"), D(-1), D(0)]),
            "price": st.none() | small,
            "fee": st.none() | small | st.just(D(0)),
            "fee_asset": st.sampled_from(["USDT", "BNB", None]),
            "pnl": st.none() | signed,
            "stopped": st.booleans(),
            "sequence": st.just(0) | st.integers(1, 12),
        }
    ),
)
reports = st.builds(
    lambda moment, wallet, unrealised, held, open_: report(
        moment,
        origin="engine",
        positions=held,
        orders=open_,
        wallet=wallet,
        unrealised=unrealised,
    ),
    moments,
    signed.map(lambda change: str(D(1000) + change)),
    st.none() | signed.map(str),
    st.none() | st.lists(positions, max_size=2).map(tuple),
    st.none() | st.lists(open_orders, max_size=2).map(tuple),
)
expiries = st.integers(0, 5).map(lambda number: f"d{number}")
happenings = st.lists(promotions | words | words | reports | expiries, max_size=14)
nows = st.integers(0, 700).map(later) | st.integers(0, DAY * 2).map(later)
several = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fold(holdings: Holdings, happening: PromotedOrder | Execution | AccountReport | str) -> None:
    match happening:
        case PromotedOrder():
            holdings.promoted(happening)
        case Execution():
            holdings.executed(happening)
        case AccountReport():
            holdings.reported(happening)
        case str():
            holdings.expired(happening)


def folded(happened, holdings: Holdings | None = None) -> Holdings:
    found = Holdings() if holdings is None else holdings
    for happening in happened:
        fold(found, happening)
    return found


def asked(holdings: Holdings, now: int) -> list[object]:
    """Everything that can be asked at ``now``."""
    return [
        holdings.portfolio(symbol, strategy, side, now)
        for symbol in SYMBOLS
        for strategy in STRATEGIES
        for side in (None, *Side)
    ]


@several
@given(happenings, happenings, nows)
def test_holdings_read_from_a_snapshot_behave_the_same_ever_after(before, after, now) -> None:
    """Through the bytes of a record: the same answers at once, and after whatever happens next."""
    kept = folded(before)
    read = Holdings.read(record.decode(record.encode(kept.content())))
    assert read.content() == kept.content()
    assert asked(read, now) == asked(kept, now)
    for happening in after:
        fold(kept, happening)
        fold(read, happening)
        assert asked(read, now) == asked(kept, now)
    assert read.content() == kept.content()


@several
@given(happenings, nows)
def test_folding_what_was_recorded_gives_the_same_holdings(happened, now) -> None:
    """A restart folds the records of the same happenings and knows the same, whatever was asked in between."""

    def recorded(happening):
        match happening:
            case Execution():
                return execution_of(record.decode(record.encode(execution_content(happening))))
            case AccountReport():
                return report_of(record.decode(record.encode(report_content(happening))))
            case PromotedOrder():
                return promoted_of(record.decode(record.encode(promoted_content(happening))))
        return happening

    first, second = Holdings(), Holdings()
    for happening in happened:
        fold(first, happening)
        asked(first, now)
        asked(first, now + 400 * SECOND)
        fold(second, recorded(happening))
    assert second.content() == first.content()
    assert asked(second, now) == asked(first, now)


@several
@given(happenings, words, nows)
def test_a_repeat_changes_nothing(happened, word, now) -> None:
    """Told a second time, by the stream or past it, a word is known for a repeat and leaves all as it was."""
    holdings = folded(happened)
    assume(holdings.executed(word))
    before, answers = holdings.content(), asked(holdings, now)
    assert not holdings.executed(word)
    assert not holdings.executed(replace(word, sequence=0))
    assert not holdings.executed(replace(word, sequence=holdings.cursor + 1))
    assert asked(holdings, now) == answers
    after = holdings.content()
    counted = ("unsound", "cursor")  # a figure that is no number is counted each time it is read
    assert {key: after[key] for key in after if key not in counted} == {
        key: before[key] for key in before if key not in counted
    }


@several
@given(happenings, promotions, st.integers(0, 400))
def test_a_promoted_order_never_lowers_what_is_open(happened, order, after) -> None:
    """Gross exposure and the number of open orders with it are at least what they are without it."""
    times = [one.as_of if isinstance(one, AccountReport) else one.at for one in happened if not isinstance(one, str)]
    promoted_at = max(times, default=MORNING)
    now = promoted_at + after * SECOND

    def open_with(holdings: Holdings) -> tuple[Decimal, int]:
        found = holdings.portfolio("BTCUSDT", "momo", Side.LONG, now)
        if found is None:
            return D(0), 0
        everything = (*(found.positions or ()), *(found.orders or ()))
        return sum((one.notional for one in everything), D(0)), len(everything)

    order = replace(order, decision_id="new", at=promoted_at)
    without = open_with(folded(happened))
    with_it = open_with(folded([*happened, order]))
    assert with_it[0] >= without[0]
    assert with_it[1] >= without[1]


@several
@given(st.lists(st.tuples(signed, small, st.sampled_from(STRATEGIES), st.integers(0, 3000)), max_size=12))
def test_what_was_realised_is_the_sum_of_closes_less_fees(trades) -> None:
    """Of the day, whatever the order; and by strategy since it began."""
    holdings = Holdings()
    holdings.reported(report())
    for number, (pnl, fee, strategy, second) in enumerate(trades):
        told = exit_of(f"d{number}", later(second), str(pnl), fee=str(fee), strategy_id=strategy)
        assert holdings.executed(told)
    found = holdings.portfolio("BTCUSDT", "momo", Side.LONG, later(3600))
    assert found is not None
    assert found.realised_today == sum((pnl - fee for pnl, fee, _, _ in trades), D(0))
    own = sum((pnl - fee for pnl, fee, strategy, _ in trades if strategy == "momo"), D(0))
    assert sum((one.result for one in found.strategies or ()), D(0)) == own


@several
@given(happenings, nows)
def test_the_result_of_the_day_is_the_change_of_equity_since_it_began(happened, now) -> None:
    """Realised and open together, and equity is never above its peak nor a strategy's result above its own."""
    for answer in asked(folded(happened), now):
        if answer is None:
            continue
        if answer.equity is not None:
            assert answer.realised_today + answer.open_today == answer.equity - answer.day_start_equity
            assert answer.equity <= answer.peak_equity
        assert all(one.result <= one.peak and one.peak >= 0 for one in answer.strategies)


@several
@given(st.lists(st.tuples(small, small, st.sampled_from(SYMBOLS), sides), max_size=5), st.permutations(range(6)))
def test_what_happens_at_one_moment_comes_to_the_same_in_any_order(fills, order) -> None:
    """Fills of different orders, and the report of that moment, which holds them."""
    price = D(100)
    told = [
        entry(f"d{n}", later(5), str(quantity), "100", str(fee), symbol=symbol, side=side, strategy_id=f"s{n}")
        for n, (quantity, fee, symbol, side) in enumerate(fills)
    ]
    paid = sum((fee for _, fee, _, _ in fills), D(0))
    held = tuple(Position(symbol, side, quantity, price, quantity * price, D(1)) for quantity, _, symbol, side in fills)
    moment = [*told, report(later(5), str(1000 - paid), positions=held)]
    shuffled = [moment[number] for number in order if number < len(moment)]

    def seen(happened) -> list[object]:
        holdings = folded([report(later(0), "1000"), *happened, report(later(200), str(1000 - paid), positions=held)])
        return [
            holdings.portfolio("BTCUSDT", f"s{number}", Side.LONG, later(200 + after))
            for number in range(5)
            for after in (0, 100)
        ]

    assert seen(shuffled) == seen(moment)
    at_once = folded([report(later(0), "1000"), *shuffled]).portfolio("BTCUSDT", "s0", Side.LONG, later(5))
    assert at_once is not None
    assert (at_once.equity, at_once.positions, at_once.realised_today) == (1000 - paid, held, -paid)


@several
@given(st.lists(small, min_size=1, max_size=6), small)
def test_what_a_decision_filled_is_never_more_than_was_promoted_or_one_word_said(quantities, promoted) -> None:
    """Told under as many order ids as one likes."""
    holdings = Holdings()
    holdings.reported(report())
    holdings.promoted(promoted_order(quantity=promoted, notional=promoted * 100))
    for number, quantity in enumerate(quantities):
        holdings.executed(entry("d1", later(1 + number), str(quantity), order_id=f"o{number}"))
    found = holdings.portfolio("BTCUSDT", "momo", Side.LONG, later(60))
    assert found is not None
    held = sum((one.quantity for one in found.positions or ()), D(0))
    assert max(quantities) <= held <= max(promoted, *quantities)
