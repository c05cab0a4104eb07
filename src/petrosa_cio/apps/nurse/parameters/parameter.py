"""One parameter of the policy: what it means, and what may be put into it."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from enum import Flag, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petrosa_cio.apps.nurse.models import Json


class Kind(StrEnum):
    """Type of a value, by the fleet's own words."""

    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    BOOLEAN = "boolean"
    DICT = "dict"
    LIST = "list"


class Loosening(StrEnum):
    """Direction in which a change admits more risk.

    "Higher" means: true for a boolean, more elements for a list, later in ``allowed`` for a string. Null, where a
    parameter with a direction admits it, sets no limit at all and so is its loosest value. Three parameters have an
    "unlimited" value of another form and say so in their unit: an empty ``allowed_symbols`` or ``allowed_strategies``
    admits all, and ``portfolio_leverage_cap`` 0 caps nothing.
    """

    UP = "up"
    """A higher value admits more risk."""
    DOWN = "down"
    """A lower value admits more risk."""
    NEITHER = "neither"
    """Values cannot be ordered by risk."""


class Engine(Flag):
    """Which of its two tables the execution engine keeps a parameter in; see `petrosa_cio.apps.nurse.defaults`."""

    ABSENT = 0
    """The engine does not know the parameter: it is ours."""
    DEFAULTS = 1
    """Its runtime defaults: a resolved configuration holds the parameter."""
    SCHEMA = 2
    """Its schema: the parameter can be discovered, and set."""
    BOTH = 3


_TYPES: Mapping[Kind, tuple[type[object], ...]] = {
    Kind.INTEGER: (int,),
    Kind.FLOAT: (int, float),
    Kind.STRING: (str,),
    Kind.BOOLEAN: (bool,),
    Kind.DICT: (dict,),
    Kind.LIST: (list,),
}

_WIDEST_SHOWN_INTEGER_BITS = 1024


def _is_of(kind: Kind, value: object) -> bool:
    # In Python a bool is an int; in a policy it is never a number.
    if isinstance(value, bool):
        return kind is Kind.BOOLEAN
    return isinstance(value, _TYPES[kind])


def _type_faults(label: str, kind: Kind, value: object) -> Iterator[str]:
    if not _is_of(kind, value):
        yield f"{label} must be {kind}, got {type(value)}"


def _shown(value: object) -> str:
    # str() of an integer with thousands of digits raises ValueError; a fault must always be tellable.
    if isinstance(value, int) and value.bit_length() > _WIDEST_SHOWN_INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"
    return str(value)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond every float: as good as infinite to whoever computes with it
        return False


def _number_faults(label: str, number: float, minimum: float | None, maximum: float | None) -> Iterator[str]:
    if not _is_finite(number):
        yield f"{label} must be finite, got {_shown(number)}"
        return
    if minimum is not None and number < minimum:
        yield f"{label} must be >= {minimum}, got {_shown(number)}"
    if maximum is not None and number > maximum:
        yield f"{label} must be <= {maximum}, got {_shown(number)}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One named value that a policy can set at any scope. Bounds are inclusive.

    A parameter says what a value of its own may be; how values must fit together is judged over a whole policy.
    """

    name: str
    kind: Kind
    default: Json
    """Not to be changed in place; `petrosa_cio.apps.nurse.defaults.default_values` hands out copies."""
    unit: str
    """Says in particular whether a ``_pct`` is a percent (2.0 = 2 %) or a fraction (0.02 = 2 %)."""
    description: str
    example: Json
    impact: str
    """What happens when the value goes up and when it goes down."""
    when_to_change: str
    enforced_by: str
    """The code of the control, or ``engine``, ``gate``, ``guard`` (what bars are read for: the regime guard and the
    correlation beside it, whose words controls read), or a service: ``auditor``, ``strategist``, ``alerts``."""
    loosening: Loosening
    minimum: int | float | None = None
    maximum: int | float | None = None
    allowed: tuple[str, ...] = ()
    """Words a string, or each element of a list, must be one of; empty where any is accepted."""
    nullable: bool = False
    engine: Engine = Engine.ABSENT
    engine_shows: Json = None
    """Default that the engine's schema names, where it is not ``default``; else None."""

    def content(self) -> dict[str, Json]:
        """Everything about it, as discovery shows it."""
        return {
            "name": self.name,
            "type": self.kind.value,
            "unit": self.unit,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "allowed": list(self.allowed),
            "nullable": self.nullable,
            "default": deepcopy(self.default),
            "description": self.description,
            "example": deepcopy(self.example),
            "impact": self.impact,
            "when_to_change": self.when_to_change,
            "enforced_by": self.enforced_by,
            "loosening": self.loosening.value,
        }

    def faults(self, value: Json) -> tuple[str, ...]:
        """Return everything that is wrong with ``value``, none where it can be used. Never raises.

        Numbers are not coerced: 10.0 is no integer, but 10 is a fine float. NaN and infinity are refused.
        """
        if value is None and self.nullable:
            return ()
        return tuple(_type_faults(self.name, self.kind, value)) or tuple(self._content_faults(value))

    def _content_faults(self, value: Json) -> Iterator[str]:
        match value:
            case bool() | None:
                return
            case int() | float():
                yield from _number_faults(self.name, value, self.minimum, self.maximum)
            case str():
                yield from self._word_faults(value)
            case list():
                yield from self._list_faults(value)
            case dict():
                yield from self._dict_faults(value)

    def _word_faults(self, word: str) -> Iterator[str]:
        if self.allowed and word not in self.allowed:
            yield f"{self.name} must be one of {list(self.allowed)}, got {word}"

    def _list_faults(self, elements: list[Json]) -> Iterator[str]:
        for position, element in enumerate(elements):
            if isinstance(element, str):
                yield from self._word_faults(element)
            else:
                yield from _type_faults(f"{self.name}[{position}]", Kind.STRING, element)

    def _dict_faults(self, entries: dict[str, Json]) -> Iterator[str]:
        for key, entry in entries.items():
            label = f"{self.name}[{_shown(key)!r}]"
            yield from _type_faults(f"{label} key", Kind.STRING, key)
            if isinstance(entry, int | float) and not isinstance(entry, bool):
                yield from _number_faults(label, entry, 0, None)
            else:
                yield from _type_faults(label, Kind.FLOAT, entry)
