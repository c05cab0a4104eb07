"""Chaos: a replay whose processes are killed at random moments comes to exactly what an undisturbed one comes to."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from harness import Process, ours, run_cli
from test_replay import Replayed, cut, needs_shared, replayed

if TYPE_CHECKING:
    from pathlib import Path

LINES = 6000
TARGETS = ("gate", "projector", "nats-server")
KILLS = 9
"""Three of each, in random order."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut(tmp_path_factory.mktemp("recordings"), LINES)


@pytest.fixture(scope="module")
def undisturbed(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    return replayed(tmp_path_factory.mktemp("undisturbed"), recording)


def under_fire(recording: Path, out: Path, seed: int) -> list[str]:
    """Replay, and kill what the pid files name; the names of what was killed."""
    chance = random.Random(seed)
    waiting = [*TARGETS] * (KILLS // len(TARGETS))
    chance.shuffle(waiting)
    killed: list[str] = []
    command = ours("replay", "--intents", str(recording), "--out", str(out))
    replay = Process(command, out.with_suffix(".log")).start()
    try:
        end = time.monotonic() + 50
        pause = chance.uniform(0.5, 1.0)
        while replay.alive and time.monotonic() < end:
            time.sleep(pause)  # the moment of the next kill: chance, not synchronisation
            pause = chance.uniform(0.05, 0.35)
            if waiting and shot(out / "work" / "run" / f"{waiting[-1]}.pid"):
                killed.append(waiting.pop())
        code = replay.wait(1)
    finally:
        replay.end()
    assert code == 0, replay.text()[-3000:]
    return killed


def shot(pid_file: Path) -> bool:
    """Kill the process that the file names, if it names one that is alive."""
    try:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return True


@needs_shared
@pytest.mark.parametrize("seed", [11, 12])
def test_killed_processes_change_nothing(recording: Path, undisturbed: Replayed, tmp_path: Path, seed: int) -> None:
    """With gate, projector and server killed over and over: nothing lost or twice, the same decisions and head."""
    out = tmp_path / "out"
    killed = under_fire(recording, out, seed)
    summary = json.loads((out / "summary.json").read_text())

    assert set(killed) == set(TARGETS), killed
    assert sum(summary["restarts"].values()) >= len(killed) - 1
    assert (summary["lost"], summary["duplicated"], summary["expired"]) == (0, 0, 0)
    assert summary["intents"] == summary["decisions"] == LINES
    lines = (out / "decisions.jsonl").read_bytes()
    assert [json.loads(line)["sequence"] for line in lines.splitlines()] == list(range(1, LINES + 1))
    assert lines == undisturbed.lines
    assert summary["chain_head"] == undisturbed.summary["chain_head"]
    verified = run_cli("verify-ledger", "--data-dir", str(out))
    assert verified.code == 0
    assert str(summary["chain_head"]) in verified.out
