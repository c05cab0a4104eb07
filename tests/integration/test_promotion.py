"""From intent to signal: what a core producer publishes is what a core engine receives, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from harness import (
    SHARED,
    TRACEPARENT,
    Heard,
    codes,
    intent,
    ledger,
    listen,
    moment,
    of_kind,
    policy,
    running_gate,
)

from petrosa_cio.apps.nurse.policy import read_policy

if TYPE_CHECKING:
    from harness import InProcess, NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.nats.link import Link

SAMPLES = SHARED / "design" / "sample_payloads.json"
OURS = {
    "source",
    "decision_id",
    "signal_id",
    "timestamp",
    "metadata",
    "quantity",
    "price",
    "current_price",
    "confidence",
    "strategy",
    "_otel_trace_context",
    "_otel_trace_headers",
}
"""The fields that the gate may write on a signal (spine, §5)."""


async def promote(
    client: Client,
    gate: InProcess,
    heard: Heard,
    body: dict[str, Json],
    subject: str = "intent.trading.btc",
    headers: dict[str, str] | None = None,
) -> None:
    """Publish one intent and wait until everything that follows from it has happened."""
    before = gate.gate.position.cursor
    await client.publish(subject, json.dumps(body).encode(), headers=headers)
    await client.flush()
    await gate.judged(before + 1)
    await heard.all()


async def test_an_intent_arrives_as_a_signal_with_the_same_trace_header(
    nats_server: NatsServer, client: Client
) -> None:
    """A buy on intent.trading.btc arrives on signals.trading, its traceparent header byte for byte the same."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        await promote(client, gate, heard, intent(), headers={"traceparent": TRACEPARENT, "tracestate": "v=1,w=2"})

    (message,) = heard.messages
    assert message.subject == "signals.trading"
    assert message.headers["traceparent"] == TRACEPARENT
    assert message.headers["tracestate"] == "v=1,w=2"


async def test_every_field_of_the_producer_travels(nats_server: NatsServer, client: Client) -> None:
    """Fields the gate knows and fields it does not know arrive unchanged; what the engine requires is added."""
    heard = await listen(client)
    body = intent(
        current_price=100.5,
        timeframe="15m",
        stop_loss=98.0,
        metadata={"rsi": 58.2, "nested": {"deep": [1, "zwei", None]}},
        **{"colour of the moon": "grün", "numbers": [1, 2.5, -0.0, 1e-9]},
    )
    async with running_gate(nats_server.url) as gate:
        await promote(client, gate, heard, body)

    (signal,) = heard.bodies
    unchanged = {name: value for name, value in body.items() if name != "metadata"}
    assert {name: signal[name] for name in unchanged} == unchanged
    assert {name: signal["metadata"][name] for name in body["metadata"]} == body["metadata"]
    assert signal["source"] == "petrosa-cio"
    assert signal["strategy"] == body["strategy_id"]
    assert signal["decision_id"] == signal["metadata"]["decision_id"]
    assert signal["signal_id"]


def samples() -> list[object]:
    if not SAMPLES.exists():
        reason = f"{SAMPLES} is not on this machine"
        return [pytest.param(None, "", marks=pytest.mark.skip(reason=reason))]
    found = json.loads(SAMPLES.read_text(encoding="utf-8"))
    return [
        pytest.param(body, producer, id=f"{producer}-{body['strategy_id']}")
        for producer in ("ta_bot", "realtime_strategies")
        for body in found[producer]
    ]


@pytest.mark.parametrize(("body", "producer"), samples())
async def test_each_producer_of_the_fleet_is_understood(
    nats_server: NatsServer, client: Client, link: Link, body: dict[str, Json], producer: str
) -> None:
    """What the fleet's producers really send is promoted on its own subject with every field, a hold absorbed."""
    heard = await listen(client)
    fresh = {**body, "timestamp": moment()}
    name = str(body["strategy_id"]).replace(" ", "_").replace(".", "_")
    async with running_gate(nats_server.url) as gate:
        await promote(client, gate, heard, fresh, f"cio.intent.trading.{name}", {"traceparent": TRACEPARENT})

    (decision,) = of_kind(await ledger(link), "decision")
    if body["action"] == "hold":
        assert decision["verdict"] == "absorbed"
        assert heard.messages == []
        return
    assert decision["verdict"] == "approved", decision["reasons"]
    (message,), (signal,) = heard.messages, heard.bodies
    assert message.headers["traceparent"] == TRACEPARENT
    assert signal.keys() >= fresh.keys()
    rewritten = OURS - {"timestamp", "price", "current_price", "quantity", "confidence", "strategy"}
    kept = {name: value for name, value in fresh.items() if name not in rewritten}
    assert {name: signal[name] for name in kept} == kept
    assert signal["metadata"].items() >= fresh["metadata"].items()


async def test_a_hold_is_absorbed(nats_server: NatsServer, client: Client, link: Link) -> None:
    """A hold leaves a record in the ledger and no signal."""
    heard = await listen(client)
    async with running_gate(nats_server.url) as gate:
        await promote(client, gate, heard, intent(action="hold"))

    (decision,) = of_kind(await ledger(link), "decision")
    assert (decision["verdict"], decision["action"]) == ("absorbed", "hold")
    assert heard.messages == []


async def test_a_close_passes_where_every_fact_is_required_and_none_is_known(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """Under a policy that requires every fact a buy is blocked for each missing kind of fact and a close passes."""
    heard = await listen(client)
    facts: list[Json] = ["bars", "mark", "book", "funding", "account", "filters"]
    rules = read_policy({"required_facts": facts})
    async with running_gate(nats_server.url, rules) as gate:
        await promote(client, gate, heard, intent(action="buy"))
        await promote(client, gate, heard, {"strategy_id": "momo", "symbol": "BTCUSDT", "action": "close"})

    buy, close = of_kind(await ledger(link), "decision")
    assert buy["verdict"] == "blocked"
    assert {"MARKET_STALE", "ACCOUNT_UNKNOWN"} <= set(codes(buy))
    assert close["verdict"] == "approved"
    (signal,) = heard.bodies
    assert signal["action"] == "close"
    assert signal["decision_id"] == close["decision_id"]


@pytest.mark.parametrize(
    ("strategy_id", "token"),
    [
        ("momentum_pulse", "momentum_pulse"),
        ("Spread Liquidity Monitor", "Spread_Liquidity_Monitor"),
        ("a.b>*c", "a_b_c"),
    ],
)
async def test_signals_leave_on_a_subject_per_strategy(
    nats_server: NatsServer, client: Client, strategy_id: str, token: str
) -> None:
    """With {strategy_id} in the signal subject each strategy's signals have a subject token of their own."""
    heard = await listen(client)
    async with running_gate(nats_server.url, signal_subject="signals.trading.{strategy_id}") as gate:
        await promote(client, gate, heard, intent(strategy_id=strategy_id))

    (message,), (signal,) = heard.messages, heard.bodies
    assert message.subject == f"signals.trading.{token}"
    assert signal["strategy_id"] == strategy_id


async def test_a_reduction_sets_the_quantity_and_clears_what_would_undo_it(
    nats_server: NatsServer, client: Client, link: Link
) -> None:
    """An order of 5 at 100 under a limit of 200 leaves as a quantity of 2, other sizes cleared."""
    heard = await listen(client)
    async with running_gate(nats_server.url, policy(max_position_size_usd=200.0)) as gate:
        await promote(client, gate, heard, intent(price=100.0, quantity=5.0, quote_quantity=500.0))

    (decision,) = of_kind(await ledger(link), "decision")
    assert decision["verdict"] == "reduced"
    assert codes(decision) == ["ORDER_TOO_LARGE"]
    (signal,) = heard.bodies
    assert signal["quantity"] == 2.0
    assert signal["quote_quantity"] is None
    assert signal["position_size_pct"] is None


async def test_no_header_of_the_producer_is_copied_outward(nats_server: NatsServer, client: Client) -> None:
    """Only trace headers travel on: a producer's Nats-* and other headers stay behind."""
    heard = await listen(client)
    sent = {
        "Nats-Msg-Id": "constant",
        "Nats-Expected-Stream": "CIO_INTENTS",
        "Nats-Anything": "at all",
        "Authorization": "secret",
        "traceparent": TRACEPARENT,
    }
    async with running_gate(nats_server.url) as gate:
        await promote(client, gate, heard, intent(), headers=sent)

    (message,) = heard.messages
    of_the_server = {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence"}
    assert message.headers.keys() - of_the_server <= {
        "traceparent",
        "Nats-Expected-Last-Subject-Sequence",
        "Nats-Expected-Last-Subject-Sequence-Subject",
    }
    assert not {"constant", "CIO_INTENTS", "at all", "secret"} & set(message.headers.values())


@pytest.mark.parametrize(
    "traceparent",
    [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        "garbage",
    ],
)
async def test_an_invalid_trace_is_dropped(nats_server: NatsServer, client: Client, traceparent: str) -> None:
    """A traceparent that is none is not passed on, neither as a header nor in the body, and the intent still is."""
    heard = await listen(client)
    body = intent(_otel_trace_context={"traceparent": traceparent})
    async with running_gate(nats_server.url) as gate:
        await promote(client, gate, heard, body, headers={"traceparent": traceparent, "tracestate": "v=1"})
        assert gate.gate.counters.traces_dropped == 2

    (message,), (signal,) = heard.messages, heard.bodies
    assert "traceparent" not in message.headers
    assert "tracestate" not in message.headers
    assert traceparent not in json.dumps(signal)


async def test_a_trace_in_the_body_travels_as_a_header_too(nats_server: NatsServer, client: Client) -> None:
    """A trace that came only in the body leaves as a header, and every body field agrees with it."""
    heard = await listen(client)
    body = intent(_otel_trace_headers={"traceparent": TRACEPARENT, "tracestate": "v=1"})
    async with running_gate(nats_server.url) as gate:
        await promote(client, gate, heard, body)

    (message,), (signal,) = heard.messages, heard.bodies
    carrier = {"traceparent": TRACEPARENT, "tracestate": "v=1"}
    assert {name: message.headers.get(name) for name in carrier} == carrier
    assert signal["_otel_trace_headers"] == signal["_otel_trace_context"] == carrier
