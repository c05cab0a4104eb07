"""Execution events as the engine publishes them, numbered, and reports of an account."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.happenings import AccountReport, Execution

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.nurse.happenings import Happening

SUBJECT = "execution.events.momentum_pulse"
T = 1_795_440_000_000_000_000
"""2026-11-23T13:20:00Z."""


def event_bytes(number: int, **fields: object) -> bytes:
    """The event of a fill whose order id is ``number``."""
    event = {
        "decision_id": f"d-{number}", "strategy_id": "momentum_pulse", "order_id": str(number), "event_type": "filled",
        "timestamp": "2026-11-23T13:20:00+00:00", "reason": "binance_filled", "symbol": "BTCUSDT", "side": "buy",
        "qty": 0.5, "fill_qty": 0.5, "fill_price": 60000.0, **fields,
    }  # fmt: skip
    return json.dumps(event).encode()


def report(seconds: int, *, wallet: str = "1000", origin: str = "engine") -> AccountReport:
    """A report as of so many seconds after `T`."""
    return AccountReport(origin, T + seconds * 1_000_000_000, Decimal(wallet))


def order_ids(happenings: Iterable[Happening]) -> list[int]:
    """The order ids of the executions among ``happenings``, in order."""
    return [int(one.order_id) for one in happenings if isinstance(one, Execution)]


def reports_in(happenings: Iterable[Happening]) -> list[AccountReport]:
    return [one for one in happenings if isinstance(one, AccountReport)]
