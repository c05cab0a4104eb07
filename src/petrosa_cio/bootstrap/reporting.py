"""The report of a directory that a replay wrote: its store and its shadow ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.report import report_of
from petrosa_cio.apps.auditor.report_ledger import LedgerReading
from petrosa_cio.apps.auditor.shadow_record import shadow_of
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.bootstrap.shadowing import SHADOW_FILE
from petrosa_cio.bootstrap.stores import STORE_FILE
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.errors import NotFound, RecordingError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.auditor.report import Report
    from petrosa_cio.apps.nurse.facts import Instant

REPORT_FILES = ("report.json", "report.md", "report.html")

_INSTANT = 1_000
"""Instants are recorded to the microsecond."""


async def report_on(directory: Path, book: str, since: Instant | None = None, until: Instant | None = None) -> Report:
    """The report of ``[since, until)``; without one of them, from the first that the ledger holds, or to the last.

    Raises NotFound where the directory holds no shadow ledger, or the store nothing of ``book``; SettingsError where
    the window ends before it begins; RecordingError naming the line for a shadow ledger that cannot be believed;
    StoreError and LedgerError for the rest.
    """
    path = directory / SHADOW_FILE
    if not (directory / STORE_FILE).exists():
        msg = f"no decisions in {directory} (looked for {STORE_FILE}); name the directory with --data-dir"
        raise NotFound(msg)
    if not path.exists():
        msg = (
            f"no shadow ledger in {directory} (looked for {SHADOW_FILE}): live shadow positions are not tracked yet. "
            "A replay with --klines writes one"
        )
        raise NotFound(msg)
    reading = await _read(directory / STORE_FILE, book)
    span = reading.span
    if span is None:
        msg = f"the store in {directory} holds nothing of book {book!r} to report on"
        raise NotFound(msg)
    begin = span[0] if since is None else since
    end = span[1] + _INSTANT if until is None else until
    if begin >= end:
        msg = f"{iso(begin)} is not before {iso(end)}: the ledger goes from {iso(span[0])} to {iso(span[1])}"
        raise SettingsError(msg)
    return report_of(reading, _shadows(path), begin, end)


async def _read(store: Path, book: str) -> LedgerReading:
    reading, found = SqliteStore(store, read_only=True), LedgerReading(book)
    try:
        async for one in reading.records(book):
            found.take(one.body, one.measured)
    finally:
        await reading.close()
    return found


def _shadows(path: Path) -> Iterator[Shadow]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _shadow(line, f"{path.name}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path.name}: {error}"
        raise RecordingError(msg) from error


def _shadow(line: str, place: str) -> Shadow:
    try:
        content = json.loads(line)
        if isinstance(content, dict):
            return shadow_of(content)
    except (ValueError, KeyError, ArithmeticError) as error:
        msg = f"{place}: no shadow position: {error!r}"
        raise RecordingError(msg) from error
    msg = f"{place}: no shadow position: not a JSON object"
    raise RecordingError(msg)
