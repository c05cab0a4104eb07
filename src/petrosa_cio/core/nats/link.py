"""The link to NATS: one connection, its streams, ordered reading and pipelined, fenced publishing.

``client``, ``link``, ``reader``, ``acks`` and ``trouble`` alone import ``nats``; its exceptions stop here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import nats.errors
import nats.js.errors
from nats.js.api import (
    DiscardPolicy,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.acks import AckPipe
from petrosa_cio.core.nats.client import SturdyClient, is_refusal
from petrosa_cio.core.nats.reader import Delivered, Reader
from petrosa_cio.core.nats.together import within
from petrosa_cio.core.nats.trouble import NO_SUCH_STREAM, Interrupted, NoSuchStream, mapped
from petrosa_cio.errors import BusError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.api import StreamInfo
    from nats.js.client import JetStreamContext


DAY_SECONDS = 86_400.0
ANSWER_SECONDS = 2.0
"""JetStream answers within milliseconds; one that has not answered this long is taken for unavailable."""

_PRIVATE = re.compile(r"(?<=://).*@|^[^/]*@")


@dataclass(frozen=True, slots=True)
class StreamState:
    """First and last sequence of a stream and how many messages it holds."""

    first: int
    last: int
    messages: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the streams keep messages, in days. The ledger keeps all; executions are kept as long as intents."""

    intents_days: float = 7.0
    outbox_days: float = 30.0
    quarantine_days: float = 90.0
    replicas: int = 1


@dataclass(slots=True)
class _Events:
    """What the client tells of its connection; reported while it is ``open``: before, each failure is an attempt."""

    report: Callable[[str], None]
    client: SturdyClient = field(default_factory=SturdyClient)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    open: bool = False
    last_error: str = ""
    refused: bool = False

    async def disconnected(self) -> None:
        self.lost.set()
        self.client.forget_unsent()
        if self.open:
            self.report("disconnected")

    async def reconnected(self) -> None:
        self.refused = False
        if self.open:
            self.report("reconnected")

    async def errored(self, error: Exception) -> None:
        # A server that refuses us closes the connection as well, and either may be seen first: the refusal is the news.
        if is_refusal(error) or not self.refused:
            self.last_error = str(error) or type(error).__name__
        self.refused = self.refused or is_refusal(error)
        if self.open:
            self.report(f"error: {self.last_error}")


class Link:
    """A connection that heals itself. ``lost`` is set whenever it breaks; `restored` waits until it is back."""

    def __init__(self, client: Client, events: _Events) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=ANSWER_SECONDS)
        self._acks: AckPipe | None = None
        self._events = events
        self.lost = events.lost

    @classmethod
    async def open(
        cls,
        url: str,
        name: str,
        *,
        credentials: str | None = None,
        on_event: Callable[[str], None] | None = None,
        patience: float = 10.0,
    ) -> Self:
        """Connect to ``url``. Raises BusError after ``patience`` seconds without an answer."""
        servers = [server.strip() for server in url.split(",") if server.strip()]
        events = _Events(on_event or (lambda _: None))
        try:
            client = await within(patience, _connected(servers, name, credentials, events))
        except ValueError as error:
            msg = f"{_public(url)} is no NATS address; write nats://host:port"
            raise BusError(msg) from error
        except TimeoutError as error:
            why = f" ({events.last_error})" if events.last_error else ""
            what = "refused by" if events.refused else "cannot reach"
            msg = f"{what} NATS at {_public(url)} within {patience:g} s{why}"
            raise BusError(msg) from error
        events.open, events.refused = True, False
        return cls(client, events)

    @property
    def connected(self) -> bool:
        """Whether the connection stands now."""
        return self._client.is_connected

    @property
    def max_payload(self) -> int:
        """Largest message the server takes, in bytes."""
        return self._client.max_payload

    async def restored(self) -> None:
        """Wait until the connection stands again, and clear ``lost``."""
        while not self._client.is_connected:
            if self._client.is_closed:
                msg = "the connection to NATS was closed"
                raise BusError(msg)
            await asyncio.sleep(0.02)
        self.lost.clear()

    async def close(self) -> None:
        """Flush what is buffered and close."""
        self._events.open = False
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            if self._client.is_connected:
                await self._client.flush(timeout=2)
        with contextlib.suppress(nats.errors.Error, OSError, RuntimeError):  # uvloop: the transport is gone already
            await self._client.close()

    async def require_jetstream(self) -> None:
        """Raise BusError, saying how to enable it, where the server has no JetStream."""
        try:
            await self._js.account_info()
        except (
            nats.errors.NoRespondersError,
            nats.js.errors.ServiceUnavailableError,
            nats.js.errors.APIError,
        ) as error:
            msg = (
                "this nats-server has no JetStream, without which nothing can be recorded. Start it with "
                "`nats-server -js -sd DIR`, or put `jetstream { store_dir: DIR }` into its configuration"
            )
            raise BusError(msg) from error
        except (nats.errors.Error, TimeoutError) as error:
            msg = f"JetStream did not answer: {error!r}"
            raise Interrupted(msg) from error

    async def ensure_streams(
        self, book: str, signal_subject: str, retention: Retention, *, accounted_for: int = 0
    ) -> None:
        """Create or update the streams of ``book``. ``signal_subject`` may hold ``{strategy_id}`` as its last token.

        An intent stream that has to be made begins after ``accounted_for``, the last intent that a ledger knows.
        """
        source = f"cio.outbox.{book}.*.signal.*"
        destination = signal_subject.replace("{strategy_id}", "{{wildcard(2)}}")
        days, copies = DAY_SECONDS, retention.replicas
        await self._ensure(
            StreamConfig(
                name=subjects.INTENTS_STREAM,
                description="Every intent as it arrived",
                subjects=list(subjects.INTENT_SUBJECTS),
                max_age=retention.intents_days * days,
                duplicate_window=0.1,
                num_replicas=copies,
                first_seq=accounted_for + 1 if accounted_for else None,
            )
        )
        await self._ensure(
            StreamConfig(
                name=subjects.ledger_stream(book),
                description="One record per decision, hash-chained: the truth",
                subjects=[subjects.ledger_subject(book)],
                deny_delete=True,
                deny_purge=True,
                duplicate_window=10,
                num_replicas=copies,
            )
        )
        await self._ensure(
            StreamConfig(
                name=subjects.outbox_stream(book),
                description="Signals of promoted decisions; the server republishes each once",
                subjects=[f"cio.outbox.{book}.*.signal.*", f"cio.outbox.{book}.*.expired"],
                max_age=retention.outbox_days * days,
                duplicate_window=0.1,
                republish=RePublish(src=source, dest=destination),
                num_replicas=copies,
            )
        )
        await self._ensure(
            StreamConfig(
                name=subjects.QUARANTINE_STREAM,
                description="Raw bytes of what could not be decoded",
                subjects=list(subjects.QUARANTINE_SUBJECTS),
                max_age=retention.quarantine_days * days,
                duplicate_window=0.1,
                num_replicas=copies,
            )
        )
        await self.ensure_executions(retention)

    async def ensure_executions(self, retention: Retention, *, read_to: int = 0) -> None:
        """Create or update the stream of executions; one that has to be made begins after ``read_to``."""
        await self._ensure(
            StreamConfig(
                name=subjects.EXECUTIONS_STREAM,
                description="What the engine tells of its orders",
                subjects=list(subjects.EXECUTION_SUBJECTS),
                max_age=retention.intents_days * DAY_SECONDS,
                duplicate_window=0.1,
                num_replicas=retention.replicas,
                first_seq=read_to + 1 if read_to else None,
            )
        )

    async def _ensure(self, config: StreamConfig) -> None:
        config.retention, config.storage, config.allow_direct = RetentionPolicy.LIMITS, StorageType.FILE, True
        try:
            with contextlib.suppress(nats.js.errors.NotFoundError):
                info = await self._js.stream_info(config.name or "")
                if not _same(info, config):
                    await self._js.update_stream(config)
                return
            await self._js.add_stream(config)
        except nats.js.errors.APIError as error:
            msg = f"stream {config.name}: {error.description} (subjects {', '.join(config.subjects or [])})"
            raise BusError(msg) from error
        except (nats.errors.Error, TimeoutError) as error:
            msg = f"stream {config.name}: {error!r}"
            raise Interrupted(msg) from error

    async def state(self, stream: str) -> StreamState:
        """First, last and count of ``stream``."""
        with mapped():
            info = await self._js.stream_info(stream)
        return StreamState(info.state.first_seq, info.state.last_seq, info.state.messages)

    async def last(self, stream: str, subject: str) -> Delivered | None:
        """The last message on ``subject``, asked of the stream's leader; None where there is none.

        Raises NoSuchStream where there is none: that is not an empty one.
        """
        with mapped():
            try:
                found = await self._js.get_last_msg(stream, subject)
            except nats.js.errors.NotFoundError as error:
                if error.err_code == NO_SUCH_STREAM:
                    msg = f"there is no stream {stream}"
                    raise NoSuchStream(msg) from error
                return None
        return Delivered(found.seq or 0, found.subject or subject, found.headers or {}, found.data or b"", 0)

    async def at(self, stream: str, sequence: int) -> Delivered:
        """The message with ``sequence``. Raises Interrupted where it cannot be read."""
        with mapped():
            try:
                found = await self._js.get_msg(stream, sequence)
            except nats.js.errors.NotFoundError as error:
                msg = f"{stream} has no message {sequence}"
                raise Interrupted(msg) from error
        stored_at = int(found.time.timestamp() * 1_000_000) * 1000 if found.time else 0
        return Delivered(sequence, found.subject or "", found.headers or {}, found.data or b"", stored_at)

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish outside JetStream: at most once, to whoever listens."""
        with mapped():
            await self._client.publish(subject, data, headers=headers)

    async def flush(self) -> None:
        """Wait until the server has taken what was published."""
        with mapped():
            await self._client.flush(timeout=5)

    async def append(self, subject: str, data: bytes, headers: dict[str, str]) -> asyncio.Future[int]:
        """Publish to a stream without waiting; the future brings the sequence, or raises Fenced or Refused."""
        with mapped():
            if self._acks is None:
                self._acks = await AckPipe.open(self._client)
            reply, future = self._acks.expect()
            await self._client.publish(subject, data, reply, headers)
        return future

    async def stored(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        """Publish to a stream and return the sequence. Raises Fenced where the expectation in ``headers`` fails."""
        with mapped():
            ack = await self._js.publish(subject, data, headers=headers, timeout=ANSWER_SECONDS)
        return ack.seq

    async def answer(self, subject: str, reply: Callable[[], Awaitable[bytes | None]]) -> None:
        """Answer requests on ``subject``, but for None; messages without a reply subject are ignored."""

        async def respond(message: Msg) -> None:
            if message.reply and (answer := await reply()) is not None:
                await message.respond(answer)

        with mapped():
            await self._client.subscribe(subject, cb=respond)

    async def heed(self, subject: str, reply: Callable[[bytes], Awaitable[bytes | None]]) -> None:
        """Hand every request on ``subject`` to ``reply``, one after another; what gives None is not answered."""

        async def respond(message: Msg) -> None:
            answer = await reply(message.data) if message.reply else None
            if answer is not None:
                with contextlib.suppress(nats.errors.Error, OSError):  # whoever asked learns that nobody answered
                    await message.respond(answer)

        with mapped():
            await self._client.subscribe(subject, cb=respond)

    async def request(self, subject: str, timeout: float, data: bytes = b"") -> bytes | None:  # noqa: ASYNC109  the protocol's own term
        """The first answer to a request; None where nobody answers in ``timeout`` seconds."""
        try:
            return (await self._client.request(subject, data, timeout=timeout)).data
        except (nats.errors.Error, OSError, TimeoutError):  # nobody there, or no connection to ask on
            return None

    async def listen(self, subject: str, heard: Callable[[str, Mapping[str, str], bytes], None]) -> None:
        """Hand every core message on ``subject`` to ``heard``, in order; the subscription survives reconnection."""

        async def hear(message: Msg) -> None:
            heard(message.subject, message.headers or {}, message.data)

        with mapped():
            await self._client.subscribe(subject, cb=hear)

    @contextlib.asynccontextmanager
    async def listening(
        self, to: Sequence[str], heard: Callable[[str, Mapping[str, str], bytes], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Hand every core message on the subjects ``to`` to ``heard`` while the context lasts."""

        async def hear(message: Msg) -> None:
            await heard(message.subject, message.headers or {}, message.data)

        with mapped():
            subscriptions = [await self._client.subscribe(subject, cb=hear) for subject in to]
        try:
            yield
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                for subscription in subscriptions:
                    await subscription.unsubscribe()

    async def anchor(self, key: str, value: bytes) -> None:
        """Keep ``value`` under ``key`` in the bucket of anchored chain heads, with history."""
        with mapped():
            try:
                bucket = await self._js.key_value(subjects.HEADS_BUCKET)
            except nats.js.errors.NotFoundError:
                bucket = await self._js.create_key_value(bucket=subjects.HEADS_BUCKET, history=64)
            await bucket.put(key, value)

    async def anchored(self, key: str) -> list[bytes]:
        """Every value still kept under ``key``, oldest first; empty where nothing was anchored.

        By our own reader: the client's key-value history says now and then that there is nothing.
        """
        stream, subject = f"KV_{subjects.HEADS_BUCKET}", f"$KV.{subjects.HEADS_BUCKET}.{key}"
        try:
            await self.last(stream, subject)
        except NoSuchStream:
            return []
        found: list[bytes] = []
        async with self.read(stream, 1) as reader:
            async for batch in reader.standing():
                found += [message.data for message in batch if message.subject == subject]
        return found

    @property
    def restorations(self) -> int:
        """How often the connection was restored: what was opened under another count has been cut off since."""
        return int(self._client.stats["reconnects"])

    async def stands(self) -> int:
        """Wait until the connection stands, and return `restorations`; `lost` is left to whoever else looks at it.

        Raises BusError once the link was closed.
        """
        while not self._client.is_connected:
            if self._client.is_closed:
                msg = "the connection to NATS was closed"
                raise BusError(msg)
            await asyncio.sleep(0.02)
        return self.restorations

    async def ensure_bucket(self, bucket: str, description: str, history: int, replicas: int) -> None:
        """Create a key-value bucket that keeps ``history`` values of each key, or have its copies as wanted."""
        await self._ensure(
            StreamConfig(
                name=f"KV_{bucket}",
                description=description,
                subjects=[f"$KV.{bucket}.>"],
                max_age=0,
                max_msgs_per_subject=history,
                duplicate_window=120,
                discard=DiscardPolicy.NEW,
                allow_rollup_hdrs=True,
                deny_delete=True,
                num_replicas=replicas,
            )
        )

    def read(self, stream: str, start: int) -> Reader:
        """A reader of ``stream`` from sequence ``start`` on, in order, without acknowledgement."""
        return Reader(self._client, self._js, stream, start)


async def _connected(servers: list[str], name: str, credentials: str | None, events: _Events) -> SturdyClient:
    """A client that is connected, however often it must be tried."""
    while True:
        try:
            client = events.client = SturdyClient()
            await client.connect(
                servers,
                name=name,
                user_credentials=credentials,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.05,  # type: ignore[arg-type]  # it sleeps for fractions as well
                connect_timeout=2,
                ping_interval=5,
                max_outstanding_pings=2,
                allow_reconnect=True,
                # Nothing is buffered while the connection is broken: a signal that is sent by the buffer after a
                # reconnection would leave after its time.
                pending_size=0,
                disconnected_cb=events.disconnected,
                reconnected_cb=events.reconnected,
                error_cb=events.errored,
            )
        except (OSError, nats.errors.Error) as error:
            await events.errored(error)
            await asyncio.sleep(0.05)
        else:
            return client


def _same(info: StreamInfo, wanted: StreamConfig) -> bool:
    have = info.config
    return (
        have.subjects == wanted.subjects
        and have.max_age == wanted.max_age
        and have.duplicate_window == wanted.duplicate_window
        and (have.republish.dest if have.republish else None) == (wanted.republish.dest if wanted.republish else None)
        and have.num_replicas == wanted.num_replicas
    )


def _public(url: str) -> str:
    """``url`` without users, passwords and tokens."""
    return ", ".join(_PRIVATE.sub("", server.strip()) for server in url.split(","))
