"""Configuration versions: the empty one, the one that follows, and what tells two of them apart."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.strategist.ports import WHOLE, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.nurse.policy import Policy
    from petrosa_cio.apps.strategist.cause import Cause
    from petrosa_cio.apps.strategist.loosening import Scopes


class Unset(Enum):
    """Says that a scope does not set a value at all, which null would not say."""

    UNSET = "not set"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that two configurations do not share."""

    scope: str
    name: str
    before: Json | Unset
    after: Json | Unset


def nothing(book: str) -> Version:
    """The configuration of a book that has none: version 0, no scope, every parameter at its default."""
    return Version(
        book=book,
        number=0,
        scope=WHOLE,
        action="import",
        before=None,
        after={},
        scopes={},
        scope_versions={},
        revision=policy_of({}).revision,
        author="",
        thought_trace="",
        reason="",
        origin="file",
        at=0,
    )


def policy_of(scopes: Scopes) -> Policy:
    """The policy that ``scopes`` make; its revision is a version's. Raises PolicyError naming every fault."""
    return read_policy({"scopes": {scope: dict(values) for scope, values in scopes.items()}})


def scopes_of(policy: Policy) -> dict[str, dict[str, Json]]:
    """The scopes of ``policy`` as a version keeps them: modes among the values, no scope that sets nothing."""
    scopes = {name: deepcopy(values) for name, values in policy.scopes.items()}
    for name, modes in policy.modes.items():
        scopes.setdefault(name, {}).update({f"mode.{code.value}": mode.value for code, mode in modes.items()})
    return filled(scopes)


def filled(scopes: Scopes) -> dict[str, dict[str, Json]]:
    """``scopes`` without those that set nothing: whether such a scope is named makes no difference to any case."""
    return {scope: dict(values) for scope, values in scopes.items() if values}


def expected_of(head: Version, scope: str) -> int:
    """The version that a change of ``scope`` must expect now; of the whole, the number of ``head``."""
    return head.number if scope == WHOLE else head.scope_versions.get(scope, 0)


def successor(
    head: Version,
    scope: str,
    action: str,
    scopes: Scopes,
    cause: Cause,
    now: Instant,
    *,
    approved_by: str | None = None,
    rolled_back_to: int | None = None,
) -> Version:
    """The version after ``head`` whose configuration is ``scopes``; only scopes that change count one version up.

    Raises PolicyError where ``scopes`` break a rule of the policy.
    """
    changed = [name for name in {**head.scopes, **scopes} if head.scopes.get(name) != scopes.get(name)]
    counted = {name: head.scope_versions.get(name, 0) + 1 for name in changed}
    return Version(
        book=head.book,
        number=head.number + 1,
        scope=scope,
        action=action,
        before=_part(head.scopes, scope),
        after=_part(scopes, scope),
        scopes=scopes,
        scope_versions={**head.scope_versions, **counted},
        revision=policy_of(scopes).revision,
        author=cause.author,
        thought_trace=cause.thought_trace,
        reason=cause.reason,
        origin=cause.origin,
        at=now,
        approved_by=approved_by,
        rolled_back_to=rolled_back_to,
        simulation=cause.simulation,
    )


def _part(scopes: Scopes, scope: str) -> Mapping[str, Json] | None:
    if scope == WHOLE:
        return {name: dict(values) for name, values in scopes.items()}
    return scopes.get(scope)


def action_on(head: Version, scope: str, scopes: Scopes) -> str:
    """What making ``scopes`` the configuration does to ``scope``: ``create``, ``update`` or ``delete``."""
    if scope not in scopes:
        return "delete"
    return "update" if scope in head.scopes else "create"


def differences(before: Scopes, after: Scopes) -> tuple[Difference, ...]:
    """Every value that differs, by scope and name in alphabetical order."""
    found: list[Difference] = []
    for scope in sorted({*before, *after}):
        old, new = before.get(scope, {}), after.get(scope, {})
        for name in sorted({*old, *new}):
            pair = old.get(name, UNSET), new.get(name, UNSET)
            if pair[0] != pair[1]:
                found.append(Difference(scope, name, *pair))
    return tuple(found)
