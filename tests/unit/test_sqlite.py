"""What only the SQLite store promises: its file, its crashes, its searches."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from builders_records import START, decision_id, listed, make_chain, make_decisions, make_record, make_signal, walked
from petrosa_cio.apps.nurse.ports import DecisionStore, StoreCursor
from petrosa_cio.apps.nurse.record import GENESIS
from petrosa_cio.core.db.sqlite import SCHEMA, SqliteStore
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# The batch kills its own process half-way, once it has seen that the transaction is open: nobody else may begin one.
KILLED_INSIDE = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from builders_records import make_decisions
from petrosa_cio.core.db.sqlite import SqliteStore

path, keep, die = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

class Fatal(list):
    def __iter__(self):
        for place, record in enumerate(super().__iter__()):
            if place == die:
                try:
                    sqlite3.connect(path, timeout=0).execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    os.kill(os.getpid(), signal.SIGKILL)
                sys.exit(3)
            yield record

async def project():
    records = make_decisions(keep + 2000)
    store = SqliteStore(path)
    await store.append("main", records[:keep], [], 1)
    store._connection.execute("PRAGMA cache_size = 10")
    await store.append("main", Fatal(records[keep:]), [], 2)

asyncio.run(project())
"""

KILLED_ANYWHERE = """
import asyncio, sys
from pathlib import Path
from builders_records import make_decisions
from petrosa_cio.core.db.sqlite import SqliteStore

async def project():
    records = make_decisions(20_000)
    store = SqliteStore(Path(sys.argv[1]))
    for start in range(0, len(records), 10):
        await store.append("main", records[start : start + 10], [], start + 10)
        print(start + 10, flush=True)

asyncio.run(project())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    await store.close()


def child(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)


class TestCrash:
    @pytest.mark.parametrize("die", [0, 1, 1999])
    async def test_killed_in_mid_append_keeps_whole_batches(self, path: Path, die: int) -> None:
        """A process killed inside a transaction leaves the batches before it, and a store that goes on from there."""
        with child(KILLED_INSIDE, path, 5, die) as killed:
            assert killed.wait(60) == -signal.SIGKILL
        records = make_decisions(6)
        reader = SqliteStore(path, read_only=True)
        assert await reader.cursor("main") == StoreCursor(5, records[4].hash, 1)
        assert await listed(reader.records("main")) == records[:5]
        await reader.close()
        store = SqliteStore(path)
        await store.append("main", records, [], 2)
        assert await listed(store.records("main")) == records
        await store.close()

    @pytest.mark.parametrize("after", [1, 7, 40])
    async def test_killed_anywhere_loses_nothing_acknowledged(self, path: Path, after: int) -> None:
        """Whenever a projector is killed, every batch it was told was kept is there, and no part of a batch is."""
        with child(KILLED_ANYWHERE, path) as killed:
            assert killed.stdout is not None
            acknowledged = [int(killed.stdout.readline()) for _ in range(after)][-1]
            killed.kill()
        store = SqliteStore(path)
        cursor, report = await store.cursor("main"), await walked(store)
        assert cursor.ledger_index >= acknowledged
        assert cursor.ledger_index % 10 == 0
        assert cursor == StoreCursor(report.records, report.head, report.records)
        assert report.breaks == ()
        await store.close()


class TestFile:
    async def test_is_a_decision_store(self, store: SqliteStore) -> None:
        """The store can stand wherever the port is asked for."""
        port: DecisionStore = store
        assert await port.books() == ()

    async def test_parent_directories_are_made(self, tmp_path: Path) -> None:
        """The first start needs no directory prepared; odd characters in a path are part of its name."""
        path = tmp_path / "var" / "a b?mode=memory#%41" / "store.db"
        await SqliteStore(path).close()
        assert path.is_file()

    def test_settings_for_durability(self, store: SqliteStore) -> None:
        """The log is written ahead, every commit is synced, and a lock is waited for."""
        pragmas = ("journal_mode", "synchronous", "busy_timeout", "user_version")
        found = [store._connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]
        assert found == ["wal", 2, 5000, SCHEMA]

    @pytest.mark.parametrize("read_only", [False, True])
    @pytest.mark.parametrize("content", [b"hi", b"not a database " * 1000])
    def test_a_file_that_is_no_database_is_refused(self, path: Path, content: bytes, read_only: bool) -> None:
        """A file that is something else is refused by name and left as it was."""
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"store\.db"):
            SqliteStore(path, read_only=read_only)
        assert path.read_bytes() == content

    async def test_a_damaged_store_is_store_error(self, path: Path) -> None:
        """A store whose pages were overwritten raises StoreError when it is read."""
        store = SqliteStore(path)
        await store.append("main", make_decisions(200), [], 0)
        await store.close()
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
        damaged = SqliteStore(path, read_only=True)
        with pytest.raises(StoreError):
            await listed(damaged.records("main"))
        await damaged.close()

    @pytest.mark.parametrize("read_only", [False, True])
    async def test_a_newer_schema_is_refused_naming_both_versions(self, path: Path, read_only: bool) -> None:
        """A store written by a newer version is refused, with its version and ours, and is left as it was."""
        await SqliteStore(path).close()
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA user_version = {SCHEMA + 41}")
        connection.close()
        content = path.read_bytes()
        with pytest.raises(StoreError, match=rf"\b{SCHEMA + 41}\b.*\b{SCHEMA}\b"):
            SqliteStore(path, read_only=read_only)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("read_only", [False, True])
    def test_somebody_elses_database_is_refused(self, path: Path, read_only: bool) -> None:
        """A database that is not a query store is refused and gains no table."""
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        connection.close()
        content = path.read_bytes()
        with pytest.raises(StoreError, match="not a query store"):
            SqliteStore(path, read_only=read_only)
        assert path.read_bytes() == content

    def test_a_path_that_cannot_be_made_is_refused(self, tmp_path: Path) -> None:
        """A directory in place of the file, or a file in place of its directory, is StoreError."""
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StoreError, match="file"):
            SqliteStore(tmp_path / "file" / "store.db")
        with pytest.raises(StoreError):
            SqliteStore(tmp_path)

    async def test_a_second_writer_waits_for_its_turn(self, path: Path, store: SqliteStore) -> None:
        """Two writers never tear a batch: the one that comes late finds the records kept."""
        other = SqliteStore(path)
        records = make_decisions(30)

        async def project(writer: SqliteStore) -> None:
            for start in range(0, 30, 5):
                await writer.append("main", records[: start + 5], [], 0)

        await asyncio.gather(project(store), project(other))
        assert await listed(store.records("main")) == records
        await other.close()

    async def test_one_store_is_shared_by_tasks(self, store: SqliteStore) -> None:
        """Tasks that append to books of their own through one store, each in a thread, keep every record."""
        books = [f"book-{number}" for number in range(6)]

        async def project(book: str) -> None:
            for record in make_decisions(15, book=book):
                await store.append(book, [record], [], 0)

        await asyncio.gather(*map(project, books))
        assert [len(await listed(store.records(book))) for book in books] == [15] * 6


class TestReadOnly:
    def test_a_missing_store_is_refused_and_not_created(self, tmp_path: Path) -> None:
        """Opening a store that is not there for reading creates neither file nor directory."""
        with pytest.raises(StoreError):
            SqliteStore(tmp_path / "store.db", read_only=True)
        with pytest.raises(StoreError):
            SqliteStore(tmp_path / "deep" / "store.db", read_only=True)
        assert list(tmp_path.iterdir()) == []

    async def test_writing_is_refused(self, path: Path, store: SqliteStore) -> None:
        """A store opened for reading refuses to append and goes on reading."""
        await store.append("main", make_decisions(1), [], 0)
        reader = SqliteStore(path, read_only=True)
        with pytest.raises(StoreError, match="readonly"):
            await reader.append("main", make_decisions(2), [], 0)
        assert await listed(reader.records("main")) == make_decisions(1)
        await reader.close()

    async def test_reads_a_store_that_was_closed(self, path: Path) -> None:
        """A store is read without its projector running."""
        store = SqliteStore(path)
        await store.append("main", make_decisions(2), [], 0)
        await store.close()
        reader = SqliteStore(path, read_only=True)
        assert await listed(reader.records("main")) == make_decisions(2)
        await reader.close()

    async def test_another_process_reads_while_a_batch_is_written(self, path: Path, store: SqliteStore) -> None:
        """A reader in another process is neither held up by an open transaction nor sees into it."""
        await store.append("main", make_decisions(4), [], 0)
        store._connection.execute("BEGIN IMMEDIATE")
        store._connection.execute("DELETE FROM records")
        code = (
            "import asyncio, sys; from pathlib import Path; from builders_records import listed;"
            "from petrosa_cio.core.db.sqlite import SqliteStore;"
            "store = SqliteStore(Path(sys.argv[1]), read_only=True);"
            "print(len(asyncio.run(listed(store.records('main')))))"
        )
        with child(code, path) as reader:
            answer, _ = reader.communicate(timeout=60)
        store._connection.execute("ROLLBACK")
        assert (reader.returncode, answer.split()) == (0, [b"4"])


class TestTampering:
    async def test_a_body_altered_in_the_file_shows_in_verify(self, store: SqliteStore) -> None:
        """What is read back is the stored body, so a change by SQL breaks the chain where it was made."""
        await store.append("main", make_decisions(4), [], 0)
        store._connection.execute("UPDATE records SET body = replace(body, 'BTC', 'ETH') WHERE idx = 3")
        found = (await walked(store)).breaks[0]
        assert (found.index, found.decision_id) == (3, decision_id("main", 3))

    @pytest.mark.parametrize("gone", [1, 2, 3])
    async def test_a_row_deleted_from_the_file_shows_in_verify(self, store: SqliteStore, gone: int) -> None:
        """A deleted row is named as missing."""
        await store.append("main", make_decisions(4), [], 0)
        store._connection.execute("DELETE FROM records WHERE idx = ?", (gone,))
        assert f"record {gone} is missing" in (await walked(store)).breaks[0].problem

    async def test_a_row_added_behind_the_cursor_shows_in_verify(self, store: SqliteStore) -> None:
        """A forged row after the last record is walked too, not hidden by the cursor."""
        await store.append("main", make_decisions(2), [], 0)
        store._connection.execute(
            "INSERT INTO records SELECT book, 3, kind, prev, hash, body, stored_at, measured, NULL, intent_id,"
            " strategy_id, symbol, action, verdict, sequence, at, policy_revision FROM records WHERE idx = 2"
        )
        assert (await walked(store)).breaks[0].index == 3


class TestColumns:
    async def test_columns_come_from_the_body(self, store: SqliteStore) -> None:
        """Every searched column of a decision is the field of that name in its body."""
        (record,) = make_chain([{"strategy_id": "revert", "symbol": "ETHUSDT", "action": "sell", "verdict": "blocked"}])
        await store.append("main", [record], [], 0)
        columns = "kind, decision_id, intent_id, strategy_id, symbol, action, verdict, sequence, at"
        row = store._connection.execute(f"SELECT {columns} FROM records").fetchone()
        assert row == (
            *("decision", decision_id("main", 1), "intent-1", "revert", "ETHUSDT", "sell", "blocked", 1),
            "2026-11-24T09:30:01.000000+00:00",
        )

    async def test_an_expiry_carries_sequence_and_decision(self, store: SqliteStore) -> None:
        """An expiry's columns name the intent and the decision that expired."""
        await store.append("main", make_chain([{}, {"kind": "expired", "sequence": 1, "decision_id": "d" * 32}]), [], 0)
        row = store._connection.execute("SELECT sequence, decision_id FROM records WHERE kind = 'expired'").fetchone()
        assert row == (1, "d" * 32)

    async def test_a_field_that_is_absent_or_of_another_type_is_null(self, store: SqliteStore) -> None:
        """A quarantined message may have no symbol: its column is empty, never the text of something else."""
        await store.append("main", make_chain([{"symbol": None, "strategy_id": 7, "sequence": "1"}]), [], 0)
        row = store._connection.execute("SELECT symbol, strategy_id, sequence FROM records").fetchone()
        assert row == (None, None, None)


class TestLatest:
    async def test_newest_first_and_no_more_than_asked(self, store: SqliteStore) -> None:
        """The newest decisions come first; other kinds of record are not decisions."""
        records = make_chain([{"kind": "policy"}, {}, {}, {"kind": "gap"}, {}])
        await store.append("main", records, [], 0)
        assert await store.latest(2) == [records[4], records[2]]
        assert await store.latest(10) == [records[4], records[2], records[1]]
        assert await store.latest(0) == []
        assert await store.latest(-1) == []

    async def test_records_stored_at_one_instant_keep_ledger_order(self, store: SqliteStore) -> None:
        """Of decisions stored at the same instant the one later in the ledger is the newer."""
        first = make_record(1, GENESIS, stored_at=START)
        second = make_record(2, first.hash, stored_at=START)
        await store.append("main", [first, second], [], 0)
        assert await store.latest(2) == [second, first]

    async def test_filters_combine(self, store: SqliteStore) -> None:
        """A filter that is given must match exactly; several must all match."""
        records = make_chain(
            [
                {"strategy_id": "momo", "symbol": "BTCUSDT", "verdict": "approved"},
                {"strategy_id": "momo", "symbol": "ETHUSDT", "verdict": "blocked"},
                {"strategy_id": "revert", "symbol": "BTCUSDT", "verdict": "blocked"},
            ]
        )
        paper = make_decisions(1, book="paper")
        await store.append("main", records, [], 0)
        await store.append("paper", paper, [], 0)
        assert await store.latest(9, strategy_id="momo", book="main") == [records[1], records[0]]
        assert await store.latest(9, verdict="blocked") == [records[2], records[1]]
        assert await store.latest(9, symbol="BTCUSDT", verdict="blocked") == [records[2]]
        assert await store.latest(9, book="paper") == paper
        assert await store.latest(9, symbol="BTC%") == []


class TestTally:
    async def test_every_count_is_there_and_zero_in_an_empty_book(self, store: SqliteStore) -> None:
        """A book without records has the same counts as any other, all 0."""
        names = {"approved", "reduced", "blocked", "absorbed", "quarantined", "expired", "gap", "policy", "signals"}
        assert await store.tally("main") == dict.fromkeys(names, 0)

    async def test_counts_of_one_book(self, store: SqliteStore) -> None:
        """Decisions by verdict, expiries, policies and signals by number, gaps by the intents they lost."""
        records = make_chain(
            [
                {"kind": "policy"},
                {"verdict": "approved"},
                {"verdict": "approved"},
                {"verdict": "blocked"},
                {"kind": "gap", "from": 4, "to": 9, "count": 6},
                {"kind": "gap", "from": 11, "to": 11, "count": 1},
                {"kind": "expired", "sequence": 2},
            ]
        )
        await store.append("main", records, [make_signal(3)], 1)
        await store.append("paper", make_decisions(3, book="paper"), [make_signal(1, book="paper")], 1)
        found = {name: count for name, count in (await store.tally("main")).items() if count}
        assert found == {"approved": 2, "blocked": 1, "policy": 1, "gap": 7, "expired": 1, "signals": 1}


async def test_no_search_reads_the_whole_table(store: SqliteStore) -> None:
    """Every question is answered through an index, so a store of months answers like one of a day."""
    await store.append("main", make_decisions(3), [], 0)
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    await store.find(decision_id("main", 1)[:9])
    await store.policy("f" * 64)
    await store.signal("main", 1)
    await store.expiry("main", 1)
    await listed(store.records("main"))
    await store.tally("main")
    for filters in ({}, {"book": "main"}, {"strategy_id": "momo"}, {"symbol": "BTCUSDT"}, {"verdict": "blocked"}):
        await store.latest(5, **filters)
    store._connection.set_trace_callback(None)
    questions = [question for question in asked if question.startswith("SELECT")]
    steps = [step[3] for question in questions for step in store._connection.execute(f"EXPLAIN QUERY PLAN {question}")]
    assert len(steps) >= len(questions) >= 13
    assert [step for step in steps if step.startswith("SCAN") and "INDEX" not in step] == []
    # Sorting the right part of an order is sorting records of one instant: that is not the whole table.
    assert [step for step in steps if "TEMP B-TREE" in step and "RIGHT PART" not in step] == []
