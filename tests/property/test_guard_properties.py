"""The regime guard, for every feed: streaming equals batch, labels do not flap, memory is bounded, nothing raises."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders_bars import MINUTE, OneBar, renamed, series, walk
from petrosa_cio.apps.nurse import phases
from petrosa_cio.apps.nurse.bars import is_sound
from petrosa_cio.apps.nurse.defaults import default_values
from petrosa_cio.apps.nurse.guard import Guard, State, fold, fold_all, regime_of
from petrosa_cio.apps.nurse.parameters.parameter import Kind
from petrosa_cio.apps.nurse.parameters.regime import REGIME
from petrosa_cio.apps.nurse.phases import Measures, Phase, Reading
from petrosa_cio.apps.nurse.policy import Limits
from petrosa_cio.apps.nurse.regime import Cause, Label
from petrosa_cio.apps.nurse.thresholds import DEFAULT, thresholds_of
from petrosa_cio.core.exchange.recording import read_klines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KLINES = Path(__file__).resolve().parents[3] / "shared" / "data" / "klines"
needs_klines = pytest.mark.skipif(
    not KLINES.is_dir(), reason=f"the recorded klines are not on this machine: {KLINES} is absent"
)
NUMBERS = [parameter for parameter in REGIME if parameter.kind is Kind.FLOAT]
MINUTES = 15
SHORT = DEFAULT._replace(warm_up=6 * 60 * MINUTE)
"""The defaults, but for a warm-up of six hours, so that short feeds get somewhere."""


def wild(seed: int, count: int) -> list[OneBar]:
    """A walk whose volatility and drift change every few hours, from dead calm to a crash."""
    chance = random.Random(seed)
    price, closes = 100.0, []
    deviation, drift = 0.001, 0.0
    for _ in range(count):
        if chance.random() < 0.08:
            deviation = chance.choice((0.0005, 0.001, 0.003, 0.01, 0.03))
            drift = chance.choice((0.0, 0.0, 1.0, -1.0)) * deviation
        price *= math.exp(chance.gauss(drift, deviation))
        closes.append(price)
    return series(closes, minutes=MINUTES)


@st.composite
def feeds(draw: st.DrawFn) -> list[OneBar]:
    """What a feed can bring: a wild market with bars missing, told again, late, frozen, broken or contradicted."""
    bars = wild(draw(st.integers(0, 2**32)), draw(st.integers(30, 260)))
    for kind, place, length in draw(
        st.lists(st.tuples(st.sampled_from(sorted(TROUBLES)), st.integers(0, 259), st.integers(1, 6)), max_size=6)
    ):
        if place < len(bars):
            bars = TROUBLES[kind](bars, place, length)
    return bars


def _frozen(bars: list[OneBar], place: int, length: int) -> list[OneBar]:
    price = bars[place].open
    still = [
        replace(one, open=price, high=price, low=price, close=price, volume=0.0) for one in bars[place : place + length]
    ]
    return [*bars[:place], *still, *bars[place + length :]]


def _again(bars: list[OneBar], place: int, length: int) -> list[OneBar]:
    return [*bars[: place + 1], *bars[max(0, place + 1 - length) :]]


def _backwards(bars: list[OneBar], place: int, length: int) -> list[OneBar]:
    return [*bars[:place], *reversed(bars[place : place + length]), *bars[place + length :]]


def _a_day_lost(bars: list[OneBar], place: int, _: int) -> list[OneBar]:
    lost = 26 * 60 * MINUTE
    later = [
        replace(one, open_time_ms=one.open_time_ms + lost, close_time_ms=one.close_time_ms + lost)
        for one in bars[place:]
    ]
    return [*bars[:place], *later]


def _longer(bars: list[OneBar], place: int, _: int) -> list[OneBar]:
    longer = replace(bars[place], close_time_ms=bars[place].close_time_ms + MINUTE)
    return [*bars[:place], longer, *bars[place + 1 :]]


TROUBLES = {
    "missing": lambda bars, place, length: [*bars[:place], *bars[place + length :]],
    "again": _again,
    "backwards": _backwards,
    "frozen": _frozen,
    "nan": lambda bars, place, _: [*bars[:place], replace(bars[place], close=math.nan), *bars[place + 1 :]],
    "impossible": lambda bars, place, _: [*bars[:place], replace(bars[place], low=-1.0), *bars[place + 1 :]],
    "contradicted": lambda bars, place, _: [*bars[: place + 1], replace(bars[place], volume=0.25), *bars[place + 1 :]],
    "longer": _longer,
    "a day lost": _a_day_lost,
}


def states(bars: Iterable[OneBar]) -> list[State]:
    state, found = State(), []
    for one in bars:
        state = fold(state, one, SHORT)
        found.append(state)
    return found


class Spell(NamedTuple):
    """One label without a break, from the close of its first bar to that of the first bar with another."""

    label: Label
    lasted: int
    followed_by: Label


def spells(found: Sequence[State]) -> list[Spell]:
    """Every spell but the last, by the times of sound bars."""
    changes = [(found[0].phase.label, _time(found[0]))]
    for state in found:
        if state.phase.label is not changes[-1][0]:
            changes.append((state.phase.label, _time(state)))
    return [Spell(label, later - since, follower) for (label, since), (follower, later) in pairwise(changes)]


def _time(state: State) -> int:
    return 0 if state.bar is None else state.bar.close_time_ms


class TestStream:
    @given(feeds(), st.data())
    def test_streaming_is_batch(self, bars: list[OneBar], data: st.DataObject) -> None:
        """Wherever a stream is cut and gone on from, label, confidence and every figure are those of one batch."""
        cut = data.draw(st.integers(0, len(bars)))
        whole = fold_all(State(), bars, SHORT)
        assert fold_all(fold_all(State(), bars[:cut], SHORT), bars[cut:], SHORT) == whole
        assert states(bars)[-1] == whole

    @given(feeds(), feeds(), st.randoms(use_true_random=False))
    def test_symbols_do_not_disturb_one_another(
        self, bars: list[OneBar], others: list[OneBar], chance: random.Random
    ) -> None:
        """However the bars of two symbols are interleaved, each symbol's regime is that of its own bars alone."""
        alone = SHORT._replace(leaders=())
        guard = Guard(lambda _: alone)
        left = [list(reversed(bars)), list(reversed(renamed(others, "XRPUSDT")))]
        while any(left):
            guard.fold(chance.choice([queue for queue in left if queue]).pop())
        assert guard.regime("ETHUSDT") == regime_of("ETHUSDT", fold_all(State(), bars, alone), alone)
        assert guard.regime("XRPUSDT") == regime_of("XRPUSDT", fold_all(State(), others, alone), alone)

    @given(feeds())
    def test_total(self, bars: list[OneBar]) -> None:
        """No feed raises; confidence is from 0 to 1, and 0 exactly where nothing is known or nothing speaks for it."""
        for state in states(bars):
            regime = regime_of("ETHUSDT", state, SHORT)
            assert Decimal(0) <= regime.confidence <= Decimal(1)
            assert regime.label is not Label.UNKNOWN or regime.confidence == 0
            assert regime.volatility is None or regime.volatility >= 0

    @given(feeds())
    def test_trouble_is_never_fine(self, bars: list[OneBar]) -> None:
        """After a bar that cannot be, or one that does not join the last, the regime is unknown."""
        state = State()
        for one in bars:
            before = state
            state = fold(state, one, SHORT)
            joins = before.bar is None or one.open_time_ms == before.bar.close_time_ms + 1
            older = before.bar is not None and one.open_time_ms <= before.bar.open_time_ms
            if not is_sound(one) or not (joins or older):
                assert state.phase.label is Label.UNKNOWN

    @given(feeds())
    def test_memory_is_bounded(self, bars: list[OneBar]) -> None:
        """Whatever comes, no more samples are kept than the windows have."""
        short = SHORT._replace(window=20, range_window=10, trend_window=5)
        state = State()
        for one in bars:
            state = fold(state, one, short)
            samples = state.samples
            assert len(samples.volatilities.recent) == len(samples.volatilities.ranked) <= 20
            assert len(samples.closes) <= 5
            assert len(samples.highs) == len(samples.lows) <= 9

    @given(feeds(), st.data())
    def test_no_threshold_breaks_it(self, bars: list[OneBar], data: st.DataObject) -> None:
        """With any values that the parameters admit no feed raises, and memory stays within the windows."""
        values = default_values()
        for parameter in data.draw(st.lists(st.sampled_from(NUMBERS), unique_by=lambda one: one.name)):
            assert parameter.minimum is not None
            assert parameter.maximum is not None
            ends = st.sampled_from([float(parameter.minimum), float(parameter.maximum)])
            values[parameter.name] = data.draw(ends | st.floats(parameter.minimum, parameter.maximum))
        thresholds = thresholds_of(Limits(values, {}, {}))
        state = fold_all(State(), bars, thresholds)
        samples = state.samples
        assert len(samples.volatilities.recent) <= thresholds.window
        assert len(samples.highs) == len(samples.lows) < thresholds.range_window
        assert len(samples.closes) <= thresholds.trend_window
        assert Decimal(0) <= regime_of("ETHUSDT", state, thresholds).confidence <= Decimal(1)

    @needs_klines
    @pytest.mark.parametrize("symbol", ["BTCUSDT", "LTCUSDT"])
    def test_recorded_bars(self, symbol: str) -> None:
        """On two weeks of August 2023 with its crash streaming equals batch, and no label flaps."""
        table = read_klines(KLINES / "um_5m_2023-01-01_2024-05-14_BTC_ETH_LTC.parquet")
        begin, end = 1_691_625_600_000, 1_692_835_200_000  # 10 and 24 Aug 2023
        bars = [one for one in table.bars(symbol) if begin <= one.open_time_ms < end]
        state, found = State(), []
        for one in bars:
            state = fold(state, one)
            found.append(state)
        assert fold_all(State(), bars) == state
        assert all(_may_follow(spell) for spell in spells(found))
        assert {Label.HIGH_VOLATILITY, Label.CAPITULATION} <= {one.phase.label for one in found}


def _may_follow(spell: Spell) -> bool:
    known = Label.UNKNOWN not in (spell.label, spell.followed_by)
    graver = spell.followed_by.severity > spell.label.severity
    return not known or graver or spell.lasted >= DEFAULT.dwell


class TestLabels:
    @given(feeds())
    def test_labels_do_not_flap(self, bars: list[OneBar]) -> None:
        """No label gives way to a milder one before its dwell is over; only a graver one, or unknown, comes sooner."""
        assert all(_may_follow(spell) for spell in spells(states(bars)))

    @given(st.sampled_from(Label), st.sampled_from(Label), st.integers(0, 10**7), st.integers(0, 10**7))
    def test_dwell(self, held: Label, read: Label, since: int, dwell: int) -> None:
        """A graver label follows at once; a milder one not a millisecond before the dwell is over, and at once then."""
        phase, reading = Phase(held, since, Cause.NOTHING), Reading(read, Cause.VOLATILITY, 1.0)
        early = phases.succeed(phase, reading, since + dwell - 1, dwell)
        late = phases.succeed(phase, reading, since + dwell, dwell)
        assert late.label is read
        assert early.label is (read if read.severity >= held.severity else held)

    @given(st.data())
    def test_what_is_entered_is_kept(self, data: st.DataObject) -> None:
        """Exit thresholds are the easier ones: the measures by which a label is entered also keep it."""
        measures = data.draw(measured)
        entered = phases.read(measures, DEFAULT, data.draw(st.sampled_from(Label))).label
        assert phases.read(measures, DEFAULT, entered).label is entered

    @given(st.data())
    def test_a_held_stress_is_never_read_as_less_than_a_new_one(self, data: st.DataObject) -> None:
        """Having been in stress never makes the guard milder than it would be coming from a quiet market."""
        measures = data.draw(measured)
        fresh = phases.read(measures, DEFAULT, Label.RANGING).label
        for held in (Label.HIGH_VOLATILITY, Label.CAPITULATION):
            again = phases.read(measures, DEFAULT, held).label
            assert not fresh.is_stress or again.severity >= fresh.severity

    @settings(max_examples=300)
    @given(st.data())
    def test_evidence_agrees_with_the_label(self, data: st.DataObject) -> None:
        """Where a label is entered from a quiet market its confidence is at least a half; nothing else decides it."""
        measures = data.draw(measured)
        label = phases.read(measures, DEFAULT, Label.UNKNOWN).label
        assert phases.confidence(phases.evidence(label, measures, DEFAULT)) >= 0.5


measured = st.builds(
    Measures,
    volatility=st.floats(0, 0.5) | st.sampled_from([0.025, 0.03]),
    usual=st.floats(0.001, 0.2),
    percentile=st.floats(0, 1) | st.sampled_from([0.75, 0.95, 0.98, 0.99]),
    drawdown=st.floats(0, 0.9),
    bar=st.floats(0, 50),
    efficiency=st.floats(0, 1),
    rises=st.booleans(),
    retraced=st.floats(0, 1),
    outside=st.booleans(),
    spread=st.just(0.0) | st.floats(0, 20),
)


FALL: dict[str, float] = {"percentile": 0.8, "retraced": 0.0}
DEEP: dict[str, float] = {"drawdown": 0.12, "percentile": 0.95}


class TestThreshold:
    QUIET = Measures(0.02, 0.02, 0.5, 0.0, 1.0, 0.2, rises=True, retraced=1.0, outside=False, spread=0.0)

    @pytest.mark.parametrize(
        ("below", "at", "label", "cause"),
        [
            ({"volatility": 0.0299, "percentile": 1.0}, {"volatility": 0.03}, Label.HIGH_VOLATILITY, Cause.VOLATILITY),
            ({"volatility": 0.04, "percentile": 0.9799}, {"percentile": 0.98}, Label.HIGH_VOLATILITY, Cause.VOLATILITY),
            ({"drawdown": 0.0799, "percentile": 0.8}, {"drawdown": 0.08}, Label.HIGH_VOLATILITY, Cause.DRAWDOWN),
            (FALL | {"drawdown": 0.0999, "usual": 0.05}, {"drawdown": 0.1}, Label.HIGH_VOLATILITY, Cause.DRAWDOWN),
            ({"drawdown": 0.09, "percentile": 0.7499}, {"percentile": 0.75}, Label.HIGH_VOLATILITY, Cause.DRAWDOWN),
            ({"bar": 9.99, "volatility": 0.03}, {"bar": 10.0}, Label.HIGH_VOLATILITY, Cause.ABNORMAL_BAR),
            ({"spread": 4.99}, {"spread": 5.0}, Label.HIGH_VOLATILITY, Cause.SPREAD),
            ({"drawdown": 0.0999, "percentile": 0.995}, {"drawdown": 0.1}, Label.CAPITULATION, Cause.DRAWDOWN),
            ({"drawdown": 0.2, "percentile": 0.9899}, {"percentile": 0.99}, Label.CAPITULATION, Cause.DRAWDOWN),
            ({"efficiency": 0.399}, {"efficiency": 0.4}, Label.TRENDING_BULL, Cause.DIRECTION),
            ({"efficiency": 0.399, "rises": False}, {"efficiency": 0.4}, Label.TRENDING_BEAR, Cause.DIRECTION),
            ({"outside": True, "volatility": 0.0249}, {"volatility": 0.025}, Label.BREAKOUT_PHASE, Cause.BREAKOUT),
            ({"efficiency": 0.1, "volatility": 0.0399}, {"volatility": 0.04}, Label.CHOPPY, Cause.DIRECTION),
            ({"efficiency": 0.1001, "volatility": 0.04}, {"efficiency": 0.1}, Label.CHOPPY, Cause.DIRECTION),
        ],
        ids=str,
    )  # fmt: skip
    def test_entry_thresholds_are_inclusive(
        self, below: dict[str, float], at: dict[str, float], label: Label, cause: Cause
    ) -> None:
        """From a quiet market a label is entered at its threshold itself, and not under it."""
        under = self.QUIET._replace(**below)
        reached = phases.read(under._replace(**at), DEFAULT, Label.RANGING)
        assert phases.read(under, DEFAULT, Label.RANGING).label is not label
        assert (reached.label, reached.cause) == (label, cause)

    @pytest.mark.parametrize(
        ("held", "at", "under", "follows"),
        [
            (Label.HIGH_VOLATILITY, {"volatility": 0.03, "percentile": 0.95}, {"percentile": 0.9499}, Label.RANGING),
            (Label.HIGH_VOLATILITY, {"volatility": 0.025, "percentile": 1.0}, {"volatility": 0.0249}, Label.RANGING),
            (Label.HIGH_VOLATILITY, FALL | {"drawdown": 0.125, "usual": 0.1}, {"drawdown": 0.1249}, Label.RANGING),
            (Label.CAPITULATION, DEEP | {"usual": 0.06}, {"drawdown": 0.1199}, Label.HIGH_VOLATILITY),
            (Label.CAPITULATION, DEEP, {"percentile": 0.9499}, Label.HIGH_VOLATILITY),
            (Label.TRENDING_BULL, {"efficiency": 0.25}, {"efficiency": 0.2499}, Label.RANGING),
            (Label.CHOPPY, {"efficiency": 0.18, "volatility": 0.03}, {"efficiency": 0.1801}, Label.RANGING),
            (Label.CHOPPY, {"efficiency": 0.18, "volatility": 0.03}, {"volatility": 0.0299}, Label.RANGING),
        ],
        ids=str,
    )  # fmt: skip
    def test_exit_thresholds_are_inclusive(
        self, held: Label, at: dict[str, float], under: dict[str, float], follows: Label
    ) -> None:
        """A label that is held is kept at its exit threshold itself, and left beyond it."""
        kept = self.QUIET._replace(**at)
        assert phases.read(kept, DEFAULT, held).label is held
        assert phases.read(kept._replace(**under), DEFAULT, held).label is follows

    def test_recovery_follows_a_stress_only(self) -> None:
        """A rebound by 38.2 % of a fall that is still deep is recovery after a stress, and nothing else."""
        rebound = self.QUIET._replace(drawdown=0.1, percentile=0.7, retraced=0.382)
        for held in (Label.HIGH_VOLATILITY, Label.CAPITULATION, Label.RECOVERY):
            assert phases.read(rebound, DEFAULT, held).label is Label.RECOVERY
            assert phases.read(rebound._replace(retraced=0.381), DEFAULT, held).label is Label.RANGING
        assert phases.read(rebound, DEFAULT, Label.RANGING).label is Label.RANGING

    def test_confidence(self) -> None:
        """At a threshold confidence is a half, at twice the evidence one, and less than a half below it."""
        at = self.QUIET._replace(volatility=0.03, percentile=0.98)
        for percentile, expected in ((0.98, 0.5), (0.99, 0.5), (0.96, 0.25)):
            score = phases.evidence(Label.HIGH_VOLATILITY, at._replace(percentile=percentile), DEFAULT)
            assert phases.confidence(score) == pytest.approx(expected)
        twice = at._replace(volatility=0.06, percentile=0.99)
        assert phases.confidence(phases.evidence(Label.HIGH_VOLATILITY, twice, DEFAULT)) == pytest.approx(1.0)


def test_a_long_walk_keeps_no_more_than_its_windows() -> None:
    """After 30 days the state holds a week of volatilities, a day of ranges and eight hours of closes, and no more."""
    state = fold_all(State(), walk(1, 30 * 96, daily=0.03, minutes=MINUTES))
    samples = state.samples
    assert (len(samples.volatilities.recent), len(samples.highs), len(samples.closes)) == (672, 95, 32)
