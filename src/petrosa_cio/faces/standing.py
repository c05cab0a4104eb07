"""What a person sees of the state of a book on a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

_COLOURS = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "red"}


def _safe(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))


class StandingScreen:
    """The terminal."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)

    def show(self, found: dict[str, Json], *, as_json: bool) -> None:
        """The state, what put the book there, and the latches."""
        if as_json:
            sys.stdout.write(
                json.dumps({name: value for name, value in found.items() if name != "ok"}, indent=2) + "\n"
            )
            return
        state = str(found.get("state"))
        self._out.print(f"book {_safe(found.get('book'))} is [{_COLOURS.get(state, 'white')}]{_safe(state)}[/]")
        if found.get("by") is not None:
            self._out.print(f"  by {_safe(found['by'])} since {_safe(found.get('since'))}, until {_until(found)}")
        if found.get("who"):
            self._out.print(f"  {_safe(found['who'])}: {_safe(found.get('why'))}")
        latches = found.get("latches")
        if isinstance(latches, list) and latches:
            self._latches([one for one in latches if isinstance(one, dict)])

    def _latches(self, latches: list[dict[str, Json]]) -> None:
        table = Table(box=None, pad_edge=False)
        for heading in ("latch", "on", "effect", "since", "until", "cause"):
            table.add_column(heading, overflow="fold")
        for one in latches:
            strategy, cause = one.get("strategy_id"), one.get("cause")
            numbers = [f"{name} {value}" for name, value in cause.items()] if isinstance(cause, dict) else []
            on = "book" if strategy is None else f"strategy {strategy}"
            cells = (_safe(one.get("code")), _safe(on), _safe(one.get("effect")), _safe(one.get("since")))
            table.add_row(*cells, _until(one), _safe(", ".join(numbers)))
        self._out.print(table)


def _until(found: dict[str, Json]) -> str:
    return "somebody lifts it" if found.get("until") is None else _safe(found["until"])
