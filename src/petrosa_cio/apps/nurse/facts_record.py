"""How the facts of a market and an account are written in a decision's record, and read back to the digit.

Figures are decimal text, not JSON numbers: a reader that takes numbers for floats would judge again on other figures.
What is absent is left out; a figure that is no number is written as the feed gave it (``NaN``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.facts import (
    Bracket,
    Fact,
    MarketState,
    OpenOrder,
    Portfolio,
    Position,
    Side,
    StrategyResult,
    Streak,
)
from petrosa_cio.apps.nurse.models import iso, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.models import Json

    Part = TypeVar("Part")

Content: TypeAlias = "dict[str, Json]"


def market_content(market: MarketState) -> Content:
    """What is known of ``market``, as it is recorded."""
    brackets = market.brackets
    correlated = market.correlated
    return _present(
        {
            "symbol": market.symbol,
            "as_of": {fact.value: iso(as_of) for fact, as_of in market.as_of},
            "mark": _text(market.mark),
            "last": _text(market.last),
            "bid": _text(market.bid),
            "bid_quantity": _text(market.bid_quantity),
            "ask": _text(market.ask),
            "ask_quantity": _text(market.ask_quantity),
            "funding_rate": _text(market.funding_rate),
            "next_funding_at": _moment(market.next_funding_at),
            "status": market.status,
            "contract_type": market.contract_type,
            "step_size": _text(market.step_size),
            "tick_size": _text(market.tick_size),
            "min_notional": _text(market.min_notional),
            "min_quantity": _text(market.min_quantity),
            "max_quantity": _text(market.max_quantity),
            "brackets": None if brackets is None else [_bracket_content(one) for one in brackets],
            "regime": market.regime,
            "regime_confidence": _text(market.regime_confidence),
            "volatility": _text(market.volatility),
            "correlated": None if correlated is None else list(correlated),
        }
    )


def account_content(account: Portfolio) -> Content:
    """What is known of ``account``, as it is recorded."""
    positions, orders = account.positions, account.orders
    strategies, streaks = account.strategies, account.streaks
    return _present(
        {
            "as_of": iso(account.as_of),
            "equity": _text(account.equity),
            "day_start_equity": _text(account.day_start_equity),
            "peak_equity": _text(account.peak_equity),
            "realised_today": _text(account.realised_today),
            "open_today": _text(account.open_today),
            "positions": None if positions is None else [position_content(one) for one in positions],
            "orders": None if orders is None else [open_order_content(one) for one in orders],
            "strategies": None if strategies is None else [_strategy_content(one) for one in strategies],
            "streaks": None if streaks is None else [_streak_content(one) for one in streaks],
        }
    )


def market_of(content: Json) -> MarketState | None:
    """The market that `market_content` wrote; None for what is no object."""
    if not isinstance(content, dict):
        return None
    as_of, correlated = content.get("as_of"), content.get("correlated")
    return MarketState(
        symbol=str(content.get("symbol")),
        as_of=tuple((Fact(fact), _known_instant(at)) for fact, at in as_of.items()) if isinstance(as_of, dict) else (),
        mark=_figure(content, "mark"),
        last=_figure(content, "last"),
        bid=_figure(content, "bid"),
        bid_quantity=_figure(content, "bid_quantity"),
        ask=_figure(content, "ask"),
        ask_quantity=_figure(content, "ask_quantity"),
        funding_rate=_figure(content, "funding_rate"),
        next_funding_at=_instant(content, "next_funding_at"),
        status=_word(content, "status"),
        contract_type=_word(content, "contract_type"),
        step_size=_figure(content, "step_size"),
        tick_size=_figure(content, "tick_size"),
        min_notional=_figure(content, "min_notional"),
        min_quantity=_figure(content, "min_quantity"),
        max_quantity=_figure(content, "max_quantity"),
        brackets=_parts(content, "brackets", _bracket),
        regime=_word(content, "regime"),
        regime_confidence=_figure(content, "regime_confidence"),
        volatility=_figure(content, "volatility"),
        correlated=tuple(str(one) for one in correlated) if isinstance(correlated, list) else None,
    )


def account_of(content: Json) -> Portfolio | None:
    """The account that `account_content` wrote; None for what is no object."""
    if not isinstance(content, dict):
        return None
    return Portfolio(
        as_of=_known_instant(content.get("as_of")),
        equity=_figure(content, "equity"),
        day_start_equity=_figure(content, "day_start_equity"),
        peak_equity=_figure(content, "peak_equity"),
        realised_today=_figure(content, "realised_today"),
        open_today=_figure(content, "open_today"),
        positions=_parts(content, "positions", position_of),
        orders=_parts(content, "orders", open_order_of),
        strategies=_parts(content, "strategies", _strategy),
        streaks=_parts(content, "streaks", _streak),
    )


def _present(content: Content) -> Content:
    return {name: value for name, value in content.items() if value is not None}


def _text(figure: Decimal | None) -> str | None:
    return None if figure is None else str(figure)


def _moment(at: Instant | None) -> str | None:
    return None if at is None else iso(at)


def _figure(content: Content, name: str) -> Decimal | None:
    value = content.get(name)
    return None if value is None else Decimal(str(value))


def _known_figure(content: Content, name: str) -> Decimal:
    return Decimal(str(content.get(name)))


def _word(content: Content, name: str) -> str | None:
    value = content.get(name)
    return None if value is None else str(value)


def _instant(content: Content, name: str) -> Instant | None:
    value = content.get(name)
    return None if value is None else _known_instant(value)


def _known_instant(value: Json) -> Instant:
    return parse_instant(str(value))


def _parts(content: Content, name: str, read: Callable[[Content], Part]) -> tuple[Part, ...] | None:
    value = content.get(name)
    return tuple(read(one) for one in value if isinstance(one, dict)) if isinstance(value, list) else None


def _bracket_content(one: Bracket) -> Content:
    return {"cap": str(one.cap), "rate": str(one.rate), "deduction": str(one.deduction)}


def _bracket(content: Content) -> Bracket:
    return Bracket(*(_known_figure(content, name) for name in ("cap", "rate", "deduction")))


def position_content(one: Position) -> Content:
    """One position, as it is recorded."""
    return _present(
        {
            "symbol": one.symbol,
            "side": one.side.value,
            "quantity": str(one.quantity),
            "entry": str(one.entry),
            "notional": str(one.notional),
            "leverage": str(one.leverage),
            "liquidation_price": _text(one.liquidation_price),
            "strategy_id": one.strategy_id,
        }
    )


def position_of(content: Content) -> Position:
    """The position that `position_content` wrote."""
    return Position(
        str(content.get("symbol")),
        Side(str(content.get("side"))),
        quantity=_known_figure(content, "quantity"),
        entry=_known_figure(content, "entry"),
        notional=_known_figure(content, "notional"),
        leverage=_known_figure(content, "leverage"),
        liquidation_price=_figure(content, "liquidation_price"),
        strategy_id=_word(content, "strategy_id"),
    )


def open_order_content(one: OpenOrder) -> Content:
    """One open order, as it is recorded."""
    return {
        "symbol": one.symbol,
        "side": one.side.value,
        "quantity": str(one.quantity),
        "notional": str(one.notional),
        "leverage": str(one.leverage),
        "reduce_only": one.reduce_only,
    }


def open_order_of(content: Content) -> OpenOrder:
    """The order that `open_order_content` wrote."""
    return OpenOrder(
        str(content.get("symbol")),
        Side(str(content.get("side"))),
        quantity=_known_figure(content, "quantity"),
        notional=_known_figure(content, "notional"),
        leverage=_known_figure(content, "leverage"),
        reduce_only=content.get("reduce_only") is True,
    )


def _strategy_content(one: StrategyResult) -> Content:
    return {"strategy_id": one.strategy_id, "result": str(one.result), "peak": str(one.peak)}


def _strategy(content: Content) -> StrategyResult:
    return StrategyResult(
        str(content.get("strategy_id")), _known_figure(content, "result"), _known_figure(content, "peak")
    )


def _streak_content(one: Streak) -> Content:
    return _present({"scope": one.scope, "losses": one.losses, "stopped_at": _moment(one.stopped_at)})


def _streak(content: Content) -> Streak:
    losses = content.get("losses")
    return Streak(str(content.get("scope")), losses if isinstance(losses, int) else 0, _instant(content, "stopped_at"))
