"""Ordered reading of a stream: nothing skipped, nothing twice, or an exception."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, NamedTuple, Self

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from petrosa_cio.core.nats.trouble import Interrupted, mapped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext

HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 3.0
"""A reader that hears neither message nor heartbeat this long is taken for cut off and made anew."""
_STATUS_HEADER = "Status"
_CONTROL = "100"


class Delivered(NamedTuple):
    """One message of a stream, as stored."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    data: bytes
    stored_at: int


class Reader:
    """Ordered reading: an ephemeral consumer whose every gap, silence or loss raises Interrupted.

    Use as an async context manager; `batches` yields what has arrived, at least one message at a time. Flow control is
    answered only when the messages before it have been taken, so what is buffered here stays bounded.
    """

    def __init__(self, client: Client, js: JetStreamContext, stream: str, start: int) -> None:
        self._client = client
        self._js = js
        self._stream = stream
        self._start = max(start, 1)
        self._buffer: list[Msg] = []
        self._arrived = asyncio.Event()
        self._heard = 0.0
        self.stood = 0
        """How many messages the stream held, from the start on, when reading began."""
        self._next_delivery = 1

    async def __aenter__(self) -> Self:
        inbox = self._client.new_inbox()
        with mapped():
            self._subscription = await self._client.subscribe(inbox, cb=self._take)
            made = await self._js.add_consumer(
                self._stream,
                ConsumerConfig(
                    deliver_subject=inbox,
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._start,
                    ack_policy=AckPolicy.NONE,
                    max_deliver=1,
                    flow_control=True,
                    idle_heartbeat=HEARTBEAT_SECONDS,
                    inactive_threshold=30,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
        self.stood = (made.num_pending or 0) + (made.delivered.consumer_seq if made.delivered else 0)
        self._heard = asyncio.get_running_loop().time()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._subscription.unsubscribe()

    async def _take(self, message: Msg) -> None:
        self._buffer.append(message)
        self._arrived.set()

    async def batches(self) -> AsyncIterator[list[Delivered]]:
        """Yield what has arrived, in stream order. Endless; raises Interrupted on a gap, silence or loss."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._buffer:
                await self._wait(loop)
                continue
            self._heard = loop.time()
            taken, self._buffer = self._buffer, []
            self._arrived.clear()
            batch = [delivered for message in taken if (delivered := await self._accept(message)) is not None]
            if batch:
                yield batch

    async def standing(self) -> AsyncIterator[list[Delivered]]:
        """Yield, in order, what the stream held when reading began, and end.

        By its count and not by the stream's last sequence, which may be that of a message that is gone. Raises
        Interrupted as `batches` does, and where what was there does not come: it left the stream meanwhile.
        """
        left, batches = self.stood, self.batches()
        while left > 0:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    batch = await anext(batches)
            except TimeoutError as error:
                msg = f"reader of {self._stream}: {left} messages that were there do not come"
                raise Interrupted(msg) from error
            left -= len(batch)
            yield batch

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            async with asyncio.timeout_at(self._heard + SILENCE_SECONDS):
                await self._arrived.wait()
        except TimeoutError as error:
            if not self._buffer:
                msg = f"reader of {self._stream}: silent for {loop.time() - self._heard:.1f} s"
                raise Interrupted(msg) from error

    async def _accept(self, message: Msg) -> Delivered | None:
        headers = message.headers or {}
        # A stored message has an acknowledgement subject; a producer's own Status header makes it no control message.
        if headers.get(_STATUS_HEADER) == _CONTROL and not message.reply.startswith("$JS.ACK."):
            stalled = message.reply or headers.get("Nats-Consumer-Stalled")
            if stalled:
                with mapped():
                    await self._client.publish(stalled)
            return None
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or with domain and
        # account before the stream: counted from the end of the fixed part.
        parts = message.reply.split(".")
        base = 5 if len(parts) == 9 else 7
        sequence, delivery, stored_at = int(parts[base]), int(parts[base + 1]), int(parts[base + 2])
        if delivery != self._next_delivery:
            msg = f"reader of {self._stream}: delivery {delivery} came where {self._next_delivery} was due"
            raise Interrupted(msg)
        self._next_delivery += 1
        return Delivered(sequence, message.subject, headers, message.data, stored_at)
