"""A report as sections of plain text, tables and charts, in the order in which it is read: what every face renders.

Nothing in here is marked up, and texts from the wire (names of strategies, reasons given by people) stand in it as they
came: each face escapes whatever it prints. Money is to the cent; the JSON is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.activity import share
from petrosa_cio.apps.auditor.figures import Breakdown
from petrosa_cio.apps.auditor.headline import cents, headline, sureness, trust
from petrosa_cio.apps.auditor.outcomes import PriceSource
from petrosa_cio.apps.nurse.models import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

    from petrosa_cio.apps.auditor.activity import Fatigue, PolicyPeriod, Rule
    from petrosa_cio.apps.auditor.chance import Placement
    from petrosa_cio.apps.auditor.figures import Figures
    from petrosa_cio.apps.auditor.intervals import Estimate
    from petrosa_cio.apps.auditor.profit import Curve, Point
    from petrosa_cio.apps.auditor.report import Report
    from petrosa_cio.apps.auditor.report_ledger import Turn
    from petrosa_cio.apps.nurse.facts import Instant

UNKNOWN = "unknown"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. The first column names the row; ``figures`` says from which column on there are numbers."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: int = 1


@dataclass(frozen=True, slots=True)
class Bars:
    """Avoided loss and missed gain of each row, beside one another."""

    title: str
    rows: tuple[tuple[str, Decimal, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report. A face that cannot draw leaves the chart out: the tables say the same."""

    title: str
    said: tuple[str, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    chart: Curve | Bars | None = None


def title(report: Report) -> str:
    """What the report is of."""
    return f"Earnings and governance, book {report.book}"


def window(report: Report) -> str:
    """From when to when."""
    return f"{when(report.since)} to {when(report.until)}"


def sections(report: Report) -> tuple[Section, ...]:
    """All of it, the headline first."""
    return (
        _earnings(report),
        _equity(report),
        _savings(report),
        _chance(report),
        _strategies(report.strategies),
        _rules(report.rules),
        _policies(report.policies),
        _red_lines(report.turns),
        _gate(report),
        _assumptions(report),
    )


def when(at: Instant | None) -> str:
    """An instant to the second."""
    return UNKNOWN if at is None else f"{iso(at)[:19].replace('T', ' ')} UTC"


def percent(part: Decimal) -> str:
    """A share of 0..1 as percent, to a hundredth of one."""
    return f"{part * 100:.2f} %"


def _earnings(report: Report) -> Section:
    profit, total = report.profit, report.statement.total
    rows: list[tuple[str, ...]] = []
    if profit is not None:
        funding = UNKNOWN if profit.funding is None else cents(profit.funding)
        rows += [("Profit of closed trades", cents(profit.pnl)), ("Fees paid", cents(profit.fees.copy_negate()))]
        rows += [("Funding", funding), ("Net profit", cents(profit.net))]
    rows += [("Avoided loss", cents(total.avoided_loss)), ("Missed gain", cents(total.missed_gain.copy_negate()))]
    rows.append(("Net savings", cents(report.net_savings)))
    rows.append(("Earnings", UNKNOWN if report.earnings is None else cents(report.earnings)))
    bias = report.calibration.bias
    rows.append(("Bias of net savings", "unavailable" if bias is None else cents(bias)))
    paper = report.statement.paper
    return Section(
        "Earnings",
        (
            headline(report),
            f"{report.intents} intents: {_counts(report.verdicts)}.",
            *_trailing(report.trailing),
            f"On paper all decisions come to {cents(paper.everything)}: promoted {cents(paper.promoted)},"
            f" blocked {cents(paper.blocked)}.",
            f"What changed: {_changes(report)}.",
        ),
        (Sheet("Earnings, in quote currency", ("", "Amount"), tuple(rows)),),
    )


def _trailing(estimate: Estimate) -> Iterator[str]:
    interval = estimate.interval
    saved = f"Net savings of the 12 weeks before the end: {cents(estimate.net_savings)}"
    if interval is None:
        yield f"{saved}, no interval ({estimate.episodes} episodes)."
    else:
        yield f"{saved}, 95 % interval {cents(interval.low)} to {cents(interval.high)}."


def _changes(report: Report) -> str:
    policies = sum(one.within for one in report.policies)
    latched = sum(one.change == "set" for one in report.turns)
    told = [f"{policies} policy changes", f"{latched} red lines latched"]
    told += [f"{len(report.turns) - latched} words of people", f"{len(report.outages)} outages"]
    return ", ".join(told)


def _equity(report: Report) -> Section:
    curve = report.curve
    if not curve.points:
        return Section("Equity with and without governance", ("Nothing is known of the account in this window.",))
    basis = "as the account reported it" if curve.basis == "account" else "on paper, from 0: no account is reported"
    rows: list[tuple[str, ...]] = []
    named: Mapping[str, Point] = {"Beginning": curve.points[0], "End": curve.points[-1]}
    rows += ((name, when(one.at), cents(one.governed), cents(one.ungoverned)) for name, one in named.items())
    falls = (curve.governed_fall, curve.ungoverned_fall)
    rows.append(("Largest fall", "", *(cents(fall.copy_negate()) for fall in falls)))
    return Section(
        "Equity with and without governance",
        (f"Equity {basis}; without governance what was blocked is added as it would have closed.",),
        (Sheet("Equity, in quote currency", ("", "At", "With governance", "Without"), tuple(rows), 2),),
        curve,
    )


_BREAKDOWNS = {
    Breakdown.REASON: "Reason",
    Breakdown.STRATEGY: "Strategy",
    Breakdown.REGIME: "Regime",
    Breakdown.SYMBOL: "Symbol",
    Breakdown.SOLE_CAUSE: "Sole cause",
}


def _savings(report: Report) -> Section:
    stated = report.statement
    by_reason = stated.by[Breakdown.REASON]
    bars = Bars(
        "Avoided loss and missed gain by reason",
        tuple((name, one.avoided_loss, one.missed_gain) for name, one in by_reason.items()),
    )
    said = [
        f"Costs avoided {cents(stated.total.costs_avoided)}, market move avoided {cents(stated.total.move_avoided)}:"
        " a gate without skill saves the costs of whatever it blocks.",
    ]
    if stated.open.positions or stated.unmarked:
        said.append(
            f"Still open, in no other figure: {stated.open.positions + stated.unmarked} positions,"
            f" net savings {cents(stated.open.net_savings)} at the last price."
        )
    sheets = (
        Sheet(
            f"Avoided loss and missed gain by {name.lower()}",
            (name, "Positions", "Avoided loss", "Missed gain", "Net savings"),
            (*_by(stated.by[breakdown]), _figures("Total", stated.total)),
        )
        for breakdown, name in _BREAKDOWNS.items()
    )
    return Section("What governance saved and cost", tuple(said), tuple(sheets), bars if by_reason else None)


def _by(figures: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    return (_figures(name, one) for name, one in figures.items())


def _figures(name: str, one: Figures) -> tuple[str, ...]:
    return name, str(one.positions), cents(one.avoided_loss), cents(one.missed_gain), cents(one.net_savings)


def _chance(report: Report) -> Section:
    chance, name = report.chance, "Against chance"
    if chance is None:
        return Section(name, ("Too few runs could have had the other verdict to tell the gate from a random one.",))
    placed = {"Net savings": chance.net, "Market move avoided": chance.move, "Costs avoided": chance.costs}
    return Section(
        name,
        ("Where the figures fall among those of gates that block as much of the same at random.",),
        (
            Sheet(
                "The gate among random ones",
                ("Figure", "Gate", "Expected", "2.5 %", "97.5 %", "p (skill)", "p (harm)"),
                tuple(_placed(what, one) for what, one in placed.items()),
            ),
        ),
    )


def _placed(what: str, one: Placement) -> tuple[str, ...]:
    amounts = (cents(amount) for amount in (one.real, one.expected, one.low, one.high))
    return (what, *amounts, f"{one.p_skill:.4f}", f"{one.p_harm:.4f}")


def _rules(rules: Iterable[Rule]) -> Section:
    rows = [
        (
            one.code,
            str(one.decisions),
            cents(one.named.net_savings),
            str(one.sole.positions),
            cents(one.sole.net_savings),
            _interval(one.estimate),
            "yes" if one.costs_more else "no",
        )
        for one in rules
    ]
    costly = [row[0] for row in rows if row[-1] == "yes"]
    headings = ("Reason", "Decisions", "Named: net", "Alone: positions", "Alone: net", "95 % interval", "Costs more")
    return Section(
        "Rules that cost more than they save",
        (
            f"Alone they cost more than they saved: {', '.join(costly) or NONE}.",
            "Alone: positions that no other rule held back, so the fund without this rule. Named: all that name it;"
            " these overlap. Many rules are looked at, so one with an interval below zero may be there by chance.",
        ),
        (Sheet("What each rule is worth", headings, tuple(rows)),) if rows else (),
    )


def _interval(estimate: Estimate) -> str:
    found = estimate.interval
    return "too few" if found is None else f"{cents(found.low)} to {cents(found.high)}"


def _strategies(strategies: Iterable[Fatigue]) -> Section:
    rows = [
        (
            one.strategy_id,
            str(one.intents),
            str(one.blocked),
            percent(one.share),
            str(one.longest_run),
            NONE if one.chief_reason is None else f"{one.chief_reason} ({one.chief_blocks})",
            "yes" if one.tired else "no",
        )
        for one in sorted(strategies, key=lambda one: (-one.share, one.strategy_id))
    ]
    tired = [row[0] for row in rows if row[-1] == "yes"]
    headings = ("Strategy", "Intents", "Blocked", "Share", "Longest run", "Chief reason", "Keeps being blocked")
    return Section(
        "Strategies whose intents keep being blocked",
        (f"Half or more of at least 10 intents blocked: {', '.join(tired) or NONE}.",),
        (Sheet("How each strategy's intents fared", headings, tuple(rows)),) if rows else (),
    )


def _policies(periods: Iterable[PolicyPeriod]) -> Section:
    rows = []
    for one in periods:
        policy = one.policy
        revision, at = (UNKNOWN, UNKNOWN) if policy is None else (policy.revision[:12], when(policy.at))
        who = NONE if policy is None or policy.who is None else policy.who
        why = NONE if policy is None else "; ".join(text for text in (policy.why, policy.trace) if text) or NONE
        what = "; ".join(one.changed) or NONE
        fared = (_counts(one.verdicts), cents(one.figures.net_savings))
        rows.append((revision, at, "yes" if one.within else "no", who, why, what, *fared))
    headings = ("Revision", "In force from", "Changed in window", "Who", "Why", "What", "Verdicts", "Net savings")
    return Section(
        "Policy changes",
        ("Who and why stand where the record has them.",),
        (Sheet("Policies, and what was decided under each", headings, tuple(rows), len(headings) - 1),) if rows else (),
    )


def _red_lines(turns: Iterable[Turn]) -> Section:
    rows = tuple(
        (
            when(one.at),
            one.code or "operator",
            one.change,
            one.strategy_id or "whole book",
            "until lifted" if one.until is None else when(one.until),
            "; ".join(text for text in (one.who, one.why) if text)
            or ", ".join(f"{name} {text}" for name, text in one.cause)
            or NONE,
        )
        for one in turns
    )
    if not rows:
        return Section("Red lines and latches", ("None latched, none lifted, and no operator spoke.",))
    headings = ("At", "Red line", "Change", "On", "Until", "Who and why, or the numbers")
    return Section("Red lines and latches", (), (Sheet("Red lines and latches", headings, rows, len(headings)),))


def _gate(report: Report) -> Section:
    latency, losses = report.latency, report.losses
    if latency.measured:
        times = (f"{name} {us} µs" for name, us in _latencies(report))
        told = f"{latency.measured} decisions, from arrival to verdict: {', '.join(times)}."
    else:
        told = "Latency unavailable: a replay measures none into its ledger."
    lost = ", ".join(f"{count} {name}" for name, count in losses.items())
    rows = tuple((when(one.since), when(one.until), one.why, str(one.passed)) for one in report.outages)
    headings = ("From", "To", "Why", "Closes that passed")
    return Section(
        "The gate",
        (told, f"Intents without an ordinary end: {lost}."),
        (Sheet("Outages of the ledger", headings, rows, 3),) if rows else (),
    )


def _latencies(report: Report) -> Iterator[tuple[str, int]]:
    latency = report.latency
    for name, us in (("median", latency.p50_us), ("99 %", latency.p99_us), ("longest", latency.max_us)):
        if us is not None:
            yield name, us


_PRICES = {
    PriceSource.BOOK: "Entry price: executable side of the book",
    PriceSource.MARK: "Entry price: mark and half a spread",
    PriceSource.BAR: "Entry price: open of the next bar",
    PriceSource.INTENT: "Entry price: the intent's own",
}


def _assumptions(report: Report) -> Section:
    found = report.assumptions
    named = {
        **{_PRICES[PriceSource(name)]: count for name, count in found.price_sources.items()},
        **{f"Outcome: {name.replace('_', ' ')}": count for name, count in found.outcomes.items()},
        "Frozen by a hole in the market": found.gaps,
    }
    rows = tuple((name, str(count), percent(share(count, found.positions))) for name, count in named.items())
    other = cents(report.statement.total.other_way)
    return Section(
        "Assumptions",
        (
            f"{sureness(report)}. {trust(report)}.",
            f"Had every ambiguous bar gone the other way, net savings would be {other}.",
        ),
        (Sheet("Blocked positions, and on what they rest", ("Assumption", "Positions", "Share"), rows),),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or NONE
