"""A book's memory of its own recent decisions, folded from the ledger by one writer.

Everything here is derived: fold the same records and the memory is the same, after a crash as on another machine.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse import latches
from petrosa_cio.apps.nurse.fruitless import NO_RUN, Fruitless
from petrosa_cio.apps.nurse.latches import Latch, Standing
from petrosa_cio.apps.nurse.models import SECOND, BookFacts, Instant, Intent, Rival, Side
from petrosa_cio.apps.nurse.policy import DEFAULTS, GLOBAL, Limits, strategy_scope, symbol_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.happenings import Execution
    from petrosa_cio.apps.nurse.models import Json

DAY: int = 86_400 * SECOND
MINUTE: int = 60 * SECOND
TIMEFRAMES = ("tick", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
"""Timeframes of the fleet, shortest first (fleet facts §3.1)."""

_SEPARATOR = "\x1f"  # no name holds a control character, so joined names cannot be taken for one another

EntryKey: TypeAlias = tuple[str, str, Side]


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the book keeps of one well-formed decision."""

    decision_id: str
    identity: tuple[str, ...]
    strategy_id: str
    symbol: str
    action: str
    confidence: Decimal | None
    timeframe: str
    at: Instant
    promoted: bool
    repeat: bool = False
    """Whether it was itself refused as a repeat of an earlier one."""
    latches: tuple[Latch, ...] = ()
    """What it sets, where a red line blocked it."""

    @property
    def side(self) -> Side | None:
        """Position side that this entry opened; None for what is no entry."""
        return {"buy": Side.LONG, "sell": Side.SHORT}.get(self.action)


def identity_of(intent: Intent) -> tuple[str, ...]:
    """The keys under which a second receipt of the same intent is recognised.

    The producer's id where it sent one (``intent_id``, else ``id``), and strategy, symbol, action and timestamp where
    it sent a timestamp. An intent with neither cannot be told from a repeat, and is not.
    """
    given = intent.intent_id or intent.id
    keys = () if given is None else (_SEPARATOR.join(("id", intent.strategy_id, given)),)
    if intent.timestamp is None:
        return keys
    return (*keys, _SEPARATOR.join(("at", intent.strategy_id, intent.symbol, intent.action, str(intent.timestamp))))


@dataclass(slots=True)
class Book:
    """The memory. ``retention`` is how long identities are kept: the longest duplicate window of the policy."""

    retention: int
    standing: Standing = field(default_factory=Standing)
    """What operators said, and the latches: the trading state follows from it."""
    fruitless: Fruitless = field(default_factory=Fruitless)
    _seen: OrderedDict[str, tuple[str, Instant]] = field(default_factory=OrderedDict)
    _day: int = -1
    _today: dict[str, int] = field(default_factory=dict)
    _minute: dict[str, deque[Instant]] = field(default_factory=dict)
    _entries: dict[EntryKey, tuple[Instant, int]] = field(default_factory=dict)
    _rivals: dict[str, dict[tuple[str, str, Side], Rival]] = field(default_factory=dict)

    def fold(self, decision: Remembered) -> tuple[Latch, ...]:
        """Remember one decision. Decisions come in ledger order. Returns the latches that it sets anew."""
        self._roll(decision.at)
        for key in decision.identity:
            # Whoever was no repeat opens the window; repeats do not extend it.
            if not decision.repeat or key not in self._seen:
                self._seen[key] = (decision.decision_id, decision.at)
                self._seen.move_to_end(key)
        if decision.promoted:
            self._promoted(decision)
        return tuple(latch for latch in decision.latches if self.standing.latch(latch))

    def executed(self, execution: Execution) -> None:
        """Something was heard of an order; each execution once, in ledger order."""
        self.fruitless.executed(execution)

    def take_standing(self, content: dict[str, Json]) -> None:
        """Fold a ``latch`` or ``state`` record, or what `standing_content` gave: then that is all there is.

        A strategy whose latch is lifted begins its runs afresh, or it would be latched again at its next entry.
        """
        if content.get("kind") == "standing":
            self.standing, self.fruitless = Standing.read(content), Fruitless.read(content.get("runs"))
            return
        lifted = latches.take(self.standing, content)
        if lifted is not None and lifted.strategy_id is not None:
            self.fruitless.forgive(lifted.strategy_id)

    def standing_content(self) -> dict[str, object]:
        """All that `take_standing` has folded: state, latches and runs, for a reader who does not see what set them."""
        return {"kind": "standing", **self.standing.content(), "runs": self.fruitless.content()}

    def standing_facts(self, strategy_id: str | None, now: Instant, duplicate_of: str | None = None) -> BookFacts:
        """What holds entries of ``strategy_id`` back at ``now``, and nothing of counts."""
        state, held_by, latched = self.standing.told(strategy_id, now)
        return BookFacts(state, duplicate_of, held_by=held_by, latched=latched)

    def facts(self, intent: Intent, limits: Limits, now: Instant) -> BookFacts:
        """What this memory says about ``intent`` under ``limits`` at ``now``."""
        self._roll(now)
        side = intent.side
        duplicate_of = self._duplicate(intent, int(limits.required_number("duplicate_window_seconds")) * SECOND, now)
        if side is None:
            return self.standing_facts(intent.strategy_id, now, duplicate_of)
        state, held_by, latched = self.standing.told(intent.strategy_id, now)
        counted = limits.number("max_unfilled_promotions") is not None
        run = self.fruitless.of(intent.strategy_id) if counted else NO_RUN
        last, entries = self._entries.get((intent.strategy_id, intent.symbol, side), (None, 0))
        return BookFacts(
            trading_state=state,
            duplicate_of=duplicate_of,
            promoted_today=self._today.get(_counted(limits.scope("max_daily_trades")), 0),
            promoted_last_minute=self._last_minute(_counted(limits.scope("max_orders_per_minute")), now),
            last_entry_at=last,
            entries_today=entries,
            rivals=self._rivals_of(intent, side, limits, now),
            held_by=held_by,
            latched=latched,
            unfilled=run.unfilled,
            lost=run.lost,
        )

    def repeats(self, intent: Intent, now: Instant) -> str | None:
        """Decision id of an earlier receipt within the longest window there is: for when no policy says which."""
        return self._duplicate(intent, self.retention, now)

    def _duplicate(self, intent: Intent, window: int, now: Instant) -> str | None:
        for key in identity_of(intent):
            seen = self._seen.get(key)
            if seen is not None and now - seen[1] < window:
                return seen[0]
        return None

    def _roll(self, now: Instant) -> None:
        """Forget what no limit can count any more: yesterday's tallies, identities out of retention."""
        while self._seen:
            oldest = next(iter(self._seen))
            if now - self._seen[oldest][1] < self.retention:
                break
            del self._seen[oldest]
        day = now // DAY
        if day > self._day:
            self._day = day
            self._today.clear()
            self._minute = {scope: times for scope, times in self._minute.items() if times and now - times[-1] < MINUTE}
            self._entries = {key: (at, 0) for key, (at, _) in self._entries.items() if now - at < DAY}

    def _promoted(self, decision: Remembered) -> None:
        side = decision.side
        if side is None:
            for old in Side:
                self._restart(decision, old)
            return
        self.fruitless.promoted(decision.strategy_id, decision.at)
        for scope in _scopes(decision, side):
            self._today[scope] = self._today.get(scope, 0) + 1
            times = self._minute.setdefault(scope, deque())
            times.append(decision.at)
            _forget(times, decision.at)
        self._restart(decision, _other(side))
        key = (decision.strategy_id, decision.symbol, side)
        self._entries[key] = (decision.at, self._entries.get(key, (0, 0))[1] + 1)
        rival = Rival(
            decision.decision_id,
            decision.strategy_id,
            side,
            decision.confidence or Decimal(0),
            decision.timeframe,
            decision.at,
        )
        rivals = self._rivals.setdefault(decision.symbol, {})
        # Re-inserted last, so the mapping stays ordered by time: the newest word of a strategy replaces its older one.
        rivals.pop((rival.strategy_id, rival.timeframe, side), None)
        rivals[(rival.strategy_id, rival.timeframe, side)] = rival

    def _restart(self, decision: Remembered, side: Side) -> None:
        """A close, or an entry the other way, ends what the strategy had accumulated on ``side``."""
        key = (decision.strategy_id, decision.symbol, side)
        if key in self._entries:
            self._entries[key] = (self._entries[key][0], 0)

    def _last_minute(self, scope: str, now: Instant) -> int:
        times = self._minute.get(scope)
        if times is None:
            return 0
        _forget(times, now)
        return len(times)

    def _rivals_of(self, intent: Intent, side: Side, limits: Limits, now: Instant) -> tuple[Rival, ...]:
        hedged = limits.word("position_mode") == "hedge" and limits.flag("position_mode_aware_conflicts")
        piling_up = limits.word("same_direction_conflict_resolution") == "accumulate"
        if hedged and piling_up:
            return ()
        rivals = self._rivals.get(intent.symbol, {})
        window = int(limits.required_number("conflict_window_ms")) * 1_000_000
        for key in [key for key, rival in rivals.items() if now - rival.at >= DAY]:
            del rivals[key]
        found = [
            rival
            for rival in rivals.values()
            if now - rival.at < window and (not piling_up if rival.side is side else not hedged)
        ]
        return _standing_of_each(found, side, limits)


def _standing_of_each(rivals: list[Rival], side: Side, limits: Limits) -> tuple[Rival, ...]:
    """Of each side and timeframe the one that decides, oldest first: no other can prevail where it does not.

    That is the strongest where strength decides, and the earliest where whoever came first stands.
    """
    weights = limits.weights("strategy_weights")
    told_apart = {*TIMEFRAMES, *limits.weights("timeframe_weights")}
    first_stands = {
        side: limits.word("same_direction_conflict_resolution") == "reject_duplicates",
        _other(side): limits.word("signal_conflict_resolution") in ("first_come_first_served", "manual_review"),
    }

    def strength(rival: Rival) -> Decimal:
        return rival.confidence * weights.get(rival.strategy_id, weights.get("default", Decimal(1)))

    kept: dict[tuple[Side, str], Rival] = {}
    for rival in sorted(rivals, key=lambda rival: rival.at):
        key = (rival.side, rival.timeframe if rival.timeframe in told_apart else "")
        if key not in kept or (not first_stands[rival.side] and strength(rival) > strength(kept[key])):
            kept[key] = rival
    return tuple(sorted(kept.values(), key=lambda rival: rival.at))


def _other(side: Side) -> Side:
    return Side.SHORT if side is Side.LONG else Side.LONG


def _forget(times: deque[Instant], now: Instant) -> None:
    while times and now - times[0] >= MINUTE:
        times.popleft()


def _counted(scope: str) -> str:
    return GLOBAL if scope == DEFAULTS else scope


def _scopes(decision: Remembered, side: Side) -> Iterator[str]:
    yield GLOBAL
    yield symbol_scope(decision.symbol)
    yield strategy_scope(decision.strategy_id)
    yield symbol_scope(decision.symbol, side)
