"""The codec: bytes and headers to a `Receipt`, a decision to a signal body. Pure, total, never a coercion.

What is no JSON text (RFC 8259, UTF-8) is undecodable; what is JSON but no valid intent is `Malformed`, with
every fault.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from math import isinf
from typing import TYPE_CHECKING

from pydantic import ValidationError

from petrosa_cio.apps.nurse.models import Fault, Intent, Malformed, Receipt, Trace, iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from petrosa_cio.apps.nurse.models import Instant, Json

LARGEST_PAYLOAD = 256 * 1024
"""Larger payloads are quarantined unread: the fleet's intents are about 1 KiB, and a record must hold its input."""

DEEPEST = 64
"""Deeper nesting is quarantined undecoded: no producer needs it, and every later walk of the value stays cheap."""

MOST_FAULTS = 32
"""Faults named of one message; of more, the number is told. A record must stay smaller than a message may be."""

_SPACED_COLONS = (" :", "\t:", "\n:", "\r:")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?\Z", re.ASCII)
_TRACE_FIELDS = ("_otel_trace_context", "_otel_trace_headers")
_ORDER_SHAPE = ("order_id", "side")


class _NotJson(ValueError):
    """A construct that Python's parser accepts and RFC 8259 or plain caution does not."""


def _no_constant(name: str) -> float:
    msg = f"{name} is not JSON"
    raise _NotJson(msg)


LONGEST_TRACEPARENT = 256
"""Version 00 has 55 characters; a future version may append more, but not without end."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_WORST = 1 << 62
_PLAIN = json.JSONDecoder(parse_constant=_no_constant)


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        msg = f"number {text[:40]} is out of range"
        raise _NotJson(msg)
    return number


def _noting(repeated: list[str], pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated.extend(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return found


def _decode(text: str) -> tuple[Json, list[str]]:
    """Decode a JSON text, and name the fields that some object names twice (JSON, but which value is meant?).

    The plain decoder is several times as fast as one that looks at every object and number, so that one is used only
    where there may be something to find: an infinite number, or more key endings than distinct keys.
    """
    decoded: Json = _PLAIN.decode(text)
    # Without space before colons every key, repeated or not, ends in one `":`; text inside strings can only add.
    if text.count('":') == _finite_keys(decoded) and not any(colon in text for colon in _SPACED_COLONS):
        return decoded, []
    repeated: list[str] = []
    decoder = json.JSONDecoder(
        object_pairs_hook=partial(_noting, repeated), parse_constant=_no_constant, parse_float=_finite
    )
    return decoder.decode(text), repeated


def _finite_keys(item: Json) -> int:
    """How many keys the objects in ``item`` have, all told; below 0 where a number is not finite."""
    match item:
        case dict():
            found = len(item)
            children: Iterable[Json] = item.values()
        case list():
            found, children = 0, item
        case float() if isinf(item):
            return -_WORST
        case _:
            return 0
    for child in children:
        if isinstance(child, float):
            if isinf(child):
                return -_WORST
        elif isinstance(child, dict | list):
            found += _finite_keys(child)
    return found


def _too_deep(text: str) -> bool:
    """Whether ``text`` nests deeper than any producer needs; told before decoding, which would recurse."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            return True
    return False


def receive(
    sequence: int, subject: str, payload: bytes, headers: Mapping[str, str] | None, arrived_at: Instant
) -> Receipt:
    """Decode one message of the intent stream. Total: every payload gives a receipt."""
    carriers = headers or {}
    if len(payload) > LARGEST_PAYLOAD:
        problem = f"payload of {len(payload)} bytes is larger than {LARGEST_PAYLOAD}"
        return Receipt(sequence, subject, payload, arrived_at, None, undecodable=problem, trace=_trace(carriers, {}))
    try:
        text = payload.decode("utf-8")
        if _too_deep(text):
            problem = f"nested deeper than {DEEPEST} levels"
            return Receipt(
                sequence, subject, payload, arrived_at, None, undecodable=problem, trace=_trace(carriers, {})
            )
        decoded, repeated = _decode(text)
    except (UnicodeDecodeError, ValueError) as error:
        problem = str(error)[:200]
    else:
        fields = decoded if isinstance(decoded, dict) else {}
        trace = _trace(carriers, fields)
        body = _read(decoded, repeated)
        return Receipt(sequence, subject, payload, arrived_at, body, fields, trace=trace)
    return Receipt(sequence, subject, payload, arrived_at, None, undecodable=problem, trace=_trace(carriers, {}))


def _read(decoded: Json, repeated: list[str]) -> Intent | Malformed:
    if not isinstance(decoded, dict):
        return Malformed((Fault("$", f"must be a JSON object, got {_kind(decoded)}"),))
    faults = [Fault(_shown(name), "is named more than once") for name in repeated]
    intent: Intent | None = None
    try:
        intent = Intent.model_validate(decoded)
    except ValidationError as error:
        faults.extend(_faults_of(error))
    faults.extend(_missing_for_entry(decoded))
    return _malformed(tuple(faults), decoded) if faults or intent is None else intent


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case _:
            return "an array"


def _faults_of(error: ValidationError) -> Iterator[Fault]:
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(_shown(str(part)) for part in item["loc"]) or "$"
        yield Fault(where, item["msg"].removeprefix("Value error, "))


def _missing_for_entry(fields: Mapping[str, Json]) -> Iterator[Fault]:
    """What a buy or sell needs beyond the minimum, and the one foreign shape worth naming."""
    if "strategy_id" not in fields and "action" not in fields and all(name in fields for name in _ORDER_SHAPE):
        yield Fault("$", "is an order, not an intent")
    if fields.get("action") not in ("buy", "sell"):
        return
    if fields.get("confidence") is None:
        yield Fault("confidence", "is required for buy and sell")
    if fields.get("price") is None and fields.get("current_price") is None:
        yield Fault("price", "is required for buy and sell (price or current_price)")


def _malformed(faults: tuple[Fault, ...], fields: Mapping[str, Json]) -> Malformed:
    if len(faults) > MOST_FAULTS:
        faults = (*faults[:MOST_FAULTS], Fault("$", f"and {len(faults) - MOST_FAULTS} more faults"))
    return Malformed(faults, *(_glimpse(fields, name) for name in ("strategy_id", "symbol", "action", "intent_id")))


def _glimpse(fields: Mapping[str, Json], name: str) -> str | None:
    value = fields.get(name)
    return _shown(value) if isinstance(value, str) else None


def _shown(text: str) -> str:
    """``text`` cut to 128 characters and made safe to encode: a lone surrogate is written as its escape."""
    return text[:128].encode("utf-8", "backslashreplace").decode("utf-8")


def parse_traceparent(text: str) -> bool:
    """Whether ``text`` is a valid W3C ``traceparent`` (Trace Context, §3.2: version, ids not all zero, lower case)."""
    match = _TRACEPARENT.match(text) if len(text) <= LONGEST_TRACEPARENT else None
    if match is None:
        return False
    version, trace_id, parent_id, _, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return False
    return trace_id != "0" * 32 and parent_id != "0" * 16


def _trace(headers: Mapping[str, str], fields: Mapping[str, Json]) -> Trace:
    """The first valid carrier: header, then either body field. Invalid ones are dropped and counted.

    ``tracestate`` travels only with the ``traceparent`` it came with.
    """
    dropped = 0
    for carrier in _carriers(headers, fields):
        parent, state = carrier.get("traceparent"), carrier.get("tracestate")
        if parent is None:
            continue
        if isinstance(parent, str) and parse_traceparent(parent):
            return Trace(parent, state if isinstance(state, str) and _valid_state(state) else None, dropped)
        dropped += 1
    return Trace(dropped=dropped)


def _valid_state(state: str) -> bool:
    """Whether ``state`` may travel on: printable ASCII, at most 512 characters and 32 members (§3.3)."""
    return (
        0 < len(state) <= 512
        and state.isascii()
        and state.isprintable()
        and len([member for member in state.split(",") if member.strip()]) <= 32
    )


def _carriers(headers: Mapping[str, str], fields: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    # NATS header names keep their case; W3C says the name is case-insensitive, so both spellings are accepted.
    named = {name.lower(): value for name, value in headers.items() if name.lower() in ("traceparent", "tracestate")}
    yield dict(named)
    for name in _TRACE_FIELDS:
        carrier = fields.get(name)
        if isinstance(carrier, dict):
            yield carrier


def signal_body(receipt: Receipt, intent: Intent, decision_id: str, signal_id: str, quantity: float | None) -> bytes:
    """The body of the signal for an approved or reduced intent: the producer's fields, with what the engine requires.

    Every field of the producer travels untouched but these: ``source`` (the engine accepts no other), ``decision_id``
    and ``signal_id`` (unique), ``timestamp`` (always ISO text with an offset), ``metadata`` (added to), both trace
    fields (made to agree), and what is missing of ``strategy``, ``price``, ``current_price``, ``quantity`` and
    ``confidence``. A reduction sets ``quantity`` and clears the two sizes that would undo it.

    The text is plain ASCII JSON, so whatever the producer escaped stays escaped.
    """
    body = dict(receipt.fields)
    body["source"] = "petrosa-cio"
    body["decision_id"] = decision_id
    body["signal_id"] = signal_id
    body["strategy"] = intent.strategy or intent.strategy_id
    body["timestamp"] = _timestamp(receipt, intent)
    body["price"] = intent.price if intent.price is not None else intent.current_price
    body["current_price"] = intent.current_price if intent.current_price is not None else intent.price
    body["quantity"] = intent.quantity if intent.quantity is not None else 0.0
    body.setdefault("confidence", intent.confidence)
    body["metadata"] = _metadata(receipt, intent, decision_id)
    if quantity is not None:
        body["quantity"] = quantity
        body["position_size_pct"] = None
        body["quote_quantity"] = None
    carrier = _carrier(receipt.trace)
    for name in _TRACE_FIELDS:
        if carrier or name in body:
            body[name] = dict(carrier)
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")


def _carrier(trace: Trace) -> dict[str, Json]:
    if trace.traceparent is None:
        return {}
    carrier: dict[str, Json] = {"traceparent": trace.traceparent}
    if trace.tracestate is not None:
        carrier["tracestate"] = trace.tracestate
    return carrier


def trace_headers(trace: Trace) -> dict[str, str]:
    """The trace headers of an outgoing signal; no other header of the producer is copied."""
    return {name: str(value) for name, value in _carrier(trace).items()}


def _timestamp(receipt: Receipt, intent: Intent) -> str:
    given = receipt.fields.get("timestamp")
    if not isinstance(given, str) or intent.timestamp is None:
        return iso(receipt.arrived_at)
    aware = given.endswith("Z") or given[-6] in "+-"
    return given if aware else given + "+00:00"


def _metadata(receipt: Receipt, intent: Intent, decision_id: str) -> dict[str, Json]:
    """The producer's metadata, with what data-manager stores of a decision (fleet facts §9.3)."""
    metadata: dict[str, Json] = dict(intent.metadata)
    metadata["decision_id"] = decision_id
    metadata.setdefault("correlation_id", receipt.trace.trace_id or decision_id)
    metadata.setdefault("cio_justification", "no enforcing control objected")
    metadata.setdefault("thought_trace", "")
    if receipt.fields.get("signal_id") is not None:
        metadata.setdefault("producer_signal_id", receipt.fields["signal_id"])
    return metadata


_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def subject_token(strategy_id: str) -> str:
    """One safe NATS subject token for a strategy: letters, digits, ``_`` and ``-``; runs of others become ``_``."""
    return _UNSAFE.sub("_", strategy_id)[:64] or "_"
