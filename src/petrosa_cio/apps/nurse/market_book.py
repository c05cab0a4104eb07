"""What is known of the markets, out of what is seen of them: observations in, one `MarketState` a symbol out. Pure.

**Of when a fact is.** An observation is of the exchange's time, but never of later than our clock had when it arrived.
One that is ahead by more than `AHEAD` is of a clock that is wrong, and is refused: the fact then ages until it is
stale. Of two observations of one fact the later one counts, whichever came first.

**A frozen feed is not a quiet market.** A mark, or a book, that is told again and again without having moved for as
long as `regime_frozen_minutes` is not made younger by being told again. Flat bars without volume are the guard's to
find.

**Bars.** The exchange's own closed bars go to the guard, the shortest that come for a symbol; longer ones are left
alone. Where a symbol has none at all, minute bars are built from its trades (`minutes`), until one comes: then the
guard starts anew on the real ones. A bar is as good as new until its successor has had time to close: its fact is of
that moment, or of now while that lies ahead. The rules of a symbol age likewise, from when they should have been read
again.

**History.** A guard that has just begun knows no regime for a day. So where a symbol's bars are the exchange's own
minutes, its past may be learnt from elsewhere (`learn`): only where that tells the first bar that was seen in the very
same figures, since otherwise it is the past of another market, spot for instance. A change of the policy's lengths
makes the guard read the kept bars anew (`catch_up`), one symbol at a time, for a week of minutes is most of a second of
work. What moves together is worked out of the kept bars at once, for of these only the ends of steps count.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.bars import interval_of, is_sound
from petrosa_cio.apps.nurse.correlation import Correlations
from petrosa_cio.apps.nurse.facts import Fact, MarketState
from petrosa_cio.apps.nurse.guard import Guard
from petrosa_cio.apps.nurse.minutes import MINUTE_MS, Minutes
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.observations import Candle, Marked, Quoted, Ruled, Traded
from petrosa_cio.apps.nurse.regime import Cause
from petrosa_cio.apps.nurse.thresholds import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal
    from typing import TypeAlias

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.observations import Observation
    from petrosa_cio.apps.nurse.regime import Regime
    from petrosa_cio.apps.nurse.thresholds import Thresholds

    Content: TypeAlias = "tuple[Decimal | None, ...]"

AHEAD: Instant = 5 * SECOND
"""How far an exchange's clock may be ahead of ours: the default of `max_clock_skew_seconds`."""
MOST_SYMBOLS = 128
"""Symbols that are followed at once: more than the fleet trades, few enough to be kept in memory whatever comes."""
LAST_BESIDE_MARK: Instant = 60 * SECOND
"""How much older than the mark a last price may be and still be told with it."""
_WARMING = (Cause.NO_BARS, Cause.WARMING_UP)
_MS = 1_000_000
_TEN_THOUSAND = 10_000.0


class _Standing:
    """One fact as it was seen last, since when it has not moved, and of when it counts."""

    __slots__ = ("at", "content", "moved")

    def __init__(self) -> None:
        self.at: Instant = 0
        self.content: Content = ()
        self.moved: Instant = 0

    def take(self, content: Content, at: Instant, received: Instant) -> bool:
        """Whether it is news: what is older than what is known is not, unless that lies ahead of the clock."""
        if at < self.at <= received + AHEAD:
            return False
        if content != self.content or at < self.at:
            self.content, self.moved = content, at
        self.at = at
        return True

    def as_of(self, frozen: Instant) -> Instant:
        """When it was seen last, but no later than ``frozen`` after it last moved."""
        return min(self.at, self.moved + frozen)


class _Symbol:
    """All that is kept of one symbol. Bounded: the last of everything, and the bars that the guard looks back on."""

    def __init__(self, symbol: str, most_bars: int) -> None:
        self.quoted: Quoted | None = None
        self.marked: Marked | None = None
        self.ruled: Ruled | None = None
        self.traded: Traded | None = None
        self.book, self.mark = _Standing(), _Standing()
        self.interval = 0
        """Length of the exchange's own bars, ms; 0 while none has come."""
        self.minutes: Minutes | None = Minutes(symbol)
        self.bars: deque[tuple[Candle, float | None]] = deque(maxlen=most_bars)
        """Bars that the guard was fed, with the spread at their close."""
        self.learnt = False
        """Whether its past was asked for, and learnt or refused."""


class MarketBook:
    """What is known of up to `MOST_SYMBOLS` markets. ``counts`` says what was not taken, and why."""

    def __init__(self, symbols: frozenset[str] = frozenset()) -> None:
        """Follow ``symbols``; every symbol that comes where that is empty."""
        self._only = symbols
        self._symbols: dict[str, _Symbol] = {}
        self._thresholds: Callable[[str], Thresholds] = lambda _: DEFAULT
        self._guard = Guard(lambda symbol: self._thresholds(symbol))
        self._behind: set[str] = set()
        self._correlations = Correlations(DEFAULT.sample, DEFAULT.correlation_window)
        self._groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        """Of each symbol what moves with it, and the step for which that holds unless a bar comes."""
        self.counts: Counter[str] = Counter()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of which something was seen, by name."""
        return tuple(sorted(self._symbols))

    def follow(self, thresholds: Callable[[str], Thresholds]) -> None:
        """Judge by these thresholds from now on. Where a length changed, regimes are unknown until `catch_up`.

        What moves together is compared by the steps that they say of no symbol, ``""``: steps of all must be the same.
        """
        before, self._thresholds = self._thresholds, thresholds
        for name, known in self._symbols.items():
            known.bars = deque(known.bars, maxlen=_most_bars(thresholds(name), known.interval))
            if lengths(before(name)) != lengths(thresholds(name)):
                self._guard.forget(name)
                self._behind.add(name)
        self._groups.clear()
        self._remember_closes()

    def catch_up(self) -> bool:
        """Feed the kept bars of one symbol to the guard anew, if one waits for it; whether another still does."""
        if self._behind:
            self._reread(self._behind.pop())
        return bool(self._behind)

    def young(self) -> tuple[str, ...]:
        """Symbols with the exchange's own minute bars whose past was not learnt."""
        found = (name for name, known in self._symbols.items() if known.bars and not known.learnt)
        return tuple(name for name in found if self._symbols[name].interval == MINUTE_MS)

    def learn(self, symbol: str, past: Sequence[Candle]) -> bool:
        """Take the minutes before the first one that was seen, in order and up to that one at least.

        False where that one is not among them yet: ask again. A past of other figures is counted, and not learnt.
        """
        known = self._symbols[symbol]
        if known.learnt or not known.bars:
            return True
        first = known.bars[0][0]
        same = next((bar for bar in past if bar.open_time_ms == first.open_time_ms), None)
        if same is None:
            return False
        known.learnt = True
        if _figures(same) != _figures(first):
            self.counts["a past of another market"] += 1
            return True
        older = [(bar, None) for bar in past if bar.close_time_ms < first.open_time_ms and is_sound(bar)]
        known.bars = deque([*older, *known.bars], maxlen=known.bars.maxlen)
        self._reread(symbol)
        return True

    def _reread(self, symbol: str) -> None:
        """Feed the kept bars of ``symbol`` to a guard that knows nothing of it."""
        self._guard.forget(symbol)
        self._correlations.forget(symbol)
        self._groups.clear()
        for bar, spread in self._symbols[symbol].bars:
            self._guard.fold(bar, spread)
            self._correlations.fold(bar)

    def last_close_ms(self, symbol: str) -> int | None:
        """Close of the last bar that the guard was fed, ms; None where there was none."""
        known = self._symbols.get(symbol)
        return known.bars[-1][0].close_time_ms if known is not None and known.bars else None

    def take(self, seen: Observation) -> None:
        """Take in one observation. Never raises; what is not believed is counted."""
        if seen.at > seen.received + AHEAD:
            self.counts["ahead of our clock"] += 1
            return
        known = self._known(seen.symbol)
        if known is None:
            return
        at = min(seen.at, seen.received)
        if known.minutes is not None:
            built = known.minutes.seen(at, seen.received)
            if built is not None:
                self._fold(known, built)
        match seen:
            case Traded():
                self._trade(known, seen, at)
            case Quoted():
                content = (seen.bid, seen.bid_quantity, seen.ask, seen.ask_quantity)
                if known.book.take(content, at, seen.received):
                    known.quoted = seen
            case Marked():
                if known.mark.take((seen.mark, seen.index), at, seen.received):
                    known.marked = seen
            case Candle():
                self._candle(known, seen)
            case Ruled():
                known.ruled = seen

    def state(self, symbol: str, now: Instant) -> MarketState | None:
        """What is known of ``symbol`` at ``now``; None where nothing was ever seen. `ports.Market`'s promise."""
        known = self._symbols.get(symbol)
        if known is None:
            return None
        frozen = self._thresholds(symbol).frozen * _MS
        as_of: list[tuple[Fact, Instant]] = []
        last = known.bars[-1][0] if known.bars else None
        regime = self._guard.regime(symbol)
        if last is not None and min((last.close_time_ms + 1) * _MS, last.received) <= now:
            as_of.append((Fact.BARS, min(now, _bars_as_of(last, regime))))
        marked, quoted, ruled = known.marked, known.quoted, known.ruled
        funded = marked is not None and marked.funding_rate is not None
        if marked is not None:
            as_of.append((Fact.MARK, known.mark.as_of(frozen)))
        if quoted is not None:
            as_of.append((Fact.BOOK, known.book.as_of(frozen)))
        if funded:
            as_of.append((Fact.FUNDING, known.mark.as_of(frozen)))
        if ruled is not None and min(ruled.at, ruled.received) <= now:
            as_of.append((Fact.FILTERS, min(now, ruled.due)))
        return MarketState(
            symbol=symbol,
            as_of=tuple((fact, at) for fact, at in as_of if at <= now),
            mark=marked.mark if marked else None,
            last=_beside(known),
            bid=quoted.bid if quoted else None,
            bid_quantity=quoted.bid_quantity if quoted else None,
            ask=quoted.ask if quoted else None,
            ask_quantity=quoted.ask_quantity if quoted else None,
            funding_rate=marked.funding_rate if marked else None,
            next_funding_at=marked.next_funding_at if marked else None,
            status=ruled.status if ruled else None,
            contract_type=ruled.contract_type if ruled else None,
            step_size=ruled.step_size if ruled else None,
            tick_size=ruled.tick_size if ruled else None,
            min_notional=ruled.min_notional if ruled else None,
            min_quantity=ruled.min_quantity if ruled else None,
            max_quantity=ruled.max_quantity if ruled else None,
            brackets=ruled.brackets if ruled else None,
            regime=regime.label.value if last else None,
            regime_confidence=regime.confidence if last else None,
            volatility=regime.volatility if last else None,
            correlated=self._group(symbol, now) if last else None,
        )

    def _known(self, symbol: str) -> _Symbol | None:
        known = self._symbols.get(symbol)
        if known is None:
            if self._only and symbol not in self._only:
                self.counts["another symbol"] += 1
                return None
            if len(self._symbols) >= MOST_SYMBOLS:
                self.counts["more symbols than are followed"] += 1
                return None
            known = self._symbols[symbol] = _Symbol(symbol, _most_bars(self._thresholds(symbol), 0))
            self._remember_closes()
        return known

    def _remember_closes(self) -> None:
        """Keep closes for as long as the longest window, and begin anew on the kept bars where that is another now."""
        windows = [self._thresholds(name).correlation_window for name in ("", *self._symbols)]
        closes = Correlations(self._thresholds("").sample, max(windows))
        if (closes.step_ms, closes.steps) == (self._correlations.step_ms, self._correlations.steps):
            return
        self._correlations = closes
        for known in self._symbols.values():
            for bar, _ in known.bars:
                closes.fold(bar)

    def _group(self, symbol: str, now: Instant) -> tuple[str, ...]:
        """The other symbols that move together with ``symbol``, by name, of those of which a bar is known."""
        step = (now // _MS + 1) // self._correlations.step_ms
        found = self._groups.get(symbol)
        if found is None or found[0] != step:
            own = self._thresholds(symbol)
            others = [name for name in self.symbols if self._symbols[name].bars]
            group = self._correlations.together(symbol, others, own.correlation_window, own.correlation, now // _MS)
            found = self._groups[symbol] = step, group
        return found[1]

    def _trade(self, known: _Symbol, seen: Traded, at: Instant) -> None:
        if known.minutes is not None:
            known.minutes.traded(seen)
        if known.traded is None or not at < known.traded.at <= seen.received + AHEAD:
            known.traded = seen

    def _candle(self, known: _Symbol, bar: Candle) -> None:
        if not is_sound(bar):
            # To the guard a bar that cannot be is a symptom of its feed.
            self.counts["a bar that cannot be"] += 1
            if bar.closed:
                self._guard.fold(bar)
            return
        length = interval_of(bar)
        if known.interval and length > known.interval:
            self.counts["a longer bar than another"] += 1
            return
        if length != known.interval:
            self._begin_anew(bar.symbol, known, length)
        if not bar.closed:
            return
        if bar.close_time_ms * _MS > bar.received + AHEAD:
            self.counts["a bar that closes in the future"] += 1
            return
        self._fold(known, bar)

    def _begin_anew(self, symbol: str, known: _Symbol, length: int) -> None:
        """The symbol has bars of the exchange's own now, or shorter ones: what was there is of another kind."""
        known.minutes, known.interval = None, length
        known.bars = deque(maxlen=_most_bars(self._thresholds(symbol), length))
        self._reread(symbol)

    def _fold(self, known: _Symbol, bar: Candle) -> None:
        last = known.bars[-1][0] if known.bars else None
        spread = _spread(known, bar)
        self._guard.fold(bar, spread)
        if last is None or bar.open_time_ms > last.close_time_ms:
            known.bars.append((bar, spread))
            if self._correlations.fold(bar) or last is None:
                self._groups.clear()


def lengths(thresholds: Thresholds) -> tuple[float, ...]:
    """The thresholds that say how long the guard remembers: it cannot go on under others without its history."""
    return (
        thresholds.decay, thresholds.decay_step, thresholds.sample, thresholds.window, thresholds.range_window,
        thresholds.trend_window, thresholds.atr,
    )  # fmt: skip


def history_ms(thresholds: Thresholds) -> int:
    """How far back is looked by these thresholds, in ms."""
    windows = (thresholds.window, thresholds.range_window, thresholds.trend_window)
    longest = max(*(window * thresholds.sample for window in windows), thresholds.correlation_window)
    return max(longest + thresholds.sample, thresholds.warm_up)


def _most_bars(thresholds: Thresholds, interval: int) -> int:
    return history_ms(thresholds) // (interval or MINUTE_MS) + 2


def _bars_as_of(last: Candle, regime: Regime) -> Instant:
    """When the successor of ``last`` is due. While the guard warms up, when ``last`` closed: of two feeds, one of which
    has just begun, the other is the one to believe.
    """
    closed = last.close_time_ms + 1
    return (closed if regime.cause in _WARMING else closed + interval_of(last)) * _MS


def _figures(bar: Candle) -> tuple[float, ...]:
    return bar.open_time_ms, bar.close_time_ms, bar.open, bar.high, bar.low, bar.close, bar.volume


def _spread(known: _Symbol, bar: Candle) -> float | None:
    """Bid-ask spread in basis points where the book was seen within the bar or after it."""
    quoted = known.quoted
    if quoted is None or known.book.at < bar.open_time_ms * _MS or not 0 < quoted.bid <= quoted.ask:
        return None
    return float((quoted.ask - quoted.bid) * 2 / (quoted.ask + quoted.bid)) * _TEN_THOUSAND


def _beside(known: _Symbol) -> Decimal | None:
    """The last price, where it is not much older than the mark that it is told with."""
    traded = known.traded
    return traded.price if traded is not None and traded.at >= known.mark.at - LAST_BESIDE_MARK else None
