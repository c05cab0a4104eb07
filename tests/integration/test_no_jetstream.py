"""A server that cannot record is refused, and the refusal says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness import gate_process, run_cli, until

from petrosa_cio.core.nats.link import Link
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from pathlib import Path

    from harness import NatsServer

ADVICE = "nats-server -js"


async def test_a_link_says_how_to_enable_jetstream(nats_server_without_jetstream: NatsServer) -> None:
    """Asked for JetStream that is not there, a link raises BusError with the command that enables it."""
    link = await Link.open(nats_server_without_jetstream.url, "test")
    try:
        with pytest.raises(BusError, match=ADVICE) as raised:
            await link.require_jetstream()
    finally:
        await link.close()
    assert type(raised.value) is BusError  # not Interrupted: asking again would not help


def test_serve_ends_with_code_3_and_one_line(nats_server_without_jetstream: NatsServer, tmp_path: Path) -> None:
    """The command serve gives up at once with exit code 3 and one line that says how to enable JetStream."""
    done = run_cli(
        "serve", CIO_NATS_URL=nats_server_without_jetstream.url, CIO_DATA_DIR=str(tmp_path / "data"), timeout=20
    )
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert line.startswith("petrosa-cio: ")
    assert ADVICE in line
    assert done.out == ""


async def test_a_gate_process_ends_with_code_3(nats_server_without_jetstream: NatsServer, tmp_path: Path) -> None:
    """A gate started directly says the same and ends; it does not wait for a JetStream that will not come."""
    gate = gate_process(nats_server_without_jetstream.url, tmp_path)
    try:
        await until(lambda: not gate.alive, "it ends")
    finally:
        gate.end()
    assert gate.wait() == 3
    assert ADVICE in gate.text()
    assert "Traceback" not in gate.text()
