"""Configuration versions in one SQLite file, written by any number of processes.

A version is one row under the primary key (book, number), inserted in a transaction of its own with write-ahead logging
and ``synchronous=FULL``: it is there whole or not at all, and what was committed survives a kill and a power cut. Two
writers of one number meet at the key, and the second is told. The columns beside a text exist only to be searched.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from petrosa_cio.apps.strategist.ports import WHOLE
from petrosa_cio.core.db.configs_text import proposal_text, read_proposal, read_version, version_text
from petrosa_cio.errors import StoreError, VersionTaken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from petrosa_cio.apps.strategist.ports import Proposal, Version

SCHEMA: int = 1
"""Version of the tables below, kept in ``PRAGMA user_version``."""
APPLICATION: int = 0x43494F43
"""``PRAGMA application_id`` of these files ("CIOC"), so that no other SQLite file is taken for one."""
SHORTEST_PREFIX: int = 8
"""Digits of a revision below which a search does not guess."""

_BUSY_SECONDS = 15.0  # SQLite's writers do not queue: under many of them an unlucky one waits for several turns
_PAUSE_SECONDS = 0.01

_TABLES = (
    """CREATE TABLE versions (
        book TEXT NOT NULL, number INTEGER NOT NULL, scope TEXT NOT NULL, revision TEXT NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (book, number)) WITHOUT ROWID""",
    """CREATE TABLE proposals (
        book TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (book, id))""",
    "CREATE INDEX version_scope ON versions (book, scope, number)",
    "CREATE INDEX version_revision ON versions (book, revision, number)",
    "CREATE INDEX proposal_time ON proposals (book, at)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {SCHEMA}",
)


class SqliteConfigs:
    """`ConfigStore` in one SQLite file, made where it does not exist. Safe to share between tasks and threads.

    The file is opened at the first call. Every call runs in a worker thread, where it may wait for the disk or for
    another process without holding up the event loop; calls on one store take turns. StoreError is raised where
    ``path`` cannot be opened, is another kind of file, or was written by a newer version, and after `close`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def head(self, book: str) -> Version | None:
        """The latest version; None where the book has none."""
        wanted = "WHERE book = ? ORDER BY number DESC LIMIT 1"
        return next(iter(await self._versions(wanted, book)), None)

    async def version(self, book: str, number: int) -> Version | None:
        """The version with this number."""
        return next(iter(await self._versions("WHERE book = ? AND number = ?", book, number)), None)

    async def by_revision(self, book: str, revision: str) -> Version | None:
        """The latest version whose configuration has this revision, or a beginning of it; StoreError if ambiguous."""
        latest = " ORDER BY number DESC LIMIT 1"
        exact = await self._versions("WHERE book = ? AND revision = ?" + latest, book, revision)
        if exact or len(revision) < SHORTEST_PREFIX:
            return exact[0] if exact else None
        # A range, not LIKE: it uses the index and knows no wildcards. Nothing sorts after the last code point.
        begins = "WHERE book = ? AND revision >= ? AND revision < ?"
        values = (book, revision, revision + "\U0010ffff")
        rows = await self._run(lambda one: one.execute(f"SELECT DISTINCT revision FROM versions {begins}", values))  # noqa: S608
        if len(rows) > 1:
            raise StoreError(f"{revision!r} is ambiguous: more than one revision begins so; give more of it")
        return next(iter(await self._versions(begins + latest, *values)), None)

    async def commit(self, version: Version) -> None:
        """Keep ``version``, the successor of the head. Raises VersionTaken where another writer was first."""
        text = version_text(version)
        await self._run(lambda connection: _insert(connection, version, text))

    async def history(self, book: str, scope: str | None = None, limit: int = 20) -> Sequence[Version]:
        """Versions, newest first: all, or those that changed ``scope``."""
        latest = " ORDER BY number DESC LIMIT ?"
        if scope is None:
            return await self._versions("WHERE book = ?" + latest, book, max(limit, 0))
        return await self._versions("WHERE book = ? AND scope IN (?, ?)" + latest, book, scope, WHOLE, max(limit, 0))

    async def keep_proposal(self, proposal: Proposal) -> None:
        """Keep a new proposal, or the new state of one that is ``waiting``; StoreError where it is settled already."""
        text = proposal_text(proposal)
        await self._run(lambda connection: _keep_proposal(connection, proposal, text))

    async def proposal(self, book: str, proposal_id: str) -> Proposal | None:
        """One proposal by its id."""
        return next(iter(await self._proposals("WHERE book = ? AND id = ?", book, proposal_id)), None)

    async def proposals(self, book: str, state: str | None = None, limit: int = 50) -> Sequence[Proposal]:
        """Proposals, newest first: all, or those in ``state``."""
        latest = " ORDER BY at DESC, rowid DESC LIMIT ?"
        if state is None:
            return await self._proposals("WHERE book = ?" + latest, book, max(limit, 0))
        return await self._proposals("WHERE book = ? AND state = ?" + latest, book, state, max(limit, 0))

    async def close(self) -> None:
        """Release the store. Idempotent."""
        await asyncio.to_thread(self._close)

    async def _versions(self, where: str, *values: str | int) -> list[Version]:
        rows = await self._run(lambda one: one.execute(f"SELECT text FROM versions {where}", values))  # noqa: S608
        return [read_version(text) for (text,) in rows]

    async def _proposals(self, where: str, *values: str | int) -> list[Proposal]:
        rows = await self._run(lambda one: one.execute(f"SELECT text FROM proposals {where}", values))  # noqa: S608
        return [read_proposal(text) for (text,) in rows]

    async def _run(self, step: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> list[tuple[str, ...]]:
        return await asyncio.to_thread(self._step, step)

    def _step(self, step: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> list[tuple[str, ...]]:
        with self._lock, _foreign_errors(self._path):
            if self._closed:
                raise StoreError(f"{self._path}: is closed")
            if self._connection is None:
                self._connection = _open(self._path)
            return step(self._connection).fetchall()

    def _close(self) -> None:
        with self._lock, _foreign_errors(self._path):
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _insert(connection: sqlite3.Connection, version: Version, text: str) -> sqlite3.Cursor:
    where = f"version {version.number} of book {version.book!r}"
    with _transaction(connection):
        (head,) = connection.execute(
            "SELECT coalesce(max(number), 0) FROM versions WHERE book = ?", (version.book,)
        ).fetchone()
        if 1 <= version.number <= head:
            raise VersionTaken(f"{where} is kept already")
        if version.number != head + 1:
            raise StoreError(f"{where} does not follow {head}")
        row = (version.book, version.number, version.scope, version.revision, text)
        return connection.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", row)


def _keep_proposal(connection: sqlite3.Connection, proposal: Proposal, text: str) -> sqlite3.Cursor:
    with _transaction(connection):
        key = (proposal.book, proposal.id)
        kept = connection.execute("SELECT state FROM proposals WHERE book = ? AND id = ?", key).fetchone()
        if kept is not None and kept[0] != "waiting":
            raise StoreError(f"proposal {proposal.id} of book {proposal.book!r} is {kept[0]} already")
        return connection.execute(
            "INSERT INTO proposals VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (book, id) DO UPDATE SET state = excluded.state, at = excluded.at, text = excluded.text",
            (*key, proposal.state, proposal.at, text),
        )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE takes the write lock before anything is read, so what was read still holds when it is written.
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def _foreign_errors(path: Path) -> Iterator[None]:
    try:
        yield
    # The last two are integers beyond 64 bits and text that UTF-8 cannot carry: neither can be in the store.
    except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
        raise StoreError(f"{path}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        with _transaction(connection):
            _prepare(connection, path)
        _log_ahead(connection)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if not tables and not version and not application:
        for statement in _TABLES:
            connection.execute(statement)
        return
    if application != APPLICATION:
        raise StoreError(f"{path}: not a store of configurations")
    if version != SCHEMA:
        raise StoreError(f"{path}: schema version {version} is not {SCHEMA}, the one known here")


def _log_ahead(connection: sqlite3.Connection) -> None:
    # The mode stays in the file. Setting it needs the file for oneself, and SQLite does not wait for that as it waits
    # for other locks: where several processes open a new store at once, all but one are refused at first.
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
