"""The crash report: falls, halves, leads and calm months are found by rule."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from builders_bars import MINUTE, bar, series, walk

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
KLINES = ROOT.parent / "shared" / "data" / "klines"
needs_klines = pytest.mark.skipif(
    not KLINES.is_dir(), reason=f"the recorded klines are not on this machine: {KLINES} is absent"
)


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crashes", ROOT / "bench" / "crashes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crashes"] = module
    spec.loader.exec_module(module)
    return module


crashes = _loaded()
CLOSES = [100.0, 104.0, 96.0, 110.0, 106.0, 99.0, 92.0, 90.0, 95.0]
FALLING = [bar(row, close, CLOSES[max(0, row - 1)]) for row, close in enumerate(CLOSES)]
TIMES = [one.close_time_ms for one in FALLING]


class TestFall:
    def test_the_deepest_fall_is_from_a_high_to_a_later_low(self) -> None:
        """From 110 in the fourth bar to 90 in the eighth; the first close at or below 100 is the sixth, 99."""
        fall = crashes.fall_of(FALLING, 0, len(FALLING))
        assert (fall.high, fall.low, fall.half) == (3, 7, 5)
        assert fall.depth == pytest.approx(1 - 90 / 110)

    def test_a_rise_after_the_low_is_not_in_it(self) -> None:
        """Of a window that ends before the high, the fall is the one from 104 to 96."""
        fall = crashes.fall_of(FALLING, 0, 3)
        assert (fall.high, fall.low, fall.half) == (1, 2, 2)

    @pytest.mark.parametrize(
        ("up", "lead", "held"),
        [
            ({3, 4, 5}, 10.0, 10.0),
            ({4}, 5.0, 5.0),
            ({3}, 10.0, None),
            ({1, 2, 3, 4}, 10.0, 10.0),
            ({5}, 0.0, None),
            ({6, 7}, None, None),
            (set(), None, None),
        ],
        ids=str,
    )
    def test_lead(self, up: set[int], lead: float | None, held: float | None) -> None:
        """Lead counts from the first flag after the high, held from where the flag that is up at the half began."""
        fall = crashes.fall_of(FALLING, 0, len(FALLING))
        flags = [row in up for row in range(len(FALLING))]
        assert crashes.lead_of(flags, TIMES, fall)[1] == lead
        assert crashes.held_at(flags, TIMES, fall) == held

    def test_what_fell_while_flagged(self) -> None:
        """The flag counts for the bar after it: all of the fall with it always up, none with it never, a part else."""
        fall = crashes.fall_of(FALLING, 0, len(FALLING))
        count = len(FALLING)
        assert crashes.fallen_while([True] * count, FALLING, fall) == 1.0
        assert crashes.fallen_while([False] * count, FALLING, fall) == 0.0
        # ln(99/106) / ln(90/110) = -0.06832 / -0.20067
        assert crashes.fallen_while([row == 4 for row in range(count)], FALLING, fall) == 0.34


class TestBaseline:
    def test_it_blocks_over_k_times_the_usual_range(self) -> None:
        """After a day of an even market an hour that ranges 3.5 times as wide blocks for k = 2 and 3, not for 4."""
        even = [bar(n, 100.0, wick=0.5) for n in range(300)]
        wide = [*even, bar(300, 100.0, wick=1.75)]
        blocked = crashes.baseline(wide)
        assert [blocked[k][-1] for k in (2, 3, 4)] == [True, True, False]
        assert not any(any(column[:-1]) for column in blocked.values())


class TestCalm:
    def test_a_month_without_a_tenth_in_three_days_is_calm(self) -> None:
        """A fall of 9 % within 72 hours leaves the month calm, one of 11 % does not; a slower one of 11 % does."""
        day = 96

        def month(*falls: tuple[int, float]) -> list[str]:
            closes = [100.0] * (14 * day)
            for place, to in falls:
                closes[place:] = [to] * (len(closes) - place)
            return [name for name, *_ in crashes.calm_months(series(closes, minutes=15))]

        assert month((5 * day, 91.0)) == ["2023-11"]
        assert month((5 * day, 89.0)) == []
        assert month((2 * day, 95.0), (6 * day, 89.0)) == ["2023-11"]

    def test_a_calm_walk_has_its_months_whole(self) -> None:
        """A month is named with its first and its last millisecond's successor."""
        months = list(crashes.calm_months(walk(1, 40 * 96, daily=0.005, minutes=15)))
        assert [name for name, *_ in months] == ["2023-11", "2023-12"]
        assert months[0][2] - months[0][1] == 30 * 1440 * MINUTE


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench" / "crash_report.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


class TestCommand:
    def test_no_klines(self, tmp_path: Path) -> None:
        """Where there are no klines the report says so, and exits 2."""
        done = run("--klines", tmp_path)
        assert done.returncode == 2
        assert "no kline files" in done.stderr

    @needs_klines
    def test_a_recorded_crash(self, tmp_path: Path) -> None:
        """On FIL in April 2024, alone, the guard is in stress before half of the fall, and JSON has every figure."""
        table = pq.read_table(KLINES / "um_1m_12col_2024-04_FIL.parquet")
        first, last = crashes.day("2024-04-08"), crashes.day("2024-04-14")
        times = table["open_time"]
        week = table.filter(pc.and_(pc.greater_equal(times, first), pc.less(times, last)))
        pq.write_table(week, tmp_path / "um_1m_week.parquet")
        done = run("--klines", tmp_path, "--json", tmp_path / "report.json")
        assert done.returncode == 0
        assert "FILUSDT" in done.stdout
        found = json.loads((tmp_path / "report.json").read_text())
        (row,) = found["crashes"]
        assert row["fall"] > 0.4
        assert row["lead_minutes"] > 0
        assert row["held_minutes"] > 0
        assert row["label_before_half"] in ("high_volatility", "capitulation")
        assert found["shares"][0]["bars"] == 6 * 1440
