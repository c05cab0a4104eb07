"""What asking for an account came to, and how its figures are read: strictly, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, TypeAlias

from petrosa_cio.apps.nurse.models import decimal_of, is_symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.happenings import AccountReport

Fields: TypeAlias = "Mapping[str, object]"

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?\Z", re.ASCII)
_LONGEST_NUMBER = 64
_LEAST = Decimal("1e-12")
_MOST = Decimal("1e15")


@dataclass(frozen=True, slots=True)
class Polled:
    """One look at an account: its report, or (None) why there is none."""

    report: AccountReport | None
    trouble: str = ""
    notes: tuple[str, ...] = ()
    """What the report leaves out or takes for granted, and why."""
    wait_seconds: float = 0.0
    """How long nothing should be asked."""


class AccountSource(Protocol):
    """Whoever can be asked what an account holds. Never raises for what the other side does."""

    async def report(self) -> Polled:
        """What the account holds now."""


class Unreadable(ValueError):
    """An answer that is not what it should be. The message says where and what, and repeats no figure."""


def figure(fields: Fields, *names: str) -> Decimal:
    """The finite number under the first of ``names`` that is there. Raises Unreadable."""
    found = figure_if_told(fields, *names)
    if found is None:
        msg = f"{' or '.join(names)} is missing"
        raise Unreadable(msg)
    return found


def figure_if_told(fields: Fields, *names: str) -> Decimal | None:
    """The same, or None where none of ``names`` is there or all are null."""
    name = next((name for name in names if fields.get(name) is not None), None)
    if name is None:
        return None
    value = fields[name]
    number = type(value) in (int, float) or (
        isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.match(value)
    )
    found = _decimal(value) if number else None
    if found is None or not found.is_finite() or abs(found) > _MOST:
        msg = f"{name} is no number"
        raise Unreadable(msg)
    return found


def _decimal(value: object) -> Decimal:
    return decimal_of(value) if isinstance(value, float) else Decimal(str(value))


def positive(fields: Fields, *names: str) -> Decimal:
    """The same, above zero. Raises Unreadable."""
    found = figure(fields, *names)
    if found < _LEAST:
        msg = f"{' or '.join(names)} is not positive"
        raise Unreadable(msg)
    return found


def symbol(fields: Fields) -> str:
    """The exchange's symbol. Raises Unreadable."""
    found = fields.get("symbol")
    if not isinstance(found, str) or not is_symbol(found):
        msg = "symbol is none"
        raise Unreadable(msg)
    return found


def object_in(value: object, what: str) -> dict[str, object]:
    """``value`` if it is an object. Raises Unreadable."""
    if not isinstance(value, dict):
        msg = f"{what} is no object"
        raise Unreadable(msg)
    return value


def listed(value: object, what: str) -> list[object]:
    """``value`` if it is a list. Raises Unreadable."""
    if not isinstance(value, list):
        msg = f"{what} is no list"
        raise Unreadable(msg)
    return value
