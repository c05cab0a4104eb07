"""The command line: what goes in, what comes out, and what it must never show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import (
    BOOK,
    PATIENT,
    NatsServer,
    Process,
    gate_process,
    intent_bytes,
    ours,
    publish,
    run_cli,
    running_gate,
    wait_until,
)

from petrosa_cio.apps.nurse.controls.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.client import Client

SECRET = "sEcret99"


# -- judge -------------------------------------------------------------------------------------------------------------


def test_judge_approves_and_shows_every_check() -> None:
    """A sound intent on standard input is approved with exit code 0, and every control is named: checked or not."""
    done = run_cli("judge", given=intent_bytes())
    verdict = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert (verdict["verdict"], verdict["reasons"]) == ("approved", [])
    assert {*verdict["observed"], *verdict["unevaluated"]} == {control.code.value for control in TABLE}
    assert not set(verdict["observed"]) & set(verdict["unevaluated"])


def test_judge_blocks_with_exit_code_1() -> None:
    """A buy whose stop is above its price is blocked with exit code 1, the reason and its numbers."""
    done = run_cli("judge", given=intent_bytes(price=100.0, stop_loss=101.5))
    (reason,) = json.loads(done.out)["reasons"]
    assert done.code == 1
    assert (reason["code"], reason["stop_loss"], reason["price"]) == ("STOP_WRONG_SIDE", 101.5, 100)


def test_judge_absorbs_a_hold() -> None:
    """A hold is no refusal: absorbed, exit code 0."""
    done = run_cli("judge", given=intent_bytes(action="hold"))
    assert (done.code, json.loads(done.out)["verdict"]) == (0, "absorbed")


def test_judge_names_every_fault_of_a_malformed_intent() -> None:
    """All faults of a malformed intent are named at once."""
    done = run_cli("judge", given=intent_bytes(price="100", confidence=2, action="BUY"))
    (reason,) = json.loads(done.out)["reasons"]
    assert done.code == 1
    assert reason["code"] == "MALFORMED_INTENT"
    assert {fault.split(":")[0] for fault in reason["faults"]} == {"price", "confidence", "action"}


@pytest.mark.parametrize("garbage", [b"garbage", b"", b"\xff\xfe", b'{"a":'], ids=repr)
def test_judge_quarantines_what_is_no_json(garbage: bytes) -> None:
    """What is no JSON is quarantined with exit code 1, without a traceback."""
    done = run_cli("judge", given=garbage)
    assert (done.code, done.err) == (1, "")
    assert json.loads(done.out)["verdict"] == "quarantined"


def test_judge_refuses_a_faulty_policy_naming_every_fault(tmp_path: Path) -> None:
    """A policy file with several faults is refused with exit code 2 and one line that names them all."""
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"scopes": {"global": {"no_such": 1, "leverage": -1}}, "modes": {"NO_CODE": "off"}}))
    done = run_cli("judge", "--policy", str(path), given=intent_bytes())
    assert done.code == 2
    assert all(fault in done.err for fault in ("no_such", "leverage", "NO_CODE", path.name))
    assert len(done.err.splitlines()) == 1


# -- status ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(nats_server: NatsServer, tmp_path: Path) -> Iterator[Process]:
    """A gate process that leads."""
    process = gate_process(nats_server.url, tmp_path)
    wait_until(lambda: '"leading"' in process.text(), "the gate leads")
    yield process
    process.end()


def test_status_of_balanced_books(nats_server: NatsServer, gate: Process) -> None:
    """While the books balance status ends with 0 and shows the accounts, for people and as JSON."""
    shown = run_cli("status", "--nats-url", nats_server.url)
    assert shown.code == 0
    assert "balanced" in shown.out
    found = json.loads(run_cli("status", "--nats-url", nats_server.url, "--json").out)
    assert (found["book"], found["state"], found["pid"]) == (BOOK, "leading", gate.pid)
    assert found["account"]["balanced"] is True


async def test_status_of_books_that_do_not_balance(nats_server: NatsServer, client: Client, gate: Process) -> None:
    """A signal that nobody promised makes status end with 1 and say so."""
    await client.jetstream().publish(f"cio.outbox.{BOOK}.99.signal.forged", b"{}")
    done = run_cli("status", "--nats-url", nats_server.url)
    assert done.code == 1
    assert "1 more signals and expiries than promises" in done.out


def test_status_where_no_gate_answers(nats_server: NatsServer, tmp_path: Path) -> None:
    """Without a gate, without a server and without an `up` status ends with 3 and one line."""
    unused = "nats://127.0.0.1:1"
    for arguments in (
        ("--nats-url", nats_server.url),
        ("--nats-url", unused),
        ("--data-dir", str(tmp_path / "nothing here")),
    ):
        done = run_cli("status", *arguments)
        assert done.code == 3
        assert len(done.err.splitlines()) == 1


async def test_verify_ledger_walks_the_stream(nats_server: NatsServer, client: Client) -> None:
    """On a server verify-ledger ends with 0 and the head for a sound ledger, with 1 and the record for another."""
    async with running_gate(nats_server.url) as running:
        await publish(client, [intent_bytes() for _ in range(5)])
        await running.judged(5)
        head = running.gate.position.head
    sound = run_cli("verify-ledger", "--nats-url", nats_server.url)
    assert sound.code == 0
    assert head in sound.out
    await client.jetstream().publish(f"cio.ledger.{BOOK}", b'{"index":7}')
    broken = run_cli("verify-ledger", "--nats-url", nats_server.url)
    assert broken.code == 1
    assert "record 7" in broken.out


def test_tail_prints_every_record_from_the_start(nats_server: NatsServer, gate: Process, tmp_path: Path) -> None:
    """With --from-start and --json tail prints the ledger's records as JSON lines, and ctrl-C ends it with 130."""
    tail = Process(ours("tail", "--nats-url", nats_server.url, "--from-start", "--json"), tmp_path / "tail.out").start()
    try:
        wait_until(lambda: "\n" in tail.text(), "a record is printed")
        tail.send(signal.SIGINT)
        assert tail.wait() == 130
    finally:
        tail.end()
    assert json.loads(tail.text().splitlines()[0])["kind"] == "policy"
    assert "Traceback" not in tail.text()


# -- settings and secrets ----------------------------------------------------------------------------------------------


def test_serve_refuses_an_unknown_setting(tmp_path: Path) -> None:
    """An unknown CIO_ variable, as a misspelt one is, is refused with exit code 2 and named, with every other fault."""
    done = run_cli("serve", CIO_NATS_ULR="nats://x", CIO_REPLICAS="nine", CIO_DATA_DIR=str(tmp_path))
    assert done.code == 2
    assert all(name in done.err for name in ("CIO_NATS_ULR", "CIO_REPLICAS"))
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


UNREACHABLE = (
    f"nats://joe:{SECRET}@127.0.0.1:1",
    f"nats://{SECRET}@127.0.0.1:1",
    f"nats://joe:{SECRET}@127.0.0.1:1,nats://jim:{SECRET}@127.0.0.1:2",
    f"nats://joe:{SECRET}@127.0.0.1:1, nats://127.0.0.1:2",
    f"joe:{SECRET}@127.0.0.1:1",
    f"tls://joe:{SECRET}@127.0.0.1:1",
    f"nats://joe:{SECRET}@not a host:x",
    f"nonsense://joe:{SECRET}@127.0.0.1:1",
)


def test_an_error_does_not_show_the_password() -> None:
    """However the address of an unreachable server is written, its password is in no message; the code is 2 or 3."""
    with ThreadPoolExecutor() as pool:
        all_done = list(pool.map(lambda url: run_cli("status", "--nats-url", url), UNREACHABLE))
    said = {url: done.err + done.out for url, done in zip(UNREACHABLE, all_done, strict=True)}
    assert {url for url, text in said.items() if SECRET in text} == set()
    assert {done.code for done in all_done} <= {2, 3}
    assert "Traceback" not in "".join(said.values())


@pytest.fixture
def guarded_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server that asks for a user and a password."""
    server = NatsServer.start(tmp_path, jetstream=f'}}\nauthorization {{ user: joe, password: "{SECRET}"')
    yield server
    server.process.end()


def test_serve_shows_its_password_nowhere(guarded_server: NatsServer, tmp_path: Path) -> None:
    """With user and password in CIO_NATS_URL serve judges, and the password is in no log, file or command line."""
    data, policy_file = tmp_path / "data", tmp_path / "policy.json"
    policy_file.write_text(json.dumps(PATIENT))
    settings = {
        "CIO_NATS_URL": guarded_server.url.replace("nats://", f"nats://joe:{SECRET}@"),
        "CIO_DATA_DIR": str(data),
        "CIO_POLICY_FILE": str(policy_file),
    }
    serve = Process(ours("serve"), tmp_path / "serve.log", settings).start()
    try:
        wait_until(lambda: "judging book main" in serve.text(), "serve is judging")
        children = [int(path.read_text()) for path in (data / "run").glob("*.pid")]
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in (serve.pid, *children)]
        guarded_server.kill()  # what the connection says when it breaks is logged too
        wait_until(lambda: "disconnected" in (data / "logs" / "gate.log").read_text(), "the loss is logged")
        guarded_server.restart()
        wait_until(lambda: (data / "logs" / "gate.log").read_text().count('"leading"') > 1, "it leads again")
        serve.send(signal.SIGTERM)
        assert serve.wait() == 0
    finally:
        serve.end()

    assert len(children) == 4
    written = [path.read_text(errors="replace") for path in data.rglob("*") if path.is_file()]
    assert SECRET not in "".join([*commands, *written, serve.text()])
    assert "Traceback" not in "".join([*written, serve.text()])


def test_a_server_that_refuses_the_password_is_not_called_unreachable(guarded_server: NatsServer) -> None:
    """A wrong password is reported as what it is, with exit code 3 and without showing it."""
    url = guarded_server.url.replace("nats://", "nats://joe:wr0ng@")
    done = run_cli("status", "--nats-url", url)
    assert done.code == 3
    assert "wr0ng" not in done.err
    assert "uthoriz" in done.err


def test_several_servers_may_be_named(nats_server: NatsServer, gate: Process) -> None:
    """Of several comma-separated servers, as the settings promise, one that answers is enough."""
    done = run_cli("status", "--nats-url", f"nats://127.0.0.1:1,{nats_server.url}")
    assert (done.code, done.err) == (0, "")


def test_every_command_explains_itself() -> None:
    """Each public command has help and the version is told; a wrong option is exit code 2 without a traceback."""
    listed = run_cli("--help")
    assert listed.code == 0
    for command in ("up", "serve", "judge", "replay", "explain", "verify-ledger", "tail", "status"):
        assert command in listed.out
        assert run_cli(command, "--help").code == 0
    assert run_cli("--version").out.strip()
    wrong = run_cli("judge", "--no-such-option")
    assert wrong.code == 2
    assert "Traceback" not in wrong.err


def test_a_reader_that_goes_away_is_no_error(nats_server: NatsServer, gate: Process, tmp_path: Path) -> None:
    """Output into a closed pipe, as `head` leaves it, ends quietly."""
    read, write = os.pipe()
    os.close(read)
    with (tmp_path / "err").open("wb") as errors:
        subprocess.run(
            ours("status", "--nats-url", nats_server.url, "--json"),
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=errors,
            timeout=20,
            check=False,
        )
    os.close(write)
    assert (tmp_path / "err").read_text() == ""
