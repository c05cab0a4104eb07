"""What only the stores on MongoDB promise: addresses that keep a secret, errors that stop, documents, whole batches."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import bson.errors
import pymongo.errors
import pytest
from bson import Int64
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient, monitoring

import mongo_server
from builders_configs import make_proposal, make_version
from builders_records import decision_id, listed, make_chain, make_decisions, make_signal, walked
from petrosa_cio.apps.nurse.ports import DecisionStore, StoreCursor
from petrosa_cio.core.db.mongo import decisions
from petrosa_cio.core.db.mongo.address import UNTOLD, MongoAddress, public, secrets
from petrosa_cio.core.db.mongo.client import Mongo, _has_majority
from petrosa_cio.core.db.mongo.configs import MongoConfigs
from petrosa_cio.core.db.mongo.decisions import MongoDecisions
from petrosa_cio.core.db.mongo.edge import FOREIGN, UNUSABLE, Edge, Taken
from petrosa_cio.core.db.mongo.shared import Shared
from petrosa_cio.errors import CioError, StoreError, VersionTaken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from pymongo.database import Database

    from mongo_server import MongoServer

SECRET = "tr0ub4dor&3"


@pytest.fixture
def address(mongo: MongoServer) -> MongoAddress:
    return mongo.fresh()


@pytest.fixture
async def store(address: MongoAddress) -> AsyncIterator[MongoDecisions]:
    store = await MongoDecisions.open(address)
    yield store
    await store.close()


@pytest.fixture
def raw(address: MongoAddress) -> Iterator[Database[dict[str, Any]]]:
    """The database as any other client sees it."""
    with MongoClient[dict[str, Any]](address.uri) as client:
        yield client[address.database]


@pytest.fixture
def forgotten_sockets() -> Iterator[None]:
    """Collect what the driver leaves behind when it is closed while it connects: a socket that nobody closes."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class TestAddress:
    @pytest.mark.parametrize(
        ("uri", "told"),
        [
            ("mongodb://localhost", "mongodb://localhost"),
            (f"mongodb://joe:{SECRET}@db-1:27017,db-2:27018/admin?tls=true", "mongodb://db-1:27017,db-2:27018"),
            (f"mongodb+srv://joe:{SECRET}@cluster0.ab1cd.mongodb.net/?w=1", "mongodb+srv://cluster0.ab1cd.mongodb.net"),
            ("mongodb://[::1]:27017/x", "mongodb://[::1]:27017"),
            # Not escaped as it should be: what of it is a host and what a password is anyone's guess.
            ("mongodb://joe:pa/ss@host/db", UNTOLD),
            ("mongodb://joe:pa?ss@host/db", UNTOLD),
            ("mongodb://joe:pa#ss@host/db", UNTOLD),
            ("mongodb://joe:pa@ss@host/db", UNTOLD),
            ("mongodb://host/?authMechanismProperties=TOKEN:a@b", UNTOLD),
            ("joe:secret", UNTOLD),
            ("", UNTOLD),
        ],
    )
    def test_hosts_are_told_and_nothing_else(self, uri: str, told: str) -> None:
        """Scheme and hosts are shown; of an address that is not well formed nothing is."""
        assert public(uri) == told
        assert str(MongoAddress(uri, "ours")) == f"{told}, database ours"

    @given(
        user=st.text(min_size=1),
        password=st.text(min_size=1),
        form=st.sampled_from(["mongodb://{}:{}@HOST/x?tls=true", "mongodb+srv://{}:{}@HOST"]),
        escaped=st.booleans(),
    )
    def test_a_password_is_never_told(self, user: str, password: str, form: str, escaped: bool) -> None:
        """Whatever the password is, escaped or not, what is shown is the host alone or nothing at all."""
        written = form.format(*(map(quote_plus, (user, password)) if escaped else (user, password)))
        assert public(written) in {form.partition("{}")[0] + "HOST", UNTOLD}
        assert password in secrets(form.format("joe", quote_plus(password)))

    def test_no_repr_holds_a_password(self) -> None:
        """An address that finds its way into a log or a traceback shows no password there either."""
        address = MongoAddress(f"mongodb://joe:{SECRET}@host", "ours")
        assert SECRET not in f"{address!r} {address} {Edge(address)!r}"


def foreign() -> list[type[Exception]]:
    """Every exception that driver and codec define, beside those of Python that they let through."""
    found: list[type[Exception]] = [OverflowError, UnicodeEncodeError, RecursionError, OSError, ConnectionResetError]
    waiting: list[type[Exception]] = [pymongo.errors.PyMongoError, bson.errors.BSONError]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += one.__subclasses__()
    return found


def raised(kind: type[Exception], text: str = "why") -> Exception:
    """An instance with ``text`` in it, whatever the constructor wants to know."""
    error = kind.__new__(kind)
    if isinstance(error, pymongo.errors.OperationFailure):
        pymongo.errors.OperationFailure.__init__(error, text, 1, {"errmsg": text})
    elif isinstance(error, UnicodeEncodeError):
        error.__init__("utf-8", "\udcff", 0, 1, text)  # type: ignore[misc]
    else:
        Exception.__init__(error, text)
    return error


class TestEdge:
    ADDRESS = MongoAddress(f"mongodb://joe:{quote_plus(SECRET)}@host/?tls=true", "ours")

    @pytest.mark.parametrize("kind", foreign(), ids=lambda kind: kind.__name__)
    def test_every_foreign_exception_becomes_ours_and_keeps_its_cause(self, kind: type[Exception]) -> None:
        """The map is total: whatever driver and codec raise is StoreError, with where and why and the cause."""
        given = raised(kind)
        with (
            pytest.raises(StoreError, match=r"mongodb://host, database ours: .*why") as caught,
            Edge(self.ADDRESS).guard(),
        ):
            raise given
        assert caught.value.__cause__ is given
        assert isinstance(caught.value, Taken) == issubclass(kind, pymongo.errors.DuplicateKeyError)

    def test_there_are_foreign_exceptions(self) -> None:
        """The walk finds what it walks for: the driver has more than twenty kinds of trouble."""
        assert {"DuplicateKeyError", "ServerSelectionTimeoutError", "BulkWriteError"} <= {k.__name__ for k in foreign()}
        assert len(foreign()) > 25

    @pytest.mark.parametrize("secret", [SECRET, quote_plus(SECRET)])
    def test_an_exception_that_quotes_a_secret_is_not_quoted(self, secret: str) -> None:
        """Neither the message nor a traceback shows what the driver should not have said."""
        with pytest.raises(StoreError) as caught, Edge(self.ADDRESS).guard():
            raise pymongo.errors.InvalidURI(f"cannot use joe:{secret}")
        assert str(caught.value) == "mongodb://host, database ours: InvalidURI"
        assert caught.value.__cause__ is None

    def test_our_own_exceptions_pass(self) -> None:
        """What is ours already is not wrapped again, and what is nobody's is a defect and stays one."""
        for error in (StoreError("ours"), CioError("ours"), asyncio.CancelledError(), KeyError("a defect")):
            with pytest.raises(type(error)) as caught, Edge(self.ADDRESS).guard():
                raise error
            assert caught.value is error

    def test_documents_are_not_told(self) -> None:
        """The driver quotes the document that it could not write; we do not."""
        fault = {"code": 1, "errmsg": "no room", "op": {"body": "private"}}
        with pytest.raises(StoreError) as caught, Edge(self.ADDRESS).guard():
            raise pymongo.errors.BulkWriteError({"writeErrors": [fault], "writeConcernErrors": []})
        assert str(caught.value) == "mongodb://host, database ours: BulkWriteError: no room"

    @pytest.mark.parametrize("kind", [*FOREIGN, *UNUSABLE])
    def test_a_subclass_of_what_is_caught_is_caught(self, kind: type[Exception]) -> None:
        """A kind that a later driver adds under one of these is mapped too."""
        with pytest.raises(StoreError), Edge(self.ADDRESS).guard(*UNUSABLE):
            raise raised(type("Later", (kind,), {}))


class TestClient:
    @pytest.mark.usefixtures("forgotten_sockets")
    @pytest.mark.parametrize(
        "uri",
        [
            f"mongodb://joe:{SECRET}/x@host/db",
            f"mongodb://joe:{SECRET}@@host",
            f"mongodb://joe:{SECRET}@host:99999",
            f"mongodb://joe:{SECRET}@host/?tsl=true",
            f"mongodb://joe:{SECRET}@host/?maxPoolSize=many",
            f"mongodb://joe:{SECRET}@host/?tls=true&tlsCAFile=nowhere.pem",
            f"postgres://joe:{SECRET}@host",
            "mongodb://",
        ],
    )
    async def test_an_address_that_cannot_be_used_is_refused_and_not_told(self, uri: str) -> None:
        """A string that the driver cannot read, or would half ignore, is StoreError without its password."""
        with pytest.raises(StoreError) as caught:
            await Mongo.open(MongoAddress(uri), patience=0.1)
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"

    @pytest.mark.usefixtures("forgotten_sockets")
    async def test_a_server_that_does_not_answer_is_given_up_in_time(self) -> None:
        """Without a server the wait is bounded, and the message names the host and no password."""
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"mongodb://127\.0\.0\.1:1, database petrosa_cio: Server") as caught:
            await Mongo.open(MongoAddress(f"mongodb://joe:{SECRET}@127.0.0.1:1"), patience=0.3)
        assert time.monotonic() - began < 5
        assert SECRET not in str(caught.value)

    @pytest.mark.usefixtures("forgotten_sockets")
    async def test_an_unknown_cluster_is_store_error(self) -> None:
        """A name that DNS does not know, as in mongodb+srv, is StoreError."""
        with pytest.raises(StoreError, match=r"mongodb\+srv://nowhere\.invalid"):
            await Mongo.open(MongoAddress(f"mongodb+srv://joe:{SECRET}@nowhere.invalid"), patience=0.3)

    @pytest.mark.parametrize(
        ("hello", "majority"),
        [
            ({"setName": "atlas-1", "hosts": ["a", "b", "c"]}, True),
            ({"msg": "isdbgrid"}, True),
            ({"isWritablePrimary": True}, False),
        ],
    )
    def test_where_there_is_a_majority(self, hello: dict[str, object], majority: bool) -> None:
        """A member of a replica set and a router have one; a single server answers for itself."""
        assert _has_majority(hello) is majority

    async def test_the_connection_string_weakens_no_write(self, address: MongoAddress) -> None:
        """Every write asks for a majority and the journal, whatever the options say, and waits a bounded time."""
        weak = MongoAddress(address.uri + "/?w=1&journal=false&wTimeoutMS=0&retryWrites=false", address.database)
        heard = Heard()
        store = await MongoDecisions.over(await Mongo.open(weak, listeners=[heard]))
        await store.append("main", make_decisions(2), [make_signal(1)], 1)
        await store.close()
        writes = [command for name, command in heard.commands if name in ("insert", "delete", "update")]
        assert len(writes) >= 4
        assert all(command["writeConcern"] == {"w": "majority", "j": True, "wtimeout": 10_000} for command in writes)

    @pytest.mark.skipif(not mongo_server.BUILT.is_file(), reason="needs FerretDB: make mongo-test-server")
    async def test_of_a_replica_set_a_majority_is_asked(self, tmp_path: Path) -> None:
        """Where the server is part of a replica set, reads see what a majority holds, and inserts can be told apart."""
        server = mongo_server.start(mongo_server.FERRETDB, tmp_path, None, "--repl-set-name=rs0")
        heard = Heard()
        try:
            store = await MongoDecisions.over(await Mongo.open(server.fresh(), listeners=[heard]))
            await store.append("main", make_decisions(2), [], 0)
            assert await listed(store.records("main")) == make_decisions(2)
            await store.close()
        finally:
            server.kill()
        reads = [command for name, command in heard.commands if name == "find"]
        inserts = [command for name, command in heard.commands if name == "insert"]
        assert all(command["readConcern"] == {"level": "majority"} for command in reads)
        assert all("txnNumber" in command for command in inserts)
        assert len(reads) > 3
        assert len(inserts) == 3


class Heard(monitoring.CommandListener):
    """Keeps every command that a client sends, and calls ``before`` each write, ``after`` each that succeeded."""

    def __init__(self, before: Callable[[], None] | None = None) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self._before = before

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self._before is not None and event.command_name in ("insert", "delete", "update"):
            self._before()
        self.commands.append((event.command_name, dict(event.command)))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class TestDatabase:
    async def test_is_a_decision_store(self, store: MongoDecisions) -> None:
        """The store can stand wherever the port is asked for."""
        port: DecisionStore = store
        assert await port.books() == ()

    async def test_opening_again_makes_nothing_twice(self, address: MongoAddress, raw: Database[Any]) -> None:
        """Indexes are made once; whoever opens the store later finds them."""
        found = []
        for _ in range(2):
            await (await MongoDecisions.open(address)).close()
            await (await MongoConfigs.open(address)).close()
            collections = sorted(raw.list_collection_names())
            found.append([(name, len(list(raw[name].list_indexes()))) for name in collections])
        assert found[0] == found[1]
        counts = dict(found[0])
        assert (counts["records"], counts["cursors"], counts["versions"]) == (4, 2, 3)

    async def test_many_open_one_new_store_at_once(self, address: MongoAddress) -> None:
        """Ten processes that start together on an empty database all come up."""
        stores = await asyncio.gather(*(MongoDecisions.open(address) for _ in range(10)))
        for store in stores:
            await store.close()
        assert len(stores) == 10

    @pytest.mark.parametrize("read_only", [False, True])
    async def test_a_newer_schema_is_refused_naming_both_versions(
        self, address: MongoAddress, raw: Database[Any], read_only: bool
    ) -> None:
        """A database filled by a newer version is refused, with its version and ours."""
        newer = decisions.SCHEMA + 41
        raw["schemas"].insert_one({"_id": "decisions", "version": newer})
        with pytest.raises(StoreError, match=rf"\b{newer}\b.*\b{decisions.SCHEMA}\b"):
            await MongoDecisions.open(address, read_only=read_only)

    async def test_reading_writes_nothing(self, address: MongoAddress, raw: Database[Any]) -> None:
        """A store that is opened to be read makes no collection and no index, and refuses to append."""
        reader = await MongoDecisions.open(address, read_only=True)
        assert (await reader.books(), await listed(reader.records("main"))) == ((), [])
        with pytest.raises(StoreError, match="read only"):
            await reader.append("main", make_decisions(1), [], 0)
        await reader.close()
        assert raw.list_collection_names() == []

    async def test_what_no_document_can_hold_is_store_error(self, store: MongoDecisions) -> None:
        """A number beyond 64 bits and text that is no Unicode are refused, and the store goes on."""
        (sound,) = make_decisions(1)
        for odd in (*make_chain([{"sequence": 2**70}]), replace(sound, measured="\udcff")):
            with pytest.raises(StoreError):
                await store.append("main", [odd], [], 0)
            assert await store.cursor("main") == StoreCursor()
        await store.append("main", [sound], [], 0)
        assert await listed(store.records("main")) == [sound]

    @pytest.mark.usefixtures("forgotten_sockets")
    async def test_an_outage_is_store_error_and_passes(self, tmp_path: Path) -> None:
        """While the server is away every call raises StoreError within its patience; when it is back all goes on."""
        kind = mongo_server.choose().kind
        kind = mongo_server.NX if kind == mongo_server.URI else kind
        server = mongo_server.start(kind, tmp_path / "server")
        port = int(server.uri.rpartition(":")[2])
        records = make_decisions(2)
        try:
            store = await MongoDecisions.over(await Mongo.open(server.fresh(), patience=0.5))
            await store.append("main", records[:1], [], 0)
            server.kill()
            began = time.monotonic()
            with pytest.raises(StoreError):
                await store.append("main", records[1:], [], 0)
            with pytest.raises(StoreError):
                await store.cursor("main")
            assert time.monotonic() - began < 10
            server = mongo_server.start(kind, tmp_path / "server", port)
            await store.append("main", records, [], 0)
            assert await listed(store.records("main")) == records
            await store.close()
        finally:
            server.kill()


class TestDocuments:
    async def test_what_is_searched_by_comes_from_the_body(self, store: MongoDecisions, raw: Database[Any]) -> None:
        """Every field beside a decision's body is the field of that name in it; the body is its very bytes."""
        (record,) = make_chain([{"strategy_id": "revert", "symbol": "ETHUSDT", "action": "sell", "verdict": "blocked"}])
        await store.append("main", [record], [], 0)
        (document,) = raw["records"].find()
        assert document["_id"] == "main/00000000000000000001"
        assert bytes(document["body"]) == record.body
        wanted = {
            "kind": "decision",
            "decision_id": decision_id("main", 1),
            "intent_id": "intent-1",
            "strategy_id": "revert",
            "symbol": "ETHUSDT",
            "action": "sell",
            "verdict": "blocked",
            "sequence": 1,
            "at": "2026-11-24T09:30:01.000000+00:00",
        }
        assert {name: document[name] for name in wanted} == wanted

    async def test_a_field_of_another_type_is_null(self, store: MongoDecisions, raw: Database[Any]) -> None:
        """A quarantined message may have no symbol: the field is empty, never the text of something else."""
        await store.append("main", make_chain([{"symbol": None, "strategy_id": 7, "sequence": "1"}]), [], 0)
        (document,) = raw["records"].find()
        assert (document["symbol"], document["strategy_id"], document["sequence"]) == (None, None, None)

    async def test_numbers_are_64_bits_wide(self, address: MongoAddress) -> None:
        """Indexes, sequences and instants are sent as 64-bit integers, small ones too: other readers see one type."""
        heard = Heard()
        store = await MongoDecisions.over(await Mongo.open(address, listeners=[heard]))
        configs = await MongoConfigs.over(await Mongo.open(address, listeners=[heard]))
        await store.append("main", [replace(make_decisions(1)[0], stored_at=10)], [make_signal(1)], 1)
        await configs.commit(make_version(1, at=11))
        await configs.keep_proposal(make_proposal(1, state="rejected", at=12))
        await store.close()
        await configs.close()
        inserted = {command["insert"]: command["documents"][0] for name, command in heard.commands if name == "insert"}
        numbers = {
            "records": ("index", "sequence", "stored_at"),
            "signals": ("sequence", "stored_at", "seen_ledger", "seen_outbox"),
            "cursors": ("ledger_index", "outbox_sequence"),
            "versions": ("number", "at"),
            "settlements": ("at",),
        }
        types = {type(inserted[collection][name]) for collection, names in numbers.items() for name in names}
        assert types == {Int64}

    async def test_a_body_altered_in_the_database_shows_in_verify(
        self, store: MongoDecisions, raw: Database[Any]
    ) -> None:
        """What is read back is the stored body, so a change breaks the chain where it was made."""
        records = make_decisions(4)
        await store.append("main", records, [], 0)
        (third,) = raw["records"].find({"index": 3})
        raw["records"].delete_one({"index": 3})
        raw["records"].insert_one({**third, "body": records[2].body.replace(b"BTC", b"ETH")})
        found = (await walked(store)).breaks[0]
        assert (found.index, found.decision_id) == (3, decision_id("main", 3))

    @pytest.mark.parametrize("gone", [1, 2, 3])
    async def test_a_record_deleted_from_the_database_shows_in_verify(
        self, store: MongoDecisions, raw: Database[Any], gone: int
    ) -> None:
        """A deleted record is named as missing."""
        await store.append("main", make_decisions(4), [], 0)
        raw["records"].delete_one({"index": gone})
        assert f"record {gone} is missing" in (await walked(store)).breaks[0].problem

    async def test_marks_that_are_overtaken_are_taken_down(self, store: MongoDecisions, raw: Database[Any]) -> None:
        """However many batches there were, one mark says how far a book is."""
        records = make_decisions(9)
        for start in range(9):
            await store.append("main", records[start : start + 1], [], start)
        assert raw["cursors"].count_documents({}) == 1
        assert await store.cursor("main") == StoreCursor(9, records[8].hash, 8)

    async def test_the_farthest_marks_count(self, store: MongoDecisions, raw: Database[Any]) -> None:
        """Of marks that were left standing, the farthest of ledger and outbox count, each on its own."""
        records = make_decisions(3)
        await store.append("main", records, [], 2)
        early = {"book": "main", "ledger_index": Int64(1), "ledger_head": records[0].hash, "outbox_sequence": Int64(7)}
        raw["cursors"].insert_one({"_id": "main/00000000000000000001/00000000000000000007", **early})
        assert await store.cursor("main") == StoreCursor(3, records[2].hash, 7)
        assert await store.books() == ("main",)


def outside(look: Callable[[], Awaitable[None]]) -> None:
    """Run ``look`` to its end on a loop of its own, while this thread stands still."""

    async def whole() -> None:
        await look()

    thread = Thread(target=asyncio.run, args=(whole(),))
    thread.start()
    thread.join()


class TestSteps:
    async def test_between_any_two_steps_a_reader_sees_whole_batches(self, address: MongoAddress) -> None:
        """Before each write of an append, another client sees what there was before, until it sees all there is."""
        records, signals = make_decisions(6), [make_signal(3), make_signal(4)]
        seen: list[object] = []

        async def look() -> None:
            reader = await MongoDecisions.open(address, read_only=True)
            found = [await reader.find(decision_id("main", index)) for index in (3, 6)]
            promoted = [await reader.signal("main", sequence) for sequence in (3, 4)]
            seen.append((await reader.cursor("main"), await listed(reader.records("main")), found, promoted))
            await reader.close()

        before = (StoreCursor(2, records[1].hash, 1), records[:2], [None, None], [None, None])
        after = (StoreCursor(6, records[5].hash, 2), records, [records[2], records[5]], signals)
        store = await MongoDecisions.open(address)
        await store.append("main", records[:2], [make_signal(1)], 1)
        await store.close()
        heard = Heard(before=lambda: outside(look))
        store = await MongoDecisions.over(await Mongo.open(address, listeners=[heard]))
        seen.clear()
        await store.append("main", records[2:], signals, 2)
        await look()
        await store.close()
        assert len(seen) == 5
        assert seen == [before, before, before, after, after]

    async def test_what_a_killed_projector_left_is_a_repeat(self, address: MongoAddress, raw: Database[Any]) -> None:
        """A batch whose mark is missing is seen by nobody, and is taken up by whoever brings it again."""
        records, signals = make_decisions(4), [make_signal(2), make_signal(3)]
        store = await MongoDecisions.open(address)
        await store.append("main", records, signals, 9)
        raw["cursors"].delete_many({})
        assert (await store.cursor("main"), await store.books()) == (StoreCursor(), ())
        assert await store.find(decision_id("main", 2)) is None
        assert await store.find(decision_id("main", 2)[:8]) is None
        assert await store.signal("main", 2) is None
        await store.append("main", records[:3], signals[:1], 5)
        assert await store.cursor("main") == StoreCursor(3, records[2].hash, 5)
        assert await listed(store.records("main")) == records[:3]
        assert await store.signal("main", 2) == signals[0]
        assert await store.signal("main", 3) is None
        await store.append("main", records[3:], signals[1:], 9)
        assert await listed(store.records("main")) == records
        assert await store.signal("main", 3) == signals[1]
        await store.close()

    async def test_what_was_left_by_another_ledger_is_refused(self, address: MongoAddress, raw: Database[Any]) -> None:
        """Records that nobody sees are still not overwritten: two ledgers never mix."""
        store = await MongoDecisions.open(address)
        await store.append("main", make_decisions(2), [], 0)
        raw["cursors"].delete_many({})
        other = make_chain([{}, {"symbol": "ETHUSDT"}])
        with pytest.raises(StoreError, match="record 2 of book 'main' differs"):
            await store.append("main", other, [], 0)
        assert await store.cursor("main") == StoreCursor()
        await store.close()

    async def test_two_projectors_carry_one_ledger(self, address: MongoAddress) -> None:
        """Two that carry the same ledger in batches of their own do not get into each other's way."""
        records = make_decisions(60)
        stores = [await MongoDecisions.open(address) for _ in range(2)]

        async def project(store: MongoDecisions, step: int) -> None:
            while (done := (await store.cursor("main")).ledger_index) < 60:
                await store.append("main", records[done : done + step], [make_signal(done + 1)], done + 1)

        await asyncio.gather(project(stores[0], 3), project(stores[1], 7))
        for store in stores:
            assert await listed(store.records("main")) == records
            assert (await store.cursor("main")).ledger_index == 60
            await store.close()

    async def test_ledger_and_outbox_are_carried_side_by_side(self, store: MongoDecisions) -> None:
        """As the projector does: one task carries records, another signals, and neither undoes the other's mark."""
        records = make_decisions(30)

        async def ledger() -> None:
            for record in records:
                await store.append("main", [record], [], 0)

        async def outbox() -> None:
            for sequence in range(1, 31):
                await store.append("main", [], [make_signal(sequence)], sequence)

        await asyncio.gather(ledger(), outbox())
        assert await store.cursor("main") == StoreCursor(30, records[29].hash, 30)
        assert await listed(store.records("main")) == records
        assert [await store.signal("main", sequence) for sequence in (1, 30)] == [make_signal(1), make_signal(30)]


class TestShared:
    async def test_no_answer_is_older_than_its_question(self) -> None:
        """Whoever asks while a read is under way is answered by the next one, together with all who came meanwhile."""
        begun, gates = [], [asyncio.Event() for _ in range(3)]

        async def read(key: str) -> int:
            begun.append(key)
            await gates[len(begun) - 1].wait()
            return len(begun)

        shared = Shared(read)
        first = asyncio.create_task(shared.ask("main"))
        while not begun:
            await asyncio.sleep(0)
        later = [asyncio.create_task(shared.ask("main")) for _ in range(5)]
        await asyncio.sleep(0)
        assert begun == ["main"]
        gates[0].set()
        assert await first == 1
        later.append(asyncio.create_task(shared.ask("main")))
        later[0].cancel()
        gates[1].set()
        gates[2].set()
        answers = await asyncio.gather(*later, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:5] == [2] * 4
        assert len(begun) <= 3

    async def test_everyone_is_told_of_a_failure_and_the_next_read_is_a_new_one(self) -> None:
        """A read that fails fails for all who share it; whoever asks again gets an answer of its own."""
        outcomes: list[str | StoreError] = [StoreError("away"), "back"]

        async def read(_key: str) -> str:
            outcome = outcomes.pop(0)
            if isinstance(outcome, StoreError):
                raise outcome
            return outcome

        shared = Shared(read)
        told = await asyncio.gather(*(shared.ask("main") for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in told] == ["away"] * 3
        assert await shared.ask("main") == "back"


class TestConfigs:
    async def test_a_commit_that_fails_leaves_the_number_to_the_next(self, address: MongoAddress) -> None:
        """Of two writers of one number, the second is not refused because the first was given up half way."""
        configs = await MongoConfigs.open(address)
        await configs.commit(make_version(1))
        first = asyncio.create_task(configs.commit(make_version(3)))
        outcomes = await asyncio.gather(first, configs.commit(make_version(2)), return_exceptions=True)
        assert type(outcomes[0]) is StoreError
        given_up = asyncio.create_task(configs.commit(make_version(3, author="bo")))
        second = asyncio.create_task(configs.commit(make_version(3, author="cy")))
        await asyncio.sleep(0)
        given_up.cancel()
        try:
            await second
            assert (await configs.head("main")) == make_version(3, author="cy")
        except VersionTaken:  # the server may have had the first one's insertion before it was given up
            assert (await configs.head("main")) == make_version(3, author="bo")
        await configs.close()

    async def test_two_hundred_commits_race(self, mongo: MongoServer) -> None:
        """Two hundred writers on twenty clients commit one number at once: one wins it, and all others are told."""
        address = mongo.fresh()
        stores = [await MongoConfigs.open(address) for _ in range(20)]
        won: list[str] = []
        for number in (1, 2, 3):
            offers = [make_version(number, author=f"writer {writer}") for writer in range(200)]
            commits = [stores[writer % 20].commit(offer) for writer, offer in enumerate(offers)]
            outcomes = await asyncio.gather(*commits, return_exceptions=True)
            told = [outcome for outcome in outcomes if outcome is not None]
            assert [type(outcome) for outcome in told] == [VersionTaken] * 199
            won += [offer.author for offer, outcome in zip(offers, outcomes, strict=True) if outcome is None]
        history = await stores[3].history("main")
        assert [(version.number, version.author) for version in history] == [(3, won[2]), (2, won[1]), (1, won[0])]
        for store in stores:
            await store.close()

    async def test_a_settled_proposal_that_was_killed_half_way_is_settled(
        self, address: MongoAddress, raw: Database[Any]
    ) -> None:
        """What stands among the settled and still among the waiting is settled, however it is asked for."""
        configs = await MongoConfigs.open(address)
        waiting, other = make_proposal(1), make_proposal(2)
        settled = replace(waiting, state="approved", settled_by="bo", version=3)
        await configs.keep_proposal(waiting)
        (left,) = raw["proposals"].find()
        await configs.keep_proposal(settled)
        await configs.keep_proposal(other)
        raw["proposals"].insert_one(left)
        assert await configs.proposal("main", waiting.id) == settled
        assert list(await configs.proposals("main")) == [other, settled]
        assert list(await configs.proposals("main", "waiting")) == [other]
        with pytest.raises(StoreError, match="settled already"):
            await configs.keep_proposal(waiting)
        await configs.close()
