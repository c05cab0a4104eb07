"""What shadow positions add up to: avoided loss, missed gain, and what governance saved or cost by it.

Only what has ended counts. What is open is added up apart, and what is unavailable is only counted. All sums are exact.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Shadow, Tracked
from petrosa_cio.apps.auditor.positions import ZERO, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from petrosa_cio.apps.nurse.models import Json

_NOT_ENDED = (Outcome.OPEN, Outcome.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Savings:
    """Figures of what was blocked, in quote currency."""

    ended: int
    avoided_loss: Decimal
    missed_gain: Decimal
    costs_avoided: Decimal
    """Fees, slippage and funding that were not paid: what a gate without any skill saves, too."""
    move_avoided: Decimal
    """What the market's move would have taken; ``costs_avoided + move_avoided`` is `net`."""

    @property
    def net(self) -> Decimal:
        """Net savings; negative where governance cost more than it saved."""
        return self.avoided_loss - self.missed_gain

    def content(self) -> dict[str, Json]:
        """As JSON, money as decimal text."""
        return {
            "ended": self.ended,
            "avoided_loss": text_of(self.avoided_loss),
            "missed_gain": text_of(self.missed_gain),
            "net_savings": text_of(self.net),
            "costs_avoided": text_of(self.costs_avoided),
            "move_avoided": text_of(self.move_avoided),
        }


def is_blocked(shadow: Shadow) -> bool:
    """Whether it never went to the engine: blocked, or the part that a reduction took off."""
    return shadow.tracked is not Tracked.PROMOTED


def total(shadows: Iterable[Shadow]) -> Decimal:
    """The results of all that has ended."""
    return sum((_amount(one.result) for one in shadows if one.outcome not in _NOT_ENDED), ZERO)


def savings_of(shadows: Iterable[Shadow]) -> Savings:
    """What the blocked ones among ``shadows`` come to."""
    ended = [one for one in shadows if is_blocked(one) and one.outcome not in _NOT_ENDED]
    results = [_amount(one.result) for one in ended]
    return Savings(
        len(ended),
        sum((-result for result in results if result < ZERO), ZERO),
        sum((result for result in results if result > ZERO), ZERO),
        sum((_amount(one.fees) - _amount(one.funding) for one in ended), ZERO),
        sum((-_amount(one.gross) for one in ended), ZERO),
    )


def savings_by(shadows: Iterable[Shadow], key: Callable[[Shadow], str]) -> dict[str, Savings]:
    """The same for each value of ``key``, by name. Every position is in exactly one, so they add up to the whole."""
    parts: dict[str, list[Shadow]] = {}
    for one in shadows:
        if is_blocked(one):
            parts.setdefault(key(one), []).append(one)
    return {name: savings_of(parts[name]) for name in sorted(parts)}


def first_reason(shadow: Shadow) -> str:
    """The gravest reason, to which a position with several is counted."""
    return shadow.reasons[0] if shadow.reasons else ""


def shadow_summary(shadows: Iterable[Shadow]) -> dict[str, Json]:
    """Counts and sums of a shadow ledger, as JSON with money as decimal text; what `replay` puts into its summary."""
    found = list(shadows)
    blocked, promoted = [one for one in found if is_blocked(one)], [one for one in found if not is_blocked(one)]
    ended = [one for one in found if one.outcome not in _NOT_ENDED]
    ambiguous = sum(one.outcome is Outcome.AMBIGUOUS for one in ended)
    return {
        "positions": len(found),
        "repeats": sum(one.repeats for one in found),
        "episodes": len({one.episode for one in found}),
        "by_tracked": {word.value: sum(one.tracked is word for one in found) for word in Tracked},
        "outcomes": {"blocked": _outcomes(blocked), "promoted": _outcomes(promoted)},
        "paper_all": text_of(total(found)),
        "promoted": text_of(total(promoted)),
        "blocked": text_of(total(blocked)),
        **savings_of(found).content(),
        "open": {"blocked": text_of(_open(blocked)), "promoted": text_of(_open(promoted))},
        "ambiguous": ambiguous,
        "ambiguous_share": round(ambiguous / len(ended), 6) if ended else None,
        "data_gaps": sum(one.data_gap for one in found),
        "price_sources": {word.value: sum(one.price_source is word for one in found) for word in PriceSource},
        "by_reason": _told(savings_by(found, first_reason)),
        "by_strategy": _told(savings_by(found, lambda one: one.strategy_id)),
        "by_symbol": _told(savings_by(found, lambda one: one.symbol)),
        "by_regime": _told(savings_by(found, lambda one: one.regime or "")),
    }


def _told(parts: dict[str, Savings]) -> dict[str, Json]:
    return {name: part.content() for name, part in parts.items()}


def _outcomes(shadows: Iterable[Shadow]) -> dict[str, Json]:
    counts = Counter(one.outcome for one in shadows)
    return {word.value: counts[word] for word in Outcome}


def _open(shadows: Iterable[Shadow]) -> Decimal:
    return sum((_amount(one.result) for one in shadows if one.outcome is Outcome.OPEN), ZERO)


def _amount(figure: Decimal | None) -> Decimal:
    return ZERO if figure is None else figure
