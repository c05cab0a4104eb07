"""The order that a decision promotes: the same from the decision as from its record."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from builders import (
    START,
    account_state,
    entries,
    intent_fields,
    intents,
    is_policy,
    market_state,
    markets,
    mutated,
    policies,
    policy_of,
    portfolios,
    receipt_of,
)
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import Decision, content_of, decide
from petrosa_cio.apps.nurse.models import SECOND, Side, iso
from petrosa_cio.apps.nurse.orders import order_made, order_of
from petrosa_cio.apps.nurse.policy import read_policy


def decided(fields: dict, policy=None, at: int = START, market=None, account=None) -> Decision:
    receipt = receipt_of(fields)
    return decide("main", receipt, Book(300 * SECOND), policy or policy_of(), at, START, market, account)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(
    entries() | intents() | mutated(),
    policies().filter(is_policy),
    st.integers(0, 200_000_000),
    markets(),
    portfolios,
)
def test_an_order_read_from_a_record_is_the_order_that_was_made(fields, content, waited, market, portfolio) -> None:
    """What the decision promoted and what its record says it promoted are equal, before and after it is stored."""
    decision = decided(fields, read_policy(content), START + waited, market, portfolio)
    made, written = order_made(decision), content_of(decision)
    event("promoted" if made else "nothing promoted")
    assert (made is not None) is decision.verdict.kind.promotes
    assert order_of(written) == made
    assert order_of(record.decode(record.encode(written))) == made


def test_an_order_says_what_the_engine_is_asked_for() -> None:
    """Side, size, price, levels and the leverage of the policy, at the microsecond that is recorded."""
    decision = decided(
        intent_fields(quantity=1.5, stop_loss=98.0, take_profit_pct=0.05), policy_of({"leverage": 7}), START + 1500
    )
    order = order_made(decision)
    assert order is not None
    assert (order.decision_id, order.strategy_id, order.symbol) == (decision.decision_id, "momo", "BTCUSDT")
    assert (order.side, order.at) == (Side.LONG, START + 1000)
    assert (order.price, order.quantity, order.notional) == (Decimal(100), Decimal("1.5"), Decimal(150))
    assert (order.leverage, order.stop, order.target) == (Decimal(7), Decimal(98), Decimal(105))


def test_an_order_that_was_reduced_has_the_size_that_is_left() -> None:
    """10 % of 10,000 in equity leaves 10 of 12 at 100, and a multiplier is in what the engine orders."""
    policy = policy_of({"max_position_size_pct": 0.1, "quantity_multiplier": 2.0, "max_position_size_usd": 100_000})
    whole = Decimal(10_000)
    account = account_state(equity=whole, day_start_equity=whole, peak_equity=whole)
    decision = decided(intent_fields(quantity=6.0), policy, market=market_state(), account=account)
    assert decision.verdict.kind == "reduced"
    assert decision.verdict.quantity == Decimal(5)
    order = order_made(decision)
    assert order is not None
    assert (order.quantity, order.notional) == (Decimal(10), Decimal(1000))


def test_an_order_of_unknown_size_says_so() -> None:
    """Without a quantity and the exchange's minimum the engine chooses, and nobody knows what."""
    order = order_made(decided(intent_fields(quantity=0.0)))
    assert order is not None
    assert (order.quantity, order.notional) == (None, None)


def test_a_close_is_an_order_without_a_side() -> None:
    """It names no price of its own."""
    order = order_made(decided(intent_fields(action="close")))
    assert order is not None
    assert (order.side, order.price, order.leverage, order.quantity) == (None, 0, 1, None)


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "expired", "verdict": "approved"},
        {"kind": "decision", "verdict": "blocked", "action": "buy"},
        {"kind": "decision", "verdict": "approved", "action": "buy", "decision_id": "d", "at": iso(START)},
    ],
    ids=["no decision", "blocked", "older than the key promoted"],
)
def test_a_record_that_promotes_nothing_known_gives_no_order(content) -> None:
    """Other kinds, refusals, and approved entries whose record does not say what the engine was asked for."""
    assert order_of(content) is None
