"""What a position on a linear contract is worth, costs and pays: the one place of this arithmetic.

Binance USD-M futures are linear: quantity is in base asset, and price, profit, fee, funding and margin are in quote
asset. ``sign`` is 1 for a long and -1 for a short. Rates are fractions. Everything is `decimal.Decimal` and as exact as
the context of the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


def gain(sign: int, entry: Decimal, price: Decimal, quantity: Decimal) -> Decimal:
    """What ``quantity`` earns that was entered at ``entry`` and is worth ``price``, before fees and funding."""
    return sign * (price - entry) * quantity


def fee(quantity: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """What one fill costs at a ``rate`` of its notional; a negative rate is a maker's rebate."""
    return quantity * price * rate


def funding_due(sign: int, quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """What a position pays at one settlement; where it is negative it receives.

    Notional at the mark price times rate: where the rate is positive longs pay shorts, where it is negative shorts pay
    longs (Binance, "Introduction to Binance Futures Funding Rates").
    """
    return sign * quantity * mark * rate


def liquidation_price(
    sign: int, cost: Decimal, quantity: Decimal, margin: Decimal, rate: Decimal, deduction: Decimal
) -> Decimal:
    """Price at which what is left of the margin equals the maintenance margin of an isolated position.

    ``margin + sign (quantity x price - cost) = quantity x price x rate - deduction``, solved for the price; Binance,
    "How to calculate liquidation price of USD-M futures contracts". ``cost`` is quantity times entry price, ``rate``
    and ``deduction`` are the maintenance margin's. Not above zero where no price liquidates a long.
    """
    return (cost - sign * (margin + deduction)) / (quantity * (1 - sign * rate))
