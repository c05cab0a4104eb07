"""The witness: hears every intent as it is published, and notices what the intent stream did not store.

The stream drops silently what it has no room for, and what carries a message id it has just seen. The witness listens
beside it; what was heard and is not read from the stream, though the stream has been read to its end, was not captured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 20_000
"""Messages kept in mind at most; beyond it the oldest is given up and counted."""

_MESSAGE_ID = "nats-msg-id"

SAME_SECONDS = 5.0
"""How long a message id is remembered: well over the stream's duplicate window."""

Key: TypeAlias = tuple[str, bytes]


class Heard(NamedTuple):
    """A message as it was published."""

    subject: str
    headers: Mapping[str, str]
    data: bytes


@dataclass(slots=True)
class _Mark:
    since: float
    balance: int
    headers: Mapping[str, str]
    captured: bool = False
    """Whether one of its kind was read."""


@dataclass(slots=True)
class Witness:
    """Balances what was heard against what was read. Times are of any one monotonic clock, in seconds."""

    given_up: int = 0
    deduplicated: int = 0
    """Retries under one message id that the server took for one message, as their producer meant it to."""
    _marks: dict[Key, _Mark] = field(default_factory=dict)
    _settled: dict[Key, float] = field(default_factory=dict)
    """What carried a message id and was heard and read, and when: a retry of it may be one message to the server."""

    def hear(self, subject: str, headers: Mapping[str, str], data: bytes, now: float) -> None:
        """A message was published."""
        self._move((subject, data), +1, now, headers)

    def read(self, subject: str, data: bytes, now: float) -> None:
        """A message was read from the stream."""
        self._move((subject, data), -1, now, {})

    def _move(self, key: Key, by: int, now: float, headers: Mapping[str, str]) -> None:
        mark = self._marks.get(key)
        if mark is None:
            if len(self._marks) >= MOST:
                self._marks.pop(next(iter(self._marks)))
                self.given_up += 1
            self._marks[key] = _Mark(now, by, headers, by < 0 or key in self._settled)
            return
        mark.balance += by
        mark.captured = mark.captured or by < 0
        mark.headers = headers or mark.headers
        if mark.balance == 0:
            del self._marks[key]
            if _has_id(mark.headers):
                self._settled.pop(key, None)  # it goes last again, so that the oldest stays first
                self._settled[key] = now
                while now - self._settled[oldest := next(iter(self._settled))] > SAME_SECONDS:
                    del self._settled[oldest]

    def overdue(self, before: float) -> bool:
        """Whether something heard before that time still waits to be read."""
        for key, mark in list(self._marks.items()):
            if mark.since >= before:
                return False
            if mark.balance > 0:
                return True
            del self._marks[key]  # read without being heard: it was published before we listened
        return False

    def unread(self) -> list[Heard]:
        """What was heard and is not read yet, oldest first."""
        return [Heard(key[0], mark.headers, key[1]) for key, mark in self._marks.items() if mark.balance > 0]

    def uncaptured(self, before: float) -> list[Heard]:
        """Give up, and return, what was heard before that time and not read: ask only at the stream's end."""
        found: list[Heard] = []
        for key, mark in list(self._marks.items()):
            if mark.since >= before:
                break
            missing = max(mark.balance, 0)
            if mark.captured and _has_id(mark.headers):
                self.deduplicated += missing
            else:
                found.extend(Heard(key[0], mark.headers, key[1]) for _ in range(missing))
            del self._marks[key]
        return found


def _has_id(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == _MESSAGE_ID for name in headers)
