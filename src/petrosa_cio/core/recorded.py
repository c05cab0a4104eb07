"""Recorded intents: JSON lines (gzip where the name ends in .gz), each with what was put on the bus, and when.

A line is ``{"subject", "payload", ...}``: ``payload`` is the exact text that was published. Its time is the first of
``published_ms``, ``event_ms``, and for a strategy on bars ``bar_open_ms``: then it is the payload's own timestamp where
that lies within the bar after the one it judged, else the close of that bar.
"""

from __future__ import annotations

import gzip
import heapq
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import parse_instant
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Instant, Json

MILLISECOND = 1_000_000
MINUTE_MS = 60_000
LATEST_MS = 4_102_444_800_000
"""2100-01-01: a later time is a slip of units."""

_SUBJECT = re.compile(r"(?:cio\.)?intent(?:\.[^\s.*>]+)+\Z")
_HEADER = re.compile(r"[!-9;-~]+\Z")
_TIMEFRAMES_MS = {
    "tick": MINUTE_MS,
    **{f"{count}m": count * MINUTE_MS for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": count * 60 * MINUTE_MS for count in (1, 2, 4, 6, 8, 12)},
    "1d": 1440 * MINUTE_MS,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded publication. ``at`` is when; ``headers`` are those it was published with."""

    at: Instant
    subject: str
    payload: bytes
    headers: dict[str, str]


def read_intents(path: Path, interval_ms: Callable[[str], int | None]) -> list[Recorded]:
    """Read one recording. ``interval_ms`` tells the bar length of a symbol where it is known.

    Raises RecordingError naming file and line of the first line that is no recorded publication.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    found: list[Recorded] = []
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    found.append(_recorded(f"{path.name}:{number}", line, interval_ms))
    except (OSError, UnicodeDecodeError, EOFError) as error:
        msg = f"{path.name}: cannot be read: {error}"
        raise RecordingError(msg) from error
    return found


def merged(recordings: Sequence[Sequence[Recorded]]) -> list[Recorded]:
    """All recordings as one, in order of time; equal times keep the order of the files and of their lines."""
    ordered = [sorted(recording, key=lambda item: item.at) for recording in recordings]
    return list(heapq.merge(*ordered, key=lambda item: item.at))


def _recorded(where: str, line: str, interval_ms: Callable[[str], int | None]) -> Recorded:
    try:
        row: Json = json.loads(line)
    except ValueError as error:
        msg = f"{where}: is not JSON: {error}"
        raise RecordingError(msg) from error
    if not isinstance(row, dict):
        msg = f"{where}: must be an object"
        raise RecordingError(msg)
    subject, payload, headers = row.get("subject"), row.get("payload"), row.get("headers", {})
    if not isinstance(subject, str) or not _SUBJECT.match(subject):
        msg = f"{where}: subject must be one that can be published under intent. or cio.intent., got {subject!r}"
        raise RecordingError(msg)
    if not isinstance(payload, str) or not isinstance(headers, dict):
        msg = f"{where}: payload must be the text that was published, and headers an object"
        raise RecordingError(msg)
    if not all(_HEADER.match(name) and str(value).isprintable() for name, value in headers.items()):
        msg = f"{where}: headers must be printable names and values"
        raise RecordingError(msg)
    at = _published_at(where, row, payload, interval_ms)
    text = payload.encode("utf-8", "surrogatepass")
    # The server's own headers belonged to the publication that was recorded; they would steer this one.
    kept = {name: str(value) for name, value in headers.items() if not name.lower().startswith("nats-")}
    return Recorded(at, subject, text, kept)


def _published_at(where: str, row: dict[str, Json], payload: str, interval_ms: Callable[[str], int | None]) -> Instant:
    for name in ("published_ms", "event_ms"):
        if row.get(name) is not None:
            return _moment(where, name, row[name]) * MILLISECOND
    opened = _moment(where, "one of published_ms, event_ms and bar_open_ms", row.get("bar_open_ms"))
    stamped, length = _stamp(payload, interval_ms)
    closed = (opened + length) * MILLISECOND
    if stamped is not None and closed <= stamped <= closed + length * MILLISECOND:
        return stamped
    return closed


def _moment(where: str, name: str, value: Json) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LATEST_MS:
        msg = f"{where}: {name} must be milliseconds since 1970, got {value!r}"
        raise RecordingError(msg)
    return int(value)


def _stamp(payload: str, interval_ms: Callable[[str], int | None]) -> tuple[Instant | None, int]:
    """The payload's own timestamp, if it has a valid one, and the length of its bars in ms."""
    try:
        body: Json = json.loads(payload)
    except ValueError:
        return None, MINUTE_MS
    if not isinstance(body, dict):
        return None, MINUTE_MS
    length = interval_ms(str(body.get("symbol"))) or _TIMEFRAMES_MS.get(str(body.get("timeframe")), MINUTE_MS)
    try:
        return parse_instant(str(body.get("timestamp"))), length
    except ValueError:
        return None, length
