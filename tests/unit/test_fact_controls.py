"""Every control on facts of market and account: what passes at its limit, what fires just beyond it, worked by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from builders import START, account_state, case_of, market_state, order_of, policy_of, position_of
from petrosa_cio.apps.nurse.controls.table import TABLE
from petrosa_cio.apps.nurse.enforcer import judge
from petrosa_cio.apps.nurse.models import (
    SECOND,
    BookFacts,
    Bracket,
    Fact,
    MarketState,
    Outcome,
    Portfolio,
    Side,
    StrategyResult,
    Streak,
    TradingState,
    VerdictKind,
)
from petrosa_cio.apps.nurse.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petrosa_cio.apps.nurse.models import Json, Observation, Scalar, Verdict

D = Decimal
R = Reason
MICROSECOND = 1000
LONG, SHORT = Side.LONG, Side.SHORT
SELL: dict[str, Json] = {"action": "sell"}


@dataclass(frozen=True)
class Seen:
    """A case of the default intent, changed, under these values, on these facts."""

    intent: Mapping[str, Json] = field(default_factory=dict)
    policy: Mapping[str, Json] = field(default_factory=dict)
    market: MarketState | None = None
    account: Portfolio | None = None
    book: BookFacts = field(default_factory=BookFacts)

    def judged(self, modes: Mapping[str, Json] | None = None) -> Verdict:
        """The verdict, with the policy in these ``modes``."""
        policy = policy_of(self.policy, modes=modes)
        return judge(case_of(self.intent, policy, book=self.book, market=self.market, portfolio=self.account))


@dataclass(frozen=True)
class Row:
    """One boundary of one control."""

    name: str
    code: Reason
    passes: Seen
    fires: Seen
    numbers: Mapping[str, Scalar]
    quantity: Decimal | None = None


def row(code: Reason, name: str, passes: Seen, fires: Seen, left: str | None = None, /, **numbers: Scalar) -> Row:
    return Row(name, code, passes, fires, numbers, None if left is None else D(left))


def market(
    intent: Mapping[str, Json] | None = None, /, policy: Mapping[str, Json] | None = None, **facts: object
) -> Seen:
    return Seen(intent or {}, policy or {}, market_state(**facts))


def account(
    intent: Mapping[str, Json] | None = None, /, policy: Mapping[str, Json] | None = None, **facts: object
) -> Seen:
    return Seen(intent or {}, policy or {}, None, account_state(**facts))


def both(seen: Seen, **facts: object) -> Seen:
    """``seen`` with a market beside its account."""
    return replace(seen, market=market_state(**facts))


NO_RAISING: dict[str, Json] = {"use_exchange_minimums": False}
FILTERS = {"quantity": D(1), "min_quantity": D("0.001"), "max_quantity": D(10_000), "notional": D(100)}
THOUSAND: dict[str, object] = {"equity": D(1000), "peak_equity": D(1000)}


def lone_bracket(rate: str, deduction: str = "0") -> tuple[Bracket, ...]:
    return (Bracket(D(1_000_000), D(rate), D(deduction)),)


def near(
    intent: Mapping[str, Json],
    rate: str = "0",
    deduction: str = "0",
    policy: Mapping[str, Json] | None = None,
    **facts: object,
) -> Seen:
    """An intent with liquidation in sight: maintenance margin at ``rate``, less ``deduction``."""
    return both(account(intent, policy, **facts), brackets=lone_bracket(rate, deduction))


def room(pct: str, stop: str, at: str) -> dict[str, Scalar]:
    return {"room_pct": D(pct), "stop": D(stop), "liquidation": D(at), "limit": D(1)}


ROWS: tuple[Row, ...] = (
    row(
        R.SYMBOL_NOT_TRADING,
        "the exchange's word",
        market(),
        market(status="SETTLING"),
        status="SETTLING",
        contract_type="PERPETUAL",
    ),
    # 0.02 of 100 is 2 bps; 0.03 of 99.995 is 3.00015.
    row(
        R.SPREAD_TOO_WIDE,
        "2 bps of the mid",
        market(policy={"max_spread_bps": 2.0}),
        market(policy={"max_spread_bps": 2.0}, bid=D("99.98")),
        spread_bps=D("3.00015"),
        bid=D("99.98"),
        ask=D("100.01"),
        limit=D(2),
    ),
    row(
        R.THIN_BOOK,
        "half of what is asked",
        market(policy={"max_book_share": 0.5}, ask=D(100), ask_quantity=D(2)),
        market({"quantity": 1.01}, {"max_book_share": 0.5}, ask=D(100), ask_quantity=D(2)),
        notional=D(101),
        depth=D(200),
        limit=D("0.5"),
    ),
    row(
        R.THIN_BOOK,
        "a sell looks at the bid; an empty level has room for nothing",
        market(SELL, {"max_book_share": 1.0}, bid=D(100), bid_quantity=D(1), ask_quantity=D(0)),
        market(SELL, {"max_book_share": 1.0}, bid=D(100), bid_quantity=D(0)),
        notional=D(100),
        depth=D(0),
        limit=D(1),
    ),
    row(
        R.EXCHANGE_FILTER,
        "least notional",
        market(policy=NO_RAISING, min_notional=D(100)),
        market(policy=NO_RAISING, min_notional=D("100.01")),
        **FILTERS,
        min_notional=D("100.01"),
    ),
    row(
        R.EXCHANGE_FILTER,
        "an override stands in for the exchange's own",
        market(policy={**NO_RAISING, "override_min_notional": 100.0}, min_notional=D(200)),
        market(policy={**NO_RAISING, "override_min_notional": 100.5}, min_notional=D(5)),
        **FILTERS,
        min_notional=D("100.5"),
    ),
    row(
        R.EXCHANGE_FILTER,
        "least quantity",
        market(policy=NO_RAISING, min_quantity=D(1)),
        market(policy=NO_RAISING, min_quantity=D("1.001")),
        **{**FILTERS, "min_quantity": D("1.001")},
        min_notional=D(5),
    ),
    row(
        R.EXCHANGE_FILTER,
        "an override of the least quantity",
        market(policy={**NO_RAISING, "override_min_qty": 1.0}, min_quantity=D(2)),
        market(policy={**NO_RAISING, "override_min_qty": 1.5}),
        **{**FILTERS, "min_quantity": D("1.5")},
        min_notional=D(5),
    ),
    row(
        R.EXCHANGE_FILTER,
        "greatest quantity of one order",
        market(max_quantity=D(1)),
        market(max_quantity=D("0.75")),
        "0.75",
        **{**FILTERS, "max_quantity": D("0.75")},
        min_notional=D(5),
    ),
    row(
        R.EXCHANGE_FILTER,
        "the tick of an order with a price",
        market({"order_type": "limit"}, tick_size=D("0.5")),
        market({"order_type": "limit"}, tick_size=D("0.3")),
        **FILTERS,
        min_notional=D(5),
        price=D(100),
        tick_size=D("0.3"),
    ),
    row(
        R.MAX_CONCURRENT_POSITIONS,
        "the last passes",
        account(policy={"max_concurrent_positions": 2}, positions=(position_of(),)),
        account(policy={"max_concurrent_positions": 2}, positions=(position_of(), position_of("SOLUSDT"))),
        open=2,
        opens=True,
        limit=D(2),
    ),
    row(
        R.MAX_CONCURRENT_POSITIONS,
        "adding to one opens none; the other side is another",
        account(policy={"max_concurrent_positions": 1}, positions=(position_of("BTCUSDT"), position_of("BTCUSDT"))),
        account(policy={"max_concurrent_positions": 1}, positions=(position_of("BTCUSDT", SHORT),)),
        open=1,
        opens=True,
        limit=D(1),
    ),
    row(
        R.MAX_CONCURRENT_POSITIONS,
        "what is under way counts, what only closes does not",
        account(policy={"max_concurrent_positions": 1}, orders=(order_of(reduce_only=True),)),
        account(policy={"max_concurrent_positions": 1}, orders=(order_of(),)),
        open=1,
        opens=True,
        limit=D(1),
    ),
    row(
        R.MAX_ORDERS,
        "the last of all",
        account(policy={"max_orders_global": 2}, orders=(order_of(),)),
        account(policy={"max_orders_global": 2}, orders=(order_of(), order_of("SOLUSDT", reduce_only=True))),
        open=2,
        limit=D(2),
        open_on_symbol=0,
        limit_per_symbol=D(10),
    ),
    row(
        R.MAX_ORDERS,
        "the last on the symbol",
        account(policy={"max_orders_per_symbol": 1}, orders=(order_of(),)),
        account(policy={"max_orders_per_symbol": 1}, orders=(order_of("BTCUSDT", SHORT),)),
        open=1,
        limit=D(100),
        open_on_symbol=1,
        limit_per_symbol=D(1),
    ),
    # 0.8 of 1000 is 800: 700 and 100 fit, of 750 and 100 there is room for 50, half a piece.
    row(
        R.PORTFOLIO_EXPOSURE,
        "0.8 of equity by default",
        account(positions=(position_of(notional=D(700)),), **THOUSAND),
        account(positions=(position_of(notional=D(750)),), **THOUSAND),
        "0.5",
        open=D(750),
        order=D(100),
        equity=D(1000),
        limit=D("0.8"),
    ),
    row(
        R.PORTFOLIO_EXPOSURE,
        "long and short add up, with what is under way",
        account(positions=(position_of(side=SHORT, notional=D(400)),), orders=(order_of(notional=D(300)),), **THOUSAND),
        account(positions=(position_of(side=SHORT, notional=D(400)),), orders=(order_of(notional=D(360)),), **THOUSAND),
        "0.4",
        open=D(760),
        order=D(100),
        equity=D(1000),
        limit=D("0.8"),
    ),
    row(
        R.SYMBOL_CONCENTRATION,
        "0.3 of equity by default",
        account(positions=(position_of("BTCUSDT", notional=D(200)), position_of(notional=D(400))), **THOUSAND),
        account(positions=(position_of("BTCUSDT", notional=D(275)), position_of(notional=D(400))), **THOUSAND),
        "0.25",
        open=D(275),
        order=D(100),
        equity=D(1000),
        limit=D("0.3"),
    ),
    row(
        R.CORRELATED_EXPOSURE,
        "0.5 of equity by default, over those that move together",
        both(account(positions=(position_of(notional=D(400)), position_of("SOLUSDT", notional=D(200))), **THOUSAND)),
        both(account(positions=(position_of(notional=D(450)), position_of("SOLUSDT", notional=D(200))), **THOUSAND)),
        "0.5",
        open=D(450),
        order=D(100),
        equity=D(1000),
        limit=D("0.5"),
    ),
    row(
        R.PORTFOLIO_LEVERAGE,
        "a sum over places, this one at the configured 10",
        account(policy={"portfolio_leverage_cap": 20}, positions=(position_of(), position_of(leverage=D(5)))),
        account(policy={"portfolio_leverage_cap": 20}, positions=(position_of(leverage=D(11)),)),
        leverage=D(21),
        limit=D(20),
    ),
    row(
        R.PORTFOLIO_LEVERAGE,
        "a place that is taken is counted once, at its greatest",
        account(policy={"portfolio_leverage_cap": 20}, positions=(position_of("BTCUSDT", leverage=D(20)),)),
        account(policy={"portfolio_leverage_cap": 20}, positions=(position_of("BTCUSDT", SHORT, leverage=D(20)),)),
        leverage=D(30),
        limit=D(20),
    ),
    # A long of 1 at 100 with 10 of margin and no maintenance is liquidated at 90, a short at 110.
    row(
        R.LIQUIDATION_NEAR,
        "a long",
        near({"stop_loss": 91.0}),
        near({"stop_loss": 90.99}),
        **room("0.99", "90.99", "90"),
    ),
    row(
        R.LIQUIDATION_NEAR,
        "a short",
        near({**SELL, "stop_loss": 109.0}),
        near({**SELL, "stop_loss": 109.01}),
        **room("0.99", "109.01", "110"),
    ),
    # With 25 of margin and a maintenance of 1/16 of value: (100 - 25) / (1 - 0.0625) = 80.
    row(
        R.LIQUIDATION_NEAR,
        "a long with maintenance margin",
        near({"stop_loss": 81.0}, "0.0625", policy={"leverage": 4}),
        near({"stop_loss": 80.99}, "0.0625", policy={"leverage": 4}),
        **room("0.99", "80.99", "80"),
    ),
    # (100 - 10 - 9) / (1 - 0.1) = 90.
    row(
        R.LIQUIDATION_NEAR,
        "a long with a deduction",
        near({"stop_loss": 91.0}, "0.1", "9"),
        near({"stop_loss": 90.99}, "0.1", "9"),
        **room("0.99", "90.99", "90"),
    ),
    # (100 + 50) / (1 + 0.25) = 120.
    row(
        R.LIQUIDATION_NEAR,
        "a short with maintenance margin",
        near({**SELL, "stop_loss": 119.0}, "0.25", policy={"leverage": 2}),
        near({**SELL, "stop_loss": 119.01}, "0.25", policy={"leverage": 2}),
        **room("0.99", "119.01", "120"),
    ),
    # One at 80 and one at 100, each with a tenth of margin: (180 - 18) / 2 = 81.
    row(
        R.LIQUIDATION_NEAR,
        "with what is open on the side",
        near({"stop_loss": 82.0}, positions=(position_of("BTCUSDT", entry=D(80)), position_of("BTCUSDT", SHORT))),
        near({"stop_loss": 81.99}, positions=(position_of("BTCUSDT", entry=D(80)),)),
        **room("0.99", "81.99", "81"),
    ),
    row(
        R.LIQUIDATION_NEAR,
        "a nearer price that the exchange tells; without a stop the configured one at 2 %",
        near({}, positions=(position_of("BTCUSDT", liquidation_price=D(97)),)),
        near({}, positions=(position_of("BTCUSDT", liquidation_price=D("97.01")),)),
        **room("0.99", "98", "97.01"),
    ),
    row(
        R.DAILY_LOSS,
        "reached at 0.05 of the equity of 00:00",
        account(day_start_equity=D(1000), realised_today=D(-30), open_today=D("-19.99")),
        account(day_start_equity=D(1000), realised_today=D(-70), open_today=D(20)),
        loss=D(50),
        day_start_equity=D(1000),
        limit=D("0.05"),
    ),
    row(
        R.DRAWDOWN,
        "reached at 0.2 of the peak",
        account(equity=D("80000.01")),
        account(equity=D(80_000)),
        drawdown=D("0.2"),
        equity=D(80_000),
        peak_equity=D(100_000),
        limit=D("0.2"),
    ),
    row(
        R.STRATEGY_DRAWDOWN,
        "reached at 0.1 of equity, by this strategy",
        account(strategies=(StrategyResult("other", D(-9e4), D(0)), StrategyResult("momo", D("-4999.99"), D(5000)))),
        account(strategies=(StrategyResult("momo", D(-5000), D(5000)),)),
        fall=D(10_000),
        equity=D(100_000),
        limit=D("0.1"),
    ),
    row(
        R.LOSS_STREAK,
        "reached at the third, in the scope that says so",
        account(policy={"max_consecutive_losses": 3}, streaks=(Streak("strategy:momo", 9), Streak("global", 2))),
        account(policy={"max_consecutive_losses": 3}, streaks=(Streak("global", 3),)),
        losses=3,
        limit=D(3),
        scope="global",
    ),
    row(
        R.COOLDOWN,
        "over at its end",
        account(policy={"stop_cooldown_seconds": 900}, streaks=(Streak("global", 1, START - 900 * SECOND),)),
        account(
            policy={"stop_cooldown_seconds": 900}, streaks=(Streak("global", 1, START - 900 * SECOND + MICROSECOND),)
        ),
        since_seconds=D("899.999999"),
        limit=D(900),
        scope="global",
    ),
    row(
        R.VOLATILITY,
        "half remains from 0.03 by default",
        market(volatility=D("0.0299")),
        market(volatility=D("0.03")),
        "0.5",
        volatility=D("0.03"),
        limit=D("0.03"),
        factor=D("0.5"),
    ),
    row(
        R.VOLATILITY,
        "nothing from 0.06 by default",
        market(policy={"scale_down_factor": 1.0}, volatility=D("0.0599")),
        market(policy={"scale_down_factor": 1.0}, volatility=D("0.06")),
        volatility=D("0.06"),
        limit=D("0.06"),
    ),
    row(
        R.REGIME_BLOCKED,
        "capitulation by default",
        market(regime="high_volatility"),
        market(regime="capitulation"),
        regime="capitulation",
        confidence=D("0.8"),
    ),
    row(
        R.REGIME_BLOCKED,
        "an unknown one where listed",
        market(policy={"blocked_regimes": ["unknown"]}, regime="choppy"),
        market(policy={"blocked_regimes": ["unknown"]}, regime="unknown"),
        regime="unknown",
        confidence=D("0.8"),
    ),
    row(
        R.FUNDING_ADVERSE,
        "a long pays a positive rate",
        market(policy={"max_adverse_funding_bps": 10.0}, funding_rate=D("0.001")),
        market(policy={"max_adverse_funding_bps": 10.0}, funding_rate=D("0.0011")),
        pays_bps=D(11),
        funding_rate=D("0.0011"),
        limit=D(10),
    ),
    row(
        R.FUNDING_ADVERSE,
        "a short pays a negative rate and receives a positive one",
        market(SELL, {"max_adverse_funding_bps": 10.0}, funding_rate=D("0.9")),
        market(SELL, {"max_adverse_funding_bps": 10.0}, funding_rate=D("-0.0011")),
        pays_bps=D(11),
        funding_rate=D("-0.0011"),
        limit=D(10),
    ),
    row(
        R.POSITION_FRACTION,
        "the smaller of the two shares",
        account(policy={"position_size_pct": 0.1}, **THOUSAND),
        account(policy={"position_size_pct": 0.05}, **THOUSAND),
        "0.5",
        notional=D(100),
        equity=D(1000),
        limit=D("0.05"),
    ),
    row(
        R.REPEATED_EXECUTION,
        "three in a row that nobody filled, or that lost",
        replace(account(policy={"max_unfilled_promotions": 3}), book=BookFacts(unfilled=2, lost=2)),
        replace(account(policy={"max_unfilled_promotions": 3}), book=BookFacts(unfilled=2, lost=3)),
        unfilled=2,
        lost=3,
        limit=D(3),
    ),
    row(
        R.PRICE_COLLAR,
        "0.1 % of the mark",
        market(mark=D("99.9001")),
        market(mark=D("99.9")),
        away_pct=D("0.1001"),
        mark=D("99.9"),
        limit=D("0.1"),
    ),
)

every_row = pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}: {row.name}" for row in ROWS])


def observation(verdict: Verdict, code: Reason) -> Observation | None:
    return next((seen for seen in verdict.observed if seen.code is code), None)


def codes(verdict: Verdict) -> list[Reason]:
    return [reason.code for reason in verdict.reasons]


def test_every_control_that_needs_a_fact_has_its_boundary_here() -> None:
    """No check on facts is added to the table without saying here what passes and what fires."""
    assert {row.code for row in ROWS} == {control.code for control in TABLE if control.needs}


@every_row
def test_on_the_quiet_side_it_passes(row: Row) -> None:
    """At the limit, or just short of one that is reached, the control is quiet and nothing else objects."""
    verdict = row.passes.judged()
    assert (verdict.kind, verdict.reasons) == (VerdictKind.APPROVED, ())
    seen = observation(verdict, row.code)
    assert seen is not None
    assert seen.outcome is Outcome.PASS
    assert seen.numbers


@every_row
def test_on_the_other_side_it_fires_alone_with_its_numbers(row: Row) -> None:
    """It alone objects, says what it compared, and blocks or leaves the quantity that keeps the limit."""
    verdict = row.fires.judged()
    outcome = Outcome.BLOCK if row.quantity is None else Outcome.REDUCE
    assert [(seen.code, seen.outcome, dict(seen.numbers)) for seen in verdict.reasons] == [
        (row.code, outcome, dict(row.numbers))
    ]
    assert verdict.kind is (VerdictKind.BLOCKED if row.quantity is None else VerdictKind.REDUCED)
    assert verdict.quantity == row.quantity


@every_row
def test_observed_it_is_recorded_and_off_it_is_silent(row: Row) -> None:
    """In observe mode the same numbers are recorded and nothing is applied; off, the control is absent."""
    watched = row.fires.judged({row.code.value: "observe"})
    assert (watched.kind, watched.reasons) == (VerdictKind.APPROVED, ())
    seen = observation(watched, row.code)
    assert seen is not None
    assert seen.outcome is (Outcome.WOULD_BLOCK if row.quantity is None else Outcome.WOULD_REDUCE)
    assert dict(seen.numbers) == dict(row.numbers)
    off = row.fires.judged({row.code.value: "off"})
    assert (off.kind, off.reasons, observation(off, row.code)) == (VerdictKind.APPROVED, (), None)


@pytest.mark.parametrize("code", [control.code for control in TABLE if control.needs])
def test_without_its_facts_it_is_unevaluated(code: Reason) -> None:
    """Under limits that make it look, a control without facts says so; it does not pass."""
    for one in (one for one in ROWS if one.code is code):
        bare = replace(one.fires, market=None, account=None).judged()
        seen = observation(bare, code)
        assert seen is not None
        assert (seen.outcome, seen.numbers) == (Outcome.UNEVALUATED, ())


# The ends of a reduction


@pytest.mark.parametrize("notional", ["295", "300", "1000"])
def test_where_less_than_the_minimum_is_left_the_order_is_blocked(notional: str) -> None:
    """Graduated: cut while something tradable is left, then blocked, naming the limit and the minimum."""
    seen = account(positions=(position_of("BTCUSDT", notional=D(notional)),), **THOUSAND)
    verdict = seen.judged({"PORTFOLIO_EXPOSURE": "off"})
    assert codes(verdict) == [R.SYMBOL_CONCENTRATION, R.BELOW_MINIMUM_AFTER_REDUCTION]


def test_a_factor_of_zero_leaves_nothing() -> None:
    """Then volatility blocks from the lower threshold on."""
    verdict = market(policy={"scale_down_factor": 0.0}, volatility=D("0.03")).judged()
    assert codes(verdict) == [R.VOLATILITY, R.BELOW_MINIMUM_AFTER_REDUCTION]


@pytest.mark.parametrize("equity", ["0", "-5"])
def test_an_account_with_nothing_in_it_enters_nothing(equity: str) -> None:
    """Whether or not the account is required; where it is, a negative equity is no known account."""
    for required in ((), ("account",)):
        policy = policy_of(required=required, modes={"DRAWDOWN": "off"})
        verdict = judge(case_of(policy=policy, portfolio=account_state(equity=D(equity))))
        assert verdict.kind is VerdictKind.BLOCKED
        assert {R.POSITION_FRACTION, R.PORTFOLIO_EXPOSURE} <= set(codes(verdict))
        assert (R.ACCOUNT_UNKNOWN in codes(verdict)) == (bool(required) and equity == "-5")


# The effective order


@pytest.mark.parametrize(
    ("fields", "policy", "facts", "quantity"),
    [
        ({"quantity": 1.23456}, {}, {}, "1.234"),
        ({"quantity": 1.23456}, {"override_step_size": 0.1}, {}, "1.2"),
        ({"quantity": 0.0}, {}, {"min_notional": D("33.35")}, "0.334"),
        ({"quantity": 0.0}, {}, {"min_quantity": D("0.2")}, "0.2"),
        ({"quantity": 0.01}, {"override_min_notional": 20.0}, {"min_notional": D(50)}, "0.2"),
        ({"quantity": 0.01}, {"override_min_qty": 0.3, "min_position_size_usd": 1.0}, {}, "0.3"),
        ({"quantity": None, "position_size_pct": 0.01, "strategy_mode": "ml_light"}, {}, {}, "10"),
    ],
    ids=["step", "own step", "raised to whole steps", "least quantity", "own notional", "own quantity", "of equity"],
)
def test_the_order_is_sized_by_live_filters_and_equity(
    fields: dict[str, Json], policy: dict[str, Json], facts: dict[str, object], quantity: str
) -> None:
    """Overrides win over the exchange's filters; the minimum is whole steps, the rest is rounded down to them."""
    verdict = Seen(fields, policy, market_state(**facts), account_state()).judged()
    assert verdict.order is not None
    assert verdict.order.quantity == D(quantity)
    assert verdict.order.notional == D(quantity) * 100


def test_filters_that_are_stale_size_nothing() -> None:
    """A minimum that may have changed is not known."""
    verdict = Seen({"quantity": 0.0}, {}, market_state(START - 31 * SECOND)).judged()
    assert verdict.order is not None
    assert verdict.order.quantity is None


def test_a_market_of_another_symbol_says_nothing() -> None:
    """Facts that a feed mixed up are no facts."""
    verdict = market(symbol="ETHUSDT", status="SETTLING").judged()
    assert codes(verdict) == []
    required = judge(case_of(policy=policy_of(required=("mark",)), market=market_state(symbol="ETHUSDT")))
    assert codes(required) == [R.MARKET_STALE]


# What only reduces

ONE_WAY: dict[str, Json] = {"position_mode": "one-way"}
HOSTILE: dict[str, Json] = {
    **ONE_WAY,
    "enabled": False,
    "allowed_symbols": ["ETHUSDT"],
    "min_confidence_threshold": 1.0,
    "max_position_size_usd": 10.0,
    "max_daily_trades": 1,
    "max_signal_age_seconds": 1,
}
SHORT_ONE = (position_of("BTCUSDT", SHORT),)


def reducing(
    portfolio: Portfolio | None,
    policy: Mapping[str, Json] = HOSTILE,
    market: MarketState | None = None,
    duplicate_of: str | None = None,
    **fields: Json,
) -> Verdict:
    """A buy in a halted book, half an hour late, against what ``portfolio`` holds, where every fact is required."""
    book = BookFacts(TradingState.HALTED, duplicate_of=duplicate_of, promoted_today=50)
    required = policy_of(policy, required=tuple(fact.value for fact in Fact))
    now = START + 1800 * SECOND
    return judge(case_of(fields, required, book=book, now=now, arrived_at=START, market=market, portfolio=portfolio))


def later(**changes: object) -> Portfolio:
    return account_state(START + 1800 * SECOND, **changes)


@pytest.mark.parametrize("quantity", [0.5, 1.0])
def test_an_order_up_to_what_is_open_against_it_passes_like_a_close(quantity: float) -> None:
    """In one-way mode it only takes off: no state, limit, age or missing fact holds it back."""
    verdict = reducing(later(positions=SHORT_ONE), quantity=quantity)
    assert (verdict.kind, verdict.reasons, verdict.observed) == (VerdictKind.APPROVED, (), ())
    assert verdict.reduces == D(1)


@pytest.mark.parametrize(
    ("portfolio", "policy", "fields"),
    [
        (later(positions=SHORT_ONE), HOSTILE, {"quantity": 1.001}),
        (later(positions=SHORT_ONE), {**HOSTILE, "position_mode": "hedge"}, {}),
        (later(positions=SHORT_ONE), {**HOSTILE, "quantity_multiplier": 2.0}, {}),
        (later(positions=(position_of("BTCUSDT"),)), HOSTILE, {}),
        (later(positions=(position_of("ETHUSDT", SHORT),)), HOSTILE, {}),
        (later(positions=SHORT_ONE, orders=(order_of("BTCUSDT"),)), HOSTILE, {}),
        (later(positions=SHORT_ONE), HOSTILE, {"quantity": 0.0}),
        (later(positions=(position_of("BTCUSDT", SHORT, quantity=D("NaN")),)), HOSTILE, {}),
        (account_state(START, positions=SHORT_ONE), HOSTILE, {}),
        (later(positions=None), HOSTILE, {}),
        (None, HOSTILE, {}),
    ],
    ids=[
        *("more than is open", "hedge mode", "multiplied", "the same side", "another symbol", "already under way"),
        *("a size not known", "a position that is no number", "a stale account", "no positions known", "no account"),
    ],
)
def test_what_is_not_known_to_reduce_is_judged_as_an_entry(
    portfolio: Portfolio | None, policy: Mapping[str, Json], fields: dict[str, Json]
) -> None:
    """Only what is known to be open, less what is under way against it, can be taken off."""
    verdict = reducing(portfolio, policy, **fields)
    assert verdict.kind is VerdictKind.BLOCKED
    assert verdict.reduces is None
    assert R.TRADING_HALTED in codes(verdict)


@pytest.mark.parametrize("orders", [None, (order_of("BTCUSDT", reduce_only=True),), (order_of("BTCUSDT", SHORT),)])
def test_a_stop_or_an_unknown_order_does_not_hold_back_what_reduces(orders: object) -> None:
    """Orders that only close rest beside the position; where none are known, the position suffices."""
    assert reducing(later(positions=SHORT_ONE, orders=orders)).kind is VerdictKind.APPROVED


def test_a_repeat_of_what_reduces_is_a_duplicate() -> None:
    """It is refused as one, like a close."""
    assert codes(reducing(later(positions=SHORT_ONE), duplicate_of="first")) == [R.DUPLICATE_INTENT]


def test_an_order_that_turns_a_position_is_cut_to_no_less_than_what_it_takes_off() -> None:
    """Short 2 at 100, equity 1000, at most 250 on the symbol: of a buy of 5, 2 take off and 2.5 may be opened."""
    policy = {**ONE_WAY, "max_symbol_exposure_pct": 0.25, "max_position_size_pct": 1.0, "position_size_pct": 1.0}
    held = (position_of("BTCUSDT", SHORT, quantity=D(2), notional=D(200)),)
    verdict = account({"quantity": 5.0}, policy, positions=held, **THOUSAND).judged()
    assert codes(verdict) == [R.SYMBOL_CONCENTRATION]
    assert verdict.quantity == D("4.5")
    full = (*held, position_of(notional=D(900)))
    verdict = account({"quantity": 5.0}, policy, positions=full, **THOUSAND).judged()
    assert codes(verdict) == [R.PORTFOLIO_EXPOSURE, R.SYMBOL_CONCENTRATION]
    assert verdict.quantity == D(2)
