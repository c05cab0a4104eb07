"""What a recording knows of the markets: `ports.Market` over recorded bars and, where given, recorded funding.

A bar is visible from its close on, never before, and so is what is worked out of it. A fact that comes at intervals
ages from when its successor was due, not from its own time (``max_market_age_seconds``):

* until then it is as good as new, so ``as_of`` is the moment of asking: a later one would be a fact of the future;
* from then on ``as_of`` stays there, and the fact ages.

So it is with bars, of which a successor is due one interval after the last close, and with the mark, which in a
recording is the last close: nobody traded on a nearer one. With bars of 15 minutes it can be 15 minutes old and fresh.
Likewise with funding: the rate that was settled last stands for the next settlement, since the exchange's forecast was
not recorded, and the rate to come is not known before it is settled. The rules of the exchange, where given, hold for
the whole recording; of a symbol that they do not list nothing is said. A book is in no recording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.bars import interval_of
from petrosa_cio.apps.nurse.correlation import Correlations
from petrosa_cio.apps.nurse.facts import Fact, MarketState
from petrosa_cio.apps.nurse.guard import Guard
from petrosa_cio.apps.nurse.models import decimal_of
from petrosa_cio.apps.nurse.thresholds import Thresholds, thresholds_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.observations import Ruled
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.nurse.regime import Regime
    from petrosa_cio.core.exchange.funding import FundingTable
    from petrosa_cio.core.exchange.recording import KlineTable

_MS = 1_000_000
_HOUR_MS = 3_600_000


class RecordedMarket:
    """`ports.Market` on a recording, with the thresholds of one policy.

    A symbol's bars are folded when they are asked for, from the beginning of the recording, so that what is said does
    not depend on when it was asked before. That takes 15 µs for a bar of a minute and 60 µs for one as long as a sample
    of the guard; `look_back` does it beforehand. Asked for a time before the last one, it begins anew.
    """

    def __init__(
        self,
        bars: KlineTable,
        policy: Policy,
        funding: FundingTable | None = None,
        rules: Mapping[str, Ruled] | None = None,
    ) -> None:
        self._rules = rules or {}
        self._bars = bars
        self._policy = policy
        self._funding = funding
        self._thresholds: dict[str, Thresholds] = {}
        self._step_ms = self._thresholds_for("").sample
        self._keep_ms = round(policy.longest("correlation_hours") * _HOUR_MS)
        self._asked_ms = 0
        self._begin()

    def state(self, symbol: str, now: Instant) -> MarketState | None:
        """What the recording knew of ``symbol`` at ``now``; None where it had told nothing of it."""
        now_ms = now // _MS
        if now_ms < self._asked_ms:
            self._begin()
        self._asked_ms = now_ms
        as_of: list[tuple[Fact, Instant]] = []
        price: Decimal | None = None
        regime: Regime | None = None
        group: tuple[str, ...] | None = None
        last = self._bars.last_closed(symbol, now_ms)
        if last is not None:
            due = (last.close_time_ms + interval_of(last)) * _MS
            as_of += [(Fact.BARS, min(now, due)), (Fact.MARK, min(now, due))]
            price = decimal_of(last.close)
            regime, group = self._regime(symbol, now_ms), self._together(symbol, now_ms)
        settled = self._funding.last(symbol, now_ms) if self._funding else None
        expected = self._funding.next_ms(symbol, now_ms) if self._funding else None
        if expected is not None:
            as_of.append((Fact.FUNDING, min(now, expected * _MS)))
        rules = self._rules.get(symbol)
        if rules is not None:
            as_of.append((Fact.FILTERS, now))
        if not as_of:
            return None
        return MarketState(
            symbol=symbol,
            as_of=tuple(as_of),
            mark=price,
            last=price,
            status=rules.status if rules else None,
            contract_type=rules.contract_type if rules else None,
            step_size=rules.step_size if rules else None,
            tick_size=rules.tick_size if rules else None,
            min_notional=rules.min_notional if rules else None,
            min_quantity=rules.min_quantity if rules else None,
            max_quantity=rules.max_quantity if rules else None,
            brackets=rules.brackets if rules else None,
            funding_rate=settled.rate if settled else None,
            next_funding_at=None if expected is None else expected * _MS,
            regime=regime.label.value if regime else None,
            regime_confidence=regime.confidence if regime else None,
            volatility=regime.volatility if regime else None,
            correlated=group,
        )

    def look_back(self, now: Instant) -> None:
        """Fold all bars that had closed by ``now``, of every symbol, so that nobody has to wait for it later."""
        for symbol in self._bars.symbols:
            self.state(symbol, now)

    def _begin(self) -> None:
        self._guard = Guard(self._thresholds_for)
        self._folded_ms: dict[str, int] = {}
        """Of each symbol that was folded, the last close that was looked for."""
        self._regimes: dict[str, Regime] = {}
        """What the guard said, until a bar is folded."""
        self._correlations = Correlations(self._step_ms, self._keep_ms)
        self._step = 0
        """The last step whose closes the correlations have."""

    def _thresholds_for(self, symbol: str) -> Thresholds:
        """What the policy says of a market: a strategy's own limits do not reach it."""
        found = self._thresholds.get(symbol)
        if found is None:
            found = self._thresholds[symbol] = thresholds_of(self._policy.limits(symbol, "", None))
        return found

    def _regime(self, symbol: str, now_ms: int) -> Regime:
        for one in (symbol, *self._thresholds_for(symbol).leaders):
            for bar in self._bars.closed(one, self._folded_ms.get(one, -1), now_ms):
                self._guard.fold(bar)
                self._regimes.clear()
            self._folded_ms[one] = now_ms
        found = self._regimes.get(symbol)
        if found is None:
            found = self._regimes[symbol] = self._guard.regime(symbol)
        return found

    def _together(self, symbol: str, now_ms: int) -> tuple[str, ...]:
        """The symbols that move with this one, of those of which a bar had closed."""
        step = (now_ms + 1) // self._step_ms
        for number in range(max(self._step + 1, step - self._correlations.steps), step + 1):
            end = number * self._step_ms - 1
            for one in self._bars.symbols:
                bar = self._bars.last_closed(one, end)
                if bar is not None and bar.close_time_ms == end:
                    self._correlations.fold(bar)
        self._step = step
        known = [one for one in self._bars.symbols if self._bars.last_closed(one, now_ms) is not None]
        own = self._thresholds_for(symbol)
        return self._correlations.together(symbol, known, own.correlation_window, own.correlation, now_ms)
