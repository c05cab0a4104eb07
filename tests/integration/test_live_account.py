"""The live path of the account: what the engine tells and the account reports decides the very next intent.

An account of 1,000 USDT; each intent asks for one BTCUSDT at 100 unless it says otherwise. Figures are by hand.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from fund import (
    EXECUTIONS,
    ORIGIN,
    REPORTS,
    Fund,
    entered,
    event,
    full,
    long,
    numbers,
    opened,
    report,
    roomy,
    rules,
    stopped,
)
from harness import (
    BOOK,
    LEDGER_STREAM,
    codes,
    eventually,
    intent_bytes,
    ledger,
    moment,
    of_kind,
    publish,
    running_gate,
    until,
)

from engine_server import account, engine_server
from petrosa_cio.apps.nurse.facts import OpenOrder, Side
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.bootstrap.account_feed import AccountOptions, account_task
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.link import Retention
from petrosa_cio.core.nats.reports import encode_report
from petrosa_cio.core.nats.together import end
from petrosa_cio.core.spill import SpillFile

if TYPE_CHECKING:
    from pathlib import Path

    from harness import NatsServer
    from nats.aio.client import Client


# -- losses and stops --------------------------------------------------------------------------------------------------


async def test_a_realised_loss_counts_at_the_next_intent(nats_server: NatsServer, client: Client) -> None:
    """2 % of 1,000 are 20: at a loss of 19.99 an entry passes, at 20 it is blocked, before any report shows either."""
    async with running_gate(nats_server.url, rules(max_daily_loss_pct=0.02), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        await fund.tells(stopped("1", -19.99))
        first = await fund.asks()
        await fund.tells(stopped("2", -0.01))
        second = await fund.asks()
        close = await fund.asks(action="close")
    assert (first["verdict"], numbers(first, "DAILY_LOSS")["loss"]) == ("approved", 19.99)
    assert second["verdict"] == "blocked"
    assert numbers(second, "DAILY_LOSS") == {"outcome": "block", "loss": 20, "day_start_equity": 1000, "limit": 0.02}
    assert close["verdict"] == "approved"


async def test_a_loss_that_was_unrealised_already_counts_once(nats_server: NatsServer, client: Client) -> None:
    """Down 15 in the report, stopped at a loss of 18: 15 before, 18 after, and 18 when the report shows it."""
    async with running_gate(nats_server.url, rules(), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        await fund.reports(report("1000", "-15", (long(mark="85"),)))
        losses = [numbers(await fund.asks(), "DAILY_LOSS")["loss"]]
        await fund.tells(stopped("1", -18))
        losses.append(numbers(await fund.asks(), "DAILY_LOSS")["loss"])
        await fund.reports(report("982"))
        losses.append(numbers(await fund.asks(), "DAILY_LOSS")["loss"])
    assert losses == [15, 18, 18]


async def test_a_stop_out_starts_the_cooldown(nats_server: NatsServer, client: Client) -> None:
    """Within the pause after a stop the next entry is blocked; a profit that was taken starts none."""
    async with running_gate(nats_server.url, rules(stop_cooldown_seconds=600), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        await fund.tells(event("1", side="LONG", reason="oco_exit_take_profit", close_reason="take_profit", pnl=3))
        before = await fund.asks()
        await fund.tells(stopped("2", -1))
        after, close = await fund.asks(), await fund.asks(action="close")
    assert (codes(before), codes(after), close["verdict"]) == ([], ["COOLDOWN"], "approved")
    assert 0 <= numbers(after, "COOLDOWN")["since_seconds"] < 600


# -- pending, open, never both -----------------------------------------------------------------------------------------


async def test_two_intents_of_one_burst_see_each_other(nats_server: NatsServer, client: Client) -> None:
    """Of 500 that may be open 300 are promised at once, 200 of the next 300 and nothing of the third."""
    async with running_gate(nats_server.url, rules(max_portfolio_exposure_pct=0.5), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        await publish(client, [intent_bytes(quantity=3.0) for _ in range(3)])
        await gate.judged(3)
        burst = of_kind(await ledger(gate.link), "decision")
    assert [one["verdict"] for one in burst] == ["approved", "reduced", "blocked"]
    assert burst[1]["quantity"] == 2
    assert [opened(one) for one in burst] == [(0, 1000), (300, 1000), (500, 1000)]


def order(quantity: str) -> OpenOrder:
    """A buy of BTCUSDT at 100 that a report tells as open."""
    return OpenOrder("BTCUSDT", Side.LONG, Decimal(quantity), Decimal(quantity) * 100, Decimal(1))


async def test_an_order_counts_once_from_promise_to_position(nats_server: NatsServer, client: Client) -> None:
    """Promised, placed, reported as an order, filled in parts, told twice, reported as a position: always 100."""
    seen: dict[str, float] = {}
    async with running_gate(nats_server.url, rules(), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        promised = str((await fund.asks())["decision_id"])

        async def look(what: str) -> None:
            """Ask by an entry that is refused for its confidence, and so promises nothing."""
            seen[what] = opened(await fund.asks(confidence=0.0))[0]

        await look("promised")
        await fund.tells(event("7", "placed", decision_id=promised, fill_qty=None, fill_quantity=None))
        await look("placed")
        await fund.reports(report(orders=(order("1"),)))
        await look("reported as an order")
        await fund.tells(entered("7", promised, event_type="partial_fill", fill_qty=0.4, fill_quantity=0.4))
        await look("filled in part")
        await fund.reports(report(positions=(long("0.4"),), orders=(order("0.6"),)))
        await look("reported in part")
        await fund.tells(entered("7", promised))
        await look("filled")
        await fund.reports(report(positions=(long(),)))
        await look("reported as a position")
        await fund.tells(entered("8", promised))
        await look("told again under another order id")
    assert seen == dict.fromkeys(seen, 100)


async def test_a_fill_counts_once_whichever_of_word_and_report_is_late(nats_server: NatsServer, client: Client) -> None:
    """A word before the report that holds it, and one after: a position of 100 at every moment, then of 200."""
    seen = []
    async with running_gate(nats_server.url, rules(), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        for number in (1, 2):
            promised = str((await fund.asks())["decision_id"])
            word = entered(str(number), promised)
            held = report(positions=(long(str(number)),))
            for told in (word, held) if number == 1 else (held, word):
                await (fund.tells(told) if isinstance(told, bytes) else fund.reports(told))
                seen.append(opened(await fund.asks(confidence=0.0))[0])
    # Between a report that has the fill and its late word both stand: too much for a moment, and never too little.
    assert seen == [100, 100, 300, 200]


# -- the account is not known ------------------------------------------------------------------------------------------


async def unknown(fund: Fund) -> None:
    """An entry is refused for want of the account, and a close passes."""
    entry, close = await fund.asks(), await fund.asks(action="close")
    assert (entry["verdict"], codes(entry), close["verdict"]) == ("blocked", ["ACCOUNT_UNKNOWN"], "approved")


async def known(fund: Fund) -> None:
    """An entry passes."""
    assert (await fund.asks())["verdict"] == "approved"


@pytest.mark.parametrize(
    ("told", "counter"),
    [
        ([], None),
        ([b"\xff{garbage"], "refused_reports"),
        ([encode_report(report("NaN"))], "refused_reports"),
        ([encode_report(report()).replace(b'"1000"', b"1000")], "refused_reports"),
        ([encode_report(report(origin="binance"))], "foreign_reports"),
    ],
    ids=["no report", "garbage", "NaN", "a number that is no text", "another origin"],
)
async def test_what_is_no_report_tells_nothing(
    nats_server: NatsServer, client: Client, told: list[bytes], counter: str | None
) -> None:
    """Entries are refused, closes pass; with the first report that counts entries pass."""
    async with running_gate(nats_server.url, rules(), origin=ORIGIN) as gate:
        fund = Fund(gate, client)

        async def heard() -> bool:
            await publish(client, told, REPORTS)
            return counter is None or getattr(gate.account.counters, counter) > 0

        await eventually(heard, "it is heard")
        await unknown(fund)
        await fund.reports(report())
        await publish(client, told, REPORTS)
        await known(fund)


async def test_a_report_grows_old(nats_server: NatsServer, client: Client) -> None:
    """To the limit of its age it counts and past it no longer; the next one heals it."""
    ahead = [0]
    limits = rules(max_account_age_seconds=30)
    async with running_gate(nats_server.url, limits, now=lambda: clock.now_ns() + ahead[0], origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        told = report()
        await fund.reports(told)
        await known(fund)
        ahead[0] = told.as_of + 30 * SECOND - clock.now_ns() + 1_000_000  # a millisecond past the limit, and later
        entry = await fund.asks(timestamp=moment(-29))
        assert codes(entry) == ["ACCOUNT_UNKNOWN"]
        assert (await fund.asks(action="close"))["verdict"] == "approved"
        await fund.reports(report(as_of=clock.now_ns() + ahead[0]))
        assert (await fund.asks(timestamp=moment(-29)))["verdict"] == "approved"


async def test_a_lost_stream_of_executions_is_made_anew(nats_server: NatsServer, client: Client) -> None:
    """The gate that misses it makes it, its numbers go on, and what is told from then on counts."""
    async with running_gate(nats_server.url, rules(), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        await fund.tells(stopped("1", -10), stopped("2", -10))
        await client.jetstream().delete_stream(subjects.EXECUTIONS_STREAM)
        await until(lambda: gate.account.counters.streams_anew == 1 and not gate.account.behind, "it is made anew")
        await fund.tells(stopped("3", -5))
        found = await fund.asks()
        assert gate.gate.folded.holdings.cursor == 3
    assert numbers(found, "DAILY_LOSS")["loss"] == 25
    assert [event for event, _ in gate.events if "made anew" in event] == [
        "ALARM: the stream of executions was lost, and is made anew"
    ]


async def test_without_executions_the_account_is_unknown(nats_server: NatsServer, client: Client) -> None:
    """Nobody makes the stream: entries are refused. Somebody does, and it counts from 1: what it tells is news."""
    async with running_gate(nats_server.url, rules(), origin=ORIGIN) as gate:
        fund = Fund(gate, client)
        gate.account.remake = None
        await fund.reports(report())
        await fund.tells(stopped("1", -10), stopped("2", -10))
        await client.jetstream().delete_stream(subjects.EXECUTIONS_STREAM)
        await until(lambda: gate.account.behind, "it is missed")
        await unknown(fund)
        await gate.link.ensure_executions(Retention())
        await until(lambda: not gate.account.behind, "it is read again")
        await fund.tells(stopped("3", -5))
        found = await fund.asks()
    assert numbers(found, "DAILY_LOSS")["loss"] == 25


@pytest.mark.parametrize("failure", ["refuses", "hangs", "garbage", "no number"])
async def test_an_engine_that_fails(nats_server: NatsServer, client: Client, failure: str) -> None:
    """One alarm; entries are refused once the last report is older than a second, and pass when it answers again."""
    alarms = ["ALARM: the account cannot be read", "the account can be read again"]
    logged: list[str] = []
    limits = rules(max_account_age_seconds=1)
    with engine_server() as engine:
        engine.positions = []
        options = AccountOptions(BOOK, "engine", engine.url, poll_seconds=0.05, timeout_seconds=0.3)
        async with running_gate(nats_server.url, limits, origin=ORIGIN) as gate:
            fund = Fund(gate, client)
            polling = asyncio.create_task(account_task(options, gate.link, lambda event, _: logged.append(event)))
            try:

                async def passes() -> bool:
                    return codes(await fund.asks(confidence=0.0)) == ["LOW_CONFIDENCE"]  # and promises nothing

                async def refused() -> bool:
                    return "ACCOUNT_UNKNOWN" in codes(await fund.asks(confidence=0.0))

                await eventually(passes, "the account is known")
                match failure:
                    case "refuses":
                        engine.say("/account", b"oops", 500)
                    case "hangs":
                        engine.hold.clear()
                    case "garbage":
                        engine.say("/account", b"<html>")
                    case "no number":
                        engine.say("/account", json.dumps(account(total_balance_usdt="NaN", balances={})).encode())
                await eventually(refused, "entries are refused")
                assert (await fund.asks(action="close"))["verdict"] == "approved"
                engine.raw.clear()
                engine.hold.set()
                await eventually(passes, "the account is known again")
            finally:
                engine.hold.set()
                await end(polling)
    assert [event for event in logged if event in alarms] == alarms


# -- outage ------------------------------------------------------------------------------------------------------------


async def test_what_is_told_in_an_outage_counts_once_afterwards(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    """While the ledger takes nothing closes pass and executions wait in their stream; then each counts, once."""
    spill = SpillFile(tmp_path / "spill" / "main.jsonl")
    async with running_gate(nats_server.url, rules(), origin=ORIGIN, spill=spill) as gate:
        fund = Fund(gate, client)
        await fund.reports(report())
        await fund.tells(stopped("1", -10))
        await full(client, LEDGER_STREAM)
        await publish(client, [stopped("2", -20), stopped("3", -5), stopped("3", -5)], EXECUTIONS)
        await until(lambda: gate.gate.state == "ledger unavailable", "the outage is noticed")
        await publish(client, [intent_bytes(action="close")])
        await until(lambda: gate.gate.passed_unrecorded == 1, "the close passes")
        await roomy(client, LEDGER_STREAM)
        await until(lambda: gate.gate.state == "leading", "it leads again")
        found = await fund.asks()
        records = await ledger(gate.link)
    assert numbers(found, "DAILY_LOSS")["loss"] == 35
    assert [one["execution"]["order_id"] for one in of_kind(records, "execution")] == ["1", "2", "3"]
    assert len(of_kind(records, "outage")) == 1
