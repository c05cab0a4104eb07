"""`petrosa-cio probe --recorded`: what strangers recorded of the exchange over five years, and broken bodies."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from harness import SHARED, run_cli

from builders_exchange import ANSWERS, exchange_info, fields

if TYPE_CHECKING:
    from pathlib import Path

RECORDED = SHARED / "data" / "binance"
needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="needs ../shared/data/binance")

# By the endpoint that each was recorded from, as ../shared/data/SOURCES.md says; None is one that we do not model.
SINGLE = {
    "um_exchangeInfo_2026-07-03.json.gz": "/fapi/v1/exchangeInfo",
    "cryptofeed_um_exchangeInfo_2021-07-21.txt.gz": "/fapi/v1/exchangeInfo",
    "nautilus/py_http_futures_market_exchange_info.json": "/fapi/v1/exchangeInfo",
    "um_premiumIndex_2026-07-03.json.gz": "/fapi/v1/premiumIndex",
    "nautilus/py_http_futures_market_premium_index.json": "/fapi/v1/premiumIndex",
    "um_bookTicker_all_2026-07-15.json.gz": "/fapi/v1/ticker/bookTicker",
    "nautilus/py_http_futures_market_book_ticker.json": "/fapi/v1/ticker/bookTicker",
    "um_fundingRate_BTCUSDT_2026-07-13.json": "/fapi/v1/fundingRate",
    "nautilus/py_http_futures_market_funding_rate.json": "/fapi/v1/fundingRate",
    "nautilus/py_http_futures_market_klines.json": "/fapi/v1/klines",
    "nautilus/py_http_futures_market_ticker_24hr.json": "/fapi/v1/ticker/24hr",
    "nautilus/py_http_futures_market_ticker_price.json": "/fapi/v1/ticker/price",
    "nautilus/rs_account_info_v2.json": "/fapi/v2/account",
    "nautilus/rs_position_risk.json": "/fapi/v2/positionRisk",
    "nautilus/py_http_futures_account_positions_one_way.json": "/fapi/v2/positionRisk",
    "nautilus/py_http_futures_account_orders.json": "/fapi/v1/openOrders",
    "um_fundingInfo_2026-07-04.json.gz": None,
    "um_leverage_brackets_2026.json.gz": None,
    "spot_ticker_price_all_2026-07-05.json.gz": None,
    "nautilus/rs_balance.json": None,
    "nautilus/rs_open_algo_orders.json": None,
    "nautilus/py_http_futures_market_open_interest.json": None,
    "nautilus/py_ws_futures_book_ticker.json": None,
    "nautilus/rs_mark_price_stream.json": None,
}
OF_TODAY = [
    "um_exchangeInfo_2026-07-03.json.gz",
    "um_premiumIndex_2026-07-03.json.gz",
    "um_bookTicker_all_2026-07-15.json.gz",
    "um_fundingRate_BTCUSDT_2026-07-13.json",
]

Entry = dict[str, object]


def probed(directory: Path, *arguments: str) -> tuple[int, dict[str, Entry]]:
    """The exit code, and the entry of each file; standard output is one JSON object and nothing else."""
    nowhere = directory.parent / "no configuration"
    done = run_cli("probe", "--recorded", str(directory), "--json", "--data-dir", str(nowhere), *arguments)
    assert done.err == ""
    found = json.loads(done.out)
    assert list(found) == ["files"]
    entries: dict[str, Entry] = {entry["file"]: entry for entry in found["files"]}
    assert len(entries) == len(found["files"])
    for entry in entries.values():
        assert {"file", "endpoint", "drift", "error_class", "unknown"} <= entry.keys()
        assert isinstance(entry["unknown"], bool)
    return done.code, entries


@pytest.fixture(scope="module")
def recorded() -> dict[str, Entry]:
    code, entries = probed(RECORDED)
    assert code == 3
    return entries


@needs_recordings
def test_every_file_is_told_once(recorded: dict[str, Entry]) -> None:
    """Whatever it holds, however many answers: as many entries as files."""
    assert set(recorded) == {path.relative_to(RECORDED).as_posix() for path in RECORDED.rglob("*") if path.is_file()}


@needs_recordings
@pytest.mark.parametrize("name", SINGLE)
def test_a_recorded_answer_is_of_its_endpoint(recorded: dict[str, Entry], name: str) -> None:
    """Recordings of 2020 to 2026 are recognised; what we have no model of is unknown, and no error."""
    assert recorded[name]["endpoint"] == SINGLE[name]
    assert recorded[name]["unknown"] is (SINGLE[name] is None)
    assert recorded[name]["error_class"] is None


@needs_recordings
@pytest.mark.parametrize("name", OF_TODAY)
def test_the_models_are_of_today(recorded: dict[str, Entry], name: str) -> None:
    """What was recorded in July 2026 of the whole market has no drift at all."""
    assert recorded[name]["drift"] == []


@needs_recordings
def test_what_changed_between_2021_and_2026_is_named(recorded: dict[str, Entry]) -> None:
    """Against today's model the exchangeInfo of 2021 lacks what came since, and has what went since."""
    drift = recorded["cryptofeed_um_exchangeInfo_2021-07-21.txt.gz"]["drift"]
    assert isinstance(drift, list)
    assert {(item["kind"], item["field"], item["found"], item["count"]) for item in drift} == {
        ("field_gone", "symbols[].permissionSets", "nothing", 122),
        ("field_gone", "symbols[].maxMoveOrderLimit", "nothing", 122),
        ("field_new", "symbols[].settlePlan", "integer", 122),
        ("filter_new", "symbols[].filters[MAX_NUM_ALGO_ORDERS]", "MAX_NUM_ALGO_ORDERS", 122),
        ("filter_gone", "symbols[].filters[POSITION_RISK_CONTROL]", "nothing", 1),
        ("enum_value_gone", "symbols[].timeInForce[]", "nothing", 122),
        ("enum_value_new", "symbols[].contractType", "", 1),
    }


@needs_recordings
def test_recorded_traffic_is_counted_by_endpoint(recorded: dict[str, Entry]) -> None:
    """Two years of a client's recorded traffic: the USD-M answers in it are found among those of spot."""
    counts = recorded["gct_recorded_rest.jsonl.gz"]["counts"]
    assert isinstance(counts, dict)
    assert counts["answers"] == 86
    expected = {
        "/fapi/v1/exchangeInfo": 1, "/fapi/v1/fundingRate": 5, "/fapi/v1/premiumIndex": 1, "/fapi/v1/ticker/24hr": 1,
        "/fapi/v1/ticker/bookTicker": 1, "/fapi/v1/ticker/price": 1, "/fapi/v1/time": 1,
    }  # fmt: skip
    assert {path: count for path, count in counts["endpoints"].items() if path != "/fapi/v1/klines"} == expected
    assert counts["errors"]["bad_symbol"] == 1


@needs_recordings
def test_recorded_errors_are_classified(recorded: dict[str, Entry]) -> None:
    """Every error body there has its class: by code, by status, by what a page says."""
    bodies = recorded["recorded_error_bodies_2026-07.jsonl"]
    assert bodies["counts"] == {
        "answers": 16, "endpoints": {}, "errors": {"credentials": 13, "bad_request": 3}, "unknown": 0,
    }  # fmt: skip
    counts = recorded["responses_seen_in_the_wild.jsonl"]["counts"]
    assert isinstance(counts, dict)
    assert counts["errors"] == {
        "refused": 7, "banned": 2, "overloaded": 2, "bad_request": 1, "blocked": 1, "clock": 1, "credentials": 1,
        "exchange_fault": 1,
    }  # fmt: skip


@needs_recordings
def test_broken_json_of_every_sort_has_a_result() -> None:
    """A suite of 227 texts that parsers stumble over, packed: one entry, no exception."""
    code, entries = probed(SHARED / "data" / "bad_inputs")
    assert code == 0
    counts = entries["json_parsing_suite.zip"]["counts"]
    assert isinstance(counts, dict)
    assert counts["answers"] >= 227


def test_names_do_not_matter(tmp_path: Path) -> None:
    """The same answers under names that say something else, or nothing, are recognised by what they are."""
    for number, body in enumerate(ANSWERS.values()):
        (tmp_path / f"time-{number}.html").write_text(json.dumps(body))
    code, entries = probed(tmp_path)
    assert code == 0
    assert sorted(str(entry["endpoint"]) for entry in entries.values()) == sorted(ANSWERS)


def test_nested_directories_and_packed_files(tmp_path: Path) -> None:
    """Files at any depth, packed or not; drift in one of them is exit code 3."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "x.gz").write_bytes(gzip.compress(json.dumps(fields("/fapi/v1/time")).encode()))
    (tmp_path / "page").write_bytes(b"<html><title>451</title></html>")
    code, entries = probed(tmp_path)
    assert code == 0
    assert {name: (entry["endpoint"], entry["error_class"]) for name, entry in entries.items()} == {
        "a/b/x.gz": ("/fapi/v1/time", None), "page": (None, "restricted_location"),
    }  # fmt: skip
    (tmp_path / "y").write_text(json.dumps({"serverTime": "soon"}))
    assert probed(tmp_path)[0] == 3


def test_stored_filters_are_held_against_a_policy(tmp_path: Path) -> None:
    """`--policy` works on stored answers as on live ones."""
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "info").write_text(json.dumps(exchange_info()))
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"scopes": {"global": {"override_min_notional": 5}}}))
    code, entries = probed(tmp_path / "stored", "--policy", str(policy))
    (drift,) = entries["info"]["drift"]  # type: ignore[misc]
    assert (code, drift["kind"], drift["example"]) == (3, "filter_changed", "BTCUSDT")


def test_the_table_shows_what_the_json_says(tmp_path: Path) -> None:
    """Without `--json`: each file with what it holds, then each difference with its count."""
    (tmp_path / "many").write_text("\n".join([json.dumps(fields("/fapi/v1/ticker/price") | {"brandNew": 1})] * 3))
    (tmp_path / "error\x1b[31m").write_text('{"code":-1121,"msg":"Invalid symbol."}')
    done = run_cli("probe", "--recorded", str(tmp_path))
    assert done.code == 3
    for word in ("v1/ticker/price", "bad_symbol", "field_new", "brandNew", "BTCUSDT"):
        assert word in done.out
    assert "\x1b" not in done.out


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Exit 2 with its name; a single file is as good as a directory."""
    done = run_cli("probe", "--recorded", str(tmp_path / "nowhere"))
    assert done.code == 2
    assert "nowhere" in done.err
    (tmp_path / "one").write_text(json.dumps(fields("/fapi/v1/time")))
    assert probed(tmp_path / "one")[1]["one"]["endpoint"] == "/fapi/v1/time"
