"""Printing that holds nobody up: a terminal or pipe that takes nothing must not stop what is being told of."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MOST = 1_000
"""Lines that wait to be printed; what comes beyond is passed over, and counted."""


class Unhurried(Generic[T]):
    """Shows items on a thread of its own. ``passed_over`` counts those that were not shown."""

    def __init__(self, show: Callable[[T], None], most: int = MOST) -> None:
        self._show = show
        self._waiting: queue.Queue[T | None] = queue.Queue(most)
        self.passed_over = 0
        # A daemon: a pipe that nobody reads must not keep the process from ending either.
        self._thread = threading.Thread(target=self._work, name="printing", daemon=True)
        self._thread.start()

    def __call__(self, item: T) -> None:
        """Show ``item`` when there is time; never blocks."""
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self.passed_over += 1

    def close(self, patience: float = 1.0) -> bool:
        """Give what waits ``patience`` seconds to be shown. False where the reader takes nothing: the thread hangs."""
        try:
            self._waiting.put(None, timeout=patience)
        except queue.Full:
            return False
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._show(item)
            except (OSError, ValueError):  # whoever read it has gone away, or cannot show such a character
                self.passed_over += 1
