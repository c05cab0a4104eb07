"""The week of a report: it ends on Friday at 16:00 UTC, when the report has always been due."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import parse_instant

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import Instant

_FRIDAY = 5
_WEEK = re.compile(r"(\d{4})-W(\d{2})", re.ASCII)


def week_window(name: str) -> tuple[Instant, Instant]:
    """From when on, and until when, the week goes that an ISO week such as ``2026-W47`` names: to the Friday in it.

    :raises ValueError: there is no such week.
    """
    found = _WEEK.fullmatch(name)
    if not found:
        msg = "must be an ISO week such as 2026-W47"
        raise ValueError(msg)
    friday = datetime.fromisocalendar(int(found[1]), int(found[2]), _FRIDAY).replace(hour=16, tzinfo=UTC)
    return parse_instant((friday - timedelta(days=7)).isoformat()), parse_instant(friday.isoformat())
