"""One intent judged on its own: no bus, no ledger, an empty book."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.book import Book
from petrosa_cio.apps.nurse.decision import content_of, decide
from petrosa_cio.apps.nurse.models import SECOND
from petrosa_cio.bootstrap import policies
from petrosa_cio.core import clock
from petrosa_cio.core.nats import wire

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Json


def judge_text(payload: bytes, policy_file: Path | None) -> dict[str, Json]:
    """The record that ``payload`` would get now, arriving in an empty book, under the policy file or `up`'s default.

    Raises PolicyError for a faulty policy.
    """
    policy = policies.load(policy_file, policies.EMBEDDED)
    now = clock.now_ns()
    receipt = wire.receive(0, "stdin", payload.strip(), None, now)
    memory = Book(int(policy.longest("duplicate_window_seconds")) * SECOND)
    content = record.decode(record.encode(content_of(decide("judge", receipt, memory, policy, now))))
    for name in ("payload", "memory", "sequence", "subject", "signal_id"):
        content.pop(name, None)
    return content
