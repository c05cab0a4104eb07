"""The execution engine's own contracts, as it declares them: its signal, and the records of its configuration.

They are kept to the letter of the engine (fleet facts §2.5 and §4.8), so that what is written for it runs on us:
lenient where it is lenient (text becomes a number, unknown fields are ignored), mutable, and stamped with the present
where no time is given. Nothing of the Nurse's judgement reads them; its own, strict words are in `models`.

That default is the one place under ``apps`` that reads a clock. A model that can be made without a time has to take it
from somewhere, and the engine's models can; a house test holds this exception to this file and to these defaults.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  see the module's docstring


def _utc(moment: datetime) -> datetime:
    """``moment`` in UTC; one without an offset is taken to be in UTC already, as the engine takes it."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _moment_or_now(value: object) -> object:
    # The engine takes null, an empty text and 0 for no timestamp at all.
    return value or _now()


Moment = Annotated[datetime, AfterValidator(_utc)]
"""An aware date and time in UTC."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
PositionSide = Literal["LONG", "SHORT"]


class SignalType(StrEnum):
    """The engine's older name for what a signal asks for; ``action`` says it now."""

    BUY = "buy"
    SELL = "sell"
    HOLD = "hold"
    CLOSE = "close"


class SignalStrength(StrEnum):
    """How strong a strategy holds its signal to be."""

    WEAK = "weak"
    MEDIUM = "medium"
    STRONG = "strong"
    EXTREME = "extreme"


class StrategyMode(StrEnum):
    """What kind of strategy a signal comes from; the engine has rules of its own for each."""

    DETERMINISTIC = "deterministic"
    ML_LIGHT = "ml_light"
    LLM_REASONING = "llm_reasoning"


class OrderType(StrEnum):
    """Types of order that a signal may ask for."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_LIMIT = "take_profit_limit"
    CONDITIONAL_LIMIT = "conditional_limit"
    CONDITIONAL_STOP = "conditional_stop"


class TimeInForce(StrEnum):
    """How long a resting order stays in the market."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"


class Signal(BaseModel):
    """A signal as the engine reads it. Prices in quote currency, quantities in base asset, ``*_pct`` as fractions.

    Signs of prices and quantities are not checked, and ``source`` is any text: what we send is held to the stricter
    `petrosa_cio.apps.nurse.models.PromotedSignal`.
    """

    strategy_id: str
    symbol: str
    action: Literal["buy", "sell", "hold", "close"]
    confidence: Share
    price: Number
    quantity: Number
    current_price: Number
    source: str
    strategy: str
    id: str | None = None
    signal_id: str | None = None
    decision_id: str | None = None
    strategy_mode: StrategyMode = StrategyMode.DETERMINISTIC
    signal_type: SignalType | None = None
    strength: SignalStrength = SignalStrength.MEDIUM
    target_price: Number | None = None
    quote_quantity: Number | None = None
    position_size_pct: Share | None = None
    timeframe: str = "1h"
    order_type: OrderType = OrderType.MARKET
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_loss: Number | None = None
    take_profit: Number | None = None
    stop_loss_pct: Share | None = None
    take_profit_pct: Share | None = None
    conditional_price: Number | None = None
    conditional_direction: Literal["above", "below"] | None = None
    conditional_timeout: int | None = None
    iceberg_quantity: Number | None = None
    client_order_id: str | None = None
    model_confidence: Share | None = None
    model_features: dict[str, JsonValue] | None = None
    llm_reasoning: str | None = None
    llm_alternatives: list[JsonValue] | None = None
    indicators: dict[str, JsonValue] | None = None
    rationale: str | None = None
    timestamp: Annotated[Moment, BeforeValidator(_moment_or_now)] = Field(default_factory=_now)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    meta: dict[str, JsonValue] = Field(default_factory=dict)


class TradingConfig(BaseModel):
    """The parameters of one scope: everything, a symbol, a side of a symbol, or a strategy.

    A side that comes without a symbol is kept and means nothing: the record is a global one.
    """

    id: str | None = None
    strategy_id: str | None = None
    symbol: str | None = None
    side: PositionSide | None = None
    parameters: dict[str, JsonValue]
    version: int = 1
    """1, 2, 3, ... within the scope, from 1 again after it was deleted."""
    created_at: Moment = Field(default_factory=_now)
    updated_at: Moment = Field(default_factory=_now)
    created_by: str
    """Who wrote this version, not the first one."""
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    def get_scope_key(self) -> str:
        """``SYMBOL:SIDE``, ``SYMBOL`` or ``global``; a strategy is not told, as the engine does not."""
        if not self.symbol:
            return "global"
        return f"{self.symbol}:{self.side}" if self.side else self.symbol


class TradingConfigAudit(BaseModel):
    """One change of one scope: who, when, why, and the scope's parameters before and after (null where absent)."""

    id: str | None = None
    config_type: Literal["global", "symbol", "symbol_side", "strategy"]
    symbol: str | None = None
    side: PositionSide | None = None
    strategy_id: str | None = None
    action: Literal["create", "update", "delete"]
    parameters_before: dict[str, JsonValue] | None = None
    parameters_after: dict[str, JsonValue] | None = None
    version_before: int | None = None
    version_after: int | None = None
    changed_by: str
    reason: str | None = None
    timestamp: Moment = Field(default_factory=_now)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    def get_change_summary(self) -> str:
        """The change in a line, such as ``UPDATE BTCUSDT-LONG by WHO`` or ``CREATE strategy ID by WHO``."""
        side = f"-{self.side}" if self.side else ""
        where = f"strategy {self.strategy_id}" if self.strategy_id else f"{self.symbol or 'global'}{side}"
        return f"{self.action.upper()} {where} by {self.changed_by}"


class LeverageStatus(BaseModel):
    """The leverage that is configured for a symbol, and what the exchange was last known to have (whole multiples)."""

    id: str | None = None
    symbol: str
    configured_leverage: Annotated[int, Field(ge=1, le=125)]
    actual_leverage: Annotated[int, Field(ge=1, le=125)] | None = None
    last_sync_at: Moment | None = None
    last_sync_success: bool = False
    last_sync_error: str | None = None
    updated_at: Moment = Field(default_factory=_now)

    def is_synced(self) -> bool:
        """Whether the exchange is known to have what is configured."""
        return self.actual_leverage is not None and self.actual_leverage == self.configured_leverage

    def needs_sync(self) -> bool:
        """Whether the exchange is not known to have what is configured."""
        return not self.is_synced()
