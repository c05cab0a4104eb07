"""Questions to what runs: where it is, and how its books stand."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from petrosa_cio.bootstrap.tailing import follow_decisions, verify_stream
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.link import Link
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.record import ChainReport

ADDRESS_FILE = "run/nats.url"


def keep_address(data_dir: Path, url: str) -> None:
    """Let commands with the same data directory find the embedded server."""
    (data_dir / ADDRESS_FILE).write_text(url, encoding="ascii")


def forget_address(data_dir: Path) -> None:
    """The embedded server is about to end."""
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)


def address(data_dir: Path, given: str | None) -> str:
    """The NATS to talk to: as given, else the one that `up` runs on this data directory. Raises BusError."""
    if given is not None:
        return given
    try:
        return (data_dir / ADDRESS_FILE).read_text(encoding="ascii")
    except OSError as error:
        msg = f"nothing runs on {data_dir}; start `petrosa-cio up`, or name a server with --nats-url"
        raise BusError(msg) from error


async def ask_status(url: str, book: str) -> dict[str, Json]:
    """What a gate of ``book`` says of itself and its books. Raises BusError where none answers."""
    link = await Link.open(url, f"petrosa-cio status {os.getpid()}", patience=3)
    try:
        answer = await link.request(subjects.status_subject(book), timeout=2)
    finally:
        await link.close()
    if answer is None:
        msg = f"no gate of book {book} answers"
        raise BusError(msg)
    found: dict[str, Json] = json.loads(answer)
    return found


async def verify_at(url: str, book: str) -> ChainReport:
    """Walk the chain in the ledger stream on a server."""
    link = await Link.open(url, "petrosa-cio verify-ledger", patience=5)
    try:
        return await verify_stream(link, book)
    finally:
        await link.close()


async def tail_at(url: str, book: str, show: Callable[[dict[str, object]], None], *, from_start: bool) -> None:
    """Follow the decisions of a book on a server, for ever."""
    link = await Link.open(url, "petrosa-cio tail", patience=5)
    try:
        await follow_decisions(link, book, show, from_end=not from_start)
    finally:
        await link.close()
