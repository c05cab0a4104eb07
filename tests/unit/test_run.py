"""How the command line runs a coroutine."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from petrosa_cio.cli.options import run


def test_ctrl_c_ends_what_swallows_a_first_cancellation() -> None:
    """SIGINT ends a command whose request swallows the cancellation, as NATS requests can on Python 3.11."""
    swallowed: list[str] = []

    async def stubborn() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while len(swallowed) < 2:
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 10)
            except asyncio.CancelledError:
                swallowed.append("cancelled")
        await asyncio.wait_for(asyncio.Event().wait(), 10)

    with pytest.raises(KeyboardInterrupt):
        run(stubborn())
    assert len(swallowed) == 2


def test_what_a_command_raises_comes_out_plain() -> None:
    """An error of the coroutine is raised as it is."""

    async def fails() -> None:
        msg = "this one"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="this one"):
        run(fails())
