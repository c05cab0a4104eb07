"""The engine's own tests run on us through three module aliases: whatever they may import and patch is there."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from unittest.mock import patch

import pytest

import petrosa_cio.apps.nurse.defaults
import petrosa_cio.apps.nurse.models
import petrosa_cio.core.config_manager
from config_clients import MemoryClient

ALIASES = {
    "tradeengine.config_manager": petrosa_cio.core.config_manager,
    "tradeengine.defaults": petrosa_cio.apps.nurse.defaults,
    "contracts.trading_config": petrosa_cio.apps.nurse.models,
}


@pytest.fixture(autouse=True)
def aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's module names lead to ours."""
    for name, module in ALIASES.items():
        package, _, leaf = name.partition(".")
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
        monkeypatch.setattr(sys.modules[package], leaf, module, raising=False)
        monkeypatch.setitem(sys.modules, name, module)


def test_names() -> None:
    """Every name that the engine's modules are known to have can be imported from its alias."""
    for module, names in {
        "tradeengine.config_manager": "TradingConfigManager",
        "tradeengine.defaults": "DEFAULT_TRADING_PARAMETERS PARAMETER_SCHEMA get_default_parameters "
        "get_parameter_schema merge_parameters validate_parameters",
        "contracts.trading_config": "TradingConfig TradingConfigAudit LeverageStatus",
    }.items():
        assert [name for name in names.split() if not hasattr(importlib.import_module(module), name)] == []


async def test_a_round_through_the_aliases() -> None:
    """What is made of the aliased names works together: set, resolve, and the record is the aliased model."""
    manager_module = importlib.import_module("tradeengine.config_manager")
    defaults = importlib.import_module("tradeengine.defaults")
    contracts = importlib.import_module("contracts.trading_config")
    manager = manager_module.TradingConfigManager(mongodb_client=MemoryClient(), mysql_repository=None)
    done, config, errors = await manager.set_config(parameters={"leverage": 20}, changed_by="ops", symbol="BTCUSDT")
    assert (done, errors) == (True, [])
    assert isinstance(config, contracts.TradingConfig)
    expected = defaults.merge_parameters(defaults.get_default_parameters(), {"leverage": 20})
    assert await manager.get_config(symbol="BTCUSDT") == expected


async def test_patching_through_the_aliases() -> None:
    """A test that patches the clock or the judgement by the engine's names reaches what the manager uses."""
    manager = petrosa_cio.core.config_manager.TradingConfigManager()
    with patch("tradeengine.config_manager.time.time", return_value=12.5):
        await manager.get_config()
    assert [at for _, at in manager._cache.values()] == [12.5]
    with patch("tradeengine.config_manager.validate_parameters", return_value=(False, ["no"])):
        assert await manager.set_config({}, "ops") == (False, None, ["no"])
