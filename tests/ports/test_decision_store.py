"""What every `DecisionStore` promises, whatever it is built on. A new store joins by one more entry of ``BACKENDS``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_records import (
    decision_id,
    digest,
    listed,
    make_chain,
    make_decisions,
    make_record,
    make_signal,
    walked,
)
from petrosa_cio.apps.nurse.ports import DecisionStore, StoreCursor, StoredRecord
from petrosa_cio.apps.nurse.record import GENESIS, chain
from petrosa_cio.core.db.mongo.decisions import MongoDecisions
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from mongo_server import MongoServer


class Opener(Protocol):
    """Opens one store; called again, opens the same store once more."""

    async def __call__(self, *, read_only: bool = False) -> DecisionStore: ...


def on_sqlite(request: pytest.FixtureRequest) -> Callable[[], Opener]:
    directories: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")

    def fresh() -> Opener:
        path = directories.mktemp("sqlite") / "store.db"

        async def opener(*, read_only: bool = False) -> DecisionStore:
            return SqliteStore(path, read_only=read_only)

        return opener

    return fresh


def on_mongodb(request: pytest.FixtureRequest) -> Callable[[], Opener]:
    server: MongoServer = request.getfixturevalue("mongo")

    def fresh() -> Opener:
        address = server.fresh()

        async def opener(*, read_only: bool = False) -> DecisionStore:
            return await MongoDecisions.open(address, read_only=read_only)

        return opener

    return fresh


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Callable[[], Opener]]] = {
    "sqlite": on_sqlite,
    "mongodb": on_mongodb,
}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Callable[[], Opener]:
    return BACKENDS[request.param](request)


@pytest.fixture
async def opener(backend: Callable[[], Opener]) -> AsyncIterator[Opener]:
    opened: list[DecisionStore] = []
    place = backend()

    async def remember(*, read_only: bool = False) -> DecisionStore:
        opened.append(await place(read_only=read_only))
        return opened[-1]

    yield remember
    for store in opened:
        await store.close()


@pytest.fixture
async def store(opener: Opener) -> DecisionStore:
    return await opener()


@pytest.fixture
async def reader(store: DecisionStore, opener: Opener) -> DecisionStore:
    return await opener(read_only=True)


class Watched(list[StoredRecord]):
    """A batch that calls ``probe`` after each record taken from it: a look in from the middle of an append."""

    def __init__(self, records: list[StoredRecord], probe: Callable[[], None]) -> None:
        super().__init__(records)
        self._probe = probe

    def __iter__(self) -> Iterator[StoredRecord]:
        for record in super().__iter__():
            yield record
            self._probe()


async def kept(store: DecisionStore, book: str = "main") -> list[StoredRecord]:
    return await listed(store.records(book))


def from_outside(look: Callable[[], Awaitable[None]]) -> None:
    """Run ``look`` to its end on an event loop of its own, beside whatever this thread is in the middle of."""

    async def whole() -> None:
        await look()

    thread = Thread(target=asyncio.run, args=(whole(),))
    thread.start()
    thread.join()


class TestAppend:
    async def test_a_new_store_has_no_book_and_every_cursor_at_zero(self, store: DecisionStore) -> None:
        """A store that nothing was carried into knows no book, no record and no cursor."""
        assert await store.books() == ()
        assert await store.cursor("main") == StoreCursor(0, "", 0)
        assert await kept(store) == []

    async def test_records_come_back_as_they_were_given(self, store: DecisionStore) -> None:
        """Every field of a record is handed back unchanged, body bytes and measurements included."""
        odd = make_record(1, GENESIS, intent_id='"é\u2028%_\\', extra={"deep": [1, None, True]}, measured='{"ms":1.5}')
        await store.append("main", [odd], [], 0)
        assert await kept(store) == [odd]

    async def test_the_cursor_names_the_last_record_and_outbox_sequence(self, store: DecisionStore) -> None:
        """After a batch the cursor is the index and hash of its last record and the outbox sequence given with it."""
        records = make_decisions(3)
        await store.append("main", records, [], 17)
        assert await store.cursor("main") == StoreCursor(3, records[-1].hash, 17)

    async def test_outbox_sequence_zero_leaves_it_unchanged(self, store: DecisionStore) -> None:
        """A batch with outbox sequence 0 moves the ledger cursor alone."""
        records = make_decisions(2)
        await store.append("main", records[:1], [], 17)
        await store.append("main", records[1:], [], 0)
        assert await store.cursor("main") == StoreCursor(2, records[-1].hash, 17)

    async def test_outbox_sequence_never_moves_back(self, store: DecisionStore) -> None:
        """A batch that is sent again late does not move the outbox cursor back."""
        await store.append("main", [], [make_signal(1), make_signal(2)], 2)
        await store.append("main", [], [make_signal(1)], 1)
        assert (await store.cursor("main")).outbox_sequence == 2

    async def test_an_empty_batch_moves_only_the_outbox_cursor(self, store: DecisionStore) -> None:
        """A batch without records moves the outbox cursor of a book and does not make it a book with records."""
        await store.append("main", [], [], 5)
        assert await store.cursor("main") == StoreCursor(0, "", 5)
        assert await store.books() == ()

    async def test_books_do_not_share_a_cursor(self, store: DecisionStore) -> None:
        """Each book is a chain of its own."""
        await store.append("main", make_decisions(2), [], 4)
        await store.append("paper", make_decisions(1, book="paper"), [], 9)
        assert ((await store.cursor("main")).ledger_index, (await store.cursor("paper")).ledger_index) == (2, 1)
        assert ((await store.cursor("main")).outbox_sequence, (await store.cursor("paper")).outbox_sequence) == (4, 9)

    async def test_cursor_and_records_survive_a_restart(self, opener: Opener) -> None:
        """A store that was closed and opened again goes on where it was."""
        records = make_decisions(4)
        first = await opener()
        await first.append("main", records[:2], [make_signal(1)], 1)
        await first.close()
        second = await opener()
        assert await second.cursor("main") == StoreCursor(2, records[1].hash, 1)
        await second.append("main", records[2:], [], 0)
        assert await kept(second) == records
        assert await second.signal("main", 1) == make_signal(1)


class TestRepeats:
    async def test_a_batch_sent_again_is_ignored(self, store: DecisionStore) -> None:
        """A projector killed after a commit may send the whole batch again: nothing changes."""
        records, signals = make_decisions(3), [make_signal(1), make_signal(3)]
        await store.append("main", records, signals, 2)
        before = await store.cursor("main")
        await store.append("main", records, signals, 2)
        assert await store.cursor("main") == before
        assert await kept(store) == records

    @given(taken=st.integers(0, 6), again=st.integers(0, 6), upto=st.integers(0, 6))
    async def test_overlapping_batches_keep_each_record_once(
        self, backend: Callable[[], Opener], taken: int, again: int, upto: int
    ) -> None:
        """Any batch that begins at or before the cursor keeps what is new of it and ignores the rest."""
        records = make_decisions(6)
        again = min(again, taken)
        store = await backend()()
        await store.append("main", records[:taken], [], 0)
        await store.append("main", records[again:upto], [], 0)
        assert await kept(store) == records[: max(taken, upto)]
        await store.close()

    async def test_a_record_twice_in_one_batch_is_kept_once(self, store: DecisionStore) -> None:
        """A record that is repeated within its own batch counts as a repeat."""
        first, second = make_decisions(2)
        await store.append("main", [first, second, second, first], [], 0)
        assert await kept(store) == [first, second]

    async def test_a_repeat_may_be_stored_at_another_time(self, store: DecisionStore) -> None:
        """When it was stored and what was measured are no part of what makes a record the same; the first stays."""
        (record,) = make_decisions(1)
        await store.append("main", [record], [], 0)
        await store.append("main", [replace(record, stored_at=record.stored_at + 1, measured="{}")], [], 0)
        assert await kept(store) == [record]

    async def test_a_repeat_with_another_hash_is_refused(self, store: DecisionStore) -> None:
        """Two different records under one index mean two ledgers: refused, and nothing of the batch is kept."""
        first, second, third = make_decisions(3)
        await store.append("main", [first, second], [], 1)
        other = make_record(2, first.hash, symbol="ETHUSDT")
        with pytest.raises(StoreError, match="record 2 of book 'main' differs"):
            await store.append("main", [other, third], [make_signal(3)], 9)
        assert await kept(store) == [first, second]
        assert await store.cursor("main") == StoreCursor(2, second.hash, 1)
        assert await store.signal("main", 3) is None

    async def test_a_repeat_with_the_same_hash_and_another_body_is_refused(self, store: DecisionStore) -> None:
        """A record whose body was altered under its old hash is not the record that was kept."""
        (record,) = make_decisions(1)
        await store.append("main", [record], [], 0)
        with pytest.raises(StoreError, match="differs"):
            await store.append("main", [replace(record, body=record.body + b" ")], [], 0)
        assert await kept(store) == [record]

    async def test_a_repeated_signal_is_ignored_and_a_different_one_refused(self, store: DecisionStore) -> None:
        """One intent has one signal: the same again is ignored, another is refused with its whole batch."""
        await store.append("main", [], [make_signal(1)], 1)
        await store.append("main", [], [make_signal(1)], 2)
        with pytest.raises(StoreError, match="signal of intent 1 of book 'main' differs"):
            await store.append("main", make_decisions(1), [make_signal(1, body=b"{}")], 3)
        assert await store.signal("main", 1) == make_signal(1)
        assert await store.cursor("main") == StoreCursor(0, "", 2)


class TestRefusals:
    @pytest.mark.parametrize("first", [2, 3, 5])
    async def test_a_batch_that_does_not_begin_at_one_is_refused_by_an_empty_store(
        self, store: DecisionStore, first: int
    ) -> None:
        """The first record of a book is record 1."""
        with pytest.raises(StoreError, match=f"record {first} of book 'main' leaves a gap"):
            await store.append("main", make_decisions(5)[first - 1 :], [], 0)
        assert (await store.books(), await store.cursor("main")) == ((), StoreCursor())

    @pytest.mark.parametrize("missing", [1, 2, 3, 4, 5])
    async def test_a_gap_anywhere_in_a_batch_is_refused_whole(self, store: DecisionStore, missing: int) -> None:
        """A batch with a record missing keeps nothing: not the records before it, not its signals, not its cursor."""
        records = make_decisions(7)
        await store.append("main", records[:1], [make_signal(1)], 1)
        holed = [record for record in records[1:] if record is not records[missing]]
        with pytest.raises(StoreError, match="gap"):
            await store.append("main", holed, [make_signal(2)], 2)
        assert await kept(store) == records[:1]
        assert await store.cursor("main") == StoreCursor(1, records[0].hash, 1)
        assert await store.signal("main", 2) is None

    async def test_a_record_that_follows_another_chain_is_refused(self, store: DecisionStore) -> None:
        """The next index of a ledger that was begun anew does not continue this one."""
        first, second, _ = make_decisions(3)
        await store.append("main", [first, second], [], 0)
        with pytest.raises(StoreError, match="record 3 of book 'main' does not follow"):
            await store.append("main", [make_record(3, digest("another chain"))], [], 0)
        with pytest.raises(StoreError, match="record 1 of book 'paper' does not follow"):
            await store.append("paper", [make_record(1, digest("another chain"), book="paper")], [], 0)
        assert await kept(store) == [first, second]

    @pytest.mark.parametrize(
        "body", [b"", b"not json", b"[]", b'"decision"', b"{}", b'{"kind":7}', b'{"kind":"\xff"}', b'{"kind":' * 50_000]
    )
    async def test_a_body_that_cannot_be_read_is_refused(self, store: DecisionStore, body: bytes) -> None:
        """A body that is no JSON object with a kind is refused, with the records before it in the batch."""
        (first,) = make_decisions(1)
        broken = replace(first, index=2, prev=first.hash, body=body, hash=chain(first.hash, body))
        with pytest.raises(StoreError, match="record 2 of book 'main'"):
            await store.append("main", [first, broken], [], 0)
        assert (await kept(store), await store.cursor("main")) == ([], StoreCursor())

    async def test_a_record_or_signal_of_another_book_is_refused(self, store: DecisionStore) -> None:
        """A batch is of one book."""
        with pytest.raises(StoreError, match="paper"):
            await store.append("main", make_decisions(1, book="paper"), [], 0)
        with pytest.raises(StoreError, match="paper"):
            await store.append("main", make_decisions(1), [make_signal(1, book="paper")], 0)
        assert await store.books() == ()
        assert await store.signal("paper", 1) is None

    async def test_a_decision_id_is_taken_once(self, store: DecisionStore) -> None:
        """Two decisions never share an id, in one book or across books."""
        first, _ = make_decisions(2)
        taken = decision_id("main", 1)
        with pytest.raises(StoreError):
            await store.append("main", [first, make_record(2, first.hash, decision_id=taken)], [], 0)
        await store.append("main", [first], [], 0)
        with pytest.raises(StoreError):
            await store.append("paper", [make_record(1, GENESIS, book="paper", decision_id=taken)], [], 0)
        assert await store.books() == ("main",)

    async def test_the_store_goes_on_after_a_refusal(self, store: DecisionStore) -> None:
        """A refused batch leaves no lock and no half transaction behind."""
        records = make_decisions(3)
        with pytest.raises(StoreError):
            await store.append("main", records[1:], [], 0)
        await store.append("main", records, [], 0)
        assert await kept(store) == records

    async def test_a_closed_store_raises_store_error_and_close_is_idempotent(self, store: DecisionStore) -> None:
        """After close, which may be called twice, every method raises StoreError and nothing else."""
        await store.close()
        await store.close()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.cursor("main"),
            lambda: store.append("main", make_decisions(1), [], 0),
            lambda: store.find(decision_id("main", 1)),
            lambda: store.policy(digest("policy")),
            lambda: store.signal("main", 1),
            lambda: store.expiry("main", 1),
            lambda: kept(store),
            lambda: store.books(),
        ]
        for call in calls:
            with pytest.raises(StoreError):
                await call()

    async def test_what_no_store_can_hold_is_store_error_too(self, store: DecisionStore) -> None:
        """A question with a lone surrogate or a number beyond 64 bits is refused as StoreError, not as a crash."""
        with pytest.raises(StoreError):
            await store.find("\udcff" * 8)
        with pytest.raises(StoreError):
            await store.signal("main", 2**63)


class TestReaders:
    async def test_a_reader_sees_nothing_of_a_batch_before_it_is_whole(
        self, store: DecisionStore, opener: Opener, reader: DecisionStore
    ) -> None:
        """While a batch is being kept, another reader sees the store as it was before, at every record of it."""
        records = make_decisions(6)
        await store.append("main", records[:2], [], 1)
        seen: list[tuple[int, StoreCursor, StoredRecord | None]] = []

        async def look() -> None:
            outside = await opener(read_only=True)
            found = await outside.find(decision_id("main", 3))
            seen.append((len(await kept(outside)), await outside.cursor("main"), found))
            await outside.close()

        await store.append("main", Watched(records[2:], lambda: from_outside(look)), [], 2)
        assert len(seen) >= 4
        assert set(seen) == {(2, StoreCursor(2, records[1].hash, 1), None)}
        assert await kept(reader) == records
        assert await reader.find(decision_id("main", 3)) == records[2]

    async def test_readers_beside_a_busy_writer_see_whole_batches_in_order(
        self, store: DecisionStore, reader: DecisionStore
    ) -> None:
        """Whenever it looks, a reader finds a beginning of the ledger that ends where a batch ends."""
        records, batch = make_decisions(120), 6

        async def project() -> None:
            for start in range(0, len(records), batch):
                await store.append("main", records[start : start + batch], [], 0)

        writer = asyncio.create_task(project())
        looks = [await kept(reader)]
        while not writer.done():
            looks.append(await kept(reader))
        await writer
        looks.append(await kept(reader))
        assert {len(look) % batch for look in looks} == {0}
        assert all(look == records[: len(look)] for look in looks)
        assert looks[-1] == records

    async def test_a_batch_is_seen_by_a_reader_that_was_already_open(
        self, store: DecisionStore, reader: DecisionStore
    ) -> None:
        """A reader need not be opened again to see what was appended since."""
        assert await reader.cursor("main") == StoreCursor()
        records = make_decisions(2)
        await store.append("main", records, [], 0)
        assert await reader.cursor("main") == StoreCursor(2, records[-1].hash, 0)
        assert await kept(reader) == records


class TestRecords:
    async def test_records_are_in_ledger_order_and_of_one_book(self, store: DecisionStore) -> None:
        """All records of the book asked for, and no others, by index, whatever order the books came in."""
        main, paper = make_decisions(12), make_decisions(12, book="paper")
        for start in range(0, 12, 3):
            await store.append("paper", paper[start : start + 3], [], 0)
            await store.append("main", main[start : start + 3], [], 0)
        assert await kept(store) == main
        assert await kept(store, "paper") == paper
        assert await kept(store, "unheard of") == []

    @pytest.mark.parametrize("after", [0, 1, 4, 5, 99])
    async def test_records_after_an_index(self, store: DecisionStore, after: int) -> None:
        """Only records with an index above ``after`` are handed out."""
        records = make_decisions(5)
        await store.append("main", records, [], 0)
        assert await listed(store.records("main", after)) == records[after:]

    async def test_records_are_streamed_and_the_store_stays_usable(self, store: DecisionStore) -> None:
        """A long walk is an iterator: the store can be read and written while it is under way, and it loses nothing."""
        records = make_decisions(700)
        await store.append("main", records[:600], [], 0)
        walk = store.records("main")
        assert aiter(walk) is walk
        head = [await anext(walk) for _ in range(10)]
        await store.append("main", records[600:], [], 0)
        assert await store.find(decision_id("main", 650)) == records[649]
        whole = head + await listed(walk)
        assert whole[:600] == records[:600]
        assert whole == records[: len(whole)]

    async def test_a_walk_given_up_releases_the_store(self, store: DecisionStore) -> None:
        """Whoever stops reading half-way holds nothing up."""
        records = make_decisions(600)
        await store.append("main", records[:-1], [], 0)
        await anext(store.records("main"))
        await store.append("main", records[-1:], [], 0)
        assert (await store.cursor("main")).ledger_index == 600

    async def test_what_was_kept_verifies(self, store: DecisionStore) -> None:
        """A chain carried into the store in batches is the same chain when it is read out."""
        records = make_chain([{"kind": "policy"}, *[{}] * 8, {"kind": "gap"}, {}])
        for start in range(0, len(records), 4):
            await store.append("main", records[start : start + 4], [], 0)
        report = await walked(store)
        assert (report.records, report.head, report.breaks) == (11, records[-1].hash, ())

    async def test_books_are_named_in_order(self, store: DecisionStore) -> None:
        """Every book with a record, once, by name."""
        for book in ("zeta", "main", "alpha"):
            await store.append(book, make_decisions(2, book=book), [], 0)
        assert await store.books() == ("alpha", "main", "zeta")


class TestFind:
    async def test_by_whole_id(self, store: DecisionStore) -> None:
        """A decision is found by its id, in whatever book it is."""
        main, paper = make_decisions(5), make_decisions(5, book="paper")
        await store.append("main", main, [], 0)
        await store.append("paper", paper, [], 0)
        assert await store.find(decision_id("main", 3)) == main[2]
        assert await store.find(decision_id("paper", 5)) == paper[4]
        assert await store.find(digest("never decided")[:32]) is None

    @given(length=st.integers(0, 32))
    async def test_by_beginning(self, backend: Callable[[], Opener], length: int) -> None:
        """A beginning of 8 characters or more finds the decision; a shorter one never guesses."""
        (record,) = make_decisions(1)
        store = await backend()()
        await store.append("main", [record], [], 0)
        assert await store.find(decision_id("main", 1)[:length]) == (record if length >= 8 else None)
        await store.close()

    async def test_an_ambiguous_beginning_is_refused(self, store: DecisionStore) -> None:
        """A beginning of two decisions names neither: StoreError says so. More of it, or a whole id, names one."""
        records = make_chain([{"decision_id": "abcdef0123"}, {"decision_id": "abcdef0199"}])
        await store.append("main", records, [], 0)
        with pytest.raises(StoreError, match="ambiguous"):
            await store.find("abcdef01")
        assert await store.find("abcdef012") == records[0]
        assert await store.find("abcdef0199") == records[1]

    async def test_a_whole_id_is_never_ambiguous(self, store: DecisionStore) -> None:
        """An id that is also the beginning of another id names its own decision."""
        records = make_chain([{"decision_id": "abcdef01"}, {"decision_id": "abcdef0123"}])
        await store.append("main", records, [], 0)
        assert await store.find("abcdef01") == records[0]

    @pytest.mark.parametrize(
        "wild", ["________", "%%%%%%%%", "abcdefg%", "abcdefg_", "abcdefg*", "abcdefg?", "[a]bcdefg"]
    )
    async def test_no_character_is_a_wildcard(self, store: DecisionStore, wild: str) -> None:
        """An id is searched for as it is written: what other tools take for a wildcard finds nothing."""
        await store.append("main", make_chain([{"decision_id": "abcdefgh" * 4}]), [], 0)
        assert await store.find(wild) is None

    async def test_a_wildcard_in_an_id_is_found_literally(self, store: DecisionStore) -> None:
        """An id that holds such a character is found by it, and by it alone."""
        records = make_chain([{"decision_id": "abcd_%gh-1"}, {"decision_id": "abcdefgh-2"}])
        await store.append("main", records, [], 0)
        assert await store.find("abcd_%gh") == records[0]

    async def test_upper_and_lower_case_differ(self, store: DecisionStore) -> None:
        """Ids are compared exactly."""
        await store.append("main", make_chain([{"decision_id": "abcdefgh" * 4}]), [], 0)
        assert await store.find("ABCDEFGH") is None

    async def test_an_expiry_is_not_the_decision(self, store: DecisionStore) -> None:
        """An expiry names the decision that expired and may repeat its id; the decision is what is found."""
        records = make_chain([{}, {"kind": "expired", "sequence": 1, "decision_id": decision_id("main", 1)}])
        await store.append("main", records, [], 0)
        assert await store.find(decision_id("main", 1)) == records[0]
        assert await store.find(decision_id("main", 1)[:8]) == records[0]


class TestLookups:
    async def test_policy_is_the_latest_record_that_put_it_in_force(self, store: DecisionStore) -> None:
        """A policy that was in force, replaced and put back is found where it was put back; decisions do not count."""
        old, new = digest("old"), digest("new")
        contents = [
            {"kind": "policy", "policy_revision": old},
            {"kind": "policy", "policy_revision": new},
            {"kind": "policy", "policy_revision": old},
            {"kind": "decision", "policy_revision": old},
        ]
        records = make_chain(contents)
        await store.append("main", records, [], 0)
        assert await store.policy(old) == records[2]
        assert await store.policy(new) == records[1]
        assert await store.policy(digest("unheard of")) is None

    async def test_policy_is_the_latest_across_books(self, store: DecisionStore) -> None:
        """With the same policy in force in two books, the record that was stored last is handed back."""
        revision = digest("shared")
        early = make_record(1, GENESIS, "policy", policy_revision=revision, stored_at=10)
        late = make_record(1, GENESIS, "policy", book="paper", policy_revision=revision, stored_at=20)
        await store.append("paper", [late], [], 0)
        await store.append("main", [early], [], 0)
        assert await store.policy(revision) == late

    async def test_signal_by_book_and_intent(self, store: DecisionStore) -> None:
        """A signal is found by the intent it was promoted for, byte for byte, within its own book."""
        odd = make_signal(2, body=b"\x00\xff not text")
        await store.append("main", [], [make_signal(1), odd], 2)
        await store.append("paper", [], [make_signal(1, book="paper")], 1)
        assert await store.signal("main", 2) == odd
        assert await store.signal("paper", 1) == make_signal(1, book="paper")
        assert await store.signal("paper", 2) is None

    async def test_expiry_by_book_and_intent(self, store: DecisionStore) -> None:
        """An expiry is found by the intent that expired; a decision on the same intent is none."""
        records = make_chain([{"sequence": 41}, {"sequence": 42}, {"kind": "expired", "sequence": 41}])
        await store.append("main", records, [], 0)
        assert await store.expiry("main", 41) == records[2]
        assert await store.expiry("main", 42) is None
        assert await store.expiry("paper", 41) is None
