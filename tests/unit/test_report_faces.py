"""Every face of a report says the same figures, escapes what came from the wire, and stands by itself."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from builders_report import FRIDAY, ODD, hand_ledger, hand_report, read
from builders_shadows import DAY, MONDAY
from petrosa_cio.apps.auditor.headline import headline
from petrosa_cio.apps.auditor.report import report_of
from petrosa_cio.apps.auditor.report_content import report_content
from petrosa_cio.faces.report_html import DARK, LIGHT, report_html
from petrosa_cio.faces.report_sections import sections
from petrosa_cio.faces.report_terminal import ReportScreen
from petrosa_cio.faces.report_text import report_json, report_markdown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.auditor.report import Report

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs" / "report.schema.json").read_text(encoding="utf-8"))
EMPTY = report_of(read([]), [], MONDAY, MONDAY + DAY)
NO_ACCOUNT = report_of(read(one for one in hand_ledger() if one["kind"] == "decision"), [], MONDAY, FRIDAY)

SHOWN = (
    ("Net profit", "10.75"),
    ("Net savings", "3.00"),
    ("Earnings", "13.75"),
    ("REGIME_BLOCKED", "3", "14.50", "4.50", "10.00"),
    ("VOLATILITY", "1", "0.00", "7.00", "-7.00"),
    ("fade", "2", "0.00", "11.50", "-11.50"),
    ("ETHUSDT", "2", "0.00", "11.50", "-11.50"),
    ("choppy", "2", "0.00", "11.50", "-11.50"),
    ("shared", "1", "0.00", "4.50", "-4.50"),
    ("Total", "4", "14.50", "11.50", "3.00"),
    ("End", "2024-10-08 02:00:00 UTC", "1,013.75", "1,010.75"),
    ("Largest fall", "", "0.00", "-11.00"),
    ("VOLATILITY", "3", "-11.50", "1", "-7.00", "too few", "yes"),
    ("momo", "3", "2", "66.67 %", "2", "REGIME_BLOCKED (2)", "no"),
    ("Outcome: unavailable", "1", "20.00 %"),
)
"""Rows of the hand-made report, as every face has them."""


class Page(HTMLParser):
    """What a browser would make of a page: elements, their attributes, and the text of table rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._in and self._in[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def markdown_rows(text: str) -> list[list[str]]:
    """Cells of every table row, unescaped as a reader of Markdown does it."""
    found = []
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.append([re.sub(r"\\([\\`*_\[\]|~])", r"\1", cell.strip()) for cell in cells])
    return found


def terminal(report: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    ReportScreen().report(report)
    return capsys.readouterr().out


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: row[0])
def test_every_face_has_the_figures_worked_out_on_paper(
    row: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of the hand-made report stands in HTML, in Markdown and on the terminal, with the same figures."""
    report = hand_report()
    assert list(row) in Page(report_html(report)).rows
    assert list(row) in markdown_rows(report_markdown(report))
    shown = [re.split(r"\s{2,}", line.strip()) for line in terminal(report, capsys, monkeypatch).splitlines()]
    assert [cell for cell in row if cell] in shown


def test_json_is_exact() -> None:
    """Money is text, and the sums are those of the table."""
    content = json.loads(report_json(hand_report()))
    assert (content["earnings"], content["net_savings"], content["net_profit"]["funding"]) == ("13.75", "3.0", "-0.25")
    paper = content["savings"]["paper"]
    assert (paper["all"], paper["promoted"], paper["blocked"]) == ("8.0", "11", "-3.0")
    assert content["savings"]["by_reason"]["VOLATILITY"]["net_savings"] == "-7"
    assert content["equity"]["points"][-1] == {
        "at": "2024-10-08T02:00:00.000000+00:00", "governed": "1013.75", "ungoverned": "1010.75",
    }  # fmt: skip
    assert (content["calibration"]["standing"], content["gate"]["latency_us"]["p50"]) == ("unavailable", 200)


@pytest.mark.parametrize(
    "report", [hand_report(), hand_report(ODD), EMPTY, NO_ACCOUNT], ids=["hand", "odd", "empty", "bare"]
)
def test_json_is_what_its_schema_says(report: Report) -> None:
    """Reports of every kind are valid, and all keys are required, so that a key which is gone shows."""
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(json.loads(report_json(report)))
    content = report_content(report)
    for name in content:
        assert not Draft202012Validator(SCHEMA).is_valid({key: one for key, one in content.items() if key != name})


def test_the_first_line_of_every_face_is_the_headline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what was earned, what governance saved, how sure that is, and that calibration is unavailable."""
    report, line = hand_report(), headline(hand_report())
    assert "Calibration unavailable" in line
    assert sections(report)[0].said[0] == line
    assert json.loads(report_json(report))["headline"] == line
    assert report_markdown(report).splitlines()[6] == line
    assert next(text for text in Page(report_html(report)).texts if "13.75:" in text) == line
    assert line in " ".join(terminal(report, capsys, monkeypatch).split())


def test_the_same_report_gives_the_same_bytes() -> None:
    """Made twice from the same records and positions, each face is the same."""
    for face in (report_json, report_markdown, report_html):
        assert face(hand_report()) == face(hand_report())


def test_html_escapes_what_came_from_the_wire() -> None:
    """A strategy, a person and a reason that are HTML make no element, and are read as they were sent."""
    page = Page(report_html(hand_report(ODD)))
    assert not {"script", "i", "b"} & {name for name, _ in page.elements}
    texts = "\n".join(page.texts)
    assert '<script>alert("1")</script>|[red]_x_&\ufffd' in texts
    assert "too many <i>trades</i>" in texts
    assert len(page.named("tr")) == len(Page(report_html(hand_report())).named("tr"))


def test_markdown_escapes_what_came_from_the_wire() -> None:
    """No cell is split or added, no HTML and no mark-up is left."""
    text = report_markdown(hand_report(ODD))
    assert "<" not in text
    assert [
        row for row in markdown_rows(text) if row[0] == '&lt;script&gt;alert("1")&lt;/script&gt;|[red]_x_&amp;\ufffd'
    ]
    tables = [len(row) for row in markdown_rows(text)]
    assert tables == [len(row) for row in markdown_rows(report_markdown(hand_report()))]


def test_the_terminal_is_not_painted_by_what_came_from_the_wire(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mark-up of the terminal is text, and what moves or reverses is replaced."""
    shown = terminal(hand_report(ODD), capsys, monkeypatch)
    assert '<script>alert("1")</script>|[red]_x_&\ufffd' in shown
    assert "lunch | [red]" in shown
    assert "\u202e" not in shown


def test_html_stands_by_itself() -> None:
    """No script, nothing fetched: no element or style names an address."""
    text = report_html(hand_report(ODD))
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & {name for name, _ in page.elements}
    assert not [
        one
        for _, attributes in page.elements
        for one in attributes
        if one in ("src", "href", "style") or one.startswith("on")
    ]
    assert not re.search(r"url\(|@import|https?:", text)


def test_tables_tell_what_their_cells_are() -> None:
    """Each has a caption and column headings, each row a heading, and each can be scrolled to by keyboard."""
    page = Page(report_html(hand_report()))
    tables = len(page.named("table"))
    assert tables == len(page.named("caption")) == len(page.named("thead"))
    assert {heading.get("scope") for heading in page.named("th")} == {"col", "row"}
    assert len([one for one in page.named("div") if one.get("tabindex") == "0" and one.get("aria-label")]) == tables
    bodies = [row for row in page.rows if row]
    assert len([one for one in page.named("th") if one["scope"] == "row"]) == len(bodies) - tables
    headings = [name for name, _ in page.elements if re.fullmatch(r"h\d", name)]
    assert headings == ["h1", *["h2"] * len(sections(hand_report()))]


def test_charts_are_named_and_drawn_within_their_frame() -> None:
    """Two pictures with a name each; the curve has a point for each of the report's, inside the frame."""
    page = Page(report_html(hand_report()))
    assert all(one["aria-label"] for one in page.named("svg"))
    assert len(page.named("svg")) == 2
    for line in page.named("polyline"):
        places = [tuple(map(float, pair.split(","))) for pair in str(line["points"]).split()]
        assert len(places) == 6
        assert all(0 <= x <= 400 and 0 <= y <= 200 for x, y in places)
    # Of 14.50, 4.50, 0 and 7 the longest is drawn 310 wide.
    assert [one["width"] for one in page.named("rect")] == ["310.0", "96.2", "0.0", "149.7"]


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_is_sufficient(colours: Mapping[str, str]) -> None:
    """Text 4.5 to 1 and drawings 3 to 1 against the ground, in light and in dark."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert min(contrast(colours[name], colours["ground"]) for name in ("text", "quiet")) >= 4.5
    assert min(contrast(colours[name], colours["ground"]) for name in ("with", "without")) >= 3


def test_both_themes_name_the_same_colours() -> None:
    """No colour of the light theme is left over in the dark one, and the style follows the reader's choice."""
    assert LIGHT.keys() == DARK.keys()
    assert "prefers-color-scheme:dark" in report_html(EMPTY)


@pytest.mark.parametrize("report", [EMPTY, NO_ACCOUNT], ids=["empty", "bare"])
def test_reports_of_little_have_every_face(
    report: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is known every face says so."""
    for text in (report_html(report), report_markdown(report), terminal(report, capsys, monkeypatch)):
        assert "Net profit unknown (no account is reported)" in " ".join(text.split())
        assert "Nothing is known of the account in this window." in text
