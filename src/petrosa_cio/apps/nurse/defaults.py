"""Every parameter of the policy and its default: the one table that validation, resolution and discovery read."""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.parameters.change import CHANGE
from petrosa_cio.apps.nurse.parameters.conflicts import CONFLICTS
from petrosa_cio.apps.nurse.parameters.execution import EXECUTION
from petrosa_cio.apps.nurse.parameters.freshness import FRESHNESS
from petrosa_cio.apps.nurse.parameters.limits import LIMITS
from petrosa_cio.apps.nurse.parameters.losses import LOSSES
from petrosa_cio.apps.nurse.parameters.market import MARKET
from petrosa_cio.apps.nurse.parameters.protection import PROTECTION
from petrosa_cio.apps.nurse.parameters.scope import SCOPE
from petrosa_cio.apps.nurse.parameters.sizing import SIZING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.parameters.parameter import Parameter


def by_name(*tables: Iterable[Parameter]) -> Mapping[str, Parameter]:
    """Return the parameters of all tables by name, in table order. Raises ValueError where a name occurs twice."""
    found: dict[str, Parameter] = {}
    for table in tables:
        for parameter in table:
            if parameter.name in found:
                msg = f"parameter {parameter.name} is declared twice"
                raise ValueError(msg)
            found[parameter.name] = parameter
    return MappingProxyType(found)


PARAMETERS: Mapping[str, Parameter] = by_name(
    FRESHNESS, SCOPE, PROTECTION, MARKET, SIZING, LIMITS, LOSSES, CONFLICTS, EXECUTION, CHANGE
)
"""Every parameter by name, grouped by subject in about the order in which the controls are checked."""


def default_values() -> dict[str, Json]:
    """Return the default of every parameter: a deep copy, the caller's to change."""
    return {name: deepcopy(parameter.default) for name, parameter in PARAMETERS.items()}


def parameter_faults(values: Mapping[str, Json]) -> tuple[str, ...]:
    """Return everything that is wrong with ``values``, in their order: unknown names, and faults of single values."""
    faults: list[str] = []
    for name, value in values.items():
        parameter = PARAMETERS.get(name)
        faults.extend((_unknown(name),) if parameter is None else parameter.faults(value))
    return tuple(faults)


def _unknown(name: str) -> str:
    near = get_close_matches(name, PARAMETERS, n=1)
    return f"Unknown parameter: {name}" + (f" (did you mean {near[0]}?)" if near else "")
