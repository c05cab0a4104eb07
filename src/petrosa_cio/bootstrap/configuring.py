"""What the `config` commands do: read the configuration of a book, change it, and put the change up for gates."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.models import Side, iso
from petrosa_cio.apps.nurse.policy import layers_of, read_policy
from petrosa_cio.apps.nurse.policy_schema import policy_schema
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.apps.strategist.ports import Proposal, Version
from petrosa_cio.apps.strategist.versions import UNSET, expected_of
from petrosa_cio.bootstrap.asking import address
from petrosa_cio.bootstrap.boards import open_boards, publication_of
from petrosa_cio.bootstrap.gate import open_link
from petrosa_cio.bootstrap.stores import StorePlace, open_config_store, place_of
from petrosa_cio.core import clock
from petrosa_cio.errors import BusError, PatchRefused, PolicyError, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.strategist.ports import ConfigStore
    from petrosa_cio.settings import Settings

ORIGIN = "cli"


@dataclass(frozen=True, slots=True)
class ConfigPlace:
    """Whose configuration: the book, where it is kept, and where gates listen for changes."""

    book: str
    store: StorePlace
    nats_url: str | None = None
    credentials: Path | None = None
    redis_url: str | None = None
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes, and why."""

    author: str
    thought_trace: str
    reason: str


@dataclass(frozen=True, slots=True)
class For:
    """Whom a value is asked for: nobody in particular, or an intent of this symbol, strategy and side."""

    symbol: str = ""
    strategy: str = ""
    side: str | None = None


class Office:
    """The configuration of one book, open for a command or two."""

    def __init__(self, place: ConfigPlace, store: ConfigStore) -> None:
        self._place = place
        self._store = store
        self.governor = Governor(store, place.book)

    async def parameters(self, names: Sequence[str], whom: For) -> dict[str, Json]:
        """Every parameter with its description, its value for ``whom`` and the scope that sets it."""
        unknown = [name for name in names if name not in PARAMETERS]
        if unknown:
            raise PolicyError(tuple(f"Unknown parameter: {name}" for name in unknown), "config get")
        version = await self.governor.configuration()
        side = _side(whom.side)
        rows: list[Json] = [
            _described(name, version, layers_of(whom.symbol, whom.strategy, side)) for name in names or PARAMETERS
        ]
        return {"book": version.book, "version": version.number, "revision": version.revision, "parameters": rows}

    async def scopes(self, scope: str | None = None) -> dict[str, Json]:
        """What the scopes set, without defaults: all of them, or one."""
        version = await self.governor.configuration()
        kept: dict[str, Json] = {name: dict(values) for name, values in version.scopes.items() if scope in (None, name)}
        versions: dict[str, Json] = {
            name: version.scope_versions.get(name, 0) for name in (kept if scope is None else (scope,))
        }
        return {
            "book": version.book,
            "version": version.number,
            "revision": version.revision,
            "scopes": kept,
            "scope_versions": versions,
        }

    async def set(
        self,
        scope: str,
        changes: Mapping[str, Json],
        remove: Sequence[str],
        change: Change,
        *,
        expected: int | None,
        loosen: bool,
    ) -> dict[str, Json]:
        """Change a scope. What loosens is only tried, and nothing kept, unless ``loosen``. Raises PatchRefused."""
        head = await self.governor.configuration()
        made_on = expected_of(head, scope) if expected is None else expected
        patch = Patch(
            scope, changes, tuple(remove), change.author, change.thought_trace, change.reason, made_on, ORIGIN
        )
        judgement = await self.governor.judge(patch)
        if judgement.faults:
            raise PatchRefused(judgement.faults)
        if judgement.sentences and not loosen:
            return {
                "applied": False,
                "dry_run": True,
                "loosens": list(judgement.sentences),
                "needs_second_person": judgement.needs_second_person,
            }
        return await self._told(await self.governor.propose(patch, clock.now_ns()))

    async def rollback(self, to: str, scope: str | None, change: Change) -> dict[str, Json]:
        """Bring an earlier version back. Raises NotFound, PatchRefused."""
        return await self._told(
            await self.governor.rollback(
                _named(to),
                change.author,
                change.thought_trace,
                change.reason,
                clock.now_ns(),
                ORIGIN,
                scope,
            )
        )

    async def import_(self, content: Json, change: Change, *, loosen: bool) -> dict[str, Json]:
        """Make a policy file the whole configuration; tried only, where it loosens, unless ``loosen``."""
        head = await self.governor.configuration()
        if not loosen:
            judgement = await self.governor.judge_import(
                content, change.author, change.thought_trace, change.reason, ORIGIN
            )
            if judgement.sentences:
                return {
                    "applied": False,
                    "dry_run": True,
                    "loosens": list(judgement.sentences),
                    "needs_second_person": judgement.needs_second_person,
                }
        now = clock.now_ns()
        made = await self.governor.import_(
            content, change.author, change.thought_trace, change.reason, now, ORIGIN, head.number
        )
        return await self._told(made)

    async def export(self, version: str | None) -> dict[str, Json]:
        """A version as a policy file. Raises NotFound."""
        return await self.governor.export(None if version is None else _named(version))

    async def approve(self, proposal_id: str, approver: str, reason: str) -> dict[str, Json]:
        """Apply a proposal as its second person. Raises NotFound, PatchRefused."""
        return await self._told(await self.governor.approve(proposal_id, approver, reason, clock.now_ns()))

    async def reject(self, proposal_id: str, by: str, reason: str) -> dict[str, Json]:
        """Settle a proposal without applying it. Raises NotFound, PatchRefused."""
        return proposal_content(await self.governor.reject(proposal_id, by, reason, clock.now_ns()))

    async def history(self, scope: str | None, limit: int) -> list[dict[str, Json]]:
        """Versions, newest first."""
        return [version_content(version) for version in await self.governor.history(scope, limit)]

    async def proposals(self, state: str | None, limit: int) -> list[dict[str, Json]]:
        """Proposals, newest first."""
        return [proposal_content(proposal) for proposal in await self.governor.proposals(state, limit)]

    async def diff(self, before: str, after: str | None) -> list[dict[str, Json]]:
        """Every value that differs between two versions."""
        found = await self.governor.diff(_named(before), None if after is None else _named(after))
        return [
            {
                "scope": one.scope,
                "name": one.name,
                "before": None if one.before is UNSET else one.before,
                "after": None if one.after is UNSET else one.after,
                "set_before": one.before is not UNSET,
                "set_after": one.after is not UNSET,
            }
            for one in found
        ]

    async def _told(self, made: Version | Proposal) -> dict[str, Json]:
        if isinstance(made, Proposal):
            return {"applied": False, "dry_run": False, "waits": True, "proposal": proposal_content(made)}
        return {
            "applied": True,
            "dry_run": False,
            "waits": False,
            "version": version_content(made),
            "boards": await put_up(self._place, made),
        }


async def put_up(place: ConfigPlace, version: Version) -> str:
    """Put a kept change up for the gates that run; says what came of it, and never raises.

    What cannot be done now the steward does: the change is kept.
    """
    try:
        url = address(place.store.data_dir, place.nats_url)
        link = await open_link(url, "petrosa-cio config", place.credentials, "config")
    except BusError as error:
        return f"kept, and not put up yet: {error}"
    boards = open_boards(link, place.redis_url, place.replicas, lambda *_: None)
    try:
        trouble = await boards.bring_up_to(publication_of(version))
    finally:
        await boards.close()
        await link.close()
    return f"kept, and not put up everywhere yet: {trouble}" if trouble else "in force"


@contextlib.asynccontextmanager
async def office(place: ConfigPlace) -> AsyncIterator[Office]:
    """The configuration at ``place``, open. Raises StoreError."""
    store = await open_config_store(place.store)
    try:
        yield Office(place, store)
    finally:
        await store.close()


def production_place(settings: Settings) -> ConfigPlace:
    """The place that the production settings name."""
    redis = None if settings.redis_url is None else settings.redis_url.get_secret_value()
    return ConfigPlace(
        settings.book,
        place_of(settings),
        settings.nats_url,
        settings.nats_credentials,
        redis,
        settings.replicas,
    )


def validate(content: Json, source: str) -> dict[str, Json]:
    """What a policy file comes to. Raises PolicyError naming every fault."""
    policy = read_policy(content, source)
    scopes: list[Json] = [*sorted(policy.scopes)]
    return {"valid": True, "revision": policy.revision, "scopes": scopes}


def schema() -> dict[str, Json]:
    """The JSON Schema of policy files."""
    return policy_schema()


def version_content(version: Version) -> dict[str, Json]:
    """A version as it is printed: everything but the whole configuration."""
    return {
        "number": version.number,
        "scope": version.scope,
        "action": version.action,
        "scope_version": version.scope_versions.get(version.scope),
        "before": None if version.before is None else dict(version.before),
        "after": None if version.after is None else dict(version.after),
        "revision": version.revision,
        "author": version.author,
        "approved_by": version.approved_by,
        "thought_trace": version.thought_trace,
        "reason": version.reason,
        "origin": version.origin,
        "rolled_back_to": version.rolled_back_to,
        "at": iso(version.at),
    }


def proposal_content(proposal: Proposal) -> dict[str, Json]:
    """A proposal as it is printed."""
    settled = proposal.settled_at
    content: dict[str, Json] = asdict(proposal)
    return {
        **content,
        "changes": dict(proposal.changes),
        "remove": list(proposal.remove),
        "loosens": list(proposal.loosens),
        "at": iso(proposal.at),
        "settled_at": None if settled is None else iso(settled),
    }


def _named(version: str) -> int | str:
    return int(version) if version.isdigit() and len(version) < 8 else version


def _side(word: str | None) -> Side | None:
    if word is None:
        return None
    try:
        return Side(word.upper())
    except ValueError as error:
        msg = f"--side: must be LONG or SHORT, got {word}"
        raise SettingsError(msg) from error


def _described(name: str, version: Version, layers: Sequence[str]) -> dict[str, Json]:
    parameter = PARAMETERS[name]
    value, set_by = parameter.default, "defaults"
    for layer in layers:
        values = version.scopes.get(layer, {})
        if name in values:
            value, set_by = values[name], layer
    return {**parameter.content(), "value": value, "set_by": set_by}
