"""Commands of operators: decoded whole or refused by every fault, and never carried out too late."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, json_values
from petrosa_cio.apps.nurse.latches import Latch, Standing, Word
from petrosa_cio.apps.nurse.models import SECOND, TradingState
from petrosa_cio.core.nats import commands
from petrosa_cio.core.nats.commands import Command, Commands, Verb, change_of, decode, shown

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

WHY = "exchange maintenance"
keys = st.sampled_from(["command", "who", "why", "code", "strategy_id", "other"])


@given(st.binary(max_size=60) | st.dictionaries(keys, json_values).map(lambda found: json.dumps(found).encode()))
def test_decoding_is_total(data: bytes) -> None:
    """Whatever comes is a command or is refused with at least one fault, each a text."""
    found = decode(data)
    assert isinstance(found, Command) or (found and all(isinstance(fault, str) and fault for fault in found))


texts = st.text(st.characters(categories=("L", "N")), min_size=10, max_size=500)


@given(st.sampled_from(Verb), texts, texts, texts, st.none() | texts)
def test_what_is_well_formed_is_decoded_as_it_was_written(
    verb: Verb, who: str, why: str, code: str, strategy_id: str | None
) -> None:
    """Each verb with the fields that it takes."""
    written: dict[str, Json] = {"command": verb.value}
    expected = Command(verb)
    if verb is Verb.LIFT:
        written |= {"who": who, "why": why, "code": code, "strategy_id": strategy_id}
        expected = Command(verb, who, why, code, strategy_id)
    elif verb is not Verb.SHOW:
        written |= {"who": who, "why": why}
        expected = Command(verb, who, why)
    assert decode(json.dumps(written).encode()) == expected


@pytest.mark.parametrize("length", [9, 10, 500, 501])
def test_a_reason_has_10_to_500_characters(length: int) -> None:
    """At both ends, on both sides."""
    found = decode(json.dumps({"command": "halt", "who": "ana", "why": "x" * length}).encode())
    assert isinstance(found, Command) == (10 <= length <= 500)


def test_a_latch_that_ran_out_cannot_be_lifted() -> None:
    """At its end it is gone, just before it is there."""
    standing = Standing()
    standing.latch(Latch("DAILY_LOSS", START, START + SECOND, TradingState.REDUCING))
    lift = Command(Verb.LIFT, "ana", WHY, "DAILY_LOSS")
    assert change_of(lift, standing, START + SECOND) == "no latch DAILY_LOSS on the book"
    assert isinstance(change_of(lift, standing, START + SECOND - 1000), dict)


def test_a_latch_on_a_strategy_is_not_the_books() -> None:
    """Each is lifted by code and strategy."""
    standing = Standing()
    standing.latch(Latch("STRATEGY_DRAWDOWN", START, None, TradingState.REDUCING, "momo"))
    assert change_of(Command(Verb.LIFT, "ana", WHY, "STRATEGY_DRAWDOWN"), standing, START) == (
        "no latch STRATEGY_DRAWDOWN on the book"
    )
    assert isinstance(change_of(Command(Verb.LIFT, "ana", WHY, "STRATEGY_DRAWDOWN", "momo"), standing, START), dict)


def test_what_is_shown_tells_state_word_and_latches_that_hold() -> None:
    """Of one that ran out nothing; of the state by what, since when and until when."""
    standing = Standing(Word(TradingState.ACTIVE, START, "ana", WHY))
    standing.latch(Latch("DAILY_LOSS", START, START + SECOND, TradingState.REDUCING))
    found = shown("main", standing, START)
    assert (found["state"], found["by"], found["since"], found["until"]) == (
        *("REDUCING", "DAILY_LOSS"),
        *("2026-11-24T09:30:00.000000+00:00", "2026-11-24T09:30:01.000000+00:00"),
    )
    after = shown("main", standing, START + SECOND)
    assert (after["state"], after["by"], after["latches"]) == ("ACTIVE", None, [])
    assert after["operator"] == {
        "state": "ACTIVE",
        "at": "2026-11-24T09:30:00.000000+00:00",
        "who": "ana",
        "why": WHY,
    }


HALT = json.dumps({"command": "halt", "who": "ana", "why": WHY}).encode()


async def test_a_command_that_nobody_carries_out_in_time_never_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not answered, and whoever looks for commands later does not find it."""
    monkeypatch.setattr(commands, "PATIENCE_SECONDS", 0.02)
    waiting = Commands()
    assert await waiting.ask(HALT) is None
    later = asyncio.create_task(waiting.next())
    second = asyncio.create_task(waiting.ask(HALT))
    asked = await later
    assert not asked.given_up
    asked.reply(b"done")
    assert await second == b"done"


async def test_a_command_that_was_taken_and_given_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that was held up between taking and doing does not do it; an answer goes nowhere."""
    monkeypatch.setattr(commands, "PATIENCE_SECONDS", 0.02)
    waiting = Commands()
    asking = asyncio.create_task(waiting.ask(HALT))
    asked = await waiting.next()
    assert await asking is None
    assert asked.given_up
    asked.reply(b"done")
    assert asked.answer.cancelled()
