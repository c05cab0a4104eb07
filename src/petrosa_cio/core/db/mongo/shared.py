"""One answer for all who ask the same at once.

Where many writers contend, most of what a store is asked is the same question: what is the head now? Whoever asks while
a read is under way waits for the next one, and shares it with all who came meanwhile. Each is answered by a read that
began after it asked, so no answer is older than the question.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer = TypeVar("Answer")


class Shared(Generic[Answer]):
    """Reads by key, one at a time a key. What a read raises, everyone who shares it is told."""

    def __init__(self, read: Callable[[str], Awaitable[Answer]]) -> None:
        self._read = read
        self._next: dict[str, asyncio.Task[Answer]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def ask(self, key: str) -> Answer:
        """The answer of a read that begins now or later. It goes on for the others where one of them is cancelled."""
        if key not in self._next:
            self._next[key] = asyncio.create_task(self._answer(key))
        return await asyncio.shield(self._next[key])

    async def _answer(self, key: str) -> Answer:
        async with self._turns.setdefault(key, asyncio.Lock()):
            del self._next[key]
            return await self._read(key)
