"""Structured logs on standard error: JSON lines for machines, or aligned text for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable


def configure(*, json: bool) -> None:
    """Set up logging for this process, once, at its start."""
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def events(component: str) -> Callable[[str, dict[str, object]], None]:
    """A function that logs an event with its facts. A repeat of the very same event is counted, not logged again."""
    logger = structlog.get_logger(component=component)
    last: tuple[str, str] | None = None
    repeats = 0

    def log(event: str, facts: dict[str, object]) -> None:
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
