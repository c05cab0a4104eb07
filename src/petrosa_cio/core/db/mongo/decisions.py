"""The query store on MongoDB: batches that are atomic in effect, without transactions.

A batch is inserted first, and then one more document, a mark: how far the book is carried now. Readers look at nothing
beyond the farthest mark, so they see whole batches only, and a projector that is killed in between leaves what nobody
sees: it sends the batch again, and what is there already counts as a repeat. Whatever decides is an insertion under an
id that follows from what is inserted; records go in order and are never changed. So any number of projectors may carry
one ledger into one store, and two ledgers never mix: whatever comes second is refused.

Collections (numbers are 64-bit integers):

* ``records``: ``_id`` book/number; the record as it was stored, and fields read out of its body to search by.
* ``signals``: ``_id`` book/intent; the signal, and from which cursor on it is seen (``seen_ledger``, ``seen_outbox``).
* ``cursors``: ``_id`` book/ledger/outbox; marks. The cursor of a book is the farthest of each; the others are deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from petrosa_cio.apps.nurse.ports import StoreCursor
from petrosa_cio.core.db.mongo.batch import expect_same, read_record, read_signal, sorted_out
from petrosa_cio.core.db.mongo.client import Mongo, between, int64, key
from petrosa_cio.core.db.mongo.edge import Taken
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from petrosa_cio.apps.nurse.ports import StoredRecord, StoredSignal
    from petrosa_cio.core.db.mongo.address import MongoAddress
    from petrosa_cio.core.db.mongo.batch import Batch
    from petrosa_cio.core.db.mongo.client import Document

SCHEMA: int = 1
"""Version of the documents above."""
SHORTEST_PREFIX: int = 8
"""Characters of a decision id below which a search does not guess."""

_PAGE = 256


class MongoDecisions:
    """`DecisionStore` in one MongoDB database. Safe to share between tasks of one event loop.

    One thing is not atomic: the signals of a batch that moves no cursor at all are seen one after another.
    """

    def __init__(self, mongo: Mongo, *, read_only: bool = False) -> None:
        self._mongo = mongo
        self._read_only = read_only

    @classmethod
    async def open(cls, address: MongoAddress, *, read_only: bool = False) -> Self:
        """Connect to ``address``; else as `over`."""
        return await cls.over(await Mongo.open(address), read_only=read_only)

    @classmethod
    async def over(cls, mongo: Mongo, *, read_only: bool = False) -> Self:
        """The store on a connection, which it closes; indexes are made. With ``read_only`` nothing is ever written.

        Raises StoreError where that cannot be done, or where a newer version of this program filled the database.
        """
        try:
            if read_only:
                await mongo.expect("decisions", SCHEMA)
            else:
                await mongo.prepare("decisions", SCHEMA)
                await mongo.index("records", "identity", ("identity",), unique=True)
                await mongo.index("records", "policy", ("kind", "policy_revision", "stored_at"))
                await mongo.index("records", "sequence", ("book", "kind", "sequence"))
                await mongo.index("cursors", "book", ("book",))
        except BaseException:
            await mongo.close()
            raise
        return cls(mongo, read_only=read_only)

    async def cursor(self, book: str) -> StoreCursor:
        """How far ``book`` has been carried into this store."""
        return (await self._cursors([book]))[book]

    async def append(
        self, book: str, records: Sequence[StoredRecord], signals: Sequence[StoredSignal], outbox_sequence: int
    ) -> None:
        """Keep a batch and move the cursor, atomically. ``outbox_sequence`` is the last one read (0: unchanged).

        Raises StoreError, and keeps nothing, for a record that leaves a gap, does not follow the hash of the one
        before it, differs from the one already kept under its index, or cannot be decoded; likewise for a signal
        that differs from the one already kept for its intent. A cursor never moves back.
        """
        if self._read_only:
            raise StoreError(f"{self._mongo.address}: was opened to be read only")
        before = await self.cursor(book)
        batch = sorted_out(book, before, records, signals, outbox_sequence)
        await self._hold_against_kept(batch)
        await self._keep("records", batch.fresh)
        for kept in await self._keep("signals", batch.signals):
            await self._show(kept, batch.signals[kept["_id"]])
        await self._move(before, batch, outbox_sequence)

    async def find(self, decision_id: str) -> StoredRecord | None:
        """The record of a decision, by its id or a beginning of at least 8 characters.

        Raises StoreError where the beginning is ambiguous.
        """
        exact = await self._seen({"identity": decision_id, "kind": "decision"}, at_most=1)
        if exact or len(decision_id) < SHORTEST_PREFIX:
            return exact[0] if exact else None
        # A range, not a pattern: it uses the index and knows no wildcards. Nothing sorts after the last code point.
        begins = {"identity": {"$gte": decision_id, "$lt": decision_id + "\U0010ffff"}, "kind": "decision"}
        found = await self._seen(begins, at_most=2)
        if len(found) > 1:
            raise StoreError(f"{decision_id!r} is ambiguous: more than one decision id begins so; give more of it")
        return found[0] if found else None

    async def policy(self, revision: str) -> StoredRecord | None:
        """The latest record that put the policy with this revision in force."""
        wanted = {"kind": "policy", "policy_revision": revision}
        return next(iter(await self._seen(wanted, [("stored_at", -1), ("_id", -1)], at_most=1)), None)

    async def signal(self, book: str, sequence: int) -> StoredSignal | None:
        """The signal promoted for an intent, if one was."""
        found = await self._mongo.find("signals", {"_id": key(book, sequence), "book": book})
        if not found:
            return None
        cursor = await self.cursor(book)
        (kept,) = found
        seen = kept["seen_ledger"] <= cursor.ledger_index and kept["seen_outbox"] <= cursor.outbox_sequence
        return read_signal(kept) if seen else None

    async def expiry(self, book: str, sequence: int) -> StoredRecord | None:
        """The record that says that an approved intent expired unpromoted, if it did."""
        wanted = {"book": book, "kind": "expired", "sequence": int64(sequence)}
        return next(iter(await self._seen(wanted, [("_id", 1)], at_most=1)), None)

    async def records(self, book: str, after: int = 0) -> AsyncIterator[StoredRecord]:
        """All records of ``book`` with an index above ``after``, in order, a page at a time.

        What is appended after the first record was asked for is left out, so the walk ends beside a busy projector.
        """
        last = (await self.cursor(book)).ledger_index
        while page := await self._mongo.find("records", between(book, after, last), [("_id", 1)], limit=_PAGE):
            for document in page:
                yield read_record(document)
            after = int(page[-1]["index"])

    async def books(self) -> tuple[str, ...]:
        """Every book that has a record here, by name."""
        marks = await self._mongo.find("cursors", {"ledger_index": {"$gt": 0}}, only=("book",))
        return tuple(sorted({mark["book"] for mark in marks}))

    async def close(self) -> None:
        """Release the store. Idempotent."""
        await self._mongo.close()

    async def _cursors(self, books: Sequence[str]) -> dict[str, StoreCursor]:
        # In ascending order: whatever is missed because it is deleted meanwhile is overtaken by what comes later.
        cursors = {book: StoreCursor() for book in books}
        marks = await self._mongo.find("cursors", {"book": {"$in": list(books)}}, [("_id", 1)]) if books else []
        for mark in marks:
            cursors[mark["book"]] = _farther(cursors[mark["book"]], _read_mark(mark))
        return cursors

    async def _seen(
        self, wanted: Document, order: Sequence[tuple[str, int]] = (), *, at_most: int
    ) -> list[StoredRecord]:
        """The first records that match and are not beyond their book's cursor."""
        places = await self._mongo.find("records", wanted, order, only=("book", "index"))
        cursors = await self._cursors(sorted({place["book"] for place in places}))
        seen = [place["_id"] for place in places if place["index"] <= cursors[place["book"]].ledger_index]
        documents = [(await self._mongo.find("records", {"_id": one}))[0] for one in seen[:at_most]]
        return [read_record(document) for document in documents]

    async def _kept(self, collection: str, ids: Sequence[str]) -> dict[str, Document]:
        if not ids:
            return {}
        return {one["_id"]: one for one in await self._mongo.find(collection, {"_id": {"$in": list(ids)}})}

    async def _hold_against_kept(self, batch: Batch) -> None:
        """Refuse a batch that contradicts what is kept, before anything of it is."""
        repeats = await self._kept("records", list(batch.repeats))
        for name, given in batch.repeats.items():
            expect_same(repeats.get(name, {}), given, _naming("records", given))
        for name, kept in (await self._kept("signals", list(batch.signals))).items():
            expect_same(kept, batch.signals[name], _naming("signals", kept))
        if not batch.fresh:
            return
        wanted = {"identity": {"$in": batch.identities}}
        for kept in await self._mongo.find("records", wanted, only=("book", "index", "identity")):
            if kept["_id"] not in batch.fresh:
                raise StoreError(f"{_naming('records', kept)} has the id {kept['identity']} already")

    async def _keep(self, collection: str, documents: dict[str, Document]) -> list[Document]:
        """Insert what is not there yet, in order; return what was there: left by a killed projector, or another's."""
        left = list(documents)
        repeats: list[Document] = []
        while left:
            inserted = await self._mongo.insert_until_taken(collection, [documents[name] for name in left])
            left = left[inserted:]
            kept = await self._kept(collection, left)
            if left and left[0] not in kept:
                raise StoreError(f"{_naming(collection, documents[left[0]])} has an id that another one has")
            for name, one in kept.items():
                expect_same(one, documents[name], _naming(collection, one))
            repeats += kept.values()
            left = [name for name in left if name not in kept]
        return repeats

    async def _show(self, kept: Document, given: Document) -> None:
        """Let a signal that a killed projector left be seen as early as the batch that brings it again."""
        if kept["seen_ledger"] > given["seen_ledger"] or kept["seen_outbox"] > given["seen_outbox"]:
            earlier = {name: given[name] for name in ("seen_ledger", "seen_outbox")}
            await self._mongo.lower("signals", {"_id": kept["_id"]}, earlier)

    async def _move(self, before: StoreCursor, batch: Batch, outbox_sequence: int) -> None:
        """Put up the mark that lets the batch be seen, and take down those that it overtakes."""
        outbox = max(before.outbox_sequence, outbox_sequence)
        after = StoreCursor(batch.index, batch.head, outbox)
        if after == before:
            return
        mark = _mark(batch.book, after)
        try:
            await self._mongo.insert("cursors", mark)
        except Taken:
            return  # another projector carried the same batch
        behind = {"ledger_index": {"$lte": mark["ledger_index"]}, "outbox_sequence": {"$lte": mark["outbox_sequence"]}}
        await self._mongo.delete("cursors", {"book": batch.book, "_id": {"$ne": mark["_id"]}, **behind})


def _mark(book: str, cursor: StoreCursor) -> Document:
    return {
        "_id": f"{key(book, cursor.ledger_index)}/{int64(cursor.outbox_sequence):020d}",
        "book": book,
        "ledger_index": int64(cursor.ledger_index),
        "ledger_head": cursor.ledger_head,
        "outbox_sequence": int64(cursor.outbox_sequence),
    }


def _read_mark(mark: Document) -> StoreCursor:
    return StoreCursor(int(mark["ledger_index"]), mark["ledger_head"], int(mark["outbox_sequence"]))


def _farther(one: StoreCursor, other: StoreCursor) -> StoreCursor:
    """As far as either: ledger and outbox are carried on their own."""
    ledger = max(one, other, key=lambda cursor: cursor.ledger_index)
    return StoreCursor(ledger.ledger_index, ledger.ledger_head, max(one.outbox_sequence, other.outbox_sequence))


def _naming(collection: str, document: Document) -> str:
    if collection == "records":
        return f"record {document['index']} of book {document['book']!r}"
    return f"the signal of intent {document['sequence']} of book {document['book']!r}"
