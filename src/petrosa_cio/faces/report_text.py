"""The faces of a report that are text: JSON and Markdown. Pure: the same report gives the same bytes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.report_content import report_content
from petrosa_cio.faces.report_sections import sections, title, window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petrosa_cio.apps.auditor.report import Report
    from petrosa_cio.faces.report_sections import Section, Sheet

_MARKS = re.compile(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
"""What means something within a line; an underscore does not between letters."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def printable(text: str) -> str:
    """``text`` on one line, with what no screen can show replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def report_json(report: Report) -> str:
    """The report as JSON, exact; docs/report.schema.json describes it."""
    return json.dumps(report_content(report), indent=2) + "\n"


def report_markdown(report: Report) -> str:
    """The report as Markdown with tables, money to the cent."""
    head = f"# {_escaped(title(report))}\n\n{_escaped(window(report))}"
    return "\n\n".join((head, *(part for one in sections(report) for part in _section(one)))) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"## {_escaped(section.title)}"
    yield from (_escaped(text) for text in section.said)
    for sheet in section.sheets:
        yield f"**{_escaped(sheet.caption)}**"
        yield _table(sheet)


def _table(sheet: Sheet) -> str:
    rule = ["---" if place < sheet.figures else "--:" for place in range(len(sheet.headings))]
    lines = [_row(sheet.headings), f"| {' | '.join(rule)} |", *map(_row, sheet.rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """``text`` without any meaning in Markdown or HTML."""
    return _MARKS.sub(r"\\\1", "".join(_ENTITIES.get(char, char) for char in printable(text)))
