"""Tasks that live and die together, even where one swallows its cancellation."""

from __future__ import annotations

import asyncio

import pytest

from petrosa_cio.core.nats.together import end, first_failure, within


async def stubborn(swallowed: list[str]) -> None:
    """Go on after a first cancellation, as a request of the NATS client does on Python 3.11."""
    while len(swallowed) < 2:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append("cancelled")
    await asyncio.Event().wait()


async def test_a_task_that_swallows_its_cancellation_is_ended_all_the_same() -> None:
    """`end` asks again until the task has ended."""
    swallowed: list[str] = []
    task = asyncio.create_task(stubborn(swallowed))
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), 5)
    assert task.cancelled()
    assert len(swallowed) == 2


async def test_whoever_is_cancelled_while_it_ends_others_leaves_none_behind() -> None:
    """`end` goes on until its tasks have ended, and is cancelled then."""
    swallowed: list[str] = []
    task = asyncio.create_task(stubborn(swallowed))
    await asyncio.sleep(0)
    ending = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(ending, 5)
    assert task.cancelled()


async def test_the_first_failure_ends_the_others_and_is_raised_plain() -> None:
    """What one raises comes out unwrapped, and no other is left running, stubborn or not."""
    swallowed: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        msg = "this one"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="this one"):
        await asyncio.wait_for(first_failure(stubborn(swallowed), fail()), 5)
    assert len(swallowed) == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_swallows_its_cancellation_takes_no_longer_than_it_may() -> None:
    """`within` ends what goes on after a first cancellation, and says that the time is over."""
    swallowed: list[str] = []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(within(0.01, stubborn(swallowed)), 5)
    assert len(swallowed) == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_is_done_in_time_is_given_or_raised() -> None:
    """`within` gives what its coroutine gives, and raises what it raises."""

    async def found() -> int:
        return 7

    async def fail() -> int:
        msg = "this one"
        raise LookupError(msg)

    assert await within(5, found()) == 7
    with pytest.raises(LookupError, match="this one"):
        await within(5, fail())
