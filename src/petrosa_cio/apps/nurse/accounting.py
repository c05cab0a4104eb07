"""The accounting identity of a book: every intent received is somewhere, always.

::

    received            = approved + reduced + blocked + absorbed + quarantined + gap + in flight
    approved + reduced  = promoted + expired + in flight

``received`` is counted by the intent stream, ``promoted`` by the outbox, the rest by the ledger: three witnesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.decision import Totals


@dataclass(frozen=True, slots=True)
class Account:
    """The books at one moment. ``arrived`` counts intents since the book's origin, ``settled`` outbox messages."""

    arrived: int
    totals: Totals
    outbox_messages: int

    @property
    def promoted(self) -> int:
        """Signals stored for the engine: outbox messages that are no mark of expiry."""
        return self.outbox_messages - self.totals.expired

    @property
    def awaiting_judgement(self) -> int:
        """Intents that arrived and are not yet in the ledger."""
        return self.arrived - self.totals.received - self.totals.gap

    @property
    def awaiting_promotion(self) -> int:
        """Recorded promises that are neither promoted nor expired yet."""
        return self.totals.promising - self.promoted - self.totals.expired

    def imbalances(self) -> tuple[str, ...]:
        """What does not add up; empty where the books balance."""
        totals = self.totals
        judged = totals.approved + totals.reduced + totals.blocked + totals.absorbed + totals.quarantined
        found = []
        if judged != totals.received:
            found.append(f"{totals.received} received but {judged} judged or quarantined")
        if self.awaiting_judgement < 0:
            found.append(f"{-self.awaiting_judgement} more decisions than intents arrived")
        if self.awaiting_promotion < 0:
            found.append(f"{-self.awaiting_promotion} more signals and expiries than promises")
        return tuple(found)

    def content(self) -> dict[str, int | bool | list[str]]:
        """As shown by status."""
        imbalances = self.imbalances()
        return {
            "received": self.arrived,
            **{name: count for name, count in self.totals.content().items() if name != "received"},
            "promoted": self.promoted,
            "awaiting_judgement": self.awaiting_judgement,
            "awaiting_promotion": self.awaiting_promotion,
            "balanced": not imbalances,
            "imbalances": list(imbalances),
        }
