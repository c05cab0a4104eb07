"""Liveness: what a gate may say of itself, from what it observes; and the one parameter that decides about it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, account_state, is_policy, market_state, policies, policy_of
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.liveness import (
    LEADING,
    STANDING_BY,
    Observed,
    Part,
    Status,
    answer_within,
    assess,
    canary,
)
from petrosa_cio.apps.nurse.models import SECOND, VerdictKind
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

MS = 1_000_000
WITHIN = 200 * MS
WELL = Observed(state=LEADING)


def parts(observed: Observed) -> list[Part]:
    return [part for part, _ in assess(observed, WITHIN).degraded]


def test_a_gate_that_leads_and_lacks_nothing_is_active() -> None:
    """With nothing pending and nothing missing, governance is active."""
    assert assess(WELL, WITHIN).status is Status.ACTIVE


@pytest.mark.parametrize(
    ("well", "ill", "says"),
    [
        ({}, {"connected": False}, "no connection"),
        ({}, {"known": False}, "not been heard of"),
        ({"lag": 200 * MS}, {"lag": 201 * MS}, "blocked for 201 ms"),
        ({"unanswered": 200 * MS}, {"unanswered": 201 * MS}, "not answered for 201 ms"),
        ({}, {"full": True}, "full"),
        ({}, {"overtaken": True}, "another gate writes"),
        ({"standstill": 500 * MS, "pending": 3}, {"standstill": 501 * MS, "pending": 3}, "3 intents waiting"),
        ({}, {"canary_fault": "LookupError()"}, "LookupError"),
        ({}, {"state": "starting"}, "starting"),
        ({}, {"state": "recovering"}, "recovering"),
        ({}, {"state": "ledger unavailable"}, "ledger unavailable"),
        ({}, {"state": "stopped"}, "stopped"),
    ],
    ids=str,
)
def test_a_gate_that_does_not_judge_is_silent(well: dict[str, object], ill: dict[str, object], says: str) -> None:
    """Whatever keeps intents from being judged in time makes a gate silent, and is named; at its limit it does not."""
    assert assess(replace(WELL, **well), WITHIN).status is Status.ACTIVE
    found = assess(replace(WELL, **ill), WITHIN)
    assert found.status is Status.SILENT
    assert len(found.silent) == 1
    assert says in found.silent[0]


def test_every_reason_to_be_silent_is_named() -> None:
    """Silence names all that is wrong, not only what was found first."""
    assert len(assess(Observed("recovering", connected=False, lag=SECOND, full=True), WITHIN).silent) == 4


def test_intents_that_wait_too_long_degrade() -> None:
    """A backlog that is worked off is not silence: DEGRADED, with the age of the oldest."""
    waiting = replace(WELL, pending=7, oldest=200 * MS, standstill=MS, since_progress=MS)
    assert assess(waiting, WITHIN).status is Status.ACTIVE
    late = assess(replace(waiting, oldest=201 * MS), WITHIN)
    assert late.status is Status.DEGRADED
    assert late.degraded == ((Part.INTENTS, "7 wait, the oldest for 201 ms"),)


def test_streams_that_take_records_and_answer_late_degrade() -> None:
    """Where records are acknowledged all the time, a question that waits for its answer is no reason for silence."""
    late = replace(WELL, unanswered=300 * MS, since_progress=200 * MS)
    assert assess(late, WITHIN).status is Status.DEGRADED
    assert parts(late) == [Part.LEDGER]
    assert assess(replace(late, since_progress=201 * MS), WITHIN).status is Status.SILENT


@pytest.mark.parametrize("skew", [50, 51])
def test_a_clock_that_is_off_degrades(skew: int) -> None:
    """A clock more than 50 ms from the server's makes the hard timeout untrue: DEGRADED."""
    assert parts(replace(WELL, skew=skew * MS)) == ([Part.CLOCK] if skew > 50 else [])


def test_one_of_two_gates_speaks() -> None:
    """A gate that stands by is silent while another leads, and speaks, degraded, once none is heard."""
    assert assess(Observed(STANDING_BY, leader_heard=True), WITHIN).status is Status.SILENT
    alone = Observed(STANDING_BY)
    assert assess(alone, WITHIN).status is Status.DEGRADED
    assert parts(alone) == [Part.LEADER]


def test_what_governance_lacks_is_what_the_canary_is_refused_for() -> None:
    """A policy that is too old and facts that are required and unknown show in the canary, and degrade."""
    policy = policy_of({"max_policy_age_seconds": 60}, required=("mark", "account"))
    blind = replace(WELL, canary=canary(policy, START, START - 61 * SECOND))
    assert parts(blind) == [Part.POLICY, Part.FACTS, Part.FACTS]
    assert assess(blind, WITHIN).status is Status.DEGRADED
    seeing = canary(policy, START, START - 60 * SECOND, market_state(), account_state())
    assert parts(replace(WELL, canary=seeing)) == []


def test_what_is_thought_of_the_canary_is_no_matter() -> None:
    """That a policy refuses the canary's symbol or size says nothing of governance."""
    verdict = canary(policy_of({"allowed_symbols": ["ETHUSDT"]}), START)
    assert Reason.SYMBOL_NOT_ALLOWED in {reason.code for reason in verdict.reasons}
    assert assess(replace(WELL, canary=verdict), WITHIN).status is Status.ACTIVE


@given(policies().filter(is_policy), st.none() | st.integers(0, 200))
def test_the_canary_is_judged_under_every_policy(content: dict[str, Json], age: int | None) -> None:
    """No policy is such that judging the canary raises; it is an entry, and gets an entry's verdict."""
    verdict = canary(read_policy(content), START, None if age is None else START - age * SECOND)
    assert verdict.kind in (VerdictKind.APPROVED, VerdictKind.REDUCED, VerdictKind.BLOCKED)


# -- the sweep of `heartbeat_timeout_ms` -------------------------------------------------------------------------------

TIMEOUT = PARAMETERS["heartbeat_timeout_ms"]


def said(timeout_ms: int, observed: Observed) -> Status:
    return assess(observed, answer_within(policy_of({"heartbeat_timeout_ms": timeout_ms}))).status


def test_every_parameter_that_the_gate_enforces_is_swept_here() -> None:
    """None is decoration: whoever adds one says on what it decides."""
    assert [name for name, one in PARAMETERS.items() if one.enforced_by == "gate"] == [TIMEOUT.name]


@pytest.mark.parametrize(
    ("observed", "stricter"),
    [
        (replace(WELL, lag=100 * MS), Status.SILENT),
        (replace(WELL, unanswered=100 * MS), Status.SILENT),
        (replace(WELL, pending=1, oldest=100 * MS), Status.DEGRADED),
    ],
    ids=["lag", "streams", "backlog"],
)
def test_heartbeat_timeout_ms_changes_what_is_said(observed: Observed, stricter: Status) -> None:
    """At 100 ms what took 100 ms is in time; at 99 it is not."""
    assert said(100, observed) is Status.ACTIVE
    assert said(99, observed) is stricter


@given(st.integers(0, 70_000), st.integers(0, 70_000), st.integers(0, 70_000))
def test_a_shorter_timeout_never_says_more(lag: int, unanswered: int, oldest: int) -> None:
    """Across its bounds, longest first: what is said only ever gets worse, from active to degraded to silent."""
    observed = replace(WELL, lag=lag * MS, unanswered=unanswered * MS, pending=1, oldest=oldest * MS)
    order = [Status.ACTIVE, Status.DEGRADED, Status.SILENT]
    assert TIMEOUT.maximum is not None
    assert TIMEOUT.minimum is not None
    values = sorted({int(TIMEOUT.maximum), int(TIMEOUT.minimum), 200, lag, unanswered, oldest}, reverse=True)
    bounded = [value for value in values if TIMEOUT.minimum <= value <= TIMEOUT.maximum]
    ranks = [order.index(said(value, observed)) for value in bounded]
    assert all(loose <= tight for loose, tight in pairwise(ranks))


def test_only_the_global_scope_counts() -> None:
    """An answer belongs to no symbol and no strategy: what a narrower scope says is not looked at."""
    scopes = {"symbol:BTCUSDT": {TIMEOUT.name: 10}, "strategy:momo": {TIMEOUT.name: 20}}
    assert answer_within(policy_of(scopes=scopes)) == 200 * MS
