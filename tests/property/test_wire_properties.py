"""The codec, for every input: total, one answer each, and a round trip that changes only what it says it changes."""

from __future__ import annotations

import json

from hypothesis import assume, example, given
from hypothesis import strategies as st

from builders import START, intents, json_values, mutated, receipt_of, without
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import content_of, decide
from petrosa_cio.apps.nurse.models import SECOND, Intent, Malformed, PromotedSignal, Receipt
from petrosa_cio.core.nats import wire

TRACES = ("_otel_trace_context", "_otel_trace_headers")
REWRITTEN = (
    "source",
    "strategy",
    "signal_id",
    "decision_id",
    "timestamp",
    "price",
    "current_price",
    "quantity",
    "confidence",
    "metadata",
    *TRACES,
)

ADDED = ("decision_id", "correlation_id", "cio_justification", "thought_trace", "producer_signal_id")
"""What the codec adds to ``metadata``."""


def has_one_answer(receipt: Receipt) -> bool:
    """Exactly one of: an intent, malformed with a fault, undecodable with a problem."""
    intent = isinstance(receipt.body, Intent)
    malformed = isinstance(receipt.body, Malformed) and bool(receipt.body.faults)
    undecodable = receipt.body is None and bool(receipt.undecodable)
    consistent = (receipt.undecodable is None) == (receipt.body is not None)
    return consistent and [intent, malformed, undecodable].count(True) == 1


def recorded(receipt: Receipt) -> dict[str, object]:
    """The decision on ``receipt``, without a policy, written and read back."""
    return dict(record.decode(record.encode(content_of(decide("main", receipt, Book(SECOND), None, START)))))


@given(st.binary() | st.text().map(str.encode))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":1e400}')
@example(b'"\\ud800"')
@example(b"1" * 5000)
def test_every_payload_has_exactly_one_answer_and_a_record(payload: bytes) -> None:
    """Any bytes: an intent, malformed, or undecodable; never two of them, never an exception; and recordable."""
    receipt = receipt_of(payload)
    assert has_one_answer(receipt)
    assert receipt.payload == payload
    assert recorded(receipt)["sequence"] == 1


@given(json_values | mutated())
def test_every_json_text_decodes_and_has_a_record(value: object) -> None:
    """Any JSON text is decodable: it is an intent or malformed, and the decision on it can be written and read back."""
    receipt = receipt_of(json.dumps(value).encode())
    assert receipt.undecodable is None
    assert has_one_answer(receipt)
    assert recorded(receipt)["payload"] == json.dumps(value)


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "TraceParent", "Nats-Msg-Id"]), st.text()))
def test_every_header_mapping_gives_a_receipt(headers: dict[str, str]) -> None:
    """No header can make a message unreadable, and what is kept of a trace is valid."""
    receipt = receipt_of(b"{}", headers=headers)
    assert has_one_answer(receipt)
    assert receipt.trace.traceparent is None or wire.parse_traceparent(receipt.trace.traceparent)
    assert receipt.trace.traceparent is not None or receipt.trace.tracestate is None


@given(intents())
def test_a_valid_intent_is_read_as_one(fields: dict[str, object]) -> None:
    """Each field of a valid intent is read as it was sent: no coercion, no correction."""
    body = receipt_of(fields).body
    assert isinstance(body, Intent), body
    read = body.model_dump()
    for name in (name for name in Intent.model_fields if name in fields and name != "timestamp"):
        assert read[name] == fields[name]


def promoted(fields: dict[str, object], quantity: float | None = None) -> tuple[Intent, bytes]:
    """The intent that ``fields`` are, and the body of its signal."""
    receipt = receipt_of(fields)
    assume(fields["action"] != "hold")
    assert isinstance(receipt.body, Intent)
    return receipt.body, wire.signal_body(receipt, receipt.body, "d" * 32, "s-1", quantity)


@given(intents())
def test_a_signal_is_its_intent_but_for_the_rewritten_fields(fields: dict[str, object]) -> None:
    """Decoding a signal's body gives the intent again, equal in every field that the codec does not say it rewrites."""
    intent, body = promoted(fields)
    again = receipt_of(body).body
    assert isinstance(again, Intent), again
    assert without(again.model_dump(), *REWRITTEN) == without(intent.model_dump(), *REWRITTEN)
    assert again.confidence == intent.confidence
    assert again.timestamp == (START if intent.timestamp is None else intent.timestamp)
    assert without(again.metadata, *ADDED) == without(intent.metadata, *ADDED)
    assert again.price in (intent.price, intent.current_price)
    assert again.current_price in (intent.price, intent.current_price)
    assert again.quantity == (intent.quantity or 0)


@given(intents())
def test_fields_that_are_not_rewritten_travel_untouched(fields: dict[str, object]) -> None:
    """Every field of the producer's object outside the rewritten ones is in the signal with the same value."""
    _, body = promoted(fields)
    sent = json.loads(body)
    assert without(sent, *REWRITTEN) == without(fields, *REWRITTEN)


@given(intents(), st.none() | st.floats(1e-8, 1e6))
def test_every_signal_is_what_the_engine_accepts(fields: dict[str, object], quantity: float | None) -> None:
    """Whatever is promoted validates against the engine's contract and is ASCII JSON; reduced or not."""
    _, body = promoted(fields, quantity)
    assert body.isascii()
    signal = PromotedSignal.model_validate_json(body)
    assert signal.quantity == (quantity if quantity is not None else fields.get("quantity") or 0)


@given(intents())
def test_encoding_a_signal_is_a_pure_function(fields: dict[str, object]) -> None:
    """The same receipt and decision give the same bytes, and the receipt is left as it was."""
    receipt = receipt_of(fields)
    assume(fields["action"] != "hold")
    assert isinstance(receipt.body, Intent)
    before = json.dumps(receipt.fields)
    bodies = {wire.signal_body(receipt, receipt.body, "d", "s", None) for _ in range(2)}
    assert len(bodies) == 1
    assert json.dumps(receipt.fields) == before


@given(st.text())
def test_every_strategy_has_a_safe_subject_token(strategy_id: str) -> None:
    """A token is never empty, never longer than 64, and has only letters, digits, underscore and hyphen."""
    token = wire.subject_token(strategy_id)
    assert 1 <= len(token) <= 64
    assert token.isascii()
    assert token.replace("_", "a").replace("-", "a").isalnum()


awkward_names = st.sampled_from(["a", "b", 'a":', '":', "\\", ":", " :", ""]) | st.text(max_size=3)
awkward_values = json_values | st.sampled_from(['x":y', '{"a":1,"a":2}', "\\", ' : "'])


@given(
    st.lists(st.tuples(awkward_names, awkward_values), max_size=6),
    st.sampled_from([":", ": ", " :", "\n:\t", "\t:"]),
)
def test_a_repeated_name_is_always_found_and_never_imagined(pairs: list[tuple[str, object]], colon: str) -> None:
    """However the object is spaced and whatever its texts hold: the names said to be repeated are those that are."""
    text = "{" + ",".join(json.dumps(name) + colon + json.dumps(value) for name, value in pairs) + "}"
    body = receipt_of(text).body
    assert isinstance(body, Malformed)
    named = [name for name, _ in pairs]
    repeated = {name.encode("utf-8", "backslashreplace").decode() for name in named if named.count(name) > 1}
    assert {fault.field for fault in body.faults if fault.problem == "is named more than once"} == repeated


@given(json_values, st.sampled_from(["1e400", "-1e999", "NaN", "Infinity"]), st.integers(0, 5))
def test_a_number_that_is_none_is_always_found(beside: object, token: str, depth: int) -> None:
    """At any depth of an object or array, beside anything: the payload is undecodable."""
    text = f'[{json.dumps(beside)},{{"x":{token}}}]'
    for _ in range(depth):
        text = f'{{"a":{text}}}'
    assert receipt_of(text).undecodable is not None
