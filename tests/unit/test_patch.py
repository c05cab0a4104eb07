"""The judgement of a patch: every fault at once, what it makes, and what it loosens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builders_configs import TRACE, make_version
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.strategist.cause import ORIGINS, same_person
from petrosa_cio.apps.strategist.patch import Judgement, Patch, judge_patch

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.strategist.ports import Version


def patch(scope: str = "global", /, changes: dict[str, Json] | None = None, **others: object) -> Patch:
    plain = Patch(scope, changes or {}, (), "ana", TRACE, "because", 0, "cli")
    return replace(plain, **others)  # type: ignore[arg-type]


def standing(scopes: dict[str, dict[str, Json]]) -> Version:
    """A head whose configuration is ``scopes``."""
    return make_version(1, scopes=scopes)


def judged(asked: Patch, head: Version | None = None) -> Judgement:
    return judge_patch(head, asked, "main")


class TestWhatItMakes:
    def test_a_change_joins_what_the_scope_sets(self) -> None:
        """Changed values are added or replaced; all others, in this scope and elsewhere, stay."""
        head = standing({"global": {"max_daily_trades": 50, "leverage": 5}, "symbol:BTCUSDT": {"leverage": 3}})
        judgement = judged(patch(changes={"leverage": 4, "max_retries": 1}), head)
        assert judgement.faults == ()
        assert judgement.scopes == {
            "global": {"max_daily_trades": 50, "leverage": 4, "max_retries": 1},
            "symbol:BTCUSDT": {"leverage": 3},
        }

    def test_null_is_a_value_and_removal_is_none(self) -> None:
        """A null is set; a removed value is no longer set."""
        head = standing({"global": {"quantity_max": 5.0, "leverage": 5}})
        assert judged(patch(changes={"quantity_max": None}), head).scopes == {
            "global": {"quantity_max": None, "leverage": 5}
        }
        assert judged(patch(remove=("quantity_max",)), head).scopes == {"global": {"leverage": 5}}

    def test_a_scope_that_sets_nothing_is_gone(self) -> None:
        """Removing the last value of a scope deletes it."""
        head = standing({"global": {"leverage": 5}, "strategy:x": {"leverage": 4}})
        assert judged(patch("strategy:x", remove=("leverage",)), head).scopes == {"global": {"leverage": 5}}

    def test_replace(self) -> None:
        """A replacement is all that the scope sets afterwards; by nothing, it deletes the scope."""
        head = standing({"global": {"leverage": 5, "max_retries": 2}, "strategy:x": {"leverage": 4}})
        assert judged(patch(changes={"max_retries": 1}, replace=True), head).scopes == {
            "global": {"max_retries": 1},
            "strategy:x": {"leverage": 4},
        }
        assert judged(patch(replace=True), head).scopes == {"strategy:x": {"leverage": 4}}

    def test_modes_are_values(self) -> None:
        """The mode of a control is set, changed and removed like a parameter."""
        head = standing({"global": {"mode.DAILY_TRADES": "observe"}})
        assert judged(patch(changes={"mode.DAILY_TRADES": "enforce"}), head).scopes == {
            "global": {"mode.DAILY_TRADES": "enforce"}
        }
        assert judged(patch(remove=("mode.DAILY_TRADES",)), head).scopes == {}

    def test_what_it_was_made_of_stays_the_callers(self) -> None:
        """Neither the head nor the patch is changed, nor shared with what is made."""
        symbols: list[Json] = ["BTCUSDT"]
        head = standing({"global": {"leverage": 5}})
        judgement = judged(patch(changes={"allowed_symbols": symbols}), head)
        symbols.append("ETHUSDT")
        assert judgement.scopes["global"]["allowed_symbols"] == ["BTCUSDT"]
        assert head.scopes == {"global": {"leverage": 5}}


class TestFaults:
    def test_every_fault_at_once(self) -> None:
        """A patch with many faults is told all of them: names, types, bounds, a mode, a removal, and its author's."""
        asked = patch(
            changes={
                "max_dayly_trades": 5,
                "leverage": "ten",
                "max_daily_loss_pct": 0.9,
                "mode.DAILY_TRADES": "maybe",
                "mode.STALE_INTENT": "off",
                "mode.NO_SUCH_CONTROL": "off",
                "quantity_max": float("nan"),
            },
            remove=("enabled", "no_such_name", "leverage"),
            author=" ",
            thought_trace="it is time",
            origin="pigeon",
        )
        faults = judged(asked).faults
        expected = [
            "Unknown parameter: max_dayly_trades (did you mean max_daily_trades?)",
            "leverage must be integer, got <class 'str'>",
            "max_daily_loss_pct must be <= 0.5, got 0.9",
            "mode.DAILY_TRADES: must be one of",
            "STALE_INTENT is a safety control and cannot be off",
            "unknown control 'NO_SUCH_CONTROL'",
            "quantity_max must be finite",
            "enabled is not set there",
            "Unknown parameter: no_such_name",
            "leverage is both changed and removed",
            "author is missing",
            "origin must be one of",
            "at least 100 characters, got 10",
            "at least 8 different words, got 3",
        ]
        for words in expected:
            assert [words in fault for fault in faults].count(True) == 1, words
        assert len(faults) == len(expected)

    @pytest.mark.parametrize("scope", ["galaxy", "symbol:", "symbol:btcusdt", "strategy:", "defaults", "*", ""])
    @pytest.mark.parametrize("changes", [{"leverage": 5}, {}])
    def test_an_unknown_scope(self, scope: str, changes: dict[str, Json]) -> None:
        """A scope that no case belongs to is a fault, even of a patch that would set nothing there."""
        assert any("unknown scope" in fault for fault in judged(patch(scope, changes=changes)).faults)

    def test_rules_between_parameters_hold_over_the_whole(self) -> None:
        """A value that is fine alone but crosses one of another scope, or a default, is a fault."""
        head = standing({"symbol:BTCUSDT": {"min_position_size_usd": 400}})
        (fault,) = judged(patch(changes={"max_position_size_usd": 300}), head).faults
        assert "min_position_size_usd (400) is above max_position_size_usd (300)" in fault
        assert judged(patch(changes={"max_position_size_usd": 400}), head).faults == ()
        # Removing a value lets the default of 1000 apply, which a minimum of 2000 crosses.
        head = standing({"global": {"min_position_size_usd": 2000, "max_position_size_usd": 3000}})
        (fault,) = judged(patch(remove=("max_position_size_usd",)), head).faults
        assert "min_position_size_usd (2000) is above max_position_size_usd (1000.0)" in fault

    @pytest.mark.parametrize("changes", [{}, {"leverage": 5}, {"leverage": 5, "quantity_max": None}])
    def test_what_changes_nothing(self, changes: dict[str, Json]) -> None:
        """A patch that leaves every value as it is makes no version."""
        head = standing({"global": {"leverage": 5, "quantity_max": None}})
        (fault,) = judged(patch(changes=changes), head).faults
        assert "nothing changes" in fault

    def test_a_value_that_is_the_default_already_is_a_change(self) -> None:
        """To set a scope's value to what applies anyway pins it there, against later changes of wider scopes."""
        assert judged(patch(changes={"leverage": 10})).faults == ()

    def test_replace_removes_nothing_by_name(self) -> None:
        """Replacing a whole scope and removing single values are two different wishes."""
        head = standing({"global": {"leverage": 5}})
        faults = judged(patch(changes={"max_retries": 1}, remove=("leverage",), replace=True), head).faults
        assert any("replaces the whole scope" in fault for fault in faults)


class TestTrace:
    @pytest.mark.parametrize(
        ("trace", "sound"),
        [
            (TRACE, True),
            ("", False),
            ("x" * 100, False),
            ("word " * 30, False),
            (" " * 100, False),
            ("one two three four five six seven eight" + " " * 100, False),
            # 100 characters to the letter; one less; eight different words; one less.
            (("alpha beta gamma delta epsilon zeta theta iota " + "iota " * 11)[:100], True),
            (("alpha beta gamma delta epsilon zeta theta iota " + "iota " * 11)[:99], False),
            ("alpha beta gamma delta epsilon zeta theta iota " + "iota " * 15, True),
            ("alpha beta gamma delta epsilon zeta theta " + "theta " * 15, False),
        ],
    )
    def test_it_has_length_and_substance(self, trace: str, sound: bool) -> None:
        """A thought trace has 100 characters, white space counted once, and eight different words."""
        if sound:
            assert len(trace) >= 100
        assert (judged(patch(changes={"leverage": 5}, thought_trace=trace)).faults == ()) is sound

    def test_legacy_needs_none(self) -> None:
        """The fleet's older interface knows no thought trace, and nobody waits for a second person there."""
        judgement = judged(patch(changes={"quantity_max": None, "leverage": 50}, thought_trace="", origin="legacy"))
        assert judgement.faults == ()
        assert judgement.sentences == ("global: leverage 10 -> 50",)
        assert judgement.needs_second_person is False

    @pytest.mark.parametrize("origin", [origin for origin in ORIGINS if origin != "legacy"])
    def test_every_other_door_does(self, origin: str) -> None:
        """No other origin is exempt, from the trace or from the second person."""
        assert judged(patch(changes={"leverage": 5}, thought_trace="", origin=origin)).faults != ()
        assert judged(patch(changes={"leverage": 50}, origin=origin)).needs_second_person is True

    @pytest.mark.parametrize("field", ["author", "reason", "thought_trace"])
    def test_text_that_cannot_be_kept(self, field: str) -> None:
        """Text that no wire carries is refused where it comes in."""
        (fault,) = judged(patch(changes={"leverage": 5}, **{field: TRACE + "\ud800"})).faults
        assert field.replace("_", " ") in fault


class TestLoosens:
    def test_tightening_needs_nobody(self) -> None:
        """A patch that only tightens loosens nothing and waits for nobody."""
        judgement = judged(patch(changes={"leverage": 5, "min_confidence_threshold": 0.9, "quantity_max": 1.0}))
        assert (judgement.faults, judgement.loosens, judgement.needs_second_person) == ((), (), False)

    def test_one_loosening_among_tightenings_waits(self) -> None:
        """One limit loosened makes the whole patch wait; only what loosens is told."""
        judgement = judged(patch(changes={"leverage": 5, "min_confidence_threshold": 0.4}))
        assert judgement.sentences == ("global: min_confidence_threshold 0.5 -> 0.4",)
        assert judgement.needs_second_person is True

    def test_within_the_ratio_it_is_told_and_free(self) -> None:
        """A loosening within the ratio is told all the same, and does not wait."""
        head = standing({"global": {"loosening_ratio": 1.2}})
        judgement = judged(patch(changes={"leverage": 12}), head)
        assert judgement.sentences == ("global: leverage 10 -> 12",)
        assert judgement.needs_second_person is False
        assert judged(patch(changes={"leverage": 13}), head).needs_second_person is True


def test_the_revision_is_that_of_the_policy() -> None:
    """What a judgement makes is what a policy file of the same scopes says."""
    judgement = judged(patch(changes={"leverage": 5, "mode.DAILY_TRADES": "observe"}))
    policy = read_policy({"scopes": {"global": {"leverage": 5, "mode.DAILY_TRADES": "observe"}}})
    assert {"scopes": judgement.scopes} == policy.content


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ana", "Ana", True),
        ("ana", "  ANA ", True),
        ("ana", "\uff41na", True),
        ("Ana Lee", "ana   lee", True),
        ("straße", "STRASSE", True),
        ("ana", "bo", False),
        ("ana lee", "analee", False),
    ],
)
def test_one_person_under_two_spellings(one: str, other: str, same: bool) -> None:
    """Case, width of letters and white space make no second person of one."""
    assert same_person(one, other) is same
