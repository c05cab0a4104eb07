"""The live path of the account: what the engine tells and the account reports decides the very next intent.

An account of 1,000 USDT; each intent asks for one BTCUSDT at 100 unless it says otherwise. Figures are by hand.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from fund import EXECUTIONS, ORIGIN, Fund, asks, decision, entered, event, long, numbers, opened, report, rules, stopped
from harness import codes, eventually, intent_bytes, ledger, of_kind, publish, running_gate, until

from petrosa_cio.apps.nurse.facts import OpenOrder, Side
from petrosa_cio.core.nats import subjects

if TYPE_CHECKING:
    from harness import NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json


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
