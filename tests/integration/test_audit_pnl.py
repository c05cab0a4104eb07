"""`petrosa-cio audit-pnl`: recorded trades priced anew, told in words and in JSON, with an exit code to rely on."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from harness import SHARED, Outcome, run_cli

from builders_trades import HOUR_MS, T0_MS, row, write_marked, write_trades

if TYPE_CHECKING:
    from pathlib import Path

INTENTS = SHARED / "data" / "intents"
TRADES, FUNDING = INTENTS / "freqtrade_backtest_trades_2023.jsonl.gz", INTENTS / "oracle_funding_mark_8h_2023.csv.gz"
needs_recordings = pytest.mark.skipif(not TRADES.is_file(), reason="needs ../shared/data/intents")
SHORT = row(is_short=True, profit_abs=-20.399)
UNCOVERED = row(
    open_timestamp=T0_MS + 9 * HOUR_MS, close_timestamp=T0_MS + 16 * HOUR_MS, profit_abs=19.5, pair="LTCUSDT"
)


def audited(tmp_path: Path, rows: list[dict[str, object] | str], *arguments: str) -> Outcome:
    trades = write_trades(tmp_path / "trades.jsonl", rows)
    funding = write_marked(tmp_path / "funding.csv")
    return run_cli("audit-pnl", "--trades", str(trades), "--funding", str(funding), *arguments)


def test_trades_that_earn_what_was_told_match(tmp_path: Path) -> None:
    """A long and its mirror match: exit code 0, and the largest difference is none."""
    done = audited(tmp_path, [row(), SHORT])
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:2] == [
        "matched 2 of 2",
        "largest difference: 0.00000000, trades.jsonl:1 LTC/USDT:USDT LONG opened 2023-01-01T01:00:00Z",
    ]


def test_one_mismatch_is_exit_code_1_and_says_what_differs(tmp_path: Path) -> None:
    """A trade told without its fees: which, by how much, of what ours is made, and what would explain it."""
    done = audited(tmp_path, [row(), row(profit_abs=19.979)])
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines() == [
        "matched 1 of 2",
        "largest difference: -0.42000000, trades.jsonl:2 LTC/USDT:USDT LONG opened 2023-01-01T01:00:00Z",
        "  told 19.97900000, ours 19.55900000 = gross 20.00000000 - fees 0.42000000 + funding -0.02100000"
        " (1 settlements); 0.01998950 are allowed",
        "does not match: trades.jsonl:2 LTC/USDT:USDT LONG opened 2023-01-01T01:00:00Z, by -0.42000000:"
        " it would match without fees",
    ]


def test_json_is_one_object_with_every_mismatch(tmp_path: Path) -> None:
    """And nothing else on standard output; money is text."""
    done = audited(tmp_path, [row(), *[row(profit_abs=19.579)] * 30], "--json")
    found = json.loads(done.out)
    assert (done.code, found["matched"], found["of"], found["holds"]) == (1, 1, 31, False)
    assert found["tolerance"] == {"absolute": "0.01", "relative": "0.0005"}
    assert found["largest_difference"]["trade"] == "trades.jsonl:2"
    assert len(found["mismatched"]) == 30
    assert {Decimal(one["difference"]) for one in found["mismatched"]} == {Decimal("-0.02")}


def test_a_trade_whose_funding_is_not_recorded_is_named(tmp_path: Path) -> None:
    """It does not match where what is missing shows: exit code 1; with `--covered-only` it is left out, by name."""
    done = audited(tmp_path, [row(), UNCOVERED])
    assert done.code == 1
    assert "does not match: trades.jsonl:2 LTCUSDT" in done.out
    assert "no funding is recorded at 2023-01-01T16:00:00Z" in done.out
    done = audited(tmp_path, [row(), UNCOVERED], "--covered-only")
    assert done.code == 0
    assert done.out.startswith("matched 1 of 1\n")
    assert "left out: trades.jsonl:2 LTCUSDT" in done.out


def test_a_match_without_recorded_funding_is_not_silent(tmp_path: Path) -> None:
    """Told as if that settlement had cost nothing, the trade matches by what is recorded, and that is said."""
    done = audited(tmp_path, [UNCOVERED | {"profit_abs": 19.58}])
    assert done.code == 0
    assert "matches by what is recorded: trades.jsonl:1" in done.out
    assert "no funding is recorded at 2023-01-01T16:00:00Z" in done.out


def test_where_nothing_could_be_compared_the_answer_is_no(tmp_path: Path) -> None:
    """With every trade left out nothing was shown to match: exit code 1."""
    done = audited(tmp_path, [UNCOVERED], "--covered-only")
    assert (done.code, done.out.splitlines()[0]) == (1, "matched 0 of 0")


@pytest.mark.parametrize("rows", [["{"], [row(), row(amount=None)], []])
def test_a_bad_recording_is_exit_code_2(tmp_path: Path, rows: list[dict[str, object] | str]) -> None:
    """Named by file and, where there is one, line; nothing is printed as if it had been compared."""
    done = audited(tmp_path, rows)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"petrosa-cio: trades.jsonl{f':{len(rows)}' if rows else ''}: ")
    assert "Traceback" not in done.err


def test_a_file_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    """Of either kind."""
    trades = str(write_trades(tmp_path / "trades.jsonl", [row()]))
    for arguments in (("--trades", trades, "--funding", "none.csv"), ("--trades", "none.jsonl", "--funding", trades)):
        done = run_cli("audit-pnl", *arguments)
        assert (done.code, done.out) == (2, "")
        assert "cannot be read" in done.err


def test_text_of_a_recording_does_not_paint_the_terminal(tmp_path: Path) -> None:
    """A pair with markup in it is shown as it is written."""
    done = audited(tmp_path, [row(pair="[RED]X/USDT:USDT")])
    assert "[RED]X/USDT:USDT" in done.out


@needs_recordings
def test_the_oracle() -> None:
    """Of freqtrade's 993 trades all 991 match whose funding is recorded; the two others are named, and exit code 1."""
    done = run_cli("audit-pnl", "--trades", str(TRADES), "--funding", str(FUNDING))
    assert (done.code, done.out.splitlines()[0]) == (1, "matched 991 of 993")
    assert done.out.count("does not match: ") == done.out.count("no funding is recorded at 2024-01-01T00:00:00Z") == 2
    done = run_cli("audit-pnl", "--trades", str(TRADES), "--funding", str(FUNDING), "--covered-only", "--json")
    found = json.loads(done.out)
    assert (done.code, found["matched"], found["of"], len(found["left_out"])) == (0, 991, 991, 2)
