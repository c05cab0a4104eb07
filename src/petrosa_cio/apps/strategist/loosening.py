"""Which way a change of policy goes: whether it admits more risk, where, and by how much.

What counts is not the value that a scope holds but the limit that comes out for a case. So every combination of symbol,
strategy and side that the configuration tells apart is resolved before and after: a strategy's limit that lies under
the global one, but above the one of a symbol that it overrides, loosens. Removing a value is compared in the same way
with what then applies.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.models import Mode, Side, decimal_of
from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening
from petrosa_cio.apps.nurse.policy import GLOBAL
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.parameters.parameter import Parameter

    Scopes: TypeAlias = Mapping[str, Mapping[str, Json]]

MODE = "mode."
"""How the name of a value begins that is the mode of a control."""
SECOND_PERSON = "loosening_needs_second_person"
RATIO = "loosening_ratio"
GOVERNANCE: frozenset[str] = frozenset({SECOND_PERSON, RATIO})
"""Parameters that say how policy may change. Loosening one of them is never within the ratio."""

_EMPTY_ADMITS_ALL = frozenset({"allowed_symbols", "allowed_strategies"})
_ZERO_CAPS_NOTHING = frozenset({"portfolio_leverage_cap"})
_UNLIMITED = Decimal("Infinity")
_EXACT = Context(prec=100)  # the product of two floats' shortest texts has at most 34 digits
_UNSET = object()


class Direction(StrEnum):
    """Which way one value goes."""

    SAME = "same"
    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    BOTH = "both"
    """A list that gains one element and loses another, or a word whose place is not known."""
    UNORDERED = "unordered"
    """The parameter's values cannot be ordered by risk."""


@dataclass(frozen=True, slots=True)
class Loosened:
    """One limit that a change loosens: in which scopes' cases, from which value to which."""

    where: str
    name: str
    before: Json
    after: Json
    waits: bool
    """Whether it needs a second person by the governance that was in force there before the change."""

    @property
    def sentence(self) -> str:
        """It in words, for the person who decides."""
        before, after = (record.encode(value).decode() for value in (self.before, self.after))
        return f"{self.where}: {self.name} {before} -> {after}"


def loosened(before: Scopes, after: Scopes) -> tuple[Loosened, ...]:
    """Every limit that is looser in ``after`` than in ``before``, once for each pair of values, widest case first."""
    found: dict[tuple[str, bytes, bool], Loosened] = {}
    for name, changed in _changed(before, after).items():
        for where, layers in _cases(name, before, after):
            if changed.isdisjoint(layers):
                continue
            one = _compared(where, name, layers, before, after)
            if one is not None:
                found.setdefault((name, record.encode([one.before, one.after]), one.waits), one)
    return tuple(found.values())


def direction(name: str, before: Json, after: Json) -> Direction:
    """Which way value ``name`` goes from ``before`` to ``after``; both must be usable values of it, or nearly."""
    if name.startswith(MODE):
        return _ordered(_mode_rank(before), _mode_rank(after))
    parameter = PARAMETERS[name]
    if parameter.loosening is Loosening.NEITHER or parameter.kind is Kind.DICT:
        return Direction.SAME if before == after else Direction.UNORDERED
    if isinstance(before, list) and isinstance(after, list):
        return _of_lists(parameter, before, after)
    return _ordered(_rank(parameter, before), _rank(parameter, after))


def is_beyond(name: str, before: Json, after: Json, ratio: Decimal) -> bool:
    """Whether a loosening of ``name`` exceeds ``ratio``, looser to tighter; one of anything but a number always does.

    So does one from or to zero, to no limit at all, or across zero: no ratio describes it.
    """
    if name in GOVERNANCE or _is_unlimited(name, before) or _is_unlimited(name, after):
        return True
    one, other = _number(before), _number(after)
    if one is None or other is None or one.is_signed() != other.is_signed() or not one or not other:
        return True
    tight, loose = sorted((abs(one), abs(other)))
    return loose > _EXACT.multiply(tight, ratio)


def _of_lists(parameter: Parameter, before: list[Json], after: list[Json]) -> Direction:
    one, other = ({str(element) for element in value} for value in (before, after))
    if parameter.name in _EMPTY_ADMITS_ALL and not (one and other):
        return _ordered(Decimal(not one), Decimal(not other))
    gains, loses = bool(other - one), bool(one - other)
    if parameter.loosening is Loosening.DOWN:
        gains, loses = loses, gains
    if gains and loses:
        return Direction.BOTH
    return _ordered(Decimal(0), Decimal(gains - loses))


def _ordered(before: Decimal | None, after: Decimal | None) -> Direction:
    if before is None or after is None:
        return Direction.BOTH
    if before == after:
        return Direction.SAME
    return Direction.LOOSENS if after > before else Direction.TIGHTENS


def _rank(parameter: Parameter, value: Json) -> Decimal | None:
    """How loose ``value`` is, for comparison with others of the same parameter; None where its place is not known."""
    if _is_unlimited(parameter.name, value):
        return _UNLIMITED
    if isinstance(value, str):
        place = Decimal(parameter.allowed.index(value)) if value in parameter.allowed else None
    else:
        place = Decimal(value) if isinstance(value, bool) else _number(value)
    if place is None or parameter.loosening is Loosening.UP:
        return place
    return -place


def _is_unlimited(name: str, value: Json) -> bool:
    return value is None or (name in _ZERO_CAPS_NOTHING and value == 0)


def _number(value: Json) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return decimal_of(value)


def _mode_rank(mode: Json) -> Decimal | None:
    return Decimal(list(Mode).index(Mode(mode))) if isinstance(mode, str) and mode in tuple(Mode) else None


def _changed(before: Scopes, after: Scopes) -> dict[str, set[str]]:
    """The names of which some scope holds another value than before, with these scopes. Unknown names are left out."""
    changed: dict[str, set[str]] = {}
    for scope in {**before, **after}:
        old, new = before.get(scope, {}), after.get(scope, {})
        for name in {**old, **new}:
            if old.get(name, _UNSET) != new.get(name, _UNSET) and is_known(name):
                changed.setdefault(name, set()).add(scope)
    return changed


def is_known(name: str) -> bool:
    """Whether ``name`` is a parameter, or the mode of a control as ``mode.CODE``."""
    return name[len(MODE) :] in Reason.__members__ if name.startswith(MODE) else name in PARAMETERS


def _cases(name: str, before: Scopes, after: Scopes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every kind of case that scopes with ``name`` tell apart: what to call it, and its layers, widest first."""
    telling = {name, *GOVERNANCE}
    scopes = [scope for one in (before, after) for scope, values in one.items() if telling & values.keys()]
    strategies = [None, *dict.fromkeys(scope for scope in scopes if scope.startswith("strategy:"))]
    symbols = [None, *dict.fromkeys(":".join(s.split(":")[:2]) for s in scopes if s.startswith("symbol:"))]
    for symbol in symbols:
        for strategy in strategies:
            for side in Side if symbol is not None else (None,):
                sided = None if side is None else f"{symbol}:{side.value}"
                place = sided if sided in scopes else symbol
                where = " with ".join(scope for scope in (place, strategy) if scope is not None)
                layers = (GLOBAL, symbol, strategy, sided)
                yield where or GLOBAL, tuple(scope for scope in layers if scope is not None)


def _compared(where: str, name: str, layers: tuple[str, ...], before: Scopes, after: Scopes) -> Loosened | None:
    old, new = _in_force(name, layers, before), _in_force(name, layers, after)
    if direction(name, old, new) not in (Direction.LOOSENS, Direction.BOTH):
        return None
    waits = _in_force(SECOND_PERSON, layers, before) is not False
    ratio = _number(_in_force(RATIO, layers, before)) or Decimal(1)
    return Loosened(where, name, old, new, waits and is_beyond(name, old, new, ratio))


def _in_force(name: str, layers: tuple[str, ...], scopes: Scopes) -> Json:
    value: Json = Mode.ENFORCE.value if name.startswith(MODE) else PARAMETERS[name].default
    for layer in layers:
        value = scopes.get(layer, {}).get(name, value)
    return value
