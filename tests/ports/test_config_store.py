"""What every `ConfigStore` promises, whatever it is built on. A new store joins by one entry in ``conftest.py``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from builders_configs import SECOND, START, TRACE, make_proposal, make_version, revision_of
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.apps.strategist.ports import WHOLE, Proposal, Version
from petrosa_cio.errors import StoreError, VersionConflict, VersionTaken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.strategist.ports import ConfigStore

    OpenConfigs = Callable[[], Awaitable[ConfigStore]]


async def keep(store: ConfigStore, *versions: Version) -> None:
    for version in versions:
        await store.commit(version)


def numbers(versions: Sequence[Version]) -> list[int]:
    return [version.number for version in versions]


ODD_VALUES: dict[str, Json] = {
    "max_daily_trades": 7,
    "max_position_size_usd": 1000.0,
    "quantity_max": 2**70,
    "quantity_min": 1e-12,
    "sl_distance_max_pct": None,
    "require_stop_loss": False,
    "allowed_symbols": ["BTCUSDT", "1000PEPEUSDT"],
    "strategy_weights": {"a.b": 1.5, "$c": 2, "": 0.1, "_id": 1},
    "mode.DAILY_TRADES": "observe",
}


def types_of(value: Json) -> object:
    """``value`` with every number replaced by the name of its type: 1, 1.0 and True compare equal, these do not."""
    match value:
        case dict():
            return {key: types_of(item) for key, item in value.items()}
        case list():
            return [types_of(item) for item in value]
        case _:
            return type(value).__name__


class TestVersions:
    async def test_a_new_book_has_nothing(self, configs: ConfigStore) -> None:
        """A book without versions has no head, no first version and no history."""
        assert await configs.head("main") is None
        assert await configs.version("main", 1) is None
        assert await configs.by_revision("main", revision_of("main/1")) is None
        assert list(await configs.history("main")) == []

    async def test_a_version_comes_back_as_it_was_given(self, configs: ConfigStore) -> None:
        """Every field of a version is handed back unchanged, the optional ones included."""
        first = make_version(1)
        second = make_version(
            2,
            scope=WHOLE,
            action="rollback",
            approved_by="bo",
            rolled_back_to=1,
            simulation={"intents": 12, "net_usd": -3.5, "worst": None},
            thought_trace='quotes ", percents %, dollars $, dots ., nulls \u0000, umlauts ü, beyond \U0001f40d',
        )
        await keep(configs, first, second)
        assert await configs.head("main") == second
        assert [await configs.version("main", number) for number in (1, 2, 3)] == [first, second, None]

    async def test_values_keep_their_types(self, configs: ConfigStore) -> None:
        """Integers come back as integers of any size, floats as floats, null as null, names with dots as names."""
        scopes: dict[str, dict[str, Json]] = {"strategy:a.b $c": ODD_VALUES, "symbol:BTCUSDT:LONG": {"enabled": True}}
        given = make_version(1, before=None, after=ODD_VALUES, scopes=scopes)
        await configs.commit(given)
        found = await configs.head("main")
        assert found == given
        assert types_of(dict(found.scopes["strategy:a.b $c"])) == types_of(ODD_VALUES)
        assert types_of(dict(found.after or {})) == types_of(ODD_VALUES)

    async def test_null_is_not_nothing(self, configs: ConfigStore) -> None:
        """A scope that sets nothing, one that sets a null and one that did not exist are three different things."""
        await keep(
            configs,
            make_version(1, before=None, after={}, scopes={}),
            make_version(2, before={}, after={"quantity_max": None}, scopes={"global": {"quantity_max": None}}),
            make_version(3, before={"quantity_max": None}, after=None, scopes={}),
        )
        found = [(one.before, one.after) for one in await configs.history("main")]
        assert found == [({"quantity_max": None}, None), ({}, {"quantity_max": None}), (None, {})]

    async def test_what_the_caller_changes_later_changes_nothing_kept(self, configs: ConfigStore) -> None:
        """A version is kept as it was when it was committed, and each reader is given a copy of its own."""
        values: dict[str, Json] = {"allowed_symbols": ["BTCUSDT"]}
        await configs.commit(make_version(1, after=values, scopes={"global": values}))
        values["allowed_symbols"] = []
        first = await configs.head("main")
        assert first is not None
        first.scopes["global"]["allowed_symbols"] = ["ETHUSDT"]  # type: ignore[index]
        second = await configs.head("main")
        assert second is not None
        assert second.scopes == {"global": {"allowed_symbols": ["BTCUSDT"]}}

    async def test_books_do_not_share_numbers(self, configs: ConfigStore) -> None:
        """Each book is a log of its own."""
        await keep(configs, make_version(1), make_version(2), make_version(1, "paper"))
        assert await configs.head("main") == make_version(2)
        assert await configs.head("paper") == make_version(1, "paper")
        assert await configs.by_revision("paper", revision_of("main/2")) is None
        assert numbers(await configs.history("paper")) == [1]

    async def test_versions_survive_a_restart(self, open_configs: OpenConfigs) -> None:
        """A store that was closed and opened again goes on where it was."""
        first = await open_configs()
        await keep(first, make_version(1), make_version(2))
        await first.keep_proposal(make_proposal(1))
        await first.close()
        second = await open_configs()
        assert await second.head("main") == make_version(2)
        assert await second.proposal("main", make_proposal(1).id) == make_proposal(1)
        await second.commit(make_version(3))
        assert numbers(await second.history("main")) == [3, 2, 1]

    async def test_close_twice(self, configs: ConfigStore) -> None:
        """Closing is idempotent."""
        await configs.commit(make_version(1))
        await configs.close()
        await configs.close()


class TestCommit:
    @pytest.mark.parametrize("number", [1, 2])
    async def test_a_number_is_taken_once(self, configs: ConfigStore, number: int) -> None:
        """A second version of a number that is kept is refused as taken, and the first one stays."""
        await keep(configs, make_version(1), make_version(2))
        with pytest.raises(VersionTaken):
            await configs.commit(make_version(number, author="bo", revision=revision_of("other")))
        assert await configs.version("main", number) == make_version(number)
        assert numbers(await configs.history("main")) == [2, 1]

    @pytest.mark.parametrize("number", [-1, 0, 2, 4])
    async def test_a_number_leaves_no_gap(self, configs: ConfigStore, number: int) -> None:
        """A number that is not the head's plus one, and not taken, is refused, and not as taken: nobody was first."""
        if number == 4:
            await keep(configs, make_version(1), make_version(2))
        with pytest.raises(StoreError) as refusal:
            await configs.commit(make_version(number))
        assert not isinstance(refusal.value, VersionTaken)
        assert await configs.version("main", number) is None

    async def test_what_json_cannot_carry_is_refused_whole(self, configs: ConfigStore) -> None:
        """A version with a number that JSON does not know is not kept."""
        with pytest.raises(StoreError):
            await configs.commit(make_version(1, simulation={"net_usd": float("nan")}))
        assert await configs.head("main") is None
        await configs.commit(make_version(1))
        assert await configs.head("main") == make_version(1)

    async def test_of_many_writers_of_one_number_one_wins(self, open_configs: OpenConfigs) -> None:
        """Forty writers on four stores commit number 1 at once: one is kept whole, and each other is told."""
        stores = [await open_configs() for _ in range(4)]
        offers = [make_version(1, author=f"writer {index}") for index in range(40)]
        outcomes = await asyncio.gather(
            *(stores[index % 4].commit(offer) for index, offer in enumerate(offers)), return_exceptions=True
        )
        won = [offer for offer, outcome in zip(offers, outcomes, strict=True) if outcome is None]
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [VersionTaken] * 39
        assert [await store.head("main") for store in stores] == won * 4

    async def test_readers_see_whole_versions_only(self, open_configs: OpenConfigs) -> None:
        """Beside a writer a reader sees each head whole, and never an older one than before."""
        writer, reader = await open_configs(), await open_configs()
        whole = {number: make_version(number) for number in range(1, 31)}
        seen: list[int] = []

        async def read() -> None:
            while not seen or seen[-1] < 30:
                head = await reader.head("main")
                if head is not None:
                    assert head == whole[head.number]
                    seen.append(head.number)
                await asyncio.sleep(0)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(read())
            group.create_task(keep(writer, *whole.values()))
        assert seen == sorted(seen)


class TestRevisions:
    async def test_a_revision_names_its_version(self, configs: ConfigStore) -> None:
        """A version is found by its revision, or by a beginning of it of eight digits."""
        await keep(configs, make_version(1), make_version(2))
        revision = revision_of("main/1")
        for length in (64, 12, 8):
            assert await configs.by_revision("main", revision[:length]) == make_version(1)

    async def test_of_equal_configurations_the_latest_is_found(self, configs: ConfigStore) -> None:
        """After a rollback one revision stands in two versions: the later one is meant, and that is no ambiguity."""
        same = make_version(1).revision
        await keep(configs, make_version(1), make_version(2), make_version(3, revision=same))
        for wanted in (same, same[:8]):
            assert await configs.by_revision("main", wanted) == make_version(3, revision=same)

    @pytest.mark.parametrize("wanted", ["", "e", revision_of("main/1")[:7], "%" * 8, ".*" * 4, "0" * 64])
    async def test_what_is_no_beginning_finds_nothing(self, configs: ConfigStore, wanted: str) -> None:
        """Fewer than eight digits are no beginning, and wildcards are digits like any other."""
        await configs.commit(make_version(1))
        assert await configs.by_revision("main", wanted) is None

    async def test_an_ambiguous_beginning_is_refused(self, configs: ConfigStore) -> None:
        """A beginning of two revisions is refused; one digit more tells them apart, and so does another book."""
        left, right = make_version(1, revision="ab" * 6 + "0" * 52), make_version(2, revision="ab" * 6 + "1" * 52)
        elsewhere = make_version(1, "paper", revision="ab" * 6 + "2" * 52)
        await keep(configs, left, right, elsewhere)
        with pytest.raises(StoreError):
            await configs.by_revision("main", "ab" * 4)
        assert await configs.by_revision("main", "ab" * 6 + "0") == left
        assert await configs.by_revision("paper", "ab" * 4) == elsewhere


class TestHistory:
    async def test_newest_first_and_limited(self, configs: ConfigStore) -> None:
        """History is newest first, twenty versions unless told, none for a limit of zero."""
        await keep(configs, *(make_version(number) for number in range(1, 24)))
        assert numbers(await configs.history("main")) == list(range(23, 3, -1))
        assert numbers(await configs.history("main", limit=2)) == [23, 22]
        assert numbers(await configs.history("main", limit=0)) == []
        assert numbers(await configs.history("main", limit=100)) == list(range(23, 0, -1))

    async def test_of_one_scope(self, configs: ConfigStore) -> None:
        """The history of a scope is what changed it and what changed the whole; no other scope shows in it."""
        scopes = ["global", "symbol:BTCUSDT", WHOLE, "symbol:BTCUSDT:LONG", "global", "strategy:global"]
        await keep(configs, *(make_version(number, scope=scope) for number, scope in enumerate(scopes, 1)))
        assert numbers(await configs.history("main", "global")) == [5, 3, 1]
        assert numbers(await configs.history("main", "symbol:BTCUSDT")) == [3, 2]
        assert numbers(await configs.history("main", "symbol:ETHUSDT")) == [3]
        assert numbers(await configs.history("main", WHOLE)) == [3]
        assert numbers(await configs.history("main", "global", limit=2)) == [5, 3]


class TestProposals:
    async def test_a_proposal_comes_back_as_it_was_given(self, configs: ConfigStore) -> None:
        """Every field of a proposal is handed back unchanged, tuples as tuples; another book knows nothing of it."""
        given = make_proposal(
            1,
            changes=ODD_VALUES,
            remove=("quantity_max", "mode.DAILY_TRADES"),
            loosens=("one", "two"),
            simulation={"verdicts": [1, 2.0, None]},
        )
        await configs.keep_proposal(given)
        found = await configs.proposal("main", given.id)
        assert found == given
        assert types_of(dict(found.changes)) == types_of(ODD_VALUES)
        assert await configs.proposal("paper", given.id) is None
        assert await configs.proposal("main", "no such proposal") is None

    @pytest.mark.parametrize("state", ["approved", "rejected", "superseded"])
    async def test_a_proposal_is_settled_once(self, configs: ConfigStore, state: str) -> None:
        """What waits can be settled; what is settled stays as it is."""
        waiting = make_proposal(1)
        settled = replace(
            waiting, state=state, settled_by="bo", settled_at=START, settled_reason="looked at it", version=4
        )
        await configs.keep_proposal(waiting)
        await configs.keep_proposal(settled)
        for again in (waiting, replace(settled, settled_by="cy"), replace(settled, state="rejected")):
            with pytest.raises(StoreError):
                await configs.keep_proposal(again)
        assert await configs.proposal("main", waiting.id) == settled

    async def test_of_many_who_settle_one_succeeds(self, open_configs: OpenConfigs) -> None:
        """Twenty persons settle one proposal at once, on two stores: one succeeds, and each other is told."""
        stores = [await open_configs(), await open_configs()]
        waiting = make_proposal(1)
        await stores[0].keep_proposal(waiting)
        settled = [replace(waiting, state="approved", settled_by=f"person {index}") for index in range(20)]
        outcomes = await asyncio.gather(
            *(stores[index % 2].keep_proposal(one) for index, one in enumerate(settled)), return_exceptions=True
        )
        won = [one for one, outcome in zip(settled, outcomes, strict=True) if outcome is None]
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [StoreError] * 19
        assert [await store.proposal("main", waiting.id) for store in stores] == won * 2

    async def test_newest_first_by_state(self, configs: ConfigStore) -> None:
        """Proposals are listed newest first by when they were made, all or of one state, fifty unless told."""
        made = [make_proposal(number) for number in (3, 1, 2)]
        for proposal in (*made, make_proposal(9, "paper")):
            await configs.keep_proposal(proposal)
        rejected = replace(made[0], state="rejected", settled_by="bo", settled_at=START + 60 * SECOND)
        await configs.keep_proposal(rejected)
        assert list(await configs.proposals("main")) == [rejected, made[2], made[1]]
        assert list(await configs.proposals("main", "waiting")) == [made[2], made[1]]
        assert list(await configs.proposals("main", "rejected")) == [rejected]
        assert list(await configs.proposals("main", "approved")) == []
        assert list(await configs.proposals("main", limit=1)) == [rejected]
        assert list(await configs.proposals("main", limit=0)) == []


async def patch_until_kept(
    governor: Governor, made_by: str, patches: int, refused: list[VersionConflict]
) -> list[tuple[int, int]]:
    """Patch the global scope as often as told, trying again on each conflict; give (version, scope version) of each."""
    kept: list[tuple[int, int]] = []
    expected = 0
    for number in range(patches):
        values: dict[str, Json] = {"strategy_weights": {made_by: number}}
        while True:
            patch = Patch("global", values, (), made_by, TRACE, "a race", expected, "cli")
            try:
                version = await governor.propose(patch, START)
            except VersionConflict as conflict:
                refused.append(conflict)
                expected = conflict.found
                continue
            assert isinstance(version, Version)
            kept.append((version.number, version.scope_versions["global"]))
            break
        expected = kept[-1][1]
    return kept


class TestGovernance:
    async def test_two_hundred_concurrent_patches(self, open_configs: OpenConfigs) -> None:
        """Two hundred clients on two stores patch one scope at once and try again on conflict: versions 1 to 200
        without gap or duplicate, no patch lost, and every refused attempt named the version expected and found."""
        governors = [Governor(await open_configs(), "main") for _ in range(2)]
        refused: list[VersionConflict] = []
        kept = await asyncio.gather(
            *(patch_until_kept(governors[one % 2], f"client {one}", 1, refused) for one in range(200))
        )
        everything = list(range(1, 201))
        assert sorted(number for ((number, _),) in kept) == everything
        assert [number for ((number, _),) in kept] == [counted for ((_, counted),) in kept]
        assert len(refused) >= 199
        for conflict in refused:
            assert 0 <= conflict.expected < conflict.found <= 200
            assert f"expected version {conflict.expected}, found version {conflict.found}" in str(conflict)
        history = list(await governors[0].history("global", 1000))[::-1]
        assert numbers(history) == everything
        assert sorted(version.author for version in history) == sorted(f"client {one}" for one in range(200))
        assert all(later.before == earlier.after for earlier, later in pairwise(history))

    async def test_concurrent_patches_of_many_scopes(self, open_configs: OpenConfigs) -> None:
        """Clients that patch a scope each, at once, never conflict: every patch is in the last configuration."""
        governors = [Governor(await open_configs(), "main") for _ in range(2)]
        patches = [Patch(f"strategy:{one}", {"leverage": 3}, (), "ana", TRACE, "", 0, "cli") for one in range(20)]
        made = await asyncio.gather(*(governors[index % 2].propose(one, START) for index, one in enumerate(patches)))
        assert sorted(one.number for one in made if isinstance(one, Version)) == list(range(1, 21))
        head = await governors[1].configuration()
        assert head.scopes == {f"strategy:{one}": {"leverage": 3} for one in range(20)}

    async def test_the_story_of_a_proposal(self, open_configs: OpenConfigs) -> None:
        """A loosening waits in the store, is approved through another connection, and is taken back by a revision."""
        author, approver = Governor(await open_configs(), "main"), Governor(await open_configs(), "main")
        first = await author.propose(Patch("global", {"leverage": 5}, (), "ana", TRACE, "", 0, "cli"), START)
        proposal = await author.propose(Patch("global", {"leverage": 50}, (), "ana", TRACE, "", 1, "cli"), START)
        assert isinstance(first, Version)
        assert isinstance(proposal, Proposal)
        assert list(await approver.proposals("waiting")) == [proposal]
        approved = await approver.approve(proposal.id, "bo", "the book is deep again", START + SECOND)
        assert await author.configuration() == approved
        assert (await author.proposal(proposal.id)).state == "approved"
        back = await author.rollback(first.revision[:12], "cy", TRACE, "", START + 2 * SECOND, "cli")
        assert (back.number, back.scopes, back.revision) == (3, first.scopes, first.revision)
        assert await approver.configuration() == back
