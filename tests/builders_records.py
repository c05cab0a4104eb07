"""Ledger records and signals for tests, built by the documented rules from as few words as a test needs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.apps.nurse.ports import StoredRecord, StoredSignal
from petrosa_cio.apps.nurse.record import FORMAT, GENESIS, Walk, chain, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.nurse.ports import DecisionStore
    from petrosa_cio.apps.nurse.record import ChainReport

START: Instant = 1_795_512_600_000_000_000
"""2026-11-24T09:30:00Z; record ``n`` is stored ``n`` seconds later."""
SECOND: int = 1_000_000_000


def digest(text: str) -> str:
    """64 hexadecimal digits that stand for ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()


def decision_id(book: str, index: int) -> str:
    """The id that `make_record` gives a decision."""
    return digest(f"{book}/{index}")[:32]


def default_content(kind: str, book: str, index: int) -> dict[str, Json]:
    """What the body of a record of ``kind`` holds beside what every body holds."""
    match kind:
        case "policy":
            return {"policy_revision": digest(f"{book} policy {index}"), "policy": {"max_orders": index}}
        case "expired":
            return {"sequence": index, "decision_id": decision_id(book, index)}
        case "gap":
            return {"from": index, "to": index, "count": 1}
        case _:
            return {
                "sequence": index,
                "decision_id": decision_id(book, index),
                "intent_id": f"intent-{index}",
                "strategy_id": "momo",
                "symbol": "BTCUSDT",
                "action": "buy",
                "verdict": "approved",
                "at": iso(START + index * SECOND),
                "policy_revision": digest(f"{book} policy 1"),
            }


def make_record(
    index: int,
    prev: str,
    kind: str = "decision",
    *,
    book: str = "main",
    stored_at: Instant | None = None,
    measured: str = "",
    **content: Json,
) -> StoredRecord:
    """A record that follows the one with hash ``prev``; ``content`` replaces or adds fields of its body."""
    moment = START + index * SECOND if stored_at is None else stored_at
    return _record(index, prev, book, moment, measured, {**default_content(kind, book, index), "kind": kind, **content})


def _record(
    index: int, prev: str, book: str, stored_at: Instant, measured: str, content: Mapping[str, Json]
) -> StoredRecord:
    body = encode({"v": FORMAT, "book": book, "index": index, "cursor": index, "totals": {}, **content})
    return StoredRecord(book, index, prev, chain(prev, body), body, stored_at, measured)


def make_chain(contents: Sequence[Mapping[str, Json]], *, book: str = "main") -> list[StoredRecord]:
    """A whole chain from the first record on, one record for each mapping; its ``kind`` is the record's."""
    records: list[StoredRecord] = []
    for index, content in enumerate(contents, start=1):
        prev = records[-1].hash if records else GENESIS
        kind = str(content.get("kind", "decision"))
        whole = {**default_content(kind, book, index), "kind": kind, **content}
        records.append(_record(index, prev, book, START + index * SECOND, "", whole))
    return records


def make_decisions(count: int, *, book: str = "main") -> list[StoredRecord]:
    """A chain of ``count`` decisions."""
    return make_chain([{}] * count, book=book)


def make_signal(sequence: int, *, book: str = "main", body: bytes = b'{"action":"buy"}') -> StoredSignal:
    """The signal of intent ``sequence``."""
    return StoredSignal(book, sequence, f"signals.trading.{book}", body, START + sequence * SECOND)


async def listed(records: AsyncIterator[StoredRecord]) -> list[StoredRecord]:
    """All of a walk's records."""
    return [record async for record in records]


async def walked(store: DecisionStore, book: str = "main") -> ChainReport:
    """What a walk along a book's chain in ``store`` finds."""
    walk = Walk(book)
    async for record in store.records(book):
        walk.step(record)
    return walk.report()
