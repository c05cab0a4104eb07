"""What governance saved and what it cost: exact sums over the shadow ledger, whole and broken down.

For what was blocked, a loss is a loss avoided and a gain is a gain missed; net savings are the one less the other, and
both are always said. They come apart another way, because a gate without skill saves the costs of whatever it blocks:
fees, funding, and what the market's move would have made (Perold 1988, the paper portfolio of all decisions against
the real one).

Every sum is exact: no digit is rounded away, so the order of positions does not count and each breakdown adds up to
its total to the last digit. Money is in quote currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.outcomes import Outcome, Tracked
from petrosa_cio.apps.nurse.facts import UNKNOWN
from petrosa_cio.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from petrosa_cio.apps.auditor.outcomes import Shadow

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Adds without rounding, however far apart the digits are. Never to divide in."""

SHARED = "shared"
"""Sole cause of what more than one reason blocked: none of them did it alone."""
NO_REASON = "none"
"""Stands for the reason where the ledger names none."""

_ZERO = Decimal(0)
_OPEN_ENDED = frozenset({Outcome.OPEN, Outcome.UNAVAILABLE})
_ROUNDING = Decimal("1E-20")
"""How far a result may be from its parts, as a fraction of them: the machine's own rounding, which is at 28 digits."""


class Breakdown(StrEnum):
    """By what net savings are divided. Each position falls under one key of each."""

    REASON = "reason"
    """The gravest reason, which is the first."""
    SOLE_CAUSE = "sole_cause"
    """The reason, where it was the only one; else `SHARED`."""
    STRATEGY = "strategy"
    SYMBOL = "symbol"
    REGIME = "regime"
    OUTCOME = "outcome"
    PRICE_SOURCE = "price_source"
    TRACKED = "tracked"
    """Blocked whole, or reduced."""


_KEYS: Mapping[Breakdown, Callable[[Shadow], str]] = {
    Breakdown.REASON: lambda shadow: shadow.reasons[0] if shadow.reasons else NO_REASON,
    Breakdown.SOLE_CAUSE: lambda shadow: SHARED if len(shadow.reasons) > 1 else "".join(shadow.reasons) or NO_REASON,
    Breakdown.STRATEGY: lambda shadow: shadow.strategy_id,
    Breakdown.SYMBOL: lambda shadow: shadow.symbol,
    Breakdown.REGIME: lambda shadow: shadow.regime or UNKNOWN,
    Breakdown.OUTCOME: lambda shadow: shadow.outcome.value,
    Breakdown.PRICE_SOURCE: lambda shadow: shadow.price_source.value,
    Breakdown.TRACKED: lambda shadow: shadow.tracked.value,
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What one position came to: ``result`` is ``move - fees + funding``, to the last digit."""

    result: Decimal
    move: Decimal
    fees: Decimal
    funding: Decimal


@dataclass(frozen=True, slots=True)
class Figures:
    """What a set of blocked positions comes to."""

    positions: int
    episodes: int
    """Distinct ones; over a breakdown these need not add up, as an episode can have parts under several keys."""
    repeats: int
    losses: int
    """Positions that would have lost: the gate was right."""
    gains: int
    """Positions that would have gained: the gate was wrong."""
    ambiguous: int
    avoided_loss: Decimal
    missed_gain: Decimal
    fees_avoided: Decimal
    funding_avoided: Decimal
    """Negative where funding would have been received."""
    move_avoided: Decimal
    """What the market's move alone would have lost; negative: gained."""
    other_way: Decimal
    """Net savings had every ambiguous bar gone the other way, which is in favour of governance."""

    @property
    def net_savings(self) -> Decimal:
        """``avoided_loss - missed_gain``, which is ``costs_avoided + move_avoided``."""
        return EXACT.subtract(self.avoided_loss, self.missed_gain)

    @property
    def costs_avoided(self) -> Decimal:
        """Fees and funding: what any gate saves by blocking, with skill or without."""
        return EXACT.add(self.fees_avoided, self.funding_avoided)


@dataclass(frozen=True, slots=True)
class Paper:
    """The paper portfolio: ``everything`` is what all decisions come to, and equals ``promoted + blocked``."""

    everything: Decimal
    promoted: Decimal
    blocked: Decimal

    @property
    def holds(self) -> bool:
        """Whether the identity holds, to the last digit."""
        return self.everything == EXACT.add(self.promoted, self.blocked)


@dataclass(frozen=True, slots=True)
class Statement:
    """The figures of a shadow ledger."""

    total: Figures
    by: Mapping[Breakdown, Mapping[str, Figures]]
    """Each adds up to the total in positions and in money; keys in order."""
    named: Mapping[str, Figures]
    """For each reason, all positions that name it. These overlap, so they do not add up to anything."""
    open: Figures
    """Not over yet, marked to market; in no other figure."""
    unmarked: int
    """Open positions that no price is known for."""
    unavailable: int
    """Blocked positions that nothing can be said of; in no other figure."""
    gaps: int
    """Blocked positions, of any kind, that a hole in the market froze for a while."""
    paper: Paper
    promoted: int
    """Promoted positions in the paper portfolio."""
    promoted_apart: int
    """Promoted positions that are open or unavailable, and therefore not in it."""


def statement(shadows: Iterable[Shadow]) -> Statement:
    """State the figures of a shadow ledger.

    :raises LedgerError: a closed position without a result, or one whose result is not what its parts come to.
    """
    everything = tuple(shadows)
    blocked = [shadow for shadow in everything if is_blocked(shadow)]
    promoted = [shadow for shadow in everything if not is_blocked(shadow)]
    closed = [shadow for shadow in blocked if is_closed(shadow)]
    still_open = [shadow for shadow in blocked if shadow.outcome is Outcome.OPEN]
    marked = [shadow for shadow in still_open if shadow.result is not None]
    earned = [shadow for shadow in promoted if is_closed(shadow)]
    return Statement(
        total=figures(closed),
        by={breakdown: broken_down(closed, breakdown) for breakdown in Breakdown},
        named=_named(closed),
        open=figures(marked),
        unmarked=len(still_open) - len(marked),
        unavailable=sum(shadow.outcome is Outcome.UNAVAILABLE for shadow in blocked),
        gaps=sum(shadow.data_gap for shadow in blocked),
        paper=Paper(
            total(parts(shadow).result for shadow in everything if is_closed(shadow)),
            total(parts(shadow).result for shadow in earned),
            total(parts(shadow).result for shadow in closed),
        ),
        promoted=len(earned),
        promoted_apart=len(promoted) - len(earned),
    )


def figures(shadows: Iterable[Shadow]) -> Figures:
    """Sum up blocked positions that all have a result.

    :raises LedgerError: as `statement`.
    """
    taken = tuple(shadows)
    sums = [parts(shadow) for shadow in taken]
    return Figures(
        positions=len(taken),
        episodes=len({shadow.episode for shadow in taken}),
        repeats=sum(shadow.repeats for shadow in taken),
        losses=sum(one.result < 0 for one in sums),
        gains=sum(one.result > 0 for one in sums),
        ambiguous=sum(shadow.outcome is Outcome.AMBIGUOUS for shadow in taken),
        avoided_loss=total(one.result.copy_negate() for one in sums if one.result < 0),
        missed_gain=total(one.result for one in sums if one.result > 0),
        fees_avoided=total(one.fees for one in sums),
        funding_avoided=total(one.funding.copy_negate() for one in sums),
        move_avoided=total(one.move.copy_negate() for one in sums),
        other_way=total(_other_way(shadow, one).copy_negate() for shadow, one in zip(taken, sums, strict=True)),
    )


def broken_down(shadows: Iterable[Shadow], breakdown: Breakdown) -> Mapping[str, Figures]:
    """Figures by the keys of ``breakdown``, in order of the keys.

    :raises LedgerError: as `statement`.
    """
    return {key: figures(part) for key, part in divided(shadows, breakdown).items()}


def divided(shadows: Iterable[Shadow], breakdown: Breakdown) -> Mapping[str, Sequence[Shadow]]:
    """Positions by the keys of ``breakdown``, in order of the keys: to estimate each part by itself."""
    groups: dict[str, list[Shadow]] = {}
    for shadow in shadows:
        groups.setdefault(_KEYS[breakdown](shadow), []).append(shadow)
    return {key: groups[key] for key in sorted(groups)}


def is_blocked(shadow: Shadow) -> bool:
    """Whether it was kept from the engine, as a whole or as the part that a reduction took off."""
    return shadow.tracked is not Tracked.PROMOTED


def is_closed(shadow: Shadow) -> bool:
    """Whether it is over and known. What was never filled is: it came to nothing."""
    return shadow.outcome not in _OPEN_ENDED


def parts(shadow: Shadow) -> Parts:
    """Take a result apart. The market's move is what remains of it, so that the parts are the whole.

    :raises LedgerError: there is no result, it is not finite, or it is not what its parts come to.
    """
    if shadow.outcome is Outcome.NOT_FILLED and not shadow.result:
        return Parts(_ZERO, _ZERO, _ZERO, _ZERO)
    result, gross, fees, funding = shadow.result, shadow.gross, shadow.fees, shadow.funding
    if result is None or gross is None or fees is None or funding is None:
        msg = f"shadow of decision {shadow.decision_id}: {shadow.outcome} without a result and its parts"
        raise LedgerError(msg)
    if not all(amount.is_finite() for amount in (result, gross, fees, funding)):
        msg = f"shadow of decision {shadow.decision_id}: a result that is not finite"
        raise LedgerError(msg)
    move = EXACT.subtract(EXACT.add(result, fees), funding)
    if EXACT.subtract(move, gross).copy_abs() > _ROUNDING * max(map(abs, (result, gross, fees, funding))):
        msg = f"shadow of decision {shadow.decision_id}: its result is not gross - fees + funding"
        raise LedgerError(msg)
    return Parts(result, move, fees, funding)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Sum of ``amounts``, exact."""
    found = _ZERO
    for amount in amounts:
        found = EXACT.add(found, amount)
    return found


def _other_way(shadow: Shadow, found: Parts) -> Decimal:
    if shadow.outcome is not Outcome.AMBIGUOUS or shadow.low is None or shadow.high is None:
        return found.result
    return min(shadow.low, shadow.high)


def _named(shadows: Iterable[Shadow]) -> Mapping[str, Figures]:
    groups: dict[str, list[Shadow]] = {}
    for shadow in shadows:
        for reason in dict.fromkeys(shadow.reasons):
            groups.setdefault(reason, []).append(shadow)
    return {reason: figures(groups[reason]) for reason in sorted(groups)}
