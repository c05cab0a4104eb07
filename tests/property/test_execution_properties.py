"""What holds of every execution event: reading is total, and what is written is read back."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, ExecutionKind
from petrosa_cio.apps.nurse.happenings_record import report_content
from petrosa_cio.core.nats.executions import Refusal, decode, encode
from petrosa_cio.core.nats.reports import decode_report, encode_report

NAMES = ("decision_id", "strategy_id", "order_id", "event_type", "timestamp", "reason", "symbol", "side", "qty",
         "fill_qty", "fill_quantity", "fill_price", "price", "fee", "fee_asset", "pnl", "close_reason")  # fmt: skip
LIKELY = ["filled", "placed", "rejected", "buy", "LONG", "close", "BTCUSDT", "oco_exit_stop_loss", "0.5", "NaN",
          "1e309", "-1", "2026-11-23T13:20:00Z", "0001-01-01T00:00:00+23:59", "\ud800", ""]  # fmt: skip

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(LIKELY)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
SOUND: dict[str, object] = {"event_type": "filled", "strategy_id": "s", "symbol": "BTCUSDT", "side": "buy",
                            "fill_qty": 1, "timestamp": "2026-11-23T13:20:00Z"}  # fmt: skip
events = st.dictionaries(st.sampled_from(NAMES), anything, max_size=4).map(lambda changed: SOUND | changed)

instants = st.integers(0, 2_000_000_000_000_000).map(lambda micros: micros * 1000)
ids = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=32)
symbols = st.sampled_from(["BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "BTCUSDT_260327"])
amounts = st.decimals("1e-8", "1e9", allow_nan=False, allow_infinity=False)
signed = st.decimals("-1e9", "1e9", allow_nan=False, allow_infinity=False)


@given(st.binary(max_size=200) | events.map(lambda fields: json.dumps(fields).encode()) | anything.map(
    lambda value: json.dumps(value).encode()))  # fmt: skip
def test_reading_is_total(payload: bytes) -> None:
    """Whatever the bytes: an execution whose figures are finite and positive, or a refusal; never an exception."""
    found = decode(payload, 1, 10**18)
    if isinstance(found, Refusal):
        assert found.where
        assert found.what
        return
    assert found.strategy_id
    assert found.at <= 10**18
    for figure in (found.quantity, found.price):
        assert figure is None or (figure.is_finite() and figure > 0)
    assert found.fee is None or (found.fee.is_finite() and found.fee >= 0)
    assert found.pnl is None or (found.pnl.is_finite() and found.closes)
    assert found.closes or not found.stopped
    encode(found)
    decode_report(payload)


@st.composite
def executions(draw: st.DrawFn) -> Execution:
    """What the engine can tell: fills with side and quantity; exits with its words for them."""
    kind = draw(st.sampled_from(ExecutionKind))
    fills = kind in (ExecutionKind.FILLED, ExecutionKind.PARTIAL_FILL)
    forced = kind is ExecutionKind.FORCE_CLOSED
    closes = forced or draw(st.booleans())
    sides = st.sampled_from(Side)
    side = draw(sides if fills and not closes else st.none() | sides)
    exits = closes and not forced and side is not None
    stopped = forced or (closes and draw(st.booleans()))
    reason = draw(st.sampled_from(["binance_filled", "partial", "no stops", ""]))
    return Execution(
        kind=kind,
        at=draw(instants),
        strategy_id=draw(ids),
        order_id=draw(ids | st.just("")),
        decision_id=draw(ids | st.just("")),
        symbol=draw(symbols if fills or forced else st.none() | symbols),
        side=side,
        quantity=draw(amounts if fills else st.none() | amounts),
        price=draw(st.none() | amounts),
        fee=draw(st.none() | st.just(Decimal(0)) | amounts),
        fee_asset=draw(st.none() | st.just("USDT")),
        pnl=draw(st.none() | signed) if closes else None,
        closes=closes,
        stopped=stopped,
        reason=f"oco_exit_{'stop_loss' if stopped else 'take_profit'}" if exits else reason,
        sequence=draw(st.integers(0, 2**62)),
    )


@given(executions())
def test_what_is_told_is_read_back(told: Execution) -> None:
    """Encoding and decoding give the same execution, to the digit."""
    assert decode(encode(told), told.sequence, told.at + 5_000) == told


positions = st.builds(
    Position, symbols, st.sampled_from(Side), amounts, amounts, amounts, amounts, st.none() | amounts, st.none() | ids
)
orders = st.builds(OpenOrder, symbols, st.sampled_from(Side), amounts, amounts, amounts, st.booleans())
reports = st.builds(
    AccountReport,
    st.sampled_from(["engine", "binance", "simulated"]),
    instants,
    signed,
    st.none() | signed,
    st.none() | st.lists(positions, max_size=3).map(tuple),
    st.none() | st.lists(orders, max_size=3).map(tuple),
)


@given(reports)
def test_a_report_is_read_back(report: AccountReport) -> None:
    """Encoding and decoding give the same report, to the digit; an empty tuple stays one, and None stays None."""
    found = decode_report(encode_report(report))
    assert found == report
    assert isinstance(found, AccountReport)
    assert str(found.wallet) == str(report.wallet)


@given(reports, st.data())
def test_a_report_with_anything_in_place_of_a_field_is_read_or_refused(
    report: AccountReport, data: st.DataObject
) -> None:
    """Never an exception, whatever stands in a field; never a figure that is not finite."""
    content = dict(report_content(report))
    content[data.draw(st.sampled_from(sorted(content)))] = data.draw(anything)
    found = decode_report(json.dumps(content).encode())
    if not isinstance(found, Refusal):
        assert found.wallet.is_finite()
        assert found.unrealised is None or found.unrealised.is_finite()
        assert all(one.quantity.is_finite() for one in found.positions or ())
