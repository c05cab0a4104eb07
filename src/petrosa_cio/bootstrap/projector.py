"""The projector process: carries ledger and outbox into the query store, and anchors chain heads."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from petrosa_cio.apps.nurse.ports import StoredSignal
from petrosa_cio.bootstrap.gate import open_link
from petrosa_cio.bootstrap.stores import fill_store
from petrosa_cio.core import logs
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.ledger import stored
from petrosa_cio.core.nats.together import end, first_failure
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.core.processes import hear_the_end

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from petrosa_cio.apps.nurse.ports import DecisionStore
    from petrosa_cio.bootstrap.stores import StorePlace
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.reader import Delivered

T = TypeVar("T")

LARGEST_BATCH = 500
ANCHOR_SECONDS = 60.0
CONNECT_SECONDS = 2.0
"""How long a projector that is asked to stop still tries to reach its server, to carry what is left."""


@dataclass(frozen=True, slots=True)
class ProjectorOptions:
    """Everything a projector process needs to know."""

    nats_url: str
    book: str
    place: StorePlace
    credentials: Path | None = None


async def run_projector(options: ProjectorOptions) -> None:
    """Project until SIGTERM or SIGINT; then carry what the ledger holds by now, and return."""
    log = logs.events("projector")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    hear_the_end()
    opening = open_link(options.nats_url, "petrosa-cio projector", options.credentials, "projector")
    link = await _while_wanted(opening, stop)
    if link is None:
        return
    store = await fill_store(options.place)
    try:
        while await _while_wanted(_stands(link), stop):
            try:
                await first_failure(
                    _project_ledger(link, store, options.book),
                    _project_outbox(link, store, options.book),
                    _anchor(link, store, options.book),
                    _until(stop, link, store, options.book),
                )
            except Interrupted as error:
                log("interrupted", {"why": str(error)})
                await asyncio.sleep(0.1)
            if stop.is_set():  # asked: what the ledger held by then is carried, or cannot be
                break
    finally:
        await store.close()
        await link.close()


async def _stands(link: Link) -> bool:
    await link.restored()
    return True


async def _while_wanted(connecting: Coroutine[None, None, T], stop: asyncio.Event) -> T | None:
    """What ``connecting`` gives; None where it is asked to stop and there is no server: nothing can be carried."""
    work, told = asyncio.create_task(connecting), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait({work}, timeout=CONNECT_SECONDS)
        return work.result() if work.done() else None
    finally:
        await end(work, told)


async def _project_ledger(link: Link, store: DecisionStore, book: str) -> None:
    start = (await store.cursor(book)).ledger_index + 1
    async with link.read(subjects.ledger_stream(book), start) as reader:
        async for batch in reader.batches():
            for part in _parts(batch):
                await store.append(book, [stored(book, message) for message in part], [], 0)


async def _project_outbox(link: Link, store: DecisionStore, book: str) -> None:
    start = (await store.cursor(book)).outbox_sequence + 1
    async with link.read(subjects.outbox_stream(book), start) as reader:
        async for batch in reader.batches():
            for part in _parts(batch):
                signals = [_signal(book, message) for message in part if _is_signal(message)]
                await store.append(book, [], signals, part[-1].sequence)


def _parts(batch: list[Delivered]) -> list[list[Delivered]]:
    return [batch[start : start + LARGEST_BATCH] for start in range(0, len(batch), LARGEST_BATCH)]


def _is_signal(message: Delivered) -> bool:
    """Whether an outbox message is a signal: no expiry, and nothing that a stranger put there."""
    return subjects.outbox_sequence(message.subject) > 0 and not message.subject.endswith(".expired")


def _signal(book: str, message: Delivered) -> StoredSignal:
    sequence = subjects.outbox_sequence(message.subject)
    return StoredSignal(book, sequence, message.subject, message.data, message.stored_at)


async def _until(stop: asyncio.Event, link: Link, store: DecisionStore, book: str) -> None:
    """Wait for `stop`, then until the store has what the ledger and the outbox hold, at most a few seconds."""
    while not stop.is_set():
        if link.lost.is_set():
            msg = "connection lost"
            raise Interrupted(msg)
        await asyncio.sleep(0.05)
    ledger, outbox = await link.state(subjects.ledger_stream(book)), await link.state(subjects.outbox_stream(book))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        cursor = await store.cursor(book)
        if cursor.ledger_index >= ledger.last and cursor.outbox_sequence >= outbox.last:
            return
        await asyncio.sleep(0.02)


async def _anchor(link: Link, store: DecisionStore, book: str) -> None:
    """Keep the chain head in a bucket of its own every minute: a cut-off tail shows against it."""
    anchored = ""
    while True:
        cursor = await store.cursor(book)
        if cursor.ledger_head and cursor.ledger_head != anchored:
            await link.anchor(book, json.dumps({"index": cursor.ledger_index, "head": cursor.ledger_head}).encode())
            anchored = cursor.ledger_head
        await asyncio.sleep(ANCHOR_SECONDS)
