"""Recovery: a gate's whole state from the ledger. Nothing else is trusted, nothing is judged anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.book import DAY
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.fold import Folded
from petrosa_cio.core.nats.ledger import position_after
from petrosa_cio.core.nats.settlement import EXPIRED
from petrosa_cio.core.nats.terms import IN_FLIGHT
from petrosa_cio.core.nats.trouble import Interrupted, NoSuchStream
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from petrosa_cio.core.nats.ledger import Position
    from petrosa_cio.core.nats.link import Link, StreamState
    from petrosa_cio.core.nats.reader import Delivered
    from petrosa_cio.core.nats.terms import GateTerms

SHORT_LEDGER = 50_000
"""A ledger up to this many records is folded whole at recovery; of a longer one, only what a limit can still count."""


async def recover(link: Link, terms: GateTerms) -> Folded:
    """Position, memory and open promises of the book. Raises LedgerError where the ledger is unsound."""
    folded = Folded(terms.book, terms.policy, terms.origin, terms.accounts if terms.event_clock else None)
    last = await link.last(subjects.ledger_stream(terms.book), subjects.ledger_subject(terms.book))
    if last is None:
        first = (await link.state(subjects.INTENTS_STREAM)).first
        folded.position = replace(folded.position, cursor=max(first - 1, 0))
    else:
        await _check_intents(link, terms, last)
        await _fold_up_to(link, terms, folded, last)
        await _strike_settled(link, terms, folded)
    return folded


async def _check_intents(link: Link, terms: GateTerms, last: Delivered) -> None:
    """Refuse an intent stream that ends before what the ledger has accounted for: its next intents would be skipped."""
    cursor = position_after(terms.book, last)[0].cursor
    ends = (await link.state(subjects.INTENTS_STREAM)).last
    if ends < cursor:
        msg = (
            f"the intent stream ends at {ends}, but the ledger of {terms.book} accounts for intents up to {cursor}: it "
            f"was cut off or restored. Delete the stream {subjects.INTENTS_STREAM} and start again: it is made anew "
            "from the next sequence on"
        )
        raise LedgerError(msg)


async def _fold_up_to(link: Link, terms: GateTerms, folded: Folded, last: Delivered) -> None:
    target, _ = position_after(terms.book, last)
    start = await _first_needed(link, terms, folded, target)
    folded.settled = target.settled
    first = True
    async with link.read(subjects.ledger_stream(terms.book), start) as reader:
        async for batch in reader.standing():
            for message in batch:
                folded.take(message, first=first and start > 1)
                first = False
    if folded.position.index < target.index:
        msg = f"the ledger of {terms.book} was read to record {folded.position.index} of {target.index} only"
        raise Interrupted(msg)
    folded.forget_settled()


async def _strike_settled(link: Link, terms: GateTerms, folded: Folded) -> None:
    """Strike the open promises that the end of the outbox shows to be settled; what is left is tried anew.

    Only to be quick: trying a settled promise again is refused by the outbox, one round trip each.
    """
    if not folded.open:
        return
    stream = subjects.outbox_stream(terms.book)
    outbox = await link.state(stream)
    expired = await _strike_stored(link, folded, stream, outbox) if outbox.messages else set()
    if outbox.first != 1 and outbox.last >= folded.position.totals.promising:
        # One message settles one promise, so all are settled, though the outbox has forgotten some since; an expiry
        # may still lack its record. An outbox that forgot nothing was read: no counting, which a stranger's message
        # would mislead.
        folded.open = {sequence: promise for sequence, promise in folded.open.items() if sequence in expired}


async def _strike_stored(link: Link, folded: Folded, stream: str, outbox: StreamState) -> set[int]:
    """Strike the promises whose signal is among the latest messages; returns those whose expiry is."""
    expired: set[int] = set()
    async with link.read(stream, outbox.last - len(folded.open) - IN_FLIGHT) as reader:
        async for batch in reader.standing():
            for message in batch:
                sequence = subjects.outbox_sequence(message.subject)
                if message.subject.endswith(EXPIRED):
                    expired.add(sequence)
                else:
                    folded.open.pop(sequence, None)
    return expired


async def _first_needed(link: Link, terms: GateTerms, folded: Folded, target: Position) -> int:
    """Index to fold from: everything that a limit can still count, and everything not known to be settled."""
    if target.index <= SHORT_LEDGER or terms.event_clock:
        return 1
    oldest = terms.now() - max(DAY, folded.memory.retention)
    stream = subjects.ledger_stream(terms.book)
    low, high = 1, target.index
    while low < high:
        middle = (low + high) // 2
        if (await link.at(stream, middle)).stored_at < oldest:
            low = middle + 1
        else:
            high = middle
    start = min(low, target.settled + 1)
    return min(start, target.snapshot) if target.snapshot else start


async def accounted_for(link: Link, book: str) -> int:
    """The last intent that the ledger of ``book`` accounts for; 0 where there is no ledger, or its end is unsound."""
    try:
        last = await link.last(subjects.ledger_stream(book), subjects.ledger_subject(book))
        return 0 if last is None else position_after(book, last)[0].cursor
    except (NoSuchStream, LedgerError):
        return 0
