"""What a gate is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import Accounts, Market

IN_FLIGHT = 512
"""Records and signals under way at most; beyond it reading pauses and the stream holds what waits."""


@dataclass(slots=True)
class GateTerms:
    """On which terms a gate works. ``event_clock`` (replay only): now is the recorded time, no timeout is enforced.

    Only the policy changes while a gate runs, and only between two intents (`Gate.offer`).
    """

    book: str
    policy: Policy
    now: Callable[[], Instant]
    event_clock: bool = False
    signal_subject: str = "signals.trading"
    """Where a ``close`` goes straight when the ledger takes no records."""
    market: Market | None = None
    """What is known of the markets; without it their controls are unevaluated, or refuse where a fact is required."""
    accounts: Accounts | None = None
    """What happens to the account, likewise."""
    origin: str = ""
    """Whose reports of the account count; empty: the first source that is heard."""
    policy_version: int | None = None
    """Number of the configuration version in force; None where the policy is a file that nobody can change."""
    policy_as_of: Instant | None = None
    """When the policy was last known to be the one in force; None where it is a file, which does not age."""
