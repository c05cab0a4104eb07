"""The ledger record: what is written before anything is acted on, and how records are chained.

A record's body is one JSON object, keys sorted, encoded once; the chain is over those very bytes::

    hash = sha256(prev + "\\n" + body)        prev of the first record: 64 zeros; both as lower-case hexadecimal

so anyone can verify it with `sha256sum` and no parser. Every body has ``v``, ``kind``, ``book``, ``index`` (1, 2, ...),
``cursor`` (the last intent sequence accounted for, this record included) and ``totals``. Kinds:

* ``policy``: a policy came into force; ``policy`` is its whole text, ``policy_revision`` its hash.
* ``decision``: one intent judged (or quarantined): input, verdict, reasons, observations, facts, policy revision.
* ``state``: an operator halted the book, let it only reduce, or resumed it.
* ``latch``: a red line latched the book or a strategy, or a person lifted it.
* ``expired``: an approved intent whose hard timeout passed before it could be promoted.
* ``outage``: the ledger took no records between these instants; ``passed`` closes were let through meanwhile.
* ``spilled``: one close that was let through unrecorded during an outage, written down after it.
* ``gap``: intents that left the stream (age, purge) before they could be judged: counted, never silent.

Times of measurement, host names and latencies are not in the body, so equal input gives an equal chain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.ports import StoredRecord

Written: TypeAlias = msgspec.Raw
"""A part of a record that is encoded already; its length is in bytes."""

GENESIS: str = "0" * 64
FORMAT: int = 1

_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")


def encode(content: object) -> bytes:
    """Return the one JSON text of ``content``: keys sorted, no spaces, decimals as numbers."""
    return _ENCODER.encode(content)


def written(content: object) -> Written:
    """``content`` encoded already: `encode` puts it into a record as it is."""
    return msgspec.Raw(_ENCODER.encode(content))


def decode(body: bytes) -> dict[str, Json]:
    """Return a record body as a mapping. Raises ValueError where it is not a JSON object."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        msg = "not a JSON object"
        raise ValueError(msg)  # noqa: TRY004  the caller's question is whether this is a record
    return content


def chain(prev: str, body: bytes) -> str:
    """Return the hash of a record that follows the record with hash ``prev``."""
    return hashlib.sha256(prev.encode("ascii", "backslashreplace") + b"\n" + body).hexdigest()


@dataclass(frozen=True, slots=True)
class Break:
    """The first thing wrong with a chain: at which index, and what."""

    index: int
    problem: str
    decision_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a walk along a chain found: how many records, the head, and the breaks (none where it verifies)."""

    book: str
    records: int
    head: str
    breaks: tuple[Break, ...]


def _problems(record: StoredRecord, index: int, head: str) -> Iterator[str]:
    if record.index != index:
        kind = "missing" if record.index > index else "repeated or out of order"
        yield f"record {index} is {kind}: found record {record.index} in its place"
    if record.prev != head:
        yield "does not continue the record before it: altered, reordered or removed in between"
    if chain(record.prev, record.body) != record.hash:
        yield "its content was altered: the hash does not match"
    try:
        content = decode(record.body)
    except ValueError as error:
        yield f"cannot be read: {error}"
        return
    if content.get("index") != record.index:
        yield f"says of itself that it is record {content.get('index')}"
    if content.get("book") != record.book:
        yield f"says of itself that it belongs to book {content.get('book')}"


def _decision_id(record: StoredRecord) -> str | None:
    try:
        found = decode(record.body).get("decision_id")
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def held_against(report: ChainReport, index: int, head: str, found: str | None) -> ChainReport:
    """``report`` held against an anchored head: record ``index`` must be there (``found``) and have hash ``head``."""
    if found == head:
        return report
    problem = (
        f"the tail is cut off: record {index} was here and is missing"
        if found is None
        else f"is not the record {index} that was here: the chain was written anew"
    )
    return ChainReport(report.book, report.records, report.head, (*report.breaks, Break(index, problem)))


@dataclass(slots=True)
class Walk:
    """A walk along a book's chain from its first record on; it names up to ``at_most`` breaks."""

    book: str
    at_most: int = 20
    count: int = 0
    index: int = 0
    head: str = GENESIS
    breaks: list[Break] = field(default_factory=list)

    def step(self, record: StoredRecord) -> None:
        """Hold the next record against the one before it."""
        self.count += 1
        for problem in _problems(record, self.index + 1, self.head):
            if len(self.breaks) < self.at_most:
                self.breaks.append(Break(record.index, problem, _decision_id(record)))
        self.head, self.index = record.hash, record.index

    def report(self) -> ChainReport:
        """What was found so far."""
        return ChainReport(self.book, self.count, self.head, tuple(self.breaks))


def verify(book: str, records: Iterable[StoredRecord], *, at_most: int = 20) -> ChainReport:
    """Walk a book's records in order and name every altered, missing or reordered one, up to ``at_most``.

    A truncated tail cannot be seen by a chain alone; compare ``head`` with the one that was anchored elsewhere.
    """
    walk = Walk(book, at_most)
    for record in records:
        walk.step(record)
    return walk.report()
