"""A patch of the policy, and its judgement: what is wrong with it, what it makes, and what it loosens."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.defaults import parameter_faults
from petrosa_cio.apps.strategist.cause import LEGACY, Cause
from petrosa_cio.apps.strategist.loosening import is_known, loosened
from petrosa_cio.apps.strategist.versions import filled, nothing, policy_of
from petrosa_cio.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.strategist.loosening import Loosened, Scopes
    from petrosa_cio.apps.strategist.ports import Version


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of one scope, made against a version of it.

    ``changes`` are values by the name of a parameter, or of a control's mode as ``mode.CODE``; null is a value.
    ``remove`` names values that the scope shall no longer set, so that a wider scope or the default applies. With
    ``replace`` the changes are all that the scope sets afterwards; replacing it with nothing deletes it.
    """

    scope: str
    changes: Mapping[str, Json]
    remove: tuple[str, ...]
    author: str
    thought_trace: str
    reason: str
    expected_version: int
    """How often the scope was changed before; 0 where it never was."""
    origin: str
    replace: bool = False
    simulation: Mapping[str, Json] | None = None

    @property
    def cause(self) -> Cause:
        """Who makes it, and why."""
        return Cause(self.author, self.thought_trace, self.reason, self.origin, self.simulation)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a change comes to: every fault it has, the whole configuration it makes, and all that it loosens."""

    faults: tuple[str, ...]
    scopes: Scopes
    """No scope in it is empty. Only to be kept where there are no faults."""
    loosens: tuple[Loosened, ...]
    """Empty where the configuration has faults, since unusable values cannot be compared."""
    needs_second_person: bool

    @property
    def sentences(self) -> tuple[str, ...]:
        """What it loosens, in words."""
        return tuple(one.sentence for one in self.loosens)


def judge_patch(head: Version | None, patch: Patch, book: str) -> Judgement:
    """Judge ``patch`` on the configuration of ``book``, whose latest version is ``head``. Pure; never raises.

    Whether the expected version is still the latest is not asked here: that can change until the moment of writing.
    """
    before = (head or nothing(book)).scopes
    current = before.get(patch.scope, {})
    values = {} if patch.replace else dict(current)
    values.update(deepcopy(dict(patch.changes)))
    for name in set(patch.remove) - patch.changes.keys():  # what is in both is a fault, and judged as a change
        values.pop(name, None)
    # The scope stays named even where it is left empty, so that an unknown one is found out in any case.
    return judge_whole(before, {**before, patch.scope: values}, patch.cause, tuple(_removal_faults(patch, current)))


def judge_whole(before: Scopes, after: Scopes, cause: Cause, known: tuple[str, ...] = ()) -> Judgement:
    """Judge that ``after`` becomes the whole configuration in place of ``before``; ``known`` are faults found already.

    Pure; never raises.
    """
    faults = [*_policy_faults(after), *known]
    made = filled(after)
    loosens = () if faults else loosened(before, made)
    if not faults and made == before:
        faults.append("nothing changes: every value is in force already")
    faults.extend(cause.faults())
    waits = cause.origin != LEGACY and any(one.waits for one in loosens)
    return Judgement(tuple(faults), made, loosens, waits)


def _policy_faults(scopes: Scopes) -> tuple[str, ...]:
    try:
        policy_of(scopes)
    except PolicyError as error:
        return error.faults
    return ()


def _removal_faults(patch: Patch, current: Mapping[str, Json]) -> Iterator[str]:
    if patch.replace and patch.remove:
        yield "a patch that replaces the whole scope cannot remove single values as well"
    for name in patch.remove:
        if name in patch.changes:
            yield f"{patch.scope}: {name} is both changed and removed"
        elif name not in current:
            unknown = () if is_known(name) else parameter_faults({name: None})
            yield f"{patch.scope}: {' '.join(unknown) or f'{name} is not set there, so it cannot be removed'}"
