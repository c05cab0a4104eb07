"""What always holds of changes of policy, whatever the configuration."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from builders_configs import START, TRACE
from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.models import Mode, Side
from petrosa_cio.apps.nurse.parameters.parameter import Kind, Loosening
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.nurse.reasons import Reason
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.loosening import Direction, direction, is_beyond, loosened
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.apps.strategist.versions import UNSET, differences, expected_of
from petrosa_cio.core.db.configs_inmemory import InMemoryConfigs
from petrosa_cio.errors import PatchRefused

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.parameters.parameter import Parameter
    from petrosa_cio.apps.nurse.policy import Limits
    from petrosa_cio.apps.strategist.ports import Version

    Scopes = dict[str, dict[str, Json]]

ORDERED = [one for one in PARAMETERS.values() if one.loosening is not Loosening.NEITHER and one.kind is not Kind.LIST]
LISTS = [one for one in PARAMETERS.values() if one.kind is Kind.LIST]


def values_of(parameter: Parameter) -> st.SearchStrategy[Json]:
    """Usable values of ``parameter``, its bounds and null among them."""
    match parameter.kind:
        case Kind.BOOLEAN:
            found: st.SearchStrategy[Json] = st.booleans()
        case Kind.STRING:
            found = st.sampled_from(parameter.allowed)
        case Kind.LIST:
            found = st.lists(st.sampled_from(parameter.allowed or ("BTCUSDT", "ETHUSDT", "XRPUSDT")), max_size=4)
        case Kind.INTEGER:
            found = st.integers(int(parameter.minimum or 0), int(parameter.maximum or 10**6))
        case _:
            found = st.floats(float(parameter.minimum or 0), float(parameter.maximum or 1e6))
    return st.none() | found if parameter.nullable else found


def pairs(parameters: list[Parameter]) -> st.SearchStrategy[tuple[str, Json, Json]]:
    return st.sampled_from(parameters).flatmap(lambda one: st.tuples(st.just(one.name), values_of(one), values_of(one)))


INVERSE = {
    Direction.SAME: Direction.SAME,
    Direction.LOOSENS: Direction.TIGHTENS,
    Direction.TIGHTENS: Direction.LOOSENS,
    Direction.BOTH: Direction.BOTH,
}


@given(pairs(ORDERED))
def test_loosening_is_the_inverse_of_tightening(change: tuple[str, Json, Json]) -> None:
    """Of an ordered parameter a change loosens exactly when its inverse tightens, and every real change does one."""
    name, before, after = change
    there, back = direction(name, before, after), direction(name, after, before)
    assert there in (Direction.SAME, Direction.LOOSENS, Direction.TIGHTENS)
    assert back is INVERSE[there]
    assert (there is Direction.SAME) == (before == after)


@given(pairs(LISTS))
def test_lists_turn_round_too(change: tuple[str, Json, Json]) -> None:
    """Of a list a change loosens alone exactly when its inverse tightens alone."""
    name, before, after = change
    assert direction(name, after, before) is INVERSE[direction(name, before, after)]


@given(pairs(ORDERED), st.decimals(1, 10, places=3), st.decimals(1, 10, places=3))
def test_a_wider_ratio_frees_no_less(change: tuple[str, Json, Json], one: Decimal, other: Decimal) -> None:
    """What is within a ratio is within every wider one, and what changes at all is beyond the ratio 1."""
    name, before, after = change
    narrow, wide = sorted((one, other))
    assert is_beyond(name, before, after, narrow) or not is_beyond(name, before, after, wide)
    assert before == after or is_beyond(name, before, after, Decimal(1))


# A few parameters of every kind and direction, none of which another's value can contradict.
NAMES = (
    "leverage",
    "min_confidence_threshold",
    "max_consecutive_losses",
    "stop_cooldown_seconds",
    "portfolio_leverage_cap",
    "enabled",
    "require_stop_loss",
)
SCOPES = (
    "global",
    "symbol:BTCUSDT",
    "symbol:ETHUSDT",
    "strategy:x",
    "strategy:y",
    "symbol:BTCUSDT:LONG",
    "symbol:ETHUSDT:SHORT",
)
MODE_NAME = "mode.DAILY_TRADES"
scope_values = st.fixed_dictionaries(
    {},
    optional={name: values_of(PARAMETERS[name]) for name in NAMES} | {MODE_NAME: st.sampled_from(list(map(str, Mode)))},
)
configurations = st.dictionaries(st.sampled_from(SCOPES), scope_values.filter(bool), max_size=5)


def limits_by_case(scopes: Scopes) -> list[Limits]:
    """The limits of every kind of case, as the judgement resolves them."""
    policy = read_policy({"scopes": dict(scopes)})
    return [
        policy.limits(symbol, strategy, side)
        for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT")
        for strategy in ("x", "y", "z")
        for side in Side
    ]


def is_looser(name: str, before: Limits, after: Limits) -> bool:
    """Whether one case's limit ``name`` admits more than before, written out by hand for the few names here."""
    if name == MODE_NAME:
        order = (Mode.ENFORCE, Mode.OBSERVE, Mode.OFF)
        code = Reason.DAILY_TRADES
        modes = [order.index(limits.modes.get(code, Mode.ENFORCE)) for limits in (before, after)]
        return modes[1] > modes[0]
    old, new = before.number(name), after.number(name)
    if name == "portfolio_leverage_cap":
        old, new = old or None, new or None
    if old is None or new is None:
        return old is not None and new is None
    lower_is_looser = name in ("min_confidence_threshold", "stop_cooldown_seconds", "require_stop_loss")
    return new < old if lower_is_looser else new > old


@given(configurations, configurations)
def test_what_counts_as_loosening_is_what_some_case_feels(before: Scopes, after: Scopes) -> None:
    """A limit is told as loosened exactly when for some case it admits more; tightening every case never counts."""
    cases = list(zip(limits_by_case(before), limits_by_case(after), strict=True))
    felt = {name for name in (*NAMES, MODE_NAME) if any(is_looser(name, old, new) for old, new in cases)}
    assert {one.name for one in loosened(before, after)} == felt


@given(configurations)
def test_the_same_loosens_nothing(scopes: Scopes) -> None:
    """A configuration is not looser than itself."""
    assert loosened(scopes, {scope: dict(values) for scope, values in scopes.items()}) == ()


@given(configurations, configurations)
def test_differences_are_the_whole_difference(before: Scopes, after: Scopes) -> None:
    """Carried out on the one configuration, the differences give the other."""
    made: Scopes = {scope: dict(values) for scope, values in before.items()}
    for one in differences(before, after):
        if one.after is UNSET:
            del made[one.scope][one.name]
        else:
            made.setdefault(one.scope, {})[one.name] = one.after
    assert {scope: values for scope, values in made.items() if values} == after


changes = st.tuples(
    st.sampled_from(SCOPES), scope_values, st.sets(st.sampled_from((*NAMES, MODE_NAME)), max_size=3), st.booleans()
)


def patch_of(head: Version, change: tuple[str, dict[str, Json], set[str], bool]) -> Patch:
    """A patch that fits ``head``; the door without second persons keeps proposals out of the way."""
    scope, values, names, whole = change
    removable = () if whole else tuple(names & head.scopes.get(scope, {}).keys() - values.keys())
    return Patch(scope, values, removable, "ana", TRACE, "", expected_of(head, scope), "legacy", replace=whole)


async def patched(governor: Governor, change: tuple[str, dict[str, Json], set[str], bool]) -> None:
    head = await governor.configuration()
    asked = patch_of(head, change)
    if not (await governor.judge(asked)).faults:
        await governor.propose(asked, START)


@given(st.lists(changes, max_size=4), st.lists(changes, min_size=1, max_size=4))
def test_patch_then_rollback_is_the_identity(first: list, then: list) -> None:  # type: ignore[type-arg]
    """After any patches a rollback brings back configuration and revision as they were, and keeps the whole history."""

    async def story() -> None:
        governor = Governor(InMemoryConfigs(), "main")
        for change in first:
            await patched(governor, change)
        before = await governor.configuration()
        for change in then:
            await patched(governor, change)
        patched_head = await governor.configuration()
        if patched_head.scopes == before.scopes:
            return
        back = await governor.rollback(before.number, "bo", TRACE, "", START, "cli")
        assert back.scopes == before.scopes
        assert back.revision == before.revision == read_policy({"scopes": dict(before.scopes)}).revision
        assert back.number == patched_head.number + 1
        again = await governor.rollback(patched_head.number, "bo", TRACE, "", START, "cli")
        assert (again.scopes, again.revision) == (patched_head.scopes, patched_head.revision)
        history = list(await governor.history(limit=100))[::-1]
        assert [one.number for one in history] == list(range(1, again.number + 1))
        for earlier, later in pairwise(history):
            for scope in SCOPES:
                counted = later.scope_versions.get(scope, 0) - earlier.scope_versions.get(scope, 0)
                assert counted == (later.scopes.get(scope) != earlier.scopes.get(scope))

    asyncio.run(story())


@given(configurations, configurations, st.sampled_from(SCOPES))
def test_one_scope_taken_back_admits_nothing_new(then: Scopes, now: Scopes, scope: str) -> None:
    """A rollback of one scope makes no case's limit looser than it was both now and then, or is refused."""

    async def story() -> None:
        governor = Governor(InMemoryConfigs(), "main")
        await governor.seed({"scopes": dict(then)}, "ana", START)
        if now != then:
            await governor.import_({"scopes": dict(now)}, "ana", "", "", START, origin="legacy")
        try:
            made = await governor.rollback(1, "bo", TRACE, "", START, "cli", scope)
        except PatchRefused as refusal:
            told = str(refusal)
            assert "nothing changes" in told or "looser than now and than then" in told
            return
        assert made.scopes.get(scope) == then.get(scope)
        cases = zip(limits_by_case(then), limits_by_case(now), limits_by_case(dict(made.scopes)), strict=True)
        for old, new, taken_back in cases:
            for name in (*NAMES, MODE_NAME):
                assert not (is_looser(name, old, taken_back) and is_looser(name, new, taken_back))

    asyncio.run(story())
