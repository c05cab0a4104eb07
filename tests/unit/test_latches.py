"""Latches and the trading state: what sets them, how long they hold, what they never hold back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, account_state, case_of, intent_fields, policy_of, position_of, receipt_of
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.controls.red_lines import crossed
from petrosa_cio.apps.nurse.decision import content_of, decide, judge_again, remember, remembered_of
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.fruitless import QUIET, Fruitless
from petrosa_cio.apps.nurse.happenings import Execution, ExecutionKind
from petrosa_cio.apps.nurse.latches import (
    RED_LINES,
    Latch,
    Standing,
    Word,
    latches_of,
    lifted_content,
    set_content,
    state_content,
)
from petrosa_cio.apps.nurse.models import (
    SECOND,
    BookFacts,
    Hold,
    Observation,
    Outcome,
    Side,
    StrategyResult,
    TradingState,
    VerdictKind,
    parse_instant,
)
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.decision import Decision
    from petrosa_cio.apps.nurse.models import Instant, Json, Portfolio
    from petrosa_cio.apps.nurse.policy import Policy

D = Decimal
R = Reason
HOUR = 3600 * SECOND
DAY = 24 * HOUR
MIDNIGHT = parse_instant("2026-11-25T00:00:00+00:00")
ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED

LOST_A_DAY = account_state(realised_today=D(-5000))
FALLEN = account_state(equity=D(80_000), day_start_equity=D(80_000))
STRATEGY_FALLEN = account_state(strategies=(StrategyResult("momo", D(-10_000), D(0)),))
"""At the default limits: 5 % of the day's equity, 20 % under the peak, 10 % of equity by one strategy."""


def decided(
    book: Book,
    portfolio: Portfolio | None = None,
    policy: Policy | None = None,
    now: Instant = START,
    **fields: Json,
) -> Decision:
    """A decision on the default intent, on what the book knows."""
    receipt = receipt_of(intent_fields(timestamp=None, **fields), arrived_at=now)
    known = None if portfolio is None else replace(portfolio, as_of=now)
    return decide("main", receipt, book, policy or policy_of(), now, portfolio=known)


def taken(book: Book, decision: Decision) -> tuple[Latch, ...]:
    """The latches that a decision sets in the book."""
    remembered = remember(decision)
    assert remembered is not None
    return book.fold(remembered)


def read_again(content: dict[str, object]) -> dict[str, Json]:
    return record.decode(record.encode(content))


def codes(decision: Decision) -> list[Reason]:
    return [reason.code for reason in decision.verdict.reasons]


# What sets a latch


@pytest.mark.parametrize(
    ("account", "latch"),
    [
        (
            LOST_A_DAY,
            Latch("DAILY_LOSS", START, MIDNIGHT, REDUCING, None, "", (
                ("day_start_equity", "100000"), ("limit", "0.05"), ("loss", "5000"),
            )),
        ),
        (
            FALLEN,
            Latch("DRAWDOWN", START, None, HALTED, None, "", (
                ("drawdown", "0.2"), ("equity", "80000"), ("limit", "0.2"), ("peak_equity", "100000"),
            )),
        ),
        (
            STRATEGY_FALLEN,
            Latch("STRATEGY_DRAWDOWN", START, None, REDUCING, "momo", "", (
                ("equity", "100000"), ("fall", "10000"), ("limit", "0.1"),
            )),
        ),
    ],
    ids=["daily loss", "drawdown", "drawdown of a strategy"],
)  # fmt: skip
def test_a_red_line_that_blocks_latches(account: Portfolio, latch: Latch) -> None:
    """With its effect, its end and the numbers it compared; the same from the decision's record as from itself."""
    book = Book(SECOND)
    decision = decided(book, account)
    assert codes(decision) == [R(latch.code)]
    expected = replace(latch, decision_id=decision.decision_id)
    read = remembered_of(read_again(content_of(decision)))
    assert read is not None
    assert read.latches == (expected,)
    assert taken(book, decision) == (expected,)
    assert book.standing.in_force(START) == (expected,)


@pytest.mark.parametrize("account", [LOST_A_DAY, FALLEN, STRATEGY_FALLEN])
def test_an_account_that_crosses_a_red_line_latches_without_an_intent(account: Portfolio) -> None:
    """The same latch that an entry would set, but for the decision; a restart knows it from its record."""
    book, again = Book(SECOND), Book(SECOND)
    (expected,) = taken(book, decided(book, account))
    (found,) = crossed(account, policy_of(), START)
    assert found == replace(expected, decision_id="")
    again.take_standing(read_again(set_content(found)))
    assert again.standing.in_force(START) == (found,)


def test_an_account_that_crosses_nothing_or_is_not_known_latches_nothing() -> None:
    """Short of every limit, stale, without figures, or where the red lines are only observed."""
    lines = {"DAILY_LOSS": "observe", "DRAWDOWN": "off", "STRATEGY_DRAWDOWN": "observe"}
    crossing = replace(LOST_A_DAY, equity=D(80_000), strategies=STRATEGY_FALLEN.strategies)
    assert len(crossed(crossing, policy_of(), START)) == 3
    assert crossed(crossing, policy_of(modes=lines), START) == ()
    assert crossed(crossing, policy_of(), START + 61 * SECOND) == ()
    assert crossed(replace(crossing, equity=None, realised_today=None), policy_of(), START) == ()
    assert crossed(account_state(realised_today=D(-4999)), policy_of(), START) == ()


def test_a_strategys_own_limit_counts_between_intents() -> None:
    """4 % of equity lost by one strategy: within the default, beyond its own limit of 3 %."""
    fallen = account_state(strategies=(StrategyResult("momo", D(-4000), D(0)), StrategyResult("other", D(-4000), D(0))))
    rules = policy_of(scopes={"strategy:momo": {"max_strategy_drawdown_pct": 0.03}})
    assert [one.key for one in crossed(fallen, rules, START)] == [("STRATEGY_DRAWDOWN", "momo")]


@pytest.mark.parametrize("mode", ["observe", "off"])
@pytest.mark.parametrize("account", [LOST_A_DAY, FALLEN, STRATEGY_FALLEN])
def test_a_red_line_that_is_only_observed_latches_nothing(account: Portfolio, mode: str) -> None:
    """What does not block has not shown its worth yet: it leaves the book as it is."""
    book = Book(SECOND)
    modes = {"DAILY_LOSS": mode, "DRAWDOWN": mode, "STRATEGY_DRAWDOWN": mode}
    decision = decided(book, account, policy_of(modes=modes))
    assert decision.verdict.kind is VerdictKind.APPROVED
    assert taken(book, decision) == ()
    assert book.standing == Standing()


@pytest.mark.parametrize("code", [code for code in Reason if code not in RED_LINES])
def test_no_other_reason_latches(code: Reason) -> None:
    """Only the red lines do; any other block is about one intent."""
    assert latches_of([Observation(code, Outcome.BLOCK)], "momo", "d", START) == ()


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.BLOCK])
def test_only_a_block_latches(outcome: Outcome) -> None:
    """Not what passed, was reduced, would have blocked or could not look."""
    assert latches_of([Observation(code, outcome) for code in RED_LINES], "momo", "d", START) == ()


# How long it holds


def test_a_daily_loss_holds_until_midnight_and_not_at_midnight() -> None:
    """The book is REDUCING to the last microsecond of the UTC day, though the loss is long made good."""
    book = Book(SECOND)
    taken(book, decided(book, LOST_A_DAY))
    last = MIDNIGHT - 1000
    assert codes(decided(book, account_state(), now=last)) == [R.REDUCING_ONLY]
    assert decided(book, account_state(), now=MIDNIGHT).verdict.kind is VerdictKind.APPROVED
    assert [one.code for one in book.standing.expired(MIDNIGHT)] == ["DAILY_LOSS"]
    assert book.standing.expired(last) == ()


def test_a_latch_set_at_midnight_holds_for_the_whole_day() -> None:
    """The day that begins at 00:00 ends at the next 00:00."""
    (latch,) = latches_of([Observation(R.DAILY_LOSS, Outcome.BLOCK)], "momo", "d", MIDNIGHT)
    assert latch.until == MIDNIGHT + DAY


def test_a_drawdown_halts_until_a_person_lifts_it() -> None:
    """A week later, at a new peak, it still does; lifted, entries pass."""
    book = Book(SECOND)
    (latch,) = taken(book, decided(book, FALLEN))
    later = START + 7 * DAY
    assert codes(decided(book, account_state(), now=later)) == [R.TRADING_HALTED]
    book.take_standing(read_again(lifted_content(latch, later, "ana", "capital was added")))
    assert decided(book, account_state(), now=later).verdict.kind is VerdictKind.APPROVED


def test_the_beginning_of_a_latch_stands() -> None:
    """A red line that is met again while its latch holds sets nothing anew; after its end it does."""
    book = Book(SECOND)
    taken(book, decided(book, LOST_A_DAY))
    assert taken(book, decided(book, LOST_A_DAY, now=START + HOUR)) == ()
    assert [one.since for one in book.standing.latches.values()] == [START]
    (anew,) = taken(book, decided(book, LOST_A_DAY, now=MIDNIGHT))
    assert (anew.since, anew.until) == (MIDNIGHT, MIDNIGHT + DAY)


def test_a_strategy_latch_is_on_that_strategy_alone() -> None:
    """It says which latch since when; the others go on."""
    book = Book(SECOND)
    taken(book, decided(book, STRATEGY_FALLEN))
    decision = decided(book, account_state(), now=START + HOUR)
    assert codes(decision) == [R.STRATEGY_LATCHED]
    assert dict(decision.verdict.reasons[0].numbers) == {
        "latches": ("STRATEGY_DRAWDOWN",),
        "by": "STRATEGY_DRAWDOWN",
        "since": "2026-11-24T09:30:00.000000+00:00",
        "until": None,
    }
    assert decided(book, account_state(), strategy_id="other").verdict.kind is VerdictKind.APPROVED


# The operator's word


def word(state: TradingState, at: Instant = START) -> dict[str, Json]:
    return read_again(state_content(Word(state, at, "ana", "exchange maintenance")))


@pytest.mark.parametrize(
    ("state", "code"), [(HALTED, R.TRADING_HALTED), (REDUCING, R.REDUCING_ONLY)], ids=["halt", "reduce"]
)
def test_an_operator_holds_the_book_and_the_decision_says_who_and_why(state: TradingState, code: Reason) -> None:
    """Entries are refused with the name, the reason and since when, until the operator resumes."""
    book = Book(SECOND)
    book.take_standing(word(state))
    decision = decided(book)
    assert codes(decision) == [code]
    assert dict(decision.verdict.reasons[0].numbers) == {
        "state": state.value,
        "by": "operator",
        "since": "2026-11-24T09:30:00.000000+00:00",
        "until": None,
        "who": "ana",
        "why": "exchange maintenance",
    }
    book.take_standing(word(ACTIVE, START + SECOND))
    assert decided(book).verdict.kind is VerdictKind.APPROVED


def test_to_resume_lifts_no_latch() -> None:
    """What a red line has set, an operator must lift by its name."""
    book = Book(SECOND)
    taken(book, decided(book, FALLEN))
    book.take_standing(word(HALTED))
    book.take_standing(word(ACTIVE))
    assert codes(decided(book)) == [R.TRADING_HALTED]


@pytest.mark.parametrize(("said", "latched"), [*product(TradingState, TradingState)])
def test_the_strictest_prevails(said: TradingState, latched: TradingState) -> None:
    """Of the operator's word and a latch, whichever comes from where."""
    standing = Standing(Word(said, START, "ana", "exchange maintenance"))
    standing.latch(Latch("DRAWDOWN", START, None, latched))
    order = [ACTIVE, REDUCING, HALTED]
    state, hold, _ = standing.told("momo", START)
    assert state == standing.effective(START) == max(said, latched, key=order.index)
    expected = None if state is ACTIVE else "operator" if state is said else "DRAWDOWN"
    assert (hold and hold.code) == expected


# What survives


latches = st.builds(
    Latch,
    code=st.sampled_from([code.value for code in RED_LINES]),
    since=st.integers(0, 10).map(lambda hours: START + hours * HOUR),
    until=st.none() | st.integers(11, 20).map(lambda hours: START + hours * HOUR),
    effect=st.sampled_from([REDUCING, HALTED]),
    strategy_id=st.none() | st.sampled_from(["momo", "other"]),
    decision_id=st.just("d" * 32),
    cause=st.just((("limit", "0.05"), ("loss", "5000"))),
)
words = st.builds(Word, st.sampled_from(TradingState), st.just(START), st.just("ana"), st.just("exchange maintenance"))
executions = st.builds(
    Execution,
    kind=st.sampled_from(ExecutionKind),
    at=st.integers(0, 10).map(lambda hours: START + hours * HOUR),
    strategy_id=st.sampled_from(["momo", "other", ""]),
    order_id=st.sampled_from(["", "1", "2"]),
    pnl=st.sampled_from([None, D(-1), D(0), D(1)]),
    closes=st.booleans(),
)
steps = st.lists(
    latches.map(set_content)
    | words.map(state_content)
    | latches.map(lambda latch: lifted_content(latch, latch.since, "ana", "looked into it")),
    max_size=8,
)


@given(steps, st.lists(executions, max_size=8), st.lists(st.sampled_from(["momo", "other"]), max_size=5))
def test_a_snapshot_holds_all_that_was_folded(
    changes: list[dict[str, object]], heard: list[Execution], promoted: list[str]
) -> None:
    """Who reads it knows the same as who folded everything, and goes on the same."""
    book, other = Book(SECOND), Book(SECOND)
    for change in changes:
        book.take_standing(read_again(change))
    for strategy_id in promoted:
        book.fruitless.promoted(strategy_id, START)
    for execution in heard:
        book.executed(execution)
    other.take_standing(word(HALTED))
    other.take_standing(read_again(book.standing_content()))
    assert (other.standing, other.fruitless) == (book.standing, book.fruitless)
    for hours in range(21):
        for strategy_id in ("momo", "other"):
            now = START + hours * HOUR
            assert other.standing_facts(strategy_id, now) == book.standing_facts(strategy_id, now)


@given(steps)
def test_folding_a_change_twice_changes_nothing_more(changes: list[dict[str, object]]) -> None:
    """The decision that sets a latch and the record that tells of it are folded both."""
    once, twice = Book(SECOND), Book(SECOND)
    for change in changes:
        once.take_standing(read_again(change))
        twice.take_standing(read_again(change))
        twice.take_standing(read_again(change))
    assert once.standing == twice.standing


def test_a_book_folded_from_the_records_alone_stands_the_same() -> None:
    """Latches follow from decisions: one whose own record was never written is not lost."""
    book, again = Book(SECOND), Book(SECOND)
    for account in (LOST_A_DAY, FALLEN, STRATEGY_FALLEN):
        decision = decided(book, account)
        taken(book, decision)
        read = remembered_of(read_again(content_of(decision)))
        assert read is not None
        again.fold(read)
    assert again.standing == book.standing
    assert {one.code for one in again.standing.in_force(START)} == {"DAILY_LOSS", "DRAWDOWN", "STRATEGY_DRAWDOWN"}


def test_a_decision_under_latches_is_judged_again_from_its_own_record() -> None:
    """State, who put it there and the latches stand in it to the letter."""
    book = Book(SECOND)
    taken(book, decided(book, STRATEGY_FALLEN))
    book.take_standing(word(HALTED))
    decision = decided(book, account_state(), now=START + HOUR)
    assert codes(decision) == [R.TRADING_HALTED, R.STRATEGY_LATCHED]
    assert judge_again(read_again(content_of(decision)), decision.receipt, policy_of()) == (True, decision.verdict)


# Repeated execution


def execution(
    kind: ExecutionKind = ExecutionKind.FILLED, order_id: str = "", pnl: str | None = None, at: Instant = START
) -> Execution:
    """An execution of the strategy; with a profit it is of a close."""
    profit = None if pnl is None else D(pnl)
    return Execution(kind, at, "momo", order_id, pnl=profit, closes=profit is not None)


def test_after_so_many_promotions_that_nobody_filled_the_strategy_is_latched() -> None:
    """Three pass; the fourth is refused and latches, and a fill afterwards frees nothing: a person must."""
    rules = policy_of({"max_unfilled_promotions": 3})
    book = Book(SECOND)
    for number in range(3):
        decision = decided(book, account_state(), rules, price=100.0 + number)
        assert decision.verdict.kind is VerdictKind.APPROVED
        assert taken(book, decision) == ()
    (latch,) = taken(book, decided(book, account_state(), rules))
    assert (latch.code, latch.strategy_id, latch.effect, latch.until) == ("REPEATED_EXECUTION", "momo", REDUCING, None)
    book.executed(execution())
    assert codes(decided(book, account_state(), rules)) == [R.STRATEGY_LATCHED]
    book.take_standing(read_again(lifted_content(latch, START, "ana", "the engine was away")))
    assert decided(book, account_state(), rules).verdict.kind is VerdictKind.APPROVED


def test_runs_are_a_fact_only_where_a_limit_counts_them() -> None:
    """Records of a book without the limit stay as they are."""
    book = Book(SECOND)
    taken(book, decided(book))
    assert decided(book).facts.unfilled == 0
    assert decided(book, policy=policy_of({"max_unfilled_promotions": 3})).facts.unfilled == 1


def test_a_lifted_strategy_begins_afresh() -> None:
    """Else its next entry would latch it again, though nothing was heard since."""
    rules = policy_of({"max_unfilled_promotions": 1})
    book = Book(SECOND)
    taken(book, decided(book, account_state(), rules))
    (latch,) = taken(book, decided(book, account_state(), rules))
    book.take_standing(read_again(lifted_content(latch, START, "ana", "the engine was away")))
    assert book.fruitless.of("momo").unfilled == 0
    assert decided(book, account_state(), rules).verdict.kind is VerdictKind.APPROVED


@pytest.mark.parametrize(
    ("heard", "unfilled", "lost"),
    [
        ([], 2, 0),
        ([execution(ExecutionKind.PLACED)], 2, 0),
        ([execution(ExecutionKind.REJECTED)], 2, 0),
        ([execution()], 0, 0),
        ([execution(ExecutionKind.PARTIAL_FILL)], 0, 0),
        ([execution(pnl="-1")], 2, 1),
        ([execution(pnl="-1", order_id="a"), execution(pnl="-1", order_id="a")], 2, 1),
        ([execution(pnl="-1", order_id="a"), execution(pnl="-1", order_id="b")], 2, 2),
        ([execution(pnl="-1", order_id="a"), execution(pnl="0", order_id="b")], 2, 1),
        ([execution(pnl="-1", order_id="a"), execution(pnl="2", order_id="b")], 2, 0),
        ([replace(execution(), strategy_id="other")], 2, 0),
        ([replace(execution(), strategy_id="")], 2, 0),
        ([replace(execution(), closes=True)], 2, 0),
    ],
    ids=[
        *("nothing", "placed", "rejected", "filled", "filled in part", "a loss", "one loss in two fills"),
        *("two losses", "a loss and nothing", "a loss and a profit", "another strategy's", "nobody's"),
        "a close of unknown profit",
    ],
)
def test_what_is_heard_ends_a_run_or_lengthens_it(heard: list[Execution], unfilled: int, lost: int) -> None:
    """After two promotions: a fill that opens ends the unfilled, a profit the losses, a losing order counts once."""
    runs = Fruitless()
    runs.promoted("momo", START)
    runs.promoted("momo", START)
    for one in heard:
        runs.executed(one)
    assert (runs.of("momo").unfilled, runs.of("momo").lost) == (unfilled, lost)


def test_only_entries_count_as_promotions() -> None:
    """A close is no attempt to open."""
    book = Book(SECOND)
    taken(book, decided(book, action="close"))
    assert book.fruitless.of("momo").unfilled == 0


def test_a_strategy_that_is_silent_for_a_week_is_forgotten() -> None:
    """At a week it is remembered, past it not: memory is bounded by the strategies of a week."""
    runs = Fruitless()
    runs.promoted("momo", START)
    runs.promoted("other", START + QUIET)
    assert runs.of("momo").unfilled == 1
    runs.promoted("other", START + QUIET + SECOND)
    assert runs.of("momo").unfilled == 0


# What nothing holds back


HOLD = Hold("DRAWDOWN", START)
ONE_WAY = policy_of({"position_mode": "one-way", "max_unfilled_promotions": 1}, required=("account",))
LONG_ONE = account_state(positions=(position_of("BTCUSDT", Side.LONG),))
LATCHED = [
    (),
    *((Hold(code.value, START),) for code in RED_LINES),
    tuple(Hold(code.value, START) for code in RED_LINES),
]


@pytest.mark.parametrize("latched", LATCHED, ids=lambda holds: "+".join(hold.code for hold in holds) or "none")
@pytest.mark.parametrize("held_by", [None, HOLD], ids=["nobody said", "said"])
@pytest.mark.parametrize("state", TradingState)
@pytest.mark.parametrize("policy", [None, ONE_WAY], ids=["no policy", "policy"])
def test_a_close_and_what_only_reduces_pass_in_every_state_and_under_every_latch(
    state: TradingState, held_by: Hold | None, latched: tuple[Hold, ...], policy: Policy | None
) -> None:
    """Exhaustively: states, what put the book there, each latch and all, with a policy and without."""
    facts = BookFacts(state, held_by=held_by, latched=latched, unfilled=9, lost=9)
    case = replace(case_of({"action": "close"}, book=facts, portfolio=LONG_ONE), policy=policy)
    assert judge(case).kind is VerdictKind.APPROVED
    sell = case_of({"action": "sell"}, ONE_WAY, book=facts, portfolio=LONG_ONE)
    assert (judge(sell).kind, judge(sell).reduces) == (VerdictKind.APPROVED, D(1))
    more = judge(case_of({"action": "sell", "quantity": 1.1}, ONE_WAY, book=facts, portfolio=LONG_ONE))
    assert more.kind is VerdictKind.BLOCKED


@pytest.mark.parametrize("codes_set", [RED_LINES, *([code] for code in RED_LINES)], ids=str)
@pytest.mark.parametrize("said", [None, *TradingState])
@pytest.mark.parametrize("strategy_id", ["momo", "other"])
def test_a_close_passes_through_a_book_however_it_stands(
    codes_set: list[Reason], said: TradingState | None, strategy_id: str
) -> None:
    """From the book's own memory: whatever was said and latched, each strategy may close."""
    book = Book(SECOND)
    for latch in latches_of([Observation(code, Outcome.BLOCK) for code in codes_set], "momo", "d", START):
        book.standing.latch(latch)
    if said is not None:
        book.take_standing(word(said))
    assert decided(book, action="close", strategy_id=strategy_id).verdict.kind is VerdictKind.APPROVED
    reducing = decided(book, LONG_ONE, ONE_WAY, action="sell", strategy_id=strategy_id)
    assert (reducing.verdict.kind, reducing.verdict.reduces) == (VerdictKind.APPROVED, D(1))
