"""The account that a simulated engine trades on: a wallet, and the lots that its entries bought.

A lot is what one entry opened and no exit has taken off yet. The exchange sees one position for each symbol and side;
lots keep apart whose part of it is whose, and which stop and target belong to it. Units as in `models`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.facts import Position, Side
from petrosa_cio.apps.nurse.valuation import gain

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of one entry. ``decision_id`` is the entry's, and of one lot only."""

    decision_id: str
    strategy_id: str
    symbol: str
    side: Side
    quantity: Decimal
    entry: Decimal
    leverage: Decimal
    stop: Decimal | None = None
    target: Decimal | None = None

    @property
    def sign(self) -> int:
        """1 for a lot that gains when the price rises, -1 for one that loses."""
        return 1 if self.side is Side.LONG else -1

    def profit(self, price: Decimal, quantity: Decimal) -> Decimal:
        """What ``quantity`` of it earns when it is taken off at ``price``, fees apart."""
        return gain(self.sign, self.entry, price, quantity)


class Lots:
    """Wallet and lots. Every change of the wallet is a profit, a fee or funding; nothing else moves it."""

    def __init__(self, wallet: Decimal) -> None:
        self.wallet = wallet
        """Balance without the profit of what is open."""
        self._lots: dict[str, list[Lot]] = {}
        self._net: dict[str, tuple[Decimal, Decimal]] = {}
        """Of each symbol what is open and what it cost, shorts counted below zero: its value does not need the lots."""
        self._marks: dict[str, Decimal] = {}
        self._open: dict[str, Decimal] = {}
        """Unrealised profit of each symbol, at its mark."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols on which something is open, by name."""
        return tuple(sorted(self._lots))

    def of(self, symbol: str) -> tuple[Lot, ...]:
        """The lots of ``symbol``, oldest first."""
        return tuple(self._lots.get(symbol, ()))

    @property
    def unrealised(self) -> Decimal:
        """Profit of all that is open, at the marks."""
        return sum(self._open.values(), _ZERO)

    @property
    def equity(self) -> Decimal:
        """Wallet and unrealised profit."""
        return self.wallet + self.unrealised

    def mark_of(self, symbol: str) -> Decimal:
        """The price at which ``symbol`` is valued; of a symbol on which something is open."""
        return self._marks[symbol]

    def mark(self, symbol: str, price: Decimal) -> None:
        """Value what is open on ``symbol`` at ``price``."""
        if symbol in self._lots:
            quantity, cost = self._net[symbol]
            self._marks[symbol] = price
            self._open[symbol] = quantity * price - cost

    def pay(self, amount: Decimal) -> None:
        """Take a fee or funding from the wallet; a negative one is received."""
        self.wallet -= amount

    def add(self, lot: Lot) -> None:
        """Open a lot, valued at its own entry until the next mark."""
        self._lots.setdefault(lot.symbol, []).append(lot)
        self._count(lot, lot.quantity)
        self.mark(lot.symbol, lot.entry)

    def take_off(self, lot: Lot, quantity: Decimal, price: Decimal) -> Decimal:
        """Close ``quantity`` of ``lot``, at most all of it, and return the profit that the wallet took in."""
        lots = self._lots[lot.symbol]
        place = next(place for place, one in enumerate(lots) if one.decision_id == lot.decision_id)
        if quantity < lot.quantity:
            lots[place] = replace(lot, quantity=lot.quantity - quantity)
        else:
            del lots[place]
        profit = lot.profit(price, quantity)
        self.wallet += profit
        if lots:
            self._count(lot, -quantity)
            self.mark(lot.symbol, price)
        else:
            del self._lots[lot.symbol], self._net[lot.symbol], self._marks[lot.symbol], self._open[lot.symbol]
        return profit

    def _count(self, lot: Lot, quantity: Decimal) -> None:
        """Add ``quantity`` of a lot, or take off a negative one."""
        held, cost = self._net.get(lot.symbol, (_ZERO, _ZERO))
        self._net[lot.symbol] = held + lot.sign * quantity, cost + lot.sign * quantity * lot.entry

    def positions(self) -> Iterator[Position]:
        """What the exchange would show: one position for each symbol and side, by name, at the marks."""
        for symbol in self.symbols:
            for side in Side:
                lots = [lot for lot in self._lots[symbol] if lot.side is side]
                if lots:
                    yield _position(lots, self._marks[symbol])


def _position(lots: list[Lot], mark: Decimal) -> Position:
    """The lots as one position; whose it is, where all are of one strategy."""
    quantity = sum((lot.quantity for lot in lots), _ZERO)
    cost = sum((lot.quantity * lot.entry for lot in lots), _ZERO)
    strategies = {lot.strategy_id for lot in lots}
    return Position(
        symbol=lots[0].symbol,
        side=lots[0].side,
        quantity=quantity,
        entry=cost / quantity,
        notional=quantity * mark,
        leverage=max(lot.leverage for lot in lots),
        strategy_id=strategies.pop() if len(strategies) == 1 else None,
    )
