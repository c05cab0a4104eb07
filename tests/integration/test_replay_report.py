"""A replay with bars and an account writes its report, and `report` prints it for a window.

The recording is that of `test_replay_shadow`: the good strategy's six longs of 2 at 100 are stopped at 95; its last one
is sent with the last intent, and what comes of it is in no ledger. The bad one's are blocked, and would have lost 10.39
and gained 39.6.
"""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from harness import run_cli
from jsonschema import Draft202012Validator
from test_replay_shadow import LIMITS, write_intents, write_klines

ROOT = Path(__file__).resolve().parents[2]
FACES = ("report.json", "report.md", "report.html")
D = Decimal
ROOMY = {
    "max_portfolio_exposure_pct": 1.0,
    "max_symbol_exposure_pct": 1.0,
    "max_correlated_exposure_pct": 1.0,
    "max_position_size_pct": 1.0,
    "max_accumulations": None,
}
"""Limits that nothing in here reaches, so that all is about the strategy that is not allowed."""


class Replayed(NamedTuple):
    """Where a replay wrote, and what report it wrote."""

    out: Path
    faces: dict[str, bytes]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Bars, intents, policy and account, as arguments of a replay."""
    directory = tmp_path_factory.mktemp("recording")
    policy = directory / "policy.json"
    rules = {"scopes": {"global": {**LIMITS, **ROOMY}}, "required_facts": [], "modes": {"SIGNAL_CONFLICT": "off"}}
    policy.write_text(json.dumps(rules))
    klines, intents = write_klines(directory / "bars.parquet"), write_intents(directory / "intents.jsonl")
    return "--intents", str(intents), "--klines", str(klines), "--policy", str(policy), "--account", "100000"


def replayed(out: Path, recording: tuple[str, ...]) -> Replayed:
    done = run_cli("replay", *recording, "--out", str(out))
    assert done.code == 0, done.err
    return Replayed(out, {name: (out / name).read_bytes() for name in FACES})


@pytest.fixture(scope="module")
def first(recording: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """One replay, looked at by several tests."""
    return replayed(tmp_path_factory.mktemp("first"), recording)


def test_the_report_says_what_was_earned_and_saved(first: Replayed) -> None:
    """Six stops of 10, and fees of 0.001 of each fill; 10.39 avoided and 39.6 missed."""
    content = json.loads(first.faces["report.json"])
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(content)
    profit = content["net_profit"]
    # 6 x -10; 6 x (0.2 + 0.19).
    assert (D(profit["pnl"]), D(profit["fees"]), D(profit["funding"])) == (-60, D("2.34"), 0)
    assert (D(profit["net"]), D(content["net_savings"])) == (D("-62.34"), D("-29.21"))
    assert D(content["earnings"]) == D("-91.55")
    assert (content["calibration"]["standing"], content["calibration"]["simulated"]) == ("unavailable", True)
    assert content["verdicts"] == {"approved": 7, "blocked": 7}
    bad = next(one for one in content["strategies"] if one["strategy_id"] == "bad")
    assert (bad["blocked"], bad["chief_reason"], bad["longest_run"]) == (7, "STRATEGY_NOT_ALLOWED", 7)


def test_the_curve_ends_where_the_account_did(first: Replayed) -> None:
    """Equity ends at 100,000 less 62.34, and at 29.21 more without governance."""
    last = json.loads(first.faces["report.json"])["equity"]["points"][-1]
    assert (D(last["governed"]), D(last["ungoverned"])) == (D("99937.66"), D("99966.87"))


def test_a_second_replay_writes_the_same_report(first: Replayed, recording: tuple[str, ...], tmp_path: Path) -> None:
    """No byte of any face depends on the machine or the moment."""
    assert replayed(tmp_path, recording).faces == first.faces


@pytest.mark.parametrize(("option", "name"), list(zip(("--json", "--markdown", "--html"), FACES, strict=True)))
def test_report_prints_what_replay_wrote(first: Replayed, option: str, name: str) -> None:
    """By default it is of the whole span, in each face."""
    done = run_cli("report", "--data-dir", str(first.out), option)
    assert (done.code, done.out.encode()) == (0, first.faces[name])


def test_report_shows_itself_on_a_terminal(first: Replayed) -> None:
    """Without a face it is for people."""
    done = run_cli("report", "--data-dir", str(first.out))
    assert done.code == 0
    assert "Earnings -91.55: net profit -62.34, governance cost 29.21." in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("window", "intents", "saved"),
    [
        (("--from", "2024-05-06T00:20:00Z"), 2, "-39.6"),
        (("--to", "2024-05-06T00:20:00+00:00"), 12, "10.39"),
        (("--from", "2024-05-06", "--to", "2024-05-07"), 14, "-29.21"),
        (("--week", "2024-W19"), 14, "-29.21"),
        (("--week", "2024-W20"), 0, "0"),
    ],
    ids=["late", "early", "day", "week", "later week"],
)
def test_a_window_is_reported_alone(first: Replayed, window: tuple[str, ...], intents: int, saved: str) -> None:
    """Before minute 20 six intents each, of which 10.39 are saved; after it one each."""
    done = run_cli("report", "--data-dir", str(first.out), *window, "--json")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert (content["intents"], D(content["net_savings"])) == (intents, D(saved))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--week", "2024-W60"), "--week: 2024-W60"),
        (("--week", "2024-W19", "--from", "2024-05-06"), "--week: not together"),
        (("--from", "yesterday"), "--from: yesterday"),
        (("--from", "2024-05-07", "--to", "2024-05-07"), "is not before"),
        (("--from", "2024-05-07T00:00:00Z"), "the ledger goes from"),
        (("--to", "2024-05-06"), "the ledger goes from"),
        (("--json", "--html"), "only one of them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_windows_that_make_no_sense_are_refused(first: Replayed, arguments: tuple[str, ...], message: str) -> None:
    """One line says what is wrong, and the exit code is that of wrong input."""
    done = run_cli("report", "--data-dir", str(first.out), *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def copied(first: Replayed, directory: Path, *names: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_bytes((first.out / name).read_bytes())
    return directory


def test_a_directory_without_a_shadow_ledger_is_a_clear_error(first: Replayed, tmp_path: Path) -> None:
    """A live directory has none yet, and the message says so."""
    done = run_cli("report", "--data-dir", str(copied(first, tmp_path / "live", "decisions.sqlite")))
    assert (done.code, done.out) == (4, "")
    assert "live shadow positions are not tracked yet" in done.err


def test_a_directory_without_a_store_is_a_clear_error(tmp_path: Path) -> None:
    """Nothing is made where there is nothing."""
    done = run_cli("report", "--data-dir", str(tmp_path))
    assert (done.code, list(tmp_path.iterdir())) == (4, [])
    assert "no decisions in" in done.err


def test_another_book_is_a_clear_error(first: Replayed) -> None:
    """A replay has one book."""
    done = run_cli("report", "--data-dir", str(first.out), "--book", "other")
    assert done.code == 4
    assert "nothing of book 'other'" in done.err


@pytest.mark.parametrize("line", ["{", "[]", '{"decision_id": "d"}'])
def test_a_shadow_ledger_that_cannot_be_believed_is_named_by_line(first: Replayed, tmp_path: Path, line: str) -> None:
    """File and line stand in the message."""
    directory = copied(first, tmp_path / "broken", "decisions.sqlite", "shadow.jsonl")
    with (directory / "shadow.jsonl").open("a") as lines:
        lines.write(line + "\n")
    done = run_cli("report", "--data-dir", str(directory))
    assert done.code == 2
    assert "shadow.jsonl:10" in done.err


def test_the_gate_does_not_load_numpy() -> None:
    """Neither the gate nor the command line that starts it imports what the report reckons with."""
    code = "import sys, petrosa_cio.cli, petrosa_cio.bootstrap.gate; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
