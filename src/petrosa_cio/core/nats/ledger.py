"""The ledger on JetStream: where a book stands, and fenced appends that keep the chain.

Two expectations fence every append: the last sequence, and the last message id, which is the hash of the record before.
The sequence alone is not enough once appends are pipelined (``docs/decisions/0002-fence-by-hash.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.decision import Totals
from petrosa_cio.apps.nurse.ports import StoredRecord
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.snapshots import SNAPSHOT, begins_at
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.reader import Delivered

NOTHING = Totals()
"""The totals of a ledger without records."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a book's ledger stands: its last record, the intents accounted for, and what is settled of its promises."""

    book: str
    index: int = 0
    head: str = record.GENESIS
    cursor: int = 0
    totals: Totals = NOTHING
    policy_revision: str | None = None
    settled: int = 0
    """Every promise of a record up to this index is known to be kept or expired: where recovery starts to look."""
    snapshot: int = 0
    """Index of the first record of the last snapshot that is complete; 0 where there is none."""

    @property
    def since_snapshot(self) -> int:
        """How many records follow the last snapshot."""
        return self.index - self.snapshot

    @property
    def origin(self) -> int:
        """Sequence of the intent stream before the first one this book accounted for."""
        return self.cursor - self.totals.received - self.totals.gap


class Entry(NamedTuple):
    """A record ready to append, and the position after it."""

    body: bytes
    headers: dict[str, str]
    position: Position


def entry(
    position: Position,
    content: Content,
    cursor: int,
    totals: Totals,
    revision: str | None,
    measured: str = "",
    *,
    settled: int = 0,
) -> Entry:
    """The record that continues ``position`` with ``content``; promises up to index ``settled`` are settled."""
    index = position.index + 1
    body = record.encode(
        {
            **content,
            "v": record.FORMAT,
            "book": position.book,
            "index": index,
            "cursor": cursor,
            "totals": totals.content(),
            "policy_in_force": revision,
        }
    )
    head = record.chain(position.head, body)
    headers = {
        "Nats-Msg-Id": head,
        "Nats-Expected-Last-Sequence": str(position.index),
        subjects.PREV_HEADER: position.head,
        subjects.SETTLED_HEADER: str(max(settled, position.settled)),
    }
    begins = begins_at(content, index) if content["kind"] == SNAPSHOT else None
    snapshot = position.snapshot if begins is None else begins
    if snapshot:
        headers[subjects.SNAPSHOT_HEADER] = str(snapshot)
    if position.index:
        headers["Nats-Expected-Last-Msg-Id"] = position.head
    if measured:
        headers[subjects.MEASURED_HEADER] = measured
    after = Position(position.book, index, head, cursor, totals, revision, position.settled, snapshot)
    return Entry(body, headers, after)


def stored(book: str, message: Delivered) -> StoredRecord:
    """A ledger message as a stored record."""
    return StoredRecord(
        book,
        message.sequence,
        message.headers.get(subjects.PREV_HEADER, ""),
        message.headers.get("Nats-Msg-Id", ""),
        message.data,
        message.stored_at,
        message.headers.get(subjects.MEASURED_HEADER, ""),
    )


def position_after(book: str, message: Delivered) -> tuple[Position, dict[str, Json]]:
    """Where the ledger stands after ``message``, and its content. Raises LedgerError where it is no sound record."""
    found = stored(book, message)
    if record.chain(found.prev, found.body) != found.hash:
        msg = f"ledger of {book}: record {found.index} was altered: its hash does not match"
        raise LedgerError(msg)
    try:
        content = record.decode(found.body)
    except ValueError as error:
        msg = f"ledger of {book}: record {found.index} cannot be read: {error}"
        raise LedgerError(msg) from error
    cursor, revision = content.get("cursor"), content.get("policy_in_force")
    if content.get("index") != found.index or not isinstance(cursor, int):
        msg = f"ledger of {book}: record {found.index} says of itself that it is {content.get('index')}"
        raise LedgerError(msg)
    settled = message.headers.get(subjects.SETTLED_HEADER, "0")
    snapshot = message.headers.get(subjects.SNAPSHOT_HEADER, "0")
    position = Position(
        book,
        found.index,
        found.hash,
        cursor,
        Totals.read(content),
        revision if isinstance(revision, str) else None,
        int(settled) if settled.isdigit() else 0,
        int(snapshot) if snapshot.isdigit() else 0,
    )
    return position, content
