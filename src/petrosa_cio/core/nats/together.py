"""Tasks that live and die together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def first_failure(*coroutines: Coroutine[None, None, None]) -> None:
    """Run all until one ends; then end the others, and raise what that one raised, unwrapped.

    Unlike a task group it raises the plain exception, which is what the caller dispatches on.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()
