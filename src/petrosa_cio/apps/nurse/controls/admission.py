"""Admission: freshness, facts, trading state, switches and lists. What must hold before an intent is weighed at all."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import Finding, limit
from petrosa_cio.apps.nurse.facts import MARKET_FACTS, UNKNOWN, Fact, Side
from petrosa_cio.apps.nurse.models import SECOND, Outcome, TradingState, iso
from petrosa_cio.apps.nurse.soundness import ACCOUNT_FIGURES, MARKET_FIGURES, is_fresh

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Subject
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.models import Hold, Scalar


def seconds(nanoseconds: int) -> Decimal:
    """A span of nanoseconds as seconds."""
    return Decimal(nanoseconds) / SECOND


def _age(subject: Subject) -> int:
    stamped = subject.intent.timestamp
    return subject.case.now - (subject.case.arrived_at if stamped is None else stamped)


def stale(subject: Subject) -> Finding:
    """The intent's own age, in seconds; at the limit itself it still passes."""
    age, most = seconds(_age(subject)), subject.limits.required_number("max_signal_age_seconds")
    return limit(age > most, ("age_seconds", age), ("limit", most))


def future(subject: Subject) -> Finding:
    """How far the intent's timestamp is ahead of our clock, in seconds."""
    ahead, most = seconds(-_age(subject)), subject.limits.required_number("max_clock_skew_seconds")
    return limit(ahead > most, ("ahead_seconds", ahead), ("limit", most))


def governance_timeout(subject: Subject) -> Finding:
    """Time since the intent arrived in the stream, in milliseconds."""
    waited = Decimal(subject.case.now - subject.case.arrived_at) / 1_000_000
    most = subject.limits.required_number("governance_timeout_ms")
    return limit(waited > most, ("waited_ms", waited), ("limit", most))


def policy_age(subject: Subject) -> Finding:
    """Age of the policy snapshot, where its source says one; absence is refused before the table is walked."""
    as_of = subject.case.policy_as_of
    if as_of is None:
        return Finding(Outcome.PASS)
    most = subject.limits.required_number("max_policy_age_seconds")
    if as_of <= 0:  # no source has said yet what is in force
        return limit(True, ("age_seconds", None), ("limit", most))
    age = seconds(subject.case.now - as_of)
    skew = subject.limits.required_number("max_clock_skew_seconds")
    return limit(not -skew <= age <= most, ("age_seconds", age), ("limit", most))


def market_facts(subject: Subject) -> Finding:
    """Every required market fact is present, fresh, sound and not from the future; an unknown regime is none."""
    market, given = subject.market, subject.case.market
    as_of = dict(given.as_of) if market and given else {}
    missing, unsound = list[str](), list[str]()
    for fact in sorted(subject.limits.required & MARKET_FACTS):
        lacking = [name for name, _ in MARKET_FIGURES[fact] if market is None or getattr(market, name) is None]
        if fact is Fact.BARS and market and market.regime == UNKNOWN:
            lacking.insert(0, "regime")
        if lacking:
            missing.append(fact.value)
            unsound += lacking if _fresh(subject, as_of.get(fact), "max_market_age_seconds") else ()
    return _facts(subject, missing, unsound, "max_market_age_seconds")


def account_facts(subject: Subject) -> Finding:
    """The account, where it is required, is present, fresh, sound and not from the future; its equity not negative."""
    account, given = subject.account, subject.case.portfolio
    lacking = [name for name, _ in ACCOUNT_FIGURES if account is None or getattr(account, name) is None]
    if account and account.equity is not None and account.equity < 0:
        lacking.insert(0, "equity")
    required = Fact.ACCOUNT in subject.limits.required
    missing = [Fact.ACCOUNT.value] if lacking and required else []
    fresh = given is not None and _fresh(subject, given.as_of, "max_account_age_seconds")
    return _facts(subject, missing, lacking if missing and fresh else [], "max_account_age_seconds")


def _fresh(subject: Subject, as_of: Instant | None, most_name: str) -> bool:
    most, skew = subject.limits.required_number(most_name), subject.limits.required_number("max_clock_skew_seconds")
    return is_fresh(as_of, subject.case.now, most, skew)


def _facts(subject: Subject, missing: list[str], unsound: list[str], most_name: str) -> Finding:
    """What is missing, and of what is fresh all the same, the figures that are absent or impossible."""
    numbers: list[tuple[str, Scalar]] = [
        ("missing", tuple(missing)),
        ("limit", subject.limits.required_number(most_name)),
    ]
    if unsound:
        numbers.append(("unsound", tuple(unsound)))
    return limit(bool(missing), *numbers)


def halted(subject: Subject) -> Finding:
    """The book's trading state is HALTED: by what, since when and until when."""
    return _in_state(subject, TradingState.HALTED)


def reducing(subject: Subject) -> Finding:
    """The book's trading state is REDUCING: by what, since when and until when."""
    return _in_state(subject, TradingState.REDUCING)


def _in_state(subject: Subject, wanted: TradingState) -> Finding:
    book = subject.case.book
    state = book.trading_state
    if state is not wanted:
        return Finding(Outcome.PASS, (("state", state.value),))
    return limit(True, ("state", state.value), *(() if book.held_by is None else _held(book.held_by)))


def _held(hold: Hold) -> tuple[tuple[str, Scalar], ...]:
    """What holds, and until when: null where a person must lift it."""
    told: tuple[tuple[str, Scalar], ...] = (
        ("by", hold.code),
        ("since", iso(hold.since)),
        ("until", None if hold.until is None else iso(hold.until)),
    )
    return (*told, ("who", hold.who), ("why", hold.why)) if hold.who else told


def strategy_latched(subject: Subject) -> Finding:
    """Latches on the strategy: which, and of the oldest since when and until when."""
    latched = subject.case.book.latched
    if not latched:
        return Finding(Outcome.PASS)
    return limit(True, ("latches", tuple(one.code for one in latched)), *_held(latched[0]))


def manual_approval(subject: Subject) -> Finding:
    """An operator must submit it."""
    return limit(subject.limits.flag("require_manual_approval"))


def scope_enabled(subject: Subject) -> Finding:
    """Trading is switched on in this scope."""
    return limit(not subject.limits.flag("enabled"), ("scope", subject.limits.scope("enabled")))


def risk_enabled(subject: Subject) -> Finding:
    """Risk management is switched on in this scope."""
    name = "risk_management_enabled"
    return limit(not subject.limits.flag(name), ("scope", subject.limits.scope(name)))


def _listed(subject: Subject, name: str, word: str) -> Finding:
    """``word`` is on the list, or the list is empty, which means all."""
    words = subject.limits.words(name)
    return limit(bool(words) and word not in words, ("value", word), ("scope", subject.limits.scope(name)))


def symbol_allowed(subject: Subject) -> Finding:
    """The symbol is on the list."""
    return _listed(subject, "allowed_symbols", subject.intent.symbol)


def strategy_allowed(subject: Subject) -> Finding:
    """The strategy is on the list."""
    return _listed(subject, "allowed_strategies", subject.intent.strategy_id)


def mode_allowed(subject: Subject) -> Finding:
    """The strategy mode is on the list; unlike the others, an empty list of modes allows none."""
    mode = subject.intent.strategy_mode
    return limit(mode not in subject.limits.words("allowed_modes"), ("value", mode))


def side_allowed(subject: Subject) -> Finding:
    """Longs or shorts are switched on; both the list and the switch must allow the side."""
    switch = "enable_longs" if subject.side is Side.LONG else "enable_shorts"
    allowed = subject.limits.flag(switch) and subject.side.value in subject.limits.words("enabled_sides")
    return limit(not allowed, ("value", subject.side.value))
