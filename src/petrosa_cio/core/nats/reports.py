"""A report of what an account holds as one JSON text, on its way from the feed to the gates.

It is written as the ledger writes it (`happenings_record`), and read strictly: whatever may publish here can send it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.apps.nurse.happenings_record import report_content
from petrosa_cio.apps.nurse.models import is_symbol, parse_instant
from petrosa_cio.core.nats.executions import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from petrosa_cio.apps.nurse.models import Json

    Part = TypeVar("Part")

LARGEST_REPORT = 1024 * 1024

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?\Z", re.ASCII)
_LONGEST = 128


class _Unreadable(ValueError):
    def __init__(self, where: str, what: str, found: object = "") -> None:
        self.refusal = Refusal(where, what, "" if found == "" else ascii(found)[:80])
        super().__init__(str(self.refusal))


def encode_report(report: AccountReport) -> bytes:
    """``report`` as it is published; `decode_report` reads it back."""
    return json.dumps(report_content(report), separators=(",", ":")).encode("ascii")


def decode_report(payload: bytes) -> AccountReport | Refusal:
    """The report in ``payload``, or why there is none. Never raises."""
    if len(payload) > LARGEST_REPORT:
        return Refusal("$", f"is larger than {LARGEST_REPORT} bytes")
    try:
        return report_of(json.loads(payload.decode("utf-8")))
    except (RecursionError, ValueError):
        return Refusal("$", "is no JSON")


def report_of(content: Json) -> AccountReport | Refusal:
    """The report that `report_content` wrote, or why it is none. Never raises."""
    try:
        fields = _object(content, "$")
        return AccountReport(
            origin=_word(fields, "origin"),
            as_of=_instant(fields, "as_of"),
            wallet=_figure(fields, "wallet"),
            unrealised=None if fields.get("unrealised") is None else _figure(fields, "unrealised"),
            positions=_parts(fields, "positions", _position),
            orders=_parts(fields, "orders", _order),
        )
    except _Unreadable as error:
        return error.refusal


def _position(fields: dict[str, Json]) -> Position:
    return Position(
        _symbol(fields),
        _side(fields),
        quantity=_figure(fields, "quantity"),
        entry=_figure(fields, "entry"),
        notional=_figure(fields, "notional"),
        leverage=_figure(fields, "leverage"),
        liquidation_price=None if fields.get("liquidation_price") is None else _figure(fields, "liquidation_price"),
        strategy_id=None if fields.get("strategy_id") is None else _word(fields, "strategy_id"),
    )


def _order(fields: dict[str, Json]) -> OpenOrder:
    return OpenOrder(
        _symbol(fields),
        _side(fields),
        quantity=_figure(fields, "quantity"),
        notional=_figure(fields, "notional"),
        leverage=_figure(fields, "leverage"),
        reduce_only=_flag(fields, "reduce_only"),
    )


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _Unreadable(where, "must be an object")
    return value


def _parts(fields: dict[str, Json], name: str, read: Callable[[dict[str, Json]], Part]) -> tuple[Part, ...] | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        raise _Unreadable(name, "must be a list")
    return tuple(read(_object(one, name)) for one in value)


def _figure(fields: dict[str, Json], name: str) -> Decimal:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST or not _NUMBER.match(value):
        raise _Unreadable(name, "must be a decimal number in text", value)
    return Decimal(value)


def _word(fields: dict[str, Json], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST or not value.isprintable():
        raise _Unreadable(name, f"must be printable text of at most {_LONGEST} characters", value)
    return value


def _symbol(fields: dict[str, Json]) -> str:
    word = _word(fields, "symbol")
    if not is_symbol(word):
        raise _Unreadable("symbol", "must be an exchange symbol in upper case", word)
    return word


def _side(fields: dict[str, Json]) -> Side:
    word = fields.get("side")
    if not isinstance(word, str) or word not in set(Side):
        raise _Unreadable("side", "must be LONG or SHORT", word)
    return Side(word)


def _flag(fields: dict[str, Json], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise _Unreadable(name, "must be true or false", value)
    return value


def _instant(fields: dict[str, Json], name: str) -> int:
    value = fields.get(name)
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except (ValueError, OverflowError) as error:
        raise _Unreadable(name, "must be an ISO-8601 date and time", value) from error
