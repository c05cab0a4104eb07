"""Recorded funding: CSV (gzip where the name ends in .gz) with the columns ``symbol``, ``funding_time`` (ms since the
Unix epoch, UTC) and ``funding_rate`` (fraction of notional); on demand ``mark_price_open``, the mark price at which it
was settled. Other columns are not looked at.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from bisect import bisect_left, bisect_right
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.simulation import FundingTime
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

HOUR_MS = 3_600_000
USUAL_INTERVAL_MS = 8 * HOUR_MS
"""Binance settles funding every eight hours, and of some symbols more often, never less."""

_MARK = "mark_price_open"
_REQUIRED = ("symbol", "funding_time", "funding_rate")
_LARGEST_PRICE = 10**12
# As in `recording`: what lies outside was written in seconds or microseconds.
_EARLIEST_MS, _LATEST_MS = 10**11, 10**13


class FundingTable:
    """Recorded settlements of some symbols, each once and in order of time. Immutable."""

    def __init__(self, settlements: Iterable[FundingTime]) -> None:
        """Take settlements in any order; of two of one symbol and time the first stays."""
        by_symbol: dict[str, dict[int, FundingTime]] = {}
        for one in settlements:
            by_symbol.setdefault(one.symbol, {}).setdefault(one.at_ms, one)
        self._rows = {symbol: [rows[at_ms] for at_ms in sorted(rows)] for symbol, rows in by_symbol.items()}

    def __iter__(self) -> Iterator[FundingTime]:
        return (one for rows in self._rows.values() for one in rows)

    def between(self, symbol: str, first_ms: int, last_ms: int) -> Sequence[FundingTime]:
        """The settlements of ``symbol`` from ``first_ms`` to ``last_ms``, both included, in order of time."""
        rows = self._rows.get(symbol, [])
        begin = bisect_left(rows, first_ms, key=lambda one: one.at_ms)
        return rows[begin : bisect_right(rows, last_ms, key=lambda one: one.at_ms)]

    def last(self, symbol: str, at_ms: int) -> FundingTime | None:
        """The last settlement that had taken place at ``at_ms``; None where none had."""
        rows = self._rows.get(symbol, [])
        place = bisect_right(rows, at_ms, key=lambda one: one.at_ms)
        return rows[place - 1] if place else None

    def next_ms(self, symbol: str, at_ms: int) -> int | None:
        """When the settlement after the last one was to be expected at ``at_ms``; None where none had taken place.

        By what had been seen till then: the time between the last two, in whole hours and at most eight.
        """
        rows = self._rows.get(symbol, [])
        place = bisect_right(rows, at_ms, key=lambda one: one.at_ms)
        if not place:
            return None
        interval = USUAL_INTERVAL_MS
        for before, after in pairwise(rows[max(place - 2, 0) : place]):
            hours = round((after.at_ms - before.at_ms) / HOUR_MS)
            interval = min(interval, max(hours, 1) * HOUR_MS)
        return rows[place - 1].at_ms + interval


def read_funding(paths: Sequence[Path], *, marked: bool = False) -> FundingTable:
    """Return the settlements in some files; of those told twice, what the first file says stays.

    With ``marked`` their mark prices too: the column must be there, and a field that is empty is a price not known.

    Raises RecordingError naming file and line where a file cannot be read, lacks a column or has a value that is no
    rate or no time in ms, or a mark that is no price. Nothing is mended or skipped.
    """
    return FundingTable(one for path in paths for one in _read(path, marked=marked))


def _read(path: Path, *, marked: bool) -> list[FundingTime]:
    required = (*_REQUIRED, _MARK) if marked else _REQUIRED
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = [name for name in required if name not in (rows.fieldnames or ())]
            if missing:
                msg = f"{path.name}: lacks the columns {', '.join(missing)}"
                raise RecordingError(msg)
            return [_row(f"{path.name}:{rows.line_num}", row, marked=marked) for row in rows]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        msg = f"{path.name}: cannot be read: {error}"
        raise RecordingError(msg) from error


def _row(where: str, row: dict[str, str | None], *, marked: bool) -> FundingTime:
    symbol, written, told = (row[name] or "" for name in _REQUIRED)
    try:
        at_ms, rate = int(written), Decimal(told)
    except (ValueError, InvalidOperation) as error:
        msg = f"{where}: needs a funding_time in ms and a funding_rate, got {written!r} and {told!r}"
        raise RecordingError(msg) from error
    if not symbol or not _EARLIEST_MS <= at_ms < _LATEST_MS or not rate.is_finite() or not -1 <= rate <= 1:
        msg = f"{where}: needs a symbol, a time in ms and a rate that is a fraction, got {symbol!r}, {at_ms} and {rate}"
        raise RecordingError(msg)
    return FundingTime(symbol, at_ms, rate, _mark(where, row[_MARK] or "") if marked else None)


def _mark(where: str, told: str) -> Decimal | None:
    if not told:
        return None
    try:
        mark = Decimal(told)
    except InvalidOperation as error:
        msg = f"{where}: needs a mark price, got {told!r}"
        raise RecordingError(msg) from error
    if not mark.is_finite() or not 0 < mark < _LARGEST_PRICE:
        msg = f"{where}: needs a mark price above 0, got {told!r}"
        raise RecordingError(msg)
    return mark
