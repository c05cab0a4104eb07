"""The market of a recording: nothing before its time, ages counted from what was due, and the guard's own labels."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from builders import policy_of
from builders_bars import MINUTE, T0, OneBar, bar, renamed, slide, walk
from builders_recordings import table_of, write_bars, write_funding
from builders_simulation import executions, last, order
from petrosa_cio.apps.nurse.facts import Fact, MarketState, Side
from petrosa_cio.apps.nurse.guard import Guard
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.simulation import FundingTime
from petrosa_cio.apps.nurse.soundness import sound_market
from petrosa_cio.apps.nurse.thresholds import thresholds_of
from petrosa_cio.bootstrap.recorded_facts import open_recorded
from petrosa_cio.core.exchange.funding import HOUR_MS, FundingTable
from petrosa_cio.core.exchange.recorded_market import RecordedMarket

D = Decimal
MS = 1_000_000
DAY = 288
"""Bars of five minutes in a day."""
KLINES = Path(__file__).resolve().parents[3] / "shared" / "data" / "klines"
needs_klines = pytest.mark.skipif(
    not KLINES.is_dir(), reason=f"the recorded klines are not on this machine: {KLINES} is absent"
)
ALONE = policy_of({"regime_leaders": []})


def at(minutes: float) -> int:
    """So many minutes after T0."""
    return (T0 + round(minutes * MINUTE)) * MS


def market(folder: Path, *bars: OneBar, funding: FundingTable | None = None) -> RecordedMarket:
    return RecordedMarket(table_of(folder, bars), ALONE, funding)


def known(found: MarketState | None) -> MarketState:
    assert found is not None
    return found


def test_a_bar_is_seen_from_its_close_on(tmp_path: Path) -> None:
    """A nanosecond before the first close nothing is known; at it the close is mark and last; others have none."""
    found = market(tmp_path, bar(0, 101.5), bar(1, 102.0, 101.5))
    closes = at(5) - MS
    assert found.state("ETHUSDT", closes - 1) is None
    state = known(found.state("ETHUSDT", closes))
    assert (state.symbol, state.mark, state.last) == ("ETHUSDT", D("101.5"), D("101.5"))
    assert known(found.state("ETHUSDT", at(10) - MS - 1)).mark == D("101.5")
    assert known(found.state("ETHUSDT", at(10) - MS)).mark == D("102.0")
    assert found.state("XRPUSDT", at(10)) is None


def test_a_bar_ages_from_when_its_successor_was_due(tmp_path: Path) -> None:
    """Until then bars and mark are of the moment of asking, and never of a later one; then they stay, and age."""
    found = market(tmp_path, bar(0, 100.0))
    due = at(10) - MS
    for now, as_of in ((at(5) - MS, at(5) - MS), (at(7), at(7)), (due, due), (at(10), due), (at(60), due)):
        assert known(found.state("ETHUSDT", now)).as_of == ((Fact.BARS, as_of), (Fact.MARK, as_of))


def test_a_mark_is_fresh_until_it_is_overdue_by_the_age_allowed(tmp_path: Path) -> None:
    """With 30 s allowed the close of a bar of 15 minutes is a mark for 15 minutes and 30 s, limit included."""
    found = market(tmp_path, bar(0, 100.0, minutes=15))
    limits = policy_of({"max_market_age_seconds": 30}).limits("ETHUSDT", "any", None)
    latest = at(30) - MS + 30 * SECOND
    for now, mark in ((latest, D("100.0")), (latest + 1000, None)):
        assert known(sound_market(found.state("ETHUSDT", now), "ETHUSDT", limits, now)).mark == mark


def test_labels_are_those_of_the_guard(tmp_path: Path) -> None:
    """At every hour, through a fall, label, confidence and volatility are the guard's after the bars closed by then."""
    thresholds = thresholds_of(ALONE.limits("ETHUSDT", "any", None))
    bars = slide(walk(7, 2 * DAY, daily=0.02), 8, 48, fall=0.15, minutes=5)
    found, guard, labels = market(tmp_path, *bars), Guard(lambda _: thresholds), set()
    for place, one in enumerate(bars):
        regime = guard.fold(one)
        if place % 12 == 11:
            state = known(found.state("ETHUSDT", one.close_time_ms * MS))
            said = (state.regime, state.regime_confidence, state.volatility)
            assert said == (regime.label, regime.confidence, regime.volatility)
            labels.add(state.regime)
    assert {"unknown", "capitulation"} < labels


def test_a_leader_in_stress_counts_for_all(tmp_path: Path) -> None:
    """While BTCUSDT falls by 15 %, a calm ETHUSDT is where BTCUSDT is; by itself it is not."""
    calm = walk(7, 2 * DAY + 48, daily=0.02)
    leader = renamed(slide(walk(9, 2 * DAY, daily=0.02), 8, 48, fall=0.15, minutes=5), "BTCUSDT")
    table = table_of(tmp_path, [*leader, *calm])
    now = calm[-1].close_time_ms * MS
    led, alone = RecordedMarket(table, policy_of()), RecordedMarket(table, ALONE)
    assert known(led.state("ETHUSDT", now)).regime == known(led.state("BTCUSDT", now)).regime == "capitulation"
    assert known(alone.state("ETHUSDT", now)).regime not in ("capitulation", "high_volatility", "unknown")


def test_without_its_leader_a_regime_is_unknown(tmp_path: Path) -> None:
    """A recording that lacks BTCUSDT cannot say whether the market is in stress, and does not say that it is not."""
    bars = walk(7, 2 * DAY, daily=0.02)
    found = RecordedMarket(table_of(tmp_path, bars), policy_of())
    assert known(found.state("ETHUSDT", bars[-1].close_time_ms * MS)).regime == "unknown"


def test_thresholds_are_those_of_the_symbol(tmp_path: Path) -> None:
    """What a policy sets for one symbol, the guard reads that one by, and no other."""
    bars = walk(7, 2 * DAY, daily=0.02)
    table = table_of(tmp_path, [*bars, *renamed(bars, "XRPUSDT")])
    policy = policy_of({"regime_leaders": []}, scopes={"symbol:XRPUSDT": {"regime_warm_up_hours": 100.0}})
    found, now = RecordedMarket(table, policy), bars[-1].close_time_ms * MS
    assert known(found.state("ETHUSDT", now)).regime != "unknown"
    assert known(found.state("XRPUSDT", now)).regime == "unknown"


def test_asked_for_an_earlier_time_it_knows_no_more_than_then(tmp_path: Path) -> None:
    """Time may go back, as for a gate that starts again: what is said is what a new market says."""
    bars = slide(walk(7, 2 * DAY, daily=0.02), 8, 48, fall=0.15, minutes=5)
    table = table_of(tmp_path, [*bars, *renamed(bars, "BTCUSDT")])
    asked = RecordedMarket(table, ALONE)
    asked.state("ETHUSDT", bars[-1].close_time_ms * MS)
    for place in (2 * DAY + 20, DAY + 7):
        now = bars[place].close_time_ms * MS
        assert asked.state("ETHUSDT", now) == RecordedMarket(table, ALONE).state("ETHUSDT", now)


def test_looking_back_changes_no_answer(tmp_path: Path) -> None:
    """A market that was opened for a later beginning says then, and before it, what one says that was not."""
    bars = walk(7, 2 * DAY, daily=0.02)
    path = write_bars(tmp_path / "bars.parquet", [*bars, *renamed(bars, "BTCUSDT")])
    begins = bars[DAY].close_time_ms * MS
    for now in (begins, begins + 3600 * SECOND, begins - 3600 * SECOND):
        market, fresh = (open_recorded([path], [], None, policy_of(), one).market for one in (begins, None))
        assert market.state("ETHUSDT", now) == known(fresh.state("ETHUSDT", now))


def test_the_rate_that_was_settled_last_stands_for_the_next_settlement(tmp_path: Path) -> None:
    """Before the first there is none; then it is as good as new until the next is due, and ages from there."""
    start = T0 - 8 * HOUR_MS
    rows = FundingTable([FundingTime("ETHUSDT", start + n * 8 * HOUR_MS, D(n) / 10_000) for n in (1, 2)])
    found = market(tmp_path, bar(-200, 100.0), funding=rows)
    assert known(found.state("ETHUSDT", at(0) - 1)).funding_rate is None
    due = at(16 * 60)
    for now, rate, following, as_of in (
        (at(0), D("0.0001"), at(8 * 60), at(0)),
        (at(8 * 60) - 1, D("0.0001"), at(8 * 60), at(8 * 60) - 1),
        (at(8 * 60), D("0.0002"), due, at(8 * 60)),
        (due + SECOND, D("0.0002"), due, due),
    ):
        state = known(found.state("ETHUSDT", now))
        assert (state.funding_rate, state.next_funding_at) == (rate, following)
        assert dict(state.as_of)[Fact.FUNDING] == as_of


def test_funding_alone_is_a_fact_too(tmp_path: Path) -> None:
    """Of a symbol without bars the funding is known, and nothing else."""
    rows = FundingTable([FundingTime("XRPUSDT", T0, D("0.0001"))])
    assert market(tmp_path, bar(0, 100.0), funding=rows).state("XRPUSDT", at(1)) == MarketState(
        symbol="XRPUSDT",
        as_of=((Fact.FUNDING, at(1)),),
        funding_rate=D("0.0001"),
        next_funding_at=at(8 * 60),
    )


def test_both_ports_stand_on_one_recording(tmp_path: Path) -> None:
    """Files are read and merged; the account fills at their bars, pays the policy's fee and the recorded funding."""
    klines = [
        write_bars(tmp_path / "eth.parquet", [bar(n, 100.0) for n in range(6)]),
        write_bars(tmp_path / "btc.parquet", renamed([bar(n, 50_000.0) for n in range(6)], "BTCUSDT")),
    ]
    funding = [write_funding(tmp_path / "funding.csv.gz", [("ETHUSDT", T0 + 20 * MINUTE, "0.001")])]
    policy = policy_of({"taker_fee_bps": 10.0, "position_mode": "one-way"})
    facts = open_recorded(klines, funding, D(1000), policy)
    assert facts.table.symbols == ("BTCUSDT", "ETHUSDT")
    state = known(facts.market.state("ETHUSDT", at(25)))
    assert (state.mark, state.funding_rate) == (D("100.0"), D("0.001"))
    assert facts.accounts is not None
    assert known(facts.market.state("BTCUSDT", at(25))).mark == D("50000.0")
    assert last(facts.accounts.due(at(6))).wallet == D(1000)
    facts.accounts.promoted(order(6, Side.LONG, "2"))
    told = facts.accounts.due(at(30))
    assert [one.fee for one in executions(told)] == [D("0.2")]
    assert last(told).wallet == D("999.6")  # 1000 - 0.2 - 0.001 x 200


def test_without_an_equity_no_account_is_simulated(tmp_path: Path) -> None:
    """A replay that asks for none has a market and no account; without any file it has a market that knows nothing."""
    facts = open_recorded([], [], None, policy_of())
    assert facts.accounts is None
    assert facts.market.state("BTCUSDT", at(0)) is None


@needs_klines
def test_on_the_recorded_crash_of_april_2025_the_market_is_in_stress() -> None:
    """On 7 April 2025 at 07:00 UTC the guard says so of BTCUSDT and ETHUSDT, which move together; the funding is what
    the file says."""
    facts = open_recorded(
        [KLINES / "um_5m_2025-03-06_2025-04-13_tariff_crash.parquet"],
        [KLINES / "um_funding_2025-03_2025-06_8sym.csv.gz"],
        None,
        policy_of(),
    )
    first = known(facts.market.state("BTCUSDT", 1_741_276_800_000 * MS + 60 * SECOND))
    assert first.funding_rate == D("0.00006818")
    now = 1_744_009_200_000 * MS
    for symbol, other in (("BTCUSDT", "ETHUSDT"), ("ETHUSDT", "BTCUSDT")):
        state = known(facts.market.state(symbol, now))
        assert state.regime in ("high_volatility", "capitulation")
        assert state.correlated is not None
        assert other in state.correlated
        assert state.volatility is not None
        assert state.volatility > D("0.03")
