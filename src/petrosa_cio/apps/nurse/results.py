"""What closed trades come to: each strategy's result and its peak, and losing streaks by scope of the policy."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.facts import StrategyResult, Streak
from petrosa_cio.apps.nurse.happenings_record import figure, known, moment, objects, present, whole, word, written
from petrosa_cio.apps.nurse.policy import GLOBAL, strategy_scope, symbol_scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from petrosa_cio.apps.nurse.facts import Instant, Side
    from petrosa_cio.apps.nurse.fills import Fill
    from petrosa_cio.apps.nurse.happenings_record import Content

_ZERO = Decimal(0)


@dataclass(slots=True)
class _Result:
    """``realised``: closes less fees since the strategy began. ``open``: what it holds, at the last prices."""

    realised: Decimal = _ZERO
    open: Decimal = _ZERO
    peak: Decimal = _ZERO


@dataclass(slots=True)
class _Streak:
    losses: int = 0
    stopped_at: Instant | None = None


class Results:
    """Results of strategies and streaks of scopes, folded from fills. Strategies and scopes are kept for ever."""

    def __init__(self) -> None:
        self._results: dict[str, _Result] = {}
        self._streaks: dict[str, _Streak] = {}
        self._parts: dict[str, Decimal] = {}

    def earned(self, strategy_id: str, result: Decimal) -> None:
        """Add to what a strategy realised."""
        self._results.setdefault(strategy_id, _Result()).realised += result

    def marked(self, open_parts: Mapping[str, Decimal]) -> None:
        """State the open part of every strategy that holds something, and take the new peaks."""
        for strategy_id in open_parts:
            self._results.setdefault(strategy_id, _Result())
        for strategy_id, one in self._results.items():
            one.open = open_parts.get(strategy_id, _ZERO)
            one.peak = max(one.peak, one.realised + one.open)

    def closed(self, fill: Fill, net: Decimal | None) -> None:
        """Count a closed trade in each of its scopes: a loss lengthens a streak, a profit ends it, 0 leaves it.

        ``net`` is its profit less its own fee. Parts of one trade count once, together, with the part that ends it. A
        stop-out of unknown profit counts as a loss; any other close of unknown profit leaves the streak.
        """
        place = "\x1f".join((fill.strategy_id, str(fill.symbol), str(fill.side)))
        if not fill.ends:
            self._parts[place] = self._parts.get(place, _ZERO) + (net or _ZERO)
        else:
            parts = self._parts.pop(place, None)
            whole_net = net if parts is None else parts + (net or _ZERO)
            lost = fill.stopped if whole_net is None else whole_net < 0
            won = whole_net is not None and whole_net > 0
            for scope in _scopes(fill):
                streak = self._streaks.setdefault(scope, _Streak())
                streak.losses = streak.losses + 1 if lost else 0 if won else streak.losses
        if fill.stopped:
            for scope in _scopes(fill):
                streak = self._streaks.setdefault(scope, _Streak())
                streak.stopped_at = fill.at if streak.stopped_at is None else max(streak.stopped_at, fill.at)

    def of_strategy(self, strategy_id: str) -> tuple[StrategyResult, ...]:
        """The entry of one strategy; none where it never filled anything."""
        one = self._results.get(strategy_id)
        return () if one is None else (StrategyResult(strategy_id, one.realised + one.open, one.peak),)

    def of_all(self) -> tuple[StrategyResult, ...]:
        """The entry of every strategy that ever filled anything."""
        return tuple(StrategyResult(name, one.realised + one.open, one.peak) for name, one in self._results.items())

    def streaks(self, scopes: Sequence[str], as_of: Instant) -> tuple[Streak, ...]:
        """The streaks of these scopes, no stop-out later than ``as_of``: a later one would read as unsound."""
        return tuple(
            Streak(scope, one.losses, None if one.stopped_at is None else min(one.stopped_at, as_of))
            for scope in scopes
            if (one := self._streaks.get(scope)) is not None
        )

    def content(self) -> Content:
        """As a snapshot keeps it."""
        return {
            "strategies": [
                {"strategy_id": name, "realised": str(one.realised), "open": str(one.open), "peak": str(one.peak)}
                for name, one in self._results.items()
            ],
            "streaks": [
                present({"scope": scope, "losses": one.losses, "stopped_at": written(one.stopped_at)})
                for scope, one in self._streaks.items()
            ],
            "parts": [{"place": place, "net": str(net)} for place, net in self._parts.items()],
        }

    @classmethod
    def read(cls, content: Content) -> Results:
        """What `content` wrote."""
        made = cls()
        for one in objects(content, "strategies"):
            figures = (known(one, name) for name in ("realised", "open", "peak"))
            made._results[word(one, "strategy_id") or ""] = _Result(*figures)
        for one in objects(content, "streaks"):
            made._streaks[str(one.get("scope"))] = _Streak(whole(one, "losses"), moment(one, "stopped_at"))
        for one in objects(content, "parts"):
            made._parts[str(one.get("place"))] = figure(one, "net") or _ZERO
        return made


def scopes_of(symbol: str, strategy_id: str, side: Side | None) -> tuple[str, ...]:
    """The scopes whose streaks an intent can be held to."""
    every = (GLOBAL, symbol_scope(symbol), strategy_scope(strategy_id))
    return every if side is None else (*every, symbol_scope(symbol, side))


def _scopes(fill: Fill) -> Iterator[str]:
    yield GLOBAL
    if fill.strategy_id:
        yield strategy_scope(fill.strategy_id)
    if fill.symbol is not None:
        yield symbol_scope(fill.symbol)
        if fill.side is not None:
            yield symbol_scope(fill.symbol, fill.side)
