"""A server that speaks MongoDB's protocol, for tests: which one there is, how it is built, started and ended.

In this order: the deployment that ``CIO_TEST_MONGODB_URI`` names; FerretDB 1 on SQLite, where `make
mongo-test-server` has built it (it needs Go); nx-27017 from PyPI, which is always there. ``CIO_TEST_MONGODB_SERVER``
set to ``uri``, ``ferretdb`` or ``nx-27017`` asks for one of them and no other. Both servers forget everything with
their directory; on a deployment of yours every database made here begins with ``cio_test_`` and is dropped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from petrosa_cio.core.db.mongo.address import MongoAddress, public

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "github.com/FerretDB/FerretDB"
VERSION = "v1.24.2"
SUM = "h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw="
"""Hash of the module's source, as Go's checksum database has it; its own go.sum pins everything that it needs."""

BUILT = Path(__file__).resolve().parents[1] / ".cache" / f"ferretdb-{VERSION}" / "ferretdb"
START_SECONDS = 30.0
BUILD_SECONDS = 600.0

URI, FERRETDB, NX = "uri", "ferretdb", "nx-27017"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which server the tests of this run use, and a line that says so."""

    kind: str
    told: str


def choose() -> Choice:
    """The server for this run. Raises LookupError where the one that is asked for is not there."""
    asked = os.environ.get("CIO_TEST_MONGODB_SERVER", "")
    uri = os.environ.get("CIO_TEST_MONGODB_URI", "")
    if asked not in ("", URI, FERRETDB, NX) or (asked == URI and not uri):
        msg = f"CIO_TEST_MONGODB_SERVER={asked}: not one of {URI} (with CIO_TEST_MONGODB_URI), {FERRETDB}, {NX}"
        raise LookupError(msg)
    if asked == URI or (uri and not asked):
        return Choice(URI, f"{public(uri)} (CIO_TEST_MONGODB_URI)")
    if asked == NX:
        return Choice(NX, "nx-27017 (as asked)")
    fault = _fault_of_build()
    if not fault:
        return Choice(FERRETDB, f"FerretDB {VERSION} on SQLite")
    if asked == FERRETDB:
        msg = f"CIO_TEST_MONGODB_SERVER={asked}: {fault}"
        raise LookupError(msg)
    return Choice(NX, f"nx-27017 ({fault})")


def _fault_of_build() -> str:
    if not BUILT.is_file():
        return "FerretDB is not built: make mongo-test-server"
    try:
        said = subprocess.run([BUILT, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"the FerretDB that was built does not run: {error}"
    return "" if VERSION in said else f"what was built is not FerretDB {VERSION}"


def build() -> None:
    """Build FerretDB into `BUILT`. Raises LookupError where there is no Go, and what subprocess raises."""
    go = shutil.which("go")
    if go is None:
        msg = "no Go here"
        raise LookupError(msg)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    BUILT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT.parent, prefix="build-") as directory:
        source = Path(directory) / "source"
        download = [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"]
        answer = subprocess.run(download, stdout=subprocess.PIPE, env=environment, check=True, timeout=BUILD_SECONDS)
        found = json.loads(answer.stdout)
        if found["Sum"] != SUM:
            msg = f"{MODULE} {VERSION} has the hash {found['Sum']}, not {SUM}"
            raise LookupError(msg)
        shutil.copytree(found["Dir"], source)
        for place in (source, *source.rglob("*")):
            place.chmod(place.stat().st_mode | 0o200)
        # Its release builds generate this file; without it the program refuses to start, so `go install` is no use.
        (source / "build" / "version" / "version.txt").write_text(VERSION + "\n")
        made = Path(directory) / "ferretdb"
        command = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(made), "./cmd/ferretdb"]
        subprocess.run(command, cwd=source, env=environment, check=True, timeout=BUILD_SECONDS)
        made.replace(BUILT)


@dataclass(slots=True)
class MongoServer:
    """A server that runs, and databases on it that nothing was ever written to."""

    uri: str
    process: subprocess.Popen[bytes] | None = None
    _run: str = field(default_factory=lambda: uuid4().hex[:8])
    _numbers: Iterator[int] = field(default_factory=count)

    def fresh(self) -> MongoAddress:
        """A database of its own."""
        return MongoAddress(self.uri, f"cio_test_{self._run}_{next(self._numbers)}")

    def ping(self) -> None:
        """Raises PyMongoError where it does not answer."""
        with MongoClient(self.uri, serverSelectionTimeoutMS=200) as client:
            client.admin.command("ping")

    def drop_all(self) -> None:
        """Drop every database that `fresh` has named."""
        with MongoClient(self.uri) as client:
            for name in client.list_database_names():
                if name.startswith(f"cio_test_{self._run}_"):
                    client.drop_database(name)

    def kill(self) -> None:
        """End the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(choice: Choice, directory: Path) -> Iterator[MongoServer]:
    """The chosen server, ready; started in ``directory`` where it is not a deployment of yours."""
    if choice.kind == URI:
        server = MongoServer(os.environ["CIO_TEST_MONGODB_URI"])
        server.ping()
    else:
        server = start(choice.kind, directory)
    try:
        yield server
        if choice.kind == URI:
            server.drop_all()
    finally:
        server.kill()


def start(kind: str, directory: Path, port: int | None = None, *options: str) -> MongoServer:
    """Start a server with these options and wait until it answers; AssertionError with its log where it does not."""
    directory.mkdir(parents=True, exist_ok=True)
    port = port or _free_port()
    log = directory / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_command(kind, directory, port), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
        )
    server = MongoServer(f"mongodb://127.0.0.1:{port}", process)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.ping()
        except PyMongoError as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            server.kill()
            raise AssertionError(f"{kind} does not answer: {error}\n{log.read_text(errors='replace')}") from error
        return server


def _command(kind: str, directory: Path, port: int) -> list[str]:
    if kind == NX:
        places = ["--data-dir", str(directory), "--log-file", str(directory / "nx.log")]
        address = ["--host", "127.0.0.1", "-p", str(port), "--pid-file", str(directory / "nx.pid")]
        return [sys.executable, "-c", "from nx_27017.nx_27017 import main; main()", *places, *address]
    return [
        str(BUILT),
        "--handler=sqlite",
        f"--sqlite-url=file:{directory}/",
        f"--state-dir={directory}",
        f"--listen-addr=127.0.0.1:{port}",
        "--debug-addr=-",
        "--telemetry=disable",
        "--log-level=ERROR",
    ]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def main() -> int:
    """Build FerretDB for the tests, unless it is there."""
    if not _fault_of_build():
        print(f"FerretDB {VERSION} is built")
        return 0
    began = time.monotonic()
    try:
        build()
    except (LookupError, OSError, subprocess.SubprocessError) as error:
        print(f"FerretDB cannot be built ({error}); tests use nx-27017", file=sys.stderr)
        return 1
    print(f"FerretDB {VERSION} built in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
