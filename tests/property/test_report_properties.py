"""What always holds of a report: it adds up, whatever was decided, and in whatever order positions come."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from builders_report import FRIDAY, HOUR, account, decision, policy, read
from builders_shadows import MONDAY, shadow
from petrosa_cio.apps.auditor.outcomes import Outcome, Shadow, Tracked
from petrosa_cio.apps.auditor.report import Report, report_of
from petrosa_cio.faces.report_html import report_html
from petrosa_cio.faces.report_text import report_json, report_markdown

CODES = ("DAILY_TRADES", "REGIME_BLOCKED", "VOLATILITY")
amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=8)
costs = st.decimals(min_value=0, max_value=10**4, places=8)


@st.composite
def positions(draw: st.DrawFn, place: int) -> Shadow:
    promoted = draw(st.booleans())
    codes = draw(st.lists(st.sampled_from(CODES), min_size=1, unique=True))
    return shadow(
        f"d{place}",
        draw(amounts),
        draw(costs),
        draw(amounts),
        tracked=Tracked.PROMOTED if promoted else Tracked.BLOCKED,
        at=MONDAY + draw(st.integers(0, 90)) * HOUR,
        outcome=draw(st.sampled_from([Outcome.STOP, Outcome.TARGET, Outcome.OPEN, Outcome.TIMEOUT])),
        episode=f"d{draw(st.integers(0, place))}",
        strategy_id=draw(st.sampled_from(["momo", "fade", "<b>"])),
        symbol=draw(st.sampled_from(["BTCUSDT", "ETHUSDT"])),
        regime=draw(st.sampled_from([None, "choppy"])),
        reasons=tuple(codes),
    )


@st.composite
def ledgers(draw: st.DrawFn) -> list[Shadow]:
    return [draw(positions(place)) for place in range(draw(st.integers(0, 8)))]


def made(shadows: list[Shadow], *, known: bool) -> Report:
    """The report of ``shadows`` and the decisions that belong to them, under a policy that changes on the way."""
    in_order = sorted(shadows, key=lambda one: (one.decided_at, one.decision_id))
    records = [
        decision(
            one.decision_id,
            one.decided_at,
            one.strategy_id,
            "approved" if one.tracked is Tracked.PROMOTED else "blocked",
            *one.reasons,
        )
        for one in in_order
    ]
    records.insert(len(records) // 2, policy("b" * 64, 3))
    if known:
        records.insert(0, account(MONDAY, "1000"))
    return report_of(read([policy("a" * 64, 5), *records]), shadows, MONDAY, FRIDAY)


@given(ledgers(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_printed_adds_up_to_the_last_digit(shadows: list[Shadow], known: bool) -> None:
    """In the JSON itself: paper is promoted and blocked, every breakdown and the policies come to the total."""
    content = json.loads(report_json(made(shadows, known=known)))
    savings, paper = content["savings"], content["savings"]["paper"]
    assert Decimal(paper["all"]) == Decimal(paper["promoted"]) + Decimal(paper["blocked"])
    assert Decimal(content["net_savings"]) == -Decimal(paper["blocked"])
    parts = [list(savings[name].values()) for name in savings if name.startswith("by_")]
    for part in [*parts, [one["figures"] for one in content["policies"]]]:
        for name in ("avoided_loss", "missed_gain", "net_savings", "fees_avoided", "move_avoided"):
            assert sum(Decimal(one[name]) for one in part) == Decimal(savings["total"][name])
    assert sum(content["verdicts"].values()) == content["intents"] == len(shadows)
    if known:
        assert Decimal(content["earnings"]) == Decimal(content["net_profit"]["net"]) + Decimal(content["net_savings"])


@given(ledgers(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_positions_does_not_count(shadows: list[Shadow], chance: object) -> None:
    """Shuffled positions make the same report, to the byte in every face."""
    shuffled = list(shadows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = made(shadows, known=True), made(shuffled, known=True)
    for face in (report_json, report_markdown, report_html):
        assert face(one) == face(other)
