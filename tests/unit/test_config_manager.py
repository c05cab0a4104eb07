"""The configuration manager as the engine's own tests use it: clients that offer only what a call needs.

What it promises beyond that, on a client that keeps things, is in ``test_config_manager_memory.py``.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, MagicMock

import pytest

from config_clients import offering
from petrosa_cio.apps.nurse.defaults import DEFAULT_TRADING_PARAMETERS
from petrosa_cio.apps.nurse.models import TradingConfig
from petrosa_cio.core import config_manager
from petrosa_cio.core.config_manager import TradingConfigManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from petrosa_cio.apps.nurse.models import Json

BTC: dict[str, str] = {"symbol": "BTCUSDT"}
BTC_LONG: dict[str, str] = {"symbol": "BTCUSDT", "side": "LONG"}
MADE = datetime(2026, 1, 1, tzinfo=UTC)

# Scope as the caller names it; kind; the methods that read, keep and forget it, and what they are called with.
SCOPES = [
    pytest.param({}, "global", "get_global_config", "set_global_config", "delete_global_config", (), id="global"),
    pytest.param(
        BTC, "symbol", "get_symbol_config", "set_symbol_config", "delete_symbol_config", ("BTCUSDT",), id="symbol"
    ),
    pytest.param(
        BTC_LONG, "symbol_side", "get_symbol_side_config", "set_symbol_side_config", "delete_symbol_side_config",
        ("BTCUSDT", "LONG"), id="symbol_side",
    ),
    pytest.param(
        {"strategy_id": "momo"}, "strategy", "get_strategy_config", "upsert_strategy_config", "delete_strategy_config",
        ("momo",), id="strategy",
    ),
]  # fmt: skip
every_scope = pytest.mark.parametrize(("scope", "kind", "get", "keep", "forget", "named"), SCOPES)


def a_config(version: int = 1, **parameters: Json) -> TradingConfig:
    return TradingConfig(parameters=parameters, version=version, created_by="before", created_at=MADE)


def a_row(**fields: Json) -> dict[str, Json]:
    return {"action": "update", **fields}


async def until(true: Callable[[], bool]) -> None:
    """Wait until ``true``; fail after five seconds."""
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


class TestMaking:
    def test_defaults(self) -> None:
        """A manager made of nothing has neither client nor repository, a minute of cache, and does not run."""
        manager = TradingConfigManager()
        assert (manager.mongodb_client, manager.mysql_repository, manager.cache_ttl_seconds) == (None, None, 60)
        assert (manager._cache, manager._cache_refresh_task, manager._running) == ({}, None, False)

    def test_arguments(self) -> None:
        """Client, repository and time to live are kept under their names, in this order."""
        client, repository = MagicMock(), MagicMock()
        manager = TradingConfigManager(client, repository, 5)
        assert (manager.mongodb_client, manager.mysql_repository) == (client, repository)
        assert manager.cache_ttl_seconds == 5
        named = TradingConfigManager(mongodb_client=client, mysql_repository=repository, cache_ttl_seconds=7)
        assert (named.mongodb_client, named.cache_ttl_seconds) == (client, 7)


class TestRunning:
    async def test_start_and_stop(self) -> None:
        """Started it opens both and sweeps; stopped it has ended the sweep and closed both."""
        client, repository = offering(), offering()
        manager = TradingConfigManager(client, repository)
        await manager.start()
        client.connect.assert_awaited_once_with()
        repository.connect.assert_awaited_once_with()
        assert manager._running is True
        task = manager._cache_refresh_task
        assert isinstance(task, asyncio.Task)
        assert not task.done()
        await manager.stop()
        assert manager._running is False
        assert task.done()
        client.disconnect.assert_awaited_once_with()
        repository.disconnect.assert_awaited_once_with()

    async def test_stop_without_start(self) -> None:
        """To stop what was never started is no error, with or without client."""
        await TradingConfigManager().stop()
        client = offering()
        await TradingConfigManager(client).stop()
        client.disconnect.assert_awaited_once_with()

    async def test_start_without_client(self) -> None:
        """Without client and repository it runs on the defaults."""
        manager = TradingConfigManager()
        await manager.start()
        assert manager._running is True
        await manager.stop()

    async def test_one_sweep(self) -> None:
        """To start twice does not leave a second sweep behind, and after a stop it can be started again."""
        manager = TradingConfigManager()
        await manager.start()
        first = manager._cache_refresh_task
        await manager.start()
        assert manager._cache_refresh_task is first
        await manager.stop()
        await manager.start()
        assert manager._cache_refresh_task is not first
        await manager.stop()

    async def test_the_repository_is_closed_whatever_happens(self) -> None:
        """A client that does not close keeps nobody from closing the repository."""
        client, repository = offering(), offering()
        client.disconnect.side_effect = OSError("gone")
        with pytest.raises(OSError, match="gone"):
            await TradingConfigManager(client, repository).stop()
        repository.disconnect.assert_awaited_once_with()

    async def test_sweep_drops_what_expired(self) -> None:
        """The sweep drops entries as old as the time to live, and leaves younger ones."""
        manager = TradingConfigManager(cache_ttl_seconds=0.01)  # type: ignore[arg-type]
        manager._cache["old"] = ({}, time.time() - 10)
        manager._cache["young"] = ({}, time.time() + 1000)
        await manager.start()
        await until(lambda: "old" not in manager._cache)
        assert "young" in manager._cache
        await manager.stop()

    def test_what_is_swept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry is dropped from the age on at which it is not used any more."""
        manager = TradingConfigManager(cache_ttl_seconds=60)
        manager._cache.update({"at it": ({}, 1000.0), "under it": ({}, 1000.5)})
        monkeypatch.setattr(config_manager.time, "time", lambda: 1060.0)
        manager._drop_expired()
        assert list(manager._cache) == ["under it"]

    async def test_sweep_goes_on_after_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sweep that fails is followed by another, ten seconds later."""
        manager = TradingConfigManager(cache_ttl_seconds=60)
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:
                raise RuntimeError
            manager._running = len(waited) < 4

        monkeypatch.setattr(config_manager.asyncio, "sleep", sleep)
        manager._running = True
        await manager._cache_refresh_loop()
        assert waited == [60, 10, 60, 60]


class TestCacheKey:
    @pytest.mark.parametrize(
        ("arguments", "key"),
        [
            ((None, None), "global:all:all_strategies"),
            (("BTCUSDT", None), "BTCUSDT:all:all_strategies"),
            (("BTCUSDT", "LONG"), "BTCUSDT:LONG:all_strategies"),
            ((None, None, "momo"), "global:all:momo"),
            (("BTCUSDT", "SHORT", "momo"), "BTCUSDT:SHORT:momo"),
        ],
    )
    def test_key(self, arguments: tuple[str | None, ...], key: str) -> None:
        """A key names symbol, side and strategy, and says so where one is not named."""
        assert TradingConfigManager()._get_cache_key(*arguments) == key  # type: ignore[arg-type]


class TestGetting:
    async def test_without_client(self) -> None:
        """Without a client the defaults hold, and are cached."""
        manager = TradingConfigManager()
        assert await manager.get_config() == DEFAULT_TRADING_PARAMETERS
        assert list(manager._cache) == ["global:all:all_strategies"]

    async def test_only_what_is_needed_is_asked(self) -> None:
        """Each scope is asked for only where the call names it: a client without the other methods does."""
        everything = {"get_global_config": None}
        assert await TradingConfigManager(offering(**everything)).get_config() == DEFAULT_TRADING_PARAMETERS
        client = offering(**everything)
        await TradingConfigManager(client).get_config(side="LONG")
        client.get_global_config.assert_awaited_once_with()
        client = offering(**everything, get_symbol_config=None)
        await TradingConfigManager(client).get_config("BTCUSDT")
        client.get_symbol_config.assert_awaited_once_with("BTCUSDT")
        client = offering(**everything, get_symbol_config=None, get_symbol_side_config=None)
        await TradingConfigManager(client).get_config("BTCUSDT", "LONG")
        client.get_symbol_side_config.assert_awaited_once_with("BTCUSDT", "LONG")
        client = offering(**everything, get_strategy_config=None)
        await TradingConfigManager(client).get_config(strategy_id="momo")
        client.get_strategy_config.assert_awaited_once_with("momo")

    async def test_precedence(self) -> None:
        """Global yields to symbol, symbol to strategy, strategy to symbol and side; what none sets is the default."""
        client = offering(
            get_global_config=a_config(leverage=1, max_retries=1, stop_loss_pct=1.0, take_profit_pct=1.0),
            get_symbol_config=a_config(max_retries=2, stop_loss_pct=2.0, take_profit_pct=2.0),
            get_strategy_config=a_config(stop_loss_pct=3.0, take_profit_pct=3.0),
            get_symbol_side_config=a_config(take_profit_pct=4.0),
        )
        found = await TradingConfigManager(client).get_config("BTCUSDT", "LONG", "momo")
        assert (found["leverage"], found["max_retries"]) == (1, 2)
        assert (found["stop_loss_pct"], found["take_profit_pct"]) == (3.0, 4.0)
        assert found["margin_type"] == "isolated"
        assert found.keys() == DEFAULT_TRADING_PARAMETERS.keys()

    async def test_maps_are_replaced(self) -> None:
        """A map that a scope sets replaces the default map whole."""
        client = offering(get_global_config=a_config(strategy_weights={"mine": 2.0}))
        assert (await TradingConfigManager(client).get_config())["strategy_weights"] == {"mine": 2.0}

    async def test_hit(self) -> None:
        """Within the time to live the client is not asked again, and what it keeps meanwhile is not seen."""
        client = offering(get_global_config=a_config(leverage=3))
        manager = TradingConfigManager(client)
        assert (await manager.get_config())["leverage"] == 3
        client.get_global_config.return_value = a_config(leverage=4)
        assert (await manager.get_config())["leverage"] == 3
        client.get_global_config.assert_awaited_once_with()

    async def test_entry(self) -> None:
        """An entry is what was resolved and when, by the clock that a test can put a time from."""
        manager = TradingConfigManager()
        before = time.time()
        await manager.get_config()
        resolved, at = manager._cache["global:all:all_strategies"]
        assert resolved == DEFAULT_TRADING_PARAMETERS
        assert before <= at <= time.time()

    async def test_age(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry is used while it is younger than the time to live; as old as that it is resolved anew."""
        manager = TradingConfigManager(offering(get_global_config=a_config(leverage=9)), cache_ttl_seconds=60)
        manager._cache["global:all:all_strategies"] = ({"leverage": 2}, 1000.0)
        monkeypatch.setattr(config_manager.time, "time", lambda: 1059.9)
        assert await manager.get_config() == {"leverage": 2}
        monkeypatch.setattr(config_manager.time, "time", lambda: 1060.0)
        assert (await manager.get_config())["leverage"] == 9
        assert manager._cache["global:all:all_strategies"][1] == 1060.0

    async def test_the_answer_is_the_callers(self) -> None:
        """Whoever changes what he was given, however deep, changes nothing for others, and no default."""
        manager = TradingConfigManager()
        for _ in range(2):
            mine = await manager.get_config()
            mine["leverage"] = 77
            weights = mine["strategy_weights"]
            assert isinstance(weights, dict)
            assert "intruder" not in weights
            weights["intruder"] = 1.0
        again = await manager.get_config()
        assert again["leverage"] == 10
        assert again == DEFAULT_TRADING_PARAMETERS

    async def test_not_connected(self) -> None:
        """A client that is not connected is not asked; the defaults answer and are not kept for later."""
        client = offering(connected=False, get_global_config=a_config(leverage=3))
        manager = TradingConfigManager(client)
        assert await manager.get_config() == DEFAULT_TRADING_PARAMETERS
        client.get_global_config.assert_not_awaited()
        client.connected = True
        assert (await manager.get_config())["leverage"] == 3

    async def test_error(self) -> None:
        """Where reading fails, what was read until then answers, without an exception and without being cached."""
        client = offering(get_global_config=a_config(leverage=3), get_symbol_config=RuntimeError("down"))
        manager = TradingConfigManager(client)
        found = await manager.get_config("BTCUSDT")
        assert found == {**DEFAULT_TRADING_PARAMETERS, "leverage": 3}
        assert manager._cache == {}
        client.get_symbol_config.side_effect = None
        client.get_symbol_config.return_value = a_config(leverage=4)
        assert (await manager.get_config("BTCUSDT"))["leverage"] == 4


class TestSetting:
    @every_scope
    async def test_first(
        self, scope: dict[str, str], kind: str, get: str, keep: str, forget: str, named: tuple[str, ...]
    ) -> None:
        """The first record of a scope is version 1, with an audit record that says create."""
        client = offering(**{get: None, keep: True, "add_audit_record": True})
        done, config, errors = await TradingConfigManager(client).set_config(
            {"leverage": 5}, "ops", reason="calm down", **scope
        )
        assert (done, errors) == (True, [])
        assert config is not None
        assert (config.parameters, config.version, config.created_by) == ({"leverage": 5}, 1, "ops")
        assert (config.symbol, config.side) == (scope.get("symbol"), scope.get("side"))
        assert (config.strategy_id, config.metadata) == (scope.get("strategy_id"), {})
        getattr(client, get).assert_awaited_once_with(*named)
        getattr(client, keep).assert_awaited_once_with(config)
        audit = client.add_audit_record.await_args.args[0]
        assert (audit.config_type, audit.action, audit.changed_by) == (kind, "create", "ops")
        assert (audit.symbol, audit.side) == (config.symbol, config.side)
        assert (audit.strategy_id, audit.reason) == (config.strategy_id, "calm down")
        assert (audit.parameters_before, audit.parameters_after) == (None, {"leverage": 5})
        assert (audit.version_before, audit.version_after) == (None, 1)

    @every_scope
    async def test_next(
        self, scope: dict[str, str], kind: str, get: str, keep: str, forget: str, named: tuple[str, ...]
    ) -> None:
        """The next one replaces the parameters, counts up, keeps when it was first made, and says update."""
        client = offering(**{get: a_config(4, leverage=7, max_retries=1), keep: True, "add_audit_record": True})
        done, config, _ = await TradingConfigManager(client).set_config({"leverage": 5}, changed_by="ops", **scope)
        assert done is True
        assert config is not None
        assert (config.parameters, config.version, config.created_by) == ({"leverage": 5}, 5, "ops")
        assert config.created_at == MADE < config.updated_at
        audit = client.add_audit_record.await_args.args[0]
        assert (audit.config_type, audit.action) == (kind, "update")
        assert (audit.parameters_before, audit.version_before) == ({"leverage": 7, "max_retries": 1}, 4)
        assert (audit.parameters_after, audit.version_after) == ({"leverage": 5}, 5)

    async def test_faulty(self) -> None:
        """What does not pass is refused with every fault, and the client is not asked for anything."""
        client = offering()
        answer = await TradingConfigManager(client).set_config({"leverage": 500, "nonsense": 1, "enabled": "x"}, "ops")
        assert answer == (
            False,
            None,
            [
                "leverage must be <= 125, got 500",
                "Unknown parameter: nonsense",
                "enabled must be boolean, got <class 'str'>",
            ],
        )

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            (float("nan"), "stop_loss_pct must be finite, got nan"),
            (True, "stop_loss_pct must be float, got <class 'bool'>"),
        ],
    )
    async def test_no_numbers(self, value: float, fault: str) -> None:
        """NaN and booleans are no numbers to it."""
        answer = await TradingConfigManager(offering()).set_config({"stop_loss_pct": value}, "ops")
        assert answer == (False, None, [fault])

    async def test_validate_only(self) -> None:
        """Asked only to judge, it judges and keeps nothing, also without a client."""
        for manager in (TradingConfigManager(), TradingConfigManager(offering())):
            assert await manager.set_config({"leverage": 5}, "ops", validate_only=True) == (True, None, [])
            refused = await manager.set_config({"leverage": 0}, "ops", validate_only=True)
            assert refused == (False, None, ["leverage must be >= 1, got 0"])

    @pytest.mark.parametrize(
        "client",
        [
            None,
            offering(connected=False),
            offering(get_global_config=None, set_global_config=False),
        ],
        ids=["no client", "not connected", "not kept"],
    )
    async def test_not_kept(self, client: MagicMock | None) -> None:
        """Where the record cannot be kept the answer says that saving failed, and there is no audit record."""
        answer = await TradingConfigManager(client).set_config({"leverage": 5}, "ops")
        assert answer == (False, None, ["Failed to save configuration"])

    @pytest.mark.parametrize("failing", ["get_global_config", "set_global_config", "add_audit_record"])
    async def test_error(self, failing: str) -> None:
        """Whatever the client raises is told by its text, never raised."""
        answers: dict[str, object] = {"get_global_config": None, "set_global_config": True, "add_audit_record": True}
        client = offering(**{**answers, failing: RuntimeError("store is down")})
        assert await TradingConfigManager(client).set_config({"leverage": 5}, "ops") == (False, None, ["store is down"])

    async def test_wrong_side(self) -> None:
        """A side that is none is told, and nothing is kept."""
        done, config, errors = await TradingConfigManager(offering()).set_config(
            {"leverage": 5}, "ops", "BTCUSDT", "UP"  # type: ignore[arg-type]
        )  # fmt: skip
        assert (done, config) == (False, None)
        assert "side" in errors[0]

    async def test_the_audit_is_not_asked_how_it_went(self) -> None:
        """An audit record that is not kept does not undo the change."""
        client = offering(get_global_config=None, set_global_config=True, add_audit_record=False)
        done, config, errors = await TradingConfigManager(client).set_config({"leverage": 5}, "ops")
        assert (done, errors) == (True, [])
        assert config is not None

    async def test_side_without_symbol(self) -> None:
        """A side without a symbol is stored on a global record."""
        client = offering(get_global_config=None, set_global_config=True, add_audit_record=True)
        _, config, _ = await TradingConfigManager(client).set_config({"leverage": 5}, "ops", side="LONG")
        assert config is not None
        assert (config.symbol, config.side, config.get_scope_key()) == (None, "LONG", "global")
        assert client.add_audit_record.await_args.args[0].config_type == "global"

    async def test_a_strategy_has_no_symbol(self) -> None:
        """With a strategy, symbol and side are dropped from the record."""
        client = offering(get_strategy_config=None, upsert_strategy_config=True, add_audit_record=True)
        _, config, _ = await TradingConfigManager(client).set_config(
            {"leverage": 5}, "ops", symbol="BTCUSDT", side="LONG", strategy_id="momo"
        )
        assert config is not None
        assert (config.symbol, config.side, config.strategy_id) == (None, None, "momo")


CACHED = [
    "global:all:all_strategies", "global:all:momo", "BTCUSDT:all:all_strategies", "BTCUSDT:LONG:all_strategies",
    "BTCUSDT:LONG:momo", "BTCUSDT:SHORT:all_strategies", "ETHUSDT:LONG:a:b",
]  # fmt: skip


class TestInvalidating:
    @pytest.mark.parametrize(
        ("named", "left"),
        [
            ({}, set()),
            (BTC, {0, 1, 6}),
            (BTC_LONG, {0, 1, 2, 5, 6}),
            ({"side": "LONG"}, {0, 1, 2, 5}),
            ({"strategy_id": "momo"}, {0, 2, 3, 5, 6}),
            ({"strategy_id": "a:b"}, {0, 1, 2, 3, 4, 5}),
            ({**BTC_LONG, "strategy_id": "momo"}, {0, 1, 2, 3, 5, 6}),
            ({"symbol": "BTC"}, {0, 1, 2, 3, 4, 5, 6}),
        ],
        ids=str,
    )
    def test_wildcards(self, named: dict[str, str], left: set[int]) -> None:
        """What is not named stands for any; names are compared whole."""
        manager = TradingConfigManager()
        manager._cache.update({key: ({}, time.time()) for key in CACHED})
        manager.invalidate_cache(**named)  # type: ignore[arg-type]
        assert set(manager._cache) == {CACHED[i] for i in left}

    @pytest.mark.parametrize(
        ("scope", "left"),
        [
            ({}, set()),
            ({"side": "LONG"}, set()),
            (BTC, {0, 1, 6}),
            (BTC_LONG, {0, 1, 2, 5, 6}),
            ({"strategy_id": "momo"}, {0, 2, 3, 5, 6}),
        ],
        ids=str,
    )
    async def test_after_writing(self, scope: dict[str, str], left: set[int]) -> None:
        """A write, and a deletion, drops what it can bear on: a global one everything, a strategy's that strategy."""
        for delete in (False, True):
            client = MagicMock()
            for name in ("global_config", "symbol_config", "symbol_side_config", "strategy_config"):
                setattr(client, f"get_{name}", AsyncMock(return_value=None))
                setattr(client, f"set_{name}", AsyncMock(return_value=True))
                setattr(client, f"delete_{name}", AsyncMock(return_value=True))
            client.upsert_strategy_config = AsyncMock(return_value=True)
            client.add_audit_record = AsyncMock(return_value=True)
            manager = TradingConfigManager(client)
            manager._cache.update({key: ({}, time.time()) for key in CACHED})
            if delete:
                assert await manager.delete_config("ops", **scope) == (True, [])
            else:
                assert (await manager.set_config({"leverage": 5}, "ops", **scope))[0] is True
            assert set(manager._cache) == {CACHED[i] for i in left}

    async def test_not_after_failing(self) -> None:
        """A write that was refused or failed drops nothing."""
        manager = TradingConfigManager(offering(get_global_config=None, set_global_config=False))
        manager._cache.update({key: ({}, time.time()) for key in CACHED})
        await manager.set_config({"leverage": 0}, "ops")
        await manager.set_config({"leverage": 5}, "ops")
        assert list(manager._cache) == CACHED

    async def test_even_where_the_audit_fails(self) -> None:
        """Once the record is kept the old one is not served from the cache, whatever becomes of the audit record."""
        client = offering(get_global_config=None, set_global_config=True, add_audit_record=RuntimeError("full"))
        manager = TradingConfigManager(client)
        await manager.get_config()
        assert await manager.set_config({"leverage": 5}, "ops") == (False, None, ["full"])
        assert manager._cache == {}


class TestDeleting:
    @every_scope
    async def test_delete(
        self, scope: dict[str, str], kind: str, get: str, keep: str, forget: str, named: tuple[str, ...]
    ) -> None:
        """What a scope was set to is removed, with an audit record of what it was."""
        client = offering(**{get: a_config(3, leverage=7), forget: True, "add_audit_record": True})
        assert await TradingConfigManager(client).delete_config("ops", reason="done", **scope) == (True, [])
        getattr(client, forget).assert_awaited_once_with(*named)
        audit = client.add_audit_record.await_args.args[0]
        assert (audit.config_type, audit.action, audit.changed_by, audit.reason) == (kind, "delete", "ops", "done")
        assert (audit.parameters_before, audit.version_before) == ({"leverage": 7}, 3)
        assert (audit.parameters_after, audit.version_after) == (None, None)
        assert (audit.symbol, audit.strategy_id) == (scope.get("symbol"), scope.get("strategy_id"))

    async def test_nothing_there(self) -> None:
        """Where nothing was set, nothing is written down."""
        client = offering(get_global_config=None, delete_global_config=True)
        assert await TradingConfigManager(client).delete_config("ops") == (True, [])

    @pytest.mark.parametrize(
        "client",
        [
            None,
            offering(connected=False),
            offering(get_global_config=a_config(), delete_global_config=False),
        ],
        ids=["no client", "not connected", "not deleted"],
    )
    async def test_not_deleted(self, client: MagicMock | None) -> None:
        """Where it cannot be removed the answer says that deleting failed."""
        assert await TradingConfigManager(client).delete_config("ops") == (False, ["Failed to delete configuration"])

    @pytest.mark.parametrize("failing", ["get_global_config", "delete_global_config", "add_audit_record"])
    async def test_error(self, failing: str) -> None:
        """Whatever the client raises is told by its text, never raised."""
        answers: dict[str, object] = {
            "get_global_config": a_config(), "delete_global_config": True, "add_audit_record": True,
        }  # fmt: skip
        client = offering(**{**answers, failing: RuntimeError("store is down")})
        assert await TradingConfigManager(client).delete_config("ops") == (False, ["store is down"])

    async def test_the_engines_client_deletes_no_strategy(self) -> None:
        """A client that has no method for it is named as the reason."""
        client = offering(get_strategy_config=a_config())
        done, errors = await TradingConfigManager(client).delete_config("ops", strategy_id="momo")
        assert done is False
        assert errors == ["the configuration client cannot delete what a strategy is set to"]


class TestPrevious:
    @pytest.mark.parametrize(
        ("rows", "previous"),
        [
            ([], None),
            (None, None),
            ([a_row(parameters_before={"leverage": 5}, parameters_after={"leverage": 6})], {"leverage": 5}),
            (
                [
                    a_row(parameters_before={"leverage": 5}, parameters_after={"leverage": 6}),
                    a_row(parameters_before={"leverage": 4}, parameters_after={"leverage": 1}),
                ],
                {"leverage": 5},
            ),
            ([a_row(parameters_after={"leverage": 6}), a_row(parameters_after={"leverage": 5})], {"leverage": 5}),
            (
                [
                    a_row(action="delete", parameters_before={"leverage": 6}),
                    a_row(parameters_before={"leverage": 5}, parameters_after={"leverage": 6}),
                ],
                {"leverage": 6},
            ),
            ([a_row(action="create", parameters_after={"leverage": 6})], None),
            (
                [a_row(action="create", parameters_after={"leverage": 6}), a_row(action="delete")],
                None,
            ),
        ],
    )
    async def test_rule(self, rows: list[dict[str, Json]] | None, previous: dict[str, Json] | None) -> None:
        """The newest row's ``before`` if it is an update that has one, else the second row's ``after``, else None."""
        client = offering(get_config_history=rows)
        assert await TradingConfigManager(client).get_previous_config("BTCUSDT", "LONG") == previous

    async def test_asks_for_two(self) -> None:
        """Two rows of the scope are asked for, by name."""
        rows = [a_row(parameters_before={"leverage": 5}), a_row(parameters_after={"leverage": 5})]
        client = offering(get_config_history=rows)
        await TradingConfigManager(client).get_previous_config("BTCUSDT", "LONG")
        client.get_config_history.assert_awaited_once_with(symbol="BTCUSDT", side="LONG", limit=2)

    async def test_without_client(self) -> None:
        """Without a client that is connected nothing came before."""
        assert await TradingConfigManager().get_previous_config() is None
        assert await TradingConfigManager(offering(connected=False)).get_previous_config() is None

    async def test_other_scopes_are_passed_over(self) -> None:
        """A global history that holds rows of every scope gives the last global one, never another scope's."""
        rows = [
            a_row(config_type="symbol", symbol="ETHUSDT", side=None, parameters_before={"leverage": 125}),
            a_row(config_type="strategy", symbol=None, side=None, strategy_id="x", parameters_before={"leverage": 99}),
            a_row(config_type="global", symbol=None, side=None, strategy_id=None, parameters_before={"leverage": 5}),
        ]
        client = offering(get_config_history=rows)
        assert await TradingConfigManager(client).get_previous_config() == {"leverage": 5}

    async def test_a_global_record_may_carry_a_side(self) -> None:
        """A side without a symbol means nothing: its row is one of the global scope."""
        row = a_row(config_type="global", symbol=None, side="LONG", parameters_before={"leverage": 5})
        assert await TradingConfigManager(offering(get_config_history=[row])).get_previous_config() == {"leverage": 5}

    async def test_rollbacks_that_the_engine_made(self) -> None:
        """The engine marks a rollback by its reason alone; it is passed over with the change that it undid."""
        rows = [
            a_row(reason="Rollback to previous", parameters_before={"leverage": 6}, parameters_after={"leverage": 5}),
            a_row(parameters_before={"leverage": 5}, parameters_after={"leverage": 6}),
            a_row(parameters_before={"leverage": 4}, parameters_after={"leverage": 5}),
        ]
        assert await TradingConfigManager(offering(get_config_history=rows)).get_previous_config() == {"leverage": 4}

    async def test_two_rows_are_all_there_is(self) -> None:
        """Of a rollback whose past is not told, the engine's own rule holds: what it replaced."""
        rows = [
            a_row(reason="Rollback to previous", parameters_before={"leverage": 6}, parameters_after={"leverage": 5}),
            a_row(parameters_before={"leverage": 5}, parameters_after={"leverage": 6}),
        ]
        client = offering(get_config_history=rows)
        assert await TradingConfigManager(client).get_previous_config("BTCUSDT") == {"leverage": 6}


class TestByVersion:
    @pytest.mark.parametrize(
        ("scope", "kind"), [({}, "global"), (BTC, "symbol"), (BTC_LONG, "symbol_side")], ids=["g", "s", "ss"]
    )
    async def test_found(self, scope: dict[str, str], kind: str) -> None:
        """What the change that made the version left behind, asked for by kind, symbol and side."""
        client = offering(get_audit_record_by_version={"parameters_after": {"leverage": 8}})
        manager = TradingConfigManager(client)
        assert await manager.get_config_by_version(3, **scope) == {"leverage": 8}  # type: ignore[arg-type]
        client.get_audit_record_by_version.assert_awaited_once_with(
            version=3, config_type=kind, symbol=scope.get("symbol"), side=scope.get("side")
        )

    @pytest.mark.parametrize("version", [0, -1])
    async def test_too_low(self, version: int) -> None:
        """There is no version under 1; the client is not asked."""
        assert await TradingConfigManager(offering()).get_config_by_version(version) is None

    @pytest.mark.parametrize(
        "row",
        [None, {}, {"parameters_after": None}, {"symbol": "ETHUSDT", "parameters_after": {"leverage": 1}}],
        ids=str,
    )
    async def test_not_found(self, row: dict[str, Json] | None) -> None:
        """No row, a deletion, and a row of another scope give nothing."""
        client = offering(get_audit_record_by_version=row)
        assert await TradingConfigManager(client).get_config_by_version(2, "BTCUSDT") is None
        assert await TradingConfigManager().get_config_by_version(2) is None


class TestById:
    async def test_found(self) -> None:
        """What the change with this id left behind, where symbol and side are those asked for."""
        client = offering(get_audit_record_by_id={**BTC_LONG, "parameters_after": {"leverage": 8}})
        assert await TradingConfigManager(client).get_config_by_id("a1", "BTCUSDT", "LONG") == {"leverage": 8}
        client.get_audit_record_by_id.assert_awaited_once_with("a1")

    @pytest.mark.parametrize(
        "row",
        [
            None,
            {"symbol": "BTCUSDT", "parameters_after": {"leverage": 8}},
            {"symbol": "BTCUSDT", "side": "SHORT", "parameters_after": {"leverage": 8}},
            {"symbol": "ETHUSDT", "side": "LONG", "parameters_after": {"leverage": 8}},
            {"parameters_after": {"leverage": 8}},
            {**BTC_LONG, "strategy_id": "momo", "parameters_after": {"leverage": 8}},
            {**BTC_LONG, "parameters_after": None},
        ],
        ids=str,
    )
    async def test_not_found(self, row: dict[str, Json] | None) -> None:
        """A record of any other symbol, side or strategy, or of a deletion, gives nothing."""
        client = offering(get_audit_record_by_id=row)
        assert await TradingConfigManager(client).get_config_by_id("a1", "BTCUSDT", "LONG") is None
        assert await TradingConfigManager().get_config_by_id("a1") is None

    async def test_a_strategys_record_is_not_global(self) -> None:
        """A strategy's record has neither symbol nor side, and is not taken for a global one."""
        row = {"config_type": "strategy", "strategy_id": "momo", "parameters_after": {"leverage": 8}}
        manager = TradingConfigManager(offering(get_audit_record_by_id=row))
        assert await manager.get_config_by_id("a1") is None
        assert await manager.get_config_by_id("a1", strategy_id="momo") == {"leverage": 8}


def writable(**answers: object) -> MagicMock:
    """A client that can set the BTCUSDT scope, which is at version 6."""
    return offering(
        get_symbol_config=a_config(6, leverage=60), set_symbol_config=True, add_audit_record=True, **answers
    )


HISTORY = [a_row(parameters_before={"leverage": 5}, parameters_after={"leverage": 60})]


class TestRollingBack:
    @pytest.mark.parametrize(
        ("answers", "wanted", "reason"),
        [
            ({"get_config_history": HISTORY}, {}, "Rollback to previous"),
            (
                {"get_audit_record_by_version": {"parameters_after": {"leverage": 5}}},
                {"target_version": 2},
                "Rollback to version 2",
            ),
            (
                {"get_audit_record_by_id": {**BTC, "parameters_after": {"leverage": 5}}},
                {"rollback_id": "a1"},
                "Rollback to ID a1",
            ),
            (
                {"get_audit_record_by_id": {**BTC, "parameters_after": {"leverage": 5}}},
                {"rollback_id": "a1", "target_version": 2},
                "Rollback to ID a1",
            ),
        ],
        ids=["previous", "version", "id", "id over version"],
    )
    async def test_rollback(self, answers: dict[str, object], wanted: dict[str, object], reason: str) -> None:
        """The old parameters are a new, higher version, with an update in the audit that says what it went back to."""
        client = writable(**answers)
        done, config, errors = await TradingConfigManager(client).rollback_config(
            "ops", "BTCUSDT", **wanted  # type: ignore[arg-type]
        )  # fmt: skip
        assert (done, errors) == (True, [])
        assert config is not None
        assert (config.parameters, config.version, config.created_by) == ({"leverage": 5}, 7, "ops")
        audit = client.add_audit_record.await_args.args[0]
        assert (audit.action, audit.reason, audit.version_after) == ("update", reason, 7)

    async def test_a_reason_of_its_own(self) -> None:
        """A reason that is given stands in the audit record instead."""
        client = writable(get_config_history=HISTORY)
        await TradingConfigManager(client).rollback_config("ops", "BTCUSDT", reason="bad fills")
        assert client.add_audit_record.await_args.args[0].reason == "bad fills"

    async def test_goes_through_setting(self) -> None:
        """It sets the old parameters as anyone would, by keyword, and answers what setting answers."""
        manager = TradingConfigManager(offering(get_config_history=HISTORY))
        answer = (False, None, ["refused"])
        manager.set_config = AsyncMock(return_value=answer)  # type: ignore[method-assign]
        assert await manager.rollback_config(changed_by="ops", symbol="BTCUSDT", side="LONG") == answer
        manager.set_config.assert_awaited_once_with(
            parameters={"leverage": 5}, changed_by="ops", symbol="BTCUSDT", side="LONG", reason="Rollback to previous"
        )

    @pytest.mark.parametrize(
        ("answers", "wanted", "words"),
        [
            ({"get_config_history": []}, {}, ["No previous configuration found for BTCUSDT"]),
            ({"get_audit_record_by_version": None}, {"target_version": 9}, ["Version 9 not found for scope BTCUSDT"]),
            ({"get_audit_record_by_id": None}, {"rollback_id": "a1"}, ["a1", "not found", "BTCUSDT"]),
            ({"get_audit_record_by_id": {"symbol": "ETHUSDT"}}, {"rollback_id": "a1"}, ["a1", "not found", "BTCUSDT"]),
            ({}, {"target_version": 0}, ["Invalid version number (must be >= 1)"]),
            ({}, {"target_version": -3}, ["Invalid version number (must be >= 1)"]),
        ],
    )
    async def test_nothing_to_go_back_to(
        self, answers: dict[str, object], wanted: dict[str, object], words: list[str]
    ) -> None:
        """What is not there is told, with the scope and what was asked for; nothing is set."""
        done, config, errors = await TradingConfigManager(offering(**answers)).rollback_config(
            "ops", "BTCUSDT", **wanted  # type: ignore[arg-type]
        )  # fmt: skip
        assert (done, config, len(errors)) == (False, None, 1)
        assert [word for word in words if word not in errors[0]] == []

    async def test_scopes_in_errors(self) -> None:
        """An error names the scope: global, a symbol, a side of it, or a strategy."""
        manager = TradingConfigManager(offering(get_config_history=[]))
        told = [
            (await manager.rollback_config("ops", **scope))[2][0]  # type: ignore[arg-type]
            for scope in ({}, BTC, BTC_LONG, {"strategy_id": "momo"})
        ]
        ends = ("global", "BTCUSDT", "BTCUSDT:LONG", "strategy momo")
        assert told == [f"No previous configuration found for {end}" for end in ends]

    async def test_old_parameters_are_judged_anew(self) -> None:
        """What was valid once and is no more is refused, with its faults."""
        client = offering(get_audit_record_by_version={"parameters_after": {"leverage": 500}})
        answer = await TradingConfigManager(client).rollback_config("ops", "BTCUSDT", target_version=1)
        assert answer == (False, None, ["leverage must be <= 125, got 500"])

    @pytest.mark.parametrize(
        ("answer", "wanted"),
        [
            ("get_config_history", {}),
            ("get_audit_record_by_version", {"target_version": 1}),
            ("get_audit_record_by_id", {"rollback_id": "a1"}),
        ],
    )
    async def test_error(self, answer: str, wanted: dict[str, object]) -> None:
        """Whatever the client raises is told by its text, never raised."""
        client = offering(**{answer: RuntimeError("store is down")})
        told = await TradingConfigManager(client).rollback_config("ops", **wanted)  # type: ignore[arg-type]
        assert told == (False, None, ["store is down"])

    async def test_without_client(self) -> None:
        """Without a client nothing came before."""
        done, config, errors = await TradingConfigManager().rollback_config("ops")
        assert (done, config, errors) == (False, None, ["No previous configuration found for global"])

    async def test_a_strategy_is_named_to_the_client(self) -> None:
        """A strategy's history, versions and records are asked for by its id; others never hear of the argument."""
        row = {"config_type": "strategy", "strategy_id": "momo", "parameters_after": {"leverage": 5}}
        client = offering(
            get_config_history=[{**row, "action": "update", "parameters_before": {"leverage": 4}}],
            get_audit_record_by_version=row, get_audit_record_by_id=row, get_strategy_config=a_config(2, leverage=9),
            upsert_strategy_config=True, add_audit_record=True,
        )  # fmt: skip
        manager = TradingConfigManager(client)
        for wanted, leverage in (({}, 4), ({"target_version": 1}, 5), ({"rollback_id": "a1"}, 5)):
            done, config, errors = await manager.rollback_config("ops", strategy_id="momo", **wanted)  # type: ignore[arg-type]
            assert (done, errors) == (True, [])
            assert config is not None
            assert (config.parameters, config.strategy_id) == ({"leverage": leverage}, "momo")
        client.get_config_history.assert_awaited_once_with(symbol=None, side=None, limit=2, strategy_id="momo")
        client.get_audit_record_by_version.assert_awaited_once_with(
            version=1, config_type="strategy", symbol=None, side=None, strategy_id="momo"
        )
