"""Every parameter of the policy and its default: the one table that validation, resolution and discovery read.

The second half speaks the execution engine's own words: the two tables that its ``defaults`` module has, cut from
`PARAMETERS`, and its four functions (fleet facts §3). They know the engine's parameters only. Ours are set through
governance, which judges a policy whole; whoever writes through the engine's words cannot reach them.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.parameters.change import CHANGE
from petrosa_cio.apps.nurse.parameters.conflicts import CONFLICTS
from petrosa_cio.apps.nurse.parameters.correlation import CORRELATION
from petrosa_cio.apps.nurse.parameters.execution import EXECUTION
from petrosa_cio.apps.nurse.parameters.freshness import FRESHNESS
from petrosa_cio.apps.nurse.parameters.limits import LIMITS
from petrosa_cio.apps.nurse.parameters.losses import LOSSES
from petrosa_cio.apps.nurse.parameters.market import MARKET
from petrosa_cio.apps.nurse.parameters.parameter import Engine
from petrosa_cio.apps.nurse.parameters.protection import PROTECTION
from petrosa_cio.apps.nurse.parameters.regime import REGIME
from petrosa_cio.apps.nurse.parameters.scope import SCOPE
from petrosa_cio.apps.nurse.parameters.shadow import SHADOW
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
    FRESHNESS,
    SCOPE,
    PROTECTION,
    MARKET,
    REGIME,
    CORRELATION,
    SIZING,
    LIMITS,
    LOSSES,
    CONFLICTS,
    EXECUTION,
    CHANGE,
    SHADOW,
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


def _schema_entry(parameter: Parameter) -> dict[str, Json]:
    entry: dict[str, Json] = {"type": parameter.kind.value, "description": parameter.description}
    entry["default"] = deepcopy(parameter.default if parameter.engine_shows is None else parameter.engine_shows)
    if parameter.minimum is not None:
        entry["min"] = parameter.minimum
    if parameter.maximum is not None:
        entry["max"] = parameter.maximum
    if parameter.allowed:
        entry["allowed_values"] = list(parameter.allowed)
    entry["example"] = deepcopy(parameter.example)
    entry["impact"] = parameter.impact
    entry["when_to_change"] = parameter.when_to_change
    return entry


DEFAULT_TRADING_PARAMETERS: dict[str, Json] = {
    name: deepcopy(parameter.default) for name, parameter in PARAMETERS.items() if Engine.DEFAULTS in parameter.engine
}
"""The engine's runtime defaults: what a configuration resolves to where nothing is set."""

PARAMETER_SCHEMA: dict[str, dict[str, Json]] = {
    name: _schema_entry(parameter) for name, parameter in PARAMETERS.items() if Engine.SCHEMA in parameter.engine
}
"""What the engine's configuration can be asked for and set to: ``type``, ``description``, ``default``, ``min`` and
``max`` or ``allowed_values`` where there are any, ``example``, ``impact``, ``when_to_change``."""

# To the engine null is only ever a default: an override is withdrawn by leaving it out, not by setting it to null.
_SETTABLE: Mapping[str, Parameter] = {name: replace(PARAMETERS[name], nullable=False) for name in PARAMETER_SCHEMA}


def get_default_parameters() -> dict[str, Json]:
    """Return a shallow copy of the engine's runtime defaults; maps and lists in it are shared, not to be changed."""
    return DEFAULT_TRADING_PARAMETERS.copy()


def get_parameter_schema() -> dict[str, dict[str, Json]]:
    """Return the engine's schema itself, not a copy."""
    return PARAMETER_SCHEMA


def merge_parameters(base: Mapping[str, Json], override: Mapping[str, Json]) -> dict[str, Json]:
    """Return ``base`` with ``override`` over it, as a new map. Maps inside are replaced whole, never merged."""
    return {**base, **override}


def validate_parameters(parameters: Mapping[str, Json]) -> tuple[bool, list[str]]:
    """Return whether the engine's configuration may hold ``parameters``, and everything that is wrong with them.

    As the engine judges, with two of its holes closed: NaN and infinity are no numbers, and neither is a boolean.
    Weights in maps are only held to that. How values must fit together is not judged here but by governance.
    """
    faults = [fault for name, value in parameters.items() for fault in _engine_faults(name, value)]
    return not faults, faults


def _engine_faults(name: str, value: Json) -> Iterable[str]:
    parameter = _SETTABLE.get(name)
    if parameter is None:
        return (f"Unknown parameter: {name}",)
    if isinstance(value, dict):
        value = {key: weight for key, weight in value.items() if _is_no_number(weight)}
    return parameter.faults(value)


def _is_no_number(value: Json) -> bool:
    return isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value))
