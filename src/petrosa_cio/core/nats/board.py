"""The board on JetStream key-value: bucket ``cio-policy``, one key a book, the value a policy whole.

The watch is our own ordered reader of the bucket's stream and not the client's key-value watcher: that one notices only
after two missed heartbeats, ten seconds, that a restarted server has forgotten it, and if it cannot be made anew just
then, it waits as long again.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import publication
from petrosa_cio.apps.nurse.publication import Rising
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.together import first_failure
from petrosa_cio.core.nats.trouble import Contended, Interrupted, NoSuchStream
from petrosa_cio.errors import BusError, Fenced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from petrosa_cio.apps.nurse.ports import PublishedPolicy
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.reader import Delivered

HISTORY = 64
"""Versions that the bucket keeps of each book, for whoever looks with `nats kv history`; the most that it can."""
LOOK_SECONDS = 0.05
"""How often a watch looks whether its connection stands."""
ANSWER_SECONDS = 2.0
"""A question to the server takes no longer; `publish` asks two or three, and again for each writer that was first."""
PAUSE_SECONDS = 0.25
"""Between two attempts of a watch, so that a server that refuses is not asked without pause."""

_LAST_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"


class NatsBoard:
    """`PolicyBoard` on a link that it shares. ``unreadable`` counts what was found in the bucket and was no policy."""

    def __init__(
        self, link: Link, *, replicas: int = 1, log: Callable[[str, dict[str, object]], None] = lambda *_: None
    ) -> None:
        self._link = link
        self._replicas = replicas
        self._log = log
        self.unreadable = 0

    async def publish(self, policy: PublishedPolicy) -> bool:
        """Put up ``policy``; False where that version or a newer one stands already.

        After a BusError it may stand or not: putting it up again settles it. Raises BusError also for a policy that
        cannot be written down. What stands and is no policy is replaced.
        """
        subject = subjects.policy_subject(policy.book)
        try:
            body = publication.encode(policy)
        except ValueError as error:
            msg = f"policy version {policy.version} of book {policy.book} cannot be put up: {error}"
            raise BusError(msg) from error
        async with _bounded():
            await self._prepare()
        while True:
            async with _bounded():
                standing = await self._standing(subject)
            if standing is not None and publication.version_of(standing.data) >= policy.version:
                return False
            expected = 0 if standing is None else standing.sequence
            try:
                async with _bounded():
                    await self._link.stored(subject, body, {_LAST_SEQUENCE: str(expected)})
            except (Fenced, Contended):
                continue  # another writer was first: look again at what stands; each round one of them is done
            return True

    async def current(self, book: str) -> PublishedPolicy | None:
        """What stands now. Raises BusError also where that is no policy."""
        async with _bounded():
            standing = await self._standing(subjects.policy_subject(book))
        try:
            return self._policy(book, standing)
        except ValueError as error:
            msg = f"bucket {subjects.POLICY_BUCKET}, key {book}: no policy: {error}"
            raise BusError(msg) from error

    async def watch(self, book: str, changed: Callable[[PublishedPolicy], None]) -> None:
        """Tell ``changed`` of what stands and of every change, until cancelled.

        What is no policy is counted and logged, and told to nobody. Raises BusError once the link was closed.
        """
        rising = Rising(changed)
        told = ""
        while True:
            connection = await self._link.stands()
            try:
                await first_failure(self._follow(book, rising), self._cut_off(connection))
            except BusError as trouble:
                if str(trouble) != told:
                    told = str(trouble)
                    self._log("policy watch interrupted", {"book": book, "why": told})
            await asyncio.sleep(PAUSE_SECONDS)

    async def _prepare(self) -> None:
        await self._link.ensure_bucket(
            subjects.POLICY_BUCKET, "The policy in force of each book", HISTORY, self._replicas
        )

    async def _follow(self, book: str, rising: Rising) -> None:
        await self._prepare()
        subject = subjects.policy_subject(book)
        standing = await self._standing(subject)
        self._tell(book, standing, rising)
        start = 1 if standing is None else standing.sequence + 1
        async with self._link.read(subjects.POLICY_STREAM, start) as reader:
            async for batch in reader.batches():
                for message in batch:
                    if message.subject == subject:
                        self._tell(book, message, rising)

    async def _standing(self, subject: str) -> Delivered | None:
        try:
            return await self._link.last(subjects.POLICY_STREAM, subject)
        except NoSuchStream:  # nothing was ever put up
            return None

    async def _cut_off(self, connection: int) -> None:
        """Raise Interrupted when the connection that was the ``connection``-th is gone, whether or not it is back."""
        while self._link.connected and self._link.restorations == connection:  # noqa: ASYNC110  no event is ours alone
            await asyncio.sleep(LOOK_SECONDS)
        msg = "connection lost"
        raise Interrupted(msg)

    def _tell(self, book: str, message: Delivered | None, rising: Rising) -> None:
        try:
            policy = self._policy(book, message)
        except ValueError as error:
            self._log("policy unreadable", {"book": book, "why": str(error)})
            return
        rising.tell(policy)

    def _policy(self, book: str, message: Delivered | None) -> PublishedPolicy | None:
        """The policy in ``message``; None where there is no message, or it marks that the key was deleted."""
        if message is None or _OPERATION in message.headers:
            return None
        try:
            return publication.decode(book, message.data)
        except ValueError:
            self.unreadable += 1
            raise


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        msg = f"NATS: no answer within {ANSWER_SECONDS:g} s"
        raise Interrupted(msg) from error
