"""Recorded trades: a line is believed whole or refused with file and line."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders_trades import EIGHT_MS, HOUR_MS, T0_MS, at, row, write_marked, write_trades
from petrosa_cio.apps.auditor.pnl import Leg
from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.bootstrap.auditing import audit_trades
from petrosa_cio.core.exchange.funding import read_funding
from petrosa_cio.core.exchange.trades import read_trades
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

D = Decimal


@pytest.mark.parametrize("name", ["trades.jsonl", "trades.jsonl.gz"])
def test_a_line_tells_a_trade(tmp_path: Path, name: str) -> None:
    """Pair, side, fills with fees, leverage, result: to the last digit, packed or not; empty lines do not count."""
    line = row(open_rate="100.10000000000000001", leverage=2.3, is_short=True, profit_ratio=0.25, exit_reason="roi")
    (told,) = read_trades(write_trades(tmp_path / name, ["", line, "  "]))
    assert (told.place, told.pair, told.result, told.relative) == (f"{name}:2", "LTC/USDT:USDT", D("19.559"), D("0.25"))
    assert (told.trade.symbol, told.trade.side, told.trade.leverage) == ("LTCUSDT", Side.SHORT, D("2.3"))
    price = D("100.10000000000000001")
    assert told.trade.entries == (Leg(at(1), D(2), price, D("0.20020000000000000002")),)
    assert told.trade.exits == (Leg(at(9.5), D(2), D(110), D("0.22")),)


def test_what_may_be_absent_has_its_usual_value(tmp_path: Path) -> None:
    """Without side, leverage, orders and ratio it is a long without leverage; null is absent."""
    rows = [row(), row(is_short=None, leverage=None, orders=None, profit_ratio=None)]
    for told in read_trades(write_trades(tmp_path / "trades.jsonl", rows)):
        assert (told.trade.side, told.trade.leverage, told.relative) == (Side.LONG, D(1), None)


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [("1000PEPE/USDT:USDT", "1000PEPEUSDT"), ("BTC/USDC:USDC", "BTCUSDC"), ("ETH/USDT", "ETHUSDT"), ("BTCUSDT",) * 2],
)
def test_a_pair_is_a_symbol(tmp_path: Path, pair: str, symbol: str) -> None:
    """However the engine writes it."""
    (told,) = read_trades(write_trades(tmp_path / "trades.jsonl", [row(pair=pair)]))
    assert (told.pair, told.trade.symbol) == (pair, symbol)


def test_dates_serve_where_there_are_no_timestamps(tmp_path: Path) -> None:
    """In ISO-8601; where both are there, the timestamp counts."""
    dates = {"open_date": "2023-01-01 01:00:00+00:00", "close_date": "2023-01-01T08:00:00Z"}
    rows = [row(**dates, open_timestamp=None, close_timestamp=None), row(**dates)]
    dated, stamped = read_trades(write_trades(tmp_path / "trades.jsonl", rows))
    assert (dated.trade.opened_at, dated.trade.closed_at) == (at(1), at(8))
    assert stamped.trade.closed_at == at(9.5)


def order(hours: float | None, amount: float, price: float, *, entry: bool) -> dict[str, object]:
    filled = None if hours is None else T0_MS + round(hours * HOUR_MS)
    return {"amount": amount, "safe_price": price, "ft_is_entry": entry, "order_filled_timestamp": filled}


def test_several_orders_are_several_fills(tmp_path: Path) -> None:
    """1 at 100 and 1 at 90 in, 2 at 110 out: gross 30. Fees of 0.1 %: 0.19 and 0.22; funding of 0.01 % at 105 on 2.

    An order that was never filled is none; the trade's own averages do not count then.
    """
    orders = [
        order(1, 1, 100, entry=True),
        order(None, 5, 80, entry=True),
        order(7, 1, 90, entry=True),
        order(9.5, 2, 110, entry=False),
    ]
    trades = write_trades(tmp_path / "trades.jsonl", [row(orders=orders, open_rate=95.5, profit_abs=29.569)])
    found = audit_trades(trades, write_marked(tmp_path / "funding.csv"))
    assert found.largest is not None
    assert (found.largest.ours.gross, found.largest.ours.fees) == (D(30), D("0.41"))
    assert (found.largest.ours.funding, found.largest.difference) == (D("-0.021"), D(0))


def test_one_order_in_and_one_out_are_the_trade_itself(tmp_path: Path) -> None:
    """Its own rates count, which are what was to be priced."""
    orders = [order(1, 2, 50, entry=True), order(9, 2, 60, entry=False)]
    (told,) = read_trades(write_trades(tmp_path / "trades.jsonl", [row(orders=orders)]))
    assert told.trade.entries[0].price == D(100)


def test_the_noise_of_floats_in_several_fills_is_none_of_the_trade(tmp_path: Path) -> None:
    """0.1 + 0.2 in and 0.30000000000000004 out are flat; 0.3001 out are not."""
    entries = [order(1, 0.1, 100, entry=True), order(2, 0.2, 100, entry=True)]
    noisy = [*entries, order(9, 0.1 + 0.2, 110, entry=False)]
    (told,) = read_trades(write_trades(tmp_path / "trades.jsonl", [row(orders=noisy)]))
    assert told.trade.exits[0].quantity == D("0.3")
    wrong = [*entries, order(9, 0.3001, 110, entry=False)]
    with pytest.raises(RecordingError, match=r"trades\.jsonl:1: .*end flat"):
        read_trades(write_trades(tmp_path / "trades.jsonl", [row(orders=wrong)]))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"amount": 1e99999999999999999999}', "is not JSON"),
        ("[]", "must be an object"),
        (row(pair=None), "pair"),
        (row(pair="ltc/usdt:usdt"), "pair"),
        (row(pair="BTC/USD:BTC"), "linear perpetual"),
        (row(pair="BTC/USDT:USDT-240628"), "linear perpetual"),
        (row(is_short="yes"), "is_short"),
        (row(is_short=1), "is_short"),
        (row(amount=0), "quantity and price above 0"),
        (row(amount=-2), "quantity and price above 0"),
        (row(amount=True), "amount"),
        (row(amount="two"), "amount"),
        (row(amount="1e999999999"), "no figure of a trade"),
        (row(amount="1e-999999999"), "no figure of a trade"),
        (row(close_rate=float("nan")), "close_rate"),
        (row(close_rate="Infinity"), "close_rate"),
        (row(close_rate=None), "close_rate"),
        (row(fee_open=None), "fee_open"),
        (row(fee_close=1), "fraction of notional"),
        (row(leverage=0), "leverage"),
        (row(profit_abs=None), "profit_abs"),
        (row(profit_abs=[]), "profit_abs"),
        (row(profit_ratio="much"), "profit_ratio"),
        (row(open_timestamp=T0_MS // 1000), "time in ms"),
        (row(open_timestamp=T0_MS * 1000), "time in ms"),
        (row(open_timestamp=T0_MS + 0.5), "time in ms"),
        (row(close_timestamp=None), "close_timestamp in ms or close_date"),
        (row(close_timestamp=None, close_date="today"), "close_date must be"),
        (row(close_timestamp=T0_MS), "more than was open"),
        (row(orders=3), "orders"),
        (row(orders=[3]), "orders"),
        (row(orders=[{"order_filled_timestamp": T0_MS}]), "ft_is_entry"),
        (row(orders=[order(1, 1, 9, entry=True), order(2, 1, 9, entry=True)]), "an entry and an exit"),
    ],
)
def test_a_line_that_is_no_closed_trade_is_refused(tmp_path: Path, line: dict[str, object] | str, said: str) -> None:
    """The refusal names file and line, and what is wrong."""
    path = write_trades(tmp_path / "trades.jsonl", [row(), line])
    with pytest.raises(RecordingError, match=rf"trades\.jsonl:2: .*{said}"):
        read_trades(path)


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    """Absent, empty, in no text, or packed and cut off: refused by name."""
    path, packed = tmp_path / "trades.jsonl", write_trades(tmp_path / "trades.jsonl.gz", [row()] * 500)
    whole = packed.read_bytes()
    for raw in (b"", b"\n\n", b"\xff\xfe"):
        path.write_bytes(raw)
        with pytest.raises(RecordingError, match=r"trades\.jsonl: "):
            read_trades(path)
    for raw in (b"no gzip", whole[:-20], whole[:30] + b"\xff" * 40 + whole[70:]):
        packed.write_bytes(raw)
        with pytest.raises(RecordingError, match=r"trades\.jsonl\.gz: "):
            read_trades(packed)
    with pytest.raises(RecordingError, match="absent"):
        read_trades(tmp_path / "absent.jsonl")


def test_funding_is_read_with_its_marks_where_they_are_wanted(tmp_path: Path) -> None:
    """An empty field is a mark that is not known; a replay, which values at the last close, reads none."""
    rows = [("LTCUSDT", T0_MS, "0.0001", "105.5"), ("LTCUSDT", T0_MS + EIGHT_MS, "0.0001", "")]
    path = write_marked(tmp_path / "funding.csv", rows)
    assert [one.mark for one in read_funding([path], marked=True)] == [D("105.5"), None]
    assert [one.mark for one in read_funding([path])] == [None, None]


@pytest.mark.parametrize("mark", ["0", "-1", "NaN", "Infinity", "much", "1e30"])
def test_a_mark_that_is_no_price_is_refused(tmp_path: Path, mark: str) -> None:
    """The refusal names file and line."""
    path = write_marked(tmp_path / "funding.csv", [("LTCUSDT", T0_MS, "0.0001", mark)])
    with pytest.raises(RecordingError, match=r"funding\.csv:2: needs a mark price"):
        read_funding([path], marked=True)


def test_funding_without_a_column_of_marks_is_refused_where_they_are_wanted(tmp_path: Path) -> None:
    """The missing column is named."""
    path = tmp_path / "funding.csv"
    path.write_text("symbol,funding_time,funding_rate\n")
    with pytest.raises(RecordingError, match=r"funding\.csv: lacks the columns mark_price_open"):
        read_funding([path], marked=True)


def test_a_rate_beyond_all_measure_and_a_broken_archive_are_refused(tmp_path: Path) -> None:
    """Neither overflows or ends in an error that names no file."""
    path = write_marked(tmp_path / "funding.csv", [("LTCUSDT", T0_MS, "1e999999999", "1")])
    with pytest.raises(RecordingError, match=r"funding\.csv:2: .*fraction"):
        read_funding([path])
    rows = [("LTCUSDT", T0_MS + place, "0.0001", "1") for place in range(500)]
    packed = write_marked(tmp_path / "funding.csv.gz", rows)
    packed.write_bytes(packed.read_bytes()[:30] + b"\xff" * 40)
    with pytest.raises(RecordingError, match=r"funding\.csv\.gz: cannot be read"):
        read_funding([packed])
