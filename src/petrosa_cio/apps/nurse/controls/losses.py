"""Losses: the red lines of the account, one strategy's fall, losing streaks and the pause after a stop-out.

A loss limit is reached when the loss equals it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.case import UNEVALUATED, Finding, limit
from petrosa_cio.apps.nurse.controls.admission import seconds
from petrosa_cio.apps.nurse.controls.protection import PASS, shown
from petrosa_cio.apps.nurse.policy import DEFAULTS, GLOBAL

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Subject
    from petrosa_cio.apps.nurse.facts import Portfolio, Streak
    from petrosa_cio.apps.nurse.policy import Limits

_ZERO = Decimal(0)


def daily_loss(subject: Subject) -> Finding:
    """Realised plus open loss since 00:00 UTC, as a fraction of the equity that the day began with."""
    return loss_of_day(subject.account, subject.limits)


def loss_of_day(account: Portfolio | None, limits: Limits) -> Finding:
    """The same, of an account that can be relied on (`soundness`)."""
    if (
        account is None
        or account.day_start_equity is None
        or account.realised_today is None
        or account.open_today is None
    ):
        return UNEVALUATED
    loss, most = -(account.realised_today + account.open_today), limits.required_number("max_daily_loss_pct")
    return limit(
        loss >= most * account.day_start_equity,
        ("loss", loss),
        ("day_start_equity", account.day_start_equity),
        ("limit", most),
    )


def drawdown(subject: Subject) -> Finding:
    """Fall of equity from its peak, as a fraction of the peak; equity above the peak has not fallen."""
    return fall_from_peak(subject.account, subject.limits)


def fall_from_peak(account: Portfolio | None, limits: Limits) -> Finding:
    """The same, of an account that can be relied on."""
    if account is None or account.equity is None or account.peak_equity is None:
        return UNEVALUATED
    most = limits.required_number("max_drawdown_pct")
    fall = max(_ZERO, account.peak_equity - account.equity)
    return limit(
        fall >= most * account.peak_equity,
        ("drawdown", shown(fall / account.peak_equity)),
        ("equity", account.equity),
        ("peak_equity", account.peak_equity),
        ("limit", most),
    )


def strategy_drawdown(subject: Subject) -> Finding:
    """Fall of the strategy's result from its own peak, as a fraction of the account's equity."""
    return fall_of_strategy(subject.account, subject.limits, subject.intent.strategy_id)


def fall_of_strategy(account: Portfolio | None, limits: Limits, name: str) -> Finding:
    """The same, of strategy ``name`` and an account that can be relied on."""
    if account is None or account.equity is None or account.strategies is None:
        return UNEVALUATED
    most = limits.required_number("max_strategy_drawdown_pct")
    fall = next((max(_ZERO, one.peak - one.result) for one in account.strategies if one.strategy_id == name), _ZERO)
    broken = fall > 0 and fall >= most * account.equity
    return limit(broken, ("fall", fall), ("equity", account.equity), ("limit", most))


def loss_streak(subject: Subject) -> Finding:
    """Losing trades in a row in the scope that set the limit."""
    name = "max_consecutive_losses"
    most = subject.limits.number(name)
    if most is None:
        return PASS
    if subject.account is None or subject.account.streaks is None:
        return UNEVALUATED
    streak = _of_scope(subject, name)
    losses = streak.losses if streak else 0
    return limit(losses >= most, ("losses", losses), ("limit", most), ("scope", subject.limits.scope(name)))


def cooldown(subject: Subject) -> Finding:
    """Time since the last stop-out in the scope that set the pause."""
    name = "stop_cooldown_seconds"
    least = subject.limits.number(name)
    if least is None:
        return PASS
    if subject.account is None or subject.account.streaks is None:
        return UNEVALUATED
    streak = _of_scope(subject, name)
    if streak is None or streak.stopped_at is None:
        return PASS
    since = seconds(subject.case.now - streak.stopped_at // 1000 * 1000)
    return limit(since < least, ("since_seconds", since), ("limit", least), ("scope", subject.limits.scope(name)))


def _of_scope(subject: Subject, name: str) -> Streak | None:
    scope = subject.limits.scope(name)
    wanted = GLOBAL if scope == DEFAULTS else scope
    streaks = subject.account.streaks if subject.account else None
    return next((one for one in streaks or () if one.scope == wanted), None)
