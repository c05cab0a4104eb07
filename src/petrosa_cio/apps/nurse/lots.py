"""What fills opened and did not close again, by strategy, symbol and side: who holds what, at which average entry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings_record import instant, known, objects, side_of, word
from petrosa_cio.apps.nurse.models import SECOND, iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.fills import Fill
    from petrosa_cio.apps.nurse.happenings_record import Content

    Place: TypeAlias = tuple[str, str, Side]
    """Strategy, symbol and side."""

LATE: int = 60 * SECOND
"""How much older than a report a fill must be before the report's silence about it counts: words and reports race."""

_ZERO = Decimal(0)
_DUST = Decimal("1e-12")
"""Less than any step of any exchange: what divisions leave over."""


@dataclass(slots=True)
class Lot:
    """One strategy's part of a position. ``cost`` is quantity times entry."""

    quantity: Decimal
    cost: Decimal
    leverage: Decimal
    at: Instant
    """When it was last added to."""


class Lots:
    """Lots that are open, and the last price of each symbol that fills and reports told."""

    def __init__(self) -> None:
        self._lots: dict[Place, Lot] = {}
        self._marks: dict[str, tuple[Decimal, Instant]] = {}

    def opened(self, fill: Fill) -> None:
        """Add a fill that opens; one that lacks symbol, side, quantity or price cannot be placed."""
        if fill.symbol is None or fill.side is None or not fill.quantity or fill.price is None:
            return
        self._mark(fill.symbol, fill.price, fill.at)
        cost = fill.quantity * fill.price
        lot = self._lots.get((fill.strategy_id, fill.symbol, fill.side))
        if lot is None:
            self._lots[fill.strategy_id, fill.symbol, fill.side] = Lot(fill.quantity, cost, fill.leverage, fill.at)
            return
        lot.quantity, lot.cost, lot.at = lot.quantity + fill.quantity, lot.cost + cost, max(lot.at, fill.at)
        lot.leverage = max(lot.leverage, fill.leverage)

    def closed(self, fill: Fill) -> Fill:
        """Take a close off what its strategy holds: a close without a quantity all of it, none more than there is.

        Returns the close with the quantity that it takes off, and with its profit against the average entry where none
        was told and it can be worked out.
        """
        if fill.symbol is None or fill.side is None:
            return fill
        if fill.price is not None:
            self._mark(fill.symbol, fill.price, fill.at)
        place = (fill.strategy_id, fill.symbol, fill.side)
        lot = self._lots.get(place)
        if lot is None:
            return fill
        held, entry = lot.quantity, lot.cost / lot.quantity
        quantity = held if fill.quantity is None else fill.quantity
        taken = min(quantity, held)
        self._cut(place, lot, held - taken)
        pnl = fill.pnl
        if pnl is None and fill.price is not None:
            pnl = _sign(fill.side) * (fill.price - entry) * taken
        return fill._replace(quantity=quantity, pnl=pnl)

    def reported(self, positions: Sequence[Position], as_of: Instant) -> list[tuple[str, Decimal]]:
        """Hold the lots against what a report says is open.

        Where less is open than lots say, and no fill is recent, something closed without a word (a manual close, a
        liquidation): the lots of that place shrink in proportion, at the last price. Returns each strategy's profit or
        loss by it.
        """
        open_at: dict[tuple[str, Side], Decimal] = {}
        for one in positions:
            open_at[one.symbol, one.side] = open_at.get((one.symbol, one.side), _ZERO) + one.quantity
        held: dict[tuple[str, Side], Decimal] = {}
        recent: set[tuple[str, Side]] = set()
        for (_, symbol, side), lot in self._lots.items():
            held[symbol, side] = held.get((symbol, side), _ZERO) + lot.quantity
            if lot.at > as_of - LATE:
                recent.add((symbol, side))
        found: list[tuple[str, Decimal]] = []
        for place, lot in list(self._lots.items()):
            where = (place[1], place[2])
            left = open_at.get(where, _ZERO)
            if where in recent or left >= held[where]:
                continue
            before = self._open_part(place, lot)
            self._cut(place, lot, lot.quantity * left / held[where])
            after = self._open_part(place, lot) if place in self._lots else _ZERO
            found.append((place[0], before - after))
        for one in positions:
            if one.quantity > 0:
                self._mark(one.symbol, one.notional / one.quantity, as_of, told=True)
        return found

    def open_parts(self) -> dict[str, Decimal]:
        """Unrealised profit of each strategy that holds something, at the last price of each symbol."""
        parts: dict[str, Decimal] = {}
        for place, lot in self._lots.items():
            parts[place[0]] = parts.get(place[0], _ZERO) + self._open_part(place, lot)
        return parts

    def positions(self) -> Iterator[Position]:
        """Each lot as a position, at the last price of its symbol."""
        for (strategy_id, symbol, side), lot in self._lots.items():
            price = self._price(symbol, lot)
            yield Position(
                symbol,
                side,
                lot.quantity,
                lot.cost / lot.quantity,
                lot.quantity * price,
                lot.leverage,
                strategy_id=strategy_id,
            )

    def _price(self, symbol: str, lot: Lot) -> Decimal:
        mark = self._marks.get(symbol)
        return lot.cost / lot.quantity if mark is None else mark[0]

    def _open_part(self, place: Place, lot: Lot) -> Decimal:
        return _sign(place[2]) * (self._price(place[1], lot) * lot.quantity - lot.cost)

    def _cut(self, place: Place, lot: Lot, left: Decimal) -> None:
        if left < _DUST:
            del self._lots[place]
            return
        lot.cost = lot.cost * left / lot.quantity
        lot.quantity = left

    def _mark(self, symbol: str, price: Decimal, at: Instant, *, told: bool = False) -> None:
        """Note a price; of two at one moment the one that a report told stands."""
        known_mark = self._marks.get(symbol)
        if known_mark is None or at > known_mark[1] or (told and at == known_mark[1]):
            self._marks[symbol] = (price, at)

    def content(self) -> Content:
        """As a snapshot keeps it."""
        return {
            "lots": [
                {
                    "strategy_id": strategy_id,
                    "symbol": symbol,
                    "side": side.value,
                    "quantity": str(lot.quantity),
                    "cost": str(lot.cost),
                    "leverage": str(lot.leverage),
                    "at": iso(lot.at),
                }
                for (strategy_id, symbol, side), lot in self._lots.items()
            ],
            "marks": [
                {"symbol": symbol, "price": str(price), "at": iso(at)} for symbol, (price, at) in self._marks.items()
            ],
        }

    @classmethod
    def read(cls, content: Content) -> Lots:
        """What `content` wrote."""
        made = cls()
        for one in objects(content, "lots"):
            place = (word(one, "strategy_id") or "", word(one, "symbol") or "", side_of(one) or Side.LONG)
            quantity, cost, leverage = (known(one, name) for name in ("quantity", "cost", "leverage"))
            made._lots[place] = Lot(quantity, cost, leverage, instant(one, "at"))
        for one in objects(content, "marks"):
            made._marks[str(one.get("symbol"))] = (known(one, "price"), instant(one, "at"))
        return made


def take_off(parts: list[Position], fill: Fill) -> Decimal:
    """Take a close off positions: first off those of its strategy, then those whose owner is not known, then others.

    Returns the unrealised profit of what it took off.
    """
    left, unrealised = fill.quantity, _ZERO
    if left is None:
        return unrealised
    here = [at for at, one in enumerate(parts) if one.symbol == fill.symbol and one.side is fill.side]
    here.sort(key=lambda at: (parts[at].strategy_id != fill.strategy_id, parts[at].strategy_id is not None))
    for at in here:
        one = parts[at]
        taken = min(left, one.quantity)
        left -= taken
        rest = one.quantity - taken
        if one.quantity:
            unrealised += _sign(one.side) * (one.notional - one.quantity * one.entry) * taken / one.quantity
        parts[at] = replace(one, quantity=rest, notional=one.notional * rest / one.quantity if one.quantity else _ZERO)
    parts[:] = [one for at, one in enumerate(parts) if at not in here or one.quantity >= _DUST]
    return unrealised


def fill_order(orders: list[OpenOrder], fill: Fill) -> None:
    """Take what was filled off the open orders of its symbol and side."""
    left, kept = fill.quantity or _ZERO, []
    for one in orders:
        fits = (one.symbol, one.side, one.reduce_only) == (fill.symbol, fill.side, False)
        taken = min(left, one.quantity) if fits else _ZERO
        left -= taken
        if not taken:
            kept.append(one)
        elif (rest := one.quantity - taken) >= _DUST:
            kept.append(replace(one, quantity=rest, notional=one.notional * rest / one.quantity))
    orders[:] = kept


def part_of(fill: Fill) -> Position | None:
    """The part of a position that a fill opens; None where it does not say enough."""
    if fill.symbol is None or fill.side is None or not fill.quantity or fill.price is None:
        return None
    notional = fill.quantity * fill.price
    return Position(
        fill.symbol, fill.side, fill.quantity, fill.price, notional, fill.leverage, strategy_id=fill.strategy_id
    )


def _sign(side: Side) -> int:
    return 1 if side is Side.LONG else -1
