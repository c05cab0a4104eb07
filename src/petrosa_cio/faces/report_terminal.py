"""The face of a report that a terminal shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from petrosa_cio.faces.report_sections import sections, title, window
from petrosa_cio.faces.report_text import printable

if TYPE_CHECKING:
    from petrosa_cio.apps.auditor.report import Report
    from petrosa_cio.faces.report_sections import Sheet


class ReportScreen:
    """The terminal."""

    def __init__(self) -> None:
        self._out = Console(highlight=False)

    def report(self, report: Report) -> None:
        """All of it, in order, to read."""
        self._out.print(f"{_safe(title(report))}, {_safe(window(report))}", style="dim")
        for place, section in enumerate(sections(report)):
            self._out.print(f"\n{_safe(section.title)}", style="bold")
            for number, text in enumerate(section.said):
                self._out.print(_safe(text), style="bold" if place == number == 0 else None)
            for sheet in section.sheets:
                self._out.print(_table(sheet))


def _table(sheet: Sheet) -> Table:
    table = Table(title=_safe(sheet.caption), title_justify="left", title_style="dim", box=None, pad_edge=False)
    for place, heading in enumerate(sheet.headings):
        table.add_column(_safe(heading), justify="left" if place < sheet.figures else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(_safe, row))
    return table


def _safe(text: str) -> str:
    return escape(printable(text))
