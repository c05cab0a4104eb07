"""Recorded funding: a file is believed whole or refused with file and line; no settlement is known before its time."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders_recordings import write_funding
from petrosa_cio.apps.nurse.simulation import FundingTime
from petrosa_cio.core.exchange.funding import HOUR_MS, FundingTable, read_funding
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

D = Decimal
T0 = 1_700_006_400_000
EIGHT = 8 * HOUR_MS


def table(*hours: float) -> FundingTable:
    """Settlements of one symbol so many hours after T0; the rate is a millionth of the hour."""
    return FundingTable(FundingTime("BTCUSDT", T0 + round(one * HOUR_MS), D(round(one)) / 1_000_000) for one in hours)


@pytest.mark.parametrize("name", ["funding.csv", "funding.csv.gz"])
def test_a_file_tells_each_settlement(tmp_path: Path, name: str) -> None:
    """Symbol, time and rate are those of the file, packed or not, to the last digit of the rate."""
    rows = [("BTCUSDT", T0, "6.818e-05"), ("ETHUSDT", T0 + 3, "-0.0001")]
    found = read_funding([write_funding(tmp_path / name, rows)])
    assert list(found) == [
        FundingTime("BTCUSDT", T0, D("0.00006818")),
        FundingTime("ETHUSDT", T0 + 3, D("-0.0001")),
    ]


def test_of_two_files_the_first_stays(tmp_path: Path) -> None:
    """A settlement told twice is one, with the rate of the first file; order within the files does not matter."""
    first = write_funding(tmp_path / "a.csv", [("BTCUSDT", T0 + EIGHT, "0.0002"), ("BTCUSDT", T0, "0.0001")])
    second = write_funding(tmp_path / "b.csv", [("BTCUSDT", T0, "0.0009"), ("BTCUSDT", T0 + 2 * EIGHT, "0.0003")])
    assert [one.rate for one in read_funding([first, second])] == [D("0.0001"), D("0.0002"), D("0.0003")]


def test_a_settlement_is_known_from_its_time_on() -> None:
    """A millisecond before it the one before is the last; of another symbol, and before the first, there is none."""
    found = table(8, 16)
    assert found.last("BTCUSDT", T0 + EIGHT - 1) is None
    assert found.next_ms("BTCUSDT", T0 + EIGHT - 1) is None
    assert found.last("BTCUSDT", T0 + EIGHT) == FundingTime("BTCUSDT", T0 + EIGHT, D("0.000008"))
    assert found.last("BTCUSDT", T0 + 2 * EIGHT - 1) == FundingTime("BTCUSDT", T0 + EIGHT, D("0.000008"))
    assert found.last("ETHUSDT", T0 + 2 * EIGHT) is None


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ((8,), 16),  # the first: the exchange's own eight hours
        ((8, 16), 24),
        ((8, 16, 20), 24),  # every four hours now
        ((8, 12, 13), 14),
        ((8, 12, 20), 28),  # every eight again
        ((8, 16, 500), 508),  # a hole is no interval
        ((8, 16 + 4e-6), 24 + 4e-6),  # 14 ms late
    ],
)
def test_the_next_settlement_is_expected_after_the_last_interval(hours: tuple[float, ...], expected: float) -> None:
    """By what had been seen till then: the whole hours between the last two, at most eight."""
    at_ms = T0 + round(hours[-1] * HOUR_MS)
    assert table(*hours, hours[-1] + 1).next_ms("BTCUSDT", at_ms) == T0 + round(expected * HOUR_MS)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("", T0, "0.0001"), "symbol"),
        (("BTCUSDT", T0 // 1000, "0.0001"), "time in ms"),
        (("BTCUSDT", T0 * 1000, "0.0001"), "time in ms"),
        (("BTCUSDT", "soon", "0.0001"), "funding_time"),
        (("BTCUSDT", T0, "much"), "funding_rate"),
        (("BTCUSDT", T0, ""), "funding_rate"),
        (("BTCUSDT", T0, "NaN"), "fraction"),
        (("BTCUSDT", T0, "1.5"), "fraction"),
    ],
)
def test_a_row_that_cannot_be_is_refused(tmp_path: Path, row: tuple[str, int | str, str], said: str) -> None:
    """The refusal names file and line, and what is wrong."""
    path = write_funding(tmp_path / "funding.csv", [("BTCUSDT", T0, "0.0001"), row])
    with pytest.raises(RecordingError, match=rf"funding\.csv:3: .*{said}"):
        read_funding([path])


@pytest.mark.parametrize("raw", [b"", b"symbol,funding_time\nBTCUSDT,1\n", b"\xff\xfe\n"])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, raw: bytes) -> None:
    """Without its columns or in no text it is refused by name; so is one that is not there, or not what it ends in."""
    path = tmp_path / "funding.csv"
    path.write_bytes(raw)
    packed = tmp_path / "funding.csv.gz"
    packed.write_bytes(raw or b"no gzip")
    for one in (path, packed, tmp_path / "absent.csv"):
        with pytest.raises(RecordingError, match=one.name):
            read_funding([one])
