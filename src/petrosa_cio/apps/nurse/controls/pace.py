"""Pace: counts, rates and conflicts, judged from the book's own recent promotions."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.book import TIMEFRAMES
from petrosa_cio.apps.nurse.case import UNEVALUATED, Finding, limit
from petrosa_cio.apps.nurse.controls.admission import seconds
from petrosa_cio.apps.nurse.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petrosa_cio.apps.nurse.case import Subject
    from petrosa_cio.apps.nurse.models import Rival

PASS = Finding(Outcome.PASS)
_ONE = Decimal(1)


def daily_trades(subject: Subject) -> Finding:
    """Promotions of this UTC day in the scope that set the limit."""
    count, most = subject.case.book.promoted_today, subject.limits.required_number("max_daily_trades")
    return limit(count >= most, ("count", count), ("limit", most), ("scope", subject.limits.scope("max_daily_trades")))


def order_rate(subject: Subject) -> Finding:
    """Promotions of the last 60 seconds in the scope that set the limit."""
    count, most = subject.case.book.promoted_last_minute, subject.limits.required_number("max_orders_per_minute")
    return limit(
        count >= most, ("count", count), ("limit", most), ("scope", subject.limits.scope("max_orders_per_minute"))
    )


def repeated_execution(subject: Subject) -> Finding:
    """Promotions of the strategy in a row that were not filled, and trades in a row that lost.

    Where nothing is known of the account nobody tells of fills either, and the count would only ever rise.
    """
    most = subject.limits.number("max_unfilled_promotions")
    if most is None:
        return PASS
    if subject.account is None:
        return UNEVALUATED
    unfilled, lost = subject.case.book.unfilled, subject.case.book.lost
    return limit(max(unfilled, lost) >= most, ("unfilled", unfilled), ("lost", lost), ("limit", most))


def accumulation_cooldown(subject: Subject) -> Finding:
    """Time since the same strategy last entered this symbol and side."""
    least, last = subject.limits.number("accumulation_cooldown_seconds"), subject.case.book.last_entry_at
    if least is None or last is None:
        return PASS
    since = seconds(subject.case.now - last)
    return limit(since < least, ("since_seconds", since), ("limit", least))


def max_accumulations(subject: Subject) -> Finding:
    """Entries of the same strategy, symbol and side today, since its last close or opposite entry."""
    most = subject.limits.number("max_accumulations")
    if most is None:
        return PASS
    count = subject.case.book.entries_today
    return limit(count >= most, ("count", count), ("limit", most))


def signal_conflict(subject: Subject) -> Finding:
    """Recent promotions on the symbol that this intent contradicts or repeats, resolved as configured.

    Compared with recent promotions only: nothing waits and nothing is withdrawn. ``weighted_average`` is the engine's
    to resolve, so it passes here; ``manual_review`` is an operator's, so it blocks.
    """
    rivals = subject.case.book.rivals
    if not rivals:
        return PASS
    same = [rival for rival in rivals if rival.side is subject.side]
    opposite = [rival for rival in rivals if rival.side is not subject.side]
    winner = _opposite_winner(subject, opposite) or _same_winner(subject, same)
    if winner is None:
        return Finding(Outcome.PASS, (("rivals", len(rivals)),))
    numbers = (
        ("against", winner.decision_id),
        ("against_strategy", winner.strategy_id),
        ("against_side", winner.side.value),
        ("strength", _strength(subject, subject.intent.strategy_id, subject.confidence)),
        ("against_strength", _strength(subject, winner.strategy_id, winner.confidence)),
        ("since_seconds", seconds(subject.case.now - winner.at)),
    )
    return limit(True, *numbers)


def _opposite_winner(subject: Subject, rivals: list[Rival]) -> Rival | None:
    match subject.limits.word("signal_conflict_resolution"):
        case "strongest_wins":
            prevailing = [rival for rival in rivals if _prevails(subject, rival)]
            return _strongest(subject, prevailing)
        case "weighted_average":
            return None
        case _:  # first_come_first_served and manual_review: whoever came first stands
            return rivals[0] if rivals else None


def _prevails(subject: Subject, rival: Rival) -> bool:
    """Whether ``rival`` stands against the subject: by timeframe where they differ, else by strength; a tie stands."""
    ours, theirs = _rank(subject.intent.timeframe), _rank(rival.timeframe)
    if ours != theirs:
        match subject.limits.word("timeframe_conflict_resolution"):
            case "higher_timeframe_wins":
                return theirs > ours
            case "lower_timeframe_wins":
                return theirs < ours
            case _:  # weighted_average: the weights of the timeframes decide together with strength
                weighted = _weighted(subject, rival.timeframe) * _strength(subject, rival.strategy_id, rival.confidence)
                own = _strength(subject, subject.intent.strategy_id, subject.confidence)
                return weighted >= _weighted(subject, subject.intent.timeframe) * own
    return _strength(subject, rival.strategy_id, rival.confidence) >= _strength(
        subject, subject.intent.strategy_id, subject.confidence
    )


def _same_winner(subject: Subject, rivals: list[Rival]) -> Rival | None:
    match subject.limits.word("same_direction_conflict_resolution"):
        case "accumulate":
            return None
        case "reject_duplicates":
            return rivals[0] if rivals else None
        case _:  # strongest_wins
            own = _strength(subject, subject.intent.strategy_id, subject.confidence)
            stronger = [rival for rival in rivals if _strength(subject, rival.strategy_id, rival.confidence) >= own]
            return _strongest(subject, stronger)


def _strongest(subject: Subject, rivals: Iterable[Rival]) -> Rival | None:
    return max(rivals, key=lambda rival: _strength(subject, rival.strategy_id, rival.confidence), default=None)


def _strength(subject: Subject, strategy_id: str, confidence: Decimal) -> Decimal:
    weights = subject.limits.weights("strategy_weights")
    return confidence * weights.get(strategy_id, weights.get("default", _ONE))


def _weighted(subject: Subject, timeframe: str) -> Decimal:
    return subject.limits.weights("timeframe_weights").get(timeframe, _ONE)


def _rank(timeframe: str) -> int:
    return TIMEFRAMES.index(timeframe) if timeframe in TIMEFRAMES else TIMEFRAMES.index("1h")
