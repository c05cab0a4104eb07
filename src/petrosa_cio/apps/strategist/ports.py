"""What governance asks of the world. Each docstring is an implementation's promise; a contract suite holds it to it.

The configuration of a book is a log of versions. A version is one whole thing: what changed, by whom and why, and the
complete configuration after it. Keeping it is one atomic insertion under its number, so a lost race is a number that is
taken already, and a process that is killed leaves either the old version or the new one, never half of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petrosa_cio.apps.nurse.models import Instant, Json

WHOLE = "*"
"""Stands for the scope of a version that changed the configuration as a whole: a rollback or an import."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a book's configuration.

    ``scopes`` is the whole configuration after the change: by scope name (``global``, ``symbol:S``, ``strategy:ID``,
    ``symbol:S:SIDE``) the values that the scope sets, modes of controls among them as ``mode.CODE``. ``revision`` is
    the hash of the policy that it makes: the one that every decision carries. ``before`` and ``after`` are the values
    of the changed scope (None where it did not exist), or of all scopes by name where ``scope`` is `WHOLE`.
    """

    book: str
    number: int
    """1, 2, 3, ... in a book, without gap."""
    scope: str
    action: str
    """``create``, ``update`` or ``delete`` of a scope, ``rollback`` of one or of the whole, ``import`` of the whole."""
    before: Mapping[str, Json] | None
    after: Mapping[str, Json] | None
    scopes: Mapping[str, Mapping[str, Json]]
    scope_versions: Mapping[str, int]
    """How often each scope was changed so far, deleted scopes included: the version that a patch of it expects."""
    revision: str
    author: str
    thought_trace: str
    reason: str
    origin: str
    """Through which door it came: ``cli``, ``mcp``, ``api``, ``legacy`` or ``file``."""
    at: Instant
    approved_by: str | None = None
    rolled_back_to: int | None = None
    """The version whose configuration a rollback brought back."""
    simulation: Mapping[str, Json] | None = None
    """What a simulation said of the change before it was made, where one was run."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A patch that loosens and waits for a second person. ``id`` names it; ``state`` says what became of it.

    Of an import ``scope`` is `WHOLE`: ``changes`` are whole scopes by name, ``remove`` names the scopes that go, and
    ``expected_version`` is the number of the head.
    """

    book: str
    id: str
    scope: str
    changes: Mapping[str, Json]
    remove: tuple[str, ...]
    author: str
    thought_trace: str
    reason: str
    origin: str
    expected_version: int
    loosens: tuple[str, ...]
    """One sentence for each limit that it loosens, with both values."""
    at: Instant
    state: str = "waiting"
    """``waiting``, ``approved``, ``rejected`` or ``superseded`` (its expected version was overtaken)."""
    settled_by: str | None = None
    settled_at: Instant | None = None
    settled_reason: str = ""
    version: int | None = None
    """The number of the version that it became, where it was approved."""
    simulation: Mapping[str, Json] | None = field(default=None)


class ConfigStore(Protocol):
    """The log of configuration versions of each book, and the proposals that wait.

    * `commit` keeps a version whole or not at all. It raises VersionTaken where that number is kept already, and
      StoreError where the number is not the head's plus one, or the store cannot be written. What it has returned from
      survives a kill.
    * Readers see whole versions only. Numbers, JSON values and instants come back equal to what was given: integers as
      integers, floats as floats, null as null, order of keys aside.
    * Every method raises StoreError when the store cannot be reached or read; nothing else but what is named.
    """

    async def head(self, book: str) -> Version | None:
        """The latest version; None where the book has none."""

    async def version(self, book: str, number: int) -> Version | None:
        """The version with this number."""

    async def by_revision(self, book: str, revision: str) -> Version | None:
        """The latest version whose configuration has this revision, or an unambiguous beginning of 8 or more digits.

        Raises StoreError where the beginning is ambiguous: where it begins more than one revision.
        """

    async def commit(self, version: Version) -> None:
        """Keep ``version``, the successor of the head. Raises VersionTaken where another writer was first."""

    async def history(self, book: str, scope: str | None = None, limit: int = 20) -> Sequence[Version]:
        """Versions, newest first: all, or those that changed ``scope`` (`WHOLE` versions change every scope)."""

    async def keep_proposal(self, proposal: Proposal) -> None:
        """Keep a new proposal, or the new state of one that is ``waiting``; StoreError where it is settled already."""

    async def proposal(self, book: str, proposal_id: str) -> Proposal | None:
        """One proposal by its id."""

    async def proposals(self, book: str, state: str | None = None, limit: int = 50) -> Sequence[Proposal]:
        """Proposals, newest first: all, or those in ``state``."""

    async def close(self) -> None:
        """Release the store. Idempotent."""
