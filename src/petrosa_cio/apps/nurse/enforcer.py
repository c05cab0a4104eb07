"""The judgement: `judge(case) -> Verdict`. Total and pure; equal cases give equal verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import minimum_quantity, round_down, subject_of
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.facts import ACCOUNT_FACTS, MARKET_FACTS
from petrosa_cio.apps.nurse.models import Intent, Malformed, Mode, Observation, Outcome, Verdict, VerdictKind
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from decimal import Decimal

    from petrosa_cio.apps.nurse.case import Case, Subject
    from petrosa_cio.apps.nurse.controls.table import Check
    from petrosa_cio.apps.nurse.models import BookFacts, Side
    from petrosa_cio.apps.nurse.policy import Limits, Policy

_OBSERVED = {Outcome.BLOCK: Outcome.WOULD_BLOCK, Outcome.REDUCE: Outcome.WOULD_REDUCE}


def judge(case: Case) -> Verdict:
    """Return the verdict on ``case``: every reason that fired in table order, and what every check observed.

    * malformed: blocked, naming every fault.
    * a repeat: blocked, whatever the action; of a buy or sell the table is walked all the same, for what else fired.
    * ``hold``: absorbed. ``close``: approved, in every trading state and with any fact missing.
    * an order that, in one-way mode, only takes off what is known to be open on the other side: approved like a
      ``close``.
    * any other buy and sell: the whole table of controls. Approved exactly where no enforcing control fired.
    """
    match case.intent:
        case Malformed() as malformed:
            return _malformed(malformed)
        case Intent() as intent:
            duplicate = _duplicate(case.book)
            side = intent.side
            if side is None:
                if duplicate is not None:
                    return _repeat(duplicate)
                return Verdict(VerdictKind.ABSORBED if intent.action == "hold" else VerdictKind.APPROVED)
            verdict = _without_policy() if case.policy is None else _entry(case, intent, side, case.policy)
            return verdict if duplicate is None else _repeat(duplicate, verdict)


def _malformed(malformed: Malformed) -> Verdict:
    faults = tuple(f"{fault.field}: {fault.problem}" for fault in malformed.faults)
    reason = Observation(Reason.MALFORMED_INTENT, Outcome.BLOCK, (("faults", faults),))
    return Verdict(VerdictKind.BLOCKED, (reason,), (reason,))


def _duplicate(book: BookFacts) -> Observation | None:
    if book.duplicate_of is None:
        return None
    return Observation(Reason.DUPLICATE_INTENT, Outcome.BLOCK, (("duplicate_of", book.duplicate_of),))


def _repeat(duplicate: Observation, verdict: Verdict | None = None) -> Verdict:
    """Blocked as a repeat, with every reason that ``verdict`` has besides."""
    if verdict is None:
        return Verdict(VerdictKind.BLOCKED, (duplicate,), (duplicate,))
    reasons, observed = (duplicate, *verdict.reasons), (duplicate, *verdict.observed)
    return Verdict(VerdictKind.BLOCKED, reasons, observed, verdict.order)


def _without_policy() -> Verdict:
    reason = Observation(Reason.POLICY_UNAVAILABLE, Outcome.BLOCK, (("policy", None),))
    return Verdict(VerdictKind.BLOCKED, (reason,), (reason,))


@dataclass(frozen=True, slots=True)
class _Row:
    """One control as these limits have it: its check, whether it is applied, and what it says when all is quiet."""

    code: Reason
    check: Check
    enforced: bool
    quiet: Observation


@dataclass(frozen=True, slots=True)
class _Plan:
    """The table as these limits have it: what is off is left out, what is idle or lacks its facts is said once."""

    rows: tuple[_Row, ...]
    said: tuple[Observation, ...]


@dataclass(slots=True)
class _Plans:
    """The plans of these limits, by whether anything is known of the market and of the account."""

    by_knowledge: dict[tuple[bool, bool], _Plan] = field(default_factory=dict)


def _plan(limits: Limits, knows_market: bool, knows_account: bool) -> _Plan:
    plans = limits.memo
    if not isinstance(plans, _Plans):
        plans = limits.memo = _Plans()
    known = (knows_market, knows_account)
    found = plans.by_knowledge.get(known)
    if found is None:
        found = plans.by_knowledge[known] = _planned(limits, knows_market, knows_account)
    return found


def _planned(limits: Limits, knows_market: bool, knows_account: bool) -> _Plan:
    rows: list[_Row] = []
    said: list[Observation] = []
    for control in TABLE:
        mode = limits.modes.get(control.code, Mode.ENFORCE)
        if mode is Mode.OFF:
            continue
        blind = (not knows_market and not MARKET_FACTS.isdisjoint(control.needs)) or (
            not knows_account and not ACCOUNT_FACTS.isdisjoint(control.needs)
        )
        if control.idle is not None and control.idle(limits):
            said.append(Observation(control.code, Outcome.PASS))
        elif blind:
            said.append(Observation(control.code, Outcome.UNEVALUATED))
        else:
            quiet = Observation(control.code, Outcome.PASS)
            rows.append(_Row(control.code, control.check, mode is Mode.ENFORCE, quiet))
    return _Plan(tuple(rows), tuple(said))


def _entry(case: Case, intent: Intent, side: Side, policy: Policy) -> Verdict:
    limits = policy.limits(intent.symbol, intent.strategy_id, side)
    subject = subject_of(case, intent, limits, side)
    if subject.reduces:
        return Verdict(VerdictKind.APPROVED, order=subject.order, reduces=subject.opposed)
    plan = _plan(limits, subject.market is not None, subject.account is not None)
    reasons: list[Observation] = []
    observed: list[Observation] = []
    cap: Decimal | None = None
    blocked = False
    for row in plan.rows:
        outcome, numbers, left = row.check(subject)
        if outcome is Outcome.PASS:
            observed.append(Observation(row.code, outcome, numbers) if numbers else row.quiet)
            continue
        if not row.enforced:
            outcome = _OBSERVED.get(outcome, outcome)
        seen = Observation(row.code, outcome, numbers)
        observed.append(seen)
        if outcome is Outcome.BLOCK:
            blocked = True
            reasons.append(seen)
        elif outcome is Outcome.REDUCE and left is not None:
            cap = left if cap is None else min(cap, left)
            reasons.append(seen)
    observed.extend(plan.said)
    if blocked:
        return Verdict(VerdictKind.BLOCKED, tuple(reasons), tuple(observed), subject.order)
    if cap is None:
        return Verdict(VerdictKind.APPROVED, (), tuple(observed), subject.order)
    return _reduce(subject, cap, reasons, observed)


def _reduce(subject: Subject, cap: Decimal, reasons: list[Observation], observed: list[Observation]) -> Verdict:
    """Cut the order to ``cap``; what would fall under a minimum is blocked, or the engine would raise it again."""
    sent = _quantity_to_send(subject, cap)
    remaining = sent * subject.limits.required_number("quantity_multiplier")
    least = _least_quantity(subject, subject.limits)
    if sent <= 0 or remaining < least:
        numbers = (("quantity", remaining), ("minimum_quantity", least))
        reason = Observation(Reason.BELOW_MINIMUM_AFTER_REDUCTION, Outcome.BLOCK, numbers)
        return Verdict(VerdictKind.BLOCKED, (*reasons, reason), (*observed, reason), subject.order)
    return Verdict(VerdictKind.REDUCED, tuple(reasons), tuple(observed), subject.order, sent)


def _quantity_to_send(subject: Subject, cap: Decimal) -> Decimal:
    """The quantity to write on the signal: the engine multiplies it again, and rounding never ends above the cap."""
    return round_down(cap / subject.limits.required_number("quantity_multiplier"), subject.market, subject.limits)


def _least_quantity(subject: Subject, limits: Limits) -> Decimal:
    bounds = (
        minimum_quantity(subject.market, limits, subject.price),
        limits.number("quantity_min"),
        limits.required_number("min_position_size_usd") / subject.price,
    )
    return max(bound for bound in bounds if bound is not None)
