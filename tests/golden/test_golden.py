"""Cases worked out by hand: intent and policy in, verdict and reasons out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import decide
from petrosa_cio.apps.nurse.models import SECOND, parse_instant
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core.nats import wire

NOW = parse_instant("2026-11-24T09:30:00+00:00")
CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_verdict_is_the_one_worked_out_by_hand(case: dict) -> None:
    """Each case comes out with the verdict, the reasons in order, and the quantity that its author computed."""
    receipt = wire.receive(1, "intent.golden", json.dumps(case["intent"]).encode(), None, NOW)
    verdict = decide("golden", receipt, Book(300 * SECOND), read_policy(case["policy"]), NOW).verdict
    assert verdict.kind == case["verdict"]
    assert [reason.code for reason in verdict.reasons] == case["codes"]
    expected = case.get("quantity")
    assert verdict.quantity == (None if expected is None else Decimal(expected))
