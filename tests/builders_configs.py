"""Configuration versions and proposals for tests, built from as few words as a test needs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from petrosa_cio.apps.strategist.ports import Proposal, Version

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Instant

START: Instant = 1_795_512_600_000_000_000
"""2026-11-24T09:30:00Z; version ``n`` is made ``n`` seconds later."""
SECOND: int = 1_000_000_000
TRACE = (
    "Spreads on the venue have doubled since Monday and two of our last nine fills were worse than the mark by more "
    "than the tolerance, so single orders should be smaller until the book is as deep again as it was last week."
)
"""A thought trace that governance accepts."""


def revision_of(text: str) -> str:
    """64 hexadecimal digits that stand for ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_version(number: int, book: str = "main", **changes: object) -> Version:
    """Version ``number``: the global scope's `max_daily_trades` is its number."""
    values = {"max_daily_trades": number}
    version = Version(
        book=book,
        number=number,
        scope="global",
        action="update" if number > 1 else "create",
        before={"max_daily_trades": number - 1} if number > 1 else None,
        after=values,
        scopes={"global": values},
        scope_versions={"global": number},
        revision=revision_of(f"{book}/{number}"),
        author="ana",
        thought_trace=TRACE,
        reason="smaller days",
        origin="cli",
        at=START + number * SECOND,
    )
    return replace(version, **changes)  # type: ignore[arg-type]


def make_proposal(number: int, book: str = "main", **changes: object) -> Proposal:
    """A proposal that waits, made ``number`` seconds after the start."""
    proposal = Proposal(
        book=book,
        id=revision_of(f"proposal {book}/{number}")[:16],
        scope="global",
        changes={"max_daily_trades": 500},
        remove=(),
        author="ana",
        thought_trace=TRACE,
        reason="more trades",
        origin="cli",
        expected_version=0,
        loosens=("global: max_daily_trades 100 -> 500",),
        at=START + number * SECOND,
    )
    return replace(proposal, **changes)  # type: ignore[arg-type]
