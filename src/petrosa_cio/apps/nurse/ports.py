"""What the Nurse asks of the world. Each docstring is an implementation's promise; a contract suite holds it to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from petrosa_cio.apps.nurse.facts import MarketState
    from petrosa_cio.apps.nurse.happenings import Happening, PromotedOrder
    from petrosa_cio.apps.nurse.models import Instant, Json


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record of a ledger as it was stored.

    ``body`` is exactly the bytes that ``hash`` covers together with ``prev`` (see `record`). ``measured`` is what was
    measured about the decision and is not covered by the hash: JSON text, or empty.
    """

    book: str
    index: int
    prev: str
    hash: str
    body: bytes
    stored_at: Instant
    measured: str = ""


@dataclass(frozen=True, slots=True)
class StoredSignal:
    """One message of the outbox: the signal of the decision that judged intent ``sequence``."""

    book: str
    sequence: int
    subject: str
    body: bytes
    stored_at: Instant


@dataclass(frozen=True, slots=True)
class StoreCursor:
    """How far a book has been carried into a store: the last ledger index and outbox sequence, 0 where none."""

    ledger_index: int = 0
    ledger_head: str = ""
    outbox_sequence: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry of a spill. ``sent`` says whether its signal is known to have left."""

    key: str
    entry: bytes
    sent: bool


class Spill(Protocol):
    """Where a promoted ``close`` is kept while the ledger takes no records. Order is kept.

    * `keep` returns only when the entry is on disk (fsync). Raises StoreError where it cannot be kept.
    * `sent` marks an entry whose signal has left; the mark may be lost by a power cut (then it is sent again).
    * `pending` gives every entry kept and not yet cleared, oldest first, whichever process kept it; a torn entry is
      given up, not raised, and harms no other. Raises StoreError where the disk cannot be read.
    * `clear` forgets the entries that `pending` gave, without losing them: they are moved aside.
    """

    def keep(self, key: str, entry: bytes) -> None:
        """Keep one entry, one JSON text, under a key of its own."""

    def sent(self, key: str) -> None:
        """Mark the entry with this key as sent."""

    def pending(self) -> list[Kept]:
        """Every entry that is not cleared."""

    def clear(self) -> None:
        """Move aside what `pending` gave: it is in the ledger now."""


class DecisionStore(Protocol):
    """The query store: a projection of ledger and outbox, never the truth itself.

    * `append` is atomic: records, signals and cursor are all kept or none is. Records must continue the book's
      cursor without gap (index = cursor + 1, ...); a repeat of records already kept is ignored, so a projector that
      was killed may send a batch again. Anything else raises StoreError and keeps nothing.
    * Readers see whole batches only. Order is ledger order.
    * Every method raises StoreError when the store cannot be read or written; nothing else.
    """

    async def cursor(self, book: str) -> StoreCursor:
        """How far ``book`` has been carried into this store."""

    async def append(
        self, book: str, records: Sequence[StoredRecord], signals: Sequence[StoredSignal], outbox_sequence: int
    ) -> None:
        """Keep a batch and move the cursor, atomically. ``outbox_sequence`` is the last one read (0: unchanged)."""

    async def find(self, decision_id: str) -> StoredRecord | None:
        """The record of a decision, by its id or an unambiguous beginning of at least 8 characters."""

    async def policy(self, revision: str) -> StoredRecord | None:
        """The latest record that put the policy with this revision in force."""

    async def signal(self, book: str, sequence: int) -> StoredSignal | None:
        """The signal promoted for an intent, if one was."""

    async def expiry(self, book: str, sequence: int) -> StoredRecord | None:
        """The record that says that an approved intent expired unpromoted, if it did."""

    def records(self, book: str, after: int = 0) -> AsyncIterator[StoredRecord]:
        """All records of ``book`` with an index above ``after``, in order, without holding them all in memory."""

    async def books(self) -> tuple[str, ...]:
        """Every book that has a record here, by name."""

    async def close(self) -> None:
        """Release the store. Idempotent."""


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """A policy as it is handed to gates: version number, revision (hash), whole content, and when it was decided."""

    book: str
    version: int
    revision: str
    content: Mapping[str, Json]
    """What `policy.read_policy` reads."""
    at: Instant


class PolicyBoard(Protocol):
    """Where the policy in force is put up, and gates see it change at once.

    * `publish` puts up a version whole; an older version than the one that stands never replaces it (it is ignored,
      and False is returned). What stands survives a restart of the server.
    * `current` reads what stands now, asking the server: None where nothing was ever published.
    * `watch` calls ``changed`` with what stands, at once if something does, and again whenever a newer version is put
      up (of several in quick succession perhaps only with the last), until it is cancelled. It survives the loss of
      the connection and catches up when that is back. A push may be lost all the same, so gates also ask `current`
      once a second.
    * `publish` and `current` raise BusError or StoreError, in bounded time, where the server cannot be reached, where
      what is to be put up cannot be written down, or where what stands is no policy; nothing else. The last is no bar
      to `publish`, and `watch` passes over it.
    """

    async def publish(self, policy: PublishedPolicy) -> bool:
        """Put up ``policy``; False where that version or a newer one stands already."""

    async def current(self, book: str) -> PublishedPolicy | None:
        """What stands now."""

    async def watch(self, book: str, changed: Callable[[PublishedPolicy], None]) -> None:
        """Tell ``changed`` of what stands and of every change, until cancelled."""


class Market(Protocol):
    """What is known of the markets. Asked for every intent, so it answers from memory: no I/O, never raises.

    What it knows is as old as ``as_of`` says, whether or not messages keep coming: age is judged by whoever asks.
    """

    def state(self, symbol: str, now: Instant) -> MarketState | None:
        """What is known of ``symbol`` at ``now``, nothing of it from after ``now``; None where nothing ever was."""


class Accounts(Protocol):
    """What comes to be known of the account that a book trades on.

    * After `begin`, `due` gives everything that follows, each once and in order: executions with a sequence above
      ``after``, reports newer than the last. Nothing is given twice, unless `begin` is called again.
    * A gate records what `due` gave before it judges on it; what a killed gate did not record is given again.
    * `promoted` is told of every order whose decision is recorded, in order: a simulated engine executes it, a real one
      hears of it by its signal. After `begin`, a gate on an event clock tells it of every recorded decision again.
    * No method does I/O or raises; what cannot be read is left out, counted and said by whoever feeds it.
    """

    @property
    def behind(self) -> bool:
        """Whether executions may have happened already that `due` cannot give yet: the account is unknown then."""

    def begin(self, after: int) -> None:
        """Start, or start again, after the execution with sequence ``after``."""

    def promoted(self, order: PromotedOrder) -> None:
        """Hear of an order that was promoted."""

    def due(self, now: Instant) -> Sequence[Happening]:
        """What happened up to ``now`` and was not given yet. What a stream has stored has happened, by any clock."""
