"""Tasks that live and die together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import TypeVar

    Found = TypeVar("Found")

ASK_AGAIN_SECONDS = 0.1


async def end(*tasks: asyncio.Task[object]) -> None:
    """Cancel tasks until they have ended, whatever they raise.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, which every request of the NATS client goes through, swallows
    a cancellation that arrives together with the answer. Whoever is cancelled while it waits here is so once the tasks
    have ended: none is left behind.
    """
    pending: set[asyncio.Task[object]] = {task for task in tasks if not task.done()}
    interrupted: asyncio.CancelledError | None = None
    while pending:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=ASK_AGAIN_SECONDS)
        except asyncio.CancelledError as error:
            interrupted = error
        pending = {task for task in pending if not task.done()}
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen; whoever cares has asked before
    if interrupted is not None:
        raise interrupted


async def within(seconds: float, coroutine: Coroutine[None, None, Found]) -> Found:
    """What ``coroutine`` gives within ``seconds``. Raises TimeoutError, and leaves nothing running.

    `asyncio.timeout` cancels once; what swallows that (see `end`) would go on for ever.
    """
    task = asyncio.create_task(coroutine)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        await end(task)
    if task.cancelled():
        raise TimeoutError
    return task.result()


async def first_failure(*coroutines: Coroutine[None, None, None]) -> None:
    """Run all until one ends; then end the others, and raise what that one raised, unwrapped.

    Unlike a task group it raises the plain exception, which is what the caller dispatches on.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
    for task in tasks:
        if task in done:
            task.result()
