"""The report of a window: what was earned, what governance saved or cost, how sure that is, and what changed.

One object, made out of the ledger and the shadow ledger, that every face is a reading of. Decisions count by when they
were made, fills by when they were told; what was decided in the window and closed after it counts in it, as far as the
shadow ledger reaches. Money is in quote currency and exact.

A report that contradicts itself cannot be made: the paper portfolio is what was promoted and what was blocked, every
breakdown adds up to the whole, and so do policies and verdicts. It is the same for the same input, to the byte.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.activity import Fatigue, PolicyPeriod, Rule, fatigues, policy_periods, rules, weeks_of
from petrosa_cio.apps.auditor.calibration import Calibration, calibration, notional
from petrosa_cio.apps.auditor.chance import Chance, against_chance
from petrosa_cio.apps.auditor.figures import EXACT, Figures, Statement, is_blocked, statement, total
from petrosa_cio.apps.auditor.intervals import WEEKS, Estimate, estimate
from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource
from petrosa_cio.apps.auditor.profit import SIMULATED, Curve, NetProfit, equity_curve, net_profit
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from petrosa_cio.apps.auditor.calibration import Pair
    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.auditor.report_ledger import LedgerReading, Measured, Outage, Turn
    from petrosa_cio.apps.nurse.facts import Instant

_COUNTED = ("positions", "repeats", "losses", "gains", "ambiguous")
_SUMMED = ("avoided_loss", "missed_gain", "fees_avoided", "funding_avoided", "move_avoided", "other_way")


@dataclass(frozen=True, slots=True)
class Latency:
    """How long intents waited for their verdict, in microseconds; nearest rank. None where nothing was measured."""

    measured: int
    p50_us: int | None
    p99_us: int | None
    max_us: int | None


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Blocked positions, of any outcome, and how many of them rest on what."""

    positions: int
    price_sources: Mapping[str, int]
    outcomes: Mapping[str, int]
    """Counts, `ambiguous`, `open` and `unavailable` among them."""
    gaps: int
    """A hole in the market froze it for a while."""


@dataclass(frozen=True, slots=True)
class Report:
    """A window ``[since, until)`` of one book.

    :raises LedgerError: when it is made and contradicts itself; the message names the sums.
    """

    book: str
    since: Instant
    until: Instant
    verdicts: Mapping[str, int]
    """Decisions by verdict."""
    profit: NetProfit | None
    """None where neither fills nor an account are known."""
    statement: Statement
    estimate: Estimate
    """Of the window."""
    trailing: Estimate
    """Of the `intervals.WEEKS` weeks before its end."""
    calibration: Calibration
    simulated: bool
    """Whether the fills are simulated."""
    chance: Chance | None
    curve: Curve
    rules: tuple[Rule, ...]
    strategies: tuple[Fatigue, ...]
    policies: tuple[PolicyPeriod, ...]
    turns: tuple[Turn, ...]
    latency: Latency
    outages: tuple[Outage, ...]
    losses: Mapping[str, int]
    """Intents that expired, left the stream unjudged (``gap``), or passed unrecorded (``spilled``)."""
    assumptions: Assumptions

    def __post_init__(self) -> None:
        _refuse_contradictions(self)

    @property
    def net_savings(self) -> Decimal:
        """Avoided loss less missed gain."""
        return self.statement.total.net_savings

    @property
    def earnings(self) -> Decimal | None:
        """Net profit and net savings together; None where net profit is not known."""
        return None if self.profit is None else EXACT.add(self.profit.net, self.net_savings)

    @property
    def intents(self) -> int:
        """Decisions of the window, of any verdict."""
        return sum(self.verdicts.values())


def report_of(
    reading: LedgerReading, shadows: Iterable[Shadow], since: Instant, until: Instant, pairs: Iterable[Pair] = ()
) -> Report:
    """Make the report of ``[since, until)``. ``shadows`` may hold earlier positions too: the trailing interval takes
    them; of later ones nothing is taken. ``pairs`` are promoted trades with what their fills really earned.

    :raises LedgerError: a position without a result, or of a decision that the ledger does not hold.
    """
    known = [one for one in shadows if one.decided_at < until]
    within = [one for one in known if one.decided_at >= since]
    judged = [one for one in reading.judged if since <= one.at < until]
    stated = statement(within)
    simulated = any(one.origin == SIMULATED for one in reading.reports)
    first = min((one.at for one in reading.judged), default=since)
    begun = max(since, min(first, until))
    return Report(
        book=reading.book,
        since=since,
        until=until,
        verdicts=dict(sorted(Counter(one.verdict for one in judged).items())),
        profit=net_profit(reading.executions, reading.reports, since, until),
        statement=stated,
        estimate=estimate(within, until, weeks=weeks_of(since, until), since=begun),
        trailing=estimate(known, until, weeks=WEEKS, since=first),
        calibration=calibration(pairs, stated.total.net_savings, notional(within), simulated=simulated),
        simulated=simulated,
        chance=against_chance(within),
        curve=equity_curve(within, reading.reports, since, until),
        rules=rules(judged, within, begun, until),
        strategies=fatigues(judged),
        policies=policy_periods(reading.policies, judged, within, since, until),
        turns=tuple(one for one in reading.turns if since <= one.at < until),
        latency=_latency([one for one in reading.measured if since <= one.at < until]),
        outages=tuple(one for one in reading.outages if one.since < until and one.until >= since),
        losses=_losses(reading, since, until),
        assumptions=_assumptions([one for one in within if is_blocked(one)]),
    )


def _losses(reading: LedgerReading, since: Instant, until: Instant) -> Mapping[str, int]:
    found = dict.fromkeys(("expired", "gap", "spilled"), 0)
    for at, what, count in reading.losses:
        if since <= at < until:
            found[what] += count
    return found


def _latency(measured: Iterable[Measured]) -> Latency:
    ordered = sorted(one.after_us for one in measured)
    if not ordered:
        return Latency(0, None, None, None)
    p50, p99 = (ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 99))
    return Latency(len(ordered), p50, p99, ordered[-1])


def _assumptions(blocked: Sequence[Shadow]) -> Assumptions:
    sources, outcomes = Counter(one.price_source for one in blocked), Counter(one.outcome for one in blocked)
    return Assumptions(
        len(blocked),
        {word.value: sources[word] for word in PriceSource},
        {word.value: outcomes[word] for word in Outcome},
        sum(one.data_gap for one in blocked),
    )


# -- what must hold ----------------------------------------------------------------------------------------------------


def _refuse_contradictions(report: Report) -> None:
    stated = report.statement
    paper, whole = stated.paper, stated.total
    _equal("the paper portfolio and its parts", paper.everything, EXACT.add(paper.promoted, paper.blocked))
    _equal("what was blocked and net savings", paper.blocked, whole.net_savings.copy_negate())
    _equal("net savings and their parts", whole.net_savings, EXACT.add(whole.costs_avoided, whole.move_avoided))
    for breakdown, by in stated.by.items():
        _equal_figures(f"figures by {breakdown.value}", whole, by.values())
    _equal_figures("figures by policy", whole, (one.figures for one in report.policies))
    _equal("net savings and their estimate", whole.net_savings, report.estimate.net_savings)
    judged = sum(sum(one.verdicts.values()) for one in report.policies)
    _equal("decisions and those by policy", Decimal(report.intents), Decimal(judged))
    if report.curve.points:
        last = report.curve.points[-1]
        gap = EXACT.subtract(last.ungoverned, last.governed)
        _equal("the end of the curve and what was blocked", gap, paper.blocked)


def _equal_figures(what: str, whole: Figures, parts: Iterable[Figures]) -> None:
    found = tuple(parts)
    for name in _SUMMED:
        _equal(f"{what}: {name}", getattr(whole, name), total(getattr(one, name) for one in found))
    for name in _COUNTED:
        _equal(f"{what}: {name}", Decimal(getattr(whole, name)), Decimal(sum(getattr(one, name) for one in found)))


def _equal(what: str, one: Decimal, other: Decimal) -> None:
    if one != other:
        msg = f"the report contradicts itself: {what} are {one:f} and {other:f}"
        raise LedgerError(msg)
