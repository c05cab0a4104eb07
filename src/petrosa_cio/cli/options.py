"""What several commands share: exit codes, options, and how a coroutine is run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Coroutine

NO, USAGE, ENVIRONMENT, MISSING, WAITS, INTERRUPTED = 1, 2, 3, 4, 5, 130

DataDir = Annotated[Path, typer.Option(help="Directory of the store, logs and the embedded server.")]
StoreDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of the store; default: the store that the settings name.")
]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="Policy file (JSON); see docs/policy.md.")]
NatsUrl = Annotated[str | None, typer.Option(help="NATS server; default: the one `up` runs on the data directory.")]
Book = Annotated[str, typer.Option(help="Book: an account whose intents are judged one after another.")]


def run(coroutine: Coroutine[None, None, None]) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)
