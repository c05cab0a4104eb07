"""Policy files at start: what they do not say comes from the command; every fault of theirs is named at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petrosa_cio.bootstrap.policies import EMBEDDED, PRODUCTION, REPLAY, load
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.policy import Policy


def loaded(directory: Path, text: str, default: dict[str, Json]) -> Policy:
    path = directory / "policy.json"
    path.write_text(text)
    return load(path, default)


def required(policy: Policy) -> int:
    return len(policy.limits("BTCUSDT", "momo", None).required)


@pytest.mark.parametrize(("default", "facts"), [(EMBEDDED, 0), (REPLAY, 0), (PRODUCTION, 6)])
def test_a_file_that_names_no_required_facts_requires_the_commands(
    tmp_path: Path, default: dict[str, Json], facts: int
) -> None:
    """Under `up` and `replay`, which have no feeds, no fact is required unless the file says so; under `serve` all."""
    assert required(loaded(tmp_path, '{"scopes": {"global": {"max_daily_trades": 5}}}', default)) == facts


@pytest.mark.parametrize(
    "text", ['{"required_facts": ["mark"]}', '{"scopes": {"global": {"required_facts": ["mark"]}}}']
)
def test_a_file_that_names_required_facts_is_taken_at_its_word(tmp_path: Path, text: str) -> None:
    """What the file requires is required, wherever in it that stands."""
    assert required(loaded(tmp_path, text, EMBEDDED)) == 1


def test_a_name_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    """Of two values for one name nobody can say which is meant."""
    with pytest.raises(PolicyError, match="'leverage' is given more than once"):
        loaded(tmp_path, '{"scopes": {"global": {"leverage": 3, "leverage": 30}}}', EMBEDDED)


def test_a_file_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    """A file that would exhaust the parser is a fault of the file."""
    with pytest.raises(PolicyError, match="cannot be read"):
        loaded(tmp_path, "[" * 100_000, EMBEDDED)


def test_faults_of_values_and_of_pairs_are_named_together(tmp_path: Path) -> None:
    """A minimum above its maximum is named besides a fault in another scope, and besides values of no use."""
    content = {
        "scopes": {
            "global": {"min_position_size_usd": 900.0, "max_position_size_usd": 100.0, "leverage": "many"},
            "symbol:BTCUSDT": {"nope": 1, "quantity_min": True, "quantity_max": 0.5},
        }
    }
    with pytest.raises(PolicyError) as refused:
        loaded(tmp_path, json.dumps(content), EMBEDDED)
    for part in ("min_position_size_usd (900.0) is above", "leverage must be integer", "nope", "quantity_min"):
        assert part in str(refused.value)
