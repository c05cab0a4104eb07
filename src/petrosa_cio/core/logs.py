"""Structured logs on standard error: JSON lines for machines, or aligned text for a terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, TextIO, cast

import structlog

from petrosa_cio.core.unhurried import Unhurried

if TYPE_CHECKING:
    from collections.abc import Callable


class _Unhurried:
    """Standard error, written to on a thread of its own."""

    def __init__(self) -> None:
        self._written: Unhurried[str] = Unhurried(self._put)
        self.close = self._written.close

    def write(self, text: str) -> int:
        """Write when there is time."""
        self._written(text)
        return len(text)

    def flush(self) -> None:
        """Nothing to do: the thread flushes."""

    @staticmethod
    def _put(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def configure(*, json: bool, unhurried: bool = False) -> Callable[[], bool]:
    """Set up logging for this process, once, at its start.

    With ``unhurried`` a standard error that takes nothing stops nobody. Returns what ends the logging: True where all
    was written, False where a thread hangs in a write.
    """
    file: TextIO | _Unhurried = _Unhurried() if unhurried else sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", file)),
        cache_logger_on_first_use=True,
    )
    return file.close if isinstance(file, _Unhurried) else lambda: True


def events(component: str) -> Callable[[str, dict[str, object]], None]:
    """A function that logs an event with its facts. A repeat of the very same event is counted, not logged again."""
    logger = structlog.get_logger(component=component)
    last: tuple[str, str] | None = None
    repeats = 0

    def log(event: str, facts: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # a disk that takes no log line must not stop whoever writes it
            put(event, facts)

    def put(event: str, facts: dict[str, object]) -> None:
        nonlocal last, repeats
        this = (event, repr(facts))
        if this == last:
            repeats += 1
            return
        if repeats:
            logger.info("repeated", times=repeats, of=last[0] if last else "")
        last, repeats = this, 0
        logger.info(event, **facts)

    return log
