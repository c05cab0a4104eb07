"""What every `Accounts` promises: a simulated engine, and what a gate hears of a real one over a real server.

Orders are numbered from 1 on. The engine of a place fills order ``n`` at ``moment(n)``, as the ``n``-th execution.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import pytest

from builders_executions import SUBJECT, T, event_bytes, report, reports_in
from builders_simulation import Told, candles, instant, order
from integration.harness import BOOK, NatsServer, eventually, prepared_link, until
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.happenings import Execution, PromotedOrder
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.apps.nurse.simulation import SimulatedEngine
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.account_facts import HeardAccount
from petrosa_cio.core.nats.reports import encode_report
from petrosa_cio.core.nats.together import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from petrosa_cio.apps.nurse.happenings import Happening
    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.apps.nurse.ports import Accounts
    from petrosa_cio.core.nats.link import Link

QUARTER: Instant = 900 * SECOND
MOST = 8
"""Orders for which a place has bars."""


class Place(Protocol):
    """An account, and the engine on whose side things happen to it."""

    account: Accounts

    def moment(self, number: float) -> Instant:
        """When the engine fills order ``number``."""

    def order(self, number: int) -> PromotedOrder:
        """The order that the engine fills then."""

    async def fill(self, number: int) -> None:
        """Have the engine fill an order that was promoted; the next one in its turn."""

    async def report(self, number: float) -> None:
        """Have the account reported as of ``moment(number)``."""

    async def restart(self) -> None:
        """Have an account that knows nothing instead, as a gate that was killed and started has."""

    async def lose(self) -> None:
        """Take away whatever the account learns from."""

    async def close(self) -> None: ...


class Simulated:
    """Bars of a quarter of an hour, all there from the beginning. An order of three minutes after one opens is filled
    by the next, and known when that has closed.
    """

    def __init__(self) -> None:
        bars = Told(*candles(*[(100.0, 101.0, 99.0, 100.0)] * (MOST + 2)))
        self._engine = lambda: SimulatedEngine(Decimal(10_000), bars)
        self.account: Accounts = self._engine()

    def moment(self, number: float) -> Instant:
        return instant(15 * (number + 1))

    def order(self, number: int) -> PromotedOrder:
        return order(15 * (number - 1) + 3, Side.LONG, "1", strategy=f"order {number} ")

    async def fill(self, number: int) -> None:
        """It comes with the time."""

    async def report(self, number: float) -> None:
        """So does this."""

    async def restart(self) -> None:
        self.account = self._engine()

    async def lose(self) -> None:
        """It learns from nothing outside."""

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Heard:
    """A stream of executions that an engine tells, and reports beside it."""

    server: NatsServer
    held: AbstractAsyncContextManager[Link]
    link: Link
    filled: int = 0
    account: HeardAccount = field(init=False)
    hearing: asyncio.Task[None] = field(init=False)

    @classmethod
    async def start(cls, folder: Path) -> Heard:
        server = NatsServer.start(folder)
        held = prepared_link(server.url)
        place = cls(server, held, await held.__aenter__())
        place._hear()
        return place

    def _hear(self) -> None:
        self.account = HeardAccount(self.link, BOOK, "engine", lambda *_: None)
        self.hearing = asyncio.create_task(self.account.run())

    def moment(self, number: float) -> Instant:
        return T + round(number * QUARTER)

    def order(self, number: int) -> PromotedOrder:
        return PromotedOrder(
            f"d-{number}", "momentum_pulse", "BTCUSDT", Side.LONG, self.moment(number) - QUARTER, Decimal(60_000),
            Decimal(1), Decimal("0.5"),
        )  # fmt: skip

    async def fill(self, number: int) -> None:
        assert number == self.filled + 1
        self.filled = number
        at = datetime(2026, 11, 23, 13, 20, tzinfo=UTC) + timedelta(microseconds=(self.moment(number) - T) // 1000)
        await self.link.stored(SUBJECT, event_bytes(number, timestamp=at.isoformat()), {})

    async def report(self, number: float) -> None:
        told = report((self.moment(number) - T) // SECOND)
        before = self.account.counters.reports

        async def heard() -> bool:
            await self.link.publish(subjects.account_subject(BOOK), encode_report(told))
            return self.account.counters.reports > before

        await eventually(heard, f"the report of {number} is heard")

    async def restart(self) -> None:
        await end(self.hearing)
        self._hear()

    async def lose(self) -> None:
        self.server.kill()
        await until(lambda: not self.link.connected, "the connection is lost")

    async def close(self) -> None:
        await end(self.hearing)
        await self.held.__aexit__(None, None, None)
        self.server.process.end()


PLACES = ("simulated", "heard")


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    made: Place = Simulated() if request.param == "simulated" else await Heard.start(tmp_path)
    try:
        yield made
    finally:
        await made.close()


@dataclass
class Gate:
    """What a gate does with an account: begins, tells what it promoted, takes what is due."""

    place: Place
    promoted: list[int] = field(default_factory=list)
    taken: list[Happening] = field(default_factory=list)

    def begin(self, after: int) -> None:
        """Begin, and tell of every recorded decision again, as a gate on an event clock does."""
        self.taken.clear()
        self.place.account.begin(after)
        for number in self.promoted:
            self.place.account.promoted(self.place.order(number))

    async def trade(self, *numbers: int) -> None:
        """Promote these orders, and have them filled."""
        for number in numbers:
            self.promoted.append(number)
            self.place.account.promoted(self.place.order(number))
            await self.place.fill(number)

    def take(self, now: Instant) -> list[Happening]:
        self.taken += self.place.account.due(now)
        return self.taken

    async def is_given(self, numbers: list[int], now: Instant) -> None:
        """Take until so many executions came; they are these, in this order, and no other comes."""
        await until(lambda: len(sequences(self.take(now))) >= len(numbers), f"{len(numbers)} executions are given")
        self.take(now)
        assert sequences(self.taken) == numbers


@pytest.fixture
def gate(place: Place) -> Gate:
    return Gate(place)


def executions(taken: list[Happening]) -> list[Execution]:
    return [one for one in taken if isinstance(one, Execution)]


def sequences(taken: list[Happening]) -> list[int]:
    return [one.sequence for one in executions(taken)]


async def test_each_execution_is_given_once_and_in_order(place: Place, gate: Gate) -> None:
    """Taken one by one, two at a time, and not again: numbered without a hole, each of its own order."""
    gate.begin(0)
    await gate.trade(1)
    await gate.is_given([1], place.moment(1))
    await gate.trade(2, 3)
    await gate.is_given([1, 2, 3], place.moment(3))
    await gate.trade(4)
    await gate.is_given([1, 2, 3, 4], place.moment(4))
    assert [one.decision_id for one in executions(gate.taken)] == [place.order(n).decision_id for n in (1, 2, 3, 4)]
    assert not place.account.due(place.moment(4))


async def test_nothing_is_given_before_it_happened(place: Place, gate: Gate) -> None:
    """An order that was promoted and not filled yet is no execution; filled, it is one of that time."""
    gate.begin(0)
    place.account.promoted(place.order(1))
    gate.promoted.append(1)
    assert sequences(gate.take(place.moment(1) - SECOND)) == []
    await place.fill(1)
    await gate.is_given([1], place.moment(1))
    (filled,) = executions(gate.taken)
    assert place.order(1).at < filled.at <= place.moment(1)
    assert (filled.symbol, filled.side) == (place.order(1).symbol, Side.LONG)


async def test_a_beginning_gives_what_follows_it(place: Place, gate: Gate) -> None:
    """Begun again after any execution, those with a higher number are given, also those that were given before; and no
    report of before it."""
    gate.begin(0)
    await gate.trade(1, 2, 3, 4)
    await place.report(4)
    await gate.is_given([1, 2, 3, 4], place.moment(4))
    happened = {one.sequence: one.at for one in executions(gate.taken)}
    for after, expected in ((2, [3, 4]), (0, [1, 2, 3, 4]), (3, [4])):
        gate.begin(after)
        await gate.is_given(expected, place.moment(4))
        assert reports_in(gate.taken)
        assert all(one.as_of >= happened.get(after, 0) for one in reports_in(gate.taken))
    gate.begin(4)
    await gate.trade(5)
    await gate.is_given([5], place.moment(5))


async def test_a_beginning_forgets_what_was_not_taken(place: Place, gate: Gate) -> None:
    """What happened and waits is given if it follows the new beginning, and otherwise not."""
    gate.begin(0)
    await gate.trade(1, 2, 3)
    gate.begin(2)
    await gate.is_given([3], place.moment(3))


async def test_what_a_killed_gate_did_not_record_is_given_to_the_next(place: Place, gate: Gate) -> None:
    """Of three it took, one was recorded: the next gate is given the other two as they were, and what comes then."""
    gate.begin(0)
    await gate.trade(1, 2, 3)
    await gate.is_given([1, 2, 3], place.moment(3))
    unrecorded = executions(gate.taken)[1:]
    await place.restart()
    gate.begin(1)
    await gate.is_given([2, 3], place.moment(3))
    assert executions(gate.taken) == unrecorded
    await gate.trade(4)
    await gate.is_given([2, 3, 4], place.moment(4))


async def test_each_report_is_newer_than_the_last_and_of_no_later_than_now(place: Place, gate: Gate) -> None:
    """Asked again and again, an account that was reported four times gives four reports, each once."""
    gate.begin(0)
    for number in (1, 2, 3, 4):
        await place.report(number)
        for _ in range(3):
            gate.take(place.moment(number))
    assert [one.as_of for one in reports_in(gate.taken)] == [place.moment(number) for number in (1, 2, 3, 4)]


async def test_a_report_of_later_waits_for_its_time(place: Place, gate: Gate) -> None:
    """One that is of two is not given at one; it is given at two."""
    gate.begin(0)
    await place.report(2)
    assert all(one.as_of <= place.moment(1) for one in reports_in(gate.take(place.moment(1))))
    assert [one.as_of for one in reports_in(gate.take(place.moment(2)))][-1] == place.moment(2)


async def test_a_beginning_gives_the_latest_report_again(place: Place, gate: Gate) -> None:
    """A gate that begins anew knows nothing of the account until it is told: it need not wait for the next report."""
    gate.begin(0)
    await place.report(1)
    first = reports_in(gate.take(place.moment(1)))
    gate.begin(0)
    assert reports_in(gate.take(place.moment(1))) == first != []


ODD: dict[str, Callable[[PromotedOrder], PromotedOrder]] = {
    "no size": lambda one: changed(one, quantity=None),
    "a size of nothing": lambda one: changed(one, quantity=Decimal(0)),
    "a market that nobody knows": lambda one: changed(one, symbol="XRPUSDT"),
    "a close of nothing": lambda one: changed(one, side=None, strategy_id="nobody", price=Decimal(0), quantity=None),
    "a stop on the wrong side": lambda one: changed(one, stop=Decimal(10**9), target=Decimal("1e-9")),
    "of a month ago": lambda one: changed(one, at=one.at - 30 * 96 * QUARTER),
    "of a year to come": lambda one: changed(one, at=one.at + 365 * 96 * QUARTER),
}


def changed(one: PromotedOrder, **fields: object) -> PromotedOrder:
    made = {name: getattr(one, name) for name in PromotedOrder.__slots__} | fields
    return PromotedOrder(**{**made, "decision_id": "odd"})  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_no_promoted_order_does_harm(
    place: Place, gate: Gate, odd: Callable[[PromotedOrder], PromotedOrder]
) -> None:
    """Whatever comes of an odd one, if anything: no error, what else is filled is given once, and in order."""
    gate.begin(0)
    await gate.trade(1)
    place.account.promoted(odd(place.order(1)))
    await gate.trade(2)

    def both() -> bool:
        given = {one.decision_id for one in executions(gate.take(place.moment(3)))}
        return given >= {place.order(1).decision_id, place.order(2).decision_id}

    await until(both, "the two other orders are given")
    assert sequences(gate.taken) == list(range(1, len(sequences(gate.taken)) + 1))
    for number in (1, 2):
        assert [one.decision_id for one in executions(gate.taken)].count(place.order(number).decision_id) == 1


async def test_it_answers_from_memory(place: Place, gate: Gate) -> None:
    """With what it learns from gone, no method fails, and what was learnt is given."""
    gate.begin(0)
    await gate.trade(1)
    await gate.is_given([1], place.moment(1))
    await place.lose()
    for _ in range(3):
        place.account.promoted(place.order(2))
        assert 1 not in sequences(list(place.account.due(place.moment(1) + SECOND)))
    place.account.begin(1)
    assert sequences(list(place.account.due(place.moment(1) + SECOND))) == []
