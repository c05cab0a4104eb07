"""The rules of symbols out of a stored ``exchangeInfo`` answer."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from petrosa_cio.apps.nurse.facts import Bracket
from petrosa_cio.core.exchange.rules import read_rules, unlisted
from petrosa_cio.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "contractType": "PERPETUAL",
    "maintMarginPercent": "2.5000",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.002", "maxQty": "1000"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "120"},
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
    ],
}


def test_a_stored_answer_gives_the_filters_of_each_symbol(tmp_path: Path) -> None:
    """Step, tick, minimum and the largest market order are read, from a plain file and from a compressed one."""
    plain, packed = tmp_path / "info.json", tmp_path / "info.json.gz"
    text = json.dumps({"symbols": [CONTRACT]}).encode()
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    for path in (plain, packed):
        (rules,) = read_rules(path).values()
        assert (rules.symbol, rules.status, rules.contract_type) == ("BTCUSDT", "TRADING", "PERPETUAL")
        assert (rules.step_size, rules.tick_size) == (Decimal("0.001"), Decimal("0.10"))
        assert (rules.min_notional, rules.min_quantity, rules.max_quantity) == (
            Decimal(50),
            Decimal("0.002"),
            Decimal(120),
        )
        assert rules.brackets == (Bracket(Decimal("1e12"), Decimal("0.025"), Decimal(0)),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"symbols": []}',
        b'{"symbols": [1, null, {}]}',
        b"\xff",
        b"[" * 100_000,
        b'{"symbols": 3}',
    ],
)
def test_what_is_no_answer_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    """A file that lists no symbol is refused, and named."""
    path = tmp_path / "info.json"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"info\.json"):
        read_rules(path)


def test_a_broken_archive_is_a_clear_error(tmp_path: Path) -> None:
    """So are a file that is not there, one that is not compressed though it says so, and one that is cut off."""
    for name, content in (
        ("no.json.gz", None),
        ("plain.json.gz", b"{}"),
        ("cut.json.gz", gzip.compress(b"{}" * 999)[:20]),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(RecordingError, match=name):
            read_rules(tmp_path / name)


def test_an_unlisted_symbol_does_not_trade() -> None:
    """A symbol that the exchange does not list has a status of its own, which is not TRADING."""
    assert unlisted("XUSDT", 5).status == "UNKNOWN"
