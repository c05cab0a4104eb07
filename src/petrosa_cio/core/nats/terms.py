"""What a gate is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.apps.nurse.policy import Policy

IN_FLIGHT = 512
"""Records and signals under way at most; beyond it reading pauses and the stream holds what waits."""


@dataclass(frozen=True, slots=True)
class GateTerms:
    """What a gate is started with. ``event_clock`` (replay only): now is the recorded time, no timeout is enforced."""

    book: str
    policy: Policy
    now: Callable[[], Instant]
    event_clock: bool = False
    signal_subject: str = "signals.trading"
    """Where a ``close`` goes straight when the ledger takes no records."""
