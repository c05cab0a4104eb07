"""Sample strategies, so that a newcomer sees intents flow. They are not advice and not meant to earn anything.

Each is fed bars and answers with an intent body in the shape that bot-ta-analysis sends, or None. Each supposes that
what it sent was done. `Careless` is bad on purpose, so that refusals are seen too.
"""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from datetime import datetime

SUBJECT: str = "cio.intent.trading"
"""Intents go to this subject, followed by a dot and the strategy id."""

SOURCE: str = "petrosa-cio-sample"

IntentBody: TypeAlias = dict[str, object]
"""An intent as it is written to the wire, before JSON."""

Action: TypeAlias = Literal["buy", "sell", "hold", "close"]

_LOOKBACK = 30
_STALE = timedelta(minutes=10)
_REWARD_TO_RISK = 2.0
# Stops are this many mean ranges away, within bounds that a default policy finds sane.
_STOP_RANGES, _NEAREST_STOP, _FARTHEST_STOP = 3.0, 0.005, 0.03


class Candle(Protocol):
    """What a sample needs to know of a bar: times in ms since the Unix epoch, prices in quote currency."""

    @property
    def symbol(self) -> str:
        """Exchange symbol."""

    @property
    def open_time_ms(self) -> int:
        """When the bar opens; one that comes again with the same value is a newer form of the same bar."""

    @property
    def close_time_ms(self) -> int:
        """When the bar closes, inclusive."""

    @property
    def high(self) -> float:
        """Highest price."""

    @property
    def low(self) -> float:
        """Lowest price."""

    @property
    def close(self) -> float:
        """Last price."""


class Klines(Protocol):
    """A market: bars of some symbols, in order for each symbol, history first."""

    def bars(self) -> AsyncGenerator[Candle, None]:
        """The bars, without end."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a strategy wants now, with the figures that moved it."""

    action: Action
    confidence: float
    indicators: dict[str, float | str] = field(default_factory=dict)


class Sample(ABC):
    """One strategy over all symbols. Not thread-safe; keeps the last 30 bars of each symbol."""

    strategy_id: ClassVar[str]

    rest: ClassVar[int]
    """Forms of a bar that pass between two intents on one symbol, at least."""

    def __init__(self) -> None:
        self._windows: dict[str, deque[Candle]] = {}
        self._held: dict[str, Action] = {}
        self._rested: dict[str, int] = {}

    def warm(self, bar: Candle) -> None:
        """Learn a bar of the past: no intent can come of it."""
        window = self._windows.setdefault(bar.symbol, deque(maxlen=_LOOKBACK))
        if window and window[-1].open_time_ms == bar.open_time_ms:
            window.pop()
        window.append(bar)

    def on_bar(self, bar: Candle, at: datetime) -> IntentBody | None:
        """Learn a bar; return the intent that comes of it at the instant ``at`` (with time zone), or None."""
        self.warm(bar)
        window = self._windows[bar.symbol]
        rested = self._rested.get(bar.symbol, self.rest) + 1
        self._rested[bar.symbol] = rested
        if len(window) < _LOOKBACK or rested <= self.rest:
            return None
        wish = self._wish(tuple(window), self._held.get(bar.symbol))
        if wish is None:
            return None
        self._rested[bar.symbol] = 0
        self._suppose_done(bar.symbol, wish.action)
        return self._intent(tuple(window), wish, at)

    @abstractmethod
    def _wish(self, window: Sequence[Candle], held: Action | None) -> Wish | None:
        """What to do, given the last bars (oldest first) and the entry that is open, ``buy`` or ``sell``, if any."""

    def _suppose_done(self, symbol: str, action: Action) -> None:
        if action == "close":
            self._held.pop(symbol, None)
        elif action != "hold":
            self._held[symbol] = action

    def _intent(self, window: Sequence[Candle], wish: Wish, at: datetime) -> IntentBody:
        return intent(self.strategy_id, window, wish, at)


def intent(strategy_id: str, window: Sequence[Candle], wish: Wish, at: datetime) -> IntentBody:
    """Return the intent body for ``wish``: every field that bot-ta-analysis sends, entries with stop and target.

    ``window`` is the last bars of one symbol, oldest first; its last close is the price. ``at`` has a time zone.
    """
    price = window[-1].close
    stop, target = _barriers(window, wish.action)
    barriers = {} if stop is None else {"stop_loss": stop, "take_profit": target, "risk_reward_ratio": _REWARD_TO_RISK}
    return {
        "strategy_id": strategy_id,
        "symbol": window[-1].symbol,
        "action": wish.action,
        "confidence": round(wish.confidence, 3),
        "current_price": price,
        "price": price,
        "strategy_mode": "deterministic",
        "strength": "medium",
        "quantity": 0.0,
        "source": SOURCE,
        "strategy": strategy_id,
        "metadata": wish.indicators | barriers,
        "timeframe": "1m",
        "order_type": "market",
        "time_in_force": "GTC",
        "position_size_pct": None,
        "stop_loss": stop,
        "stop_loss_pct": None,
        "take_profit": target,
        "take_profit_pct": None,
        "timestamp": at.isoformat(timespec="microseconds"),
        "recommended_leverage": None,
        "intent_id": uuid4().hex,
        "signal_id": None,
        "_otel_trace_headers": {"traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"},
    }


def _barriers(window: Sequence[Candle], action: Action) -> tuple[float | None, float | None]:
    """Return stop and target as prices; none for what is no entry."""
    if action not in ("buy", "sell"):
        return None, None
    price = window[-1].close
    mean_range = fmean((bar.high - bar.low) / bar.close for bar in window)
    risk = min(max(_STOP_RANGES * mean_range, _NEAREST_STOP), _FARTHEST_STOP) * (1 if action == "buy" else -1)
    return _quoted(price * (1 - risk)), _quoted(price * (1 + _REWARD_TO_RISK * risk))


def _quoted(price: float) -> float:
    """Return ``price`` to seven significant digits: fine enough for every symbol, readable for a person."""
    return float(f"{price:.7g}")


def _certainty(strength: float) -> float:
    """Return a confidence from 0.6 to 0.95 that grows with ``strength``, which is 0 at the threshold of acting."""
    return 0.95 - 0.35 / (1 + max(strength, 0.0))


def _ema(values: Sequence[float], span: int) -> float:
    weight = 2 / (span + 1)
    average = values[0]
    for value in values[1:]:
        average += weight * (value - average)
    return average


class Momentum(Sample):
    """Follows the trend: enters with the fast average beyond the slow one, leaves when they cross back."""

    strategy_id = "sample_momentum"
    rest = 5

    def _wish(self, window: Sequence[Candle], held: Action | None) -> Wish | None:
        closes = [bar.close for bar in window]
        fast, slow = _ema(closes, 4), _ema(closes, 12)
        noise = fmean(bar.high - bar.low for bar in window) or 1.0
        gap = (fast - slow) / noise
        indicators: dict[str, float | str] = {"ema_fast": _quoted(fast), "ema_slow": _quoted(slow)}
        if held is not None:
            faded = gap < 0 if held == "buy" else gap > 0
            return Wish("close", 0.7, indicators) if faded else None
        if abs(gap) < 0.3:
            return None
        return Wish("buy" if gap > 0 else "sell", _certainty(abs(gap) - 0.3), indicators)


class Reversion(Sample):
    """Bets on the mean: enters against a close far from it, leaves when the close is back."""

    strategy_id = "sample_reversion"
    rest = 5

    def _wish(self, window: Sequence[Candle], held: Action | None) -> Wish | None:
        closes = [bar.close for bar in window]
        deviation = pstdev(closes)
        if deviation == 0:
            return None
        score = (closes[-1] - fmean(closes)) / deviation
        indicators: dict[str, float | str] = {"z_score": round(score, 3)}
        if held is not None:
            back = score > -0.3 if held == "buy" else score < 0.3
            return Wish("close", 0.7, indicators) if back else None
        if abs(score) < 1.6:
            return None
        return Wish("sell" if score > 0 else "buy", _certainty(abs(score) - 1.6), indicators)


class Breakout(Sample):
    """Waits for the price to leave its range; says ``hold`` while the range is narrow, leaves at its middle."""

    strategy_id = "sample_breakout"
    rest = 7

    def _wish(self, window: Sequence[Candle], held: Action | None) -> Wish | None:
        earlier, price = window[-16:-1], window[-1].close
        top, bottom = max(bar.high for bar in earlier), min(bar.low for bar in earlier)
        middle = (top + bottom) / 2
        indicators: dict[str, float | str] = {"range_high": top, "range_low": bottom}
        if held is not None:
            failed = price < middle if held == "buy" else price > middle
            return Wish("close", 0.7, indicators) if failed else None
        if price > top:
            return Wish("buy", _certainty((price - top) / top * 1000), indicators)
        if price < bottom:
            return Wish("sell", _certainty((bottom - price) / bottom * 1000), indicators)
        if (top - bottom) / middle < 0.003:
            return Wish("hold", 0.6, indicators | {"why": "narrow range"})
        return None


class Careless(Sample):
    """Bad on purpose: buys and sells at random, and every other intent has a fault, which ``metadata`` names."""

    strategy_id = "sample_careless"
    rest = 3

    FAULTS: ClassVar[tuple[str, ...]] = ("stop_wrong_side", "low_confidence", "stale_timestamp")

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self._random = random.Random(seed)  # noqa: S311  a sample, no secret
        self._faults = cycle([item for fault in self.FAULTS for item in (fault, "")])

    def _wish(self, window: Sequence[Candle], held: Action | None) -> Wish | None:  # noqa: ARG002  it does not look
        if self._random.random() > 0.1:
            return None
        return Wish(self._random.choice(("buy", "sell")), self._random.uniform(0.6, 0.9))

    def _intent(self, window: Sequence[Candle], wish: Wish, at: datetime) -> IntentBody:
        fault = next(self._faults)
        metadata: dict[str, float | str] = {"fault": fault} if fault else {}
        confidence = 0.15 if fault == "low_confidence" else wish.confidence
        when = at - _STALE if fault == "stale_timestamp" else at
        body = super()._intent(window, Wish(wish.action, confidence, metadata), when)
        if fault == "stop_wrong_side":
            body["stop_loss"], body["take_profit"] = body["take_profit"], body["stop_loss"]
        return body


def samples() -> tuple[Sample, ...]:
    """Return one of each sample strategy, fresh."""
    return Momentum(), Reversion(), Breakout(), Careless()


async def run_samples(
    klines: Klines, publish: Callable[[str, bytes], Awaitable[None]], now: Callable[[], datetime]
) -> None:
    """Feed the market to fresh samples and publish what they want to ``cio.intent.trading.<strategy_id>``.

    Bars that had closed when this began only warm the samples. Runs until the market ends or fails, or the task is
    cancelled; what ``publish`` and the market raise goes through. ``now`` tells the time with its zone.
    """
    strategies = samples()
    began_ms = now().timestamp() * 1000
    async with aclosing(klines.bars()) as bars:
        async for bar in bars:
            for strategy in strategies:
                if bar.close_time_ms < began_ms:
                    strategy.warm(bar)
                elif body := strategy.on_bar(bar, now()):
                    text = json.dumps(body, allow_nan=False, separators=(",", ":"))
                    await publish(f"{SUBJECT}.{strategy.strategy_id}", text.encode())
