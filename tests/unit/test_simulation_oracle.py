"""The simulated account against an engine that is not ours: trades that freqtrade made and priced on real futures."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders_bars import MINUTE, OneBar
from builders_simulation import MS, Told, last
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.happenings import PromotedOrder
from petrosa_cio.apps.nurse.simulation import FundingTime, SimulatedEngine

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "intents"
TRADES, FUNDING = FOLDER / "freqtrade_backtest_trades_2023.jsonl.gz", FOLDER / "oracle_funding_mark_8h_2023.csv.gz"


def fundings() -> dict[str, list[FundingTime]]:
    found: dict[str, list[FundingTime]] = {}
    with gzip.open(FUNDING, "rt") as lines:
        for row in csv.DictReader(lines):
            rate, mark = Decimal(row["funding_rate"]), Decimal(row["mark_price_open"])
            one = FundingTime(row["symbol"], int(row["funding_time"]), rate, mark)
            found.setdefault(one.symbol, []).append(one)
    return found


def flat(symbol: str, opens_ms: int, price: float) -> OneBar:
    return OneBar(symbol, opens_ms, opens_ms + MINUTE - 1, price, price, price, price, 1.0)


def earned(trade: dict[str, Json], funding: list[FundingTime]) -> Decimal:
    """What the account has gained by the trade: entered in the minute before it opened, so that a funding at that very
    time is paid, and closed at the open of the minute in which it closed."""
    symbol = str(trade["pair"]).split(":")[0].replace("/", "")
    opened, closed = int(str(trade["open_timestamp"])) - MINUTE, int(str(trade["close_timestamp"]))
    rates = float(str(trade["open_rate"])), float(str(trade["close_rate"]))
    bars = Told(flat(symbol, opened - MINUTE, rates[0]), flat(symbol, opened, rates[0]), flat(symbol, closed, rates[1]))
    paying = [one for one in funding if opened < one.at_ms <= closed]
    engine = SimulatedEngine(Decimal(100_000), bars, fee_rate=Decimal(str(trade["fee_open"])), funding=paying)
    side, quantity = Side.SHORT if trade["is_short"] else Side.LONG, Decimal(str(trade["amount"]))
    price, leverage = Decimal(str(trade["open_rate"])), Decimal(str(trade["leverage"]))
    engine.promoted(PromotedOrder("in", "a", symbol, side, opened * MS, price, leverage, quantity))
    engine.promoted(PromotedOrder("out", "a", symbol, None, closed * MS, price, leverage))
    report = last(engine.due((closed + MINUTE) * MS))
    assert report.positions == ()
    return report.wallet - 100_000


@pytest.mark.skipif(not TRADES.is_file(), reason=f"the recorded trades are not on this machine: {TRADES} is absent")
def test_trades_of_another_engine_earn_what_it_says() -> None:
    """Profit, both fees and funding of every trade, long and short, within a cent and 0.05 %."""
    funding = fundings()
    with gzip.open(TRADES, "rt") as lines:
        trades = [json.loads(line) for line in lines]
    # Funding was recorded up to 31 December 2023, 16:00; two trades went on past the next settlement.
    covered = [trade for trade in trades if trade["close_date"] < "2024"]
    assert len(covered) == len(trades) - 2
    assert len({trade["is_short"] for trade in covered}) == 2
    apart = []
    for trade in covered:
        assert trade["fee_open"] == trade["fee_close"]
        told = Decimal(str(trade["profit_abs"]))
        found = earned(trade, funding[trade["pair"].split(":")[0].replace("/", "")])
        if abs(found - told) > Decimal("0.01") + abs(told) * Decimal("0.0005"):
            apart.append((trade["pair"], trade["open_date"], told, found))
    assert apart == []
