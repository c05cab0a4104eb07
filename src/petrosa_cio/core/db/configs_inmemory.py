"""Configuration versions in memory: for tests and for runs that keep nothing. It promises all but survival."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from petrosa_cio.apps.strategist.ports import WHOLE
from petrosa_cio.core.db.configs_text import proposal_text, read_proposal, read_version, version_text
from petrosa_cio.errors import StoreError, VersionTaken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.strategist.ports import Proposal, Version

SHORTEST_PREFIX: int = 8
"""Digits of a revision below which a search does not guess."""


class InMemoryConfigs:
    """`ConfigStore` in the memory of one process. It ends with the process; `close` keeps what it holds.

    Every method first lets other tasks have their turn, as a store behind a disk or network does, so that races show
    here too; then it does its work in one go. Texts are kept rather than objects: what a caller does afterwards to the
    mappings it gave or was given changes nothing here.
    """

    def __init__(self) -> None:
        self._versions: defaultdict[str, list[str]] = defaultdict(list)
        self._proposals: defaultdict[str, dict[str, str]] = defaultdict(dict)

    async def head(self, book: str) -> Version | None:
        """The latest version; None where the book has none."""
        await asyncio.sleep(0)
        kept = self._versions[book]
        return read_version(kept[-1]) if kept else None

    async def version(self, book: str, number: int) -> Version | None:
        """The version with this number."""
        await asyncio.sleep(0)
        kept = self._versions[book]
        return read_version(kept[number - 1]) if 1 <= number <= len(kept) else None

    async def by_revision(self, book: str, revision: str) -> Version | None:
        """The latest version whose configuration has this revision, or a beginning of it; StoreError if ambiguous."""
        await asyncio.sleep(0)
        found = [one for one in map(read_version, reversed(self._versions[book])) if one.revision.startswith(revision)]
        exact = [one for one in found if one.revision == revision]
        if exact or len(revision) < SHORTEST_PREFIX:
            return exact[0] if exact else None
        if len({one.revision for one in found}) > 1:
            raise StoreError(f"{revision!r} is ambiguous: more than one revision begins so; give more of it")
        return found[0] if found else None

    async def commit(self, version: Version) -> None:
        """Keep ``version``, the successor of the head. Raises VersionTaken where another writer was first."""
        await asyncio.sleep(0)
        kept = self._versions[version.book]
        if 1 <= version.number <= len(kept):
            raise VersionTaken(f"version {version.number} of book {version.book!r} is kept already")
        if version.number != len(kept) + 1:
            raise StoreError(f"version {version.number} of book {version.book!r} does not follow {len(kept)}")
        kept.append(version_text(version))

    async def history(self, book: str, scope: str | None = None, limit: int = 20) -> Sequence[Version]:
        """Versions, newest first: all, or those that changed ``scope``."""
        await asyncio.sleep(0)
        versions = map(read_version, reversed(self._versions[book]))
        wanted = (one for one in versions if scope is None or one.scope in (scope, WHOLE))
        return list(islice(wanted, max(limit, 0)))

    async def keep_proposal(self, proposal: Proposal) -> None:
        """Keep a new proposal, or the new state of one that is ``waiting``; StoreError where it is settled already."""
        await asyncio.sleep(0)
        kept = self._proposals[proposal.book]
        before = kept.get(proposal.id)
        if before is not None and (state := read_proposal(before).state) != "waiting":
            raise StoreError(f"proposal {proposal.id} of book {proposal.book!r} is {state} already")
        kept[proposal.id] = proposal_text(proposal)

    async def proposal(self, book: str, proposal_id: str) -> Proposal | None:
        """One proposal by its id."""
        await asyncio.sleep(0)
        found = self._proposals[book].get(proposal_id)
        return None if found is None else read_proposal(found)

    async def proposals(self, book: str, state: str | None = None, limit: int = 50) -> Sequence[Proposal]:
        """Proposals, newest first: all, or those in ``state``."""
        await asyncio.sleep(0)
        kept = sorted(map(read_proposal, self._proposals[book].values()), key=lambda one: one.at, reverse=True)
        return [one for one in kept if state in (None, one.state)][: max(limit, 0)]

    async def close(self) -> None:
        """Nothing to release. Idempotent."""
