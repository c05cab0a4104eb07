"""`up` and `serve`: a book's processes kept running until someone says stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.bootstrap import policies
from petrosa_cio.bootstrap.asking import forget_address, keep_address
from petrosa_cio.bootstrap.gate import open_link
from petrosa_cio.bootstrap.house import Wiring, ourselves, start_book, until_judging
from petrosa_cio.bootstrap.samples import choose_market
from petrosa_cio.bootstrap.tailing import follow_decisions
from petrosa_cio.core import logs
from petrosa_cio.core.nats import server
from petrosa_cio.core.nats.together import end, first_failure
from petrosa_cio.core.processes import Supervisor
from petrosa_cio.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.settings import Settings


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `up` is started with. ``market``: ``auto``, ``live``, ``synthetic`` or ``none``."""

    data_dir: Path
    market: str = "auto"
    policy_file: Path | None = None
    ready_file: Path | None = None
    signal_subject: str = "signals.trading"
    book: str = "main"
    equity: Decimal = Decimal(10_000)
    """What the simulated account begins with, where there is a market."""


async def up(options: UpOptions, say: Callable[[str], None], show: Callable[[dict[str, object]], None]) -> None:
    """Embedded: nats-server, gate, projector and a market, until SIGINT or SIGTERM; then drain and end them.

    Raises SettingsError where another `up` uses the data directory, PolicyError for a faulty policy.
    """
    policy = policies.load(options.policy_file, policies.EMBEDDED)
    _make_directory(options.data_dir)
    stop = _stop_on_signals()
    with _only_one(options.data_dir):
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)  # one that was killed left it
        async with Supervisor(options.data_dir, logs.events("up")) as supervisor:
            market = None if options.market == "none" else await choose_market(options.market)
            plan = server.plan(options.data_dir / "nats")
            await supervisor.start("nats-server", plan.command)
            keep_address(options.data_dir, plan.url)
            wiring = Wiring(
                plan.url,
                options.book,
                options.data_dir,
                options.signal_subject,
                options.policy_file,
                governed=True,
                equity=None if market is None else options.equity,
                asks_exchange=market is not None and market.live,
            )
            await start_book(supervisor, wiring)
            link = await open_link(plan.url, "petrosa-cio up", None, "up")
            try:
                await first_failure(until_judging(link, options.book, say), _told(stop))
                if stop.is_set():
                    return
                _write_ready(options.ready_file, plan.url)
                say(f"judging intents on {plan.url} (policy {policy.revision[:12]}); data in {options.data_dir}")
                if market is not None:
                    say(f"market: {market.label}; account: simulated, {options.equity} USDT at first")
                    command = ourselves("samples", "--nats-url", plan.url, "--market", market.name)
                    await supervisor.start("samples", command)
                await _show_until(stop, link, options.book, show)
                say("stopping: finishing what is recorded")
                for child in [child for child in supervisor.children if child.name == "samples"]:
                    await supervisor.retire(child)
            finally:
                forget_address(options.data_dir)
                if options.ready_file is not None:
                    options.ready_file.unlink(missing_ok=True)
                await link.close()


async def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Production: gate and projector against a NATS of yours, until SIGINT or SIGTERM.

    Several may run on one book: the ledger lets one advance at a time, the others stand by.
    """
    policy = policies.load(settings.policy_file, policies.PRODUCTION)
    _make_directory(settings.data_dir)
    stop = _stop_on_signals()
    link = await open_link(settings.nats_url, "petrosa-cio serve", settings.nats_credentials, "serve")
    try:
        await link.require_jetstream()
        async with Supervisor(settings.data_dir, logs.events("serve")) as supervisor:
            await supervisor.start("projector", ourselves("projector", "--from-settings"))
            await supervisor.start("steward", ourselves("steward", "--from-settings"))
            if settings.market_source != "none" or settings.account_source != "none":
                await supervisor.start("feeds", ourselves("feeds", "--from-settings"))
            await supervisor.start("gate", ourselves("gate", "--from-settings"))
            await first_failure(until_judging(link, settings.book, say), _told(stop))
            if not stop.is_set():
                say(f"judging book {settings.book} (policy {policy.revision[:12]})")
            await stop.wait()
            say("stopping: finishing what is recorded")
    finally:
        await link.close()


async def _told(stop: asyncio.Event) -> None:
    await stop.wait()


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise SettingsError(msg) from error


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Hold the data directory for this process; the lock ends with it, however it ends."""
    with (directory / "lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            msg = f"{directory} is in use by another petrosa-cio up; give this one a --data-dir of its own"
            raise SettingsError(msg) from error
        yield


def _write_ready(path: Path | None, nats_url: str) -> None:
    """Say that intents are being judged. Written whole or not at all: whoever waits for it may read it at once."""
    if path is None:
        return
    ready = {"nats_url": nats_url, "web_url": None, "mcp_url": None, "pid": os.getpid()}
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(ready) + "\n", encoding="utf-8")
    part.replace(path)


async def _show_until(stop: asyncio.Event, link: Link, book: str, show: Callable[[dict[str, object]], None]) -> None:
    following = asyncio.create_task(follow_decisions(link, book, show, from_end=True))
    try:
        await stop.wait()
    finally:
        await end(following)
