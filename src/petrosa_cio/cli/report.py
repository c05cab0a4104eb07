"""`petrosa-cio report`: what was earned, what governance saved or cost, how sure that is, and what changed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petrosa_cio.apps.auditor.weeks import week_window
from petrosa_cio.apps.nurse.models import parse_instant
from petrosa_cio.cli.options import Book, run
from petrosa_cio.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from petrosa_cio.apps.auditor.report import Report
    from petrosa_cio.apps.nurse.facts import Instant

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def report(
    data_dir: Annotated[Path, typer.Option(help="Directory that a replay with --klines wrote.")],
    since: Annotated[str | None, typer.Option("--from", help="Beginning, ISO-8601; default: of the ledger.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="End, left out; default: of the ledger.")] = None,
    week: Annotated[
        str | None, typer.Option(help="ISO week, such as 2026-W47: the seven days to its Friday, 16:00 UTC.")
    ] = None,
    book: Book = "main",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; docs/report.schema.json describes it.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_html: Annotated[bool, typer.Option("--html", help="Print one HTML file.")] = False,
) -> None:
    """Print the report of a replay's directory, of its whole span or of a window."""
    if as_json + as_markdown + as_html > 1:
        msg = "--json, --markdown, --html: only one of them"
        raise SettingsError(msg)
    found = _made(data_dir, book, *_window(since, until, week))
    if as_json + as_markdown + as_html:
        sys.stdout.write(_faces(found)[0 if as_json else 1 if as_markdown else 2])
        return
    from petrosa_cio.faces.report_terminal import ReportScreen

    ReportScreen().report(found)


def write_report(out: Path) -> None:
    """Write the report of a directory into it, once for each face that is a file. Raises StoreError where it cannot."""
    from petrosa_cio.bootstrap.reporting import REPORT_FILES

    for name, text in zip(REPORT_FILES, _faces(_made(out, "main", None, None)), strict=True):
        try:
            (out / name).write_text(text, encoding="utf-8")
        except OSError as error:
            msg = f"{name}: {error.strerror}"
            raise StoreError(msg) from error


def _made(directory: Path, book: str, since: Instant | None, until: Instant | None) -> Report:
    from petrosa_cio.bootstrap.reporting import report_on

    made = []

    async def make() -> None:
        made.append(await report_on(directory, book, since, until))

    run(make())
    (found,) = made
    return found


def _faces(found: Report) -> tuple[str, str, str]:
    """JSON, Markdown and HTML."""
    from petrosa_cio.faces.report_html import report_html
    from petrosa_cio.faces.report_text import report_json, report_markdown

    return report_json(found), report_markdown(found), report_html(found)


def _window(since: str | None, until: str | None, week: str | None) -> tuple[Instant | None, Instant | None]:
    if week is not None:
        if since is not None or until is not None:
            msg = "--week: not together with --from or --to"
            raise SettingsError(msg)
        try:
            return week_window(week)
        except ValueError as error:
            msg = f"--week: {week}: {error}"
            raise SettingsError(msg) from error
    begin, end = _instant("--from", since), _instant("--to", until)
    if begin is not None and end is not None and begin >= end:
        msg = f"--from: {since} is not before {until}"
        raise SettingsError(msg)
    return begin, end


def _instant(option: str, text: str | None) -> Instant | None:
    """The instant that an option names; a day alone begins at 00:00 UTC."""
    if text is None:
        return None
    try:
        return parse_instant(f"{text}T00:00:00+00:00" if _DAY.fullmatch(text) else text)
    except ValueError as error:
        msg = f"{option}: {text}: {error}"
        raise SettingsError(msg) from error
