"""The regime guard on recorded crashes and calm months, against two baselines: ``make crash-report``.

Prints two tables and what they come to; `crashes` says by which rules each figure is found.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from crashes import FACTORS, read_tables, report
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def show(found: dict[str, list[dict[str, object]]], console: Console) -> None:
    """Print the report: each crash and symbol, then the cost in calm months, by symbol and file."""
    crashes = Table(*CRASH_COLUMNS, title="Crashes: lead before half of the fall, and what fell while flagged")
    for row in found["crashes"]:
        crashes.add_row(*crash_cells(row))
    console.print(crashes)
    console.print(
        f"{len(found['crashes'])} falls. Baseline cells: lead, fallen while it blocked. * thresholds chosen on"
    )
    for name, lead, held, fallen in verdicts(found["crashes"]):
        console.print(f"{name:>9}: flagged before half {lead}, up at half {held}, median fallen while up {fallen}")
    calm = Table(*CALM_COLUMNS, title="Calm months: hours flagged, all of them false alarms")
    for file, symbol in dict.fromkeys((row["file"], row["symbol"]) for row in found["calm"]):
        calm.add_row(*calm_cells([row for row in found["calm"] if (row["file"], row["symbol"]) == (file, symbol)]))
    console.print(calm)
    shares = Table(*SHARE_COLUMNS, title="Share of all recorded time")
    for row in found["shares"]:
        shares.add_row(*share_cells(row))
    console.print(shares)


def verdicts(rows: list[dict[str, object]]) -> Iterator[tuple[str, int, int, str]]:
    """Of the guard and of each baseline: how often it was in time, how often still up, and the median of what fell."""
    for k in (None, *FACTORS):
        lead = [figure(row, "lead_minutes", k) for row in rows]
        held = [figure(row, "held_minutes", k) for row in rows]
        fallen = [figure(row, "fallen_while_flagged" if k is None else "fallen", k) or 0.0 for row in rows]
        name = "the guard" if k is None else f"k = {k}"
        in_time = sum(minutes is not None and minutes > 0 for minutes in lead)
        yield name, in_time, sum(minutes is not None for minutes in held), percent(median(fallen) if fallen else None)


def figure(row: dict[str, object], name: str, k: int | None) -> float | None:
    """One figure of a crash: the guard's, or the one of the baseline with this k."""
    value = row[name] if k is None else row[f"baseline_{name}"]
    if isinstance(value, dict):
        value = value[k]
    return None if value is None else float(str(value))


CRASH_COLUMNS = (
    "crash", "bars", "symbol", "fall", "high", "half", "first flag", "lead", "gone by then", "held", "while flagged",
    "k=2", "k=3", "k=4",
)  # fmt: skip
CALM_COLUMNS = (
    "bars",
    "symbol",
    "months",
    "flagged",
    "share",
    "worst month",
    "alarms a week",
    "choppy",
    "k=2",
    "k=3",
    "k=4",
)


def crash_cells(row: dict[str, object]) -> Iterator[str]:
    """The cells of one crash of one symbol; of each baseline the lead and what fell while it blocked."""
    cut = " (cut)" if row["recorded_until"] else ""
    yield from (str(row["crash"]), market(row), f"{row['symbol']}{cut}", percent(row["fall"]))
    yield from (str(row["high_at"])[5:], str(row["half_at"])[5:], str(row["first_flag"] or "never")[5:])
    yield from (duration(row["lead_minutes"]), percent(row["fallen_at_first_flag"]), duration(row["held_minutes"]))
    yield percent(row["fallen_while_flagged"])
    for k in FACTORS:
        yield f"{duration(figure(row, 'lead_minutes', k))}, {percent(figure(row, 'fallen', k))}"


def calm_cells(rows: list[dict[str, object]]) -> Iterator[str]:
    """The cells of one symbol's calm months together."""

    def total(name: str) -> float:
        return math.fsum(float(str(row[name])) for row in rows)

    known = total("known_hours")
    worst = max(float(str(row["flagged_hours"])) / float(str(row["known_hours"])) for row in rows)
    flagged = total("flagged_hours")
    yield from (market(rows[0]), str(rows[0]["symbol"]), str(len(rows)))
    yield from (f"{flagged:.0f} h of {known:.0f} h", percent(flagged / known), percent(worst))
    yield f"{total('alarms') / known * 168:.1f}"
    yield percent(total("choppy_hours") / known)
    for k in FACTORS:
        hours = [row["baseline_hours"] for row in rows]
        yield percent(math.fsum(one[k] for one in hours if isinstance(one, dict)) / known)


SHARE_COLUMNS = ("bars", "symbol", "number", "flagged", "high_volatility", "capitulation", "choppy", "unknown")


def share_cells(row: dict[str, object]) -> Iterator[str]:
    """The cells of one symbol's shares of all time that was recorded of it, crashes included."""
    shares = row["shares"]
    assert isinstance(shares, dict)
    yield from (market(row), str(row["symbol"]), str(row["bars"]))
    yield percent(shares["high_volatility"] + shares["capitulation"])
    yield from (percent(shares[label]) for label in SHARE_COLUMNS[4:])


def market(row: dict[str, object]) -> str:
    """Market and length of the bars, from the name of the file."""
    return " ".join(str(row["file"]).split("_")[:2])


def percent(share: object) -> str:
    """A share in percent."""
    return "-" if share is None else f"{float(str(share)):.1%}"


def duration(minutes: object) -> str:
    """Minutes as hours and minutes."""
    if minutes is None:
        return "none"
    whole = round(float(str(minutes)))
    return f"{whole // 60} h {whole % 60:02d}"


def main(arguments: Sequence[str]) -> int:
    """Print the report; 2 where there are no klines to read."""
    parser = argparse.ArgumentParser(description="The regime guard on recorded crashes and calm months.")
    parser.add_argument("--klines", type=Path, required=True, metavar="DIR", help="directory of kline parquet files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to this file")
    given = parser.parse_args(arguments)
    if not list(given.klines.glob("*.parquet")):
        sys.stderr.write(f"crash report: no kline files (*.parquet) in {given.klines}\n")
        return 2
    found = report(read_tables(given.klines))
    show(found, Console(width=230 if not sys.stdout.isatty() else None))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
