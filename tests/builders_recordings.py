"""Recordings for tests: bars and funding, written as the files that a replay reads."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from petrosa_cio.core.exchange.recording import KlineTable, merge, read_klines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from builders_bars import OneBar

_COLUMNS = ("symbol", "open", "high", "low", "close", "volume")


def write_bars(path: Path, bars: Sequence[OneBar]) -> Path:
    """A parquet file of these bars, in the columns of recorded klines."""
    content = {name: [getattr(one, name) for one in bars] for name in _COLUMNS}
    content["open_time"] = [one.open_time_ms for one in bars]
    content["close_time"] = [one.close_time_ms for one in bars]
    pq.write_table(pa.table(content), path)
    return path


def table_of(folder: Path, bars: Sequence[OneBar]) -> KlineTable:
    """These bars as a table, by way of a file."""
    return read_klines(write_bars(folder / "bars.parquet", bars)) if bars else merge([])


def write_funding(path: Path, rows: Sequence[tuple[str, int | str, str]]) -> Path:
    """A file of recorded funding: symbol, time in ms, rate."""
    text = "symbol,funding_time,funding_rate\n" + "".join(f"{symbol},{at},{rate}\n" for symbol, at, rate in rows)
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path
