"""Configuration versions on MongoDB, written by any number of processes.

A version is one document under book and number, so its insertion is the compare-and-set: it is there whole or not at
all, and of two writers of one number the second is told. Settling a proposal is an insertion likewise. What is kept is
the JSON text, in which integers of any size, floats and names with dots or dollars stay what they are; the fields
beside it exist only to be searched.

Collections: ``versions`` (``_id`` book/number); ``proposals``, which wait, and ``settlements``, as which they ended
(``_id`` the JSON text of ``[book, id]``). A proposal that is in both was killed while it moved, and is settled.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Self

from petrosa_cio.apps.strategist.ports import WHOLE
from petrosa_cio.core.db.configs_text import proposal_text, read_proposal, read_version, version_text
from petrosa_cio.core.db.mongo.client import Mongo, between, int64, key
from petrosa_cio.core.db.mongo.edge import Taken
from petrosa_cio.core.db.mongo.shared import Shared
from petrosa_cio.errors import StoreError, VersionTaken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.strategist.ports import Proposal, Version
    from petrosa_cio.core.db.mongo.address import MongoAddress
    from petrosa_cio.core.db.mongo.client import Document

SCHEMA: int = 1
"""Version of the documents above."""
SHORTEST_PREFIX: int = 8
"""Digits of a revision below which a search does not guess."""

_LAST = 2**63 - 1
_NEWEST = [("number", -1)]
_LATEST = [("at", -1), ("_id", -1)]


class MongoConfigs:
    """`ConfigStore` in one MongoDB database. Safe to share between tasks of one event loop.

    Where a commit raises StoreError because the connection was lost, the version may have been kept all the same: the
    head says so.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._heads = Shared(self._read_head)
        self._committing: dict[str, asyncio.Future[bool]] = {}

    @classmethod
    async def open(cls, address: MongoAddress) -> Self:
        """Connect to ``address``; else as `over`."""
        return await cls.over(await Mongo.open(address))

    @classmethod
    async def over(cls, mongo: Mongo) -> Self:
        """The store on a connection, which it closes; indexes are made where they are missing.

        Raises StoreError where that cannot be done, or where a newer version of this program filled the database.
        """
        try:
            await mongo.prepare("configs", SCHEMA)
            await mongo.index("versions", "scope", ("book", "scope", "number"))
            await mongo.index("versions", "revision", ("book", "revision", "number"))
            await mongo.index("proposals", "book", ("book",))
            await mongo.index("settlements", "state", ("book", "state", "at"))
            await mongo.index("settlements", "time", ("book", "at"))
        except BaseException:
            await mongo.close()
            raise
        return cls(mongo)

    async def head(self, book: str) -> Version | None:
        """The latest version; None where the book has none."""
        text = await self._heads.ask(book)
        return None if text is None else read_version(text)

    async def version(self, book: str, number: int) -> Version | None:
        """The version with this number."""
        if number < 1:
            return None
        return next(iter(await self._versions({"_id": key(book, number), "book": book}, (), 1)), None)

    async def by_revision(self, book: str, revision: str) -> Version | None:
        """The latest version whose configuration has this revision, or a beginning of it; StoreError if ambiguous."""
        exact = await self._versions({"book": book, "revision": revision}, _NEWEST, 1)
        if exact or len(revision) < SHORTEST_PREFIX:
            return exact[0] if exact else None
        # A range, not a pattern: it uses the index and knows no wildcards. Nothing sorts after the last code point.
        begins = {"book": book, "revision": {"$gte": revision, "$lt": revision + "\U0010ffff"}}
        found = await self._mongo.find("versions", begins, only=("revision",))
        if len({one["revision"] for one in found}) > 1:
            raise StoreError(f"{revision!r} is ambiguous: more than one revision begins so; give more of it")
        return next(iter(await self._versions(begins, _NEWEST, 1)), None)

    async def commit(self, version: Version) -> None:
        """Keep ``version``, the successor of the head. Raises VersionTaken where another writer was first."""
        document = _version_document(version)
        # Of many writers of one number here, one goes to the server; once it is kept the others know without asking.
        while (ahead := self._committing.get(document["_id"])) is not None:
            if await asyncio.shield(ahead):
                raise VersionTaken(f"{_naming(version)} is kept already")
        mine = self._committing[document["_id"]] = asyncio.get_running_loop().create_future()
        kept = False
        try:
            await self._insert(version, document)
            kept = True
        except VersionTaken:
            kept = True
            raise
        finally:
            del self._committing[document["_id"]]
            mine.set_result(kept)

    async def _insert(self, version: Version, document: Document) -> None:
        if version.number < 1 or not await self._follows(version):
            raise StoreError(f"{_naming(version)} does not follow the head")
        try:
            await self._mongo.insert("versions", document)
        except Taken as error:
            raise VersionTaken(f"{_naming(version)} is kept already") from error

    async def _follows(self, version: Version) -> bool:
        """Whether the version before is kept; if so it stays, and all before it are."""
        if version.number == 1:
            return True
        before = {"_id": key(version.book, version.number - 1)}
        return bool(await self._mongo.find("versions", before, only=("number",)))

    async def history(self, book: str, scope: str | None = None, limit: int = 20) -> Sequence[Version]:
        """Versions, newest first: all, or those that changed ``scope``."""
        if scope is None:
            return await self._versions(between(book, 0, _LAST), [("_id", -1)], limit)
        return await self._versions({"book": book, "scope": {"$in": [scope, WHOLE]}}, _NEWEST, limit)

    async def keep_proposal(self, proposal: Proposal) -> None:
        """Keep a new proposal, or the new state of one that is ``waiting``; StoreError where it is settled already."""
        document = _proposal_document(proposal)
        same = {"_id": document["_id"]}
        settled = f"proposal {proposal.id} of book {proposal.book!r} is settled already"
        if proposal.state != "waiting":
            try:
                await self._mongo.insert("settlements", document)
            except Taken as error:
                raise StoreError(settled) from error
            await self._mongo.delete("proposals", same)
            return
        if await self._mongo.find("settlements", same, only=("state",)):
            raise StoreError(settled)
        await self._mongo.put("proposals", document)

    async def proposal(self, book: str, proposal_id: str) -> Proposal | None:
        """One proposal by its id."""
        wanted = {"_id": _proposal_key(book, proposal_id)}
        waiting = await self._mongo.find("proposals", wanted)
        # In this order: what moves from one to the other in between is found.
        found = await self._mongo.find("settlements", wanted) or waiting
        return read_proposal(found[0]["text"]) if found else None

    async def proposals(self, book: str, state: str | None = None, limit: int = 50) -> Sequence[Proposal]:
        """Proposals, newest first: all, or those in ``state``."""
        if limit <= 0:
            return []
        waiting = await self._waiting(book) if state in (None, "waiting") else []
        wanted = {"book": book} if state is None else {"book": book, "state": state}
        settled = await self._mongo.find("settlements", wanted, _LATEST, limit=limit)
        settled_ids = {one["_id"] for one in settled}
        found = [*settled, *(one for one in waiting if one["_id"] not in settled_ids)]
        newest = sorted(found, key=lambda one: (one["at"], one["_id"]), reverse=True)
        return [read_proposal(one["text"]) for one in newest[:limit]]

    async def close(self) -> None:
        """Release the store. Idempotent."""
        await self._mongo.close()

    async def _read_head(self, book: str) -> str | None:
        found = await self._mongo.find("versions", between(book, 0, _LAST), [("_id", -1)], limit=1, only=("text",))
        return str(found[0]["text"]) if found else None

    async def _versions(self, wanted: Document, order: Sequence[tuple[str, int]], limit: int) -> list[Version]:
        found = await self._mongo.find("versions", wanted, order, limit=limit) if limit > 0 else []
        return [read_version(one["text"]) for one in found]

    async def _waiting(self, book: str) -> list[Document]:
        """Every proposal that waits: few, because each waits for a person."""
        found = await self._mongo.find("proposals", {"book": book})
        ids = [one["_id"] for one in found]
        settled = await self._mongo.find("settlements", {"_id": {"$in": ids}}, only=("state",)) if ids else []
        return [one for one in found if one["_id"] not in {other["_id"] for other in settled}]


def _version_document(version: Version) -> Document:
    return {
        "_id": key(version.book, version.number),
        "book": version.book,
        "number": int64(version.number),
        "scope": version.scope,
        "action": version.action,
        "revision": version.revision,
        "author": version.author,
        "origin": version.origin,
        "at": int64(version.at),
        "text": version_text(version),
    }


def _proposal_document(proposal: Proposal) -> Document:
    return {
        "_id": _proposal_key(proposal.book, proposal.id),
        "book": proposal.book,
        "id": proposal.id,
        "state": proposal.state,
        "scope": proposal.scope,
        "author": proposal.author,
        "at": int64(proposal.at),
        "text": proposal_text(proposal),
    }


def _proposal_key(book: str, proposal_id: str) -> str:
    return json.dumps([book, proposal_id])


def _naming(version: Version) -> str:
    return f"version {version.number} of book {version.book!r}"
