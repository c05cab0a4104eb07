"""The steward process: keeps a book's configuration, and keeps the boards in step with it.

A change of policy is kept in the configuration store first and put up on the boards afterwards, by whoever made it. The
steward looks twice a second whether what stands is what is kept, so a change whose author was killed in between, or a
board that was away, is caught up with. Beside that it watches the ledger, and tells people of limits and latches.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.bootstrap.boards import Boards, open_boards, publication_of
from petrosa_cio.bootstrap.gate import kept_up, open_link, prepare_jetstream
from petrosa_cio.bootstrap.probing import ALERT_SUBJECT, ScheduledProbe, overrides_kept, probing
from petrosa_cio.bootstrap.stores import StorePlace, open_config_store
from petrosa_cio.bootstrap.watching import Watch, watch
from petrosa_cio.core import clock, logs
from petrosa_cio.core.nats.together import end
from petrosa_cio.errors import BusError, PatchRefused, PolicyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.strategist.ports import ConfigStore, Version
    from petrosa_cio.bootstrap.probing import ProbeOptions
    from petrosa_cio.core.nats.link import Link

LOOK_SECONDS = 0.5
"""How often what stands on the boards is compared with what is kept."""

SEED_AUTHOR = "petrosa-cio"


@dataclass(frozen=True, slots=True)
class StewardOptions:
    """Everything a steward process needs to know. ``policy`` seeds a book that has no configuration yet."""

    nats_url: str
    book: str
    place: StorePlace
    policy: Policy
    replicas: int = 1
    credentials: Path | None = None
    redis_url: str | None = field(default=None, repr=False)
    probe: ProbeOptions | None = None
    """What to ask the exchange every ``probe_minutes``; None: nothing."""
    probe_minutes: float = 0.0


async def run_steward(options: StewardOptions) -> None:
    """Keep the boards in step until SIGTERM or SIGINT."""
    log = logs.events("steward")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    link = await open_link(options.nats_url, "petrosa-cio steward", options.credentials, "steward")
    store = await open_config_store(options.place)
    boards = open_boards(link, options.redis_url, options.replicas, log)
    try:
        await prepare_jetstream(link)
        steward = Steward(options, store, boards, log)
        watching = asyncio.create_task(kept_up("watch", lambda: _watch(options, store, link, log), log))
        async with probing(_probe(options, store, link), options.probe_minutes), contextlib.AsyncExitStack() as ending:
            ending.push_async_callback(end, watching)
            while not stop.is_set():
                await steward.look()
                try:
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
                except TimeoutError:
                    continue
    finally:
        await store.close()
        await boards.close()
        await link.close()


async def _watch(
    options: StewardOptions, store: ConfigStore, link: Link, log: Callable[[str, dict[str, object]], None]
) -> None:
    """Tell people what the ledger gives cause for, by the policy that is kept, and from then on by the ledger's own."""
    policy = options.policy
    try:
        head = await store.head(options.book)
        if head is not None:
            policy = read_policy(dict(publication_of(head).content), f"version {head.number}")
    except (StoreError, PolicyError) as error:
        log("the watch begins with the policy of the start", {"why": str(error)})
    await watch(link, Watch(options.book, policy), log)


def _probe(options: StewardOptions, store: ConfigStore, link: Link) -> ScheduledProbe | None:
    if options.probe is None:
        return None
    overrides = functools.partial(overrides_kept, store, options.book)
    alert = functools.partial(link.publish, ALERT_SUBJECT)
    return ScheduledProbe(options.probe, overrides, alert, logs.events("probe"))


@dataclass(slots=True)
class Steward:
    """One look after another: seed what is empty, put up what is kept, say once what is wrong."""

    options: StewardOptions
    store: ConfigStore
    boards: Boards
    log: Callable[[str, dict[str, object]], None]
    _seeded: bool = False
    _told: str = ""

    async def look(self) -> None:
        """Bring the boards in step with the store. What fails is logged once, and tried again at the next look."""
        try:
            head = await self._head()
            trouble = "" if head is None else await self.boards.bring_up_to(publication_of(head))
        except (BusError, StoreError, PatchRefused) as error:
            trouble = str(error)
        if trouble and trouble != self._told:
            self.log("ALARM: the policy that is kept is not the one that stands", {"why": trouble})
        self._told = trouble

    async def _head(self) -> Version | None:
        book = self.options.book
        if not self._seeded:
            governor = Governor(self.store, book)
            seeded = await governor.seed(self.options.policy.content, SEED_AUTHOR, clock.now_ns())
            if seeded is None:
                await self._say_if_ignored()
            else:
                self.log("seeded", {"version": seeded.number, "revision": seeded.revision})
            self._seeded = True
        return await self.store.head(book)

    async def _say_if_ignored(self) -> None:
        head = await self.store.head(self.options.book)
        if head is not None and head.number > 1:
            self.log(
                "the book has a configuration already; the policy file is not read (petrosa-cio config import)",
                {"version": head.number, "revision": head.revision},
            )
