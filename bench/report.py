"""What a report of many decisions takes: ``.venv/bin/python bench/report.py``, or for a directory that a replay wrote
``.venv/bin/python bench/report.py DIR``. Prints seconds and peak memory.

Without a directory there are 50,000 decisions of a week, of ten strategies on five symbols, with records of 5.5 kB as a
replay with an account writes them; every fourth has a shadow position.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Shadow, Tracked
from petrosa_cio.apps.auditor.shadow_record import shadow_content
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.models import iso
from petrosa_cio.apps.nurse.ports import StoredRecord
from petrosa_cio.apps.nurse.record import GENESIS, chain, encode
from petrosa_cio.bootstrap.reporting import report_on
from petrosa_cio.bootstrap.shadowing import SHADOW_FILE
from petrosa_cio.bootstrap.stores import STORE_FILE
from petrosa_cio.core.db.sqlite import SqliteStore
from petrosa_cio.faces.report_html import report_html
from petrosa_cio.faces.report_text import report_json, report_markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

DECISIONS = 50_000
MONDAY = 20_003 * 86_400 * 1_000_000_000
STEP = 7 * 86_400 * 1_000_000_000 // DECISIONS // 1000 * 1000
CODES = ("DAILY_TRADES", "VOLATILITY", "PRICE_COLLAR", "REGIME_BLOCKED", "STOP_WRONG_SIDE")


def records() -> Iterator[StoredRecord]:
    prev, filler = GENESIS, "x" * 5_000
    for number in range(DECISIONS):
        reasons = [{"code": CODES[number % 5], "outcome": "block", "limit": 1}] if number % 8 else []
        body = encode(
            {
                "v": 1, "kind": "decision", "book": "main", "index": number + 1, "cursor": number + 1, "totals": {},
                "decision_id": f"{number:032x}", "at": iso(MONDAY + number * STEP), "sequence": number + 1,
                "strategy_id": f"strategy {number % 10}", "symbol": f"S{number % 5}USDT", "payload": filler,
                "verdict": "blocked" if number % 8 else "approved", "reasons": reasons,
            }
        )  # fmt: skip
        found = StoredRecord("main", number + 1, prev, chain(prev, body), body, MONDAY, '{"judged_after_us":180}')
        prev = found.hash
        yield found


def shadow(number: int) -> Shadow:
    gross = Decimal((number * 7919) % 2001 - 1000) / 100
    promoted = not number % 8
    return Shadow(
        f"{number:032x}", Tracked.PROMOTED if promoted else Tracked.BLOCKED, f"strategy {number % 10}",
        f"S{number % 5}USDT", Side.LONG, () if promoted else (CODES[number % 5],), "ranging",
        f"{number - number % 12:032x}",
        0, MONDAY + number * STEP, Outcome.TARGET if gross > 0 else Outcome.STOP, PriceSource.MARK, Decimal(1),
        closed_at=MONDAY + number * STEP + 3_600_000_000_000, entry=Decimal(100), gross=gross, fees=Decimal("0.08"),
        funding=Decimal(0), result=gross - Decimal("0.08"),
    )  # fmt: skip


async def fill(directory: Path) -> None:
    store, batch = SqliteStore(directory / STORE_FILE), []
    for one in records():
        batch.append(one)
        if len(batch) == 1_000:
            await store.append("main", batch, [], 0)
            batch = []
    await store.close()
    with (directory / SHADOW_FILE).open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(shadow_content(shadow(number))) + "\n" for number in range(0, DECISIONS, 4))


def measure(directory: Path) -> None:
    started = time.perf_counter()
    found = asyncio.run(report_on(directory, "main"))
    made = time.perf_counter()
    sizes = [len(face(found)) for face in (report_json, report_markdown, report_html)]
    told = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found.intents} decisions: made in {made - started:.2f} s, three faces in {told - made:.2f} s", end="")
    print(f" ({sizes} characters), peak memory {memory:.0f} MiB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made_for:
            asyncio.run(fill(Path(made_for)))
            measure(Path(made_for))
