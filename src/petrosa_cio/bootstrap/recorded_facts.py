"""Facts out of recordings: a market, and an account that is simulated on it, for a replay."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.simulation import SimulatedEngine
from petrosa_cio.core.exchange.funding import read_funding
from petrosa_cio.core.exchange.recorded_market import RecordedMarket
from petrosa_cio.core.exchange.recording import KlineTable, merge, read_klines
from petrosa_cio.core.exchange.rules import read_rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import Accounts, Market

BASIS_POINTS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class RecordedFacts:
    """The two ports on one recording. ``accounts`` is None where no account is simulated."""

    market: Market
    accounts: Accounts | None
    table: KlineTable
    """The bars that both stand on; its ``notes`` say what a reader ought to know of them."""


def open_recorded(
    klines: Sequence[Path],
    funding: Sequence[Path],
    equity: Decimal | None,
    policy: Policy,
    begins: Instant | None = None,
    exchange_info: Path | None = None,
) -> RecordedFacts:
    """Read recorded bars and funding; with an ``equity`` to begin with, simulate an account on them.

    The account pays the fee and holds the positions as the policy's global scope says (``taker_fee_bps``,
    ``position_mode``), and the recorded funding. ``begins`` is when the first question will be asked: what the market
    was till then is worked out here, and not while that question waits; it changes no answer. ``exchange_info`` is a
    stored answer of the exchange with its rules.

    Raises RecordingError for a file that cannot be believed.
    """
    table = merge([read_klines(path) for path in klines])
    settled = read_funding(funding)
    limits = policy.limits("", "", None)
    accounts = None
    if equity is not None:
        accounts = SimulatedEngine(
            equity,
            table,
            fee_rate=limits.required_number("taker_fee_bps") / BASIS_POINTS,
            one_way=limits.word("position_mode") != "hedge",
            funding=settled,
        )
    rules = None if exchange_info is None else read_rules(exchange_info)
    market = RecordedMarket(table, policy, settled, rules)
    if begins is not None:
        market.look_back(begins)
    return RecordedFacts(market, accounts, table)
