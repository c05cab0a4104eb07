"""The watch: which records give cause to tell people, what they are told, and that its parameters decide."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, account_state, intent_fields, json_values, policy_of, receipt_of
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import content_of, decide, remember
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.latches import Word, lifted_content, set_content, state_content
from petrosa_cio.apps.nurse.models import SECOND, TradingState, iso
from petrosa_cio.bootstrap.watching import Alert, Watch

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.latches import Latch
    from petrosa_cio.apps.nurse.models import Json, Portfolio

D = Decimal
LOST_4 = account_state(realised_today=D(-4000))
"""80 % of the day's 5 % of 100,000."""
LOST_5 = account_state(realised_today=D(-5000))


def read_again(content: dict[str, object], index: int = 7) -> dict[str, Json]:
    return record.decode(record.encode({**content, "index": index, "book": "main"}))


def decision(portfolio: Portfolio | None = None, policy: dict[str, Json] | None = None) -> dict[str, Json]:
    """The record of a decision on the default intent."""
    receipt = receipt_of(intent_fields())
    return read_again(content_of(decide("main", receipt, Book(SECOND), policy_of(policy), START, portfolio=portfolio)))


def watched(*records: dict[str, Json], **values: Json) -> list[Alert]:
    """What is told after each of ``records``, under a policy with ``values``."""
    watch = Watch("main", policy_of(values))
    found = [alert for content in records for alert in watch.take(content)]
    assert watch.unreadable == 0
    return found


def test_a_limit_that_runs_out_is_told_once() -> None:
    """In the fleet's shape, with the share that is used, and which decision showed it."""
    content = decision(LOST_4)
    (alert,) = watched(content, content)
    assert alert.subject == "alerts.cio.limit.DAILY_LOSS"
    key = alert.body.pop("dedupe_key")
    assert isinstance(key, str)
    assert (len(key), int(key, 16) >= 0) == (16, True)
    assert alert.body.pop("message")
    assert alert.body == {
        "category": "limit",
        "severity": "warning",
        "book": "main",
        "code": "DAILY_LOSS",
        "of": "",
        "usage": 0.8,
        "threshold": 0.8,
        "decision_id": content["decision_id"],
        "timestamp": iso(START),
    }


def test_a_limit_that_is_reached_is_critical() -> None:
    """The first word of a limit may be that nothing of it is left."""
    assert [alert.body["severity"] for alert in watched(decision(LOST_5))] == ["critical"]


def test_below_the_threshold_nobody_is_told() -> None:
    """79.98 % of the limit is no cause."""
    assert watched(decision(account_state(realised_today=D(-3999)))) == []


def test_the_policy_in_force_decides_and_a_record_changes_it() -> None:
    """A policy record that warns at half of a limit holds from there on."""
    halved = policy_of({"warning_share": 0.5})
    half = decision(account_state(realised_today=D(-2500)))
    changed = read_again({"kind": "policy", "policy": halved.content, "policy_revision": halved.revision})
    assert watched(half) == []
    assert [alert.body["threshold"] for alert in watched(half, changed, half)] == [0.5]


def latch() -> Latch:
    """The latch that a day's loss sets."""
    book = Book(SECOND)
    remembered = remember(decide("main", receipt_of(intent_fields()), book, policy_of(), START, portfolio=LOST_5))
    assert remembered is not None
    (found,) = book.fold(remembered)
    return found


def test_a_latch_that_is_set_or_lifted_is_told() -> None:
    """What it holds back and until when; then who lifted it and why."""
    one = latch()
    was_set, lifted = watched(
        read_again(set_content(one)), read_again(lifted_content(one, START + SECOND, "ana", "capital was added"), 8)
    )
    assert (was_set.subject, lifted.subject) == ("alerts.cio.latch.DAILY_LOSS",) * 2
    assert (was_set.body["severity"], lifted.body["severity"]) == ("critical", "info")
    assert (was_set.body["until"], was_set.body["effect"]) == ("2026-11-25T00:00:00.000000+00:00", "REDUCING")
    assert was_set.body["cause"] == {"loss": "5000", "day_start_equity": "100000", "limit": "0.05"}
    assert was_set.body["decision_id"] == one.decision_id
    assert (lifted.body["who"], lifted.body["why"]) == ("ana", "capital was added")
    assert was_set.body["dedupe_key"] != lifted.body["dedupe_key"]


@pytest.mark.parametrize(
    ("state", "severity"),
    [(TradingState.HALTED, "critical"), (TradingState.REDUCING, "critical"), (TradingState.ACTIVE, "info")],
)
def test_what_an_operator_does_is_told(state: TradingState, severity: str) -> None:
    """Who, why and to which state."""
    (alert,) = watched(read_again(state_content(Word(state, START, "ana", "exchange maintenance"))))
    assert alert.subject == "alerts.cio.state"
    assert {name: alert.body[name] for name in ("severity", "state", "who", "why")} == {
        "severity": severity,
        "state": state.value,
        "who": "ana",
        "why": "exchange maintenance",
    }


BREACH = decision(policy={"leverage": 20, "max_leverage_bound": 10})


def test_breaches_of_leverage_are_told_by_the_third() -> None:
    """At the default of three, and then nothing until three more."""
    assert watched(BREACH, BREACH) == []
    (alert,) = watched(*[BREACH] * 5)
    assert (alert.subject, alert.body["breaches"]) == ("alerts.cio.leverage", 3)


@pytest.mark.parametrize("content", [{"kind": "gap"}, {"kind": "no such kind"}, {}, decision()], ids=str)
def test_most_records_are_no_cause(content: dict[str, Json]) -> None:
    """An ordinary decision, a kind that is not watched, or none."""
    assert watched(content) == []


@given(
    st.dictionaries(
        st.sampled_from(["kind", "action", "observed", "reasons", "policy", "state", "code", "change", "symbol"]),
        json_values | st.sampled_from(["policy", "decision", "latch", "state", "buy"]),
    )
)
def test_no_record_breaks_the_watch(content: dict[str, Json]) -> None:
    """What cannot be understood is counted and passed over."""
    watch = Watch("main", policy_of())
    watch.take(content)
    assert [alert.subject for alert in watch.take(decision(LOST_4))] == ["alerts.cio.limit.DAILY_LOSS"]


# The sweep of what alerts enforce


SWEPT: dict[str, tuple[list[dict[str, Json]], Json, Json]] = {
    "warning_share": ([decision(LOST_4)], 0.81, 0.8),
    "leverage_breach_alert_threshold": ([BREACH, BREACH], 3, 2),
}
"""Records on which a parameter decides, a looser value under which nobody is told, and a tighter one."""

ENFORCED = [name for name, one in PARAMETERS.items() if one.enforced_by == "alerts"]


def test_every_parameter_that_alerts_enforce_is_swept() -> None:
    """None is decoration: whoever adds one says here on which records it decides."""
    assert sorted(SWEPT) == sorted(ENFORCED)


@pytest.mark.parametrize("name", ENFORCED)
def test_it_decides_whether_somebody_is_told(name: str) -> None:
    """Between two values that differ little somebody is told or not; the tighter tells."""
    records, loose, tight = SWEPT[name]
    assert (len(watched(*records, **{name: loose})), len(watched(*records, **{name: tight}))) == (0, 1)
