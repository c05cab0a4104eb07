"""What a person sees of an audit on a terminal."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from petrosa_cio.apps.auditor.reconciliation import allowed
from petrosa_cio.apps.nurse.models import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from petrosa_cio.apps.auditor.reconciliation import Compared, Reconciliation

_MS = 1_000_000
_ZERO = Decimal(0)
_SMALLEST = Decimal("1e-8")
_SHOWN = 20
_CAUSES = {
    "funding_unrecorded": "funding that it met is not recorded",
    "funding_left_out": "it would match without funding",
    "funding_sign": "it would match with funding the other way round",
    "fees_left_out": "it would match without fees",
    "fees_and_funding_left_out": "it would match without fees and funding",
    "side": "it would match on the other side",
    None: "neither fees nor funding explain it",
}


class AuditScreen:
    """The terminal. With ``as_json`` everything is one JSON document instead."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)

    def reconciliation(self, found: Reconciliation, *, as_json: bool) -> None:
        """What came of holding recorded trades against our arithmetic."""
        if as_json:
            sys.stdout.write(json.dumps(found.content(), indent=2) + "\n")
            return
        style = "green" if found.holds else "red"
        self._out.print(f"matched {found.matched} of {len(found.compared)}", style=style)
        if (largest := found.largest) is not None:
            self._out.print(f"largest difference: {_small(largest.difference)}, {_named(largest)}")
            self._parts(largest)
        if (relative := found.largest_relative) is not None:
            by = _small(relative.relative_difference or _ZERO)
            self._out.print(f"largest difference of relative results: {by}, {_named(relative)}")
        self._some("does not match", found.mismatched, _why)
        self._some("matches by what is recorded", (one for one in found.uncovered if one.matches), _missing)
        self._some("left out", found.left_out, _missing)

    def _parts(self, one: Compared) -> None:
        ours = one.ours
        self._out.print(
            f"  told {_money(one.told.result)}, ours {_money(ours.result)} = gross {_money(ours.gross)}"
            f" - fees {_money(ours.fees)} + funding {_money(ours.funding)} ({ours.settlements} settlements);"
            f" {_money(allowed(one.told.result))} are allowed"
        )

    def _some(self, what: str, found: Iterable[Compared], why: Callable[[Compared], str]) -> None:
        every = list(found)
        for one in every[:_SHOWN]:
            self._out.print(f"{what}: {_named(one)}, by {_small(one.difference)}: {why(one)}", style="yellow")
        if len(every) > _SHOWN:
            self._out.print(f"{what}: {len(every) - _SHOWN} more; --json names them all", style="yellow")


def _named(one: Compared) -> str:
    told = one.told
    pair = escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in told.pair))
    return f"{escape(told.place)} {pair} {told.trade.side.value} opened {_when(told.trade.opened_at)}"


def _why(one: Compared) -> str:
    return _missing(one) if one.unrecorded else _CAUSES[one.cause]


def _missing(one: Compared) -> str:
    times = [_when(at_ms * _MS) for at_ms in one.unrecorded]
    more = [f"{len(times) - 4} more"] if len(times) > 4 else []
    return f"no funding is recorded at {', '.join(times[:4] + more)}"


def _when(instant: int) -> str:
    return f"{iso(instant)[:19]}Z"


def _small(difference: Decimal) -> str:
    """To eight digits, or where these are all zero, to two that are not."""
    return f"{difference:.8f}" if abs(difference) >= _SMALLEST or not difference else f"{difference:.1e}"


def _money(amount: Decimal) -> str:
    """To eight digits, as the exchange counts; the JSON is exact."""
    return f"{amount:.8f}"
