"""Configured overrides held against the exchange's own filters.

An `override_*` stands in for what the exchange publishes, so it ages: the exchange changes a filter and the override
goes on. One that is set for a symbol must equal the symbol's filter; one that is set for all symbols is a finding
where orders made under it would be refused: a minimum below the exchange's, or a step that is no multiple of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from petrosa_cio.core.exchange.drift import Drift, Kind, contracts_in, filters_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_RULES = {
    "override_min_notional": ("MIN_NOTIONAL", "notional"),
    "override_min_qty": ("LOT_SIZE", "minQty"),
    "override_step_size": ("LOT_SIZE", "stepSize"),
}
OVERRIDES = tuple(_RULES)
"""Names of the parameters that stand in for a filter."""


@dataclass(frozen=True, slots=True)
class Override:
    """A configured value: of which parameter, set by which scope, for one symbol or (None) for all."""

    name: str
    scope: str
    symbol: str | None
    value: Decimal
    but_for: frozenset[str] = frozenset()
    """Symbols that a narrower scope sets it for."""

    def holds_for(self, symbol: object) -> bool:
        """Whether orders on ``symbol`` are made under it."""
        return symbol not in self.but_for if self.symbol is None else self.symbol == symbol


def overrides_in(scopes: Mapping[str, Mapping[str, object]]) -> tuple[Override, ...]:
    """The overrides that a configuration sets, scope by scope; a null one stands in for nothing."""
    narrower = {
        name: frozenset(scope.split(":")[1] for scope, values in scopes.items() if _of_symbol(scope) and name in values)
        for name in OVERRIDES
    }
    return tuple(
        Override(
            name,
            scope,
            scope.split(":")[1] if _of_symbol(scope) else None,
            Decimal(str(values[name])),
            narrower[name] if scope == "global" else frozenset(),
        )
        for scope, values in sorted(scopes.items())
        for name in OVERRIDES
        if isinstance(values.get(name), int | float)
    )


def _of_symbol(scope: str) -> bool:
    return scope.startswith("symbol:")


def filters_changed(answer: object, overrides: Iterable[Override]) -> Iterator[Drift]:
    """Every override that does not agree with the ``exchangeInfo`` in ``answer``, on symbols that trade."""
    wanted = tuple(overrides)
    trading = [contract for contract in contracts_in(answer) if contract.get("status") == "TRADING"] if wanted else []
    for contract in trading:
        symbol = contract.get("symbol")
        for override in wanted:
            if override.holds_for(symbol):
                yield from _compared(override, contract)


def _compared(override: Override, contract: dict[str, object]) -> Iterator[Drift]:
    name, field = _RULES[override.name]
    own = _number(filters_of(contract).get(name, {}).get(field))
    if own is None or _agree(override, own):
        return
    where = f"symbols[].filters[{name}].{field}"
    # The value is told for one symbol; for all of them it differs from one to the next.
    found = f"{own:f}" if override.symbol else "more" if "step" not in override.name else "another step"
    expected = f"{override.value:f} ({override.name} of {override.scope})"
    yield Drift(Kind.FILTER_CHANGED, where, expected, found, example=shown(contract.get("symbol", "")))


def _agree(override: Override, own: Decimal) -> bool:
    if override.symbol is not None:
        return override.value == own
    if override.name == "override_step_size":
        return own == 0 or override.value % own == 0
    return override.value >= own


def _number(value: object) -> Decimal | None:
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None
