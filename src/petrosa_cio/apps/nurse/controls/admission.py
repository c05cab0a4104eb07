"""Admission: freshness, facts, trading state, switches and lists. What must hold before an intent is weighed at all."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import Finding, limit
from petrosa_cio.apps.nurse.models import (
    ACCOUNT_FACTS,
    MARKET_FACTS,
    SECOND,
    Fact,
    Instant,
    Outcome,
    Side,
    TradingState,
)

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Subject


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
    age, most = seconds(subject.case.now - as_of), subject.limits.required_number("max_policy_age_seconds")
    skew = subject.limits.required_number("max_clock_skew_seconds")
    return limit(not -skew <= age <= most, ("age_seconds", age), ("limit", most))


def market_facts(subject: Subject) -> Finding:
    """Every required market fact is present, fresh and not from the future."""
    market = subject.case.market
    known = dict(market.as_of) if market else {}
    if market is None or not _positive(market.mark):
        known.pop(Fact.MARK, None)
    if market is None or not (_positive(market.min_notional) and _positive(market.step_size)):
        known.pop(Fact.FILTERS, None)
    return _facts(subject, MARKET_FACTS, known, "max_market_age_seconds")


def _positive(figure: Decimal | None) -> bool:
    return figure is not None and figure.is_finite() and figure > 0


def account_facts(subject: Subject) -> Finding:
    """Every required account fact is present, fresh and not from the future."""
    account = subject.case.portfolio
    sound = account is not None and account.equity is not None and account.equity.is_finite()
    known = {Fact.ACCOUNT: account.as_of} if account is not None and sound else {}
    return _facts(subject, ACCOUNT_FACTS, known, "max_account_age_seconds")


def _facts(subject: Subject, of_kind: frozenset[Fact], known: dict[Fact, Instant], most_name: str) -> Finding:
    most = subject.limits.required_number(most_name)
    skew = subject.limits.required_number("max_clock_skew_seconds")
    missing: list[str] = []
    for fact in sorted(subject.limits.required & of_kind):
        as_of = known.get(fact)
        if as_of is None or not -skew <= seconds(subject.case.now - as_of) <= most:
            missing.append(fact.value)
    return limit(bool(missing), ("missing", tuple(missing)), ("limit", most))


def halted(subject: Subject) -> Finding:
    """The book's trading state is HALTED."""
    state = subject.case.book.trading_state
    return limit(state is TradingState.HALTED, ("state", state.value))


def reducing(subject: Subject) -> Finding:
    """The book's trading state is REDUCING."""
    state = subject.case.book.trading_state
    return limit(state is TradingState.REDUCING, ("state", state.value))


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


def symbol_trading(subject: Subject) -> Finding:
    """Whether the exchange trades the symbol; unevaluated until exchange information is a fact here."""
    del subject
    return Finding(Outcome.UNEVALUATED)
