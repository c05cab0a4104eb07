"""What counts against the limits of an account outlives the gate that counted it: killed, fenced, cut off, or late.

An account of 1,000 USDT; each intent asks for one BTCUSDT at 100 unless it says otherwise. Figures are by hand.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from fund import (
    EXECUTIONS,
    ORIGIN,
    REPORTS,
    Fund,
    content,
    decision,
    entered,
    event,
    long,
    numbers,
    opened,
    report,
    rules,
    stopped,
)
from harness import (
    BOOK,
    NatsServer,
    Process,
    codes,
    core_client,
    eventually,
    gate_process,
    intent_bytes,
    ledger,
    of_kind,
    ours,
    publish,
    run_cli,
    running_gate,
    until,
    wait_until,
)

from petrosa_cio.apps.nurse.decision import judge_again
from petrosa_cio.apps.nurse.models import SECOND, iso, parse_instant
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.bootstrap.gate import status_answer
from petrosa_cio.bootstrap.tailing import verify_stream
from petrosa_cio.core import clock
from petrosa_cio.core.nats.fold import receipt_of
from petrosa_cio.core.nats.reports import encode_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harness import InProcess
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.link import Link

DAY = 86_400 * SECOND
OF_TIME = ("STALE_INTENT", "FUTURE_INTENT", "GOVERNANCE_TIMEOUT", "ACCUMULATION_COOLDOWN", "COOLDOWN")
"""Controls whose numbers are of the moment."""

COOLING: dict[str, Json] = {"stop_cooldown_seconds": 600, "max_consecutive_losses": 5}


# -- a gate that dies --------------------------------------------------------------------------------------------------


async def live_a_little(fund: Fund) -> None:
    """Buy 2 at 100, of which one is stopped at 70: one is left, 30 are lost; and 1 more of another is promised."""
    await fund.reports(report())
    promised = str((await fund.asks(quantity=2.0))["decision_id"])
    await fund.tells(entered("1", promised, fill_qty=2.0, fill_quantity=2.0))
    assert (await fund.asks(symbol="ETHUSDT"))["verdict"] == "approved"
    await fund.tells(stopped("2", -30, fill_price=70.0, price=70.0))


def told(decided: dict[str, Json]) -> dict[str, Json]:
    """All that a decision says which does not depend on the moment or on the ids of a run."""
    observed = {code: seen for code, seen in decided["observed"].items() if code not in OF_TIME}
    facts = {key: value for key, value in decided["account"].items() if key not in ("as_of", "streaks")}
    return {
        "verdict": decided["verdict"],
        "codes": codes(decided),
        "observed": observed,
        "facts": facts,
        "losses": [(one["scope"], one["losses"], one["stopped_at"] is None) for one in decided["account"]["streaks"]],
    }


@contextlib.asynccontextmanager
async def survivor(url: str, client: Client, how: str) -> AsyncIterator[InProcess]:
    """The gate that is asked next, after `live_a_little`."""
    limits = rules(**COOLING)
    async with running_gate(url, limits, origin=ORIGIN) as gate:
        await live_a_little(Fund(gate, client))
        if how == "undisturbed":
            yield gate
            return
        if how == "killed":
            await gate.die()
        async with running_gate(url, limits, origin=ORIGIN) as second:
            if how == "fenced":
                await second.gate.link.flush()
                await gate.die()
            yield second


@pytest.mark.parametrize("how", ["killed", "fenced"])
async def test_limits_survive_their_gate(tmp_path: Path, how: str) -> None:
    """The next intent is told what an undisturbed twin tells: 100 open and 100 promised, 30 lost, a pause, one loss."""
    found = []
    for number, this in enumerate(("undisturbed", how)):
        directory = tmp_path / str(number)
        directory.mkdir()
        server = NatsServer.start(directory)
        try:
            async with core_client(server.url) as client, survivor(server.url, client, this) as gate:
                found.append(await Fund(gate, client).asks())
                assert (await verify_stream(gate.link, BOOK)).breaks == ()
        finally:
            server.process.end()
    assert told(found[1]) == told(found[0])
    assert codes(found[1]) == ["COOLDOWN"]
    assert opened(found[1]) == (200, 970)
    assert numbers(found[1], "DAILY_LOSS")["loss"] == 30
    assert numbers(found[1], "LOSS_STREAK")["losses"] == 1


async def test_a_recovery_that_reads_one_day_knows_what_is_older(
    nats_server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days later the position, the peak and a latch are known, though their records are not read any more."""
    monkeypatch.setattr("petrosa_cio.core.nats.recovery.SHORT_LEDGER", 1)
    monkeypatch.setattr("petrosa_cio.core.nats.judging.FEW_RECORDS", 0)
    ahead = 2 * DAY
    limits = rules(max_drawdown_pct=0.2)
    async with running_gate(nats_server.url, limits, origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report("1200", positions=None))
        promised = str((await fund.asks())["decision_id"])
        await fund.tells(entered("1", promised))
        await fund.reports(report("950", positions=None))  # 250 of 1,200 are more than a fifth
        await until(lambda: bool(gate.gate.folded.memory.standing.latches), "it latches")
        await gate.die()
    # A second gate leads and leaves a snapshot behind; what came before it is too old for the third.
    async with running_gate(nats_server.url, limits, origin=ORIGIN) as gate:
        await gate.die()
    async with running_gate(nats_server.url, limits, now=lambda: clock.now_ns() + ahead, origin=ORIGIN) as gate:
        snapshots = [one["index"] for one in of_kind(await ledger(gate.link), "snapshot")]
        fund = Fund(gate, client)
        await fund.reports(report("960", positions=None, as_of=clock.now_ns() + ahead))
        found = await fund.asks(timestamp=iso(clock.now_ns() + ahead))
    assert len(snapshots) == 3
    assert "TRADING_HALTED" in codes(found)
    assert found["account"]["peak_equity"] == "1200"
    (position,) = found["account"]["positions"]
    assert (float(position["quantity"]), float(position["entry"])) == (1, 100)


async def test_another_source_of_the_account_begins_afresh(nats_server: NatsServer, client: Client) -> None:
    """A gate that is started with another origin takes its reports, though a snapshot holds those of the old one."""
    async with running_gate(nats_server.url, rules(), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        await fund.tells(stopped("1", -30))
        await gate.die()
    for _ in range(2):
        async with running_gate(nats_server.url, rules(), origin="binance") as gate:
            fund = Fund(gate, client)
            await fund.reports(report("4970", origin="binance"))
            found = await fund.asks(confidence=0.0)
            await gate.die()
        assert numbers(found, "DAILY_LOSS")["loss"] == 30
        assert numbers(found, "DAILY_LOSS")["day_start_equity"] == 5000


# -- a process that is killed ------------------------------------------------------------------------------------------


async def happened(link: Link, kind: str, count: int) -> None:
    """Wait until the ledger holds ``count`` records of a kind."""

    async def there() -> bool:
        return len(of_kind(await ledger(link), kind)) >= count

    await eventually(there, f"{count} records of {kind}")


async def test_what_happens_while_no_gate_runs_counts_once_for_the_first_intent(
    nats_server: NatsServer, client: Client, link: Link, tmp_path: Path
) -> None:
    """kill -9; a loss and an intent come meanwhile; the next process counts the loss, once, before it judges."""
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(content(**COOLING)))
    options = {"policy": str(policy), "origin": ORIGIN}
    gate = gate_process(nats_server.url, tmp_path, "first", **options)
    try:

        async def reported() -> bool:
            await publish(client, [encode_report(report())], REPORTS)
            return bool(of_kind(await ledger(link), "account"))

        await eventually(reported, "a report is recorded")
        lost = stopped("1", -10)
        await publish(client, [lost, lost], EXECUTIONS)
        await happened(link, "execution", 1)
        gate.kill()

        await publish(client, [lost, stopped("2", -20), stopped("2", -20), event("3", fill_qty=None)], EXECUTIONS)
        js = client.jetstream()
        first = await js.publish("intent.trading.btc", intent_bytes())
        gate = gate_process(nats_server.url, tmp_path, "second", **options)
        await happened(link, "decision", first.seq)
        found = await decision(link, first.seq)
    finally:
        gate.end()
    executions = [one["execution"]["order_id"] for one in of_kind(await ledger(link), "execution")]
    assert executions == ["1", "2", "3"]
    assert codes(found) == ["COOLDOWN"]
    assert numbers(found, "DAILY_LOSS")["loss"] == 30
    assert numbers(found, "LOSS_STREAK")["losses"] == 2


# -- latches -----------------------------------------------------------------------------------------------------------


async def test_a_loss_between_two_intents_latches_until_midnight(nats_server: NatsServer, client: Client) -> None:
    """At 2 % nobody needs to ask: the book is reducing, through a kill and a recovered equity, until 00:00 UTC."""
    limits = rules(max_daily_loss_pct=0.02)
    midnight = clock.now_ns() // DAY * DAY
    shift = [midnight - 30 * SECOND - clock.now_ns()]

    def now() -> int:
        return clock.now_ns() + shift[0]

    async with running_gate(nats_server.url, limits, now=now, origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report(as_of=now()))
        await fund.tells(stopped("1", -20, timestamp=iso(now())))
        await until(lambda: bool(gate.gate.folded.memory.standing.latches), "it latches")
        await gate.die()
    async with running_gate(nats_server.url, limits, now=now, origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report("1100", as_of=now()))
        entry = await fund.asks(timestamp=iso(now()))
        close = await fund.asks(action="close", timestamp=iso(now()))
        (latch,) = of_kind(await ledger(gate.link), "latch")
        shift[0] += 60 * SECOND
        await fund.reports(report("980", as_of=now()))
        tomorrow = await fund.asks(timestamp=iso(now()))
    assert (latch["code"], latch["effect"], parse_instant(latch["until"])) == ("DAILY_LOSS", "REDUCING", midnight)
    assert latch["cause"] == {"loss": "20", "day_start_equity": "1000", "limit": "0.02"}
    assert (entry["verdict"], codes(entry)[0], close["verdict"]) == ("blocked", "REDUCING_ONLY", "approved")
    assert tomorrow["verdict"] == "approved"


# -- what people see ---------------------------------------------------------------------------------------------------


async def test_every_decision_can_be_judged_again_and_is_kept_and_explained(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    """Records of executions, reports and snapshots go to the store; the chain holds; explain finds the same verdict."""
    store = ("--data-dir", str(tmp_path))
    async with running_gate(nats_server.url, rules(**COOLING), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await live_a_little(fund)
        await fund.reports(report("970", "-10", positions=(long(mark="90"),)))
        last = await fund.asks()
        records = await ledger(gate.link)
        status = json.loads(await status_answer(gate.link, gate.gate))

    tail = Process(ours("tail", "--nats-url", nats_server.url, "--from-start"), tmp_path / "tail.out").start()
    try:
        wait_until(lambda: "COOLDOWN" in tail.text(), "the last decision is shown")
    finally:
        tail.end()
    assert "filled momentum_pulse LONG 1 BTCUSDT 70 pnl -30" in tail.text().replace(".0 ", " ")

    assert {"snapshot", "account", "execution", "decision", "policy"} <= {str(one["kind"]) for one in records}
    policy = read_policy(of_kind(records, "policy")[0]["policy"])
    for one in of_kind(records, "decision"):
        assert judge_again(one, receipt_of(one), policy)[0]
    assert status["account"]["balanced"] is True
    shown = {name: status["holdings"][name] for name in ("origin", "equity", "realised_today", "open_today")}
    assert shown == {"origin": ORIGIN, "equity": "960", "realised_today": "-30", "open_today": "-10"}
    assert [status["holdings"][name] for name in ("positions", "orders", "behind")] == [1, 1, False]
    assert (status["standing"]["state"], status["standing"]["latches"]) == ("ACTIVE", [])

    projector = Process(ours("projector", "--nats-url", nats_server.url, *store), tmp_path / "projector.log").start()
    try:
        wait_until(lambda: run_cli("explain", str(last["decision_id"]), *store).code == 0, "the decision is stored")
    finally:
        projector.end()
    explained_last = run_cli("explain", str(last["decision_id"]), *store)
    assert "COOLDOWN" in explained_last.out
    assert "the same" in explained_last.out.splitlines()[-1]
    checked = run_cli("verify-ledger", *store)
    assert checked.code == 0
    assert f"{len(records)} records, chain verifies" in checked.out
    assert run_cli("verify-ledger", "--nats-url", nats_server.url).code == 0
