"""The configuration manager on a client that keeps things: what the engine's own gets wrong, and this one must not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_clients import MemoryClient
from petrosa_cio.apps.nurse.defaults import DEFAULT_TRADING_PARAMETERS
from petrosa_cio.core.config_manager import TradingConfigManager

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json, TradingConfig

SCOPES: dict[str, dict[str, str]] = {
    "global": {},
    "symbol": {"symbol": "BTCUSDT"},
    "side": {"symbol": "BTCUSDT", "side": "LONG"},
    "other": {"symbol": "ETHUSDT", "side": "LONG"},
    "strategy": {"strategy_id": "momo"},
}
every_scope = pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
both_histories = pytest.mark.parametrize("mixed", [True, False], ids=["mixed", "by scope"])


async def put(manager: TradingConfigManager, leverage: int, **scope: str) -> TradingConfig:
    done, config, errors = await manager.set_config({"leverage": leverage}, "ops", **scope)  # type: ignore[arg-type]
    assert (done, errors) == (True, [])
    assert config is not None
    return config


async def back(manager: TradingConfigManager, **wanted: object) -> Json:
    """Roll back, and return the leverage it came to; None where there was nothing to go back to."""
    done, config, errors = await manager.rollback_config("ops", **wanted)  # type: ignore[arg-type]
    assert done == (errors == [])
    return config.parameters["leverage"] if config else None


class TestRollingBackAgain:
    @every_scope
    @both_histories
    @pytest.mark.parametrize("reason", [None, "bad fills"])
    async def test_goes_further_back(self, scope: dict[str, str], mixed: bool, reason: str | None) -> None:
        """Rolled back again and again a scope goes back change by change, and not to and fro; also with own reasons."""
        manager = TradingConfigManager(MemoryClient(engine_history=mixed))
        for leverage in (1, 2, 3):
            await put(manager, leverage, **scope)
        assert await back(manager, reason=reason, **scope) == 2
        assert await back(manager, reason=reason, **scope) == 1
        assert await back(manager, reason=reason, **scope) is None
        assert (await manager.get_config(**scope))["leverage"] == 1  # type: ignore[arg-type]

    async def test_a_change_after_it_is_what_is_undone_next(self) -> None:
        """1, 2, 3, back to 2, then 4: back is to 2, and back again to 1."""
        manager = TradingConfigManager(MemoryClient())
        for leverage in (1, 2, 3):
            await put(manager, leverage)
        assert await back(manager) == 2
        await put(manager, 4)
        assert [await back(manager), await back(manager), await back(manager)] == [2, 1, None]

    async def test_versions_go_up(self) -> None:
        """Every rollback is a new version with an audit record of its own."""
        client = MemoryClient()
        manager = TradingConfigManager(client)
        for leverage in (1, 2, 3):
            await put(manager, leverage)
        await back(manager)
        await back(manager, target_version=3)
        assert [row["version_after"] for row in client.rows] == [5, 4, 3, 2, 1]
        assert [row["reason"] for row in client.rows[:2]] == ["Rollback to version 3", "Rollback to previous"]

    async def test_a_rollback_to_a_version_is_a_change_like_any_other(self) -> None:
        """What a rollback to version 1 replaced is what came before it."""
        manager = TradingConfigManager(MemoryClient())
        for leverage in (1, 2, 3):
            await put(manager, leverage)
        assert await back(manager, target_version=1) == 1
        assert [await back(manager), await back(manager)] == [3, 2]

    async def test_after_a_deletion(self) -> None:
        """A deleted scope comes back as it was, and then goes further back; its versions begin anew."""
        manager = TradingConfigManager(MemoryClient())
        for leverage in (1, 2, 3):
            await put(manager, leverage)
        assert await manager.delete_config("ops") == (True, [])
        assert [await back(manager), await back(manager), await back(manager)] == [3, 2, 1]

    async def test_by_id(self) -> None:
        """Any change of the scope can be gone back to by its id, a change of another scope cannot."""
        client = MemoryClient()
        manager = TradingConfigManager(client)
        await put(manager, 1)
        await put(manager, 9, symbol="BTCUSDT")
        await put(manager, 2)
        ids = {row["parameters_after"]["leverage"]: row["id"] for row in client.rows}  # type: ignore[index, call-overload]
        assert await back(manager, rollback_id=ids[9]) is None
        assert await back(manager, rollback_id=ids[1]) == 1
        assert await back(manager, symbol="BTCUSDT", rollback_id=ids[9]) == 9

    async def test_as_few_rows_as_will_do(self) -> None:
        """Two rows are asked for, and more only where these do not tell."""
        client = MemoryClient()
        manager = TradingConfigManager(client)
        await put(manager, 1)
        await put(manager, 2)
        assert await back(manager) == 1
        assert client.asked == [2]
        await put(manager, 3)
        for _ in range(3):
            await put(manager, 50, symbol="ETHUSDT")
        assert await back(manager) == 1
        assert client.asked == [2, 2, 50]


class TestScopes:
    @both_histories
    async def test_histories_are_not_mixed(self, mixed: bool) -> None:
        """To roll back one scope never brings in the parameters of another, whichever was changed last."""
        manager = TradingConfigManager(MemoryClient(engine_history=mixed))
        for step in (10, 20):
            for place, scope in enumerate(SCOPES.values()):
                await put(manager, step + place, **scope)
        for place, scope in enumerate(SCOPES.values()):
            assert await back(manager, **scope) == 10 + place
            assert (await manager.get_config(**scope))["leverage"] is not None  # type: ignore[arg-type]

    async def test_a_strategy_can_be_deleted(self) -> None:
        """What a strategy was set to is gone, and other scopes stay."""
        manager = TradingConfigManager(MemoryClient())
        await put(manager, 3)
        await put(manager, 4, strategy_id="momo")
        assert await manager.delete_config("ops", strategy_id="momo") == (True, [])
        assert (await manager.get_config(strategy_id="momo"))["leverage"] == 3

    async def test_what_is_set_is_seen_at_once(self) -> None:
        """After a write no call is answered from before it, whatever it names."""
        manager = TradingConfigManager(MemoryClient())
        for scope in SCOPES.values():
            await manager.get_config(**scope)  # type: ignore[arg-type]
        await put(manager, 7)
        for scope in SCOPES.values():
            assert (await manager.get_config(**scope))["leverage"] == 7  # type: ignore[arg-type]


class SlowClient(MemoryClient):
    """Yields before each answer about the global record, so that calls overtake one another; can be held there."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()

    async def get_global_config(self) -> TradingConfig | None:
        found = await super().get_global_config()
        self.waiting.set()
        await self.open.wait()
        await asyncio.sleep(0)
        return found


class TestAtTheSameTime:
    async def test_two_writes_never_share_a_version(self) -> None:
        """Fifty writers at once: versions 1 to 50, each once."""
        client = SlowClient()
        manager = TradingConfigManager(client)
        made = await asyncio.gather(*(put(manager, leverage) for leverage in range(1, 51)))
        assert sorted(config.version for config in made) == list(range(1, 51))
        assert sorted(row["version_after"] for row in client.rows) == list(range(1, 51))  # type: ignore[type-var]

    async def test_a_slow_read_does_not_cache_what_a_write_replaced(self) -> None:
        """What was read before a write, and answers after it, is not kept for the calls that follow."""
        client = SlowClient()
        manager = TradingConfigManager(client)
        await put(manager, 1)
        client.waiting.clear()
        client.open.clear()
        reading = asyncio.create_task(manager.get_config())
        await client.waiting.wait()
        await client.set_global_config(await put_elsewhere(client, 2))
        manager.invalidate_cache()
        client.open.set()
        assert (await reading)["leverage"] == 1
        assert (await manager.get_config())["leverage"] == 2


async def put_elsewhere(client: MemoryClient, leverage: int) -> TradingConfig:
    """A record that another writer keeps while a read is under way."""
    config = await MemoryClient.get_global_config(client)
    assert config is not None
    config.parameters = {"leverage": leverage}
    return config


Step = tuple[str, str, int]
steps = st.lists(
    st.tuples(st.sampled_from(list(SCOPES)), st.sampled_from(["set", "back", "version"]), st.integers(1, 6)),
    max_size=25,
)


class TestAlways:
    @given(steps, st.booleans())
    def test_undo(self, steps: list[Step], mixed: bool) -> None:
        """However sets and rollbacks of scopes follow one another, each scope is undone like a stack of its own."""

        async def run() -> None:
            manager = TradingConfigManager(MemoryClient(engine_history=mixed))
            stacks: dict[str, list[int]] = {name: [] for name in SCOPES}
            versions: dict[str, list[int]] = {name: [] for name in SCOPES}
            for name, action, number in steps:
                stack, kept, scope = stacks[name], versions[name], SCOPES[name]
                if action == "set":
                    assert (await put(manager, number, **scope)).version == len(kept) + 1
                    stack.append(number)
                elif action == "version":
                    known = number <= len(kept)
                    assert await back(manager, target_version=number, **scope) == (kept[number - 1] if known else None)
                    if not known:
                        continue
                    stack.append(kept[number - 1])
                elif len(stack) < 2:
                    assert await back(manager, **scope) is None
                    continue
                else:
                    stack.pop()
                    assert await back(manager, **scope) == stack[-1]
                kept.append(stack[-1])

        asyncio.run(run())

    @given(
        st.dictionaries(
            st.sampled_from(list(SCOPES)),
            st.dictionaries(st.sampled_from(["leverage", "max_retries", "max_signal_age_seconds"]), st.integers(1, 10)),
        )
    )
    def test_resolution(self, kept: dict[str, dict[str, Json]]) -> None:
        """What holds is the defaults, overlaid by global, symbol, strategy, and symbol and side, in this order."""

        async def run() -> None:
            manager = TradingConfigManager(MemoryClient())
            for name, parameters in kept.items():
                assert (await manager.set_config(parameters, "ops", **SCOPES[name]))[0]  # type: ignore[arg-type]
            expected = dict(DEFAULT_TRADING_PARAMETERS)
            for name in ("global", "symbol", "strategy", "side"):
                expected.update(kept.get(name, {}))
            for _ in range(2):
                assert await manager.get_config("BTCUSDT", "LONG", "momo") == expected

        asyncio.run(run())
