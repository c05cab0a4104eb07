"""What a live gate hears of its account, over a real server: in order, each once, through every break."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from harness import BOOK, eventually, prepared_link, publish, until

from builders_executions import SUBJECT, T, event_bytes, order_ids, report, reports_in
from petrosa_cio.apps.nurse.happenings import Execution
from petrosa_cio.core.nats import account_facts, subjects
from petrosa_cio.core.nats.account_facts import MOST_WAITING, HeardAccount
from petrosa_cio.core.nats.link import Link
from petrosa_cio.core.nats.reports import encode_report
from petrosa_cio.core.nats.together import end
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness import NatsServer
    from nats.aio.client import Client

    from petrosa_cio.apps.nurse.happenings import Happening

LATE = T + 10**15
REPORTS = subjects.account_subject(BOOK)


@dataclass
class Ear:
    """A heard account at work, and what a gate took of it."""

    account: HeardAccount
    logged: list[tuple[str, dict[str, object]]]
    taken: list[Happening] = field(default_factory=list)

    def take(self) -> list[Happening]:
        self.taken += self.account.due(LATE)
        return self.taken

    async def hears(self, numbers: list[int]) -> None:
        """Take until these orders were told; no other may have been."""
        await until(lambda: len(order_ids(self.take())) >= len(numbers), f"{len(numbers)} executions are heard")
        assert order_ids(self.taken) == numbers


@contextlib.asynccontextmanager
async def hearing(link: Link, after: int | None = 0, origin: str = "engine") -> AsyncIterator[Ear]:
    logged: list[tuple[str, dict[str, object]]] = []
    account = HeardAccount(link, BOOK, origin, lambda event, fields: logged.append((event, fields)))
    if after is not None:
        account.begin(after)
    task = asyncio.create_task(account.run())
    try:
        yield Ear(account, logged)
    finally:
        await end(task)


async def tell(client: Client, *numbers: int) -> None:
    """Tell of orders, and return once the stream has each: what is asked of it next finds them there."""
    for number in numbers:
        await client.jetstream().publish(SUBJECT, event_bytes(number))


async def stored(link: Link, count: int) -> None:
    """Wait until the stream holds its first ``count`` events: a core publish is captured a moment later."""

    async def holds() -> bool:
        return (await link.state(subjects.EXECUTIONS_STREAM)).last >= count

    await eventually(holds, f"{count} events are stored")


async def listens(client: Client, ear: Ear, seconds: int = 0) -> None:
    """Publish reports until one is heard, and wait until all are: the subscription stands then."""

    async def heard() -> bool:
        await publish(client, [encode_report(report(seconds))], REPORTS)
        return ear.account.counters.reports > 0

    await eventually(heard, "a report is heard")
    await publish(client, [b"the last of these"], REPORTS)
    await until(lambda: ear.account.counters.refused_reports == 1, "what was published last is heard")


async def test_executions_are_told_in_order_with_their_place_in_the_stream(link: Link, client: Client) -> None:
    """Those that were there before, and those that come; ``arrived`` is set by each and cleared by taking."""
    await tell(client, 1, 2)
    async with hearing(link) as ear:
        await ear.hears([1, 2])
        assert not ear.account.arrived.is_set()
        await tell(client, 3)
        await asyncio.wait_for(ear.account.arrived.wait(), 20)
        await ear.hears([1, 2, 3])
        assert [one.sequence for one in ear.taken if isinstance(one, Execution)] == [1, 2, 3]
        assert ear.account.due(LATE) == ()


async def test_reading_begins_after_what_the_ledger_has(link: Link, client: Client) -> None:
    """`begin` names the last execution that is known; called again, what follows it is given again."""
    await tell(client, *range(1, 6))
    async with hearing(link, after=3) as ear:
        await ear.hears([4, 5])
        ear.account.begin(1)
        await ear.hears([4, 5, 2, 3, 4, 5])
        ear.account.begin(5)
        await tell(client, 6)
        await ear.hears([4, 5, 2, 3, 4, 5, 6])


async def test_beginning_again_forgets_what_waits(link: Link, client: Client) -> None:
    """What was read and not taken is none of what the new beginning asked for."""
    await tell(client, 1, 2, 3)
    async with hearing(link) as ear:
        await until(lambda: ear.account.counters.executions == 3, "all three are read")
        ear.account.begin(2)
        await ear.hears([3])


async def test_nothing_is_read_before_the_beginning(link: Link, client: Client) -> None:
    """A gate that has not recovered yet is given nothing, and everything once it asks."""
    await tell(client, 1)
    async with hearing(link, after=None) as ear:
        await listens(client, ear)
        assert order_ids(ear.take()) == []
        ear.account.begin(0)
        await ear.hears([1])


async def test_a_killed_reader_goes_on_where_it_ended(link: Link, client: Client) -> None:
    """Its task cancelled and run again: what waits stays, nothing is missed, nothing comes twice."""
    await tell(client, 1, 2)
    logged: list[str] = []
    account = HeardAccount(link, BOOK, "engine", lambda event, _: logged.append(event))
    account.begin(0)
    first = asyncio.create_task(account.run())
    await until(lambda: account.counters.executions == 2, "two are read")
    await end(first)
    await tell(client, 3)
    second = asyncio.create_task(account.run())
    await until(lambda: account.counters.executions == 3, "the third is read")
    assert order_ids(account.due(LATE)) == [1, 2, 3]
    await end(second)
    assert logged == []


async def test_a_server_that_dies_and_comes_back(nats_server: NatsServer) -> None:
    """Reading goes on by itself after the last execution; said once, counted, and reports are heard again."""
    link = await Link.open(nats_server.url, "gate")
    async with prepared_link(nats_server.url), hearing(link) as ear:
        teller = await Link.open(nats_server.url, "engine")
        await teller.stored(SUBJECT, event_bytes(1), {})
        await ear.hears([1])
        nats_server.kill()
        await until(lambda: not link.connected and not teller.connected, "the connection is lost")
        nats_server.restart()
        await asyncio.wait_for(teller.stands(), 20)
        await teller.stored(SUBJECT, event_bytes(2), {})
        await ear.hears([1, 2])
        assert ear.account.counters.interrupted >= 1
        assert [event for event, _ in ear.logged].count("executions cannot be read now; it is tried again") == 1

        async def heard() -> bool:
            await teller.publish(REPORTS, encode_report(report(1)))
            return bool(reports_in(ear.take()))

        await eventually(heard, "a report is heard after the restart")
        await teller.close()
    await link.close()


async def test_the_loss_of_the_link_is_left_to_the_gate(nats_server: NatsServer) -> None:
    """Whoever else looks at ``lost`` still sees it after reading has recovered."""
    async with prepared_link(nats_server.url) as link, hearing(link) as ear:
        await link.stored(SUBJECT, event_bytes(1), {})
        await ear.hears([1])
        nats_server.kill()
        await asyncio.wait_for(link.lost.wait(), 20)
        nats_server.restart()
        await asyncio.wait_for(link.stands(), 20)
        await link.stored(SUBJECT, event_bytes(2), {})
        await ear.hears([1, 2])
        assert link.lost.is_set()


async def test_it_ends_with_its_link(nats_server: NatsServer) -> None:
    """A link that was closed does not come back: hearing says so instead of waiting for ever."""
    async with prepared_link(nats_server.url):
        link = await Link.open(nats_server.url, "closing")
        account = HeardAccount(link, BOOK, "engine", lambda *_: None)
        account.begin(0)
        await link.close()
        with pytest.raises(BusError):
            await asyncio.wait_for(account.run(), 20)


async def test_garbage_is_counted_and_said_once_for_each_kind(link: Link, client: Client) -> None:
    """A thousand unreadable events between two sound ones: both are told, and two lines are written."""
    garbage = [b"\xff garbage", event_bytes(0, side="up")] * 500
    await publish(client, [event_bytes(1), *garbage, event_bytes(2)], SUBJECT)
    async with hearing(link) as ear:
        await ear.hears([1, 2])
        assert ear.account.counters.refused_executions == 1000
        assert [fields["why"] for _, fields in ear.logged] == ["$ is no JSON", "side is none that we know: 'up'"]


async def test_a_repeat_is_told_again_with_another_place(link: Link, client: Client) -> None:
    """The stream keeps both, and whoever folds them recognises the order: nothing is dropped here."""
    await tell(client, 1, 1)
    async with hearing(link) as ear:
        await ear.hears([1, 1])
        assert [one.sequence for one in ear.taken if isinstance(one, Execution)] == [1, 2]


async def test_what_left_the_stream_is_counted(link: Link, client: Client) -> None:
    """A hole is passed over: what is there is told, what is not is counted and alarmed on."""
    await tell(client, *range(1, 8))
    await stored(link, 7)
    js = client.jetstream()
    for sequence in (2, 4, 5):
        await js.delete_msg(subjects.EXECUTIONS_STREAM, sequence)
    async with hearing(link, after=1) as ear:
        await ear.hears([3, 6, 7])
        assert ear.account.counters.missing_executions == 3
        assert [fields["count"] for _, fields in ear.logged] == [1, 2]


async def test_what_left_before_a_first_beginning_is_no_hole(link: Link, client: Client) -> None:
    """A new book on an old stream begins with the oldest execution that is kept."""
    await tell(client, 1, 2, 3)
    await stored(link, 3)
    await client.jetstream().delete_msg(subjects.EXECUTIONS_STREAM, 1)
    async with hearing(link, after=0) as ear:
        await ear.hears([2, 3])
        assert (ear.account.counters.missing_executions, ear.logged) == (0, [])


async def test_a_stream_that_was_made_anew_is_read_from_its_beginning(link: Link, client: Client) -> None:
    """Its numbers begin again below the last one known: that is alarmed on, and nothing waits for them to rise."""
    await tell(client, 1, 2)
    async with hearing(link, after=1000) as ear:
        await ear.hears([1, 2])
        assert ear.account.counters.streams_anew == 1
        assert ear.logged[0][0] == "ALARM: the stream of executions was made anew"


async def test_no_more_wait_than_may(link: Link, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends where so many wait, and goes on once they are taken: nothing is lost, in any number of rounds."""
    assert MOST_WAITING == 1000
    monkeypatch.setattr(account_facts, "MOST_WAITING", 10)
    numbers = list(range(1, 36))
    await tell(client, *numbers)
    async with hearing(link) as ear:
        most, rounds = 0, 0
        while len(order_ids(ear.taken)) < len(numbers):
            wanted = min(10, len(numbers) - len(order_ids(ear.taken)))
            before = ear.account.counters.executions
            read = len(order_ids(ear.taken)) + wanted
            await until(lambda read=read: ear.account.counters.executions >= read, f"{read} are read")
            assert ear.account.counters.executions - len(order_ids(ear.taken)) <= 10, before
            given = ear.account.due(LATE)
            most, rounds = max(most, len(given)), rounds + 1
            ear.taken += given
        assert order_ids(ear.taken) == numbers
        assert (most, rounds) == (10, 4)


async def test_a_date_of_the_stream_is_counted(link: Link, client: Client) -> None:
    """An execution whose own date is unreadable is told with that of the stream."""
    await publish(client, [event_bytes(1, timestamp="soon"), event_bytes(2)], SUBJECT)
    async with hearing(link) as ear:
        await ear.hears([1, 2])
        assert ear.account.counters.dated_by_stream == 1


async def test_of_reports_only_the_newest_counts(link: Link, client: Client) -> None:
    """Many reports before a look: one is given, once; an older one that comes late never is."""
    async with hearing(link) as ear:
        await listens(client, ear)
        ear.account.due(LATE)
        await publish(client, [encode_report(report(at, wallet=str(at))) for at in (1, 2, 3)], REPORTS)
        await until(lambda: ear.account.counters.overtaken_reports >= 2, "the first two are overtaken")
        assert reports_in(ear.take()) == [report(3, wallet="3")]
        overtaken = ear.account.counters.overtaken_reports
        await publish(client, [encode_report(report(2, wallet="2"))], REPORTS)
        await until(lambda: ear.account.counters.overtaken_reports == overtaken + 1, "the late one is heard")
        assert ear.account.due(LATE) == ()
        ear.account.begin(0)
        assert reports_in(ear.account.due(LATE)) == [report(3, wallet="3")]


async def test_a_report_of_later_than_now_waits(link: Link, client: Client) -> None:
    """It is given when its time comes, and one from the far future bars no other."""
    async with hearing(link) as ear:
        await listens(client, ear, seconds=5)
        assert ear.account.due(report(5).as_of - 1) == ()
        assert ear.account.due(report(5).as_of) == (report(5),)
        heard = ear.account.counters.reports
        await publish(client, [encode_report(report(at)) for at in (10**9, 6)], REPORTS)
        await until(lambda: ear.account.counters.reports == heard + 2, "both are heard")
        assert ear.account.due(report(6).as_of) == (report(6),)


async def test_reports_of_another_origin_never_count(link: Link, client: Client) -> None:
    """They are counted and said once; neither do those that cannot be read."""
    async with hearing(link, origin="binance") as ear:

        async def heard() -> bool:
            await publish(
                client, [encode_report(report(1)), b"{}", encode_report(report(2, origin="simulated"))], REPORTS
            )
            return ear.account.counters.foreign_reports >= 4 and ear.account.counters.refused_reports >= 2

        await eventually(heard, "foreign and unreadable reports are heard")
        assert ear.take() == []
        assert len(ear.logged) == 2
        await publish(client, [encode_report(report(1, origin="binance"))], REPORTS)
        await until(lambda: reports_in(ear.take()) == [report(1, origin="binance")], "the own one is heard")
