"""serve with MongoDB: the projector fills it, explain and verify-ledger read it, and its password is told nowhere."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import PATIENT, Process, eventually, intent_bytes, ours, publish, run_cli, wait_until

import mongo_server
from petrosa_cio.apps.nurse.record import decode
from petrosa_cio.core.db.mongo.configs import MongoConfigs
from petrosa_cio.core.db.mongo.decisions import MongoDecisions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness import NatsServer
    from nats.aio.client import Client

    from mongo_server import MongoServer
    from petrosa_cio.apps.nurse.models import Json

    Serve = Callable[..., Process]

SECRET = "tr0ub4dor-and-3"


@pytest.fixture
def serve(nats_server: NatsServer, tmp_path: Path) -> Iterator[Serve]:
    """Starts serve with settings, and ends it."""
    started: list[Process] = []

    def start(**settings: str) -> Process:
        policy_file = tmp_path / "policy.json"
        policy_file.write_text(json.dumps(PATIENT))
        where = {"CIO_NATS_URL": nats_server.url, "CIO_DATA_DIR": str(tmp_path), "CIO_POLICY_FILE": str(policy_file)}
        started.append(Process(ours("serve"), tmp_path / "serve.log", {**where, **settings}).start())
        wait_until(lambda: "judging book main" in started[-1].text(), "serve is judging", 40)
        return started[-1]

    yield start
    for process in started:
        process.end()


def command_lines(directory: Path) -> str:
    """Command lines of the children of serve that live at this moment."""
    lines: list[str] = []
    for path in (directory / "run").glob("*.pid"):
        with suppress(FileNotFoundError, ProcessLookupError):
            lines.append(Path(f"/proc/{path.read_text()}/cmdline").read_text())
    return "".join(lines)


async def contents(store: MongoDecisions) -> list[dict[str, Json]]:
    return [decode(record.body) async for record in store.records("main")]


async def test_what_serve_decides_is_explained_from_mongodb(
    mongo: MongoServer, client: Client, serve: Serve, tmp_path: Path
) -> None:
    """Decisions, signals and configuration are in MongoDB, killed projector or not; no store is made beside it."""
    address = mongo.fresh()
    settings = {"CIO_MONGODB_URI": address.uri, "CIO_MONGODB_DATABASE": address.database}
    serving = serve(**settings)
    store, configs = await MongoDecisions.open(address), await MongoConfigs.open(address)

    async def carried(count: int) -> bool:
        decided = [content["verdict"] for content in await contents(store) if content["kind"] == "decision"]
        return decided == ["approved"] * count and (await store.cursor("main")).outbox_sequence == count

    await publish(client, [intent_bytes() for _ in range(20)])
    await eventually(lambda: carried(20), "twenty decisions and signals are carried")
    killed = int((tmp_path / "run" / "projector.pid").read_text())
    Process(("kill", "-9", str(killed)), tmp_path / "kill.log").start().wait()
    await publish(client, [intent_bytes() for _ in range(20)])
    await eventually(lambda: carried(40), "and twenty more by the next projector")
    commands = command_lines(tmp_path)
    serving.send(signal.SIGTERM)
    assert serving.wait() == 0

    last = (await contents(store))[-1]
    head = await configs.head("main")
    count = (await store.cursor("main")).ledger_index
    await store.close()
    await configs.close()
    assert head is not None
    assert head.revision == last["policy_revision"]
    told = run_cli("explain", str(last["decision_id"])[:8], "--json", **settings)
    assert (told.code, told.err) == (0, "")
    assert json.loads(told.out)["signal"] is not None
    verified = run_cli("verify-ledger", **settings)
    assert verified.code == 0
    assert f"{count} records" in verified.out
    assert run_cli("explain", "00000000deadbeef", **settings).code == 4
    assert run_cli("verify-ledger", "--data-dir", str(tmp_path), **settings).code == 3
    assert list(tmp_path.glob("*.sqlite")) == []
    assert "projector" in commands
    assert "steward" in commands
    assert address.uri not in commands
    logs = "".join(path.read_text(errors="replace") for path in (tmp_path / "logs").iterdir())
    assert "Traceback" not in logs


async def test_while_mongodb_is_away_serve_judges_on(
    nats_server: NatsServer, client: Client, serve: Serve, tmp_path: Path
) -> None:
    """An outage of MongoDB holds no decision up: what is decided meanwhile is carried when it is back."""
    kind = mongo_server.choose().kind
    kind = mongo_server.NX if kind == mongo_server.URI else kind
    server = mongo_server.start(kind, tmp_path / "mongo")
    address = server.fresh()
    try:
        serving = serve(CIO_MONGODB_URI=address.uri, CIO_MONGODB_DATABASE=address.database)
        server.kill()
        await publish(client, [intent_bytes() for _ in range(5)])

        async def promoted() -> bool:
            asked = await asyncio.to_thread(run_cli, "status", "--nats-url", nats_server.url, "--json")
            return bool(json.loads(asked.out)["account"]["promoted"] == 5)

        await eventually(promoted, "five intents are promoted without a store")
        server = mongo_server.start(kind, tmp_path / "mongo", int(address.uri.rpartition(":")[2]))
        store = await MongoDecisions.open(address, read_only=True)

        async def carried() -> bool:
            kinds = [content["kind"] for content in await contents(store)]
            return kinds.count("decision") == 5 and (await store.cursor("main")).outbox_sequence == 5

        await eventually(carried, "they are carried afterwards", 40)
        await store.close()
        serving.send(signal.SIGTERM)
        assert serving.wait() == 0
    finally:
        server.kill()


def test_no_log_holds_the_password(nats_server: NatsServer, tmp_path: Path) -> None:
    """Where MongoDB cannot be reached, everyone says where they looked, and nobody with which password."""
    uri = f"mongodb://joe:{SECRET}@127.0.0.1:1/"
    settings = {"CIO_NATS_URL": nats_server.url, "CIO_DATA_DIR": str(tmp_path), "CIO_MONGODB_URI": uri}
    serving = Process(ours("serve"), tmp_path / "serve.log", settings).start()
    try:
        for name in ("projector", "steward"):
            log = tmp_path / "logs" / f"{name}.log"
            wait_until(
                lambda log=log: log.exists() and "mongodb://127.0.0.1:1, " in log.read_text(), f"{name} says", 40
            )
        commands = command_lines(tmp_path)
        told = [run_cli("explain", "00000000", **settings), run_cli("config", "get", "--from-settings", **settings)]
        serving.send(signal.SIGTERM)
        assert serving.wait() == 0
    finally:
        serving.end()
    assert [done.code for done in told] == [3, 3]
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*.log")]
    said = "".join([commands, *written, *(done.out + done.err for done in told)])
    assert SECRET not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("uri", ["postgres://joe:tr0ub4dor-and-3@host", "tr0ub4dor-and-3", ""])
def test_what_is_no_mongodb_is_a_wrong_setting(uri: str) -> None:
    """CIO_MONGODB_URI must be a connection string: exit code 2, named, and not a word of it is told."""
    done = run_cli("verify-ledger", CIO_MONGODB_URI=uri, CIO_MONGODB_DATABASE="no.such/name")
    assert done.code == 2
    assert {"CIO_MONGODB_URI", "CIO_MONGODB_DATABASE"} <= set(done.err.replace(":", " ").split())
    assert SECRET not in done.err
