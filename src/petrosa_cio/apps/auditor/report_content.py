"""A report as one JSON object, in the order in which it is read; `report_schema` describes it.

Money is decimal text and exact, shares are decimal text from 0 to 1, instants are ISO-8601 in UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.activity import share
from petrosa_cio.apps.auditor.figures import Breakdown, Figures
from petrosa_cio.apps.auditor.headline import headline
from petrosa_cio.apps.auditor.positions import text_of
from petrosa_cio.apps.nurse.models import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from petrosa_cio.apps.auditor.activity import Fatigue, PolicyPeriod, Rule
    from petrosa_cio.apps.auditor.calibration import Calibration, ModelError
    from petrosa_cio.apps.auditor.chance import Chance, Placement
    from petrosa_cio.apps.auditor.figures import Statement
    from petrosa_cio.apps.auditor.intervals import Estimate
    from petrosa_cio.apps.auditor.profit import Curve, NetProfit
    from petrosa_cio.apps.auditor.report import Assumptions, Report
    from petrosa_cio.apps.auditor.report_ledger import Outage, Turn
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.models import Json

FORMAT: int = 1


def report_content(report: Report) -> dict[str, Json]:
    """``report`` as JSON."""
    return {
        "v": FORMAT,
        "headline": headline(report),
        "book": report.book,
        "from": iso(report.since),
        "to": iso(report.until),
        "intents": report.intents,
        "verdicts": dict(report.verdicts.items()),
        "earnings": _money(report.earnings),
        "net_profit": None if report.profit is None else _profit(report.profit),
        "net_savings": text_of(report.net_savings),
        "estimate": _estimate(report.estimate),
        "trailing_12_weeks": _estimate(report.trailing),
        "calibration": _calibration(report.calibration, simulated=report.simulated),
        "against_chance": None if report.chance is None else _chance(report.chance),
        "equity": _curve(report.curve),
        "savings": _savings(report.statement),
        "strategies": [_fatigue(one) for one in report.strategies],
        "rules": [_rule(one) for one in report.rules],
        "policies": [_policy(one) for one in report.policies],
        "red_lines": [_turn(one) for one in report.turns],
        "gate": {
            "latency_us": {
                "measured": report.latency.measured,
                "p50": report.latency.p50_us,
                "p99": report.latency.p99_us,
                "max": report.latency.max_us,
            },
            "outages": [_outage(one) for one in report.outages],
            "losses": dict(report.losses.items()),
        },
        "assumptions": _assumptions(report.assumptions),
    }


def _profit(profit: NetProfit) -> Json:
    return {
        "net": text_of(profit.net),
        "pnl": text_of(profit.pnl),
        "fees": text_of(profit.fees),
        "funding": _money(profit.funding),
        "open": _money(profit.open),
        "executions": profit.executions,
        "unpriced_fees": profit.unpriced_fees,
        "origin": profit.origin,
    }


def _estimate(estimate: Estimate) -> Json:
    interval = estimate.interval
    return {
        "net_savings": text_of(estimate.net_savings),
        "episodes": estimate.episodes,
        "days": estimate.days,
        "active_days": estimate.active_days,
        "worst": _money(estimate.worst),
        "best": _money(estimate.best),
        "interval": None
        if interval is None
        else {
            "low": text_of(interval.low),
            "high": text_of(interval.high),
            "below_zero": text_of(interval.below_zero),
            "block_days": text_of(interval.block_days),
        },
    }


def _calibration(found: Calibration, *, simulated: bool) -> Json:
    return {
        "standing": found.standing.value,
        "simulated": simulated,
        "error": None if found.error is None else _error(found.error),
        "by_symbol": {symbol: _error(one) for symbol, one in found.by_symbol.items()},
        "bias": _money(found.bias),
        "distinguishable": found.distinguishable,
    }


def _error(error: ModelError) -> Json:
    return {
        "pairs": error.pairs,
        "total": text_of(error.total),
        "mean": text_of(error.mean),
        "median_absolute": text_of(error.median_absolute),
        "largest": text_of(error.largest),
        "rate": text_of(error.rate),
    }


def _chance(chance: Chance) -> Json:
    return {
        "runs": chance.runs,
        "blocked": chance.blocked,
        "shuffled": chance.shuffled,
        "net": _placement(chance.net),
        "move": _placement(chance.move),
        "costs": _placement(chance.costs),
    }


def _placement(placed: Placement) -> Json:
    return {
        "real": text_of(placed.real),
        "expected": text_of(placed.expected),
        "low": text_of(placed.low),
        "median": text_of(placed.median),
        "high": text_of(placed.high),
        "p_skill": text_of(placed.p_skill),
        "p_harm": text_of(placed.p_harm),
    }


def _curve(curve: Curve) -> Json:
    return {
        "basis": curve.basis,
        "governed_fall": text_of(curve.governed_fall),
        "ungoverned_fall": text_of(curve.ungoverned_fall),
        "points": [
            {"at": iso(one.at), "governed": text_of(one.governed), "ungoverned": text_of(one.ungoverned)}
            for one in curve.points
        ],
    }


def _savings(stated: Statement) -> Json:
    return {
        "paper": {
            "all": text_of(stated.paper.everything),
            "promoted": text_of(stated.paper.promoted),
            "blocked": text_of(stated.paper.blocked),
            "promoted_positions": stated.promoted,
            "promoted_apart": stated.promoted_apart,
        },
        "total": _figures(stated.total),
        **{f"by_{breakdown.value}": _by(stated.by[breakdown]) for breakdown in Breakdown},
        "open": _figures(stated.open),
        "unmarked": stated.unmarked,
        "unavailable": stated.unavailable,
    }


def _by(figures: Mapping[str, Figures]) -> Json:
    return {key: _figures(one) for key, one in figures.items()}


def _figures(found: Figures) -> Json:
    return {
        "positions": found.positions,
        "episodes": found.episodes,
        "repeats": found.repeats,
        "losses": found.losses,
        "gains": found.gains,
        "ambiguous": found.ambiguous,
        "avoided_loss": text_of(found.avoided_loss),
        "missed_gain": text_of(found.missed_gain),
        "net_savings": text_of(found.net_savings),
        "fees_avoided": text_of(found.fees_avoided),
        "funding_avoided": text_of(found.funding_avoided),
        "move_avoided": text_of(found.move_avoided),
        "other_way": text_of(found.other_way),
    }


def _rule(rule: Rule) -> Json:
    return {
        "code": rule.code,
        "decisions": rule.decisions,
        "named": _figures(rule.named),
        "sole": _figures(rule.sole),
        "estimate": _estimate(rule.estimate),
        "costs_more": rule.costs_more,
    }


def _fatigue(one: Fatigue) -> Json:
    return {
        "strategy_id": one.strategy_id,
        "intents": one.intents,
        "blocked": one.blocked,
        "share": text_of(one.share),
        "longest_run": one.longest_run,
        "chief_reason": one.chief_reason,
        "chief_blocks": one.chief_blocks,
        "tired": one.tired,
    }


def _policy(one: PolicyPeriod) -> Json:
    policy = one.policy
    return {
        "revision": None if policy is None else policy.revision,
        "at": None if policy is None else _instant(policy.at),
        "within": one.within,
        "who": None if policy is None else policy.who,
        "why": None if policy is None else policy.why,
        "trace": None if policy is None else policy.trace,
        "changed": list(one.changed),
        "verdicts": dict(one.verdicts.items()),
        "figures": _figures(one.figures),
    }


def _turn(one: Turn) -> Json:
    return {
        "at": iso(one.at),
        "change": one.change,
        "code": one.code,
        "strategy_id": one.strategy_id,
        "effect": one.effect,
        "until": _instant(one.until),
        "who": one.who,
        "why": one.why,
        "cause": dict(one.cause),
    }


def _outage(one: Outage) -> Json:
    return {"from": iso(one.since), "to": iso(one.until), "passed": one.passed, "why": one.why}


def _assumptions(found: Assumptions) -> Json:
    return {
        "positions": found.positions,
        "price_sources": _shares(found.price_sources.items(), found.positions),
        "outcomes": _shares(found.outcomes.items(), found.positions),
        "gaps": {"count": found.gaps, "share": text_of(share(found.gaps, found.positions))},
    }


def _shares(counts: Iterable[tuple[str, int]], whole: int) -> Json:
    return {name: {"count": count, "share": text_of(share(count, whole))} for name, count in counts}


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else text_of(amount)


def _instant(at: Instant | None) -> str | None:
    return None if at is None else iso(at)
