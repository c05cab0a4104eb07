"""What a person sees of a probe on a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from petrosa_cio.core.exchange.drift import Drift
    from petrosa_cio.core.exchange.probe import ProbeReport
    from petrosa_cio.core.exchange.stored import StoredFile


def _safe(text: str) -> str:
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


class ProbeScreen:
    """The terminal. With ``as_json`` everything is one JSON document instead."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=False)

    def report(self, report: ProbeReport, *, as_json: bool) -> None:
        """What a live probe found."""
        if as_json:
            _print_json(report.content())
            return
        table = _table("endpoint", "answer", "drift")
        for probed in report.probed:
            trouble = f" ({probed.trouble})" if probed.trouble else ""
            answer = "as modelled" if probed.error_class is None else f"[red]{probed.error_class}[/]{_safe(trouble)}"
            table.add_row(
                _safe(probed.endpoint), answer if not probed.drift else "[yellow]drift[/]", _many(probed.drift)
            )
        for path in report.skipped:
            table.add_row(_safe(path), "[dim]not asked[/]", "")
        self._out.print(table)
        self._drift((probed.endpoint, probed.drift) for probed in report.probed)
        skew = "not measured" if report.skew_ms is None else f"{report.skew_ms} ms ± {report.skew_uncertain_ms} ms"
        self._out.print(f"the exchange's clock less ours: {skew}")
        used = "not told" if report.weight_used is None else str(report.weight_used)
        self._out.print(f"weight used in the running minute: {used} of {report.weight_limit or 'an unknown limit'}")
        if report.wait_seconds:
            self._out.print(f"stopped early: ask nothing for {report.wait_seconds:.0f} s", style="yellow")

    def stored(self, files: Sequence[StoredFile], *, as_json: bool) -> None:
        """What stored answers hold."""
        if as_json:
            _print_json({"files": [file.content() for file in files]})
            return
        table = _table("file", "answers", "of", "errors", "unknown", "drift")
        for file in files:
            answers = sum(file.endpoints.values()) + sum(file.error_classes.values()) + file.unknown
            table.add_row(
                _safe(file.file),
                str(answers),
                _counted(file.endpoints),
                _counted(file.error_classes),
                str(file.unknown or ""),
                _many(file.drift),
            )
        self._out.print(table)
        self._drift((file.file, file.drift) for file in files)

    def _drift(self, found: Iterable[tuple[str, Sequence[Drift]]]) -> None:
        drifted = [(source, drifts) for source, drifts in found if drifts]
        if not drifted:
            self._out.print("no drift")
        for source, drifts in drifted:
            self._out.print(f"\n{_safe(source)}", style="bold")
            table = _table("drift", "field", "expected", "found", "times", "first at")
            for drift in drifts:
                words = (drift.kind, drift.where, drift.expected, drift.found, str(drift.count), drift.example)
                table.add_row(*(_safe(word) for word in words))
            self._out.print(table)


def _many(drift: Sequence[Drift]) -> str:
    return str(len(drift)) if drift else ""


def _counted(counts: dict[str, int]) -> str:
    """The commonest two, and how many more; the JSON has all."""
    told = [_short(name) if count == 1 else f"{_short(name)} ×{count}" for name, count in list(counts.items())[:2]]
    more = [f"+{len(counts) - 2}"] if len(counts) > 2 else []
    return _safe(" ".join(told + more))


def _short(endpoint: str) -> str:
    return endpoint.removeprefix("/fapi/")


def _print_json(found: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
