"""What a book's account holds and has lost, folded from happenings: the `Portfolio` that a judgement stands on.

Fold what the ledger holds, in its order, and the holdings are the same, after a crash as on another machine. Which word
of the engine counts is told in `fills`, how the day's result is worked out in `equity`, results and streaks in
`results`; here they are put together:

* **Positions** are what the last report tells, and what was filled since its ``as_of``: an opening fill is a part of
  its own, a close takes off its strategy's part first. Where no report tells positions they are what fills left open,
  at the last price that was told (one-way netting is not known there: both sides stand).
* **Orders** are what the report tells, less what was filled of them since, and promoted orders that may still fill. An
  order that the report tells and whose ``placed`` was not heard counts twice: too much exposure for a moment is the
  safe mistake.
* **Results of strategies** are their closes less their fees since they began, and what they hold at the last price.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.equity import DAY, Equity, Loss
from petrosa_cio.apps.nurse.facts import Portfolio
from petrosa_cio.apps.nurse.fills import RETENTION, Fill, Fills
from petrosa_cio.apps.nurse.happenings import ExecutionKind
from petrosa_cio.apps.nurse.happenings_record import known, objects, part, report_content, report_of, whole, word
from petrosa_cio.apps.nurse.lots import Lots, fill_order, part_of, take_off
from petrosa_cio.apps.nurse.results import Results, scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.nurse.facts import Instant, OpenOrder, Position, Side
    from petrosa_cio.apps.nurse.happenings import AccountReport, Execution, PromotedOrder
    from petrosa_cio.apps.nurse.models import Json

QUOTES = frozenset({"USDT", "USDC", "BUSD", "FDUSD", "USD"})
"""Assets that count as the quote currency; a fee in any other cannot be priced here."""

_ZERO = Decimal(0)
_ASKED = 256
"""Portfolios kept for the same question; far more than a book has symbols and strategies at one moment."""


class _Shared(NamedTuple):
    """What every portfolio has in common, for as long as nothing is folded and ``now`` is within the bounds."""

    first: Instant
    last: Instant
    portfolio: Portfolio


class _Held(NamedTuple):
    """What is open, and what was lost since the report that it was worked out from."""

    positions: tuple[Position, ...]
    orders: tuple[OpenOrder, ...]
    losses: tuple[Loss, ...]


class Holdings:
    """The fold. Only reports of ``origin`` are taken; "" takes the first origin it hears and keeps to it."""

    def __init__(self, origin: str = "") -> None:
        self._origin = origin
        self._cursor = 0
        self._report: AccountReport | None = None
        self._ahead: list[tuple[Fill, Decimal]] = []
        self._fills, self._lots = Fills(), Lots()
        self._equity, self._results = Equity(), Results()
        self._shared: _Shared | None = None
        self._held: _Held | None = None
        self._asked: dict[tuple[str, str, Side | None], Portfolio] = {}
        self.unpriced_fees = 0
        """Fees in an asset that is not the quote currency: in no result here, except as the wallet shows them."""
        self.unpriced_closes = 0
        """Closes whose profit was not told and could not be worked out."""
        self.unsound = 0
        """Figures that were no numbers or impossible and were taken as not told; reports refused for their wallet."""

    @property
    def cursor(self) -> int:
        """The `Execution.sequence` that was folded last; lower than one before only where the stream was made anew."""
        return self._cursor

    @property
    def settled_at(self) -> Instant | None:
        """Of when the last report was; None while fills are known that it does not hold."""
        return None if self._report is None or self._ahead else self._report.as_of

    @property
    def peak_at(self) -> Instant | None:
        """When the highest equity was reported."""
        return self._equity.peak_at

    def promoted(self, order: PromotedOrder) -> None:
        """Expect an order whose decision is recorded. A ``close`` opens nothing and adds no order."""
        self._shared = None
        self._fills.promoted(replace(order, at=order.at // 1000 * 1000))

    def expired(self, decision_id: str) -> None:
        """Expect nothing of a decision that expired unpromoted."""
        self._shared = None
        self._fills.dropped(decision_id)

    def executed(self, execution: Execution) -> bool:
        """Fold one execution; False for a repeat, which changes nothing.

        A number that was read already is no repeat by itself: a stream that was made anew counts from 1 again, and what
        it holds is news. Only what is too old to be recognised by what it says is taken for one.
        """
        anew = 0 < execution.sequence <= self._cursor
        if anew and execution.at < self._fills.newest - RETENTION:
            return False
        heard = self._fills.heard(self._readable(execution))
        if not heard.news:
            return False
        self._cursor = execution.sequence or self._cursor
        self._shared = None
        if heard.fill is not None:
            self._filled(heard.fill)
        return True

    def reported(self, report: AccountReport) -> bool:
        """Take one report; False for one that is not newer than the last, of another origin, or without a wallet."""
        report = replace(report, as_of=report.as_of // 1000 * 1000)
        if self._origin and report.origin != self._origin:
            return False
        if self._report is not None and report.as_of <= self._report.as_of:
            return False
        if not report.wallet.is_finite():
            self.unsound += 1
            return False
        if report.unrealised is not None and not report.unrealised.is_finite():
            self.unsound += 1
            report = replace(report, unrealised=None)
        self._shared = self._held = None
        self._origin, self._report = report.origin, report
        self._ahead = [(fill, net) for fill, net in self._ahead if fill.at > report.as_of]
        today = report.as_of // DAY
        self._equity.reported(
            report,
            sum((net for _, net in self._ahead), _ZERO),
            sum((net for fill, net in self._ahead if fill.at // DAY == today), _ZERO),
        )
        self._fills.passed(report.as_of)
        if report.orders is not None:
            self._fills.gone(report.as_of)
        if report.positions is not None and _sound(report.positions):
            for strategy_id, result in self._lots.reported(report.positions, report.as_of):
                self._results.earned(strategy_id, result)
        self._results.marked(self._lots.open_parts())
        return True

    def portfolio(self, symbol: str, strategy_id: str, side: Side | None, now: Instant) -> Portfolio | None:
        """What is known at ``now``, of all that an intent of this symbol, strategy and side is judged on.

        Of results and streaks only what concerns it. None while no report was ever taken. Folds nothing: whether it is
        asked changes no later answer.
        """
        shared = self._shared
        if shared is None or not shared.first <= now <= shared.last:
            if self._report is None:
                return None
            shared = self._shared = self._share(self._report, now)
            self._asked.clear()
        key = (symbol, strategy_id, side)
        found = self._asked.get(key)
        if found is None:
            if len(self._asked) >= _ASKED:
                self._asked.clear()
            common = shared.portfolio
            found = self._asked[key] = Portfolio(
                common.as_of,
                common.equity,
                common.day_start_equity,
                common.peak_equity,
                common.realised_today,
                common.open_today,
                common.positions,
                common.orders,
                self._results.of_strategy(strategy_id),
                self._results.streaks(scopes_of(symbol, strategy_id, side), common.as_of),
            )
        return found

    def account(self, now: Instant) -> Portfolio | None:
        """What is known at ``now`` with the results of every strategy: what no intent asks for."""
        portfolio = self.portfolio("", "", None, now)
        return None if portfolio is None else replace(portfolio, strategies=self._results.of_all())

    def _filled(self, fill: Fill) -> None:
        """Count one fill, or the fee of one that was counted before."""
        self._held = None
        bare = fill.quantity == 0
        if not bare and fill.closes:
            fill = self._lots.closed(fill)
            self.unpriced_closes += fill.pnl is None
        elif not bare:
            self._lots.opened(fill)
        fee = _ZERO
        if fill.fee is not None and fill.fee_asset in QUOTES:
            fee = fill.fee
        elif fill.fee is not None:
            self.unpriced_fees += 1
        net = (fill.pnl or _ZERO) - fee
        ahead = self._report is None or fill.at > self._report.as_of
        if ahead:
            self._ahead.append((fill, net))
        self._equity.earned(net, fill.at, ahead=ahead)
        self._results.earned(fill.strategy_id, net)
        if fill.closes and not bare:
            self._results.closed(fill, None if fill.pnl is None else net)
        self._results.marked(self._lots.open_parts())

    def _readable(self, told: Execution) -> Execution:
        """``told`` with each figure that cannot be one taken as not told, and its time no further ahead than a day.

        A clock that far ahead would make it stand as filled since every report.
        """
        at = told.at // 1000 * 1000
        if self._fills.newest and at > self._fills.newest + DAY:
            at, self.unsound = self._fills.newest, self.unsound + 1
        closes = told.closes or told.kind is ExecutionKind.FORCE_CLOSED
        quantity, price = self._positive(told.quantity), self._positive(told.price)
        fee, pnl = self._finite(told.fee), self._finite(told.pnl)
        return replace(told, at=at, closes=closes, quantity=quantity, price=price, fee=fee, pnl=pnl)

    def _finite(self, figure: Decimal | None) -> Decimal | None:
        if figure is None or figure.is_finite():
            return figure
        self.unsound += 1
        return None

    def _positive(self, figure: Decimal | None) -> Decimal | None:
        """A positive figure, else None; 0 is how engines write what they do not know."""
        figure = self._finite(figure)
        if figure is None or figure > 0:
            return figure
        self.unsound += figure < 0
        return None

    def _share(self, report: AccountReport, now: Instant) -> _Shared:
        if self._held is None:
            self._held = self._hold(report)
        standing = self._equity.standing(now, self._held.losses)
        pending, until = self._fills.pending(now)
        last = (now // DAY + 1) * DAY - 1
        orders: tuple[OpenOrder, ...] = (*self._held.orders, *pending)
        portfolio = Portfolio(
            as_of=report.as_of,
            equity=standing.equity,
            day_start_equity=standing.day_start,
            peak_equity=standing.peak,
            realised_today=standing.realised,
            open_today=standing.open,
            positions=self._held.positions,
            orders=orders,
        )
        return _Shared(now, last if until is None else min(last, until), portfolio)

    def _hold(self, report: AccountReport) -> _Held:
        orders = self._still_open(report)
        if report.positions is None:
            return _Held(tuple(self._lots.positions()), orders, self._unplaced(report.unrealised))
        if not _sound(report.positions):
            # As told: whoever judges strikes them out.
            return _Held(report.positions, orders, self._unplaced(report.unrealised))
        parts, losses = list(report.positions), []
        # At one moment what opens comes first, so that a close finds it in whatever order the two were told.
        for fill, net in sorted(self._ahead, key=lambda one: (one[0].at, one[0].closes)):
            if fill.closes:
                losses.append(Loss(fill.at, net - take_off(parts, fill)))
                continue
            losses.append(Loss(fill.at, net))
            if (opened := part_of(fill)) is not None:
                parts.append(opened)
        return _Held(tuple(parts), orders, tuple(one for one in losses if one.amount < 0))

    def _still_open(self, report: AccountReport) -> tuple[OpenOrder, ...]:
        """Orders that the report tells, less what was filled of them since: a fill is a position, and no order."""
        orders = list(report.orders or ())
        if not _sound(orders):
            return tuple(orders)
        for fill, _ in self._ahead:
            if fill.reported:
                fill_order(orders, fill)
        return tuple(orders)

    def _unplaced(self, unrealised: Decimal | None) -> tuple[Loss, ...]:
        """Losses since the report, where it does not tell on which position: as far as one was unrealised, on those."""
        held, losses = min(_ZERO, unrealised or _ZERO), []
        for fill, net in self._ahead:
            known_of = max(held, min(_ZERO, net))
            held -= known_of
            if net < known_of:
                losses.append(Loss(fill.at, net - known_of))
        return tuple(losses)

    def under(self, origin: str) -> None:
        """Go on with reports of ``origin``. Where that is another one, all balances are forgotten, and what fills told
        stays: it is the engine's, whoever tells of the account.
        """
        if not origin or origin == self._origin:
            return
        self._origin, self._report = origin, None
        self._equity = self._equity.without_balances()
        self._shared = self._held = None

    def content(self) -> dict[str, Json]:
        """All of it as one JSON object: `read` gives holdings that behave the same ever after."""
        ahead: list[Json] = [{**fill.content(), "net": str(net)} for fill, net in self._ahead]
        return {
            "origin": self._origin,
            "cursor": self._cursor,
            "report": None if self._report is None else report_content(self._report),
            "ahead": ahead,
            "fills": self._fills.content(),
            "lots": self._lots.content(),
            "equity": self._equity.content(),
            "results": self._results.content(),
            "unpriced_fees": self.unpriced_fees,
            "unpriced_closes": self.unpriced_closes,
            "unsound": self.unsound,
        }

    @classmethod
    def read(cls, content: dict[str, Json]) -> Holdings:
        """The holdings that `content` wrote. Raises ValueError or ArithmeticError where it wrote none."""
        made = cls(word(content, "origin") or "")
        made._cursor = whole(content, "cursor")
        report = content.get("report")
        made._report = report_of(report) if isinstance(report, dict) else None
        made._ahead = [(Fill.read(one), known(one, "net")) for one in objects(content, "ahead")]
        made._fills = Fills.read(part(content, "fills"))
        made._lots = Lots.read(part(content, "lots"))
        made._equity = Equity.read(part(content, "equity"))
        made._results = Results.read(part(content, "results"))
        made.unpriced_fees = whole(content, "unpriced_fees")
        made.unpriced_closes = whole(content, "unpriced_closes")
        made.unsound = whole(content, "unsound")
        return made


def _sound(open_ones: Iterable[Position | OpenOrder]) -> bool:
    """Whether positions or orders can be reckoned with at all."""
    return all(one.quantity.is_finite() and one.notional.is_finite() and one.quantity >= 0 for one in open_ones)
