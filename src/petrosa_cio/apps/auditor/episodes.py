"""Episodes: intents of one strategy, symbol and side that follow one another while something of them is open, or within
a cool-down. They share one path of the market, so they are one sample, however many they are.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from petrosa_cio.apps.nurse.facts import Instant, Side

Place: TypeAlias = tuple[str, str, Side]
"""Strategy, symbol, side."""


class Episode(msgspec.Struct):
    """One that may go on."""

    name: str
    """Decision id of its first intent."""
    last_at: Instant


class Episodes:
    """The episodes that may go on."""

    def __init__(self) -> None:
        self._going: dict[Place, Episode] = {}

    def of(self, place: Place, decision_id: str, at: Instant, cooldown: Instant, *, is_open: bool) -> str:
        """The episode of an intent at ``at``, begun with it where none goes on."""
        found = self._going.get(place)
        if found is None or not (is_open or at - found.last_at <= cooldown):
            found = self._going[place] = Episode(decision_id, at)
        found.last_at = max(at, found.last_at)
        return found.name

    def end(self, strategy_id: str, symbol: str, side: Side | None) -> None:
        """The strategy is done with that side, or with both: what it wants next is another idea."""
        for one in Side if side is None else (side,):
            self._going.pop((strategy_id, symbol, one), None)

    def content(self) -> list[tuple[Place, Episode]]:
        """All of it."""
        return list(self._going.items())

    def take(self, content: list[tuple[Place, Episode]]) -> None:
        """Go on where `content` was taken."""
        self._going = dict(content)
