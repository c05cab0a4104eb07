"""Recorded klines: parquet files of bars, checked whole before one of them is believed.

Columns: ``symbol``, ``open_time`` (ms since the Unix epoch, UTC), ``open``, ``high``, ``low``, ``close``, ``volume``;
``close_time`` (ms, inclusive) is used where present and derived from the commonest step where not. Other columns are
not looked at. Rows are counted from 0, as they lie in the file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any  # Any: pyarrow has no types

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from petrosa_cio.core.exchange.klines import Bar
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_PRICES = ("open", "high", "low", "close")
_NUMBERS = (*_PRICES, "volume")
_REQUIRED = ("symbol", "open_time", *_NUMBERS)
# 1973 and 2286: what lies outside was written in seconds or microseconds, as some Binance archives are.
_EARLIEST_MS, _LATEST_MS = 10**11, 10**13


@dataclass(frozen=True, slots=True)
class _Series:
    """The bars of one symbol, column by column, in order of time and without overlap."""

    source: str
    opens: array[int]
    closes: array[int]
    numbers: tuple[array[float], ...]
    """Open, high, low, close, volume."""
    interval: int

    def bar(self, symbol: str, row: int) -> Bar:
        open_, high, low, close, volume = (column[row] for column in self.numbers)
        return Bar(symbol, self.opens[row], self.closes[row], open_, high, low, close, volume)


class KlineTable:
    """Recorded bars of some symbols. Immutable; about 56 bytes a bar."""

    def __init__(self, series: dict[str, _Series], notes: tuple[str, ...] = ()) -> None:
        self._series = series
        self.notes = notes
        """What a reader of figures made from this table ought to know, such as bars dropped by `merge`."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that have bars, by name."""
        return tuple(sorted(self._series))

    def interval_ms(self, symbol: str) -> int:
        """Return the commonest step from one bar to the next, the shortest where two are as common.

        Raises RecordingError where the symbol has no bars.
        """
        return self._of(symbol).interval

    def span(self, symbol: str) -> tuple[int, int]:
        """Return when the first bar opens and when the last one closes, in ms. Raises RecordingError for no bars."""
        series = self._of(symbol)
        return series.opens[0], series.closes[-1]

    def rows(self, symbol: str) -> int:
        """Return the number of bars; 0 for a symbol that is not here."""
        series = self._series.get(symbol)
        return 0 if series is None else len(series.opens)

    def bars(self, symbol: str) -> Iterator[Bar]:
        """Every bar of ``symbol``, in order of time. Raises RecordingError where the symbol has none."""
        series = self._of(symbol)
        return (series.bar(symbol, row) for row in range(len(series.opens)))

    def last_closed(self, symbol: str, at_ms: int) -> Bar | None:
        """Return the last bar that had closed at ``at_ms``, or None where none had.

        A bar counts as closed from its ``close_time_ms`` on, never before: nothing is seen ahead of its time. The
        answer may be old where bars are missing; its ``close_time_ms`` says how old.
        """
        series = self._series.get(symbol)
        row = -1 if series is None else bisect_right(series.closes, at_ms) - 1
        return None if series is None or row < 0 else series.bar(symbol, row)

    def closed(self, symbol: str, after_ms: int, upto_ms: int) -> Iterator[Bar]:
        """The bars of ``symbol`` that closed after ``after_ms`` and by ``upto_ms``, in order."""
        series = self._series.get(symbol)
        if series is None:
            return iter(())
        first, end = bisect_right(series.closes, after_ms), bisect_right(series.closes, upto_ms)
        return (series.bar(symbol, row) for row in range(first, end))

    def _of(self, symbol: str) -> _Series:
        series = self._series.get(symbol)
        if series is None:
            msg = f"no bars of {symbol} in this recording; it has {', '.join(self.symbols) or 'none'}"
            raise RecordingError(msg)
        return series

    def _parts(self) -> Iterable[tuple[str, _Series]]:
        return self._series.items()


def read_klines(path: Path) -> KlineTable:
    """Return the bars of a parquet file.

    Raises RecordingError, naming file, symbol and row, where the file cannot be read, lacks a column, or has a value
    that is absent, not finite, not positive, out of order, overlapping or inconsistent. Nothing is mended or skipped.
    """
    try:
        with pq.ParquetFile(path) as file:
            present = set(file.schema_arrow.names)
            missing = [name for name in _REQUIRED if name not in present]
            if missing:
                msg = f"{path.name}: lacks the columns {', '.join(missing)}"
                raise RecordingError(msg)
            table = file.read(columns=[name for name in (*_REQUIRED, "close_time") if name in present])
    except (OSError, pa.ArrowException) as error:
        msg = f"{path.name}: cannot be read as parquet: {error}"
        raise RecordingError(msg) from error
    return KlineTable(_read(path.name, table))


def merge(tables: Sequence[KlineTable]) -> KlineTable:
    """Return one table of several. Of bars of a symbol that overlap in time, those of the first table stay.

    ``notes`` say how many bars were dropped, how many of them told other prices, and where intervals are mixed.
    """
    merged: dict[str, _Series] = {}
    notes = [note for table in tables for note in table.notes]
    for table in tables:
        for symbol, series in table._parts():  # noqa: SLF001  of the same class
            first = merged.get(symbol)
            merged[symbol] = series if first is None else _overlay(symbol, first, series, notes)
    return KlineTable(merged, tuple(notes))


def _read(name: str, table: pa.Table) -> dict[str, _Series]:
    if table.num_rows == 0:
        msg = f"{name}: has no rows"
        raise RecordingError(msg)
    table = _typed(name, table)
    column = table["symbol"].combine_chunks()
    series: dict[str, _Series] = {}
    for symbol in pc.unique(column).to_pylist():
        places = pc.indices_nonzero(pc.equal(column, symbol))
        series[symbol] = _Checked(name, symbol, places, table.take(places)).series()
    return series


def _typed(name: str, table: pa.Table) -> pa.Table:
    """Return ``table`` in the types we work with, without nulls; only lossless conversions are made."""
    columns = {}
    for label in table.column_names:
        column = table[label]
        wanted = pa.string() if label == "symbol" else pa.float64() if label in _NUMBERS else pa.int64()
        # Text that looks like a number is refused: a converter that left it so may have left worse.
        if _is_text(column.type) != (label == "symbol"):
            msg = f"{name}: column {label} has type {column.type}, not {wanted}"
            raise RecordingError(msg)
        try:
            column = column.cast(wanted)
        except pa.ArrowException as error:
            msg = f"{name}: column {label} has type {column.type}, which cannot be read as {wanted}: {error}"
            raise RecordingError(msg) from error
        if column.null_count:
            row = pc.index(pc.is_null(column.combine_chunks()), True).as_py()
            msg = f"{name}: row {row}: {label} is absent"
            raise RecordingError(msg)
        columns[label] = column
    return pa.table(columns)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


class _Checked:
    """The rows of one symbol, on their way from a file to a series."""

    def __init__(self, name: str, symbol: str, places: Any, table: Any) -> None:
        self._name = name
        self._symbol = symbol
        self._places = places
        self._columns = {label: table[label].combine_chunks() for label in table.column_names}

    def series(self) -> _Series:
        """The series, or RecordingError for the first row that breaks a rule."""
        self._check_times()
        self._check_numbers()
        opens = _longs(self._columns["open_time"])
        if "close_time" in self._columns:
            closes = _longs(self._columns["close_time"])
            interval = _commonest_step(opens) or closes[0] - opens[0] + 1
        else:
            interval = self._only_interval(opens)
            closes = array("q", (opened + interval - 1 for opened in opens))
        self._check_overlap(opens, closes)
        return _Series(self._name, opens, closes, tuple(_doubles(self._columns[label]) for label in _NUMBERS), interval)

    def _only_interval(self, opens: array[int]) -> int:
        interval = _commonest_step(opens)
        if not interval:
            raise self._bad(0, "is the only one and has no close_time, so its interval is unknown")
        return interval

    def _check_times(self) -> None:
        times = self._columns["open_time"]
        sane = pc.and_(pc.greater_equal(times, _EARLIEST_MS), pc.less(times, _LATEST_MS))
        self._require(sane, "has an open_time that is not in milliseconds")
        rising = pc.greater(times.slice(1), times.slice(0, len(times) - 1))
        self._require(rising, "does not open after the row before", offset=1)

    def _check_numbers(self) -> None:
        for label in _NUMBERS:
            self._require(pc.is_finite(self._columns[label]), f"has a {label} that is not a finite number")
        for label in _PRICES:
            self._require(pc.greater(self._columns[label], 0.0), f"has a {label} that is not positive")
        self._require(pc.greater_equal(self._columns["volume"], 0.0), "has a negative volume")
        open_, high, low, close = (self._columns[label] for label in _PRICES)
        self._require(pc.greater_equal(high, pc.max_element_wise(open_, low, close)), "has a high that is not highest")
        self._require(pc.less_equal(low, pc.min_element_wise(open_, high, close)), "has a low that is not lowest")

    def _check_overlap(self, opens: array[int], closes: array[int]) -> None:
        for row, (opened, closed) in enumerate(zip(opens, closes, strict=True)):
            if closed < opened:
                raise self._bad(row, "closes before it opens")
            if row and closes[row - 1] >= opened:
                raise self._bad(row, f"opens at {opened}, before the row before closes at {closes[row - 1]}")

    def _require(self, holds: Any, problem: str, offset: int = 0) -> None:
        row = pc.index(holds, False).as_py()
        if row >= 0:
            raise self._bad(row + offset, problem)

    def _bad(self, row: int, problem: str) -> RecordingError:
        return RecordingError(f"{self._name}: {self._symbol}: row {self._places[row].as_py()} {problem}")


def _longs(column: Any) -> array[int]:
    values = array("q")
    values.frombytes(_eight_byte_values(column))
    return values


def _doubles(column: Any) -> array[float]:
    values = array("d")
    values.frombytes(_eight_byte_values(column))
    return values


def _eight_byte_values(column: Any) -> memoryview:
    """Return the memory of a column of 8-byte values without nulls, so that no Python object is made of each."""
    return memoryview(column.buffers()[1])[column.offset * 8 : (column.offset + len(column)) * 8]


def _commonest_step(opens: array[int]) -> int:
    """Return the commonest difference of neighbours, the smallest of several; 0 where there is none."""
    steps = Counter(after - before for before, after in pairwise(opens))
    return max(steps, key=lambda step: (steps[step], -step), default=0)


def _overlay(symbol: str, first: _Series, second: _Series, notes: list[str]) -> _Series:
    """Return ``first`` with those bars of ``second`` that overlap none of its own; tell ``notes`` what was dropped."""
    opens, closes = array("q"), array("q")
    numbers: tuple[array[float], ...] = tuple(array("d") for _ in _NUMBERS)
    done = dropped = differing = 0

    def take(series: _Series, start: int, stop: int) -> None:
        opens.extend(series.opens[start:stop])
        closes.extend(series.closes[start:stop])
        for target, column in zip(numbers, series.numbers, strict=True):
            target.extend(column[start:stop])

    for row, opened in enumerate(second.opens):
        rival = bisect_right(first.opens, second.closes[row]) - 1
        if rival >= 0 and first.closes[rival] >= opened:
            dropped += 1
            differing += _differs(first, second, row)
            continue
        take(first, done, rival + 1)
        done = rival + 1
        take(second, row, row + 1)
    take(first, done, len(first.opens))
    if dropped:
        notes.append(
            f"{symbol}: {dropped} bars of {second.source} overlap bars of an earlier file and were dropped; "
            f"{differing} of them tell other prices for the very same time"
        )
    if second.interval != first.interval and dropped < len(second.opens):
        notes.append(f"{symbol}: bars of {first.interval} ms and {second.interval} ms are mixed")
    source = f"{first.source} + {second.source}"
    return _Series(source, opens, closes, numbers, _commonest_step(opens))


def _differs(first: _Series, second: _Series, row: int) -> bool:
    twin = bisect_left(first.opens, second.opens[row])
    if twin == len(first.opens):
        return False
    if (first.opens[twin], first.closes[twin]) != (second.opens[row], second.closes[row]):
        return False
    return any(one[twin] != other[row] for one, other in zip(first.numbers[:4], second.numbers[:4], strict=True))
