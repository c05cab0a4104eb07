"""Cases worked out by hand: intent, policy and facts in, verdict and reasons with their numbers out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from petrosa_cio.apps.nurse import enforcer
from petrosa_cio.apps.nurse.case import Case
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.decision import facts_of
from petrosa_cio.apps.nurse.facts_record import account_of, market_of
from petrosa_cio.apps.nurse.models import parse_instant
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core.nats import wire

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.controls.table import Control
    from petrosa_cio.apps.nurse.models import Scalar, Verdict

NOW = parse_instant("2026-11-24T09:30:00+00:00")
CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))


def judged(case: dict) -> Verdict:
    """The verdict on a case; what it does not say of the book, the market or the account is not known."""
    arrived_at = NOW - case.get("waited_ms", 0) * 1_000_000
    receipt = wire.receive(1, "intent.golden", json.dumps(case["intent"]).encode(), None, arrived_at)
    assert receipt.body is not None
    as_of = case.get("policy_as_of")
    return enforcer.judge(
        Case(
            intent=receipt.body,
            policy=read_policy(case["policy"]),
            book=facts_of(case),
            now=NOW,
            arrived_at=arrived_at,
            policy_as_of=None if as_of is None else parse_instant(as_of),
            market=market_of(case.get("market")),
            portfolio=account_of(case.get("account")),
        )
    )


def is_as_worked_out(case: dict, verdict: Verdict) -> bool:
    """Whether kind, reasons in order, remaining quantity and the numbers of a lone reason are the author's."""
    expected = case.get("quantity")
    numbers = case.get("numbers", {})
    return (
        verdict.kind == case["verdict"]
        and [reason.code for reason in verdict.reasons] == case["codes"]
        and verdict.quantity == (None if expected is None else Decimal(expected))
        and (not numbers or same_numbers(numbers, dict(verdict.reasons[0].numbers)))
    )


def same_numbers(written: dict[str, str], found: dict[str, Scalar]) -> bool:
    """Whether both name the same numbers; decimals are compared as numbers, other things as text."""
    return written.keys() == found.keys() and all(
        Decimal(text) == found[name] if isinstance(found[name], Decimal) else text == str(found[name])
        for name, text in written.items()
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_verdict_is_the_one_worked_out_by_hand(case: dict) -> None:
    """Each case comes out with the verdict, the reasons in order, their numbers and the quantity of its author."""
    verdict = judged(case)
    assert is_as_worked_out(case, verdict), (verdict.kind, verdict.quantity, verdict.reasons)


@pytest.mark.parametrize("control", TABLE, ids=lambda control: control.code)
def test_no_control_can_be_deleted_unnoticed(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one row of the table a case that names it comes out otherwise."""
    monkeypatch.setattr(enforcer, "TABLE", tuple(one for one in TABLE if one is not control))
    failing = [
        case["name"] for case in CASES if control.code in case["codes"] and not is_as_worked_out(case, judged(case))
    ]
    assert failing


def test_no_two_cases_have_one_name() -> None:
    """A failing case is known by its name."""
    assert len({case["name"] for case in CASES}) == len(CASES)
