"""The engine's contracts: fields, defaults and bounds as fleet facts §2 and §4.8 have them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, get_args

import pytest
from pydantic import BaseModel, ValidationError

from builders import NO_SHARED, SHARED
from petrosa_cio.apps.nurse.models import (
    Intent,
    LeverageStatus,
    OrderType,
    Signal,
    SignalStrength,
    SignalType,
    StrategyMode,
    TimeInForce,
    TradingConfig,
    TradingConfigAudit,
)

if TYPE_CHECKING:
    from enum import StrEnum

REQUIRED = {
    "strategy_id": "momo", "symbol": "BTCUSDT", "action": "buy", "confidence": 0.7, "price": 100.0, "quantity": 1.0,
    "current_price": 100.0, "source": "petrosa-cio", "strategy": "momo",
}  # fmt: skip


def required(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if field.is_required()}


def fresh(moment: datetime) -> bool:
    """Whether ``moment`` is aware, in UTC, and the present."""
    return moment.utcoffset() == timedelta(0) and abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


class TestWords:
    @pytest.mark.parametrize(
        ("words", "values"),
        [
            (SignalType, "buy sell hold close"),
            (SignalStrength, "weak medium strong extreme"),
            (StrategyMode, "deterministic ml_light llm_reasoning"),
            (TimeInForce, "GTC IOC FOK GTX"),
            (
                OrderType,
                "market limit stop stop_limit take_profit take_profit_limit conditional_limit conditional_stop",
            ),
        ],
    )
    def test_values(self, words: type[StrEnum], values: str) -> None:
        """The words are the fleet's; each is text, and its name is the word in upper case."""
        assert [word.value for word in words] == values.split()
        assert all(word.name == word.value.upper() == str(word).upper() for word in words)

    def test_the_words_of_an_intent_are_the_same(self) -> None:
        """An intent may say whatever the engine's signal may say, and nothing else."""
        for field, words in {
            "strategy_mode": StrategyMode, "strength": SignalStrength, "order_type": OrderType,
            "time_in_force": TimeInForce, "action": SignalType,
        }.items():  # fmt: skip
            assert set(get_args(Intent.model_fields[field].annotation)) == {word.value for word in words}


class TestSignal:
    def test_required(self) -> None:
        """Nine fields are required, no more and no fewer."""
        assert required(Signal) == set(REQUIRED)
        for name in REQUIRED:
            with pytest.raises(ValidationError):
                Signal.model_validate({key: value for key, value in REQUIRED.items() if key != name})

    def test_defaults(self) -> None:
        """What is not said is the fleet's default."""
        signal = Signal.model_validate(REQUIRED)
        assert (signal.strategy_mode, signal.strength) == (StrategyMode.DETERMINISTIC, SignalStrength.MEDIUM)
        assert (signal.order_type, signal.time_in_force) == (OrderType.MARKET, TimeInForce.GTC)
        assert (signal.timeframe, signal.metadata, signal.meta) == ("1h", {}, {})
        assert signal.signal_type is signal.stop_loss is signal.position_size_pct is None

    @pytest.mark.parametrize("given", [None, "", 0])
    def test_no_timestamp_is_now(self, given: object) -> None:
        """A timestamp that is missing, null, empty or 0 is the present."""
        assert fresh(Signal.model_validate(REQUIRED).timestamp)
        assert fresh(Signal.model_validate({**REQUIRED, "timestamp": given}).timestamp)

    @pytest.mark.parametrize(
        "given",
        [
            "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00", "2026-01-01T02:00:00+02:00",
            1767225600, "1767225600",
        ],
    )  # fmt: skip
    def test_timestamps(self, given: object) -> None:
        """Whatever form a time is given in, it is kept in UTC; without an offset it is UTC already."""
        signal = Signal.model_validate({**REQUIRED, "timestamp": given})
        assert signal.timestamp == datetime(2026, 1, 1, tzinfo=UTC)
        assert signal.timestamp.utcoffset() == timedelta(0)

    @pytest.mark.parametrize(
        "change",
        [
            {"action": "BUY"}, {"action": "long"}, {"confidence": 1.1}, {"confidence": -0.1}, {"stop_loss_pct": 2.0},
            {"take_profit_pct": 5.0}, {"position_size_pct": 1.5}, {"order_type": None}, {"order_type": "MARKET"},
            {"metadata": None}, {"strategy_mode": "random"}, {"price": None}, {"price": "nan"}, {"quantity": "inf"},
            {"conditional_direction": "up"}, {"timestamp": "soon"},
        ],
        ids=str,
    )  # fmt: skip
    def test_refused(self, change: dict[str, object]) -> None:
        """Words outside the vocabulary, shares outside 0..1, null where there is a default, and NaN are refused."""
        with pytest.raises(ValidationError):
            Signal.model_validate({**REQUIRED, **change})

    def test_lenient(self) -> None:
        """Text becomes a number, signs are not looked at, fields the engine does not know are ignored."""
        signal = Signal.model_validate({**REQUIRED, "price": "100.5", "quantity": -1, "intent_id": "x"})
        assert (signal.price, signal.quantity) == (100.5, -1.0)
        assert "intent_id" not in signal.model_dump()

    @pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
    def test_what_producers_send(self) -> None:
        """All six samples made by the producers' own code are signals to the engine."""
        samples = json.loads((SHARED / "design" / "sample_payloads.json").read_text())
        found = [fields for group in samples.values() if isinstance(group, list) for fields in group]
        payloads = [fields.get("payload", fields) for fields in found]
        assert len(payloads) == 6
        for payload in payloads:
            assert Signal.model_validate(payload).strategy_id == payload["strategy_id"]


class TestTradingConfig:
    def test_defaults(self) -> None:
        """Parameters and author are required; the rest is the first version of a global record, made now."""
        config = TradingConfig(parameters={"leverage": 5}, created_by="ops")
        assert required(TradingConfig) == {"parameters", "created_by"}
        assert (config.id, config.strategy_id, config.symbol, config.side) == (None, None, None, None)
        assert (config.version, config.metadata) == (1, {})
        assert fresh(config.created_at)
        assert fresh(config.updated_at)

    @pytest.mark.parametrize("side", ["long", "BUY", "BOTH", ""])
    def test_sides(self, side: str) -> None:
        """A side is LONG, SHORT or none."""
        with pytest.raises(ValueError, match="side"):
            TradingConfig.model_validate({"parameters": {}, "created_by": "ops", "side": side})
        for good in ("LONG", "SHORT", None):
            config = TradingConfig.model_validate({"parameters": {}, "created_by": "ops", "side": good})
            assert config.side == good

    @pytest.mark.parametrize(
        ("fields", "key"),
        [
            ({}, "global"), ({"symbol": "BTCUSDT"}, "BTCUSDT"), ({"symbol": "BTCUSDT", "side": "LONG"}, "BTCUSDT:LONG"),
            ({"side": "LONG"}, "global"), ({"strategy_id": "momo"}, "global"),
        ],
    )  # fmt: skip
    def test_scope_key(self, fields: dict[str, str], key: str) -> None:
        """The key names symbol and side; it says nothing of a strategy."""
        config = TradingConfig.model_validate({"parameters": {}, "created_by": "ops", **fields})
        assert config.get_scope_key() == key

    def test_times_are_in_utc(self) -> None:
        """A time without an offset is taken as UTC, one with another offset is turned into it: the instant stays."""
        made = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
        config = TradingConfig(parameters={}, created_by="ops", created_at=made, updated_at=datetime(2026, 1, 1))  # noqa: DTZ001
        assert config.created_at == config.updated_at == datetime(2026, 1, 1, tzinfo=UTC)
        assert config.created_at.utcoffset() == config.updated_at.utcoffset() == timedelta(0)

    def test_round_trip(self) -> None:
        """What was written as JSON reads back equal."""
        config = TradingConfig(
            symbol="BTCUSDT", side="SHORT", parameters={"strategy_weights": {"a": 1.5}}, created_by="o"
        )
        assert TradingConfig.model_validate_json(config.model_dump_json()) == config

    def test_parameters_are_its_own(self) -> None:
        """A record does not change when the map it was made from does, however deep."""
        weights: dict[str, float] = {"a": 1.0}
        config = TradingConfig(parameters={"strategy_weights": weights}, created_by="ops")
        weights["a"] = 9.0
        assert config.parameters == {"strategy_weights": {"a": 1.0}}


class TestTradingConfigAudit:
    def test_defaults(self) -> None:
        """Kind, action and author are required; the rest is null, empty or now."""
        audit = TradingConfigAudit(config_type="global", action="create", changed_by="ops")
        assert required(TradingConfigAudit) == {"config_type", "action", "changed_by"}
        absent = audit.model_dump(exclude={"config_type", "action", "changed_by", "timestamp", "metadata"})
        assert set(absent.values()) == {None}
        assert audit.metadata == {}
        assert fresh(audit.timestamp)

    @pytest.mark.parametrize("kind", ["global", "symbol", "symbol_side", "strategy"])
    @pytest.mark.parametrize("action", ["create", "update", "delete"])
    def test_words(self, kind: str, action: str) -> None:
        """Four kinds of scope and three actions, and no others."""
        fields = {"config_type": kind, "action": action, "changed_by": "ops"}
        assert TradingConfigAudit.model_validate(fields).action == action
        for wrong in ({"config_type": "side"}, {"action": "rollback"}):
            with pytest.raises(ValidationError):
                TradingConfigAudit.model_validate({**fields, **wrong})

    @pytest.mark.parametrize(
        ("fields", "summary"),
        [
            ({"config_type": "global", "action": "create"}, "CREATE global by ops"),
            ({"config_type": "symbol", "action": "update", "symbol": "BTCUSDT"}, "UPDATE BTCUSDT by ops"),
            (
                {"config_type": "symbol_side", "action": "delete", "symbol": "BTCUSDT", "side": "LONG"},
                "DELETE BTCUSDT-LONG by ops",
            ),
            ({"config_type": "strategy", "action": "update", "strategy_id": "momo"}, "UPDATE strategy momo by ops"),
        ],
    )
    def test_summary(self, fields: dict[str, str], summary: str) -> None:
        """A change in a line: what was done, to what, by whom."""
        assert TradingConfigAudit.model_validate({**fields, "changed_by": "ops"}).get_change_summary() == summary


class TestLeverageStatus:
    def test_defaults(self) -> None:
        """Symbol and configured leverage are required; nothing is known of the exchange."""
        status = LeverageStatus(symbol="BTCUSDT", configured_leverage=10)
        assert required(LeverageStatus) == {"symbol", "configured_leverage"}
        assert (status.actual_leverage, status.last_sync_at, status.last_sync_success) == (None, None, False)
        assert fresh(status.updated_at)

    @pytest.mark.parametrize(("actual", "synced"), [(None, False), (10, True), (9, False)])
    def test_synced(self, actual: int | None, synced: bool) -> None:
        """Synced means known and equal; else it needs to be synced."""
        status = LeverageStatus(symbol="BTCUSDT", configured_leverage=10, actual_leverage=actual)
        assert (status.is_synced(), status.needs_sync()) == (synced, not synced)

    @pytest.mark.parametrize("leverage", [0, 126, -1])
    def test_bounds(self, leverage: int) -> None:
        """Leverage lies in 1..125, both included."""
        for field in ("configured_leverage", "actual_leverage"):
            fields = {"symbol": "BTCUSDT", "configured_leverage": 1, field: leverage}
            with pytest.raises(ValidationError):
                LeverageStatus.model_validate(fields)
        assert LeverageStatus(symbol="BTCUSDT", configured_leverage=1, actual_leverage=125).needs_sync()
