"""Trades that another engine priced, held against our arithmetic: what matches, what does not, and which part is why.

Money is in quote asset, `decimal.Decimal`; results of a comparison are `Compared`, never exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.auditor.pnl import Profit, Trade, profit, unrecorded
from petrosa_cio.apps.nurse.models import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from petrosa_cio.apps.nurse.simulation import FundingTime

    Content: TypeAlias = dict[str, object]

ABSOLUTE, RELATIVE = Decimal("0.01"), Decimal("0.0005")
"""A result matches within a cent and 0.05 % of what was told, together; at the limit itself it does."""

_MS = 1_000_000
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Told:
    """A trade as another engine tells it, with what it says the trade earned."""

    place: str
    """Where it was read, such as ``trades.jsonl:12``."""
    pair: str
    """The other engine's name of the symbol."""
    trade: Trade
    result: Decimal
    relative: Decimal | None = None
    """Its fraction of the margin, where it tells one. Shown, and decides nothing: engines differ on what that is."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One trade, as told and as we price it."""

    told: Told
    ours: Profit
    """By the settlements that are recorded with a mark price; see `unrecorded`."""
    unrecorded: tuple[int, ...]
    """Settlements that it met and that are not recorded, ms."""

    @property
    def difference(self) -> Decimal:
        """Our result less the one that was told."""
        return self.ours.result - self.told.result

    @property
    def relative_difference(self) -> Decimal | None:
        """The same of the relative results; None where none was told."""
        return None if self.told.relative is None else self.ours.relative - self.told.relative

    @property
    def matches(self) -> bool:
        """Whether the results agree within the tolerance, by what is recorded."""
        return abs(self.difference) <= allowed(self.told.result)

    @property
    def cause(self) -> str | None:
        """What would explain the difference, by trying it; None where it matches or nothing does."""
        if self.matches:
            return None
        if self.unrecorded:
            return "funding_unrecorded"
        ours = self.ours
        tried = {
            "funding_left_out": ours.gross - ours.fees,
            "funding_sign": ours.gross - ours.fees - ours.funding,
            "fees_left_out": ours.gross + ours.funding,
            "fees_and_funding_left_out": ours.gross,
            "side": -ours.gross - ours.fees - ours.funding,
        }
        near = (name for name, result in tried.items() if abs(result - self.told.result) <= allowed(self.told.result))
        return next(near, None)

    def content(self) -> Content:
        """As JSON tells it; money as text, exact."""
        told, ours = self.told, self.ours
        return {
            "trade": told.place,
            "pair": told.pair,
            "symbol": told.trade.symbol,
            "side": told.trade.side.value,
            "opened_at": iso(told.trade.opened_at),
            "closed_at": iso(told.trade.closed_at),
            "matches": self.matches,
            "told": _text(told.result),
            "ours": _text(ours.result),
            "difference": _text(self.difference),
            "allowed": _text(allowed(told.result)),
            "gross": _text(ours.gross),
            "fees": _text(ours.fees),
            "funding": _text(ours.funding),
            "settlements": ours.settlements,
            "unrecorded": [iso(at_ms * _MS) for at_ms in self.unrecorded],
            "cause": self.cause,
            "told_relative": None if told.relative is None else _text(told.relative),
            "ours_relative": _text(ours.relative),
        }


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All trades of a recording, compared. ``left_out`` are those that were not to count, for want of funding."""

    compared: tuple[Compared, ...]
    left_out: tuple[Compared, ...] = ()

    @property
    def matched(self) -> int:
        """How many match."""
        return sum(one.matches for one in self.compared)

    @property
    def mismatched(self) -> tuple[Compared, ...]:
        """Those that do not match, the largest difference first."""
        apart = (one for one in self.compared if not one.matches)
        return tuple(sorted(apart, key=lambda one: abs(one.difference), reverse=True))

    @property
    def uncovered(self) -> tuple[Compared, ...]:
        """Those that count although a settlement that they met is not recorded, matching or not."""
        return tuple(one for one in self.compared if one.unrecorded)

    @property
    def largest(self) -> Compared | None:
        """The trade whose result differs most, the first of equals; None where none counts."""
        return max(self.compared, key=lambda one: abs(one.difference), default=None)

    @property
    def largest_relative(self) -> Compared | None:
        """The trade whose relative result differs most; None where none was told."""
        told = [one for one in self.compared if one.told.relative is not None]
        return max(told, key=lambda one: abs(one.relative_difference or _ZERO), default=None)

    @property
    def holds(self) -> bool:
        """Whether every trade matches, and there is one."""
        return bool(self.compared) and self.matched == len(self.compared)

    def content(self) -> Content:
        """As JSON tells it."""
        largest, relative = self.largest, self.largest_relative
        return {
            "matched": self.matched,
            "of": len(self.compared),
            "holds": self.holds,
            "tolerance": {"absolute": _text(ABSOLUTE), "relative": _text(RELATIVE)},
            "largest_difference": None if largest is None else largest.content(),
            "largest_relative_difference": None if relative is None else relative.content(),
            "mismatched": [one.content() for one in self.mismatched],
            "uncovered": [one.content() for one in self.uncovered],
            "left_out": [one.content() for one in self.left_out],
        }


def allowed(told: Decimal) -> Decimal:
    """How far from ``told`` a result may lie and match."""
    return ABSOLUTE + RELATIVE * abs(told)


def compare(told: Told, settlements: Sequence[FundingTime]) -> Compared:
    """Price a trade by what is recorded. ``settlements`` may hold more than it met."""
    marked = [one for one in settlements if one.mark is not None]
    return Compared(told, profit(told.trade, marked), unrecorded(told.trade, settlements))


def reconcile(compared: Iterable[Compared], *, covered_only: bool = False) -> Reconciliation:
    """Take stock of trades. With ``covered_only`` those that met an unrecorded settlement are left out, and named."""
    every = tuple(compared)
    if not covered_only:
        return Reconciliation(every)
    return Reconciliation(
        tuple(one for one in every if not one.unrecorded), tuple(one for one in every if one.unrecorded)
    )


def _text(figure: Decimal) -> str:
    return format(figure, "f")
