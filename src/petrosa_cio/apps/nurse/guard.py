"""The market-regime guard: closed bars in, a regime out. Pure, streaming, of bounded memory.

`fold` is the whole of it: state and bar in, state out. A batch is the same fold over many bars (`fold_all`), so there
is no second way to a label. `Guard` keeps a state for each symbol and lets the leaders' stress count for all.

Nothing here reads a clock. A regime says of when it is (``as_of``); whoever uses it judges its age, and feeds only
bars that have closed by a clock of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse import phases
from petrosa_cio.apps.nurse.bars import Bar, Place, interval_of, is_flat, is_sound, place_of
from petrosa_cio.apps.nurse.indicators import (
    DAY_MS,
    Ranked,
    drawdown,
    efficiency_ratio,
    path_of,
    true_range,
    variance_step,
    weight_of,
    wilder_step,
)
from petrosa_cio.apps.nurse.models import decimal_of
from petrosa_cio.apps.nurse.phases import Measures, Phase
from petrosa_cio.apps.nurse.regime import Cause, Label, Regime, stricter
from petrosa_cio.apps.nurse.thresholds import DEFAULT, Thresholds, coarser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

_MS = 1_000_000
"""Nanoseconds in a millisecond."""


class Samples(NamedTuple):
    """What is kept of the past, one sample for each step of ``regime_sample_minutes``. Bounded by the thresholds."""

    step: int = -1
    """Number of the step that is being filled, since 1970."""
    volatilities: Ranked = Ranked()
    closes: tuple[float, ...] = ()
    path: float = 0.0
    """Sum of the moves between ``closes``."""
    highs: tuple[float, ...] = ()
    lows: tuple[float, ...] = ()
    highest: float = 0.0
    """Of ``highs``."""
    lowest: float = math.inf
    high: float = 0.0
    """Of the step that is being filled."""
    low: float = math.inf


class State(NamedTuple):
    """All that the guard knows of one symbol. Immutable; equal bars make equal states."""

    bar: Bar | None = None
    """The last sound bar."""
    interval: int = 0
    began: int = 0
    """Open of the first bar of this history, ms."""
    variance: float | None = None
    """EWMA, per day."""
    atr: float | None = None
    bar_ratio: float = 0.0
    samples: Samples = Samples()
    outside: bool = False
    flat: int = 0
    """Length of the run of flat bars that ends with the last one, ms."""
    spread: float = 0.0
    """Of the last bar, over its average."""
    spread_average: float | None = None
    trouble: Cause | None = Cause.NO_BARS
    """What is wrong with the feed, until it has settled."""
    trouble_at: int = 0
    """When it was last seen to be wrong, ms."""
    phase: Phase = Phase(Label.UNKNOWN, 0, Cause.NO_BARS)
    held: Label = Label.UNKNOWN
    """The last label that was known. A gap in the feed does not end a stress: its exit thresholds go on to count."""


def fold(state: State, bar: Bar, thresholds: Thresholds = DEFAULT, spread: float | None = None) -> State:
    """Return the state after one more closed bar of the same symbol. Never raises for what a feed can contain.

    ``spread`` is the bid-ask spread at the bar's close in any unit that stays the same, for instance basis points.
    A bar that is told again, or is older than the last, changes nothing. One that cannot be, or that contradicts what
    was told before, is not believed, and makes the regime unknown for a while.
    """
    if not is_sound(bar) or (state.bar is not None and interval_of(bar) != state.interval):
        return _troubled(state, Cause.UNSOUND)
    if interval_of(bar) > thresholds.sample:
        thresholds = coarser(thresholds, interval_of(bar))
    place = place_of(bar, state.bar)
    if place is Place.REPEAT:
        return state
    if place is Place.CONTRADICTION:
        return _troubled(state, Cause.UNSOUND)
    if state.bar is None or bar.open_time_ms - state.bar.close_time_ms > thresholds.range_window * thresholds.sample:
        # After a hole as long as the window nothing that is remembered says what is usual now.
        return _first(bar, thresholds)
    return _labelled(_measured(state, state.bar, bar, thresholds, spread), place is Place.GAP, thresholds)


def fold_all(state: State, bars: Iterable[Bar], thresholds: Thresholds = DEFAULT) -> State:
    """Return the state after all ``bars``, in their order."""
    for bar in bars:
        state = fold(state, bar, thresholds)
    return state


def regime_of(symbol: str, state: State, thresholds: Thresholds = DEFAULT) -> Regime:
    """Return what a state says of its symbol, leaders left aside."""
    label, since, cause = state.phase
    if state.bar is None:
        return Regime(symbol, label, decimal_of(0.0))
    measures = _measures(state, state.bar)
    score = 0.0 if measures is None else phases.evidence(label, measures, thresholds)
    return Regime(
        symbol=symbol,
        label=label,
        confidence=_figure(phases.confidence(score)),
        as_of=state.bar.close_time_ms * _MS,
        since=since * _MS,
        cause=cause,
        volatility=None if state.variance is None else _figure(math.sqrt(state.variance)),
        usual_volatility=None if measures is None else _figure(measures.usual),
        percentile=None if measures is None else _figure(measures.percentile),
        drawdown=_figure(drawdown(state.bar.close, _high(state.samples))),
        atr=None if state.atr is None else _figure(state.atr / state.bar.close),
        efficiency=None if measures is None else _figure(measures.efficiency),
    )


def under_leader(own: Regime, leader: Regime, thresholds: Thresholds = DEFAULT) -> Regime:
    """Return ``own`` as it stands beside its leader: under the leader's stress, where that is graver.

    Of the leader only stress counts (`Label.is_stress`): its trends and ranges are its own. A leader whose last bar is
    older than the own one by more than ``leader_age`` is unknown. The measures stay the symbol's own.
    """
    if own.symbol == leader.symbol:
        return own
    if _late(own, leader, thresholds):
        leader = Regime(leader.symbol, Label.UNKNOWN, decimal_of(0.0), leader.as_of, own.as_of, Cause.LEADER_LATE)
    if not leader.label.is_stress or stricter(own, leader) is own:
        return own
    return Regime(
        own.symbol, leader.label, leader.confidence, own.as_of, leader.since, leader.cause, own.volatility,
        own.usual_volatility, own.percentile, own.drawdown, own.atr, own.efficiency, leader.symbol,
    )  # fmt: skip


class Guard:
    """The regimes of many symbols. Memory of its own for each symbol that was fed, bounded; nothing else is kept."""

    def __init__(self, thresholds_for: Callable[[str], Thresholds] = lambda _: DEFAULT) -> None:
        """Take the thresholds of each symbol from ``thresholds_for``. To change lengths, feed history to a new one."""
        self._thresholds_for = thresholds_for
        self._states: dict[str, State] = {}

    def fold(self, bar: Bar, spread: float | None = None) -> Regime:
        """Take one closed bar in, and return the regime of its symbol, leaders considered."""
        state = self._states.get(bar.symbol, State())
        self._states[bar.symbol] = fold(state, bar, self._thresholds_for(bar.symbol), spread)
        return self.regime(bar.symbol)

    def forget(self, symbol: str) -> None:
        """Know nothing of ``symbol`` any more: its history is to be fed anew."""
        self._states.pop(symbol, None)

    def regime(self, symbol: str) -> Regime:
        """Return the regime of ``symbol``, leaders considered; unknown for a symbol that was never fed."""
        thresholds = self._thresholds_for(symbol)
        regime = self._alone(symbol, thresholds)
        for leader in thresholds.leaders:
            if leader != symbol:
                regime = under_leader(regime, self._alone(leader, self._thresholds_for(leader)), thresholds)
        return regime

    def _alone(self, symbol: str, thresholds: Thresholds) -> Regime:
        return regime_of(symbol, self._states.get(symbol, State()), thresholds)


def _late(own: Regime, leader: Regime, thresholds: Thresholds) -> bool:
    if leader.as_of is None:
        return True
    return own.as_of is not None and own.as_of - leader.as_of > thresholds.leader_age * _MS


def _first(bar: Bar, thresholds: Thresholds) -> State:
    samples = Samples(bar.close_time_ms // thresholds.sample, high=bar.high, low=bar.low)
    return State(
        bar, interval_of(bar), bar.open_time_ms, samples=samples, trouble=None,
        phase=Phase(Label.UNKNOWN, bar.close_time_ms, Cause.WARMING_UP),
    )  # fmt: skip


def _troubled(state: State, cause: Cause) -> State:
    """The state after something that is not believed: nothing is measured, and the regime is unknown."""
    now = 0 if state.bar is None else state.bar.close_time_ms
    return state._replace(trouble=cause, trouble_at=now, phase=_unknown(state.phase, now, cause))


def _unknown(phase: Phase, now: int, cause: Cause) -> Phase:
    since = phase.since if phase.label is Label.UNKNOWN else now
    return Phase(Label.UNKNOWN, since, cause)


def _measured(state: State, last: Bar, bar: Bar, thresholds: Thresholds, spread: float | None) -> State:
    """The state with every indicator one bar further; trouble and phase are still those of before."""
    elapsed = bar.close_time_ms - last.close_time_ms
    weight = weight_of(thresholds.decay, elapsed, thresholds.decay_step)
    variance = variance_step(state.variance, math.log(bar.close / last.close), elapsed, weight)
    moved = true_range(bar.high, bar.low, last.close)
    length = max(2, round(thresholds.atr / state.interval))
    samples = _stepped(state.samples, bar, last.close, math.sqrt(variance), thresholds)
    ratio, average = _spread(state, spread, max(2, DAY_MS // state.interval))
    return state._replace(
        bar=bar,
        variance=variance,
        atr=wilder_step(state.atr, moved, length),
        bar_ratio=moved / state.atr if state.atr else 0.0,
        samples=samples,
        outside=not _low(state.samples) <= bar.close <= _high(state.samples),
        flat=state.flat + state.interval if is_flat(bar, last.close) else 0,
        spread=ratio,
        spread_average=average,
    )


def _spread(state: State, spread: float | None, length: int) -> tuple[float, float | None]:
    """How the spread compares with its average before, and the average after; one that cannot be counts as absent."""
    if spread is None or not 0.0 <= spread < math.inf:
        return 0.0, state.spread_average
    ratio = spread / state.spread_average if state.spread_average else 0.0
    return ratio, wilder_step(state.spread_average, spread, length)


def _stepped(samples: Samples, bar: Bar, last_close: float, volatility: float, thresholds: Thresholds) -> Samples:
    """The samples with ``bar`` in them: into the step that is being filled, or, if it is over, into a new one.

    What a step leaves behind: its high and low, its last close, and the volatility at the first bar after it. Steps
    in which no bar closed leave nothing; a hole of more than the window begins a new history anyway.
    """
    step = bar.close_time_ms // thresholds.sample
    if step == samples.step:
        return samples._replace(high=max(samples.high, bar.high), low=min(samples.low, bar.low))
    # The step under way counts as one of the window's.
    kept = thresholds.range_window - 1
    highs, lows = _last(samples.highs, samples.high, kept), _last(samples.lows, samples.low, kept)
    closes = _last(samples.closes, last_close, thresholds.trend_window)
    return Samples(
        step=step,
        volatilities=samples.volatilities.add(volatility, thresholds.window),
        closes=closes,
        path=path_of(closes),
        highs=highs,
        lows=lows,
        highest=max(highs, default=0.0),
        lowest=min(lows, default=math.inf),
        high=bar.high,
        low=bar.low,
    )


def _last(kept: tuple[float, ...], newest: float, length: int) -> tuple[float, ...]:
    """The last ``length`` of ``kept`` and ``newest``, which may be none."""
    return (*kept, newest)[-length:] if length else ()


def _high(samples: Samples) -> float:
    return max(samples.highest, samples.high)


def _low(samples: Samples) -> float:
    return min(samples.lowest, samples.low)


def _measures(state: State, bar: Bar) -> Measures | None:
    """What the indicators say; None before there is a sample to compare with."""
    samples = state.samples
    if state.variance is None or not samples.closes:
        return None
    volatility = math.sqrt(state.variance)
    high, low = _high(samples), _low(samples)
    return Measures(
        volatility=volatility,
        usual=samples.volatilities.median,
        percentile=samples.volatilities.percentile(volatility),
        drawdown=drawdown(bar.close, high),
        bar=state.bar_ratio,
        efficiency=efficiency_ratio(samples.closes[0], bar.close, samples.path + abs(bar.close - samples.closes[-1])),
        rises=bar.close >= samples.closes[0],
        retraced=(bar.close - low) / (high - low) if high > low else 0.0,
        outside=state.outside,
        spread=state.spread,
    )


def _labelled(state: State, gap: bool, thresholds: Thresholds) -> State:
    """The measured state with its phase: unknown while the feed is in trouble or the history short, else what it is."""
    bar = state.bar
    if bar is None:
        return state
    now = bar.close_time_ms
    trouble, trouble_at = state.trouble, state.trouble_at
    if state.flat >= thresholds.frozen:
        trouble, trouble_at = Cause.FROZEN, now
    elif gap:
        trouble, trouble_at = Cause.GAP, now
    elif trouble is not None and now - trouble_at >= thresholds.settle:
        trouble = None
    measures = _measures(state, bar)
    if trouble is None and (measures is None or now - state.began < thresholds.warm_up - 1):
        return state._replace(trouble=None, phase=_unknown(state.phase, now, Cause.WARMING_UP))
    if trouble is not None or measures is None:
        cause = trouble or Cause.WARMING_UP
        return state._replace(trouble=trouble, trouble_at=trouble_at, phase=_unknown(state.phase, now, cause))
    reading = phases.read(measures, thresholds, state.held)
    if state.phase.label is Label.UNKNOWN:
        phase = Phase(reading.label, now, reading.cause)
    else:
        phase = phases.succeed(state.phase, reading, now, thresholds.dwell)
    return state._replace(trouble=None, trouble_at=trouble_at, phase=phase, held=phase.label)


def _figure(number: float) -> Decimal:
    return decimal_of(round(number, 6))
