"""Policy: parameters by scope, folded into the limits that hold for one intent.

Scopes, lowest precedence first: ``defaults``, ``global``, ``symbol:S``, ``strategy:ID``, ``symbol:S:SIDE``.
A policy is immutable; its revision is the SHA-256 of its canonical text, so equal policies have equal revisions.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.defaults import PARAMETERS, default_values, parameter_faults
from petrosa_cio.apps.nurse.models import Fact, Mode, Side, is_symbol
from petrosa_cio.apps.nurse.reasons import ALWAYS_ON, Reason
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petrosa_cio.apps.nurse.models import Json

Values: TypeAlias = "dict[str, Json]"
ScopeKey: TypeAlias = tuple[str | None, str | None, Side | None]

DEFAULTS = "defaults"
GLOBAL = "global"
_KEYS = ("scopes", "modes", "required_facts")

_SIDES = tuple(f":{side.value}" for side in Side)

_ORDERED_PAIRS = (
    ("min_position_size_usd", "max_position_size_usd"),
    ("sl_distance_min_pct", "sl_distance_max_pct"),
    ("tp_distance_min_pct", "tp_distance_max_pct"),
    ("price_min_absolute", "price_max_absolute"),
    ("price_min_relative_pct", "price_max_relative_pct"),
    ("quantity_min", "quantity_max"),
    ("volatility_scale_threshold", "volatility_block_threshold"),
    ("regime_volatility_exit", "regime_volatility_enter"),
    ("regime_percentile_exit", "regime_percentile_enter"),
    ("regime_drawdown_exit", "regime_drawdown_enter"),
    ("regime_spread_exit", "regime_spread_enter"),
    ("regime_capitulation_drawdown_exit", "regime_capitulation_drawdown_enter"),
    ("regime_capitulation_percentile_exit", "regime_capitulation_percentile_enter"),
    ("regime_trend_exit", "regime_trend_enter"),
    ("regime_choppy_volatility_exit", "regime_choppy_volatility_enter"),
    ("regime_choppy_efficiency_enter", "regime_choppy_efficiency_exit"),
)


def symbol_scope(symbol: str, side: Side | None = None) -> str:
    """Name of the scope of a symbol, or of one side of it."""
    return f"symbol:{symbol}" if side is None else f"symbol:{symbol}:{side.value}"


def strategy_scope(strategy_id: str) -> str:
    """Name of the scope of a strategy."""
    return f"strategy:{strategy_id}"


def layers_of(symbol: str, strategy_id: str, side: Side | None) -> tuple[str, ...]:
    """The scopes that apply to an intent, lowest precedence first; they come after the defaults."""
    layers = (GLOBAL, symbol_scope(symbol), strategy_scope(strategy_id))
    return layers if side is None else (*layers, symbol_scope(symbol, side))


class Limits:
    """The parameters that hold for one intent, each with the scope that set it. Typed access; no I/O."""

    __slots__ = ("_lists", "_maps", "_numbers", "_scopes", "_words", "memo", "modes", "required")

    def __init__(self, values: Mapping[str, Json], scopes: Mapping[str, str], modes: Mapping[Reason, Mode]) -> None:
        self._numbers: dict[str, Decimal | None] = {}
        self._words: dict[str, str] = {}
        self._lists: dict[str, tuple[str, ...]] = {}
        self._maps: dict[str, dict[str, Decimal]] = {}
        self._scopes = dict(scopes)
        self.memo: object = None  # what the enforcer worked out for these limits; they never change
        self.modes = dict(modes)
        for name, value in values.items():
            self._keep(name, value)
        self.required: frozenset[Fact] = frozenset(Fact(word) for word in self._lists["required_facts"])

    def _keep(self, name: str, value: Json) -> None:
        match value:
            case None:
                self._numbers[name] = None
            case bool() | int():
                self._numbers[name] = Decimal(int(value))
            case float():
                self._numbers[name] = Decimal(repr(value))
            case str():
                self._words[name] = value
            case list():
                self._lists[name] = tuple(str(item) for item in value)
            case dict():
                self._maps[name] = {key: Decimal(str(item)) for key, item in value.items()}

    def number(self, name: str) -> Decimal | None:
        """The number ``name``, or None where there is no such limit."""
        return self._numbers[name]

    def required_number(self, name: str) -> Decimal:
        """The number ``name``, of a parameter that is never null."""
        value = self._numbers[name]
        if value is None:
            msg = f"{name} has no value"
            raise LookupError(msg)
        return value

    def flag(self, name: str) -> bool:
        """The boolean ``name``."""
        return bool(self._numbers[name])

    def word(self, name: str) -> str:
        """The string ``name``."""
        return self._words[name]

    def words(self, name: str) -> tuple[str, ...]:
        """The list ``name``."""
        return self._lists[name]

    def weights(self, name: str) -> Mapping[str, Decimal]:
        """The map of weights ``name``."""
        return self._maps[name]

    def scope(self, name: str) -> str:
        """The scope that set ``name``; ``defaults`` where none did."""
        return self._scopes.get(name, DEFAULTS)


@dataclass(frozen=True, slots=True)
class Policy:
    """An immutable policy. ``content`` is its whole text as a mapping, ``revision`` the hash of its canonical form."""

    revision: str
    content: Values
    scopes: Mapping[str, Values]
    modes: Mapping[str, Mapping[Reason, Mode]]
    _symbols: frozenset[str] = frozenset()
    """Symbols that some scope names."""
    _strategies: frozenset[str] = frozenset()
    _resolved: dict[ScopeKey, Limits] = field(default_factory=dict, repr=False, compare=False)

    def limits(self, symbol: str, strategy_id: str, side: Side | None) -> Limits:
        """The limits that hold for this symbol, strategy and side.

        Resolved once per combination of scopes that the policy names, so the memo is bounded by the policy's own size
        whatever names the wire brings.
        """
        key: ScopeKey = (
            symbol if symbol in self._symbols else None,
            strategy_id if strategy_id in self._strategies else None,
            side if symbol in self._symbols else None,
        )
        found = self._resolved.get(key)
        if found is None:
            found = self._resolved[key] = self._resolve(symbol, strategy_id, side)
        return found

    def longest(self, name: str) -> Decimal:
        """The largest value of number ``name`` in any scope, defaults included; 0 where it is null everywhere."""
        values = [PARAMETERS[name].default, *(scope.get(name) for scope in self.scopes.values())]
        numbers = [Decimal(str(value)) for value in values if isinstance(value, int | float)]
        return max(numbers, default=Decimal(0))

    def _resolve(self, symbol: str, strategy_id: str, side: Side | None) -> Limits:
        values = default_values()
        scopes: dict[str, str] = {}
        modes: dict[Reason, Mode] = {}
        for layer in layers_of(symbol, strategy_id, side):
            for name, value in self.scopes.get(layer, {}).items():
                values[name] = value
                scopes[name] = layer
            modes.update(self.modes.get(layer, {}))
        return Limits(values, scopes, modes)


def read_policy(content: Json, source: str = "policy") -> Policy:
    """Return the policy that ``content`` (a policy file's JSON) says.

    Shape: ``{"scopes": {"global": {NAME: value}, "symbol:S": {...}, "strategy:ID": {...}, "symbol:S:LONG": {...}},
    "modes": {CODE: "enforce" | "observe" | "off"}, "required_facts": [...]}``; every key optional. Inside a scope,
    ``"mode.CODE"`` sets the mode of a control there; top-level ``modes`` and ``required_facts`` mean the global scope.

    Raises PolicyError naming every fault: unknown names, wrong types, values out of bounds, minimum above maximum,
    a safety control switched off.
    """
    if not isinstance(content, dict):
        raise PolicyError(("must be a JSON object",), source)
    faults = [f"unknown key {key!r}; known: {', '.join(_KEYS)}" for key in content if key not in _KEYS]
    scopes, modes = _read_scopes(_as_object(content, "scopes", faults), faults)
    for code, mode in _as_object(content, "modes", faults).items():
        _read_mode(f"modes.{code}", code, mode, modes.setdefault(GLOBAL, {}), faults)
    if "required_facts" in content:
        faults.extend(parameter_faults({"required_facts": content["required_facts"]}))
        scopes.setdefault(GLOBAL, {})["required_facts"] = content["required_facts"]
    faults.extend(_cross_faults(scopes))
    if faults:
        raise PolicyError(tuple(faults), source)
    try:
        revision = hashlib.sha256(record.encode(content)).hexdigest()
    except UnicodeEncodeError as error:
        raise PolicyError((f"holds text that is not valid Unicode: {error.reason}",), source) from error
    named = {*scopes, *modes}
    symbols = frozenset(scope.split(":")[1] for scope in named if scope.startswith("symbol:"))
    strategies = frozenset(scope.partition(":")[2] for scope in named if scope.startswith("strategy:"))
    return Policy(revision, content, scopes, modes, symbols, strategies)


def _as_object(content: Values, key: str, faults: list[str]) -> Values:
    value = content.get(key, {})
    if isinstance(value, dict):
        return value
    faults.append(f"{key} must be an object")
    return {}


def _read_scopes(given: Values, faults: list[str]) -> tuple[dict[str, Values], dict[str, dict[Reason, Mode]]]:
    scopes: dict[str, Values] = {}
    modes: dict[str, dict[Reason, Mode]] = {}
    for scope, values in given.items():
        faults.extend(_scope_faults(scope))
        if not isinstance(values, dict):
            faults.append(f"{scope}: must be an object of parameters")
            continue
        parameters = {name: value for name, value in values.items() if not name.startswith("mode.")}
        faults.extend(f"{scope}: {fault}" for fault in parameter_faults(parameters))
        scopes[scope] = parameters
        for name, mode in values.items():
            if name.startswith("mode."):
                _read_mode(f"{scope}: {name}", name[5:], mode, modes.setdefault(scope, {}), faults)
    return scopes, modes


def _scope_faults(scope: str) -> Iterator[str]:
    kind, _, rest = scope.partition(":")
    match kind:
        case "global" if not rest:
            return
        case "strategy" if rest:
            return
        case "symbol" if is_symbol(next((rest.removesuffix(end) for end in _SIDES if rest.endswith(end)), rest)):
            return
        case _:
            yield f"unknown scope {scope!r}; known: global, symbol:S, strategy:ID, symbol:S:LONG, symbol:S:SHORT"


def _read_mode(where: str, code: str, mode: Json, into: dict[Reason, Mode], faults: list[str]) -> None:
    if code not in Reason.__members__:
        faults.append(f"{where}: unknown control {code!r}")
        return
    if mode not in tuple(Mode):
        faults.append(f"{where}: must be one of {[item.value for item in Mode]}, got {mode!r}")
        return
    chosen = Mode(str(mode))
    if Reason(code) in ALWAYS_ON and chosen is not Mode.ENFORCE:
        faults.append(f"{where}: {code} is a safety control and cannot be {chosen.value}")
        return
    into[Reason(code)] = chosen


def _cross_faults(scopes: Mapping[str, Values]) -> Iterator[str]:
    """Pairs whose minimum exceeds their maximum, wherever scopes meet on one intent."""
    ordered = {name for pair in _ORDERED_PAIRS for name in pair}
    concerned = [scope for scope, values in scopes.items() if ordered & values.keys()]
    strategies = [None, *(scope for scope in concerned if scope.startswith("strategy:"))]
    symbols = [
        None,
        *dict.fromkeys(":".join(scope.split(":")[:2]) for scope in concerned if scope.startswith("symbol:")),
    ]
    told: set[str] = set()
    for symbol in symbols:
        for strategy in strategies:
            for side in Side if symbol is not None else (None,):
                sided = None if symbol is None or side is None else f"{symbol}:{side.value}"
                layers = [scope for scope in (GLOBAL, symbol, strategy, sided) if scope in scopes]
                for fault in _crossed(scopes, [scope for scope in layers if scope is not None]):
                    if fault not in told:
                        told.add(fault)
                        yield fault


def _is_number(value: Json) -> bool:
    """Whether ``value`` can be compared at all; one that cannot is a fault of its own."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _crossed(scopes: Mapping[str, Values], layers: list[str]) -> Iterator[str]:
    values = {name: PARAMETERS[name].default for pair in _ORDERED_PAIRS for name in pair}
    for layer in layers:
        values.update((name, value) for name, value in scopes[layer].items() if name in values)
    for low, high in _ORDERED_PAIRS:
        least, most = values[low], values[high]
        if _is_number(least) and _is_number(most) and Decimal(str(least)) > Decimal(str(most)):
            setters = [layer for layer in layers if low in scopes[layer] or high in scopes[layer]]
            yield f"{' with '.join(setters) or DEFAULTS}: {low} ({least}) is above {high} ({most})"
