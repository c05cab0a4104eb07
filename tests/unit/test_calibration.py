"""The machine's error on what was promoted, carried over to what was blocked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from builders_shadows import shadow
from petrosa_cio.apps.auditor.calibration import Pair, Standing, calibration, notional
from petrosa_cio.apps.auditor.outcomes import Outcome, Tracked
from petrosa_cio.errors import LedgerError

D = Decimal
PAIRS = (
    Pair("a", "BTCUSDT", D(1000), D(10), D(8)),
    Pair("b", "BTCUSDT", D(1000), D(-5), D(-6)),
    Pair("c", "ETHUSDT", D(2000), D(3), D(10)),
)


def test_bias_and_median_error_are_stated() -> None:
    """Errors of 2, 1 and -7: total -4, median of the magnitudes 2, on a notional of 4,000 -0.1 %."""
    error = calibration(PAIRS, D(100), D(5000), simulated=False).error
    assert error is not None
    assert (error.pairs, error.total, error.median_absolute, error.largest) == (3, D(-4), D(2), D(-7))
    assert error.mean == D(-4) / 3
    assert error.rate == D("-0.001")


def test_a_model_that_flatters_trades_makes_savings_look_too_small() -> None:
    """The bias of net savings has the other sign, and the size of what was blocked: -0.1 % of 5,000 makes +5."""
    assert calibration(PAIRS, D(100), D(5000), simulated=False).bias == 5
    flattering = [replace(pair, modelled=pair.true + 1) for pair in PAIRS]
    assert calibration(flattering, D(100), D(4000), simulated=False).bias == -3


@pytest.mark.parametrize(
    ("net_savings", "told"), [("4.99", False), ("5", True), ("-5", True), ("-4.99", False), ("0", False)]
)
def test_savings_smaller_than_the_bias_are_not_told_from_zero(net_savings: str, told: bool) -> None:
    """Only a bias that is larger than net savings, whatever their signs, says so; equal is not larger."""
    assert calibration(PAIRS, D(net_savings), D(5000), simulated=False).distinguishable is told


def test_each_symbol_has_its_own_error() -> None:
    """By symbol, in order, adding up to the whole."""
    found = calibration(PAIRS, D(100), D(5000), simulated=False).by_symbol
    assert {symbol: error.total for symbol, error in found.items()} == {"BTCUSDT": D(3), "ETHUSDT": D(-7)}


def test_few_pairs_are_called_few() -> None:
    """Nineteen trades are poor evidence, twenty are taken as measured."""
    many = [Pair(str(n), "BTCUSDT", D(100), D(n), D(n + 1)) for n in range(20)]
    assert calibration(many[:19], D(1), D(1), simulated=False).standing is Standing.FEW
    assert calibration(many, D(1), D(1), simulated=False).standing is Standing.MEASURED


@pytest.mark.parametrize(("pairs", "simulated"), [(PAIRS, True), ((), False)], ids=["simulated fills", "no pairs"])
def test_without_true_fills_calibration_is_unavailable(pairs: tuple[Pair, ...], simulated: bool) -> None:
    """Simulated fills agree with a simulation: that is no evidence, and not an error of zero."""
    found = calibration(pairs, D(100), D(5000), simulated=simulated)
    assert found.standing is Standing.UNAVAILABLE
    assert (found.error, found.bias, found.distinguishable, found.by_symbol) == (None, None, None, {})


def test_notional_is_that_of_what_was_blocked_filled_and_is_over() -> None:
    """Quantity times entry; promoted, open and never filled positions have no part in it."""
    ledger = [
        shadow("a", quantity="2", entry="100.5"),
        shadow("b", quantity="0.5", entry="10", tracked=Tracked.REDUCED),
        shadow("c", tracked=Tracked.PROMOTED),
        shadow("d", outcome=Outcome.OPEN),
        shadow("e", outcome=Outcome.NOT_FILLED, entry=None),
    ]
    assert notional(ledger) == D(206)


@pytest.mark.parametrize("wrong", [{"notional": D(0)}, {"true": D("NaN")}, {"modelled": D("Infinity")}], ids=str)
def test_an_unusable_pair_is_refused(wrong: dict[str, Decimal]) -> None:
    """No notional, or what is no number, would spoil every figure: the error names the decision."""
    with pytest.raises(LedgerError, match="decision a"):
        calibration([replace(PAIRS[0], **wrong)], D(1), D(1), simulated=False)  # type: ignore[arg-type]
