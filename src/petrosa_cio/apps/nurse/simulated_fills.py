"""What orders, a bar's prices, funding and ruin make of a simulated account, told as the engine would tell it.

Every entry and every exit is one execution with an order id of its own, made from the decision behind it. An exit by
stop or target bears its entry's decision, as the engine's do; one that another order brought about, that order's. Its
strategy is always the one whose lot it was. The rules and their reasons stand in `simulation`.
"""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.happenings import Execution, ExecutionKind
from petrosa_cio.apps.nurse.simulated_lots import Lot, Lots
from petrosa_cio.apps.nurse.valuation import fee, funding_due

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.facts import Side
    from petrosa_cio.apps.nurse.happenings import PromotedOrder

ORIGIN = "simulated"
FEE_ASSET = "USDT"

_MS = 1_000_000
_SMALLEST = Decimal("1e-8")
_ZERO = Decimal(0)


class _Cause(NamedTuple):
    """Why something is taken off: the order, the decision behind it, the engine's reason, whether a stop did it."""

    order_id: str
    decision_id: str
    reason: str
    stopped: bool = False


class Fills:
    """The lots of a simulated account, and the executions that changed them. ``fee_rate`` is a fraction of notional,
    ``order_notional`` the size of an order that names none."""

    def __init__(self, wallet: Decimal, fee_rate: Decimal, order_notional: Decimal, *, one_way: bool) -> None:
        self.lots = Lots(wallet)
        self.sequence = 0
        """Of the last execution."""
        self._fee_rate = fee_rate
        self._order_notional = order_notional
        self._one_way = one_way
        self._told: list[Execution] = []

    def told(self) -> list[Execution]:
        """The executions since the last call, in order."""
        told, self._told = self._told, []
        return told

    def quantity(self, order: PromotedOrder) -> Decimal:
        """What the order asks for; where it names no quantity, its notional, or the exchange's minimum, rounded up."""
        if order.quantity is not None:
            return order.quantity
        notional = self._order_notional if order.notional is None else order.notional
        return (notional / order.price).quantize(_SMALLEST, ROUND_UP)

    def protect(self, lot: Lot, at_ms: int, worst: Decimal, best: Decimal, *, gap: bool) -> None:
        """Take the lot off where ``worst`` reached its stop, or else ``best`` its target: there, or after a ``gap`` at
        the price that was reached."""
        if lot.stop is not None and lot.sign * (worst - lot.stop) <= _ZERO:
            price, word, stopped = worst if gap else lot.stop, "stop_loss", True
        elif lot.target is not None and lot.sign * (best - lot.target) >= _ZERO:
            price, word, stopped = best if gap else lot.target, "take_profit", False
        else:
            return
        cause = _Cause(f"{ORIGIN}-{lot.decision_id}-{word}", lot.decision_id, f"oco_exit_{word}", stopped)
        self._exit(lot, lot.quantity, price, at_ms, cause)

    def fill(self, order: PromotedOrder, price: Decimal, at_ms: int) -> None:
        """Execute a market order at ``price``, or refuse it where there is nothing to close, or no equity to enter."""
        if order.side is None:
            self._close(order, price, at_ms)
        elif self.lots.equity <= _ZERO:
            self.refuse(order, at_ms, "no_equity")
        else:
            rest = self._netted(order, price, at_ms)
            if rest > _ZERO:
                self._enter(order, order.side, rest, price, at_ms)

    def settle(self, symbol: str, rate: Decimal, mark: Decimal | None) -> None:
        """Pay funding on what is open on ``symbol``, at ``mark`` or the last close; shorts receive what longs pay."""
        for lot in self.lots.of(symbol):
            price = self.lots.mark_of(symbol) if mark is None else mark
            self.lots.pay(funding_due(lot.sign, lot.quantity, price, rate))

    def liquidate(self, at_ms: int) -> None:
        """Close everything at the last closes."""
        for symbol in self.lots.symbols:
            price = self.lots.mark_of(symbol)
            for lot in self.lots.of(symbol):
                cause = _Cause(f"{ORIGIN}-{lot.decision_id}-liquidation", lot.decision_id, "liquidation", stopped=True)
                self._exit(lot, lot.quantity, price, at_ms, cause)

    def refuse(self, order: PromotedOrder, at_ms: int, reason: str) -> None:
        """Tell that an order comes to nothing."""
        self._tell(
            Execution(
                kind=ExecutionKind.REJECTED,
                at=at_ms * _MS,
                strategy_id=order.strategy_id,
                order_id=f"{ORIGIN}-{order.decision_id}",
                decision_id=order.decision_id,
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                reason=reason,
                sequence=self.sequence + 1,
            )
        )

    def _close(self, order: PromotedOrder, price: Decimal, at_ms: int) -> None:
        mine = [lot for lot in self.lots.of(order.symbol) if lot.strategy_id == order.strategy_id]
        for lot in mine:
            self._exit(lot, lot.quantity, price, at_ms, _taken(order, lot, "close"))
        if not mine:
            self.refuse(order, at_ms, "nothing_to_close")

    def _netted(self, order: PromotedOrder, price: Decimal, at_ms: int) -> Decimal:
        """Take off what is open on the other side, up to the order's quantity; return what is left of it to open."""
        rest = self.quantity(order)
        for lot in self.lots.of(order.symbol) if self._one_way else ():
            if rest > _ZERO and lot.side is not order.side:
                part = min(rest, lot.quantity)
                self._exit(lot, part, price, at_ms, _taken(order, lot, "netted"))
                rest -= part
        return rest

    def _enter(self, order: PromotedOrder, side: Side, quantity: Decimal, price: Decimal, at_ms: int) -> None:
        lot = Lot(
            order.decision_id, order.strategy_id, order.symbol, side, quantity, price, order.leverage, order.stop,
            order.target,
        )  # fmt: skip
        paid = fee(quantity, price, self._fee_rate)
        self.lots.pay(paid)
        self.lots.add(lot)
        self._tell(
            Execution(
                kind=ExecutionKind.FILLED,
                at=at_ms * _MS,
                strategy_id=order.strategy_id,
                order_id=f"{ORIGIN}-{order.decision_id}",
                decision_id=order.decision_id,
                symbol=order.symbol,
                side=side,
                quantity=quantity,
                price=price,
                fee=paid,
                fee_asset=FEE_ASSET,
                reason="simulated_filled",
                sequence=self.sequence + 1,
            )
        )

    def _exit(self, lot: Lot, quantity: Decimal, price: Decimal, at_ms: int, cause: _Cause) -> None:
        paid = fee(quantity, price, self._fee_rate)
        self.lots.pay(paid)
        profit = self.lots.take_off(lot, quantity, price)
        self._tell(
            Execution(
                kind=ExecutionKind.FILLED,
                at=at_ms * _MS,
                strategy_id=lot.strategy_id,
                order_id=cause.order_id,
                decision_id=cause.decision_id,
                symbol=lot.symbol,
                side=lot.side,
                quantity=quantity,
                price=price,
                fee=paid,
                fee_asset=FEE_ASSET,
                pnl=profit,
                closes=True,
                stopped=cause.stopped,
                reason=cause.reason,
                sequence=self.sequence + 1,
            )
        )

    def _tell(self, execution: Execution) -> None:
        self.sequence = execution.sequence
        self._told.append(execution)


def _taken(order: PromotedOrder, lot: Lot, reason: str) -> _Cause:
    """Why another order takes off ``lot``; it may take off many, each by an order id of its own."""
    return _Cause(f"{ORIGIN}-{order.decision_id}-{lot.decision_id}", order.decision_id, reason)
