"""Our arithmetic against an engine that is not ours: trades that freqtrade made and priced on real futures prices."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from petrosa_cio.apps.auditor.pnl import FUNDING_EVERY_MS, profit
from petrosa_cio.bootstrap.auditing import audit_trades
from petrosa_cio.core.exchange.funding import read_funding
from petrosa_cio.core.exchange.trades import read_trades

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "intents"
TRADES, FUNDING = FOLDER / "freqtrade_backtest_trades_2023.jsonl.gz", FOLDER / "oracle_funding_mark_8h_2023.csv.gz"
FUNDING_ENDS_MS = 1_704_038_400_000
"""2023-12-31T16:00:00Z; the trades go on to 2 January."""

pytestmark = pytest.mark.skipif(not TRADES.is_file(), reason=f"the recorded trades are not on this machine: {TRADES}")


def test_every_trade_whose_funding_is_recorded_earns_what_freqtrade_says() -> None:
    """All 991 match, long and short, to within a rounding of freqtrade's eighth digit; so do their relative results."""
    found = audit_trades(TRADES, FUNDING, covered_only=True)
    assert (found.matched, len(found.compared), found.holds) == (991, 991, True)
    assert {one.told.trade.side for one in found.compared} == {"LONG", "SHORT"}
    assert all(abs(one.difference) <= Decimal("0.5e-8") for one in found.compared)
    assert all(abs(one.relative_difference or 1) < Decimal("1e-10") or one.told.result == 0 for one in found.compared)


def test_the_two_trades_that_outlive_the_recorded_funding_are_named() -> None:
    """They do not match, and why is said: each settlement after 31 December, 16:00, by its time."""
    found = audit_trades(TRADES, FUNDING)
    assert (found.matched, len(found.compared), found.holds) == (991, 993, False)
    assert {one.told.pair: len(one.unrecorded) for one in found.mismatched} == {"LTC/USDT:USDT": 4, "SUI/USDT:USDT": 1}
    assert {one.cause for one in found.mismatched} == {"funding_unrecorded"}
    assert all(at_ms > FUNDING_ENDS_MS for one in found.mismatched for at_ms in one.unrecorded)


@pytest.mark.parametrize(("end", "touching"), [("opened_at", 15), ("closed_at", 33)])
def test_both_ends_of_a_hold_pay_funding(end: str, touching: int) -> None:
    """The trades that begin or end at the instant of a settlement match; without that settlement they would be off by
    exactly what it is worth."""
    table = read_funding([FUNDING], marked=True)
    counted = 0
    for told in read_trades(TRADES):
        instant_ms = getattr(told.trade, end) // 1_000_000
        if instant_ms % FUNDING_EVERY_MS or told.trade.closed_at // 1_000_000 >= FUNDING_ENDS_MS + FUNDING_EVERY_MS:
            continue
        counted += 1
        met = table.between(told.trade.symbol, told.trade.opened_at // 1_000_000, told.trade.closed_at // 1_000_000)
        (at_end,) = (one for one in met if one.at_ms == instant_ms)
        (fill,) = told.trade.entries
        assert at_end.mark is not None
        worth = -told.trade.sign * fill.quantity * at_end.mark * at_end.rate
        without = profit(told.trade, [one for one in met if one is not at_end])
        assert abs(without.result + worth - told.result) <= Decimal("0.5e-8")
    assert counted == touching


@pytest.mark.parametrize("times", [1, -1])
def test_the_tolerance_hides_nothing_of_its_size(times: int) -> None:
    """Told a cent and 0.06 % more or less than it earned, no trade matches."""
    for one in audit_trades(TRADES, FUNDING, covered_only=True).compared:
        ours = one.ours.result
        off = replace(one.told, result=ours + times * (Decimal("0.0101") + abs(ours) * Decimal("0.0006")))
        assert not replace(one, told=off).matches
