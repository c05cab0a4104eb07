"""The regime guard on recorded crashes and calm months: how the figures of `crash_report` are found.

Everything that is compared is found by rule, not by hand:

* A crash is named by its days. Its *fall* is the deepest one from a high to a later low, from 24 hours before the first
  of the days to the end of the last. *Half* of it is the first bar that closes at or below the middle of the two.
* The *lead* is from the close of the first bar after the high that the guard flags (high_volatility or capitulation) to
  the close of the bar that is half of the fall. A flag that comes with that very bar has no lead.
* A calendar month is *calm* where the leader never fell by 10 % or more within 72 hours. What is flagged in it is
  counted as false alarm, all of it.
* *Held* says since when the flag that is up one bar before the half has been up; a flag that came and went before it
  does not count here.
* *Fallen while flagged* is the part of the fall, of its logarithm from the high's close to the low's, that came in
  bars before which the flag was up: what an entry held back by the flag did not lose. Above 1 or below 0 where the
  price rose in the other bars, or in these.
* Baselines: always allow (lead none, fallen while flagged 0, no false alarm); and block while the range of the last
  hour is over k times its median of the last week.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.guard import State, fold, regime_of, under_leader
from petrosa_cio.apps.nurse.indicators import Ranked
from petrosa_cio.apps.nurse.regime import Label
from petrosa_cio.core.exchange.recording import KlineTable, read_klines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from petrosa_cio.apps.nurse.regime import Regime
    from petrosa_cio.core.exchange.klines import Bar

LEADER = "BTCUSDT"
CRASHES = (
    ("19 May 2021 *", "2021-05-19", "2021-05-19"),
    ("8-9 Nov 2022", "2022-11-08", "2022-11-09"),
    ("17 Aug 2023 *", "2023-08-17", "2023-08-17"),
    ("12-13 Apr 2024", "2024-04-12", "2024-04-13"),
    ("3-7 Apr 2025", "2025-04-03", "2025-04-07"),
)
"""Name, first day, last day (UTC). A star marks those on which thresholds were chosen."""
FACTORS = (2, 3, 4)
"""k of the baseline."""
FLAGGED = (Label.HIGH_VOLATILITY, Label.CAPITULATION)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
COARSEST = 15 * MINUTE
CALM_FALL, CALM_SPAN = 0.10, 72 * HOUR
LEAST_COVER = 20 * DAY


@dataclass(frozen=True)
class Track:
    """One symbol of one file, bar by bar: what was told, and what the guard and the baselines made of it."""

    file: str
    symbol: str
    interval: int
    closes_at: list[int]
    bars: list[Bar]
    labels: list[Label]
    over: dict[int, list[bool]]
    """By k: whether the baseline blocks."""

    def flags(self) -> list[bool]:
        return [label in FLAGGED for label in self.labels]

    def between(self, start: int, end: int) -> slice:
        return slice(bisect_right(self.closes_at, start - 1), bisect_right(self.closes_at, end - 1))


@dataclass(frozen=True)
class Fall:
    """The deepest fall of a window: rows of the track."""

    high: int
    low: int
    half: int
    depth: float


def regimes(bars: Iterable[Bar]) -> Iterator[Regime]:
    """The regime after each bar, leaders left aside."""
    state = State()
    for bar in bars:
        state = fold(state, bar)
        yield regime_of(bar.symbol, state)


def beside(own: Iterable[Regime], leader: Sequence[Regime]) -> Iterator[Regime]:
    """Each regime as it stands beside the leader's last one before it."""
    times = [regime.as_of or 0 for regime in leader]
    for regime in own:
        place = bisect_right(times, regime.as_of or 0)
        yield under_leader(regime, leader[place - 1]) if place else regime


def hourly_ranges(bars: Sequence[Bar]) -> Iterator[float]:
    """High over low, less one, of the bars that closed within the last hour."""
    hour: deque[Bar] = deque()
    for bar in bars:
        hour.append(bar)
        while hour[0].close_time_ms <= bar.close_time_ms - HOUR:
            hour.popleft()
        yield max(one.high for one in hour) / min(one.low for one in hour) - 1.0


def baseline(bars: Sequence[Bar]) -> dict[int, list[bool]]:
    """By k: whether the hour's range is over k times its median of the last week, a sample every 15 minutes."""
    blocked: dict[int, list[bool]] = {factor: [] for factor in FACTORS}
    window, step = Ranked(), -1
    for bar, span in zip(bars, hourly_ranges(bars), strict=True):
        # A day of samples first, as the guard has.
        usual = window.median if len(window.recent) >= 96 else None
        for factor, column in blocked.items():
            column.append(usual is not None and span > factor * usual)
        if bar.close_time_ms // COARSEST != step:
            step = bar.close_time_ms // COARSEST
            window = window.add(span, 672)
    return blocked


def fall_of(bars: Sequence[Bar], start: int, end: int) -> Fall:
    """The deepest fall from a high to a later low among rows ``start`` to ``end``, and the first close at its half."""
    high = best_high = best_low = start
    depth = 0.0
    for row in range(start, end):
        if bars[row].high > bars[high].high:
            high = row
        if 1.0 - bars[row].low / bars[high].high > depth:
            depth, best_high, best_low = 1.0 - bars[row].low / bars[high].high, high, row
    middle = (bars[best_high].high + bars[best_low].low) / 2.0
    closed = (row for row in range(best_high, end) if bars[row].close <= middle)
    return Fall(best_high, best_low, next(closed, best_low), depth)


def lead_of(flags: Sequence[bool], times: Sequence[int], fall: Fall) -> tuple[int | None, float | None]:
    """Row of the first flag from the high to the half, and minutes from its close to the half's; None without one."""
    row = next((row for row in range(fall.high, fall.half + 1) if flags[row]), None)
    return row, None if row is None else (times[fall.half] - times[row]) / MINUTE


def held_at(flags: Sequence[bool], times: Sequence[int], fall: Fall) -> float | None:
    """Minutes before the half, from the high on, since when the flag of the bar before it was up; None without one."""
    row = fall.half - 1
    if row < fall.high or not flags[row]:
        return None
    while row > fall.high and flags[row - 1]:
        row -= 1
    return (times[fall.half] - times[row]) / MINUTE


def fallen_while(flags: Sequence[bool], bars: Sequence[Bar], fall: Fall) -> float:
    """Part of the fall, by logarithms, that came in bars before which the flag was up."""
    whole = math.log(bars[fall.low].close / bars[fall.high].close)
    rows = range(fall.high + 1, fall.low + 1)
    under = math.fsum(math.log(bars[row].close / bars[row - 1].close) for row in rows if flags[row - 1])
    return round(under / whole, 3) if whole < 0 else 0.0


def day(text: str) -> int:
    """Milliseconds at the beginning of a day, UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def shown(at: int) -> str:
    """A time to the minute; a bar's last millisecond belongs to the minute that it ends."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at + 1)).strftime("%Y-%m-%d %H:%M")


def crash_row(track: Track, name: str, first: str, last: str) -> dict[str, object] | None:
    """What is reported of one crash of one track; None where its window is not in the recording whole."""
    begin, end = day(first) - DAY, day(last) + DAY
    window = track.between(begin, end)
    covered = window.stop > window.start and track.bars[window.start].open_time_ms <= begin + HOUR
    if not covered or track.labels[window.start] is Label.UNKNOWN:
        return None
    fall = fall_of(track.bars, window.start, window.stop)
    row, lead = lead_of(track.flags(), track.closes_at, fall)
    top, bottom = track.bars[fall.high].high, track.bars[fall.low].low
    return {
        "crash": name,
        "file": track.file,
        "symbol": track.symbol,
        "recorded_until": None if track.closes_at[-1] >= end - HOUR else shown(track.closes_at[-1]),
        "high_at": shown(track.closes_at[fall.high]),
        "half_at": shown(track.closes_at[fall.half]),
        "low_at": shown(track.closes_at[fall.low]),
        "fall": round(fall.depth, 4),
        "first_flag": None if row is None else shown(track.closes_at[row]),
        "first_label": None if row is None else str(track.labels[row]),
        "lead_minutes": lead,
        "fallen_while_flagged": fallen_while(track.flags(), track.bars, fall),
        "fallen_at_first_flag": None if row is None else round((top - track.bars[row].close) / (top - bottom), 3),
        "held_minutes": held_at(track.flags(), track.closes_at, fall),
        "label_before_half": str(track.labels[fall.half - 1]),
        "baseline_lead_minutes": {k: lead_of(over, track.closes_at, fall)[1] for k, over in track.over.items()},
        "baseline_held_minutes": {k: held_at(over, track.closes_at, fall) for k, over in track.over.items()},
        "baseline_fallen": {k: fallen_while(over, track.bars, fall) for k, over in track.over.items()},
    }


def calm_months(leader: Iterable[Bar]) -> Iterator[tuple[str, int, int]]:
    """Name, begin and end of each month in which the leader never fell by a tenth within 72 hours."""
    worst: dict[str, float] = {}
    highs: deque[tuple[int, float]] = deque()
    for bar in leader:
        while highs and highs[-1][1] <= bar.high:
            highs.pop()
        highs.append((bar.close_time_ms, bar.high))
        while highs[0][0] <= bar.close_time_ms - CALM_SPAN:
            highs.popleft()
        month = shown(bar.open_time_ms - 1)[:7]
        worst[month] = max(worst.get(month, 0.0), 1.0 - bar.low / highs[0][1])
    for month, fall in worst.items():
        if fall < CALM_FALL:
            begin = day(f"{month}-01")
            after = (datetime.fromisoformat(f"{month}-01") + timedelta(days=32)).strftime("%Y-%m-01")
            yield month, begin, day(after)


def calm_row(track: Track, month: str, begin: int, end: int) -> dict[str, object] | None:
    """What is reported of a calm month of one track; None where it knows too little of the month."""
    rows = range(*track.between(begin, end).indices(len(track.bars)))
    known = [row for row in rows if track.labels[row] is not Label.UNKNOWN]
    if len(known) * track.interval < LEAST_COVER:
        return None
    flags = track.flags()
    hours = track.interval / HOUR
    return {
        "month": month,
        "file": track.file,
        "symbol": track.symbol,
        "known_hours": round(len(known) * hours, 1),
        "flagged_hours": round(sum(flags[row] for row in known) * hours, 1),
        "alarms": sum(flags[row] and not flags[row - 1] for row in known if row),
        "choppy_hours": round(sum(track.labels[row] is Label.CHOPPY for row in known) * hours, 1),
        "capitulation_hours": round(sum(track.labels[row] is Label.CAPITULATION for row in known) * hours, 1),
        "baseline_hours": {k: round(sum(over[row] for row in known) * hours, 1) for k, over in track.over.items()},
    }


def leader_file(name: str, tables: dict[str, KlineTable], symbol: str) -> str | None:
    """The file to take the leader from: the same, else of the same market one that covers the symbol's time."""
    if LEADER in tables[name].symbols:
        return name
    begin, end = tables[name].span(symbol)
    for other, table in tables.items():
        if other.split("_")[0] == name.split("_")[0] and LEADER in table.symbols:
            first, last = table.span(LEADER)
            if first <= begin and end <= last:
                return other
    return None


def read_tables(directory: Path) -> dict[str, KlineTable]:
    """The recordings of last prices whose bars are short enough to act on, by file name."""
    paths = [path for path in sorted(directory.glob("*.parquet")) if "_mark_" not in path.name]
    tables = {path.stem: read_klines(path) for path in paths}
    return {
        name: table for name, table in tables.items() if table.interval_ms(table.symbols[0]) <= COARSEST
    }  # fmt: skip


def report(tables: dict[str, KlineTable]) -> dict[str, list[dict[str, object]]]:
    """Crashes, calm months and shares of time of every symbol of every file."""
    found: dict[str, list[dict[str, object]]] = {"crashes": [], "calm": [], "shares": []}
    leaders: dict[str, list[Regime]] = {}
    calm: dict[str, list[tuple[str, int, int]]] = {}
    for name, table in tables.items():
        for symbol in table.symbols:
            source = leader_file(name, tables, symbol)
            if source is not None and source not in leaders:
                leaders[source] = list(regimes(tables[source].bars(LEADER)))
                calm[source] = list(calm_months(tables[source].bars(LEADER)))
            track = track_of(name, table, symbol, leaders.get(source or "", []))
            found["crashes"] += filter(None, (crash_row(track, *crash) for crash in CRASHES))
            found["calm"] += filter(None, (calm_row(track, *month) for month in calm.get(source or "", [])))
            found["shares"].append(share_row(track))
            sys.stderr.write(f"{name} {symbol}: {len(track.bars)} bars\n")
    order = [name for name, *_ in CRASHES]
    found["crashes"].sort(key=lambda row: (order.index(str(row["crash"])), str(row["file"]), str(row["symbol"])))
    return found


def track_of(name: str, table: KlineTable, symbol: str, leader: Sequence[Regime]) -> Track:
    bars = list(table.bars(symbol))
    own = leader if symbol == LEADER else beside(regimes(bars), leader)
    labels = [regime.label for regime in own]
    return Track(
        name, symbol, table.interval_ms(symbol), [bar.close_time_ms for bar in bars], bars, labels, baseline(bars)
    )


def share_row(track: Track) -> dict[str, object]:
    """Share of all time that each label had."""
    shares = {str(label): round(track.labels.count(label) / len(track.labels), 4) for label in Label}
    return {"file": track.file, "symbol": track.symbol, "bars": len(track.bars), "shares": shares}
