"""A batch of records and signals as documents, and what can be said against it before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.ports import StoreCursor, StoredRecord, StoredSignal
from petrosa_cio.apps.nurse.record import GENESIS, decode
from petrosa_cio.core.db.mongo.client import Document, int64, key
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.nurse.models import Json

_TEXTS = ("decision_id", "intent_id", "strategy_id", "symbol", "action", "verdict", "at", "policy_revision")
_SAME = ("prev", "hash", "subject", "body")
"""What must be equal for two records or two signals to be one; when they were stored is no part of that."""


@dataclass(slots=True)
class Batch:
    """A batch of ``book``, sorted out against the cursor that it meets. Documents are by ``_id``, in order."""

    book: str
    index: int
    head: str
    fresh: dict[str, Document] = field(default_factory=dict)
    """Records beyond the cursor."""
    repeats: dict[str, Document] = field(default_factory=dict)
    """Records at or before it: these must be there already."""
    signals: dict[str, Document] = field(default_factory=dict)

    @property
    def identities(self) -> list[str]:
        """What no other record may have as its identity."""
        return [document["identity"] for document in self.fresh.values()]


def sorted_out(
    book: str, before: StoreCursor, records: Iterable[StoredRecord], signals: Iterable[StoredSignal], outbox: int
) -> Batch:
    """The batch, where it continues ``before`` without gap and does not contradict itself; else StoreError."""
    batch = Batch(book, before.ledger_index, before.ledger_head)
    for record in records:
        _own(book, record.book)
        if record.index <= before.ledger_index:
            _add(batch.repeats, _plain(record), naming(record))
        elif record.index <= batch.index:
            _add(batch.fresh, _plain(record), naming(record))
        else:
            _expect_next(record, batch.index, batch.head)
            _add(batch.fresh, record_document(record), naming(record))
            batch.index, batch.head = record.index, record.hash
    if len(set(batch.identities)) < len(batch.fresh):
        raise StoreError(f"a batch of book {book!r} holds two decisions with one id")
    for signal in signals:
        _own(book, signal.book)
        _add(batch.signals, signal_document(signal, batch.index if batch.fresh else 0, outbox), naming_signal(signal))
    return batch


def naming(record: StoredRecord) -> str:
    """A record, in words."""
    return f"record {record.index} of book {record.book!r}"


def naming_signal(signal: StoredSignal) -> str:
    """A signal, in words."""
    return f"the signal of intent {signal.sequence} of book {signal.book!r}"


def expect_same(kept: Document, given: Document, what: str) -> None:
    """StoreError where what is kept under an id is not what is given for it."""
    if any(kept.get(name) != given.get(name) for name in _SAME):
        raise StoreError(f"{what} differs from the one kept")


def record_document(record: StoredRecord) -> Document:
    """The document of a record, with what it is searched by. Raises StoreError where its body cannot be read."""
    try:
        content = decode(record.body)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{naming(record)}: {error}") from error
    kind, sequence = content.get("kind"), content.get("sequence")
    if not isinstance(kind, str):
        raise StoreError(f"{naming(record)} has no kind")
    document = _plain(record)
    decided = _text(content, "decision_id") if kind == "decision" else None
    return {
        **document,
        # Decisions own their id; an expiry names the decision that expired, and everything else has only its place.
        "identity": document["_id"] if decided is None else decided,
        "kind": kind,
        **{name: _text(content, name) for name in _TEXTS},
        "sequence": int64(sequence) if isinstance(sequence, int) else None,
    }


def read_record(document: Document) -> StoredRecord:
    """The record that was stored in ``document``."""
    return StoredRecord(
        book=document["book"],
        index=int(document["index"]),
        prev=document["prev"],
        hash=document["hash"],
        body=bytes(document["body"]),
        stored_at=int(document["stored_at"]),
        measured=document["measured"],
    )


def signal_document(signal: StoredSignal, seen_ledger: int, seen_outbox: int) -> Document:
    """The document of a signal that is seen once the book's cursor is at both places."""
    return {
        "_id": key(signal.book, signal.sequence),
        "book": signal.book,
        "sequence": int64(signal.sequence),
        "subject": signal.subject,
        "body": signal.body,
        "stored_at": int64(signal.stored_at),
        "seen_ledger": int64(seen_ledger),
        "seen_outbox": int64(seen_outbox),
    }


def read_signal(document: Document) -> StoredSignal:
    """The signal that was stored in ``document``."""
    return StoredSignal(
        book=document["book"],
        sequence=int(document["sequence"]),
        subject=document["subject"],
        body=bytes(document["body"]),
        stored_at=int(document["stored_at"]),
    )


def _plain(record: StoredRecord) -> Document:
    return {
        "_id": key(record.book, record.index),
        "book": record.book,
        "index": int64(record.index),
        "prev": record.prev,
        "hash": record.hash,
        "body": record.body,
        "stored_at": int64(record.stored_at),
        "measured": record.measured,
    }


def _add(documents: dict[str, Document], document: Document, what: str) -> None:
    kept = documents.setdefault(document["_id"], document)
    expect_same(kept, document, what)


def _own(book: str, other: str) -> None:
    if other != book:
        raise StoreError(f"a batch of book {book!r} cannot hold what belongs to book {other!r}")


def _expect_next(record: StoredRecord, index: int, head: str) -> None:
    if record.index != index + 1:
        raise StoreError(f"{naming(record)} leaves a gap: the last one kept is {index}")
    if record.prev != (head or GENESIS):
        raise StoreError(f"{naming(record)} does not follow record {index}, whose hash it does not name")


def _text(content: dict[str, Json], name: str) -> str | None:
    found = content.get(name)
    return found if isinstance(found, str) else None
