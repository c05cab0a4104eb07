"""What holds of the statistics of any shadow ledger."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders_shadows import DAY, MONDAY, shadow
from petrosa_cio.apps.auditor.chance import against_chance
from petrosa_cio.apps.auditor.figures import EXACT, Breakdown, figures, is_closed, statement, total
from petrosa_cio.apps.auditor.intervals import estimate
from petrosa_cio.apps.auditor.outcomes import Outcome, PriceSource, Tracked

if TYPE_CHECKING:
    from petrosa_cio.apps.auditor.figures import Figures
    from petrosa_cio.apps.auditor.outcomes import Shadow

DAYS = 12
END = MONDAY + DAYS * DAY
MONEY = ("avoided_loss", "missed_gain", "fees_avoided", "funding_avoided", "move_avoided", "other_way")
COUNTS = ("positions", "repeats", "losses", "gains", "ambiguous")
CLOSED = (Outcome.TARGET, Outcome.STOP, Outcome.TIMEOUT, Outcome.LIQUIDATED, Outcome.CLOSED_BY_STRATEGY)

amounts = st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False, places=8)
positions = st.builds(
    lambda move, fees, funding, **words: shadow("", move, abs(fees) / 100, funding / 100, **words),
    amounts,
    amounts,
    amounts,
    tracked=st.sampled_from(Tracked),
    at=st.integers(MONDAY, END - 1),
    outcome=st.sampled_from((*CLOSED, Outcome.OPEN, Outcome.UNAVAILABLE)),
    strategy_id=st.sampled_from(("momo", "fade")),
    symbol=st.sampled_from(("BTCUSDT", "ETHUSDT")),
    reasons=st.lists(st.sampled_from(("REGIME", "EXPOSURE", "DAILY_LOSS")), unique=True).map(tuple),
    regime=st.sampled_from(("normal", "crash", None)),
    price_source=st.sampled_from(PriceSource),
    repeats=st.integers(0, 3),
    low=amounts.map(str),
    high=amounts.map(str),
)


def _numbered(ledger: list[Shadow], episodes: int) -> list[Shadow]:
    """Give each a decision of its own, and one of ``episodes`` episodes of its strategy and symbol."""
    return [
        replace(one, decision_id=f"d{n}", episode=f"{one.strategy_id}-{one.symbol}-{n % episodes}")
        for n, one in enumerate(ledger)
    ]


ledgers = st.builds(_numbered, st.lists(positions, max_size=60), st.integers(1, 40))
rich = st.builds(_numbered, st.lists(positions, min_size=40, max_size=50), st.just(40))


def scaled(one: Shadow, factor: Decimal) -> Shadow:
    """The same position in money of another unit."""
    money = {name: getattr(one, name) for name in ("gross", "fees", "funding", "result", "low", "high")}
    return replace(
        one, **{name: None if amount is None else EXACT.multiply(amount, factor) for name, amount in money.items()}
    )


def money_of(found: Figures) -> list[Decimal]:
    return [getattr(found, name) for name in (*MONEY, "net_savings", "costs_avoided")]


@given(ledgers)
def test_every_breakdown_adds_up_to_the_total(ledger: list[Shadow]) -> None:
    """Positions and money of every breakdown sum to the total, to the last digit, and so does the paper portfolio."""
    found = statement(ledger)
    for breakdown in Breakdown:
        keys = found.by[breakdown].values()
        assert [total(getattr(key, name) for key in keys) for name in MONEY] == money_of(found.total)[: len(MONEY)]
        assert [sum(getattr(key, name) for key in keys) for name in COUNTS] == [
            getattr(found.total, name) for name in COUNTS
        ]
    assert found.paper.holds
    assert EXACT.add(found.total.costs_avoided, found.total.move_avoided) == found.total.net_savings
    assert found.paper.blocked == found.total.net_savings.copy_negate()


@given(ledgers)
def test_every_position_is_counted_once(ledger: list[Shadow]) -> None:
    """Closed, open, unmarked, unavailable and promoted make up all that was tracked."""
    found = statement(ledger)
    apart = found.open.positions + found.unmarked + found.unavailable + found.promoted + found.promoted_apart
    assert found.total.positions + apart == len(ledger)


@given(ledgers, st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_order_of_positions_changes_nothing(ledger: list[Shadow], order: object) -> None:
    """Figures, interval and test against chance are the same of the same positions in another order."""
    shuffled = list(ledger)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert statement(shuffled) == statement(ledger)
    assert estimate(shuffled, END) == estimate(ledger, END)
    assert against_chance(shuffled) == against_chance(ledger)


@given(rich, st.sampled_from(("0.001", "3", "1e6", "0.7")).map(Decimal))
@settings(max_examples=10, deadline=None)
def test_money_in_another_unit_scales_every_figure(ledger: list[Shadow], factor: Decimal) -> None:
    """All amounts times a factor: figures times it exactly, estimates to their digits, shares and p values the same."""
    other = [scaled(one, factor) for one in ledger]
    blocked = [one for one in ledger if is_closed(one)]
    assert money_of(figures([scaled(one, factor) for one in blocked])) == [
        EXACT.multiply(amount, factor) for amount in money_of(figures(blocked))
    ]
    before, after = estimate(ledger, END), estimate(other, END)
    if before.interval is not None:
        assert after.interval is not None
        assert after.interval.below_zero == before.interval.below_zero
        assert float(after.interval.low) == pytest.approx(float(before.interval.low * factor), rel=1e-9, abs=1e-9)
        assert float(after.interval.high) == pytest.approx(float(before.interval.high * factor), rel=1e-9, abs=1e-9)
    ours, theirs = against_chance(ledger), against_chance(other)
    if ours is not None:
        assert theirs is not None
        assert (theirs.net.p_skill, theirs.move.p_harm) == (ours.net.p_skill, ours.move.p_harm)
        assert float(theirs.net.high) == pytest.approx(float(ours.net.high * factor), rel=1e-9, abs=1e-9)


@given(rich, st.integers(2, 6))
@settings(max_examples=10, deadline=None)
def test_refires_do_not_narrow_an_interval(ledger: list[Shadow], fires: int) -> None:
    """Each position fired several times within its episode: all is that many times as much, and no surer."""
    closed = [replace(one, outcome=Outcome.STOP, tracked=Tracked.BLOCKED) for one in ledger]
    again = [replace(one, decision_id=f"{one.decision_id}.{n}") for one in closed for n in range(fires)]
    once, often = estimate(closed, END), estimate(again, END)
    assert (often.episodes, often.net_savings) == (once.episodes, once.net_savings * fires)
    if once.interval is not None:
        assert often.interval is not None
        assert float(often.interval.low) == pytest.approx(float(once.interval.low * fires), rel=1e-9, abs=1e-9)
        assert float(often.interval.high) == pytest.approx(float(once.interval.high * fires), rel=1e-9, abs=1e-9)


@given(rich)
@settings(max_examples=10, deadline=None)
def test_a_real_figure_lies_among_random_ones(ledger: list[Shadow]) -> None:
    """Quantiles are in order, the two p values overlap at the real figure, and whole is move and costs."""
    found = against_chance(ledger)
    if found is not None:
        assert found.net.low <= found.net.median <= found.net.high
        assert found.net.p_skill + found.net.p_harm > 1
        assert found.net.real == found.move.real + found.costs.real
        assert found.net.real == statement(ledger).total.net_savings
