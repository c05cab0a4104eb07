"""One machine's processes: what `up`, `serve` and `replay` start, and in which order they end."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.apps.nurse.simulated_fills import ORIGIN as SIMULATED
from petrosa_cio.core.nats import subjects
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from pathlib import Path

    from petrosa_cio.bootstrap.gate import Recording
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.processes import Supervisor

READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Wiring:
    """What gate and projector of one book are told on their command lines. No secret is among it."""

    nats_url: str
    book: str
    data_dir: Path
    signal_subject: str = "signals.trading"
    policy_file: Path | None = None
    default_policy: str = "embedded"
    event_clock: bool = False
    recording: Recording | None = None
    """What a replay's gate knows of market and account."""
    equity: Decimal | None = None
    """What a simulated account begins with, where feeds simulate one on the market that they hear."""
    asks_exchange: bool = True
    """Whether feeds may ask the exchange: not where the market is invented."""
    governed: bool = False
    """Whether the policy can change while it runs; without it the policy file, or the default, holds as it is."""


def ourselves(*arguments: str) -> tuple[str, ...]:
    """The command that runs one of our own hidden commands."""
    return (sys.executable, "-m", "petrosa_cio", *arguments)


def gate_command(wiring: Wiring) -> tuple[str, ...]:
    """Command of a gate process."""
    return ourselves(
        "gate",
        "--nats-url",
        wiring.nats_url,
        "--book",
        wiring.book,
        "--signal-subject",
        wiring.signal_subject,
        "--data-dir",
        str(wiring.data_dir),
        "--default-policy",
        wiring.default_policy,
        *(("--policy", str(wiring.policy_file)) if wiring.policy_file else ()),
        *(("--event-clock",) if wiring.event_clock else ()),
        *_recording(wiring.recording),
        *(("--hear-market", "--origin", SIMULATED) if wiring.equity is not None else ()),
        *(("--governed",) if wiring.governed else ()),
    )


def _recording(recording: Recording | None) -> tuple[str, ...]:
    if recording is None:
        return ()
    found = [word for path in recording.klines for word in ("--klines", str(path))]
    found += [word for path in recording.funding for word in ("--funding", str(path))]
    if recording.equity is not None:
        found += ["--account", str(recording.equity)]
    if recording.exchange_info is not None:
        found += ["--exchange-info", str(recording.exchange_info)]
    return (*found, *(("--begins", iso(recording.begins)) if recording.begins is not None else ()))


def feeds_command(wiring: Wiring, equity: Decimal) -> tuple[str, ...]:
    """Command of a feeds process that hears the market on NATS and simulates an account on it."""
    return ourselves(
        "feeds",
        "--nats-url",
        wiring.nats_url,
        "--book",
        wiring.book,
        "--data-dir",
        str(wiring.data_dir),
        "--default-policy",
        wiring.default_policy,
        "--account",
        str(equity),
        *(("--policy", str(wiring.policy_file)) if wiring.policy_file else ()),
        *(("--governed",) if wiring.governed else ()),
        *(() if wiring.asks_exchange else ("--no-exchange",)),
    )


def steward_command(wiring: Wiring) -> tuple[str, ...]:
    """Command of a steward process."""
    return ourselves(
        "steward",
        "--nats-url",
        wiring.nats_url,
        "--book",
        wiring.book,
        "--data-dir",
        str(wiring.data_dir),
        "--default-policy",
        wiring.default_policy,
        *(("--policy", str(wiring.policy_file)) if wiring.policy_file else ()),
    )


def projector_command(wiring: Wiring) -> tuple[str, ...]:
    """Command of a projector process."""
    return ourselves(
        "projector", "--nats-url", wiring.nats_url, "--book", wiring.book, "--data-dir", str(wiring.data_dir)
    )


async def start_book(supervisor: Supervisor, wiring: Wiring) -> None:
    """Start projector and gate of one book; they end the other way round, so the last decisions are projected."""
    await supervisor.start("projector", projector_command(wiring))
    if wiring.governed:
        await supervisor.start("steward", steward_command(wiring))
    if wiring.equity is not None:
        await supervisor.start("feeds", feeds_command(wiring, wiring.equity))
    await supervisor.start("gate", gate_command(wiring))


async def until_judging(link: Link, book: str, say: Callable[[str], None]) -> None:
    """Wait until a gate of ``book`` leads or stands by; say so where it cannot record, and go on waiting.

    Raises BusError, pointing at the logs, where none answers within a minute.
    """
    loop = asyncio.get_running_loop()
    until, said = loop.time() + READY_SECONDS, ""
    while loop.time() < until:
        answer = await link.request(subjects.status_subject(book), timeout=0.5)
        status = {} if answer is None else json.loads(answer)
        if status.get("state") in ("leading", "standing by") and status["policy"]["known"]:
            return
        trouble = status.get("trouble")
        if trouble:
            until = loop.time() + READY_SECONDS
            if trouble != said:
                say(f"NOTHING CAN BE RECORDED ({trouble}): entries are blocked, closes pass")
                said = trouble
        await asyncio.sleep(0.05)
    msg = f"no gate of book {book} is judging after {READY_SECONDS:g} s; see logs/gate.log in the data directory"
    raise BusError(msg)
