"""The quarantine: raw bytes of what could not be decoded, kept before the decision that refers to them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.errors import Fenced

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.decision import Content
    from petrosa_cio.apps.nurse.models import Receipt
    from petrosa_cio.core.nats.counters import GateCounters
    from petrosa_cio.core.nats.link import Link
    from petrosa_cio.core.nats.terms import GateTerms

HEADROOM = 4096
"""Bytes of the server's message limit that are left for subject and headers."""

LARGEST_INLINE = 650_000
"""Bytes of a quarantined payload that fit a record in base64, where the quarantine does not take them."""


async def quarantine(
    link: Link,
    terms: GateTerms,
    counters: GateCounters,
    log: Callable[[str, dict[str, object]], None],
    receipt: Receipt,
    content: Content,
) -> None:
    """Keep the raw bytes of ``receipt``; a second gate finds them kept already.

    A quarantine that takes nothing must not stop the book: then ``content``, the decision's record, holds the bytes.
    """
    counters.quarantined += 1
    room = link.max_payload - HEADROOM
    headers = {
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Cio-Subject": receipt.subject.encode()[:1024].decode("utf-8", "ignore"),
    }
    if len(receipt.payload) > room:
        headers["Cio-Cut-To"] = str(room)
    subject = subjects.quarantine_subject(terms.book, receipt.sequence)
    try:
        await link.stored(subject, receipt.payload[:room], headers)
    except Fenced:
        counters.already_settled += 1
    except Interrupted as error:
        if not link.connected or terms.event_clock:
            raise
        counters.quarantine_refused += 1
        log("ALARM: the quarantine takes nothing; the ledger holds the bytes", {"why": str(error)})
        content["raw_base64"] = base64.b64encode(receipt.payload[:LARGEST_INLINE]).decode("ascii")
