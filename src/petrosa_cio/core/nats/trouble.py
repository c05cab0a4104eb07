"""What can go wrong with NATS, in our words: the client's exceptions stop here, their cause kept."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors

from petrosa_cio.errors import BusError, Fenced

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

NO_SUCH_STREAM = 10059
WRONG_LAST_ID = 10070
WRONG_LAST_SEQUENCE = 10071
WRONG_LAST_SEQUENCE_IN_FLIGHT = 10164


class Interrupted(BusError):
    """The connection or a reader broke off. Nothing is known of what was in flight: recover from the ledger."""


class Refused(Interrupted):
    """A stream would not store a message (no room, no leader): the connection stands, the record does not."""


class NoSuchStream(Refused):
    """There is no stream of that name. That is not the same as one that holds nothing."""


class Contended(Refused):
    """A replicated stream has another message for the same subject under way, whose fate is open: ask again."""


@contextlib.contextmanager
def mapped() -> Iterator[None]:
    """Map the client's exceptions to ours; the cause is kept."""
    try:
        yield
    except nats.js.errors.APIError as error:
        raise refusal(error.err_code, error.description or repr(error)) from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        msg = f"NATS: {error!r}"
        raise Interrupted(msg) from error


def refusal(code: int | None, description: str) -> BusError:
    """What an answer with this error code means."""
    if code in (WRONG_LAST_ID, WRONG_LAST_SEQUENCE):
        return Fenced(description)
    if code == WRONG_LAST_SEQUENCE_IN_FLIGHT:
        return Contended(f"JetStream: {description}")
    if code == NO_SUCH_STREAM:
        return NoSuchStream(f"JetStream: {description}")
    return Refused(f"JetStream: {description}")


def give_up(future: asyncio.Future[int]) -> None:
    """Let go of an acknowledgement: whatever it brought, or will bring, is nobody's business any more."""
    if not future.cancel() and not future.cancelled():
        future.exception()
