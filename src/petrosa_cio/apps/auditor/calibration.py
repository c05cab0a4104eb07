"""How wrong is the counterfactual? The machine's results on promoted intents, against what their fills really earned.

An error is the modelled result less the true one: positive where the model flatters a trade, which makes blocking it
look worse than it was. Errors grow with size (slippage, fees), so the bias is taken as a fraction of notional, and
carried over to the notional of what was blocked. It is shown beside net savings and never put into them, so that
those stay checkable to the cent. (The idea of correcting a model by observed residuals is that of Dudík, Langford and
Li, Doubly Robust Policy Evaluation and Learning, 2011; a gate that decides by rule leaves no overlap for the rest.)
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.figures import EXACT, is_blocked, is_closed, total
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from petrosa_cio.apps.auditor.outcomes import Shadow

LEAST_PAIRS = 20
"""Promoted trades without which the model's error is called poorly known."""

_FINE = Context(prec=28)


class Standing(StrEnum):
    """What can be said of the model's error."""

    MEASURED = "measured"
    FEW = "few"
    """Measured on fewer than `LEAST_PAIRS` trades: poor."""
    UNAVAILABLE = "unavailable"
    """No true results are known, or the fills are simulated themselves: that is no perfect agreement."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A promoted trade: what the machine made of it, and what its fills earned, both after fees and funding."""

    decision_id: str
    symbol: str
    notional: Decimal
    """Of the entry, in quote currency, positive."""
    modelled: Decimal
    true: Decimal


@dataclass(frozen=True, slots=True)
class ModelError:
    """The distribution of the machine's error over some trades, in quote currency."""

    pairs: int
    total: Decimal
    """Modelled less true, all trades together; exact. Promoted results of the paper portfolio less this are true."""
    mean: Decimal
    median_absolute: Decimal
    largest: Decimal
    """The error that is farthest from zero, with its sign."""
    rate: Decimal
    """Total error as a fraction of total notional."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far net savings can be trusted."""

    standing: Standing
    error: ModelError | None
    by_symbol: Mapping[str, ModelError]
    bias: Decimal | None
    """By how much net savings are too high, in quote currency, if blocked trades are modelled as promoted ones are."""
    distinguishable: bool | None
    """False where ``bias`` is larger than net savings, both without sign: *not distinguishable from zero*."""


def calibration(
    pairs: Iterable[Pair], net_savings: Decimal, blocked_notional: Decimal, *, simulated: bool
) -> Calibration:
    """Compare models with fills. ``simulated`` says that the fills are: then nothing is known of the model's error.

    ``net_savings`` and ``blocked_notional`` are of the same closed positions (`notional`).

    :raises LedgerError: a pair without a positive notional, or with a figure that is not finite.
    """
    taken = tuple(pairs)
    for pair in taken:
        _refuse_unsound(pair)
    if simulated or not taken:
        return Calibration(Standing.UNAVAILABLE, None, {}, None, None)
    by_symbol: dict[str, list[Pair]] = {}
    for pair in taken:
        by_symbol.setdefault(pair.symbol, []).append(pair)
    error = _error(taken)
    bias = _FINE.multiply(error.rate, blocked_notional).copy_negate()
    return Calibration(
        standing=Standing.MEASURED if len(taken) >= LEAST_PAIRS else Standing.FEW,
        error=error,
        by_symbol={symbol: _error(by_symbol[symbol]) for symbol in sorted(by_symbol)},
        bias=bias,
        distinguishable=bias.copy_abs() <= net_savings.copy_abs(),
    )


def notional(shadows: Iterable[Shadow]) -> Decimal:
    """Notional at entry of the closed blocked positions that were filled, in quote currency; exact."""
    return total(
        EXACT.multiply(shadow.quantity, shadow.entry)
        for shadow in shadows
        if is_blocked(shadow) and is_closed(shadow) and shadow.entry is not None
    )


def _error(pairs: Sequence[Pair]) -> ModelError:
    errors = [EXACT.subtract(pair.modelled, pair.true) for pair in pairs]
    whole = total(errors)
    return ModelError(
        pairs=len(pairs),
        total=whole,
        mean=_FINE.divide(whole, len(pairs)),
        median_absolute=median(error.copy_abs() for error in errors),
        largest=max(errors, key=lambda error: (error.copy_abs(), error)),
        rate=_FINE.divide(whole, total(pair.notional for pair in pairs)),
    )


def _refuse_unsound(pair: Pair) -> None:
    if not all(amount.is_finite() for amount in (pair.notional, pair.modelled, pair.true)) or pair.notional <= 0:
        msg = f"calibration on decision {pair.decision_id}: its notional or a result is no usable number"
        raise LedgerError(msg)
