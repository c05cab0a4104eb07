"""Decisions as the ledger records them, and what the shadow machine makes of them.

Unless told otherwise an entry is of 2 ETHUSDT at 100 with a stop at 95 and a target at 110 (a short: 105 and 90), its
market's mark is 100, and each fill costs 0.001 of its notional.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from builders_simulation import MS, instant
from petrosa_cio.apps.auditor.shadow import ShadowMachine
from petrosa_cio.apps.nurse.models import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from builders_bars import OneBar
    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.simulation import FundingTime

Record = dict[str, object]
SYMBOL = "ETHUSDT"


def policy(**values: Json) -> Record:
    """A policy in force; a fill costs 10 basis points."""
    limits = {"taker_fee_bps": 10, "slippage_bps": 0, "shadow_max_holding_hours": 24, **values}
    return {"kind": "policy", "policy_revision": "p", "policy": {"scopes": {"global": limits}}}


def facts(minutes: float, **figures: Json) -> dict[str, Json]:
    """What was known of the market at that minute."""
    as_of = dict.fromkeys(("bars", "mark", "book", "filters"), iso(instant(minutes)))
    return {"symbol": SYMBOL, "as_of": as_of, **figures}


def decision(
    minutes: float,
    action: str = "buy",
    verdict: str = "blocked",
    *,
    strategy: str = "a",
    market: Mapping[str, Json] | None = None,
    mark: str | None = "100",
    quantity: float | None = 2.0,
    promoted: str | None = None,
    reasons: Iterable[str] = ("DAILY_TRADES",),
    more: Mapping[str, object] | None = None,
    **fields: Json,
) -> Record:
    """The record of an intent decided so many minutes after T0, named after strategy and time; ``fields`` are of the
    intent, ``more`` of the record. ``promoted`` is the quantity that an approved or reduced one sent."""
    long = action == "buy"
    intent: dict[str, Json] = {
        "strategy_id": strategy,
        "symbol": SYMBOL,
        "action": action,
        "confidence": 0.8,
        "price": 100.0,
        "stop_loss": 95.0 if long else 105.0,
        "take_profit": 110.0 if long else 90.0,
        **fields,
    }
    content: Record = {
        "kind": "decision",
        "decision_id": f"{strategy}{minutes:g}",
        "at": iso(instant(minutes)),
        "verdict": verdict,
        "policy_revision": "p",
        "strategy_id": strategy,
        "symbol": SYMBOL,
        "action": action,
        "reasons": [] if verdict == "approved" else [{"code": code, "outcome": "block"} for code in reasons],
        "payload": json.dumps(intent),
    }
    if action in ("buy", "sell"):
        content["order"] = {"quantity": quantity, "notional": None, "basis": "quantity"}
        if verdict in ("approved", "reduced"):
            content["promoted"] = {"price": "100", "leverage": "10", "quantity": promoted or str(quantity)}
        known = {} if mark is None else facts(minutes, mark=mark)
        content["market"] = dict(market) if market is not None else known
    return {**content, **(more or {})}


def machine_of(
    bars: Iterable[OneBar], records: Iterable[Record], funding: Iterable[FundingTime] = (), **limits: Json
) -> ShadowMachine:
    """A machine that was told everything at once, advanced to the close of the last bar."""
    machine, told = ShadowMachine(), list(bars)
    machine.record(policy(**limits))
    for content in records:
        machine.record(content)
    for bar in told:
        machine.bar(bar)
    for one in funding:
        machine.settle(one)
    machine.advance(max(bar.close_time_ms for bar in told) * MS)
    return machine


def shadows(machine: ShadowMachine) -> list[Shadow]:
    """Every position as it stands, in order of decision; of one that was amended the last entry."""
    found = {(entry.shadow.decision_id, entry.shadow.tracked): entry.shadow for entry in machine.told()}
    found |= {(one.decision_id, one.tracked): one for one in machine.standing()}
    return sorted(found.values(), key=lambda one: (one.decided_at, one.decision_id, one.tracked.value))


def played(
    bars: Iterable[OneBar], *records: Record, funding: Iterable[FundingTime] = (), **limits: Json
) -> list[Shadow]:
    """What became of every position."""
    return shadows(machine_of(bars, records, funding, **limits))


def figures(shadow: Shadow) -> tuple[str, Decimal | None, Decimal | None]:
    """How it ended, at what price, with what result."""
    return shadow.outcome.value, shadow.exit, shadow.result
