"""What several commands share: exit codes, options, and how a coroutine is run."""

from __future__ import annotations

import asyncio
from decimal import Decimal, InvalidOperation
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


def _equity(text: str) -> Decimal:
    """A positive amount of money, exact. Raises BadParameter otherwise."""
    try:
        equity = Decimal(text)
    except InvalidOperation as error:
        msg = f"{text!r} is no number"
        raise typer.BadParameter(msg) from error
    if not equity.is_finite() or not 0 < equity <= 10**12:
        msg = f"{text} is no amount that an account can begin with: above 0, at most 1,000,000,000,000"
        raise typer.BadParameter(msg)
    return equity


Klines = Annotated[list[Path] | None, typer.Option(help="Recorded klines, parquet; repeatable.")]
Funding = Annotated[list[Path] | None, typer.Option(help="Recorded funding rates, CSV (.gz); repeatable.")]
ExchangeInfo = Annotated[
    Path | None,
    typer.Option("--exchange-info", help="A stored exchangeInfo answer (.gz): filters and status of each symbol."),
]
Equity = Annotated[
    Decimal | None,
    typer.Option(
        "--account", parser=_equity, metavar="USDT", help="Equity in USDT that a simulated account begins with."
    ),
]


def run(coroutine: Coroutine[None, None, None]) -> None:
    """Run on uvloop where there is one; ctrl-C ends it."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(_interruptible(coroutine))
    else:
        uvloop.run(_interruptible(coroutine))


async def _interruptible(coroutine: Coroutine[None, None, None]) -> None:
    """Run it as a task of its own: a cancellation that it swallows, as a request does now and then, is repeated."""
    from petrosa_cio.core.nats.together import end

    task = asyncio.create_task(coroutine)
    try:
        await asyncio.wait({task})
    finally:
        if not task.done():
            await end(task)
    task.result()
