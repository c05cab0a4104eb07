"""For strategies: is governance active, and here is an intent. It depends on nothing of the rest but `errors`.

::

    async with Governance("nats://127.0.0.1:4222") as governance:
        if await governance.active():
            await governance.submit({"strategy_id": "momentum", "symbol": "BTCUSDT", "action": "close"})

What it does is plain NATS, and ``docs/client.md`` says it in such words: any language can do the same. It knows nothing
of the policy. What the gate would refuse as malformed is raised here, before it is sent.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Self

import nats
import nats.errors
import nats.js.errors

from petrosa_cio.errors import BusError, MalformedIntent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nats.aio.client import Client

PING_SUBJECT = "cio.heartbeat.ping"
"""Not ``cio.heartbeat`` itself: the engine hears that, and takes what is no beat for a broken one."""

INTENT_SUBJECT = "cio.intent.trading"

ANSWER_SECONDS = 0.2
"""A strategy waits no longer than this to know whether governance is active."""

STORED_SECONDS = 2.0
CONNECT_SECONDS = 5.0

ACTIVE, DEGRADED = "GOVERNANCE_ACTIVE", "DEGRADED"


class Answer(NamedTuple):
    """What a gate that judges says of itself. Where ``status`` is DEGRADED, ``degraded`` says what is missing."""

    status: str
    degraded: tuple[str, ...] = ()


class Governance:
    """One connection to governance. Use as an async context manager; a connection that was given is left open."""

    def __init__(
        self,
        nats_url_or_connection: str | Client,
        *,
        credentials: str | None = None,
        ping_subject: str = PING_SUBJECT,
        intent_subject: str = INTENT_SUBJECT,
    ) -> None:
        self._given = nats_url_or_connection
        self._credentials = credentials
        self._ping_subject = ping_subject
        self._intent_subject = intent_subject
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises BusError where there is no NATS within five seconds."""
        self._client = await self._connect(self._given) if isinstance(self._given, str) else self._given
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None and isinstance(self._given, str):
            await self._client.close()
        self._client = None

    async def active(self) -> bool:
        """Whether intents are being judged now; False where no gate has said so within 200 ms. Never raises.

        True for a gate that is degraded, too: it judges, and whether an intent passes is for it to say.
        """
        return await self.answer() is not None

    async def answer(self) -> Answer | None:
        """What a gate says of itself; None where none has said anything within 200 ms. Never raises."""
        client = self._client
        if client is None or not client.is_connected:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                message = await client.request(self._ping_subject, b"", timeout=ANSWER_SECONDS)
        except (nats.errors.Error, OSError, TimeoutError):
            return None
        return _answer_of(message.data)

    async def submit(self, intent: Mapping[str, object]) -> str:
        """Publish an intent, and return its id once the intent stream has stored it: from then on it is not lost.

        What is missing of ``intent_id``, ``timestamp`` and trace context is added. Raises MalformedIntent, naming every
        fault, for what the gate would refuse as malformed; BusError where it was not stored, or not known to be. Submit
        it again with the same ``intent_id`` then: if it was stored after all, the second one is refused as a repeat.
        """
        complete = completed(intent)
        subject = f"{self._intent_subject}.{subject_token(str(complete['strategy_id']))}"
        payload = json.dumps(complete, allow_nan=False).encode("ascii")
        client = self._client
        # A client that is reconnecting would keep it, and send it late.
        if client is None or not client.is_connected:
            msg = "no connection to NATS: nothing was sent"
            raise BusError(msg)
        try:
            await client.jetstream().publish(subject, payload, timeout=STORED_SECONDS)
        except nats.js.errors.NoStreamResponseError as error:
            msg = f"no stream stores {subject}: no gate has been started on this server"
            raise BusError(msg) from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            msg = f"the intent is not known to be stored ({error!r}); submit it again with the same intent_id"
            raise BusError(msg) from error
        return _identity(complete)

    async def _connect(self, url: str) -> Client:
        async def ignore(_: Exception) -> None:
            """Whether there is a connection is asked where it matters."""

        connecting = asyncio.create_task(
            nats.connect(
                [server.strip() for server in url.split(",")],
                name="petrosa-cio client",
                user_credentials=self._credentials,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.1,
                connect_timeout=2,
                pending_size=0,
                error_cb=ignore,
            )
        )
        unreached = f"cannot reach NATS within {CONNECT_SECONDS:g} s"
        try:
            await asyncio.wait({connecting}, timeout=CONNECT_SECONDS)
            while not connecting.done():  # on Python 3.11 it can swallow a cancellation, and would try for ever
                connecting.cancel()
                await asyncio.wait({connecting}, timeout=0.1)
        finally:
            connecting.cancel()
        if connecting.cancelled():
            raise BusError(unreached)
        try:
            return connecting.result()
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            msg = f"{unreached} ({error!r})"
            raise BusError(msg) from error


def _answer_of(data: bytes) -> Answer | None:
    try:
        body = json.loads(data)
    except ValueError:
        return None
    if not isinstance(body, dict) or body.get("status_code") not in (ACTIVE, DEGRADED):
        return None
    degraded = body.get("degraded")
    return Answer(body["status_code"], tuple(map(str, degraded)) if isinstance(degraded, list) else ())


# -- what is added -----------------------------------------------------------------------------------------------------

_TRACE_FIELDS = ("_otel_trace_context", "_otel_trace_headers")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def subject_token(strategy_id: str) -> str:
    """One safe NATS subject token for a strategy: letters, digits, ``_`` and ``-``; runs of others become ``_``."""
    return _UNSAFE.sub("_", strategy_id)[:64] or "_"


def completed(intent: Mapping[str, object]) -> dict[str, object]:
    """``intent`` with an id, a time and a trace context, ready to be written as JSON; what is given is not changed.

    Raises MalformedIntent naming every fault.
    """
    complete = dict(intent)
    for name, value in intent.items():
        if isinstance(value, datetime) and value.tzinfo is not None:
            complete[name] = value.astimezone(UTC).isoformat()
    if complete.get("intent_id") is None and complete.get("id") is None:
        complete["intent_id"] = secrets.token_hex(16)
    if complete.get("timestamp") is None:
        complete["timestamp"] = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="microseconds")
    carrier = _carrier(complete)
    complete.update({name: dict(carrier) for name in _TRACE_FIELDS})
    faults = tuple(_faults(complete))
    if faults:
        raise MalformedIntent(faults)
    return complete


def _identity(complete: Mapping[str, object]) -> str:
    given = complete.get("intent_id")
    return str(complete["id"] if given is None else given)


def _carrier(fields: Mapping[str, object]) -> dict[str, str]:
    """The trace context that is given, where it is a valid one; else the beginning of a new trace."""
    for name in _TRACE_FIELDS:
        carrier = fields.get(name)
        if not isinstance(carrier, Mapping):
            continue
        parent, state = carrier.get("traceparent"), carrier.get("tracestate")
        if isinstance(parent, str) and _TRACEPARENT.match(parent):
            return {"traceparent": parent, **({"tracestate": state} if isinstance(state, str) else {})}
    return {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}


# -- what would be malformed -------------------------------------------------------------------------------------------

LARGEST = 256 * 1024
DEEPEST = 64

_NEVER_NULL = {"strategy_mode", "strength", "timeframe", "order_type", "time_in_force", "metadata", "meta"}
_PRICES = ("price", "current_price", "target_price", "conditional_price", "stop_loss", "take_profit")
_FRACTIONS = ("confidence", "position_size_pct", "stop_loss_pct", "take_profit_pct", "model_confidence")
_QUANTITIES = ("quantity", "quote_quantity", "iceberg_quantity")
_RANGES = {
    **dict.fromkeys(_PRICES, (1e-12, 1e12)),
    **dict.fromkeys(_FRACTIONS, (0.0, 1.0)),
    **dict.fromkeys(_QUANTITIES, (0.0, 1e15)),
}
_WHOLE = {"conditional_timeout": 0, "recommended_leverage": 1}
_WORDS: dict[str, tuple[str, ...]] = {
    "action": ("buy", "sell", "hold", "close"),
    "strategy_mode": ("deterministic", "ml_light", "llm_reasoning"),
    "strength": ("weak", "medium", "strong", "extreme"),
    "order_type": (
        *("market", "limit", "stop", "stop_limit", "take_profit", "take_profit_limit"),
        *("conditional_limit", "conditional_stop"),
    ),
    "time_in_force": ("GTC", "IOC", "FOK", "GTX"),
    "conditional_direction": ("above", "below"),
}
_NAMES = ("strategy_id", "intent_id", "id", "signal_id", "timeframe")
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?\Z", re.ASCII)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 128 and value.isprintable() and value == value.strip()


def _is_symbol(value: object) -> bool:
    if not isinstance(value, str) or not 3 <= len(value) <= 64 or not value.isprintable():
        return False
    return not {" ", ":"} & set(value) and value == value.upper()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_moment(value: object) -> bool:
    if not isinstance(value, str) or not _ISO.match(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _within(least: float, most: float) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int | float) and _is_number(value) and least <= value <= most


def _whole(least: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _one_of(words: tuple[str, ...]) -> Callable[[object], bool]:
    return lambda value: value in words


_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(_NAMES, (_is_name, "must be 1 to 128 printable characters, no space at either end")),
    "symbol": (_is_symbol, "must be an exchange symbol in upper case, such as BTCUSDT"),
    "timestamp": (_is_moment, "must be ISO-8601 text with date and time, or a datetime with a time zone"),
    **{
        name: (_within(least, most), f"must be a number from {least:g} to {most:g}")
        for name, (least, most) in _RANGES.items()
    },
    **{name: (_whole(least), f"must be a whole number from {least} on") for name, least in _WHOLE.items()},
    **{name: (_one_of(words), f"must be one of {', '.join(words)}") for name, words in _WORDS.items()},
    **{
        name: (lambda value: isinstance(value, str), "must be text")
        for name in ("strategy", "source", "client_order_id", "rationale", "llm_reasoning")
    },
    **{
        name: (lambda value: isinstance(value, Mapping), "must be an object")
        for name in ("metadata", "meta", "model_features", "indicators")
    },
    "llm_alternatives": (lambda value: isinstance(value, list), "must be a list"),
}


def _faults(fields: Mapping[str, object]) -> Iterator[str]:
    """Everything for which the gate would refuse ``fields`` as malformed, or not read them at all."""
    needed = ["strategy_id", "symbol", "action"]
    if fields.get("action") in ("buy", "sell"):
        needed.append("confidence")
        if fields.get("price") is None and fields.get("current_price") is None:
            yield "price: is required for buy and sell (price or current_price)"
    yield from (f"{name}: is required" for name in needed if fields.get(name) is None)
    for name, (holds, rule) in _RULES.items():
        value = fields.get(name)
        given = value is not None or (name in fields and name in _NEVER_NULL)
        if given and not holds(value):
            yield f"{name}: {rule}"
    unwritable = _unwritable(fields, DEEPEST)
    if unwritable is not None:
        yield unwritable
    elif len(json.dumps(fields)) > LARGEST:
        yield f"is longer than {LARGEST} bytes"


def _unwritable(value: object, levels: int) -> str | None:
    """Why ``value`` cannot be written as JSON that reads back the same; None where it can."""
    match value:
        case str():
            return None if value.isascii() or _is_unicode(value) else "holds text that is not valid Unicode"
        case float():
            return None if math.isfinite(value) else f"holds {value}, which is no number in JSON"
        case int():  # a boolean, too
            return None if value.bit_length() <= 1024 else "holds a number beyond every float"
        case None:
            return None
        case dict() | list() | tuple():
            if levels == 0:
                return f"is nested deeper than {DEEPEST} levels"
            if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
                return "holds an object with a key that is not text"
            parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
            return next((why for part in parts if (why := _unwritable(part, levels - 1)) is not None), None)
        case _:
            return f"holds a {type(value).__name__}, which JSON does not have"


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
