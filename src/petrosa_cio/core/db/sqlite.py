"""The query store on SQLite: one file that the projector writes and any number of processes read.

Write-ahead logging lets readers go on while a batch is written, each on a snapshot of whole batches. A batch is one
transaction with ``synchronous=FULL``, so a cursor that was read back once is never lost to a crash or power cut.

The columns beside a record's body exist only to be searched; they are read out of the body and never out of anything
else. What is handed back is the body as it was stored, so a record that was altered in the file shows in `verify`.

SQLite blocks while the disk syncs, so every question and every batch runs in a thread and the event loop goes on. A
call that is cancelled is finished all the same: its batch is kept, and may be sent again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import contextmanager
from functools import wraps
from threading import RLock
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from petrosa_cio.apps.nurse.models import VerdictKind
from petrosa_cio.apps.nurse.ports import StoreCursor, StoredRecord, StoredSignal
from petrosa_cio.apps.nurse.record import GENESIS, decode
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Json

P = ParamSpec("P")
R = TypeVar("R")

SCHEMA: int = 1
"""Version of the tables below, kept in ``PRAGMA user_version``."""
SHORTEST_PREFIX: int = 8
"""Characters of a decision id below which a search does not guess."""

_BUSY_SECONDS = 5.0
_PAGE = 256

_TABLES = (
    """CREATE TABLE records (
        book TEXT NOT NULL, idx INTEGER NOT NULL, kind TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL,
        body BLOB NOT NULL, stored_at INTEGER NOT NULL, measured TEXT NOT NULL, decision_id TEXT, intent_id TEXT,
        strategy_id TEXT, symbol TEXT, action TEXT, verdict TEXT, sequence INTEGER, at TEXT, policy_revision TEXT,
        PRIMARY KEY (book, idx))""",
    """CREATE TABLE signals (
        book TEXT NOT NULL, sequence INTEGER NOT NULL, subject TEXT NOT NULL, body BLOB NOT NULL,
        stored_at INTEGER NOT NULL, PRIMARY KEY (book, sequence))""",
    """CREATE TABLE cursors (
        book TEXT NOT NULL PRIMARY KEY, ledger_index INTEGER NOT NULL, ledger_head TEXT NOT NULL,
        outbox_sequence INTEGER NOT NULL)""",
    # An expiry names the decision that expired, so only decisions own their id.
    "CREATE UNIQUE INDEX decision ON records (decision_id) WHERE kind = 'decision' AND decision_id IS NOT NULL",
    "CREATE INDEX decision_time ON records (stored_at) WHERE kind = 'decision'",
    "CREATE INDEX decision_strategy ON records (strategy_id, stored_at) WHERE kind = 'decision'",
    "CREATE INDEX decision_symbol ON records (symbol, stored_at) WHERE kind = 'decision'",
    # With the book in it a tally never reads a body.
    "CREATE INDEX decision_verdict ON records (verdict, stored_at, book) WHERE kind = 'decision'",
    "CREATE INDEX kind_sequence ON records (book, kind, sequence)",
    "CREATE INDEX policy ON records (policy_revision, stored_at) WHERE kind = 'policy'",
)

# The cast hands back bytes even where somebody rewrote a body as text with an SQL tool.
_RECORD = "SELECT book, idx, prev, hash, CAST(body AS BLOB), stored_at, measured FROM records "
_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TEXTS = ("decision_id", "intent_id", "strategy_id", "symbol", "action", "verdict")


def _in_thread(
    method: Callable[Concatenate[SqliteStore, P], R],
) -> Callable[Concatenate[SqliteStore, P], Coroutine[Any, Any, R]]:
    """``method``, which blocks, as one that is awaited."""

    @wraps(method)
    async def awaited(store: SqliteStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(method, store, *args, **kwargs)

    return awaited


class SqliteStore:
    """`DecisionStore` in one SQLite file. Safe to share between tasks and threads; calls then take turns.

    Raises StoreError where ``path`` cannot be opened, is no query store, or was written by a newer version. With
    ``read_only`` nothing is ever created or written: the store must exist, in a directory this process may write to
    or beside a projector that has it open (SQLite's readers share a lock file with its writer).
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._lock = RLock()
        self._connection = _connect(path, read_only=read_only)
        try:
            with self._access():
                self._prepare(read_only=read_only)
        except StoreError:
            self._connection.close()
            raise

    @_in_thread
    def cursor(self, book: str) -> StoreCursor:
        """How far ``book`` has been carried into this store."""
        return self._cursor(book)

    def _cursor(self, book: str) -> StoreCursor:
        with self._access() as connection:
            query = "SELECT ledger_index, ledger_head, outbox_sequence FROM cursors WHERE book = ?"
            row = connection.execute(query, (book,)).fetchone()
        return StoreCursor(*row) if row else StoreCursor()

    @_in_thread
    def append(
        self, book: str, records: Sequence[StoredRecord], signals: Sequence[StoredSignal], outbox_sequence: int
    ) -> None:
        """Keep a batch and move the cursor, atomically. ``outbox_sequence`` is the last one read (0: unchanged).

        Raises StoreError, and keeps nothing, for a record that leaves a gap, does not follow the hash of the one
        before it, differs from the one already kept under its index, or cannot be decoded; likewise for a signal
        that differs from the one already kept for its intent. A cursor never moves back.
        """
        with self._access() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            before = self._cursor(book)
            index, head = before.ledger_index, before.ledger_head
            for record in records:
                self._own(book, record.book)
                if record.index <= index:
                    self._expect_same(record)
                    continue
                self._expect_next(record, index, head)
                connection.execute(_INSERT, self._row(record))
                index, head = record.index, record.hash
            for signal in signals:
                self._own(book, signal.book)
                self._keep_signal(signal)
            outbox = max(before.outbox_sequence, outbox_sequence)
            connection.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", (book, index, head, outbox))

    @_in_thread
    def find(self, decision_id: str) -> StoredRecord | None:
        """The record of a decision, by its id or a beginning of at least 8 characters.

        Raises StoreError where the beginning is ambiguous.
        """
        decisions = "WHERE kind = 'decision' AND "
        exact = self._select(decisions + "decision_id = ?", decision_id)
        if exact or len(decision_id) < SHORTEST_PREFIX:
            return exact[0] if exact else None
        # A range, not LIKE: it uses the index and knows no wildcards. Nothing sorts after the last code point.
        beginning = decisions + "decision_id >= ? AND decision_id < ? LIMIT 2"
        found = self._select(beginning, decision_id, decision_id + "\U0010ffff")
        if len(found) > 1:
            raise StoreError(f"{decision_id!r} is ambiguous: more than one decision id begins so; give more of it")
        return found[0] if found else None

    @_in_thread
    def policy(self, revision: str) -> StoredRecord | None:
        """The latest record that put the policy with this revision in force."""
        wanted = "WHERE kind = 'policy' AND policy_revision = ? ORDER BY stored_at DESC, rowid DESC LIMIT 1"
        return next(iter(self._select(wanted, revision)), None)

    @_in_thread
    def signal(self, book: str, sequence: int) -> StoredSignal | None:
        """The signal promoted for an intent, if one was."""
        return self._signal(book, sequence)

    def _signal(self, book: str, sequence: int) -> StoredSignal | None:
        with self._access() as connection:
            query = "SELECT book, sequence, subject, CAST(body AS BLOB), stored_at FROM signals"
            row = connection.execute(query + " WHERE book = ? AND sequence = ?", (book, sequence)).fetchone()
        return StoredSignal(*row) if row else None

    @_in_thread
    def expiry(self, book: str, sequence: int) -> StoredRecord | None:
        """The record that says that an approved intent expired unpromoted, if it did."""
        wanted = "WHERE book = ? AND kind = 'expired' AND sequence = ? ORDER BY idx LIMIT 1"
        return next(iter(self._select(wanted, book, sequence)), None)

    async def records(self, book: str, after: int = 0) -> AsyncIterator[StoredRecord]:
        """All records of ``book`` with an index above ``after``, in order, a page at a time.

        What is appended after the first record was asked for is left out, so the walk ends beside a busy projector.
        """
        # Pages rather than one open cursor: a long walk must not keep the projector's log from being folded back.
        last = await asyncio.to_thread(self._last, book)
        page_of = "WHERE book = ? AND idx > ? AND idx <= ? ORDER BY idx LIMIT ?"
        while page := await asyncio.to_thread(self._select, page_of, book, after, last, _PAGE):
            for record in page:
                yield record
            after = page[-1].index

    def _last(self, book: str) -> int | None:
        with self._access() as connection:
            (last,) = connection.execute("SELECT max(idx) FROM records WHERE book = ?", (book,)).fetchone()
        return None if last is None else int(last)

    @_in_thread
    def books(self) -> tuple[str, ...]:
        """Every book that has a record here, by name."""
        with self._access() as connection:
            rows = connection.execute(
                "SELECT book FROM cursors WHERE ledger_index > 0 UNION SELECT DISTINCT book FROM records ORDER BY book"
            ).fetchall()
        return tuple(book for (book,) in rows)

    @_in_thread
    def latest(
        self,
        limit: int,
        *,
        book: str | None = None,
        strategy_id: str | None = None,
        verdict: str | None = None,
        symbol: str | None = None,
    ) -> list[StoredRecord]:
        """The newest decisions, newest first, at most ``limit``; each filter that is given must match exactly."""
        # The plus keeps the planner from an index by book, which would read and sort every decision of it.
        filters = {"+book": book, "strategy_id": strategy_id, "verdict": verdict, "symbol": symbol}
        wanted = {column: value for column, value in filters.items() if value is not None}
        where = "".join(f" AND {column} = ?" for column in wanted)
        order = " ORDER BY stored_at DESC, rowid DESC LIMIT ?"
        return self._select("WHERE kind = 'decision'" + where + order, *wanted.values(), max(limit, 0))

    @_in_thread
    def tally(self, book: str) -> dict[str, int]:
        """How many intents of ``book`` came to what, as of one moment.

        A count for every verdict, ``expired`` (also counted as approved or reduced), ``gap`` (intents lost, not
        records), ``policy`` (records) and ``signals``; 0 where there is none.
        """
        decided = "SELECT verdict, count(*) FROM records WHERE kind = 'decision' AND +book = ? AND verdict IS NOT NULL"
        others = "SELECT kind, count(*) FROM records WHERE book = ? AND kind IN ('expired', 'policy') GROUP BY kind"
        with self._access() as connection, connection:
            connection.execute("BEGIN")
            counts: dict[str, int] = dict.fromkeys([*map(str, VerdictKind), "expired", "gap", "policy"], 0)
            counts.update(connection.execute(decided + " GROUP BY verdict", (book,)).fetchall())
            counts.update(connection.execute(others, (book,)).fetchall())
            gaps = [self._content(gap).get("count") for gap in self._select("WHERE book = ? AND kind = 'gap'", book)]
            counts["gap"] = sum(lost for lost in gaps if isinstance(lost, int))
            (signals,) = connection.execute("SELECT count(*) FROM signals WHERE book = ?", (book,)).fetchone()
        return counts | {"signals": signals}

    @_in_thread
    def close(self) -> None:
        """Release the store. Idempotent."""
        with self._access() as connection:
            connection.close()

    @contextmanager
    def _access(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._connection
        # The last two are integers beyond 64 bits and text that UTF-8 cannot carry: neither can be in the store.
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _prepare(self, *, read_only: bool) -> None:
        if not read_only:
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._create()
        version = self._version()
        if version > SCHEMA:
            raise StoreError(f"{self._path}: schema version {version} is newer than {SCHEMA}, the newest known here")
        if version < SCHEMA:
            raise StoreError(f"{self._path}: not a query store (schema version {version}, not {SCHEMA})")
        if not read_only:
            # Last, because it is written into the file: a file that was refused is left as it was.
            self._connection.execute("PRAGMA journal_mode = WAL")

    def _create(self) -> None:
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables or self._version():
            return
        for statement in _TABLES:
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _select(self, where: str, *values: str | int | None) -> list[StoredRecord]:
        with self._access() as connection:
            return [StoredRecord(*row) for row in connection.execute(_RECORD + where, values)]

    def _own(self, book: str, other: str) -> None:
        if other != book:
            raise StoreError(f"{self._path}: a batch of book {book!r} cannot hold what belongs to book {other!r}")

    def _expect_next(self, record: StoredRecord, index: int, head: str) -> None:
        where = f"{self._path}: record {record.index} of book {record.book!r}"
        if record.index != index + 1:
            raise StoreError(f"{where} leaves a gap: the last one kept is {index}")
        if record.prev != (head or GENESIS):
            raise StoreError(f"{where} does not follow record {index}, whose hash it does not name")

    def _expect_same(self, record: StoredRecord) -> None:
        kept = self._select("WHERE book = ? AND idx = ?", record.book, record.index)
        if [(one.prev, one.hash, one.body) for one in kept] != [(record.prev, record.hash, record.body)]:
            raise StoreError(f"{self._path}: record {record.index} of book {record.book!r} differs from the one kept")

    def _row(self, record: StoredRecord) -> tuple[str | int | bytes | None, ...]:
        content = self._content(record)
        kind, sequence = content.get("kind"), content.get("sequence")
        if not isinstance(kind, str):
            raise StoreError(f"{self._path}: record {record.index} of book {record.book!r} has no kind")
        return (
            *(record.book, record.index, kind, record.prev, record.hash, record.body),
            *(record.stored_at, record.measured),
            *(_text(content, name) for name in _TEXTS),
            sequence if isinstance(sequence, int) else None,
            *(_text(content, name) for name in ("at", "policy_revision")),
        )

    def _content(self, record: StoredRecord) -> dict[str, Json]:
        try:
            return decode(record.body)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self._path}: record {record.index} of book {record.book!r}: {error}") from error

    def _keep_signal(self, signal: StoredSignal) -> None:
        kept = self._signal(signal.book, signal.sequence)
        if kept is None:
            values = (signal.book, signal.sequence, signal.subject, signal.body, signal.stored_at)
            self._connection.execute("INSERT INTO signals VALUES (?, ?, ?, ?, ?)", values)
        elif (kept.subject, kept.body) != (signal.subject, signal.body):
            where = f"{self._path}: the signal of intent {signal.sequence} of book {signal.book!r}"
            raise StoreError(f"{where} differs from the one kept")


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    try:
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        address = path.absolute().as_uri() + ("?mode=ro" if read_only else "?mode=rwc")
        return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError, ValueError) as error:
        raise StoreError(f"{path}: {error}") from error


def _text(content: dict[str, Json], name: str) -> str | None:
    found = content.get(name)
    return found if isinstance(found, str) else None
