"""Configured overrides against the exchange's own filters."""

from __future__ import annotations

from decimal import Decimal

import pytest

from builders_exchange import CONTRACT, FILTERS, exchange_info
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.core.exchange.drift import Kind
from petrosa_cio.core.exchange.overrides import OVERRIDES, Override, filters_changed, overrides_in


def found(scopes: dict[str, dict[str, object]], **contract: object) -> list[tuple[str, str, str]]:
    drifts = list(filters_changed(exchange_info(**contract), overrides_in(scopes)))
    assert {drift.kind for drift in drifts} <= {Kind.FILTER_CHANGED}
    return [(drift.where, drift.expected, drift.found) for drift in drifts]


def test_every_override_that_there_is_is_looked_at() -> None:
    """The parameters of that name are the ones compared."""
    assert set(OVERRIDES) == {name for name in PARAMETERS if name.startswith("override_")}


@pytest.mark.parametrize(
    ("name", "value", "where", "own"),
    [
        ("override_min_notional", 5.0, "symbols[].filters[MIN_NOTIONAL].notional", "50"),
        ("override_min_notional", 100.0, "symbols[].filters[MIN_NOTIONAL].notional", "50"),
        ("override_min_qty", 0.002, "symbols[].filters[LOT_SIZE].minQty", "0.001"),
        ("override_step_size", 0.01, "symbols[].filters[LOT_SIZE].stepSize", "0.001"),
    ],
)
def test_an_override_of_a_symbol_must_equal_its_filter(name: str, value: float, where: str, own: str) -> None:
    """Higher or lower: an override for the symbol that is not the exchange's value is named with both."""
    expected = f"{Decimal(str(value)):f} ({name} of symbol:BTCUSDT)"
    assert found({"symbol:BTCUSDT": {name: value}}) == [(where, expected, own)]


def test_an_override_that_is_the_exchanges_own_value_is_no_drift() -> None:
    """Equal as numbers, however they are written."""
    equal: dict[str, object] = {"override_min_notional": 50.0, "override_min_qty": 0.001, "override_step_size": 0.001}
    assert found({"symbol:BTCUSDT:LONG": equal}) == []


@pytest.mark.parametrize(
    ("name", "value", "drifts"),
    [
        ("override_min_notional", 49.9, True),
        ("override_min_notional", 50, False),
        ("override_min_notional", 51, False),
        ("override_step_size", 0.0005, True),
        ("override_step_size", 0.002, False),
        ("override_min_qty", 0.0009, True),
    ],
)
def test_an_override_for_all_is_drift_where_orders_would_be_refused(name: str, value: float, drifts: bool) -> None:
    """A global minimum may lie above the exchange's, and a global step may be coarser, but never the other way."""
    assert bool(found({"global": {name: value}})) is drifts


def test_a_narrower_scope_takes_its_symbol_out_of_the_global_one() -> None:
    """What a symbol's own scope sets, null included, holds for it instead."""
    assert found({"global": {"override_min_qty": 0.0001}, "symbol:BTCUSDT": {"override_min_qty": None}}) == []
    assert len(found({"global": {"override_min_qty": 0.0001}, "symbol:ETHUSDT": {"override_min_qty": 1}})) == 1


def test_only_symbols_that_trade_are_compared() -> None:
    """The filters of a symbol that is settled or not yet listed are nobody's concern."""
    assert found({"global": {"override_min_notional": 5}}, status="SETTLING") == []


def test_nothing_that_an_answer_may_hold_stops_the_comparison() -> None:
    """Filters that are missing or no numbers are drift of another kind, not of this one."""
    broken = [FILTERS[0], {"filterType": "MIN_NOTIONAL", "notional": "much"}, "text"]
    assert found({"global": {"override_min_notional": 5}}, filters=broken) == []
    assert found({"global": {"override_min_notional": 5}}, filters=None) == []
    wanted = (Override("override_min_notional", "global", None, Decimal(5)),)
    for answer in (None, [], {"symbols": None}, {"symbols": [None, CONTRACT | {"filters": 5}]}):
        assert list(filters_changed(answer, wanted)) == []
