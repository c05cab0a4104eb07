"""The parameter table: its shape, its agreement with the fleet, and what a value may be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrosa_cio.apps.nurse.defaults import PARAMETERS, by_name, default_values, parameter_faults
from petrosa_cio.apps.nurse.models import Fact, Side, StrategyMode
from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening, Parameter
from petrosa_cio.apps.nurse.parameters.sizing import SIZING
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

DESIGN = Path(__file__).resolve().parents[3] / "shared" / "design"
needs_design = pytest.mark.skipif(
    not DESIGN.is_dir(), reason=f"the fleet's recorded facts are not on this machine: {DESIGN} is absent"
)
every_parameter = pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS)

BOUNDED = [p for p in PARAMETERS.values() if p.minimum is not None and p.maximum is not None]
WORDED = [p for p in PARAMETERS.values() if p.allowed]
ENFORCERS = {*Reason, "engine", "gate", "guard", "auditor", "strategist", "alerts"}

# Table of controls §3, and the brief of this table: name, kind, default, least, most.
NEW: list[tuple[str, Kind, Json, float | None, float | None]] = [
    ("duplicate_window_seconds", Kind.INTEGER, 300, 1, 86400),
    ("governance_timeout_ms", Kind.INTEGER, 200, 10, 60000),
    ("max_orders_per_minute", Kind.INTEGER, 120, 1, 1000000),
    ("conflict_window_ms", Kind.INTEGER, 60000, 0, 3600000),
    ("taker_fee_bps", Kind.FLOAT, 5.0, 0, 100),
    ("slippage_bps", Kind.FLOAT, 2.0, 0, 100),
]
NEW_DEFAULTS: dict[str, Json] = {
    "max_clock_skew_seconds": 5,
    "max_policy_age_seconds": 86400,
    "max_market_age_seconds": 30,
    "max_account_age_seconds": 60,
    "allowed_strategies": [],
    "require_stop_loss": False,
    "min_reward_to_risk": None,
    "max_spread_bps": None,
    "max_book_share": None,
    "max_symbol_exposure_pct": 0.3,
    "max_correlated_exposure_pct": 0.5,
    "min_liquidation_distance_pct": 1.0,
    "max_strategy_drawdown_pct": 0.1,
    "max_consecutive_losses": None,
    "stop_cooldown_seconds": None,
    "volatility_block_threshold": 0.06,
    "scale_down_factor": 0.5,
    "blocked_regimes": ["capitulation", "choppy"],
    "max_adverse_funding_bps": None,
    "loosening_needs_second_person": True,
    "loosening_ratio": 1.0,
    "llm_confidence_floor": 0.7,
    "max_accumulations": None,
    "accumulation_cooldown_seconds": None,
    "tp_distance_min_pct": None,
    "tp_distance_max_pct": None,
    "sl_distance_min_pct": None,
    "sl_distance_max_pct": None,
    "price_min_absolute": None,
    "price_max_absolute": None,
    "price_min_relative_pct": None,
    "price_max_relative_pct": None,
    "quantity_min": None,
    "quantity_max": None,
    "max_unfilled_promotions": None,
    "warning_share": 0.8,
}
PERCENTS = {
    "stop_loss_pct",
    "take_profit_pct",
    "slippage_tolerance_pct",
    "min_liquidation_distance_pct",
    *(f"{kind}_distance_{end}_pct" for kind in ("tp", "sl") for end in ("min", "max")),
    "price_min_relative_pct",
    "price_max_relative_pct",
}


def a_parameter(
    kind: Kind,
    default: Json,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    allowed: tuple[str, ...] = (),
    nullable: bool = False,
) -> Parameter:
    return Parameter(
        name="limit",
        kind=kind,
        default=default,
        unit="units",
        description="A limit.",
        example=default,
        impact="None.",
        when_to_change="Never.",
        enforced_by="gate",
        loosening=Loosening.NEITHER,
        minimum=minimum,
        maximum=maximum,
        allowed=allowed,
        nullable=nullable,
    )


def recorded(file: str) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = json.loads((DESIGN / file).read_text())
    return found


class TestTable:
    @every_parameter
    def test_texts(self, parameter: Parameter) -> None:
        """Every parameter says what it is, in which unit, what it does and when to change it."""
        for text in (parameter.unit, parameter.description, parameter.impact, parameter.when_to_change):
            assert text.strip()
            assert text == text.strip()
            assert "  " not in text

    @every_parameter
    def test_sentences(self, parameter: Parameter) -> None:
        """Description, impact and advice are whole sentences, and no two of them are the same."""
        sentences = (parameter.description, parameter.impact, parameter.when_to_change)
        assert all(sentence.endswith(".") for sentence in sentences)
        assert len(set(sentences)) == len(sentences)

    @every_parameter
    def test_default_and_example_are_admissible(self, parameter: Parameter) -> None:
        """A parameter's default and its example pass its own check."""
        assert parameter.faults(parameter.default) == ()
        assert parameter.faults(parameter.example) == ()

    @every_parameter
    def test_example_is_a_value(self, parameter: Parameter) -> None:
        """The example of a parameter that can be null shows a value, and a float's example is a float."""
        assert parameter.example is not None
        if parameter.kind is Kind.FLOAT:
            assert isinstance(parameter.example, float)

    @every_parameter
    def test_bounds(self, parameter: Parameter) -> None:
        """Bounds are in order, finite, of the parameter's own kind, and only numbers have them."""
        given_bounds = [bound for bound in (parameter.minimum, parameter.maximum) if bound is not None]
        assert given_bounds == sorted(given_bounds)
        assert len(set(given_bounds)) == len(given_bounds)
        assert all(math.isfinite(bound) for bound in given_bounds)
        if parameter.kind is Kind.INTEGER:
            assert all(type(bound) is int for bound in given_bounds)
        else:
            assert parameter.kind is Kind.FLOAT or not given_bounds

    @every_parameter
    def test_numbers_are_bounded_below(self, parameter: Parameter) -> None:
        """No number is without a lower bound."""
        assert parameter.kind not in (Kind.INTEGER, Kind.FLOAT) or parameter.minimum is not None

    @every_parameter
    def test_enforced(self, parameter: Parameter) -> None:
        """None is decoration: a control, the engine, the gate or a service enforces each."""
        assert parameter.enforced_by in ENFORCERS

    @every_parameter
    def test_words(self, parameter: Parameter) -> None:
        """Only strings and lists of strings have a list of allowed words; every string does, without repeats."""
        assert not parameter.allowed or parameter.kind in (Kind.STRING, Kind.LIST)
        assert parameter.allowed or parameter.kind is not Kind.STRING
        assert len(set(parameter.allowed)) == len(parameter.allowed)

    @every_parameter
    def test_percent_or_fraction(self, parameter: Parameter) -> None:
        """The unit of every ``_pct`` says whether it is a percent or a fraction."""
        if parameter.name.endswith("_pct"):
            assert parameter.unit.startswith("PERCENT" if parameter.name in PERCENTS else "FRACTION")

    @every_parameter
    def test_null_is_explained(self, parameter: Parameter) -> None:
        """Where null is admitted the unit says what it means; a default is null only where null is admitted."""
        assert parameter.nullable == ("null = " in parameter.unit)
        assert parameter.default is not None or parameter.nullable

    def test_a_minimum_and_a_maximum_loosen_in_opposite_directions(self) -> None:
        """A least size, distance or price loosens downwards, its greatest upwards."""
        lows = [name for name in PARAMETERS if "_min" in name and name.replace("_min", "_max") in PARAMETERS]
        assert len(lows) == 5
        for low in lows:
            assert PARAMETERS[low].loosening is Loosening.DOWN
            assert PARAMETERS[low.replace("_min", "_max")].loosening is Loosening.UP

    def test_names_are_keys(self) -> None:
        """The table is keyed by name, and holds every name once."""
        assert [parameter.name for parameter in PARAMETERS.values()] == list(PARAMETERS)

    def test_repeated_name_is_an_error(self) -> None:
        """A name that two tables declare stops the import."""
        with pytest.raises(ValueError, match="parameter position_size_pct is declared twice"):
            by_name(SIZING, SIZING[:1])

    def test_table_cannot_be_changed(self) -> None:
        """The table is read-only."""
        with pytest.raises(TypeError):
            PARAMETERS["leverage"] = PARAMETERS["max_leverage"]  # type: ignore[index]


class TestContracts:
    def test_facts(self) -> None:
        """The facts that can be required are the facts there are, and all of them are required by default."""
        facts = PARAMETERS["required_facts"]
        assert set(facts.allowed) == {fact.value for fact in Fact}
        assert facts.default == list(facts.allowed)

    def test_sides(self) -> None:
        """The sides that can be enabled are the sides there are, and both are enabled by default."""
        sides = PARAMETERS["enabled_sides"]
        assert set(sides.allowed) == {side.value for side in Side}
        assert sides.default == list(sides.allowed)

    def test_modes(self) -> None:
        """The modes that can be allowed are the modes that an intent can state."""
        assert set(PARAMETERS["allowed_modes"].allowed) == {mode.value for mode in StrategyMode}

    def test_regimes(self) -> None:
        """The regimes that can be blocked are the guard's labels."""
        assert set(PARAMETERS["blocked_regimes"].allowed) == {
            "trending_bull", "trending_bear", "ranging", "choppy", "breakout_phase", "high_volatility",
            "capitulation", "recovery", "unknown",
        }  # fmt: skip

    @pytest.mark.parametrize(("name", "kind", "default", "least", "most"), NEW)
    def test_new_bounds(self, name: str, kind: Kind, default: Json, least: float, most: float) -> None:
        """The parameters that this service adds have the kind, default and bounds it was designed with."""
        parameter = PARAMETERS[name]
        assert (parameter.kind, parameter.default) == (kind, default)
        assert (parameter.minimum, parameter.maximum) == (least, most)

    @pytest.mark.parametrize("name", NEW_DEFAULTS)
    def test_new_defaults(self, name: str) -> None:
        """The parameters that this service adds have the default it was designed with."""
        assert PARAMETERS[name].default == NEW_DEFAULTS[name]

    def test_every_limit_that_reduces_or_blocks_by_number_has_a_parameter(self) -> None:
        """Each code that compares with a limit is some parameter's enforcer; the rest need none."""
        without = {
            Reason.MALFORMED_INTENT, Reason.TRADING_HALTED, Reason.REDUCING_ONLY, Reason.STRATEGY_LATCHED,
            Reason.SYMBOL_NOT_TRADING, Reason.STOP_WRONG_SIDE, Reason.TARGET_WRONG_SIDE,
            Reason.BELOW_MINIMUM_AFTER_REDUCTION, Reason.LEDGER_UNAVAILABLE,
        }  # fmt: skip
        enforcing = {parameter.enforced_by for parameter in PARAMETERS.values()}
        assert set(Reason) - enforcing == without

    def test_parameters_that_controls_name(self) -> None:
        """Every name in the parameter column of the table of controls is here, however it abbreviates pairs."""
        named = {
            "max_signal_age_seconds", "require_manual_approval", "enabled", "risk_management_enabled",
            "allowed_symbols", "enabled_sides", "enable_longs", "enable_shorts", "allowed_modes",
            "min_confidence_threshold", "slippage_tolerance_pct", "min_position_size_usd", "max_position_size_usd",
            "position_size_pct", "max_position_size_pct", "use_exchange_minimums", "max_concurrent_positions",
            "max_orders_global", "max_orders_per_symbol", "max_portfolio_exposure_pct", "leverage",
            "max_leverage_bound", "portfolio_leverage_cap", "max_daily_loss_pct", "max_drawdown_pct",
            "max_daily_trades", "volatility_scale_threshold",
            *NEW_DEFAULTS, *(name for name, *_ in NEW),
        }  # fmt: skip
        assert named <= set(PARAMETERS)


@needs_design
class TestFleet:
    def test_trading_parameters(self) -> None:
        """Every trading parameter of the fleet is here with the fleet's type, default, bounds and words."""
        fleet = [entry for entry in recorded("trading_parameters.json") if entry["group"] == "trading"]
        assert len(fleet) == 37
        for entry in fleet:
            ours = PARAMETERS[str(entry["name"])]
            assert (ours.name, ours.kind) == (entry["name"], entry["type"])
            assert (ours.default, type(ours.default)) == (entry["default"], type(entry["default"]))
            assert (ours.minimum, ours.maximum) == (entry["min"], entry["max"])
            assert list(ours.allowed) == (entry["allowed_values"] or [])

    def test_percent_and_fraction_agree(self) -> None:
        """Where the fleet's notes call a parameter a percent or a fraction, so do we."""
        for entry in recorded("trading_parameters.json"):
            note = str(entry["unit_note"])
            for word in ("PERCENT", "FRACTION"):
                if note.startswith(word):
                    assert PARAMETERS[str(entry["name"])].unit.startswith(word)

    def test_fail_safe(self) -> None:
        """The fail-safe constants are here with the fleet's defaults, except the one whose name is taken."""
        entries = [entry for entry in recorded("trading_parameters.json") if entry["group"] == "fail_safe"]
        defaults = {str(entry["name"]).removeprefix("fail_safe."): entry for entry in entries}
        assert defaults.pop("max_position_size_usd")["default"] == 5000.0
        assert len(defaults) == 3
        for name, entry in defaults.items():
            assert (PARAMETERS[name].kind, PARAMETERS[name].default) == (entry["type"], entry["default"])

    def test_governance_models(self) -> None:
        """Risk limits and execution policy are here with the fleet's defaults, never with wider bounds."""
        entries = [e for e in recorded("governance_parameters.json") if e["group"] in ("RiskLimits", "ExecutionPolicy")]
        compared = 0
        for entry in entries:
            name = str(entry["name"]).partition(".")[2]
            if name == "max_position_size_usd":  # the trading schema's own default governs
                continue
            ours = PARAMETERS[name]
            assert (ours.default, type(ours.default)) == (entry["default"], type(entry["default"]))
            assert entry["min"] is None or ours.minimum == entry["min"]
            assert entry["max"] is None or ours.maximum == entry["max"]
            compared += 1
        assert compared == 8

    def test_filters_and_limits(self) -> None:
        """Every trade filter and limit that the fleet names without a schema has one here."""
        groups = ("te_limits_api", "te_filters_api")
        names = {str(e["name"]) for e in recorded("governance_parameters.json") if e["group"] in groups}
        # Its unit is defined nowhere; `max_position_size_usd`, `quantity_max` and `max_position_size_pct` say one.
        assert names - set(PARAMETERS) == {"max_position_size"}


class TestMessages:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("leverage", "ten", "leverage must be integer, got <class 'str'>"),
            ("leverage", 10.0, "leverage must be integer, got <class 'float'>"),
            ("leverage", True, "leverage must be integer, got <class 'bool'>"),
            ("leverage", None, "leverage must be integer, got <class 'NoneType'>"),
            ("leverage", 0, "leverage must be >= 1, got 0"),
            ("leverage", 126, "leverage must be <= 125, got 126"),
            ("stop_loss_pct", "2", "stop_loss_pct must be float, got <class 'str'>"),
            ("stop_loss_pct", False, "stop_loss_pct must be float, got <class 'bool'>"),
            ("stop_loss_pct", math.nan, "stop_loss_pct must be finite, got nan"),
            ("stop_loss_pct", math.inf, "stop_loss_pct must be finite, got inf"),
            ("stop_loss_pct", -math.inf, "stop_loss_pct must be finite, got -inf"),
            ("stop_loss_pct", 0.05, "stop_loss_pct must be >= 0.1, got 0.05"),
            ("enabled", 1, "enabled must be boolean, got <class 'int'>"),
            ("margin_type", 3, "margin_type must be string, got <class 'int'>"),
            ("margin_type", "crossed", "margin_type must be one of ['isolated', 'cross'], got crossed"),
            ("strategy_weights", [], "strategy_weights must be dict, got <class 'list'>"),
            ("strategy_weights", {"a": "1"}, "strategy_weights['a'] must be float, got <class 'str'>"),
            ("strategy_weights", {"a": True}, "strategy_weights['a'] must be float, got <class 'bool'>"),
            ("strategy_weights", {"a": -0.5}, "strategy_weights['a'] must be >= 0, got -0.5"),
            ("strategy_weights", {"a": math.nan}, "strategy_weights['a'] must be finite, got nan"),
            ("allowed_symbols", "BTCUSDT", "allowed_symbols must be list, got <class 'str'>"),
            ("allowed_symbols", [7], "allowed_symbols[0] must be string, got <class 'int'>"),
            ("enabled_sides", ["BUY"], "enabled_sides must be one of ['LONG', 'SHORT'], got BUY"),
        ],
    )
    def test_form(self, name: str, value: Json, message: str) -> None:
        """A faulty value yields one message, in the form that the fleet's tools look for."""
        assert PARAMETERS[name].faults(value) == (message,)
        assert parameter_faults({name: value}) == (message,)

    def test_every_fault_is_named(self) -> None:
        """Faults of all elements and of all parameters are named, in order, not only the first."""
        assert parameter_faults({"enabled_sides": ["UP", 1, "LONG", "DOWN"], "leverage": 0, "max_retries": 3}) == (
            "enabled_sides must be one of ['LONG', 'SHORT'], got UP",
            "enabled_sides[1] must be string, got <class 'int'>",
            "enabled_sides must be one of ['LONG', 'SHORT'], got DOWN",
            "leverage must be >= 1, got 0",
        )

    def test_key_that_is_no_string(self) -> None:
        """A map's keys must be strings, even where it did not come from JSON."""
        weights: dict[str, Json] = {3: 1.0}  # type: ignore[dict-item]
        assert PARAMETERS["timeframe_weights"].faults(weights) == (
            "timeframe_weights['3'] key must be string, got <class 'int'>",
        )

    def test_close_match(self) -> None:
        """An unknown name is refused, with the name it was probably meant to be."""
        assert parameter_faults({"max_draw_down_pct": 0.1}) == (
            "Unknown parameter: max_draw_down_pct (did you mean max_drawdown_pct?)",
        )

    def test_no_match(self) -> None:
        """An unknown name that resembles none is refused without a guess."""
        assert parameter_faults({"zzzzzz": 1}) == ("Unknown parameter: zzzzzz",)

    def test_no_values(self) -> None:
        """Nothing set is nothing wrong."""
        assert parameter_faults({}) == ()


class TestValues:
    @every_parameter
    def test_null(self, parameter: Parameter) -> None:
        """Null is accepted where it is admitted, and is a wrong type elsewhere."""
        refused = (f"{parameter.name} must be {parameter.kind}, got <class 'NoneType'>",)
        assert parameter.faults(None) == (() if parameter.nullable else refused)

    @every_parameter
    def test_a_bool_is_never_a_number(self, parameter: Parameter) -> None:
        """True and false are accepted by booleans only."""
        for value in (True, False):
            assert (parameter.faults(value) == ()) == (parameter.kind is Kind.BOOLEAN)

    @every_parameter
    def test_not_a_number(self, parameter: Parameter) -> None:
        """NaN and infinity are accepted by no parameter."""
        for value in (math.nan, math.inf, -math.inf):
            assert len(parameter.faults(value)) == 1

    @pytest.mark.parametrize("parameter", BOUNDED, ids=[p.name for p in BOUNDED])
    def test_limits_are_inclusive(self, parameter: Parameter) -> None:
        """A value on a bound is inside it."""
        assert parameter.faults(parameter.minimum) == ()
        assert parameter.faults(parameter.maximum) == ()

    def test_an_integer_is_a_fine_float(self) -> None:
        """A float parameter takes an integer; 10.0 is still no integer."""
        assert PARAMETERS["stop_loss_pct"].faults(2) == ()
        assert len(PARAMETERS["leverage"].faults(10.0)) == 1

    def test_an_integer_beyond_every_float(self) -> None:
        """An integer too large for any float is refused, also where there is no upper bound, and can be told."""
        assert PARAMETERS["price_max_absolute"].faults(10**5000) == (
            f"price_max_absolute must be finite, got an integer of {(10**5000).bit_length()} bits",
        )

    def test_empty_collections(self) -> None:
        """An empty list and an empty map are values."""
        assert parameter_faults({"allowed_symbols": [], "enabled_sides": [], "strategy_weights": {}}) == ()

    def test_defaults_pass(self) -> None:
        """All defaults together pass."""
        assert parameter_faults(default_values()) == ()

    def test_defaults_are_copies(self) -> None:
        """Whoever changes the defaults he was given, however deep, changes nothing for others."""
        mine = default_values()
        weights = mine["strategy_weights"]
        assert isinstance(weights, dict)
        weights["momentum_strategy"] = 99
        mine["leverage"] = 1
        again = default_values()
        assert again["leverage"] == 10
        assert again["strategy_weights"] == PARAMETERS["strategy_weights"].default
        assert again["strategy_weights"] != weights


def numbers(parameter: Parameter, low: float | None, high: float | None) -> st.SearchStrategy[Json]:
    """Numbers of the parameter's kind from ``low`` to ``high``, both included."""
    if parameter.kind is Kind.INTEGER:
        return st.integers(None if low is None else int(low), None if high is None else int(high))
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


anything: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


class TestAlways:
    @given(st.data())
    def test_within_bounds(self, data: st.DataObject) -> None:
        """Every number within the bounds passes."""
        parameter = data.draw(st.sampled_from(BOUNDED))
        assert parameter.faults(data.draw(numbers(parameter, parameter.minimum, parameter.maximum))) == ()

    @given(st.data())
    def test_below(self, data: st.DataObject) -> None:
        """Every number under the minimum is refused as such."""
        parameter = data.draw(st.sampled_from(BOUNDED))
        assert parameter.minimum is not None
        step = 1 if parameter.kind is Kind.INTEGER else 1e-9
        value = data.draw(numbers(parameter, None, parameter.minimum - step))
        assert parameter.faults(value) == (f"{parameter.name} must be >= {parameter.minimum}, got {value}",)

    @given(st.data())
    def test_above(self, data: st.DataObject) -> None:
        """Every number over the maximum is refused as such."""
        parameter = data.draw(st.sampled_from(BOUNDED))
        assert parameter.maximum is not None
        step = 1 if parameter.kind is Kind.INTEGER else 1e-6
        value = data.draw(numbers(parameter, parameter.maximum + step, None))
        assert parameter.faults(value) == (f"{parameter.name} must be <= {parameter.maximum}, got {value}",)

    @given(st.data())
    def test_words(self, data: st.DataObject) -> None:
        """An allowed word passes and any other is refused, alone or in a list."""
        parameter = data.draw(st.sampled_from(WORDED))
        word = data.draw(st.sampled_from(parameter.allowed) | st.text())
        value: Json = [word] if parameter.kind is Kind.LIST else word
        refused = (f"{parameter.name} must be one of {list(parameter.allowed)}, got {word}",)
        assert parameter.faults(value) == (() if word in parameter.allowed else refused)

    @given(st.dictionaries(st.text(), st.floats(0, 1e9) | st.integers(0, 10**9)))
    def test_weights(self, weights: dict[str, Json]) -> None:
        """Any map of text to finite non-negative numbers is a map of weights."""
        assert PARAMETERS["strategy_weights"].faults(weights) == ()

    @given(st.sampled_from(list(PARAMETERS)), anything)
    def test_total(self, name: str, value: Json) -> None:
        """Whatever JSON is offered, the check answers, names the parameter in each fault, and answers alike again."""
        faults = parameter_faults({name: value})
        assert all(fault.startswith(name) for fault in faults)
        assert PARAMETERS[name].faults(value) == faults

    @given(anything, st.sampled_from(list(Kind)), st.booleans())
    def test_what_passes_is_of_its_kind(self, value: Json, kind: Kind, nullable: bool) -> None:
        """Whatever passes is null where admitted, or of the very type that the kind names."""
        types: dict[Kind, set[type[object]]] = {
            Kind.INTEGER: {int}, Kind.FLOAT: {int, float}, Kind.STRING: {str}, Kind.BOOLEAN: {bool},
            Kind.DICT: {dict}, Kind.LIST: {list},
        }  # fmt: skip
        passes = a_parameter(kind, None, nullable=nullable).faults(value) == ()
        if passes:
            assert type(value) in types[kind] or (value is None and nullable)
        elif type(value) in (str, bool):
            assert type(value) not in types[kind]
