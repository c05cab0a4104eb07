"""An execution engine and its account, simulated on closed bars: what `ports.Accounts` gives in a replay and in ``up``.

The rules, and why each is what it is. Nothing is known before its time: whatever happens inside a bar becomes known
when the bar closes, and bears that time.

* A market order fills at the open of the first bar that opens at or after its decision: an earlier bar has seen prices
  from before it. If that bar is not there yet, the order waits, as pending.
* Stop and target are watched from the bar after the fill: the engine places them when it has heard of the fill.
  Where one bar touches both, the stop counts, since a bar does not tell which came first. A price that opens beyond a
  stop or a target fills it at the open, which is the first price that could be had.
* A ``close`` takes off what its strategy has open on the symbol, at the open of the next bar like any market order;
  the position of another strategy is not its to close.
* In one-way mode an entry first takes off what is open on the other side, oldest lots first, whosever they are, as the
  exchange nets one position; only the rest opens. The profit belongs to the strategy whose lot it was.
* Every fill pays the taker's fee, exits too: all are market orders. No slippage, no partial fills: a bar has no book.
* What is open is valued at the last close. When equity is not above zero at a close, everything is closed there, and
  entries are refused from then on. There is no margin call before, so a simulated account dies later than a real one.
* Funding, where it is given, is paid at its time on what is known to be open then.
* An entry whose bar has not come and closed within a day is refused: the engine drops signals of five minutes ago, and
  a hole in a recording is no market. An entry on a symbol without any price before it is refused at once. A ``close``
  waits.

The same calls give the same happenings, and when `due` is asked decides nothing but how often the account is reported.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from decimal import Decimal
from enum import IntEnum
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Protocol

from petrosa_cio.apps.nurse.facts import OpenOrder, Side
from petrosa_cio.apps.nurse.happenings import AccountReport
from petrosa_cio.apps.nurse.models import SECOND, decimal_of
from petrosa_cio.apps.nurse.simulated_fills import ORIGIN, Fills

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from petrosa_cio.apps.nurse.bars import Bar
    from petrosa_cio.apps.nurse.happenings import Happening, PromotedOrder
    from petrosa_cio.apps.nurse.models import Instant

TAKER_FEE: Decimal = Decimal("0.0004")
"""Fraction of notional: Binance USD-M futures, taker, 4 basis points. `taker_fee_bps` of a policy says what a fund
pays."""
EXCHANGE_MINIMUM: Decimal = Decimal(50)
"""Notional in USDT of an order without a size: the largest MIN_NOTIONAL of Binance's exchangeInfo (2026-07: BTCUSDT 50,
ETHUSDT 20, most others 5), so that what is open is rather counted too large than too small."""

REPORT_EVERY: Instant = 900 * SECOND
"""How often the account is reported while something is open: a quarter of an hour, so midnight is one of its times."""
FRESH_FOR: Instant = 30 * SECOND
"""How old the last report may be when `due` is asked: half of what `max_account_age_seconds` tolerates by default."""
LONGEST_WAIT: Instant = 86_400 * SECOND

_MS = 1_000_000
_ZERO = Decimal(0)


class Prices(Protocol):
    """Recorded or collected bars of many symbols, each to be seen from its ``close_time_ms`` on, never before."""

    def closed(self, symbol: str, after_ms: int, upto_ms: int) -> Iterable[Bar]:
        """The bars of ``symbol`` that closed after ``after_ms`` and by ``upto_ms``, in order."""

    def last_closed(self, symbol: str, at_ms: int) -> Bar | None:
        """The last bar that had closed at ``at_ms``, or None where none had."""


class FundingTime(NamedTuple):
    """One settlement of funding: longs pay ``rate`` times notional to shorts; where it is negative, shorts pay."""

    symbol: str
    at_ms: int
    rate: Decimal
    """Fraction of notional."""
    mark: Decimal | None = None
    """Price at which the notional is taken; None: the last close."""


class _What(IntEnum):
    """What a moment brings, in the order in which it counts at one and the same time."""

    BAR = 0
    FUNDING = 1
    REFUSAL = 2
    VALUATION = 3
    ASKED = 4


class _Moment(NamedTuple):
    at_ms: int
    what: _What
    symbol: str = ""
    bar: Bar | None = None
    funding: FundingTime | None = None


class _Prices(NamedTuple):
    """A bar's prices as decimals."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class SimulatedEngine:
    """`ports.Accounts` on bars. Works on symbols with something open or waiting only; the rest costs nothing."""

    def __init__(
        self,
        equity: Decimal,
        prices: Prices,
        *,
        fee_rate: Decimal = TAKER_FEE,
        order_notional: Decimal = EXCHANGE_MINIMUM,
        report_every: Instant = REPORT_EVERY,
        fresh_for: Instant = FRESH_FOR,
        one_way: bool = True,
        funding: Iterable[FundingTime] = (),
    ) -> None:
        """Take the wallet to begin with. ``fee_rate`` is a fraction of notional, ``order_notional`` the size of an
        order that names none; without ``one_way`` both sides of a symbol can be open at once."""
        self._equity = equity
        self._prices = prices
        self._fee_rate = fee_rate
        self._order_notional = order_notional
        self._report_every_ms = report_every // _MS
        self._fresh_ms = fresh_for // _MS
        self._one_way = one_way
        self._funding = sorted(funding, key=lambda one: (one.at_ms, one.symbol))
        self.begin(0)

    @property
    def behind(self) -> bool:
        """Never: all that happens happens in here."""
        return False

    def begin(self, after: int) -> None:
        """Start anew with nothing open; what follows is told from the execution after number ``after`` on."""
        self._fills = Fills(self._equity, self._fee_rate, self._order_notional, one_way=self._one_way)
        self._lots = self._fills.lots
        self._waiting: dict[str, list[PromotedOrder]] = {}
        self._until: int | None = None
        """Up to when everything has happened, ms; None before the first question."""
        self._seen: dict[str, int] = {}
        """Of each symbol that is busy, the close of the last bar that went by."""
        self._after = after
        self._reported: int | None = None
        self._changed = True
        self._told: list[Happening] = []

    def promoted(self, order: PromotedOrder) -> None:
        """Take an order in; it fills at the open of the next bar."""
        self._waiting.setdefault(order.symbol, []).append(order)
        self._seen.setdefault(order.symbol, order.at // _MS - 1)

    def due(self, now: Instant) -> Sequence[Happening]:
        """What happened up to ``now`` and was not given yet, in order of time; nothing where time went back."""
        upto = now // _MS
        if self._until is None:
            self._until = self._beginning(upto)
        if upto <= self._until:
            return ()
        for at_ms, together in groupby(self._moments(self._until, upto), key=lambda moment: moment.at_ms):
            self._happen(at_ms, tuple(together))
        self._until = upto
        self._seen = {symbol: close_ms for symbol, close_ms in self._seen.items() if self._is_busy(symbol)}
        told, self._told = self._told, []
        return told

    def _beginning(self, upto: int) -> int:
        """Just before the first order that was told; where there is none, just before now: nothing can have been."""
        first = [order.at // _MS for orders in self._waiting.values() for order in orders]
        return min([upto, *first]) - 1

    def _moments(self, after: int, upto: int) -> Iterator[_Moment]:
        """What may matter in the time after ``after`` up to ``upto``, in order. Only `promoted` makes a symbol busy, so
        those that are busy now are all that will be."""
        streams: list[Iterable[_Moment]] = [self._bars(symbol, after, upto) for symbol in sorted(self._seen)]
        if streams:
            streams += [self._fundings(after, upto), self._refusals(after, upto), self._valuations(after, upto)]
        streams.append([_Moment(upto, _What.ASKED)])
        return heapq.merge(*streams, key=lambda moment: moment[:3])

    def _bars(self, symbol: str, after: int, upto: int) -> Iterator[_Moment]:
        """The bars not seen yet, each at its close; one that was told late, when it is there, since nothing can have
        happened by it before."""
        for bar in self._prices.closed(symbol, self._seen[symbol], upto):
            if not self._is_busy(symbol):
                return
            self._seen[symbol] = bar.close_time_ms
            yield _Moment(max(bar.close_time_ms, after + 1), _What.BAR, symbol, bar)

    def _is_busy(self, symbol: str) -> bool:
        return symbol in self._waiting or bool(self._lots.of(symbol))

    def _fundings(self, after: int, upto: int) -> Iterator[_Moment]:
        for place in range(bisect_right(self._funding, after, key=lambda one: one.at_ms), len(self._funding)):
            one = self._funding[place]
            if one.at_ms > upto:
                return
            yield _Moment(one.at_ms, _What.FUNDING, one.symbol, funding=one)

    def _refusals(self, after: int, upto: int) -> Iterator[_Moment]:
        """When waiting entries are given up, if nothing fills them before."""
        entries = [one for orders in self._waiting.values() for one in orders if one.side is not None]
        times = {max(self._given_up(one), after + 1) for one in entries}
        return (_Moment(at_ms, _What.REFUSAL) for at_ms in sorted(times) if at_ms <= upto)

    def _given_up(self, order: PromotedOrder) -> int:
        at_ms = order.at // _MS
        priced = self._prices.last_closed(order.symbol, at_ms) is not None
        return (order.at + LONGEST_WAIT) // _MS if priced else at_ms + 1

    def _valuations(self, after: int, upto: int) -> Iterator[_Moment]:
        every = self._report_every_ms
        return (_Moment(at_ms, _What.VALUATION) for at_ms in range((after // every + 1) * every, upto + 1, every))

    def _happen(self, at_ms: int, moments: tuple[_Moment, ...]) -> None:
        """All that happens at one time, and then one report of it if there is need."""
        for moment in moments:
            if moment.bar is not None:
                self._pass(moment.symbol, moment.bar, at_ms)
            elif moment.funding is not None:
                one = moment.funding
                self._fills.settle(one.symbol, one.rate, one.mark)
                self._changed |= bool(self._lots.of(one.symbol))
            elif moment.what is _What.REFUSAL:
                self._give_up(at_ms)
        if self._lots.symbols and self._lots.equity <= _ZERO:
            self._fills.liquidate(at_ms)
        executions = self._fills.told()
        self._told += [one for one in executions if one.sequence > self._after]
        brought = {moment.what for moment in moments}
        stale = self._reported is None or at_ms - self._reported > self._fresh_ms
        valued = _What.VALUATION in brought and self._changed and bool(self._lots.symbols)
        if executions or valued or (_What.ASKED in brought and stale):
            self._report(at_ms)

    def _pass(self, symbol: str, bar: Bar, at_ms: int) -> None:
        """One bar goes by: what rests at its open, what was to be filled there, what it touched, and its close."""
        prices = _Prices(*map(decimal_of, (bar.open, bar.high, bar.low, bar.close)))
        held = {lot.decision_id for lot in self._lots.of(symbol)}
        for lot in self._lots.of(symbol):
            self._fills.protect(lot, at_ms, prices.open, prices.open, gap=True)
        ripe = [one for one in self._waiting.get(symbol, ()) if one.at <= bar.open_time_ms * _MS]
        for order in ripe:
            self._fills.fill(order, prices.open, at_ms)
        self._no_longer(symbol, ripe)
        for lot in self._lots.of(symbol):
            if lot.decision_id in held:
                worst, best = (prices.low, prices.high) if lot.side is Side.LONG else (prices.high, prices.low)
                self._fills.protect(lot, at_ms, worst, best, gap=False)
        self._lots.mark(symbol, prices.close)
        self._changed |= bool(self._lots.of(symbol))

    def _no_longer(self, symbol: str, done: list[PromotedOrder]) -> None:
        left = [one for one in self._waiting.get(symbol, ()) if one not in done]
        if left:
            self._waiting[symbol] = left
        else:
            self._waiting.pop(symbol, None)

    def _give_up(self, at_ms: int) -> None:
        """Refuse the entries that have waited too long; what only closes goes on waiting."""
        for symbol, orders in list(self._waiting.items()):
            late = [one for one in orders if one.side is not None and self._given_up(one) <= at_ms]
            for order in late:
                self._fills.refuse(order, at_ms, "no_price")
            self._no_longer(symbol, late)

    def _report(self, at_ms: int) -> None:
        """Report the account as it is at ``at_ms``, unless whoever began later has known of that time already."""
        self._reported, self._changed = at_ms, False
        if self._fills.sequence < self._after:
            return
        self._told.append(
            AccountReport(
                origin=ORIGIN,
                as_of=at_ms * _MS,
                wallet=self._lots.wallet,
                unrealised=self._lots.unrealised,
                positions=tuple(self._lots.positions()),
                orders=tuple(self._pending(at_ms * _MS)),
            )
        )

    def _pending(self, at: Instant) -> Iterator[OpenOrder]:
        """Entries that waited for their bar at ``at``. A waiting ``close`` has no size of its own and only takes off;
        orders of later are here where they are told once more after a restart."""
        for symbol in sorted(self._waiting):
            for one in self._waiting[symbol]:
                if one.side is not None and one.at <= at:
                    quantity = self._fills.quantity(one)
                    yield OpenOrder(symbol, one.side, quantity, quantity * one.price, one.leverage)
