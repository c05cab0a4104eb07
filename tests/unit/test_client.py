"""What the client adds to an intent, and what it refuses: exactly what the gate would refuse as malformed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, TRACEPARENT, intent_fields, intents, mutated, without
from petrosa_cio.apps.nurse.models import Intent
from petrosa_cio.client import completed, subject_token
from petrosa_cio.core.nats import wire
from petrosa_cio.errors import MalformedIntent

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
BARE: dict[str, Json] = {"strategy_id": "momo", "symbol": "BTCUSDT", "action": "close"}


def read(fields: dict[str, object]) -> object:
    """What the gate takes ``fields`` for."""
    return wire.receive(1, "cio.intent.trading.momo", json.dumps(fields).encode(), None, START).body


def faults(**changes: object) -> tuple[str, ...]:
    with pytest.raises(MalformedIntent) as raised:
        completed({**intent_fields(), **changes})
    assert str(raised.value) == "; ".join(raised.value.faults)
    return raised.value.faults


def test_the_least_intent_is_completed() -> None:
    """An id that is new each time, the time of sending with offset, a trace in both fields; the rest is untouched."""
    before = datetime.now(UTC)
    one, other = completed(BARE), completed(BARE)
    assert one["intent_id"] != other["intent_id"]
    assert isinstance(one["timestamp"], str)
    assert one["timestamp"].endswith("+00:00")
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(one["timestamp"]) <= datetime.now(UTC)
    assert one["_otel_trace_context"] == one["_otel_trace_headers"] != other["_otel_trace_context"]
    assert isinstance(one["_otel_trace_context"], dict)
    assert wire.parse_traceparent(one["_otel_trace_context"]["traceparent"])
    assert without(one, "intent_id", "timestamp", "_otel_trace_context", "_otel_trace_headers") == BARE  # type: ignore[arg-type]


def test_what_is_given_stays() -> None:
    """An id, under either name, and a time are kept; the caller's object is not changed."""
    given: dict[str, Json] = {**BARE, "id": "mine", "timestamp": "2026-11-24T09:30:00Z"}
    kept = dict(given)
    complete = completed(given)
    assert given == kept
    assert (complete["id"], complete["timestamp"], "intent_id" in complete) == ("mine", "2026-11-24T09:30:00Z", False)


def test_a_datetime_is_written_in_utc() -> None:
    """A moment with a time zone becomes text with +00:00; one without names no moment and is refused."""
    at = datetime(2026, 11, 24, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert completed({**BARE, "timestamp": at})["timestamp"] == "2026-11-24T09:30:00+00:00"
    assert faults(timestamp=at.replace(tzinfo=None))[0].startswith("timestamp:")


@pytest.mark.parametrize(
    ("context", "headers", "kept"),
    [
        ({"traceparent": TRACEPARENT}, None, {"traceparent": TRACEPARENT}),
        (None, {"traceparent": TRACEPARENT, "tracestate": "a=1"}, {"traceparent": TRACEPARENT, "tracestate": "a=1"}),
        ({"traceparent": TRACEPARENT}, {"traceparent": OTHER}, {"traceparent": TRACEPARENT}),
        ({"traceparent": "nonsense"}, {"traceparent": OTHER}, {"traceparent": OTHER}),
        ({}, {"traceparent": OTHER}, {"traceparent": OTHER}),
    ],
)
def test_a_trace_that_is_given_is_gone_on_with(context: object, headers: object, kept: dict[str, str]) -> None:
    """The first valid trace context of the two fields is put into both."""
    complete = completed({**BARE, "_otel_trace_context": context, "_otel_trace_headers": headers})
    assert complete["_otel_trace_context"] == complete["_otel_trace_headers"] == kept


@pytest.mark.parametrize(
    "traceparent", [OTHER.replace("00-4", "ff-4"), f"00-{'0' * 32}-{'1' * 16}-01", 7, OTHER + "-x"]
)
def test_a_trace_that_is_none_is_begun_anew(traceparent: object) -> None:
    """What is no valid trace context would be dropped by the gate: a new one takes its place."""
    context = completed({**BARE, "_otel_trace_context": {"traceparent": traceparent}})["_otel_trace_context"]
    assert isinstance(context, dict)
    assert context["traceparent"] != traceparent
    assert wire.parse_traceparent(context["traceparent"])


def test_every_fault_is_named() -> None:
    """Not only the first: whoever mends an intent mends it once."""
    found = faults(symbol="btcusdt", confidence="0.8", price=None, stop_loss=0, order_type="MARKET", quantity=True)
    assert [fault.partition(":")[0] for fault in found] == [
        "price",
        "symbol",
        "stop_loss",
        "confidence",
        "quantity",
        "order_type",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"when": datetime(2026, 1, 1, tzinfo=UTC)}},
        {"metadata": {"is": float("nan")}},
        {"metadata": {"is": float("inf")}},
        {"metadata": {1: "one", "1": "one"}},
        {"metadata": {"is": "\ud800"}},
        {"metadata": {"is": 10**400}},
        {"metadata": {"is": "x" * 256 * 1024}},
        {"anything": {1, 2}},
        {"anything": json.loads("[" * 70 + "]" * 70)},
        {"metadata": None},
        {"strategy_id": " momo"},
        {"timestamp": 1795512600.0},
        {"timestamp": "2026-11-24T09:30:00+00:00Z"},
        {"timestamp": "2026-13-24T09:30:00"},
        {"action": "BUY"},
        {"recommended_leverage": 10.0},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_what_the_gate_could_not_read_is_refused(changes: dict[str, object]) -> None:
    """One fault of each kind that JSON, or the gate, would stumble over."""
    assert len(faults(**changes)) == 1


@given(intents() | mutated())
def test_it_refuses_exactly_what_the_gate_would(fields: dict[str, Json]) -> None:
    """Over valid and mutated intents: what is completed is an intent to the gate, and what is refused would be none."""
    try:
        complete = completed(fields)
    except MalformedIntent:
        try:
            refused = not isinstance(read(dict(fields)), Intent)
        except (TypeError, ValueError):  # it cannot even be written
            refused = True
        assert refused
    else:
        assert isinstance(read(complete), Intent)


@given(st.text(max_size=200))
def test_the_token_is_the_gates(strategy_id: str) -> None:
    """The subject's last token is made as the signal's is."""
    assert subject_token(strategy_id) == wire.subject_token(strategy_id)
