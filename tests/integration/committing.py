"""A process that commits configuration versions, for tests that run several or kill one.

``committing.py FILE NAME PATCHES`` opens the store, prints "ready" and waits for a line. Then it patches the global
scope through a Governor, trying again on conflict, and prints a line for each version after it was acknowledged: its
number, and each refusal before it as EXPECTED/FOUND. PATCHES 0 goes on for ever.

``committing.py FILE NAME 0 STEPS`` forks a process that does the same for each line it reads, and prints "ended" with
the signal that ended it. Each kills itself (SIGKILL) at a step of SQLite's virtual machine, counted from its first
patch on: the first process at step 1, the next at step 2, up to STEPS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.apps.strategist.ports import Version
from petrosa_cio.core.clock import now_ns
from petrosa_cio.core.db.configs_sqlite import SqliteConfigs
from petrosa_cio.errors import VersionConflict

TRACE = (
    "This process stands for an author who changes weights often, so that versions are written in quick succession and "
    "whatever is killed in between shows whether the store keeps each of them whole or not at all."
)


def die_at(store: SqliteConfigs, steps: int) -> None:
    remaining = iter(range(steps))

    def step() -> int:
        if next(remaining, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert store._connection is not None
    store._connection.set_progress_handler(step, 1)


async def commit(path: Path, name: str, patches: int, steps: int | None = None) -> None:
    store = SqliteConfigs(path)
    governor = Governor(store, "main")
    head = await governor.configuration()
    if steps is None:
        print("ready", flush=True)
        sys.stdin.readline()
    else:
        die_at(store, steps)
    expected = head.scope_versions.get("global", 0)
    for number in range(patches) if patches else count():
        refusals: list[str] = []
        while True:
            values = {"strategy_weights": {name: number, "default": now_ns()}, "max_retries": expected % 10}
            patch = Patch("global", values, (), name, TRACE, "", expected, "cli")
            try:
                version = await governor.propose(patch, now_ns())
            except VersionConflict as conflict:
                refusals.append(f"{conflict.expected}/{conflict.found}")
                expected = conflict.found
                continue
            break
        assert isinstance(version, Version)
        expected = version.scope_versions["global"]
        print(version.number, *refusals, flush=True)
    await store.close()


def fork_and_die(path: Path, name: str, steps: int) -> None:
    for step in range(1, steps + 1):
        sys.stdin.readline()
        child = os.fork()
        if not child:
            asyncio.run(commit(path, name, 0, step))
        _, status = os.waitpid(child, 0)
        print("ended", os.WTERMSIG(status), flush=True)


if __name__ == "__main__":
    file, author, patches, *rest = sys.argv[1:]
    if rest:
        fork_and_die(Path(file), author, int(rest[0]))
    else:
        asyncio.run(commit(Path(file), author, int(patches)))
