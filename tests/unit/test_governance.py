"""The Governor: how patches become versions, wait for a second person, and are taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builders_configs import SECOND, START, TRACE
from petrosa_cio.apps.nurse.policy import read_policy
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.apps.strategist.ports import WHOLE, Proposal, Version
from petrosa_cio.apps.strategist.versions import UNSET, Difference
from petrosa_cio.core.db.configs_inmemory import InMemoryConfigs
from petrosa_cio.errors import NotFound, PatchRefused, StoreError, VersionConflict, VersionTaken

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json

NOW = START
LATER = START + 60 * SECOND


def patch(scope: str = "global", /, expected: int = 0, **changes: Json) -> Patch:
    return Patch(scope, changes, (), "ana", TRACE, "because", expected, "cli")


@pytest.fixture
def store() -> InMemoryConfigs:
    return InMemoryConfigs()


@pytest.fixture
def governor(store: InMemoryConfigs) -> Governor:
    return Governor(store, "main")


async def applied(governor: Governor, asked: Patch) -> Version:
    made = await governor.propose(asked, NOW)
    assert isinstance(made, Version)
    return made


async def waiting(governor: Governor, asked: Patch) -> Proposal:
    made = await governor.propose(asked, NOW)
    assert isinstance(made, Proposal)
    return made


async def rolled_back(governor: Governor, to: int | str, scope: str | None = None) -> Version:
    return await governor.rollback(to, "bo", TRACE, "back", LATER, "cli", scope)


class Meddled(InMemoryConfigs):
    """A store in which somebody else is quicker: before the next commit, ``meddle`` is committed by them."""

    def __init__(self) -> None:
        super().__init__()
        self.meddle: list[Patch] = []

    async def commit(self, version: Version) -> None:
        if self.meddle:
            other = self.meddle.pop(0)
            await applied(Governor(self, version.book), other)
        await super().commit(version)


class TestPropose:
    async def test_a_book_without_versions(self, governor: Governor) -> None:
        """A book begins as version 0: no scope, and the revision of the empty policy."""
        nothing = await governor.configuration()
        assert (nothing.number, nothing.scopes, nothing.scope_versions) == (0, {}, {})
        assert nothing.revision == read_policy({"scopes": {}}).revision

    async def test_a_patch_becomes_a_version(self, governor: Governor, store: InMemoryConfigs) -> None:
        """What tightens is applied at once: one version with what changed, by whom and why, before and after."""
        simulation: dict[str, Json] = {"net_usd": "12.5"}
        made = await applied(governor, replace(patch(leverage=5), simulation=simulation))
        assert made == Version(
            book="main",
            number=1,
            scope="global",
            action="create",
            before=None,
            after={"leverage": 5},
            scopes={"global": {"leverage": 5}},
            scope_versions={"global": 1},
            revision=read_policy({"scopes": {"global": {"leverage": 5}}}).revision,
            author="ana",
            thought_trace=TRACE,
            reason="because",
            origin="cli",
            at=NOW,
            simulation=simulation,
        )
        assert await governor.configuration() == made == await store.head("main")

    async def test_create_update_delete(self, governor: Governor) -> None:
        """A scope comes into being, changes and goes; the whole configuration and the scope's count follow."""
        await applied(governor, patch(max_daily_trades=50))
        await applied(governor, patch("strategy:x", leverage=5))
        await applied(governor, patch("strategy:x", 1, leverage=4))
        gone = await applied(governor, Patch("strategy:x", {}, (), "ana", TRACE, "", 2, "legacy", replace=True))
        again = await applied(governor, patch("strategy:x", 3, leverage=2))
        found = [(one.action, one.before, one.after) for one in await governor.history("strategy:x")]
        assert found == [
            ("create", None, {"leverage": 2}),
            ("delete", {"leverage": 4}, None),
            ("update", {"leverage": 5}, {"leverage": 4}),
            ("create", None, {"leverage": 5}),
        ]
        assert gone.scopes == {"global": {"max_daily_trades": 50}}
        assert gone.scope_versions == {"global": 1, "strategy:x": 3}
        assert (again.number, again.scope_versions["strategy:x"]) == (5, 4)

    async def test_a_faulty_patch_keeps_nothing(self, governor: Governor) -> None:
        """A patch with faults is refused naming all of them, and neither a version nor a proposal is kept."""
        with pytest.raises(PatchRefused) as refusal:
            await governor.propose(replace(patch(leverage=500, no_such=1), thought_trace="x" * 100), NOW)
        assert len(refusal.value.faults) == 3
        assert not isinstance(refusal.value, VersionConflict)
        assert (await governor.configuration()).number == 0
        assert list(await governor.proposals()) == []

    async def test_an_overtaken_patch_names_both_versions(self, governor: Governor) -> None:
        """A patch of a scope that was changed meanwhile is refused, naming expected and found version."""
        await applied(governor, patch(leverage=5))
        await applied(governor, patch("global", 1, leverage=4))
        for expected in (0, 1, 3):
            with pytest.raises(VersionConflict) as conflict:
                await governor.propose(patch("global", expected, leverage=3), NOW)
            assert (conflict.value.scope, conflict.value.expected, conflict.value.found) == ("global", expected, 2)
            with pytest.raises(VersionConflict):
                await governor.judge(patch("global", expected, leverage=3))

    async def test_judging_changes_nothing(self, governor: Governor) -> None:
        """A dry run says what would become of a patch and keeps nothing."""
        judgement = await governor.judge(patch(leverage=20))
        assert judgement.sentences == ("global: leverage 10 -> 20",)
        assert judgement.needs_second_person is True
        assert (await governor.configuration()).number == 0
        assert list(await governor.proposals()) == []


class TestRaces:
    async def test_a_race_lost_to_another_scope_is_run_again(self) -> None:
        """Where another scope was changed in between, the patch is made anew on what then stands: both are kept."""
        store = Meddled()
        governor = Governor(store, "main")
        store.meddle = [patch("strategy:x", leverage=3), patch("strategy:y", leverage=2)]
        made = await applied(governor, patch(leverage=5))
        assert made.number == 3
        assert made.scopes == {"strategy:x": {"leverage": 3}, "strategy:y": {"leverage": 2}, "global": {"leverage": 5}}

    async def test_a_race_lost_to_the_same_scope_is_a_conflict(self) -> None:
        """Where the same scope was changed in between, the patch is refused naming both versions."""
        store = Meddled()
        store.meddle = [patch(max_daily_trades=7)]
        with pytest.raises(VersionConflict) as conflict:
            await Governor(store, "main").propose(patch(leverage=5), NOW)
        assert (conflict.value.expected, conflict.value.found) == (0, 1)

    async def test_it_is_judged_anew_whole(self) -> None:
        """What was sound before another scope's change is refused where the two do not fit together."""
        store = Meddled()
        store.meddle = [patch("symbol:BTCUSDT", min_position_size_usd=400)]
        with pytest.raises(PatchRefused) as refusal:
            await Governor(store, "main").propose(patch(max_position_size_usd=300), NOW)
        assert not isinstance(refusal.value, VersionConflict)
        assert "min_position_size_usd (400) is above max_position_size_usd (300)" in str(refusal.value)

    async def test_what_loosens_only_now_waits_after_all(self) -> None:
        """A patch that tightened when it was read, and loosens by now, waits for a second person."""
        store = Meddled()
        store.meddle = [patch("symbol:BTCUSDT", leverage=2)]
        made = await Governor(store, "main").propose(patch("strategy:x", leverage=5), NOW)
        assert isinstance(made, Proposal)
        assert made.loosens == ("symbol:BTCUSDT with strategy:x: leverage 2 -> 5",)

    async def test_a_store_that_takes_no_number_is_found_out(self, store: InMemoryConfigs) -> None:
        """A store that calls every number taken and keeps none does not hold the caller for ever."""

        class Stuck(InMemoryConfigs):
            async def commit(self, version: Version) -> None:
                raise VersionTaken(str(version.number))

        with pytest.raises(StoreError):
            await Governor(Stuck(), "main").propose(patch(leverage=5), NOW)


class TestSecondPerson:
    async def test_what_loosens_waits(self, governor: Governor) -> None:
        """A patch that loosens is kept as a proposal that says what it loosens; nothing is in force."""
        proposal = await waiting(governor, patch(leverage=20, max_daily_trades=50))
        assert (proposal.state, proposal.loosens) == ("waiting", ("global: leverage 10 -> 20",))
        assert (proposal.changes, proposal.expected_version) == ({"leverage": 20, "max_daily_trades": 50}, 0)
        assert await governor.proposal(proposal.id) == proposal
        assert (await governor.configuration()).number == 0

    async def test_a_second_person_puts_it_in_force(self, governor: Governor) -> None:
        """An approval makes the version, which names author and approver; the proposal says what became of it."""
        proposal = await waiting(governor, patch(leverage=20))
        version = await governor.approve(proposal.id, "bo", "looked at the fills", LATER)
        assert (version.number, version.scopes, version.action) == (1, {"global": {"leverage": 20}}, "create")
        assert (version.author, version.approved_by, version.reason, version.at) == ("ana", "bo", "because", LATER)
        assert await governor.proposal(proposal.id) == replace(
            proposal,
            state="approved",
            settled_by="bo",
            settled_at=LATER,
            settled_reason="looked at the fills",
            version=1,
        )

    @pytest.mark.parametrize("approver", ["ana", "ANA", "  Ana ", "\uff21na", "", "  ", "b\u200bo", "b\no"])
    async def test_the_author_is_no_second_person(self, governor: Governor, approver: str) -> None:
        """Neither the author in any spelling, nor nobody, nor a name that cannot be read, approves."""
        proposal = await waiting(governor, patch(leverage=20))
        with pytest.raises(PatchRefused):
            await governor.approve(proposal.id, approver, "", LATER)
        assert await governor.proposal(proposal.id) == proposal
        assert (await governor.configuration()).number == 0

    async def test_an_overtaken_proposal_is_superseded(self, governor: Governor) -> None:
        """Where its scope was changed meanwhile, an approval fails naming both versions, and the proposal is over."""
        proposal = await waiting(governor, patch(leverage=20))
        await applied(governor, patch(leverage=5))
        with pytest.raises(VersionConflict) as conflict:
            await governor.approve(proposal.id, "bo", "", LATER)
        assert (conflict.value.expected, conflict.value.found) == (0, 1)
        settled = await governor.proposal(proposal.id)
        assert (settled.state, settled.settled_by, settled.version) == ("superseded", "bo", None)
        assert (await governor.configuration()).scopes == {"global": {"leverage": 5}}

    async def test_another_scope_does_not_overtake_it(self, governor: Governor) -> None:
        """A change elsewhere leaves a proposal good, and the approval keeps both."""
        proposal = await waiting(governor, patch(leverage=20))
        await applied(governor, patch("strategy:x", max_daily_trades=5))
        version = await governor.approve(proposal.id, "bo", "", LATER)
        assert version.scopes == {"strategy:x": {"max_daily_trades": 5}, "global": {"leverage": 20}}

    async def test_an_approval_is_of_what_was_read(self, governor: Governor) -> None:
        """A proposal that by now loosens more than it said is not approved on the strength of what it said."""
        await applied(governor, patch("symbol:BTCUSDT", leverage=2))
        proposal = await waiting(governor, Patch("symbol:BTCUSDT", {}, ("leverage",), "ana", TRACE, "", 1, "cli"))
        assert proposal.loosens == ("symbol:BTCUSDT: leverage 2 -> 10",)
        wider = await waiting(governor, patch(leverage=100))
        await governor.approve(wider.id, "bo", "", LATER)
        with pytest.raises(PatchRefused) as refusal:
            await governor.approve(proposal.id, "bo", "", LATER)
        assert "symbol:BTCUSDT: leverage 2 -> 100" in str(refusal.value)
        assert (await governor.proposal(proposal.id)).state == "waiting"

    async def test_an_approval_breaks_no_rule(self, governor: Governor) -> None:
        """A proposal that does not fit what stands by now is refused with its faults."""
        crossing = await waiting(governor, patch("strategy:x", max_position_size_usd=5000, min_position_size_usd=4000))
        await applied(governor, patch("symbol:BTCUSDT:SHORT", max_position_size_usd=700))
        with pytest.raises(PatchRefused) as refusal:
            await governor.approve(crossing.id, "bo", "", LATER)
        assert "min_position_size_usd (4000) is above max_position_size_usd (700)" in str(refusal.value)

    async def test_a_race_in_an_approval_is_run_again(self) -> None:
        """An approval that loses a race to another scope is made anew."""
        store = Meddled()
        governor = Governor(store, "main")
        proposal = await waiting(governor, patch(leverage=20))
        store.meddle = [patch("strategy:x", max_daily_trades=5)]
        version = await governor.approve(proposal.id, "bo", "", LATER)
        assert (version.number, version.scopes["strategy:x"]) == (2, {"max_daily_trades": 5})

    async def test_settled_is_settled(self, governor: Governor) -> None:
        """What was approved or rejected can be neither once more."""
        first = await waiting(governor, patch(leverage=20))
        second = await waiting(governor, patch("strategy:x", leverage=20))
        await governor.approve(first.id, "bo", "", LATER)
        rejected = await governor.reject(second.id, "ana", "thought better of it", LATER)
        assert (rejected.state, rejected.settled_by, rejected.version) == ("rejected", "ana", None)
        for proposal in (first, second):
            with pytest.raises(PatchRefused, match="already"):
                await governor.approve(proposal.id, "cy", "", LATER)
            with pytest.raises(PatchRefused, match="already"):
                await governor.reject(proposal.id, "cy", "", LATER)
        assert (await governor.configuration()).number == 1

    async def test_no_such_proposal(self, governor: Governor) -> None:
        """A proposal that is not there cannot be settled."""
        for settle in (governor.approve, governor.reject):
            with pytest.raises(NotFound):
                await settle("0123456789abcdef", "bo", "", LATER)

    async def test_an_interrupted_approval_is_completed(self) -> None:
        """Whoever was ended after the version and before the settlement left the truth in the version: the next to
        approve completes it, and nobody can reject what is in force."""

        class Interrupted(InMemoryConfigs):
            broken = False

            async def keep_proposal(self, proposal: Proposal) -> None:
                if self.broken:
                    raise StoreError("gone")
                await super().keep_proposal(proposal)

        store = Interrupted()
        governor = Governor(store, "main")
        proposal = await waiting(governor, patch(leverage=20))
        store.broken = True
        with pytest.raises(StoreError):
            await governor.approve(proposal.id, "bo", "", LATER)
        store.broken = False
        assert (await governor.proposal(proposal.id)).state == "waiting"
        await applied(governor, patch("global", 1, leverage=15))
        with pytest.raises(PatchRefused, match="in force already, as version 1"):
            await governor.reject(proposal.id, "cy", "", LATER)
        version = await governor.approve(proposal.id, "cy", "", LATER + SECOND)
        assert (version.number, version.approved_by) == (1, "bo")
        settled = await governor.proposal(proposal.id)
        assert (settled.state, settled.settled_by, settled.settled_at, settled.version) == ("approved", "bo", LATER, 1)
        assert (await governor.configuration()).number == 2

    async def test_a_replacement_waits_as_what_it_changes_and_removes(self, governor: Governor) -> None:
        """A replacement that loosens is applied later as what it meant: the whole of its scope, nothing else."""
        await applied(governor, patch(leverage=5, max_daily_trades=50))
        await applied(governor, patch("strategy:x", leverage=3))
        asked = Patch("global", {"leverage": 4}, (), "ana", TRACE, "", 1, "cli", replace=True)
        proposal = await waiting(governor, asked)
        assert proposal.loosens == ("global: max_daily_trades 50 -> 100",)
        version = await governor.approve(proposal.id, "bo", "", LATER)
        assert version.scopes == {"global": {"leverage": 4}, "strategy:x": {"leverage": 3}}
        deletion = await waiting(governor, Patch("global", {}, (), "ana", TRACE, "", 2, "cli", replace=True))
        version = await governor.approve(deletion.id, "bo", "", LATER)
        assert (version.action, version.after, version.scopes) == ("delete", None, {"strategy:x": {"leverage": 3}})


class TestRollback:
    async def test_back_to_a_number_or_a_revision(self, governor: Governor) -> None:
        """A rollback is a new version with the configuration and revision of the old one, audited as its own change."""
        first = await applied(governor, patch(leverage=5))
        await applied(governor, patch("strategy:x", leverage=3))
        second = await applied(governor, patch("global", 1, leverage=4))
        back = await rolled_back(governor, 1)
        assert (back.number, back.scope, back.action, back.rolled_back_to) == (4, WHOLE, "rollback", 1)
        assert (back.scopes, back.revision) == (first.scopes, first.revision)
        assert back.before == {"global": {"leverage": 4}, "strategy:x": {"leverage": 3}}
        assert back.after == {"global": {"leverage": 5}}
        assert (back.author, back.thought_trace, back.reason, back.at) == ("bo", TRACE, "back", LATER)
        forth = await rolled_back(governor, second.revision[:8])
        assert (forth.number, forth.scopes, forth.revision) == (5, second.scopes, second.revision)

    async def test_it_loosens_without_a_second_person(self, governor: Governor) -> None:
        """The way back to what has passed once is one step, even where it loosens."""
        await applied(governor, patch(leverage=5))
        assert (await rolled_back(governor, 0)).scopes == {}

    async def test_only_what_changes_counts_up(self, governor: Governor) -> None:
        """A rollback conflicts with patches of the scopes that it changes, and of no others."""
        await applied(governor, patch("strategy:x", leverage=3))
        await applied(governor, patch(leverage=5))
        back = await rolled_back(governor, 1)
        assert back.scope_versions == {"strategy:x": 1, "global": 2}
        await applied(governor, patch("strategy:x", 1, leverage=2))
        with pytest.raises(VersionConflict):
            await governor.propose(patch("global", 1, leverage=4), NOW)

    async def test_one_scope_alone(self, governor: Governor) -> None:
        """Given a scope, only that scope goes back; where it did not exist then, it is gone."""
        await applied(governor, patch(leverage=5))
        await applied(governor, patch("strategy:x", leverage=3))
        await applied(governor, patch("global", 1, leverage=4))
        back = await rolled_back(governor, 1, "global")
        assert back.scopes == {"global": {"leverage": 5}, "strategy:x": {"leverage": 3}}
        assert (back.scope, back.action, back.rolled_back_to) == ("global", "rollback", 1)
        assert (back.before, back.after) == ({"leverage": 4}, {"leverage": 5})
        gone = await rolled_back(governor, 1, "strategy:x")
        assert (gone.scopes, gone.after) == ({"global": {"leverage": 5}}, None)

    async def test_one_scope_is_no_way_around_the_second_person(self, governor: Governor) -> None:
        """A scope brought back among others that have changed is refused where a limit comes out looser than it is
        now and than it was then; the whole can be brought back, and where nothing new comes out the scope too."""
        await applied(governor, patch("symbol:BTCUSDT:LONG", max_position_size_usd=50))
        await applied(governor, patch("symbol:BTCUSDT", max_position_size_usd=500))
        await applied(governor, patch("symbol:BTCUSDT", 1, max_position_size_usd=40))
        aside = Patch("symbol:BTCUSDT:LONG", {}, ("max_position_size_usd",), "ana", TRACE, "", 1, "cli")
        await applied(governor, aside)
        with pytest.raises(PatchRefused, match="symbol:BTCUSDT: max_position_size_usd 40 -> 500"):
            await rolled_back(governor, 2, "symbol:BTCUSDT")
        assert (await governor.configuration()).number == 4
        await rolled_back(governor, 2, "symbol:BTCUSDT:LONG")
        assert (await rolled_back(governor, 2, "symbol:BTCUSDT")).scopes == {
            "symbol:BTCUSDT:LONG": {"max_position_size_usd": 50},
            "symbol:BTCUSDT": {"max_position_size_usd": 500},
        }

    async def test_defaults_that_were_never_in_force(self, governor: Governor) -> None:
        """Where a book began with a policy file, no rollback takes that away: the defaults never passed."""
        await governor.seed({"scopes": {"global": {"leverage": 2}}}, "ana", NOW)
        await applied(governor, patch("global", 1, leverage=1))
        with pytest.raises(NotFound, match="policy file"):
            await rolled_back(governor, 0)
        assert (await rolled_back(governor, 1)).scopes == {"global": {"leverage": 2}}

    async def test_what_cannot_be_brought_back(self, governor: Governor) -> None:
        """No such version; no change; a thought trace without thought: each is refused and keeps nothing."""
        await applied(governor, patch(leverage=5))
        for missing in (2, -1, "0" * 64, "0123"):
            with pytest.raises(NotFound):
                await rolled_back(governor, missing)
        with pytest.raises(PatchRefused, match="nothing changes"):
            await rolled_back(governor, 1)
        with pytest.raises(PatchRefused, match="100 characters"):
            await governor.rollback(0, "bo", "oops", "back", LATER, "cli")
        with pytest.raises(PatchRefused, match="unknown scope"):
            await rolled_back(governor, 0, "galaxy")
        assert (await governor.configuration()).number == 1

    async def test_values_of_old_that_no_longer_validate(self, governor: Governor, store: InMemoryConfigs) -> None:
        """A version whose values the rules of today refuse is not brought back, and every fault is named; the scopes
        of it that are sound can be."""
        first = await applied(governor, patch(leverage=5))
        old: dict[str, dict[str, Json]] = {
            "global": {"leverage": 500, "a_parameter_of_old": 1, "mode.STALE_INTENT": "off"},
            "strategy:x": {"leverage": 4},
        }
        await store.commit(replace(first, number=2, scopes=old, scope_versions={"global": 2, "strategy:x": 1}))
        mended = await rolled_back(governor, 1)
        with pytest.raises(PatchRefused) as refusal:
            await rolled_back(governor, 2)
        told = str(refusal.value)
        assert len(refusal.value.faults) == 3
        assert "leverage must be <= 125" in told
        assert "Unknown parameter: a_parameter_of_old" in told
        assert "STALE_INTENT is a safety control" in told
        assert await governor.configuration() == mended
        back = await rolled_back(governor, 2, "strategy:x")
        assert back.scopes == {"global": {"leverage": 5}, "strategy:x": {"leverage": 4}}

    async def test_a_race_in_a_rollback_is_run_again(self) -> None:
        """A rollback of the whole that loses a race brings back the whole all the same; what it undid is in it."""
        store = Meddled()
        governor = Governor(store, "main")
        await applied(governor, patch(leverage=5))
        await applied(governor, patch("global", 1, leverage=4))
        store.meddle = [patch("strategy:x", leverage=3)]
        back = await rolled_back(governor, 1)
        assert (back.number, back.scopes) == (4, {"global": {"leverage": 5}})
        assert back.before == {"global": {"leverage": 4}, "strategy:x": {"leverage": 3}}


FILE: dict[str, Json] = {
    "scopes": {"global": {"leverage": 20}, "strategy:x": {"mode.DAILY_TRADES": "observe"}, "strategy:y": {}},
    "modes": {"PRICE_COLLAR": "off"},
    "required_facts": ["mark"],
}
SCOPES: dict[str, Json] = {
    "global": {"leverage": 20, "required_facts": ["mark"], "mode.PRICE_COLLAR": "off"},
    "strategy:x": {"mode.DAILY_TRADES": "observe"},
}


class TestFiles:
    async def test_the_first_start_seeds(self, governor: Governor) -> None:
        """A policy file becomes version 1 where there is none, loosening or not; afterwards it is not looked at."""
        version = await governor.seed(FILE, "ana", NOW)
        assert version is not None
        assert (version.number, version.scope, version.action, version.origin) == (1, WHOLE, "import", "file")
        assert version.scopes == SCOPES
        assert version.revision == read_policy({"scopes": SCOPES}).revision
        assert version.scope_versions == {"global": 1, "strategy:x": 1}
        assert await governor.seed({}, "ana", NOW) is None
        assert await governor.configuration() == version

    async def test_an_empty_file_seeds_too(self, governor: Governor) -> None:
        """A book that begins with the defaults has a first version that says so."""
        version = await governor.seed({}, "ana", NOW)
        assert version is not None
        assert (version.number, version.scopes) == (1, {})

    async def test_a_seed_that_comes_second(self) -> None:
        """Of two that seed at once one does, and the other is told that nothing was to be done."""
        store = Meddled()
        store.meddle = [patch(leverage=5)]
        assert await Governor(store, "main").seed(FILE, "ana", NOW) is None

    @pytest.mark.parametrize("content", [[], {"scope": {}}, {"scopes": {"global": {"leverage": 0}}}])
    async def test_a_faulty_file(self, governor: Governor, content: Json) -> None:
        """A file with faults makes no version, by either way."""
        with pytest.raises(PatchRefused):
            await governor.seed(content, "ana", NOW)
        with pytest.raises(PatchRefused):
            await governor.import_(content, "ana", TRACE, "", NOW)
        assert (await governor.configuration()).number == 0

    async def test_an_import_replaces_the_whole(self, governor: Governor) -> None:
        """What tightens is in force at once, and scopes that the file does not name are gone."""
        await applied(governor, patch("strategy:z", take_profit_pct=7.0))
        made = await governor.import_({"scopes": {"global": {"leverage": 5}}}, "ana", TRACE, "", NOW)
        assert isinstance(made, Version)
        assert (made.scope, made.action, made.scopes) == (WHOLE, "import", {"global": {"leverage": 5}})
        assert made.scope_versions == {"strategy:z": 2, "global": 1}

    async def test_an_import_that_loosens_waits(self, governor: Governor) -> None:
        """An import is no way around the second person; approved, it is what was proposed."""
        await applied(governor, patch("strategy:z", take_profit_pct=7.0))
        proposal = await governor.import_(FILE, "ana", TRACE, "", NOW)
        assert isinstance(proposal, Proposal)
        assert (proposal.scope, proposal.remove, proposal.expected_version) == (WHOLE, ("strategy:z",), 1)
        assert set(proposal.loosens) == {
            "global: leverage 10 -> 20",
            'global: required_facts ["bars","mark","book","funding","account","filters"] -> ["mark"]',
            'global: mode.PRICE_COLLAR "enforce" -> "off"',
            'strategy:x: mode.DAILY_TRADES "enforce" -> "observe"',
        }
        version = await governor.approve(proposal.id, "bo", "", LATER)
        assert (version.number, version.action, version.scopes) == (2, "import", SCOPES)

    async def test_an_overtaken_import(self, governor: Governor) -> None:
        """An import that waits, or expects a head, concerns the whole: any change overtakes it."""
        proposal = await governor.import_(FILE, "ana", TRACE, "", NOW)
        assert isinstance(proposal, Proposal)
        await applied(governor, patch("strategy:z", leverage=2))
        with pytest.raises(VersionConflict) as conflict:
            await governor.approve(proposal.id, "bo", "", LATER)
        assert (conflict.value.scope, conflict.value.expected, conflict.value.found) == (WHOLE, 0, 1)
        with pytest.raises(VersionConflict):
            await governor.import_({}, "ana", TRACE, "", NOW, expected_version=0)
        made = await governor.import_({}, "ana", TRACE, "", NOW, origin="legacy", expected_version=1)
        assert isinstance(made, Version)

    async def test_export_is_what_import_reads(self, governor: Governor) -> None:
        """An exported version, through JSON text, imports as the same configuration with the same revision."""
        seeded = await governor.seed(FILE, "ana", NOW)
        assert seeded is not None
        text = json.dumps(await governor.export())
        assert await governor.export(1) == await governor.export(seeded.revision) == {"scopes": SCOPES}
        assert await governor.export(0) == {"scopes": {}}
        other = await Governor(InMemoryConfigs(), "paper").seed(json.loads(text), "bo", NOW)
        assert other is not None
        assert (other.scopes, other.revision) == (seeded.scopes, seeded.revision)
        with pytest.raises(NotFound):
            await governor.export(2)


async def test_diff(governor: Governor) -> None:
    """A difference names scope, value, and what it was and is; null, and not set at all, are told apart."""
    await applied(governor, patch(leverage=5, quantity_max=1.0))
    await governor.rollback(0, "bo", TRACE, "", NOW, "cli")
    await applied(governor, replace(patch("symbol:BTCUSDT", quantity_max=None), origin="legacy"))
    await applied(governor, patch("global", 2, leverage=4))
    assert await governor.diff(1, 4) == (
        Difference("global", "leverage", 5, 4),
        Difference("global", "quantity_max", 1.0, UNSET),
        Difference("symbol:BTCUSDT", "quantity_max", UNSET, None),
    )
    assert await governor.diff(4) == await governor.diff(2, 0) == ()
    assert await governor.diff(0, 1) == (
        Difference("global", "leverage", UNSET, 5),
        Difference("global", "quantity_max", UNSET, 1.0),
    )
    with pytest.raises(NotFound):
        await governor.diff(1, 99)
