"""The probe joined to its surroundings: keys from settings, overrides from a policy, alerts to whoever listens."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import is_symbol, iso
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.bootstrap.stores import CONFIG_FILE, StorePlace, open_config_store
from petrosa_cio.core import clock
from petrosa_cio.core.exchange import stored
from petrosa_cio.core.exchange.binance import Binance, Keys, checked_base_url
from petrosa_cio.core.exchange.klines import BINANCE_USDM
from petrosa_cio.core.exchange.overrides import Override, overrides_in
from petrosa_cio.core.exchange.probe import probe
from petrosa_cio.core.nats.together import end
from petrosa_cio.errors import BusError, SettingsError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from petrosa_cio.apps.strategist.ports import ConfigStore
    from petrosa_cio.bootstrap.configuring import ConfigPlace
    from petrosa_cio.core.exchange.probe import ProbeReport
    from petrosa_cio.core.exchange.stored import StoredFile
    from petrosa_cio.settings import Settings

ALERT_SUBJECT = "alerts.cio.drift"
"""Where a scheduled probe says that drift came, changed or went, or that the exchange cannot be asked."""


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What a live probe needs to know. ``keys`` None: only what anyone may ask."""

    base_url: str = BINANCE_USDM
    symbol: str = "BTCUSDT"
    keys: Keys | None = field(default=None, repr=False)
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Raise SettingsError for what cannot be asked."""
        checked_base_url(self.base_url)
        if not is_symbol(self.symbol):
            msg = "--symbol: must be like BTCUSDT"
            raise SettingsError(msg)


def keys_in(settings: Settings) -> Keys | None:
    """The keys that the environment gives, or None. Raises SettingsError for one that cannot be sent."""
    key, secret = settings.binance_api_key, settings.binance_api_secret
    if key is None or secret is None:
        return None
    word = key.get_secret_value()
    if not (word.isascii() and word.isprintable() and word.strip() == word != "") or not secret.get_secret_value():
        msg = "CIO_BINANCE_API_KEY, CIO_BINANCE_API_SECRET: empty, or with characters that no key has"
        raise SettingsError(msg)
    return Keys(word, secret.get_secret_value())


def scheduled_options(settings: Settings) -> ProbeOptions | None:
    """What a scheduled probe asks, or None where none is wanted. Raises SettingsError."""
    if settings.probe_interval_minutes == 0:
        return None
    return ProbeOptions(settings.binance_url, keys=keys_in(settings))


async def overrides_kept(store: ConfigStore, book: str) -> tuple[Override, ...]:
    """The overrides of a book's configuration in ``store``. Raises StoreError."""
    return overrides_in((await Governor(store, book).configuration()).scopes)


async def overrides_in_force(place: ConfigPlace) -> tuple[Override, ...]:
    """The overrides of the configuration that is kept at ``place``. Raises StoreError."""
    store = await open_config_store(place.store)
    try:
        return await overrides_kept(store, place.book)
    finally:
        await store.close()


def is_kept(place: StorePlace) -> bool:
    """Whether a data directory has a configuration: opening one that is not there would make it."""
    return (place.data_dir / CONFIG_FILE).is_file()


async def run_probe(options: ProbeOptions, overrides: Sequence[Override] = ()) -> ProbeReport:
    """Ask the exchange once and report. Never raises for what the exchange does."""
    exchange = Binance(options.base_url, options.keys, now_ns=clock.now_ns, timeout_seconds=options.timeout_seconds)
    async with exchange:
        return await probe(exchange, options.symbol, overrides)


def run_recorded(directory: Path, overrides: Sequence[Override] = ()) -> list[StoredFile]:
    """What every file under ``directory`` (or the one file) holds. Raises SettingsError where there is none such."""
    if directory.is_dir():
        return [
            stored.examine_file(path, path.relative_to(directory).as_posix(), overrides)
            for path in stored.files_in(directory)
        ]
    if directory.exists():
        return [stored.examine_file(directory, directory.name, overrides)]
    msg = f"--recorded: there is no {directory}"
    raise SettingsError(msg)


@dataclass(slots=True)
class ScheduledProbe:
    """A probe again and again. What it finds is told when it changes, not every time.

    ``alert`` is given the bytes to publish on `ALERT_SUBJECT`; where it raises BusError the same is told again after
    the next probe. ``overrides`` is asked before each probe, since the configuration may have changed.
    """

    options: ProbeOptions
    overrides: Callable[[], Awaitable[Sequence[Override]]]
    alert: Callable[[bytes], Awaitable[None]]
    log: Callable[[str, dict[str, object]], None]
    probes: int = 0
    failed: int = 0
    """Probes after which something could not be held against its model."""
    _told: str = "[]"

    async def run(self, stop: asyncio.Event, interval_seconds: float) -> None:
        """Probe until ``stop``, the first time at once; later than the interval where the exchange wants a pause."""
        while not stop.is_set():
            report = await self.once()
            try:
                await asyncio.wait_for(stop.wait(), max(interval_seconds, report.wait_seconds))
            except TimeoutError:
                continue

    async def once(self) -> ProbeReport:
        """One probe, told where it found something else than the last one."""
        try:
            overrides = await self.overrides()
        except StoreError as error:
            self.log("the overrides cannot be read; the probe goes on without", {"why": str(error)})
            overrides = ()
        report = await run_probe(self.options, overrides)
        self.probes += 1
        self.failed += report.unreachable
        finding = _finding(report)
        if finding != self._told:
            await self._tell(report, finding)
        return report

    async def _tell(self, report: ProbeReport, finding: str) -> None:
        content = {"at": iso(clock.now_ns()), "state": state_of(report), **report.content()}
        event = {
            "drift": "ALARM: the exchange answers otherwise than our models say",
            "unreachable": "ALARM: the exchange cannot be probed",
            "none": "the exchange answers as our models say",
        }[state_of(report)]
        self.log(event, {"drift": [f"{d.kind} {d.where}: {d.found}" for d in report.drift], "failed": _failed(report)})
        try:
            await self.alert(json.dumps(content).encode())
        except BusError as error:
            self.log("the alert could not be published", {"why": str(error)})
            return
        self._told = finding


@contextlib.asynccontextmanager
async def probing(probe_: ScheduledProbe | None, interval_minutes: float) -> AsyncIterator[None]:
    """Probe every so often for as long as the block runs; with None, not at all."""
    if probe_ is None:
        yield
        return
    task = asyncio.create_task(probe_.run(asyncio.Event(), interval_minutes * 60))
    task.add_done_callback(functools.partial(_say_if_it_died, probe_.log))
    try:
        yield
    finally:
        await end(task)


def _say_if_it_died(log: Callable[[str, dict[str, object]], None], task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log("ALARM: the scheduled probe died", {"why": type(error).__name__})


def state_of(report: ProbeReport) -> str:
    """``drift``, else ``unreachable`` where something could not be asked, else ``none``."""
    return "drift" if report.drift else "unreachable" if report.unreachable else "none"


def _failed(report: ProbeReport) -> list[str]:
    return [f"{probed.endpoint}: {probed.error_class}" for probed in report.probed if probed.error_class is not None]


def _finding(report: ProbeReport) -> str:
    """What was found, without what differs from one probe to the next: counts, examples, and by how much clocks do."""
    drift = {(d.kind.value, d.where, d.expected, "" if d.kind == "clock_skew" else d.found) for d in report.drift}
    return json.dumps([*sorted(drift), *_failed(report), *(["stopped early"] if report.wait_seconds else [])])
