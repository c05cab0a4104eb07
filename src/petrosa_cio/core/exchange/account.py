"""What a read-only Binance USD-M account holds: wallet, positions with their liquidation prices, orders that wait.

Version 2 of ``account`` and ``positionRisk`` is asked, since only it tells leverage; where the exchange has withdrawn
it, version 3, whose leverage is worked out from notional and initial margin. An answer may have fields and words that
our models do not know (the probe tells of them); where one that they do know is gone or changed, it is not read.

One look weighs about 50 of the 2400 that an address may ask in a minute, and the engine may trade from the same
address: where more than 80 % are used, the next look waits a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.facts import OpenOrder, Position, Side
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.core.exchange.answers import examine
from petrosa_cio.core.exchange.drift import Kind
from petrosa_cio.core.exchange.endpoints import (
    ACCOUNT_V2,
    ACCOUNT_V3,
    OPEN_ORDERS,
    POSITION_RISK_V2,
    POSITION_RISK_V3,
    TIME,
)
from petrosa_cio.core.exchange.polled import Polled, Unreadable, figure, listed, object_in, positive, symbol
from petrosa_cio.core.exchange.refusals import SENTENCES, ErrorClass

if TYPE_CHECKING:
    from petrosa_cio.core.exchange.binance import Binance, Reply
    from petrosa_cio.core.exchange.endpoints import Endpoint

ORIGIN = "binance"

_BREAKS = frozenset({Kind.FIELD_GONE, Kind.TYPE_CHANGED, Kind.VALUE_UNREADABLE})
_WEIGHT_SHARE = 0.8
_WEIGHT_LIMIT = 2400
_MINUTE = 60.0
_ANY_SYMBOL = ""
_SIDES = {"BUY": Side.LONG, "SELL": Side.SHORT}
_ZERO, _ONE = Decimal(0), Decimal(1)


class _NoAnswer(Exception):
    def __init__(self, why: str, error_class: ErrorClass | None = None, wait_seconds: float = 0.0) -> None:
        self.error_class = error_class
        self.wait_seconds = wait_seconds
        super().__init__(why)


@dataclass(slots=True)
class BinanceAccount:
    """An account as its exchange tells of it. ``exchange`` must have keys, and be open."""

    exchange: Binance
    _clock_known: bool = False
    _withdrawn: bool = False
    _wait: float = 0.0

    async def report(self) -> Polled:
        """What the account holds now, as of when it was asked first. All of it is read, or there is no report."""
        self._wait = 0.0
        try:
            if not self._clock_known:
                await self._set_clock()
            report = await self._report()
        except _NoAnswer as error:
            if error.error_class is ErrorClass.CLOCK:
                self._clock_known = False
            return Polled(None, str(error), wait_seconds=max(self._wait, error.wait_seconds))
        except Unreadable as error:
            return Polled(None, str(error), wait_seconds=self._wait)
        return Polled(report, wait_seconds=self._wait)

    async def _report(self) -> AccountReport:
        reply, answer = await self._of_either(ACCOUNT_V2, ACCOUNT_V3)
        account = object_in(answer, "account")
        _, risks = await self._of_either(POSITION_RISK_V2, POSITION_RISK_V3)
        _, orders = await self._ask(OPEN_ORDERS)
        held = [object_in(one, "a position") for one in listed(risks, "positionRisk")]
        return AccountReport(
            ORIGIN,
            reply.asked_ns,
            figure(account, "totalWalletBalance"),
            figure(account, "totalUnrealizedProfit"),
            tuple(_position(one) for one in held if figure(one, "positionAmt") != _ZERO),
            tuple(_order(object_in(one, "an order"), held) for one in listed(orders, "openOrders")),
        )

    async def _of_either(self, second: Endpoint, third: Endpoint) -> tuple[Reply, object]:
        """The answer of version 2, or of 3 from when the exchange first said that there is no 2."""
        if not self._withdrawn:
            try:
                return await self._ask(second)
            except _NoAnswer as error:
                if error.error_class is not ErrorClass.NOT_FOUND:
                    raise
                self._withdrawn = True
        return await self._ask(third)

    async def _set_clock(self) -> None:
        """Measure by how much the exchange's clock is ahead of ours: it refuses what is stamped too far off."""
        reply, answer = await self._ask(TIME)
        server = figure(object_in(answer, "time"), "serverTime")
        self.exchange.skew_ms = round(server - Decimal(reply.asked_ns + reply.answered_ns) / 2_000_000)
        self._clock_known = True

    async def _ask(self, endpoint: Endpoint) -> tuple[Reply, object]:
        """An answer that has everything our model needs. Raises _NoAnswer."""
        reply = await self.exchange.ask(endpoint, _ANY_SYMBOL)
        self._wait = max(self._wait, reply.wait_seconds)
        if reply.weight is not None and reply.weight > _WEIGHT_SHARE * _WEIGHT_LIMIT:
            self._wait = max(self._wait, _MINUTE)
        if reply.status is None:
            raise _NoAnswer(f"{endpoint.path}: {reply.trouble}", ErrorClass.UNREACHABLE)
        if reply.large:
            raise _NoAnswer(f"{endpoint.path}: {SENTENCES[ErrorClass.TOO_LARGE]}", ErrorClass.TOO_LARGE)
        finding = examine(endpoint, reply.body, reply.status)
        if finding.error_class is not None:
            raise _NoAnswer(f"{endpoint.path}: {SENTENCES[finding.error_class]}", finding.error_class)
        broken = [f"{drift.kind} {drift.where}" for drift in finding.drift if drift.kind in _BREAKS]
        if broken:
            raise _NoAnswer(f"{endpoint.path}: {', '.join(broken[:5])}")
        return reply, finding.answer


def _position(fields: dict[str, object]) -> Position:
    amount = figure(fields, "positionAmt")
    side = Side.LONG if amount > _ZERO else Side.SHORT
    told = fields.get("positionSide")
    if told not in ("BOTH", side.value):
        msg = "positionSide contradicts positionAmt"
        raise Unreadable(msg)
    liquidation = figure(fields, "liquidationPrice")
    return Position(
        symbol(fields),
        side,
        quantity=abs(amount),
        entry=positive(fields, "entryPrice"),
        notional=abs(amount) * positive(fields, "markPrice"),
        leverage=_leverage(fields),
        liquidation_price=liquidation if liquidation > _ZERO else None,
    )


def _leverage(fields: dict[str, object]) -> Decimal:
    """Leverage as it is told, else that at which the position's notional needs its initial margin."""
    if fields.get("leverage") is not None:
        return max(figure(fields, "leverage"), _ONE)
    notional, margin = abs(figure(fields, "notional")), figure(fields, "positionInitialMargin")
    return _ONE if margin <= _ZERO else max((notional / margin).to_integral_value(), _ONE)


def _order(fields: dict[str, object], held: list[dict[str, object]]) -> OpenOrder:
    name = symbol(fields)
    side, told = _SIDES.get(str(fields.get("side"))), fields.get("positionSide")
    if side is None or told not in ("BOTH", *Side):
        msg = "side or positionSide of an order is none"
        raise Unreadable(msg)
    quantity = figure(fields, "origQty") - figure(fields, "executedQty")
    if quantity < _ZERO:
        msg = "executedQty is above origQty"
        raise Unreadable(msg)
    takes_off = told != "BOTH" and told != side.value  # in hedge mode a buy of the short side can only close
    beside = [one for one in held if one.get("symbol") == name]
    return OpenOrder(
        name,
        side,
        quantity=quantity,
        notional=quantity * _price(fields, beside),
        leverage=max((_leverage(one) for one in beside), default=_ONE),
        reduce_only=takes_off or fields.get("reduceOnly") is True or fields.get("closePosition") is True,
    )


def _price(fields: dict[str, object], beside: list[dict[str, object]]) -> Decimal:
    """What the order would trade at: its limit, else its trigger, else the mark. Raises Unreadable."""
    for name in ("price", "stopPrice"):
        found = figure(fields, name)
        if found > _ZERO:
            return found
    marks = [mark for one in beside if (mark := figure(one, "markPrice")) > _ZERO]
    if marks:
        return marks[0]
    if figure(fields, "origQty") == _ZERO:
        return _ZERO  # it closes whatever there is, and adds nothing
    msg = "an order has no price, and its symbol no mark"
    raise Unreadable(msg)
