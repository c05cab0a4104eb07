"""Recorded klines: a file is believed whole or refused with file, symbol and row; no bar is seen before it closed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petrosa_cio.core.exchange.klines import Bar
from petrosa_cio.core.exchange.recording import KlineTable, merge, read_klines
from petrosa_cio.errors import RecordingError

MINUTE = 60_000
T0 = 1_700_000_040_000 // MINUTE * MINUTE
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "klines"

Columns = dict[str, list[object]]


def columns(*minutes: int, symbol: str = "BTCUSDT", close: float = 100.5) -> Columns:
    """Sound bars of one symbol that open the given minutes after T0."""
    count = len(minutes)
    return {
        "symbol": [symbol] * count,
        "open_time": [T0 + minute * MINUTE for minute in minutes],
        "open": [100.0] * count,
        "high": [101.0] * count,
        "low": [99.0] * count,
        "close": [close] * count,
        "volume": [5.0] * count,
    }


def written(folder: Path, content: Columns, name: str = "bars.parquet") -> Path:
    path = folder / name
    pq.write_table(pa.table(content), path)
    return path


def table(folder: Path, *minutes: int, name: str = "bars.parquet", close: float = 100.5) -> KlineTable:
    return read_klines(written(folder, columns(*minutes, close=close), name))


def with_close_times(content: Columns, minutes: int = 1) -> Columns:
    closes = [int(str(opened)) + minutes * MINUTE - 1 for opened in content["open_time"]]
    return content | {"close_time": list(closes)}


def test_a_recording_tells_what_it_holds(tmp_path: Path) -> None:
    """Symbols, interval, span and number of rows are those of the file; another symbol has none."""
    two = {key: values + columns(0, 5, 10, symbol="ADAUSDT")[key] for key, values in columns(0, 1, 2, 4).items()}
    recording = read_klines(written(tmp_path, two))
    assert recording.symbols == ("ADAUSDT", "BTCUSDT")
    assert (recording.interval_ms("BTCUSDT"), recording.interval_ms("ADAUSDT")) == (MINUTE, 5 * MINUTE)
    assert recording.span("BTCUSDT") == (T0, T0 + 5 * MINUTE - 1)
    assert recording.span("ADAUSDT") == (T0, T0 + 15 * MINUTE - 1)
    assert (recording.rows("BTCUSDT"), recording.rows("ADAUSDT"), recording.rows("XRPUSDT")) == (4, 3, 0)
    assert recording.last_closed("XRPUSDT", T0 * 2) is None
    with pytest.raises(RecordingError, match="no bars of XRPUSDT"):
        recording.interval_ms("XRPUSDT")
    with pytest.raises(RecordingError, match="no bars of XRPUSDT"):
        recording.span("XRPUSDT")


def test_the_bars_that_closed_in_a_time_are_told_in_order(tmp_path: Path) -> None:
    """After one moment and up to another, the end included and the beginning not; a symbol without bars has none."""
    recording = table(tmp_path, 0, 1, 2, 4)
    closes = [T0 + minute * MINUTE - 1 for minute in (1, 2, 3, 5)]
    told = [one.close_time_ms for one in recording.closed("BTCUSDT", closes[0], closes[2])]
    assert told == closes[1:3]
    assert [one.close_time_ms for one in recording.closed("BTCUSDT", closes[0] - 1, closes[2] - 1)] == closes[:2]
    assert [one.close_time_ms for one in recording.closed("BTCUSDT", -1, 2 * T0)] == closes
    assert list(recording.closed("XRPUSDT", -1, 2 * T0)) == []


def test_a_bar_is_visible_only_after_its_close(tmp_path: Path) -> None:
    """A millisecond before the close the bar before it is the last; at the close it is the bar itself."""
    recording = table(tmp_path, 0, 1)
    assert recording.last_closed("BTCUSDT", T0 + MINUTE - 2) is None
    first = recording.last_closed("BTCUSDT", T0 + MINUTE - 1)
    assert first == Bar("BTCUSDT", T0, T0 + MINUTE - 1, 100.0, 101.0, 99.0, 100.5, 5.0)
    assert recording.last_closed("BTCUSDT", T0 + 2 * MINUTE - 2) == first
    last = recording.last_closed("BTCUSDT", T0 + 99 * MINUTE)
    assert last is not None
    assert last.open_time_ms == T0 + MINUTE


@given(st.sets(st.integers(0, 60), min_size=2, max_size=25), st.integers(-2 * MINUTE, 70 * MINUTE))
@settings(max_examples=60)
def test_last_closed_is_the_newest_of_all_closed_bars(
    tmp_path_factory: pytest.TempPathFactory, minutes: set[int], after: int
) -> None:
    """For any bars with gaps and any moment: nothing that had not closed is seen, nothing newer that had is missed."""
    opens = sorted(minutes)
    content = with_close_times(columns(*opens))
    recording = read_klines(written(tmp_path_factory.mktemp("bars"), content))
    closed = [opened for opened in opens if (opened + 1) * MINUTE - 1 <= after]
    seen = recording.last_closed("BTCUSDT", T0 + after)
    assert (seen and seen.open_time_ms) == (T0 + closed[-1] * MINUTE if closed else None)


def test_all_bars_of_a_symbol_come_in_order(tmp_path: Path) -> None:
    """Every bar of a symbol is told once, in order of time, over its gaps; a symbol without bars is an error."""
    recording = table(tmp_path, 0, 1, 4)
    bars = list(recording.bars("BTCUSDT"))
    assert [one.open_time_ms for one in bars] == [T0, T0 + MINUTE, T0 + 4 * MINUTE]
    assert bars[-1] == recording.last_closed("BTCUSDT", T0 + 9 * MINUTE)
    with pytest.raises(RecordingError, match="no bars of XRPUSDT"):
        recording.bars("XRPUSDT")


def test_rows_of_symbols_may_be_mixed_and_faults_name_the_row_in_the_file(tmp_path: Path) -> None:
    """Each symbol is in order by itself; the row in an error is counted over the whole file, from 0."""
    content = columns(0, 0, 1, 1, 2, 2)
    content["symbol"] = ["BTCUSDT", "ETHUSDT"] * 3
    assert read_klines(written(tmp_path, content)).rows("ETHUSDT") == 3
    content["close"][3] = 0.0
    content["low"][3] = -1.0
    with pytest.raises(RecordingError, match=r"^bars\.parquet: ETHUSDT: row 3 "):
        read_klines(written(tmp_path, content))


FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "NaN price": ({"close": float("nan")}, "close that is not a finite number"),
    "infinite price": ({"high": float("inf")}, "high that is not a finite number"),
    "infinite volume": ({"volume": float("inf")}, "volume that is not a finite number"),
    "zero price": ({"low": 0.0}, "low that is not positive"),
    "negative price": ({"open": -100.0}, "open that is not positive"),
    "negative volume": ({"volume": -1.0}, "negative volume"),
    "high below close": ({"high": 100.2}, "high that is not highest"),
    "low above open": ({"low": 100.2}, "low that is not lowest"),
    "the same time again": ({"open_time": T0 + MINUTE}, "does not open after the row before"),
    "earlier than before": ({"open_time": T0}, "does not open after the row before"),
    "overlap": ({"open_time": T0 + MINUTE + 30_000}, "before the row before closes"),
    "seconds": ({"open_time": T0 // 1000}, "not in milliseconds"),
    "microseconds": ({"open_time": T0 * 1000}, "not in milliseconds"),
}


@pytest.mark.parametrize(("changed", "problem"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_row_is_named(tmp_path: Path, changed: dict[str, object], problem: str) -> None:
    """A value that is impossible, out of order or inconsistent raises RecordingError with file, symbol and row."""
    content = columns(0, 1, 2, 3, 4)
    for name, value in changed.items():
        content[name][2] = value
    with pytest.raises(RecordingError, match=rf"^bars\.parquet: BTCUSDT: row 2 .*{problem}"):
        read_klines(written(tmp_path, content))


@pytest.mark.parametrize("missing", ["symbol", "open_time", "open", "high", "low", "close", "volume"])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    """A file without one of the required columns raises RecordingError naming it."""
    content = columns(0, 1)
    del content[missing]
    with pytest.raises(RecordingError, match=rf"^bars\.parquet: lacks the columns {missing}$"):
        read_klines(written(tmp_path, content))


@pytest.mark.parametrize("name", ["symbol", "open_time", "close"])
def test_an_absent_value_is_named(tmp_path: Path, name: str) -> None:
    """A null in a column raises RecordingError with its row."""
    content = columns(0, 1)
    content[name][1] = None
    with pytest.raises(RecordingError, match=rf"^bars\.parquet: row 1: {name} is absent"):
        read_klines(written(tmp_path, content))


@pytest.mark.parametrize(("name", "value"), [("close", "100.5"), ("open_time", "x"), ("symbol", 7), ("open_time", 0.5)])
def test_a_column_of_another_type_is_named(tmp_path: Path, name: str, value: object) -> None:
    """Text is never read as a number, nor a fraction as a time: RecordingError names the column."""
    content = columns(0, 1)
    content[name] = [value, value]
    with pytest.raises(RecordingError, match=rf"^bars\.parquet: column {name} "):
        read_klines(written(tmp_path, content))


def test_symbols_may_be_written_as_a_dictionary_or_as_large_text(tmp_path: Path) -> None:
    """The ways in which writers store repeated text all read the same."""
    for kind in (
        pa.dictionary(pa.int8(), pa.string()),
        pa.large_string(),
        pa.dictionary(pa.int32(), pa.large_string()),
    ):
        whole = pa.table(columns(0, 1))
        pq.write_table(whole.set_column(0, "symbol", whole["symbol"].cast(kind)), tmp_path / "kind.parquet")
        assert read_klines(tmp_path / "kind.parquet").rows("BTCUSDT") == 2


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    """Text, a file cut short, an absent file and an empty table raise RecordingError naming the file."""
    (tmp_path / "text.parquet").write_text("symbol,open_time")
    whole = written(tmp_path, columns(0, 1)).read_bytes()
    (tmp_path / "short.parquet").write_bytes(whole[:-20])
    empty = pa.table(columns(0, 1)).slice(0, 0)
    pq.write_table(empty, tmp_path / "empty.parquet")
    for name in ("text", "short", "absent", "empty"):
        with pytest.raises(RecordingError, match=rf"^{name}\.parquet: "):
            read_klines(tmp_path / f"{name}.parquet")


def test_a_single_bar_needs_its_close_time(tmp_path: Path) -> None:
    """With one bar the interval is known only from close_time; without it the file is refused."""
    with pytest.raises(RecordingError, match="interval is unknown"):
        table(tmp_path, 0)
    recording = read_klines(written(tmp_path, with_close_times(columns(0), minutes=5)))
    assert recording.interval_ms("BTCUSDT") == 5 * MINUTE
    assert recording.span("BTCUSDT") == (T0, T0 + 5 * MINUTE - 1)


def test_recorded_close_times_are_checked(tmp_path: Path) -> None:
    """A bar that closes before it opens, or after the next one opens, raises RecordingError."""
    content = with_close_times(columns(0, 1, 2))
    content["close_time"][1] = T0
    with pytest.raises(RecordingError, match=r"row 1 closes before it opens"):
        read_klines(written(tmp_path, content))
    content["close_time"][1] = T0 + 2 * MINUTE
    with pytest.raises(RecordingError, match=r"row 2 opens at .* before the row before closes"):
        read_klines(written(tmp_path, content))


def test_of_overlapping_bars_the_first_file_wins(tmp_path: Path) -> None:
    """Merged tables hold each minute once; a note counts what was dropped and how much of it told other prices."""
    first = table(tmp_path, 1, 2, 3, name="a.parquet")
    second = table(tmp_path, 0, 1, 2, 4, 5, name="b.parquet", close=100.75)
    merged = merge([first, second])
    seen = [merged.last_closed("BTCUSDT", T0 + minute * MINUTE - 1) for minute in range(1, 7)]
    assert [bar and bar.close for bar in seen] == [100.75, 100.5, 100.5, 100.5, 100.75, 100.75]
    assert merged.rows("BTCUSDT") == 6
    assert len(merged.notes) == 1
    assert merged.notes[0].startswith("BTCUSDT: 2 bars of b.parquet ")
    assert "2 of them tell other prices" in merged.notes[0]
    assert merge([first]).notes == ()


def test_mixed_intervals_are_noted(tmp_path: Path) -> None:
    """Where bars of another interval join a symbol, a note says so, and each bar keeps its own close."""
    merged = merge([table(tmp_path, 0, 1, 2, name="a.parquet"), table(tmp_path, 5, 10, 15, name="b.parquet")])
    assert merged.notes == ("BTCUSDT: bars of 60000 ms and 300000 ms are mixed",)
    assert merged.span("BTCUSDT") == (T0, T0 + 20 * MINUTE - 1)
    bar = merged.last_closed("BTCUSDT", T0 + 10 * MINUTE - 2)
    assert bar is not None
    assert bar.open_time_ms == T0 + 2 * MINUTE


MINUTE_SETS = st.sets(st.integers(0, 40), min_size=1, max_size=20)


@given(MINUTE_SETS, st.sets(st.integers(0, 13), min_size=1, max_size=10))
@settings(max_examples=60)
def test_merging_keeps_the_first_and_all_that_does_not_overlap(
    tmp_path_factory: pytest.TempPathFactory, ones: set[int], threes: set[int]
) -> None:
    """For any one-minute and three-minute bars: all of the first stay, and of the second exactly those apart."""
    folder = tmp_path_factory.mktemp("merge")
    first = read_klines(written(folder, with_close_times(columns(*sorted(ones))), "a.parquet"))
    long_bars = with_close_times(columns(*(3 * third for third in sorted(threes)), close=100.75), minutes=3)
    merged = merge([first, read_klines(written(folder, long_bars, "b.parquet"))])
    apart = {3 * third for third in threes if not ones & {3 * third, 3 * third + 1, 3 * third + 2}}
    ends = sorted([one + 1 for one in ones] + [three + 3 for three in apart])
    seen = [merged.last_closed("BTCUSDT", T0 + end * MINUTE - 1) for end in ends]
    assert [bar and (bar.close_time_ms + 1 - T0) // MINUTE for bar in seen] == ends
    assert merged.rows("BTCUSDT") == len(ends)
    assert {(bar.open_time_ms - T0) // MINUTE for bar in seen if bar and bar.close == 100.5} == ones


# Rows, symbols and interval in minutes, as the list of sources states them.
RECORDED = {
    "um_1m_2025-05-04_2025-06-03_8sym": (330_762, 8, 1),
    "um_5m_2025-03-06_2025-04-13_tariff_crash": (102_249, 10, 5),
    "um_5m_2023-01-01_2024-05-14_BTC_ETH_LTC": (431_700, 3, 5),
    "um_1h_2019_2024-06_BTC_ETH": (71_880, 2, 60),
    "um_mark_1h_2019_2024-06_BTC_ETH": (68_714, 2, 60),
    "um_15m_2023-01_2024-06_BTC_ETH": (105_024, 2, 15),
    "spot_1m_2021-04-20_2021-05-20_crash_6sym": (257_486, 6, 1),
    "spot_5m_2022-10_2023-01_FTX_3sym": (106_272, 3, 5),
    "spot_1h_2017-08_2024-04_BTC": (53_146, 1, 60),
    "um_1m_12col_2023-08_FIL_NEAR": (89_280, 2, 1),
    "um_1m_12col_2024-04_FIL": (43_200, 1, 1),
    "spot_15m_12col_2025-02-10_2025-06-02_10sym": (108_480, 10, 15),
}


@pytest.mark.parametrize("name", RECORDED)
def test_real_recordings_are_believed_whole(name: str) -> None:
    """Every recorded file passes all checks and has the rows, symbols and interval that its list of sources states."""
    path = SHARED / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"recording {path} is not on this machine")
    recording = read_klines(path)
    rows, symbols, minutes = RECORDED[name]
    assert sum(recording.rows(symbol) for symbol in recording.symbols) == rows
    assert len(recording.symbols) == symbols
    assert {recording.interval_ms(symbol) for symbol in recording.symbols} == {minutes * MINUTE}


def test_a_real_crash_is_where_it_was() -> None:
    """Litecoin's five minutes from 21:40 UTC on 17 August 2023 are 29.47 % wide, as the list of sources states."""
    path = SHARED / "um_5m_2023-01-01_2024-05-14_BTC_ETH_LTC.parquet"
    if not path.exists():
        pytest.skip(f"recording {path} is not on this machine")
    opened = 1_692_308_400_000
    bar = read_klines(path).last_closed("LTCUSDT", opened + 5 * MINUTE - 1)
    assert bar is not None
    assert bar.open_time_ms == opened
    assert round((bar.high / bar.low - 1) * 100, 2) == 29.47
