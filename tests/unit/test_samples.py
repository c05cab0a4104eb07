"""The sample strategies: sound intents at a moderate rate, and one that is careless on purpose."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petrosa_cio.apps.nurse.models import Intent, parse_instant
from petrosa_cio.core.exchange.klines import Bar, SyntheticKlines
from petrosa_cio.core.samples import (
    Breakout,
    Careless,
    Momentum,
    Reversion,
    Sample,
    Wish,
    intent,
    run_samples,
    samples,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
SECONDS = 300

# Fleet facts §2.2: what bot-ta-analysis puts on the wire, and the trace carrier beside it.
TA_FIELDS = {
    "strategy_id", "symbol", "action", "confidence", "current_price", "price", "strategy_mode", "strength", "quantity",
    "source", "strategy", "metadata", "timeframe", "order_type", "time_in_force", "position_size_pct", "stop_loss",
    "stop_loss_pct", "take_profit", "take_profit_pct", "timestamp", "recommended_leverage", "intent_id", "signal_id",
    "_otel_trace_headers",
}  # fmt: skip

Body = dict[str, Any]


class _OverError(Exception):
    """The five minutes are over."""


class Desk:
    """A clock that sleeping moves, and the wire: what was published, when, on which subject."""

    def __init__(self) -> None:
        self.passed_ms = 0
        self.sent: list[tuple[int, str, Body]] = []

    def now(self) -> datetime:
        return START + timedelta(milliseconds=self.passed_ms)

    async def sleep(self, seconds: float) -> None:
        self.passed_ms += round(seconds * 1000)
        if self.passed_ms > SECONDS * 1000:
            raise _OverError
        await asyncio.sleep(0)

    async def publish(self, subject: str, body: bytes) -> None:
        self.sent.append((self.passed_ms, subject, json.loads(body)))


@cache
def five_minutes(seed: int) -> tuple[tuple[int, str, Body], ...]:
    """All that the samples publish in five minutes on the invented market with this seed."""
    desk = Desk()
    market = SyntheticKlines(seed, now_ms=lambda: START_MS + desk.passed_ms, sleep=desk.sleep)
    with pytest.raises(_OverError):
        asyncio.run(run_samples(market, desk.publish, desk.now))
    return tuple(desk.sent)


def careful(seed: int) -> list[tuple[int, Body]]:
    return [(at, body) for at, _, body in five_minutes(seed) if body["strategy_id"] != "sample_careless"]


def careless(seed: int, fault: str | None) -> list[tuple[int, Body]]:
    return [
        (at, body)
        for at, _, body in five_minutes(seed)
        if body["strategy_id"] == "sample_careless" and body["metadata"].get("fault") == fault
    ]


def barriers_fit(body: Body) -> bool:
    """Whether stop and target lie on the sides where an entry needs them."""
    if body["action"] == "buy":
        return bool(0 < body["stop_loss"] < body["price"] < body["take_profit"])
    return bool(0 < body["take_profit"] < body["price"] < body["stop_loss"])


SEEDS = pytest.mark.parametrize("seed", [1, 2, 3])


@SEEDS
def test_intents_flow_within_seconds_and_at_a_moderate_rate(seed: int) -> None:
    """The first intent comes within two seconds; over five minutes there are one to three a second."""
    sent = five_minutes(seed)
    assert sent[0][0] <= 2000
    assert 1.0 <= len(sent) / SECONDS <= 3.0


@SEEDS
def test_every_action_and_strategy_is_seen(seed: int) -> None:
    """Buys, sells, closes and holds all occur, every strategy speaks, and each on its own subject."""
    sent = five_minutes(seed)
    assert {body["action"] for _, _, body in sent} == {"buy", "sell", "hold", "close"}
    assert {body["strategy_id"] for _, _, body in sent} == {strategy.strategy_id for strategy in samples()}
    assert all(subject == f"cio.intent.trading.{body['strategy_id']}" for _, subject, body in sent)
    assert {body["symbol"] for _, _, body in sent} == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}


@SEEDS
def test_every_careful_intent_is_valid(seed: int) -> None:
    """What the careful samples send is an intent, made now, with confidence enough and barriers on the right sides."""
    bodies = careful(seed)
    assert bodies
    for at, body in bodies:
        read = Intent.model_validate(body)
        assert read.timestamp == parse_instant((START + timedelta(milliseconds=at)).isoformat())
        assert read.confidence is not None
        assert read.confidence >= 0.6
        if read.adds_risk:
            assert barriers_fit(body)
        else:
            assert (read.stop_loss, read.take_profit) == (None, None)


@SEEDS
def test_every_intent_has_the_shape_that_ta_bot_sends(seed: int) -> None:
    """The fields are exactly those of bot-ta-analysis; ids and traces are well formed and never repeat."""
    bodies = [body for _, _, body in five_minutes(seed)]
    for body in bodies:
        assert set(body) == TA_FIELDS
        assert body["source"] == "petrosa-cio-sample"
        assert body["strategy"] == body["strategy_id"]
        assert re.fullmatch(r"[0-9a-f]{32}", body["intent_id"])
        assert re.fullmatch(
            r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01", body["_otel_trace_headers"]["traceparent"]
        )
        assert body["timestamp"].endswith("+00:00")
    assert len({body["intent_id"] for body in bodies}) == len(bodies)
    assert len({body["_otel_trace_headers"]["traceparent"][3:35] for body in bodies}) == len(bodies)


@SEEDS
def test_careful_samples_close_what_they_opened(seed: int) -> None:
    """On each symbol entries and closes alternate: no close without an entry, no second entry without a close."""
    moves: dict[tuple[str, str], list[str]] = defaultdict(list)
    for _, body in careful(seed):
        if body["action"] != "hold":
            moves[body["strategy_id"], body["symbol"]].append("close" if body["action"] == "close" else "entry")
    assert len(moves) == 9
    for actions in moves.values():
        assert actions == (["entry", "close"] * len(actions))[: len(actions)]


@SEEDS
def test_the_careless_sample_commits_each_of_its_faults(seed: int) -> None:
    """Stops on the wrong side, low confidence and stale timestamps all occur, each alone, and sound intents between."""
    wrong, low, stale = (careless(seed, fault) for fault in Careless.FAULTS)
    sound = careless(seed, None)
    assert min(len(wrong), len(low), len(stale), len(sound)) > 0

    def on_time(at: int, body: Body) -> bool:
        return bool(datetime.fromisoformat(body["timestamp"]) == START + timedelta(milliseconds=at))

    for at, body in wrong:
        assert not barriers_fit(body)
        assert body["stop_loss"] > body["price"] if body["action"] == "buy" else body["stop_loss"] < body["price"]
        assert on_time(at, body)
    for at, body in low:
        assert body["confidence"] < 0.5
        assert barriers_fit(body)
        assert on_time(at, body)
    for at, body in stale:
        age = START + timedelta(milliseconds=at) - datetime.fromisoformat(body["timestamp"])
        assert age > timedelta(seconds=300)
        assert barriers_fit(body)
    for at, body in sound:
        assert barriers_fit(body)
        assert on_time(at, body)
        assert body["confidence"] >= 0.6


@SEEDS
def test_most_of_what_is_sent_is_sound(seed: int) -> None:
    """Faulty intents are now and then: fewer than a quarter of all, more than one in fifty."""
    sent = five_minutes(seed)
    faulty = sum("fault" in body["metadata"] for _, _, body in sent)
    assert 0.02 < faulty / len(sent) < 0.25


def bars(closes: Iterable[float], symbol: str = "BTCUSDT", width: float = 0.0005) -> list[Bar]:
    """Minute bars with these closes, each opening at the close before, a little wider than its body."""
    made: list[Bar] = []
    for minute, close in enumerate(closes):
        opened = made[-1].close if made else close
        start = START_MS + minute * 60_000
        top, bottom = max(opened, close) * (1 + width), min(opened, close) * (1 - width)
        made.append(Bar(symbol, start, start + 59_999, opened, top, bottom, close, 1.0))
    return made


def actions(strategy: Sample, made: Iterable[Bar]) -> list[str]:
    answers = [strategy.on_bar(bar, START) for bar in made]
    return [str(answer["action"]) for answer in answers if answer is not None]


RISE = [100 * 1.002**minute for minute in range(45)]
FALL = [RISE[-1] * 0.998**minute for minute in range(1, 25)]


def test_momentum_follows_the_trend_and_leaves_when_it_turns() -> None:
    """It buys a rise, closes after the turn, and then sells the fall."""
    assert actions(Momentum(), bars(RISE)) == ["buy"]
    assert actions(Momentum(), bars(RISE + FALL)) == ["buy", "close", "sell"]


def test_reversion_bets_against_an_outlier_and_leaves_at_the_mean() -> None:
    """It sells a spike above a still market, buys one below, and closes when the price is back."""
    still = [100.0, 100.1] * 20
    assert actions(Reversion(), bars([*still, 103.0])) == ["sell"]
    assert actions(Reversion(), bars([*still, 97.0])) == ["buy"]
    assert actions(Reversion(), bars([*still, 103.0, *still[:10]])) == ["sell", "close"]
    assert actions(Reversion(), bars([100.0] * 60)) == []


def test_breakout_waits_in_a_narrow_range_and_follows_the_price_out_of_it() -> None:
    """A still market gives holds only; leaving the range upwards gives a buy, downwards a sell, a relapse a close."""
    still = [100.0] * 37
    assert set(actions(Breakout(), bars(still))) == {"hold"}
    assert actions(Breakout(), bars([*still, 102.0]))[-1] == "buy"
    assert actions(Breakout(), bars([*still, 98.0]))[-1] == "sell"
    assert actions(Breakout(), bars([*still, 102.0, *still[:12]]))[-2:] == ["buy", "close"]


def test_a_newer_form_of_a_bar_replaces_the_older() -> None:
    """A bar that is told again while it forms counts once: nothing is wished before thirty different bars are known."""
    made = bars(RISE)
    early = Momentum()
    assert actions(early, [bar for bar in made[:29] for _ in range(3)]) == []
    assert actions(early, [made[29]]) == ["buy"]


@pytest.mark.parametrize("kind", [Momentum, Reversion, Breakout, Careless])
def test_a_strategy_rests_between_two_intents_on_a_symbol(kind: type[Sample]) -> None:
    """Between two intents on one symbol at least ``rest`` bars pass in silence; symbols do not hinder one another."""
    dice = random.Random(7)
    restless = list(accumulate((dice.gauss(0, 0.3) for _ in range(400)), initial=100.0))
    strategy = kind()
    pairs = zip(bars(restless), bars(restless, "ETHUSDT"), strict=True)
    silent: Counter[str] = Counter({"BTCUSDT": kind.rest, "ETHUSDT": kind.rest})
    spoken: Counter[str] = Counter()
    for bar in (bar for pair in pairs for bar in pair):
        if strategy.on_bar(bar, START) is None:
            silent[bar.symbol] += 1
            continue
        assert silent[bar.symbol] >= kind.rest
        silent[bar.symbol] = 0
        spoken[bar.symbol] += 1
    assert min(spoken["BTCUSDT"], spoken["ETHUSDT"]) > 1


@given(
    price=st.floats(1e-6, 1e7),
    moves=st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=30),
    action=st.sampled_from(["buy", "sell", "hold", "close"]),
    confidence=st.floats(0, 1),
)
def test_an_intent_is_valid_at_any_price(price: float, moves: list[float], action: Any, confidence: float) -> None:
    """From a millionth to ten million, after any moves: the intent is valid and its stop is 0.5 to 3 % away."""
    window = bars(price * (1 + move) for move in moves)
    body = json.loads(json.dumps(intent("sample_any", window, Wish(action, confidence), START), allow_nan=False))
    read = Intent.model_validate(body)
    assert read.price == window[-1].close
    if read.adds_risk:
        assert barriers_fit(body)
        assert 0.0049 < abs(body["stop_loss"] / body["price"] - 1) < 0.0301


class Told:
    """A market that tells some bars and ends; keeps whether it was left properly."""

    def __init__(self, made: list[Bar]) -> None:
        self._made = made
        self.left = False

    async def bars(self) -> AsyncGenerator[Bar, None]:
        try:
            for bar in self._made:
                yield bar
        finally:
            self.left = True


async def test_history_only_warms_the_samples() -> None:
    """Of bars that had closed at the start no intent comes; the first bar after them is acted on at once."""
    made = bars(RISE)
    desk = Desk()
    desk.passed_ms = len(made) * 60_000
    await run_samples(Told(made), desk.publish, desk.now)
    assert desk.sent == []
    desk.passed_ms = (len(made) - 1) * 60_000
    await run_samples(Told(made), desk.publish, desk.now)
    assert ("cio.intent.trading.sample_momentum", "buy") in [
        (subject, body["action"]) for _, subject, body in desk.sent
    ]
    assert {body["price"] for _, _, body in desk.sent} == {made[-1].close}


async def test_what_publish_raises_goes_through_and_the_market_is_left() -> None:
    """A wire that fails ends the run with its own error, and the market's generator is closed."""

    async def broken(subject: str, body: bytes) -> None:
        raise ConnectionResetError(subject, body)

    market = Told(bars(RISE))
    with pytest.raises(ConnectionResetError):
        await run_samples(market, broken, lambda: START)
    assert market.left
