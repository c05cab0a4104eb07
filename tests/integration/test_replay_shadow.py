"""A replay with bars writes the shadow ledger: what its blocked intents would have come to, by a table made by hand.

Bars are of one minute. The price is 100 until minute 20, when it falls to 90; in minute 40 it rises to 120 and stays.
A policy that lets one strategy trade blocks the other. A fill costs 0.001 of its notional.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import intent, run_cli

from petrosa_cio.apps.auditor.figures import is_blocked
from petrosa_cio.apps.auditor.outcomes import Outcome, Tracked
from petrosa_cio.apps.auditor.savings import total
from petrosa_cio.apps.auditor.shadow_record import shadow_of

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.nurse.models import Json

DAY = datetime(2024, 5, 6, tzinfo=UTC)
MINUTES = 60
MOVES = {20: 90.0, 40: 120.0}
D = Decimal
LIMITS: dict[str, Json] = {
    "allowed_strategies": ["good"],
    "taker_fee_bps": 10,
    "slippage_bps": 0,
    "volatility_scale_threshold": 10,
    "volatility_block_threshold": 10,
}


class Replayed(NamedTuple):
    """What a replay wrote."""

    summary: dict[str, Json]
    lines: bytes

    @property
    def shadows(self) -> list[Shadow]:
        return [shadow_of(json.loads(line)) for line in self.lines.splitlines()]


def write_klines(path: Path) -> Path:
    opened = [int((DAY + timedelta(minutes=minute)).timestamp() * 1000) for minute in range(MINUTES)]
    closes = [100.0]
    for minute in range(1, MINUTES):
        closes.append(MOVES.get(minute, closes[-1]))
    opens = [100.0, *closes[:-1]]
    table = {
        "symbol": ["BTCUSDT"] * MINUTES,
        "open_time": opened,
        "open": opens,
        "high": list(map(max, opens, closes)),
        "low": list(map(min, opens, closes)),
        "close": closes,
        "volume": [10.0] * MINUTES,
    }
    pq.write_table(pa.table(table), path)
    return path


def write_intents(path: Path) -> Path:
    """At minute 10 a long with a stop at 95, by either strategy; again each minute till 15. At minute 30 a long with
    a target of 110."""
    lines = []
    for minute, levels in [
        *((minute, {"stop_loss": 95.0}) for minute in range(10, 16)),
        (30, {"take_profit": 110.0, "stop_loss": 80.0}),
    ]:
        for strategy in ("good", "bad"):
            when = DAY + timedelta(minutes=minute, milliseconds=350)
            body = intent(
                strategy_id=strategy, action="buy", price=90.0 if minute == 30 else 100.0, quantity=2.0,
                timestamp=when.isoformat(), **levels,
            )  # fmt: skip
            published = int(when.timestamp() * 1000)
            lines.append({"subject": "cio.intent.trading", "payload": json.dumps(body), "published_ms": published})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Bars, intents and policy, as arguments of a replay."""
    directory = tmp_path_factory.mktemp("recording")
    policy = directory / "policy.json"
    rules = {"scopes": {"global": LIMITS}, "required_facts": [], "modes": {"SIGNAL_CONFLICT": "off"}}
    policy.write_text(json.dumps(rules))
    klines, intents = write_klines(directory / "bars.parquet"), write_intents(directory / "intents.jsonl")
    return "--intents", str(intents), "--klines", str(klines), "--policy", str(policy)


def replayed(out: Path, recording: tuple[str, ...]) -> Replayed:
    done = run_cli("replay", *recording, "--out", str(out))
    assert done.code == 0, done.err
    return Replayed(json.loads((out / "summary.json").read_text()), (out / "shadow.jsonl").read_bytes())


@pytest.fixture(scope="module")
def first(recording: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """One replay, looked at by several tests."""
    return replayed(tmp_path_factory.mktemp("first"), recording)


def test_what_was_blocked_is_followed(first: Replayed) -> None:
    """The first blocked intent is stopped, its five repeats are counted, and the last one wins."""
    lost, won = (one for one in first.shadows if one.strategy_id == "bad")
    assert (lost.tracked, lost.reasons, lost.repeats) == (Tracked.BLOCKED, ("STRATEGY_NOT_ALLOWED",), 5)
    # 2 x -5, less 0.001 of 200 and of 190; 2 x 20, less 0.001 of 180 and of 220.
    assert (lost.outcome, lost.exit, lost.result) == (Outcome.STOP, D(95), D("-10.39"))
    assert (won.outcome, won.exit, won.result) == (Outcome.TARGET, D(110), D("39.6"))


def test_what_was_promoted_is_followed_too(first: Replayed) -> None:
    """Every promoted intent has a position of its own, with the same arithmetic."""
    promoted = [one for one in first.shadows if one.strategy_id == "good"]
    assert [one.result for one in promoted] == [*[D("-10.39")] * 6, D("39.6")]
    assert {one.tracked for one in promoted} == {Tracked.PROMOTED}


def test_lines_are_in_order_of_decision(first: Replayed) -> None:
    """One line a position, as they were decided on."""
    times = [one.decided_at for one in first.shadows]
    assert times == sorted(times)
    assert len(times) == 9


def test_the_summary_adds_up(first: Replayed) -> None:
    """All intents on paper are the promoted and the blocked ones, to the last digit; savings are what was blocked."""
    told = first.summary["shadow"]
    assert (told["positions"], told["repeats"], told["by_tracked"]["blocked"]) == (9, 5, 2)
    assert D(told["paper_all"]) == D(told["promoted"]) + D(told["blocked"]) == total(first.shadows)
    assert D(told["blocked"]) == total(one for one in first.shadows if is_blocked(one)) == D("29.21")
    assert (D(told["avoided_loss"]), D(told["missed_gain"])) == (D("10.39"), D("39.6"))
    assert D(told["net_savings"]) == D("-29.21")
    assert told["price_sources"]["mark"] == 9
    assert (told["ambiguous"], told["outcomes"]["blocked"]["stop"]) == (0, 1)


def test_a_second_run_writes_the_same_bytes(first: Replayed, recording: tuple[str, ...], tmp_path: Path) -> None:
    """Nothing in the shadow ledger depends on the machine or the moment."""
    second = replayed(tmp_path, recording)
    assert second.lines == first.lines
    assert second.summary["shadow"] == first.summary["shadow"]
