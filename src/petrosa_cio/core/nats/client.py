"""The NATS client, made fit for what any producer may publish.

nats-py decodes subjects and status lines strictly, inside the loop that reads the connection: one message whose subject
is no UTF-8 would end that loop, and again after every reconnection, since the stream delivers it anew. A server in its
default configuration accepts such subjects. Here what is no text is made readable before the client sees it.
"""

from __future__ import annotations

from nats.aio.client import Client
from nats.errors import AuthorizationError

_HEADER_LINE = b"NATS/1.0"


class SturdyClient(Client):
    """nats-py's client; no published message breaks its connection, and nothing is sent after a reconnection."""

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if not subject.isascii():
            subject = _readable(subject)
        await super()._process_msg(sid, subject, reply, data, _sound(headers) or b"")

    def forget_unsent(self) -> None:
        """Drop what was published and not yet written to the socket: it must not leave late, after a reconnection."""
        self._pending = []
        self._pending_data_size = 0


def is_refusal(error: Exception) -> bool:
    """Whether a connection failed because the server refused our credentials."""
    return isinstance(error, AuthorizationError) or "authorization" in str(error).lower()


def _readable(text: bytes) -> bytes:
    """``text`` with every byte that is no UTF-8 written as an escape."""
    return text.decode("utf-8", "backslashreplace").encode()


def _sound(headers: bytes | None) -> bytes | None:
    """``headers`` where nats-py can read them; without a status line that it cannot, or None where nothing is left."""
    if not headers or len(headers) <= len(_HEADER_LINE):
        return None
    line, end, rest = headers.partition(b"\r\n")
    return headers if line.isascii() else _HEADER_LINE + end + rest
