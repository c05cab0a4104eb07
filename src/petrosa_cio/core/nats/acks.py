"""Acknowledgements of pipelined publications."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import msgspec

from petrosa_cio.core.nats.trouble import Refused, refusal

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

MOST_WAITING = 10_000
"""Acknowledgements waited for before those that were given up are swept out."""


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    """A stream's answer to a publication."""

    seq: int = 0
    error: _Error | None = None


_ACK = msgspec.json.Decoder(_Ack)


class AckPipe:
    """Acknowledgements of pipelined publications: one inbox, one future each, resolved in any order.

    The client's own pipeline does the same at several times the cost an intent, in ids, locks and JSON.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._waiting: dict[str, asyncio.Future[int]] = {}

    @classmethod
    async def open(cls, client: Client) -> Self:
        """A pipe on an inbox of its own; the subscription survives reconnection."""
        prefix = client.new_inbox()
        pipe = cls(prefix)
        await client.subscribe(f"{prefix}.*", cb=pipe._resolve)
        return pipe

    def expect(self) -> tuple[str, asyncio.Future[int]]:
        """A reply subject for the next publication and the future of its acknowledgement."""
        self._count += 1
        reply = f"{self._prefix}.{self._count}"
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = future
        if len(self._waiting) > MOST_WAITING:
            self._waiting = {key: kept for key, kept in self._waiting.items() if not kept.done()}
        return reply, future

    async def _resolve(self, message: Msg) -> None:
        future = self._waiting.pop(message.subject, None)
        if future is None or future.done():  # given up for lost meanwhile
            return
        if not message.data:  # "no responders": no stream takes this subject
            future.set_exception(Refused("JetStream: no stream answers"))
            return
        ack = _ACK.decode(message.data)
        if ack.error is None:
            future.set_result(ack.seq)
        else:
            future.set_exception(refusal(ack.error.err_code, ack.error.description))
