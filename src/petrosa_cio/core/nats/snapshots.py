"""Snapshots: the state written down whole, in one record where it fits one message and in several where it does not.

The parts of one follow each other: ``part`` 1 to ``of``, each with a piece of the state's JSON as ``text``; from the
second on ``first`` names the record of the first. It holds once its last part is there. Between parts nothing but an
expiry can stand, since the gate judges nothing meanwhile; a gate that died among them left parts that come to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.models import Json

SNAPSHOT = "snapshot"
"""Kind of the record that holds the state whole, or a part of it."""

_WHOLE = 2
"""A state of up to this part of what a message holds is one record."""
_PIECE = 8
"""Into so many characters of the largest message a piece may be cut: one takes up to four bytes, or two if escaped."""


def records_of(state: Content, largest: int) -> Iterator[Content]:
    """The records that write ``state`` down where a message holds ``largest`` bytes; each is to be appended in turn."""
    body = record.encode(state)
    if len(body) <= largest // _WHOLE:
        yield {"kind": SNAPSHOT, **state}
        return
    text, size = body.decode("utf-8"), largest // _PIECE
    count = -(-len(text) // size)
    for part in range(1, count + 1):
        yield {"kind": SNAPSHOT, "part": part, "of": count, "text": text[(part - 1) * size : part * size]}


def begins_at(content: Content, index: int) -> int | None:
    """Index of the first record of the snapshot that record ``index`` completes; None where it completes none."""
    if content.get("part") != content.get("of"):
        return None
    first = content.get("first")
    return first if isinstance(first, int) else index


@dataclass(slots=True)
class Parts:
    """The parts that were read of a snapshot that is not complete."""

    texts: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    """Decisions that expired among the parts, unknown to them."""

    def expire(self, decision_id: str) -> None:
        """A decision expired; of no account where no part was read yet."""
        if self.texts:
            self.expired.append(decision_id)

    def take(self, content: dict[str, Json]) -> tuple[dict[str, Json], list[str]] | None:
        """The state, and what has expired since, once ``content`` completes it. Raises ValueError where it is none."""
        if "part" not in content:
            self._begin()
            return content, []
        if content["part"] == 1:
            self._begin()
        elif content["part"] != len(self.texts) + 1:
            self._begin()
            return None
        self.texts.append(str(content.get("text")))
        if content["part"] != content.get("of"):
            return None
        state, expired = record.decode("".join(self.texts).encode()), self.expired
        self._begin()
        return state, expired

    def _begin(self) -> None:
        self.texts, self.expired = [], []
