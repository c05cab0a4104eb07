"""The trading state of a book: what operators said, and the latches that red lines set.

A latch follows from a decision that a red line blocked, so whoever folds the decisions knows it; the ``latch`` record
that is written beside it tells people. It holds entries back, of the book or of one strategy, and never what reduces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from petrosa_cio.apps.nurse.models import OPERATOR, SECOND, Hold, Outcome, TradingState, iso, parse_instant
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from petrosa_cio.apps.nurse.models import Instant, Json, Observation, Scalar

Key: TypeAlias = tuple[str, str | None]
"""The code of a latch, and the strategy that it is on; None: the whole book."""

_DAY = 86_400 * SECOND
_SEVERITY = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)


@dataclass(frozen=True, slots=True)
class Latch:
    """Entries blocked, exits live: since when, until when (None: until a person lifts it), and what set it."""

    code: str
    since: Instant
    until: Instant | None
    effect: TradingState
    strategy_id: str | None = None
    """The strategy that it disables; None: it is on the whole book."""
    decision_id: str = ""
    """The decision that set it off."""
    cause: tuple[tuple[str, str], ...] = ()
    """The numbers that the red line compared, by name, as text."""

    @property
    def key(self) -> Key:
        """What tells it from every other that can be in force at once."""
        return self.code, self.strategy_id

    def in_force(self, now: Instant) -> bool:
        """Whether it still holds at ``now``; at ``until`` itself it does not."""
        return self.until is None or now < self.until

    def hold(self) -> Hold:
        """What a decision is told of it."""
        return Hold(self.code, self.since, self.until)


class _RedLine(NamedTuple):
    """What a red line that blocks sets: its effect, whether on the strategy alone, and until when."""

    effect: TradingState
    on_strategy: bool
    until: Callable[[Instant], Instant | None]


def _until_lifted(_: Instant) -> None:
    return None


def _until_midnight(at: Instant) -> Instant:
    """The next 00:00 UTC, when a day's loss begins at nothing."""
    return (at // _DAY + 1) * _DAY


RED_LINES: Mapping[Reason, _RedLine] = {
    Reason.DAILY_LOSS: _RedLine(TradingState.REDUCING, on_strategy=False, until=_until_midnight),
    Reason.DRAWDOWN: _RedLine(TradingState.HALTED, on_strategy=False, until=_until_lifted),
    Reason.STRATEGY_DRAWDOWN: _RedLine(TradingState.REDUCING, on_strategy=True, until=_until_lifted),
    Reason.REPEATED_EXECUTION: _RedLine(TradingState.REDUCING, on_strategy=True, until=_until_lifted),
}
"""The controls whose block latches. One that is only observed blocks nothing, and so latches nothing."""


def latches_of(reasons: Iterable[Observation], strategy_id: str, decision_id: str, at: Instant) -> tuple[Latch, ...]:
    """The latches that a decision's ``reasons`` set: none where no red line blocked it."""
    found: list[Latch] = []
    for code, outcome, numbers in reasons:
        line = RED_LINES.get(code) if outcome is Outcome.BLOCK else None
        if line is not None:
            on = strategy_id if line.on_strategy else None
            found.append(Latch(code.value, at, line.until(at), line.effect, on, decision_id, cause_of(dict(numbers))))
    return tuple(found)


def cause_of(numbers: Mapping[str, Scalar | float]) -> tuple[tuple[str, str], ...]:
    """Numbers as text, by name: the same from a verdict as from its record, whose readers know floats only."""
    return tuple((name, _text(value)) for name, value in sorted(numbers.items()))


def _text(value: Scalar | float) -> str:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return format(Decimal(repr(float(value))).normalize(), "f")
    return ", ".join(value) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, slots=True)
class Word:
    """What an operator said last: the state, since when, who and why."""

    state: TradingState
    since: Instant
    who: str
    why: str


@dataclass(slots=True)
class Standing:
    """The operator's word and the latches of one book. The strictest of them is the book's state."""

    word: Word | None = None
    """None where nobody has said anything yet."""
    latches: dict[Key, Latch] = field(default_factory=dict)
    """Some may have run out: what holds is asked at an instant."""

    def latch(self, latch: Latch) -> bool:
        """Set ``latch``; False where the same one is in force already: its beginning stands."""
        standing = self.latches.get(latch.key)
        if standing is not None and standing.in_force(latch.since):
            return False
        for gone in self.expired(latch.since):
            del self.latches[gone.key]
        self.latches[latch.key] = latch
        return True

    def lift(self, key: Key) -> Latch | None:
        """Take a latch away; None where there is none."""
        return self.latches.pop(key, None)

    def expired(self, now: Instant) -> tuple[Latch, ...]:
        """The latches that have run out at ``now``."""
        return tuple(one for one in self.latches.values() if not one.in_force(now))

    def in_force(self, now: Instant) -> tuple[Latch, ...]:
        """The latches that hold at ``now``, in the order in which they were set."""
        return tuple(one for one in self.latches.values() if one.in_force(now))

    def effective(self, now: Instant) -> TradingState:
        """The state of the book at ``now``: the strictest of the operator's word and the latches on the book."""
        return self.told(None, now)[0]

    def told(self, strategy_id: str | None, now: Instant) -> tuple[TradingState, Hold | None, tuple[Hold, ...]]:
        """The state of the book at ``now``, what put it there, and the latches on ``strategy_id``.

        Of several things that put it there it is the operator's word, else the oldest latch.
        """
        state = TradingState.ACTIVE if self.word is None else self.word.state
        hold = None
        if self.word is not None and state is not TradingState.ACTIVE:
            hold = Hold(OPERATOR, self.word.since, None, self.word.who, self.word.why)
        if not self.latches:
            return state, hold, ()
        latched: list[Hold] = []
        for latch in self.in_force(now):
            if latch.strategy_id is None:
                if _SEVERITY.index(latch.effect) > _SEVERITY.index(state):
                    state, hold = latch.effect, latch.hold()
            elif latch.strategy_id == strategy_id:
                latched.append(latch.hold())
        return state, hold, tuple(latched)

    def content(self, now: Instant | None = None) -> dict[str, object]:
        """As written in a record: all latches, or those that hold at ``now``."""
        latches = self.latches.values() if now is None else self.in_force(now)
        return {
            "operator": None if self.word is None else _word_content(self.word),
            "latches": [_latch_content(one) for one in latches],
        }

    @classmethod
    def read(cls, content: Mapping[str, Json]) -> Standing:
        """From a record."""
        word, latches = content.get("operator"), content.get("latches")
        read = [_latch_of(one) for one in latches if isinstance(one, dict)] if isinstance(latches, list) else []
        return cls(word_of(word) if isinstance(word, dict) else None, {one.key: one for one in read})


# -- records -----------------------------------------------------------------------------------------------------------


def state_content(word: Word) -> dict[str, object]:
    """The record of what an operator said."""
    return {"kind": "state", **_word_content(word)}


def word_of(content: Mapping[str, Json]) -> Word:
    """What an operator said, from its record."""
    since = parse_instant(str(content["at"]))
    return Word(TradingState(str(content["state"])), since, str(content["who"]), str(content["why"]))


def set_content(latch: Latch) -> dict[str, object]:
    """The record that a latch was set."""
    return {"kind": "latch", "change": "set", "at": iso(latch.since), **_latch_content(latch)}


def lifted_content(latch: Latch, at: Instant, who: str, why: str) -> dict[str, object]:
    """The record that a person lifted a latch."""
    said = {"kind": "latch", "change": "lifted", "at": iso(at), "who": who, "why": why}
    return {**_latch_content(latch), **said}


def _word_content(word: Word) -> dict[str, object]:
    return {"state": word.state.value, "at": iso(word.since), "who": word.who, "why": word.why}


def _latch_content(latch: Latch) -> dict[str, object]:
    return {
        "code": latch.code,
        "since": iso(latch.since),
        "until": None if latch.until is None else iso(latch.until),
        "effect": latch.effect.value,
        "strategy_id": latch.strategy_id,
        "decision_id": latch.decision_id,
        "cause": dict(latch.cause),
    }


def _latch_of(content: Mapping[str, Json]) -> Latch:
    until, strategy, cause = content.get("until"), content.get("strategy_id"), content.get("cause")
    return Latch(
        str(content["code"]),
        parse_instant(str(content["since"])),
        None if until is None else parse_instant(str(until)),
        TradingState(str(content["effect"])),
        None if strategy is None else str(strategy),
        str(content.get("decision_id", "")),
        tuple(sorted((name, str(text)) for name, text in cause.items())) if isinstance(cause, dict) else (),
    )


def take(standing: Standing, content: Mapping[str, Json]) -> Latch | None:
    """Fold a ``latch`` or ``state`` record; returns the latch that it lifts, if it lifts one."""
    if content.get("kind") == "state":
        standing.word = word_of(content)
        return None
    latch = _latch_of(content)
    if content.get("change") == "lifted":
        return standing.lift(latch.key)
    standing.latch(latch)
    return None
