"""How the policy of a book changes: judged whole, kept as one version, never lost, and always with a way back.

The Governor decides; the store keeps. Nothing is locked: a change is made of the head that was read, and kept under the
number after it. Where another writer was first, that number is taken, and the change is judged anew on the new head.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse import record
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.strategist.cause import Cause, person_faults, same_person, text_faults
from petrosa_cio.apps.strategist.loosening import loosened
from petrosa_cio.apps.strategist.patch import Patch, judge_patch, judge_whole
from petrosa_cio.apps.strategist.ports import WHOLE, Proposal, Version
from petrosa_cio.apps.strategist.versions import (
    action_on,
    differences,
    expected_of,
    nothing,
    policy_of,
    scopes_of,
    successor,
)
from petrosa_cio.errors import NotFound, PatchRefused, PolicyError, StoreError, VersionConflict, VersionTaken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petrosa_cio.apps.nurse.models import Instant, Json
    from petrosa_cio.apps.strategist.loosening import Scopes
    from petrosa_cio.apps.strategist.patch import Judgement
    from petrosa_cio.apps.strategist.ports import ConfigStore
    from petrosa_cio.apps.strategist.versions import Difference

_MOST_RACES = 10_000
"""Races that one change may lose in a row. Each lost one is a version of somebody else's, so only a store that refuses
numbers without keeping versions comes this far."""


class Governor:
    """The one way to change the configuration of ``book``. Every method may raise StoreError; time is an argument."""

    def __init__(self, store: ConfigStore, book: str) -> None:
        self._store = store
        self.book = book

    async def configuration(self) -> Version:
        """The configuration in force: the head, or the empty configuration as version 0."""
        return await self._store.head(self.book) or nothing(self.book)

    async def judge(self, patch: Patch) -> Judgement:
        """What `propose` would make of ``patch`` now, changing nothing. Raises VersionConflict."""
        head = await self.configuration()
        _expect(head, patch.scope, patch.expected_version)
        return judge_patch(head, patch, self.book)

    async def propose(self, patch: Patch, now: Instant) -> Version | Proposal:
        """Apply ``patch`` at once, or keep it as a proposal that waits for a second person.

        Raises VersionConflict where its scope was changed since the version it expects, and PatchRefused naming every
        fault. That another scope was changed meanwhile is no conflict: it is judged whole on what then stands.
        """
        for _ in range(_MOST_RACES):
            head = await self.configuration()
            _expect(head, patch.scope, patch.expected_version)
            judgement = _sound(judge_patch(head, patch, self.book))
            if judgement.needs_second_person:
                return await self._wait(_proposal(head, patch, judgement, now))
            action = action_on(head, patch.scope, judgement.scopes)
            version = successor(head, patch.scope, action, judgement.scopes, patch.cause, now)
            if await self._kept(version):
                return version
        raise _outrun(patch.scope)

    async def approve(self, proposal_id: str, approver: str, reason: str, now: Instant) -> Version:
        """Apply a proposal that waits, as a person other than its author; the version names both.

        Raises NotFound; VersionConflict where its scope was changed meanwhile (it is superseded then); PatchRefused
        where it is settled already, the approver is its author, or it would break a rule or loosen more by now than
        what it was proposed as. An approval that was interrupted after its version was kept is completed.
        """
        proposal = await self._waiting(proposal_id)
        _sound_word("approver", approver, reason)
        if same_person(proposal.author, approver):
            raise PatchRefused((f"{approver} is its author: a second person must approve it",))
        for _ in range(_MOST_RACES):
            head = await self.configuration()
            found = expected_of(head, proposal.scope)
            if found != proposal.expected_version:
                return await self._overtaken(proposal, head, approver, now)
            version = _approved(head, proposal, approver, now)
            if await self._kept(version):
                await self._settle(proposal, "approved", approver, reason, now, version.number)
                return version
        raise _outrun(proposal.scope)

    async def reject(self, proposal_id: str, by: str, reason: str, now: Instant) -> Proposal:
        """Settle a proposal that waits without applying it; its author may do so too.

        Raises NotFound, and PatchRefused where it is settled already or in force. Of an approval and a rejection in the
        same instant the version, if there is one, is what counts.
        """
        proposal = await self._waiting(proposal_id)
        _sound_word("whoever rejects", by, reason)
        version = await self._made_of(proposal, await self.configuration())
        if version is not None:
            raise PatchRefused((f"proposal {proposal_id} is in force already, as version {version.number}",))
        return await self._settle(proposal, "rejected", by, reason, now)

    async def rollback(
        self,
        to: int | str,
        author: str,
        thought_trace: str,
        reason: str,
        now: Instant,
        origin: str,
        scope: str | None = None,
    ) -> Version:
        """Bring back the configuration of an earlier version, as a new one; of ``scope`` alone where that is given.

        ``to`` is a version's number or its revision; 0 is the empty configuration that a book without a policy file
        began with. A rollback never waits for a second person: what it brings back has passed once, and in an emergency
        the way back must be one step. One scope among others as they are now may come to what never has; where that
        loosens beyond both, it is refused. Raises NotFound, and PatchRefused naming every fault of what would be in
        force then by the rules of today.
        """
        target = await self._once_in_force(to)
        cause = Cause(author, thought_trace, reason, origin)
        for _ in range(_MOST_RACES):
            head = await self.configuration()
            wanted = target.scopes
            if scope is not None:
                wanted = {**head.scopes, scope: target.scopes.get(scope, {})}
            judgement = _sound(judge_whole(head.scopes, wanted, cause))
            _refuse_unseen(judgement, target)
            scopes = judgement.scopes
            version = successor(head, scope or WHOLE, "rollback", scopes, cause, now, rolled_back_to=target.number)
            if await self._kept(version):
                return version
        raise _outrun(scope or WHOLE)

    async def seed(self, content: Json, author: str, now: Instant) -> Version | None:
        """Import the policy file ``content`` as version 1; None, and nothing done, where the book has a version.

        Raises PatchRefused naming every fault of the file. It needs neither thought trace nor second person: there is
        nothing yet that it could loosen.
        """
        _sound_word("author", author, "")
        scopes = _read(content)
        head = await self.configuration()
        if head.number:
            return None
        cause = Cause(author, "", "the policy file of the first start", "file")
        version = successor(head, WHOLE, "import", scopes, cause, now)
        return version if await self._kept(version) else None

    async def judge_import(self, content: Json, author: str, thought_trace: str, reason: str, origin: str) -> Judgement:
        """What `import_` would make of the policy file ``content`` now, changing nothing. Raises PatchRefused."""
        head = await self.configuration()
        return _sound(judge_whole(head.scopes, _read(content), Cause(author, thought_trace, reason, origin)))

    async def import_(
        self,
        content: Json,
        author: str,
        thought_trace: str,
        reason: str,
        now: Instant,
        origin: str = "file",
        expected_version: int | None = None,
    ) -> Version | Proposal:
        """Make the policy file ``content`` the whole configuration; what loosens waits as a patch does.

        With ``expected_version``, the number of the head it was made from, raises VersionConflict where that is no
        longer the head. Raises PatchRefused naming every fault.
        """
        scopes = _read(content)
        cause = Cause(author, thought_trace, reason, origin)
        for _ in range(_MOST_RACES):
            head = await self.configuration()
            if expected_version is not None:
                _expect(head, WHOLE, expected_version)
            judgement = _sound(judge_whole(head.scopes, scopes, cause))
            if judgement.needs_second_person:
                changes: dict[str, Json] = {scope: dict(values) for scope, values in judgement.scopes.items()}
                removed = tuple(scope for scope in head.scopes if scope not in changes)
                patch = Patch(WHOLE, changes, removed, author, thought_trace, reason, head.number, origin)
                return await self._wait(_proposal(head, patch, judgement, now))
            version = successor(head, WHOLE, "import", judgement.scopes, cause, now)
            if await self._kept(version):
                return version
        raise _outrun(WHOLE)

    async def export(self, version: int | str | None = None) -> dict[str, Json]:
        """A policy file of a version, by number or revision, or of the head: what `import_` reads. Raises NotFound."""
        found = await self._find(version)
        scopes: dict[str, Json] = {scope: dict(values) for scope, values in found.scopes.items()}
        return {"scopes": scopes}

    async def history(self, scope: str | None = None, limit: int = 20) -> Sequence[Version]:
        """Versions, newest first: all, or those that changed ``scope`` or the whole."""
        return await self._store.history(self.book, scope, limit)

    async def diff(self, a: int | str, b: int | str | None = None) -> tuple[Difference, ...]:
        """Every value that differs from version ``a`` to ``b``, or to the head. Raises NotFound."""
        return differences((await self._find(a)).scopes, (await self._find(b)).scopes)

    async def proposal(self, proposal_id: str) -> Proposal:
        """One proposal. Raises NotFound."""
        found = await self._store.proposal(self.book, proposal_id)
        if found is None:
            raise NotFound(f"no proposal {proposal_id} in book {self.book!r}")
        return found

    async def proposals(self, state: str | None = None, limit: int = 50) -> Sequence[Proposal]:
        """Proposals, newest first: all, or those in ``state``."""
        return await self._store.proposals(self.book, state, limit)

    async def _find(self, version: int | str | None) -> Version:
        if version is None:
            return await self.configuration()
        if version == 0:
            return nothing(self.book)
        if isinstance(version, str):
            found = await self._store.by_revision(self.book, version)
        else:
            found = await self._store.version(self.book, version)
        if found is None:
            raise NotFound(f"no version {version} in book {self.book!r}")
        return found

    async def _once_in_force(self, version: int | str) -> Version:
        found = await self._find(version)
        first = await self._store.version(self.book, 1) if not found.number else None
        if first is not None and first.action == "import":
            raise NotFound(f"book {self.book!r} began with version 1, a policy file: the defaults were never in force")
        return found

    async def _kept(self, version: Version) -> bool:
        try:
            await self._store.commit(version)
        except VersionTaken:
            return False
        return True

    async def _wait(self, proposal: Proposal) -> Proposal:
        await self._store.keep_proposal(proposal)
        return proposal

    async def _waiting(self, proposal_id: str) -> Proposal:
        found = await self.proposal(proposal_id)
        if found.state != "waiting":
            by = f" by {found.settled_by}" if found.settled_by else ""
            raise PatchRefused((f"proposal {proposal_id} is {found.state}{by} already",))
        return found

    async def _settle(
        self, proposal: Proposal, state: str, by: str, reason: str, now: Instant, version: int | None = None
    ) -> Proposal:
        settled = replace(proposal, state=state, settled_by=by, settled_at=now, settled_reason=reason, version=version)
        try:
            await self._store.keep_proposal(settled)
        except StoreError:
            # Another may have settled it in the same instant. A version that was kept counts whatever that one did.
            found = await self.proposal(proposal.id)
            if found.state == "waiting":
                raise
            if version is None and found.state != state:
                raise PatchRefused((f"proposal {proposal.id} is {found.state} already",)) from None
            return found
        return settled

    async def _overtaken(self, proposal: Proposal, head: Version, approver: str, now: Instant) -> Version:
        made = await self._made_of(proposal, head)
        if made is not None and made.approved_by is not None:
            await self._settle(proposal, "approved", made.approved_by, "", made.at, made.number)
            return made
        conflict = VersionConflict(proposal.scope, proposal.expected_version, expected_of(head, proposal.scope))
        await self._settle(proposal, "superseded", approver, str(conflict), now)
        raise conflict

    async def _made_of(self, proposal: Proposal, head: Version) -> Version | None:
        """The version that ``proposal`` became though it still waits: its approver was ended between the two."""
        if expected_of(head, proposal.scope) == proposal.expected_version:
            return None
        changed = await self._store.history(self.book, proposal.scope, head.number)
        after = proposal.expected_version + 1
        for version in reversed(changed):
            if expected_of(version, proposal.scope) == after:
                return version if version.approved_by is not None and _says(version) == _says(proposal) else None
        return None


def _says(made: Version | Proposal) -> tuple[str, ...]:
    return (made.scope, made.author, made.thought_trace, made.reason, made.origin)


def _expect(head: Version, scope: str, expected: int) -> None:
    found = expected_of(head, scope)
    if found != expected:
        raise VersionConflict(scope, expected, found)


def _sound(judgement: Judgement) -> Judgement:
    if judgement.faults:
        raise PatchRefused(judgement.faults)
    return judgement


def _refuse_unseen(judgement: Judgement, target: Version) -> None:
    """Refuse a rollback of one scope to ``target`` that makes a limit looser than it is now and than it was then."""
    if not judgement.needs_second_person:
        return
    then = {one.name for one in loosened(target.scopes, judgement.scopes)}
    unseen = tuple(one.sentence for one in judgement.loosens if one.waits and one.name in then)
    if unseen:
        raise PatchRefused((*(f"looser than now and than then: {sentence}" for sentence in unseen), "propose a patch"))


def _sound_word(role: str, name: str, reason: str) -> None:
    faults = (*person_faults(role, name), *text_faults("reason", reason))
    if faults:
        raise PatchRefused(faults)


def _outrun(scope: str) -> StoreError:
    return StoreError(f"{scope}: {_MOST_RACES} times in a row the version's number was taken: is this store in order?")


def _read(content: Json) -> Scopes:
    try:
        scopes = scopes_of(read_policy(content, "policy file"))
        policy_of(scopes)
    except PolicyError as error:
        raise PatchRefused(error.faults) from error
    return scopes


def _proposal(head: Version, patch: Patch, judgement: Judgement, now: Instant) -> Proposal:
    """``patch`` as it waits: a replacement is written out as what it changes and removes, which is the same on it."""
    current = head.scopes.get(patch.scope, {})
    removed = tuple(name for name in current if name not in patch.changes) if patch.replace else patch.remove
    waits = Proposal(
        book=head.book,
        id="",
        scope=patch.scope,
        changes=patch.changes,
        remove=removed,
        author=patch.author,
        thought_trace=patch.thought_trace,
        reason=patch.reason,
        origin=patch.origin,
        expected_version=patch.expected_version,
        loosens=judgement.sentences,
        at=now,
        simulation=patch.simulation,
    )
    return replace(waits, id=hashlib.sha256(record.encode(waits)).hexdigest()[:16])


def _approved(head: Version, proposal: Proposal, approver: str, now: Instant) -> Version:
    """The version that ``proposal`` becomes on ``head``. Raises PatchRefused where it may not by now."""
    cause = Cause(proposal.author, proposal.thought_trace, proposal.reason, proposal.origin, proposal.simulation)
    if proposal.scope == WHOLE:
        scopes = {scope: values for scope, values in proposal.changes.items() if isinstance(values, dict)}
        judgement, action = judge_whole(head.scopes, scopes, cause), "import"
    else:
        patch = Patch(
            proposal.scope,
            proposal.changes,
            proposal.remove,
            proposal.author,
            proposal.thought_trace,
            proposal.reason,
            proposal.expected_version,
            proposal.origin,
        )
        judgement = judge_patch(head, patch, head.book)
        action = action_on(head, proposal.scope, judgement.scopes)
    more = set(_sound(judgement).sentences) - set(proposal.loosens)
    if more:
        faults = (f"it would loosen by now what it was not proposed to: {sentence}" for sentence in sorted(more))
        raise PatchRefused((*faults, "have it proposed anew"))
    return successor(head, proposal.scope, action, judgement.scopes, cause, now, approved_by=approver)
