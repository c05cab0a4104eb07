"""What operators ask of the gate that leads: decoded whole, carried out between two intents, answered once recorded."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.latches import Word, lifted_content, state_content
from petrosa_cio.apps.nurse.models import OPERATOR, TradingState, iso

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.latches import Standing
    from petrosa_cio.apps.nurse.models import Instant, Json

PATIENCE_SECONDS = 1.5
"""A command that is not carried out this long after it came never is: whoever asked waits for 2 s and is gone then."""

SHORTEST_REASON = 10
LONGEST_TEXT = 500
"""Characters of a reason, at least and at most; a name has at most as many."""


class Verb(StrEnum):
    """What can be asked for. ``show`` changes nothing, ``resume`` lifts no latch."""

    SHOW = "show"
    HALT = "halt"
    REDUCE = "reduce"
    RESUME = "resume"
    LIFT = "lift"


_STATES = {Verb.HALT: TradingState.HALTED, Verb.REDUCE: TradingState.REDUCING, Verb.RESUME: TradingState.ACTIVE}
_KEYS = ("command", "who", "why", "code", "strategy_id")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``code`` and ``strategy_id`` say which latch to lift; no strategy: one on the whole book."""

    verb: Verb
    who: str = ""
    why: str = ""
    code: str = ""
    strategy_id: str | None = None


def decode(data: bytes) -> Command | tuple[str, ...]:
    """The command that ``data`` is, else everything that is wrong with it. Total."""
    try:
        content = record.decode(data)
    except ValueError as error:
        return (f"no command: {error}",)
    faults = [f"unknown key {key!r}; known: {', '.join(_KEYS)}" for key in content if key not in _KEYS]
    word = content.get("command")
    if not isinstance(word, str) or word not in tuple(Verb):
        return (*faults, f"command: must be one of {', '.join(Verb)}")
    verb = Verb(word)
    if verb is not Verb.SHOW:
        faults += _text_faults(content, "who", 1) + _text_faults(content, "why", SHORTEST_REASON)
    if verb is Verb.LIFT:
        faults += _text_faults(content, "code", 1)
        if content.get("strategy_id") is not None:
            faults += _text_faults(content, "strategy_id", 1)
    else:
        faults += [f"{key}: only to lift" for key in ("code", "strategy_id") if content.get(key) is not None]
    if faults:
        return tuple(faults)
    who, why, code = (str(content.get(key, "")) for key in ("who", "why", "code"))
    strategy = content.get("strategy_id")
    return Command(verb, who, why, code, None if strategy is None else str(strategy))


def _text_faults(content: dict[str, Json], key: str, least: int) -> list[str]:
    text = content.get(key)
    if not isinstance(text, str) or not text.isprintable() or text != text.strip():
        return [f"{key}: must be printable text without surrounding space"]
    if not least <= len(text) <= LONGEST_TEXT:
        return [f"{key}: must have {least} to {LONGEST_TEXT} characters"]
    return []


def change_of(command: Command, standing: Standing, now: Instant) -> Content | str:
    """The record of what ``command`` changes, or why it cannot be done."""
    if command.verb is not Verb.LIFT:
        return state_content(Word(_STATES[command.verb], now, command.who, command.why))
    latch = standing.latches.get((command.code, command.strategy_id))
    if latch is None or not latch.in_force(now):
        of = "the book" if command.strategy_id is None else f"strategy {command.strategy_id}"
        return f"no latch {command.code} on {of}"
    return lifted_content(latch, now, command.who, command.why)


def shown(book: str, standing: Standing, now: Instant) -> dict[str, object]:
    """How the book stands, for a person."""
    state, hold, _ = standing.told(None, now)
    content: dict[str, object] = {"book": book, "state": state.value, "by": None if hold is None else hold.code}
    if hold is not None:
        content |= {"since": iso(hold.since), "until": None if hold.until is None else iso(hold.until)}
        if hold.code == OPERATOR:
            content |= {"who": hold.who, "why": hold.why}
    return {**content, **standing.content(now)}


def refused(*faults: str) -> bytes:
    """The answer to a command that cannot be carried out."""
    return record.encode({"ok": False, "faults": list(faults)})


def done(content: dict[str, object]) -> bytes:
    """The answer to one that was carried out: how the book stands now."""
    return record.encode({"ok": True, **content})


@dataclass(slots=True, eq=False)
class Asked:
    """A command that waits to be carried out, and where its answer goes."""

    command: Command
    answer: asyncio.Future[bytes]

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it any more: then it is not carried out."""
        return self.answer.done()

    def reply(self, answer: bytes) -> None:
        """Answer, if anybody still waits."""
        if not self.answer.done():
            self.answer.set_result(answer)


@dataclass(slots=True)
class Commands:
    """The commands that wait. Asked in any order of tasks, carried out one at a time."""

    _waiting: deque[Asked] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, data: bytes) -> bytes | None:
        """The answer to a request; None where nobody carried it out in time, or whoever did was broken off."""
        command = decode(data)
        if isinstance(command, tuple):
            return refused(*command)
        asked = Asked(command, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._arrived.set()
        try:
            return await asyncio.wait_for(asked.answer, PATIENCE_SECONDS)
        except TimeoutError:
            return None
        finally:
            if asked in self._waiting:
                self._waiting.remove(asked)

    async def next(self) -> Asked:
        """The command that has waited longest; waits for one."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()
