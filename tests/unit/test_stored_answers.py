"""Answers in the wrappings that people store them in."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from builders_exchange import ANSWERS, fields
from petrosa_cio.core.exchange.answers import findings
from petrosa_cio.core.exchange.stored import examine_bytes, examine_file, files_in

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/fapi/v1/ticker/price"
PRICE = ANSWERS[PATH]
TEXT = json.dumps(PRICE)


def zipped(**members: bytes) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return box.getvalue()


WRAPPED = {
    "plain": TEXT,
    "indented": json.dumps(PRICE, indent=2),
    "marked": "\ufeff" + TEXT,
    "with what was asked": json.dumps({"method": "GET", "path": "/x", "query": "", "body": PRICE}),
    "request and response": json.dumps({"request": {"url": "x"}, "response": {"status": 200, "body": PRICE}}),
    "body as text": json.dumps({"status": 200, "headers": {"x": "y"}, "body": TEXT}),
    "raw": json.dumps({"code": None, "msg": None, "http_status": 200, "raw": TEXT}),
    "a recorder's own names": json.dumps({"url": "x", "status": 200, "json": PRICE}),
    "of a websocket": json.dumps({"id": "1", "status": 200, "result": PRICE, "rateLimits": []}),
    "archive of a browser": json.dumps(
        {"log": {"entries": [{"response": {"status": 200, "content": {"text": TEXT}}}]}}
    ),
    "after an address": f"https://fapi.binance.com{PATH} -> 1626992740.17: {TEXT}",
    "after lines": f"GET\n{PATH}\nfalse\n{json.dumps(PRICE, indent=2)}",
    "after headers": f"HTTP/1.0 200 Connection established\r\n\r\nHTTP/2 200\r\nserver: nginx\r\n\r\n{TEXT}",
    "twice encoded": json.dumps(TEXT),
    "as text under a recorder's own name": json.dumps({"url": "x", "status": 200, "json_text": TEXT}),
    "in a list of lists": json.dumps([[{"body": PRICE}]]),
}


@pytest.mark.parametrize("text", WRAPPED.values(), ids=WRAPPED)
def test_an_answer_is_found_in_its_wrapping(text: str) -> None:
    """However an answer was stored, it is one answer of its endpoint, without drift."""
    assert [(found.endpoint, found.drift) for found in findings(text.encode())] == [(PATH, ())]


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(TEXT.encode()), zipped(a=TEXT.encode()), gzip.compress(zipped(a=gzip.compress(TEXT.encode())))],
    ids=["gzip", "zip", "gzip of zip of gzip"],
)
def test_packing_is_told_by_content(packed: bytes) -> None:
    """Packed files are unpacked by what they are, whatever they are called."""
    assert examine_bytes(packed, "no ending").endpoints == {PATH: 1}


def test_a_file_of_many_answers_is_told_once_with_counts() -> None:
    """Lines of several endpoints, an error, an unknown one and a cut one: one entry that counts each."""
    lines = [
        TEXT,
        TEXT,
        json.dumps({"body": {"serverTime": 1_784_000_000_000}}),
        '{"code":-1121,"msg":"Invalid symbol."}',
    ]
    file = examine_bytes("\n".join([*lines, '{"hello":1}', TEXT[:20]]).encode(), "many.jsonl").content()
    assert file["counts"] == {
        "answers": 6,
        "endpoints": {PATH: 2, "/fapi/v1/time": 1},
        "errors": {"bad_symbol": 1, "truncated": 1},
        "unknown": 1,
    }
    assert (file["file"], file["endpoint"], file["error_class"], file["unknown"], file["drift"]) == (
        "many.jsonl", PATH, "bad_symbol", False, [],
    )  # fmt: skip


def test_drift_of_many_answers_is_gathered() -> None:
    """The same difference in every line is one difference with the number of lines."""
    line = json.dumps(fields(PATH) | {"brandNew": 1})
    (drift,) = examine_bytes(f"{line}\n{line}\n{line}\n".encode(), "x").drift
    assert (drift.where, drift.count, drift.example) == ("brandNew", 3, "BTCUSDT")


def test_every_record_of_a_list_is_found() -> None:
    """A list of records is as many answers; a dictionary of answers too."""
    records = [{"response": {"body": PRICE}}, {"response": {"body": ANSWERS["/fapi/v1/time"]}}]
    assert [found.endpoint for found in findings(json.dumps(records).encode())] == [PATH, "/fapi/v1/time"]
    named = {"price": PRICE, "server": ANSWERS["/fapi/v1/time"], "note": {"by": "me"}}
    assert [found.endpoint for found in findings(json.dumps(named).encode())] == [PATH, "/fapi/v1/time"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"url": "x", "status": 400, "json": {"code": -1121, "msg": "Invalid symbol."}}, "bad_symbol"),
        ({"request": {"method": "GET"}, "response": {"status_code": 451, "text": "<html>"}}, "restricted_location"),
        ({"response": {"status": 403, "headers": {}, "data": {"seen": True}}}, "blocked"),
        ({"url": "x", "status": 429, "page": "<html>"}, "rate_limited"),
        ({"response": {"status": 502, "body": ""}}, "overloaded"),
        ({"response": {"status": 200, "body": ""}}, "empty"),
        ({"response": {"status": 200, "body": TEXT[:15]}}, "truncated"),
        ({"response": {"status": 200, "body": None}}, "bare_value"),
    ],
)
def test_an_error_is_found_in_its_wrapping(record: dict[str, object], expected: str) -> None:
    """An error inside a record has the class it has outside; the status beside it helps where the body says nothing."""
    (found,) = findings(json.dumps(record).encode())
    assert (found.endpoint, found.error_class) == (None, expected)


def test_every_endpoint_is_found_in_a_record() -> None:
    """Recognition inside a record is the same as outside of it."""
    lines = "\n".join(json.dumps({"body": body}) for body in ANSWERS.values())
    assert examine_bytes(lines.encode(), "x").endpoints == dict.fromkeys(sorted(ANSWERS), 1)


def test_files_are_found_under_a_directory_and_none_is_opened_that_would_wait(tmp_path: Path) -> None:
    """Every file at any depth, by name; a pipe, a dangling link and a file that is not ours to read are results."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.json").write_text(TEXT)
    (tmp_path / "a.json").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    found = {path.name: examine_file(path, path.name) for path in files_in(tmp_path)}
    assert list(found) == ["a.json", "link", "pipe", "x.json"]
    assert found["x.json"].endpoints == {PATH: 1}
    assert {name: file.error_classes for name, file in found.items() if name != "x.json"} == {
        "a.json": {"empty": 1}, "link": {"unreadable_file": 1}, "pipe": {"unreadable_file": 1},
    }  # fmt: skip
