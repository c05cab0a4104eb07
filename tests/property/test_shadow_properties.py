"""What holds of every shadow position, on any path and however the machine is told of it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders_bars import T0, OneBar
from builders_shadow import SYMBOL, Record, decision, machine_of, played, policy, shadows
from builders_simulation import MS
from petrosa_cio.apps.auditor.figures import is_blocked
from petrosa_cio.apps.auditor.outcomes import Outcome, Tracked
from petrosa_cio.apps.auditor.savings import first_reason, savings_by, savings_of, total
from petrosa_cio.apps.auditor.shadow import Entry, ShadowMachine
from petrosa_cio.apps.auditor.shadow_record import shadow_content, shadow_of
from petrosa_cio.apps.nurse.models import parse_instant
from petrosa_cio.apps.nurse.simulation import FundingTime

if TYPE_CHECKING:
    from petrosa_cio.apps.auditor.outcomes import Shadow

TICK_MS = 10_000
TICKS = 6
"""Ticks of one bar, which is of one minute."""
COST = Decimal("0.001")

Event = Record | OneBar | FundingTime


class Path(NamedTuple):
    """A path of trades, and an entry at one of them."""

    prices: list[int]
    entered: int
    long: bool
    stop: int
    target: int

    def bars(self) -> list[OneBar]:
        """Its bars, and one before it."""
        cut = [self.prices[start : start + TICKS] for start in range(0, len(self.prices), TICKS)]
        cut.insert(0, [self.prices[0]] * TICKS)
        length = TICKS * TICK_MS
        return [
            OneBar(
                SYMBOL, T0 + n * length, T0 + (n + 1) * length - 1, float(part[0]), float(max(part)), float(min(part)),
                float(part[-1]), 1.0,
            )
            for n, part in enumerate(cut, start=-1)
        ]  # fmt: skip

    def record(self, verdict: str) -> Record:
        """The decision on the entry, at the very moment of its trade."""
        levels = {"stop_loss": float(self.stop), "take_profit": float(self.target)}
        entry = self.prices[self.entered]
        return decision(
            self.entered * TICK_MS / 60_000,
            "buy" if self.long else "sell",
            verdict,
            mark=str(entry),
            price=float(entry),
            **levels,
        )

    def truth(self) -> tuple[bool, Decimal]:
        """Whether it ended, and the result: at the first trade at or beyond a barrier, or at the last trade."""
        sign = 1 if self.long else -1
        for price in self.prices[self.entered :]:
            if sign * (price - self.stop) <= 0 or sign * (price - self.target) >= 0:
                return True, self.result(price)
        return False, self.result(self.prices[-1])

    def result(self, price: int) -> Decimal:
        entry, sign = self.prices[self.entered], 1 if self.long else -1
        return sign * Decimal(price - entry) * 2 - 2 * COST * (price + entry)


@st.composite
def paths(draw: st.DrawFn) -> Path:
    """Within a bar trades move by one step at most, so that none jumps over a barrier; between bars they may jump."""
    prices = [10_000]
    count = draw(st.integers(2, 12)) * TICKS
    for number in range(1, count):
        step = draw(st.integers(-1, 1) if number % TICKS else st.integers(-4, 4))
        prices.append(prices[-1] + step)
    entered, long = draw(st.integers(0, count - 1)), draw(st.booleans())
    lose, win = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    sign = 1 if long else -1
    return Path(prices, entered, long, prices[entered] - sign * lose, prices[entered] + sign * win)


@settings(max_examples=300)
@given(paths(), st.sampled_from(["blocked", "approved"]))
def test_bounds_bracket_the_truth(path: Path, verdict: str) -> None:
    """Whatever the trades within the bars were, the true result lies within the bounds; without ambiguity it is met."""
    (found,) = played(path.bars(), path.record(verdict), taker_fee_bps=10, slippage_bps=0)
    ended, truth = path.truth()
    assert found.low is not None
    assert found.high is not None
    assert found.low <= truth <= found.high
    if found.outcome in (Outcome.STOP, Outcome.TARGET):
        assert (ended, found.result) == (True, truth)


@settings(max_examples=200)
@given(paths(), st.sampled_from(["blocked", "approved"]))
def test_the_headline_is_the_bound_worse_for_governance(path: Path, verdict: str) -> None:
    """Of what was blocked the higher, of what was promoted the lower; and it is the sum of its parts."""
    (found,) = played(path.bars(), path.record(verdict))
    if found.outcome is not Outcome.OPEN:
        assert found.result == (found.low if found.tracked is Tracked.PROMOTED else found.high)
        assert (found.outcome is Outcome.AMBIGUOUS) == (found.low != found.high)
    assert found.gross is not None
    assert found.fees is not None
    assert found.result == found.gross - found.fees + (found.funding or 0)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Event]]:
    """Three sources, each in its own order of time: records, bars (some missing) and settlements of funding."""
    count = draw(st.integers(3, 20))
    prices = [(100 + draw(st.integers(-9, 9)), draw(st.integers(0, 8)), draw(st.integers(0, 8))) for _ in range(count)]
    bars = [
        OneBar(SYMBOL, T0 + n * 60_000, T0 + (n + 1) * 60_000 - 1, float(at), float(at + up), float(at - down),
               float(at), 1.0)
        for n, (at, up, down) in enumerate(prices)
        if draw(st.integers(0, 9))
    ]  # fmt: skip
    seconds = sorted(draw(st.lists(st.integers(0, count * 60), max_size=12, unique=True)))
    records: list[Record] = [policy(max_accumulations=2, shadow_max_holding_hours=0.1)]
    for second in seconds:
        action = draw(st.sampled_from(["buy", "buy", "sell", "close"]))
        verdict = "approved" if action == "close" else draw(st.sampled_from(["approved", "reduced", "blocked"]))
        records.append(
            decision(
                second / 60, action, verdict, promoted="0.5" if verdict == "reduced" else None,
                strategy=draw(st.sampled_from(["a", "b"])), mark=draw(st.sampled_from(["100", None])),
                reasons=(draw(st.sampled_from(["DAILY_TRADES", "VOLATILITY"])),),
                order_type=draw(st.sampled_from(["market", "market", "limit"])),
                more={"account": {"equity": "10000"}},
            )
        )  # fmt: skip
    funding = [FundingTime(SYMBOL, T0 + n * 150_000, Decimal("0.0001")) for n in range(draw(st.integers(0, 5)))]
    return [list(records), list(bars), list(funding)]


def time_of(event: Event) -> int:
    """When an event happens, ms; a policy at the very beginning."""
    if isinstance(event, OneBar):
        return event.close_time_ms
    if isinstance(event, FundingTime):
        return event.at_ms
    return parse_instant(str(event["at"])) // MS if "at" in event else 0


def tell(machine: ShadowMachine, event: Event) -> None:
    if isinstance(event, OneBar):
        machine.bar(event)
    elif isinstance(event, FundingTime):
        machine.settle(event)
    else:
        machine.record(event)


def text(entries: list[Entry], standing: list[Shadow]) -> str:
    """A shadow ledger to the byte, and what stands."""
    told = [(one.number, one.amends, shadow_content(one.shadow)) for one in entries]
    return json.dumps([told, [shadow_content(one) for one in standing]])


def ends(history: list[list[Event]]) -> int:
    return max(time_of(event) for source in history for event in source) * MS


@settings(max_examples=100, deadline=None)
@given(histories(), st.data())
def test_streaming_and_batch_give_the_same_bytes(history: list[list[Event]], data: st.DataObject) -> None:
    """However sources are mixed, the machine advanced, asked, written down and read back, the ledger is the same."""
    batch = ShadowMachine()
    for source in history:
        for event in source:
            tell(batch, event)
    batch.advance(ends(history))
    expected = text(batch.told(), batch.standing())

    machine, entries, left = ShadowMachine(), [], [list(source) for source in history]
    while any(left):
        source = data.draw(st.sampled_from([one for one in left if one]))
        tell(machine, source.pop(0))
        match data.draw(st.integers(0, 5)):
            case 0:
                # Up to just before the next event of any source: nothing of that time is missing any more.
                machine.advance(min((time_of(one[0]) for one in left if one), default=T0) * MS - 1)
                machine.standing()
            case 1:
                machine = ShadowMachine.read(json.loads(json.dumps(machine.content())))
            case 2:
                entries += machine.told()
    machine.advance(ends(history))
    assert text(entries + machine.told(), machine.standing()) == expected


@settings(max_examples=60, deadline=None)
@given(histories())
def test_nothing_is_lost_on_the_way(history: list[list[Event]]) -> None:
    """What is written down is read back the same; and sums over any breakdown are the whole, to the last digit."""
    machine = ShadowMachine()
    for source in history:
        for event in source:
            tell(machine, event)
    machine.advance(ends(history))
    again = ShadowMachine.read(json.loads(json.dumps(machine.content())))
    assert json.dumps(again.content()) == json.dumps(machine.content())
    found = shadows(machine)
    assert [shadow_of(json.loads(json.dumps(shadow_content(one)))) for one in found] == found
    whole = savings_of(found)
    blocked = [one for one in found if is_blocked(one)]
    assert total(found) == total(blocked) + total(one for one in found if not is_blocked(one))
    assert whole.net_savings == -total(blocked) == whole.costs_avoided + whole.move_avoided
    for key in (first_reason, lambda one: one.strategy_id, lambda one: one.regime or "", lambda one: one.symbol):
        parts = savings_by(found, key).values()
        assert sum(part.net_savings for part in parts) == whole.net_savings
        assert sum(part.positions for part in parts) == whole.positions
    entries = sum(1 for one in history[0] if one.get("action") in ("buy", "sell"))  # type: ignore[union-attr]
    decided = {one.decision_id for one in found}
    assert len(decided) + sum(one.repeats for one in found) >= entries


@pytest.mark.parametrize("missing", [1, 2])
def test_late_bars_come_to_what_they_would_have_been(missing: int) -> None:
    """Positions that a late bar amends stand as if it had come in time, but for the gap that is no more."""
    path = Path([100, 101, 99, 100, 100, 100] * 4 + [103] * 6, 0, long=True, stop=90, target=103)
    bars, record = path.bars(), path.record("blocked")
    whole = machine_of(bars, [record])
    late = machine_of([one for place, one in enumerate(bars) if place != missing + 1], [record])
    late.bar(bars[missing + 1])
    late.advance(0)
    (expected,), found = shadows(whole), late.told()[-1].shadow
    assert found == expected
    assert (found.outcome, found.data_gap) == (Outcome.TARGET, False)
