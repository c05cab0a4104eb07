"""The fund around a gate: an engine that tells of its orders, and whoever reports what the account holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from harness import BOOK, eventually, intent_bytes, ledger, of_kind, publish, until
from nats.js.api import DiscardPolicy

from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.reports import encode_report

if TYPE_CHECKING:
    from harness import InProcess
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.core.nats.link import Link

EXECUTIONS = "execution.events.momentum_pulse"
REPORTS = subjects.account_subject(BOOK)
ORIGIN = "engine"

WIDE: dict[str, Json] = {
    "governance_timeout_ms": 60_000,
    "max_account_age_seconds": 3600,
    "max_portfolio_exposure_pct": 1.0,
    "max_symbol_exposure_pct": 1.0,
    "max_correlated_exposure_pct": 1.0,
    "position_size_pct": 1.0,
    "max_position_size_pct": 1.0,
    "max_position_size_usd": 100_000,
    "max_daily_loss_pct": 0.5,
    "max_drawdown_pct": 1.0,
    "max_strategy_drawdown_pct": 1.0,
    "max_accumulations": None,
}
"""Limits that nothing in the tests reaches, so that each is about the one that it sets."""


def content(**limits: Json) -> dict[str, Json]:
    """A policy that requires the account, as it stands in a file: `WIDE`, and ``limits``."""
    return {
        "scopes": {"global": {**WIDE, **limits}},
        "required_facts": ["account"],
        "modes": {"DAILY_TRADES": "off", "ORDER_RATE": "off", "SIGNAL_CONFLICT": "off", "REPEATED_EXECUTION": "off"},
    }


def rules(**limits: Json) -> Policy:
    """The same, read."""
    return read_policy(content(**limits))


def long(quantity: str = "1", entry: str = "100", mark: str = "100") -> Position:
    """A long of BTCUSDT at leverage 1, as a report tells it."""
    return Position(
        "BTCUSDT",
        Side.LONG,
        Decimal(quantity),
        Decimal(entry),
        Decimal(quantity) * Decimal(mark),
        Decimal(1),
        strategy_id="momentum_pulse",
    )


def report(
    wallet: str = "1000",
    unrealised: str = "0",
    positions: tuple[Position, ...] | None = (),
    orders: tuple[OpenOrder, ...] | None = (),
    *,
    as_of: Instant | None = None,
    origin: str = ORIGIN,
) -> AccountReport:
    """What an account holds, as of now."""
    return AccountReport(
        origin, clock.now_ns() if as_of is None else as_of, Decimal(wallet), Decimal(unrealised), positions, orders
    )


def event(order_id: str, event_type: str = "filled", **fields: Json) -> bytes:
    """What the engine tells of an order for one BTCUSDT at 100 (fleet facts §7.1), as of now."""
    told = {
        "decision_id": "", "strategy_id": "momentum_pulse", "order_id": order_id, "event_type": event_type,
        "timestamp": iso(clock.now_ns()), "reason": "binance_filled", "symbol": "BTCUSDT", "side": "BUY",
        "fill_price": 100.0, "price": 100.0, "fill_quantity": 1.0, "fill_qty": 1.0, **fields,
    }  # fmt: skip
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode()


def entered(order_id: str, decision_id: str, **fields: Json) -> bytes:
    """An entry of one filled at 100, for a decision."""
    return event(order_id, decision_id=decision_id, reason="user_data_stream_fill", pnl=0.0, **fields)


def stopped(order_id: str, pnl: float, **fields: Json) -> bytes:
    """A stop took the long off and realised ``pnl``."""
    return event(order_id, side="LONG", reason="oco_exit_stop_loss", close_reason="stop_loss", pnl=pnl, **fields)


@dataclass
class Fund:
    """Engine and account of one gate."""

    gate: InProcess
    client: Client

    async def reports(self, told: AccountReport) -> None:
        """Report until the gate has folded it: a core publish may come before the ear stands."""

        def known() -> bool:
            found = self.gate.gate.folded.holdings.portfolio("", "", None, told.as_of)
            return found is not None and found.as_of == told.as_of // 1000 * 1000

        async def taken() -> bool:
            await publish(self.client, [encode_report(told)], REPORTS)
            return known()

        await eventually(taken, "the report is folded")

    async def tells(self, *events: bytes) -> None:
        """Tell of orders, and wait until the gate has folded all."""
        counters = self.gate.gate.counters
        before = counters.executions + counters.executions_repeated
        await publish(self.client, events, EXECUTIONS)
        await until(
            lambda: counters.executions + counters.executions_repeated >= before + len(events), "executions are folded"
        )

    async def asks(self, **fields: Json) -> dict[str, Json]:
        """Ask for an entry of one at 100; the decision."""
        return await asks(self.gate, self.client, **fields)


async def asks(gate: InProcess, client: Client, **fields: Json) -> dict[str, Json]:
    """Publish an intent and return its decision once ``gate`` has it settled."""
    stored = await client.jetstream().publish("intent.trading.btc", intent_bytes(**fields))
    await gate.judged(stored.seq)
    return await decision(gate.link, stored.seq)


async def decision(link: Link, sequence: int) -> dict[str, Json]:
    """The decision on the intent with this sequence."""
    (found,) = [one for one in of_kind(await ledger(link), "decision") if one["sequence"] == sequence]
    return found


def numbers(decided: dict[str, Json], code: str) -> dict[str, Json]:
    """What a control compared."""
    return decided["observed"][code]


def opened(decided: dict[str, Json]) -> tuple[float, float]:
    """What counted as open besides the order, and the equity it was held against."""
    seen = numbers(decided, "PORTFOLIO_EXPOSURE")
    return seen["open"], seen["equity"]


async def full(client: Client, stream: str) -> None:
    """Let ``stream`` take no further message."""
    js = client.jetstream()
    info = await js.stream_info(stream)
    await js.update_stream(replace(info.config, max_msgs=max(info.state.messages, 1), discard=DiscardPolicy.NEW))


async def roomy(client: Client, stream: str) -> None:
    """Let ``stream`` take messages again."""
    js = client.jetstream()
    info = await js.stream_info(stream)
    await js.update_stream(replace(info.config, max_msgs=-1, discard=DiscardPolicy.OLD))
