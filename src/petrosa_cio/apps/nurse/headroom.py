"""Headroom: how much of each limit is used, and when somebody must be told before it is reached.

Read from what a decision's own checks observed, so whoever follows the ledger sees the same. Usage is what is taken
already as a share of the limit: at 1 nothing more fits. The order that asks is not counted, but where the control's
own figure includes it (PORTFOLIO_LEVERAGE).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from petrosa_cio.apps.nurse.models import Outcome
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from petrosa_cio.apps.nurse.models import Observation, Scalar

CLEARS: Decimal = Decimal("0.9")
"""A warning is over when usage has fallen under this share of the threshold: a figure on the edge warns once."""

MOST = 4096
"""Warnings that are remembered as given, the latest of them: one that was forgotten is given again."""

LEVERAGE: frozenset[Reason] = frozenset({Reason.LEVERAGE_BOUND, Reason.PORTFOLIO_LEVERAGE})
"""The controls whose blocks are breaches of leverage."""

_ONE = Decimal(1)

_Numbers: TypeAlias = "Mapping[str, Scalar]"
Place: TypeAlias = tuple[Reason, str]
"""Which limit, and of what: a symbol, a strategy, a scope, or of the whole account (empty)."""


class Usage(NamedTuple):
    """How much of one limit is taken, as a share of it."""

    code: Reason
    of: str
    share: Decimal


class NearLimit(NamedTuple):
    """One limit of which more is used than may be without a word. Shares are fractions of the limit."""

    code: Reason
    of: str
    usage: Decimal
    threshold: Decimal


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose intent it was that the checks looked at."""

    strategy_id: str
    symbol: str


def _number(numbers: _Numbers, name: str) -> Decimal:
    value = numbers[name]
    if isinstance(value, Decimal | int):
        return Decimal(value)
    msg = f"{name} is no number"
    raise TypeError(msg)


def _share(value: Decimal, limit: Decimal) -> Decimal:
    """``value`` as a share of ``limit``; of a limit that admits nothing all is taken."""
    return max(Decimal(0), value) / limit if limit > 0 else _ONE


def _of_equity(name: str, equity: str) -> Callable[[_Numbers], Decimal]:
    """An amount against a limit that is a fraction of equity."""
    return lambda seen: _share(_number(seen, name), _number(seen, "limit") * _number(seen, equity))


def _plain(name: str, limit: str = "limit") -> Callable[[_Numbers], Decimal]:
    """A figure against a limit of its own unit."""
    return lambda seen: _share(_number(seen, name), _number(seen, limit))


def _account(_: Asked, __: _Numbers) -> str:
    return ""


def _symbol(asked: Asked, _: _Numbers) -> str:
    return asked.symbol


def _strategy(asked: Asked, _: _Numbers) -> str:
    return asked.strategy_id


def _scope(_: Asked, numbers: _Numbers) -> str:
    return str(numbers["scope"])


class _Measure(NamedTuple):
    code: Reason
    share: Callable[[_Numbers], Decimal]
    of: Callable[[Asked, _Numbers], str] = _account


MEASURES: tuple[_Measure, ...] = (
    _Measure(Reason.MAX_CONCURRENT_POSITIONS, _plain("open")),
    _Measure(Reason.MAX_ORDERS, _plain("open")),
    _Measure(Reason.MAX_ORDERS, _plain("open_on_symbol", "limit_per_symbol"), _symbol),
    _Measure(Reason.PORTFOLIO_EXPOSURE, _of_equity("open", "equity")),
    _Measure(Reason.SYMBOL_CONCENTRATION, _of_equity("open", "equity"), _symbol),
    _Measure(Reason.CORRELATED_EXPOSURE, _of_equity("open", "equity"), _symbol),
    _Measure(Reason.PORTFOLIO_LEVERAGE, _plain("leverage")),
    _Measure(Reason.DAILY_LOSS, _of_equity("loss", "day_start_equity")),
    _Measure(Reason.DRAWDOWN, _plain("drawdown")),
    _Measure(Reason.STRATEGY_DRAWDOWN, _of_equity("fall", "equity"), _strategy),
    _Measure(Reason.LOSS_STREAK, _plain("losses"), _scope),
    _Measure(Reason.DAILY_TRADES, _plain("count"), _scope),
    _Measure(Reason.ORDER_RATE, _plain("count"), _scope),
)
"""The limits that are warned of, and how their usage follows from the numbers of their check."""

_BY_CODE: Mapping[Reason, tuple[_Measure, ...]] = {
    code: tuple(one for one in MEASURES if one.code is code) for code in {one.code for one in MEASURES}
}


def usages_of(observed: Iterable[Observation], asked: Asked) -> Iterator[Usage]:
    """How much is used of each limit that the checks looked at; what had nothing to look for says nothing."""
    for code, outcome, numbers in observed:
        if outcome is not Outcome.UNEVALUATED and numbers:
            seen = dict(numbers)
            for measure in _BY_CODE.get(code, ()):
                yield Usage(code, measure.of(asked, seen), measure.share(seen))


def warnings_of(observed: Iterable[Observation], asked: Asked, threshold: Decimal) -> tuple[NearLimit, ...]:
    """Every limit of which ``threshold`` or more is used, as a fraction; at the threshold itself it warns."""
    return tuple(
        NearLimit(code, of, share, threshold) for code, of, share in usages_of(observed, asked) if share >= threshold
    )


@dataclass(slots=True)
class Headroom:
    """What somebody was warned of, over a stream of decisions: once each time a limit's threshold is crossed."""

    _warned: OrderedDict[Place, None] = field(default_factory=OrderedDict)

    def look(self, observed: Iterable[Observation], asked: Asked, threshold: Decimal) -> tuple[NearLimit, ...]:
        """What to warn of after this decision."""
        new: list[NearLimit] = []
        for code, of, share in usages_of(observed, asked):
            place = (code, of)
            if share >= threshold:
                if place not in self._warned:
                    new.append(NearLimit(code, of, share, threshold))
                self._warned[place] = None
                self._warned.move_to_end(place)
            elif share < threshold * CLEARS:
                self._warned.pop(place, None)
        while len(self._warned) > MOST:
            self._warned.popitem(last=False)
        return tuple(new)


@dataclass(slots=True)
class Breaches:
    """Breaches of leverage since somebody was last told."""

    count: int = 0

    def look(self, reasons: Iterable[Observation], threshold: int) -> int:
        """Count a decision that leverage blocked; at ``threshold`` return the count and begin anew, else 0."""
        if not any(code in LEVERAGE and outcome is Outcome.BLOCK for code, outcome, _ in reasons):
            return 0
        self.count += 1
        if self.count < threshold:
            return 0
        told, self.count = self.count, 0
        return told
