"""The door to MongoDB: one client, and what it promises of every write and read.

A write is acknowledged by a majority and from the journal, and is tried again once by the driver where the deployment
can tell a repeat. Reads see what a majority holds, from the primary; on a single server, which has no majority, what it
acknowledged. Every wait is bounded. None of this can be weakened by options in the connection string.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

from bson import Int64
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern

from petrosa_cio.core.db.mongo.edge import UNUSABLE, Edge, Taken
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.asynchronous.database import AsyncDatabase
    from pymongo.monitoring import CommandListener

    from petrosa_cio.core.db.mongo.address import MongoAddress

Document = dict[str, Any]

PATIENCE_SECONDS = 5.0
"""How long a server that can be written to is looked for, and how long a connection may take."""
SOCKET_SECONDS = 20.0
"""How long one answer may take."""
ACKNOWLEDGE_SECONDS = 10.0
"""How long a majority may take to acknowledge a write. What became of one that took longer is unknown: an error."""

_DUPLICATE = 11000
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class Mongo:
    """One client on one database. Every method raises StoreError, or what it names besides; nothing else."""

    def __init__(self, client: AsyncMongoClient[Document], database: AsyncDatabase[Document], edge: Edge) -> None:
        self.address = edge.address
        self._client = client
        self._database = database
        self._edge = edge

    @classmethod
    async def open(
        cls, address: MongoAddress, *, patience: float = PATIENCE_SECONDS, listeners: Sequence[CommandListener] = ()
    ) -> Self:
        """Connect. Raises StoreError where the address cannot be used or no server answers within ``patience`` seconds.

        ``listeners`` hear every command (pymongo's ``monitoring``).
        """
        edge = Edge(address)
        with edge.guard(*UNUSABLE):
            client = _client(address.uri, patience, listeners)
        try:
            with edge.guard():
                hello = await client.admin.command("hello")
                concern = ReadConcern("majority" if _has_majority(hello) else None)
                return cls(client, client.get_database(address.database, read_concern=concern), edge)
        except BaseException:
            await client.close()
            raise

    def __repr__(self) -> str:
        return f"Mongo({self.address})"

    async def prepare(self, part: str, version: int) -> None:
        """Mark the database as holding ``part`` in this version. StoreError where a newer version holds it already."""
        try:
            await self.insert("schemas", {"_id": part, "version": version})
        except Taken:
            await self.expect(part, version)

    async def expect(self, part: str, version: int) -> None:
        """StoreError where the database holds ``part`` in a newer version; nothing is written."""
        for kept in await self.find("schemas", {"_id": part}):
            if kept["version"] > version:
                newer = f"{part} in version {kept['version']}, newer than {version}, the newest known here"
                raise StoreError(f"{self.address}: holds {newer}")

    async def index(self, collection: str, name: str, fields: Sequence[str], *, unique: bool = False) -> None:
        """Make an ascending index on ``fields``; nothing happens where it is there already."""
        with self._edge.guard():
            await self._database[collection].create_index([(field, 1) for field in fields], name=name, unique=unique)

    async def find(
        self,
        collection: str,
        wanted: Mapping[str, Any],
        order: Sequence[tuple[str, int]] = (),
        *,
        limit: int = 0,
        only: Sequence[str] = (),
    ) -> list[Document]:
        """Documents that match, in ``order``: at most ``limit`` (0: all), with ``only`` these fields and ``_id``."""
        with self._edge.guard():
            found = self._database[collection].find(wanted, list(only) or None, limit=limit)
            return await (found.sort(list(order)) if order else found).to_list()

    async def insert(self, collection: str, document: Document) -> None:
        """Insert one document, whole or not at all. Raises Taken where its ``_id`` or a unique key is taken."""
        with self._edge.guard():
            await self._database[collection].insert_one(document)

    async def insert_until_taken(self, collection: str, documents: Sequence[Document]) -> int:
        """Insert documents in order, up to the first whose key is taken; return how many were inserted."""
        with self._edge.guard():
            try:
                await self._database[collection].insert_many(documents, ordered=True)
            except BulkWriteError as error:
                faults = error.details.get("writeErrors") or [{}]
                if faults[0].get("code") != _DUPLICATE or error.details.get("writeConcernErrors"):
                    raise
                return int(faults[0]["index"])
        return len(documents)

    async def lower(self, collection: str, wanted: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        """Lower numbers in the one document that matches; a number that is lower already stays."""
        with self._edge.guard():
            await self._database[collection].update_one(wanted, {"$min": fields})

    async def put(self, collection: str, document: Document) -> None:
        """Put a document in the place of the one with its ``_id``, if there is one."""
        with self._edge.guard():
            await self._database[collection].replace_one({"_id": document["_id"]}, document, upsert=True)

    async def delete(self, collection: str, wanted: Mapping[str, Any]) -> None:
        """Delete every document that matches."""
        with self._edge.guard():
            await self._database[collection].delete_many(wanted)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        with self._edge.guard():
            await self._client.close()


def int64(number: int) -> Int64:
    """``number`` as a 64-bit integer; the driver would choose by size. Raises StoreError where it has more bits."""
    if not _SMALLEST <= number <= _LARGEST:
        raise StoreError(f"{number} has more than 64 bits: no store holds it")
    return Int64(number)


def key(book: str, number: int) -> str:
    """The ``_id`` of the document with this number in a book; a book's documents are in order by it."""
    return f"{book}/{int64(max(number, 0)):020d}"


def between(book: str, after: int, last: int) -> Document:
    """What matches the documents of ``book`` with numbers above ``after``, up to ``last``."""
    return {"_id": {"$gt": key(book, after), "$lte": key(book, last)}, "book": book}


def _has_majority(hello: Mapping[str, Any]) -> bool:
    """Whether a server that answers so is part of a replica set, or a router to some."""
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def _client(uri: str, patience: float, listeners: Sequence[CommandListener]) -> AsyncMongoClient[Document]:
    milliseconds = int(patience * 1000)
    with warnings.catch_warnings():
        # The driver only warns of an option that it does not know: a misspelt `tls` would be no TLS.
        warnings.simplefilter("error", UserWarning)
        return AsyncMongoClient(
            uri,
            appname="petrosa-cio",
            w="majority",
            journal=True,
            wTimeoutMS=int(ACKNOWLEDGE_SECONDS * 1000),
            retryWrites=True,
            retryReads=True,
            readPreference="primary",
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            waitQueueTimeoutMS=milliseconds,
            socketTimeoutMS=int(SOCKET_SECONDS * 1000),
            event_listeners=list(listeners),
        )
