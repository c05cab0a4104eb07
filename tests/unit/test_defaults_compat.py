"""The engine's words for its parameters: two tables and four functions, as fleet facts §3.1 to §3.3 describe them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NO_SHARED, SHARED
from petrosa_cio.apps.nurse.defaults import (
    DEFAULT_TRADING_PARAMETERS,
    PARAMETER_SCHEMA,
    PARAMETERS,
    get_default_parameters,
    get_parameter_schema,
    merge_parameters,
    validate_parameters,
)
from petrosa_cio.apps.nurse.parameters.parameter import Engine

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
every_entry = pytest.mark.parametrize("name", PARAMETER_SCHEMA)

TYPES: dict[str, type | tuple[type, ...]] = {
    "integer": int, "float": float, "string": str, "boolean": bool, "dict": dict,
}  # fmt: skip
OVERRIDES = ["override_min_notional", "override_min_qty", "override_step_size"]
BOUNDED = [name for name, entry in PARAMETER_SCHEMA.items() if "min" in entry]
WORDED = [name for name, entry in PARAMETER_SCHEMA.items() if "allowed_values" in entry]


def recorded(file: str) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = json.loads((SHARED / "design" / file).read_text())
    return found


class TestTables:
    def test_counts(self) -> None:
        """The runtime defaults have 35 keys and the schema 36, 34 of them in both."""
        assert len(DEFAULT_TRADING_PARAMETERS) == 35
        assert len(PARAMETER_SCHEMA) == 36
        assert len(DEFAULT_TRADING_PARAMETERS.keys() & PARAMETER_SCHEMA.keys()) == 34

    def test_what_only_one_table_has(self) -> None:
        """`allowed_symbols` is a default that cannot be set; two rules of conflict can be set and have no default."""
        assert DEFAULT_TRADING_PARAMETERS.keys() - PARAMETER_SCHEMA.keys() == {"allowed_symbols"}
        assert PARAMETER_SCHEMA.keys() - DEFAULT_TRADING_PARAMETERS.keys() == {
            "position_mode_aware_conflicts",
            "same_direction_conflict_resolution",
        }

    @every_entry
    def test_texts(self, name: str) -> None:
        """Every entry says what the parameter is, what it does and when to change it."""
        entry = PARAMETER_SCHEMA[name]
        for key in ("description", "impact", "when_to_change"):
            assert isinstance(entry[key], str)
            assert entry[key]
        assert {"type", "default", "example"} <= entry.keys()
        assert entry.keys() <= {
            "type", "description", "default", "min", "max", "allowed_values", "example", "impact", "when_to_change",
        }  # fmt: skip

    @every_entry
    def test_types(self, name: str) -> None:
        """Every entry's type is one of the engine's five words, and default and example are of it."""
        entry = PARAMETER_SCHEMA[name]
        type_ = TYPES[str(entry["type"])]
        assert type(entry["example"]) is type_
        assert type(entry["default"]) is type_ or (entry["default"] is None and name in OVERRIDES)

    @every_entry
    def test_default_and_example_are_valid(self, name: str) -> None:
        """Every default that is a value passes validation, and so does every example."""
        for key in ("default", "example"):
            value = PARAMETER_SCHEMA[name][key]
            if value is not None:
                assert validate_parameters({name: value}) == (True, [])

    def test_defaults_pass_together(self) -> None:
        """All runtime defaults that are values and can be set pass validation together."""
        values = {name: value for name, value in DEFAULT_TRADING_PARAMETERS.items() if value is not None}
        del values["allowed_symbols"]
        assert validate_parameters(values) == (True, [])

    @every_entry
    def test_the_tables_agree(self, name: str) -> None:
        """The schema's default is the runtime default, for all but the timeframe weights."""
        if name in DEFAULT_TRADING_PARAMETERS and name != "timeframe_weights":
            assert PARAMETER_SCHEMA[name]["default"] == DEFAULT_TRADING_PARAMETERS[name]

    def test_timeframe_weights_have_two_defaults(self) -> None:
        """Sixteen timeframes have a weight at run time; the schema shows six of them."""
        assert DEFAULT_TRADING_PARAMETERS["timeframe_weights"] == {
            "tick": 0.3, "1m": 0.5, "3m": 0.6, "5m": 0.7, "15m": 0.8, "30m": 0.9, "1h": 1.0, "2h": 1.1, "4h": 1.2,
            "6h": 1.3, "8h": 1.4, "12h": 1.5, "1d": 1.6, "3d": 1.7, "1w": 1.8, "1M": 2.0,
        }  # fmt: skip
        assert PARAMETER_SCHEMA["timeframe_weights"]["default"] == {
            "1m": 0.5, "5m": 0.7, "15m": 0.8, "1h": 1.0, "4h": 1.2, "1d": 1.6,
        }  # fmt: skip

    def test_shape_of_entries(self) -> None:
        """A number's entry has ``min`` and ``max``, a word's has ``allowed_values``, others have neither."""
        assert {key: PARAMETER_SCHEMA["leverage"][key] for key in ("type", "default", "min", "max")} == {
            "type": "integer", "default": 10, "min": 1, "max": 125,
        }  # fmt: skip
        assert PARAMETER_SCHEMA["margin_type"]["allowed_values"] == ["isolated", "cross"]
        assert {"min", "max", "allowed_values"} & PARAMETER_SCHEMA["enabled"].keys() == set()
        assert {"min", "max", "allowed_values"} & PARAMETER_SCHEMA["strategy_weights"].keys() == set()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("leverage", 10), ("margin_type", "isolated"), ("default_order_type", "market"), ("time_in_force", "GTC"),
            ("position_mode", "hedge"), ("position_size_pct", 0.1), ("max_position_size_usd", 1000.0),
            ("stop_loss_pct", 2.0), ("take_profit_pct", 5.0), ("max_daily_loss_pct", 0.05), ("max_retries", 3),
            ("max_portfolio_exposure_pct", 0.8), ("signal_conflict_resolution", "strongest_wins"),
            ("min_confidence_threshold", 0.5), ("enabled", True), ("override_min_qty", None), ("allowed_symbols", []),
            ("portfolio_leverage_cap", 0),
        ],
    )  # fmt: skip
    def test_runtime_defaults(self, name: str, value: Json) -> None:
        """What the engine trades with where nothing is set."""
        assert DEFAULT_TRADING_PARAMETERS[name] == value
        assert type(DEFAULT_TRADING_PARAMETERS[name]) is type(value)

    def test_cut_from_the_one_table(self) -> None:
        """Neither table knows a parameter that `PARAMETERS` does not mark as the engine's, and each has all of its."""
        assert list(PARAMETER_SCHEMA) == [n for n, p in PARAMETERS.items() if Engine.SCHEMA in p.engine]
        assert list(DEFAULT_TRADING_PARAMETERS) == [n for n, p in PARAMETERS.items() if Engine.DEFAULTS in p.engine]

    def test_changing_them_changes_no_policy(self) -> None:
        """The tables are copies: whoever changes them, which the engine permits, changes no default of a policy."""
        for name, value in DEFAULT_TRADING_PARAMETERS.items():
            if isinstance(value, dict | list):
                assert value is not PARAMETERS[name].default
        assert PARAMETER_SCHEMA["strategy_weights"]["default"] is not PARAMETERS["strategy_weights"].default


class TestFunctions:
    def test_defaults_are_a_shallow_copy(self) -> None:
        """What is handed out is a map of its own, equal to the runtime defaults."""
        mine = get_default_parameters()
        assert mine == DEFAULT_TRADING_PARAMETERS
        assert mine is not DEFAULT_TRADING_PARAMETERS
        mine["leverage"] = 99
        assert get_default_parameters()["leverage"] == 10
        assert mine["strategy_weights"] is DEFAULT_TRADING_PARAMETERS["strategy_weights"]

    def test_the_schema_is_itself(self) -> None:
        """The schema is handed out as it is, not copied."""
        assert get_parameter_schema() is PARAMETER_SCHEMA

    def test_merge(self) -> None:
        """The override wins, what it does not name stays, and both stay as they were."""
        base: dict[str, Json] = {"leverage": 10, "enabled": True}
        override: dict[str, Json] = {"leverage": 20, "max_retries": 1}
        assert merge_parameters(base, override) == {"leverage": 20, "enabled": True, "max_retries": 1}
        assert base == {"leverage": 10, "enabled": True}
        assert override == {"leverage": 20, "max_retries": 1}

    def test_merge_replaces_maps_whole(self) -> None:
        """A map inside replaces the other map; they are not merged."""
        assert merge_parameters({"strategy_weights": {"a": 1.0, "b": 2.0}}, {"strategy_weights": {"a": 3.0}}) == {
            "strategy_weights": {"a": 3.0}
        }

    @given(st.dictionaries(st.text(), st.integers()), st.dictionaries(st.text(), st.integers()))
    def test_merge_always(self, base: dict[str, Json], override: dict[str, Json]) -> None:
        """Every key of both is there; the override's with its value, the others with the base's."""
        merged = merge_parameters(base, override)
        assert merged.keys() == base.keys() | override.keys()
        assert all(merged[key] == override.get(key, base.get(key)) for key in merged)


class TestValidation:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("no_such_parameter", 1, "Unknown parameter: no_such_parameter"),
            ("levarage", 10, "Unknown parameter: levarage"),
            ("leverage", "10", "leverage must be integer, got <class 'str'>"),
            ("leverage", 10.0, "leverage must be integer, got <class 'float'>"),
            ("leverage", None, "leverage must be integer, got <class 'NoneType'>"),
            ("stop_loss_pct", "2.0", "stop_loss_pct must be float, got <class 'str'>"),
            ("margin_type", 5, "margin_type must be string, got <class 'int'>"),
            ("enabled", 1, "enabled must be boolean, got <class 'int'>"),
            ("enabled", "true", "enabled must be boolean, got <class 'str'>"),
            ("strategy_weights", "x", "strategy_weights must be dict, got <class 'str'>"),
            ("strategy_weights", [1.0], "strategy_weights must be dict, got <class 'list'>"),
            ("leverage", {}, "leverage must be integer, got <class 'dict'>"),
            ("leverage", 0, "leverage must be >= 1, got 0"),
            ("leverage", 126, "leverage must be <= 125, got 126"),
            ("position_size_pct", 1.5, "position_size_pct must be <= 1.0, got 1.5"),
            ("position_size_pct", 0.0001, "position_size_pct must be >= 0.001, got 0.0001"),
            ("margin_type", "crossed", "margin_type must be one of ['isolated', 'cross'], got crossed"),
            ("time_in_force", "gtc", "time_in_force must be one of ['GTC', 'IOC', 'FOK', 'GTX'], got gtc"),
            ("override_min_qty", None, "override_min_qty must be float, got <class 'NoneType'>"),
        ],
    )
    def test_message(self, name: str, value: Json, message: str) -> None:
        """One fault gives one message, in the form that the engine's tools look for, and nothing after a type error."""
        assert validate_parameters({name: value}) == (False, [message])

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("leverage", True, "leverage must be integer, got <class 'bool'>"),
            ("stop_loss_pct", True, "stop_loss_pct must be float, got <class 'bool'>"),
            ("stop_loss_pct", math.nan, "stop_loss_pct must be finite, got nan"),
            ("max_position_size_usd", math.inf, "max_position_size_usd must be finite, got inf"),
            ("strategy_weights", {"a": math.nan}, "strategy_weights['a'] must be finite, got nan"),
            ("timeframe_weights", {"1h": -math.inf}, "timeframe_weights['1h'] must be finite, got -inf"),
            ("timeframe_weights", {"1h": True}, "timeframe_weights['1h'] must be float, got <class 'bool'>"),
        ],
    )
    def test_closed_holes(self, name: str, value: Json, message: str) -> None:
        """What the engine lets through and should not: a boolean, NaN and infinity are no numbers, weights included."""
        assert validate_parameters({name: value}) == (False, [message])

    @pytest.mark.parametrize("name", OVERRIDES)
    def test_null_is_a_default_only(self, name: str) -> None:
        """An override is null where it is not set; to set it to null is a type error."""
        assert DEFAULT_TRADING_PARAMETERS[name] is None
        assert PARAMETER_SCHEMA[name]["default"] is None
        assert validate_parameters({name: None}) == (False, [f"{name} must be float, got <class 'NoneType'>"])

    def test_every_key_is_looked_at(self) -> None:
        """All faults are named in one list, in the order of the keys."""
        assert validate_parameters({"leverage": 0, "nonsense": 1, "enabled": True, "margin_type": "x"}) == (
            False,
            [
                "leverage must be >= 1, got 0",
                "Unknown parameter: nonsense",
                "margin_type must be one of ['isolated', 'cross'], got x",
            ],
        )

    @pytest.mark.parametrize(
        "parameters",
        [
            {}, {"leverage": 1}, {"leverage": 125}, {"stop_loss_pct": 2}, {"enabled": False}, {"strategy_weights": {}},
            {"strategy_weights": {"mine": 2.5}}, {"timeframe_weights": {"1h": 1}}, {"override_min_qty": 0.5},
            {"strategy_weights": {"mine": "heavy"}}, {"position_mode_aware_conflicts": False},
        ],
    )  # fmt: skip
    def test_valid(self, parameters: dict[str, Json]) -> None:
        """Bounds are inclusive, an integer is a fine float, and what maps hold is not looked at further."""
        assert validate_parameters(parameters) == (True, [])

    @pytest.mark.parametrize("name", BOUNDED)
    def test_bounds(self, name: str) -> None:
        """On its bounds a value passes; one step beyond, it is named with the bound."""
        entry = PARAMETER_SCHEMA[name]
        least, most = entry["min"], entry["max"]
        assert isinstance(least, int | float)
        assert isinstance(most, int | float)
        step = 1 if entry["type"] == "integer" else 1e-7
        assert validate_parameters({name: least}) == (True, [])
        assert validate_parameters({name: most}) == (True, [])
        assert validate_parameters({name: least - step}) == (False, [f"{name} must be >= {least}, got {least - step}"])
        assert validate_parameters({name: most + step}) == (False, [f"{name} must be <= {most}, got {most + step}"])

    @pytest.mark.parametrize("name", WORDED)
    def test_words(self, name: str) -> None:
        """Every allowed word passes and any other is refused."""
        words = PARAMETER_SCHEMA[name]["allowed_values"]
        assert isinstance(words, list)
        assert all(validate_parameters({name: word}) == (True, []) for word in words)
        assert validate_parameters({name: "other"}) == (False, [f"{name} must be one of {words}, got other"])

    @pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - PARAMETER_SCHEMA.keys()))
    def test_ours_are_not_the_engines(self, name: str) -> None:
        """What the engine does not know cannot be set through its words, whatever the value."""
        assert validate_parameters({name: PARAMETERS[name].example}) == (False, [f"Unknown parameter: {name}"])

    @given(
        st.dictionaries(
            st.sampled_from(list(PARAMETER_SCHEMA)) | st.text(max_size=6),
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
            max_size=6,
        )
    )
    def test_verdict_is_the_list(self, parameters: dict[str, Json]) -> None:
        """Parameters are valid exactly where nothing is named, and each key is judged as if it were alone."""
        valid, faults = validate_parameters(parameters)
        assert valid == (faults == [])
        alone = [validate_parameters({name: value})[1] for name, value in parameters.items()]
        assert faults == [fault for found in alone for fault in found]


@needs_shared
class TestFleet:
    def test_flags(self) -> None:
        """Each of the fleet's 37 trading parameters is in the tables in which the engine has it, and no other is."""
        fleet = [entry for entry in recorded("trading_parameters.json") if entry["group"] == "trading"]
        assert {entry["name"] for entry in fleet if entry["in_defaults"]} == set(DEFAULT_TRADING_PARAMETERS)
        assert {entry["name"] for entry in fleet if entry["in_schema"]} == set(PARAMETER_SCHEMA)

    def test_schema(self) -> None:
        """Type, bounds, words and defaults of every parameter are the fleet's, to the type of each number."""
        for entry in recorded("trading_parameters.json"):
            name = str(entry["name"])
            if entry["group"] == "trading" and entry["in_defaults"]:
                assert repr(DEFAULT_TRADING_PARAMETERS[name]) == repr(entry["default"])
            if entry["group"] == "trading" and entry["in_schema"]:
                ours = PARAMETER_SCHEMA[name]
                assert ours["type"] == entry["type"]
                assert repr(ours["default"]) == repr(entry.get("schema_default", entry["default"]))
                assert (ours.get("min"), ours.get("max")) == (entry["min"], entry["max"])
                assert ours.get("allowed_values") == entry["allowed_values"]

    def test_every_other_tunable_is_ours_or_left_out_for_a_reason(self) -> None:
        """Each of the fleet's 55 other tunables has a parameter of its name here, or a reason why it has none."""
        names = [str(entry["name"]) for entry in recorded("governance_parameters.json")]
        assert len(names) == 55
        assert {name for name in names if name.split(".")[-1] not in PARAMETERS} == set(LEFT_OUT)


_A_FACT = "a fact about the market, worked out from prices; not something to set"
_A_SETTING = "where or how a process runs, not what is allowed: a setting"
_NO_SERVICE = "belongs to a service that does not exist here, so that nothing would enforce it"
_ENGINES_STOPS = "the other implementation writes stops and targets itself; here a strategy's own are judged, not made"
LEFT_OUT = {
    "RegimePolicy.current_regime": _A_FACT,
    "RegimePolicy.vol_threshold_breach": _A_FACT,
    "RegimePolicy.drawdown_limit_exceeded": _A_FACT,
    "RegimePolicy.current_drawdown": _A_FACT,
    "max_position_size": "its unit is defined nowhere; `max_position_size_usd`, `_pct` and `quantity_max` each say one",
    "interceptor.target_subject": _A_SETTING,
    "interceptor.max_latency_ms": "reported and never enforced; `governance_timeout_ms` is",
    "heartbeat.response_budget_ms": "a target; `heartbeat_timeout_ms` is the limit",
    "heartbeat_watcher.stale_after_seconds": "the engine's `heartbeat_timeout_seconds` is the same limit",
    "alert_distiller.aggregation_window_seconds": _NO_SERVICE,
    "roi_engine.aggregation_interval_seconds": _NO_SERVICE,
    "roi_engine.report_dir": _A_SETTING,
    "config.cache_ttl_seconds": "an argument of the manager whose cache it is",
    "vector.min_similarity": _NO_SERVICE,
    "vector.dedupe_threshold": _NO_SERVICE,
    "search_knowledge_base.top_k": "an argument of one query",
    "earnings_summary.window_hours": "an argument of one query",
    "RETRY_SAFE_DELAY_MS": _NO_SERVICE,
    "SL_VOL_MULTIPLIERS": _ENGINES_STOPS,
    "REGIME_TP_MULTIPLIERS": _ENGINES_STOPS,
    "REGIME_LEVERAGE_CAPS": "leverage is not a signal's to choose; `max_leverage_bound` and `blocked_regimes` bound it",
    "REGIME_HARD_BLOCKS": "`blocked_regimes` by another name, with the same default",
    "CIO_DEFAULT_MAX_LEVERAGE": "`max_leverage_bound` by another name",
    "CIO_PORTFOLIO_LEVERAGE_CEILING": "`portfolio_leverage_cap` by another name",
    "LLM_SPEND_CEILING_USD_PER_DAY": _NO_SERVICE,
    "LLM_COST_INPUT_PER_MILLION": _NO_SERVICE,
    "LLM_COST_OUTPUT_PER_MILLION": _NO_SERVICE,
    "SIGNAL_ARBITRATION_ENABLED": "the mode of SIGNAL_CONFLICT",
    "NURSE_USE_LLM_REASONING": "no verdict here comes from a language model",
    "DRY_RUN": "the mode ``observe`` of each control",
    "VECTOR_PROVIDER": _A_SETTING,
    "LLM_PROVIDER": _A_SETTING,
}
"""Tunables of the fleet without a parameter here, and why."""
