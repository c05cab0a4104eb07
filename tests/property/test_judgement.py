"""The judgement, for every case: total, pure, monotone in every limit, and the same again from its own record."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from builders import (
    START,
    TIGHTENABLE,
    account_state,
    book_facts,
    case_of,
    cases,
    entries,
    intent_fields,
    intents,
    is_policy,
    is_tighter,
    market_state,
    markets,
    mutated,
    open_orders,
    policies,
    policy_of,
    portfolios,
    positions,
    receipt_of,
    streams,
    tightenings,
)
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.case import Case, subject_of
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.decision import (
    Decision,
    Totals,
    content_of,
    decide,
    facts_of,
    judge_again,
    remember,
    remembered_of,
)
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.facts_record import account_of, market_of
from petrosa_cio.apps.nurse.models import (
    SECOND,
    BookFacts,
    Intent,
    MarketState,
    Outcome,
    Portfolio,
    StrategyResult,
    Streak,
    VerdictKind,
    iso,
)
from petrosa_cio.apps.nurse.parameters.parameter import Loosening
from petrosa_cio.apps.nurse.policy import Policy, read_policy
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.nurse.models import Json, Receipt, Verdict
    from petrosa_cio.apps.nurse.parameters.parameter import Parameter

ENFORCING = (Outcome.BLOCK, Outcome.REDUCE)


def rebuilt(thing: object) -> object:
    """``thing`` made anew from its parts, sharing no mutable state with it."""
    match thing:
        case Policy():
            return read_policy(json.loads(json.dumps(thing.content)))
        case Intent():
            return thing.model_copy(deep=True)
        case tuple() if type(thing) is tuple:
            return tuple(rebuilt(part) for part in thing)
        case _ if is_dataclass(thing) and not isinstance(thing, type):
            return type(thing)(**{part.name: rebuilt(getattr(thing, part.name)) for part in fields(thing)})
        case _:
            return deepcopy(thing)


def decision_on(case: Case) -> Decision:
    """A decision that says of ``case`` what `judge` says."""
    receipt = replace(receipt_of(intent_fields()), body=case.intent, arrived_at=case.arrived_at)
    revision = case.policy.revision if case.policy else None
    return Decision(
        *("main", receipt, judge(case), case.book, case.now, "d" * 32, "i", revision),
        policy_as_of=case.policy_as_of,
        market=case.market,
        portfolio=case.portfolio,
    )


@given(cases())
def test_equal_cases_have_equal_verdicts(case: Case) -> None:
    """Judged twice, and judged anew from parts rebuilt from nothing: equal, and equal to the byte."""
    again = rebuilt(case)
    assert isinstance(again, Case)
    first, second, third = judge(case), judge(case), judge(again)
    assert first == second == third
    assert len({record.encode(content_of(decision_on(one))) for one in (case, case, again)}) == 1


@given(cases())
def test_an_approval_is_the_silence_of_enforcing_controls(case: Case) -> None:
    """An entry is approved where none objected, reduced where some only cut, blocked where any blocked."""
    verdict = judge(case)
    objections = [seen for seen in verdict.observed if seen.outcome in ENFORCING]
    assert list(verdict.reasons) == objections
    assert (verdict.kind is VerdictKind.BLOCKED) == any(seen.outcome is Outcome.BLOCK for seen in objections)
    assert (verdict.kind is VerdictKind.REDUCED) == (
        bool(objections) and all(seen.outcome is Outcome.REDUCE for seen in objections)
    )
    assert (verdict.quantity is not None) == (verdict.kind is VerdictKind.REDUCED)


@given(cases())
def test_reasons_are_in_order_of_precedence_and_never_twice(case: Case) -> None:
    """The gravest reason is the first; no control speaks twice, observed or not."""
    verdict = judge(case)
    order = list(Reason)
    places = [order.index(seen.code) for seen in verdict.reasons]
    assert places == sorted(set(places))
    codes = [seen.code for seen in verdict.observed]
    assert len(codes) == len(set(codes))


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.fixed_dictionaries(
        {"max_position_size_usd": st.floats(10, 2000)},
        optional={
            "quantity_multiplier": st.floats(0.1, 10),
            "quantity_max": st.floats(0, 1000),
            "override_step_size": st.sampled_from([None, 0.001, 0.1, 1]),
            "min_position_size_usd": st.floats(1, 10),
        },
    ),
)
def test_a_reduction_is_smaller_and_not_under_a_minimum(price: int, quantity: int, values: dict[str, Json]) -> None:
    """What remains is positive, less than what was asked, within the limit, and not below the least notional."""
    fields = {"price": price / 1000, "quantity": quantity / 1000}
    case = case_of(fields, policy_of(values))
    verdict = judge(case)
    event(verdict.kind)
    if verdict.kind is not VerdictKind.REDUCED:
        return
    assert verdict.quantity is not None
    assert verdict.order is not None
    assert verdict.order.quantity is not None
    assert case.policy is not None
    assert isinstance(case.intent, Intent)
    limits = case.policy.limits(case.intent.symbol, case.intent.strategy_id, case.intent.side)
    sent = verdict.quantity * limits.required_number("quantity_multiplier")
    assert 0 < sent < verdict.order.quantity
    notional = sent * Decimal(repr(case.intent.price))
    rounding = Decimal("1e-20")  # of division, in 28 digits
    assert notional >= limits.required_number("min_position_size_usd") * (1 - rounding)
    assert notional <= limits.required_number("max_position_size_usd") * (1 + rounding)


@given(cases(intents()))
def test_what_adds_no_risk_is_held_back_by_nothing_but_a_repeat(case: Case) -> None:
    """A close is approved and a hold absorbed unless it is a duplicate; an entry without a policy never passes."""
    assert isinstance(case.intent, Intent)
    verdict = judge(case)
    if case.book.duplicate_of is not None:
        # Of an entry, whatever else fired is told as well: exactly what fires where it is no repeat.
        once = judge(replace(case, book=replace(case.book, duplicate_of=None)))
        assert verdict.kind is VerdictKind.BLOCKED
        assert verdict.reasons[0].code is Reason.DUPLICATE_INTENT
        assert verdict.reasons[1:] == once.reasons
    elif case.intent.action in ("close", "hold"):
        expected = VerdictKind.APPROVED if case.intent.action == "close" else VerdictKind.ABSORBED
        assert (verdict.kind, verdict.reasons) == (expected, ())
    elif case.policy is None:
        assert verdict.kind is VerdictKind.BLOCKED


@given(mutated(), policies().filter(is_policy), book_facts, markets(), portfolios)
def test_the_judgement_is_total(
    changed: dict[str, Json],
    content: dict[str, Json],
    book: BookFacts,
    market: MarketState | None,
    portfolio: Portfolio | None,
) -> None:
    """Anything that is JSON, under any policy: a verdict that can be recorded, never an exception."""
    receipt = receipt_of(changed)
    assert receipt.body is not None
    verdict = judge(Case(receipt.body, read_policy(content), book, START, START, None, market, portfolio))
    assert verdict.kind is not VerdictKind.QUARANTINED
    decision = Decision("main", receipt, verdict, book, START, "d" * 32, "i", None)
    assert record.decode(record.encode(content_of(decision)))["verdict"] == verdict.kind.value


IDLE = [control for control in TABLE if control.idle is not None]


@pytest.mark.parametrize("control", IDLE, ids=lambda control: control.code)
@settings(max_examples=25)
@given(data=st.data())
def test_an_idle_control_would_have_passed(control: object, data: st.DataObject) -> None:
    """Where limits say that a check cannot fire, the check agrees: skipping it changes nothing."""
    assert control in TABLE
    found = next(one for one in TABLE if one is control)
    assert found.idle is not None
    case = data.draw(cases(entries()))
    assume(case.policy is not None)
    assert case.policy is not None
    assert isinstance(case.intent, Intent)
    assert case.intent.side is not None
    if found.code is Reason.REGIME_BLOCKED:  # the one that a default keeps busy
        case = replace(case, policy=policy_of({"blocked_regimes": []}))
        assert case.policy is not None
    limits = case.policy.limits(case.intent.symbol, case.intent.strategy_id, case.intent.side)
    assume(found.idle(limits))
    if found.code is Reason.SIGNAL_CONFLICT:  # under these limits a book names no rivals: see test_a_book...
        case = replace(case, book=replace(case.book, rivals=()))
    outcome, numbers, _ = found.check(subject_of(case, case.intent, limits, case.intent.side))
    assert outcome is Outcome.PASS
    assert not [number for name, number in numbers if name == "missing" and number]


# Monotony: to tighten one limit never frees an intent


def gated(stream: Iterable[Receipt], policy: Policy, retention: int) -> Book:
    """The book after ``stream`` was judged under ``policy``."""
    book = Book(retention)
    for receipt in stream:
        remembered = remember(decide("main", receipt, book, policy, receipt.arrived_at))
        if remembered is not None:
            book.fold(remembered)
    return book


def sent_quantity(verdict: Verdict) -> Decimal | None:
    """Quantity that a promotion really comes to, None where the engine's own minimum decides."""
    if verdict.kind is VerdictKind.REDUCED:
        return verdict.quantity
    return None if verdict.order is None else verdict.order.quantity


def assert_no_freer(tight: Verdict, loose: Verdict) -> None:
    """What the tighter policy promotes the looser promotes too, and no smaller."""
    if tight.kind.promotes:
        assert loose.kind.promotes
        less, more = sent_quantity(tight), sent_quantity(loose)
        assert (less is None) == (more is None)
        assert less is None or more is None or less <= more


def pair_of_policies(data: st.DataObject, parameter: Parameter) -> tuple[Policy, Policy]:
    """Two policies (loose, tight) that differ in one value of ``parameter``, at one scope."""
    loose, tight = data.draw(tightenings(parameter))
    scope = data.draw(st.sampled_from(["global", "symbol:BTCUSDT", "strategy:momo", "symbol:BTCUSDT:LONG"]))
    base: dict[str, Json] = {
        "position_mode": data.draw(st.sampled_from(["hedge", "one-way"])),
        "same_direction_conflict_resolution": data.draw(
            st.sampled_from(["accumulate", "strongest_wins", "reject_duplicates"])
        ),
        "signal_conflict_resolution": data.draw(st.sampled_from(["strongest_wins", "first_come_first_served"])),
        "llm_confidence_floor": 0.0,
        "max_position_size_pct": 1.0,
        "position_size_pct": 1.0,
        "slippage_tolerance_pct": 10.0,
    }
    if parameter.name == "leverage":  # more of it is more risk, which shows in these two only by what they refuse
        base.update({"mode.LIQUIDATION_NEAR": "off", "mode.PORTFOLIO_LEVERAGE": "off"})
    if parameter.name in ("taker_fee_bps", "slippage_bps"):
        base["min_reward_to_risk"] = data.draw(st.floats(0, 3))
    if parameter.name in ("max_market_age_seconds", "max_account_age_seconds"):
        base["required_facts"] = ["mark", "account"]

    def content(value: Json) -> dict[str, Json]:
        scopes: dict[str, dict[str, Json]] = {"global": dict(base)}
        scopes.setdefault(scope, {})[parameter.name] = value
        return (
            {"required_facts": [], "scopes": scopes} if "required_facts" not in scopes["global"] else {"scopes": scopes}
        )

    assume(is_policy(content(loose)) and is_policy(content(tight)))
    return read_policy(content(loose)), read_policy(content(tight))


def surroundings(data: st.DataObject, parameter: Parameter, now: int) -> tuple[MarketState, Portfolio]:
    """A market and an account within reach of the limits, sound and of about ``now``; older where it is about age."""
    ages = st.integers(-8, 120) if parameter.name.endswith("_age_seconds") else st.integers(0, 20)

    def tenths(least: int, most: int, scale: str = "0.1") -> Decimal:
        return data.draw(st.integers(least, most)) * Decimal(scale)

    market = market_state(
        now - data.draw(ages) * SECOND,
        bid=100 - tenths(0, 9, "0.01"),
        bid_quantity=tenths(0, 50),
        ask_quantity=tenths(0, 50),
        funding_rate=tenths(-20, 20, "0.0001"),
        next_funding_at=now + 3600 * SECOND,
        regime=data.draw(st.sampled_from(["ranging", "ranging", "choppy", "capitulation", "unknown"])),
        volatility=tenths(0, 8, "0.01"),
    )
    equity = tenths(10_000, 500_000)
    account = account_state(
        now - data.draw(ages) * SECOND,
        equity=equity,
        day_start_equity=equity,
        peak_equity=equity + tenths(0, 100_000),
        realised_today=-tenths(0, 100_000, "0.01"),
        positions=tuple(data.draw(st.lists(positions, max_size=3))),
        orders=tuple(data.draw(st.lists(open_orders, max_size=3))),
        strategies=(StrategyResult("momo", -tenths(0, 30_000), Decimal(0)),),
        streaks=tuple(
            Streak(scope, data.draw(st.integers(0, 8)), now - data.draw(st.integers(130, 1000)) * SECOND)
            for scope in ("global", "symbol:BTCUSDT", "strategy:momo", "symbol:BTCUSDT:LONG")
        ),
    )
    return market, account


@pytest.mark.parametrize("parameter", TIGHTENABLE, ids=lambda parameter: parameter.name)
@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_tightening_a_limit_frees_no_intent(parameter: Parameter, data: st.DataObject) -> None:
    """For one case (one ledger, one intent, one market): what was blocked stays so, what was cut is not cut less."""
    loose, tight = pair_of_policies(data, parameter)
    retention = int(max(policy.longest("duplicate_window_seconds") for policy in (loose, tight))) * SECOND
    history = data.draw(streams(most=5))
    now = history[-1].arrived_at + data.draw(st.integers(0, 90)) * SECOND
    ages = st.integers(0, 20) | st.integers(-8, 400)
    fresh = {**data.draw(entries()), "timestamp": iso(now - data.draw(ages) * SECOND)}
    first = history[0].body
    again = [history[0].fields] if isinstance(first, Intent) and first.side is not None else []
    body = receipt_of(data.draw(st.sampled_from([fresh, fresh, fresh, *again]))).body
    assume(isinstance(body, Intent) and body.side is not None)
    assert isinstance(body, Intent)
    market, portfolio = surroundings(data, parameter, now)
    policy_age = data.draw(st.integers(0, 200_000)) if parameter.name == "max_policy_age_seconds" else 0
    waited = data.draw(st.integers(0, 300) if parameter.name == "governance_timeout_ms" else st.just(0))

    def verdict(policy: Policy) -> Verdict:
        limits = policy.limits(body.symbol, body.strategy_id, body.side)
        facts = gated(history, loose, retention).facts(body, limits, now)
        arrived_at = now - waited * 1_000_000
        return judge(Case(body, policy, facts, now, arrived_at, now - policy_age * SECOND, market, portfolio))

    less, more = verdict(tight), verdict(loose)
    event(f"{more.kind} -> {less.kind}")
    assert_no_freer(less, more)


@pytest.mark.parametrize("parameter", TIGHTENABLE, ids=lambda parameter: parameter.name)
@settings(max_examples=10)
@given(data=st.data())
def test_a_tightening_is_one_by_the_parameters_own_words(parameter: Parameter, data: st.DataObject) -> None:
    """The pairs used above are valid values, ordered as the parameter says."""
    loose, tight = data.draw(tightenings(parameter))
    assert parameter.faults(loose) == parameter.faults(tight) == ()
    assert is_tighter(parameter, tight, loose)


# The record


@settings(max_examples=40)
@given(streams(), policies().filter(is_policy))
def test_a_decided_case_is_judged_again_from_its_own_record(stream: list[Receipt], content: dict[str, Json]) -> None:
    """From the bytes of a record comes the same verdict, the same facts, and what the book kept of it."""
    policy, book = read_policy(content), Book(300 * SECOND)
    for receipt in stream:
        decision = decide("main", receipt, book, policy, receipt.arrived_at)
        written = record.decode(record.encode(content_of(decision)))
        same, verdict = judge_again(written, receipt, policy)
        assert same
        assert verdict == decision.verdict
        assert facts_of(written) == decision.facts
        remembered = remember(decision)
        assert remembered_of(written) == remembered
        if remembered is not None:
            book.fold(remembered)


@given(cases(entries()))
def test_a_case_with_facts_is_judged_again_from_its_own_record(case: Case) -> None:
    """Whatever was known of market and account, unsound figures included, stands in the record to the digit."""
    decision = decision_on(case)
    written = record.decode(record.encode(content_of(decision)))
    assert judge_again(written, decision.receipt, case.policy) == (True, decision.verdict)
    assert facts_of(written) == case.book
    assert remembered_of(written) == remember(decision)
    market, account = market_of(written.get("market")), account_of(written.get("account"))
    judged = decision.verdict.order is not None
    known = case.market and replace(case.market, as_of=tuple(sorted(case.market.as_of)))  # keys of a record are sorted
    assert repr(market) == repr(known if judged else None)
    assert repr(account) == repr(case.portfolio if judged else None)


@settings(max_examples=30)
@given(st.binary(max_size=40), st.integers(0, 10**6))
def test_a_quarantined_message_is_judged_again_too(payload: bytes, sequence: int) -> None:
    """What could not be decoded is recorded, kept out of the book's memory, and comes out the same."""
    receipt = receipt_of(payload + b"\xff", sequence=sequence)
    decision = decide("main", receipt, Book(SECOND), policy_of(), START)
    written = record.decode(record.encode(content_of(decision)))
    assert decision.verdict.kind is VerdictKind.QUARANTINED
    assert judge_again(written, receipt, policy_of()) == (True, decision.verdict)
    assert remember(decision) is remembered_of(written) is None


@given(cases(entries()))
def test_another_verdict_is_noticed(case: Case) -> None:
    """A record whose verdict, reasons or observations were other than the judgement's is not the same."""
    case = replace(case, policy=case.policy or policy_of(), portfolio=None)
    assert case.policy is not None
    decision = decision_on(case)
    written = record.decode(record.encode(content_of(decision)))
    assert judge_again(written, decision.receipt, case.policy)[0]
    for altered in ({"verdict": "absorbed"}, {"reasons": [{}]}, {"observed": {}}, {"quantity": 7}):
        if case.book.duplicate_of is None or "observed" not in altered:
            assert not judge_again({**written, **altered}, decision.receipt, case.policy)[0]


@settings(max_examples=30)
@given(streams(), policies().filter(is_policy))
def test_a_book_is_what_its_decisions_make_it(stream: list[Receipt], content: dict[str, Json]) -> None:
    """Folded from the same decisions, live or from their records, twice over: the same facts about the next intent."""
    policy, live = read_policy(content), Book(300 * SECOND)
    from_memory, from_records = Book(300 * SECOND), Book(300 * SECOND)
    for receipt in stream:
        decision = decide("main", receipt, live, policy, receipt.arrived_at)
        remembered = remember(decision)
        read = remembered_of(record.decode(record.encode(content_of(decision))))
        if remembered is not None and read is not None:
            live.fold(remembered)
            from_memory.fold(remembered)
            from_records.fold(read)
    for receipt in stream:
        if isinstance(receipt.body, Intent):
            limits = policy.limits(receipt.body.symbol, receipt.body.strategy_id, receipt.body.side)
            now = stream[-1].arrived_at + SECOND
            facts = [book.facts(receipt.body, limits, now) for book in (live, from_memory, from_records)]
            assert facts[0] == facts[1] == facts[2]


@settings(max_examples=40)
@given(streams(), policies().filter(is_policy))
def test_ids_derive_from_place_and_content_alone(stream: list[Receipt], content: dict[str, Json]) -> None:
    """Two gates give a receipt the same ids; two receipts, or two books, never share one."""
    policy = read_policy(content)
    made = [
        [decide(name, receipt, Book(SECOND), policy, now) for receipt in stream]
        for name, now in (("main", START), ("main", START + SECOND), ("other", START))
    ]
    ids = [[decision.decision_id for decision in run] for run in made]
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 2 * len(stream)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(VerdictKind)))
def test_totals_add_up_after_any_verdicts(kinds: list[VerdictKind]) -> None:
    """Every verdict is received and counted once, and totals survive their record."""
    totals = Totals()
    for kind in kinds:
        totals = totals.judged(kind)
    counted = totals.approved + totals.reduced + totals.blocked + totals.absorbed + totals.quarantined
    assert totals.received == counted == len(kinds)
    assert totals.promising == sum(kind.promotes for kind in kinds)
    assert Totals.read(record.decode(record.encode({"totals": totals.content()}))) == totals


@pytest.mark.parametrize("price", [1e-12, 1e12])
@pytest.mark.parametrize("quantity", [0.0, 1e-300, 1e15])
def test_a_record_of_extreme_numbers_can_be_read_back(price: float, quantity: float) -> None:
    """What is written to the ledger can be read from it, whatever numbers the wire lets through."""
    policy = policy_of({"quantity_multiplier": 10.0, "override_min_notional": 1000.0})
    receipt = receipt_of(intent_fields(price=price, quantity=quantity))
    decision = decide("main", receipt, Book(SECOND), policy, START)
    written = record.decode(record.encode(content_of(decision)))
    assert judge_again(written, receipt, policy) == (True, decision.verdict)


# A defect that was found in the judgement when these tests were written, and mended.


def test_raising_to_the_exchange_minimum_has_no_tighter_value() -> None:
    """Either value of `use_exchange_minimums` can free what the other blocks, so neither is declared the looser."""
    assert PARAMETERS["use_exchange_minimums"].loosening is Loosening.NEITHER
