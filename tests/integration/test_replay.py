"""Replay: recorded intents through the real path, the same result every time, and a result that can be checked."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest
from harness import SHARED, intent, run_cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Json

TA = SHARED / "data" / "intents" / "petrosa_ta_intents.jsonl.gz"
REALTIME = SHARED / "data" / "intents" / "petrosa_realtime_intents.jsonl"
LINES = 1500
needs_shared = pytest.mark.skipif(not TA.exists(), reason=f"{TA} is not on this machine")


class Replayed(NamedTuple):
    """One replay's results."""

    out: Path
    summary: dict[str, Json]
    decisions: list[dict[str, Json]]
    lines: bytes


def cut(directory: Path, count: int) -> Path:
    """The first ``count`` lines of the recording of the technical strategies."""
    path = directory / "ta.jsonl"
    with gzip.open(TA, "rt", encoding="utf-8") as lines:
        path.write_text("".join(itertools.islice(lines, count)), encoding="utf-8")
    return path


def replayed(out: Path, *recordings: Path) -> Replayed:
    given = [part for path in recordings for part in ("--intents", str(path))]
    done = run_cli("replay", *given, "--out", str(out))
    assert done.code == 0, done.err
    lines = (out / "decisions.jsonl").read_bytes()
    decisions = [json.loads(line) for line in lines.splitlines()]
    return Replayed(out, json.loads((out / "summary.json").read_text()), decisions, lines)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return cut(tmp_path_factory.mktemp("recordings"), LINES), REALTIME


@pytest.fixture(scope="module")
def first(recordings: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """One undisturbed replay, looked at by many tests and changed by none."""
    return replayed(tmp_path_factory.mktemp("first"), *recordings)


@needs_shared
def test_every_intent_is_decided_and_every_promise_kept(first: Replayed, recordings: tuple[Path, ...]) -> None:
    """Each recorded intent has one decision, each approval one signal; nothing is lost, duplicated or expired."""
    summary = first.summary
    recorded = sum(len(path.read_text().splitlines()) for path in recordings)
    assert summary["intents"] == summary["decisions"] == len(first.decisions) == recorded
    assert (summary["lost"], summary["duplicated"], summary["expired"]) == (0, 0, 0)
    assert summary["promoted"] == summary["approved"] + summary["reduced"] > 100
    verdicts = ("approved", "reduced", "blocked", "absorbed", "quarantined")
    assert sum(summary[verdict] for verdict in verdicts) == recorded
    assert [decision["sequence"] for decision in first.decisions] == list(range(1, recorded + 1))
    assert first.summary["restarts"] == {"nats-server": 0, "projector": 0, "gate": 0}


def on_the_wrong_side(body: dict[str, Json]) -> bool:
    """Whether the stop of a buy is not below both of its prices, or that of a sell not above both."""
    prices = [body[name] for name in ("price", "current_price") if body.get(name) is not None]
    stop = body.get("stop_loss")
    if stop is None or not prices:
        return False
    return {"buy": stop >= min(prices), "sell": stop <= max(prices)}.get(body["action"], False)


@needs_shared
def test_a_stop_on_the_wrong_side_never_passes(first: Replayed, recordings: tuple[Path, ...]) -> None:
    """Of the recorded intents exactly those whose stop is on the wrong side are blocked with STOP_WRONG_SIDE."""
    bodies = [json.loads(json.loads(line)["payload"]) for line in recordings[0].read_text().splitlines()]
    wrong = {body["intent_id"] for body in bodies if on_the_wrong_side(body)}
    told = {
        decision["intent_id"]
        for decision in first.decisions
        if "STOP_WRONG_SIDE" in [reason["code"] for reason in decision["reasons"]]
    }
    assert len(wrong) > 20
    assert told == wrong
    assert {decision["verdict"] for decision in first.decisions if decision["intent_id"] in wrong} == {"blocked"}


@needs_shared
def test_a_hold_is_never_an_order(first: Replayed) -> None:
    """Holds, and only holds, are absorbed."""
    absorbed = {decision["sequence"] for decision in first.decisions if decision["verdict"] == "absorbed"}
    holds = {decision["sequence"] for decision in first.decisions if decision["action"] == "hold"}
    assert absorbed == holds != set()


@needs_shared
def test_two_runs_are_equal(first: Replayed, recordings: tuple[Path, ...], tmp_path: Path) -> None:
    """A second replay of the same recordings gives the same decisions byte for byte and the same chain head."""
    second = replayed(tmp_path / "second", *recordings)
    assert second.lines == first.lines
    assert second.summary["chain_head"] == first.summary["chain_head"]
    assert second.summary["policy_revision"] == first.summary["policy_revision"]


@needs_shared
def test_the_order_of_the_files_decides_only_ties(
    first: Replayed, recordings: tuple[Path, ...], tmp_path: Path
) -> None:
    """Recordings of different times give the same decisions whichever is named first: they are merged by time."""
    second = replayed(tmp_path / "second", *reversed(recordings))
    assert second.summary["chain_head"] == first.summary["chain_head"]


@needs_shared
@pytest.mark.parametrize("verdict", ["approved", "blocked", "absorbed"])
def test_explain_tells_a_decision_and_judges_it_again(first: Replayed, verdict: str) -> None:
    """Explain finds a decision by its id and by its beginning, and judging again gives the same verdict."""
    decision = next(found for found in first.decisions if found["verdict"] == verdict)
    identity = decision["decision_id"]
    told = run_cli("explain", identity, "--data-dir", str(first.out), "--json")
    story = json.loads(told.out)
    assert told.code == 0
    assert story["judged_again"] == {"verdict": verdict, "same": True, "hash_holds": True}
    assert (story["intent_id"], story["reasons"]) == (decision["intent_id"], decision["reasons"])
    assert (story["signal"] is not None) == (verdict == "approved")
    shown = run_cli("explain", identity[:8], "--data-dir", str(first.out))
    assert shown.code == 0
    assert identity in shown.out
    assert all(reason["code"] in shown.out for reason in decision["reasons"])


@needs_shared
def test_explain_of_nothing(first: Replayed, tmp_path: Path) -> None:
    """An unknown decision is exit code 4, a directory without decisions exit code 3, each with one line."""
    for directory, code in ((first.out, 4), (tmp_path, 3)):
        done = run_cli("explain", "00000000deadbeef", "--data-dir", str(directory))
        assert (done.code, len(done.err.splitlines())) == (code, 1)


@needs_shared
def test_verify_ledger_confirms_the_head(first: Replayed) -> None:
    """The chain in the query store verifies and ends at the head that the summary printed."""
    done = run_cli("verify-ledger", "--data-dir", str(first.out))
    assert done.code == 0
    assert str(first.summary["chain_head"]) in done.out
    assert f"{first.summary['records']} records" in done.out


def altered(rows: sqlite3.Connection) -> None:
    (body,) = rows.execute("SELECT body FROM records WHERE idx = 700").fetchone()
    assert b'"verdict"' in body
    rows.execute("UPDATE records SET body = ? WHERE idx = 700", (body.replace(b'"verdict":"', b'"verdict":"x'),))


def deleted(rows: sqlite3.Connection) -> None:
    assert rows.execute("DELETE FROM records WHERE idx = 700").rowcount == 1


def swapped(rows: sqlite3.Connection) -> None:
    for old, new in ((700, -1), (701, 700), (-1, 701)):
        rows.execute("UPDATE records SET idx = ? WHERE idx = ?", (new, old))


def cut_off(rows: sqlite3.Connection) -> None:
    assert rows.execute("DELETE FROM records WHERE idx = (SELECT max(idx) FROM records)").rowcount == 1


def emptied(rows: sqlite3.Connection) -> None:
    assert rows.execute("DELETE FROM records").rowcount > 0


def moved(rows: sqlite3.Connection) -> None:
    assert rows.execute("UPDATE records SET book = 'other' WHERE idx > 700").rowcount > 0


def rehashed(rows: sqlite3.Connection) -> None:
    """An alteration by somebody who knows how the hash is made."""
    prev, body = rows.execute("SELECT prev, body FROM records WHERE idx = 700").fetchone()
    body = body.replace(b'"verdict":"', b'"verdict":"x')
    fresh = hashlib.sha256(prev.encode() + b"\n" + body).hexdigest()
    rows.execute("UPDATE records SET body = ?, hash = ? WHERE idx = 700", (body, fresh))


@needs_shared
@pytest.mark.parametrize(
    ("tamper", "named"),
    [(altered, {700}), (deleted, {701}), (swapped, {700, 701, 702}), (rehashed, {701})],
    ids=["altered", "deleted", "swapped", "rehashed"],
)
def test_tampering_is_named(
    first: Replayed, tmp_path: Path, tamper: Callable[[sqlite3.Connection], None], named: set[int]
) -> None:
    """A record altered, deleted, swapped or rewritten with a fitting hash: exit code 1 and where the chain breaks."""
    source = sqlite3.connect(first.out / "decisions.sqlite")
    copy = sqlite3.connect(tmp_path / "decisions.sqlite")
    with closing(source), closing(copy), copy:
        source.backup(copy)
        tamper(copy)
    done = run_cli("verify-ledger", "--data-dir", str(tmp_path))
    assert done.code == 1
    assert {int(number) for number in re.findall(r"^  record (\d+)", done.out, re.MULTILINE)} == named
    assert "DOES NOT VERIFY" in done.out


@needs_shared
@pytest.mark.parametrize("tamper", [cut_off, emptied, moved])
def test_a_missing_tail_is_named(first: Replayed, tmp_path: Path, tamper: Callable[[sqlite3.Connection], None]) -> None:
    """Records removed from the end, all of them, or moved to another book: exit code 1, and the last one is missed."""
    source = sqlite3.connect(first.out / "decisions.sqlite")
    copy = sqlite3.connect(tmp_path / "decisions.sqlite")
    with closing(source), closing(copy), copy:
        source.backup(copy)
        tamper(copy)
    done = run_cli("verify-ledger", "--data-dir", str(tmp_path))
    assert done.code == 1
    assert f"record {first.summary['records']}" in done.out
    assert "is missing" in done.out


# -- what is refused ---------------------------------------------------------------------------------------------------


def line(**fields: Json) -> str:
    """One sound line of a recording."""
    body = {"strategy_id": "momo", "symbol": "BTCUSDT", "action": "hold"}
    return json.dumps({"subject": "intent.x", "published_ms": 1_700_000_000_000, "payload": json.dumps(body), **fields})


FAULTY = {
    "no JSON": "{",
    "no object": "[1]",
    "foreign subject": line(subject="signals.trading"),
    "no subject": line(subject=None),
    "no payload": line(payload={"strategy_id": "momo"}),
    "no time": line(published_ms=None),
    "time as text": line(published_ms="now"),
    "odd headers": line(headers=[1]),
    "endless time": line(published_ms=1e300),
    "no number for a time": line().replace("1700000000000", "NaN"),
    "far past": line(published_ms=-1e17),
    "subject with space": line(subject="intent.a b"),
    "subject with wildcard": line(subject="intent.>"),
    "empty token": line(subject="intent..a"),
    "header with line break": line(headers={"a": "b\r\nNats-Msg-Id: c"}),
}


@pytest.mark.parametrize("faulty", FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_line_is_named(tmp_path: Path, faulty: str) -> None:
    """A recording with a line that is no recorded publication is refused with exit code 2, naming file and line."""
    recording = tmp_path / "odd.jsonl"
    recording.write_text("\n".join([line(), "", line(), faulty, line()]), encoding="utf-8")
    done = run_cli("replay", "--intents", str(recording), "--out", str(tmp_path / "out"), timeout=20)
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err[-600:]
    assert "odd.jsonl:4" in done.err


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl.gz", b"no gzip"), ("b.jsonl.gz", gzip.compress(b"{}")[:-9]), ("c.jsonl", b"\xff\n"), ("d.jsonl", b"")],
)
def test_a_file_that_is_no_recording_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    """A damaged, undecodable, empty or absent recording is refused with exit code 2 and its name."""
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, tmp_path / "absent.jsonl"):
        done = run_cli("replay", "--intents", str(path), "--out", str(tmp_path / "out"))
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert path.name in done.err


def test_a_faulty_policy_names_every_fault(tmp_path: Path) -> None:
    """All faults of a policy file are named at once with exit code 2, before anything is started."""
    policy = tmp_path / "policy.json"
    content = {
        "scopes": {
            "global": {"max_daily_trade": 5, "min_confidence_threshold": 7, "mode.NOT_A_CODE": "off"},
            "galaxy:far": {},
        },
        "modes": {"DUPLICATE_INTENT": "off", "DAILY_TRADES": "perhaps"},
        "required_facts": ["tea leaves"],
        "surprise": 1,
    }
    policy.write_text(json.dumps(content), encoding="utf-8")
    recording = tmp_path / "sound.jsonl"
    recording.write_text(line(), encoding="utf-8")
    out = tmp_path / "out"
    done = run_cli("replay", "--intents", str(recording), "--out", str(out), "--policy", str(policy))
    assert done.code == 2
    faulty = ("max_daily_trade", "min_confidence_threshold", "NOT_A_CODE", "galaxy:far", "DUPLICATE_INTENT", "perhaps")
    assert [word for word in (*faulty, "tea leaves", "surprise", "policy.json") if word not in done.err] == []
    assert not out.exists()


def test_bad_input_in_a_recording_is_a_decision_like_any_other(tmp_path: Path) -> None:
    """Garbage, malformed intents and repeats in a recording are quarantined and blocked, not errors of the replay."""
    body = intent(timestamp="2023-11-14T22:13:20+00:00", intent_id="same")
    payloads = ["garbage", "", "{}", json.dumps(body), json.dumps(body), "\ud800"]
    recording = tmp_path / "mixed.jsonl"
    recording.write_text("\n".join(line(payload=payload) for payload in payloads), encoding="utf-8")
    result = replayed(tmp_path / "out", recording)
    verdicts = [decision["verdict"] for decision in result.decisions]
    assert verdicts == ["quarantined", "quarantined", "blocked", "approved", "blocked", "quarantined"]
    assert (result.summary["lost"], result.summary["duplicated"], result.summary["promoted"]) == (0, 0, 1)


def test_only_what_an_earlier_replay_wrote_is_removed(tmp_path: Path) -> None:
    """A second replay into the same directory replaces the results of the first and leaves other files alone."""
    recording, out = tmp_path / "one.jsonl", tmp_path / "out"
    recording.write_text(line() + "\n" + line(), encoding="utf-8")
    replayed(out, recording)
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    recording.write_text(line(), encoding="utf-8")
    assert len(replayed(out, recording).decisions) == 1
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"
