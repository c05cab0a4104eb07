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

from petrosa_cio.bootstrap.stores import STORE_FILE
from petrosa_cio.core.db.mongo.decisions import MongoDecisions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness import NatsServer
    from nats.aio.client import Client

    from mongo_server import MongoServer

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


async def test_what_serve_decides_is_explained_from_mongodb(
    mongo: MongoServer, client: Client, serve: Serve, tmp_path: Path
) -> None:
    """Decisions and signals are carried into MongoDB, killed projector or not; no file is made beside it."""
    address = mongo.fresh()
    settings = {"CIO_MONGODB_URI": address.uri, "CIO_MONGODB_DATABASE": address.database}
    serving = serve(**settings)
    store = await MongoDecisions.open(address)

    async def carried(count: int) -> bool:
        cursor = await store.cursor("main")
        return cursor.ledger_index == count and cursor.outbox_sequence == count - 1

    await publish(client, [intent_bytes() for _ in range(20)])
    await eventually(lambda: carried(21), "the policy and twenty decisions are carried")
    killed = int((tmp_path / "run" / "projector.pid").read_text())
    Process(("kill", "-9", str(killed)), tmp_path / "kill.log").start().wait()
    await publish(client, [intent_bytes() for _ in range(20)])
    await eventually(lambda: carried(41), "and twenty more by the next projector")
    commands = command_lines(tmp_path)
    serving.send(signal.SIGTERM)
    assert serving.wait() == 0

    bodies = [json.loads(record.body) async for record in store.records("main")]
    await store.close()
    identity = bodies[-1]["decision_id"]
    told = run_cli("explain", identity[:8], "--json", **settings)
    assert (told.code, told.err) == (0, "")
    assert identity in told.out
    assert json.loads(told.out)["signal"] is not None
    verified = run_cli("verify-ledger", **settings)
    assert verified.code == 0
    assert "41 records" in verified.out
    assert run_cli("explain", "00000000deadbeef", **settings).code == 4
    assert run_cli("verify-ledger", "--data-dir", str(tmp_path), **settings).code == 3
    assert not (tmp_path / STORE_FILE).exists()
    assert commands.count("projector") == 1
    assert address.uri not in commands
    assert "Traceback" not in (tmp_path / "logs" / "projector.log").read_text()


async def test_without_its_mongodb_serve_judges_and_tells_no_password(
    nats_server: NatsServer, client: Client, serve: Serve, tmp_path: Path
) -> None:
    """A MongoDB that cannot be reached holds no decision up; the projector says where it looked, without password."""
    uri = f"mongodb://joe:{SECRET}@127.0.0.1:1/"
    serving = serve(CIO_MONGODB_URI=uri)
    log = tmp_path / "logs" / "projector.log"
    wait_until(lambda: "mongodb://127.0.0.1:1, database petrosa_cio" in log.read_text(), "it says so", 40)
    commands = command_lines(tmp_path)
    await publish(client, [intent_bytes()])

    async def judged() -> bool:
        asked = await asyncio.to_thread(run_cli, "status", "--nats-url", nats_server.url, "--json")
        return bool(json.loads(asked.out)["account"]["promoted"] == 1)

    await eventually(judged, "the intent is judged and promoted")
    told = run_cli("explain", "00000000", CIO_MONGODB_URI=uri)
    serving.send(signal.SIGTERM)
    assert serving.wait() == 0
    assert told.code == 3
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*.log")]
    assert "Traceback" not in "".join([*written, told.err])
    assert SECRET not in "".join([*commands, *written, told.out, told.err])


@pytest.mark.parametrize("uri", ["postgres://joe:tr0ub4dor-and-3@host", "tr0ub4dor-and-3", ""])
def test_what_is_no_mongodb_is_a_wrong_setting(uri: str) -> None:
    """CIO_MONGODB_URI must be a connection string: exit code 2, named, and not a word of it is told."""
    done = run_cli("verify-ledger", CIO_MONGODB_URI=uri, CIO_MONGODB_DATABASE="no.such/name")
    assert done.code == 2
    assert {"CIO_MONGODB_URI", "CIO_MONGODB_DATABASE"} <= set(done.err.replace(":", " ").split())
    assert SECRET not in done.err
