"""The text of a published policy: it comes back as it was, whatever is in it, or is refused."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrosa_cio.apps.nurse.ports import PublishedPolicy
from petrosa_cio.apps.nurse.publication import HIGHEST_VERSION, Rising, by_scope, decode, encode, version_of

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.policy import Values

AT = 1_795_512_600_000_000_000
"""2026-11-24T09:30:00Z."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
SCOPES = st.sampled_from(["global", "symbol:BTCUSDT", "symbol:BTCUSDT:LONG", "strategy:momo", "strategy:a b:c"])
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "scopes": st.dictionaries(SCOPES, st.dictionaries(TEXTS, JSON, max_size=4)),
        "modes": st.dictionaries(TEXTS, JSON, max_size=2),
        "required_facts": JSON,
    },
)
POLICIES = st.builds(
    PublishedPolicy,
    book=st.just("main"),
    version=st.integers(1, HIGHEST_VERSION),
    revision=TEXTS,
    content=CONTENTS,
    at=st.integers(0, 2**52).map(lambda microseconds: microseconds * 1000),
)


def same(value: object, other: object) -> bool:
    """Equal in type and sign as well as in value."""
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(same(value[key], other[key]) for key in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, float) and isinstance(other, float):
        return value == other and math.copysign(1, value) == math.copysign(1, other)
    return type(value) is type(other) and value == other


@given(POLICIES)
def test_a_policy_comes_back_as_it_was(policy: PublishedPolicy) -> None:
    """Whatever JSON its content is: number for number, text for text; and the text is JSON to any reader."""
    body = encode(policy)
    assert decode("main", body) == policy
    assert same(decode("main", body).content, policy.content)
    assert json.loads(body)["content"] == policy.content
    assert version_of(body) == policy.version


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_policy_is_refused_and_has_no_version(body: bytes) -> None:
    """Whatever lies there, reading it is either a policy or a ValueError; its version is a number in any case."""
    with pytest.raises(ValueError):
        decode("main", body)
    assert isinstance(version_of(body), int)


@given(st.lists(st.integers(1, 30)))
def test_what_is_handed_on_rises(versions: list[int]) -> None:
    """Of any sequence of versions exactly those are told that are higher than all before them."""
    told: list[int] = []
    rising = Rising(lambda policy: told.append(policy.version))
    for version in versions:
        rising.tell(None)
        rising.tell(PublishedPolicy("main", version, "", {}, 0))
    assert told == [version for n, version in enumerate(versions) if all(version > before for before in versions[:n])]


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"v": 2, "version": 12, "anything": "else"}', 12),
        (b'{"version": true}', 0),
        (b'{"version": "12"}', 0),
        (b'{"version": 12.0}', 0),
        (b"{}", 0),
        (b"[12]", 0),
        (b"", 0),
    ],
)
def test_the_version_is_read_in_any_format(body: bytes, version: int) -> None:
    """An old writer does not replace what a newer one wrote in a format that it does not know."""
    assert version_of(body) == version


WHOLE = '{"v":1,"book":"main","version":3,"revision":"r","at":"2026-11-24T09:30:00+00:00","content":{}}'


def test_the_format_is_as_described() -> None:
    """A text by hand is read; each key means what docs/redis.md says."""
    assert decode("main", WHOLE.encode()) == PublishedPolicy("main", 3, "r", {}, AT)


@pytest.mark.parametrize(
    ("part", "instead", "problem"),
    [
        ('"v":1', '"v":2', "format 2 is not known"),
        ('"v":1', '"w":1', "format None is not known"),
        ('"book":"main"', '"book":"other"', "belongs to book 'other'"),
        ('"version":3', '"version":"3"', "wrong type"),
        ('"version":3', '"version":true', "wrong type"),
        ('"version":3,', "", "lacks"),
        ('"revision":"r"', '"revision":1', "wrong type"),
        ('"content":{}', '"content":[]', "wrong type"),
        ('"at":"2026-11-24T09:30:00+00:00"', '"at":1795512600', "wrong type"),
        ('"at":"2026-11-24T09:30:00+00:00"', '"at":"yesterday"', "ISO-8601"),
    ],
)
def test_a_faulty_text_is_named(part: str, instead: str, problem: str) -> None:
    """Each key is asked for, and has one type."""
    assert part in WHOLE
    with pytest.raises(ValueError, match=problem):
        decode("main", WHOLE.replace(part, instead).encode())


def test_what_stands_at_the_top_belongs_to_the_global_scope() -> None:
    """`modes` and `required_facts` at the top are the global scope's and win, as where a policy is read."""
    content: Values = {
        "scopes": {
            "global": {"max_daily_trades": 5, "mode.ORDER_RATE": "off", "required_facts": ["mark"]},
            "symbol:BTCUSDT": {"mode.ORDER_RATE": "observe"},
        },
        "modes": {"ORDER_RATE": "observe", "SIGNAL_CONFLICT": "off"},
        "required_facts": [],
    }
    assert by_scope(content) == {
        "global": {
            "max_daily_trades": 5,
            "mode.ORDER_RATE": "observe",
            "mode.SIGNAL_CONFLICT": "off",
            "required_facts": [],
        },
        "symbol:BTCUSDT": {"mode.ORDER_RATE": "observe"},
    }
    assert by_scope({}) == {}
    assert by_scope({"modes": {"ORDER_RATE": "off"}}) == {"global": {"mode.ORDER_RATE": "off"}}
