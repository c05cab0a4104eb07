"""Execution events of the engine: every row of the fleet's table read by hand, and everything that is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.happenings import Execution, ExecutionKind
from petrosa_cio.core.nats.executions import Refusal, decode, encode

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

T = 1_795_440_000_000_000_000
"""2026-11-23T13:20:00Z: 20,780 days after the epoch (86,400 s each), and 48,000 s."""
STORED = T + 7_000_000_000 + 123
DECISION = "5b1c0e6b0f5d4d0b9b1f0b6f1f2a3c4d"


def event(**fields: Json) -> dict[str, Json]:
    """An entry fill as the user-data stream tells it; ``fields`` replace or add."""
    return {
        "decision_id": DECISION,
        "strategy_id": "momentum_pulse",
        "order_id": "8389765612",
        "event_type": "filled",
        "timestamp": "2026-11-23T13:20:00.120000+00:00",
        "reason": "user_data_stream_fill",
        "symbol": "BTCUSDT",
        "side": "BUY",
        "fill_price": 67415.1,
        "price": 67415.1,
        "fill_quantity": 0.007,
        "fill_qty": 0.007,
        "fee": 0.188,
        "fee_asset": "USDT",
        "fill_time": "2026-11-23T13:20:00.098000+00:00",
        "pnl": 0.0,
        **fields,
    }


def without(*names: str, **fields: Json) -> dict[str, Json]:
    return {name: value for name, value in event(**fields).items() if name not in names}


def read(fields: Json) -> Execution | Refusal:
    return decode(json.dumps(fields).encode(), 42, STORED)


def execution(fields: Json) -> Execution:
    found = read(fields)
    assert isinstance(found, Execution), str(found)
    return found


def refusal(fields: Json) -> Refusal:
    found = read(fields)
    assert isinstance(found, Refusal), found
    return found


# -- the rows of the table ---------------------------------------------------------------------------------------------


def test_an_entry_told_by_the_user_data_stream() -> None:
    """Every figure is the decimal that was written, fees apart; what opens realised no profit."""
    assert execution(event()) == Execution(
        kind=ExecutionKind.FILLED,
        at=T + 120_000_000,
        strategy_id="momentum_pulse",
        order_id="8389765612",
        decision_id=DECISION,
        symbol="BTCUSDT",
        side=Side.LONG,
        quantity=Decimal("0.007"),
        price=Decimal("67415.1"),
        fee=Decimal("0.188"),
        fee_asset="USDT",
        reason="user_data_stream_fill",
        sequence=42,
    )


@pytest.mark.parametrize(
    ("reason", "side", "pnl", "stopped"),
    [
        ("oco_exit_take_profit", Side.LONG, 10.7, False),
        ("oco_exit_stop_loss", Side.LONG, -4.2, True),
        ("oco_exit_stop_loss", Side.SHORT, -4.2, True),
        ("oco_exit_unknown", Side.SHORT, 0.0, False),
    ],
)
def test_an_exit_carries_the_side_of_the_position(reason: str, side: Side, pnl: float, stopped: bool) -> None:
    """An exit by target or stop takes off the side that it names, and tells what that realised."""
    cause = reason.removeprefix("oco_exit_")
    given = without("fee", "fee_asset", "fill_time", reason=reason, side=side.value, pnl=pnl, close_reason=cause)
    found = execution(given)
    assert (found.kind, found.side, found.closes, found.stopped) == (ExecutionKind.FILLED, side, True, stopped)
    assert (found.pnl, found.fee, found.fee_asset) == (Decimal(str(pnl)), None, None)


REFUSED = {"decision_id": "", "order_id": "", "event_type": "rejected", "symbol": "BTCUSDT", "source": "ta_bot",
           "strategy_id": "momentum_pulse", "timestamp": "2026-11-23T13:20:00+00:00"}  # fmt: skip


@pytest.mark.parametrize(
    ("side", "opens", "closes"),
    [("buy", Side.LONG, False), ("sell", Side.SHORT, False), ("close", None, True), ("hold", None, False)],
)
def test_a_signal_that_was_refused(side: str, opens: Side | None, closes: bool) -> None:
    """It carries its action where orders have a side, no order and no figures; ids may be empty."""
    found = execution({**REFUSED, "side": side, "reason": "cio_enforcement_unauthorized_source", "remaining_sec": 3})
    assert (found.kind, found.side, found.closes) == (ExecutionKind.REJECTED, opens, closes)
    assert (found.decision_id, found.order_id, found.quantity, found.price) == ("", "", None, None)


def test_a_stale_signal() -> None:
    """Its age is in the reason; no symbol and no side need be told."""
    given = {name: value for name, value in REFUSED.items() if name != "symbol"}
    found = execution({**given, "reason": "stale_signal_age_312s", "max_signal_age_seconds": 300})
    assert (found.kind, found.reason, found.symbol) == (ExecutionKind.REJECTED, "stale_signal_age_312s", None)


def test_an_order_refused_by_risk() -> None:
    """The quantity is what was ordered."""
    given = {**REFUSED, "side": "sell", "qty": "0.5", "reason": "daily_loss_limits_exceeded", "order_id": "sig-1"}
    found = execution(given)
    assert (found.side, found.quantity, found.order_id) == (Side.SHORT, Decimal("0.5"), "sig-1")


@pytest.mark.parametrize(
    ("kind", "reason", "fields", "quantity"),
    [
        ("filled", "binance_filled", {"qty": 0.01, "fill_qty": 0.009, "fill_price": 99.5}, "0.009"),
        ("filled", "binance_filled", {"qty": 0.01, "fill_qty": 0, "fill_price": 99.5}, "0.01"),
        ("partial_fill", "partial_0.004_of_0.01", {"qty": 0.01, "fill_qty": 0.004, "price": "99.5"}, "0.004"),
        ("placed", "binance_accepted", {"qty": 0.01, "fill_qty": 0, "fill_price": 0, "price": 99.5}, "0.01"),
        ("placed", "simulated_placed", {"qty": "0.01", "price": 99.5}, "0.01"),
        ("rejected", "exchange_REJECTED: margin", {"qty": 0.01, "price": 99.5}, "0.01"),
    ],
)
def test_an_answer_of_the_exchange(kind: str, reason: str, fields: dict[str, Json], quantity: str) -> None:
    """What filled is ``fill_qty``; where nothing did, ``qty``. A 0 is what the engine does not know yet."""
    given = without(
        "fill_price", "price", "fill_quantity", "fill_qty", "pnl", event_type=kind, reason=reason, side="sell"
    )
    found = execution({**given, **fields})
    assert (found.kind, found.reason, found.side, found.closes) == (ExecutionKind(kind), reason, Side.SHORT, False)
    assert (found.quantity, found.price) == (Decimal(quantity), Decimal("99.5"))


@pytest.mark.parametrize(("word", "side"), [("LONG", Side.LONG), ("short", None), ("SELL", None), ("", None)])
def test_a_position_closed_for_want_of_stops(word: str, side: Side | None) -> None:
    """It closes and counts as stopped out; a word that may be that of the order tells no side."""
    if word == "short":
        side = Side.SHORT
    given = without(
        "fill_qty", "fill_quantity", event_type="position_force_closed_no_stops", reason="no stops", side=word
    )
    found = execution({**given, "pnl": -3})
    assert (found.closes, found.stopped, found.side, found.pnl) == (True, True, side, Decimal(-3))


@pytest.mark.parametrize("word", ["buy", "BUY", "LONG"])
def test_the_side_of_an_entry_in_every_spelling(word: str) -> None:
    """Words of order and position alike, in either case."""
    assert execution(event(side=word)).side is Side.LONG
    short = {"buy": "sell", "BUY": "SELL", "LONG": "SHORT"}[word]
    assert execution(event(side=short)).side is Side.SHORT


def test_an_order_that_realised_profit_took_a_position_off() -> None:
    """A buy whose fill realised a loss reduced a short: the loss is told, and nothing is opened."""
    found = execution(event(side="BUY", pnl=-12.5))
    assert (found.side, found.closes, found.pnl) == (Side.SHORT, True, Decimal("-12.5"))


@pytest.mark.parametrize(
    ("given", "figure"),
    [
        (0.1, "0.1"),
        ("0.10", "0.10"),
        (7, "7"),
        (1e-07, "1E-7"),
        ("2.8E-4", "0.00028"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_numbers_are_the_decimals_that_were_written(given: Json, figure: str) -> None:
    """A float is the shortest text that reads back to it, a string is itself."""
    assert execution(event(fill_qty=given, fill_quantity=given)).quantity == Decimal(figure)


@pytest.mark.parametrize(
    "told", [None, "", "yesterday", 1_763_904_000.5, "2026-11-23T13:20:00+00:00Z", "2099-01-01T00:00:00Z", {}, "\ud800"]
)
def test_a_date_that_cannot_be_relied_on_is_that_of_the_stream(told: Json) -> None:
    """No fill is ignored for its date: unreadable or ahead of the stream's, it is dated when it was stored."""
    assert execution(event(timestamp=told)).at == T + 7_000_000_000


def test_a_date_without_offset_is_utc() -> None:
    """As everywhere on the wire."""
    assert execution(event(timestamp="2026-11-23T13:20:00")).at == T


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "where", "what"),
    [
        (event(event_type="liquidated"), "event_type", "is none that we know"),
        (event(event_type="FILLED"), "event_type", "is none that we know"),
        (without("event_type"), "event_type", "is none that we know"),
        (event(event_type=["filled"]), "event_type", "is none that we know"),
        (without("strategy_id"), "strategy_id", "is missing"),
        (event(strategy_id=""), "strategy_id", "is missing"),
        (event(strategy_id=1.5), "strategy_id", "must be a string"),
        (event(strategy_id="a\nb"), "strategy_id", "must be printable text of at most 128 characters"),
        (event(order_id="x" * 129), "order_id", "must be printable text of at most 128 characters"),
        (event(decision_id={}), "decision_id", "must be a string"),
        (event(symbol="btc usdt"), "symbol", "must be an exchange symbol in upper case"),
        (event(symbol=""), "symbol", "is missing in what was filled"),
        (event(side="up"), "side", "is none that we know"),
        (event(side=1), "side", "is none that we know"),
        (without("side"), "side", "is missing in what was filled"),
        (event(side="hold"), "side", "is missing in what was filled"),
        (without("fill_qty", "fill_quantity"), "fill_qty", "is missing in what was filled"),
        (without("fill_quantity", event_type="partial_fill", fill_qty=0, qty=1), "fill_qty",
         "is missing in what was filled"),
        (event(fill_quantity=0.008), "fill_quantity", "contradicts fill_qty"),
        (event(fill_qty=-0.007), "fill_qty", "must not be negative"),
        (event(fill_qty="-1"), "fill_qty", "must not be negative"),
        (event(fill_qty=True), "fill_qty", "must be a number"),
        (event(fill_qty="a lot"), "fill_qty", "must be a number"),
        (event(fill_qty="1" * 65), "fill_qty", "must be a number"),
        (event(fill_qty=[1]), "fill_qty", "must be a number"),
        (event(fill_qty="NaN"), "fill_qty", "must be a number"),
        (event(fill_qty="Infinity"), "fill_qty", "must be a number"),
        (event(fill_qty="1e999"), "fill_qty", "is out of bounds"),
        (event(fill_qty="1e-13"), "fill_qty", "is out of bounds"),
        (event(fill_price=-1), "fill_price", "must not be negative"),
        (event(fill_price=1e13), "fill_price", "is out of bounds"),
        (event(fee=-0.1), "fee", "must not be negative"),
        (event(pnl="1e16"), "pnl", "is out of bounds"),
        (event(pnl=float("nan")), "pnl", "must be a finite number"),
        (event(fill_qty=float("inf")), "fill_qty", "must be a finite number"),
        (event(fee=float("-inf")), "fee", "must be a finite number"),
        ([event()], "$", "must be a JSON object"),
        (None, "$", "must be a JSON object"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(fields: Json, where: str, what: str) -> None:
    """A refusal says in which field, and what is wrong there."""
    found = refusal(fields)
    assert (found.where, found.what) == (where, what)
    assert str(found).startswith(f"{where} {what}")


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (b"", "is no JSON"),
        (b"filled", "is no JSON"),
        (b'{"event_type":', "is no JSON"),
        (b"\xff\xfe{}", "is no JSON"),
        (b"[" * 30_000, "nests too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON"),
        (b'{"fill_qty": 1, "fill_qty": 2}', "names a field twice"),
        (b'{"a":"' + b"x" * 70_000 + b'"}', "is larger than 65536 bytes"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_bytes_that_are_no_event(payload: bytes, what: str) -> None:
    """No JSON, too deep, ambiguous or too large: refused as a whole."""
    found = decode(payload, 1, STORED)
    assert isinstance(found, Refusal)
    assert (found.where, found.what) == ("$", what)


def test_a_refusal_repeats_no_more_than_a_glimpse() -> None:
    """What stood there is shown cut and in ASCII: it goes to a log."""
    found = refusal(event(side="ü\n" * 500))
    assert found.found.isascii()
    assert len(found.found) <= 80


def test_an_exit_is_written_as_the_engine_writes_it() -> None:
    """An exit without the engine's word for it is given it, and its cause says that it was stopped."""
    given = Execution(
        ExecutionKind.FILLED, T, "s", "o-1", "d-1", "ETHUSDT", Side.SHORT, Decimal("0.5"), Decimal(2000),
        pnl=Decimal(-3), closes=True, stopped=True, reason="simulated",
    )  # fmt: skip
    assert json.loads(encode(given)) == {
        "decision_id": "d-1", "strategy_id": "s", "order_id": "o-1", "event_type": "filled",
        "timestamp": "2026-11-23T13:20:00.000000+00:00", "reason": "oco_exit_simulated", "symbol": "ETHUSDT",
        "side": "SHORT", "fill_price": 2000.0, "price": 2000.0, "fill_qty": 0.5, "fill_quantity": 0.5, "pnl": -3.0,
        "close_reason": "stop_loss",
    }  # fmt: skip
