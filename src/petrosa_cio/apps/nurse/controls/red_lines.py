"""Red lines between intents: an account that crosses one while nobody asks for anything latches all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.controls.losses import fall_from_peak, fall_of_strategy, loss_of_day
from petrosa_cio.apps.nurse.latches import latches_of
from petrosa_cio.apps.nurse.models import Mode, Observation
from petrosa_cio.apps.nurse.reasons import Reason
from petrosa_cio.apps.nurse.soundness import sound_account

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.case import Finding
    from petrosa_cio.apps.nurse.latches import Latch
    from petrosa_cio.apps.nurse.models import Instant, Portfolio
    from petrosa_cio.apps.nurse.policy import Limits, Policy


def crossed(portfolio: Portfolio, policy: Policy, now: Instant) -> tuple[Latch, ...]:
    """The latches that the account sets by itself: by the limits of the global scope, and of each strategy's.

    Only enforced red lines, and only figures that can be relied on. These latches follow from no decision, so their
    ``latch`` records are what a restart knows them from.
    """
    limits = policy.limits("", "", None)
    account = sound_account(portfolio, limits, now)
    if account is None:
        return ()
    seen = [_seen(Reason.DAILY_LOSS, loss_of_day(account, limits), limits)]
    seen.append(_seen(Reason.DRAWDOWN, fall_from_peak(account, limits), limits))
    found = [*latches_of(filter(None, seen), "", "", now)]
    for one in account.strategies or ():
        own = policy.limits("", one.strategy_id, None)
        fallen = _seen(Reason.STRATEGY_DRAWDOWN, fall_of_strategy(account, own, one.strategy_id), own)
        found += latches_of(filter(None, [fallen]), one.strategy_id, "", now)
    return tuple(found)


def _seen(code: Reason, finding: Finding, limits: Limits) -> Observation | None:
    if limits.modes.get(code, Mode.ENFORCE) is not Mode.ENFORCE:
        return None
    return Observation(code, finding.outcome, finding.numbers)
