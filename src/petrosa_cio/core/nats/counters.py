"""What happened in one gate process; every way an intent can turn has a name here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class GateCounters:
    """Counts since this process started, as shown by status."""

    judged: int = 0
    promoted: int = 0
    already_settled: int = 0
    expired: int = 0
    gaps: int = 0
    quarantined: int = 0
    quarantine_refused: int = 0
    traces_dropped: int = 0
    uncaptured: int = 0
    executions: int = 0
    executions_repeated: int = 0
    reports_refused: int = 0
    """Reports of the account that are too large to be recorded."""
    accounts_too_large: int = 0
    """Intents judged without positions and orders, since there were too many to be recorded."""
    fenced: int = 0
    interrupted: int = 0
    recoveries: int = 0
    outages: int = 0

    def content(self) -> dict[str, int]:
        """As shown by status."""
        return {name: getattr(self, name) for name in self.__slots__}
