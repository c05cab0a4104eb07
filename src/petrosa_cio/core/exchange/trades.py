"""Recorded trades with the result that another engine gave them: JSON lines (gzip where the name ends in .gz).

The shape is that of freqtrade's backtest results, one trade a line. Needed are ``pair``, ``amount``, ``open_rate``,
``close_rate``, ``fee_open``, ``fee_close`` (fractions of notional), ``profit_abs``, and of either end the
``..._timestamp`` (ms) or else the ``..._date`` (ISO-8601). ``is_short`` is false and ``leverage`` 1 where they are not
there; ``profit_ratio`` is read where it is. Of several ``orders`` in or out, each filled one is a fill, at the fee of
its end; of one in and one out the trade itself tells all. Nothing else is looked at, and null is not there.
"""

from __future__ import annotations

import gzip
import json
import zlib
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.pnl import Leg, Trade, leg
from petrosa_cio.apps.auditor.reconciliation import Told
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.models import is_symbol, parse_instant
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.nurse.facts import Instant

    Row = dict[str, object]

_MS = 1_000_000
_ZERO, _ONE = Decimal(0), Decimal(1)
_WIDEST, _FINEST = 15, -40
"""Exponents of the largest and the smallest digit that a figure may have: an engine writes at most 17 digits."""
_NOISE = Decimal("1e-9")
"""Fraction of a quantity by which sums of floats miss each other."""
# What lies outside was written in seconds or microseconds.
_EARLIEST_MS, _LATEST_MS = 10**11, 10**13


def read_trades(path: Path) -> list[Told]:
    """Return the trades of a recording, in its order.

    Raises RecordingError naming file and line of the first line that is no closed trade, and where the file cannot be
    read or holds none. Nothing is mended or skipped but empty lines.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    found: list[Told] = []
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    found.append(_told(f"{path.name}:{number}", line))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        msg = f"{path.name}: cannot be read: {error}"
        raise RecordingError(msg) from error
    if not found:
        msg = f"{path.name}: holds no trade"
        raise RecordingError(msg)
    return found


def _told(where: str, line: str) -> Told:
    try:
        row: object = json.loads(line, parse_float=Decimal)
    except (ValueError, InvalidOperation, RecursionError) as error:
        msg = f"{where}: is not JSON: {error}"
        raise RecordingError(msg) from error
    if not isinstance(row, dict):
        msg = f"{where}: must be an object"
        raise RecordingError(msg)
    try:
        return _trade(where, row)
    except ValueError as error:
        msg = f"{where}: {error}"
        raise RecordingError(msg) from error


def _trade(where: str, row: Row) -> Told:
    pair, symbol = _pair(row)
    short = row.get("is_short")
    if short is not None and not isinstance(short, bool):
        msg = f"is_short must be true or false, got {short!r}"
        raise ValueError(msg)
    leverage = _ONE if row.get("leverage") is None else _figure(row, "leverage")
    fees = _rate(row, "fee_open"), _rate(row, "fee_close")
    quantity, opened, closed = _figure(row, "amount"), _instant(row, "open"), _instant(row, "close")
    entries: tuple[Leg, ...] = (leg(opened, quantity, _figure(row, "open_rate"), fees[0]),)
    exits: tuple[Leg, ...] = (leg(closed, quantity, _figure(row, "close_rate"), fees[1]),)
    if filled := _filled(row, fees):
        entries, exits = filled
    trade = Trade(symbol, Side.SHORT if short else Side.LONG, entries, exits, leverage)
    relative = None if row.get("profit_ratio") is None else _figure(row, "profit_ratio")
    return Told(where, pair, trade, _figure(row, "profit_abs"), relative)


def _pair(row: Row) -> tuple[str, str]:
    """The pair as it is written, and the exchange's symbol of it.

    What settles in anything but its quote asset, such as BTC/USD:BTC or BTC/USDT:USDT-240628, is no linear perpetual.
    """
    pair = row.get("pair")
    market, _, settles = pair.partition(":") if isinstance(pair, str) else ("", "", "")
    base, _, quote = market.partition("/")
    if not isinstance(pair, str) or not is_symbol(base + quote) or "/" in quote or settles not in ("", quote):
        msg = f"pair must be a linear perpetual, like BTC/USDT:USDT or BTCUSDT, got {pair!r}"
        raise ValueError(msg)
    return pair, base + quote


def _filled(row: Row, fees: tuple[Decimal, Decimal]) -> tuple[tuple[Leg, ...], tuple[Leg, ...]] | None:
    """The fills of a trade that has more of them than one in and one out; else None."""
    orders = row.get("orders")
    if orders is None:
        return None
    if not isinstance(orders, list) or not all(isinstance(order, dict) for order in orders):
        msg = "orders must be objects"
        raise ValueError(msg)
    done = [order for order in orders if order.get("order_filled_timestamp") is not None]
    if not all(isinstance(order.get("ft_is_entry"), bool) for order in done):
        msg = "each filled order needs ft_is_entry, true or false"
        raise ValueError(msg)
    entries, exits = ([order for order in done if order["ft_is_entry"] is entry] for entry in (True, False))
    if len(entries) <= 1 and len(exits) <= 1:
        return None
    inward, outward = (
        tuple(_order(order, rate) for order in side) for side, rate in ((entries, fees[0]), (exits, fees[1]))
    )
    return inward, _flat(inward, outward, fees[1])


def _order(order: Row, fee_rate: Decimal) -> Leg:
    at = _moment(order, "order_filled_timestamp")
    return leg(at, _figure(order, "amount"), _figure(order, "safe_price"), fee_rate)


def _flat(entries: tuple[Leg, ...], exits: tuple[Leg, ...], fee_rate: Decimal) -> tuple[Leg, ...]:
    """The exits, of which the last takes along the noise of floats that the sums of both sides differ by."""
    entered = sum((one.quantity for one in entries), _ZERO)
    rest = entered - sum((one.quantity for one in exits), _ZERO)
    if not exits or not rest or abs(rest) > _NOISE * entered:
        return exits
    last = exits[-1]
    return *exits[:-1], leg(last.at, last.quantity + rest, last.price, fee_rate)


def _figure(row: Row, name: str) -> Decimal:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        msg = f"{name} must be a number, got {value!r}"
        raise ValueError(msg)  # noqa: TRY004  the caller names the line of every ValueError
    try:
        figure = Decimal(value)
    except InvalidOperation as error:
        msg = f"{name} must be a number, got {value!r}"
        raise ValueError(msg) from error
    exponent = figure.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < _FINEST or figure.adjusted() > _WIDEST:
        msg = f"{name} is no figure of a trade: {value}"
        raise ValueError(msg)
    return figure


def _rate(row: Row, name: str) -> Decimal:
    rate = _figure(row, name)
    if abs(rate) >= _ONE:
        msg = f"{name} must be a fraction of notional, got {rate}"
        raise ValueError(msg)
    return rate


def _instant(row: Row, end: str) -> Instant:
    """When it opened or closed: by the ms, else by the date."""
    if row.get(f"{end}_timestamp") is not None:
        return _moment(row, f"{end}_timestamp")
    date = row.get(f"{end}_date")
    if not isinstance(date, str):
        msg = f"needs {end}_timestamp in ms or {end}_date"
        raise ValueError(msg)  # noqa: TRY004  as above
    try:
        return parse_instant(date)
    except ValueError as error:
        msg = f"{end}_date {error}, got {date!r}"
        raise ValueError(msg) from error


def _moment(row: Row, name: str) -> Instant:
    at_ms = _figure(row, name)
    if at_ms != at_ms.to_integral_value() or not _EARLIEST_MS <= at_ms < _LATEST_MS:
        msg = f"{name} must be a time in ms, got {at_ms}"
        raise ValueError(msg)
    return int(at_ms) * _MS
