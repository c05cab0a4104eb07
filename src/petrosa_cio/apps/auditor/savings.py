"""What a shadow ledger adds up to, as a replay's summary says it; the sums are those of `figures`.

Only what has ended counts. What is open is added up apart, and what is unavailable is only counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from petrosa_cio.apps.auditor import figures
from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Shadow, Tracked
from petrosa_cio.apps.auditor.positions import ZERO, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from petrosa_cio.apps.auditor.figures import Figures
    from petrosa_cio.apps.nurse.models import Json


def total(shadows: Iterable[Shadow]) -> Decimal:
    """The results of all that has ended."""
    return figures.total(figures.parts(one).result for one in shadows if figures.is_closed(one))


def savings_of(shadows: Iterable[Shadow]) -> Figures:
    """What the blocked ones among ``shadows`` come to, of those that have ended."""
    return figures.figures(one for one in shadows if figures.is_blocked(one) and figures.is_closed(one))


def savings_by(shadows: Iterable[Shadow], key: Callable[[Shadow], str]) -> dict[str, Figures]:
    """The same for each value of ``key``, by name. Every position is in exactly one, so they add up to the whole."""
    parts: dict[str, list[Shadow]] = {}
    for one in shadows:
        if figures.is_blocked(one):
            parts.setdefault(key(one), []).append(one)
    return {name: savings_of(parts[name]) for name in sorted(parts)}


def savings_content(made: Figures) -> dict[str, Json]:
    """Figures as JSON, money as decimal text. ``costs_avoided`` and ``move_avoided`` together are ``net_savings``."""
    return {
        "ended": made.positions,
        "avoided_loss": text_of(made.avoided_loss),
        "missed_gain": text_of(made.missed_gain),
        "net_savings": text_of(made.net_savings),
        "costs_avoided": text_of(made.costs_avoided),
        "move_avoided": text_of(made.move_avoided),
    }


def first_reason(shadow: Shadow) -> str:
    """The gravest reason, to which a position with several is counted."""
    return shadow.reasons[0] if shadow.reasons else ""


def shadow_summary(shadows: Iterable[Shadow]) -> dict[str, Json]:
    """Counts and sums of a shadow ledger, as JSON with money as decimal text; what `replay` puts into its summary."""
    found = list(shadows)
    blocked = [one for one in found if figures.is_blocked(one)]
    promoted = [one for one in found if not figures.is_blocked(one)]
    ended = [one for one in found if figures.is_closed(one)]
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
        **savings_content(savings_of(found)),
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


def _told(parts: dict[str, Figures]) -> dict[str, Json]:
    return {name: savings_content(part) for name, part in parts.items()}


def _outcomes(shadows: Iterable[Shadow]) -> dict[str, Json]:
    counts = Counter(one.outcome for one in shadows)
    return {word.value: counts[word] for word in Outcome}


def _open(shadows: Iterable[Shadow]) -> Decimal:
    return sum((one.result or ZERO for one in shadows if one.outcome is Outcome.OPEN), ZERO)
