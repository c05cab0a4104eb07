"""The SQLite store of configurations: what it does with files, beyond what every store promises."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from builders_configs import make_proposal, make_version
from petrosa_cio.core.db.configs_sqlite import APPLICATION, SCHEMA, SqliteConfigs
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Run ``statements`` on the file from outside, and give the rows of the last."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


async def refused(path: Path) -> str:
    store = SqliteConfigs(path)
    with pytest.raises(StoreError) as refusal:
        await store.head("main")
    await store.close()
    return str(refusal.value)


async def test_it_makes_its_directory_and_marks_its_file(tmp_path: Path) -> None:
    """A new store is made with its directory, and the file says what it is, in write-ahead mode."""
    path = tmp_path / "deep" / "down" / "configs.db"
    store = SqliteConfigs(path)
    await store.commit(make_version(1))
    await store.close()
    assert run(path, "PRAGMA application_id") == [(APPLICATION,)]
    assert run(path, "PRAGMA user_version") == [(SCHEMA,)]
    assert run(path, "PRAGMA journal_mode") == [("wal",)]


async def test_it_syncs_every_version(tmp_path: Path) -> None:
    """Each commit reaches the disk before it is acknowledged: synchronous is FULL (2) on the store's own connection."""
    store = SqliteConfigs(tmp_path / "configs.db")
    await store.commit(make_version(1))
    assert store._connection is not None
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    await store.close()


async def test_many_open_a_new_store_at_once(tmp_path: Path) -> None:
    """Thirty stores on one file that does not exist yet are opened at once: each comes up, on the same tables."""
    stores = [SqliteConfigs(tmp_path / "configs.db") for _ in range(30)]
    assert await asyncio.gather(*(store.head("main") for store in stores)) == [None] * 30
    await stores[0].commit(make_version(1))
    assert await asyncio.gather(*(store.head("main") for store in stores)) == [make_version(1)] * 30
    for store in stores:
        await store.close()


async def test_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    """A query store, and a file that is no database, are refused as such and not written to."""
    await SqliteStore(tmp_path / "query.db").close()
    before = run(tmp_path / "query.db", "SELECT name FROM sqlite_master ORDER BY name")
    assert "not a store of configurations" in await refused(tmp_path / "query.db")
    assert run(tmp_path / "query.db", "SELECT name FROM sqlite_master ORDER BY name") == before
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    assert "not a database" in await refused(text)
    assert text.read_text() == "not a database " * 100


async def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    """A store written by a newer version of this program is refused, naming both schema versions."""
    store = SqliteConfigs(tmp_path / "configs.db")
    await store.commit(make_version(1))
    await store.close()
    run(tmp_path / "configs.db", f"PRAGMA user_version = {SCHEMA + 1}")
    assert f"schema version {SCHEMA + 1} is not {SCHEMA}" in await refused(tmp_path / "configs.db")


async def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """A path that is a directory, or lies under a file, is a store error that names it."""
    assert str(tmp_path) in await refused(tmp_path)
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in await refused(tmp_path / "file" / "configs.db")


async def test_after_close(tmp_path: Path) -> None:
    """A closed store answers nothing more; one that was never used can be closed."""
    store = SqliteConfigs(tmp_path / "configs.db")
    await store.commit(make_version(1))
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.head("main")
    await SqliteConfigs(tmp_path / "never.db").close()
    assert not (tmp_path / "never.db").exists()


@pytest.mark.parametrize("text", ["", "null", "[1]", "{}", '{"book": "main"}', "\x00", '{"number": 1, "odd": 2}'])
async def test_a_text_that_was_not_ours(tmp_path: Path, text: str) -> None:
    """A row that somebody rewrote is a store error, never half a version."""
    store = SqliteConfigs(tmp_path / "configs.db")
    await store.commit(make_version(1))
    await store.keep_proposal(make_proposal(1))
    with closing(sqlite3.connect(tmp_path / "configs.db")) as connection, connection:
        connection.execute("UPDATE versions SET text = ?", (text,))
        connection.execute("UPDATE proposals SET text = ?", (text,))
    with pytest.raises(StoreError):
        await store.head("main")
    with pytest.raises(StoreError):
        await store.proposals("main")
    await store.close()


async def test_names_that_sqlite_cannot_carry(tmp_path: Path) -> None:
    """A book's name that is no Unicode, and a number beyond 64 bits, are store errors and not in the store."""
    store = SqliteConfigs(tmp_path / "configs.db")
    with pytest.raises(StoreError):
        await store.head("\ud800")
    with pytest.raises(StoreError):
        await store.version("main", 2**64)
    await store.close()


async def test_a_locked_store_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """While another process holds the write lock, a commit waits and all else goes on; then it is kept."""
    store = SqliteConfigs(tmp_path / "configs.db")
    await store.commit(make_version(1))
    with closing(sqlite3.connect(tmp_path / "configs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        commit = asyncio.ensure_future(store.commit(make_version(2)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not commit.done()
        other.execute("ROLLBACK")
        await asyncio.wait_for(commit, 60)
    assert await store.head("main") == make_version(2)
    await store.close()
