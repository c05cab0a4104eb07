"""Equity, the day's result and the peak, from reports of a wallet and what fills explain of its changes.

The wallet is the truth. At any moment::

    realised today + open today  =  equity - equity at the day's start

so a fill that is told a little before or after the report which holds it moves an amount between the two on the left,
and never counts it twice.

**What the report does not hold yet.** A fill that is later than the report, and loses more than the report showed as
unrealised on what it closed (or pays a fee), lowers equity at once: the next intent must not be judged as if it had
lost nothing. A gain counts when a report shows it. Where the wallet fell already and nothing explains it, that much of
the loss is taken to be in it: clocks race.

**What no fill explains.** A wallet can change without a word: funding, a deposit or withdrawal, a fee or a close that
the engine did not tell. Nothing tells these apart, so the safe side is taken. A *decrease* counts as a loss of its day,
whatever it was: a withdrawal reads as a loss until the next day, and as drawdown. An *increase* is no profit: it raises
the equity at the day's start and the peak with it, funding received included. A change must stand for `STANDS` before
it is settled so, since the word that explains it may be late; until then an increase raises both for as long as it
lasts (as far as equity rose by it), and a decrease is part of the open result.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.nurse.happenings_record import (
    figure,
    instant,
    known,
    moment,
    objects,
    present,
    text,
    whole,
    written,
)
from petrosa_cio.apps.nurse.models import SECOND, iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.happenings import AccountReport
    from petrosa_cio.apps.nurse.happenings_record import Content

DAY: int = 86_400 * SECOND
STANDS: int = 60 * SECOND
"""How long a change of the wallet must stand unexplained before it is settled."""

_KEPT_DAYS = 2
_ZERO = Decimal(0)


class Standing(NamedTuple):
    """Where the account stands, quote currency; None where the reports do not tell the unrealised profit."""

    equity: Decimal | None
    day_start: Decimal | None
    peak: Decimal | None
    realised: Decimal
    open: Decimal | None


class Loss(NamedTuple):
    """What one fill took from equity, negative, beyond what was unrealised on it already."""

    at: Instant
    amount: Decimal


@dataclass(slots=True)
class _Day:
    """One day, from 00:00 UTC."""

    realised: Decimal = _ZERO
    """What fills told."""
    unexplained: Decimal = _ZERO
    """Settled decreases, negative."""
    first: Instant | None = None
    """When its first report with an equity was of."""
    start: Decimal | None = None
    """Equity at 00:00, worked out from that report."""
    carried: Decimal = _ZERO
    """Increase that had come before that report and was not settled yet: it is in ``start`` already."""


class Equity:
    """The account of one origin. Results of fills and reports come in the order in which they are told."""

    def __init__(self) -> None:
        self.peak_at: Instant | None = None
        """When the highest equity was reported."""
        self._as_of: Instant = 0
        self._equity: Decimal | None = None
        self._wallet = _ZERO
        self._since: Instant | None = None  # from here on fills explain the wallet
        self._explained = _ZERO
        """What the wallet would be by its first report and all fills since."""
        self._stood = _ZERO
        self._stood_since: Instant = 0
        self._before: Decimal | None = None
        self._peak: Decimal | None = None
        self._days: dict[int, _Day] = {}
        self._ahead = _ZERO
        """Result of fills that are later than the last report: not in its wallet."""

    def earned(self, result: Decimal, at: Instant, *, ahead: bool) -> None:
        """Count the result of a fill, fee taken off. ``ahead``: it is later than the last report."""
        day = self._days.setdefault(at // DAY, _Day())
        day.realised += result
        if day.start is not None and day.first is not None and at <= day.first:
            day.start -= result  # it was in the first report's equity already, and happened since 00:00
        if ahead:
            self._ahead += result
        if self._since is not None and at > self._since:
            self._explained += result
        self._raise_peak()

    def reported(self, report: AccountReport, ahead: Decimal, ahead_today: Decimal) -> None:
        """Take a report. ``ahead``: result of all fills later than it; ``ahead_today``: of those on its day."""
        equity = None if report.unrealised is None else report.wallet + report.unrealised
        before, self._equity, self._wallet, self._ahead = self._equity, equity, report.wallet, ahead
        self._as_of = report.as_of
        if self._since is None:
            self._since, self._explained = report.as_of, report.wallet + ahead
        day = self._days.setdefault(report.as_of // DAY, _Day())
        settled = self._weigh(report.as_of, before)
        if equity is not None and day.start is None:
            day.first, day.start = report.as_of, equity - (day.realised - ahead_today)
            day.carried = self._lift()
        elif settled > 0:
            more = max(_ZERO, settled - day.carried)
            day.start = None if day.start is None else day.start + more
            day.carried = max(_ZERO, day.carried - settled)
        elif settled < 0:
            day.unexplained += settled
        if settled > 0 and self._peak is not None:
            self._peak += settled
        self._raise_peak()
        for old in [number for number in self._days if number < report.as_of // DAY - _KEPT_DAYS]:
            del self._days[old]

    def without_balances(self) -> Equity:
        """The account as the first report of another origin finds it: only what fills told of each day."""
        made = Equity()
        made._days = {number: _Day(realised=day.realised) for number, day in self._days.items()}
        return made

    def standing(self, now: Instant, losses: Sequence[Loss] = ()) -> Standing:
        """Where the account stands on the day of ``now``. ``losses`` are later than the last report."""
        day = self._days.get(now // DAY, _Day())
        realised, lift = day.realised + day.unexplained, self._lift()
        if self._equity is None:
            return Standing(None, None, None, realised, None)
        equity = self._equity + self._not_held(losses)
        start = None if day.start is None else day.start + max(_ZERO, lift - day.carried)
        if start is None:
            # Until the day's first report, what was last known, with what was lost before, is what the day began with.
            start = self._equity + self._not_held([one for one in losses if one.at // DAY < now // DAY])
        peak = None if self._peak is None else self._peak + lift
        return Standing(equity, start, peak, realised, equity - start - realised)

    def _not_held(self, losses: Sequence[Loss]) -> Decimal:
        """What of ``losses`` is not in the wallet already; 0 or negative."""
        return min(_ZERO, sum((one.amount for one in losses), _ZERO) - min(_ZERO, self._gap()))

    def _gap(self) -> Decimal:
        """Change of the wallet that nothing explains and that is not settled."""
        return self._wallet - (self._explained - self._ahead)

    def _lift(self) -> Decimal:
        """How far an unsettled increase raised equity: a close whose word is late raises the wallet alone."""
        gap = self._gap()
        if gap <= 0 or self._equity is None or self._before is None:
            return max(_ZERO, gap)
        return max(_ZERO, min(gap, self._equity - self._before))

    def _weigh(self, as_of: Instant, before: Decimal | None) -> Decimal:
        """Settle what of the gap stood long enough; returns it."""
        gap = self._gap()
        if gap == 0 or (gap > 0) != (self._stood > 0) or self._stood == 0:
            self._stood, self._stood_since, self._before = gap, as_of, before
            return _ZERO
        self._stood = min(self._stood, gap, key=abs)
        if as_of - self._stood_since < STANDS:
            return _ZERO
        settled = self._stood
        self._explained += settled
        self._stood, self._stood_since = gap - settled, as_of
        self._before = None if self._equity is None else self._equity - self._stood
        return settled

    def _raise_peak(self) -> None:
        if self._equity is None:
            return
        reached = self._equity - self._lift()
        if self._peak is None or reached > self._peak:
            self._peak, self.peak_at = reached, self._as_of

    def content(self) -> Content:
        """As a snapshot keeps it."""
        return present(
            {
                "peak_at": written(self.peak_at),
                "as_of": iso(self._as_of),
                "equity": text(self._equity),
                "wallet": str(self._wallet),
                "since": written(self._since),
                "explained": str(self._explained),
                "stood": str(self._stood),
                "stood_since": iso(self._stood_since),
                "before": text(self._before),
                "peak": text(self._peak),
                "ahead": str(self._ahead),
                "days": [_day_content(number, day) for number, day in self._days.items()],
            }
        )

    @classmethod
    def read(cls, content: Content) -> Equity:
        """What `content` wrote."""
        made = cls()
        made.peak_at, made._since = moment(content, "peak_at"), moment(content, "since")
        made._equity, made._before = figure(content, "equity"), figure(content, "before")
        made._peak = figure(content, "peak")
        made._wallet, made._explained = known(content, "wallet"), known(content, "explained")
        made._stood, made._ahead = known(content, "stood"), known(content, "ahead")
        made._stood_since, made._as_of = instant(content, "stood_since"), instant(content, "as_of")
        for one in objects(content, "days"):
            made._days[whole(one, "day")] = _Day(
                known(one, "realised"),
                known(one, "unexplained"),
                moment(one, "first"),
                figure(one, "start"),
                known(one, "carried"),
            )
        return made


def _day_content(number: int, day: _Day) -> Content:
    return present(
        {
            "day": number,
            "realised": str(day.realised),
            "unexplained": str(day.unexplained),
            "first": written(day.first),
            "start": text(day.start),
            "carried": str(day.carried),
        }
    )
