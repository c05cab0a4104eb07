"""The market: whether the symbol trades, what the book costs, and what volatility, regime and funding forbid.

Each reads figures that are fresh and sound, or is unevaluated.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import UNEVALUATED, Finding, limit
from petrosa_cio.apps.nurse.controls.protection import BASIS_POINTS, PASS, shown
from petrosa_cio.apps.nurse.controls.size import cut
from petrosa_cio.apps.nurse.facts import TRADING, UNKNOWN, Side

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Subject

_TWO = Decimal(2)


def symbol_trading(subject: Subject) -> Finding:
    """The exchange trades the symbol now."""
    status = subject.market.status if subject.market else None
    if subject.market is None or status is None:
        return UNEVALUATED
    return limit(status != TRADING, ("status", status), ("contract_type", subject.market.contract_type))


def spread(subject: Subject) -> Finding:
    """The bid-ask spread, in basis points of the mid price."""
    most, market = subject.limits.number("max_spread_bps"), subject.market
    if most is None:
        return PASS
    if market is None or market.bid is None or market.ask is None:
        return UNEVALUATED
    wide = (market.ask - market.bid) * BASIS_POINTS * _TWO / (market.ask + market.bid)
    return limit(wide > most, ("spread_bps", shown(wide)), ("bid", market.bid), ("ask", market.ask), ("limit", most))


def thin_book(subject: Subject) -> Finding:
    """The order's notional against what stands at the best price of the other side of the book."""
    most, market, notional = subject.limits.number("max_book_share"), subject.market, subject.order.notional
    if most is None:
        return PASS
    if market is None or notional is None:
        return UNEVALUATED
    price, quantity = (
        (market.ask, market.ask_quantity) if subject.side is Side.LONG else (market.bid, market.bid_quantity)
    )
    if price is None or quantity is None:
        return UNEVALUATED
    depth = price * quantity
    return limit(notional > most * depth, ("notional", notional), ("depth", depth), ("limit", most))


def volatility(subject: Subject) -> Finding:
    """Realised volatility: from the lower threshold the order is cut by the factor, from the upper it is refused."""
    figure, quantity = subject.market.volatility if subject.market else None, subject.order.quantity
    if figure is None:
        return UNEVALUATED
    block = subject.limits.required_number("volatility_block_threshold")
    if figure >= block:
        return limit(True, ("volatility", figure), ("limit", block))
    scale = subject.limits.required_number("volatility_scale_threshold")
    if figure < scale:
        return limit(False, ("volatility", figure), ("limit", scale))
    if quantity is None:
        return UNEVALUATED
    factor = subject.limits.required_number("scale_down_factor")
    return cut(quantity, quantity * factor, ("volatility", figure), ("limit", scale), ("factor", factor))


def regime(subject: Subject) -> Finding:
    """The regime's label against the list; one that the guard could not tell is refused if listed, and never good."""
    market, blocked = subject.market, subject.limits.words("blocked_regimes")
    if not blocked:
        return PASS
    if market is None or market.regime is None or market.regime_confidence is None:
        return UNEVALUATED
    if market.regime == UNKNOWN and UNKNOWN not in blocked:
        return UNEVALUATED
    return limit(market.regime in blocked, ("regime", market.regime), ("confidence", market.regime_confidence))


def funding(subject: Subject) -> Finding:
    """What this side pays at the next funding time, in basis points of notional; what it receives is never refused."""
    most, market = subject.limits.number("max_adverse_funding_bps"), subject.market
    if most is None:
        return PASS
    if market is None or market.funding_rate is None or market.next_funding_at is None:
        return UNEVALUATED
    pays = subject.sign * market.funding_rate * BASIS_POINTS
    return limit(pays > most, ("pays_bps", shown(pays)), ("funding_rate", market.funding_rate), ("limit", most))
