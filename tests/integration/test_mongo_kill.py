"""A writer to MongoDB that is killed, at every step and anywhere, leaves whole batches and whole versions."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builders_configs import make_proposal, make_version
from builders_records import listed, make_decisions, make_signal, walked
from petrosa_cio.apps.nurse.ports import StoreCursor
from petrosa_cio.core.db.mongo.configs import MongoConfigs
from petrosa_cio.core.db.mongo.decisions import MongoDecisions

if TYPE_CHECKING:
    from mongo_server import MongoServer
    from petrosa_cio.apps.nurse.record import ChainReport
    from petrosa_cio.core.db.mongo.address import MongoAddress

# The client kills its own process just before it sends its write number ``die``, counted from 0 once it is armed.
KILLED_AT_A_STEP = """
import asyncio, os, signal, sys
from dataclasses import replace
from pymongo.monitoring import CommandListener
from builders_configs import make_proposal, make_version
from builders_records import make_decisions, make_signal
from petrosa_cio.core.db.mongo.address import MongoAddress
from petrosa_cio.core.db.mongo.client import Mongo
from petrosa_cio.core.db.mongo.configs import MongoConfigs
from petrosa_cio.core.db.mongo.decisions import MongoDecisions

address, task, die = MongoAddress(sys.argv[1], sys.argv[2]), sys.argv[3], int(sys.argv[4])
armed = False

class Fatal(CommandListener):
    def started(self, event):
        global die
        if armed and event.command_name in ("insert", "update", "delete"):
            if die == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            die -= 1
    def succeeded(self, event): ...
    def failed(self, event): ...

async def main():
    global armed
    mongo = await Mongo.open(address, listeners=[Fatal()])
    store = await (MongoDecisions if task == "append" else MongoConfigs).over(mongo)
    armed = True
    match task:
        case "append":
            await store.append("main", make_decisions(6)[2:], [make_signal(3), make_signal(4)], 2)
        case "commit":
            await store.commit(make_version(2))
        case "settle":
            await store.keep_proposal(make_proposal(1, state="approved", settled_by="bo", version=2))
    await store.close()

asyncio.run(main())
"""

PROJECTING = """
import asyncio, sys
from builders_records import make_decisions, make_signal
from petrosa_cio.core.db.mongo.address import MongoAddress
from petrosa_cio.core.db.mongo.decisions import MongoDecisions

async def main():
    records = make_decisions(2500)
    store = await MongoDecisions.open(MongoAddress(sys.argv[1], sys.argv[2]))
    done = (await store.cursor("main")).ledger_index
    while done < len(records):
        await store.append("main", records[done : done + 10], [make_signal(done + 1)], done + 10)
        done += 10
        print(done, flush=True)

asyncio.run(main())
"""


def child(code: str, address: MongoAddress, *arguments: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, address.uri, address.database, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


async def ended(address: MongoAddress, task: str, die: int) -> int:
    """The exit code of a child that does ``task`` and kills itself before write number ``die``."""
    with child(KILLED_AT_A_STEP, address, task, die) as process:
        return await asyncio.to_thread(process.wait, 60)


@pytest.mark.parametrize(("die", "whole"), [(0, False), (1, False), (2, False), (3, True), (4, True)])
async def test_an_append_killed_at_any_step_keeps_the_batch_whole_or_not_at_all(
    mongo: MongoServer, die: int, whole: bool
) -> None:
    """Killed before its records, signals or mark are written, a batch is not there; after the mark all of it is."""
    address, records = mongo.fresh(), make_decisions(6)
    signals = [make_signal(3), make_signal(4)]
    store = await MongoDecisions.open(address)
    await store.append("main", records[:2], [make_signal(1)], 1)
    assert await ended(address, "append", die) == (0 if die == 4 else -signal.SIGKILL)
    before, after = StoreCursor(2, records[1].hash, 1), StoreCursor(6, records[5].hash, 2)
    assert await store.cursor("main") == (after if whole else before)
    assert await listed(store.records("main")) == (records if whole else records[:2])
    assert [await store.signal("main", number) for number in (3, 4)] == (signals if whole else [None, None])
    await store.append("main", records[2:], signals, 2)
    assert await store.cursor("main") == after
    assert await listed(store.records("main")) == records
    assert [await store.signal("main", number) for number in (3, 4)] == signals
    await store.close()


@pytest.mark.parametrize(("die", "kept"), [(0, False), (1, True)])
async def test_a_commit_killed_at_any_step_leaves_the_old_or_the_new_version(
    mongo: MongoServer, die: int, kept: bool
) -> None:
    """A configuration has one step: before it the old version is the head, after it the new one, whole."""
    address = mongo.fresh()
    configs = await MongoConfigs.open(address)
    await configs.commit(make_version(1))
    assert await ended(address, "commit", die) == (0 if kept else -signal.SIGKILL)
    assert await configs.head("main") == make_version(2 if kept else 1)
    await configs.commit(make_version(3 if kept else 2))
    assert [version.number for version in await configs.history("main")] == ([3, 2, 1] if kept else [2, 1])
    await configs.close()


@pytest.mark.parametrize(("die", "settled"), [(0, False), (1, True), (2, True)])
async def test_a_settlement_killed_at_any_step_is_made_or_not(mongo: MongoServer, die: int, settled: bool) -> None:
    """A proposal waits until its settlement is written, and is settled from then on, though it was not tidied up."""
    address, waiting = mongo.fresh(), make_proposal(1)
    approved = replace(waiting, state="approved", settled_by="bo", version=2)
    configs = await MongoConfigs.open(address)
    await configs.keep_proposal(waiting)
    assert await ended(address, "settle", die) == (0 if die == 2 else -signal.SIGKILL)
    assert await configs.proposal("main", waiting.id) == (approved if settled else waiting)
    assert list(await configs.proposals("main", "waiting")) == ([] if settled else [waiting])
    assert list(await configs.proposals("main")) == [approved if settled else waiting]
    await configs.close()


async def at_rest(store: MongoDecisions) -> tuple[StoreCursor, ChainReport]:
    """Cursor and chain, once the server has done what the killed client had still sent: one command at most."""
    while True:
        cursor = await store.cursor("main")
        report = await walked(store)
        if await store.cursor("main") == cursor:
            return cursor, report


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_anywhere_nothing_acknowledged_is_lost_and_no_batch_is_torn(mongo: MongoServer, seed: int) -> None:
    """Killed at random, the store ends where a batch ends and holds what was acknowledged; another completes it."""
    address, records, chance = mongo.fresh(), make_decisions(2500), random.Random(seed)
    store = await MongoDecisions.open(address)
    for _ in range(3):
        with child(PROJECTING, address) as process:
            assert process.stdout is not None
            acknowledged = 0
            for _ in range(chance.randint(1, 12)):
                acknowledged = int(await asyncio.to_thread(process.stdout.readline))
            await asyncio.sleep(chance.uniform(0, 0.02))  # the moment of the kill: chance, not synchronisation
            process.kill()
        cursor, report = await at_rest(store)
        assert cursor.ledger_index >= acknowledged > 0
        assert cursor.ledger_index % 10 == 0
        assert cursor == StoreCursor(report.records, report.head, report.records)
        assert report.breaks == ()
        ends = range(1, cursor.ledger_index, 10)[-5:]
        assert [await store.signal("main", sequence) for sequence in ends] == [make_signal(number) for number in ends]
    done = (await store.cursor("main")).ledger_index
    for start in range(done, 2500, 500):
        await store.append("main", records[start : start + 500], [], 0)
    assert await listed(store.records("main")) == records
    await store.close()
