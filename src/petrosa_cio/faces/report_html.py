"""The face of a report that a browser shows and prints: one self-contained file, without script or anything fetched.

Light and dark follow the reader's system. What text and ground contrast by is at least 4.5 to 1 (WCAG 2.2, 1.4.3), of
lines and bars 3 to 1 (1.4.11), and no figure is told by colour alone; a test works both out.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.profit import Curve
from petrosa_cio.faces.report_sections import sections, title, window
from petrosa_cio.faces.report_svg import bars_svg, curve_svg
from petrosa_cio.faces.report_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petrosa_cio.apps.auditor.report import Report
    from petrosa_cio.faces.report_sections import Bars, Section, Sheet

LIGHT: Mapping[str, str] = {
    "ground": "#ffffff",
    "text": "#1a1d21",
    "quiet": "#545b64",
    "line": "#d0d5db",
    "with": "#0b5cad",
    "without": "#b4480f",
}
DARK: Mapping[str, str] = {
    "ground": "#15181c",
    "text": "#e8eaed",
    "quiet": "#a9b0b8",
    "line": "#3c434b",
    "with": "#6cb2ff",
    "without": "#ff9d66",
}
"""Colours by what they are for; ``line`` only parts rows."""


def _variables(colours: Mapping[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in colours.items())


_STYLE = f"""
:root{{color-scheme:light dark;{_variables(LIGHT)}}}
@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:1rem;max-width:64rem;background:var(--ground);color:var(--text);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}}
h1{{font-size:1.4rem;margin:0}}
h2{{font-size:1.15rem;margin:2rem 0 .5rem}}
.window,caption,figcaption{{color:var(--quiet)}}
.headline{{font-size:1.2rem;font-weight:600}}
.wide{{overflow-x:auto;margin:1rem 0}}
.wide:focus-visible{{outline:2px solid var(--with)}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}
caption{{text-align:left;padding:.25rem 0}}
th,td{{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);
overflow-wrap:normal}}
td.long,th.long{{min-width:9rem;overflow-wrap:anywhere}}
.figure{{text-align:right;white-space:nowrap}}
tbody th{{font-weight:500}}
figure{{margin:1rem 0;max-width:40rem}}
svg{{display:block;width:100%;height:auto}}
svg text{{font-size:11px;fill:var(--text)}}
.axis{{stroke:var(--line)}}
polyline{{fill:none;stroke-width:2}}
polyline.with{{stroke:var(--with)}}
polyline.without{{stroke:var(--without);stroke-dasharray:5 4}}
rect.avoided{{fill:var(--with)}}
rect.missed{{fill:var(--ground);stroke:var(--without);stroke-width:1.5}}
@media print{{body{{max-width:none;padding:0;font-size:10pt}}.wide{{overflow:visible}}
h2{{break-after:avoid}}figure,tr{{break-inside:avoid}}thead{{display:table-header-group}}
rect{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}}}
"""

_LINES = "Whole line: with governance. Broken line: without."
_BARS = "Filled: avoided loss. Outlined: missed gain."


def report_html(report: Report) -> str:
    """The report as one HTML file."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_safe(title(report))}</title>\n<style>{_STYLE}</style>\n</head>"
    )
    top = f'<header>\n<h1>{_safe(title(report))}</h1>\n<p class="window">{_safe(window(report))}</p>\n</header>'
    body = (line for number, one in enumerate(sections(report)) for line in _section(one, number))
    return "\n".join((head, "<body>", top, "<main>", *body, "</main>", "</body>", "</html>")) + "\n"


def _section(section: Section, number: int) -> Iterator[str]:
    yield f'<section aria-labelledby="s{number}">\n<h2 id="s{number}">{_safe(section.title)}</h2>'
    for place, text in enumerate(section.said):
        yield f'<p class="headline">{_safe(text)}</p>' if number == place == 0 else f"<p>{_safe(text)}</p>"
    if section.chart is not None:
        yield _figure(section.chart)
    for sheet in section.sheets:
        yield from _table(sheet)
    yield "</section>"


def _figure(chart: Curve | Bars) -> str:
    drawn, key = (curve_svg(chart), _LINES) if isinstance(chart, Curve) else (bars_svg(chart), _BARS)
    return f"<figure>\n{drawn}\n<figcaption>{key}</figcaption>\n</figure>"


def _table(sheet: Sheet) -> Iterator[str]:
    """A table that scrolls by itself where the page is narrow, by keyboard too."""
    yield f'<div class="wide" role="region" aria-label="{_safe(sheet.caption)}" tabindex="0">\n<table>'
    yield f"<caption>{_safe(sheet.caption)}</caption>"
    headings = "".join(_heading(text, place, sheet) for place, text in enumerate(sheet.headings))
    yield f"<thead><tr>{headings}</tr></thead>"
    yield "<tbody>"
    for row in sheet.rows:
        name, *cells = row
        told = "".join(f"<td{_kind(place, sheet)}>{_safe(text)}</td>" for place, text in enumerate(cells, start=1))
        yield f'<tr><th scope="row">{_safe(name)}</th>{told}</tr>'
    yield "</tbody>\n</table>\n</div>"


def _heading(text: str, place: int, sheet: Sheet) -> str:
    """The column's heading; the empty corner over the names of rows heads nothing."""
    return f'<th scope="col"{_kind(place, sheet)}>{_safe(text)}</th>' if text else "<td></td>"


def _kind(place: int, sheet: Sheet) -> str:
    return ' class="figure"' if place >= sheet.figures else ' class="long"' if sheet.figures > 3 else ""


def _safe(text: str) -> str:
    return escape(printable(text), quote=True)
