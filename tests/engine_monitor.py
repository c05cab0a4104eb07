"""The engine's watch over governance, re-written from its rules (fleet facts §6.1): what our beats must satisfy.

Time is an argument, in the engine's seconds: a test steps through minutes without waiting for them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

TIMEOUT_SECONDS = 60.0
EXAMINED_EVERY_SECONDS = 5.0
RECOVERY_THRESHOLD = 3


def is_beat(data: bytes) -> bool:
    """Whether the engine counts a message: an object with text ``service``; ``timestamp`` a number, or left out."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(body, dict) or not isinstance(body.get("service"), str):
        return False
    words = all(isinstance(body.get(name, ""), str) for name in ("status", "version"))
    return words and _is_number(body.get("timestamp", 0))


def _is_number(value: object) -> bool:
    if isinstance(value, str):  # numeric text is made a number; ISO text is not
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float)


@dataclass
class EngineMonitor:
    """NORMAL, or restricted. ``started_at`` is where its clock begins; it never runs backwards."""

    started_at: float = 0.0
    restricted: bool = False
    consecutive: int = 0

    def __post_init__(self) -> None:
        self.now = self.heard_at = self.started_at
        self._examined_at = self.started_at

    def at(self, now: float) -> EngineMonitor:
        """Let time pass until ``now``: every five seconds the last beat's age is examined."""
        while self._examined_at + EXAMINED_EVERY_SECONDS <= now:
            self._examined_at += EXAMINED_EVERY_SECONDS
            if not self.restricted and self._examined_at - self.heard_at > TIMEOUT_SECONDS:
                self.restricted, self.consecutive = True, 0
        self.now = now
        return self

    def hear(self, data: bytes) -> None:
        """One message on the subject, whoever sent it."""
        if not is_beat(data):
            self.consecutive = 0
            return
        self.heard_at = self.now
        if self.restricted:
            self.consecutive += 1
            if self.consecutive >= RECOVERY_THRESHOLD:
                self.restricted, self.consecutive = False, 0
