"""The first line of a report: what was earned, what governance saved or cost of it, and how far that can be trusted."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.calibration import Standing

if TYPE_CHECKING:
    from petrosa_cio.apps.auditor.report import Report

_CENT = Decimal("0.01")
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)


def cents(amount: Decimal) -> str:
    """``amount`` to the cent, half to even, thousands apart: for people; what is checked is exact.

    An amount below half a cent that is not nothing is ``0.00`` without a sign.
    """
    rounded = _WIDE.quantize(amount, _CENT)
    return f"{rounded if rounded else _CENT - _CENT:,.2f}"


def headline(report: Report) -> str:
    """One line of plain text."""
    saved = report.net_savings
    governance = f"governance {'cost' if saved < 0 else 'saved'} {cents(saved.copy_abs())}"
    if report.earnings is None or report.profit is None:
        earned = f"Net profit unknown (no account is reported); {governance}"
    else:
        earned = f"Earnings {cents(report.earnings)}: net profit {cents(report.profit.net)}, {governance}"
    return f"{earned}. {sureness(report)}. {trust(report)}."


def sureness(report: Report) -> str:
    """How sure net savings of the window are, without a full stop."""
    interval, episodes = report.estimate.interval, report.estimate.episodes
    if interval is not None:
        zero = ", zero within it" if interval.low <= 0 <= interval.high else ""
        return f"95 % interval {cents(interval.low)} to {cents(interval.high)}{zero}, {episodes} episodes"
    if report.estimate.worst is None or report.estimate.best is None:
        return "Nothing that was blocked has come to an end, so there is no interval"
    low, high = cents(report.estimate.worst), cents(report.estimate.best)
    return (
        f"No interval: {episodes} episodes on {report.estimate.active_days} days are too few; from {low} to {high} each"
    )


def trust(report: Report) -> str:
    """What is known of the model's own error, without a full stop."""
    found = report.calibration
    if found.standing is Standing.UNAVAILABLE or found.error is None:
        why = "fills are simulated" if report.simulated else "no fills of promoted trades are known"
        return f"Calibration unavailable: {why}, so the model's own error is not known"
    poor = " on few trades" if found.standing is Standing.FEW else ""
    bias = "" if found.bias is None else f", bias of net savings {cents(found.bias)}"
    doubt = "; net savings are not distinguishable from zero" if found.distinguishable is False else ""
    return f"Calibration measured{poor}: {found.error.pairs} pairs{bias}{doubt}"
