"""The codec: what is an intent, what is malformed, what cannot be decoded; traces; and what leaves for the engine."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from builders import NO_SHARED, SHARED, START, TRACEPARENT, intent_fields, intent_of, malformed_of, receipt_of, without
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import content_of, decide
from petrosa_cio.apps.nurse.models import SECOND, Intent, Malformed, PromotedSignal, Side, Trace
from petrosa_cio.core.nats import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from petrosa_cio.apps.nurse.models import Json, Receipt

BAD = SHARED / "data" / "bad_inputs"
absent = pytest.param(None, marks=pytest.mark.skip(reason=NO_SHARED))

OTHER_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
THIRD_PARENT = "00-11111111111111112222222222222222-3333333333333333-00"
FUTURE_PARENT = "cc-12345678901234567890123456789012-1234567890123456-01"


def faulty(message: bytes | str | Mapping[str, Json]) -> set[str]:
    """Names of the faulty fields of a malformed message."""
    return {fault.field for fault in malformed_of(message).faults}


def raw(**tokens: str) -> str:
    """The text of the default intent with JSON ``tokens`` in place of, or beside, its own."""
    own = {name: json.dumps(value) for name, value in intent_fields().items()}
    return "{" + ",".join(f'"{name}":{token}' for name, token in {**own, **tokens}.items()) + "}"


# What the fleet sends


def fleet_samples() -> list[object]:
    path = SHARED / "design" / "sample_payloads.json"
    if not path.is_file():
        return [absent]
    samples = json.loads(path.read_text(encoding="utf-8"))
    return [
        pytest.param(sample, id=f"{producer}-{sample['strategy_id']}")
        for producer in ("ta_bot", "realtime_strategies")
        for sample in samples[producer]
    ]


@pytest.mark.parametrize("sample", fleet_samples())
def test_what_both_producers_send_is_an_intent(sample: dict[str, Json]) -> None:
    """Every sample made by the producers' own code is read, field by field, as it was sent."""
    intent = intent_of(sample)
    for name in ("strategy_id", "symbol", "action", "confidence", "price", "stop_loss", "take_profit", "metadata"):
        assert getattr(intent, name) == sample[name]


@pytest.mark.parametrize("sample", fleet_samples())
def test_what_both_producers_send_becomes_what_the_engine_accepts(sample: dict[str, Json]) -> None:
    """Every sample, promoted, satisfies the engine's contract (a ``hold`` is never promoted)."""
    receipt = receipt_of(sample)
    assert isinstance(receipt.body, Intent)
    if receipt.body.action != "hold":
        PromotedSignal.model_validate_json(wire.signal_body(receipt, receipt.body, "d", "s", None))


def test_the_minimal_entry_is_strategy_symbol_action_confidence_and_one_price() -> None:
    """Five fields make an entry; the rest has defaults, and a missing timestamp is no fault."""
    intent = intent_of({"strategy_id": "s", "symbol": "BTCUSDT", "action": "sell", "confidence": 1, "current_price": 5})
    assert (intent.side, intent.price, intent.current_price) == (Side.SHORT, None, 5)
    assert (intent.strategy_mode, intent.timeframe, intent.timestamp) == ("deterministic", "1h", None)


@pytest.mark.parametrize("action", ["close", "hold"])
def test_close_and_hold_need_no_confidence_and_no_price(action: str) -> None:
    """What adds no risk is complete with strategy, symbol and action."""
    intent = intent_of({"strategy_id": "s", "symbol": "BTCUSDT", "action": action})
    assert (intent.side, intent.adds_risk) == (None, False)


def test_unknown_fields_are_no_fault() -> None:
    """A field that no contract names is carried, not judged."""
    receipt = receipt_of(intent_fields(confidence_score=0.8, nested={"a": [1, None]}))
    assert isinstance(receipt.body, Intent)
    assert receipt.fields["nested"] == {"a": [1, None]}


# Pitfalls, by name


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
@pytest.mark.parametrize("field", ["price", "unknown_field"])
def test_no_number_is_not_a_number(token: str, field: str) -> None:
    """NaN, infinities and numbers beyond every float are no JSON here, in any field: undecodable, not malformed."""
    receipt = receipt_of(raw(**{field: token}))
    assert receipt.body is None
    assert receipt.undecodable is not None
    assert token.lstrip("-") in receipt.undecodable


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("price", -1.0, id="negative price"),
        pytest.param("price", 0, id="zero price"),
        pytest.param("price", -0.0, id="negative zero price"),
        pytest.param("current_price", 0.0, id="zero current price"),
        pytest.param("stop_loss", -5.0, id="negative stop"),
        pytest.param("quantity", -0.001, id="negative quantity"),
        pytest.param("confidence", 1.01, id="confidence above one"),
        pytest.param("confidence", -0.01, id="confidence below zero"),
        pytest.param("confidence", 80, id="confidence in percent"),
        pytest.param("action", "BUY", id="action in upper case"),
        pytest.param("action", "Buy", id="action capitalised"),
        pytest.param("action", "long", id="action of another dialect"),
        pytest.param("symbol", "btcusdt", id="symbol in lower case"),
        pytest.param("symbol", "BTC USDT", id="symbol with a space"),
        pytest.param("symbol", "BT", id="symbol too short"),
        pytest.param("symbol", "BTC\nUSDT", id="symbol with a line break"),
        pytest.param("strategy_id", "", id="empty strategy"),
        pytest.param("strategy_id", " momo", id="strategy with leading space"),
        pytest.param("strategy_id", "m\x00mo", id="strategy with NUL"),
        pytest.param("strategy_id", "m" * 129, id="strategy too long"),
        pytest.param("strategy_id", "\ud800", id="strategy with a lone surrogate"),
        pytest.param("strategy_id", None, id="null strategy"),
        pytest.param("timestamp", 1_795_512_600, id="epoch seconds"),
        pytest.param("timestamp", 1_795_512_600.5, id="epoch seconds as a float"),
        pytest.param("timestamp", "1795512600", id="epoch seconds as text"),
        pytest.param("timestamp", True, id="boolean timestamp"),
        pytest.param("timestamp", "2026-11-24T09:30:00+00:00Z", id="offset and Z together"),
        pytest.param("timestamp", "2026-11-24", id="a date alone"),
        pytest.param("timestamp", "2026-02-30T00:00:00Z", id="a day that does not exist"),
        pytest.param("timestamp", "2026-11-24T09:30:00\n", id="timestamp with a line break"),
        pytest.param("timestamp", "２026-11-24T09:30:00", id="timestamp in other digits"),
        pytest.param("timestamp", "", id="empty timestamp"),
        pytest.param("price", True, id="boolean price"),
        pytest.param("confidence", True, id="boolean confidence"),
        pytest.param("quantity", False, id="boolean quantity"),
        pytest.param("price", "100.0", id="price as text"),
        pytest.param("quantity", "1", id="quantity as text"),
        pytest.param("price", [100.0], id="price in a list"),
        pytest.param("price", 10**400, id="an integer beyond every float"),
        pytest.param("price", 1.000001e12, id="price beyond every market"),
        pytest.param("price", 0.99e-12, id="price below every market"),
        pytest.param("stop_loss", 1e308, id="stop beyond every market"),
        pytest.param("quantity", 1.000001e15, id="quantity beyond every market"),
        pytest.param("order_type", None, id="null order type"),
        pytest.param("order_type", "MARKET", id="order type in upper case"),
        pytest.param("metadata", None, id="null metadata"),
        pytest.param("metadata", [], id="metadata that is no object"),
        pytest.param("strategy_mode", "magic", id="unknown strategy mode"),
        pytest.param("intent_id", 7, id="number as id"),
        pytest.param("recommended_leverage", 1.5, id="leverage that is no whole number"),
    ],
)
def test_a_wrong_value_is_named_and_never_corrected(field: str, value: Json) -> None:
    """One wrong field makes the message malformed, and exactly that field is named."""
    assert faulty(intent_fields(**{field: value})) == {field}


@pytest.mark.parametrize(("field", "value"), [("price", 1e12), ("price", 1e-12), ("quantity", 1e15), ("quantity", 0)])
def test_numbers_at_their_bounds_are_accepted(field: str, value: float) -> None:
    """Bounds are inclusive, and far outside every market."""
    assert getattr(intent_of(intent_fields(**{field: value})), field) == value


@pytest.mark.parametrize("field", ["strategy_id", "symbol", "action", "confidence", "price"])
@pytest.mark.parametrize("missing", ["absent", "null"])
def test_an_entry_without_a_required_field_names_it(field: str, missing: str) -> None:
    """Strategy, symbol, action, and for an entry confidence and a price, cannot be absent or null."""
    fields = without(intent_fields(), field) if missing == "absent" else intent_fields(**{field: None})
    assert faulty(fields) == {field}


def test_every_fault_is_named_at_once() -> None:
    """A producer learns of all its faults from one answer."""
    fields = intent_fields(symbol="btcusdt", action="BUY", price=-1, confidence="high", timestamp=0, metadata=None)
    assert faulty(without(fields, "strategy_id")) == {
        *("strategy_id", "symbol", "action", "price", "confidence", "timestamp", "metadata"),
    }


def test_a_field_named_twice_is_malformed_even_with_equal_values() -> None:
    """Of two prices nobody knows which is meant; the field is named, wherever in the message it is."""
    assert faulty(raw()[:-1] + ',"price":100.0}') == {"price"}
    assert faulty(raw(metadata='{"a":{"b":1,"b":1}}')) == {"b"}


def test_a_field_named_twice_is_named_beside_the_other_faults() -> None:
    """Repeated names hide no other fault."""
    assert faulty(raw(action='"BUY"')[:-1] + ',"price":100.0}') == {"price", "action"}


def test_an_order_on_the_intent_subject_is_recognised() -> None:
    """The order shape of the real-time service is refused as what it is, not only for its missing fields."""
    order = {
        "order_id": "1",
        "symbol": "BTCUSDT",
        "side": "BUY",
        "order_type": "MARKET",
        "quantity": 0.001,
        "time_in_force": "GTC",
        "position_type": "LONG",
        "strategy_name": "x",
        "confidence_score": 0.8,
        "metadata": {},
    }
    assert "is an order, not an intent" in {fault.problem for fault in malformed_of(order).faults}
    assert {"strategy_id", "action"} <= faulty(order)


def test_an_intent_with_a_side_is_not_taken_for_an_order() -> None:
    """A ``side`` beside a proper action is just an unknown field."""
    assert intent_of(intent_fields(side="SELL", order_id="1")).action == "buy"


@pytest.mark.parametrize(
    ("text", "kind"),
    [("null", "null"), ("true", "a boolean"), ("1", "a number"), ('"buy"', "a string"), ("[]", "an array")],
)
def test_json_that_is_no_object_is_malformed(text: str, kind: str) -> None:
    """It decodes, so it is not quarantined; it has no fields, so the whole is at fault."""
    (fault,) = malformed_of(text).faults
    assert (fault.field, fault.problem) == ("$", f"must be a JSON object, got {kind}")


def test_nesting_is_accepted_to_64_levels_and_not_beyond() -> None:
    """The message itself is the first level: 63 arrays in a field pass, 64 are quarantined undecoded."""
    assert isinstance(receipt_of(raw(x="[" * 63 + "]" * 63)).body, Intent)
    assert receipt_of(raw(x="[" * 64 + "]" * 64)).undecodable == "nested deeper than 64 levels"


def test_only_nesting_counts_as_depth() -> None:
    """Many brackets side by side, or inside texts however escaped, are no depth."""
    assert isinstance(receipt_of(raw(x="[" + "[]," * 500 + "[]]")).body, Intent)
    assert isinstance(receipt_of(raw(x=json.dumps('"' + "[{" * 500))).body, Intent)


def test_a_payload_of_256_kib_is_read_and_a_larger_one_is_not() -> None:
    """At the limit it is an intent; one byte more and it is quarantined unread."""
    room = wire.LARGEST_PAYLOAD - len(raw(x='""'))
    assert isinstance(receipt_of(raw(x=f'"{"a" * room}"')).body, Intent)
    assert "larger than 262144" in str(receipt_of(raw(x=f'"{"a" * (room + 1)}"')).undecodable)


def test_what_could_be_read_of_a_malformed_message_is_kept_for_the_record() -> None:
    """Ids and names are shown where they are text, cut to 128 characters; anything else is not."""
    body = malformed_of({"strategy_id": "s" * 500, "symbol": 5, "action": "BUY", "intent_id": "i-1"})
    assert (body.strategy_id, body.symbol, body.action, body.intent_id) == ("s" * 128, None, "BUY", "i-1")


# Known bad inputs


def suite_files() -> list[object]:
    path = BAD / "json_parsing_suite.zip"
    if not path.is_file():
        return [absent]
    with zipfile.ZipFile(path) as suite:
        return [
            pytest.param((info.filename, suite.read(info)), id=info.filename.split("/")[1]) for info in suite.filelist
        ]


@pytest.mark.parametrize("file", suite_files())
def test_the_json_parsing_suite(file: tuple[str, bytes]) -> None:
    """``y_`` is decoded, ``n_`` is not, the others are either; nothing raises, and nothing is both."""
    name, content = file
    receipt = receipt_of(content)
    assert (receipt.undecodable is None) == (receipt.body is not None)
    match name.split("/")[1][:2]:
        case "y_":
            assert receipt.undecodable is None
        case "n_":
            assert receipt.body is None


TEXT_FIELDS = (
    *("strategy_id", "symbol", "action", "timestamp", "intent_id", "id", "signal_id", "strategy", "source"),
    *("strategy_mode", "timeframe", "order_type", "client_order_id", "llm_reasoning", "rationale", "unknown_field"),
)


@pytest.fixture(scope="module")
def naughty() -> list[str]:
    path = BAD / "naughty_strings.json"
    if not path.is_file():
        pytest.skip(NO_SHARED)
    strings = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(strings, list)
    return strings


def recorded(receipt: Receipt) -> dict[str, Json]:
    """The decision on ``receipt``, written to the ledger's form and read back."""
    return record.decode(record.encode(content_of(decide("main", receipt, Book(SECOND), None, START))))


@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_naughty_strings_as_a_field(naughty: list[str], field: str) -> None:
    """In any text field: taken to the letter, or that field named; recordable either way, and safe to send on."""
    for text in naughty:
        receipt = receipt_of(intent_fields(**{field: text}))
        assert recorded(receipt)["payload"] == receipt.payload.decode()
        if isinstance(receipt.body, Malformed):
            assert {fault.field for fault in receipt.body.faults} == {field}
            continue
        assert isinstance(receipt.body, Intent)
        body = wire.signal_body(receipt, receipt.body, "d", "s", None)
        PromotedSignal.model_validate_json(body)
        sent = json.loads(body)
        rewritten = {"source": "petrosa-cio", "signal_id": "s", "strategy": text or "momo"}
        assert sent[field] == rewritten.get(field, text)


def test_naughty_strings_as_the_payload(naughty: list[str]) -> None:
    """As a whole payload none is an intent, none raises, and each is recorded."""
    for text in naughty:
        receipt = receipt_of(text.encode())
        assert not isinstance(receipt.body, Intent)
        assert (receipt.undecodable is None) == (receipt.body is not None)
        assert recorded(receipt)["verdict"] == ("quarantined" if receipt.body is None else "blocked")


# Trace context


def w3c_cases() -> list[object]:
    """Cases that one header mapping can carry: no name twice, and headers given rather than computed."""
    path = BAD / "w3c_trace_context_cases.jsonl"
    if not path.is_file():
        return [absent]
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    carried = [row for row in rows if row["headers"] is not None and len(dict(row["headers"])) == len(row["headers"])]
    return [pytest.param(row, id=f"{number}-{row['test'].removeprefix('test_')}") for number, row in enumerate(carried)]


INVALID_PARENT = {
    "test_traceparent_header_name",
    "test_traceparent_version_0x00",
    "test_traceparent_version_0xff",
    "test_traceparent_version_illegal_characters",
    "test_traceparent_version_too_long",
    "test_traceparent_version_too_short",
    "test_traceparent_trace_id_all_zero",
    "test_traceparent_trace_id_illegal_characters",
    "test_traceparent_trace_id_too_long",
    "test_traceparent_trace_id_too_short",
    "test_traceparent_parent_id_all_zero",
    "test_traceparent_parent_id_illegal_characters",
    "test_traceparent_parent_id_too_long",
    "test_traceparent_parent_id_too_short",
    "test_traceparent_trace_flags_illegal_characters",
    "test_traceparent_trace_flags_too_long",
    "test_traceparent_trace_flags_too_short",
    "test_multiple_requests_with_illegal_traceparent",
    "test_multiple_requests_without_traceparent",
    "test_both_traceparent_and_tracestate_missing",
    "test_tracestate_included_traceparent_missing",
}
"""Tests of the W3C suite whose docstring demands a new trace: nothing of the old one may be kept."""


@pytest.mark.parametrize("case", w3c_cases())
def test_the_w3c_trace_context_suite(case: dict[str, list[list[str]]]) -> None:
    """An invalid parent is ignored with its state; a valid one is kept to the letter, whatever the header's case."""
    headers = {name: value.strip() for name, value in case["headers"]}  # as the NATS client delivers them
    trace = receipt_of("{}", headers=headers).trace
    lowered = {name.lower(): value for name, value in headers.items()}
    tail = lowered.get("traceparent", "")[55:56]
    if case["test"] in INVALID_PARENT or tail == ".":
        assert (trace.traceparent, trace.tracestate) == (None, None)
    else:
        assert trace.traceparent == lowered["traceparent"]


def test_a_valid_state_is_kept_and_an_empty_one_is_not() -> None:
    """The state is opaque: kept to the letter, dropped where it is empty."""
    assert receipt_of("{}", headers={"TraceParent": TRACEPARENT, "TRACESTATE": "foo=1,bar=2"}).trace == Trace(
        TRACEPARENT, "foo=1,bar=2"
    )
    assert receipt_of("{}", headers={"traceparent": TRACEPARENT, "tracestate": ""}).trace == Trace(TRACEPARENT, None)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (",".join(f"k{i}=1" for i in range(32)), True),
        (",".join(f"k{i}=1" for i in range(33)), False),
        ("a=" + "x" * 510, True),
        ("a=" + "x" * 511, False),
        ("a=é", False),
        ("a=1\r\nNats-Msg-Id: 1", False),
    ],
)
def test_a_state_beyond_its_bounds_is_dropped_alone(state: str, kept: bool) -> None:
    """At most 512 printable ASCII characters in 32 members; otherwise the parent travels without it."""
    trace = receipt_of("{}", headers={"traceparent": TRACEPARENT, "tracestate": state}).trace
    assert (trace.traceparent, trace.tracestate) == (TRACEPARENT, state if kept else None)


def carriers(*parents: Json) -> tuple[dict[str, str], dict[str, Json]]:
    """Headers and body with the given parents in the header, the first body field and the second."""
    header, first, second = parents
    headers = {} if header is None else {"traceparent": str(header), "tracestate": "from=header"}
    body: dict[str, Json] = {}
    if first is not None:
        body["_otel_trace_context"] = {"traceparent": first, "tracestate": "from=context"}
    if second is not None:
        body["_otel_trace_headers"] = {"traceparent": second, "tracestate": "from=headers"}
    return headers, intent_fields(**body)


@pytest.mark.parametrize(
    ("parents", "kept", "state", "dropped"),
    [
        ((TRACEPARENT, OTHER_PARENT, THIRD_PARENT), TRACEPARENT, "from=header", 0),
        ((None, OTHER_PARENT, THIRD_PARENT), OTHER_PARENT, "from=context", 0),
        ((None, None, THIRD_PARENT), THIRD_PARENT, "from=headers", 0),
        (("nonsense", OTHER_PARENT, THIRD_PARENT), OTHER_PARENT, "from=context", 1),
        (("nonsense", 5, THIRD_PARENT), THIRD_PARENT, "from=headers", 2),
        (("nonsense", "00-x", {}), None, None, 3),
        ((None, None, None), None, None, 0),
    ],
)
def test_the_header_goes_before_the_body_fields(
    parents: tuple[Json, ...], kept: str | None, state: str | None, dropped: int
) -> None:
    """Header, then ``_otel_trace_context``, then ``_otel_trace_headers``; each state stays with its own parent."""
    headers, fields = carriers(*parents)
    assert receipt_of(fields, headers=headers).trace == Trace(kept, state, dropped)


def test_a_state_does_not_wander_to_another_parent() -> None:
    """A state in the header with a parent in the body is nobody's: it is left behind."""
    fields = intent_fields(_otel_trace_context={"traceparent": TRACEPARENT})
    assert receipt_of(fields, headers={"tracestate": "a=1"}).trace == Trace(TRACEPARENT, None)


@pytest.mark.parametrize("carrier", [None, "text", [], 5, {"traceparent": None}, {}])
def test_a_trace_field_of_any_shape_is_no_fault(carrier: Json) -> None:
    """A broken trace never costs an intent."""
    receipt = receipt_of(intent_fields(_otel_trace_context=carrier))
    assert isinstance(receipt.body, Intent)
    assert receipt.trace == Trace()


# What leaves


def sent(
    fields: Mapping[str, Json], quantity: float | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Json]:
    """The decoded signal of ``fields``, checked against the engine's contract on the way."""
    receipt = receipt_of(fields, headers=headers)
    assert isinstance(receipt.body, Intent), receipt.body
    body = wire.signal_body(receipt, receipt.body, "decision-1", "signal-1", quantity)
    assert body.isascii()
    found = json.loads(body)
    PromotedSignal.model_validate(found)
    assert isinstance(found, dict)
    return found


def test_a_signal_has_our_source_and_ids() -> None:
    """Whatever the producer wrote there: the engine accepts one source, and each decision and signal has its own id."""
    signal = sent(intent_fields(source="ta_bot", decision_id="theirs", signal_id="theirs"))
    assert (signal["source"], signal["decision_id"], signal["signal_id"]) == ("petrosa-cio", "decision-1", "signal-1")


def test_fields_of_the_producer_travel_untouched() -> None:
    """Unknown, nested, null, non-ASCII and odd values arrive at the engine as they were sent."""
    own = {
        "confidence_score": 0.8,
        "nested": {"a": [1, None, {"b": -0.0}]},
        "né": "日本\u202e\U0001f600",
        "lone": "\ud800",
        "big": 10**30,
        "nothing": None,
        "stop_loss": 99.5,
        "position_size_pct": 0.05,
        "meta": {"simulate": True},
    }
    signal = sent(intent_fields(**own))
    assert {name: signal[name] for name in own} == own


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-24T09:30:00+00:00", "2026-11-24T09:30:00+00:00"),
        ("2026-11-24T09:30:00.123456Z", "2026-11-24T09:30:00.123456Z"),
        ("2026-11-24T04:30:00-05:00", "2026-11-24T04:30:00-05:00"),
        ("2026-11-24T09:30:00", "2026-11-24T09:30:00+00:00"),
        ("2026-11-24 09:30:00.5", "2026-11-24 09:30:00.5+00:00"),
        (None, "2026-11-24T09:30:00.000000+00:00"),
    ],
)
def test_a_timestamp_leaves_as_text_with_an_offset(given: str | None, expected: str) -> None:
    """Kept to the letter where it has an offset; UTC is said where it was meant; arrival where there was none."""
    assert sent(intent_fields(timestamp=given))["timestamp"] == expected


def test_an_absent_timestamp_leaves_as_the_arrival() -> None:
    """The engine always gets a time it can judge."""
    assert sent(without(intent_fields(), "timestamp"))["timestamp"] == "2026-11-24T09:30:00.000000+00:00"


def test_metadata_is_added_to_and_not_replaced() -> None:
    """The producer's entries stay; the decision's id is ours, the rest only where the producer said nothing."""
    given = {"rsi": 58.2, "nested": {"a": 1}, "decision_id": "theirs", "thought_trace": "theirs"}
    metadata = sent(intent_fields(metadata=given, signal_id="theirs"))["metadata"]
    assert metadata == {
        "rsi": 58.2,
        "nested": {"a": 1},
        "decision_id": "decision-1",
        "thought_trace": "theirs",
        "correlation_id": "decision-1",
        "cio_justification": "no enforcing control objected",
        "producer_signal_id": "theirs",
    }


def test_the_trace_id_is_the_correlation_id() -> None:
    """Where there is a trace, data-manager can join on it."""
    metadata = sent(intent_fields(), headers={"traceparent": TRACEPARENT})["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["correlation_id"] == TRACEPARENT[3:35]


def test_both_trace_fields_agree() -> None:
    """Whichever carrier won is written to both body fields and to the headers, and to nothing else."""
    headers, fields = carriers(TRACEPARENT, OTHER_PARENT, THIRD_PARENT)
    signal = sent(fields, headers={**headers, "Nats-Msg-Id": "1", "X-Own": "2"})
    carrier = {"traceparent": TRACEPARENT, "tracestate": "from=header"}
    assert signal["_otel_trace_context"] == signal["_otel_trace_headers"] == carrier
    assert wire.trace_headers(receipt_of(fields, headers={**headers, "Nats-Msg-Id": "1"}).trace) == carrier


def test_without_a_valid_trace_none_is_invented() -> None:
    """A broken carrier is emptied, an absent one stays absent, and no header is sent."""
    signal = sent(intent_fields(_otel_trace_context={"traceparent": "nonsense", "tracestate": "a=1"}))
    assert signal["_otel_trace_context"] == {}
    assert "_otel_trace_headers" not in signal
    assert wire.trace_headers(Trace()) == {}


def test_what_the_engine_requires_is_filled_in() -> None:
    """Strategy from its id, each price from the other, quantity 0.0 (the engine then sends its minimum)."""
    signal = sent(without(intent_fields(current_price=99.5, strategy=None), "price", "quantity"))
    assert (signal["strategy"], signal["price"]) == ("momo", 99.5)
    assert (signal["current_price"], signal["quantity"]) == (99.5, 0.0)


def test_what_the_producer_gave_is_not_filled_in_anew() -> None:
    """Two different prices and a strategy name of its own stay apart."""
    signal = sent(intent_fields(current_price=99.5, strategy="Momentum"))
    assert (signal["strategy"], signal["price"]) == ("Momentum", 100.0)
    assert (signal["current_price"], signal["quantity"]) == (99.5, 1.0)


def test_a_close_leaves_with_nulls_for_what_it_has_not() -> None:
    """The engine requires the keys; a close has no confidence and may have no price."""
    signal = sent({"strategy_id": "s", "symbol": "BTCUSDT", "action": "close"})
    assert (signal["confidence"], signal["price"], signal["quantity"]) == (None, None, 0.0)


def test_a_reduction_sets_the_quantity_and_clears_what_would_undo_it() -> None:
    """The engine prefers a percentage and a quote amount; both go, present or not."""
    signal = sent(intent_fields(position_size_pct=0.1, quote_quantity=500.0), 0.25)
    assert (signal["quantity"], signal["position_size_pct"], signal["quote_quantity"]) == (0.25, None, None)
    assert sent(intent_fields(), 0.25)["position_size_pct"] is None


def test_an_unreduced_intent_keeps_its_sizes() -> None:
    """An approval changes no size."""
    signal = sent(intent_fields(position_size_pct=0.1, quote_quantity=500.0))
    assert (signal["quantity"], signal["position_size_pct"], signal["quote_quantity"]) == (1.0, 0.1, 500.0)


@pytest.mark.parametrize(
    ("strategy_id", "token"),
    [
        ("momentum_pulse", "momentum_pulse"),
        ("Spread Liquidity Monitor", "Spread_Liquidity_Monitor"),
        ("a.b>c*d", "a_b_c_d"),
        ("...", "_"),
        ("日本", "_"),
        ("", "_"),
        ("x" * 65, "x" * 64),
        ("a-b\r\nPUB x 1", "a-b_PUB_x_1"),
    ],
)
def test_a_strategy_becomes_one_safe_subject_token(strategy_id: str, token: str) -> None:
    """Letters, digits, underscore and hyphen stay; each run of anything else becomes one underscore; 64 at most."""
    assert wire.subject_token(strategy_id) == token


# What no payload may do to the gate


def at_depth(frames: int, act: Callable[[], Receipt]) -> Receipt:
    """What ``act`` returns when called with so many more frames on the stack."""
    return act() if frames == 0 else at_depth(frames - 1, act)


def kinds(receipts: Iterable[Receipt]) -> set[str]:
    """Whether receipts are intents, malformed or undecodable."""
    return {type(receipt.body).__name__ for receipt in receipts}


def test_one_payload_has_one_answer_however_deep_the_caller() -> None:
    """The same bytes have the same answer in the gate and when judged again from a deeper stack."""
    payload = "[" * 400 + "]" * 400
    assert len(kinds(at_depth(frames, lambda: receipt_of(payload)) for frames in (0, 300, 600, 800))) == 1


@pytest.mark.parametrize(
    "tail",
    ["-\ud800", "-\r", "-é", "-\u2028", "-" + "a" * 1000],
    ids=["surrogate", "return", "accent", "separator", "long"],
)
def test_a_traceparent_is_short_printable_ascii(tail: str) -> None:
    """What follows the flags of a later version goes into headers and records, so it is bounded like the rest."""
    receipt = receipt_of(intent_fields(_otel_trace_context={"traceparent": FUTURE_PARENT + tail}))
    assert receipt.trace == Trace(dropped=1)


def test_a_decision_with_any_trace_can_be_recorded() -> None:
    """No producer's trace keeps a decision out of the ledger."""
    receipt = receipt_of(intent_fields(_otel_trace_context={"traceparent": FUTURE_PARENT + "-\ud800"}))
    assert recorded(receipt)["verdict"] == "blocked"


def test_the_record_of_the_worst_payload_fits_a_message() -> None:
    """A payload has at most 256 KiB and a NATS message 1 MiB, so no record may be four times its payload."""
    names = [f'"{number:x}":1' for number in range(0x100, 0x1000)]
    payload = ("{" + ",".join(names + names) + "}").encode()
    content = content_of(decide("main", receipt_of(payload), Book(SECOND), None, START))
    assert len(record.encode(content)) < 4 * len(payload)


def test_repeated_names_are_counted_in_linear_time() -> None:
    """One message cannot stall the gate: each repeated name is compared a few times, not with all others."""
    compared = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [Name(number) for number in range(200)]
    repeated: list[str] = []
    wire._noting(repeated, [(name, 1) for name in names + names])
    assert len(repeated) == 200
    assert compared < 40 * len(names)


def test_of_very_many_faults_the_first_are_named_and_the_rest_is_counted() -> None:
    """Forty names twice each: thirty-two are named, in order of appearance, and it is said that there are more."""
    names = [f'"n{number}":1' for number in range(40)]
    faults = malformed_of("{" + ",".join(names + names) + "}").faults
    assert [fault.field for fault in faults[:32]] == [f"n{number}" for number in range(32)]
    missing = 3  # strategy_id, symbol, action
    assert (faults[32].field, faults[32].problem) == ("$", f"and {40 + missing - 32} more faults")
    assert len(faults) == 33


@pytest.mark.parametrize("text", ["1e400", "-1e400"])
def test_an_infinite_number_alone_is_undecodable_too(text: str) -> None:
    """Outside objects and arrays the rule is the same."""
    assert receipt_of(text).undecodable is not None
