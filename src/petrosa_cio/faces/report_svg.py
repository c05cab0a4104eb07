"""Charts of a report as SVG, drawn by hand: no script, no font, nothing fetched. Colours are the page's own classes.

Numbers of a drawing are rounded to a tenth of a unit; what they stand for is in the tables beside it.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.headline import cents
from petrosa_cio.faces.report_sections import when
from petrosa_cio.faces.report_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from petrosa_cio.apps.auditor.profit import Curve
    from petrosa_cio.faces.report_sections import Bars

_WIDTH, _HEIGHT, _MARGIN = 400, 200, 14
_MOST_BARS = 12
_LABEL = 34
"""Characters of a row's name that there is room for."""


def curve_svg(curve: Curve) -> str:
    """Equity over time: a whole line with governance, a broken one without."""
    points = curve.points
    lowest = min(min(one.governed, one.ungoverned) for one in points)
    highest = max(max(one.governed, one.ungoverned) for one in points)
    low, high = float(lowest), float(highest)
    first, last = points[0], points[-1]

    def place(at: int, amount: Decimal) -> str:
        across = (at - first.at) / max(last.at - first.at, 1)
        up = (float(amount) - low) / (high - low) if high > low else 0.5
        return f"{across * _WIDTH:.1f},{_MARGIN + (1 - up) * (_HEIGHT - 2 * _MARGIN):.1f}"

    governed = " ".join(place(one.at, one.governed) for one in points)
    ungoverned = " ".join(place(one.at, one.ungoverned) for one in points)
    label = (
        f"Equity from {when(first.at)} to {when(last.at)}: with governance from {cents(first.governed)}"
        f" to {cents(last.governed)}, without to {cents(last.ungoverned)}"
    )
    return (
        f"{_opening(_HEIGHT, label)}\n"
        f'<line class="axis" x1="0" y1="{_HEIGHT - _MARGIN}" x2="{_WIDTH}" y2="{_HEIGHT - _MARGIN}"/>\n'
        f'<line class="axis" x1="0" y1="{_MARGIN}" x2="{_WIDTH}" y2="{_MARGIN}"/>\n'
        f'<polyline class="without" points="{ungoverned}"/>\n<polyline class="with" points="{governed}"/>\n'
        f'<text x="0" y="{_MARGIN - 4}">{cents(highest)}</text>\n'
        f'<text x="0" y="{_HEIGHT - 2}">{cents(lowest)}</text>\n</svg>'
    )


def bars_svg(bars: Bars) -> str:
    """Two bars a row: what was avoided, and what was missed. The longest rows where there are many."""
    rows = sorted(bars.rows, key=lambda row: (-max(row[1], row[2]), row[0]))[:_MOST_BARS]
    longest = max((float(max(avoided, missed)) for _, avoided, missed in rows), default=0.0) or 1.0
    height = 44 * len(rows)
    drawn = (text for place, row in enumerate(rows) for text in _row(row, 44 * place, longest))
    return "\n".join((_opening(height, bars.title), *drawn, "</svg>"))


def _row(row: tuple[str, Decimal, Decimal], top: int, longest: float) -> Iterator[str]:
    name, avoided, missed = row
    shown = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
    yield f'<text x="0" y="{top + 12}">{_safe(shown)}</text>'
    for kind, amount, y in (("avoided", avoided, top + 16), ("missed", missed, top + 28)):
        width = float(amount) / longest * (_WIDTH - 90)
        yield f'<rect class="{kind}" x="0" y="{y}" width="{width:.1f}" height="10"/>'
        yield f'<text class="amount" x="{width + 4:.1f}" y="{y + 9}">{cents(amount)}</text>'


def _opening(height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_safe(label)}">'


def _safe(text: str) -> str:
    return escape(printable(text), quote=True)
