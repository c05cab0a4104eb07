"""What facts are worth: the stale, the impossible and the contradictory are struck out before anything is judged.

A control then sees a figure that it can rely on, or None. So an unsound fact is an absence everywhere: where the policy
requires it, it refuses what adds risk (`MARKET_STALE`, `ACCOUNT_UNKNOWN`); where not, its controls are unevaluated.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.facts import Fact
from petrosa_cio.apps.nurse.models import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petrosa_cio.apps.nurse.facts import Bracket, Instant, MarketState, OpenOrder, Portfolio, Position
    from petrosa_cio.apps.nurse.policy import Limits

    OfMarket: TypeAlias = tuple[str, Callable[[MarketState], bool]]
    OfAccount: TypeAlias = tuple[str, Callable[[Portfolio], bool]]

# Far outside every market and account, as on the wire: figures derived from what lies within can be written and read.
_LEAST_PRICE = Decimal("1e-12")
_MOST_PRICE = Decimal("1e12")
_MOST = Decimal("1e15")
_ZERO = Decimal(0)
_ONE = Decimal(1)

_REGIMES = frozenset(PARAMETERS["blocked_regimes"].allowed)


def _price(figure: Decimal | None) -> bool:
    """Whether it is a positive number of a size that a price, a step or an equity can have."""
    return figure is not None and figure.is_finite() and _LEAST_PRICE <= figure <= _MOST_PRICE


def _amount(figure: Decimal | None) -> bool:
    return figure is not None and figure.is_finite() and _ZERO <= figure <= _MOST


def _signed(figure: Decimal | None) -> bool:
    return figure is not None and figure.is_finite() and -_MOST <= figure <= _MOST


def _fraction(figure: Decimal | None) -> bool:
    return figure is not None and figure.is_finite() and _ZERO <= figure <= _ONE


def _crossed(market: MarketState) -> bool:
    """Bid above ask, each a price in itself: one of the two is wrong, and nobody can say which."""
    bid, ask = market.bid, market.ask
    return _price(bid) and _price(ask) and bid is not None and ask is not None and bid > ask


def _funding_ahead(market: MarketState) -> bool:
    """The funding time lay ahead when the rate was read: one that has passed belongs to a feed that stands still."""
    at, as_of = market.next_funding_at, dict(market.as_of).get(Fact.FUNDING)
    return at is not None and (as_of is None or at >= as_of)


def _largest(market: MarketState) -> bool:
    most, least = market.max_quantity, market.min_quantity
    return _price(most) and (not _price(least) or least is None or most is None or most >= least)


def _brackets(brackets: tuple[Bracket, ...] | None) -> bool:
    if not brackets:
        return False
    caps = [step.cap for step in brackets]
    each = all(_price(step.cap) and _fraction(step.rate) and _amount(step.deduction) for step in brackets)
    return each and caps == sorted(caps) and all(step.rate < _ONE for step in brackets)


def _position(position: Position) -> bool:
    told = position.liquidation_price
    figures = _price(position.quantity) and _price(position.entry) and _amount(position.notional)
    return figures and _leverage(position.leverage) and (told is None or _price(told))


class _LastPositions:
    """Whether the positions are sound. The same come again and again, and never change: they are looked at once."""

    def __init__(self) -> None:
        self._last: tuple[tuple[Position, ...] | None, bool] = (None, False)

    def __call__(self, account: Portfolio) -> bool:
        positions, (last, sound) = account.positions, self._last
        if positions is last:
            return sound
        sound = positions is not None and all(map(_position, positions))
        self._last = positions, sound
        return sound


def _order(order: OpenOrder) -> bool:
    return _amount(order.quantity) and _amount(order.notional) and _leverage(order.leverage)


def _leverage(figure: Decimal) -> bool:
    return _price(figure) and figure >= _ONE


def _streaks(account: Portfolio) -> bool:
    """Counts are counts, and no stop-out is later than the account it was read from."""
    return account.streaks is not None and all(
        one.losses >= 0 and (one.stopped_at is None or one.stopped_at <= account.as_of) for one in account.streaks
    )


def _strategies(account: Portfolio) -> bool:
    return account.strategies is not None and all(
        _signed(one.result) and _amount(one.peak) for one in account.strategies
    )


MARKET_FIGURES: Mapping[Fact, tuple[OfMarket, ...]] = {
    Fact.MARK: (("mark", lambda market: _price(market.mark)),),
    Fact.BOOK: (
        ("bid", lambda market: _price(market.bid) and not _crossed(market)),
        ("bid_quantity", lambda market: _amount(market.bid_quantity)),
        ("ask", lambda market: _price(market.ask) and not _crossed(market)),
        ("ask_quantity", lambda market: _amount(market.ask_quantity)),
    ),
    Fact.FUNDING: (
        ("funding_rate", lambda market: _signed(market.funding_rate)),
        ("next_funding_at", _funding_ahead),
    ),
    Fact.FILTERS: (
        ("status", lambda market: bool(market.status)),
        ("step_size", lambda market: _price(market.step_size)),
        ("tick_size", lambda market: _price(market.tick_size)),
        ("min_notional", lambda market: _price(market.min_notional)),
        ("min_quantity", lambda market: _price(market.min_quantity)),
        ("max_quantity", _largest),
        ("brackets", lambda market: _brackets(market.brackets)),
    ),
    Fact.BARS: (
        ("regime", lambda market: market.regime in _REGIMES),
        ("regime_confidence", lambda market: _fraction(market.regime_confidence)),
        ("volatility", lambda market: _amount(market.volatility)),
        ("correlated", lambda market: market.correlated is not None),
    ),
}
"""The figures that make up each fact of the market, and what each must be. ``last`` and ``contract_type`` are told
along with them and compared with nothing."""

ACCOUNT_FIGURES: tuple[OfAccount, ...] = (
    ("equity", lambda account: _signed(account.equity)),
    ("day_start_equity", lambda account: _price(account.day_start_equity)),
    ("peak_equity", lambda account: _price(account.peak_equity)),
    ("realised_today", lambda account: _signed(account.realised_today)),
    ("open_today", lambda account: _signed(account.open_today)),
    ("positions", _LastPositions()),
    ("orders", lambda account: account.orders is not None and all(map(_order, account.orders))),
    ("strategies", _strategies),
    ("streaks", _streaks),
)
"""The figures that make up the account. One unsound position makes all of them unknown. A negative equity is a state
that a margin account can be in, and leaves nothing to enter with."""


def is_fresh(as_of: Instant | None, now: Instant, oldest_seconds: Decimal, skew_seconds: Decimal) -> bool:
    """Whether a fact of ``as_of`` is neither too old nor ahead by more than the tolerated skew, limits included."""
    if as_of is None:
        return False
    age = now - as_of // 1000 * 1000  # instants are judged as they are recorded, to the microsecond
    return -int(skew_seconds * SECOND) <= age <= int(oldest_seconds * SECOND)


def sound_market(market: MarketState | None, symbol: str, limits: Limits, now: Instant) -> MarketState | None:
    """``market`` with every figure struck out that cannot be relied on; None where it is of another symbol."""
    if market is None or market.symbol != symbol:
        return None
    oldest, skew = limits.required_number("max_market_age_seconds"), limits.required_number("max_clock_skew_seconds")
    known = {fact for fact, as_of in dict(market.as_of).items() if is_fresh(as_of, now, oldest, skew)}
    struck = [
        name
        for fact, figures in MARKET_FIGURES.items()
        for name, holds in figures
        if fact not in known or not holds(market)
    ]
    return replace(market, **dict.fromkeys(struck)) if struck else market  # type: ignore[arg-type]  # all optional


def sound_account(account: Portfolio | None, limits: Limits, now: Instant) -> Portfolio | None:
    """``account`` with every figure struck out that cannot be relied on; None where the whole is stale or ahead."""
    if account is None:
        return None
    oldest, skew = limits.required_number("max_account_age_seconds"), limits.required_number("max_clock_skew_seconds")
    if not is_fresh(account.as_of, now, oldest, skew):
        return None
    struck = [name for name, holds in ACCOUNT_FIGURES if not holds(account)]
    return replace(account, **dict.fromkeys(struck)) if struck else account  # type: ignore[arg-type]  # all optional
