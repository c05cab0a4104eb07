"""The engine of `up`: hears signals as the real one does, and tells what a simulated account makes of them.

What it tells looks as if the fleet's engine told it: executions on ``execution.events.<strategy>``, stored by their
stream before they count as told, and reports of the account beside them.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from pydantic import ValidationError

from petrosa_cio.apps.nurse.facts import Side
from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, PromotedOrder
from petrosa_cio.apps.nurse.models import Intent, decimal_of
from petrosa_cio.core import clock
from petrosa_cio.core.nats import subjects
from petrosa_cio.core.nats.executions import encode
from petrosa_cio.core.nats.reports import encode_report
from petrosa_cio.core.nats.trouble import Interrupted
from petrosa_cio.core.nats.wire import subject_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Instant
    from petrosa_cio.apps.nurse.ports import Accounts
    from petrosa_cio.core.nats.link import Link

SIGNAL_SUBJECTS = ("signals.trading", "signals.trading.>")
LOOK_SECONDS = 0.25

_ONE = Decimal(1)


async def simulated_engine(
    link: Link,
    book: str,
    accounts: Accounts,
    log: Callable[[str, dict[str, object]], None],
    now: Callable[[], Instant] = clock.now_ns,
    reported: Callable[[AccountReport], None] = lambda _: None,
) -> None:
    """Trade every signal on ``accounts``, and tell what comes of it, until cancelled.

    The stream of executions must be there. Raises BusError once the link was closed.
    """
    engine = SimulatedDesk(link, book, accounts, log, now, reported)
    accounts.begin(0)
    async with link.listening(SIGNAL_SUBJECTS, engine.hear):
        while True:
            await engine.look()
            await asyncio.sleep(LOOK_SECONDS)


@dataclass(slots=True)
class SimulatedDesk:
    """What one simulated engine has heard and has to tell."""

    link: Link
    book: str
    accounts: Accounts
    log: Callable[[str, dict[str, object]], None]
    now: Callable[[], Instant]
    reported: Callable[[AccountReport], None] = lambda _: None
    """Told of every report that is published."""
    refused: int = 0
    """Signals that could not be read."""
    _untold: deque[Execution] = field(default_factory=deque)
    _report: AccountReport | None = None

    async def hear(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:  # noqa: ARG002
        """A signal came."""
        order = order_of(payload, self.now())
        if order is not None:
            self.accounts.promoted(order)
            return
        self.refused += 1
        if self.refused == 1:
            self.log("ALARM: a signal cannot be read; further ones are counted", {"subject": ascii(subject)[:80]})

    async def look(self) -> None:
        """Tell what is due. What cannot be told now is told at a later look, in order; of reports only the newest."""
        for happening in self.accounts.due(self.now()):
            match happening:
                case Execution():
                    self._untold.append(happening)
                case AccountReport():
                    self._report = happening
        try:
            while self._untold:
                told = self._untold[0]
                await self.link.stored(subjects.execution_subject(subject_token(told.strategy_id)), encode(told), {})
                self._untold.popleft()
            if self._report is not None:
                await self.link.publish(subjects.account_subject(self.book), encode_report(self._report))
                self.reported(self._report)
                self._report = None
        except Interrupted:
            await self.link.stands()


@dataclass(slots=True)
class KeptEquity:
    """What a simulated account came to, in a file: the next one begins with it, or its loss would be counted twice.

    What was open is taken as closed at the last price.
    """

    path: Path
    log: Callable[[str, dict[str, object]], None]
    _last: Decimal | None = None

    def read(self) -> Decimal | None:
        """The equity that was kept; None where there is none to go on with."""
        try:
            equity = Decimal(json.loads(self.path.read_text(encoding="utf-8"))["equity"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, InvalidOperation) as error:
            self.log("what the simulated account came to cannot be read; it begins anew", {"why": repr(error)})
            return None
        return equity if equity.is_finite() and equity > 0 else None

    def keep(self, report: AccountReport) -> None:
        """Keep what ``report`` comes to, whole or not at all; a disk that does not take it is told of once."""
        equity = report.wallet + (report.unrealised or 0)
        if equity == self._last:
            return
        part = self.path.with_suffix(".part")
        try:
            part.write_text(json.dumps({"equity": str(equity)}), encoding="utf-8")
            part.replace(self.path)
        except OSError as error:
            if self._last is not None:
                self.log("what the simulated account came to cannot be kept", {"why": str(error)})
        self._last = equity


def order_of(payload: bytes, at: Instant) -> PromotedOrder | None:
    """The order that a signal asks for, as of ``at``; None for what is no signal to trade. Never raises.

    A size in percent is left to the engine, which knows its account: the quantity is None then, as where it is 0.
    """
    try:
        fields = json.loads(payload)
        signal = Intent.model_validate(fields)
    except (ValidationError, ValueError, RecursionError):
        return None
    price = _decimal(signal.price if signal.price is not None else signal.current_price)
    decision_id = fields.get("decision_id")
    if signal.action == "hold" or not isinstance(decision_id, str) or (price is None and signal.adds_risk):
        return None
    quantity = _quantity(signal, price)
    return PromotedOrder(
        decision_id=decision_id,
        strategy_id=signal.strategy_id,
        symbol=signal.symbol,
        side=signal.side,
        at=at,
        price=price or Decimal(0),
        leverage=_ONE if signal.recommended_leverage is None else Decimal(signal.recommended_leverage),
        quantity=quantity,
        notional=None if quantity is None or price is None else quantity * price,
        stop=_level(signal.stop_loss, signal.stop_loss_pct, price, signal.side, -1),
        target=_level(signal.take_profit, signal.take_profit_pct, price, signal.side, +1),
    )


def _decimal(number: float | None) -> Decimal | None:
    return None if number is None else decimal_of(number)


def _quantity(signal: Intent, price: Decimal | None) -> Decimal | None:
    if signal.position_size_pct is not None:
        return None
    if signal.quantity:
        return decimal_of(signal.quantity)
    if signal.quote_quantity and price:
        return decimal_of(signal.quote_quantity) / price
    return None


def _level(
    given: float | None, fraction: float | None, price: Decimal | None, side: Side | None, towards: int
) -> Decimal | None:
    """A protective level: as given, or that fraction of the price away; ``towards`` is +1 where profit lies."""
    if given is not None:
        return decimal_of(given)
    if fraction is None or price is None or side is None:
        return None
    sign = towards if side is Side.LONG else -towards
    return price * (1 + sign * decimal_of(fraction))
