"""Which way a change of policy goes, in which cases, and whether it needs a second person."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening
from petrosa_cio.apps.strategist.loosening import Direction, direction, is_beyond, loosened

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

FACTS = ["bars", "mark", "book", "funding", "account", "filters"]

# Each row reads: from the first value to the second loosens. The way back must tighten.
LOOSENING: list[tuple[str, Json, Json]] = [
    ("max_position_size_usd", 1000.0, 1000.01),
    ("max_position_size_usd", 1000, 1001.5),
    ("min_confidence_threshold", 0.5, 0.49),
    ("duplicate_window_seconds", 300, 299),
    ("price_min_relative_pct", -2.0, -3.0),
    ("price_max_relative_pct", -1.0, 1.0),
    ("conflict_window_ms", 60000, 0),
    # Null sets no limit at all, whichever way the parameter goes.
    ("quantity_max", 1e12, None),
    ("quantity_min", 0.0, None),
    ("max_consecutive_losses", 1000, None),
    ("stop_cooldown_seconds", 1, None),
    # Zero caps nothing here; between other numbers higher is looser.
    ("portfolio_leverage_cap", 10000, 0),
    ("portfolio_leverage_cap", 50, 60),
    # An empty list of symbols or strategies admits all, one of modes, sides or regimes nothing.
    ("allowed_symbols", ["BTCUSDT", "ETHUSDT"], []),
    ("allowed_symbols", ["BTCUSDT"], ["ETHUSDT", "BTCUSDT"]),
    ("allowed_strategies", ["momo"], []),
    ("allowed_modes", [], ["deterministic"]),
    ("enabled_sides", ["LONG"], ["LONG", "SHORT"]),
    ("blocked_regimes", ["choppy"], []),
    ("required_facts", FACTS, FACTS[1:]),
    ("required_facts", ["mark"], []),
    ("enabled", False, True),
    ("risk_management_enabled", False, True),
    ("require_manual_approval", True, False),
    ("require_stop_loss", True, False),
    ("loosening_needs_second_person", True, False),
    ("loosening_ratio", 1.0, 1.1),
    ("margin_type", "isolated", "cross"),
    ("same_direction_conflict_resolution", "strongest_wins", "accumulate"),
    ("same_direction_conflict_resolution", "reject_duplicates", "strongest_wins"),
    ("mode.DAILY_TRADES", "enforce", "observe"),
    ("mode.DAILY_TRADES", "observe", "off"),
    ("mode.DAILY_TRADES", "enforce", "off"),
]


@pytest.mark.parametrize(("name", "tight", "loose"), LOOSENING)
def test_looser_is_what_admits_more(name: str, tight: Json, loose: Json) -> None:
    """The looser value loosens, the way back tightens, and staying does neither."""
    assert direction(name, tight, loose) is Direction.LOOSENS
    assert direction(name, loose, tight) is Direction.TIGHTENS
    assert direction(name, loose, loose) is Direction.SAME
    assert direction(name, tight, tight) is Direction.SAME


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        ("allowed_symbols", ["BTCUSDT"], ["ETHUSDT"], Direction.BOTH),
        ("required_facts", ["mark", "book"], ["mark", "account"], Direction.BOTH),
        ("margin_type", "a word that is no longer allowed", "isolated", Direction.BOTH),
        ("allowed_symbols", ["BTCUSDT", "ETHUSDT"], ["ETHUSDT", "BTCUSDT", "ETHUSDT"], Direction.SAME),
        ("max_position_size_usd", 1000, 1000.0, Direction.SAME),
        ("take_profit_pct", 5.0, 50.0, Direction.UNORDERED),
        ("signal_conflict_resolution", "strongest_wins", "manual_review", Direction.UNORDERED),
        ("strategy_weights", {"default": 1.0}, {"default": 2.0}, Direction.UNORDERED),
        ("override_min_qty", None, 0.5, Direction.UNORDERED),
    ],
)
def test_what_goes_neither_way_alone(name: str, before: Json, after: Json, expected: Direction) -> None:
    """A list may gain and lose at once; order and repetition in a list mean nothing; some values have no order."""
    assert direction(name, before, after) is expected


def test_no_parameter_is_left_out() -> None:
    """Every parameter that has a direction is of a kind that can be ordered, so none is silently taken for harmless."""
    ordered = [one for one in PARAMETERS.values() if one.loosening is not Loosening.NEITHER]
    assert ordered
    for parameter in ordered:
        assert parameter.kind is not Kind.DICT
        assert parameter.kind is not Kind.STRING or parameter.allowed


@pytest.mark.parametrize(
    ("name", "before", "after", "ratio", "beyond"),
    [
        ("max_position_size_usd", 1000.0, 1200.0, "1.2", False),
        ("max_position_size_usd", 1000.0, 1200.01, "1.2", True),
        ("max_position_size_usd", 1000.0, 1000.01, "1", True),
        # 1.15 * 1.2 is 1.38; in binary floating point it comes out smaller.
        ("sl_distance_max_pct", 1.15, 1.38, "1.2", False),
        ("min_confidence_threshold", 0.6, 0.5, "1.2", False),
        ("min_confidence_threshold", 0.6, 0.49, "1.2", True),
        ("max_consecutive_losses", 5, 6, "1.2", False),
        ("max_consecutive_losses", 4, 5, "1.2", True),
        # Of negative limits the ratio is that of their distances from zero.
        ("price_max_relative_pct", -2.0, -1.9, "1.2", False),
        ("price_max_relative_pct", -2.0, -1.0, "1.5", True),
        # No ratio describes these.
        ("price_max_relative_pct", -1.0, 1.0, "10", True),
        ("max_clock_skew_seconds", 0, 1, "10", True),
        ("min_confidence_threshold", 0.01, 0.0, "10", True),
        ("quantity_max", 1.0, None, "10", True),
        ("portfolio_leverage_cap", 50, 60, "1.2", False),
        ("portfolio_leverage_cap", 50, 0, "10", True),
        # Nor has anything but a number one.
        ("enabled", False, True, "10", True),
        ("mode.DAILY_TRADES", "enforce", "observe", "10", True),
        ("allowed_symbols", ["BTCUSDT"], ["BTCUSDT", "ETHUSDT"], "10", True),
        # Governance itself is never a little looser.
        ("loosening_ratio", 1.0, 1.01, "10", True),
        ("loosening_needs_second_person", True, False, "10", True),
    ],
)
def test_beyond_the_ratio(name: str, before: Json, after: Json, ratio: str, beyond: bool) -> None:
    """The ratio is inclusive and exact, and counts only between two limits that it can describe."""
    assert is_beyond(name, before, after, Decimal(ratio)) is beyond


Scopes = dict[str, dict[str, "Json"]]


def told(before: Scopes, after: Scopes) -> list[str]:
    return [one.sentence for one in loosened(before, after)]


def waiting(before: Scopes, after: Scopes) -> list[tuple[str, bool]]:
    return [(one.where, one.waits) for one in loosened(before, after)]


class TestCases:
    def test_against_the_default(self) -> None:
        """A first value is compared with the default, 1000 USD here."""
        assert told({}, {"global": {"max_position_size_usd": 1500.0}}) == [
            "global: max_position_size_usd 1000.0 -> 1500.0"
        ]
        assert told({}, {"global": {"max_position_size_usd": 500.0}}) == []

    def test_removal_is_compared_with_what_then_applies(self) -> None:
        """Removing a tight value loosens to the wider scope's, and without one to the default."""
        before: Scopes = {"global": {"max_position_size_usd": 300}, "symbol:BTCUSDT": {"max_position_size_usd": 50}}
        assert told(before, {"global": {"max_position_size_usd": 300}}) == [
            "symbol:BTCUSDT: max_position_size_usd 50 -> 300"
        ]
        assert told({"symbol:BTCUSDT": {"max_position_size_usd": 50}}, {}) == [
            "symbol:BTCUSDT: max_position_size_usd 50 -> 1000.0"
        ]
        assert told({"global": {"max_position_size_usd": 5000}}, {}) == []

    def test_a_strategy_that_overrides_a_tighter_symbol(self) -> None:
        """A strategy's limit under the global one still loosens the symbol's own, tighter one that it overrides."""
        before: Scopes = {"global": {"max_position_size_usd": 1000}, "symbol:BTCUSDT": {"max_position_size_usd": 50}}
        assert told(before, {**before, "strategy:x": {"max_position_size_usd": 100}}) == [
            "symbol:BTCUSDT with strategy:x: max_position_size_usd 50 -> 100"
        ]
        assert told(before, {**before, "strategy:x": {"max_position_size_usd": 50}}) == []

    def test_one_side_of_a_symbol(self) -> None:
        """A value for one side concerns that side alone."""
        before: Scopes = {"symbol:BTCUSDT": {"max_position_size_usd": 50}}
        assert told(before, {**before, "symbol:BTCUSDT:LONG": {"max_position_size_usd": 60}}) == [
            "symbol:BTCUSDT:LONG: max_position_size_usd 50 -> 60"
        ]

    def test_what_no_case_sees_loosens_nothing(self) -> None:
        """A symbol's value that both of its sides override applies to no case."""
        sides: Scopes = {f"symbol:BTCUSDT:{side}": {"max_position_size_usd": 20} for side in ("LONG", "SHORT")}
        before = {"symbol:BTCUSDT": {"max_position_size_usd": 50}, **sides}
        assert told(before, {"symbol:BTCUSDT": {"max_position_size_usd": 500}, **sides}) == []

    def test_a_wide_change_is_told_once(self) -> None:
        """What changes alike everywhere is named by its widest case; a case that had another value is named too."""
        before: Scopes = {"strategy:x": {"enabled": True}, "symbol:BTCUSDT": {"mode.DAILY_TRADES": "observe"}}
        after: Scopes = {**before, "global": {"mode.DAILY_TRADES": "off"}}
        assert told(before, after) == ['global: mode.DAILY_TRADES "enforce" -> "off"']
        after = {**before, "strategy:x": {"enabled": True, "mode.DAILY_TRADES": "off"}}
        assert told(before, after) == [
            'strategy:x: mode.DAILY_TRADES "enforce" -> "off"',
            'symbol:BTCUSDT with strategy:x: mode.DAILY_TRADES "observe" -> "off"',
        ]

    def test_names_that_are_no_longer_known(self) -> None:
        """A value of an older version whose parameter is gone is no limit, so removing it loosens nothing."""
        before: Scopes = {"global": {"a_parameter_of_old": 1, "mode.A_CONTROL_OF_OLD": "off", "enabled": True}}
        assert told(before, {"global": {"enabled": True}}) == []


class TestSecondPerson:
    def test_the_ratio_before_the_change_counts(self) -> None:
        """A patch cannot widen its own ratio; within the ratio that was in force it is free, and still told."""
        before: Scopes = {"global": {"loosening_ratio": 1.2}}
        within: Scopes = {"global": {"loosening_ratio": 1.2, "max_position_size_usd": 1200.0}}
        assert waiting(before, within) == [("global", False)]
        assert waiting({}, within) == [("global", True), ("global", True)]

    def test_where_it_is_switched_off_nothing_waits(self) -> None:
        """`loosening_needs_second_person` false before the change lets any loosening pass, of governance too."""
        before: Scopes = {"global": {"loosening_needs_second_person": False}}
        after: Scopes = {
            "global": {"loosening_needs_second_person": False, "quantity_max": None, "loosening_ratio": 10.0}
        }
        assert waiting(before, after) == [("global", False)]
        assert waiting({}, before) == [("global", True)]

    def test_a_scope_of_its_own_governance(self) -> None:
        """Each case goes by the governance that was in force for it: a free strategy loosens alone, a free global
        scope does not loosen a symbol that asks for two."""
        before: Scopes = {
            "global": {"loosening_needs_second_person": False},
            "symbol:BTCUSDT": {"loosening_needs_second_person": True},
        }
        after: Scopes = {**before, "global": {"loosening_needs_second_person": False, "max_daily_trades": 200}}
        assert waiting(before, after) == [("global", False), ("symbol:BTCUSDT", True)]
        before = {"strategy:x": {"loosening_needs_second_person": False}}
        assert waiting(before, {"strategy:x": {"loosening_needs_second_person": False, "max_daily_trades": 200}}) == [
            ("strategy:x", False)
        ]
        assert waiting(before, {**before, "global": {"max_daily_trades": 200}}) == [
            ("global", True),
            ("strategy:x", False),
        ]
