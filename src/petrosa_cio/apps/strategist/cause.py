"""Who changes the policy, and why: what every version says of its maker, and what it must say."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petrosa_cio.apps.nurse.models import Json

LEGACY = "legacy"
"""The origin of the fleet's older interface, which knows no thought trace: exempt from it and from a second person."""
ORIGINS: tuple[str, ...] = ("cli", "mcp", "api", LEGACY, "file")
"""The doors through which a change can come. Whoever stands at a door names it; no caller chooses it."""
SHORTEST_TRACE: int = 100
"""Characters of reasoning below which a thought trace is none, runs of white space counted as one."""
FEWEST_WORDS: int = 8
"""Different words below which it is none either: half of what 100 characters of plain prose hold."""

_WORD = re.compile(r"[^\W_]{2,}")


@dataclass(frozen=True, slots=True)
class Cause:
    """Who makes a change, their reasoning, a short reason, the door it came through, and what a simulation said."""

    author: str
    thought_trace: str
    reason: str
    origin: str
    simulation: Mapping[str, Json] | None = None

    def faults(self) -> Iterator[str]:
        """Everything that is wrong with it. The origin ``legacy`` needs no thought trace."""
        yield from person_faults("author", self.author)
        if self.origin not in ORIGINS:
            yield f"origin must be one of {list(ORIGINS)}, got {self.origin!r}"
        yield from text_faults("reason", self.reason)
        yield from text_faults("thought trace", self.thought_trace)
        if self.origin != LEGACY:
            yield from _trace_faults(self.thought_trace)


def person_faults(role: str, name: str) -> Iterator[str]:
    """What is wrong with ``name`` as that of the person, or agent, in ``role``."""
    if not name.strip():
        yield f"{role} is missing: every change says who made it"
    elif not name.isprintable():
        yield f"{role} must be printable text, got {name!a}"


def same_person(one: str, other: str) -> bool:
    """Whether two names mean one person: case, width of letters and white space do not make a second one."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def text_faults(label: str, text: str) -> Iterator[str]:
    """What is wrong with ``text`` as something to be kept: no store and no wire carries a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        yield f"{label} holds text that is not valid Unicode: {error.reason}"


def _trace_faults(trace: str) -> Iterator[str]:
    length = len(" ".join(trace.split()))
    if length < SHORTEST_TRACE:
        yield f"thought trace must have at least {SHORTEST_TRACE} characters, got {length}"
    words = len(set(_WORD.findall(trace.casefold())))
    if words < FEWEST_WORDS:
        yield f"thought trace must reason: at least {FEWEST_WORDS} different words, got {words}"
