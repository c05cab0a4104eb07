"""Decisions as they are recorded, and the story of one of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.decision import judge_again
from petrosa_cio.apps.nurse.models import Receipt
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.record import ChainReport, Walk, held_against, verify
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.fold import receipt_of
from petrosa_cio.core.nats.ledger import stored
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.ports import DecisionStore, StoredRecord
    from petrosa_cio.core.nats.link import Link


async def follow_decisions(link: Link, book: str, show: Callable[[dict[str, object]], None], *, from_end: bool) -> None:
    """Hand every record of ``book`` to ``show`` as it comes, for ever; heals after an interruption without a gap."""
    stream = subjects.ledger_stream(book)
    index: int | None = None
    while True:
        try:
            await link.restored()
            if index is None:
                index = (await link.state(stream)).last if from_end else 0
            async with link.read(stream, index + 1) as reader:
                async for batch in reader.batches():
                    for message in batch:
                        index = message.sequence
                        show(dict(record.decode(message.data)))
        except Interrupted:
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one decision: its record, the signal if one left, its expiry, and what judging again gives."""

    stored: StoredRecord
    content: dict[str, Json]
    policy: dict[str, Json] | None
    signal: dict[str, Json] | None
    expired: dict[str, Json] | None
    same_verdict: bool
    verdict_again: str
    hash_holds: bool


async def tell(store: DecisionStore, decision_id: str) -> Story:
    """The story of a decision. Raises NotFound, or StoreError where the store cannot be read."""
    found = await store.find(decision_id)
    if found is None:
        msg = f"no decision {decision_id}; give its id, or at least the first 8 characters"
        raise NotFound(msg)
    content = record.decode(found.body)
    sequence = int(str(content["sequence"]))
    policy = await _policy(store, content.get("policy_revision"))
    same, verdict = judge_again(content, _receipt(content), policy)
    signal, expiry = await store.signal(found.book, sequence), await store.expiry(found.book, sequence)
    return Story(
        stored=found,
        content=content,
        policy=policy.content if policy else None,
        signal=json.loads(signal.body) if signal else None,
        expired=record.decode(expiry.body) if expiry else None,
        same_verdict=same,
        verdict_again=verdict.kind.value,
        hash_holds=record.chain(found.prev, found.body) == found.hash,
    )


def _receipt(content: dict[str, Json]) -> Receipt:
    """The receipt to judge again; a quarantined one has only its beginning here, and stays undecoded."""
    if isinstance(content.get("quarantine"), dict):
        return Receipt(int(str(content["sequence"])), str(content["subject"]), b"", 0, None, undecodable="quarantined")
    return receipt_of(content)


async def _policy(store: DecisionStore, revision: Json) -> Policy | None:
    found = await store.policy(str(revision)) if revision is not None else None
    if found is None:
        return None
    return read_policy(record.decode(found.body)["policy"], f"policy {revision}")


async def verify_store(store: DecisionStore) -> list[ChainReport]:
    """Walk the chain of every book in the store, record by record, up to where the store says that it was carried."""
    reports: list[ChainReport] = []
    for book in await store.books():
        walk, cursor, found = Walk(book), await store.cursor(book), None
        async for kept in store.records(book):
            walk.step(kept)
            if kept.index == cursor.ledger_index:
                found = kept.hash
        reports.append(held_against(walk.report(), cursor.ledger_index, cursor.ledger_head, found or None))
    return reports


async def verify_stream(link: Link, book: str) -> ChainReport:
    """Walk the chain in the ledger stream itself, and hold it against the anchored heads. Raises Interrupted."""
    stream = subjects.ledger_stream(book)
    records: list[StoredRecord] = []
    async with link.read(stream, 1) as reader:
        async for batch in reader.standing():
            records.extend(stored(book, message) for message in batch)
    report = verify(book, records)
    hashes = {found.index: found.hash for found in records}
    for anchored in await link.anchored(book):
        mark = json.loads(anchored)
        report = held_against(report, int(mark["index"]), str(mark["head"]), hashes.get(int(mark["index"])))
    return report
