"""What runs beside others in a process begins again when it breaks off, and is heard of."""

from __future__ import annotations

import asyncio

from petrosa_cio.bootstrap.gate import kept_up
from petrosa_cio.core.nats.together import end


async def test_what_breaks_off_is_alarmed_on_and_begun_again() -> None:
    """Work that fails twice is begun three times, and each failure is told with its cause."""
    told: list[tuple[str, dict[str, object]]] = []
    begun = 0
    third = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            msg = f"failure {begun}"
            raise ValueError(msg)
        third.set()
        await asyncio.Future()

    task = asyncio.create_task(kept_up("accounts", work, lambda event, facts: told.append((event, facts)), pause=0))
    async with asyncio.timeout(10):
        await third.wait()
    await end(task)
    assert begun == 3
    assert [facts["part"] for _, facts in told] == ["accounts", "accounts"]
    assert [str(facts["error"]) for _, facts in told] == ["ValueError('failure 1')", "ValueError('failure 2')"]
    assert {event for event, _ in told} == {"ALARM: a part of this process broke off; it begins again"}
