"""The engine's manager over the governance core: every change a version, every promise of its interface kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from petrosa_cio.apps.nurse.defaults import get_default_parameters
from petrosa_cio.apps.strategist.governance import Governor
from petrosa_cio.apps.strategist.patch import Patch
from petrosa_cio.bootstrap.configuring import ConfigPlace
from petrosa_cio.bootstrap.legacy import trading_config_manager
from petrosa_cio.bootstrap.stores import StorePlace, open_config_store
from petrosa_cio.core import clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from petrosa_cio.core.config_manager import TradingConfigManager

TRACE = (
    "The spread of this pair has widened since the listing on a second venue, and a wider stop keeps us from being "
    "taken out by noise; the size goes down in the same measure."
)


@pytest.fixture
def place(tmp_path: Path) -> ConfigPlace:
    return ConfigPlace("main", StorePlace(tmp_path))


@pytest.fixture
async def governor(place: ConfigPlace) -> AsyncIterator[Governor]:
    store = await open_config_store(place.store)
    yield Governor(store, "main")
    await store.close()


@pytest.fixture
async def manager(place: ConfigPlace) -> AsyncIterator[TradingConfigManager]:
    async with trading_config_manager(place) as started:
        yield started


async def test_what_the_manager_sets_is_a_version_with_author_and_reason(
    manager: TradingConfigManager, governor: Governor
) -> None:
    """A change through the engine's interface is a version of the scope, audited, and in the policy that gates get."""
    done, config, errors = await manager.set_config({"leverage": 5}, "ana", symbol="BTCUSDT", reason="calmer")
    assert (done, errors) == (True, [])
    assert config is not None
    assert config.version == 1
    (version,) = await governor.history("symbol:BTCUSDT")
    assert (version.author, version.reason, version.origin, version.action) == ("ana", "calmer", "legacy", "create")
    assert version.scopes == {"symbol:BTCUSDT": {"leverage": 5}}
    assert (await manager.get_config(symbol="BTCUSDT"))["leverage"] == 5
    assert (await manager.get_config())["leverage"] == get_default_parameters()["leverage"]


async def test_our_own_limits_survive_the_engines_replacement(
    manager: TradingConfigManager, governor: Governor
) -> None:
    """Replacing or deleting a scope's record leaves what the engine does not know: our limits, modes of controls."""
    ours = {"max_orders_per_minute": 7, "mode.LOW_CONFIDENCE": "observe", "leverage": 3}
    await governor.propose(Patch("global", ours, (), "ben", TRACE, "", 0, "legacy"), clock.now_ns())
    assert (await manager.get_config())["leverage"] == 3
    await manager.set_config({"stop_loss_pct": 4.0}, "ana")
    head = await governor.configuration()
    kept = {"max_orders_per_minute": 7, "mode.LOW_CONFIDENCE": "observe"}
    assert head.scopes["global"] == {**kept, "stop_loss_pct": 4.0}
    assert await manager.delete_config("ana") == (True, [])
    assert (await governor.configuration()).scopes["global"] == kept
    assert await manager.delete_config("ana") == (False, ["Failed to delete configuration"])


async def test_rolling_back_again_goes_further_back(manager: TradingConfigManager, governor: Governor) -> None:
    """Two rollbacks without a target undo two changes, also where they have reasons of their own."""
    for leverage in (2, 3, 4):
        await manager.set_config({"leverage": leverage}, "ana", strategy_id="momo")
    for expected in (3, 2):
        done, config, errors = await manager.rollback_config("ana", strategy_id="momo", reason="not this")
        assert (done, errors) == (True, [])
        assert config is not None
        assert config.parameters == {"leverage": expected}
    assert (await governor.history("strategy:momo"))[0].reason == "not this"


async def test_rollback_to_a_version_and_to_an_id(manager: TradingConfigManager, governor: Governor) -> None:
    """The versions and ids that the history tells are the ones that a rollback takes, for its own scope only."""
    for leverage in (2, 3, 4):
        await manager.set_config({"leverage": leverage}, "ana", symbol="ETHUSDT")
    await manager.set_config({"leverage": 9}, "ana")
    done, config, _ = await manager.rollback_config("ana", symbol="ETHUSDT", target_version=1)
    assert done
    assert config is not None
    assert (config.parameters, config.version) == ({"leverage": 2}, 4)
    rows = await manager.mongodb_client.get_config_history(symbol="ETHUSDT", side=None, limit=10)
    assert [row["version_after"] for row in rows] == [4, 3, 2, 1]
    done, config, _ = await manager.rollback_config("ana", symbol="ETHUSDT", rollback_id=str(rows[1]["id"]))
    assert done
    assert config is not None
    assert config.parameters == {"leverage": 4}
    done, _, errors = await manager.rollback_config("ana", rollback_id=str(rows[1]["id"]))
    assert not done
    assert str(rows[1]["id"]) in errors[0]
    assert (await governor.configuration()).scopes["global"] == {"leverage": 9}


async def test_a_rollback_of_the_whole_is_in_every_scopes_history(
    manager: TradingConfigManager, governor: Governor
) -> None:
    """What governance brings back as a whole shows as a change of each scope that it changed."""
    await manager.set_config({"leverage": 2}, "ana", symbol="BTCUSDT")
    await manager.set_config({"leverage": 3}, "ana", symbol="BTCUSDT")
    await governor.rollback(1, "ben", TRACE, "", clock.now_ns(), "cli")
    manager.invalidate_cache()
    assert (await manager.get_config(symbol="BTCUSDT"))["leverage"] == 2
    assert await manager.get_previous_config(symbol="BTCUSDT") == {"leverage": 3}


async def test_concurrent_writers_never_share_a_version(place: ConfigPlace, governor: Governor) -> None:
    """Managers that write one scope at once: each success is a version of its own, each failure names why."""

    async def write(number: int) -> tuple[bool, list[str]]:
        async with trading_config_manager(place) as manager:
            done, _, errors = await manager.set_config({"leverage": 1 + number % 100}, f"w{number}")
            return done, errors

    results = await asyncio.gather(*(write(number) for number in range(12)))
    kept = [done for done, _ in results if done]
    versions = await governor.history("global", 100)
    assert len(versions) == len(kept)
    assert [version.number for version in versions] == list(range(len(kept), 0, -1))
    for done, errors in results:
        assert done or "expected version" in errors[0]


async def test_what_breaks_a_rule_of_the_whole_is_refused(manager: TradingConfigManager) -> None:
    """A minimum above its maximum passes the engine's own check and not ours: the fault comes back as an error."""
    done, config, errors = await manager.set_config({"min_position_size_usd": 5000.0}, "ana")
    assert (done, config) == (False, None)
    assert "min_position_size_usd" in errors[0]
    assert (await manager.get_config())["min_position_size_usd"] == 10.0


async def test_the_interface_can_be_switched_off(place: ConfigPlace, governor: Governor) -> None:
    """Where the deployment says so the engine's interface reads and does not write."""
    async with trading_config_manager(place, writable=False) as manager:
        done, _, errors = await manager.set_config({"leverage": 5}, "ana")
        assert not done
        assert "switched off" in errors[0]
        assert (await manager.get_config())["leverage"] == 10
    assert (await governor.configuration()).number == 0
