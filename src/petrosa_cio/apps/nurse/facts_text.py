"""The facts of a decision's record as they are written, each encoded once while it stays the same.

Most decisions are judged on the market and the positions of the one before. What is kept is known by identity, so the
bytes are those that encoding it anew would give; facts never change once they are made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.facts_record import account_content, market_content, open_order_content, position_content

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import MarketState, OpenOrder, Portfolio, Position
    from petrosa_cio.apps.nurse.record import Written

    Positions: TypeAlias = tuple[Position, ...] | None
    Orders: TypeAlias = tuple[OpenOrder, ...] | None

MOST_MARKETS = 256


class FactsText:
    """What was encoded last: of each symbol its market, and the account with its positions and orders."""

    def __init__(self) -> None:
        self._markets: dict[str, tuple[MarketState, Written]] = {}
        self._account: tuple[Portfolio, Written] | None = None
        self._positions: tuple[Positions, Written] = (None, record.written(None))
        self._orders: tuple[Orders, Written] = (None, record.written(None))
        self._each: dict[int, tuple[OpenOrder, Written]] = {}
        """The orders of ``_orders`` by identity: most of them are among the next ones."""

    def market(self, market: MarketState) -> Written:
        """What is known of ``market``, as it is recorded. Raises what encoding it raises."""
        known = self._markets.get(market.symbol)
        if known is not None and known[0] is market:
            return known[1]
        if len(self._markets) >= MOST_MARKETS:
            self._markets.clear()
        text = record.written(market_content(market))
        self._markets[market.symbol] = market, text
        return text

    def account(self, account: Portfolio) -> Written:
        """What is known of ``account``, as it is recorded. Raises what encoding it raises."""
        if self._account is not None and self._account[0] is account:
            return self._account[1]
        content: dict[str, object] = dict(account_content(replace(account, positions=None, orders=None)))
        if account.positions is not None:
            content["positions"] = self._of_positions(account.positions)
        if account.orders is not None:
            content["orders"] = self._of_orders(account.orders)
        text = record.written(content)
        self._account = account, text
        return text

    def _of_positions(self, positions: tuple[Position, ...]) -> Written:
        if self._positions[0] is not positions:
            self._positions = positions, record.written([position_content(one) for one in positions])
        return self._positions[1]

    def _of_orders(self, orders: tuple[OpenOrder, ...]) -> Written:
        if self._orders[0] is not orders:
            before = self._each
            self._each = {
                id(one): before.get(id(one)) or (one, record.written(open_order_content(one))) for one in orders
            }
            self._orders = orders, record.written([self._each[id(one)][1] for one in orders])
        return self._orders[1]
