"""Replay: what the fleet's strategies really published, through the real path, killed or not."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import ours, run_cli, wait_until

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

SHARED = Path(__file__).resolve().parents[3] / "shared"
INTENTS = SHARED / "data" / "intents" / "petrosa_ta_intents.jsonl.gz"
REALTIME = SHARED / "data" / "intents" / "petrosa_realtime_intents.jsonl"
KLINES = SHARED / "data" / "klines" / "um_15m_2023-01_2024-06_BTC_ETH.parquet"

pytestmark = pytest.mark.skipif(
    not INTENTS.exists(), reason="needs the shared recordings, which are not in the product"
)


def cut(path: Path, lines: int) -> Path:
    """The first ``lines`` of the recording."""
    with gzip.open(INTENTS, "rt", encoding="utf-8") as recording, path.open("w", encoding="utf-8") as out:
        for _, line in zip(range(lines), recording, strict=False):
            out.write(line)
    return path


def replayed(out: Path, *intents: Path) -> dict[str, Json]:
    """The summary of a replay that must succeed."""
    named = [word for path in intents for word in ("--intents", str(path))]
    done = run_cli("replay", *named, "--klines", str(KLINES), "--out", str(out), timeout=120)
    assert done.code == 0, done.err + done.out
    return json.loads((out / "summary.json").read_text())


def decisions(out: Path) -> list[dict[str, Json]]:
    return [json.loads(line) for line in (out / "decisions.jsonl").read_text().splitlines()]


def assert_complete(summary: dict[str, Json]) -> None:
    """Nothing lost, nothing twice, nothing unaccounted for."""
    assert (summary["lost"], summary["duplicated"], summary["expired"]) == (0, 0, 0)
    assert summary["decisions"] == summary["intents"]
    assert summary["promoted"] + summary["expired"] == summary["approved"] + summary["reduced"]
    kinds = ("approved", "reduced", "blocked", "absorbed", "quarantined")
    assert sum(summary[kind] for kind in kinds) == summary["intents"]


def wrong_side(body: dict[str, Json]) -> bool:
    """Whether the stop of a recorded entry is not strictly on the losing side of both prices."""
    stop, action = body.get("stop_loss"), body["action"]
    if stop is None or action not in ("buy", "sell"):
        return False
    prices = (body["price"], body["current_price"])
    return stop >= min(prices) if action == "buy" else stop <= max(prices)


@pytest.fixture(scope="module")
def replay_of_1500(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recording of 1,500 intents and the directory it was replayed into."""
    directory = tmp_path_factory.mktemp("replay")
    recording = cut(directory / "intents.jsonl", 1500)
    replayed(directory / "out", recording)
    return recording, directory / "out"


def test_every_intent_is_decided_and_every_promise_heard_once(replay_of_1500: tuple[Path, Path]) -> None:
    """Decisions equal intents, promoted equals approved and reduced, nothing is lost, doubled or expired."""
    assert_complete(json.loads((replay_of_1500[1] / "summary.json").read_text()))


def test_a_stop_on_the_wrong_side_is_always_a_reason(replay_of_1500: tuple[Path, Path]) -> None:
    """Every intent whose stop is on the wrong side is blocked for that reason among others, and no other is."""
    recording, out = replay_of_1500
    bodies = [json.loads(json.loads(line)["payload"]) for line in recording.read_text().splitlines()]
    wrong = {body["intent_id"] for body in bodies if wrong_side(body)}
    found = {
        decision["intent_id"]
        for decision in decisions(out)
        if "STOP_WRONG_SIDE" in {reason["code"] for reason in decision["reasons"]}
    }
    assert wrong
    assert found == wrong
    assert {decision["verdict"] for decision in decisions(out) if decision["intent_id"] in wrong} == {"blocked"}


def test_two_runs_give_the_same_decisions_and_the_same_chain(replay_of_1500: tuple[Path, Path], tmp_path: Path) -> None:
    """The same input gives the same decisions, byte for byte, and the same chain head."""
    recording, out = replay_of_1500
    again = replayed(tmp_path / "again", recording)
    assert again["chain_head"] == json.loads((out / "summary.json").read_text())["chain_head"]
    assert (tmp_path / "again" / "decisions.jsonl").read_bytes() == (out / "decisions.jsonl").read_bytes()


def test_several_recordings_are_merged_in_order_of_time(tmp_path: Path) -> None:
    """Intents of two producers, one without intent ids, are judged in event-time order; each has an id."""
    summary = replayed(tmp_path / "out", REALTIME, cut(tmp_path / "ta.jsonl", 50))
    assert_complete(summary)
    found = decisions(tmp_path / "out")
    assert [decision["at"] for decision in found] == sorted(decision["at"] for decision in found)
    assert all(decision["intent_id"] for decision in found)
    assert len({decision["decision_id"] for decision in found}) == 61


def test_a_decision_is_explained_and_judged_again_to_the_same_verdict(replay_of_1500: tuple[Path, Path]) -> None:
    """Each kind of verdict is told whole by `explain`, and judged again from its record it comes out the same."""
    _, out = replay_of_1500
    by_verdict = {str(decision["verdict"]): str(decision["decision_id"]) for decision in decisions(out)}
    assert set(by_verdict) >= {"approved", "blocked", "absorbed"}
    for verdict, decision_id in by_verdict.items():
        done = run_cli("explain", decision_id[:12], "--data-dir", str(out), "--json")
        assert done.code == 0, done.err
        story = json.loads(done.out)
        assert story["judged_again"] == {"verdict": verdict, "same": True, "hash_holds": True}
        assert (story["signal"] is not None) == (verdict == "approved")
    assert run_cli("explain", "0" * 32, "--data-dir", str(out)).code == 4


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE records SET body = its bytes and a space WHERE idx = 7",
        "DELETE FROM records WHERE idx = 7",
        "UPDATE records SET idx = CASE idx WHEN 7 THEN -7 ELSE 7 END WHERE idx IN (7, 8);"
        "UPDATE records SET idx = 8 WHERE idx = -7",
    ],
    ids=["altered", "removed", "reordered"],
)
def test_a_damaged_record_is_named(replay_of_1500: tuple[Path, Path], tmp_path: Path, damage: str) -> None:
    """An altered, missing or reordered record makes `verify-ledger` exit 1 and say which; untouched it verifies."""
    _, out = replay_of_1500
    with sqlite3.connect(out / "decisions.sqlite") as source, sqlite3.connect(tmp_path / "decisions.sqlite") as copy:
        source.backup(copy)
    source.close()
    assert run_cli("verify-ledger", "--data-dir", str(tmp_path)).code == 0
    if damage.startswith("UPDATE records SET body"):
        copy.execute("UPDATE records SET body = CAST(body || ' ' AS BLOB) WHERE idx = 7")
        copy.commit()
    else:
        copy.executescript(damage)
    copy.close()
    done = run_cli("verify-ledger", "--data-dir", str(tmp_path))
    assert done.code == 1
    assert "record 7" in done.out


def test_a_faulty_recording_and_a_faulty_policy_are_named_before_anything_starts(tmp_path: Path) -> None:
    """A bad line is named by file and number, a bad policy by every fault; exit code 2, no traceback."""
    recording = cut(tmp_path / "intents.jsonl", 3)
    broken = tmp_path / "broken.jsonl"
    broken.write_text(recording.read_text() + '{"subject": "other.subject", "payload": "{}", "event_ms": 1}\n')
    done = run_cli("replay", "--intents", str(broken), "--out", str(tmp_path / "out"))
    assert (done.code, "broken.jsonl:4" in done.err, "Traceback" in done.err) == (2, True, False)
    policy = tmp_path / "policy.json"
    policy.write_text('{"scopes": {"global": {"leverage": 999, "no_such_limit": 1}}, "modes": {"STALE_INTENT": "off"}}')
    done = run_cli("replay", "--intents", str(recording), "--out", str(tmp_path / "out"), "--policy", str(policy))
    assert done.code == 2
    assert all(word in done.err for word in ("leverage", "no_such_limit", "STALE_INTENT"))


def test_killing_anything_at_any_moment_changes_nothing(tmp_path: Path) -> None:
    """With gate, projector and server killed again and again the decisions and the chain are those of a quiet run."""
    recording = cut(tmp_path / "intents.jsonl", 6000)
    quiet = replayed(tmp_path / "quiet", recording)
    out = tmp_path / "killed"
    seed = random.Random(20261124)
    command = ours("replay", "--intents", str(recording), "--klines", str(KLINES), "--out", str(out))
    with (tmp_path / "replay.log").open("wb") as log:
        replay = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    lines = out / "decisions.jsonl"
    killed: list[str] = []
    # Moments are told by progress, not by time: the slower the machine, the later the kill.
    for moment in sorted(seed.randrange(200, 5600) for _ in range(8)):
        wait_until(lambda m=moment: replay.poll() is not None or decided(lines) >= m, f"{moment} are decided", 60)
        name = seed.choice(["gate", "projector", "nats-server"])
        pid_file = out / "work" / "run" / f"{name}.pid"
        if replay.poll() is None and pid_file.exists():
            with contextlib.suppress(ProcessLookupError):  # it is just being started again
                os.kill(int(pid_file.read_text()), signal.SIGKILL)
                killed.append(name)
    assert replay.wait(100) == 0, (tmp_path / "replay.log").read_text()
    assert len(killed) >= 5
    summary = json.loads((out / "summary.json").read_text())
    assert_complete(summary)
    assert sum(summary["restarts"].values()) >= 3
    assert summary["chain_head"] == quiet["chain_head"]
    assert (out / "decisions.jsonl").read_bytes() == (tmp_path / "quiet" / "decisions.jsonl").read_bytes()
    assert run_cli("verify-ledger", "--data-dir", str(out)).code == 0
    sequences = [decision["sequence"] for decision in decisions(out)]
    assert sequences == list(range(1, 6001))


def decided(lines: Path) -> int:
    """Lines written so far, as far as they are flushed."""
    try:
        return lines.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
