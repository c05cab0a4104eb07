"""The shadow ledger of a replay: decisions from the store, bars and funding from the recording."""

from __future__ import annotations

import heapq
import json
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.savings import shadow_summary
from petrosa_cio.apps.auditor.shadow import ShadowMachine
from petrosa_cio.apps.auditor.shadow_record import shadow_content
from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.models import parse_instant
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.core.exchange.funding import read_funding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.core.exchange.klines import Bar
    from petrosa_cio.core.exchange.recording import KlineTable

SHADOW_FILE = "shadow.jsonl"

_MS = 1_000_000
_WHY = frozenset({"observed", "unevaluated", "facts", "memory", "totals", "trace"})


async def write_shadows(
    store: Path, book: str, klines: KlineTable, funding: Sequence[Path], out: Path
) -> dict[str, Json]:
    """Write one line a shadow position, in order of decision, to `SHADOW_FILE` in ``out``; return what they add up to.

    Nothing in it depends on the machine or the moment: a second run writes the same bytes. Raises RecordingError for
    funding that cannot be believed, StoreError for a store that cannot be read.
    """
    shadows = shadows_of(await _records(store, book), klines, funding)
    with (out / SHADOW_FILE).open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(shadow_content(one)) + "\n" for one in shadows)
    return shadow_summary(shadows)


def shadows_of(records: Sequence[dict[str, Json]], klines: KlineTable, funding: Sequence[Path] = ()) -> list[Shadow]:
    """What became of every position that ``records`` open, as of the end of the recorded bars; in order of decision."""
    machine, first = ShadowMachine(), _first_ms(records)
    for content in records:
        machine.record(content)
    for one in read_funding(funding):
        if one.at_ms >= first:
            machine.settle(one)
    # What the machine is asked to say as of is the end of the recording, be there bars of interest or not.
    last = max((klines.span(symbol)[1] for symbol in klines.symbols), default=0)
    told = {content.get("symbol") for content in records}
    symbols = [symbol for symbol in klines.symbols if symbol in told]
    for bar in heapq.merge(*(_from(klines, symbol, first) for symbol in symbols), key=_closed):
        machine.bar(bar)
        machine.advance(bar.close_time_ms * _MS)
    machine.advance(max(last * _MS, _last_at(records)))
    order = {str(content.get("decision_id")): place for place, content in enumerate(records)}
    shadows = [entry.shadow for entry in machine.told()] + machine.standing()
    return sorted(shadows, key=lambda one: (order[one.decision_id], one.tracked.value))


def _from(klines: KlineTable, symbol: str, first_ms: int) -> Iterator[Bar]:
    """The bars that had not closed when the first decision was made."""
    return klines.closed(symbol, first_ms, klines.span(symbol)[1])


def _closed(bar: Bar) -> tuple[int, str]:
    return bar.close_time_ms, bar.symbol


def _instants(records: Sequence[dict[str, Json]]) -> list[int]:
    return [parse_instant(str(one["at"])) for one in records if one.get("kind") == "decision"]


def _first_ms(records: Sequence[dict[str, Json]]) -> int:
    return min(_instants(records), default=0) // _MS - 1


def _last_at(records: Sequence[dict[str, Json]]) -> int:
    return max(_instants(records), default=0)


def _lean(content: dict[str, Json]) -> dict[str, Json]:
    """A record without the parts that say why: they are most of it, and the machine asks for none of them."""
    return {name: value for name, value in content.items() if name not in _WHY}


async def _records(store: Path, book: str) -> list[dict[str, Json]]:
    reading = SqliteStore(store, read_only=True)
    try:
        return [_lean(record.decode(one.body)) async for one in reading.records(book)]
    finally:
        await reading.close()
