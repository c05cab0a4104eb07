"""What an entry was worth when it was decided on, by its own levels and confidence: an expected value, not a forecast.

Never a number that the strategy sent: confidence is the only one of its words that counts, and it is shown beside both
legs, so that a reader can put another in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.positions import MONEY, ZERO
from petrosa_cio.apps.nurse.facts import Side

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Potential:
    """Quote currency; gain and loss before costs."""

    pnl: Decimal
    """``confidence x gain - (1 - confidence) x loss - costs``."""
    gain: Decimal
    """At the target; negative where that is on the wrong side."""
    loss: Decimal
    """At the stop, positive; negative where that is on the wrong side."""
    costs: Decimal
    """Fee and slippage of entry and exit, at the entry's price."""


def potential_pnl(
    side: Side,
    quantity: Decimal,
    entry: Decimal,
    stop: Decimal | None,
    target: Decimal | None,
    confidence: Decimal,
    cost_rate: Decimal,
) -> Potential | None:
    """The expected value of an entry, with ``confidence`` as the chance of its target. ``cost_rate`` is fee and
    slippage of one fill as a fraction of notional. None where stop or target is not known: no leg is guessed.
    """
    if stop is None or target is None:
        return None
    sign = 1 if side is Side.LONG else -1
    gain = (sign * (target - entry) * quantity).quantize(MONEY)
    loss = (sign * (entry - stop) * quantity).quantize(MONEY)
    costs = (2 * quantity * entry * cost_rate).quantize(MONEY)
    expected = confidence * gain - (1 - confidence) * loss - costs
    return Potential(expected.quantize(MONEY) + ZERO, gain, loss, costs)
