"""What the engine tells of its orders, read into an `Execution`, and written as the engine writes it. Pure and total.

The subject is ``execution.events.<strategy_id>`` (fleet facts §7.1). ``pnl.events.>`` tells the same profits a second
time, as data-manager works them out, and is read by nobody here: they would count double.

Of one order the engine may tell twice, by its exchange's answer and by its user-data stream: whoever folds executions
drops repeats of (order_id, kind). A fill that came by a ``close`` signal tells the side of the *order* and looks like
an entry; only its decision_id says what it was.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.happenings import Execution, ExecutionKind
from petrosa_cio.apps.nurse.models import decimal_of, is_symbol, iso, parse_instant

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Instant

Fields: TypeAlias = "dict[str, object]"

EXIT = "oco_exit_"
"""How the reason begins where a stop or a target took a position off."""

LARGEST_PAYLOAD = 64 * 1024
LONGEST_WORD = 128
"""Of ids; of reasons, which are free text, the rest is cut."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?\Z", re.ASCII)
_LONGEST_NUMBER = 64
# The bounds of the wire (`models.Price`, `models.Quantity`): what lies within can be computed with, and written.
_LEAST = Decimal("1e-12")
_MOST_PRICE = Decimal("1e12")
_MOST = Decimal("1e15")

_SIDES = {"buy": Side.LONG, "long": Side.LONG, "sell": Side.SHORT, "short": Side.SHORT}
_SIDELESS = ("close", "hold")
_POSITION_WORDS = ("LONG", "SHORT")
_FILLS = (ExecutionKind.FILLED, ExecutionKind.PARTIAL_FILL)
_STOPS = ("stop_loss", "liquidation")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is not read: in which field (``$`` is the whole), what is wrong there, and what stands there."""

    where: str
    what: str
    found: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """What tells it from refusals for another cause; one of a few dozen."""
        return self.where, self.what

    def __str__(self) -> str:
        return f"{self.where} {self.what}" + (f": {self.found}" if self.found else "")


class _Unreadable(ValueError):
    def __init__(self, where: str, what: str, found: object = "") -> None:
        self.refusal = Refusal(where, what, "" if found == "" else ascii(found)[:80])
        super().__init__(str(self.refusal))


def decode(payload: bytes, sequence: int, stored_at: Instant) -> Execution | Refusal:
    """Read one event, which the stream stored as ``sequence`` at ``stored_at``. Never raises.

    It is dated as it says; where it says nothing readable, or a time after it was stored, it is dated ``stored_at``:
    a fill or a loss is not ignored for its date.
    """
    try:
        return _execution(_object(payload), sequence, stored_at // 1000 * 1000)
    except _Unreadable as error:
        return error.refusal


def _object(payload: bytes) -> Fields:
    if len(payload) > LARGEST_PAYLOAD:
        raise _Unreadable("$", f"is larger than {LARGEST_PAYLOAD} bytes")
    try:
        value = json.loads(payload.decode("utf-8"), object_pairs_hook=_once)
    except _Unreadable:
        raise
    except RecursionError as error:
        raise _Unreadable("$", "nests too deep") from error
    except ValueError as error:
        raise _Unreadable("$", "is no JSON") from error
    if not isinstance(value, dict):
        raise _Unreadable("$", "must be a JSON object")
    return value


def _once(pairs: list[tuple[str, object]]) -> Fields:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unreadable("$", "names a field twice")
    return found


def _execution(fields: Fields, sequence: int, stored_at: Instant) -> Execution:
    kind = _kind(fields)
    reason = _text(fields, "reason")
    side, closes = _side(fields, kind, reason)
    pnl = _figure(fields, "pnl", -_MOST, _MOST)
    if kind in _FILLS and not closes and pnl:
        # The exchange realises profit only on what is taken off: an order that realises some reduced the other side.
        side, closes = (Side.SHORT if side is Side.LONG else Side.LONG), True
    found = Execution(
        kind=kind,
        at=_at(fields, stored_at),
        strategy_id=_word(fields, "strategy_id"),
        order_id=_word(fields, "order_id"),
        decision_id=_word(fields, "decision_id"),
        symbol=_symbol(fields),
        side=side,
        quantity=_quantity(fields, kind),
        price=_positive(fields, "fill_price", _MOST_PRICE) or _positive(fields, "price", _MOST_PRICE),
        fee=_figure(fields, "fee", Decimal(0), _MOST),
        fee_asset=_word(fields, "fee_asset") or None,
        pnl=pnl if closes else None,
        closes=closes,
        stopped=closes and _stopped(fields, kind, reason),
        reason=reason,
        sequence=sequence,
    )
    _complete(found)
    return found


def _complete(found: Execution) -> None:
    """Refuse what leaves open whose, of what, or how much it is."""
    if not found.strategy_id:
        raise _Unreadable("strategy_id", "is missing")
    if found.kind in (*_FILLS, ExecutionKind.FORCE_CLOSED) and found.symbol is None:
        raise _Unreadable("symbol", "is missing in what was filled")
    if found.kind in _FILLS and found.quantity is None:
        raise _Unreadable("fill_qty", "is missing in what was filled")
    if found.kind in _FILLS and found.side is None and not found.closes:
        raise _Unreadable("side", "is missing in what was filled")


def _kind(fields: Fields) -> ExecutionKind:
    word = fields.get("event_type")
    if not isinstance(word, str) or word not in set(ExecutionKind):
        raise _Unreadable("event_type", "is none that we know", word)
    return ExecutionKind(word)


def _side(fields: Fields, kind: ExecutionKind, reason: str) -> tuple[Side | None, bool]:
    """The side of the position, and whether it is taken off."""
    word = fields.get("side")
    closes = reason.startswith(EXIT) or kind is ExecutionKind.FORCE_CLOSED
    if word is None or word == "":
        return None, closes
    if not isinstance(word, str) or word.lower() not in (*_SIDES, *_SIDELESS):
        raise _Unreadable("side", "is none that we know", word)
    if word.lower() in _SIDELESS:
        return None, closes or word.lower() == "close"
    if kind is ExecutionKind.FORCE_CLOSED and word.upper() not in _POSITION_WORDS:
        return None, True  # buy or sell may be that of the order or of the position, and nothing says which
    return _SIDES[word.lower()], closes


def _stopped(fields: Fields, kind: ExecutionKind, reason: str) -> bool:
    cause = fields.get("close_reason") or reason.removeprefix(EXIT)
    return kind is ExecutionKind.FORCE_CLOSED or cause in _STOPS


def _quantity(fields: Fields, kind: ExecutionKind) -> Decimal | None:
    if kind not in _FILLS:
        return _positive(fields, "qty", _MOST)
    filled = _positive(fields, "fill_qty", _MOST)
    other = _positive(fields, "fill_quantity", _MOST)
    if filled is not None and other is not None and filled != other:
        raise _Unreadable("fill_quantity", "contradicts fill_qty")
    if kind is ExecutionKind.PARTIAL_FILL:
        return filled or other
    return filled or other or _positive(fields, "qty", _MOST)


def _positive(fields: Fields, name: str, most: Decimal) -> Decimal | None:
    """A positive figure; None where it is not told, or is 0: the engine writes 0 for what it does not know yet."""
    found = _figure(fields, name, Decimal(0), most)
    if found and found < _LEAST:
        raise _Unreadable(name, "is out of bounds", fields[name])
    return found or None


def _figure(fields: Fields, name: str, least: Decimal, most: Decimal) -> Decimal | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Unreadable(name, "must be a number", value)
    if isinstance(value, str) and (len(value) > _LONGEST_NUMBER or not _NUMBER.match(value)):
        raise _Unreadable(name, "must be a number", value)
    found = decimal_of(value) if isinstance(value, float) else Decimal(value)
    if not found.is_finite():
        raise _Unreadable(name, "must be a finite number", value)
    if found < 0 <= least:
        raise _Unreadable(name, "must not be negative", value)
    if not least <= found <= most:
        raise _Unreadable(name, "is out of bounds", value)
    return found


def _symbol(fields: Fields) -> str | None:
    word = _word(fields, "symbol")
    if word and not is_symbol(word):
        raise _Unreadable("symbol", "must be an exchange symbol in upper case", word)
    return word or None


def _word(fields: Fields, name: str) -> str:
    """A name or an id; empty where there is none. Whole numbers are ids as well."""
    value = fields.get(name)
    if value is None:
        return ""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise _Unreadable(name, "must be a string", value)
    if len(value) > LONGEST_WORD or not value.isprintable() or value != value.strip():
        raise _Unreadable(name, f"must be printable text of at most {LONGEST_WORD} characters", value)
    return value


def _text(fields: Fields, name: str) -> str:
    """Free text, made safe to write down."""
    value = fields.get(name)
    if not isinstance(value, str):
        return ""
    return value[:LONGEST_WORD].encode("utf-8", "backslashreplace").decode("utf-8")


def _at(fields: Fields, stored_at: Instant) -> Instant:
    value = fields.get("timestamp")
    try:
        told = parse_instant(value) if isinstance(value, str) else stored_at
    except (ValueError, OverflowError):
        return stored_at
    return min(told, stored_at)


def encode(execution: Execution) -> bytes:
    """``execution`` as the engine tells of it: what `decode` reads back.

    What takes a position off is an exit in the engine's words, so its reason is given their beginning where it lacks
    it. Numbers are JSON numbers where a reader's float keeps them, else text.
    """
    kind, reason = execution.kind, execution.reason
    fields: dict[str, object] = {
        "decision_id": execution.decision_id,
        "strategy_id": execution.strategy_id,
        "order_id": execution.order_id,
        "event_type": kind.value,
        "timestamp": iso(execution.at),
        "reason": reason,
        "symbol": execution.symbol,
        "side": _order_word(execution),
        "fill_price" if kind in _FILLS else "price": _number(execution.price),
        "fill_qty" if kind in _FILLS else "qty": _number(execution.quantity),
        "fee": _number(execution.fee),
        "fee_asset": execution.fee_asset,
        "pnl": _number(execution.pnl),
    }
    if execution.closes and execution.side is not None and kind is not ExecutionKind.FORCE_CLOSED:
        fields["reason"] = reason if reason.startswith(EXIT) else f"{EXIT}{reason or 'unknown'}"
    if execution.closes:
        cause = str(fields["reason"]).removeprefix(EXIT)
        fields["close_reason"] = "stop_loss" if execution.stopped and cause not in _STOPS else cause
    if kind in _FILLS:
        fields["price"], fields["fill_quantity"] = fields["fill_price"], fields["fill_qty"]
    told = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(told, allow_nan=False, separators=(",", ":")).encode("ascii")


def _order_word(execution: Execution) -> str | None:
    if execution.side is None:
        sideless = execution.closes and execution.kind is not ExecutionKind.FORCE_CLOSED
        return "close" if sideless else None
    if execution.closes:
        return execution.side.value
    return "buy" if execution.side is Side.LONG else "sell"


def _number(figure: Decimal | None) -> float | str | None:
    if figure is None:
        return None
    near = float(figure)
    return near if decimal_of(near) == figure else str(figure)
