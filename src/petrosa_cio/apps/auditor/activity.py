"""Who kept being blocked, which rule cost more than it saved, and what each policy came to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.figures import Figures, figures, is_blocked, is_closed
from petrosa_cio.apps.auditor.intervals import Estimate, estimate
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.auditor.report_ledger import Judged, PolicyInForce
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.models import Json

FATIGUE_SHARE = Decimal("0.5")
FATIGUE_INTENTS = 10
"""A strategy is tired of being blocked where at least `FATIGUE_SHARE` of at least so many intents were."""

_CONSIDERED = ("approved", "reduced", "blocked")
_SHARE = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Fatigue:
    """How one strategy's intents fared. Those that were absorbed or quarantined do not count."""

    strategy_id: str
    intents: int
    blocked: int
    longest_run: int
    """Of intents that were blocked one after another."""
    chief_reason: str | None
    """The gravest reason of most of its blocks; of equals the first by name."""
    chief_blocks: int

    @property
    def share(self) -> Decimal:
        """Share of its intents that were blocked, 0..1, to four digits."""
        return share(self.blocked, self.intents)

    @property
    def tired(self) -> bool:
        """Whether its intents keep being blocked."""
        return self.intents >= FATIGUE_INTENTS and self.blocked >= FATIGUE_SHARE * self.intents


@dataclass(frozen=True, slots=True)
class Rule:
    """What one reason is worth. ``sole`` are positions that it alone held back: the fund without this rule."""

    code: str
    decisions: int
    """That name it, with a position or without."""
    named: Figures
    """All positions that name it; these overlap from rule to rule."""
    sole: Figures
    estimate: Estimate
    """Of ``sole``."""

    @property
    def costs_more(self) -> bool:
        """Whether it alone missed more than it avoided."""
        return self.sole.net_savings < 0


@dataclass(frozen=True, slots=True)
class PolicyPeriod:
    """What was decided under one policy, until the next came into force."""

    policy: PolicyInForce | None
    """None: the ledger holds none before these decisions."""
    changed: tuple[str, ...]
    """Settings that differ from the policy before it; empty for the first."""
    within: bool
    """Whether it took the place of another within the window."""
    verdicts: Mapping[str, int]
    figures: Figures


def share(part: int, whole: int) -> Decimal:
    """``part`` of ``whole``, 0..1, to four digits; 0 of nothing."""
    return (Decimal(part) / whole).quantize(_SHARE) if whole else Decimal(0).quantize(_SHARE)


def fatigues(judged: Iterable[Judged]) -> tuple[Fatigue, ...]:
    """Every strategy, by name."""
    by_strategy: dict[str, list[Judged]] = {}
    for one in judged:
        if one.verdict in _CONSIDERED:
            by_strategy.setdefault(one.strategy_id, []).append(one)
    return tuple(_fatigue(name, by_strategy[name]) for name in sorted(by_strategy))


def _fatigue(name: str, judged: Sequence[Judged]) -> Fatigue:
    longest = run = 0
    reasons: Counter[str] = Counter()
    for one in judged:
        run = run + 1 if one.verdict == "blocked" else 0
        longest = max(longest, run)
        if one.verdict == "blocked" and one.reasons:
            reasons[one.reasons[0]] += 1
    chief, blocks = min(reasons.items(), key=lambda item: (-item[1], item[0]), default=(None, 0))
    return Fatigue(name, len(judged), sum(one.verdict == "blocked" for one in judged), longest, chief, blocks)


def rules(judged: Iterable[Judged], shadows: Sequence[Shadow], since: Instant, until: Instant) -> tuple[Rule, ...]:
    """Every reason that a decision or a position names, by name.

    :raises LedgerError: as `figures.statement`.
    """
    decisions = Counter(code for one in judged for code in dict.fromkeys(one.reasons))
    named: dict[str, list[Shadow]] = {code: [] for code in decisions}
    for shadow in shadows:
        if is_blocked(shadow) and is_closed(shadow):
            for code in dict.fromkeys(shadow.reasons):
                named.setdefault(code, []).append(shadow)
    found = []
    for code in sorted(named):
        sole = [one for one in named[code] if len(one.reasons) == 1]
        sure = estimate(sole, until, weeks=weeks_of(since, until), since=since)
        found.append(Rule(code, decisions[code], figures(named[code]), figures(sole), sure))
    return tuple(found)


def weeks_of(since: Instant, until: Instant) -> int:
    """So many weeks before ``until`` begin at ``since`` or before it."""
    return max(1, -((since - until) // (7 * 86_400 * 1_000_000_000)))


def policy_periods(
    policies: Sequence[PolicyInForce],
    judged: Sequence[Judged],
    shadows: Iterable[Shadow],
    since: Instant,
    until: Instant,
) -> tuple[PolicyPeriod, ...]:
    """The policies of ``[since, until)``: the one in force at its beginning, if any, and those that followed.

    ``judged`` and ``shadows`` are those of the window.

    :raises LedgerError: a shadow position of a decision that the ledger does not hold.
    """
    under = {one.decision_id: one.policy for one in judged}
    verdicts: dict[int, Counter[str]] = {}
    for one in judged:
        verdicts.setdefault(one.policy, Counter())[one.verdict] += 1
    closed: dict[int, list[Shadow]] = {}
    for shadow in shadows:
        if shadow.decision_id not in under:
            msg = f"shadow of decision {shadow.decision_id}: the ledger holds no such decision at that time"
            raise LedgerError(msg)
        if is_blocked(shadow) and is_closed(shadow):
            closed.setdefault(under[shadow.decision_id], []).append(shadow)
    places = {
        place + 1 for place, one in enumerate(policies) if one.at is not None and since <= one.at < until
    } | verdicts.keys()
    earlier = [place + 1 for place, one in enumerate(policies) if one.at is not None and one.at < since]
    return tuple(
        _period(policies, place, verdicts.get(place, Counter()), closed.get(place, []), since)
        for place in sorted(places | set(earlier[-1:]))
    )


def _period(
    policies: Sequence[PolicyInForce], place: int, verdicts: Counter[str], closed: Sequence[Shadow], since: Instant
) -> PolicyPeriod:
    policy = policies[place - 1] if place else None
    changed = tuple(_changed(policies[place - 2].content, policies[place - 1].content)) if place > 1 else ()
    within = place > 1 and policy is not None and policy.at is not None and policy.at >= since
    return PolicyPeriod(policy, changed, within, dict(sorted(verdicts.items())), figures(closed))


def _changed(before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[str]:
    was, now = dict(_leaves(before)), dict(_leaves(after))
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield f"{name}: {was.get(name, 'not set')} -> {now.get(name, 'not set')}"


def _leaves(content: Mapping[str, Json], above: str = "") -> Iterator[tuple[str, str]]:
    """Each setting by its path, its value as JSON text."""
    for name, value in content.items():
        path = f"{above}.{name}" if above else name
        if isinstance(value, dict):
            yield from _leaves(value, path)
        else:
            yield path, json.dumps(value, sort_keys=True)
