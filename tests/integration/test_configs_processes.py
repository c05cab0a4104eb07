"""Configuration versions in SQLite, written by several processes at once, and by processes that are killed."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

from builders_configs import START, TRACE
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.apps.strategist.ports import Version
from petrosa_cio.core.db.configs_sqlite import SqliteConfigs

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

COMMITTING = Path(__file__).with_name("committing.py")


async def started(path: Path, name: str, *arguments: int) -> Process:
    command = [sys.executable, str(COMMITTING), str(path), name, *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)


async def ready(path: Path, name: str, patches: int) -> Process:
    """A committing process that has opened the store and waits to be let go."""
    process = await started(path, name, patches)
    assert await next_line(process) == ["ready"]
    return process


def let_go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")


async def next_line(process: Process) -> list[str]:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()


async def lines_of(process: Process) -> list[list[str]]:
    assert process.stdout is not None
    output = await process.stdout.read()
    await process.wait()
    # A line cut short by a kill was not acknowledged.
    return [line.split() for line in output.decode().split("\n")[:-1]]


async def whole_history(path: Path) -> Sequence[Version]:
    """The history in ``path``, oldest first, after seeing that it has no gap and that each version is whole."""
    store = SqliteConfigs(path)
    history = list(await store.history("main", limit=100_000))[::-1]
    assert await store.head("main") == (history[-1] if history else None)
    await store.close()
    assert [version.number for version in history] == list(range(1, len(history) + 1))
    before: Version | None = None
    for version in history:
        assert version.revision == read_policy({"scopes": dict(version.scopes)}).revision
        assert version.scopes == {"global": version.after}
        assert version.before == (before.after if before else None)
        assert version.scope_versions == {"global": version.number}
        before = version
    return history


async def test_several_processes_patch_one_scope(tmp_path: Path) -> None:
    """Four processes make fifty patches each of one scope at once: versions 1 to 200 without gap or duplicate, no
    patch lost, and every refused attempt named the version expected and the one found."""
    path = tmp_path / "configs.db"
    processes = [await ready(path, f"process{one}", 50) for one in range(4)]
    for process in processes:
        let_go(process)
    printed = await asyncio.gather(*(lines_of(process) for process in processes))
    assert [process.returncode for process in processes] == [0] * 4
    numbers = [int(line[0]) for lines in printed for line in lines]
    assert sorted(numbers) == list(range(1, 201))
    refusals = [refusal.split("/") for lines in printed for line in lines for refusal in line[1:]]
    assert refusals
    for expected, found in refusals:
        assert 0 <= int(expected) < int(found) <= 200
    history = await whole_history(path)
    by_author = {f"process{one}": [int(line[0]) for line in lines] for one, lines in enumerate(printed)}
    for author, acknowledged in by_author.items():
        assert [version.number for version in history if version.author == author] == acknowledged
        assert len(acknowledged) == 50


STEPS = 100
"""More than one patch takes from the reading of the head to the end of its commit, so a second one is hit as well."""


async def test_killed_at_every_step_of_a_patch(tmp_path: Path) -> None:
    """Whichever step of reading and writing a process is killed at, every version that it was told was kept is there
    and whole, at most one more is, and the store goes on at once."""
    path = tmp_path / "configs.db"
    process = await started(path, "killed", 0, STEPS)
    kept, told = 0, set[int]()
    for _ in range(STEPS):
        let_go(process)
        acknowledged: list[int] = []
        while (line := await next_line(process))[0] != "ended":
            acknowledged.append(int(line[0]))
        assert line == ["ended", str(int(SIGKILL))]
        assert acknowledged == list(range(kept + 1, kept + 1 + len(acknowledged)))
        history = await whole_history(path)
        assert len(history) - kept - len(acknowledged) in (0, 1)
        told.add(len(acknowledged))
        kept = await one_more(path, len(history))
    await process.wait()
    assert told >= {0, 1}


async def test_killed_from_outside_at_any_moment(tmp_path: Path) -> None:
    """A process killed in the midst of a stream of commits, the writing of the disk among them, loses nothing that
    was acknowledged and leaves a history without a gap."""
    path = tmp_path / "configs.db"
    kept = 0
    for wanted in (1, 2, 5, 9, 14):
        process = await ready(path, "killed", 0)
        let_go(process)
        acknowledged = kept
        for _ in range(wanted):
            acknowledged = int((await next_line(process))[0])
        process.kill()
        for line in await lines_of(process):
            acknowledged = int(line[0])
        history = await whole_history(path)
        assert len(history) in (acknowledged, acknowledged + 1)
        kept = await one_more(path, len(history))


async def one_more(path: Path, head: int) -> int:
    """Patch the store that a killed process left; give the number of the head now."""
    store = SqliteConfigs(path)
    governor = Governor(store, "main")
    values = {"strategy_weights": {"survivor": head}}
    version = await governor.propose(Patch("global", values, (), "survivor", TRACE, "", head, "cli"), START)
    await store.close()
    assert isinstance(version, Version)
    assert version.number == head + 1
    return version.number
