"""A shadow position on its way, and what is kept of it where bars were missing, so that late ones can amend it."""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from typing import NamedTuple

import msgspec

from petrosa_cio.apps.auditor.barriers import LONGEST_HOLE_MS, Candle, Settlement, passed
from petrosa_cio.apps.auditor.positions import ZERO, Position

AMENDABLE_MS = 7 * 86_400_000
"""How long after its end a position that a hole froze can be amended by late bars."""
_ENDLESS = Decimal("Infinity")


class Step(msgspec.Struct, frozen=True):
    """Something that happened to a position after it was frozen: a bar, or its strategy's wish to leave."""

    at_ms: int
    candle: Candle | None = None
    settled: tuple[Settlement, ...] = ()


class Track(msgspec.Struct):
    """One position on its way. ``order`` numbers positions as they were decided on."""

    order: int
    position: Position
    repeats: int = 0
    frozen: Position | None = None
    """As it was before the first bar that was missing."""
    frozen_seen_ms: int = 0
    steps: list[Step] = []
    """All that happened since; empty where no bar was missing."""
    entry: int = 0
    """Number of its last entry in the shadow ledger; 0 for none."""
    closed_ms: int = 0

    def step(self, seen_ms: int, step: Step) -> None:
        """Let ``step`` happen; the last bar before it ended at ``seen_ms``."""
        candle, position = step.candle, self.position
        if self.frozen is None and candle is not None and candle.open_ms > _covered(position, seen_ms) + 1:
            self.frozen, self.frozen_seen_ms = position, _covered(position, seen_ms)
        if self.frozen is not None:
            self.steps.append(step)
        if not position.over:
            self.position = stepped(position, seen_ms, step)

    def takes(self, candle: Candle) -> bool:
        """Whether a late bar fills part of a hole of this position."""
        if self.frozen is None or candle.close_ms <= self.frozen_seen_ms:
            return False
        known = (step.candle for step in self.steps if step.candle is not None)
        return all(candle.close_ms < one.open_ms or candle.open_ms > one.close_ms for one in known)

    def amend(self, candle: Candle) -> None:
        """Let a late bar have been in its place, and all after it happen anew."""
        place = bisect_right(self.steps, candle.close_ms, key=lambda step: step.at_ms)
        self.steps.insert(place, Step(candle.close_ms, candle))
        settled = [one for step in self.steps for one in step.settled]
        position = self.position if self.frozen is None else self.frozen
        seen_ms, after_ms, told = self.frozen_seen_ms, -1, []
        for step in self.steps:
            if step.candle is not None:
                due = tuple(one for one in settled if after_ms < one.at_ms <= step.at_ms)
                step, after_ms = Step(step.at_ms, step.candle, due), step.at_ms
            told.append(step)
            if not position.over:
                position = stepped(position, seen_ms, step)
            seen_ms = step.candle.close_ms if step.candle is not None else seen_ms
        self.steps, self.position = told, position


def _covered(position: Position, seen_ms: int) -> int:
    """Up to when the market of a position is known: what was before its decision is not its concern."""
    return max(seen_ms, position.decided_ms)


def stepped(position: Position, seen_ms: int, step: Step) -> Position:
    """``position``, which is not over, after ``step``. A bar that is missing before it freezes the position until then;
    for too long, and nobody knows what became of it."""
    candle = step.candle
    if candle is None:
        return msgspec.structs.replace(position, leaving_ms=position.leaving_ms or step.at_ms)
    hole = candle.open_ms - _covered(position, seen_ms) - 1
    if hole > LONGEST_HOLE_MS:
        return msgspec.structs.replace(position, data_gap=True, unavailable=True, over=True)
    if hole > 0 and (position.entry is not None or position.limit is not None):
        position = msgspec.structs.replace(position, data_gap=True)
    return passed(position, candle, step.settled)


class Quiet(NamedTuple):
    """Within which prices, and till when, nothing happens to a position."""

    above: Decimal
    below: Decimal
    opened_ms: int
    deadline_ms: int

    def holds(self, candle: Candle) -> bool:
        """Whether a bar does nothing to the position."""
        return (
            self.above < candle.low
            and candle.high < self.below
            and candle.follows(self.opened_ms)
            and not candle.follows(self.deadline_ms)
        )


def quiet_of(track: Track) -> Quiet | None:
    """What does nothing to the position; None where every bar has to be looked at."""
    position = track.position
    if position.over or position.entry is None or track.frozen is not None or position.leaving_ms is not None:
        return None
    lost = [price for price in (position.stop, position.liquidation) if price is not None]
    if position.sign > 0:
        above, below = max(lost, default=ZERO), position.target or _ENDLESS
    else:
        above, below = position.target or ZERO, min(lost, default=_ENDLESS)
    return Quiet(above, below, position.opened_ms, position.deadline_ms)
