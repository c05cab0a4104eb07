"""What the exchange says on its streams, read into observations: raw, in its own wrapper, or in the fleet's envelope.

Pure and total: whatever bytes come, `read_event` answers with observations, or with the kind of thing that it was not.
Nothing is coerced: a figure is decimal text as the exchange writes it, positive where it is a price, or the event is
refused whole.

Books want care. The fleet's socket client labels a spot book, which names no symbol, with the symbol of its first
stream, so a book that does not itself say whose it is is nobody's. And it calls every depth event ``depth20``, changes
and books alike: one is taken for a book only where both sides have exactly as many levels as its stream promises, all
of them with something in them; a list of changes hardly ever does.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import is_symbol
from petrosa_cio.apps.nurse.observations import Candle, Marked, Quoted, Traded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.observations import Observation

    Event: TypeAlias = "Mapping[str, object]"

_MS = 1_000_000
# 1973 and 2286 in milliseconds: outside of it lie the same years in seconds and in microseconds.
_EARLIEST_MS, _LATEST_MS = 10**11, 10**13
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,18})?\Z", re.ASCII)
_PARTIAL = re.compile(r"@depth(5|10|20)(@|\Z)", re.ASCII)
_MINUTE_MS = 60_000
_INTERVALS_MS = {
    **{f"{count}m": count * _MINUTE_MS for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": count * 60 * _MINUTE_MS for count in (1, 2, 4, 6, 8, 12)},
    "1d": 1440 * _MINUTE_MS,
}
LARGEST = 1024 * 1024
"""Bytes of an event that are read at all."""


class Unread(StrEnum):
    """Why something was not read; the names under which it is counted."""

    NOT_JSON = "not JSON"
    NO_EVENT = "no event"
    """JSON, and neither an event nor an envelope around one."""
    OTHER_EVENT = "another kind of event"
    NO_SYMBOL = "no symbol of its own"
    NO_TIME = "no time in milliseconds"
    UNSOUND = "a figure that cannot be"
    NO_BOOK = "changes of a book, not a book"
    OFF_MARKET = "a trade that was not made in the market"


@dataclass(frozen=True, slots=True)
class Read:
    """What an event tells; nothing and a reason where it was not read."""

    observations: tuple[Observation, ...] = ()
    unread: Unread | None = None


class _Unreadable(Exception):
    """Ends the reading of one event; never leaves this module."""

    def __init__(self, why: Unread) -> None:
        self.why = why
        super().__init__(why.value)


def read_event(raw: bytes, received: Instant) -> Read:
    """What ``raw``, which arrived at ``received`` by our clock, tells. Never raises."""
    if len(raw) > LARGEST:
        return Read(unread=Unread.NO_EVENT)
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError):
        return Read(unread=Unread.NOT_JSON)
    event, stream = _unwrapped(found)
    if event is None:
        return Read(unread=Unread.NO_EVENT)
    try:
        return Read(_observations(event, stream, received))
    except _Unreadable as unreadable:
        return Read(unread=unreadable.why)


def _unwrapped(found: object) -> tuple[Event | None, str]:
    """The event and the name of its stream; an envelope has both, a raw event has no name."""
    if not isinstance(found, dict):
        return None, ""
    inner, stream = found.get("data"), found.get("stream")
    if isinstance(inner, dict):
        return inner, stream if isinstance(stream, str) else ""
    return (found, "") if "e" in found or "lastUpdateId" in found else (None, "")


def _observations(event: Event, stream: str, received: Instant) -> tuple[Observation, ...]:
    if "lastUpdateId" in event and "e" not in event:
        raise _Unreadable(Unread.NO_SYMBOL)
    kind = event.get("e")
    if not isinstance(kind, str):
        raise _Unreadable(Unread.NO_EVENT)
    read = _READERS.get(kind)
    if read is None:
        raise _Unreadable(Unread.OTHER_EVENT)
    symbol = event.get("s")
    # A dot or a wildcard in it would be another subject on the bus.
    if not isinstance(symbol, str) or not is_symbol(symbol) or {".", "*", ">"} & set(symbol):
        raise _Unreadable(Unread.NO_SYMBOL)
    return read(event, _Head(symbol, _instant(event.get("E")), received, stream))


@dataclass(frozen=True, slots=True)
class _Head:
    """What every event has."""

    symbol: str
    at: Instant
    received: Instant
    stream: str


def _kline(event: Event, head: _Head) -> tuple[Observation, ...]:
    bar = event.get("k")
    if not isinstance(bar, dict):
        raise _Unreadable(Unread.UNSOUND)
    opened, closed = _milliseconds(bar.get("t")), _milliseconds(bar.get("T"))
    length = _INTERVALS_MS.get(str(bar.get("i")))
    final = bar.get("x")
    if bar.get("s") != head.symbol or not isinstance(final, bool) or length is None:
        raise _Unreadable(Unread.UNSOUND)
    if closed - opened + 1 != length or opened % length:
        raise _Unreadable(Unread.UNSOUND)
    first, high, low, last = (_price(bar.get(name)) for name in "ohlc")
    if not low <= min(first, last) <= max(first, last) <= high:
        raise _Unreadable(Unread.UNSOUND)
    candle = Candle(
        head.symbol, head.at, head.received, opened, closed,
        float(first), float(high), float(low), float(last), float(_amount(bar.get("v"))), final,
    )  # fmt: skip
    return (candle,) if final else (Traded(head.symbol, head.at, head.received, last), candle)


def _trade(event: Event, head: _Head) -> tuple[Observation, ...]:
    if event.get("X", "MARKET") != "MARKET":  # insurance fund and deleveraging: not at a price of the market
        raise _Unreadable(Unread.OFF_MARKET)
    at = _instant(event.get("T"))
    return (Traded(head.symbol, at, head.received, _price(event.get("p")), _price(event.get("q"))),)


def _ticker(event: Event, head: _Head) -> tuple[Observation, ...]:
    """The last price; of spot, whose ticker has them, the best bid and ask as well."""
    last = Traded(head.symbol, head.at, head.received, _price(event.get("c")))
    if not {"b", "B", "a", "A"} & event.keys():
        return (last,)
    return last, *_quote(event, head)


def _quote(event: Event, head: _Head) -> tuple[Observation, ...]:
    bid, ask = _price(event.get("b")), _price(event.get("a"))
    return (Quoted(head.symbol, head.at, head.received, bid, _amount(event.get("B")), ask, _amount(event.get("A"))),)


def _depth(event: Event, head: _Head) -> tuple[Observation, ...]:
    promised = _PARTIAL.search(head.stream)
    if promised is None:
        raise _Unreadable(Unread.NO_BOOK)
    levels = int(promised[1])
    bids, asks = _side(event.get("b"), levels), _side(event.get("a"), levels)
    (bid, bid_quantity), (ask, ask_quantity) = max(bids), min(asks)
    return (Quoted(head.symbol, head.at, head.received, bid, bid_quantity, ask, ask_quantity),)


def _side(given: object, levels: int) -> list[tuple[Decimal, Decimal]]:
    if not isinstance(given, list) or len(given) != levels:
        raise _Unreadable(Unread.NO_BOOK)
    side = [(_price(level[0]), _amount(level[1])) for level in given if isinstance(level, list) and len(level) == 2]
    if len(side) != levels or any(quantity == 0 for _, quantity in side):
        raise _Unreadable(Unread.NO_BOOK)
    return side


def _mark(event: Event, head: _Head) -> tuple[Observation, ...]:
    """Mark price and funding; a contract that is delivered has no funding: an empty rate, or no time."""
    index = event.get("i")
    rate, at = event.get("r"), event.get("T")
    funded = rate not in (None, "") and at != 0
    return (
        Marked(
            head.symbol,
            head.at,
            head.received,
            _price(event.get("p")),
            None if index is None else _price(index),
            _number(rate) if funded else None,
            _instant(at) if funded else None,
        ),
    )


_READERS: Mapping[str, Callable[[Event, _Head], tuple[Observation, ...]]] = {
    "kline": _kline,
    "trade": _trade,
    "aggTrade": _trade,
    "24hrTicker": _ticker,
    "bookTicker": _quote,
    "depthUpdate": _depth,
    "markPriceUpdate": _mark,
}


def _milliseconds(value: object) -> int:
    # bool is an int to isinstance.
    if type(value) is not int or not _EARLIEST_MS <= value < _LATEST_MS:
        raise _Unreadable(Unread.NO_TIME)
    return value


def _instant(value: object) -> Instant:
    return _milliseconds(value) * _MS


def _number(value: object) -> Decimal:
    if not isinstance(value, str) or not _NUMBER.match(value):
        raise _Unreadable(Unread.UNSOUND)
    return Decimal(value)


def _price(value: object) -> Decimal:
    price = _number(value)
    if not price > 0:
        raise _Unreadable(Unread.UNSOUND)
    return price


def _amount(value: object) -> Decimal:
    amount = _number(value)
    if amount < 0:
        raise _Unreadable(Unread.UNSOUND)
    return amount
