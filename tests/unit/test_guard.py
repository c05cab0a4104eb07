"""The regime guard: what it makes of a feed, of a crash, and of its leaders."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders_bars import MINUTE, T0, OneBar, bar, renamed, series, slide, walk
from petrosa_cio.apps.nurse.guard import Guard, State, fold, fold_all, regime_of, under_leader
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.regime import Cause, Label, Regime, stricter
from petrosa_cio.apps.nurse.thresholds import DEFAULT, Band, thresholds_of
from petrosa_cio.core.exchange.recording import read_klines
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence

KLINES = Path(__file__).resolve().parents[3] / "shared" / "data" / "klines"
needs_klines = pytest.mark.skipif(
    not KLINES.is_dir(), reason=f"the recorded klines are not on this machine: {KLINES} is absent"
)

DAY = 288
"""Bars of five minutes in a day."""
STRESSED = (Label.HIGH_VOLATILITY, Label.CAPITULATION)
CALM = walk(7, 3 * DAY, daily=0.02)
SETTLED = fold_all(State(), CALM)
"""Three days of a quiet walk."""


def after(*bars: OneBar) -> Regime:
    return regime_of("ETHUSDT", fold_all(SETTLED, bars))


def labels(bars: Sequence[OneBar]) -> list[Label]:
    state, found = State(), []
    for one in bars:
        state = fold(state, one)
        found.append(state.phase.label)
    return found


def flats(count: int, *, volume: float = 0.0) -> list[OneBar]:
    """Bars that go on from the quiet walk without moving."""
    return [replace(bar(len(CALM) + n, CALM[-1].close), volume=volume) for n in range(count)]


def more(count: int, *, skipped: int = 0) -> list[OneBar]:
    """The quiet walk goes on, after so many bars that are missing."""
    return walk(8, count, daily=0.02, price=CALM[-1].close, start=len(CALM) + skipped)


class TestFigures:
    def test_two_bars(self) -> None:
        """A close 1 % up in five minutes is ln 1.01 x sqrt 288 = 0.168863 a day; a still bar leaves sqrt 0.94 of it."""
        first, second, third = bar(0, 100.0), bar(1, 101.0, 100.0), bar(2, 101.0)
        state = fold_all(State(), [first, second])
        assert regime_of("ETHUSDT", state).volatility == Decimal("0.168863")
        assert regime_of("ETHUSDT", fold(state, third)).volatility == Decimal("0.163718")

    def test_average_true_range(self) -> None:
        """True ranges of 2 and 3 over 14 bars of five minutes average (13 x 2 + 3) / 14; as a part of the close."""
        bars = [bar(0, 100.0), bar(1, 100.0, wick=1.0), bar(2, 100.0, wick=1.5)]
        assert regime_of("ETHUSDT", fold_all(State(), bars)).atr == Decimal("0.020714")

    def test_drawdown_is_from_the_high_of_the_window(self) -> None:
        """A close at 90 after a high of 100 is a tenth below it for a day, and then the high is forgotten."""
        state = fold_all(State(), [bar(0, 100.0), *(bar(n, 90.0) for n in range(1, DAY))])
        assert regime_of("ETHUSDT", state).drawdown == Decimal("0.1")
        assert regime_of("ETHUSDT", fold(state, bar(DAY, 90.0))).drawdown == Decimal(0)

    def test_bars_longer_than_a_sample_are_one_each(self) -> None:
        """With bars of an hour a day has 24 of them: the high is forgotten after a day all the same."""
        state = fold_all(State(), [bar(0, 100.0, minutes=60), *(bar(n, 90.0, minutes=60) for n in range(1, 24))])
        assert regime_of("ETHUSDT", state).drawdown == Decimal("0.1")
        assert regime_of("ETHUSDT", fold(state, bar(24, 90.0, minutes=60))).drawdown == Decimal(0)

    def test_as_of_is_the_close_of_the_last_bar(self) -> None:
        """A regime says of when it is: the last millisecond of the last sound bar, in nanoseconds."""
        assert regime_of("ETHUSDT", fold(State(), bar(0, 100.0))).as_of == (T0 + 5 * MINUTE - 1) * 1_000_000


class TestFeed:
    def test_nothing_is_known_without_bars(self) -> None:
        """Before the first bar the regime is unknown, without confidence and without a time."""
        regime = regime_of("ETHUSDT", State())
        assert (regime.label, regime.cause, regime.confidence) == (Label.UNKNOWN, Cause.NO_BARS, Decimal(0))
        assert regime.as_of is None

    def test_a_day_of_bars_warms_up(self) -> None:
        """The regime is unknown for a day less one bar, and known with the bar that completes the day."""
        found = labels(walk(1, DAY, daily=0.02))
        assert set(found[:-1]) == {Label.UNKNOWN}
        assert found[-1] is not Label.UNKNOWN

    def test_a_gap_is_unknown_until_it_has_settled(self) -> None:
        """A missing bar makes the regime unknown, and it stays so for 15 minutes of unbroken bars after the gap."""
        known = [after(*more(count, skipped=1)) for count in (1, 2, 3, 4)]
        assert [(one.label, one.cause) for one in known[:3]] == [(Label.UNKNOWN, Cause.GAP)] * 3
        assert known[3].label is Label.RANGING

    def test_a_hole_as_long_as_the_window_begins_anew(self) -> None:
        """After a day without bars the guard warms up again; a hole of exactly a day is still bridged."""
        assert after(*more(1, skipped=DAY)).cause is Cause.WARMING_UP
        assert after(*more(1, skipped=DAY - 1)).cause is Cause.GAP

    def test_a_frozen_feed_is_unknown(self) -> None:
        """Flat bars without volume are a frozen feed from 15 minutes on, though messages keep coming."""
        assert after(*flats(2)).label is Label.RANGING
        assert (after(*flats(3)).label, after(*flats(3)).cause) == (Label.UNKNOWN, Cause.FROZEN)
        assert after(*flats(200)).label is Label.UNKNOWN

    def test_a_still_market_that_trades_is_not_frozen(self) -> None:
        """Flat bars with volume are a quiet market."""
        assert after(*flats(3, volume=0.5)).label is Label.RANGING

    def test_a_feed_that_thaws_must_settle(self) -> None:
        """After a frozen feed the regime stays unknown for 15 minutes of bars that move."""
        frozen = flats(3)
        moving = walk(9, 3, daily=0.02, price=CALM[-1].close, start=len(CALM) + 3)
        assert [after(*frozen, *moving[:n]).label is Label.UNKNOWN for n in (1, 2, 3)] == [True, True, False]

    @pytest.mark.parametrize(
        "broken",
        [
            {"close": math.nan}, {"open": math.nan}, {"high": math.nan}, {"low": math.nan}, {"volume": math.nan},
            {"high": math.inf}, {"volume": math.inf}, {"low": 0.0}, {"low": -1.0}, {"volume": -1.0},
            {"high": 1.0}, {"low": 1e9}, {"close_time_ms": 0}, {"close_time_ms": 10**14},
        ],
        ids=str,
    )  # fmt: skip
    def test_a_bar_that_cannot_be_is_not_believed(self, broken: dict[str, float]) -> None:
        """It makes the regime unknown, moves no figure, and what it stood for is missing: the next bar finds a gap."""
        next_one, later = more(2)
        regime = after(replace(next_one, **broken))
        before = after()
        assert (regime.label, regime.cause) == (Label.UNKNOWN, Cause.UNSOUND)
        assert (regime.volatility, regime.drawdown, regime.as_of) == (before.volatility, before.drawdown, before.as_of)
        assert after(replace(next_one, **broken), later).cause is Cause.GAP

    def test_a_bar_told_again_changes_nothing(self) -> None:
        """The last bar again, and any older one, leave the state as it is: what comes after a reconnection."""
        for again in (CALM[-1], CALM[-2], CALM[0], replace(CALM[0], close=CALM[0].close, volume=77.0)):
            assert fold(SETTLED, again) == SETTLED

    @pytest.mark.parametrize("changed", [{"volume": 11.0}, {"close_time_ms": CALM[-1].close_time_ms - 1}], ids=str)
    def test_a_bar_told_in_other_words_is_not_believed(self, changed: dict[str, float]) -> None:
        """One of two different bars of one time is wrong: the regime is unknown until the feed has settled."""
        broken = replace(CALM[-1], **changed)
        assert after(broken).label is Label.UNKNOWN
        assert [after(broken, *more(count)).label is Label.UNKNOWN for count in (1, 2, 3)] == [True, True, False]

    def test_a_gap_does_not_end_a_stress(self) -> None:
        """What was in stress before a gap is held to the exit thresholds after it, not to the entry ones."""
        crash = slide(CALM, 3, 24, fall=0.15, minutes=5)
        state = fold_all(State(), crash)
        assert state.phase.label in STRESSED
        # A stress that nobody can enter, and that nobody leaves.
        sticky = DEFAULT._replace(
            volatility=Band(9.0, 0.0), percentile=Band(1.0, 0.0), abnormal_bar=999.0, drawdown=Band(99.0, 98.0),
            capitulation_drawdown=Band(99.0, 98.0),
        )  # fmt: skip
        rest = walk(4, 4, daily=0.02, price=crash[-1].close, start=len(crash) + 1)
        assert fold(state, rest[0], sticky).phase.label is Label.UNKNOWN
        assert fold_all(state, rest, sticky).phase.label is Label.HIGH_VOLATILITY


class TestCrash:
    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("minutes", [1, 5])
    def test_a_fall_of_15_percent_in_two_hours(self, seed: int, minutes: int) -> None:
        """After two quiet days a fall by 15 % in two hours is flagged before half of it has happened, and still is."""
        quiet = walk(seed, 2880 // minutes, daily=0.02, minutes=minutes)
        bars = slide(quiet, seed + 100, 120 // minutes, fall=0.15, minutes=minutes)
        high, low = quiet[-1].close, bars[-1].close
        half = next(row for row in range(len(quiet), len(bars)) if bars[row].close <= (high + low) / 2)
        found = labels(bars)
        first = next(row for row in range(len(quiet), len(bars)) if found[row] in STRESSED)
        assert first < half
        assert found[half - 1] in STRESSED
        assert found[-1] is Label.CAPITULATION

    @pytest.mark.parametrize("seed", range(6))
    def test_a_quiet_walk_is_never_a_stress(self, seed: int) -> None:
        """A walk of 1 % a day, a third of the volatility from which a market can be violent, raises no alarm."""
        assert not set(STRESSED) & set(labels(walk(seed, 14 * DAY, daily=0.01)))

    def test_calm_returns(self) -> None:
        """A day after the fall, when the market has been quiet since, the stress is over."""
        crash = slide(CALM, 3, 24, fall=0.15, minutes=5)
        calm = walk(5, DAY + 24, daily=0.02, price=crash[-1].close, start=len(crash))
        assert labels([*crash, *calm])[-1] not in {*STRESSED, Label.UNKNOWN}

    def test_a_straight_rise_is_a_bull_trend_and_a_straight_fall_a_bear_trend(self) -> None:
        """Eight hours of the same small step each way have an efficiency ratio of 1 and full confidence."""
        base = CALM[-1].close
        for step, label in ((1.0002, Label.TRENDING_BULL), (0.9998, Label.TRENDING_BEAR)):
            closes = [base * step**n for n in range(1, 120)]
            regime = after(*series([base, *closes], start=len(CALM) - 1)[1:])
            assert (regime.label, regime.confidence) == (label, Decimal(1))
            assert regime.efficiency == Decimal(1)

    def test_a_spread_that_widens_is_a_stress(self) -> None:
        """Five times the average spread is high volatility at once, just under it is not; an absurd one is absent."""
        state = SETTLED
        for one in more(20):
            state = fold(state, one, spread=2.0)
        last = walk(8, 21, daily=0.02, price=CALM[-1].close, start=len(CALM))[-1]
        assert fold(state, last, spread=10.0).phase.label is Label.HIGH_VOLATILITY
        assert fold(state, last, spread=10.0).phase.cause is Cause.SPREAD
        for calm in (9.99, math.nan, math.inf, -1.0, None):
            assert fold(state, last, spread=calm).phase.label is Label.RANGING

    @needs_klines
    def test_a_recorded_frozen_feed(self) -> None:
        """The 15 minutes of 12 Sep 2023 in which the recorded feed stood still are unknown, before and after known."""
        table = read_klines(KLINES / "um_5m_2023-01-01_2024-05-14_BTC_ETH_LTC.parquet")
        midnight = 1_694_476_800_000  # 2023-09-12T00:00:00Z
        begin, noon = midnight - 2 * 1440 * MINUTE, midnight + 720 * MINUTE
        bars = [one for one in table.bars("BTCUSDT") if begin <= one.open_time_ms < noon]
        state, unknown = State(), []
        for one in bars:
            state = fold(state, one)
            if state.phase.cause is Cause.FROZEN:
                unknown.append((one.close_time_ms + 1 - midnight) // MINUTE)
        assert unknown[0] == 8 * 60 + 50
        assert state.phase.label is not Label.UNKNOWN


def said(label: Label, symbol: str = "BTCUSDT", as_of: int = 0) -> Regime:
    return Regime(symbol, label, Decimal("0.7"), as_of, 0, Cause.VOLATILITY)


class TestLeader:
    @pytest.mark.parametrize("own", Label)
    @pytest.mark.parametrize("leader", Label)
    def test_of_the_leader_only_stress_counts_and_the_stricter_wins(self, own: Label, leader: Label) -> None:
        """A leader's high volatility, capitulation or unknown replaces what is less grave; its other labels nothing."""
        regime = under_leader(said(own, "ETHUSDT"), said(leader))
        stress = [Label.HIGH_VOLATILITY, Label.CAPITULATION, Label.UNKNOWN]
        imposed = leader in stress and (own not in stress or stress.index(leader) > stress.index(own))
        assert regime.label is (leader if imposed else own)
        assert regime.leader == ("BTCUSDT" if imposed else None)
        assert regime.symbol == "ETHUSDT"

    def test_a_late_leader_is_unknown(self) -> None:
        """A leader 15 minutes behind still counts; beyond that the regime is unknown. One ahead is no trouble."""
        limit = 15 * MINUTE * 1_000_000
        for lag, label in ((limit, Label.RANGING), (limit + 1, Label.UNKNOWN), (-limit, Label.RANGING)):
            regime = under_leader(said(Label.RANGING, "ETHUSDT", 10**18), said(Label.RANGING, as_of=10**18 - lag))
            assert regime.label is label
        assert under_leader(said(Label.RANGING, "ETHUSDT"), regime_of("BTCUSDT", State())).cause is Cause.LEADER_LATE

    def test_the_leader_itself_has_none(self) -> None:
        """Nothing is imposed on the leader by itself."""
        assert under_leader(said(Label.RANGING), said(Label.CAPITULATION)).label is Label.RANGING

    def test_a_crash_of_the_leader_is_told_of_every_symbol(self) -> None:
        """A symbol that is quiet while the leader crashes is under the leader's stress, with its own measures."""
        guard = Guard()
        crash = renamed(slide(CALM, 3, 24, fall=0.15, minutes=5), "BTCUSDT")
        quiet = [*CALM, *more(24)]
        for leading, following in zip(crash, quiet, strict=True):
            guard.fold(leading)
            guard.fold(following)
        own = regime_of("ETHUSDT", fold_all(State(), quiet))
        regime = guard.regime("ETHUSDT")
        assert (regime.label, regime.leader) == (Label.CAPITULATION, "BTCUSDT")
        assert regime.volatility == own.volatility
        assert own.label is Label.RANGING

    def test_without_a_leader_a_symbol_is_unknown_and_with_none_named_it_stands_alone(self) -> None:
        """A leader that was never fed leaves the market unknown; that there is none is a policy's choice."""
        alone = DEFAULT._replace(leaders=())
        lone, led = Guard(lambda _: alone), Guard()
        for one in CALM:
            lone.fold(one)
            led.fold(one)
        assert led.regime("ETHUSDT").label is Label.UNKNOWN
        assert lone.regime("ETHUSDT").label is Label.RANGING
        assert lone.regime("XRPUSDT").label is Label.UNKNOWN

    def test_the_order_of_severity(self) -> None:
        """Severity rises from ranging over choppy and high volatility to capitulation; unknown is never the milder."""
        order = [Label.RANGING, Label.CHOPPY, Label.HIGH_VOLATILITY, Label.CAPITULATION, Label.UNKNOWN]
        assert sorted(order, key=lambda label: label.severity) == order
        assert len({label.severity for label in Label}) == len(Label)
        first, second = said(Label.CHOPPY), said(Label.CHOPPY, "ETHUSDT")
        assert stricter(first, second) is first


class TestThresholds:
    def test_a_policy_sets_them_by_symbol(self) -> None:
        """What a symbol's scope sets holds for it, what the global scope sets for the rest; durations come as ms."""
        scopes = {"global": {"regime_dwell_minutes": 60.0}, "symbol:ETHUSDT": {"regime_trend_enter": 0.5}}
        policy = read_policy({"scopes": scopes})
        eth, xrp = (thresholds_of(policy.limits(symbol, "any", None)) for symbol in ("ETHUSDT", "XRPUSDT"))
        assert (eth.dwell, xrp.dwell) == (3_600_000, 3_600_000)
        assert (eth.trend, xrp.trend) == (Band(0.5, 0.25), DEFAULT.trend)

    def test_lengths_are_counted_in_samples(self) -> None:
        """With samples of 15 minutes a week is 672 of them, a day 96 and eight hours 32."""
        assert (DEFAULT.window, DEFAULT.range_window, DEFAULT.trend_window) == (672, 96, 32)

    @pytest.mark.parametrize(
        "values",
        [
            {"regime_percentile_exit": 0.99}, {"regime_volatility_enter": 0.01}, {"regime_drawdown_exit": 2.5},
            {"regime_spread_exit": 6.0}, {"regime_capitulation_drawdown_exit": 3.5}, {"regime_trend_exit": 0.5},
            {"regime_capitulation_percentile_enter": 0.9}, {"regime_choppy_volatility_exit": 2.5},
            {"regime_choppy_efficiency_exit": 0.05},
        ],
        ids=str,
    )  # fmt: skip
    def test_an_exit_beyond_its_entry_is_refused(self, values: dict[str, float]) -> None:
        """A policy in which a label could not be kept where it was entered is refused."""
        with pytest.raises(PolicyError, match="is above regime_"):
            read_policy({"scopes": {"global": dict(values)}})
