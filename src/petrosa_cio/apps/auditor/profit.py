"""What was really earned: net profit out of executed fills and reports of the account, and the course of its equity.

Fills tell profit and fees. Funding they do not tell: it is what the wallet changed by beyond them, between the first
report and the last. On a simulated account it is funding and nothing else; on a real one a deposit or a withdrawal
would be in it too, and nothing tells them apart. What is open is valued apart and is no profit yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from petrosa_cio.apps.auditor.figures import EXACT, is_blocked, is_closed, parts, total
from petrosa_cio.apps.nurse.holdings import QUOTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from decimal import Decimal

    from petrosa_cio.apps.auditor.outcomes import Shadow
    from petrosa_cio.apps.nurse.facts import Instant
    from petrosa_cio.apps.nurse.happenings import AccountReport, Execution

MOST_POINTS = 240
"""Points of a curve at most; of a longer one the last of each stretch of time is kept."""
SIMULATED = "simulated"
"""Origin of an account whose fills are simulated."""


@dataclass(frozen=True, slots=True)
class NetProfit:
    """Realised profit of a window, in quote currency."""

    origin: str | None
    """Whose account; None where nothing reports one."""
    executions: int
    pnl: Decimal
    """Of what was closed, fees apart."""
    fees: Decimal
    """Positive: paid."""
    unpriced_fees: int
    """Fills whose fee is in another asset, and in no figure."""
    funding: Decimal | None
    """Received, or negative: paid. None where fewer than two reports tell."""
    open: Decimal | None
    """Unrealised, as last reported; in no other figure."""

    @property
    def net(self) -> Decimal:
        """``pnl - fees + funding``."""
        before = EXACT.subtract(self.pnl, self.fees)
        return before if self.funding is None else EXACT.add(before, self.funding)


class Point(NamedTuple):
    """Equity at one instant, quote currency: as it was, and as it would have been had nothing been blocked."""

    at: Instant
    governed: Decimal
    ungoverned: Decimal


@dataclass(frozen=True, slots=True)
class Curve:
    """Equity with and without governance. Without it, the results of what was blocked are added as they close."""

    basis: str
    """``account``: equity as reported. ``paper``: no account is reported; results of promoted positions, from 0."""
    points: tuple[Point, ...]
    governed_fall: Decimal
    """Largest fall from a peak before it."""
    ungoverned_fall: Decimal


def net_profit(
    executions: Iterable[Execution], reports: Sequence[AccountReport], since: Instant, until: Instant
) -> NetProfit | None:
    """Net profit of ``[since, until)``; None where neither fills nor reports of an account are known."""
    told = tuple(executions)
    known = _of_one_origin([one for one in reports if one.as_of < until])
    within = [one for one in told if since <= one.at < until]
    if not within and not known:
        return None
    before = [one for one in known if one.as_of < since]
    spanned = before[-1:] + [one for one in known if one.as_of >= since]
    funding = None
    if len(spanned) > 1:
        first, last = spanned[0], spanned[-1]
        filled = _earned(one for one in told if first.as_of < one.at <= last.as_of)
        funding = EXACT.subtract(EXACT.subtract(last.wallet, first.wallet), filled)
    priced = [one for one in within if one.fee is not None and one.fee_asset in QUOTES]
    return NetProfit(
        origin=known[-1].origin if known else None,
        executions=len(within),
        pnl=total(one.pnl for one in within if one.pnl is not None),
        fees=total(one.fee for one in priced if one.fee is not None),
        unpriced_fees=sum(one.fee is not None for one in within) - len(priced),
        funding=funding,
        open=known[-1].unrealised if known else None,
    )


def equity_curve(shadows: Sequence[Shadow], reports: Sequence[AccountReport], since: Instant, until: Instant) -> Curve:
    """The curve of ``[since, until)``, in order of time; it goes on until the last position of ``shadows`` closed.

    :raises LedgerError: as `figures.statement`.
    """
    known = _of_one_origin([one for one in reports if one.as_of < until])
    basis = "account" if known else "paper"
    points = tuple(_points(_steps(shadows, known, since)))
    return Curve(
        basis,
        _thinned(points),
        _fall(one.governed for one in points),
        _fall(one.ungoverned for one in points),
    )


class _Step(NamedTuple):
    """``equity`` is reported, or ``promoted`` and ``blocked`` are added, at one instant."""

    at: Instant
    equity: Decimal | None
    promoted: Decimal | None
    blocked: Decimal | None


def _steps(shadows: Sequence[Shadow], known: Sequence[AccountReport], since: Instant) -> list[_Step]:
    steps = []
    before = [one for one in known if one.as_of < since][-1:]
    for one in before + [one for one in known if one.as_of >= since]:
        equity = one.wallet if one.unrealised is None else EXACT.add(one.wallet, one.unrealised)
        steps.append(_Step(max(one.as_of, since), equity, None, None))
    for shadow in shadows:
        if is_closed(shadow):
            at = shadow.decided_at if shadow.closed_at is None else shadow.closed_at
            result = parts(shadow).result
            if is_blocked(shadow):
                steps.append(_Step(at, None, None, result))
            elif not known:
                steps.append(_Step(at, None, result, None))
    return sorted(steps, key=lambda step: step.at)


def _points(steps: Sequence[_Step]) -> Iterator[Point]:
    """One point an instant, from the first on at which equity is known. On paper it is 0 before anything closed."""
    governed = None if any(one.equity is not None for one in steps) else total(())
    blocked = total(())
    for place, step in enumerate(steps):
        if step.equity is not None:
            governed = step.equity
        if step.promoted is not None and governed is not None:
            governed = EXACT.add(governed, step.promoted)
        if step.blocked is not None:
            blocked = EXACT.add(blocked, step.blocked)
        last_at_once = place + 1 == len(steps) or steps[place + 1].at != step.at
        if governed is not None and last_at_once:
            yield Point(step.at, governed, EXACT.add(governed, blocked))


def _thinned(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) <= MOST_POINTS:
        return points
    first, last = points[0], points[-1]
    stretch = (last.at - first.at) // (MOST_POINTS - 1) + 1
    kept = {(one.at - first.at) // stretch: one for one in points[1:]}
    return (first, *(kept[place] for place in sorted(kept)))


def _fall(equities: Iterable[Decimal]) -> Decimal:
    peak, deepest = None, total(())
    for equity in equities:
        peak = equity if peak is None else max(peak, equity)
        deepest = max(deepest, EXACT.subtract(peak, equity))
    return deepest


def _earned(executions: Iterable[Execution]) -> Decimal:
    told = tuple(executions)
    gained = total(one.pnl for one in told if one.pnl is not None)
    paid = total(one.fee for one in told if one.fee is not None and one.fee_asset in QUOTES)
    return EXACT.subtract(gained, paid)


def _of_one_origin(reports: Sequence[AccountReport]) -> list[AccountReport]:
    """Reports of the origin that told last, in order of time: figures of different origin are never put together."""
    ordered = sorted(reports, key=lambda one: one.as_of)
    return [one for one in ordered if one.origin == ordered[-1].origin]
