"""The JSON Schema of policy files and the judge of policies agree on what a single value may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from petrosa_cio.apps.nurse.defaults import PARAMETERS, default_values
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.policy_schema import policy_schema
from petrosa_cio.apps.nurse.reasons import ALWAYS_ON, Reason
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

SCHEMA = Draft202012Validator(policy_schema())


def test_it_is_a_schema() -> None:
    """What is printed is a valid schema of its dialect, and describes every parameter."""
    Draft202012Validator.check_schema(policy_schema())
    scope = policy_schema()["$defs"]["scope"]["properties"]  # type: ignore[index, call-overload]
    assert set(PARAMETERS) <= set(scope)


def test_the_defaults_and_examples_are_admitted() -> None:
    """Every default and every example passes the schema."""
    for values in (default_values(), {name: parameter.example for name, parameter in PARAMETERS.items()}):
        assert list(SCHEMA.iter_errors({"scopes": {"global": values}})) == []


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = SIMPLE | st.lists(SIMPLE, max_size=3) | st.dictionaries(st.text(), SIMPLE, max_size=3)


def whole_floats(value: Json) -> bool:
    """Whether ``value`` is a number that JSON Schema takes for an integer and we do not."""
    return isinstance(value, float) and math.isfinite(value) and value.is_integer()


@given(name=st.sampled_from(sorted(PARAMETERS)), value=VALUES)
def test_what_we_accept_the_schema_accepts_and_the_reverse(name: str, value: Json) -> None:
    """A single value is admitted by both or by neither."""
    admitted = not PARAMETERS[name].faults(value)
    valid = SCHEMA.is_valid({"scopes": {"global": {name: value}}})
    if whole_floats(value) and PARAMETERS[name].kind == "integer":
        return
    assert valid == admitted


@pytest.mark.parametrize("code", list(Reason))
@pytest.mark.parametrize("mode", ["enforce", "observe", "off", "on"])
def test_modes_are_admitted_alike(code: Reason, mode: str) -> None:
    """Modes pass both or neither, in a scope and for all; a safety control only as enforced."""
    for content in ({"modes": {code.value: mode}}, {"scopes": {"symbol:BTCUSDT:LONG": {f"mode.{code.value}": mode}}}):
        try:
            read_policy(content)
            admitted = True
        except PolicyError:
            admitted = False
        assert SCHEMA.is_valid(content) == admitted
        assert admitted == (mode == "enforce" or (mode in ("observe", "off") and code not in ALWAYS_ON))


@pytest.mark.parametrize("scope", ["everywhere", "symbol:", "symbol:btcusdt", "symbol:BTCUSDT:BOTH", "strategy:"])
def test_unknown_scopes_and_keys_are_refused_by_both(scope: str) -> None:
    """A scope or a key of no meaning passes neither."""
    for content in ({"scopes": {scope: {}}}, {scope: {}}):
        assert not SCHEMA.is_valid(content)
        with pytest.raises(PolicyError):
            read_policy(content)
