"""The baseline: a bare nats-py forwarder on uvloop. It decodes nothing, judges nothing, records nothing."""

from __future__ import annotations

import asyncio
import sys

import nats
import uvloop


async def forward(url: str) -> None:
    client = await nats.connect(url)

    async def on(message: nats.aio.msg.Msg) -> None:
        await client.publish("bench.out", message.data, headers=message.headers)

    await client.subscribe("bench.in", cb=on)
    await client.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(forward(sys.argv[1]))
