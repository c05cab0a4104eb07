"""What was told of each promoted order: which word is news, how much of it is filled, and which may still fill.

The engine can tell one fill more than once: by the exchange's answer and by the user-data stream, under the same order
id or another one, and its stream can be read again (fleet facts §7.1). What counts once:

* **A word** is a repeat where its order id and kind were told; parts of one order are told apart by their time and
  quantity. A word without an order id is known by all that it says.
* **An entry** whose fill is told again for the same decision with the same quantity is a repeat, under whatever order
  id. Otherwise all that is told of a decision adds up, but never to more than was promoted, or than its parts or the
  largest single word say where that is more (the engine can raise a size to the exchange's minimum). So a part, and
  then a word that may be of the whole or of the rest, come to the whole. Where it is not known what was promoted,
  nothing caps the sum: too much exposure until the next report is the safe mistake.
* **An exit** is a repeat where the same decision told an exit of the same quantity, price and profit under another
  order id, and what it had filled does not cover both.
* **A fee** that the first telling lacked and a repeat has is counted then.

Everything is forgotten two days after its last word.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.facts import OpenOrder, Side
from petrosa_cio.apps.nurse.happenings import ExecutionKind
from petrosa_cio.apps.nurse.happenings_record import (
    figure,
    instant,
    known,
    moment,
    objects,
    part,
    present,
    promoted_content,
    promoted_of,
    side_of,
    text,
    word,
    written,
)
from petrosa_cio.apps.nurse.models import SECOND, iso

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.happenings import Execution, PromotedOrder
    from petrosa_cio.apps.nurse.happenings_record import Content
    from petrosa_cio.apps.nurse.models import Json

PENDING_SECONDS = 300
"""How long a promoted order may fill without a word: the engine refuses signals that are older (fleet facts §0)."""
RETENTION: int = 2 * 86_400 * SECOND
"""How long a word is remembered after it was told."""

_PENDING: int = PENDING_SECONDS * SECOND
_ZERO = Decimal(0)
_ONE = Decimal(1)
_SEPARATOR = "\x1f"
_FILLS = (ExecutionKind.FILLED, ExecutionKind.PARTIAL_FILL, ExecutionKind.FORCE_CLOSED)


class Fill(NamedTuple):
    """What one word newly says was bought or sold, or paid for it. Quantity 0: only the fee is news."""

    at: Instant
    strategy_id: str
    symbol: str | None
    side: Side | None
    quantity: Decimal | None
    price: Decimal | None
    fee: Decimal | None = None
    fee_asset: str | None = None
    pnl: Decimal | None = None
    closes: bool = False
    stopped: bool = False
    leverage: Decimal = _ONE
    ends: bool = True
    """False for one part of a trade of which more is to be told."""
    reported: bool = False
    """Whether a report told the order that it fills as open, so that it is no longer so."""

    def content(self) -> Content:
        """As a snapshot keeps it."""
        return present(
            {
                "at": iso(self.at),
                "strategy_id": self.strategy_id,
                "symbol": self.symbol,
                "side": None if self.side is None else self.side.value,
                "quantity": text(self.quantity),
                "price": text(self.price),
                "fee": text(self.fee),
                "fee_asset": self.fee_asset,
                "pnl": text(self.pnl),
                "closes": self.closes,
                "stopped": self.stopped,
                "leverage": str(self.leverage),
                "ends": self.ends,
                "reported": self.reported,
            }
        )

    @classmethod
    def read(cls, content: Content) -> Fill:
        """What `content` wrote."""
        return cls(
            at=instant(content, "at"),
            strategy_id=word(content, "strategy_id") or "",
            symbol=word(content, "symbol"),
            side=side_of(content),
            quantity=figure(content, "quantity"),
            price=figure(content, "price"),
            fee=figure(content, "fee"),
            fee_asset=word(content, "fee_asset"),
            pnl=figure(content, "pnl"),
            closes=content.get("closes") is True,
            stopped=content.get("stopped") is True,
            leverage=known(content, "leverage"),
            ends=content.get("ends") is True,
            reported=content.get("reported") is True,
        )


class Heard(NamedTuple):
    """What came of one word: whether it was news, and what it newly filled."""

    news: bool
    fill: Fill | None = None


REPEAT = Heard(news=False)
_NO_FILL = Heard(news=True)


@dataclass(slots=True)
class _Told:
    """All that was told about one decision."""

    order: PromotedOrder | None
    at: Instant
    """When the last word was of."""
    parts: Decimal = _ZERO
    fills: list[Decimal] = field(default_factory=list)
    counted: Decimal = _ZERO
    exits: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Quantity, price, profit and order id of each."""
    exited: Decimal = _ZERO
    paid: bool = False
    """Whether a fee of the whole fill was counted."""
    ended: bool = False
    """Whether the entry was told filled or refused: nothing more of it is to come."""
    reported: bool = False
    """Whether reports tell of the order itself, since it was told as placed."""

    def filled(self, kind: ExecutionKind, quantity: Decimal) -> Decimal:
        """How much of ``quantity`` is newly filled; 0 for what was told before."""
        if kind is ExecutionKind.PARTIAL_FILL:
            self.parts += quantity
        elif quantity in self.fills:
            return _ZERO
        else:
            self.fills.append(quantity)
        total = sum(self.fills, self.parts)
        promoted = self.order.quantity if self.order else None
        if promoted is not None:
            total = min(total, max(promoted, self.parts, *self.fills))
        new, self.counted = max(_ZERO, total - self.counted), max(total, self.counted)
        return new

    def exit(self, told: Execution) -> bool:
        """Count an exit; False where it was told before."""
        quantity = told.quantity or _ZERO
        says = (str(told.quantity), str(told.price), str(told.pnl))
        again = any(one[:3] == says and one[3] != told.order_id for one in self.exits)
        if told.pnl is not None and again and self.exited + quantity > self.counted:
            return False
        self.exits.append((*says, told.order_id))
        self.exited += quantity
        return True


@dataclass(slots=True)
class _Pending:
    """A promoted order that may still open something."""

    order: PromotedOrder
    shown: OpenOrder
    placed_at: Instant | None = None


class Fills:
    """Words about promoted orders, folded in order."""

    def __init__(self) -> None:
        self._words: OrderedDict[str, tuple[Instant, bool]] = OrderedDict()
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._waiting: OrderedDict[str, _Pending] = OrderedDict()
        self._placed: OrderedDict[str, _Pending] = OrderedDict()
        self.newest: Instant = 0
        """When it is at least: what reports and promotions say, and not words, whose clock is another's."""

    def promoted(self, order: PromotedOrder) -> None:
        """Expect the fill of an entry; told again, or after its fill, it changes nothing."""
        self.passed(order.at)
        key = order.decision_id
        if order.side is None or key in self._waiting or key in self._placed:
            return
        told = self._told.get(key)
        if told is not None:
            told.order = told.order or order
        if told is None or not told.ended:
            left = order.quantity if told is None or order.quantity is None else order.quantity - told.counted
            self._waiting[key] = _Pending(order, _shown(order, order.side, left))

    def dropped(self, decision_id: str) -> None:
        """Expect no fill of this decision any more."""
        self._waiting.pop(decision_id, None)
        self._placed.pop(decision_id, None)

    def heard(self, told: Execution) -> Heard:
        """Fold one word."""
        key = _key(told)
        before = self._words.get(key)
        about = self._about(told)
        fee = told.fee if told.fee and not (before[1] if before else False) else None
        if about is not None and not told.closes and about.paid:
            fee = None if told.kind is ExecutionKind.FILLED else fee
        self._words[key] = (max(told.at, before[0] if before else 0), bool(told.fee) or bool(before and before[1]))
        self._words.move_to_end(key)
        if told.kind not in _FILLS:
            return REPEAT if before else self._no_fill(told, about)
        fill = _fill(told, about, fee)
        news = None if before else self._news(told, about, fill)
        if about is not None and told.kind is ExecutionKind.FILLED and fee is not None and not told.closes:
            about.paid = True
        if news is None:
            return REPEAT if fee is None else Heard(news=True, fill=fill._replace(quantity=_ZERO, pnl=None, ends=False))
        return Heard(news=True, fill=news)

    def gone(self, as_of: Instant) -> None:
        """A report of ``as_of`` told all orders at the exchange: those told as placed by then are in it, or gone."""
        for key in [key for key, one in self._placed.items() if one.placed_at is not None and one.placed_at <= as_of]:
            del self._placed[key]
            about = self._told.get(key)
            if about is not None:
                about.reported = True

    def pending(self, now: Instant) -> tuple[list[OpenOrder], Instant | None]:
        """Promoted orders that may still fill at ``now``, and until when this stays so without another word."""
        alive = [one for one in self._waiting.values() if now <= one.order.at + _PENDING]
        until = min((one.order.at + _PENDING for one in alive), default=None)
        return [one.shown for one in (*self._placed.values(), *alive)], until

    def passed(self, at: Instant) -> None:
        """Note that it is ``at`` by now, and forget what is too old."""
        self.newest = max(self.newest, at)
        oldest = self.newest - RETENTION
        while self._words and next(iter(self._words.values()))[0] < oldest:
            self._words.popitem(last=False)
        while self._told and next(iter(self._told.values())).at < oldest:
            self._told.popitem(last=False)
        while self._placed and (next(iter(self._placed.values())).placed_at or oldest) < oldest:
            self._placed.popitem(last=False)
        # Twice the time in which it can fill: a late word still finds what was promoted.
        while self._waiting and next(iter(self._waiting.values())).order.at < self.newest - 2 * _PENDING:
            self._waiting.popitem(last=False)

    def _about(self, told: Execution) -> _Told | None:
        if not told.decision_id:
            return None
        found = self._told.pop(told.decision_id, None)
        if found is None:
            waiting = self._awaited(told.decision_id)
            found = _Told(waiting.order if waiting else None, told.at)
        found.at = max(found.at, told.at)
        self._told[told.decision_id] = found
        return found

    def _awaited(self, decision_id: str) -> _Pending | None:
        return self._waiting.get(decision_id) or self._placed.get(decision_id)

    def _no_fill(self, told: Execution, about: _Told | None) -> Heard:
        if about is not None and not told.closes:
            if told.kind is ExecutionKind.REJECTED:
                about.ended = True
                self.dropped(told.decision_id)
            else:
                self._stands(told)
        return _NO_FILL

    def _stands(self, told: Execution) -> None:
        """A word says that the order is at the exchange: it may fill for as long as none says otherwise."""
        waiting = self._awaited(told.decision_id)
        if waiting is not None:
            self.dropped(told.decision_id)
            waiting.placed_at = told.at if waiting.placed_at is None else max(waiting.placed_at, told.at)
            self._placed[told.decision_id] = waiting

    def _news(self, told: Execution, about: _Told | None, fill: Fill) -> Fill | None:
        """What is new of a word with a key of its own; None where its content was told before."""
        if told.closes:
            return fill if about is None or about.exit(told) else None
        if about is None:
            return fill
        if fill.quantity is None:
            self._settle(told, about)
            return fill
        new = about.filled(told.kind, fill.quantity)
        self._settle(told, about)
        return fill._replace(quantity=new) if new > 0 else None

    def _settle(self, told: Execution, about: _Told) -> None:
        """Take off the pending orders what a word says was filled."""
        waiting = self._awaited(told.decision_id)
        whole = about.order.quantity if about.order else None
        left = None if whole is None else whole - about.counted
        if told.kind is not ExecutionKind.PARTIAL_FILL or (left is not None and left <= 0):
            about.ended = True
            self.dropped(told.decision_id)
        elif waiting is not None:
            waiting.shown = _shown(waiting.order, waiting.shown.side, left)
            self._stands(told)

    def content(self) -> Content:
        """As a snapshot keeps it."""
        return {
            "newest": iso(self.newest),
            "words": [{"key": key, "at": iso(at), "fee": fee} for key, (at, fee) in self._words.items()],
            "told": [{**_told_content(one), "decision_id": key} for key, one in self._told.items()],
            "waiting": [_pending_content(one) for one in self._waiting.values()],
            "placed": [_pending_content(one) for one in self._placed.values()],
        }

    @classmethod
    def read(cls, content: Content) -> Fills:
        """What `content` wrote."""
        made = cls()
        made.newest = instant(content, "newest")
        for one in objects(content, "words"):
            made._words[str(one.get("key"))] = (instant(one, "at"), one.get("fee") is True)
        for one in objects(content, "told"):
            made._told[str(one.get("decision_id"))] = _read_told(one)
        for name, kept in (("waiting", made._waiting), ("placed", made._placed)):
            for one in objects(content, name):
                order = promoted_of(part(one, "order"))
                shown = _shown(order, order.side or Side.LONG, figure(one, "left"))
                kept[order.decision_id] = _Pending(order, shown, moment(one, "placed_at"))
        return made


def _key(told: Execution) -> str:
    """What tells this word from every other."""
    if told.order_id and told.kind is not ExecutionKind.PARTIAL_FILL:
        return _SEPARATOR.join((told.order_id, told.kind.value))
    parts = (told.order_id, told.kind, told.at, told.decision_id, told.strategy_id, told.symbol, told.side)
    return _SEPARATOR.join(str(part) for part in (*parts, told.quantity, told.price, told.pnl, told.closes))


def _fill(told: Execution, about: _Told | None, fee: Decimal | None) -> Fill:
    """The fill that a word tells; what it leaves out of an entry, the promoted order says."""
    order = about.order if about else None
    symbol, side, quantity, price = told.symbol, told.side, told.quantity, told.price
    if order is not None:
        symbol = symbol or order.symbol
        side = side or order.side
        if not told.closes:
            quantity = order.quantity if quantity is None else quantity
            price = order.price if price is None else price
    return Fill(
        at=told.at,
        strategy_id=told.strategy_id or (order.strategy_id if order else ""),
        symbol=symbol,
        side=side,
        quantity=quantity,
        price=price,
        fee=fee,
        fee_asset=told.fee_asset,
        pnl=told.pnl if told.closes else None,
        closes=told.closes,
        stopped=told.stopped,
        leverage=order.leverage if order else _ONE,
        ends=told.kind is not ExecutionKind.PARTIAL_FILL,
        reported=about is not None and about.reported and not told.closes,
    )


def _shown(order: PromotedOrder, side: Side, left: Decimal | None) -> OpenOrder:
    """``order`` as an open one of which ``left`` is not filled; an unknown size shows as 0, and still counts as one."""
    quantity = _ZERO if left is None else max(_ZERO, left)
    notional = quantity * order.price
    if order.notional is not None and order.quantity:
        notional = order.notional * quantity / order.quantity
    elif order.notional is not None and not quantity:
        notional = order.notional
    return OpenOrder(order.symbol, side, quantity, notional, order.leverage)


def _pending_content(one: _Pending) -> Content:
    left = None if one.order.quantity is None else str(one.shown.quantity)
    return present({"order": promoted_content(one.order), "left": left, "placed_at": written(one.placed_at)})


def _told_content(one: _Told) -> Content:
    exits: list[Json] = [list(key) for key in one.exits]
    return present(
        {
            "order": None if one.order is None else promoted_content(one.order),
            "at": iso(one.at),
            "parts": str(one.parts),
            "fills": [str(quantity) for quantity in one.fills],
            "counted": str(one.counted),
            "exits": exits,
            "exited": str(one.exited),
            "paid": one.paid,
            "ended": one.ended,
            "reported": one.reported,
        }
    )


def _read_told(content: Content) -> _Told:
    order, fills = content.get("order"), content.get("fills")
    return _Told(
        promoted_of(order) if isinstance(order, dict) else None,
        instant(content, "at"),
        known(content, "parts"),
        [Decimal(str(quantity)) for quantity in fills] if isinstance(fills, list) else [],
        known(content, "counted"),
        _read_exits(content.get("exits")),
        known(content, "exited"),
        content.get("paid") is True,
        content.get("ended") is True,
        content.get("reported") is True,
    )


def _read_exits(content: Json) -> list[tuple[str, str, str, str]]:
    kept = content if isinstance(content, list) else []
    return [(str(one[0]), str(one[1]), str(one[2]), str(one[3])) for one in kept if isinstance(one, list)]
