"""Recorded trades and what settles them, for tests of the Auditor."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.pnl import Leg, Trade, leg
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.simulation import FundingTime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOUR_MS = 3_600_000
EIGHT_MS = 8 * HOUR_MS
T0_MS = 1_672_531_200_000
"""2023-01-01T00:00:00Z: a time at which every symbol settles."""

D = Decimal


def at(hours: float) -> int:
    """The instant so many hours after T0."""
    return (T0_MS + round(hours * HOUR_MS)) * 1_000_000


def fill(hours: float, quantity: str, price: str, fee_rate: str = "0") -> Leg:
    return leg(at(hours), D(quantity), D(price), D(fee_rate))


def make_trade(entries: Sequence[Leg], exits: Sequence[Leg], side: Side = Side.LONG, leverage: str = "1") -> Trade:
    return Trade("LTCUSDT", side, tuple(entries), tuple(exits), D(leverage))


def settlement(hours: float, rate: str, mark: str | None = "100", *, late_ms: int = 0) -> FundingTime:
    at_ms = T0_MS + round(hours * HOUR_MS) + late_ms
    return FundingTime("LTCUSDT", at_ms, D(rate), None if mark is None else D(mark))


def row(**changes: object) -> dict[str, object]:
    """A trade as freqtrade tells it: 2 LTC bought at 100 and sold at 110 eight and a half hours later, 0.1 % each way.

    By hand: gross 20, fees 0.2 + 0.22; the one funding that it meets, of 0.0001 at 105, is 0.021: 19.559 in all.
    """
    return {
        "pair": "LTC/USDT:USDT",
        "amount": 2,
        "open_rate": 100,
        "close_rate": 110,
        "fee_open": 0.001,
        "fee_close": 0.001,
        "open_timestamp": T0_MS + HOUR_MS,
        "close_timestamp": T0_MS + HOUR_MS + EIGHT_MS + HOUR_MS // 2,
        "profit_abs": 19.559,
    } | changes


FUNDING = ("LTCUSDT", T0_MS + EIGHT_MS, "0.0001", "105")
"""The funding that `row` meets."""


def write_trades(path: Path, rows: Sequence[dict[str, object] | str]) -> Path:
    """A recording; a text is a line as it stands."""
    raw = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_marked(path: Path, rows: Sequence[tuple[str, int, str, str]] = (FUNDING,)) -> Path:
    """Recorded funding with its mark prices."""
    lines = ["symbol,funding_time,funding_rate,mark_price_open", *(",".join(map(str, one)) for one in rows)]
    raw = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path
